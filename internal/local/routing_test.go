package local_test

import (
	"encoding/json"
	"strings"
	"testing"

	"nightshift/events"
	"nightshift/internal/config"
)

// functionsOf are the functions that the rules send an event to, once for each
// rule.
func functionsOf(t *testing.T, body []byte) []string {
	t.Helper()
	var e struct {
		Source string `json:"source"`
	}
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, r := range config.Rules() {
		if r.OnOwnBus != (e.Source == "nightshift") {
			continue
		}
		ok, err := config.Matches(r.Pattern, body)
		if err != nil {
			t.Errorf("rule %s: %v", r.Name, err)
		}
		if ok {
			found = append(found, r.Function)
		}
	}
	return found
}

// keptOut are samples of events that are well formed and not for us: a rule
// keeps them away.
var keptOut = map[string]string{
	"states-execution-status-change/running": "only the end of an execution is news",
}

func TestS3_7EverySampleIsRoutedToOneFunction(t *testing.T) {
	in, out := 0, 0
	used := map[string]bool{}
	for _, kind := range events.Kinds() {
		for _, s := range events.Samples(kind) {
			functions := functionsOf(t, s.Body)
			if events.Outgoing(kind) {
				out++
				if len(functions) != 0 {
					t.Errorf("%s/%s is ours to say and comes back to %s", kind, s.Name, strings.Join(functions, ", "))
				}
				continue
			}
			in++
			want := 1
			if keptOut[kind+"/"+s.Name] != "" {
				want = 0
			}
			if len(functions) != want {
				t.Errorf("%s/%s goes to %d functions (%s), should be %d", kind, s.Name, len(functions), strings.Join(functions, ", "), want)
			}
			for _, f := range functions {
				used[f] = true
			}
		}
	}
	for _, f := range []string{"on-logout", "on-revocation", "on-run-event"} {
		if !used[f] {
			t.Errorf("no sample goes to %s", f)
		}
	}
	if in < 20 || out < 6 {
		t.Fatalf("%d samples come in, %d go out: nothing was looked at", in, out)
	}
}

func TestEveryRuleIsMetByASample(t *testing.T) {
	for _, r := range config.Rules() {
		met := false
		for _, kind := range events.Kinds() {
			for _, s := range events.Samples(kind) {
				ok, err := config.Matches(r.Pattern, s.Body)
				if err != nil {
					t.Fatal(err)
				}
				met = met || ok
			}
		}
		if !met {
			t.Errorf("no sample in events/ meets rule %s", r.Name)
		}
	}
}
