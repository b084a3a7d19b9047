package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/session"
)

// census is what the sweep's walk over the live sessions has seen. The walk is
// made anyway, so that knowing whose sessions are live costs no further call: at
// a million sessions it is the walk that costs, one read of each.
type census struct {
	began time.Time // when the sweep did
	// users with live sessions; true where the records hold that the user is
	// disabled, deleted or without access.
	users map[string]bool
	// recorded is when the newest session of each was recorded.
	recorded map[string]time.Time
	// named are active sessions that name an interactive session.
	named []named
	// next is what the next anchors are made of.
	next anchoring
	// gauges are what operators are told.
	gauges gauges
}

// named is what the portal check needs of a session.
type named struct {
	id, user    string
	interactive session.InteractiveSession
	recorded    time.Time
}

func (c *census) add(live []session.Session) {
	for i := range live {
		s := &live[i]
		c.next.add(s)
		held := holds(s.End.Cause) || s.UserStatusAt.After(s.UserEnabledAt)
		c.users[s.User] = c.users[s.User] || held
		if s.RecordedAt.After(c.recorded[s.User]) {
			c.recorded[s.User] = s.RecordedAt
		}
		if s.Status == session.Active && s.Interactive.ID != "" && !s.InteractiveGone {
			c.named = append(c.named, named{s.ID, s.User, s.Interactive, s.RecordedAt})
		}
	}
}

// checkIdentities asks the identity store about each user with live sessions
// (S3.5b): whether the user is there and enabled, and, more seldom, whether an
// assignment still gives access. What it finds goes through the door that events
// go through. What cannot be read changes nothing (S1.10); it is counted, and one
// error says so.
func (a *App) checkIdentities(ctx context.Context, seen census) error {
	now := a.Now()
	// In an order that changes each time: where time runs out, it is not always the
	// same users who are left.
	users, lots, at := sortedKeys(seen.users), make(map[string]string, len(seen.users)), now.String()
	for _, u := range users {
		lots[u] = digest(u, at)
	}
	slices.SortFunc(users, func(x, y string) int { return cmp.Compare(lots[x], lots[y]) })
	statuses, errs := a.statuses(by(ctx, seen.began.Add(statusesUntil)), users, seen.recorded, now)
	for _, user := range users {
		if t, ok := statuses[user]; ok && (t.status != UserEnabled || seen.users[user]) {
			errs = append(errs, a.settle(ctx, user, t, now))
		}
	}
	errs = append(errs, a.checkAssignments(by(ctx, seen.began.Add(assignmentsUntil)), users, seen, statuses, now))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("check identities: %w", err)
	}
	return nil
}

// statuses reads the users' statuses: of up to UsersAskedMax each by a call;
// beyond, from the directory's pages, and of those that these lack by a call
// each, in turn. A user who is not in the answer is not known.
func (a *App) statuses(ctx context.Context, users []string, recorded map[string]time.Time, now time.Time) (map[string]told, []error) {
	found, errs := map[string]told{}, []error(nil)
	if len(users) > cadence.UsersAskedMax && a.Users != nil {
		errs = append(errs, a.listed(ctx, users, found), a.noteNewcomers(ctx, recorded, found))
	}
	var ask []string
	for _, u := range users {
		if _, known := found[u]; !known {
			ask = append(ask, u)
		}
	}
	if rounds := int64(cadence.IdentityPeriod(len(ask)) / cadence.Sweep); rounds > 1 {
		ask = slices.DeleteFunc(ask, func(u string) bool { return turn(u, rounds) != round(now)%rounds })
	}
	answers := make([]told, len(ask))
	unknown := a.each(ctx, ask, func(ctx context.Context, i int) (err error) {
		answers[i], err = a.asked(ctx, ask[i])
		return err
	})
	for i, u := range ask {
		if answers[i].status != "" {
			found[u] = answers[i]
		}
	}
	return found, append(errs, unknown)
}

