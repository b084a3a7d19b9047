package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Facts about a SageMaker domain or an EMR cluster are kept as those about a
// user are, under one of these names and its id: written first, and pending
// until each session that they concern has seen them. No user's id has a slash.
const (
	domainFacts  = "domain/"  // identity-propagation-off (S1.8)
	clusterFacts = "cluster/" // cluster-terminated (S2.14)
	// heldFacts is a user for whom a session was opened that ended at once, because
	// the records hold that the user is disabled, deleted or without access. It
	// concerns no session: it has the user asked about by the next sweeps, who may
	// have no live session that would.
	heldFacts = "held/"
)

// heldFor is how long such a user is asked about.
const heldFor = 5 * time.Minute

// note writes a fact on whom it is about first, then carries it to the sessions
// that it concerns. What the fan-out does not reach, the sweep does (S3.7).
func (a *App) note(ctx context.Context, about string, e session.Event) error {
	now := a.Now()
	if e.Known.IsZero() {
		e.Known = now
	}
	for range raceMax {
		u, err := a.Store.User(ctx, about)
		if err != nil {
			return fmt.Errorf("note %s: %w", e.Kind, err)
		}
		next, changed := u.With(e, now)
		if !changed {
			return nil
		}
		next.Version = u.Version + 1
		next.User = about
		err = a.Store.PutUser(ctx, next)
		if err == nil {
			return a.fanOut(ctx, about)
		}
		if !fault.Is(err, fault.Conflict) {
			return fmt.Errorf("note %s: %w", e.Kind, err)
		}
	}
	return fault.Newf("note "+string(e.Kind), fault.Conflict, "%d races lost", raceMax)
}

// fanOut carries pending facts to each session that they concern. They stay
// pending until a pass that began after every index has caught up with their
// writing has reached all (S2.4).
func (a *App) fanOut(ctx context.Context, about string) error {
	began := a.Now()
	u, err := a.Store.User(ctx, about)
	if err != nil || len(u.Pending) == 0 {
		return err
	}
	all, err := a.concerned(ctx, about)
	if err != nil {
		return fmt.Errorf("fan out: %w", err)
	}
	var errs []error
	for _, e := range u.Pending {
		var ids []string
		if strings.HasPrefix(about, actFacts) && e.User != "" {
			errs = append(errs, a.note(ctx, e.User, e)) // a fact about the user too: also for what is being opened
		}
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
	wait := indexLag
	if strings.HasPrefix(about, heldFacts) {
		wait = heldFor
	}
	if began.Sub(u.PendingSince) < wait {
		return nil
	}
	u.Version++
	u.Pending, u.PendingSince = nil, time.Time{}
	if err := a.Store.PutUser(ctx, u); err != nil && !fault.Is(err, fault.Conflict) {
		return fmt.Errorf("fan out: %w", err)
	}
	return nil // a Conflict: a newer fact came; its own fan-out sees to both
}

// concerned lists the sessions that facts about a user, a domain or a cluster
// concern, as far as the indexes show them.
func (a *App) concerned(ctx context.Context, about string) ([]session.Session, error) {
	var all []session.Session
	keep := func(s session.Session) { all = append(all, s) }
	if domain, ok := strings.CutPrefix(about, domainFacts); ok {
		err := a.onEndpoints(ctx, []string{"sagemaker"}, func(s session.Session) {
			if s.Run.Domain == domain {
				keep(s)
			}
		})
		return all, err
	}
	if cluster, ok := strings.CutPrefix(about, clusterFacts); ok {
		err := pages(func(c string) (Page, error) { return a.Store.OfEndpoint(ctx, "livy/"+cluster, c) }, keep)
		if err != nil {
			return nil, err
		}
		return all, a.endpoints(ctx, func(p Endpoint) error {
			if api(p.ID) != "emr-notebook" {
				return nil
			}
			live, err := a.live(ctx, p.ID) // fresh: an index may not have the cluster yet
			for _, s := range live {
				if s.Run.Cluster == cluster {
					keep(s)
				}
			}
			return err
		})
	}
	if strings.HasPrefix(about, heldFacts) {
		return nil, nil
	}
	if strings.HasPrefix(about, actFacts) {
		u, err := a.Store.User(ctx, about)
		if err != nil {
			return nil, err
		}
		return a.alive(ctx, recordIn(u).Sessions)
	}
	return whole(func(c string) (Page, error) { return a.Store.OfUser(ctx, about, c) })
}

// heldBack has the user of a session that was born ENDING asked about: what the
// records hold may be over, and nobody said so.
func (a *App) heldBack(ctx context.Context, s session.Session) error {
	if s.Status != session.Ending || !holds(s.End.Cause) {
		return nil
	}
	return a.note(ctx, heldFacts+s.User, session.Event{ID: "held-" + s.ID, Kind: session.UserDisabled, At: s.RecordedAt, By: "nightshift", Detail: string(s.End.Cause)})
}

// holds says whether what the cause says of a user holds until a later enabled
// (S2.11).
func holds(c session.Cause) bool {
	return c == session.CauseUserDisabled || c == session.CauseUserDeleted || c == session.CauseAccessRemoved
}

// onEndpoints walks the live sessions of every endpoint of the apis, all where
// none is named.
func (a *App) onEndpoints(ctx context.Context, apis []string, each func(session.Session)) error {
	return a.endpoints(ctx, func(p Endpoint) error {
		if len(apis) > 0 && !slices.Contains(apis, api(p.ID)) {
			return nil
		}
		return pages(func(c string) (Page, error) { return a.Store.OfEndpoint(ctx, p.ID, c) }, each)
	})
}

// liveUsers lists the users with live sessions, in order.
func (a *App) liveUsers(ctx context.Context) ([]string, error) {
	users := map[string]bool{}
	if err := a.onEndpoints(ctx, nil, func(s session.Session) { users[s.User] = true }); err != nil {
		return nil, fmt.Errorf("list users with sessions: %w", err)
	}
	return sortedKeys(users), nil
}
