package app_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// S3.5b: nobody said that the user was disabled or deleted; the identity store is
// asked each minute.
func TestS3_5DisabledAndDeletedUsersAreFoundWithoutAnyEvent(t *testing.T) {
	for status, cause := range map[app.UserStatus]session.Cause{app.UserDisabled: session.CauseUserDisabled, app.UserDeleted: session.CauseUserDeleted} {
		w := newWorld(t)
		background, interactive, other := w.start("ana", jobRun), w.start("ana", training), w.start("ben", jobRun)
		w.pass(10*time.Minute + 20*time.Second)
		w.identity.status["ana"] = status
		since := w.now
		w.pass(cadence.Sweep)
		for _, s := range []session.Session{background, interactive} {
			got := w.get(s.ID)
			if got.Status == session.Active || got.End.Cause != cause {
				t.Fatalf("%s: %s, cause %q a sweep later", status, got.Status, got.End.Cause)
			}
			checked, stated := strings.CutPrefix(got.End.Evidence, "identity check ")
			at, err := time.Parse(time.RFC3339, checked)
			if !stated || err != nil || !at.Equal(got.End.Happened) || got.End.By != "unknown" || at.Sub(since) > cadence.Sweep {
				t.Errorf("%s: evidence %q, by %q, happened %s", status, got.End.Evidence, got.End.By, got.End.Happened)
			}
		}
		w.must(other.ID, session.Active, "")
		w.pass(10 * time.Minute)
		w.must(background.ID, session.Ended, cause)
		u, err := w.store.User(t.Context(), "ana")
		if err != nil || len(u.Facts) != 1 || len(u.Pending) != 0 || w.meter.counts[app.MetricHealed] != 1 {
			t.Errorf("%s: found %d times, facts %v, %v", status, w.meter.counts[app.MetricHealed], u.Facts, err)
		}
	}
}

// S2.10: enabling clears disabled, also where nobody says so.
func TestS2_10EnabledIsFoundWithoutAnyEvent(t *testing.T) {
	w := newWorld(t)
	w.identity.facts[sagemaker] = plain
	role := w.start("ana", training) // it goes on, and so the user is asked for
	w.pass(time.Minute)
	w.identity.status["ana"] = app.UserDisabled
	w.pass(2 * time.Minute)
	w.must(role.ID, session.Active, "")
	if s := w.start("ana", jobRun); s.Status != session.Ending || s.End.Cause != session.CauseUserDisabled {
		t.Fatalf("opened for a disabled user: %s, cause %q", s.Status, s.End.Cause)
	}
	w.pass(5 * time.Minute)
	w.identity.status["ana"] = app.UserEnabled
	w.pass(cadence.Sweep)
	s := w.start("ana", jobRun)
	w.pass(10 * time.Minute)
	w.must(s.ID, session.Active, "")
	if n := w.says.ids("alert", role.ID, "role-outlives-user"); len(n) != 1 {
		t.Errorf("S2.12: alerted %d times: %v", len(n), n)
	}
	if n := w.meter.counts[app.MetricHealed]; n != 2 {
		t.Errorf("%d facts were found, should be disabled and enabled", n)
	}
}

// S2.17: since when a user is enabled whom a check finds so is not known. Access that was
// removed since the disabling stays removed.
func TestS2_17EnabledWithoutAnyEventGivesNoAccessBack(t *testing.T) {
	w := newWorld(t)
	w.identity.facts[sagemaker] = plain
	role := w.start("ana", training) // it goes on, and so the user is asked for
	w.pass(time.Minute)
	w.identity.status["ana"], w.identity.access = app.UserDisabled, map[string]session.Tri{"ana": session.On}
	w.say(w.fact(session.UserDisabled, "ana", "f-1"))
	w.pass(2 * time.Minute)
	w.identity.access["ana"] = session.Off
	w.say(app.AccessCheck{EventID: "a-1", User: "ana", Application: "arn:app", At: w.now, By: "admin"})
	w.identity.status["ana"] = app.UserEnabled
	w.pass(cadence.ContradictAfter)
	u, err := w.store.User(t.Context(), "ana")
	if err != nil || len(u.Facts) != 3 || u.Facts[1].Kind != session.UserEnabled || u.Facts[2].Kind != session.AccessRemoved {
		t.Fatalf("facts %+v, %v", u.Facts, err)
	}
	w.must(role.ID, session.Active, "")
	if s := w.open("ana", jobRun); s.Status != session.Ending || s.End.Cause != session.CauseAccessRemoved {
		t.Errorf("opened for a user whose access was removed: %s, cause %q", s.Status, s.End.Cause)
	}
}

