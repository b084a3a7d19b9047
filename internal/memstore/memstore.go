// Package memstore is the app's Store in memory, for the local system, tests
// and simulation. It has the conditional semantics of the real one, and on
// wish its late indexes. It knows the app's port and the core; it must not know
// AWS, a clock (time is handed in) or any engine.
package memstore

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/proof"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// DefaultPageSize is how many things one index read gives when WithPageSize
// says nothing.
const DefaultPageSize = 100

// HistoryMax is how many entries one History read gives at most.
const HistoryMax = 1000

// BodyMax bounds the body kept of a parked or sampled event, in bytes; what is
// beyond is cut, because keeping an event must not fail on its size.
const BodyMax = 256 * 1024

// Store remembers in memory. It is safe for concurrent use; what goes in and
// what comes out are copies.
type Store struct {
	mu        sync.Mutex
	sessions  map[string]*record
	claims    map[workload.Ref]string
	users     map[string]session.UserFacts
	endpoints map[string]app.Endpoint
	policy    session.Policy
	parked    map[string]app.Parked
	samples   map[string]app.Sampled
	marks     map[string]time.Time
	anchors   []proof.Anchor // by number, from 1 on
	notebooks map[string]app.Notebook
	ledgers   map[string]app.Ledger
	reads     int64 // batch reads so far

	index    *indexes
	pageSize int
	room     Room
	out      stream
}

// record is one session: its newest state and every entry. Neither a state
// nor an entry is changed in place: a page is copied from them without the lock.
type record struct {
	state   atomic.Pointer[session.Session]
	shown   *session.Session // as the indexes list it; nil: they do not yet
	entries []*app.Entry
	read    int64 // number of the batch read that gave it last
	out     queue // entries on their way to the subscribers
}

var _ app.Store = (*Store)(nil)

// Option sets something about a store.
type Option func(*Store)

// WithPageSize sets how many things one index read gives; n below 1 is 1.
func WithPageSize(n int) Option {
	return func(s *Store) { s.pageSize = max(n, 1) }
}

// WithIndexLag lets each index copy become visible only lag() after its write,
// by the clock now; copies of one thing keep their order, as on DynamoDB. Which
// sessions a list has, and where, is so late; what it says of each is not, and
// neither are reads of one thing by its id. lag is asked once per index copy,
// with the store locked: it must not call the store.
func WithIndexLag(now func() time.Time, lag func() time.Duration) Option {
	return func(s *Store) { s.index.now, s.index.lag = now, lag }
}

// Room lends what pages of sessions and of entries are copied into. Each answers n of
// them, whatever they hold, which are the store's caller's until whoever lent them
// knows that it needs them no more.
type Room struct {
	Sessions func(ctx context.Context, n int) []session.Session
	Entries  func(ctx context.Context, n int) []app.Entry
}

// WithRoom has lists be copied into what is lent, for who reads them some hundred
// thousand times a second and throws all of it away.
func WithRoom(r Room) Option {
	return func(s *Store) { s.room = r }
}

// New makes an empty store whose indexes are immediate.
func New(opts ...Option) *Store {
	s := &Store{
		sessions:  map[string]*record{},
		claims:    map[workload.Ref]string{},
		users:     map[string]session.UserFacts{},
		endpoints: map[string]app.Endpoint{},
		policy:    session.DefaultPolicy(),
		parked:    map[string]app.Parked{},
		samples:   map[string]app.Sampled{},
		marks:     map[string]time.Time{},
		notebooks: map[string]app.Notebook{},
		ledgers:   map[string]app.Ledger{},
		index:     newIndexes(),
		pageSize:  DefaultPageSize,
		room: Room{
			Sessions: func(_ context.Context, n int) []session.Session { return make([]session.Session, n) },
			Entries:  func(_ context.Context, n int) []app.Entry { return make([]app.Entry, n) },
		},
	}
	for _, o := range opts {
		o(s)
	}
	return s
}

// Open implements app.Store. A repetition with the same content (the entry's
// hash) is success.
func (s *Store) Open(ctx context.Context, o app.Opening) error {
	const op = "memstore: open session"
	if err := ready(ctx, op); err != nil {
		return err
	}
	if err := app.CheckWrite(op, &o.Session, &o.Entry); err != nil {
		return err
	}
	if o.Session.Version != 1 {
		return fault.Newf(op, fault.Invalid, "version is %d; an opening makes version 1", o.Session.Version)
	}
	written, err := s.open(&o)
	if written != nil {
		s.out.deliver(&written.out)
	}
	return err
}

func (s *Store) open(o *app.Opening) (written *record, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, run := o.Session.ID, o.Session.Run.Ref()
	conflict := &app.OpenConflict{}
	if r, ok := s.sessions[id]; ok {
		if r.entries[0].Hash == o.Entry.Hash {
			return nil, nil
		}
		conflict.Exists = true
	}
	if owner, ok := s.claims[run]; ok && run.ID != "" && owner != id {
		conflict.Claimed = owner
	}
	conflict.User = s.users[o.Session.User].Version != o.UserVersion
	if *conflict != (app.OpenConflict{}) {
		return nil, conflict
	}
	if run.ID != "" {
		s.claims[run] = id
	}
	written = &record{}
	s.sessions[id] = written
	s.write(written, &o.Session, &o.Entry)
	return written, nil
}

// write appends a version. It must be called with the lock held.
func (s *Store) write(r *record, next *session.Session, written *app.Entry) {
	state, entry := cloneSession(next), cloneEntry(written)
	r.state.Store(&state)
	r.entries = append(r.entries, &entry)
	s.index.session(r, &state)
	s.index.entry(&entry)
	s.out.push(&r.out, &entry)
}

