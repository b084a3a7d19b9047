package app_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

func startOf(s session.Session, token string) app.StartRequest {
	return app.StartRequest{SessionID: s.ID, Token: token, Spec: []byte("{}")}
}

// lost opens a session whose run was started and whose start's answer was lost.
func (w *world) lost(user string, run workload.Run) (session.Session, workload.Ref) {
	w.t.Helper()
	w.engine.lose = 1
	s := w.open(user, run)
	if err := w.app.StartRun(w.t.Context(), startOf(s, "tok")); err == nil {
		w.t.Fatal("the answer was lost and the start succeeded")
	}
	return s, w.engine.order[len(w.engine.order)-1]
}

func TestS4_1StampedRunIsFoundByListing(t *testing.T) {
	w := newWorld(t)
	s, ref := w.lost("ana", training)
	w.pass(time.Minute)
	if got := w.must(s.ID, session.Active, ""); got.Run.Ref() != ref || w.only(ref).ID != s.ID {
		t.Errorf("its run is %q, the engine has %q", got.Run.ID, ref.ID)
	}
	if len(w.engine.starts) != 1 {
		t.Errorf("started %d times", len(w.engine.starts))
	}
}

func TestS2_4EndingWithoutARunWaitsForTheStart(t *testing.T) {
	t.Run("until it is seen", func(t *testing.T) {
		w := newWorld(t)
		w.engine.partial = true
		s, ref := w.lost("ana", training)
		w.engine.hide = map[workload.Ref]bool{ref: true}
		w.say(w.fact(session.SignOut, "ana", "out-1"))
		w.pass(10 * time.Minute) // no listing is complete
		w.must(s.ID, session.Ending, session.CauseSignOut)
		w.engine.partial, w.engine.hide = false, nil
		w.pass(time.Minute)
		w.must(s.ID, session.Ended, session.CauseSignOut)
		if len(w.engine.runs[ref].asked) == 0 {
			t.Error("its run was not asked to stop")
		}
	})
	t.Run("until it is disproved", func(t *testing.T) {
		w := newWorld(t)
		w.engine.onStart = func(app.Start) error { return fault.New("start", fault.Throttled, errDown) }
		s := w.open("ana", training)
		if err := w.app.StartRun(t.Context(), startOf(s, "tok")); err == nil {
			t.Fatal("the start failed and nobody was told")
		}
		asked := w.now
		w.say(w.fact(session.SignOut, "ana", "out-1"))
		w.pass(cadence.MinimumAge - time.Second)
		w.must(s.ID, session.Ending, session.CauseSignOut)
		w.pass(15 * time.Second)
		ended := w.must(s.ID, session.Ended, session.CauseSignOut)
		if ended.End.Confirmed.Sub(asked) < cadence.MinimumAge {
			t.Error("disproved before the minimum age")
		}
		w.pass(time.Second)
		if len(w.waiters.released) != 1 {
			t.Errorf("released %v", w.waiters.released)
		}
	})
	t.Run("at once where the engine was never asked", func(t *testing.T) {
		w := newWorld(t)
		s := w.open("ana", training)
		w.say(w.fact(session.SignOut, "ana", "out-1"))
		w.pass(5 * time.Second)
		w.must(s.ID, session.Ended, session.CauseSignOut)
	})
}

func TestStartThatNobodyAskedForIsClosed(t *testing.T) {
	w := newWorld(t)
	s := w.open("ana", training)
	w.pass(cadence.StartWithin - time.Minute)
	w.must(s.ID, session.Active, "")
	w.pass(7 * time.Minute) // the listing after it, at most 300 s later
	w.must(s.ID, session.Ended, session.CauseFailed)
}

func TestRefusedStartEndsFailedAndReleasesTheWaiter(t *testing.T) {
	w := newWorld(t)
	w.engine.onStart = func(app.Start) error {
		return fault.Newf("start", fault.Invalid, "no such instance type")
	}
	s := w.open("ana", training)
	if err := w.app.StartRun(t.Context(), startOf(s, "tok")); err != nil {
		t.Fatalf("a refusal is an answer: %v", err)
	}
	ended := w.must(s.ID, session.Ended, session.CauseFailed)
	if !strings.Contains(ended.End.Evidence, "refused") {
		t.Errorf("evidence %q", ended.End.Evidence)
	}
	w.pass(time.Second)
	if len(w.waiters.released) != 1 || w.waiters.released[0].token != "tok" || w.waiters.released[0].outcome.Succeeded || w.waiters.released[0].outcome.Cause != session.CauseFailed {
		t.Errorf("released %+v", w.waiters.released)
	}
	if err := w.app.StartRun(t.Context(), startOf(s, "tok-2")); err != nil {
		t.Fatal(err)
	}
	if len(w.engine.starts) != 1 || len(w.waiters.released) != 2 || w.waiters.released[1].token != "tok-2" {
		t.Errorf("an ENDED session: %d starts, released %+v", len(w.engine.starts), w.waiters.released)
	}
}