// S2.17: an enabling that was just found is not contradicted by a directory that still
// answers with what was, however old the fact is dated.
func TestS2_17AnEnablingJustFoundIsNotContradicted(t *testing.T) {
	w := newWorld(t)
	w.identity.facts[sagemaker] = plain
	role := w.start("ana", training) // it goes on, and so the user is asked for
	w.pass(time.Minute)
	w.identity.status["ana"], w.identity.access = app.UserDisabled, map[string]session.Tri{"ana": session.On}
	w.say(w.fact(session.UserDisabled, "ana", "f-1"))
	w.pass(time.Minute)
	w.identity.access["ana"] = session.Off
	w.say(app.AccessCheck{EventID: "a-1", User: "ana", Application: "arn:app", At: w.now, By: "admin"})
	w.pass(time.Hour)
	facts := func() []session.Event {
		u, err := w.store.User(t.Context(), "ana")
		if err != nil {
			t.Fatal(err)
		}
		return u.Facts
	}
	w.identity.status["ana"] = app.UserEnabled
	for range 10 {
		if w.pass(cadence.Sweep); len(facts()) > 2 {
			break
		}
	}
	w.identity.status["ana"] = app.UserDisabled
	w.pass(cadence.Sweep)
	if f := facts(); len(f) != 3 || f[1].Kind != session.UserEnabled {
		t.Errorf("facts a minute after the enabling was found: %+v", f)
	}
	w.pass(10 * time.Minute)
	if f := facts(); f[len(f)-1].Kind != session.UserDisabled {
		t.Errorf("facts once it is no longer young: %+v", f)
	}
	w.must(role.ID, session.Active, "")
}

// What an event has just said is not contradicted by a directory that answers
// with what was.
func TestS3_5AYoungFactIsNotContradicted(t *testing.T) {
	w := newWorld(t)
	w.identity.facts[sagemaker] = plain
	w.start("ana", training)
	w.pass(50 * time.Second)
	w.say(w.fact(session.UserDisabled, "ana", "disabled-1"))
	w.pass(cadence.Sweep) // the directory still answers ENABLED
	if s := w.open("ana", jobRun); s.Status != session.Ending {
		t.Errorf("a minute after the event the user counts as enabled: %s", s.Status)
	}
	w.pass(cadence.ContradictAfter + cadence.Sweep)
	if s := w.open("ana", jobRun); s.Status != session.Active {
		t.Errorf("the directory says ENABLED for minutes: %s, cause %q", s.Status, s.End.Cause)
	}

	w = newWorld(t)
	s := w.start("ana", jobRun)
	w.pass(50 * time.Second)
	w.say(w.fact(session.UserEnabled, "ana", "enabled-1"))
	w.identity.status["ana"] = app.UserDisabled
	w.pass(cadence.Sweep)
	w.must(s.ID, session.Active, "")
	w.pass(cadence.ContradictAfter)
	if got := w.get(s.ID); got.End.Cause != session.CauseUserDisabled {
		t.Errorf("the directory says DISABLED for minutes: %s, cause %q", got.Status, got.End.Cause)
	}
	w.pass(3 * time.Minute)
}

// S1.10: a status that cannot be read changes nothing; one error says so, and the
// others are asked for all the same.
func TestS1_10StatusThatCannotBeReadEndsNothing(t *testing.T) {
	w := newWorld(t)
	ana, ben := w.start("ana", jobRun), w.start("ben", jobRun)
	cleo := w.start("cleo", jobRun)
	w.pass(3 * time.Minute)
	w.unswept = true
	w.identity.access = map[string]session.Tri{"ana": session.On, "ben": session.On, "cleo": session.On}
	w.identity.status["ana"], w.identity.status["cleo"] = app.UserDeleted, app.UserDeleted
	w.identity.statusOf = map[string]error{"ana": fault.New("describe user", fault.Throttled, errDown), "ben": fault.New("describe user", fault.Throttled, errDown)}
	before := w.meter.counts[app.MetricUnknown]
	w.pass(time.Second)
	err := w.app.Sweep(t.Context())
	if !fault.Is(err, fault.Throttled) || strings.Count(err.Error(), "describe user") != 1 || !strings.Contains(err.Error(), "2 of 3 users") {
		t.Errorf("the sweep answered %v", err)
	}
	if n := w.meter.counts[app.MetricUnknown] - before; n != 2 {
		t.Errorf("%d unknown were counted, should be 2", n)
	}
	w.must(ana.ID, session.Active, "")
	w.must(ben.ID, session.Active, "")
	w.must(cleo.ID, session.Ending, session.CauseUserDeleted)
	w.identity.statusOf, w.unswept = nil, false
	w.pass(4 * time.Minute)
	w.must(ana.ID, session.Ended, session.CauseUserDeleted)
	w.must(ben.ID, session.Active, "")
}

// S3.5b: period = max(60 s, users ÷ rate), never more calls than the rate allows.
func TestS3_5EachUserIsAskedForWithinThePeriod(t *testing.T) {
	for _, users := range []int{1, 40, 1000, 1500, 3000} {
		w := newWorld(t, large)
		w.deaf = true
		for i := range users {
			w.put(fmt.Sprintf("user-%04d", i), jobRun)
		}
		period := cadence.IdentityPeriod(users)
		if want := max(time.Minute, time.Duration(users)*time.Second/cadence.DirectoryPerSecond); period < want || period >= want+cadence.Sweep {
			t.Fatalf("S3.5: %d users in %s, should be in %s", users, period, want)
		}
		w.pass(cadence.Sweep) // any turn
		w.identity.asked = nil
		for range period / cadence.Sweep {
			before := len(w.identity.asked)
			w.pass(cadence.Sweep)
			if n := len(w.identity.asked) - before; n > cadence.DirectoryPerSecond*int(cadence.Sweep/time.Second) {
				t.Errorf("%d users: %d calls in one minute", users, n)
			}
		}
		asked := map[string]int{}
		for _, u := range w.identity.asked {
			asked[u]++
		}
		if len(asked) != users || len(w.identity.asked) != users {
			t.Errorf("%d users: %d asked for by %d calls within %s", users, len(asked), len(w.identity.asked), period)
		}
	}
}

