package app_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// runs plays Step Functions for restarts.
type runs struct {
	missing  string // what the next attempt lacks
	input    error
	started  []string       // names, in turn
	dead     map[string]int // executions of these names have ended; how often they were asked for
	refusing error
}

func (r *runs) Input(_ context.Context, execution string) ([]byte, error) {
	return []byte(`{"of":"` + execution + `"}`), r.input
}

func (r *runs) Execution(name string) string { return "arn:execution:" + name }

func (r *runs) Run(_ context.Context, name string, input []byte) (string, error) {
	if _, dead := r.dead[name]; dead {
		r.dead[name]++
		return "", fault.Newf("start", fault.Conflict, "%s has ended", name)
	}
	if !slices.Contains(r.started, name) {
		r.started = append(r.started, name)
	}
	return r.Execution(name), r.refusing
}

func restartable(t *testing.T) (*world, *runs) {
	w, r := newWorld(t), &runs{dead: map[string]int{}}
	w.app.Runs = r
	w.app.Again = func(input []byte, of string) (app.Attempt, error) {
		return app.Attempt{Input: append(input, of...), Name: "churn-r2", Checkpoint: "s3://bucket/c/", Missing: r.missing}, nil
	}
	return w, r
}

// stopped is a session of u-ana's whose run was stopped.
func (w *world) stopped(run workload.Run) session.Session {
	w.t.Helper()
	s := w.start("u-ana", run)
	w.pass(3 * time.Minute)
	w.say(app.Fact{Event: session.Event{Kind: session.StopRequested, ID: "stop-" + s.ID, At: w.now, Known: w.now, Run: workload.Ref{Endpoint: app.SessionRef, ID: s.ID}, By: "u-ana"}})
	w.pass(10 * time.Minute)
	return w.must(s.ID, session.Ended, session.CauseStopRequested)
}

// reopened opens the session of an execution that restarts one.
func (w *world) reopened(execution string, of session.Session) (session.Session, error) {
	run := of.Run
	run.ID = ""
	return w.app.OpenSession(w.t.Context(), app.OpenRequest{Execution: execution, User: of.User, Run: run, Previous: of.ID})
}

// S4.4: asked twice, or by two ways, one run is started; the records name each
// other.
func TestRestart(t *testing.T) {
	w, r := restartable(t)
	old := w.stopped(training)
	act := app.Act{Who: user("u-ana"), Key: "restart-key", Why: "the evening"}
	first, err := w.app.Restart(t.Context(), act, old.ID)
	if err != nil || first.Attempt != "churn-r2" || first.Checkpoint != "s3://bucket/c/" || first.Session != app.SessionOfExecution(first.Execution) || first.ID != "restart-key" {
		t.Fatalf("%+v %v", first, err)
	}
	for _, who := range []app.Actor{user("u-ana"), root} {
		if again, err := w.app.Restart(t.Context(), app.Act{Who: who}, old.ID); err != nil || again.Session != first.Session {
			t.Errorf("asked again by %s: %+v %v", who.Name, again, err)
		}
	}
	if want := []string{"restart-" + old.ID + "-1"}; !slices.Equal(r.started, want) {
		t.Errorf("started %v, want %v", r.started, want)
	}
	next, err := w.reopened(first.Execution, old)
	if err != nil || next.ID != first.Session || next.Previous != old.ID || next.Origin != session.Started {
		t.Fatalf("%+v %v", next, err)
	}
	if id, err := w.app.Successor(t.Context(), old.ID); err != nil || id != next.ID {
		t.Errorf("the successor is %q %v", id, err)
	}
	if same, err := w.reopened(first.Execution, old); err != nil || same.ID != next.ID {
		t.Errorf("opened again: %s %v", same.ID, err)
	}
	if other, err := w.reopened("arn:execution:by-hand", old); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), next.ID) {
		t.Errorf("a second successor: %s %v", other.ID, err)
	}
	late, err := w.app.Restart(t.Context(), app.Act{Who: root, Key: "much-later"}, old.ID)
	if err != nil || late.Session != next.ID || late.Execution != "" || len(r.started) != 1 {
		t.Errorf("%+v %v, started %v", late, err, r.started)
	}
	if _, err := w.app.Restart(t.Context(), app.Act{Who: root, Key: "restart-key"}, w.stopped(jobRun).ID); !fault.Is(err, fault.Conflict) {
		t.Errorf("a key that was used for another restart: %v", err)
	}
	if after := w.get(old.ID); after.Version != old.Version {
		t.Error("S2.3 the ended session has changed")
	}
}

