package stack

import (
	"fmt"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"

	"nightshift/statemachines"
)

// called says which function stands behind each substitution that is a
// function's ARN.
var called = map[string]string{
	statemachines.OpenSessionArn:     "open-session",
	statemachines.StartRunArn:        "start-run",
	statemachines.ObserveEndpointArn: "observe-endpoint",
	statemachines.DrainEndpointArn:   "drain-endpoint",
	statemachines.PreflightArn:       "preflight",
	statemachines.RestartSessionArn:  "restart-session",
	statemachines.MoveNotebookArn:    "move-notebook",
}

// continued says which machine each other substitution is: itself, to which it
// hands over.
var continued = map[string]string{
	statemachines.WatchMachineArn: statemachines.Watch,
	statemachines.DrainMachineArn: statemachines.Drain,
}

// machineArn is written out, not taken from the resource: the functions know the
// machines, which know the functions, and a machine knows itself; references
// would make a circle.
func (d *deployment) machineArn(name string) *string {
	return awscdk.Fn_Sub(text("arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:"+d.named(name)), nil)
}

// addMachines makes the machines with their definitions inline, so that the
// template shows them and the linters see what is deployed.
func (d *deployment) addMachines() {
	for _, name := range statemachines.Names() {
		definition, values := statemachines.Definition(name), map[string]*string{}
		for substitution, value := range statemachines.Values(definition) {
			values[substitution] = text(value)
		}
		role := awsiam.NewRole(d.stack, text("MachineRole-"+name), &awsiam.RoleProps{
			AssumedBy: awsiam.NewServicePrincipal(text("states.amazonaws.com"), nil), Description: text("State machine " + name),
		})
		for _, substitution := range statemachines.Substitutions(definition) {
			if f, ok := called[substitution]; ok {
				values[substitution] = d.functions[f].FunctionArn()
				d.allow(role, grant{sid: "Invoke" + strings.TrimSuffix(substitution, "Arn"), actions: []string{"lambda:InvokeFunction"}, resources: exact(d.functions[f].FunctionArn())})
			}
			if m, ok := continued[substitution]; ok {
				values[substitution] = d.machineArn(m)
				d.allow(role, grant{sid: "HandOver", actions: []string{"states:StartExecution"}, resources: exact(d.machineArn(m))})
			}
			if values[substitution] == nil {
				panic(fmt.Sprintf("nobody says what ${%s} of %s is", substitution, name)) // a defect of this file
			}
		}
		d.integrated(name, role)
		d.machines[name] = d.machine(name, role, values)
	}
}

func (d *deployment) machine(name string, role awsiam.Role, values map[string]*string) awsstepfunctions.StateMachine {
	// The prefix keeps log groups out of CloudWatch's resource policy, whose
	// length is limited for the whole account.
	group := awslogs.NewLogGroup(d.stack, text("MachineLogs-"+name), &awslogs.LogGroupProps{
		LogGroupName: text("/aws/vendedlogs/states/" + d.named(name)), Retention: d.retention(), RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	m := awsstepfunctions.NewStateMachine(d.stack, text("Machine-"+name), &awsstepfunctions.StateMachineProps{
		StateMachineName:        text(d.named(name)),
		StateMachineType:        awsstepfunctions.StateMachineType_STANDARD,
		DefinitionBody:          awsstepfunctions.DefinitionBody_FromString(text(string(statemachines.Definition(name)))),
		DefinitionSubstitutions: &values,
		Role:                    role,
		TracingEnabled:          &d.Tracing,
		// Data stays out: an execution's data holds task tokens.
		Logs: &awsstepfunctions.LogOptions{Destination: group, Level: awsstepfunctions.LogLevel_ALL, IncludeExecutionData: no},
	})
	accept(role, "AwsSolutions-IAM5", "CloudWatch's calls that deliver logs know no resources (Step Functions developer guide, Logging), nor do X-Ray's.", "Resource::*")
	if !d.Tracing {
		accept(m, "AwsSolutions-SF2", "Tracing is off by default: the history of an execution and the logs tell the same; the context key tracing switches it on.")
	}
	return m
}
