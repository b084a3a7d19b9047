package main_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"nightshift/internal/cadence"
	"nightshift/internal/config"
)

// statement is one statement of a policy, intrinsics put in.
type statement struct {
	sid                string
	actions, resources []string
	condition          any
}

// statements lists what a role's policies allow, and the policies themselves.
func (x template) statements(t *testing.T, roleID string) (all []statement, policies []resource) {
	t.Helper()
	for _, p := range x.of(t, "AWS::IAM::Policy") {
		if !slices.ContainsFunc(many(p.Properties["Roles"]), func(r any) bool { return at(r, "Ref") == roleID }) {
			continue
		}
		policies = append(policies, p)
		for _, s := range many(at(p.Properties, "PolicyDocument", "Statement")) {
			if at(s, "Effect") != "Allow" || at(s, "NotAction") != nil || at(s, "NotResource") != nil {
				t.Errorf("%s: a role's policy only allows, and says what: %v", p.id, s)
			}
			sid, _ := at(s, "Sid").(string)
			all = append(all, statement{sid: sid, actions: x.flats(at(s, "Action")), resources: x.flats(at(s, "Resource")), condition: at(s, "Condition")})
		}
	}
	return all, policies
}

func roleOf(fn resource) string {
	pair, _ := at(fn.Properties, "Role", "Fn::GetAtt").([]any)
	return pair[0].(string)
}

