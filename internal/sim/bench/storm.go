package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/edge"
	"nightshift/internal/inbound"
	"nightshift/internal/memstore"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

const (
	stormSessions = 20_000
	stormWorkers  = 200
	// stormTries is how often a storm is raised; the fastest counts, for what else
	// runs on the machine only slows it. The anchor gets as many.
	stormTries = 3
	// streamBatch and streamShards are how run-effects takes the table's stream:
	// so many entries an invocation, so many invocations at once.
	streamBatch, streamShards = 100, 4
)

// storms prints how fast 20,000 runs are asked to stop whose sessions are due at
// once, from the moment they are due to the last stop that the engine accepted.
func storms(ctx context.Context, out io.Writer, real chains) error {
	var missed []error
	for _, c := range []struct {
		backend time.Duration
		least   float64 // stops a second
	}{{0, 15_000}, {50 * time.Millisecond, 3_600}} {
		ours, err := best(func() (storm, error) { return raise(ctx, real, stormSessions, c.backend) })
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "storm n=%d endpoints=1 rate_limit=none backend_ms=%d workers=%d rate_per_s=%.0f worst_late_ms=%d\n",
			stormSessions, c.backend.Milliseconds(), stormWorkers, ours.rate(), ours.took.Milliseconds())
		if ours.rate() < c.least {
			missed = append(missed, fmt.Errorf("a storm with a backend of %v: %.0f stops a second; at least %.0f are the target", c.backend, ours.rate(), c.least))
		}
		anchor, err := best(func() (storm, error) { return vaultStorm(ctx, real, stormSessions, c.backend) })
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "anchor=vault-style storm n=%d backend_ms=%d workers=%d rate_per_s=%.0f worst_late_ms=%d\n",
			stormSessions, c.backend.Milliseconds(), vaultWorkers, anchor.rate(), anchor.took.Milliseconds())
	}
	return errors.Join(missed...)
}

// storm is how long a storm took.
type storm struct{ took time.Duration }

func (s storm) rate() float64 { return stormSessions / s.took.Seconds() }

func best(try func() (storm, error)) (storm, error) {
	var b storm
	for range stormTries {
		s, err := try()
		if err != nil {
			return s, err
		}
		if b.took == 0 || s.took < b.took {
			b = s
		}
	}
	return b, nil
}

const stormEndpoint = "livy/j-1STORM"

// plant is Nightshift in real time, on a store in memory, with an engine that
// takes a stop request after some time. Its time can be put forward.
type plant struct {
	real    chains
	shift   atomic.Int64 // nanoseconds that its time is ahead of the real one
	app     *app.App
	store   *memstore.Store
	backend *backend
	stream  chan *app.Entry
	behind  atomic.Int64
	over    context.CancelFunc
	running sync.WaitGroup
}

// Now is the plant's time.
func (p *plant) Now() time.Time { return p.real.Now().Add(time.Duration(p.shift.Load())) }

func newPlant(ctx context.Context, real chains, latency time.Duration) *plant {
	p := &plant{real: real, store: memstore.New(memstore.WithPageSize(1000)), stream: make(chan *app.Entry, 8*stormSessions)}
	// Its time is ahead of the real one: a deadline in real time would be over.
	ctx, p.over = context.WithCancel(context.WithoutCancel(ctx))
	p.backend = &backend{plant: p, latency: latency, runs: map[workload.Ref]*stopped{}}
	p.app = &app.App{
		Store: p.store, Engines: map[string]app.Engine{"livy": p.backend}, Identity: settings{}, Starter: machines{p, ctx}, Waiters: deaf{}, Announcer: deaf{}, Meter: deaf{},
		Parallel: edge.Parallel, Parse: inbound.Parse, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: p.Now, Pause: real.Sleep,
		Settings: map[string]cadence.Endpoint{stormEndpoint: {
			Stop: cadence.Rate{PerSecond: 1e6, Burst: 1e6}, Parallel: stormWorkers, Young: cadence.Young, Settled: cadence.Settled,
		}},
	}
	p.store.Subscribe(func(e app.Entry) {
		p.behind.Add(1)
		p.stream <- &e
	})
	for range streamShards {
		p.running.Go(func() { p.effects(ctx) })
	}
	return p
}

func (p *plant) close() {
	p.over()
	p.running.Wait()
}

