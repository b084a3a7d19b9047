package app_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// born puts a run into the engine that Nightshift did not start.
func (w *world) born(run workload.Run, id, user string) *fakeRun {
	run.ID = id
	return w.engine.add(workload.Observation{Run: run, User: user})
}

// only is the one session of a run.
func (w *world) only(ref workload.Ref) session.Session {
	w.t.Helper()
	id, err := w.store.Claimed(w.t.Context(), ref)
	if err != nil {
		w.t.Fatalf("nobody owns %s: %v", ref.ID, err)
	}
	for _, s := range w.all() {
		if s.Run.Ref() == ref && s.ID != id {
			w.t.Fatalf("two sessions have run %s: %s and %s", ref.ID, id, s.ID)
		}
	}
	return w.get(id)
}

func TestS3_3UnknownRunIsAdoptedUnderItsUser(t *testing.T) {
	for _, c := range []struct {
		run  workload.Run
		mode session.Mode
	}{{training, session.Interactive}, {jobRun, session.Background}, {notebook, session.Background}} {
		w := newWorld(t)
		w.app.Endpoints = []string{c.run.Endpoint}
		c.run.MaxRuntime = 2 * time.Hour
		r := w.born(c.run, "somebody's", "ana")
		created := w.now
		w.pass(cadence.Settled + cadence.Sweep)
		s := w.only(r.o.Run.Ref())
		if s.User != "ana" || s.Mode != c.mode || s.Origin != session.Adopted || s.Status != session.Active || !s.OpenedAt.Equal(created) {
			t.Errorf("%s: adopted as %s of %s, %s, %s, opened %s", c.run.Engine, s.Mode, s.User, s.Origin, s.Status, s.OpenedAt)
		}
		if s.Run.MaxRuntime != 2*time.Hour {
			t.Errorf("S1.9: MaxRuntime %s was not read from the engine", s.Run.MaxRuntime)
		}
		w.pass(10 * time.Minute)
		if len(w.engine.stops) != 0 || len(w.all()) != 1 {
			t.Errorf("%d stops, %d sessions", len(w.engine.stops), len(w.all()))
		}
	}
}

func TestS2_10AdoptedRunIsComparedByItsCreation(t *testing.T) {
	w := newWorld(t)
	w.app.Endpoints = []string{sagemaker}
	before := w.born(training, "before", "ana")
	w.pass(30 * time.Second)
	out := w.now
	w.pass(30 * time.Second)
	after := w.born(training, "after", "ana")
	w.engine.hide = map[workload.Ref]bool{before.o.Run.Ref(): true, after.o.Run.Ref(): true}
	w.say(app.Fact{Event: session.Event{ID: "out-1", Kind: session.SignOut, At: out, User: "ana", By: "ana"}})
	w.pass(2 * time.Minute) // the fan-out has long been complete
	w.engine.hide = nil
	w.pass(15 * time.Minute)
	if s := w.only(before.o.Run.Ref()); s.Status != session.Ended || s.End.Cause != session.CauseSignOut {
		t.Errorf("created before the sign-out: %s, %q", s.Status, s.End.Cause)
	}
	if s := w.only(after.o.Run.Ref()); s.Status != session.Active {
		t.Errorf("created after the sign-out: %s, %q", s.Status, s.End.Cause)
	}
}

func TestS3_3OrphanIsFlaggedOnceAndNeverStopped(t *testing.T) {
	w := newWorld(t)
	w.app.Endpoints = []string{onEKS}
	r := w.born(jobRun, "nobody's", "")
	w.start("ana", jobRun)
	w.pass(20 * time.Minute)
	w.say(w.fact(session.RevokeBackground, "ana", "r-1"))
	w.pass(20 * time.Minute)
	if n := w.says.ids("orphan-found", "", ""); len(n) != 1 || w.meter.counts[app.MetricOrphans] != 1 {
		t.Errorf("flagged %v, counted %d", n, w.meter.counts[app.MetricOrphans])
	}
	if len(r.asked) != 0 || len(w.all()) != 1 {
		t.Errorf("the orphan was asked %d times; %d sessions", len(r.asked), len(w.all()))
	}
}

