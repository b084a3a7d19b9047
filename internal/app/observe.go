package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Round is what one look at an endpoint tells the execution that asked.
type Round struct {
	Done bool          // this execution has nothing more to do
	Left int           // sessions that are alive (watch) or must still end (drain)
	Wait time.Duration // until the next round
	ETA  time.Duration // drain: until the last that must end has been asked to stop (S2.9)
}

// Watch is one round of the watch of an endpoint: list it, bring what was seen
// to the records, and say when to look again.
func (a *App) Watch(ctx context.Context, endpoint string, generation int64) (Round, error) {
	if err := a.safe(ctx); err != nil {
		return Round{}, err
	}
	e, held, err := a.hold(ctx, endpoint, watching, generation)
	if err != nil || !held {
		return Round{Done: !held && err == nil}, err
	}
	left, youngest, err := a.look(ctx, e)
	if err != nil {
		return Round{}, err
	}
	if left == 0 {
		done, err := a.idle(ctx, endpoint, watching, generation)
		return Round{Done: done, Wait: cadence.Young}, err
	}
	if err := a.busy(ctx, e, watching, generation); err != nil {
		return Round{}, err
	}
	return Round{Left: left, Wait: a.settings(endpoint).Next(youngest)}, nil
}

// look lists an endpoint once and applies what it saw through the one door. It
// answers how many sessions are alive and the age of the youngest run.
func (a *App) look(ctx context.Context, e Endpoint) (live int, youngest time.Duration, err error) {
	endpoint := e.ID
	engine, err := a.engine(endpoint)
	if err != nil {
		return 0, 0, err
	}
	sessions, err := a.live(ctx, endpoint)
	if err != nil {
		return 0, 0, err
	}
	began := a.Now()
	listing, err := a.list(ctx, engine, e, sessions)
	if err != nil {
		return 0, 0, fmt.Errorf("look at endpoint %s: %w", endpoint, err)
	}
	a.Meter.Count(MetricUnidentified, listing.Unidentified)
	seen, moved, errs := a.match(by(ctx, began.Add(namesWithin)), sessions, listing.Listing, began)
	for i, s := range sessions {
		if !seen[i] && listing.proves(s) {
			_, err := a.absent(ctx, engine, s)
			errs, moved = append(errs, err), true
		}
	}
	if listing.Complete && errors.Join(errs...) == nil {
		// A look whose news could not all be written down is taken again.
		_, _, err := a.change(ctx, endpoint, func(e *Endpoint) bool { e.LastListed = began; return true })
		errs = append(errs, err)
	}
	if moved { // most looks find what was known: reading it all again would double what they cost
		sessions, err = a.live(ctx, endpoint)
	}
	live, youngest = a.ages(sessions)
	if !listing.Complete || len(listing.open) > 0 {
		youngest = 0 // what it lacks may be what is sought: it is no look of the settled cadence (S3.5a)
	}
	return live, youngest, errors.Join(append(errs, err)...)
}

// match brings each run of a listing to its session, adopting those without. It
// answers which sessions' runs were seen, and whether sessions may have come or
// gone by it.
func (a *App) match(ctx context.Context, sessions []session.Session, listing workload.Listing, began time.Time) (seen []bool, moved bool, errs []error) {
	byID, byRun := make(map[string]int, len(sessions)), make(map[workload.Ref]int, len(sessions))
	for i := range sessions {
		byID[sessions[i].ID] = i
		if sessions[i].Run.ID != "" {
			byRun[sessions[i].Run.Ref()] = i
		}
	}
	seen = make([]bool, len(sessions))
	for _, o := range listing.Runs {
		i, known := byRun[o.Run.Ref()]
		if !known && o.Stamp != "" {
			// A session that has its run already does not get a namesake's news.
			i, known = byID[o.Stamp]
			known = known && sessions[i].Run.ID == ""
			delete(byID, o.Stamp) // it has one run: a second with its stamp is not its
			if known {
				other, err := a.others(ctx, o.Run.Ref(), o.Stamp)
				if err != nil {
					seen[i], errs = true, append(errs, err) // that it is not there is not said by this
					continue
				}
				known = !other
			}
		}
		if known {
			seen[i], moved = true, moved || o.State.Over()
			errs = append(errs, a.see(ctx, sessions[i], o, ""))
			continue
		}
		moved = moved || !o.State.Over()
		errs = append(errs, a.discover(ctx, o, began))
	}
	return seen, moved, errs
}