// Nobody must wait for a run of an engine that is not configured.
func TestStartOnAnEndpointWithoutAnEngineIsRefused(t *testing.T) {
	w := newWorld(t)
	s := w.open("ana", workload.Run{Engine: workload.EMRNotebook, Endpoint: "emr-notebook/123456789012/us-east-1"})
	if err := w.app.StartRun(t.Context(), startOf(s, "tok")); err != nil {
		t.Logf("start run: %v", err)
	}
	w.pass(2 * time.Second)
	w.must(s.ID, session.Ended, session.CauseFailed)
	if len(w.waiters.released) != 1 {
		t.Errorf("released %+v", w.waiters.released)
	}
}

func TestS2_12StartRunRepeatedNewestTokenWins(t *testing.T) {
	w := newWorld(t)
	s := w.open("ana", training)
	for _, token := range []string{"tok-1", "tok-1", "tok-2"} {
		if err := w.app.StartRun(t.Context(), startOf(s, token)); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.engine.starts) != 1 || len(w.engine.order) != 1 {
		t.Errorf("%d starts, %d runs", len(w.engine.starts), len(w.engine.order))
	}
	w.pass(time.Minute)
	w.say(w.fact(session.SignOut, "ana", "out-1"))
	w.pass(2 * time.Minute)
	if len(w.waiters.released) == 0 {
		t.Fatal("nobody was released")
	}
	for _, r := range w.waiters.released {
		if r.token != "tok-2" || r.outcome.SessionID != s.ID || !strings.Contains(r.outcome.Text, "signed out") {
			t.Errorf("released %+v", r)
		}
	}
}

func TestS4_5EngineIsToldTheEarlierLimit(t *testing.T) {
	for _, c := range []struct {
		name                string
		run                 workload.Run
		asked, expires, set time.Duration
	}{
		{"the run's own is earlier", training, time.Hour, 3 * time.Hour, time.Hour},
		{"the session's is earlier", training, 24 * time.Hour, 3 * time.Hour, 3 * time.Hour},
		{"not given", training, 0, 3 * time.Hour, 3 * time.Hour},
		{"no deadline", workload.Run{Engine: workload.Livy, Endpoint: livy, Kind: workload.LivySession}, time.Hour, 0, time.Hour},
		{"whole seconds", training, 0, 90*time.Second + 300*time.Millisecond, 90 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.expires == 0 {
				w.identity.facts[livy] = plain
			}
			c.run.MaxRuntime = c.asked
			r := app.OpenRequest{Execution: "arn:x", User: "ana", Run: c.run}
			if c.expires > 0 {
				r.Interactive = session.InteractiveSession{ID: "is", Source: "portal", ExpiresAt: w.now.Add(c.expires)}
			}
			s, err := w.app.OpenSession(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.app.StartRun(t.Context(), startOf(s, "tok")); err != nil {
				t.Fatal(err)
			}
			if got := w.engine.starts[0]; got.MaxRuntime != c.set || got.SessionID != s.ID || got.User != "ana" || got.Idle != session.LivyIdleDefault {
				t.Errorf("the engine was told %s, should be %s: %+v", got.MaxRuntime, c.set, got)
			}
		})
	}
}

func TestS4_5DeadlineJustPassed(t *testing.T) {
	w := newWorld(t)
	s, err := w.app.OpenSession(t.Context(), app.OpenRequest{Execution: "arn:x", User: "ana", Run: training,
		Interactive: session.InteractiveSession{ID: "is", Source: "portal", ExpiresAt: w.now.Add(300 * time.Millisecond)}})
	if err != nil {
		t.Fatal(err)
	}
	w.engine.onStart = func(st app.Start) error {
		if st.MaxRuntime != time.Second {
			t.Errorf("told %s, an engine takes no less than a second", st.MaxRuntime)
		}
		return nil
	}
	if err := w.app.StartRun(t.Context(), startOf(s, "tok")); err != nil {
		t.Fatal(err)
	}
	w.pass(3 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseInteractiveExpired)
}

func TestS8_6LockRefusesNewStarts(t *testing.T) {
	w := newWorld(t)
	running := w.start("ana", jobRun)
	if err := w.store.PutUser(t.Context(), session.UserFacts{User: "ana", Version: 1, Lock: session.Lock{Until: w.now.Add(time.Hour), By: "admin", Why: "revoked"}}); err != nil {
		t.Fatal(err)
	}
	r := app.OpenRequest{Execution: "arn:x", User: "ana", Run: training}
	_, err := w.app.OpenSession(t.Context(), r)
	if !errors.Is(err, app.ErrLocked) || !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("answered %v", err)
	}
	// A run that is there is adopted all the same: not to see it would not stop it.
	w.app.Endpoints = []string{sagemaker}
	r2 := w.born(training, "somebody's", "ana")
	w.pass(6 * time.Minute)
	w.only(r2.o.Run.Ref())
	w.must(running.ID, session.Active, "")
	w.pass(time.Hour)
	if _, err := w.app.OpenSession(t.Context(), r); err != nil {
		t.Errorf("after the lock: %v", err)
	}
}

