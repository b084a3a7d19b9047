package main_test

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"nightshift/internal/asl"
	"nightshift/statemachines"
)

var substitution = regexp.MustCompile(`\$\{([A-Za-z0-9_]+)\}`)

// deployed gives each machine's definition with what the template puts in.
func deployed(t *testing.T) map[string]string {
	t.Helper()
	x := full(t)
	all := map[string]string{}
	for _, name := range statemachines.Names() {
		p := x.named(t, "AWS::StepFunctions::StateMachine", "StateMachineName", name).Properties
		subs := map[string]string{}
		for s, v := range p["DefinitionSubstitutions"].(map[string]any) {
			subs[s] = x.flat(v)
		}
		definition := p["DefinitionString"].(string)
		// The strict loader refuses one that is missing and one that is not used.
		if _, err := asl.Load([]byte(definition), subs, statemachines.Integrations()...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		all[name] = substitution.ReplaceAllStringFunc(definition, func(s string) string { return subs[s[2:len(s)-1]] })
	}
	return all
}

// Both linters that AWS users have find nothing in what is deployed, and would.
func TestLinters(t *testing.T) {
	type faults struct{ Faults []string }
	machines := deployed(t)
	var got faults
	node(t, "lint", map[string]any{"machines": machines}, &got)
	for _, f := range got.Faults {
		t.Error(f)
	}
	broken := strings.Replace(machines[statemachines.Watch], `"Next": "Observe"`, `"Next": "Nowhere"`, 1)
	node(t, "lint", map[string]any{"machines": map[string]string{"broken": broken}}, &got)
	found := strings.Join(got.Faults, "\n")
	if !strings.Contains(found, ": asl-validator: ") || !strings.Contains(found, ": amazon-states-language-service: ") {
		t.Errorf("a way to nowhere is not found by both: %s", found)
	}
}

// Every JSONata expression of the machines gives the same in our interpreter's
// library as in the reference implementation, on inputs as they occur.
func TestExpressionsAreEvaluatedAlike(t *testing.T) {
	data, err := os.ReadFile("testdata/expressions.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded map[string][]map[string]any // by machine: the variables of one moment
	if err := json.Unmarshal(data, &recorded); err != nil {
		t.Fatal(err)
	}
	type oneCase struct {
		Source    string         `json:"source"`
		Variables map[string]any `json:"variables"`
	}
	type result struct {
		Value     any    `json:"value"`
		Undefined bool   `json:"undefined"`
		Error     string `json:"error"`
	}
	var cases []oneCase
	var where []string
	for name, definition := range deployed(t) {
		m, err := asl.Load([]byte(definition), nil, statemachines.Integrations()...)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Expressions()) == 0 || len(recorded[name]) < 2 {
			t.Fatalf("%s: %d expressions, %d recorded moments", name, len(m.Expressions()), len(recorded[name]))
		}
		for _, e := range m.Expressions() {
			for _, variables := range recorded[name] {
				cases, where = append(cases, oneCase{e.Source, variables}), append(where, name+"."+e.Path)
			}
		}
	}
	var answer struct{ Results []result }
	node(t, "evaluate", map[string]any{"cases": cases}, &answer)
	if len(answer.Results) != len(cases) {
		t.Fatalf("%d answers to %d questions", len(answer.Results), len(cases))
	}
	defined := map[string]bool{}
	for i, c := range cases {
		want := answer.Results[i]
		got, err := asl.Evaluate(c.Source, c.Variables)
		if err != nil {
			// Both must refuse, each in its own words.
			if undefined := strings.Contains(err.Error(), "undefined"); undefined != want.Undefined || !undefined && want.Error == "" {
				t.Errorf("%s %s on %v: Go says %v, the reference %+v", where[i], c.Source, c.Variables, err, want)
			}
			continue
		}
		if !reflect.DeepEqual(plain(t, got), want.Value) || want.Undefined || want.Error != "" {
			t.Errorf("%s %s on %v: Go says %v, the reference %+v", where[i], c.Source, c.Variables, plain(t, got), want)
		}
		defined[where[i]] = true
	}
	for _, w := range where {
		if !defined[w] {
			t.Errorf("%s has a value in no recorded moment", w)
		}
	}
}

// plain is a value as JSON has it.
func plain(t *testing.T, v any) any {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
