package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/cost"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// App is Nightshift's use cases over its ports. It keeps no state of its own
// and is safe for concurrent use.
type App struct {
	Store     Store
	Engines   map[string]Engine // by the api part of an endpoint's id
	Identity  Identity
	Starter   Starter
	Waiters   Waiters
	Announcer Announcer
	Parallel  Parallel
	Parse     Parse
	Meter     Meter
	Log       *slog.Logger
	Now       func() time.Time
	// Pause waits, within a round of a drain, for the endpoint to take more stop
	// requests; nil: a round asks once, and the next one asks again.
	Pause func(ctx context.Context, d time.Duration) error
	// Endpoints are the endpoints to look at even before a run of theirs is
	// known (S3.5a).
	Endpoints []string
	// Settings are an endpoint's own numbers, by its id; one that is not here has
	// those of its api (cadence.Of).
	Settings map[string]cadence.Endpoint
	// Users lists the directory, for when there are too many users to ask for each
	// (S3.5b); nil: they are asked for one by one, each more seldom.
	Users Users
	// Names tells whose the user name is that a run carries; nil, as where there is
	// no identity store at all: what runs say is taken for the ids of users.
	Names Names
	// IsID says which words are ids of users; nil: IsUserID.
	IsID func(word string) bool
	// IdentityStore is the id of the store that Identity asks, d-…; "" is unknown.
	IdentityStore string
	// Aborted looks for executions that somebody ended (S3.5); nil: only events tell.
	Aborted Aborted
	// Sessions lists live portal sessions (S3.5c); nil: there is no such source.
	Sessions SessionSource
	// Runs and Again start a run again (S4.4).
	Runs  Runs
	Again Again
	// Moves starts and looks at executions of move-notebook; Placing, Elsewhere and
	// Spec read and make the requests of notebooks (S5.1). nil Placing: where
	// notebooks run is not recorded. nil Moves: moves that died are not taken up.
	Moves     Executions
	Placing   Placing
	Elsewhere Elsewhere
	// Spec is the engine's request in the input of an execution of run.
	Spec func(input []byte) ([]byte, error)
	// Checkpoints looks at what runs have saved; nil: nobody is told (S4.4).
	Checkpoints Checkpoints
	// Book has the prices; an empty one knows none, and every cost is unknown.
	Book cost.Book
}

// raceMax bounds how often a lost race is decided again. Contention on one
// session is two or three writers; reaching the limit answers Conflict and the
// event is redelivered.
const raceMax = 20

// engine gives the engine of an endpoint.
func (a *App) engine(endpoint string) (Engine, error) {
	e, ok := a.Engines[api(endpoint)]
	if !ok {
		return nil, fault.Newf("find the engine", fault.Invalid, "endpoint %q: no engine is configured for %q", endpoint, api(endpoint))
	}
	return e, nil
}

// api is the part of an endpoint's id before the first slash.
func api(endpoint string) string {
	name, _, _ := strings.Cut(endpoint, "/")
	return name
}

// Apply is the one door to a session: load, decide, commit; a lost race is
// decided again. It answers the session as it then is.
func (a *App) Apply(ctx context.Context, id string, e session.Event) (session.Session, error) {
	if e.Known.IsZero() {
		e.Known = a.Now()
	}
	var conflict error
	for range raceMax {
		s, err := a.Store.Session(ctx, id)
		if err != nil {
			return session.Session{}, fmt.Errorf("apply %s: %w", e.Kind, err)
		}
		if s.Seen(e.ID) {
			return s, nil
		}
		policy, err := a.Store.Policy(ctx)
		if err != nil {
			return s, fmt.Errorf("apply %s: %w", e.Kind, err)
		}
		now := a.Now()
		held, err := a.held(ctx, s, policy, now)
		if err != nil {
			return s, fmt.Errorf("apply %s: %w", e.Kind, err)
		}
		if e.Held = held; held != "" && e.Kind == session.Tick {
			return s, nil
		}
		d := session.Decide(s, e, policy, now)
		if !d.Changed {
			return s, nil
		}
		claim := s.Run.ID == "" && d.Next.Run.ID != ""
		next, entry, err := sealed(&s, &d, e, now)
		if err != nil {
			return s, err
		}
		conflict = a.Store.Commit(ctx, Commit{Next: next, Entry: entry, Claim: claim})
		if conflict == nil {
			a.measure(&next, &s)
			a.tell(&next, &s)
			return next, nil
		}
		if !fault.Is(conflict, fault.Conflict) {
			return s, fmt.Errorf("apply %s: %w", e.Kind, conflict)
		}
	}
	return session.Session{}, fmt.Errorf("apply %s: %d races lost: %w", e.Kind, raceMax, conflict)
}

