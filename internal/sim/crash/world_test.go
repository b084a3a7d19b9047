// Package crash_test plays the production use cases (app behind edge, inbound's
// parser, memstore, the real engine adapters before their simulators) through
// every crash and every interleaving that can be enumerated. It is test only.
package crash_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/edge"
	"nightshift/internal/fault"
	"nightshift/internal/inbound"
	"nightshift/internal/memstore"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Whose sessions these are, and when everything begins.
const user = "u-ana"

var began = time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)

// clock is the time everything here lives in. The world moves it, and a server
// that answers late (Livy's DELETE): its caller waits so long.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func (c *clock) Sleep(_ context.Context, d time.Duration) error {
	c.now = c.now.Add(d)
	return nil
}

// world is the whole of Nightshift before one simulated engine, single-threaded
// on a manual clock: what is due is carried out in order, and nothing else runs.
type world struct {
	clock *clock
	rig   *rig
	store *memstore.Store
	app   *app.App
	who   *directory
	x     *trouble

	queue      func(context.Context, events.SQSEvent) (events.SQSEventResponse, error)
	deeds      []deed
	executions []*execution
	names      map[string]bool
	runs       []*runMachine
	says       []app.Announcement
	steps      int
	terse      bool // the stream leaves out entries that have no effects
}

type deed struct {
	at time.Time
	do func()
}

// execution is one of the watch or drain machine, as its ASL goes round.
type execution struct {
	kind       string
	endpoint   string
	generation int64
	next       time.Time
	over       bool
}

// streamLag is how long the table's stream takes; redelivery how long a queue
// waits before it delivers again; retry how long a machine waits.
const (
	streamLag  = 200 * time.Millisecond
	redelivery = 20 * time.Second
	retry      = 2 * time.Second
)

func newWorld(r *rig, x *trouble, policy session.Policy, facts session.Facts) *world {
	c := r.clock
	w := &world{clock: c, rig: r, x: x, store: memstore.New(), names: map[string]bool{}, who: &directory{facts: facts, status: app.UserEnabled, access: session.On}}
	w.app = &app.App{
		Store: brittleStore{w.store, x}, Engines: map[string]app.Engine{api(r.endpoint): r.engine(x)},
		Identity: w.who, Starter: w, Waiters: w, Announcer: w, Meter: deaf{}, Parse: inbound.Parse,
		Parallel: func(ctx context.Context, _ int, tasks []func(context.Context)) {
			for _, task := range tasks {
				task(ctx)
			}
		},
		Log: slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1})), Now: c.Now, Endpoints: []string{r.endpoint},
	}
	policy.Version, policy.ChangedAt = 1, c.now
	if err := w.store.PutPolicy(context.Background(), policy); err != nil {
		panic(err) // the first policy of a new store: cannot happen
	}
	w.queue = edge.Queue(w.app, "on-run-event")
	w.store.Subscribe(func(e app.Entry) {
		if !w.terse || len(e.Effects) > 0 {
			w.after(streamLag, func() { w.deliver(e) })
		}
	})
	return w
}

func api(endpoint string) string {
	name, _, _ := strings.Cut(endpoint, "/")
	return name
}

func (w *world) now() time.Time { return w.clock.now }

func (w *world) after(d time.Duration, do func()) { w.at(w.now().Add(d), do) }

func (w *world) at(t time.Time, do func()) { w.deeds = append(w.deeds, deed{t, do}) }

// deliver hands a stream record to run-effects; what fails there the sweep does.
func (w *world) deliver(e app.Entry) {
	handler := edge.RunEffects(w.app, func(events.DynamoDBEventRecord) (app.Entry, bool, error) { return e, true, nil })
	_ = w.invoke(func(ctx context.Context) error {
		return handler(ctx, events.DynamoDBEvent{Records: make([]events.DynamoDBEventRecord, 1)})
	})
}

// invoke is one invocation of a function: where it dies, its caller sees an
// error, and nothing that it would still have done is done.
func (w *world) invoke(call func(context.Context) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if r != died {
				panic(r)
			}
			err = errDown
		}
	}()
	return call(context.Background())
}

// put delivers an event as a queue does: again until it is taken.
func (w *world) put(body string) {
	err := w.invoke(func(ctx context.Context) error {
		out, err := w.queue(ctx, events.SQSEvent{Records: []events.SQSMessage{{MessageId: "m", Body: body}}})
		if len(out.BatchItemFailures) > 0 {
			err = errDown
		}
		return err
	})
	if err != nil {
		w.after(redelivery, func() { w.put(body) })
	}
}

// next is the earliest thing to do: of several at once, what was put first.
func (w *world) next(sweepAt time.Time) (time.Time, func()) {
	at, do := sweepAt, func() {}
	first := -1
	for i, d := range w.deeds {
		if d.at.Before(at) || d.at.Equal(at) && first < 0 {
			at, first = d.at, i
		}
	}
	if first >= 0 {
		d := w.deeds[first]
		do = func() {
			w.deeds = append(w.deeds[:first:first], w.deeds[first+1:]...)
			d.do()
		}
	}
	for _, e := range w.executions {
		if !e.over && e.next.Before(at) {
			at, do, first = e.next, func() { w.round(e) }, 0
		}
	}
	if first < 0 {
		return at, nil
	}
	return at, do
}

