package app

import (
	"time"

	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Message is what an inbound event means to us. inbound makes it from bytes;
// App.Handle acts on it. The set is closed.
type Message interface{ message() }

// Fact is an event about a user or about one named run.
type Fact struct {
	Event session.Event
	Store string // of the user, as in Birth; "" for most facts
}

// UserCheck asks to look at a user's status: an event said that it changed but
// not to what (SCIM hides the new value of "active").
type UserCheck struct {
	EventID string
	User    string
	At      time.Time
}

// AccessCheck asks whether a user, or each member of a group, still has access:
// one assignment or membership was removed, others may remain.
type AccessCheck struct {
	EventID     string
	User        string // "" where only a group is known
	Group       string
	Application string // ARN; "" where the event does not say
	At          time.Time
	By          string
}

// Birth is a run that somebody started, seen in an API event.
type Birth struct {
	EventID string
	User    string // onBehalfOf; "" where the call carried no user
	Store   string // id of the identity store that AWS itself says the user is of, d-…; "" where the call does not say
	Run     workload.Run
	Stamp   string // our session id, where the request carried one
	At      time.Time
	By      string
}

// RunChange is a state change that an engine announced. It is a hint that comes
// early: the next listing is the authority.
type RunChange struct {
	EventID     string
	Observation workload.Observation
	Part        workload.Ref // the job that a step of the pipeline runs; zero where the event names none
}

// ClusterChange is a state change of an EMR cluster.
type ClusterChange struct {
	EventID    string
	Cluster    string
	Terminated bool
	At         time.Time
	Reason     string
}

// ExecutionChange is the end of an execution of our run machine that was not a
// success.
type ExecutionChange struct {
	EventID   string
	Execution string // ARN
	Status    string // ABORTED, TIMED_OUT or FAILED
	At        time.Time
	WithRun   bool // it failed, as an execution does that waits for its run itself: with the run, perhaps
}

// Unrecognised is an event of an identity source whose name we do not know.
type Unrecognised struct {
	Kind string // "<eventSource>/<eventName>"
	Body []byte
	At   time.Time
}

// Several is what one event means that says more than one thing. Each is handled
// even if another fails.
type Several []Message

// Ignored is an event that is not for us, with the reason.
type Ignored struct{ Reason string }

func (Fact) message()            {}
func (UserCheck) message()       {}
func (AccessCheck) message()     {}
func (Birth) message()           {}
func (RunChange) message()       {}
func (ClusterChange) message()   {}
func (ExecutionChange) message() {}
func (Unrecognised) message()    {}
func (Several) message()         {}
func (Ignored) message()         {}
