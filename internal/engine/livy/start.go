package livy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

// request is POST /sessions; other fields are unknown to Livy.
type request struct {
	Kind           string            `json:"kind,omitempty"`
	ProxyUser      string            `json:"proxyUser,omitempty"`
	Jars           []string          `json:"jars,omitempty"`
	PyFiles        []string          `json:"pyFiles,omitempty"`
	Files          []string          `json:"files,omitempty"`
	DriverMemory   string            `json:"driverMemory,omitempty"`
	DriverCores    int               `json:"driverCores,omitempty"`
	ExecutorMemory string            `json:"executorMemory,omitempty"`
	ExecutorCores  int               `json:"executorCores,omitempty"`
	NumExecutors   int               `json:"numExecutors,omitempty"`
	Archives       []string          `json:"archives,omitempty"`
	Queue          string            `json:"queue,omitempty"`
	Name           string            `json:"name,omitempty"`
	Conf           map[string]string `json:"conf,omitempty"`
	Heartbeat      int               `json:"heartbeatTimeoutInSecond,omitempty"`
	TTL            string            `json:"ttl,omitempty"`
	IdleTimeout    string            `json:"idleTimeout,omitempty"`
}

// Start creates an interactive session whose name carries the session id. The
// spec is the body of POST /sessions as JSON; the name is not the caller's to
// give. A Start.Idle becomes Livy's own idle limit where the spec asks for none
// that is smaller (S4.5): ttl in 0.8, idleTimeout since 0.9.0. A Start.MaxRuntime
// has an effect since 0.9.0 only, as ttl, and only where the server is configured
// to check it. Livy before 0.8.0 knows no limit of a session's own: there, what
// ends the run is Nightshift's deadline and idle limit alone, and the server's own
// idle limit for all.
//
// Livy has no idempotency key but names are unique: the list is looked at before
// the request, and again where it was refused.
func (e *Engine) Start(ctx context.Context, s app.Start) (workload.Run, error) {
	const op = "livy: create session"
	in, err := decode(s.Spec)
	if err != nil {
		return workload.Run{}, fault.New(op, fault.Invalid, err)
	}
	if s.Run.Kind != "" && s.Run.Kind != workload.LivySession {
		return workload.Run{}, fault.Newf(op, fault.Invalid, "runs of kind %s are not started here, only interactive sessions", s.Run.Kind)
	}
	in.Name = ours + s.SessionID
	run := workload.Run{Engine: workload.Livy, Endpoint: e.endpoint, ID: byName + in.Name, Kind: workload.LivySession, Application: workload.Spark}
	if there, _, _, err := e.find(ctx, op, run); err != nil || there != nil {
		return started(run, err)
	}
	if err := e.limit(ctx, in, s); err != nil {
		return workload.Run{}, err
	}
	var made session
	if err = e.do(ctx, op, http.MethodPost, "/sessions", in, &made); err == nil {
		e.memory.began(made)
	}
	if fault.Is(err, fault.Invalid) {
		if there, _, _, lookErr := e.find(ctx, op, run); lookErr == nil && there != nil {
			err = nil // another start of the same session was faster
		}
	}
	return started(run, err)
}

func started(run workload.Run, err error) (workload.Run, error) {
	if err != nil {
		return workload.Run{}, err
	}
	return run, nil
}

// decode reads the spec strictly.
func decode(spec []byte) (*request, error) {
	in := &request{}
	d := json.NewDecoder(bytes.NewReader(spec))
	d.DisallowUnknownFields()
	err := d.Decode(in)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return nil, fmt.Errorf("the spec is not a Livy session: %s must be a %s, not a %s", wrong.Field, wrong.Type, wrong.Value)
	case err != nil:
		return nil, fmt.Errorf("the spec is not a Livy session: %w", err)
	case in.Name != "":
		return nil, errors.New("name is set by Nightshift, it carries the session id: leave it out of the spec")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the spec has something after the session")
	}
	return in, nil
}

// words are how a server names limits of a session's own.
type words int

const (
	unasked   words = iota
	unread          // the version is not told
	wordless        // before 0.8.0: there are none
	idleAsTTL       // 0.8: ttl is the idle limit
	both            // since 0.9.0: idleTimeout is, and ttl bounds the life
)

