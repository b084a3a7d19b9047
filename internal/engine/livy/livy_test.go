package livy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/asl/clock"
	"nightshift/internal/engine/enginetest"
	"nightshift/internal/engine/livy/livysim"
	"nightshift/internal/engine/simrun"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

const endpoint = "livy/j-1YONHTCP3YZKC"

var template = workload.Run{Engine: workload.Livy, Endpoint: endpoint, Kind: workload.LivySession}

func spec(n int) []byte {
	return fmt.Appendf(nil, `{"kind":"pyspark","proxyUser":"alice","numExecutors":%d,"conf":{"spark.app.name":"app-%d"}}`, n%3+1, n)
}

// fixed is the time of tests in which no time passes.
func fixed() time.Time { return enginetest.Open }

type bench struct {
	*testing.T
	clock  *clock.Clock
	sim    *livysim.Sim
	engine *Engine
	url    string
}

func open(t *testing.T, c *clock.Clock, config livysim.Config, options ...Option) *bench {
	t.Helper()
	sim := livysim.New(c, config)
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	return &bench{T: t, clock: c, sim: sim, engine: New(server.URL+"/", server.Client(), endpoint, c.Now, options...), url: server.URL}
}

func bare(t *testing.T, config livysim.Config) *bench {
	return open(t, enginetest.Clock(t), config)
}

// call talks to the server as anybody may.
func (b *bench) call(method, path, body string) (int, string) {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("X-Requested-By", "test")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		b.Fatal(err)
	}
	if res.Header.Get(simrun.Header) != "true" {
		b.Error("an answer does not say that it is simulated")
	}
	return res.StatusCode, string(raw)
}

func (b *bench) create(body string) {
	b.Helper()
	if status, said := b.call("POST", "/sessions", body); status != 201 {
		b.Fatalf("creating %s answers %d %s", body, status, said)
	}
}

// watch shows each of the engine's requests to see before it is sent; a status
// other than 0 is answered instead of the server.
func (b *bench) watch(see func(r *http.Request, body []byte) int) {
	client := *b.engine.client
	next := cmp.Or(client.Transport, http.DefaultTransport)
	client.Transport = through(func(r *http.Request) (*http.Response, error) {
		var body []byte
		if r.GetBody != nil {
			copied, err := r.GetBody()
			if err == nil {
				body, err = io.ReadAll(copied)
			}
			if err != nil {
				return nil, err
			}
		}
		if status := see(r, body); status != 0 {
			return &http.Response{StatusCode: status, Body: http.NoBody, Request: r}, nil
		}
		return next.RoundTrip(r)
	})
	b.engine.client = &client
}

type through func(*http.Request) (*http.Response, error)

func (f through) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (b *bench) wait(d time.Duration) {
	b.Helper()
	if err := b.clock.Sleep(b.Context(), d); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) list() workload.Listing {
	b.Helper()
	l, err := b.engine.List(b.Context(), endpoint)
	if err != nil {
		b.Fatal(err)
	}
	return l
}

func (b *bench) start(s app.Start) workload.Run {
	b.Helper()
	if s.SessionID == "" {
		s.SessionID = "s-1"
	}
	if s.Spec == nil {
		s.Spec = spec(1)
	}
	s.Run = template
	run, err := b.engine.Start(b.Context(), s)
	if err != nil {
		b.Fatal(err)
	}
	return run
}

func TestEngine(t *testing.T) {
	for version, many := range map[string]int{"0.7.1-incubating": 20, "0.8.0-incubating": 0, "0.9.0-incubating": 20} {
		t.Run(version, func(t *testing.T) {
			enginetest.Run(t, func(t *testing.T, c *clock.Clock) enginetest.Harness {
				b := open(t, c, livysim.Config{Version: version, SkipBusy: true})
				return enginetest.Harness{
					Engine: b.engine, Sim: b.sim, Template: template, Spec: spec,
					Bad: []byte(`{"kind":"pyspark","numExecutors":"two"}`), BadField: "numExecutors",
					StartOp: livysim.OpCreate, StartDelay: livysim.Habit.StartDelay, Grace: livysim.Habit.Grace,
					Ends: workload.Gone, Idles: true, Limits: version != "0.7.1-incubating", Many: many,
				}
			})
		})
	}
}

