package ddbstore

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore/schema"
	"nightshift/internal/fault"
	"nightshift/internal/session"
)

// record is a session's item: its newest state and the newest entries of its
// history, which one write changes together. Older entries stand in blocks.
type record struct {
	state  session.Session
	tail   []app.Entry
	undone []int64 // versions whose effects are not known to be done, oldest first
	since  int64   // of the entries before it each is an item of its own, as in schema 1; 0: of none
	look   hit     // its place among what the sweep looks at; at.pk is the partition
}

// never is since of a session that was written in schema 1 alone.
const never = math.MaxInt64

// Partitions of gsi3. A session is DUE when the sweep has to look at it: because
// of the clock, or because effects may have been lost. It is OVER when it never
// has to again.
const (
	lookDue  = "DUE"
	lookOver = "OVER"
)

func (l hit) due() bool { return strings.HasPrefix(l.at.pk, lookDue) }

// by says whether the place is one that a sweep at that moment sees.
func (l hit) by(at time.Time) bool { return l.due() && l.sort < stamp(at)+highest }

// next is the record after a commit.
func (r record) next(state session.Session, e app.Entry) record {
	n := record{state: state, tail: append(slices.Clone(r.tail), e), undone: slices.Clone(r.undone), since: r.since}
	if r.since == never {
		n.since = e.Version
	}
	if len(e.Effects) > 0 && !e.Done {
		n.undone = append(n.undone, e.Version)
	}
	n.look = n.place(r.look, e.At)
	return n
}

// without is the record once a version's effects are done.
func (r record) without(version int64) record {
	r.undone = slices.DeleteFunc(slices.Clone(r.undone), func(v int64) bool { return v == version })
	r.look = r.place(r.look, time.Time{})
	return r
}

// moment is when a place begins to be seen.
func (l hit) moment() (time.Time, bool) {
	text, _, _ := strings.Cut(l.sort, "#")
	at, err := time.Parse(time.RFC3339Nano, text)
	return at, err == nil
}

// place is where the sweep finds the session: not later than the clock matters
// to it, and not later than from seen on where effects are undone. A place that
// is early enough stays, for moving costs two write units, while it is soon to be
// looked at anyway: as long as effects are undone, while its run is being
// started, and while it is ENDING.
func (r record) place(before hit, seen time.Time) hit {
	a, wake := stateOf(r.state.ID), r.state.WakeAt()
	at, stays := wake, false
	switch s := r.state; {
	case len(r.undone) > 0:
		if at, stays = seen, true; seen.IsZero() {
			at, _ = before.moment() // some were done, others are not
		}
		if !wake.IsZero() && wake.Before(at) {
			at = wake
		}
	case s.Status == session.Ended:
		return hit{address{lookOver + "#" + a.shard(), ""}, a.sorted(s.End.Confirmed)}
	case s.Run.ID == "":
		if stays = true; wake.IsZero() {
			return before
		}
	case wake.IsZero():
		return hit{}
	default:
		stays = s.Status == session.Ending
	}
	if stays && before.by(at) {
		return before
	}
	return hit{address{lookDue + "#" + a.shard(), ""}, a.sorted(at)}
}

// item is the record as it is written.
func (r record) item(op string) (item, error) {
	s := r.state
	a := stateOf(s.ID)
	doc := recordDoc{sessionDoc: sessionToDoc(s), Tail: each(r.tail, entryToDoc), Since: r.since}
	it, err := packed(op, a, doc)
	if err != nil {
		return nil, err
	}
	frozen, _, err := frozenMarks(op, s)
	if err != nil {
		return nil, err
	}
	it[attrVersion], it[attrFrozen] = number(s.Version), frozen
	if len(r.undone) > 0 {
		it[attrUndone] = text(versions(r.undone))
	}
	place(it, schema.GSI4, "LIST#"+a.shard(), a.sorted(s.RecordedAt))
	if s.Status != session.Ended {
		place(it, schema.GSI1, pkUser+part(s.User), a.sorted(s.OpenedAt))
		place(it, schema.GSI2, pkEndpoint+part(s.Run.Endpoint), a.sorted(s.OpenedAt))
	}
	if r.look != (hit{}) {
		place(it, schema.GSI3, r.look.at.pk, r.look.sort)
	}
	return it, fits(op, "session "+s.ID, it)
}

// shortened is the record with its item, and the block into which its older
// entries are moved where the item is dearer with them; nil: none is.
func (r record) shortened(op string) (short record, it, block item, err error) {
	if it, err = r.item(op); units(it) == 1 {
		return r, it, nil, err
	}
	newest := len(r.tail) - 1
	short = r
	short.tail = r.tail[newest:]
	smaller, wrong := short.item(op)
	if wrong != nil || units(smaller) == units(it) {
		return r, it, nil, err
	}
	block, err = blockItem(op, r.tail[:newest])
	return short, smaller, block, err
}