// directory lists users in pages of 100.
type directory struct {
	status map[string]app.UserStatus
	pages  int
	fail   error
}

func (d *directory) Users(_ context.Context, cursor string) (map[string]app.UserStatus, string, error) {
	d.pages++
	if d.fail != nil {
		return nil, "", d.fail
	}
	all := slices.Sorted(maps.Keys(d.status))
	from, _ := slices.BinarySearch(all, cursor)
	to := min(from+100, len(all))
	page := map[string]app.UserStatus{}
	for _, u := range all[from:to] {
		page[u] = d.status[u]
	}
	if to == len(all) {
		return page, "", nil
	}
	return page, all[to], nil
}

// S3.5b: above 1,000 users the directory is listed; absence from it is no proof.
func TestS3_5ManyUsersAreListed(t *testing.T) {
	w := newWorld(t, large)
	w.deaf = true
	d := &directory{status: map[string]app.UserStatus{}}
	w.app.Users, w.app.Endpoints = d, []string{onEKS}
	var first session.Session
	const users = 1200
	for i := range users {
		s := w.put(fmt.Sprintf("user-%04d", i), jobRun)
		if i == 0 {
			first = s
		}
		d.status[s.User] = app.UserEnabled
	}
	w.pass(2 * time.Minute)
	if d.pages != 2*users/100 || len(w.identity.asked) != 0 {
		t.Errorf("%d pages and %d calls in two sweeps; should be %d pages", d.pages, len(w.identity.asked), 2*users/100)
	}
	d.status[first.User] = app.UserDisabled
	delete(d.status, "user-0001") // missing from the list, and there all the same
	delete(d.status, "user-0002") // missing, and deleted
	w.identity.status["user-0002"] = app.UserDeleted
	w.pass(cadence.Sweep)
	causes := map[string]session.Cause{}
	for _, s := range w.all() {
		if s.Status != session.Active {
			causes[s.User] = s.End.Cause
		}
	}
	want := map[string]session.Cause{"user-0000": session.CauseUserDisabled, "user-0002": session.CauseUserDeleted}
	if !maps.Equal(causes, want) || !slices.Contains(w.identity.asked, "user-0001") || len(w.identity.asked) > 2 {
		t.Errorf("ended %v, should be %v; asked for by name: %v", causes, want, w.identity.asked)
	}
	d.fail, d.status["user-0003"] = fault.New("list users", fault.Throttled, errDown), app.UserDisabled
	before := w.meter.counts[app.MetricHealed]
	w.identity.status["user-0003"] = app.UserDisabled
	w.pass(cadence.IdentityPeriod(users)) // a listing that fails: they are asked for one by one, in turn
	if n := w.meter.counts[app.MetricHealed] - before; n != 1 {
		t.Errorf("the directory cannot be listed, and %d were found", n)
	}
}

// put makes a session and its run without the machine.
func (w *world) put(user string, run workload.Run) session.Session {
	w.t.Helper()
	s := w.open(user, run)
	run.ID = "put-" + s.ID
	w.engine.add(workload.Observation{Run: run, Stamp: s.ID, User: user})
	s, err := w.app.Apply(w.t.Context(), s.ID, session.Event{Kind: session.RunStarted, At: w.now, Run: run.Ref()})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// S3.5b: assignments that were taken without anybody saying so.
func TestS3_5UnassignedUserIsFoundWithinAnHour(t *testing.T) {
	w := newWorld(t)
	w.identity.access = map[string]session.Tri{"ana": session.On, "ben": session.On}
	ana, ben := w.start("ana", jobRun), w.start("ben", jobRun)
	w.pass(2*time.Hour + time.Minute)
	if n := len(w.identity.accesses); n < 4 || n > 6 {
		t.Errorf("two users in two hours were asked for %d times", n)
	}
	w.must(ana.ID, session.Active, "")
	w.identity.access["ana"] = session.Off
	w.pass(cadence.AccessEach + cadence.Sweep)
	got := w.get(ana.ID)
	if got.End.Cause != session.CauseAccessRemoved || !strings.HasPrefix(got.End.Evidence, "access check ") || got.End.By != "unknown" {
		t.Errorf("%s, %+v", got.Status, got.End)
	}
	w.must(ben.ID, session.Active, "")
	w.pass(5 * time.Minute)
	if s := w.start("ana", jobRun); s.Status != session.Ending {
		t.Errorf("opened without access: %s", s.Status)
	}
	w.identity.access["ana"] = session.On // given again: she is enabled again
	w.pass(5 * time.Minute)
	w.start("ana", jobRun) // it ends at once, and has her asked about
	w.pass(2 * cadence.Sweep)
	back := w.start("ana", jobRun)
	w.pass(10 * time.Minute)
	w.must(back.ID, session.Active, "")
	if n := w.meter.counts[app.MetricHealed]; n != 2 {
		t.Errorf("%d facts were found, should be removed and enabled", n)
	}
}

// What an event about one application removed is given back by that application.
func TestS2_11AccessRemovedHoldsForTheApplicationItNames(t *testing.T) {
	w := newWorld(t)
	w.identity.facts[sagemaker] = plain
	w.identity.access = map[string]session.Tri{"ana": session.Off}
	w.start("ana", training)
	w.pass(time.Minute)
	w.say(app.AccessCheck{EventID: "a-1", User: "ana", Application: "arn:app", At: w.now, By: "admin"})
	w.identity.accesses = nil
	w.identity.access["ana"] = session.On
	w.pass(cadence.AccessEach + cadence.Sweep)
	if len(w.identity.accesses) == 0 || slices.Contains(w.identity.accesses, "ana ") {
		t.Errorf("asked about %q", w.identity.accesses)
	}
	if s := w.open("ana", jobRun); s.Status != session.Active {
		t.Errorf("she has it again: %s, cause %q", s.Status, s.End.Cause)
	}
}

func TestS1_10AssignmentsThatCannotBeReadEndNothing(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer session.Tri
		err    error
		fails  bool
	}{
		{"unknown", session.Unknown, nil, true},
		{"throttled", session.Off, fault.New("list", fault.Throttled, errDown), true},
		{"no application to ask about", session.Unknown, fault.New("list", fault.Invalid, nil), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			s := w.start("ana", jobRun)
			w.app.Identity = assignments{w.identity, c.answer, c.err}
			w.pass(65 * time.Minute)
			w.must(s.ID, session.Active, "")
			if w.meter.counts[app.MetricUnknown] == 0 {
				t.Error("nothing was counted")
			}
			failed := false
			for range 61 {
				w.now = w.now.Add(cadence.Sweep)
				failed = w.app.Sweep(t.Context()) != nil || failed
			}
			if failed != c.fails {
				t.Errorf("an error was answered: %t", failed)
			}
		})
	}
}