func TestOrphanFlagIsSaidAgainWhereItWasLost(t *testing.T) {
	w := newWorld(t)
	w.app.Endpoints = []string{onEKS}
	w.born(jobRun, "nobody's", "")
	w.says.fail = func(app.Announcement) error { return errDown }
	w.pass(cadence.BirthWithin + cadence.Settled)
	w.says.fail = nil
	w.pass(20 * time.Minute)
	if n := w.says.ids("orphan-found", "", ""); len(n) != 1 {
		t.Errorf("the bus was down when the orphan was found, and it is flagged %d times", len(n))
	}
}

func TestS1_3BatchesAreNeverOwned(t *testing.T) {
	w := newWorld(t)
	w.app.Endpoints = []string{livy}
	batch := notebook
	batch.Kind = workload.LivyBatch
	r := w.born(batch, "batch-1", "ana")
	w.pass(15 * time.Minute)
	if n := len(w.all()); n != 0 || len(r.asked) != 0 || len(w.says.said) != 0 {
		t.Errorf("%d sessions, %d stops, %d announcements", n, len(r.asked), len(w.says.said))
	}
}

func TestS2AbsenceCountsOnlyWhenConfirmed(t *testing.T) {
	for _, c := range []struct {
		name            string
		partial, gone   bool
		young           bool
		describeAnswers error
		lost            bool
	}{
		{name: "complete, old, Describe says Gone", gone: true, lost: true},
		{name: "complete, old, Describe still knows it"},
		{name: "incomplete", gone: true, partial: true},
		{name: "young", gone: true, young: true},
		{name: "Describe fails", gone: true, describeAnswers: errDown},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			s := w.start("ana", jobRun)
			if !c.young {
				w.pass(3 * time.Minute)
			}
			set := map[workload.Ref]bool{s.Run.Ref(): true}
			w.engine.partial, w.engine.hide = c.partial, set
			if c.gone {
				w.engine.forget = set
			}
			if c.describeAnswers != nil {
				w.app.Engines["emr-containers"] = blind{w.engine, c.describeAnswers}
			}
			w.pass(90 * time.Second)
			status, cause := session.Active, session.Cause("")
			if c.lost {
				status, cause = session.Ended, session.CauseLost
			}
			w.must(s.ID, status, cause)
			if n := w.says.ids("alert", s.ID, "lost"); (len(n) == 1) != c.lost {
				t.Errorf("alerts: %v", n)
			}
			if c.young {
				w.pass(3 * time.Minute)
				w.must(s.ID, session.Ended, session.CauseLost)
			}
			if len(w.engine.of(s).asked) != 0 {
				t.Error("it was asked to stop")
			}
		})
	}
}

// blind is an engine whose Describe fails.
type blind struct {
	*engine
	err error
}

func (b blind) Describe(contextT, workload.Run) (workload.Observation, error) {
	return workload.Observation{}, b.err
}

func TestS3_5LivyServerDownEndsNothing(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", notebook)
	w.pass(20 * time.Minute)
	w.engine.onList = func(string) error { return fault.New("list", fault.Unknown, errDown) }
	w.pass(2 * time.Hour)
	w.must(s.ID, session.Active, "")
	w.engine.onList = nil
	w.engine.forget = map[workload.Ref]bool{s.Run.Ref(): true}
	w.pass(10 * time.Minute) // it knows no run of its last listing: it was restarted, and their drivers may live on
	w.must(s.ID, session.Active, "")
	w.pass(6 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseLost)
}

func TestS2RunsThatEndByThemselvesClose(t *testing.T) {
	for state, want := range map[workload.State]session.Cause{workload.Succeeded: session.CauseFinished, workload.Failed: session.CauseFailed, workload.Stopped: session.CauseStoppedElsewhere} {
		w := newWorld(t)
		s := w.start("ana", jobRun)
		w.pass(time.Minute)
		w.engine.of(s).stopAt, w.engine.of(s).over = w.now, state
		w.pass(2 * time.Minute)
		w.must(s.ID, session.Ended, want)
		if len(w.engine.stops) != 0 {
			t.Errorf("%s: it was asked to stop", state)
		}
		if n := len(w.waiters.released); n != 1 || w.waiters.released[0].outcome.Succeeded != (state == workload.Succeeded) {
			t.Errorf("%s: released %v", state, w.waiters.released)
		}
	}
}

