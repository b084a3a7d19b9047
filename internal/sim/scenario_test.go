package sim

import (
	"testing"
	"time"

	"nightshift/internal/asl"
	"nightshift/internal/session"
	"nightshift/internal/workload"
	"nightshift/statemachines"
)

// one is a world with one endpoint and one user, whose runs are interactive.
func one(w *World, endpoint string) (*Engine, *User) {
	e := w.AddEngine(endpoint)
	w.Directory.Set(endpoint, "", session.Facts{IdentityPropagation: session.On, ApplicationBackground: session.Off, ClusterBackground: session.On, ReleaseLabel: "emr-7.12.0"})
	w.SetPolicy(func(p *session.Policy) { p.InstanceBackground = session.On })
	w.Until(Epoch.Add(30 * time.Minute))
	return e, w.AddUser("u-1")
}

// TestS2_6DeathWithALeaseInHand: whoever takes a drain's lease and dies before it
// has started the drain delays the stop by little, however often.
func TestS2_6DeathWithALeaseInHand(t *testing.T) {
	t.Parallel()
	deaths := 0
	r := Play(Options{Faults: &Faults{}, Verdict: func(c Call) Verdict {
		if c.Port == "starter" && c.Op == "Drain" && deaths < 4 {
			deaths++
			return CrashBefore
		}
		return CarryOut
	}, Script: func(w *World) {
		_, u := one(w, EMROnEKS)
		w.AddPlan(Plan{User: u, Engine: workload.EMRContainers, Endpoint: EMROnEKS, At: Epoch.Add(time.Minute)})
		w.At(Epoch.Add(10*time.Minute), func() { w.SignOut(u, true) })
	}})
	for _, v := range r.Violations {
		t.Error(v)
	}
	if deaths != 4 || r.Musts["sign-out"] != 1 {
		t.Fatalf("%d deaths, had to end: %v", deaths, r.Musts)
	}
	if r.WorstLate > 10*time.Minute {
		t.Errorf("four deaths delayed the stop by %s", r.WorstLate)
	}
}

// TestS3_5aAWatchIsLost: while a watch is dead, the sweep lists its endpoint: a
// run that nobody registered is found soon after the longest cadence.
func TestS3_5aAWatchIsLost(t *testing.T) {
	t.Parallel()
	killed := Epoch.Add(17 * time.Minute) // just after a round
	var behind *Plan
	r := Play(Options{Faults: &Faults{}, Script: func(w *World) {
		_, u := one(w, EMRNotebooks)
		w.AddPlan(Plan{User: u, Engine: workload.EMRNotebook, Endpoint: EMRNotebooks, At: Epoch.Add(time.Minute)})
		w.At(killed, func() {
			w.Kill()
			behind = w.AddPlan(Plan{User: u, Engine: workload.EMRNotebook, Endpoint: EMRNotebooks, At: killed.Add(time.Second), Behind: true})
		})
	}})
	for _, v := range r.Violations {
		t.Error(v)
	}
	found := behind.Run.Listed
	if late := found.Sub(killed); found.IsZero() || late > 8*time.Minute || r.Struck["watches and drains killed"] != 1 {
		t.Errorf("found %s after it was started; %v", late, r.Struck)
	}
}

// TestS2_4AThrottledStartIsNotDisproved: a start that the engine throttles is
// tried on, and no listing meanwhile disproves it.
func TestS2_4AThrottledStartIsNotDisproved(t *testing.T) {
	t.Parallel()
	var w *World
	refused := 0
	r := Play(Options{Faults: &Faults{}, Verdict: func(c Call) Verdict {
		if c.Port == "engine" && c.Op == "Start" && w.Clock.Now().Before(Epoch.Add(8*time.Minute)) {
			refused++
			return Refuse
		}
		return CarryOut
	}, Script: func(world *World) {
		w = world
		_, u := one(w, EMROnEKS)
		w.AddPlan(Plan{User: u, Engine: workload.EMRContainers, Endpoint: EMROnEKS, At: Epoch.Add(time.Minute)})
	}})
	for _, v := range r.Violations {
		t.Error(v)
	}
	p := w.plans[0]
	if s := w.records[p.Session]; refused < 10 || p.Run == nil || !p.Run.alive(r.Ended) || s.now.Status != session.Active {
		t.Errorf("after %d refusals the run is %+v, its session %s", refused, p.Run, s.now.Status)
	}
}

