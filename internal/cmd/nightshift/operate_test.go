package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/client"
	"nightshift/internal/local"
)

// S3.6: events that could not be used are listed, shown as they came, and taken again.
func TestS3_6ParkedGolden(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	w.tells("parked list")
	w.tells("parked replay --all --yes")
	w.post("/events", `{"version":"0","id":"e-1","source":"nightshift","detail-type":"Nightshift Signed Out","time":"2026-11-20T18:00:00Z","detail":{"at":"2026-11-20T18:00:00Z"}}`)
	w.pass(time.Minute)
	// A stop of a session that is not there yet: it is taken once the session is.
	later := app.SessionOfExecution("arn:aws:states:us-east-1:123456789012:execution:nightshift-run:u-chloe-churn")
	w.post("/events", `{"version":"0","id":"e-2","source":"nightshift","detail-type":"Nightshift Stop Requested","time":"2026-11-20T18:01:30Z","detail":{"session":"`+later+`","by":"u-root","at":"2026-11-20T18:01:30Z"}}`)
	w.pass(time.Minute)
	w.tells("parked list")
	out, _, _ := w.runs("parked", "list", "--local="+w.url)
	ids := regexp.MustCompile(`p-[0-9a-f]{24}`).FindAllString(out, -1)
	if len(ids) != 2 {
		t.Fatalf("%d are parked: %s", len(ids), out)
	}
	w.tells("parked show " + ids[0])
	w.tells("parked show " + ids[1])
	w.tells("parked replay " + ids[0])
	w.trains("u-chloe")
	w.pass(time.Minute)
	w.tells("parked replay " + ids[0] + ` --why "the session is there now"`)
	w.tells("parked list")
	w.tells("parked replay " + ids[1] + " " + ids[0])
	w.tells("parked replay --all --yes")
	w.in = strings.NewReader("n\n")
	w.tells("parked replay --all")
	w.in = nil
	w.tells("parked replay --all")
	w.tells("parked replay")
	w.tells("parked replay p-none --all")
	w.tells("parked replay p-none")
	w.tells("parked show p-none")
	w.tells("parked show")
	w.tells("parked list --limit -1")
	w.tells("parked list --as u-chloe")
	w.tells("parked list --json --limit 1")
	w.tells("sessions --state all --user u-chloe")
	// AWS does not document the name of its revoke: what is not recognised is kept, one of each kind.
	w.post("/events", `{"version":"0","id":"e-3","source":"aws.sso","account":"123456789012","region":"us-east-1","time":"2026-11-20T18:03:00Z","detail-type":"AWS API Call via CloudTrail","detail":{"eventVersion":"1.08","eventSource":"sso.amazonaws.com","eventName":"RevokeBackgroundSession","eventTime":"2026-11-20T18:03:00Z","userIdentity":{"type":"Root"}}}`)
	w.pass(time.Minute)
	w.tells("parked list")
	out, _, _ = w.runs("parked", "list", "--local="+w.url)
	w.tells("parked show " + regexp.MustCompile(`k-[0-9a-f]{24}`).FindString(out))
	w.tells("parked show k-none")
	w.tells("parked replay --dead-letters --yes")
	w.golden("parked")
}

// S3.5: what differs is shown with why and changes nothing; then it is healed as it
// was shown.
func TestS3_5RepairGolden(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	w.trains("u-chloe")
	w.pass(20 * time.Minute)
	w.tells("repair")
	w.post("/livy/sessions", `{"kind": "pyspark", "proxyUser": "u-ana"}`)
	w.pass(time.Minute) // the watch comes later
	w.tells("repair")
	w.tells("sessions --user u-ana")
	w.tells("repair --endpoint sagemaker/123456789012/us-east-1")
	w.tells("repair --endpoint sagemaker")
	w.tells("repair --endpoint livy/j-NONE")
	w.tells("repair --apply --endpoint " + local.Livy)
	w.in = strings.NewReader("n\n")
	w.tells("repair --apply --endpoint " + local.Livy)
	w.in = strings.NewReader("y\n")
	w.tells(`repair --apply --why "after the outage" --endpoint ` + local.Livy)
	w.in = nil
	w.tells("sessions --user u-ana")
	w.pass(time.Minute)
	w.tells("repair --yes --json")
	w.tells("repair --as u-chloe")
	w.tells("repair everything")
	w.golden("repair")
}

