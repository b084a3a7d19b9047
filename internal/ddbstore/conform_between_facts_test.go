//go:build conform

package ddbstore_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore"
	"nightshift/internal/fault"
	"nightshift/internal/proof"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

var openingsMeet = []betweenCase{
	{"opening: the first thing known of the user is a sign-out (S2.4)", func(m *meeting) { m.openingMeetsSignOut(0) }},
	{"opening: a sign-out is added to what is known of the user (S2.4)", func(m *meeting) { m.openingMeetsSignOut(1) }},
	{"opening: the same opening, the user signs out, the run goes on to a zombie", func(m *meeting) {
		o := m.opens(runs(m.id), "effect")
		m.passes(m.met(open(o), open(o), signsOut(o.Session.User, 1), reclaim(m.id, m.id, "zombie")))
		m.stands(o.Session, []app.Entry{o.Entry}, 1)
		m.owned(m.id, "zombie")
	}},
	{"opening: another of the same session", func(m *meeting) {
		slow, fast := m.opens(waits("slow")), m.opens(runs(m.id), "effect")
		m.refused(m.met(open(slow), open(fast)), app.OpenConflict{Exists: true})
		m.stands(fast.Session, []app.Entry{fast.Entry}, 1)
		m.owned(m.id, m.id)
	}},
	{"opening: a commit of another session claims the run", func(m *meeting) {
		o := m.opens(runs(m.id))
		other := m.opens(as)
		other.Session.ID += "-other"
		other.Entry = sealed(m.T, other.Session, proof.Genesis, tick)
		m.must(open(other))
		c := m.follows(other.Session, other.Entry, runs(m.id), "effect")
		c.Claim = true
		m.refused(m.met(open(o), commit(c)), app.OpenConflict{Claimed: other.Session.ID})
		m.stands(c.Next, []app.Entry{other.Entry, c.Entry}, 2)
		m.owned(m.id, other.Session.ID)
		m.unborn()
	}},
}

// openingMeetsSignOut is of an opening decided on facts of that version.
func (m *meeting) openingMeetsSignOut(known int64) {
	o := m.opens(runs(m.id))
	for v := range known {
		m.must(signsOut(o.Session.User, v+1))
	}
	o.UserVersion = known
	m.refused(m.met(open(o), signsOut(o.Session.User, known+1)), app.OpenConflict{User: true})
	m.unborn()
	m.owned(m.id, "")
	facts, err := m.fast.User(m.Context(), o.Session.User)
	if err != nil || facts.Version != known+1 || len(facts.Pending) != 1 {
		m.Errorf("the user's facts are %+v, %v", facts, err)
	}
}

func signsOut(user string, version int64) write {
	out := session.Event{ID: fmt.Sprint("e", version), Kind: session.SignOut, User: user, At: base}
	return func(ctx context.Context, s *ddbstore.Store) error {
		return s.PutUser(ctx, session.UserFacts{User: user, Version: version, Facts: []session.Event{out}, Pending: []session.Event{out}, PendingSince: base})
	}
}

// refused holds an opening's answer against what it should be.
func (m *meeting) refused(err error, want app.OpenConflict) {
	m.Helper()
	var got *app.OpenConflict
	if !errors.As(err, &got) || *got != want {
		m.Errorf("got %v, want %+v", err, want)
	}
}

// unborn holds that the session is not there.
func (m *meeting) unborn() {
	m.Helper()
	if _, err := m.fast.Session(m.Context(), m.id); !fault.Is(err, fault.NotFound) {
		m.Errorf("the session whose opening was refused: %v", err)
	}
}

func reclaim(run, from, to string) write {
	return func(ctx context.Context, s *ddbstore.Store) error {
		return s.Reclaim(ctx, workload.Ref{Endpoint: place, ID: run}, from, to)
	}
}

