package stack

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"

	"nightshift/internal/ddbstore/schema"
	"nightshift/statemachines"
)

// The APIs of endpoints, as their ids begin.
const (
	apiLivy          = "livy"
	apiEMRContainers = "emr-containers"
	apiSageMaker     = "sagemaker"
)

// capability is something a function's use cases do.
type capability string

const (
	get      capability = "get"      // read one item of the table
	query    capability = "query"    // read lists of the table
	write    capability = "write"    // write the table
	open     capability = "open"     // open sessions, on a condition on the user
	facts    capability = "facts"    // read an application's setting
	user     capability = "user"     // read a user's status
	access   capability = "access"   // read who is assigned to applications
	replay   capability = "replay"   // read the event history
	announce capability = "announce" // speak on our bus
	watch    capability = "watch"    // start watches
	drain    capability = "drain"    // start drains
	release  capability = "release"  // release executions that wait
	look     capability = "look"     // list runs
	describe capability = "describe" // ask about one run
	start    capability = "start"    // start runs
	stop     capability = "stop"     // stop runs
)

// does says what each function does, which follows from its use cases in
// internal/app: events write facts, which never open a session unless they tell
// of a birth, and ask the engine about a run that nobody owns yet; the sweep and
// the watch look, adopt and replay; only a drain stops runs, only start-run
// starts them. on-logout is told no endpoints, so it asks no engine.
var does = map[string][]capability{
	"on-logout":        {get, query, write},
	"on-revocation":    {get, query, write, user, access, describe},
	"on-run-event":     {get, query, write, open, facts, describe},
	"on-schedule":      {get, query, write, open, facts, user, access, replay, announce, watch, drain, release, look, describe},
	"open-session":     {get, write, open, facts},
	"start-run":        {get, write, release, describe, start},
	"observe-endpoint": {get, query, write, open, facts, announce, watch, look, describe},
	"drain-endpoint":   {get, query, write, drain, look, describe, stop},
	"run-effects":      {get, write, announce, watch, drain, release},
}

// grant is one statement of a role's policy. Where a resource has a "*" in it,
// why must say why: it becomes the suppression that cdk-nag asks for, and stands
// in the template.
type grant struct {
	sid       string
	actions   []string
	resources []resource
	condition map[string]any
	why       string
}

// resource is what a statement is about.
type resource struct {
	arn  *string
	wild string // as cdk-nag writes it, where it has a "*" in it; else ""
}

// exact are resources that are told to the letter.
func exact(arns ...*string) []resource {
	all := make([]resource, len(arns))
	for i, a := range arns {
		all[i] = resource{arn: a}
	}
	return all
}

// anything is for calls that know no resources.
func anything() []resource { return []resource{{arn: text("*"), wild: "*"}} }

// arn is an ARN with the stack's own partition, region and account where the
// format has ${P}, ${R} and ${A}.
func arn(format string, args ...any) resource {
	pattern := strings.NewReplacer("${P}", "${AWS::Partition}", "${R}", "${AWS::Region}", "${A}", "${AWS::AccountId}").Replace(fmt.Sprintf(format, args...))
	r := resource{arn: awscdk.Fn_Sub(text(pattern), nil)}
	if strings.Contains(pattern, "*") {
		r.wild = strings.NewReplacer("${", "<", "}", ">").Replace(pattern)
	}
	return r
}

// allow adds a statement to a role.
func (d *deployment) allow(role awsiam.Role, g grant) {
	if len(g.resources) == 0 {
		return // nothing is configured that it could be used on
	}
	arns := make([]*string, len(g.resources))
	for i, r := range g.resources {
		arns[i] = r.arn
		if r.wild == "" {
			continue
		}
		if g.why == "" {
			panic("statement " + g.sid + " has a * in a resource and no reason") // a defect of this package
		}
		accept(role, "AwsSolutions-IAM5", g.sid+": "+g.why, "Resource::"+r.wild)
	}
	props := &awsiam.PolicyStatementProps{
		Sid: text(g.sid), Effect: awsiam.Effect_ALLOW, Actions: texts(g.actions...), Resources: &arns,
	}
	if g.condition != nil {
		props.Conditions = &g.condition
	}
	role.AddToPolicy(awsiam.NewPolicyStatement(props))
}

