// Package livy controls the sessions of one Apache Livy server, as Amazon EMR
// runs it on a cluster's primary node. It knows Livy's REST API, its words for
// states and its rules of idleness and names; it must not know users, policy or
// when anything should stop. It never retries: whoever calls paces the calls.
//
// Livy's own session ids are small numbers that begin at 0 again when the server
// restarts, so they never leave this package: a run's id is a name that lasts
// (see identify).
package livy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

const (
	// pageSize is how many sessions are asked for at once.
	pageSize = 1000
	// pagesMax bounds one listing; past it the listing is answered as incomplete.
	pagesMax = 50
	// looksMax bounds how many idle sessions' statements one listing reads; the
	// activity of further ones is not known this time.
	looksMax = 200
	// progressMax bounds how many busy sessions' statements one listing reads to say
	// how far they are; of the others that is not said.
	progressMax = 50
	// statementsSize is how many of a session's last statements are read.
	statementsSize = 20
	// bodyMax bounds what is read of one answer; a longer one is an error.
	bodyMax = 64 << 20
	// stopWait is how long Stop waits for Livy's DELETE, which answers only when
	// the session is down; the stop goes on without us.
	stopWait = 10 * time.Second
)

var _ app.Engine = (*Engine)(nil)

// Engine is an app.Engine for one Livy server.
type Engine struct {
	base     string
	client   *http.Client
	endpoint string
	now      func() time.Time
	stopWait time.Duration
	pageSize int
	ask      Credentials // nil: none are presented
	doAs     string      // "": nobody

	memory memory

	mu    sync.Mutex
	words words // how the server names limits; unasked until it was asked
}

// Option changes how an Engine behaves.
type Option func(*Engine)

// WithStopWait sets how long Stop waits for the server to finish a DELETE before
// it takes the stop as accepted; 10 s otherwise.
func WithStopWait(d time.Duration) Option { return func(e *Engine) { e.stopWait = d } }

// WithPageSize sets how many sessions are asked for at once; 1,000 otherwise, and
// for 0.
func WithPageSize(n int) Option {
	return func(e *Engine) {
		if n > 0 {
			e.pageSize = n
		}
	}
}

// New gives the engine of the endpoint "livy/<cluster id>" whose Livy server is
// at base, for example "https://ip-10-0-0-1.ec2.internal:8998". Trust is the
// client's (see Client), authentication an option.
func New(base string, client *http.Client, endpoint string, now func() time.Time, options ...Option) *Engine {
	e := &Engine{
		base: strings.TrimRight(base, "/"), client: client, endpoint: endpoint, now: now,
		stopWait: stopWait, pageSize: pageSize,
	}
	for _, o := range options {
		o(e)
	}
	if e.ask != nil {
		e.client = authenticated(client, e.base, e.ask, now)
	}
	return e
}

// Endpoint is the id under which the engine lists its runs.
func (e *Engine) Endpoint() string { return e.endpoint }

// List looks at every session and batch that the server knows; those that died
// stay for ten minutes. It does not keep sessions alive: only where a session
// is idle and is not known to have a heartbeat are its statements read. Batches
// are listed, so that they are seen, and carry no activity. For ten minutes after
// a restart was seen the listing is incomplete (see memory); what we ourselves
// saw stopped since is in it, as gone.
func (e *Engine) List(ctx context.Context, endpoint string) (workload.Listing, error) {
	if endpoint != e.endpoint {
		return workload.Listing{}, fault.Newf("livy: list sessions", fault.Invalid, "this is %s, not %s", e.endpoint, endpoint)
	}
	all, asked, complete, err := e.collection(ctx, sessions)
	if err != nil {
		return workload.Listing{}, err
	}
	l := workload.Listing{Complete: complete}
	if until, stopped := e.memory.doubt(asked); !until.IsZero() {
		l.Complete, l.Forgotten = false, complete
		for _, id := range stopped {
			l.Runs = append(l.Runs, e.gone(workload.Run{Engine: workload.Livy, ID: id, Kind: workload.LivySession, Application: workload.Spark}, asked))
		}
	}
	looks := looks{idle: looksMax, busy: progressMax}
	for _, s := range all {
		id := s.identify(sessions)
		if id == "" {
			if !state(s.State).Over() {
				l.Unidentified++
			}
			continue
		}
		o, err := e.active(ctx, s, e.observe(s, id, sessions, asked), &looks)
		if err != nil {
			looks.idle, looks.busy = 0, 0 // the server has other troubles: what was listed stands
		}
		l.Runs = append(l.Runs, o)
	}
	return e.addBatches(ctx, l)
}