// decisions/0013: what is held is shown with why, and goes on until it is confirmed.
func TestRestoreGolden(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	w.tells("policy set --background-duration 30m")
	w.nightly("u-eve", "")
	w.pass(25 * time.Minute)
	w.tells("restore")
	w.tells("restore --confirm --yes")
	w.tells("restore --say")
	w.in = strings.NewReader("n\n")
	w.tells("restore --say")
	w.in = nil
	w.tells(`restore --say --yes --why "put back by ten minutes"`)
	w.pass(10 * time.Minute)
	w.tells("sessions --user u-eve")
	w.tells("restore")
	w.pass(time.Minute)
	w.in = strings.NewReader("y\n")
	w.tells("restore --confirm")
	w.in = nil
	w.pass(5 * time.Minute)
	w.tells("sessions --user u-eve --state ended")
	w.tells("restore --json")
	w.tells("restore --confirm --say")
	w.tells("restore --yes")
	w.tells("restore --as u-eve")
	w.golden("restore")
}

// A deployment answers a long repair in stretches: they are shown as one, each is healed
// as it was shown, and what was healed before one that fails is told.
func TestARepairInStretches(t *testing.T) {
	var sent []string
	changed := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		finding := `{"kind":"lost","session":"s-` + cmp.Or(r.URL.Query().Get("from"), "first") + `","found":"it is gone","heal":"it is closed","healed":%t}`
		answer := func(next string, heals, healed int, findings string) {
			fmt.Fprintf(w, `{"id":"","next":%q,"applied":%t,"plan":"plan-%s","heals":%d,"healed":%d,"findings":[%s],"leftOut":0,"text":"So far."}`,
				next, r.Method == http.MethodPost, next, heals, healed, findings)
		}
		switch {
		case r.Method == http.MethodPost && changed && strings.Contains(string(body), `"to":"end"`):
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `{"status":409,"detail":"something else would be healed by now: look at it again"}`)
		case r.Method == http.MethodPost:
			sent = append(sent, string(body))
			answer("", 1, 1, fmt.Sprintf(finding, true))
		case r.URL.Query().Get("from") == "":
			answer("endpoints:b", 1, 0, fmt.Sprintf(finding, false))
		case r.URL.Query().Get("from") == "endpoints:b":
			answer("records:0:", 0, 0, "")
		default:
			answer("", 1, 0, fmt.Sprintf(finding, false))
		}
	}))
	defer server.Close()
	w := &town{t: t, env: map[string]string{"NIGHTSHIFT_API": server.URL, "NIGHTSHIFT_TOKEN": "good"}}
	out, said, status := w.runs("repair")
	if status != exitFailure || strings.Count(out, "it is gone") != 2 || !strings.Contains(said, "2 findings") || len(sent) != 0 {
		t.Fatalf("%d %s%s", status, out, said)
	}
	out, said, status = w.runs("repair", "--yes", "--json", "--why", "x")
	want := []string{`{"plan":"plan-endpoints:b","to":"endpoints:b","why":"x"}`, `{"from":"records:0:","plan":"plan-","to":"end","why":"x"}`}
	var got client.Repair
	if err := json.Unmarshal([]byte(out), &got); err != nil || status != exitOK || !slices.Equal(sent, want) || got.Healed != 2 || len(got.Findings) != 2 || !got.Applied {
		t.Fatalf("%d %v %q\n%s%s", status, err, sent, out, said)
	}
	changed = true
	if out, said, status = w.runs("repair", "--yes"); status == exitOK || !strings.Contains(said, "1 finding was healed before this") || !strings.Contains(said, "look at it again") {
		t.Errorf("%d %s%s", status, out, said)
	}
}

// S5.1: notebooks and where each runs, as lists and as JSON.
func TestS5_1NotebooksGolden(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	w.tells("notebooks")
	for _, x := range [][2]string{{"u-ana", "churn.ipynb"}, {"u-ben", "sales.ipynb"}} {
		user, path := x[0], x[1]
		w.post("/executions/run?name="+user+"-notebook", `{"user": "`+user+`", "engine": "emr-notebook", "endpoint": "`+local.EMRNotebook+`", "spec": {
			"ExecutionEngine": {"Id": "`+local.NotebookCluster+`", "Type": "EMR"}, "ServiceRole": "EMR_Notebooks_DefaultRole", "EditorId": "e-CHURN", "RelativePath": "`+path+`"}}`)
		w.pass(time.Minute)
	}
	w.pass(5 * time.Minute)
	w.tells("notebooks")
	w.tells("notebooks --as u-ana")
	ben := app.SessionOfExecution("arn:aws:states:us-east-1:123456789012:execution:nightshift-run:u-ben-notebook")
	w.tells("stop " + ben + " --as u-ben")
	w.pass(5 * time.Minute)
	w.tells("notebooks --as u-ben")
	w.tells("notebooks --json --as u-ben")
	w.tells("notebooks --limit 1")
	w.tells("notebooks --limit -1")
	w.golden("notebooks")
}
