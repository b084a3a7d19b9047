package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

func lostUpdate(t *testing.T, s suite) {
	o := opening(t, "s")
	s.mustOpen(t, o)
	one := following(t, o.Session, o.Entry, func(x *session.Session) { x.Waiter = "one" })
	two := following(t, o.Session, o.Entry, func(x *session.Session) { x.Mode = session.Interactive })
	s.mustCommit(t, one)
	wantKind(t, "second commit", s.Store.Commit(s.ctx, two), fault.Conflict)
	got := must[session.Session](t)(s.Store.Session(s.ctx, "s"))
	if got.Version != 2 || got.Waiter != "one" || got.Mode != session.Background {
		t.Errorf("the loser left traces: %+v", got)
	}
	ahead := one
	ahead.Next.Version, ahead.Entry.Version = 9, 9
	wantKind(t, "commit from the future", s.Store.Commit(s.ctx, ahead), fault.Conflict)

	var won atomic.Int64
	together(8, func(i int) {
		c := following(t, one.Next, one.Entry, func(x *session.Session) { x.Deadline = base.Add(time.Duration(i) * time.Hour) })
		err := insist(func() error { return s.Store.Commit(s.ctx, c) })
		switch {
		case err == nil:
			won.Add(1)
		case !fault.Is(err, fault.Conflict):
			t.Errorf("concurrent commit: %v", err)
		}
	})
	if won.Load() != 1 {
		t.Errorf("%d of 8 concurrent commits won, want 1", won.Load())
	}
}

// together runs n calls at once and returns when all have.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() { <-start; f(i) })
	}
	close(start)
	wg.Wait()
}

func duplicateCommit(t *testing.T, s suite) {
	o := opening(t, "s")
	s.mustOpen(t, o)
	two := following(t, o.Session, o.Entry, func(x *session.Session) { x.Run.ID = "r" })
	two.Claim = true
	s.mustCommit(t, two)
	s.mustCommit(t, two)
	three := following(t, two.Next, two.Entry)
	s.mustCommit(t, three)
	s.mustCommit(t, two) // late, after others
	other := two
	other.Entry.Event.ID = "another decision"
	other.Entry = seal(t, other.Entry)
	wantKind(t, "same version, other entry", s.Store.Commit(s.ctx, other), fault.Conflict)
	if got := must[session.Session](t)(s.Store.Session(s.ctx, "s")); got.Version != 3 {
		t.Errorf("a repetition moved the session to version %d", got.Version)
	}
}

func frozenFields(t *testing.T, s suite) {
	toBob := func(x *session.Session) { x.User = "bob" }
	frozen := []struct {
		field string
		edit  func(*session.Session)
	}{
		{"User", toBob},
		{"Origin", func(x *session.Session) { x.Origin = session.Adopted }},
		{"OpenedAt", func(x *session.Session) { x.OpenedAt = x.OpenedAt.Add(1) }},
		{"RecordedAt", func(x *session.Session) { x.RecordedAt = x.RecordedAt.Add(1) }},
		{"Policy", func(x *session.Session) { x.Policy.TenantLimit++ }},
		{"Facts", func(x *session.Session) { x.Facts.ReleaseLabel = "emr-7.12.0" }},
		{"Reach", func(x *session.Session) { x.Reach.From = x.OpenedAt.Add(-1) }},
		{"Reach", func(x *session.Session) { x.Reach.Told = x.OpenedAt.Add(-1) }},
		{"Interactive", func(x *session.Session) { x.Interactive.ExpiresAt = x.Interactive.ExpiresAt.Add(1) }},
	}
	o := opening(t, "s")
	s.mustOpen(t, o)
	for _, f := range frozen {
		err := s.Store.Commit(s.ctx, following(t, o.Session, o.Entry, f.edit))
		wantKind(t, f.field, err, fault.Invalid)
		wantNamed(t, f.field, err)
	}
	// Everything else may change, and a moment may be written in another zone.
	zone := time.FixedZone("there", 2*3600)
	c := following(t, o.Session, o.Entry, func(x *session.Session) {
		x.OpenedAt, x.Interactive.ExpiresAt = x.OpenedAt.In(zone), x.Interactive.ExpiresAt.In(zone)
		x.Status, x.Mode, x.Why, x.Deadline, x.Run.Endpoint = session.Ending, session.Interactive, nil, base, "livy/j-1"
	})
	s.mustCommit(t, c)
	// A conflict is a conflict, whatever else is wrong.
	wantKind(t, "old version and frozen field", s.Store.Commit(s.ctx, following(t, o.Session, o.Entry, toBob)), fault.Conflict)
}

