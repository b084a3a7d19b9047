//go:build conform

package livy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/conform"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

// The real Livy: its home, with Spark's home as the folder spark in it, and
// whether it may be reached from elsewhere.
const (
	homeEnv = "NIGHTSHIFT_LIVY" // livy.sh assembles it

	serverMax  = 120 * time.Second // a server takes 3 s to answer on an idle machine
	sessionMax = 200 * time.Second // a session takes 7 s to be idle on an idle machine
	idleLimit  = 75 * time.Second  // long enough for a session to get idle on a busy machine
	collectMax = 210 * time.Second // Livy looks for idle sessions once a minute
	heartbeat  = 30 * time.Second
	tries      = 3
	tailMax    = 20_000
	poll       = 250 * time.Millisecond
)

// opens are the packages that Livy and its Hadoop look into, which Java 17
// allows only when told.
var opens = []string{
	"java.base/java.lang", "java.base/java.lang.reflect", "java.base/java.io", "java.base/java.net", "java.base/java.nio",
	"java.base/java.util", "java.base/java.util.concurrent", "java.base/java.util.concurrent.atomic", "java.base/sun.nio.ch",
	"java.security.jgss/sun.security.krb5",
}

// settings of every server: what listens does so on loopback, but for the
// sessions' RPC, which has no setting (see alone). Each session, and each refused
// for its name, holds one of the RPC's ports for a while, and so does what is left
// of a dead server: eleven, the default, are soon used up.
const settings = `
livy.server.host = 127.0.0.1
livy.server.csrf-protection.enabled = true
livy.spark.master = local[1]
livy.spark.scala-version = 2.12
livy.rsc.rpc.server.address = 127.0.0.1
livy.rsc.launcher.address = 127.0.0.1
livy.rsc.launcher.port.range = 10000~10199
livy.rsc.server.connect.timeout = 300s
livy.server.heartbeat-watchdog.interval = 1s
livy.impersonation.enabled = true
`

const sparkSettings = `
spark.driver.host 127.0.0.1
spark.driver.bindAddress 127.0.0.1
spark.driver.memory 512m
spark.ui.enabled false
spark.local.dir %[1]s
spark.sql.warehouse.dir %[1]s
spark.driver.extraJavaOptions -Djava.io.tmpdir=%[1]s
`

// TestConform holds the engine against a real Livy server with a local Spark.
func TestConform(t *testing.T) {
	conform.Alone(t, "Livy's sessions")
	t.Run("sessions", func(t *testing.T) {
		t.Parallel()
		conformSessions(t)
	})
	t.Run("idleness", func(t *testing.T) {
		t.Parallel()
		conformIdleness(t)
	})
}

func conformSessions(t *testing.T) {
	s := launch(t, "")
	if l := s.list(); !l.Complete || len(l.Runs)+l.Unidentified != 0 {
		t.Fatalf("a new server lists %+v, want nothing", l)
	}
	one := s.begin(app.Start{SessionID: "s-1", Spec: []byte(`{"kind":"sql"}`)})
	two := s.begin(app.Start{SessionID: "s-2", Spec: []byte(`{"kind":"sql","proxyUser":"alice"}`)})
	s.post("/sessions", `{"kind":"sql"}`, 201) // somebody's, without a name
	s.expectStarted(one, two)
	s.expectRefusals(one)
	s.expectActivity(one)
	s.expectHeartbeats()
	s.expectStop(one, two)
	s.expectRestart(one, two)
}

// expectStarted: names are unique and carry the stamps, and sessions become
// idle without ever seeming over.
func (s *server) expectStarted(one, two workload.Run) {
	s.Helper()
	if again := s.begin(app.Start{SessionID: "s-1", Spec: []byte(`{"kind":"sql"}`)}); again != one {
		s.Errorf("a repeated start answers %+v, the first %+v", again, one)
	}
	for _, run := range []workload.Run{one, two} {
		s.until(run, sessionMax, workload.Idle, workload.Pending)
	}
	l := s.list()
	if !l.Complete || len(l.Runs) != 2 || l.Unidentified != 1 {
		s.Fatalf("the list is %+v, want two of ours and one without a lasting name", l)
	}
	for i, want := range []struct{ run, stamp, user string }{{one.ID, "s-1", ""}, {two.ID, "s-2", "alice"}} {
		o := l.Runs[i]
		if o.Run.ID != want.run || o.Stamp != want.stamp || o.User != want.user || o.Name != "ns-"+want.stamp || o.Run.Kind != workload.LivySession {
			s.Errorf("the list shows %+v, want %+v", o, want)
		}
		if o.Activity != (workload.Activity{Known: true}) {
			s.Errorf("without statements the activity is %+v, want it known and none", o.Activity)
		}
	}
}

