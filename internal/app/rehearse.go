package app

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"nightshift/internal/fault"
	"nightshift/internal/proof"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// A use case is rehearsed by carrying it out, as it is in production, on ports
// that show what it would do and do none of it. So what a person is shown before a
// repair cannot differ from what the repair does.

// deeds are what a use case did, or in a rehearsal would have done, in order.
type deeds struct {
	mu        sync.Mutex
	opened    []session.Session
	committed []Commit
	finished  map[string][]int64 // versions whose effects are done, by session
	said      []Announcement
	begun     []woken // watches and drains
	cleared   []workload.Ref
	put       map[string]bool // user facts and endpoints written, by id
}

func (d *deeds) note(write func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	write()
}

// taken are the deeds so far; they are forgotten here.
func (d *deeds) taken() *deeds {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := &deeds{opened: d.opened, committed: d.committed, finished: d.finished, said: d.said, begun: d.begun, cleared: d.cleared, put: d.put}
	d.opened, d.committed, d.said, d.begun, d.cleared = nil, nil, nil, nil, nil
	d.finished, d.put = map[string][]int64{}, map[string]bool{}
	return t
}

// observed is the app with its deeds noted; rehearsed: and none of them done. Its
// engines are asked for no longer than patience each, and never to start anything.
func (a *App) observed(rehearsed bool, patience time.Duration) (*App, *deeds) {
	d := &deeds{finished: map[string][]int64{}, put: map[string]bool{}}
	copied := *a
	copied.Engines = map[string]Engine{}
	for api, e := range a.Engines {
		copied.Engines[api] = observedEngine{e, d, rehearsed, patience}
	}
	far := &observedPorts{app: a, deeds: d, rehearsed: rehearsed}
	copied.Starter, copied.Waiters, copied.Announcer = far, far, far
	copied.Store = observedStore{a.Store, d}
	if rehearsed {
		copied.Store = observedStore{&rehearsal{Store: a.Store, sessions: map[string]session.Session{}, entries: map[string][]Entry{}, claims: map[workload.Ref]string{},
			users: map[string]session.UserFacts{}, endpoints: map[string]Endpoint{}, marks: map[string]time.Time{}}, d}
		copied.Meter, copied.Log = quiet{}, slog.New(slog.DiscardHandler)
	}
	return &copied, d
}

// quiet measures nothing: what did not happen is no figure.
type quiet struct{}

func (quiet) Count(string, int)              {}
func (quiet) Lateness(string, time.Duration) {}

// observedStore notes what was written.
type observedStore struct {
	Store
	deeds *deeds
}

func (s observedStore) Open(ctx context.Context, o Opening) error {
	err := s.Store.Open(ctx, o)
	if err == nil {
		s.deeds.note(func() { s.deeds.opened = append(s.deeds.opened, o.Session) })
	}
	return err
}

func (s observedStore) Commit(ctx context.Context, c Commit) error {
	err := s.Store.Commit(ctx, c)
	if err == nil {
		s.deeds.note(func() { s.deeds.committed = append(s.deeds.committed, c) })
	}
	return err
}

func (s observedStore) Finish(ctx context.Context, id string, version int64) error {
	err := s.Store.Finish(ctx, id, version)
	if err == nil {
		s.deeds.note(func() { s.deeds.finished[id] = append(s.deeds.finished[id], version) })
	}
	return err
}

func (s observedStore) PutUser(ctx context.Context, u session.UserFacts) error {
	err := s.Store.PutUser(ctx, u)
	if err == nil {
		s.deeds.note(func() { s.deeds.put[u.User] = true })
	}
	return err
}

func (s observedStore) PutEndpoint(ctx context.Context, e Endpoint) error {
	err := s.Store.PutEndpoint(ctx, e)
	if err == nil {
		s.deeds.note(func() { s.deeds.put[e.ID] = true })
	}
	return err
}

// observedPorts are the far ends that are told something.
type observedPorts struct {
	app       *App
	deeds     *deeds
	rehearsed bool
}

func (p *observedPorts) begin(endpoint string, kind session.EffectKind, t task, start func() error) error {
	if !p.rehearsed {
		if err := start(); err != nil {
			return err
		}
	}
	p.deeds.note(func() {
		p.deeds.begun = append(p.deeds.begun, woken{endpoint: endpoint, kind: kind, task: t})
	})
	return nil
}

func (p *observedPorts) Watch(ctx context.Context, endpoint string, generation int64) error {
	return p.begin(endpoint, session.Watch, watching, func() error { return p.app.Starter.Watch(ctx, endpoint, generation) })
}

func (p *observedPorts) Drain(ctx context.Context, endpoint string, generation int64) error {
	return p.begin(endpoint, session.Stop, draining, func() error { return p.app.Starter.Drain(ctx, endpoint, generation) })
}

func (p *observedPorts) Release(ctx context.Context, token string, o Outcome) error {
	if p.rehearsed {
		return nil
	}
	return p.app.Waiters.Release(ctx, token, o)
}

