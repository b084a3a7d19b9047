package main_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/events"
	"nightshift/internal/app"
	"nightshift/internal/config"
	"nightshift/internal/inbound"
	"nightshift/internal/session"
)

// prefixes are what IAM calls the services of the SDK's packages.
var prefixes = map[string]string{
	"cloudtrail": "cloudtrail", "dynamodb": "dynamodb", "ec2": "ec2", "emr": "elasticmapreduce", "emrcontainers": "emr-containers", "eventbridge": "events",
	"identitystore": "identitystore", "s3": "s3", "sagemaker": "sagemaker", "secretsmanager": "secretsmanager", "sfn": "states", "ssoadmin": "sso", "sts": "sts",
}

// actions are the operations that ask for something else than an action of their
// own name (service authorization reference): a transaction asks for what it is
// made of; what starts with tags tags; what is given a role passes it, but for EMR
// on EKS, whose own condition key says which.
var actions = map[string]string{
	"dynamodb.TransactWriteItems":                "",
	"dynamodb.TransactWriteItems.Put":            "dynamodb:PutItem",
	"dynamodb.TransactWriteItems.Update":         "dynamodb:UpdateItem",
	"dynamodb.TransactWriteItems.Delete":         "dynamodb:DeleteItem",
	"dynamodb.TransactWriteItems.ConditionCheck": "dynamodb:ConditionCheckItem",
	"emrcontainers.StartJobRun":                  "emr-containers:StartJobRun emr-containers:TagResource",
	"emr.StartNotebookExecution":                 "elasticmapreduce:StartNotebookExecution elasticmapreduce:AddTags iam:PassRole",
	"s3.ListObjectsV2":                           "s3:ListBucket",
	"sagemaker.CreateTrainingJob":                "sagemaker:CreateTrainingJob sagemaker:AddTags iam:PassRole",
	"sagemaker.CreateProcessingJob":              "sagemaker:CreateProcessingJob sagemaker:AddTags iam:PassRole",
}

// never is a function that another one's main leads to and that is never entered
// there, for a reason that a test holds: it is left out.
type never struct {
	function, why string
	in            func(t *testing.T, f string) bool // whether it holds for the function f of functions/
}

// nevers are all of them.
var nevers = []never{
	{"functions.engineOf", "a function that is told no endpoints makes no engine", func(_ *testing.T, f string) bool {
		return !slices.Contains(config.For(f), config.Endpoints)
	}},
	{"internal/engine/livy.authenticated", "credentials are for calls of Livy, and no use case of this function asks an engine", func(t *testing.T, f string) bool {
		return !asksEngines(t, f)
	}},
	{"(*internal/app.App).concerned", "what opening a session notes is that its user is held back, which concerns no session (heldBack)", func(_ *testing.T, f string) bool {
		return f == "open-session"
	}},
	{"(*internal/app.App).clear", "only of a Livy session does anything live on that is to be ended, and no action of AWS's ends it", func(t *testing.T, _ string) bool {
		return onlyLivyRemains(t)
	}},
	{"(*internal/app.App).checkUser", "no such event comes through its rules", missing[app.UserCheck]},
	{"(*internal/app.App).checkAccess", "no such event comes through its rules", missing[app.AccessCheck]},
	{"(*internal/app.App).birth", "no such event comes through its rules", missing[app.Birth]},
	{"(*internal/app.App).runChange", "no such event comes through its rules", missing[app.RunChange]},
	{"(*internal/app.App).clusterChange", "no such event comes through its rules", missing[app.ClusterChange]},
	{"(*internal/app.App).executionChange", "no such event comes through its rules", missing[app.ExecutionChange]},
	{"(*internal/app.App).adopt", "neither a birth nor a token comes through its rules, so it opens no session", func(t *testing.T, f string) bool {
		return queued(f) && missing[app.Birth](t, f) && !comes(t, f, func(m app.Message) bool {
			fact, ok := m.(app.Fact)
			return ok && fact.Event.Kind == session.BackgroundTokenIssued
		})
	}},
}

// onlyLivyRemains says whether no engine but Livy's says that something of a run
// that is over remains.
func onlyLivyRemains(t *testing.T) bool {
	t.Helper()
	all, err := filepath.Glob("../internal/engine/*/*.go")
	if err != nil || len(all) == 0 {
		t.Fatalf("no engine to look at: %v", err)
	}
	return !slices.ContainsFunc(all, func(file string) bool {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(text), "Remains") && filepath.Base(filepath.Dir(file)) != "livy" && !strings.Contains(file, "enginetest")
	})
}

