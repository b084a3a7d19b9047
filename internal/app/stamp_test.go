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

// refusedStart is a session whose start the engine refused for good; its runs can
// only be forged.
func (w *world) refusedStart(user string, run workload.Run) session.Session {
	w.t.Helper()
	w.engine.onStart = func(app.Start) error { return fault.New("start", fault.Invalid, errDown) }
	s := w.start(user, run)
	w.engine.onStart = nil
	w.must(s.ID, session.Ended, session.CauseFailed)
	return s
}

// trained puts a training job into the engine, as somebody who is not us started it.
func (w *world) trained(name, user, stamp string) workload.Run {
	run := training
	run.ID = "training-job/" + name
	w.engine.add(workload.Observation{Run: run, User: user, Stamp: stamp})
	return run
}

// newest is the session that a run's claim names: of a zombie's run, the last.
func (w *world) newest(run workload.Run) session.Session {
	w.t.Helper()
	id, err := w.store.Claimed(w.t.Context(), run.Ref())
	if err != nil {
		w.t.Fatalf("nobody owns %s: %v", run.ID, err)
	}
	return w.get(id)
}

// wasStopped checks that a run's newest session ended and that it was asked to stop.
func (w *world) wasStopped(run workload.Run, user string, cause session.Cause) {
	w.t.Helper()
	s := w.newest(run)
	if s.User != user || s.Status != session.Ended || s.End.Cause != cause || len(w.engine.stopsOf(run.Ref())) == 0 {
		w.t.Errorf("%s: %s of %s, cause %q, asked to stop %d times", run.ID, s.Status, s.User, s.End.Cause, len(w.engine.stopsOf(run.Ref())))
	}
}

// TestS2_4NoRunEscapesUnderACopiedStamp: the stamp of a session that has ended
// without a run is nobody's zombie where the engine refused or was never asked;
// and where it may have one, the run that comes late, it has no second.
func TestS2_4NoRunEscapesUnderACopiedStamp(t *testing.T) {
	for name, ended := range map[string]func(*world) session.Session{
		"refused": func(w *world) session.Session { return w.refusedStart("mallory", training) },
		"refused while it was ending": func(w *world) session.Session {
			w.engine.onStart = func(app.Start) error {
				w.say(app.Fact{Event: session.Event{ID: "stop-1", Kind: session.StopRequested, At: w.now, By: "ops",
					Run: workload.Ref{Endpoint: app.SessionRef, ID: app.SessionOfExecution("arn:execution:1")}}})
				return fault.New("start", fault.Invalid, errDown)
			}
			s := w.start("mallory", training)
			w.engine.onStart = nil
			return w.must(s.ID, session.Ended, session.CauseStopRequested)
		},
		"never asked": func(w *world) session.Session {
			s := w.open("mallory", training)
			w.pass(30 * time.Minute)
			return w.must(s.ID, session.Ended, session.CauseFailed)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.app.Endpoints = []string{sagemaker}
			s := ended(w)
			w.pass(time.Minute)
			one := w.trained("one", "mallory", s.ID)
			two := w.trained("two", "", s.ID)
			w.say(app.Birth{EventID: "b-2", User: "mallory", Run: two, Stamp: s.ID, At: w.now, By: "mallory"})
			nobodys := w.trained("three", "", s.ID)
			w.pass(cadence.BirthWithin + 2*cadence.Settled)
			if n := w.says.ids("orphan-found", "", ""); len(n) != 1 || len(w.engine.stopsOf(nobodys.Ref())) != 0 {
				t.Errorf("orphans %v, stops %v", n, w.engine.stopsOf(nobodys.Ref()))
			}
			for _, run := range []workload.Run{one, two} {
				if got := w.only(run.Ref()); got.Status != session.Active || got.Origin != session.Adopted {
					t.Errorf("%s: %s, %s", run.ID, got.Status, got.Origin)
				}
			}
			w.say(w.fact(session.SignOut, "mallory", "out"))
			w.pass(5 * time.Minute)
			w.wasStopped(one, "mallory", session.CauseSignOut)
			w.wasStopped(two, "mallory", session.CauseSignOut)
		})
	}
}

