package sim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/smithy-go"

	"nightshift/internal/app"
	"nightshift/internal/asl"
	"nightshift/internal/asl/clock"
	"nightshift/internal/cadence"
	"nightshift/internal/inbound"
	"nightshift/internal/memstore"
	"nightshift/internal/session"
	"nightshift/internal/workflow"
	"nightshift/internal/workload"
	"nightshift/statemachines"
)

// World is one Nightshift with everything around it. Nothing runs before run.
type World struct {
	Options   Options
	Clock     *clock.Clock
	Faults    Faults
	Store     *memstore.Store // below the faults and the planted defects
	Engines   []*Engine
	Users     []*User
	Causes    []*Cause
	Directory *directory
	Portal    bool // the portal says which of its sessions are live (S3.5c)

	bus        *bus
	rand       *rand.Rand
	handlers   map[string]function
	runner     *asl.Runner
	stream     []*app.Entry // committed, not yet handed to run-effects
	batches    map[string]*app.Entry
	polling    bool
	plans      []*Plan
	records    map[string]*record // by session
	asked      map[saying]bool    // what entries ask to be said; true: it was
	next       session.Session    // what the write under way writes …
	changing   bool               // … if one is
	policies   []session.Policy   // that have held, newest last
	violations []Violation
	musts      map[string]int
	struck     map[string]int

	calls, serial, invocations int
	inFlight                   int // events on their way, and invocations that run
	written                    time.Time
	commits                    int
	calm                       bool // the faults are over
	until                      time.Time
	worst                      time.Duration
	tracing                    bool
	hash                       hash.Hash
}

// New builds a world; its script is still to be set.
func New(o Options) *World {
	w := &World{Options: o, rand: rand.New(rand.NewPCG(o.Seed, 0x6e696768747368)), records: map[string]*record{}, asked: map[saying]bool{}, musts: map[string]int{}, struck: map[string]int{}, batches: map[string]*app.Entry{}}
	w.tracing = o.Trace != nil || o.Hash
	if o.Hash {
		w.hash = sha256.New()
	}
	w.Clock = clock.Serial(Epoch, w.rand.IntN)
	if o.Faults != nil {
		w.Faults = *o.Faults
	} else {
		w.Faults = drawFaults(w.rand)
	}
	how := []memstore.Option{memstore.WithRoom(room)}
	if w.Faults.IndexLag > 0 {
		how = append(how, memstore.WithIndexLag(w.Clock.Now, func() time.Duration { return w.upTo(w.Faults.IndexLag) }))
	}
	w.Store = memstore.New(how...)
	w.Store.Subscribe(w.streamed)
	w.policies = []session.Policy{session.DefaultPolicy()}
	w.Directory = &directory{w: w, users: map[string]*User{}, facts: map[string]session.Facts{}, given: map[given]bool{}}
	w.bus = &bus{w: w}
	w.runner = asl.New(w.Clock, services{w}, asl.Options{Seed: o.Seed, DropHistories: true, NoHistories: true, OnStatus: w.executionEnded})
	return w
}

// Close frees what a world holds.
func (w *World) Close() { w.Clock.Close() }

// AddEngine gives the world an endpoint.
func (w *World) AddEngine(endpoint string) *Engine {
	e := &Engine{w: w, Endpoint: endpoint, byRef: map[workload.Ref]*Run{}, byStamp: map[string]*Run{}}
	for _, o := range w.Faults.Outages {
		if o.Endpoint == endpoint {
			e.down = append(e.down, o)
		}
	}
	w.Engines = append(w.Engines, e)
	return e
}

// AddUser gives the world a person.
func (w *World) AddUser(id string) *User {
	u := &User{ID: id, Portal: "p-" + id, SignedIn: w.Clock.Now(), Status: app.UserEnabled, Access: session.On}
	w.Users = append(w.Users, u)
	w.Directory.users[id] = u
	return u
}

// upTo draws a span.
func (w *World) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(w.rand.Int64N(int64(d)))
}

func (w *World) sleep(d time.Duration) error { return w.Clock.Sleep(context.Background(), d) }

// after begins a chain a while from now.
func (w *World) after(d time.Duration, do func()) {
	w.Clock.Go(func() {
		if w.sleep(d) == nil {
			do()
		}
	})
}

// At has something happen at a moment, in a chain of its own.
func (w *World) At(t time.Time, do func()) { w.after(t.Sub(w.Clock.Now()), do) }

// Until says when the trouble ends: from then on nothing fails any more, and the
// world is judged when it has come to rest.
func (w *World) Until(t time.Time) { w.until = t }

