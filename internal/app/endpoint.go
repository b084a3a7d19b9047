package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/session"
)

const indexLag = cadence.IndexLag

// endpoints walks the registry.
func (a *App) endpoints(ctx context.Context, each func(Endpoint) error) error {
	cursor := ""
	for {
		list, next, err := a.Store.Endpoints(ctx, cursor)
		if err != nil {
			return fmt.Errorf("list endpoints: %w", err)
		}
		for _, e := range list {
			if err := each(e); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		cursor = next
	}
}

// change writes an endpoint; a lost race is decided again. alter answers false
// to leave it as it is.
func (a *App) change(ctx context.Context, id string, alter func(*Endpoint) bool) (Endpoint, bool, error) {
	for range raceMax {
		e, err := a.Store.Endpoint(ctx, id)
		if err != nil {
			return e, false, fmt.Errorf("change endpoint: %w", err)
		}
		e.ID, e.Engine = id, api(id)
		if !alter(&e) {
			return e, false, nil
		}
		e.Version++
		err = a.Store.PutEndpoint(ctx, e)
		if err == nil {
			return e, true, nil
		}
		if !fault.Is(err, fault.Conflict) {
			return e, false, fmt.Errorf("change endpoint: %w", err)
		}
	}
	return Endpoint{}, false, fault.Newf("change endpoint "+id, fault.Conflict, "%d races lost", raceMax)
}

// task is one of the two singletons of an endpoint. Its lease is longer than its
// longest wait and one try of its function, for each try renews it. One that died
// is so replaced well within the promise of S2.1. One that was only slow finds the
// newer generation at its next try; meanwhile both ask within the one bucket.
type task struct {
	lease func(*Endpoint) *Lease
	start func(Starter, context.Context, string, int64) error
	wait  time.Duration
}

var (
	watching = task{func(e *Endpoint) *Lease { return &e.Watch }, Starter.Watch, cadence.Settled}
	draining = task{func(e *Endpoint) *Lease { return &e.Drain }, Starter.Drain, cadence.DrainEvery}
)

// wake sees that an endpoint is watched or drained: it bumps the counter first,
// so that an execution about to release its lease notices, and starts one where
// no lease is alive.
func (a *App) wake(ctx context.Context, id string, t task) error {
	err := a.Store.Wake(ctx, id)
	if fault.Is(err, fault.NotFound) {
		if err = a.register(ctx, id); err == nil {
			err = a.Store.Wake(ctx, id)
		}
	}
	if err != nil {
		return fmt.Errorf("wake endpoint: %w", err)
	}
	return a.ensure(ctx, id, t)
}

// register makes an endpoint known, so that it is looked at (S3.5a).
func (a *App) register(ctx context.Context, id string) error {
	_, _, err := a.change(ctx, id, func(e *Endpoint) bool { return e.Version == 0 })
	return err
}

// ensure starts an execution where no lease is alive. The lease is taken first:
// of two callers one starts it. A start that fails gives the lease back, so that
// the next minute's sweep tries again; where it was carried out all the same, the
// next generation fences it. A caller that dies here leaves the lease to run out,
// which is soon (S2.6): three that died so, each holding a full lease, once made a
// stop 16 minutes late.
func (a *App) ensure(ctx context.Context, id string, t task) error {
	now, mine := a.Now(), Lease{}
	e, taken, err := a.change(ctx, id, func(e *Endpoint) bool {
		l := t.lease(e)
		if now.Before(l.Until) {
			return false
		}
		mine = Lease{Generation: l.Generation + 1, Until: now.Add(cadence.LeaseSlack)}
		*l = mine
		return true
	})
	if !taken && mine.Generation > 0 {
		// It may have been taken, and the answer lost, by which whoever repeats the request
		// finds it taken: nobody else would start this one.
		stored, unread := a.Store.Endpoint(ctx, id)
		if l := t.lease(&stored); unread == nil && l.Generation == mine.Generation && l.Until.Equal(mine.Until) {
			e, taken, err = stored, true, nil
		}
	}
	if err != nil || !taken {
		return err
	}
	generation := t.lease(&e).Generation
	if err := t.start(a.Starter, ctx, id, generation); err != nil {
		_, _, back := a.change(ctx, id, func(e *Endpoint) bool {
			l := t.lease(e)
			if l.Generation != generation {
				return false
			}
			l.Until = time.Time{}
			return true
		})
		return errors.Join(fmt.Errorf("start an execution for endpoint %s: %w", id, err), back)
	}
	return nil
}

// hold renews the lease for an execution of a generation, or takes it over from
// the one before; false: a newer one holds it, and this one is done.
func (a *App) hold(ctx context.Context, id string, t task, generation int64) (Endpoint, bool, error) {
	now := a.Now()
	e, held, err := a.change(ctx, id, func(e *Endpoint) bool {
		l := t.lease(e)
		if generation < l.Generation {
			return false
		}
		l.Generation = generation
		l.Until = now.Add(t.wait + cadence.LeaseSlack)
		return true
	})
	return e, held, err
}

// idle notes that there was nothing to do, and releases the lease when that has
// lasted longer than an index lags and nothing woke the endpoint meanwhile. A
// wake that races the release is found by reading again after it.
func (a *App) idle(ctx context.Context, id string, t task, generation int64) (done bool, err error) {
	now := a.Now()
	released := false
	e, held, err := a.change(ctx, id, func(e *Endpoint) bool {
		l := t.lease(e)
		released = false
		switch {
		case l.Generation != generation:
			return false
		case l.EmptySince.IsZero() || l.EmptyWake != e.Wake:
			l.EmptySince, l.EmptyWake = now, e.Wake
		case now.Sub(l.EmptySince) > indexLag:
			l.Until, l.EmptySince = time.Time{}, time.Time{}
			released = true
		default:
			return false
		}
		return true
	})
	if err != nil || !held || !released {
		return false, err
	}
	after, err := a.Store.Endpoint(ctx, id)
	if err != nil {
		return false, fmt.Errorf("read endpoint after release: %w", err)
	}
	if after.Wake != t.lease(&e).EmptyWake {
		return true, a.ensure(ctx, id, t)
	}
	return true, nil
}

// busy notes that there is something to do again. e is the endpoint as the round
// began with it: only the execution that holds the lease says that it is empty.
func (a *App) busy(ctx context.Context, e Endpoint, t task, generation int64) error {
	if t.lease(&e).EmptySince.IsZero() {
		return nil
	}
	_, _, err := a.change(ctx, e.ID, func(e *Endpoint) bool {
		l := t.lease(e)
		if l.Generation != generation || l.EmptySince.IsZero() {
			return false
		}
		l.EmptySince = time.Time{}
		return true
	})
	return err
}

// live reads the endpoint's sessions that have not ended, as far as its index has
// them.
func (a *App) live(ctx context.Context, endpoint string) ([]session.Session, error) {
	var sessions []session.Session
	for cursor := ""; ; {
		page, err := a.Store.OfEndpoint(ctx, endpoint, cursor)
		if err != nil {
			return nil, fmt.Errorf("list sessions of endpoint: %w", err)
		}
		if sessions = join(sessions, page.Sessions); page.Next == "" {
			return sessions, nil
		}
		cursor = page.Next
	}
}

// join is one list of both; it takes them. A session is large, and most lists are
// one page.
func join(all, more []session.Session) []session.Session {
	if len(all) == 0 {
		return more
	}
	return append(all, more...)
}

// alive reads those of the sessions that have not ended, fresh.
func (a *App) alive(ctx context.Context, ids []string) ([]session.Session, error) {
	sessions, err := a.Store.Sessions(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read sessions: %w", err)
	}
	return unended(sessions), nil
}

// unended are those of the sessions that have not ended; it takes their slice.
func unended(sessions []session.Session) []session.Session {
	return slices.DeleteFunc(sessions, func(s session.Session) bool { return s.Status == session.Ended })
}
