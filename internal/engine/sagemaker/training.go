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

const trainingPrefix = "training-job/"

// startTraining creates a training job. The name is the API's only idempotency
// key: without one in the spec it is made of the session id. MaxRuntimeInSeconds
// becomes the smaller of the spec's and the session's.
func (e *Engine) startTraining(ctx context.Context, s app.Start) (workload.Run, error) {
	const op = "sagemaker: create training job"
	in, err := decodeTraining(s)
	if err != nil {
		return workload.Run{}, fault.New(op, fault.Invalid, err)
	}
	k := e.trainingJobs()
	_, err = e.client.CreateTrainingJob(ctx, in)
	err = classify(op, err)
	if fault.Is(err, fault.Conflict) {
		return e.startedBefore(ctx, op, k, *in.TrainingJobName, s.SessionID)
	}
	if err != nil {
		return workload.Run{}, err
	}
	return e.run(k, *in.TrainingJobName, runtimeOf(in.StoppingCondition), tagged(trainingOn(in.ResourceConfig, in.EnableManagedSpotTraining), in.Tags)), nil
}

func decodeTraining(s app.Start) (*sdk.CreateTrainingJobInput, error) {
	in := &sdk.CreateTrainingJobInput{}
	if err := decode(s.Spec, in); err != nil {
		return nil, fmt.Errorf("the spec is not a CreateTrainingJob request: %w", err)
	}
	name, err := named("TrainingJobName", aws.ToString(in.TrainingJobName), s.SessionID)
	if err != nil {
		return nil, err
	}
	in.TrainingJobName, in.Tags = &name, stamped(in.Tags, s.SessionID, s.User)
	var asked *int32
	if in.StoppingCondition != nil {
		asked = in.StoppingCondition.MaxRuntimeInSeconds
	}
	limit, err := limited(s, asked)
	if err != nil || limit == nil {
		return in, err
	}
	if in.StoppingCondition == nil {
		in.StoppingCondition = &types.StoppingCondition{}
	}
	in.StoppingCondition.MaxRuntimeInSeconds = limit
	return in, nil
}

func runtimeOf(c *types.StoppingCondition) time.Duration {
	if c == nil {
		return 0
	}
	return time.Duration(aws.ToInt32(c.MaxRuntimeInSeconds)) * time.Second
}

// trainingOn says on what instances a training job runs.
func trainingOn(c *types.ResourceConfig, spot *bool) (b workload.Billing) {
	if c == nil {
		return b
	}
	b.Spot = aws.ToBool(spot)
	if len(c.InstanceGroups) == 0 && c.InstanceType != "" {
		b.On(string(c.InstanceType), int(aws.ToInt32(c.InstanceCount)))
	}
	for _, g := range c.InstanceGroups {
		b.On(string(g.InstanceType), int(aws.ToInt32(g.InstanceCount)))
	}
	return b
}

func (e *Engine) trainingJobs() kind {
	return kind{
		engine: workload.SageMakerTraining, prefix: trainingPrefix, noun: "training job", field: "TrainingJobName",
		describe: e.describeTraining, page: e.trainingPage, state: preparing,
		stop: func(ctx context.Context, name string) error {
			_, err := e.client.StopTrainingJob(ctx, &sdk.StopTrainingJobInput{TrainingJobName: &name})
			return err
		},
	}
}

func (e *Engine) describeTraining(ctx context.Context, name string) (job, error) {
	d, err := e.client.DescribeTrainingJob(ctx, &sdk.DescribeTrainingJobInput{TrainingJobName: &name})
	if err != nil {
		return job{}, err
	}
	return job{
		name: aws.ToString(d.TrainingJobName), arn: aws.ToString(d.TrainingJobArn),
		status: string(d.TrainingJobStatus), secondary: string(d.SecondaryStatus), failure: aws.ToString(d.FailureReason),
		created: aws.ToTime(d.CreationTime), modified: aws.ToTime(d.LastModifiedTime),
		started: aws.ToTime(d.TrainingStartTime), ended: aws.ToTime(d.TrainingEndTime), limit: runtimeOf(d.StoppingCondition),
		billing: trainingOn(d.ResourceConfig, d.EnableManagedSpotTraining),
	}, nil
}

func (e *Engine) trainingPage(ctx context.Context, f filter, token *string) ([]job, *string, error) {
	in := &sdk.ListTrainingJobsInput{MaxResults: aws.Int32(pageSize), NextToken: token, StatusEquals: types.TrainingJobStatus(f.status)}
	if !f.modified.IsZero() {
		in.LastModifiedTimeAfter = &f.modified
	}
	out, err := e.client.ListTrainingJobs(ctx, in)
	if err != nil {
		return nil, nil, err
	}
	var jobs []job
	for _, s := range out.TrainingJobSummaries {
		jobs = append(jobs, job{
			name: aws.ToString(s.TrainingJobName), arn: aws.ToString(s.TrainingJobArn),
			status: string(s.TrainingJobStatus), secondary: string(s.SecondaryStatus),
			created: aws.ToTime(s.CreationTime), modified: aws.ToTime(s.LastModifiedTime), ended: aws.ToTime(s.TrainingEndTime),
		})
	}
	return jobs, out.NextToken, nil
}

// preparing tells a training job that does not train yet by its second word.
func preparing(j job) workload.State {
	switch types.SecondaryStatus(j.secondary) {
	case types.SecondaryStatusStarting, types.SecondaryStatusPending, types.SecondaryStatusLaunchingMlInstances,
		types.SecondaryStatusPreparingTrainingStack, types.SecondaryStatusDownloading, types.SecondaryStatusDownloadingTrainingImage:
		return workload.Pending
	}
	return workload.Running
}
