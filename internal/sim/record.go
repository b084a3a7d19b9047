package sim

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// record is what is known of a session from the writes that were made.
type record struct {
	now       session.Session
	entries   int
	ended     int            // transitions to ENDED
	born      time.Time      // when it was written first
	named     time.Time      // when its run became known
	limitedAt time.Time      // when its deadline became what it is
	modes     []session.Mode // that it has had
}

// noted is the store, with each write's content kept until it is made.
type noted struct {
	app.Store
	w *World
}

func (n *noted) Open(ctx context.Context, o app.Opening) error {
	defer n.w.writes(&o.Session)()
	return n.Store.Open(ctx, o)
}

func (n *noted) Commit(ctx context.Context, c app.Commit) error {
	defer n.w.writes(&c.Next)()
	return n.Store.Commit(ctx, c)
}

// writes notes the write under way, until what it answers is called. No other chain
// runs meanwhile.
func (w *World) writes(next *session.Session) (done func()) {
	w.next, w.changing = *next, true
	return func() { w.changing = false }
}

func (n *noted) PutPolicy(ctx context.Context, p session.Policy) error {
	err := n.Store.PutPolicy(ctx, p)
	if err == nil {
		n.w.policies = append(n.w.policies, p)
	}
	return err
}

func (w *World) violate(rule, format string, args ...any) {
	v := Violation{Rule: rule, At: w.Clock.Now(), What: fmt.Sprintf(format, args...)}
	w.violations = append(w.violations, v)
	if w.tracing {
		w.say("VIOLATION %s", v)
	}
}

// committed judges each write as it is made: the invariants that hold after
// every step.
func (w *World) committed(e *app.Entry) {
	if !w.changing || w.next.ID != e.SessionID || w.next.Version != e.Version {
		w.violate("illegal", "session %s version %d was written by nobody", e.SessionID, e.Version)
		return
	}
	next := &w.next
	w.commits++
	now := w.Clock.Now()
	w.written = now
	if w.tracing {
		w.say("commit %s v%d %s -> %s by %s (%s) mode %s cause %s %s", e.SessionID, e.Version, e.From, e.To, e.Event.Kind, e.Event.ID, e.Mode, e.Cause, e.Note)
	}
	r := w.records[e.SessionID]
	if r == nil {
		r = &record{born: now, limitedAt: now}
		w.records[e.SessionID] = r
	}
	before := &r.now
	switch {
	case e.Version != before.Version+1:
		w.violate("illegal", "session %s: version %d follows %d; a history has no gaps", e.SessionID, e.Version, before.Version)
	case e.Previous != before.Head || e.Hash != next.Head:
		w.violate("illegal", "session %s version %d: the chain of its proof is broken", e.SessionID, e.Version)
	case before.Status == session.Ended:
		w.violate("illegal", "session %s: ENDED has changed, by %s (S2.3)", e.SessionID, e.Event.Kind)
	case e.From != before.Status || e.To != next.Status || before.Status == session.Ending && next.Status == session.Active:
		w.violate("illegal", "session %s: from %s to %s, and the entry says from %s to %s", e.SessionID, before.Status, next.Status, e.From, e.To)
	}
	if e.Changes() && e.End != next.End {
		w.violate("illegal", "session %s version %d: the entry does not have the story of the ending (S2.7)", e.SessionID, e.Version)
	}
	all := w.Options.Seed%explainEach == 0 || w.tracing
	if all || e.Changes() {
		if sum, err := e.Seal(); err != nil || sum != e.Hash {
			w.violate("illegal", "session %s version %d: the entry is not what was sealed (%v)", e.SessionID, e.Version, err)
		}
	}
	if e.Version > 1 && all {
		w.explain(before, *next, *e)
	}
	w.frozen(before, next)
	w.asks(e)
	r.note(next, now)
}

// frozen: what was frozen at the opening stays, and its policy is one that held (S1.6).
func (w *World) frozen(before, next *session.Session) {
	if before.Version == 0 {
		held := func(p session.Policy) bool { p.CostAlert = 0; return p == next.Policy }
		if !slices.ContainsFunc(w.policies, held) {
			w.violate("illegal", "session %s was opened with a policy that never held: %+v (S1.6)", next.ID, next.Policy)
		}
		return
	}
	if next.Policy != before.Policy || next.Facts != before.Facts || next.User != before.User || !next.OpenedAt.Equal(before.OpenedAt) || !next.RecordedAt.Equal(before.RecordedAt) {
		w.violate("illegal", "session %s version %d: what was frozen when it was opened has changed (S1.6)", next.ID, next.Version)
	}
}

