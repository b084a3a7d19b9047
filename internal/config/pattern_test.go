package config_test

import (
	"strings"
	"testing"

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
