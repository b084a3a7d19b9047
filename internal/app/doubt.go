package app

import (
	"context"
	"errors"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Names of marks, each of an endpoint.
const (
	markDown = "silent/"   // when a listing first failed
	markUp   = "answered/" // when the next one was complete
	// When a listing was complete that was none of a look (LastListed), but a drain's, or
	// in doubt: what is there since shows that the server was not restarted since.
	markShown       = "shown/"
	markForgotFirst = "forgot-first/" // when a restart was first told, of several
	markForgot      = "forgot/"       // when one was told last
	markSurvived    = "survived/"     // when that was disproved
)

// shownEach is how often a listing is noted as shown: more seldom than looks are, which
// are noted anyway, at their most frequent.
const shownEach = 90 * time.Second

// sameLook is how long after a look began what it saw may be dated, by a clock that is
// ahead: no server is restarted in that time.
const sameLook = 10 * time.Second

// listed is a listing and since when its server is taken to have been restarted;
// zero: it is not. Where it was restarted again in that time, drivers of before the
// first restart end sooner: those of sessions that are older than Over, if it is set.
type listed struct {
	workload.Listing
	Doubt, Over time.Time
}

// list lists an endpoint. Where its server seems to have been restarted and to
// have forgotten its runs, the listing is not complete: what it lacks may live on
// (a Livy server without recovery; its drivers do for some minutes). The process
// that lists may never have seen the server before, so it is told from the records
// (forgotten). e and its live sessions are as they were before.
func (a *App) list(ctx context.Context, engine Engine, e Endpoint, sessions []session.Session) (listed, error) {
	endpoint := e.ID
	forgets := a.settings(endpoint).Forgets
	if forgets == 0 {
		l, err := engine.List(ctx, endpoint)
		return listed{Listing: l}, err
	}
	l, err := listed{}, error(nil)
	if l.Listing, err = engine.List(ctx, endpoint); err != nil {
		if fault.Is(err, fault.Throttled) {
			return l, err // it is there
		}
		silent, unread := a.silent(ctx, endpoint)
		if unread == nil && !silent {
			unread = a.Store.SetMark(ctx, markDown+endpoint, a.Now())
		}
		return l, errors.Join(err, unread)
	}
	renamed(sessions, l.Runs)
	if !l.Complete {
		return l, nil
	}
	silent, err := a.silent(ctx, endpoint)
	if err != nil {
		return l, err
	}
	before, err := a.Store.Mark(ctx, markShown+endpoint)
	if err != nil {
		return l, err
	}
	before = latestOf(before, e.LastListed)
	now, seen := a.Now(), sightOf(sessions, l.Runs)
	newest, young := seen.forgotten(before, now, silent)
	still, _ := seen.forgotten(e.LastListed, now, true)
	first, last, err := a.doubt(ctx, e, newest, still.IsZero() && seen.survived(e.LastListed))
	if err == nil && silent && !young { // not before the doubt is noted: it would be told no more
		err = a.Store.SetMark(ctx, markUp+endpoint, now)
	}
	if err == nil && !young && now.Sub(before) >= shownEach {
		err = a.Store.SetMark(ctx, markShown+endpoint, now)
	}
	if err != nil || last.IsZero() {
		return l, err
	}
	l.Doubt, l.Complete = last, false
	if now.Sub(first) >= forgets {
		l.Over = e.LastListed // in doubt it stays what it was before the first
	}
	return l, nil
}

// renamed gives runs that got a lasting id since a live session took them the one
// by which that has them: one run, one session (S3.3).
func renamed(sessions []session.Session, runs []workload.Observation) {
	has := map[workload.Ref]bool{}
	for i := range sessions {
		has[sessions[i].Run.Ref()] = true
	}
	for i := range runs {
		if was := (workload.Ref{Endpoint: runs[i].Run.Endpoint, ID: runs[i].Was}); runs[i].Was != "" && has[was] && !has[runs[i].Run.Ref()] {
			runs[i].Run.ID = runs[i].Was
		}
	}
}

// doubt answers since when the endpoint's server is taken to have been restarted, for
// the first time and for the last; zero: its drivers of before have ended. It is
// restarted now where sessions are forgotten that are newer than the last doubt. The
// first of several is the one before which a look was complete for the last time: what
// it forgot has no other way to be told. disproved: of what that look can have shown
// something is there, and nothing is missing, so that there was no restart since.
func (a *App) doubt(ctx context.Context, e Endpoint, newest time.Time, disproved bool) (first, last time.Time, err error) {
	now, forgets := a.Now(), a.settings(e.ID).Forgets
	if last, err = a.Store.Mark(ctx, markForgot+e.ID); err != nil {
		return first, last, err
	}
	if !last.IsZero() { // marks go forward only: what was disproved is noted beside it
		survived, err := a.Store.Mark(ctx, markSurvived+e.ID)
		if err == nil && disproved && survived.Before(last) && e.LastListed.Before(last) {
			survived, err = now, a.Store.SetMark(ctx, markSurvived+e.ID, now)
		}
		if err != nil {
			return first, last, err
		}
		if !survived.Before(last) {
			last = time.Time{}
		}
	}
	anew, goesOn := newest.After(last), now.Sub(last) < forgets || !last.IsZero() && e.LastListed.Before(last)
	if now.Sub(last) >= forgets {
		last = time.Time{}
	}
	switch {
	case goesOn:
		if first, err = a.Store.Mark(ctx, markForgotFirst+e.ID); first.IsZero() {
			first = last
		}
	case anew:
		first, err = now, a.Store.SetMark(ctx, markForgotFirst+e.ID, now)
	}
	if err != nil || !anew {
		return first, last, err
	}
	a.Log.Warn("server restarted", "endpoint", e.ID, "reason", "it knows none of the runs of its last listing")
	return first, now, a.Store.SetMark(ctx, markForgot+e.ID, now)
}

// silent says whether the endpoint has failed to answer since its last complete
// listing.
func (a *App) silent(ctx context.Context, endpoint string) (bool, error) {
	since, err := a.Store.Mark(ctx, markDown+endpoint)
	if err != nil {
		return false, err
	}
	last, err := a.Store.Mark(ctx, markUp+endpoint)
	return since.After(last), err
}

// sight is what a complete listing shows of an endpoint's sessions.
type sight struct {
	missing []*session.Session
	// survivor is since when the oldest of those that are there has been, at the latest;
	// zero where there is none.
	survivor time.Time
}

func sightOf(sessions []session.Session, runs []workload.Observation) (seen sight) {
	there := make(map[workload.Ref]bool, len(runs))
	for i := range runs {
		there[runs[i].Run.Ref()] = true
	}
	for i := range sessions {
		switch s := &sessions[i]; {
		case s.Run.ID == "":
		case !there[s.Run.Ref()]:
			seen.missing = append(seen.missing, s)
		default:
			began := askedAt(s).Add(cadence.MinimumAge) // it was asked for; it may have begun later
			if !s.RunningSince.IsZero() && s.RunningSince.Before(began) {
				began = s.RunningSince
			}
			if seen.survivor.IsZero() || began.Before(seen.survivor) {
				seen.survivor = began
			}
		}
	}
	return seen
}

// askedAt is when a session's run was adopted, or last asked for.
func askedAt(s *session.Session) time.Time { return latestOf(s.RecordedAt, s.StartAskedAt) }

// survived says whether something is there that was there already at a moment: the
// server was not restarted since.
func (seen sight) survived(since time.Time) bool {
	return !seen.survivor.IsZero() && seen.survivor.Sub(since) < sameLook
}

// forgotten answers when the newest of the forgotten sessions was recorded, started or
// seen at work, zero where none was: it is missing for no known reason, and nothing that
// is there was there already when it was known to be. Reasons are our stop and, where
// the server was not silent in between, as it is in a restart, two more: that it was
// idle, for Livy collects such sessions, which do nothing; and that we asked it to stop
// and the answer was an error, for it may have been stopped all the same. young: one is
// missing that was in no listing yet, and of which nothing can be said so soon. last is
// when the listing before was.
func (seen sight) forgotten(last, now time.Time, silent bool) (newest time.Time, young bool) {
	for _, s := range seen.missing {
		at, known := askedAt(s), last // when it was known to be there, at the latest
		if atWork := !s.RunningSince.IsZero() && s.RunningSince.Sub(last) < sameLook; !atWork && !at.Before(last.Add(-cadence.MinimumAge)) {
			known = at // it may have been too young for the last listing
		}
		idle := !s.Activity.At.IsZero() && !s.Activity.Busy
		stopped := s.Status == session.Ending && !s.End.Asked.IsZero()
		perhaps := s.Status == session.Ending && !s.End.Refused.IsZero()
		switch {
		case seen.survived(known):
		case known.Equal(at) && now.Sub(at) < cadence.MinimumAge:
			young = true
		case !stopped && (silent || !idle && !perhaps):
			newest = latestOf(newest, latestOf(at, s.RunningSince))
		}
	}
	return newest, young
}

// proves says whether a session's absence from the listing counts: in a complete
// one, and in doubt where its stop was accepted by a server that knew it, or where it
// was forgotten by an earlier restart.
func (l listed) proves(s session.Session) bool {
	return l.Complete || !l.Doubt.IsZero() && (!s.End.Asked.IsZero() || askedAt(&s).Before(l.Over))
}
