package app

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Runs reads and starts executions of the run machine.
type Runs interface {
	// Input is what an execution was started with. NotFound: it is forgotten, which
	// Step Functions does 90 days after the end. Invalid: it is no execution of run.
	Input(ctx context.Context, execution string) ([]byte, error)
	// Execution is the ARN that an execution of that name has.
	Execution(name string) string
	// Run starts an execution, or answers the one that runs under the name with the
	// same input. Conflict: the name is taken by another, or by one that has ended.
	Run(ctx context.Context, name string, input []byte) (execution string, err error)
}

// Attempt is what starts a run again.
type Attempt struct {
	Input      []byte // of the run machine
	Name       string // of the run, where its request gives it one; "" where the session's id does
	Checkpoint string // where it goes on from, as its request says; "" for a pipeline
	Missing    string // what to set so that it could be started again; "" where nothing is missing
}

// Again makes the next attempt of the input of an execution of run, as the one
// that follows a session. Its errors are of kind Invalid.
type Again func(input []byte, of string) (Attempt, error)

// Retrier is an Engine that can go on with a run that is over where it failed or
// was stopped. The run stays the same one.
type Retrier interface {
	// Retry is Start for such a run; repeating it retries nothing twice. Invalid:
	// there is nothing to retry, for good.
	Retry(ctx context.Context, s Start, of workload.Run) (workload.Run, error)
}

// Restarted is what became of a restart.
type Restarted struct {
	ID         string          // of the act; "" where another act had started it again before
	Of         session.Session // the session whose run is started again
	Session    string          // id of the one that follows it; the execution opens it
	Execution  string          // ARN of the execution of run; "" where the session had been started again before
	Attempt    string          // the run's name; "" where the new session's id names it
	Checkpoint string
	Input      []byte          // of the execution of run, as it is or would be started; nil where another act had started it
	Opens      session.Session // of a preview: what would be opened, by the policy of now and the facts of the session before
	Saved      string          // of a preview: what is at Checkpoint, or why nobody knows, a sentence; "" where nobody looked
}

const (
	// restartFacts begins the name under which a session's successor is recorded, as
	// acts are: an ended session never changes (S2.3). It is written before the
	// successor is opened, so that a session has one at most.
	restartFacts = "restart/"
	// sessionRestarted is the kind of that record; no session sees it.
	sessionRestarted session.Kind = "session-restarted"
	// restartsMax bounds how often a restart is begun anew whose execution died
	// before it opened a session. At the limit the caller is told.
	restartsMax = 20
)

// Restart starts the run of a session that has ended again, under a new session
// with the policy of now (S4.4). One that was started again before answers its
// successor. Where the run is still being stopped the Refusal says Passing.
func (a *App) Restart(ctx context.Context, act Act, id string) (Restarted, error) {
	const op = "restart session"
	if err := act.check(op); err != nil {
		return Restarted{}, err
	}
	s, err := a.seen(ctx, act.Who, id)
	if err != nil {
		return Restarted{}, err
	}
	r := Restarted{Of: s}
	asked := "restart " + id
	first, _, err := a.repeated(ctx, act, asked)
	if err != nil {
		return r, err
	}
	r.ID = first.Event.ID
	if r.Session, err = a.Successor(ctx, id); err != nil || r.Session != "" {
		return r, err
	}
	attempt, err := a.attempt(ctx, s)
	if err != nil {
		return r, err
	}
	kept, err := a.record(ctx, act, recorded{Event: session.Event{Kind: sessionRestarted}, Asked: asked}, false)
	if err != nil {
		return r, err
	}
	r.ID, r.Attempt, r.Checkpoint, r.Input = kept.Event.ID, attempt.Name, attempt.Checkpoint, attempt.Input
	r.Execution, err = a.rerun(ctx, id, attempt.Input)
	if r.Execution != "" {
		r.Session = SessionOfExecution(r.Execution)
	}
	return r, err
}

// Restarting is Restart that writes nothing and starts nothing: it says what would
// be started, and refuses what Restart would refuse. Where the session was started
// again before, it names its successor and no more.
func (a *App) Restarting(ctx context.Context, who Actor, id string) (Restarted, error) {
	s, err := a.seen(ctx, who, id)
	if err != nil {
		return Restarted{}, err
	}
	r := Restarted{Of: s}
	if r.Session, err = a.Successor(ctx, id); err != nil || r.Session != "" {
		return r, err
	}
	attempt, err := a.attempt(ctx, s)
	if err != nil {
		return r, err
	}
	policy, err := a.Store.Policy(ctx)
	if err != nil {
		return r, err
	}
	now := a.Now()
	r.Attempt, r.Checkpoint, r.Input = attempt.Name, attempt.Checkpoint, attempt.Input
	run := s.Run
	run.ID = ""
	r.Opens = session.Open(session.Opening{User: s.User, Run: run, Origin: session.Started, Previous: id, At: now, Facts: s.Facts}, policy, session.UserFacts{}, now).Next
	r.Saved = a.savedAt(ctx, r.Checkpoint)
	return r, nil
}

