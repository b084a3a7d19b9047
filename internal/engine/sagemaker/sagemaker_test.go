package sagemaker

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/smithy-go"

	"nightshift/internal/app"
	"nightshift/internal/asl/clock"
	"nightshift/internal/engine/enginetest"
	"nightshift/internal/engine/sagemaker/sagemakersim"
	"nightshift/internal/engine/simrun"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

const (
	account  = "123456789012"
	region   = "us-east-1"
	endpoint = "sagemaker/" + account + "/" + region
)

var template = workload.Run{Engine: workload.SageMakerTraining, Endpoint: endpoint}

// client is the real client before a server of ours. The configuration is built
// by hand: what the environment says of AWS is not for tests.
func client(t *testing.T, h http.Handler) *sdk.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return sdk.NewFromConfig(aws.Config{
		Region: region, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
		HTTPClient: simrun.Client(), BaseEndpoint: aws.String(server.URL), Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	})
}

// spec is a request, with more members as JSON (", …").
func spec(more string) []byte {
	return fmt.Appendf(nil, `{"RoleArn":"arn:aws:iam::123456789012:role/job","OutputDataConfig":{"S3OutputPath":"s3://bucket/out"},
		"AlgorithmSpecification":{"TrainingImage":"image","TrainingInputMode":"File"},"HyperParameters":{"epochs":"3"},
		"ResourceConfig":{"InstanceType":"ml.m5.large","InstanceCount":1,"VolumeSizeInGB":10},
		"CheckpointConfig":{"S3Uri":"s3://bucket/checkpoints"},"Tags":[{"Key":"team","Value":"red"}]%s}`, more)
}

func open(t *testing.T, c *clock.Clock, config sagemakersim.Config) (*Engine, *sagemakersim.Sim) {
	config.Account, config.Region = account, region
	sim := sagemakersim.New(c, config)
	return New(client(t, sim), account, region, c.Now), sim
}

// suite runs enginetest for the runs of one resource; spec makes their requests.
func suite(t *testing.T, config sagemakersim.Config, resource string, h enginetest.Harness) {
	enginetest.Run(t, func(t *testing.T, c *clock.Clock) enginetest.Harness {
		e, sim := open(t, c, config)
		h := h
		h.Engine, h.Sim, h.Template.Endpoint = e, ledger{sim, resource}, endpoint
		h.Grace = sagemakersim.Habit.Grace
		h.Ends = workload.Stopped
		return h
	})
}

// ledger is what the simulator saw of the runs of one resource.
type ledger struct {
	*sagemakersim.Sim
	resource string
}

func (l ledger) Runs() []simrun.Record {
	return slices.DeleteFunc(l.Sim.Runs(), func(r simrun.Record) bool { return !strings.HasPrefix(r.ID, l.resource) })
}

func TestEngine(t *testing.T) {
	for _, named := range []bool{false, true} {
		t.Run(fmt.Sprintf("named by the caller %v", named), func(t *testing.T) {
			enginetest.Run(t, func(t *testing.T, c *clock.Clock) enginetest.Harness {
				e, sim := open(t, c, sagemakersim.Config{})
				return enginetest.Harness{
					Engine: e, Sim: sim, Template: template,
					Spec: func(n int) []byte {
						if named {
							return spec(fmt.Sprintf(`,"TrainingJobName":"mine-%d"`, n))
						}
						return spec("")
					},
					Bad: spec(`,"EnableNetworkIsolation":"yes"`), BadField: "EnableNetworkIsolation",
					StartOp: sagemakersim.OpCreate, StartDelay: sagemakersim.Habit.StartDelay, Grace: sagemakersim.Habit.Grace,
					Ends: workload.Stopped, Limits: true, LooksUp: named,
				}
			})
		})
	}
}

func TestNames(t *testing.T) {
	for id, want := range map[string]string{
		"s-0001":                "ns-s-0001",
		strings.Repeat("a", 60): "ns-" + strings.Repeat("a", 60),
	} {
		if got := nameFor(id); got != want || stampIn(got) != id {
			t.Errorf("the session %s names its job %s, want %s", id, got, want)
		}
	}
	for _, id := range []string{strings.Repeat("a", 61), "a/b", "a_b", "ends-"} {
		got := nameFor(id)
		if !jobName.MatchString(got) || len(got) > 63 || got != nameFor(id) || stampIn(got) != "" {
			t.Errorf("the session %s names its job %s", id, got)
		}
	}
}