func TestS3_2AnnouncedStateIsAHint(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", jobRun)
	w.pass(10 * time.Second)
	o := workload.Observation{Run: s.Run, State: workload.Succeeded, At: w.now}
	w.say(app.RunChange{EventID: "e-1", Observation: o})
	w.say(app.RunChange{EventID: "e-1", Observation: o})
	w.must(s.ID, session.Ended, session.CauseFinished)
	w.engine.of(s).stopAt, w.engine.of(s).over = w.now, workload.Succeeded
	stranger := o
	stranger.Run.ID = "of-nobody"
	w.say(app.RunChange{EventID: "e-2", Observation: stranger})
	if len(w.all()) != 1 {
		t.Error("a state change made a session")
	}
	// A word older than the start is about a namesake.
	again := w.start("ana", jobRun)
	o.Run, o.At = again.Run, w.now.Add(-time.Hour)
	w.say(app.RunChange{EventID: "e-3", Observation: o})
	w.must(again.ID, session.Active, "")
}

func TestS2_3ZombieIsANewSessionBornEnding(t *testing.T) {
	for _, adopted := range []bool{false, true} {
		t.Run(fmt.Sprintf("adopted=%v", adopted), func(t *testing.T) {
			w := newWorld(t)
			w.app.Endpoints = []string{onEKS}
			var s session.Session
			if adopted {
				w.born(jobRun, "somebody's", "ana")
				w.pass(3 * time.Minute)
				s = w.only(w.engine.order[0])
			} else {
				s = w.start("ana", jobRun)
				w.pass(3 * time.Minute)
			}
			w.engine.forget = map[workload.Ref]bool{s.Run.Ref(): true}
			w.pass(2 * time.Minute)
			w.must(s.ID, session.Ended, session.CauseLost)
			head := w.get(s.ID).Head
			w.engine.forget = nil // the engine was wrong: it runs on
			w.pass(10 * time.Minute)
			zombie := w.zombieOf(s.ID)
			if first := w.history(zombie.ID)[0]; first.To != session.Ending || zombie.Origin != session.Zombie || zombie.User != "ana" {
				t.Errorf("born %s, origin %s, of %s", first.To, zombie.Origin, zombie.User)
			}
			w.must(zombie.ID, session.Ended, session.CauseZombie)
			if w.get(s.ID).Head != head {
				t.Error("the ended session was changed")
			}
			if asked := w.engine.of(s).asked; len(asked) == 0 {
				t.Error("the zombie was not asked to stop")
			}
		})
	}
}

func (w *world) zombieOf(id string) session.Session {
	w.t.Helper()
	var found []session.Session
	for _, s := range w.all() {
		if s.Previous == id {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		w.t.Fatalf("%d sessions follow %s, should be one", len(found), id)
	}
	return found[0]
}

// A zombie's run that is alive after the zombie's session ENDED is a new
// session again.
func TestS2_3ZombieOfAZombie(t *testing.T) {
	w := newWorld(t)
	w.app.Endpoints = []string{onEKS}
	s := w.start("ana", jobRun)
	ref := map[workload.Ref]bool{s.Run.Ref(): true}
	w.engine.of(s).stubborn = true
	w.pass(3 * time.Minute)
	id := s.ID
	for range 3 {
		w.engine.forget = ref
		w.pass(10 * time.Minute)
		if got := w.get(id); got.Status != session.Ended {
			t.Fatalf("%s is %s", id, got.Status)
		}
		w.engine.forget = nil
		w.pass(10 * time.Minute)
		id = w.zombieOf(id).ID
		w.must(id, session.Ending, session.CauseZombie)
	}
	w.engine.of(s).stopAt = w.now
	w.pass(3 * time.Minute)
	w.must(id, session.Ended, session.CauseZombie)
}

func TestS2_3ListingOlderThanTheEndMakesNoZombie(t *testing.T) {
	for _, lag := range []time.Duration{0, 20 * time.Second} { // the index may not show the session yet
		w := newWorld(t, indexLag(lag))
		w.deaf, w.unswept = true, true
		s := w.start("ana", jobRun)
		w.engine.onList = func(string) error {
			// While the listing is under way the run ends and the news overtakes it.
			w.engine.onList = nil
			w.now = w.now.Add(time.Second)
			w.say(app.RunChange{EventID: "e-1", Observation: workload.Observation{Run: s.Run, State: workload.Succeeded, At: w.now}})
			return nil
		}
		if _, err := w.app.Watch(t.Context(), onEKS, 9); err != nil {
			t.Fatal(err)
		}
		w.must(s.ID, session.Ended, session.CauseFinished)
		if n := len(w.all()); n != 1 {
			t.Errorf("index lag %s: %d sessions", lag, n)
		}
		// One that is on its way out is none either.
		w.pass(time.Second)
		w.engine.of(s).asked = append(w.engine.of(s).asked, w.now)
		if _, err := w.app.Watch(t.Context(), onEKS, 9); err != nil {
			t.Fatal(err)
		}
		if n := len(w.all()); n != 1 {
			t.Errorf("index lag %s: a STOPPING run of an ended session made %d sessions", lag, n)
		}
	}
}

// Two runs with one stamp (a start that was not idempotent after all): the news
// of one never decide about the other.
func TestS2_5SecondRunWithTheSameStamp(t *testing.T) {
	for _, how := range []string{"watch", "drain"} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t)
			s := w.start("ana", jobRun)
			w.pass(time.Minute)
			twin := s.Run
			twin.ID = "twin"
			r := w.engine.add(workload.Observation{Run: twin, Stamp: s.ID, User: "ana"})
			if how == "drain" {
				w.say(w.fact(session.RevokeBackground, "ana", "r-1"))
				w.engine.of(s).stubborn = true
				w.pass(10 * time.Second)
			}
			r.stopAt, r.over = w.now, workload.Succeeded
			w.pass(3 * time.Minute)
			if now := w.get(s.ID); now.Status == session.Ended {
				t.Errorf("the session ended (%s) because its twin's run did", now.End.Cause)
			}
			w.engine.of(s).stopAt = w.now
			w.pass(3 * time.Minute)
			if now := w.get(s.ID); now.Status != session.Ended {
				t.Errorf("the session is %s", now.Status)
			}
		})
	}
}

