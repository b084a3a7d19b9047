package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/proof"
	"nightshift/internal/session"
)

func changes(t *testing.T, s suite) {
	var want []string
	named := func(e app.Entry) string { return fmt.Sprint(e.SessionID, "/", e.Version) }
	for i := range many {
		id := fmt.Sprintf("s-%03d", i)
		at := base.Add(time.Duration(i%5) * time.Second) // many at one moment
		o := opening(t, id, func(x *session.Session) { x.RecordedAt = at })
		o.Entry.At = at
		o.Entry = seal(t, o.Entry)
		s.mustOpen(t, o)
		if i%5 == 1 || i%5 == 2 {
			want = append(want, named(o.Entry))
		}
	}
	from, until := base.Add(time.Second), base.Add(3*time.Second)
	read := func(c string) ([]app.Entry, string, error) { return s.Store.Changes(s.ctx, from, until, c) }
	s.Settle()
	got := pages(t, read)
	wantSet(t, "changes", slices.Concat(got...), named, want)
	from, until = base.Add(time.Hour), base
	wantSet(t, "changes of a time that ends before it begins", everything(t, read), named, nil)

	o := opening(t, "moves")
	s.mustOpen(t, o)
	quiet := following(t, o.Session, o.Entry)
	s.mustCommit(t, quiet)
	over := following(t, quiet.Next, quiet.Entry, ended)
	s.mustCommit(t, over)
	s.Settle()
	if err := s.Store.Finish(s.ctx, "moves", 3); err != nil {
		t.Fatal(err)
	}
	s.Settle()
	from, until = time.Time{}, base.Add(time.Hour)
	moves := func() []app.Entry {
		found := slices.DeleteFunc(everything(t, read), func(e app.Entry) bool { return e.SessionID != "moves" })
		slices.SortFunc(found, func(a, b app.Entry) int { return cmp.Compare(a.Version, b.Version) })
		return found
	}
	over.Entry.Done = true
	wantEqual(t, "the changes of a session", moves(), []app.Entry{o.Entry, over.Entry})
	for v := range int64(2) { // where it is listed changes with the last of its effects
		if err := s.Store.Finish(s.ctx, "moves", v+1); err != nil {
			t.Fatal(err)
		}
	}
	s.Settle()
	o.Entry.Done = true
	wantEqual(t, "the changes of a session that is over", moves(), []app.Entry{o.Entry, over.Entry})
}

// longLife: however long a session lives and however it is kept, the lists give
// what they should, and its history is whole.
func longLife(t *testing.T, s suite) {
	const versions = 60
	o := opening(t, "s")
	o.Entry.Event.Evidence = strings.Repeat("where it was asked for ", 20)
	o.Entry = seal(t, o.Entry)
	s.mustOpen(t, o)
	state, last := o.Session, o.Entry
	ending := base.Add((versions - 30) * time.Second)
	for v := int64(2); v <= versions; v++ {
		c := following(t, state, last, func(x *session.Session) {
			switch x.Version {
			case versions - 30:
				x.Status, x.End = session.Ending, session.End{Cause: session.CauseSignOut, Decided: ending}
			case versions:
				x.Status, x.End.Confirmed = session.Ended, base.Add(versions*time.Second)
			}
		})
		c.Entry.Event.Detail = fmt.Sprint("what happened then: ", v*7919, strings.Repeat(" and so on", int(v)))
		c.Entry = seal(t, c.Entry)
		s.mustCommit(t, c)
		state, last = c.Next, c.Entry
		if v%10 != 0 { // each tenth is never carried out
			if err := s.Store.Finish(s.ctx, "s", v); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.Settle()
	version := func(e app.Entry) string { return fmt.Sprint(e.Version) }
	wantSet(t, "unfinished", everything(t, s.unfinished(base.Add(time.Hour))), version, []string{"1", "10", "20", "30", "40", "50", "60"})
	for what, c := range map[string]struct {
		from, until time.Duration
		want        []string
	}{"all": {0, time.Hour, []string{"30", "60"}}, "the end of it": {31 * time.Second, time.Hour, []string{"60"}}, "how it began to end": {30 * time.Second, 31 * time.Second, []string{"30"}}} {
		got := everything(t, func(cursor string) ([]app.Entry, string, error) {
			return s.Store.Changes(s.ctx, base.Add(c.from), base.Add(c.until), cursor)
		})
		wantSet(t, "changes, "+what, slices.DeleteFunc(got, func(e app.Entry) bool { return e.Version == 1 }), version, c.want)
	}
	entries, more, err := s.Store.History(s.ctx, "s", 0, versions)
	if err != nil || more {
		t.Fatal(more, err)
	}
	checkChain(t, entries, versions)
	for _, e := range entries {
		if want := e.Version%10 != 0 && e.Version > 1; e.Done != want {
			t.Errorf("entry %d: done %t, want %t", e.Version, e.Done, want)
		}
	}
	wantEqual(t, "the session", must[session.Session](t)(s.Store.Session(s.ctx, "s")), state)
}

func anchors(t *testing.T, s suite) {
	const n = 5
	read := func(before int64, limit int) []proof.Anchor {
		t.Helper()
		got, more, err := s.Store.Anchors(s.ctx, before, limit)
		if err != nil || more != (len(got) > 0 && got[len(got)-1].Seq > 1) {
			t.Errorf("before %d, at most %d: %d anchors, more %t, %v", before, limit, len(got), more, err)
		}
		return got
	}
	if got := read(0, 10); len(got) != 0 {
		t.Errorf("anchors of an empty store: %v", got)
	}
	var all []proof.Anchor
	previous := proof.Genesis
	for i := range int64(n) {
		a := proof.Anchor{Seq: i + 1, At: base.Add(time.Duration(i) * time.Minute), Until: base.Add(time.Duration(i)), Live: i, Previous: previous}
		for v := range i {
			a.Heads = append(a.Heads, proof.Head{Session: fmt.Sprint("s-", v), Version: v + 1, Hash: "h"})
		}
		a.Hash = must[string](t)(a.Seal())
		previous = a.Hash
		for range 2 { // the same again is success
			if err := s.Store.PutAnchor(s.ctx, a); err != nil {
				t.Fatal(err)
			}
		}
		all = append([]proof.Anchor{a}, all...)
	}
	other := all[0]
	other.Hash = "other"
	wantKind(t, "another anchor of a number", s.Store.PutAnchor(s.ctx, other), fault.Conflict)
	wantKind(t, "number 0", s.Store.PutAnchor(s.ctx, proof.Anchor{}), fault.Invalid)
	wantEqual(t, "all", read(0, 10), all)
	wantEqual(t, "the newest", read(0, 1), all[:1])
	wantEqual(t, "before 4", read(4, 2), all[2:4])
	wantEqual(t, "before 2", read(2, 2), all[4:])
	wantEqual(t, "before the first", read(1, 2), []proof.Anchor(nil))
	for _, a := range read(0, 0) {
		if hash := must[string](t)(a.Seal()); hash != a.Hash {
			t.Errorf("anchor %d has another hash when read back", a.Seq)
		}
	}
}