func TestMaxRuntimeIsTheSmaller(t *testing.T) {
	for _, c := range []struct {
		spec    string
		session time.Duration
		want    time.Duration
	}{
		{"", 0, 24 * time.Hour}, // the service's default
		{"", 5 * time.Hour, 5 * time.Hour},
		{"", 90 * 24 * time.Hour, 28 * 24 * time.Hour},
		{"", time.Millisecond, time.Second},
		{`,"StoppingCondition":{"MaxRuntimeInSeconds":3600}`, 5 * time.Hour, time.Hour},
		{`,"StoppingCondition":{"MaxRuntimeInSeconds":36000}`, 5 * time.Hour, 5 * time.Hour},
		{`,"StoppingCondition":{"MaxRuntimeInSeconds":36000}`, 0, 10 * time.Hour},
		{`,"StoppingCondition":{"MaxPendingTimeInSeconds":7200}`, time.Hour, time.Hour},
	} {
		cl := enginetest.Clock(t)
		e, _ := open(t, cl, sagemakersim.Config{})
		run, err := e.Start(t.Context(), app.Start{SessionID: "s", Run: template, Spec: spec(c.spec), MaxRuntime: c.session})
		if err != nil {
			t.Fatal(err)
		}
		if run.MaxRuntime != 0 && run.MaxRuntime != c.want {
			t.Errorf("%q and %s: the start says %s, want %s", c.spec, c.session, run.MaxRuntime, c.want)
		}
		if o, err := e.Describe(t.Context(), run); err != nil || o.Run.MaxRuntime != c.want {
			t.Errorf("%q and %s: described as %s, %v; want %s", c.spec, c.session, o.Run.MaxRuntime, err, c.want)
		}
	}
}

func TestSpecsRefusedBeforeTheyAreSent(t *testing.T) {
	c := enginetest.Clock(t)
	e, sim := open(t, c, sagemakersim.Config{})
	for more, names := range map[string]string{
		`,"StoppingCondition":{"MaxRuntimeInSeconds":0}`:       "1 to 2419200",
		`,"StoppingCondition":{"MaxRuntimeInSeconds":2419201}`: "1 to 2419200",
		`,"StoppingCondition":{"MaxRuntime":60}`:               "MaxRuntime",
		`,"TrainingJobName":"under_score"`:                     "TrainingJobName",
		`,"TrainingJobName":"ns-another-session"`:              "TrainingJobName",
		`,"HyperParameters":{"epochs":3}`:                      "HyperParameters",
	} {
		_, err := e.Start(t.Context(), app.Start{SessionID: "s", Run: template, Spec: spec(more)})
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), names) {
			t.Errorf("%s answers %v, want an invalid fault naming %s", more, err, names)
		}
	}
	_, err := e.Start(t.Context(), app.Start{SessionID: "s", Run: template, Spec: []byte(`{"TrainingJobName":"x"}`)})
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "RoleArn") {
		t.Errorf("a missing member answers %v, want an invalid fault naming it", err)
	}
	if _, err := e.Start(t.Context(), app.Start{SessionID: "s", Run: workload.Run{Engine: workload.Livy}, Spec: spec("")}); !fault.Is(err, fault.Invalid) {
		t.Errorf("another engine's run answers %v", err)
	}
	if n := sim.Calls(sagemakersim.OpCreate); n != 0 {
		t.Errorf("%d of them were sent", n)
	}
}

func TestANameThatIsTaken(t *testing.T) {
	c := enginetest.Clock(t)
	e, _ := open(t, c, sagemakersim.Config{})
	s := app.Start{SessionID: "s-1", User: "user-1", Run: template, Spec: spec(`,"TrainingJobName":"mine"`)}
	if _, err := e.Start(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	s.SessionID = "s-2"
	if _, err := e.Start(t.Context(), s); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), `"mine" is taken`) {
		t.Errorf("another session with the same name answers %v, want it taken", err)
	}
}