// say adds a line to the trace; callers ask tracing first, which keeps a play
// without a trace cheap.
func (w *World) say(format string, args ...any) {
	line := fmt.Sprintf("+%s %s", w.Clock.Now().Sub(Epoch).Round(time.Millisecond), fmt.Sprintf(format, args...))
	if w.hash != nil {
		_, _ = io.WriteString(w.hash, line+"\n")
	}
	if w.Options.Trace != nil {
		w.Options.Trace(line)
	}
}

var quiet = slog.New(slog.DiscardHandler)

func (w *World) app() *app.App {
	var below app.Store = &noted{w.Store, w}
	if w.Options.Store != nil {
		below = w.Options.Store(below)
	}
	var who app.Identity = w.Directory
	if w.Options.Identity != nil {
		who = w.Options.Identity(who)
	}
	engines := map[string]app.Engine{}
	a := &app.App{
		Store: store{below, w}, Engines: engines, Identity: identities{who, w}, Announcer: announcer{w},
		Parallel: w.Clock.Parallel, Parse: inbound.Parse, Meter: meter{}, Log: quiet, Now: w.Clock.Now, Pause: w.Clock.Sleep,
	}
	for _, e := range w.Engines {
		var model app.Engine = seen{e}
		if w.Options.Engine != nil {
			model = w.Options.Engine(model)
		}
		per, ok := engines[apiOf(e.Endpoint)].(app.PerEndpoint)
		if !ok {
			per = app.PerEndpoint{}
			engines[apiOf(e.Endpoint)] = per
		}
		per[e.Endpoint] = engine{model, w}
		a.Endpoints = append(a.Endpoints, e.Endpoint)
	}
	if w.Portal {
		a.Sessions = portal{w.Directory, w}
	}
	flow := workflow.New(states{w}, machineARN(statemachines.Watch), machineARN(statemachines.Drain))
	a.Starter, a.Waiters = starter{flow, w}, waiters{flow, w}
	return a
}

func apiOf(endpoint string) string {
	api, _, _ := strings.Cut(endpoint, "/")
	return api
}

// meter measures nothing: the world is judged from outside.
type meter struct{}

func (meter) Count(string, int)              {}
func (meter) Lateness(string, time.Duration) {}

// timeouts are the functions' (infra/stack); those that are steps of machines
// have the machines' own.
func timeoutOf(string) time.Duration { return cadence.TaskTimeout }

// services carries out the machines' tasks.
type services struct{ w *World }

const functionPrefix = "arn:aws:lambda:" + region + ":" + account + ":function:nightshift-"

// Invoke reports an error by its outermost Go type, as Lambda does.
func (v services) Invoke(_ context.Context, arn string, payload []byte) ([]byte, error) {
	out, err := v.w.Invoke(arn[len(functionPrefix):], payload)
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, errCrashed):
		return nil, &asl.TaskError{Name: "Runtime.ExitError", Cause: err.Error()}
	case errors.Is(err, errLate):
		return nil, &asl.TaskError{Name: "Sandbox.Timedout", Cause: err.Error()}
	}
	t := reflect.TypeOf(err)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return nil, &asl.TaskError{Name: t.Name(), Cause: err.Error()}
}

func (v services) StartExecution(_ context.Context, arn, name string, input []byte) (string, error) {
	e, err := v.w.start(arn, name, input)
	if err != nil {
		return "", err
	}
	return e.ARN(), nil
}

func (w *World) start(arn, name string, input []byte) (*asl.Execution, error) {
	m, ok := machines()[arn]
	if !ok {
		return nil, errors.New("StateMachineDoesNotExist: " + arn)
	}
	if w.tracing {
		w.say("execution %s begins: %s", name, input)
	}
	return w.runner.Start(m, arn, name, input)
}

func machineARN(name string) string {
	return "arn:aws:states:" + region + ":" + account + ":stateMachine:nightshift-" + name
}

// machines are the real ones, loaded once in a process.
var machines = sync.OnceValue(func() map[string]*asl.Machine {
	arns := map[string]string{
		statemachines.OpenSessionArn: functionPrefix + "open-session", statemachines.StartRunArn: functionPrefix + "start-run",
		statemachines.ObserveEndpointArn: functionPrefix + "observe-endpoint", statemachines.DrainEndpointArn: functionPrefix + "drain-endpoint",
		statemachines.WatchMachineArn: machineARN(statemachines.Watch), statemachines.DrainMachineArn: machineARN(statemachines.Drain),
	}
	all := map[string]*asl.Machine{}
	for _, name := range []string{statemachines.Run, statemachines.Watch, statemachines.Drain} {
		definition := statemachines.Definition(name)
		m, err := asl.Load(definition, statemachines.Filled(definition, arns))
		if err != nil {
			panic(err) // the machines' own tests find it first
		}
		all[machineARN(name)] = m
	}
	return all
})

