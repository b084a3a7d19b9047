package stack

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"

	"nightshift/internal/config"
	"nightshift/internal/ddbstore/schema"
	"nightshift/internal/obs/panel"
	"nightshift/statemachines"
)

// The APIs of endpoints, as their ids begin.
const (
	apiLivy          = "livy"
	apiEMRContainers = "emr-containers"
	apiEMRNotebook   = "emr-notebook"
	apiSageMaker     = "sagemaker"
)

// capability is something a function's use cases do.
type capability string

const (
	get      capability = "get"      // read one item of the table
	query    capability = "query"    // read lists of the table
	fetch    capability = "fetch"    // read what a list names, many items at once
	write    capability = "write"    // put items into the table
	amend    capability = "amend"    // change items of the table in place
	open     capability = "open"     // open sessions, on a condition on the user
	facts    capability = "facts"    // read an application's setting
	user     capability = "user"     // read a user's status
	naming   capability = "naming"   // read whose a user name is
	users    capability = "users"    // read all users' statuses
	access   capability = "access"   // read who is assigned to applications
	replay   capability = "replay"   // read the event history
	portal   capability = "portal"   // ask the session source, with its token
	announce capability = "announce" // speak on our bus
	watch    capability = "watch"    // start watches
	drain    capability = "drain"    // start drains
	release  capability = "release"  // release executions that wait
	aborted  capability = "aborted"  // list executions that wait
	look     capability = "look"     // list runs
	letters  capability = "letters"  // list SageMaker's jobs, for a name's own letters
	describe capability = "describe" // ask about one run
	earlier  capability = "earlier"  // ask about a run that a start before this one left
	start    capability = "start"    // start runs
	stop     capability = "stop"     // stop runs
	networks capability = "networks" // read the network of jobs
	rerun    capability = "rerun"    // start a session's run again
	resume   capability = "resume"   // take moves of notebooks up again
	moving   capability = "moving"   // move notebooks
	reread   capability = "reread"   // read with what runs were started
	saved    capability = "saved"    // list checkpoints
)

// does says what each function does, which follows from its use cases in
// internal/app: events write facts, which never open a session unless they tell
// of a birth, and ask the engine about a run that nobody owns yet (of a job of
// SageMaker an ARN does not tell the letters of its name, which only a list does);
// the sweep and the watch look, adopt and replay; only a drain stops runs, only start-run
// starts them. on-logout is told no endpoints, so it asks no engine. repair does what
// the sweep, the watch and the queues' functions do, once, when a person says so.
var does = map[string][]capability{
	"on-logout":        {get, query, fetch, write, amend},
	"on-revocation":    {get, query, fetch, write, amend, user, access, describe, letters},
	"on-run-event":     {get, query, fetch, write, amend, open, facts, describe, letters},
	"on-schedule":      {get, query, fetch, write, amend, open, facts, user, naming, users, access, replay, aborted, portal, announce, watch, drain, release, look, describe, resume, saved},
	"open-session":     {get, query, write, open, facts},
	"start-run":        {get, query, fetch, write, amend, release, earlier, letters, start},
	"observe-endpoint": {get, query, fetch, write, amend, open, facts, naming, announce, watch, look, describe},
	"drain-endpoint":   {get, query, fetch, write, amend, drain, look, describe, stop},
	"run-effects":      {get, query, write, amend, announce, watch, drain, release, reread, saved},
	"console":          {get, query, fetch, write, rerun, saved},
	"restart-session":  {get, query, write, rerun},
	"move-notebook":    {get, query, fetch, write, announce, moving},
	"preflight":        {get, query, fetch, write, networks},
	"repair":           {get, query, fetch, write, amend, open, facts, user, naming, access, announce, watch, drain, release, look, describe, reread, saved},
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
	shared    bool // of the same resources as others of its name
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
	}
	props := &awsiam.PolicyStatementProps{
		Sid: text(g.sid), Effect: awsiam.Effect_ALLOW, Actions: texts(g.actions...), Resources: &arns,
	}
	if g.condition != nil {
		props.Conditions = &g.condition
	}
	role.AddToPolicy(awsiam.NewPolicyStatement(props))
	// Once there is a policy: a reason is noted on what the role has by then.
	for _, r := range g.resources {
		if r.wild == "" {
			continue
		}
		if g.why == "" {
			panic("statement " + g.sid + " has a * in a resource and no reason") // a defect of this package
		}
		accept(role, "AwsSolutions-IAM5", g.sid+": "+g.why, "Resource::"+r.wild)
	}
}

