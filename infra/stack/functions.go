package stack

import (
	"path/filepath"
	"slices"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"

	"nightshift/internal/cadence"
	"nightshift/internal/config"
	"nightshift/internal/obs/panel"
	"nightshift/statemachines"
)

const (
	memory = 256 // MiB; the CPU share comes with it, and TLS at the start needs some

	// How many events of a queue a function takes at once: all fan-outs of one
	// batch must fit in the function's time, which a queue bounds.
	queueBatch = 5

	// The stream's fast path gives a batch up soon: the sweep carries out what
	// it leaves, and a batch that is repeated holds up its shard.
	streamBatch    = 25
	streamAttempts = 3
	streamAge      = 5 * time.Minute
)

// timeout is how long a function may take. One behind a queue must end before
// its messages are delivered again, one called by a machine before the task is
// given up.
func timeout(f string) time.Duration {
	switch {
	case slices.Contains(panel.Behind(), f):
		return (config.QueueVisibility - 2) * time.Second
	case f == panel.Scheduled:
		// A sweep that is longer than a minute delays the next (config.Concurrency).
		return 5 * time.Minute
	case f == repairs:
		// So that it answers before API Gateway gives up: what is left then, the next
		// request goes on with.
		return (consoleMilliseconds - 1_000) * time.Millisecond
	}
	return cadence.TaskTimeout - 5*time.Second
}

func (d *deployment) retention() awslogs.RetentionDays {
	return map[int]awslogs.RetentionDays{
		7: awslogs.RetentionDays_ONE_WEEK, 14: awslogs.RetentionDays_TWO_WEEKS, 30: awslogs.RetentionDays_ONE_MONTH, 60: awslogs.RetentionDays_TWO_MONTHS,
		90: awslogs.RetentionDays_THREE_MONTHS, 120: awslogs.RetentionDays_FOUR_MONTHS, 150: awslogs.RetentionDays_FIVE_MONTHS, 180: awslogs.RetentionDays_SIX_MONTHS,
		365: awslogs.RetentionDays_ONE_YEAR, 400: awslogs.RetentionDays_THIRTEEN_MONTHS, 545: awslogs.RetentionDays_EIGHTEEN_MONTHS, 731: awslogs.RetentionDays_TWO_YEARS,
		1096: awslogs.RetentionDays_THREE_YEARS, 1827: awslogs.RetentionDays_FIVE_YEARS, 2192: awslogs.RetentionDays_SIX_YEARS, 2557: awslogs.RetentionDays_SEVEN_YEARS,
		2922: awslogs.RetentionDays_EIGHT_YEARS, 3288: awslogs.RetentionDays_NINE_YEARS, 3653: awslogs.RetentionDays_TEN_YEARS,
	}[d.Retention]
}

func (d *deployment) addFunctions() {
	for _, f := range config.Functions() {
		d.functions[f] = d.function(f)
	}
	for _, f := range panel.Behind() {
		d.fromQueue(f)
	}
	d.fromStream()
}

// logsOf is the name of a function's log group.
func (d *deployment) logsOf(f string) string { return "/aws/lambda/" + d.named(f) }

