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
	began := a.Now()
	if err := a.safe(ctx); err != nil {
		return Round{}, err
	}
	e, held, err := a.hold(ctx, endpoint, draining, generation)
	if err != nil || !held {
		return Round{Done: !held && err == nil}, err
	}
	engine, err := a.engine(endpoint)
	if err != nil {
		return Round{}, err
	}
	sessions, err := a.live(ctx, endpoint)
	if err != nil {
		return Round{}, err
	}
	// Where the listing fails, nothing is confirmed, but runs whose ids are known
	// are asked to stop all the same.
	listing, unlisted := a.list(ctx, engine, e, sessions)
	if unlisted != nil {
		listing.Complete = false
		unlisted = fmt.Errorf("drain endpoint %s: %w", endpoint, unlisted)
	}
	left := ending(sessions)
	waiting, moved, errs := a.confirm(ctx, engine, left, listing)
	asked, err := a.askOn(ctx, engine, e, waiting, began.Add(cadence.DrainEvery))
	errs = append(errs, err)
	if unlisted != nil {
		return Round{}, errors.Join(append(errs, unlisted)...)
	}
	if moved || asked { // else nothing has come of this round: reading it all again would double what it costs
		if sessions, err = a.live(ctx, endpoint); err != nil {
			return Round{}, errors.Join(append(errs, err)...)
		}
		left = ending(sessions)
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
	// A round that asked all the time is followed by the next one at once.
	wait := max(time.Second, cadence.DrainEvery-a.Now().Sub(began))
	return Round{Left: len(left), Wait: wait, ETA: eta}, a.busy(ctx, e, draining, generation)
}

// askOn asks, and goes on until the round is over as the bucket refills and as
// more sessions come: a round that asked once would get a bucketful each
// DrainEvery, however fast the endpoint is, and what came a moment later would
// wait for as long. A round with nothing to ask ends at once, and so does one of
// whose requests the engine took none. e is the endpoint as it was before the
// sessions were read. It answers whether any request was sent.
func (a *App) askOn(ctx context.Context, engine Engine, e Endpoint, waiting []*session.Session, until time.Time) (tried bool, err error) {
	var errs []error
	queue, asked, linger := inTurn(waiting, a.Now()), 0, askLinger
	for {
		sent, took, err := a.ask(ctx, engine, e.ID, queue)
		queue, asked, tried = queue[sent:], asked+took, tried || sent > 0
		if errs = append(errs, err); sent > 0 && took == 0 || asked == 0 && len(queue) == 0 {
			return tried, errors.Join(errs...)
		}
		if len(queue) == 0 {
			if e, queue, err = a.fresh(ctx, e); err != nil {
				return tried, errors.Join(append(errs, err)...)
			}
			if len(queue) > 0 && !a.late(ctx) {
				linger = askLinger
				continue
			}
		}
		pause := refill(a.settings(e.ID).Stop)
		if len(queue) == 0 {
			pause, linger = linger, min(2*linger, askRefill)
		}
		if a.Pause == nil || a.Now().Add(pause).After(until) || a.late(ctx) || a.Pause(ctx, pause) != nil {
			return tried, errors.Join(errs...)
		}
	}
}

// refill is how long a round waits for tokens: until half a bucketful is there, where
// that is sooner than askRefill. What comes into a full bucket is lost, and with a
// bucket of less than a second's tokens the rate was never reached (S2.9).
func refill(r cadence.Rate) time.Duration {
	if r.PerSecond <= 0 {
		return askRefill
	}
	half := time.Duration(float64(r.Burst) / 2 / r.PerSecond * float64(time.Second))
	return max(askLinger, min(askRefill, half))
}

// fresh are the sessions to be asked since the endpoint was as it is given; none
// where it has not been woken since.
func (a *App) fresh(ctx context.Context, e Endpoint) (Endpoint, []*session.Session, error) {
	now, err := a.Store.Endpoint(ctx, e.ID)
	if err != nil || now.Wake == e.Wake || a.Pause == nil {
		return e, nil, err
	}
	var unasked []*session.Session
	err = pages(func(c string) (Page, error) { return a.Store.OfEndpoint(ctx, e.ID, c) }, func(s session.Session) {
		if s.Status == session.Ending && s.End.Asked.IsZero() {
			kept := s
			unasked = append(unasked, &kept)
		}
	})
	if err != nil {
		return e, nil, fmt.Errorf("list sessions of endpoint: %w", err)
	}
	return now, inTurn(unasked, a.Now()), nil
}

