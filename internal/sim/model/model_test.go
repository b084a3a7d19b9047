// Package model_test walks every state that the production use cases and rules
// can reach with two sessions on two engines, breadth first, and holds each step
// and each state against what must always be so. It is test only.
package model_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// depth bounds the number of events and steps from the beginning.
var depth = flag.Int("depth", 5, "events and steps from the beginning, at most; 12 takes long")

var began = time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)

const (
	ana, ben = "u-ana", "u-ben"
	jobs     = "sagemaker/123456789012/us-east-1"
	livy     = "livy/j-2AXXXXXXGAPLF"
)

// plan is what the two sessions are, and what may happen besides what runs by
// itself. One plan with every event would have a hundred million states within
// twelve steps; events that cannot meet each other's effects stand in different
// plans.
type plan struct {
	name   string
	users  [2]string
	modes  [2]session.Mode
	events []string
}

func plans() []plan {
	one, two := [2]string{ana, ana}, [2]string{ana, ben}
	return []plan{
		{"interactive and background", one, [2]session.Mode{session.Interactive, session.Background}, []string{"sign-out u-ana", "revoke-background u-ana"}},
		{"somebody else's sign-out", two, [2]session.Mode{session.Interactive, session.Interactive}, []string{"sign-out u-ana", "sign-out u-ben", "stop requested 0"}},
		{"unknown and role", one, [2]session.Mode{session.ModeUnknown, session.Role}, []string{"sign-out u-ana", "revoke-background u-ana", "disabled u-ana"}},
		{"lost, zombie and finished", one, [2]session.Mode{session.Interactive, session.Background}, []string{"vanishes or reappears 0", "finishes 1", "sign-out u-ana"}},
		{"disabled and enabled", one, [2]session.Mode{session.Interactive, session.Background}, []string{"disabled u-ana", "enabled u-ana", "early sign-out u-ana"}},
		{"revoked and due", one, [2]session.Mode{session.Background, session.Interactive}, []string{"revoke-interactive u-ana", "stop requested 1", "until something is due"}},
	}
}

var engines = [2]workload.Run{
	{Engine: workload.SageMakerTraining, Endpoint: jobs},
	{Engine: workload.Livy, Endpoint: livy, Kind: workload.LivySession, Application: workload.Spark},
}

var facts = map[session.Mode]session.Facts{
	session.Interactive: {IdentityPropagation: session.On, ApplicationBackground: session.Off, ClusterBackground: session.On, ReleaseLabel: "emr-7.12.0"},
	session.Background:  {IdentityPropagation: session.On, ApplicationBackground: session.On, ClusterBackground: session.On, ReleaseLabel: "emr-7.12.0"},
	session.Role:        {IdentityPropagation: session.Off},
	session.ModeUnknown: {IdentityPropagation: session.On, ClusterBackground: session.On, ReleaseLabel: "emr-7.12.0"}, // the application is not known
}

// world is the production app on one state.
type world struct {
	s      *state
	plan   plan
	app    *app.App
	faults []string
}

func (w *world) fail(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

func newWorld(p plan) *world {
	w := &world{plan: p}
	w.app = &app.App{
		Engines: map[string]app.Engine{"sagemaker": engine{w}, "livy": engine{w}}, Identity: w, Starter: w, Waiters: w, Announcer: w,
		Meter: deaf{}, Log: slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1})),
		Now: func() time.Time { return w.s.now },
		Parallel: func(ctx context.Context, _ int, tasks []func(context.Context)) {
			for _, task := range tasks {
				task(ctx)
			}
		},
	}
	return w
}

// on puts the world on a state, which it may change.
func (w *world) on(s *state) {
	w.s = s
	w.app.Store = store{s: s}
}

func first() *state {
	p := session.DefaultPolicy()
	p.Version, p.ChangedAt, p.InstanceBackground = 1, began, session.On
	p.BackgroundDuration, p.InteractiveDuration, p.LivyIdle = time.Hour, session.DurationMin+time.Minute, session.DurationMin
	return &state{now: began, policy: &p, claims: map[workload.Ref]string{}, users: map[string]*session.UserFacts{}, endpoints: map[string]*app.Endpoint{},
		marks: map[string]time.Time{}, said: map[string]bool{}, released: map[string]int{}}
}

// The identity center: which mode's facts it gives depends on the run.
func (w *world) Facts(_ context.Context, _ string, run workload.Run) (session.Facts, error) {
	i := 0
	if run.Endpoint == livy {
		i = 1
	}
	return facts[w.plan.modes[i]], nil
}

