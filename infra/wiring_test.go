package main_test

import (
	"encoding/json"
	"maps"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nightshift/events"
	"nightshift/infra/stack"
	"nightshift/internal/config"
)

// toPeople are the rules that stand in no wiring: they lead to people.
var toPeople = []string{"nightshift-stuck", "nightshift-notices"}

// rule is what the template says of a rule.
type rule struct {
	name, bus, state, queue string
	pattern                 []byte
}

func rules(t *testing.T, x template) []rule {
	t.Helper()
	var all []rule
	for _, r := range x.of(t, "AWS::Events::Rule") {
		p := r.Properties
		if p["EventPattern"] == nil {
			continue // the schedule
		}
		pattern, err := json.Marshal(p["EventPattern"])
		if err != nil {
			t.Fatal(err)
		}
		targets := many(p["Targets"])
		if len(targets) != 1 {
			t.Errorf("rule %s has %d targets", p["Name"], len(targets))
			continue
		}
		all = append(all, rule{
			name: p["Name"].(string), bus: x.flat(p["EventBusName"]), state: p["State"].(string), queue: x.flat(at(targets[0], "Arn")), pattern: pattern,
		})
		if at(targets[0], "RetryPolicy", "MaximumEventAgeInSeconds") != 86400.0 || at(targets[0], "RetryPolicy", "MaximumRetryAttempts") != 185.0 || at(targets[0], "DeadLetterConfig", "Arn") == nil {
			t.Errorf("rule %s: EventBridge's defaults are minutes; it must try for a day, and then keep the event (S3.7)", p["Name"])
		}
	}
	return all
}

// The template's rules are config.Rules, both ways, each to its function's
// queue, from which that function is fed: what the local system wires, and no
// other.
func TestRulesAreTheWiring(t *testing.T) {
	x := full(t)
	fed := map[string]string{} // function by queue
	for _, m := range x.of(t, "AWS::Lambda::EventSourceMapping") {
		fed[x.flat(m.Properties["EventSourceArn"])] = x.flat(m.Properties["FunctionName"])
	}
	got := map[string]rule{}
	for _, r := range rules(t, x) {
		if !slices.Contains(toPeople, r.name) {
			got[r.name] = r
		}
	}
	for _, want := range config.Rules() {
		r, ok := got["nightshift-"+want.Name]
		delete(got, "nightshift-"+want.Name)
		if !ok {
			t.Errorf("rule %s is not in the template", want.Name)
			continue
		}
		var a, b any
		if err := json.Unmarshal([]byte(want.Pattern), &a); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(r.pattern, &b); err != nil {
			t.Fatal(err)
		}
		bus, state := "", "ENABLED"
		if want.OnOwnBus {
			bus = "arn:aws:events:" + region + ":" + accountID + ":event-bus/nightshift"
		}
		if want.ReadOnly {
			state = "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"
		}
		if !reflect.DeepEqual(a, b) || r.bus != bus || r.state != state || fed[r.queue] != "nightshift-"+want.Function {
			t.Errorf("rule %s: bus %q, state %s, to %s, pattern %s; the wiring says bus %q, %s, to %s, %s", want.Name, r.bus, r.state, fed[r.queue], r.pattern, bus, state, want.Function, want.Pattern)
		}
	}
	for name := range got {
		t.Errorf("rule %s is in no wiring", name)
	}
}