func TestS2_4OneRunIsBornLate(t *testing.T) {
	w := newWorld(t)
	w.app.Endpoints = []string{sagemaker}
	s := w.open("mallory", training)
	if _, err := w.app.Apply(t.Context(), s.ID, session.Event{Kind: session.StartAsked, At: w.now}); err != nil {
		t.Fatal(err)
	}
	w.pass(30 * time.Minute) // disproved: no list has it
	w.must(s.ID, session.Ended, session.CauseFailed)
	one, two := w.trained("one", "", s.ID), w.trained("two", "mallory", s.ID)
	w.pass(10 * time.Minute)
	w.wasStopped(one, "mallory", session.CauseZombie)
	if z := w.only(one.Ref()); z.Origin != session.Zombie || z.Previous != s.ID {
		t.Errorf("the run that came late: %s of %s", z.Origin, z.Previous)
	}
	if got := w.only(two.Ref()); got.Status != session.Active || got.Origin != session.Adopted {
		t.Errorf("the second with its stamp: %s, %s", got.Status, got.Origin)
	}
	w.say(w.fact(session.SignOut, "mallory", "out"))
	w.pass(5 * time.Minute)
	w.wasStopped(two, "mallory", session.CauseSignOut)
}

// TestS2_5TwoRunsWithOneStampInOneListing: the first is the session's; what the
// second does is never its news.
func TestS2_5TwoRunsWithOneStampInOneListing(t *testing.T) {
	w := newWorld(t)
	w.app.Endpoints = []string{sagemaker}
	s := w.open("ana", training)
	if _, err := w.app.Apply(t.Context(), s.ID, session.Event{Kind: session.StartAsked, At: w.now}); err != nil {
		t.Fatal(err)
	}
	one, two := w.trained("one", "ana", s.ID), w.trained("two", "", s.ID)
	w.engine.runs[two.Ref()].stopAt, w.engine.runs[two.Ref()].over = w.now, workload.Failed
	w.pass(5 * time.Minute)
	if got := w.must(s.ID, session.Active, ""); got.Run.Ref() != one.Ref() {
		t.Errorf("it has run %q", got.Run.ID)
	}
}