// limit sets the session's own limits in Livy (S4.5), in the words of the
// server's version: the smaller of what the spec asks and what the session has. A
// spec that says idleTimeout is understood by 0.8 too. A field that a server does
// not know makes it refuse the session for good, so where the version is not told
// the spec goes as it was written, with no limit of ours.
func (e *Engine) limit(ctx context.Context, in *request, s app.Start) error {
	if s.Idle <= 0 && s.MaxRuntime <= 0 && in.TTL == "" && in.IdleTimeout == "" {
		return nil
	}
	w, err := e.vocabulary(ctx)
	if err != nil || w == unread {
		return err
	}
	ttl, idle := wish{"ttl", in.TTL}, wish{"idleTimeout", in.IdleTimeout}
	if w == both {
		if in.IdleTimeout, err = smallest(s.Idle, idle); err != nil {
			return err
		}
		in.TTL, err = smallest(s.MaxRuntime, ttl)
		return err
	}
	least, err := smallest(s.Idle, ttl, idle)
	in.TTL, in.IdleTimeout = least, ""
	if w == wordless && err == nil {
		in.TTL = ""
		if least != "" && (s.Idle <= 0 || least != seconds(s.Idle)) {
			return fault.Newf("livy: create session", fault.Invalid,
				"ttl, idleTimeout: Livy before 0.8.0 has no limit of a session's own, and Nightshift's idle limit is not as small as %s: leave it out", least)
		}
	}
	return err
}

// wish is a limit that a spec asks for; the text "" is none.
type wish struct{ field, text string }

// smallest gives the smallest of the limits that there are, in Livy's form.
func smallest(limit time.Duration, asked ...wish) (string, error) {
	least, text := limit, ""
	if limit > 0 {
		text = seconds(limit)
	}
	for _, w := range asked {
		d, err := livyTime(w.text)
		if err != nil {
			return "", fault.Newf("livy: create session", fault.Invalid, "%s: %w", w.field, err)
		}
		if d > 0 && (text == "" || d < least) {
			least, text = d, w.text
		}
	}
	return text, nil
}

var timeForm = regexp.MustCompile(`^([0-9]{1,9})(us|ms|s|m|min|h|d)?$`)

// livyTime reads a time as Livy writes it: a whole number and a unit, without
// one milliseconds (ClientConf.getTimeAsMs). "" is 0, no limit.
func livyTime(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	m := timeForm.FindStringSubmatch(strings.ToLower(strings.TrimSpace(text)))
	if m == nil {
		return 0, fmt.Errorf("%q is not a time in Livy's form, such as 90m or 5400s", text)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	unit := map[string]time.Duration{
		"us": time.Microsecond, "": time.Millisecond, "ms": time.Millisecond, "s": time.Second,
		"m": time.Minute, "min": time.Minute, "h": time.Hour, "d": 24 * time.Hour,
	}[m[2]]
	return min(time.Duration(n), math.MaxInt64/unit) * unit, err
}

// seconds is a time in Livy's form, a second at least.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int(d/time.Second))) + "s"
}

// vocabulary is how the server names limits, by its version; it is asked once.
// What is answered with anything but a version does not tell it.
func (e *Engine) vocabulary(ctx context.Context) (words, error) {
	e.mu.Lock()
	known := e.words
	e.mu.Unlock()
	if known != unasked {
		return known, nil
	}
	var said struct {
		Version string `json:"version"`
	}
	err := e.do(ctx, "livy: read the version", http.MethodGet, "/version", nil, &said)
	if k := fault.KindOf(err); err != nil && k != fault.NotFound && k != fault.Denied && k != fault.Invalid {
		return unasked, err
	}
	known = wordsOf(said.Version)
	e.mu.Lock()
	e.words = known
	e.mu.Unlock()
	return known, nil
}

// wordsOf reads a version such as "0.8.0-incubating".
func wordsOf(version string) words {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(minor)
	switch {
	case errA != nil || errB != nil:
		return unread
	case a == 0 && b < 8:
		return wordless
	case a == 0 && b == 8:
		return idleAsTTL
	}
	return both
}