// grants gives a function's role what its capabilities need, and what its
// invokers and its log need.
func (d *deployment) grants(f string, role awsiam.Role, group awslogs.LogGroup) {
	d.allow(role, grant{sid: "Log", actions: []string{"logs:CreateLogStream", "logs:PutLogEvents"}, resources: exact(group.LogGroupArn())})
	for _, c := range does[f] {
		for _, g := range d.grantsOf(c) {
			d.allow(role, g)
		}
	}
	if q := d.queues[f]; q != nil {
		d.allow(role, grant{sid: "Queue", actions: []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"}, resources: exact(q.QueueArn())})
	}
	if q := d.failed[f]; q != nil {
		d.allow(role, grant{sid: "OnFailure", actions: []string{"sqs:SendMessage"}, resources: exact(q.QueueArn())})
	}
	if f == streamed {
		d.allow(role, grant{sid: "Stream", actions: []string{"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"}, resources: exact(d.table.TableStreamArn())})
		d.allow(role, grant{
			sid: "Streams", actions: []string{"dynamodb:ListStreams"}, resources: anything(),
			why: "DynamoDB's ListStreams, which the event source needs, knows no resources.",
		})
	}
	if d.key != nil {
		d.allow(role, grant{
			sid: "Key", actions: []string{"kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"},
			resources: exact(d.key.KeyArn()),
			condition: map[string]any{"StringEquals": map[string]any{"kms:ViaService": awscdk.Fn_Sub(text("dynamodb.${AWS::Region}.amazonaws.com"), nil)}},
		})
	}
	if d.callsLivy(f) {
		d.allow(role, grant{
			sid: "Interfaces", actions: []string{"ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"},
			resources: anything(),
			why:       "Lambda makes the network interfaces of a function in a VPC with the function's role, and does not say their names before (Lambda developer guide, VPC).",
		})
	}
}

// callsLivy says whether a function talks to a Livy server, which is reached
// inside its cluster's VPC only.
func (d *deployment) callsLivy(f string) bool {
	return len(d.LivySubnets) > 0 && slices.ContainsFunc(does[f], func(c capability) bool { return slices.Contains([]capability{look, describe, start, stop}, c) })
}

func (d *deployment) grantsOf(c capability) []grant {
	table := exact(d.table.TableArn())
	switch c {
	case get:
		return []grant{{sid: "Get", actions: []string{"dynamodb:GetItem"}, resources: table}}
	case query:
		places := slices.Clone(table)
		for _, i := range schema.Definition().Indexes {
			places = append(places, exact(awscdk.Fn_Join(text("/index/"), &[]*string{d.table.TableArn(), text(i.Name)}))...)
		}
		return []grant{
			{sid: "GetMany", actions: []string{"dynamodb:BatchGetItem"}, resources: table},
			{sid: "Query", actions: []string{"dynamodb:Query"}, resources: places},
		}
	case write:
		return []grant{{sid: "Write", actions: []string{"dynamodb:PutItem", "dynamodb:UpdateItem"}, resources: table}}
	case open:
		return []grant{{sid: "Open", actions: []string{"dynamodb:ConditionCheckItem"}, resources: table}}
	case announce:
		return []grant{{sid: "Announce", actions: []string{"events:PutEvents"}, resources: exact(d.busArn)}}
	case watch:
		return []grant{{sid: "StartWatch", actions: []string{"states:StartExecution"}, resources: exact(d.machineArn(statemachines.Watch))}}
	case drain:
		return []grant{{sid: "StartDrain", actions: []string{"states:StartExecution"}, resources: exact(d.machineArn(statemachines.Drain))}}
	case release:
		return []grant{{sid: "Release", actions: []string{"states:SendTaskSuccess", "states:SendTaskFailure"}, resources: exact(d.machineArn(statemachines.Run))}}
	case facts, user, access, replay:
		return d.identityGrants(c)
	case look, describe, start, stop:
		return append(d.emrGrants(c), d.sagemakerGrants(c)...)
	}
	panic("nobody says what " + string(c) + " needs") // a defect of this file
}

// identityGrants reach Identity Center, which may be another account's.
func (d *deployment) identityGrants(c capability) []grant {
	account := d.IdentityAccount
	if account == "" {
		account = "${A}"
	}
	store := arn("arn:${P}:identitystore::%s:identitystore/%s", account, d.IdentityStore)
	switch c {
	case facts:
		return []grant{{sid: "Facts", actions: []string{"sso:GetApplicationSessionConfiguration"}, resources: exact(d.applications()...)}}
	case user:
		return []grant{{
			sid: "User", actions: []string{"identitystore:DescribeUser"}, resources: []resource{store, arn("arn:${P}:identitystore:::user/*")},
			why: "Events name any user of the store; only the status is read, and only in this one store.",
		}}
	case access:
		return []grant{{
			sid: "Groups", actions: []string{"identitystore:ListGroupMembershipsForMember"},
			resources: []resource{store, arn("arn:${P}:identitystore:::user/*"), arn("arn:${P}:identitystore:::group/*"), arn("arn:${P}:identitystore:::membership/*")},
			why:       "Events name any user of the store, whose groups are not known before; reading, in this one store.",
		}, {
			sid: "Assignments", actions: []string{"sso:ListApplicationAssignmentsForPrincipal"}, resources: anything(),
			why: "An event may tell of any application and any instance that has it; reading only.",
		}}
	}
	return []grant{{
		sid: "Replay", actions: []string{"cloudtrail:LookupEvents"}, resources: anything(),
		why: "CloudTrail's LookupEvents knows no resources (service authorization reference).",
	}}
}

// applications lists the Identity Center applications of the endpoints.
func (d *deployment) applications() []*string {
	var names []string
	for _, e := range d.Endpoints {
		if e.ApplicationARN != "" {
			names = append(names, e.ApplicationARN)
		}
	}
	slices.Sort(names)
	return *texts(slices.Compact(names)...)
}

// emrGrants reach the virtual clusters of the endpoints: those that are named,
// else all of their account and region.
func (d *deployment) emrGrants(c capability) []grant {
	var clusters, runs []resource
	every := false
	for _, e := range d.Endpoints {
		if e.API != apiEMRContainers {
			continue
		}
		place := "arn:${P}:emr-containers:" + e.Region + ":" + strings.Split(e.ID, "/")[1] + ":/virtualclusters/"
		names := e.VirtualClusters
		if len(names) == 0 {
			names, every = []string{"*"}, true
		}
		for _, v := range names {
			clusters, runs = append(clusters, arn("%s%s", place, v)), append(runs, arn("%s%s/jobruns/*", place, v))
		}
	}
	const why = "Job runs have ids that nobody knows before, and an endpoint that names no virtual clusters has all of its account and region."
	switch c {
	case look:
		all := []grant{{sid: "ListJobRuns", actions: []string{"emr-containers:ListJobRuns"}, resources: clusters, why: why}}
		if every {
			all = append(all, grant{
				sid: "ListVirtualClusters", actions: []string{"emr-containers:ListVirtualClusters"}, resources: anything(),
				why: "EMR on EKS's ListVirtualClusters knows no resources (service authorization reference).",
			})
		}
		return all
	case describe:
		return []grant{{sid: "DescribeJobRun", actions: []string{"emr-containers:DescribeJobRun"}, resources: runs, why: why}}
	case stop:
		return []grant{{sid: "CancelJobRun", actions: []string{"emr-containers:CancelJobRun"}, resources: runs, why: why}}
	}
	if len(d.JobRoles) == 0 {
		return nil
	}
	return []grant{
		{
			sid: "StartJobRun", actions: []string{"emr-containers:StartJobRun"}, resources: clusters, why: why,
			condition: map[string]any{"ArnEquals": map[string]any{"emr-containers:ExecutionRoleArn": texts(d.JobRoles...)}},
		},
		{sid: "TagJobRun", actions: []string{"emr-containers:TagResource"}, resources: append(slices.Clone(clusters), runs...), why: why},
	}
}

// sagemakerGrants reach the training jobs of the endpoints' accounts and regions.
func (d *deployment) sagemakerGrants(c capability) []grant {
	var jobs []resource
	for _, e := range d.Endpoints {
		if e.API == apiSageMaker {
			jobs = append(jobs, arn("arn:${P}:sagemaker:%s:%s:training-job/*", e.Region, strings.Split(e.ID, "/")[1]))
		}
	}
	const why = "Training jobs have names that nobody knows before; only jobs of the configured account and region."
	if len(jobs) == 0 {
		return nil
	}
	switch c {
	case look:
		return []grant{{
			sid: "ListTrainingJobs", actions: []string{"sagemaker:ListTrainingJobs"}, resources: anything(),
			why: "SageMaker's ListTrainingJobs knows no resources (service authorization reference).",
		}}
	case describe:
		return []grant{{sid: "DescribeTrainingJob", actions: []string{"sagemaker:DescribeTrainingJob", "sagemaker:ListTags"}, resources: jobs, why: why}}
	case stop:
		return []grant{{sid: "StopTrainingJob", actions: []string{"sagemaker:StopTrainingJob"}, resources: jobs, why: why}}
	}
	if len(d.JobRoles) == 0 {
		return nil
	}
	return []grant{
		{sid: "CreateTrainingJob", actions: []string{"sagemaker:CreateTrainingJob", "sagemaker:AddTags"}, resources: jobs, why: why},
		{
			sid: "PassJobRole", actions: []string{"iam:PassRole"}, resources: exact(*texts(d.JobRoles...)...),
			condition: map[string]any{"StringEquals": map[string]any{"iam:PassedToService": "sagemaker.amazonaws.com"}},
		},
	}
}