var factsMeet = []betweenCase{
	{"user", func(m *meeting) {
		m.versionMeetsVersion(func(ctx context.Context, s *ddbstore.Store, v int64, by string) error {
			return s.PutUser(ctx, session.UserFacts{User: m.id, Version: v, Lock: session.Lock{Why: by}})
		}, func(ctx context.Context, s *ddbstore.Store) (string, error) {
			u, err := s.User(ctx, m.id)
			return u.Lock.Why, err
		})
	}},
	{"endpoint", func(m *meeting) {
		m.versionMeetsVersion(func(ctx context.Context, s *ddbstore.Store, v int64, by string) error {
			return s.PutEndpoint(ctx, app.Endpoint{ID: m.id, Version: v, Engine: by})
		}, func(ctx context.Context, s *ddbstore.Store) (string, error) {
			e, err := s.Endpoint(ctx, m.id)
			return e.Engine, err
		})
	}},
	{"policy", func(m *meeting) {
		m.versionMeetsVersion(func(ctx context.Context, s *ddbstore.Store, v int64, by string) error {
			return s.PutPolicy(ctx, session.Policy{Version: v, ChangedBy: by})
		}, func(ctx context.Context, s *ddbstore.Store) (string, error) {
			p, err := s.Policy(ctx)
			return p.ChangedBy, err
		})
	}},
	{"notebook (S5.1)", func(m *meeting) {
		m.versionMeetsVersion(func(ctx context.Context, s *ddbstore.Store, v int64, by string) error {
			return s.PutNotebook(ctx, app.Notebook{ID: m.id, Version: v, Place: by})
		}, func(ctx context.Context, s *ddbstore.Store) (string, error) {
			n, err := s.Notebook(ctx, m.id)
			return n.Place, err
		})
	}},
	{"ledger (S6.1)", func(m *meeting) {
		m.versionMeetsVersion(func(ctx context.Context, s *ddbstore.Store, v int64, by string) error {
			return s.PutLedger(ctx, app.Ledger{Name: m.id, Version: v, Held: []app.Hold{{By: by}}})
		}, func(ctx context.Context, s *ddbstore.Store) (string, error) {
			l, err := s.Ledger(ctx, m.id)
			if len(l.Held) != 1 {
				return "nobody", err
			}
			return l.Held[0].By, err
		})
	}},
	{"endpoint and wake, each before the other", func(m *meeting) {
		put := func(v int64) write {
			return func(ctx context.Context, s *ddbstore.Store) error {
				return s.PutEndpoint(ctx, app.Endpoint{ID: m.id, Version: v, Engine: "livy"})
			}
		}
		wake := func(ctx context.Context, s *ddbstore.Store) error { return s.Wake(ctx, m.id) }
		m.passes(m.met(wake, put(1))) // there is something to wake just in time
		m.passes(m.met(put(2), wake))
		m.passes(m.met(wake, put(3), wake))
		if got, err := m.fast.Endpoint(m.Context(), m.id); err != nil || got != (app.Endpoint{ID: m.id, Engine: "livy", Version: 3, Wake: 4}) {
			m.Errorf("%+v, %v", got, err)
		}
	}},
	{"claim: it goes on to another session (S2.3)", func(m *meeting) {
		m.must(open(m.opens(runs(m.id))))
		m.wants(m.met(reclaim(m.id, m.id, "slow"), reclaim(m.id, m.id, "fast")), fault.Conflict, "does not belong to session")
		m.owned(m.id, "fast")
		m.passes(m.met(reclaim(m.id, "fast", "same"), reclaim(m.id, "fast", "same")))
		m.owned(m.id, "same")
	}},
	{"parked event: it is kept once (S3.6)", func(m *meeting) {
		fresh := map[string]bool{}
		park := func(by string) write {
			return func(ctx context.Context, s *ddbstore.Store) (err error) {
				fresh[by], err = s.Park(ctx, app.Parked{ID: m.id, Reason: by, At: base})
				return err
			}
		}
		m.passes(m.met(park("slow"), park("fast")))
		found, _, err := m.fast.ParkedEvents(m.Context(), "")
		if err != nil || len(found) != 1 || found[0].Reason != "fast" || fresh["slow"] || !fresh["fast"] {
			m.Errorf("%+v, fresh %v, %v", found, fresh, err)
		}
	}},
	{"mark: a later one", func(m *meeting) {
		mark := func(at time.Time) write {
			return func(ctx context.Context, s *ddbstore.Store) error { return s.SetMark(ctx, m.id, at) }
		}
		m.passes(m.met(mark(base), mark(base.Add(time.Hour))))
		if got, err := m.fast.Mark(m.Context(), m.id); err != nil || !got.Equal(base.Add(time.Hour)) {
			m.Errorf("the mark is at %v, %v", got, err)
		}
	}},
	{"anchor: another, and the same (S8.4)", func(m *meeting) {
		put := func(a proof.Anchor) write {
			return func(ctx context.Context, s *ddbstore.Store) error { return s.PutAnchor(ctx, a) }
		}
		fast := proof.Anchor{Seq: 1, At: base, Hash: "fast"}
		m.wants(m.met(put(proof.Anchor{Seq: 1, At: base, Hash: "slow"}), put(fast)), fault.Conflict, "there is another anchor 1")
		fast.Seq = 2
		m.passes(m.met(put(fast), put(fast)))
		found, _, err := m.fast.Anchors(m.Context(), 0, 10)
		if err != nil || len(found) != 2 || found[0].Hash != "fast" || found[1].Hash != "fast" {
			m.Errorf("%+v, %v", found, err)
		}
	}},
}

// versionMeetsVersion is of two writes that were decided on one version: on none, and
// on the first.
func (m *meeting) versionMeetsVersion(put func(ctx context.Context, s *ddbstore.Store, version int64, by string) error, read func(context.Context, *ddbstore.Store) (string, error)) {
	m.Helper()
	for v := int64(1); v <= 2; v++ {
		by := func(whom string) write {
			return func(ctx context.Context, s *ddbstore.Store) error { return put(ctx, s, v, whom) }
		}
		fast := fmt.Sprint("fast ", v)
		m.wants(m.met(by("slow"), by(fast)), fault.Conflict, fmt.Sprintf("it is not at version %d any more", v-1))
		if got, err := read(m.Context(), m.fast); err != nil || got != fast {
			m.Errorf("version %d is by %q, %v", v, got, err)
		}
	}
}
