package app_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/cost"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// noticed lists what the far end has heard of a session: one notice per id,
// however often it was delivered, with the time before the end or its name.
func (w *world) noticed(id string) []string {
	var all []string
	seen := map[string]bool{}
	for _, a := range w.says.said {
		if a.Kind != "notice" || a.Session.ID != id || seen[a.ID] {
			continue
		}
		seen[a.ID] = true
		name := a.Effect.Reason
		if a.Effect.Before > 0 {
			name = session.Lasting(a.Effect.Before)
		}
		all = append(all, name)
	}
	return all
}

func wantNoticed(t *testing.T, w *world, id string, want ...string) {
	t.Helper()
	if got := strings.Join(w.noticed(id), ", "); got != strings.Join(want, ", ") {
		t.Errorf("S4.6 noticed %q, want %q", got, strings.Join(want, ", "))
	}
}

func TestS4_6NoticesBeforeAndAtTheEnd(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", jobRun) // background, 7 days
	w.pass(7*24*time.Hour + 20*time.Minute)
	w.must(s.ID, session.Ended, session.CauseBackgroundExpired)
	wantNoticed(t, w, s.ID, "24 hours", "1 hour", "15 minutes", "background-expired")
}

// Late news is no news: the sweep rests while the 24 h notice is due, and an
// announcement that nobody took for hours is not made after that.
func TestS4_6AnOutageMakesNoOldNews(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", jobRun)
	w.pass(6*24*time.Hour - 10*time.Minute)
	w.unswept = true
	w.pass(21 * time.Hour)
	w.unswept = false
	w.pass(30 * time.Minute)
	wantNoticed(t, w, s.ID)
	if entries := w.history(s.ID); !strings.Contains(entries[len(entries)-1].Note, "late news is no news") {
		t.Errorf("the record does not say why: %+v", entries[len(entries)-1])
	}
	w.says.fail = func(a app.Announcement) error { return errDown }
	w.pass(2*time.Hour + 32*time.Minute) // the 1 h and the 15 min notice find nobody
	w.says.fail = nil
	w.pass(2 * time.Minute)
	wantNoticed(t, w, s.ID)
	w.pass(15 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseBackgroundExpired)
	wantNoticed(t, w, s.ID, "background-expired")
	if left, _, err := w.store.Unfinished(t.Context(), w.now, ""); err != nil || len(left) != 0 {
		t.Errorf("%d entries are never done, %v", len(left), err)
	}
}

// A notice that was lost on the way for a moment is said again, under its id.
func TestS4_6ANoticeIsSaidOnceHoweverOftenItIsDelivered(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", jobRun)
	w.pass(6*24*time.Hour - time.Minute)
	w.says.fail = func(a app.Announcement) error { w.says.said = append(w.says.said, a); return errDown } // heard, and the answer is lost
	w.pass(90 * time.Second)
	w.says.fail = nil
	w.pass(5 * time.Minute)
	if n := w.says.ids("notice", s.ID, ""); len(n) != 1 {
		t.Fatalf("ids %v, want one", n)
	}
	wantNoticed(t, w, s.ID, "24 hours")
}

func TestS4_6WhatWillNotFinishIsToldOnce(t *testing.T) {
	w := newWorld(t)
	w.identity.facts[livy] = classic // interactive: 8 hours
	s := w.start("ana", notebook)
	r := w.engine.of(s)
	since := w.now
	work := 10 * time.Hour // of a statement that needs more than is left
	r.o.Activity = workload.Activity{Known: true, Busy: true}
	for range 70 {
		r.o.Progress = workload.Progress{Of: "statement 0", Fraction: float64(w.now.Sub(since)) / float64(work), Since: since}
		w.pass(5 * time.Minute)
	}
	wantNoticed(t, w, s.ID, session.NoticeLate)
	now := w.get(s.ID)
	if now.Progress.Fraction < 0.4 || now.LateAt.Sub(began) > 2*time.Hour {
		t.Errorf("progress %+v, told at %s", now.Progress, now.LateAt)
	}
	if now.Version > 20 {
		t.Errorf("%d versions: each look writes one", now.Version)
	}
}