// saying is something that an entry asks to be said: one of each kind and reason.
type saying struct {
	session string
	version int64
	kind    session.EffectKind
	reason  string
}

// asks notes what an entry asks to be said.
func (w *World) asks(e *app.Entry) {
	for _, effect := range e.Effects {
		switch effect.Kind {
		case session.Notify, session.Alert, session.Announce, session.Page, session.Notice:
			w.asked[saying{e.SessionID, e.Version, effect.Kind, effect.Reason}] = false
		case session.Stop, session.ReleaseWaiter, session.Watch:
		}
	}
}

// explainEach is of how many schedules one has every write decided a second time,
// from its history entry alone, and every entry's seal computed anew; in the others
// the seals of openings, stops and ends are. It costs a tenth of a schedule.
const explainEach = 4

func (r *record) note(next *session.Session, now time.Time) {
	before := &r.now
	r.entries++
	if next.Status == session.Ended && before.Status != session.Ended {
		r.ended++
	}
	if r.named.IsZero() && next.Run.ID != "" {
		r.named = now
	}
	if !next.Deadline.Equal(before.Deadline) {
		r.limitedAt = now
	}
	if next.Mode != before.Mode {
		r.modes = append(r.modes, next.Mode)
	}
	r.now = *next
}

// explain plays the entry again: the history explains the state.
func (w *World) explain(before *session.Session, next session.Session, e app.Entry) {
	if e.Event.Kind == session.WaiterRegistered {
		e.Event.Token = next.Waiter // the history tells tokens apart, and does not have them
	}
	next.Version, next.Head, next.Recent = before.Version, before.Head, before.Recent
	for i := len(w.policies) - 1; i >= 0; i-- {
		if d := session.Decide(*before, e.Event, w.policies[i], e.At); reflect.DeepEqual(&d.Next, &next) && d.Ignored == e.Note {
			return
		}
	}
	w.violate("illegal", "session %s version %d: %s at %s does not lead from the state before to the one after", e.SessionID, e.Version, e.Event.Kind, e.At)
}

// released judges the release of a waiter: only of a session that has ended.
func (w *World) released(o app.Outcome) {
	if r := w.records[o.SessionID]; r == nil || r.now.Status != session.Ended {
		w.violate("illegal", "the waiter of session %s is released, and it has not ended", o.SessionID)
	}
}

// announced judges what is said: the effect must have been wanted by an entry of
// the session.
func (w *World) announced(n app.Announcement) error {
	if w.tracing {
		w.say("announced %s %s %s", n.Kind, n.Session.ID, n.Effect.Reason)
	}
	r, what := w.records[n.Session.ID], saying{n.Session.ID, n.Entry.Version, n.Effect.Kind, n.Effect.Reason}
	_, asked := w.asked[what]
	switch {
	case n.Session.ID == "":
	case n.Entry.Version != 0 && !asked:
		w.violate("illegal", "%s is said of session %s, and version %d does not ask for it", n.Kind, n.Session.ID, n.Entry.Version)
	case n.Effect.Kind == session.Page && n.Session.Status != session.Ending, n.Effect.Kind == session.Notice && n.Session.Status != session.Active:
		w.violate("illegal", "%s of session %s, which is %s, is wanted no more", n.Effect.Kind, n.Session.ID, n.Session.Status)
	case r == nil:
		w.violate("illegal", "%s is said of session %s, which does not exist", n.Kind, n.Session.ID)
	case n.Kind == "session-ended" && r.now.Status != session.Ended, n.Kind == "session-ending" && r.now.Status == session.Active:
		w.violate("illegal", "%s is said of session %s, which is %s", n.Kind, n.Session.ID, r.now.Status)
	}
	if asked {
		w.asked[what] = true
	}
	return nil
}

// seen is an engine whose listings are noted as they reach the app.
type seen struct{ *Engine }

func (s seen) List(ctx context.Context, endpoint string) (workload.Listing, error) {
	l, err := s.Engine.List(ctx, endpoint)
	now := s.w.Clock.Now()
	if err == nil && l.Complete && apiOf(endpoint) == "livy" {
		s.showed(l, now)
	}
	i := invocationOf(ctx)
	drains := i != nil && i.function == "drain-endpoint" // a drain looks only for what it must end
	for _, o := range l.Runs {
		r := s.byRef[o.Run.Ref()]
		if r.Listed.IsZero() && !drains {
			r.Listed = now
		}
		if o.State == workload.Idle && r.IdleHad.IsZero() && !drains {
			r.IdleHad = now
		}
	}
	return l, err
}