// allowed says what each function may do, with every context key given: what
// its use cases do and nothing else (S2.5: only a drain stops runs, only
// start-run starts them).
var allowed = map[string]string{
	"on-logout": `dynamodb:BatchGetItem dynamodb:GetItem dynamodb:PutItem dynamodb:Query dynamodb:UpdateItem`,
	"on-revocation": `dynamodb:BatchGetItem dynamodb:GetItem dynamodb:PutItem dynamodb:Query dynamodb:UpdateItem
		emr-containers:DescribeJobRun elasticmapreduce:DescribeNotebookExecution elasticmapreduce:GetClusterSessionCredentials
		sagemaker:DescribePipelineExecution sagemaker:DescribeProcessingJob sagemaker:DescribeTrainingJob sagemaker:ListPipelineExecutionSteps sagemaker:ListTags
		sagemaker:ListProcessingJobs sagemaker:ListTrainingJobs
		identitystore:DescribeUser identitystore:ListGroupMembershipsForMember sso:GetApplicationAssignmentConfiguration sso:ListApplicationAssignmentsForPrincipal`,
	"on-run-event": `dynamodb:BatchGetItem dynamodb:ConditionCheckItem dynamodb:GetItem dynamodb:PutItem dynamodb:Query dynamodb:UpdateItem
		emr-containers:DescribeJobRun elasticmapreduce:DescribeNotebookExecution elasticmapreduce:GetClusterSessionCredentials
		sagemaker:DescribePipelineExecution sagemaker:DescribeProcessingJob sagemaker:DescribeTrainingJob sagemaker:ListPipelineExecutionSteps sagemaker:ListTags
		sagemaker:ListProcessingJobs sagemaker:ListTrainingJobs
		sso:GetApplicationSessionConfiguration`,
	"on-schedule": `cloudtrail:LookupEvents dynamodb:BatchGetItem dynamodb:ConditionCheckItem dynamodb:GetItem dynamodb:PutItem dynamodb:Query dynamodb:UpdateItem
		emr-containers:DescribeJobRun emr-containers:ListJobRuns emr-containers:ListVirtualClusters events:PutEvents
		identitystore:DescribeUser identitystore:GetUserId identitystore:ListGroupMembershipsForMember identitystore:ListUsers
		elasticmapreduce:DescribeNotebookExecution elasticmapreduce:GetClusterSessionCredentials
		sagemaker:DescribePipelineExecution sagemaker:DescribeProcessingJob sagemaker:DescribeTrainingJob sagemaker:ListPipelineExecutionSteps sagemaker:ListTags
		elasticmapreduce:ListNotebookExecutions sagemaker:ListPipelineExecutions sagemaker:ListPipelines sagemaker:ListProcessingJobs sagemaker:ListTrainingJobs sqs:SendMessage
		sso:GetApplicationAssignmentConfiguration sso:GetApplicationSessionConfiguration sso:ListApplicationAssignmentsForPrincipal
		s3:ListBucket secretsmanager:GetSecretValue states:DescribeExecution states:ListExecutions states:SendTaskFailure states:SendTaskSuccess states:StartExecution`,
	"open-session": `dynamodb:ConditionCheckItem dynamodb:GetItem dynamodb:PutItem dynamodb:Query sso:GetApplicationSessionConfiguration`,
	"start-run": `dynamodb:BatchGetItem dynamodb:GetItem dynamodb:PutItem dynamodb:Query dynamodb:UpdateItem
		emr-containers:StartJobRun emr-containers:TagResource iam:PassRole
		elasticmapreduce:DescribeNotebookExecution elasticmapreduce:GetClusterSessionCredentials
		sagemaker:DescribePipelineExecution sagemaker:DescribeProcessingJob sagemaker:DescribeTrainingJob sagemaker:ListPipelineExecutionSteps sagemaker:ListTags
		elasticmapreduce:AddTags elasticmapreduce:ListNotebookExecutions elasticmapreduce:StartNotebookExecution
		sagemaker:AddTags sagemaker:CreateProcessingJob sagemaker:CreateTrainingJob sagemaker:ListPipelineExecutions sagemaker:RetryPipelineExecution sagemaker:StartPipelineExecution
		sagemaker:ListProcessingJobs sagemaker:ListTrainingJobs
		states:SendTaskFailure states:SendTaskSuccess`,
	"observe-endpoint": `dynamodb:BatchGetItem dynamodb:ConditionCheckItem dynamodb:GetItem dynamodb:PutItem dynamodb:Query dynamodb:UpdateItem identitystore:GetUserId
		emr-containers:DescribeJobRun emr-containers:ListJobRuns emr-containers:ListVirtualClusters events:PutEvents
		elasticmapreduce:DescribeNotebookExecution elasticmapreduce:GetClusterSessionCredentials
		sagemaker:DescribePipelineExecution sagemaker:DescribeProcessingJob sagemaker:DescribeTrainingJob sagemaker:ListPipelineExecutionSteps sagemaker:ListTags
		elasticmapreduce:ListNotebookExecutions sagemaker:ListPipelineExecutions sagemaker:ListPipelines sagemaker:ListProcessingJobs sagemaker:ListTrainingJobs sso:GetApplicationSessionConfiguration states:StartExecution`,
	"drain-endpoint": `dynamodb:BatchGetItem dynamodb:GetItem dynamodb:PutItem dynamodb:Query dynamodb:UpdateItem
		emr-containers:CancelJobRun emr-containers:DescribeJobRun emr-containers:ListJobRuns emr-containers:ListVirtualClusters
		elasticmapreduce:DescribeNotebookExecution elasticmapreduce:GetClusterSessionCredentials
		sagemaker:DescribePipelineExecution sagemaker:DescribeProcessingJob sagemaker:DescribeTrainingJob sagemaker:ListPipelineExecutionSteps sagemaker:ListTags
		elasticmapreduce:ListNotebookExecutions sagemaker:ListPipelineExecutions sagemaker:ListPipelines sagemaker:ListProcessingJobs sagemaker:ListTrainingJobs
		elasticmapreduce:StopNotebookExecution sagemaker:StopPipelineExecution sagemaker:StopProcessingJob sagemaker:StopTrainingJob states:StartExecution`,
	"console":         `dynamodb:BatchGetItem dynamodb:GetItem dynamodb:PutItem dynamodb:Query states:DescribeExecution states:StartExecution s3:ListBucket`,
	"restart-session": `dynamodb:GetItem dynamodb:PutItem dynamodb:Query states:DescribeExecution states:StartExecution`,
	"move-notebook": `dynamodb:BatchGetItem dynamodb:GetItem dynamodb:PutItem dynamodb:Query
		elasticmapreduce:DescribeNotebookExecution events:PutEvents states:DescribeExecution states:StartExecution`,
	"repair": `dynamodb:BatchGetItem dynamodb:ConditionCheckItem dynamodb:GetItem dynamodb:PutItem dynamodb:Query dynamodb:UpdateItem
		emr-containers:DescribeJobRun emr-containers:ListJobRuns emr-containers:ListVirtualClusters events:PutEvents
		identitystore:DescribeUser identitystore:GetUserId identitystore:ListGroupMembershipsForMember
		elasticmapreduce:DescribeNotebookExecution elasticmapreduce:GetClusterSessionCredentials
		sagemaker:DescribePipelineExecution sagemaker:DescribeProcessingJob sagemaker:DescribeTrainingJob sagemaker:ListPipelineExecutionSteps sagemaker:ListTags
		elasticmapreduce:ListNotebookExecutions sagemaker:ListPipelineExecutions sagemaker:ListPipelines sagemaker:ListProcessingJobs sagemaker:ListTrainingJobs
		sso:GetApplicationAssignmentConfiguration sso:GetApplicationSessionConfiguration sso:ListApplicationAssignmentsForPrincipal
		s3:ListBucket states:DescribeExecution states:SendTaskFailure states:SendTaskSuccess states:StartExecution`,
	"preflight": `dynamodb:BatchGetItem dynamodb:GetItem dynamodb:PutItem dynamodb:Query
		ec2:DescribeNetworkAcls ec2:DescribeRouteTables ec2:DescribeSecurityGroups ec2:DescribeSubnets ec2:DescribeVpcAttribute ec2:DescribeVpcEndpoints`,
	"run-effects": `dynamodb:DescribeStream dynamodb:GetItem dynamodb:GetRecords dynamodb:GetShardIterator dynamodb:ListStreams dynamodb:PutItem dynamodb:Query dynamodb:UpdateItem
		events:PutEvents s3:ListBucket sqs:SendMessage states:DescribeExecution states:SendTaskFailure states:SendTaskSuccess states:StartExecution`,
}

