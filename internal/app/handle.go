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

// SessionRef as the endpoint of an event's run means that its id is a
// session's.
const SessionRef = "session"

// bodyKept is how much of a parked event is kept; the rest is cut off.
const bodyKept = 256 << 10

// Receive takes the bytes of one event. A malformed one is parked with its
// reason and answered nil: it must not come again and must not hold up others
// (S3.6). Any error means: deliver it again.
func (a *App) Receive(ctx context.Context, source string, body []byte) error {
	return a.received(ctx, source, body, a.Now())
}

// received is Receive of an event that came at a moment.
func (a *App) received(ctx context.Context, source string, body []byte, now time.Time) error {
	m, err := a.Parse(body, now)
	if err == nil && source == sourceReplay {
		err = a.again(ctx, m)
	} else if err == nil {
		err = a.Handle(ctx, m)
	}
	if !fault.Is(err, fault.Invalid) {
		return err
	}
	fresh, parked := a.Store.Park(ctx, Parked{ID: "p-" + digest(string(body)), Source: source, Reason: err.Error(), Body: string(body[:min(len(body), bodyKept)]), At: now})
	if fresh && parked == nil {
		a.Meter.Count(MetricParked, 1)
		a.Log.Warn("event parked", "source", source, "reason", err.Error())
	}
	return parked
}

// again handles a message that is replayed: most have arrived as well, and each
// is in the window of several replays. What would only be counted is counted
// where it is newer than all of its kind.
func (a *App) again(ctx context.Context, m Message) error {
	switch m := m.(type) {
	case Several:
		return m.each(func(part Message) error { return a.again(ctx, part) })
	case Ignored:
		return nil
	case Unrecognised:
		newest, err := a.Store.Mark(ctx, markSampled+m.Kind)
		if err != nil || !m.At.After(newest) {
			return err
		}
	}
	return a.Handle(ctx, m)
}

// each handles every part. The errors are joined: the event is parked where all of
// them are of kind Invalid, and comes again, whole, where another is among them;
// what was done then is done twice, which changes nothing.
func (s Several) each(handle func(Message) error) error {
	errs := make([]error, len(s))
	for i, part := range s {
		errs[i] = handle(part)
	}
	return errors.Join(errs...)
}

// markSampled begins the name of the moment of the newest unrecognised event of
// a kind.
const markSampled = "sampled/"

// unrecognised counts an event of an unknown kind and keeps one (S3.1).
func (a *App) unrecognised(ctx context.Context, m Unrecognised) error {
	a.Meter.Count(MetricUnrecognised, 1)
	n, err := a.Store.Sample(ctx, m.Kind, m.Body, m.At)
	if err != nil {
		return err
	}
	if n == 1 {
		a.Log.Warn("identity event unrecognised", "kind", m.Kind)
	}
	return a.Store.SetMark(ctx, markSampled+m.Kind, m.At)
}

// Handle acts on a message.
func (a *App) Handle(ctx context.Context, m Message) error {
	switch m := m.(type) {
	case Fact:
		if err := a.attest(ctx, m.Event.User, m.Store); err != nil {
			return err
		}
		return a.fact(ctx, m.Event)
	case UserCheck:
		return a.checkUser(ctx, m)
	case AccessCheck:
		return a.checkAccess(ctx, m)
	case Birth:
		return a.birth(ctx, m)
	case RunChange:
		return a.runChange(ctx, m)
	case ClusterChange:
		return a.clusterChange(ctx, m)
	case ExecutionChange:
		return a.executionChange(ctx, m)
	case Unrecognised:
		return a.unrecognised(ctx, m)
	case Several:
		return m.each(func(part Message) error { return a.Handle(ctx, part) })
	case Ignored:
		a.Meter.Count(MetricIgnored, 1)
		return nil
	}
	return fault.Newf("handle", fault.Invalid, "no use case takes a message of type %T", m)
}

