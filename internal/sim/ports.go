package sim

import (
	"context"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/proof"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// The ports of the app, each call of which may be refused, fail, kill the
// function, or be carried out without anybody hearing of it.

type store struct {
	app.Store
	w *World
}

func (s store) Open(ctx context.Context, o app.Opening) error {
	return act(ctx, s.w, Call{Port: "store", Op: "Open", Writes: true}, func() error { return s.Store.Open(ctx, o) })
}

func (s store) Session(ctx context.Context, id string) (found session.Session, err error) {
	err = act(ctx, s.w, Call{Port: "store", Op: "Session"}, func() error {
		found, err = s.Store.Session(ctx, id)
		return err
	})
	return found, err
}

func (s store) Sessions(ctx context.Context, ids []string) ([]session.Session, error) {
	return call(ctx, s.w, Call{Port: "store", Op: "Sessions"}, func() ([]session.Session, error) { return s.Store.Sessions(ctx, ids) })
}

func (s store) Commit(ctx context.Context, c app.Commit) error {
	return act(ctx, s.w, Call{Port: "store", Op: "Commit", Writes: true}, func() error { return s.Store.Commit(ctx, c) })
}

func (s store) Claimed(ctx context.Context, run workload.Ref) (string, error) {
	return call(ctx, s.w, Call{Port: "store", Op: "Claimed"}, func() (string, error) { return s.Store.Claimed(ctx, run) })
}

func (s store) Reclaim(ctx context.Context, run workload.Ref, from, to string) error {
	return act(ctx, s.w, Call{Port: "store", Op: "Reclaim", Writes: true}, func() error { return s.Store.Reclaim(ctx, run, from, to) })
}

func (s store) OfUser(ctx context.Context, user, cursor string) (app.Page, error) {
	return call(ctx, s.w, Call{Port: "store", Op: "OfUser"}, func() (app.Page, error) { return s.Store.OfUser(ctx, user, cursor) })
}

func (s store) OfEndpoint(ctx context.Context, endpoint, cursor string) (app.Page, error) {
	return call(ctx, s.w, Call{Port: "store", Op: "OfEndpoint"}, func() (app.Page, error) { return s.Store.OfEndpoint(ctx, endpoint, cursor) })
}

func (s store) Due(ctx context.Context, now time.Time, cursor string) (app.Page, error) {
	return call(ctx, s.w, Call{Port: "store", Op: "Due"}, func() (app.Page, error) { return s.Store.Due(ctx, now, cursor) })
}

func (s store) List(ctx context.Context, cursor string) (app.Page, error) {
	return call(ctx, s.w, Call{Port: "store", Op: "List"}, func() (app.Page, error) { return s.Store.List(ctx, cursor) })
}

func (s store) Finish(ctx context.Context, id string, version int64) error {
	return act(ctx, s.w, Call{Port: "store", Op: "Finish", Writes: true}, func() error { return s.Store.Finish(ctx, id, version) })
}

func (s store) User(ctx context.Context, user string) (session.UserFacts, error) {
	return call(ctx, s.w, Call{Port: "store", Op: "User"}, func() (session.UserFacts, error) { return s.Store.User(ctx, user) })
}

func (s store) PutUser(ctx context.Context, u session.UserFacts) error {
	return act(ctx, s.w, Call{Port: "store", Op: "PutUser", Writes: true}, func() error { return s.Store.PutUser(ctx, u) })
}

func (s store) Endpoint(ctx context.Context, id string) (app.Endpoint, error) {
	return call(ctx, s.w, Call{Port: "store", Op: "Endpoint"}, func() (app.Endpoint, error) { return s.Store.Endpoint(ctx, id) })
}

func (s store) PutEndpoint(ctx context.Context, e app.Endpoint) error {
	return act(ctx, s.w, Call{Port: "store", Op: "PutEndpoint", Writes: true}, func() error { return s.Store.PutEndpoint(ctx, e) })
}

func (s store) Wake(ctx context.Context, id string) error {
	return act(ctx, s.w, Call{Port: "store", Op: "Wake", Writes: true}, func() error { return s.Store.Wake(ctx, id) })
}

func (s store) Policy(ctx context.Context) (session.Policy, error) {
	return call(ctx, s.w, Call{Port: "store", Op: "Policy"}, func() (session.Policy, error) { return s.Store.Policy(ctx) })
}

func (s store) PutPolicy(ctx context.Context, p session.Policy) error {
	return act(ctx, s.w, Call{Port: "store", Op: "PutPolicy", Writes: true}, func() error { return s.Store.PutPolicy(ctx, p) })
}

func (s store) Park(ctx context.Context, p app.Parked) (bool, error) {
	return call(ctx, s.w, Call{Port: "store", Op: "Park", Writes: true}, func() (bool, error) { return s.Store.Park(ctx, p) })
}

func (s store) Sample(ctx context.Context, kind string, body []byte, at time.Time) (int64, error) {
	return call(ctx, s.w, Call{Port: "store", Op: "Sample", Writes: true}, func() (int64, error) { return s.Store.Sample(ctx, kind, body, at) })
}

func (s store) Mark(ctx context.Context, name string) (time.Time, error) {
	return call(ctx, s.w, Call{Port: "store", Op: "Mark"}, func() (time.Time, error) { return s.Store.Mark(ctx, name) })
}

func (s store) SetMark(ctx context.Context, name string, at time.Time) error {
	return act(ctx, s.w, Call{Port: "store", Op: "SetMark", Writes: true}, func() error { return s.Store.SetMark(ctx, name, at) })
}

// pageOf is a page of an index read that has more than one value.
type pageOf[T any] struct {
	items []T
	next  string
}

func paged[T any](ctx context.Context, w *World, op string, read func() ([]T, string, error)) ([]T, string, error) {
	p, err := call(ctx, w, Call{Port: "store", Op: op}, func() (pageOf[T], error) {
		items, next, err := read()
		return pageOf[T]{items, next}, err
	})
	return p.items, p.next, err
}

func (s store) Unfinished(ctx context.Context, before time.Time, cursor string) ([]app.Entry, string, error) {
	return paged(ctx, s.w, "Unfinished", func() ([]app.Entry, string, error) { return s.Store.Unfinished(ctx, before, cursor) })
}

func (s store) PendingUsers(ctx context.Context, cursor string) ([]string, string, error) {
	return paged(ctx, s.w, "PendingUsers", func() ([]string, string, error) { return s.Store.PendingUsers(ctx, cursor) })
}

func (s store) Endpoints(ctx context.Context, cursor string) ([]app.Endpoint, string, error) {
	return paged(ctx, s.w, "Endpoints", func() ([]app.Endpoint, string, error) { return s.Store.Endpoints(ctx, cursor) })
}

func (s store) History(ctx context.Context, id string, after int64, limit int) (entries []app.Entry, more bool, err error) {
	err = act(ctx, s.w, Call{Port: "store", Op: "History"}, func() error {
		entries, more, err = s.Store.History(ctx, id, after, limit)
		return err
	})
	return entries, more, err
}

func (s store) Changes(ctx context.Context, from, until time.Time, cursor string) ([]app.Entry, string, error) {
	return paged(ctx, s.w, "Changes", func() ([]app.Entry, string, error) { return s.Store.Changes(ctx, from, until, cursor) })
}

func (s store) PutAnchor(ctx context.Context, a proof.Anchor) error {
	return act(ctx, s.w, Call{Port: "store", Op: "PutAnchor", Writes: true}, func() error { return s.Store.PutAnchor(ctx, a) })
}

func (s store) Anchors(ctx context.Context, before int64, limit int) (anchors []proof.Anchor, more bool, err error) {
	err = act(ctx, s.w, Call{Port: "store", Op: "Anchors"}, func() error {
		anchors, more, err = s.Store.Anchors(ctx, before, limit)
		return err
	})
	return anchors, more, err
}

type engine struct {
	app.Engine
	w *World
}

func (e engine) Start(ctx context.Context, s app.Start) (workload.Run, error) {
	return call(ctx, e.w, Call{Port: "engine", Op: "Start", Writes: true, Endpoint: s.Run.Endpoint}, func() (workload.Run, error) { return e.Engine.Start(ctx, s) })
}

func (e engine) List(ctx context.Context, endpoint string) (workload.Listing, error) {
	return call(ctx, e.w, Call{Port: "engine", Op: "List", Endpoint: endpoint}, func() (workload.Listing, error) { return e.Engine.List(ctx, endpoint) })
}

func (e engine) Describe(ctx context.Context, run workload.Run) (workload.Observation, error) {
	return call(ctx, e.w, Call{Port: "engine", Op: "Describe", Endpoint: run.Endpoint}, func() (workload.Observation, error) { return e.Engine.Describe(ctx, run) })
}

func (e engine) Stop(ctx context.Context, run workload.Run) error {
	return act(ctx, e.w, Call{Port: "engine", Op: "Stop", Writes: true, Endpoint: run.Endpoint}, func() error { return e.Engine.Stop(ctx, run) })
}

type identities struct {
	app.Identity
	w *World
}

func (i identities) Facts(ctx context.Context, user string, run workload.Run) (session.Facts, error) {
	return call(ctx, i.w, Call{Port: "identity", Op: "Facts"}, func() (session.Facts, error) { return i.Identity.Facts(ctx, user, run) })
}

func (i identities) Status(ctx context.Context, user string) (app.UserStatus, error) {
	return call(ctx, i.w, Call{Port: "identity", Op: "Status"}, func() (app.UserStatus, error) { return i.Identity.Status(ctx, user) })
}

func (i identities) Access(ctx context.Context, user, application string) (session.Tri, error) {
	return call(ctx, i.w, Call{Port: "identity", Op: "Access"}, func() (session.Tri, error) { return i.Identity.Access(ctx, user, application) })
}

func (i identities) Replay(ctx context.Context, after time.Time) ([][]byte, error) {
	return call(ctx, i.w, Call{Port: "identity", Op: "Replay"}, func() ([][]byte, error) { return i.Identity.Replay(ctx, after) })
}

// portal is the optional session source.
type portal struct {
	app.SessionSource
	w *World
}

func (p portal) Live(ctx context.Context) (sessions []app.PortalSession, complete bool, err error) {
	err = act(ctx, p.w, Call{Port: "identity", Op: "Live"}, func() error {
		sessions, complete, err = p.SessionSource.Live(ctx)
		return err
	})
	return sessions, complete && err == nil, err
}

type starter struct {
	app.Starter
	w *World
}

func (s starter) Watch(ctx context.Context, endpoint string, generation int64) error {
	return act(ctx, s.w, Call{Port: "starter", Op: "Watch", Writes: true}, func() error { return s.Starter.Watch(ctx, endpoint, generation) })
}

func (s starter) Drain(ctx context.Context, endpoint string, generation int64) error {
	return act(ctx, s.w, Call{Port: "starter", Op: "Drain", Writes: true}, func() error { return s.Starter.Drain(ctx, endpoint, generation) })
}

type waiters struct {
	app.Waiters
	w *World
}

func (s waiters) Release(ctx context.Context, token string, o app.Outcome) error {
	return act(ctx, s.w, Call{Port: "waiters", Op: "Release", Writes: true}, func() error {
		s.w.released(o)
		return s.Waiters.Release(ctx, token, o)
	})
}

type announcer struct{ w *World }

func (a announcer) Announce(ctx context.Context, n app.Announcement) error {
	return act(ctx, a.w, Call{Port: "announcer", Op: "Announce", Writes: true}, func() error { return a.w.announced(n) })
}