// asksEngines says whether a function's use cases call an engine, which Livy's
// stands for.
func asksEngines(t *testing.T, f string) bool {
	for seen := range reachOf(t, f, []string{"internal/engine/livy.authenticated"}).seen {
		if strings.HasPrefix(spelled(seen), "(*internal/engine/livy.Engine).") {
			return true
		}
	}
	return false
}

func queued(f string) bool {
	return slices.ContainsFunc(config.Rules(), func(r config.Rule) bool { return r.Function == f })
}

func missing[M app.Message](t *testing.T, f string) bool {
	return queued(f) && !comes(t, f, func(m app.Message) bool { _, ok := m.(M); return ok })
}

// comes says whether some sample event that the rules of a function let through is
// of a kind.
func comes(t *testing.T, f string, of func(app.Message) bool) bool {
	t.Helper()
	passed := 0
	for _, kind := range events.Kinds() {
		for _, sample := range events.Samples(kind) {
			if !slices.ContainsFunc(config.Rules(), func(r config.Rule) bool {
				matched, err := config.Matches(r.Pattern, sample.Body)
				if err != nil {
					t.Fatal(err)
				}
				return r.Function == f && matched
			}) {
				continue
			}
			m, err := inbound.Parse(sample.Body, time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
			if err != nil {
				t.Fatalf("%s: %v", sample.Name, err)
			}
			passed++
			parts, several := m.(app.Several)
			if of(m) || several && slices.ContainsFunc(parts, of) {
				return true
			}
		}
	}
	if passed == 0 {
		t.Fatalf("no sample comes through the rules of %s", f)
	}
	return false
}

// The role of each function allows what its code calls and what AWS does with it,
// and nothing else: the code is read, from its main to the SDK (S2.5). Where it is
// spread over accounts, the same is allowed where it is called, and only there.
func TestLeastPrivilege(t *testing.T) {
	x, wide, members := full(t), spread(t), members(t)
	used := map[string]bool{}
	for _, f := range config.Functions() {
		fn := x.named(t, "AWS::Lambda::Function", "FunctionName", f)
		var cut []string
		for _, n := range nevers {
			if n.in(t, f) {
				cut = append(cut, n.function)
			}
		}
		r := reachOf(t, f, cut)
		for name, hit := range r.cut {
			used[name] = used[name] || hit
		}
		needed := map[string]string{}
		for call := range r.calls {
			for _, action := range asked(t, call) {
				needed[action] = r.way(call)
			}
		}
		if len(r.calls) < 3 {
			t.Errorf("%s: only %d calls were found", f, len(r.calls))
		}
		if needed["sts:AssumeRole"] == "" {
			t.Errorf("%s: how it would take on a role of another account was not found", f)
		}
		keep := func(which func(action string) bool) map[string]string {
			some := maps.Clone(needed)
			maps.DeleteFunc(some, func(action, _ string) bool { return !which(action) })
			return some
		}
		here := keep(func(a string) bool { return a != "sts:AssumeRole" })
		maps.Copy(here, x.ofService(t, fn))
		x.leastPrivilege(t, f, roleOf(fn), here)

		atCenter, atEngines := keep(centers), keep(engines)
		hub := wide.named(t, "AWS::Lambda::Function", "FunctionName", f)
		here = keep(func(a string) bool { return !centers(a) && (a != "sts:AssumeRole" || len(atCenter)+len(atEngines) > 0) })
		maps.Copy(here, wide.ofService(t, hub))
		if !slices.Contains(config.For(f), config.Endpoints) { // nor is it told of members
			delete(here, "sts:AssumeRole")
		}
		wide.leastPrivilege(t, f, roleOf(hub), here)
		for place, needs := range map[string]map[string]string{identityMember: atCenter, engineMember: atEngines} {
			members[place].leastPrivilege(t, f+" at "+place, members[place].roleNamed("nightshift-"+f+"-"+members[place].in.Region), needs)
		}
	}
	for _, n := range nevers {
		if !used[n.function] {
			t.Errorf("nothing leads to %s that is left out (%s): take the exception away, or name the function anew", n.function, n.why)
		}
	}
}

// centers and engines say what is asked of Identity Center's account, and of the
// account where runs are.
func centers(action string) bool { return of(action, "cloudtrail", "identitystore", "sso") }
func engines(action string) bool {
	return of(action, "ec2", "elasticmapreduce", "emr-containers", "iam", "sagemaker")
}

func of(action string, services ...string) bool {
	service, _, _ := strings.Cut(action, ":")
	return slices.Contains(services, service)
}

// leastPrivilege holds a role to what is needed, both ways; "" is no role.
func (x template) leastPrivilege(t *testing.T, who, role string, needed map[string]string) {
	t.Helper()
	allowed := map[string]bool{}
	var all []statement
	if role != "" {
		all, _ = x.statements(t, role)
	}
	for _, s := range all {
		for _, action := range s.actions {
			allowed[action] = true
			if needed[action] == "" {
				t.Errorf("%s may %s, and nothing in it calls that", who, action)
			}
		}
	}
	for _, action := range slices.Sorted(maps.Keys(needed)) {
		if !allowed[action] {
			t.Errorf("%s needs %s, and its role does not allow it: %s", who, action, needed[action])
		}
	}
	if role != "" && len(all) == 0 {
		t.Errorf("%s has a role that allows nothing", who)
	}
}

// asked are the actions that a call asks for.
func asked(t *testing.T, call string) []string {
	t.Helper()
	if said, ok := actions[call]; ok {
		return strings.Fields(said)
	}
	service, operation, _ := strings.Cut(call, ".")
	if prefixes[service] == "" {
		t.Fatalf("nobody says what IAM calls the service of %s", call)
	}
	return []string{prefixes[service] + ":" + operation}
}

// ofService are the actions that Lambda and DynamoDB take with a function's role,
// as the template has it invoked, logged, traced and placed, each with its reason.
func (x template) ofService(t *testing.T, fn resource) map[string]string {
	t.Helper()
	needs := map[string]string{}
	add := func(why string, actions ...string) {
		for _, a := range actions {
			needs[a] = why
		}
	}
	ours := func(r resource) bool { return x.flat(r.Properties["FunctionName"]) == x.ref(fn.id) }
	add("its log", "logs:CreateLogStream", "logs:PutLogEvents")
	for _, source := range x.of(t, "AWS::Lambda::EventSourceMapping") {
		arn := x.flat(source.Properties["EventSourceArn"])
		switch {
		case !ours(source):
		case strings.HasPrefix(arn, "arn:aws:sqs:"):
			add("its queue is read (AWSLambdaSQSQueueExecutionRole)", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
		default:
			add("its stream is read (AWSLambdaDynamoDBExecutionRole)", "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams")
		}
		if ours(source) && at(source.Properties, "DestinationConfig", "OnFailure") != nil {
			add("what it fails at is kept", "sqs:SendMessage")
		}
	}
	for _, invoke := range x.of(t, "AWS::Lambda::EventInvokeConfig") {
		if ours(invoke) && at(invoke.Properties, "DestinationConfig", "OnFailure") != nil {
			add("what it fails at is kept", "sqs:SendMessage")
		}
	}
	if fn.Properties["VpcConfig"] != nil {
		add("Lambda makes its network interfaces (AWSLambdaVPCAccessExecutionRole)", "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces",
			"ec2:DescribeSubnets", "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses")
	}
	if at(fn.Properties, "TracingConfig", "Mode") == "Active" {
		add("it is traced", "xray:PutTraceSegments", "xray:PutTelemetryRecords")
	}
	if at(x.of(t, "AWS::DynamoDB::Table")[0].Properties, "SSESpecification", "KMSMasterKeyId") != nil {
		add("DynamoDB uses the table's key in the caller's name (its developer guide, encryption at rest)",
			"kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo")
	}
	return needs
}

// Whoever a resource's own policy admits is named, with what they may do and why
// they come: nobody is admitted for everything, nor from everywhere.
func TestResourcePolicies(t *testing.T) {
	x := full(t)
	looked := map[string]int{}
	for _, r := range x.Resources {
		document := map[string]any{"Statement": r.Properties["Statement"]} // a bus's policy is one statement
		for _, property := range []string{"PolicyDocument", "KeyPolicy"} {
			if d, ok := r.Properties[property].(map[string]any); ok {
				document = d
			}
		}
		if !slices.Contains([]string{"AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy", "AWS::Events::EventBusPolicy", "AWS::KMS::Key"}, r.Type) {
			continue
		}
		for _, s := range many(document["Statement"]) {
			looked[r.Type]++
			if at(s, "Effect") != "Allow" {
				continue // it takes away; TestQueues and TestBusPolicy say what
			}
			principal, _ := at(s, "Principal").(map[string]any)
			who, actions, resources := x.flats(principal["AWS"]), x.flats(at(s, "Action")), x.flats(at(s, "Resource"))
			if r.Type == "AWS::KMS::Key" {
				// The one statement that lets the account's own policies decide: without it
				// nobody could ever manage the key (KMS developer guide, default key policy).
				if !slices.Equal(who, []string{"arn:aws:iam::" + accountID + ":root"}) || !slices.Equal(actions, []string{"kms:*"}) {
					t.Errorf("%s admits %v to %v", r.id, who, actions)
				}
				continue
			}
			for _, word := range slices.Concat(who, actions, resources, x.flats(at(s, "Principal"))) {
				if word == "*" || strings.HasSuffix(word, ":*") {
					t.Errorf("%s: %s admits with a *: %v", r.id, at(s, "Sid"), s)
				}
			}
			source := at(s, "Condition", "ArnEquals", "aws:SourceArn") != nil || at(s, "Condition", "StringEquals", "aws:SourceAccount") != nil
			if principal["Service"] != nil && !source {
				t.Errorf("%s: %s admits a service whoever asks it: %v", r.id, at(s, "Sid"), s)
			}
			if principal["AWS"] != nil && at(s, "Condition") == nil {
				t.Errorf("%s: %s admits %v to say everything", r.id, at(s, "Sid"), who)
			}
		}
	}
	if looked["AWS::SQS::QueuePolicy"] < 8 || looked["AWS::SNS::TopicPolicy"] < 2 || looked["AWS::Events::EventBusPolicy"] < 3 || looked["AWS::KMS::Key"] < 1 {
		t.Errorf("only these statements were looked at: %v", looked)
	}
}

// No secret stands in a variable: what is one is named by its ARN, and CloudFormation
// is not asked to put one in either.
func TestNoSecrets(t *testing.T) {
	x := full(t)
	telling := regexp.MustCompile(`(?i)secret|password|passwd|credential|private|api_?key|token`)
	plain := regexp.MustCompile(`(?i)A(KIA|SIA)[A-Z0-9]{16}|-----BEGIN [A-Z ]*PRIVATE KEY|bearer [a-z0-9]|"password"`)
	named := 0
	for _, fn := range x.of(t, "AWS::Lambda::Function") {
		variables, _ := at(fn.Properties, "Environment", "Variables").(map[string]any)
		for name, v := range variables {
			value := x.flat(v)
			if telling.MatchString(name) {
				named++
				if !strings.HasPrefix(value, "arn:aws:secretsmanager:") {
					t.Errorf("%s: %s is not the ARN of a secret", fn.id, name)
				}
			}
			if plain.MatchString(value) {
				t.Errorf("%s: %s looks like a secret", fn.id, name)
			}
		}
	}
	if named == 0 {
		t.Error("no variable names a secret: the settings of this test lack sessionsTokenSecret")
	}
	if strings.Contains(string(x.raw), "{{resolve:") {
		t.Error("the template has CloudFormation put something in that it keeps")
	}
}

// The same functions, built elsewhere and at another time, are the same assets: an
// asset is named by what is in it (S3.8: an update changes what has changed).
func TestAssetsAreReproducible(t *testing.T) {
	here, there := full(t), bare(t)
	for _, f := range config.Functions() {
		one := at(here.named(t, "AWS::Lambda::Function", "FunctionName", f).Properties, "Code", "S3Key")
		two := at(there.named(t, "AWS::Lambda::Function", "FunctionName", f).Properties, "Code", "S3Key")
		if name, _ := one.(string); one != two || !regexp.MustCompile(`^[0-9a-f]{64}\.zip$`).MatchString(name) {
			t.Errorf("%s: its asset is %v here and %v there", f, one, two)
		}
	}
}
