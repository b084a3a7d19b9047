package sagemaker

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"nightshift/internal/workload"
)

// steps lists the steps of an execution.
func (e *Engine) steps(ctx context.Context, id string) ([]types.PipelineExecutionStep, error) {
	in := &sdk.ListPipelineExecutionStepsInput{PipelineExecutionArn: aws.String(e.arns + id), MaxResults: aws.Int32(pageSize)}
	var steps []types.PipelineExecutionStep
	for range pagesMax {
		out, err := e.client.ListPipelineExecutionSteps(ctx, in)
		if err != nil {
			return nil, classify("sagemaker: list the steps of "+id, err)
		}
		steps = append(steps, out.PipelineExecutionSteps...)
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			break
		}
	}
	return steps, nil
}

// explain names the steps that an execution which is stopping waits for: a
// running Callback step until it is answered, a running Lambda step until its
// function returns or times out (StopPipelineExecution's documentation). That
// the steps cannot be read changes nothing about the execution.
func (e *Engine) explain(ctx context.Context, o *workload.Observation) {
	steps, err := e.steps(ctx, o.Run.ID)
	if err != nil {
		o.Detail += "; " + err.Error()
		return
	}
	var names []string
	for _, s := range steps {
		if s.Metadata == nil || !live(s.StepStatus) {
			continue
		}
		name := "step " + aws.ToString(s.StepName)
		switch m := s.Metadata; {
		case m.Callback != nil:
			names = append(names, name+" (Callback), until SendPipelineExecutionStepSuccess or SendPipelineExecutionStepFailure is called with its token")
		case m.Lambda != nil:
			names = append(names, name+" (Lambda), until its function "+aws.ToString(m.Lambda.Arn)+" returns or times out")
		}
	}
	slices.Sort(names) // the same words from listing to listing
	o.Stuck = strings.Join(slices.Compact(names), "; ")
}

func live(s types.StepStatus) bool {
	return s == types.StepStatusStarting || s == types.StepStatusExecuting || s == types.StepStatusStopping
}

// alive asks about the jobs of an execution that is over, and gives those that
// are not. A step that succeeded had its job end first.
func (e *Engine) alive(ctx context.Context, id string) ([]workload.Observation, error) {
	steps, err := e.steps(ctx, id)
	if err != nil {
		return nil, err
	}
	var alive []workload.Observation
	for _, s := range steps {
		if s.StepStatus == types.StepStatusSucceeded {
			continue
		}
		run := workload.Run{ID: jobIn(s.Metadata)}
		k, by, err := e.split("", run)
		if err != nil {
			continue // the step runs no job that we know
		}
		j, err := e.describeJob(ctx, k, by)
		if err != nil {
			return nil, err
		}
		if !j.State.Over() {
			alive = append(alive, j)
		}
	}
	return alive, nil
}

// jobIn is the run id of the job that a step runs; "" where it runs none. Checks
// run processing jobs.
func jobIn(m *types.PipelineExecutionStepMetadata) string {
	if m == nil {
		return ""
	}
	arn := ""
	switch {
	case m.TrainingJob != nil:
		arn = aws.ToString(m.TrainingJob.Arn)
	case m.ProcessingJob != nil:
		arn = aws.ToString(m.ProcessingJob.Arn)
	case m.ClarifyCheck != nil:
		arn = aws.ToString(m.ClarifyCheck.CheckJobArn)
	case m.QualityCheck != nil:
		arn = aws.ToString(m.QualityCheck.CheckJobArn)
	}
	return resource(arn)
}
