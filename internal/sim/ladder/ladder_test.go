package ladder

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/session"
)

// S2.1, S2.6: an outage of the engine's API that begins just when the cause
// becomes known delays the stops by its own length and no more.
func TestS2_6OutageLadder(t *testing.T) {
	for endpoint := range Runs {
		for _, minutes := range []int{1, 5, 8, 10, 12, 14} {
			for _, expiry := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d min/expiry %v", endpoint, minutes, expiry), func(t *testing.T) {
					t.Parallel()
					const sessions = 14
					o := TryOutage(endpoint, time.Duration(minutes)*time.Minute, sessions, expiry)
					if o.Stranded > 0 || o.Last > time.Minute || o.Worst <= 0 {
						t.Errorf("%+v: the last must end at most a minute after the outage", o)
					}
					t.Logf("%+v", o)
				})
			}
		}
	}
}

// all has the storms of 20,000 sessions played at the endpoint's rate too: hundreds
// of rounds, each of which looks at all that are left (`make crash`).
var all = flag.Bool("all", false, "play the capped storms of 20,000 sessions too")

// storm is so many sessions of an endpoint, due within one second.
type storm struct {
	endpoint string
	n        int
	set      cadence.Endpoint
}

// capped are storms of 20,000: at the rate of which that is the capacity, so that
// the promise holds (S2.9), and at the usual one, which takes 33 minutes.
func capped() []storm {
	enough := cadence.Of("livy")
	for enough.Capacity() < 20_000 {
		enough.Stop.PerSecond++
	}
	return []storm{{Livy, 20_000, enough}, {Livy, 20_000, cadence.Of("livy")}}
}

// S2.9: sessions due in one second are asked to stop as fast as the endpoint
// takes it, and within the promise where they are within its capacity.
func TestS2_9Storm(t *testing.T) {
	storms := []storm{
		{Livy, 20_000, Uncapped},
		{Livy, 400, cadence.Of("livy")}, {SageMaker, 300, cadence.Of("sagemaker")}, {OnEKS, 200, cadence.Of("emr-containers")}, {Notebook, 100, cadence.Of("emr-notebook")},
	}
	if *all {
		storms = append(storms, capped()...)
	}
	for _, c := range storms {
		t.Run(fmt.Sprintf("%d at %g a second", c.n, c.set.Stop.PerSecond), func(t *testing.T) {
			if !*all { // each of the capped ones takes gigabytes
				t.Parallel()
			}
			s := TryStorm(c.endpoint, c.n, c.set)
			limit := time.Duration(1.1*float64(c.n)/c.set.Stop.PerSecond*float64(time.Second)) + time.Minute
			if s.Left > 0 || s.AskedLast > limit || s.AskedLast <= 0 {
				t.Errorf("%+v: the last must have been asked within %s", s, limit)
			}
			if c.n <= c.set.Capacity() && s.EndedLast > 15*time.Minute {
				t.Errorf("S2.1 %+v: the last ended too late", s)
			}
			t.Logf("%+v, allowed %s", s, limit)
		})
	}
}

// S2.9: one run of a user does not wait behind ten thousand of another.
func TestS2_9Fairness(t *testing.T) {
	for _, c := range []struct {
		n     int
		after time.Duration
	}{{10_000, 7 * time.Second}, {2_000, 0}, {2_000, 3 * time.Minute}} {
		t.Run(fmt.Sprint(c.n, " after ", c.after), func(t *testing.T) {
			t.Parallel()
			asked := TryFairness(Livy, c.n, c.after)
			if asked < 0 || asked > 30*time.Second {
				t.Errorf("B's run was asked to stop %s after its cause was known", asked)
			}
			t.Log(asked)
		})
	}
}

// S3.5a: what drifted apart is found within the endpoint's cadence and healed
// within a minute of that.
func TestS3_5Drift(t *testing.T) {
	for _, age := range []time.Duration{3 * time.Minute, 30 * time.Minute} {
		for _, endpoint := range []string{OnEKS, SageMaker} {
			t.Run(endpoint+"/"+age.String(), func(t *testing.T) {
				t.Parallel()
				every := cadence.Next(age)
				d := TryDrift(endpoint, 1000, age, every+2*time.Minute)
				if d.Deleted != 10 || d.Changed != 10 || d.Risen != 10 || d.Left > 0 || d.Touched > 0 || d.Found > every+time.Second || d.Healed > time.Minute {
					t.Errorf("%+v: all must be found within %s and healed within a minute of that", d, every)
				}
				t.Logf("%+v", d)
			})
		}
	}
}