// TestS2_6TwoDrainsAreLost: a drain that is killed before an outage, and its
// successor that is killed in it, each cost a lease of one try and a sweep.
func TestS2_6TwoDrainsAreLost(t *testing.T) {
	t.Parallel()
	out := Epoch.Add(10 * time.Minute)
	kill := func(w *World, at time.Time) {
		w.At(at, func() {
			for _, e := range w.runner.Executions() {
				if e.Status() == asl.Running && e.MachineARN() == machineARN(statemachines.Drain) {
					w.struck["watches and drains killed"]++
					if err := w.runner.Stop(e.ARN(), "Killed", "simulated"); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	r := Play(Options{
		Faults: &Faults{Outages: []Outage{{Endpoint: EMROnEKS, From: out.Add(-time.Second), Until: out.Add(8 * time.Minute)}}},
		Script: func(w *World) {
			_, u := one(w, EMROnEKS)
			w.AddPlan(Plan{User: u, Engine: workload.EMRContainers, Endpoint: EMROnEKS, At: Epoch.Add(time.Minute)})
			w.At(out, func() { w.SignOut(u, true) })
			kill(w, out.Add(20*time.Second))
			kill(w, out.Add(7*time.Minute+55*time.Second))
		},
	})
	for _, v := range r.Violations {
		t.Error(v)
	}
	if r.Struck["watches and drains killed"] != 2 || r.Musts["sign-out"] != 1 || r.WorstLate < 8*time.Minute {
		t.Fatalf("%v, had to end: %v, %s late", r.Struck, r.Musts, r.WorstLate)
	}
	if r.WorstLate > 11*time.Minute {
		t.Errorf("two drains that were lost and an outage of 8 minutes delayed the stop by %s", r.WorstLate)
	}
}

// TestS2_4KernelStoppedWhileItStarts: the answer of a start is lost, the engine does
// not show the run yet, and its kernel is stopped: the run ends all the same.
func TestS2_4KernelStoppedWhileItStarts(t *testing.T) {
	t.Parallel()
	var p *Plan
	starts := 0
	r := Play(Options{Faults: &Faults{}, Verdict: func(c Call) Verdict {
		if c.Port == "engine" && c.Op == "Start" {
			if starts++; starts == 1 {
				return Unsaid
			}
			return Refuse
		}
		return CarryOut
	}, Script: func(w *World) {
		_, u := one(w, Livy)
		p = w.AddPlan(Plan{User: u, Engine: workload.Livy, Endpoint: Livy, At: Epoch.Add(time.Minute)})
		w.At(Epoch.Add(time.Minute+4*time.Second), func() { w.StopKernel(p) })
	}})
	for _, v := range r.Violations {
		t.Error(v)
	}
	if starts < 2 || p.Run == nil || p.Run.alive(r.Ended) || r.Musts["kernel-stopped"] != 1 {
		t.Errorf("after %d starts the run is %+v; had to end: %v", starts, p.Run, r.Musts)
	}
}

// TestS2_1AStopIsUnheardAndTheServerSilent: a stop is carried out and its answer lost,
// an outage follows, and after it the server shows only what nobody's record has: from
// the records that is a restart, whose ten minutes are the engine's (decisions/0014).
func TestS2_1AStopIsUnheardAndTheServerSilent(t *testing.T) {
	t.Parallel()
	left := Epoch.Add(10 * time.Minute)
	r := Play(Options{
		Faults: &Faults{Outages: []Outage{{Endpoint: Livy, From: left.Add(10 * time.Second), Until: left.Add(8 * time.Minute)}}},
		Verdict: func(c Call) Verdict {
			if c.Port == "engine" && c.Op == "Stop" {
				return Unsaid
			}
			return CarryOut
		},
		Script: func(w *World) {
			_, u := one(w, Livy)
			w.AddPlan(Plan{User: u, Engine: workload.Livy, Endpoint: Livy, At: Epoch.Add(time.Minute)})
			w.AddPlan(Plan{User: u, Engine: workload.Livy, Endpoint: Livy, At: Epoch.Add(2 * time.Minute), Behind: true, Nameless: true})
			w.At(left, func() { w.SignOut(u, true) })
		},
	})
	for _, v := range r.Violations {
		t.Error(v)
	}
	if r.Stops != 1 || r.Musts["sign-out"] != 1 || r.Struck["calls in an outage"] == 0 {
		t.Errorf("%d runs were asked to stop, had to end: %v, %v", r.Stops, r.Musts, r.Struck)
	}
}

// TestS2_13WhoLeavesElsewhereStopsNothing: a sign-out that names another session at the
// same portal leaves a run alone that names its own, and ends one that names none.
func TestS2_13WhoLeavesElsewhereStopsNothing(t *testing.T) {
	t.Parallel()
	for _, ours := range []bool{true, false} {
		var named, nameless *Plan
		r := Play(Options{Faults: &Faults{}, Script: func(w *World) {
			_, u := one(w, EMROnEKS)
			named = w.AddPlan(Plan{User: u, Engine: workload.EMRContainers, Endpoint: EMROnEKS, At: Epoch.Add(time.Minute)})
			nameless = w.AddPlan(Plan{User: u, Engine: workload.EMRContainers, Endpoint: EMROnEKS, At: Epoch.Add(time.Minute), Behind: true})
			w.At(Epoch.Add(10*time.Minute), func() { w.SignOutElsewhere(u, ours) })
		}})
		for _, v := range r.Violations {
			t.Error(v)
		}
		if !named.Run.alive(r.Ended) || nameless.Run.alive(r.Ended) || r.Musts["sign-out"] != 1 {
			t.Errorf("alive: %t, and of the one that names none %t; had to end: %v", named.Run.alive(r.Ended), nameless.Run.alive(r.Ended), r.Musts)
		}
	}
}

// TestS2_17ABusySessionIsNotIdle: a statement begins just before the idle limit is due,
// and nobody asks the clock until a listing shows it: the session goes on (S2.2), and
// another one that rests ends.
func TestS2_17ABusySessionIsNotIdle(t *testing.T) {
	t.Parallel()
	var w *World
	var busy, rests *Plan
	late := 0
	r := Play(Options{Faults: &Faults{}, Verdict: func(c Call) Verdict {
		if at := w.Clock.Now().Sub(Epoch); c.Op == "Due" && at > 16*time.Minute && at < 26*time.Minute {
			late++
			return Refuse
		}
		return CarryOut
	}, Script: func(world *World) {
		w = world
		_, u := one(w, Livy)
		w.SetPolicy(func(p *session.Policy) { p.LivyIdle = 15 * time.Minute })
		plan := Plan{User: u, Engine: workload.Livy, Endpoint: Livy, At: Epoch.Add(time.Minute), Busy: 2 * time.Minute}
		busy, rests = w.AddPlan(plan), w.AddPlan(plan)
		w.At(Epoch.Add(17*time.Minute+30*time.Second), func() { w.Work(busy) })
		w.Until(Epoch.Add(50 * time.Minute))
	}})
	for _, v := range r.Violations {
		t.Error(v)
	}
	if s := w.records[busy.Session].now; late == 0 || s.Status != session.Active || !busy.Run.alive(r.Ended) || rests.Run.alive(r.Ended) {
		t.Errorf("%d sweeps were late; the busy session is %s, cause %q; the other's run: %t", late, s.Status, s.End.Cause, rests.Run.alive(r.Ended))
	}
}
