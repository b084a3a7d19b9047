package app_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/asl/clock"
	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

const promise = 15 * time.Minute

func TestS2_9MassRevokeNeverExceedsTheBucket(t *testing.T) {
	w := newWorld(t)
	const runs = 200
	var mine []session.Session
	for range runs {
		mine = append(mine, w.start("ana", jobRun))
	}
	w.pass(2 * time.Minute)
	known := w.now
	w.say(w.fact(session.RevokeBackground, "ana", "r-1"))
	w.pass(promise)
	worst := time.Duration(0)
	for _, s := range mine {
		ended := w.must(s.ID, session.Ended, session.CauseBackgroundRevoked)
		worst = max(worst, ended.End.Confirmed.Sub(known))
	}
	// EMR on EKS: CancelJobRun refills at 1 a second, bucket 25.
	calls := map[int64]int{}
	for _, c := range w.engine.stops {
		calls[c.at.Unix()]++
	}
	if len(w.engine.stops) < runs {
		t.Fatalf("%d stops were asked for %d runs", len(w.engine.stops), runs)
	}
	for i, from := range w.engine.stops {
		for j, to := range w.engine.stops[i:] {
			if window := to.at.Sub(from.at).Seconds(); float64(j+1) > 25+window {
				t.Fatalf("%d calls within %.0f s from %s: beyond the bucket", j+1, window, from.at.Format("15:04:05"))
			}
		}
	}
	if worst > 200*time.Second {
		t.Errorf("the last of %d was confirmed after %s; the bucket allows 175 s", runs, worst)
	}
	t.Logf("%d runs, %d calls in %d different seconds, the last confirmed after %s", runs, len(w.engine.stops), len(calls), worst)
}

func TestS2_9EarliestCauseFirstAndFairBetweenUsers(t *testing.T) {
	w := newWorld(t)
	for range 60 {
		w.start("ana", jobRun)
	}
	ben, late := w.start("ben", jobRun), w.start("ana", training)
	_ = late
	w.pass(2 * time.Minute)
	w.say(w.fact(session.RevokeBackground, "ana", "r-1"))
	w.pass(12 * time.Second)
	w.say(w.fact(session.RevokeBackground, "ben", "r-2"))
	revoked := w.now
	w.pass(5 * time.Minute)
	asked := w.engine.stopsOf(ben.Run.Ref())
	if len(asked) == 0 || asked[0].Sub(revoked) > cadence.DrainEvery+time.Second {
		t.Errorf("ben's one run waited behind ana's sixty: revoked %s, asked %v", revoked.Format("15:04:05"), asked)
	}

	// Of one user, the earlier cause goes first.
	w = newWorld(t)
	var first, second []session.Session
	for range 30 {
		second = append(second, w.start("ana", jobRun))
	}
	for range 30 {
		first = append(first, w.start("ana", jobRun))
	}
	w.pass(2 * time.Minute)
	w.engine.onStop = func(workload.Run) error { return fault.New("stop", fault.Throttled, errDown) }
	for _, group := range [][]session.Session{first, second} {
		for _, s := range group {
			w.say(app.Fact{Event: session.Event{ID: "stop-" + s.ID, Kind: session.StopRequested, At: w.now, By: "ana", Run: workload.Ref{Endpoint: app.SessionRef, ID: s.ID}}})
		}
		w.pass(time.Second)
	}
	w.pass(20 * time.Second)
	w.engine.onStop = nil
	healed := w.now
	w.pass(5 * time.Minute)
	var worstFirst, bestSecond time.Time
	for _, s := range first {
		if at := w.get(s.ID).End.Asked; at.After(worstFirst) {
			worstFirst = at
		}
	}
	for _, s := range second {
		if at := w.get(s.ID).End.Asked; bestSecond.IsZero() || at.Before(bestSecond) {
			bestSecond = at
		}
	}
	if worstFirst.Before(healed) || worstFirst.After(bestSecond) {
		t.Errorf("the last of the earlier cause was asked at %s, the first of the later one at %s", worstFirst.Format("15:04:05"), bestSecond.Format("15:04:05"))
	}
}

