package app

import (
	"context"
	"fmt"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/session"
)

// That the identity store finds no such user means that the user was deleted only
// where it has known the user before, or where AWS itself has said that the user is
// of this store (attest). A run's owner may as well be a service's name or an id
// mistyped: nothing is ended on that guess (S1.10).

// knownMark names the mark of a user for whom the identity store has answered.
func knownMark(user string) string { return "known-user/" + digest(user) }

// known says whether the identity store has ever answered for the user.
func (a *App) known(ctx context.Context, user string) (bool, error) {
	at, err := a.Store.Mark(ctx, knownMark(user))
	return !at.IsZero(), err
}

// noteKnown notes that it has, once.
func (a *App) noteKnown(ctx context.Context, user string) error {
	if known, err := a.known(ctx, user); err != nil || known {
		return err
	}
	return a.Store.SetMark(ctx, knownMark(user), a.Now())
}

// attestedMark names the mark of a user whom AWS has said to be of our identity
// store.
func attestedMark(user string) string { return "attested-user/" + digest(user) }

// attest notes, once, that AWS's own record of a call said that its user is of the
// store that Identity asks. Such a user was there; whoever is not any more has been
// deleted, though the store may never have answered for the user.
func (a *App) attest(ctx context.Context, user, store string) error {
	if store == "" || store != a.IdentityStore || !IsUserID(user) {
		return nil
	}
	mark := attestedMark(user)
	if noted, err := a.Store.Mark(ctx, mark); err != nil || !noted.IsZero() {
		return err
	}
	return a.Store.SetMark(ctx, mark, a.Now())
}

// gone says whether that the store knows no such user means that the user was
// deleted. Of one for whom it has never answered, but whom AWS has attested, two
// answers say so, a sweep apart: the first may come before the store itself has
// heard of a user who is new.
func (a *App) gone(ctx context.Context, user string, now time.Time) (bool, error) {
	if known, err := a.known(ctx, user); err != nil || known {
		return known, err
	}
	if attested, err := a.Store.Mark(ctx, attestedMark(user)); err != nil || attested.IsZero() {
		if err == nil {
			err = a.strange(ctx, user)
		}
		return false, err
	}
	mark := "missing-user/" + digest(user)
	switch since, err := a.Store.Mark(ctx, mark); {
	case err != nil:
		return false, err
	case since.IsZero():
		return false, a.Store.SetMark(ctx, mark, now)
	default:
		return now.Sub(since) >= cadence.Sweep, nil
	}
}

// told is the identity store's answer about a user, and when it came: what it says is
// known from then, however long it takes to act on it (S2.7).
type told struct {
	status UserStatus
	at     time.Time
}

// asked asks the identity store about one user, and notes whom it knows.
func (a *App) asked(ctx context.Context, user string) (told, error) {
	status, err := a.Identity.Status(ctx, user)
	t := told{status, a.Now()}
	if err == nil && status != UserDeleted {
		err = a.noteKnown(ctx, user)
	}
	return t, err
}

// knows is known, where a user for whom nothing is noted is asked about.
func (a *App) knows(ctx context.Context, user string) (bool, error) {
	if known, err := a.known(ctx, user); err != nil || known {
		return known, err
	}
	t, err := a.asked(ctx, user)
	return err == nil && t.status != UserDeleted, err
}

// newcomer is how long after a session's recording its user counts as one who may
// not be noted yet: several sweeps. Later each is noted at the turn of the
// assignments.
const newcomer = 5 * time.Minute

// noteNewcomers notes users whom the directory's pages have shown: those with
// sessions recorded lately, for at a million sessions a read for each user in each
// sweep would be too much.
func (a *App) noteNewcomers(ctx context.Context, recorded map[string]time.Time, listed map[string]told) error {
	var users []string
	for _, u := range sortedKeys(listed) {
		if a.Now().Sub(recorded[u]) < newcomer {
			users = append(users, u)
		}
	}
	return a.each(ctx, users, func(ctx context.Context, i int) error { return a.noteKnown(ctx, users[i]) })
}

// strange tells, once, of a user whom the identity store does not know and never
// knew. The sessions go on.
func (a *App) strange(ctx context.Context, user string) error {
	a.Meter.Count(MetricUnknown, 1)
	mark := "unknown-user/" + digest(user)
	noted, err := a.Store.Mark(ctx, mark)
	if err != nil || !noted.IsZero() {
		return err
	}
	sessions, err := a.concerned(ctx, user)
	if err != nil {
		return fmt.Errorf("tell of an unknown user: %w", err)
	}
	for _, s := range sessions {
		if s.Status != session.Active {
			continue
		}
		err := a.Announcer.Announce(ctx, Announcement{
			ID: mark, Kind: "alert", At: a.Now(), Session: s,
			Effect: session.Effect{Kind: session.Alert, Reason: "unknown-user",
				Text: fmt.Sprintf("The identity store does not know user %s and has never answered for this user. Nothing is stopped for it: check whose run this is.", user)},
		})
		if err != nil {
			return fmt.Errorf("tell of an unknown user: %w", err)
		}
		a.Log.Warn("user unknown to the identity store", "user", user)
		return a.Store.SetMark(ctx, mark, a.Now())
	}
	return nil
}
