package main_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nightshift/internal/config"
	"nightshift/internal/ddbstore/schema"
	"nightshift/statemachines"
)

// The table is the schema's, and it is hard to lose: it holds the proof (S2.7).
func TestTable(t *testing.T) {
	def := schema.Definition()
	for name, x := range map[string]template{"full": full(t), "bare": bare(t)} {
		tables := x.of(t, "AWS::DynamoDB::Table")
		if len(tables) != 1 {
			t.Fatalf("%s: %d tables", name, len(tables))
		}
		p := tables[0].Properties
		keys := func(v any) string { return fmt.Sprint(many(v)) }
		if got, want := keys(p["KeySchema"]), pair(def.PartitionKey, def.SortKey); got != want {
			t.Errorf("%s: keys %s, want %s", name, got, want)
		}
		if n := len(many(p["GlobalSecondaryIndexes"])); n != len(def.Indexes) {
			t.Errorf("%s: %d indexes, want %d", name, n, len(def.Indexes))
		}
		for i, index := range many(p["GlobalSecondaryIndexes"]) {
			w := def.Indexes[i]
			if at(index, "IndexName") != w.Name || keys(at(index, "KeySchema")) != pair(w.PartitionKey, w.SortKey) || at(index, "Projection", "ProjectionType") != w.Projection {
				t.Errorf("%s: index %v, want %+v", name, index, w)
			}
		}
		var attributes []string
		for _, a := range many(p["AttributeDefinitions"]) {
			attributes = append(attributes, fmt.Sprint(at(a, "AttributeName"), at(a, "AttributeType")))
		}
		for _, a := range def.Attributes() {
			if !slices.Contains(attributes, a.Name+a.Type) {
				t.Errorf("%s: attribute %+v is not defined", name, a)
			}
		}
		for what, ok := range map[string]bool{
			"billed per request":     p["BillingMode"] == "PAY_PER_REQUEST",
			"streamed":               at(p, "StreamSpecification", "StreamViewType") == def.StreamView,
			"old items expire":       at(p, "TimeToLiveSpecification", "AttributeName") == def.TTLAttribute && at(p, "TimeToLiveSpecification", "Enabled") == true,
			"encrypted":              at(p, "SSESpecification", "SSEEnabled") == true,
			"with its own key":       (at(p, "SSESpecification", "KMSMasterKeyId") != nil) == (name == "full"),
			"restored to any moment": at(p, "PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled") == true,
			"not deleted":            p["DeletionProtectionEnabled"] == true && tables[0].DeletionPolicy == "Retain",
		} {
			if !ok {
				t.Errorf("%s: the table must be: %s", name, what)
			}
		}
	}
	for _, k := range full(t).of(t, "AWS::KMS::Key") {
		if k.Properties["EnableKeyRotation"] != true || k.DeletionPolicy != "Retain" {
			t.Errorf("key %s is not rotated or not kept", k.id)
		}
	}
}

func pair(partition, sort schema.Attribute) string {
	return fmt.Sprint([]any{
		map[string]any{"AttributeName": partition.Name, "KeyType": "HASH"}, map[string]any{"AttributeName": sort.Name, "KeyType": "RANGE"},
	})
}

// An event is not lost by us (S3.7): a queue of 14 days before each event
// function, a dead-letter queue behind it, encrypted, over TLS only, which only
// its own rules may fill.
func TestQueues(t *testing.T) {
	x := full(t)
	looked := 0
	for _, q := range x.of(t, "AWS::SQS::Queue") {
		looked++
		p, name := q.Properties, strings.TrimPrefix(q.Properties["QueueName"].(string), "nightshift-")
		if p["MessageRetentionPeriod"] != float64(config.QueueRetentionDays*24*60*60) || p["SqsManagedSseEnabled"] != true {
			t.Errorf("queue %s: kept %v s, encrypted %v", name, p["MessageRetentionPeriod"], p["SqsManagedSseEnabled"])
		}
		if slices.Contains(behind, name) {
			if p["VisibilityTimeout"] != float64(config.QueueVisibility) || at(p, "RedrivePolicy", "maxReceiveCount") != float64(config.QueueReceivesMax) ||
				!strings.HasSuffix(x.flat(at(p, "RedrivePolicy", "deadLetterTargetArn")), ":nightshift-"+name+"-dead") {
				t.Errorf("queue %s: %v", name, p)
			}
		}
		tls, senders := false, 0
		for _, policy := range x.of(t, "AWS::SQS::QueuePolicy") {
			if at(many(policy.Properties["Queues"])[0], "Ref") != q.id {
				continue
			}
			for _, s := range many(at(policy.Properties, "PolicyDocument", "Statement")) {
				switch at(s, "Effect") {
				case "Deny":
					tls = tls || at(s, "Condition", "Bool", "aws:SecureTransport") == "false"
				case "Allow":
					senders++
					if at(s, "Action") != "sqs:SendMessage" || at(s, "Principal", "Service") != "events.amazonaws.com" || len(many(at(s, "Condition", "ArnEquals", "aws:SourceArn"))) == 0 {
						t.Errorf("queue %s: more may be sent than by its rules: %v", name, s)
					}
				}
			}
		}
		if !tls || senders == 0 {
			t.Errorf("queue %s: TLS only: %t; %d senders", name, tls, senders)
		}
	}
	if looked != 2*len(behind)+2 {
		t.Errorf("%d queues", looked)
	}
}