// listed takes the statuses of the users from the directory's pages, and stops
// when it has all. Who is not in a page is asked for by name: the absence from a
// listing deletes nobody.
func (a *App) listed(ctx context.Context, users []string, found map[string]told) error {
	wanted := make(map[string]bool, len(users))
	for _, u := range users {
		wanted[u] = true
	}
	cursor := ""
	for range cadence.DirectoryPagesMax {
		if a.late(ctx) {
			return nil
		}
		page, next, err := a.Users.Users(ctx, cursor)
		if err != nil {
			return fmt.Errorf("list users: %w", err)
		}
		at := a.Now()
		for u, status := range page {
			if wanted[u] {
				found[u] = told{status, at}
			}
		}
		if cursor = next; next == "" || len(found) == len(wanted) {
			return nil
		}
	}
	return nil
}

// each asks about users, some at once, each even if another fails. The answer is
// one error for all; the users not reached before time is up are left out.
func (a *App) each(ctx context.Context, users []string, ask func(ctx context.Context, i int) error) error {
	errs := make([]error, len(users))
	tasks := make([]func(context.Context), len(users))
	for i := range users {
		tasks[i] = func(ctx context.Context) {
			if !a.late(ctx) {
				errs[i] = ask(ctx, i)
			}
		}
	}
	a.Parallel(ctx, cadence.AskedAtOnce, tasks)
	unknown, first := 0, error(nil)
	for _, err := range slices.Backward(errs) {
		if err != nil {
			unknown, first = unknown+1, err
		}
	}
	if unknown == 0 {
		return nil
	}
	a.Meter.Count(MetricUnknown, unknown)
	return fmt.Errorf("%d of %d users cannot be told, such as: %w", unknown, len(users), first)
}

// When, after a sweep began, its checks of identities ask no more. There is one
// sweep at a time, and the next one is due after a minute; who is left is asked by
// it.
const (
	statusesUntil    = 45 * time.Second
	assignmentsUntil = 55 * time.Second
)

type byKey struct{}

// by is the context of what is to be done by a moment of the app's own clock.
func by(ctx context.Context, moment time.Time) context.Context {
	return context.WithValue(ctx, byKey{}, moment)
}

// late says that the caller's time is nearly up: what is begun now would be cut
// off, with what the others have still to write.
func (a *App) late(ctx context.Context) bool {
	if moment, ok := ctx.Value(byKey{}).(time.Time); ok && !a.Now().Before(moment) {
		return true
	}
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && deadline.Sub(a.Now()) < checksEndBefore
}

// checksEndBefore is how long before the caller's time is up the identity checks
// ask no more.
const checksEndBefore = 5 * time.Second

// standing is the newest fact of the kinds; false where there is none.
func standing(u session.UserFacts, kinds ...session.Kind) (session.Event, bool) {
	for _, f := range slices.Backward(u.Facts) { // in order of their time
		if slices.Contains(kinds, f.Kind) {
			return f, true
		}
	}
	return session.Event{}, false
}

// settle records a status that the identity store gives where the records hold
// another. A fact that is still young is not contradicted: the directory may
// answer with what was. A user whom it never knew is not deleted (S1.10).
func (a *App) settle(ctx context.Context, user string, t told, now time.Time) error {
	u, err := a.Store.User(ctx, user)
	if err != nil {
		return err
	}
	known, ok := standing(u, session.UserEnabled, session.UserDisabled, session.UserDeleted)
	kind := session.UserEnabled
	switch t.status {
	case UserDisabled:
		kind = session.UserDisabled
	case UserDeleted:
		kind = session.UserDeleted
	case UserEnabled:
		if !ok {
			return nil // nobody said otherwise
		}
	}
	if ok && (known.Kind == kind || now.Sub(said(known)) < cadence.ContradictAfter) {
		return nil
	}
	if kind == session.UserDeleted {
		if gone, err := a.gone(ctx, user, now); err != nil || !gone {
			return err
		}
	}
	at := now
	if r, ok := standing(u, session.AccessRemoved); ok && kind == session.UserEnabled && r.At.After(known.At) {
		at = r.At.Add(-1) // since when nobody says: access that was removed since is looked at for itself
	}
	return a.found(ctx, known.At, session.Event{Kind: kind, At: at, Known: t.at, User: user, Evidence: "identity check " + now.UTC().Format(time.RFC3339)})
}

