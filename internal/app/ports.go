// Package app holds Nightshift's use cases: what happens when an event, a step
// of a state machine or the schedule calls. It knows the core and the ports
// below; it must not know AWS, HTTP or storage.
package app

import (
	"context"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/proof"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Entry is one line of a session's history: the decision that made the version.
// Entries are written once, with the state, and never changed; only Done is
// set when the effects have been carried out.
type Entry struct {
	SessionID string
	Version   int64 // equals the session's version after it; the first is 1
	At        time.Time
	Event     session.Event
	From      session.Status // "" for the first
	To        session.Status
	Mode      session.Mode
	Deadline  time.Time
	Source    session.Source
	Cause     session.Cause
	Note      string // why the event changed neither status, mode nor deadline; "" otherwise
	Effects   []session.Effect
	Previous  string // hash of the entry before; proof.Genesis for the first
	Hash      string // of this entry, Hash and Done left out
	Done      bool   // every effect has been carried out, or was no longer wanted
	// End is the story of the ending as it then was (S2.7), where the entry changed
	// the status to ENDING or ENDED: so the chain vouches for it. Left out of JSON
	// else.
	End session.End `json:",omitzero"`
}

// Changes says whether the entry changed the session's status: these are what
// anchors name.
func (e Entry) Changes() bool { return e.From != e.To }

// Page is one page of an index read. Which sessions are on it may be stale; what it
// says of each was read strongly, after the index, as Sessions reads. It is old by
// the time it is used: change a session only on what Session returns.
type Page struct {
	Sessions []session.Session
	Next     string // "" at the end
}

// Opening is the one write that makes a session exist.
type Opening struct {
	Session     session.Session // Version 1
	Entry       Entry
	UserVersion int64 // the UserFacts.Version decided on; the write fails if the user's facts have changed since
}

// Commit is the one write that changes a session.
type Commit struct {
	Next  session.Session // Next.Version is the version decided on plus one
	Entry Entry
	Claim bool // Next.Run.ID became known with this commit: claim the run in the same transaction
}

// Lease is what a singleton execution (watch, drain) of an endpoint holds.
type Lease struct {
	Generation int64     // of the newest execution; names it
	Until      time.Time // it is presumed dead after this; zero: released
	// EmptySince is since when it has found nothing to do, and EmptyWake the
	// endpoint's Wake then; it is released only when both have stayed so for
	// longer than an index lags.
	EmptySince time.Time
	EmptyWake  int64
}

// Endpoint is the record of one endpoint: who watches and drains it.
type Endpoint struct {
	ID         string
	Engine     string // the api part of the id: "livy", "emr-containers", "sagemaker", …
	Version    int64  // 0: never written
	Watch      Lease
	Drain      Lease
	Wake       int64          // bumped when work for watch or drain appears
	LastListed time.Time      // when it was last listed completely
	Stops      cadence.Bucket // of stop requests; the one drain is the shared rate limiter
}

// Parked is an event that could not be used (S3.6).
type Parked struct {
	ID     string // of the event, or the hash of its bytes
	Source string // which handler parked it
	Reason string
	Body   string // as it came, at most 256 KiB of it
	At     time.Time
}

// Sampled is a kind of event that is not recognised (S3.1).
type Sampled struct {
	Kind  string // the service and the event's name
	Count int64  // how many came
	Body  string // of the first, at most 256 KiB of it
}

// Store remembers. Every method answers errors with a fault kind. Reads of one
// thing by its id are strongly consistent; list reads are not, unless said.
type Store interface {
	Places

	// Open writes state, first history entry, the run's claim (when Run.ID is
	// known; it may be this session's already) and the condition on the user's
	// facts as one. It fails with *OpenConflict.
	Open(ctx context.Context, o Opening) error
	// Session reads one session; NotFound where there is none.
	Session(ctx context.Context, id string) (session.Session, error)
	// Sessions reads many, strongly, in any number; unknown ids are left out.
	Sessions(ctx context.Context, ids []string) ([]session.Session, error)
	// Commit writes state (if its stored version is Next.Version-1) and history
	// entry as one, with the run's claim where asked.
	// Conflict where the version was not the one decided on, or another session
	// claimed the run first. Invalid where a frozen field differs from the
	// stored one (ID, User, Origin, OpenedAt, RecordedAt, Policy, Facts,
	// Interactive, Reach): that is a defect of ours, not a race.
	Commit(ctx context.Context, c Commit) error
	// History reads a session's entries after a version, oldest first, strongly.
	// more says whether there are further ones.
	History(ctx context.Context, id string, after int64, limit int) (entries []Entry, more bool, err error)
	// Claimed is the session that owns the run; NotFound where none does.
	Claimed(ctx context.Context, run workload.Ref) (sessionID string, err error)
	// Reclaim moves a run's claim from an ended session to its zombie's; Conflict
	// where from does not own it.
	Reclaim(ctx context.Context, run workload.Ref, from, to string) error

	// OfUser lists the user's sessions that have not ENDED.
	OfUser(ctx context.Context, user, cursor string) (Page, error)
	// OfEndpoint lists the endpoint's sessions that have not ENDED.
	OfEndpoint(ctx context.Context, endpoint, cursor string) (Page, error)
	// Due lists sessions whose WakeAt is at or before now, earliest first within
	// a page.
	Due(ctx context.Context, now time.Time, cursor string) (Page, error)
	// List lists all sessions, newest record first, ended ones too.
	List(ctx context.Context, cursor string) (Page, error)

	// Unfinished lists entries older than before whose effects are not Done.
	Unfinished(ctx context.Context, before time.Time, cursor string) (entries []Entry, next string, err error)
	// Changes lists entries that changed a session's status and are dated from
	// from on and before until, in no order. While a session moves from one list to
	// another its entries may be given twice.
	Changes(ctx context.Context, from, until time.Time, cursor string) (entries []Entry, next string, err error)
	// PutAnchor writes an anchor where there is none of its number yet; Conflict
	// where there is another. The same again is success.
	PutAnchor(ctx context.Context, a proof.Anchor) error
	// Anchors reads anchors before a number (0: from the newest on), newest first,
	// strongly. more says whether there are further ones.
	Anchors(ctx context.Context, before int64, limit int) (anchors []proof.Anchor, more bool, err error)
	// Finish marks an entry's effects as carried out; repeating it is harmless.
	Finish(ctx context.Context, sessionID string, version int64) error

	// User reads a user's facts; a user never heard of has Version 0 and no facts.
	User(ctx context.Context, user string) (session.UserFacts, error)
	// PutUser writes facts whose stored version is u.Version-1; Conflict otherwise.
	PutUser(ctx context.Context, u session.UserFacts) error
	// PendingUsers lists users with facts whose fan-out is not complete.
	PendingUsers(ctx context.Context, cursor string) (users []string, next string, err error)

	// Endpoint reads an endpoint; one never heard of has Version 0.
	Endpoint(ctx context.Context, id string) (Endpoint, error)
	// PutEndpoint writes an endpoint whose stored version is e.Version-1 (all but
	// Wake, which only Wake changes); Conflict otherwise.
	PutEndpoint(ctx context.Context, e Endpoint) error
	// Wake adds one to the endpoint's counter, creating nothing: NotFound for an
	// endpoint never written.
	Wake(ctx context.Context, id string) error
	// Endpoints lists every endpoint.
	Endpoints(ctx context.Context, cursor string) (endpoints []Endpoint, next string, err error)

	// Policy reads the policy; the default, Version 0, where none was set.
	Policy(ctx context.Context) (session.Policy, error)
	// PutPolicy writes a policy whose stored version is p.Version-1.
	PutPolicy(ctx context.Context, p session.Policy) error

	// Park keeps an event that could not be used; the same ID is kept once. It
	// answers whether it was kept now.
	Park(ctx context.Context, p Parked) (fresh bool, err error)
	// ParkedEvent reads one of them, NotFound where there is none; ParkedEvents lists
	// them, newest first.
	ParkedEvent(ctx context.Context, id string) (Parked, error)
	ParkedEvents(ctx context.Context, cursor string) (parked []Parked, next string, err error)
	// Sample counts an unrecognised kind of event and keeps one body of each
	// kind (S3.1); it answers the count including this one.
	Sample(ctx context.Context, kind string, body []byte, at time.Time) (count int64, err error)
	// Samples lists what was sampled, in no order.
	Samples(ctx context.Context, cursor string) (sampled []Sampled, next string, err error)
	// Mark reads a named moment (how far a replay has got); zero where never set.
	Mark(ctx context.Context, name string) (time.Time, error)
	// SetMark moves a named moment forward; an earlier one changes nothing.
	SetMark(ctx context.Context, name string, at time.Time) error
}

// OpenConflict says which condition of an Opening failed. It is of kind
// Conflict.
type OpenConflict struct {
	Exists  bool   // a session of this id is there already
	Claimed string // the session that owns the run already; "" otherwise
	User    bool   // the user's facts have changed: read them and decide again
}

// Engine controls the runs of one service. Implementations never retry by
// themselves: the drain and the watch pace every call.
type Engine interface {
	// Start starts a run and stamps the session id on it. Repeating it with the
	// same session id starts nothing twice. Invalid: the engine refused the spec
	// for good. Any other error leaves it open whether the run exists.
	Start(ctx context.Context, s Start) (workload.Run, error)
	// List looks at every live run of the endpoint, and at those that ended
	// lately where the engine still knows them.
	List(ctx context.Context, endpoint string) (workload.Listing, error)
	// Describe asks about one run; an engine that no longer knows it answers
	// state Gone, not an error.
	Describe(ctx context.Context, run workload.Run) (workload.Observation, error)
	// Stop asks a run to stop. nil: the request was accepted, or the run is
	// already over or gone. It says nothing about the run having ended. NotFound
	// of an engine that may have forgotten a run that lives: nothing was asked.
	Stop(ctx context.Context, run workload.Run) error
}

// Start is what an engine needs to start a run.
type Start struct {
	SessionID  string
	User       string
	Run        workload.Run  // Engine, Endpoint and Kind; ID is empty
	MaxRuntime time.Duration // the limit to set in the engine (S4.5): min(asked, time left); 0: none
	Idle       time.Duration // Livy: the session's idle limit
	Spec       []byte        // the engine's own request, as JSON
}

// Identity answers facts about users and applications.
type Identity interface {
	// Facts reads what a run's mode depends on. A fact that cannot be read stays
	// unknown; the error says which, and the facts are usable all the same.
	Facts(ctx context.Context, user string, run workload.Run) (session.Facts, error)
	// Status reads a user's status from the identity store.
	Status(ctx context.Context, user string) (UserStatus, error)
	// Access says whether any assignment still gives the user the application;
	// Unknown, with the error, where that cannot be read.
	Access(ctx context.Context, user, application string) (session.Tri, error)
	// Replay gives the identity events recorded after a moment, in the form in
	// which they would have arrived (S3.5c). Where there are more than one replay
	// takes, the error is an *Unread, and the events are usable all the same.
	Replay(ctx context.Context, after time.Time) ([][]byte, error)
}

// Unread is the error of a replay that did not read everything. What takes a user's
// work away was read wholly up to From; of what came later, some may be missing.
type Unread struct{ From time.Time }

func (u *Unread) Error() string {
	return "events from " + u.From.UTC().Format(time.RFC3339) + " on are still to be read"
}

// UserStatus is what the identity store says of a user.
type UserStatus string

// The statuses: UserStatus of DescribeUser; deleted where it knows no such user.
const (
	UserEnabled  UserStatus = "ENABLED"
	UserDisabled UserStatus = "DISABLED"
	UserDeleted  UserStatus = "DELETED"
)

// Users lists the whole directory.
type Users interface {
	// Users gives one page of at most 100 users, by id; next is "" at the end. A
	// user whose status cannot be read is left out: the absence from a listing
	// proves nothing.
	Users(ctx context.Context, cursor string) (page map[string]UserStatus, next string, err error)
}

// Names tells whose a user name is.
type Names interface {
	// UserID gives the id that sessions and sign-outs are keyed by. What is written
	// as an id is answered as it is. NotFound: the name is nobody's. Any other error
	// leaves it open.
	UserID(ctx context.Context, name string) (string, error)
}

// SessionSource says which portal sessions are live: the portal, or the identity
// provider behind it (S3.5c).
type SessionSource interface {
	// Source is whose names the ids are; they are compared only with interactive
	// sessions of the same source.
	Source() string
	// Live lists the sessions that are live. Only a complete list says that one is
	// over: where complete is false or err is not nil, absence proves nothing.
	Live(ctx context.Context) (sessions []PortalSession, complete bool, err error)
}

// PortalSession is one session that a user has with the portal.
type PortalSession struct {
	ID         string
	User       string
	SignedInAt time.Time // zero: unknown
	ExpiresAt  time.Time // zero: unknown
}

// Meter counts and measures; names are those of package obs.
type Meter interface {
	Count(name string, n int)
	Lateness(name string, d time.Duration)
}

// Starter starts state machine executions. A name already taken is success.
type Starter interface {
	Watch(ctx context.Context, endpoint string, generation int64) error
	Drain(ctx context.Context, endpoint string, generation int64) error
}

// Waiters releases executions that wait with a task token. A token that is
// unknown, used or timed out is success.
type Waiters interface {
	Release(ctx context.Context, token string, outcome Outcome) error
}

// Outcome is what a waiting execution is told.
type Outcome struct {
	SessionID string
	Cause     session.Cause
	Text      string
	Succeeded bool // the run finished by itself
}

// Announcer says things on our bus. ID makes a repetition recognisable.
type Announcer interface {
	Announce(ctx context.Context, a Announcement) error
}

// Announcement is one outgoing event; its kind is one of the folders of
// events/ that begin with "session-", or notice, alert, orphan-found.
type Announcement struct {
	ID      string
	Kind    string
	At      time.Time
	Session session.Session // zero for an orphan
	Entry   Entry           // the decision it comes from; zero for an orphan
	Effect  session.Effect
	Orphan  workload.Observation
}

// Parse makes a message of the bytes of an event; its errors are of kind
// Invalid and name the field.
type Parse func(body []byte, received time.Time) (Message, error)

// Parallel runs the tasks, at most limit at once, and returns when all have
// returned. Production uses goroutines; the local system one virtual clock.
type Parallel func(ctx context.Context, limit int, tasks []func(context.Context))
