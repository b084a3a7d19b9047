package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// OpenRequest asks to open a session for a run that is about to be started.
type OpenRequest struct {
	Execution   string // ARN of the execution of the run machine; names the session
	User        string
	Run         workload.Run
	Interactive session.InteractiveSession
	Previous    string // the session that it follows: its run is started again (S4.4); "" is none
	Checkpoint  string // where it keeps checkpoints, "s3://bucket/prefix/"; "" where it says none
}

// ErrLocked is why a session is not opened: the user is locked (S8.6).
var ErrLocked = errors.New("the user is locked")

// OpenSession opens the session of an execution. Repeating it answers the
// session that is there.
func (a *App) OpenSession(ctx context.Context, r OpenRequest) (session.Session, error) {
	now := a.Now()
	o := session.Opening{ID: SessionOfExecution(r.Execution), User: asWritten(r.User), Run: r.Run, Origin: session.Started, At: now, Interactive: r.Interactive, Previous: r.Previous}
	s, err := a.Store.Session(ctx, o.ID)
	if err == nil || !fault.Is(err, fault.NotFound) {
		return s, err
	}
	if err := a.CheckStarter(o.User); err != nil {
		return session.Session{}, err
	}
	if r.Previous != "" {
		old, err := a.follows(ctx, r, o.ID)
		if err != nil {
			return s, err
		}
		if o.Reach, err = a.reach(ctx, old); err != nil {
			return s, err
		}
	}
	if r.Checkpoint != "" && o.Reach == (session.Reach{}) { // what is moved goes on as it was started
		if err := a.claimCheckpoints(ctx, o.User, r.Checkpoint); err != nil {
			return s, err
		}
	}
	return a.open(ctx, o, r.Execution, r.Execution)
}

// open makes a session exist, with what is known of the user already applied
// (S2.4). execution is that of the machine that is about to start the run, which
// a locked user refuses; "" where the run is there already. evidence is what its
// history says it was opened on: the execution, because Step Functions keeps what
// the run was started with (decisions/0016).
func (a *App) open(ctx context.Context, o session.Opening, execution, evidence string) (session.Session, error) {
	facts, err := a.Identity.Facts(ctx, o.User, o.Run)
	if err != nil {
		a.Log.Warn("facts unknown", "session", o.ID, "error", err.Error())
	}
	o.Facts = facts
	var conflict *OpenConflict
	for range raceMax {
		policy, err := a.Store.Policy(ctx)
		if err != nil {
			return session.Session{}, fmt.Errorf("open session: %w", err)
		}
		user, err := a.Store.User(ctx, o.User)
		if err != nil {
			return session.Session{}, fmt.Errorf("open session: %w", err)
		}
		now := a.Now()
		if execution != "" && now.Before(user.Lock.Until) {
			return session.Session{}, locked("open session", user.Lock)
		}
		d := session.Open(o, policy, user, now)
		d.Next.Recent = heard(user, o.Run.Ref())
		next, entry, err := sealed(&session.Session{}, &d, session.Event{Kind: "session-opened", At: o.At, User: o.User, Run: o.Run.Ref(), Evidence: evidence}, now)
		if err != nil {
			return session.Session{}, err
		}
		err = a.Store.Open(ctx, Opening{Session: next, Entry: entry, UserVersion: user.Version})
		switch {
		case err == nil:
			a.tell(&next, &session.Session{})
			if err := a.heldBack(ctx, next); err != nil {
				a.Log.Warn("held user not noted", "session", next.ID, "error", err.Error())
			}
			return next, nil
		case !errors.As(err, &conflict):
			return session.Session{}, fmt.Errorf("open session: %w", err)
		case conflict.Exists:
			return a.same(ctx, o)
		case conflict.Claimed != "":
			return a.Store.Session(ctx, conflict.Claimed)
		}
		// The user's facts changed between the read and the write: decide again.
	}
	return session.Session{}, fmt.Errorf("open session: %d races lost: %w", raceMax, conflict)
}

// same is the session that an opening found in its place; NotFound where that one
// has another run, whose news and stop are not this one's.
func (a *App) same(ctx context.Context, o session.Opening) (session.Session, error) {
	s, err := a.Store.Session(ctx, o.ID)
	if err == nil && s.Run.ID != "" && o.Run.ID != "" && s.Run.Ref() != o.Run.Ref() {
		return session.Session{}, fault.Newf("open session", fault.NotFound, "session %s has another run", o.ID)
	}
	return s, err
}

