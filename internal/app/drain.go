package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Drain is one round of the drain of an endpoint: confirm by a listing what has
// stopped, ask the others within the endpoint's rate, and say when to come
// again. One drain per endpoint is the shared rate limiter (S2.6, S2.9).
func (a *App) Drain(ctx context.Context, endpoint string, generation int64) (Round, error) {
	if _, held, err := a.hold(ctx, endpoint, draining, generation); err != nil || !held {
		return Round{Done: !held && err == nil}, err
	}
	engine, err := a.engine(endpoint)
	if err != nil {
		return Round{}, err
	}
	// Where the listing fails, nothing is confirmed, but runs whose ids are known
	// are asked to stop all the same.
	listing, unlisted := engine.List(ctx, endpoint)
	if unlisted != nil {
		listing.Complete = false
		unlisted = fmt.Errorf("drain endpoint %s: %w", endpoint, unlisted)
	}
	waiting, errs := a.confirm(ctx, engine, endpoint, listing)
	errs = append(errs, a.ask(ctx, engine, endpoint, waiting))
	if unlisted != nil {
		return Round{}, errors.Join(append(errs, unlisted)...)
	}
	left, err := a.ending(ctx, endpoint)
	if err != nil {
		return Round{}, errors.Join(append(errs, err)...)
	}
	for _, e := range errs {
		if e != nil {
			// One run that will not stop must not keep the others from being asked.
			a.Log.Warn("drain", "endpoint", endpoint, "error", e.Error())
		}
	}
	if len(left) == 0 {
		done, err := a.idle(ctx, endpoint, draining, generation)
		return Round{Done: done, Wait: cadence.DrainEvery}, err
	}
	eta, err := a.eta(ctx, endpoint, left)
	if err != nil {
		return Round{}, err
	}
	a.Meter.Lateness(MetricStopETA, eta)
	return Round{Left: len(left), Wait: cadence.DrainEvery, ETA: eta}, a.busy(ctx, endpoint, draining, generation)
}