func TestS2_6AsksAgainEach30Seconds(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", jobRun)
	w.pass(time.Minute)
	w.engine.of(s).stubborn = true
	w.say(w.fact(session.RevokeBackground, "ana", "r-1"))
	w.pass(time.Hour)
	asked := w.engine.stopsOf(s.Run.Ref())
	if len(asked) < 90 {
		t.Fatalf("asked %d times in an hour", len(asked))
	}
	for i, at := range asked[1:] {
		if gap := at.Sub(asked[i]); gap < cadence.BackoffMax || gap > cadence.BackoffMax+cadence.DrainEvery {
			t.Fatalf("asked again after %s", gap)
		}
	}
	if n := w.says.ids("alert", s.ID, "stop-unconfirmed"); len(n) != 1 {
		t.Errorf("a person was paged %d times, should be once", len(n))
	}
	for _, a := range w.says.said {
		if a.Effect.Kind == session.Page && a.At.Sub(s.OpenedAt) < time.Minute+session.PageAfter {
			t.Errorf("paged at %s, too early", a.At.Format("15:04:05"))
		}
	}
	w.engine.of(s).stubborn, w.engine.of(s).stopAt = false, w.now
	w.pass(2 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseBackgroundRevoked)
}

func TestS2_6StoppingIsNotAskedAgain(t *testing.T) {
	w := newWorld(t)
	w.engine.grace = 4 * time.Minute
	s := w.start("ana", jobRun)
	w.pass(time.Minute)
	w.say(w.fact(session.RevokeBackground, "ana", "r-1"))
	w.pass(6 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseBackgroundRevoked)
	if asked := w.engine.stopsOf(s.Run.Ref()); len(asked) != 1 {
		t.Errorf("a run that was STOPPING was asked %d times", len(asked))
	}
}

func TestS2_6StopErrorsNeverGiveUp(t *testing.T) {
	for _, c := range []struct {
		name string
		down func(*world, error)
	}{
		{"stop requests fail", func(w *world, err error) { w.engine.onStop = func(workload.Run) error { return err } }},
		{"listings fail", func(w *world, err error) { w.engine.onList = func(string) error { return err } }},
		{"executions cannot be started", func(w *world, err error) { w.starter.fail = err }},
	} {
		for _, outage := range []time.Duration{time.Minute, 6 * time.Minute, 10 * time.Minute} {
			t.Run(fmt.Sprintf("%s for %s", c.name, outage), func(t *testing.T) {
				w := newWorld(t)
				var mine []session.Session
				for range 10 {
					mine = append(mine, w.start("ana", jobRun))
				}
				w.pass(12 * time.Second)
				c.down(w, fault.New("call", fault.Throttled, errDown))
				w.say(w.fact(session.RevokeBackground, "ana", "r-1"))
				w.pass(outage)
				for _, s := range mine {
					w.must(s.ID, session.Ending, session.CauseBackgroundRevoked)
				}
				w.engine.onStop, w.engine.onList, w.starter.fail = nil, nil, nil
				w.pass(w.engine.grace + time.Minute)
				for _, s := range mine {
					w.must(s.ID, session.Ended, session.CauseBackgroundRevoked)
				}
			})
		}
	}
}

