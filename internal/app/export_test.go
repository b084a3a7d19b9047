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

// Forgotten is what a listing shows to be forgotten, and whether one is too young to tell.
func Forgotten(sessions []session.Session, l workload.Listing, last, now time.Time, silent bool) (time.Time, bool) {
	return sightOf(sessions, l.Runs).forgotten(last, now, silent)
}