// What every function may, and those behind a queue, those that reach Livy, and
// those of a table with a key of its own.
var (
	logging    = []string{"logs:CreateLogStream", "logs:PutLogEvents"}
	consuming  = []string{"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"}
	interfaces = []string{"ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses"}
	key        = []string{"kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"}
	behind     = []string{"on-logout", "on-revocation", "on-run-event"}
	livy       = []string{"on-revocation", "on-run-event", "on-schedule", "start-run", "observe-endpoint", "drain-endpoint", "repair"}
)

func TestPermissions(t *testing.T) {
	x := full(t)
	for _, f := range config.Functions() {
		fn := x.named(t, "AWS::Lambda::Function", "FunctionName", f)
		all, _ := x.statements(t, roleOf(fn))
		var got []string
		for _, s := range all {
			got = append(got, s.actions...)
		}
		slices.Sort(got)
		if d := slices.Compact(slices.Clone(got)); len(d) != len(got) && !slices.Contains([]string{"console", "on-schedule", "repair", "run-effects"}, f) {
			t.Errorf("%s: an action is allowed twice: %v", f, got)
		}
		got = slices.Compact(got)
		want := append(strings.Fields(allowed[f]), append(slices.Clone(logging), key...)...)
		if slices.Contains(behind, f) {
			want = append(want, consuming...)
		}
		if slices.Contains(livy, f) {
			want = append(want, interfaces...)
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s may %v\nwant %v", f, got, want)
		}
		for _, a := range got {
			if strings.Contains(a, "*") {
				t.Errorf("%s: the action %s is not one action", f, a)
			}
		}
		role := x.Resources[roleOf(fn)]
		if role.Properties["ManagedPolicyArns"] != nil || role.Properties["Policies"] != nil {
			t.Errorf("%s: its role has policies that nobody looked at", f)
		}
	}
}