// grants gives a function's role what its capabilities need, and what its
// invokers and its log need.
func (d *deployment) grants(f string, role awsiam.Role, group awslogs.LogGroup) {
	d.allow(role, grant{sid: "Log", actions: []string{"logs:CreateLogStream", "logs:PutLogEvents"}, resources: exact(group.LogGroupArn())})
	for _, g := range together(f, d.grantsOf) {
		d.allow(role, g)
	}
	if q := d.queues[f]; q != nil {
		d.allow(role, grant{sid: "Queue", actions: []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}, resources: exact(q.QueueArn())})
	}
	if q := d.failed[f]; q != nil {
		d.allow(role, grant{sid: "OnFailure", actions: []string{"sqs:SendMessage"}, resources: exact(q.QueueArn())})
	}
	if f == panel.Streamed {
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
	for _, g := range d.credentials(f) {
		d.allow(role, g)
	}
	if d.callsLivy(f) {
		d.allow(role, grant{
			sid: "Interfaces", actions: []string{"ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"},
			resources: anything(),
			why:       "Lambda makes the network interfaces of a function in a VPC with the function's role, and does not say their names before (Lambda developer guide, VPC).",
		})
	}
	// Last, because it has no "*": where a role's policy is too long, the CDK cuts off its end.
	d.allow(role, d.takesOn(f))
}

// together are the statements that a function's capabilities need, by what a
// capability needs.
func together(f string, of func(capability) []grant) []grant {
	var all []grant
	for _, c := range does[f] {
		for _, g := range of(c) {
			// Capabilities whose statements have one name are about the same resources:
			// one statement says them all, for a role's policies may be 10,240 bytes long.
			if i := slices.IndexFunc(all, func(of grant) bool { return of.sid == g.sid && of.shared && g.shared }); i >= 0 {
				all[i].actions = append(all[i].actions, g.actions...)
				continue
			}
			all = append(all, g)
		}
	}
	return all
}

// callsLivy says whether a function talks to a Livy server, which is reached
// inside its cluster's VPC only.
func (d *deployment) callsLivy(f string) bool {
	return len(d.LivySubnets) > 0 && callsEngines(f)
}

func callsEngines(f string) bool {
	return slices.ContainsFunc(does[f], func(c capability) bool { return slices.Contains([]capability{look, describe, start, stop}, c) })
}

// credentials let a function that calls engines ask EMR for what it presents to a
// cluster's Livy server: for each such cluster in the name of the one runtime role
// that the endpoint says.
func (d *deployment) credentials(f string) []grant {
	var all []grant
	for _, e := range d.engines {
		if e.Livy.Role == "" || !callsEngines(f) {
			continue
		}
		all = append(all, grant{
			sid: "Credentials" + strings.TrimPrefix(e.Livy.Cluster, "j-"), actions: []string{"elasticmapreduce:GetClusterSessionCredentials"},
			resources: []resource{arn("arn:${P}:elasticmapreduce:${R}:${A}:cluster/%s", e.Livy.Cluster)},
			condition: map[string]any{"ArnEquals": map[string]any{"elasticmapreduce:ExecutionRoleArn": e.Livy.Role}},
		})
	}
	return all
}