func (p *observedPorts) Announce(ctx context.Context, n Announcement) error {
	if !p.rehearsed {
		if err := p.app.Announcer.Announce(ctx, n); err != nil {
			return err
		}
	}
	p.deeds.note(func() { p.deeds.said = append(p.deeds.said, n) })
	return nil
}

// observedEngine asks an engine, not for long.
type observedEngine struct {
	Engine
	deeds     *deeds
	rehearsed bool
	patience  time.Duration
}

// Start starts nothing: looking at records never does.
func (e observedEngine) Start(context.Context, Start) (workload.Run, error) {
	return workload.Run{}, fault.Newf("start run", fault.Denied, "a check of the records starts no run")
}

func (e observedEngine) List(ctx context.Context, endpoint string) (workload.Listing, error) {
	ctx, done := context.WithTimeout(ctx, e.patience)
	defer done()
	return e.Engine.List(ctx, endpoint)
}

func (e observedEngine) Describe(ctx context.Context, run workload.Run) (workload.Observation, error) {
	ctx, done := context.WithTimeout(ctx, e.patience)
	defer done()
	return e.Engine.Describe(ctx, run)
}

func (e observedEngine) Stop(ctx context.Context, run workload.Run) error {
	if !e.rehearsed {
		ctx, done := context.WithTimeout(ctx, e.patience)
		defer done()
		if err := e.Engine.Stop(ctx, run); err != nil {
			return err
		}
	}
	e.deeds.note(func() { e.deeds.cleared = append(e.deeds.cleared, run.Ref()) })
	return nil
}

// rehearsal is a store that keeps what is written to itself: it is read back, under
// the conditions of a real store, and is gone afterwards. Lists are those of the
// real store, as ones that lag behind would be. What no rehearsed use case writes is
// refused, so that none is missed.
type rehearsal struct {
	Store
	mu        sync.Mutex
	sessions  map[string]session.Session
	entries   map[string][]Entry
	claims    map[workload.Ref]string
	users     map[string]session.UserFacts
	endpoints map[string]Endpoint
	marks     map[string]time.Time
}

// kept is what a rehearsal has of something, else what the real store answers.
func kept[K comparable, V any](r *rehearsal, written map[K]V, key K, read func() (V, error)) (V, error) {
	r.mu.Lock()
	v, ok := written[key]
	r.mu.Unlock()
	if ok {
		return v, nil
	}
	return read()
}

func keep[K comparable, V any](r *rehearsal, written map[K]V, key K, v V) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	written[key] = v
	return nil
}

const rehearse = "rehearse"

func lostRace(what string) error {
	return fault.Newf(rehearse, fault.Conflict, "%s is of another version by now", what)
}

func (r *rehearsal) Session(ctx context.Context, id string) (session.Session, error) {
	return kept(r, r.sessions, id, func() (session.Session, error) { return r.Store.Session(ctx, id) })
}

func (r *rehearsal) Sessions(ctx context.Context, ids []string) ([]session.Session, error) {
	found, err := r.Store.Sessions(ctx, ids)
	if err != nil {
		return nil, err
	}
	found = r.newest(found)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		s, ok := r.sessions[id]
		if ok && !slices.ContainsFunc(found, func(f session.Session) bool { return f.ID == id }) {
			found = append(found, s)
		}
	}
	return found, nil
}

// newest puts what the rehearsal has written in the place of what was read.
func (r *rehearsal) newest(sessions []session.Session) []session.Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := slices.Clone(sessions)
	for i, s := range out {
		if now, ok := r.sessions[s.ID]; ok {
			out[i] = now
		}
	}
	return out
}

func (r *rehearsal) page(p Page, err error) (Page, error) {
	p.Sessions = r.newest(p.Sessions)
	return p, err
}

func (r *rehearsal) OfUser(ctx context.Context, user, cursor string) (Page, error) {
	return r.page(r.Store.OfUser(ctx, user, cursor))
}

func (r *rehearsal) OfEndpoint(ctx context.Context, endpoint, cursor string) (Page, error) {
	return r.page(r.Store.OfEndpoint(ctx, endpoint, cursor))
}

func (r *rehearsal) Due(ctx context.Context, now time.Time, cursor string) (Page, error) {
	return r.page(r.Store.Due(ctx, now, cursor))
}

func (r *rehearsal) List(ctx context.Context, cursor string) (Page, error) {
	return r.page(r.Store.List(ctx, cursor))
}

