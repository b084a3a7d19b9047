// Package stack is Nightshift in CloudFormation: one stack, one file per
// concern. It knows the CDK, the names of AWS's settings, and the data that the
// local system reads too: the rules, the functions' variables, the machines and
// the table's schema. It must not know what a session is, and says nothing a
// second time that this data says.
package stack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/aws-cdk-go/awscdk/v2/cxapi"
	"github.com/aws/aws-cdk-go/awscdk/v2/interfaces/interfacesawscloudwatch"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
	"github.com/cdklabs/cdk-nag-go/cdknag/v2"

	"nightshift/internal/config"
)

// deployment is the stack while it is made: each file adds its part, in the
// order of New.
type deployment struct {
	Settings
	stack awscdk.Stack

	// What roles of this stack may reach: of all endpoints and roles of runs those that
	// are called with credentials of its own account, and whether Identity Center is.
	engines  []config.Endpoint
	runRoles []string
	center   bool

	key       awskms.Key // of the table; nil without customerKey
	table     awsdynamodb.Table
	busArn    *string
	busName   *string
	queues    map[string]awssqs.Queue       // before each event function, by its name
	dead      map[string]awssqs.Queue       // behind it
	failed    map[string]awssqs.Queue       // behind each function that is invoked otherwise than by a machine or a queue
	functions map[string]awslambda.Function // by the folder below functions/
	machines  map[string]awsstepfunctions.StateMachine
	topic     awssns.Topic
	notices   awssns.Topic
	alarms    []interfacesawscloudwatch.IAlarmRef
}

// New makes the stack, and one for each member, and answers the first. The error is a sentence where a function is not built.
func New(scope constructs.Construct, s Settings) (awscdk.Stack, error) {
	if err := built(s.FunctionsDir); err != nil {
		return nil, err
	}
	d := &deployment{
		Settings: s,
		stack: awscdk.NewStack(scope, text(s.Name), &awscdk.StackProps{
			Description: text("Nightshift stops users' background work when their sessions end."),
			// Nightshift is what stops work on time: it is not to be deleted by accident.
			TerminationProtection: jsii.Bool(!s.Deletable),
			Env:                   environmentOf(s.Hub),
		}),
		engines: s.enginesOf(s.Hub), runRoles: s.rolesOf(s.Hub), center: s.Identity.Account == s.Hub.Account,
		queues: map[string]awssqs.Queue{}, dead: map[string]awssqs.Queue{}, failed: map[string]awssqs.Queue{},
		functions: map[string]awslambda.Function{}, machines: map[string]awsstepfunctions.StateMachine{},
	}
	for _, part := range []func(){d.addTable, d.addBus, d.addQueues, d.addFunctions, d.addConsole, d.addBusPolicy, d.addRules, d.addSchedule, d.addMachines, d.addAlarms, d.addDashboard, d.addNotices, d.addNetwork, d.addCluster, d.addNotebooks, d.addOutputs} {
		part()
	}
	for _, m := range s.Members {
		s.newMember(scope, m)
	}
	return d.stack, nil
}

// built says which function is missing: the CDK's own words would name a folder
// and not the remedy.
func built(dir string) error {
	for _, f := range config.Functions() {
		if _, err := os.Stat(filepath.Join(dir, f, "bootstrap")); err != nil {
			return fmt.Errorf("functionsDir has no %s/bootstrap; run `make build` first, or name a folder that has one for each function.", f)
		}
	}
	return nil
}

func (d *deployment) addOutputs() {
	for name, value := range map[string]*string{
		"TableName": d.table.TableName(), "BusArn": d.busArn,
		"RunMachineArn": d.machines["run"].StateMachineArn(), "AlarmTopicArn": d.topic.TopicArn(), "NoticeTopicArn": d.notices.TopicArn(),
	} {
		awscdk.NewCfnOutput(d.stack, text(name), &awscdk.CfnOutputProps{Value: value})
	}
}

// Synth adds the checks, writes the cloud assembly and answers what is wrong
// with it. The CDK's own template validator fails by itself (a flag in cdk.json
// makes it fatal); annotations, which are how cdk-nag speaks, are looked at
// here, because without the command line nobody else does.
func Synth(app awscdk.App) error {
	awscdk.Aspects_Of(app).Add(cdknag.NewAwsSolutionsChecks(&cdknag.NagPackProps{Verbose: yes}), nil)
	var faults []error
	for _, artifact := range *app.Synth(nil).Stacks() {
		for _, m := range *artifact.Messages() {
			//lint:ignore SA1019 the type it moved to is not published for Go
			if m.Level == cxapi.SynthesisMessageLevel_ERROR {
				//lint:ignore SA1019 as above
				faults = append(faults, fmt.Errorf("%s: %v", *m.Id, m.Entry.Data))
			}
		}
	}
	return errors.Join(faults...)
}

// accept tells cdk-nag why a rule does not apply. The reason stands in the
// template, where an auditor sees it.
func accept(c constructs.IConstruct, rule, reason string, appliesTo ...any) {
	s := &cdknag.NagPackSuppression{Id: text(rule), Reason: text(reason)}
	if len(appliesTo) > 0 {
		s.AppliesTo = &appliesTo
	}
	cdknag.NagSuppressions_AddResourceSuppressions(c, &[]*cdknag.NagPackSuppression{s}, yes)
}

var yes, no = jsii.Bool(true), jsii.Bool(false)

func text(s string) *string { return jsii.String(s) }

func texts(s ...string) *[]*string { return jsii.Strings(s...) }

func number[N int | int64 | float64](n N) *float64 { return jsii.Number(n) }

func list[T any](items ...T) *[]any {
	all := make([]any, len(items))
	for i, item := range items {
		all[i] = item
	}
	return &all
}

// named is a resource's name, which begins with the stack's.
func (d *deployment) named(name string) string { return d.Name + "-" + name }
