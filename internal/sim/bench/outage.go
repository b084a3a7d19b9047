package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"nightshift/internal/asl/clock"
	"nightshift/internal/sim/ladder"
)

// outageSessions are as many as were given to OpenBao's own manager, whose
// figures the vault-style lines are to be read beside.
const outageSessions = 500

// outages prints what an outage of the engine's API leaves behind that begins at
// the moment at which 500 sessions are due, in virtual time.
func outages(_ context.Context, out io.Writer, _ chains) error {
	var missed []error
	for _, minutes := range []int{5, 8, 10, 12, 15} {
		o := ladder.TryOutage(ladder.Livy, time.Duration(minutes)*time.Minute, outageSessions, true)
		fmt.Fprintf(out, "outage minutes=%d lost_pct=%s last_after_outage_s=%.0f\n", minutes, percent(o.Stranded, outageSessions), o.Last.Seconds())
		if o.Stranded > 0 || o.Last > time.Minute {
			missed = append(missed, fmt.Errorf("an outage of %d minutes: %d of %d stranded, the last ended %v after it; the target is none, and a minute", minutes, o.Stranded, outageSessions, o.Last))
		}
		lost, last := vaultOutage(time.Duration(minutes) * time.Minute)
		fmt.Fprintf(out, "anchor=vault-style outage minutes=%d lost_pct=%s last_after_outage_s=%.0f\n", minutes, percent(lost, outageSessions), last.Seconds())
	}
	return errors.Join(missed...)
}

func percent(part, whole int) string { return fmt.Sprintf("%.3g", 100*float64(part)/float64(whole)) }

// vaultOutage has leases expire as an outage of their backend begins; it answers
// how many became irrevocable and how long after the outage the last of the
// others was revoked.
func vaultOutage(outage time.Duration) (lost int, last time.Duration) {
	c := clock.Serial(ladder.Began, func(int) int { return 0 })
	expires := ladder.Began.Add(time.Minute)
	v := newVaultStyle(c, vaultWorkers, func(string) error {
		if c.Now().Before(expires.Add(outage)) {
			return errors.New("the backend refuses everything")
		}
		return nil
	})
	c.Go(func() {
		for i := range outageSessions {
			if err := v.register(fmt.Sprint("lease-", i), expires); err != nil {
				panic(err) // strings and times: cannot happen
			}
		}
	})
	c.Run()
	for _, at := range v.revoked {
		last = max(last, at.Sub(expires.Add(outage)))
	}
	return len(v.irrevocable), last
}