// effects carries a shard of the stream to run-effects, in batches of what is
// there. A record's id is its place in the batch.
func (p *plant) effects(ctx context.Context) {
	var batch []*app.Entry
	handler := edge.RunEffects(p.app, func(r events.DynamoDBEventRecord) (app.Entry, bool, error) {
		i, err := strconv.Atoi(r.EventID)
		if err != nil {
			return app.Entry{}, false, fmt.Errorf("there is no stream record %s", r.EventID)
		}
		return *batch[i], true, nil
	})
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-p.stream:
			batch = append(batch[:0], e)
		}
		for more := true; more && len(batch) < streamBatch; {
			select {
			case e := <-p.stream:
				batch = append(batch, e)
			default:
				more = false
			}
		}
		in := events.DynamoDBEvent{Records: make([]events.DynamoDBEventRecord, len(batch))}
		for i := range batch {
			in.Records[i].EventID = strconv.Itoa(i)
		}
		_ = handler(ctx, in) // it never fails a batch
		p.behind.Add(-int64(len(batch)))
	}
}

// raise opens the sessions, lets time reach their deadline and runs the sweep.
func raise(ctx context.Context, real chains, n int, latency time.Duration) (storm, error) {
	p := newPlant(ctx, real, latency)
	defer p.close()
	policy := session.DefaultPolicy()
	policy.Version, policy.InstanceBackground = 1, session.On
	if err := p.store.PutPolicy(ctx, policy); err != nil {
		return storm{}, err
	}
	due := p.Now().Add(8 * time.Hour)
	ids := make([]string, 0, n)
	for i := range n {
		s, err := p.app.OpenSession(ctx, app.OpenRequest{
			Execution: fmt.Sprint("arn:execution:", i), User: fmt.Sprint("user-", i%100),
			Run:         workload.Run{Engine: workload.Livy, Endpoint: stormEndpoint, Kind: workload.LivySession, Application: workload.Spark},
			Interactive: session.InteractiveSession{ID: fmt.Sprint("is-", i), Source: inbound.PortalSource, ExpiresAt: due},
		})
		if err == nil {
			err = p.app.StartRun(ctx, app.StartRequest{SessionID: s.ID, Spec: []byte("{}")})
		}
		if err != nil {
			return storm{}, err
		}
		ids = append(ids, s.ID)
	}
	if err := p.settle(ctx); err != nil {
		return storm{}, err
	}
	p.backend.expect(int64(n))
	p.shift.Add(int64(due.Sub(p.Now())))
	began := real.Now()
	var swept error
	p.running.Go(func() { swept = edge.Schedule(p.app)(context.WithoutCancel(ctx), json.RawMessage("{}")) })
	select {
	case <-p.backend.done:
	case <-ctx.Done():
		return storm{}, fmt.Errorf("the storm was not over: %d stops of %d: %w", p.backend.accepted.Load(), n, ctx.Err())
	}
	took := p.backend.last().Sub(began)
	if err := p.settle(ctx); err != nil {
		return storm{}, err
	}
	checked := p.check(ids)
	for range 1000 { // the last to be accepted are still to be written down
		if checked == nil || real.Sleep(ctx, 10*time.Millisecond) != nil {
			break
		}
		checked = p.check(ids)
	}
	p.close()
	return storm{took}, errors.Join(swept, checked)
}

