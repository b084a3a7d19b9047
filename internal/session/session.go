// Package session is the core of Nightshift: it decides whether a run may
// outlive its user's sign-out, until when, and what ends it. Everything here is
// pure: same arguments, same answer; no clock, no I/O. It must not know AWS
// APIs, storage or transport.
package session

import (
	"slices"
	"time"

	"nightshift/internal/workload"
)

// Tri is a fact in Kleene's logic; the zero value is unknown (S1.10).
type Tri uint8

// The three values. Unknown is not Off.
const (
	Unknown Tri = iota
	Off
	On
)

func (t Tri) String() string {
	switch t {
	case On:
		return "on"
	case Off:
		return "off"
	}
	return "unknown"
}

// Mode says what ends a session besides its own end (S1.11).
type Mode string

// The modes.
const (
	Background  Mode = "background"
	Interactive Mode = "interactive"
	Role        Mode = "role"
	ModeUnknown Mode = "unknown"
)

// Status says how far a session is. ENDING means we asked, ENDED means we saw.
type Status string

// The statuses.
const (
	Active Status = "ACTIVE"
	Ending Status = "ENDING"
	Ended  Status = "ENDED"
)

// Source names the limit that sets a deadline (S1.9, S1.12).
type Source string

// The deadline sources.
const (
	SourceNone        Source = "none"
	SourceBackground  Source = "background-duration"
	SourceInteractive Source = "interactive-session"
	SourceMaxRuntime  Source = "max-runtime"
	SourceEngine      Source = "engine-limit"
	SourceTenant      Source = "tenant-limit"
)

// Cause is why a session ends (S2).
type Cause string

// The causes.
const (
	CauseSignOut            Cause = "sign-out"
	CauseInteractiveExpired Cause = "interactive-expired"
	CauseInteractiveRevoked Cause = "interactive-revoked"
	CauseNotebookClosed     Cause = "notebook-closed"
	CauseBackgroundExpired  Cause = "background-expired"
	CauseBackgroundRevoked  Cause = "background-revoked"
	CauseUserDisabled       Cause = "user-disabled"
	CauseUserDeleted        Cause = "user-deleted"
	CauseAccessRemoved      Cause = "access-removed"
	CauseStopRequested      Cause = "stop-requested"
	CauseWaiterAborted      Cause = "waiter-aborted"
	CauseIdle               Cause = "idle"
	CauseKernelStopped      Cause = "kernel-stopped"
	CauseMaxRuntime         Cause = "max-runtime"
	CauseEngineLimit        Cause = "engine-limit"
	CauseTenantLimit        Cause = "tenant-limit"
	CauseClusterTerminated  Cause = "cluster-terminated"
	CauseFinished           Cause = "finished"
	CauseFailed             Cause = "failed"
	CauseStoppedElsewhere   Cause = "stopped-elsewhere"
	CauseLost               Cause = "lost"
	CauseZombie             Cause = "zombie" // alive after its session ENDED (S2.3); never a cause in `decide`
)

// InteractiveSession names a user's interactive session. Source says whose
// name it is: ids of different sources cannot be compared (S2.10).
type InteractiveSession struct {
	ID        string
	Source    string
	ExpiresAt time.Time // zero is unknown
}

// Known says whether anything at all is known of it.
func (i InteractiveSession) Known() bool { return i != InteractiveSession{} }

// sameSource says whether both name a session in the same source's words.
func (i InteractiveSession) sameSource(o InteractiveSession) bool {
	return i.Source != "" && i.Source == o.Source && i.ID != "" && o.ID != ""
}

// Reach says that facts dated before a session's opening reach it: the work that it
// ties was at work before, in the session that a move ended (S5.1). The zero value:
// they do not (S2.10).
type Reach struct {
	From time.Time // the opening of the first session that the work was tied to
	Told time.Time // what became known before this, the session before decided on
}

// Facts are what a session's mode was decided from; frozen at opening (S1.6).
// For engines other than Livy the facts of an EMR cluster are not read.
type Facts struct {
	IdentityPropagation   Tri    // trusted identity propagation, of the domain or cluster
	Instance              Tri    // our own setting: Identity Center gives no API for it
	ApplicationBackground Tri    // GetApplicationSessionConfiguration
	ClusterBackground     Tri    // EnableUserBackgroundSession; unset is off
	ReleaseLabel          string // "emr-7.12.0"; "" is unknown
	BootstrapConfirmed    Tri    // the bootstrap action exactly 7.11 needs
	UnifiedStudioCluster  Tri    // the cluster was provisioned by SageMaker Unified Studio
	UnifiedStudioLaunch   Tri    // the workload was launched through it
}

// Limit is a moment and what sets it; the zero value is no limit.
type Limit struct {
	At     time.Time
	Source Source
}

// Activity is the newest word on whether a Livy session is idle.
type Activity struct {
	At    time.Time // when it was so; zero: nothing known
	Busy  bool
	Since time.Time // idle since; zero while busy
}

