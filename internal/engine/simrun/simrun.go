// Package simrun is what the simulators of engines have in common: how a run
// lives through time, what is refused and when, and what the engine saw. It
// knows time and HTTP; it must not know any service's protocol, nor Nightshift's
// adapters. It is for the local system and for tests only.
//
// Nothing here runs in the background: a run's phase is computed from the clock
// whenever somebody asks, so the simulators behave the same on a clock that
// jumps hours as on one that walks.
package simrun

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Clock is the time a simulator lives in. A virtual clock fits.
type Clock interface {
	Now() time.Time
	// Sleep returns early, with an error, when ctx ends or the clock is closed.
	Sleep(ctx context.Context, d time.Duration) error
}

// Plan is what a run will do. Zero fields leave the choice to the simulator.
type Plan struct {
	StartDelay time.Duration // from creation to running; negative: none
	Work       time.Duration // how long it works before it ends by itself; 0: until it is stopped
	Fail       bool          // it fails at the end of Work instead of succeeding
	Reason     string        // the failure's words
	Grace      time.Duration // from a stop request to the end; negative: none
}

// over lays the plan's given fields over base.
func (p Plan) over(base Plan) Plan {
	if p.StartDelay != 0 {
		base.StartDelay = p.StartDelay
	}
	if p.Work != 0 {
		base.Work = p.Work
	}
	if p.Fail {
		base.Fail = true
	}
	if p.Reason != "" {
		base.Reason = p.Reason
	}
	if p.Grace != 0 {
		base.Grace = p.Grace
	}
	return base
}

// Plans remembers what a test or a demonstration wants of runs to come. The
// zero value is ready.
type Plans struct {
	mu     sync.Mutex
	byName map[string]Plan
}

// Plan says what the run of this name, or stamped with this session id, will
// do; "" is for all runs. It concerns runs started from now on.
func (p *Plans) Plan(name string, plan Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byName == nil {
		p.byName = map[string]Plan{}
	}
	p.byName[name] = plan
}

// For is the plan of a run: the service's habit, under what is planned for all,
// under what the run's own parameters ask, under what is planned for it by name.
func (p *Plans) For(habit, asked Plan, names ...string) Plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	plan := asked.over(p.byName[""].over(habit))
	for _, n := range names {
		if n != "" {
			plan = p.byName[n].over(plan)
		}
	}
	return plan
}

// Asked reads a plan out of a run's own parameters: work is a Go duration
// ("45m"; "" for none), fail is "true" or not. The error says what is wrong.
func Asked(work, fail string) (Plan, error) {
	p := Plan{Fail: fail == "true"}
	if work == "" {
		return p, nil
	}
	d, err := time.ParseDuration(work)
	if err != nil || d <= 0 {
		return p, fmt.Errorf("the simulated work %q is not a duration such as 45m", work)
	}
	p.Work = d
	return p, nil
}

// Phase is how far a run is.
type Phase string

// The phases of a run, in order; the last three are final.
const (
	Pending   Phase = "PENDING"
	Running   Phase = "RUNNING"
	Stopping  Phase = "STOPPING"
	Succeeded Phase = "SUCCEEDED"
	Stopped   Phase = "STOPPED"
	Failed    Phase = "FAILED"
)

// Over says whether the phase is final.
func (p Phase) Over() bool { return p == Succeeded || p == Stopped || p == Failed }

// Ender says who ended a run.
type Ender string

// Who ends a run; NoOne while it lives.
const (
	NoOne       Ender = ""
	Itself      Ender = "itself"
	StopRequest Ender = "stop request"
	MaxRuntime  Ender = "max runtime"
	IdleTimeout Ender = "idle timeout"
	Heartbeat   Ender = "heartbeat timeout"
)

// Life is one run's fate. Only stop requests are added to it as time passes.
type Life struct {
	Created time.Time
	Plan    Plan
	Limit   time.Duration // the engine stops it after this much running; 0: never
	Stops   []time.Time   // stop requests, as they came
}

// Moment is a life at one time.
type Moment struct {
	Phase   Phase
	Since   time.Time // when the phase began
	Started time.Time // zero: it never ran, or not yet
	Ended   time.Time // zero: not yet
	By      Ender     // who ended it, or is ending it
}

// At computes the moment. A run that is asked to stop before it started never
// runs; work that would finish within the grace is still reported as stopped.
func (l Life) At(now time.Time) Moment {
	started := l.Created.Add(max(0, l.Plan.StartDelay))
	stop, by := l.stop(started)
	if l.Plan.Work > 0 {
		if end := started.Add(l.Plan.Work); by == NoOne || !end.After(stop) {
			return l.natural(now, started, end)
		}
	}
	switch {
	case by == NoOne || now.Before(stop):
		if now.Before(started) {
			return Moment{Phase: Pending, Since: l.Created}
		}
		return Moment{Phase: Running, Since: started, Started: started}
	case stop.Before(started):
		started = time.Time{}
	}
	end := stop.Add(max(0, l.Plan.Grace))
	if now.Before(end) {
		return Moment{Phase: Stopping, Since: stop, Started: started, By: by}
	}
	return Moment{Phase: Stopped, Since: end, Started: started, Ended: end, By: by}
}

// stop is when the stopping of the run begins, and why; NoOne: never.
func (l Life) stop(started time.Time) (time.Time, Ender) {
	var at time.Time
	by := NoOne
	if l.Limit > 0 {
		at, by = started.Add(l.Limit), MaxRuntime
	}
	if len(l.Stops) > 0 && (by == NoOne || l.Stops[0].Before(at)) {
		at, by = l.Stops[0], StopRequest
	}
	return at, by
}

func (l Life) natural(now, started, end time.Time) Moment {
	switch {
	case now.Before(started):
		return Moment{Phase: Pending, Since: l.Created}
	case now.Before(end):
		return Moment{Phase: Running, Since: started, Started: started}
	}
	phase := Succeeded
	if l.Plan.Fail {
		phase = Failed
	}
	return Moment{Phase: phase, Since: end, Started: started, Ended: end, By: Itself}
}

// Record is what the engine itself saw of one run, whatever anybody else
// believes of it: the ground on which a test or a demonstration judges.
type Record struct {
	ID      string // as the engine names it
	Name    string
	Session string // the session id stamped on it, as received; "" is none
	User    string // the user named on it, as received
	Created time.Time
	Started time.Time   // zero: never
	Stops   []time.Time // every stop request that reached it
	Ended   time.Time   // zero: it lives
	Phase   Phase
	By      Ender
}

// Ledger answers what an engine saw, oldest run first.
type Ledger interface{ Runs() []Record }

// Record fills in what the life tells at a moment.
func (l Life) Record(r Record, now time.Time) Record {
	m := l.At(now)
	r.Created, r.Started, r.Ended, r.Phase = l.Created, m.Started, m.Ended, m.Phase
	r.Stops = slices.Clone(l.Stops)
	if m.Phase.Over() {
		r.By = m.By
	}
	return r
}

// Sort puts records in the ledger's order: by creation, then by id.
func Sort(records []Record) []Record {
	slices.SortFunc(records, func(a, b Record) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return records
}