// fact: facts about a user are one write on the user, made first; the fan-out
// follows from it. Facts about one run go to its session.
func (a *App) fact(ctx context.Context, e session.Event) error {
	switch {
	case e.Kind == session.IdentityPropagationOff:
		return a.note(ctx, domainFacts+e.Domain, e)
	case e.Run.Endpoint == SessionRef:
		return a.sessionFact(ctx, e)
	case e.Kind.AboutUser() && e.User != "":
		return a.note(ctx, e.User, e)
	case e.Run.ID != "":
		return a.runFact(ctx, e)
	}
	return fault.Newf("handle "+string(e.Kind), fault.Invalid, "the event names neither a user nor a run")
}

func (a *App) sessionFact(ctx context.Context, e session.Event) error {
	id := e.Run.ID
	e.Run = workload.Ref{}
	_, err := a.Apply(ctx, id, e)
	if fault.Is(err, fault.NotFound) {
		return fault.Newf("handle "+string(e.Kind), fault.Invalid, "detail.session: there is no session %q", id)
	}
	return err
}

// runFact reaches the session that owns the run. A background token for a run
// nobody registered is its birth (S3.3).
func (a *App) runFact(ctx context.Context, e session.Event) error {
	run := workload.Run{Engine: engineOf(e.Run), Endpoint: e.Run.Endpoint, ID: e.Run.ID}
	token := e.Kind == session.BackgroundTokenIssued
	user := ""
	if token {
		user = e.User
	}
	s, err := a.find(ctx, run, user)
	if fault.Is(err, fault.NotFound) {
		if e.Kind == session.StopRequested {
			// Whoever asked must learn that nothing of that name is stopped.
			return fault.Newf("handle "+string(e.Kind), fault.Invalid, "detail.run: there is no session of a run %q of %q", e.Run.ID, e.Run.Endpoint)
		}
		switch part, unread := a.part(ctx, e.Run); {
		case unread != nil:
			return unread
		case !part && e.Kind == session.KernelStopped:
			return a.overtook(ctx, e, kernelMark(e.Run))
		case part || !token:
			a.Meter.Count(MetricIgnored, 1)
			return nil
		case user == "":
			return a.overtook(ctx, e, tokenMark(e.Run))
		}
		s, err = a.adopt(ctx, run, user, e.At)
	}
	if err != nil {
		return err
	}
	_, err = a.Apply(ctx, s.ID, e)
	return err
}

// overtook keeps a fact that came before anybody knew whose run it names, for the
// run's session to begin with: a background token that names no user, and a kernel
// that was stopped (S2.4: no run escapes by being born). A session that knows the
// run meanwhile has it at once.
func (a *App) overtook(ctx context.Context, e session.Event, mark string) error {
	if err := a.Store.SetMark(ctx, mark, e.At); err != nil {
		return fmt.Errorf("keep %s of a run nobody knows: %w", e.Kind, err)
	}
	s, err := a.owner(ctx, e.Run, "", "")
	if fault.Is(err, fault.NotFound) {
		a.Meter.Count(MetricIgnored, 1) // so far
		return nil
	}
	if err == nil {
		_, err = a.proven(ctx, s)
	}
	return err
}

// engineOf reads the engine from a run's name.
func engineOf(run workload.Ref) workload.Engine {
	kind, _, _ := strings.Cut(run.ID, "/")
	switch api(run.Endpoint) {
	case "livy":
		return workload.Livy
	case "emr-containers":
		return workload.EMRContainers
	case "emr-notebook":
		return workload.EMRNotebook
	}
	switch kind {
	case "processing-job":
		return workload.SageMakerProcessing
	case "pipeline":
		return workload.SageMakerPipeline
	}
	return workload.SageMakerTraining
}

