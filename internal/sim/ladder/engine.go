package ladder

import (
	"context"
	"fmt"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/asl/clock"
	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

// listPage is how many runs one call of a listing gives; only for counting.
const listPage = 100

// overFor is how long an engine still lists a run that has ended.
const overFor = time.Hour

// Engine is every engine at once, in memory: runs that start at once, that end a
// grace after they were asked to, and an API that can be down or slow.
type Engine struct {
	clock     *clock.Clock
	grace     time.Duration
	runs      map[workload.Ref]*run
	endpoints map[string][]*run
	serial    int

	Down     func(now time.Time) bool // the API refuses everything
	Throttle cadence.Rate             // of stop requests; zero: none
	bucket   cadence.Bucket
	Calls    int64 // of the API, pages counted

	requests int           // to stop
	seconds  map[int64]int // requests to stop, by second
}

type run struct {
	o       workload.Observation
	asked   time.Time
	overAt  time.Time // zero: it lives
	over    workload.State
	forever bool // it does not end
}

var _ app.Engine = (*Engine)(nil)

// call is one call of the API.
func (e *Engine) call() error {
	e.Calls++
	if e.Down != nil && e.Down(e.clock.Now()) {
		return errDown
	}
	return nil
}

// Start implements app.Engine.
func (e *Engine) Start(_ context.Context, s app.Start) (workload.Run, error) {
	if err := e.call(); err != nil {
		return workload.Run{}, err
	}
	return e.add(s.Run, s.SessionID, s.User), nil
}

// add puts a run into the engine. stamp: the session that started it.
func (e *Engine) add(r workload.Run, stamp, user string) workload.Run {
	e.serial++
	r.ID = fmt.Sprintf("run-%07d", e.serial)
	if r.Engine == workload.Livy {
		r.ID = "app/" + r.ID
	}
	now := e.clock.Now()
	added := &run{o: workload.Observation{Run: r, State: workload.Running, CreatedAt: now, RunningSince: now, Stamp: stamp, User: user}}
	e.runs[r.Ref()] = added
	e.endpoints[r.Endpoint] = append(e.endpoints[r.Endpoint], added)
	return r
}

func (e *Engine) see(r *run) workload.Observation {
	o, now := r.o, e.clock.Now()
	o.At = now
	switch {
	case !r.overAt.IsZero() && !now.Before(r.overAt):
		o.State, o.At = r.over, r.overAt
	case !r.asked.IsZero() && !r.forever:
		o.State = workload.Stopping
	}
	return o
}

// List implements app.Engine.
func (e *Engine) List(_ context.Context, endpoint string) (workload.Listing, error) {
	if err := e.call(); err != nil {
		return workload.Listing{}, err
	}
	l, kept := workload.Listing{Complete: true}, e.endpoints[endpoint][:0]
	for _, r := range e.endpoints[endpoint] {
		if !r.overAt.IsZero() && e.clock.Now().Sub(r.overAt) > overFor {
			continue
		}
		kept = append(kept, r)
		l.Runs = append(l.Runs, e.see(r))
	}
	e.endpoints[endpoint] = kept
	e.Calls += int64(max(0, len(l.Runs)-1) / listPage)
	return l, nil
}

// Describe implements app.Engine.
func (e *Engine) Describe(_ context.Context, r workload.Run) (workload.Observation, error) {
	if err := e.call(); err != nil {
		return workload.Observation{}, err
	}
	if known, ok := e.runs[r.Ref()]; ok {
		return e.see(known), nil
	}
	return workload.Observation{Run: r, State: workload.Gone, At: e.clock.Now()}, nil
}

// Stop implements app.Engine.
func (e *Engine) Stop(_ context.Context, r workload.Run) error {
	now := e.clock.Now()
	e.requests++
	e.seconds[now.Unix()]++
	if err := e.call(); err != nil {
		return err
	}
	if e.Throttle.PerSecond > 0 {
		var ok bool
		if e.bucket, ok = e.Throttle.Take(e.bucket, 1, now); !ok {
			return fault.New("stop run", fault.Throttled, fmt.Errorf("more than %g a second", e.Throttle.PerSecond))
		}
	}
	known, ok := e.runs[r.Ref()]
	if !ok {
		return nil
	}
	if known.asked.IsZero() {
		known.asked = now
	}
	if known.overAt.IsZero() && !known.forever {
		known.overAt, known.over = now.Add(e.grace), workload.Stopped
	}
	return nil
}

// Asked is when the run's stop was first accepted; zero: never.
func (e *Engine) Asked(r workload.Ref) time.Time { return e.runs[r].asked }

// Over is when the run ended; zero: it lives.
func (e *Engine) Over(r workload.Ref) time.Time {
	known := e.runs[r]
	if known == nil || known.overAt.After(e.clock.Now()) {
		return time.Time{}
	}
	return known.overAt
}
