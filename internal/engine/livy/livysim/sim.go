// Package livysim speaks the REST protocol of Apache Livy as Amazon EMR runs it,
// and behaves like it for interactive sessions, for the local system and for
// tests. It knows Livy's routes, states, words and its rules of idleness; whom it
// authenticates it is told, it runs no Spark, and must not know Nightshift's
// adapter. Every answer says that it is simulated.
//
// A session has no work of its own: it is idle until it gets statements. The
// Spark property spark.nightshift.sim.work ("45m") gives it a first statement
// of that length as soon as it is up, and spark.nightshift.sim.fail ("true")
// kills it when that is done. A statement runs as long as its code says: "sleep
// 9h", "time.sleep(30)", else one second.
package livysim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"nightshift/internal/engine/simrun"
)

// Operations, as the door counts, throttles and loses them.
const (
	OpVersion    = "version"
	OpList       = "list sessions"
	OpCreate     = "create session"
	OpGet        = "get session"
	OpState      = "get session state"
	OpDelete     = "delete session"
	OpStatements = "list statements"
	OpStatement  = "get statement"
	OpExecute    = "create statement"
	OpBatches    = "list batches"
	opUnknown    = "unknown"
)

// Habit is how sessions behave where nobody planned otherwise: 30 s to start, a
// DELETE that blocks for 3 s.
var Habit = simrun.Plan{StartDelay: 30 * time.Second, Grace: 3 * time.Second}

const (
	sweepEvery  = time.Minute       // Livy's garbage collection and its heartbeat watchdog
	retain      = 600 * time.Second // livy.server.session.state-retain.sec: how long dead sessions stay
	maxCreation = 100               // livy.server.session.max-creation: sessions starting at once
	pageDefault = 100
)

// Config is the server's configuration. The zero value is Livy's own, but for the
// idle limit, which is EMR's.
type Config struct {
	Version  string        // "": "0.8.0-incubating", that of EMR 7.11; also 0.7.1 and 0.9.0
	Timeout  time.Duration // livy.server.session.timeout; 0: 8 h
	SkipBusy bool          // livy.server.session.timeout-check.skip-busy: a busy session is not idle. By default, as upstream, a long statement counts as idleness
	TTLCheck bool          // livy.server.session.ttl-check, 0.9.0 and later
	Local    bool          // Spark in local mode: sessions have no application id
	NoCSRF   bool          // mutating requests need no X-Requested-By
	// Credentials says whether a user name and password are good now (HTTP Basic);
	// a request without any is answered 401, one with others 403. nil: requests
	// need none, and there is nobody to authenticate.
	Credentials func(user, password string) bool
}

// Sim is one Livy server. It is an http.Handler.
type Sim struct {
	*simrun.Door
	simrun.Plans

	clock   simrun.Clock
	config  Config
	version version
	mux     *http.ServeMux

	mu       sync.Mutex
	sessions []*session // that the server knows
	all      []*session // that ever were: the ledger
	next     int
	swept    time.Time
	doAs     map[string]int // requests by the user on whose behalf they were made
}

// New gives a server without sessions.
func New(clock simrun.Clock, config Config) *Sim {
	if config.Version == "" {
		config.Version = "0.8.0-incubating"
	}
	if config.Timeout == 0 {
		config.Timeout = 8 * time.Hour
	}
	s := &Sim{Door: simrun.NewDoor(clock, nil), clock: clock, config: config, swept: clock.Now(), mux: http.NewServeMux(), doAs: map[string]int{}}
	s.version = versionOf(config.Version)
	for pattern, h := range map[string]struct {
		op    string
		serve func(*http.Request) answer
	}{
		"GET /version":                      {OpVersion, s.build},
		"GET /sessions":                     {OpList, s.list},
		"POST /sessions":                    {OpCreate, s.create},
		"GET /sessions/{id}":                {OpGet, s.about(s.get)},
		"GET /sessions/{id}/state":          {OpState, s.about(s.state)},
		"DELETE /sessions/{id}":             {OpDelete, s.delete},
		"GET /sessions/{id}/statements":     {OpStatements, s.about(s.listStatements)},
		"POST /sessions/{id}/statements":    {OpExecute, s.about(s.execute)},
		"GET /sessions/{id}/statements/{n}": {OpStatement, s.about(s.statement)},
		"GET /batches":                      {OpBatches, s.batches},
		"/":                                 {opUnknown, func(*http.Request) answer { return answer{status: 404, body: html("")} }},
	} {
		s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			s.Serve(w, r, h.op, refusals, func(w http.ResponseWriter, r *http.Request) {
				if no := s.authenticate(r); no.status != 0 {
					w.Header().Set("WWW-Authenticate", `Basic realm="Livy"`)
					no.write(w)
					return
				}
				if !s.config.NoCSRF && r.Method != http.MethodGet && r.Header.Get("X-Requested-By") == "" {
					forged.write(w)
					return
				}
				h.serve(r).write(w)
			})
		})
	}
	return s
}

