package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// resource is one of a template's, as far as it matters here.
type resource struct {
	Type       string
	Properties map[string]any
}

// cannot is what the engine cannot deploy: those resources are left out of the
// template, and named.
type cannot struct {
	what string
	why  string
	is   func(resource) bool
}

// limits are the engine's, as they were met: each fails the whole deployment.
var limits = []cannot{
	{
		"policies of event buses", "its CloudFormation knows no AWS::Events::EventBusPolicy",
		func(r resource) bool { return r.Type == "AWS::Events::EventBusPolicy" },
	},
}

// spelled otherwise: the engine's rules know their bus by its name only, where AWS
// takes its ARN too (measured: an event put on the bus meets no rule that names the
// ARN).
const busByName = "names of buses by ARN (a rule that names its bus so sees nothing of it): EventBusName is rewritten to the name"

// missing is what the engine lacks beside resources.
var missing = []string{
	"termination protection of the stack: its CloudFormation knows no UpdateTerminationProtection, so the context key terminationProtection is false here",
	"the engines of runs, Identity Center and the identity store: so no run starts, and the session is of a Livy endpoint whose facts are all configured",
	"most of JSONata in state machines: so the session is opened by the function that the machine run invokes first, not by the machine",
	"rules that are ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS: they see nothing, so the sign-out is our own event on our own bus, not CloudTrail's",
	"stacks by their id in DeleteStack, as the command line names them (it says yes and does nothing): cdk destroy fails for it, and the stack is then deleted by its name",
	"DeletionPolicy: it deletes the table with the stack, which AWS keeps, and its deletion protection would keep besides",
	"IAM: it checks no permission (that roles allow what is called is TestLeastPrivilege's to say)",
}

const templateFile = "nightshift.template.json"

// strip takes out of the synthesized template what the engine cannot deploy, and
// answers how many resources that were and a line for each kind. A limit that fits
// nothing is an error, and so is a reference to what was taken out: then the list
// no longer says what is so.
func strip(assembly string) (left int, lines []string, err error) {
	path := filepath.Join(assembly, templateFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, nil, err
	}
	var whole map[string]any
	var known struct{ Resources map[string]resource }
	if err := json.Unmarshal(data, &whole); err != nil {
		return 0, nil, err
	}
	if err := json.Unmarshal(data, &known); err != nil {
		return 0, nil, err
	}
	resources, _ := whole["Resources"].(map[string]any)
	gone := map[string]bool{}
	for _, l := range limits {
		var ids []string
		for _, id := range slices.Sorted(maps.Keys(known.Resources)) {
			if l.is(known.Resources[id]) {
				ids = append(ids, id)
				gone[id] = true
				delete(resources, id)
			}
		}
		if len(ids) == 0 {
			return 0, nil, fmt.Errorf("nothing in the template is of the kind %q: take it from the list of what the engine cannot do", l.what)
		}
		lines = append(lines, fmt.Sprintf("%d %s (%s): %s", len(ids), l.what, l.why, strings.Join(ids, ", ")))
	}
	renamed := 0
	for id, r := range resources {
		if fields, _ := r.(map[string]any); known.Resources[id].Type == "AWS::Events::Rule" {
			properties, _ := fields["Properties"].(map[string]any)
			if of := refers(properties["EventBusName"]); len(of) == 1 {
				properties["EventBusName"] = map[string]any{"Ref": of[0]} // which is the bus's name
				renamed++
			}
		}
		if err := free(r, gone); err != nil {
			return 0, nil, fmt.Errorf("%s: %w", id, err)
		}
	}
	if renamed == 0 {
		return 0, nil, errors.New("no rule stands on the stack's own bus")
	}
	lines = append(lines, fmt.Sprintf("%d %s", renamed, busByName))
	if data, err = json.MarshalIndent(whole, "", " "); err != nil {
		return 0, nil, err
	}
	return len(gone), lines, os.WriteFile(path, data, 0o644) //nolint:gosec // it holds no secrets
}

// free drops what was taken out from what a resource waits for.
func free(r any, gone map[string]bool) error {
	fields, _ := r.(map[string]any)
	switch on := fields["DependsOn"].(type) {
	case string:
		if gone[on] {
			delete(fields, "DependsOn")
		}
	case []any:
		fields["DependsOn"] = slices.DeleteFunc(on, func(id any) bool { name, _ := id.(string); return gone[name] })
	}
	for _, id := range refers(fields) {
		if gone[id] {
			return fmt.Errorf("it refers to %s, which is left out", id)
		}
	}
	return nil
}

// refers lists what a value refers to by Ref and Fn::GetAtt.
func refers(v any) []string {
	var all []string
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			pair, _ := inner.([]any)
			switch to, _ := inner.(string); {
			case key == "Ref":
				all = append(all, to)
			case key == "Fn::GetAtt" && len(pair) > 0:
				id, _ := pair[0].(string)
				all = append(all, id)
			default:
				all = append(all, refers(inner)...)
			}
		}
	case []any:
		for _, inner := range v {
			all = append(all, refers(inner)...)
		}
	}
	return all
}
