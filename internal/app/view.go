package app

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"nightshift/internal/fault"
	"nightshift/internal/proof"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Selector picks sessions; what is zero picks all.
type Selector struct {
	User      string
	Engine    workload.Engine
	Endpoint  string
	Mode      session.Mode
	DueWithin time.Duration // whose deadline is at most so far away
}

func (f Selector) matches(s session.Session, now time.Time) bool {
	return (f.User == "" || f.User == s.User) &&
		(f.Engine == "" || f.Engine == s.Run.Engine) &&
		(f.Endpoint == "" || f.Endpoint == s.Run.Endpoint) &&
		(f.Mode == "" || f.Mode == s.Mode) &&
		(f.DueWithin == 0 || !s.Deadline.IsZero() && s.Deadline.Sub(now) <= f.DueWithin)
}

// Filter picks what a list shows.
type Filter struct {
	Selector
	Ended  bool           // those that have ended too
	Status session.Status // "" is any
}

// place is where a list goes on: in which endpoint's index, and where in it.
type place struct {
	Endpoint string `json:"e,omitempty"`
	Cursor   string `json:"c,omitempty"`
}

func (p place) String() string {
	b, _ := json.Marshal(p) // two texts always can be
	return base64.RawURLEncoding.EncodeToString(b)
}