func (d *deployment) grantsOf(c capability) []grant {
	table := exact(d.table.TableArn())
	switch c {
	case get:
		return []grant{{sid: "Table", shared: true, actions: []string{"dynamodb:GetItem"}, resources: table}}
	case query:
		places := slices.Clone(table)
		for _, i := range schema.Definition().Indexes {
			places = append(places, exact(awscdk.Fn_Join(text("/index/"), &[]*string{d.table.TableArn(), text(i.Name)}))...)
		}
		return []grant{{sid: "Query", actions: []string{"dynamodb:Query"}, resources: places}}
	case fetch:
		return []grant{{sid: "Table", shared: true, actions: []string{"dynamodb:BatchGetItem"}, resources: table}}
	case write:
		return []grant{{sid: "Table", shared: true, actions: []string{"dynamodb:PutItem"}, resources: table}}
	case amend:
		return []grant{{sid: "Table", shared: true, actions: []string{"dynamodb:UpdateItem"}, resources: table}}
	case open:
		return []grant{{sid: "Table", shared: true, actions: []string{"dynamodb:ConditionCheckItem"}, resources: table}}
	case announce:
		return []grant{{sid: "Announce", actions: []string{"events:PutEvents"}, resources: exact(d.busArn)}}
	case watch:
		return []grant{{sid: "StartWatch", actions: []string{"states:StartExecution"}, resources: exact(d.machineArn(statemachines.Watch))}}
	case drain:
		return []grant{{sid: "StartDrain", actions: []string{"states:StartExecution"}, resources: exact(d.machineArn(statemachines.Drain))}}
	case release:
		return []grant{{sid: "Release", actions: []string{"states:SendTaskSuccess", "states:SendTaskFailure"}, resources: exact(d.machineArn(statemachines.Run), d.machineArn(statemachines.ProcessInVPC))}}
	case aborted:
		return []grant{{
			sid: "AbortedExecutions", actions: []string{"states:ListExecutions"},
			resources: exact(d.machineArn(statemachines.Run), d.machineArn(statemachines.SubmitJobRun), d.machineArn(statemachines.ProcessInVPC)),
		}}
	case portal:
		// A secret that is encrypted with a key of somebody's own needs that key's
		// policy to admit this role: infra knows the secret, not its key.
		var secret []resource
		if s := d.Chosen[config.SessionsTokenSecret]; s != "" {
			secret = exact(text(s))
		}
		return []grant{{sid: "SessionsToken", actions: []string{"secretsmanager:GetSecretValue"}, resources: secret}}
	case rerun:
		return d.rerunGrants()
	case resume:
		return []grant{
			{sid: "StartMove", actions: []string{"states:StartExecution"}, resources: exact(d.machineArn(statemachines.MoveNotebook))},
			d.readExecutions(),
		}
	case moving:
		return append(d.grantsThere(c), grant{sid: "StartRun", actions: []string{"states:StartExecution"}, resources: exact(d.machineArn(statemachines.Run))}, d.readExecutions())
	case reread:
		return []grant{d.readRun()}
	case saved:
		return d.checkpointGrants()
	case facts, user, naming, users, access, replay, networks, letters, earlier, look, describe, start, stop:
		return d.grantsThere(c)
	}
	panic("nobody says what " + string(c) + " needs") // a defect of this file
}

// grantsThere are what a capability needs where engines and Identity Center are,
// which may be a member's place; nothing for one that needs nothing there.
func (d *deployment) grantsThere(c capability) []grant {
	switch c {
	case facts, user, naming, users, access, replay:
		if d.center {
			return d.identityGrants(c)
		}
	case networks:
		return d.networkGrants()
	case letters:
		return d.sagemakerGrants(c)
	case moving:
		return d.notebookGrants(describe)
	case earlier: // EMR on EKS knows a start again by its token
		return slices.Concat(d.notebookGrants(describe), d.sagemakerGrants(describe))
	case look, describe, start, stop:
		all := slices.Concat(d.emrGrants(c), d.notebookGrants(c), d.sagemakerGrants(c))
		if c == start {
			all = append(all, d.passing()...)
		}
		return all
	}
	return nil
}

