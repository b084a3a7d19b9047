package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"nightshift/internal/asl/clock"
	"nightshift/internal/local"
)

var cliBegan = time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)

// town is a local system behind its door, and what a terminal session with it
// printed.
type town struct {
	t    *testing.T
	s    *local.System
	url  string
	acts int
	said strings.Builder
	// What the next command is run with.
	width        int
	colour, live bool
	in           io.Reader // nil: nobody is there
	env          map[string]string
}

func newTown(t *testing.T) *town {
	t.Helper()
	s, err := local.New(local.Options{Clock: clock.New(cliBegan)})
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
	return &town{t: t, s: s, url: door.URL}
}

func (w *town) pass(d time.Duration) { w.s.Clock.RunUntil(w.s.Clock.Now().Add(d)) }

func (w *town) post(path, body string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("X-Requested-By", "ana")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it is read
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode >= 300 {
		w.t.Fatalf("%s: %d %s", path, resp.StatusCode, b)
	}
}

// trains starts a training job of a user's, through the machine run.
func (w *town) trains(user string) {
	w.t.Helper()
	w.post("/executions/run?name="+user+"-churn", `{"user": "`+user+`", "engine": "sagemaker-training", "endpoint": "`+local.SageMaker+`",
		"spec": {"AlgorithmSpecification": {"TrainingImage": "churn:1", "TrainingInputMode": "File"}, "RoleArn": "arn:aws:iam::123456789012:role/training",
		"OutputDataConfig": {"S3OutputPath": "s3://bucket/out"}, "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50},
		"Tags": [{"Key": "department", "Value": "growth"}, {"Key": "cost-center", "Value": "4711"}]}}`)
}

// atWork is a town on a working evening: ana's two Livy sessions, training jobs
// of chloe and dora, a job run of eve's on EKS.
func atWork(t *testing.T) *town {
	t.Helper()
	w := newTown(t)
	w.trains("u-chloe")
	w.pass(time.Minute)
	w.trains("u-dora")
	w.post("/livy/sessions", `{"kind": "pyspark", "proxyUser": "u-ana"}`)
	w.pass(time.Minute)
	w.post("/livy/sessions", `{"kind": "pyspark", "proxyUser": "u-ana"}`)
	w.pass(time.Minute)
	w.nightly("u-eve", `, "sparkSubmitParameters": "--conf spark.driver.cores=2 --conf spark.driver.memory=8g --conf spark.executor.instances=4 --conf spark.executor.cores=4 --conf spark.executor.memory=16g"`)
	w.pass(time.Minute)
	w.nightly("u-fin", "")
	w.pass(20 * time.Minute)
	return w
}

// nightly starts a job run of a user's on EKS, which says how large it is or not.
func (w *town) nightly(user, sizes string) {
	w.t.Helper()
	w.post("/executions/run?name="+user+"-nightly", `{"user": "`+user+`", "engine": "emr-containers", "endpoint": "`+local.EMROnEKS+`", "spec": {"virtualClusterId": "`+local.VirtualCluster+`",
		"name": "nightly", "releaseLabel": "emr-7.12.0-latest", "executionRoleArn": "arn:aws:iam::123456789012:role/job-role",
		"jobDriver": {"sparkSubmitJobDriver": {"entryPoint": "s3://nightshift-demo/job.py"`+sizes+`}}}}`)
}

// runs runs one command line on the town and gives what it printed and its exit
// status.
func (w *town) runs(args ...string) (out, errOut string, status int) {
	w.t.Helper()
	var stdout, stderr bytes.Buffer
	term := &terminal{
		out: &stdout, err: &stderr, in: w.in, asks: w.in != nil, live: w.live, colour: w.colour, width: w.width,
		getenv: func(name string) string { return w.env[name] }, now: func() time.Time { return cliBegan },
		wait: func(_ context.Context, d time.Duration) error { w.pass(d); return nil },
		key:  func() string { w.acts++; return fmt.Sprintf("act-of-test-%02d", w.acts) },
	}
	if w.in == nil {
		term.in = strings.NewReader("")
	}
	err := execute(w.t.Context(), args, term)
	if err != nil {
		fmt.Fprintln(&stderr, "nightshift: "+err.Error())
	}
	return stdout.String(), stderr.String(), statusOf(err)
}

