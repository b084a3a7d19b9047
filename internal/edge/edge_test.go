package edge_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"nightshift/internal/app"
	"nightshift/internal/edge"
	"nightshift/internal/fault"
	"nightshift/internal/memstore"
	"nightshift/internal/session"
	"nightshift/internal/workload"
	"nightshift/statemachines"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	endpoint  = "sagemaker/123456789012/us-east-1"
	execution = "arn:aws:states:us-east-1:123456789012:execution:run:one"
)

// ports are the app's ports but the store, as far as these handlers need them.
type ports struct {
	mu       sync.Mutex
	counted  map[string]int
	released []string
	started  []app.Start
}

func (p *ports) Facts(context.Context, string, workload.Run) (session.Facts, error) {
	return session.Facts{IdentityPropagation: session.On, ApplicationBackground: session.On}, nil
}
func (p *ports) Status(context.Context, string) (app.UserStatus, error) { return app.UserEnabled, nil }
func (p *ports) Access(context.Context, string, string) (session.Tri, error) {
	return session.On, nil
}
func (p *ports) Replay(context.Context, time.Time) ([][]byte, error) { return nil, nil }
func (p *ports) Watch(context.Context, string, int64) error          { return nil }
func (p *ports) Drain(context.Context, string, int64) error          { return nil }
func (p *ports) Announce(context.Context, app.Announcement) error    { return nil }
func (p *ports) Lateness(string, time.Duration)                      {}
func (p *ports) Stop(context.Context, workload.Run) error            { return nil }
func (p *ports) List(context.Context, string) (workload.Listing, error) {
	return workload.Listing{Complete: true}, nil
}

func (p *ports) Release(_ context.Context, token string, _ app.Outcome) error {
	p.released = append(p.released, token)
	return nil
}

func (p *ports) Count(name string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.counted == nil {
		p.counted = map[string]int{}
	}
	p.counted[name] += n
}

func (p *ports) Start(_ context.Context, s app.Start) (workload.Run, error) {
	p.started = append(p.started, s)
	run := s.Run
	run.ID = "training-job/" + s.SessionID
	return run, nil
}

func (p *ports) Describe(_ context.Context, run workload.Run) (workload.Observation, error) {
	return workload.Observation{Run: run, State: workload.Running, At: noon}, nil
}

// store fails to read some users.
type store struct {
	*memstore.Store
	down map[string]error
}

func (s store) User(ctx context.Context, user string) (session.UserFacts, error) {
	if err := s.down[user]; err != nil {
		return session.UserFacts{}, err
	}
	return s.Store.User(ctx, user)
}

func system(t *testing.T, p *ports, down map[string]error) (*app.App, *memstore.Store) {
	t.Helper()
	mem := memstore.New()
	a := &app.App{
		Store: store{mem, down}, Engines: map[string]app.Engine{"sagemaker": p}, Identity: p, Starter: p, Waiters: p, Announcer: p,
		Parallel: edge.Parallel, Parse: parse, Meter: p, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return noon },
	}
	return a, mem
}

// parse reads "sign-out <user>"; all else is malformed.
func parse(body []byte, received time.Time) (app.Message, error) {
	user, ok := strings.CutPrefix(string(body), "sign-out ")
	if !ok {
		return nil, fault.Newf("parse event", fault.Invalid, "detail.user: it is missing")
	}
	return app.Fact{Event: session.Event{ID: "e-" + user, Kind: session.SignOut, At: received, User: user}}, nil
}

func parseRun(execution string, input []byte) (app.OpenRequest, []byte, error) {
	var in struct {
		User string          `json:"user"`
		Spec json.RawMessage `json:"spec"`
	}
	if err := json.Unmarshal(input, &in); err != nil || in.User == "" {
		return app.OpenRequest{}, nil, fault.Newf("read the input of run", fault.Invalid, "user: it is missing")
	}
	return app.OpenRequest{Execution: execution, User: in.User, Run: workload.Run{Engine: workload.SageMakerTraining, Endpoint: endpoint}}, in.Spec, nil
}

// typeName is what the Lambda runtime reports as an error's type: the name of
// the outermost Go type, a pointer's element.
func typeName(err error) string {
	typ := reflect.TypeOf(err)
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	return typ.Name()
}

