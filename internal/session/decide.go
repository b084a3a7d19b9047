package session

import (
	"cmp"
	"slices"
	"time"

	"nightshift/internal/workload"
)

// Decide applies one event to a session. It is pure: same arguments, same
// answer. p is the policy of now, which only S1.8 and an extension ask; everything else
// was frozen at the opening. It never fails: inbound refuses malformed events.
func Decide(s Session, e Event, p Policy, now time.Time) Decision {
	st := &step{s: s, e: e, p: p, now: now}
	st.run()
	return st.decision(&s)
}

// step is one application of an event.
type step struct {
	s       Session
	e       Event
	p       Policy
	now     time.Time
	effects []Effect
	ignored string
}

// run: time has passed, then the event is applied to what the session has
// become, then what the event made due ends in the same step (S2.11, S2.17).
func (st *step) run() {
	st.clock(true)
	if st.e.User != "" && st.e.User != st.s.User {
		st.ignored = "the event is about another user"
		return
	}
	r, known := rules[st.s.Status][st.e.Kind]
	if !known {
		st.ignored = "no rule knows this kind of event"
		return
	}
	r(st)
	st.clock(false)
}

// decision drops what is no longer wanted after the whole step, such as the
// stop of a run that turned out to be over, and puts effects in order.
func (st *step) decision(before *Session) Decision {
	d := Decision{Next: st.s, Ignored: st.ignored}
	for _, e := range st.effects {
		if e.Wanted(st.s) {
			d.Effects = append(d.Effects, e)
		}
	}
	slices.SortStableFunc(d.Effects, func(a, b Effect) int { return effectOrder(a.Kind) - effectOrder(b.Kind) })
	d.Changed = len(d.Effects) > 0 || !before.same(&st.s)
	switch {
	case len(d.Effects) > 0 || st.s.Status != before.Status || st.s.Mode != before.Mode || !st.s.Deadline.Equal(before.Deadline):
		d.Ignored = ""
	case !d.Changed && d.Ignored == "":
		d.Ignored = "it says nothing new"
	}
	return d
}

func effectOrder(k EffectKind) int {
	return slices.Index([]EffectKind{Stop, Notify, Alert, ReleaseWaiter, Page, Notice, Watch, Announce}, k)
}

// effect adds work; the same work is wanted once a step.
func (st *step) effect(e Effect) {
	if !slices.Contains(st.effects, e) {
		st.effects = append(st.effects, e)
	}
}

func (st *step) alert(name, text string) { st.effect(Effect{Kind: Alert, Reason: name, Text: text}) }