// ServeHTTP serves one request.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// authenticate answers what a request without good credentials is told; the zero
// answer where it may pass. It counts the doAs of those that pass.
func (s *Sim) authenticate(r *http.Request) answer {
	user, password, given := r.BasicAuth()
	switch ask := s.config.Credentials; {
	case ask == nil:
	case !given:
		return no(401, "Authentication required")
	case !ask(user, password):
		return no(403, "Invalid credentials")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doAs[r.URL.Query().Get("doAs")]++
	return answer{}
}

// DoAs counts the requests that were made on a user's behalf (the parameter
// doAs); "" is for those on nobody's.
func (s *Sim) DoAs(user string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.doAs[user]
}

// Restart restarts the server without recovery: it forgets its sessions and
// counts from 0 again, also the minutes between its looks for idle ones. Their
// applications live on, seen by nobody here.
func (s *Sim) Restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	s.sweep(now)
	s.sessions, s.next, s.swept = nil, 0, now
}

// Break has the interpreter of the session of a number fail: the session is in
// error from now on, and its driver lives until somebody deletes the session. Livy
// itself does not collect it: each time it looks, the error is as old as the look.
func (s *Sim) Break(id int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.sessions {
		if x.id == id {
			x.broken = s.clock.Now()
		}
	}
}

// Runs is the ledger: every session there ever was. The id is "name/<name>" for
// those with a name of Nightshift's, else "app/<application id>".
func (s *Sim) Runs() []simrun.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	s.sweep(now)
	var records []simrun.Record
	for _, x := range s.all {
		records = append(records, x.record(now))
	}
	return simrun.Sort(records)
}

// sweep does what happened by itself since the last request.
func (s *Sim) sweep(now time.Time) {
	for tick := s.swept.Add(sweepEvery); !tick.After(now); tick = tick.Add(sweepEvery) {
		s.swept = tick
		s.sessions = slices.DeleteFunc(s.sessions, func(x *session) bool { return s.collect(x, tick) })
	}
	s.sessions = slices.DeleteFunc(s.sessions, func(x *session) bool {
		return !x.stopping.IsZero() && x.over(now)
	})
}

// collect is Livy's garbage collection of one session at one tick, in the order
// of Livy's own checks.
func (s *Sim) collect(x *session, tick time.Time) (gone bool) {
	if x.over(tick) {
		return tick.Sub(x.ended) > retain
	}
	if !x.stopping.IsZero() {
		return false
	}
	by := simrun.NoOne
	switch {
	case !x.broken.IsZero():
	case x.request.Heartbeat > 0 && tick.Sub(x.heartbeat) > time.Duration(x.request.Heartbeat)*time.Second:
		by = simrun.Heartbeat
	case s.config.SkipBusy && x.busy(tick):
	case tick.Sub(x.activity(tick)) > x.idleLimit:
		by = simrun.IdleTimeout
	case s.version >= withIdleTimeout && s.config.TTLCheck && x.ttl > 0 && tick.Sub(x.ready()) > x.ttl:
		by = simrun.MaxRuntime
	}
	if by == simrun.NoOne {
		return false
	}
	x.stopping, x.ended, x.by = tick, tick, by
	return true
}

type answer struct {
	status   int
	body     any
	location string
}

func no(status int, format string, args ...any) answer {
	return answer{status: status, body: map[string]string{"msg": fmt.Sprintf(format, args...)}}
}

// html is a body that is a page.
type html string

// forged is what a request that changes something is told without the header
// X-Requested-By, by a filter before Livy's API: a page.
var forged = answer{status: 400, body: html("<html>\n<head><title>Error 400 </title></head>\n<body>\n<h2>HTTP ERROR: 400</h2>\n" +
	"<p>Reason:\n<pre>    Missing Required Header for CSRF protection.</pre></p>\n</body>\n</html>\n")}

func (a answer) write(w http.ResponseWriter) {
	if page, is := a.body.(html); is {
		w.Header().Set("Content-Type", "text/html;charset=utf-8")
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, string(page)) // the caller is gone if this fails
		return
	}
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	if a.location != "" {
		w.Header().Set("Location", a.location)
	}
	w.WriteHeader(a.status)
	// The caller is gone if this fails; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(a.body)
}

