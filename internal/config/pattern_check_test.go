package config_test

import (
	"strings"
	"testing"

	"nightshift/internal/config"
)

func TestCheckPattern(t *testing.T) {
	for _, r := range config.Rules() {
		if err := config.CheckPattern(r.Pattern); err != nil {
			t.Errorf("rule %s: %v", r.Name, err)
		}
	}
	for _, c := range []struct{ pattern, want string }{
		{`nothing`, "Filter is not an object"}, {`[]`, "Filter is not an object"}, {`null`, "Filter is not an object"},
		{`{}`, "Empty objects are not allowed"}, {`{"a":{}}`, "Empty objects are not allowed at a"}, {`{"a":[]}`, "Empty arrays are not allowed at a"},
		{`{"source":"aws.sso"}`, `"source" must be an object or an array`}, {`{"b":{"c":[["x"]]}}`, "at b.c"},
		{`{"a":[{"numeric":["=",1]}]}`, `filter "numeric" is not known here at a`}, {`{"a":[{"prefix":1}]}`, "the value of prefix is not allowed at a"},
		{`{"a":["x"],"b":[{"exists":"yes"}]}`, "the value of exists is not allowed at b"}, {`{"a":[{"anything-but":[]}]}`, "the value of anything-but"},
		{`{"a":[{"anything-but":[{"prefix":"x"}]}]}`, "the value of anything-but"}, {`{"a":[{"prefix":"b","suffix":"c"}]}`, "a filter has one name"},
	} {
		if err := config.CheckPattern(c.pattern); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want it to say %s", c.pattern, err, c.want)
		}
	}
}
