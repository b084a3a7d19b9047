package inbound_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/inbound"
)

func TestS5_1Placing(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]app.Placement{
		`{"ExecutionEngine":{"Id":"j-1"},"EditorId":"e-1","RelativePath":"/a/b.ipynb"}`:                                          {Place: "e-1/a/b.ipynb", Cluster: "j-1"},
		`{"executionengine":{"ID":"j-1"},"editorID":"e-1","relativepath":"a/b.ipynb"}`:                                           {Place: "e-1/a/b.ipynb", Cluster: "j-1"},
		`{"ExecutionEngine":{"Id":"j-1"},"NotebookS3Location":{"Bucket":"b","Key":"a.ipynb"}}`:                                   {Place: "s3://b/a.ipynb", Cluster: "j-1"},
		`{"ExecutionEngine":{"Id":"j-1"},"EditorId":"e","RelativePath":"a","Tags":[{"Key":"nightshift:alone","Value":"true"}]}`:  {Place: "e/a", Cluster: "j-1", Alone: true},
		`{"ExecutionEngine":{"Id":"j-1"},"EditorId":"e","RelativePath":"a","Tags":[{"Key":"nightshift:alone","Value":"false"}]}`: {Place: "e/a", Cluster: "j-1"},
	} {
		if got, ok := inbound.Placing([]byte(spec)); !ok || got != want {
			t.Errorf("S5.1 %s: %+v %t, want %+v", spec, got, ok, want)
		}
	}
	for _, spec := range []string{`{}`, `[]`, `{"ExecutionEngine":{"Id":"j-1"},"EditorId":"e"}`, `{"EditorId":"e","RelativePath":"a"}`} {
		if got, ok := inbound.Placing([]byte(spec)); ok {
			t.Errorf("S5.1 %s is placed: %+v", spec, got)
		}
	}
}

