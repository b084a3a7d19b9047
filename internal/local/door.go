package local

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"nightshift/internal/app"
	"nightshift/internal/asl"
	"nightshift/internal/doctor/account/accountsim"
	"nightshift/internal/fault"
	"nightshift/internal/inbound"
	"nightshift/internal/outbound"
)

// bodyMax is the largest event the door takes: what EventBridge takes.
// wholeMax is the largest request of any kind; a larger one is refused unread.
const (
	bodyMax  = 1 << 20
	wholeMax = 6 << 20
)

// Door is the plain HTTP door of the local system: events in, executions in,
// sessions out, and the engines' own protocols; at its root the protocols of AWS
// that the AWS CLI and the SDKs speak. While a request is served, time stands
// still for everything else.
func (s *System) Door() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"status": "ok", "simulated": true, "now": s.Clock.Now(),
			"about": "a local Nightshift with simulated engines; not for production; signatures of AWS requests are not checked"})
	})
	mux.HandleFunc("POST /{$}", s.serveRoot)
	mux.Handle("GET "+accountsim.LambdaFunctions, s.Cloud)
	mux.Handle("GET "+accountsim.LambdaAccount, s.Cloud)
	mux.Handle("/virtualclusters", s.EMR)
	mux.Handle("/virtualclusters/", s.EMR)
	mux.HandleFunc("POST /events", s.postEvent)
	mux.HandleFunc("POST /executions/run", s.postRun)
	mux.HandleFunc("GET /executions/run/{name}", s.getRun)
	mux.HandleFunc("DELETE /executions/run/{name}", s.abortRun)
	mux.HandleFunc("GET /sessions", s.getSessions)
	mux.HandleFunc("GET /sessions/{id}", s.getSession)
	mux.HandleFunc("GET /parked", s.getParked)
	mux.HandleFunc("GET /proof", s.getProof)
	people := s.console()
	for _, at := range []string{"/api/", "/signin", "GET /{$}", "GET /assets/"} {
		mux.Handle(at, people)
	}
	mux.Handle("/emr-notebook", http.StripPrefix("/emr-notebook", s.Notebooks))
	mux.Handle("/emr-notebook/", http.StripPrefix("/emr-notebook", s.Notebooks))
	mux.Handle("/livy/", http.StripPrefix("/livy", s.Livy[Livy]))
	mux.Handle("/emr-containers/", http.StripPrefix("/emr-containers", s.EMR))
	mux.Handle("/sagemaker", http.StripPrefix("/sagemaker", s.SageMaker))
	mux.Handle("/sagemaker/", http.StripPrefix("/sagemaker", s.SageMaker))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if allowed, ok := methods[r.URL.Path]; ok {
			w.Header().Set("Allow", allowed)
			refuse(w, http.StatusMethodNotAllowed, fmt.Errorf("%s %s is not served; %s takes %s", r.Method, r.URL.Path, r.URL.Path, allowed))
			return
		}
		refuse(w, http.StatusNotFound, fmt.Errorf("%s %s is not served; there are POST /events, POST /executions/run, GET /executions/run/{name}, "+
			"GET /sessions, GET /sessions/{id}, GET /parked, GET /proof, GET /healthz, the page for people at GET /, its API under /api/ (GET /api/openapi.json describes it), the engines under /livy/, /emr-containers/, /sagemaker/ and /emr-notebook/, "+
			"and at the root what the AWS CLI sends for events, stepfunctions, sagemaker, emr (notebook executions), emr-containers and sts get-caller-identity", r.Method, r.URL.Path))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The whole body comes first: a caller who is slow must not stop time.
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, wholeMax))
		if err != nil {
			refuse(w, http.StatusRequestEntityTooLarge, fmt.Errorf("the body must come whole, and have at most %d bytes", wholeMax))
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(b))
		s.Clock.Enter()
		defer s.Clock.Leave()
		mux.ServeHTTP(w, r)
	})
}

// methods are what the plain paths take.
var methods = map[string]string{
	"/healthz": "GET", "/events": "POST", "/executions/run": "POST", "/sessions": "GET", "/parked": "GET", "/proof": "GET",
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	_ = enc.Encode(body) // the caller has gone; there is nobody to tell
}

func refuse(w http.ResponseWriter, status int, err error) {
	answer(w, status, map[string]string{"error": err.Error()})
}

func body(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMax))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, fmt.Errorf("the body must be at most %d bytes", bodyMax))
		return nil, false
	}
	return b, true
}

func (s *System) postEvent(w http.ResponseWriter, r *http.Request) {
	b, ok := body(w, r)
	if !ok {
		return
	}
	if err := s.Put(b); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	answer(w, http.StatusAccepted, map[string]any{"accepted": true, "now": s.Clock.Now()})
}

