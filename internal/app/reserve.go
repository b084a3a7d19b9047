package app

import (
	"context"
	"slices"
	"time"

	"nightshift/internal/session"
)

// reserveFor is how long addresses stay reserved for a job whose session is not
// opened yet: longer than the steps between take with all their retries.
const reserveFor = 15 * time.Minute

// Reserve reserves addresses of an endpoint's networks for the job of a session,
// if decide says so of what is reserved for others: instances, by session. Of two
// that decide at one moment one is asked again, with the other's reservation. One is
// released by itself: when its job runs, and so holds its addresses; when its
// session has ended or is ending; and after 15 minutes where none was opened.
func (a *App) Reserve(ctx context.Context, endpoint, id string, instances int, decide func(held map[string]int) (bool, error)) error {
	_, err := a.changeLedger(ctx, "addresses/"+endpoint, func(l *Ledger) (bool, error) {
		before := len(l.Held)
		err := a.stillHeld(ctx, l, func(h Hold, s session.Session, found bool) bool {
			if found {
				return s.Status == session.Active && s.RunningSince.IsZero()
			}
			return a.Now().Before(h.Until)
		})
		if err != nil {
			return false, err
		}
		l.Held = slices.DeleteFunc(l.Held, func(h Hold) bool { return h.By == id }) // a redrive asks again
		held := make(map[string]int, len(l.Held))
		for _, h := range l.Held {
			held[h.By] = h.N
		}
		admitted, err := decide(held)
		if err != nil || !admitted {
			return err == nil && len(l.Held) < before, err
		}
		return true, l.hold(Hold{By: id, N: instances, Until: a.Now().Add(reserveFor)})
	})
	return err
}
