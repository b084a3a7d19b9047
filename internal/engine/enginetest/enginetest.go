// Package enginetest is the suite that every engine passes: the real adapter
// with the real client, against a simulator that speaks the service's protocol,
// on a virtual clock. It knows the port app.Engine and what simulators have in
// common; it must not know any one service.
package enginetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/asl/clock"
	"nightshift/internal/engine/simrun"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

// Simulator is what the suite asks of an engine's simulator.
type Simulator interface {
	simrun.Ledger
	Down(from, until time.Time)
	Throttle(from, until time.Time)
	LoseResponse(op string, n int)
	Plan(name string, plan simrun.Plan)
}

// Harness is one engine before its simulator.
type Harness struct {
	Engine   app.Engine
	Sim      Simulator
	Template workload.Run // for starts: Engine, Endpoint and Kind

	Spec     func(n int) []byte // a valid spec; n makes names differ
	Bad      []byte             // a spec the engine refuses for good …
	BadField string             // … naming this
	StartOp  string             // the simulator's name of the operation that starts runs

	StartDelay time.Duration
	Grace      time.Duration
	Ends       workload.State // what a run that was stopped is seen as
	Idles      bool           // a run without work is idle, and the engine's limit is on idleness (Livy)
	Many       int            // runs in the test of pages; 0: 250
	LooksUp    bool           // stamps are looked up run by run, so that many runs take several listings
	Limits     bool           // the engine enforces MaxRuntime, or Idle
	Immediate  bool           // a run is running from its first moment (a pipeline)
	Pace       time.Duration  // between the starts in the test of pages, within the engine's rate; 0: 1 s
	Finds      bool           // a start whose answer is lost looks for its run at once, and answers it
}

// Open is the moment at which every test's clock begins.
var Open = time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)

// forever is the work of runs that only a stop ends.
const forever = 1000 * time.Hour

// Clock gives a virtual clock on which the test itself is a chain: it may Sleep,
// and time stands still while it works.
func Clock(t *testing.T) *clock.Clock {
	t.Helper()
	c := clock.New(Open)
	c.Enter()
	served := make(chan struct{})
	go func() {
		defer close(served)
		c.Serve()
	}()
	t.Cleanup(func() {
		c.Close()
		<-served
	})
	return c
}

// Run runs the suite; open gives a fresh simulator and engine on the clock.
func Run(t *testing.T, open func(t *testing.T, c *clock.Clock) Harness) {
	for _, c := range []struct {
		name string
		test func(*bench)
	}{
		{"S4.1 a start stamps the session id and the list joins them", started},
		{"S4.1 a start repeated starts nothing twice", repeated},
		{"S4.1 a start whose answer was lost is found again", lost},
		{"a spec the engine refuses is invalid and names the field", refused},
		{"a list is complete over all its pages", pages},
		{"S2.1 a stop is confirmed after the grace and not before", stopped},
		{"S2.5 a stop touches no other run", others},
		{"a stop of what is over or unknown is accepted", stopOver},
		{"a describe of what is unknown says gone", gone},
		{"throttling is told apart", throttled},
		{"an outage is an error, never an end", down},
		{"states never go back", monotonic},
		{"S4.5 the engine ends the run at its own limit", limited},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := Clock(t)
			b := &bench{T: t, Harness: open(t, cl), clock: cl, ctx: t.Context()}
			c.test(b)
		})
	}
}

type bench struct {
	*testing.T
	Harness
	clock *clock.Clock
	ctx   context.Context
}

func (b *bench) wait(d time.Duration) {
	b.Helper()
	if err := b.clock.Sleep(b.ctx, d); err != nil {
		b.Fatalf("sleeping: %v", err)
	}
}

func (b *bench) startOf(n int) app.Start {
	return app.Start{SessionID: fmt.Sprintf("s-%04d", n), User: "user-1", Run: b.Template, Spec: b.Spec(n)}
}

func (b *bench) start(n int) workload.Run {
	b.Helper()
	run, err := b.Engine.Start(b.ctx, b.startOf(n))
	if err != nil {
		b.Fatalf("start %d: %v", n, err)
	}
	return run
}

