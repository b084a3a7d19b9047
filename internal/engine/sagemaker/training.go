package sagemaker

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

const (
	trainingPrefix = "training-job/"
	// ours begins the names that Nightshift makes: the session id follows. Where
	// the id does not fit into a name, its hash follows oursHashed.
	ours       = "ns-"
	oursHashed = "nsh-"
)

// jobName is what the API takes as a name, of at most 63 characters.
var jobName = regexp.MustCompile(`^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$`)

// startTraining creates a training job. The name is the API's only idempotency
// key: without one in the spec it is made of the session id. MaxRuntimeInSeconds
// becomes the smaller of the spec's and the session's.
func (e *Engine) startTraining(ctx context.Context, s app.Start) (workload.Run, error) {
	const op = "sagemaker: create training job"
	in, err := decodeTraining(s)
	if err != nil {
		return workload.Run{}, fault.New(op, fault.Invalid, err)
	}
	_, err = e.client.CreateTrainingJob(ctx, in)
	err = classify(op, err)
	if fault.Is(err, fault.Conflict) {
		return e.startedBefore(ctx, op, *in.TrainingJobName, s.SessionID)
	}
	if err != nil {
		return workload.Run{}, err
	}
	return e.training(*in.TrainingJobName, runtimeOf(in.StoppingCondition)), nil
}

// startedBefore tells a repeated start from a name that somebody else took.
func (e *Engine) startedBefore(ctx context.Context, op, name, sessionID string) (workload.Run, error) {
	job, err := e.client.DescribeTrainingJob(ctx, &sdk.DescribeTrainingJobInput{TrainingJobName: aws.String(name)})
	if err = classify(op+", look whose the name is", err); fault.Is(err, fault.NotFound) {
		return workload.Run{}, fault.Newf(op, fault.Unknown, "the job that had the name has just been deleted: %w", err)
	}
	if err != nil {
		return workload.Run{}, err
	}
	stamp, _, err := e.tags(ctx, op+", look whose the name is", aws.ToString(job.TrainingJobArn))
	switch {
	case err != nil:
		return workload.Run{}, err
	case stamp != sessionID:
		return workload.Run{}, fault.Newf(op, fault.Invalid, "the TrainingJobName %q is taken by another job", name)
	}
	return e.training(name, runtimeOf(job.StoppingCondition)), nil
}

func decodeTraining(s app.Start) (*sdk.CreateTrainingJobInput, error) {
	in := &sdk.CreateTrainingJobInput{}
	if err := decode(s.Spec, in); err != nil {
		return nil, fmt.Errorf("the spec is not a CreateTrainingJob request: %w", err)
	}
	switch name := aws.ToString(in.TrainingJobName); {
	case name == "":
		in.TrainingJobName = aws.String(nameFor(s.SessionID))
	case !jobName.MatchString(name):
		return nil, fmt.Errorf("the TrainingJobName %q is not 1 to 63 letters, digits and inner hyphens", name)
	case strings.HasPrefix(name, ours) || strings.HasPrefix(name, oursHashed):
		return nil, fmt.Errorf("the TrainingJobName %q begins as Nightshift's own names do", name)
	}
	in.Tags = stamped(in.Tags, s.SessionID, s.User)
	most := workload.SageMakerTraining.Cap()
	if c := in.StoppingCondition; c != nil && c.MaxRuntimeInSeconds != nil {
		if v := *c.MaxRuntimeInSeconds; v < 1 || int64(v) > int64(most/time.Second) {
			return nil, fmt.Errorf("StoppingCondition.MaxRuntimeInSeconds is %d, it must be 1 to %d", v, int64(most/time.Second))
		}
		most = runtimeOf(c)
	} else if s.MaxRuntime <= 0 {
		return in, nil // the service sets its default, a day
	}
	if in.StoppingCondition == nil {
		in.StoppingCondition = &types.StoppingCondition{}
	}
	if s.MaxRuntime > 0 {
		most = max(time.Second, min(most, s.MaxRuntime))
	}
	in.StoppingCondition.MaxRuntimeInSeconds = aws.Int32(int32(most / time.Second))
	return in, nil
}

// decode reads a spec strictly: an unknown field or a wrong type is an error
// that names the field.
func decode(spec []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(spec))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return fmt.Errorf("%s must be a %s, not a %s", wrong.Field, wrong.Type, wrong.Value)
	}
	if err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands after the request")
	}
	return nil
}

// nameFor makes a job's name of a session id, always the same one.
func nameFor(sessionID string) string {
	if name := ours + sessionID; jobName.MatchString(name) && len(name) <= 63 {
		return name
	}
	sum := sha256.Sum256([]byte(sessionID))
	return (oursHashed + hex.EncodeToString(sum[:]))[:63]
}

