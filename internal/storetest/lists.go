package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/session"
)

// many is more than two pages of any store, and more than two batches.
const many = 250

func manySessions(t *testing.T, s suite) {
	var ids, want []string
	for i := range many {
		id := fmt.Sprintf("s-%03d", i)
		ids = append(ids, id)
		if i%5 == 4 {
			continue // never opened
		}
		s.mustOpen(t, opening(t, id))
		want = append(want, id)
	}
	got := must[[]session.Session](t)(s.Store.Sessions(s.ctx, append(ids, ids[:20]...)))
	wantSet(t, "sessions", got, idOf, want)
	for _, none := range [][]string{nil, {"nobody"}} {
		if got := must[[]session.Session](t)(s.Store.Sessions(s.ctx, none)); len(got) != 0 {
			t.Errorf("sessions %q: got %d", none, len(got))
		}
	}
}

func pageSessions(t *testing.T, s suite) {
	var ids []string
	for i := range many {
		id := fmt.Sprintf("s-%03d", i)
		ids = append(ids, id)
		s.mustOpen(t, opening(t, id, func(x *session.Session) {
			x.OpenedAt = base.Add(time.Duration(i%7) * time.Second) // many at one moment
			x.Deadline = base.Add(time.Duration(i%11) * time.Hour)
		}))
	}
	s.Settle()
	later := base.Add(1000 * time.Hour)
	wantSet(t, "OfUser", everything(t, s.ofUser(ana)), idOf, ids)
	wantSet(t, "OfEndpoint", everything(t, s.ofEndpoint(place)), idOf, ids)
	wantSet(t, "Due", everything(t, s.due(later)), idOf, ids)
	wantSet(t, "List", everything(t, s.list()), idOf, ids)
	wantSet(t, "Unfinished", everything(t, s.unfinished(later)), func(e app.Entry) string { return e.SessionID }, ids)
	wantSet(t, "OfUser of another", everything(t, s.ofUser("bob")), idOf, nil)
	wantSet(t, "OfEndpoint of another", everything(t, s.ofEndpoint("livy/j-1")), idOf, nil)
}

func pageOthers(t *testing.T, s suite) {
	var ids []string
	for i := range many {
		id := fmt.Sprintf("x-%03d", i)
		ids = append(ids, id)
		u := signedOut(1)
		u.User, u.PendingSince = id, base.Add(time.Duration(i%3))
		err1 := s.Store.PutUser(s.ctx, u)
		err2 := s.Store.PutEndpoint(s.ctx, app.Endpoint{ID: id, Version: 1})
		_, err3 := s.Store.Park(s.ctx, app.Parked{ID: id, At: base.Add(time.Duration(i % 3))})
		if err1 != nil || err2 != nil || err3 != nil {
			t.Fatal(err1, err2, err3)
		}
	}
	s.Settle()
	wantSet(t, "PendingUsers", everything(t, s.pendingUsers), func(u string) string { return u }, ids)
	wantSet(t, "Endpoints", everything(t, s.endpoints), func(e app.Endpoint) string { return e.ID }, ids)
	wantSet(t, "ParkedEvents", everything(t, s.parked), func(p app.Parked) string { return p.ID }, ids)
}

func due(t *testing.T, s suite) {
	now := base.Add(100 * time.Hour)
	var want []string
	for i := range many {
		id := fmt.Sprintf("s-%03d", i)
		at := now.Add(-time.Duration(i*7919%many) * time.Nanosecond) // not in the order written
		switch i % 5 {
		case 3:
			at = now.Add(time.Duration(i+1) * time.Nanosecond) // not yet
		case 4:
			at = time.Time{} // never
		default:
			want = append(want, id)
		}
		s.mustOpen(t, opening(t, id, func(x *session.Session) {
			x.Deadline, x.Noticed = at, 1 // every notice given: the clock matters at the deadline
		}))
	}
	s.Settle()
	got := pages(t, s.due(now))
	wantSet(t, "due", slices.Concat(got...), idOf, want)
	for _, p := range got {
		if !slices.IsSortedFunc(p, func(a, b session.Session) int { return a.WakeAt().Compare(b.WakeAt()) }) {
			t.Error("a page is not earliest first")
		}
	}
	if got := everything(t, s.due(base)); len(got) != 0 {
		t.Errorf("%d sessions are due before any is", len(got))
	}
	// What is moved is due at its new moment only.
	o := opening(t, "moved", func(x *session.Session) { x.Deadline, x.Noticed = base, 1 })
	s.mustOpen(t, o)
	s.Settle()
	wantSet(t, "before it moved", everything(t, s.due(base)), idOf, []string{"moved"})
	s.mustCommit(t, following(t, o.Session, o.Entry, func(x *session.Session) { x.Deadline = now.Add(time.Hour) }))
	s.Settle()
	wantSet(t, "after it moved", everything(t, s.due(base)), idOf, nil)
}