// Every edge that nobody waits on has somewhere to leave what failed.
func TestAsynchronousEdges(t *testing.T) {
	x := full(t)
	for _, m := range x.of(t, "AWS::Lambda::EventSourceMapping") {
		p := m.Properties
		f := strings.TrimPrefix(x.flat(p["FunctionName"]), "nightshift-")
		if fmt.Sprint(p["FunctionResponseTypes"]) != "[ReportBatchItemFailures]" {
			t.Errorf("%s: one event that fails has its whole batch delivered again", f)
		}
		switch {
		case f == "run-effects":
			if x.flat(p["EventSourceArn"]) != "table.StreamArn" || p["BisectBatchOnFunctionError"] != true || p["StartingPosition"] != "TRIM_HORIZON" ||
				!strings.HasSuffix(x.flat(at(p, "DestinationConfig", "OnFailure", "Destination")), ":nightshift-run-effects-failed") ||
				p["MaximumRetryAttempts"] != 3.0 || p["MaximumRecordAgeInSeconds"] != 300.0 {
				t.Errorf("run-effects: %v", p)
			}
		case slices.Contains(behind, f):
			if !strings.HasSuffix(x.flat(p["EventSourceArn"]), ":nightshift-"+f) || at(p, "ScalingConfig", "MaximumConcurrency") != map[string]float64{"on-logout": 10, "on-run-event": 10, "on-revocation": 2}[f] {
				t.Errorf("%s: %v", f, p)
			}
		default:
			t.Errorf("%s is fed from somewhere that no test knows", f)
		}
	}
	schedule := x.named(t, "AWS::Events::Rule", "Name", "schedule").Properties
	target := many(schedule["Targets"])[0]
	if schedule["ScheduleExpression"] != "rate(1 minute)" || !strings.HasSuffix(x.flat(at(target, "Arn")), ":nightshift-on-schedule") || !strings.HasSuffix(x.flat(at(target, "DeadLetterConfig", "Arn")), "on-schedule-failed") {
		t.Errorf("S3.4 each minute: %v", schedule)
	}
	invoke := x.of(t, "AWS::Lambda::EventInvokeConfig")[0].Properties
	if x.flat(invoke["FunctionName"]) != "nightshift-on-schedule" || !strings.HasSuffix(x.flat(at(invoke, "DestinationConfig", "OnFailure", "Destination")), ":nightshift-on-schedule-failed") {
		t.Errorf("on-schedule: %v", invoke)
	}
}

// Only the portals that are named may say what ends sessions on our bus; only
// our functions and they may say anything (S3.1).
func TestBusPolicy(t *testing.T) {
	denied := func(x template, sid string) any {
		for _, p := range x.of(t, "AWS::Events::EventBusPolicy") {
			s := p.Properties["Statement"]
			if at(s, "Sid") == sid && at(s, "Effect") == "Deny" && at(s, "Principal") == "*" && at(s, "Action") == "events:PutEvents" {
				return at(s, "Condition")
			}
		}
		t.Fatalf("the bus's policy has no denial %s", sid)
		return nil
	}
	var said []string
	for _, r := range config.Rules() {
		var p struct {
			DetailType []any `json:"detail-type"`
		}
		if r.OnOwnBus {
			if err := json.Unmarshal([]byte(r.Pattern), &p); err != nil {
				t.Fatal(err)
			}
			for _, name := range p.DetailType {
				if s, ok := name.(string); ok {
					said = append(said, s)
				}
			}
		}
	}
	for name, c := range map[string]struct {
		x       template
		portals []string
	}{"full": {full(t), []string{"arn:aws:iam::123456789012:role/portal"}}, "bare": {bare(t), nil}} {
		ends := denied(c.x, "OnlyPortalsEndSessions")
		if got := c.x.flats(at(ends, "StringEquals", "events:detail-type")); !slices.Equal(got, said) || len(said) == 0 {
			t.Errorf("%s: denied are %v, the rules listen for %v", name, got, said)
		}
		if got := c.x.flats(at(ends, "ArnNotEquals", "aws:PrincipalArn")); !slices.Equal(got, c.portals) {
			t.Errorf("%s: %v may end sessions, want %v", name, got, c.portals)
		}
		var may []string
		for _, f := range config.Functions() {
			if slices.Contains(config.For(f), config.Bus) {
				may = append(may, roleOf(c.x.named(t, "AWS::Lambda::Function", "FunctionName", f))+".Arn")
			}
		}
		any := denied(c.x, "OnlyNightshiftAndPortals")
		if got := c.x.flats(at(any, "ArnNotEquals", "aws:PrincipalArn")); !slices.Equal(got, append(may, c.portals...)) || at(any, "StringEquals") != nil {
			t.Errorf("%s: %v may speak, want %v", name, got, append(may, c.portals...))
		}
	}
}

