package session

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"nightshift/internal/workload"
)

// and is Kleene's: off if any part is off, else unknown if any is unknown
// (S1.10).
func and(parts ...Tri) Tri {
	answer := On
	for _, p := range parts {
		if p == Off {
			return Off
		}
		if p == Unknown {
			answer = Unknown
		}
	}
	return answer
}

// or is Kleene's: on if any part is on, else unknown if any is unknown.
func or(parts ...Tri) Tri {
	answer := Off
	for _, p := range parts {
		if p == On {
			return On
		}
		if p == Unknown {
			answer = Unknown
		}
	}
	return answer
}

func tri(b bool) Tri {
	if b {
		return On
	}
	return Off
}

// part is one conjunct of "may this run be a background session", with its
// reasons for people.
type part struct {
	value Tri
	name  string
}

// parts lists what must all be on for mode background, by engine (S1.1, S1.3,
// S1.11).
func parts(f Facts, run workload.Run, p Policy) []part {
	all := []part{
		{f.Instance, "user background sessions of the Identity Center instance"},
		{f.ApplicationBackground, "user background sessions of the application"},
	}
	if run.Engine != workload.Livy {
		return all
	}
	all = append(all, part{f.ClusterBackground, "EnableUserBackgroundSession of the cluster's security configuration"})
	all = append(all, release(f)...)
	if p.RequireUnifiedStudioLaunch {
		all = append(all, part{f.UnifiedStudioLaunch, "launch through SageMaker Unified Studio, which the policy requires"})
	}
	spark, session := Unknown, Unknown
	if run.Application != "" {
		spark = tri(run.Application == workload.Spark)
	}
	if run.Kind != "" {
		session = tri(run.Kind == workload.LivySession)
	}
	return append(all,
		part{spark, "the application being Spark"},
		part{session, "the run being an interactive Livy session, neither batch nor streaming"})
}

// release judges the cluster's release (S1.3): below 7.11 never, above always,
// exactly 7.11 with the bootstrap action confirmed or on a cluster that
// SageMaker Unified Studio provisioned.
func release(f Facts) []part {
	major, minor, ok := parseRelease(f.ReleaseLabel)
	label := part{Unknown, fmt.Sprintf("release %q being emr-7.11 or later", f.ReleaseLabel)}
	if !ok {
		return []part{label}
	}
	newer := major > 7 || major == 7 && minor > 11
	exact := major == 7 && minor == 11
	label.value = tri(newer || exact)
	if !exact {
		return []part{label}
	}
	return []part{label, {or(f.BootstrapConfirmed, f.UnifiedStudioCluster),
		"the bootstrap action that release 7.11 needs (or a cluster provisioned by SageMaker Unified Studio)"}}
}

// parseRelease reads "emr-7.11.0", "emr-7.11.x" and "emr-7.11.0-latest"; a
// label of any other form is malformed, which is unknown, not off.
func parseRelease(label string) (major, minor int, ok bool) {
	rest, ok := strings.CutPrefix(label, "emr-")
	if !ok {
		return 0, 0, false
	}
	numbers := strings.Split(strings.TrimSuffix(rest, "-latest"), ".")
	if len(numbers) < 2 || len(numbers) > 3 {
		return 0, 0, false
	}
	if len(numbers) == 3 && numbers[2] != "x" {
		if _, ok := number(numbers[2]); !ok {
			return 0, 0, false
		}
	}
	major, ok1 := number(numbers[0])
	minor, ok2 := number(numbers[1])
	return major, minor, ok1 && ok2
}

func number(s string) (int, bool) {
	for _, r := range s {
		if r < '0' || r > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// background is whether the run qualifies for a background session.
func background(f Facts, run workload.Run, p Policy) Tri {
	values := make([]Tri, 0, 10)
	for _, part := range parts(f, run, p) {
		values = append(values, part.value)
	}
	return and(values...)
}

// possible are the modes that the facts leave open; one where the mode is known
// (S1.11). The fate of a session of unknown mode is derived from them.
func possible(f Facts, run workload.Run, p Policy) []Mode {
	if f.IdentityPropagation == Off {
		return []Mode{Role}
	}
	var modes []Mode
	switch background(f, run, p) {
	case On:
		modes = []Mode{Background}
	case Off:
		modes = []Mode{Interactive}
	case Unknown:
		modes = []Mode{Background, Interactive}
	}
	if f.IdentityPropagation == Unknown {
		modes = append(modes, Role)
	}
	return modes
}

// decideMode gives the mode and the reasons for it.
func decideMode(f Facts, run workload.Run, p Policy) (Mode, []string) {
	if f.IdentityPropagation == Off {
		return Role, []string{"trusted identity propagation is off: the run uses its role's credentials and no sign-out touches it (S1.8)"}
	}
	var off, unknown []string
	for _, part := range parts(f, run, p) {
		switch part.value {
		case Off:
			off = append(off, part.name+" is off")
		case Unknown:
			unknown = append(unknown, part.name+" is unknown")
		case On:
		}
	}
	if f.IdentityPropagation == Unknown {
		return ModeUnknown, append([]string{"trusted identity propagation is unknown: the run is never stopped on a guess (S1.10)"}, append(off, unknown...)...)
	}
	switch {
	case len(off) > 0:
		return Interactive, append([]string{"the run rides the user's interactive session (S1.7)"}, off...)
	case len(unknown) > 0:
		return ModeUnknown, append([]string{"whether the run may outlive a sign-out cannot be told: it is never stopped on a guess (S1.10)"}, unknown...)
	}
	return Background, []string{"every level has background sessions on: the run outlives its user's sign-out (S1.1)"}
}

// ownLimit is the deadline of the mode itself (S1.12).
func ownLimit(mode Mode, openedAt time.Time, i InteractiveSession, p Policy) (Limit, string) {
	switch mode {
	case Background:
		return Limit{openedAt.Add(p.BackgroundDuration), SourceBackground},
			"background duration " + p.BackgroundDuration.String() + " from the opening"
	case Interactive:
		if !i.ExpiresAt.IsZero() {
			return Limit{i.ExpiresAt, SourceInteractive}, "expiry of the interactive session"
		}
		return Limit{openedAt.Add(p.InteractiveDuration), SourceInteractive},
			"interactive duration " + p.InteractiveDuration.String() + " from the opening; the session's own expiry is unknown"
	case Role, ModeUnknown:
	}
	return Limit{Source: SourceNone}, "no limit of the mode itself"
}

// withDeadline sets the earliest of all limits; ties go to the first in this
// order (S1.12).
func (s Session) withDeadline(now time.Time) Session {
	first := Limit{Source: SourceNone}
	for _, l := range s.Limits() {
		if first.At.IsZero() || l.At.Before(first.At) {
			first = l
		}
	}
	if first.At.Equal(s.Deadline) && first.Source == s.DeadlineSource {
		return s
	}
	s.Deadline, s.DeadlineSource = first.At, first.Source
	// Notices that would have been due before now are not given late.
	s.Noticed = 0
	for _, n := range Notices() {
		if !s.Deadline.IsZero() && s.Deadline.Sub(now) <= n {
			s.Noticed = n
		}
	}
	return s
}