// TestS3_3OnBehalfOfBeatsTheStamp: AWS writes on whose behalf a run was started;
// who may tag runs could copy another user's stamp.
func TestS3_3OnBehalfOfBeatsTheStamp(t *testing.T) {
	for name, say := range map[string]func(*world, workload.Run, string){
		"a birth that carries it": func(w *world, run workload.Run, stamp string) {
			w.say(app.Birth{EventID: "b", User: "mallory", Run: run, Stamp: stamp, At: w.now, By: "mallory"})
		},
		"a birth of a run that has it": func(w *world, run workload.Run, _ string) {
			w.say(app.Birth{EventID: "b", User: "mallory", Run: run, At: w.now, By: "mallory"})
		},
		"a token": func(w *world, run workload.Run, _ string) {
			w.say(app.Fact{Event: session.Event{ID: "tok", Kind: session.BackgroundTokenIssued, At: w.now, User: "mallory", Run: run.Ref()}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.open("ana", training)
			run := w.trained("mallorys", "", s.ID)
			say(w, run, s.ID)
			if got := w.only(run.Ref()); got.User != "mallory" || got.ID == s.ID {
				t.Fatalf("session %s of %s has it", got.ID, got.User)
			}
			if s := w.must(s.ID, session.Active, ""); s.Run.ID != "" {
				t.Errorf("ana's session has run %q", s.Run.ID)
			}
			w.pass(time.Minute)
			w.say(app.Fact{Event: session.Event{ID: "rev", Kind: session.RevokeBackground, At: w.now, User: "mallory"}})
			w.say(w.fact(session.UserDeleted, "mallory", "gone"))
			w.pass(5 * time.Minute)
			if got := w.only(run.Ref()); got.Status != session.Ended || len(w.engine.stopsOf(run.Ref())) == 0 {
				t.Errorf("mallory is gone: %s, asked %d times", got.Status, len(w.engine.stopsOf(run.Ref())))
			}
			if got := w.get(s.ID); got.Status != session.Active {
				t.Errorf("ana's session is %s", got.Status)
			}
		})
	}
}

// TestS3_5ADescribeThatKnowsNoRunIsNoEnd: right after a failed execution an engine
// may not show the run yet, and a restarted Livy knows none.
func TestS3_5ADescribeThatKnowsNoRunIsNoEnd(t *testing.T) {
	for _, run := range []workload.Run{training, notebook} {
		w := newWorld(t)
		s := w.start("ana", run)
		w.engine.forget = map[workload.Ref]bool{s.Run.Ref(): true}
		w.say(app.ExecutionChange{EventID: "x", Execution: "arn:execution:1", Status: "FAILED", At: w.now})
		w.must(s.ID, session.Ending, session.CauseWaiterAborted)
		w.engine.forget = nil
		w.pass(10 * time.Minute)
		w.must(s.ID, session.Ended, session.CauseWaiterAborted)
		if len(w.engine.stopsOf(s.Run.Ref())) == 0 {
			t.Errorf("%s: it was not asked to stop", run.Endpoint)
		}
	}
}

// TestS3_3AJobThatAStepNamedIsItsPipelines: neither its birth nor its token makes it
// a session of its own.
func TestS3_3AJobThatAStepNamedIsItsPipelines(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", pipeline)
	job := w.part(w.get(s.ID).Run, "training-job/pipelines-1").o.Run
	w.say(app.RunChange{EventID: "st", Part: job.Ref(), Observation: workload.Observation{Run: w.get(s.ID).Run, State: workload.Running, At: w.now}})
	w.say(app.Birth{EventID: "b", User: "ana", Run: job, At: w.now, By: "ana"})
	w.say(app.Fact{Event: session.Event{ID: "tok", Kind: session.BackgroundTokenIssued, At: w.now, User: "ana", Run: job.Ref()}})
	w.pass(5 * time.Minute)
	if all := w.all(); len(all) != 1 {
		t.Errorf("%d sessions", len(all))
	}
}

// TestS1_13ATokenThatComesFirst: its record names no user, and nobody owns the run
// yet; it proves background all the same.
func TestS1_13ATokenThatComesFirst(t *testing.T) {
	for name, known := range map[string]func(*world, workload.Run){
		"then the birth": func(w *world, run workload.Run) {
			w.say(app.Birth{EventID: "b", User: "ana", Run: run, At: w.now, By: "ana"})
		},
		"then the listing": func(w *world, run workload.Run) {
			w.engine.runs[run.Ref()].o.User = "ana"
			w.pass(6 * time.Minute)
		},
		"then a token with a user": func(w *world, run workload.Run) {
			w.say(app.Fact{Event: session.Event{ID: "tok-0", Kind: session.BackgroundTokenIssued, At: began, User: "ana", Run: run.Ref()}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.app.Endpoints = []string{sagemaker}
			w.pass(time.Minute)
			run := w.trained("X", "", "")
			lower := workload.Ref{Endpoint: sagemaker, ID: "training-job/x"} // as its ARN has it
			at := w.now
			w.say(app.Fact{Event: session.Event{ID: "tok", Kind: session.BackgroundTokenIssued, At: at, Run: lower}})
			w.pass(2 * time.Second)
			known(w, run)
			s := w.only(run.Ref())
			if want := at.Add(s.Policy.BackgroundDuration); s.Mode != session.Background || !s.Own.At.Equal(want) {
				t.Fatalf("mode %s, until %v; should be background until %v", s.Mode, s.Own.At, want)
			}
			w.say(w.fact(session.SignOut, "ana", "out"))
			w.pass(5 * time.Minute)
			w.must(s.ID, session.Active, "")
		})
	}
}

// TestS2_3APipelineThatIsRetriedIsNoZombie: its execution was seen over, so it is
// not "still alive"; whoever retried it at AWS has it adopted for its user.
func TestS2_3APipelineThatIsRetriedIsNoZombie(t *testing.T) {
	for _, over := range []workload.State{workload.Failed, workload.Stopped, workload.Succeeded} {
		w := newWorld(t)
		w.app.Endpoints = []string{sagemaker}
		s := w.start("ana", pipeline)
		w.pass(3 * time.Minute)
		r := w.engine.of(w.get(s.ID))
		r.stopAt, r.over = w.now, over
		w.pass(3 * time.Minute)
		ended := w.get(s.ID)
		if ended.Status != session.Ended {
			t.Fatalf("%s: %s", over, ended.Status)
		}
		r.stopAt = time.Time{}
		w.pass(10 * time.Minute)
		again := w.newest(r.o.Run)
		if again.Status != session.Active || again.Origin != session.Adopted || again.User != "ana" || again.Previous != s.ID || len(r.asked) != 0 {
			t.Fatalf("%s: %s, %s, of %s, after %q, asked %d times", over, again.Status, again.Origin, again.User, again.Previous, len(r.asked))
		}
		w.say(w.fact(session.SignOut, "ana", "out"))
		w.pass(5 * time.Minute)
		w.wasStopped(r.o.Run, "ana", session.CauseSignOut)
		r.stopAt, r.asked = time.Time{}, nil // what we ended, and lives, is a zombie
		w.pass(5 * time.Minute)
		w.wasStopped(r.o.Run, "ana", session.CauseZombie)
	}
}