// clock ends a session that is due: by its deadline, then by its idle limit.
// before tells whether the event is still to come: an idle limit does not end a
// session in the very step that says it is busy (S2.17).
func (st *step) clock(before bool) {
	if st.s.Status != Active || st.e.Held != "" {
		return
	}
	known := st.now
	if d := st.s.Deadline; !d.IsZero() && !st.now.Before(d) {
		if before {
			known = latest(d, st.s.RecordedAt)
		}
		st.end(deadlineCause(st.s.DeadlineSource), Event{At: d, Known: known, By: "nightshift", Evidence: "deadline " + string(st.s.DeadlineSource)})
		return
	}
	if before && st.saysBusy() {
		return
	}
	if d := st.s.IdleDue(); !d.IsZero() && !st.now.Before(d) {
		if before {
			known = latest(d, st.s.RecordedAt)
		}
		st.end(CauseIdle, Event{At: d, Known: known, By: "nightshift", Evidence: "idle limit " + st.s.Policy.LivyIdle.String()})
	}
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func deadlineCause(s Source) Cause {
	switch s {
	case SourceBackground:
		return CauseBackgroundExpired
	case SourceInteractive:
		return CauseInteractiveExpired
	case SourceMaxRuntime:
		return CauseMaxRuntime
	case SourceEngine:
		return CauseEngineLimit
	case SourceTenant, SourceNone:
	}
	return CauseTenantLimit
}

// saysBusy: the event is a sighting of the run at work, and not older than what
// is known.
func (st *step) saysBusy() bool {
	if !livySession(st.s.Run) || st.e.At.Before(st.s.Activity.At) || st.e.User != "" && st.e.User != st.s.User {
		return false
	}
	return st.e.Kind == IdleSince && st.e.Busy || st.e.Kind == RunObserved && st.e.State == workload.Running
}

// end starts the ending: the run is asked to stop and the user is told why.
func (st *step) end(c Cause, e Event) {
	st.cause(c, e)
	st.s.Status = Ending
	st.effect(Effect{Kind: Stop, Reason: string(c)})
	st.effect(Effect{Kind: Announce, Reason: "session-ending"})
}

// cause writes down why the session ends (S2.7) and tells the user (S2.8).
func (st *step) cause(c Cause, e Event) {
	known := latest(e.Known, st.s.RecordedAt) // a session nobody knew of had no known cause
	if e.Known.IsZero() {
		known = st.now
	}
	evidence := e.Evidence
	if evidence == "" {
		evidence = e.ID
	}
	st.s.End = End{Cause: c, Evidence: evidence, By: e.By, Happened: e.At, Known: known, Decided: st.now}
	st.effect(Effect{Kind: Notify, Reason: string(c), Text: Explain(st.s)})
}

// over records that the run was seen over. A session that was ENDING keeps its
// cause; one that was ACTIVE is closed with this one.
func (st *step) over(c Cause) {
	if st.s.Status == Active {
		st.cause(c, st.e)
	}
	st.s.Status = Ended
	st.s.End.Confirmed = st.now
	st.effect(Effect{Kind: ReleaseWaiter, Reason: string(st.s.End.Cause)})
	st.effect(Effect{Kind: Announce, Reason: "session-ended"})
}

// apply does what the table of causes says.
func (st *step) apply() {
	row, _ := rowOf(st.e.Kind)
	switch row.fate(st.s) {
	case ends:
		st.end(row.Cause, st.e)
	case closes:
		st.over(row.Cause)
	case goesAlert:
		if st.s.Mode == ModeUnknown {
			st.alert("mode-unknown", "The session goes on although "+phrase(row.Cause)+": whether that ends it cannot be told while its mode is unknown.")
			return
		}
		st.alert("role-outlives-user", "The run goes on although "+phrase(row.Cause)+": it uses its role's credentials, which that does not touch.")
	case goesOn:
		st.ignored = string(st.s.Mode) + " sessions outlive a sign-out"
		if st.e.Kind != SignOut {
			st.ignored = string(st.s.Mode) + " sessions go on although " + phrase(row.Cause)
		}
	case cannot:
		st.ignored = "it cannot happen to a session of mode " + string(st.s.Mode)
	}
}

const beforeOpening = "it happened before the session was opened"

// early says that the event's own time is before the opening (S2.11), or before that
// of the first session where a move opened this one: the session before had ended
// when the event became known, and could not decide on it (S2.10).
func (st *step) early() bool {
	r := st.s.Reach
	reaches := !r.From.IsZero() && (st.e.Known.IsZero() || !st.e.Known.Before(r.Told))
	return st.e.At.Before(st.s.OpenedAt) && (!reaches || st.e.At.Before(r.From))
}

// elsewhere says that the event names another interactive session, in the same
// source's words (S2.10, S2.13).
func (st *step) elsewhere() bool {
	return st.e.Interactive.sameSource(st.s.Interactive) && st.e.Interactive.ID != st.s.Interactive.ID
}

// userCause: a sign-out or revoke ends sessions opened at or before its own
// time, however late it arrives (S2.10).
func (st *step) userCause() {
	switch {
	case st.early():
		st.ignored = "the session was opened after it; later sessions live (S2.10)"
	case st.elsewhere():
		st.ignored = "it names another interactive session of the user (S2.13)"
	default:
		if st.e.Kind != RevokeBackground {
			st.left()
		}
		st.apply()
	}
}

// backgroundRevoked: a revocation that reaches a session of unknown mode proves
// that it was a background session (S1.13, S2.13); its deadline stays (S2.17).
func (st *step) backgroundRevoked() {
	if st.s.Mode == ModeUnknown && !st.early() && !st.elsewhere() {
		st.s.Mode = Background
	}
	st.userCause()
}

// interactiveExpired concerns exactly the session it names, or the record's own
// if it names none (S2.13, S2.17).
func (st *step) interactiveExpired() {
	named := st.e.Interactive.ID != "" || st.e.Interactive.Source != ""
	switch {
	case st.early():
		st.ignored = beforeOpening
	case named && (!st.e.Interactive.sameSource(st.s.Interactive) || st.elsewhere()):
		st.ignored = "it names an interactive session that is not known to be this session's"
	default:
		st.left()
		st.apply()
	}
}

// laterCause is a cause that counts only after the opening.
func (st *step) laterCause() {
	if st.early() {
		st.ignored = beforeOpening
		return
	}
	st.apply()
}

// userGone: disabled, deleted and access removed hold until a later enabled,
// also when they are dated before the opening (S2.11, S2.17).
func (st *step) userGone() {
	outdated := st.s.UserEnabledAt
	if st.e.Kind == UserDisabled {
		outdated = st.s.UserStatusAt
	}
	if st.e.At.Before(outdated) {
		st.ignored = "a newer fact about the user is known"
		return
	}
	if st.e.Kind == UserDisabled {
		st.s.UserStatusAt = st.e.At
	}
	st.apply()
}

func (st *step) userEnabled() {
	st.s.UserEnabledAt = latest(st.s.UserEnabledAt, st.e.At)
	st.s.UserStatusAt = latest(st.s.UserStatusAt, st.e.At)
}

func (st *step) kernelStopped() {
	if !livySession(st.s.Run) {
		st.ignored = "kernel events concern interactive Livy sessions only (S2.14)"
		return
	}
	st.laterCause()
}

func (st *step) clusterTerminated() {
	switch {
	case st.s.Run.Engine != workload.Livy && st.s.Run.Engine != workload.EMRNotebook:
		st.ignored = "the run does not live on an EMR cluster (S2.14)"
	case st.early():
		st.ignored = beforeOpening
	default:
		st.over(CauseClusterTerminated)
	}
}

// identityPropagationOff is S1.8 with S2.15: a fact of one SageMaker domain.
func (st *step) identityPropagationOff() {
	switch {
	case st.e.Domain == "" || st.e.Domain != st.s.Run.Domain:
		st.ignored = "the run is not known to be of that domain (S2.15)"
		return
	case st.early():
		st.ignored = beforeOpening
		return
	case st.s.Mode != Background:
		st.ignored = "only background sessions are moved; this one is " + string(st.s.Mode)
		return
	}
	switch and(st.p.InstanceBackground, st.s.Facts.ApplicationBackground) {
	case On:
		st.ignored = "background sessions are on: those that exist go on (S1.8)"
	case Unknown:
		st.alert("background-switch-unknown", "Identity propagation was switched off for domain "+st.e.Domain+
			", and whether background sessions are on is unknown: the session goes on.")
	case Off:
		st.moveToInteractive()
	}
}

// moveToInteractive: with background sessions off too, the session rides the
// user's interactive session, or ends as what it was where none is left.
func (st *step) moveToInteractive() {
	expiry := st.s.Interactive.ExpiresAt
	if st.s.InteractiveGone || !expiry.IsZero() && !st.now.Before(expiry) {
		st.end(CauseSignOut, st.e)
		return
	}
	if expiry.IsZero() {
		expiry = st.now.Add(st.s.Policy.InteractiveDuration)
	}
	if old := st.s.Own.At; !old.IsZero() && old.Before(expiry) {
		expiry = old
	}
	st.s.Own = Limit{expiry, SourceInteractive}
	st.s.Mode = Interactive
	st.s = st.s.withDeadline(st.now)
}

// tokenIssued: evidence beats settings (S1.13).
func (st *step) tokenIssued() {
	if st.e.At.Before(st.s.TokenAt) {
		st.ignored = "a newer token is known"
		return
	}
	if st.s.Mode == Interactive || st.s.Mode == Role {
		st.alert("policy-drift", "AWS issued a background token for a run that our settings call "+string(st.s.Mode)+": the settings recorded here differ from those in force.")
	}
	st.s.Mode = Background
	st.s.TokenAt = st.e.At
	st.s.Own = Limit{st.e.At.Add(st.s.Policy.BackgroundDuration), SourceBackground}
	st.s = st.s.withDeadline(st.now)
}

// idleSince takes the newest word on whether a Livy session is idle (S2.2).
func (st *step) idleSince() {
	switch {
	case !livySession(st.s.Run):
		st.ignored = "idle events concern interactive Livy sessions only (S2.14)"
		return
	case st.e.At.Before(st.s.Activity.At):
		st.ignored = "a newer sighting of the session is known (S2.11)"
		return
	}
	since := st.e.Since
	if !st.e.Busy && since.IsZero() { // no statement at all: idle from when it was first seen idle
		since = st.e.At
		if !st.s.Activity.Busy && !st.s.Activity.Since.IsZero() {
			since = st.s.Activity.Since
		}
	}
	if st.e.Busy {
		since = time.Time{}
	}
	st.s.Activity = Activity{At: st.e.At, Busy: st.e.Busy, Since: since}
}

// observed takes what an engine said of the run. It counts also when dated
// before the opening: adopted runs are older than their record (S2.17).
func (st *step) observed() {
	st.placed()
	st.billed()
	if st.e.MaxRuntime > 0 && st.s.Run.MaxRuntime == 0 && st.s.Status == Active {
		st.s.Run.MaxRuntime = st.e.MaxRuntime
		st.s = st.s.withDeadline(st.now)
	}
	if !st.e.State.Over() {
		st.there()
	}
	switch st.e.State {
	case workload.Running, workload.Idle:
		st.alive()
	case workload.Succeeded:
		st.over(CauseFinished)
	case workload.Failed:
		st.over(CauseFailed)
	case workload.Stopped:
		st.over(CauseStoppedElsewhere)
	case workload.Gone:
		if st.s.Status == Active {
			st.alert("lost", "The run is gone: complete lists no longer have it, and nobody said that it ended.")
		}
		st.over(CauseLost)
	case workload.Pending, workload.Stopping, workload.Unknown:
		st.ignored = "the run is " + string(st.e.State) + ": nothing to decide"
	}
}

// alive: RUNNING counts from the earliest sighting, and IDLE is a sighting of
// running too (S2.11); RUNNING means busy, IDLE starts the idle time (S2.14).
func (st *step) alive() {
	if st.s.Status != Active {
		alreadyEnding(st)
		return
	}
	if st.s.RunningSince.IsZero() || st.e.At.Before(st.s.RunningSince) {
		st.s.RunningSince = st.e.At
		st.s = st.s.withDeadline(st.now)
	}
	if !livySession(st.s.Run) || st.e.At.Before(st.s.Activity.At) {
		return
	}
	next := Activity{At: st.e.At, Busy: st.e.State == workload.Running}
	if !next.Busy {
		next.Since = st.e.At
		if !st.s.Activity.Busy && !st.s.Activity.Since.IsZero() {
			next.Since = st.s.Activity.Since
		}
	}
	st.s.Activity = next
}

// askAgain: a stop is asked for until it is seen, and a person is paged when
// that takes long (S2.6).
func (st *step) askAgain() {
	st.effect(Effect{Kind: Stop, Reason: string(st.s.End.Cause)})
	if st.s.PagedAt.IsZero() && st.s.End.Decided.Before(st.now) && st.now.Sub(st.s.End.Known) >= PageAfter {
		st.s.PagedAt = st.now
		st.page()
	}
}

// page names what keeps the run from stopping, where that is known (S2.9).
func (st *step) page() {
	text := "The run was asked to stop and is not seen stopped after " + PageAfter.String() + "; it is asked again until it is."
	if st.s.End.Stuck != "" {
		text += " It waits for this: " + st.s.End.Stuck
	}
	st.effect(Effect{Kind: Page, Reason: "stop-unconfirmed", Text: text})
}

// waiterRegistered: whoever waits starts the run too, where there is none yet. One
// event says both, for each is a write of the session.
func (st *step) waiterRegistered() {
	st.s.Waiter = st.e.Token
	if st.s.Status == Active && st.s.Run.ID == "" {
		st.startAsked()
	}
}

// placed notes the run's own name and on which cluster it is executed, once each:
// they stay.
func (st *step) placed() {
	st.s.Run.Name = cmp.Or(st.s.Run.Name, st.e.Name)
	st.s.Run.Cluster = cmp.Or(st.s.Run.Cluster, st.e.Cluster)
}

// billed notes what the run is billed by, until it is known: a start states it.
func (st *step) billed() {
	if st.e.Billing.Adds(st.s.Run.Billing) {
		st.s.Run.Billing = st.e.Billing
	}
}

// startAsked: the newest try counts. A start that the engine throttles is tried
// for ten minutes; counted from the first try, a listing would disprove it while
// the next one is on its way, and its run would be born of a session that has
// ended (S2.4).
func (st *step) startAsked() { st.s.StartAskedAt = latest(st.s.StartAskedAt, st.e.At) }

// runStarted gives the session its run. While ENDING the run ends too: no run
// escapes by being born (S2.4).
func (st *step) runStarted() {
	if st.s.Run.ID != "" {
		st.ignored = "the run is known already"
		return
	}
	st.s.Run.ID = st.e.Run.ID
	st.there()
	st.placed()
	st.billed()
	if st.s.Status == Ending {
		st.effect(Effect{Kind: Stop, Reason: string(st.s.End.Cause)})
		return
	}
	st.effect(Effect{Kind: Watch})
}

// runMissed notes since when the run is missing: a list that lacks it proves nothing
// until its driver cannot live on, counted from the first such list (S2.1).
func (st *step) runMissed() {
	if !st.s.Missed.Since.IsZero() {
		st.ignored = "that lists lack it is known already"
		return
	}
	st.s.Missed = Missed{Since: st.e.At, Known: st.e.Since}
}

// there: the run was seen, and so is not missing; a sighting of before the first list
// that lacks it, which is written down late, does not say so.
func (st *step) there() {
	if !st.e.At.Before(st.s.Missed.Since) {
		st.s.Missed = Missed{}
	}
}

// startDisproved: there is no run and there will be none.
func (st *step) startDisproved() {
	if st.s.Run.ID != "" {
		st.ignored = "the run was seen: its start cannot be disproved"
		return
	}
	if d := st.e.Detail; d != "" {
		st.e.Evidence += ": " + d[:min(len(d), evidenceMax)]
	}
	st.over(CauseFailed)
}

// evidenceMax bounds the engine's own words in a record; the rest is in its log.
const evidenceMax = 512

func (st *step) stopAccepted() {
	if st.s.End.Asked.IsZero() {
		st.s.End.Asked = st.e.At
	}
	st.s.End.AskedLast = latest(st.s.End.AskedLast, st.e.At)
}

// stopRefused notes that the engine will not take our request; it is asked for
// ever all the same (S2.6).
func (st *step) stopRefused() {
	if !st.s.End.Refused.IsZero() {
		st.ignored = "that the engine refuses is known already"
		return
	}
	st.s.End.Refused = st.e.At
}

// stopStuck notes what keeps the run from stopping. A person who was paged
// before it was known is paged again, with its name (S2.9).
func (st *step) stopStuck() {
	if st.e.Detail == "" || st.e.Detail == st.s.End.Stuck {
		st.ignored = "what keeps the run from stopping is known already"
		return
	}
	st.s.End.Stuck = st.e.Detail
	if !st.s.PagedAt.IsZero() {
		st.page()
	}
}