func (e *Engine) addBatches(ctx context.Context, l workload.Listing) (workload.Listing, error) {
	all, asked, complete, err := e.collection(ctx, batches)
	if fault.Is(err, fault.NotFound) {
		return l, nil // a server without batches
	}
	whole := complete && err == nil
	l.Complete, l.Forgotten = l.Complete && whole, l.Forgotten && whole
	for _, b := range all {
		switch id := b.identify(batches); {
		case id != "":
			l.Runs = append(l.Runs, e.observe(b, id, batches, asked))
		case !state(b.State).Over():
			l.Unidentified++
		}
	}
	return l, err
}

// looks are how many sessions' statements may still be read.
type looks struct{ idle, busy int }

// active completes an observation by what the session does. Where it is said to
// be idle its statements decide, read while looks are left: one that is not
// finished makes it busy, and a busy session is never idle (S2.2). Of a busy one
// they say how far its work is (S4.6).
func (e *Engine) active(ctx context.Context, s session, o workload.Observation, left *looks) (workload.Observation, error) {
	switch {
	case o.State == workload.Running:
		o.Activity = workload.Activity{Known: true, Busy: true}
		// Reading moves what Livy counts a session's own timeout from, which ends busy
		// ones too where timeout-check.skip-busy is off. Of those that were started
		// through us it is we who see to their end.
		if strings.HasPrefix(s.Name, ours) && s.quiet() && left.busy > 0 {
			left.busy--
			last, _, err := e.statements(ctx, s)
			o.Progress = last.progress(o.At)
			return o, err
		}
	case s.looked() && left.idle > 0:
		left.idle--
		last, known, err := e.statements(ctx, s)
		if err != nil || !known {
			return o, err
		}
		if o.Activity = last.activity(); o.Activity.Busy {
			o.State, o.Progress = workload.Running, last.progress(o.At)
		}
	}
	return o, nil
}

// Describe looks a run up in a complete listing: a GET of the session itself
// would keep it alive. A server that cannot be reached, or that restarted less
// than ten minutes ago, is an error; one that answers without the run says that
// it is gone from there.
func (e *Engine) Describe(ctx context.Context, run workload.Run) (workload.Observation, error) {
	const op = "livy: describe session"
	s, kind, asked, err := e.find(ctx, op, run)
	switch {
	case err != nil:
		return workload.Observation{}, err
	case s != nil && kind == batches:
		return e.observe(*s, run.ID, kind, asked), nil
	case s != nil:
		looks := looks{idle: 1, busy: 1}
		// Activity that cannot be read is not known; the state stands.
		o, _ := e.active(ctx, *s, e.observe(*s, run.ID, kind, asked), &looks)
		return o, nil
	}
	if err := e.forgotten(op, run, asked); err != nil {
		return workload.Observation{}, err
	}
	return e.gone(run, asked), nil
}

// gone is what is seen of a run that the server does not know.
func (e *Engine) gone(run workload.Run, asked time.Time) workload.Observation {
	run.Endpoint = e.endpoint
	return workload.Observation{Run: run, State: workload.Gone, At: asked}
}

// forgotten is the fault of a run that is not listed while that proves nothing, to
// this process's knowledge; nil where it does.
func (e *Engine) forgotten(op string, run workload.Run, asked time.Time) error {
	until, stopped := e.memory.doubt(asked)
	if until.IsZero() || slices.Contains(stopped, run.ID) {
		return nil
	}
	return fault.Newf(op, fault.Unknown, "the server was restarted and has forgotten its sessions: the driver of %s may live until %s", run.ID, until.Format(time.RFC3339))
}

// find gives the session of a run, nil where the server has none.
func (e *Engine) find(ctx context.Context, op string, run workload.Run) (*session, kind, time.Time, error) {
	k := kindOf(run.ID)
	all, asked, complete, err := e.collection(ctx, k)
	if err != nil {
		return nil, k, asked, err
	}
	var found *session
	for i := range all {
		// Of two, the living one: a dead session's name may be used again.
		if all[i].is(run.ID, k) && (found == nil || state(found.State).Over()) {
			found = &all[i]
		}
	}
	if found == nil && !complete {
		return nil, k, asked, fault.Newf(op, fault.Unknown, "the sessions changed while they were listed, %s was not among them", run.ID)
	}
	return found, k, asked, nil
}

