package app

import (
	"context"
	"fmt"
	"time"

	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// sighting is what an adopted run's record begins with.
type sighting struct {
	at       time.Time // when it was there for certain: its creation, else when it was first seen
	evidence string    // for its history; "" is nothing to say
	// left is when its user signed out, or was revoked, after the endpoint's last
	// complete list, which lacked the run, and before the run was first seen: nobody
	// knows whether it was begun before. Zero: neither.
	left time.Time
}

// sighted tells from when on a run is taken to exist that its engine dates (created),
// or, as Livy does, dates not. A sign-out at or after that ends its session (S2.10);
// one that may have come before it was begun ends nothing (S1.10).
func (a *App) sighted(ctx context.Context, run workload.Run, user string, created time.Time) (sighting, error) {
	flagged, err := a.Store.Mark(ctx, orphanMark(run.Ref()))
	if err != nil {
		return sighting{}, err
	}
	s := sighting{at: created}
	if !flagged.IsZero() {
		s.evidence = "flagged as an orphan at " + flagged.UTC().Format(time.RFC3339) + "; whose it is became known since"
	}
	if !created.IsZero() {
		return s, nil
	}
	first, err := a.Store.Mark(ctx, strangerMark(run.Ref()))
	if err != nil {
		return sighting{}, err
	}
	for _, at := range []time.Time{first, flagged, a.Now()} {
		if !at.IsZero() && (s.at.IsZero() || at.Before(s.at)) {
			s.at = at
		}
	}
	lacked, err := a.lacked(ctx, run, first)
	if err != nil {
		return sighting{}, err
	}
	u, err := a.Store.User(ctx, user)
	if err != nil {
		return sighting{}, err
	}
	left, ok := standing(u, session.SignOut, session.RevokeInteractive)
	if ok && left.At.After(lacked) && left.At.Before(s.at) && !lacked.IsZero() {
		s.left = left.At
		s.evidence = fmt.Sprintf("first seen at %s, after %s of its user at %s and a list at %s that lacked it: whether it was begun before is not known",
			s.at.UTC().Format(time.RFC3339), left.Kind, left.At.UTC().Format(time.RFC3339), lacked.UTC().Format(time.RFC3339))
	}
	return s, nil
}

// lacked is when the last complete list was made before the run was first seen; zero
// where there was none.
func (a *App) lacked(ctx context.Context, run workload.Run, first time.Time) (time.Time, error) {
	if !first.IsZero() {
		return a.Store.Mark(ctx, lackedMark(run.Ref()))
	}
	e, err := a.Store.Endpoint(ctx, run.Endpoint)
	return e.LastListed, err
}
