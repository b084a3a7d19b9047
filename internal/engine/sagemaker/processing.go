package sagemaker

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

const processingPrefix = "processing-job/"

// startProcessing creates a processing job, as startTraining does a training
// job. The longest MaxRuntimeInSeconds is 777,600: 9 days (S1.9).
func (e *Engine) startProcessing(ctx context.Context, s app.Start) (workload.Run, error) {
	const op = "sagemaker: create processing job"
	in, err := decodeProcessing(s)
	if err != nil {
		return workload.Run{}, fault.New(op, fault.Invalid, err)
	}
	k := e.processingJobs()
	_, err = e.client.CreateProcessingJob(ctx, in)
	err = classify(op, err)
	if fault.Is(err, fault.Conflict) {
		return e.startedBefore(ctx, op, k, *in.ProcessingJobName, s.SessionID)
	}
	if err != nil {
		return workload.Run{}, err
	}
	return e.run(k, *in.ProcessingJobName, processingLimit(in.StoppingCondition), tagged(processingOn(in.ProcessingResources), in.Tags)), nil
}

func decodeProcessing(s app.Start) (*sdk.CreateProcessingJobInput, error) {
	in := &sdk.CreateProcessingJobInput{}
	if err := decode(s.Spec, in); err != nil {
		return nil, fmt.Errorf("the spec is not a CreateProcessingJob request: %w", err)
	}
	name, err := named("ProcessingJobName", aws.ToString(in.ProcessingJobName), s.SessionID)
	if err != nil {
		return nil, err
	}
	in.ProcessingJobName, in.Tags = &name, stamped(in.Tags, s.SessionID, s.User)
	var asked *int32
	if in.StoppingCondition != nil {
		asked = in.StoppingCondition.MaxRuntimeInSeconds
	}
	limit, err := limited(s, asked)
	if err == nil && limit != nil {
		in.StoppingCondition = &types.ProcessingStoppingCondition{MaxRuntimeInSeconds: limit}
	}
	return in, err
}

func processingLimit(c *types.ProcessingStoppingCondition) time.Duration {
	if c == nil {
		return 0
	}
	return time.Duration(aws.ToInt32(c.MaxRuntimeInSeconds)) * time.Second
}

// processingOn says on what instances a processing job runs.
func processingOn(r *types.ProcessingResources) (b workload.Billing) {
	if r != nil && r.ClusterConfig != nil {
		b.On(string(r.ClusterConfig.InstanceType), int(aws.ToInt32(r.ClusterConfig.InstanceCount)))
	}
	return b
}

func (e *Engine) processingJobs() kind {
	return kind{
		engine: workload.SageMakerProcessing, prefix: processingPrefix, noun: "processing job", field: "ProcessingJobName",
		describe: e.describeProcessing, page: e.processingPage,
		stop: func(ctx context.Context, name string) error {
			_, err := e.client.StopProcessingJob(ctx, &sdk.StopProcessingJobInput{ProcessingJobName: &name})
			return err
		},
		// Only the start time tells whether it processes already.
		state: func(j job) workload.State {
			if j.status == inProgress {
				return workload.Pending
			}
			return workload.Running
		},
	}
}

func (e *Engine) describeProcessing(ctx context.Context, name string) (job, error) {
	d, err := e.client.DescribeProcessingJob(ctx, &sdk.DescribeProcessingJobInput{ProcessingJobName: &name})
	if err != nil {
		return job{}, err
	}
	return job{
		name: aws.ToString(d.ProcessingJobName), arn: aws.ToString(d.ProcessingJobArn),
		status: string(d.ProcessingJobStatus), secondary: aws.ToString(d.ExitMessage), failure: aws.ToString(d.FailureReason),
		created: aws.ToTime(d.CreationTime), modified: aws.ToTime(d.LastModifiedTime),
		started: aws.ToTime(d.ProcessingStartTime), ended: aws.ToTime(d.ProcessingEndTime), limit: processingLimit(d.StoppingCondition),
		billing: processingOn(d.ProcessingResources),
	}, nil
}

func (e *Engine) processingPage(ctx context.Context, f filter, token *string) ([]job, *string, error) {
	in := &sdk.ListProcessingJobsInput{MaxResults: aws.Int32(pageSize), NextToken: token, StatusEquals: types.ProcessingJobStatus(f.status)}
	if !f.modified.IsZero() {
		in.LastModifiedTimeAfter = &f.modified
	}
	out, err := e.client.ListProcessingJobs(ctx, in)
	if err != nil {
		return nil, nil, err
	}
	var jobs []job
	for _, s := range out.ProcessingJobSummaries {
		jobs = append(jobs, job{
			name: aws.ToString(s.ProcessingJobName), arn: aws.ToString(s.ProcessingJobArn),
			status: string(s.ProcessingJobStatus), secondary: aws.ToString(s.ExitMessage), failure: aws.ToString(s.FailureReason),
			created: aws.ToTime(s.CreationTime), modified: aws.ToTime(s.LastModifiedTime), ended: aws.ToTime(s.ProcessingEndTime),
		})
	}
	return jobs, out.NextToken, nil
}
