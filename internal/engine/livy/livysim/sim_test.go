package livysim_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"nightshift/internal/engine/enginetest"
	"nightshift/internal/engine/livy/livysim"
	"nightshift/internal/engine/simrun"
)

type server struct {
	*testing.T
	*livysim.Sim
	wait func(time.Duration)
}

func start(t *testing.T, config livysim.Config) server {
	c := enginetest.Clock(t)
	return server{t, livysim.New(c, config), func(d time.Duration) { _ = c.Sleep(t.Context(), d) }}
}

// is makes a request and checks the status and a part of the answer.
func (s server) is(method, path, body string, status int, part string) {
	s.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("X-Requested-By", "test")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != status || !strings.Contains(w.Body.String(), part) {
		s.Errorf("%s %s %s answers %d %s, want %d and %s", method, path, body, w.Code, w.Body, status, part)
	}
}

func TestWords(t *testing.T) {
	s := start(t, livysim.Config{})
	s.is("GET", "/version", "", 200, `"version":"0.8.0-incubating"`)
	s.is("GET", "/sessions", "", 200, `{"from":0,"sessions":[],"total":0}`)
	s.is("GET", "/batches", "", 200, `"total":0`)
	s.is("GET", "/nothing", "", 404, "")
	s.is("GET", "/sessions/7", "", 404, `Session '7' not found.`)
	s.is("DELETE", "/sessions/ns-x", "", 404, `Session 'ns-x' not found.`)
	s.is("POST", "/sessions", `{"name":"12"}`, 400, "Invalid session name")
	s.is("POST", "/sessions", `{"ttl":"soon"}`, 400, `"Rejected, Reason: Invalid time string: soon"`)
	s.is("POST", "/sessions", `{"heartbeatTimeoutInSeconds":1}`, 400, "heartbeatTimeoutInSeconds")
	s.is("POST", "/sessions", `{"conf":{"spark.nightshift.sim.work":"soon"}}`, 400, "soon")
	s.Restart()
	s.is("POST", "/sessions", `{"name":"bg","kind":"pyspark"}`, 201, `"id":0`)
	s.is("POST", "/sessions", `{"name":"bg"}`, 400, `"Rejected, Reason: Duplicate session name: Some(bg) for session 1"`)
	s.is("GET", "/sessions/bg/state", "", 200, `"starting"`)
	s.is("GET", "/sessions/0", "", 200, `"appId":null`)
	s.is("POST", "/sessions/0/statements", `{"code":"1"}`, 500, `"java.lang.IllegalStateException: Session is in state starting"`)
	s.wait(time.Minute)
	s.is("GET", "/sessions/0", "", 200, `"appId":"application_`)
	s.is("GET", "/sessions?from=1", "", 200, `{"from":1,"sessions":[],"total":1}`)
	s.is("POST", "/sessions/0/statements", `{"code":"time.sleep(30)","kind":"pyspark"}`, 201, `"id":0`)
	s.is("POST", "/sessions/0/statements", `{"code":"1"}`, 201, `"waiting"`)
	s.is("POST", "/sessions/0/statements", `{"cod":"1"}`, 400, "Unrecognized field")
	s.wait(15 * time.Second)
	s.is("GET", "/sessions/0/statements/0", "", 200, `"progress":0.5`)
	s.is("GET", "/sessions/0/statements?order=desc&size=1", "", 200, `"id":1`)
	s.is("GET", "/sessions/0/state", "", 200, `"busy"`)
	s.wait(20 * time.Second)
	s.is("GET", "/sessions/0/statements/1", "", 200, `"available"`)
	s.is("GET", "/sessions/0/statements/2", "", 404, "Statement not found")
	s.is("DELETE", "/sessions/0", "", 200, `{"msg":"deleted"}`)
	s.is("GET", "/sessions/0", "", 404, "not found")
}

func TestForgedRequestsAreRefused(t *testing.T) {
	s := start(t, livysim.Config{})
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("POST", "/sessions", strings.NewReader(`{}`)))
	if w.Code != 400 || !strings.Contains(w.Body.String(), "CSRF") || len(s.Runs()) != 0 {
		t.Errorf("without X-Requested-By it answers %d %s", w.Code, w.Body)
	}
}

