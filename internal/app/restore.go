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
	"nightshift/internal/workload"
)

// A table that is put back to what it was has forgotten what was decided since
// (internal/decisions/0013). Nothing of it is lost for good where somebody else
// knows it too: engines know their runs, CloudTrail who signed out. Only that an
// end was moved is known to the table alone. So after a restore the clock ends
// nothing on the strength of a record that somebody may have changed since, until
// what can be asked has been asked, and an administrator has looked at the rest.

// The moments that tell a restore.
const (
	markAlive     = "alive"             // a sweep, a watch or a drain went its round
	markRestored  = "restored"          // a restore was noticed, or said
	markForgotten = "restored-from"     // up to when the records reached then
	markConfirmed = "restore-confirmed" // an administrator has looked at it
)

// restoreGap is how long nothing of ours must have gone its round, by the records,
// for them to be taken for ones that were put back. After a pause as long as the
// promise a person has to look anyway.
const restoreGap = 15 * time.Minute

// restoreSkip is by how much generations of executions go forward: the names of
// those that were started since are taken for 90 days.
const restoreSkip = 100_000

// Restore is a restore that was noticed.
type Restore struct {
	From, At  time.Time // what happened between is not in the records; zero: there was none
	Confirmed bool      // an administrator has looked at it
}

// safe begins each round of a sweep, a watch and a drain: whichever comes first
// notices records that were put back, before it makes them younger.
func (a *App) safe(ctx context.Context) error {
	alive, err := a.Store.Mark(ctx, markAlive)
	now := a.Now()
	if err == nil && !alive.IsZero() && now.Sub(alive) > restoreGap {
		a.Log.Error("records put back", "reason", "by them nothing went its round since "+alive.UTC().Format(time.RFC3339))
		err = a.BeginRestore(ctx)
	}
	if err == nil && now.Sub(alive) >= cadence.Sweep/2 {
		err = a.Store.SetMark(ctx, markAlive, now)
	}
	if err != nil {
		return fmt.Errorf("look for a restore: %w", err)
	}
	return nil
}

// BeginRestore has the records be taken for ones that were put back. A round
// says so by itself where they are old enough; an administrator says it of
// younger ones.
func (a *App) BeginRestore(ctx context.Context) error {
	alive, err := a.Store.Mark(ctx, markAlive)
	if err == nil {
		err = a.Store.SetMark(ctx, markForgotten, alive)
	}
	if err == nil {
		err = a.Store.SetMark(ctx, markRestored, a.Now())
	}
	if err != nil {
		return fmt.Errorf("begin a restore: %w", err)
	}
	return a.endpoints(ctx, func(e Endpoint) error {
		_, _, err := a.change(ctx, e.ID, func(e *Endpoint) bool {
			e.Watch = Lease{Generation: e.Watch.Generation + restoreSkip}
			e.Drain = Lease{Generation: e.Drain.Generation + restoreSkip}
			return true
		})
		return err
	})
}

// ConfirmRestore lets the clock end again what it would: an administrator has
// seen the difference, and has extended again what was extended.
func (a *App) ConfirmRestore(ctx context.Context, by string) error {
	r, err := a.restored(ctx)
	switch {
	case err != nil:
		return err
	case r.Confirmed:
		return fault.Newf("confirm a restore", fault.Invalid, "no restore waits to be confirmed")
	}
	a.Log.Warn("restore confirmed", "by", by)
	return a.Store.SetMark(ctx, markConfirmed, a.Now())
}

// restored reads the newest restore. One that no round has noticed yet counts too:
// other news may come before it.
func (a *App) restored(ctx context.Context) (Restore, error) {
	var r Restore
	var confirmed, alive time.Time
	for _, m := range []struct {
		name string
		at   *time.Time
	}{{markForgotten, &r.From}, {markRestored, &r.At}, {markConfirmed, &confirmed}, {markAlive, &alive}} {
		var err error
		if *m.at, err = a.Store.Mark(ctx, m.name); err != nil {
			return r, fmt.Errorf("read the restore: %w", err)
		}
	}
	if now := a.Now(); !alive.IsZero() && now.Sub(alive) > restoreGap {
		return Restore{From: alive, At: now}, nil
	}
	r.Confirmed = !confirmed.Before(r.At)
	return r, nil
}