// sealed gives a decision its version and its link in the chain.
func sealed(before *session.Session, d *session.Decision, e session.Event, now time.Time) (session.Session, Entry, error) {
	next := d.Next
	next.Version = before.Version + 1
	if e.ID != "" {
		next.Recent = append(append([]string(nil), next.Recent...), e.ID)
		if extra := len(next.Recent) - session.RecentMax; extra > 0 {
			next.Recent = next.Recent[extra:]
		}
	}
	if e.Token != "" {
		// Whoever has a task token can release its execution, and histories are handed
		// out as proof: they tell tokens apart, no more. The state has the token.
		e.Token = digest(e.Token)
	}
	entry := Entry{
		SessionID: next.ID, Version: next.Version, At: now, Event: e, From: before.Status, To: next.Status,
		Mode: next.Mode, Deadline: next.Deadline, Source: next.DeadlineSource, Cause: next.End.Cause,
		Note: d.Ignored, Effects: d.Effects, Previous: before.Head,
	}
	if entry.Changes() {
		entry.End = next.End
	}
	hash, err := entry.Seal()
	if err != nil {
		return next, entry, err
	}
	entry.Hash, next.Head = hash, hash
	return next, entry, nil
}

// measure publishes how late a stop was, once it is confirmed (S2.1).
func (a *App) measure(now, before *session.Session) {
	if now.Status != session.Ended || before.Status == session.Ended {
		return
	}
	a.Meter.Count(MetricEnded, 1)
	if before.Status == session.Ending {
		a.Meter.Lateness(MetricStopLateness, now.End.Confirmed.Sub(now.End.Known))
		a.Meter.Lateness(MetricStopLatenessHappened, now.End.Confirmed.Sub(now.End.Happened))
	}
}

// Names of what is counted and measured.
const (
	MetricEnded                = "SessionsEnded"
	MetricStopLateness         = "StopLateness"            // known to confirmed
	MetricStopLatenessHappened = "StopLatenessFromOwnTime" // the event's own time to confirmed
	MetricParked               = "EventsParked"
	MetricUnrecognised         = "IdentityEventsUnrecognised"
	MetricIgnored              = "EventsIgnored"
	MetricOrphans              = "OrphansFound"
	MetricUnidentified         = "RunsUnidentified"
	MetricUnknown              = "ChecksUnknown"     // what an identity check asked for could not be read
	MetricHealed               = "IdentityDrift"     // facts that only an identity check found
	MetricStopETA              = "StopRequestsAhead" // until the last run that must end has been asked to stop
	MetricLive                 = "SessionsLive"      // at a sweep: not ENDED
	MetricEnding               = "SessionsEnding"    // at a sweep: must end and are not seen ended
	MetricOldestEnding         = "OldestEnding"      // at a sweep: since the cause of the one that waits longest was known
	MetricStandstill           = "DrainStandstill"   // at a sweep: since runs wait at an endpoint that is sent no stop request
	MetricTruthAge             = "TruthCheckAge"     // at a sweep: of the oldest complete listing, and of the newest replay
	MetricChainsVerified       = "ChainsVerified"    // sessions whose history an audit has followed
	MetricChainsBroken         = "ChainsBroken"      // histories and anchors that it found changed
)

// digest makes a short stable id of parts.
func digest(parts ...string) string {
	var room [256]byte
	all := room[:0]
	for i, p := range parts {
		if i > 0 {
			all = append(all, 0)
		}
		all = append(all, p...)
	}
	h := sha256.Sum256(all)
	var text [24]byte
	hex.Encode(text[:], h[:len(text)/2])
	return string(text[:])
}

// SessionOfExecution is the id of the session that an execution of the run
// machine opens; a redrive opens the same one.
func SessionOfExecution(arn string) string { return "s-" + digest("execution", arn) }

// SessionOfRun is the id of the session of a run that Nightshift did not start.
func SessionOfRun(run workload.Ref) string { return "s-" + digest("run", run.Endpoint, run.ID) }

// pages walks an index read to its end.
func pages(read func(cursor string) (Page, error), each func(session.Session)) error {
	cursor := ""
	for {
		page, err := read(cursor)
		if err != nil {
			return err
		}
		for _, s := range page.Sessions {
			each(s)
		}
		if page.Next == "" {
			return nil
		}
		cursor = page.Next
	}
}

// whole is an index read to its end as one list: of one page, mostly, which it takes.
func whole(read func(cursor string) (Page, error)) (all []session.Session, err error) {
	for cursor := ""; ; {
		page, err := read(cursor)
		if err != nil {
			return nil, err
		}
		if all = join(all, page.Sessions); page.Next == "" {
			return all, nil
		}
		cursor = page.Next
	}
}

// applyAll applies an event to many sessions, each even if another fails.
func (a *App) applyAll(ctx context.Context, ids []string, e session.Event) error {
	errs := make([]error, len(ids))
	tasks := make([]func(context.Context), len(ids))
	for i, id := range ids {
		tasks[i] = func(ctx context.Context) { _, errs[i] = a.Apply(ctx, id, e) }
	}
	a.Parallel(ctx, fanOutParallel, tasks)
	return errors.Join(errs...)
}

// fanOutParallel is how many sessions of a user are written at once; more would
// only queue at the table.
const fanOutParallel = 16