// One run whose stop always fails, or a bucketful of them, must not keep others
// from being asked.
func TestS2_6RunsThatCannotBeStoppedDoNotStarveOthers(t *testing.T) {
	w := newWorld(t)
	denied := map[workload.Ref]bool{}
	var others []session.Session
	for i := range 60 {
		s := w.start("ana", jobRun)
		if i < 40 {
			denied[s.Run.Ref()] = true
		}
	}
	w.pass(2 * time.Minute)
	w.engine.onStop = func(r workload.Run) error {
		if denied[r.Ref()] {
			return fault.New("stop", fault.Denied, errDown)
		}
		return nil
	}
	for _, s := range w.all() {
		if !denied[s.Run.Ref()] {
			others = append(others, s)
		}
	}
	// The cause of the forty is a minute older.
	for _, s := range w.all() {
		if denied[s.Run.Ref()] {
			w.say(app.Fact{Event: session.Event{ID: "stop-" + s.ID, Kind: session.StopRequested, At: w.now, By: "ana", Run: workload.Ref{Endpoint: app.SessionRef, ID: s.ID}}})
		}
	}
	w.pass(time.Minute)
	w.say(w.fact(session.RevokeBackground, "ana", "r-1"))
	w.pass(promise)
	if len(others) == 0 {
		t.Fatal("nothing was looked at")
	}
	for _, s := range others {
		w.must(s.ID, session.Ended, session.CauseBackgroundRevoked)
	}
}

func TestS2IncompleteListingStillAsks(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", jobRun)
	w.pass(3 * time.Minute)
	w.engine.partial, w.engine.hide = true, map[workload.Ref]bool{s.Run.Ref(): true}
	w.say(w.fact(session.RevokeBackground, "ana", "r-1"))
	w.pass(5 * time.Minute)
	w.must(s.ID, session.Ending, session.CauseBackgroundRevoked) // nothing confirms it yet (S2.1)
	asked := w.engine.stopsOf(s.Run.Ref())
	if len(asked) == 0 {
		t.Error("S2.6: its page of the listing is missing, and the run is not asked to stop")
	}
	for i := range len(asked) - 1 {
		if gap := asked[i+1].Sub(asked[i]); gap < cadence.BackoffMax {
			t.Errorf("asked again after %s", gap)
		}
	}
	w.engine.partial, w.engine.hide = false, nil
	w.pass(time.Minute)
	w.must(s.ID, session.Ended, session.CauseBackgroundRevoked)
}

func TestLeaseOlderGenerationIsFenced(t *testing.T) {
	for _, kind := range []string{"drain", "watch"} {
		w := newWorld(t)
		s := w.start("ana", jobRun)
		w.pass(time.Second)
		w.say(w.fact(session.RevokeBackground, "ana", "r-1"))
		call := w.app.Drain
		if kind == "watch" {
			call = w.app.Watch
		}
		w.unswept, w.deaf, w.executions, w.deeds = true, true, nil, nil
		if r, err := call(t.Context(), onEKS, 7); err != nil || r.Done {
			t.Fatalf("%s: generation 7: %+v, %v", kind, r, err)
		}
		stops, lists := len(w.engine.stops), 0
		w.engine.onList = func(string) error { lists++; return nil }
		if r, err := call(t.Context(), onEKS, 6); err != nil || !r.Done || r.Left != 0 {
			t.Errorf("%s: an older generation goes on: %+v, %v", kind, r, err)
		}
		if lists != 0 || len(w.engine.stops) != stops {
			t.Errorf("%s: a fenced execution calls the engine", kind)
		}
		// The successor of a handover goes on at once, and fences the one before.
		if r, err := call(t.Context(), onEKS, 8); err != nil || r.Done || lists != 1 {
			t.Errorf("%s: the successor: %+v, %v", kind, r, err)
		}
		if r, err := call(t.Context(), onEKS, 7); err != nil || !r.Done {
			t.Errorf("%s: the one handed over goes on: %+v, %v", kind, r, err)
		}
		w.unswept, w.deaf, w.engine.onList = false, false, nil
		w.pass(10 * time.Minute)
		w.must(s.ID, session.Ended, session.CauseBackgroundRevoked)
	}
}

func TestLeaseTwoWakesStartOneExecution(t *testing.T) {
	w := newWorld(t)
	for range 5 {
		w.start("ana", jobRun)
	}
	w.pass(time.Minute)
	w.say(w.fact(session.RevokeBackground, "ana", "r-1"))
	w.pass(30 * time.Second)
	drains := 0
	for _, e := range w.executions {
		if e.kind == "drain" {
			drains++
		}
	}
	if drains != 1 {
		t.Errorf("%d drains of one endpoint", drains)
	}
	w.pass(time.Minute)
}