// types are all of edge's error types.
func types() []string {
	var names []string
	for _, e := range []error{&edge.InvalidInput{}, &edge.UserLocked{}, &edge.Throttled{}, &edge.Conflict{}, &edge.Unavailable{}} {
		names = append(names, typeName(e))
	}
	return names
}

func TestErrorTypes(t *testing.T) {
	kinds := 0
	for kind, want := range map[fault.Kind]string{
		fault.Unknown: "Unavailable", fault.Invalid: "InvalidInput", fault.NotFound: "Unavailable",
		fault.Conflict: "Conflict", fault.Throttled: "Throttled", fault.Denied: "Unavailable",
	} {
		kinds++
		t.Run(kind.String(), func(t *testing.T) {
			cause := fault.New("somewhere", kind, errors.New("a reason"))
			fail := func(string, []byte) (app.OpenRequest, []byte, error) { return app.OpenRequest{}, nil, cause }
			a, _ := system(t, &ports{}, nil)
			_, err := edge.OpenSession(a, fail)(t.Context(), edge.OpenInput{})
			if err == nil || typeName(err) != want || err.Error() != cause.Error() {
				t.Errorf("%T %v, want %s %v", err, err, want, cause)
			}
			if err := edge.StartRun(a, fail)(t.Context(), edge.StartInput{}); err == nil || typeName(err) != want {
				t.Errorf("%T, want %s", err, want)
			}
			// As the use cases give it: wrapped.
			a, _ = system(t, &ports{}, map[string]error{"ana": cause})
			if _, err := edge.OpenSession(a, parseRun)(t.Context(), edge.OpenInput{Input: json.RawMessage(`{"user":"ana"}`)}); err == nil || typeName(err) != want {
				t.Errorf("wrapped: %T, want %s", err, want)
			}
		})
	}
	// The kinds are consecutive, and one beyond the last reads "unknown" too.
	for kind := fault.Unknown; kind.String() != "unknown" || kind == fault.Unknown; kind++ {
		kinds--
	}
	if kinds != 0 {
		t.Error("the table does not have every kind")
	}
}

func TestErrorTypeOfLockedUser(t *testing.T) {
	a, mem := system(t, &ports{}, nil)
	if err := mem.PutUser(t.Context(), session.UserFacts{User: "ana", Version: 1, Lock: session.Lock{Until: noon.Add(time.Hour), By: "admin", Why: "incident"}}); err != nil {
		t.Fatal(err)
	}
	_, err := edge.OpenSession(a, parseRun)(t.Context(), edge.OpenInput{Execution: execution, Input: json.RawMessage(`{"user":"ana"}`)})
	if err == nil || typeName(err) != "UserLocked" || !strings.Contains(err.Error(), "incident") {
		t.Errorf("%T %v", err, err)
	}
}

// Every error that a state machine tells apart, and that is not the service's
// own, is one of ours: a renamed type would silently fall to States.ALL.
func TestEveryErrorEqualsIsAType(t *testing.T) {
	ours := types()
	looked := 0
	for _, machine := range statemachines.Names() {
		var definition any
		if err := json.Unmarshal(statemachines.Definition(machine), &definition); err != nil {
			t.Fatal(err)
		}
		for _, name := range errorEquals(definition) {
			// The service's own have a dot: States.ALL, Lambda.Unknown, Sandbox.Timedout.
			if strings.Contains(name, ".") {
				continue
			}
			looked++
			if !slices.Contains(ours, name) {
				t.Errorf("%s: ErrorEquals %q is no error of edge; they are %v", machine, name, ours)
			}
		}
	}
	if looked == 0 {
		t.Fatal("no ErrorEquals was looked at")
	}
	listed := statemachines.Errors()
	slices.Sort(listed)
	slices.Sort(ours)
	if !slices.Equal(listed, ours) {
		t.Errorf("statemachines lists %v, edge has %v", listed, ours)
	}
}

func errorEquals(v any) []string {
	var names []string
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			names = append(names, errorEquals(e)...)
		}
	case map[string]any:
		for field, inner := range v {
			if list, ok := inner.([]any); ok && field == "ErrorEquals" {
				for _, n := range list {
					names = append(names, n.(string))
				}
				continue
			}
			names = append(names, errorEquals(inner)...)
		}
	}
	return names
}

