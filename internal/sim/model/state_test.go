package model_test

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/proof"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// state is one state of the whole: the records, the machines that run, and the
// engines. A copy is cheap: what is behind a pointer is never changed in place.
type state struct {
	now       time.Time
	sessions  []*session.Session // in order of their opening
	entries   []*app.Entry       // whose effects are not done, oldest first
	queued    int                // how many of them the stream has not delivered: the last ones
	claims    map[workload.Ref]string
	users     map[string]*session.UserFacts
	endpoints map[string]*app.Endpoint
	marks     map[string]time.Time
	policy    *session.Policy
	machines  []machine
	runs      []engineRun
	said      map[string]bool // events that have happened; each does once
	released  map[string]int
}

// machine is an execution of watch or drain that is alive.
type machine struct {
	kind, endpoint string
	generation     int64
}

// engineRun is a run as its engine has it.
type engineRun struct {
	run     workload.Run
	session string
	user    string
	phase   workload.State
	created time.Time
	since   time.Time // when the phase began
	hidden  bool      // the engine does not know it, for now
}

func (s *state) clone() *state {
	c := *s
	c.sessions, c.entries, c.machines, c.runs = slices.Clone(s.sessions), slices.Clone(s.entries), slices.Clone(s.machines), slices.Clone(s.runs)
	c.claims, c.users, c.endpoints = maps.Clone(s.claims), maps.Clone(s.users), maps.Clone(s.endpoints)
	c.marks, c.said, c.released = maps.Clone(s.marks), maps.Clone(s.said), maps.Clone(s.released)
	return &c
}

func (s *state) find(id string) int {
	return slices.IndexFunc(s.sessions, func(x *session.Session) bool { return x.ID == id })
}

// key writes a state down without what cannot matter to what comes: versions,
// hashes and ids; and moments only as their order and distance, where all that is
// farther apart than any limit of the rules counts the same.
type key struct {
	times []time.Time
	bytes []byte
	zone  []int // places of times in bytes
}

const far = 20 * time.Minute

func (k *key) text(s string) { k.bytes = append(append(k.bytes, s...), 0) }

func (k *key) number(n int64) { k.bytes = binary.AppendVarint(k.bytes, n) }

func (k *key) flag(b bool) {
	n := int64(0)
	if b {
		n = 1
	}
	k.number(n)
}

func (k *key) moment(t time.Time) {
	if t.IsZero() {
		k.bytes = append(k.bytes, 0xFF)
		return
	}
	k.zone = append(k.zone, len(k.bytes))
	k.bytes = append(k.bytes, 0)
	k.times = append(k.times, t)
}

// sum is the key's hash. 64 bits: of a million states two share one with a
// chance of one in thirty million.
func (k *key) sum() uint64 {
	order := slices.Clone(k.times)
	slices.SortFunc(order, time.Time.Compare)
	order = slices.CompactFunc(order, time.Time.Equal)
	for i, at := range k.zone {
		n, _ := slices.BinarySearchFunc(order, k.times[i], time.Time.Compare)
		k.bytes[at] = byte(n)
	}
	for i := 1; i < len(order); i++ {
		k.number(int64(min(order[i].Sub(order[i-1]), far)))
	}
	h := fnv.New64a()
	_, _ = h.Write(k.bytes)
	return h.Sum64()
}

func (s *state) key() uint64 {
	k := &key{bytes: make([]byte, 0, 1024)}
	k.moment(s.now)
	k.number(int64(s.queued))
	for _, x := range sorted(s.sessions, func(x *session.Session) string { return x.ID }) {
		k.session(x)
		for _, e := range s.entries {
			if e.SessionID == x.ID {
				k.moment(e.At)
				for _, f := range e.Effects {
					k.text(string(f.Kind) + f.Reason)
				}
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.users)) {
		u := s.users[id]
		k.text(id)
		for _, list := range [][]session.Event{u.Facts, u.Pending} {
			k.number(int64(len(list)))
			for _, f := range sorted(list, func(f session.Event) string { return string(f.Kind) + f.ID }) {
				k.text(f.ID)
				k.moment(f.At)
			}
		}
		k.moment(u.PendingSince)
	}
	for _, id := range slices.Sorted(maps.Keys(s.endpoints)) {
		k.endpoint(s.endpoints[id], s.machines)
	}
	for _, r := range sorted(s.runs, func(r engineRun) string { return r.session }) {
		k.text(r.session + string(r.phase) + s.claims[r.run.Ref()])
		k.moment(r.created)
		k.moment(r.since)
		k.flag(r.hidden)
	}
	for _, n := range slices.Concat(slices.Sorted(maps.Keys(s.said)), slices.Sorted(maps.Keys(s.released))) {
		k.text(n)
	}
	for _, id := range slices.Sorted(maps.Keys(s.marks)) {
		k.text(id)
		k.moment(s.marks[id])
	}
	return k.sum()
}

// sorted is a copy in the order of names.
func sorted[T any](list []T, name func(T) string) []T {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b T) int { return strings.Compare(name(a), name(b)) })
	return list
}