// matched says which samples each rule matches: a kind is all of its samples.
var matched = map[string][]string{
	"sign-out":     {"cloudtrail-logout"},
	"own-sign-out": {"nightshift-kernel-stopped", "nightshift-notebook-closed", "nightshift-signed-out"},
	"identity": {
		"cloudtrail-access-removed", "cloudtrail-delete-user", "cloudtrail-disable-user", "cloudtrail-enable-user", "cloudtrail-end-session", "cloudtrail-update-user",
	},
	"own-revocation": {
		"nightshift-access-removed", "nightshift-revoked", "nightshift-stop-requested", "nightshift-user-deleted", "nightshift-user-disabled", "nightshift-user-enabled",
	},
	"births": {"cloudtrail-create-token-with-iam", "cloudtrail-job-created", "cloudtrail-update-domain"},
	"run-states": {
		"emr-cluster-state-change", "emr-containers-job-run-state-change", "sagemaker-pipeline-execution-status-change", "sagemaker-pipeline-step-status-change",
		"sagemaker-processing-job-state-change", "sagemaker-training-job-state-change",
	},
	// An execution that goes on or succeeds ends nobody's wait.
	"executions": {"states-execution-status-change/aborted", "states-execution-status-change/timed-out"},
	// No sample is of a stop that is not confirmed.
	"stuck":   nil,
	"notices": {"notice"},
}

// Each rule matches exactly the samples that it should and none of the others;
// every kind that comes in is matched by one rule (S3.1 to S3.3).
func TestRulesMatchTheSamples(t *testing.T) {
	inbound := map[string]int{}
	for _, r := range rules(t, full(t)) {
		name := strings.TrimPrefix(r.name, "nightshift-")
		var got []string
		for _, kind := range events.Kinds() {
			samples := events.Samples(kind)
			var some []string
			for _, s := range samples {
				// Only our own bus has our own events, and nothing else.
				own := strings.Contains(string(s.Body), `"source": "nightshift"`)
				if own != (r.bus != "") {
					continue
				}
				ok, err := config.Matches(string(r.pattern), s.Body)
				if err != nil {
					t.Fatal(err)
				}
				if ok {
					some = append(some, kind+"/"+s.Name)
				}
			}
			switch {
			case len(some) == len(samples):
				got = append(got, kind)
			default:
				got = append(got, some...)
			}
			if len(some) > 0 && !events.Outgoing(kind) {
				inbound[kind]++
			}
		}
		want, ok := matched[name]
		if !ok || !slices.Equal(got, want) {
			t.Errorf("rule %s matches %q, want %q", name, got, want)
		}
	}
	for _, kind := range events.Kinds() {
		if !events.Outgoing(kind) && inbound[kind] != 1 {
			t.Errorf("%d rules match samples of %s, want 1", inbound[kind], kind)
		}
	}
}