func TestS4_6ForgottenAndDearIsToldOnce(t *testing.T) {
	w := newWorld(t)
	w.app.Book = cost.Book{Table: cost.Published()}
	w.identity.facts[sagemaker] = yes
	run := training
	run.Billing = workload.Billing{InstanceType: "ml.m5.large", Instances: 33} // 3.795 an hour: 100 dollars after 26 h 21 min
	s, cheap := w.start("ana", run), training
	cheap.Billing = workload.Billing{InstanceType: "ml.m5.large", Instances: 1}
	c := w.start("ana", cheap)
	unpriced := w.start("ana", training)
	if got := w.app.Cost(w.get(unpriced.ID)); got.Hourly.Known() {
		t.Errorf("a run of no known instances costs %+v", got)
	}
	w.pass(time.Hour)
	w.say(w.fact(session.SignOut, "ana", "e-1"))
	w.pass(25 * time.Hour) // forgotten from here on
	wantNoticed(t, w, s.ID)
	w.pass(time.Hour)
	wantNoticed(t, w, s.ID, session.NoticeForgotten)
	w.pass(3 * 24 * time.Hour)
	for _, x := range []session.Session{s, c, unpriced} {
		if !w.app.Cost(w.get(x.ID)).Forgotten {
			t.Errorf("S8.5 session %s is not named as forgotten", x.ID)
		}
	}
	wantNoticed(t, w, s.ID, session.NoticeForgotten)
	wantNoticed(t, w, c.ID)
	wantNoticed(t, w, unpriced.ID)

	root := app.Actor{Name: "root", Admin: true}
	report, err := w.app.Costs(t.Context(), root, time.Time{})
	if err != nil || report.Total.Sessions != 3 || report.Total.SoFar.Unknown != 1 || len(report.Forgotten) != 3 || report.Forgotten[0].ID != s.ID || !report.Complete {
		t.Errorf("S8.5 %+v, %v", report, err)
	}
	none, err := w.app.Costs(t.Context(), app.Actor{Name: "ben", User: "ben"}, time.Time{})
	if err != nil || none.Total.Sessions != 0 {
		t.Errorf("of ben: %+v, %v", none, err)
	}
	// What lives is counted however old it is; what has ended, from the moment on.
	_, err = w.app.Stop(t.Context(), app.Act{Who: root}, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	w.pass(time.Hour)
	for who, want := range map[app.Actor]int{root: 2, {Name: "ana", User: "ana"}: 2} {
		late, err := w.app.Costs(t.Context(), who, w.now.Add(-time.Hour))
		if err != nil || late.Total.Sessions != want || !late.From.Equal(w.now.Add(-time.Hour)) || len(late.Forgotten) != 2 {
			t.Errorf("S8.5 recorded since an hour ago, seen by %s: %+v, %v", who.Name, late, err)
		}
	}
	if _, err := w.app.Costs(t.Context(), root, w.now.Add(time.Hour)); !fault.Is(err, fault.Invalid) {
		t.Errorf("from a time to come: %v", err)
	}
	if _, err := w.app.Costs(t.Context(), app.Actor{Name: "x"}, time.Time{}); !fault.Is(err, fault.Denied) {
		t.Errorf("somebody who is no user: %v", err)
	}
}

// endless is a store that has a record of each second for years, and counts what of
// them is read.
type endless struct {
	app.Store
	now  time.Time
	read int
}

func (e *endless) List(context.Context, string) (app.Page, error) {
	p := app.Page{Next: "more"}
	for range 500 {
		e.read++
		at := e.now.Add(-time.Duration(e.read) * time.Second)
		p.Sessions = append(p.Sessions, session.Session{ID: fmt.Sprint("s-", e.read), User: "ana", Status: session.Ended, RecordedAt: at, OpenedAt: at})
	}
	return p, nil
}

// S8.5: a report reads so many records and no more, and says from when on it counts.
func TestS8_5CostsAreBounded(t *testing.T) {
	w := newWorld(t)
	store := &endless{Store: w.app.Store, now: w.now}
	w.app.Store = store
	c, err := w.app.Costs(t.Context(), app.Actor{Name: "root", Admin: true}, time.Time{})
	if err != nil || c.Complete || c.Total.Sessions != 20_000 || store.read != 20_000 || !c.From.Equal(w.now.Add(-20_000*time.Second)) {
		t.Errorf("%d records were read, %d counted, from %s, complete: %t, %v", store.read, c.Total.Sessions, c.From, c.Complete, err)
	}
	store.read = 0
	hour := w.now.Add(-time.Hour)
	if c, err = w.app.Costs(t.Context(), app.Actor{Name: "root", Admin: true}, hour); err != nil || !c.Complete || c.Total.Sessions != 3600 || store.read > 4000 || !c.From.Equal(hour) {
		t.Errorf("an hour: %d read, %d counted, %+v, %v", store.read, c.Total.Sessions, c.From, err)
	}
}

// What a run is billed by comes from its start, and of an adopted one from its
// listing; it is kept as it was first told.
func TestS8_5BillingIsRecordedOnce(t *testing.T) {
	w := newWorld(t)
	gpu := workload.Billing{InstanceType: "ml.g5.xlarge", Instances: 2, CostCenter: "4711"}
	run := jobRun
	run.ID, run.Billing = "vc/theirs", gpu
	w.app.Endpoints = []string{onEKS}
	r := w.engine.add(workload.Observation{Run: run, User: "ben"})
	w.pass(6 * time.Minute)
	all := w.all()
	if len(all) != 1 || all[0].Run.Billing != gpu {
		t.Fatalf("adopted as %+v", all)
	}
	r.o.Run.Billing.Instances = 5
	before := all[0].Version
	w.pass(time.Hour)
	if s := w.get(all[0].ID); s.Run.Billing != gpu || s.Version != before {
		t.Errorf("billed by %+v, version %d after %d", s.Run.Billing, s.Version, before)
	}
}