// states is Step Functions' API before the runner.
type states struct{ w *World }

func refused(err error) error {
	for _, c := range []struct {
		is   error
		code string
	}{
		{asl.ErrExecutionAlreadyExists, "ExecutionAlreadyExists"}, {asl.ErrTaskDoesNotExist, "TaskDoesNotExist"},
		{asl.ErrTaskTimedOut, "TaskTimedOut"}, {asl.ErrInvalidToken, "InvalidToken"},
	} {
		if errors.Is(err, c.is) {
			return &smithy.GenericAPIError{Code: c.code, Message: err.Error()}
		}
	}
	return err
}

func (s states) StartExecution(_ context.Context, in *sfn.StartExecutionInput, _ ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error) {
	e, err := s.w.start(aws.ToString(in.StateMachineArn), aws.ToString(in.Name), []byte(aws.ToString(in.Input)))
	if err != nil {
		return nil, refused(err)
	}
	return &sfn.StartExecutionOutput{ExecutionArn: aws.String(e.ARN())}, nil
}

func (s states) SendTaskSuccess(_ context.Context, in *sfn.SendTaskSuccessInput, _ ...func(*sfn.Options)) (*sfn.SendTaskSuccessOutput, error) {
	return &sfn.SendTaskSuccessOutput{}, refused(s.w.runner.SendTaskSuccess(aws.ToString(in.TaskToken), []byte(aws.ToString(in.Output))))
}

func (s states) SendTaskFailure(_ context.Context, in *sfn.SendTaskFailureInput, _ ...func(*sfn.Options)) (*sfn.SendTaskFailureOutput, error) {
	return &sfn.SendTaskFailureOutput{}, refused(s.w.runner.SendTaskFailure(aws.ToString(in.TaskToken), aws.ToString(in.Error), aws.ToString(in.Cause)))
}

// executionEnded is what Step Functions says on the default bus.
func (w *World) executionEnded(e *asl.Execution) {
	if w.tracing {
		name, cause := e.Failure()
		w.say("execution %s is %s %s %s", e.Name(), e.Status(), name, cause)
	}
	if e.Status() == asl.Succeeded {
		return // no rule takes it
	}
	c := w.causeOf(e.ARN())
	w.bus.service("aws.states", "Step Functions Execution Status Change", fmt.Sprintf(`"executionArn":%q,"stateMachineArn":%q,"name":%q,"status":%q,"stopDate":%d`,
		e.ARN(), e.MachineARN(), e.Name(), e.Status(), e.StoppedAt().UnixMilli()), w.Clock.Now(), c)
}

// The table's stream: what was committed is handed to run-effects in order, in
// batches, each until it is taken or given up.
const (
	streamLag   = 200 * time.Millisecond
	streamTries = 4
)

func (w *World) streamed(e app.Entry) {
	w.committed(&e)
	w.stream = append(w.stream, &e)
	if w.polling {
		return
	}
	w.polling = true
	w.after(streamLag, func() {
		for len(w.stream) > 0 {
			batch := w.stream
			w.stream = nil
			w.hand(batch)
			if !w.calm && w.rand.Float64() < w.Faults.Redeliver {
				w.struck["stream batches that came twice"]++
				w.hand(batch)
			}
		}
		w.polling = false
	})
}

func (w *World) hand(batch []*app.Entry) {
	for range streamTries {
		if w.handed(batch) == nil {
			return
		}
		if w.rand.Float64() < w.Faults.Drop || w.sleep(time.Second) != nil {
			break
		}
	}
	w.struck["stream batches given up"]++ // the sweep finds what is unfinished
}

func (w *World) decode(r events.DynamoDBEventRecord) (app.Entry, bool, error) {
	if e := w.batches[r.EventID]; e != nil {
		return *e, true, nil
	}
	return app.Entry{}, false, nil
}

// result is what the schedule came to.
func (w *World) result() Result {
	r := Result{Seed: w.Options.Seed, Sessions: len(w.plans), Musts: w.musts, Struck: w.struck, Commits: w.commits, Calls: w.calls, WorstLate: w.worst, Ended: w.Clock.Now(), Violations: w.violations}
	for _, e := range w.Engines {
		for _, run := range e.Runs {
			if len(run.Asked) > 0 {
				r.Stops++
			}
		}
	}
	if w.hash != nil {
		r.Hash = hex.EncodeToString(w.hash.Sum(nil))
	}
	return r
}