// A birth and its run in any order, twice, minutes apart: one session.
func TestS3_3BirthInAnyOrderIsOneSession(t *testing.T) {
	type step struct {
		name string
		do   func(*world, session.Session, workload.Run)
	}
	birth := func(user string, stamped bool) step {
		return step{fmt.Sprintf("birth(user=%q, stamped=%v)", user, stamped), func(w *world, s session.Session, run workload.Run) {
			m := app.Birth{EventID: "birth-1", User: user, Run: run, At: began, By: "role"}
			if stamped {
				m.Stamp = s.ID
			}
			w.say(m)
		}}
	}
	token := step{"token", func(w *world, _ session.Session, run workload.Run) {
		w.say(app.Fact{Event: session.Event{ID: "token-1", Kind: session.BackgroundTokenIssued, At: began, User: "ana", Run: run.Ref()}})
	}}
	listing := step{"listing", func(w *world, _ session.Session, run workload.Run) {
		if _, err := w.app.Watch(w.t.Context(), run.Endpoint, 99); err != nil {
			w.t.Fatal(err)
		}
	}}
	again := step{"start-run", func(w *world, s session.Session, _ workload.Run) {
		if err := w.app.StartRun(w.t.Context(), app.StartRequest{SessionID: s.ID, Token: "tok-2", Spec: []byte("{}")}); err != nil {
			w.t.Fatal(err)
		}
	}}
	cases := 0
	for _, b := range []step{birth("ana", true), birth("", true), birth("ana", false), birth("", false)} {
		for _, order := range permutations([]step{b, token, listing, again}) {
			for _, twice := range []bool{false, true} {
				for _, gap := range []time.Duration{0, time.Second, 3 * time.Minute} {
					for _, run := range []workload.Run{training, jobRun} {
						cases++
						w := newWorld(t)
						w.unswept, w.deaf = true, true
						w.engine.lose = 1
						s := w.open("ana", run)
						if err := w.app.StartRun(t.Context(), app.StartRequest{SessionID: s.ID, Token: "tok-1", Spec: []byte("{}")}); err == nil {
							t.Fatal("the answer was lost and the start succeeded")
						}
						real := w.engine.runs[w.engine.order[0]].o.Run
						name := ""
						for _, st := range order {
							name += st.name + ", "
							st.do(w, s, real)
							if twice {
								st.do(w, s, real)
							}
							w.pass(gap)
						}
						got := w.get(s.ID)
						if n := len(w.all()); n != 1 || got.Run.ID != real.ID || got.Status != session.Active || w.only(real.Ref()).ID != s.ID {
							t.Fatalf("%stwice=%v, %s apart, %s: %d sessions; it is %s with run %q", name, twice, gap, run.Engine, n, got.Status, got.Run.ID)
						}
						if got.TokenAt.IsZero() || got.Mode != session.Background {
							t.Fatalf("%stwice=%v: the token did not reach it: %s", name, twice, got.Mode)
						}
						if len(w.engine.order) != 1 {
							t.Fatalf("%s: %d runs were started", name, len(w.engine.order))
						}
					}
				}
			}
		}
	}
	t.Logf("%d orders", cases)
	if cases == 0 {
		t.Fatal("nothing was looked at")
	}
}

