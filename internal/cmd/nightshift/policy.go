package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/client"
)

// settings are the policy's, in the API's names; each is also a flag.
var settings = []struct {
	field, what string
	values      []string // nil: a duration
}{
	{"instanceBackground", "whether the Identity Center instance has background sessions on", []string{"on", "off", "unknown"}},
	{"backgroundDuration", "how long a background session may be", nil},
	{"interactiveDuration", "how long an interactive session may be", nil},
	{"livyIdle", "how long a Livy session may be idle", nil},
	{"tenantLimit", `how long any run may be, or "none"`, nil},
	{"requireUnifiedStudioLaunch", "whether SageMaker jobs must come from Unified Studio to go on", []string{"true", "false"}},
	{"costAlertUsd", "US dollars above which a forgotten session is told of; 0: none", []string{}},
}

// policyFlags are the settings as flags.
type policyFlags struct{}

func (policyFlags) flags(cmd *cobra.Command) {
	for _, s := range settings {
		must := s.what
		if s.values == nil {
			must += `; from 15m to 90d`
		} else if len(s.values) > 0 {
			must += ": " + strings.Join(s.values, ", ")
		}
		cmd.Flags().String(kebab(s.field), "", must)
		if len(s.values) > 0 {
			choice(cmd, kebab(s.field), s.values...)
		}
	}
}

// change reads what is to be other than it is: the settings in a file, and over
// them those that were given as flags.
func (policyFlags) change(cmd *cobra.Command, file string) (map[string]any, error) {
	change := map[string]any{}
	if file != "" {
		text, err := readDocument(cmd, file)
		if err != nil {
			return nil, asUsage(err)
		}
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.UseNumber()
		if err := dec.Decode(&change); err != nil || dec.More() || change == nil {
			return nil, usage("%s: it is not allowed; it must be one JSON object of settings, such as {\"backgroundDuration\": \"3d\"}", file)
		}
	}
	for _, s := range settings {
		flag := kebab(s.field)
		if !cmd.Flags().Changed(flag) {
			continue
		}
		text := cmd.Flags().Lookup(flag).Value.String()
		change[s.field] = text
		switch {
		case slices.Contains(s.values, "true"):
			yes, err := strconv.ParseBool(text)
			if err != nil {
				return nil, usage("--%s: %q is not allowed; it must be true or false", flag, text)
			}
			change[s.field] = yes
		case s.values != nil && len(s.values) == 0:
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return nil, usage("--%s: %q is not allowed; it must be a whole number of US dollars", flag, text)
			}
			change[s.field] = n
		}
	}
	if len(change) == 0 {
		return nil, usage("no setting is given; give a file, or at least one of %s", strings.Join(settingFlags(), ", "))
	}
	return change, nil
}

func settingFlags() []string {
	var all []string
	for _, s := range settings {
		all = append(all, "--"+kebab(s.field))
	}
	return all
}

func policyCommand(t *terminal) *cobra.Command {
	c := &cobra.Command{
		Use:     "policy",
		Short:   "Show the policy and who changed it when, or change it for new sessions",
		Example: "  nightshift policy get\n  nightshift policy set --background-duration 3d --why \"costs\"",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(policyGet(t), policySet(t))
	return c
}

func policyGet(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use: "get", Short: "Show the policy, its version, and its changes",
		Example: "  nightshift policy get\n  nightshift policy get --json",
		Args:    noArguments,
	}
	asks(t, cmd, func(*cobra.Command, []string) (request, error) {
		return request{http.MethodGet, "/api/policy", nil}, nil
	}, t.policy)
	return cmd
}

func (t *terminal) policy(out io.Writer, p client.Policy, _ time.Time) {
	fmt.Fprintf(out, "Policy, version %v\n\n", p.Policy["version"])
	var rows [][]string
	for _, s := range settings {
		value := "none"
		if v, ok := p.Policy[s.field]; ok {
			value = fmt.Sprint(v)
		}
		if s.values == nil {
			value = span(value)
		}
		rows = append(rows, []string{s.field, value, s.what})
	}
	t.table(out, []column{{"SETTING", 0}, {"VALUE", 0}, {"WHAT IT IS", 1}}, rows)
	fmt.Fprintf(out, "\nDurations may be from %s to %s. A change holds for new sessions; open ones keep what they were opened with.\n", span(p.Least), span(p.Most))
	t.paragraph(out, "", p.WhereDuration.Text)
	fmt.Fprintln(out)
	rows = nil
	for _, c := range p.Changes {
		rows = append(rows, []string{strconv.FormatInt(c.Version, 10), instant(c.At), c.By, c.Changed, c.Why})
	}
	t.table(out, []column{{"VERSION", 0}, {"AT", 0}, {"BY", 1}, {"CHANGED", 2}, {"WHY", 3}}, rows)
}

func policySet(t *terminal) *cobra.Command {
	r := reach{terminal: t}
	var o policyFlags
	var file, why string
	var seen int64
	cmd := &cobra.Command{
		Use:   "set [--file FILE] [--SETTING VALUE]…",
		Short: "Change settings for new sessions; who, when and why is written down",
		Long: `set changes the settings that are given, and no other. It replaces the version that
it has just read, or the one that --version names: if somebody has changed the
policy since, it refuses (exit status 5). Open sessions keep what they were opened
with; nightshift whatif policy says what would be different.`,
		Example: "  nightshift policy set --background-duration 3d --why \"costs\"\n  nightshift policy set --tenant-limit none --version 4\n" +
			"  nightshift policy set --file change.json",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			change, err := o.change(cmd, file)
			if err != nil {
				return err
			}
			c, err := r.open(cmd)
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("version") {
				if seen, err = versionOf(cmd, c); err != nil {
					return err
				}
			}
			body := map[string]any{"version": seen, "change": change}
			if why != "" {
				body["why"] = why
			}
			var p client.Policy
			a, err := c.Ask(cmd.Context(), http.MethodPut, "/api/policy", nil, body, &p)
			switch {
			case err != nil:
				return err
			case r.asJSON:
				return emit(cmd, a)
			}
			text := "Nothing is other than it was: the policy stays at"
			if len(p.Changes) > 0 && p.Changes[0].Version > seen {
				text = "Changed: " + p.Changes[0].Changed + ". The policy is at"
			}
			r.paragraph(cmd.OutOrStdout(), "", fmt.Sprintf("%s version %v. It holds for new sessions.", text, p.Policy["version"]))
			return nil
		},
	}
	r.flags(cmd)
	o.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&file, "file", "", `a file with settings as a JSON object; "-": standard input`)
	f.StringVar(&why, "why", "", "a reason, for the record")
	f.Int64Var(&seen, "version", 0, "the version that you have seen and want to replace; left out: the present one")
	return cmd
}

func versionOf(cmd *cobra.Command, c *client.Client) (int64, error) {
	var p struct {
		Policy struct {
			Version *int64 `json:"version"`
		} `json:"policy"`
	}
	if _, err := c.Get(cmd.Context(), "/api/policy", &p); err != nil {
		return 0, err
	}
	if p.Policy.Version == nil {
		return 0, errors.New("the system does not say which version the policy is at")
	}
	return *p.Policy.Version, nil
}