func (w *world) Status(_ context.Context, user string) (app.UserStatus, error) {
	if w.s.said["disabled "+user] && !w.s.said["enabled "+user] {
		return app.UserDisabled, nil
	}
	return app.UserEnabled, nil
}

func (w *world) Access(context.Context, string, string) (session.Tri, error) { return session.On, nil }

func (w *world) Replay(context.Context, time.Time) ([][]byte, error) { return nil, nil }

func (w *world) begin(kind, endpoint string, generation int64) error {
	m := machine{kind, endpoint, generation}
	if !slices.Contains(w.s.machines, m) {
		w.s.machines = append(w.s.machines, m)
	}
	return nil
}

func (w *world) Watch(_ context.Context, endpoint string, generation int64) error {
	return w.begin("watch", endpoint, generation)
}

func (w *world) Drain(_ context.Context, endpoint string, generation int64) error {
	return w.begin("drain", endpoint, generation)
}

// Release: the waiter is released when its session has ENDED (S2.12).
func (w *world) Release(_ context.Context, token string, o app.Outcome) error {
	if i := w.s.find(o.SessionID); i < 0 || w.s.sessions[i].Status != session.Ended {
		w.fail("S2.12 the waiter of %s is released before its session has ended", o.SessionID)
	}
	w.s.released[token]++
	return nil
}

func (w *world) Announce(context.Context, app.Announcement) error { return nil }

type deaf struct{}

func (deaf) Count(string, int)              {}
func (deaf) Lateness(string, time.Duration) {}

// engine is both engines: a run is pending until it runs, and stopping until it
// has stopped; both take a step of the engine's own.
type engine struct{ w *world }

func (e engine) Start(_ context.Context, s app.Start) (workload.Run, error) {
	for _, r := range e.w.s.runs {
		if r.session == s.SessionID {
			return r.run, nil
		}
	}
	now := e.w.s.now
	r := engineRun{run: s.Run, session: s.SessionID, user: s.User, phase: workload.Pending, created: now, since: now}
	r.run.ID = "run-of-" + s.SessionID
	e.w.s.runs = append(e.w.s.runs, r)
	return r.run, nil
}

func (e engine) observe(r engineRun) workload.Observation {
	o := workload.Observation{Run: r.run, State: r.phase, At: r.since, CreatedAt: r.created, Stamp: r.session, User: r.user}
	if r.phase == workload.Running {
		o.RunningSince = r.since
	}
	return o
}

func (e engine) List(_ context.Context, endpoint string) (workload.Listing, error) {
	l := workload.Listing{Complete: true}
	for _, r := range e.w.s.runs {
		if r.run.Endpoint == endpoint && !r.hidden {
			l.Runs = append(l.Runs, e.observe(r))
		}
	}
	return l, nil
}

func (e engine) Describe(_ context.Context, run workload.Run) (workload.Observation, error) {
	for _, r := range e.w.s.runs {
		if r.run.Ref() == run.Ref() && !r.hidden {
			return e.observe(r), nil
		}
	}
	return workload.Observation{Run: run, State: workload.Gone, At: e.w.s.now}, nil
}

// Stop: only the run of a session that must end is asked to stop (S2.5).
func (e engine) Stop(_ context.Context, run workload.Run) error {
	i := slices.IndexFunc(e.w.s.runs, func(r engineRun) bool { return r.run.Ref() == run.Ref() })
	if i < 0 {
		e.w.fail("a run that never was is asked to stop: %+v", run)
		return nil
	}
	owner := e.w.s.claims[run.Ref()]
	if j := e.w.s.find(owner); j < 0 || e.w.s.sessions[j].Status != session.Ending {
		e.w.fail("S2.5 the run of %q is asked to stop, whose session is not ending", owner)
	}
	if r := &e.w.s.runs[i]; !r.phase.Over() && r.phase != workload.Stopping {
		r.phase, r.since = workload.Stopping, e.w.s.now
	}
	return nil
}

// action is one event, or one step of what runs by itself.
type action struct {
	name string
	do   func(*world) error // fault.Invalid: it cannot happen now
	user string             // whom the event is about; "" : nobody in particular
}

var cannot = fault.Newf("model", fault.Invalid, "it cannot happen now")

// once is an event that happens once.
func once(name, user string, do func(w *world, e session.Event) error) action {
	return action{name: name, user: user, do: func(w *world) error {
		if w.s.said[name] {
			return cannot
		}
		w.s.said[name] = true
		return do(w, session.Event{ID: "e-" + name, At: w.s.now, By: "somebody"})
	}}
}

