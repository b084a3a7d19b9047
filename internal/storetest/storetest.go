// Package storetest is the suite that every app.Store must pass. It knows the
// port and the core's values; it must not know a backend, and makes its own
// sessions and entries instead of asking the rules for them.
package storetest

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Harness is one empty store and what the suite needs besides the port.
type Harness struct {
	Store app.Store
	// SampleBody is the first body kept of a kind of event.
	SampleBody func(ctx context.Context, kind string) ([]byte, error)
	// Settle lets the indexes catch up.
	Settle func()
	// Stale holds the indexes back, or lets them go. A backend that cannot says
	// so by nil and by Declared: a case that is not run is never silent.
	Stale func(on bool)
	// Declared is how many cases this backend cannot show.
	Declared int
}

type suite struct {
	Harness
	ctx      context.Context
	declared *atomic.Int64
}

// Run runs every case, each on a store of its own.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	var declared atomic.Int64
	want := int64(-1)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := open(t)
			want = int64(h.Declared)
			c.run(t, suite{Harness: h, ctx: t.Context(), declared: &declared})
		})
	}
	if want < 0 {
		return // -run chose another test's cases
	}
	t.Logf("%d cases, %d of them declared as not to be shown by this backend", len(cases), declared.Load())
	if declared.Load() > want {
		t.Errorf("%d cases were not shown, %d are declared", declared.Load(), want)
	}
}

var cases = []struct {
	name string
	run  func(*testing.T, suite)
}{
	{"commit: of two from one version one wins (lost update)", lostUpdate},
	{"commit: a repetition is known by its hash", duplicateCommit},
	{"commit: frozen fields are refused (house 3)", frozenFields},
	{"commit: state and entry must belong together", mismatched},
	{"open: twice", openTwice},
	{"claim: one session per run, racing over Open and Commit (house 4)", claimRace},
	{"claim: moves from an ended session to its zombie (S2.3)", reclaim},
	{"sign-out against an opening, both orders (S2.4)", signOutBeforeOpen},
	{"sign-out racing openings (S2.4)", signOutRace},
	{"sessions: more than a batch, unknown and repeated ids", manySessions},
	{"lists: 250 sessions, each exactly once", pageSessions},
	{"lists: 250 users, endpoints, parked events, each exactly once", pageOthers},
	{"due: order, bound and completeness", due},
	{"ended sessions leave the lists of live ones", endedLeave},
	{"list: newest first over all pages", newestFirst},
	{"a stale index lists old copies, Session is fresh", staleIndex},
	{"crash between commit and effect: unfinished until Finish", unfinished},
	{"history: gapless, paged, chained", historyChain},
	{"history: the hash survives the round trip", hashSurvives},
	{"changes: of a session's status, in a time, each once (S8.4)", changes},
	{"a long life: history, changes, unfinished effects", longLife},
	{"anchors: kept once, newest first (S8.4)", anchors},
	{"endpoint: PutEndpoint and Wake lose nothing of each other", endpoints},
	{"endpoint: concurrent Wake adds all", wakeRace},
	{"user: conflicts and pending", users},
	{"policy: default and conflicts", policies},
	{"parked: kept once, newest first, bytes as they came (S3.6)", parking},
	{"sample: counts, keeps the first body, is listed (S3.1)", samples},
	{"mark: moves forward only", marks},
	{"cursor: malformed is Invalid", cursors},
	{"ids: hostile ones do not collide", hostileIDs},
	{"ids: empty and ill-formed are Invalid and named", emptyIDs},
	{"not found", notFound},
	{"round trip: every field of a session", everySessionField},
	{"round trip: every field of entry, user, endpoint, policy", everyOtherField},
	{"what goes in and comes out is a copy", copies},
	{"a context that is over", cancelled},
	{"notebooks: of two from one version one wins, and lists (S5.1)", notebooks},
	{"ledgers: of two from one version one wins (S6.1)", ledgers},
}

// base is when the suite's world begins: with nanoseconds, which must survive.
var base = time.Date(2026, 3, 4, 5, 6, 7, 123456789, time.UTC)

const (
	ana   = "ana"
	place = "emr-containers/123456789012/us-east-1"
)

// opening makes the opening of an active session of ana's without a run.
func opening(t *testing.T, id string, edit ...func(*session.Session)) app.Opening {
	t.Helper()
	s := session.Session{
		ID: id, Version: 1, User: ana, Status: session.Active, Mode: session.Background, Origin: session.Started,
		Run:      workload.Run{Engine: workload.EMRContainers, Endpoint: place},
		OpenedAt: base, RecordedAt: base, Policy: session.DefaultPolicy(),
		Facts: session.Facts{IdentityPropagation: session.On}, Why: []string{"the switches are on"},
		Interactive: session.InteractiveSession{ID: "i-1", Source: "portal", ExpiresAt: base.Add(time.Hour)},
		Deadline:    base.Add(48 * time.Hour), DeadlineSource: session.SourceBackground,
	}
	for _, e := range edit {
		e(&s)
	}
	return app.Opening{Session: s, Entry: entry(t, s, app.Entry{})}
}

// entry makes the sealed entry of a session's version.
func entry(t *testing.T, s session.Session, previous app.Entry) app.Entry {
	t.Helper()
	return seal(t, app.Entry{
		SessionID: s.ID, Version: s.Version, At: base.Add(time.Duration(s.Version) * time.Second), From: previous.To, To: s.Status, Mode: s.Mode,
		Deadline: s.Deadline, Source: s.DeadlineSource, Cause: s.End.Cause,
		Event:    session.Event{Kind: session.Tick, At: base},
		Effects:  []session.Effect{{Kind: session.Watch}},
		Previous: previous.Hash,
	})
}

