package functions

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/events"
	"nightshift/internal/config"
	"nightshift/internal/edge/runtimehost"
	"nightshift/internal/edge/runtimehost/occasion"
)

// patience bounds each wait for a process; a healthy one needs milliseconds.
const patience = 30 * time.Second

const dynamo = "DynamoDB_20120810."

// effect is a call that a function must make, by its operation and by parts of
// what it sends.
type effect struct {
	operation string
	parts     []string
}

// effects says what each function answers to its typical event and what it must
// have called by then.
var effects = map[string]struct {
	answer string
	calls  []effect
}{
	"on-logout": {`{"batchItemFailures":null}`, []effect{
		{dynamo + "PutItem", []string{`"pk":{"S":"U#544894e8-80c1-707f-60e3-3ba6510dfac1"}`, `\"kind\":\"sign-out\"`, `"gsi1pk":{"S":"PENDING"}`}},
	}},
	"on-revocation": {`{"batchItemFailures":null}`, []effect{
		{dynamo + "PutItem", []string{`"sk":{"S":"FACTS"}`, `\"kind\":\"user-disabled\"`}},
	}},
	"on-run-event": {`{"batchItemFailures":null}`, []effect{
		{dynamo + "TransactWriteItems", []string{`"sk":{"S":"STATE"}`, `"sk":{"S":"CLAIM"}`, `"gsi1pk":{"S":"U#`}},
	}},
	"on-schedule": {"null", []effect{
		{dynamo + "Query", []string{`"IndexName":"gsi3"`, `"S":"DUE#7"`}},
		{dynamo + "Query", []string{`"IndexName":"gsi1"`, `"S":"UNFINISHED#0"`}},
		{"CloudTrail_20131101.LookupEvents", []string{"Logout"}},
	}},
	"open-session": {`{"sessionId":"s-`, []effect{
		{dynamo + "TransactWriteItems", []string{`"sk":{"S":"STATE"}`, `"undone":{"S":"1"}`, `"ConditionCheck":`, `"S":"U#u-ana"`}},
	}},
	"start-run": {"null", []effect{
		{dynamo + "PutItem", []string{`"sk":{"S":"STATE"}`, `"version":{"N":"2"}`}},
		{"SageMaker.CreateTrainingJob", []string{`"TrainingJobName":`, `"Key":"nightshift:session"`}},
		{dynamo + "TransactWriteItems", []string{`"sk":{"S":"CLAIM"}`}},
	}},
	"run-effects": {"null", []effect{
		{"AWSStepFunctions.StartExecution", []string{`stateMachine:watch"`}},
		{"AWSEvents.PutEvents", []string{`"EventBusName":"nightshift"`}},
		{dynamo + "UpdateItem", []string{`"sk":{"S":"STATE"}`, `REMOVE #undone`, `"#settled":"settled"`}},
	}},
	"observe-endpoint": {`{"done":false,"live":0,"waitSeconds":`, []effect{
		{dynamo + "UpdateItem", []string{`"sk":{"S":"ENDPOINT"}`, `\"watch\":{\"generation\":1`}},
		{"SageMaker.ListTrainingJobs", nil},
	}},
	"console": {`{"statusCode":200,"headers":{`, []effect{
		{dynamo + "GetItem", []string{`"sk":{"S":"POLICY"}`}},
	}},
	"repair": {`{"statusCode":200,"headers":{`, []effect{
		{dynamo + "GetItem", []string{`"S":"MARK#alive"`}},
		{"SageMaker.ListTrainingJobs", nil},
	}},
	"preflight": {`{"verdict":"failed","error":"PreflightFailed","cause":"{\"text\":\"The job was not started`, []effect{
		{"POST /", []string{"Action=DescribeSubnets", "subnet-0a1b2c3d"}},
		{dynamo + "Query", []string{"sagemaker/123456789012/us-east-1"}},
	}},
	"restart-session": {`{"started":false,"waitsFor":"its run is still being stopped`, []effect{
		{dynamo + "GetItem", []string{`"pk":{"S":"S#`, `"sk":{"S":"STATE"}`}},
	}},
	"move-notebook": {`{"state":"failed","why":"Execution arn:aws:states:`, []effect{
		{dynamo + "GetItem", []string{`"pk":{"S":"S#s-unheard-of"}`}},
		{"AWSStepFunctions.DescribeExecution", nil},
	}},
	"drain-endpoint": {`{"done":false,"left":0,"waitSeconds":`, []effect{
		{dynamo + "UpdateItem", []string{`"sk":{"S":"ENDPOINT"}`, `\"drain\":{\"generation\":1`}},
		{"SageMaker.ListTrainingJobs", nil},
	}},
}

