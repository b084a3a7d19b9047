package main_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nightshift/internal/config"
)

// The members of testdata/members.json: with all engines, with one, with Identity
// Center, and the hub's own account in another Region.
const (
	engineMember   = "210987654321/us-east-1"
	otherMember    = "345678901234/eu-central-1"
	identityMember = "111122223333/eu-west-1"
	regionMember   = accountID + "/us-west-2"
)

func place(text string) config.Place {
	p, _ := config.ParsePlace(text)
	return p
}

// theSpread is that of testdata/members.json.
func theSpread() config.Spread {
	return config.Spread{
		Hub: config.Place{Account: accountID, Region: region}, Identity: place(identityMember), Owner: "111122223333",
		Members: []config.Place{place(engineMember), place(otherMember), place(identityMember), place(regionMember)},
	}
}

// members are the members' templates, by their places.
func members(t *testing.T) map[string]template {
	t.Helper()
	hub, all := spread(t), map[string]template{}
	for _, m := range theSpread().Members {
		x, err := read(hub.folder, "nightshift-member-"+m.Account+"-"+m.Region, m)
		if err != nil {
			t.Fatal(err)
		}
		all[m.String()] = x
	}
	return all
}

// roleNamed is the id of the role with a name; "" where there is none.
func (x template) roleNamed(name string) string {
	for id, r := range x.Resources {
		if r.Type == "AWS::IAM::Role" && r.Properties["RoleName"] == name {
			return id
		}
	}
	return ""
}

// Without the keys there is one stack, of no account, whose roles have no names and
// take on no others, and whose rules hear whatever comes (TestRulesAreTheWiring).
func TestMembersAreOffByDefault(t *testing.T) {
	for _, x := range []template{full(t), bare(t)} {
		stacks, err := filepath.Glob(filepath.Join(x.folder, "*.template.json"))
		if err != nil || len(stacks) != 1 {
			t.Errorf("%q, %v", stacks, err)
		}
		for _, r := range x.of(t, "AWS::IAM::Role") {
			if r.Properties["RoleName"] != nil {
				t.Errorf("%s is named %v", r.id, r.Properties["RoleName"])
			}
		}
		// The nodes of the cluster for trying take on the roles of runs.
		if n := strings.Count(string(x.raw), `"Sid": "Members"`); n > 0 || strings.Contains(string(x.raw), config.MemberRole) {
			t.Errorf("%d roles take on members' roles", n)
		}
	}
}

