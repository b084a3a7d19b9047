package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/memstore"
	"nightshift/internal/proof"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// The endpoints of these tests.
const (
	sagemaker = "sagemaker/123456789012/us-east-1"
	onEKS     = "emr-containers/123456789012/us-east-1"
	livy      = "livy/j-1YONHTCP3YZKC"
)

var (
	began    = time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)
	errDown  = errors.New("the service is down")
	yes      = session.Facts{IdentityPropagation: session.On, ApplicationBackground: session.On, ClusterBackground: session.On, ReleaseLabel: "emr-7.12.0"}
	classic  = session.Facts{IdentityPropagation: session.On, ApplicationBackground: session.Off, ClusterBackground: session.Off, ReleaseLabel: "emr-7.12.0"}
	plain    = session.Facts{IdentityPropagation: session.Off}
	training = workload.Run{Engine: workload.SageMakerTraining, Endpoint: sagemaker}
	jobRun   = workload.Run{Engine: workload.EMRContainers, Endpoint: onEKS}
	notebook = workload.Run{Engine: workload.Livy, Endpoint: livy, Kind: workload.LivySession, Application: workload.Spark}
)

// world is the app with hand-written neighbours on a manual clock. Nothing runs
// beside the test: go moves time and carries out, in order, what is due.
type world struct {
	t        *testing.T
	now      time.Time
	store    *memstore.Store
	app      *app.App
	engine   *engine
	identity *identity
	starter  *starter
	waiters  *waiters
	says     *announcer
	meter    *meter

	deeds      []deed
	executions []*execution
	deaf       bool // the stream never delivers
	unswept    bool // no sweep is run
	sweepAt    time.Time
	executed   int
	alive      func() // called before each invocation
}

// deed is something to be done at a time: a delivery of the stream or of a
// queue.
type deed struct {
	at time.Time
	do func()
}

// execution is one of the watch or drain machine, as its ASL goes round.
type execution struct {
	kind       string
	endpoint   string
	generation int64
	next       time.Time
	over       bool
	rounds     int
}

const streamLag = 200 * time.Millisecond

type setting func(*world, *[]memstore.Option)

// indexLag makes index reads stale.
func indexLag(d time.Duration) setting {
	return func(w *world, o *[]memstore.Option) {
		*o = append(*o, memstore.WithIndexLag(func() time.Time { return w.now }, func() time.Duration { return d }))
	}
}

// large gives pages of a size for thousands of sessions.
func large(_ *world, o *[]memstore.Option) { *o = append(*o, memstore.WithPageSize(1000)) }