// expectRefusals: what Livy refuses is told apart by its own words, which are the
// simulator's too; limits (S4.5) are no reason to refuse, whatever the version.
func (s *server) expectRefusals(one workload.Run) {
	s.Helper()
	if s.version == "0.7.1-incubating" {
		converse(s.T, s.url, "3")
	}
	_, err := s.engine.Start(s.Context(), app.Start{SessionID: "s-9", Run: template, Spec: []byte(`{"kind":"cobol"}`)})
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "cobol") {
		s.Errorf("a kind that there is not answers %v, want an invalid fault with its name", err)
	}
	s.begin(app.Start{SessionID: "s-9", Spec: []byte(`{"kind":"sql"}`), Idle: 10 * time.Hour, MaxRuntime: 20 * time.Hour})
	limited := s.call(http.MethodGet, "/sessions/ns-s-9", "", 200)
	if told := strings.Contains(limited, `"36000s"`); told != (wordsOf(s.version) >= idleAsTTL) {
		s.Errorf("on %s the limited session is %s", s.version, limited)
	}
	patient := New(s.url, http.DefaultClient, endpoint, fixed, WithStopWait(sessionMax))
	if err := patient.Stop(s.Context(), workload.Run{ID: byName + "ns-s-9"}); err != nil {
		s.Errorf("stopping it answers %v", err)
	}
	never := one
	never.ID += "9"
	if o, err := s.engine.Describe(s.Context(), never); err != nil || o.State != workload.Gone {
		s.Errorf("a session that never was is described as %+v, %v; want it gone", o, err)
	}
}

// expectActivity: a session is busy while a statement runs, and idle since the
// last one was completed, also where there are more statements than are read.
func (s *server) expectActivity(one workload.Run) {
	s.Helper()
	path := "/sessions/ns-s-1/statements"
	s.post(path, sleeping(3), 201)
	if o := s.until(one, sessionMax, workload.Running, workload.Idle); !o.Activity.Known || !o.Activity.Busy {
		s.Errorf("with a statement it is %+v, want it busy", o)
	}
	s.expectSince(one, "one statement")
	s.post(path, `{"code":"SELEC nonsense"}`, 201)
	s.expectSince(one, "a statement that fails")
	for n := range statementsSize + 5 {
		s.post(path, fmt.Sprintf(`{"code":"SELECT %d"}`, n), 201)
	}
	s.expectSince(one, "many statements")
}

// expectSince waits until no statement is left and compares the engine's word on
// activity with Livy's on the last statement.
func (s *server) expectSince(run workload.Run, after string) {
	s.Helper()
	var o workload.Observation
	s.wait(sessionMax, "being idle after "+after, func() bool {
		o = s.until(run, sessionMax, workload.Idle, workload.Running)
		return o.Activity.Known && !o.Activity.Busy
	})
	var said answer
	raw := s.call(http.MethodGet, "/sessions/ns-s-1/statements?from=0&size=1000", "", 200)
	if err := json.Unmarshal([]byte(raw), &said); err != nil || len(said.Statements) == 0 || said.Total != len(said.Statements) {
		s.Fatalf("the statements are %s: %v", raw, err)
	}
	last := said.Statements[len(said.Statements)-1]
	if last.State != "available" || last.completed() == 0 || !o.Activity.Since.Equal(time.UnixMilli(last.completed())) {
		s.Errorf("after %s it is idle since %s, the last statement is %+v", after, o.Activity.Since, last)
	}
	if d, err := s.engine.Describe(s.Context(), run); err != nil || d.State != o.State || d.Activity != o.Activity {
		s.Errorf("after %s it is described as %+v, %v; listed as %+v", after, d, err, o)
	}
}