func seal(t *testing.T, e app.Entry) app.Entry {
	t.Helper()
	hash, err := e.Seal()
	if err != nil {
		t.Fatal(err)
	}
	e.Hash = hash
	return e
}

// following makes the commit after a version.
func following(t *testing.T, s session.Session, previous app.Entry, edit ...func(*session.Session)) app.Commit {
	t.Helper()
	s.Version++
	for _, e := range edit {
		e(&s)
	}
	return app.Commit{Next: s, Entry: entry(t, s, previous)}
}

func withRun(id string) func(*session.Session) {
	return func(s *session.Session) { s.Run.ID = id }
}

func ofUser(u string) func(*session.Session) {
	return func(s *session.Session) { s.User = u }
}

func ended(s *session.Session) {
	s.Status = session.Ended
	s.End = session.End{Cause: session.CauseFinished, Confirmed: base.Add(time.Minute)}
}

// insist repeats a call while it is throttled: a store may answer so when
// writes meet, and its callers are delivered again.
func insist(call func() error) error {
	err := call()
	for try := 0; try < 50 && fault.Is(err, fault.Throttled); try++ {
		err = call()
	}
	return err
}

func (s suite) mustOpen(t *testing.T, o app.Opening) {
	t.Helper()
	if err := insist(func() error { return s.Store.Open(s.ctx, o) }); err != nil {
		t.Fatalf("open %q: %v", o.Session.ID, err)
	}
}

func (s suite) mustCommit(t *testing.T, c app.Commit) {
	t.Helper()
	if err := s.Store.Commit(s.ctx, c); err != nil {
		t.Fatalf("commit %q version %d: %v", c.Next.ID, c.Next.Version, err)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantKind(t *testing.T, what string, err error, kind fault.Kind) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("%s: got %v, want kind %q", what, err, kind)
	}
}

func wantOpenConflict(t *testing.T, err error, want app.OpenConflict) {
	t.Helper()
	var got *app.OpenConflict
	if !errors.As(err, &got) || *got != want {
		t.Errorf("open: got %#v (%v), want %#v", got, err, want)
	}
	wantKind(t, "open", err, fault.Conflict)
}

// pagesMax ends a list that never ends.
const pagesMax = 2000

// pages reads a list to its end.
func pages[T any](t *testing.T, read func(cursor string) ([]T, string, error)) [][]T {
	t.Helper()
	var out [][]T
	for cursor := ""; len(out) < pagesMax; {
		found, next, err := read(cursor)
		if err != nil {
			t.Fatalf("page %d: %v", len(out)+1, err)
		}
		out = append(out, found)
		if next == "" {
			return out
		}
		cursor = next
	}
	t.Fatalf("the list does not end within %d pages", pagesMax)
	return nil
}

func everything[T any](t *testing.T, read func(cursor string) ([]T, string, error)) []T {
	t.Helper()
	return slices.Concat(pages(t, read)...)
}

// sessionsOf adapts a session list to pages.
func sessionsOf(read func(cursor string) (app.Page, error)) func(string) ([]session.Session, string, error) {
	return func(cursor string) ([]session.Session, string, error) {
		p, err := read(cursor)
		return p.Sessions, p.Next, err
	}
}

func (s suite) ofUser(u string) func(string) ([]session.Session, string, error) {
	return sessionsOf(func(c string) (app.Page, error) { return s.Store.OfUser(s.ctx, u, c) })
}

func (s suite) ofEndpoint(e string) func(string) ([]session.Session, string, error) {
	return sessionsOf(func(c string) (app.Page, error) { return s.Store.OfEndpoint(s.ctx, e, c) })
}

func (s suite) due(now time.Time) func(string) ([]session.Session, string, error) {
	return sessionsOf(func(c string) (app.Page, error) { return s.Store.Due(s.ctx, now, c) })
}

func (s suite) list() func(string) ([]session.Session, string, error) {
	return sessionsOf(func(c string) (app.Page, error) { return s.Store.List(s.ctx, c) })
}

func (s suite) unfinished(before time.Time) func(string) ([]app.Entry, string, error) {
	return func(c string) ([]app.Entry, string, error) { return s.Store.Unfinished(s.ctx, before, c) }
}

func (s suite) pendingUsers(c string) ([]string, string, error) {
	return s.Store.PendingUsers(s.ctx, c)
}
func (s suite) endpoints(c string) ([]app.Endpoint, string, error) {
	return s.Store.Endpoints(s.ctx, c)
}
func (s suite) park(p app.Parked) error {
	_, err := s.Store.Park(s.ctx, p)
	return err
}

func (s suite) sampled(c string) ([]app.Sampled, string, error) { return s.Store.Samples(s.ctx, c) }

func (s suite) parked(c string) ([]app.Parked, string, error) { return s.Store.ParkedEvents(s.ctx, c) }

func idOf(s session.Session) string { return s.ID }

// wantSet compares ids regardless of order; a repeated one is a difference.
func wantSet[T any](t *testing.T, what string, got []T, id func(T) string, want []string) {
	t.Helper()
	ids := []string{}
	for _, g := range got {
		ids = append(ids, id(g))
	}
	want = slices.Clone(want)
	slices.Sort(ids)
	slices.Sort(want)
	if !slices.Equal(ids, want) {
		t.Errorf("%s: got %d things %.300q, want %d %.300q", what, len(ids), ids, len(want), want)
	}
}