// How long a round waits for tokens at most, and at first for more sessions: a wait
// in which none came is followed by one twice as long. Each ends with a write or a
// read of the endpoint.
const (
	askRefill = time.Second
	askLinger = 100 * time.Millisecond
)

// ending are the sessions that must end; it takes the others out of their slice.
func ending(sessions []session.Session) []session.Session {
	left := sessions[:0]
	for i := range sessions { // by place: a session is large
		if sessions[i].Status == session.Ending {
			left = append(left, sessions[i])
		}
	}
	return left
}

// confirm brings a listing to the sessions that must end and answers those whose
// runs are still to be asked, and whether anything may have been written down.
func (a *App) confirm(ctx context.Context, engine Engine, ending []session.Session, listing listed) (waiting []*session.Session, moved bool, errs []error) {
	if len(ending) == 0 {
		return nil, false, nil
	}
	runs, stamps := make(map[workload.Ref]int, len(listing.Runs)), map[string]int{}
	for i := range listing.Runs {
		runs[listing.Runs[i].Run.Ref()] = i
		if stamp := listing.Runs[i].Stamp; stamp != "" {
			stamps[stamp] = i
		}
	}
	waiting = make([]*session.Session, 0, len(ending))
	for n := range ending {
		s := &ending[n]
		i, there := runs[s.Run.Ref()]
		if !there && s.Run.ID == "" {
			if i, there = stamps[s.ID]; there {
				other, err := a.others(ctx, listing.Runs[i].Run.Ref(), s.ID)
				if err != nil {
					errs = append(errs, err)
					continue // whether it is its run cannot be told: it is not disproved by that (S2.4)
				}
				there = !other
			}
		}
		switch {
		case there:
			o := listing.Runs[i]
			moved = moved || o.State.Over() || s.Run.ID == "" || o.Stuck != s.End.Stuck
			errs = append(errs, a.see(ctx, *s, o, ""))
			if s.Run.ID == "" {
				s.Run.ID = o.Run.ID
			}
			if toAsk(*s, o.State) {
				waiting = append(waiting, s)
			}
		case listing.proves(*s):
			state, err := a.absent(ctx, engine, *s)
			errs, moved = append(errs, err), true
			if s.Run.ID != "" && toAsk(*s, state) {
				waiting = append(waiting, s) // it lives although the list lacks it: it must end all the same
			}
		case s.Run.ID != "":
			waiting = append(waiting, s) // its page is missing: that proves nothing, and it must end
		}
	}
	return waiting, moved, errs
}

// toAsk says whether a run that must end and is in this state is to be asked. One
// that is STOPPING although no request of ours is known to have been accepted is
// asked too: whoever asked it died before that was written down, and the proof
// must say when it was asked (S2.7).
func toAsk(s session.Session, state workload.State) bool {
	return !state.Over() && (state != workload.Stopping || s.End.Asked.IsZero())
}

// inTurn are the sessions whose runs may be asked now, each again at least each
// BackoffMax (S2.6), in the order in which they are.
func inTurn(waiting []*session.Session, now time.Time) []*session.Session {
	due := waiting[:0]
	for _, s := range waiting {
		if s.Run.ID != "" && (s.End.AskedLast.IsZero() || now.Sub(s.End.AskedLast) >= cadence.BackoffMax) {
			due = append(due, s)
		}
	}
	return fair(due, now)
}

// ask sends stop requests to the first of the sessions, never beyond the
// endpoint's bucket (S2.9). It answers how many were sent, and how many of them
// the engine took.
func (a *App) ask(ctx context.Context, engine Engine, endpoint string, queue []*session.Session) (sent, took int, err error) {
	if sent, err = a.allowed(ctx, endpoint, len(queue)); err != nil {
		return 0, 0, err
	}
	errs := make([]error, sent)
	tasks := make([]func(context.Context), sent)
	for i := range queue[:sent] {
		tasks[i] = func(ctx context.Context) { errs[i] = a.stop(ctx, engine, *queue[i]) }
	}
	a.Parallel(ctx, a.settings(endpoint).Parallel, tasks)
	for _, err := range errs {
		if err == nil {
			took++
		}
	}
	return sent, took, errors.Join(append(errs, a.slow(ctx, endpoint, errs))...)
}