func TestADeleteBlocks(t *testing.T) {
	c := enginetest.Clock(t)
	sim := livysim.New(c, livysim.Config{})
	s := server{t, sim, nil}
	s.is("POST", "/sessions", `{}`, 201, "")
	_ = c.Sleep(t.Context(), time.Hour)
	before := c.Now()
	s.is("DELETE", "/sessions/0", "", 200, "deleted")
	if took := c.Now().Sub(before); took != livysim.Habit.Grace {
		t.Errorf("it took %s, want %s", took, livysim.Habit.Grace)
	}
}

// TestIdleness follows Livy's own rules: what counts as activity, and whether a
// busy session can be too idle.
func TestIdleness(t *testing.T) {
	long := `{"conf":{"spark.nightshift.sim.work":"9h"}}`
	for _, c := range []struct {
		name   string
		config livysim.Config
		body   string
		by     simrun.Ender
		ended  time.Duration // rounded to minutes; 0: alive after a day
	}{
		{"eight hours by default", livysim.Config{}, `{}`, simrun.IdleTimeout, 481 * time.Minute},
		{"the server's limit", livysim.Config{Timeout: time.Hour}, `{}`, simrun.IdleTimeout, 61 * time.Minute},
		{"the session's own limit: ttl", livysim.Config{}, `{"ttl":"10m"}`, simrun.IdleTimeout, 11 * time.Minute},
		{"the session's own limit since 0.9.0", livysim.Config{Version: "0.9.0-incubating"}, `{"idleTimeout":"10m","ttl":"5m"}`, simrun.IdleTimeout, 11 * time.Minute},
		{"ttl since 0.9.0, checked", livysim.Config{Version: "0.9.0-incubating", TTLCheck: true}, `{"ttl":"5m"}`, simrun.MaxRuntime, 6 * time.Minute},
		{"before 0.8.0 there is only the server's limit", livysim.Config{Version: "0.7.1-incubating", Timeout: time.Hour}, `{}`, simrun.IdleTimeout, 61 * time.Minute},
		{"busy is not idle where the server is told so", livysim.Config{SkipBusy: true}, long, simrun.IdleTimeout, 9*time.Hour + 481*time.Minute},
		{"busy counts as idle, as upstream", livysim.Config{}, long, simrun.IdleTimeout, 481 * time.Minute},
		{"no limit is reached", livysim.Config{Timeout: 100 * time.Hour}, `{}`, simrun.NoOne, 0},
		{"it dies of its work", livysim.Config{}, `{"conf":{"spark.nightshift.sim.work":"59m30s","spark.nightshift.sim.fail":"true"}}`, simrun.Itself, time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, c.config)
			s.is("POST", "/sessions", c.body, 201, "")
			s.wait(24 * time.Hour)
			r := s.Runs()[0]
			if r.By != c.by || c.ended == 0 != r.Ended.IsZero() || c.ended != 0 && r.Ended.Sub(enginetest.Open).Round(time.Minute) != c.ended {
				t.Errorf("it was ended by %q after %s, want %q after %s", r.By, r.Ended.Sub(enginetest.Open), c.by, c.ended)
			}
		})
	}
}

func TestTheDeadStayForTenMinutes(t *testing.T) {
	s := start(t, livysim.Config{})
	s.is("POST", "/sessions", `{"conf":{"spark.nightshift.sim.work":"10m","spark.nightshift.sim.fail":"true"}}`, 201, "")
	s.wait(15 * time.Minute)
	s.is("GET", "/sessions", "", 200, `"dead"`)
	s.is("GET", "/sessions/0/statements", "", 400, "Session isn't active.")
	s.is("POST", "/sessions/0/statements", `{"code":"1"}`, 500, "Session is in state dead")
	s.wait(10 * time.Minute)
	s.is("GET", "/sessions", "", 200, `"total":0`)
}

