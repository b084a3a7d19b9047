package ladder

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Watched is what a watch has cost.
type Watched struct {
	Transitions, Invocations, Calls int64
	Reads, Writes                   float64 // units of the table
	Live                            int     // runs at the end
}

// TryWatch has the watch machine of one endpoint watch n runs, which live on,
// for some time. The minute's schedule, which an account has once, is left out.
func TryWatch(n int, d time.Duration) Watched {
	w := New(Settings{Policy: func(p *session.Policy) { p.BackgroundDuration = 2 * d }, NoLag: true})
	w.Do(func(ctx context.Context) {
		for i := range n {
			w.Open(ctx, fmt.Sprint("user-", i%100), Runs[OnEKS], time.Time{})
		}
	})
	w.Play(time.Second)
	w.Invocations, w.Engine.Calls = 0, 0
	w.Store.Reads, w.Store.Writes = 0, 0
	w.Play(d)
	live, err := w.Store.OfEndpoint(context.Background(), OnEKS, "")
	must(err)
	if len(live.Sessions) == 0 {
		panic("nothing was watched")
	}
	return Watched{Transitions: w.Transitions(), Invocations: w.Invocations, Calls: w.Engine.Calls, Reads: w.Store.Reads, Writes: w.Store.Writes}
}

// Live has n sessions live their lives on a store: opened and started by the run
// machine, seen running, told that their end is near, ended by their deadline
// after two hours, asked to stop, seen stopped, their waiting executions
// released. The minute's schedule runs throughout.
func Live(store app.Store, n int) error {
	w := New(Settings{Store: store})
	var ids []string
	w.Start()
	w.Do(func(ctx context.Context) {
		for i := range n {
			s := w.Open(ctx, fmt.Sprint(DayUser, "user-", i), Runs[OnEKS], Began.Add(2*time.Hour+time.Second))
			ids = append(ids, s.ID)
		}
	})
	w.Play(2*time.Hour + 5*time.Minute)
	var errs []error
	for _, id := range ids {
		if s := w.Session(id); s.Status != session.Ended || s.End.Cause != session.CauseInteractiveExpired {
			errs = append(errs, fmt.Errorf("session %s is %s, cause %q: its life was not what it should be", id, s.Status, s.End.Cause))
		}
	}
	return errors.Join(errs...)
}

// Records is the store of a world, which counts what its calls would consume of
// a table: a unit for each thing read or written by its id, half of one for each
// page of an index. It can be put back to what it was.
type Records struct {
	app.Store
	Reads, Writes float64
	streamed      func(app.Entry)
	now           func() time.Time
	fresh         func() app.Store // makes an empty one; nil: it cannot be put back
	log           []logged
	lag           time.Duration // of its indexes
}

// Session implements app.Store.
func (r *Records) Session(ctx context.Context, id string) (session.Session, error) {
	r.Reads++
	return r.Store.Session(ctx, id)
}

// Sessions implements app.Store.
func (r *Records) Sessions(ctx context.Context, ids []string) ([]session.Session, error) {
	r.Reads += float64(len(ids))
	return r.Store.Sessions(ctx, ids)
}

// OfEndpoint implements app.Store.
func (r *Records) OfEndpoint(ctx context.Context, endpoint, cursor string) (app.Page, error) {
	p, err := r.Store.OfEndpoint(ctx, endpoint, cursor)
	r.Reads += float64(len(p.Sessions)) + 0.5*max(1, float64(len(p.Sessions))/indexPage)
	return p, err
}

// indexPage is how many sessions one page of the table's index names.
const indexPage = 100

// Endpoint implements app.Store.
func (r *Records) Endpoint(ctx context.Context, id string) (app.Endpoint, error) {
	r.Reads++
	return r.Store.Endpoint(ctx, id)
}

// PutEndpoint implements app.Store.
func (r *Records) PutEndpoint(ctx context.Context, e app.Endpoint) error {
	r.Writes++
	return r.note("", r.Store.PutEndpoint(ctx, e), func(s app.Store) error { return s.PutEndpoint(ctx, e) })
}

// Claimed implements app.Store.
func (r *Records) Claimed(ctx context.Context, run workload.Ref) (string, error) {
	r.Reads++
	return r.Store.Claimed(ctx, run)
}

// Open implements app.Store.
func (r *Records) Open(ctx context.Context, o app.Opening) error {
	err := r.note(o.Session.ID, r.Store.Open(ctx, o), func(s app.Store) error { return s.Open(ctx, o) })
	if err == nil {
		r.streamed(o.Entry)
	}
	return err
}

// Commit implements app.Store. Two items in a transaction; what its indexes cost
// is not counted here.
func (r *Records) Commit(ctx context.Context, c app.Commit) error {
	r.Writes += 4
	err := r.note(c.Next.ID, r.Store.Commit(ctx, c), func(s app.Store) error { return s.Commit(ctx, c) })
	if err == nil {
		r.streamed(c.Entry)
	}
	return err
}
