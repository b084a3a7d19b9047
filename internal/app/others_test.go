package app_test

import (
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// S2.5: a run that carries a session's stamp and belongs to another session is that
// one's: the look is not spoilt by it, the session without a run is not given its
// news, and ending that session asks nobody else's run to stop.
func TestS2_5ARunOfAnotherSessionIsNoNewsOfThisOne(t *testing.T) {
	for name, ending := range map[string]bool{"active": false, "ending": true} {
		for what, over := range map[string]bool{"that lives": false, "that is over": true} {
			t.Run(name+", a run "+what, func(t *testing.T) {
				w := newWorld(t)
				w.app.Endpoints = []string{sagemaker}
				w.engine.onStart = func(app.Start) error { return fault.New("start", fault.Unknown, errDown) }
				s := w.open("mallory", training)
				_ = w.app.StartRun(t.Context(), app.StartRequest{SessionID: s.ID, Token: "t", Spec: []byte("{}")})
				run := training
				run.ID = "training-job/bens"
				r := w.engine.add(workload.Observation{Run: run, Stamp: s.ID})
				w.say(app.Birth{EventID: "b-1", User: "ben", Run: run, Stamp: s.ID, At: w.now})
				bens := w.only(run.Ref())
				if bens.ID == s.ID || bens.User != "ben" {
					t.Fatalf("the run is of %s, session %s", bens.User, bens.ID)
				}
				if over {
					r.stopAt, r.over = w.now, workload.Succeeded
					w.say(app.RunChange{EventID: "over", Observation: workload.Observation{Run: run, State: workload.Succeeded, At: w.now}})
					w.must(bens.ID, session.Ended, session.CauseFinished)
				}
				if ending {
					w.say(w.fact(session.UserDisabled, "mallory", "d-1"))
				}
				w.pass(cadence.StartWithin + cadence.Settled)
				if e, err := w.store.Endpoint(t.Context(), sagemaker); err != nil || w.now.Sub(e.LastListed) > cadence.Settled+cadence.Sweep {
					t.Errorf("the last look that was settled was at %s, %v; it is %s", e.LastListed, err, w.now)
				}
				if got := w.get(s.ID); got.Status != session.Ended || got.Run.ID != "" {
					t.Errorf("mallory's session is %s with the run %q", got.Status, got.Run.ID)
				}
				if got := w.get(bens.ID); len(r.asked) != 0 || !over && got.Status != session.Active {
					t.Errorf("ben's session is %s, his run was asked to stop %d times", got.Status, len(r.asked))
				}
			})
		}
	}
}

// S2.3: a session whose run's claim was moved to another is not kept alive by that
// run: it is gone from it.
func TestS2_3ARunWhoseClaimWasMovedKeepsNobodyAlive(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", jobRun)
	w.pass(4 * time.Minute)
	if err := w.store.Reclaim(t.Context(), s.Run.Ref(), s.ID, "s-other"); err != nil {
		t.Fatal(err)
	}
	w.engine.hide = map[workload.Ref]bool{s.Run.Ref(): true} // from the list; described it runs
	w.pass(3 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseLost)
	if len(w.engine.stops) != 0 {
		t.Errorf("%d stops of another's run", len(w.engine.stops))
	}
}

// S2.1: what may live on of a run that is over is ended before its session is
// closed; where that cannot be asked the session stays open.
func TestS2_1WhatRemainsOfARunIsEndedFirst(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", notebook)
	w.pass(4 * time.Minute)
	r := w.engine.of(s)
	r.stopAt, r.over, r.o.Remains = w.now, workload.Failed, true
	w.engine.onStop = func(workload.Run) error { return fault.New("stop", fault.Unknown, errDown) }
	w.pass(4 * time.Minute)
	w.must(s.ID, session.Active, "")
	if len(w.engine.stops) == 0 || len(r.asked) != 0 {
		t.Fatalf("tried %d times, %d of them taken", len(w.engine.stops), len(r.asked))
	}
	w.engine.onStop = nil
	w.pass(2 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseFailed)
	if len(r.asked) != 1 {
		t.Errorf("asked %d times", len(r.asked))
	}
}

// S2.11, S2.14: a job's own name, learnt late or anew with each list, is no news: no
// entry is written for it, and nothing that counts from news begins again.
func TestS2_11AJobsOwnNameIsNoNews(t *testing.T) {
	w := newWorld(t)
	w.app.Endpoints = []string{sagemaker}
	run := training
	run.ID, run.Name = "training-job/churn-model-1", "Churn-Model-1"
	r := w.engine.add(workload.Observation{Run: run})
	nameless := run
	nameless.Name = ""
	w.say(app.Birth{EventID: "b-1", User: "ana", Run: nameless, At: w.now})
	w.say(app.RunChange{EventID: "r-1", Observation: workload.Observation{Run: nameless, State: workload.Running, At: w.now, RunningSince: w.now}})
	s := w.only(run.Ref())
	before := len(w.history(s.ID))
	w.pass(3 * time.Hour)
	for _, name := range []string{"Churn-Model-1", "churn-MODEL-1"} {
		r.o.Run.Name = name
		w.pass(30 * time.Minute)
	}
	if n := len(w.history(s.ID)); n != before {
		t.Errorf("%d entries were written of a name", n-before)
	}
	if got := w.get(s.ID); !got.RunningSince.Equal(s.RunningSince) || got.Activity != s.Activity {
		t.Errorf("running since %s, then %s; %+v, then %+v", s.RunningSince, got.RunningSince, s.Activity, got.Activity)
	}
	w.say(w.fact(session.SignOut, "ana", "out-1"))
	w.pass(2 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseSignOut)
}
