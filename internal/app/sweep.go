package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/session"
)

// markReplay names the moment up to which identity events were replayed.
const markReplay = "identity-replay"

// markReplayFrom names the moment from which the next replay has to read where
// there was more than one replay takes: all before is read, and is too long ago
// for CloudTrail to record any more of it.
const markReplayFrom = "identity-replay-from"

// sourceReplay is the source of events that are taken again from the event
// history: each comes several times, and is counted at most once.
const sourceReplay = "replay"

// Sweep is the minute's round: the guarantee behind every fast path. Each part
// is done even if another fails.
func (a *App) Sweep(ctx context.Context) error {
	began := a.Now()
	next, err := a.beginAnchor(ctx)
	seen := census{began: began, users: map[string]bool{}, recorded: map[string]time.Time{}, next: next}
	return errors.Join(
		err,
		a.safe(ctx), // before anything is decided on records that may have been put back
		a.replay(ctx),
		a.sweepAborted(ctx),
		a.sweepDue(ctx),
		a.sweepUsers(ctx, &seen),
		a.sweepEffects(ctx),
		a.sweepEndpoints(ctx, &seen),
		a.sweepMoves(ctx),
		a.publish(&seen.gauges),
		a.anchor(ctx, &seen.next),
		a.audit(ctx, &seen.next),
		// Last, because they wait for others: what ends their time ends nothing else.
		a.checkPortal(ctx, seen),
		a.checkIdentities(ctx, seen),
	)
}

// sweepDue ticks every session to which the clock matters now: deadlines, idle
// limits, notices, and all that are ENDING.
func (a *App) sweepDue(ctx context.Context) error {
	now := a.Now()
	r, err := a.restored(ctx)
	if err != nil {
		return err
	}
	var ids []string
	var unsure []session.Session
	err = pages(func(c string) (Page, error) { return a.Store.Due(ctx, now, c) }, func(s session.Session) {
		if r.Confirmed {
			ids = append(ids, s.ID)
		} else {
			unsure = append(unsure, s)
		}
	})
	if err != nil {
		return fmt.Errorf("sweep due sessions: %w", err)
	}
	sure, err := a.holdBack(ctx, r, unsure, now)
	return errors.Join(err, a.applyAll(ctx, append(ids, sure...), session.Event{Kind: session.Tick, At: now, By: "nightshift", Evidence: "sweep"}))
}

// sweepUsers completes the fan-out of facts about users, domains and clusters.
func (a *App) sweepUsers(ctx context.Context, seen *census) error {
	var errs []error
	cursor := ""
	for {
		users, next, err := a.Store.PendingUsers(ctx, cursor)
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("sweep users: %w", err))...)
		}
		for _, u := range users {
			if user, held := strings.CutPrefix(u, heldFacts); held {
				seen.users[user] = true
			}
			errs = append(errs, a.fanOut(ctx, u))
		}
		if next == "" {
			return errors.Join(errs...)
		}
		cursor = next
	}
}

// sweepEffects drives effects that linger.
func (a *App) sweepEffects(ctx context.Context) error {
	before := a.Now().Add(-cadence.EffectLinger)
	var lingering []Entry
	cursor := ""
	for {
		entries, next, err := a.Store.Unfinished(ctx, before, cursor)
		if err != nil {
			return fmt.Errorf("sweep effects: %w", err)
		}
		lingering = append(lingering, entries...)
		if next == "" {
			break
		}
		cursor = next
	}
	for batch := range slices.Chunk(lingering, effectsBatch) {
		a.RunEffects(ctx, batch...)
	}
	return nil
}

// effectsBatch is how many lingering entries are carried out before they are
// marked: where the sweep's time runs out, those behind it were not in vain.
const effectsBatch = 100

// sweepEndpoints restarts watches and drains that died, and looks at endpoints
// that have no live run (S3.5a). The walk over every live session is also the
// census that the identity checks go by.
func (a *App) sweepEndpoints(ctx context.Context, seen *census) error {
	var errs []error
	for _, id := range a.Endpoints {
		errs = append(errs, a.register(ctx, id))
	}
	err := a.endpoints(ctx, func(e Endpoint) error {
		errs = append(errs, a.sweepEndpoint(ctx, e, seen))
		return nil
	})
	return errors.Join(append(errs, err)...)
}

