// Package sagemaker controls the jobs of Amazon SageMaker AI in one account and
// Region. It knows the service's requests, states and error codes; it must not
// know users, policy or when anything should stop. It never retries: whoever
// calls paces the calls, so the client must be built with aws.NopRetryer.
//
// Run ids are "<resource>/<name>", as in the job's ARN: "training-job/NAME".
// Each kind of job has a file of its own.
package sagemaker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/smithy-go"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

// The tags that join a run with its session, and name its user.
const (
	TagSession = "nightshift:session"
	TagUser    = "nightshift:user"
)

const (
	// pagesMax bounds one listing of one status, at pageSize jobs each; past it
	// the listing is answered as incomplete.
	pagesMax = 200
	// pageSize is the most the API gives at once.
	pageSize = 100
	// looksMax bounds how many jobs one listing looks up. Jobs of others that it
	// did not get to are left out, the listing is incomplete, and the next one
	// goes on: what is known of a job is kept.
	looksMax = 200
	// knownMax bounds what is kept; at the limit everything is forgotten and
	// looked up again.
	knownMax = 20_000
	// lately is how long an ended job is still listed.
	lately = 15 * time.Minute
)

// API is what is used of the service's client.
type API interface {
	CreateTrainingJob(context.Context, *sdk.CreateTrainingJobInput, ...func(*sdk.Options)) (*sdk.CreateTrainingJobOutput, error)
	DescribeTrainingJob(context.Context, *sdk.DescribeTrainingJobInput, ...func(*sdk.Options)) (*sdk.DescribeTrainingJobOutput, error)
	StopTrainingJob(context.Context, *sdk.StopTrainingJobInput, ...func(*sdk.Options)) (*sdk.StopTrainingJobOutput, error)
	ListTrainingJobs(context.Context, *sdk.ListTrainingJobsInput, ...func(*sdk.Options)) (*sdk.ListTrainingJobsOutput, error)
	ListTags(context.Context, *sdk.ListTagsInput, ...func(*sdk.Options)) (*sdk.ListTagsOutput, error)
}

var _ app.Engine = (*Engine)(nil)

// Engine is an app.Engine for one account and Region.
type Engine struct {
	client   API
	endpoint string
	now      func() time.Time

	mu    sync.Mutex
	known map[string]known // by run id
}

// known is what a listing does not tell and a look-up did.
type known struct {
	created     time.Time // of the job looked up: a name can be used again once its job was deleted
	stamp, user string
	limit       time.Duration
	started     time.Time // zero: not yet; looked up again
}

// New gives the engine of endpoint "sagemaker/<account>/<region>".
func New(client API, account, region string, now func() time.Time) *Engine {
	return &Engine{client: client, endpoint: "sagemaker/" + account + "/" + region, now: now, known: map[string]known{}}
}

// Endpoint is the id under which the engine lists its runs.
func (e *Engine) Endpoint() string { return e.endpoint }

// Start creates a job of the kind that s.Run.Engine names. The spec is the
// create request as JSON in the API's own names.
func (e *Engine) Start(ctx context.Context, s app.Start) (workload.Run, error) {
	if s.Run.Engine != workload.SageMakerTraining {
		return workload.Run{}, fault.Newf("sagemaker: start", fault.Invalid, "runs of %q are not started here", s.Run.Engine)
	}
	return e.startTraining(ctx, s)
}

// List looks at every live job, and at those that ended within the last 15
// minutes. With an error it still answers what it saw, as an incomplete listing.
func (e *Engine) List(ctx context.Context, endpoint string) (workload.Listing, error) {
	if endpoint != e.endpoint {
		return workload.Listing{}, fault.Newf("sagemaker: list", fault.Invalid, "this is %s, not %s", e.endpoint, endpoint)
	}
	return e.listTraining(ctx)
}

// Describe asks about one job.
func (e *Engine) Describe(ctx context.Context, run workload.Run) (workload.Observation, error) {
	name, err := split("sagemaker: describe", run)
	if err != nil {
		return workload.Observation{}, err
	}
	return e.describeTraining(ctx, name)
}

