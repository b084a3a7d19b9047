package app

import (
	"context"
	"errors"
	"fmt"

	"nightshift/internal/cost"
	"nightshift/internal/session"
)

// Cost prices one session now (S8.5).
func (a *App) Cost(s session.Session) cost.Cost { return a.Book.Of(s, a.Now()) }

// Costs adds up what sessions cost, ended ones too, and names the forgotten
// (S8.5): those that keep lets through, nil: all.
func (a *App) Costs(ctx context.Context, keep func(session.Session) bool) (cost.Report, error) {
	var sessions []session.Session
	err := pages(func(c string) (Page, error) { return a.Store.List(ctx, c) }, func(s session.Session) {
		if keep == nil || keep(s) {
			sessions = append(sessions, s)
		}
	})
	if err != nil {
		return cost.Report{}, fmt.Errorf("add up costs: %w", err)
	}
	return a.Book.Report(sessions, a.Now()), nil
}

// CostsSeen is Costs of the sessions that an actor may see, with those that are
// forgotten, the dearest first.
func (a *App) CostsSeen(ctx context.Context, who Actor) (cost.Report, []session.Session, error) {
	if err := who.own("add up costs", who.User); !who.Admin && err != nil {
		return cost.Report{}, nil, err
	}
	now, forgotten := a.Now(), map[string]session.Session{}
	r, err := a.Costs(ctx, func(s session.Session) bool {
		if who.may(s.User) && s.Forgotten(now) {
			forgotten[s.ID] = s
		}
		return who.may(s.User)
	})
	var named []session.Session
	for _, id := range r.Forgotten {
		named = append(named, forgotten[id])
	}
	return r, named, err
}

// WouldSave is what a session's stop now would save, at most.
func (a *App) WouldSave(s session.Session) cost.Amount {
	s.Status, s.End.Asked, s.End.Confirmed = session.Ended, a.Now(), a.Now()
	return a.Cost(s).Saved
}

// remind tells of forgotten sessions that have cost more than the policy allows
// in silence (S4.6), each once. The policy is read only where there is one.
func (a *App) remind(ctx context.Context, sessions []session.Session) error {
	var dear []session.Session
	for _, s := range sessions {
		if c := a.Cost(s); c.Forgotten && c.SoFar.Known() && s.CostToldAt.IsZero() {
			dear = append(dear, s)
		}
	}
	if len(dear) == 0 {
		return nil
	}
	policy, err := a.Store.Policy(ctx)
	if err != nil {
		return fmt.Errorf("remind of forgotten sessions: %w", err)
	}
	var errs []error
	for _, s := range dear {
		if usd := a.Cost(s).SoFar.USD; policy.CostAlert > 0 && usd > float64(policy.CostAlert) {
			_, err := a.Apply(ctx, s.ID, session.Event{Kind: session.CostSeen, At: a.Now(), Cost: usd, By: "nightshift", Evidence: "price table"})
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
