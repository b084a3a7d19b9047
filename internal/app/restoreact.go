package app

import (
	"context"
	"time"

	"nightshift/internal/fault"
	"nightshift/internal/session"
)

// RestoreSeen is RestoreDifference for an administrator: an engine that does not
// answer is told, and not waited for.
func (a *App) RestoreSeen(ctx context.Context, who Actor) (Difference, error) {
	if err := who.admin("look at a restore"); err != nil {
		return Difference{}, err
	}
	looking, _ := a.observed(true, askPatience)
	return looking.RestoreDifference(ctx)
}

// RestoreConfirmed confirms the restore that an administrator has looked at: at is
// its own moment (Restore.At). Conflict where there is a newer one.
func (a *App) RestoreConfirmed(ctx context.Context, act Act, at time.Time) (Restore, error) {
	const op = "confirm a restore"
	if err := first(act.Who.admin(op), act.check(op)); err != nil {
		return Restore{}, err
	}
	asked := "confirm restore " + stamp(at)
	_, again, err := a.repeated(ctx, act, asked)
	if err != nil {
		return Restore{}, err
	}
	r, err := a.restored(ctx)
	if err != nil {
		return r, err
	}
	noticed, err := a.Store.Mark(ctx, markRestored)
	switch {
	case err != nil:
		return r, err
	case r.Confirmed && again:
		return r, nil
	case r.Confirmed:
		return r, fault.New(op, fault.Denied, &Refusal{Reason: "no restore waits to be confirmed", Remedy: "One of less than 15 minutes is not noticed by itself: say it first."})
	case !noticed.Equal(r.At):
		return r, fault.New(op, fault.Denied, &Refusal{Reason: "no round has noticed the restore yet", Remedy: "A sweep does within a minute, where it runs: look again then.", Passing: true})
	case !r.At.Equal(at):
		return r, fault.Newf(op, fault.Conflict, "the newest restore is of %s, not of %s: look at it again", stamp(r.At), stamp(at))
	}
	if _, err := a.record(ctx, act, recorded{Event: session.Event{Kind: kindRestore}, Asked: asked}, false); err != nil {
		return r, err
	}
	if err := a.ConfirmRestore(ctx, act.Who.Name); err != nil {
		return r, err
	}
	return a.restored(ctx)
}

// RestoreSaid has the records be taken for ones that were put back, where they are
// too young for that to be noticed.
func (a *App) RestoreSaid(ctx context.Context, act Act) (Restore, error) {
	const op = "say a restore"
	if err := first(act.Who.admin(op), act.check(op)); err != nil {
		return Restore{}, err
	}
	said, err := a.record(ctx, act, recorded{Event: session.Event{Kind: kindRestore}, Asked: "say restore"}, false)
	if err != nil {
		return Restore{}, err
	}
	noticed, err := a.Store.Mark(ctx, markRestored)
	if err != nil {
		return Restore{}, err
	}
	r, err := a.restored(ctx)
	if err != nil || !noticed.Before(said.Event.At) || !r.Confirmed && noticed.Equal(r.At) {
		return r, err // it was said before, or is noticed already
	}
	if err := a.BeginRestore(ctx); err != nil {
		return r, err
	}
	return a.restored(ctx)
}
