package memstore

import (
	"container/heap"
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/session"
)

// indexes are the copies that list reads see. With a lag they are behind: each
// change waits in late until its moment has come.
type indexes struct {
	now  func() time.Time
	lag  func() time.Duration
	late changes
	last map[thing]time.Time // when the newest change of each becomes, or became, visible
	seq  int64

	users      map[string]*sorted[*record]
	endpoints  map[string]*sorted[*record]
	due        *sorted[*record]
	list       *sorted[*record]
	unfinished *sorted[*app.Entry]
	changes    *sorted[*app.Entry]
	pending    *sorted[string]
	registry   *sorted[app.Endpoint]
	parked     *sorted[app.Parked]
	samples    *sorted[app.Sampled]
	notebooks  *sorted[app.Notebook]
	moves      *sorted[app.Notebook]
}

func newIndexes() *indexes {
	return &indexes{
		last:       map[thing]time.Time{},
		users:      map[string]*sorted[*record]{},
		endpoints:  map[string]*sorted[*record]{},
		due:        newSorted[*record](ascending),
		list:       newSorted[*record](descending),
		unfinished: newSorted[*app.Entry](ascending),
		changes:    newSorted[*app.Entry](ascending),
		pending:    newSorted[string](ascending),
		registry:   newSorted[app.Endpoint](ascending),
		parked:     newSorted[app.Parked](descending),
		samples:    newSorted[app.Sampled](ascending),
		notebooks:  newSorted[app.Notebook](ascending),
		moves:      newSorted[app.Notebook](ascending),
	}
}

// thing is what has copies in indexes.
type thing struct{ kind, id string }

// change is an index write that is not visible yet.
type change struct {
	at    time.Time
	seq   int64
	apply func()
}

// changes is a heap: earliest first, then in the order written.
type changes []*change

func (c changes) Len() int      { return len(c) }
func (c changes) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c changes) Less(i, j int) bool {
	if !c[i].at.Equal(c[j].at) {
		return c[i].at.Before(c[j].at)
	}
	return c[i].seq < c[j].seq
}
func (c *changes) Push(x any) { *c = append(*c, x.(*change)) }
func (c *changes) Pop() any {
	last := len(*c) - 1
	x := (*c)[last]
	(*c)[last] = nil
	*c = (*c)[:last]
	return x
}

// write makes a change, now or after the lag. Changes of one thing never
// overtake each other.
func (x *indexes) write(kind, id string, apply func()) {
	if x.now == nil {
		apply()
		return
	}
	of := thing{kind, id}
	at := x.now().Add(x.lag())
	if last, ok := x.last[of]; ok && at.Before(last) {
		at = last
	}
	x.last[of] = at
	x.seq++
	heap.Push(&x.late, &change{at: at, seq: x.seq, apply: apply})
}

// settle applies the changes whose moment has come.
func (x *indexes) settle() {
	if x.now == nil {
		return
	}
	for now := x.now(); len(x.late) > 0 && !x.late[0].at.After(now); {
		heap.Pop(&x.late).(*change).apply()
	}
}

// session has the lists show a session as it now is. Their rows are its record,
// so that a change which moves no key writes nothing.
func (x *indexes) session(r *record, s *session.Session) {
	x.write("S#", s.ID, func() { x.show(r, s) })
}

func (x *indexes) show(r *record, s *session.Session) {
	k, old, wake := keyOf(s.OpenedAt, s.ID), r.shown, s.WakeAt()
	r.shown = s
	if old == nil {
		x.list.put(keyOf(s.RecordedAt, s.ID), r)
	}
	listed, lists := old != nil && live(old), live(s)
	moved := listed && (!lists || old.Run.Endpoint != s.Run.Endpoint)
	if moved {
		remove(x.users, old.User, s.ID)
		remove(x.endpoints, old.Run.Endpoint, s.ID)
	}
	if lists && (moved || !listed) {
		insert(x.users, s.User, k, r)
		insert(x.endpoints, s.Run.Endpoint, k, r)
	}
	switch {
	case wake.IsZero():
		x.due.drop(s.ID)
	case old == nil || !wake.Equal(old.WakeAt()):
		x.due.put(keyOf(wake, s.ID), r)
	}
}

func live(s *session.Session) bool { return s.Status != session.Ended }

func insert(m map[string]*sorted[*record], group string, k key, r *record) {
	if m[group] == nil {
		m[group] = newSorted[*record](ascending)
	}
	m[group].put(k, r)
}

