package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nightshift/internal/app"
)

// markHeld is the moment that the system which runs on the records moves, each
// heldEvery of real time.
const (
	markHeld  = "local-held"
	heldEvery = time.Second
	// heldLooks is how often a later system looks whether the mark moves, each
	// heldEvery: one beat may be late.
	heldLooks = 3
	// heldStale is the age at which a mark says by itself that nobody moves it: a
	// restart after a while waits for nothing.
	heldStale = time.Minute
)

// ErrHeld says that another system runs on the records. Each has engines of its
// own, which do not know the other's runs: it would take them for lost.
var ErrHeld = errors.New("another nightshift up runs on these records, and each would take the other's runs for lost")

// Hold is one system's hold on records that survive it.
type Hold struct {
	records app.Store
	now     func() time.Time
	pause   func(context.Context, time.Duration) error
	// moved is where the mark was put, tried where it may be.
	moved, tried time.Time
}

// Take takes records for a system; ErrHeld where another one has them. now is the
// real time, and pause waits in it.
func Take(ctx context.Context, records app.Store, now func() time.Time, pause func(context.Context, time.Duration) error) (*Hold, error) {
	h := &Hold{records: records, now: now, pause: pause}
	last, err := records.Mark(ctx, markHeld)
	for look := 0; err == nil && look < heldLooks && now().Sub(last) < heldStale; look++ {
		if err = pause(ctx, heldEvery); err != nil {
			break
		}
		var at time.Time
		if at, err = records.Mark(ctx, markHeld); err == nil && !at.Equal(last) {
			return nil, ErrHeld
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the records can not be read: %w", err)
	}
	h.moved, h.tried = last, last
	if err := h.beat(ctx); err != nil {
		return nil, fmt.Errorf("the records can not be written: %w", err)
	}
	return h, nil
}

// beat moves the mark. Where that failed the same is tried again: it may have been
// done.
func (h *Hold) beat(ctx context.Context) error {
	if h.tried.Equal(h.moved) {
		h.tried = h.now().UTC()
		if !h.tried.After(h.moved) {
			h.tried = h.moved.Add(time.Nanosecond) // a mark is only moved forward
		}
	}
	err := h.records.SetMark(ctx, markHeld, h.tried)
	if err == nil {
		h.moved = h.tried
	}
	return err
}

// Keep keeps the hold until the context ends, or until another system, begun in the
// same moment, has it: ErrHeld. Records that do not answer are no reason to stop.
func (h *Hold) Keep(ctx context.Context) error {
	for h.pause(ctx, heldEvery) == nil {
		at, err := h.records.Mark(ctx, markHeld)
		switch {
		case err != nil:
		case !at.Equal(h.moved) && !at.Equal(h.tried):
			return ErrHeld
		default:
			_ = h.beat(ctx) // the next one tries again
		}
	}
	return nil
}