// Livy looks for idle sessions each minute since its own start, whenever they
// began, and what it collects is never seen dead.
func TestIdleSessionsAreCollectedOnTheServersMinutes(t *testing.T) {
	s := start(t, livysim.Config{Timeout: 10 * time.Minute})
	s.wait(20 * time.Second)
	s.Restart() // the minutes count from here
	s.wait(50 * time.Second)
	s.is("POST", "/sessions", `{}`, 201, `"id":0`)
	s.wait(10*time.Minute + 9*time.Second)
	s.is("GET", "/sessions/0/state", "", 200, `"idle"`)
	s.wait(time.Second) // 11 minutes since the start, 10 min 10 s since the session's
	s.is("GET", "/sessions", "", 200, `"total":0`)
	s.is("GET", "/sessions/0", "", 404, "not found")
	if r := s.Runs()[0]; r.By != simrun.IdleTimeout || !r.Ended.Equal(enginetest.Open.Add(20*time.Second+11*time.Minute)) {
		t.Errorf("it was ended by %q at %s", r.By, r.Ended)
	}
}

func TestARestartForgets(t *testing.T) {
	s := start(t, livysim.Config{})
	for n := range 3 {
		s.is("POST", "/sessions", fmt.Sprintf(`{"proxyUser":"u%d"}`, n), 201, fmt.Sprintf(`"id":%d`, n))
	}
	s.Restart()
	s.is("GET", "/sessions", "", 200, `"total":0`)
	s.is("POST", "/sessions", `{}`, 201, `"id":0`)
	for _, r := range s.Runs() {
		if !r.Ended.IsZero() {
			t.Errorf("%+v: the ledger says that the restart ended it", r)
		}
	}
}

// Every request about a session is a heartbeat for it, a read too; a list is
// none.
func TestHeartbeats(t *testing.T) {
	s := start(t, livysim.Config{})
	s.is("POST", "/sessions", `{"heartbeatTimeoutInSecond":150}`, 201, `"heartbeatTimeoutInSecond":150`)
	s.is("POST", "/sessions", `{"heartbeatTimeoutInSecond":150}`, 201, "")
	s.is("POST", "/sessions", `{}`, 201, "")
	for range 5 {
		s.wait(time.Minute)
		s.is("GET", "/sessions/1/statements", "", 200, "")
		s.is("GET", "/sessions", "", 200, "")
	}
	s.is("GET", "/sessions/0", "", 404, "not found")
	s.is("GET", "/sessions/1", "", 200, "idle")
	s.is("GET", "/sessions/2", "", 200, "idle")
	if r := s.Runs()[0]; r.By != simrun.Heartbeat || r.Ended.Sub(enginetest.Open).Round(time.Minute) != 3*time.Minute {
		t.Errorf("it was ended by %q after %s, want its heartbeat at the watchdog's round after 150 s", r.By, r.Ended.Sub(enginetest.Open))
	}
}

func TestAuthentication(t *testing.T) {
	s := start(t, livysim.Config{Credentials: func(user, password string) bool { return user == "u" && password == "p" }})
	call := func(user, password, method, path, body string) (int, string) {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("X-Requested-By", "test")
		if user != "" {
			r.SetBasicAuth(user, password)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	for _, c := range []struct {
		user, password string
		status         int
	}{{"", "", 401}, {"u", "x", 403}, {"v", "p", 403}, {"u", "p", 200}} {
		if status, said := call(c.user, c.password, "GET", "/sessions", ""); status != c.status {
			t.Errorf("%s with the password %s is answered %d %s, want %d", c.user, c.password, status, said, c.status)
		}
	}
	if status, said := call("u", "p", "POST", "/sessions?doAs=ana", `{"proxyUser":"ben"}`); status != 201 || !strings.Contains(said, `"proxyUser":"ana"`) || !strings.Contains(said, `"owner":"u"`) {
		t.Errorf("it answers %d %s", status, said)
	}
	if s.DoAs("ana") != 1 || s.DoAs("") != 1 || s.DoAs("ben") != 0 {
		t.Errorf("on behalf of ana %d, of nobody %d", s.DoAs("ana"), s.DoAs(""))
	}
}
