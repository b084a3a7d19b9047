package session

import "cmp"

// WhereDuration says where an administrator changes the duration (S2.8).
const WhereDuration = "An administrator changes the duration in the IAM Identity Center console: Settings, Authentication, Session duration (https://console.aws.amazon.com/singlesignon)."

// phrase is a cause as a clause.
func phrase(c Cause) string {
	switch c {
	case CauseSignOut:
		return "the user signed out"
	case CauseInteractiveExpired:
		return "the interactive session expired"
	case CauseInteractiveRevoked:
		return "an administrator revoked the interactive session"
	case CauseNotebookClosed:
		return "the notebook or Studio was closed"
	case CauseBackgroundExpired:
		return "the background session expired"
	case CauseBackgroundRevoked:
		return "an administrator revoked the background session"
	case CauseUserDisabled:
		return "the user was disabled"
	case CauseUserDeleted:
		return "the user was deleted"
	case CauseAccessRemoved:
		return "the user's access was removed"
	case CauseStopRequested:
		return "a stop was requested"
	case CauseWaiterAborted:
		return "the execution that waited for it was aborted or timed out"
	case CauseIdle:
		return "it was idle for longer than allowed"
	case CauseKernelStopped:
		return "the kernel was stopped or restarted"
	case CauseMaxRuntime:
		return "it reached its own MaxRuntimeInSeconds"
	case CauseEngineLimit:
		return "it reached the longest runtime the engine allows"
	case CauseTenantLimit:
		return "it reached the tenant limit"
	case CauseClusterTerminated:
		return "its cluster was terminated"
	case CauseFinished:
		return "it finished"
	case CauseFailed:
		return "it failed"
	case CauseStoppedElsewhere:
		return "somebody stopped it outside Nightshift"
	case CauseLost:
		return "it is gone and nobody said why"
	case CauseZombie:
		return "it was still alive after its session had ended"
	}
	return "of an unknown cause"
}

// Explain tells a user why the session ends, and where the limit that ended it is
// changed, or else what can be done (S2.8, S4.6).
func Explain(s Session) string {
	if s.Run.ID == "" && s.End.Cause == CauseFailed {
		return "Your run (" + string(s.Run.Engine) + ") was not started: " + s.End.Evidence + "."
	}
	when := ""
	if !s.End.Happened.IsZero() {
		when = " (" + Moment(s.End.Happened) + ")"
	}
	return named(s) + " ends because " + phrase(s.End.Cause) + when + ". " + cmp.Or(where(s.End.Cause), advice(s))
}