// Stop deletes a session. Livy answers a DELETE only when the session is down:
// once the request is sent, our own impatience counts as accepted. What a
// restarted server has forgotten cannot be stopped: that is an error, until
// nothing of it can be left.
func (e *Engine) Stop(ctx context.Context, run workload.Run) error {
	const op = "livy: delete session"
	s, k, asked, err := e.find(ctx, op, run)
	switch {
	case err != nil:
		return err
	case s == nil:
		if err := e.forgotten(op, run, asked); err != nil {
			return err
		}
		// Whether it ever knew it, only a process that saw it before can tell.
		return fault.Newf(op, fault.NotFound, "the server has no session %s", run.ID)
	case state(s.State).Over() && !s.remains(k):
		return nil
	}
	e.memory.stopping(k, s.ID)
	var sent atomic.Bool
	patient, cancel := context.WithTimeout(ctx, e.stopWait)
	defer cancel()
	traced := httptrace.WithClientTrace(patient, &httptrace.ClientTrace{
		WroteRequest: func(i httptrace.WroteRequestInfo) { sent.Store(i.Err == nil) },
		// Answered, it is not what is waited for: a refusal may be followed by another try.
		GotFirstResponseByte: func() { sent.Store(false) },
	})
	err = e.do(traced, op, http.MethodDelete, "/"+string(k)+"/"+s.address(), nil, nil)
	if err == nil || fault.Is(err, fault.NotFound) {
		e.memory.stopped(k, s.ID, run.ID, asked)
		return nil
	}
	if sent.Load() && ctx.Err() == nil && errors.Is(patient.Err(), context.DeadlineExceeded) {
		return nil
	}
	return err
}

// statements reads a session's last statements; false where it is not active any
// more, or gone. This is a heartbeat for the session, and it is not counted as
// activity.
func (e *Engine) statements(ctx context.Context, s session) (answer, bool, error) {
	const op = "livy: list statements"
	path := "/sessions/" + s.address() + "/statements?order=desc&size=" + strconv.Itoa(statementsSize)
	read := func(from int) (a answer, err error) {
		err = e.do(ctx, op, http.MethodGet, path+"&from="+strconv.Itoa(from), nil, &a)
		return a, err
	}
	last, err := read(0)
	if n := last.Total - statementsSize; err == nil && n > 0 && len(last.Statements) > 0 && last.Statements[0].ID == 0 {
		last, err = read(n) // a server that knows no order=desc gave the first ones
	}
	switch {
	case fault.Is(err, fault.Invalid), fault.Is(err, fault.NotFound):
		return answer{}, false, nil
	case err != nil:
		return answer{}, false, err
	}
	return last, true, nil
}

func (l answer) activity() workload.Activity {
	a := workload.Activity{Known: true}
	for _, s := range l.Statements {
		a.Busy = a.Busy || s.unfinished()
		if t := time.UnixMilli(s.completed()).UTC(); s.completed() > 0 && t.After(a.Since) {
			a.Since = t
		}
	}
	return a
}

// progress is how far the statement is that runs. Livy counts its Spark tasks:
// between two jobs of a statement it says what it said last.
func (l answer) progress(at time.Time) workload.Progress {
	for _, s := range l.Statements {
		if s.State == "running" && s.Progress >= 0 && s.Progress <= 1 {
			p := workload.Progress{Of: "statement " + strconv.Itoa(s.ID), Fraction: s.Progress, At: at}
			if s.Started > 0 {
				p.Since = time.UnixMilli(s.Started).UTC()
			}
			return p
		}
	}
	return workload.Progress{}
}

type answer struct {
	Total      int         `json:"total_statements"`
	Statements []statement `json:"statements"`
}

type statement struct {
	ID        int             `json:"id"`
	State     string          `json:"state"`
	Output    json.RawMessage `json:"output"`
	Progress  float64         `json:"progress"`  // 0 to 1
	Started   int64           `json:"started"`   // milliseconds since 1970; 0: a server that does not say
	Completed *int64          `json:"completed"` // milliseconds since 1970; 0: not yet; nil: a server that does not say
}

func (s statement) completed() int64 {
	if s.Completed == nil {
		return 0
	}
	return *s.Completed
}