// adopt opens a session for a run that is alive and that nobody registered, or
// answers the session that owns it. at is the run's creation where known.
func (a *App) adopt(ctx context.Context, run workload.Run, user string, at time.Time) (session.Session, error) {
	seen, err := a.sighted(ctx, run, user, at)
	if err != nil {
		return session.Session{}, fmt.Errorf("adopt a run: %w", err)
	}
	s, err := a.open(ctx, session.Opening{ID: SessionOfRun(run.Ref()), User: user, Run: run, Origin: session.Adopted, At: seen.at, Left: seen.left}, "", seen.evidence)
	if err != nil {
		return s, err
	}
	return a.proven(ctx, s)
}

// proven applies what was said of the session's run before anybody knew whose it
// is: a background token that AWS issued for it (S1.13), the end of its kernel.
func (a *App) proven(ctx context.Context, s session.Session) (session.Session, error) {
	s, err := a.marked(ctx, s, tokenMark(s.Run.Ref()), session.BackgroundTokenIssued)
	if err != nil {
		return s, err
	}
	return a.kernelless(ctx, s)
}

// kernelless applies that the kernel of a Livy session was stopped before its record
// knew its run.
func (a *App) kernelless(ctx context.Context, s session.Session) (session.Session, error) {
	if s.Run.Engine != workload.Livy {
		return s, nil
	}
	return a.marked(ctx, s, kernelMark(s.Run.Ref()), session.KernelStopped)
}

// marked applies the fact that a mark keeps of the session's run (overtook).
func (a *App) marked(ctx context.Context, s session.Session, mark string, kind session.Kind) (session.Session, error) {
	if s.Run.ID == "" {
		return s, nil
	}
	at, err := a.Store.Mark(ctx, mark)
	if err != nil || at.IsZero() {
		return s, err
	}
	return a.Apply(ctx, s.ID, session.Event{ID: mark, Kind: kind, At: at, Run: s.Run.Ref(), By: "unknown", Evidence: "recorded before the run's session was known"})
}

// tokenMark names the mark of the newest background token whose record named this
// run and no user, while nobody owned the run.
func tokenMark(run workload.Ref) string { return runMark("token/", run) }

// kernelMark names the mark of when a run's kernel was stopped, while nobody knew
// whose run it is.
func kernelMark(run workload.Ref) string { return runMark("kernel/", run) }

// runMark names a mark of a run. Events name runs by their ARNs, which have names
// in lower case.
func runMark(kind string, run workload.Ref) string {
	return kind + digest(run.Endpoint, strings.ToLower(run.ID))
}

// heard are the ids of the facts about a user that the opening has applied; the
// fan-out of one that is still pending must not apply it again.
func heard(u session.UserFacts, run workload.Ref) []string {
	var ids []string
	for _, f := range u.Facts {
		if f.ID != "" && (f.Run == (workload.Ref{}) || f.Run == run) {
			ids = append(ids, f.ID)
		}
	}
	return ids[max(0, len(ids)-session.RecentMax):]
}

// Who owns a run is believed in this order (S3.3; internal/decisions/0008):
//
//  1. the background token that AWS issued for it (runFact),
//  2. the stamp that our start left on it (owner, find), unless AWS says in 1 or 3
//     that the run is another user's: who may tag runs could forge or copy it,
//  3. onBehalfOf of the recorded call that started it (birth),
//  4. its tag that names a user, and
//  5. Livy's proxyUser or owner, both as Observation.User (unowned), where they
//     are a user's id or name in the identity store (userOf);
//  6. else it is an orphan, and never stopped by us (orphan).
//
// The claim that the first of them makes stands: later news never moves a run to
// another user.

// owner is the session that owns a run: by its claim, else by the stamp it
// carries. user is whose AWS says that the run is; "" where it did not say.
// NotFound where the run has no owner.
func (a *App) owner(ctx context.Context, run workload.Ref, stamp, user string) (session.Session, error) {
	id, err := a.Store.Claimed(ctx, run)
	if err == nil {
		s, err := a.Store.Session(ctx, id)
		if fault.Is(err, fault.NotFound) {
			return a.last(ctx, run, stamp)
		}
		return s, err
	}
	if !fault.Is(err, fault.NotFound) || stamp == "" {
		return session.Session{}, err
	}
	return a.named(ctx, run, stamp, user)
}

// named is the session of an id if it can be the run's.
func (a *App) named(ctx context.Context, run workload.Ref, id, user string) (session.Session, error) {
	const op = "find the owner of a run"
	s, err := a.Store.Session(ctx, id)
	switch {
	case err != nil:
		return s, err
	case s.Run.Endpoint != run.Endpoint || s.Run.ID != "" && s.Run.ID != run.ID:
		return session.Session{}, fault.Newf(op, fault.NotFound, "session %s has another run", id)
	case user != "" && s.User != user:
		return session.Session{}, fault.Newf(op, fault.NotFound, "session %s is another user's", id)
	case s.Status != session.Ended || s.Run.ID != "":
		return s, nil
	}
	its, err := a.bornLate(ctx, s, run)
	if err == nil && !its {
		err = fault.Newf(op, fault.NotFound, "session %s has ended and never had a run", id)
	}
	return s, err
}

