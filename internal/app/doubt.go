package app

import (
	"context"
	"errors"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Names of marks, each of an endpoint.
const (
	markDown = "silent/"   // when a listing first failed
	markUp   = "answered/" // when the next complete one was asked for
	// When a listing was asked for and complete that was none of a look (LastListed), but a drain's:
	// what is there since shows that the server was not restarted since.
	markShown = "shown/"
)

// shownEach is how often a listing is noted as shown: more seldom than looks are, which
// are noted anyway, at their most frequent.
const shownEach = 90 * time.Second

// sameLook is how long after a look began what it saw may be dated, by a clock that is
// ahead: no server is restarted in that time.
const sameLook = 10 * time.Second

// listed is a listing, and the ids of the sessions whose absence from it proves nothing
// yet: their server may have been restarted and have forgotten them.
type listed struct {
	workload.Listing
	open map[string]bool
}

// proves says whether a session's absence from the listing counts.
func (l listed) proves(s session.Session) bool { return l.Complete && !l.open[s.ID] }

// list lists an endpoint. Where its server seems to have been restarted and to have
// forgotten runs, their absence proves nothing until they cannot live on (a Livy server
// without recovery; its drivers do for some minutes): since when they are missing is
// noted in their sessions. The process that lists may never have seen the server before,
// so that it is told from the records (sight). e and its live sessions are as they were
// before.
func (a *App) list(ctx context.Context, engine Engine, e Endpoint, sessions []session.Session) (listed, error) {
	endpoint := e.ID
	forgets := a.settings(endpoint).Forgets
	if forgets == 0 {
		l, err := engine.List(ctx, endpoint)
		return listed{Listing: l}, err
	}
	l, asked, err := listed{}, a.Now(), error(nil)
	if l.Listing, err = engine.List(ctx, endpoint); err != nil {
		since, unread := a.silent(ctx, endpoint)
		if unread == nil && since.IsZero() {
			unread = a.Store.SetMark(ctx, markDown+endpoint, a.Now())
		}
		return l, errors.Join(err, unread)
	}
	renamed(sessions, l.Runs)
	if !l.Complete && !l.Forgotten {
		return l, nil
	}
	silent, err := a.silent(ctx, endpoint)
	if err != nil {
		return l, err
	}
	shown, err := a.Store.Mark(ctx, markShown+endpoint)
	if err != nil {
		return l, err
	}
	last, now, seen := latestOf(shown, e.LastListed), a.Now(), sightOf(sessions, l.Runs)
	if l.Forgotten && silent.IsZero() {
		silent = last // it was restarted since: that a session was idle explains nothing
	}
	if len(seen.missing) > 0 {
		// Read anew, after the marks: an index may lack what a listing a moment ago noted.
		fresh, err := a.alive(ctx, seen.missingIDs())
		if err != nil {
			return l, err
		}
		seen.missing = sightOf(fresh, l.Runs).missing
	}
	doubtful, young := seen.doubtful(last, silent, now)
	l.open, err = a.missed(ctx, doubtful, last, now, forgets)
	for _, s := range young {
		l.open[s.ID] = true
	}
	if err != nil || len(young) > 0 || !l.Complete {
		return l, err
	}
	if !silent.IsZero() { // not before what is missing is noted: it would be told no more
		err = a.Store.SetMark(ctx, markUp+endpoint, asked) // since then another caller may have had no answer
	}
	if err == nil && asked.Sub(last) >= shownEach {
		err = a.Store.SetMark(ctx, markShown+endpoint, asked)
	}
	return l, err
}

// missed notes since when sessions are missing that their server may have forgotten, and
// answers the ids of those that may live on. A server forgets all it has at once: one
// after the other their notes would take longer than a function has.
func (a *App) missed(ctx context.Context, doubtful []*session.Session, last, now time.Time, forgets time.Duration) (open map[string]bool, err error) {
	open = make(map[string]bool, len(doubtful))
	errs, notes := make([]error, len(doubtful)), []func(context.Context){}
	for i, s := range doubtful {
		if since := s.Missed.Since; !since.IsZero() && now.Sub(since) >= forgets {
			continue
		}
		open[s.ID] = true
		if s.Missed.Since.IsZero() {
			e := session.Event{Kind: session.RunMissed, At: now, Since: known(s, last), By: "nightshift", Evidence: "a complete list lacks it, and its server may have been restarted: it may live until " + now.Add(forgets).UTC().Format(time.RFC3339)}
			notes = append(notes, func(ctx context.Context) { _, errs[i] = a.Apply(ctx, s.ID, e) })
		}
	}
	a.Parallel(ctx, fanOutParallel, notes)
	return open, errors.Join(errs...)
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

// silent says since when the endpoint has failed to answer after its last complete
// listing; zero: it has not.
func (a *App) silent(ctx context.Context, endpoint string) (time.Time, error) {
	since, err := a.Store.Mark(ctx, markDown+endpoint)
	if err != nil {
		return time.Time{}, err
	}
	last, err := a.Store.Mark(ctx, markUp+endpoint)
	if err != nil || !since.After(last) {
		return time.Time{}, err
	}
	return since, nil
}

// sight is what a complete listing shows of an endpoint's sessions.
type sight struct {
	missing []*session.Session
	// survivor is since when the oldest of those that are there has been, at the latest;
	// zero where there is none.
	survivor time.Time
}

func sightOf(sessions []session.Session, runs []workload.Observation) (seen sight) {
	there, stamps := make(map[workload.Ref]bool, len(runs)), map[string]bool{}
	for i := range runs {
		there[runs[i].Run.Ref()] = true
		if runs[i].Stamp != "" {
			stamps[runs[i].Stamp] = true
		}
	}
	for i := range sessions {
		switch s := &sessions[i]; {
		case s.Run.ID == "" && stamps[s.ID]:
		case s.Run.ID == "" || !there[s.Run.Ref()]:
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

func (seen sight) missingIDs() []string {
	ids := make([]string, len(seen.missing))
	for i, s := range seen.missing {
		ids[i] = s.ID
	}
	return ids
}

// askedAt is when a session's run was adopted, or last asked for.
func askedAt(s *session.Session) time.Time { return latestOf(s.RecordedAt, s.StartAskedAt) }

// survived says whether something is there that was there already at a moment: the
// server was not restarted since.
func (seen sight) survived(since time.Time) bool {
	return !seen.survivor.IsZero() && seen.survivor.Sub(since) < sameLook
}

// known is when a missing session was there, at the latest: at the last listing, or, where
// it may have been too young for that, when it was asked for. One whose start nobody saw
// may be of the first try, or never have been.
func known(s *session.Session, last time.Time) time.Time {
	at := askedAt(s)
	atWork := !s.RunningSince.IsZero() && s.RunningSince.Sub(last) < sameLook
	switch {
	case !s.Missed.Since.IsZero():
		return s.Missed.Known
	case s.Run.ID == "":
		return s.RecordedAt
	case !atWork && !at.Before(last.Add(-cadence.MinimumAge)):
		return at
	}
	return last
}

// doubtful answers the sessions that the server may have forgotten in a restart: missing
// for no known reason, while nothing is there that was there already when they were
// known to be. Reasons are our stop and, where the server was not silent in between, as
// it is in a restart, and has forgotten nobody else, two more: that the session was
// idle, for Livy collects such, which do nothing; and that we asked it to stop and the
// answer was an error, for it may have been stopped all the same. Sessions whose start
// nobody saw are forgotten as others are, and never the first to tell of a restart.
// young are missing, and no listing adopted them or saw them at work: they may be in none
// yet, and nothing is said of them so soon. last is when the listing before was, silent since when none came.
func (seen sight) doubtful(last, silent, now time.Time) (all, young []*session.Session) {
	var perhaps []*session.Session
	told := time.Time{} // when the last restart was told
	for _, s := range seen.missing {
		at, known := askedAt(s), known(s, last)
		idle := !s.Activity.At.IsZero() && !s.Activity.Busy
		unsure := s.Status == session.Ending && !s.End.Refused.IsZero()
		switch {
		case s.Run.ID == "" && s.StartAskedAt.IsZero(), s.Status == session.Ending && !s.End.Asked.IsZero(), seen.survived(known):
		case s.Origin == session.Started && s.RunningSince.IsZero() && s.Missed.Since.IsZero() && now.Sub(at) < cadence.MinimumAge:
			young = append(young, s)
		case !s.Missed.Since.IsZero():
			all, told = append(all, s), latestOf(told, s.Missed.Since)
		case s.Run.ID == "" && seen.survived(latestOf(known, silent)): // nothing tells of a restart but silence
		case !silent.IsZero(), s.Run.ID != "" && !idle && !unsure:
			all, told = append(all, s), now
		default:
			perhaps = append(perhaps, s)
		}
	}
	for _, s := range perhaps {
		if told.After(known(s, last)) {
			all = append(all, s)
		}
	}
	return all, young
}
