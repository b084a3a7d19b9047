package emrnotebooksim_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/engine/emrnotebook/emrnotebooksim"
	"nightshift/internal/engine/enginetest"
	"nightshift/internal/engine/simrun"
)

func call(t *testing.T, s *emrnotebooksim.Sim, op, body string) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", "ElasticMapReduce."+op)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Header().Get(simrun.Header) != "true" {
		t.Error("an answer does not say that it is simulated")
	}
	var said map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil {
		t.Fatalf("%s answers %s", op, w.Body)
	}
	return w.Code, said
}

func request(more string) string {
	return `{"ExecutionEngine":{"Id":"j-1"},"ServiceRole":"r","NotebookS3Location":{"Bucket":"b","Key":"n.ipynb"}` + more + `}`
}

var config = emrnotebooksim.Config{Account: "1", Region: "r", Rates: map[string]cadence.Rate{}, Series: 7,
	Clusters: []emrnotebooksim.Cluster{{ID: "j-1", SecurityConfiguration: "s"}, {ID: "j-2", PrimaryDNS: "ip-10-0-0-1.ec2.internal"}}}

func TestStates(t *testing.T) {
	c := enginetest.Clock(t)
	s := emrnotebooksim.New(c, config)
	_, first := call(t, s, "StartNotebookExecution", request(`,"EnvironmentVariables":{"NIGHTSHIFT_SIM_WORK":"1h"}`))
	_, second := call(t, s, "StartNotebookExecution", request(`,"NotebookParams":"{\"nightshift.sim.work\":\"1h\",\"nightshift.sim.fail\":\"true\"}","Tags":[{"Key":"k","Value":"v"}]`))
	_, third := call(t, s, "StartNotebookExecution", request(``))
	is := func(at time.Duration, x map[string]any, want string) {
		t.Helper()
		_ = c.Sleep(t.Context(), enginetest.Open.Add(at).Sub(c.Now()))
		_, said := call(t, s, "DescribeNotebookExecution", fmt.Sprintf(`{"NotebookExecutionId":%q}`, x["NotebookExecutionId"]))
		shown := said["NotebookExecution"].(map[string]any)
		if over := shown["EndTime"] != nil; shown["Status"] != want || over != (want == "FINISHED" || want == "FAILED" || want == "STOPPED") {
			t.Errorf("after %s it is %v, want %s", at, shown, want)
		}
	}
	is(0, first, "START_PENDING")
	is(30*time.Second, first, "STARTING")
	is(time.Minute, first, "RUNNING")
	call(t, s, "StopNotebookExecution", fmt.Sprintf(`{"NotebookExecutionId":%q}`, third["NotebookExecutionId"]))
	is(time.Minute, third, "STOP_PENDING")
	is(75*time.Second, third, "STOPPING")
	is(80*time.Second, third, "STOPPED")
	is(61*time.Minute, first, "FINISHED")
	is(61*time.Minute, second, "FAILED")
}

func TestFiltersAndPages(t *testing.T) {
	c := enginetest.Clock(t)
	s := emrnotebooksim.New(c, config)
	s.Plan("old", simrun.Plan{Work: time.Hour})
	call(t, s, "StartNotebookExecution", request(`,"NotebookExecutionName":"old"`))
	_ = c.Sleep(t.Context(), 40*24*time.Hour)
	for range 120 {
		call(t, s, "StartNotebookExecution", request(``))
	}
	call(t, s, "StartNotebookExecution", strings.ReplaceAll(request(`,"EditorId":"e-2"`), "j-1", "j-2"))
	at := func(t time.Time) string { return fmt.Sprintf("%d.123", t.Unix()) }
	for filter, want := range map[string]int{
		``:                           121,
		`"Status":"START_PENDING",`:  121,
		`"Status":"RUNNING",`:        0,
		`"ExecutionEngineId":"j-2",`: 1,
		`"EditorId":"e-2",`:          1,
		`"From":` + at(enginetest.Open.Add(-time.Hour)) + `,`:                                                 122,
		`"From":` + at(enginetest.Open.Add(-time.Hour)) + `,"To":` + at(enginetest.Open.Add(time.Hour)) + `,`: 1,
		`"From":` + at(c.Now().Add(time.Hour)) + `,`:                                                          0,
	} {
		seen, marker, pages := map[string]bool{}, "", 0
		for {
			_, said := call(t, s, "ListNotebookExecutions", `{`+filter+`"Marker":"`+marker+`"}`)
			pages++
			for _, x := range said["NotebookExecutions"].([]any) {
				if x.(map[string]any)["Tags"] != nil {
					t.Error("a list shows tags")
				}
				seen[x.(map[string]any)["NotebookExecutionId"].(string)] = true
			}
			if said["Marker"] == nil {
				break
			}
			marker = said["Marker"].(string)
		}
		if len(seen) != want || pages != max(1, (want+49)/50) {
			t.Errorf("{%s} lists %d on %d pages, want %d", filter, len(seen), pages, want)
		}
	}
}

