package app_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// TestS2_1RestartedServerProvesNothing: a Livy server that was restarted has
// forgotten its sessions, while their drivers live on for up to ten minutes.
// Whichever process lists it next must not take that for their end.
func TestS2_1RestartedServerProvesNothing(t *testing.T) {
	t.Parallel()
	idle := func(w *world, a, b session.Session) {
		for _, s := range []session.Session{a, b} {
			if _, err := w.app.Apply(t.Context(), s.ID, session.Event{Kind: session.IdleSince, At: w.now, Since: w.now}); err != nil {
				t.Fatal(err)
			}
		}
	}
	silent := func(kind fault.Kind) func(w *world, a, b session.Session) {
		return func(w *world, a, b session.Session) {
			idle(w, a, b)
			w.engine.onList = func(string) error { return fault.New("list", kind, errDown) }
			w.after(6*time.Minute, func() { w.engine.onList = nil })
		}
	}
	for _, c := range []struct {
		name   string
		before func(w *world, a, b session.Session)
		forgot string // whose sessions the server forgets
		soon   string // whose are ENDED within the doubt
	}{
		{name: "all are forgotten", forgot: "ab"},
		{name: "one survives: it was not restarted", forgot: "a", soon: "a"},
		{name: "what began since survives nothing", forgot: "ab", before: func(w *world, _, _ session.Session) { w.after(2*time.Second, func() { w.start("cem", notebook) }) }},
		{name: "all were idle: Livy collects those itself", forgot: "ab", soon: "ab", before: idle},
		{name: "all were idle, and the server was silent", forgot: "ab", before: silent(fault.Unknown)},
		{name: "all were idle, and listings were throttled", forgot: "ab", before: silent(fault.Throttled)},
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

// TestS2_1AForgottenSessionsStopProvesNothing: a server that was restarted does not know
// what it is asked to stop. That is not noted as accepted, and the session is ENDED
// only once its driver cannot live on.
func TestS2_1AForgottenSessionsStopProvesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		listed func(w *world, blind bool) // the listings, while the stop is asked for
	}{
		{"listings fail", func(w *world, blind bool) {
			w.engine.onList = nil
			if blind {
				w.engine.onList = func(string) error { return fault.New("list", fault.Throttled, errDown) }
			}
		}},
		{"listings lack pages", func(w *world, blind bool) { w.engine.partial = blind }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			s := w.start("ana", notebook)
			w.pass(20 * time.Minute)
			w.engine.forget = map[workload.Ref]bool{s.Run.Ref(): true}
			c.listed(w, true)
			w.say(w.fact(session.UserDisabled, "ana", "f-1"))
			w.pass(20 * time.Second)
			if got := w.must(s.ID, session.Ending, session.CauseUserDisabled); len(w.engine.stopsOf(s.Run.Ref())) == 0 || !got.End.Asked.IsZero() {
				t.Errorf("S2.7 asked %d times, and noted as accepted at %s", len(w.engine.stopsOf(s.Run.Ref())), got.End.Asked)
			}
			c.listed(w, false)
			began := w.now
			w.pass(9 * time.Minute)
			w.must(s.ID, session.Ending, session.CauseUserDisabled)
			w.pass(2 * time.Minute)
			if ended := w.must(s.ID, session.Ended, session.CauseUserDisabled); ended.End.Confirmed.Sub(began) < 10*time.Minute {
				t.Errorf("S2.1 it is called stopped %s after the first complete listing", ended.End.Confirmed.Sub(began))
			}
		})
	}
}

