package statemachines_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"nightshift/internal/asl"
	"nightshift/internal/cadence"
	"nightshift/statemachines"
)

var update = flag.Bool("update", false, "rewrite the diagrams of README.md")

const account = "us-east-1:123456789012:"

func machineARN(name string) string { return "arn:aws:states:" + account + "stateMachine:" + name }
func functionARN(name string) string {
	return "arn:aws:lambda:" + account + "function:" + name
}

var arns = map[string]string{
	statemachines.OpenSessionArn:     functionARN("open-session"),
	statemachines.StartRunArn:        functionARN("start-run"),
	statemachines.ObserveEndpointArn: functionARN("observe-endpoint"),
	statemachines.DrainEndpointArn:   functionARN("drain-endpoint"),
	statemachines.RestartSessionArn:  functionARN("restart-session"),
	statemachines.PreflightArn:       functionARN("preflight"),
	statemachines.MoveNotebookArn:    functionARN("move-notebook"),
	statemachines.WatchMachineArn:    machineARN(statemachines.Watch),
	statemachines.DrainMachineArn:    machineARN(statemachines.Drain),
}

// load puts numbers and ARNs into a machine, as whoever deploys it does.
func load(t testing.TB, name string) *asl.Machine {
	t.Helper()
	definition := statemachines.Definition(name)
	m, err := asl.Load(definition, statemachines.Filled(definition, arns), statemachines.Integrations()...)
	if err != nil {
		t.Fatalf("%s:\n%v", name, err)
	}
	return m
}

func TestSubstitutionsAreNumbersOrARNs(t *testing.T) {
	want := map[string]string{
		statemachines.Run:   "OpenSessionArn RunWaitSeconds= StartRunArn TaskTimeoutSeconds=",
		statemachines.Watch: "ObserveEndpointArn RoundsMax= TaskTimeoutSeconds= WatchMachineArn YoungSeconds=",
		statemachines.Drain: "DrainEndpointArn DrainEverySeconds= DrainMachineArn RoundsMax= TaskTimeoutSeconds=",

		statemachines.CreateVirtualCluster: "TaskTimeoutSeconds=",
		statemachines.DeleteVirtualCluster: "DeleteWaitSeconds= TaskTimeoutSeconds=",
		statemachines.SubmitJobRun:         "OpenSessionArn RunWaitSeconds= TaskTimeoutSeconds=",
		statemachines.ProcessInVPC:         "OpenSessionArn PreflightArn RunWaitSeconds= StartRunArn TaskTimeoutSeconds=",
		statemachines.Restart:              "GraceRounds= GraceSeconds= RestartSessionArn TaskTimeoutSeconds=",
		statemachines.MoveNotebook:         "GraceRounds= GraceSeconds= MoveNotebookArn TaskTimeoutSeconds=",
	}
	for _, name := range statemachines.Names() {
		var got []string
		values := statemachines.Values(statemachines.Definition(name))
		for _, s := range statemachines.Substitutions(statemachines.Definition(name)) {
			if v, ok := values[s]; ok {
				if n, err := strconv.Atoi(v); err != nil || n < 1 {
					t.Errorf("%s: %s is %q, not a whole number above 0", name, s, v)
				}
				s += "="
			}
			got = append(got, s)
		}
		if text := strings.Join(got, " "); text != want[name] {
			t.Errorf("%s: got %s, want %s", name, text, want[name])
		}
		load(t, name)
	}
}

type definition struct {
	Comment string
	States  map[string]struct {
		Type, Resource, Comment string
		TimeoutSeconds          any
		Retry                   []struct {
			Comment         string
			ErrorEquals     []string
			IntervalSeconds int
			MaxAttempts     *int
			BackoffRate     float64
			MaxDelaySeconds int
			JitterStrategy  string
		}
		Catch []struct {
			Comment     string
			ErrorEquals []string
		}
	}
}

