package session

import "nightshift/internal/workload"

// fate is what a cause does to a session of one mode.
type fate uint8

const (
	cannot      fate = iota // it cannot happen to such a session; nothing changes
	goesOn                  // it is not touched
	goesAlert               // it is not touched, and an administrator is told
	ends                    // it is asked to stop
	closes                  // it is over: ENDED at once, nothing to stop
	closesAlert             // it is over, and an administrator is told
)

func (f fate) String() string {
	return [...]string{"–", "goes on", "goes on, alert", "end", "close", "close, alert"}[f]
}

// Row is one line of the table of causes (S2).
type Row struct {
	Kind        Kind
	Cause       Cause
	Interactive fate
	Background  fate
	Role        fate
}

// causes is the table of what ends a session. The column for unknown mode is
// derived from it (S2); time's own causes (deadline, idle) end every mode and
// stand in clock.
var causes = []Row{
	{SignOut, CauseSignOut, ends, goesOn, goesOn},
	{InteractiveExpired, CauseInteractiveExpired, ends, goesOn, goesOn},
	{RevokeInteractive, CauseInteractiveRevoked, ends, goesOn, goesOn},
	{NotebookClosed, CauseNotebookClosed, ends, goesOn, goesOn},
	{RevokeBackground, CauseBackgroundRevoked, cannot, ends, cannot},
	{UserDisabled, CauseUserDisabled, ends, ends, goesAlert},
	{UserDeleted, CauseUserDeleted, ends, ends, goesAlert},
	{AccessRemoved, CauseAccessRemoved, ends, ends, goesAlert},
	{StopRequested, CauseStopRequested, ends, ends, ends},
	{WaiterAborted, CauseWaiterAborted, ends, ends, ends},
	{KernelStopped, CauseKernelStopped, ends, ends, ends},
	{ClusterTerminated, CauseClusterTerminated, closes, closes, closes},
}

func rowOf(k Kind) (Row, bool) {
	for _, r := range causes {
		if r.Kind == k {
			return r, true
		}
	}
	return Row{}, false
}

func (r Row) in(m Mode) fate {
	switch m {
	case Interactive:
		return r.Interactive
	case Background:
		return r.Background
	case Role:
		return r.Role
	case ModeUnknown:
	}
	return cannot
}

// fate is what the cause does to the session. For an unknown mode it ends the
// session only where it would end every mode still possible; else the session
// goes on with an alert (S2, S2.12).
func (r Row) fate(s Session) fate {
	if s.Mode != ModeUnknown {
		return r.in(s.Mode)
	}
	first := cannot
	for i, m := range possible(s.Facts, s.Run, s.Policy) {
		f := r.in(m)
		if f != ends && f != closes {
			return goesAlert
		}
		if i == 0 {
			first = f
		} else if f != first {
			return goesAlert
		}
	}
	return first
}

// clocked are the causes that no event brings: limits that pass, and runs that
// are seen over. They stand in clock and observed; here they are for people.
var clocked = []Row{
	{"", CauseBackgroundExpired, cannot, ends, cannot},
	{"", CauseIdle, ends, ends, ends},
	{"", CauseMaxRuntime, ends, ends, ends},
	{"", CauseEngineLimit, ends, ends, ends},
	{"", CauseTenantLimit, ends, ends, ends},
	{"", CauseFinished, closes, closes, closes},
	{"", CauseFailed, closes, closes, closes},
	{"", CauseStoppedElsewhere, closes, closes, closes},
	{"", CauseLost, closesAlert, closesAlert, closesAlert},
}

// Causes is the table as text, for the README: cause, then interactive,
// background, role.
func Causes() [][]string {
	var rows [][]string
	for _, r := range append(append([]Row(nil), causes...), clocked...) {
		rows = append(rows, []string{string(r.Cause), r.Interactive.String(), r.Background.String(), r.Role.String()})
	}
	return rows
}

// rule applies an event to a session in one status.
type rule func(*step)

