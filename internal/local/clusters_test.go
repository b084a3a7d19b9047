package local_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/emrcontainers"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"nightshift/internal/app"
	"nightshift/internal/asl"
	"nightshift/internal/engine/simrun"
	"nightshift/internal/local"
	"nightshift/internal/session"
	"nightshift/statemachines"
)

// execute starts a machine, without letting time pass.
func (u *awsUser) execute(machine, name, input string) *asl.Execution {
	u.t.Helper()
	return sent(u.s.Execution(sent(u.s.StartMachine(machine, name, []byte(input)))(u.t)))(u.t)
}

// submitted is a sample of submit-job-run on a virtual cluster.
func submitted(t *testing.T, cluster string) string {
	t.Helper()
	var in map[string]any
	if err := json.Unmarshal(statemachines.Inputs(statemachines.SubmitJobRun)["submit-job-run.spark.json"], &in); err != nil {
		t.Fatal(err)
	}
	in["jobRun"].(map[string]any)["VirtualClusterId"] = cluster
	return string(sent(json.Marshal(in))(t))
}

// session is the session that an execution opened.
func (u *awsUser) session(e *asl.Execution) session.Session {
	u.t.Helper()
	return sent(u.s.Store.Session(u.t.Context(), app.SessionOfExecution(e.ARN())))(u.t)
}

// S4.3 on the simulated service's real API: a virtual cluster is made, a job run
// on it completes under a session, and the cluster is deleted.
func TestS4_3VirtualCluster(t *testing.T) {
	u := awsOpen(t, local.Options{Histories: 10_000})
	u.s.EMR.Plan("", simrun.Plan{Work: 27 * time.Minute})
	create := u.execute(statemachines.CreateVirtualCluster, "etl", string(statemachines.Inputs(statemachines.CreateVirtualCluster)["create-virtual-cluster.json"]))
	u.pass(time.Second)
	var made struct{ Id, Arn, Name string }
	if err := json.Unmarshal(create.Output(), &made); err != nil || outcome(create) != "SUCCEEDED Create Created" || made.Id == "" || made.Name != "etl" {
		t.Fatalf("%s: %s %v", outcome(create), create.Output(), err)
	}
	began := u.s.Clock.Now()
	submit := u.execute(statemachines.SubmitJobRun, "features", submitted(t, made.Id))
	u.pass(20 * time.Minute)
	if s := u.session(submit); s.Status != session.Active || s.User != "u-ana" || s.Run.ID == "" || s.Mode != session.Background {
		t.Errorf("while it runs: %s of %s, run %q, mode %s", s.Status, s.User, s.Run.ID, s.Mode)
	}
	again := u.execute(statemachines.DeleteVirtualCluster, "too-soon", `{"Id":"`+made.Id+`"}`)
	u.pass(10 * time.Minute)
	var done struct{ State, VirtualClusterId string }
	if err := json.Unmarshal(submit.Output(), &done); err != nil || outcome(submit) != "SUCCEEDED Open Decide Submit Succeeded" || done.State != "COMPLETED" || done.VirtualClusterId != made.Id {
		t.Errorf("%s: %s %v", outcome(submit), submit.Output(), err)
	}
	// 45 s to start and 27 min of work: Step Functions sees it at its look after 30 min.
	if took := submit.StoppedAt().Sub(began); took != 30*time.Minute {
		t.Errorf("it took %s", took)
	}
	if got := outcome(again); got != "FAILED Delete Look Decide Failed EMRContainers.ValidationException" {
		t.Errorf("deleted with a live run: %s", got)
	}
	u.pass(6 * time.Minute)
	if s := u.session(submit); s.Status != session.Ended || s.End.Cause != session.CauseFinished {
		t.Errorf("the session is %s, %s", s.Status, s.End.Cause)
	}
	remove := u.execute(statemachines.DeleteVirtualCluster, "etl", `{"Id":"`+made.Id+`"}`)
	u.pass(5 * time.Minute)
	if got := outcome(remove); got != "SUCCEEDED Delete Deleted" {
		t.Errorf("%s %s", got, remove.Output())
	}
	seen := sent(u.emr.DescribeVirtualCluster(t.Context(), &emrcontainers.DescribeVirtualClusterInput{Id: aws.String(made.Id)}))(t)
	if seen.VirtualCluster.State != "TERMINATED" {
		t.Errorf("the virtual cluster is %s", seen.VirtualCluster.State)
	}
	gone := u.execute(statemachines.DeleteVirtualCluster, "again", `{"Id":"`+made.Id+`"}`)
	misspelt := u.execute(statemachines.CreateVirtualCluster, "misspelt", `{"Name":"x","Provider":{}}`)
	u.pass(2 * time.Minute)
	if got := outcome(gone); got != "SUCCEEDED Delete Look Decide Deleted" {
		t.Errorf("deleted twice: %s", got)
	}
	if got := outcome(misspelt); got != "FAILED Create States.Runtime" {
		t.Errorf("a field that there is not: %s", got)
	}
}