// play lets time pass until the world is at rest; it answers false where that
// takes longer than the limit.
func (w *world) play(limit time.Duration, atRest func() bool) bool {
	sweep := edge.Schedule(w.app)
	sweepAt, end := w.now().Truncate(cadence.Sweep).Add(cadence.Sweep), w.now().Add(limit)
	for w.now().Before(end) {
		at, do := w.next(sweepAt)
		if at.After(w.now()) {
			w.clock.now = at
		}
		if w.steps++; w.steps > 100_000 {
			return false
		}
		if do == nil {
			sweepAt = sweepAt.Add(cadence.Sweep)
			do = func() { _ = w.invoke(func(ctx context.Context) error { return sweep(ctx, nil) }) } // what fails the next one does
		}
		do()
		if atRest() {
			return true
		}
	}
	return false
}

// round is one round of a machine: what fails is tried again.
func (w *world) round(e *execution) {
	var done bool
	var wait int64
	err := w.invoke(func(ctx context.Context) (err error) {
		in := edge.EndpointInput{Endpoint: e.endpoint, Generation: e.generation}
		if e.kind == "watch" {
			var out edge.WatchOutput
			out, err = edge.ObserveEndpoint(w.app)(ctx, in)
			done, wait = out.Done, out.WaitSeconds
			return err
		}
		var out edge.DrainOutput
		out, err = edge.DrainEndpoint(w.app)(ctx, in)
		done, wait = out.Done, out.WaitSeconds
		return err
	})
	e.over = err == nil && done
	e.next = w.now().Add(time.Duration(wait) * time.Second)
	if err != nil {
		e.next = w.now().Add(retry)
	}
}

// begin starts an execution; a name taken is success.
func (w *world) begin(kind, endpoint string, generation int64) error {
	return w.x.strike("start "+kind, func() error {
		name := fmt.Sprintf("%s-%d", kind, generation)
		if !w.names[name] {
			w.names[name] = true
			w.executions = append(w.executions, &execution{kind: kind, endpoint: endpoint, generation: generation, next: w.now()})
		}
		return nil
	})
}

// Watch and Drain make the world an app.Starter.
func (w *world) Watch(_ context.Context, endpoint string, generation int64) error {
	return w.begin("watch", endpoint, generation)
}

func (w *world) Drain(_ context.Context, endpoint string, generation int64) error {
	return w.begin("drain", endpoint, generation)
}

// Announce makes the world an app.Announcer.
func (w *world) Announce(_ context.Context, a app.Announcement) error {
	return w.x.strike("announce "+a.Kind, func() error {
		w.says = append(w.says, a)
		return nil
	})
}

// runMachine is an execution of the run machine: open, start, wait for the token.
type runMachine struct {
	w        *world
	arn      string
	input    []byte
	token    string // of the newest try; older ones are dead
	tries    int
	session  string
	released int // times that its token was released in effect
	over     bool
}

// run starts an execution of the run machine.
func (w *world) run(input map[string]any) *runMachine {
	body, err := json.Marshal(input)
	if err != nil {
		panic(err) // strings and numbers: cannot happen
	}
	r := &runMachine{w: w, arn: fmt.Sprintf("arn:aws:states:us-east-1:123456789012:execution:run:%d", len(w.runs)), input: body}
	w.runs = append(w.runs, r)
	w.after(0, r.open)
	return r
}

func (r *runMachine) open() {
	err := r.w.invoke(func(ctx context.Context) error {
		out, err := edge.OpenSession(r.w.app, inbound.ParseRun)(ctx, edge.OpenInput{Execution: r.arn, Input: r.input})
		r.session = out.SessionID
		return err
	})
	if err != nil {
		r.again(r.open)
		return
	}
	r.tries = 0
	r.start()
}

func (r *runMachine) start() {
	r.tries++
	r.token = fmt.Sprintf("%s-token-%d", r.arn, r.tries)
	err := r.w.invoke(func(ctx context.Context) error {
		return edge.StartRun(r.w.app, inbound.ParseRun)(ctx, edge.StartInput{SessionID: r.session, TaskToken: r.token, Execution: r.arn, Input: r.input})
	})
	if err != nil && !r.over {
		r.again(r.start)
	}
}

// again is the machine's Retry: three times, then the execution fails.
func (r *runMachine) again(step func()) {
	if r.over {
		return
	}
	if r.tries++; r.tries > 2*cadence.TaskAttempts {
		r.end("FAILED")
		return
	}
	r.w.after(retry, step)
}

