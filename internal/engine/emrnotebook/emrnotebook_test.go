package emrnotebook

import (
	"bytes"
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
	sdk "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"
	"github.com/aws/smithy-go"

	"nightshift/internal/app"
	"nightshift/internal/asl/clock"
	"nightshift/internal/cadence"
	"nightshift/internal/engine/emrnotebook/emrnotebooksim"
	"nightshift/internal/engine/enginetest"
	"nightshift/internal/engine/simrun"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

const (
	account  = "123456789012"
	region   = "us-east-1"
	endpoint = "emr-notebook/" + account + "/" + region
	role     = "arn:aws:iam::123456789012:role/analyst"
)

var template = workload.Run{Engine: workload.EMRNotebook, Endpoint: endpoint}

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
	return fmt.Appendf(nil, `{"ExecutionEngine":{"Id":"j-1","Type":"EMR"},"ServiceRole":"EMR_Notebooks_DefaultRole","EditorId":"e-1",
		"RelativePath":"churn.ipynb","NotebookParams":"{\"day\":\"2026-11-20\"}","Tags":[{"Key":"team","Value":"red"},{"Key":"nightshift:user","Value":"me"}]%s}`, more)
}

func named(n int) []byte { return spec(fmt.Sprintf(`,"NotebookExecutionName":"mine-%d"`, n%2)) }

func open(t *testing.T, c *clock.Clock, config emrnotebooksim.Config) (*Engine, *emrnotebooksim.Sim) {
	config.Account, config.Region = account, region
	config.Clusters = []emrnotebooksim.Cluster{{ID: "j-1", SecurityConfiguration: "runtime-roles"}, {ID: "j-2"}}
	sim := emrnotebooksim.New(c, config)
	return New(client(t, sim), account, region, c.Now), sim
}

