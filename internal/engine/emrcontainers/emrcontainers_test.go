package emrcontainers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/emrcontainers"
	"github.com/aws/aws-sdk-go-v2/service/emrcontainers/types"
	"github.com/aws/smithy-go"

	"nightshift/internal/app"
	"nightshift/internal/asl/clock"
	"nightshift/internal/engine/emrcontainers/emrcontainerssim"
	"nightshift/internal/engine/enginetest"
	"nightshift/internal/engine/simrun"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

const (
	account  = "123456789012"
	region   = "us-east-1"
	endpoint = "emr-containers/" + account + "/" + region
)

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

func spec(n int) []byte {
	return fmt.Appendf(nil, `{"virtualClusterId":"vc%d","name":"job-%d","executionRoleArn":"arn:aws:iam::123456789012:role/job",
		"releaseLabel":"emr-7.11.0-latest","tags":{"team":"red"},"retryPolicyConfiguration":{"maxAttempts":2},
		"jobDriver":{"sparkSubmitJobDriver":{"entryPoint":"s3://bucket/job.py","sparkSubmitParameters":"--conf spark.executor.instances=2"}},
		"configurationOverrides":{"applicationConfiguration":[{"classification":"spark-defaults","properties":{"a":"b"}}]}}`, n%2+1, n)
}

func open(t *testing.T, c *clock.Clock) (*Engine, *emrcontainerssim.Sim) {
	sim := emrcontainerssim.New(c, emrcontainerssim.Config{Account: account, Region: region, Clusters: []string{"vc1", "vc2"}})
	return New(client(t, sim), account, region, c.Now), sim
}

func TestEngine(t *testing.T) {
	enginetest.Run(t, func(t *testing.T, c *clock.Clock) enginetest.Harness {
		e, sim := open(t, c)
		return enginetest.Harness{
			Engine: e, Sim: sim, Template: workload.Run{Engine: workload.EMRContainers, Endpoint: endpoint},
			Spec: spec, Bad: []byte(`{"virtualClusterId":"vc1","jobDriver":{"sparkSubmitJobDriver":{"entryPoint":7}}}`), BadField: "entryPoint",
			StartOp: emrcontainerssim.OpStart, StartDelay: emrcontainerssim.Habit.StartDelay, Grace: emrcontainerssim.Habit.Grace,
			Ends: workload.Stopped,
		}
	})
}

func TestSpecsRefusedBeforeTheyAreSent(t *testing.T) {
	c := enginetest.Clock(t)
	e, sim := open(t, c)
	for spec, names := range map[string]string{
		`{"name":"x"}`: "virtualClusterId",
		`{"virtualClusterId":"vc1","clientToken":"mine"}`:             "clientToken",
		`{"virtualClusterId":"vc1"} {"virtualClusterId":"vc2"}`:       "after the request",
		`{"virtualClusterId":"vc1","tags":{"a":1}}`:                   "tags",
		`{"virtualClusterId":"vc1","jobDriver":{"sparkDriver":{}}}`:   "sparkDriver",
		`{"virtualClusterId":"vc1","jobDriver":{},"maxAttempts":"1"}`: "maxAttempts",
	} {
		_, err := e.Start(t.Context(), app.Start{SessionID: "s", Spec: []byte(spec)})
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), names) {
			t.Errorf("%s answers %v, want an invalid fault naming %s", spec, err, names)
		}
	}
	if n := sim.Calls(emrcontainerssim.OpStart); n != 0 {
		t.Errorf("%d of them were sent", n)
	}
	_, err := e.Start(t.Context(), app.Start{SessionID: "s", Spec: []byte(`{"virtualClusterId":"vc1"}`)})
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "executionRoleArn") {
		t.Errorf("what the service refuses answers %v, want an invalid fault with its words", err)
	}
}

