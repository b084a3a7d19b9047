package workflow

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"nightshift/internal/app"
	"nightshift/internal/fault"
)

// ListAPI is what is called to look for executions; *sfn.Client has it.
type ListAPI interface {
	ListExecutions(context.Context, *sfn.ListExecutionsInput, ...func(*sfn.Options)) (*sfn.ListExecutionsOutput, error)
}

const (
	// abortedPerPage is the most that ListExecutions gives at once.
	abortedPerPage = 1_000
	// abortedPagesMax bounds the pages of one machine and status. Step Functions lists
	// by when executions began and forgets them 90 days after their end, so that one
	// that ended lately may be the last; past the limit the answer is an error.
	abortedPagesMax = 20
)

// Waiting looks for executions that wait on runs.
type Waiting struct {
	api      ListAPI
	machines []string
}

var _ app.Aborted = (*Waiting)(nil)

// NewWaiting takes the ARNs of the machines whose executions open sessions; none
// where this function looks for none.
func NewWaiting(api ListAPI, machines ...string) *Waiting { return &Waiting{api, machines} }

// Aborted lists the executions that were ended from outside after a moment.
func (w *Waiting) Aborted(ctx context.Context, after time.Time) ([]app.ExecutionChange, error) {
	var all []app.ExecutionChange
	for _, machine := range w.machines {
		for _, status := range []types.ExecutionStatus{types.ExecutionStatusAborted, types.ExecutionStatusTimedOut} {
			ended, err := w.list(ctx, machine, status, after)
			if err != nil {
				return nil, err
			}
			all = append(all, ended...)
		}
	}
	return all, nil
}

func (w *Waiting) list(ctx context.Context, machine string, status types.ExecutionStatus, after time.Time) (ended []app.ExecutionChange, err error) {
	const op = "step functions: list executions"
	in := &sfn.ListExecutionsInput{StateMachineArn: aws.String(machine), StatusFilter: status, MaxResults: abortedPerPage}
	for range abortedPagesMax {
		out, err := w.api.ListExecutions(ctx, in)
		if err != nil {
			return nil, classify(op, err)
		}
		for _, e := range out.Executions {
			if at := aws.ToTime(e.StopDate); at.After(after) {
				ended = append(ended, app.ExecutionChange{Execution: aws.ToString(e.ExecutionArn), Status: string(status), At: at.UTC()})
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return ended, nil
		}
	}
	return nil, fault.Newf(op, fault.Unknown, "%s has more than %d executions that are %s", machine, abortedPagesMax*abortedPerPage, status)
}
