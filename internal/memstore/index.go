package memstore

import (
	"container/heap"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
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
	last map[string]time.Time // by thing: when its newest waiting change becomes visible
	seq  int64

	visible    map[string]*session.Session
	users      map[string]*sorted[*session.Session]
	endpoints  map[string]*sorted[*session.Session]
	due        *sorted[*session.Session]
	list       *sorted[*session.Session]
	unfinished *sorted[*app.Entry]
	pending    *sorted[string]
	registry   *sorted[app.Endpoint]
	parked     *sorted[app.Parked]
}

func newIndexes() *indexes {
	return &indexes{
		last:       map[string]time.Time{},
		visible:    map[string]*session.Session{},
		users:      map[string]*sorted[*session.Session]{},
		endpoints:  map[string]*sorted[*session.Session]{},
		due:        newSorted[*session.Session](ascending),
		list:       newSorted[*session.Session](descending),
		unfinished: newSorted[*app.Entry](ascending),
		pending:    newSorted[string](ascending),
		registry:   newSorted[app.Endpoint](ascending),
		parked:     newSorted[app.Parked](descending),
	}
}

// change is an index write that is not visible yet.
type change struct {
	at    time.Time
	seq   int64
	thing string
	apply func()
}

// changes is a heap: earliest first, then in the order written.
type changes []change

func (c changes) Len() int      { return len(c) }
func (c changes) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c changes) Less(i, j int) bool {
	if !c[i].at.Equal(c[j].at) {
		return c[i].at.Before(c[j].at)
	}
	return c[i].seq < c[j].seq
}
func (c *changes) Push(x any) { *c = append(*c, x.(change)) }
func (c *changes) Pop() any {
	last := len(*c) - 1
	x := (*c)[last]
	(*c)[last] = change{}
	*c = (*c)[:last]
	return x
}

// write makes a change, now or after the lag. Changes of one thing never
// overtake each other.
func (x *indexes) write(thing string, apply func()) {
	if x.now == nil {
		apply()
		return
	}
	at := x.now().Add(x.lag())
	if last, ok := x.last[thing]; ok && at.Before(last) {
		at = last
	}
	x.last[thing] = at
	x.seq++
	heap.Push(&x.late, change{at: at, seq: x.seq, thing: thing, apply: apply})
}

// settle applies the changes whose moment has come.
func (x *indexes) settle() {
	if x.now == nil {
		return
	}
	for now := x.now(); len(x.late) > 0 && !x.late[0].at.After(now); {
		c := heap.Pop(&x.late).(change)
		if x.last[c.thing].Equal(c.at) {
			delete(x.last, c.thing)
		}
		c.apply()
	}
}

func (x *indexes) session(s *session.Session) {
	x.write("S#"+s.ID, func() { x.showSession(s) })
}

func (x *indexes) showSession(s *session.Session) {
	if old := x.visible[s.ID]; old != nil && (s.Status == session.Ended || old.Run.Endpoint != s.Run.Endpoint) {
		remove(x.users, old.User, s.ID)
		remove(x.endpoints, old.Run.Endpoint, s.ID)
	}
	x.visible[s.ID] = s
	k := keyOf(s.OpenedAt, s.ID)
	x.list.put(k, s)
	if s.Status != session.Ended {
		insert(x.users, s.User, k, s)
		insert(x.endpoints, s.Run.Endpoint, k, s)
	}
	if wake := s.WakeAt(); wake.IsZero() {
		x.due.drop(s.ID)
	} else {
		x.due.put(keyOf(wake, s.ID), s)
	}
}

func insert(m map[string]*sorted[*session.Session], group string, k key, s *session.Session) {
	if m[group] == nil {
		m[group] = newSorted[*session.Session](ascending)
	}
	m[group].put(k, s)
}

func remove(m map[string]*sorted[*session.Session], group, id string) {
	if m[group] == nil {
		return
	}
	m[group].drop(id)
	if len(m[group].chunks) == 0 {
		delete(m, group)
	}
}

// entry lists an entry while something of it is to be done; one without effects
// has nothing to do.
func (x *indexes) entry(e *app.Entry) {
	id := fmt.Sprintf("%s#%020d", e.SessionID, e.Version)
	x.write("H#"+id, func() {
		if e.Done || len(e.Effects) == 0 {
			x.unfinished.drop(id)
			return
		}
		x.unfinished.put(keyOf(e.At, id), e)
	})
}

func (x *indexes) facts(u session.UserFacts) {
	pending, since := len(u.Pending) > 0, u.PendingSince
	x.write("U#"+u.User, func() {
		if !pending {
			x.pending.drop(u.User)
			return
		}
		x.pending.put(keyOf(since, u.User), u.User)
	})
}

func (x *indexes) endpoint(e app.Endpoint) {
	x.write("E#"+e.ID, func() { x.registry.put(keyOf(time.Time{}, e.ID), e) })
}

func (x *indexes) park(p app.Parked) {
	x.write("P#"+p.ID, func() { x.parked.put(keyOf(p.At, p.ID), p) })
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
	if err := ready(ctx, op); err != nil {
		return nil, "", err
	}
	after, err := parseCursor(op, index, from)
	if err != nil {
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
		out, last = append(out, v), k
		return true
	})
	return out, next, nil
}

func sessionPage(found []*session.Session, next string, err error) (app.Page, error) {
	p := app.Page{Next: next}
	for _, f := range found {
		p.Sessions = append(p.Sessions, cloneSession(*f))
	}
	return p, err
}

// OfUser implements app.Store: oldest first.
func (s *Store) OfUser(ctx context.Context, user, from string) (app.Page, error) {
	const op = "memstore: list sessions of user"
	if err := checkID(op, "user", user); err != nil {
		return app.Page{}, err
	}
	return sessionPage(page(ctx, s, op, "user", from, func() *sorted[*session.Session] { return s.index.users[user] }, nil))
}

// OfEndpoint implements app.Store: oldest first.
func (s *Store) OfEndpoint(ctx context.Context, endpoint, from string) (app.Page, error) {
	const op = "memstore: list sessions of endpoint"
	if err := checkID(op, "endpoint", endpoint); err != nil {
		return app.Page{}, err
	}
	return sessionPage(page(ctx, s, op, "endpoint", from, func() *sorted[*session.Session] { return s.index.endpoints[endpoint] }, nil))
}

// Due implements app.Store: earliest first over all pages.
func (s *Store) Due(ctx context.Context, now time.Time, from string) (app.Page, error) {
	const op = "memstore: list sessions due"
	bound := keyOf(now, "")
	return sessionPage(page(ctx, s, op, "due", from, func() *sorted[*session.Session] { return s.index.due }, func(k key) bool {
		k.id = ""
		return ascending(k, bound) <= 0
	}))
}

// List implements app.Store: newest opening first.
func (s *Store) List(ctx context.Context, from string) (app.Page, error) {
	const op = "memstore: list sessions"
	return sessionPage(page(ctx, s, op, "list", from, func() *sorted[*session.Session] { return s.index.list }, nil))
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
	var out []app.Entry
	for _, e := range found {
		out = append(out, cloneEntry(*e))
	}
	return out, next, err
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
