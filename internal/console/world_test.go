package console

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/inbound"
	"nightshift/internal/memstore"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

var began = time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)

// The endpoints of these tests.
const (
	sagemaker = "sagemaker/123456789012/us-east-1"
	onEKS     = "emr-containers/123456789012/us-east-1"
)

// world is the API over a store in memory, with a clock that stands still until
// it is moved.
type world struct {
	t     *testing.T
	now   time.Time
	app   *app.App
	store *shaky
	api   http.Handler
	// inputs are what executions of run were started with.
	inputs *inputs
	spec   *document
}

// shaky is a store that can be made to fail, as an outage does.
type shaky struct {
	*memstore.Store
	down bool
}

var errDown = errors.New("the table is down")

func (s *shaky) fails() error {
	if s.down {
		return errDown
	}
	return nil
}

func (s *shaky) Session(ctx context.Context, id string) (session.Session, error) {
	if s.down {
		return session.Session{}, errDown
	}
	return s.Store.Session(ctx, id)
}

func (s *shaky) Notebooks(ctx context.Context, cursor string) ([]app.Notebook, string, error) {
	if s.down {
		return nil, "", errDown
	}
	return s.Store.Notebooks(ctx, cursor)
}

func (s *shaky) User(ctx context.Context, user string) (session.UserFacts, error) {
	if s.down {
		return session.UserFacts{}, errDown
	}
	return s.Store.User(ctx, user)
}

func (s *shaky) PutUser(ctx context.Context, u session.UserFacts) error {
	return errors.Join(s.fails(), s.unless(func() error { return s.Store.PutUser(ctx, u) }))
}

func (s *shaky) unless(do func() error) error {
	if s.down {
		return nil
	}
	return do()
}

func (s *shaky) Policy(ctx context.Context) (session.Policy, error) {
	if s.down {
		return session.Policy{}, errDown
	}
	return s.Store.Policy(ctx)
}

func (s *shaky) Endpoints(ctx context.Context, cursor string) ([]app.Endpoint, string, error) {
	if s.down {
		return nil, "", errDown
	}
	return s.Store.Endpoints(ctx, cursor)
}

func (s *shaky) List(ctx context.Context, cursor string) (app.Page, error) {
	if s.down {
		return app.Page{}, errDown
	}
	return s.Store.List(ctx, cursor)
}

func (s *shaky) ParkedEvents(ctx context.Context, cursor string) ([]app.Parked, string, error) {
	if s.down {
		return nil, "", errDown
	}
	return s.Store.ParkedEvents(ctx, cursor)
}

func (s *shaky) Mark(ctx context.Context, name string) (time.Time, error) {
	if s.down {
		return time.Time{}, errDown
	}
	return s.Store.Mark(ctx, name)
}

// identity says that everything is on but SageMaker's application.
type identity struct{ app.Identity }

func (identity) Facts(_ context.Context, _ string, run workload.Run) (session.Facts, error) {
	f := session.Facts{IdentityPropagation: session.On, ApplicationBackground: session.On, ClusterBackground: session.On, ReleaseLabel: "emr-7.12.0"}
	if run.Engine.OnSageMaker() {
		f.ApplicationBackground = session.Off
	}
	return f, nil
}

type meter struct{}

func (meter) Count(string, int)              {}
func (meter) Lateness(string, time.Duration) {}

// far is who is told things, and does nothing.
type far struct{}

