package sim

import (
	"context"
	"fmt"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

// The account and Region that the models play.
const (
	account = "123456789012"
	region  = "us-east-1"
)

// nature is how one engine behaves: what its documentation and our own
// measurements (internal/decisions) say.
type nature struct {
	start    time.Duration // PENDING lasts at most this
	grace    time.Duration // documented: a stop request is carried out within this
	blocks   time.Duration // a stop request is answered only when the run is down, or after this
	ends     workload.State
	kept     time.Duration // a run that is over is listed for this long
	forgets  time.Duration // documented: a driver lives on for up to this after its server has gone
	limits   bool          // it enforces MaxRuntime itself
	tells    bool          // it says when a run was created, and since when it runs
	announce bool          // it puts state changes on the bus
}

var natures = map[workload.Engine]*nature{
	workload.Livy:                {start: 40 * time.Second, grace: 30 * time.Second, blocks: 10 * time.Second, ends: workload.Gone, kept: 10 * time.Minute, forgets: 10 * time.Minute},
	workload.EMRContainers:       {start: 60 * time.Second, grace: 60 * time.Second, ends: workload.Stopped, kept: 24 * time.Hour, tells: true, announce: true},
	workload.SageMakerTraining:   {start: 3 * time.Minute, grace: 120 * time.Second, ends: workload.Stopped, kept: time.Hour, limits: true, tells: true, announce: true},
	workload.SageMakerProcessing: {start: 2 * time.Minute, grace: 120 * time.Second, ends: workload.Stopped, kept: time.Hour, limits: true, tells: true, announce: true},
	workload.SageMakerPipeline:   {grace: 120 * time.Second, ends: workload.Stopped, kept: time.Hour, tells: true, announce: true},
	workload.EMRNotebook:         {start: 60 * time.Second, grace: 60 * time.Second, ends: workload.Stopped, kept: time.Hour, tells: true},
}

// Run is one run in an engine: the ground truth that stops are judged by.
type Run struct {
	workload.Run
	Name  string
	Stamp string // the session that we stamped on it
	Tag   string // the user that it names itself; "" is none
	Owner string // who started it, in truth
	Plan  *Plan  // what was wished of it

	Created time.Time
	Runs    time.Time      // since when it is RUNNING, if it lives as long
	Ends    time.Time      // when it ends by itself; zero: never
	EndsAs  workload.State // Succeeded or Failed
	Quiet   time.Time      // Livy: when its last statement finishes; zero: it is always busy

	Asked   []time.Time // our stop requests that reached it alive
	StopAt  time.Time   // the first stop request, ours or not
	Took    time.Duration
	Others  bool      // somebody else asked first
	Killed  time.Time // its cluster went down, or the driver that its server forgot ended
	Lost    time.Time // its server was restarted and knows nothing of it any more
	Listed  time.Time // first seen in a listing that reached us
	IdleHad time.Time // first seen idle in a listing that reached us

	visible time.Time
	told    workload.State
	nature  *nature // of its engine
}

// over is when the run is over, how, and whether by a stop request of ours; the
// zero time while it lives.
func (r *Run) over(now time.Time) (at time.Time, as workload.State, ours bool) {
	n := r.nature
	end := func(t time.Time, state workload.State, by bool) {
		if !t.IsZero() && !t.After(now) && (at.IsZero() || t.Before(at)) {
			at, as, ours = t, state, by
		}
	}
	end(r.Ends, r.EndsAs, false)
	if n.limits && r.MaxRuntime > 0 {
		end(r.Runs.Add(r.MaxRuntime), workload.Stopped, false)
	}
	if !r.StopAt.IsZero() {
		end(r.StopAt.Add(r.Took), n.ends, !r.Others)
	}
	end(r.Killed, workload.Failed, false)
	if r.Engine == workload.Livy && !r.Killed.IsZero() && at.Equal(r.Killed) {
		as = workload.Gone
	}
	return at, as, ours
}

// idleWhenLost: its server forgot it while it did nothing. Livy ends such sessions
// itself, and nobody can tell the one from the other (decisions/0014).
func (r *Run) idleWhenLost() bool {
	return !r.Lost.IsZero() && !r.Quiet.IsZero() && !r.Lost.Before(r.Quiet)
}

func (r *Run) alive(now time.Time) bool {
	at, _, _ := r.over(now)
	return at.IsZero()
}

// state is what the engine says of the run.
func (r *Run) state(now time.Time) workload.State {
	_, as, _ := r.over(now)
	return r.stateUnless(as, now)
}

// stateUnless is the state of a run that is over as it is, if it is.
func (r *Run) stateUnless(as workload.State, now time.Time) workload.State {
	switch {
	case as != "":
		return as
	case !r.StopAt.IsZero():
		return workload.Stopping
	case now.Before(r.Runs):
		return workload.Pending
	case r.Engine == workload.Livy && !r.Quiet.IsZero() && !now.Before(r.Quiet):
		return workload.Idle
	}
	return workload.Running
}

func (r *Run) observe(now time.Time) workload.Observation {
	n := r.nature
	at, as, _ := r.over(now)
	o := workload.Observation{Run: r.Run, Name: r.Name, State: r.stateUnless(as, now), At: now, Stamp: r.Stamp, User: r.Tag}
	if !at.IsZero() {
		o.At = at
	}
	if n.tells {
		o.CreatedAt = r.Created
		if !now.Before(r.Runs) {
			o.RunningSince = r.Runs
		}
	}
	switch {
	case o.State == workload.Idle && (r.Plan == nil || !r.Plan.Silent):
		o.Activity = workload.Activity{Known: true, Since: r.Quiet}
	case r.Engine == workload.Livy && o.State == workload.Running:
		o.Activity = workload.Activity{Known: true, Busy: true}
	}
	return o
}

// Engine is one endpoint: an API with its runs and its rate limit.
type Engine struct {
	w        *World
	Endpoint string
	Runs     []*Run
	byRef    map[workload.Ref]*Run
	byStamp  map[string]*Run
	stops    cadence.Bucket
	down     []Outage
	gone     bool // its cluster is terminated

	// What its listings told, where its server may forget (nature.forgets).
	shown   map[workload.Ref]bool // by the last complete one, and whether the records show its session to have been in it
	shownAt time.Time             // when that was
	silent  bool                  // since then the API has failed, or the server forgot all
	forgot  bool                  // since then it was restarted
	blanks  []blank
}

// blank is a complete listing that looks as after a restart: the first after one, or
// one that has no session's run of those that the one before had.
type blank struct {
	at     time.Time
	silent bool // the API had failed, or the server was restarted
}

var _ app.Engine = (*Engine)(nil)

// told is for how long a run must have been there that the records show it to have been
// in a listing: past the minimum age, and listings are noted once in 90 seconds.
const told = cadence.MinimumAge + 90*time.Second

// showed notes what a complete listing showed.
func (e *Engine) showed(l workload.Listing, now time.Time) {
	shown, survived, same := make(map[workload.Ref]bool, len(l.Runs)), false, 0
	for i := range l.Runs {
		ref := l.Runs[i].Run.Ref()
		was, before := e.shown[ref]
		if before {
			same++
		}
		// Only records can tell: what is nobody's session survives unnoticed, and so does what
		// was too young for the last listing to be in it for certain, and was not seen at work.
		h := e.w.holder(e.byRef[ref])
		shown[ref] = h != nil && now.Sub(later(h.now.RecordedAt, h.now.StartAskedAt)) > told+e.w.blur()
		survived = survived || h != nil && (was || !h.now.RunningSince.IsZero() && e.shownAt.Sub(h.now.RunningSince) > told-cadence.MinimumAge)
	}
	if silent := e.silent || e.forgot; e.forgot || !survived && (e.silent || same < len(e.shown)) {
		if silent {
			e.w.struck["listings that after an outage show nothing of before"]++
		}
		e.blanks = append(e.blanks, blank{now, silent})
	}
	e.shown, e.shownAt, e.silent, e.forgot = shown, now, false, false
}

// reach fails while the API is out, after a while that a client waits.
func (e *Engine) reach(op string) error {
	now := e.w.Clock.Now()
	for _, o := range e.down {
		if !now.Before(o.From) && now.Before(o.Until) {
			e.w.struck["calls in an outage"]++
			e.silent = true
			_ = e.w.sleep(e.w.upTo(2 * time.Second))
			return fault.Newf("simulated engine: "+op, fault.Unknown, "the API does not answer")
		}
	}
	return nil
}

// Start starts a run once for each session, as the engines' names and tokens do.
func (e *Engine) Start(_ context.Context, s app.Start) (workload.Run, error) {
	if err := e.reach("start"); err != nil {
		return workload.Run{}, err
	}
	if r := e.byStamp[s.SessionID]; r != nil {
		return r.Run, nil
	}
	plan := e.w.planOf(s.Spec)
	if e.gone || plan != nil && plan.Refused {
		return workload.Run{}, fault.Newf("simulated engine: start", fault.Invalid, "the spec is not one")
	}
	_ = e.w.sleep(e.w.upTo(3 * time.Second))
	if r := e.byStamp[s.SessionID]; r != nil {
		return r.Run, nil // a start of the same session was faster
	}
	if e.gone {
		return workload.Run{}, fault.Newf("simulated engine: start", fault.Invalid, "the cluster is terminated")
	}
	run := s.Run
	run.MaxRuntime = s.MaxRuntime
	r := e.Add(run, plan)
	r.Stamp, r.Owner = s.SessionID, s.User
	e.byStamp[s.SessionID] = r
	return r.Run, nil
}

// Add makes a run exist.
func (e *Engine) Add(run workload.Run, plan *Plan) *Run {
	w, n := e.w, natures[run.Engine]
	now := w.Clock.Now()
	w.serial++
	run.Endpoint = e.Endpoint
	if run.Engine == workload.Livy {
		run.Kind, run.Application = workload.LivySession, workload.Spark
	}
	run.ID = map[workload.Engine]string{
		workload.Livy: "app/application_1795200000000_%04d", workload.EMRContainers: "vc7n1ghtsh1ft/run%06d", workload.SageMakerTraining: "training-job/job-%d",
		workload.SageMakerProcessing: "processing-job/job-%d", workload.SageMakerPipeline: "pipeline/churn/execution/x%d", workload.EMRNotebook: "ex-%06d",
	}[run.Engine]
	run.ID = fmt.Sprintf(run.ID, w.serial)
	r := &Run{Run: run, Name: run.ID, Plan: plan, Created: now, Runs: now.Add(w.upTo(n.start)), visible: now.Add(w.upTo(20 * time.Second)), told: workload.Pending, nature: n}
	r.Took = n.grace/5 + w.upTo(n.grace*4/5)
	if plan != nil {
		if plan.Work > 0 {
			r.Ends, r.EndsAs = now.Add(plan.Work), plan.EndsAs
		}
		if plan.Busy > 0 && run.Engine == workload.Livy {
			r.Quiet = r.Runs.Add(plan.Busy)
		}
		plan.Run = r
	}
	e.Runs = append(e.Runs, r)
	e.byRef[r.Ref()] = r
	if w.tracing {
		w.say("engine: run %s of %s is created", r.ID, e.Endpoint)
	}
	e.tell(r, r.Runs)
	e.tell(r, r.Ends)
	return r
}

// tell announces the run's state at a moment, if that is news.
func (e *Engine) tell(r *Run, at time.Time) {
	if at.IsZero() || !r.nature.announce {
		return
	}
	e.w.At(at, func() {
		now := e.w.Clock.Now()
		if state := r.state(now); state != r.told && state != workload.Pending {
			r.told = state
			e.w.bus.runChanged(r, state, now)
		}
	})
}

// List shows what is visible; a page may be missing.
func (e *Engine) List(ctx context.Context, endpoint string) (workload.Listing, error) {
	if err := e.reach("list"); err != nil {
		return workload.Listing{}, err
	}
	now := e.w.Clock.Now()
	room := runRooms.lend(ctx, func(l *lent) *[]*[]workload.Observation { return &l.runs }, len(e.Runs))
	l := workload.Listing{Complete: true, Runs: room[:0]}
	for _, r := range e.Runs {
		if e.shows(r, now) {
			l.Runs = append(l.Runs, r.observe(now))
		}
	}
	if e.w.Faults.Pages > 0 && !e.w.calm && len(l.Runs) > 0 && e.w.rand.Float64() < e.w.Faults.Pages {
		e.w.struck["listings without pages"]++
		l.Complete = false
		l.Runs = l.Runs[:e.w.rand.IntN(len(l.Runs))]
	}
	return l, nil
}

// shows says whether a listing has the run: those that are new are not visible
// everywhere, those that are over are forgotten after a while, and what Livy
// was told to delete is gone at once.
func (e *Engine) shows(r *Run, now time.Time) bool {
	at, as, _ := r.over(now)
	switch {
	case now.Before(r.visible), !r.Lost.IsZero():
		return false
	case at.IsZero():
		return true
	case as == workload.Gone:
		return false
	}
	return now.Sub(at) < r.nature.kept
}

// Describe is List for one run.
func (e *Engine) Describe(_ context.Context, run workload.Run) (workload.Observation, error) {
	if err := e.reach("describe"); err != nil {
		return workload.Observation{}, err
	}
	now := e.w.Clock.Now()
	if r := e.byRef[run.Ref()]; r != nil && e.shows(r, now) {
		return r.observe(now), nil
	}
	return workload.Observation{Run: run, State: workload.Gone, At: now}, nil
}

// Stop asks a run to stop, within the API's own rate.
func (e *Engine) Stop(_ context.Context, run workload.Run) error {
	if err := e.reach("stop"); err != nil {
		return err
	}
	now := e.w.Clock.Now()
	bucket, ok := cadence.Of(apiOf(e.Endpoint)).Stop.Take(e.stops, 1, now)
	if !ok {
		return fault.Newf("simulated engine: stop", fault.Throttled, "more than the API's own rate")
	}
	e.stops = bucket
	r := e.byRef[run.Ref()]
	switch {
	case natures[run.Engine].forgets > 0 && (r == nil || !r.Lost.IsZero() || r.state(now) == workload.Gone):
		return fault.Newf("simulated engine: stop", fault.NotFound, "the server has no session of this name")
	case r == nil || !r.alive(now):
		return nil
	}
	if e.w.tracing {
		e.w.say("engine: run %s of %s is asked to stop", r.ID, r.Owner)
	}
	r.Asked = append(r.Asked, now)
	e.end(r, now, false)
	if b := r.nature.blocks; b > 0 {
		_ = e.w.sleep(min(b, r.Took))
	}
	return nil
}

// end begins the run's stopping.
func (e *Engine) end(r *Run, now time.Time, others bool) {
	if !r.StopAt.IsZero() || !r.Lost.IsZero() {
		return
	}
	r.StopAt, r.Others = now, others
	e.tell(r, now.Add(r.Took))
}