// Notices reach people on a topic of their own, in their own words and with the
// id by which a repetition is recognised (S4.6); only their rule may speak there,
// and no function may publish anything.
func TestNotices(t *testing.T) {
	x := full(t)
	rule := x.named(t, "AWS::Events::Rule", "Name", "notices")
	target := many(rule.Properties["Targets"])[0]
	topic := x.named(t, "AWS::SNS::Topic", "TopicName", "notices")
	if at(target, "Arn", "Ref") != topic.id {
		t.Errorf("notices go to %v", at(target, "Arn"))
	}
	template := fmt.Sprint(at(target, "InputTransformer", "InputTemplate"))
	for name, path := range map[string]string{"text": "$.detail.text", "id": "$.detail.id", "session": "$.detail.session.id", "user": "$.detail.session.user"} {
		if at(target, "InputTransformer", "InputPathsMap", name) != path || !strings.Contains(template, "<"+name+">") {
			t.Errorf("what people read has no %s: %s", name, template)
		}
	}
	said := 0
	for _, p := range x.of(t, "AWS::SNS::TopicPolicy") {
		if at(many(p.Properties["Topics"])[0], "Ref") != topic.id {
			continue
		}
		for _, s := range many(at(p.Properties, "PolicyDocument", "Statement")) {
			if at(s, "Effect") != "Allow" {
				continue
			}
			said++
			if at(s, "Principal", "Service") != "events.amazonaws.com" || !strings.Contains(fmt.Sprint(at(s, "Condition", "ArnEquals", "aws:SourceArn")), rule.id) {
				t.Errorf("more than its rule may speak on the topic: %v", s)
			}
		}
	}
	if said != 1 {
		t.Errorf("%d statements let somebody speak on the topic", said)
	}
	to := map[any]any{}
	for _, s := range x.of(t, "AWS::SNS::Subscription") {
		to[s.Properties["Endpoint"]] = at(s.Properties, "TopicArn", "Ref")
	}
	if to["notices@example.com"] != topic.id || to["night@example.com"] == topic.id || len(to) != 2 {
		t.Errorf("subscribed are %v", to)
	}
	for _, p := range x.of(t, "AWS::IAM::Policy") {
		if body, _ := json.Marshal(p.Properties); strings.Contains(string(body), "sns:") {
			t.Errorf("%s may speak to people itself", p.id)
		}
	}
}

