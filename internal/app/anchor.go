package app

import (
	"context"
	"fmt"
	"slices"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/proof"
	"nightshift/internal/session"
)

// markAnchor names the moment of the newest anchors.
const markAnchor = "anchors"

// anchoring is what the next anchors are made of.
type anchoring struct {
	due   bool
	last  proof.Anchor // the newest there is; Seq 0: none
	slot  int64        // whose turn it is
	live  int64
	heads []proof.Head
}

// beginAnchor says whether anchors are due, and since which one.
func (a *App) beginAnchor(ctx context.Context) (anchoring, error) {
	now := a.Now()
	mark, err := a.Store.Mark(ctx, markAnchor)
	if err != nil || now.Sub(mark) < cadence.AnchorEvery {
		return anchoring{}, err
	}
	newest, _, err := a.Store.Anchors(ctx, 0, 1)
	if err != nil {
		return anchoring{}, err
	}
	g := anchoring{due: true, slot: now.Unix() / int64(cadence.AnchorEvery/time.Second)}
	if len(newest) > 0 {
		g.last = newest[0]
	}
	return g, nil
}

// add takes a live session whose turn it is, among as many as there were last
// time: what is rolled back between two changes of its status shows too.
func (g *anchoring) add(s *session.Session) {
	if !g.due {
		return
	}
	g.live++
	turns := (g.last.Live + cadence.AnchorLive - 1) / cadence.AnchorLive
	if len(g.heads) < cadence.AnchorLive && (turns <= 1 || turn(s.ID, turns) == g.slot%turns) {
		g.heads = append(g.heads, proof.Head{Session: s.ID, Version: s.Version, Hash: s.Head})
	}
}

// anchor writes the anchors that are due (S8.4; internal/decisions/0011): at
// least one, also where nothing happened. Two sweeps at once write one chain:
// who comes second leaves it to the next sweep.
func (a *App) anchor(ctx context.Context, g *anchoring) error {
	if !g.due {
		return nil
	}
	until := a.Now().Add(-cadence.AnchorLag)
	since := time.Time{}
	if g.last.Seq > 0 {
		since = g.last.Until.Add(-proof.Overlap)
	}
	changes, all, err := a.unanchored(ctx, g, since, until)
	if err != nil {
		return fmt.Errorf("anchor: %w", err)
	}
	heads := g.heads
	for n := 0; n == 0 || len(changes) > 0; n++ {
		next := proof.Anchor{Seq: g.last.Seq + 1, At: a.Now(), Until: until, Live: g.live, Heads: heads, Previous: g.last.Hash}
		heads = nil
		for len(changes) > 0 && len(next.Heads) < cadence.AnchorHeads {
			next.Heads = append(next.Heads, changes[0].head)
			next.Until, changes = changes[0].at, changes[1:]
		}
		if len(changes) == 0 && all {
			next.Until = until
		}
		if next.Until.Before(g.last.Until) { // a late one, from before what is covered
			next.Until = g.last.Until
		}
		if next.Hash, err = next.Seal(); err != nil {
			return err
		}
		if err := a.Store.PutAnchor(ctx, next); err != nil {
			if fault.Is(err, fault.Conflict) {
				return nil
			}
			return fmt.Errorf("anchor: %w", err)
		}
		// Where logs are kept, so is this hash: a second place to compare with.
		a.Log.Info("anchored", "anchor", next.Seq, "hash", next.Hash)
		g.last = next
	}
	if !all {
		return nil
	}
	return a.Store.SetMark(ctx, markAnchor, a.Now())
}

// unanchored lists the changes of status in a time that no anchor names yet,
// oldest first; all says that there are no more. What became visible late is
// found because since is before what is covered already.
func (a *App) unanchored(ctx context.Context, g *anchoring, since, until time.Time) (changes []change, all bool, err error) {
	named, err := a.namedSince(ctx, since)
	if err != nil {
		return nil, false, err
	}
	for _, h := range g.heads {
		named[h.Hash] = true
	}
	for cursor := ""; ; {
		page, next, err := a.Store.Changes(ctx, since, until, cursor)
		if err != nil {
			return nil, false, err
		}
		for _, e := range page {
			if !named[e.Hash] {
				named[e.Hash] = true
				changes = append(changes, change{headOf(e), e.At})
			}
		}
		if cursor = next; next == "" {
			break
		}
	}
	slices.SortStableFunc(changes, func(a, b change) int { return a.at.Compare(b.at) })
	const most = cadence.AnchorsMax * cadence.AnchorHeads
	return changes[:min(most, len(changes))], len(changes) <= most, nil
}

// change is a change of status to be anchored.
type change struct {
	head proof.Head
	at   time.Time
}

// namedSince are the hashes that the anchors name which reach beyond a moment: a hash
// stands for its session and version too.
func (a *App) namedSince(ctx context.Context, since time.Time) (map[string]bool, error) {
	named := map[string]bool{}
	err := anchorsBack(ctx, a.Store, func(n proof.Anchor) bool {
		for _, h := range n.Heads {
			named[h.Hash] = true
		}
		return n.Until.After(since)
	})
	return named, err
}

// anchorsBack gives the anchors, newest first, until each says no.
func anchorsBack(ctx context.Context, store Store, each func(proof.Anchor) bool) error {
	for before := int64(0); ; {
		page, more, err := store.Anchors(ctx, before, anchorPage)
		if err != nil {
			return err
		}
		for _, n := range page {
			if !each(n) {
				return nil
			}
			before = n.Seq
		}
		if !more {
			return nil
		}
	}
}

// anchorPage is how many anchors are read at once: about what DynamoDB gives in
// one answer of 1 MB.
const anchorPage = 8

func headOf(e Entry) proof.Head {
	return proof.Head{Session: e.SessionID, Version: e.Version, Hash: e.Hash}
}
