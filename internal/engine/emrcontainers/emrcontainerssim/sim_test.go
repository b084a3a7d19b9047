package emrcontainerssim_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"nightshift/internal/engine/emrcontainers/emrcontainerssim"
	"nightshift/internal/engine/enginetest"
	"nightshift/internal/engine/simrun"
)

const jobs = "/virtualclusters/vc1/jobruns"

func call(t *testing.T, s *emrcontainerssim.Sim, method, path, body string) (int, string, map[string]any) {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	var said map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil {
		t.Fatalf("%s %s answers %s", method, path, w.Body)
	}
	return w.Code, w.Header().Get("X-Amzn-Errortype"), said
}

func job(token, more string) string {
	return fmt.Sprintf(`{"clientToken":%q,"name":"job","executionRoleArn":"arn:aws:iam::1:role/x","releaseLabel":"emr-7.11.0-latest","jobDriver":{"sparkSqlJobDriver":{}}%s}`, token, more)
}

func TestStatesAndPages(t *testing.T) {
	c := enginetest.Clock(t)
	s := emrcontainerssim.New(c, emrcontainerssim.Config{Account: "1", Region: "r", Clusters: []string{"vc1"}})
	s.Plan("", simrun.Plan{Work: time.Hour})
	_, _, first := call(t, s, "POST", jobs, job("a", ""))
	path := jobs + "/" + first["id"].(string)
	for _, step := range []struct {
		after time.Duration
		want  string
	}{{0, "PENDING"}, {30 * time.Second, "SUBMITTED"}, {time.Minute, "RUNNING"}, {2 * time.Hour, "COMPLETED"}} {
		_ = c.Sleep(t.Context(), enginetest.Open.Add(step.after).Sub(c.Now()))
		_, _, said := call(t, s, "GET", path, "")
		if got := said["jobRun"].(map[string]any)["state"]; got != step.want {
			t.Errorf("after %s it is %v, want %s", step.after, got, step.want)
		}
	}
	for n := range 5 {
		call(t, s, "POST", jobs, job(fmt.Sprint(n), ""))
	}
	seen, token := 0, ""
	for {
		_, _, said := call(t, s, "GET", jobs+"?states=PENDING&states=RUNNING&maxResults=2&nextToken="+token, "")
		seen += len(said["jobRuns"].([]any))
		if said["nextToken"] == nil {
			break
		}
		token = said["nextToken"].(string)
	}
	if seen != 5 {
		t.Errorf("the pages have %d runs, want the 5 that live", seen)
	}
}

func TestErrors(t *testing.T) {
	c := enginetest.Clock(t)
	s := emrcontainerssim.New(c, emrcontainerssim.Config{Account: "1", Region: "r", Clusters: []string{"vc1"}})
	s.Plan("", simrun.Plan{Work: time.Minute})
	_, _, run := call(t, s, "POST", jobs, job("a", ""))
	_ = c.Sleep(t.Context(), time.Hour)
	for _, e := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"POST", "/virtualclusters/vc2/jobruns", job("b", ""), 400, "ResourceNotFoundException"},
		{"POST", jobs, `{"clientToken":"b"}`, 400, "ValidationException"},
		{"POST", jobs, job("", ""), 400, "ValidationException"},
		{"POST", jobs, job("b", `,"configurationOverrides":{"applicationConfiguration":[{"classification":"spark-defaults","properties":{"spark.nightshift.sim.work":"x"}}]}`), 400, "ValidationException"},
		{"GET", jobs + "/nope", "", 400, "ResourceNotFoundException"},
		{"DELETE", jobs + "/nope", "", 400, "ValidationException"},
		{"DELETE", jobs + "/" + run["id"].(string), "", 400, "ValidationException"},
		{"GET", jobs + "?maxResults=x", "", 400, "ValidationException"},
		{"PUT", jobs, "", 404, "UnknownOperationException"},
	} {
		status, code, said := call(t, s, e.method, e.path, e.body)
		if status != e.status || code != e.code || said["message"] == "" {
			t.Errorf("%s %s %s answers %d %s %v, want %d %s", e.method, e.path, e.body, status, code, said, e.status, e.code)
		}
	}
}