// A revoke has no documented name: an identity event of any name must reach
// on-revocation (S3.1). The alert that pages is matched, another is not (S2.6).
func TestRulesMatchWhatHasNoSample(t *testing.T) {
	x := full(t)
	for _, c := range []struct{ name, event, want string }{
		{"an unknown call of Identity Center", `{"source":"aws.sso","detail-type":"AWS API Call via CloudTrail","detail":{"eventSource":"sso.amazonaws.com","eventName":"EndAllSessions"}}`, "identity"},
		{"a console action", `{"source":"aws.sso-directory","detail-type":"AWS Console Action via CloudTrail","detail":{"eventSource":"sso-directory.amazonaws.com","eventName":"EndSession"}}`, "identity"},
		{"a stop that is not seen", `{"source":"nightshift","detail-type":"Nightshift Alert","detail":{"alert":"stop-unconfirmed"}}`, "stuck"},
		{"a notice", `{"source":"nightshift","detail-type":"` + stack.NoticeType + `","detail":{"notice":"late"}}`, "notices"},
		{"another alert", `{"source":"nightshift","detail-type":"Nightshift Alert","detail":{"alert":"mode-unknown"}}`, ""},
		{"a misspelt sign-out", `{"source":"nightshift","detail-type":"Nightshift Signed out","detail":{"user":"x"}}`, "own-revocation"},
		{"a sign-out that somebody made up", `{"source":"portal","detail-type":"AWS API Call via CloudTrail","detail":{"eventSource":"sso.amazonaws.com","eventName":"Logout"}}`, ""},
		{"another service", `{"source":"aws.ec2","detail-type":"AWS API Call via CloudTrail","detail":{"eventSource":"ec2.amazonaws.com","eventName":"RunInstances"}}`, ""},
	} {
		var got []string
		for _, r := range rules(t, x) {
			if ok, err := config.Matches(string(r.pattern), []byte(c.event)); err != nil {
				t.Fatal(err)
			} else if ok {
				got = append(got, strings.TrimPrefix(r.name, "nightshift-"))
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: matched by %q, want %q", c.name, got, c.want)
		}
	}
}

// Nobody but AWS can say what AWS says: whoever may put events on a default bus,
// here or at a member's place, can choose any source but one that begins with "aws.".
// With another, no rule there takes what it would take from AWS (S3.1; issue 8.6).
func TestNobodyMakesUpWhatAWSSays(t *testing.T) {
	templates := map[string]template{"full": full(t), "bare": bare(t), "spread": spread(t)}
	maps.Copy(templates, members(t))
	for name, x := range templates {
		looked := 0
		for _, r := range x.of(t, "AWS::Events::Rule") {
			p := r.Properties
			pattern, _ := p["EventPattern"].(map[string]any)
			if pattern == nil || p["EventBusName"] != nil {
				continue // the schedule; our own bus, whose policy says who speaks there
			}
			looked++
			sources := many(pattern["source"])
			for _, s := range sources {
				of, exact := s.(string)
				if !exact {
					of, _ = at(s, "prefix").(string)
				}
				if !strings.HasPrefix(of, "aws.") {
					t.Errorf("%s: rule %s takes the source %v, which anybody can choose", name, p["Name"], s)
				}
			}
			if len(sources) == 0 {
				t.Errorf("%s: rule %s takes any source", name, p["Name"])
			}
		}
		if looked < 2 {
			t.Errorf("%s: %d rules were looked at", name, looked)
		}
	}
}

// inOnePlace are the optional variables of a function where everything is in its own
// account.
func inOnePlace(f string) []string {
	return slices.DeleteFunc(config.Optional(f), func(v string) bool {
		return slices.Contains([]string{config.Account, config.IdentityAccount, config.MemberRole}, v)
	})
}

// The environment that is deployed is what config.For names, plus the optional
// ones that were chosen, and config.Load takes it.
func TestEnvironments(t *testing.T) {
	for _, c := range []struct {
		x        template
		optional func(f string) []string
	}{{spread(t), config.Optional}, {full(t), inOnePlace}, {bare(t), func(string) []string { return nil }}} {
		for _, f := range config.Functions() {
			fn := c.x.named(t, "AWS::Lambda::Function", "FunctionName", f)
			variables, _ := at(fn.Properties, "Environment", "Variables").(map[string]any)
			want := append(config.For(f), c.optional(f)...)
			slices.Sort(want)
			var got []string
			for v := range variables {
				got = append(got, v)
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%s is given %v, want %v", f, got, want)
			}
			size := 0
			loaded, err := config.Load(func(v string) string {
				if v == config.Region {
					return region
				}
				size += len(v) + len(c.x.flat(variables[v]))
				return c.x.flat(variables[v])
			}, config.For(f)...)
			if err != nil {
				t.Errorf("%s: %v", f, err)
			}
			if size > 4096 {
				t.Errorf("%s: %d bytes of variables; Lambda takes 4096", f, size)
			}
			if slices.Contains(config.For(f), config.WatchMachine) && !strings.HasSuffix(loaded.WatchMachine, ":stateMachine:nightshift-watch") {
				t.Errorf("%s starts %s", f, loaded.WatchMachine)
			}
		}
	}
}

// What runs in Lambda is byte for byte the same with and without infra: it must
// not reach the CDK.
func TestFunctionsDoNotReachTheCDK(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "nightshift/functions/...", "nightshift/internal/cmd/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "nightshift/internal/app\n") {
		t.Fatal("the list of packages has not even package app in it")
	}
	for _, p := range strings.Fields(string(out)) {
		for _, no := range []string{"github.com/aws/aws-cdk-go", "github.com/aws/jsii-runtime-go", "github.com/aws/constructs-go", "github.com/cdklabs/"} {
			if strings.HasPrefix(p, no) {
				t.Errorf("a function or the command line reaches %s", p)
			}
		}
	}
}