// cdk-nag's AwsSolutions pack finds nothing that is not answered with a reason,
// and looked at something; planted faults fail, which shows that it would.
func TestAwsSolutions(t *testing.T) {
	f, err := os.Open(filepath.Join(full(t).folder, "AwsSolutions-nightshift-NagReport.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, l := range lines[1:] {
		count[l[2]]++
		switch {
		case l[2] == "Suppressed" && len(l[3]) < 40:
			t.Errorf("%s of %s is suppressed for %q, which is no reason", l[0], l[1], l[3])
		case l[2] != "Suppressed" && l[2] != "Compliant" && l[2] != "N/A":
			t.Errorf("%s: %s is %s", l[0], l[1], l[2])
		}
	}
	if count["Compliant"] < 50 || count["Suppressed"] == 0 {
		t.Errorf("the pack looked at %v", count)
	}
	stderr, err := run("./testdata/planted", filepath.Join(scratch, "planted"), map[string]any{}, "false")
	if err == nil || !strings.Contains(stderr, "AwsSolutions-SQS3") || !strings.Contains(stderr, "AwsSolutions-SQS4") {
		t.Errorf("a queue without a dead-letter queue passes: %v\n%s", err, stderr)
	}
}

// The CDK's own validator ran, fatally, and found nothing.
func TestTemplateValidator(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(full(t).folder, "validation-report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		PluginReports []struct{ Violations []any } `json:"pluginReports"`
	}
	if err := json.Unmarshal(data, &r); err != nil || len(r.PluginReports) != 0 {
		t.Errorf("%v %s", err, data)
	}
	cdk, err := os.ReadFile("cdk.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{`"@aws-cdk/core:validateAgainstDefaultRules": true`, `"@aws-cdk/core:annotationsInValidationReport": true`} {
		if !strings.Contains(string(cdk), flag) {
			t.Errorf("cdk.json has no %s: what the validator finds is only a warning", flag)
		}
	}
}

// hash is the name of an uploaded asset, which changes with each build.
var hash = regexp.MustCompile(`[0-9a-f]{64}`)

// The whole template, so that every change of it is seen in review.
func TestGolden(t *testing.T) {
	var got any
	if err := json.Unmarshal(hash.ReplaceAll(full(t).raw, []byte("HASH")), &got); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/template.golden.json", got)
}

// golden compares with a file, or writes it.
func golden(t *testing.T, path string, got any) {
	t.Helper()
	if *update {
		out, err := json.MarshalIndent(got, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(out, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var want any
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	diffs := differences("", got, want)
	for _, d := range diffs[:min(len(diffs), 20)] {
		t.Error(d)
	}
	if len(diffs) > 0 {
		t.Errorf("%d differences; where they are meant: go test ./infra -run %s -update", len(diffs), t.Name())
	}
}

func differences(path string, got, want any) []string {
	g, isMap := got.(map[string]any)
	w, both := want.(map[string]any)
	if !isMap || !both {
		if reflect.DeepEqual(got, want) {
			return nil
		}
		return []string{fmt.Sprintf("%s: %.200v, the golden template has %.200v", path, got, want)}
	}
	var all []string
	for k := range w {
		if _, ok := g[k]; !ok {
			all = append(all, path+"/"+k+" is gone")
		}
	}
	for k, v := range g {
		if _, ok := w[k]; !ok {
			all = append(all, path+"/"+k+" is new")
			continue
		}
		all = append(all, differences(path+"/"+k, v, w[k])...)
	}
	slices.Sort(all)
	return all
}

// A deployment without what it needs is refused by the app itself, with the
// sentences and nothing else: no stack of calls, no template.
func TestRefusalsReachTheUser(t *testing.T) {
	stderr, err := run(".", filepath.Join(scratch, "refused"), map[string]any{"deploying": "true", "retentionDays": "8", "endpoint": "[]"}, "false")
	if err == nil {
		t.Fatal("it is not refused")
	}
	for _, want := range []string{
		"endpoint is no context key of Nightshift; the keys are stackName, ", "retentionDays is \"8\"; it must be 7, 14, 30,",
		"identityStoreId is not given; it must be the id of an identity store", "endpoints is not given; it must be a JSON list of endpoints.",
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("it does not say %q:\n%s", want, stderr)
		}
	}
	if strings.Contains(stderr, "goroutine") {
		t.Errorf("it shows its inside:\n%s", stderr)
	}
	stderr, err = run(".", filepath.Join(scratch, "unbuilt"), map[string]any{"functionsDir": scratch}, "false")
	if err == nil || !strings.Contains(stderr, "functionsDir has no console/bootstrap; run `make build` first") {
		t.Errorf("functions that are not built: %v\n%s", err, stderr)
	}
}

// The lockfile names no registry: whoever installs uses their own.
func TestLockfile(t *testing.T) {
	data, err := os.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), `"resolved"`) || strings.Contains(string(data), "registry.") {
		t.Error("package-lock.json names a registry; see infra/.npmrc")
	}
	manifest, err := os.ReadFile("package.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, version := range map[string]string{"aws-cdk": "2.1148.1", "asl-validator": "4.0.0", "amazon-states-language-service": "1.16.1", "jsonata": "2.0.5"} {
		if !strings.Contains(string(manifest), fmt.Sprintf("%q: %q", name, version)) {
			t.Errorf("package.json does not pin %s to %s", name, version)
		}
	}
}

// Every machine is deployed as it stands in statemachines/, with every ${…}
// given and nothing else; it logs without data, which holds task tokens, and may
// start only itself and call only its own function.
func TestMachines(t *testing.T) {
	x := full(t)
	if n := len(x.of(t, "AWS::StepFunctions::StateMachine")); n != len(statemachines.Names()) {
		t.Errorf("%d machines, want %d", n, len(statemachines.Names()))
	}
	for _, name := range statemachines.Names() {
		p := x.named(t, "AWS::StepFunctions::StateMachine", "StateMachineName", name).Properties
		if p["DefinitionString"] != string(statemachines.Definition(name)) {
			t.Errorf("%s: the definition is not the one in statemachines/", name)
		}
		subs, _ := p["DefinitionSubstitutions"].(map[string]any)
		var got []string
		for s := range subs {
			got = append(got, s)
		}
		slices.Sort(got)
		if !slices.Equal(got, statemachines.Substitutions(statemachines.Definition(name))) {
			t.Errorf("%s: given are %v, needed %v", name, got, statemachines.Substitutions(statemachines.Definition(name)))
		}
		for s, v := range statemachines.Values(statemachines.Definition(name)) {
			if subs[s] != v {
				t.Errorf("%s: ${%s} is %v, want %s", name, s, subs[s], v)
			}
		}
		logs := p["LoggingConfiguration"]
		if at(logs, "Level") != "ALL" || at(logs, "IncludeExecutionData") != false || at(p, "TracingConfiguration", "Enabled") == true || p["StateMachineType"] != "STANDARD" {
			t.Errorf("%s: %v %v %v", name, logs, p["TracingConfiguration"], p["StateMachineType"])
		}
		pairRole, _ := at(p, "RoleArn", "Fn::GetAtt").([]any)
		all, _ := x.statements(t, pairRole[0].(string))
		var may []string
		for _, s := range all {
			if s.sid != "" {
				may = append(may, fmt.Sprintf("%v %v", s.actions, s.resources))
			}
		}
		slices.Sort(may)
		const function, machine = "[lambda:InvokeFunction] [arn:aws:lambda:us-east-1:123456789012:function:nightshift-%s]", "[states:StartExecution] [arn:aws:states:us-east-1:123456789012:stateMachine:nightshift-%s]"
		want := map[string][]string{
			"run": {fmt.Sprintf(function, "open-session"), fmt.Sprintf(function, "start-run")},

			"process-in-vpc": {fmt.Sprintf(function, "open-session"), fmt.Sprintf(function, "preflight"), fmt.Sprintf(function, "start-run")},
			"watch":          {fmt.Sprintf(function, "observe-endpoint"), fmt.Sprintf(machine, "watch")},
			"drain":          {fmt.Sprintf(function, "drain-endpoint"), fmt.Sprintf(machine, "drain")},
			"restart":        {fmt.Sprintf(function, "restart-session")},

			statemachines.MoveNotebook: {
				"[ec2:DescribeSubnets] [*]", "[elasticmapreduce:AddTags] [" + emrClusters + "]", "[elasticmapreduce:DescribeCluster] [" + emrClusters + "]",
				"[elasticmapreduce:ListBootstrapActions] [" + emrClusters + "]", "[elasticmapreduce:ListClusters] [*]", "[elasticmapreduce:RunJobFlow] [*]",
				"[elasticmapreduce:TerminateJobFlows] [" + emrClusters + "]",
				"[iam:PassRole] [arn:aws:iam::123456789012:role/EMR_DefaultRole_V2 arn:aws:iam::123456789012:role/EMR_EC2_DefaultRole]", fmt.Sprintf(function, "move-notebook"),
			},
			statemachines.CreateVirtualCluster: {createsCluster, tagsCluster, serviceLinkedRole},
			statemachines.DeleteVirtualCluster: {deletesCluster, describesCluster},
			statemachines.SubmitJobRun:         {followsJobRun, startsJobRun, tagsJobRun, fmt.Sprintf(function, "open-session")},
		}[name]
		if !slices.Equal(may, want) {
			t.Errorf("%s may %v\nwant %v", name, may, want)
		}
	}
	for _, g := range x.of(t, "AWS::Logs::LogGroup") {
		if g.Properties["RetentionInDays"] != 90.0 {
			t.Errorf("log group %s is kept for %v days", g.Properties["LogGroupName"], g.Properties["RetentionInDays"])
		}
	}
}

// node runs infra's Node script on a question; it fails where Node is missing.
func node(t *testing.T, job string, question, answer any) {
	t.Helper()
	if out, err := exec.Command("bash", "npm.sh").CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	in, err := json.Marshal(question)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "asl.mjs", job)
	cmd.Stdin = strings.NewReader(string(in))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node asl.mjs %s: %v\n%s", job, err, stderr.String())
	}
	if err := json.Unmarshal(out, answer); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
