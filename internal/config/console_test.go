package config_test

import (
	"strings"
	"testing"

	"nightshift/internal/config"
)

// Who is an administrator is refused with a sentence where it could not be told
// apart at the gateway.
func TestConsoleRefuses(t *testing.T) {
	for _, c := range []struct{ name, variable, value, want string }{
		{"no list", config.ConsoleAdministrators, "night-admins", "must be a JSON list"},
		{"a group of two words, which could pass for two", config.ConsoleAdministrators, `["night admins"]`, "each one word"},
		{"a group in brackets", config.ConsoleAdministrators, `["[a]"]`, "each one word"},
		{"an empty group", config.ConsoleAdministrators, `[""]`, "each one word"},
		{"an ARN of something else", config.ConsoleAdministrators, `["arn:aws:iam::123456789012:policy/x"]`, "ARNs of IAM roles and users"},
		{"a session of a role, whose name anybody chooses", config.ConsoleAdministrators, `["arn:aws:sts::123456789012:assumed-role/x/y"]`, "ARNs of IAM roles and users"},
		{"a group without a claim to look in", config.ConsoleGroupsClaim, "", "must then say which claim"},
		{"a claim of two words", config.ConsoleUserClaim, "user id", "the name of a claim"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := config.Load(with(c.variable, c.value))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
