package local_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"nightshift/internal/local"
	"nightshift/statemachines"
)

// Each sample of statemachines/inputs does what it says when it is pasted into
// `aws stepfunctions start-execution` of a fresh local system. What a sample names
// is started before it, from the samples too.
func TestEverySampleInputStartsItsMachine(t *testing.T) {
	type earlier struct{ machine, sample, name string }
	looked := 0
	for sample, c := range map[string]struct {
		machine string
		before  earlier
		stop    bool // the execution before is stopped again
		after   time.Duration
		want    string
	}{
		"run.training.json":            {machine: statemachines.Run, after: time.Hour, want: "RUNNING Open Start"},
		"run.pipeline.json":            {machine: statemachines.Run, after: 10 * time.Minute, want: "RUNNING Open Start"},
		"run.notebook.json":            {machine: statemachines.Run, after: time.Hour, want: "RUNNING Open Start"},
		"create-virtual-cluster.json":  {machine: statemachines.CreateVirtualCluster, after: time.Minute, want: "SUCCEEDED Create Created"},
		"delete-virtual-cluster.json":  {machine: statemachines.DeleteVirtualCluster, after: 10 * time.Minute, want: "SUCCEEDED Delete Deleted"},
		"submit-job-run.spark.json":    {machine: statemachines.SubmitJobRun, after: time.Minute, want: "RUNNING Open Decide Submit"},
		"submit-job-run.sql.json":      {machine: statemachines.SubmitJobRun, after: time.Minute, want: "RUNNING Open Decide Submit"},
		"submit-job-run.template.json": {machine: statemachines.SubmitJobRun, after: time.Minute, want: "RUNNING Open Decide Submit"},
		"process-in-vpc.json":          {machine: statemachines.ProcessInVPC, after: 2 * time.Hour, want: "SUCCEEDED Preflight Judge Open Start Succeeded"},
		"restart.json":                 {machine: statemachines.Restart, before: earlier{statemachines.Run, "run.training.json", "chloe-churn"}, stop: true, after: 10 * time.Minute, want: "SUCCEEDED Begin Restart Decide Grace Restart Decide Started"},
		"move-notebook.cluster.json":   {machine: statemachines.MoveNotebook, before: earlier{statemachines.Run, "run.notebook.json", "rosa-cohorts"}, after: 20 * time.Minute, want: whole},
		"move-notebook.new.json":       {machine: statemachines.MoveNotebook, before: earlier{statemachines.Run, "run.notebook.json", "rosa-cohorts"}, after: 30 * time.Minute, want: "SUCCEEDED Begin Resumed LookFrom Target Actions Design Create Look Subnets Judge Ready Starting Look Subnets Judge Ready Stop Stopped Grace Stop Stopped Start Started Follow Arrived End Outcome Moved"},
	} {
		looked++
		t.Run(sample, func(t *testing.T) {
			u := awsOpen(t, local.Options{Histories: 10_000})
			start := func(machine, sample, name string) string {
				out := sent(u.states.StartExecution(t.Context(), &sfn.StartExecutionInput{
					StateMachineArn: aws.String(awsMachines + machine), Name: &name, Input: aws.String(string(statemachines.Inputs(machine)[sample]))}))(t)
				return aws.ToString(out.ExecutionArn)
			}
			if b := c.before; b.machine != "" {
				arn := start(b.machine, b.sample, b.name)
				u.pass(5 * time.Minute)
				if c.stop {
					if err := u.s.Abort(arn); err != nil {
						t.Fatal(err)
					}
					u.pass(time.Minute)
				}
			}
			e := sent(u.s.Execution(start(c.machine, sample, "sample")))(t)
			u.pass(c.after)
			_, cause := e.Failure()
			if got := squeezed(outcome(e)); got != squeezed(c.want) {
				t.Errorf("%s %s\nwant %s", got, cause, c.want)
			}
		})
	}
	all := 0
	for _, machine := range statemachines.Names() {
		all += len(statemachines.Inputs(machine))
	}
	if looked != all {
		t.Errorf("%d samples were started, there are %d", looked, all)
	}
}