// Whoever takes a lease and does not hear that starts the drain all the same: nobody else
// would, for as long as the lease lasts.
func TestLeaseTakenUnheard(t *testing.T) {
	for name, kind := range map[string]fault.Kind{
		"no answer came": fault.Unknown,
		"the client of the table repeated the request, which was carried out before": fault.Conflict,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.start("ana", jobRun)
			w.pass(time.Minute)
			unheard := 0
			w.app.Store = &hooked{Store: w.store, putEndpoint: func(e app.Endpoint) error {
				if e.Drain.Generation == 0 || unheard > 0 {
					return nil
				}
				unheard++
				if err := w.store.PutEndpoint(t.Context(), e); err != nil {
					t.Error(err)
				}
				return fault.New("put endpoint", kind, errDown)
			}}
			w.say(w.fact(session.RevokeBackground, "ana", "r-1"))
			w.pass(20 * time.Second)
			if w.must(s.ID, session.Ending, session.CauseBackgroundRevoked); unheard != 1 || len(w.engine.stopsOf(s.Run.Ref())) == 0 {
				t.Errorf("S2.6 20 seconds after the cause nobody has asked it to stop (%d answers were lost)", unheard)
			}
		})
	}
}

func TestLeaseDeadDrainIsReplacedInTime(t *testing.T) {
	// It dies at any moment of its life: right after the lease was taken, and
	// after each of its rounds.
	for dies := range 4 {
		w := newWorld(t)
		w.engine.grace = 90 * time.Second
		var mine []session.Session
		for range 60 {
			mine = append(mine, w.start("ana", jobRun))
		}
		w.pass(time.Minute)
		known := w.now
		w.say(w.fact(session.RevokeBackground, "ana", "r-1"))
		killed := false
		w.alive = func() {
			for _, e := range w.executions {
				if e.kind == "drain" && e.rounds == dies && !killed && e.next.Sub(w.now) <= 0 {
					killed, e.over = true, true
				}
			}
		}
		w.pass(promise)
		if !killed {
			t.Fatalf("no drain died before round %d", dies)
		}
		for _, s := range mine {
			if late := w.must(s.ID, session.Ended, session.CauseBackgroundRevoked).End.Confirmed.Sub(known); late > promise {
				t.Errorf("dead after %d rounds: confirmed %s after the cause", dies, late)
			}
		}
	}
}

func TestLeaseIsReleasedOnlyAfterTheIndexCaughtUp(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", jobRun)
	w.pass(time.Minute)
	w.say(w.fact(session.RevokeBackground, "ana", "r-1"))
	w.pass(10 * time.Minute)
	ended := w.must(s.ID, session.Ended, session.CauseBackgroundRevoked)
	seen := 0
	for _, e := range w.executions {
		if e.kind == "watch" && e.endpoint == onEKS || e.kind == "drain" {
			seen++
			if !e.over {
				t.Errorf("%s goes on with nothing to do", e.kind)
			}
			if e.kind == "drain" && e.next.Sub(ended.End.Confirmed) < cadence.IndexLag {
				t.Errorf("the drain ended %s after the last session", e.next.Sub(ended.End.Confirmed))
			}
		}
	}
	if seen != 2 {
		t.Fatalf("%d executions, should be a watch and a drain", seen)
	}
}

