package session

import (
	"strings"
	"time"

	"nightshift/internal/workload"
)

// Opened is the kind of a session's first history entry. No rule takes it.
const Opened Kind = "session-opened"

// Snapshot is what a history entry keeps of a session.
type Snapshot struct {
	Status   Status // "" before the opening
	Mode     Mode
	Deadline time.Time
	Source   Source
	Cause    Cause
}

// Telling is one decision in words.
type Telling struct {
	Happened string // what happened
	Decided  string // what was decided because of it
	Rule     string // by which rule, with the sentence of the specification
}

// Tell says in words what a history entry records: the event, what the session
// was before and after it, and why nothing was decided, where nothing was.
func Tell(e Event, before, after Snapshot, note string) Telling {
	return Telling{Happened: Happened(e), Decided: decided(before, after), Rule: ruleOf(e, before, after, note)}
}

// words are an event's kind for people, and the rule it is judged by where that
// does not depend on what the session has become.
var words = map[Kind]struct{ happened, rule string }{
	Opened:                 {"the session was opened", "the mode follows from the facts, the deadline is the earliest limit; both are frozen (S1.6, S1.11, S1.12)"},
	SignOut:                {"the user signed out", ""},
	RevokeInteractive:      {"an administrator revoked the interactive session", ""},
	RevokeBackground:       {"an administrator revoked the background session", ""},
	NotebookClosed:         {"the notebook or Studio was closed", ""},
	UserDisabled:           {"the user was disabled", ""},
	UserEnabled:            {"the user was enabled", "an enabled user outdates an earlier disabled, deleted or access removed (S2.17)"},
	UserDeleted:            {"the user was deleted", ""},
	AccessRemoved:          {"the user's access was removed, and no other assignment gives it", ""},
	StopRequested:          {"a stop was requested through Nightshift", ""},
	WaiterAborted:          {"the execution that waits for the run was aborted, failed or timed out", ""},
	PolicyChanged:          {"the policy was changed", "what was decided at the opening is frozen (S1.6)"},
	IdentityPropagationOff: {"identity propagation was switched off for the domain", "background sessions of the domain are moved only where background is off too (S1.8)"},
	BackgroundTokenIssued:  {"AWS issued a background token for the run", "evidence beats settings: the mode is background, the duration counts from the token (S1.13)"},
	IdleSince:              {"statements said whether the session is busy", "a busy session is not idle, however long its statement runs (S2.2)"},
	KernelStopped:          {"the kernel was stopped or restarted", ""},
	ClusterTerminated:      {"the cluster was terminated", ""},
	Tick:                   {"time passed", "a session that is due ends by the clock (S2.11)"},
	RunObserved:            {"the engine said how the run is", "the run's own limits count from when it is first seen running (S1.9)"},
	InteractiveExpired:     {"the interactive session expired", ""},
	WaiterRegistered:       {"an execution waits for the end, and starts the run where there is none", "the newest waiter is released when the session has ended (S2.12)"},
	StartAsked:             {"the start of the run was asked for", "no run escapes by being born (S2.4)"},
	RunStarted:             {"the run was seen started", "no run escapes by being born (S2.4)"},
	RunMissed:              {"a complete list lacks the run, and its server may have been restarted", "what a restarted server forgot is called stopped once its driver cannot live on (S2.1)"},
	StartDisproved:         {"there is no run and there will be none", "a session whose start is disproved is over (S2.4)"},
	StopAccepted:           {"the engine accepted a stop request", "asked is not stopped: the session ends when the run is seen stopped (S2.1)"},
	StopRefused:            {"the engine refused a stop request", "a stop is asked for until it is seen (S2.6)"},
	StopStuck:              {"something keeps the run from stopping", "what cannot be stopped is told to a person by name (S2.9)"},
	ProgressSeen:           {"the engine said how far the work is", "progress is visible; who will probably not finish in time is told (S4.6)"},
	CostSeen:               {"the session has cost more than the setting", "forgotten sessions are named (S4.6, S8.5)"},
	Extended:               {"a later end was asked for", "an end is moved only where nothing of AWS's caps the run, and within policy (S8.2)"},
	UserLocked:             {"the user was locked", lockIsForStarts},
	UserUnlocked:           {"the user's lock was taken away", lockIsForStarts},
}

