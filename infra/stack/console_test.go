package stack

import (
	"strings"
	"testing"

	"nightshift/internal/config"
)

func TestConsoleKeys(t *testing.T) {
	for _, c := range []struct {
		name    string
		context map[string]any
		want    string
	}{
		{"an issuer without an audience", map[string]any{"consoleIssuer": "https://login.example.com"}, "consoleAudience is not given, and consoleIssuer is; it must be the audience"},
		{"an audience without an issuer", map[string]any{"consoleAudience": "x"}, "consoleIssuer is not given, and consoleAudience is; it must be the address"},
		{"an issuer that anybody could listen to", map[string]any{"consoleIssuer": "http://login.example.com", "consoleAudience": "x"}, `consoleIssuer is "http://login.example.com"; it must be`},
		{"an issuer with a secret in it", map[string]any{"consoleIssuer": "https://u:p@login.example.com", "consoleAudience": "x"}, "consoleIssuer is"},
		{"a group of two words", map[string]any{"consoleGroupsClaim": "groups", "consoleAdministrators": []any{"night admins"}}, "consoleAdministrators has \"night admins\"; it must be a JSON list"},
		{"a group without a claim", map[string]any{"consoleAdministrators": []any{"night"}}, "consoleGroupsClaim must then say which claim"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Read(c.context); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	s, err := Read(map[string]any{"consoleGroupsClaim": "groups", "consoleAdministrators": []any{"night", "arn:aws:iam::123456789012:role/x"}})
	if err != nil || s.Chosen[config.ConsoleAdministrators] != `["night","arn:aws:iam::123456789012:role/x"]` || s.Chosen[config.ConsoleGroupsClaim] != "groups" {
		t.Errorf("%v %v", s.Chosen, err)
	}
}