// The binaries that are deployed, as they are: the same from every folder, and
// behind a Runtime API they start, take an event, do what it asks for, name
// their errors as the state machines know them, and end when told to.
func TestBinaries(t *testing.T) {
	dir := t.TempDir()
	build(t, "..", "", runtime.GOOS, runtime.GOARCH, dir)
	t.Run("reproducible", func(t *testing.T) { reproducible(t, dir) })
	opened := opened(t, dir)
	if got, want := slices.Sorted(maps.Keys(effects)), config.Functions(); !slices.Equal(got, want) {
		t.Fatalf("effects are said of %v, functions are %v", got, want)
	}
	for _, name := range config.Functions() {
		t.Run(name, func(t *testing.T) {
			want := effects[name]
			items := occasion.Items(name, opened)
			aws := services(t, occasion.Script(), items)
			p := start(t, dir, name, aws.Env())
			event, err := occasion.Event(name, items)
			if err != nil {
				t.Fatal(err)
			}
			if got := answerOf(t, p, event); !strings.HasPrefix(got, want.answer) {
				t.Errorf("answers %s, want %s; it said: %s", got, want.answer, p.Output())
			}
			for _, e := range want.calls {
				if !made(aws.Calls(), e) {
					t.Errorf("no call of %s has %q; called were %s", e.operation, e.parts, operations(aws.Calls()))
				}
			}
			terminates(t, p)
		})
	}
	t.Run("errors", func(t *testing.T) { binaryErrors(t, dir) })
	t.Run("without environment", func(t *testing.T) { withoutEnvironment(t, dir) })
}

