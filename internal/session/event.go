package session

import (
	"strconv"
	"time"

	"nightshift/internal/workload"
)

// Kind is the kind of an event.
type Kind string

// Events, in the past tense. The first block is what `nightshift decide` takes;
// the second is what our own steps report.
const (
	SignOut                Kind = "sign-out"
	RevokeInteractive      Kind = "revoke-interactive"
	RevokeBackground       Kind = "revoke-background"
	NotebookClosed         Kind = "notebook-closed"
	UserDisabled           Kind = "user-disabled"
	UserEnabled            Kind = "user-enabled"
	UserDeleted            Kind = "user-deleted"
	AccessRemoved          Kind = "access-removed" // re-checked: no other assignment gives the access
	StopRequested          Kind = "stop-requested"
	WaiterAborted          Kind = "waiter-aborted"
	PolicyChanged          Kind = "policy-changed"
	IdentityPropagationOff Kind = "identity-propagation-off"
	BackgroundTokenIssued  Kind = "background-token-issued"
	IdleSince              Kind = "idle-since"
	KernelStopped          Kind = "kernel-stopped"
	ClusterTerminated      Kind = "cluster-terminated"
	Tick                   Kind = "tick"
	RunObserved            Kind = "run-observed"
	InteractiveExpired     Kind = "interactive-expired"

	WaiterRegistered Kind = "waiter-registered" // an execution waits for the end, and start-run is about to call the engine where there is no run; carries Token
	StartAsked       Kind = "start-asked"       // start-run is about to call the engine
	RunStarted       Kind = "run-started"       // the start was seen; carries Run.ID
	RunMissed        Kind = "run-missed"        // a complete list lacks the run, and its server may have been restarted and have forgotten it; carries Since, when it was there at the latest
	StartDisproved   Kind = "start-disproved"   // the engine refused, or a complete list past the minimum age lacks it
	StopAccepted     Kind = "stop-accepted"     // the engine took our stop request
	StopRefused      Kind = "stop-refused"      // the engine refused our stop request; Detail says why
	StopStuck        Kind = "stop-stuck"        // something keeps the run from stopping; Detail names it
	ProgressSeen     Kind = "progress-seen"     // the engine said how far the work is
	CostSeen         Kind = "cost-seen"         // a forgotten session has cost more than the setting
	Extended         Kind = "extended"          // somebody asked for a later end; carries Until (S8.2)
	UserLocked       Kind = "user-locked"       // new starts of the user are refused (S8.6)
	UserUnlocked     Kind = "user-unlocked"
)

// Kinds lists every kind; the rule table has a row for each.
func Kinds() []Kind {
	return []Kind{SignOut, RevokeInteractive, RevokeBackground, NotebookClosed, UserDisabled, UserEnabled, UserDeleted,
		AccessRemoved, StopRequested, WaiterAborted, PolicyChanged, IdentityPropagationOff, BackgroundTokenIssued, IdleSince,
		KernelStopped, ClusterTerminated, Tick, RunObserved, InteractiveExpired,
		WaiterRegistered, StartAsked, RunStarted, RunMissed, StartDisproved, StopAccepted, StopRefused, StopStuck, ProgressSeen, CostSeen,
		Extended, UserLocked, UserUnlocked}
}

// AboutUser says whether the event is a fact about a user: written once on the
// user, then carried to each of the user's sessions.
func (k Kind) AboutUser() bool {
	switch k {
	case SignOut, RevokeInteractive, RevokeBackground, UserDisabled, UserEnabled, UserDeleted, AccessRemoved, InteractiveExpired, NotebookClosed:
		return true
	}
	return false
}

// Event is something that happened. Which fields count depends on the kind;
// inbound refuses an event that lacks one its kind needs.
type Event struct {
	ID          string // the sender's id of it; duplicates share it. "" for ticks
	Kind        Kind
	At          time.Time // when it was so: the event's own time
	Known       time.Time // when Nightshift first knew; zero: now
	User        string    // the affected user, never the acting one
	By          string    // who caused it
	Evidence    string    // where it can be looked up, when that is not ID
	Interactive InteractiveSession
	Run         workload.Ref // the run it names; zero: none
	Domain      string       // identity-propagation-off
	Since       time.Time    // idle-since, run-missed
	Busy        bool         // idle-since
	State       workload.State
	Detail      string        // the engine's own words
	Token       string        // waiter-registered
	MaxRuntime  time.Duration // run-observed of an adopted run: read from the engine; 0: not given
	// Cluster is the EMR cluster that executes the run (run-started, run-observed);
	// "" is unknown. Left out of JSON then, so that entries written before there
	// was such a field keep their hash.
	Cluster string `json:",omitzero"`
	// Name is the run's own name (run-started, run-observed); "" is unknown, and
	// left out of JSON as Cluster is.
	Name string `json:",omitzero"`
	// Billing is what the run is billed by (run-started, run-observed), Progress
	// how far it is (progress-seen), Cost what it has cost so far in US dollars
	// (cost-seen). Left out of JSON where unknown, as Cluster is.
	Billing  workload.Billing  `json:",omitzero"`
	Progress workload.Progress `json:",omitzero"`
	Cost     float64           `json:",omitzero"`
	// Held is why the clock ends nothing although the session is due: its record may
	// be older than what was decided (decisions/0013). "" where nothing holds it.
	Held  string    `json:",omitzero"`
	Until time.Time `json:",omitzero"` // extended: the new end; user-locked: the lock's
}

// EffectKind is something to be done, in the imperative.
type EffectKind string

// The effects. The first four are those of `nightshift decide`.
const (
	Stop          EffectKind = "stop"
	Notify        EffectKind = "notify" // tell the user why it ends
	Alert         EffectKind = "alert"  // tell an administrator what is unclear
	ReleaseWaiter EffectKind = "release-waiter"
	Watch         EffectKind = "watch"    // see that the endpoint is watched
	Announce      EffectKind = "announce" // say on our bus what the session has become
	Notice        EffectKind = "notice"   // tell the user that the end is near (S4.6)
	Page          EffectKind = "page"     // a stop is not confirmed after PageAfter (S2.6)
)

// Effect is work to do because of a decision, stored with it. Its identity is
// its session, the version that caused it and its kind.
type Effect struct {
	Kind   EffectKind
	Reason string        // for an alert its name, for an announcement its kind
	Text   string        // what a person is told
	Before time.Duration // notice: how long before the end
}

// Wanted says whether the effect still makes sense for what the session has
// become; a late or repeated effect that does not is dropped.
func (e Effect) Wanted(s Session) bool {
	switch e.Kind {
	case Stop, Page:
		return s.Status == Ending
	case ReleaseWaiter:
		return s.Status == Ended
	case Watch:
		return s.Status != Ended
	case Notice:
		return s.Status == Active
	}
	return true // Notify, Alert, Announce: said once, true when decided
}

// Decision is the answer of a rule.
type Decision struct {
	Next    Session
	Effects []Effect
	Ignored string // why nothing happened; "" when something did
	Changed bool   // Next differs from what was asked about, or there are effects: it must be committed
}

// EffectID names one effect for the far end, so that repeating it is harmless.
func EffectID(sessionID string, version int64, kind EffectKind) string {
	return sessionID + "-" + strconv.FormatInt(version, 10) + "-" + string(kind)
}
