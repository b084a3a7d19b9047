package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"nightshift/internal/sim/ladder"
)

// Prices in US dollars, us-east-1, as quoted by AWS's pricing pages on
// 2026-11-20: aws.amazon.com/step-functions/pricing, /lambda/pricing (arm64),
// /dynamodb/pricing/on-demand. Calls of the engines' APIs are free.
const (
	perTransition = 0.025 / 1_000
	perInvocation = 0.20 / 1_000_000

	perReadUnit    = 0.125 / 1_000_000
	perWriteUnit   = 0.625 / 1_000_000
	pollingOneWeek = 0.152 // dollars: one run polled at the same cadence by a loop of its own for 7 days
)

const watchDays = 7

// watches prints what a watch of so many runs costs in a week: what its real
// machine and functions did in virtual time. The dollars are those of its
// transitions, its invocations and what they read and wrote.
func watches(_ context.Context, out io.Writer, _ chains) error {
	for _, runs := range []int{1, 100, 10_000} {
		w := ladder.TryWatch(runs, watchDays*24*time.Hour)
		usd := float64(w.Transitions)*perTransition + float64(w.Invocations)*perInvocation + float64(w.Reads)*perReadUnit + float64(w.Writes)*perWriteUnit
		fmt.Fprintf(out, "watch runs=%d days=%d transitions=%d api_calls=%d lambda_calls=%d usd=%.3f\n", runs, watchDays, w.Transitions, w.Calls, w.Invocations, usd)
		if most := float64(runs) * pollingOneWeek / 100; runs == 10_000 && usd > most {
			return fmt.Errorf("watching %d runs for %d days costs $%.2f; at most $%.2f is the target", runs, watchDays, usd, most)
		}
	}
	return nil
}