// said is since when the directory may be held to a fact: what a check has found counts
// from when it asked, for the fact itself may be dated long before.
func said(f session.Event) time.Time {
	if strings.HasPrefix(f.ID, foundByCheck) {
		return latestOf(f.At, f.Known)
	}
	return f.At
}

// foundByCheck begins the ids of what checks have found.
const foundByCheck = "check-"

// found is a fact that a check has found; since is that of the fact which it follows.
// Its id is the same whoever finds it.
func (a *App) found(ctx context.Context, since time.Time, e session.Event) error {
	a.Meter.Count(MetricHealed, 1)
	e.ID, e.By = foundByCheck+digest(e.User, string(e.Kind), since.UTC().Format(time.RFC3339Nano)), "unknown"
	return a.fact(ctx, e)
}

// markAssignments names the moment up to which users' assignments were looked at.
const markAssignments = "assignments-checked"

// checkAssignments looks at the assignments of the users whose turn it is, each
// at least each AccessEach where there are not too many, and of those who are
// held to have none.
func (a *App) checkAssignments(ctx context.Context, users []string, seen census, statuses map[string]told, now time.Time) error {
	done, err := a.Store.Mark(ctx, markAssignments)
	if err != nil {
		return err
	}
	rounds := max(int64(cadence.AccessEach/cadence.Sweep), int64(len(users)+cadence.AccessMax-1)/cadence.AccessMax)
	last := round(now)
	from := max(round(done)+1, last-rounds+1)
	if done.IsZero() {
		from = last
	}
	turns := map[int64][]string{}
	var due []string
	for _, u := range users {
		switch {
		case statuses[u].status != "" && statuses[u].status != UserEnabled:
		case seen.users[u] && len(due) < cadence.AccessMax:
			due = append(due, u)
		default:
			turns[turn(u, rounds)] = append(turns[turn(u, rounds)], u)
		}
	}
	upTo := from - 1
	for r := from; r <= last; r++ {
		batch := turns[r%rounds]
		if r > from && len(due)+len(batch) > cadence.AccessMax {
			break // one sweep takes no more; the next goes on here
		}
		due, upTo = append(due, batch...), r
	}
	answered := make([]bool, len(due))
	unknown := a.each(ctx, due, func(ctx context.Context, i int) error {
		err := a.checkAssignment(ctx, due[i], statuses[due[i]].status, now)
		answered[i] = err == nil
		return err
	})
	if len(due) > 0 && !slices.Contains(answered, true) {
		return unknown // nobody could be asked: their turn is not over
	}
	return errors.Join(unknown, a.Store.SetMark(ctx, markAssignments, time.Unix(upTo*int64(cadence.Sweep/time.Second), 0).UTC()))
}

// checkAssignment looks at one user's assignments. One who has access again is
// enabled again, where the check that found none is asked anew and the user is
// enabled: what removed the access holds until then (S2.11).
func (a *App) checkAssignment(ctx context.Context, user string, status UserStatus, now time.Time) error {
	u, err := a.Store.User(ctx, user)
	if err != nil {
		return err
	}
	held, ok := standing(u, session.AccessRemoved, session.UserEnabled)
	application := ""
	if ok && held.Kind == session.AccessRemoved {
		application = held.Detail
	}
	access, err := a.Identity.Access(ctx, user, application)
	e := session.Event{At: now, Known: a.Now(), User: user, Evidence: "access check " + now.UTC().Format(time.RFC3339)}
	if fault.Is(err, fault.Invalid) {
		a.Meter.Count(MetricUnknown, 1)
		return nil // no application is configured that could be asked about
	}
	if err == nil && access == session.Unknown {
		err = fault.Newf("check access", fault.Unknown, "whether an assignment gives user %s access is unknown", user)
	}
	if err == nil && status == UserEnabled {
		err = a.noteKnown(ctx, user)
	}
	if err != nil || ok && now.Sub(held.At) < cadence.ContradictAfter {
		return err
	}
	removed := ok && held.Kind == session.AccessRemoved
	switch {
	case access == session.Off && !removed:
		if knows, err := a.knows(ctx, user); err != nil || !knows {
			return err
		}
		e.Kind, e.Detail, e.Evidence = session.AccessRemoved, application, e.Evidence+": no assignment is left"
		return a.found(ctx, held.At, e)
	case access == session.On && removed && status == UserEnabled:
		e.Kind, e.Evidence = session.UserEnabled, e.Evidence+": an assignment gives access again"
		return a.found(ctx, held.At, e)
	}
	return nil
}