func TestErrors(t *testing.T) {
	c := enginetest.Clock(t)
	s := emrnotebooksim.New(c, config)
	s.Plan("", simrun.Plan{Work: time.Minute})
	_, run := call(t, s, "StartNotebookExecution", request(``))
	_ = c.Sleep(t.Context(), time.Hour)
	s.Terminate("j-2")
	for _, e := range []struct{ op, body, code, says string }{
		{"StartNotebookExecution", `{}`, "InvalidRequestException", "ExecutionEngine.Id"},
		{"StartNotebookExecution", `[]`, "SerializationException", "array"},
		{"StartNotebookExecution", `{"ExecutionEngine":{"Id":"j-1"},"ServiceRole":"r"}`, "InvalidRequestException", "NotebookS3Location"},
		{"StartNotebookExecution", strings.ReplaceAll(request(``), "j-1", "j-2"), "InvalidRequestException", "state"},
		{"StartNotebookExecution", request(`,"Tags":[{"Value":"v"}]`), "InvalidRequestException", "tag"},
		{"StartNotebookExecution", request(`,"EnvironmentVariables":{"NIGHTSHIFT_SIM_WORK":"soon"}`), "InvalidRequestException", "soon"},
		{"StopNotebookExecution", `{"NotebookExecutionId":"ex-9"}`, "InvalidRequestException", "ex-9"},
		{"StopNotebookExecution", fmt.Sprintf(`{"NotebookExecutionId":%q}`, run["NotebookExecutionId"]), "InvalidRequestException", "FINISHED"},
		{"DescribeNotebookExecution", `{}`, "InvalidRequestException", "not valid"},
		{"ListNotebookExecutions", `{"Status":"DONE"}`, "InvalidRequestException", "DONE"},
		{"ListNotebookExecutions", `{"Marker":"x"}`, "InvalidRequestException", "Marker"},
		{"DescribeCluster", `{"ClusterId":"j-9"}`, "InvalidRequestException", "j-9"},
		{"GetClusterSessionCredentials", `{"ClusterId":"j-1","ExecutionRoleArn":"x"}`, "InvalidRequestException", "ExecutionRoleArn"},
		{"GetClusterSessionCredentials", `{"ClusterId":"j-2","ExecutionRoleArn":"arn:aws:iam::1:role/x"}`, "InvalidRequestException", "terminated"},
		{"ListStudios", `{}`, "UnknownOperationException", "ListStudios"},
	} {
		status, said := call(t, s, e.op, e.body)
		if message, _ := said["Message"].(string); status != 400 || said["__type"] != e.code || !strings.Contains(message, e.says) {
			t.Errorf("%s %s answers %d %v, want %s naming %s", e.op, e.body, status, said, e.code, e.says)
		}
	}
	if _, said := call(t, s, "DescribeCluster", `{"ClusterId":"j-2"}`); !strings.Contains(fmt.Sprint(said), "ip-10-0-0-1.ec2.internal") || !strings.Contains(fmt.Sprint(said), "TERMINATED") {
		t.Errorf("the cluster is %v", said)
	}
}

func TestTheRatesOfEMR(t *testing.T) {
	c := enginetest.Clock(t)
	limited := config
	limited.Rates = nil
	s := emrnotebooksim.New(c, limited)
	ok := 0
	for range 20 {
		if status, said := call(t, s, "ListNotebookExecutions", `{}`); status == 200 {
			ok++
		} else if said["__type"] != "ThrottlingException" {
			t.Errorf("it answers %v", said)
		}
	}
	_ = c.Sleep(t.Context(), 2*time.Second)
	if status, _ := call(t, s, "ListNotebookExecutions", `{}`); ok != 5 || status != 200 {
		t.Errorf("%d of 20 at once were taken, and 2 s later the answer is %d", ok, status)
	}
	user, password := credentials(t, s)
	s.Revoke("j-1")
	if s.Accepts("j-1", user, password) {
		t.Error("revoked credentials are taken")
	}
}

func credentials(t *testing.T, s *emrnotebooksim.Sim) (user, password string) {
	_, said := call(t, s, "GetClusterSessionCredentials", `{"ClusterId":"j-1","ExecutionRoleArn":"arn:aws:iam::1:role/x"}`)
	pair, _ := said["Credentials"].(map[string]any)["UsernamePassword"].(map[string]any)
	user, _ = pair["Username"].(string)
	password, _ = pair["Password"].(string)
	if !s.Accepts("j-1", user, password) {
		t.Errorf("what it gives is not taken: %v", said)
	}
	return user, password
}