func TestOpenSessionRepeatedIsOneSession(t *testing.T) {
	w := newWorld(t)
	r := app.OpenRequest{Execution: "arn:x", User: "ana", Run: training}
	first, err := w.app.OpenSession(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	w.pass(time.Minute)
	second, err := w.app.OpenSession(t.Context(), r)
	if err != nil || second.ID != first.ID || !second.OpenedAt.Equal(first.OpenedAt) || len(w.all()) != 1 {
		t.Errorf("%s and %s, %v", first.ID, second.ID, err)
	}
}

func TestOpenSessionBesideItself(t *testing.T) {
	w := newWorld(t)
	r := app.OpenRequest{Execution: "arn:x", User: "ana", Run: training}
	var first session.Session
	w.app.Store = &hooked{Store: w.store, beforeOpen: func() {
		if first.ID != "" {
			return
		}
		first.ID = "being opened"
		w.now = w.now.Add(time.Second)
		var err error
		if first, err = w.app.OpenSession(t.Context(), r); err != nil {
			t.Error(err)
		}
		w.say(w.fact(session.UserEnabled, "ana", "e-1")) // the user's facts have changed too
	}}
	second, err := w.app.OpenSession(t.Context(), r)
	if err != nil || second.ID != first.ID || len(w.all()) != 1 {
		t.Errorf("%s and %s, %v", first.ID, second.ID, err)
	}
}

func TestS1_10FactsThatCannotBeReadAreUnknown(t *testing.T) {
	w := newWorld(t)
	w.identity.facts, w.identity.factsErr = nil, errDown
	s := w.start("ana", training)
	if s.Mode != session.ModeUnknown {
		t.Fatalf("its mode is %s", s.Mode)
	}
	w.pass(time.Second)
	w.say(w.fact(session.SignOut, "ana", "out-1"))
	w.pass(3 * time.Minute)
	w.must(s.ID, session.Active, "")
	if n := w.says.ids("alert", s.ID, "mode-unknown"); len(n) != 2 {
		t.Errorf("alerted %d times, should be at the opening and at the sign-out", len(n))
	}
	if len(w.engine.of(s).asked) != 0 {
		t.Error("it was asked to stop on a guess")
	}
}

// TestS2_4KernelStoppedBeforeTheRunIsKnown: the end of a kernel that reaches us
// before anybody knows whose run it names, nor does the engine show it yet, ends the
// run all the same once it is known, whichever way it becomes known.
func TestS2_4KernelStoppedBeforeTheRunIsKnown(t *testing.T) {
	for name, begin := range map[string]func(w *world) workload.Ref{
		"its start's answer was lost": func(w *world) workload.Ref {
			_, ref := w.lost("ana", notebook)
			return ref
		},
		"nobody registered it": func(w *world) workload.Ref {
			run := notebook
			run.ID = "behind"
			w.engine.add(workload.Observation{Run: run, User: "ana"})
			return run.Ref()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.start("ben", notebook) // so that the endpoint is watched
			w.pass(time.Second)
			ref := begin(w)
			w.engine.hide = map[workload.Ref]bool{ref: true}
			w.say(app.Fact{Event: session.Event{ID: "k-1", Kind: session.KernelStopped, At: w.now.Add(time.Second), User: "ana", Run: ref}})
			w.pass(20 * time.Second)
			w.engine.hide = nil
			w.pass(5 * time.Minute)
			if s := w.only(ref); s.Status != session.Ended || s.End.Cause != session.CauseKernelStopped {
				t.Errorf("S2.4 the session of a run whose kernel was stopped is %s %q", s.Status, s.End.Cause)
			}
		})
	}
}

// TestS2_4AClaimThatCannotBeReadDisprovesNoStart: the run is listed with its
// session's stamp, and whose it is cannot be read: that it was started stands.
func TestS2_4AClaimThatCannotBeReadDisprovesNoStart(t *testing.T) {
	for name, out := range map[string]bool{"active": false, "ending": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s, ref := w.lost("ana", training)
			w.engine.hide = map[workload.Ref]bool{ref: true}
			w.engine.partial = true
			if out {
				w.say(w.fact(session.SignOut, "ana", "out-1"))
			}
			w.pass(cadence.MinimumAge + time.Minute)
			unread := 0
			w.app.Store = &hooked{Store: w.app.Store, claimed: func() error { unread++; return fault.New("claimed", fault.Throttled, errDown) }}
			w.engine.hide, w.engine.partial = nil, false
			w.pass(2 * time.Minute)
			if got := w.get(s.ID); unread == 0 || got.Status == session.Ended {
				t.Errorf("S2.4 after %d claims that could not be read the session is %s %q", unread, got.Status, got.End.Cause)
			}
		})
	}
}