// Without endpoints, job roles and the like there is nothing to reach: none of
// the permissions that concern engines is there.
func TestPermissionsOfNothingConfigured(t *testing.T) {
	x := bare(t)
	for _, f := range config.Functions() {
		all, _ := x.statements(t, roleOf(x.named(t, "AWS::Lambda::Function", "FunctionName", f)))
		for _, s := range all {
			for _, a := range s.actions {
				for _, no := range []string{"sagemaker:", "emr-containers:", "elasticmapreduce:", "iam:", "ec2:", "kms:", "sso:GetApplicationSession", "secretsmanager:"} {
					if strings.HasPrefix(a, no) {
						t.Errorf("%s may %s with nothing configured", f, a)
					}
				}
			}
		}
	}
}

// wildcards are the statements with a "*" in a resource, each with the words
// that its reason begins with; the reason stands in grants.go and, for auditors,
// in the template.
var wildcards = map[string]string{
	"User":                 "Events and runs name any user of the store",
	"Groups":               "Events name any user of the store",
	"Assignments":          "An event may tell of any application",
	"Replay":               "CloudTrail's LookupEvents knows no resources",
	"ListJobRuns":          "Job runs have ids that nobody knows before",
	"DescribeJobRun":       "Job runs have ids that nobody knows before",
	"CancelJobRun":         "Job runs have ids that nobody knows before",
	"StartJobRun":          "Job runs have ids that nobody knows before",
	"TagJobRun":            "Job runs have ids that nobody knows before",
	"ListVirtualClusters":  "EMR on EKS's ListVirtualClusters knows no resources",
	"ListNotebooks":        "EMR's ListNotebookExecutions knows no resources",
	"DescribeNotebook":     "Notebook executions have ids that nobody knows before",
	"StopNotebook":         "Notebook executions have ids that nobody knows before",
	"StartNotebook":        "A start names any notebook",
	"TagNotebook":          "Notebook executions have ids that nobody knows before",
	"DescribeJob":          "Jobs have names that nobody knows before",
	"CreateJob":            "Jobs have names that nobody knows before",
	"StopJob":              "Jobs have names that nobody knows before",
	"ListJobs":             "SageMaker's lists of jobs and of pipelines know no resources",
	"ListExecutions":       "Users make pipelines",
	"DescribeExecution":    "Users make pipelines",
	"StartExecution":       "Users make pipelines",
	"StopExecution":        "Users make pipelines",
	"RetryExecution":       "Users make pipelines",
	"ReadRun":              "Callers name executions",
	"ReadExecutions":       "Callers name executions",
	"DescribeCluster":      "Callers name clusters",
	"TerminateCluster":     "Callers name clusters",
	"TagCluster":           "Callers name clusters",
	"CreateCluster":        "EMR's RunJobFlow knows no resources",
	"ListBootstrapActions": "Callers name clusters",
	"ListClusters":         "EMR's ListClusters knows no resources",
	"DescribeSubnets":      "EC2's descriptions know no resources",

	"CreateVirtualCluster":   "EMR on EKS's CreateVirtualCluster knows no resources",
	"TagVirtualCluster":      "Virtual clusters have ids that nobody knows before",
	"DeleteVirtualCluster":   "Virtual clusters have ids that nobody knows before",
	"DescribeVirtualCluster": "Virtual clusters have ids that nobody knows before",
	"FollowJobRun":           "Job runs have ids that nobody knows before",
	"Streams":                "DynamoDB's ListStreams",
	"Networks":               "EC2's descriptions know no resources",
	"IdentityCenter":         "Tokens, the catalog's tables and grants are of users",
	"ClusterLogs":            "EMR names logs by cluster and node",
	"Interfaces":             "Lambda makes the network interfaces",
	"(CDK)":                  "CloudWatch's calls that deliver logs know no resources",
}

