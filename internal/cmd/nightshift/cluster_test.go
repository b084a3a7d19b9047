package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// command runs one command and answers what it printed and its exit status.
func command(t *testing.T, c *cobra.Command, in string, args ...string) (string, string, int) {
	t.Helper()
	var out bytes.Buffer
	c.SilenceUsage, c.SilenceErrors = true, true
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetIn(strings.NewReader(in))
	c.SetArgs(args)
	err := c.Execute()
	said := ""
	if err != nil {
		said = err.Error()
	}
	return out.String(), said, statusOf(err)
}

// TestS7_1ClusterCommands: what render prints, check finds good; exit statuses
// are as documented.
func TestS7_1ClusterCommands(t *testing.T) {
	t.Parallel()
	good := []string{"render", "--role", "arn:aws:iam::123456789012:role/emr-idc", "--certificates", "s3://bucket/certs.zip"}
	conf, said, status := command(t, clusterCommand(), "", good...)
	if status != 0 || !json.Valid([]byte(conf)) {
		t.Fatalf("render: %d %s\n%s", status, said, conf)
	}
	classes, _, status := command(t, clusterCommand(), "", "render", "--part", "classifications", "--idle", "4h")
	if status != 0 || !strings.Contains(classes, `"livy.server.session.timeout": "14400s"`) {
		t.Fatalf("classifications: %d\n%s", status, classes)
	}
	file := filepath.Join(t.TempDir(), "classes.json")
	if err := os.WriteFile(file, []byte(classes), 0o600); err != nil {
		t.Fatal(err)
	}
	off := strings.Replace(conf, `"EnableUserBackgroundSession": true`, `"EnableUserBackgroundSession": false`, 1)
	for _, c := range []struct {
		name, in string
		args     []string
		status   int
		says     string
	}{
		{"all good", conf, []string{"check", "-", "--release", "emr-7.12.0", "--primary-nodes", "1", "--classifications", file}, 0, "ok       skip-busy"},
		{"the document alone", conf, []string{"check", "-"}, 0, "ok       background-sessions"},
		{"off", off, []string{"check", "-"}, 1, "failure  background-sessions"},
		{"not told", conf, []string{"check", "-", "--release", "emr-7.11.0", "--primary-nodes", "1", "--classifications", file}, 3, "unknown  release"},
		{"JSON", off, []string{"check", "-", "--json"}, 1, `"result": "failure"`},
		{"no file", "", []string{"check", "/nowhere.json"}, 2, ""},
		{"no part", "", []string{"render", "--part", "all"}, 2, ""},
		{"idle too short", "", []string{"render", "--part", "classifications", "--idle", "14m"}, 2, ""},
		{"off, by the key of the prose", strings.Replace(off, "EnableUserBackgroundSession", "userBackgroundSessionsEnabled", 1), []string{"check", "-"}, 1, "failure  background-sessions"},
		{"no primary node", conf, []string{"check", "-", "--primary-nodes", "-1"}, 2, ""},
		{"a trust of nobody", "", []string{"render", "--part", "role-trust", "--instance-profile-role", "emr-ec2"}, 2, ""},
		{"no such word", conf, []string{"check", "-", "--bootstrap", "yes"}, 2, ""},
	} {
		out, said, status := command(t, clusterCommand(), c.in, c.args...)
		if status != c.status || !strings.Contains(out, c.says) || (status != 0 && said == "") {
			t.Errorf("S7.1 %s: status %d, want %d; error %q; printed\n%s", c.name, status, c.status, said, out)
		}
	}
	for _, part := range []string{"creator-policy", "role-policy", "role-trust"} {
		text, said, status := command(t, clusterCommand(), "", "render", "--part", part, "--instance-profile-role", "arn:aws:iam::123456789012:role/emr-ec2")
		if status != 0 || !json.Valid([]byte(text)) || !strings.Contains(text, `"Effect": "Allow"`) {
			t.Errorf("S7.1 %s: %d %s\n%s", part, status, said, text)
		}
	}
}