func start(t *testing.T, e *Engine, id string, spec []byte) workload.Run {
	t.Helper()
	run, err := e.Start(t.Context(), app.Start{SessionID: id, User: "user-1", Run: template, Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func list(t *testing.T, e *Engine) workload.Listing {
	t.Helper()
	l, err := e.List(t.Context(), endpoint)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// unlimited are rates that no test reaches.
func unlimited() map[string]cadence.Rate { return map[string]cadence.Rate{} }

func TestEngine(t *testing.T) {
	for _, c := range []struct {
		name string
		spec func(int) []byte
		many int
		look bool
	}{
		{"named by us", func(int) []byte { return spec("") }, 75, false},
		{"named by the caller", named, 30, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			enginetest.Run(t, func(t *testing.T, cl *clock.Clock) enginetest.Harness {
				e, sim := open(t, cl, emrnotebooksim.Config{Creator: "AROAEXAMPLE:somebody"})
				return enginetest.Harness{
					Engine: e, Sim: sim, Template: template, Spec: c.spec,
					Bad: spec(`,"EnvironmentVariables":{"A":1}`), BadField: "EnvironmentVariables",
					StartOp: emrnotebooksim.OpStart, StartDelay: emrnotebooksim.Habit.StartDelay, Grace: emrnotebooksim.Habit.Grace,
					Ends: workload.Stopped, Many: c.many, Pace: 10 * time.Second, LooksUp: c.look, Finds: true,
				}
			})
		})
	}
}

func TestSpecsRefusedBeforeTheyAreSent(t *testing.T) {
	c := enginetest.Clock(t)
	e, sim := open(t, c, emrnotebooksim.Config{})
	for spec, names := range map[string]string{
		`{"ServiceRole":"r"}`:                           "ExecutionEngine.Id",
		`{"ExecutionEngine":{"Type":"EMR"}}`:            "ExecutionEngine.Id",
		`{"ExecutionEngine":{"Id":"j-1"}} {}`:           "after the request",
		`{"ExecutionEngine":{"Id":"j-1"},"Tags":"x"}`:   "Tags",
		`{"ExecutionEngine":{"Id":"j-1","Cores":2}}`:    "Cores",
		string(spec(`,"NotebookExecutionName":"ns-x"`)): "begins as Nightshift's",
	} {
		_, err := e.Start(t.Context(), app.Start{SessionID: "s", Spec: []byte(spec)})
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), names) {
			t.Errorf("%s answers %v, want an invalid fault naming %s", spec, err, names)
		}
	}
	if n := sim.Calls(emrnotebooksim.OpList) + sim.Calls(emrnotebooksim.OpStart); n != 0 {
		t.Errorf("%d requests were made", n)
	}
	for spec, says := range map[string]string{
		`{"ExecutionEngine":{"Id":"j-1"}}`:                    "ServiceRole",
		`{"ExecutionEngine":{"Id":"j-9"},"ServiceRole":"r"}`:  "j-9",
		`{"ExecutionEngine":{"Id":"j-1"},"ServiceRole":"r" }`: "EditorId",
	} {
		if _, err := e.Start(t.Context(), app.Start{SessionID: "s", Spec: []byte(spec)}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s answers %v, want the service's own words", spec, err)
		}
	}
}

func TestWhatIsStampedAndWhatIsSeen(t *testing.T) {
	c := enginetest.Clock(t)
	e, sim := open(t, c, emrnotebooksim.Config{Creator: "AROAEXAMPLE:ana"})
	run := start(t, e, "s-1", spec(""))
	theirs := start(t, e, "s-2", named(1))
	if run.Cluster != "j-1" || sim.Runs()[0].User != "user-1" || sim.Runs()[0].Name != "ns-s-1" {
		t.Errorf("it answers %+v, the service saw %+v", run, sim.Runs()[0])
	}
	_ = c.Sleep(t.Context(), time.Minute)
	l := list(t, e)
	if len(l.Runs) != 2 || !l.Complete {
		t.Fatalf("the list is %+v", l)
	}
	for i, want := range []workload.Observation{
		{Run: run, Name: "ns-s-1", State: workload.Running, At: c.Now(), CreatedAt: enginetest.Open, Stamp: "s-1"},
		{Run: theirs, Name: "mine-1", State: workload.Running, At: c.Now(), CreatedAt: enginetest.Open, Stamp: "s-2", User: "user-1",
			Detail: "Execution has started on the cluster.; created by AROAEXAMPLE:ana"},
	} {
		if got := l.Runs[i]; got != want {
			t.Errorf("the list shows\n%+v, want\n%+v", got, want)
		}
	}
	o, err := e.Describe(t.Context(), run)
	if err != nil || o.User != "user-1" || o.Run != run || o.Stamp != "s-1" {
		t.Errorf("describe answers %+v, %v", o, err)
	}
	if n := sim.Calls(emrnotebooksim.OpDescribe); n != 2 {
		t.Errorf("%d describes were made, want one of the execution whose name does not tell, and one asked for", n)
	}
	_ = list(t, e)
	if n := sim.Calls(emrnotebooksim.OpDescribe); n != 2 {
		t.Error("what is known was looked up again")
	}
	long := strings.Repeat("s", 300)
	if name := nameFor(long); len(name) > nameMax || stampIn(name) != "" || name != nameFor(long) {
		t.Errorf("a long session id gives the name %s", name)
	}
}

// S8.5: a notebook's cost is summed under its tags, where Nightshift started it and
// where it found it.
func TestS8_5ANotebookIsSummedUnderItsTags(t *testing.T) {
	e, _ := open(t, enginetest.Clock(t), emrnotebooksim.Config{})
	tagged := bytes.Replace(spec(""), []byte(`"Tags":[`), []byte(`"Tags":[{"Key":"department","Value":"ml"},{"Key":"cost-center","Value":"4711"},`), 1)
	want := workload.Billing{Department: "ml", CostCenter: "4711"}
	run := start(t, e, "s-1", tagged)
	again := start(t, e, "s-1", tagged)
	o, err := e.Describe(t.Context(), workload.Run{ID: run.ID})
	if err != nil || run.Billing != want || again != run || o.Run.Billing != want {
		t.Errorf("started %+v, again %+v, described %+v, %v; want %+v", run.Billing, again.Billing, o.Run.Billing, err, want)
	}
	if l := list(t, e); len(l.Runs) != 1 || l.Runs[0].Run.Billing != want {
		t.Errorf("listed %+v", l)
	}
}

// An execution of somebody else's that only has the caller's name is no earlier
// start, and neither is one on another cluster.
func TestANamesakeIsNoEarlierStart(t *testing.T) {
	c := enginetest.Clock(t)
	e, sim := open(t, c, emrnotebooksim.Config{Rates: unlimited()})
	first := start(t, e, "s-1", named(1))
	if second := start(t, e, "s-2", named(1)); second.ID == first.ID {
		t.Error("another session's start gives the first session's run")
	}
	elsewhere := []byte(strings.ReplaceAll(string(named(1)), `"j-1"`, `"j-2"`))
	if other := start(t, e, "s-3", elsewhere); other.ID == first.ID || other.Cluster != "j-2" {
		t.Errorf("a start on another cluster gives %+v", other)
	}
	if again := start(t, New(e.client, account, region, c.Now), "s-1", named(1)); again.ID != first.ID {
		t.Errorf("a process that knows nothing starts %s, want %s", again.ID, first.ID)
	}
	if n := len(sim.Runs()); n != 3 {
		t.Errorf("there are %d runs, want 3", n)
	}
}

// What has run for longer than a list shows in every state is found as running,
// and followed out where it was seen before.
func TestTheOldAreListed(t *testing.T) {
	c := enginetest.Clock(t)
	e, sim := open(t, c, emrnotebooksim.Config{})
	sim.Plan("", simrun.Plan{Work: 60 * 24 * time.Hour, Grace: time.Minute})
	run := start(t, e, "s-1", spec(""))
	_ = c.Sleep(t.Context(), 40*24*time.Hour)
	if l := list(t, e); !l.Complete || len(l.Runs) != 1 || l.Runs[0].State != workload.Running || l.Runs[0].Stamp != "s-1" {
		t.Fatalf("after 40 days the list is %+v", l)
	}
	if err := e.Stop(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	for _, want := range []workload.State{workload.Stopping, workload.Stopping, workload.Stopped} {
		_ = c.Sleep(t.Context(), 25*time.Second)
		if l := list(t, e); !l.Complete || len(l.Runs) != 1 || l.Runs[0].State != want {
			t.Fatalf("the list is %+v, want it %s", l, want)
		}
	}
	_ = c.Sleep(t.Context(), time.Minute)
	if l := list(t, e); !l.Complete || len(l.Runs) != 0 {
		t.Errorf("once seen over it is still listed: %+v", l)
	}
	young := New(e.client, account, region, c.Now)
	if l := list(t, young); !l.Complete || len(l.Runs) != 0 {
		t.Errorf("a new process lists %+v", l)
	}
	if o, err := young.Describe(t.Context(), run); err != nil || o.State != workload.Stopped || !o.At.Equal(enginetest.Open.Add(40*24*time.Hour+time.Minute)) {
		t.Errorf("describe answers %+v, %v", o, err)
	}
}

// The tags of many that nobody named for us are read within EMR's rate, over
// several listings; until then they are left out, and nothing counts as absent.
func TestLookUpsAreSpread(t *testing.T) {
	c := enginetest.Clock(t)
	e, sim := open(t, c, emrnotebooksim.Config{})
	for n := range 12 {
		start(t, e, fmt.Sprint("s-", n), spec(fmt.Sprintf(`,"NotebookExecutionName":"n-%d"`, n)))
		_ = c.Sleep(t.Context(), 10*time.Second)
	}
	var shown []int
	for range 4 {
		l := list(t, e)
		if l.Complete != (len(l.Runs) == 12) {
			t.Errorf("the listing of %d is complete: %v", len(l.Runs), l.Complete)
		}
		if slices.ContainsFunc(l.Runs, func(o workload.Observation) bool { return o.Stamp == "" }) {
			t.Error("one is shown without its stamp")
		}
		shown = append(shown, len(l.Runs))
		_ = c.Sleep(t.Context(), time.Minute)
	}
	if !slices.Equal(shown, []int{5, 10, 12, 12}) {
		t.Errorf("the listings show %v", shown)
	}
	sim.Throttle(c.Now(), c.Now().Add(time.Hour))
	if l, err := e.List(t.Context(), endpoint); !fault.Is(err, fault.Throttled) || l.Complete {
		t.Errorf("throttled, the list is %+v, %v", l, err)
	}
}

func TestAClusterThatEndsTakesItsExecutionsAlong(t *testing.T) {
	c := enginetest.Clock(t)
	e, sim := open(t, c, emrnotebooksim.Config{})
	run := start(t, e, "s-1", spec(""))
	_ = c.Sleep(t.Context(), time.Hour)
	sim.Terminate("j-1")
	_ = c.Sleep(t.Context(), time.Minute)
	if l := list(t, e); len(l.Runs) != 1 || l.Runs[0].State != workload.Failed || l.Runs[0].Run.Cluster != "j-1" {
		t.Errorf("the list is %+v", l)
	}
	o, err := e.Describe(t.Context(), run)
	if err != nil || o.State != workload.Failed || !strings.Contains(o.Detail, "terminated") {
		t.Errorf("describe answers %+v, %v", o, err)
	}
}

// answers serves fixed bodies by operation; "!Code" is an error.
func answers(t *testing.T, c *clock.Clock, by map[string]string) *Engine {
	return New(client(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		if code, no := strings.CutPrefix(by[op], "!"); no {
			w.WriteHeader(400)
			fmt.Fprintf(w, `{"__type":%q,"Message":"the service says no"}`, code)
			return
		}
		fmt.Fprint(w, by[op])
	})), account, region, c.Now)
}