func (b *bench) list() workload.Listing {
	b.Helper()
	l, err := b.Engine.List(b.ctx, b.Template.Endpoint)
	if err != nil {
		b.Fatalf("list: %v", err)
	}
	if !l.Complete {
		b.Fatalf("the listing of %d runs is not complete", len(l.Runs))
	}
	// Parts of a run live and die with it; the suite is about runs.
	l.Runs = slices.DeleteFunc(l.Runs, func(o workload.Observation) bool { return o.PartOf != "" })
	return l
}

// seen is how the listing shows a run; where it does not, a describe confirms.
func (b *bench) seen(run workload.Run) workload.Observation {
	b.Helper()
	for _, o := range b.list().Runs {
		if o.Run.Ref() == run.Ref() {
			return o
		}
	}
	o, err := b.Engine.Describe(b.ctx, run)
	if err != nil {
		b.Fatalf("describe %s: %v", run.ID, err)
	}
	if !o.State.Over() {
		b.Errorf("at +%s the run %s is %s but missing in a complete list", b.clock.Now().Sub(Open), run.ID, o.State)
	}
	return o
}

func (b *bench) expect(run workload.Run, want ...workload.State) workload.Observation {
	b.Helper()
	o := b.seen(run)
	if !slices.Contains(want, o.State) {
		b.Fatalf("at +%s the run %s is %s, want one of %v", b.clock.Now().Sub(Open), run.ID, o.State, want)
	}
	return o
}

// live are the states of a run that has been started and not been asked to stop.
var live = []workload.State{workload.Running, workload.Idle}

func started(b *bench) {
	run := b.start(1)
	if run.ID == "" || run.Endpoint != b.Template.Endpoint || run.Engine != b.Template.Engine {
		b.Fatalf("start answers %+v, want an id on %s", run, b.Template.Endpoint)
	}
	l := b.list()
	if len(l.Runs) != 1 {
		b.Fatalf("the list has %d runs, want 1", len(l.Runs))
	}
	first := workload.Pending
	if b.Immediate {
		first = workload.Running
	}
	if o := l.Runs[0]; o.Stamp != "s-0001" || o.Run.Ref() != run.Ref() || o.Run.Engine != run.Engine || o.State != first || o.At.IsZero() {
		b.Errorf("the list shows %+v, want %s %s and stamped s-0001", o, run.ID, first)
	}
	b.wait(b.StartDelay)
	o := b.expect(run, live...)
	if o.Stamp != "s-0001" {
		b.Errorf("running, it is stamped %q, want s-0001", o.Stamp)
	}
	d, err := b.Engine.Describe(b.ctx, run)
	if err != nil || d.Run.Ref() != run.Ref() || d.State != o.State || d.Stamp != o.Stamp {
		b.Errorf("describe answers %+v, %v; the list %+v", d, err, o)
	}
	if r := b.Sim.Runs(); len(r) != 1 || r[0].Session != "s-0001" {
		b.Errorf("the engine itself saw %+v, want one run stamped s-0001", r)
	}
}

func repeated(b *bench) {
	first := b.start(1)
	b.wait(time.Minute)
	if again := b.start(1); again.Ref() != first.Ref() {
		b.Errorf("the second start answers %s, the first %s", again.ID, first.ID)
	}
	if other := b.start(2); other.Ref() == first.Ref() {
		b.Errorf("another session's start answers the same run %s", other.ID)
	}
	if n := len(b.Sim.Runs()); n != 2 {
		b.Errorf("the engine has %d runs, want 2", n)
	}
}

func lost(b *bench) {
	b.Sim.LoseResponse(b.StartOp, 1)
	_, err := b.Engine.Start(b.ctx, b.startOf(1))
	if b.Finds && err != nil {
		b.Fatalf("a start whose answer is lost answers %v, want the run that it finds", err)
	}
	if !b.Finds && (err == nil || fault.KindOf(err) != fault.Unknown) {
		b.Fatalf("a start whose answer is lost answers %v, want an unknown fault", err)
	}
	b.wait(5 * time.Second)
	run := b.start(1)
	if n := len(b.Sim.Runs()); n != 1 {
		b.Fatalf("the engine has %d runs, want 1", n)
	}
	if o := b.seen(run); o.Stamp != "s-0001" {
		b.Errorf("it is stamped %q, want s-0001", o.Stamp)
	}
}

