// Package ladder climbs the ladder of troubles: outages, storms, unfair
// neighbours, drift, a table put back. Each rung runs the production use cases,
// handlers, store in memory and state machines on a virtual clock, and answers
// what happened as figures. It knows how to wire the whole and what to measure;
// it must not know how anything of it works. For tests and the bench only.
package ladder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"nightshift/internal/app"
	"nightshift/internal/asl"
	"nightshift/internal/asl/clock"
	"nightshift/internal/cadence"
	"nightshift/internal/edge"
	"nightshift/internal/fault"
	"nightshift/internal/inbound"
	"nightshift/internal/memstore"
	"nightshift/internal/session"
	"nightshift/internal/workload"
	"nightshift/statemachines"
)

// Endpoints of a world: one of each api, with the api's own cadence and rate.
const (
	Livy      = "livy/j-1LADDER"
	OnEKS     = "emr-containers/123456789012/us-east-1"
	SageMaker = "sagemaker/123456789012/us-east-1"
	Notebook  = "emr-notebook/123456789012/us-east-1"
)

// Runs are the kinds of run of the endpoints.
var Runs = map[string]workload.Run{
	Livy:      {Engine: workload.Livy, Endpoint: Livy, Kind: workload.LivySession, Application: workload.Spark},
	OnEKS:     {Engine: workload.EMRContainers, Endpoint: OnEKS},
	SageMaker: {Engine: workload.SageMakerTraining, Endpoint: SageMaker},
	Notebook:  {Engine: workload.EMRNotebook, Endpoint: Notebook},
}

// Began is when every world begins.
var Began = time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)

const (
	streamLag   = 200 * time.Millisecond // from the table to run-effects
	streamBatch = 100                    // entries that one invocation of run-effects takes
	indexLag    = time.Second
)

// World is the whole of Nightshift beside an engine in memory.
type World struct {
	Clock  *clock.Clock
	App    *app.App
	Store  *Records
	Engine *Engine
	// Invocations are those of the machines', the stream's and the schedule's
	// functions.
	Invocations int64
	// Called, where set, is told of each of them before it begins: the context is the
	// invocation's, and done is called when it has answered.
	Called func(ctx context.Context, function string) (of context.Context, done func())

	effects  func(context.Context, events.DynamoDBEvent) error
	observe  func(context.Context, edge.EndpointInput) (edge.WatchOutput, error)
	drain    func(context.Context, edge.EndpointInput) (edge.DrainOutput, error)
	schedule func(context.Context, json.RawMessage) error

	runner   *asl.Runner
	machines map[string]*asl.Machine // by their ARNs
	stream   []app.Entry             // on their way to run-effects
	carried  map[string]app.Entry    // of the batch that run-effects is given, by record id
	history  []recorded              // identity events, as CloudTrail would tell them again
	asked    int                     // executions of the run machine that the world plays
}

type recorded struct {
	at   time.Time
	body []byte
}

// Settings of a world. The zero value is what a deployment has.
type Settings struct {
	Endpoints map[string]cadence.Endpoint // an endpoint's own numbers
	Grace     time.Duration               // from a stop request to the run's end; 0: 20 s
	Policy    func(*session.Policy)       // nil: the default, background sessions on
	Store     app.Store                   // nil: one in memory, whose indexes are a second behind
	NoLag     bool                        // its indexes are not
}

// New wires a world; nothing runs before Play.
func New(o Settings) *World {
	w := &World{Clock: clock.Serial(Began, func(int) int { return 0 }), machines: map[string]*asl.Machine{}, carried: map[string]app.Entry{}}
	if o.Grace == 0 {
		o.Grace = 20 * time.Second
	}
	w.Engine = &Engine{clock: w.Clock, grace: o.Grace, runs: map[workload.Ref]*run{}, endpoints: map[string][]*run{}, seconds: map[int64]int{}}
	w.Store = &Records{Store: o.Store, streamed: w.streamed, now: w.Clock.Now}
	if o.Store == nil {
		w.Store.fresh = func() app.Store {
			return memstore.New(memstore.WithPageSize(1000), memstore.WithIndexLag(w.Clock.Now, func() time.Duration { return w.Store.lag }))
		}
		if !o.NoLag {
			w.Store.lag = indexLag
		}
		w.Store.Store = w.Store.fresh()
	}
	engines := map[string]app.Engine{}
	for endpoint := range Runs {
		api, _, _ := strings.Cut(endpoint, "/")
		engines[api] = w.Engine
	}
	w.App = &app.App{
		Store: w.Store, Engines: engines, Identity: identity{w}, Starter: starter{w}, Waiters: deaf{}, Announcer: deaf{}, Meter: deaf{},
		Parallel: w.Clock.Parallel, Parse: inbound.Parse, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: w.Clock.Now, Pause: w.Clock.Sleep, Settings: o.Endpoints,
	}
	w.effects, w.schedule = edge.RunEffects(w.App, w.decode), edge.Schedule(w.App)
	w.observe, w.drain = edge.ObserveEndpoint(w.App), edge.DrainEndpoint(w.App)
	w.load()
	p := session.DefaultPolicy()
	p.Version, p.ChangedAt, p.InstanceBackground = 1, Began, session.On
	if o.Policy != nil {
		o.Policy(&p)
	}
	must(w.Store.PutPolicy(context.Background(), p))
	return w
}