// identityGrants reach Identity Center, which may be another account's.
func (d *deployment) identityGrants(c capability) []grant {
	account := d.IdentityAccount
	if account == "" {
		account = "${A}"
	}
	store := arn("arn:${P}:identitystore::%s:identitystore/%s", account, d.IdentityStore)
	people := func(action string) []grant {
		return []grant{{
			sid: "User", actions: []string{action}, resources: []resource{store, arn("arn:${P}:identitystore:::user/*")}, shared: true,
			why: "Events and runs name any user of the store, and where many have sessions all are listed; only status, id and name are read, and only in this one store.",
		}}
	}
	switch c {
	case facts:
		return []grant{{sid: "Facts", actions: []string{"sso:GetApplicationSessionConfiguration"}, resources: exact(d.applications()...)}}
	case user:
		return people("identitystore:DescribeUser")
	case naming:
		return people("identitystore:GetUserId")
	case users:
		return people("identitystore:ListUsers")
	case access:
		return []grant{{
			sid: "Groups", actions: []string{"identitystore:ListGroupMembershipsForMember"},
			resources: []resource{store, arn("arn:${P}:identitystore:::user/*"), arn("arn:${P}:identitystore:::group/*"), arn("arn:${P}:identitystore:::membership/*")},
			why:       "Events name any user of the store, whose groups are not known before; reading, in this one store.",
		}, {
			sid: "Assignments", actions: []string{"sso:GetApplicationAssignmentConfiguration", "sso:ListApplicationAssignmentsForPrincipal"}, resources: anything(),
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
	for _, e := range d.Endpoints { // of all members: an application is Identity Center's
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
	for _, e := range d.engines {
		if e.API != apiEMRContainers {
			continue
		}
		place := "arn:${P}:emr-containers:" + e.Region + ":" + e.Account() + ":/virtualclusters/"
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
	if len(d.runRoles) == 0 {
		return nil
	}
	return []grant{
		{
			sid: "StartJobRun", actions: []string{"emr-containers:StartJobRun"}, resources: clusters, why: why,
			condition: map[string]any{"ArnEquals": map[string]any{"emr-containers:ExecutionRoleArn": texts(d.runRoles...)}},
		},
		{sid: "TagJobRun", actions: []string{"emr-containers:TagResource"}, resources: append(slices.Clone(clusters), runs...), why: why},
	}
}

// places are the beginnings of the ARNs of a service's resources in the accounts
// and regions of an API's endpoints.
func (d *deployment) places(api, service string) []string {
	var all []string
	for _, e := range d.engines {
		if e.API == api {
			all = append(all, "arn:${P}:"+service+":"+e.Region+":"+e.Account()+":")
		}
	}
	return all
}

// resources names kinds of resources at places.
func resources(places []string, kinds ...string) []resource {
	var all []resource
	for _, p := range places {
		for _, k := range kinds {
			all = append(all, arn("%s%s", p, k))
		}
	}
	return all
}

// notebookGrants reach the notebook executions of the endpoints' accounts and
// regions. A start looks for an earlier one of its session first.
func (d *deployment) notebookGrants(c capability) []grant {
	places := d.places(apiEMRNotebook, "elasticmapreduce")
	if len(places) == 0 {
		return nil
	}
	const why = "Notebook executions have ids that nobody knows before; only those of the configured account and region."
	executions := resources(places, "notebook-execution/*")
	list := grant{
		sid: "ListNotebooks", actions: []string{"elasticmapreduce:ListNotebookExecutions"}, resources: anything(),
		why: "EMR's ListNotebookExecutions knows no resources (service authorization reference).",
	}
	switch c {
	case look:
		return []grant{list}
	case describe:
		return []grant{{sid: "DescribeNotebook", actions: []string{"elasticmapreduce:DescribeNotebookExecution"}, resources: executions, why: why}}
	case stop:
		return []grant{{sid: "StopNotebook", actions: []string{"elasticmapreduce:StopNotebookExecution"}, resources: executions, why: why}}
	}
	if len(d.runRoles) == 0 {
		return nil
	}
	return []grant{list, {
		sid: "StartNotebook", actions: []string{"elasticmapreduce:StartNotebookExecution"}, resources: resources(places, "cluster/*", "editor/*"),
		why: "A start names any notebook, and any cluster of the configured account and region to run it on.",
	}, {sid: "TagNotebook", actions: []string{"elasticmapreduce:AddTags"}, resources: executions, why: why}}
}

// sagemakerGrants reach the training jobs, processing jobs and pipelines of the
// endpoints' accounts and regions. A start looks for an earlier execution of its
// session first.
func (d *deployment) sagemakerGrants(c capability) []grant {
	places := d.places(apiSageMaker, "sagemaker")
	if len(places) == 0 {
		return nil
	}
	const (
		whyJobs      = "Jobs have names that nobody knows before; only jobs of the configured account and region."
		whyPipelines = "Users make pipelines, and executions have ids, that nobody knows before; only those of the configured account and region."
	)
	jobs := resources(places, "training-job/*", "processing-job/*")
	pipelines, executions := resources(places, "pipeline/*"), resources(places, "pipeline/*/execution/*")
	list := grant{sid: "ListExecutions", actions: []string{"sagemaker:ListPipelineExecutions"}, resources: pipelines, why: whyPipelines}
	jobLists := grant{
		sid: "ListJobs", actions: []string{"sagemaker:ListTrainingJobs", "sagemaker:ListProcessingJobs"}, resources: anything(),
		why: "SageMaker's lists of jobs and of pipelines know no resources (service authorization reference).",
	}
	switch c {
	case letters:
		return []grant{jobLists}
	case look:
		jobLists.actions = append(jobLists.actions, "sagemaker:ListPipelines")
		return []grant{jobLists, list}
	case describe:
		return []grant{
			{sid: "DescribeJob", actions: []string{"sagemaker:DescribeTrainingJob", "sagemaker:DescribeProcessingJob", "sagemaker:ListTags"}, resources: jobs, why: whyJobs},
			{sid: "DescribeExecution", actions: []string{"sagemaker:DescribePipelineExecution", "sagemaker:ListPipelineExecutionSteps"}, resources: executions, why: whyPipelines},
		}
	case stop:
		return []grant{
			{sid: "StopJob", actions: []string{"sagemaker:StopTrainingJob", "sagemaker:StopProcessingJob"}, resources: jobs, why: whyJobs},
			{sid: "StopExecution", actions: []string{"sagemaker:StopPipelineExecution"}, resources: executions, why: whyPipelines},
		}
	}
	if len(d.runRoles) == 0 {
		return nil
	}
	return []grant{
		{sid: "CreateJob", actions: []string{"sagemaker:CreateTrainingJob", "sagemaker:CreateProcessingJob", "sagemaker:AddTags"}, resources: jobs, why: whyJobs},
		list,
		{sid: "StartExecution", actions: []string{"sagemaker:StartPipelineExecution"}, resources: pipelines, why: whyPipelines},
		{sid: "RetryExecution", actions: []string{"sagemaker:RetryPipelineExecution"}, resources: executions, why: whyPipelines},
	}
}

// passing gives the roles of runs to the services that take one with a start,
// those that have an endpoint. EMR on EKS names its role without being given it,
// and a pipeline has its own.
func (d *deployment) passing() []grant {
	var services []string
	for _, s := range []struct{ api, service string }{{apiEMRNotebook, "elasticmapreduce"}, {apiSageMaker, "sagemaker"}} {
		if len(d.places(s.api, s.service)) > 0 {
			services = append(services, s.service+".amazonaws.com")
		}
	}
	if len(d.runRoles) == 0 || len(services) == 0 {
		return nil
	}
	return []grant{{
		sid: "PassJobRole", actions: []string{"iam:PassRole"}, resources: exact(*texts(d.runRoles...)...),
		condition: map[string]any{"StringEquals": map[string]any{"iam:PassedToService": texts(services...)}},
	}}
}
