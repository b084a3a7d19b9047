package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/session"
)

// Aborted tells of the executions that wait on runs, where the event that one was
// ended from outside did not arrive.
type Aborted interface {
	// Aborted lists those that were ABORTED or TIMED_OUT after a moment, in any order.
	// Executions that FAILED are not listed: whatever ends a session's run fails its
	// execution too, so that nearly all of them are news of ours.
	Aborted(ctx context.Context, after time.Time) ([]ExecutionChange, error)
}

// markAborted names the moment up to which executions were looked at.
const markAborted = "executions-checked"

// sweepAborted ends the runs of executions that somebody ended and whose event was
// lost on the way, as often as lost sign-outs are looked for (S3.5).
func (a *App) sweepAborted(ctx context.Context) error {
	if a.Aborted == nil {
		return nil
	}
	now := a.Now()
	last, err := a.Store.Mark(ctx, markAborted)
	if err != nil || now.Sub(last) < cadence.Replay {
		return err
	}
	if last.IsZero() {
		last = now
	}
	// An overlap, for what the service shows late; what was done is done once.
	ended, err := a.Aborted.Aborted(ctx, last.Add(-cadence.Replay))
	if err != nil {
		return fmt.Errorf("look for executions that were aborted: %w", err)
	}
	errs := make([]error, 0, len(ended))
	for _, m := range ended {
		errs = append(errs, a.aborted(ctx, m))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("end the runs of aborted executions: %w", err)
	}
	return a.Store.SetMark(ctx, markAborted, now)
}

// aborted acts on an execution where its session lives on, and counts that as
// healed.
func (a *App) aborted(ctx context.Context, m ExecutionChange) error {
	s, err := a.Store.Session(ctx, SessionOfExecution(m.Execution))
	if fault.Is(err, fault.NotFound) || err == nil && s.Status != session.Active {
		return nil
	}
	if err != nil {
		return err
	}
	m.EventID = "check-" + digest(m.Execution, m.Status)
	a.Meter.Count(MetricHealed, 1)
	return a.executionChange(ctx, m)
}