// ending lists the endpoint's sessions that must end.
func (a *App) ending(ctx context.Context, endpoint string) ([]session.Session, error) {
	sessions, err := a.live(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	ending := sessions[:0]
	for _, s := range sessions {
		if s.Status == session.Ending {
			ending = append(ending, s)
		}
	}
	return ending, nil
}

// confirm brings a listing to the sessions that must end and answers those
// whose runs are still to be asked.
func (a *App) confirm(ctx context.Context, engine Engine, endpoint string, listing workload.Listing) ([]session.Session, []error) {
	ending, err := a.ending(ctx, endpoint)
	if err != nil {
		return nil, []error{err}
	}
	runs, stamps := map[workload.Ref]workload.Observation{}, map[string]workload.Observation{}
	for _, o := range listing.Runs {
		runs[o.Run.Ref()] = o
		if o.Stamp != "" {
			stamps[o.Stamp] = o
		}
	}
	var waiting []session.Session
	var errs []error
	for _, s := range ending {
		o, there := runs[s.Run.Ref()]
		if !there && s.Run.ID == "" {
			o, there = stamps[s.ID]
		}
		switch {
		case there:
			errs = append(errs, a.see(ctx, s, o, ""))
			if s.Run.ID == "" {
				s.Run.ID = o.Run.ID
			}
			if !o.State.Over() && o.State != workload.Stopping {
				waiting = append(waiting, s)
			}
		case listing.Complete:
			state, err := a.absent(ctx, engine, s)
			errs = append(errs, err)
			if s.Run.ID != "" && !state.Over() && state != workload.Stopping {
				waiting = append(waiting, s) // it lives although the list lacks it: it must end all the same
			}
		case s.Run.ID != "":
			waiting = append(waiting, s) // its page is missing: that proves nothing, and it must end
		}
	}
	return waiting, errs
}

// ask sends stop requests: earliest cause first, fair between users, never
// beyond the endpoint's bucket, again at least each BackoffMax (S2.6, S2.9).
func (a *App) ask(ctx context.Context, engine Engine, endpoint string, waiting []session.Session) error {
	now := a.Now()
	due := waiting[:0]
	for _, s := range waiting {
		if s.End.AskedLast.IsZero() || now.Sub(s.End.AskedLast) >= cadence.BackoffMax {
			due = append(due, s)
		}
	}
	due, err := a.allowed(ctx, endpoint, fair(due, now))
	if err != nil {
		return err
	}
	errs := make([]error, len(due))
	tasks := make([]func(context.Context), len(due))
	for i, s := range due {
		tasks[i] = func(ctx context.Context) { errs[i] = a.stop(ctx, engine, s) }
	}
	a.Parallel(ctx, a.settings(endpoint).Parallel, tasks)
	return errors.Join(errs...)
}

func (a *App) stop(ctx context.Context, engine Engine, s session.Session) error {
	if err := engine.Stop(ctx, s.Run); err != nil {
		var noted error
		if !fault.Is(err, fault.Throttled) && s.End.Refused.IsZero() {
			_, noted = a.Apply(ctx, s.ID, session.Event{Kind: session.StopRefused, At: a.Now(), Detail: err.Error()})
		}
		return errors.Join(fmt.Errorf("stop run of session %s: %w", s.ID, err), noted)
	}
	_, err := a.Apply(ctx, s.ID, session.Event{Kind: session.StopAccepted, At: a.Now()})
	return err
}

// allowed takes tokens from the endpoint's bucket and answers as many sessions
// as there were tokens.
func (a *App) allowed(ctx context.Context, endpoint string, due []session.Session) ([]session.Session, error) {
	if len(due) == 0 {
		return nil, nil
	}
	now, rate := a.Now(), a.settings(endpoint).Stop
	n := 0
	_, _, err := a.change(ctx, endpoint, func(e *Endpoint) bool {
		bucket, ok := e.Stops, true
		for n = 0; n < len(due); n++ {
			if bucket, ok = rate.Take(bucket, 1, now); !ok {
				break
			}
		}
		e.Stops = bucket
		return n > 0
	})
	if err != nil {
		return nil, err
	}
	return due[:n], nil
}

// fair orders sessions by the earliest cause, taking one of each user in turn. A
// bucketful of runs that cannot be stopped must not keep the others from being
// asked, nor each other: those that the engine has refused to stop, PageAfter
// since their cause, take only each fifth place, drawn by lot.
func fair(due []session.Session, now time.Time) []session.Session {
	type place struct {
		s    session.Session
		lot  string
		turn int
	}
	var counted, refused []*place
	for _, s := range due {
		if !s.End.Refused.IsZero() && s.End.AskedLast.IsZero() && now.Sub(s.End.Known) >= session.PageAfter {
			refused = append(refused, &place{s: s, lot: digest(s.ID, now.String())})
			continue
		}
		// Of users whose causes came at once, not always the same is first.
		counted = append(counted, &place{s: s, lot: digest(s.User, now.String())})
	}
	slices.SortStableFunc(counted, func(a, b *place) int {
		return cmp.Or(a.s.End.Known.Compare(b.s.End.Known), cmp.Compare(a.lot, b.lot))
	})
	turns := map[string]int{}
	for _, p := range counted {
		p.turn = turns[p.s.User]
		turns[p.s.User]++
	}
	slices.SortStableFunc(counted, func(a, b *place) int { return cmp.Compare(a.turn, b.turn) })
	slices.SortStableFunc(refused, func(a, b *place) int { return cmp.Compare(a.lot, b.lot) })
	ordered := make([]session.Session, 0, len(due))
	for len(counted)+len(refused) > 0 {
		from := &counted
		if len(counted) == 0 || len(refused) > 0 && len(ordered)%5 == 4 {
			from = &refused
		}
		ordered = append(ordered, (*from)[0].s)
		*from = (*from)[1:]
	}
	return ordered
}