func (k *key) endpoint(e *app.Endpoint, machines []machine) {
	k.text(e.ID)
	k.moment(e.LastListed)
	k.lease("watch", e.Watch, e, machines)
	k.lease("drain", e.Drain, e, machines)
}

func (k *key) lease(kind string, l app.Lease, e *app.Endpoint, machines []machine) {
	k.moment(l.Until)
	k.moment(l.EmptySince)
	k.flag(l.EmptyWake == e.Wake)
	for _, m := range machines {
		if m.endpoint == e.ID && m.kind == kind {
			k.number(m.generation - l.Generation)
		}
	}
	k.text(kind)
}

func (k *key) session(x *session.Session) {
	k.text(x.ID + string(x.Status) + string(x.Mode) + string(x.Origin) + x.Run.ID + x.Waiter)
	k.text(string(x.End.Cause) + x.End.Stuck)
	k.number(int64(x.Noticed) + int64(x.Run.MaxRuntime)<<1)
	k.flag(x.InteractiveGone)
	k.flag(x.Activity.Busy)
	for _, t := range []time.Time{x.OpenedAt, x.RecordedAt, x.Own.At, x.Deadline, x.RunningSince, x.Activity.At, x.Activity.Since,
		x.UserStatusAt, x.UserEnabledAt, x.TokenAt, x.StartAskedAt, x.Missed.Since, x.Missed.Known, x.PagedAt,
		x.End.Known, x.End.Decided, x.End.Asked, x.End.AskedLast, x.End.Confirmed, x.End.Refused} {
		k.moment(t)
	}
	for _, id := range slices.Sorted(slices.Values(x.Recent)) {
		k.text(id)
	}
}

// store is app.Store on one state; its index reads are never late. What the model
// does not reach is left out, and would panic.
type store struct {
	app.Store
	s *state
}

func missing(what, id string) error {
	return fault.Newf("model store", fault.NotFound, "there is no %s %q", what, id)
}

func raced(what string) error { return fault.Newf("model store", fault.Conflict, "%s", what) }

func (m store) Open(_ context.Context, o app.Opening) error {
	c := &app.OpenConflict{Exists: m.s.find(o.Session.ID) >= 0}
	run := o.Session.Run.Ref()
	if owner, ok := m.s.claims[run]; ok && run.ID != "" && owner != o.Session.ID {
		c.Claimed = owner
	}
	if u := m.s.users[o.Session.User]; u != nil && u.Version != o.UserVersion || u == nil && o.UserVersion != 0 {
		c.User = true
	}
	if *c != (app.OpenConflict{}) {
		return c
	}
	if run.ID != "" {
		m.s.claims[run] = o.Session.ID
	}
	m.s.sessions = append(m.s.sessions, &o.Session)
	m.s.push(&o.Entry)
	return nil
}

func (s *state) push(e *app.Entry) {
	if len(e.Effects) > 0 {
		s.entries = append(s.entries, e)
		s.queued++
	}
}

func (m store) Commit(_ context.Context, c app.Commit) error {
	i := m.s.find(c.Next.ID)
	if i < 0 {
		return missing("session", c.Next.ID)
	}
	if m.s.sessions[i].Version != c.Next.Version-1 {
		return raced("the version")
	}
	if c.Claim {
		if owner, ok := m.s.claims[c.Next.Run.Ref()]; ok && owner != c.Next.ID {
			return raced("the claim")
		}
		m.s.claims[c.Next.Run.Ref()] = c.Next.ID
	}
	m.s.sessions[i] = &c.Next
	m.s.push(&c.Entry)
	return nil
}

func (m store) Session(_ context.Context, id string) (session.Session, error) {
	if i := m.s.find(id); i >= 0 {
		return *m.s.sessions[i], nil
	}
	return session.Session{}, missing("session", id)
}

func (m store) Sessions(_ context.Context, ids []string) (all []session.Session, err error) {
	for _, id := range ids {
		if i := m.s.find(id); i >= 0 {
			all = append(all, *m.s.sessions[i])
		}
	}
	return all, nil
}