func TestS3_3BirthOfSomebodysOwnRunInAnyOrder(t *testing.T) {
	cases := 0
	for _, order := range permutations([]string{"birth", "token", "listing"}) {
		for _, gap := range []time.Duration{0, 3 * time.Minute} {
			cases++
			w := newWorld(t)
			w.unswept, w.deaf = true, true
			r := w.born(training, "somebody's", "ana")
			run := r.o.Run
			for range 2 {
				for _, what := range order {
					switch what {
					case "birth":
						w.say(app.Birth{EventID: "birth-1", User: "ana", Run: run, At: began, By: "ana"})
					case "token":
						w.say(app.Fact{Event: session.Event{ID: "token-1", Kind: session.BackgroundTokenIssued, At: began, User: "ana", Run: run.Ref()}})
					case "listing":
						if _, err := w.app.Watch(t.Context(), sagemaker, 99); err != nil {
							t.Fatal(err)
						}
					}
					w.pass(gap)
				}
			}
			s := w.only(run.Ref())
			if n := len(w.all()); n != 1 || s.User != "ana" || s.Mode != session.Background || !s.OpenedAt.Equal(began) {
				t.Errorf("%v, %s apart: %d sessions; %s of %s, opened %s", order, gap, n, s.Mode, s.User, s.OpenedAt)
			}
			if n := w.says.ids("alert", s.ID, "policy-drift"); len(n) > 1 {
				t.Errorf("%v: drift was alerted %d times", order, len(n))
			}
		}
	}
	if cases != 12 {
		t.Fatalf("%d orders", cases)
	}
}

func permutations[T any](in []T) [][]T {
	if len(in) == 0 {
		return [][]T{nil}
	}
	var out [][]T
	for i, first := range in {
		rest := append(append([]T(nil), in[:i]...), in[i+1:]...)
		for _, p := range permutations(rest) {
			out = append(out, append([]T{first}, p...))
		}
	}
	return out
}

func TestS3_3TokenIsABirthOfTheRunItNames(t *testing.T) {
	for id, want := range map[string]workload.Engine{"training-job/a": workload.SageMakerTraining, "processing-job/a": workload.SageMakerProcessing, "pipeline/a/execution/b": workload.SageMakerPipeline} {
		w := newWorld(t)
		run := training
		run.Engine = want
		r := w.born(run, id, "ana")
		w.say(app.Fact{Event: session.Event{ID: "t-1", Kind: session.BackgroundTokenIssued, At: w.now, User: "ana", Run: r.o.Run.Ref()}})
		if s := w.only(r.o.Run.Ref()); s.Run.Engine != want || s.Mode != session.Background {
			t.Errorf("%s: %s, %s", id, s.Run.Engine, s.Mode)
		}
		w.pass(time.Minute)
	}
	w := newWorld(t)
	w.say(app.Fact{Event: session.Event{ID: "k-1", Kind: session.KernelStopped, At: w.now, Run: workload.Ref{Endpoint: livy, ID: "of-nobody"}}})
	w.say(app.Fact{Event: session.Event{ID: "t-1", Kind: session.BackgroundTokenIssued, At: w.now, Run: workload.Ref{Endpoint: onEKS, ID: "of-nobody"}}})
	if n := len(w.all()); n != 0 || w.meter.counts[app.MetricIgnored] != 2 {
		t.Errorf("%d sessions, %d ignored", n, w.meter.counts[app.MetricIgnored])
	}
}

