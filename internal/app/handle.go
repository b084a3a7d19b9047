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
	now := a.Now()
	m, err := a.Parse(body, now)
	if err == nil {
		err = a.Handle(ctx, m)
	}
	if !fault.Is(err, fault.Invalid) {
		return err
	}
	a.Meter.Count(MetricParked, 1)
	a.Log.Warn("event parked", "source", source, "reason", err.Error())
	return a.Store.Park(ctx, Parked{ID: "p-" + digest(string(body)), Source: source, Reason: err.Error(), Body: string(body[:min(len(body), bodyKept)]), At: now})
}

// Handle acts on a message.
func (a *App) Handle(ctx context.Context, m Message) error {
	switch m := m.(type) {
	case Fact:
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
		a.Meter.Count(MetricUnrecognised, 1)
		n, err := a.Store.Sample(ctx, m.Kind, m.Body, m.At)
		if err == nil && n == 1 {
			a.Log.Warn("identity event unrecognised", "kind", m.Kind)
		}
		return err
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
		return a.domainFact(ctx, e)
	case e.Run.Endpoint == SessionRef:
		return a.sessionFact(ctx, e)
	case e.Kind.AboutUser() && e.User != "":
		return a.userFact(ctx, e)
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
	s, err := a.find(ctx, run)
	if fault.Is(err, fault.NotFound) {
		if e.Kind != session.BackgroundTokenIssued || e.User == "" {
			a.Meter.Count(MetricIgnored, 1)
			return nil
		}
		s, err = a.adopt(ctx, run, e.User, e.At)
	}
	if err != nil {
		return err
	}
	_, err = a.Apply(ctx, s.ID, e)
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

// domainFact concerns the sessions of one SageMaker domain, on any endpoint of
// SageMaker (S1.8).
func (a *App) domainFact(ctx context.Context, e session.Event) error {
	var ids []string
	err := a.endpoints(ctx, func(p Endpoint) error {
		if api(p.ID) != "sagemaker" {
			return nil
		}
		return pages(func(c string) (Page, error) { return a.Store.OfEndpoint(ctx, p.ID, c) }, func(s session.Session) {
			if s.Run.Domain == e.Domain {
				ids = append(ids, s.ID)
			}
		})
	})
	if err != nil {
		return err
	}
	return a.applyAll(ctx, ids, e)
}

// checkUser asks what an event did not say: whether the user is disabled.
func (a *App) checkUser(ctx context.Context, m UserCheck) error {
	status, err := a.Identity.Status(ctx, m.User)
	if err != nil {
		return fmt.Errorf("check user: %w", err)
	}
	kind := session.UserEnabled
	switch status {
	case UserDisabled:
		kind = session.UserDisabled
	case UserDeleted:
		kind = session.UserDeleted
	case UserEnabled:
		// An update that left the user enabled is news only where the user was
		// known as something else; as a fact it is harmless.
	}
	return a.fact(ctx, session.Event{ID: m.EventID, Kind: kind, At: m.At, User: m.User, By: "unknown", Evidence: "DescribeUser after event " + m.EventID})
}

// checkAccess: a removed assignment ends nothing until a re-check finds that no
// other one gives the access (S2).
func (a *App) checkAccess(ctx context.Context, m AccessCheck) error {
	users := map[string]bool{}
	if m.User != "" {
		users[m.User] = true
	} else {
		err := pages(func(c string) (Page, error) { return a.Store.List(ctx, c) }, func(s session.Session) {
			if s.Status != session.Ended {
				users[s.User] = true
			}
		})
		if err != nil {
			return err
		}
	}
	var errs []error
	for user := range users {
		access, err := a.Identity.Access(ctx, user, m.Application)
		if err == nil && access == session.Unknown {
			err = fault.Newf("check access", fault.Unknown, "whether another assignment gives user %s the application is unknown", user)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if access == session.Off {
			errs = append(errs, a.fact(ctx, session.Event{ID: m.EventID, Kind: session.AccessRemoved, At: m.At, User: user, By: m.By, Evidence: "no assignment left after event " + m.EventID}))
		}
	}
	return errors.Join(errs...)
}

// birth: somebody started a run. A birth and its run may be seen in any order,
// twice, or minutes apart: the claim makes it one session.
func (a *App) birth(ctx context.Context, m Birth) error {
	s, err := a.owner(ctx, m.Run.Ref(), m.Stamp)
	if fault.Is(err, fault.NotFound) && m.User != "" {
		s, err = a.find(ctx, m.Run)
	}
	if err == nil {
		_, err = a.Apply(ctx, s.ID, session.Event{ID: m.EventID, Kind: session.RunStarted, At: m.At, Run: m.Run.Ref(), By: m.By})
		return err
	}
	if !fault.Is(err, fault.NotFound) {
		return err
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
	s, err := a.owner(ctx, o.Run.Ref(), o.Stamp)
	if fault.Is(err, fault.NotFound) {
		a.Meter.Count(MetricIgnored, 1)
		return nil
	}
	if err != nil {
		return err
	}
	return a.see(ctx, s, o, m.EventID)
}

// clusterChange: a terminated cluster closes its Livy sessions and notebook
// executions (S2.14).
func (a *App) clusterChange(ctx context.Context, m ClusterChange) error {
	if !m.Terminated {
		a.Meter.Count(MetricIgnored, 1)
		return nil
	}
	var ids []string
	err := pages(func(c string) (Page, error) { return a.Store.OfEndpoint(ctx, "livy/"+m.Cluster, c) }, func(s session.Session) { ids = append(ids, s.ID) })
	if err != nil {
		return err
	}
	return a.applyAll(ctx, ids, session.Event{ID: m.EventID, Kind: session.ClusterTerminated, At: m.At, By: "unknown", Detail: m.Reason})
}

// executionChange: an execution that waits on a run was aborted, failed or
// timed out; its run ends too (S2).
func (a *App) executionChange(ctx context.Context, m ExecutionChange) error {
	_, err := a.Apply(ctx, SessionOfExecution(m.Execution), session.Event{ID: m.EventID, Kind: session.WaiterAborted, At: m.At, By: "unknown", Detail: m.Status})
	if fault.Is(err, fault.NotFound) {
		a.Meter.Count(MetricIgnored, 1)
		return nil
	}
	return err
}

// userFact writes the fact on the user first, then carries it to the user's
// sessions. What the fan-out does not reach, the sweep does.
func (a *App) userFact(ctx context.Context, e session.Event) error {
	now := a.Now()
	if e.Known.IsZero() {
		e.Known = now
	}
	for range raceMax {
		u, err := a.Store.User(ctx, e.User)
		if err != nil {
			return fmt.Errorf("note %s: %w", e.Kind, err)
		}
		next, changed := u.With(e, now)
		if !changed {
			return nil
		}
		next.Version = u.Version + 1
		next.User = e.User
		err = a.Store.PutUser(ctx, next)
		if err == nil {
			return a.fanOut(ctx, e.User)
		}
		if !fault.Is(err, fault.Conflict) {
			return fmt.Errorf("note %s: %w", e.Kind, err)
		}
	}
	return fault.Newf("note "+string(e.Kind), fault.Conflict, "%d races lost", raceMax)
}

// fanOut carries a user's pending facts to each of the user's sessions. They
// stay pending until a pass that began after every index has caught up with
// their writing has reached all (S2.4).
func (a *App) fanOut(ctx context.Context, user string) error {
	began := a.Now()
	u, err := a.Store.User(ctx, user)
	if err != nil || len(u.Pending) == 0 {
		return err
	}
	var all []session.Session
	err = pages(func(c string) (Page, error) { return a.Store.OfUser(ctx, user, c) }, func(s session.Session) { all = append(all, s) })
	if err != nil {
		return fmt.Errorf("fan out: %w", err)
	}
	var errs []error
	for _, e := range u.Pending {
		var ids []string
		for _, s := range all {
			if e.Run == (workload.Ref{}) || e.Run == s.Run.Ref() {
				ids = append(ids, s.ID)
			}
		}
		errs = append(errs, a.applyAll(ctx, ids, e))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("fan out: %w", err)
	}
	if began.Sub(u.PendingSince) < indexLag {
		return nil
	}
	u.Version++
	u.Pending, u.PendingSince = nil, time.Time{}
	if err := a.Store.PutUser(ctx, u); err != nil && !fault.Is(err, fault.Conflict) {
		return fmt.Errorf("fan out: %w", err)
	}
	return nil // a Conflict: a newer fact came; its own fan-out sees to both
}
