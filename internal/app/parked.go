package app

import (
	"context"
	"time"

	"nightshift/internal/fault"
	"nightshift/internal/session"
)

// The kinds of acts of an operator, in the records of acts. No session sees them.
const (
	kindRepair  session.Kind = "repair"
	kindReplay  session.Kind = "replay"
	kindRestore session.Kind = "restore"
)

// ParkedStory is a parked event and what became of it.
type ParkedStory struct {
	Parked
	Replayed time.Time // when it was taken after all; zero: never
}

// markReplayed names the mark of when a parked event was taken after all. The event
// itself stays: it is kept as it came, for as long as the table keeps it.
func markReplayed(id string) string { return "parked-replayed/" + id }

// ParkedEvents lists what was parked, newest first (S3.6). Cursors are the store's.
func (a *App) ParkedEvents(ctx context.Context, who Actor, cursor string) ([]ParkedStory, string, error) {
	if err := who.admin("list parked events"); err != nil {
		return nil, "", err
	}
	page, next, err := a.Store.ParkedEvents(ctx, cursor)
	if err != nil {
		return nil, "", err
	}
	stories := make([]ParkedStory, 0, len(page))
	for _, p := range page {
		at, err := a.Store.Mark(ctx, markReplayed(p.ID))
		if err != nil {
			return nil, "", err
		}
		stories = append(stories, ParkedStory{p, at})
	}
	return stories, next, nil
}

// parkedPages bounds the pages in which a parked event is looked for. Their list is
// written by mistakes: there are few. Beyond, it is not found.
const parkedPages = 200

// ParkedEvent reads one parked event.
func (a *App) ParkedEvent(ctx context.Context, who Actor, id string) (ParkedStory, error) {
	const op = "read parked event"
	cursor := ""
	for range parkedPages {
		page, next, err := a.ParkedEvents(ctx, who, cursor)
		if err != nil {
			return ParkedStory{}, err
		}
		for _, p := range page {
			if p.ID == id {
				return p, nil
			}
		}
		if cursor = next; next == "" {
			break
		}
	}
	return ParkedStory{}, fault.Newf(op, fault.NotFound, "there is no parked event %q; they are kept for a limited time", id)
}

// ReplayParked takes a parked event again, as it came: after what refused it was
// mended. What it says counts as known from now. Taking one twice changes nothing.
// The error is a *Refusal where it is refused again; any other may pass.
func (a *App) ReplayParked(ctx context.Context, act Act, id string) (ParkedStory, error) {
	const op = "replay parked event"
	if err := first(act.Who.admin(op), act.check(op)); err != nil {
		return ParkedStory{}, err
	}
	p, err := a.ParkedEvent(ctx, act.Who, id)
	if err != nil {
		return p, err
	}
	if _, err := a.record(ctx, act, recorded{Event: session.Event{Kind: kindReplay}, Asked: "replay " + id}, false); err != nil {
		return p, err
	}
	now := a.Now()
	m, err := a.Parse([]byte(p.Body), now)
	if err == nil {
		err = a.Handle(ctx, m)
	}
	switch {
	case fault.Is(err, fault.Invalid):
		return p, fault.New(op, fault.Denied, &Refusal{Reason: "it is refused again: " + err.Error(), Remedy: "Mend what says it, and have it said again; or deploy a version that understands it, and replay then."})
	case err != nil:
		return p, err
	}
	p.Replayed = now
	return p, a.Store.SetMark(ctx, markReplayed(id), now)
}