func refused(b *bench) {
	for _, spec := range []struct {
		spec  []byte
		names string
	}{{b.Bad, b.BadField}, {[]byte(`{"nonsenseField":1}`), "nonsenseField"}, {[]byte(`{`), ""}, {[]byte(`[]`), ""}, {nil, ""}} {
		s := b.startOf(1)
		s.Spec = spec.spec
		_, err := b.Engine.Start(b.ctx, s)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), spec.names) {
			b.Errorf("the spec %s answers %v, want an invalid fault naming %s", spec.spec, err, spec.names)
		}
	}
	if n := len(b.Sim.Runs()); n != 0 {
		b.Errorf("refused starts left %d runs", n)
	}
}

func pages(b *bench) {
	many := cmp.Or(b.Many, 250)
	b.Sim.Plan("", simrun.Plan{Work: forever})
	want := map[string]workload.Ref{}
	for n := range many {
		want[fmt.Sprintf("s-%04d", n)] = b.start(n).Ref()
		b.wait(cmp.Or(b.Pace, time.Second)) // within the engine's rate
	}
	b.wait(time.Minute)
	for range 25 {
		if l, err := b.Engine.List(b.ctx, b.Template.Endpoint); !b.LooksUp || l.Complete || err != nil {
			break
		}
		b.wait(time.Minute)
	}
	b.wait(time.Minute) // what the listing just took of a small bucket flows back
	for _, o := range b.list().Runs {
		if ref, ours := want[o.Stamp]; !ours || ref != o.Run.Ref() {
			b.Errorf("%s stamped %q is not expected, or twice", o.Run.ID, o.Stamp)
		}
		delete(want, o.Stamp)
	}
	if len(want) > 0 {
		b.Errorf("%d of %d runs are missing in the list", len(want), many)
	}
}

// stop asks in a chain of its own, since some engines answer only when the run
// is down.
func (b *bench) stop(run workload.Run) {
	b.clock.Go(func() {
		if err := b.Engine.Stop(b.ctx, run); err != nil && !errors.Is(err, context.Canceled) {
			b.Errorf("stop %s: %v", run.ID, err)
		}
	})
}

func stopped(b *bench) {
	b.Sim.Plan("", simrun.Plan{Work: forever})
	run := b.start(1)
	b.wait(b.StartDelay + time.Minute)
	b.expect(run, workload.Running)
	b.stop(run)
	b.wait(time.Second)
	b.expect(run, workload.Stopping)
	b.wait(b.Grace - 2*time.Second)
	b.expect(run, workload.Stopping)
	b.stop(run) // asked again, as a drain does
	b.wait(2 * time.Second)
	b.expect(run, b.Ends)
	r := b.Sim.Runs()[0]
	asked := Open.Add(b.StartDelay + time.Minute)
	if r.By != simrun.StopRequest || len(r.Stops) == 0 || !r.Stops[0].Equal(asked) || !r.Ended.Equal(asked.Add(b.Grace)) {
		b.Errorf("the engine saw %+v, want a stop asked at %s and carried out %s later", r, asked, b.Grace)
	}
}

func others(b *bench) {
	b.Sim.Plan("", simrun.Plan{Work: forever})
	one, other := b.start(1), b.start(2)
	b.wait(b.StartDelay + time.Minute)
	b.stop(one)
	b.wait(b.Grace + time.Minute)
	b.expect(one, b.Ends)
	b.expect(other, workload.Running)
	for _, r := range b.Sim.Runs() {
		if r.Session == "s-0002" && (len(r.Stops) > 0 || r.Phase != simrun.Running) {
			b.Errorf("the other run was touched: %+v", r)
		}
	}
}

func stopOver(b *bench) {
	b.Sim.Plan("", simrun.Plan{Work: forever})
	run := b.start(1)
	b.wait(b.StartDelay + time.Minute)
	b.stop(run)
	b.wait(b.Grace + time.Minute)
	b.expect(run, b.Ends)
	for what, run := range map[string]workload.Run{"a run that is over": run, "an unknown run": b.unknown(run)} {
		if err := b.Engine.Stop(b.ctx, run); err != nil && !fault.Is(err, fault.NotFound) {
			b.Errorf("a stop of %s answers %v, want nil or NotFound", what, err)
		}
	}
	if r := b.Sim.Runs()[0]; len(r.Stops) != 1 {
		b.Errorf("the engine counted %d stops of the run, want 1", len(r.Stops))
	}
}

// unknown is a run of the same form that never was.
func (b *bench) unknown(like workload.Run) workload.Run {
	like.ID += "9"
	return like
}