func TestS4_3ArrestedVirtualCluster(t *testing.T) {
	u := awsOpen(t, local.Options{Histories: 10_000})
	u.s.EMR.Arrest(local.VirtualCluster, true)
	remove := u.execute(statemachines.DeleteVirtualCluster, "etl", `{"Id":"`+local.VirtualCluster+`"}`)
	u.pass(10 * time.Minute)
	if _, cause := remove.Failure(); outcome(remove) != "FAILED Delete Look Decide Arrested VirtualClusterArrested" || !strings.Contains(cause, "cannot reach its namespace") {
		t.Errorf("%s %s", outcome(remove), cause)
	}
}

// The abort of submit-job-run ends its run, and its session says why; so does a
// sign-out; and a run that fails by itself is not said to be aborted (S2).
func TestS2_SubmitJobRunEnds(t *testing.T) {
	for _, c := range []struct {
		name  string
		plan  simrun.Plan
		mode  session.Tri
		do    func(u *awsUser, e *asl.Execution) error
		want  string
		cause session.Cause
	}{
		{"aborted", simrun.Plan{}, session.On, func(u *awsUser, e *asl.Execution) error { return u.s.Abort(e.ARN()) }, "ABORTED Open Decide Submit Aborted", session.CauseWaiterAborted},
		{"its user signs out", simrun.Plan{}, session.Off, func(u *awsUser, _ *asl.Execution) error { u.signOut("u-ana", "nightshift"); return nil },
			"FAILED Open Decide Submit Failed States.TaskFailed", session.CauseSignOut},
		{"it fails", simrun.Plan{Work: 16 * time.Minute, Fail: true}, session.On, nil, "FAILED Open Decide Submit Failed States.TaskFailed", session.CauseFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := awsOpen(t, local.Options{Histories: 10_000})
			u.s.Directory.SetFacts(local.EMROnEKS, "", session.Facts{IdentityPropagation: session.On, ApplicationBackground: c.mode})
			u.s.EMR.Plan("", c.plan)
			e := u.execute(statemachines.SubmitJobRun, "features", submitted(t, local.VirtualCluster))
			u.pass(12 * time.Minute)
			if c.do != nil {
				if err := c.do(u, e); err != nil {
					t.Fatal(err)
				}
			}
			u.pass(15 * time.Minute)
			s, runs := u.session(e), u.s.EMR.Runs()
			if got := outcome(e); got != c.want || s.Status != session.Ended || s.End.Cause != c.cause {
				t.Errorf("%s, the session is %s because of %s\nwant %s, ENDED because of %s", got, s.Status, s.End.Cause, c.want, c.cause)
			}
			// A failure is tried again by Step Functions; the token starts it once.
			if len(runs) != 1 || !runs[0].Phase.Over() || runs[0].Session != s.ID || runs[0].User != "u-ana" {
				t.Errorf("runs %+v", runs)
			}
		})
	}
}