// Stop asks a job to stop. A job that is over is refused by the service with a
// ValidationException, so that one is checked by a describe.
func (e *Engine) Stop(ctx context.Context, run workload.Run) error {
	const op = "sagemaker: stop"
	name, err := split(op, run)
	if err != nil {
		return err
	}
	_, err = e.client.StopTrainingJob(ctx, &sdk.StopTrainingJobInput{TrainingJobName: aws.String(name)})
	switch err = classify(op, err); {
	case fault.Is(err, fault.NotFound):
		return nil
	case !fault.Is(err, fault.Invalid):
		return err
	}
	seen, describeErr := e.Describe(ctx, run)
	if describeErr != nil {
		return describeErr
	}
	if seen.State.Over() || seen.State == workload.Stopping {
		return nil
	}
	// The job lives although it cannot be stopped: ask again, never give up.
	return fault.Newf(op, fault.Unknown, "the service refuses to stop a job in state %s: %w", seen.State, errors.Unwrap(err))
}

// split gives the job's name, the only kind so far being training jobs.
func split(op string, run workload.Run) (name string, err error) {
	name, ok := strings.CutPrefix(run.ID, trainingPrefix)
	if !ok || name == "" {
		return "", fault.Newf(op, fault.Invalid, "the run id %q is not %sNAME", run.ID, trainingPrefix)
	}
	return name, nil
}

// recall gives what is known of a run, provided it is still the same job.
func (e *Engine) recall(id string, created time.Time) (known, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	k, ok := e.known[id]
	return k, ok && k.created.Equal(created)
}

func (e *Engine) remember(id string, k known) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.known) >= knownMax {
		clear(e.known)
	}
	e.known[id] = k
}

// tags reads a resource's tags: which session and which user are stamped on it.
func (e *Engine) tags(ctx context.Context, op, arn string) (stamp, user string, err error) {
	in := &sdk.ListTagsInput{ResourceArn: aws.String(arn)}
	for range pagesMax { // a resource has 50 tags at most: one page, two at the worst
		out, err := e.client.ListTags(ctx, in)
		if err != nil {
			return "", "", classify(op, err)
		}
		for _, t := range out.Tags {
			switch aws.ToString(t.Key) {
			case TagSession:
				stamp = aws.ToString(t.Value)
			case TagUser:
				user = aws.ToString(t.Value)
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			break
		}
	}
	return stamp, user, nil
}

// stamped gives the caller's tags with ours, which win.
func stamped(tags []types.Tag, sessionID, user string) []types.Tag {
	var all []types.Tag
	for _, t := range tags {
		if k := aws.ToString(t.Key); k != TagSession && k != TagUser {
			all = append(all, t)
		}
	}
	all = append(all, types.Tag{Key: aws.String(TagSession), Value: aws.String(sessionID)})
	if user != "" {
		all = append(all, types.Tag{Key: aws.String(TagUser), Value: aws.String(user)})
	}
	return all
}

// classify says what to do about the service's error. nil stays nil. A quota
// (ResourceLimitExceeded) is not throttling: it passes when jobs end or a
// person raises it.
func classify(op string, err error) error {
	if err == nil {
		return nil
	}
	kind := fault.Unknown // network, timeouts, 5xx, codes nobody told us of
	var api smithy.APIError
	var params smithy.InvalidParamsError
	var serialize *smithy.SerializationError
	switch {
	case errors.As(err, &params), errors.As(err, &serialize):
		kind = fault.Invalid
	case errors.As(err, &api):
		if _, slow := retry.DefaultThrottleErrorCodes[api.ErrorCode()]; slow {
			kind = fault.Throttled
		}
		switch api.ErrorCode() {
		case "ResourceLimitExceeded":
			return fault.Newf(op, fault.Unknown, "a quota of the account is reached; it waits until runs end or a person raises the quota: %w", err)
		case "ValidationException":
			if kind = fault.Invalid; absent(api.ErrorMessage()) {
				kind = fault.NotFound
			}
		case "ResourceNotFound", "ResourceNotFoundException":
			kind = fault.NotFound
		case "ResourceInUse", "ConflictException":
			kind = fault.Conflict
		case "AccessDenied", "AccessDeniedException", "UnauthorizedException", "ExpiredToken", "ExpiredTokenException",
			"UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException":
			kind = fault.Denied
		}
	}
	return fault.New(op, kind, err)
}

// absent recognises a resource that is not there under the code that the
// service sends besides the one its API models.
func absent(message string) bool {
	return strings.Contains(message, "Requested resource not found") || strings.Contains(message, "Could not find")
}