func TestIdentity(t *testing.T) {
	for _, c := range []struct {
		session session
		kind    kind
		want    string
	}{
		{session{ID: 3, Name: "ns-s-1", AppID: "application_1_0001", State: "idle"}, sessions, "name/ns-s-1"},
		{session{ID: 3, Name: "ns-s-1", State: "starting"}, sessions, "name/ns-s-1"},
		{session{ID: 3, Name: "bg", AppID: "application_1_0001", State: "idle"}, sessions, "app/application_1_0001"},
		{session{ID: 3, AppID: "application_1_0001", State: "idle"}, sessions, "app/application_1_0001"},
		{session{ID: 3, Name: "bg", State: "idle"}, sessions, "name/bg#3@"},
		{session{ID: 3, Name: "bg", ProxyUser: "ana", Owner: "x", State: "idle"}, sessions, "name/bg#3@ana"},
		{session{ID: 3, Name: "bg", Owner: "ben", State: "idle"}, sessions, "name/bg#3@ben"},
		{session{ID: 3, Name: "bg", State: "starting"}, sessions, ""},
		{session{ID: 3, State: "idle"}, sessions, ""},
		{session{ID: 3, Name: "ns-s-1", AppID: "application_1_0002", State: "running"}, batches, "batch/application_1_0002"},
		{session{ID: 3, Name: "bg", State: "running"}, batches, ""},
	} {
		if got := c.session.identify(c.kind); got != c.want {
			t.Errorf("%+v of %s is %q, want %q", c.session, c.kind, got, c.want)
		}
		if c.want != "" && (!c.session.is(c.want, c.kind) || kindOf(c.want) != c.kind) {
			t.Errorf("%+v is not known again as %q", c.session, c.want)
		}
	}
	later := session{ID: 3, Name: "bg", AppID: "application_1_0001", State: "idle"}
	if !later.is("name/bg#3@", sessions) {
		t.Error("a session that got an application's id is not known again by its name and number")
	}
}

func TestUsers(t *testing.T) {
	e := New("http://livy", nil, endpoint, fixed)
	for _, c := range []struct{ proxy, owner, want string }{
		{"alice", "livy", "alice"}, {"alice", "bob", "alice"}, {"", "bob", "bob"}, {"", "livy", ""}, {"", "", ""},
	} {
		if got := e.observe(session{ProxyUser: c.proxy, Owner: c.owner, State: "idle"}, "app/x", sessions, time.Time{}).User; got != c.want {
			t.Errorf("proxyUser %q and owner %q are the user %q, want %q", c.proxy, c.owner, got, c.want)
		}
	}
}

func TestStates(t *testing.T) {
	for word, want := range map[string]workload.State{
		"not_started": workload.Pending, "starting": workload.Pending, "recovering": workload.Pending,
		"busy": workload.Running, "running": workload.Running, "idle": workload.Idle, "shutting_down": workload.Stopping,
		"success": workload.Succeeded, "killed": workload.Stopped, "dead": workload.Failed, "error": workload.Failed,
		"something_new": workload.Running,
	} {
		if got := state(word); got != want {
			t.Errorf("%s is %s, want %s", word, got, want)
		}
	}
}

// Where the server does not say whether there is a heartbeat, statements are read.
func TestHeartbeatsThatAreNotTold(t *testing.T) {
	b := bare(t, livysim.Config{Version: "0.7.1-incubating"})
	b.create(`{"heartbeatTimeoutInSecond":300}`)
	b.wait(time.Minute)
	if l := b.list(); len(l.Runs) != 1 || l.Runs[0].Activity != (workload.Activity{Known: true}) {
		t.Errorf("the list is %+v, want the session's activity known", l)
	}
}

func TestAListDoesNotKeepASessionAlive(t *testing.T) {
	b := bare(t, livysim.Config{})
	b.create(`{"heartbeatTimeoutInSecond":300}`)
	b.wait(time.Minute)
	for range 3 {
		if l := b.list(); len(l.Runs) != 1 || l.Runs[0].State != workload.Idle || l.Runs[0].Activity.Known {
			t.Fatalf("the list is %+v, want one idle session of unknown activity", l)
		}
		b.wait(time.Minute)
	}
	if n := b.sim.Calls(livysim.OpStatements) + b.sim.Calls(livysim.OpGet) + b.sim.Calls(livysim.OpState); n != 0 {
		t.Errorf("listing asked about the session itself %d times", n)
	}
	b.wait(5 * time.Minute)
	if l := b.list(); len(l.Runs) != 0 || !l.Complete {
		t.Errorf("the list is %+v, want the session ended", l)
	}
	if r := b.sim.Runs()[0]; r.By != simrun.Heartbeat {
		t.Errorf("it was ended by %q, want its heartbeat", r.By)
	}
}

