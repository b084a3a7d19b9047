package sagemaker

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

// pipelineRun is the run id of a pipeline execution.
var pipelineRun = regexp.MustCompile(`^pipeline/[^/]+/execution/[^/]+$`)

// displayName is what the API takes as an execution's display name: the same
// form as a pipeline's name, of at most 82 characters.
var displayName = regexp.MustCompile(`^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,81}$`)

// findPages bounds the look for an execution started before, newest first.
const findPages = 3

// startPipeline starts an execution. The API knows no tags on executions, and a
// list tells of each only its ARN, display name, description, status and start.
// So the display name is the stamp: "ns-" and the session id; a spec must not
// give another. The token makes a repetition harmless for as long as the service
// remembers it, which it does not say; the look at the pipeline's newest
// executions does so afterwards.
func (e *Engine) startPipeline(ctx context.Context, s app.Start) (workload.Run, error) {
	const op = "sagemaker: start pipeline execution"
	in, err := decodePipeline(s)
	if err != nil {
		return workload.Run{}, fault.New(op, fault.Invalid, err)
	}
	id, err := e.startedAs(ctx, *in.PipelineName, *in.PipelineExecutionDisplayName)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return workload.Run{}, err
	}
	if id != "" {
		return e.execution(id), nil
	}
	out, err := e.client.StartPipelineExecution(ctx, in)
	switch err = classify(op, err); {
	case fault.Is(err, fault.NotFound):
		return workload.Run{}, fault.Newf(op, fault.Invalid, "there is no pipeline %q: %w", *in.PipelineName, err)
	case err != nil:
		return workload.Run{}, err
	}
	id, ok := runOf(aws.ToString(out.PipelineExecutionArn))
	if !ok {
		return workload.Run{}, fault.Newf(op, fault.Unknown, "the service answers %q, which is not the ARN of an execution", aws.ToString(out.PipelineExecutionArn))
	}
	return e.execution(id), nil
}

func (e *Engine) execution(id string) workload.Run {
	return workload.Run{Engine: workload.SageMakerPipeline, Endpoint: e.endpoint, ID: id}
}

func decodePipeline(s app.Start) (*sdk.StartPipelineExecutionInput, error) {
	in := &sdk.StartPipelineExecutionInput{}
	if err := decode(s.Spec, in); err != nil {
		return nil, fmt.Errorf("the spec is not a StartPipelineExecution request: %w", err)
	}
	name := ours + s.SessionID
	switch {
	case aws.ToString(in.PipelineName) == "":
		return nil, errors.New("PipelineName is missing")
	case in.PipelineExecutionDisplayName != nil:
		return nil, errors.New("PipelineExecutionDisplayName must not be given: it carries the session's id; PipelineExecutionDescription is free")
	case in.ClientRequestToken != nil:
		return nil, errors.New("ClientRequestToken must not be given: it is made of the session's id")
	case !displayName.MatchString(name):
		return nil, fmt.Errorf("the session id %q does not fit into a PipelineExecutionDisplayName", s.SessionID)
	}
	in.PipelineExecutionDisplayName = &name
	in.ClientRequestToken = aws.String(hashed("start " + s.SessionID)) // 32 to 128 characters
	return in, nil
}