// settle waits until the stream has been carried out.
func (p *plant) settle(ctx context.Context) error {
	for p.behind.Load() > 0 {
		if err := p.real.Sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// check: a storm counts only where each session says of itself that its run was
// asked, and the engine says the same.
func (p *plant) check(ids []string) error {
	sessions, err := p.store.Sessions(context.Background(), ids)
	if err != nil {
		return err
	}
	for _, s := range sessions {
		if s.Status != session.Ending || s.End.Cause != session.CauseInteractiveExpired || s.End.Asked.IsZero() || p.backend.runs[s.Run.Ref()].at.IsZero() {
			return fmt.Errorf("session %s is %s, cause %q, asked %v: the storm was not what it should be", s.ID, s.Status, s.End.Cause, s.End.Asked)
		}
	}
	if len(sessions) != len(ids) {
		return fmt.Errorf("%d sessions of %d", len(sessions), len(ids))
	}
	return nil
}

// backend is an engine that takes a stop request after some time and whose runs
// then take long to end.
type backend struct {
	plant    *plant
	latency  time.Duration
	accepted atomic.Int64
	expected int64
	done     chan struct{} // the last expected stop was accepted

	mu    sync.Mutex
	runs  map[workload.Ref]*stopped
	order []*stopped
}

type stopped struct {
	run   workload.Run
	stamp string
	user  string
	began time.Time
	at    time.Time // when its stop was accepted
}

func (b *backend) expect(n int64) { b.expected, b.done = n, make(chan struct{}) }

func (b *backend) last() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.MaxFunc(b.order, func(x, y *stopped) int { return x.at.Compare(y.at) }).at
}

// Start implements app.Engine.
func (b *backend) Start(_ context.Context, s app.Start) (workload.Run, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Run.ID = fmt.Sprintf("app/%07d", len(b.order))
	r := &stopped{run: s.Run, stamp: s.SessionID, user: s.User, began: b.plant.Now()}
	b.runs[s.Run.Ref()], b.order = r, append(b.order, r)
	return s.Run, nil
}

// List implements app.Engine.
func (b *backend) List(context.Context, string) (workload.Listing, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, l := b.plant.Now(), workload.Listing{Complete: true, Runs: make([]workload.Observation, 0, len(b.order))}
	for _, r := range b.order {
		l.Runs = append(l.Runs, r.see(now))
	}
	return l, nil
}

func (r *stopped) see(now time.Time) workload.Observation {
	o := workload.Observation{Run: r.run, State: workload.Running, At: now, RunningSince: r.began, Stamp: r.stamp, User: r.user}
	if !r.at.IsZero() {
		o.State = workload.Stopping
	}
	return o
}

// Describe implements app.Engine.
func (b *backend) Describe(_ context.Context, run workload.Run) (workload.Observation, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.runs[run.Ref()].see(b.plant.Now()), nil
}

// Stop implements app.Engine.
func (b *backend) Stop(ctx context.Context, run workload.Run) error {
	if b.latency > 0 {
		if err := b.plant.real.Sleep(ctx, b.latency); err != nil {
			return err
		}
	}
	b.mu.Lock()
	r := b.runs[run.Ref()]
	first := r.at.IsZero()
	if first {
		r.at = b.plant.real.Now()
	}
	b.mu.Unlock()
	if first && b.accepted.Add(1) == b.expected {
		close(b.done)
	}
	return nil
}

// machines runs drains as their state machine does. A watch has no part in a
// storm: the runs are known.
type machines struct {
	p   *plant
	ctx context.Context
}

// Watch implements app.Starter.
func (machines) Watch(context.Context, string, int64) error { return nil }

// Drain implements app.Starter.
func (m machines) Drain(_ context.Context, endpoint string, generation int64) error {
	round := edge.DrainEndpoint(m.p.app)
	m.p.running.Go(func() {
		for {
			out, err := round(m.ctx, edge.EndpointInput{Endpoint: endpoint, Generation: generation})
			wait := time.Duration(out.WaitSeconds) * time.Second
			if err != nil {
				wait = cadence.DrainEvery
			}
			if out.Done || m.p.real.Sleep(m.ctx, wait) != nil {
				return
			}
		}
	})
	return nil
}

// settings are an identity store that allows interactive sessions only.
type settings struct{}

func (settings) Facts(context.Context, string, workload.Run) (session.Facts, error) {
	return session.Facts{IdentityPropagation: session.On, ApplicationBackground: session.Off, ClusterBackground: session.On, ReleaseLabel: "emr-7.12.0"}, nil
}

func (settings) Status(context.Context, string) (app.UserStatus, error) { return app.UserEnabled, nil }

func (settings) Access(context.Context, string, string) (session.Tri, error) { return session.On, nil }

func (settings) Replay(context.Context, time.Time) ([][]byte, error) { return nil, nil }

// deaf are ports whose far end is not measured.
type deaf struct{}

func (deaf) Release(context.Context, string, app.Outcome) error { return nil }
func (deaf) Announce(context.Context, app.Announcement) error   { return nil }
func (deaf) Count(string, int)                                  {}
func (deaf) Lateness(string, time.Duration)                     {}

// vaultStorm has as many leases expire at once.
func vaultStorm(ctx context.Context, real chains, n int, latency time.Duration) (storm, error) {
	var revoked atomic.Int64
	done := make(chan struct{})
	v := newVaultStyle(real, vaultWorkers, func(string) error {
		if latency > 0 {
			if err := real.Sleep(ctx, latency); err != nil {
				return err
			}
		}
		if revoked.Add(1) == int64(n) {
			close(done)
		}
		return nil
	})
	expires := real.Now().Add(2 * time.Second)
	for i := range n {
		if err := v.register(fmt.Sprint("lease-", i), expires); err != nil {
			return storm{}, err
		}
	}
	if late := real.Now().Sub(expires); late > 0 {
		return storm{}, fmt.Errorf("the leases were registered %v after their end", late)
	}
	select {
	case <-done:
		return storm{real.Now().Sub(expires)}, nil
	case <-ctx.Done():
		return storm{}, ctx.Err()
	}
}
