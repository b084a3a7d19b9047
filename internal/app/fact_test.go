package app_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

func TestS2_10SignOutEndsEveryEarlierInteractiveSession(t *testing.T) {
	w := newWorld(t)
	var mine []session.Session
	for range 20 { // more than two pages of the index
		mine = append(mine, w.start("ana", training))
	}
	background := w.start("ana", jobRun)
	other := w.start("ben", training)
	w.pass(time.Minute)
	w.say(w.fact(session.SignOut, "ana", "out-1"))
	w.pass(time.Minute)
	later := w.start("ana", training)
	w.pass(3 * time.Minute)
	for _, s := range mine {
		ended := w.must(s.ID, session.Ended, session.CauseSignOut)
		if len(w.engine.of(s).asked) == 0 {
			t.Errorf("%s ended without having been asked (S2.1)", s.ID)
		}
		if e := ended.End; e.Evidence != "out-1" || e.By != "ana" || e.Happened.IsZero() || e.Known.IsZero() || e.Decided.IsZero() || e.Asked.IsZero() || e.Confirmed.IsZero() {
			t.Errorf("S2.7: the end lacks something: %+v", e)
		}
	}
	for _, s := range []session.Session{background, other, later} {
		w.must(s.ID, session.Active, "")
		if n := len(w.engine.of(s).asked); n != 0 {
			t.Errorf("S2.5: %s of %s was asked to stop %d times", s.ID, s.User, n)
		}
	}
}

func TestS2_4StaleIndexHidesSessionUntilTheSweep(t *testing.T) {
	w := newWorld(t, indexLag(25*time.Second))
	s := w.start("ana", training)
	w.pass(2 * time.Second)
	w.say(w.fact(session.SignOut, "ana", "out-1")) // the index does not show the session yet
	w.must(s.ID, session.Active, "")
	u, err := w.store.User(t.Context(), "ana")
	if err != nil || len(u.Pending) != 1 {
		t.Fatalf("the fact must stay pending: %+v, %v", u.Pending, err)
	}
	w.pass(5 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseSignOut)
	if u, err = w.store.User(t.Context(), "ana"); err != nil || len(u.Pending) != 0 {
		t.Errorf("the fan-out is complete and still pending: %+v, %v", u.Pending, err)
	}
}

// Whatever the lag below the bound, and whenever the sign-out comes after the
// opening, the session is reached.
func TestS2_4NoSessionEscapesAStaleIndex(t *testing.T) {
	cases := 0
	for _, lag := range []time.Duration{0, time.Second, 10 * time.Second, cadence.IndexLag - time.Millisecond} {
		for _, gap := range []time.Duration{0, time.Millisecond, 5 * time.Second, 29 * time.Second, 40 * time.Second} {
			cases++
			w := newWorld(t, indexLag(lag))
			w.pass(7 * time.Second)
			s := w.start("ana", training)
			w.pass(gap)
			w.say(w.fact(session.SignOut, "ana", "out-1"))
			w.pass(4 * time.Minute)
			w.must(s.ID, session.Ended, session.CauseSignOut)
		}
	}
	if cases == 0 {
		t.Fatal("nothing was looked at")
	}
}

