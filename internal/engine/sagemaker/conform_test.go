//go:build conform

package sagemaker

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"nightshift/internal/app"
	"nightshift/internal/conform"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

// gaps are what moto's SageMaker does not do of what the engine relies on; only
// the simulator shows it. Where the suite meets one, it says so by its number: a
// moto that learns it fails there.
var gaps = []string{
	"0 StopTrainingJob is not implemented: it answers 500 and a page of HTML",
	"1 StopPipelineExecution and ListPipelineExecutionSteps are not implemented",
	"2 takes a name that is taken: there is no ResourceInUse, the job of the name is another then",
	"3 has no states but Completed, Succeeded and, for processing, Stopped: nothing waits, runs or is stopping",
	"4 stops a processing job that is over, where SageMaker refuses with a ValidationException",
	"5 never throttles, has no quotas and refuses no credentials",
	"6 filters a page after cutting it, so that a filtered page may be empty and not the last",
	"7 does not tag the jobs of a pipeline's steps, since it runs none",
}

// TestConform holds the engine's requests and answers against moto's.
func TestConform(t *testing.T) {
	for _, gap := range gaps {
		t.Logf("moto's SageMaker: gap %s", gap)
	}
	e, c := moto(t)
	if l, err := e.List(t.Context(), endpoint); err != nil || !l.Complete || len(l.Runs) != 0 {
		t.Fatalf("without runs the list is %+v, %v", l, err)
	}
	t.Run("training", func(t *testing.T) { conformTraining(t, e) })
	t.Run("processing", func(t *testing.T) { conformProcessing(t, e) })
	t.Run("pipelines", func(t *testing.T) { conformPipelines(t, e, c) })
	t.Run("pages", func(t *testing.T) { conformPages(t, e, c) })
}

func conformTraining(t *testing.T, e *Engine) {
	start := app.Start{SessionID: "t-1", User: "alice", MaxRuntime: time.Hour, Run: template, Spec: spec(`,"StoppingCondition":{"MaxRuntimeInSeconds":7200}`)}
	run := begin(t, e, start)
	if run.ID != "training-job/ns-t-1" || run.MaxRuntime != time.Hour || run.Endpoint != endpoint {
		t.Errorf("start answers %+v", run)
	}
	o := described(t, e, run)
	if o.Run != run || o.Name != "ns-t-1" || o.State != workload.Succeeded || o.Stamp != "t-1" || o.User != "alice" || o.Detail != "Completed" {
		t.Errorf("describe answers %+v", o)
	}
	if o.CreatedAt.IsZero() || o.RunningSince.IsZero() || o.At.IsZero() || o.At.Before(o.CreatedAt) {
		t.Errorf("its times are %s, %s and %s", o.CreatedAt, o.RunningSince, o.At)
	}
	l := listed(t, e)
	o.Detail = "" // moto's summaries have no SecondaryStatus
	if l[run.ID] != o {
		t.Errorf("the list shows %+v, want what describe says, %+v", l[run.ID], o)
	}
	if err := e.Stop(t.Context(), run); fault.KindOf(err) != fault.Unknown || err == nil {
		t.Errorf("gap 0 is closed, or an answer that is none is taken for one: stop says %v", err)
	}
	if again := begin(t, e, start); again != run {
		t.Errorf("a repeated start answers %+v, the first %+v", again, run)
	}
	if again := described(t, e, run); !again.CreatedAt.After(o.CreatedAt) {
		t.Errorf("gap 2 is closed: the repeated start left the job of %s", again.CreatedAt)
	}
	gone(t, e, run)
}

func conformProcessing(t *testing.T, e *Engine) {
	start := app.Start{
		SessionID: "p-1", User: "alice", MaxRuntime: time.Hour, Run: workload.Run{Engine: workload.SageMakerProcessing, Endpoint: endpoint},
		Spec: []byte(`{"RoleArn":"arn:aws:iam::123456789012:role/job","AppSpecification":{"ImageUri":"image"},"Tags":[{"Key":"team","Value":"red"}],
			"ProcessingResources":{"ClusterConfig":{"InstanceCount":1,"InstanceType":"ml.m5.large","VolumeSizeInGB":10}},
			"NetworkConfig":{"EnableNetworkIsolation":true,"VpcConfig":{"SecurityGroupIds":["sg-1"],"Subnets":["subnet-1"]}}}`),
	}
	run := begin(t, e, start)
	o := described(t, e, run)
	// moto does not keep a processing job's resources, so describe cannot tell
	// them; the resources of a training job are compared above.
	run.Billing = o.Run.Billing
	if run.ID != "processing-job/ns-p-1" || o.Run != run || run.MaxRuntime != time.Hour || o.State != workload.Succeeded || o.Stamp != "p-1" || o.User != "alice" {
		t.Errorf("start answers %+v, describe %+v", run, o)
	}
	if l := listed(t, e); l[run.ID] != o {
		t.Errorf("the list shows %+v, want what describe says, %+v", l[run.ID], o)
	}
	if err := e.Stop(t.Context(), run); err != nil {
		t.Errorf("stop: %v", err)
	}
	if o := described(t, e, run); o.State != workload.Stopped || o.Stamp != "p-1" {
		t.Errorf("stopped (gap 4), it is described as %+v", o)
	}
	gone(t, e, run)
	run.ID += "9"
	if err := e.Stop(t.Context(), run); err != nil {
		t.Errorf("stop of a job that never was: %v", err)
	}
}

