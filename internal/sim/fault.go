package sim

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"nightshift/internal/fault"
)

// Faults is what goes wrong in a schedule, as odds and spans. The zero value is
// a calm one.
type Faults struct {
	Loss      float64       // of an event between the bus and the queue
	Duplicate float64       // of an event being delivered more than once …
	CopiesMax int           // … at most so often
	Reorder   time.Duration // an event is delayed by up to this
	Crash     float64       // of the function dying before or after a side effect, each
	Unsaid    float64       // of a call being carried out and reported as failed
	Throttle  float64       // of an engine or identity call being throttled
	Busy      float64       // of a store, starter or announcer call being throttled after its adapter's own tries
	IndexLag  time.Duration // index reads are stale by up to this
	Skew      time.Duration // a function's clock is off by up to this, either way
	Redeliver float64       // of a batch of stream records coming again
	Drop      float64       // of a failed batch being given up by the stream
	Pages     float64       // of a listing lacking pages
	Poison    int           // malformed events
	Kills     int           // of watch or drain executions, mid-way
	Slow      float64       // of a call taking long
	Outages   []Outage
	Lateness  time.Duration // of events in CloudTrail's history
}

// Outage is a time in which an engine's API answers nothing.
type Outage struct {
	Endpoint    string
	From, Until time.Time
}

// drawFaults mixes calm, single-fault and all-fault schedules.
func drawFaults(r *rand.Rand) Faults {
	share := 0.6
	if r.IntN(10) == 0 {
		share = 0
	}
	has := func() bool { return r.Float64() < share }
	f := Faults{Unsaid: 0.01, CopiesMax: 1}
	if share == 0 {
		f.Unsaid = 0
	}
	if has() {
		f.Loss = r.Float64() * 0.10
	}
	if has() {
		f.Duplicate, f.CopiesMax = r.Float64()*0.2, []int{2, 3, 5, 50}[r.IntN(4)]
	}
	if has() {
		f.Reorder = time.Duration(r.IntN(300)) * time.Second
	}
	if has() {
		f.Crash = []float64{0.002, 0.005, 0.02}[r.IntN(3)]
	}
	if has() {
		f.Throttle = r.Float64() * 0.5
	}
	if has() {
		f.Busy = r.Float64() * 0.05
	}
	if has() {
		f.IndexLag = time.Duration(r.IntN(5000)) * time.Millisecond
	}
	if has() {
		f.Skew = time.Duration(r.IntN(5000)) * time.Millisecond
	}
	if has() {
		f.Redeliver, f.Drop = 0.05, 0.2
	}
	if has() {
		f.Pages = 0.1
	}
	if has() {
		f.Poison = 1 + r.IntN(3)
	}
	if has() {
		f.Kills = 1 + r.IntN(2)
	}
	if has() {
		f.Slow = 0.02
	}
	if has() {
		f.Lateness = time.Duration(r.IntN(15*60)) * time.Second
	}
	return f
}

// Call is one call of a port by the app.
type Call struct {
	Seq      int    // 1, 2, 3, … in a schedule
	Function string // whose invocation it is part of
	Port     string // store, engine, identity, starter, waiters, announcer
	Op       string // the port's method
	Writes   bool   // it has a side effect
	Endpoint string // engine calls
}

// Verdict is the fate of a call.
type Verdict uint8

// The fates. Crash ends the whole invocation: nothing it does afterwards is
// carried out.
const (
	CarryOut    Verdict = iota
	Refuse              // throttled; nothing is done
	Fail                // nothing is done, nobody says why
	CrashBefore         // the function dies before the call is made
	CrashAfter          // the call is carried out, and the function dies before it hears
	Unsaid              // the call is carried out and reported as failed
)

// verdict draws a call's fate.
func (w *World) verdict(c Call) Verdict {
	if w.Options.Verdict != nil {
		return w.Options.Verdict(c)
	}
	if w.calm {
		return CarryOut
	}
	f := &w.Faults
	busy := f.Busy
	if c.Port == "engine" || c.Port == "identity" {
		busy = f.Throttle
	}
	x := w.rand.Float64()
	for _, odds := range [...]struct {
		p float64
		v Verdict
	}{{busy, Refuse}, {f.Unsaid, Unsaid}, {f.Crash, CrashBefore}, {f.Crash, CrashAfter}} {
		if !c.Writes && odds.v >= CrashBefore {
			break
		}
		if x < odds.p {
			return odds.v
		}
		x -= odds.p
	}
	return CarryOut
}

// invocation is one call of a function, as a context: it ends at the function's
// timeout or when the function dies. It has no Done, because who waits waits on
// the virtual clock.
type invocation struct {
	w        *World
	function string
	id       int
	deadline time.Time
	dead     error
	lent     lent
}

var (
	errCrashed = errors.New("the function's process has died")
	errLate    = errors.New("the function has run into its timeout")

	errSlowDown = errors.New("simulated: slow down")
	errUnsaid   = errors.New("simulated: nobody says why")
	errLost     = errors.New("simulated: carried out, and the answer is lost")
)

type invocationKey struct{}

func (i *invocation) Deadline() (time.Time, bool) { return i.deadline, true }
func (i *invocation) Done() <-chan struct{}       { return nil }
func (i *invocation) Err() error {
	if i.dead == nil && !i.w.Clock.Now().Before(i.deadline) {
		i.dead = errLate
	}
	return i.dead
}

func (i *invocation) Value(key any) any {
	if _, ok := key.(invocationKey); ok {
		return i
	}
	return nil
}

// call lets a port carry out one call of the app, or not.
func call[T any](ctx context.Context, w *World, c Call, do func() (T, error)) (T, error) {
	var none T
	i := invocationOf(ctx)
	if i == nil {
		return do() // a call of the simulation's own
	}
	w.calls++
	c.Seq, c.Function = w.calls, i.function
	if w.Faults.Slow > 0 && !w.calm && w.rand.Float64() < w.Faults.Slow {
		w.struck["slow calls"]++
		_ = w.sleep(w.upTo(8 * time.Second))
	} else {
		w.Clock.Yield()
	}
	if err := i.Err(); err != nil {
		return none, fault.New(c.Op, fault.Unknown, err)
	}
	v := w.verdict(c)
	if v != CarryOut && w.tracing {
		w.say("call %d of %s#%d: %s.%s %s", c.Seq, i.function, i.id, c.Port, c.Op, v)
	}
	if v != CarryOut {
		w.struck["calls: "+v.String()]++
	}
	switch v {
	case Refuse:
		return none, fault.New(c.Op, fault.Throttled, errSlowDown)
	case Fail:
		return none, fault.New(c.Op, fault.Unknown, errUnsaid)
	case CrashBefore:
		i.dead = errCrashed
		return none, fault.New(c.Op, fault.Unknown, errCrashed)
	case CarryOut, CrashAfter, Unsaid:
	}
	out, err := do()
	switch {
	case v == CrashAfter:
		i.dead = errCrashed
		return none, fault.New(c.Op, fault.Unknown, errCrashed)
	case v == Unsaid && err == nil:
		return none, fault.New(c.Op, fault.Unknown, errLost)
	}
	return out, err
}

func (v Verdict) String() string {
	return [...]string{"is carried out", "is throttled", "fails", "crashes before", "crashes after", "is carried out, its answer lost"}[v]
}

// act is call for what answers only an error.
func act(ctx context.Context, w *World, c Call, do func() error) error {
	_, err := call(ctx, w, c, func() (struct{}, error) { return struct{}{}, do() })
	return err
}
