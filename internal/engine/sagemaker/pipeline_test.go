package sagemaker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/engine/enginetest"
	"nightshift/internal/engine/sagemaker/sagemakersim"
	"nightshift/internal/engine/simrun"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

var pipelineTemplate = workload.Run{Engine: workload.SageMakerPipeline, Endpoint: endpoint}

// pipelines are those of the tests: one that trains, and some whose steps cannot
// be stopped or run beside each other.
var pipelines = []sagemakersim.Pipeline{
	{Name: "Nightly", Steps: []sagemakersim.Step{{Name: "train", Type: "Training"}}},
	{Name: "approved", Steps: []sagemakersim.Step{
		{Name: "extract", Type: "Processing"},
		{Name: "approve", Type: "Callback"},
	}},
	{Name: "told", Steps: []sagemakersim.Step{{Name: "tell", Type: "Lambda"}}},
	{Name: "beside", Steps: []sagemakersim.Step{
		{Name: "bad", Type: "Processing", Work: 10 * time.Minute, Fail: true},
		{Name: "long", Type: "Training"},
	}},
	{Name: "chain", Steps: []sagemakersim.Step{
		{Name: "first", Type: "Processing", Work: 10 * time.Minute},
		{Name: "second", Type: "Training", After: []string{"first"}, Work: 10 * time.Minute},
	}},
}

func startOf(pipeline, session string) app.Start {
	return app.Start{SessionID: session, User: "user-1", Run: pipelineTemplate, Spec: fmt.Appendf(nil, `{"PipelineName":%q}`, pipeline)}
}

func startIt(t *testing.T, e *Engine, pipeline, session string) workload.Run {
	t.Helper()
	run, err := e.Start(t.Context(), startOf(pipeline, session))
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// found is how a complete listing shows a run; nil where it does not.
func found(t *testing.T, e *Engine, id string) *workload.Observation {
	t.Helper()
	l, err := e.List(t.Context(), endpoint)
	if err != nil || !l.Complete {
		t.Fatalf("the list is complete %v, %v", l.Complete, err)
	}
	for _, o := range l.Runs {
		if o.Run.ID == id {
			return &o
		}
	}
	return nil
}

// shows expects a state of a run, from the list where it is there, and always
// from a describe.
func shows(t *testing.T, e *Engine, run workload.Run, want workload.State) workload.Observation {
	t.Helper()
	d, err := e.Describe(t.Context(), run)
	if err != nil || d.State != want {
		t.Fatalf("the run is described as %+v, %v; want it %s", d, err, want)
	}
	if o := found(t, e, run.ID); o != nil && (o.State != want || o.Stuck != d.Stuck) {
		t.Errorf("the list shows %+v, the describe %+v", *o, d)
	} else if o == nil && !want.Over() {
		t.Errorf("the list does not show a run that is %s", want)
	}
	return d
}

func TestPipelineEngine(t *testing.T) {
	suite(t, sagemakersim.Config{Pipelines: pipelines}, "pipeline/", enginetest.Harness{
		Template: pipelineTemplate,
		Spec: func(n int) []byte {
			return fmt.Appendf(nil, `{"PipelineName":"Nightly","PipelineParameters":[{"Name":"n","Value":"%d"}]}`, n)
		},
		Bad: []byte(`{"PipelineName":"Nightly","PipelineParameters":"none"}`), BadField: "PipelineParameters",
		StartOp: sagemakersim.OpStartExecution, Immediate: true, LooksUp: true, Many: 120,
		StartDelay: sagemakersim.Habit.StartDelay, // of the step's job: a job asked to stop before never works
	})
}

func TestPipelineSpecsRefused(t *testing.T) {
	e, sim := open(t, enginetest.Clock(t), sagemakersim.Config{Pipelines: pipelines})
	for spec, names := range map[string]string{
		`{}`: "PipelineName",
		`{"PipelineName":"Nightly","PipelineExecutionDisplayName":"mine"}`: "PipelineExecutionDisplayName",
		`{"PipelineName":"Nightly","ClientRequestToken":"x"}`:              "ClientRequestToken",
		`{"PipelineName":"nowhere"}`:                                       "nowhere",
	} {
		s := startOf("", "s-1")
		s.Spec = []byte(spec)
		if _, err := e.Start(t.Context(), s); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), names) {
			t.Errorf("%s answers %v, want an invalid fault naming %s", spec, err, names)
		}
	}
	if _, err := e.Start(t.Context(), startOf("Nightly", strings.Repeat("a", 90))); !fault.Is(err, fault.Invalid) {
		t.Errorf("a session id that fits no display name answers %v", err)
	}
	if runs := sim.Runs(); len(runs) != 0 {
		t.Errorf("they left %+v", runs)
	}
}