// An execution that died before it opened a session does not bar the restart.
func TestRestartAfterAnExecutionThatDied(t *testing.T) {
	w, r := restartable(t)
	old := w.stopped(training)
	for n := 1; n <= 3; n++ {
		r.dead[fmt.Sprintf("restart-%s-%d", old.ID, n)] = 0
	}
	got, err := w.app.Restart(t.Context(), app.Act{Who: root}, old.ID)
	if want := r.Execution("restart-" + old.ID + "-4"); err != nil || got.Execution != want {
		t.Errorf("%+v %v, want %s", got, err, want)
	}
	for n := range 40 {
		r.dead[fmt.Sprintf("restart-%s-%d", old.ID, n)] = 0
	}
	if _, err := w.app.Restart(t.Context(), app.Act{Who: root}, old.ID); !fault.Is(err, fault.Conflict) {
		t.Errorf("without end: %v", err)
	}
}

// S4.4: what cannot be started again, why, and what to do.
func TestRestartRefuses(t *testing.T) {
	for _, c := range []struct {
		name    string
		plan    func(w *world, r *runs) string // answers the session
		reason  string
		remedy  string
		passing bool
	}{
		{"S4.4 at work", func(w *world, _ *runs) string { return w.start("u-ana", training).ID }, "is ACTIVE", "Stop it first", false},
		{"S4.4 being stopped", func(w *world, _ *runs) string {
			s := w.start("u-ana", training)
			w.pass(3 * time.Minute)
			w.engine.onStop = func(workload.Run) error { return fault.Newf("stop", fault.Unknown, "it resists") }
			w.say(app.Fact{Event: session.Event{Kind: session.StopRequested, ID: "e", At: w.now, Known: w.now, Run: workload.Ref{Endpoint: app.SessionRef, ID: s.ID}}})
			return s.ID
		}, "still being stopped", "machine restart waits", true},
		{"S4.4 no checkpoint", func(w *world, r *runs) string { r.missing = "Set CheckpointConfig"; return w.stopped(training).ID }, "no location of checkpoints", "Set CheckpointConfig", false},
		{"S4.4 forgotten", func(w *world, r *runs) string {
			r.input = fault.Newf("read", fault.NotFound, "gone")
			return w.stopped(training).ID
		}, "has forgotten", "with the same spec", false},
		{"S4.4 by another machine", func(w *world, r *runs) string {
			r.input = fault.Newf("read", fault.Invalid, "not run's")
			return w.stopped(training).ID
		}, "not started through the machine run", "Start it through run", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, r := restartable(t)
			_, err := w.app.Restart(t.Context(), app.Act{Who: user("u-ana")}, c.plan(w, r))
			if no := refused(t, err); !strings.Contains(no.Reason, c.reason) || !strings.Contains(no.Remedy, c.remedy) || no.Passing != c.passing || r.started != nil {
				t.Errorf("%+v, started %v", no, r.started)
			}
		})
	}
	w, r := restartable(t)
	old := w.stopped(training)
	if _, err := w.app.Restart(t.Context(), app.Act{Who: user("u-ben")}, old.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("another's session: %v", err)
	}
	if _, err := w.app.Lock(t.Context(), app.Act{Who: root, Why: "an incident"}, "u-ana", time.Time{}, time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := w.app.Restart(t.Context(), app.Act{Who: user("u-ana")}, old.ID); !fault.Is(err, fault.Denied) || !strings.Contains(fmt.Sprint(err), "an incident") || r.started != nil {
		t.Errorf("S8.6 of a locked user: %v, started %v", err, r.started)
	}
}