func TestARefusedStopOfALiveRunIsAskedAgain(t *testing.T) {
	c := enginetest.Clock(t)
	for status, stopped := range map[string]bool{"RUNNING": false, "FINISHING": false, "FAILING": true, "STOPPING": true, "FINISHED": true} {
		e := answers(t, c, map[string]string{
			"StopNotebookExecution":     "!InvalidRequestException",
			"DescribeNotebookExecution": fmt.Sprintf(`{"NotebookExecution":{"NotebookExecutionId":"ex-1","Status":%q}}`, status),
		})
		err := e.Stop(t.Context(), workload.Run{ID: "ex-1"})
		if stopped != (err == nil) || err != nil && (fault.KindOf(err) != fault.Unknown || !strings.Contains(err.Error(), "says no")) {
			t.Errorf("of an execution that is %s it answers %v", status, err)
		}
	}
}

func TestOnlyAnInvalidRequestSaysGone(t *testing.T) {
	c := enginetest.Clock(t)
	for code, want := range map[string]fault.Kind{
		"ValidationException": fault.Invalid, "AccessDeniedException": fault.Denied, "ThrottlingException": fault.Throttled, "InternalServerException": fault.Unknown,
	} {
		o, err := answers(t, c, map[string]string{"DescribeNotebookExecution": "!" + code}).Describe(t.Context(), workload.Run{ID: "ex-1"})
		if fault.KindOf(err) != want || o.State != "" {
			t.Errorf("%s answers %+v, %v", code, o, err)
		}
	}
	o, err := answers(t, c, map[string]string{"DescribeNotebookExecution": "!InvalidRequestException"}).Describe(t.Context(), workload.Run{ID: "ex-1", Cluster: "j-1"})
	if err != nil || o.State != workload.Gone || o.Run.Cluster != "j-1" {
		t.Errorf("an invalid request answers %+v, %v", o, err)
	}
	e := answers(t, c, nil)
	if _, err := e.Describe(t.Context(), workload.Run{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a run without an id answers %v", err)
	}
	if err := e.Stop(t.Context(), workload.Run{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a run without an id answers %v", err)
	}
	if _, err := e.List(t.Context(), "emr-notebook/1/eu-west-1"); !fault.Is(err, fault.Invalid) {
		t.Errorf("another endpoint answers %v", err)
	}
}

func TestStates(t *testing.T) {
	for word, want := range map[types.NotebookExecutionStatus]workload.State{
		"START_PENDING": workload.Pending, "STARTING": workload.Pending, "RUNNING": workload.Running, "FINISHING": workload.Running,
		"FINISHED": workload.Succeeded, "FAILING": workload.Stopping, "FAILED": workload.Failed,
		"STOP_PENDING": workload.Stopping, "STOPPING": workload.Stopping, "STOPPED": workload.Stopped, "SOMETHING_NEW": workload.Unknown,
	} {
		if got := state(word); got != want {
			t.Errorf("%s is %s, want %s", word, got, want)
		}
	}
	for _, word := range types.NotebookExecutionStatus("").Values() {
		if state(word) == workload.Unknown {
			t.Errorf("the status %s is not known", word)
		}
	}
}

func TestFaults(t *testing.T) {
	api := func(code string) error { return fmt.Errorf("wrapped: %w", &smithy.GenericAPIError{Code: code}) }
	for _, c := range []struct {
		err  error
		want fault.Kind
	}{
		{api("ThrottlingException"), fault.Throttled},
		{api("RequestLimitExceeded"), fault.Throttled},
		{api("InvalidRequestException"), fault.Invalid},
		{api("ValidationException"), fault.Invalid},
		{api("AccessDeniedException"), fault.Denied},
		{api("ExpiredTokenException"), fault.Denied},
		{api("InternalServerException"), fault.Unknown},
		{api("InternalServerError"), fault.Unknown},
		{api("SomethingNew"), fault.Unknown},
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

func TestCredentials(t *testing.T) {
	c := enginetest.Clock(t)
	_, sim := open(t, c, emrnotebooksim.Config{})
	emr := client(t, sim)
	user, password, expires, err := Credentials(emr, "j-1", role)(t.Context())
	if err != nil || !sim.Accepts("j-1", user, password) || !expires.Equal(enginetest.Open.Add(time.Hour)) {
		t.Errorf("it gives %s until %s, %v", user, expires, err)
	}
	if sim.Accepts("j-2", user, password) || sim.Accepts("j-1", user, "") {
		t.Error("they are good elsewhere too")
	}
	for cluster, says := range map[string]string{"j-2": "runtime roles", "j-9": "j-9"} {
		if _, _, _, err := Credentials(emr, cluster, role)(t.Context()); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s answers %v", cluster, err)
		}
	}
	sim.Throttle(c.Now(), c.Now().Add(time.Hour))
	if _, _, _, err := Credentials(emr, "j-1", role)(t.Context()); !fault.Is(err, fault.Throttled) {
		t.Errorf("throttled it answers %v", err)
	}
	_ = c.Sleep(t.Context(), time.Hour)
	if sim.Accepts("j-1", user, password) {
		t.Error("they are good for ever")
	}
	empty := client(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) }))
	if _, _, _, err := Credentials(empty, "j-1", role)(t.Context()); err == nil {
		t.Error("an answer without credentials is none")
	}
}

