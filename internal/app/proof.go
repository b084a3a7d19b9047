package app

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"nightshift/internal/proof"
	"nightshift/internal/session"
)

// ExportProof writes the evidence of a time as package proof describes it: each
// session whose status changed from from on and before to, or that an anchor of
// that time names, with its whole history; zero times are no limit. Anchors are
// read first, so that what they name has been written.
func ExportProof(ctx context.Context, store Store, out io.Writer, from, to, now time.Time) error {
	anchors, err := anchorsOf(ctx, store, from, to)
	if err != nil {
		return fmt.Errorf("export: read anchors: %w", err)
	}
	ids := map[string]bool{}
	for _, a := range anchors {
		for _, h := range a.Heads {
			ids[h.Session] = true
		}
	}
	if err := changedIDs(ctx, store, from, to, now, ids); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	w := proof.NewWriter(out, proof.Header{At: now, From: from, To: to})
	for _, a := range anchors {
		w.Anchor(a)
	}
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(ids)), exportChunk) {
		states, err := store.Sessions(ctx, chunk)
		if err != nil {
			return fmt.Errorf("export: %w", err)
		}
		byID := make(map[string]session.Session, len(states))
		for _, s := range states {
			byID[s.ID] = s
		}
		for _, id := range chunk {
			if err := exportSession(ctx, store, w, id, byID[id]); err != nil {
				return fmt.Errorf("export session %s: %w", id, err)
			}
		}
	}
	return w.Close()
}

// exportChunk is how many sessions' states are read at once.
const exportChunk = 100

// exportSession writes a session's history up to the version that its state was
// read at. Where there is no state (the zero one) it writes what history there
// is, and no head: the verifier says so.
func exportSession(ctx context.Context, store Store, w *proof.Writer, id string, s session.Session) error {
	for after := int64(0); ; {
		entries, more, err := store.History(ctx, id, after, historyPage)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if after = e.Version; s.Version == 0 || e.Version <= s.Version {
				hash := e.Hash
				e.Hash, e.Done = "", false
				w.Entry(e, hash)
			}
		}
		if !more || s.Version != 0 && after >= s.Version {
			break
		}
	}
	if s.Version != 0 {
		w.Head(proof.State{Session: id, Version: s.Version, Status: string(s.Status), Hash: s.Head})
	}
	return nil
}

// changedIDs adds the sessions whose status changed in a time; of all time, also
// those that only the list of sessions knows.
func changedIDs(ctx context.Context, store Store, from, to, now time.Time, ids map[string]bool) error {
	until := to
	if until.IsZero() {
		until = now.Add(proof.Overlap) // other clocks may be ahead
	}
	for cursor := ""; ; {
		page, next, err := store.Changes(ctx, from, until, cursor)
		if err != nil {
			return err
		}
		for _, e := range page {
			ids[e.SessionID] = true
		}
		if cursor = next; next == "" {
			break
		}
	}
	if !from.IsZero() || !to.IsZero() {
		return nil
	}
	return pages(func(c string) (Page, error) { return store.List(ctx, c) }, func(s session.Session) { ids[s.ID] = true })
}

// anchorsOf gives the anchors that name what was decided in a time, oldest first:
// from the first that reaches beyond its begin to the first that covers its end,
// with all that may have become visible late.
func anchorsOf(ctx context.Context, store Store, from, to time.Time) ([]proof.Anchor, error) {
	var anchors []proof.Anchor
	err := anchorsBack(ctx, store, func(a proof.Anchor) bool {
		if !from.IsZero() && !a.Until.After(from) {
			return false
		}
		anchors = append(anchors, a)
		return true
	})
	slices.SortFunc(anchors, func(a, b proof.Anchor) int { return cmp.Compare(a.Seq, b.Seq) })
	enough := slices.IndexFunc(anchors, func(a proof.Anchor) bool { return !to.IsZero() && !a.Until.Before(to.Add(proof.Overlap)) })
	if enough >= 0 {
		anchors = anchors[:enough+1]
	}
	return anchors, err
}