// TestS2_2Activity: idle since the last statement was completed, or never busy;
// statements are asked for only where the list says idle.
func TestS2_2Activity(t *testing.T) {
	b := bare(t, livysim.Config{SkipBusy: true})
	b.create(`{}`)
	is := func(when string, state workload.State, want workload.Activity) {
		t.Helper()
		o := b.list().Runs[0]
		d, err := b.engine.Describe(t.Context(), o.Run)
		if o.State != state || o.Activity != want || err != nil || d.Activity != want {
			t.Errorf("%s: listed %s %+v, described %+v, %v; want %s %+v", when, o.State, o.Activity, d.Activity, err, state, want)
		}
	}
	b.wait(time.Minute)
	is("without a statement", workload.Idle, workload.Activity{Known: true})
	b.call("POST", "/sessions/0/statements", `{"code":"sleep 9h"}`)
	b.wait(4 * time.Hour)
	before := b.sim.Calls(livysim.OpStatements)
	is("four hours into a statement of nine", workload.Running, workload.Activity{Known: true, Busy: true})
	if n := b.sim.Calls(livysim.OpStatements) - before; n != 0 {
		t.Errorf("a busy session was asked for its statements %d times", n)
	}
	b.wait(6 * time.Hour)
	done := enginetest.Open.Add(9*time.Hour + time.Minute)
	is("an hour after it", workload.Idle, workload.Activity{Known: true, Since: done})
	for range 30 {
		b.call("POST", "/sessions/0/statements", `{"code":"1+1"}`)
		b.wait(10 * time.Second)
	}
	is("after thirty short ones", workload.Idle, workload.Activity{Known: true, Since: b.clock.Now().Add(-9 * time.Second)})
}