const churn = `{"user":"u-chloe","engine":"sagemaker-training","endpoint":"` + local.SageMaker + `","interactiveSession":{"id":"i-1","source":"portal","expiresAt":"2026-11-20T19:00:00Z"},"spec":{
	"TrainingJobName":"churn","AlgorithmSpecification":{"TrainingImage":"churn:1","TrainingInputMode":"File"},"RoleArn":"arn:aws:iam::123456789012:role/training",
	"OutputDataConfig":{"S3OutputPath":"s3://bucket/out"},"ResourceConfig":{"InstanceType":"ml.g5.xlarge","InstanceCount":1,"VolumeSizeInGB":50}%s}}`

// S4.4: a run that its policy ended is started again from its checkpoint, under a
// new session with the policy of now, same spec, next name; the records name each
// other. The machine waits for the grace of the engine.
func TestS4_4RestartFromACheckpoint(t *testing.T) {
	u := awsOpen(t, local.Options{Histories: 10_000})
	run := u.execute(statemachines.Run, "churn", fmt.Sprintf(churn, `,"CheckpointConfig":{"S3Uri":"s3://bucket/checkpoints/"}`))
	u.pass(61 * time.Minute) // the interactive session it rode has expired
	old := u.session(run)
	if old.Status != session.Ending {
		t.Fatalf("the session is %s, %s", old.Status, old.End.Cause)
	}
	background := session.Facts{IdentityPropagation: session.On, ApplicationBackground: session.On}
	u.s.Directory.SetFacts(local.SageMaker, "", background)
	restart := u.execute(statemachines.Restart, "churn", `{"session":"`+old.ID+`","why":"the evening"}`)
	u.pass(20 * time.Minute)
	var out struct{ Session, Attempt, Checkpoint string }
	if err := json.Unmarshal(restart.Output(), &out); err != nil || !strings.HasPrefix(outcome(restart), "SUCCEEDED Begin Restart Decide Grace Restart Decide") {
		_, cause := restart.Failure()
		t.Fatalf("%s %s %v", outcome(restart), cause, err)
	}
	old = u.session(run)
	next := sent(u.s.Store.Session(t.Context(), out.Session))(t)
	if next.Previous != old.ID || sent(u.s.App.Successor(t.Context(), old.ID))(t) != next.ID || old.Status != session.Ended {
		t.Errorf("%s follows %q, %s is followed by another", next.ID, next.Previous, old.ID)
	}
	if next.Mode != session.Background || old.Mode != session.Interactive || next.Status != session.Active || next.Run.ID != "training-job/churn-r2" || out.Attempt != "churn-r2" || out.Checkpoint != "s3://bucket/checkpoints/" {
		t.Errorf("%s %s %s, %+v; before it was %s", next.Mode, next.Status, next.Run.ID, out, old.Mode)
	}
	if next.OpenedAt.Before(old.End.Confirmed) {
		t.Errorf("opened at %s, before the run before was over at %s", next.OpenedAt, old.End.Confirmed)
	}
	job := sent(u.train.DescribeTrainingJob(t.Context(), &sagemaker.DescribeTrainingJobInput{TrainingJobName: aws.String("churn-r2")}))(t)
	if job.CheckpointConfig == nil || aws.ToString(job.CheckpointConfig.S3Uri) != "s3://bucket/checkpoints/" {
		t.Errorf("it goes on from %v", job.CheckpointConfig)
	}
	again := u.execute(statemachines.Restart, "again", `{"session":"`+old.ID+`"}`)
	none := u.execute(statemachines.Run, "plain", strings.Replace(fmt.Sprintf(churn, ""), `"churn"`, `"plain"`, 1))
	u.pass(30 * time.Minute)
	if err := u.s.Abort(none.ARN()); err != nil {
		t.Fatal(err)
	}
	u.pass(15 * time.Minute)
	if err := json.Unmarshal(again.Output(), &out); err != nil || out.Session != next.ID {
		t.Errorf("started again twice: %s, want %s %v", again.Output(), next.ID, err)
	}
	refused := u.execute(statemachines.Restart, "none", `{"session":"`+app.SessionOfExecution(none.ARN())+`"}`)
	u.pass(10 * time.Minute)
	if _, cause := refused.Failure(); !strings.HasSuffix(outcome(refused), "Restart Failed InvalidInput") || !strings.Contains(cause, "CheckpointConfig") {
		t.Errorf("%s %s", outcome(refused), cause)
	}
}

