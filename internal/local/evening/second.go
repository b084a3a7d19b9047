package evening

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/asl"
	"nightshift/internal/asl/clock"
	"nightshift/internal/local"
	"nightshift/internal/network"
	"nightshift/internal/session"
	"nightshift/statemachines"
)

// later is how long after the first evening the second one is.
const later = 3 * 24 * time.Hour

// SecondStart is when the second evening begins.
func SecondStart() time.Time { return start.Add(later) }

// on is a time of the second evening.
func on(hour string) time.Time { return at(hour).Add(later) }

// second is an evening around the runs: clusters, a network, a notebook, a
// checkpoint.
type second struct {
	*play
	executions map[string]*asl.Execution // by the name of the machine, or as the script calls them
	cluster    string                    // the virtual cluster that was made
	told       map[string]string         // texts of notices, by name
}

// PlaySecond plays the second evening on a clock that shows SecondStart and judges
// it, as Play does the first.
func PlaySecond(c *clock.Clock, say func(Line)) (Result, error) {
	s, err := local.New(local.Options{Clock: c, IndexLag: 2 * time.Second})
	if err != nil {
		return Result{}, err
	}
	defer s.Close()
	p, err := newSecond(s, say)
	if err != nil {
		return Result{}, err
	}
	c.RunUntil(on("22:30"))
	if p.err != nil {
		return Result{}, p.err
	}
	return p.judge(), nil
}

func newSecond(s *local.System, say func(Line)) (*second, error) {
	p := &second{play: &play{s: s, sayLine: say, client: &http.Client{}}, executions: map[string]*asl.Execution{}, told: map[string]string{}}
	s.OnAnnounced(func(a local.Announced) {
		var d struct{ Notice, Text string }
		p.fail(json.Unmarshal(a.Detail, &d))
		if d.Notice == app.NoticeMoved || d.Notice == app.NoticeCheckpoint {
			p.told[d.Notice] = d.Text
			p.sayLine(Line{At: a.At, Who: "nightshift", What: "tells the user: " + d.Text})
		}
		p.announced(a)
	})
	if err := p.settings(); err != nil {
		return nil, err
	}
	s.Start()
	p.virtualCluster()
	p.processing()
	p.notebook()
	p.restart()
	return p, nil
}

// machine starts an execution and keeps it under a name.
func (p *second) machine(machine, name string, input any) *asl.Execution {
	body, err := json.Marshal(input)
	p.fail(err)
	arn, err := p.s.StartMachine(machine, name, body)
	p.fail(err)
	if err != nil {
		return nil
	}
	e, err := p.s.Execution(arn)
	p.fail(err)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.executions[name] = e
	return e
}

// sample is one of a machine's own inputs.
func (p *second) sample(machine, file string) map[string]any {
	var input map[string]any
	p.fail(json.Unmarshal(statemachines.Inputs(machine)[file], &input))
	return input
}

// follows adds a subject whose session an execution opens.
func (p *second) follows(sub *subject, e *asl.Execution) {
	if e == nil {
		return
	}
	sub.id = app.SessionOfExecution(e.ARN())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.subjects = append(p.subjects, sub)
}

// virtualCluster: made, used, deleted (S4.3).
func (p *second) virtualCluster() {
	p.when(on("17:32"), func() {
		p.say("admin", "makes a virtual cluster")
		p.machine(statemachines.CreateVirtualCluster, "etl", p.sample(statemachines.CreateVirtualCluster, "create-virtual-cluster.json"))
	})
	p.when(on("17:40"), func() {
		var made struct{ Id string }
		p.fail(json.Unmarshal(p.executions["etl"].Output(), &made))
		p.cluster = made.Id
		p.say("ana", "submits a job run to it, and waits by Step Functions' own polling")
		input := p.sample(statemachines.SubmitJobRun, "submit-job-run.spark.json")
		run, _ := input["jobRun"].(map[string]any)
		run["VirtualClusterId"] = made.Id
		run["JobDriver"] = map[string]any{"SparkSubmitJobDriver": map[string]any{"EntryPoint": "s3://nightshift-demo/job.py", "SparkSubmitParameters": "--conf " + sparkWork + "=40m"}}
		p.follows(&subject{user: "ana", engine: "emr-containers", mode: session.Background, cause: session.CauseFinished, happened: "submitted to a new virtual cluster; it finished"},
			p.machine(statemachines.SubmitJobRun, "features", input))
	})
	p.when(on("20:30"), func() {
		p.say("admin", "deletes the virtual cluster")
		p.machine(statemachines.DeleteVirtualCluster, "delete-etl", map[string]any{"Id": p.cluster})
	})
}