// end is the end of the execution that nobody released: Step Functions says so.
func (r *runMachine) end(status string) {
	r.over = true
	r.w.put(event("aws.states", "Step Functions Execution Status Change", "x-"+r.arn, r.w.now(), map[string]any{
		"executionArn": r.arn, "status": status, "stopDate": r.w.now().UnixMilli(),
	}))
}

// Release makes the world an app.Waiters: a token that is used, dead or unknown
// is success, and has no effect.
func (w *world) Release(_ context.Context, token string, _ app.Outcome) error {
	return w.x.strike("release", func() error {
		for _, r := range w.runs {
			if r.token == token && !r.over {
				r.released, r.over = r.released+1, true
			}
		}
		return nil
	})
}

// event is the bytes of an event as EventBridge delivers it.
func event(source, detailType, id string, at time.Time, detail map[string]any) string {
	b, err := json.Marshal(map[string]any{"version": "0", "id": id, "detail-type": detailType, "source": source,
		"account": account, "region": region, "time": at.UTC().Format(time.RFC3339), "resources": []string{}, "detail": detail})
	if err != nil {
		panic(err) // strings and numbers: cannot happen
	}
	return string(b)
}

// directory is Identity Center as the world wants it.
type directory struct {
	facts  session.Facts
	status app.UserStatus
	access session.Tri
}

func (d *directory) Facts(context.Context, string, workload.Run) (session.Facts, error) {
	return d.facts, nil
}
func (d *directory) Status(context.Context, string) (app.UserStatus, error) { return d.status, nil }
func (d *directory) Access(context.Context, string, string) (session.Tri, error) {
	return d.access, nil
}
func (d *directory) Replay(context.Context, time.Time) ([][]byte, error) { return nil, nil }

type deaf struct{}

func (deaf) Count(string, int)              {}
func (deaf) Lateness(string, time.Duration) {}

// kind is what happens at the n-th call that has an effect outside.
type kind uint8

const (
	before  kind = iota // the invocation dies before the call is carried out
	after               // it dies after
	applied             // the call is carried out, reported failed, and the invocation goes on
	refused             // the call is not carried out, reported failed, and the invocation goes on
	kinds
)

func (k kind) String() string {
	return [...]string{"before", "after", "applied-but-failed", "refused"}[k]
}

// trouble counts the calls that have an effect outside, and strikes at one.
type trouble struct {
	n     int // 0: at none
	kind  kind
	early int // up to this call the play need not wait until everybody sleeps
	calls []string
}

var (
	errDown = fault.New("a call", fault.Unknown, errors.New("the service is down"))
	died    = errors.New("the invocation died")
)

// struck says whether the trouble has come.
func (x *trouble) struck() bool { return x.n > 0 && len(x.calls) >= x.n }

// at says whether it came at one of these calls.
func (x *trouble) at(calls ...string) bool {
	return x.struck() && slices.Contains(calls, x.calls[x.n-1])
}

func (x *trouble) strike(name string, do func() error) error {
	x.calls = append(x.calls, name)
	if len(x.calls) != x.n {
		return do()
	}
	switch x.kind {
	case before:
		panic(died)
	case after:
		_ = do()
		panic(died)
	case applied:
		_ = do() // nobody hears the answer
	}
	return errDown
}

// brittleStore is a store whose writes can fail.
type brittleStore struct {
	app.Store
	x *trouble
}

func (b brittleStore) Open(ctx context.Context, o app.Opening) error {
	return b.x.strike("open", func() error { return b.Store.Open(ctx, o) })
}

func (b brittleStore) Commit(ctx context.Context, c app.Commit) error {
	return b.x.strike("commit of "+string(c.Entry.Event.Kind), func() error { return b.Store.Commit(ctx, c) })
}

func (b brittleStore) Reclaim(ctx context.Context, run workload.Ref, from, to string) error {
	return b.x.strike("reclaim", func() error { return b.Store.Reclaim(ctx, run, from, to) })
}

func (b brittleStore) Finish(ctx context.Context, id string, version int64) error {
	return b.x.strike("finish", func() error { return b.Store.Finish(ctx, id, version) })
}

func (b brittleStore) PutUser(ctx context.Context, u session.UserFacts) error {
	return b.x.strike("put user", func() error { return b.Store.PutUser(ctx, u) })
}

func (b brittleStore) PutEndpoint(ctx context.Context, e app.Endpoint) error {
	return b.x.strike("put endpoint", func() error { return b.Store.PutEndpoint(ctx, e) })
}

func (b brittleStore) Wake(ctx context.Context, id string) error {
	return b.x.strike("wake", func() error { return b.Store.Wake(ctx, id) })
}

func (b brittleStore) Park(ctx context.Context, p app.Parked) (fresh bool, err error) {
	err = b.x.strike("park", func() (err error) { fresh, err = b.Store.Park(ctx, p); return err })
	return fresh, err
}

func (b brittleStore) SetMark(ctx context.Context, name string, at time.Time) error {
	return b.x.strike("set mark", func() error { return b.Store.SetMark(ctx, name, at) })
}
