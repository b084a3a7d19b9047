package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
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

// What waits in dead-letter queues is sent back to the queues it is behind.
func TestDeadLettersAreSentBack(t *testing.T) {
	var out strings.Builder
	(&terminal{}).deadQueues(&out, "night")
	for _, f := range []string{"on-logout", "on-revocation", "on-run-event"} {
		from, to := "--queue-name night-"+f+"-dead ", "--queue-name night-"+f+" "
		if said := out.String(); !strings.Contains(said, from) || strings.Index(said, to) < strings.Index(said, from) {
			t.Errorf("nothing sends back what is behind %s:\n%s", f, said)
		}
	}
	if n := strings.Count(out.String(), "start-message-move-task --source-arn"); n != 3 {
		t.Errorf("%d queues", n)
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