func runtimeOf(c *types.StoppingCondition) time.Duration {
	if c == nil {
		return 0
	}
	return time.Duration(aws.ToInt32(c.MaxRuntimeInSeconds)) * time.Second
}

func (e *Engine) training(name string, limit time.Duration) workload.Run {
	return workload.Run{Engine: workload.SageMakerTraining, Endpoint: e.endpoint, ID: trainingPrefix + name, MaxRuntime: limit}
}

// listTraining lists in the order in which a job passes through its states, so
// that none slips from one page to another unseen.
func (e *Engine) listTraining(ctx context.Context) (workload.Listing, error) {
	asked := e.now()
	summaries := map[string]types.TrainingJobSummary{}
	complete := true
	for _, in := range []*sdk.ListTrainingJobsInput{
		{StatusEquals: types.TrainingJobStatusInProgress},
		{StatusEquals: types.TrainingJobStatusStopping},
		{LastModifiedTimeAfter: aws.Time(asked.Add(-lately))},
	} {
		whole, err := e.trainingPages(ctx, in, summaries)
		if err != nil {
			return e.observed(summaries, asked, false), err
		}
		complete = complete && whole
	}
	strangers, err := e.lookUp(ctx, summaries)
	for _, name := range strangers {
		delete(summaries, name)
	}
	return e.observed(summaries, asked, complete && len(strangers) == 0), err
}

func (e *Engine) trainingPages(ctx context.Context, in *sdk.ListTrainingJobsInput, into map[string]types.TrainingJobSummary) (whole bool, err error) {
	in.MaxResults = aws.Int32(pageSize)
	for range pagesMax {
		out, err := e.client.ListTrainingJobs(ctx, in)
		if err != nil {
			return false, classify("sagemaker: list training jobs", err)
		}
		for _, s := range out.TrainingJobSummaries {
			into[aws.ToString(s.TrainingJobName)] = s
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return true, nil
		}
	}
	return false, nil
}

// lookUp learns what summaries do not tell of live jobs: tags, limit, when the
// run began. It answers the names of live jobs that could not be looked up and
// whose names tell nothing either: to show them without their stamp would make
// orphans of them. Throttling only ends the look-ups; other errors are answered.
func (e *Engine) lookUp(ctx context.Context, summaries map[string]types.TrainingJobSummary) (strangers []string, err error) {
	looks := looksMax
	for _, s := range byNeed(summaries) {
		name := aws.ToString(s.TrainingJobName)
		k, met := e.recall(trainingPrefix+name, aws.ToTime(s.CreationTime))
		if over(s.TrainingJobStatus) || met && !k.started.IsZero() {
			continue
		}
		if looks > 0 && err == nil {
			looks--
			if err = e.look(ctx, s, k, met); err == nil || fault.Is(err, fault.NotFound) {
				err = nil
				continue
			}
		}
		_, met = e.recall(trainingPrefix+name, aws.ToTime(s.CreationTime))
		if stampIn(name) == "" && !met {
			strangers = append(strangers, name)
		}
	}
	if fault.Is(err, fault.Throttled) {
		err = nil
	}
	return strangers, err
}

// byNeed sorts: names that tell nothing first, then the newest.
func byNeed(summaries map[string]types.TrainingJobSummary) []types.TrainingJobSummary {
	return slices.SortedFunc(maps.Values(summaries), func(a, b types.TrainingJobSummary) int {
		nameA, nameB := aws.ToString(a.TrainingJobName), aws.ToString(b.TrainingJobName)
		return cmp.Or(
			cmp.Compare(len(stampIn(nameA)), len(stampIn(nameB))),
			aws.ToTime(b.CreationTime).Compare(aws.ToTime(a.CreationTime)),
			cmp.Compare(nameA, nameB))
	})
}

// look looks one job up: its tags once, its description until it has begun.
func (e *Engine) look(ctx context.Context, s types.TrainingJobSummary, k known, met bool) error {
	name := aws.ToString(s.TrainingJobName)
	op := "sagemaker: look up training job " + name
	if !met {
		var err error
		if k.stamp, k.user, err = e.tags(ctx, op, aws.ToString(s.TrainingJobArn)); err != nil {
			return err
		}
		k.created = aws.ToTime(s.CreationTime)
		e.remember(trainingPrefix+name, k)
	}
	job, err := e.client.DescribeTrainingJob(ctx, &sdk.DescribeTrainingJobInput{TrainingJobName: aws.String(name)})
	if err != nil {
		return classify(op, err)
	}
	k.limit, k.started = runtimeOf(job.StoppingCondition), aws.ToTime(job.TrainingStartTime)
	e.remember(trainingPrefix+name, k)
	return nil
}