func remove(m map[string]*sorted[*record], group, id string) {
	if m[group] == nil {
		return
	}
	m[group].drop(id)
	if len(m[group].chunks) == 0 {
		delete(m, group)
	}
}

// zeros bring the versions of a session into the order of their numbers.
const zeros = "00000000000000000000"

// entry lists an entry while something of it is to be done; one without effects
// has nothing to do.
func (x *indexes) entry(e *app.Entry) {
	version := strconv.FormatInt(e.Version, 10)
	id := e.SessionID + "#" + zeros[:max(0, len(zeros)-len(version))] + version
	x.write("H#", id, func() {
		if e.Changes() {
			x.changes.put(keyOf(e.At, id), e)
		}
		if e.Done || len(e.Effects) == 0 {
			x.unfinished.drop(id)
			return
		}
		x.unfinished.put(keyOf(e.At, id), e)
	})
}

func (x *indexes) facts(u session.UserFacts) {
	pending, since := len(u.Pending) > 0, u.PendingSince
	x.write("U#", u.User, func() {
		if !pending {
			x.pending.drop(u.User)
			return
		}
		x.pending.put(keyOf(since, u.User), u.User)
	})
}

func (x *indexes) endpoint(e app.Endpoint) {
	x.write("E#", e.ID, func() { x.registry.put(keyOf(time.Time{}, e.ID), e) })
}

func (x *indexes) park(p app.Parked) {
	x.write("P#", p.ID, func() { x.parked.put(keyOf(p.At, p.ID), p) })
}

func (x *indexes) sample(k app.Sampled) {
	x.write("K#", k.Kind, func() { x.samples.put(keyOf(time.Time{}, k.Kind), k) })
}

// cursor is where a page ended.
type cursor struct {
	Index string `json:"index"`
	Sec   int64  `json:"sec"`
	Nsec  int64  `json:"nsec"`
	ID    string `json:"id"`
}

func (c cursor) String() string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // numbers and strings only: cannot happen
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseCursor(op, index, text string) (*key, error) {
	if text == "" {
		return nil, nil
	}
	var c cursor
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil || c.Index != index || c.ID == "" {
		return nil, fault.Newf(op, fault.Invalid, "cursor is not one of this list: %q", text)
	}
	return &key{sec: c.Sec, nsec: c.Nsec, id: c.ID}, nil
}

// page reads one page of rows that want (nil: all) accepts; the first row it
// refuses ends the list.
func page[V any](ctx context.Context, s *Store, op, index, from string, rows func() *sorted[V], want func(key) bool) ([]V, string, error) {
	after, err := parseCursor(op, index, from)
	if err != nil {
		return nil, "", err
	}
	return pageAfter(ctx, s, op, index, after, rows, want)
}

