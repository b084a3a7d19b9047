package app

import (
	"context"

	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// progress brings to a session how far its run is, where that is worth a version
// (S4.6).
func (a *App) progress(ctx context.Context, s session.Session, o workload.Observation) error {
	p := o.Progress
	if p.At.IsZero() {
		p.At = o.At
	}
	if o.State.Over() || !s.ProgressNews(p) {
		return nil
	}
	_, err := a.Apply(ctx, s.ID, session.Event{Kind: session.ProgressSeen, At: p.At, Progress: p, By: "nightshift", Evidence: "listing"})
	return err
}