func (s *System) postRun(w http.ResponseWriter, r *http.Request) {
	b, ok := body(w, r)
	if !ok {
		return
	}
	name := r.URL.Query().Get("name")
	if name == "" {
		name = fmt.Sprintf("run-%d", s.serial())
	}
	// What the machine would refuse is refused here, where its sender still listens;
	// Step Functions starts an execution, which fails.
	in, _, err := inbound.ParseRun("", b)
	if err == nil {
		err = s.App.CheckStarter(in.User)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	arn, err := s.Run(name, b)
	switch {
	case errors.Is(err, asl.ErrExecutionAlreadyExists):
		refuse(w, http.StatusConflict, err)
	case err != nil:
		refuse(w, http.StatusBadRequest, err)
	default:
		answer(w, http.StatusAccepted, map[string]any{"executionArn": arn, "name": name, "session": app.SessionOfExecution(arn)})
	}
}

// serial numbers executions that were given no name.
func (s *System) serial() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	return s.runs
}

func (s *System) execution(w http.ResponseWriter, r *http.Request) *asl.Execution {
	e, err := s.Execution(asl.ExecutionARN(machineARN("run"), r.PathValue("name")))
	if err != nil {
		refuse(w, http.StatusNotFound, fmt.Errorf("there is no execution %q of run", r.PathValue("name")))
		return nil
	}
	return e
}

func (s *System) getRun(w http.ResponseWriter, r *http.Request) {
	e := s.execution(w, r)
	if e == nil {
		return
	}
	name, cause := e.Failure()
	answer(w, http.StatusOK, map[string]any{"executionArn": e.ARN(), "status": e.Status(), "output": json.RawMessage(orNull(e.Output())), "error": name, "cause": cause,
		"session": app.SessionOfExecution(e.ARN())})
}

func orNull(b []byte) []byte {
	if len(b) == 0 {
		return []byte("null")
	}
	return b
}

func (s *System) abortRun(w http.ResponseWriter, r *http.Request) {
	e := s.execution(w, r)
	if e == nil {
		return
	}
	if err := s.Abort(e.ARN()); err != nil {
		refuse(w, http.StatusConflict, err)
		return
	}
	answer(w, http.StatusAccepted, map[string]any{"executionArn": e.ARN(), "aborted": true})
}

func (s *System) getSessions(w http.ResponseWriter, r *http.Request) {
	page, err := s.Store.List(r.Context(), r.URL.Query().Get("cursor"))
	if err != nil {
		refuse(w, statusOf(err), err)
		return
	}
	lines := make([]summary, 0, len(page.Sessions))
	for _, found := range page.Sessions {
		v := outbound.Session(found)
		line := summary{ID: v.ID, User: v.User, Engine: v.Run.Engine, Run: v.Run.ID, Mode: v.Mode, Status: v.Status, Deadline: v.Deadline, DeadlineSource: v.DeadlineSource}
		if v.End != nil {
			line.Cause = v.End.Cause
		}
		lines = append(lines, line)
	}
	answer(w, http.StatusOK, map[string]any{"sessions": lines, "next": page.Next})
}

// summary is one line of the list; GET /sessions/{id} tells the rest.
type summary struct {
	ID             string `json:"id"`
	User           string `json:"user"`
	Engine         string `json:"engine"`
	Run            string `json:"run"`
	Mode           string `json:"mode"`
	Status         string `json:"status"`
	Cause          string `json:"cause"`
	Deadline       string `json:"deadline"`
	DeadlineSource string `json:"deadlineSource"`
}

func (s *System) getSession(w http.ResponseWriter, r *http.Request) {
	found, entries, err := s.App.SessionStory(r.Context(), r.PathValue("id"))
	if fault.Is(err, fault.NotFound) {
		refuse(w, http.StatusNotFound, fmt.Errorf("there is no session %q", r.PathValue("id")))
		return
	}
	if err != nil {
		refuse(w, statusOf(err), err)
		return
	}
	views := make([]outbound.EntryView, 0, len(entries))
	for _, e := range entries {
		views = append(views, outbound.Entry(e))
	}
	answer(w, http.StatusOK, map[string]any{"session": outbound.Session(found), "history": views})
}

func (s *System) getParked(w http.ResponseWriter, r *http.Request) {
	parked, next, err := s.Store.ParkedEvents(r.Context(), r.URL.Query().Get("cursor"))
	if err != nil {
		refuse(w, statusOf(err), err)
		return
	}
	list := make([]map[string]any, 0, len(parked))
	for _, p := range parked {
		list = append(list, map[string]any{"id": p.ID, "source": p.Source, "reason": p.Reason, "at": p.At, "body": strings.ToValidUTF8(p.Body, "�")})
	}
	answer(w, http.StatusOK, map[string]any{"parked": list, "next": next})
}

func statusOf(err error) int {
	switch fault.KindOf(err) {
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Invalid:
		return http.StatusBadRequest
	case fault.Throttled:
		return http.StatusTooManyRequests
	case fault.Conflict:
		return http.StatusConflict
	case fault.Denied:
		return http.StatusForbidden
	case fault.Unknown:
	}
	return http.StatusInternalServerError
}