// processing: a job whose network is not as it should be, and the same job when
// it is (S6).
func (p *second) processing() {
	var routes []network.Table
	p.when(on("17:50"), func() {
		p.say("admin", "takes the route to S3 out of the route table by mistake")
		p.s.EC2.Change(func(f *network.Facts) {
			routes = slices.Clone(f.Tables)
			for i, t := range f.Tables {
				f.Tables[i].Routes = slices.DeleteFunc(slices.Clone(t.Routes), func(r network.Route) bool { return strings.HasPrefix(r.Target, "vpce-") })
			}
		})
	})
	start := func(name, what string) *asl.Execution {
		p.say("ana", "%s", what)
		return p.machine(statemachines.ProcessInVPC, name, p.sample(statemachines.ProcessInVPC, "process-in-vpc.json"))
	}
	p.when(on("17:51"), func() { start("prepare", "starts a processing job in the VPC") })
	p.when(on("17:55"), func() {
		_, cause := p.executions["prepare"].Failure()
		var refusal struct{ Text string }
		p.fail(json.Unmarshal([]byte(cause), &refusal))
		p.say("nightshift", "starts nothing: %s", refusal.Text)
		p.say("admin", "puts the route back")
		p.s.EC2.Change(func(f *network.Facts) { f.Tables = routes })
		p.follows(&subject{user: "ana", engine: "sagemaker-processing", mode: session.Interactive, cause: session.CauseFinished, happened: "its network was mended after a failed preflight; it finished"},
			start("prepare-again", "starts the same job again"))
	})
}

// notebook: moved to a new cluster of one node while its user has gone home (S5.1).
func (p *second) notebook() {
	p.when(on("18:00"), func() {
		p.say("rosa", "runs a notebook on %s", local.NotebookCluster)
		p.follows(&subject{user: "rosa", engine: "emr-notebook", mode: session.Background, cause: session.CauseStopRequested, happened: "moved to another cluster: its first kernel", since: on("18:30"), known: on("18:30")},
			p.machine(statemachines.Run, "cohorts", map[string]any{"user": "u-rosa", "engine": "emr-notebook", "endpoint": local.EMRNotebook, "spec": map[string]any{
				"ExecutionEngine": map[string]any{"Id": local.NotebookCluster, "Type": "EMR"}, "ServiceRole": "EMR_Notebooks_DefaultRole", "EditorId": "e-COHORTS", "RelativePath": "cohorts.ipynb",
				"OutputNotebookS3Location": map[string]any{"Bucket": "nightshift-demo", "Key": "notebooks"}}}))
	})
	p.when(on("18:30"), func() {
		p.say("rosa", "has it moved to a new cluster of one node, and signs out")
		p.machine(statemachines.MoveNotebook, "move-cohorts", map[string]any{"session": p.sessionOf("cohorts"), "to": map[string]any{"newCluster": map[string]any{"instanceType": "m5.xlarge"}}, "why": "the shared cluster is full"})
		p.fail(p.s.Put(p.logout("rosa", "is-rosa", on("18:30"))))
	})
	p.when(on("22:00"), func() {
		next, err := p.s.App.Successor(context.Background(), p.sessionOf("cohorts"))
		p.fail(err)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.subjects = append(p.subjects, &subject{user: "rosa", engine: "emr-notebook", mode: session.Background, happened: "moved to another cluster: its second kernel", id: next})
	})
}

func (p *second) sessionOf(name string) string {
	return app.SessionOfExecution(p.executions[name].ARN())
}

// restart: a training job that is stopped by a sign-out, saves a checkpoint in the
// engine's grace, and is started again from it (S4.4).
func (p *second) restart() {
	const bucket, key = "nightshift-demo", "checkpoints/churn/"
	spec := trainingSpec("churn", "")
	spec["CheckpointConfig"] = map[string]any{"S3Uri": "s3://" + bucket + "/" + key}
	p.when(on("18:10"), func() {
		p.say("sven", "starts a training job that writes checkpoints")
		p.follows(&subject{user: "sven", engine: "sagemaker-training", mode: session.Interactive, cause: session.CauseSignOut, happened: "signed out; it saved a checkpoint while it was stopped",
			since: on("19:00"), known: on("19:00").Add(arrives)},
			p.machine(statemachines.Run, "churn", map[string]any{"user": "u-sven", "engine": "sagemaker-training", "endpoint": local.SageMaker, "domain": "d-classic", "spec": spec,
				"interactiveSession": map[string]any{"id": "is-sven", "source": "portal"}}))
	})
	p.when(on("18:50"), func() { p.s.S3.Put(bucket, key+"epoch-3.pt", p.s.Clock.Now()) })
	p.signsOut(on("19:00"), "sven")
	p.when(on("19:00:40"), func() { p.s.S3.Put(bucket, key+"epoch-4.pt", p.s.Clock.Now()) })
	p.when(on("19:30"), func() {
		p.say("sven", "signs in again and has it started from its checkpoint")
		p.machine(statemachines.Restart, "restart-churn", map[string]any{"session": p.sessionOf("churn"), "why": "on from the checkpoint"})
	})
	p.when(on("19:45"), func() {
		var out struct{ Session string }
		p.fail(json.Unmarshal(p.executions["restart-churn"].Output(), &out))
		p.mu.Lock()
		defer p.mu.Unlock()
		p.subjects = append(p.subjects, &subject{user: "sven", engine: "sagemaker-training", mode: session.Interactive, happened: "started again from its checkpoint, as another session", id: out.Session})
	})
}

