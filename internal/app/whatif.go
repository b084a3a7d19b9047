package app

import (
	"context"
	"time"

	"nightshift/internal/session"
)

// Change is what might happen: exactly one of SignOut, Revoke, Policy and Until
// is set.
type Change struct {
	SignOut string    // a user
	At      time.Time // of the sign-out; zero: now
	Revoke  *Target
	Policy  *PolicyChange
	Until   time.Time // only time passes, until then
}

// foresee decides one event for each session, by the function that decides when
// it happens (S8.3), and writes nothing.
func (a *App) foresee(ctx context.Context, sessions []session.Session, e session.Event) (Forecast, error) {
	policy, err := a.Store.Policy(ctx)
	if err != nil {
		return Forecast{}, err
	}
	now := a.Now()
	if e.At.After(now) {
		now = e.At
	}
	fates := make([]Fate, 0, len(sessions))
	for _, s := range sessions {
		fates = append(fates, fateOf(s, session.Decide(s, e, policy, now)))
	}
	return a.forecast(ctx, now, fates)
}

// WhatIf says which of the live sessions that the actor may see would end, and
// which would go on, and why (S8.3).
func (a *App) WhatIf(ctx context.Context, who Actor, c Change) (Forecast, error) {
	const op = "what if"
	now := a.Now()
	scope := Selector{}
	if !who.Admin {
		scope.User = who.User
	}
	if err := who.own(op, scope.User); err != nil {
		return Forecast{}, err
	}
	if c.Revoke != nil {
		found, err := a.targets(ctx, who, *c.Revoke)
		if err != nil {
			return Forecast{}, err
		}
		return a.foresee(ctx, found, session.Event{Kind: session.StopRequested, At: now, User: c.Revoke.User, By: who.Name})
	}
	if c.SignOut != "" {
		if err := first(checkUser(op, "signOut.user", c.SignOut), who.own(op, c.SignOut)); err != nil {
			return Forecast{}, err
		}
		scope.User = c.SignOut
	}
	found, err := a.selected(ctx, scope)
	if err != nil {
		return Forecast{}, err
	}
	switch {
	case c.SignOut != "":
		at := now
		if !c.At.IsZero() {
			at = c.At
		}
		return a.foresee(ctx, found, session.Event{Kind: session.SignOut, At: at, User: c.SignOut, By: c.SignOut})
	case c.Policy != nil:
		return a.underPolicy(ctx, found, *c.Policy)
	case c.Until.Before(now):
		return Forecast{}, Field(op, "at", "now or later")
	}
	return a.foresee(ctx, found, session.Event{Kind: session.Tick, At: c.Until})
}

// underPolicy says of each of today's sessions what one opened like it under a
// changed policy would be. None of today's ends or changes by it: what was decided
// at the opening is frozen (S1.6), so that the outcome is that each goes on, and
// After is the new one's.
func (a *App) underPolicy(ctx context.Context, sessions []session.Session, change PolicyChange) (Forecast, error) {
	present, err := a.Store.Policy(ctx)
	if err != nil {
		return Forecast{}, err
	}
	policy := change.apply(present)
	if err := policy.check("what if"); err != nil {
		return Forecast{}, err
	}
	now := a.Now()
	var fates []Fate
	for _, s := range sessions {
		f := fateOf(s, session.Decide(s, session.Event{Kind: session.PolicyChanged, At: now}, policy.Policy, now))
		if s.Status == session.Active {
			f = opened(s, policy.Policy, now)
		}
		fates = append(fates, f)
	}
	return a.forecast(ctx, now, fates)
}

// opened is a session beside one like it that is opened under another policy, as
// that would be when it is as old as this one.
func opened(s session.Session, p session.Policy, now time.Time) Fate {
	then := session.Open(session.Opening{ID: s.ID, User: s.User, Run: s.Run, Origin: s.Origin, At: s.OpenedAt, Interactive: s.Interactive, Facts: s.Facts}, p, session.UserFacts{}, s.RecordedAt).Next
	then.Activity = s.Activity
	if !s.RunningSince.IsZero() {
		then = session.Decide(then, session.Event{Kind: session.RunObserved, State: "RUNNING", At: s.RunningSince}, p, s.RunningSince).Next
	}
	f := fateOf(s, session.Decide(then, session.Event{Kind: session.Tick, At: now}, p, now))
	like := "the same"
	switch f.Outcome {
	case FateEnds, FateCloses:
		like = "over at its age, because " + session.Because(f.After.End.Cause)
	case FateChanges:
		like = "of mode " + string(f.After.Mode) + " and have no end"
		if d := f.After.Deadline; !d.IsZero() {
			like = "of mode " + string(f.After.Mode) + " and end " + d.Sub(s.OpenedAt).String() + " after its opening"
		}
	case FateGoesOn, FateAlert, FateEnding, FateEnded:
	}
	f.Outcome, f.Why = FateGoesOn, "it goes on as it was opened (S1.6); a new session like it, under the changed policy, would be "+like
	return f
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "no time"
	}
	return t.UTC().Format(time.RFC3339Nano)
}