// TestS2_1WhatBeganSinceDisprovesNothing: the first complete listing after a restart
// shows only what began since; a session that was young when it was forgotten, and in
// no listing before, is not called ended by it either.
func TestS2_1WhatBeganSinceDisprovesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.start("ana", notebook)
	w.pass(20 * time.Minute)
	w.engine.onList = func(string) error { return fault.New("list", fault.Unknown, errDown) }
	young := w.start("bo", notebook)
	w.engine.forget = map[workload.Ref]bool{old.Run.Ref(): true, young.Run.Ref(): true}
	w.pass(3 * time.Minute)
	since := w.start("cem", notebook)
	w.pass(3 * time.Minute)
	w.engine.onList = nil
	w.pass(9 * time.Minute)
	for _, s := range []session.Session{old, young, since} {
		if got := w.get(s.ID); got.Status != session.Active {
			t.Errorf("S2.1 the session of %s is %s %s nine minutes after the first listing", s.User, got.Status, got.End.Cause)
		}
	}
	w.pass(6 * time.Minute)
	w.must(old.ID, session.Ended, session.CauseLost)
	w.must(young.ID, session.Ended, session.CauseLost)
	if got := w.get(since.ID); got.Status != session.Active {
		t.Errorf("the session that began since is %s %s", got.Status, got.End.Cause)
	}
}

// TestS2_1RestartedAgain: a server that is restarted again while it is in doubt keeps
// nobody waiting whose driver cannot live on.
func TestS2_1RestartedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.start("ana", notebook)
	w.pass(20 * time.Minute)
	w.engine.forget = map[workload.Ref]bool{old.Run.Ref(): true}
	w.say(w.fact(session.UserDisabled, "ana", "f-1"))
	w.pass(time.Minute)
	young := w.start("bo", notebook)
	w.pass(5 * time.Minute)
	w.engine.forget[young.Run.Ref()] = true
	w.say(w.fact(session.UserDisabled, "bo", "f-2"))
	w.pass(3 * time.Minute)
	w.must(old.ID, session.Ending, session.CauseUserDisabled)
	w.pass(2 * time.Minute)
	if ended := w.must(old.ID, session.Ended, session.CauseUserDisabled); ended.End.Confirmed.Sub(ended.End.Known) < 10*time.Minute {
		t.Errorf("S2.1 it is called stopped after %s", ended.End.Confirmed.Sub(ended.End.Known))
	}
	w.must(young.ID, session.Ending, session.CauseUserDisabled)
	w.pass(6 * time.Minute)
	w.must(young.ID, session.Ended, session.CauseUserDisabled)
}

// TestS2_1RestartedAgainBeforeALook: the ten minutes are over while the server is silent,
// and it comes back restarted again. What the first restart forgot is called stopped by
// the next listing; what the second did waits its ten minutes.
func TestS2_1RestartedAgainBeforeALook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.start("ana", notebook)
	w.pass(20 * time.Minute)
	w.engine.forget = map[workload.Ref]bool{old.Run.Ref(): true}
	w.say(w.fact(session.UserDisabled, "ana", "f-1"))
	w.pass(time.Minute)
	young := w.start("bo", notebook)
	w.pass(7 * time.Minute)
	w.engine.onList = func(string) error { return fault.New("list", fault.Unknown, errDown) }
	w.engine.forget[young.Run.Ref()] = true
	w.pass(5 * time.Minute)
	w.must(old.ID, session.Ending, session.CauseUserDisabled)
	w.engine.onList = nil
	w.pass(time.Minute)
	w.must(old.ID, session.Ended, session.CauseUserDisabled)
	if got := w.get(young.ID); got.Status != session.Active {
		t.Errorf("S2.1 the session of %s is %s %s a minute after the second restart was told", got.User, got.Status, got.End.Cause)
	}
	w.pass(12 * time.Minute)
	w.must(young.ID, session.Ended, session.CauseLost)
}

// TestS2_1ALookThatFailsMidway: where only some of those who are missing could be noted,
// the listing counts for the others as if it had not been.
func TestS2_1ALookThatFailsMidway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := []session.Session{w.start("ana", notebook), w.start("bo", notebook), w.start("cem", notebook)}
	w.pass(20 * time.Minute)
	w.engine.forget = map[workload.Ref]bool{}
	for _, s := range old {
		w.engine.forget[s.Run.Ref()] = true
	}
	noted := 0
	w.app.Store = &hooked{Store: w.store, commit: func(c app.Commit) error {
		if c.Entry.Event.Kind != session.RunMissed {
			return nil
		}
		if noted++; noted == 2 {
			return fault.New("commit", fault.Throttled, errDown)
		}
		return nil
	}}
	w.after(90*time.Second, func() { w.start("dia", notebook) })
	w.pass(9 * time.Minute)
	for _, s := range old {
		if got := w.get(s.ID); got.Status != session.Active || got.Missed.Since.IsZero() {
			t.Errorf("S2.1 the session of %s is %s, cause %q, missed since %s, and its driver may live", s.User, got.Status, got.End.Cause, got.Missed.Since)
		}
	}
	w.pass(5 * time.Minute)
	for _, s := range old {
		w.must(s.ID, session.Ended, session.CauseLost)
	}
	if noted != 4 {
		t.Errorf("%d notes that three are missing, one of which failed", noted)
	}
}

