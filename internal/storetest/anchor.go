package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/proof"
)

func changes(t *testing.T, s suite) {
	var want []string
	named := func(e app.Entry) string { return fmt.Sprint(e.SessionID, "/", e.Version) }
	for i := range many {
		id := fmt.Sprintf("s-%03d", i)
		o := opening(t, id)
		o.Entry.At = base.Add(time.Duration(i%5) * time.Second) // many at one moment
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
	if !slices.IsSortedFunc(slices.Concat(got...), func(a, b app.Entry) int { return a.At.Compare(b.At) }) {
		t.Error("changes are not oldest first")
	}
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
	moves := slices.DeleteFunc(everything(t, read), func(e app.Entry) bool { return e.SessionID != "moves" })
	over.Entry.Done = true
	wantEqual(t, "the changes of a session", moves, []app.Entry{o.Entry, over.Entry})
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