func TestStampAndUserAreTags(t *testing.T) {
	c := enginetest.Clock(t)
	e, sim := open(t, c)
	long := strings.Repeat("s", 80)
	run, err := e.Start(t.Context(), app.Start{SessionID: long, User: "user-1", Spec: spec(1)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := e.List(t.Context(), endpoint)
	if err != nil || len(l.Runs) != 1 {
		t.Fatalf("the list is %+v, %v", l, err)
	}
	o := l.Runs[0]
	if o.Stamp != long || o.User != "user-1" || o.Name != "job-1" || !o.CreatedAt.Equal(enginetest.Open) || run.ID != o.Run.ID || !strings.HasPrefix(run.ID, "vc2/") {
		t.Errorf("the run is %+v", o)
	}
	if r := sim.Runs()[0]; r.User != "user-1" || r.Session != long {
		t.Errorf("the service saw %+v", r)
	}
}

func TestAFailureSaysWhyAndWhen(t *testing.T) {
	c := enginetest.Clock(t)
	e, _ := open(t, c)
	job := strings.Replace(string(spec(1)), "spark.executor.instances=2", "spark.nightshift.sim.work=45m --conf spark.nightshift.sim.fail=true", 1)
	run, err := e.Start(t.Context(), app.Start{SessionID: "s", Spec: []byte(job)})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Sleep(t.Context(), 2*time.Hour)
	o, err := e.Describe(t.Context(), run)
	if err != nil || o.State != workload.Failed || !strings.Contains(o.Detail, "USER_ERROR") {
		t.Errorf("describe answers %+v, %v", o, err)
	}
	if want := enginetest.Open.Add(45*time.Minute + emrcontainerssim.Habit.StartDelay); !o.At.Equal(want) {
		t.Errorf("it was so at %s, want %s", o.At, want)
	}
}

func TestGivenClustersAreTheOnlyOnesListed(t *testing.T) {
	c := enginetest.Clock(t)
	all, sim := open(t, c)
	for n := range 4 {
		if _, err := all.Start(t.Context(), app.Start{SessionID: fmt.Sprint("s", n), Spec: spec(n)}); err != nil {
			t.Fatal(err)
		}
	}
	one := New(all.client, account, region, c.Now, "vc1")
	before := sim.Calls(emrcontainerssim.OpListClusters)
	l, err := one.List(t.Context(), endpoint)
	if err != nil || !l.Complete || len(l.Runs) != 2 {
		t.Errorf("the list of one cluster is %+v, %v; want its 2 runs", l, err)
	}
	if n := sim.Calls(emrcontainerssim.OpListClusters); n != before {
		t.Error("it asked for the virtual clusters all the same")
	}
	if _, err := one.List(t.Context(), "emr-containers/1/eu-west-1"); !fault.Is(err, fault.Invalid) {
		t.Errorf("another endpoint's list answers %v, want an invalid fault", err)
	}
}

func TestARefusedCancelOfALiveRunIsAskedAgain(t *testing.T) {
	c := enginetest.Clock(t)
	e := New(client(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			w.Header().Set("X-Amzn-Errortype", "ValidationException")
			w.WriteHeader(400)
			fmt.Fprint(w, `{"message":"not now"}`)
			return
		}
		fmt.Fprint(w, `{"jobRun":{"id":"1","state":"RUNNING"}}`)
	})), account, region, c.Now)
	err := e.Stop(t.Context(), workload.Run{ID: "vc1/1"})
	if err == nil || fault.KindOf(err) != fault.Unknown || !strings.Contains(err.Error(), "not now") {
		t.Errorf("it answers %v, want an unknown fault with the service's words", err)
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
		{api("EKSRequestThrottledException", ""), fault.Throttled},
		{api("RequestThrottledException", ""), fault.Throttled},
		{api("TooManyRequestsException", ""), fault.Throttled},
		{api("ValidationException", "releaseLabel is not valid"), fault.Invalid},
		{api("ValidationException", "queue root.red is not known"), fault.Invalid},
		{api("ValidationException", "The job run queue is full"), fault.Throttled},
		{api("ValidationException", "maximum of in-queue job runs exceeded: maxInQueueJobRuns"), fault.Throttled},
		{api("ResourceNotFoundException", ""), fault.NotFound},
		{api("AccessDeniedException", ""), fault.Denied},
		{api("ExpiredTokenException", ""), fault.Denied},
		{api("InternalServerException", ""), fault.Unknown},
		{api("SomethingNew", ""), fault.Unknown},
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

func TestRunsAreSimulated(t *testing.T) {
	c := enginetest.Clock(t)
	_, sim := open(t, c)
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, httptest.NewRequest("GET", "/virtualclusters/vc1", nil))
	if w.Code != 200 || w.Header().Get(simrun.Header) != "true" {
		t.Errorf("it answers %d with %v", w.Code, w.Header())
	}
	w = httptest.NewRecorder()
	sim.ServeHTTP(w, httptest.NewRequest("GET", "/virtualclusters/vc9", nil))
	if w.Code != 400 || w.Header().Get("X-Amzn-Errortype") != "ResourceNotFoundException" {
		t.Errorf("an unknown virtual cluster answers %d with %v", w.Code, w.Header())
	}
}

// tagless is the service with lists that leave tags out.
type tagless struct{ API }

func (a tagless) ListJobRuns(ctx context.Context, in *sdk.ListJobRunsInput, o ...func(*sdk.Options)) (*sdk.ListJobRunsOutput, error) {
	out, err := a.API.ListJobRuns(ctx, in, o...)
	if err == nil {
		for i := range out.JobRuns {
			out.JobRuns[i].Tags = nil
		}
	}
	return out, err
}

// A run of ours is found by its client token where a list has no tags; somebody
// else's token is no stamp.
func TestS4_1TheStampIsInTheClientTokenToo(t *testing.T) {
	c := enginetest.Clock(t)
	e, _ := open(t, c)
	e.client = tagless{e.client}
	if _, err := e.Start(t.Context(), app.Start{SessionID: "s-1", User: "user-1", Spec: spec(1)}); err != nil {
		t.Fatal(err)
	}
	l, err := e.List(t.Context(), endpoint)
	if err != nil || len(l.Runs) != 1 || l.Runs[0].Stamp != "s-1" || l.Runs[0].User != "" {
		t.Errorf("the list is %+v, %v", l, err)
	}
	for token, want := range map[string]string{"ns-s-1": "s-1", "s-1": "", "63a707e4-e5bc-43e4-b11a-5dcfb4377fd3": "", token(strings.Repeat("s", 80)): "", "": ""} {
		if got := stampIn(token); got != want {
			t.Errorf("the client token %q has the stamp %q, want %q", token, got, want)
		}
	}
}

// A word that AWS adds is looked at, and ends nothing meanwhile.
func TestStates(t *testing.T) {
	for _, word := range types.JobRunState("").Values() {
		if state(word) == workload.Unknown {
			t.Errorf("the state %s is not known", word)
		}
	}
	e, _ := open(t, enginetest.Clock(t))
	o := e.observe(types.JobRun{Id: aws.String("1"), State: "QUEUED", StateDetails: aws.String("behind 3 others")}, "vc1", enginetest.Open)
	if o.State != workload.Unknown || o.Detail != "state QUEUED behind 3 others" {
		t.Errorf("a new state is %s, %q", o.State, o.Detail)
	}
}