func TestS3_5EndpointWithoutLiveRunsIsListedEach300Seconds(t *testing.T) {
	w := newWorld(t)
	w.app.Endpoints = []string{sagemaker}
	var listed []time.Time
	w.engine.onList = func(string) error { listed = append(listed, w.now); return nil }
	w.pass(time.Hour)
	if len(listed) < 12 || len(listed) > 13 {
		t.Errorf("listed %d times in an hour", len(listed))
	}
	listed = nil
	w.start("ana", training)
	w.pass(time.Hour)
	young, settled := 0, 0
	for i, at := range listed[1:] {
		switch gap := at.Sub(listed[i]); {
		case gap == cadence.Young:
			young++
		case gap == cadence.Settled:
			settled++
		case gap > cadence.Settled:
			t.Errorf("S4.2: not listed for %s", gap)
		}
	}
	if young < 9 || young > 12 || settled < 8 {
		t.Errorf("S4.2: listed %d times at 60 s and %d times at 300 s", young, settled)
	}
}

// S3.5a: a sweep that is throttled looks again, within its first seconds.
func TestS3_5aAThrottledSweepLooksAgain(t *testing.T) {
	w := newWorld(t)
	w.app.Endpoints = []string{sagemaker}
	w.pass(time.Hour)
	behind := w.born(training, "training-job/behind", "ana")
	listed, pauses := 0, 0
	w.app.Pause = func(context.Context, time.Duration) error { pauses++; return nil }
	w.engine.onList = func(string) error {
		if listed++; listed < 3 {
			return fault.New("list", fault.Throttled, errDown)
		}
		return nil
	}
	for listed == 0 {
		w.pass(time.Second)
	}
	if pauses != 2 || w.only(behind.o.Run.Ref()).User != "ana" {
		t.Errorf("listed %d times, %d pauses", listed, pauses)
	}
}

func TestS2_2BusyLivySessionIsNotIdle(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", notebook)
	r := w.engine.of(s)
	r.o.Activity = workload.Activity{Known: true, Busy: true}
	w.pass(30 * time.Hour)
	w.must(s.ID, session.Active, "")
	r.o.Activity = workload.Activity{Known: true, Since: w.now}
	idle := w.now
	w.pass(session.LivyIdleDefault - time.Minute)
	w.must(s.ID, session.Active, "")
	w.pass(5 * time.Minute)
	ended := w.must(s.ID, session.Ended, session.CauseIdle)
	if late := ended.End.Confirmed.Sub(idle.Add(session.LivyIdleDefault)); late < 0 || late > 3*time.Minute {
		t.Errorf("confirmed %s after the idle limit", late)
	}
}

func TestS1_12DeadlinePassesWithoutAnyEvent(t *testing.T) {
	w := newWorld(t)
	run := jobRun
	run.MaxRuntime = 90 * time.Minute
	s := w.start("ana", run)
	w.pass(95 * time.Minute)
	ended := w.must(s.ID, session.Ended, session.CauseMaxRuntime)
	if late := ended.End.Confirmed.Sub(ended.RunningSince.Add(run.MaxRuntime)); late < 0 || late > 2*time.Minute {
		t.Errorf("confirmed %s after the limit", late)
	}
	var before []time.Duration
	for _, a := range w.says.said {
		if a.Effect.Kind == session.Notice {
			before = append(before, a.Effect.Before)
		}
	}
	if len(before) != 2 || before[0] != time.Hour || before[1] != 15*time.Minute {
		t.Errorf("S4.6: notices %s before, should be 1 h and 15 min", before)
	}
	if len(w.meter.lateness[app.MetricStopLateness]) != 1 || len(w.meter.lateness[app.MetricStopLatenessHappened]) != 1 {
		t.Errorf("S2.1: lateness published %v", w.meter.lateness)
	}
}

func TestUnidentifiedRunsAreCounted(t *testing.T) {
	w := newWorld(t)
	w.app.Engines["livy"] = unnamed{w.engine}
	w.app.Endpoints = []string{livy}
	w.pass(time.Minute)
	if w.meter.counts[app.MetricUnidentified] != 3 || len(w.all()) != 0 {
		t.Errorf("counted %d", w.meter.counts[app.MetricUnidentified])
	}
	if _, err := w.app.Watch(t.Context(), "s3/bucket", 1); !fault.Is(err, fault.Invalid) {
		t.Errorf("an endpoint of no engine: %v", err)
	}
	if _, err := w.app.Drain(t.Context(), "s3/bucket", 1); !fault.Is(err, fault.Invalid) {
		t.Errorf("an endpoint of no engine: %v", err)
	}
}

// unnamed lists live runs without a durable name.
type unnamed struct{ *engine }

func (u unnamed) List(contextT, string) (workload.Listing, error) {
	return workload.Listing{Complete: true, Unidentified: 3}, nil
}
