package workflow

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"nightshift/internal/app"
	"nightshift/internal/awsfault"
	"nightshift/internal/fault"
)

// inputMax is Step Functions' limit of an execution's input, in bytes.
const inputMax = 262_144

// RunAPI is what is called to start runs again; *sfn.Client has it.
type RunAPI interface {
	StartExecution(context.Context, *sfn.StartExecutionInput, ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error)
	DescribeExecution(context.Context, *sfn.DescribeExecutionInput, ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error)
}

// Runs reads and starts executions of one machine: run, or move-notebook.
type Runs struct {
	api     RunAPI
	machine string
}

var _ app.Executions = (*Runs)(nil)

// NewRuns takes the ARN of the machine; "" where this function starts none.
func NewRuns(api RunAPI, machine string) *Runs { return &Runs{api, machine} }

// Execution is the ARN of an execution of run.
func (r *Runs) Execution(name string) string {
	return strings.Replace(r.machine, ":stateMachine:", ":execution:", 1) + ":" + name
}

// Input is what an execution of run was started with.
func (r *Runs) Input(ctx context.Context, execution string) ([]byte, error) {
	const op = "step functions: read the input of a run"
	if r.machine == "" || !strings.HasPrefix(execution, r.Execution("")) {
		return nil, fault.Newf(op, fault.Invalid, "%s is no execution of the machine run", execution)
	}
	out, err := r.api.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(execution)})
	if awsfault.Code(err) == "ExecutionDoesNotExist" {
		return nil, fault.New(op, fault.NotFound, err)
	}
	if err != nil {
		return nil, classify(op, err)
	}
	return []byte(aws.ToString(out.Input)), nil
}

// Run starts an execution of run. An input that Step Functions would not take is
// refused before the call, with its size.
func (r *Runs) Run(ctx context.Context, name string, input []byte) (string, error) {
	const op = "step functions: start run"
	if len(input) > inputMax {
		return "", fault.Newf(op, fault.Invalid, "the input has %d bytes; at most %d are allowed: pass what is large by reference to S3", len(input), inputMax)
	}
	if r.machine == "" {
		return "", fault.Newf(op, fault.Unknown, "no ARN of the machine is configured")
	}
	out, err := r.api.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: aws.String(r.machine), Name: aws.String(name), Input: aws.String(string(input))})
	if awsfault.Code(err) == "ExecutionAlreadyExists" {
		return "", fault.New(op, fault.Conflict, err)
	}
	if err != nil {
		return "", classify(op, err)
	}
	return aws.ToString(out.ExecutionArn), nil
}

// Live says whether an execution, of any machine, is under way.
func (r *Runs) Live(ctx context.Context, execution string) (bool, error) {
	const op = "step functions: look at an execution"
	out, err := r.api.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(execution)})
	if awsfault.Code(err) == "ExecutionDoesNotExist" {
		return false, nil
	}
	if err != nil {
		return false, classify(op, err)
	}
	return out.Status == types.ExecutionStatusRunning || out.Status == types.ExecutionStatusPendingRedrive, nil
}