func endedLeave(t *testing.T, s suite) {
	o, stays := opening(t, "ends"), opening(t, "stays")
	s.mustOpen(t, o)
	s.mustOpen(t, stays)
	ending := following(t, o.Session, o.Entry, func(x *session.Session) {
		x.Status, x.End.Decided, x.Run.Endpoint = session.Ending, base.Add(time.Second), "livy/j-1" // it moved, too
	})
	s.mustCommit(t, ending)
	s.Settle()
	wantSet(t, "OfUser while ending", everything(t, s.ofUser(ana)), idOf, []string{"ends", "stays"})
	wantSet(t, "OfEndpoint it left", everything(t, s.ofEndpoint(place)), idOf, []string{"stays"})
	wantSet(t, "OfEndpoint it went to", everything(t, s.ofEndpoint("livy/j-1")), idOf, []string{"ends"})
	wantSet(t, "Due while ending", everything(t, s.due(base.Add(time.Minute))), idOf, []string{"ends"})

	s.mustCommit(t, following(t, ending.Next, ending.Entry, ended))
	s.Settle()
	wantSet(t, "OfUser", everything(t, s.ofUser(ana)), idOf, []string{"stays"})
	wantSet(t, "OfEndpoint", everything(t, s.ofEndpoint("livy/j-1")), idOf, nil)
	wantSet(t, "Due", everything(t, s.due(base.Add(time.Minute))), idOf, nil)
	wantSet(t, "List", everything(t, s.list()), idOf, []string{"ends", "stays"})
}

func newestFirst(t *testing.T, s suite) {
	for i := range many {
		s.mustOpen(t, opening(t, fmt.Sprintf("s-%03d", i), func(x *session.Session) {
			x.RecordedAt = base.Add(time.Duration(i*7919%many) * time.Nanosecond)
			if i == 0 {
				x.RecordedAt = time.Unix(-1, 0).UTC() // before 1970 is still before
			}
		}))
	}
	s.Settle()
	got := everything(t, s.list())
	if len(got) != many {
		t.Fatalf("%d sessions listed, want %d", len(got), many)
	}
	if !slices.IsSortedFunc(got, func(a, b session.Session) int { return b.RecordedAt.Compare(a.RecordedAt) }) {
		t.Error("not newest first over all pages")
	}
	again := everything(t, s.list())
	if !slices.EqualFunc(got, again, func(a, b session.Session) bool { return a.ID == b.ID }) {
		t.Error("two reads of the same list differ in order")
	}
}

// staleIndex: which sessions a list has is as old as its index; what it says of
// each is not, and who has left it since is left out.
func staleIndex(t *testing.T, s suite) {
	if s.Stale == nil {
		s.declared.Add(1)
		t.Log("DECLARED: this backend cannot hold its index back; its lists are read fresh from the table")
		return
	}
	const elsewhere = "livy/j-1"
	ends, moves := opening(t, "ends"), opening(t, "moves")
	s.mustOpen(t, ends)
	s.mustOpen(t, moves)
	s.Settle()
	s.Stale(true)
	s.mustOpen(t, opening(t, "unseen"))
	s.mustCommit(t, following(t, ends.Session, ends.Entry, ended))
	s.mustCommit(t, following(t, moves.Session, moves.Entry, func(x *session.Session) { x.Run.Endpoint = elsewhere }))
	for what, c := range map[string]struct {
		list func(string) ([]session.Session, string, error)
		want []string
	}{
		"OfUser": {s.ofUser(ana), []string{"moves"}}, "OfEndpoint": {s.ofEndpoint(place), []string{"moves"}}, "OfEndpoint it went to": {s.ofEndpoint(elsewhere), nil},
		"Due": {s.due(base.Add(1000 * time.Hour)), []string{"moves"}}, "List": {s.list(), []string{"ends", "moves"}},
	} {
		got := everything(t, c.list)
		wantSet(t, what+" while the index is held back", got, idOf, c.want)
		for _, x := range got {
			if x.Version != 2 {
				t.Errorf("%s while the index is held back: session %s is shown at version %d", what, x.ID, x.Version)
			}
		}
	}
	if fresh := must[session.Session](t)(s.Store.Session(s.ctx, "ends")); fresh.Version != 2 {
		t.Errorf("Session is as stale as the index: version %d", fresh.Version)
	}
	many := must[[]session.Session](t)(s.Store.Sessions(s.ctx, []string{"ends", "unseen"}))
	if len(many) != 2 || many[0].Version != 2 {
		t.Errorf("Sessions is as stale as the index: %+v", many)
	}
	s.Stale(false)
	s.Settle()
	wantSet(t, "OfUser after it caught up", everything(t, s.ofUser(ana)), idOf, []string{"moves", "unseen"})
	wantSet(t, "OfEndpoint after it caught up", everything(t, s.ofEndpoint(elsewhere)), idOf, []string{"moves"})
}

