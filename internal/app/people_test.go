package app_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/session"
)

var root = app.Actor{Name: "u-root", Admin: true}

func user(name string) app.Actor { return app.Actor{Name: name, User: name} }

func refused(t *testing.T, err error) *app.Refusal {
	t.Helper()
	var r *app.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("%v is no refusal", err)
	}
	return r
}

// TestS8_1RevokeReachesAll: what a revocation has promised is done although its
// caller's process dies at once, an index lags, and a run is just being born.
func TestS8_1RevokeReachesAll(t *testing.T) {
	for _, c := range []struct {
		name   string
		target func(ids []string) app.Target
	}{
		{"S8.1 a user's", func([]string) app.Target { return app.Target{User: "u-ana"} }},
		{"S8.1 by selector", func([]string) app.Target { return app.Target{Selector: &app.Selector{User: "u-ana"}} }},
		{"S8.1 one", func(ids []string) app.Target { return app.Target{Session: ids[0]} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			ids := []string{w.start("u-ana", training).ID, w.start("u-ana", jobRun).ID}
			other := w.start("u-ben", training).ID
			w.pass(5 * time.Minute)
			// Every commit fails: the caller dies between the record and what follows.
			dying := true
			w.app.Store = &hooked{Store: w.store, commit: func(app.Commit) error {
				if dying {
					return errDown
				}
				return nil
			}}
			r, err := w.app.Revoke(t.Context(), app.Act{Who: root, Key: "revoke-one", Why: "an incident"}, c.target(ids), false, "")
			if err != nil {
				t.Fatalf("S3.7 a revocation that is recorded is accepted: %v", err)
			}
			dying = false
			w.pass(10 * time.Minute)
			want := ids
			if r.Target.Session != "" {
				want = ids[:1]
				w.must(ids[1], session.Active, "")
			}
			for _, id := range want {
				s := w.must(id, session.Ended, session.CauseStopRequested)
				if s.End.By != "u-root" || !strings.Contains(s.End.Evidence, "revoke-one") || !strings.Contains(s.End.Evidence, "an incident") {
					t.Errorf("S2.7 who and why: %+v", s.End)
				}
			}
			w.must(other, session.Active, "")
			far, err := w.app.Revocation(t.Context(), root, "revoke-one")
			if err != nil || far.Progress.Ended != len(want) || far.Progress.Total != len(want) || far.Why != "an incident" {
				t.Errorf("%+v %v", far.Progress, err)
			}
		})
	}
}

// TestS2_4RevokeOfAUserBeingBorn: a session that no index shows yet ends too; one
// that is opened afterwards lives.
func TestS2_4RevokeOfAUserBeingBorn(t *testing.T) {
	w := newWorld(t, indexLag(20*time.Second))
	s := w.start("u-ana", training)
	r, err := w.app.Revoke(t.Context(), app.Act{Who: root}, app.Target{User: "u-ana"}, false, "")
	if err != nil || r.Progress.Total != 0 {
		t.Fatalf("the index shows it already: %+v %v", r.Progress, err)
	}
	w.now = w.now.Add(time.Second)
	later := w.start("u-ana", training)
	w.pass(5 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseStopRequested)
	w.must(later.ID, session.Active, "")
	if _, err := w.app.Revoke(t.Context(), app.Act{Who: root, Key: r.ID}, app.Target{User: "u-ana"}, false, ""); err != nil {
		t.Fatal(err)
	}
	w.pass(5 * time.Minute)
	w.must(later.ID, session.Active, "") // a repetition asks for what was asked then
}