var (
	port = regexp.MustCompile(`127\.0\.0\.1:[0-9]+`)
	tmp  = regexp.MustCompile(`/\S*/(\w+\.json)`)
)

// tells runs a command line on the town and writes down what came of it.
func (w *town) tells(line string) {
	w.t.Helper()
	args := fields(line)
	if len(args) > 0 && !strings.Contains(line, "--help") && !strings.HasPrefix(line, "help") && !strings.Contains(line, "--local") && !strings.Contains(line, "rain") {
		args = append(args, "--local="+w.url)
	}
	out, errOut, status := w.runs(args...)
	errOut = passing.ReplaceAllString(errOut, "")
	fmt.Fprintf(&w.said, "$ nightshift %s\n%s", tmp.ReplaceAllString(line, "$1"), tmp.ReplaceAllString(port.ReplaceAllString(out, "127.0.0.1:4600"), "$1"))
	if errOut = tmp.ReplaceAllString(port.ReplaceAllString(errOut, "127.0.0.1:4600"), "$1"); errOut != "" {
		fmt.Fprintf(&w.said, "--- on standard error:\n%s", strings.NewReplacer("\r", "\\r", "\x1b", "\\e").Replace(errOut))
	}
	fmt.Fprintf(&w.said, "[exit %d]\n\n", status)
}

// passing is what is told only by who asks in the moment between a session's
// opening and its run's start.
var passing = regexp.MustCompile(`session \S+ is open, its run is being started\n`)

// fields splits a command line at spaces, but for those within quotes.
func fields(line string) []string {
	var args []string
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			args[len(args)-1] += part
			continue
		}
		if strings.HasPrefix(part, " ") || i == 0 {
			args = append(args, strings.Fields(part)...)
		}
		if strings.HasSuffix(part, " ") && i+1 < strings.Count(line, `"`) {
			args = append(args, "")
		}
	}
	return args
}