func TestLeaseEmptinessIsForgottenWhenThereIsWorkAgain(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", jobRun)
	w.pass(time.Minute)
	w.deaf, w.unswept, w.executions = true, true, nil
	for kind, call := range map[string]func(contextT, string, int64) (app.Round, error){"drain": w.app.Drain, "watch": w.app.Watch} {
		w.engine.of(s).stubborn = true
		e, err := w.store.Endpoint(t.Context(), onEKS)
		if err != nil {
			t.Fatal(err)
		}
		e.Version++
		e.Drain = app.Lease{Generation: 5, EmptySince: w.now, EmptyWake: e.Wake}
		e.Watch = e.Drain
		if err := w.store.PutEndpoint(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		w.say(w.fact(session.RevokeBackground, "ana", "r-1"))
		if r, err := call(t.Context(), onEKS, 5); err != nil || r.Left != 1 {
			t.Fatalf("%s: %+v, %v", kind, r, err)
		}
		if e, err = w.store.Endpoint(t.Context(), onEKS); err != nil {
			t.Fatal(err)
		}
		lease := e.Drain
		if kind == "watch" {
			lease = e.Watch
		}
		if !lease.EmptySince.IsZero() || !lease.Until.After(w.now) {
			t.Errorf("%s: there is work and the lease says %+v", kind, lease)
		}
	}
	w.engine.of(s).stopAt = w.now
	w.deaf, w.unswept = false, false
	w.pass(20 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseBackgroundRevoked)
}

// Every interleaving of the drain's last round with a session that begins to
// end: nothing but the executions runs afterwards, and the stop is not lost.
func TestReleaseAgainstWakeEveryInterleaving(t *testing.T) {
	cases := 0
	for _, lag := range []time.Duration{0, 20 * time.Second} {
		for schedule := range uint(1 << 14) {
			if ones(schedule) != wakeSteps {
				continue
			}
			cases++
			if fault := releaseAgainstWake(t, lag, schedule); fault != "" {
				t.Fatalf("index lag %s, schedule %014b: %s", lag, schedule, fault)
			}
		}
	}
	t.Logf("%d interleavings", cases)
	if cases < 1000 {
		t.Fatal("hardly anything was looked at")
	}
}

// wakeSteps are the calls of the ending session that the interleavings place:
// its commit, the wake, the read and the write of the lease.
const wakeSteps = 4

func ones(v uint) (n int) {
	for ; v > 0; v &= v - 1 {
		n++
	}
	return n
}

type actorKey struct{}

// actor is one of two chains whose calls of the store are let through one at a
// time.
type actor struct {
	ready, turn chan struct{}
	done        bool
}

func (a *actor) pause() {
	a.ready <- struct{}{}
	<-a.turn
}

// let runs the actor to its next call.
func (a *actor) let() {
	if a.done {
		return
	}
	a.turn <- struct{}{}
	if _, open := <-a.ready; !open {
		a.done = true
	}
}

func act(ctx context.Context, do func(context.Context)) *actor {
	a := &actor{ready: make(chan struct{}), turn: make(chan struct{})}
	go func() {
		defer close(a.ready)
		do(context.WithValue(ctx, actorKey{}, a))
	}()
	if _, open := <-a.ready; !open {
		a.done = true
	}
	return a
}

// stepped pauses its callers before each call that the other might see.
type stepped struct{ app.Store }

func step(ctx context.Context) {
	if a, ok := ctx.Value(actorKey{}).(*actor); ok {
		a.pause()
	}
}

func (s stepped) Commit(ctx context.Context, c app.Commit) error {
	step(ctx)
	return s.Store.Commit(ctx, c)
}

func (s stepped) Wake(ctx context.Context, id string) error {
	step(ctx)
	return s.Store.Wake(ctx, id)
}

func (s stepped) Endpoint(ctx context.Context, id string) (app.Endpoint, error) {
	step(ctx)
	return s.Store.Endpoint(ctx, id)
}

func (s stepped) PutEndpoint(ctx context.Context, e app.Endpoint) error {
	step(ctx)
	return s.Store.PutEndpoint(ctx, e)
}

func (s stepped) OfEndpoint(ctx context.Context, id, cursor string) (app.Page, error) {
	step(ctx)
	return s.Store.OfEndpoint(ctx, id, cursor)
}

func releaseAgainstWake(t *testing.T, lag time.Duration, schedule uint) string {
	w := newWorld(t, indexLag(lag))
	w.unswept, w.deaf = true, true
	s := w.open("ana", jobRun)
	run, err := w.engine.Start(t.Context(), app.Start{SessionID: s.ID, Run: s.Run})
	if err == nil {
		_, err = w.app.Apply(t.Context(), s.ID, session.Event{Kind: session.RunStarted, At: w.now, Run: run.Ref()})
	}
	if err != nil {
		return err.Error()
	}
	// A drain that found nothing for long enough: its next round releases.
	if err := w.store.PutEndpoint(t.Context(), app.Endpoint{ID: onEKS, Engine: "emr-containers", Version: 1,
		Drain: app.Lease{Generation: 1, Until: w.now.Add(time.Hour), EmptySince: w.now}}); err != nil {
		return err.Error()
	}
	w.now = w.now.Add(cadence.IndexLag + cadence.DrainEvery)
	w.app.Store = stepped{w.store}
	var r app.Round
	var errDrain, errWake error
	drain := act(t.Context(), func(ctx context.Context) { r, errDrain = w.app.Drain(ctx, onEKS, 1) })
	wake := act(t.Context(), func(ctx context.Context) {
		if _, errWake = w.app.Apply(ctx, s.ID, session.Event{ID: "stop-1", Kind: session.StopRequested, At: w.now, By: "ana"}); errWake == nil {
			entries, _, err := w.store.History(ctx, s.ID, 2, 1)
			if errWake = err; err == nil {
				w.app.RunEffects(ctx, entries[0])
			}
		}
	})
	for i := range 14 {
		if schedule>>i&1 == 1 {
			wake.let()
		} else {
			drain.let()
		}
	}
	for !drain.done || !wake.done {
		drain.let()
		wake.let()
	}
	w.app.Store = w.store
	if errDrain != nil || errWake != nil {
		return fmt.Sprintf("the drain: %v; the session: %v", errDrain, errWake)
	}
	if !r.Done {
		w.executions = append(w.executions, &execution{kind: "drain", endpoint: onEKS, generation: 1, next: w.now.Add(r.Wait)})
	}
	w.pass(3 * time.Minute)
	if now := w.get(s.ID); now.Status != session.Ended {
		return fmt.Sprintf("the stop is lost: the session is %s, %d executions", now.Status, len(w.executions))
	}
	return ""
}

// Engines may hang; the drain's own pace is kept on a virtual clock too, with
// stops that block and run beside each other.
func TestS2_9ParallelStopsOnTheVirtualClock(t *testing.T) {
	w := newWorld(t)
	for range 20 {
		w.start("ana", notebook)
	}
	w.pass(time.Second)
	w.deaf, w.unswept, w.executions = true, true, nil
	w.say(w.fact(session.RevokeBackground, "ana", "r-1"))
	c := clock.New(w.now)
	slow := &slowStops{Engine: w.engine, c: c, token: make(chan struct{}, 1)}
	w.app.Engines["livy"] = slow
	w.app.Parallel, w.app.Now = c.Parallel, c.Now
	var err error
	c.Go(func() { _, err = w.app.Drain(t.Context(), livy, 1) })
	c.Run()
	if err != nil {
		t.Fatal(err)
	}
	if slow.most != cadence.StopParallel || slow.calls != 20 {
		t.Errorf("%d stops, %d at once; should be 20, %d at once", slow.calls, slow.most, cadence.StopParallel)
	}
	if took := c.Now().Sub(w.now); took != 30*time.Second {
		t.Errorf("20 stops of 10 s each, 8 at once, took %s", took)
	}
	w.app.Engines["livy"] = w.engine
	w.app.Now = func() time.Time { return w.now }
	w.app.Parallel = func(ctx context.Context, _ int, tasks []func(context.Context)) {
		for _, task := range tasks {
			task(ctx)
		}
	}
	w.deaf, w.unswept, w.now = false, false, c.Now()
	w.pass(10 * time.Minute)
	for _, s := range w.all() {
		w.must(s.ID, session.Ended, session.CauseBackgroundRevoked)
	}
}

// slowStops takes 10 s for a stop, as Livy's DELETE does.
type slowStops struct {
	app.Engine
	c                *clock.Clock
	token            chan struct{}
	now, most, calls int
}

func (s *slowStops) Stop(ctx context.Context, run workload.Run) error {
	s.token <- struct{}{}
	s.calls++
	s.now++
	s.most = max(s.most, s.now)
	<-s.token
	if err := s.c.Sleep(ctx, 10*time.Second); err != nil {
		return err
	}
	s.token <- struct{}{}
	defer func() { <-s.token }()
	s.now--
	return s.Engine.Stop(ctx, run)
}

// SageMaker publishes no rate of its stop requests. A service that takes one a
// second where the table says five is not asked five times as often as it takes:
// the drain slows down, keeps that in the endpoint's record, and regains its rate.
func TestS2_6ThrottlingSlowsTheDrain(t *testing.T) {
	w := newWorld(t)
	const runs = 60
	var mine []session.Session
	for range runs {
		mine = append(mine, w.start("ana", training))
	}
	w.pass(2 * time.Minute)
	service, bucket, refused := cadence.Rate{PerSecond: 1, Burst: 5}, cadence.Bucket{}, 0
	w.engine.onStop = func(workload.Run) error {
		var ok bool
		if bucket, ok = service.Take(bucket, 1, w.now); !ok {
			refused++
			return fault.New("stop", fault.Throttled, errDown)
		}
		return nil
	}
	known := w.now
	w.say(w.fact(session.SignOut, "ana", "e-1"))
	w.pass(30 * time.Second)
	set := cadence.Of("sagemaker")
	e, err := w.store.Endpoint(t.Context(), sagemaker)
	if err != nil {
		t.Fatal(err)
	}
	if now := set.Stop.Now(e.Stops, w.now); now >= set.Stop.PerSecond/2 || now < set.Stop.Floor {
		t.Errorf("half a minute on it still asks %g times a second", now)
	}
	w.pass(promise - 30*time.Second)
	worst := time.Duration(0)
	for _, s := range mine {
		worst = max(worst, w.must(s.ID, session.Ended, session.CauseSignOut).End.Confirmed.Sub(known))
	}
	// At five a second each round of five seconds would have 20 of 25 refused.
	if refused == 0 || refused > runs {
		t.Errorf("%d requests refused for %d runs", refused, runs)
	}
	if worst > 3*time.Minute {
		t.Errorf("the last was confirmed after %s; one a second takes a minute", worst)
	}
	if e, err = w.store.Endpoint(t.Context(), sagemaker); err != nil || set.Stop.Now(e.Stops, w.now) != set.Stop.PerSecond {
		t.Errorf("after a rest it asks %g times a second, %v", set.Stop.Now(e.Stops, w.now), err)
	}
	t.Logf("%d runs, %d requests, %d refused, the last confirmed after %s", runs, len(w.engine.stops), refused, worst)
}

// A service that throttles everything is still asked, each 30 s at least: the rate
// has a floor, and a stop is never given up.
func TestS2_6ThrottledForAnHourIsStillAsked(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", training)
	w.pass(time.Minute)
	w.engine.onStop = func(workload.Run) error { return fault.New("stop", fault.Throttled, errDown) }
	w.say(w.fact(session.SignOut, "ana", "e-1"))
	w.pass(time.Hour)
	asked := w.engine.stopsOf(s.Run.Ref())
	if len(asked) < 2 {
		t.Fatalf("asked %d times in an hour", len(asked))
	}
	for i, at := range asked[1:] {
		if gap := at.Sub(asked[i]); gap > cadence.BackoffMax {
			t.Fatalf("asked again after %s", gap)
		}
	}
	if gap := w.now.Sub(asked[len(asked)-1]); gap > cadence.BackoffMax {
		t.Errorf("last asked %s ago", gap)
	}
	w.engine.onStop = nil
	w.pass(2 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseSignOut)
}
