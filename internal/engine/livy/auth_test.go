package livy

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/asl/clock"
	"nightshift/internal/engine/enginetest"
	"nightshift/internal/engine/livy/livysim"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

// issuer gives credentials, as EMR does, and knows which are good.
type issuer struct {
	clock  *clock.Clock
	good   time.Duration // for how long; 0: it does not say
	denied error

	mu    sync.Mutex
	asked int
	until map[string]time.Time // by password
}

func (i *issuer) ask(context.Context) (string, string, time.Time, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.asked++; i.denied != nil {
		return "", "", time.Time{}, i.denied
	}
	password := fmt.Sprint("p", i.asked)
	i.until[password] = i.clock.Now().Add(i.good)
	if i.good == 0 {
		i.until[password] = i.clock.Now().Add(1000 * time.Hour)
		return "u", password, time.Time{}, nil
	}
	return "u", password, i.until[password], nil
}

func (i *issuer) accepts(user, password string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return user == "u" && i.clock.Now().Before(i.until[password])
}

func (i *issuer) revoke() {
	i.mu.Lock()
	defer i.mu.Unlock()
	clear(i.until)
}

// guarded is a server that wants credentials, over TLS, before an engine that
// has them.
func guarded(t *testing.T, c *clock.Clock, i *issuer, options ...Option) *bench {
	t.Helper()
	i.clock, i.until = c, map[string]time.Time{}
	sim := livysim.New(c, livysim.Config{Credentials: i.accepts, SkipBusy: true})
	server := httptest.NewTLSServer(sim)
	t.Cleanup(server.Close)
	client, err := Client(time.Minute, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	engine := New(server.URL, client, endpoint, c.Now, append([]Option{WithCredentials(i.ask)}, options...)...)
	return &bench{T: t, clock: c, sim: sim, engine: engine, url: server.URL}
}

func TestEngineWithCredentials(t *testing.T) {
	enginetest.Run(t, func(t *testing.T, c *clock.Clock) enginetest.Harness {
		b := guarded(t, c, &issuer{good: time.Hour}, WithDoAs("supervisor"))
		return enginetest.Harness{
			Engine: b.engine, Sim: b.sim, Template: template, Spec: spec,
			Bad: []byte(`{"kind":"pyspark","numExecutors":"two"}`), BadField: "numExecutors",
			StartOp: livysim.OpCreate, StartDelay: livysim.Habit.StartDelay, Grace: livysim.Habit.Grace,
			Ends: workload.Gone, Idles: true, Limits: true, Many: 20,
		}
	})
}

func TestCredentialsAreKept(t *testing.T) {
	i := &issuer{good: time.Hour}
	b := guarded(t, enginetest.Clock(t), i)
	for _, step := range []struct {
		after time.Duration
		asked int
	}{{0, 1}, {58 * time.Minute, 1}, {time.Minute, 2}, {58 * time.Minute, 2}, {3 * time.Minute, 3}} {
		b.wait(step.after)
		b.list()
		if i.asked != step.asked {
			t.Errorf("%s later they were asked for %d times, want %d", step.after, i.asked, step.asked)
		}
	}
	i = &issuer{}
	b = guarded(t, enginetest.Clock(t), i)
	b.list()
	b.wait(4 * time.Minute)
	b.list()
	b.wait(2 * time.Minute)
	b.list()
	if i.asked != 2 {
		t.Errorf("credentials that do not say when they end were asked for %d times, want each 5 minutes", i.asked)
	}
}

func TestRefusedCredentialsAreRenewedOnce(t *testing.T) {
	i := &issuer{good: time.Hour}
	b := guarded(t, enginetest.Clock(t), i)
	run := b.start(app.Start{}) // a body, that must be sent again
	b.wait(time.Minute)
	i.revoke()
	if _, err := b.engine.Start(t.Context(), app.Start{SessionID: "s-2", Run: template, Spec: spec(2)}); err != nil {
		t.Fatal(err)
	}
	if i.asked != 2 || len(b.sim.Runs()) != 2 {
		t.Errorf("they were asked for %d times, and there are %d sessions; want 2 and 2", i.asked, len(b.sim.Runs()))
	}
	b.wait(time.Minute)
	i.revoke()
	if err := b.engine.Stop(t.Context(), run); err != nil {
		t.Error(err)
	}
	if i.asked != 3 || len(b.sim.Runs()[0].Stops) != 1 {
		t.Errorf("they were asked for %d times, and %d stops arrived", i.asked, len(b.sim.Runs()[0].Stops))
	}
	// A body goes with the request that is made again, too.
	b.wait(time.Minute)
	i.revoke()
	if err := b.engine.do(t.Context(), "op", http.MethodPost, "/sessions", &request{Kind: "spark"}, nil); err != nil || i.asked != 4 {
		t.Errorf("it answers %v after %d askings", err, i.asked)
	}
	// What comes back refused with fresh credentials is refused.
	b.wait(time.Minute)
	i.good = -time.Hour
	i.revoke()
	before := b.sim.Calls(livysim.OpList)
	if _, err := b.engine.List(t.Context(), endpoint); !fault.Is(err, fault.Denied) || i.asked != 5 || b.sim.Calls(livysim.OpList) != before+2 {
		t.Errorf("it answers %v after %d askings and %d requests", err, i.asked, b.sim.Calls(livysim.OpList)-before)
	}
}

// Which of the two words a server has for credentials it does not take is its own
// affair.
func TestBothRefusalsRenewCredentials(t *testing.T) {
	for _, status := range []int{401, 403} {
		c := enginetest.Clock(t)
		i := &issuer{good: time.Hour, clock: c, until: map[string]time.Time{}}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, password, _ := r.BasicAuth(); !i.accepts(user, password) {
				w.WriteHeader(status)
				return
			}
			fmt.Fprint(w, `{"total":0,"sessions":[]}`)
		}))
		e := New(server.URL, server.Client(), endpoint, c.Now, WithCredentials(i.ask))
		_, first := e.List(t.Context(), endpoint)
		i.revoke()
		waited := c.Sleep(t.Context(), time.Minute)
		_, again := e.List(t.Context(), endpoint)
		server.Close()
		if first != nil || again != nil || waited != nil || i.asked != 2 {
			t.Errorf("refused with %d: %v, then %v after %d askings (%v)", status, first, again, i.asked, waited)
		}
	}
}

