package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"nightshift/internal/fault"
	"nightshift/internal/session"
)

// Actor is who calls a use case of people. An administrator sees and acts on
// everything, a user on the sessions of User only. The history names Name.
type Actor struct {
	Name  string
	Admin bool
	User  string // "" for an administrator who is no user
}

// may answers whether the actor may see and act on sessions of a user.
func (who Actor) may(user string) bool { return who.Admin || who.User != "" && who.User == user }

// admin refuses everybody else.
func (who Actor) admin(op string) error {
	if who.Admin {
		return nil
	}
	return fault.Newf(op, fault.Denied, "only an administrator may do this")
}

// own refuses what is another user's.
func (who Actor) own(op, user string) error {
	if who.may(user) {
		return nil
	}
	return fault.Newf(op, fault.Denied, "a user sees and acts on their own sessions only")
}

// seen reads a session for an actor. Another user's is not found, as one that is
// not there: ids are nobody's business.
func (a *App) seen(ctx context.Context, who Actor, id string) (session.Session, error) {
	s, err := a.Store.Session(ctx, id)
	if err == nil && !who.may(s.User) {
		err = errNoSession(id)
	}
	return s, err
}

func errNoSession(id string) error {
	return fault.Newf("read session", fault.NotFound, "there is no session %q", id)
}

// Act is what somebody asks for through Nightshift. Key is the caller's name of
// it: repeating a key repeats what was first asked and does nothing twice. ""
// makes one.
type Act struct {
	Who Actor
	Key string
	Why string // for the record
}

// whyMax bounds the reason that a person gives, in bytes.
const whyMax = 200

func (c Act) check(op string) error {
	if len(c.Why) > whyMax || strings.ContainsFunc(c.Why, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return Field(op, "why", "a text of at most 200 characters in one line")
	}
	return nil
}

// FieldError is a refusal of one field of what somebody asked for.
type FieldError struct {
	Field   string
	Allowed string
}

func (e *FieldError) Error() string { return e.Field + ": it must be " + e.Allowed }

// Field makes a refusal of kind Invalid that names the field and what is allowed
// there.
func Field(op, field, allowed string) error {
	return fault.New(op, fault.Invalid, &FieldError{field, allowed})
}

