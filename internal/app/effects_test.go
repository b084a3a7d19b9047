package app_test

import (
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/session"
)

func TestStreamNeverDeliversTheSweepDoes(t *testing.T) {
	w := newWorld(t)
	w.deaf = true
	s := w.start("ana", training)
	w.pass(2*cadence.EffectLinger + cadence.Sweep)
	known := w.now
	w.say(w.fact(session.SignOut, "ana", "out-1"))
	w.pass(7 * time.Minute)
	ended := w.must(s.ID, session.Ended, session.CauseSignOut)
	if late := ended.End.Confirmed.Sub(known); late > 4*time.Minute {
		t.Errorf("without the stream it was confirmed after %s", late)
	}
	if len(w.waiters.released) != 1 {
		t.Errorf("released %v", w.waiters.released)
	}
	for _, kind := range []string{"session-opened", "session-ending", "session-ended", "notice"} {
		if n := w.says.ids(kind, s.ID, ""); len(n) != 1 {
			t.Errorf("%s was said under %d ids", kind, len(n))
		}
	}
	open, _, err := w.store.Unfinished(t.Context(), w.now, "")
	if err != nil || len(open) != 0 {
		t.Errorf("%d entries are unfinished, %v", len(open), err)
	}
}

func TestEffectsNotYetLingeringAreLeftToTheStream(t *testing.T) {
	w := newWorld(t)
	w.deaf = true
	w.pass(50 * time.Second)
	w.start("ana", training)
	w.pass(20 * time.Second) // a sweep at :60 finds them 10 s old
	if n := len(w.says.said); n != 0 {
		t.Errorf("%d things were said by a sweep that came too early", n)
	}
	w.pass(time.Minute)
	if len(w.says.said) == 0 {
		t.Error("the sweep does not carry out what lingers")
	}
}

func TestEffectsCanBeRepeatedExactly(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", training)
	w.pass(time.Minute)
	w.say(w.fact(session.SignOut, "ana", "out-1"))
	w.pass(3 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseSignOut)
	said := len(w.says.said)
	before := map[string]app.Announcement{}
	for _, a := range w.says.said {
		before[a.ID] = a
	}
	stops, executions := len(w.engine.stops), len(w.executions)
	for range 2 {
		for _, e := range w.history(s.ID) {
			e.Done = false
			w.app.RunEffects(t.Context(), e)
		}
	}
	if len(w.says.said) == said {
		t.Fatal("nothing was repeated")
	}
	for _, a := range w.says.said[said:] {
		if old, ok := before[a.ID]; !ok || old.Kind != a.Kind || !old.At.Equal(a.At) || old.Effect != a.Effect {
			t.Errorf("a repetition says something else: %s %s", a.ID, a.Kind)
		}
	}
	if len(before) != said {
		t.Errorf("%d announcements under %d ids", said, len(before))
	}
	w.pass(3 * time.Minute)
	if len(w.engine.stops) != stops || len(w.executions) != executions {
		t.Error("a stop that is no longer wanted was carried out again")
	}
	w.must(s.ID, session.Ended, session.CauseSignOut)
}

func TestOneFailingEffectDoesNotBlockOthers(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", training)
	w.pass(time.Minute)
	w.says.fail = func(a app.Announcement) error {
		if a.Kind == "notice" {
			return errDown
		}
		return nil
	}
	w.waiters.fail = errDown
	w.say(w.fact(session.SignOut, "ana", "out-1"))
	w.pass(10 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseSignOut)
	for _, kind := range []string{"session-ending", "session-ended"} {
		if n := w.says.ids(kind, s.ID, ""); len(n) != 1 {
			t.Errorf("%s was said under %d ids", kind, len(n))
		}
	}
	open, _, err := w.store.Unfinished(t.Context(), w.now, "")
	if err != nil || len(open) != 2 {
		t.Errorf("%d entries are unfinished, should be the notice's and the waiter's; %v", len(open), err)
	}
	w.says.fail, w.waiters.fail = nil, nil
	w.pass(2 * time.Minute)
	if n := w.says.ids("notice", s.ID, ""); len(n) != 1 || len(w.waiters.released) != 1 {
		t.Errorf("notices %v, released %v", n, w.waiters.released)
	}
	if open, _, err = w.store.Unfinished(t.Context(), w.now, ""); err != nil || len(open) != 0 {
		t.Errorf("%d entries are unfinished, %v", len(open), err)
	}
}

func TestEntryOfNobodyAndUnknownEffect(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", training)
	w.pass(time.Second)
	w.app.RunEffects(t.Context(), app.Entry{SessionID: "s-none", Version: 1, Effects: []session.Effect{{Kind: session.Notify}}})
	w.app.RunEffects(t.Context(), app.Entry{SessionID: s.ID, Version: 1, Effects: []session.Effect{{Kind: "sing"}}})
	w.must(s.ID, session.Active, "")
}