type assignments struct {
	app.Identity
	answer session.Tri
	err    error
}

func (a assignments) Access(context.Context, string, string) (session.Tri, error) {
	return a.answer, a.err
}

// S3.5b: within AccessMax users a sweep, each within the hour, and nobody's turn
// is missed where sweeps fail.
func TestS3_5AssignmentsAreLookedAtInTurn(t *testing.T) {
	w := newWorld(t, large)
	w.deaf = true
	const users = 1000
	w.identity.access = map[string]session.Tri{}
	for i := range users {
		w.identity.access[w.put(fmt.Sprintf("user-%04d", i), jobRun).User] = session.On
	}
	w.pass(cadence.Sweep)
	w.unswept = true
	w.pass(5 * time.Minute) // nobody sweeps
	w.unswept, w.identity.accesses = false, nil
	for range 60 {
		before := len(w.identity.accesses)
		w.pass(cadence.Sweep)
		if n := len(w.identity.accesses) - before; n > 2*cadence.AccessMax {
			t.Errorf("%d users in one sweep", n)
		}
	}
	if seen := slices.Compact(slices.Sorted(slices.Values(w.identity.accesses))); len(seen) != users {
		t.Errorf("%d of %d users were looked at within an hour", len(seen), users)
	}
}

// The checks end before the caller's time does.
func TestChecksLeaveTheCallerTime(t *testing.T) {
	w := newWorld(t)
	w.start("ana", jobRun)
	w.pass(time.Minute)
	w.identity.asked = nil
	ctx, cancel := context.WithDeadline(t.Context(), w.now.Add(2*time.Second))
	defer cancel()
	_ = w.app.Sweep(ctx)
	if len(w.identity.asked) != 0 {
		t.Errorf("two seconds before the end %d calls were begun", len(w.identity.asked))
	}
}

// slow is an Identity whose calls take time.
type slow struct {
	*identity
	w        *world
	statuses int
	accesses int
}

func (s *slow) Status(ctx context.Context, user string) (app.UserStatus, error) {
	s.w.now, s.statuses = s.w.now.Add(60*time.Millisecond), s.statuses+1
	return s.identity.Status(ctx, user)
}

func (s *slow) Access(ctx context.Context, user, application string) (session.Tri, error) {
	s.w.now, s.accesses = s.w.now.Add(300*time.Millisecond), s.accesses+1
	return s.identity.Access(ctx, user, application)
}

// answering is an Identity that notes when it answered, and reads a store that takes
// its time.
type answering struct {
	*identity
	app.Store
	w  *world
	at []time.Time
}

func (a *answering) came() { a.at = append(a.at, a.w.now) }

func (a *answering) Status(ctx context.Context, user string) (app.UserStatus, error) {
	defer a.came()
	return a.identity.Status(ctx, user)
}

func (a *answering) Access(ctx context.Context, user, application string) (session.Tri, error) {
	defer a.came()
	return a.identity.Access(ctx, user, application)
}

func (a *answering) Replay(ctx context.Context, after time.Time) ([][]byte, error) {
	defer a.came()
	return a.identity.Replay(ctx, after)
}

func (a *answering) User(ctx context.Context, user string) (session.UserFacts, error) {
	a.w.now = a.w.now.Add(time.Second)
	return a.Store.User(ctx, user)
}

func (a *answering) Mark(ctx context.Context, name string) (time.Time, error) {
	a.w.now = a.w.now.Add(time.Second)
	return a.Store.Mark(ctx, name)
}

