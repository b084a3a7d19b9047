package sim

import (
	"fmt"
	"slices"
	"time"

	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// RunsEach is how many runs a schedule has.
const RunsEach = 20

// drawn is a schedule being drawn: moments crowd, because crowds are what goes
// wrong, and because a drain that works costs more than one that rests.
type drawn struct {
	*World
	unit    time.Duration // a minute, or, on a long horizon, hours
	moments []time.Time
}

// script draws who starts what, and what then happens to it.
func (w *World) script() {
	d := &drawn{World: w, unit: time.Minute}
	if w.Options.Long {
		days := 7 + w.rand.ExpFloat64()*8
		d.unit = time.Duration(min(days, 90) / 36 * float64(24*time.Hour))
	}
	for range 3 {
		d.moments = append(d.moments, Epoch.Add(5*d.unit+d.spread(23)))
	}
	d.settings()
	for n := range 3 + w.rand.IntN(4) {
		u := w.AddUser(fmt.Sprintf("u-%d", n))
		if w.rand.IntN(3) == 0 {
			u.Expires = Epoch.Add(20*d.unit + d.spread(40))
		}
	}
	for range RunsEach {
		d.plan()
	}
	for range 7 + w.rand.IntN(7) {
		d.something()
	}
	d.demotion()
	d.trouble()
	w.Until(Epoch.Add(30*d.unit + d.spread(8)))
}

// spread draws a span of up to n units.
func (d *drawn) spread(n int) time.Duration { return d.upTo(time.Duration(n) * d.unit) }

func (d *drawn) moment() time.Time {
	return d.moments[d.rand.IntN(len(d.moments))].Add(d.upTo(30 * time.Second))
}

// tri draws a switch: mostly on, sometimes off, seldom unknown.
func (d *drawn) tri(on, off int) session.Tri {
	switch n := d.rand.IntN(100); {
	case n < on:
		return session.On
	case n < on+off:
		return session.Off
	}
	return session.Unknown
}

func (d *drawn) duration(short int) time.Duration {
	if d.rand.IntN(2) == 0 {
		return 15*time.Minute + d.spread(short)
	}
	return 7 * 24 * time.Hour
}

// settings draws endpoints, their facts, and the policy.
func (d *drawn) settings() {
	all := []string{Livy, EMROnEKS, SageMaker, EMRNotebooks}
	d.rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	all = all[:1+d.rand.IntN(3)]
	if d.Options.Faults == nil && d.rand.IntN(2) == 0 {
		// An outage is worst where it begins with a cause.
		from := d.moments[d.rand.IntN(len(d.moments))].Add(d.upTo(2*time.Minute) - time.Minute)
		d.Faults.Outages = []Outage{{Endpoint: all[d.rand.IntN(len(all))], From: from, Until: from.Add(d.upTo(14 * time.Minute))}}
	}
	for _, endpoint := range all {
		d.AddEngine(endpoint)
		domains := []string{""}
		if endpoint == SageMaker {
			domains = []string{"", "d-one", "d-two"}
		}
		for _, domain := range domains {
			f := session.Facts{IdentityPropagation: d.tri(85, 8), ApplicationBackground: d.tri(70, 25)}
			if endpoint == Livy {
				f.ClusterBackground = d.tri(80, 15)
				f.ReleaseLabel = []string{"emr-7.12.0", "emr-7.12.0", "emr-7.11.0", "emr-7.9.0", "emr-7.11.x-latest", "odd"}[d.rand.IntN(6)]
				f.BootstrapConfirmed = d.tri(50, 25)
			}
			d.Directory.Set(endpoint, domain, f)
		}
	}
	d.Portal = d.rand.IntN(5) < 2
	instance := d.tri(80, 12)
	d.SetPolicy(func(p *session.Policy) {
		p.InstanceBackground = instance
		p.BackgroundDuration, p.InteractiveDuration = d.duration(30), d.duration(30)
		p.LivyIdle = 15*time.Minute + d.spread(10)
		if d.rand.IntN(4) == 0 {
			p.TenantLimit = 15*time.Minute + d.spread(30)
		}
	})
}

// plan draws one run.
func (d *drawn) plan() {
	e := d.Engines[d.rand.IntN(len(d.Engines))]
	p := Plan{User: d.Users[d.rand.IntN(len(d.Users))], Endpoint: e.Endpoint, At: Epoch.Add(d.spread(18))}
	if d.rand.IntN(4) == 0 { // a race: it is started as something happens
		p.At = d.moment().Add(-d.upTo(20 * time.Second))
	}
	switch e.Endpoint {
	case Livy:
		p.Engine = workload.Livy
		if d.rand.IntN(2) == 0 {
			p.Busy, p.Silent = time.Second+d.spread(10), d.rand.IntN(3) == 0
		}
	case EMROnEKS:
		p.Engine = workload.EMRContainers
	case SageMaker:
		p.Engine = []workload.Engine{workload.SageMakerTraining, workload.SageMakerProcessing, workload.SageMakerPipeline}[d.rand.IntN(3)]
		p.Domain = []string{"", "d-one", "d-two"}[d.rand.IntN(3)]
	case EMRNotebooks:
		p.Engine = workload.EMRNotebook
	}
	if p.Behind = d.rand.IntN(4) == 0; p.Behind {
		p.Nameless = d.rand.IntN(5) == 0
		p.Birth, p.Token = d.rand.IntN(2) == 0, d.rand.IntN(4) == 0
	}
	p.Refused = !p.Behind && d.rand.IntN(25) == 0
	if d.rand.IntN(4) == 0 {
		p.Work, p.EndsAs = time.Minute+d.spread(30), workload.Succeeded
		if d.rand.IntN(3) == 0 {
			p.EndsAs = workload.Failed
		}
	}
	if d.rand.IntN(5) == 0 {
		p.MaxRuntime = 10*time.Minute + d.spread(20)
	}
	d.AddPlan(p)
}

// something draws one thing that happens.
func (d *drawn) something() {
	u, p := d.Users[d.rand.IntN(len(d.Users))], d.plans[d.rand.IntN(len(d.plans))]
	again, ours := d.upTo(2*time.Minute), d.rand.IntN(3) == 0
	what := d.rand.IntN(20)
	last := d.rand.IntN(3) > 0
	d.At(d.moment(), func() {
		switch what {
		case 0:
			d.SignOutElsewhere(u, ours)
		case 1, 2, 3, 4:
			d.SignOut(u, ours)
			if last {
				d.after(again, func() { d.SignIn(u) })
			}
		case 5:
			d.Revoke(u, false, nil)
		case 6, 7:
			d.Revoke(u, true, nil)
		case 8:
			if p.Run != nil {
				d.Revoke(p.User, true, p.Run)
			}
		case 9:
			d.Disable(u)
		case 10:
			d.Disable(u)
			d.after(again+time.Minute, func() { d.Enable(u) })
		case 11:
			d.Delete(u)
		case 12:
			d.RemoveAccess(u, last)
		case 13, 14:
			d.StopRequest(p)
		case 15:
			d.Abort(p)
		case 16:
			d.StopKernel(p)
		case 17:
			d.StopBehind(p)
		case 18:
			d.CloseNotebook(u)
		case 19:
			d.upheaval()
		}
	})
}

// upheaval is what concerns more than one user.
func (d *drawn) upheaval() {
	switch d.rand.IntN(3) {
	case 0:
		for _, e := range d.Engines {
			switch {
			case e.Endpoint != Livy:
			case d.rand.IntN(2) == 0:
				d.Restart(Livy)
			default:
				d.Terminate(Livy)
			}
		}
	case 1:
		d.Propagation("d-one")
	case 2:
		instance := d.tri(50, 40)
		d.SetPolicy(func(p *session.Policy) {
			p.InstanceBackground, p.BackgroundDuration = instance, d.duration(30)
		})
	}
}

// demotion draws, where there are domains, that background sessions are switched off
// (or are not, or nobody can tell), and that a domain's identity propagation is:
// S1.8 needs both, and users who have left and others who have not.
func (d *drawn) demotion() {
	if !slices.ContainsFunc(d.Engines, func(e *Engine) bool { return e.Endpoint == SageMaker }) || d.rand.IntN(2) == 0 {
		return
	}
	instance, at := d.tri(15, 70), d.moment()
	d.At(at, func() { d.SetPolicy(func(p *session.Policy) { p.InstanceBackground = instance }) })
	if u := d.Users[d.rand.IntN(len(d.Users))]; d.rand.IntN(3) > 0 {
		d.At(at.Add(d.upTo(8*time.Minute)-4*time.Minute), func() { d.SignOut(u, true) })
	}
	for _, domain := range []string{"d-one", "d-two"} {
		if d.rand.IntN(3) > 0 {
			d.At(at.Add(d.upTo(4*time.Minute)-30*time.Second), func() { d.Propagation(domain) })
		}
	}
}

// trouble draws what goes wrong at a moment.
func (d *drawn) trouble() {
	for range d.Faults.Kills {
		d.At(d.moment().Add(d.upTo(3*time.Minute)), d.Kill)
	}
	for range d.Faults.Poison {
		d.At(d.moment(), d.Poison)
	}
	if d.Faults.Reorder > 0 && len(d.Users) > 2 { // somebody signs out while a policy changes
		d.At(d.moment(), func() { d.SetPolicy(func(p *session.Policy) { p.InteractiveDuration = d.duration(20) }) })
	}
}