// Happened says an event in words.
func Happened(e Event) string {
	w := words[e.Kind].happened
	switch e.Kind {
	case RunObserved:
		w = "the engine said that the run is " + string(e.State)
	case IdleSince:
		w = "the session was seen idle"
		if e.Busy {
			w = "the session was seen busy"
		}
	case Extended, UserLocked:
		w += ", until " + e.Until.UTC().Format(time.RFC3339)
	}
	if w == "" {
		w = string(e.Kind)
	}
	if e.Detail != "" && e.Kind != StopRequested {
		w += ": " + e.Detail
	}
	return w
}

func decided(before, after Snapshot) string {
	var all []string
	switch {
	case before.Status == "" && after.Status == Active:
		all = append(all, "the session is active, mode "+string(after.Mode)+limitText(after))
	case before.Status == "":
		all = append(all, "the session was born "+string(after.Status)+", because "+phrase(after.Cause))
	case before.Status != after.Status && after.Status == Ending:
		all = append(all, "the run is asked to stop, because "+phrase(after.Cause))
	case before.Status != after.Status:
		all = append(all, "the session has ended, because "+phrase(after.Cause))
	}
	if before.Status != "" && before.Mode != after.Mode {
		all = append(all, "the mode is now "+string(after.Mode))
	}
	if before.Status != "" && (!before.Deadline.Equal(after.Deadline) || before.Source != after.Source) {
		all = append(all, "the end is now"+strings.TrimPrefix(limitText(after), "; at the latest it ends"))
	}
	if len(all) == 0 {
		return "nothing changes for the run"
	}
	return strings.Join(all, "; ")
}

func limitText(s Snapshot) string {
	if s.Deadline.IsZero() {
		return "; at the latest it ends never by itself: no limit is known"
	}
	return "; at the latest it ends at " + s.Deadline.UTC().Format(time.RFC3339) + ", by its " + string(s.Source)
}

// ruleOf names the rule that made a decision.
func ruleOf(e Event, before, after Snapshot, note string) string {
	row, caused := rowOf(e.Kind)
	begins := before.Status == Active && after.Status != Active || before.Status == "" && after.Status != Active
	switch {
	case note != "":
		return note
	case begins && after.Status == Ended && caused && after.Cause == row.Cause:
		return "that is the end of every run it concerns: nothing is left to stop (S2)"
	case begins && caused && after.Cause == row.Cause:
		return "that ends sessions of mode " + string(after.Mode) + " (S2)"
	case begins && after.Status == Ending:
		return "a session that is due ends by the clock first (S2.11)"
	case after.Status == Ended && before.Status == Ending:
		return "it is ended when it is seen over, with the cause it was ending for (S2.1)"
	case begins:
		return words[e.Kind].rule + "; a run that is over or gone closes its session (S2)"
	case e.Kind == Tick && after.Status == Ending:
		return "a stop is asked for until it is seen (S2.6)"
	case caused && row.in(after.Mode) == goesAlert, caused && after.Mode == ModeUnknown:
		return "sessions of mode " + string(after.Mode) + " go on, and an administrator is told (S2)"
	case caused:
		return "sessions of mode " + string(after.Mode) + " go on (S2)"
	}
	return words[e.Kind].rule
}

// Ground is one of the facts that a mode is decided from, with its name for
// people.
type Ground struct {
	Name  string
	Value Tri
}

// Grounds are the facts that the session's mode was decided from (S1.6, S1.11).
func (s Session) Grounds() []Ground {
	all := []Ground{{"trusted identity propagation", s.Facts.IdentityPropagation}}
	for _, p := range parts(s.Facts, s.Run, s.Policy) {
		all = append(all, Ground{p.name, p.value})
	}
	return all
}

// Because is a cause as a clause, for people; "" for none.
func Because(c Cause) string {
	if c == "" {
		return ""
	}
	return phrase(c)
}

// LimitText says in words what sets a limit.
func LimitText(s Source, run workload.Run) string {
	switch s {
	case SourceBackground:
		return "the background duration of the policy, from the opening or from AWS's token"
	case SourceInteractive:
		return "the user's interactive session"
	case SourceMaxRuntime:
		return "the run's own MaxRuntimeInSeconds"
	case SourceEngine:
		return "the longest that " + string(run.Engine) + " lets a run be"
	case SourceTenant:
		return "the tenant limit, from the opening"
	case SourceNone:
	}
	return "no limit"
}
