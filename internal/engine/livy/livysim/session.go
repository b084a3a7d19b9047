package livysim

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"nightshift/internal/engine/simrun"
)

// session is what the server, and later the ledger, knows of one session.
type session struct {
	id        int
	app       string // the YARN application's id; "" in local mode
	owner     string // the authenticated user who asked for it; "" without authentication
	request   request
	created   time.Time
	plan      simrun.Plan
	idleLimit time.Duration
	ttl       time.Duration // 0: none
	heartbeat time.Time     // the last request about this very session

	statements []*statement
	stops      []time.Time
	broken     time.Time // its interpreter has failed since then, and its driver lives; zero: it has not
	stopping   time.Time // zero: nobody stops it
	ended      time.Time // known once it is decided; may lie ahead while it is stopping
	by         simrun.Ender
}

type statement struct {
	code      string
	submitted time.Time
	takes     time.Duration
	start     time.Time
	end       time.Time
}

func (s *session) ready() time.Time { return s.created.Add(max(0, s.plan.StartDelay)) }

func (s *session) name() string {
	if s.request.Name == nil {
		return ""
	}
	return *s.request.Name
}

// add queues a statement: they run one after the other, once the session is up.
func (s *session) add(code string, submitted time.Time, takes time.Duration) *statement {
	start := submitted
	if start.Before(s.ready()) {
		start = s.ready()
	}
	if n := len(s.statements); n > 0 && s.statements[n-1].end.After(start) {
		start = s.statements[n-1].end
	}
	st := &statement{code: code, submitted: submitted, takes: takes, start: start, end: start.Add(takes)}
	s.statements = append(s.statements, st)
	return st
}

func (s *session) over(now time.Time) bool { return !s.ended.IsZero() && !now.Before(s.ended) }

// state is Livy's word.
func (s *session) state(now time.Time) string {
	switch {
	case s.over(now):
		return "dead"
	case !s.stopping.IsZero() && !now.Before(s.stopping):
		return "shutting_down"
	case !s.broken.IsZero() && !now.Before(s.broken):
		return "error"
	case now.Before(s.ready()):
		return "starting"
	case s.busy(now):
		return "busy"
	}
	return "idle"
}

func (s *session) busy(now time.Time) bool {
	return slices.ContainsFunc(s.statements, func(st *statement) bool {
		return !st.submitted.After(now) && now.Before(st.end)
	})
}

// activity is the moment from which Livy counts idleness: creation, the last
// statement sent, the last one finished. Reading does not count.
func (s *session) activity(now time.Time) time.Time {
	last := s.created
	for _, st := range s.statements {
		for _, t := range []time.Time{st.submitted, st.end} {
			if t.After(last) && !t.After(now) {
				last = t
			}
		}
	}
	return last
}

// appID becomes known when YARN has accepted the application.
func (s *session) appID(now time.Time) *string {
	if s.app == "" || now.Before(s.created.Add(s.plan.StartDelay/2)) {
		return nil
	}
	return &s.app
}

func (s *session) record(now time.Time) simrun.Record {
	r := simrun.Record{ID: "app/" + s.app, Name: s.name(), Created: s.created, Stops: slices.Clone(s.stops)}
	if stamp, ok := strings.CutPrefix(s.name(), "ns-"); ok {
		r.ID, r.Session = "name/"+s.name(), stamp
	}
	if s.request.ProxyUser != nil {
		r.User = *s.request.ProxyUser
	}
	if !now.Before(s.ready()) && (s.stopping.IsZero() || !s.stopping.Before(s.ready())) {
		r.Started = s.ready()
	}
	switch s.state(now) {
	case "starting":
		r.Phase = simrun.Pending
	case "shutting_down":
		r.Phase = simrun.Stopping
	case "dead":
		r.Ended, r.By, r.Phase = s.ended, s.by, simrun.Stopped
		if s.by == simrun.Itself {
			r.Phase = simrun.Failed
		}
	default:
		r.Phase = simrun.Running
	}
	return r
}