// S2, S8.2: a table put back one hour. The safe start stops nothing that was
// extended, shows the difference, and catches all that is due.
func TestRestoreOfAnHourAgo(t *testing.T) {
	t.Parallel()
	r := TryRestore()
	w := r.World
	w.Play(time.Minute)
	r.Tell()
	if d := r.Difference; d.Restore.Confirmed || r.At.Add(-time.Hour).Sub(d.Restore.From) > time.Minute || d.Restore.At.Sub(r.At) > time.Minute {
		t.Fatalf("it was not noticed: %+v", d.Restore)
	}
	shown := map[string]int{}
	for _, h := range r.Difference.Held {
		shown[h.Session.User] = len(h.Reason)
	}
	for _, e := range r.Difference.Endpoints {
		if e.Unlisted != "" {
			t.Errorf("%s: %s", e.ID, e.Unlisted)
		}
	}
	if shown[DayUser+"extended"] == 0 || shown[DayUser+"due"] > 0 || shown["revoked"] > 0 {
		t.Errorf("held are %v; should be what was extended, and nothing that is not due", shown)
	}

	w.Play(20 * time.Minute)
	must := func(what string, s session.Session, status session.Status, cause session.Cause, asked bool) session.Session {
		t.Helper()
		now := w.Session(s.ID)
		if now.Status != status || now.End.Cause != cause || w.Engine.Asked(s.Run.Ref()).IsZero() == asked {
			t.Errorf("%s: %s, cause %q, asked %s; should be %s, cause %q", what, now.Status, now.End.Cause, w.Engine.Asked(s.Run.Ref()), status, cause)
		}
		return now
	}
	must("extended in the lost hour", r.Extended, session.Active, "", false)
	must("due, perhaps extended", r.Due, session.Active, "", false)
	must("busy again", r.Busy, session.Active, "", false)
	must("ended in the lost hour", r.Ended, session.Ended, session.CauseStoppedElsewhere, true)
	fixed := must("nobody can have extended it", r.Fixed, session.Ended, session.CauseInteractiveExpired, true)
	if late := w.Engine.Asked(fixed.Run.Ref()).Sub(fixed.Deadline); late > time.Minute+10*time.Second {
		t.Errorf("what was due was asked to stop %s late", late)
	}
	revoked := must("revoked in the lost hour", r.Revoked, session.Ended, session.CauseBackgroundRevoked, true)
	if late := revoked.End.Confirmed.Sub(r.At); late > 3*time.Minute {
		t.Errorf("a revoke that was forgotten was carried out %s later", late)
	}
	owner, err := w.Store.Claimed(t.Context(), r.Opened.Ref())
	if err != nil || w.Session(owner).User != "opened" || w.Session(owner).Status != session.Active {
		t.Errorf("the run of a session opened in the lost hour: %v", err)
	}

	// The administrator extends again what was extended, and confirms.
	w.Do(func(ctx context.Context) {
		if _, err := w.App.Apply(ctx, r.Extended.ID, session.Event{ID: "x-2", Kind: session.Extended, At: w.Clock.Now(), Until: Began.Add(12 * time.Hour), By: "admin"}); err != nil {
			t.Error(err)
		}
		if err := w.App.ConfirmRestore(ctx, "admin"); err != nil {
			t.Error(err)
		}
		if err := w.App.ConfirmRestore(ctx, "admin"); !fault.Is(err, fault.Invalid) {
			t.Errorf("confirmed twice: %v", err)
		}
	})
	w.Play(3 * time.Minute)
	must("extended again", r.Extended, session.Active, "", false)
	must("due, and confirmed", r.Due, session.Ended, session.CauseInteractiveExpired, true)
	w.Play(4 * time.Hour)
	must("extended again, and due", r.Extended, session.Ended, session.CauseInteractiveExpired, true)
}