// TestS8_3PreviewIsTheDecision: what a preview and a what-if say is what happens
// then, for every mode.
func TestS8_3PreviewIsTheDecision(t *testing.T) {
	w := newWorld(t)
	w.identity.facts[livy] = session.Facts{} // unknown
	interactive, background, unknown := w.start("u-ana", training), w.start("u-ana", jobRun), w.start("u-ana", notebook)
	w.pass(5 * time.Minute)
	before := map[string]session.Session{}
	for _, s := range w.all() {
		before[s.ID] = s
	}
	want := map[string]app.Fated{interactive.ID: app.FateEnds, background.ID: app.FateGoesOn, unknown.ID: app.FateAlert}
	signOut, err := w.app.WhatIf(t.Context(), root, app.Change{SignOut: "u-ana"})
	if err != nil || len(signOut.Fates) != 3 {
		t.Fatal(signOut, err)
	}
	for _, f := range signOut.Fates {
		if f.Outcome != want[f.Before.ID] || f.Why == "" {
			t.Errorf("%s %s: %s, want %s: %s", f.Before.Run.Engine, f.Before.Mode, f.Outcome, want[f.Before.ID], f.Why)
		}
	}
	if signOut.Fates[0].Outcome != app.FateEnds || signOut.ETA() != 0 || len(signOut.Loads) != 1 || signOut.Loads[0].Endpoint != sagemaker {
		t.Errorf("what ends comes first: %+v", signOut)
	}
	for _, s := range w.all() {
		if s.Version != before[s.ID].Version {
			t.Errorf("S8.3 a what-if has written %s", s.ID)
		}
	}
	week, err := w.app.WhatIf(t.Context(), root, app.Change{Until: w.now.Add(7 * 24 * time.Hour)})
	if err != nil || week.Counts[app.FateEnds] != 2 || week.Counts[app.FateGoesOn] != 1 {
		t.Errorf("S8.3 in a week the limits of two have passed: %v %v", week.Counts, err)
	}
	w.say(w.fact(session.SignOut, "u-ana", "e-1"))
	w.pass(5 * time.Minute)
	w.must(interactive.ID, session.Ended, session.CauseSignOut)
	w.must(background.ID, session.Active, "")
	w.must(unknown.ID, session.Active, "")
}

