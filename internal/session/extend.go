package session

import (
	"time"

	"nightshift/internal/workload"
)

// lockIsForStarts is why a lock does nothing to what runs.
const lockIsForStarts = "a lock refuses new starts; what runs goes on (S8.6)"

// Extension says whether a session's end may be moved, and until when.
type Extension struct {
	Possible bool
	Until    time.Time // the latest end that may be asked for; zero where it is not possible
	Reason   string    // why not, or by which limit it ends at Until
}

// Extendable answers whether somebody may move the session's end: only where
// nothing of AWS's caps the run, and within the policy of now (S8.2, S1.6). The
// own limit of an EMR on EKS job run or a notebook execution may be moved as far
// as a session opened now would get; the tenant limit as far as it is today.
func (s Session) Extendable(p Policy, now time.Time) Extension {
	if s.Status != Active {
		return Extension{Reason: "the session is " + string(s.Status) + ": its end cannot be moved any more"}
	}
	if s.Deadline.IsZero() {
		return Extension{Reason: "the session has no end that could be moved"}
	}
	until, reason := s.OpenedAt.Add(DurationMax), "no session is longer than 90 days"
	least := func(at time.Time, why string) {
		if !at.IsZero() && at.Before(until) {
			until, reason = at, why
		}
	}
	if !s.Own.At.IsZero() {
		if why := s.capped(); why != "" {
			least(s.Own.At, why)
		} else {
			least(latest(s.ownAt().At, now.Add(p.durationOf(s.Mode))), "a session opened now would get no more: the policy allows mode "+string(s.Mode)+" "+p.durationOf(s.Mode).String())
		}
	}
	if s.toldEngine() {
		least(s.Deadline, "when its run was started the engine was told to end it by then (S4.5)")
	}
	if p.TenantLimit > 0 {
		least(latest(s.tenantAt().At, s.OpenedAt.Add(p.TenantLimit)), "the tenant limit is "+p.TenantLimit.String()+" from the opening")
	}
	for _, l := range s.engineLimits() {
		least(l.At, "the "+string(l.Source)+" of the run itself stays")
	}
	if !until.After(s.Deadline) {
		return Extension{Reason: reason}
	}
	return Extension{Possible: true, Until: until, Reason: reason}
}

func (p Policy) durationOf(m Mode) time.Duration {
	if m == Interactive {
		return p.InteractiveDuration
	}
	return p.BackgroundDuration
}

// capped says why AWS's own session caps the run; "" where Nightshift's record
// is the session (S1.11).
func (s Session) capped() string {
	switch {
	case s.Run.Engine != workload.EMRContainers && s.Run.Engine != workload.EMRNotebook:
		return "AWS's own " + string(s.Mode) + " session ends the run then, and nobody can make that longer"
	case !s.TokenAt.IsZero():
		return "AWS issued a background token for the run: its session ends then, and nobody can make that longer"
	case s.Mode == Interactive && !s.Interactive.ExpiresAt.IsZero():
		return "the run ends with its user's interactive session, which Nightshift cannot make longer"
	}
	return ""
}

// toldEngine says that the start set the time left in the engine (S4.5), where
// it cannot be changed. EMR on EKS, notebooks and pipelines have no such setting.
func (s Session) toldEngine() bool {
	switch s.Run.Engine {
	case workload.SageMakerTraining, workload.SageMakerProcessing, workload.Livy:
		return s.Origin == Started
	case workload.EMRContainers, workload.EMRNotebook, workload.SageMakerPipeline:
	}
	return false
}

// ownAt is the limit of the session's mode, moved by an extension where nothing
// of AWS's caps it.
func (s Session) ownAt() Limit {
	if s.Own.At.IsZero() || s.capped() != "" {
		return s.Own
	}
	return Limit{latest(s.Own.At, s.Extended), s.Own.Source}
}

// tenantAt is the tenant limit, moved by an extension.
func (s Session) tenantAt() Limit {
	return Limit{latest(s.OpenedAt.Add(s.Policy.TenantLimit), s.Extended), SourceTenant}
}

// engineLimits are the limits that the engine itself keeps; none before the run
// was first seen running (S1.9).
func (s Session) engineLimits() []Limit {
	var limits []Limit
	if s.RunningSince.IsZero() {
		return nil
	}
	if s.Run.MaxRuntime > 0 {
		limits = append(limits, Limit{s.RunningSince.Add(s.Run.MaxRuntime), SourceMaxRuntime})
	}
	if engineCap := s.Run.Engine.Cap(); engineCap > 0 {
		limits = append(limits, Limit{s.RunningSince.Add(engineCap), SourceEngine})
	}
	return limits
}

// Limits are all that limit the session now, in the order in which ties are
// decided (S1.12); the deadline is the earliest of them.
func (s Session) Limits() []Limit {
	var limits []Limit
	if own := s.ownAt(); !own.At.IsZero() {
		limits = append(limits, own)
	}
	limits = append(limits, s.engineLimits()...)
	if s.Policy.TenantLimit > 0 {
		limits = append(limits, s.tenantAt())
	}
	return limits
}

// extended moves the end, as far as Extendable allows; the limits of the engine
// and of AWS stay.
func (st *step) extended() {
	x := st.s.Extendable(st.p, st.now)
	switch {
	case !st.e.Until.After(st.s.Deadline):
		st.ignored = "an extension only moves the end later"
	case !x.Possible:
		st.ignored = "the end cannot be moved: " + x.Reason + " (S8.2)"
	case st.e.Until.After(x.Until):
		st.ignored = "the end can be moved to " + x.Until.UTC().Format(time.RFC3339) + " at the latest: " + x.Reason + " (S8.2)"
	default:
		st.s.Extended = st.e.Until
		st.s = st.s.withDeadline(st.now)
	}
}