// stampIn reads the session id in a name that Nightshift made; "" in others.
func stampIn(name string) string {
	if stamp, ok := strings.CutPrefix(name, ours); ok {
		return stamp
	}
	return ""
}

func (e *Engine) observed(summaries map[string]types.TrainingJobSummary, asked time.Time, complete bool) workload.Listing {
	l := workload.Listing{Complete: complete}
	for _, name := range slices.Sorted(maps.Keys(summaries)) {
		s := summaries[name]
		k, met := e.recall(trainingPrefix+name, aws.ToTime(s.CreationTime))
		if !met {
			k = known{stamp: stampIn(name)}
		}
		l.Runs = append(l.Runs, e.observe(name, seen{
			status: s.TrainingJobStatus, secondary: s.SecondaryStatus, created: s.CreationTime,
			modified: s.LastModifiedTime, ended: s.TrainingEndTime,
		}, k, asked))
	}
	return l
}

// describeTraining asks about one job; the stamp of a job that is over is not
// worth an error.
func (e *Engine) describeTraining(ctx context.Context, name string) (workload.Observation, error) {
	const op = "sagemaker: describe training job"
	asked := e.now()
	job, err := e.client.DescribeTrainingJob(ctx, &sdk.DescribeTrainingJobInput{TrainingJobName: aws.String(name)})
	switch err = classify(op, err); {
	case fault.Is(err, fault.NotFound):
		return workload.Observation{Run: e.training(name, 0), State: workload.Gone, At: asked}, nil
	case err != nil:
		return workload.Observation{}, err
	}
	created := aws.ToTime(job.CreationTime)
	k, met := e.recall(trainingPrefix+name, created)
	if !met {
		k.created, k.stamp = created, stampIn(name)
		stamp, user, err := e.tags(ctx, op, aws.ToString(job.TrainingJobArn))
		switch {
		case err == nil:
			k.stamp, k.user, met = stamp, user, true
		case !over(job.TrainingJobStatus) && k.stamp == "":
			return workload.Observation{}, err
		}
	}
	k.limit, k.started = runtimeOf(job.StoppingCondition), aws.ToTime(job.TrainingStartTime)
	if met {
		e.remember(trainingPrefix+name, k)
	}
	return e.observe(name, seen{
		status: job.TrainingJobStatus, secondary: job.SecondaryStatus, created: job.CreationTime,
		modified: job.LastModifiedTime, ended: job.TrainingEndTime, failure: aws.ToString(job.FailureReason),
	}, k, asked), nil
}

// seen is what summaries and descriptions both tell.
type seen struct {
	status                   types.TrainingJobStatus
	secondary                types.SecondaryStatus
	created, modified, ended *time.Time
	failure                  string
}

func (e *Engine) observe(name string, s seen, k known, asked time.Time) workload.Observation {
	o := workload.Observation{
		Run: e.training(name, k.limit), Name: name, State: state(s, k.started), At: asked,
		CreatedAt: aws.ToTime(s.created), RunningSince: k.started, Stamp: k.stamp, User: k.user,
		Detail: strings.TrimSpace(string(s.secondary) + " " + s.failure),
	}
	if o.State.Over() {
		switch {
		case s.ended != nil:
			o.At = *s.ended
		case s.modified != nil:
			o.At = *s.modified
		}
	}
	return o
}

func over(s types.TrainingJobStatus) bool {
	return s == types.TrainingJobStatusCompleted || s == types.TrainingJobStatusFailed || s == types.TrainingJobStatusStopped
}

// state normalises the service's two words. Once a job has begun it is running,
// also while it is interrupted or downloads anew. A word that is not known is no
// reason to believe that a job is over.
func state(s seen, started time.Time) workload.State {
	switch s.status {
	case types.TrainingJobStatusCompleted:
		return workload.Succeeded
	case types.TrainingJobStatusFailed:
		return workload.Failed
	case types.TrainingJobStatusStopped:
		return workload.Stopped
	case types.TrainingJobStatusStopping, types.TrainingJobStatusDeleting:
		return workload.Stopping
	}
	if !started.IsZero() {
		return workload.Running
	}
	switch s.secondary {
	case types.SecondaryStatusStarting, types.SecondaryStatusPending, types.SecondaryStatusLaunchingMlInstances,
		types.SecondaryStatusPreparingTrainingStack, types.SecondaryStatusDownloading, types.SecondaryStatusDownloadingTrainingImage:
		return workload.Pending
	}
	return workload.Running
}
