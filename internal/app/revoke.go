package app

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"nightshift/internal/fault"
	"nightshift/internal/session"
)

// Target says which sessions an act is about: exactly one of its fields is set.
type Target struct {
	Session  string
	User     string // all of the user's, also those that are being opened
	Selector *Selector
}

func (t Target) check(op string) error {
	n := 0
	for _, given := range []bool{t.Session != "", t.User != "", t.Selector != nil} {
		if given {
			n++
		}
	}
	switch {
	case n != 1:
		return Field(op, "target", "exactly one of session, user and selector")
	case t.User != "":
		return checkUser(op, "target.user", t.User)
	case t.Selector != nil && *t.Selector == (Selector{}):
		return Field(op, "target.selector", "at least one of user, engine, endpoint, mode and dueWithin")
	}
	return nil
}

// targets reads the sessions of a target that the actor may see, fresh; of one
// session also where it has ended.
func (a *App) targets(ctx context.Context, who Actor, t Target) ([]session.Session, error) {
	const op = "select sessions"
	if err := t.check(op); err != nil {
		return nil, err
	}
	if t.Session != "" {
		s, err := a.seen(ctx, who, t.Session)
		return []session.Session{s}, err
	}
	f := Selector{User: t.User}
	if t.Selector != nil {
		f = *t.Selector
	}
	if !who.Admin && f.User == "" {
		f.User = who.User
	}
	if err := who.own(op, f.User); err != nil {
		return nil, err
	}
	return a.selected(ctx, f)
}

// selected reads the live sessions that a selector picks, fresh.
func (a *App) selected(ctx context.Context, f Selector) ([]session.Session, error) {
	var found []session.Session
	var err error
	switch {
	case f.User != "":
		found, err = a.ofUser(ctx, f.User)
	case f.Endpoint != "":
		found, err = a.live(ctx, f.Endpoint)
	default:
		err = a.endpoints(ctx, func(e Endpoint) error {
			live, err := a.live(ctx, e.ID)
			found = append(found, live...)
			return err
		})
	}
	now := a.Now()
	return slices.DeleteFunc(found, func(s session.Session) bool { return !f.matches(s, now) }), err
}

// Outcome of what would happen to a session.
type Fated string

// The outcomes, in the order in which they are shown.
const (
	FateEnds    Fated = "ends"          // it is asked to stop, then seen stopped
	FateCloses  Fated = "closes"        // it is over at once
	FateChanges Fated = "changes"       // it goes on, with another mode or end
	FateAlert   Fated = "goes-on-alert" // it goes on, and an administrator is told
	FateGoesOn  Fated = "goes-on"
	FateEnding  Fated = "ending" // it was so before
	FateEnded   Fated = "ended"  // it was so before
)

var fatedOrder = []Fated{FateEnds, FateCloses, FateChanges, FateAlert, FateGoesOn, FateEnding, FateEnded}

// Fate is what would become of one session, and why.
type Fate struct {
	Before, After session.Session
	Outcome       Fated
	Why           string
}

// fateOf reads a decision.
func fateOf(before session.Session, d session.Decision) Fate {
	f := Fate{Before: before, After: d.Next, Outcome: FateGoesOn, Why: d.Ignored}
	alert := slices.IndexFunc(d.Effects, func(e session.Effect) bool { return e.Kind == session.Alert })
	switch after := d.Next; {
	case before.Status == session.Ended:
		f.Outcome, f.Why = FateEnded, "it has ended, because "+session.Because(before.End.Cause)
	case before.Status == session.Ending:
		f.Outcome, f.Why = FateEnding, "it is already ending, because "+session.Because(before.End.Cause)
	case after.Status == session.Ending:
		f.Outcome, f.Why = FateEnds, "because "+session.Because(after.End.Cause)
	case after.Status == session.Ended:
		f.Outcome, f.Why = FateCloses, "because "+session.Because(after.End.Cause)
	case after.Mode != before.Mode || !after.Deadline.Equal(before.Deadline):
		f.Outcome = FateChanges
	case alert >= 0:
		f.Outcome, f.Why = FateAlert, d.Effects[alert].Text
	}
	if f.Why == "" {
		f.Why = "nothing that is decided about it changes"
	}
	return f
}

