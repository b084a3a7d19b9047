package proof

import (
	"cmp"
	"slices"
	"time"
)

// skewMax is how far the clocks of two functions may differ.
const skewMax = 10 * time.Second

// check looks at the session at hand as a whole. head is nil where its record is
// not there.
func (v *verifier) check(head *State) {
	v.open = false
	v.ordered()
	v.linked()
	v.headed(head)
	v.vouched()
	v.stops()
	v.entries = nil
}

// ordered: each version stands once and in its place. It leaves the entries
// sorted, each version once.
func (v *verifier) ordered() {
	for i, e := range v.entries[min(1, len(v.entries)):] {
		before := v.entries[i]
		switch {
		case e.Version == before.Version:
			v.broken(e, "it stands twice: one is invented")
		case e.Version < before.Version:
			v.broken(e, "it stands behind version %d: it is out of order", before.Version)
		}
	}
	slices.SortStableFunc(v.entries, func(a, b record) int { return cmp.Compare(a.Version, b.Version) })
	v.entries = slices.CompactFunc(v.entries, func(a, b record) bool { return a.Version == b.Version })
}

// linked: no version is missing, and each follows from the one before.
func (v *verifier) linked() {
	before := record{stated: Genesis}
	for _, e := range v.entries {
		switch {
		case e.Version == before.Version+2:
			v.broken(record{SessionID: e.SessionID, Version: e.Version - 1}, "it is missing")
		case e.Version > before.Version+1:
			v.broken(record{SessionID: e.SessionID, Version: before.Version + 1}, "it is missing, and so are all up to version %d", e.Version-1)
		case e.Previous != before.stated:
			v.broken(e, "it follows another version %d than the one here", before.Version)
		case e.From != before.To:
			v.broken(e, "it says that the session was %q before; it was %q", e.From, before.To)
		case e.From == ended && e.changes():
			v.broken(e, "an ended session has become %q (S2.3)", e.To)
		}
		before = e
	}
}

// headed: the session's record says the same as its history.
func (v *verifier) headed(head *State) {
	if head == nil {
		v.r.fault(Fault{Session: v.session, What: "its record is missing: nothing says what its newest version is"})
		return
	}
	wrong := func(version int64, what string) {
		v.r.fault(Fault{Line: v.lines, Session: v.session, Version: version, What: what})
	}
	if len(v.entries) == 0 {
		wrong(head.Version, "its whole history is missing")
		return
	}
	switch newest := v.entries[len(v.entries)-1]; {
	case newest.Version < head.Version:
		wrong(head.Version, "it is missing: the record is at this version")
	case newest.Version > head.Version:
		wrong(newest.Version, "it is invented, or the record was rolled back: the record is at an earlier version")
	case newest.stated != head.Hash:
		wrong(head.Version, "the record states another hash")
	case newest.To != head.Status:
		wrong(head.Version, "the record states another status, "+head.Status+" instead of "+newest.To)
	}
}

// vouched: what anchors say of the session is so; and of what happened in their
// time they name every change of status, else it was invented or dated back.
func (v *verifier) vouched() {
	byVersion := make(map[int64]record, len(v.entries))
	for _, e := range v.entries {
		byVersion[e.Version] = e
	}
	named := map[int64]bool{}
	for _, a := range v.anchored[v.session] {
		named[a.version] = true
		e, there := byVersion[a.version]
		fault := Fault{Line: e.line, Session: v.session, Version: a.version, Anchor: a.seq}
		switch {
		case !there:
			fault.What = "it is missing although an anchor names it: the session was rolled back"
			v.r.fault(fault)
		case e.stated != a.hash:
			fault.What = "an anchor names it with another hash: the session was rewritten"
			v.r.fault(fault)
		}
	}
	delete(v.anchored, v.session)
	due := v.r.Covered.Add(-Overlap)
	for _, e := range v.entries {
		switch {
		case !e.changes() || named[e.Version] || e.At.Before(v.r.Header.From):
		case e.At.Before(due):
			v.broken(e, "no anchor names it, and it is dated %s, of which the anchors name all: it is invented, or dated back", e.At.UTC().Format(time.RFC3339))
		default:
			v.r.Unanchored++
		}
	}
}

// stops reads the session's stop, if it had one, from its history.
func (v *verifier) stops() {
	var s *Stop
	for _, e := range v.entries {
		switch {
		case e.To == ending && e.changes():
			s = v.decided(e)
		case s == nil && e.To == ended && e.changes():
			if v.within(e.At) {
				v.r.Closed++
			}
		case s == nil:
		case e.Event.Kind == stopAccepted && s.Asked.IsZero():
			s.Asked = e.Event.At
		case e.To == ended && e.changes():
			v.confirmed(e, s)
		}
	}
	if s != nil && v.within(s.Decided) {
		v.r.Stops = append(v.r.Stops, *s)
	}
}

// decided begins a stop with the entry that decided it.
func (v *verifier) decided(e record) *Stop {
	t := e.End
	s := &Stop{Session: e.SessionID, Cause: t.Cause, Evidence: t.Evidence, By: t.By, Happened: t.Happened, Known: t.Known, Decided: t.Decided}
	switch {
	case t.Cause == "" || t.Known.IsZero():
		v.broken(e, "it says that the session ends, and not why or since when that is known (S2.7)")
		s.Decided = e.At
	case !t.Decided.Equal(e.At):
		v.broken(e, "it says that it was decided at %s and is dated %s", t.Decided.UTC().Format(time.RFC3339Nano), e.At.UTC().Format(time.RFC3339Nano))
	case t.Known.Sub(t.Decided) > skewMax:
		v.broken(e, "its cause was known only after it was decided")
	}
	return s
}

// confirmed ends a stop. What the last entry tells of it must be what the entries
// before it told.
func (v *verifier) confirmed(e record, s *Stop) {
	t := e.End
	s.Confirmed = e.At
	for _, c := range []struct {
		what string
		same bool
	}{
		{"cause", t.Cause == s.Cause}, {"evidence", t.Evidence == s.Evidence}, {"who caused it", t.By == s.By},
		{"when it happened", t.Happened.Equal(s.Happened)}, {"when it was known", t.Known.Equal(s.Known)},
		{"when it was decided", t.Decided.Equal(s.Decided)}, {"when it was asked for", t.Asked.Equal(s.Asked)},
		{"when it was confirmed", t.Confirmed.Equal(e.At)},
	} {
		if !c.same {
			v.broken(e, "of its end it says otherwise than the entries before it: %s", c.what)
		}
	}
	if e.At.Sub(s.Decided) < -skewMax {
		v.broken(e, "it is dated before the stop was decided")
	}
}
