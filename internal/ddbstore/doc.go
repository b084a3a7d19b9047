package ddbstore

import (
	"encoding/json"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/proof"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// The documents are how the core's values are written down, as JSON in one
// string attribute. Their names are for ever: a field may be added, never
// renamed or given another meaning without a new schema.Version. Flat ones are
// converted as a whole, so that a field added in the core does not compile
// until it is added here; the storetest suite holds the nested ones.
//
// Zero values are left out. For slices that tells nil from empty, which the
// hash of an entry does too; for frozen fields it keeps the hash of an old
// session the same when a field is added.

type runDoc struct {
	Engine      workload.Engine      `json:"engine,omitzero"`
	Endpoint    string               `json:"endpoint,omitzero"`
	ID          string               `json:"id,omitzero"`
	Name        string               `json:"name,omitzero"`
	Kind        workload.Kind        `json:"kind,omitzero"`
	Application workload.Application `json:"application,omitzero"`
	MaxRuntime  time.Duration        `json:"maxRuntimeNs,omitzero"`
	Domain      string               `json:"domain,omitzero"`
	Cluster     string               `json:"cluster,omitzero"`
	Billing     workload.Billing     `json:"billing,omitzero"`
}

type refDoc struct {
	Endpoint string `json:"endpoint,omitzero"`
	ID       string `json:"id,omitzero"`
}

type policyDoc struct {
	Version                    int64         `json:"version,omitzero"`
	ChangedAt                  time.Time     `json:"changedAt,omitzero"`
	InstanceBackground         session.Tri   `json:"instanceBackground,omitzero"`
	BackgroundDuration         time.Duration `json:"backgroundDurationNs,omitzero"`
	InteractiveDuration        time.Duration `json:"interactiveDurationNs,omitzero"`
	LivyIdle                   time.Duration `json:"livyIdleNs,omitzero"`
	TenantLimit                time.Duration `json:"tenantLimitNs,omitzero"`
	RequireUnifiedStudioLaunch bool          `json:"requireUnifiedStudioLaunch,omitzero"`
	ChangedBy                  string        `json:"changedBy,omitzero"`
	CostAlert                  int64         `json:"costAlertUsd,omitzero"`
}

type factsDoc struct {
	IdentityPropagation   session.Tri `json:"identityPropagation,omitzero"`
	Instance              session.Tri `json:"instance,omitzero"`
	ApplicationBackground session.Tri `json:"applicationBackground,omitzero"`
	ClusterBackground     session.Tri `json:"clusterBackground,omitzero"`
	ReleaseLabel          string      `json:"releaseLabel,omitzero"`
	BootstrapConfirmed    session.Tri `json:"bootstrapConfirmed,omitzero"`
	UnifiedStudioCluster  session.Tri `json:"unifiedStudioCluster,omitzero"`
	UnifiedStudioLaunch   session.Tri `json:"unifiedStudioLaunch,omitzero"`
}

type interactiveDoc struct {
	ID        string    `json:"id,omitzero"`
	Source    string    `json:"source,omitzero"`
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
}

type reachDoc struct {
	From time.Time `json:"from,omitzero"`
	Told time.Time `json:"told,omitzero"`
}

type limitDoc struct {
	At     time.Time      `json:"at,omitzero"`
	Source session.Source `json:"source,omitzero"`
}

type missedDoc struct {
	Since time.Time `json:"since"`
	Known time.Time `json:"known"`
}

type activityDoc struct {
	At    time.Time `json:"at,omitzero"`
	Busy  bool      `json:"busy,omitzero"`
	Since time.Time `json:"since,omitzero"`
}

type endDoc struct {
	Cause     session.Cause `json:"cause,omitzero"`
	Evidence  string        `json:"evidence,omitzero"`
	By        string        `json:"by,omitzero"`
	Happened  time.Time     `json:"happened,omitzero"`
	Known     time.Time     `json:"known,omitzero"`
	Decided   time.Time     `json:"decided,omitzero"`
	Asked     time.Time     `json:"asked,omitzero"`
	AskedLast time.Time     `json:"askedLast,omitzero"`
	Confirmed time.Time     `json:"confirmed,omitzero"`
	Refused   time.Time     `json:"refused,omitzero"`
	Stuck     string        `json:"stuck,omitzero"`
}

type sessionDoc struct {
	ID              string         `json:"id,omitzero"`
	Version         int64          `json:"version,omitzero"`
	User            string         `json:"user,omitzero"`
	Run             runDoc         `json:"run,omitzero"`
	Status          session.Status `json:"status,omitzero"`
	Mode            session.Mode   `json:"mode,omitzero"`
	Origin          session.Origin `json:"origin,omitzero"`
	Previous        string         `json:"previous,omitzero"`
	OpenedAt        time.Time      `json:"openedAt,omitzero"`
	RecordedAt      time.Time      `json:"recordedAt,omitzero"`
	Policy          policyDoc      `json:"policy,omitzero"`
	Facts           factsDoc       `json:"facts,omitzero"`
	Interactive     interactiveDoc `json:"interactive,omitzero"`
	Reach           reachDoc       `json:"reach,omitzero"`
	Why             []string       `json:"why,omitzero"`
	Own             limitDoc       `json:"own,omitzero"`
	Deadline        time.Time      `json:"deadline,omitzero"`
	DeadlineSource  session.Source `json:"deadlineSource,omitzero"`
	Extended        time.Time      `json:"extended,omitzero"`
	RunningSince    time.Time      `json:"runningSince,omitzero"`
	Activity        activityDoc    `json:"activity,omitzero"`
	UserStatusAt    time.Time      `json:"userStatusAt,omitzero"`
	UserEnabledAt   time.Time      `json:"userEnabledAt,omitzero"`
	InteractiveGone bool           `json:"interactiveGone,omitzero"`
	TokenAt         time.Time      `json:"tokenAt,omitzero"`
	StartAskedAt    time.Time      `json:"startAskedAt,omitzero"`
	Missed          missedDoc      `json:"missed,omitzero"`
	Waiter          string         `json:"waiter,omitzero"`
	End             endDoc         `json:"end,omitzero"`
	PagedAt         time.Time      `json:"pagedAt,omitzero"`
	Noticed         time.Duration  `json:"noticedNs,omitzero"`
	Head            string         `json:"head,omitzero"`
	Recent          []string       `json:"recent,omitzero"`

	Progress   workload.Progress `json:"progress,omitzero"`
	LeftAt     time.Time         `json:"leftAt,omitzero"`
	LateAt     time.Time         `json:"lateAt,omitzero"`
	CostToldAt time.Time         `json:"costToldAt,omitzero"`
}

func sessionToDoc(s session.Session) sessionDoc {
	return sessionDoc{
		ID: s.ID, Version: s.Version, User: s.User, Run: runDoc(s.Run), Status: s.Status, Mode: s.Mode,
		Origin: s.Origin, Previous: s.Previous, OpenedAt: s.OpenedAt, RecordedAt: s.RecordedAt,
		Policy: policyDoc(s.Policy), Facts: factsDoc(s.Facts), Interactive: interactiveDoc(s.Interactive), Reach: reachDoc(s.Reach), Why: s.Why,
		Own: limitDoc(s.Own), Deadline: s.Deadline, DeadlineSource: s.DeadlineSource, Extended: s.Extended,
		RunningSince: s.RunningSince, Activity: activityDoc(s.Activity),
		UserStatusAt: s.UserStatusAt, UserEnabledAt: s.UserEnabledAt, InteractiveGone: s.InteractiveGone, TokenAt: s.TokenAt,
		StartAskedAt: s.StartAskedAt, Missed: missedDoc(s.Missed), Waiter: s.Waiter, End: endDoc(s.End), PagedAt: s.PagedAt,
		Noticed: s.Noticed, Head: s.Head, Recent: s.Recent,
		Progress: s.Progress, LeftAt: s.LeftAt, LateAt: s.LateAt, CostToldAt: s.CostToldAt,
	}
}

func (d sessionDoc) session() session.Session {
	return session.Session{
		ID: d.ID, Version: d.Version, User: d.User, Run: workload.Run(d.Run), Status: d.Status, Mode: d.Mode,
		Origin: d.Origin, Previous: d.Previous, OpenedAt: d.OpenedAt, RecordedAt: d.RecordedAt,
		Policy: session.Policy(d.Policy), Facts: session.Facts(d.Facts), Interactive: session.InteractiveSession(d.Interactive), Reach: session.Reach(d.Reach), Why: d.Why,
		Own: session.Limit(d.Own), Deadline: d.Deadline, DeadlineSource: d.DeadlineSource, Extended: d.Extended,
		RunningSince: d.RunningSince, Activity: session.Activity(d.Activity),
		UserStatusAt: d.UserStatusAt, UserEnabledAt: d.UserEnabledAt, InteractiveGone: d.InteractiveGone, TokenAt: d.TokenAt,
		StartAskedAt: d.StartAskedAt, Missed: session.Missed(d.Missed), Waiter: d.Waiter, End: session.End(d.End), PagedAt: d.PagedAt,
		Noticed: d.Noticed, Head: d.Head, Recent: d.Recent,
		Progress: d.Progress, LeftAt: d.LeftAt, LateAt: d.LateAt, CostToldAt: d.CostToldAt,
	}
}

type eventDoc struct {
	ID          string         `json:"id,omitzero"`
	Kind        session.Kind   `json:"kind,omitzero"`
	At          time.Time      `json:"at,omitzero"`
	Known       time.Time      `json:"known,omitzero"`
	User        string         `json:"user,omitzero"`
	By          string         `json:"by,omitzero"`
	Evidence    string         `json:"evidence,omitzero"`
	Interactive interactiveDoc `json:"interactive,omitzero"`
	Run         refDoc         `json:"run,omitzero"`
	Domain      string         `json:"domain,omitzero"`
	Since       time.Time      `json:"since,omitzero"`
	Busy        bool           `json:"busy,omitzero"`
	State       workload.State `json:"state,omitzero"`
	Detail      string         `json:"detail,omitzero"`
	Token       string         `json:"token,omitzero"`
	MaxRuntime  time.Duration  `json:"maxRuntimeNs,omitzero"`
	Cluster     string         `json:"cluster,omitzero"`
	Name        string         `json:"name,omitzero"`

	Billing  workload.Billing  `json:"billing,omitzero"`
	Progress workload.Progress `json:"progress,omitzero"`
	Cost     float64           `json:"costUsd,omitzero"`
	Held     string            `json:"held,omitzero"`
	Until    time.Time         `json:"until,omitzero"`
}

func eventToDoc(e session.Event) eventDoc {
	return eventDoc{
		ID: e.ID, Kind: e.Kind, At: e.At, Known: e.Known, User: e.User, By: e.By, Evidence: e.Evidence,
		Interactive: interactiveDoc(e.Interactive), Run: refDoc(e.Run), Domain: e.Domain, Since: e.Since, Busy: e.Busy,
		State: e.State, Detail: e.Detail, Token: e.Token, MaxRuntime: e.MaxRuntime, Cluster: e.Cluster, Name: e.Name,
		Billing: e.Billing, Progress: e.Progress, Cost: e.Cost, Held: e.Held, Until: e.Until,
	}
}

func (d eventDoc) event() session.Event {
	return session.Event{
		ID: d.ID, Kind: d.Kind, At: d.At, Known: d.Known, User: d.User, By: d.By, Evidence: d.Evidence,
		Interactive: session.InteractiveSession(d.Interactive), Run: workload.Ref(d.Run), Domain: d.Domain, Since: d.Since, Busy: d.Busy,
		State: d.State, Detail: d.Detail, Token: d.Token, MaxRuntime: d.MaxRuntime, Cluster: d.Cluster, Name: d.Name,
		Billing: d.Billing, Progress: d.Progress, Cost: d.Cost, Held: d.Held, Until: d.Until,
	}
}

type effectDoc struct {
	Kind   session.EffectKind `json:"kind,omitzero"`
	Reason string             `json:"reason,omitzero"`
	Text   string             `json:"text,omitzero"`
	Before time.Duration      `json:"beforeNs,omitzero"`
}

// entryDoc leaves Done out where the entry has effects: the session says which of
// them are not known to be done.
type entryDoc struct {
	SessionID string         `json:"sessionId,omitzero"`
	Version   int64          `json:"version,omitzero"`
	At        time.Time      `json:"at,omitzero"`
	Event     eventDoc       `json:"event,omitzero"`
	From      session.Status `json:"from,omitzero"`
	To        session.Status `json:"to,omitzero"`
	Mode      session.Mode   `json:"mode,omitzero"`
	Deadline  time.Time      `json:"deadline,omitzero"`
	Source    session.Source `json:"source,omitzero"`
	Cause     session.Cause  `json:"cause,omitzero"`
	Note      string         `json:"note,omitzero"`
	Effects   []effectDoc    `json:"effects,omitzero"`
	Previous  string         `json:"previous,omitzero"`
	Hash      string         `json:"hash,omitzero"`
	End       endDoc         `json:"end,omitzero"`
	Done      bool           `json:"done,omitzero"` // of an entry without effects
}

func entryToDoc(e app.Entry) entryDoc {
	return entryDoc{
		SessionID: e.SessionID, Version: e.Version, At: e.At, Event: eventToDoc(e.Event), From: e.From, To: e.To,
		Mode: e.Mode, Deadline: e.Deadline, Source: e.Source, Cause: e.Cause, Note: e.Note,
		Effects:  each(e.Effects, func(x session.Effect) effectDoc { return effectDoc(x) }),
		Previous: e.Previous, Hash: e.Hash, End: endDoc(e.End), Done: e.Done && len(e.Effects) == 0,
	}
}

// entry is the entry; done says that its effects have been carried out.
func (d entryDoc) entry(done bool) app.Entry {
	return app.Entry{
		SessionID: d.SessionID, Version: d.Version, At: d.At, Event: d.Event.event(), From: d.From, To: d.To,
		Mode: d.Mode, Deadline: d.Deadline, Source: d.Source, Cause: d.Cause, Note: d.Note,
		Effects:  each(d.Effects, func(x effectDoc) session.Effect { return session.Effect(x) }),
		Previous: d.Previous, Hash: d.Hash, Done: d.Done || len(d.Effects) > 0 && done, End: session.End(d.End),
	}
}

// recordDoc is a session's item: its newest state, and the newest entries of its
// history, oldest first. Since is the version of the first entry that was written
// so; 0: all were.
type recordDoc struct {
	sessionDoc
	Tail  []entryDoc `json:"tail,omitzero"`
	Since int64      `json:"since,omitzero"`
}

// blockDoc is a part of a history that was moved out of the session's item.
type blockDoc struct {
	Tail []entryDoc `json:"tail,omitzero"`
}

type headDoc struct {
	Session string `json:"session,omitzero"`
	Version int64  `json:"version,omitzero"`
	Hash    string `json:"hash,omitzero"`
}

type anchorDoc struct {
	Seq      int64     `json:"seq,omitzero"`
	At       time.Time `json:"at,omitzero"`
	Until    time.Time `json:"until,omitzero"`
	Live     int64     `json:"live,omitzero"`
	Heads    []headDoc `json:"heads,omitzero"`
	Previous string    `json:"previous,omitzero"`
	Hash     string    `json:"hash,omitzero"`
}

func anchorToDoc(a proof.Anchor) anchorDoc {
	return anchorDoc{
		Seq: a.Seq, At: a.At, Until: a.Until, Live: a.Live, Heads: each(a.Heads, func(h proof.Head) headDoc { return headDoc(h) }),
		Previous: a.Previous, Hash: a.Hash,
	}
}

func (d anchorDoc) anchor() proof.Anchor {
	return proof.Anchor{
		Seq: d.Seq, At: d.At, Until: d.Until, Live: d.Live, Heads: each(d.Heads, func(h headDoc) proof.Head { return proof.Head(h) }),
		Previous: d.Previous, Hash: d.Hash,
	}
}

type lockDoc struct {
	Until time.Time `json:"until,omitzero"`
	By    string    `json:"by,omitzero"`
	Why   string    `json:"why,omitzero"`
}

type userDoc struct {
	User         string     `json:"user,omitzero"`
	Version      int64      `json:"version,omitzero"`
	Facts        []eventDoc `json:"facts,omitzero"`
	Pending      []eventDoc `json:"pending,omitzero"`
	PendingSince time.Time  `json:"pendingSince,omitzero"`
	Lock         lockDoc    `json:"lock,omitzero"`
}

func userToDoc(u session.UserFacts) userDoc {
	return userDoc{
		User: u.User, Version: u.Version, Facts: each(u.Facts, eventToDoc), Pending: each(u.Pending, eventToDoc),
		PendingSince: u.PendingSince, Lock: lockDoc(u.Lock),
	}
}

func (d userDoc) facts() session.UserFacts {
	return session.UserFacts{
		User: d.User, Version: d.Version, Facts: each(d.Facts, eventDoc.event), Pending: each(d.Pending, eventDoc.event),
		PendingSince: d.PendingSince, Lock: session.Lock(d.Lock),
	}
}

type leaseDoc struct {
	Generation int64     `json:"generation,omitzero"`
	Until      time.Time `json:"until,omitzero"`
	EmptySince time.Time `json:"emptySince,omitzero"`
	EmptyWake  int64     `json:"emptyWake,omitzero"`
}

// bucketDoc has the fractions that are kept. They stand in a document, never in
// a DynamoDB number: Go writes it so that it reads back exactly.
type bucketDoc struct {
	Used float64   `json:"used,omitzero"`
	At   time.Time `json:"at,omitzero"`
	Lost float64   `json:"lost,omitzero"`
}

// endpointDoc leaves Version and Wake out: they are attributes of their own.
type endpointDoc struct {
	ID         string    `json:"id,omitzero"`
	Engine     string    `json:"engine,omitzero"`
	Watch      leaseDoc  `json:"watch,omitzero"`
	Drain      leaseDoc  `json:"drain,omitzero"`
	LastListed time.Time `json:"lastListed,omitzero"`
	Stops      bucketDoc `json:"stops,omitzero"`
}

func endpointToDoc(e app.Endpoint) endpointDoc {
	return endpointDoc{ID: e.ID, Engine: e.Engine, Watch: leaseDoc(e.Watch), Drain: leaseDoc(e.Drain), LastListed: e.LastListed, Stops: bucketDoc(e.Stops)}
}

func (d endpointDoc) endpoint(version, wake int64) app.Endpoint {
	return app.Endpoint{
		ID: d.ID, Engine: d.Engine, Version: version, Watch: app.Lease(d.Watch), Drain: app.Lease(d.Drain),
		Wake: wake, LastListed: d.LastListed, Stops: cadence.Bucket(d.Stops),
	}
}

// parkedDoc leaves the body out: it may be anything, also no text at all.
type parkedDoc struct {
	ID     string    `json:"id,omitzero"`
	Source string    `json:"source,omitzero"`
	Reason string    `json:"reason,omitzero"`
	At     time.Time `json:"at,omitzero"`
}

// frozenDoc is what never changes after the opening.
type frozenDoc struct {
	ID          string         `json:"id,omitzero"`
	User        string         `json:"user,omitzero"`
	Origin      session.Origin `json:"origin,omitzero"`
	OpenedAt    time.Time      `json:"openedAt,omitzero"`
	RecordedAt  time.Time      `json:"recordedAt,omitzero"`
	Policy      policyDoc      `json:"policy,omitzero"`
	Facts       factsDoc       `json:"facts,omitzero"`
	Interactive interactiveDoc `json:"interactive,omitzero"`
	Reach       reachDoc       `json:"reach,omitzero"`
}

// frozenOf takes times as moments: in another time zone they are the same.
func frozenOf(s session.Session) frozenDoc {
	f := frozenDoc{
		ID: s.ID, User: s.User, Origin: s.Origin, OpenedAt: instant(s.OpenedAt), RecordedAt: instant(s.RecordedAt),
		Policy: policyDoc(s.Policy), Facts: factsDoc(s.Facts), Interactive: interactiveDoc(s.Interactive),
		Reach: reachDoc{instant(s.Reach.From), instant(s.Reach.Told)},
	}
	f.Policy.ChangedAt = instant(f.Policy.ChangedAt)
	f.Interactive.ExpiresAt = instant(f.Interactive.ExpiresAt)
	return f
}

// thawed names the first field in which the other differs; "" if none.
func (f frozenDoc) thawed(o frozenDoc) string {
	switch {
	case f.ID != o.ID:
		return "ID"
	case f.User != o.User:
		return "User"
	case f.Origin != o.Origin:
		return "Origin"
	case f.OpenedAt != o.OpenedAt:
		return "OpenedAt"
	case f.RecordedAt != o.RecordedAt:
		return "RecordedAt"
	case f.Policy != o.Policy:
		return "Policy"
	case f.Facts != o.Facts:
		return "Facts"
	case f.Interactive != o.Interactive:
		return "Interactive"
	case f.Reach != o.Reach:
		return "Reach"
	}
	return ""
}

func instant(t time.Time) time.Time { return t.Round(0).UTC() }

// each converts a slice and keeps nil nil.
func each[A, B any](in []A, f func(A) B) []B {
	if in == nil {
		return nil
	}
	out := make([]B, 0, len(in))
	for _, a := range in {
		out = append(out, f(a))
	}
	return out
}

func encode(doc any) (string, error) {
	b, err := json.Marshal(doc)
	return string(b), err
}
