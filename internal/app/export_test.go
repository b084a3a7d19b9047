package app

import (
	"context"
	"time"

	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Placed is what StartRun does before it asks the engine; for tests in which
// several do so at one moment.
func (a *App) Placed(ctx context.Context, s session.Session, spec []byte) error {
	return a.placed(ctx, s, spec)
}

// Doubtful is how many of the sessions that a listing lacks may be forgotten, and whether one is too young to tell.
func Doubtful(sessions []session.Session, l workload.Listing, last, silent, now time.Time) (int, bool) {
	doubtful, young := sightOf(sessions, l.Runs).doubtful(last, silent, now)
	return len(doubtful), len(young) > 0
}
