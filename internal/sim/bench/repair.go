package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/session"
	"nightshift/internal/sim/ladder"
)

// restores prints what becomes of a table that was put back one hour, in virtual
// time: how many sessions are shown as held, how many that were extended were
// stopped, how many that had to end were left, and how late the last of them was.
func restores(_ context.Context, out io.Writer, _ chains) error {
	r := ladder.TryRestore()
	w := r.World
	w.Play(time.Minute)
	r.Tell()
	w.Play(20 * time.Minute)
	early, left, last := 0, 0, time.Duration(0)
	for _, s := range []session.Session{r.Extended, r.Busy} {
		if now := w.Session(s.ID); now.Status != session.Active || !w.Engine.Asked(s.Run.Ref()).IsZero() {
			early++
		}
	}
	for _, c := range []struct {
		s     session.Session
		known time.Time
	}{{r.Fixed, r.Fixed.Deadline}, {r.Revoked, r.At}} {
		now := w.Session(c.s.ID)
		if now.Status != session.Ended {
			left++
			continue
		}
		last = max(last, now.End.Confirmed.Sub(c.known))
	}
	fmt.Fprintf(out, "restore back_minutes=60 shown=%d stopped_early=%d left=%d worst_late_s=%.0f\n", len(r.Difference.Held), early, left, last.Seconds())
	if len(r.Difference.Held) == 0 || early > 0 || left > 0 {
		return fmt.Errorf("a table put back one hour: %d shown, %d stopped early, %d left; the target is some, none and none", len(r.Difference.Held), early, left)
	}
	return nil
}

// driftRuns is how many runs drift apart from their records, one in a hundred in
// each of three ways.
const driftRuns = 1000

// drifts prints how long it takes until records and runs that drifted apart are
// found, and until they are healed since then, in virtual time.
func drifts(_ context.Context, out io.Writer, _ chains) error {
	var missed []error
	for _, age := range []time.Duration{3 * time.Minute, 30 * time.Minute} {
		every := cadence.Next(age)
		d := ladder.TryDrift(ladder.OnEKS, driftRuns, age, every+2*time.Minute)
		fmt.Fprintf(out, "drift runs=%d deleted=%d changed=%d zombies=%d cadence_s=%.0f found_s=%.0f healed_after_s=%.0f left=%d touched=%d\n",
			driftRuns, d.Deleted, d.Changed, d.Risen, every.Seconds(), d.Found.Seconds(), d.Healed.Seconds(), d.Left, d.Touched)
		if d.Left > 0 || d.Touched > 0 || d.Found > every+time.Second || d.Healed > time.Minute {
			missed = append(missed, fmt.Errorf("drift: %d left, %d touched, found within %v, healed within %v of that; the target is none, none, %v and a minute", d.Left, d.Touched, d.Found, d.Healed, every))
		}
	}
	return errors.Join(missed...)
}