func newWorld(t *testing.T, settings ...setting) *world {
	t.Helper()
	w := &world{t: t, now: began, sweepAt: began.Add(cadence.Sweep)}
	var options []memstore.Option
	for _, s := range settings {
		s(w, &options)
	}
	w.store = memstore.New(append([]memstore.Option{memstore.WithPageSize(7)}, options...)...)
	w.engine = &engine{w: w, runs: map[workload.Ref]*fakeRun{}, grace: 20 * time.Second}
	w.identity = &identity{facts: map[string]session.Facts{sagemaker: classic, onEKS: yes, livy: yes}, status: map[string]app.UserStatus{}, access: map[string]session.Tri{}}
	w.starter, w.waiters, w.says, w.meter = &starter{w: w, names: map[string]bool{}}, &waiters{}, &announcer{}, &meter{}
	w.app = &app.App{
		Store: w.store, Engines: map[string]app.Engine{"sagemaker": w.engine, "emr-containers": w.engine, "livy": w.engine},
		Identity: w.identity, Starter: w.starter, Waiters: w.waiters, Announcer: w.says, Meter: w.meter,
		Parallel: func(ctx context.Context, _ int, tasks []func(context.Context)) {
			for _, task := range tasks {
				task(ctx)
			}
		},
		Parse: parse, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: func() time.Time { return w.now },
	}
	p := session.DefaultPolicy()
	p.Version, p.ChangedAt, p.InstanceBackground = 1, began, session.On
	if err := w.store.PutPolicy(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	w.store.Subscribe(func(e app.Entry) {
		if !w.deaf {
			w.after(streamLag, func() { w.app.RunEffects(t.Context(), e) })
		}
	})
	t.Cleanup(w.checkHistories)
	return w
}

func (w *world) after(d time.Duration, do func()) { w.deeds = append(w.deeds, deed{w.now.Add(d), do}) }

func (w *world) at(t time.Time, do func()) { w.deeds = append(w.deeds, deed{t, do}) }

// pass lets time pass, with sweeps at each full minute.
func (w *world) pass(d time.Duration) {
	end := w.now.Add(d)
	for {
		next, do := w.next()
		if do == nil || next.After(end) {
			w.now = end
			return
		}
		if next.After(w.now) {
			w.now = next
		}
		if w.alive != nil {
			w.alive()
		}
		w.executed++
		if w.executed > 200_000 {
			w.t.Fatal("the world never comes to rest")
		}
		do()
	}
}

// next is the earliest thing to do: of several at once, what was put first.
func (w *world) next() (time.Time, func()) {
	var at time.Time
	var do func()
	first := -1
	for i, d := range w.deeds {
		if first < 0 || d.at.Before(w.deeds[first].at) {
			first = i
		}
	}
	if first >= 0 {
		d := w.deeds[first]
		at, do = d.at, func() {
			w.deeds = slices.Delete(w.deeds, first, first+1)
			d.do()
		}
	}
	consider := func(t time.Time, f func()) {
		if do == nil || t.Before(at) {
			at, do = t, f
		}
	}
	for _, e := range w.executions {
		if !e.over {
			consider(e.next, func() { w.round(e) })
		}
	}
	if !w.unswept {
		consider(w.sweepAt, func() {
			w.sweepAt = w.now.Truncate(cadence.Sweep).Add(cadence.Sweep)
			_ = w.app.Sweep(w.t.Context()) // what fails is done by the next one
		})
	}
	return at, do
}

// round is one round of a machine: what fails is tried again after a pause.
func (w *world) round(e *execution) {
	call, pause := w.app.Drain, cadence.DrainEvery
	if e.kind == "watch" {
		call, pause = w.app.Watch, cadence.Young
	}
	e.rounds++
	r, err := call(w.t.Context(), e.endpoint, e.generation)
	switch {
	case err != nil:
		e.next = w.now.Add(pause)
	case r.Done:
		e.over = true
	default:
		e.next = w.now.Add(max(r.Wait, time.Second))
	}
}

// start opens a session through the run machine's two steps and answers it.
func (w *world) start(user string, run workload.Run) session.Session {
	w.t.Helper()
	s := w.open(user, run)
	if err := w.app.StartRun(w.t.Context(), app.StartRequest{SessionID: s.ID, Token: "token-of-" + s.ID, Spec: []byte("{}")}); err != nil {
		w.t.Fatalf("start run: %v", err)
	}
	return w.get(s.ID)
}

func (w *world) open(user string, run workload.Run) session.Session {
	w.t.Helper()
	w.engine.opened++
	s, err := w.app.OpenSession(w.t.Context(), app.OpenRequest{Execution: fmt.Sprintf("arn:execution:%d", w.engine.opened), User: user, Run: run,
		Interactive: session.InteractiveSession{ID: "is-" + user, Source: "portal"}})
	if err != nil {
		w.t.Fatalf("open session: %v", err)
	}
	return s
}

func (w *world) get(id string) session.Session {
	w.t.Helper()
	s, err := w.store.Session(w.t.Context(), id)
	if err != nil {
		w.t.Fatalf("session %s: %v", id, err)
	}
	return s
}

func (w *world) history(id string) []app.Entry {
	w.t.Helper()
	_, entries, err := w.app.SessionStory(w.t.Context(), id)
	if err != nil {
		w.t.Fatalf("history of %s: %v", id, err)
	}
	return entries
}

// all is every session there is.
func (w *world) all() []session.Session {
	w.t.Helper()
	now := w.now
	defer func() { w.now = now }()
	w.now = w.now.Add(time.Hour) // every index has caught up
	var ids []string
	for cursor := ""; ; {
		page, err := w.store.List(w.t.Context(), cursor)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, s := range page.Sessions {
			ids = append(ids, s.ID)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	found, err := w.store.Sessions(w.t.Context(), ids)
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// say delivers a message as a queue does: again each 30 s until it is taken.
func (w *world) say(m app.Message) {
	if err := w.app.Handle(w.t.Context(), m); err != nil {
		w.after(30*time.Second, func() { w.say(m) })
	}
}

func (w *world) fact(kind session.Kind, user, id string) app.Fact {
	return app.Fact{Event: session.Event{ID: id, Kind: kind, At: w.now, User: user, By: user}}
}

// must checks what a session has become.
func (w *world) must(id string, status session.Status, cause session.Cause) session.Session {
	w.t.Helper()
	s := w.get(id)
	if s.Status != status || s.End.Cause != cause {
		w.t.Fatalf("%s: session %s is %s, cause %q; should be %s, cause %q", w.now.Format("15:04:05"), id, s.Status, s.End.Cause, status, cause)
	}
	return s
}

// checkHistories: every history is gapless, its chain verifies, and no session
// ended more than once.
func (w *world) checkHistories() {
	ctx := context.Background()
	page, err := w.store.List(ctx, "")
	if err != nil {
		w.t.Error(err)
	}
	for _, listed := range page.Sessions {
		s, entries, err := w.app.SessionStory(ctx, listed.ID)
		if err != nil {
			w.t.Error(err)
			continue
		}
		if fault := storyFault(s, entries); fault != "" {
			w.t.Errorf("session %s: %s", s.ID, fault)
		}
	}
}

// storyFault says what is wrong with a session's history; "" for nothing.
func storyFault(s session.Session, entries []app.Entry) string {
	if len(entries) == 0 {
		return "it has no history"
	}
	head, ended, status := proof.Genesis, 0, session.Status("")
	for i, e := range entries {
		hash, err := e.Seal()
		switch {
		case err != nil:
			return err.Error()
		case e.Version != int64(i+1):
			return fmt.Sprintf("entry %d has version %d", i+1, e.Version)
		case e.Previous != head || e.Hash != hash:
			return fmt.Sprintf("the chain breaks at version %d", e.Version)
		case e.From != status:
			return fmt.Sprintf("version %d comes from %q, the one before led to %q", e.Version, e.From, status)
		}
		if e.To == session.Ended && e.From != session.Ended {
			ended++
		}
		head, status = e.Hash, e.To
	}
	switch {
	case head != s.Head || int64(len(entries)) != s.Version || status != s.Status:
		return "the state is not what its newest entry says"
	case ended > 1, ended == 1 != (s.Status == session.Ended):
		return fmt.Sprintf("it ended %d times and is %s", ended, s.Status)
	}
	return ""
}

// fakeRun is a run of the scripted engine.
type fakeRun struct {
	o        workload.Observation
	stopAt   time.Time // it is over from then on; zero: it runs
	over     workload.State
	asked    []time.Time
	stubborn bool // it takes stop requests and goes on
}

// engine is a scripted engine for every endpoint.
type engine struct {
	w      *world
	runs   map[workload.Ref]*fakeRun
	order  []workload.Ref
	grace  time.Duration // from a stop request to the end
	opened int
	serial int

	partial, forgotten bool // listings lack their last page, or are known to be a restarted server's

	hide    map[workload.Ref]bool
	forget  map[workload.Ref]bool // the engine no longer knows it
	lose    int                   // so many answers of Start are lost
	onStop  func(workload.Run) error
	onStart func(app.Start) error
	onList  func(endpoint string) error

	starts []app.Start
	stops  []stopCall
}

type stopCall struct {
	at  time.Time
	run workload.Ref
}

func (e *engine) Start(_ context.Context, s app.Start) (workload.Run, error) {
	e.starts = append(e.starts, s)
	if e.onStart != nil {
		if err := e.onStart(s); err != nil {
			return workload.Run{}, err
		}
	}
	var run workload.Run
	for _, ref := range e.order {
		if r := e.runs[ref]; r.o.Stamp == s.SessionID {
			run = r.o.Run
		}
	}
	if run.ID == "" {
		e.serial++
		run = s.Run
		run.ID = fmt.Sprintf("run-%03d", e.serial)
		e.add(workload.Observation{Run: run, Stamp: s.SessionID, User: s.User})
	}
	if e.lose > 0 {
		e.lose--
		return workload.Run{}, fault.New("start", fault.Unknown, errDown)
	}
	return run, nil
}

// add puts a run into the engine.
func (e *engine) add(o workload.Observation) *fakeRun {
	o.State = workload.Running
	if o.CreatedAt.IsZero() {
		o.CreatedAt = e.w.now
	}
	r := &fakeRun{o: o, over: workload.Stopped}
	e.runs[o.Run.Ref()] = r
	e.order = append(e.order, o.Run.Ref())
	return r
}

func (e *engine) see(r *fakeRun) workload.Observation {
	o := r.o
	o.At = e.w.now
	switch {
	case !r.stopAt.IsZero() && !e.w.now.Before(r.stopAt):
		o.State, o.At = r.over, r.stopAt
	case len(r.asked) > 0 && !r.stubborn:
		o.State = workload.Stopping
	}
	return o
}

func (e *engine) List(_ context.Context, endpoint string) (workload.Listing, error) {
	if e.onList != nil {
		if err := e.onList(endpoint); err != nil {
			return workload.Listing{}, err
		}
	}
	l := workload.Listing{Complete: !e.partial, Forgotten: e.forgotten}
	for _, ref := range e.order {
		if ref.Endpoint == endpoint && !e.hide[ref] && !e.forget[ref] {
			l.Runs = append(l.Runs, e.see(e.runs[ref]))
		}
	}
	return l, nil
}

func (e *engine) Describe(_ context.Context, run workload.Run) (workload.Observation, error) {
	if e.onList != nil {
		if err := e.onList(run.Endpoint); err != nil {
			return workload.Observation{}, err
		}
	}
	r, ok := e.runs[run.Ref()]
	if !ok || e.forget[run.Ref()] {
		return workload.Observation{Run: run, State: workload.Gone, At: e.w.now}, nil
	}
	return e.see(r), nil
}

func (e *engine) Stop(_ context.Context, run workload.Run) error {
	e.stops = append(e.stops, stopCall{e.w.now, run.Ref()})
	if e.onStop != nil {
		if err := e.onStop(run); err != nil {
			return err
		}
	}
	if e.forget[run.Ref()] {
		return fault.New("stop", fault.NotFound, errDown)
	}
	r, ok := e.runs[run.Ref()]
	if !ok {
		return nil
	}
	r.asked = append(r.asked, e.w.now)
	if r.stopAt.IsZero() && !r.stubborn {
		r.stopAt = e.w.now.Add(e.grace)
	}
	return nil
}

// of is the run of a session.
func (e *engine) of(s session.Session) *fakeRun {
	e.w.t.Helper()
	r := e.runs[s.Run.Ref()]
	if r == nil {
		e.w.t.Fatalf("session %s has no run in the engine", s.ID)
	}
	return r
}

func (e *engine) stopsOf(ref workload.Ref) []time.Time {
	var at []time.Time
	for _, c := range e.stops {
		if c.run == ref {
			at = append(at, c.at)
		}
	}
	return at
}

// identity is a scripted Identity Center.
type identity struct {
	facts      map[string]session.Facts // by endpoint
	factsErr   error
	status     map[string]app.UserStatus
	access     map[string]session.Tri
	err        error
	history    []recorded
	onFacts    func()
	replayFrom []time.Time
	replays    int // events that one replay takes; 0: all

	asked    []string         // users asked for by a call each
	accesses []string         // users whose assignments were asked for, with the application
	statusOf map[string]error // what asking for one user answers
}

type recorded struct {
	at   time.Time
	body []byte
}

func (i *identity) Facts(_ context.Context, _ string, run workload.Run) (session.Facts, error) {
	if i.onFacts != nil {
		i.onFacts()
	}
	return i.facts[run.Endpoint], i.factsErr
}

func (i *identity) Status(_ context.Context, user string) (app.UserStatus, error) {
	i.asked = append(i.asked, user)
	if err := i.statusOf[user]; err != nil {
		return "", err
	}
	if s, ok := i.status[user]; ok {
		return s, i.err
	}
	return app.UserEnabled, i.err
}

func (i *identity) Access(_ context.Context, user, application string) (session.Tri, error) {
	i.accesses = append(i.accesses, user+" "+application)
	return i.access[user], i.err
}

func (i *identity) Replay(_ context.Context, after time.Time) ([][]byte, error) {
	i.replayFrom = append(i.replayFrom, after)
	var bodies [][]byte
	for _, r := range i.history { // oldest first
		if r.at.After(after) {
			if i.replays > 0 && len(bodies) == i.replays {
				return bodies, &app.Unread{From: r.at.Add(-1)}
			}
			bodies = append(bodies, r.body)
		}
	}
	return bodies, i.err
}

// starter begins executions that the world then runs; a name taken is success.
type starter struct {
	w     *world
	names map[string]bool
	fail  error
	drop  bool // it answers success and starts nothing
}

func (s *starter) begin(kind, endpoint string, generation int64) error {
	if s.fail != nil {
		return s.fail
	}
	name := fmt.Sprintf("%s-%s-%d", kind, endpoint, generation)
	if s.names[name] {
		return nil
	}
	s.names[name] = true
	if !s.drop {
		s.w.executions = append(s.w.executions, &execution{kind: kind, endpoint: endpoint, generation: generation, next: s.w.now})
	}
	return nil
}

func (s *starter) Watch(_ context.Context, endpoint string, generation int64) error {
	return s.begin("watch", endpoint, generation)
}

func (s *starter) Drain(_ context.Context, endpoint string, generation int64) error {
	return s.begin("drain", endpoint, generation)
}

// waiters notes whom it released.
type waiters struct {
	fail     error
	released []released
}

type released struct {
	token   string
	outcome app.Outcome
}

func (r *waiters) Release(_ context.Context, token string, outcome app.Outcome) error {
	if r.fail != nil {
		return r.fail
	}
	r.released = append(r.released, released{token, outcome})
	return nil
}

// announcer notes what was said; the far end keeps one of each id.
type announcer struct {
	fail func(app.Announcement) error
	said []app.Announcement
}

func (a *announcer) Announce(_ context.Context, n app.Announcement) error {
	if a.fail != nil {
		if err := a.fail(n); err != nil {
			return err
		}
	}
	a.said = append(a.said, n)
	return nil
}

// ids counts the announcements of a kind about a session, by id; reason "" is
// any.
func (a *announcer) ids(kind, sessionID, reason string) map[string]int {
	n := map[string]int{}
	for _, s := range a.said {
		if s.Kind == kind && (sessionID == "" || s.Session.ID == sessionID) && (reason == "" || s.Effect.Reason == reason) {
			n[s.ID]++
		}
	}
	return n
}

type meter struct {
	mu       sync.Mutex
	counts   map[string]int
	lateness map[string][]time.Duration
}

func (m *meter) Count(name string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.counts == nil {
		m.counts = map[string]int{}
	}
	m.counts[name] += n
}

func (m *meter) Lateness(name string, d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lateness == nil {
		m.lateness = map[string][]time.Duration{}
	}
	m.lateness[name] = append(m.lateness[name], d)
}

// wire is the bytes of a message in these tests.
type wire struct {
	Kind         session.Kind
	User         string
	ID           string
	At           time.Time
	Unrecognised string
}

func (m wire) bytes() []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings and a time: cannot happen
	}
	return b
}

func parse(body []byte, received time.Time) (app.Message, error) {
	var m wire
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fault.Newf("parse event", fault.Invalid, "the body is not JSON")
	}
	switch {
	case m.Unrecognised != "":
		if m.At.IsZero() {
			m.At = received
		}
		return app.Unrecognised{Kind: m.Unrecognised, Body: body, At: m.At}, nil
	case m.User == "":
		return nil, fault.Newf("parse event", fault.Invalid, "user: it is missing")
	}
	return app.Fact{Event: session.Event{ID: m.ID, Kind: m.Kind, At: m.At, Known: received, User: m.User, By: m.User}}, nil
}

type contextT = context.Context