// frozenMarks are the marks of what never changes after the opening, as they are
// written now and as they were in schema 1.
func frozenMarks(op string, s session.Session) (now, then types.AttributeValue, err error) {
	doc, err := encode(frozenOf(s))
	if err != nil {
		return nil, nil, fault.New(op, fault.Invalid, err)
	}
	sum := digest(doc)
	return text(sum[:frozenSize]), text(sum), nil
}

// frozenSize is how many hex digits of the mark are kept: it finds mistakes of
// ours, not forgeries.
const frozenSize = 16

func versions(all []int64) string {
	return strings.Join(each(all, func(v int64) string { return strconv.FormatInt(v, 10) }), ",")
}

func decodeRecord(op string, it item) (record, error) {
	var d recordDoc
	if err := decode(op, it, &d); err != nil {
		return record{}, err
	}
	r := record{state: d.session(), since: d.Since, look: hit{
		at: address{pk: getText(it, schema.GSI3.PartitionKey.Name)}, sort: getText(it, schema.GSI3.SortKey.Name),
	}}
	if getNumber(it, attrSchema) < schema.Version {
		r.since = never
	}
	for v := range strings.SplitSeq(getText(it, attrUndone), ",") {
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			r.undone = append(r.undone, n)
		}
	}
	r.tail = r.entries(d.Tail)
	return r, nil
}

// entries are those of a tail or a block, as far as their effects are done.
func (r record) entries(docs []entryDoc) []app.Entry {
	return each(docs, func(d entryDoc) app.Entry { return d.entry(!slices.Contains(r.undone, d.Version)) })
}

func decodeState(op string, it item) (session.Session, error) {
	r, err := decodeRecord(op, it)
	return r.state, err
}

// blockItem is a part of a history as an item of its own, under the version of
// its last entry. Its content follows from what is committed, so that it may be
// written twice.
func blockItem(op string, entries []app.Entry) (item, error) {
	last := entries[len(entries)-1]
	it, err := packed(op, entryOf(last.SessionID, last.Version), blockDoc{Tail: each(entries, entryToDoc)})
	if err != nil {
		return nil, err
	}
	return it, fits(op, fmt.Sprintf("entries up to %d of session %s", last.Version, last.SessionID), it)
}

// keepsHash refuses an entry whose hash would not be the same when read back.
// JSON writes bytes that are not UTF-8 as \ufffd and that, read back, as the
// character itself, so the two hash differently. Only such an entry is read
// back here.
func keepsHash(op string, e app.Entry) error {
	doc, err := encode(entryToDoc(e))
	if err != nil {
		return fault.New(op, fault.Invalid, err)
	}
	if !strings.Contains(doc, `\ufffd`) {
		return nil
	}
	back, err := decodeEntry(op, item{attrSchema: number(schema.Plain), attrDoc: text(doc)})
	if err != nil {
		return err
	}
	if hash, err := back.Seal(); err != nil || hash != e.Hash {
		return fault.Newf(op, fault.Invalid, "entry %d of session %q holds text that is not UTF-8: its proof could not be recomputed", e.Version, e.SessionID)
	}
	return nil
}

// decodeEntry reads an entry that is an item of its own, as in schema 1.
func decodeEntry(op string, it item) (app.Entry, error) {
	var d entryDoc
	err := decode(op, it, &d)
	return d.entry(getDone(it)), err
}

// record reads a session's item, strongly; NotFound where there is none.
func (s *Store) record(ctx context.Context, op, id string) (record, error) {
	it, err := s.get(ctx, op, stateOf(id))
	if err != nil {
		return record{}, err
	}
	if it == nil {
		return record{}, fault.Newf(op, fault.NotFound, "there is no session %q", id)
	}
	r, err := decodeRecord(op, it)
	if err == nil {
		s.lately.keep(r)
	}
	return r, err
}

// recently are records as they were read or written last, so that a write of
// what was just read need not read it again. Each is only a guess: every write
// has the condition that the item is still the one guessed.
type recently struct {
	mu  sync.Mutex
	all map[string]record
}

// recentMax bounds the guesses; at the limit all are forgotten.
const recentMax = 1000

func (l *recently) keep(r record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil || len(l.all) >= recentMax {
		l.all = map[string]record{}
	}
	l.all[r.state.ID] = r
}

// take answers the guess and forgets it: it is good for one try.
func (l *recently) take(id string) (record, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.all[id]
	delete(l.all, id)
	return r, ok
}