// refusals: a server that is down gives no answer at all. Livy itself throttles
// nothing but creations; a 429 is what a proxy before it would say.
var refusals = simrun.Refusals{
	Down:      simrun.Cut,
	Throttled: no(429, "Too many requests").write,
	Lost:      simrun.Cut,
}

func (s *Sim) build(*http.Request) answer {
	return answer{status: 200, body: map[string]string{
		"version": s.config.Version, "url": "https://livy.incubator.apache.org", "branch": "simulated", "revision": "simulated", "date": "", "user": "",
	}}
}

// window reads from and size.
func window(r *http.Request, size int) (int, int, error) {
	from := 0
	for name, target := range map[string]*int{"from": &from, "size": &size} {
		if v := r.URL.Query().Get(name); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil {
				return 0, 0, fmt.Errorf("For input string: %q", v) // Java's own words
			}
			*target = n
		}
	}
	return from, size, nil
}

func page[T any](all []T, from, size int) []T {
	until := min(len(all), max(0, from+size))
	return all[min(max(0, from), until):until]
}

// list does not count as a heartbeat of any session.
func (s *Sim) list(r *http.Request) answer {
	from, size, err := window(r, pageDefault)
	if err != nil {
		return no(400, "%v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	s.sweep(now)
	shown := []any{}
	for _, x := range page(s.sessions, from, size) {
		shown = append(shown, x.show(now, s.version))
	}
	return answer{status: 200, body: map[string]any{"from": from, "total": len(s.sessions), "sessions": shown}}
}

func (s *Sim) batches(*http.Request) answer {
	return answer{status: 200, body: map[string]any{"from": 0, "total": 0, "sessions": []any{}}}
}

func (s *Sim) create(r *http.Request) answer {
	in, consumed, err := s.version.session(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	s.sweep(now)
	starting := 0
	for _, x := range s.sessions {
		if x.state(now) == "starting" {
			starting++
		}
	}
	if starting >= maxCreation {
		return no(400, "Rejected, too many sessions are being created!")
	}
	if err != nil {
		return refused(err)
	}
	if doAs := r.URL.Query().Get("doAs"); doAs != "" {
		in.ProxyUser = &doAs // it wins over the body's
	}
	id := s.next
	s.next++ // whatever becomes of it
	if consumed != nil {
		return refused(consumed)
	}
	x, err := s.admit(id, in, now)
	if err != nil {
		return s.reject(err)
	}
	x.owner, _, _ = r.BasicAuth()
	s.sessions, s.all = append(s.sessions, x), append(s.all, x)
	return answer{status: 201, body: x.show(now, s.version), location: fmt.Sprintf("/sessions/%d", x.id)}
}

// refused is the answer of a body that cannot be read.
func refused(err error) answer {
	var r refusal
	if errors.As(err, &r) {
		return answer(r)
	}
	return no(400, "%v", err)
}

// reject is the answer where a session is refused; since 0.8.0 it says so.
func (s *Sim) reject(err error) answer {
	if s.version < withTTL {
		return no(400, "%v", err)
	}
	return no(400, "Rejected, Reason: %v", err)
}

// admit makes the session of a request, or says in Livy's words why not.
func (s *Sim) admit(id int, in request, now time.Time) (*session, error) {
	if in.Name != nil && strings.Trim(*in.Name, "0123456789") == "" {
		return nil, fmt.Errorf("Invalid session name: %s", *in.Name)
	}
	for _, x := range s.sessions {
		if in.Name != nil && x.name() == *in.Name {
			return nil, fmt.Errorf("Duplicate session name: Some(%s) for session %d", *in.Name, id)
		}
	}
	asked, err := simrun.Asked(in.Conf["spark.nightshift.sim.work"], in.Conf["spark.nightshift.sim.fail"])
	if err != nil {
		return nil, err
	}
	x := &session{id: id, request: in, created: now, heartbeat: now, idleLimit: s.config.Timeout}
	stamp, _ := strings.CutPrefix(x.name(), "ns-")
	x.plan = s.For(Habit, asked, x.name(), stamp)
	if !s.config.Local {
		x.app = fmt.Sprintf("application_%d_%04d", s.start().UnixMilli(), len(s.all)+1)
	}
	if x.plan.Work > 0 {
		st := x.add("simulated work", x.ready(), x.plan.Work)
		if x.plan.Fail {
			x.ended, x.by = st.end, simrun.Itself
		}
	}
	return x, s.bound(x)
}

// start is when the cluster's resource manager came up: part of application ids.
func (s *Sim) start() time.Time {
	if len(s.all) > 0 {
		return s.all[0].created
	}
	return s.clock.Now()
}

// bound applies the request's own limits: in 0.8 ttl is the idle limit, since
// 0.9.0 idleTimeout is, and ttl bounds the whole life. Before there are none.
func (s *Sim) bound(x *session) error {
	ttl, err := livyTime(x.request.TTL)
	if err != nil {
		return err
	}
	idle, err := livyTime(x.request.IdleTimeout)
	if err != nil {
		return err
	}
	if s.version >= withIdleTimeout {
		x.ttl = ttl
	} else {
		idle = ttl
	}
	if idle > 0 {
		x.idleLimit = idle
	}
	return nil
}

// about serves a request about one session, which is a heartbeat for it.
func (s *Sim) about(serve func(*session, *http.Request, time.Time) answer) func(*http.Request) answer {
	return func(r *http.Request) answer {
		s.mu.Lock()
		defer s.mu.Unlock()
		now := s.clock.Now()
		s.sweep(now)
		x := s.find(r.PathValue("id"))
		if x == nil {
			return no(404, "Session '%s' not found.", r.PathValue("id"))
		}
		x.heartbeat = now
		return serve(x, r, now)
	}
}

// find takes an id or a name: digits are an id.
func (s *Sim) find(idOrName string) *session {
	digits := strings.Trim(idOrName, "0123456789") == ""
	for _, x := range s.sessions {
		if digits && strconv.Itoa(x.id) == idOrName || !digits && x.name() == idOrName {
			return x
		}
	}
	return nil
}

func (s *Sim) get(x *session, _ *http.Request, now time.Time) answer {
	return answer{status: 200, body: x.show(now, s.version)}
}

func (s *Sim) state(x *session, _ *http.Request, now time.Time) answer {
	return answer{status: 200, body: map[string]any{"id": x.id, "state": x.state(now)}}
}

// delete answers when the session is down, as Livy does; the stop goes on when
// the caller has gone.
func (s *Sim) delete(r *http.Request) answer {
	var wait time.Duration
	a := s.about(func(x *session, _ *http.Request, now time.Time) answer {
		if x.over(now) {
			s.sessions = slices.DeleteFunc(s.sessions, func(y *session) bool { return x == y })
			return no(200, "deleted")
		}
		x.stops = append(x.stops, now)
		if x.stopping.IsZero() {
			x.stopping, x.ended, x.by = now, now.Add(max(0, x.plan.Grace)), simrun.StopRequest
		}
		wait = x.ended.Sub(now)
		return no(200, "deleted")
	})(r)
	if wait > 0 && s.clock.Sleep(r.Context(), wait) != nil {
		return no(500, "interrupted")
	}
	return a
}

func (s *Sim) listStatements(x *session, r *http.Request, now time.Time) answer {
	if !slices.Contains([]string{"idle", "busy", "starting"}, x.state(now)) {
		return no(400, "requirement failed: Session isn't active.")
	}
	all := []any{}
	for id, st := range x.statements {
		if !st.submitted.After(now) {
			all = append(all, st.show(id, now))
		}
	}
	from, size, err := window(r, len(all))
	if err != nil {
		return no(400, "%v", err)
	}
	if s.version >= withTTL && r.URL.Query().Get("order") == "desc" {
		slices.Reverse(all)
	}
	return answer{status: 200, body: map[string]any{"total_statements": len(all), "statements": page(all, from, size)}}
}

func (s *Sim) statement(x *session, r *http.Request, now time.Time) answer {
	n, err := strconv.Atoi(r.PathValue("n"))
	switch {
	case err != nil:
		return no(400, "For input string: %q", r.PathValue("n"))
	case n < 0 || n >= len(x.statements):
		return answer{status: 404, body: "Statement not found"}
	}
	return answer{status: 200, body: x.statements[n].show(n, now)}
}

func (s *Sim) execute(x *session, r *http.Request, now time.Time) answer {
	var code, kind, messageType *string
	if err := object(r.Body, statementClass, map[string]field{"code": text(&code), "kind": text(&kind), "msg_type": text(&messageType)}); err != nil {
		return refused(err)
	}
	if state := x.state(now); state != "idle" && state != "busy" {
		return answer{status: 500, body: "java.lang.IllegalStateException: Session is in state " + state}
	}
	if code == nil {
		code = new(string)
	}
	n := len(x.statements)
	st := x.add(*code, now, takes(*code))
	return answer{status: 201, body: st.show(n, now), location: fmt.Sprintf("/sessions/%d/statements/%d", x.id, n)}
}
