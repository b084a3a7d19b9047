package sim

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// The oracle says, from what happened in truth and from what was frozen when a
// session was opened, what had to be stopped, since when that was allowed, and
// when it was first known. It is written from S1 and S2, not from the rules.

// claim is one reason to stop a session.
type claim struct {
	must  bool      // else it may be stopped, and may go on: the text or the clocks leave it open
	since time.Time // no stop request before this
	known time.Time // the promise of S2.1 counts from here; zero: it never was
	why   string
}

// modeOf is the mode that the frozen facts give (S1.3, S1.11).
func modeOf(s session.Session) session.Mode {
	f := s.Facts
	levels := []session.Tri{f.Instance, f.ApplicationBackground}
	if s.Run.Engine == workload.Livy {
		levels = append(levels, f.ClusterBackground, releaseOn(f))
	}
	off, unknown := false, false
	for _, l := range levels {
		off = off || l == session.Off
		unknown = unknown || l == session.Unknown
	}
	switch {
	case f.IdentityPropagation == session.Off:
		return session.Role
	case f.IdentityPropagation == session.Unknown, !off && unknown:
		return session.ModeUnknown
	case off:
		return session.Interactive
	}
	return session.Background
}

// releaseOn judges the release of a cluster (S1.3); every run here is a Spark
// session.
func releaseOn(f session.Facts) session.Tri {
	major, rest, _ := strings.Cut(strings.TrimPrefix(f.ReleaseLabel, "emr-"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, err := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	switch {
	case err != nil || err2 != nil:
		return session.Unknown
	case a > 7 || a == 7 && b > 11:
		return session.On
	case a == 7 && b == 11:
		if f.BootstrapConfirmed == session.On || f.UnifiedStudioCluster == session.On {
			return session.On
		}
		if f.BootstrapConfirmed == session.Unknown || f.UnifiedStudioCluster == session.Unknown {
			return session.Unknown
		}
	}
	return session.Off
}

// ends is the table of S2: whether the cause ends a session of the mode.
func ends(kind session.Kind, mode session.Mode) bool {
	switch kind {
	case session.SignOut, session.RevokeInteractive, session.NotebookClosed:
		return mode == session.Interactive
	case session.RevokeBackground:
		return mode == session.Background
	case session.UserDisabled, session.UserDeleted, session.AccessRemoved:
		return mode == session.Interactive || mode == session.Background
	case session.StopRequested, session.WaiterAborted, session.KernelStopped:
		return true
	}
	return false
}

// endsAll answers for an unknown mode: only what ends every mode still possible
// (S2); a revocation of background sessions proves the mode (S1.13).
func endsAll(kind session.Kind, mode session.Mode, f session.Facts) bool {
	if mode != session.ModeUnknown || kind == session.RevokeBackground {
		return mode == session.ModeUnknown || ends(kind, mode)
	}
	return ends(kind, session.Interactive) && ends(kind, session.Background) &&
		(f.IdentityPropagation == session.On || ends(kind, session.Role))
}

// claims are all reasons to stop a session, by now.
func (w *World) claims(r *record, run *Run) []claim {
	s := r.now
	first := modeOf(s)
	var all []claim
	for _, c := range w.Causes {
		if w.lacks(c, s) && ends(session.SignOut, first) { // whenever this one was opened
			all = append(all, claim{since: c.At, why: "portal"})
		}
		if !w.concerns(c, s, run) {
			continue
		}
		if c.Kind == session.IdentityPropagationOff {
			all = append(all, w.rides(c, r, run)...)
			continue
		}
		every, some := endsAll(c.Kind, first, s.Facts), endsAll(c.Kind, first, s.Facts)
		for _, m := range r.modes { // a token, a revocation or S1.8 may have moved it, sooner or later than the cause came
			fate := endsAll(c.Kind, m, s.Facts)
			every, some = every && fate, some || fate
		}
		if !some {
			continue
		}
		after := c.At.Sub(s.OpenedAt)
		if holds := c.Kind == session.UserDisabled || c.Kind == session.UserDeleted || c.Kind == session.AccessRemoved; !holds {
			if after < -w.blur() {
				continue // it came before the opening (S2.10)
			}
		} else {
			after = w.blur() + 1
		}
		known := c.knowable(w.Clock.Now())
		must := every && after > w.blur() && !known.IsZero() && !w.undone(c) && w.reached(c, r)
		all = append(all, claim{must: must, since: c.At, known: later(known, w.learnt(s, run)), why: string(c.Kind)})
	}
	return append(append(all, w.deadline(r, len(r.modes) > 1)...), w.idle(r, run)...)
}

// learnt is when Nightshift first heard of the session's run: a cause that is
// older is known for it from then. An endpoint is listed at least each 5 minutes
// (S3.5a), and a listing may fail for as many before the API is called out.
func (w *World) learnt(s session.Session, run *Run) time.Time {
	if s.Origin == session.Started || run == nil {
		return s.RecordedAt
	}
	ought := run.visible.Add(2 * cadence.Settled)
	for _, o := range w.Faults.Outages {
		if o.Endpoint == run.Endpoint && o.From.Before(ought) && o.Until.After(run.visible) {
			ought = later(ought, o.Until.Add(cadence.Settled))
		}
	}
	if !run.Listed.IsZero() && run.Listed.Before(ought) {
		ought = run.Listed
	}
	if ought.Before(s.RecordedAt) {
		return ought
	}
	return s.RecordedAt
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// blur is how far two functions' clocks, and CloudTrail's whole seconds, may
// make the order of two moments uncertain.
func (w *World) blur() time.Duration { return 2*w.Faults.Skew + 2*time.Second }

// concerns says whether a cause is about a session.
func (w *World) concerns(c *Cause, s session.Session, run *Run) bool {
	switch {
	case c.Session != "":
		return c.Session == s.ID
	case c.Run != nil:
		return c.Run == run
	case c.Execution != "":
		return sessionOf(c.Execution) == s.ID
	case c.Domain != "":
		return c.Domain == s.Run.Domain
	case c.User != s.User:
		return false
	}
	// S2.13: it narrows to one interactive session only where both sources are
	// known and equal.
	narrow := c.Interactive.Source != "" && c.Interactive.Source == s.Interactive.Source && c.Kind != session.NotebookClosed
	return !narrow || c.Interactive.ID == s.Interactive.ID || s.Interactive.ID == ""
}

// undone: a later enabled outdates it, or races it.
func (w *World) undone(c *Cause) bool {
	if c.Kind != session.UserDisabled && c.Kind != session.UserDeleted && c.Kind != session.AccessRemoved {
		return false
	}
	for _, o := range w.Causes {
		if o.Kind == session.UserEnabled && o.User == c.User && !o.At.Before(c.At.Add(-w.blur())) {
			return true
		}
	}
	return false
}

// reached: who names a session or a run that is not known yet is told so, and
// must ask again.
func (w *World) reached(c *Cause, r *record) bool {
	switch c.Kind {
	case session.StopRequested, session.WaiterAborted, session.KernelStopped:
		return r.born.Before(c.Known)
	case session.NotebookClosed:
		return c.Run == nil || r.born.Before(c.Known)
	}
	return true
}

// moves says whether switching propagation off moves a session onto its user's
// interactive one (S1.8): it may where the session is background, by its facts or by
// evidence (S1.13), and background sessions are off at some time since; it does where
// the session was recorded before the news of it, and they are off all the time.
func (w *World) moves(c *Cause, r *record) (may, does bool) {
	s := r.now
	off, all := false, true
	for i, p := range w.policies {
		if i+1 < len(w.policies) && w.policies[i+1].ChangedAt.Before(c.At.Add(-w.blur())) {
			continue // another one held by then
		}
		now := p.InstanceBackground == session.Off || s.Facts.ApplicationBackground == session.Off
		off, all = off || now, all && now
	}
	after := c.At.Sub(s.OpenedAt)
	may = off && after >= -w.blur() && slices.Contains(append(r.modes, modeOf(s)), session.Background)
	token := slices.ContainsFunc(w.Causes, func(o *Cause) bool { return o.Kind == session.BackgroundTokenIssued && w.concerns(o, s, w.runOf(&s)) })
	return may, may && all && after > w.blur() && !token && r.modes[0] == session.Background && r.born.Before(c.Known)
}

// rides is S1.8: the session ends with its user's interactive one, or at once where
// none is left. Which of the two came first makes no difference.
func (w *World) rides(c *Cause, r *record, run *Run) []claim {
	may, does := w.moves(c, r)
	if !may {
		return nil
	}
	s, now := r.now, w.Clock.Now()
	known := later(c.knowable(now), w.learnt(s, run))
	var all []claim
	if at := later(s.Interactive.ExpiresAt, c.At); !s.Interactive.ExpiresAt.IsZero() && !at.After(now) {
		known := later(known, at)
		all = append(all, claim{must: does && now.Sub(known) > 2*time.Minute, since: at, known: known, why: string(c.Kind)})
	}
	for _, left := range w.Causes {
		said := (left.Kind == session.SignOut || left.Kind == session.RevokeInteractive) && w.concerns(left, s, run)
		after := left.At.Sub(s.OpenedAt)
		if after < -w.blur() || !said && !w.lacks(left, s) {
			continue
		}
		heard := left.knowable(now)
		must := does && said && after > w.blur() && !heard.IsZero()
		all = append(all, claim{must: must, since: later(c.At, left.At), known: later(known, heard), why: string(c.Kind)})
	}
	return all
}

// lacks: since the cause the portal's list lacks the session that this one names.
func (w *World) lacks(c *Cause, s session.Session) bool {
	return w.Portal && c.Portal != "" && c.Portal == s.Interactive.ID
}

// caps are the engines' own (S1.9).
var caps = map[workload.Engine]time.Duration{workload.SageMakerTraining: 28 * 24 * time.Hour, workload.SageMakerProcessing: 9 * 24 * time.Hour}

// deadline is the effective end (S1.9, S1.12).
func (w *World) deadline(r *record, moved bool) []claim {
	s := r.now
	var limits []time.Time
	switch {
	case moved:
		limits = append(limits, s.Own.At) // by a token, or by S1.8
	case s.Mode == session.Background:
		limits = append(limits, s.OpenedAt.Add(s.Policy.BackgroundDuration))
	case s.Mode == session.Interactive && !s.Interactive.ExpiresAt.IsZero():
		limits = append(limits, s.Interactive.ExpiresAt)
	case s.Mode == session.Interactive:
		limits = append(limits, s.OpenedAt.Add(s.Policy.InteractiveDuration))
	}
	known := s.RecordedAt
	if moved {
		known = r.limitedAt
	}
	for _, l := range []time.Duration{s.Run.MaxRuntime, caps[s.Run.Engine]} {
		if !s.RunningSince.IsZero() && l > 0 {
			limits, known = append(limits, s.RunningSince.Add(l)), r.limitedAt
		}
	}
	if s.Policy.TenantLimit > 0 {
		limits = append(limits, s.OpenedAt.Add(s.Policy.TenantLimit))
	}
	var first time.Time
	for _, l := range limits {
		if !l.IsZero() && (first.IsZero() || l.Before(first)) {
			first = l
		}
	}
	return w.byClock(first, known, "deadline")
}

// idle is the idle limit of a Livy session, from when its last statement
// finished (S2.2); of one without statements, from when it was seen idle.
func (w *World) idle(r *record, run *Run) []claim {
	if run == nil || run.Engine != workload.Livy || run.Quiet.IsZero() || run.IdleHad.IsZero() {
		return nil
	}
	since, known := run.Quiet, run.IdleHad
	if run.Plan.Silent {
		if since = r.now.Activity.Since; since.IsZero() {
			return nil
		}
	}
	return w.byClock(since.Add(r.now.Policy.LivyIdle), later(known, r.now.RecordedAt), "idle")
}

// byClock is a claim that the clock brings.
func (w *World) byClock(at, known time.Time, why string) []claim {
	now := w.Clock.Now()
	if at.IsZero() || at.After(now) {
		return nil
	}
	// In its last two minutes a sweep may not have come yet.
	return []claim{{must: now.Sub(at) > 2*time.Minute, since: at, known: later(known, at), why: why}}
}