// binaryErrors has each error that a state machine tells apart, from a binary.
func binaryErrors(t *testing.T, dir string) {
	locked := json.RawMessage(`{"pk":{"S":"U#u-ana"},"sk":{"S":"FACTS"},"schema":{"N":"1"},"version":{"N":"1"},
		"doc":{"S":"{\"user\":\"u-ana\",\"version\":1,\"lock\":{\"until\":\"9000-01-01T00:00:00Z\",\"by\":\"admin\",\"why\":\"an incident\"}}"}}`)
	refused := func(code, rest string) runtimehost.Reply {
		return runtimehost.Reply{Status: 400, Body: `{"__type":"com.amazonaws.dynamodb.v20120810#` + code + `"` + rest + `}`}
	}
	for _, c := range []struct {
		name, function string
		event          string
		script         map[string]runtimehost.Reply
		items          []json.RawMessage
		down           bool
		kind, message  string
	}{
		{name: "bad input", function: "open-session", event: `{"execution":"e","input":{"user":"ana@example.com","engine":"livy","endpoint":"livy/j-1","spec":{}}}`,
			kind: "InvalidInput", message: "user must be a user id"},
		{name: "an endpoint that is not configured", function: "drain-endpoint", event: `{"endpoint":"livy/j-9","generation":1}`,
			kind: "InvalidInput", message: "livy/j-9"},
		{name: "a locked user", function: "open-session", items: []json.RawMessage{locked}, kind: "UserLocked", message: "an incident"},
		{name: "throttled", function: "drain-endpoint", script: map[string]runtimehost.Reply{dynamo + "GetItem": refused("ThrottlingException", "")},
			kind: "Throttled", message: "ThrottlingException"},
		{name: "others are always faster", function: "open-session",
			script: map[string]runtimehost.Reply{dynamo + "TransactWriteItems": refused("TransactionCanceledException", `,"CancellationReasons":[{"Code":"None"},{"Code":"ConditionalCheckFailed"}]`)},
			kind:   "Conflict", message: "facts have changed"},
		{name: "the store is down", function: "drain-endpoint", down: true, kind: "Unavailable", message: "connection refused"},
		{name: "the store is down", function: "on-schedule", down: true, kind: "Unavailable", message: "connection refused"},
	} {
		t.Run(c.name+", "+c.function, func(t *testing.T) {
			aws := services(t, c.script, c.items)
			env := aws.Env()
			env["AWS_MAX_ATTEMPTS"] = "1" // the test waits for no repetition
			if c.down {
				aws.Close()
			}
			event := []byte(c.event)
			if c.event == "" {
				var err error
				if event, err = occasion.Event(c.function, nil); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err := start(t, dir, c.function, env).Invoke(ctx, event)
			var reported *runtimehost.Error
			if !errors.As(err, &reported) || reported.Type != c.kind || !strings.Contains(reported.Message, c.message) {
				t.Errorf("reports %v, want the type %s with %q", err, c.kind, c.message)
			}
		})
	}
	t.Run("a malformed event is parked, on-logout", func(t *testing.T) {
		for _, bad := range events.Bad("cloudtrail-logout") {
			aws := services(t, nil, nil)
			if got := answerOf(t, start(t, dir, "on-logout", aws.Env()), batch(t, bad.Body)); got != `{"batchItemFailures":null}` {
				t.Errorf("%s: answers %s", bad.Name, got)
			}
			if !made(aws.Calls(), effect{dynamo + "PutItem", []string{`"S":"PARKED#`, `"gsi1pk":{"S":"PARKED"}`, `"expiresAt":{"N":`}}) {
				t.Errorf("%s is not parked; called were %s", bad.Name, operations(aws.Calls()))
			}
		}
	})
	t.Run("an event that cannot be kept is delivered again, on-logout", func(t *testing.T) {
		aws := services(t, nil, nil)
		env := aws.Env()
		env["AWS_MAX_ATTEMPTS"] = "1"
		aws.Close()
		event, err := occasion.Event("on-logout", nil)
		if err != nil {
			t.Fatal(err)
		}
		want := `{"batchItemFailures":[{"itemIdentifier":"` + occasion.Message + `"}]}`
		if got := answerOf(t, start(t, dir, "on-logout", env), event); got != want {
			t.Errorf("answers %s, want %s", got, want)
		}
	})
}

// withoutEnvironment wants a binary that cannot be built to end at once and to
// have said why, in words of its log.
func withoutEnvironment(t *testing.T, dir string) {
	for _, name := range config.Functions() {
		p, err := runtimehost.Start(runtimehost.Function{Name: name, Path: binary(dir, name)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Kill)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		err = p.Ready(ctx)
		var exited *runtimehost.Exited
		if !errors.As(err, &exited) || exited.State != "exit status 1" || !strings.Contains(exited.Output, "NIGHTSHIFT_TABLE is not set") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// reproducible builds again from a copy of the source in another folder, and
// one function for Lambda's own platform from both.
func reproducible(t *testing.T, dir string) {
	other := t.TempDir()
	for _, part := range []string{"go.mod", "go.sum", "events", "functions", "internal", "statemachines"} {
		copyGo(t, filepath.Join("..", part), filepath.Join(other, part))
	}
	again := t.TempDir()
	build(t, other, "", runtime.GOOS, runtime.GOARCH, again)
	for _, name := range config.Functions() {
		same(t, binary(dir, name), binary(again, name))
	}
	const one = "run-effects"
	here, there := t.TempDir(), t.TempDir()
	build(t, "..", one, "linux", "arm64", here)
	build(t, other, one, "linux", "arm64", there)
	same(t, binary(here, one), binary(there, one))
	// What `make build` deploys is built with the same flags.
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"CGO_ENABLED=0", "-trimpath", "-buildvcs=false", "-tags lambda.norpc", `-ldflags="-s -w -buildid="`} {
		if !strings.Contains(string(makefile), flag) || flag != "CGO_ENABLED=0" && !strings.Contains(strings.Join(runtimehost.BuildFlags, " "), strings.ReplaceAll(flag, `"`, "")) {
			t.Errorf("%s is not in the Makefile and in runtimehost's flags (%v)", flag, runtimehost.BuildFlags)
		}
	}
}

func same(t *testing.T, one, two string) {
	t.Helper()
	var sums [2][sha256.Size]byte
	for i, path := range []string{one, two} {
		b, err := os.ReadFile(path)
		if err != nil || len(b) == 0 {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		sums[i] = sha256.Sum256(b)
	}
	if sums[0] != sums[1] {
		t.Errorf("%s is %x, and %x built from another folder", filepath.Base(one), sums[0], sums[1])
	}
}

// copyGo copies what a build reads.
func copyGo(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, b, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// build builds one function, or all of them where none is named.
func build(t *testing.T, root, function, goos, goarch, dir string) {
	t.Helper()
	if err := runtimehost.Build(t.Context(), root, strings.TrimSuffix("functions/"+function, "/"), goos, goarch, dir); err != nil {
		t.Fatal(err)
	}
}

func binary(dir, name string) string { return filepath.Join(dir, name) }

// opened is what open-session puts into an empty table.
func opened(t *testing.T, dir string) []json.RawMessage {
	t.Helper()
	const name = "open-session"
	aws := services(t, occasion.Script(), nil)
	event, err := occasion.Event(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	answerOf(t, start(t, dir, name, aws.Env()), event)
	return aws.Items()
}

func services(t *testing.T, script map[string]runtimehost.Reply, items []json.RawMessage) *runtimehost.Services {
	t.Helper()
	s, err := runtimehost.ServeAWS(script, occasion.Table, items)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// start starts a function in the environment that its deployment sets, led to
// the services.
func start(t *testing.T, dir, name string, aws map[string]string) *runtimehost.Process {
	t.Helper()
	env := occasion.Environment(name)
	maps.Copy(env, aws)
	p, err := runtimehost.Start(runtimehost.Function{Name: name, Path: binary(dir, name), Env: env})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func answerOf(t *testing.T, p *runtimehost.Process, event []byte) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, err := p.Invoke(ctx, event)
	if err != nil {
		t.Fatalf("%v; it said: %s", err, p.Output())
	}
	return string(got)
}

// terminates wants the process to end by the signal itself: a function has
// nothing to finish, as what it decided is stored.
func terminates(t *testing.T, p *runtimehost.Process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // the most that Lambda grants before it kills
	defer cancel()
	if state, err := p.Terminate(ctx); err != nil || state != "signal: terminated" {
		t.Errorf("told to end: %q, %v", state, err)
	}
}

func batch(t *testing.T, body []byte) []byte {
	t.Helper()
	b, err := occasion.Batch(body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func made(calls []runtimehost.Call, e effect) bool {
	return slices.ContainsFunc(calls, func(c runtimehost.Call) bool {
		return c.Operation == e.operation && !slices.ContainsFunc(e.parts, func(p string) bool { return !strings.Contains(string(c.Body), p) })
	})
}

func operations(calls []runtimehost.Call) string {
	var b strings.Builder
	for _, c := range calls {
		fmt.Fprintf(&b, "%s %.600s\n", c.Operation, c.Body)
	}
	return b.String()
}