func TestS2_4RevokeBetweenReadAndOpen(t *testing.T) {
	w := newWorld(t)
	w.identity.facts[sagemaker] = yes
	raced := 0
	store := &hooked{Store: w.store, beforeOpen: func() {
		if raced++; raced == 1 {
			w.say(w.fact(session.RevokeBackground, "ana", "revoke-1"))
		}
	}}
	w.app.Store = store
	s := w.open("ana", training)
	if raced != 2 {
		t.Fatalf("the opening was decided %d times; a fact written meanwhile must make it decide again", raced)
	}
	if s.Status != session.Ending || s.End.Cause != session.CauseBackgroundRevoked {
		t.Fatalf("born %s, cause %q; should be ENDING, background-revoked", s.Status, s.End.Cause)
	}
	if err := w.app.StartRun(t.Context(), app.StartRequest{SessionID: s.ID, Token: "tok", Spec: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	w.pass(3 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseBackgroundRevoked)
	if len(w.engine.starts) != 0 {
		t.Errorf("the run of a session that was born ENDING was started")
	}
	if len(w.waiters.released) != 1 || w.waiters.released[0].token != "tok" {
		t.Errorf("S2.12: the waiter was not released once: %v", w.waiters.released)
	}
}

func TestS3_7CrashAfterTheFactBeforeTheFanOut(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", training)
	w.pass(time.Minute)
	store := &hooked{Store: w.store, ofUser: func() error { return fault.New("list", fault.Unknown, errDown) }}
	w.app.Store = store
	f := w.fact(session.SignOut, "ana", "out-1")
	if err := w.app.Handle(t.Context(), f); err == nil {
		t.Fatal("the fan-out failed and nobody was told: the event must be delivered again")
	}
	w.app.Store = w.store
	if u, err := w.store.User(t.Context(), "ana"); err != nil || len(u.Facts) != 1 {
		t.Fatalf("the fact must be written first: %+v, %v", u, err)
	}
	w.must(s.ID, session.Active, "")
	w.pass(3 * time.Minute)
	ended := w.must(s.ID, session.Ended, session.CauseSignOut)
	if !ended.End.Known.Equal(f.Event.At) {
		t.Errorf("S2.1: known %s, the fact was first known at %s", ended.End.Known, f.Event.At)
	}
}

func TestS2_3DuplicateEventChangesNothing(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", training)
	w.pass(time.Minute)
	f := w.fact(session.SignOut, "ana", "out-1")
	for range 3 {
		w.say(f)
	}
	f.Event.ID = "out-1-delivered-under-another-id"
	w.say(f)
	count := 0
	for _, e := range w.history(s.ID) {
		if e.Event.Kind == session.SignOut {
			count++
		}
	}
	if count != 1 {
		t.Errorf("the sign-out stands %d times in the history, should be once", count)
	}
	// An event for one session, not for a user, is told apart by its id alone.
	stop := app.Fact{Event: session.Event{ID: "stop-1", Kind: session.StopRequested, At: w.now, By: "ana", Run: workload.Ref{Endpoint: app.SessionRef, ID: s.ID}}}
	before := w.get(s.ID).Version
	w.say(stop)
	w.say(stop)
	if after := w.get(s.ID).Version; after != before {
		t.Errorf("%d versions were written for an event that changes nothing", after-before)
	}
	w.pass(3 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseSignOut)
}

func TestS2_5EventAboutAnotherUserOfTheRun(t *testing.T) {
	w := newWorld(t)
	w.identity.facts[sagemaker] = yes
	s := w.start("ana", training)
	w.pass(time.Minute)
	version := w.get(s.ID).Version
	w.say(app.Fact{Event: session.Event{ID: "r-1", Kind: session.RevokeBackground, At: w.now, User: "ben", Run: s.Run.Ref()}})
	w.say(app.Fact{Event: session.Event{ID: "k-1", Kind: session.KernelStopped, At: w.now, User: "ben", Run: s.Run.Ref()}})
	w.pass(2 * time.Minute)
	if after := w.must(s.ID, session.Active, ""); after.Version != version {
		t.Errorf("another user's event wrote %d versions", after.Version-version)
	}
}

// S2.4: a revoke that names a run is known before the session knows that the
// run is its own.
func TestS2_4RevokeOfARunWhoseStartWasNotYetSeen(t *testing.T) {
	for _, found := range []string{"by the listing", "by start-run's second try"} {
		t.Run(found, func(t *testing.T) {
			w := newWorld(t)
			w.engine.lose = 1
			s := w.open("ana", jobRun)
			start := app.StartRequest{SessionID: s.ID, Token: "tok", Spec: []byte("{}")}
			if err := w.app.StartRun(t.Context(), start); err == nil {
				t.Fatal("the answer was lost and the start succeeded")
			}
			ref := w.engine.order[0]
			w.engine.hide = map[workload.Ref]bool{ref: true}
			w.pass(time.Second)
			w.say(app.Fact{Event: session.Event{ID: "r-1", Kind: session.RevokeBackground, At: w.now, User: "ana", Run: ref}})
			w.pass(70 * time.Second) // the fan-out is over and done
			if u, err := w.store.User(t.Context(), "ana"); err != nil || len(u.Pending) != 0 {
				t.Fatalf("still pending: %v, %v", u.Pending, err)
			}
			w.must(s.ID, session.Active, "")
			w.engine.hide = nil
			if found != "by the listing" {
				if err := w.app.StartRun(t.Context(), start); err != nil {
					t.Fatal(err)
				}
			}
			w.pass(4 * time.Minute)
			w.must(s.ID, session.Ended, session.CauseBackgroundRevoked)
		})
	}
}

func TestS2_11FactsKnownAtOpeningAlertOnce(t *testing.T) {
	w := newWorld(t)
	w.identity.facts[sagemaker] = plain
	w.say(w.fact(session.UserDisabled, "ana", "disabled-1"))
	w.pass(time.Second)
	s := w.start("ana", training) // its mode is role: it goes on, with an alert
	w.pass(3 * time.Minute)
	w.must(s.ID, session.Active, "")
	if n := w.says.ids("alert", s.ID, "role-outlives-user"); len(n) != 1 {
		t.Errorf("S2.12: alerted %d times about one fact: %v", len(n), n)
	}
}

func TestS3_6MalformedEventIsParkedOnce(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", training)
	w.pass(time.Second)
	bad := []byte(`{"Kind":"sign-out"}`)
	for range 2 {
		if err := w.app.Receive(t.Context(), "on-logout", bad); err != nil {
			t.Fatalf("a malformed event must not come again: %v", err)
		}
	}
	if err := w.app.Receive(t.Context(), "on-logout", wire{Kind: session.SignOut, User: "ana", ID: "out-1", At: w.now}.bytes()); err != nil {
		t.Fatal(err)
	}
	w.must(s.ID, session.Ending, session.CauseSignOut)
	parked, _, err := w.store.ParkedEvents(t.Context(), "")
	if err != nil || len(parked) != 1 {
		t.Fatalf("%d events are parked, should be one: %v", len(parked), err)
	}
	if p := parked[0]; p.Source != "on-logout" || !strings.Contains(p.Reason, "user: it is missing") || p.Body != string(bad) || !p.At.Equal(w.now) {
		t.Errorf("parked: %+v", p)
	}
	huge := append([]byte("{"), make([]byte, 1<<20)...)
	if err := w.app.Receive(t.Context(), "on-logout", huge); err != nil {
		t.Errorf("an event beyond the size kept: %v", err)
	}
	w.pass(3 * time.Minute)
}

func TestS3_6AnOutageIsNotAMalformedEvent(t *testing.T) {
	w := newWorld(t)
	w.app.Store = &hooked{Store: w.store, putUser: func() error { return fault.New("write", fault.Throttled, errDown) }}
	if err := w.app.Receive(t.Context(), "on-logout", wire{Kind: session.SignOut, User: "ana", ID: "out-1", At: w.now}.bytes()); err == nil {
		t.Error("the fact was not written and the event was taken off its queue")
	}
	if parked, _, err := w.store.ParkedEvents(t.Context(), ""); err != nil || len(parked) != 0 {
		t.Errorf("%d events are parked: %v", len(parked), err)
	}
}

func TestS3_6StopOfAnUnknownSessionIsParked(t *testing.T) {
	w := newWorld(t)
	err := w.app.Handle(t.Context(), app.Fact{Event: session.Event{ID: "x", Kind: session.StopRequested, At: w.now, By: "ana", Run: workload.Ref{Endpoint: app.SessionRef, ID: "s-none"}}})
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "detail.session") {
		t.Errorf("answered %v", err)
	}
	if err := w.app.Handle(t.Context(), app.Fact{Event: session.Event{ID: "x", Kind: session.SignOut, At: w.now}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("an event that names nobody: %v", err)
	}
}

func TestS3_1UnrecognisedIsCountedAndOneKept(t *testing.T) {
	w := newWorld(t)
	const kind = "sso.amazonaws.com/EndAllSessions"
	for range 3 {
		if err := w.app.Receive(t.Context(), "on-revocation", wire{Unrecognised: kind}.bytes()); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.meter.counts[app.MetricUnrecognised]; n != 3 {
		t.Errorf("counted %d, should be 3", n)
	}
	if body, err := w.store.SampleBody(t.Context(), kind); err != nil || !strings.Contains(string(body), kind) {
		t.Errorf("the sample: %q, %v", body, err)
	}
	if err := w.app.Handle(t.Context(), app.Ignored{Reason: "not for us"}); err != nil || w.meter.counts[app.MetricIgnored] != 1 {
		t.Errorf("ignored: counted %d, %v", w.meter.counts[app.MetricIgnored], err)
	}
	if err := w.app.Handle(t.Context(), nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("a message of no kind: %v", err)
	}
}

func TestS3_5ReplayRecoversALostSignOut(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", training)
	w.pass(12 * time.Minute)
	out := w.now
	w.identity.history = append(w.identity.history, recorded{out, wire{Kind: session.SignOut, User: "ana", ID: "out-1", At: out}.bytes()})
	for w.get(s.ID).Status == session.Active {
		w.pass(time.Second)
		if w.now.Sub(out) > cadence.Replay+cadence.Sweep {
			t.Fatal("the replay did not find the lost sign-out")
		}
	}
	if late := w.now.Sub(out); late > cadence.Replay+time.Second {
		t.Errorf("found after %s, should be within %s", late, cadence.Replay)
	}
	w.pass(40 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseSignOut)
	count := 0
	for _, e := range w.history(s.ID) {
		if e.Event.ID == "out-1" {
			count++
		}
	}
	if count != 1 || len(w.identity.replayFrom) < 8 {
		t.Errorf("%d replays left %d entries, should be one", len(w.identity.replayFrom), count)
	}
	for i, from := range w.identity.replayFrom[1:] {
		if gap := from.Sub(w.identity.replayFrom[i]); gap > cadence.Replay {
			t.Errorf("replay %d leaves a gap of %s", i+1, gap)
		}
	}
}

func TestS3_5ReplayOutageLeavesNoGap(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", training)
	w.pass(6 * time.Minute)
	w.identity.err = errDown
	w.identity.history = append(w.identity.history, recorded{w.now, wire{Kind: session.SignOut, User: "ana", ID: "out-1", At: w.now}.bytes()})
	w.pass(2 * time.Hour) // longer than a replay reaches back
	w.must(s.ID, session.Active, "")
	w.identity.err = nil
	w.pass(2 * time.Minute)
	if s := w.get(s.ID); s.End.Cause != session.CauseSignOut {
		t.Errorf("the sign-out of the outage was not replayed: %s, cause %q", s.Status, s.End.Cause)
	}
}

func TestS2UserCheckAsksTheIdentityStore(t *testing.T) {
	for status, want := range map[app.UserStatus]session.Cause{app.UserDisabled: session.CauseUserDisabled, app.UserDeleted: session.CauseUserDeleted, app.UserEnabled: ""} {
		w := newWorld(t)
		s := w.start("ana", jobRun)
		w.pass(time.Minute)
		w.identity.status["ana"] = status
		w.say(app.UserCheck{EventID: "scim-1", User: "ana", At: w.now})
		if got := w.get(s.ID).End.Cause; got != want {
			t.Errorf("status %s: cause %q, should be %q", status, got, want)
		}
		if ev := w.get(s.ID).End.Evidence; want != "" && !strings.Contains(ev, "DescribeUser") {
			t.Errorf("evidence %q does not name the check", ev)
		}
		w.pass(2 * time.Minute)
	}
	w := newWorld(t)
	s := w.start("ana", jobRun)
	w.identity.err, w.identity.status["ana"] = errDown, app.UserDisabled
	w.say(app.UserCheck{EventID: "scim-1", User: "ana", At: w.now})
	w.must(s.ID, session.Active, "")
	w.identity.err = nil
	w.pass(time.Minute) // delivered again
	if got := w.get(s.ID).End.Cause; got != session.CauseUserDisabled {
		t.Errorf("after the outage: cause %q", got)
	}
	w.pass(2 * time.Minute)
}

// S2.1: what is throttled is asked again at once; the queue would bring the event again
// after a minute and a half.
func TestS2_1AThrottledCheckIsAskedAgain(t *testing.T) {
	for throttled := range 4 {
		for _, m := range []app.Message{app.AccessCheck{User: "ana", Application: "arn:app"}, app.UserCheck{User: "ana"}} {
			w := newWorld(t)
			s := w.start("ana", jobRun)
			w.pass(5 * time.Minute)
			w.identity.access, w.identity.status["ana"] = map[string]session.Tri{"ana": session.Off}, app.UserDisabled
			pauses := 0
			answer := func() {
				w.identity.err = fault.New("ask", fault.Throttled, errDown)
				if pauses == throttled {
					w.identity.err = nil
				}
			}
			w.app.Pause = func(context.Context, time.Duration) error { pauses++; answer(); return nil }
			answer()
			if err := w.app.Handle(t.Context(), m); (err != nil) != (throttled > 2) || pauses != min(throttled, 2) {
				t.Errorf("%T throttled %d times: %d pauses, %v", m, throttled, pauses, err)
			}
			if got := w.get(s.ID); (got.Status == session.Ending) != (throttled <= 2) {
				t.Errorf("%T throttled %d times: it is %s, cause %q", m, throttled, got.Status, got.End.Cause)
			}
		}
	}
}

func TestS2AccessRemovedOnlyAfterARecheck(t *testing.T) {
	for _, c := range []struct {
		name, user string
		answer     session.Tri
		want       session.Cause
		again      bool
	}{
		{"another assignment gives it", "ana", session.On, "", false},
		{"none is left", "ana", session.Off, session.CauseAccessRemoved, false},
		{"S1.10: unknown ends nothing and is asked again", "ana", session.Unknown, "", true},
		{"a group: each user with a session is asked", "", session.Off, session.CauseAccessRemoved, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			s, other := w.start("ana", jobRun), w.start("ben", jobRun)
			w.pass(time.Minute)
			w.identity.access = map[string]session.Tri{"ana": c.answer, "ben": session.On}
			err := w.app.Handle(t.Context(), app.AccessCheck{EventID: "a-1", User: c.user, Group: "g-1", Application: "arn:app", At: w.now, By: "admin"})
			if (err != nil) != c.again {
				t.Errorf("answered %v", err)
			}
			if got := w.get(s.ID).End.Cause; got != c.want {
				t.Errorf("cause %q, should be %q", got, c.want)
			}
			w.must(other.ID, session.Active, "")
			w.pass(2 * time.Minute)
		})
	}
}

func TestS2ExecutionThatWaitsIsAborted(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", jobRun)
	w.pass(time.Minute)
	w.say(app.ExecutionChange{EventID: "x-1", Execution: "arn:execution:1", Status: "ABORTED", At: w.now})
	w.say(app.ExecutionChange{EventID: "x-2", Execution: "arn:execution:of-nobody", Status: "ABORTED", At: w.now})
	w.pass(2 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseWaiterAborted)
}

func TestS2_14ClusterTerminatedCloses(t *testing.T) {
	w := newWorld(t)
	on, off := w.start("ana", notebook), w.start("ana", jobRun)
	ending := w.start("ben", notebook)
	w.engine.of(ending).stubborn = true
	w.pass(time.Minute)
	w.say(w.fact(session.RevokeBackground, "ben", "r-1"))
	w.pass(time.Minute)
	stops := len(w.engine.of(on).asked)
	w.say(app.ClusterChange{EventID: "c-0", Cluster: "j-1YONHTCP3YZKC", At: w.now})
	w.must(on.ID, session.Active, "")
	w.say(app.ClusterChange{EventID: "c-1", Cluster: "j-1YONHTCP3YZKC", Terminated: true, At: w.now, Reason: "by request"})
	w.must(on.ID, session.Ended, session.CauseClusterTerminated)
	w.must(ending.ID, session.Ended, session.CauseBackgroundRevoked)
	w.must(off.ID, session.Active, "")
	if len(w.engine.of(on).asked) != stops {
		t.Error("a closed session was asked to stop")
	}
	w.engine.forget = map[workload.Ref]bool{on.Run.Ref(): true, ending.Run.Ref(): true}
	w.pass(2 * time.Minute)
}

func TestS1_8IdentityPropagationOffIsAFactOfOneDomain(t *testing.T) {
	w := newWorld(t)
	w.identity.facts[sagemaker] = yes
	of := func(domain string) session.Session {
		run := training
		run.Domain = domain
		return w.start("ana", run)
	}
	here, there, unknown := of("d-one"), of("d-two"), of("")
	livySession := w.start("ana", notebook)
	w.pass(time.Minute)
	p, err := w.store.Policy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.Version, p.InstanceBackground = p.Version+1, session.Off
	if err := w.store.PutPolicy(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	w.say(app.Fact{Event: session.Event{ID: "d-1", Kind: session.IdentityPropagationOff, At: w.now, Domain: "d-one", By: "admin"}})
	if s := w.get(here.ID); s.Mode != session.Interactive {
		t.Errorf("its mode is %s, should be interactive", s.Mode)
	}
	for _, s := range []session.Session{there, unknown, livySession} {
		if s := w.get(s.ID); s.Mode != session.Background || s.Status != session.Active {
			t.Errorf("a session of domain %q became %s, %s", s.Run.Domain, s.Mode, s.Status)
		}
	}
}

func TestS1_6PolicyChangeLeavesRunningSessionsAlone(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", jobRun)
	p, err := w.store.Policy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.Version, p.InstanceBackground, p.BackgroundDuration = p.Version+1, session.Off, time.Hour
	if err := w.store.PutPolicy(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	w.pass(3 * time.Hour)
	if now := w.must(s.ID, session.Active, ""); now.Mode != session.Background || !now.Deadline.Equal(s.Deadline) {
		t.Errorf("mode %s, deadline %s; was %s, %s", now.Mode, now.Deadline, s.Mode, s.Deadline)
	}
	if fresh := w.start("ana", jobRun); fresh.Mode != session.Interactive {
		t.Errorf("a new session is %s, should be interactive", fresh.Mode)
	}
}

func TestS2RaceIsDecidedAgain(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", training)
	w.pass(time.Second)
	races := 0
	w.app.Store = &hooked{Store: w.store, commit: func(app.Commit) error {
		if races++; races < 5 {
			return fault.New("commit", fault.Conflict, nil)
		}
		return nil
	}}
	w.say(w.fact(session.SignOut, "ana", "out-1"))
	w.must(s.ID, session.Ending, session.CauseSignOut)
	w.app.Store = &hooked{Store: w.store, commit: func(app.Commit) error { return fault.New("commit", fault.Conflict, nil) }}
	_, err := w.app.Apply(t.Context(), s.ID, session.Event{Kind: session.Tick, At: w.now})
	if !fault.Is(err, fault.Conflict) {
		t.Errorf("races without end answer %v, should be a conflict", err)
	}
	w.app.Store = w.store
	w.pass(2 * time.Minute)
}

func TestS2_10FanOutHandlesEachEvenIfOneFails(t *testing.T) {
	w := newWorld(t)
	var mine []session.Session
	for range 5 {
		mine = append(mine, w.start("ana", training))
	}
	w.pass(time.Second)
	w.app.Store = &hooked{Store: w.store, commit: func(c app.Commit) error {
		if c.Next.ID == mine[1].ID {
			return fault.New("commit", fault.Throttled, errDown)
		}
		return nil
	}}
	if err := w.app.Handle(t.Context(), w.fact(session.SignOut, "ana", "out-1")); err == nil {
		t.Error("one session was not reached and nobody was told")
	}
	for i, s := range mine {
		if got := w.get(s.ID).Status; (got == session.Ending) == (i == 1) {
			t.Errorf("session %d is %s", i, got)
		}
	}
	w.app.Store = w.store
	w.pass(3 * time.Minute)
	for _, s := range mine {
		w.must(s.ID, session.Ended, session.CauseSignOut)
	}
}

func TestS8_4HistoryIsReadAcrossPages(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", jobRun)
	for i := range 230 {
		w.say(app.Fact{Event: session.Event{ID: fmt.Sprint("t-", i), Kind: session.BackgroundTokenIssued, At: w.now.Add(time.Duration(i) * time.Second), User: "ana", Run: s.Run.Ref()}})
	}
	found := w.history(s.ID)
	if len(found) < 230 || !slices.IsSortedFunc(found, func(a, b app.Entry) int { return int(a.Version - b.Version) }) {
		t.Errorf("%d entries", len(found))
	}
	if n := len(w.get(s.ID).Recent); n != session.RecentMax {
		t.Errorf("%d event ids are kept, should be %d", n, session.RecentMax)
	}
	if _, _, err := w.app.SessionStory(t.Context(), "s-none"); !fault.Is(err, fault.NotFound) {
		t.Errorf("the story of nobody: %v", err)
	}
}