// show is the session as the API of a version gives it: there is no time in it.
func (s *session) show(now time.Time, v version) map[string]any {
	list := func(l []string) []string { return append([]string{}, l...) }
	r := s.request
	conf := map[string]string{}
	for k, v := range r.Conf {
		conf[k] = v
	}
	var owner *string
	if s.owner != "" {
		owner = &s.owner
	}
	shown := map[string]any{
		"id": s.id, "name": r.Name, "appId": s.appID(now), "owner": owner, "proxyUser": r.ProxyUser, "state": s.state(now), "kind": r.Kind,
		"appInfo": map[string]any{"driverLogUrl": nil, "sparkUiUrl": nil}, "log": []string{"stdout: ", "\nstderr: "},
	}
	if v < withTTL {
		return shown
	}
	maps.Copy(shown, map[string]any{
		"ttl": r.TTL, "driverMemory": r.DriverMemory, "driverCores": r.DriverCores, "executorMemory": r.ExecutorMemory, "executorCores": r.ExecutorCores,
		"conf": conf, "archives": list(r.Archives), "files": list(r.Files), "heartbeatTimeoutInSecond": r.Heartbeat,
		"jars": list(r.Jars), "numExecutors": r.NumExecutors, "pyFiles": list(r.PyFiles), "queue": r.Queue,
	})
	if v >= withIdleTimeout {
		shown["idleTimeout"] = r.IdleTimeout
	}
	return shown
}

func (st *statement) show(id int, now time.Time) map[string]any {
	shown := map[string]any{"id": id, "code": st.code, "state": "waiting", "output": nil, "progress": 0.0, "started": 0, "completed": 0}
	if now.Before(st.start) {
		return shown
	}
	shown["state"], shown["started"] = "running", st.start.UnixMilli()
	if now.Before(st.end) {
		shown["progress"] = float64(now.Sub(st.start)) / float64(st.takes)
		return shown
	}
	shown["state"], shown["completed"], shown["progress"] = "available", st.end.UnixMilli(), 1.0
	shown["output"] = map[string]any{"status": "ok", "execution_count": id, "data": map[string]string{"text/plain": ""}}
	return shown
}

var (
	sleepWords   = regexp.MustCompile(`\bsleep\s+([0-9][0-9a-z.]*)`)
	sleepSeconds = regexp.MustCompile(`\bsleep\(\s*([0-9]+)\s*\)`)
)

// takes reads how long a statement runs: "sleep 9h" or "time.sleep(30)"; all
// other code takes a second.
func takes(code string) time.Duration {
	if m := sleepWords.FindStringSubmatch(code); m != nil {
		if d, err := time.ParseDuration(m[1]); err == nil {
			return d
		}
	}
	if m := sleepSeconds.FindStringSubmatch(code); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			return time.Duration(n) * time.Second
		}
	}
	return time.Second
}

var timeForm = regexp.MustCompile(`^([0-9]+)([a-z]+)?$`)

// livyTime reads a time as Livy's configuration writes it; without a unit it is
// in milliseconds. nil and "" are none.
func livyTime(text *string) (time.Duration, error) {
	if text == nil || *text == "" {
		return 0, nil
	}
	units := map[string]time.Duration{
		"": time.Millisecond, "us": time.Microsecond, "ms": time.Millisecond, "s": time.Second,
		"m": time.Minute, "min": time.Minute, "h": time.Hour, "d": 24 * time.Hour,
	}
	m := timeForm.FindStringSubmatch(strings.TrimSpace(*text))
	if m == nil || units[m[2]] == 0 {
		return 0, fmt.Errorf("Invalid time string: %s", *text) // Livy's own words
	}
	n, err := strconv.ParseInt(m[1], 10, 32)
	if err != nil {
		return 0, err
	}
	return time.Duration(n) * units[m[2]], nil
}