// ages counts the endpoint's live sessions and finds its youngest run.
func (a *App) ages(sessions []session.Session) (live int, youngest time.Duration) {
	now := a.Now()
	youngest = cadence.YoungFor
	for i := range sessions {
		youngest = min(youngest, now.Sub(sessions[i].OpenedAt))
	}
	return len(sessions), youngest
}

// see applies what was seen of a session's run, where it is news.
func (a *App) see(ctx context.Context, s session.Session, o workload.Observation, eventID string) error {
	if s.Run.ID == "" {
		var err error
		if s, err = a.Apply(ctx, s.ID, session.Event{Kind: session.RunStarted, At: o.At, Run: o.Run.Ref(), Name: o.Run.Name, Cluster: o.Run.Cluster, Billing: o.Run.Billing, Evidence: "found by its stamp"}); err != nil {
			return err
		}
		if s.Run.Ref() != o.Run.Ref() {
			return nil // it has ended, or has taken another run meanwhile: the next listing tells whose this is
		}
	}
	if o.State.Over() && !plausible(s, o) {
		return nil
	}
	if o.State.Over() && o.Remains {
		if err := a.clear(ctx, s); err != nil {
			return err
		}
	}
	if news(s, o) {
		e := session.Event{ID: eventID, Kind: session.RunObserved, At: o.At, State: o.State, Run: o.Run.Ref(), Detail: o.Detail, MaxRuntime: o.Run.MaxRuntime, Name: o.Run.Name, Cluster: o.Run.Cluster, Billing: o.Run.Billing, Evidence: "listing"}
		if !o.RunningSince.IsZero() && o.State == workload.Running {
			e.At = o.RunningSince
		}
		var err error
		if s, err = a.Apply(ctx, s.ID, e); err != nil {
			return err
		}
	}
	if o.Stuck != "" && s.Status == session.Ending && s.End.Stuck != o.Stuck {
		var err error
		if s, err = a.Apply(ctx, s.ID, session.Event{Kind: session.StopStuck, At: o.At, Detail: o.Stuck, By: "nightshift", Evidence: "listing"}); err != nil {
			return err
		}
	}
	return errors.Join(a.activity(ctx, s, o), a.progress(ctx, s, o))
}

// clear has the engine end what may live on of a session's run before that is
// called over: closed, nobody would ever ask again. Where it cannot be asked the
// session stays, and the next listing tries again.
func (a *App) clear(ctx context.Context, s session.Session) error {
	engine, err := a.engine(s.Run.Endpoint)
	if err == nil {
		err = engine.Stop(ctx, s.Run)
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		return fmt.Errorf("end what lives on of the run of session %s: %w", s.ID, err)
	}
	return nil
}

// plausible: a run that is over ended after it could first be started; an older
// word is about a namesake.
func plausible(s session.Session, o workload.Observation) bool {
	return s.StartAskedAt.IsZero() || o.State == workload.Gone || !o.At.Before(s.RecordedAt.Add(-clockSkew))
}

// clockSkew is how far an engine's clock may be behind ours.
const clockSkew = time.Minute

// news says whether an observation can change the session: a listing repeats
// what is known each minute.
func news(s session.Session, o workload.Observation) bool {
	switch {
	case o.State.Over(), !s.Missed.Since.IsZero():
		return true
	case s.Status != session.Active:
		return false
	case s.Run.MaxRuntime == 0 && o.Run.MaxRuntime > 0:
		return true
	case s.Run.Cluster == "" && o.Run.Cluster != "":
		return true
	case o.Run.Billing.Adds(s.Run.Billing):
		return true
	case o.State == workload.Running:
		return s.RunningSince.IsZero() || !o.RunningSince.IsZero() && o.RunningSince.Before(s.RunningSince) || !s.Activity.At.IsZero() && !s.Activity.Busy
	case o.State == workload.Idle:
		return s.RunningSince.IsZero() || s.Activity.At.IsZero() || s.Activity.Busy
	}
	return false
}

