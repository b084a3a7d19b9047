package app_test

import (
	"testing"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// TestS1_10AStateNobodyKnowsEndsNothing: a run whose engine has a word for its state
// that we do not know is neither over nor running; it must end all the same when
// its session must.
func TestS1_10AStateNobodyKnowsEndsNothing(t *testing.T) {
	w := newWorld(t)
	w.app.Endpoints = []string{sagemaker}
	limited := training
	limited.MaxRuntime = time.Hour
	s := w.start("ana", limited)
	w.engine.of(s).o.State = workload.Unknown
	w.pass(90 * time.Minute)
	if got := w.must(s.ID, session.Active, ""); !got.RunningSince.IsZero() {
		t.Errorf("it counts as running since %s", got.RunningSince)
	}
	w.say(w.fact(session.SignOut, "ana", "e-1"))
	w.pass(time.Minute)
	if len(w.engine.stopsOf(w.get(s.ID).Run.Ref())) == 0 {
		t.Error("it was not asked to stop")
	}
	w.pass(2 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseSignOut)

	// What may be over for good is neither raised from the dead nor adopted.
	ended := w.start("ben", training)
	w.pass(2 * time.Minute)
	r := w.engine.of(ended)
	r.stopAt, r.over = w.now, workload.Succeeded
	w.pass(2 * time.Minute)
	w.must(ended.ID, session.Ended, session.CauseFinished)
	r.over = workload.Unknown
	stranger := w.born(training, "somebody's", "dora")
	stranger.o.State = workload.Unknown
	before := len(w.all())
	w.pass(2 * cadence.Settled)
	if got := len(w.all()); got != before || len(w.says.ids("orphan-found", "", "")) != 0 {
		t.Errorf("%d sessions, then %d; orphans %v", before, got, w.says.ids("orphan-found", "", ""))
	}
	stranger.o.State = workload.Running
	w.pass(2 * cadence.Settled)
	if got := w.only(stranger.o.Run.Ref()); got.User != "dora" {
		t.Errorf("once it runs it is %+v", got)
	}
	stranger.stopAt = w.now
	w.pass(2 * cadence.Settled)
}