func TestS5_1Elsewhere(t *testing.T) {
	t.Parallel()
	const input = `{"user":"u-ana","engine":"emr-notebook","endpoint":"emr-notebook/123456789012/us-east-1","interactiveSession":{"id":"i","source":"portal"},` +
		`"spec":{"executionEngine":{"id":"j-1","Type":"EMR"},"ServiceRole":"r","EditorId":"e-1","RelativePath":"a.ipynb","NotebookExecutionName":"weekly"}}`
	for _, alone := range []bool{false, true} {
		next, err := inbound.Elsewhere([]byte(input), "s-1", "j-2", alone)
		if err == nil { // moved on once more: nothing is written twice
			next, err = inbound.Elsewhere(next, "s-2", "j-3", alone)
		}
		if err != nil {
			t.Fatal(err)
		}
		r, spec, err := inbound.ParseRun("x", next)
		if err != nil || r.Previous != "s-2" || r.User != "u-ana" || r.Interactive.ID != "i" {
			t.Errorf("S5.1 %s: %+v %v", next, r, err)
		}
		if p, ok := inbound.Placing(spec); !ok || p != (app.Placement{Place: "e-1/a.ipynb", Cluster: "j-3", Alone: alone}) {
			t.Errorf("S5.1 %s is placed %+v %t", spec, p, ok)
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(spec, &fields); err != nil || string(fields["ExecutionEngine"]) != `{"Id":"j-3","Type":"EMR"}` || string(fields["NotebookExecutionName"]) != `"weekly-r3"` || fields["executionEngine"] != nil {
			t.Errorf("S5.1 %s %v", spec, err)
		}
		if n := strings.Count(string(spec), inbound.TagAlone); alone && n != 1 || !alone && n != 0 {
			t.Errorf("S5.1 the tag stands %d times in %s", n, spec)
		}
	}
	// Back on the cluster that it shared, it does not ask for one of its own any more;
	// its other tags stay.
	tagged := strings.Replace(input, `"EditorId"`, `"tags":[{"key":"creatorUserId","value":"AROA:ana"}],"EditorId"`, 1)
	next, err := inbound.Elsewhere([]byte(tagged), "s-1", "j-2", true)
	if err == nil {
		next, err = inbound.Elsewhere(next, "s-2", "j-1", false)
	}
	if err != nil || strings.Contains(string(next), inbound.TagAlone) || !strings.Contains(string(next), `"Tags":[{"Key":"creatorUserId","Value":"AROA:ana"}]`) {
		t.Errorf("S5.1 %s %v", next, err)
	}
	large := strings.Replace(input, `"r"`, `"`+strings.Repeat("r", inbound.RunInputMax-len(input)-5)+`"`, 1)
	for _, bad := range []string{`{}`, large, strings.Replace(input, `{"id":"j-1","Type":"EMR"}`, `"j-1"`, 1)} {
		if next, err := inbound.Elsewhere([]byte(bad), "s-1", "j-2", true); !fault.Is(err, fault.Invalid) {
			t.Errorf("S5.1 %.200s: %.200s, %v", bad, next, err)
		}
	}
}

func TestS5_1ParseMove(t *testing.T) {
	t.Parallel()
	for input, want := range map[string]app.MoveAsked{
		`{"session":"s-1","to":{"cluster":"j-2AX"},"why":"full"}`:                                                      {Execution: "x", Session: "s-1", To: "j-2AX", Why: "full"},
		`{"session":"s-1","to":{"newCluster":{"instanceType":"m5.xlarge"}},"alone":true}`:                              {Execution: "x", Session: "s-1", Alone: true, New: []byte(`{"instanceType":"m5.xlarge"}`)},
		`{"session":"s-1","to":{"newCluster":{"instanceType":"m5.xlarge","instances":3,"releaseLabel":"emr-7.12.0"}}}`: {Execution: "x", Session: "s-1", New: []byte(`{"instanceType":"m5.xlarge","instances":3,"releaseLabel":"emr-7.12.0"}`)},
		`{"resume":"n-1"}`: {Execution: "x", Notebook: "n-1"},
	} {
		if got, err := inbound.ParseMove("x", []byte(input)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("S5.1 %s: %+v %v, want %+v", input, got, err, want)
		}
	}
	for input, says := range map[string]string{
		`{}`: "session is missing", `[]`: "object", `{"session":"s-1"}`: "to is missing", `{"to":{"cluster":"j-1"}}`: "session is missing",
		`{"session":"s-1","to":{}}`: "to must have either", `{"session":"s-1","to":{"cluster":"j-1","newCluster":{"instanceType":"m5.xlarge"}}}`: "to must have either",
		`{"session":"s-1","to":{"cluster":"x"}}`: "to.cluster", `{"session":"s-1","to":{"newCluster":{}}}`: "to.newCluster.instanceType is missing",
		`{"session":"s-1","to":{"newCluster":{"instanceType":"M5 large"}}}`:                          "to.newCluster.instanceType must",
		`{"session":"s-1","to":{"newCluster":{"instanceType":"m5.xlarge","instances":0}}}`:           "to.newCluster.instances must",
		`{"session":"s-1","to":{"newCluster":{"instanceType":"m5.xlarge","instances":1.5}}}`:         "to.newCluster.instances must",
		`{"session":"s-1","to":{"newCluster":{"instanceType":"m5.xlarge","releaseLabel":"latest"}}}`: "to.newCluster.releaseLabel must",
		`{"session":"s-1","to":{"cluster":"j-1"},"resume":"n-1"}`:                                    "resume must stand alone",
		`{"session":"s-1","to":{"cluster":"j-1"},"alone":"yes"}`:                                     "alone must", `{"session":"s-1","to":{"cluster":"j-1"},"user":"u-ana"}`: "user is not a known field",
		`{"session":"s-1","to":{"cluster":"j-1"},"why":"` + strings.Repeat("x", 201) + `"}`: "why must", `{"session":"` + strings.Repeat("s", 201) + `","to":{"cluster":"j-1"}}`: "session must",
	} {
		if got, err := inbound.ParseMove("x", []byte(input)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("S5.1 %s: %+v, %v; want %s", input, got, err, says)
		}
	}
}