func (d *deployment) function(f string) awslambda.Function {
	group := awslogs.NewLogGroup(d.stack, text("Logs-"+f), &awslogs.LogGroupProps{
		LogGroupName: text(d.logsOf(f)), Retention: d.retention(), RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	role := awsiam.NewRole(d.stack, text("Role-"+f), &awsiam.RoleProps{
		AssumedBy: awsiam.NewServicePrincipal(text("lambda.amazonaws.com"), nil), Description: text("Function " + f), RoleName: d.roleName(f),
	})
	props := &awslambda.FunctionProps{
		FunctionName:  text(d.named(f)),
		Description:   text("Nightshift, functions/" + f),
		Runtime:       awslambda.Runtime_PROVIDED_AL2023(),
		Architecture:  map[string]awslambda.Architecture{"arm64": awslambda.Architecture_ARM_64(), "x86_64": awslambda.Architecture_X86_64()}[d.Architecture],
		Handler:       text("bootstrap"),
		Code:          awslambda.Code_FromAsset(text(filepath.Join(d.FunctionsDir, f)), nil),
		Role:          role,
		LogGroup:      group,
		MemorySize:    number(memory),
		Timeout:       awscdk.Duration_Seconds(number(int(timeout(f) / time.Second))),
		Environment:   d.environment(f),
		Tracing:       awslambda.Tracing_DISABLED,
		RecursiveLoop: awslambda.RecursiveLoop_TERMINATE,
	}
	if d.Tracing {
		props.Tracing = awslambda.Tracing_ACTIVE
	}
	if n := config.Concurrency(f, len(d.Endpoints)); n > 0 {
		props.ReservedConcurrentExecutions = number(n)
	}
	fn := awslambda.NewFunction(d.stack, text("Function-"+f), props)
	if d.Tracing {
		accept(role, "AwsSolutions-IAM5", "X-Ray's calls that take traces know no resources (X-Ray developer guide, IAM).", "Resource::*")
	}
	d.grants(f, role, group)
	if d.callsLivy(f) {
		// L1, because the CDK's own VPC needs a look into the account.
		fn.Node().DefaultChild().(awslambda.CfnFunction).SetVpcConfig(&awslambda.CfnFunction_VpcConfigProperty{
			SubnetIds: texts(d.LivySubnets...), SecurityGroupIds: texts(d.LivyGroups...),
		})
	}
	return fn
}

// environment is what config.For says that the function needs, and what of its
// config.Optional was chosen.
func (d *deployment) environment(f string) *map[string]*string {
	all := map[string]*string{
		config.Account:         awscdk.Aws_ACCOUNT_ID(),
		config.Table:           d.table.TableName(),
		config.Bus:             d.busArn,
		config.WatchMachine:    d.machineArn(statemachines.Watch),
		config.DrainMachine:    d.machineArn(statemachines.Drain),
		config.RunMachine:      d.machineArn(statemachines.Run),
		config.MoveMachine:     d.machineArn(statemachines.MoveNotebook),
		config.IdentityStoreID: text(d.IdentityStore),
		config.Endpoints:       text(d.EndpointsJSON),
	}
	env := map[string]*string{}
	for _, variable := range config.For(f) {
		env[variable] = all[variable]
	}
	for _, variable := range config.Optional(f) {
		if chosen := d.Chosen[variable]; chosen != "" {
			env[variable] = text(chosen)
		}
	}
	if role := d.memberRole(f); role != nil && slices.Contains(config.Optional(f), config.MemberRole) {
		env[config.MemberRole] = role
	}
	return &env
}

// fromQueue has a function take its queue's events, of which only those that
// failed come again.
func (d *deployment) fromQueue(f string) {
	// No more than are reserved: what the mapping starts beyond would be refused, and
	// count as a delivery.
	atOnce := config.QueueMaxConcurrency
	if n := config.Concurrency(f, len(d.Endpoints)); n > 0 {
		atOnce = n
	}
	awslambda.NewEventSourceMapping(d.stack, text("Source-"+f), &awslambda.EventSourceMappingProps{
		Target: d.functions[f], EventSourceArn: d.queues[f].QueueArn(),
		BatchSize: number(queueBatch), ReportBatchItemFailures: yes, MaxConcurrency: number(atOnce),
	})
}

// fromStream has effects carried out from the table's stream. From its oldest
// record on, so that a new mapping misses nothing.
func (d *deployment) fromStream() {
	failed := d.failed[panel.Streamed]
	awslambda.NewEventSourceMapping(d.stack, text("Source-"+panel.Streamed), &awslambda.EventSourceMappingProps{
		Target: d.functions[panel.Streamed], EventSourceArn: d.table.TableStreamArn(), StartingPosition: awslambda.StartingPosition_TRIM_HORIZON,
		BatchSize: number(streamBatch), BisectBatchOnError: yes, ReportBatchItemFailures: yes,
		RetryAttempts: number(streamAttempts), MaxRecordAge: awscdk.Duration_Seconds(number(int(streamAge / time.Second))),
		OnFailure: &destination{failed},
	})
}

// destination is a queue as the on-failure destination of a mapping; the
// permission to send is granted with the others (grants.go).
type destination struct{ queue awssqs.Queue }

func (q *destination) Bind(awslambda.IEventSourceMapping, awslambda.IFunction) *awslambda.DlqDestinationConfig {
	return &awslambda.DlqDestinationConfig{Destination: q.queue.QueueArn()}
}