func TestNoWildcardWithoutAReason(t *testing.T) {
	x := full(t)
	used := map[string]bool{}
	for _, role := range x.of(t, "AWS::IAM::Role") {
		all, policies := x.statements(t, role.id)
		for _, s := range all {
			for _, r := range s.resources {
				if !strings.Contains(r, "*") {
					continue
				}
				sid := s.sid
				if sid == "" {
					sid = "(CDK)"
				}
				used[sid] = true
				want, ok := wildcards[sid]
				if !ok {
					t.Errorf("%s: %s has the resource %s, and nobody says why", role.Properties["Description"], sid, r)
					continue
				}
				if s.sid != "" {
					want = sid + ": " + want
				}
				if !reasoned(policies, want, r) {
					t.Errorf("%s: the template has no reason %q for %s", role.Properties["Description"], want, r)
				}
			}
		}
	}
	for sid := range wildcards {
		if !used[sid] {
			t.Errorf("no statement %s has a wildcard any more", sid)
		}
	}
}

// here puts in for cdk-nag's words what the tests put in for CloudFormation's.
var here = strings.NewReplacer("<AWS::Partition>", "aws", "<AWS::Region>", region, "<AWS::AccountId>", accountID)

// reasoned looks for a suppression of that resource whose reason begins so.
func reasoned(policies []resource, reason, arn string) bool {
	for _, p := range policies {
		for _, s := range p.Metadata.Nag.Suppress {
			about := slices.ContainsFunc(s.AppliesTo, func(to any) bool { return to == "Resource::"+arn || here.Replace(fmt.Sprint(to)) == "Resource::"+arn })
			if s.ID == "AwsSolutions-IAM5" && strings.HasPrefix(s.Reason, reason) && about {
				return true
			}
		}
	}
	return false
}