// activity applies what the statements of a Livy session tell (S2.2).
func (a *App) activity(ctx context.Context, s session.Session, o workload.Observation) error {
	k := o.Activity
	if s.Status != session.Active || !k.Known || o.State.Over() {
		return nil
	}
	if !s.Activity.At.IsZero() && s.Activity.Busy == k.Busy && (k.Since.IsZero() || k.Since.Equal(s.Activity.Since)) {
		return nil
	}
	_, err := a.Apply(ctx, s.ID, session.Event{Kind: session.IdleSince, At: o.At, Busy: k.Busy, Since: k.Since, Evidence: "statements"})
	return err
}

// discover takes a run that no live session is known for: its session may have
// ended, may not be listed yet, or may never have been (S2.3, S3.3).
func (a *App) discover(ctx context.Context, o workload.Observation, began time.Time) error {
	if o.State.Over() || o.Run.Kind == workload.LivyBatch {
		return nil // batches are listed, never owned
	}
	if o.State == workload.Unknown {
		// What may be over for good is neither adopted nor raised from the dead.
		a.Log.Warn("state of a run unknown", "endpoint", o.Run.Endpoint, "reason", o.Detail)
		return nil
	}
	s, err := a.owner(ctx, o.Run.Ref(), o.Stamp, "")
	if err == nil && s.Status == session.Ended {
		s, err = a.risen(ctx, s, o, began)
	}
	if fault.Is(err, fault.NotFound) {
		s, err = a.unowned(ctx, o)
	}
	if err != nil || s.ID == "" {
		return err
	}
	return a.see(ctx, s, o, "")
}

// risen opens the session that follows an ended one whose run is listed alive; none
// where that is no news, and NotFound where the run turns out to be none of its.
func (a *App) risen(ctx context.Context, ended session.Session, o workload.Observation, began time.Time) (session.Session, error) {
	if !began.After(ended.End.Confirmed) || o.State == workload.Stopping {
		return session.Session{}, nil // the listing is older than the end, or the run is on its way out
	}
	r, err := a.restored(ctx)
	if err != nil || !r.Confirmed && ended.End.Confirmed.Before(r.At) {
		return session.Session{}, err // it may have been started again since (S4.4): the restore's difference tells of it
	}
	return a.resurrect(ctx, ended, o.Run)
}

// unowned adopts a run under the user that it names, or holds it to be an orphan,
// which has no session (S3.3). A pipeline's job is neither: it is its pipeline's
// user's, and lives and dies with that.
func (a *App) unowned(ctx context.Context, o workload.Observation) (session.Session, error) {
	if part, err := a.part(ctx, o.Run.Ref()); err != nil || part || o.PartOf != "" {
		return session.Session{}, err
	}
	user, open := a.userOf(ctx, o.User)
	if user == "" {
		return session.Session{}, a.orphan(ctx, o, open)
	}
	return a.adopt(ctx, o.Run, user, o.CreatedAt)
}

// orphanMark names the mark of a run that was flagged as an orphan, and the flag.
func orphanMark(run workload.Ref) string { return runMark("orphan/", run) }

// orphan flags, once, a run that can be attributed to nobody; it is never
// stopped by us (S3.3). The record of the call that started it may still be on its
// way, and says whose it is: until that must have come, nobody is alarmed. The same
// time is given to a user name that could not be asked about (open).
func (a *App) orphan(ctx context.Context, o workload.Observation, open error) error {
	id, now := orphanMark(o.Run.Ref()), a.Now()
	if flagged, err := a.Store.Mark(ctx, id); err != nil || !flagged.IsZero() {
		return err
	}
	since, err := a.firstSeen(ctx, o, open, now)
	recorded := o.Run.Engine != workload.Livy || open != nil // no call of Livy's is
	if err != nil || recorded && now.Sub(since) < cadence.BirthWithin {
		return err
	}
	if o.Detail == "" {
		o.Detail = nameless(o.User, open)
	}
	// Said before it is noted: where one of the two fails, the next listing says
	// it again, under the same id.
	if err := a.Announcer.Announce(ctx, Announcement{ID: id, Kind: "orphan-found", At: now, Orphan: o}); err != nil {
		return fmt.Errorf("flag an orphan: %w", err)
	}
	a.Meter.Count(MetricOrphans, 1)
	return a.Store.SetMark(ctx, id, now)
}

