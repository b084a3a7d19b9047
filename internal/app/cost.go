package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nightshift/internal/cost"
	"nightshift/internal/session"
)

// Cost prices one session (S8.5), as of the minute: so that who asks again within it
// is told the same.
func (a *App) Cost(s session.Session) cost.Cost { return a.Book.Of(s, a.priced()) }

func (a *App) priced() time.Time { return a.Now().Truncate(time.Minute) }

// Bounds of one report of costs. Who wants more asks for a later or longer time.
const (
	// CostsBack is how far back sessions are added up where nobody says.
	CostsBack = 30 * 24 * time.Hour
	// costsMax is how many records are read at most, the newest first; older ones are
	// then left out, which is said. A page of the table has a few hundred.
	costsMax = 20_000
)

// Costs is what sessions cost, those that live and those recorded since From.
type Costs struct {
	cost.Report
	Forgotten []session.Session // the dearest first
	From      time.Time
	// Complete is false where there were more records than one report reads: From is
	// then later than was asked for.
	Complete bool
}

// Costs adds up what an actor's sessions cost (S8.5): all that live, however old,
// and those recorded since a moment, ended ones too; the zero time is CostsBack.
func (a *App) Costs(ctx context.Context, who Actor, from time.Time) (Costs, error) {
	const op = "add up costs"
	if err := who.own(op, who.User); !who.Admin && err != nil {
		return Costs{}, err
	}
	if from.IsZero() {
		from = a.priced().Add(-CostsBack)
	}
	if from.After(a.Now()) {
		return Costs{}, Field(op, "from", "a time that is not to come")
	}
	c := Costs{From: from, Complete: true}
	found := map[string]session.Session{}
	take := func(s session.Session) {
		if who.may(s.User) {
			found[s.ID] = s
		}
	}
	live := func(each func(session.Session)) error { return a.onEndpoints(ctx, nil, each) }
	if !who.Admin {
		live = func(each func(session.Session)) error {
			return pages(func(at string) (Page, error) { return a.Store.OfUser(ctx, who.User, at) }, each)
		}
	}
	if err := live(take); err != nil {
		return c, fmt.Errorf(op+": %w", err)
	}
	if err := a.recorded(ctx, &c, take); err != nil {
		return c, fmt.Errorf(op+": %w", err)
	}
	sessions := make([]session.Session, 0, len(found))
	for _, id := range sortedKeys(found) {
		sessions = append(sessions, found[id])
	}
	c.Report = a.Book.Report(sessions, a.priced())
	for _, id := range c.Report.Forgotten {
		c.Forgotten = append(c.Forgotten, found[id])
	}
	return c, nil
}

// recorded gives each session recorded since c.From, the newest first, and says in c
// where that had to stop.
func (a *App) recorded(ctx context.Context, c *Costs, each func(session.Session)) error {
	looked := 0
	for cursor := ""; ; {
		page, err := a.Store.List(ctx, cursor)
		if err != nil {
			return err
		}
		for _, s := range page.Sessions {
			if s.RecordedAt.Before(c.From) {
				return nil
			}
			each(s)
			looked++
		}
		if cursor = page.Next; cursor == "" {
			return nil
		}
		if last := len(page.Sessions) - 1; looked >= costsMax && last >= 0 {
			c.From, c.Complete = page.Sessions[last].RecordedAt, false
			return nil
		}
	}
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
