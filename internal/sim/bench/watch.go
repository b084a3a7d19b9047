package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"nightshift/internal/sim/ladder"
)

// pollingOneWeek is what one run costs, in dollars, that is polled at the same cadence by
// a loop of its own for 7 days.
const pollingOneWeek = 0.152

const watchDays = 7

// watches prints what a watch of so many runs costs in a week: what its real
// machine and functions did in virtual time. The dollars are those of its
// transitions, its invocations and what they read and wrote.
func watches(_ context.Context, out io.Writer, _ chains) error {
	for _, runs := range []int{1, 100, 10_000} {
		w := ladder.TryWatch(runs, watchDays*24*time.Hour)
		usd := float64(w.Transitions)*ladder.PerTransition + float64(w.Invocations)*ladder.PerInvocation + float64(w.Reads)*ladder.PerReadUnit + float64(w.Writes)*ladder.PerWriteUnit
		fmt.Fprintf(out, "watch runs=%d days=%d transitions=%d api_calls=%d lambda_calls=%d usd=%.3f\n", runs, watchDays, w.Transitions, w.Calls, w.Invocations, usd)
		if most := float64(runs) * pollingOneWeek / 100; runs == 10_000 && usd > most {
			return fmt.Errorf("watching %d runs for %d days costs $%.2f; at most $%.2f is the target", runs, watchDays, usd, most)
		}
	}
	return nil
}