// S4.4: a pipeline is retried where it failed, by RetryPipelineExecution; the
// execution is the new session's from then on, and ends with it.
func TestS4_4RestartAPipeline(t *testing.T) {
	u := awsOpen(t, local.Options{Histories: 10_000})
	u.s.SageMaker.Plan("train", simrun.Plan{Work: 5 * time.Minute, Fail: true})
	run := u.execute(statemachines.Run, "churn", string(statemachines.Inputs(statemachines.Run)["run.pipeline.json"]))
	for range 40 {
		if u.pass(5 * time.Minute); run.Status() != asl.Running {
			break
		}
	}
	old := u.session(run)
	if old.Status != session.Ended || old.End.Cause != session.CauseFailed {
		t.Fatalf("the session is %s, %s", old.Status, old.End.Cause)
	}
	u.s.SageMaker.Plan("train", simrun.Plan{})
	prepared := len(u.s.SageMaker.Runs())
	restart := u.execute(statemachines.Restart, "churn", `{"session":"`+old.ID+`"}`)
	u.pass(3 * time.Minute)
	var out struct{ Session string }
	if err := json.Unmarshal(restart.Output(), &out); err != nil {
		_, cause := restart.Failure()
		t.Fatalf("%s %s", outcome(restart), cause)
	}
	next := sent(u.s.Store.Session(t.Context(), out.Session))(t)
	owner := sent(u.s.Store.Claimed(t.Context(), old.Run.Ref()))(t)
	if next.Status != session.Active || next.Run.ID != old.Run.ID || next.Run.ID == "" || owner != next.ID || next.Previous != old.ID {
		t.Fatalf("%s has %q and follows %q; %s owns %q", next.Status, next.Run.ID, next.Previous, owner, old.Run.ID)
	}
	if more := len(u.s.SageMaker.Runs()) - prepared; more != 1 {
		t.Errorf("the retry began %d jobs, want the one that failed", more)
	}
	u.signOut("u-chloe", "nightshift")
	u.pass(15 * time.Minute)
	if s := sent(u.s.Store.Session(t.Context(), out.Session))(t); s.Status != session.Ended || s.End.Cause != session.CauseSignOut {
		t.Errorf("after the sign-out it is %s, %s", s.Status, s.End.Cause)
	}
	for _, r := range u.s.SageMaker.Runs() {
		if !r.Phase.Over() {
			t.Errorf("%s is %s", r.ID, r.Phase)
		}
	}
}

// S4.3: an input over 256 KiB is refused before the start, with its size, at both
// doors.
func TestS4_3InputsOver256KiB(t *testing.T) {
	u := awsOpen(t, local.Options{})
	large := submitted(t, strings.Repeat("x", asl.DataLimit))
	size := fmt.Sprint(len(large))
	_, err := u.states.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: aws.String(awsMachines + statemachines.SubmitJobRun), Input: &large})
	awsCode(t, "StartExecution", "ValidationException", err)
	if err == nil || !strings.Contains(err.Error(), size) {
		t.Errorf("%.300s has no %s", fmt.Sprint(err), size)
	}
	r := sent(http.Post(u.url+"/executions/run", "application/json", strings.NewReader(large)))(t)
	defer r.Body.Close()
	if said := sent(io.ReadAll(r.Body))(t); r.StatusCode != http.StatusBadRequest || !strings.Contains(string(said), size+" bytes") {
		t.Errorf("%d %.300s", r.StatusCode, said)
	}
	if n := len(u.s.EMR.Runs()); n != 0 {
		t.Errorf("%d runs were started", n)
	}
}
