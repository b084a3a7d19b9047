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
		_, failed := a.silent(ctx, endpoint, true)
		return l, errors.Join(err, failed)
	}
	renamed(sessions, l.Runs)
	if !l.Complete {
		return l, nil
	}
	silent, err := a.silent(ctx, endpoint, false)
	if err != nil {
		return l, err
	}
	now := a.Now()
	first, last, err := a.doubt(ctx, endpoint, forgotten(sessions, l.Listing, e.LastListed, now, silent))
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
// restarted now where sessions are forgotten that are newer than the last doubt.
func (a *App) doubt(ctx context.Context, endpoint string, newest time.Time) (first, last time.Time, err error) {
	begun, again, now, forgets := "forgot-first/"+endpoint, "forgot/"+endpoint, a.Now(), a.settings(endpoint).Forgets
	if last, err = a.Store.Mark(ctx, again); err != nil {
		return first, last, err
	}
	anew := newest.After(last)
	if now.Sub(last) < forgets {
		if first, err = a.Store.Mark(ctx, begun); last.Sub(first) >= forgets {
			first = last // of another time, or none
		}
	} else if first, last = now, (time.Time{}); anew {
		err = a.Store.SetMark(ctx, begun, now)
	}
	if err != nil || !anew {
		return first, last, err
	}
	a.Log.Warn("server restarted", "endpoint", endpoint, "reason", "it knows none of the runs of its last listing")
	return first, now, a.Store.SetMark(ctx, again, now)
}

// silent notes whether the endpoint answered, and answers whether it failed to
// since its last complete listing. Only a change is written.
func (a *App) silent(ctx context.Context, endpoint string, failed bool) (bool, error) {
	down, up := "silent/"+endpoint, "answered/"+endpoint
	since, err := a.Store.Mark(ctx, down)
	if err != nil {
		return false, err
	}
	last, err := a.Store.Mark(ctx, up)
	if err != nil {
		return false, err
	}
	was := since.After(last)
	switch {
	case failed && !was:
		err = a.Store.SetMark(ctx, down, a.Now())
	case !failed && was:
		err = a.Store.SetMark(ctx, up, a.Now())
	}
	return was, err
}

// forgotten answers when the newest of the forgotten sessions was recorded or started, zero
// where none was: all of those that were there, in the last complete listing or by
// the answer to their start, are missing from this one, and at least one of them not
// by our stop. That it was idle explains nothing: Livy ends such a session, and
// forgets it in a restart, alike. One that we asked to stop, and whose answer was an
// error, may have been stopped all the same; it counts only where the server was
// silent in between, as it is in a restart.
func forgotten(sessions []session.Session, l workload.Listing, last, now time.Time, silent bool) (newest time.Time) {
	there := make(map[workload.Ref]bool, len(l.Runs))
	for i := range l.Runs {
		there[l.Runs[i].Run.Ref()] = true
	}
	for i := range sessions {
		s := &sessions[i]
		at, shown := latestOf(s.RecordedAt, s.StartAskedAt), there[s.Run.Ref()]
		switch {
		case s.Run.ID == "" || !at.Before(last) && (shown || now.Sub(at) < cadence.MinimumAge):
			continue // it was not in the last listing: it may be of another server process, or too young for this one
		case shown:
			return time.Time{}
		}
		stopped := s.Status == session.Ending && (!s.End.Asked.IsZero() || !silent && !s.End.Refused.IsZero())
		if !stopped && at.After(newest) {
			newest = at
		}
	}
	return newest
}

// proves says whether a session's absence from the listing counts: in a complete
// one, and in doubt where its stop was accepted by a server that knew it, or where it
// was forgotten by an earlier restart.
func (l listed) proves(s session.Session) bool {
	return l.Complete || !l.Doubt.IsZero() && (!s.End.Asked.IsZero() || latestOf(s.RecordedAt, s.StartAskedAt).Before(l.Over))
}