// A run's input may say itself what it follows; it is held against the record.
func TestRestartOfMustFit(t *testing.T) {
	w, _ := restartable(t)
	old, live := w.stopped(training), w.start("u-ana", training)
	for name, r := range map[string]app.OpenRequest{
		"no session":       {User: "u-ana", Run: training, Previous: "s-none"},
		"another's":        {User: "u-ben", Run: training, Previous: old.ID},
		"another engine's": {User: "u-ana", Run: jobRun, Previous: old.ID},
		"one that lives":   {User: "u-ana", Run: training, Previous: live.ID},
	} {
		r.Execution = "arn:execution:" + name
		if s, err := w.app.OpenSession(t.Context(), r); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %s %v", name, s.ID, err)
		}
	}
}

// retrying is the engine of a pipeline that can be retried.
type retrying struct {
	*engine
	err     error
	retried []string
}

func (e *retrying) Retry(_ context.Context, s app.Start, of workload.Run) (workload.Run, error) {
	e.retried = append(e.retried, s.SessionID+" "+of.ID)
	return of, e.err
}

// S4.4: a pipeline goes on as the same run, whose claim is the new session's; a
// refusal for good gives the claim back.
func TestRestartOfAPipeline(t *testing.T) {
	for _, refuse := range []error{nil, fault.Newf("retry", fault.Invalid, "it has succeeded")} {
		w, _ := restartable(t)
		e := &retrying{engine: w.engine, err: refuse}
		run := pipeline
		w.app.Engines["sagemaker"] = e
		old := w.stopped(run)
		w.pass(5 * time.Minute)
		next, err := w.reopened("arn:execution:again", old)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.app.StartRun(t.Context(), app.StartRequest{SessionID: next.ID, Token: "token", Spec: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		owner, err := w.store.Claimed(t.Context(), old.Run.Ref())
		next = w.get(next.ID)
		want, status := next.ID, session.Active
		if refuse != nil {
			want, status = old.ID, session.Ended
		}
		if err != nil || owner != want || next.Status != status || len(e.retried) != 1 || e.retried[0] != next.ID+" "+old.Run.ID {
			t.Errorf("refused %v: %s owns the run, %s is %s, retried %v %v", refuse, owner, next.ID, next.Status, e.retried, err)
		}
	}
}

// An execution that fails with its run, before a listing has seen that, ends the
// session as the run ended.
func TestAFailedExecutionLooksAtItsRun(t *testing.T) {
	w, _ := restartable(t)
	s := w.start("u-ana", jobRun)
	w.pass(3 * time.Minute)
	r := w.engine.of(s)
	r.o.State, r.o.At = workload.Failed, w.now
	w.say(app.ExecutionChange{EventID: "e-1", Execution: "arn:execution:1", Status: "FAILED", At: w.now, WithRun: true})
	w.must(s.ID, session.Ended, session.CauseFailed)
}

// S4.4: a location of checkpoints belongs to the user whose run named it first, with all
// below it: nobody starts, or starts again, from another's; nor is told what is there.
func TestS4_4CheckpointsBelongToTheirUser(t *testing.T) {
	const ana, bob = "u-ana", "u-bob"
	type step struct {
		user, at string
		refused  bool
	}
	deep := "s3://bucket/" + strings.Repeat("d/", 20)
	for name, steps := range map[string][]step{
		"the same":              {{ana, "s3://bucket/c/", false}, {bob, "s3://bucket/c/", true}, {bob, "s3://bucket/c", true}, {ana, "s3://bucket/c", false}},
		"below":                 {{ana, "s3://bucket/c", false}, {bob, "s3://bucket/c/bob/1/", true}, {ana, "s3://bucket/c/2/", false}},
		"above":                 {{ana, "s3://bucket/c/1/", false}, {bob, "s3://bucket/c/", true}, {bob, "s3://bucket", true}, {ana, "s3://bucket/", false}},
		"beside":                {{ana, "s3://bucket/c/", false}, {bob, "s3://bucket/c-2/", false}, {bob, "s3://bucket/d", false}, {ana, "s3://bucket/e/1", false}, {"u-eve", "s3://bucket", true}},
		"three, and one on top": {{ana, "s3://bucket/c/1", false}, {bob, "s3://bucket/c/2", false}, {"u-eve", "s3://bucket/c/3", false}, {ana, "s3://bucket/c", true}, {"u-eve", "s3://bucket/c", true}},
		"deep":                  {{ana, deep + "1/", false}, {bob, deep + "2/", true}, {bob, "s3://bucket/e", false}},
		"other names of it":     {{ana, "s3://bucket/c", false}, {bob, "https://s3.amazonaws.com/bucket/c", true}, {bob, "s3://arn:aws:s3:us-east-1:123456789012:accesspoint/a/c", true}, {ana, "s3://", true}},
	} {
		w, _ := restartable(t)
		for i, x := range steps {
			s, err := w.app.OpenSession(t.Context(), app.OpenRequest{Execution: fmt.Sprint("arn:", name, i), User: x.user, Run: training, Checkpoint: x.at})
			if fault.Is(err, fault.Invalid) != x.refused || x.refused != (s.ID == "") || err != nil && !x.refused {
				t.Errorf("S4.4 %s: %s at %s: %v", name, x.user, x.at, err)
			}
		}
	}
	w, _ := restartable(t) // where a run of before, of nobody's claim, meets one
	s := w.stopped(training)
	if _, err := w.app.Restarting(t.Context(), app.Actor{Name: ana, User: ana}, s.ID); err != nil {
		t.Errorf("S4.4 a location that is nobody's: %v", err)
	}
	if _, err := w.app.OpenSession(t.Context(), app.OpenRequest{Execution: "arn:bob", User: bob, Run: training, Checkpoint: "s3://bucket/c"}); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		problem(w.app.Restarting(t.Context(), app.Actor{Name: ana, User: ana}, s.ID)),
		problem(w.app.Restart(t.Context(), app.Act{Who: app.Actor{Name: ana, User: ana}, Key: "k"}, s.ID)),
	} {
		if no := (*app.Refusal)(nil); !errors.As(err, &no) || !strings.Contains(no.Reason, "belongs to another user") {
			t.Errorf("S4.4 started again from another's checkpoint: %v", err)
		}
	}
}

// Of two users who name one location, or one within the other's, at one moment, one
// gets it.
func TestS4_4CheckpointsAreClaimedByCondition(t *testing.T) {
	for range 50 {
		w, _ := restartable(t)
		var got atomic.Int64
		var wg sync.WaitGroup
		for i, at := range []string{"s3://bucket/c/", "s3://bucket/c/1/", "s3://bucket/c/1/2", "s3://bucket"} {
			wg.Go(func() {
				_, err := w.app.OpenSession(t.Context(), app.OpenRequest{Execution: fmt.Sprint("arn:", i), User: fmt.Sprint("u-", i), Run: training, Checkpoint: at})
				if err == nil {
					got.Add(1)
				} else if !fault.Is(err, fault.Invalid) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got.Load() > 1 {
			t.Fatalf("S4.4 %d users have it", got.Load())
		}
	}
}

func problem[T any](_ T, err error) error { return err }

// saves counts how often somebody looks at what runs have saved.
type saves struct{ looked int }

func (s *saves) Newest(context.Context, string) (app.Checkpoint, error) {
	s.looked++
	return app.Checkpoint{}, fault.Newf("list", fault.NotFound, "there is nothing")
}

// S4.4: nor is a user told what is saved at another's location.
func TestS4_4NobodyIsToldOfAnothersCheckpoints(t *testing.T) {
	for _, of := range []string{"u-ana", "u-bob"} {
		w, _ := restartable(t)
		look := &saves{}
		w.app.Checkpoints = look
		if _, err := w.app.OpenSession(t.Context(), app.OpenRequest{Execution: "arn:first", User: of, Run: training, Checkpoint: "s3://bucket/c"}); err != nil {
			t.Fatal(err)
		}
		s := w.stopped(training)
		if told := len(w.says.ids("notice", s.ID, app.NoticeCheckpoint)); (told == 1) != (of == "u-bob") || (look.looked == 0) != (of == "u-bob") {
			t.Errorf("S4.4 at %s's location it was looked %d times, and its user told %d times", of, look.looked, told)
		}
	}
}