func (m store) page(want func(*session.Session) bool) (p app.Page, err error) {
	for _, x := range m.s.sessions {
		if want(x) {
			p.Sessions = append(p.Sessions, *x)
		}
	}
	return p, nil
}

func (m store) OfUser(_ context.Context, user, _ string) (app.Page, error) {
	return m.page(func(x *session.Session) bool { return x.User == user && x.Status != session.Ended })
}

func (m store) OfEndpoint(_ context.Context, endpoint, _ string) (app.Page, error) {
	return m.page(func(x *session.Session) bool { return x.Run.Endpoint == endpoint && x.Status != session.Ended })
}

func (m store) Due(_ context.Context, now time.Time, _ string) (app.Page, error) {
	return m.page(func(x *session.Session) bool { w := x.WakeAt(); return !w.IsZero() && !w.After(now) })
}

func (m store) Unfinished(_ context.Context, before time.Time, _ string) (all []app.Entry, next string, err error) {
	for _, e := range m.s.entries {
		if e.At.Before(before) {
			all = append(all, *e)
		}
	}
	return all, "", nil
}

func (m store) Finish(_ context.Context, id string, version int64) error {
	i := slices.IndexFunc(m.s.entries, func(e *app.Entry) bool { return e.SessionID == id && e.Version == version })
	if i >= 0 {
		m.s.entries = slices.Delete(slices.Clone(m.s.entries), i, i+1)
	}
	return nil
}

func (m store) Claimed(_ context.Context, run workload.Ref) (string, error) {
	if id, ok := m.s.claims[run]; ok {
		return id, nil
	}
	return "", missing("claim", run.ID)
}

func (m store) Reclaim(_ context.Context, run workload.Ref, from, to string) error {
	if owner := m.s.claims[run]; owner != from && owner != to {
		return raced("the claim")
	}
	m.s.claims[run] = to
	return nil
}

func (m store) User(_ context.Context, user string) (session.UserFacts, error) {
	if u := m.s.users[user]; u != nil {
		return *u, nil
	}
	return session.UserFacts{User: user}, nil
}

func (m store) PutUser(_ context.Context, u session.UserFacts) error {
	old := m.s.users[u.User]
	if old == nil && u.Version != 1 || old != nil && old.Version != u.Version-1 {
		return raced("the user")
	}
	m.s.users[u.User] = &u
	return nil
}

func (m store) PendingUsers(context.Context, string) (users []string, next string, err error) {
	for _, id := range slices.Sorted(maps.Keys(m.s.users)) {
		if len(m.s.users[id].Pending) > 0 {
			users = append(users, id)
		}
	}
	return users, "", nil
}

func (m store) Endpoint(_ context.Context, id string) (app.Endpoint, error) {
	if e := m.s.endpoints[id]; e != nil {
		return *e, nil
	}
	return app.Endpoint{ID: id}, nil
}

func (m store) PutEndpoint(_ context.Context, e app.Endpoint) error {
	old := m.s.endpoints[e.ID]
	if old == nil && e.Version != 1 || old != nil && old.Version != e.Version-1 {
		return raced("the endpoint")
	}
	if old != nil {
		e.Wake = old.Wake
	}
	m.s.endpoints[e.ID] = &e
	return nil
}

func (m store) Wake(_ context.Context, id string) error {
	old := m.s.endpoints[id]
	if old == nil {
		return missing("endpoint", id)
	}
	e := *old
	e.Wake++
	m.s.endpoints[id] = &e
	return nil
}

func (m store) Endpoints(context.Context, string) (all []app.Endpoint, next string, err error) {
	for _, id := range slices.Sorted(maps.Keys(m.s.endpoints)) {
		all = append(all, *m.s.endpoints[id])
	}
	return all, "", nil
}

// Anchors of the chains are no part of the model: there are none, and those that
// are written are forgotten.
func (m store) Anchors(context.Context, int64, int) ([]proof.Anchor, bool, error) {
	return nil, false, nil
}

func (m store) PutAnchor(context.Context, proof.Anchor) error { return nil }

func (m store) Changes(context.Context, time.Time, time.Time, string) ([]app.Entry, string, error) {
	return nil, "", nil
}

func (m store) Policy(context.Context) (session.Policy, error) { return *m.s.policy, nil }

func (m store) Mark(_ context.Context, name string) (time.Time, error) { return m.s.marks[name], nil }

func (m store) SetMark(_ context.Context, name string, at time.Time) error {
	if at.After(m.s.marks[name]) {
		m.s.marks[name] = at
	}
	return nil
}
