package livy

import (
	"context"
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
	for version, many := range map[string]int{"0.8.0-incubating": 0, "0.9.0-incubating": 20} {
		t.Run(version, func(t *testing.T) {
			enginetest.Run(t, func(t *testing.T, c *clock.Clock) enginetest.Harness {
				b := open(t, c, livysim.Config{Version: version})
				return enginetest.Harness{
					Engine: b.engine, Sim: b.sim, Template: template, Spec: spec,
					Bad: []byte(`{"kind":"pyspark","numExecutors":"two"}`), BadField: "numExecutors",
					StartOp: livysim.OpCreate, StartDelay: livysim.Habit.StartDelay, Grace: livysim.Habit.Grace,
					Ends: workload.Gone, Idles: true, Limits: true, Many: many,
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
		{session{ID: 3, Name: "bg", State: "idle"}, sessions, "name/bg#3"},
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
	if !later.is("name/bg#3", sessions) {
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

func TestActivity(t *testing.T) {
	b := bare(t, livysim.Config{})
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
	is("four hours into a statement of nine", workload.Running, workload.Activity{Known: true, Busy: true})
	b.wait(6 * time.Hour)
	done := enginetest.Open.Add(9*time.Hour + time.Minute)
	is("an hour after it", workload.Idle, workload.Activity{Known: true, Since: done})
	for range 30 {
		b.call("POST", "/sessions/0/statements", `{"code":"1+1"}`)
		b.wait(10 * time.Second)
	}
	is("after thirty short ones", workload.Idle, workload.Activity{Known: true, Since: b.clock.Now().Add(-9 * time.Second)})
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
	a, err := e.activity(t.Context(), 0)
	if err != nil || !a.Since.Equal(time.UnixMilli(50_000)) {
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

func TestARestartIsNoEnd(t *testing.T) {
	b := bare(t, livysim.Config{})
	run := b.start(app.Start{})
	b.create(`{"proxyUser":"bob"}`)
	b.wait(time.Minute)
	bob := b.list().Runs[1].Run
	b.sim.Restart()
	b.sim.Down(b.clock.Now(), b.clock.Now().Add(time.Minute))
	if o, err := b.engine.Describe(t.Context(), run); err == nil || fault.KindOf(err) != fault.Unknown {
		t.Errorf("while the server is down describe answers %+v, %v", o, err)
	}
	b.wait(time.Minute)
	b.create(`{"proxyUser":"carol"}`) // takes the number 0
	b.wait(time.Minute)
	if err := b.engine.Stop(t.Context(), run); err != nil {
		t.Errorf("stop answers %v", err)
	}
	if err := b.engine.Stop(t.Context(), bob); err != nil {
		t.Errorf("stop answers %v", err)
	}
	if l := b.list(); len(l.Runs) != 1 || l.Runs[0].User != "carol" || l.Runs[0].Run.ID == bob.ID {
		t.Errorf("the list is %+v, want carol's session, untouched", l)
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
	if l := b.list(); l.Unidentified != 1 || len(l.Runs) != 1 || l.Runs[0].Run.ID != "name/bg#1" {
		t.Errorf("the list is %+v, want one unidentified and name/bg#1", l)
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
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "cobol") {
		t.Errorf("what the server refuses answers %v, want an invalid fault with its words", err)
	}
	batch := template
	batch.Kind = workload.LivyBatch
	if _, err := b.engine.Start(t.Context(), app.Start{SessionID: "s", Run: batch, Spec: []byte(`{}`)}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a batch answers %v, want an invalid fault", err)
	}
}

func TestLimitsInTheVersionsWords(t *testing.T) {
	for _, c := range []struct{ version, wants string }{
		{"0.8.0-incubating", `"ttl":"5400s"`},
		{"0.9.0-incubating", `"idleTimeout":"5400s"`},
		{"0.9.0-incubating", `"ttl":"36000s"`},
	} {
		b := bare(t, livysim.Config{Version: c.version})
		b.start(app.Start{Idle: 90 * time.Minute, MaxRuntime: 10 * time.Hour})
		b.start(app.Start{SessionID: "s-2", Idle: 90 * time.Minute})
		if _, said := b.call("GET", "/sessions/0", ""); !strings.Contains(said, c.wants) {
			t.Errorf("on %s the session is %s, want %s", c.version, said, c.wants)
		}
		if n := b.sim.Calls(livysim.OpVersion); n != 1 {
			t.Errorf("the version was asked %d times, want once", n)
		}
	}
	for version, want := range map[string]bool{"0.7.1": false, "0.8.0-incubating": false, "0.9.0-incubating": true, "0.10.0-SNAPSHOT": true, "1.0": true, "": false, "x": false} {
		if lateVersion(version) != want {
			t.Errorf("%q is late: %v, want %v", version, !want, want)
		}
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