// savedAt says what is saved at a location. Not to know keeps nobody from starting
// again: the run itself looks there.
func (a *App) savedAt(ctx context.Context, location string) string {
	if location == "" || a.Checkpoints == nil {
		return ""
	}
	newest, err := a.Checkpoints.Newest(ctx, location)
	switch {
	case err == nil:
		return "The newest checkpoint is " + newest.Location + ", written at " + session.Moment(newest.At) + "."
	case fault.Is(err, fault.NotFound):
		return "Nothing is saved there yet: the run would begin at the beginning."
	}
	return "Whether a checkpoint is there is not known: " + reason(err) + "."
}

// rerun starts the execution of a restart. Its name is made of the session's id,
// so that asking twice starts one; a name under which an execution died before
// it opened a session is passed over.
func (a *App) rerun(ctx context.Context, id string, input []byte) (execution string, err error) {
	for n := 1; n <= restartsMax; n++ {
		name := "restart-" + id + "-" + strconv.Itoa(n)
		execution, err = a.Runs.Run(ctx, name, input)
		if !fault.Is(err, fault.Conflict) {
			return execution, err
		}
		execution = a.Runs.Execution(name)
		_, there := a.Store.Session(ctx, SessionOfExecution(execution))
		if !fault.Is(there, fault.NotFound) {
			return execution, there
		}
	}
	return "", fmt.Errorf("%d executions died before they opened a session: %w", restartsMax, err)
}

// Successor is the session that follows one whose run was started again; "" where
// there is none.
func (a *App) Successor(ctx context.Context, id string) (string, error) {
	u, err := a.Store.User(ctx, restartFacts+id)
	if err != nil || len(u.Facts) == 0 {
		return "", err
	}
	next := u.Facts[0].Detail
	if _, err := a.Store.Session(ctx, next); fault.Is(err, fault.NotFound) {
		return "", nil // recorded, and then never opened
	}
	return next, nil
}

// attempt reads how the run was started, and refuses what cannot be started
// again.
func (a *App) attempt(ctx context.Context, s session.Session) (Attempt, error) {
	const op = "restart session"
	if no := a.unready(s); no != nil {
		return Attempt{}, fault.New(op, fault.Denied, no)
	}
	user, err := a.Store.User(ctx, s.User)
	if err != nil {
		return Attempt{}, err
	}
	if a.Now().Before(user.Lock.Until) {
		return Attempt{}, locked(op, user.Lock)
	}
	execution, err := a.executionOf(ctx, s)
	if err != nil {
		return Attempt{}, err
	}
	var input []byte
	if execution != "" {
		input, err = a.Runs.Input(ctx, execution)
	}
	switch {
	case execution == "", fault.Is(err, fault.Invalid):
		return Attempt{}, fault.New(op, fault.Denied, &Refusal{Reason: "the run was not started through the machine run, so nobody knows with what it could be started again",
			Remedy: "Start it through run: such a run can be started again."})
	case fault.Is(err, fault.NotFound):
		return Attempt{}, fault.New(op, fault.Denied, &Refusal{Reason: "Step Functions has forgotten what the run was started with: it keeps that for 90 days",
			Remedy: "Start the run through run with the same spec: it goes on from the checkpoint that its location holds."})
	case err != nil:
		return Attempt{}, err
	}
	next, err := a.Again(input, s.ID)
	if err == nil && next.Missing != "" {
		err = fault.New(op, fault.Denied, &Refusal{Reason: "the run says no location of checkpoints, so it would begin at the beginning", Remedy: next.Missing})
	}
	if err == nil && next.Checkpoint != "" {
		if err = a.checkpointsOf(ctx, s.User, next.Checkpoint); fault.Is(err, fault.Invalid) {
			err = fault.New(op, fault.Denied, &Refusal{Reason: "it would go on from " + next.Checkpoint + ", and that cannot be a location of its user's own: " + reason(err),
				Remedy: "Start a new run with a location of your own."})
		}
	}
	return next, err
}

