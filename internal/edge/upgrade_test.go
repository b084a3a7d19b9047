package edge_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"nightshift/internal/edge"
	"nightshift/internal/session"
)

// testdata/payloads1.json is what functions of the version before were given and
// answered: an execution goes on with the definition that it was begun with, for up
// to 90 days, and calls the functions that are deployed now
// (internal/decisions/0023). It is never written again.
func payloads(t *testing.T) map[string]json.RawMessage {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "payloads1.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// futured is a payload as a version after this one may give it: with more fields.
func futured(t *testing.T, payload json.RawMessage) json.RawMessage {
	t.Helper()
	more := append([]byte(`{"fieldOfTheFuture":{"a":[1,"b"]},`), bytes.TrimPrefix(bytes.TrimSpace(payload), []byte("{"))...)
	if !json.Valid(more) {
		t.Fatalf("%s", more)
	}
	return more
}

// taking reads a payload as the Lambda runtime does.
func taking[T any](t *testing.T, payload json.RawMessage) T {
	t.Helper()
	var in T
	if err := json.Unmarshal(payload, &in); err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	return in
}

// What state machines of the version before, and of one after this, give to our
// functions is taken, and means the same.
func TestUpgradeTakesPayloads(t *testing.T) {
	all := payloads(t)
	for name, edit := range map[string]func(*testing.T, json.RawMessage) json.RawMessage{
		"of the version before": func(_ *testing.T, p json.RawMessage) json.RawMessage { return p }, "with fields of the future": futured,
	} {
		t.Run(name, func(t *testing.T) {
			p := &ports{}
			a, store := system(t, p, nil)
			opened, err := edge.OpenSession(a, parseRun)(t.Context(), taking[edge.OpenInput](t, edit(t, all["openInput"])))
			if err != nil || opened.Status != string(session.Active) || opened.Endpoint != endpoint {
				t.Fatalf("%+v, %v", opened, err)
			}
			start := taking[edge.StartInput](t, edit(t, all["startInput"]))
			if start.SessionID != "s-1" || start.TaskToken != "token" {
				t.Fatalf("%+v", start)
			}
			start.SessionID = opened.SessionID // ids are made of what opens them
			if err := edge.StartRun(a, parseRun)(t.Context(), start); err != nil || len(p.started) != 1 || string(p.started[0].Spec) == "" {
				t.Fatalf("%+v, %v", p.started, err)
			}
			if s, err := store.Session(t.Context(), opened.SessionID); err != nil || s.Waiter != "token" || s.User != "u-ana" {
				t.Errorf("%+v, %v", s, err)
			}
			at := taking[edge.EndpointInput](t, edit(t, all["endpointInput"]))
			if at.Endpoint != endpoint || at.Generation != 3 {
				t.Fatalf("%+v", at)
			}
			watched, err := edge.ObserveEndpoint(a)(t.Context(), at)
			if err != nil || watched.Done || watched.Live != 1 || watched.WaitSeconds == 0 {
				t.Errorf("%+v, %v", watched, err)
			}
			if drained, err := edge.DrainEndpoint(a)(t.Context(), at); err != nil || drained.Left != 0 {
				t.Errorf("%+v, %v", drained, err)
			}
			if in := taking[edge.RestartInput](t, edit(t, all["restartInput"])); in.Input.Session != "s-1" || in.Input.Why != "again" || in.Execution != execution {
				t.Errorf("%+v", in)
			}
		})
	}
}

// What our functions answer has every field that machines of the version before
// read, of the same kind; and errors have the names by which those catch them.
func TestUpgradeAnswersOldMachines(t *testing.T) {
	all := payloads(t)
	answers := map[string]any{"openOutput": edge.OpenOutput{}, "restartOutput": edge.RestartOutput{}, "watchOutput": edge.WatchOutput{}, "drainOutput": edge.DrainOutput{}}
	for name, now := range answers {
		b, err := json.Marshal(now)
		if err != nil {
			t.Fatal(err)
		}
		then, fields := taking[map[string]any](t, all[name]), taking[map[string]any](t, b)
		if len(then) < 3 {
			t.Fatalf("%s has %d fields", name, len(then))
		}
		for field, value := range then {
			if is, there := fields[field]; !there || reflect.TypeOf(is) != reflect.TypeOf(value) {
				t.Errorf("%s: machines of the version before read %s, a %T; it is a %T", name, field, value, is)
			}
		}
	}
	names := taking[[]string](t, all["errors"])
	for _, name := range names {
		if !slices.Contains(types(), name) {
			t.Errorf("no error is called %s any more, and machines of the version before catch it", name)
		}
	}
	if len(names) != 5 {
		t.Errorf("%d errors", len(names))
	}
}