// TestS2_1AllOfAServerAreNotedInTime: what a server forgot, however much, is noted within
// the time of one function: those noted later would be called ended later.
func TestS2_1AllOfAServerAreNotedInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	forgotten := map[workload.Ref]bool{}
	for i := range 64 {
		forgotten[w.start("user-"+strconv.Itoa(i), notebook).Run.Ref()] = true
	}
	w.pass(20 * time.Minute)
	w.engine.forget = forgotten
	var notes, most int
	w.app.Store = &hooked{Store: w.store, commit: func(c app.Commit) error {
		if c.Entry.Event.Kind == session.RunMissed {
			notes++
		}
		return nil
	}}
	one := w.app.Parallel
	w.app.Parallel = func(ctx context.Context, n int, tasks []func(context.Context)) {
		before := notes
		one(ctx, n, tasks)
		if notes > before {
			most = max(most, (notes-before+n-1)/n)
		}
	}
	w.pass(6 * time.Minute)
	const each = time.Second // what a note may take
	if took := time.Duration(most) * each; notes != len(forgotten) || most == 0 || took > cadence.TaskTimeout/2 {
		t.Errorf("S2.1 %d of %d were noted, in %s", notes, len(forgotten), took)
	}
}

// TestS2_1AnEngineThatRemembersDelaysNothing: where the process that lists saw the server
// before the restart its listings are not complete for ten minutes. Those are the ten
// minutes: none are added to them.
func TestS2_1AnEngineThatRemembersDelaysNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.start("ana", notebook)
	w.pass(20 * time.Minute)
	w.engine.forget = map[workload.Ref]bool{s.Run.Ref(): true}
	w.engine.partial, w.engine.forgotten = true, true
	for w.get(s.ID).Missed.Since.IsZero() && w.now.Sub(began) < time.Hour {
		w.pass(10 * time.Second)
	}
	w.pass(10*time.Minute - time.Second)
	w.must(s.ID, session.Active, "")
	w.pass(time.Second)
	w.engine.partial, w.engine.forgotten = false, false
	w.pass(2 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseLost)
}

// TestS2_1SilentSinceTheListing: a server that failed to answer another caller while
// a listing was on its way is silent since: that listing is of before.
func TestS2_1SilentSinceTheListing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.start("ana", notebook)
	w.pass(20 * time.Minute)
	w.engine.onList = func(endpoint string) error {
		w.engine.onList = nil
		w.now = w.now.Add(time.Second)
		err := w.store.SetMark(t.Context(), "silent/"+endpoint, w.now)
		w.now = w.now.Add(time.Second)
		w.after(time.Second, func() {
			if _, err := w.app.Apply(t.Context(), s.ID, session.Event{Kind: session.IdleSince, At: w.now, Since: w.now}); err != nil {
				t.Error(err)
			}
			w.engine.forget = map[workload.Ref]bool{s.Run.Ref(): true}
		})
		return err
	}
	w.pass(8 * time.Minute)
	if w.engine.onList != nil {
		t.Fatal("nothing was listed")
	}
	w.must(s.ID, session.Active, "")
	w.pass(10 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseLost)
}

// TestS2_1AStaleIndexHidesThatARunIsMissing: the ten minutes go on where an index does not
// have it yet that they began.
func TestS2_1AStaleIndexHidesThatARunIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.start("ana", notebook)
	w.pass(20 * time.Minute)
	w.engine.forget = map[workload.Ref]bool{old.Run.Ref(): true}
	since := w.start("bo", notebook)
	w.app.Store = &hooked{Store: w.store, ofEndpoint: func(p app.Page) {
		for i := range p.Sessions {
			p.Sessions[i].Missed = session.Missed{}
		}
	}}
	w.pass(9 * time.Minute)
	w.must(old.ID, session.Active, "")
	w.pass(3 * time.Minute)
	w.must(old.ID, session.Ended, session.CauseLost)
	w.must(since.ID, session.Active, "")
}