// strangerMark names the mark of when a run was first seen that could be nobody's,
// lackedMark that of the last complete list before, which lacked it.
func strangerMark(run workload.Ref) string { return runMark("stranger/", run) }
func lackedMark(run workload.Ref) string   { return runMark("lacked/", run) }

// firstSeen is since when the run is there without anybody it could belong to: its
// creation, where the engine says when that was and no answer was missing.
func (a *App) firstSeen(ctx context.Context, o workload.Observation, open error, now time.Time) (time.Time, error) {
	if open == nil && !o.CreatedAt.IsZero() {
		return o.CreatedAt, nil
	}
	mark := strangerMark(o.Run.Ref())
	since, err := a.Store.Mark(ctx, mark)
	if err != nil || !since.IsZero() {
		return since, err
	}
	before, err := a.Store.Endpoint(ctx, o.Run.Endpoint)
	if err == nil && !before.LastListed.IsZero() {
		err = a.Store.SetMark(ctx, lackedMark(o.Run.Ref()), before.LastListed)
	}
	if err != nil {
		return now, err
	}
	return now, a.Store.SetMark(ctx, mark, now)
}

// partMark names the mark of a job that a step event said to be a pipeline's.
func partMark(job workload.Ref) string { return runMark("part/", job) }

// part says whether a step event said that the run is a pipeline's job.
func (a *App) part(ctx context.Context, run workload.Ref) (bool, error) {
	noted, err := a.Store.Mark(ctx, partMark(run))
	return !noted.IsZero(), err
}

// absent handles a session whose run a complete listing lacks. Absence counts
// only past a minimum age, and only when a describe confirms it. It answers the
// state described; "" where the run has no id to describe.
func (a *App) absent(ctx context.Context, engine Engine, s session.Session) (workload.State, error) {
	now := a.Now()
	if s.Run.ID == "" {
		return "", a.unstarted(ctx, s, now)
	}
	o, err := a.described(ctx, engine, s)
	if err != nil {
		return "", err
	}
	// Runs of servers that forget are adopted from listings alone: they were there.
	listed := s.Origin != session.Started && a.settings(s.Run.Endpoint).Forgets > 0
	if o.State == workload.Gone && !listed && now.Sub(askedAt(&s)) < cadence.MinimumAge {
		return o.State, nil
	}
	if o.At.IsZero() {
		o.At = now
	}
	return o.State, a.see(ctx, s, o, "")
}

// described is how the session's own run is. One whose claim another session holds
// is that one's: what is seen of it is none of this session's news, whose run is
// gone.
func (a *App) described(ctx context.Context, engine Engine, s session.Session) (workload.Observation, error) {
	o, err := engine.Describe(ctx, s.Run)
	if err == nil && o.State != workload.Gone {
		var other bool
		if other, err = a.others(ctx, s.Run.Ref(), s.ID); other {
			o = workload.Observation{Run: s.Run, State: workload.Gone, At: a.Now()}
		}
	}
	if err != nil {
		return workload.Observation{}, fmt.Errorf("describe run of session %s: %w", s.ID, err)
	}
	return o, nil
}

// others says whether another session than this one holds the run's claim. Such a
// run is not taken under this one, whatever stamp it carries: that fails at each
// look, and nothing that the look has seen would be settled.
func (a *App) others(ctx context.Context, run workload.Ref, id string) (bool, error) {
	owner, err := a.Store.Claimed(ctx, run)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("whose run it is: %w", err)
	}
	return owner != id, nil
}

// unstarted: no run carries the session's stamp. Where the engine was never
// asked, an ending session has nothing to wait for; where it was, the start is
// disproved only past the minimum age (S2.4).
func (a *App) unstarted(ctx context.Context, s session.Session, now time.Time) error {
	asked, wait := s.StartAskedAt, cadence.MinimumAge
	if asked.IsZero() {
		asked, wait = s.RecordedAt, cadence.StartWithin
		if s.Status == session.Ending {
			wait = 0
		}
	}
	if now.Sub(asked) < wait {
		return nil
	}
	_, err := a.Apply(ctx, s.ID, session.Event{Kind: session.StartDisproved, At: now, By: "nightshift", Evidence: "a complete listing has no run with this session's stamp"})
	return err
}

func latestOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