// expectStop: a DELETE is answered when the session is down, and hits no other.
func (s *server) expectStop(one, two workload.Run) {
	s.Helper()
	patient := New(s.url, http.DefaultClient, endpoint, fixed, WithStopWait(sessionMax))
	if err := patient.Stop(s.Context(), one); err != nil {
		s.Fatalf("stop: %v", err)
	}
	if o, err := s.engine.Describe(s.Context(), one); err != nil || o.State != workload.Gone {
		s.Errorf("when the stop has been answered it is %+v, %v; want it gone", o, err)
	}
	l := s.list()
	if len(l.Runs) != 1 || l.Runs[0].Run != two || l.Runs[0].State != workload.Idle || l.Unidentified != 1 {
		s.Errorf("the others are %+v, want them untouched", l)
	}
	if err := patient.Stop(s.Context(), one); !fault.Is(err, fault.NotFound) {
		s.Errorf("a stop repeated answers %v, want that it is not there", err)
	}
	if said := s.call(http.MethodDelete, "/sessions/ns-s-1", "", 404); !strings.Contains(said, "Session 'ns-s-1' not found.") {
		s.Errorf("deleting what is gone answers %s", said)
	}
}

// expectRestart: a server that died tells nothing; one that was started again
// has forgotten everything and counts from 0, although what ran still runs.
func (s *server) expectRestart(one, two workload.Run) {
	s.Helper()
	s.die()
	if l, err := s.engine.List(s.Context(), endpoint); fault.KindOf(err) != fault.Unknown || err == nil || l.Complete {
		s.Errorf("without a server the list is %+v, %v; want an unknown fault", l, err)
	}
	if o, err := s.engine.Describe(s.Context(), two); fault.KindOf(err) != fault.Unknown || err == nil || o.State != "" {
		s.Errorf("without a server the session is %+v, %v; want an unknown fault", o, err)
	}
	if err := s.engine.Stop(s.Context(), two); fault.KindOf(err) != fault.Unknown || err == nil {
		s.Errorf("without a server a stop answers %v, want an unknown fault", err)
	}
	left := s.group
	s.run()
	if l := s.list(); l.Complete || len(l.Runs)+l.Unidentified != 0 {
		s.Errorf("the new server lists %+v, want an empty list that proves nothing", l)
	}
	if err := syscall.Kill(-left, 0); err != nil {
		s.Errorf("the sessions of the dead server ended with it (%v): an empty list is the truth after all", err)
	}
	three := s.begin(app.Start{SessionID: "s-3", Spec: []byte(`{"kind":"sql"}`)})
	if said := s.call(http.MethodGet, "/sessions/ns-s-3", "", 200); !strings.HasPrefix(said, `{"id":0,`) {
		s.Errorf("the new server's first session is %s, want the id 0 again", said)
	}
	for _, forgotten := range []workload.Run{one, two} { // the first had the id 0 too
		if err := s.engine.Stop(s.Context(), forgotten); fault.KindOf(err) != fault.Unknown || err == nil {
			s.Errorf("stopping %s, which the server forgot, answers %v; want an unknown fault", forgotten.ID, err)
		}
		if o, err := s.engine.Describe(s.Context(), forgotten); fault.KindOf(err) != fault.Unknown || err == nil {
			s.Errorf("%s, which the server forgot, is described as %+v, %v; want an unknown fault", forgotten.ID, o, err)
		}
	}
	s.until(three, sessionMax, workload.Idle, workload.Pending)
	s.late = driverLife // by then their drivers have ended
	for _, forgotten := range []workload.Run{one, two} {
		if err := s.engine.Stop(s.Context(), forgotten); !fault.Is(err, fault.NotFound) {
			s.Errorf("ten minutes after the restart was seen stopping %s answers %v", forgotten.ID, err)
		}
		if o, err := s.engine.Describe(s.Context(), forgotten); err != nil || o.State != workload.Gone {
			s.Errorf("then %s is described as %+v, %v; want it gone", forgotten.ID, o, err)
		}
	}
	if l := s.list(); !l.Complete || len(l.Runs) != 1 || l.Runs[0].Run != three {
		s.Errorf("then the list is %+v, want the new session alone", l)
	}
}

// expectHeartbeats: a list keeps no session alive, a look at one does; before
// 0.8.0 nothing tells which sessions have a heartbeat.
func (s *server) expectHeartbeats() {
	s.Helper()
	for _, name := range []string{"listed", "looked"} {
		said := s.post("/sessions", fmt.Sprintf(`{"kind":"sql","name":%q,"heartbeatTimeoutInSecond":%d}`, name, int(heartbeat/time.Second)), 201)
		if told := strings.Contains(said, "heartbeatTimeoutInSecond"); told != (wordsOf(s.version) >= idleAsTTL) {
			s.Errorf("on %s a new session is %s", s.version, said)
		}
	}
	s.wait(sessionMax, "the end of a session without a heartbeat", func() bool {
		s.call(http.MethodGet, "/sessions/looked/state", "", 200)
		return !strings.Contains(s.call(http.MethodGet, "/sessions?from=0&size=10", "", 200), `"listed"`)
	})
	s.call(http.MethodDelete, "/sessions/looked", "", 200)
}