// judge compares what the engines saw with what had to happen.
func (p *second) judge() Result {
	records := p.records()
	var r Result
	for _, sub := range p.subjects {
		r.Rows = append(r.Rows, p.judgeOne(sub, records))
	}
	r.Checks = []Row{p.checkCluster(), p.checkPreflight(), p.checkNotebook(), p.checkCheckpoint()}
	var proven Row
	proven, r.Proof = p.checkProof()
	r.Checks = append(r.Checks, proven)
	return r
}

// ended says how an execution ended where that is not as it should be.
func (p *second) ended(name string, want asl.Status, failure string) string {
	e := p.executions[name]
	if e == nil {
		return "execution " + name + " was not started"
	}
	if got, cause := e.Failure(); e.Status() != want || got != failure {
		return strings.TrimSpace(fmt.Sprintf("execution %s is %s %s %s", name, e.Status(), got, cause))
	}
	return ""
}

// first is the first finding that there is.
func first(findings ...string) string {
	for _, f := range findings {
		if f != "" {
			return f
		}
	}
	return ""
}

// checkCluster: the service itself says that the virtual cluster was made, and is
// gone.
func (p *second) checkCluster() Row {
	finding := first(p.ended("etl", asl.Succeeded, ""), p.ended("features", asl.Succeeded, ""), p.ended("delete-etl", asl.Succeeded, ""))
	if finding == "" {
		var seen struct{ VirtualCluster struct{ Name, State string } }
		p.fail(json.Unmarshal(p.get(p.s.URLs[local.EMROnEKS]+"/virtualclusters/"+p.cluster), &seen))
		if seen.VirtualCluster.State != "TERMINATED" {
			finding = "EMR on EKS says that it is " + seen.VirtualCluster.State
		}
	}
	return check("admin", "a virtual cluster was made, used and deleted", "TERMINATED", finding)
}

// checkPreflight: the job whose network had no way to S3 was refused for that, and
// SageMaker never saw it.
func (p *second) checkPreflight() Row {
	finding := first(p.ended("prepare", asl.Failed, "PreflightFailed"), p.ended("prepare-again", asl.Succeeded, ""))
	if finding == "" {
		_, cause := p.executions["prepare"].Failure()
		if !strings.Contains(cause, "S3") {
			finding = "it was refused for something else: " + cause
		}
		for _, r := range p.s.SageMaker.Runs() {
			if r.Session == p.sessionOf("prepare") {
				finding = "SageMaker was asked to run it"
			}
		}
	}
	return check("ana", "a job's network had lost its way to S3", "PreflightFailed", finding)
}

// checkNotebook: EMR saw two kernels one after the other, the second on the one
// cluster that was made, of one node; and the user was told what is lost and where
// the executed notebook is.
func (p *second) checkNotebook() Row {
	finding := p.ended("move-cohorts", asl.Succeeded, "")
	kernels := p.s.Notebooks.Runs()
	made, asked := p.s.Notebooks.Made()
	switch {
	case finding != "":
	case len(kernels) != 2 || kernels[0].Ended.IsZero() || kernels[1].Created.Before(kernels[0].Ended):
		finding = fmt.Sprintf("EMR saw kernels that should not have been: %+v", kernels)
	case len(made) != 1 || strings.Count(string(asked[0]), "InstanceRole") != 1:
		finding = fmt.Sprintf("%d clusters were made, should be one of one node: %s", len(made), asked)
	case !strings.Contains(p.told[app.NoticeMoved], "is lost") || !strings.Contains(p.told[app.NoticeMoved], "s3://nightshift-demo/notebooks/"+kernels[0].ID) || !strings.Contains(p.told[app.NoticeMoved], made[0]):
		finding = "the user was told: " + p.told[app.NoticeMoved]
	}
	return check("rosa", "a notebook was moved while its user left", "moved", finding)
}

// checkCheckpoint: the user was told of the checkpoint of the grace, not of an
// older one, and the job that goes on is another one of the next name.
func (p *second) checkCheckpoint() Row {
	finding := p.ended("restart-churn", asl.Succeeded, "")
	var names []string
	for _, r := range p.s.SageMaker.Runs() {
		if strings.HasPrefix(r.Name, "churn") {
			names = append(names, r.Name)
		}
	}
	switch {
	case finding != "":
	case !strings.Contains(p.told[app.NoticeCheckpoint], "checkpoints/churn/epoch-4.pt"):
		finding = "the user was told: " + p.told[app.NoticeCheckpoint]
	case !slices.Equal(names, []string{"churn", "churn-r2"}):
		finding = fmt.Sprintf("SageMaker saw %v", names)
	}
	return check("sven", "a stopped job saved a checkpoint and was started again", "restarted", finding)
}