// held says why the clock must not end a session yet; "" where it may, or where
// it is not to.
func (a *App) held(ctx context.Context, s session.Session, p session.Policy, now time.Time) (string, error) {
	due, idle := s.Deadline, s.IdleDue()
	expired, slack := !due.IsZero() && !now.Before(due), !idle.IsZero() && !now.Before(idle)
	if s.Status != session.Active || !expired && !slack {
		return "", nil
	}
	r, err := a.restored(ctx)
	if err != nil || r.Confirmed || s.OpenedAt.After(r.At) {
		return "", err
	}
	replayed, err := a.Store.Mark(ctx, markReplay)
	if err != nil {
		return "", err
	}
	e, err := a.Store.Endpoint(ctx, s.Run.Endpoint)
	switch {
	case err != nil:
		return "", err
	case replayed.Before(r.At):
		return "what CloudTrail recorded since is still to be read", nil
	case expired && s.Extendable(p, due.Add(-1)).Possible:
		return "its end may have been moved since: an administrator has to confirm the restore", nil
	case !expired && e.LastListed.Before(r.At):
		return "whether it is still idle is still to be seen", nil
	}
	return "", nil
}

// Held is a session that would have ended by now.
type Held struct {
	Session session.Session
	Reason  string
}

// Difference is what records that were put back and the engines tell differently.
type Difference struct {
	Restore   Restore
	Held      []Held
	Endpoints []EndpointDifference
}

// EndpointDifference is the difference at one endpoint.
type EndpointDifference struct {
	ID       string
	Unlisted string                 // why it cannot be told; "" where it can
	Over     []session.Session      // they have not ended, their runs have or are gone
	Unknown  []workload.Observation // runs alive of which the records know nothing
	Risen    []workload.Observation // runs alive whose sessions ended
}

// RestoreDifference looks at every endpoint and changes nothing.
func (a *App) RestoreDifference(ctx context.Context) (Difference, error) {
	var d Difference
	r, err := a.restored(ctx)
	if err != nil {
		return d, err
	}
	d.Restore = r
	policy, err := a.Store.Policy(ctx)
	if err != nil {
		return d, fmt.Errorf("tell a restore's difference: %w", err)
	}
	return d, a.endpoints(ctx, func(e Endpoint) error {
		sessions, err := a.live(ctx, e.ID)
		if err != nil {
			return err
		}
		for _, s := range sessions {
			why, err := a.held(ctx, s, policy, a.Now())
			if err != nil {
				return err
			}
			if why != "" {
				d.Held = append(d.Held, Held{s, why})
			}
		}
		if a.late(ctx) {
			d.Endpoints = append(d.Endpoints, EndpointDifference{ID: e.ID, Unlisted: "time was up before it was asked"})
			return nil
		}
		at, err := a.differs(ctx, e.ID, sessions)
		d.Endpoints = append(d.Endpoints, at)
		return err
	})
}

func (a *App) differs(ctx context.Context, endpoint string, sessions []session.Session) (EndpointDifference, error) {
	d := EndpointDifference{ID: endpoint}
	engine, err := a.engine(endpoint)
	var listing workload.Listing
	if err == nil {
		listing, err = engine.List(ctx, endpoint)
	}
	if err == nil && !listing.Complete {
		err = fault.Newf("list runs", fault.Unknown, "pages are missing")
	}
	if err != nil {
		d.Unlisted = err.Error()
		return d, nil
	}
	alive := map[workload.Ref]bool{}
	for _, o := range listing.Runs {
		if o.State.Over() || o.Run.Kind == workload.LivyBatch || o.PartOf != "" {
			continue
		}
		alive[o.Run.Ref()] = true
		s, err := a.owner(ctx, o.Run.Ref(), o.Stamp, "")
		switch {
		case fault.Is(err, fault.NotFound):
			d.Unknown = append(d.Unknown, o)
		case err != nil:
			return d, err
		case s.Status == session.Ended:
			d.Risen = append(d.Risen, o)
		}
	}
	d.Over = slices.DeleteFunc(slices.Clone(sessions), func(s session.Session) bool { return s.Run.ID == "" || alive[s.Run.Ref()] })
	return d, nil
}

// holdBack leaves out the sessions that the clock must not end yet, and says once an
// hour that there are some.
func (a *App) holdBack(ctx context.Context, r Restore, due []session.Session, now time.Time) (ids []string, err error) {
	if len(due) == 0 {
		return nil, nil
	}
	policy, err := a.Store.Policy(ctx)
	if err != nil {
		return nil, err
	}
	var held []Held
	var errs []error
	for _, s := range due {
		why, err := a.held(ctx, s, policy, now)
		errs = append(errs, err)
		if why != "" {
			held = append(held, Held{s, why})
		} else if err == nil {
			ids = append(ids, s.ID)
		}
	}
	if len(held) > 0 {
		text := fmt.Sprintf("The records were put back: they do not know what was decided from %s to %s. %d runs are past the end they know and go on until the restore is confirmed; the first is held because %s.",
			r.From.UTC().Format(time.RFC3339), r.At.UTC().Format(time.RFC3339), len(held), held[0].Reason)
		errs = append(errs, a.announceOnce(ctx, "restore", held[0].Session.Run.Endpoint, held[0].Session, text, now.Add(cadence.AlertEach)))
	}
	return ids, errors.Join(errs...)
}
