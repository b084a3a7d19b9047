package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bustypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"nightshift/internal/asl"
)

// states answers the calls of Step Functions that our adapter makes.
type states struct{ s *System }

// StartExecution starts an execution of one of our machines.
func (v states) StartExecution(ctx context.Context, in *sfn.StartExecutionInput, _ ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error) {
	arn, err := services(v).StartExecution(ctx, aws.ToString(in.StateMachineArn), aws.ToString(in.Name), []byte(aws.ToString(in.Input)))
	switch {
	case errors.Is(err, asl.ErrExecutionAlreadyExists):
		return nil, &sfntypes.ExecutionAlreadyExists{Message: aws.String(err.Error())}
	case err != nil:
		return nil, err
	}
	return &sfn.StartExecutionOutput{ExecutionArn: aws.String(arn), StartDate: aws.Time(v.s.Clock.Now())}, nil
}

// DescribeExecution tells what an execution was started with.
func (v states) DescribeExecution(_ context.Context, in *sfn.DescribeExecutionInput, _ ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error) {
	e, err := v.s.runner.Execution(aws.ToString(in.ExecutionArn))
	if err != nil {
		return nil, &sfntypes.ExecutionDoesNotExist{Message: aws.String(err.Error())}
	}
	return &sfn.DescribeExecutionOutput{ExecutionArn: in.ExecutionArn, Input: aws.String(string(e.Input())), Status: sfntypes.ExecutionStatus(e.Status())}, nil
}

// ListExecutions lists the executions of one of our machines, as the door does.
func (v states) ListExecutions(_ context.Context, in *sfn.ListExecutionsInput, _ ...func(*sfn.Options)) (*sfn.ListExecutionsOutput, error) {
	out := &sfn.ListExecutionsOutput{}
	for _, e := range v.s.runner.Executions() {
		if e.MachineARN() == aws.ToString(in.StateMachineArn) && string(e.Status()) == string(in.StatusFilter) {
			out.Executions = append(out.Executions, sfntypes.ExecutionListItem{ExecutionArn: aws.String(e.ARN()), Status: in.StatusFilter, StopDate: aws.Time(e.StoppedAt())})
		}
	}
	return out, nil
}

// SendTaskSuccess releases a waiting execution.
func (v states) SendTaskSuccess(_ context.Context, in *sfn.SendTaskSuccessInput, _ ...func(*sfn.Options)) (*sfn.SendTaskSuccessOutput, error) {
	return &sfn.SendTaskSuccessOutput{}, tokenError(v.s.runner.SendTaskSuccess(aws.ToString(in.TaskToken), []byte(aws.ToString(in.Output))))
}

// SendTaskFailure releases a waiting execution with an error.
func (v states) SendTaskFailure(_ context.Context, in *sfn.SendTaskFailureInput, _ ...func(*sfn.Options)) (*sfn.SendTaskFailureOutput, error) {
	return &sfn.SendTaskFailureOutput{}, tokenError(v.s.runner.SendTaskFailure(aws.ToString(in.TaskToken), aws.ToString(in.Error), aws.ToString(in.Cause)))
}

func tokenError(err error) error {
	switch {
	case errors.Is(err, asl.ErrTaskDoesNotExist):
		return &sfntypes.TaskDoesNotExist{Message: aws.String(err.Error())}
	case errors.Is(err, asl.ErrTaskTimedOut):
		return &sfntypes.TaskTimedOut{Message: aws.String(err.Error())}
	case errors.Is(err, asl.ErrInvalidToken):
		return &sfntypes.InvalidToken{Message: aws.String(err.Error())}
	}
	return err
}

// putter answers EventBridge's PutEvents.
type putter struct{ s *System }

// PutEvents takes what Nightshift says on its bus.
func (p putter) PutEvents(_ context.Context, in *eventbridge.PutEventsInput, _ ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error) {
	out := &eventbridge.PutEventsOutput{}
	for i, e := range in.Entries {
		id := fmt.Sprintf("said-%d-%d", p.s.Clock.Now().UnixNano(), i)
		body, err := json.Marshal(map[string]any{
			"version": "0", "id": id, "source": aws.ToString(e.Source), "detail-type": aws.ToString(e.DetailType), "account": Account, "region": Region,
			"time": p.s.Clock.Now().UTC().Format(time.RFC3339), "resources": []string{}, "detail": json.RawMessage(aws.ToString(e.Detail)),
		})
		if err == nil {
			err = p.s.Put(body)
		}
		if err != nil {
			out.FailedEntryCount++
			out.Entries = append(out.Entries, bustypes.PutEventsResultEntry{ErrorCode: aws.String("MalformedDetail"), ErrorMessage: aws.String(err.Error())})
			continue
		}
		out.Entries = append(out.Entries, bustypes.PutEventsResultEntry{EventId: aws.String(id)})
		p.s.said(Announced{At: p.s.Clock.Now(), DetailType: aws.ToString(e.DetailType), Detail: json.RawMessage(aws.ToString(e.Detail))})
	}
	return out, nil
}