// TestS4_6Progress: of a busy session that was started through us, and of no
// other, the running statement says how far it is and since when.
func TestS4_6Progress(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       bool
	}{
		{"ours", `{"name":"` + ours + `s-1"}`, true},
		{"another's, whose own timeout reading would move", `{"name":"nightly"}`, false},
		{"ours with a heartbeat, which reading would be", `{"name":"` + ours + `s-1","heartbeatTimeoutInSecond":36000}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := bare(t, livysim.Config{SkipBusy: true})
			b.create(c.body)
			b.wait(time.Minute)
			b.call("POST", "/sessions/0/statements", `{"code":"1+1"}`)
			b.wait(time.Minute)
			began := b.clock.Now().UTC()
			b.call("POST", "/sessions/0/statements", `{"code":"sleep 8h"}`)
			b.wait(2 * time.Hour)
			var want workload.Progress
			if c.want {
				want = workload.Progress{Of: "statement 1", Fraction: 0.25, Since: began, At: b.clock.Now()}
			}
			o := b.list().Runs[0]
			if d, err := b.engine.Describe(t.Context(), o.Run); o.Progress != want || d.Progress != want || o.State != workload.Running || err != nil {
				t.Errorf("listed %+v (%s), described %+v, %v; want %+v", o.Progress, o.State, d.Progress, err, want)
			}
		})
	}
}

// TestS2_2ABusySessionIsNeverIdle: a statement that is not finished makes its
// session busy, whatever the list says.
func TestS2_2ABusySessionIsNeverIdle(t *testing.T) {
	done := time.UnixMilli(5000).UTC()
	for _, c := range []struct {
		name, statements string
		want             workload.Activity
	}{
		{"no statement", ``, workload.Activity{Known: true}},
		{"completed", `{"state":"available","output":{"status":"ok"},"completed":5000}`, workload.Activity{Known: true, Since: done}},
		{"failed", `{"state":"available","output":{"status":"error"},"completed":5000}`, workload.Activity{Known: true, Since: done}},
		{"available, not completed yet", `{"state":"available","output":{"status":"ok"},"completed":0}`, workload.Activity{Known: true, Busy: true}},
		{"available, without anything", `{"state":"available","output":null,"completed":0}`, workload.Activity{Known: true, Busy: true}},
		{"a server that tells no times", `{"state":"available","output":{"status":"ok"}}`, workload.Activity{Known: true}},
		{"no times and no output", `{"state":"available","output":null}`, workload.Activity{Known: true, Busy: true}},
		{"waiting", `{"state":"waiting","completed":0}`, workload.Activity{Known: true, Busy: true}},
		{"running after one that is completed", `{"state":"available","output":{},"completed":5000},{"id":1,"state":"running","completed":0}`, workload.Activity{Known: true, Busy: true, Since: done}},
		{"cancelling", `{"state":"cancelling","completed":0}`, workload.Activity{Known: true, Busy: true}},
		{"cancelled before it ran", `{"state":"cancelled","output":null,"completed":0}`, workload.Activity{Known: true}},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/statements") {
				fmt.Fprintf(w, `{"total_statements":%d,"statements":[%s]}`, strings.Count(c.statements, "state"), c.statements)
				return
			}
			fmt.Fprint(w, `{"total":1,"sessions":[{"id":0,"name":"ns-s-1","state":"idle"}]}`)
		}))
		e := New(server.URL, server.Client(), endpoint, fixed)
		l, err := e.List(t.Context(), endpoint)
		d, wrong := e.Describe(t.Context(), workload.Run{ID: "name/ns-s-1"})
		server.Close()
		want := workload.Idle
		if c.want.Busy {
			want = workload.Running
		}
		if err != nil || wrong != nil || len(l.Runs) == 0 || l.Runs[0].State != want || l.Runs[0].Activity != c.want || d.State != want || d.Activity != c.want {
			t.Errorf("%s: listed %+v, %v, described %+v, %v; want %s %+v", c.name, l.Runs, err, d, wrong, want, c.want)
		}
	}
}

func TestServersWithoutDescendingOrder(t *testing.T) {
	e := New("", nil, endpoint, nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from := 0
		fmt.Sscan(r.URL.Query().Get("from"), &from)
		var all []string
		for id := from; id < min(from+statementsSize, 50); id++ {
			all = append(all, fmt.Sprintf(`{"id":%d,"state":"available","completed":%d}`, id, 1000*(id+1)))
		}
		fmt.Fprintf(w, `{"total_statements":50,"statements":[%s]}`, strings.Join(all, ","))
	}))
	defer server.Close()
	e.base, e.client = server.URL, server.Client()
	last, known, err := e.statements(t.Context(), session{})
	if a := last.activity(); err != nil || !known || !a.Since.Equal(time.UnixMilli(50_000)) {
		t.Errorf("the activity is %+v, %v; want the last of 50 statements", a, err)
	}
}

func TestPages(t *testing.T) {
	b := bare(t, livysim.Config{})
	for n := range 7 {
		b.create(fmt.Sprintf(`{"name":"n%d"}`, n))
	}
	b.wait(time.Minute)
	WithPageSize(3)(b.engine)
	WithPageSize(0)(b.engine)
	before := b.sim.Calls(livysim.OpList)
	if l := b.list(); len(l.Runs) != 7 || !l.Complete {
		t.Errorf("the list is %+v, want seven", l)
	}
	if n := b.sim.Calls(livysim.OpList) - before; n != 3 {
		t.Errorf("it took %d requests, want 3", n)
	}
}

func TestAListThatChangesWhileItIsReadIsNotComplete(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 {
			fmt.Fprint(w, `{"from":0,"total":3,"sessions":[{"id":0,"appId":"a0","state":"busy"},{"id":1,"appId":"a1","state":"busy"}]}`)
			return
		}
		fmt.Fprint(w, `{"from":2,"total":2,"sessions":[]}`)
	}))
	defer server.Close()
	e := New(server.URL, server.Client(), endpoint, fixed)
	l, err := e.List(t.Context(), endpoint)
	if err != nil || l.Complete || len(l.Runs) == 0 {
		t.Errorf("the list is %+v, %v; want an incomplete one", l, err)
	}
	asked = 0
	if o, err := e.Describe(t.Context(), workload.Run{ID: "app/a9"}); err == nil {
		t.Errorf("describe answers %+v from an incomplete list", o)
	}
}

func TestSessionsWithoutALastingName(t *testing.T) {
	b := bare(t, livysim.Config{Local: true})
	b.create(`{}`)
	b.create(`{"name":"bg"}`)
	if l := b.list(); l.Unidentified != 2 || len(l.Runs) != 0 {
		t.Errorf("while they start the list is %+v, want two unidentified", l)
	}
	b.wait(time.Minute)
	if l := b.list(); l.Unidentified != 1 || len(l.Runs) != 1 || l.Runs[0].Run.ID != "name/bg#1@" {
		t.Errorf("the list is %+v, want one unidentified and name/bg#1@", l)
	}
}

// Livy's protection against forged requests wants a header where something
// changes.
func TestRequestsThatChangeSomethingSayWhoAsks(t *testing.T) {
	b := bare(t, livysim.Config{})
	changing := 0
	b.watch(func(r *http.Request, _ []byte) int {
		if r.Method == http.MethodGet {
			return 0
		}
		if changing++; r.Header.Get("X-Requested-By") != "nightshift" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s has the headers %v", r.Method, r.URL, r.Header)
		}
		return 0
	})
	if err := b.engine.Stop(t.Context(), b.start(app.Start{})); err != nil || changing != 2 {
		t.Errorf("a stop answers %v after %d requests that change something, want two", err, changing)
	}
}

func TestBatchesAreListed(t *testing.T) {
	serve := func(batches string) workload.Listing {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasPrefix(r.URL.Path, "/sessions"):
				fmt.Fprint(w, `{"total":0,"sessions":[]}`)
			case batches == "":
				w.WriteHeader(404)
			default:
				fmt.Fprint(w, batches)
			}
		}))
		defer server.Close()
		l, err := New(server.URL, server.Client(), endpoint, fixed).List(t.Context(), endpoint)
		if err != nil || !l.Complete {
			t.Errorf("the list is %+v, %v", l, err)
		}
		return l
	}
	if l := serve(""); len(l.Runs) != 0 {
		t.Errorf("a server without batches lists %+v", l)
	}
	l := serve(`{"from":0,"total":2,"sessions":[{"id":0,"name":"ns-x","appId":"application_1_0001","state":"running","proxyUser":"alice"},{"id":1,"appId":null,"state":"starting"}]}`)
	if len(l.Runs) != 1 || l.Runs[0].Run.ID != "batch/application_1_0001" || l.Runs[0].Run.Kind != workload.LivyBatch ||
		l.Runs[0].Stamp != "" || l.Runs[0].State != workload.Running || l.Unidentified != 1 {
		t.Errorf("the list is %+v", l)
	}
}

func TestSpecsRefusedBeforeTheyAreSent(t *testing.T) {
	b := bare(t, livysim.Config{})
	for spec, names := range map[string]string{
		`{"name":"mine"}`:                   "name",
		`{"heartbeatTimeoutInSeconds":60}`:  "heartbeatTimeoutInSeconds", // the documentation's misspelling
		`{"conf":{"spark.cores":4}}`:        "conf",
		`{"kind":"pyspark"} {"kind":"sql"}`: "after the session",
	} {
		_, err := b.engine.Start(t.Context(), app.Start{SessionID: "s", Run: template, Spec: []byte(spec)})
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), names) {
			t.Errorf("%s answers %v, want an invalid fault naming %s", spec, err, names)
		}
	}
	if n := b.sim.Calls(livysim.OpCreate); n != 0 {
		t.Errorf("%d of them were sent", n)
	}
	_, err := b.engine.Start(t.Context(), app.Start{SessionID: "s", Run: template, Spec: []byte(`{"kind":"cobol"}`)})
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "400: Invalid kind: cobol") {
		t.Errorf("what the server refuses answers %v, want an invalid fault with its words", err)
	}
	batch := template
	batch.Kind = workload.LivyBatch
	if _, err := b.engine.Start(t.Context(), app.Start{SessionID: "s", Run: batch, Spec: []byte(`{}`)}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a batch answers %v, want an invalid fault", err)
	}
}

// TestS4_5LimitsInTheVersionsWords: a limit is set where the server has a word
// for it, and is no reason to refuse a start where it has none.
func TestS4_5LimitsInTheVersionsWords(t *testing.T) {
	for _, c := range []struct {
		version string
		want    map[string]any // what the request had of the two
	}{
		{"0.7.1-incubating", map[string]any{}},
		{"0.8.0-incubating", map[string]any{"ttl": "5400s"}},
		{"0.9.0-incubating", map[string]any{"idleTimeout": "5400s", "ttl": "36000s"}},
		{"not a version", map[string]any{}},
		{"", map[string]any{}},
	} {
		b := bare(t, livysim.Config{Version: cmp.Or(c.version, "0.7.1")})
		asked, sent := 0, map[string]any{}
		b.watch(func(r *http.Request, body []byte) int {
			switch {
			case r.URL.Path == "/version":
				if asked++; c.version == "" {
					return http.StatusForbidden // somebody before the server hides it
				}
			case r.Method == http.MethodPost:
				if err := json.Unmarshal(body, &sent); err != nil {
					t.Error(err)
				}
			}
			return 0
		})
		b.start(app.Start{Idle: 90 * time.Minute, MaxRuntime: 10 * time.Hour})
		for _, field := range []string{"ttl", "idleTimeout"} {
			if sent[field] != c.want[field] {
				t.Errorf("on %q the request has the %s %v, want %v", c.version, field, sent[field], c.want[field])
			}
		}
		b.start(app.Start{SessionID: "s-2", Idle: 90 * time.Minute})
		if len(sent) == 0 || asked != 1 {
			t.Errorf("on %q the version was asked %d times, want once; the last request was %v", c.version, asked, sent)
		}
	}
	for version, want := range map[string]words{
		"0.7.1": wordless, "0.7.1-incubating-amzn-0": wordless, "0.8.0-incubating": idleAsTTL, "0.9.0-incubating": both, "0.10.0-SNAPSHOT": both, "1.0": both, "": unread, "x": unread, "0.x": unread,
	} {
		if got := wordsOf(version); got != want {
			t.Errorf("%q has the words %v, want %v", version, got, want)
		}
	}
}

// What a server before 0.8.0 cannot keep is said, where Nightshift does not keep
// it either.
func TestS4_5LimitsOfTheSpecBefore0_8(t *testing.T) {
	for spec, ok := range map[string]bool{`{"ttl":"9h"}`: true, `{"idleTimeout":"90m"}`: true, `{"ttl":"30m"}`: false, `{"idleTimeout":"9h","ttl":"60s"}`: false, `{"ttl":"soon"}`: false} {
		b := bare(t, livysim.Config{Version: "0.7.1-incubating"})
		_, err := b.engine.Start(t.Context(), app.Start{SessionID: "s", Run: template, Idle: 90 * time.Minute, Spec: []byte(spec)})
		if ok != (err == nil) || err != nil && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "ttl") || b.sim.Calls(livysim.OpCreate) != 0) {
			t.Errorf("the spec %s is answered %v, want it started: %v", spec, err, ok)
		}
	}
	b := bare(t, livysim.Config{Version: "0.7.1-incubating"})
	if _, err := b.engine.Start(t.Context(), app.Start{SessionID: "s", Run: template, Spec: []byte(`{"ttl":"9h"}`)}); !fault.Is(err, fault.Invalid) {
		t.Errorf("without a limit of ours the spec's is answered %v, want an invalid fault", err)
	}
}

func TestTooManyStartingSessionsIsThrottling(t *testing.T) {
	b := bare(t, livysim.Config{})
	for range 100 {
		b.create(`{}`)
	}
	_, err := b.engine.Start(t.Context(), app.Start{SessionID: "s", Run: template, Spec: spec(1)})
	if !fault.Is(err, fault.Throttled) {
		t.Errorf("it answers %v, want throttling", err)
	}
	b.wait(time.Minute)
	b.start(app.Start{})
}

// A server that restarts between the list and the request has given the number
// to somebody else.
func TestOursAreDeletedByTheirName(t *testing.T) {
	for _, c := range []struct{ session, run, want string }{
		{`{"id":7,"name":"ns-s-1","appId":"a7","state":"busy"}`, "name/ns-s-1", "/sessions/ns-s-1"},
		{`{"id":7,"name":"bg","appId":"a7","state":"busy"}`, "app/a7", "/sessions/7"},
	} {
		var deleted []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodDelete {
				deleted = append(deleted, r.URL.Path)
				return
			}
			fmt.Fprintf(w, `{"total":1,"sessions":[%s]}`, c.session)
		}))
		err := New(server.URL, server.Client(), endpoint, fixed).Stop(t.Context(), workload.Run{ID: c.run})
		server.Close()
		if err != nil || len(deleted) != 1 || deleted[0] != c.want {
			t.Errorf("stopping %s deletes %v, %v; want %s", c.run, deleted, err, c.want)
		}
	}
}

// Somebody else may be faster between our look and our request.
func TestWhatHappensBetweenALookAndARequest(t *testing.T) {
	posted := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodDelete:
			w.WriteHeader(404)
		case r.Method == http.MethodPost:
			posted = true
			w.WriteHeader(400)
			fmt.Fprint(w, `{"msg":"Rejected, Reason: requirement failed: Duplicate session name: Some(ns-s-1) for session 8"}`)
		case posted:
			fmt.Fprint(w, `{"total":1,"sessions":[{"id":7,"name":"ns-s-1","state":"starting"}]}`)
		default:
			fmt.Fprint(w, `{"total":0,"sessions":[]}`)
		}
	}))
	defer server.Close()
	e := New(server.URL, server.Client(), endpoint, fixed)
	run, err := e.Start(t.Context(), app.Start{SessionID: "s-1", Run: template, Spec: []byte(`{}`)})
	if err != nil || run.ID != "name/ns-s-1" {
		t.Errorf("a start that another one overtook answers %+v, %v; want its session", run, err)
	}
	if err := e.Stop(t.Context(), run); err != nil {
		t.Errorf("a stop of a session that has just gone answers %v, want nil", err)
	}
}

func TestOurImpatienceWithADeleteIsAcceptance(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			select {
			case <-release:
			case <-r.Context().Done():
			}
			return
		}
		fmt.Fprint(w, `{"total":1,"sessions":[{"id":0,"appId":"a0","state":"busy"}]}`)
	}))
	defer server.Close()
	defer close(release)
	run := workload.Run{ID: "app/a0"}
	e := New(server.URL, server.Client(), endpoint, fixed, WithStopWait(20*time.Millisecond))
	if err := e.Stop(t.Context(), run); err != nil {
		t.Errorf("it answers %v, want nil", err)
	}
	e = New(server.URL, server.Client(), endpoint, fixed)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := e.Stop(short, run); !fault.Interrupted(err) {
		t.Errorf("a caller that gives up is told %v, want its own interruption", err)
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   fault.Kind
	}{
		{400, `{"msg":"Rejected, too many sessions are being created!"}`, fault.Throttled},
		{400, `{"msg":"Rejected, Reason: x"}`, fault.Invalid},
		{400, `"Invalid \"kind\""`, fault.Invalid},
		{500, `"java.lang.IllegalStateException: x"`, fault.Unknown},
		{400, `<html>`, fault.Invalid},
		{404, `{"msg":"Session '7' not found."}`, fault.NotFound},
		{401, ``, fault.Denied},
		{403, `null`, fault.Denied},
		{429, ``, fault.Throttled},
		{500, `{"msg":"internal error"}`, fault.Unknown},
		{503, strings.Repeat("x", 5000), fault.Unknown},
	} {
		err := classify("op", c.status, []byte(c.body))
		if fault.KindOf(err) != c.want || len(err.Error()) > messageMax+50 {
			t.Errorf("%d %s is %s, want %s", c.status, c.body, fault.KindOf(err), c.want)
		}
	}
}

// S2.1: a session in error is over in Livy's words, and its driver may live: it is
// told as what remains, and a stop request deletes it. What is dead is left alone.
func TestS2_1ASessionInErrorIsDeleted(t *testing.T) {
	b := bare(t, livysim.Config{})
	run := b.start(app.Start{})
	b.wait(time.Minute)
	b.sim.Break(0)
	l := b.list()
	if len(l.Runs) != 1 || l.Runs[0].State != workload.Failed || !l.Runs[0].Remains {
		t.Fatalf("the list is %+v", l)
	}
	if b.sim.Runs()[0].Phase != simrun.Running {
		t.Fatalf("its driver is %v", b.sim.Runs()[0].Phase)
	}
	if err := b.engine.Stop(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	b.wait(time.Minute)
	if r := b.sim.Runs()[0]; r.Phase != simrun.Stopped || len(r.Stops) != 1 {
		t.Errorf("its driver is %v after %d requests", r.Phase, len(r.Stops))
	}
	for word, want := range map[string]bool{"error": true, "dead": false, "killed": false, "success": false, "idle": false} {
		if o := b.engine.observe(session{State: word}, "app/x", sessions, time.Time{}); o.Remains != want {
			t.Errorf("%s remains: %t", word, o.Remains)
		}
	}
	if o := b.engine.observe(session{State: "error"}, "batch/x", batches, time.Time{}); o.Remains {
		t.Error("a batch remains")
	}
}