// The simulator's cluster, through the real client.
func TestDescribeCluster(t *testing.T) {
	c := enginetest.Clock(t)
	e, sim := open(t, c, emrnotebooksim.Config{})
	emr := client(t, sim)
	is := func(state types.ClusterState) {
		t.Helper()
		out, err := emr.DescribeCluster(t.Context(), &sdk.DescribeClusterInput{ClusterId: aws.String("j-1")})
		if err != nil || out.Cluster.Status.State != state || aws.ToString(out.Cluster.ReleaseLabel) != "emr-7.12.0" || aws.ToString(out.Cluster.SecurityConfiguration) != "runtime-roles" {
			shown, _ := json.Marshal(out)
			t.Errorf("it answers %s, %v; want it %s", shown, err, state)
		}
	}
	is(types.ClusterStateWaiting)
	start(t, e, "s-1", spec(""))
	is(types.ClusterStateRunning)
	sim.Terminate("j-1")
	is(types.ClusterStateTerminated)
}

func TestAServiceThatListsLessFarBackIsAskedForLess(t *testing.T) {
	c := enginetest.Clock(t)
	var froms []bool
	e := New(client(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			From   *float64
			Status string
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		if in.Status == "" {
			fmt.Fprint(w, `{}`)
			return
		}
		if froms = append(froms, in.From != nil); in.From != nil {
			w.WriteHeader(400)
			fmt.Fprint(w, `{"__type":"InvalidRequestException","Message":"too far back"}`)
			return
		}
		fmt.Fprint(w, `{"NotebookExecutions":[{"NotebookExecutionId":"ex-1","NotebookExecutionName":"ns-s-1","Status":"RUNNING"}]}`)
	})), account, region, c.Now)
	for range 2 {
		if l := list(t, e); !l.Complete || len(l.Runs) != 1 {
			t.Errorf("the list is %+v", l)
		}
	}
	if !slices.Equal(froms, []bool{true, false, false}) {
		t.Errorf("it was asked with a beginning: %v", froms)
	}
}