func aboutUser(word string, kind session.Kind, user string, early bool) action {
	return once(word+" "+user, user, func(w *world, e session.Event) error {
		e.Kind, e.User = kind, user
		if early {
			e.At = began.Add(-time.Minute)
		}
		return w.app.Handle(context.Background(), app.Fact{Event: e})
	})
}

func execution(i int) string { return fmt.Sprintf("arn:execution:%d", i) }

// minutes is longer than an index lags, effects linger, and an absence proves
// nothing; the fair continuation goes by single ones.
const minutes = 3 * cadence.Sweep

// actions are everything that can happen. Time passes only there.
func actions(p plan) []action {
	events := []action{
		aboutUser("sign-out", session.SignOut, ana, false),
		aboutUser("early sign-out", session.SignOut, ana, true),
		aboutUser("revoke-interactive", session.RevokeInteractive, ana, false),
		aboutUser("revoke-background", session.RevokeBackground, ana, false),
		aboutUser("disabled", session.UserDisabled, ana, false),
		aboutUser("enabled", session.UserEnabled, ana, false),
		aboutUser("sign-out", session.SignOut, ben, false),
		{name: "until something is due", do: func(w *world) error { return w.pass(w.due()) }},
	}
	all := []action{{name: "minutes", do: func(w *world) error { return w.pass(w.s.now.Add(minutes)) }}}
	for i := range 2 {
		steps, more := ofSession(p, i)
		all, events = append(all, steps...), append(events, more...)
	}
	for _, name := range p.events {
		i := slices.IndexFunc(events, func(a action) bool { return a.name == name })
		all = append(all, events[i])
	}
	return append(all, action{name: "effects", do: (*world).effects}, action{name: "rounds", do: (*world).rounds})
}

// ofSession are the steps that one session takes by itself, and what may happen
// to it.
func ofSession(p plan, i int) (steps, events []action) {
	id := app.SessionOfExecution(execution(i))
	name := func(word string) string { return fmt.Sprintf("%s %d", word, i) }
	run := func(w *world) *engineRun {
		for j := range w.s.runs {
			if w.s.runs[j].session == id {
				return &w.s.runs[j]
			}
		}
		return nil
	}
	phase := func(word string, step func(*engineRun) bool) action {
		return action{name: name(word), do: func(w *world) error {
			r := run(w)
			if r == nil || !step(r) {
				return cannot
			}
			r.since = w.s.now
			return nil
		}}
	}
	steps = []action{
		once(name("open"), "", func(w *world, _ session.Event) error {
			_, err := w.app.OpenSession(context.Background(), app.OpenRequest{Execution: execution(i), User: p.users[i], Run: engines[i]})
			return err
		}),
		once(name("start"), "", func(w *world, _ session.Event) error {
			return w.app.StartRun(context.Background(), app.StartRequest{SessionID: id, Token: "token-" + id})
		}),
		phase("engine goes on", func(r *engineRun) bool {
			next := map[workload.State]workload.State{workload.Pending: workload.Running, workload.Stopping: workload.Stopped}[r.phase]
			if next == "" {
				return false
			}
			r.phase = next
			return true
		}),
	}
	events = []action{
		once(name("stop requested"), "", func(w *world, e session.Event) error {
			e.Kind, e.Run = session.StopRequested, workload.Ref{Endpoint: app.SessionRef, ID: id}
			return w.app.Handle(context.Background(), app.Fact{Event: e})
		}),
		phase("finishes", func(r *engineRun) bool {
			if r.phase != workload.Running {
				return false
			}
			r.phase = workload.Succeeded
			return true
		}),
		{name: name("vanishes or reappears"), do: func(w *world) error {
			r := run(w)
			if r == nil || r.phase.Over() || w.s.said[name("reappeared")] {
				return cannot
			}
			r.hidden = !r.hidden
			if !r.hidden {
				w.s.said[name("reappeared")] = true
			}
			return nil
		}},
	}
	return steps, events
}

// due is when the clock next matters to a session that is live; zero: never.
func (w *world) due() time.Time {
	var at time.Time
	for _, x := range w.s.sessions {
		if wake := x.WakeAt(); x.Status == session.Active && wake.After(w.s.now) && (at.IsZero() || wake.Before(at)) {
			at = wake
		}
	}
	return at
}

// often is how often the sweep is run at least: where it is not for longer, the
// records are taken for ones that were put back, and the clock ends nothing.
const often = 10 * cadence.Sweep