// One bad event neither blocks the others nor comes again; one that failed for
// now does, alone (S3.6, S3.7).
func TestQueuePartialFailures(t *testing.T) {
	p := &ports{}
	a, mem := system(t, p, map[string]error{"ben": fault.New("read user", fault.Throttled, nil)})
	answer, err := edge.Queue(a, "on-logout")(t.Context(), events.SQSEvent{Records: []events.SQSMessage{
		{MessageId: "m-1", Body: "sign-out ana"},
		{MessageId: "m-2", Body: "poison"},
		{MessageId: "m-3", Body: "sign-out ben"},
		{MessageId: "m-4", Body: "sign-out cleo"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	if string(body) != `{"batchItemFailures":[{"itemIdentifier":"m-3"}]}` {
		t.Errorf("%s", body)
	}
	for user, want := range map[string]int{"ana": 1, "ben": 0, "cleo": 1} {
		u, err := mem.User(t.Context(), user)
		if err != nil || len(u.Facts) != want {
			t.Errorf("%s: %d facts, want %d (%v)", user, len(u.Facts), want, err)
		}
	}
	parked, _, err := mem.ParkedEvents(t.Context(), "")
	if err != nil || len(parked) != 1 || parked[0].Body != "poison" || parked[0].Source != "on-logout" || !strings.Contains(parked[0].Reason, "detail.user") {
		t.Errorf("parked %+v, %v", parked, err)
	}
	if p.counted[app.MetricParked] != 1 {
		t.Errorf("counted %v", p.counted)
	}
}

// invoke calls a handler as the runtime does: bytes in, bytes out.
func invoke(t *testing.T, handler any, payload string) string {
	t.Helper()
	out, err := lambda.NewHandler(handler).Invoke(t.Context(), []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// What the handlers read and answer, byte by byte: the state machines name these
// fields.
func TestContracts(t *testing.T) {
	p := &ports{}
	a, mem := system(t, p, nil)
	if err := mem.PutPolicy(t.Context(), policy()); err != nil {
		t.Fatal(err)
	}
	id := app.SessionOfExecution(execution)

	for range 2 { // a repetition answers the same
		got := invoke(t, edge.OpenSession(a, parseRun), `{"execution":"`+execution+`","input":{"user":"ana","spec":{}}}`)
		want := `{"sessionId":"` + id + `","endpoint":"` + endpoint + `","status":"ACTIVE","mode":"background","deadline":"2026-03-08T12:00:00Z","deadlineSource":"background-duration"}`
		if got != want {
			t.Errorf("open-session\ngot  %s\nwant %s", got, want)
		}
	}

	invoke(t, edge.StartRun(a, parseRun), `{"sessionId":"`+id+`","taskToken":"token-1","input":{"user":"ana","spec":{"TrainingJobName":"x"}}}`)
	if len(p.started) != 1 || p.started[0].SessionID != id || string(p.started[0].Spec) != `{"TrainingJobName":"x"}` {
		t.Errorf("started %+v", p.started)
	}
	if s, err := mem.Session(t.Context(), id); err != nil || s.Waiter != "token-1" {
		t.Errorf("waiter %q, %v", s.Waiter, err)
	}

	if got, want := invoke(t, edge.ObserveEndpoint(a), `{"endpoint":"`+endpoint+`","generation":1}`), `{"done":false,"live":1,"waitSeconds":60}`; got != want {
		t.Errorf("observe-endpoint\ngot  %s\nwant %s", got, want)
	}
	if got, want := invoke(t, edge.DrainEndpoint(a), `{"endpoint":"`+endpoint+`","generation":2}`), `{"done":false,"left":0,"waitSeconds":5,"etaSeconds":0}`; got != want {
		t.Errorf("drain-endpoint\ngot  %s\nwant %s", got, want)
	}
	// An older generation is done: a newer one holds the lease.
	if got, want := invoke(t, edge.DrainEndpoint(a), `{"endpoint":"`+endpoint+`","generation":1}`), `{"done":true,"left":0,"waitSeconds":0,"etaSeconds":0}`; got != want {
		t.Errorf("drain-endpoint, taken over\ngot  %s\nwant %s", got, want)
	}
	if got := invoke(t, edge.Schedule(a), `{"version":"0","source":"aws.scheduler"}`); got != "" && got != "null" {
		t.Errorf("on-schedule answers %s", got)
	}
}

func policy() session.Policy {
	p := session.DefaultPolicy()
	p.Version, p.InstanceBackground = 1, session.On
	return p
}

// A session of unknown mode has no deadline, which is "" and not a date.
func TestNoDeadline(t *testing.T) {
	a, _ := system(t, &ports{}, nil)
	got := invoke(t, edge.OpenSession(a, parseRun), `{"execution":"`+execution+`","input":{"user":"ana"}}`)
	if !strings.Contains(got, `"mode":"unknown","deadline":"","deadlineSource":"none"`) {
		t.Errorf("%s", got)
	}
}

// A record that cannot be read does not hold up its shard, nor the records
// after it.
func TestRunEffectsGoesOn(t *testing.T) {
	p := &ports{}
	a, mem := system(t, p, nil)
	if _, err := edge.OpenSession(a, parseRun)(t.Context(), edge.OpenInput{Execution: execution, Input: json.RawMessage(`{"user":"ana"}`)}); err != nil {
		t.Fatal(err)
	}
	id := app.SessionOfExecution(execution)
	history, _, err := mem.History(t.Context(), id, 0, 10)
	if err != nil || len(history) != 1 {
		t.Fatalf("%d entries, %v", len(history), err)
	}
	decode := func(r events.DynamoDBEventRecord) (app.Entry, bool, error) {
		switch r.EventID {
		case "unreadable":
			return app.Entry{}, false, errors.New("no entry")
		case "something else":
			return app.Entry{}, false, nil
		}
		return history[0], true, nil
	}
	err = edge.RunEffects(a, decode)(t.Context(), events.DynamoDBEvent{Records: []events.DynamoDBEventRecord{
		{EventID: "unreadable"}, {EventID: "something else"}, {EventID: "entry"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	history, _, err = mem.History(t.Context(), id, 0, 10)
	if err != nil || !history[0].Done {
		t.Errorf("the last record's effects were not carried out (%v)", err)
	}
}

func TestParallel(t *testing.T) {
	const limit, n = 3, 50
	var now, most, done atomic.Int64
	gate := make(chan struct{}, limit)
	tasks := make([]func(context.Context), n)
	for i := range tasks {
		tasks[i] = func(context.Context) {
			select {
			case gate <- struct{}{}:
			default:
				t.Error("more than the limit at once")
				return
			}
			most.Store(max(most.Load(), now.Add(1)))
			now.Add(-1)
			done.Add(1)
			<-gate
		}
	}
	edge.Parallel(t.Context(), limit, tasks)
	if done.Load() != n || most.Load() == 0 {
		t.Errorf("%d of %d tasks have returned", done.Load(), n)
	}

	// One that is left out would count as done, so all run.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done.Store(0)
	edge.Parallel(ctx, 0, []func(context.Context){
		func(ctx context.Context) { done.Add(1) },
		func(ctx context.Context) {
			if ctx.Err() != nil {
				done.Add(1)
			}
		},
	})
	if done.Load() != 2 {
		t.Errorf("%d of 2 tasks ran after the context's end", done.Load())
	}
}

// A preflight's errors have the types that process-in-vpc tells apart, and its
// answer is what the check gave.
func TestPreflight(t *testing.T) {
	var asked app.OpenRequest
	h := edge.Preflight(func(_ context.Context, r app.OpenRequest, spec []byte) (string, error) {
		asked = r
		if string(spec) == `"throttled"` {
			return "", fault.Newf("read", fault.Throttled, "slower")
		}
		return string(spec), nil
	}, parseRun)
	out, err := h(t.Context(), edge.OpenInput{Execution: execution, Input: json.RawMessage(`{"user":"ana","spec":{}}`)})
	if err != nil || out != "{}" || asked.Execution != execution || asked.User != "ana" {
		t.Errorf("%q %v, asked %+v", out, err, asked)
	}
	for input, want := range map[string]string{`{}`: "InvalidInput", `{"user":"ana","spec":"throttled"}`: "Throttled"} {
		if _, err := h(t.Context(), edge.OpenInput{Execution: execution, Input: json.RawMessage(input)}); err == nil || typeName(err) != want {
			t.Errorf("%s: %v, want %s", input, err, want)
		}
	}
}
