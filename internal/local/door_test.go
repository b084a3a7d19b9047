package local_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"nightshift/events"
	"nightshift/internal/app"
	"nightshift/internal/asl/clock"
	"nightshift/internal/engine/simrun"
	"nightshift/internal/local"
	"nightshift/internal/session"
)

var began = time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)

// house is a local system behind its door.
type house struct {
	t    *testing.T
	s    *local.System
	url  string
	http *http.Client
}

func open(t *testing.T) *house {
	t.Helper()
	s, err := local.New(local.Options{Clock: clock.New(began)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.Defaults(); err != nil {
		t.Fatal(err)
	}
	s.Start()
	door := httptest.NewServer(s.Door())
	t.Cleanup(door.Close)
	return &house{t: t, s: s, url: door.URL, http: door.Client()}
}

// pass lets virtual time pass.
func (h *house) pass(d time.Duration) { h.s.Clock.RunUntil(h.s.Clock.Now().Add(d)) }

// ask sends a request and answers its status and body.
func (h *house) ask(method, path, body string, headers ...string) (int, map[string]any) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.url+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := h.http.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(b, &answer); err != nil {
		h.t.Fatalf("%s %s: the answer is no JSON object: %v: %s", method, path, err, b)
	}
	return resp.StatusCode, answer
}

// must asks and checks the status.
func (h *house) must(status int, method, path, body string, headers ...string) map[string]any {
	h.t.Helper()
	got, answer := h.ask(method, path, body, headers...)
	if got != status {
		h.t.Fatalf("%s %s: status %d, should be %d: %v", method, path, got, status, answer)
	}
	return answer
}

// refused checks the status and that the sentence names what is wrong.
func (h *house) refused(status int, words, method, path, body string) {
	h.t.Helper()
	answer := h.must(status, method, path, body)
	if text, _ := answer["error"].(string); !strings.Contains(text, words) {
		h.t.Errorf("%s %s: refused with %q, which does not name %q", method, path, text, words)
	}
}

const training = `{"user": "u-ana", "engine": "sagemaker-training", "endpoint": "sagemaker/123456789012/us-east-1",
	"interactiveSession": {"id": "is-ana", "source": "portal"},
	"spec": {"AlgorithmSpecification": {"TrainingImage": "image:1", "TrainingInputMode": "File"}, "RoleArn": "arn:aws:iam::123456789012:role/training",
		"OutputDataConfig": {"S3OutputPath": "s3://b/out"}, "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50},
		"StoppingCondition": {"MaxRuntimeInSeconds": 86400}}}`

func signedOut(user, id string, at time.Time) string {
	return fmt.Sprintf(`{"version": "0", "id": %q, "detail-type": "Nightshift Signed Out", "source": "nightshift", "account": "123456789012", "region": "us-east-1",
		"time": %q, "resources": [], "detail": {"user": %q, "at": %q}}`, id, at.Format(time.RFC3339), user, at.Format(time.RFC3339))
}

func TestDoorARunFromStartToSignOut(t *testing.T) {
	h := open(t)
	started := h.must(http.StatusAccepted, "POST", "/executions/run?name=nightly", training)
	id, _ := started["session"].(string)
	arn, _ := started["executionArn"].(string)
	if started["name"] != "nightly" || id != app.SessionOfExecution(arn) || h.s.ExecutionOf("s-none") != "" {
		t.Errorf("answered %v", started)
	}
	h.pass(2 * time.Minute)
	if h.s.ExecutionOf(id) != arn {
		t.Errorf("the execution of %s is %q", id, h.s.ExecutionOf(id))
	}
	if e := h.must(http.StatusOK, "GET", "/executions/run/nightly", ""); e["status"] != "RUNNING" || e["session"] != id || e["output"] != nil {
		t.Errorf("the execution: %v", e)
	}
	list, _ := h.must(http.StatusOK, "GET", "/sessions", "")["sessions"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["id"] != id {
		t.Fatalf("the sessions: %v", list)
	}
	h.must(http.StatusAccepted, "POST", "/events", signedOut("u-ana", "out-1", h.s.Clock.Now()))
	h.pass(5 * time.Minute)
	story := h.must(http.StatusOK, "GET", "/sessions/"+id, "")
	found, _ := story["session"].(map[string]any)
	if found["id"] != id || found["status"] != "ENDED" || found["mode"] != "interactive" || found["user"] != "u-ana" {
		t.Errorf("the session: %v", found)
	}
	if end, _ := found["end"].(map[string]any); end["cause"] != string(session.CauseSignOut) {
		t.Errorf("its end: %v", end)
	}
	history, _ := story["history"].([]any)
	if len(history) < 5 {
		t.Fatalf("the history has %d entries", len(history))
	}
	for i, e := range history {
		if v, _ := e.(map[string]any)["version"].(float64); int(v) != i+1 {
			t.Errorf("entry %d has version %v", i+1, v)
		}
	}
	e := h.must(http.StatusOK, "GET", "/executions/run/nightly", "")
	if e["status"] != "FAILED" || !strings.Contains(fmt.Sprint(e["cause"]), "signed out") {
		t.Errorf("S2.8: the execution that waited: %v", e)
	}
	if n := h.s.Meter.Counted(app.MetricEnded); n != 1 {
		t.Errorf("%d sessions are counted as ended", n)
	}
	said := map[string]int{}
	for _, a := range h.s.Announced() {
		said[a.DetailType]++
	}
	if said["Nightshift Session Opened"] != 1 || said["Nightshift Session Ending"] != 1 || said["Nightshift Session Ended"] != 1 {
		t.Errorf("said %v", said)
	}
}

func TestDoorRunGoodBadDuplicate(t *testing.T) {
	h := open(t)
	h.must(http.StatusAccepted, "POST", "/executions/run?name=once", training)
	h.must(http.StatusAccepted, "POST", "/executions/run?name=once", training) // the same request: what Step Functions answers too
	h.refused(http.StatusConflict, "once", "POST", "/executions/run?name=once", strings.Replace(training, "u-ana", "u-ben", 1))
	first := h.must(http.StatusAccepted, "POST", "/executions/run", training)
	second := h.must(http.StatusAccepted, "POST", "/executions/run", training)
	if first["name"] == second["name"] || first["session"] == second["session"] {
		t.Errorf("two executions without names: %v and %v", first, second)
	}
	h.refused(http.StatusBadRequest, "not valid JSON", "POST", "/executions/run", "{")
	h.refused(http.StatusBadRequest, "JSON object", "POST", "/executions/run", "[]")
	h.refused(http.StatusMethodNotAllowed, "takes POST", "GET", "/events", "")
	h.refused(http.StatusNotFound, "none", "GET", "/executions/run/none", "")
	h.refused(http.StatusNotFound, "none", "DELETE", "/executions/run/none", "")

	// An input that its machine would refuse starts nothing: the field is named, and
	// what is allowed there.
	for sentence, bad := range map[string]string{
		"user is missing": strings.Replace(training, `"user": "u-ana", `, "", 1),
		"everybody is not a known field; allowed here: user, interactiveSession, engine, endpoint": strings.Replace(training, `"user"`, `"everybody": true, "user"`, 1),
		`"ana" is not written as one`: strings.Replace(training, "u-ana", "ana", 1),
	} {
		h.refused(http.StatusBadRequest, sentence, "POST", "/executions/run?name=bad", bad)
	}
	h.pass(time.Minute)
	h.refused(http.StatusNotFound, "bad", "GET", "/executions/run/bad", "")
	list, _ := h.must(http.StatusOK, "GET", "/sessions", "")["sessions"].([]any)
	if len(list) != 3 {
		t.Errorf("%d sessions of three good executions", len(list))
	}
}

func TestDoorAbortEndsTheRun(t *testing.T) {
	h := open(t)
	id := h.must(http.StatusAccepted, "POST", "/executions/run?name=nightly", training)["session"]
	h.pass(2 * time.Minute)
	h.must(http.StatusAccepted, "DELETE", "/executions/run/nightly", "")
	h.pass(4 * time.Minute)
	found, _ := h.must(http.StatusOK, "GET", fmt.Sprint("/sessions/", id), "")["session"].(map[string]any)
	if end, _ := found["end"].(map[string]any); found["status"] != "ENDED" || end["cause"] != string(session.CauseWaiterAborted) {
		t.Errorf("the session: %v", found)
	}
	runs := h.s.SageMaker.Runs()
	if len(runs) != 1 || runs[0].By != simrun.StopRequest {
		t.Errorf("the engine saw %+v", runs)
	}
}

func TestDoorEvents(t *testing.T) {
	h := open(t)
	good := signedOut("u-ana", "out-1", began)
	for field, body := range map[string]string{
		"JSON":        "{",
		"source":      strings.Replace(good, `"source": "nightshift"`, `"sauce": "nightshift"`, 1),
		"detail-type": strings.Replace(good, `"detail-type"`, `"detailtype"`, 1),
		"detail:":     strings.Replace(good, `"detail":`, `"details":`, 1),
	} {
		h.refused(http.StatusBadRequest, field, "POST", "/events", body)
	}
	h.refused(http.StatusRequestEntityTooLarge, "1048576", "POST", "/events", good[:len(good)-1]+`, "pad": "`+strings.Repeat("x", 1<<20)+`"}`)
	h.must(http.StatusAccepted, "POST", "/events", good)

	// What EventBridge takes and we cannot use is parked, with the field.
	h.must(http.StatusAccepted, "POST", "/events", strings.Replace(good, `"user": "u-ana", `, "", 1))
	h.pass(time.Minute)
	parked, _ := h.must(http.StatusOK, "GET", "/parked", "")["parked"].([]any)
	if len(parked) != 1 || !strings.Contains(fmt.Sprint(parked[0].(map[string]any)["reason"]), "detail.user") {
		t.Errorf("parked: %v", parked)
	}
	h.refused(http.StatusBadRequest, "cursor", "GET", "/parked?cursor=x", "")
	h.refused(http.StatusBadRequest, "cursor", "GET", "/sessions?cursor=x", "")
	h.refused(http.StatusNotFound, "s-none", "GET", "/sessions/s-none", "")
	h.refused(http.StatusNotFound, "POST /nowhere", "POST", "/nowhere", "")
	if ok := h.must(http.StatusOK, "GET", "/healthz", ""); ok["simulated"] != true {
		t.Errorf("S10: it must say that it is not for production: %v", ok)
	}
}

// Every sample of events/ can be put, is taken by its function and, as it is
// about nobody's runs here, changes nothing and is not parked.
func TestDoorTakesEverySample(t *testing.T) {
	h := open(t)
	taken := 0
	for _, kind := range events.Kinds() {
		for _, s := range events.Samples(kind) {
			if !events.Outgoing(kind) {
				taken++
				h.must(http.StatusAccepted, "POST", "/events", string(s.Body))
			}
		}
	}
	if taken < 20 {
		t.Fatalf("%d samples: nothing was looked at", taken)
	}
	h.pass(10 * time.Minute)
	parked, _ := h.must(http.StatusOK, "GET", "/parked", "")["parked"].([]any)
	for _, p := range parked {
		reason := fmt.Sprint(p.(map[string]any)["reason"])
		if !strings.Contains(reason, "there is no session") {
			t.Errorf("a sample was parked: %s", reason)
		}
	}
}

func TestDoorEnginesAreReachable(t *testing.T) {
	h := open(t)
	if v := h.must(http.StatusOK, "GET", "/livy/sessions", ""); v["sessions"] == nil {
		t.Errorf("livy: %v", v)
	}
	made := h.must(http.StatusCreated, "POST", "/livy/sessions", `{"kind": "pyspark", "name": "by-hand"}`, "X-Requested-By", "ana", "Content-Type", "application/json")
	if made["name"] != "by-hand" {
		t.Errorf("livy: %v", made)
	}
	if v := h.must(http.StatusOK, "GET", "/emr-containers/virtualclusters", ""); v["virtualClusters"] == nil {
		t.Errorf("emr-containers: %v", v)
	}
	for _, path := range []string{"/sagemaker", "/sagemaker/"} {
		if v := h.must(http.StatusOK, "POST", path, "{}", "X-Amz-Target", "SageMaker.ListTrainingJobs", "Content-Type", "application/x-amz-json-1.1"); v["TrainingJobSummaries"] == nil {
			t.Errorf("%s: %v", path, v)
		}
	}
}

func TestEventHistoryFindsWhatWasLost(t *testing.T) {
	h := open(t)
	id := fmt.Sprint(h.must(http.StatusAccepted, "POST", "/executions/run", training)["session"])
	h.pass(time.Minute)
	var sample []byte
	for _, s := range events.Samples("cloudtrail-logout") {
		if s.Name == "no-credential-id" {
			sample = s.Body
		}
	}
	var e map[string]any
	if err := json.Unmarshal(sample, &e); err != nil {
		t.Fatal(err)
	}
	detail, _ := e["detail"].(map[string]any)
	detail["eventTime"] = h.s.Clock.Now().Format(time.RFC3339)
	identity, _ := detail["userIdentity"].(map[string]any)
	identity["onBehalfOf"].(map[string]any)["userId"] = "u-ana"
	body, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	h.s.Lose(bytes.TrimSpace(body))
	h.pass(9 * time.Minute)
	found, _ := h.must(http.StatusOK, "GET", "/sessions/"+id, "")["session"].(map[string]any)
	if found["status"] != "ENDED" {
		t.Errorf("S3.5: the lost sign-out was not replayed: %v", found)
	}
}