func TestAQuotaIsNotThrottling(t *testing.T) {
	c := enginetest.Clock(t)
	e, _ := open(t, c, sagemakersim.Config{Quota: 1})
	s := app.Start{SessionID: "s-1", Run: template, Spec: spec("")}
	if _, err := e.Start(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	s.SessionID = "s-2"
	_, err := e.Start(t.Context(), s)
	if err == nil || fault.KindOf(err) != fault.Unknown || !strings.Contains(err.Error(), "a person raises the quota") {
		t.Errorf("it answers %v, want an unknown fault that says what to do", err)
	}
}

// foreign creates jobs that Nightshift did not start.
func foreign(t *testing.T, e *Engine, c *clock.Clock, many int) {
	t.Helper()
	for n := range many {
		in := &sdk.CreateTrainingJobInput{}
		if err := json.Unmarshal(spec(""), in); err != nil {
			t.Fatal(err)
		}
		in.TrainingJobName = aws.String(fmt.Sprintf("theirs-%d", n))
		in.Tags = append(in.Tags, types.Tag{Key: aws.String(TagUser), Value: aws.String("user-7")})
		if _, err := e.client.CreateTrainingJob(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		_ = c.Sleep(t.Context(), time.Second)
	}
}

func TestForeignJobsAreLookedUpOnce(t *testing.T) {
	c := enginetest.Clock(t)
	e, sim := open(t, c, sagemakersim.Config{})
	foreign(t, e, c, 3)
	_ = c.Sleep(t.Context(), time.Hour)
	for range 5 {
		l, err := e.List(t.Context(), endpoint)
		if err != nil || !l.Complete || len(l.Runs) != 3 {
			t.Fatalf("the list is %+v, %v", l, err)
		}
		o := l.Runs[0]
		if o.User != "user-7" || o.Stamp != "" || o.Run.MaxRuntime != 24*time.Hour || !o.RunningSince.Equal(enginetest.Open.Add(sagemakersim.Habit.StartDelay)) {
			t.Errorf("a job is %+v", o)
		}
		_ = c.Sleep(t.Context(), time.Minute)
	}
	if tags, described := sim.Calls(sagemakersim.OpListTags), sim.Calls(sagemakersim.OpDescribe); tags != 3 || described != 3 {
		t.Errorf("five lists read tags %d times and described %d times, want 3 and 3", tags, described)
	}
}

func TestForeignJobsNotLookedUpYetAreLeftOut(t *testing.T) {
	c := enginetest.Clock(t)
	e, _ := open(t, c, sagemakersim.Config{})
	foreign(t, e, c, 50)
	_ = c.Sleep(t.Context(), time.Hour)
	last := 0
	for range 10 {
		l, err := e.List(t.Context(), endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if l.Complete != (len(l.Runs) == 50) || len(l.Runs) < last {
			t.Fatalf("a list has %d runs after %d, complete %v", len(l.Runs), last, l.Complete)
		}
		for _, o := range l.Runs {
			if o.User != "user-7" {
				t.Errorf("%s is listed before it is known whose it is", o.Run.ID)
			}
		}
		if last = len(l.Runs); l.Complete {
			return
		}
		_ = c.Sleep(t.Context(), time.Minute)
	}
	t.Errorf("after ten lists %d of 50 jobs are known", last)
}

func TestEndedJobsAreListedForAWhile(t *testing.T) {
	c := enginetest.Clock(t)
	e, _ := open(t, c, sagemakersim.Config{})
	s := app.Start{SessionID: "s-1", Run: template, Spec: spec(`,"Environment":{"NIGHTSHIFT_SIM_WORK":"1h","NIGHTSHIFT_SIM_FAIL":"true"}`)}
	if _, err := e.Start(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	ended := enginetest.Open.Add(time.Hour + sagemakersim.Habit.StartDelay)
	_ = c.Sleep(t.Context(), ended.Sub(enginetest.Open)+10*time.Minute)
	l, err := e.List(t.Context(), endpoint)
	if err != nil || len(l.Runs) != 1 || l.Runs[0].State != workload.Failed || !l.Runs[0].At.Equal(ended) || l.Runs[0].Stamp != "s-1" {
		t.Errorf("ten minutes later the list is %+v, %v", l, err)
	}
	o, err := e.Describe(t.Context(), l.Runs[0].Run)
	if err != nil || !strings.Contains(o.Detail, "AlgorithmError") {
		t.Errorf("describe answers %+v, %v; want the reason", o, err)
	}
	_ = c.Sleep(t.Context(), 10*time.Minute)
	if l, err := e.List(t.Context(), endpoint); err != nil || len(l.Runs) != 0 || !l.Complete {
		t.Errorf("twenty minutes later the list is %+v, %v", l, err)
	}
}

func TestALongStopIsListedToItsEnd(t *testing.T) {
	c := enginetest.Clock(t)
	e, sim := open(t, c, sagemakersim.Config{})
	sim.Plan("", simrun.Plan{Grace: time.Hour}) // it uploads a large model
	run, err := e.Start(t.Context(), app.Start{SessionID: "s", Run: template, Spec: spec("")})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Sleep(t.Context(), time.Hour)
	if err := e.Stop(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	_ = c.Sleep(t.Context(), 2*lately)
	if l, err := e.List(t.Context(), endpoint); err != nil || len(l.Runs) != 1 || l.Runs[0].State != workload.Stopping {
		t.Errorf("the list is %+v, %v; want the job stopping", l, err)
	}
}

func TestTheOtherWayToSayNotFound(t *testing.T) {
	c := enginetest.Clock(t)
	e := New(client(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(400)
		fmt.Fprint(w, `{"__type":"ValidationException","message":"Requested resource not found."}`)
	})), account, region, c.Now)
	run := template
	run.ID = "training-job/x"
	if err := e.Stop(t.Context(), run); err != nil {
		t.Errorf("stop answers %v, want nil", err)
	}
	if o, err := e.Describe(t.Context(), run); err != nil || o.State != workload.Gone {
		t.Errorf("describe answers %+v, %v; want it gone", o, err)
	}
}

func TestStates(t *testing.T) {
	began := enginetest.Open
	for _, c := range []struct {
		status, secondary string
		started           time.Time
		want              workload.State
	}{
		{"InProgress", "Starting", time.Time{}, workload.Pending},
		{"InProgress", "Pending", time.Time{}, workload.Pending},
		{"InProgress", "Training", time.Time{}, workload.Running},
		{"InProgress", "", time.Time{}, workload.Running},
		{"InProgress", "Interrupted", began, workload.Running},
		{"InProgress", "Downloading", began, workload.Running},
		{"Stopping", "Stopping", began, workload.Stopping},
		{"Stopped", "MaxRuntimeExceeded", began, workload.Stopped},
		{"Completed", "Completed", began, workload.Succeeded},
		{"Failed", "Failed", began, workload.Failed},
		{"Deleting", "", began, workload.Stopping},
		{"SomethingNew", "", time.Time{}, workload.Unknown},
		{"SomethingNew", "Training", began, workload.Unknown},
	} {
		got := state((&Engine{}).trainingJobs(), job{status: c.status, secondary: c.secondary, started: c.started})
		if got != c.want {
			t.Errorf("%s/%s is %s, want %s", c.status, c.secondary, got, c.want)
		}
	}
	// A word that AWS adds is looked at, and ends nothing meanwhile.
	e := &Engine{now: func() time.Time { return began }}
	known := func(word string, s workload.State) {
		if s == workload.Unknown {
			t.Errorf("the status %s is not known", word)
		}
	}
	for _, word := range types.TrainingJobStatus("").Values() {
		known(string(word), state(e.trainingJobs(), job{status: string(word)}))
	}
	for _, word := range types.ProcessingJobStatus("").Values() {
		known(string(word), state(e.processingJobs(), job{status: string(word)}))
	}
	for _, word := range types.PipelineExecutionStatus("").Values() {
		known(string(word), e.executing("x", word, "", began, began).State)
	}
	if o := e.executing("x", "SomethingNew", "", began, began); o.State != workload.Unknown || o.Detail != "SomethingNew" {
		t.Errorf("a new status of an execution is %s, %q", o.State, o.Detail)
	}
	if o := e.observe(e.trainingJobs(), job{status: "SomethingNew", secondary: "Training"}, marks{}, began); o.Detail != "state SomethingNew Training" {
		t.Errorf("a new status of a job is told as %q", o.Detail)
	}
}

func TestFaults(t *testing.T) {
	api := func(code, message string) error {
		return fmt.Errorf("wrapped: %w", &smithy.GenericAPIError{Code: code, Message: message})
	}
	for _, c := range []struct {
		err  error
		want fault.Kind
	}{
		{api("ThrottlingException", "Rate exceeded"), fault.Throttled},
		{api("ResourceLimitExceeded", ""), fault.Unknown},
		{api("ValidationException", "1 validation error"), fault.Invalid},
		{api("ValidationException", "Requested resource not found."), fault.NotFound},
		{api("ResourceNotFound", ""), fault.NotFound},
		{api("ResourceInUse", ""), fault.Conflict},
		{api("AccessDeniedException", ""), fault.Denied},
		{api("ExpiredTokenException", ""), fault.Denied},
		{api("InternalFailure", ""), fault.Unknown},
		{errors.New("connection refused"), fault.Unknown},
		{fmt.Errorf("wrapped: %w", smithy.InvalidParamsError{}), fault.Invalid},
	} {
		err := classify("op", c.err)
		if got := fault.KindOf(err); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%v is %s, want %s", c.err, got, c.want)
		}
	}
	if classify("op", nil) != nil {
		t.Error("no error is an error")
	}
}

func TestTheSimulatorEndsAJobAtItsLimit(t *testing.T) {
	c := enginetest.Clock(t)
	e, sim := open(t, c, sagemakersim.Config{})
	run, err := e.Start(t.Context(), app.Start{SessionID: "s", Run: template, Spec: spec(""), MaxRuntime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Sleep(t.Context(), 2*time.Hour)
	o, err := e.Describe(t.Context(), run)
	if err != nil || o.State != workload.Stopped || o.Detail != "MaxRuntimeExceeded" {
		t.Errorf("describe answers %+v, %v", o, err)
	}
	want := enginetest.Open.Add(time.Hour + sagemakersim.Habit.StartDelay + sagemakersim.Habit.Grace)
	if r := sim.Runs()[0]; !r.Ended.Equal(want) || r.By != simrun.MaxRuntime {
		t.Errorf("the ledger says %+v, want its end at %s", r, want)
	}
}