// unfinished says whether a statement keeps its session busy. Livy calls one
// available a moment before it notes when it was completed: until then it is not
// (S2.2). Where no time is told, the output decides.
func (s statement) unfinished() bool {
	switch s.State {
	case "waiting", "running", "cancelling":
		return true
	case "available":
		if s.Completed != nil {
			return *s.Completed == 0
		}
		return len(s.Output) == 0 || string(s.Output) == "null"
	}
	return false
}

// collection lists all sessions or batches. complete is false where the server's
// total changed between pages: something may have slipped from one to another.
func (e *Engine) collection(ctx context.Context, k kind) (all []session, asked time.Time, complete bool, err error) {
	asked, look := e.now(), e.memory.look()
	known := map[int]bool{}
	total := -1
	for range pagesMax {
		var page struct {
			Total    int       `json:"total"`
			Sessions []session `json:"sessions"`
		}
		path := fmt.Sprintf("/%s?from=%d&size=%d", k, len(all), e.pageSize)
		if err := e.do(ctx, "livy: list "+string(k), http.MethodGet, path, nil, &page); err != nil {
			return nil, asked, false, err
		}
		if total >= 0 && total != page.Total {
			return all, asked, false, nil
		}
		total = page.Total
		for _, s := range page.Sessions {
			if !known[s.ID] {
				known[s.ID] = true
				all = append(all, s)
			}
		}
		if len(all) >= total || len(page.Sessions) == 0 {
			complete = len(all) == total
			if complete && k == sessions {
				e.memory.saw(all, asked, look)
			}
			return all, asked, complete, nil
		}
	}
	return all, asked, false, nil
}

// do makes one request and reads its answer.
func (e *Engine) do(ctx context.Context, op, method, path string, body, into any) error {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return fault.New(op, fault.Invalid, err)
		}
		reader = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(ctx, method, e.base+e.onBehalf(path, body), reader)
	if err != nil {
		return fault.New(op, fault.Invalid, err)
	}
	r.Header.Set("Accept", "application/json")
	if method != http.MethodGet {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Requested-By", "nightshift") // Livy's protection against forged requests
	}
	res, err := e.client.Do(r)
	e.memory.heard(ctx, res, err)
	if err != nil {
		// Unknown, but for credentials that were not given: those say why.
		return fault.New(op, fault.KindOf(err), err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, bodyMax+1))
	switch {
	case err != nil:
		return fault.New(op, fault.Unknown, err)
	case len(raw) > bodyMax:
		return fault.Newf(op, fault.Unknown, "the answer is longer than %d bytes", bodyMax)
	case res.StatusCode >= 300:
		return classify(op, res.StatusCode, raw)
	case into == nil:
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fault.Newf(op, fault.Unknown, "the answer is not what Livy answers: %w", err)
	}
	return nil
}

// onBehalf adds the doAs parameter to a path. It would win over the user that a
// new session names itself.
func (e *Engine) onBehalf(path string, body any) string {
	if in, creates := body.(*request); e.doAs == "" || creates && in.ProxyUser != "" {
		return path
	}
	mark := "?"
	if strings.Contains(path, "?") {
		mark = "&"
	}
	return path + mark + "doAs=" + url.QueryEscape(e.doAs)
}

// messageMax is how much of an error's words is kept.
const messageMax = 500

// classify says what to do about an answer that is not a success.
func classify(op string, status int, body []byte) error {
	var said struct {
		Msg string `json:"msg"`
	}
	if json.Unmarshal(body, &said) != nil && json.Unmarshal(body, &said.Msg) != nil || said.Msg == "" {
		said.Msg = strings.TrimSpace(string(body)) // neither an object nor a text alone: a page
	}
	if len(said.Msg) > messageMax {
		said.Msg = said.Msg[:messageMax] + "…"
	}
	kind := fault.Unknown
	switch {
	case status == http.StatusTooManyRequests, status == http.StatusBadRequest && strings.Contains(said.Msg, "too many sessions"):
		kind = fault.Throttled
	case status == http.StatusBadRequest:
		kind = fault.Invalid
	case status == http.StatusNotFound:
		kind = fault.NotFound
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		kind = fault.Denied
	}
	return fault.Newf(op, kind, "%d: %s", status, said.Msg)
}

// address is how a session is named in a path: by its name where that is ours,
// so that a restart between looking and asking cannot hit another one; else by
// its number.
func (s session) address() string {
	if strings.HasPrefix(s.Name, ours) {
		return url.PathEscape(s.Name)
	}
	return strconv.Itoa(s.ID)
}
