package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"nightshift/internal/fault"
	"nightshift/internal/session"
)

// RunEffects carries out the effects of history entries, each even if another
// fails, and marks an entry when all of its own are done. It never fails a
// batch: what fails here stays marked unfinished, and the sweep drives it again.
// An endpoint is woken once for all of them: woken for each, its record would be
// the one item that a mass stop writes thousands of times.
func (a *App) RunEffects(ctx context.Context, entries ...Entry) {
	var b batch
	endpoints := make([]string, len(entries))
	errs := make([]error, len(entries))
	for i := range entries {
		endpoints[i], errs[i] = a.effects(ctx, entries[i], &b)
	}
	for i := range b {
		b[i].err = a.wake(ctx, b[i].endpoint, b[i].task)
	}
	for i := range entries {
		entry := &entries[i]
		if err := errors.Join(errs[i], a.finish(ctx, endpoints[i], entry, b)); err != nil {
			a.Log.Warn("effects", "session", entry.SessionID, "version", entry.Version, "error", err.Error())
		}
	}
}

// batch is whom the entries of a batch wake, in the order of the first of each.
type batch []woken

type woken struct {
	endpoint string
	kind     session.EffectKind // Stop or Watch
	task     task
	err      error
}

func (b *batch) add(endpoint string, kind session.EffectKind, t task) {
	if b.of(endpoint, kind) == nil {
		*b = append(*b, woken{endpoint: endpoint, kind: kind, task: t})
	}
}

func (b batch) of(endpoint string, kind session.EffectKind) *woken {
	i := slices.IndexFunc(b, func(w woken) bool { return w.endpoint == endpoint && w.kind == kind })
	if i < 0 {
		return nil
	}
	return &b[i]
}

// finish marks an entry of which everything is done; one without effects is never
// listed as unfinished, and marking it would only cost a write. An error of its
// own effects is the caller's to know: then there is no endpoint.
func (a *App) finish(ctx context.Context, endpoint string, entry *Entry, b batch) error {
	if entry.Done || endpoint == "" || len(entry.Effects) == 0 {
		return nil
	}
	for _, e := range entry.Effects {
		if woken := b.of(endpoint, e.Kind); woken != nil && woken.err != nil {
			return woken.err
		}
	}
	return a.Store.Finish(ctx, entry.SessionID, entry.Version)
}

// effects carries out what an entry alone asks for, and notes whom it wakes. It
// answers the endpoint of the session as it is; none where something failed.
func (a *App) effects(ctx context.Context, entry Entry, b *batch) (string, error) {
	if entry.Done || len(entry.Effects) == 0 {
		return "", nil
	}
	s, err := a.Store.Session(ctx, entry.SessionID)
	if err != nil {
		return "", fmt.Errorf("run effects: %w", err)
	}
	var errs []error
	for _, e := range entry.Effects {
		if e.Wanted(s) && !e.Stale(s, entry.Deadline, a.Now()) {
			errs = append(errs, a.effect(ctx, s, entry, e, b))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	return s.Run.Endpoint, nil
}

func (a *App) effect(ctx context.Context, s session.Session, entry Entry, e session.Effect, b *batch) error {
	switch e.Kind {
	case session.Stop:
		b.add(s.Run.Endpoint, e.Kind, draining)
		return nil
	case session.Watch:
		b.add(s.Run.Endpoint, e.Kind, watching)
		return a.overtaken(ctx, s)
	case session.ReleaseWaiter:
		if s.Waiter == "" {
			return nil
		}
		return a.Waiters.Release(ctx, s.Waiter, outcomeOf(s))
	case session.Notify, session.Notice, session.Alert, session.Page, session.Announce:
		// A decision has at most one effect of each kind and reason.
		n := slices.IndexFunc(entry.Effects, func(o session.Effect) bool { return o == e })
		err := a.Announcer.Announce(ctx, Announcement{
			ID: fmt.Sprintf("%s-%d", session.EffectID(s.ID, entry.Version, e.Kind), n), Kind: announcementKind(e), At: entry.At, Session: s, Entry: entry, Effect: e,
		})
		if err != nil || e.Kind != session.Announce || e.Reason != sessionEnded {
			return err
		}
		return a.saved(ctx, s, entry)
	}
	return fault.Newf("run effects", fault.Invalid, "no port carries out effect %q", e.Kind)
}

// sessionEnded is the announcement of a session's end.
const sessionEnded = "session-ended"

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

// overtaken carries to a session the facts that name its run and came before
// anybody knew that the run is its own (S2.4).
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
	_, err = a.kernelless(ctx, s)
	return errors.Join(append(errs, err)...)
}
