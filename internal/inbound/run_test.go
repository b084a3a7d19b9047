package inbound

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"nightshift/internal/fault"
	"nightshift/internal/workload"
	"nightshift/statemachines"
)

const runExecution = "arn:aws:states:us-east-1:123456789012:execution:nightshift-run:a"

func runSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(statemachines.InputSchema(statemachines.Run)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("run", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("run")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The published schema and ParseRun must judge every input alike.
func TestRunInput(t *testing.T) {
	const rest = `"engine":"livy","endpoint":"livy/j-1","spec":{}`
	schema := runSchema(t)
	for _, c := range []struct{ name, input, fault string }{
		{"the least", `{"user":"u-ana",` + rest + `}`, ""},
		{"everything", `{"user":"u-ana","interactiveSession":{"id":"is-1","source":"portal","expiresAt":"2026-11-21T02:00:00Z"},"engine":"sagemaker-training",
			"endpoint":"sagemaker/123456789012/us-east-1","domain":"d-1","maxRuntimeSeconds":3600,"spec":{"TrainingJobName":"a"}}`, ""},
		{"kind and application", `{"user":"u-ana","kind":"livy-batch","application":"hive",` + rest + `}`, ""},
		{"no user", `{` + rest + `}`, "user is missing"},
		{"an e-mail address as user", `{"user":"ana@example.com",` + rest + `}`, "user must be a user id"},
		{"no engine", `{"user":"u-ana","endpoint":"livy/j-1","spec":{}}`, "engine is missing"},
		{"unknown engine", `{"user":"u-ana","engine":"glue","endpoint":"livy/j-1","spec":{}}`, `engine is "glue"; allowed: livy, emr-containers`},
		{"no endpoint", `{"user":"u-ana","engine":"livy","spec":{}}`, "endpoint is missing"},
		{"endpoint without account", `{"user":"u-ana","engine":"livy","endpoint":"livy","spec":{}}`, "endpoint must be written"},
		{"no spec", `{"user":"u-ana","engine":"livy","endpoint":"livy/j-1"}`, "spec is missing"},
		{"spec is a list", `{"user":"u-ana","engine":"livy","endpoint":"livy/j-1","spec":[]}`, "spec must be"},
		{"unknown field", `{"user":"u-ana","usr":"u-bea",` + rest + `}`, "usr is not a known field"},
		{"unknown kind", `{"user":"u-ana","kind":"batch",` + rest + `}`, `kind is "batch"`},
		{"negative runtime", `{"user":"u-ana","maxRuntimeSeconds":-1,` + rest + `}`, "maxRuntimeSeconds must be"},
		{"runtime over 90 days", `{"user":"u-ana","maxRuntimeSeconds":7776001,` + rest + `}`, "maxRuntimeSeconds must be"},
		{"runtime is text", `{"user":"u-ana","maxRuntimeSeconds":"60",` + rest + `}`, "maxRuntimeSeconds must be"},
		{"expiry is no time", `{"user":"u-ana","interactiveSession":{"expiresAt":"soon"},` + rest + `}`, "interactiveSession.expiresAt is"},
		{"a list", `[]`, "the input must be a JSON object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := ParseRun(runExecution, []byte(c.input))
			if c.fault == "" && err != nil {
				t.Fatalf("refused: %v", err)
			}
			if c.fault != "" && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.fault)) {
				t.Fatalf("got %v, want invalid with %q", err, c.fault)
			}
			doc, err := jsonschema.UnmarshalJSON(strings.NewReader(c.input))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(doc); (err == nil) != (c.fault == "") {
				t.Errorf("the schema answers %v, ParseRun %q", err, c.fault)
			}
		})
	}
}

func TestRunInputIsRead(t *testing.T) {
	r, spec, err := ParseRun(runExecution, []byte(`{"user":"u-ana","interactiveSession":{"id":"is-1","source":"portal"},"engine":"livy","endpoint":"livy/j-1","maxRuntimeSeconds":60,"spec":{"kind":"pyspark"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if r.Execution != runExecution || r.User != "u-ana" || r.Interactive.ID != "is-1" || r.Run.MaxRuntime != time.Minute || r.Run.Kind != workload.LivySession || string(spec) != `{"kind":"pyspark"}` {
		t.Errorf("read %+v and spec %s", r, spec)
	}
	_, _, err = ParseRun(runExecution, []byte(`{"user":"`+strings.Repeat("a", RunInputMax)+`"}`))
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "at most 262144") {
		t.Errorf("an input over the limit: %v", err)
	}
}