// slow makes the endpoint's bucket slower where the service throttled stop
// requests and nobody publishes its rate: going on as before would have it throttle
// more, and the account's other callers too. What was throttled is asked again as
// its turn comes (S2.6).
func (a *App) slow(ctx context.Context, endpoint string, asked []error) error {
	throttled := 0
	for _, err := range asked {
		if fault.Is(err, fault.Throttled) {
			throttled++
		}
	}
	if throttled == 0 {
		return nil
	}
	rate, now := a.settings(endpoint).Stop, a.Now()
	_, slowed, err := a.change(ctx, endpoint, func(e *Endpoint) bool {
		before := e.Stops
		e.Stops = rate.Slow(before, len(asked), throttled, now)
		return e.Stops != before
	})
	if slowed {
		a.Log.Warn("stop requests throttled", "endpoint", endpoint, "reason", fmt.Sprintf("%d of %d", throttled, len(asked)))
	}
	return err
}

// stop asks a run to stop. Nothing was asked of one that the engine does not know,
// and nothing is noted: the listing tells what became of it.
func (a *App) stop(ctx context.Context, engine Engine, s session.Session) error {
	err := engine.Stop(ctx, s.Run)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		var noted error
		if !fault.Is(err, fault.Throttled) && s.End.Refused.IsZero() {
			_, noted = a.Apply(ctx, s.ID, session.Event{Kind: session.StopRefused, At: a.Now(), Detail: err.Error()})
		}
		return errors.Join(fmt.Errorf("stop run of session %s: %w", s.ID, err), noted)
	}
	_, err = a.Apply(ctx, s.ID, session.Event{Kind: session.StopAccepted, At: a.Now()})
	return err
}

// allowed takes up to n tokens from the endpoint's bucket and answers how many
// there were.
func (a *App) allowed(ctx context.Context, endpoint string, n int) (int, error) {
	if n == 0 {
		return 0, nil
	}
	now, rate := a.Now(), a.settings(endpoint).Stop
	taken := 0
	_, _, err := a.change(ctx, endpoint, func(e *Endpoint) bool {
		bucket, ok := e.Stops, true
		for taken = 0; taken < n; taken++ {
			if bucket, ok = rate.Take(bucket, 1, now); !ok {
				break
			}
		}
		e.Stops = bucket
		return taken > 0
	})
	return taken, err
}

// fair orders sessions by the earliest cause, taking one of each user in turn. A
// bucketful of runs that cannot be stopped must not keep the others from being
// asked, nor each other: those that the engine has refused to stop, PageAfter
// since their cause, take only each fifth place, drawn by lot.
func fair(due []*session.Session, now time.Time) []*session.Session {
	if len(due) < 2 {
		return due
	}
	type place struct {
		s    *session.Session
		lot  string
		turn int
	}
	var counted, refused []place
	lots, at := map[string]string{}, now.String()
	for _, s := range due {
		if !s.End.Refused.IsZero() && s.End.AskedLast.IsZero() && now.Sub(s.End.Known) >= session.PageAfter {
			refused = append(refused, place{s: s, lot: digest(s.ID, at)})
			continue
		}
		// Of users whose causes came at once, not always the same is first.
		if lots[s.User] == "" {
			lots[s.User] = digest(s.User, at)
		}
		counted = append(counted, place{s: s, lot: lots[s.User]})
	}
	slices.SortStableFunc(counted, func(a, b place) int {
		return cmp.Or(a.s.End.Known.Compare(b.s.End.Known), cmp.Compare(a.lot, b.lot))
	})
	turns := map[string]int{}
	for i := range counted {
		user := counted[i].s.User
		counted[i].turn = turns[user]
		turns[user]++
	}
	slices.SortStableFunc(counted, func(a, b place) int { return cmp.Compare(a.turn, b.turn) })
	slices.SortStableFunc(refused, func(a, b place) int { return cmp.Compare(a.lot, b.lot) })
	ordered := make([]*session.Session, 0, len(due))
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