// pageAfter is page from behind a key on; nil: from the beginning.
func pageAfter[V any](ctx context.Context, s *Store, op, index string, after *key, rows func() *sorted[V], want func(key) bool) ([]V, string, error) {
	if err := ready(ctx, op); err != nil {
		return nil, "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index.settle()
	all := rows()
	if all == nil {
		return nil, "", nil
	}
	var out []V
	var last key
	next := ""
	all.after(after, func(k key, v V) bool {
		if want != nil && !want(k) {
			return false
		}
		if len(out) == s.pageSize {
			next = cursor{Index: index, Sec: last.sec, Nsec: last.nsec, ID: last.id}.String()
			return false
		}
		if out == nil {
			out = make([]V, 0, min(s.pageSize, len(all.keys)))
		}
		out, last = append(out, v), k
		return true
	})
	return out, next, nil
}

// asTheyAre are the sessions on a page of a list as they are now, as DynamoDB's
// store reads them: those that keep refuses have left the list since its index was
// made, so that a page can be short, or empty, without being the last.
func asTheyAre(found []*record, keep func(*session.Session) bool) []*session.Session {
	states := make([]*session.Session, 0, len(found))
	for _, r := range found {
		if now := r.state.Load(); keep(now) {
			states = append(states, now)
		}
	}
	return states
}

// OfUser implements app.Store: oldest first.
func (s *Store) OfUser(ctx context.Context, user, from string) (app.Page, error) {
	const op = "memstore: list sessions of user"
	if err := app.CheckID(op, "user", user); err != nil {
		return app.Page{}, err
	}
	found, next, err := page(ctx, s, op, "user", from, func() *sorted[*record] { return s.index.users[user] }, nil)
	return app.Page{Next: next, Sessions: s.copies(ctx, asTheyAre(found, live))}, err
}

// OfEndpoint implements app.Store: oldest first.
func (s *Store) OfEndpoint(ctx context.Context, endpoint, from string) (app.Page, error) {
	const op = "memstore: list sessions of endpoint"
	if err := app.CheckID(op, "endpoint", endpoint); err != nil {
		return app.Page{}, err
	}
	found, next, err := page(ctx, s, op, "endpoint", from, func() *sorted[*record] { return s.index.endpoints[endpoint] }, nil)
	return app.Page{Next: next, Sessions: s.copies(ctx, asTheyAre(found, live))}, err
}

// Due implements app.Store: earliest first over all pages, as far as the index is
// current; within a page always.
func (s *Store) Due(ctx context.Context, now time.Time, from string) (app.Page, error) {
	const op = "memstore: list sessions due"
	bound := keyOf(now, "")
	found, next, err := page(ctx, s, op, "due", from, func() *sorted[*record] { return s.index.due }, func(k key) bool {
		k.id = ""
		return ascending(k, bound) <= 0
	})
	states := asTheyAre(found, func(x *session.Session) bool {
		at := x.WakeAt()
		return !at.IsZero() && !at.After(now)
	})
	slices.SortStableFunc(states, func(a, b *session.Session) int { return a.WakeAt().Compare(b.WakeAt()) })
	return app.Page{Next: next, Sessions: s.copies(ctx, states)}, err
}

// List implements app.Store: newest record first.
func (s *Store) List(ctx context.Context, from string) (app.Page, error) {
	const op = "memstore: list sessions"
	found, next, err := page(ctx, s, op, "list", from, func() *sorted[*record] { return s.index.list }, nil)
	return app.Page{Next: next, Sessions: s.copies(ctx, asTheyAre(found, func(*session.Session) bool { return true }))}, err
}

// Unfinished implements app.Store: oldest first. An entry without effects is
// never unfinished.
func (s *Store) Unfinished(ctx context.Context, before time.Time, from string) ([]app.Entry, string, error) {
	const op = "memstore: list unfinished entries"
	bound := keyOf(before, "")
	found, next, err := page(ctx, s, op, "unfinished", from, func() *sorted[*app.Entry] { return s.index.unfinished }, func(k key) bool {
		k.id = ""
		return ascending(k, bound) < 0
	})
	return s.entries(ctx, found), next, err
}

// Changes implements app.Store.
func (s *Store) Changes(ctx context.Context, since, until time.Time, from string) ([]app.Entry, string, error) {
	const op, index = "memstore: list changes of status", "changes"
	after, err := parseCursor(op, index, from)
	if err != nil {
		return nil, "", err
	}
	if after == nil { // begin as if a page had ended just before; no id is less
		k := keyOf(since, "")
		after = &k
	}
	bound := keyOf(until, "")
	found, next, err := pageAfter(ctx, s, op, index, after, func() *sorted[*app.Entry] { return s.index.changes }, func(k key) bool {
		return ascending(k, bound) < 0
	})
	return s.entries(ctx, found), next, err
}

func (s *Store) entries(ctx context.Context, found []*app.Entry) []app.Entry {
	if len(found) == 0 {
		return nil
	}
	out := s.room.Entries(ctx, len(found))
	for i, e := range found {
		out[i] = cloneEntry(e)
	}
	return out
}

// PendingUsers implements app.Store: longest waiting first.
func (s *Store) PendingUsers(ctx context.Context, from string) ([]string, string, error) {
	return page(ctx, s, "memstore: list pending users", "pending", from, func() *sorted[string] { return s.index.pending }, nil)
}

// Endpoints implements app.Store.
func (s *Store) Endpoints(ctx context.Context, from string) ([]app.Endpoint, string, error) {
	return page(ctx, s, "memstore: list endpoints", "endpoints", from, func() *sorted[app.Endpoint] { return s.index.registry }, nil)
}

// ParkedEvents implements app.Store.
func (s *Store) ParkedEvents(ctx context.Context, from string) ([]app.Parked, string, error) {
	return page(ctx, s, "memstore: list parked events", "parked", from, func() *sorted[app.Parked] { return s.index.parked }, nil)
}

// Samples implements app.Store.
func (s *Store) Samples(ctx context.Context, from string) ([]app.Sampled, string, error) {
	return page(ctx, s, "memstore: list samples", "samples", from, func() *sorted[app.Sampled] { return s.index.samples }, nil)
}