func (a *App) sweepEndpoint(ctx context.Context, e Endpoint, seen *census) error {
	now := a.Now()
	sessions, err := a.live(ctx, e.ID)
	if err != nil {
		return err
	}
	seen.add(sessions)
	if err := a.gauge(ctx, e, sessions, &seen.gauges); err != nil {
		return err
	}
	errs := []error{a.warn(ctx, e, sessions), a.remind(ctx, sessions), a.tend(ctx, e, sessions)}
	// A watch that is lost is not waited for: a run that nobody registered would be
	// found ten minutes late (S3.5a).
	if now.Sub(e.LastListed) >= a.settings(e.ID).Settled && (len(sessions) == 0 || !now.Before(e.Watch.Until)) {
		errs = append(errs, a.patiently(by(ctx, seen.began.Add(looksAgainUntil)), func() error {
			_, _, err := a.look(ctx, e)
			return err
		}))
	}
	return errors.Join(errs...)
}

// looksAgainUntil is how long after a sweep began it looks again at endpoints whose
// looks were throttled: the rest of its minute is for who is to be asked about.
const looksAgainUntil = 15 * time.Second

// tend starts the watch and the drain of an endpoint again where they died. The
// sessions are its live ones.
func (a *App) tend(ctx context.Context, e Endpoint, sessions []session.Session) error {
	now := a.Now()
	var errs []error
	if len(sessions) > 0 && !now.Before(e.Watch.Until) {
		errs = append(errs, a.ensure(ctx, e.ID, watching))
	}
	for _, s := range sessions {
		if s.Status == session.Ending && !now.Before(e.Drain.Until) {
			errs = append(errs, a.ensure(ctx, e.ID, draining))
			break
		}
	}
	return errors.Join(errs...)
}

// replay takes identity events again from the event history, so that one lost
// on the way is found (S3.5c). Taking one twice changes nothing.
func (a *App) replay(ctx context.Context) error {
	now := a.Now()
	mark, err := a.Store.Mark(ctx, markReplay)
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	if !mark.IsZero() {
		a.Meter.Lateness(MetricTruthAge, now.Sub(mark))
	}
	if now.Sub(mark) < cadence.Replay {
		return nil
	}
	if mark.IsZero() {
		mark = now
	}
	from, err := a.Store.Mark(ctx, markReplayFrom)
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	if back := mark.Add(-cadence.ReplayBack); back.After(from) {
		from = back
	}
	bodies, err := a.Identity.Replay(ctx, from)
	read, came := now, a.Now() // all of them came then, however long each takes (S2.7)
	if unread := (*Unread)(nil); errors.As(err, &unread) && unread.From.After(from) {
		read, err = unread.From, nil // the next sweep goes on there
	} else if err != nil && unread == nil {
		return fmt.Errorf("replay: %w", err)
	}
	errs := make([]error, 0, len(bodies))
	for _, body := range bodies {
		errs = append(errs, a.received(ctx, sourceReplay, body, came))
	}
	if err := errors.Join(append(errs, err)...); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	if settled := now.Add(-cadence.ReplayBack); settled.Before(read) {
		from = settled
	} else {
		from = read
	}
	return errors.Join(a.Store.SetMark(ctx, markReplayFrom, from), a.Store.SetMark(ctx, markReplay, read))
}

// SessionStory is a session with its whole history.
func (a *App) SessionStory(ctx context.Context, id string) (session.Session, []Entry, error) {
	s, err := a.Store.Session(ctx, id)
	if err != nil {
		return s, nil, err
	}
	var all []Entry
	for {
		after := int64(0)
		if len(all) > 0 {
			after = all[len(all)-1].Version
		}
		entries, more, err := a.Store.History(ctx, id, after, historyPage)
		if err != nil {
			return s, nil, err
		}
		all = append(all, entries...)
		if !more || len(entries) == 0 {
			return s, all, nil
		}
	}
}

// historyPage is how many entries are read at once.
const historyPage = 100