func mismatched(t *testing.T, s suite) {
	o := opening(t, "s")
	s.mustOpen(t, o)
	good := following(t, o.Session, o.Entry)
	for what, edit := range map[string]func(*app.Commit){
		"entry of another session": func(c *app.Commit) { c.Entry.SessionID = "x" },
		"entry of another version": func(c *app.Commit) { c.Entry.Version++ },
		"unsealed entry":           func(c *app.Commit) { c.Entry.Hash = "" },
		"claim without a run":      func(c *app.Commit) { c.Claim = true },
		"version of an opening":    func(c *app.Commit) { c.Next.Version, c.Entry.Version = 1, 1 },
	} {
		c := good
		edit(&c)
		wantKind(t, what, s.Store.Commit(s.ctx, c), fault.Invalid)
	}
	late := opening(t, "t", func(x *session.Session) { x.Version = 2 })
	wantKind(t, "opening of version 2", s.Store.Open(s.ctx, late), fault.Invalid)
}

func openTwice(t *testing.T, s suite) {
	o := opening(t, "s", withRun("r"))
	s.mustOpen(t, o)
	s.mustOpen(t, o) // the answer was lost
	s.mustCommit(t, following(t, o.Session, o.Entry))
	s.mustOpen(t, o)
	other := opening(t, "s", func(x *session.Session) { x.Mode = session.Interactive })
	wantOpenConflict(t, s.Store.Open(s.ctx, other), app.OpenConflict{Exists: true})
	wantOpenConflict(t, s.Store.Open(s.ctx, opening(t, "t", withRun("r"))), app.OpenConflict{Claimed: "s"})
	all := opening(t, "s", withRun("r2"), func(x *session.Session) { x.Mode = session.Interactive })
	all.UserVersion = 7
	wantOpenConflict(t, s.Store.Open(s.ctx, all), app.OpenConflict{Exists: true, User: true})
	if got := must[session.Session](t)(s.Store.Session(s.ctx, "s")); got.Version != 2 || got.Mode != session.Background {
		t.Errorf("opening again changed the session: %+v", got)
	}
	_, err := s.Store.Session(s.ctx, "t")
	wantKind(t, "the session whose opening failed", err, fault.NotFound)
	_, err = s.Store.Claimed(s.ctx, workload.Ref{Endpoint: place, ID: "r2"})
	wantKind(t, "the claim of an opening that failed", err, fault.NotFound)
}

func claimRace(t *testing.T, s suite) {
	const racers = 8
	for round := range 5 {
		run := fmt.Sprintf("run-%d", round)
		id := func(i int) string { return fmt.Sprintf("s-%d-%d", round, i) }
		opened := make([]app.Opening, racers)
		for i := range racers {
			opened[i] = opening(t, id(i))
			if i%2 == 0 {
				s.mustOpen(t, opened[i])
			} else {
				opened[i] = opening(t, id(i), withRun(run))
			}
		}
		errs := make([]error, racers)
		together(racers, func(i int) {
			errs[i] = insist(func() error {
				if i%2 == 1 {
					return s.Store.Open(s.ctx, opened[i])
				}
				c := following(t, opened[i].Session, opened[i].Entry, withRun(run))
				c.Claim = true
				return s.Store.Commit(s.ctx, c)
			})
		})
		owner := must[string](t)(s.Store.Claimed(s.ctx, workload.Ref{Endpoint: place, ID: run}))
		s.checkRacers(t, owner, id, errs)
	}
}

// checkRacers wants exactly the owner to have won, and no trace of the others.
func (s suite) checkRacers(t *testing.T, owner string, id func(int) string, errs []error) {
	t.Helper()
	won := 0
	for i, err := range errs {
		got, read := s.Store.Session(s.ctx, id(i))
		if err == nil {
			won++
			if owner != id(i) || got.Run.ID == "" {
				t.Errorf("%s won but the run belongs to %q", id(i), owner)
			}
			continue
		}
		wantKind(t, "loser", err, fault.Conflict)
		var c *app.OpenConflict
		if i%2 == 1 && (!errors.As(err, &c) || c.Claimed != owner || c.Exists || c.User) {
			t.Errorf("opening %s lost with %v, want Claimed %q", id(i), err, owner)
		}
		if i%2 == 1 && !fault.Is(read, fault.NotFound) || i%2 == 0 && got.Version != 1 {
			t.Errorf("loser %s left traces: %+v, %v", id(i), got, read)
		}
	}
	if won != 1 {
		t.Errorf("%d racers own one run", won)
	}
}

func reclaim(t *testing.T, s suite) {
	run := workload.Ref{Endpoint: place, ID: "r"}
	wantKind(t, "reclaim of an unclaimed run", s.Store.Reclaim(s.ctx, run, "a", "b"), fault.Conflict)
	s.mustOpen(t, opening(t, "a", withRun("r")))
	wantKind(t, "reclaim from one who does not own it", s.Store.Reclaim(s.ctx, run, "x", "b"), fault.Conflict)
	for range 2 { // the second is a repetition
		if err := s.Store.Reclaim(s.ctx, run, "a", "b"); err != nil {
			t.Fatal(err)
		}
	}
	if owner := must[string](t)(s.Store.Claimed(s.ctx, run)); owner != "b" {
		t.Errorf("the run belongs to %q, want b", owner)
	}
	wantOpenConflict(t, s.Store.Open(s.ctx, opening(t, "c", withRun("r"))), app.OpenConflict{Claimed: "b"})
	s.mustOpen(t, opening(t, "b", withRun("r"), func(x *session.Session) { x.Origin = session.Zombie }))
}