func conformPipelines(t *testing.T, e *Engine, c *sdk.Client) {
	start := app.Start{
		SessionID: "e-1", User: "alice", Run: workload.Run{Engine: workload.SageMakerPipeline, Endpoint: endpoint},
		Spec: []byte(`{"PipelineName":"nightly","PipelineExecutionDescription":"by hand"}`),
	}
	if _, err := e.Start(t.Context(), start); !fault.Is(err, fault.Invalid) {
		t.Errorf("a pipeline that there is not answers %v, want an invalid fault", err)
	}
	if _, err := c.CreatePipeline(t.Context(), &sdk.CreatePipelineInput{
		PipelineName: aws.String("nightly"), RoleArn: aws.String("arn:aws:iam::123456789012:role/job"),
		PipelineDefinition: aws.String("{}"), ClientRequestToken: aws.String(strings.Repeat("a", 32)),
	}); err != nil {
		t.Fatal(err)
	}
	run := begin(t, e, start)
	if !strings.HasPrefix(run.ID, "pipeline/nightly/execution/") {
		t.Errorf("start answers %+v", run)
	}
	if again := begin(t, e, start); again != run {
		t.Errorf("a repeated start answers %+v, the first %+v", again, run)
	}
	o := listed(t, e)[run.ID]
	if o.Run != run || o.State != workload.Succeeded || o.Stamp != "e-1" || o.Name != "ns-e-1" || o.CreatedAt.IsZero() {
		t.Errorf("the list shows %+v", o)
	}
	if o, err := e.Describe(t.Context(), run); fault.KindOf(err) != fault.Unknown || err == nil || o.State != "" {
		t.Errorf("gap 1 is closed, or an execution is over without a look at its jobs: %+v, %v", o, err)
	}
	gone(t, e, run)
}

// conformPages: a listing goes on from page to page, and shows others' jobs
// without a stamp.
func conformPages(t *testing.T, e *Engine, c *sdk.Client) {
	const many = pageSize + 20
	before := len(listed(t, e))
	in := &sdk.CreateTrainingJobInput{}
	if err := decode(spec(""), in); err != nil {
		t.Fatal(err)
	}
	for n := range many {
		in.TrainingJobName = aws.String(fmt.Sprintf("theirs-%d", n))
		if _, err := c.CreateTrainingJob(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	l := listed(t, e)
	if len(l) != before+many {
		t.Errorf("the list has %d runs, want %d", len(l), before+many)
	}
	for n := range many {
		if o := l[fmt.Sprintf("training-job/theirs-%d", n)]; o.State != workload.Succeeded || o.Stamp != "" {
			t.Errorf("the list shows %+v", o)
		}
	}
}

func begin(t *testing.T, e *Engine, s app.Start) workload.Run {
	t.Helper()
	run, err := e.Start(t.Context(), s)
	if err != nil {
		t.Fatalf("start %s: %v", s.SessionID, err)
	}
	return run
}

func described(t *testing.T, e *Engine, run workload.Run) workload.Observation {
	t.Helper()
	o, err := e.Describe(t.Context(), run)
	if err != nil {
		t.Fatalf("describe %s: %v", run.ID, err)
	}
	return o
}

func listed(t *testing.T, e *Engine) map[string]workload.Observation {
	t.Helper()
	l, err := e.List(t.Context(), endpoint)
	if err != nil || !l.Complete {
		t.Fatalf("the list is complete %v, %v", l.Complete, err)
	}
	all := map[string]workload.Observation{}
	for _, o := range l.Runs {
		all[o.Run.ID] = o
	}
	return all
}

// gone expects that a run of the same kind that never was is described as gone.
func gone(t *testing.T, e *Engine, like workload.Run) {
	t.Helper()
	like.ID += "9"
	if o := described(t, e, like); o.State != workload.Gone || o.Run.Ref() != like.Ref() || o.Run.Engine != like.Engine {
		t.Errorf("%s, which never was, is described as %+v; want it gone", like.ID, o)
	}
}

// moto starts moto for the test, on a free loopback port, and gives an engine
// with the real client of it, and the client.
func moto(t *testing.T) (*Engine, *sdk.Client) {
	t.Helper()
	url := conform.Moto(t)
	c := sdk.NewFromConfig(aws.Config{
		Region: region, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
		BaseEndpoint: aws.String(url), Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	})
	return New(c, account, region, func() time.Time { return served(t, url) }), c
}

// served is moto's own time.
func served(t *testing.T, url string) time.Time {
	t.Helper()
	res, err := http.Head(url + "/moto-api/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	now, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		t.Fatal(err)
	}
	return now
}