func checkUser(op, field, user string) error {
	if session.ValidUser(user) {
		return nil
	}
	return Field(op, field, "the id of a user: letters, digits, '.', '_' and '-', at most 128")
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// actFacts begins the name under which an act is recorded, as facts about a user
// are: written first, and pending until each session that it names has seen it.
// Its one fact carries who, when and why in By, At and Evidence, and in Detail
// what was asked for and, after a line break, the sessions that it names. It is
// kept for good: it is the audit record of the act.
const actFacts = "act/"

// actSessionsMax bounds the sessions that one act names: their ids must fit in
// one item of the table, of 400 KB. Who has more must narrow the selector.
const actSessionsMax = 10_000

// recorded is an act as it was first asked for.
type recorded struct {
	Event    session.Event // what its sessions see; Detail is empty
	Asked    string        // what was asked for, for a comparison
	Sessions []string
}

// record writes an act down before it is carried out, or answers the one of the
// same key that was. Conflict: the key was used for something else. pending: its
// sessions are to see the event, which the sweep guarantees.
func (a *App) record(ctx context.Context, act Act, r recorded, pending bool) (recorded, error) {
	r.Event.ID, r.Event.By = act.Key, act.Who.Name
	if r.Event.ID == "" {
		r.Event.ID = "act-" + digest(act.Who.Name, r.Asked, a.Now().UTC().Format(time.RFC3339Nano))
	}
	r.Event.At, r.Event.Known = a.Now(), a.Now()
	r.Event.Evidence = "act " + r.Event.ID
	if act.Why != "" {
		r.Event.Evidence += ": " + act.Why
	}
	kept := r.Event
	kept.Detail = r.Asked + "\n" + strings.Join(r.Sessions, ",")
	u := session.UserFacts{User: actFacts + r.Event.ID, Version: 1, Facts: []session.Event{kept}}
	if pending {
		u.Pending, u.PendingSince = []session.Event{r.Event}, a.Now()
	}
	err := a.Store.PutUser(ctx, u)
	if err == nil {
		return r, nil
	}
	if !fault.Is(err, fault.Conflict) {
		return r, err
	}
	act.Key = r.Event.ID
	first, _, err := a.repeated(ctx, act, r.Asked)
	return first, err
}

// why is the reason that its actor gave.
func (r recorded) why() string {
	_, why, _ := strings.Cut(r.Event.Evidence, ": ")
	return why
}

// recordOf reads an act; NotFound where there is none of that key.
func (a *App) recordOf(ctx context.Context, key string) (recorded, error) {
	u, err := a.Store.User(ctx, actFacts+key)
	if err != nil {
		return recorded{}, err
	}
	if u.Version == 0 {
		return recorded{}, fault.Newf("read act", fault.NotFound, "there is no act %q", key)
	}
	return recordIn(u), nil
}

// repeated is the act of the same key, where there is one. Conflict: the key was
// used for something else.
func (a *App) repeated(ctx context.Context, act Act, asked string) (recorded, bool, error) {
	if act.Key == "" {
		return recorded{}, false, nil
	}
	first, err := a.recordOf(ctx, act.Key)
	switch {
	case fault.Is(err, fault.NotFound):
		return first, false, nil
	case err == nil && (first.Asked != asked || first.Event.By != act.Who.Name):
		err = fault.Newf("act", fault.Conflict, "the key %q was used for something else: take another one", act.Key)
	}
	return first, err == nil, err
}

func recordIn(u session.UserFacts) recorded {
	r := recorded{Event: u.Facts[0]}
	asked, ids, _ := strings.Cut(r.Event.Detail, "\n")
	r.Asked, r.Event.Detail = asked, ""
	if ids != "" {
		r.Sessions = strings.Split(ids, ",")
	}
	return r
}

// carry brings an act to whom it is about: the user, and each session it names.
func (a *App) carry(ctx context.Context, r recorded) error {
	if r.Event.User != "" {
		if err := a.note(ctx, r.Event.User, r.Event); err != nil {
			return err
		}
	}
	return a.applyAll(ctx, r.Sessions, r.Event)
}

// Acted is what became of a session by an act.
type Acted struct {
	ID      string // of the act
	Session session.Session
}

// Stop asks for one session's run to be stopped.
func (a *App) Stop(ctx context.Context, act Act, id string) (Acted, error) {
	if err := act.check("stop session"); err != nil {
		return Acted{}, err
	}
	if _, err := a.seen(ctx, act.Who, id); err != nil {
		return Acted{}, err
	}
	r, err := a.record(ctx, act, recorded{Event: session.Event{Kind: session.StopRequested}, Asked: "stop " + id, Sessions: []string{id}}, true)
	if err != nil {
		return Acted{}, err
	}
	s, err := a.Apply(ctx, id, r.Event)
	return Acted{r.Event.ID, s}, err
}

// Refusal is an act that is understood and not possible; Remedy says what is.
type Refusal struct {
	Reason, Remedy string
	Passing        bool // it will be possible without anybody doing anything
}

func (e *Refusal) Error() string { return e.Reason }

// Restart is what can be done where an end cannot be moved.
const Restart = "Start the run again: a new session has a new end. A run that writes checkpoints goes on from the last one."

// Extend moves a session's end (S8.2). until is the new end; where it is zero,
// by is how much later than the present one it is to be.
func (a *App) Extend(ctx context.Context, act Act, id string, until time.Time, by time.Duration) (Acted, error) {
	const op = "extend session"
	if err := act.check(op); err != nil {
		return Acted{}, err
	}
	s, err := a.seen(ctx, act.Who, id)
	if err != nil {
		return Acted{}, err
	}
	asked := "extend " + id + " until " + stamp(until)
	if until.IsZero() {
		asked = "extend " + id + " by " + by.String()
		until = s.Deadline.Add(by)
	}
	r, again, err := a.repeated(ctx, act, asked)
	if err != nil {
		return Acted{}, err
	}
	if !again {
		policy, err := a.Store.Policy(ctx)
		if err != nil {
			return Acted{}, err
		}
		e := session.Event{Kind: session.Extended, Until: until}
		if d := session.Decide(s, e, policy, a.Now()); !d.Next.Extended.Equal(until) {
			return Acted{}, fault.New(op, fault.Denied, &Refusal{Reason: d.Ignored, Remedy: Restart})
		}
		if r, err = a.record(ctx, act, recorded{Event: e, Asked: asked}, false); err != nil {
			return Acted{}, err
		}
	}
	if s, err = a.Apply(ctx, id, r.Event); err == nil && s.Extended.Before(r.Event.Until) {
		err = fault.New(op, fault.Denied, &Refusal{Reason: "the end could not be moved: the session or the policy has changed meanwhile", Remedy: Restart})
	}
	return Acted{r.Event.ID, s}, err
}

// People is a user's facts for people.
type People struct {
	Facts session.UserFacts
	Live  int // sessions that have not ended
}

// User tells what is known of a user.
func (a *App) User(ctx context.Context, who Actor, user string) (People, error) {
	const op = "read user"
	if err := first(checkUser(op, "user", user), who.own(op, user)); err != nil {
		return People{}, err
	}
	facts, err := a.Store.User(ctx, user)
	if err != nil {
		return People{}, err
	}
	live, err := a.ofUser(ctx, user)
	if !a.Now().Before(facts.Lock.Until) {
		facts.Lock = session.Lock{}
	}
	return People{facts, len(live)}, err
}

// Lock refuses new starts of a user until a moment, or for so long, and says why
// (S8.6). Neither takes the lock away.
func (a *App) Lock(ctx context.Context, act Act, user string, until time.Time, lasting time.Duration) (People, error) {
	const op = "lock user"
	if err := first(act.Who.admin(op), act.check(op), checkUser(op, "user", user)); err != nil {
		return People{}, err
	}
	asked := "lock " + user + " until " + stamp(until) + " for " + lasting.String() + ": " + act.Why
	r, again, err := a.repeated(ctx, act, asked)
	if err != nil {
		return People{}, err
	}
	if !again {
		e := session.Event{Kind: session.UserUnlocked, User: user}
		if !until.IsZero() || lasting > 0 {
			e.Kind, e.Until = session.UserLocked, until
			if until.IsZero() {
				e.Until = a.Now().Add(lasting)
			}
			if err := a.checkLock(op, act, e.Until); err != nil {
				return People{}, err
			}
		}
		if r, err = a.record(ctx, act, recorded{Event: e, Asked: asked}, false); err != nil {
			return People{}, err
		}
	}
	if err := a.lock(ctx, user, r); err != nil {
		return People{}, fmt.Errorf("%s: %w", op, err)
	}
	return a.User(ctx, act.Who, user)
}

func (a *App) checkLock(op string, act Act, until time.Time) error {
	if act.Why == "" {
		return Field(op, "why", "said: it is told to whoever is refused a start")
	}
	if now := a.Now(); !until.After(now) || until.Sub(now) > session.DurationMax {
		return Field(op, "until", "later than now, and at most 90 days away")
	}
	return nil
}

// lock writes a lock, or its end, on the user. Starts read it there under the
// condition of their opening; what runs is not touched, so that no session needs
// to be told.
func (a *App) lock(ctx context.Context, user string, r recorded) error {
	return a.changeUser(ctx, user, func(u session.UserFacts) (session.UserFacts, bool) {
		next, news := u.With(r.Event, a.Now())
		next.Pending, next.PendingSince = u.Pending, u.PendingSince
		next.Lock = session.Lock{}
		if r.Event.Kind == session.UserLocked {
			next.Lock = session.Lock{Until: r.Event.Until, By: r.Event.By, Why: r.why()}
		}
		// Where a newer lock or unlock is known, this one is repeated too late.
		for _, f := range u.Facts {
			if (f.Kind == session.UserLocked || f.Kind == session.UserUnlocked) && f.At.After(r.Event.At) {
				news = false
			}
		}
		return next, news
	})
}

// changeUser writes facts; a lost race is decided again. alter answers false to
// leave them as they are.
func (a *App) changeUser(ctx context.Context, about string, alter func(session.UserFacts) (session.UserFacts, bool)) error {
	for range raceMax {
		u, err := a.Store.User(ctx, about)
		if err != nil {
			return err
		}
		next, changed := alter(u)
		if !changed {
			return nil
		}
		next.User, next.Version = about, u.Version+1
		if err = a.Store.PutUser(ctx, next); err == nil || !fault.Is(err, fault.Conflict) {
			return err
		}
	}
	return fault.Newf("write facts", fault.Conflict, "%d races lost", raceMax)
}