// S2.7: a cause is known from when the answer that says it came, not from when the
// store was read for it.
func TestS2_7ACauseIsKnownWhenTheAnswerCame(t *testing.T) {
	for name, c := range map[string]struct {
		cause session.Cause
		say   func(w *world, user string)
	}{
		"found disabled":       {session.CauseUserDisabled, func(w *world, user string) { w.identity.status[user] = app.UserDisabled }},
		"found deleted":        {session.CauseUserDeleted, func(w *world, user string) { w.identity.status[user] = app.UserDeleted }},
		"found without access": {session.CauseAccessRemoved, func(w *world, user string) { w.identity.access[user] = session.Off }},
		"replayed": {session.CauseSignOut, func(w *world, user string) {
			w.identity.history = append(w.identity.history, recorded{w.now, wire{Kind: session.SignOut, User: user, ID: "out-" + user, At: w.now}.bytes()})
		}},
		"disabled, by an event": {session.CauseUserDisabled, func(w *world, user string) {
			w.identity.status[user] = app.UserDisabled
			w.say(app.UserCheck{EventID: "scim-" + user, User: user, At: w.now})
		}},
		"deleted, by an event": {session.CauseUserDeleted, func(w *world, user string) {
			w.identity.status[user] = app.UserDeleted
			w.say(app.UserCheck{EventID: "scim-" + user, User: user, At: w.now})
		}},
		"without access, by an event": {session.CauseAccessRemoved, func(w *world, user string) {
			w.identity.access[user] = session.Off
			w.say(app.AccessCheck{EventID: "a-" + user, User: user, At: w.now})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			users := []string{"ana", "ben", "cleo"}
			sessions := map[string]session.Session{}
			for _, u := range users {
				w.identity.access[u] = session.On
				sessions[u] = w.start(u, training)
			}
			w.pass(10*time.Minute + 20*time.Second)
			all := &answering{identity: w.identity, Store: w.store, w: w}
			w.app.Identity, w.app.Store = all, all
			for _, u := range users {
				c.say(w, u)
			}
			w.pass(2 * cadence.AccessEach)
			for _, u := range users {
				if got := w.get(sessions[u].ID).End; got.Cause != c.cause || !slices.Contains(all.at, got.Known) {
					t.Errorf("%s: cause %q, known at %s; answers came at %v", u, got.Cause, got.Known, all.at)
				}
			}
		})
	}
}

// S3.4, S3.5: there is one sweep at a time, so that its checks keep to the rates;
// they end before the next one is due, which asks about those who are left.
func TestS3_4TheChecksEndBeforeTheNextSweep(t *testing.T) {
	w := newWorld(t, large)
	w.deaf, w.unswept = true, true
	for i := range 1000 {
		w.put(fmt.Sprintf("user-%04d", i), jobRun)
	}
	w.identity.access = map[string]session.Tri{}
	for i := range 1000 {
		w.identity.access[fmt.Sprintf("user-%04d", i)] = session.On
	}
	all := &slow{identity: w.identity, w: w}
	w.app.Identity = all
	w.pass(time.Minute)
	if err := w.app.Sweep(t.Context()); err != nil { // registers the endpoint
		t.Fatal(err)
	}
	w.pass(time.Minute)
	for range 5 {
		began, statuses, accesses := w.now, all.statuses, all.accesses
		if err := w.app.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := w.now.Sub(began); took > cadence.Sweep || all.statuses-statuses < 700 || all.accesses-accesses == 0 {
			t.Errorf("a sweep of %s asked for %d statuses and %d assignments", took, all.statuses-statuses, all.accesses-accesses)
		}
		w.now = began.Add(cadence.Sweep)
	}
	asked := map[string]bool{}
	for _, u := range w.identity.asked {
		asked[u] = true
	}
	if len(asked) < 990 {
		t.Errorf("five sweeps asked about %d of 1,000 users", len(asked))
	}
}

// S2: a group's removal concerns all who have live sessions; a later check of the
// same has seen to it.
func TestS3_5ReplayedGroupRemovalIsLookedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.start("ana", jobRun)
	w.start("ben", jobRun)
	w.pass(time.Minute)
	w.identity.access = map[string]session.Tri{"ana": session.On, "ben": session.On}
	removal := app.AccessCheck{EventID: "a-1", Group: "g-1", At: w.now, By: "admin"}
	w.identity.accesses = nil
	for range 6 {
		w.say(removal)
	}
	if n := len(w.identity.accesses); n != 2 {
		t.Errorf("one removal, six times: %d look-ups for two users", n)
	}
	removal.At = removal.At.Add(time.Second)
	w.say(removal)
	if n := len(w.identity.accesses); n != 4 {
		t.Errorf("a later removal: %d look-ups, should be 4", n)
	}
}

// portal is a session source.
type portal struct {
	live    map[string]string // user by portal session
	partial bool
	err     error
	calls   int
}

func (p *portal) Source() string { return "portal" }

func (p *portal) Live(context.Context) ([]app.PortalSession, bool, error) {
	p.calls++
	var list []app.PortalSession
	for id, user := range p.live {
		list = append(list, app.PortalSession{ID: id, User: user})
	}
	return list, !p.partial, p.err
}

