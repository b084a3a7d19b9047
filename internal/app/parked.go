package app

import (
	"context"
	"slices"
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

// ParkedEvent reads one parked event.
func (a *App) ParkedEvent(ctx context.Context, who Actor, id string) (ParkedStory, error) {
	const op = "read parked event"
	if err := who.admin(op); err != nil {
		return ParkedStory{}, err
	}
	p, err := a.Store.ParkedEvent(ctx, id)
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Invalid) { // what cannot be an id is none's
		err = fault.Newf(op, fault.NotFound, "there is no parked event %q; they are kept for a limited time", id)
	}
	if err != nil {
		return ParkedStory{}, err
	}
	at, err := a.Store.Mark(ctx, markReplayed(id))
	return ParkedStory{p, at}, err
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
		patient, _ := a.observed(false, askPatience) // a person waits
		err = patient.Handle(ctx, m)
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

// SampleStory is a kind of event that is not recognised, and when the newest came.
type SampleStory struct {
	ID string // of the kind, for addresses
	Sampled
	Newest time.Time
}

// sampleID names a kind where its own name cannot stand.
func sampleID(kind string) string { return "k-" + digest(kind) }

// Samples lists the kinds of identity events that are not recognised, each with the
// first that came (S3.1): one of them may be AWS's revoke, whose name is not documented.
func (a *App) Samples(ctx context.Context, who Actor, cursor string) ([]SampleStory, string, error) {
	if err := who.admin("list samples"); err != nil {
		return nil, "", err
	}
	page, next, err := a.Store.Samples(ctx, cursor)
	if err != nil {
		return nil, "", err
	}
	stories := make([]SampleStory, 0, len(page))
	for _, k := range page {
		at, err := a.Store.Mark(ctx, markSampled+k.Kind)
		if err != nil {
			return nil, "", err
		}
		stories = append(stories, SampleStory{sampleID(k.Kind), k, at})
	}
	return stories, next, nil
}

// samplePages bounds the pages in which a kind is looked for: kinds are few. Beyond, it
// is not found.
const samplePages = 200

// Sample reads one of them.
func (a *App) Sample(ctx context.Context, who Actor, id string) (SampleStory, error) {
	cursor := ""
	for range samplePages {
		page, next, err := a.Samples(ctx, who, cursor)
		if err != nil {
			return SampleStory{}, err
		}
		if i := slices.IndexFunc(page, func(k SampleStory) bool { return k.ID == id }); i >= 0 {
			return page[i], nil
		}
		if cursor = next; next == "" {
			break
		}
	}
	return SampleStory{}, fault.Newf("read sample", fault.NotFound, "no kind of event %q was sampled; each is kept for a limited time after its newest", id)
}
