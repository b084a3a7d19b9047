package sagemaker

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

var _ app.Retrier = (*Engine)(nil)

// Retry goes on with a pipeline's execution that failed or was stopped: its steps
// that did not succeed begin anew (RetryPipelineExecution). One that is executing
// is answered as it is: the answer to an earlier request was lost. Its display
// name still says the session that started it; the claim says whose it is now.
func (e *Engine) Retry(ctx context.Context, s app.Start, of workload.Run) (workload.Run, error) {
	const op = "sagemaker: retry pipeline execution"
	if !pipelineRun.MatchString(of.ID) {
		return workload.Run{}, fault.Newf(op, fault.Invalid, "%q is no execution of a pipeline", of.ID)
	}
	o, err := e.describePipeline(ctx, of.ID)
	switch {
	case err != nil:
		return workload.Run{}, err
	case o.State == workload.Gone, o.State == workload.Succeeded:
		return workload.Run{}, fault.Newf(op, fault.Invalid, "the execution is %s: there is nothing to retry", o.State)
	case o.State == workload.Stopping:
		return workload.Run{}, fault.Newf(op, fault.Conflict, "the execution is still stopping")
	case !o.State.Over():
		return e.execution(of.ID), nil
	}
	_, err = e.client.RetryPipelineExecution(ctx, &sdk.RetryPipelineExecutionInput{
		PipelineExecutionArn: aws.String(e.arns + of.ID),
		ClientRequestToken:   aws.String(hashed("retry " + s.SessionID)), // 32 to 128 characters
	})
	switch err = classify(op, err); {
	case fault.Is(err, fault.NotFound):
		return workload.Run{}, fault.New(op, fault.Invalid, err) // deleted meanwhile
	case err != nil:
		return workload.Run{}, err
	}
	return e.execution(of.ID), nil
}