// checkPortal compares sessions with the live portal sessions of the source: one
// that a complete list lacks is over, though nobody said so (S3.5c). It is told
// to the sessions that name it and to no others: a session that is not in a list
// was signed out, was revoked or has expired, and only the first would concern
// the user's sessions of other names. A list says nothing of what was recorded
// while it was made, and one list alone proves nothing: a source that was just
// started again may answer completely and know of nobody yet.
func (a *App) checkPortal(ctx context.Context, seen census) error {
	if a.Sessions == nil {
		return nil
	}
	began := a.Now()
	list, complete, err := a.Sessions.Live(ctx)
	if err != nil {
		a.Meter.Count(MetricUnknown, 1)
		return fmt.Errorf("check portal sessions: %w", err)
	}
	known := a.Now()
	if !complete {
		a.Meter.Count(MetricUnknown, 1)
		return nil
	}
	live := make(map[string]bool, len(list))
	for _, p := range list {
		live[p.ID] = true
	}
	source := a.Sessions.Source()
	previous, err := a.Store.Mark(ctx, markPortal+source)
	if err == nil {
		// Before what lacks is noted: where time runs out, the rest is noted anew.
		err = a.Store.SetMark(ctx, markPortal+source, began)
	}
	if err != nil {
		return fmt.Errorf("check portal sessions: %w", err)
	}
	var errs []error
	for _, n := range seen.named {
		expired := !n.interactive.ExpiresAt.IsZero() && !began.Before(n.interactive.ExpiresAt)
		if n.interactive.Source != source || live[n.interactive.ID] || expired || began.Sub(n.recorded) < cadence.MinimumAge {
			continue
		}
		missing, err := a.missing(ctx, n.interactive, previous, began)
		if err != nil || !missing {
			errs = append(errs, err)
			continue
		}
		before, err := a.Store.Session(ctx, n.id)
		if err == nil {
			var after session.Session
			after, err = a.Apply(ctx, n.id, session.Event{
				ID: "portal-" + digest(source, n.interactive.ID), Kind: session.SignOut, At: began, Known: known, User: n.user, By: "unknown",
				Evidence:    "session source " + source + " " + began.UTC().Format(time.RFC3339),
				Interactive: session.InteractiveSession{ID: n.interactive.ID, Source: source},
			})
			if err == nil && after.Version != before.Version {
				a.Meter.Count(MetricHealed, 1)
			}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// markPortal names, with the source behind it, the moment of the newest complete
// list.
const markPortal = "portal-listed/"

// missing notes that the list made at began lacks a portal session, and says
// whether the complete list before it, of at least half a sweep earlier, did too.
func (a *App) missing(ctx context.Context, i session.InteractiveSession, previous, began time.Time) (bool, error) {
	mark := "portal-missing/" + digest(i.Source, i.ID)
	since, err := a.Store.Mark(ctx, mark)
	if err != nil {
		return false, fmt.Errorf("check portal sessions: %w", err)
	}
	switch {
	case since.Equal(began):
		return false, nil // another session of the same name noted it
	case !since.IsZero() && since.Equal(previous) && began.Sub(since) >= cadence.Sweep/2:
		return true, nil
	}
	return false, a.Store.SetMark(ctx, mark, began)
}

// round numbers the sweeps.
func round(now time.Time) int64 { return now.Unix() / int64(cadence.Sweep/time.Second) }

// turn is the round, of so many, in which a user is asked for.
func turn(user string, rounds int64) int64 {
	n, err := strconv.ParseUint(digest(user)[:15], 16, 63)
	if err != nil {
		return 0 // a digest is hexadecimal: cannot happen
	}
	return int64(n) % rounds //nolint:gosec // 60 bits
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