// bornLate says whether the run can be the one whose start an ended session asked for
// and did not see (S2.4). There is one such run at most, and none where the engine
// was never asked or refused: another that carries the stamp had it copied, and is
// nobody's zombie.
func (a *App) bornLate(ctx context.Context, s session.Session, run workload.Ref) (bool, error) {
	if s.StartAskedAt.IsZero() {
		return false, nil
	}
	zombie, err := a.Store.Session(ctx, zombieOf(s.ID))
	if err == nil {
		return zombie.Run.Ref() == run, nil
	}
	if !fault.Is(err, fault.NotFound) {
		return false, err
	}
	// Its state names the cause, which may be an earlier one; what ended it is in
	// its newest entry.
	newest, _, err := a.Store.History(ctx, s.ID, s.Version-1, 1)
	if err != nil {
		return false, fmt.Errorf("read how session %s ended: %w", s.ID, err)
	}
	for _, e := range newest {
		if e.Event.Kind == session.StartDisproved && e.Event.Evidence == startRefused {
			return false, nil
		}
	}
	return true, nil
}

// last is the last session of a run whose claim was moved to a zombie that was
// then not opened: somebody died in between, and it is to be opened now.
func (a *App) last(ctx context.Context, run workload.Ref, stamp string) (session.Session, error) {
	err := fault.Newf("find the owner of a run", fault.NotFound, "nobody owns it")
	for _, id := range []string{stamp, SessionOfRun(run)} {
		var s session.Session
		if id == "" {
			continue
		}
		for s, err = a.named(ctx, run, id, ""); err == nil; {
			next, missing := a.Store.Session(ctx, zombieOf(s.ID))
			if fault.Is(missing, fault.NotFound) {
				return s, nil
			}
			s, err = next, missing
		}
		if !fault.Is(err, fault.NotFound) {
			break
		}
	}
	return session.Session{}, err
}

// zombieOf is the id of the session that follows an ended one whose run is
// alive.
func zombieOf(id string) string { return "s-" + digest("zombie", id) }

// find is owner for a run that an event names without saying its stamp. Where
// nobody owns it, the run itself is asked: the answer to its start may still be
// on its way to the session that started it. user is as in owner.
func (a *App) find(ctx context.Context, run workload.Run, user string) (session.Session, error) {
	s, none := a.owner(ctx, run.Ref(), "", user)
	engine, err := a.engine(run.Endpoint)
	if err != nil || !fault.Is(none, fault.NotFound) {
		return s, none
	}
	o, err := engine.Describe(ctx, run)
	switch {
	case fault.Is(err, fault.Invalid): // no run of this engine: it has no stamp
		return s, none
	case err != nil:
		return s, fmt.Errorf("find the owner of a run: %w", err)
	case o.Stamp == "":
		return s, none
	}
	return a.owner(ctx, run.Ref(), o.Stamp, user)
}

// retried says whether a run that is alive again after its session ended was
// started again, at AWS, by whoever may: only a pipeline's execution can be, once it
// is over. Where we ended it, or nobody saw it over, it is a zombie all the same.
//
// Nor is a Livy session's name with its number, which a server that was started again
// gives a second time, the run that was seen over: Livy brings none of those back.
func retried(ended session.Session) bool {
	if ended.Run.Engine == workload.Livy && strings.Contains(ended.Run.ID, "#") {
		return true
	}
	switch ended.End.Cause {
	case session.CauseFinished, session.CauseFailed, session.CauseStoppedElsewhere:
		return ended.Run.Engine == workload.SageMakerPipeline && ended.Run.ID != ""
	}
	return false
}

// resurrect opens a session for a run found alive after its session ended; it
// is born ENDING (S2.3). One that was started again is not: it is adopted for the
// same user, from the moment on at which it was seen over.
func (a *App) resurrect(ctx context.Context, ended session.Session, run workload.Run) (session.Session, error) {
	o := session.Opening{ID: zombieOf(ended.ID), User: ended.User, Run: run, Origin: session.Zombie,
		At: ended.OpenedAt, Interactive: ended.Interactive, Previous: ended.ID, Zombie: ended.End.Cause}
	if retried(ended) {
		o = session.Opening{ID: o.ID, User: o.User, Run: run, Origin: session.Adopted, At: ended.End.Confirmed, Previous: ended.ID}
	}
	if err := a.Store.Reclaim(ctx, run.Ref(), ended.ID, o.ID); err != nil && !fault.Is(err, fault.Conflict) {
		return session.Session{}, fmt.Errorf("take over the claim of a zombie: %w", err)
	}
	return a.open(ctx, o, "", "")
}