func (far) Watch(context.Context, string, int64) error         { return nil }
func (far) Drain(context.Context, string, int64) error         { return nil }
func (far) Release(context.Context, string, app.Outcome) error { return nil }
func (far) Announce(context.Context, app.Announcement) error   { return nil }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: began, store: &shaky{Store: memstore.New(memstore.WithPageSize(4))}, spec: specification(t)}
	w.app = &app.App{
		Store: w.store, Identity: identity{}, Meter: meter{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: func() time.Time { return w.now },
		Parallel: func(ctx context.Context, _ int, tasks []func(context.Context)) {
			for _, task := range tasks {
				task(ctx)
			}
		},
		Settings: map[string]cadence.Endpoint{sagemaker: {Stop: cadence.Rate{PerSecond: 0.5, Burst: 1}, Parallel: 1}},
	}
	w.inputs = &inputs{spec: `{"TrainingJobName":"churn","CheckpointConfig":{"S3Uri":"s3://bucket/checkpoints/"}}`}
	w.app.Runs, w.app.Again = w.inputs, inbound.Again
	w.app.Parse, w.app.Starter, w.app.Waiters, w.app.Announcer = inbound.Parse, far{}, far{}, far{}
	p := session.DefaultPolicy()
	p.Version, p.ChangedAt, p.InstanceBackground = 1, began, session.On
	if err := w.store.PutPolicy(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{sagemaker, onEKS} {
		if err := w.store.PutEndpoint(t.Context(), app.Endpoint{ID: id, Engine: strings.Split(id, "/")[0], Version: 1}); err != nil {
			t.Fatal(err)
		}
	}
	w.api = New(w.app, Site{Account: "123456789012", Region: "us-east-1"}).Handler()
	return w
}

// opens opens a session of a user whose run is running, and answers its id.
func (w *world) opens(user, endpoint string) string {
	w.t.Helper()
	run := workload.Run{Engine: workload.SageMakerTraining, Endpoint: endpoint}
	if endpoint == onEKS {
		run.Engine = workload.EMRContainers
	}
	w.now = w.now.Add(time.Second)
	s, err := w.app.OpenSession(w.t.Context(), app.OpenRequest{Execution: "execution-" + w.now.String(), User: user, Run: run})
	if err != nil {
		w.t.Fatal(err)
	}
	id := map[workload.Engine]string{workload.SageMakerTraining: "training-job/" + s.ID, workload.EMRContainers: "vc1/" + s.ID}[run.Engine]
	w.see(s.ID, session.Event{Kind: session.RunStarted, Run: workload.Ref{Endpoint: endpoint, ID: id}})
	w.see(s.ID, session.Event{Kind: session.RunObserved, State: workload.Running})
	return s.ID
}

// ended is the id of a user's session whose run was stopped.
func (w *world) ended(user string) string {
	w.t.Helper()
	id := w.opens(user, sagemaker)
	w.see(id, session.Event{Kind: session.StopRequested, By: user})
	w.see(id, session.Event{Kind: session.RunObserved, State: workload.Stopped})
	return id
}

// follow opens the session of the execution that starts a session's run again,
// as the machine does.
func (w *world) follow(id string) {
	w.t.Helper()
	arn := w.inputs.Execution("restart-" + id + "-1")
	r, _, err := inbound.ParseRun(arn, w.inputs.started[arn])
	if err == nil {
		_, err = w.app.OpenSession(w.t.Context(), r)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// inputs are executions of run, all of one training job.
type inputs struct {
	spec    string
	started map[string][]byte
}

func (i *inputs) Input(context.Context, string) ([]byte, error) {
	return []byte(`{"user":"u-ana","engine":"sagemaker-training","endpoint":"` + sagemaker + `","spec":` + i.spec + `}`), nil
}

func (i *inputs) Execution(name string) string {
	return "arn:aws:states:us-east-1:123456789012:execution:run:" + name
}

func (i *inputs) Run(_ context.Context, name string, input []byte) (string, error) {
	if i.started == nil {
		i.started = map[string][]byte{}
	}
	i.started[i.Execution(name)] = input
	return i.Execution(name), nil
}

// see applies an event.
func (w *world) see(id string, e session.Event) session.Session {
	w.t.Helper()
	e.At = w.now
	s, err := w.app.Apply(w.t.Context(), id, e)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// Who calls in these tests.
var (
	admin  = &Caller{Actor: app.Actor{Name: "u-root", Admin: true}}
	ana    = &Caller{Actor: app.Actor{Name: "u-ana", User: "u-ana"}}
	ben    = &Caller{Actor: app.Actor{Name: "u-ben", User: "u-ben"}}
	nobody = &Caller{Actor: app.Actor{Name: "a token without a user"}}
)

// answer is what a request was answered.
type answer struct {
	status int
	header http.Header
	body   map[string]any
	raw    string
}

// ask makes a request as somebody, nil: as nobody at all, and holds the answer
// against the document.
func (w *world) ask(who *Caller, method, path, body string, headers ...string) answer {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	if who != nil {
		r = r.WithContext(WithCaller(r.Context(), *who))
	}
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	a := answer{status: rec.Code, header: rec.Header(), raw: rec.Body.String()}
	if a.raw != "" {
		if err := json.Unmarshal([]byte(a.raw), &a.body); err != nil {
			w.t.Fatalf("%s %s: %v in %s", method, path, err, a.raw)
		}
	}
	w.spec.check(w.t, r, body, a)
	return a
}

// wants is ask, of which a status is expected.
func (w *world) wants(status int, who *Caller, method, path, body string, headers ...string) answer {
	w.t.Helper()
	a := w.ask(who, method, path, body, headers...)
	if a.status != status {
		w.t.Fatalf("%s %s: %d, want %d: %s", method, path, a.status, status, a.raw)
	}
	return a
}

// at walks into an answer; a number is an index.
func (a answer) at(path ...any) any {
	var v any = a.body
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}