// Missed is a run that is missing from the complete lists of a server that may have been
// restarted and have forgotten it.
type Missed struct {
	Since time.Time // the first such list; zero: it is not missing
	Known time.Time // when it was there, at the latest
}

// End is the story of an ending (S2.7). Times are zero until they happen.
type End struct {
	Cause     Cause
	Evidence  string    // event id, or the check that found it
	By        string    // who caused it; "" is unknown, "nightshift" a clock or a check
	Happened  time.Time // the cause's own time
	Known     time.Time // when Nightshift first knew of the cause
	Decided   time.Time
	Asked     time.Time // the engine accepted a stop request
	AskedLast time.Time // it accepted the newest one
	Confirmed time.Time // seen over
	Refused   time.Time // it first refused a stop request; zero: it never did
	Stuck     string    // what keeps the run from stopping, by name; "" where nothing does
}

// Session ties one run to one user, a mode and a deadline. It is a value: the
// rules return a new one and never change the old.
type Session struct {
	ID       string
	Version  int64 // 1 at opening, one more with each commit
	User     string
	Run      workload.Run
	Status   Status
	Mode     Mode
	Origin   Origin
	Previous string // the session this one follows: a zombie's, or a restart's

	OpenedAt   time.Time // for adopted runs the run's creation; sign-outs are compared with it (S2.10)
	RecordedAt time.Time // when the record was made

	// Frozen at opening (S1.6).
	Policy      Policy
	Facts       Facts
	Interactive InteractiveSession
	Reach       Reach
	Why         []string // reasons for mode and deadline, for people

	Own            Limit     // the limit of the session's mode: background or interactive
	Deadline       time.Time // earliest of all limits; zero: none
	DeadlineSource Source
	Extended       time.Time // until when an extension moved the limits that are ours; zero: never (S8.2)
	RunningSince   time.Time // earliest sighting of RUNNING or IDLE
	Activity       Activity

	UserStatusAt    time.Time // newest enabled/disabled fact seen
	UserEnabledAt   time.Time // newest enabled fact seen
	InteractiveGone bool      // the interactive session it was opened under is known to be over
	TokenAt         time.Time // newest background token seen

	StartAskedAt time.Time // start-run is about to call, or has called, the engine: the newest try
	Missed       Missed
	Waiter       string // task token of the run execution that waits; the newest wins
	End          End
	PagedAt      time.Time
	Noticed      time.Duration // the shortest notice already given before the deadline, or too late to be given
	Head         string        // hash of the newest history entry
	Recent       []string      // ids of the newest events applied, oldest first, at most RecentMax

	Progress   workload.Progress // newest that was written down; small steps are not
	LeftAt     time.Time         // newest sign-out of the user, or end of the interactive session, that it outlived
	LateAt     time.Time         // when the user was told that it will probably not finish; zero: not told
	CostToldAt time.Time         // when it was told that it is forgotten and dear (S4.6); zero: not told
}

// RecentMax bounds Session.Recent. A duplicate that arrives more than this many
// events later is judged by the rules again, which at worst repeats an alert.
const RecentMax = 32

// Origin says how Nightshift came to know a run.
type Origin string

// The origins.
const (
	Started Origin = "started" // by start-run
	Adopted Origin = "adopted" // by an event or a truth check
	Zombie  Origin = "zombie"  // found alive after its session ended
)

// Seen says whether the event was applied before, as far back as Recent goes.
func (s Session) Seen(eventID string) bool {
	if eventID == "" {
		return false
	}
	for _, id := range s.Recent {
		if id == eventID {
			return true
		}
	}
	return false
}

// same says whether both are alike in every field, each of which stands here (a test
// holds that): reflection would be half of what a decision takes.
func (s *Session) same(o *Session) bool {
	return s.ID == o.ID && s.Version == o.Version && s.User == o.User && s.Run == o.Run && s.Status == o.Status && s.Mode == o.Mode &&
		s.Origin == o.Origin && s.Previous == o.Previous && s.OpenedAt == o.OpenedAt && s.RecordedAt == o.RecordedAt &&
		s.Policy == o.Policy && s.Facts == o.Facts && s.Interactive == o.Interactive && s.Reach == o.Reach && slices.Equal(s.Why, o.Why) &&
		s.Own == o.Own && s.Deadline == o.Deadline && s.DeadlineSource == o.DeadlineSource && s.Extended == o.Extended &&
		s.RunningSince == o.RunningSince && s.Activity == o.Activity &&
		s.UserStatusAt == o.UserStatusAt && s.UserEnabledAt == o.UserEnabledAt && s.InteractiveGone == o.InteractiveGone && s.TokenAt == o.TokenAt &&
		s.StartAskedAt == o.StartAskedAt && s.Missed == o.Missed && s.Waiter == o.Waiter && s.End == o.End && s.PagedAt == o.PagedAt && s.Noticed == o.Noticed &&
		s.Head == o.Head && slices.Equal(s.Recent, o.Recent) &&
		s.Progress == o.Progress && s.LeftAt == o.LeftAt && s.LateAt == o.LateAt && s.CostToldAt == o.CostToldAt
}