// golden holds what was written down against a file.
func (w *town) golden(name string) {
	w.t.Helper()
	path := filepath.Join("testdata", "cli", name+".golden")
	got := strings.ReplaceAll(w.said.String(), "\x1b", "\\e")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // test data is for everyone
			w.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil { //nolint:gosec // likewise
			w.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	if !alike(string(want), got) {
		w.t.Errorf("%s differs (make golden rewrites it):\n%s", path, difference(string(want), got))
	}
}

// moving are the parts of a line that chains of the same moment may move by a
// second or two, as they run in any order: times, and amounts that follow them.
var moving = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|\d+\.\d+`)

// alike compares two texts: all is the same but for times, which may be 5 seconds
// apart, and decimals, which may be 0.05 apart.
func alike(want, got string) bool {
	if moving.ReplaceAllString(want, "#") != moving.ReplaceAllString(got, "#") {
		return false
	}
	a, b := moving.FindAllString(want, -1), moving.FindAllString(got, -1)
	for i := range a {
		at, notTime := time.Parse(time.RFC3339, a[i])
		bt, alsoNot := time.Parse(time.RFC3339, b[i])
		if notTime == nil && alsoNot == nil {
			if d := at.Sub(bt); d.Abs() > 5*time.Second {
				return false
			}
			continue
		}
		x, err1 := strconv.ParseFloat(a[i], 64)
		y, err2 := strconv.ParseFloat(b[i], 64)
		if err1 != nil || err2 != nil || math.Abs(x-y) > 0.05 {
			return false
		}
	}
	return true
}

// difference is the first lines that differ.
func difference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(a), len(b)) {
		if !alike(a[i], b[i]) {
			return fmt.Sprintf("line %d\nwant %s\ngot  %s", i+1, a[i], b[i])
		}
	}
	return fmt.Sprintf("want %d lines, got %d", len(a), len(b))
}

// file writes a file for a command to read.
func (w *town) file(content string) string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "change.json")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// id is a live session's of a user.
func (w *town) id(user string) string {
	w.t.Helper()
	out, _, _ := w.runs("sessions", "--user", user, "--local="+w.url)
	found := regexp.MustCompile(`s-[0-9a-f]{24}`).FindString(out)
	if found == "" {
		w.t.Fatalf("%s has no session: %s", user, out)
	}
	return found
}

// S8.1: who runs what, in which mode, until when, at what cost.
func TestS8_1SessionsGolden(t *testing.T) {
	t.Parallel()
	w := atWork(t)
	w.tells("sessions")
	w.tells("sessions --user u-ana")
	w.tells("sessions --engine sagemaker-training --mode interactive")
	w.tells("sessions --due-within 8h")
	w.tells("sessions --cost-above 0.2")
	w.tells("sessions --state ended")
	w.tells("sessions --limit 2")
	w.tells("sessions --as u-dora")
	w.tells("sessions --user u-dora --json")
	w.tells("sessions --state ended --json")
	for _, w.width = range []int{100, 80, 60, 40, 20} {
		fmt.Fprintf(&w.said, "# %d columns\n", w.width)
		w.tells("sessions")
	}
	w.width, w.colour = 80, true
	w.tells("sessions --user u-dora")
	w.width, w.colour = 0, false
	w.tells("sessions --mode both")
	w.tells("sessions --state gone")
	w.tells("sessions --engine spark")
	w.tells("sessions --due-within soon")
	w.tells("sessions --user ana@example.com")
	w.tells("sessions --user u-ana --as u-dora")
	w.tells("sessions --cost-above -1")
	w.tells("sessions --cost-above much")
	w.tells("sessions --usr u-ana")
	w.tells("sessions all")
	w.tells("sessions --as ana@example.com")
	w.golden("sessions")
}

// S8.1, S8.2: why a run is alive, until when, and would it survive a sign-out.
func TestS8_1WhyGolden(t *testing.T) {
	t.Parallel()
	w := atWork(t)
	ana, chloe := w.id("u-ana"), w.id("u-chloe")
	w.tells("why " + ana)
	w.tells("why " + chloe + " --as u-chloe")
	w.width = 60
	w.tells("why " + w.id("u-eve"))
	w.width = 0
	w.tells("why " + chloe + " --as u-ana")
	w.tells("why s-none")
	w.tells("why")
	w.tells("why " + ana + " " + chloe)
	w.tells("stop " + chloe + ` --why "wrong input"`)
	w.pass(15 * time.Minute)
	w.tells("why " + chloe)
	w.golden("why")
}

// With --json a command says just what the API does: its document is the one
// place that names the fields.
func TestJSONIsTheAPIs(t *testing.T) {
	t.Parallel()
	w := atWork(t)
	eve := w.id("u-eve")
	for line, path := range map[string]string{"why " + eve: "/api/sessions/" + eve, "policy get": "/api/policy", "cost": "/api/costs"} {
		out, said, status := w.runs(append(strings.Fields(line), "--json", "--local="+w.url)...)
		if want := w.get(path); status != 0 || out != want || len(want) < 100 {
			t.Errorf("%s: %d %s\n%s\nwant\n%s", line, status, said, out, want)
		}
	}
	for line, path := range map[string]string{"sessions": "/api/sessions", "notices": "/api/notices"} {
		var got, want map[string]any
		out, _, _ := w.runs(line, "--json", "--local="+w.url)
		if err := errors.Join(json.Unmarshal([]byte(out), &got), json.Unmarshal([]byte(w.get(path)), &want)); err != nil {
			t.Fatal(err)
		}
		if want["next"] = ""; line == "sessions" && len(got[line].([]any)) < 6 || !reflect.DeepEqual(got, want) && line == "notices" {
			t.Errorf("%s: %s", line, out)
		}
	}
}

func (w *town) get(path string) string {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.url+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it is read
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// S8.1, S2.9: a revoke is previewed, asked, and watched until it is seen.
func TestS8_1RevokeGolden(t *testing.T) {
	t.Parallel()
	w := atWork(t)
	w.tells("revoke --user u-ana")
	w.tells("revoke --user u-ana --preview")
	w.in = strings.NewReader("no\n")
	w.tells("revoke --user u-ana")
	w.in, w.live, w.width = strings.NewReader("y\n"), true, 80
	w.tells(`revoke --user u-ana --why "left the company"`)
	w.in, w.live, w.width = nil, false, 0
	w.tells("revoke --selector engine=sagemaker-training,user=u-chloe --yes")
	w.tells("revoke " + w.id("u-dora") + " --yes --no-wait")
	w.tells(fmt.Sprintf("revoke --follow act-of-test-%02d", w.acts))
	w.tells("revoke --user u-eve --yes --json")
	w.tells("revoke --selector engine=livy --yes")
	w.tells("revoke --user u-zoe --preview")
	w.width = 60
	w.trains("u-fay")
	w.pass(10 * time.Minute)
	w.tells("revoke --user u-fay --preview")
	w.width = 0
	w.tells("revoke " + w.id("u-fay") + " --preview --json")
	w.tells("revoke --preview")
	w.tells("revoke s-1 --user u-ana --preview")
	w.tells("revoke --selector engine --preview")
	w.tells("revoke --selector size=big --preview")
	w.tells("revoke --selector engine=spark --preview")
	w.tells("revoke --selector user=u-fay,user=u-ana --preview")
	w.tells("revoke s-none --yes")
	w.tells("revoke --user u-fay --yes --preview")
	w.tells("revoke --user u-fay --yes --as u-fay")
	w.tells("revoke --follow no-such-act")
	w.tells("revoke --follow no-such-act --user u-ana")
	w.golden("revoke")
}

// hook is a person who takes some time to say yes.
type hook func()

func (h hook) Read(b []byte) (int, error) {
	h()
	return copy(b, "yes\n"), io.EOF
}

// S8.1: just what was shown is ended: who began a run between the preview and the
// yes is asked again.
func TestS8_1RevokeEndsWhatItShowed(t *testing.T) {
	t.Parallel()
	w := atWork(t)
	w.in = hook(func() {
		w.trains("u-fay")
		w.pass(10 * time.Minute)
	})
	_, said, status := w.runs("revoke", "--selector", "engine=sagemaker-training", "--local="+w.url)
	if status != exitRefused || !strings.Contains(said, "other sessions would be ended than the preview showed") {
		t.Errorf("status %d: %s", status, said)
	}
	if out, _, _ := w.runs("sessions", "--state", "ending", "--local="+w.url); !strings.Contains(out, "No session fits") {
		t.Errorf("something was ended all the same: %s", out)
	}
}

// S8.2, S8.6: acts on one session and one user.
func TestS8_2ActsGolden(t *testing.T) {
	t.Parallel()
	w := atWork(t)
	eve, dora := w.id("u-eve"), w.id("u-dora")
	w.tells("extend " + eve + ` --by 10m --why "quarter end" --as u-eve`)
	w.tells("extend " + eve + " --until 2026-11-27T18:20:00Z --json")
	w.tells("extend " + dora + " --by 12h")
	w.tells("extend " + eve + " --by 200d")
	w.tells("extend " + eve)
	w.tells("extend " + eve + " --by 1h --until 2026-11-29T08:00:00Z")
	w.tells("extend " + eve + " --by soon")
	w.tells("extend " + eve + " --by 1h --as u-ana")
	w.tells("lock u-ana --for 2d --why investigation")
	w.tells("lock u-ana --for 91d --why investigation")
	w.tells("lock u-ana --for 2d")
	w.tells("lock u-ana --why investigation")
	w.tells("lock ana@example.com --for 2d --why investigation")
	w.tells("lock u-ana --for 2d --why investigation --as u-ana")
	w.tells("unlock u-ana --json")
	w.tells("unlock u-ana")
	w.tells("unlock")
	w.tells("stop " + dora + ` --why "wrong input"`)
	w.tells("stop s-none")
	w.tells("stop")
	w.tells("stop " + eve + " --as u-ana")
	w.golden("acts")
}

// S8.3: what would end, what would go on, and why.
func TestS8_3WhatIfGolden(t *testing.T) {
	t.Parallel()
	w := atWork(t)
	w.tells("whatif sign-out u-ana")
	w.tells("whatif sign-out u-chloe --json")
	w.tells("whatif revoke --selector mode=interactive")
	w.tells("whatif policy --background-duration 15m")
	w.tells("whatif policy " + w.file(`{"backgroundDuration": "30d", "costAlertUsd": 5}`))
	w.tells("whatif date 2026-11-28T00:00:00Z")
	w.width = 60
	w.tells("whatif date 2026-11-21T06:00:00Z")
	w.width = 0
	w.tells("whatif date tomorrow")
	w.tells("whatif date 2020-01-01T00:00:00Z")
	w.tells("whatif sign-out ana@example.com")
	w.tells("whatif revoke")
	w.tells("whatif policy")
	w.tells("whatif policy --livy-idle 14m")
	w.tells("whatif policy " + w.file(`{"backgroundDuration": "91d"}`))
	w.tells("whatif policy " + w.file(`{"duration": "1d"}`))
	w.tells("whatif policy " + w.file(`[]`))
	w.tells("whatif policy no-such-file.json")
	w.tells("whatif rain")
	w.golden("whatif")
}

// S1.4, S1.6: the policy, who set what when; 14 minutes and 91 days are refused.
func TestS1_4PolicyGolden(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	w.pass(time.Hour)
	w.tells("policy get")
	w.tells("policy set --background-duration 14m")
	w.tells("policy set --background-duration 91d")
	w.tells("policy set --background-duration soon")
	w.tells("policy set --instance-background maybe")
	w.tells("policy set --require-unified-studio-launch maybe")
	w.tells("policy set --cost-alert-usd much")
	w.tells("policy set --cost-alert-usd -1")
	w.tells("policy set")
	w.tells(`policy set --background-duration 3d --tenant-limit 30d --why "costs"`)
	w.pass(time.Hour)
	w.tells("policy set --file " + w.file(`{"tenantLimit": "30d", "livyIdle": "2h"}`) + " --tenant-limit none --version 2")
	w.tells("policy set --livy-idle 1h --version 2")
	w.tells("policy set --livy-idle 2h")
	w.tells("policy set --livy-idle 1h --as u-ana")
	w.tells("policy get --as u-ana")
	w.tells("policy set --require-unified-studio-launch true --json")
	w.width = 60
	w.tells("policy get")
	w.golden("policy")
}

// S2.8, S4.6, S8.5: what people were told, and what sessions cost; who is
// forgotten is named, what is unknown stays unknown.
func TestS8_5NoticesAndCostGolden(t *testing.T) {
	t.Parallel()
	w := atWork(t)
	w.tells("notices")
	w.tells("cost")
	w.tells(`events send nightshift-signed-out/from-a-webhook --set detail.user=u-ana --now`)
	w.tells(`events send nightshift-signed-out/from-a-webhook --set detail.user=u-eve --now`)
	w.tells(`events send nightshift-signed-out/from-a-webhook --set detail.user=u-fin --now`)
	w.tells(`events send nightshift-signed-out/from-a-webhook --set detail.user=u-chloe --now --json`)
	w.pass(26 * time.Hour)
	w.tells("sessions --state all")
	w.tells("sessions --state all --cost-above 5")
	w.tells("notices --limit 2")
	w.tells("notices --as u-chloe")
	w.tells("notices --as u-chloe --json")
	w.tells("notices --session s-none")
	w.tells("notices --limit -1")
	w.tells("cost")
	w.tells("cost --by department")
	w.tells("cost --by cost-center --as u-chloe")
	w.tells("cost --json --as u-ana")
	w.width = 60
	w.tells("cost")
	w.width = 0
	w.tells("cost --by team")
	w.golden("told")
}

// S3: events by sample, by file, and what is refused.
func TestS3EventsGolden(t *testing.T) {
	t.Parallel()
	w := atWork(t)
	w.tells("events send " + w.file(`{"source": "nightshift", "detail-type": "Nightshift Signed Out", "id": "e-1", "time": "2026-11-20T18:20:00Z",
		"detail": {"user": "u-chloe", "at": "2026-11-20T18:20:00Z"}}`))
	w.pass(5 * time.Minute)
	w.tells("sessions --state all --user u-chloe")
	w.tells("events send nightshift-signed-out/from-nowhere")
	w.tells("events send session-ended/sign-out")
	w.tells("events send " + w.file(`[]`))
	w.tells("events send " + w.file(`{"source": "nightshift"}`))
	w.tells("events send nightshift-signed-out/from-a-webhook --set user")
	w.tells("events send nightshift-signed-out/from-a-webhook --set detail.user.name=x")
	w.tells("events send")
	w.golden("events")
}