// Each rule of the hub hears only the accounts that may tell it what it listens for,
// and AWS only; what it hears it takes as before (S3.1, S3.2).
func TestHubHearsItsMembers(t *testing.T) {
	x := spread(t)
	got := map[string]rule{}
	for _, r := range rules(t, x) {
		got[r.name] = r
	}
	for i, want := range theSpread().Rules() {
		r := got["nightshift-"+want.Name]
		if !sameJSON(t, string(r.pattern), want.Pattern) || !strings.HasSuffix(r.queue, ":nightshift-"+want.Function) {
			t.Errorf("rule %s: %s to %s, want %s", want.Name, r.pattern, r.queue, want.Pattern)
		}
		if own := config.Rules()[i]; own.OnOwnBus != sameJSON(t, want.Pattern, own.Pattern) {
			t.Errorf("rule %s hears %s", want.Name, want.Pattern)
		}
	}
	for _, r := range []struct{ name, accounts string }{
		{"sign-out", "[111122223333]"}, {"identity", "[111122223333]"}, {"executions", "[123456789012]"},
		{"births", "[111122223333 123456789012 210987654321 345678901234]"}, {"run-states", "[111122223333 123456789012 210987654321 345678901234]"},
	} {
		var p map[string]any
		if err := json.Unmarshal(got["nightshift-"+r.name].pattern, &p); err != nil || fmt.Sprint(p["account"]) != r.accounts {
			t.Errorf("rule %s hears %v, want %s (%v)", r.name, p["account"], r.accounts, err)
		}
	}
	var admitted []any
	for _, p := range x.of(t, "AWS::Events::EventBusPolicy") {
		if p.Properties["EventBusName"] == nil { // the default bus
			admitted = append(admitted, p.Properties["Statement"])
		}
	}
	if len(admitted) != 1 {
		t.Fatalf("the default bus admits by %d statements", len(admitted))
	}
	s := admitted[0]
	says := fmt.Sprintf("%v %v %v %v %v %d", at(s, "Effect"), at(s, "Action"), x.flat(at(s, "Resource")),
		x.flats(at(s, "Principal", "AWS")), x.flats(at(s, "Condition", "ArnEquals", "aws:PrincipalArn")), len(at(s, "Condition").(map[string]any)))
	if want := "Allow events:PutEvents arn:aws:events:us-east-1:123456789012:event-bus/default " +
		"[arn:aws:iam::210987654321:root arn:aws:iam::345678901234:root arn:aws:iam::111122223333:root] " +
		"[arn:aws:iam::210987654321:role/nightshift-forward-us-east-1 arn:aws:iam::345678901234:role/nightshift-forward-eu-central-1 arn:aws:iam::111122223333:role/nightshift-forward-eu-west-1] 1"; says != want {
		t.Errorf("the default bus admits\n%s\nwant\n%s", says, want)
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal([]byte(a), &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(b), &y); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}

// A member sends the hub what happens there and nothing else, tries for a day, keeps
// what it could not send and pages (S3.7); only its own rules may do any of it.
func TestMembersForward(t *testing.T) {
	const bus = "arn:aws:events:us-east-1:123456789012:event-bus/default"
	for at_, names := range map[string]string{
		engineMember: "births run-states", otherMember: "births run-states", regionMember: "births run-states", identityMember: "births identity sign-out",
	} {
		x := members(t)[at_]
		var arns, got []string
		for _, want := range theSpread().Forwards(x.in, at_ != identityMember) {
			arns = append(arns, "arn:aws:events:"+x.in.Region+":"+x.in.Account+":rule/nightshift-forward-"+want.Name)
			r := x.named(t, "AWS::Events::Rule", "Name", "forward-"+want.Name)
			pattern, err := json.Marshal(r.Properties["EventPattern"])
			if err != nil {
				t.Fatal(err)
			}
			state := "ENABLED"
			if want.ReadOnly {
				state = "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"
			}
			target := many(r.Properties["Targets"])[0]
			if !sameJSON(t, string(pattern), want.Pattern) || r.Properties["State"] != state || x.flat(at(target, "Arn")) != bus || x.flat(at(target, "RoleArn")) != x.roleNamed("nightshift-forward-"+x.in.Region)+".Arn" ||
				!strings.HasSuffix(x.flat(at(target, "DeadLetterConfig", "Arn")), ":nightshift-forward-dead") || at(target, "RetryPolicy", "MaximumEventAgeInSeconds") != 86400.0 || at(target, "RetryPolicy", "MaximumRetryAttempts") != 185.0 {
				t.Errorf("%s: rule %s: %v", at_, want.Name, r.Properties)
			}
			got = append(got, want.Name)
		}
		slices.Sort(got)
		if n := len(x.of(t, "AWS::Events::Rule")); strings.Join(got, " ") != names || n != len(got) {
			t.Errorf("%s forwards by %q and has %d rules, want %s", at_, got, n, names)
		}
		slices.Sort(arns)
		role := x.Resources[x.roleNamed("nightshift-forward-"+x.in.Region)]
		trust := many(at(role.Properties, "AssumeRolePolicyDocument", "Statement"))
		from := x.flats(at(trust[0], "Condition", "ArnEquals", "aws:SourceArn"))
		slices.Sort(from)
		if len(trust) != 1 || at(trust[0], "Principal", "Service") != "events.amazonaws.com" || !slices.Equal(from, arns) || at(trust[0], "Condition", "StringEquals", "aws:SourceAccount") != x.in.Account {
			t.Errorf("%s: the forwarder is trusted to %v", at_, trust)
		}
		if all, _ := x.statements(t, role.id); fmt.Sprint(all) != "[{Forward [events:PutEvents] ["+bus+"] <nil>}]" {
			t.Errorf("%s: the forwarder may %v", at_, all)
		}
		for _, s := range many(at(x.of(t, "AWS::SQS::QueuePolicy")[0].Properties, "PolicyDocument", "Statement")) {
			from := x.flats(at(s, "Condition", "ArnEquals", "aws:SourceArn"))
			slices.Sort(from)
			if at(s, "Effect") == "Allow" && (at(s, "Action") != "sqs:SendMessage" || !slices.Equal(from, arns)) {
				t.Errorf("%s: the dead-letter queue takes %v", at_, s)
			}
		}
		alarm := x.of(t, "AWS::CloudWatch::Alarm")[0].Properties
		if alarm["AlarmName"] != "nightshift-forward-dead" || alarm["Threshold"] != 0.0 || len(many(alarm["AlarmActions"])) != 1 || !strings.HasSuffix(fmt.Sprint(alarm["AlarmDescription"]), "infra/README.md#forward-dead") {
			t.Errorf("%s: %v", at_, alarm)
		}
	}
}

// Each function of the hub takes on its own role where it has something to do, by
// name, and that role admits this function only, from within the organization. What
// the role allows is of its own account and Region, or has no resources (S2.5).
func TestMembersRoles(t *testing.T) {
	x, all := spread(t), members(t)
	made := 0
	for _, f := range config.Functions() {
		fn := x.named(t, "AWS::Lambda::Function", "FunctionName", f)
		may, _ := x.statements(t, roleOf(fn))
		var takesOn []string
		for _, s := range may {
			if slices.Contains(s.actions, "sts:AssumeRole") {
				takesOn = append(takesOn, s.resources...)
			}
		}
		var there []string
		for _, m := range theSpread().Members {
			y, name := all[m.String()], "nightshift-"+f+"-"+m.Region
			id := y.roleNamed(name)
			if id == "" {
				continue
			}
			made++
			there = append(there, "arn:aws:iam::"+m.Account+":role/"+name)
			trust := many(at(y.Resources[id].Properties, "AssumeRolePolicyDocument", "Statement"))
			who := fmt.Sprintf("%v %v %v %v", at(trust[0], "Action"), y.flats(at(trust[0], "Principal", "AWS")), y.flats(at(trust[0], "Condition", "ArnEquals", "aws:PrincipalArn")), at(trust[0], "Condition", "StringEquals"))
			if want := "sts:AssumeRole [arn:aws:iam::123456789012:root] [arn:aws:iam::123456789012:role/nightshift-" + f + "-us-east-1] map[aws:PrincipalOrgID:o-a1b2c3d4e5]"; who != want || len(trust) != 1 {
				t.Errorf("%s at %s admits\n%s\nwant\n%s", name, m, who, want)
			}
			statements, _ := y.statements(t, id)
			for _, s := range statements {
				for _, r := range s.resources {
					own := strings.Contains(r, ":"+m.Region+":"+m.Account+":") || r == "*" || strings.HasPrefix(r, "arn:aws:iam::"+m.Account+":role/")
					if center := strings.HasPrefix(r, "arn:aws:identitystore::") || strings.HasPrefix(r, "arn:aws:sso::111122223333:"); !own && (m != place(identityMember) || !center) {
						t.Errorf("%s at %s: %s is about %s", name, m, s.sid, r)
					}
				}
			}
		}
		if !slices.Equal(takesOn, there) {
			t.Errorf("%s may take on %q\nthere are %q", f, takesOn, there)
		}
		if name := x.Resources[roleOf(fn)].Properties["RoleName"]; (name == "nightshift-"+f+"-us-east-1") != (len(there) > 0) {
			t.Errorf("the role of %s is named %v", f, name)
		}
		for _, s := range may {
			for _, r := range s.resources {
				if strings.Contains(r, "210987654321") && !slices.Contains(s.actions, "sts:AssumeRole") || strings.Contains(r, "345678901234") && !slices.Contains(s.actions, "sts:AssumeRole") {
					t.Errorf("%s may %v on %s, which it reaches in the member's name only", f, s.actions, r)
				}
			}
		}
	}
	if made != 9+8+6 {
		t.Errorf("%d roles were looked at", made)
	}
	if y := all[regionMember]; len(y.of(t, "AWS::IAM::Role")) != 1 {
		t.Error("the hub's own account needs roles of its own to be called")
	}
	for place, actions := range map[string]string{
		engineMember: "emr-containers:CancelJobRun elasticmapreduce:StopNotebookExecution sagemaker:StopTrainingJob sagemaker:StopProcessingJob sagemaker:StopPipelineExecution",
		otherMember:  "sagemaker:StopTrainingJob sagemaker:StopProcessingJob sagemaker:StopPipelineExecution", identityMember: "",
	} {
		var stops []string
		for _, f := range config.Functions() {
			id := all[place].roleNamed("nightshift-" + f + "-" + all[place].in.Region)
			if id == "" {
				continue
			}
			statements, _ := all[place].statements(t, id)
			for _, s := range statements {
				for _, a := range s.actions {
					if strings.Contains(a, ":Stop") || strings.Contains(a, ":Cancel") {
						if stops = append(stops, a); f != "drain-endpoint" {
							t.Errorf("%s may %s at %s", f, a, place)
						}
					}
				}
			}
		}
		if strings.Join(stops, " ") != actions {
			t.Errorf("%s: runs are stopped by %q, want %s", place, stops, actions)
		}
	}
}

// The pack finds nothing in the members' stacks either.
func TestMembersAwsSolutions(t *testing.T) {
	for _, m := range append(theSpread().Members, config.Place{}) {
		stack := "nightshift"
		if m != (config.Place{}) {
			stack += "-member-" + m.Account + "-" + m.Region
		}
		f, err := os.Open(filepath.Join(spread(t).folder, "AwsSolutions-"+stack+"-NagReport.csv"))
		if err != nil {
			t.Fatal(err)
		}
		lines, err := csv.NewReader(f).ReadAll()
		_ = f.Close()
		if err != nil || len(lines) < 5 {
			t.Fatalf("%d lines, %v", len(lines), err)
		}
		for _, l := range lines[1:] {
			if l[2] == "Suppressed" && len(l[3]) < 40 || l[2] != "Suppressed" && l[2] != "Compliant" && l[2] != "N/A" {
				t.Errorf("%s of %s is %s: %s", l[0], l[1], l[2], l[3])
			}
		}
	}
}

// The members' templates, without the reasons that stand in them, so that every
// change is seen in review.
func TestMembersGolden(t *testing.T) {
	got := map[string]any{}
	for place, x := range members(t) {
		resources := map[string]any{}
		for id, r := range x.Resources {
			resources[id] = map[string]any{"Type": r.Type, "Properties": r.Properties}
		}
		got[place] = resources
	}
	golden(t, "testdata/members.golden.json", got)
}

// Stacks are of their accounts, so that the CDK refuses credentials of another.
func TestMembersEnvironments(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(spread(t).folder, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Artifacts map[string]struct{ Environment string }
	}
	if err := json.Unmarshal(data, &manifest); err != nil {
		t.Fatal(err)
	}
	want := map[string]config.Place{"nightshift": theSpread().Hub}
	for _, m := range theSpread().Members {
		want["nightshift-member-"+m.Account+"-"+m.Region] = m
	}
	for stack, m := range want {
		if got := manifest.Artifacts[stack].Environment; got != "aws://"+m.String() {
			t.Errorf("%s is deployed to %q", stack, got)
		}
	}
}