// rules is total: each status has a rule for each kind (a test counts them).
// "Nothing happens" is a rule with a reason.
var rules = map[Status]map[Kind]rule{
	Active: {
		SignOut:                (*step).userCause,
		RevokeInteractive:      (*step).userCause,
		RevokeBackground:       (*step).backgroundRevoked,
		InteractiveExpired:     (*step).interactiveExpired,
		NotebookClosed:         (*step).laterCause,
		UserDisabled:           (*step).userGone,
		UserDeleted:            (*step).userGone,
		AccessRemoved:          (*step).userGone,
		UserEnabled:            (*step).userEnabled,
		StopRequested:          (*step).laterCause,
		WaiterAborted:          (*step).laterCause,
		KernelStopped:          (*step).kernelStopped,
		ClusterTerminated:      (*step).clusterTerminated,
		PolicyChanged:          ignore("what was decided at the opening is frozen; a changed policy holds for new sessions (S1.6)"),
		IdentityPropagationOff: (*step).identityPropagationOff,
		BackgroundTokenIssued:  (*step).tokenIssued,
		IdleSince:              (*step).idleSince,
		RunObserved:            (*step).observed,
		Tick:                   (*step).tick,
		WaiterRegistered:       (*step).waiterRegistered,
		StartAsked:             (*step).startAsked,
		RunStarted:             (*step).runStarted,
		RunMissed:              (*step).runMissed,
		StartDisproved:         (*step).startDisproved,
		StopAccepted:           ignore("nothing was asked to stop"),
		StopRefused:            ignore("nothing was asked to stop"),
		StopStuck:              ignore("nothing was asked to stop"),
		ProgressSeen:           (*step).progressSeen,
		CostSeen:               (*step).costSeen,
		Extended:               (*step).extended,
		UserLocked:             ignore(lockIsForStarts),
		UserUnlocked:           ignore(lockIsForStarts),
	},
	Ending: {
		SignOut:                alreadyEnding,
		RevokeInteractive:      alreadyEnding,
		RevokeBackground:       alreadyEnding,
		InteractiveExpired:     alreadyEnding,
		NotebookClosed:         alreadyEnding,
		UserDisabled:           alreadyEnding,
		UserDeleted:            alreadyEnding,
		AccessRemoved:          alreadyEnding,
		UserEnabled:            alreadyEnding,
		StopRequested:          alreadyEnding,
		WaiterAborted:          alreadyEnding,
		KernelStopped:          alreadyEnding,
		ClusterTerminated:      (*step).clusterTerminated,
		PolicyChanged:          alreadyEnding,
		IdentityPropagationOff: alreadyEnding,
		BackgroundTokenIssued:  alreadyEnding,
		IdleSince:              alreadyEnding,
		RunObserved:            (*step).observed,
		Tick:                   (*step).askAgain,
		WaiterRegistered:       (*step).waiterRegistered,
		StartAsked:             alreadyEnding,
		RunStarted:             (*step).runStarted,
		RunMissed:              (*step).runMissed,
		StartDisproved:         (*step).startDisproved,
		StopAccepted:           (*step).stopAccepted,
		StopRefused:            (*step).stopRefused,
		StopStuck:              (*step).stopStuck,
		ProgressSeen:           alreadyEnding,
		CostSeen:               alreadyEnding,
		Extended:               alreadyEnding,
		UserLocked:             alreadyEnding,
		UserUnlocked:           alreadyEnding,
	},
	Ended: everyKind(ignore("the session has ended; nothing changes it any more (S2.3)")),
}

func ignore(reason string) rule { return func(st *step) { st.ignored = reason } }

func alreadyEnding(st *step) {
	st.ignored = "the session is already ending, cause " + string(st.s.End.Cause) + "; the first cause stays (S2.12)"
}

func everyKind(r rule) map[Kind]rule {
	all := map[Kind]rule{}
	for _, k := range Kinds() {
		all[k] = r
	}
	return all
}

// livySession says whether idle and kernel events concern the run (S2.14).
func livySession(r workload.Run) bool {
	return r.Engine == workload.Livy && r.Kind == workload.LivySession
}