// A server that refuses everything must not have us ask EMR each time.
func TestFreshCredentialsAreNotBlamed(t *testing.T) {
	c := enginetest.Clock(t)
	i := &issuer{good: time.Hour, clock: c, until: map[string]time.Time{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }))
	defer server.Close()
	e := New(server.URL, server.Client(), endpoint, c.Now, WithCredentials(i.ask))
	for range 20 {
		if _, err := e.List(t.Context(), endpoint); !fault.Is(err, fault.Denied) {
			t.Fatalf("it answers %v, want it denied", err)
		}
	}
	if i.asked != 1 {
		t.Errorf("they were asked for %d times within the same second", i.asked)
	}
}

func TestCredentialsThatAreNotGivenSayWhy(t *testing.T) {
	for _, kind := range []fault.Kind{fault.Throttled, fault.Denied, fault.Unknown, fault.Invalid} {
		i := &issuer{denied: fault.New("emr", kind, errors.New("why not"))}
		b := guarded(t, enginetest.Clock(t), i)
		if _, err := b.engine.List(t.Context(), endpoint); fault.KindOf(err) != kind || !strings.Contains(err.Error(), "why not") {
			t.Errorf("%s is answered %v", kind, err)
		}
		_, err := b.engine.Start(t.Context(), app.Start{SessionID: "s", Run: template, Spec: spec(1)})
		if fault.KindOf(err) != kind {
			t.Errorf("%s is answered %v", kind, err)
		}
		if n := b.sim.Calls(livysim.OpList) + b.sim.Calls(livysim.OpCreate); n != 0 {
			t.Errorf("%d requests were made without credentials", n)
		}
	}
}

func TestCredentialsStayWithTheirServer(t *testing.T) {
	c := enginetest.Clock(t)
	i := &issuer{good: time.Hour, clock: c, until: map[string]time.Time{}}
	var got []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
		fmt.Fprint(w, `{"total":0,"sessions":[]}`)
	}))
	defer elsewhere.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, _, ok := r.BasicAuth(); !ok {
			t.Error("the server itself got none")
		}
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	if _, err := New(server.URL, server.Client(), endpoint, c.Now, WithCredentials(i.ask)).List(t.Context(), endpoint); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0] != "" || got[1] != "" {
		t.Errorf("the other server got %q", got)
	}
}