func gone(b *bench) {
	run := b.unknown(b.start(1))
	o, err := b.Engine.Describe(b.ctx, run)
	if err != nil || o.State != workload.Gone || o.Run.Ref() != run.Ref() {
		b.Errorf("describe of an unknown run answers %+v, %v; want it gone", o, err)
	}
}

// calls makes every call of the port once and gives their errors.
func (b *bench) calls(run workload.Run) map[string]error {
	all := map[string]error{}
	_, all["start"] = b.Engine.Start(b.ctx, b.startOf(99))
	l, err := b.Engine.List(b.ctx, b.Template.Endpoint)
	if all["list"] = err; l.Complete {
		b.Errorf("the list claims to be complete with %d runs", len(l.Runs))
	}
	o, err := b.Engine.Describe(b.ctx, run)
	if all["describe"] = err; o.State != "" {
		b.Errorf("describe answers the state %s", o.State)
	}
	all["stop"] = b.Engine.Stop(b.ctx, run)
	return all
}

func (b *bench) fails(run workload.Run, want fault.Kind) {
	for call, err := range b.calls(run) {
		if err == nil || fault.KindOf(err) != want {
			b.Errorf("%s answers %v (%s), want a fault of kind %s", call, err, fault.KindOf(err), want)
		}
	}
	b.wait(2 * time.Hour)
	b.expect(run, workload.Running)
	if r := b.Sim.Runs(); len(r) != 1 || len(r[0].Stops) != 0 {
		b.Errorf("refused calls had an effect: %+v", r)
	}
}

func throttled(b *bench) {
	b.Sim.Plan("", simrun.Plan{Work: forever})
	run := b.start(1)
	b.wait(time.Hour)
	b.Sim.Throttle(b.clock.Now(), b.clock.Now().Add(time.Hour))
	b.fails(run, fault.Throttled)
}

func down(b *bench) {
	b.Sim.Plan("", simrun.Plan{Work: forever})
	run := b.start(1)
	b.wait(time.Hour)
	b.Sim.Down(b.clock.Now(), b.clock.Now().Add(time.Hour))
	b.fails(run, fault.Unknown)
}

func monotonic(b *bench) {
	rank := map[workload.State]int{
		workload.Pending: 0, workload.Running: 1, workload.Idle: 1, workload.Stopping: 2,
		workload.Succeeded: 3, workload.Stopped: 3, workload.Failed: 3, workload.Gone: 3,
	}
	b.Sim.Plan("s-0001", simrun.Plan{Work: 10 * time.Minute})
	b.Sim.Plan("s-0002", simrun.Plan{Work: 10 * time.Minute, Fail: true, Reason: "it was planned"})
	runs := []workload.Run{b.start(1), b.start(2)}
	last := []workload.State{workload.Pending, workload.Pending}
	for range 90 { // 15 minutes
		b.wait(10 * time.Second)
		for i, run := range runs {
			o := b.seen(run)
			if rank[o.State] < rank[last[i]] {
				b.Fatalf("run %d goes from %s back to %s", i+1, last[i], o.State)
			}
			last[i] = o.State
		}
	}
	want := []workload.State{workload.Succeeded, workload.Failed}
	if b.Idles {
		want[0] = workload.Idle
	}
	if !slices.Equal(last, want) {
		b.Errorf("they end as %v, want %v", last, want)
	}
}

func limited(b *bench) {
	if !b.Limits {
		s := b.startOf(1)
		s.MaxRuntime = time.Hour
		if _, err := b.Engine.Start(b.ctx, s); err != nil {
			b.Errorf("an engine without limits of its own refuses one: %v", err)
		}
		return
	}
	s := b.startOf(1)
	s.MaxRuntime, s.Idle = time.Hour, time.Hour
	by, slack := simrun.MaxRuntime, b.Grace
	if b.Idles {
		by, slack = simrun.IdleTimeout, time.Minute+b.StartDelay
	} else {
		b.Sim.Plan("", simrun.Plan{Work: forever})
	}
	run, err := b.Engine.Start(b.ctx, s)
	if err != nil {
		b.Fatal(err)
	}
	b.wait(b.StartDelay + 59*time.Minute)
	b.expect(run, live...)
	b.wait(time.Minute + slack + time.Second)
	b.expect(run, b.Ends)
	if r := b.Sim.Runs()[0]; r.By != by || len(r.Stops) != 0 {
		b.Errorf("the engine saw %+v, want it ended by %q", r, by)
	}
}