// must: what the world does to itself cannot fail; a rung that goes on
// nevertheless would measure nothing.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (w *World) load() {
	arns := map[string]string{
		statemachines.ObserveEndpointArn: "observe-endpoint", statemachines.DrainEndpointArn: "drain-endpoint",
		statemachines.WatchMachineArn: machineARN(statemachines.Watch), statemachines.DrainMachineArn: machineARN(statemachines.Drain),
	}
	for _, name := range []string{statemachines.Watch, statemachines.Drain} {
		definition := statemachines.Definition(name)
		m, err := asl.Load(definition, statemachines.Filled(definition, arns))
		must(err)
		w.machines[machineARN(name)] = m
	}
	w.runner = asl.New(w.Clock, services{w}, asl.Options{Seed: 1})
}

func machineARN(name string) string {
	return "arn:aws:states:us-east-1:123456789012:stateMachine:nightshift-" + name
}

// Transitions are those that the machines have made, as Step Functions bills
// them: each state entered, and each retry of a task besides.
func (w *World) Transitions() int64 {
	n := int64(0)
	for _, e := range w.runner.Executions() {
		for _, ev := range e.History() {
			switch {
			case ev.Type == "TaskStateEntered": // counted by its tries
			case strings.HasSuffix(ev.Type, "StateEntered"), ev.Type == "TaskScheduled":
				n++
			}
		}
	}
	return n
}

// Invoke is an invocation of a function.
func (w *World) Invoke(ctx context.Context, function string, f func(context.Context) error) error {
	w.Invocations++
	if w.Called != nil {
		of, done := w.Called(ctx, function)
		defer done()
		ctx = of
	}
	return f(ctx)
}

// Go runs a part of a rung beside everything else.
func (w *World) Go(f func(ctx context.Context)) { w.Clock.Go(func() { f(context.Background()) }) }

// Play lets time pass.
func (w *World) Play(d time.Duration) {
	w.Clock.RunUntil(w.Clock.Now().Add(d))
}

// Start begins the minute's schedule: on-schedule is called each full minute.
func (w *World) Start() {
	w.Go(func(ctx context.Context) {
		for {
			_ = w.Invoke(ctx, "on-schedule", func(ctx context.Context) error { return w.schedule(ctx, json.RawMessage("{}")) }) // what fails is done by the next one
			if w.Clock.Sleep(ctx, cadence.Sweep) != nil {
				return
			}
		}
	})
}

// Do runs f as a chain and lets no time pass beyond what f takes.
func (w *World) Do(f func(ctx context.Context)) {
	w.Go(f)
	w.Clock.RunUntil(w.Clock.Now())
}

// Open is a session opened by the run machine's first step, whose run has been
// started.
func (w *World) Open(ctx context.Context, user string, run workload.Run, expires time.Time) session.Session {
	w.asked++
	s, err := w.App.OpenSession(ctx, app.OpenRequest{Execution: fmt.Sprint("arn:execution:", w.asked), User: user, Run: run,
		Interactive: session.InteractiveSession{ID: "is-" + user, Source: inbound.PortalSource, ExpiresAt: expires}})
	must(err)
	must(w.App.StartRun(ctx, app.StartRequest{SessionID: s.ID, Token: "token-" + s.ID, Spec: []byte("{}")}))
	return w.Session(s.ID)
}

// Session reads one session; there must be one.
func (w *World) Session(id string) session.Session {
	s, err := w.Store.Session(context.Background(), id)
	must(err)
	return s
}

// Say delivers an event as its queue does, again each 30 s until it is taken;
// and CloudTrail's history has it from then on.
func (w *World) Say(ctx context.Context, body []byte) {
	w.history = append(w.history, recorded{w.Clock.Now(), body})
	for w.App.Receive(ctx, "on-revocation", body) != nil {
		if w.Clock.Sleep(ctx, 30*time.Second) != nil {
			return
		}
	}
}

// Revoked is the event of our own bus that ends a user's background sessions.
func (w *World) Revoked(user string) []byte {
	at := w.Clock.Now().UTC().Format(time.RFC3339Nano)
	return fmt.Appendf(nil, `{"version":"0","id":"revoked-%s-%d","detail-type":"Nightshift Revoked","source":"nightshift","account":"123456789012","time":%q,"region":"us-east-1","resources":[],"detail":{"user":%q,"at":%q,"scope":"background"}}`,
		user, w.Clock.Now().UnixNano(), at, user, at)
}