func signedOut(version int64) session.UserFacts {
	fact := session.Event{ID: fmt.Sprint("e-", version), Kind: session.SignOut, User: ana, At: base.Add(time.Duration(version))}
	return session.UserFacts{User: ana, Version: version, Facts: []session.Event{fact}, Pending: []session.Event{fact}, PendingSince: base}
}

func signOutBeforeOpen(t *testing.T, s suite) {
	read := must[session.UserFacts](t)(s.Store.User(s.ctx, ana))
	if err := s.Store.PutUser(s.ctx, signedOut(1)); err != nil {
		t.Fatal(err)
	}
	o := opening(t, "s", withRun("r"))
	o.UserVersion = read.Version
	wantOpenConflict(t, s.Store.Open(s.ctx, o), app.OpenConflict{User: true})
	_, err := s.Store.Session(s.ctx, "s")
	wantKind(t, "the session that must not be born", err, fault.NotFound)
	_, err = s.Store.Claimed(s.ctx, o.Session.Run.Ref())
	wantKind(t, "its claim", err, fault.NotFound)

	o.UserVersion = 1 // read again, decided again
	s.mustOpen(t, o)
	if err := s.Store.PutUser(s.ctx, signedOut(2)); err != nil {
		t.Fatal(err)
	}
	stale := opening(t, "t")
	stale.UserVersion = 1
	wantOpenConflict(t, s.Store.Open(s.ctx, stale), app.OpenConflict{User: true})
	s.Settle() // the other order: the fan-out finds the session
	wantSet(t, "fan-out", everything(t, s.ofUser(ana)), idOf, []string{"s"})
}

func signOutRace(t *testing.T, s suite) {
	var born []string
	for round := range int64(10) {
		var put atomic.Bool
		var mu sync.Mutex
		together(4, func(i int) {
			if i == 0 {
				if err := insist(func() error { return s.Store.PutUser(s.ctx, signedOut(round+1)) }); err != nil {
					t.Error(err)
				}
				put.Store(true)
				return
			}
			for n := 0; ; n++ {
				after := put.Load()
				o := opening(t, fmt.Sprintf("s-%d-%d-%d", round, i, n))
				o.UserVersion = round
				err := insist(func() error { return s.Store.Open(s.ctx, o) })
				var c *app.OpenConflict
				switch {
				case err == nil && after:
					t.Errorf("%s was born after the sign-out without having seen it", o.Session.ID)
					return
				case err == nil:
					mu.Lock()
					born = append(born, o.Session.ID)
					mu.Unlock()
				case errors.As(err, &c) && *c == (app.OpenConflict{User: true}):
					return
				default:
					t.Errorf("open: %v", err)
					return
				}
			}
		})
	}
	s.Settle()
	wantSet(t, "fan-out after the sign-outs", everything(t, s.ofUser(ana)), idOf, born)
}

func copies(t *testing.T, s suite) {
	o := opening(t, "s")
	o.Session.Recent = []string{"e1"}
	s.mustOpen(t, o)
	o.Session.Why[0], o.Session.Recent[0], o.Entry.Effects[0].Text = "changed", "changed", "changed"
	got := must[session.Session](t)(s.Store.Session(s.ctx, "s"))
	got.Why[0] = "changed"
	again := must[session.Session](t)(s.Store.Session(s.ctx, "s"))
	if again.Why[0] == "changed" || again.Recent[0] == "changed" {
		t.Errorf("a caller's slice is the store's: %+v", again)
	}
	entries, _, err := s.Store.History(s.ctx, "s", 0, 10)
	if err != nil || len(entries) != 1 || entries[0].Effects[0].Text != "" {
		t.Fatalf("history: %+v, %v", entries, err)
	}
	u := signedOut(1)
	if err := s.Store.PutUser(s.ctx, u); err != nil {
		t.Fatal(err)
	}
	u.Facts[0].ID, u.Pending[0].ID = "changed", "changed"
	if got := must[session.UserFacts](t)(s.Store.User(s.ctx, ana)); !reflect.DeepEqual(got, signedOut(1)) {
		t.Errorf("user: %+v", got)
	}
	s.Settle()
	for _, p := range everything(t, s.ofUser(ana)) {
		p.Why[0] = "changed"
	}
	if left := everything(t, s.ofUser(ana)); len(left) != 1 || slices.Contains(left[0].Why, "changed") {
		t.Errorf("the index's copy is the caller's: %+v", left)
	}
}
