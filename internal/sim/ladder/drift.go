package ladder

import (
	"context"
	"fmt"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Drift is how long what drifted apart stayed so.
type Drift struct {
	Deleted, Changed, Risen int // of each, one in a hundred
	Left                    int // not healed at the end
	Found                   time.Duration
	Healed                  time.Duration // since then, until all runs that must not be were over, their engine's own grace left out
	Touched                 int           // sessions that changed though nothing had happened to them
}

// TryDrift has n runs of an endpoint grow so old; then of each hundred one's
// record is deleted, one run ends behind our back, and one rises after its
// session ended. It answers how long the longest of each was unknown.
func TryDrift(endpoint string, n int, age, limit time.Duration) Drift {
	w := New(Settings{})
	w.Start()
	var sessions []session.Session
	open := func() {
		w.Do(func(ctx context.Context) {
			for i := range n {
				sessions = append(sessions, w.Open(ctx, fmt.Sprint("user-", i%50), Runs[endpoint], time.Time{}))
			}
			for range n / 100 { // these have ended by the time of the drift
				sessions = append(sessions, w.Open(ctx, "user-gone", Runs[endpoint], time.Time{}))
			}
		})
	}
	open()
	w.Play(2 * time.Minute)
	w.Do(func(ctx context.Context) { w.Say(ctx, w.Revoked("user-gone")) })
	w.Play(age + time.Second) // just after a look at it

	some := n / 100
	deleted, changed, risen := sessions[:some], sessions[some:2*some], sessions[n:]
	began := w.Clock.Now()
	ids := map[string]bool{}
	for _, s := range deleted {
		ids[s.ID] = true
	}
	w.Store.Rebuild(func(l logged) bool { return !ids[l.session] })
	for i, s := range changed {
		r := w.Engine.runs[s.Run.Ref()]
		r.overAt, r.over = began, []workload.State{workload.Stopped, workload.Succeeded, workload.Failed}[i%3]
	}
	for _, s := range risen {
		if w.Session(s.ID).Status != session.Ended {
			panic("a session that was to rise has not ended")
		}
		r := w.Engine.runs[s.Run.Ref()]
		r.overAt, r.asked = time.Time{}, time.Time{}
	}
	d := Drift{Deleted: len(deleted), Changed: len(changed), Risen: len(risen)}
	found, healed := map[string]time.Duration{}, map[string]time.Duration{}
	for w.Clock.Now().Sub(began) < limit {
		w.Play(time.Second)
		w.drifted(began, deleted, changed, risen, found, healed)
	}
	for _, at := range found {
		d.Found = max(d.Found, at)
	}
	for id, at := range healed {
		d.Healed = max(d.Healed, at-found[id])
	}
	d.Left = 3*some - len(healed)
	for _, s := range sessions[2*some : n] {
		if now := w.Session(s.ID); now.Status != session.Active || !w.Engine.Asked(s.Run.Ref()).IsZero() {
			d.Touched++
		}
	}
	return d
}

// drifted notes what has been found and healed by now.
func (w *World) drifted(began time.Time, deleted, changed, risen []session.Session, found, healed map[string]time.Duration) {
	now := w.Clock.Now().Sub(began)
	note := func(into map[string]time.Duration, id string, at time.Duration, is bool) {
		if _, known := into[id]; is && !known {
			into[id] = at
		}
	}
	ctx := context.Background()
	owner := func(s session.Session) session.Session {
		id, err := w.Store.Claimed(ctx, s.Run.Ref())
		if err != nil {
			return session.Session{}
		}
		return w.Session(id)
	}
	for _, s := range deleted {
		again := owner(s)
		ok := again.Status == session.Active && again.User == s.User && again.Origin == session.Adopted
		note(found, s.ID, now, ok)
		note(healed, s.ID, now, ok)
	}
	for _, s := range changed {
		ended := w.Session(s.ID).Status == session.Ended
		note(found, s.ID, now, ended)
		note(healed, s.ID, now, ended)
	}
	for _, s := range risen {
		zombie := owner(s)
		note(found, s.ID, now, zombie.Origin == session.Zombie)
		note(healed, s.ID, now-w.Engine.grace, zombie.Status == session.Ended && !w.Engine.Over(s.Run.Ref()).IsZero())
	}
}

// logged is one write that a store took.
type logged struct {
	at      time.Time
	session string // whose state it is; "" for others
	again   func(app.Store) error
}

func (r *Records) note(id string, err error, again func(app.Store) error) error {
	if err == nil && r.fresh != nil {
		r.log = append(r.log, logged{r.now(), id, again})
	}
	return err
}

// Rebuild makes a store of those writes that keep accepts, in their order, and
// goes on with it: a table put back, or one that lost records.
func (r *Records) Rebuild(keep func(logged) bool) {
	lag := r.lag
	r.lag = 0 // what was put back has been indexed
	defer func() { r.lag = lag }()
	store, log := r.fresh(), r.log[:0]
	for _, l := range r.log {
		if !keep(l) {
			continue
		}
		// What depended on a write that is gone is refused, as it should be.
		if err := l.again(store); err == nil {
			log = append(log, l)
		}
	}
	r.Store, r.log = store, log
}

// PutBack has the table be what it was at a moment.
func (r *Records) PutBack(to time.Time) { r.Rebuild(func(l logged) bool { return !l.at.After(to) }) }

// The writes of a world.

// Finish implements app.Store.
func (r *Records) Finish(ctx context.Context, id string, version int64) error {
	return r.note(id, r.Store.Finish(ctx, id, version), func(s app.Store) error { return s.Finish(ctx, id, version) })
}

// Reclaim implements app.Store.
func (r *Records) Reclaim(ctx context.Context, run workload.Ref, from, to string) error {
	return r.note(from, r.Store.Reclaim(ctx, run, from, to), func(s app.Store) error { return s.Reclaim(ctx, run, from, to) })
}

// PutUser implements app.Store.
func (r *Records) PutUser(ctx context.Context, u session.UserFacts) error {
	return r.note("", r.Store.PutUser(ctx, u), func(s app.Store) error { return s.PutUser(ctx, u) })
}

// Wake implements app.Store.
func (r *Records) Wake(ctx context.Context, id string) error {
	r.Writes++
	return r.note("", r.Store.Wake(ctx, id), func(s app.Store) error { return s.Wake(ctx, id) })
}

// PutPolicy implements app.Store.
func (r *Records) PutPolicy(ctx context.Context, p session.Policy) error {
	return r.note("", r.Store.PutPolicy(ctx, p), func(s app.Store) error { return s.PutPolicy(ctx, p) })
}

// SetMark implements app.Store.
func (r *Records) SetMark(ctx context.Context, name string, at time.Time) error {
	r.Writes++
	return r.note("", r.Store.SetMark(ctx, name, at), func(s app.Store) error { return s.SetMark(ctx, name, at) })
}