// pass lets time pass; the sweep is run at its end.
func (w *world) pass(to time.Time) error {
	if !to.After(w.s.now) {
		return cannot
	}
	for w.s.now.Before(to) {
		w.s.now = w.s.now.Add(min(often, to.Sub(w.s.now)))
		if err := w.app.Sweep(context.Background()); err != nil {
			return err
		}
	}
	return nil
}

// effects delivers what the stream has. (The order of single deliveries and of
// rounds with the steps of others is the race's to enumerate.)
func (w *world) effects() error {
	if w.s.queued == 0 {
		return cannot
	}
	queued := w.s.entries[max(0, len(w.s.entries)-w.s.queued):]
	w.s.queued = 0 // where one fails, the sweep drives it
	for _, e := range queued {
		w.app.RunEffects(context.Background(), *e)
	}
	return nil
}

// rounds has each machine go round once.
func (w *world) rounds() error {
	if len(w.s.machines) == 0 {
		return cannot
	}
	for _, m := range slices.Clone(w.s.machines) {
		call := w.app.Watch
		if m.kind == "drain" {
			call = w.app.Drain
		}
		r, err := call(context.Background(), m.endpoint, m.generation)
		if err != nil {
			return err
		}
		if r.Done {
			w.s.machines = slices.DeleteFunc(slices.Clone(w.s.machines), func(o machine) bool { return o == m })
		}
	}
	return nil
}

// hold says what a step from one state to the next must not have done.
func (w *world) hold(a action, before *state) {
	for i, old := range before.sessions {
		x := w.s.sessions[i]
		switch {
		case old == x:
			continue
		case old.Status == session.Ended:
			w.fail("S2.3 an ended session has changed")
		case old.Status == session.Ending && x.Status == session.Active:
			w.fail("an ending session is active again")
		case old.Status == session.Ending && (x.End.Cause != old.End.Cause || x.Mode != old.Mode || !x.Deadline.Equal(old.Deadline)):
			w.fail("S2.12 cause, mode and deadline of an ending session stay")
		case old.Version >= x.Version:
			w.fail("the version goes from %d to %d", old.Version, x.Version)
		case a.user != "" && x.User != a.user:
			w.fail("S2.11 an event about %s changed a session of %s", a.user, x.User)
		case !old.Deadline.IsZero() && (x.Deadline.IsZero() || x.Deadline.After(old.Deadline)):
			w.fail("S1.6 the deadline moved from %s to %s", old.Deadline, x.Deadline)
		case !reflect.DeepEqual(old.Facts, x.Facts) || old.Policy != x.Policy || old.User != x.User || !old.OpenedAt.Equal(x.OpenedAt):
			w.fail("S1.6 what is frozen has changed")
		}
		w.holdEnd(x)
	}
	for _, x := range w.s.sessions[len(before.sessions):] {
		w.holdEnd(x)
	}
	runs := map[string]int{}
	for _, r := range w.s.runs {
		if runs[r.session]++; runs[r.session] > 1 {
			w.fail("two runs were started for %s", r.session)
		}
	}
}

// holdEnd: a cause ends what S2's table says it ends, and nothing else; nothing is
// stopped on an unknown.
func (w *world) holdEnd(x *session.Session) {
	ends := map[session.Cause][]session.Mode{
		session.CauseSignOut:            {session.Interactive},
		session.CauseInteractiveRevoked: {session.Interactive},
		session.CauseInteractiveExpired: {session.Interactive},
		session.CauseBackgroundRevoked:  {session.Background},
		session.CauseBackgroundExpired:  {session.Background},
		session.CauseUserDisabled:       {session.Interactive, session.Background, session.ModeUnknown}, // here it ends each mode that is possible
	}
	if modes, limited := ends[x.End.Cause]; limited && !slices.Contains(modes, x.Mode) {
		w.fail("S2 %s has ended a session of mode %s", x.End.Cause, x.Mode)
	}
	if x.Status == session.Active && !x.Deadline.IsZero() && !w.s.now.Before(x.Deadline) && x.RecordedAt.Equal(w.s.now) {
		w.fail("S2.11 a session is opened although it is due")
	}
}

// fair takes every step that is due to be taken: engines go on, effects are
// delivered, machines go round, a minute passes.
func (w *world) fair(all []action) {
	for _, a := range all {
		if !strings.HasPrefix(a.name, "engine goes on") && a.name != "effects" && a.name != "rounds" {
			continue
		}
		if err := a.do(w); err != nil && !fault.Is(err, fault.Invalid) {
			w.fail("in a fair step, %s: %v", a.name, err)
		}
	}
	_ = w.pass(w.s.now.Add(cadence.Sweep))
}

