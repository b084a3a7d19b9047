package config_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"nightshift/events"
	"nightshift/internal/config"
)

func TestMatches(t *testing.T) {
	const event = `{"source":"aws.sso","detail-type":"AWS API Call via CloudTrail","resources":["a","b"],"detail":{"eventName":"Logout","n":1}}`
	for _, c := range []struct {
		name, pattern string
		want          bool
	}{
		{"one of the values", `{"source":["aws.sagemaker","aws.sso"]}`, true},
		{"none of the values", `{"source":["aws.sagemaker"]}`, false},
		{"both fields must fit", `{"source":["aws.sso"],"detail":{"eventName":["Login"]}}`, false},
		{"a field that is not there", `{"account":["1"]}`, false},
		{"one of a list's values", `{"resources":["b"]}`, true},
		{"none of a list's values", `{"resources":["c"]}`, false},
		{"prefix", `{"source":[{"prefix":"aws."}]}`, true},
		{"suffix", `{"detail-type":[{"suffix":" via CloudTrail"}]}`, true},
		{"suffix of a number", `{"detail":{"n":[{"suffix":"1"}]}}`, false},
		{"exists", `{"detail":{"eventName":[{"exists":true}],"errorCode":[{"exists":false}]}}`, true},
		{"does not exist", `{"detail":{"errorCode":[{"exists":true}]}}`, false},
		{"anything but", `{"detail":{"eventName":[{"anything-but":["Login"]}]}}`, true},
		{"anything but this", `{"detail":{"eventName":[{"anything-but":["Logout"]}]}}`, false},
		{"anything but, not there", `{"detail":{"errorCode":[{"anything-but":["x"]}]}}`, false},
		{"an object where a value is asked for", `{"detail":["Logout"]}`, false},
	} {
		got, err := config.Matches(c.pattern, []byte(event))
		if err != nil || got != c.want {
			t.Errorf("%s: got %t, %v, want %t", c.name, got, err, c.want)
		}
	}
}

// Every detail-type of ours that comes in meets one rule, what we say meets
// none, and a misspelt one goes to on-revocation, which counts and keeps it.
func TestS3_6OurOwnBusLosesNothing(t *testing.T) {
	met := func(source, detailType string) (names []string) {
		for _, r := range config.Rules() {
			if !r.OnOwnBus {
				continue
			}
			ok, err := config.Matches(r.Pattern, fmt.Appendf(nil, `{"source":%q,"detail-type":%q,"detail":{}}`, source, detailType))
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				names = append(names, r.Name)
			}
		}
		return names
	}
	looked := 0
	for _, kind := range events.Kinds() {
		var e struct {
			Source     string
			DetailType string `json:"detail-type"`
		}
		if err := json.Unmarshal(events.Samples(kind)[0].Body, &e); err != nil {
			t.Fatal(err)
		}
		if e.Source != "nightshift" {
			continue
		}
		looked++
		if names := met(e.Source, e.DetailType); len(names) != 1 != events.Outgoing(kind) {
			t.Errorf("%s meets %v", e.DetailType, names)
		}
		for _, misspelt := range []string{e.DetailType + " ", strings.ToLower(e.DetailType), strings.TrimPrefix(e.DetailType, "Nightshift ")} {
			if names := met(e.Source, misspelt); len(names) != 1 || names[0] != "own-revocation" {
				t.Errorf("%q meets %v", misspelt, names)
			}
		}
		if names := met("aws.sso", e.DetailType); len(names) > 0 {
			t.Errorf("%s of another source meets %v", e.DetailType, names)
		}
	}
	if looked < 15 {
		t.Fatalf("only %d kinds are ours", looked)
	}
}

func TestMatchesRefuses(t *testing.T) {
	for _, c := range []struct{ pattern, event, want string }{
		{`{"a":"b"}`, `{"a":"b"}`, "a must be a list or an object"},
		{`{"a":[{"wildcard":"*"}]}`, `{"a":"b"}`, `filter "wildcard" is not known here`},
		{`{"a":[{"anything-but":"b"}]}`, `{"a":"c"}`, "anything-but must be a list"},
		{`{"a":[{"prefix":"b","suffix":"c"}]}`, `{"a":"c"}`, "a filter has one name"},
		{`{"a":[["b"]]}`, `{"a":"b"}`, "a list stands in a list"},
		{`nothing`, `{}`, "event pattern: "},
		{`{}`, `nothing`, "event: "},
	} {
		if _, err := config.Matches(c.pattern, []byte(c.event)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want it to say %s", c.pattern, err, c.want)
		}
	}
}