// conformIdleness: Livy itself ends what is idle for long, also what is busy
// with one statement for longer; that we look does not keep it alive.
func conformIdleness(t *testing.T) {
	s := launch(t, fmt.Sprintf("livy.server.session.timeout = %ds\n", int(idleLimit/time.Second)))
	all := []string{"idle", "busy"}
	for _, session := range all {
		s.begin(s.limited(session))
	}
	runs := map[string]workload.Run{}
	for _, session := range all {
		runs[session] = s.awake(s.limited(session))
	}
	s.post("/sessions/ns-busy/statements", sleeping(int(2*collectMax/time.Second)), 201)
	s.until(runs["idle"], collectMax, workload.Gone, workload.Idle, workload.Stopping)
	s.until(runs["busy"], collectMax, workload.Gone, workload.Running, workload.Idle, workload.Stopping)
}

func (s *server) limited(session string) app.Start {
	return app.Start{SessionID: session, Spec: []byte(`{"kind":"sql"}`), Idle: idleLimit}
}

// awake waits until a session is idle for the first time. Livy counts idleness
// from its creation, so where the machine is slow it may be ended before: then
// it is begun again.
func (s *server) awake(start app.Start) workload.Run {
	s.Helper()
	for range tries {
		run := s.begin(start)
		var seen workload.Observation
		s.wait(sessionMax, run.ID+" being idle, or ended as if it had been", func() bool {
			seen = s.look(run)
			return seen.State == workload.Idle || seen.State.Over()
		})
		switch seen.State {
		case workload.Idle:
			return run
		case workload.Gone:
		default: // it failed, and its name is taken while it is listed
			s.call(http.MethodDelete, "/sessions/ns-"+start.SessionID, "", 200)
		}
	}
	s.Fatalf("the session %s was never idle in %d tries", start.SessionID, tries)
	return workload.Run{}
}

func sleeping(seconds int) string {
	return fmt.Sprintf(`{"code":"SELECT java_method('java.lang.Thread', 'sleep', CAST(%d AS BIGINT))"}`, seconds*1000)
}

// server is a real Livy that a test may call as anybody may.
type server struct {
	*testing.T
	home, folder string
	port, url    string
	version      string
	engine       *Engine
	late         time.Duration // what its clock has gone since
	cmd          *exec.Cmd
	group        int // of the process and all sessions that it started
	said         *output
}

// launch starts a server for the test, with its files in the test's folder.
func launch(t *testing.T, more string) *server {
	t.Helper()
	home := os.Getenv(homeEnv)
	if home == "" {
		t.Fatalf("%s is not set: it names the home of a real Livy, which livy.sh assembles; run make conform", homeEnv)
	}
	folder := t.TempDir()
	port := conform.Port(t)
	for name, text := range map[string]string{
		"livy.conf":           settings + "livy.server.port = " + port + "\n" + more,
		"spark-defaults.conf": fmt.Sprintf(sparkSettings, folder),
		"log4j.properties":    "log4j.rootCategory=INFO, a\nlog4j.appender.a=org.apache.log4j.ConsoleAppender\nlog4j.appender.a.layout=org.apache.log4j.PatternLayout\nlog4j.appender.a.layout.ConversionPattern=%d{HH:mm:ss} %p %c{1}: %m%n\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &server{T: t, home: home, folder: folder, port: port, url: "http://127.0.0.1:" + port, said: &output{}}
	s.engine = New(s.url, http.DefaultClient, endpoint, func() time.Time { return fixed().Add(s.late) })
	s.run()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Livy said: %s", s.said)
		}
	})
	return s
}