// TestAStartRepeatedLate: the service forgets tokens, the list does not.
func TestAStartRepeatedLate(t *testing.T) {
	c := enginetest.Clock(t)
	e, sim := open(t, c, sagemakersim.Config{Pipelines: pipelines})
	sim.LoseResponse(sagemakersim.OpStartExecution, 1)
	if _, err := e.Start(t.Context(), startOf("Nightly", "s-1")); fault.KindOf(err) != fault.Unknown || err == nil {
		t.Fatalf("a lost answer answers %v", err)
	}
	o := sim.Runs()[0]
	for _, later := range []time.Duration{time.Second, 3 * time.Hour} {
		_ = c.Sleep(t.Context(), later)
		if run := startIt(t, e, "Nightly", "s-1"); !strings.HasPrefix(run.ID, "pipeline/nightly/execution/") || run.Engine != workload.SageMakerPipeline {
			t.Errorf("S4.1 it answers %+v", run)
		}
	}
	executions := 0
	for _, r := range sim.Runs() {
		if strings.HasPrefix(r.ID, "pipeline/") {
			executions++
		}
	}
	if executions != 1 || o.Session != "s-1" {
		t.Errorf("S4.1 there are %d executions, the first of session %q; want one of s-1", executions, o.Session)
	}
	if seen := found(t, e, o.ID); seen == nil || seen.Stamp != "s-1" {
		t.Errorf("S4.1 the list shows %+v, want the execution stamped s-1", seen)
	}
}