// What a run is started with, where it may be stopped and whom a role may be
// given to are said to the letter.
func TestConditionsAndPlaces(t *testing.T) {
	x := full(t)
	find := func(f, sid string) statement {
		all, _ := x.statements(t, roleOf(x.named(t, "AWS::Lambda::Function", "FunctionName", f)))
		for _, s := range all {
			if s.sid == sid {
				return s
			}
		}
		t.Fatalf("%s has no statement %s", f, sid)
		return statement{}
	}
	for _, c := range []struct{ f, sid, want string }{
		{"start-run", "PassJobRole", `[arn:aws:iam::123456789012:role/training] map[StringEquals:map[iam:PassedToService:[elasticmapreduce.amazonaws.com sagemaker.amazonaws.com]]]`},
		{"start-run", "StartJobRun", `[arn:aws:emr-containers:us-east-1:123456789012:/virtualclusters/abc123 arn:aws:emr-containers:us-west-2:123456789012:/virtualclusters/*] map[ArnEquals:map[emr-containers:ExecutionRoleArn:[arn:aws:iam::123456789012:role/training]]]`},
		{"drain-endpoint", "CancelJobRun", `[arn:aws:emr-containers:us-east-1:123456789012:/virtualclusters/abc123/jobruns/* arn:aws:emr-containers:us-west-2:123456789012:/virtualclusters/*/jobruns/*] <nil>`},
		{"drain-endpoint", "StopJob", `[arn:aws:sagemaker:us-east-1:123456789012:training-job/* arn:aws:sagemaker:us-east-1:123456789012:processing-job/*] <nil>`},
		{"drain-endpoint", "StopExecution", `[arn:aws:sagemaker:us-east-1:123456789012:pipeline/*/execution/*] <nil>`},
		{"drain-endpoint", "StopNotebook", `[arn:aws:elasticmapreduce:us-east-1:123456789012:notebook-execution/*] <nil>`},
		{"start-run", "StartExecution", `[arn:aws:sagemaker:us-east-1:123456789012:pipeline/*] <nil>`},
		{"start-run", "StartNotebook", `[arn:aws:elasticmapreduce:us-east-1:123456789012:cluster/* arn:aws:elasticmapreduce:us-east-1:123456789012:editor/*] <nil>`},
		{"drain-endpoint", "Credentials1YONHTCP3YZKC", `[arn:aws:elasticmapreduce:us-east-1:123456789012:cluster/j-1YONHTCP3YZKC] map[ArnEquals:map[elasticmapreduce:ExecutionRoleArn:arn:aws:iam::123456789012:role/livy]]`},
		{"observe-endpoint", "User", `[arn:aws:identitystore::111122223333:identitystore/d-9067a1b2c3 arn:aws:identitystore:::user/*] <nil>`},
		{"on-run-event", "ListJobs", `[*] <nil>`},
		{"on-schedule", "User", `[arn:aws:identitystore::111122223333:identitystore/d-9067a1b2c3 arn:aws:identitystore:::user/*] <nil>`},
		{"on-schedule", "SessionsToken", `[arn:aws:secretsmanager:us-east-1:123456789012:secret:nightshift/portal-AbCdEf] <nil>`},
		{"drain-endpoint", "StartDrain", `[arn:aws:states:us-east-1:123456789012:stateMachine:nightshift-drain] <nil>`},
		{"run-effects", "Release", `[arn:aws:states:us-east-1:123456789012:stateMachine:nightshift-run arn:aws:states:us-east-1:123456789012:stateMachine:nightshift-process-in-vpc] <nil>`},
		{"preflight", "Networks", `[*] map[StringEquals:map[aws:RequestedRegion:[us-east-1]]]`},
		{"on-revocation", "User", `[arn:aws:identitystore::111122223333:identitystore/d-9067a1b2c3 arn:aws:identitystore:::user/*] <nil>`},
		{"on-logout", "Query", `[arn:aws:dynamodb:us-east-1:123456789012:table/table arn:aws:dynamodb:us-east-1:123456789012:table/table/index/gsi1 arn:aws:dynamodb:us-east-1:123456789012:table/table/index/gsi2 arn:aws:dynamodb:us-east-1:123456789012:table/table/index/gsi3 arn:aws:dynamodb:us-east-1:123456789012:table/table/index/gsi4] <nil>`},
		{"observe-endpoint", "Announce", `[arn:aws:events:us-east-1:123456789012:event-bus/nightshift] <nil>`},
	} {
		s := find(c.f, c.sid)
		if got := fmt.Sprintf("%v %v", s.resources, s.condition); got != c.want {
			t.Errorf("%s, %s: got %s\nwant %s", c.f, c.sid, got, c.want)
		}
	}
}