// Session implements app.Store.
func (s *Store) Session(ctx context.Context, id string) (session.Session, error) {
	const op = "memstore: read session"
	if err := errors.Join(ready(ctx, op), app.CheckID(op, "session id", id)); err != nil {
		return session.Session{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.sessions[id]
	if !ok {
		return session.Session{}, fault.Newf(op, fault.NotFound, "there is no session %q", id)
	}
	return cloneSession(r.state.Load()), nil
}

// Sessions implements app.Store: in the order asked for, each once.
func (s *Store) Sessions(ctx context.Context, ids []string) ([]session.Session, error) {
	const op = "memstore: read sessions"
	if err := ready(ctx, op); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	found := make([]*session.Session, 0, len(ids))
	for _, id := range ids {
		if err := app.CheckID(op, "session id", id); err != nil {
			return nil, err
		}
		if r := s.sessions[id]; r != nil && r.read != s.reads {
			r.read = s.reads
			found = append(found, r.state.Load())
		}
	}
	return s.copies(ctx, found), nil
}

// Commit implements app.Store. A repetition with the same content (the entry's
// hash) is success.
func (s *Store) Commit(ctx context.Context, c app.Commit) error {
	const op = "memstore: commit session"
	if err := ready(ctx, op); err != nil {
		return err
	}
	if err := app.CheckWrite(op, &c.Next, &c.Entry); err != nil {
		return err
	}
	if c.Next.Version < 2 {
		return fault.Newf(op, fault.Invalid, "version is %d; a commit makes version 2 or later", c.Next.Version)
	}
	if c.Claim && c.Next.Run.ID == "" {
		return fault.Newf(op, fault.Invalid, "run id is empty; there is nothing to claim")
	}
	written, err := s.commit(op, &c)
	if written != nil {
		s.out.deliver(&written.out)
	}
	return err
}

func (s *Store) commit(op string, c *app.Commit) (written *record, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, run := c.Next.ID, c.Next.Run.Ref()
	r, ok := s.sessions[id]
	if !ok {
		return nil, fault.Newf(op, fault.NotFound, "there is no session %q", id)
	}
	stored := r.state.Load()
	if stored.Version != c.Next.Version-1 {
		if r.repeats(&c.Entry) {
			return nil, nil
		}
		return nil, fault.Newf(op, fault.Conflict, "session %q is at version %d, not at %d", id, stored.Version, c.Next.Version-1)
	}
	if field := thawed(stored, &c.Next); field != "" {
		return nil, fault.Newf(op, fault.Invalid, "session %q: %s is frozen at opening and differs", id, field)
	}
	if c.Claim {
		if owner, ok := s.claims[run]; ok && owner != id {
			return nil, fault.Newf(op, fault.Conflict, "the run %q of %q belongs to session %q", run.ID, run.Endpoint, owner)
		}
		s.claims[run] = id
	}
	s.write(r, &c.Next, &c.Entry)
	return r, nil
}

// repeats says whether the entry was written before, as it is.
func (r *record) repeats(e *app.Entry) bool {
	return e.Version <= int64(len(r.entries)) && r.entries[e.Version-1].Hash == e.Hash
}

// History implements app.Store; limit below 1 or above HistoryMax is HistoryMax.
func (s *Store) History(ctx context.Context, id string, after int64, limit int) ([]app.Entry, bool, error) {
	const op = "memstore: read history"
	if err := errors.Join(ready(ctx, op), app.CheckID(op, "session id", id)); err != nil {
		return nil, false, err
	}
	if limit < 1 || limit > HistoryMax {
		limit = HistoryMax
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.sessions[id]
	if !ok {
		return nil, false, nil
	}
	rest := r.entries[min(max(after, 0), int64(len(r.entries))):]
	more := len(rest) > limit
	if more {
		rest = rest[:limit]
	}
	return s.entries(ctx, rest), more, nil
}

// Finish implements app.Store.
func (s *Store) Finish(ctx context.Context, id string, version int64) error {
	const op = "memstore: finish entry"
	if err := errors.Join(ready(ctx, op), app.CheckID(op, "session id", id)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.sessions[id]
	if !ok || version < 1 || version > int64(len(r.entries)) {
		return fault.Newf(op, fault.NotFound, "session %q has no version %d", id, version)
	}
	if r.entries[version-1].Done {
		return nil
	}
	// A copy: the index may still hold the entry as it was.
	done := *r.entries[version-1]
	done.Done = true
	r.entries[version-1] = &done
	s.index.entry(&done)
	return nil
}

// Claimed implements app.Store.
func (s *Store) Claimed(ctx context.Context, run workload.Ref) (string, error) {
	const op = "memstore: read claim"
	if err := errors.Join(ready(ctx, op), app.CheckRef(op, run)); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	owner, ok := s.claims[run]
	if !ok {
		return "", fault.Newf(op, fault.NotFound, "no session owns the run %q of %q", run.ID, run.Endpoint)
	}
	return owner, nil
}

// Reclaim implements app.Store. A claim that to owns already is success, so
// that a repetition is harmless.
func (s *Store) Reclaim(ctx context.Context, run workload.Ref, from, to string) error {
	const op = "memstore: move claim"
	if err := errors.Join(ready(ctx, op), app.CheckRef(op, run), app.CheckID(op, "from", from), app.CheckID(op, "to", to)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if owner := s.claims[run]; owner != from && owner != to {
		return fault.Newf(op, fault.Conflict, "the run %q of %q belongs to %q, not to %q", run.ID, run.Endpoint, owner, from)
	}
	s.claims[run] = to
	return nil
}