// TestAStepThatCannotBeStopped: a stop hangs on a Callback step until it is
// answered and on a Lambda step until its timeout; both are named (S2.9).
func TestAStepThatCannotBeStopped(t *testing.T) {
	t.Run("Callback", func(t *testing.T) {
		c := enginetest.Clock(t)
		e, sim := open(t, c, sagemakersim.Config{Pipelines: pipelines})
		run := startIt(t, e, "approved", "s-1")
		_ = c.Sleep(t.Context(), time.Hour)
		if o := shows(t, e, run, workload.Running); o.Stuck != "" {
			t.Errorf("running it is said to be stuck: %s", o.Stuck)
		}
		if err := e.Stop(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		_ = c.Sleep(t.Context(), 5*time.Hour)
		if o := shows(t, e, run, workload.Stopping); !strings.Contains(o.Stuck, "step approve (Callback)") || strings.Contains(o.Stuck, "extract") {
			t.Errorf("S2.9 what keeps it is said to be %q, want the step approve and no other", o.Stuck)
		}
		if err := e.Stop(t.Context(), run); err != nil {
			t.Errorf("asked again it answers %v", err)
		}
		answer(t, sim, run)
		if o := shows(t, e, run, workload.Stopped); o.Stuck != "" || !o.At.Equal(c.Now()) {
			t.Errorf("answered it is %+v", o)
		}
	})
	t.Run("Lambda", func(t *testing.T) {
		c := enginetest.Clock(t)
		e, _ := open(t, c, sagemakersim.Config{Pipelines: pipelines})
		run := startIt(t, e, "told", "s-1")
		_ = c.Sleep(t.Context(), time.Minute)
		if err := e.Stop(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		if o := shows(t, e, run, workload.Stopping); !strings.Contains(o.Stuck, "step tell (Lambda)") {
			t.Errorf("S2.9 what keeps it is said to be %q, want the step tell", o.Stuck)
		}
		_ = c.Sleep(t.Context(), 10*time.Minute)
		shows(t, e, run, workload.Failed)
	})
}

// answer calls SendPipelineExecutionStepSuccess for the execution's only
// Callback step.
func answer(t *testing.T, sim *sagemakersim.Sim, run workload.Run) {
	t.Helper()
	arn := "arn:aws:sagemaker:" + region + ":" + account + ":" + run.ID
	var steps struct {
		PipelineExecutionSteps []struct {
			Metadata struct {
				Callback struct{ CallbackToken string }
			}
		}
	}
	post(t, sim, sagemakersim.OpListSteps, fmt.Sprintf(`{"PipelineExecutionArn":%q}`, arn), &steps)
	for _, s := range steps.PipelineExecutionSteps {
		if token := s.Metadata.Callback.CallbackToken; token != "" {
			post(t, sim, sagemakersim.OpStepSuccess, fmt.Sprintf(`{"CallbackToken":%q}`, token), &struct{}{})
		}
	}
}

func post(t *testing.T, h http.Handler, op, body string, into any) {
	t.Helper()
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", "SageMaker."+op)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil || w.Code != 200 {
		t.Fatalf("%s answers %d %s", op, w.Code, w.Body)
	}
}

// TestAPipelinesJobs: a job of a step is listed as a part of its execution, and
// never as a run of its own.
func TestAPipelinesJobs(t *testing.T) {
	c := enginetest.Clock(t)
	e, _ := open(t, c, sagemakersim.Config{Pipelines: pipelines})
	foreign(t, e, c, 1)
	run := startIt(t, e, "chain", "s-1")
	parts := map[string]bool{}
	for range 40 {
		_ = c.Sleep(t.Context(), time.Minute)
		l, err := e.List(t.Context(), endpoint)
		if err != nil || !l.Complete {
			t.Fatalf("the list is %+v, %v", l, err)
		}
		for _, o := range l.Runs {
			switch {
			case strings.Contains(o.Run.ID, "-job/pipelines-") && o.State.Over(): // nothing is looked up of what is over
			case strings.Contains(o.Run.ID, "-job/pipelines-"):
				parts[o.Run.ID] = true
				if o.PartOf != run.ID || o.Stamp != "" {
					t.Errorf("the job %s is a part of %q, stamped %q; want a part of %s", o.Run.ID, o.PartOf, o.Stamp, run.ID)
				}
			case o.PartOf != "":
				t.Errorf("%s is a part of %s", o.Run.ID, o.PartOf)
			}
		}
	}
	if len(parts) != 2 {
		t.Errorf("the jobs seen are %v, want two", parts)
	}
	if o := shows(t, e, run, workload.Succeeded); !o.At.Equal(enginetest.Open.Add(time.Second + 2*(10*time.Minute+sagemakersim.Habit.StartDelay))) {
		t.Errorf("it ended at %s", o.At)
	}
}

// TestJobsThatOutliveTheirPipeline: an execution counts as over only when no job
// of it runs (S2.9); a stop reaches the jobs it left behind, and no other.
func TestJobsThatOutliveTheirPipeline(t *testing.T) {
	for _, fresh := range []bool{false, true} {
		t.Run(fmt.Sprintf("by an engine that has seen nothing yet %v", fresh), func(t *testing.T) {
			c := enginetest.Clock(t)
			e, sim := open(t, c, sagemakersim.Config{Pipelines: pipelines})
			foreign(t, e, c, 1)
			run, other := startIt(t, e, "beside", "s-1"), startIt(t, e, "Nightly", "s-2")
			_ = c.Sleep(t.Context(), 5*time.Minute)
			shows(t, e, run, workload.Running)
			_ = c.Sleep(t.Context(), 10*time.Minute)
			shows(t, e, run, workload.Running) // it has just failed
			_ = c.Sleep(t.Context(), time.Hour)
			if fresh {
				e = New(e.client, account, region, c.Now)
			}
			if p := sim.Runs()[1]; p.ID != run.ID || p.Phase != simrun.Failed {
				t.Fatalf("the execution is %+v, want it failed", p)
			}
			if o := shows(t, e, run, workload.Running); !strings.Contains(o.Detail, "long") || o.Stamp != "s-1" {
				t.Errorf("S2.9 it says %+v, want the job named", o)
			}
			if err := e.Stop(t.Context(), run); err != nil {
				t.Fatal(err)
			}
			_ = c.Sleep(t.Context(), time.Minute)
			shows(t, e, run, workload.Stopping)
			_ = c.Sleep(t.Context(), sagemakersim.Habit.Grace)
			shows(t, e, run, workload.Failed)
			shows(t, e, other, workload.Running)
			for _, r := range sim.Runs() {
				if stopped := len(r.Stops) > 0; stopped != strings.Contains(r.ID, "-long-") {
					t.Errorf("S2.5 %s was asked to stop: %v", r.ID, stopped)
				}
			}
		})
	}
}

// TestAPipelineRetried: a failed execution that is retried long after is found
// again, at once by its job.
func TestAPipelineRetried(t *testing.T) {
	c := enginetest.Clock(t)
	e, sim := open(t, c, sagemakersim.Config{Pipelines: pipelines})
	sim.Plan("s-1", simrun.Plan{Work: time.Minute, Fail: true})
	run := startIt(t, e, "Nightly", "s-1")
	_ = c.Sleep(t.Context(), 5*time.Hour)
	if o := found(t, e, run.ID); o != nil {
		t.Fatalf("hours after its end the list shows %+v", o)
	}
	_ = c.Sleep(t.Context(), time.Minute)
	sim.Plan("s-1", simrun.Plan{})
	post(t, sim, sagemakersim.OpRetryExecution, fmt.Sprintf(`{"PipelineExecutionArn":"%s%s","ClientRequestToken":"x"}`, e.arns, run.ID), &struct{}{})
	_ = c.Sleep(t.Context(), time.Minute)
	shows(t, e, run, workload.Running)
	if err := e.Stop(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	_ = c.Sleep(t.Context(), time.Hour)
	shows(t, e, run, workload.Stopped)
}

// TestAPipelineRetriedWithoutAJob: without a job that tells, it is found within
// the hour, and again at once from then on.
func TestAPipelineRetriedWithoutAJob(t *testing.T) {
	c := enginetest.Clock(t)
	e, sim := open(t, c, sagemakersim.Config{Pipelines: pipelines})
	run := startIt(t, e, "told", "s-1")
	for range 60 {
		_ = c.Sleep(t.Context(), time.Minute)
		found(t, e, "")
	}
	post(t, sim, sagemakersim.OpRetryExecution, fmt.Sprintf(`{"PipelineExecutionArn":"%s%s","ClientRequestToken":"x"}`, e.arns, run.ID), &struct{}{})
	_ = c.Sleep(t.Context(), 5*time.Minute)
	if o := found(t, e, run.ID); o == nil || o.State != workload.Running {
		t.Errorf("the list shows %+v, want it running", o)
	}
}

// TestEndsThatCannotBeLookedUp: a listing that leaves executions out says so.
func TestEndsThatCannotBeLookedUp(t *testing.T) {
	c := enginetest.Clock(t)
	rates := sagemakersim.Rates()
	rates[sagemakersim.OpDescribeExecution] = cadence.Rate{PerSecond: 0.1, Burst: 1}
	e, sim := open(t, c, sagemakersim.Config{Pipelines: pipelines, Rates: rates})
	sim.Plan("", simrun.Plan{Work: time.Minute})
	startIt(t, e, "Nightly", "s-1")
	startIt(t, e, "Nightly", "s-2")
	_ = c.Sleep(t.Context(), 10*time.Minute)
	for i, complete := range []bool{false, true} {
		l, err := e.List(t.Context(), endpoint)
		ended := 0
		for _, o := range l.Runs {
			if o.Run.Engine == workload.SageMakerPipeline && o.State == workload.Succeeded {
				ended++
			}
		}
		if err != nil || l.Complete != complete || ended != i+1 {
			t.Errorf("list %d has %d executions that ended, complete %v, %v", i+1, ended, l.Complete, err)
		}
		_ = c.Sleep(t.Context(), time.Minute)
	}
}

// late is a service whose lists of executions lag behind.
type late struct {
	API
	hidden string
}

func (l *late) ListPipelineExecutions(ctx context.Context, in *sdk.ListPipelineExecutionsInput, options ...func(*sdk.Options)) (*sdk.ListPipelineExecutionsOutput, error) {
	out, err := l.API.ListPipelineExecutions(ctx, in, options...)
	if err == nil {
		out.PipelineExecutionSummaries = slices.DeleteFunc(out.PipelineExecutionSummaries, func(s types.PipelineExecutionSummary) bool {
			return l.hidden != "" && strings.HasSuffix(*s.PipelineExecutionArn, l.hidden)
		})
	}
	return out, err
}

func TestAListThatLagsIsLookedAtAgain(t *testing.T) {
	c := enginetest.Clock(t)
	e, _ := open(t, c, sagemakersim.Config{Pipelines: pipelines})
	lagging := &late{API: e.client}
	e.client = lagging
	run := startIt(t, e, "told", "s-1")
	lagging.hidden = run.ID
	_ = c.Sleep(t.Context(), time.Second)
	if found(t, e, run.ID) != nil {
		t.Fatal("the list does not lag")
	}
	lagging.hidden = ""
	_ = c.Sleep(t.Context(), time.Minute)
	if found(t, e, run.ID) == nil {
		t.Error("what the list lacked a minute ago is not seen")
	}
}

// TestQuietPipelinesAreNotAsked: a pipeline without news costs one look an hour.
func TestQuietPipelinesAreNotAsked(t *testing.T) {
	c := enginetest.Clock(t)
	e, sim := open(t, c, sagemakersim.Config{Pipelines: pipelines})
	sim.Plan("", simrun.Plan{Work: time.Minute})
	startIt(t, e, "Nightly", "s-1")
	_ = c.Sleep(t.Context(), 2*time.Hour)
	found(t, e, "")
	before := sim.Calls(sagemakersim.OpListExecutions)
	for range 50 {
		_ = c.Sleep(t.Context(), time.Minute)
		found(t, e, "")
	}
	if n := sim.Calls(sagemakersim.OpListExecutions) - before; n != 0 {
		t.Errorf("50 lists of a quiet endpoint asked for executions %d times", n)
	}
	run := startIt(t, e, "approved", "s-2")
	if o := found(t, e, run.ID); o == nil {
		t.Error("an execution that begins then is not seen at once")
	}
}

// TestOnlyTheNamedPipelines: settings bound what is looked at.
func TestOnlyTheNamedPipelines(t *testing.T) {
	c := enginetest.Clock(t)
	e, sim := open(t, c, sagemakersim.Config{Pipelines: pipelines})
	one, other := startIt(t, e, "approved", "s-1"), startIt(t, e, "told", "s-2")
	e = New(e.client, account, region, c.Now, "approved", "not-there")
	if found(t, e, one.ID) == nil || found(t, e, other.ID) != nil {
		t.Error("it looks at other pipelines than those named")
	}
	if n := sim.Calls(sagemakersim.OpListPipelines); n != 0 {
		t.Errorf("it asked for all pipelines %d times", n)
	}
}
