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
// that lists may never have seen the server before, so it is told from the records:
// all runs of the last complete listing are missing, and nothing explains it. One
// that is still there disproves it. e and its live sessions are as they were before.
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
	now := a.Now()
	newest, _, young := forgotten(sessions, l.Listing, before, now, silent)
	still, survives, _ := forgotten(sessions, l.Listing, e.LastListed, now, true)
	disproved := still.IsZero() && !survives.IsZero() && survives.Sub(e.LastListed) < sameLook
	first, last, err := a.doubt(ctx, e, newest, disproved)
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
	begun, again, now, forgets := "forgot-first/"+e.ID, "forgot/"+e.ID, a.Now(), a.settings(e.ID).Forgets
	if last, err = a.Store.Mark(ctx, again); err != nil {
		return first, last, err
	}
	if !last.IsZero() { // marks go forward only: what was disproved is noted beside it
		survived, err := a.Store.Mark(ctx, "survived/"+e.ID)
		if err == nil && disproved && survived.Before(last) && e.LastListed.Before(last) {
			survived, err = now, a.Store.SetMark(ctx, "survived/"+e.ID, now)
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
		if first, err = a.Store.Mark(ctx, begun); first.IsZero() {
			first = last
		}
	case anew:
		first, err = now, a.Store.SetMark(ctx, begun, now)
	}
	if err != nil || !anew {
		return first, last, err
	}
	a.Log.Warn("server restarted", "endpoint", e.ID, "reason", "it knows none of the runs of its last listing")
	return first, now, a.Store.SetMark(ctx, again, now)
}

// markDown begins the name of the moment at which an endpoint's listing first failed,
// markUp that of its next complete listing, markShown that of a complete listing of a
// drain's, or in doubt, which is none of a look (LastListed): what is there since then
// shows that the server was not restarted since. It is written once in shownEach, which
// is longer than the time between two looks that are each of 60 s.
const (
	markDown  = "silent/"
	markUp    = "answered/"
	markShown = "shown/"
	shownEach = 90 * time.Second
)

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

// forgotten answers when the newest of the forgotten sessions was recorded, started or
// seen at work, zero where none was: it is missing for no known reason, and nothing that is there
// was there already when it was known to be: a survivor shows that the server was not
// restarted since it began. Reasons are our stop and, where the server was not silent in
// between, as it is in a restart, two more: that it was idle, for Livy collects such
// sessions, which do nothing; and that we asked it to stop and the answer was an error,
// for it may have been stopped all the same. young: one is missing that was in no
// listing yet, and of which nothing can be said so soon. survives: since when the oldest
// of those that are there has been, at the latest; zero where there is none.
func forgotten(sessions []session.Session, l workload.Listing, last, now time.Time, silent bool) (newest, survives time.Time, young bool) {
	there := make(map[workload.Ref]bool, len(l.Runs))
	for i := range l.Runs {
		there[l.Runs[i].Run.Ref()] = true
	}
	for i := range sessions {
		s := &sessions[i]
		if s.Run.ID == "" || !there[s.Run.Ref()] {
			continue
		}
		began := latestOf(s.RecordedAt, s.StartAskedAt).Add(cadence.MinimumAge) // it was asked for; it may have begun later
		if !s.RunningSince.IsZero() && s.RunningSince.Before(began) {
			began = s.RunningSince
		}
		if survives.IsZero() || began.Before(survives) {
			survives = began
		}
	}
	for i := range sessions {
		s := &sessions[i]
		if s.Run.ID == "" || there[s.Run.Ref()] {
			continue
		}
		at, known := latestOf(s.RecordedAt, s.StartAskedAt), last // when it was known to be there, at the latest
		seen := !s.RunningSince.IsZero() && s.RunningSince.Sub(last) < sameLook
		if !seen && !at.Before(last.Add(-cadence.MinimumAge)) {
			known = at // it may have been too young for the last listing
		}
		idle := !s.Activity.At.IsZero() && !s.Activity.Busy
		stopped := s.Status == session.Ending && !s.End.Asked.IsZero()
		perhaps := s.Status == session.Ending && !s.End.Refused.IsZero()
		switch {
		case !survives.IsZero() && survives.Sub(known) < sameLook:
		case known.Equal(at) && now.Sub(at) < cadence.MinimumAge:
			young = true
		case !stopped && (silent || !idle && !perhaps):
			newest = latestOf(newest, latestOf(at, s.RunningSince))
		}
	}
	return newest, survives, young
}

// sameLook is how long after a look began what it saw may be dated, by a clock that is
// ahead: no server is restarted in that time.
const sameLook = 10 * time.Second

// proves says whether a session's absence from the listing counts: in a complete
// one, and in doubt where its stop was accepted by a server that knew it, or where it
// was forgotten by an earlier restart.
func (l listed) proves(s session.Session) bool {
	return l.Complete || !l.Doubt.IsZero() && (!s.End.Asked.IsZero() || latestOf(s.RecordedAt, s.StartAskedAt).Before(l.Over))
}