func TestOwnersOfAServerWithCredentialsAreNoUsers(t *testing.T) {
	i := &issuer{good: time.Hour}
	b := guarded(t, enginetest.Clock(t), i)
	if err := b.engine.do(t.Context(), "op", http.MethodPost, "/sessions", &request{}, nil); err != nil {
		t.Fatal(err)
	}
	b.wait(time.Minute)
	if l := b.list(); len(l.Runs) != 1 || l.Runs[0].User != "" {
		t.Errorf("the list is %+v, want a session of nobody's", l)
	}
}

func TestDoAs(t *testing.T) {
	b := open(t, enginetest.Clock(t), livysim.Config{}, WithDoAs("sup er"))
	b.start(app.Start{})                                                   // its spec names a proxyUser
	b.start(app.Start{SessionID: "s-2", Spec: []byte(`{"kind":"spark"}`)}) // this one does not
	b.wait(time.Minute)
	l := b.list()
	if len(l.Runs) != 2 || l.Runs[0].User != "alice" || l.Runs[1].User != "sup er" {
		t.Errorf("the list is %+v", l)
	}
	if err := b.engine.Stop(t.Context(), l.Runs[0].Run); err != nil {
		t.Error(err)
	}
	if others := b.sim.DoAs(""); others != 1 || b.sim.DoAs("sup er") < 6 {
		t.Errorf("%d requests were made on nobody's behalf, %d on the supervisor's; want one, the session with its own user", others, b.sim.DoAs("sup er"))
	}
}

func TestTrust(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"total":0,"sessions":[]}`) }))
	defer server.Close()
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if _, err := Client(time.Second, []byte("no certificate")); err == nil {
		t.Error("rubbish is taken for authorities")
	}
	for _, c := range []struct {
		authorities []byte
		trusted     bool
	}{{own, true}, {nil, false}} {
		client, err := Client(10*time.Second, c.authorities)
		if err != nil {
			t.Fatal(err)
		}
		_, err = New(server.URL, client, endpoint, fixed).List(t.Context(), endpoint)
		client.CloseIdleConnections()
		if c.trusted != (err == nil) || err != nil && (fault.KindOf(err) != fault.Unknown || !strings.Contains(err.Error(), "certificate")) {
			t.Errorf("with authorities %v it answers %v", c.authorities != nil, err)
		}
	}
}

func TestSmallerLimitsOfTheSpecStay(t *testing.T) {
	for _, c := range []struct{ version, spec, wants string }{
		{"0.8.0-incubating", `{"ttl":"30m"}`, `"ttl":"30m"`},
		{"0.8.0-incubating", `{"ttl":"9h"}`, `"ttl":"5400s"`},
		{"0.8.0-incubating", `{"idleTimeout":"30m"}`, `"ttl":"30m"`},
		{"0.8.0-incubating", `{"idleTimeout":"30m","ttl":"600s"}`, `"ttl":"600s"`},
		{"0.9.0-incubating", `{"idleTimeout":"30m"}`, `"idleTimeout":"30m"`},
		{"0.9.0-incubating", `{"idleTimeout":"9000000"}`, `"idleTimeout":"5400s"`},
		{"0.9.0-incubating", `{"ttl":"1h"}`, `"ttl":"1h"`},
		{"0.9.0-incubating", `{"ttl":"1d"}`, `"ttl":"36000s"`},
	} {
		b := bare(t, livysim.Config{Version: c.version})
		b.start(app.Start{Idle: 90 * time.Minute, MaxRuntime: 10 * time.Hour, Spec: []byte(c.spec)})
		if _, said := b.call("GET", "/sessions/0", ""); !strings.Contains(said, c.wants) {
			t.Errorf("on %s the spec %s becomes %s, want %s", c.version, c.spec, said, c.wants)
		}
	}
	b := bare(t, livysim.Config{})
	_, err := b.engine.Start(t.Context(), app.Start{SessionID: "s", Run: template, Idle: time.Hour, Spec: []byte(`{"ttl":"soon"}`)})
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), `ttl: "soon"`) {
		t.Errorf("a limit that is no time answers %v", err)
	}
	for text, want := range map[string]time.Duration{"": 0, "90": 90 * time.Millisecond, "90s": 90 * time.Second, "2MIN": 2 * time.Minute, "1h": time.Hour, "999999999d": 1<<63 - 1} {
		if got, err := livyTime(text); err != nil || got != want && !(text == "999999999d" && got > 200*365*24*time.Hour) {
			t.Errorf("%q is %s, %v; want %s", text, got, err, want)
		}
	}
}
