package sim

import (
	"testing"
	"time"

	"nightshift/internal/session"
	"nightshift/internal/workload"
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