// TestS2_1TooYoungWhenTheListingCame: what was too young for a listing is not judged by it
// because looking at others took until it was old enough.
func TestS2_1TooYoungWhenTheListingCame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := []session.Session{w.start("ana", notebook), w.start("ana", notebook), w.start("ana", notebook)}
	w.pass(20 * time.Minute)
	w.engine.forget = map[workload.Ref]bool{}
	for _, s := range old {
		w.engine.of(s).stubborn = true
		w.engine.forget[s.Run.Ref()] = false
	}
	w.say(w.fact(session.UserDisabled, "ana", "f-1")) // their stops are accepted
	w.pass(10 * time.Second)
	young := w.start("bo", notebook)
	w.engine.forget[young.Run.Ref()] = true
	w.say(w.fact(session.UserDisabled, "bo", "f-2"))
	w.after(112*time.Second, func() {
		for ref := range w.engine.forget {
			w.engine.forget[ref] = true
		}
		asked := 0
		w.engine.onList = func(string) error {
			if asked++; asked > 1 && asked < 5 {
				w.now = w.now.Add(5 * time.Second)
			}
			return nil
		}
	})
	w.pass(4 * time.Minute)
	for _, s := range old {
		w.must(s.ID, session.Ended, session.CauseUserDisabled)
	}
	if got := w.must(young.ID, session.Ending, session.CauseUserDisabled); got.Missed.Since.IsZero() {
		t.Error("S2.1 that it is missing was not noted")
	}
}

// TestS2_1AStartNobodySawOfASilentServer: a start whose answer was lost, and a server that
// fell silent, may have left a driver that nobody lists. It is disproved once that cannot
// live on, and at once where what is there shows that the server was not restarted.
func TestS2_1AStartNobodySawOfASilentServer(t *testing.T) {
	t.Parallel()
	for _, survives := range []bool{false, true} {
		w := newWorld(t)
		if survives {
			w.start("bo", notebook)
			w.pass(10 * time.Minute)
		}
		s, ref := w.lost("ana", notebook)
		w.engine.forget = map[workload.Ref]bool{ref: true}
		w.engine.onList = func(string) error { return fault.New("list", fault.Unknown, errDown) }
		w.say(w.fact(session.UserDisabled, "ana", "f-1"))
		w.pass(3 * time.Minute)
		w.engine.onList = nil
		w.pass(9 * time.Minute)
		if got := w.get(s.ID); (got.Status == session.Ended) != survives {
			t.Errorf("S2.4 nine minutes after the silence it is %s (another survived it: %t)", got.Status, survives)
		}
		w.pass(2 * time.Minute)
		w.must(s.ID, session.Ended, session.CauseUserDisabled)
	}
}

// TestS2_1ASurvivorDisprovesADoubt: what was there at the last look, and is there, shows
// that the server was not restarted since, whatever a listing in between lacked.
func TestS2_1ASurvivorDisprovesADoubt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.start("ana", notebook), w.start("bo", notebook)
	w.pass(20 * time.Minute)
	w.engine.forget = map[workload.Ref]bool{one.Run.Ref(): true, two.Run.Ref(): true}
	w.pass(5 * time.Minute) // a look shows neither
	delete(w.engine.forget, two.Run.Ref())
	w.pass(2 * time.Minute)
	w.must(one.ID, session.Ended, session.CauseLost)
	// A restart after that is a restart.
	w.engine.forget[two.Run.Ref()] = true
	w.pass(9 * time.Minute)
	if got := w.get(two.ID); got.Status != session.Active {
		t.Errorf("S2.1 the session of %s is %s %s, and its driver may live", got.User, got.Status, got.End.Cause)
	}
}