// unready says why a session's run cannot be started again now.
func (a *App) unready(s session.Session) *Refusal {
	const again = "Ask again when it is over; the machine restart waits for that by itself."
	switch {
	case s.Status == session.Active:
		return &Refusal{Reason: "the session is ACTIVE: its run is at work", Remedy: "Stop it first, or wait for its end."}
	case s.Status == session.Ending:
		return &Refusal{Reason: "its run is still being stopped, and may be writing its last checkpoint", Remedy: again, Passing: true}
	case s.End.Cause == session.CauseFinished:
		return &Refusal{Reason: "the run has finished: there is nothing to go on with", Remedy: "Start a new run."}
	case s.Run.Engine == workload.SageMakerPipeline && !a.Now().After(s.End.Confirmed.Add(clockSkew)):
		// Its retry is the same run: what is still told of its end must be too old to be
		// taken for the end of the retry (plausible).
		return &Refusal{Reason: "the pipeline's execution has only just ended", Remedy: again, Passing: true}
	}
	return nil
}

// executionOf is the execution that opened a session, as its first history entry
// says; "" where none did.
func (a *App) executionOf(ctx context.Context, s session.Session) (string, error) {
	if s.Origin != session.Started {
		return "", nil
	}
	entries, _, err := a.Store.History(ctx, s.ID, 0, 1)
	if err != nil || len(entries) == 0 {
		return "", err
	}
	return entries[0].Event.Evidence, nil
}

// follows records that a session about to be opened follows another, which it
// answers (S4.4). Invalid: it cannot.
func (a *App) follows(ctx context.Context, r OpenRequest, id string) (session.Session, error) {
	const op = "open session"
	old, err := a.Store.Session(ctx, r.Previous)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return old, err
	}
	if err != nil || old.User != r.User || old.Run.Engine != r.Run.Engine || old.Run.Endpoint != r.Run.Endpoint {
		return old, fault.Newf(op, fault.Invalid, "restartOf: there is no session %q of this user, engine and endpoint", r.Previous)
	}
	if old.Status != session.Ended {
		return old, fault.Newf(op, fault.Invalid, "restartOf: session %s has not ended", old.ID)
	}
	var other string
	var looked error
	err = a.changeUser(ctx, restartFacts+old.ID, func(u session.UserFacts) (session.UserFacts, bool) {
		if other, looked = "", nil; len(u.Facts) > 0 {
			if u.Facts[0].Detail == id {
				return u, false
			}
			if other, looked = a.Successor(ctx, old.ID); other != "" || looked != nil {
				return u, false
			}
		}
		at := a.Now()
		u.Facts = []session.Event{{Kind: sessionRestarted, At: at, Known: at, By: "nightshift", Detail: id, Evidence: r.Execution}}
		return u, true
	})
	if other != "" {
		return old, fault.Newf(op, fault.Invalid, "restartOf: session %s has been started again, as %s", old.ID, other)
	}
	return old, errors.Join(err, looked)
}

// begin starts the run of a session. A pipeline's that follows another goes on
// with the execution of that one, whose claim moves first: from then on the
// execution's news are the new session's.
func (a *App) begin(ctx context.Context, engine Engine, s session.Session, spec []byte) (workload.Run, error) {
	if err := a.placed(ctx, s, spec); err != nil {
		return workload.Run{}, err
	}
	start := Start{SessionID: s.ID, User: s.User, Run: s.Run, MaxRuntime: a.limit(s), Idle: s.Policy.LivyIdle, Spec: spec}
	if s.Previous == "" || s.Run.Engine != workload.SageMakerPipeline {
		return engine.Start(ctx, start)
	}
	const op = "retry run"
	old, err := a.Store.Session(ctx, s.Previous)
	if err != nil {
		return workload.Run{}, err
	}
	retrier, able := engine.(Retrier)
	if old.Run.ID == "" || !able {
		return engine.Start(ctx, start) // it never began
	}
	err = a.Store.Reclaim(ctx, old.Run.Ref(), old.ID, s.ID)
	if fault.Is(err, fault.Conflict) {
		return workload.Run{}, fault.Newf(op, fault.Invalid, "the run %s belongs to another session by now", old.Run.ID)
	}
	if err != nil {
		return workload.Run{}, err
	}
	run, err := retrier.Retry(ctx, start, old.Run)
	if fault.Is(err, fault.Invalid) {
		if back := a.Store.Reclaim(ctx, old.Run.Ref(), s.ID, old.ID); back != nil {
			return run, fmt.Errorf("give the claim of a run back: %w", back)
		}
	}
	return run, err
}

// locked is the refusal of a start by a locked user (S8.6).
func locked(op string, l session.Lock) error {
	return fault.New(op, fault.Denied, fmt.Errorf("%w until %s: %s", ErrLocked, l.Until.UTC().Format(time.RFC3339), l.Why))
}
