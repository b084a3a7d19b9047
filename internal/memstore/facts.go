package memstore

import (
	"context"
	"errors"
	"slices"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/proof"
	"nightshift/internal/session"
)

// User implements app.Store.
func (s *Store) User(ctx context.Context, user string) (session.UserFacts, error) {
	const op = "memstore: read user"
	if err := errors.Join(ready(ctx, op), app.CheckID(op, "user", user)); err != nil {
		return session.UserFacts{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.users[user]
	if !ok {
		return session.UserFacts{User: user}, nil
	}
	return cloneFacts(u), nil
}

// PutUser implements app.Store.
func (s *Store) PutUser(ctx context.Context, u session.UserFacts) error {
	const op = "memstore: write user"
	if err := errors.Join(ready(ctx, op), app.CheckID(op, "user", u.User)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := follows(op, u.Version, s.users[u.User].Version); err != nil {
		return err
	}
	s.users[u.User] = cloneFacts(u)
	s.index.facts(u)
	return nil
}

// follows is the condition of every versioned write.
func follows(op string, next, stored int64) error {
	if next < 1 {
		return fault.Newf(op, fault.Invalid, "version is %d; the first written is 1", next)
	}
	if stored != next-1 {
		return fault.Newf(op, fault.Conflict, "it is at version %d, not at %d", stored, next-1)
	}
	return nil
}

// Endpoint implements app.Store.
func (s *Store) Endpoint(ctx context.Context, id string) (app.Endpoint, error) {
	const op = "memstore: read endpoint"
	if err := errors.Join(ready(ctx, op), app.CheckID(op, "endpoint", id)); err != nil {
		return app.Endpoint{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.endpoints[id]
	if !ok {
		return app.Endpoint{ID: id}, nil
	}
	return e, nil
}

// PutEndpoint implements app.Store.
func (s *Store) PutEndpoint(ctx context.Context, e app.Endpoint) error {
	const op = "memstore: write endpoint"
	if err := errors.Join(ready(ctx, op), app.CheckID(op, "endpoint", e.ID)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.endpoints[e.ID]
	if err := follows(op, e.Version, old.Version); err != nil {
		return err
	}
	e.Wake = old.Wake
	s.endpoints[e.ID] = e
	s.index.endpoint(e)
	return nil
}

// Wake implements app.Store.
func (s *Store) Wake(ctx context.Context, id string) error {
	const op = "memstore: wake endpoint"
	if err := errors.Join(ready(ctx, op), app.CheckID(op, "endpoint", id)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.endpoints[id]
	if !ok {
		return fault.Newf(op, fault.NotFound, "there is no endpoint %q", id)
	}
	e.Wake++
	s.endpoints[id] = e
	s.index.endpoint(e)
	return nil
}

// Policy implements app.Store.
func (s *Store) Policy(ctx context.Context) (session.Policy, error) {
	if err := ready(ctx, "memstore: read policy"); err != nil {
		return session.Policy{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.policy, nil
}

// PutPolicy implements app.Store.
func (s *Store) PutPolicy(ctx context.Context, p session.Policy) error {
	const op = "memstore: write policy"
	if err := ready(ctx, op); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := follows(op, p.Version, s.policy.Version); err != nil {
		return err
	}
	s.policy = p
	return nil
}

// Park implements app.Store; a body beyond BodyMax is cut.
func (s *Store) Park(ctx context.Context, p app.Parked) (bool, error) {
	const op = "memstore: park event"
	if err := errors.Join(ready(ctx, op), app.CheckID(op, "event id", p.ID)); err != nil {
		return false, err
	}
	p.Body = p.Body[:min(len(p.Body), BodyMax)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, kept := s.parked[p.ID]; kept {
		return false, nil
	}
	s.parked[p.ID] = p
	s.index.park(p)
	return true, nil
}

// ParkedEvent implements app.Store.
func (s *Store) ParkedEvent(ctx context.Context, id string) (app.Parked, error) {
	const op = "memstore: read parked event"
	if err := errors.Join(ready(ctx, op), app.CheckID(op, "event id", id)); err != nil {
		return app.Parked{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, kept := s.parked[id]
	if !kept {
		return p, fault.Newf(op, fault.NotFound, "no event %q is parked", id)
	}
	return p, nil
}

// Sample implements app.Store; a body beyond BodyMax is cut.
func (s *Store) Sample(ctx context.Context, kind string, body []byte, _ time.Time) (int64, error) {
	const op = "memstore: sample event"
	if err := errors.Join(ready(ctx, op), app.CheckID(op, "kind", kind)); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.samples[kind]
	if k.Count == 0 {
		k = app.Sampled{Kind: kind, Body: string(body[:min(len(body), BodyMax)])}
	}
	k.Count++
	s.samples[kind] = k
	s.index.sample(k)
	return k.Count, nil
}

// SampleBody is the first body kept of a kind of event; NotFound where none is.
func (s *Store) SampleBody(ctx context.Context, kind string) ([]byte, error) {
	const op = "memstore: read sample"
	if err := errors.Join(ready(ctx, op), app.CheckID(op, "kind", kind)); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.samples[kind].Count == 0 {
		return nil, fault.Newf(op, fault.NotFound, "no event of kind %q was sampled", kind)
	}
	return []byte(s.samples[kind].Body), nil
}

// Mark implements app.Store.
func (s *Store) Mark(ctx context.Context, name string) (time.Time, error) {
	const op = "memstore: read mark"
	if err := errors.Join(ready(ctx, op), app.CheckID(op, "name", name)); err != nil {
		return time.Time{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.marks[name], nil
}

// SetMark implements app.Store.
func (s *Store) SetMark(ctx context.Context, name string, at time.Time) error {
	const op = "memstore: set mark"
	if err := errors.Join(ready(ctx, op), app.CheckID(op, "name", name)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at.After(s.marks[name]) {
		s.marks[name] = at
	}
	return nil
}

// PutAnchor implements app.Store. There are no gaps: an anchor whose number is
// more than one beyond the newest is refused too.
func (s *Store) PutAnchor(ctx context.Context, a proof.Anchor) error {
	const op = "memstore: write anchor"
	if err := ready(ctx, op); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch newest := int64(len(s.anchors)); {
	case a.Seq < 1:
		return fault.Newf(op, fault.Invalid, "its number is %d; the first is 1", a.Seq)
	case a.Seq > newest+1:
		return fault.Newf(op, fault.Conflict, "its number is %d; the next is %d", a.Seq, newest+1)
	case a.Seq == newest+1:
		s.anchors = append(s.anchors, cloneAnchor(a))
	case s.anchors[a.Seq-1].Hash != a.Hash:
		return fault.Newf(op, fault.Conflict, "there is another anchor %d", a.Seq)
	}
	return nil
}

// Anchors implements app.Store; limit below 1 is all.
func (s *Store) Anchors(ctx context.Context, before int64, limit int) ([]proof.Anchor, bool, error) {
	if err := ready(ctx, "memstore: read anchors"); err != nil {
		return nil, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := s.anchors
	if before > 0 {
		rest = rest[:min(before-1, int64(len(rest)))]
	}
	more := limit > 0 && len(rest) > limit
	if more {
		rest = rest[len(rest)-limit:]
	}
	var out []proof.Anchor
	for _, a := range slices.Backward(rest) {
		out = append(out, cloneAnchor(a))
	}
	return out, more, nil
}
