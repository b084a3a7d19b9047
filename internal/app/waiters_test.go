package app_test

import (
	"context"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/session"
)

// ends is a scripted Step Functions: what was ended from outside.
type ends struct {
	of  []app.ExecutionChange
	err error
}

func (e *ends) Aborted(_ context.Context, after time.Time) (found []app.ExecutionChange, err error) {
	for _, m := range e.of {
		if m.At.After(after) {
			found = append(found, m)
		}
	}
	return found, e.err
}

// S2, S3.5: the execution that waits on a run was aborted or timed out and the event
// was lost: the run ends within the period in which lost sign-outs are found. One
// whose session is over, or that never had one, is no news.
func TestS3_5ALostAbortIsFound(t *testing.T) {
	for _, status := range []string{"ABORTED", "TIMED_OUT"} {
		w := newWorld(t)
		found := &ends{}
		w.app.Aborted = found
		s, other := w.start("ana", jobRun), w.start("ben", jobRun)
		w.pass(3 * time.Minute)
		at := w.now
		found.of = []app.ExecutionChange{{Execution: "arn:execution:1", Status: status, At: at}, {Execution: "arn:execution:99", Status: status, At: at}}
		found.err = fault.New("list", fault.Throttled, errDown)
		w.pass(4 * time.Minute)
		w.must(s.ID, session.Active, "")
		found.err = nil
		w.pass(cadence.Replay + 2*cadence.Sweep)
		got := w.must(s.ID, session.Ended, session.CauseWaiterAborted)
		if !got.End.Happened.Equal(at) || w.meter.counts[app.MetricHealed] != 1 {
			t.Errorf("%s: it happened %s, want %s; %d healed", status, got.End.Happened, at, w.meter.counts[app.MetricHealed])
		}
		w.pass(time.Hour)
		w.must(other.ID, session.Active, "")
		if n := w.meter.counts[app.MetricHealed]; n != 1 {
			t.Errorf("%s: healed %d times", status, n)
		}
	}
}