// owed says why a state may not be the last one; "" where nothing is owed.
func (w *world) owed() string {
	for _, x := range w.s.sessions {
		u := w.s.users[x.User]
		out := func(kind session.Kind) bool {
			return u != nil && slices.ContainsFunc(u.Facts, func(f session.Event) bool { return f.Kind == kind && !f.At.Before(x.OpenedAt) })
		}
		switch {
		case x.Status == session.Ending:
			return "it is still ENDING"
		case x.Status == session.Active && !x.Deadline.IsZero() && !w.s.now.Before(x.Deadline):
			return "its deadline has passed"
		case x.Status == session.Active && x.Mode == session.Interactive && (out(session.SignOut) || out(session.RevokeInteractive)):
			return "S2.10 it is interactive and outlives the sign-out or the revoke"
		case x.Status == session.Active && x.Mode == session.Background && out(session.RevokeBackground):
			return "it outlives the revoke of background sessions"
		case x.Status == session.Ended && w.s.released["token-"+x.ID] == 0 && x.Waiter != "":
			return "nobody has released its waiter"
		}
	}
	for _, r := range w.s.runs {
		i := w.s.find(w.s.claims[r.run.Ref()])
		if i >= 0 && w.s.sessions[i].Status == session.Ended && !r.phase.Over() && !r.hidden {
			return "S2.3 a run outlives its session"
		}
	}
	return ""
}

// fairRounds is how many fair rounds, of a minute each, may be needed: fifteen
// are promised.
const fairRounds = 15

// node is a state that was reached, and how.
type node struct {
	s    *state
	from *node
	by   string
}

func (n *node) path() string {
	if n == nil || n.from == nil {
		return ""
	}
	return strings.TrimPrefix(n.from.path()+", "+n.by, ", ")
}

// walked is what a walk has seen.
type walked struct {
	states, transitions, depth int
	faults                     string
}

// walk goes breadth first through everything that can happen. settled are states
// from which fair rounds are known to lead to rest.
func walk(p plan, limit int) (out walked) {
	w, list := newWorld(p), actions(p)
	root := &node{s: first()}
	seen, settled := map[uint64]bool{root.s.key(): true}, map[uint64]bool{}
	level := []*node{root}
	for out.depth = 0; len(level) > 0 && out.depth < limit; out.depth++ {
		var next []*node
		for _, n := range level {
			for _, a := range list {
				w.on(n.s.clone())
				err := a.do(w)
				if fault.Is(err, fault.Invalid) || fault.Is(err, fault.NotFound) {
					continue
				}
				out.transitions++
				to := &node{w.s, n, a.name}
				if err != nil {
					w.fail("%v", err)
				}
				w.hold(a, n.s)
				key := w.s.key()
				if !seen[key] {
					seen[key] = true
					next = append(next, to)
					w.settle(list, key, settled)
				}
				if len(w.faults) > 0 {
					out.faults = fmt.Sprintf("%s: %s: %s", p.name, to.path(), strings.Join(w.faults, "; "))
					return out
				}
			}
			n.s = nil // only its name in the path is still needed
		}
		level = next
	}
	out.states = len(seen)
	return out
}

// settle follows the fair continuation of a state until nothing is owed, or to a
// state from which that is known.
func (w *world) settle(list []action, key uint64, settled map[uint64]bool) {
	var way []uint64
	w.on(w.s.clone())
	for range fairRounds {
		if settled[key] || w.owed() == "" {
			for _, k := range append(way, key) {
				settled[k] = true
			}
			return
		}
		way = append(way, key)
		w.fair(list)
		key = w.s.key()
	}
	w.fail("it never comes to rest: %s", w.owed())
}

// S2 as a whole: in every reachable state of two sessions on two engines nothing
// is stopped that must live, and what must end ends.
func TestS2_EveryReachableState(t *testing.T) {
	results := make([]walked, len(plans()))
	var wg sync.WaitGroup
	for i, p := range plans() {
		wg.Go(func() { results[i] = walk(p, *depth) })
	}
	wg.Wait()
	var sum walked
	for _, r := range results {
		sum.states, sum.transitions, sum.depth = sum.states+r.states, sum.transitions+r.transitions, max(sum.depth, r.depth)
		if r.faults != "" {
			t.Error(r.faults)
		}
	}
	fmt.Printf("model states=%d transitions=%d depth=%d sessions=2 engines=2 plans=%d violations=%v\n", sum.states, sum.transitions, sum.depth, len(results), t.Failed())
	if sum.states < 1000 {
		t.Errorf("only %d states: the model looks at next to nothing", sum.states)
	}
}
