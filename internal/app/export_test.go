package app

import (
	"context"

	"nightshift/internal/session"
)

// Placed is what StartRun does before it asks the engine; for tests in which
// several do so at one moment.
func (a *App) Placed(ctx context.Context, s session.Session, spec []byte) error {
	return a.placed(ctx, s, spec)
}

// Forgotten is what a listing shows to be forgotten.
var Forgotten = forgotten