func parse(t *testing.T, name string) definition {
	t.Helper()
	var d definition
	if err := json.Unmarshal(statemachines.Definition(name), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRetriesAreThoseOfCadence(t *testing.T) {
	for _, name := range statemachines.Names() {
		for state, s := range parse(t, name).States {
			if s.Type != "Task" {
				continue
			}
			at := name + "." + state
			if s.TimeoutSeconds == nil || len(s.Retry) == 0 || len(s.Catch) == 0 || s.Comment == "" {
				t.Errorf("%s: every Task has a TimeoutSeconds, a Retry, a Catch and a Comment", at)
			}
			for i, r := range s.Retry {
				switch {
				case r.Comment == "" || r.MaxAttempts == nil:
					t.Errorf("%s.Retry[%d]: needs Comment and MaxAttempts", at, i)
				case *r.MaxAttempts == 0: // says what is not retried
				case *r.MaxAttempts != attempts(name, state, r.ErrorEquals):
					t.Errorf("%s.Retry[%d]: MaxAttempts %d, cadence says %d", at, i, *r.MaxAttempts, attempts(name, state, r.ErrorEquals))
				case r.IntervalSeconds != 2 || r.BackoffRate != 2 || r.MaxDelaySeconds != 30 || r.JitterStrategy != "FULL":
					t.Errorf("%s.Retry[%d]: must be 2 s, doubling, at most 30 s, full jitter, not %+v", at, i, r)
				}
			}
			for i, c := range s.Catch {
				if c.Comment == "" {
					t.Errorf("%s.Catch[%d]: needs a Comment", at, i)
				}
			}
		}
	}
}

// Names of errors that AWS gives: of Lambda's runtime and API, and of the
// integration that starts executions.
var awsErrors = []string{
	"Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException", "Lambda.TooManyRequestsException",
	"Lambda.Unknown", "Runtime.ExitError", "Sandbox.Timedout", "StepFunctions.ExecutionAlreadyExistsException", "States.ALL", "States.Timeout",
}

func TestErrorNamesAreKnown(t *testing.T) {
	known := append(statemachines.Errors(), awsErrors...)
	used := map[string]bool{}
	for _, name := range statemachines.Names() {
		for state, s := range parse(t, name).States {
			var names []string
			for _, r := range s.Retry {
				names = append(names, r.ErrorEquals...)
			}
			for _, c := range s.Catch {
				names = append(names, c.ErrorEquals...)
			}
			for _, n := range names {
				used[n] = true
				if !slices.Contains(known, n) {
					t.Errorf("%s.%s: nobody gives the error %s", name, state, n)
				}
			}
		}
	}
	for _, n := range known {
		if !used[n] {
			t.Errorf("no machine tells %s apart", n)
		}
	}
}

// Each machine that people start says what it takes, and has samples that can be
// pasted into `aws stepfunctions start-execution`.
func TestInputs(t *testing.T) {
	for _, name := range statemachines.Names() {
		schema, samples := statemachines.InputSchema(name), statemachines.Inputs(name)
		if schema == nil {
			if len(samples) > 0 {
				t.Errorf("%s has samples and no schema", name)
			}
			continue
		}
		s := compiled(t, name, schema)
		if len(samples) == 0 {
			t.Errorf("%s has no sample", name)
		}
		for file, body := range samples {
			if err := s.Validate(decoded(t, body)); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
		if err := s.Validate(decoded(t, []byte(`{}`))); err == nil {
			t.Errorf("%s takes an empty input", name)
		}
	}
}

func compiled(t *testing.T, name string, schema []byte) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	if err := c.AddResource(name, decoded(t, schema)); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func decoded(t *testing.T, body []byte) any {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// What the machines use besides Lambda and Step Functions is what is listed, so
// that whoever grants and whoever plays it misses nothing.
func TestIntegrationsAreThoseUsed(t *testing.T) {
	used := map[string]bool{}
	for _, name := range statemachines.Names() {
		for _, s := range parse(t, name).States {
			if s.Type == "Task" && !strings.HasPrefix(s.Resource, "arn:aws:states:::lambda:") && !strings.HasPrefix(s.Resource, "arn:aws:states:::states:") {
				used[s.Resource] = true
			}
		}
	}
	if got, want := slices.Sorted(maps.Keys(used)), slices.Sorted(slices.Values(statemachines.Integrations())); !slices.Equal(got, want) {
		t.Errorf("used are %v, listed %v", got, want)
	}
}

// TestDiagrams keeps the pictures in README.md those of the definitions; with
// -update it rewrites them.
func TestDiagrams(t *testing.T) {
	old, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(old)
	for _, name := range statemachines.Names() {
		block := regexp.MustCompile(`(?s)<!-- diagram ` + name + ` -->.*?<!-- end -->`)
		if !block.MatchString(text) {
			t.Errorf("README.md has no place for the diagram of %s", name)
		}
		picture := fmt.Sprintf("<!-- diagram %s -->\n```mermaid\n%s```\n<!-- end -->", name, diagram(load(t, name)))
		text = block.ReplaceAllLiteralString(text, picture)
	}
	if text == string(old) {
		return
	}
	if !*update {
		t.Fatal("README.md shows other machines than these: go test ./statemachines -run TestDiagrams -update")
	}
	if err := os.WriteFile("README.md", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func diagram(m *asl.Machine) string {
	var b strings.Builder
	fmt.Fprintf(&b, "stateDiagram-v2\n  [*] --> %s\n", m.StartAt())
	for _, e := range m.Edges() {
		label := strings.Trim(e.Label, "[]")
		if label != "" {
			label = " : " + label
		}
		fmt.Fprintf(&b, "  %s --> %s%s\n", e.From, e.To, label)
	}
	for _, s := range m.States() {
		if k := m.Type(s); k == "Succeed" || k == "Fail" {
			fmt.Fprintf(&b, "  %s --> [*]\n", s)
		}
	}
	return b.String()
}

// attempts is how often a failure is retried: a start that the engine throttles
// for longer than anything else.
func attempts(machine, state string, errors []string) int {
	if (machine == statemachines.Run || machine == statemachines.ProcessInVPC) && state == "Start" && slices.Equal(errors, []string{statemachines.Throttled}) {
		return cadence.StartAttempts
	}
	return cadence.TaskAttempts
}
