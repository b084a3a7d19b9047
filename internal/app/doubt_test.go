package app_test

import (
	"testing"
	"time"

	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// TestS2_1RestartedServerProvesNothing: a Livy server that was restarted has
// forgotten its sessions, while their drivers live on for up to ten minutes.
// Whichever process lists it next must not take that for their end.
func TestS2_1RestartedServerProvesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		before func(w *world, a, b session.Session)
		forgot string // whose sessions the server forgets
		soon   string // whose are ENDED within the doubt
	}{
		{name: "all are forgotten", forgot: "ab"},
		{name: "one survives: it was not restarted", forgot: "a", soon: "a"},
		{name: "what began since survives nothing", forgot: "ab", before: func(w *world, _, _ session.Session) { w.after(2*time.Second, func() { w.start("cem", notebook) }) }},
		{name: "all were idle: Livy collects those itself", forgot: "ab", soon: "ab", before: func(w *world, a, b session.Session) {
			for _, s := range []session.Session{a, b} {
				if _, err := w.app.Apply(t.Context(), s.ID, session.Event{Kind: session.IdleSince, At: w.now, Since: w.now}); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			s := map[byte]session.Session{'a': w.start("ana", notebook), 'b': w.start("bo", notebook)}
			w.pass(20 * time.Minute)
			if c.before != nil {
				c.before(w, s['a'], s['b'])
			}
			w.engine.forget = map[workload.Ref]bool{}
			for i := range c.forgot {
				w.engine.forget[s[c.forgot[i]].Run.Ref()] = true
			}
			w.pass(8 * time.Minute)
			for _, who := range []byte("ab") {
				ended := false
				for i := range c.soon {
					ended = ended || c.soon[i] == who
				}
				if got := w.get(s[who].ID); (got.Status == session.Ended) != ended {
					t.Errorf("S2.1 %c is %s %s after 8 minutes", who, got.Status, got.End.Cause)
				}
			}
			w.pass(10 * time.Minute)
			for i := range c.forgot {
				w.must(s[c.forgot[i]].ID, session.Ended, session.CauseLost)
			}
		})
	}
}

// TestS2_1StopDuringARestart: a session that must end is not called ended because
// a server that was down knows it no more; it is once its driver cannot live on. A
// stop that was accepted before, or one whose answer was lost, is believed.
func TestS2_1StopDuringARestart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		asked, down bool
		sooner      bool
	}{
		{name: "the server is down, and forgets", down: true},
		{name: "the stop was accepted before", asked: true, down: true, sooner: true},
		{name: "the stop's answer was lost", sooner: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			s := w.start("ana", notebook)
			w.pass(20 * time.Minute)
			w.engine.of(s).stubborn = true
			if !c.asked {
				w.engine.onStop = func(workload.Run) error { return fault.New("stop", fault.Unknown, errDown) }
			}
			w.say(w.fact(session.UserDisabled, "ana", "f-1"))
			w.pass(20 * time.Second)
			if c.down {
				w.engine.onList = func(string) error { return fault.New("list", fault.Unknown, errDown) }
				w.pass(30 * time.Second)
				w.engine.onList = nil
			}
			w.engine.forget = map[workload.Ref]bool{s.Run.Ref(): true}
			w.engine.onStop = nil
			w.pass(time.Minute)
			if got := w.get(s.ID).Status == session.Ended; got != c.sooner {
				t.Errorf("S2.1 a minute later it is ENDED: %t, want %t", got, c.sooner)
			}
			w.pass(12 * time.Minute)
			ended := w.must(s.ID, session.Ended, session.CauseUserDisabled)
			if late := ended.End.Confirmed.Sub(ended.End.Known); late > 15*time.Minute {
				t.Errorf("S2.1 confirmed after %s", late)
			}
		})
	}
}
