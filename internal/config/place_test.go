package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"nightshift/events"
	"nightshift/internal/config"
)

func TestParsePlace(t *testing.T) {
	p, ok := config.ParsePlace("210987654321/eu-west-1")
	if !ok || p != (config.Place{Account: "210987654321", Region: "eu-west-1"}) || p.String() != "210987654321/eu-west-1" {
		t.Errorf("%+v %t", p, ok)
	}
	for _, text := range []string{"", "210987654321", "21098765432/eu-west-1", "210987654321/Ireland", "210987654321/eu-west-1/x", "eu-west-1/210987654321"} {
		if p, ok := config.ParsePlace(text); ok || p != (config.Place{}) {
			t.Errorf("%q is taken for %+v", text, p)
		}
	}
}

// With a role for members, an endpoint may be any account's; without, it is refused
// (TestFaults). Who takes on roles must know which account is its own.
func TestMembersEndpoints(t *testing.T) {
	env := complete()
	env[config.MemberRole] = memberRole
	env[config.Endpoints] = `[{"endpoint":"sagemaker/210987654321/eu-west-1"},{"endpoint":"sagemaker/123456789012/us-west-2"},
		{"endpoint":"livy/j-1","url":"https://h","executionRoleArn":"arn:aws:iam::345678901234:role/analyst"},{"endpoint":"livy/j-2","url":"https://h"}]`
	c, err := config.Load(func(v string) string { return env[v] })
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range c.Endpoints {
		got = append(got, e.In(c.Region).String())
	}
	if want := []string{"210987654321/eu-west-1", "123456789012/us-west-2", "345678901234/us-east-1", "/us-east-1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	delete(env, config.Account)
	if _, err := config.Load(func(v string) string { return env[v] }); err == nil || !strings.HasPrefix(err.Error(), config.Account+" is not set, and "+config.MemberRole+" is;") {
		t.Errorf("without an account of its own: %v", err)
	}
}

// What happens at a place reaches the hub's rules exactly if it may be told there,
// and only where AWS itself says it (S3.1 to S3.3).
func TestSpread(t *testing.T) {
	hub, engines, both := config.Place{Account: "123456789012", Region: "us-east-1"}, config.Place{Account: "210987654321", Region: "eu-west-1"}, config.Place{Account: "123456789012", Region: "eu-west-1"}
	center := config.Place{Account: "111122223333", Region: "eu-central-1"}
	s := config.Spread{Hub: hub, Members: []config.Place{engines, both, center}, Identity: center, Owner: "999988887777"}
	sample := func(kind, account string) []byte {
		body := events.Samples(kind)[0].Body
		for _, of := range []string{"123456789012", "111122223333"} {
			body = []byte(strings.ReplaceAll(string(body), `"account": "`+of+`"`, `"account": "`+account+`"`))
		}
		return body
	}
	reach := func(rules []config.Rule, body []byte) string {
		var names []string
		for _, r := range rules {
			ok, err := config.Matches(r.Pattern, body)
			if err != nil {
				t.Fatal(err)
			}
			if ok && !r.OnOwnBus {
				names = append(names, r.Name)
			}
		}
		return strings.Join(names, " ")
	}
	for _, c := range []struct {
		kind   string
		member config.Place
		want   string // "" is not forwarded, or not heard
	}{
		{"cloudtrail-logout", center, "sign-out"},
		{"cloudtrail-logout", engines, ""},
		{"cloudtrail-disable-user", center, "identity"},
		{"cloudtrail-disable-user", both, ""},
		{"cloudtrail-create-token-with-iam", center, "births"},
		{"cloudtrail-job-created", engines, "births"},
		{"cloudtrail-job-created", both, "births"},
		{"sagemaker-training-job-state-change", engines, "run-states"},
		{"sagemaker-training-job-state-change", center, ""},
		{"states-execution-status-change", engines, ""},
	} {
		body := sample(c.kind, c.member.Account)
		if got := reach(s.Forwards(c.member, c.member != center), body); got != c.want {
			t.Errorf("%s at %s is forwarded by %q, want %q", c.kind, c.member, got, c.want)
		}
		if got := reach(s.Rules(), body); c.want != "" && got != c.want {
			t.Errorf("%s of %s is heard by %q, want %q", c.kind, c.member, got, c.want)
		}
		forged := strings.Replace(string(body), `"source": "aws.`, `"source": "portal.`, 1)
		if got := reach(s.Rules(), []byte(forged)); got != "" || forged == string(body) {
			t.Errorf("%s that somebody made up is heard by %q", c.kind, got)
		}
	}
	for _, c := range []struct{ kind, account, want string }{
		{"cloudtrail-logout", engines.Account, ""}, {"cloudtrail-logout", hub.Account, ""}, {"cloudtrail-logout", s.Owner, "sign-out"},
		{"cloudtrail-job-created", "555566667777", ""}, {"cloudtrail-job-created", hub.Account, "births"},
		{"states-execution-status-change", hub.Account, "executions"}, {"states-execution-status-change", engines.Account, ""},
	} {
		if got := reach(s.Rules(), sample(c.kind, c.account)); got != c.want {
			t.Errorf("%s of %s is heard by %q, want %q", c.kind, c.account, got, c.want)
		}
	}
	for i, r := range s.Rules() {
		want := config.Rules()[i]
		if !config.Hears(r.Pattern, want.Pattern) || !config.Hears(want.Pattern, want.Pattern) {
			t.Errorf("rule %s is not known again: %s", r.Name, r.Pattern)
		}
		for _, other := range []string{strings.Replace(r.Pattern, "nightshift", "portal", 1), strings.Replace(r.Pattern, `"aws.`, `"emr.`, 1), strings.Replace(r.Pattern, "aws.states", "aws.sfn", 1), "{}", ""} {
			if other != r.Pattern && config.Hears(other, want.Pattern) {
				t.Errorf("rule %s is taken for %s", r.Name, other)
			}
		}
	}
	s.Identity = config.Place{}
	if got := reach(s.Rules(), sample("cloudtrail-logout", hub.Account)); got != "sign-out" {
		t.Errorf("the hub's own sign-out is heard by %q", got)
	}
	if got, want := fmt.Sprint((config.Spread{Hub: hub}).Rules()), fmt.Sprint(config.Rules()); got != want {
		t.Errorf("in one place the rules are %s\nwant %s", got, want)
	}
}