func TestCancelsAreLimited(t *testing.T) {
	c := enginetest.Clock(t)
	s := emrcontainerssim.New(c, emrcontainerssim.Config{Account: "1", Region: "r", Clusters: []string{"vc1"}})
	_, _, run := call(t, s, "POST", jobs, job("a", ""))
	ok := 0
	for range 40 {
		if status, _, _ := call(t, s, "DELETE", jobs+"/"+run["id"].(string), ""); status == 200 {
			ok++
		}
	}
	if ok != 25 {
		t.Errorf("%d of 40 cancels at once were taken, want the burst of 25", ok)
	}
	_ = c.Sleep(t.Context(), 3*time.Second)
	if status, code, _ := call(t, s, "DELETE", jobs+"/"+run["id"].(string), ""); status != 200 {
		t.Errorf("after 3 s a cancel answers %d %s", status, code)
	}
}

func TestVirtualClusters(t *testing.T) {
	c := enginetest.Clock(t)
	s := emrcontainerssim.New(c, emrcontainerssim.Config{Account: "1", Region: "r", Clusters: []string{"vc1"}})
	s.Plan("", simrun.Plan{Work: time.Minute})
	body := func(token, namespace string) string {
		return fmt.Sprintf(`{"clientToken":%q,"name":"etl","containerProvider":{"type":"EKS","id":"eks-1","info":{"eksInfo":{"namespace":%q}}}}`, token, namespace)
	}
	_, _, made := call(t, s, "POST", "/virtualclusters", body("a", "etl"))
	id, _ := made["id"].(string)
	if _, _, again := call(t, s, "POST", "/virtualclusters", body("a", "etl")); again["id"] != id || id == "" {
		t.Errorf("the same token makes %v, then %v", made, again)
	}
	path := "/virtualclusters/" + id
	state := func() any {
		_, _, said := call(t, s, "GET", path, "")
		shown := said["virtualCluster"].(map[string]any)
		if shown["clientToken"] != nil || shown["name"] != "etl" {
			t.Errorf("it shows %v", shown)
		}
		return shown["state"]
	}
	refused := func(method, path, body, code string) {
		t.Helper()
		if status, got, said := call(t, s, method, path, body); status != 400 || got != code {
			t.Errorf("%s %s answers %d %s %v, want %s", method, path, status, got, said, code)
		}
	}
	refused("POST", "/virtualclusters", body("b", "etl"), "ValidationException")
	refused("POST", "/virtualclusters", body("", "other"), "ValidationException")
	refused("POST", "/virtualclusters", body("c", ""), "ValidationException")
	refused("DELETE", "/virtualclusters/nope", "", "ResourceNotFoundException")
	call(t, s, "POST", path+"/jobruns", job("a", ""))
	refused("DELETE", path, "", "ValidationException")
	_ = c.Sleep(t.Context(), time.Hour)
	s.Arrest(id, true)
	if got := state(); got != "ARRESTED" {
		t.Errorf("it is %v", got)
	}
	refused("POST", path+"/jobruns", job("b", ""), "ValidationException")
	s.Arrest(id, false)
	for _, step := range []struct {
		after time.Duration
		want  string
	}{{0, "TERMINATING"}, {emrcontainerssim.Termination, "TERMINATED"}} {
		if step.after == 0 {
			call(t, s, "DELETE", path, "")
		}
		_ = c.Sleep(t.Context(), step.after)
		if got := state(); got != step.want {
			t.Errorf("after %s it is %v, want %s", step.after, got, step.want)
		}
	}
	refused("DELETE", path, "", "ValidationException")
	call(t, s, "POST", "/virtualclusters", body("d", "etl"))
	_, _, listed := call(t, s, "GET", "/virtualclusters?states=RUNNING&states=ARRESTED", "")
	if n := len(listed["virtualClusters"].([]any)); n != 2 {
		t.Errorf("%d run, want vc1 and the new one", n)
	}
}