// TestS2_1InDoubtListingsGoOnToTell: while a server is in doubt no look is complete; but
// what is listed meanwhile, and is there later, shows that it was not restarted again,
// so that who leaves in that time keeps nobody waiting longer.
func TestS2_1InDoubtListingsGoOnToTell(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.start("ana", notebook)
	w.pass(20 * time.Minute)
	w.engine.forget = map[workload.Ref]bool{old.Run.Ref(): true}
	w.pass(5 * time.Minute) // the next look tells the restart
	stays, leaves := w.start("bo", notebook), w.start("cem", notebook)
	w.pass(5 * time.Minute)
	w.engine.forget[leaves.Run.Ref()] = true
	w.pass(6 * time.Minute)
	w.must(old.ID, session.Ended, session.CauseLost)
	w.must(leaves.ID, session.Ended, session.CauseLost)
	if got := w.get(stays.ID); got.Status != session.Active {
		t.Errorf("S2.1 the session that stays is %s %s", got.Status, got.End.Cause)
	}
}

// TestS2_1ForgottenSinceTheLastListing: a server was restarted where all that the last
// listing can have shown is missing, and something for no known reason. What began
// within two minutes before that listing may not have been in it.
func TestS2_1ForgottenSinceTheLastListing(t *testing.T) {
	t.Parallel()
	last := time.Date(2026, 11, 20, 18, 10, 0, 0, time.UTC)
	now := last.Add(5 * time.Minute)
	const seen = 5 * time.Second // after the last listing began
	for _, c := range []struct {
		name      string
		work      bool            // those that are there were seen at work in it
		worked    bool            // those that are not were, when they began
		shown     []time.Duration // the openings of those that are there, from the last listing on
		missing   []time.Duration // of those that are not
		forgotten bool
		young     bool
	}{
		{name: "nothing is missing", shown: []time.Duration{-time.Hour}},
		{name: "all of before are missing", missing: []time.Duration{-time.Hour, -30 * time.Minute}, forgotten: true},
		{name: "one of before is there", shown: []time.Duration{-time.Hour}, missing: []time.Duration{-30 * time.Minute}},
		{name: "what is there began since", shown: []time.Duration{time.Minute}, missing: []time.Duration{-time.Hour}, forgotten: true},
		{name: "what is there began just before", shown: []time.Duration{-time.Second}, missing: []time.Duration{-time.Hour}, forgotten: true},
		{name: "what is there began just before, and was seen", work: true, shown: []time.Duration{-time.Second}, missing: []time.Duration{-time.Hour}},
		{name: "what is there began two minutes before", shown: []time.Duration{-2*time.Minute - 1}, missing: []time.Duration{-time.Hour}},
		{name: "what is missing began just before, and is old enough by now", missing: []time.Duration{-time.Second}, forgotten: true},
		{name: "what is there was seen, but began after what is missing, which was not", work: true, shown: []time.Duration{-30 * time.Second}, missing: []time.Duration{-time.Minute}, forgotten: true},
		{name: "what is missing is young", missing: []time.Duration{3*time.Minute + 1}, young: true},
		{name: "what is missing is young, and was seen at work", worked: true, missing: []time.Duration{3*time.Minute + 1}, forgotten: true},
		{name: "what is missing is two minutes old", missing: []time.Duration{3 * time.Minute}, forgotten: true},
	} {
		var l workload.Listing
		var sessions []session.Session
		add := func(id string, after time.Duration) session.Session {
			s := session.Session{Status: session.Active, Origin: session.Started, RecordedAt: last.Add(after), Run: workload.Run{Endpoint: "livy/j-1", ID: id}}
			sessions = append(sessions, s)
			return s
		}
		for i, after := range c.shown {
			l.Runs = append(l.Runs, workload.Observation{Run: add("shown-"+string(rune('a'+i)), after).Run})
			if c.work {
				sessions[i].RunningSince = last.Add(seen)
			}
		}
		for i, after := range c.missing {
			add("missing-"+string(rune('a'+i)), after)
			if c.worked {
				sessions[len(sessions)-1].RunningSince = last.Add(after)
			}
		}
		n, young := app.Doubtful(sessions, l, last, time.Time{}, now)
		if n > 0 != c.forgotten || young != c.young {
			t.Errorf("S2.1 %s: %d forgotten, young %t", c.name, n, young)
		}
	}
}