// S3.5c: a sign-out that nobody heard of is found at once from the session source.
func TestS3_5LostSignOutIsFoundFromTheSessionSource(t *testing.T) {
	w := newWorld(t)
	p := &portal{live: map[string]string{"is-ana": "ana", "is-ben": "ben"}}
	w.app.Sessions = p
	of := func(user string, run workload.Run, i session.InteractiveSession) session.Session {
		w.engine.opened++
		s, err := w.app.OpenSession(t.Context(), app.OpenRequest{Execution: fmt.Sprint("arn:execution:", w.engine.opened), User: user, Run: run, Interactive: i})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.app.StartRun(t.Context(), app.StartRequest{SessionID: s.ID, Token: s.ID, Spec: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		return w.get(s.ID)
	}
	known := func(user string) session.InteractiveSession {
		return session.InteractiveSession{ID: "is-" + user, Source: "portal"}
	}
	ended := of("ana", training, known("ana"))
	second := session.InteractiveSession{ID: "is-ana-2", Source: "portal"}
	p.live[second.ID] = "ana"
	stay := []session.Session{
		of("ana", jobRun, known("ana")),                   // background
		of("ana", training, second),                       // another portal session of hers
		of("ana", training, session.InteractiveSession{}), // whose interactive session nobody knows
		of("ana", training, session.InteractiveSession{ID: "is-ana", Source: "identity-center"}),
		of("ben", training, known("ben")),
	}
	w.pass(4 * time.Minute)
	w.must(ended.ID, session.Active, "")
	delete(p.live, "is-ana")
	out := w.now
	w.pass(cadence.Sweep)
	w.must(ended.ID, session.Active, "") // one list proves nothing
	w.pass(cadence.Sweep)
	got := w.get(ended.ID)
	if got.End.Cause != session.CauseSignOut || !strings.HasPrefix(got.End.Evidence, "session source portal ") || got.End.Happened.Sub(out) > 2*cadence.Sweep {
		t.Fatalf("%s, %+v", got.Status, got.End)
	}
	w.pass(10 * time.Minute)
	w.must(ended.ID, session.Ended, session.CauseSignOut)
	for i, s := range stay {
		if now := w.get(s.ID); now.Status != session.Active {
			t.Errorf("session %d of %s: %s, cause %q", i, s.User, now.Status, now.End.Cause)
		}
	}
	if b := w.get(stay[0].ID); !b.InteractiveGone {
		t.Error("S1.8: the background session does not know that its interactive session is over")
	}
	if n := w.meter.counts[app.MetricHealed]; n != 2 {
		t.Errorf("%d were counted, should be 2", n)
	}
}

func TestS3_5IncompleteOrYoungPortalListProvesNothing(t *testing.T) {
	for _, c := range []struct {
		name string
		p    portal
		age  time.Duration
		ends bool
	}{
		{"complete", portal{}, 10 * time.Minute, true},
		{"incomplete", portal{partial: true}, 10 * time.Minute, false},
		{"failing", portal{err: errDown}, 10 * time.Minute, false},
		{"recorded while it was made", portal{}, cadence.MinimumAge - time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			s := w.start("ana", training)
			w.pass(c.age)
			w.app.Sessions = &c.p
			w.unswept = true
			err := w.app.Sweep(t.Context())
			if c.ends {
				w.must(s.ID, session.Active, "")
				w.pass(cadence.Sweep)
				err = errors.Join(err, w.app.Sweep(t.Context()))
			}
			if got := w.get(s.ID).Status == session.Ending; got != c.ends {
				t.Errorf("ends: %t (%v)", got, err)
			}
			w.unswept = false
			if want := map[bool]int{false: 1, true: 2}[c.ends]; c.p.calls != want {
				t.Errorf("asked %d times", c.p.calls)
			}
			if unknown := w.meter.counts[app.MetricUnknown] > 0; (c.p.partial || c.p.err != nil) && !unknown {
				t.Error("nothing was counted")
			}
			w.app.Sessions = nil
			w.pass(3 * time.Minute)
		})
	}
}

// S3.5c: where its expiry is known and has passed, the clock ends it, as expired.
func TestS3_5ExpiredInteractiveSessionIsNoSignOut(t *testing.T) {
	w := newWorld(t)
	w.app.Sessions = &portal{}
	s, err := w.app.OpenSession(t.Context(), app.OpenRequest{Execution: "arn:execution:1", User: "ana", Run: training,
		Interactive: session.InteractiveSession{ID: "is-1", Source: "portal", ExpiresAt: w.now.Add(cadence.MinimumAge - time.Second)}})
	if err != nil {
		t.Fatal(err)
	}
	w.pass(3 * time.Minute)
	if got := w.get(s.ID); got.End.Cause != session.CauseInteractiveExpired {
		t.Errorf("%s, cause %q", got.Status, got.End.Cause)
	}
}

// S3.5c: each event is in the window of several replays.
func TestS3_5ReplayedAgainIsNotCountedAgain(t *testing.T) {
	w := newWorld(t)
	w.pass(10 * time.Minute)
	const kind = "sso.amazonaws.com/EndAllSessions"
	arrived := wire{Unrecognised: kind, At: w.now}
	if err := w.app.Receive(t.Context(), "on-revocation", arrived.bytes()); err != nil {
		t.Fatal(err)
	}
	lost := wire{Unrecognised: kind, At: w.now.Add(time.Second)}
	w.identity.history = []recorded{
		{w.now, arrived.bytes()}, {w.now.Add(time.Second), lost.bytes()},
		{w.now, []byte(`{"Kind":"sign-out"}`)}, // malformed
		{w.now, wire{Unrecognised: "sso.amazonaws.com/NewEvent", At: w.now}.bytes()},
	}
	w.pass(40 * time.Minute)
	if len(w.identity.replayFrom) < 8 {
		t.Fatalf("only %d replays", len(w.identity.replayFrom))
	}
	if n := w.meter.counts[app.MetricUnrecognised]; n != 3 {
		t.Errorf("three unrecognised events were counted %d times", n)
	}
	parked, _, err := w.store.ParkedEvents(t.Context(), "")
	if n := w.meter.counts[app.MetricParked]; n != 1 || len(parked) != 1 || err != nil {
		t.Errorf("one malformed event was counted %d times and kept %d times, %v", n, len(parked), err)
	}
}

// S1.8, S2.14, S3.7: facts about a domain and a cluster reach sessions that the
// index did not show when they came.
func TestS3_7FactsAboutADomainOrAClusterAreNotLost(t *testing.T) {
	for name, c := range map[string]struct {
		run    workload.Run
		say    func(*world) app.Message
		landed func(session.Session) bool
	}{
		"domain": {workload.Run{Engine: training.Engine, Endpoint: sagemaker, Domain: "d-one"},
			func(w *world) app.Message {
				return app.Fact{Event: session.Event{ID: "d-1", Kind: session.IdentityPropagationOff, At: w.now, Domain: "d-one", By: "admin"}}
			},
			func(s session.Session) bool { return s.Mode == session.Interactive }},
		"cluster": {notebook,
			func(w *world) app.Message {
				return app.ClusterChange{EventID: "c-1", Cluster: "j-1YONHTCP3YZKC", Terminated: true, At: w.now}
			},
			func(s session.Session) bool { return s.End.Cause == session.CauseClusterTerminated }},
	} {
		t.Run(name, func(t *testing.T) {
			for _, lag := range []time.Duration{0, 25 * time.Second} {
				w := newWorld(t, indexLag(lag))
				w.identity.facts[sagemaker] = yes
				w.app.Endpoints = []string{c.run.Endpoint}
				w.pass(2 * time.Minute)
				s := w.start("ana", c.run)
				p, err := w.store.Policy(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				p.Version, p.InstanceBackground = p.Version+1, session.Off
				if err := w.store.PutPolicy(t.Context(), p); err != nil {
					t.Fatal(err)
				}
				w.pass(time.Second)
				w.say(c.say(w))
				if now := c.landed(w.get(s.ID)); now != (lag == 0) {
					t.Errorf("lag %s: landed at once: %t", lag, now)
				}
				w.pass(3 * time.Minute)
				if got := w.get(s.ID); !c.landed(got) {
					t.Errorf("lag %s: %s, %s, cause %q", lag, got.Status, got.Mode, got.End.Cause)
				}
				if left, _, err := w.store.PendingUsers(t.Context(), ""); err != nil || len(left) != 0 {
					t.Errorf("lag %s: still pending: %v, %v", lag, left, err)
				}
			}
		})
	}
}

// S3.6: who asks to stop a run that nobody owns must learn of it.
func TestS3_6StopOfAnUnknownRunIsParked(t *testing.T) {
	w := newWorld(t)
	unknown := workload.Ref{Endpoint: onEKS, ID: "no-such-run"}
	err := w.app.Handle(t.Context(), app.Fact{Event: session.Event{ID: "x", Kind: session.StopRequested, At: w.now, By: "ana", Run: unknown}})
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "no-such-run") {
		t.Errorf("answered %v", err)
	}
	err = w.app.Handle(t.Context(), app.Fact{Event: session.Event{ID: "y", Kind: session.KernelStopped, At: w.now, By: "ana", Run: unknown}})
	if err != nil || w.meter.counts[app.MetricIgnored] != 1 {
		t.Errorf("another event about it: %v", err)
	}
}

// S3.5c: a portal that was just started again answers an empty list, completely;
// that signs nobody out. Neither do two lists between which one had the session,
// nor two at once.
func TestS3_5OnePortalListAloneProvesNothing(t *testing.T) {
	w := newWorld(t)
	w.unswept = true
	p := &portal{live: map[string]string{}}
	w.app.Sessions = p
	s, err := w.app.OpenSession(t.Context(), app.OpenRequest{Execution: "arn:execution:1", User: "ana", Run: training,
		Interactive: session.InteractiveSession{ID: "is-ana", Source: "portal"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.app.StartRun(t.Context(), app.StartRequest{SessionID: s.ID, Token: "t", Spec: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	sweep := func(live bool) {
		t.Helper()
		if delete(p.live, "is-ana"); live {
			p.live["is-ana"] = "ana"
		}
		if err := w.app.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.pass(4 * time.Minute)
	for range 3 {
		sweep(false)
		w.pass(time.Second)
		sweep(false) // twice in a row
		w.must(s.ID, session.Active, "")
		w.pass(cadence.Sweep)
		sweep(true)
		w.pass(cadence.Sweep)
	}
	sweep(false)
	w.must(s.ID, session.Active, "")
	w.pass(cadence.Sweep)
	sweep(false)
	if got := w.get(s.ID); got.End.Cause != session.CauseSignOut {
		t.Errorf("two lists lack it: %s, cause %q", got.Status, got.End.Cause)
	}
	w.unswept = false
	w.pass(3 * time.Minute)
}

// S1.10: a user whom the identity store never knew, such as a service or an id
// mistyped, was not deleted: nothing is stopped, and one alert says so.
func TestS1_10AUserNeverKnownIsNotDeleted(t *testing.T) {
	for _, user := range []string{"zeppelin", "f4488478-a0e1-700e-3d75-96c6bb641599"} {
		w := newWorld(t)
		w.app.Endpoints = []string{livy}
		w.identity.status[user] = app.UserDeleted
		w.identity.access = map[string]session.Tri{user: session.Off} // nor is any assignment found
		run := workload.Run{Engine: workload.Livy, Endpoint: livy, ID: "app/application_1", Kind: workload.LivySession, Application: workload.Spark}
		w.engine.add(workload.Observation{Run: run, User: user})
		w.pass(70 * time.Minute)
		all := w.all()
		if len(all) != 1 || all[0].User != user || all[0].Status != session.Active || len(w.engine.stops) != 0 {
			t.Fatalf("%s: %+v, stops %v", user, all, w.engine.stops)
		}
		w.say(app.AccessCheck{EventID: "group-1", At: w.now, Group: "g-1"})
		w.must(all[0].ID, session.Active, "")
		if n := w.says.ids("alert", all[0].ID, "unknown-user"); len(n) != 1 {
			t.Errorf("%s: alerted %v", user, n)
		}
		if w.meter.counts[app.MetricUnknown] == 0 {
			t.Errorf("%s: nothing was counted", user)
		}
		// An event that says so is no guess.
		w.say(w.fact(session.UserDeleted, user, "deleted-1"))
		w.must(all[0].ID, session.Ending, session.CauseUserDeleted)
		w.pass(5 * time.Minute)
	}
}

// S1.10, S3.5b: a user whom AWS's own record said to be of our identity store was
// there, so that one whom the store does not know was deleted, though it has never
// answered for the user: two looks a sweep apart say so. A record of another store,
// or of none, says nothing of ours.
func TestS3_5AUserDeletedBeforeTheFirstAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		user, store string
		token       bool
		ends        bool
	}{
		"of our store":            {anasID, "d-1", false, true},
		"by a token of our store": {anasID, "d-1", true, true},
		"of another store":        {anasID, "d-2", false, false},
		"of a store not said":     {anasID, "", false, false},
		"no id":                   {"ana", "d-1", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.app.IdentityStore = "d-1"
			w.app.Endpoints = []string{sagemaker}
			w.identity.facts[sagemaker] = yes
			w.identity.status[c.user] = app.UserDeleted
			w.pass(cadence.Sweep / 2)
			r := w.born(training, "training-job/x", "")
			if c.token {
				w.say(app.Fact{Event: session.Event{ID: "t-1", Kind: session.BackgroundTokenIssued, At: w.now, User: c.user, Run: r.o.Run.Ref()}, Store: c.store})
			} else {
				w.say(app.Birth{EventID: "b-1", User: c.user, Store: c.store, Run: r.o.Run, At: w.now})
			}
			w.pass(cadence.Sweep)
			s := w.only(r.o.Run.Ref())
			if s.Status != session.Active || len(w.identity.asked) == 0 {
				t.Fatalf("after one look it is %s, cause %q; asked %v", s.Status, s.End.Cause, w.identity.asked)
			}
			w.pass(5 * time.Minute)
			s = w.get(s.ID)
			if ended := s.End.Cause == session.CauseUserDeleted; ended != c.ends || ended != (len(r.asked) > 0) {
				t.Errorf("it is %s, cause %q, asked to stop %d times", s.Status, s.End.Cause, len(r.asked))
			}
			if n := w.says.ids("alert", s.ID, "unknown-user"); (len(n) == 0) != c.ends {
				t.Errorf("alerted %v", n)
			}
		})
	}
}

// S2.11: a user whom the store knows by the second look was new, not deleted.
func TestS3_5AUserWhoIsNewIsNotDeleted(t *testing.T) {
	w := newWorld(t)
	w.app.IdentityStore = "d-1"
	w.identity.status[anasID] = app.UserDeleted
	run := training
	run.ID = "training-job/x"
	w.engine.add(workload.Observation{Run: run})
	w.say(app.Birth{EventID: "b-1", User: anasID, Store: "d-1", Run: run, At: w.now})
	w.pass(cadence.Sweep)
	delete(w.identity.status, anasID)
	w.pass(30 * time.Minute)
	w.must(w.only(run.Ref()).ID, session.Active, "")
}

// S3.5c: more events than one replay takes: the mark waits for those not read, and
// the next sweeps go on there.
func TestS3_5ReplayGoesOnWhereItLeftOff(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", training)
	w.pass(6 * time.Minute)
	w.identity.err = errDown
	began := w.now
	for i := range 60 {
		at := began.Add(time.Duration(i) * time.Minute)
		body := wire{Unrecognised: fmt.Sprint("sso.amazonaws.com/Event", i), At: at}.bytes()
		if i == 50 {
			out := w.fact(session.SignOut, "ana", "out-1").Event
			out.At = at
			body = wire{Kind: out.Kind, User: out.User, ID: out.ID, At: at}.bytes()
		}
		w.identity.history = append(w.identity.history, recorded{at, body})
	}
	w.pass(60 * time.Minute)
	w.must(s.ID, session.Active, "")
	w.identity.err, w.identity.replays = nil, 20
	before := len(w.identity.replayFrom)
	w.pass(cadence.Sweep)
	mark, err := w.store.Mark(t.Context(), "identity-replay")
	if err != nil || mark.After(began.Add(45*time.Minute)) {
		t.Errorf("the mark is at %s, %v; events from %s on were not read", mark, err, began.Add(20*time.Minute))
	}
	w.pass(4 * cadence.Sweep)
	if got := w.get(s.ID); got.End.Cause != session.CauseSignOut {
		t.Errorf("the sign-out of the outage was not replayed: %s, cause %q; asked from %v", got.Status, got.End.Cause, w.identity.replayFrom[before:])
	}
	w.pass(5 * time.Minute)
	if n := w.meter.counts[app.MetricUnrecognised]; n != 59 {
		t.Errorf("59 other events were counted %d times", n)
	}
}