// startedAs finds the execution of a display name among a pipeline's newest; ""
// where there is none.
func (e *Engine) startedAs(ctx context.Context, pipeline, name string) (id string, err error) {
	in := &sdk.ListPipelineExecutionsInput{PipelineName: &pipeline, MaxResults: aws.Int32(pageSize), SortOrder: types.SortOrderDescending}
	for range findPages {
		out, err := e.client.ListPipelineExecutions(ctx, in)
		if err != nil {
			return "", classify("sagemaker: look for an execution started before", err)
		}
		for _, s := range out.PipelineExecutionSummaries {
			if id, ok := runOf(aws.ToString(s.PipelineExecutionArn)); ok && aws.ToString(s.PipelineExecutionDisplayName) == name {
				return id, nil
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			break
		}
	}
	return "", nil
}

// describePipeline asks about one execution, and about the jobs of one that is
// over: as long as one of them runs, the execution is not reported as over
// (S2.9).
func (e *Engine) describePipeline(ctx context.Context, id string) (workload.Observation, error) {
	o, _, err := e.examine(ctx, id)
	return o, err
}

// examine is describePipeline; alive are the jobs of an execution that is over
// which are not.
func (e *Engine) examine(ctx context.Context, id string) (o workload.Observation, alive []workload.Observation, err error) {
	const op = "sagemaker: describe pipeline execution"
	asked := e.now()
	d, err := e.client.DescribePipelineExecution(ctx, &sdk.DescribePipelineExecutionInput{PipelineExecutionArn: aws.String(e.arns + id)})
	switch err = classify(op, err); {
	case fault.Is(err, fault.NotFound):
		return workload.Observation{Run: e.execution(id), State: workload.Gone, At: asked}, nil, nil
	case err != nil:
		return workload.Observation{}, nil, err
	}
	o = e.executing(id, d.PipelineExecutionStatus, aws.ToString(d.PipelineExecutionDisplayName), aws.ToTime(d.CreationTime), asked)
	if reason := aws.ToString(d.FailureReason); reason != "" {
		o.Detail += " " + reason
	}
	switch {
	case o.State == workload.Stopping:
		e.explain(ctx, &o)
	case o.State.Over():
		o.At = aws.ToTime(d.LastModifiedTime)
		if alive, err = e.alive(ctx, id); err != nil {
			return workload.Observation{}, nil, err
		}
		outlived(&o, alive, asked)
	}
	return o, alive, nil
}

// executing is what a status says. Executions have no time of waiting: the
// first step may start at once. A status that is not known says neither that an
// execution runs nor that it is over.
func (e *Engine) executing(id string, status types.PipelineExecutionStatus, name string, began, asked time.Time) workload.Observation {
	o := workload.Observation{
		Run: e.execution(id), Name: name, State: workload.Unknown, At: asked,
		CreatedAt: began, RunningSince: began, Stamp: stampIn(name), Detail: string(status),
	}
	switch status {
	case types.PipelineExecutionStatusStopping:
		o.State = workload.Stopping
	case types.PipelineExecutionStatusStopped:
		o.State = workload.Stopped
	case types.PipelineExecutionStatusFailed:
		o.State = workload.Failed
	case types.PipelineExecutionStatusSucceeded, types.PipelineExecutionStatusCompletedWithFailures:
		// Completed with failures: every failed step was handled as the pipeline says.
		o.State = workload.Succeeded
	case types.PipelineExecutionStatusExecuting:
		o.State = workload.Running
	}
	return o
}

// outlived turns the observation of an execution that is over into one that is
// not, where jobs of it are alive. It is stopping only when all of them are:
// a job that nobody asked to stop must be asked.
func outlived(o *workload.Observation, alive []workload.Observation, asked time.Time) {
	if len(alive) == 0 {
		return
	}
	o.State, o.At = workload.Stopping, asked
	var jobs []string
	for _, j := range alive {
		if j.State != workload.Stopping {
			o.State = workload.Running
		}
		jobs = append(jobs, j.Run.ID+" is "+string(j.State))
	}
	o.Detail = "the execution is over (" + o.Detail + "), but " + strings.Join(jobs, ", ")
}

// stopPipeline asks an execution to stop, and the jobs that outlived one that is
// over. The token differs from minute to minute: an execution that was retried
// since must be stopped again.
func (e *Engine) stopPipeline(ctx context.Context, run workload.Run) error {
	const op = "sagemaker: stop pipeline execution"
	refused := error(nil)
	for range 2 {
		o, alive, err := e.examine(ctx, run.ID)
		if err != nil {
			return err
		}
		if len(alive) > 0 {
			return e.stopParts(ctx, alive)
		}
		if o.State.Over() || o.State == workload.Stopping {
			return nil
		}
		if refused != nil {
			// It lives although it cannot be stopped: ask again, never give up.
			return fault.Newf(op, fault.Unknown, "the service refuses to stop an execution in state %s: %w", o.State, refused)
		}
		_, err = e.client.StopPipelineExecution(ctx, &sdk.StopPipelineExecutionInput{
			PipelineExecutionArn: aws.String(e.arns + run.ID),
			ClientRequestToken:   aws.String(hashed("stop " + run.ID + e.now().Truncate(time.Minute).String())),
		})
		switch err = classify(op, err); {
		case fault.Is(err, fault.NotFound):
			return nil
		case !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.Invalid):
			return err
		}
		refused = errors.Unwrap(err) // over by now, or of its last jobs
	}
	return nil
}

// stopParts stops the jobs that their execution left behind, and no other.
func (e *Engine) stopParts(ctx context.Context, alive []workload.Observation) error {
	var errs []error
	for _, j := range alive {
		if j.State == workload.Stopping {
			continue
		}
		k, by, err := e.split("sagemaker: stop a pipeline's job", j.Run)
		if err == nil {
			err = e.stopJob(ctx, k, by)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