// Every function of functions/ is there, built for the same machine, with a log
// that is kept for a known time, a time limit that fits what invokes it, and
// concurrency reserved for those on which the promise hangs (S2.1), and for those
// whose calls share a quota (TestSharesOfQuotas).
func TestFunctions(t *testing.T) {
	x := full(t)
	fns := x.of(t, "AWS::Lambda::Function")
	if len(fns) != len(config.Functions()) {
		t.Errorf("%d functions in the template, %d in functions/", len(fns), len(config.Functions()))
	}
	roles := map[string]bool{}
	for _, f := range config.Functions() {
		fn := x.named(t, "AWS::Lambda::Function", "FunctionName", f)
		p := fn.Properties
		if got := fmt.Sprint(p["Runtime"], p["Architectures"], p["Handler"], at(p, "TracingConfig", "Mode")); got != "provided.al2023[arm64]bootstrap<nil>" {
			t.Errorf("%s: %s", f, got)
		}
		if roles[roleOf(fn)] {
			t.Errorf("%s shares its role", f)
		}
		roles[roleOf(fn)] = true
		group, _ := at(p, "LoggingConfig", "LogGroup", "Ref").(string)
		if x.Resources[group].Properties["RetentionInDays"] != 90.0 {
			t.Errorf("%s: its log is kept for %v days", f, x.Resources[group].Properties["RetentionInDays"])
		}
		want := map[string]any{"on-logout": 10.0, "drain-endpoint": 5.0, "observe-endpoint": 5.0, "on-schedule": 1.0, "on-revocation": 2.0, "repair": 1.0}[f]
		if p["ReservedConcurrentExecutions"] != want {
			t.Errorf("%s: reserved concurrency %v, want %v", f, p["ReservedConcurrentExecutions"], want)
		}
		limit := p["Timeout"].(float64)
		switch {
		case slices.Contains(behind, f) && limit >= config.QueueVisibility:
			t.Errorf("%s: %v s; its messages come again after %d", f, limit, config.QueueVisibility)
		case f == "repair" && (limit < 25 || limit >= 30):
			t.Errorf("%s: %v s; API Gateway gives up after 30, and a repair asks an engine for 8", f, limit)
		case !slices.Contains(behind, f) && f != "on-schedule" && f != "repair" && (limit < 35 || limit >= 60):
			t.Errorf("%s: %v s; a call of Livy may take 30 s, a task 60 s", f, limit)
		}
		if inside := p["VpcConfig"] != nil; inside != slices.Contains(livy, f) {
			t.Errorf("%s: in the clusters' VPC: %t", f, inside)
		}
	}
	if bare(t).named(t, "AWS::Lambda::Function", "FunctionName", "drain-endpoint").Properties["VpcConfig"] != nil {
		t.Error("without Livy a function is in a VPC")
	}
}

// What AWS allows all callers together, functions share by construction: whoever
// may make such a call has a bounded number of instances, and what all of them pace
// themselves to is no more than the quota (S3.5b, S3.5c).
func TestSharesOfQuotas(t *testing.T) {
	x := full(t)
	for _, c := range []struct {
		action string
		quota  float64 // calls a second that we take at most
		of     func(config.Share) float64
	}{
		{"identitystore:DescribeUser", cadence.DirectoryPerSecond, func(s config.Share) float64 { return s.Users }},
		{"identitystore:ListUsers", cadence.DirectoryPerSecond, func(s config.Share) float64 { return s.Lists }},
		{"identitystore:GetUserId", cadence.DirectoryPerSecond, func(s config.Share) float64 { return s.Names }},
		{"identitystore:ListGroupMembershipsForMember", cadence.DirectoryPerSecond, func(s config.Share) float64 { return s.Members }},
		{"sso:ListApplicationAssignmentsForPrincipal", cadence.CenterPerSecond, func(s config.Share) float64 { return s.Assignments }},
		{"cloudtrail:LookupEvents", cadence.TrailPerSecond, func(s config.Share) float64 { return s.Events }},
	} {
		total, callers := 0.0, 0
		for _, f := range config.Functions() {
			fn := x.named(t, "AWS::Lambda::Function", "FunctionName", f)
			all, _ := x.statements(t, roleOf(fn))
			may := slices.ContainsFunc(all, func(s statement) bool { return slices.Contains(s.actions, c.action) })
			variables, _ := at(fn.Properties, "Environment", "Variables").(map[string]any)
			told, err := config.Load(func(v string) string {
				if v == config.Region {
					return region
				}
				return x.flat(variables[v])
			})
			if err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			each := c.of(config.ShareOf(f, len(told.Endpoints)))
			if may != (each > 0) {
				t.Errorf("%s: may %s: %t, and has %g calls a second for it", f, c.action, may, each)
			}
			if !may {
				continue
			}
			instances, bounded := fn.Properties["ReservedConcurrentExecutions"].(float64)
			if !bounded {
				t.Errorf("%s calls %s, and has no bound on its instances", f, c.action)
			}
			total, callers = total+instances*each, callers+1
		}
		if total > c.quota+1e-9 || callers == 0 {
			t.Errorf("%s: %d functions make up to %g calls a second together, %g are allowed", c.action, callers, total, c.quota)
		}
	}
}
