package app_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// trouble is what happens at the n-th call that has an effect outside.
type trouble struct {
	n      int
	before bool // it is not carried out; else it is, and reported failed
	dies   bool // the whole invocation ends there: none of its later calls is carried out

	calls int
	dead  bool
	where string
}

// strike carries out a call, or has it fail.
func (x *trouble) strike(name string, do func() error) error {
	if x.dead {
		return fault.New(name, fault.Unknown, errDown)
	}
	x.calls++
	if x.calls != x.n {
		return do()
	}
	x.where, x.dead = name, x.dies
	if !x.before {
		_ = do() // nobody hears the answer
	}
	return fault.New(name, fault.Unknown, errDown)
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

func (b brittleStore) SetMark(ctx context.Context, name string, at time.Time) error {
	return b.x.strike("set mark", func() error { return b.Store.SetMark(ctx, name, at) })
}

type brittleEngine struct {
	app.Engine
	x *trouble
}

func (b brittleEngine) Start(ctx context.Context, s app.Start) (run workload.Run, err error) {
	err = b.x.strike("start", func() (err error) { run, err = b.Engine.Start(ctx, s); return err })
	return run, err
}

func (b brittleEngine) Stop(ctx context.Context, run workload.Run) error {
	return b.x.strike("stop", func() error { return b.Engine.Stop(ctx, run) })
}

type brittleStarter struct {
	app.Starter
	x *trouble
}

func (b brittleStarter) Watch(ctx context.Context, endpoint string, generation int64) error {
	return b.x.strike("start watch", func() error { return b.Starter.Watch(ctx, endpoint, generation) })
}

func (b brittleStarter) Drain(ctx context.Context, endpoint string, generation int64) error {
	return b.x.strike("start drain", func() error { return b.Starter.Drain(ctx, endpoint, generation) })
}

type brittleWaiters struct {
	app.Waiters
	x *trouble
}

func (b brittleWaiters) Release(ctx context.Context, token string, o app.Outcome) error {
	return b.x.strike("release", func() error { return b.Waiters.Release(ctx, token, o) })
}

type brittleAnnouncer struct {
	app.Announcer
	x *trouble
}

func (b brittleAnnouncer) Announce(ctx context.Context, a app.Announcement) error {
	return b.x.strike("announce "+a.Kind, func() error { return b.Announcer.Announce(ctx, a) })
}

// patient repeats a call as its caller (a queue, a machine) does.
func (w *world) patient(every time.Duration, call func() error) {
	w.at(w.now, func() {
		if call() != nil {
			w.after(every, func() { w.patient(every, call) })
		}
	})
}

// stopPath is one way from a cause to ENDED.
type stopPath struct {
	name    string
	cause   session.Cause
	waiters int // executions that wait
	play    func(*world)
}

func stopPaths() []stopPath {
	signOut := func(w *world, at time.Duration) {
		w.at(began.Add(at), func() {
			f := w.fact(session.SignOut, "ana", "out-1")
			w.patient(30*time.Second, func() error { return w.app.Handle(w.t.Context(), f) })
		})
	}
	run := func(w *world) {
		var s session.Session
		w.patient(2*time.Second, func() (err error) {
			s, err = w.app.OpenSession(w.t.Context(), app.OpenRequest{Execution: "arn:x", User: "ana", Run: training})
			if err == nil {
				w.patient(2*time.Second, func() error { return w.app.StartRun(w.t.Context(), startOf(s, "tok")) })
			}
			return err
		})
	}
	return []stopPath{
		{"sign-out of a started run", session.CauseSignOut, 1, func(w *world) {
			run(w)
			signOut(w, 90*time.Second)
		}},
		{"sign-out in the middle of the start", session.CauseSignOut, 1, func(w *world) {
			w.engine.lose = 2 // of the answers of a start at 0 s and at 2 s
			run(w)
			signOut(w, 3*time.Second)
		}},
		{"sign-out of an adopted run", session.CauseSignOut, 0, func(w *world) {
			w.born(training, "somebody's", "ana")
			signOut(w, 90*time.Second)
		}},
		{"zombie of a started run", session.CauseZombie, 1, func(w *world) {
			run(w)
			w.vanish()
		}},
		{"zombie of an adopted run", session.CauseZombie, 0, func(w *world) {
			w.born(training, "somebody's", "ana")
			w.vanish()
		}},
	}
}

// vanish lets the engine say that it does not know its runs, until a session has
// ended on the strength of it.
func (w *world) vanish() {
	w.at(began.Add(3*time.Minute), func() {
		w.engine.forget = map[workload.Ref]bool{}
		for _, ref := range w.engine.order {
			w.engine.forget[ref] = true
		}
		w.reappear()
	})
}

func (w *world) reappear() {
	for _, s := range w.all() {
		if s.End.Cause == session.CauseLost {
			w.engine.forget = nil
			return
		}
	}
	w.after(10*time.Second, w.reappear)
}

// Each call that has an effect outside fails once, before it is carried out or
// after, alone or with the rest of its invocation: the run ends stopped within
// the promise all the same, its session ENDED once, its waiter is released, and
// everything that was to be said is said.
func TestS2_1EveryCrashOnTheWayToTheStop(t *testing.T) {
	cases := 0
	for _, path := range stopPaths() {
		t.Run(path.name, func(t *testing.T) {
			for _, before := range []bool{true, false} {
				for _, dies := range []bool{false, true} {
					for n := 1; ; n++ {
						x := &trouble{n: n, before: before, dies: dies}
						fault := crash(t, path, x)
						if fault != "" {
							t.Fatalf("call %d (%s) fails, before=%v, dies=%v: %s", n, x.where, before, dies, fault)
						}
						if x.calls < n {
							break
						}
						cases++
					}
				}
			}
		})
	}
	t.Logf("%d cases", cases)
	if cases < 300 {
		t.Fatalf("only %d cases: the enumeration looks at nothing", cases)
	}
}

// crash plays a path with one trouble and says what is wrong at its end.
func crash(t *testing.T, path stopPath, x *trouble) string {
	w := newWorld(t)
	w.app.Endpoints = []string{sagemaker}
	w.app.Store = brittleStore{w.store, x}
	w.app.Engines = map[string]app.Engine{"sagemaker": brittleEngine{w.engine, x}}
	w.app.Starter, w.app.Waiters, w.app.Announcer = brittleStarter{w.starter, x}, brittleWaiters{w.waiters, x}, brittleAnnouncer{w.says, x}
	w.alive = func() { x.dead = false }
	path.play(w)
	w.pass(40 * time.Minute)
	if len(w.engine.order) != 1 {
		return fmt.Sprintf("%d runs", len(w.engine.order))
	}
	for _, ref := range w.engine.order {
		if r := w.engine.runs[ref]; w.engine.see(r).State != workload.Stopped {
			return fmt.Sprintf("run %s is %s", ref.ID, w.engine.see(r).State)
		}
	}
	found := false
	for _, s := range w.all() {
		_, entries, err := w.app.SessionStory(t.Context(), s.ID)
		if err != nil {
			return err.Error()
		}
		if fault := storyFault(s, entries); fault != "" {
			return fault
		}
		if s.Status != session.Ended {
			return fmt.Sprintf("session %s is %s", s.ID, s.Status)
		}
		found = found || s.End.Cause == path.cause
		if late := s.End.Confirmed.Sub(s.End.Known); late > promise {
			return fmt.Sprintf("confirmed %s after the cause was known", late)
		}
		for _, e := range entries {
			if len(e.Effects) > 0 && !e.Done {
				return fmt.Sprintf("the effects of version %d (%s) are never done", e.Version, e.Event.Kind)
			}
		}
		for _, kind := range []string{"session-opened", "session-ended"} {
			if n := w.says.ids(kind, s.ID, ""); len(n) != 1 {
				return fmt.Sprintf("%s was said under %d ids", kind, len(n))
			}
		}
	}
	if !found {
		return "no session ended for " + string(path.cause)
	}
	if (len(w.waiters.released) > 0) != (path.waiters > 0) {
		return fmt.Sprintf("released %v", w.waiters.released)
	}
	if n := w.says.ids("orphan-found", "", ""); len(n) != 0 {
		return "the run was flagged as an orphan"
	}
	return ""
}