func placeOf(op, cursor string) (place, error) {
	var p place
	if cursor == "" {
		return p, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil {
		return p, Field(op, "cursor", "the next of an answer before")
	}
	return p, nil
}

// List gives one page of the sessions that the actor may see. It may be stale by
// as much as an index lags, and a page may be empty without being the last.
func (a *App) List(ctx context.Context, who Actor, f Filter, cursor string) (Page, error) {
	const op = "list sessions"
	if !who.Admin {
		if f.User == "" {
			f.User = who.User
		}
		if err := who.own(op, f.User); err != nil {
			return Page{}, err
		}
	}
	at, err := placeOf(op, cursor)
	if err != nil {
		return Page{}, err
	}
	now := a.Now()
	var all Page
	for range pagesMax {
		var page Page
		if page, at, err = a.page(ctx, f, at); err != nil {
			if fault.Is(err, fault.Invalid) {
				return Page{}, Field(op, "cursor", "the next of an answer before, to the same question")
			}
			return Page{}, fmt.Errorf("list sessions: %w", err)
		}
		for _, s := range page.Sessions {
			if f.matches(s, now) && (f.Ended || s.Status != session.Ended) && (f.Status == "" || f.Status == s.Status) {
				all.Sessions = append(all.Sessions, s)
			}
		}
		if at == (place{}) {
			return all, nil
		}
		if len(all.Sessions) >= sessionsWanted {
			break
		}
	}
	all.Next = at.String()
	return all, nil
}

// An answer looks at pages of an index until it has sessionsWanted that fit, and
// at no more than pagesMax; the next question goes on from there.
const (
	sessionsWanted = 50
	pagesMax       = 10
)

// page reads a page of the index that fits the question best, and says where the
// next one begins; zero: nowhere.
func (a *App) page(ctx context.Context, f Filter, at place) (Page, place, error) {
	var page Page
	var err error
	switch {
	case f.Ended:
		page, err = a.Store.List(ctx, at.Cursor)
	case f.User != "":
		page, err = a.Store.OfUser(ctx, f.User, at.Cursor)
	case f.Endpoint != "":
		page, err = a.Store.OfEndpoint(ctx, f.Endpoint, at.Cursor)
	default:
		return a.pageOfAll(ctx, at)
	}
	return page, place{Cursor: page.Next}, err
}

// pageOfAll goes through the endpoints in order.
func (a *App) pageOfAll(ctx context.Context, at place) (Page, place, error) {
	ids, err := a.endpointIDs(ctx)
	if err != nil {
		return Page{}, place{}, err
	}
	i, found := slices.BinarySearch(ids, at.Endpoint)
	if !found {
		at.Cursor = "" // it is gone, or nowhere yet: the next one, from its beginning
	}
	for ; i < len(ids); i++ {
		page, err := a.Store.OfEndpoint(ctx, ids[i], at.Cursor)
		switch {
		case err != nil:
			return Page{}, place{}, err
		case page.Next != "":
			return page, place{ids[i], page.Next}, nil
		case i+1 < len(ids) && len(page.Sessions) > 0:
			return page, place{Endpoint: ids[i+1]}, nil
		case i+1 == len(ids):
			return page, place{}, nil
		}
		at.Cursor = ""
	}
	return Page{}, place{}, nil
}

func (a *App) endpointIDs(ctx context.Context) ([]string, error) {
	var ids []string
	err := a.endpoints(ctx, func(e Endpoint) error {
		ids = append(ids, e.ID)
		return nil
	})
	slices.Sort(ids)
	return ids, err
}

// ofUser reads the user's sessions that have not ended, as far as the index has them.
func (a *App) ofUser(ctx context.Context, user string) ([]session.Session, error) {
	var all []session.Session
	err := pages(func(c string) (Page, error) { return a.Store.OfUser(ctx, user, c) }, func(s session.Session) { all = append(all, s) })
	if err != nil {
		return nil, fmt.Errorf("list sessions of user: %w", err)
	}
	return all, nil
}

// Story is a session with everything that tells why it is as it is.
type Story struct {
	Session   session.Session
	Entries   []Entry
	Told      []session.Telling // of each entry
	SignOut   session.Decision  // what a sign-out now would do
	Extension session.Extension
	Chain     error  // nil: the history's hashes are intact
	Next      string // the session that follows it: its run was started again (S4.4); "" is none
}

// Story tells a session's whole story.
func (a *App) Story(ctx context.Context, who Actor, id string) (Story, error) {
	if _, err := a.seen(ctx, who, id); err != nil {
		return Story{}, err
	}
	s, entries, err := a.SessionStory(ctx, id)
	if err != nil {
		return Story{}, err
	}
	policy, err := a.Store.Policy(ctx)
	if err != nil {
		return Story{}, err
	}
	now := a.Now()
	story := Story{Session: s, Entries: entries, SignOut: a.signOut(s, policy), Extension: s.Extendable(policy, now), Chain: chain(entries)}
	before := session.Snapshot{}
	for _, e := range entries {
		after := session.Snapshot{Status: e.To, Mode: e.Mode, Deadline: e.Deadline, Source: e.Source, Cause: e.Cause}
		story.Told = append(story.Told, session.Tell(e.Event, before, after, e.Note))
		before = after
	}
	if s.Status == session.Ended {
		story.Next, err = a.Successor(ctx, s.ID)
	}
	return story, err
}

// signOut is what a sign-out now would do to a session (S8.2).
func (a *App) signOut(s session.Session, p session.Policy) session.Decision {
	now := a.Now()
	return session.Decide(s, session.Event{Kind: session.SignOut, At: now, User: s.User}, p, now)
}

// Survives says whether a session would go on if its user signed out now:
// unknown where it would, but with an alert, and where it does not run any more.
func (a *App) Survives(s session.Session) session.Tri {
	if s.Status != session.Active || s.Mode == session.ModeUnknown {
		return session.Unknown
	}
	if a.signOut(s, s.Policy).Next.Status == session.Active {
		return session.On
	}
	return session.Off
}

// chain verifies the hashes of a history.
func chain(entries []Entry) error {
	previous := proof.Genesis
	for i, e := range entries {
		hash, err := e.Seal()
		switch {
		case err != nil:
			return err
		case e.Version != int64(i+1):
			return fmt.Errorf("entry %d is missing", i+1)
		case e.Previous != previous || e.Hash != hash:
			return fmt.Errorf("entry %d was changed", e.Version)
		}
		previous = e.Hash
	}
	return nil
}

// Told is something a person was told: a notice to a user, an alert or a page to
// an administrator.
type Told struct {
	ID      string
	At      time.Time
	Effect  session.Effect
	Session session.Session
}

// Notices lists what users and administrators were told about the sessions of
// one page of all, from their histories; newest first within the page.
func (a *App) Notices(ctx context.Context, who Actor, cursor string) ([]Told, string, error) {
	page, err := a.List(ctx, who, Filter{Ended: true}, cursor)
	if err != nil {
		return nil, "", err
	}
	found, errs := make([][]Told, len(page.Sessions)), make([]error, len(page.Sessions))
	tasks := make([]func(context.Context), len(page.Sessions))
	for i, s := range page.Sessions {
		tasks[i] = func(ctx context.Context) {
			var entries []Entry
			_, entries, errs[i] = a.SessionStory(ctx, s.ID)
			found[i] = toldIn(s, entries)
		}
	}
	a.Parallel(ctx, fanOutParallel, tasks)
	for _, err := range errs {
		if err != nil {
			return nil, "", err
		}
	}
	all := slices.Concat(found...)
	slices.SortStableFunc(all, func(x, y Told) int { return y.At.Compare(x.At) })
	return all, page.Next, nil
}

func toldIn(s session.Session, entries []Entry) []Told {
	var all []Told
	for _, e := range entries {
		for i, effect := range e.Effects {
			switch effect.Kind {
			case session.Notify, session.Notice, session.Alert, session.Page:
				all = append(all, Told{fmt.Sprintf("%s-%d", session.EffectID(s.ID, e.Version, effect.Kind), i), e.At, effect, s})
			case session.Stop, session.ReleaseWaiter, session.Watch, session.Announce:
			}
		}
	}
	return all
}

// Drainage is how far an endpoint is with what must end.
type Drainage struct {
	Endpoint Endpoint
	Live     int
	Ending   int
	Waiting  int       // of those, for whom the engine has accepted no stop request
	Oldest   time.Time // when the earliest cause of them was known
	ETA      time.Duration
	Capacity int // live runs that can all be stopped within the promise (S2.9)
	Stops    float64
}

// Drains tells how far each endpoint's drain is.
func (a *App) Drains(ctx context.Context, who Actor) ([]Drainage, error) {
	if err := who.admin("list endpoints"); err != nil {
		return nil, err
	}
	var all []Drainage
	err := a.endpoints(ctx, func(e Endpoint) error {
		live, err := a.live(ctx, e.ID)
		if err != nil {
			return err
		}
		set := a.settings(e.ID)
		waiting, _ := unasked(live)
		d := Drainage{Endpoint: e, Live: len(live), Waiting: waiting, Capacity: set.Capacity(), Stops: set.Stop.PerSecond}
		for _, s := range live {
			if s.Status != session.Ending {
				continue
			}
			d.Ending++
			if d.Oldest.IsZero() || s.End.Known.Before(d.Oldest) {
				d.Oldest = s.End.Known
			}
		}
		d.ETA = set.Stop.Until(e.Stops, d.Waiting, a.Now()).Round(time.Second)
		all = append(all, d)
		return nil
	})
	slices.SortFunc(all, func(x, y Drainage) int { return cmp.Compare(x.Endpoint.ID, y.Endpoint.ID) })
	return all, err
}