// checkUser asks what an event did not say: whether the user is disabled.
func (a *App) checkUser(ctx context.Context, m UserCheck) error {
	var t told
	err := a.patiently(ctx, func() (err error) {
		t, err = a.asked(ctx, m.User)
		return err
	})
	if err != nil {
		return fmt.Errorf("check user: %w", err)
	}
	kind := session.UserEnabled
	switch t.status {
	case UserDisabled:
		kind = session.UserDisabled
	case UserDeleted:
		kind = session.UserDeleted
		if known, err := a.known(ctx, m.User); err != nil || !known {
			return err // the event may be of another store's user: the sweep decides
		}
	case UserEnabled:
		// An update that left the user enabled is news only where the user was known
		// as disabled or deleted. It gives no access back: that would outdate its
		// removal (S2.11).
		u, err := a.Store.User(ctx, m.User)
		if err != nil {
			return err
		}
		if held, ok := standing(u, session.AccessRemoved, session.UserEnabled); ok && held.Kind == session.AccessRemoved {
			return nil
		}
	}
	return a.fact(ctx, session.Event{ID: m.EventID, Kind: kind, At: m.At, Known: t.at, User: m.User, By: "unknown", Evidence: "DescribeUser after event " + m.EventID})
}

// checkAccess: a removed assignment ends nothing until a re-check finds that no
// other one gives the access (S2). A removal that names no user concerns all who
// have live sessions; one that a later such check has seen to already, such as
// one that is replayed, is not looked at again.
func (a *App) checkAccess(ctx context.Context, m AccessCheck) error {
	if m.User != "" {
		return a.lostAccess(ctx, m, m.User)
	}
	mark := "access/" + digest(m.Group, m.Application)
	seen, err := a.Store.Mark(ctx, mark)
	if err != nil || !m.At.After(seen) {
		return err
	}
	users, err := a.liveUsers(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, user := range users {
		errs = append(errs, a.lostAccess(ctx, m, user))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return a.Store.SetMark(ctx, mark, m.At)
}

// patiently asks again what is throttled, twice at most: a queue brings an event again
// only after a minute and a half, a sweep comes after one, and of a stop's 15 minutes
// some such are a lot (S2.1).
func (a *App) patiently(ctx context.Context, ask func() error) error {
	err := ask()
	for wait := time.Second; fault.Is(err, fault.Throttled) && wait <= 2*time.Second && a.Pause != nil && !a.late(ctx); wait *= 2 {
		if a.Pause(ctx, wait) != nil {
			break
		}
		err = ask()
	}
	return err
}

func (a *App) lostAccess(ctx context.Context, m AccessCheck, user string) error {
	var access session.Tri
	err := a.patiently(ctx, func() (err error) {
		access, err = a.Identity.Access(ctx, user, m.Application)
		return err
	})
	known := a.Now()
	if err == nil && access == session.Unknown {
		err = fault.Newf("check access", fault.Unknown, "whether another assignment gives user %s the application is unknown", user)
	}
	if err != nil || access == session.On {
		return err
	}
	// A user whom the identity store never knew had no access that was removed, or had
	// it from another store's groups.
	if knows, err := a.knows(ctx, user); err != nil || !knows {
		return err
	}
	return a.fact(ctx, session.Event{ID: m.EventID, Kind: session.AccessRemoved, At: m.At, Known: known, User: user, By: m.By, Detail: m.Application, Evidence: "no assignment left after event " + m.EventID})
}

// birth: somebody started a run. A birth and its run may be seen in any order,
// twice, or minutes apart: the claim makes it one session.
func (a *App) birth(ctx context.Context, m Birth) error {
	if err := a.attest(ctx, m.User, m.Store); err != nil {
		return err
	}
	s, err := a.owner(ctx, m.Run.Ref(), m.Stamp, m.User)
	if fault.Is(err, fault.NotFound) && m.User != "" {
		s, err = a.find(ctx, m.Run, m.User)
	}
	if err == nil {
		s, err = a.Apply(ctx, s.ID, session.Event{ID: m.EventID, Kind: session.RunStarted, At: m.At, Run: m.Run.Ref(), By: m.By})
		if err != nil {
			return err
		}
		if s.Run.ID == "" || s.Run.Ref() == m.Run.Ref() {
			_, err = a.proven(ctx, s)
			return err // one that has ended without a run leaves it to the listing to raise (S2.4)
		}
		// It has taken another run meanwhile.
	} else if !fault.Is(err, fault.NotFound) {
		return err
	}
	if part, err := a.part(ctx, m.Run.Ref()); part || err != nil {
		return err // its pipeline's user's
	}
	if m.User == "" {
		// The next listing finds it, with tags that may name its user.
		a.Meter.Count(MetricIgnored, 1)
		return nil
	}
	_, err = a.adopt(ctx, m.Run, m.User, m.At)
	return err
}

// runChange is a hint; the next listing is the authority.
func (a *App) runChange(ctx context.Context, m RunChange) error {
	o := m.Observation
	if m.Part.ID != "" {
		// Noted before anything else: whoever owns the pipeline, its job is no orphan.
		if err := a.Store.SetMark(ctx, partMark(m.Part), o.At); err != nil {
			return fmt.Errorf("note a pipeline's job: %w", err)
		}
		if own, err := a.Store.Claimed(ctx, m.Part); err == nil {
			// Its birth came first. Both are the same user's, and both end with them.
			a.Log.Info("a pipeline's job has a session of its own", "session", own)
		}
	}
	s, err := a.owner(ctx, o.Run.Ref(), o.Stamp, "")
	if fault.Is(err, fault.NotFound) {
		a.Meter.Count(MetricIgnored, 1)
		return nil
	}
	if err != nil {
		return err
	}
	if o.Run.Engine == workload.SageMakerPipeline && o.State.Over() {
		// Its jobs may outlive it, and it counts as stopped when they are over (S2.9).
		if o, err = a.counted(ctx, o); err != nil {
			return err
		}
	}
	return a.see(ctx, s, o, m.EventID)
}

// counted asks the engine, which counts a pipeline's jobs too.
func (a *App) counted(ctx context.Context, o workload.Observation) (workload.Observation, error) {
	engine, err := a.engine(o.Run.Endpoint)
	if err != nil {
		return o, err
	}
	seen, err := engine.Describe(ctx, o.Run)
	if err != nil {
		return o, fmt.Errorf("count a pipeline's jobs: %w", err)
	}
	if seen.State == workload.Gone {
		return o, nil // deleted since: what the event says stands
	}
	return seen, nil
}

// clusterChange: a terminated cluster closes its Livy sessions and notebook
// executions (S2.14). An execution whose cluster is not known yet fails with it,
// and the next listing tells.
func (a *App) clusterChange(ctx context.Context, m ClusterChange) error {
	if !m.Terminated {
		a.Meter.Count(MetricIgnored, 1)
		return nil
	}
	return a.note(ctx, clusterFacts+m.Cluster, session.Event{ID: m.EventID, Kind: session.ClusterTerminated, At: m.At, By: "unknown", Detail: m.Reason})
}

// executionChange: an execution that waits on a run was aborted, failed or
// timed out; its run ends too (S2).
func (a *App) executionChange(ctx context.Context, m ExecutionChange) error {
	by, known := "unknown", a.Now()
	if m.Status == "FAILED" {
		by = "nightshift" // nobody stopped it: one of its own steps failed for good
	}
	if m.WithRun {
		a.ownEnd(ctx, SessionOfExecution(m.Execution))
	}
	_, err := a.Apply(ctx, SessionOfExecution(m.Execution), session.Event{ID: m.EventID, Kind: session.WaiterAborted, At: m.At, Known: known, By: by, Detail: m.Status,
		Evidence: "the execution is " + m.Status + ", event " + m.EventID})
	if fault.Is(err, fault.NotFound) {
		a.Meter.Count(MetricIgnored, 1)
		return nil
	}
	return err
}

// ownEnd looks at the run of an execution that failed: submit-job-run fails with
// its run, and may know of it before the next listing. Then the run's own end is
// the session's. Where that cannot be seen the execution's end is all there is:
// that the engine does not know the run proves nothing yet (absent).
func (a *App) ownEnd(ctx context.Context, id string) {
	s, err := a.Store.Session(ctx, id)
	if err != nil || s.Status != session.Active || s.Run.ID == "" {
		return
	}
	engine, err := a.engine(s.Run.Endpoint)
	if err == nil {
		var o workload.Observation
		if o, err = a.described(ctx, engine, s); err == nil && o.State.Over() && o.State != workload.Gone {
			err = a.see(ctx, s, o, "")
		}
	}
	if err != nil {
		a.Log.Warn("run of a failed execution not seen", "session", id, "error", err.Error())
	}
}