// run runs the server until the test is over.
func (s *server) run() {
	s.Helper()
	var args []string
	for _, o := range opens {
		args = append(args, "--add-opens="+o+"=ALL-UNNAMED")
	}
	cmd := exec.Command("java", append(args, "-Xmx384m", "-Djava.io.tmpdir="+s.folder,
		"-cp", filepath.Join(s.home, "jars", "*")+":"+s.folder, "org.apache.livy.server.LivyServer")...)
	cmd.Dir = s.folder
	cmd.Env = append(os.Environ(), "LIVY_HOME="+s.home, "SPARK_HOME="+filepath.Join(s.home, "spark"),
		"LIVY_CONF_DIR="+s.folder, "SPARK_CONF_DIR="+s.folder, "LIVY_LOG_DIR="+s.folder)
	cmd.Stdout, cmd.Stderr = s.said, s.said
	cmd.WaitDelay = time.Second // its sessions hold the pipes
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.cmd, s.group = cmd, cmd.Process.Pid
	group := s.group
	s.Cleanup(func() {
		_ = syscall.Kill(-group, syscall.SIGKILL) // the server may be dead, its sessions not
		_ = cmd.Wait()
		s.whole(serverMax, "the end of Livy and its sessions", func() bool { return syscall.Kill(-group, 0) != nil })
	})
	s.wait(serverMax, "the server's first answer", func() bool {
		res, err := http.Get(s.url + "/version")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		var said struct {
			Version string `json:"version"`
		}
		err = json.NewDecoder(res.Body).Decode(&said)
		s.version = said.Version
		return err == nil
	})
}

// die is the sudden death of the server alone.
func (s *server) die() {
	s.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		s.Fatal(err)
	}
	_ = s.cmd.Wait() // it was killed
}

func (s *server) begin(start app.Start) workload.Run {
	s.Helper()
	start.Run = template
	run, err := s.engine.Start(s.Context(), start)
	if err != nil {
		s.Fatalf("start %s: %v", start.SessionID, err)
	}
	return run
}

func (s *server) list() workload.Listing {
	s.Helper()
	l, err := s.engine.List(s.Context(), endpoint)
	if err != nil {
		s.Fatalf("list: %v", err)
	}
	slices.SortFunc(l.Runs, func(a, b workload.Observation) int { return strings.Compare(a.Run.ID, b.Run.ID) })
	return l
}

// until waits until a run is in a state; meanwhile it may be in some others, and
// in none besides, but that Livy lists what it ended as dead until it has
// forgotten it, which takes milliseconds.
func (s *server) until(run workload.Run, most time.Duration, want workload.State, meanwhile ...workload.State) workload.Observation {
	s.Helper()
	var seen workload.Observation
	s.wait(most, fmt.Sprintf("%s being %s", run.ID, want), func() bool {
		seen = s.look(run)
		if ended := want == workload.Gone && seen.State.Over(); seen.State != want && !ended && !slices.Contains(meanwhile, seen.State) {
			s.Fatalf("%s is %s (%s) before it is %s", run.ID, seen.State, seen.Detail, want)
		}
		return seen.State == want
	})
	return seen
}

// look is how the list shows a run; gone where it does not.
func (s *server) look(run workload.Run) workload.Observation {
	s.Helper()
	for _, o := range s.list().Runs {
		if o.Run.Ref() == run.Ref() {
			return o
		}
	}
	return workload.Observation{Run: run, State: workload.Gone}
}

func (s *server) wait(most time.Duration, what string, there func() bool) {
	s.Helper()
	if !within(s.Context(), most, there) {
		s.Fatalf("%s takes longer than %s", what, most)
	}
}

// whole is wait for cleanups, when the test's own context is over.
func (s *server) whole(most time.Duration, what string, there func() bool) {
	s.Helper()
	if !within(context.Background(), most, there) {
		s.Errorf("%s takes longer than %s", what, most)
	}
}

func within(ctx context.Context, most time.Duration, there func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for {
		if there() {
			return true
		}
		pause, done := context.WithTimeout(ctx, poll)
		<-pause.Done()
		done()
		if ctx.Err() != nil {
			return false
		}
	}
}

func (s *server) post(path, body string, want int) string {
	s.Helper()
	return s.call(http.MethodPost, path, body, want)
}

func (s *server) call(method, path, body string, want int) string {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Requested-By", "test")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != want {
		s.Fatalf("%s %s answers %d %s, %v; want %d", method, path, res.StatusCode, raw, err, want)
	}
	return string(raw)
}

// output collects what the server and its sessions say.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// String is the end of it.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.text.Bytes()
	return string(all[max(0, len(all)-tailMax):])
}
