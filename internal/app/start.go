package app

import (
	"context"
	"fmt"
	"time"

	"nightshift/internal/fault"
	"nightshift/internal/session"
)

// StartRequest asks to start the run of an open session and to release the
// token when the session has ended.
type StartRequest struct {
	SessionID string
	Token     string
	Spec      []byte // the engine's own request, as JSON
}

// StartRun registers the waiting token and that the start is asked for, then starts
// the run unless the session is ending already. Repeating it starts nothing twice: the newest token wins,
// and the engine recognises its stamp.
func (a *App) StartRun(ctx context.Context, r StartRequest) error {
	s, err := a.Apply(ctx, r.SessionID, session.Event{Kind: session.WaiterRegistered, At: a.Now(), Token: r.Token})
	if err != nil {
		return err
	}
	if s.Status == session.Ended {
		return a.Waiters.Release(ctx, r.Token, outcomeOf(s))
	}
	if s.Status == session.Ending || s.Run.ID != "" {
		return nil
	}
	return a.start(ctx, s, r.Spec)
}

// startRefused is the evidence of a start that the engine refused for good: no run
// can come of it.
const startRefused = "the engine refused the start"

func (a *App) start(ctx context.Context, s session.Session, spec []byte) error {
	run := s.Run
	engine, err := a.engine(s.Run.Endpoint)
	if err == nil {
		run, err = a.begin(ctx, engine, s, spec)
	}
	if fault.Is(err, fault.Invalid) {
		// The engine refused it for good: there is no run, and nobody must wait.
		_, applied := a.Apply(ctx, s.ID, session.Event{Kind: session.StartDisproved, At: a.Now(), By: "nightshift", Detail: err.Error(), Evidence: startRefused})
		return applied
	}
	if err != nil {
		return fmt.Errorf("start run of session %s: %w", s.ID, err)
	}
	_, err = a.Apply(ctx, s.ID, session.Event{Kind: session.RunStarted, At: a.Now(), Run: run.Ref(), Name: run.Name, Cluster: run.Cluster, Billing: run.Billing})
	return err
}

// limit is what the engine is told: min(asked, time left), so that the run ends
// on time even if Nightshift is gone (S4.5). 0: no limit.
func (a *App) limit(s session.Session) time.Duration {
	limit := s.Run.MaxRuntime
	if s.Deadline.IsZero() {
		return limit
	}
	// An engine takes whole seconds and no less than one.
	left := max(time.Second, s.Deadline.Sub(a.Now()).Truncate(time.Second))
	if limit == 0 || left < limit {
		return left
	}
	return limit
}

func outcomeOf(s session.Session) Outcome {
	return Outcome{SessionID: s.ID, Cause: s.End.Cause, Text: session.Explain(s), Succeeded: s.End.Cause == session.CauseFinished}
}