// Load is what an endpoint would have to do.
type Load struct {
	Endpoint string
	Ends     int           // sessions that would be asked to stop
	Ahead    int           // that must be asked anyway, before them or beside them
	ETA      time.Duration // until the last of all is asked, at the endpoint's rate
}

// Forecast is what would happen to some sessions.
type Forecast struct {
	At     time.Time // the moment that was decided for
	Fates  []Fate    // those that end first
	Counts map[Fated]int
	Loads  []Load // of endpoints where something would end
	Plan   string // names the sessions that would end
}

// ETA is until the last run is asked to stop.
func (f Forecast) ETA() time.Duration {
	var most time.Duration
	for _, l := range f.Loads {
		most = max(most, l.ETA)
	}
	return most
}

// ending are the ids of the sessions that would end, in order.
func (f Forecast) ending() []string {
	var ids []string
	for _, x := range f.Fates {
		if x.Outcome == FateEnds || x.Outcome == FateCloses {
			ids = append(ids, x.Before.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// forecast sums fates up and says how long the endpoints would take (S2.9).
func (a *App) forecast(ctx context.Context, at time.Time, fates []Fate) (Forecast, error) {
	f := Forecast{At: at, Fates: fates, Counts: map[Fated]int{}}
	ends := map[string]int{}
	for _, x := range fates {
		f.Counts[x.Outcome]++
		if x.Outcome == FateEnds {
			ends[x.Before.Run.Endpoint]++
		}
	}
	slices.SortStableFunc(f.Fates, func(x, y Fate) int {
		return cmp.Or(
			cmp.Compare(slices.Index(fatedOrder, x.Outcome), slices.Index(fatedOrder, y.Outcome)),
			cmp.Compare(x.Before.User, y.Before.User), cmp.Compare(x.Before.ID, y.Before.ID))
	})
	f.Plan = digest(f.ending()...)
	for _, id := range sortedKeys(ends) {
		l := Load{Endpoint: id, Ends: ends[id]}
		live, err := a.live(ctx, id)
		if err != nil {
			return f, err
		}
		e, err := a.Store.Endpoint(ctx, id)
		if err != nil {
			return f, fmt.Errorf("tell the time of a mass stop: %w", err)
		}
		l.Ahead, _ = unasked(live)
		l.ETA = a.settings(id).Stop.Until(e.Stops, l.Ends+l.Ahead, a.Now()).Round(time.Second)
		f.Loads = append(f.Loads, l)
	}
	return f, nil
}

// Revocation is an administrator's end of sessions, or its preview.
type Revocation struct {
	ID       string // "" for a preview
	By       string
	At       time.Time
	Why      string
	Target   Target
	Forecast Forecast
	Progress Progress
}

// Progress is how far the sessions of an act are.
type Progress struct {
	Total, Waiting, Asked, Ended int
	ETA                          time.Duration // until the last is asked to stop
}

// Revoke ends the sessions of a target, whatever their mode (S2: an
// administrator stops it through Nightshift), or with preview says what would
// end and writes nothing: both are the same code but for the write. plan is that
// of a preview: Conflict where other sessions would now end than it showed; ""
// does not compare.
func (a *App) Revoke(ctx context.Context, act Act, t Target, preview bool, plan string) (Revocation, error) {
	const op = "revoke"
	if err := act.Who.admin(op); err != nil {
		return Revocation{}, err
	}
	if err := act.check(op); err != nil {
		return Revocation{}, err
	}
	asked, err := json.Marshal(t)
	if err != nil {
		return Revocation{}, fault.New(op, fault.Invalid, err)
	}
	if !preview {
		first, again, err := a.repeated(ctx, act, string(asked))
		if err != nil {
			return Revocation{}, err
		}
		if again {
			r, err := a.Revocation(ctx, act.Who, act.Key)
			if err != nil {
				return r, err
			}
			return a.started(ctx, r, first) // what was done is not done twice
		}
	}
	found, err := a.targets(ctx, act.Who, t)
	if err != nil {
		return Revocation{}, err
	}
	e := session.Event{Kind: session.StopRequested, At: a.Now(), User: t.User, By: act.Who.Name}
	r := Revocation{By: act.Who.Name, At: e.At, Why: act.Why, Target: t}
	if r.Forecast, err = a.foresee(ctx, found, e); err != nil {
		return r, err
	}
	switch ids := r.Forecast.ending(); {
	case plan != "" && plan != r.Forecast.Plan:
		return r, fault.Newf(op, fault.Conflict, "other sessions would be ended than the preview showed: look at a new one")
	case preview:
		return r, nil
	case len(ids) > actSessionsMax:
		return r, fault.New(op, fault.Denied, &Refusal{Reason: fmt.Sprintf("%d sessions are more than one revocation can name, which is %d", len(ids), actSessionsMax), Remedy: "Narrow the selector, and repeat for the rest."})
	default:
		done, err := a.record(ctx, act, recorded{Event: e, Asked: string(asked), Sessions: ids}, true)
		if err != nil {
			return r, err
		}
		return a.started(ctx, r, done)
	}
}

// started carries an act that is recorded to its sessions. What fails here the
// sweep does: the act is accepted.
func (a *App) started(ctx context.Context, r Revocation, done recorded) (Revocation, error) {
	if err := a.carry(ctx, done); err != nil {
		a.Log.Warn("act is carried on by the sweep", "act", done.Event.ID, "error", err.Error())
	}
	r.ID, r.At = done.Event.ID, done.Event.At
	var err error
	r.Progress, err = a.howFar(ctx, done.Sessions)
	return r, err
}

// Revocation tells how far a revocation is.
func (a *App) Revocation(ctx context.Context, who Actor, id string) (Revocation, error) {
	const op = "read revocation"
	if err := who.admin(op); err != nil {
		return Revocation{}, err
	}
	done, err := a.recordOf(ctx, id)
	if err != nil {
		return Revocation{}, err
	}
	r := Revocation{ID: id, By: done.Event.By, At: done.Event.At, Why: done.why()}
	if done.Event.Kind != session.StopRequested || json.Unmarshal([]byte(done.Asked), &r.Target) != nil {
		return r, fault.Newf(op, fault.NotFound, "the act %q was no revocation", id)
	}
	sessions, err := a.Store.Sessions(ctx, done.Sessions)
	if err != nil {
		return r, err
	}
	fates := make([]Fate, len(sessions))
	for i, s := range sessions {
		fates[i] = fateOf(s, session.Decision{Next: s})
	}
	if r.Forecast, err = a.forecast(ctx, a.Now(), fates); err != nil {
		return r, err
	}
	r.Progress, err = a.howFar(ctx, done.Sessions)
	return r, err
}

// howFar counts how far sessions that are to end are.
func (a *App) howFar(ctx context.Context, ids []string) (Progress, error) {
	sessions, err := a.Store.Sessions(ctx, ids)
	if err != nil {
		return Progress{}, fmt.Errorf("read progress: %w", err)
	}
	p := Progress{Total: len(sessions)}
	waiting := map[string]bool{}
	for _, s := range sessions {
		switch {
		case s.Status == session.Ended:
			p.Ended++
		case s.Status == session.Ending && !s.End.Asked.IsZero():
			p.Asked++
		default:
			p.Waiting++
			waiting[s.Run.Endpoint] = true
		}
	}
	for _, id := range sortedKeys(waiting) {
		live, err := a.live(ctx, id)
		if err != nil {
			return p, err
		}
		eta, err := a.eta(ctx, id, live)
		if err != nil {
			return p, err
		}
		p.ETA = max(p.ETA, eta)
	}
	return p, nil
}