func unfinished(t *testing.T, s suite) {
	o := opening(t, "s") // entry 1 is at base + 1 s
	s.mustOpen(t, o)
	two := following(t, o.Session, o.Entry)
	two.Entry.Effects = nil
	two.Entry = seal(t, two.Entry)
	s.mustCommit(t, two)
	three := following(t, two.Next, two.Entry)
	three.Entry.Done = true
	s.mustCommit(t, three)
	four := following(t, three.Next, three.Entry) // a crash: nobody carries it out
	s.mustCommit(t, four)
	nothing := opening(t, "nothing", func(x *session.Session) { x.Deadline, x.Noticed = base, 1 }) // it is due, and nothing of it is to be done
	nothing.Entry.Done = true
	s.mustOpen(t, nothing)
	s.Settle()
	ver := func(e app.Entry) string { return fmt.Sprint(e.Version) }
	later := base.Add(time.Hour)
	wantSet(t, "unfinished", everything(t, s.unfinished(later)), ver, []string{"1", "4"})
	wantSet(t, "older than entry 4", everything(t, s.unfinished(four.Entry.At)), ver, []string{"1"})
	wantSet(t, "older than entry 1", everything(t, s.unfinished(o.Entry.At)), ver, nil)
	for range 2 { // the second is a repetition
		if err := s.Store.Finish(s.ctx, "s", 1); err != nil {
			t.Fatal(err)
		}
	}
	s.Settle()
	wantSet(t, "after Finish", everything(t, s.unfinished(later)), ver, []string{"4"})
	wantKind(t, "Finish of no version", s.Store.Finish(s.ctx, "s", 9), fault.NotFound)
	wantKind(t, "Finish of version 0", s.Store.Finish(s.ctx, "s", 0), fault.NotFound)
	wantKind(t, "Finish of no session", s.Store.Finish(s.ctx, "nobody", 1), fault.NotFound)
	entries, _, err := s.Store.History(s.ctx, "s", 0, 10)
	if err != nil || len(entries) != 4 || !entries[0].Done || entries[1].Done || !entries[2].Done || entries[3].Done {
		t.Fatalf("history after Finish: %+v, %v", entries, err)
	}
	if hash, err := entries[0].Seal(); err != nil || hash != o.Entry.Hash {
		t.Errorf("Finish broke the proof: %v", err)
	}
}

func cursors(t *testing.T, s suite) {
	for i := range many {
		s.mustOpen(t, opening(t, fmt.Sprintf("s-%03d", i)))
	}
	s.Settle()
	first := must[app.Page](t)(s.Store.List(s.ctx, ""))
	if first.Next == "" {
		t.Fatalf("%d sessions are one page: nothing was looked at", many)
	}
	reads := map[string]func(string) error{
		"OfUser":       func(c string) error { _, err := s.Store.OfUser(s.ctx, ana, c); return err },
		"OfEndpoint":   func(c string) error { _, err := s.Store.OfEndpoint(s.ctx, place, c); return err },
		"Due":          func(c string) error { _, err := s.Store.Due(s.ctx, base, c); return err },
		"List":         func(c string) error { _, err := s.Store.List(s.ctx, c); return err },
		"Unfinished":   func(c string) error { _, _, err := s.Store.Unfinished(s.ctx, base, c); return err },
		"PendingUsers": func(c string) error { _, _, err := s.Store.PendingUsers(s.ctx, c); return err },
		"Endpoints":    func(c string) error { _, _, err := s.Store.Endpoints(s.ctx, c); return err },
		"ParkedEvents": func(c string) error { _, _, err := s.Store.ParkedEvents(s.ctx, c); return err },
		"Samples":      func(c string) error { _, _, err := s.Store.Samples(s.ctx, c); return err },
	}
	for name, read := range reads {
		for _, bad := range []string{"x", "!!", "e30", "bnVsbA", "[]", strings.Repeat("A", 5000), first.Next + "AAAA", first.Next} {
			if name == "List" && bad == first.Next {
				continue // its own
			}
			err := read(bad)
			wantKind(t, fmt.Sprintf("%s with cursor %.20q", name, bad), err, fault.Invalid)
			wantNamed(t, "cursor", err)
		}
	}
}

// wantNamed wants the error to name what is wrong.
func wantNamed(t *testing.T, field string, err error) {
	t.Helper()
	if err != nil && !strings.Contains(err.Error(), field) {
		t.Errorf("the error does not name %q: %v", field, err)
	}
}