func (r *rehearsal) History(ctx context.Context, id string, after int64, limit int) ([]Entry, bool, error) {
	entries, more, err := r.Store.History(ctx, id, after, limit)
	if err != nil || more {
		return entries, more, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.entries[id] {
		if e.Version > after {
			entries = append(entries, e)
		}
	}
	return entries, false, nil
}

func (r *rehearsal) write(s session.Session, e Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sessions[s.ID] = s
	r.entries[s.ID] = append(r.entries[s.ID], e)
	return nil
}

func (r *rehearsal) Open(ctx context.Context, o Opening) error {
	conflict := OpenConflict{}
	if _, err := r.Session(ctx, o.Session.ID); err == nil {
		conflict.Exists = true
	} else if !fault.Is(err, fault.NotFound) {
		return err
	}
	if o.Session.Run.ID != "" {
		owner, err := r.Claimed(ctx, o.Session.Run.Ref())
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		if err == nil && owner != o.Session.ID {
			conflict.Claimed = owner
		}
	}
	u, err := r.User(ctx, o.Session.User)
	if err != nil {
		return err
	}
	if conflict.User = u.Version != o.UserVersion; conflict != (OpenConflict{}) {
		return &conflict
	}
	return first(r.claim(o.Session), r.write(o.Session, o.Entry))
}

func (r *rehearsal) claim(s session.Session) error {
	if s.Run.ID == "" {
		return nil
	}
	return keep(r, r.claims, s.Run.Ref(), s.ID)
}

func (r *rehearsal) Commit(ctx context.Context, c Commit) error {
	s, err := r.Session(ctx, c.Next.ID)
	if err != nil {
		return err
	}
	if s.Version != c.Next.Version-1 {
		return lostRace("session " + s.ID)
	}
	if c.Claim {
		owner, err := r.Claimed(ctx, c.Next.Run.Ref())
		switch {
		case err == nil && owner != c.Next.ID:
			return lostRace("the claim of run " + c.Next.Run.ID)
		case err != nil && !fault.Is(err, fault.NotFound):
			return err
		}
		if err := r.claim(c.Next); err != nil {
			return err
		}
	}
	return r.write(c.Next, c.Entry)
}

func (r *rehearsal) Claimed(ctx context.Context, run workload.Ref) (string, error) {
	return kept(r, r.claims, run, func() (string, error) { return r.Store.Claimed(ctx, run) })
}

func (r *rehearsal) Reclaim(ctx context.Context, run workload.Ref, from, to string) error {
	owner, err := r.Claimed(ctx, run)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	if err != nil || owner != from && owner != to {
		return lostRace("the claim of run " + run.ID)
	}
	return keep(r, r.claims, run, to)
}

func (r *rehearsal) Finish(context.Context, string, int64) error { return nil }

func (r *rehearsal) User(ctx context.Context, user string) (session.UserFacts, error) {
	return kept(r, r.users, user, func() (session.UserFacts, error) { return r.Store.User(ctx, user) })
}

func (r *rehearsal) PutUser(ctx context.Context, u session.UserFacts) error {
	now, err := r.User(ctx, u.User)
	if err == nil && now.Version != u.Version-1 {
		err = lostRace("user " + u.User)
	}
	if err != nil {
		return err
	}
	return keep(r, r.users, u.User, u)
}

func (r *rehearsal) Endpoint(ctx context.Context, id string) (Endpoint, error) {
	return kept(r, r.endpoints, id, func() (Endpoint, error) { return r.Store.Endpoint(ctx, id) })
}

func (r *rehearsal) PutEndpoint(ctx context.Context, e Endpoint) error {
	now, err := r.Endpoint(ctx, e.ID)
	if err == nil && now.Version != e.Version-1 {
		err = lostRace("endpoint " + e.ID)
	}
	if err != nil {
		return err
	}
	e.Wake = now.Wake
	return keep(r, r.endpoints, e.ID, e)
}

func (r *rehearsal) Wake(ctx context.Context, id string) error {
	e, err := r.Endpoint(ctx, id)
	if err == nil && e.Version == 0 {
		err = fault.Newf(rehearse, fault.NotFound, "there is no endpoint %q", id)
	}
	if err != nil {
		return err
	}
	e.Wake++
	return keep(r, r.endpoints, id, e)
}

func (r *rehearsal) Mark(ctx context.Context, name string) (time.Time, error) {
	return kept(r, r.marks, name, func() (time.Time, error) { return r.Store.Mark(ctx, name) })
}

func (r *rehearsal) SetMark(ctx context.Context, name string, at time.Time) error {
	now, err := r.Mark(ctx, name)
	if err != nil || !at.After(now) {
		return err
	}
	return keep(r, r.marks, name, at)
}

// The writes that no rehearsed use case makes.

func unrehearsed(what string) error {
	return fault.Newf(rehearse, fault.Denied, "nothing is written in a rehearsal, and %s is not kept in one", what)
}

func (*rehearsal) PutPolicy(context.Context, session.Policy) error { return unrehearsed("the policy") }
func (*rehearsal) Park(context.Context, Parked) (bool, error) {
	return false, unrehearsed("a parked event")
}
func (*rehearsal) Sample(context.Context, string, []byte, time.Time) (int64, error) {
	return 0, unrehearsed("a sampled event")
}
func (*rehearsal) PutAnchor(context.Context, proof.Anchor) error { return unrehearsed("an anchor") }
func (*rehearsal) PutNotebook(context.Context, Notebook) error   { return unrehearsed("a notebook") }
func (*rehearsal) PutLedger(context.Context, Ledger) error       { return unrehearsed("a ledger") }

var _ Store = (*rehearsal)(nil)