// streamed carries entries to run-effects in batches, as the table's stream
// does.
func (w *World) streamed(e app.Entry) {
	if w.stream = append(w.stream, e); len(w.stream) > 1 {
		return
	}
	w.Go(func(ctx context.Context) {
		if w.Clock.Sleep(ctx, streamLag) != nil {
			return
		}
		entries := w.stream
		w.stream = nil
		for batch := range slices.Chunk(entries, streamBatch) {
			var in events.DynamoDBEvent
			for _, e := range batch {
				id := fmt.Sprint(e.SessionID, "/", e.Version)
				w.carried[id] = e
				in.Records = append(in.Records, events.DynamoDBEventRecord{EventID: id, EventName: "INSERT"})
			}
			must(w.Invoke(ctx, "run-effects", func(ctx context.Context) error { return w.effects(ctx, in) }))
			for _, r := range in.Records {
				delete(w.carried, r.EventID)
			}
		}
	})
}

func (w *World) decode(r events.DynamoDBEventRecord) (app.Entry, bool, error) {
	e, ok := w.carried[r.EventID]
	return e, ok, nil
}

// services carries out the tasks of the machines.
type services struct{ w *World }

func (v services) Invoke(ctx context.Context, function string, payload []byte) ([]byte, error) {
	var in edge.EndpointInput
	must(json.Unmarshal(payload, &in))
	var out any
	err := v.w.Invoke(ctx, function, func(ctx context.Context) (err error) {
		switch function {
		case "observe-endpoint":
			out, err = v.w.observe(ctx, in)
		case "drain-endpoint":
			out, err = v.w.drain(ctx, in)
		default:
			err = errors.New("there is no function " + function)
		}
		return err
	})
	if err != nil {
		return nil, &asl.TaskError{Name: reflect.TypeOf(err).Elem().Name(), Cause: err.Error()}
	}
	return json.Marshal(out)
}

func (v services) StartExecution(_ context.Context, arn, name string, input []byte) (string, error) {
	e, err := v.w.runner.Start(v.w.machines[arn], arn, name, input)
	if err != nil {
		return "", err
	}
	return e.ARN(), nil
}

// starter starts machines as internal/workflow does; a name taken is success.
type starter struct{ w *World }

func (s starter) begin(machine, endpoint string, generation int64) error {
	name := machine + "-" + strings.ReplaceAll(endpoint, "/", "-")
	input, err := json.Marshal(map[string]any{"endpoint": endpoint, "generation": generation, "name": name})
	must(err)
	arn := machineARN(machine)
	_, err = s.w.runner.Start(s.w.machines[arn], arn, fmt.Sprint(name, "-", generation), input)
	if errors.Is(err, asl.ErrExecutionAlreadyExists) {
		return nil
	}
	return err
}

func (s starter) Watch(_ context.Context, endpoint string, generation int64) error {
	return s.begin(statemachines.Watch, endpoint, generation)
}

func (s starter) Drain(_ context.Context, endpoint string, generation int64) error {
	return s.begin(statemachines.Drain, endpoint, generation)
}

// identity allows everything and has no news of its own.
type identity struct{ w *World }

func (identity) Facts(_ context.Context, user string, _ workload.Run) (session.Facts, error) {
	f := session.Facts{IdentityPropagation: session.On, ApplicationBackground: session.On, ClusterBackground: session.On, ReleaseLabel: "emr-7.12.0"}
	if strings.HasPrefix(user, DayUser) {
		f.ApplicationBackground = session.Off
	}
	return f, nil
}

// DayUser begins the names of users whose sessions are interactive ones, also
// where others' are background sessions.
const DayUser = "day-"

func (identity) Status(context.Context, string) (app.UserStatus, error) { return app.UserEnabled, nil }

func (identity) Access(context.Context, string, string) (session.Tri, error) { return session.On, nil }

func (i identity) Replay(_ context.Context, after time.Time) ([][]byte, error) {
	var bodies [][]byte
	for _, r := range i.w.history {
		if r.at.After(after) {
			bodies = append(bodies, r.body)
		}
	}
	return bodies, nil
}

// deaf are the ports whose far end these rungs do not ask.
type deaf struct{}

func (deaf) Release(context.Context, string, app.Outcome) error { return nil }
func (deaf) Announce(context.Context, app.Announcement) error   { return nil }
func (deaf) Count(string, int)                                  {}
func (deaf) Lateness(string, time.Duration)                     {}

var errDown = fault.New("call the engine", fault.Unknown, errors.New("the engine's API refuses everything"))