// TestS8_3Policy: what-if tells what today's sessions would be under a changed
// policy, and that they are not touched by it (S1.6).
func TestS8_3Policy(t *testing.T) {
	w := newWorld(t)
	background, interactive := w.start("u-ana", jobRun), w.start("u-ana", training)
	w.pass(2 * time.Hour)
	hour, off := time.Hour, session.Off
	for _, c := range []struct {
		name   string
		change app.PolicyChange
		why    string // of the background session
	}{
		{"S1.6 a shorter background duration", app.PolicyChange{BackgroundDuration: &hour}, "the background session expired"},
		{"S1.6 background off", app.PolicyChange{InstanceBackground: &off}, "of mode interactive"},
		{"S1.6 a tenant limit", app.PolicyChange{TenantLimit: &hour}, "tenant limit"},
	} {
		f, err := w.app.WhatIf(t.Context(), root, app.Change{Policy: &c.change})
		if err != nil || len(f.Fates) != 2 {
			t.Fatal(c.name, f, err)
		}
		for _, x := range f.Fates {
			const like = "it goes on as it was opened (S1.6); a new session like it, under the changed policy, would be "
			if x.Outcome != app.FateGoesOn || !strings.HasPrefix(x.Why, like) || x.Before.ID == background.ID && !strings.Contains(x.Why, c.why) {
				t.Errorf("%s: %s is %s: %s", c.name, x.Before.Mode, x.Outcome, x.Why)
			}
		}
		story, err := w.app.Policy(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.app.SetPolicy(t.Context(), app.Act{Who: root}, story.Policy.Version, c.change); err != nil {
			t.Fatal(err)
		}
		w.now = w.now.Add(time.Second)
		w.pass(10 * time.Minute)
		w.must(background.ID, session.Active, "")
		w.must(interactive.ID, session.Active, "")
	}
	story, err := w.app.Policy(t.Context())
	if err != nil || story.Policy.Version != 4 || len(story.Changes) != 4 || story.Changes[0].By != "u-root" || story.Changes[0].Run.ID != "4" {
		t.Errorf("%+v %v", story, err)
	}
}

// TestS8_2ExtendIsAudited: the end that was asked for holds, and the history says
// who asked; a second asking with the same key asks for nothing more.
func TestS8_2ExtendIsAudited(t *testing.T) {
	w := newWorld(t)
	s := w.start("u-ana", jobRun)
	w.pass(24 * time.Hour)
	act := app.Act{Who: user("u-ana"), Key: "extend-1", Why: "two more epochs"}
	want := s.Deadline.Add(12 * time.Hour)
	for range 2 {
		got, err := w.app.Extend(t.Context(), act, s.ID, time.Time{}, 12*time.Hour)
		if err != nil || !got.Session.Deadline.Equal(want) || got.ID != "extend-1" {
			t.Fatalf("%s, want %s: %v", got.Session.Deadline, want, err)
		}
		w.now = w.now.Add(time.Minute)
	}
	last := w.history(s.ID)[len(w.history(s.ID))-1]
	if last.Event.Kind != session.Extended || last.Event.By != "u-ana" || !strings.Contains(last.Event.Evidence, "two more epochs") || !last.Deadline.Equal(want) {
		t.Errorf("S8.2 the history says %+v", last)
	}
	if _, err := w.app.Extend(t.Context(), app.Act{Who: user("u-ana"), Key: "extend-1"}, s.ID, time.Time{}, 13*time.Hour); !fault.Is(err, fault.Conflict) {
		t.Errorf("the key names another act: %v", err)
	}
	if r := refused(t, second(w.app.Extend(t.Context(), app.Act{Who: user("u-ana")}, s.ID, w.now.Add(60*24*time.Hour), 0))); !strings.Contains(r.Reason, "at the latest") || r.Remedy != app.Restart {
		t.Errorf("S1.6 beyond policy: %+v", r)
	}
	w.pass(want.Add(-time.Minute).Sub(w.now))
	w.must(s.ID, session.Active, "")
	w.pass(time.Hour)
	w.must(s.ID, session.Ended, session.CauseBackgroundExpired)
}

func second[A, B any](_ A, b B) B { return b }

// TestS8_6Lock: a lock refuses new starts and says why; what runs goes on; it
// ends by itself, or is taken away, and both are written down.
func TestS8_6Lock(t *testing.T) {
	w := newWorld(t)
	s := w.start("u-ana", jobRun)
	lock := func(act app.Act, until time.Time, lasting time.Duration) app.People {
		t.Helper()
		p, err := w.app.Lock(t.Context(), act, "u-ana", until, lasting)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	starts := func() error {
		w.executed++
		_, err := w.app.OpenSession(t.Context(), app.OpenRequest{Execution: fmt.Sprint("start-", w.executed), User: "u-ana", Run: training})
		return err
	}
	first := app.Act{Who: root, Key: "lock-one", Why: "an incident"}
	if p := lock(first, time.Time{}, 2*time.Hour); !p.Facts.Lock.Until.Equal(w.now.Add(2*time.Hour)) || p.Facts.Lock.By != "u-root" {
		t.Errorf("%+v", p.Facts.Lock)
	}
	if err := starts(); !errors.Is(err, app.ErrLocked) || !strings.Contains(err.Error(), "an incident") {
		t.Errorf("S8.6 a locked user starts: %v", err)
	}
	w.pass(time.Hour)
	w.must(s.ID, session.Active, "")
	if p := lock(first, time.Time{}, 2*time.Hour); !p.Facts.Lock.Until.Equal(w.now.Add(time.Hour)) {
		t.Errorf("a lock that is repeated is longer: %s", p.Facts.Lock.Until)
	}
	lock(app.Act{Who: root}, time.Time{}, 0)
	if err := starts(); err != nil {
		t.Errorf("S8.6 an unlocked user: %v", err)
	}
	if p := lock(first, time.Time{}, 2*time.Hour); !p.Facts.Lock.Until.IsZero() {
		t.Errorf("an old lock that is repeated undoes what came after it: %+v", p.Facts.Lock)
	}
	w.now = w.now.Add(time.Second)
	lock(app.Act{Who: root, Why: "again"}, w.now.Add(time.Hour), 0)
	w.pass(time.Hour)
	if err := starts(); err != nil {
		t.Errorf("S8.6 a lock that has passed: %v", err)
	}
	p, err := w.app.User(t.Context(), user("u-ana"), "u-ana")
	if err != nil || !p.Facts.Lock.Until.IsZero() || p.Live != 2 {
		t.Errorf("%+v %v", p, err)
	}
	var kinds []session.Kind
	for _, f := range p.Facts.Facts {
		kinds = append(kinds, f.Kind)
	}
	if fmt.Sprint(kinds) != "[user-unlocked user-locked]" {
		t.Errorf("S8.6 written down are %v", kinds)
	}
}

// TestS2_9RevokeSaysWhen: the ETA of a mass stop is that of the endpoint's rate,
// what waits already included.
func TestS2_9RevokeSaysWhen(t *testing.T) {
	w := newWorld(t, large)
	rate := cadence.Of("emr-containers").Stop
	n := rate.Burst + 100
	for range n {
		w.start("u-ana", jobRun)
	}
	first := w.start("u-ben", jobRun)
	w.unswept, w.deaf = true, true
	if _, err := w.app.Stop(t.Context(), app.Act{Who: user("u-ben")}, first.ID); err != nil {
		t.Fatal(err)
	}
	r, err := w.app.Revoke(t.Context(), app.Act{Who: root}, app.Target{User: "u-ana"}, true, "")
	want := time.Duration(float64(n+1-rate.Burst) / rate.PerSecond * float64(time.Second))
	if err != nil || r.Forecast.ETA() != want || r.Forecast.Counts[app.FateEnds] != n || r.Forecast.Loads[0].Ahead != 1 {
		t.Errorf("S2.9 %d runs and one before them: %s, want %s: %+v %v", n, r.Forecast.ETA(), want, r.Forecast.Loads, err)
	}
}
