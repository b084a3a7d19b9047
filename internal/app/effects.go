package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"nightshift/internal/fault"
	"nightshift/internal/session"
)

// RunEffects carries out the effects of a history entry, each even if another
// fails, and marks the entry when all are done. It never fails a batch: what
// fails here stays marked unfinished, and the sweep drives it again.
func (a *App) RunEffects(ctx context.Context, entry Entry) {
	if err := a.effects(ctx, entry); err != nil {
		a.Log.Warn("effects", "session", entry.SessionID, "version", entry.Version, "error", err.Error())
	}
}

func (a *App) effects(ctx context.Context, entry Entry) error {
	if entry.Done {
		return nil
	}
	s, err := a.Store.Session(ctx, entry.SessionID)
	if err != nil {
		return fmt.Errorf("run effects: %w", err)
	}
	var errs []error
	for _, e := range entry.Effects {
		if e.Wanted(s) {
			errs = append(errs, a.effect(ctx, s, entry, e))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return a.Store.Finish(ctx, entry.SessionID, entry.Version)
}

func (a *App) effect(ctx context.Context, s session.Session, entry Entry, e session.Effect) error {
	switch e.Kind {
	case session.Stop:
		return a.wake(ctx, s.Run.Endpoint, draining)
	case session.Watch:
		return errors.Join(a.wake(ctx, s.Run.Endpoint, watching), a.overtaken(ctx, s))
	case session.ReleaseWaiter:
		if s.Waiter == "" {
			return nil
		}
		return a.Waiters.Release(ctx, s.Waiter, outcomeOf(s))
	case session.Notify, session.Notice, session.Alert, session.Page, session.Announce:
		// A decision has at most one effect of each kind and reason.
		n := slices.IndexFunc(entry.Effects, func(o session.Effect) bool { return o == e })
		return a.Announcer.Announce(ctx, Announcement{
			ID: fmt.Sprintf("%s-%d", session.EffectID(s.ID, entry.Version, e.Kind), n), Kind: announcementKind(e), At: entry.At, Session: s, Entry: entry, Effect: e,
		})
	}
	return fault.Newf("run effects", fault.Invalid, "no port carries out effect %q", e.Kind)
}

// announcementKind is the outgoing event that an effect becomes.
func announcementKind(e session.Effect) string {
	switch e.Kind {
	case session.Announce:
		return e.Reason
	case session.Notify, session.Notice:
		return "notice"
	}
	return "alert"
}

// overtaken carries to a session the facts about its user that name its run and
// came before anybody knew that the run is its own (S2.4).
func (a *App) overtaken(ctx context.Context, s session.Session) error {
	if s.Run.ID == "" {
		return nil
	}
	u, err := a.Store.User(ctx, s.User)
	if err != nil {
		return fmt.Errorf("apply what names the run: %w", err)
	}
	var errs []error
	for _, e := range u.Facts {
		if e.Run == s.Run.Ref() {
			_, err := a.Apply(ctx, s.ID, e)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
