package session

import (
	"testing"
	"time"

	"nightshift/internal/workload"
)

// TestWakeAt: a session is looked at again when the clock next matters to it; if
// nothing but ticks at those times came, it would still end on time.
func TestWakeAt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		open   func(*Opening)
		before []Event
		wakes  []time.Duration // after the opening; the last is the end
		cause  Cause
	}{
		{"S4.6 a background session: its notices, then its deadline", nil, nil,
			[]time.Duration{6 * 24 * time.Hour, 7*24*time.Hour - time.Hour, 7*24*time.Hour - 15*time.Minute, 7 * 24 * time.Hour}, CauseBackgroundExpired},
		{"S4.6 an interactive session of 8 hours", interactiveOpening, nil,
			[]time.Duration{7 * time.Hour, 7*time.Hour + 45*time.Minute, 8 * time.Hour}, CauseInteractiveExpired},
		{"S2.2 an idle Livy session: its idle limit", nil, []Event{{Kind: IdleSince, At: after(time.Hour), Since: after(time.Hour)}},
			[]time.Duration{9 * time.Hour}, CauseIdle},
		{"S1.9 a run's own limit", roleOpening, []Event{{Kind: RunObserved, State: workload.Running, At: after(time.Hour), MaxRuntime: 10 * time.Minute}},
			[]time.Duration{70 * time.Minute}, CauseMaxRuntime},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := openAs(t, c.open)
			for _, e := range c.before {
				s = apply(s, e).Next
			}
			for i, want := range c.wakes {
				at := s.WakeAt()
				if at != after(want) {
					t.Fatalf("wake %d is %s after the opening, want %s", i, at.Sub(opened), want)
				}
				s = apply(s, Event{Kind: Tick, At: at}).Next
			}
			wantStatus(t, s, Ending, c.cause)
			if s.WakeAt().IsZero() || s.WakeAt().After(after(c.wakes[len(c.wakes)-1])) {
				t.Errorf("S2.6 while ENDING the session is to be looked at at once, not at %s", s.WakeAt())
			}
			s = apply(s, seen(workload.Stopped, after(100*24*time.Hour))).Next
			if wantStatus(t, s, Ended, c.cause); !s.WakeAt().IsZero() {
				t.Errorf("an ended session wakes at %s", s.WakeAt())
			}
		})
	}
	if s := openAs(t, roleOpening); !s.WakeAt().IsZero() {
		t.Errorf("S1.12 no limit at all, yet it wakes at %s", s.WakeAt())
	}
}
