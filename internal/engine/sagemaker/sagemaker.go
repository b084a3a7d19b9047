// Package sagemaker controls the jobs of Amazon SageMaker AI in one account and
// Region. It knows the service's requests, states and error codes; it must not
// know users, policy or when anything should stop. It never retries: whoever
// calls paces the calls, so the client must be built with aws.NopRetryer.
//
// Run ids are the resource part of the run's ARN: "training-job/NAME",
// "processing-job/NAME" and "pipeline/NAME/execution/ID". What training and
// processing jobs have in common is in jobs.go; that ARNs do not tell the case of
// their names, in names.go.
//
// A job that a step of a pipeline runs is a part of the pipeline's execution: it
// belongs to whoever started that, is listed as a part, and an execution counts
// as over only when no such job runs any more (S2.9).
package sagemaker

import (
	"cmp"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"nightshift/internal/app"
	"nightshift/internal/awsfault"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

// The tags that join a run with its session, and name its user. Both are put on
// what is started here; whom somebody else's run is for is read from TagUser too,
// or from the tag that ReadUserFrom says.
const (
	TagSession = "nightshift:session"
	TagUser    = "nightshift:user"
)

// tagPipeline is put by the service on every job that a step of a pipeline
// runs; its value is the ARN of the execution. AWS's own SageMaker Python SDK
// reads it for the same purpose (sagemaker.lineage, pipeline_execution_arn).
const tagPipeline = "sagemaker:pipeline-execution-arn"

const (
	// pagesMax bounds one listing of one status, at pageSize jobs each; past it
	// the listing is answered as incomplete.
	pagesMax = 200
	// pageSize is the most the API gives at once.
	pageSize = 100
	// looksMax bounds how many jobs of a kind one listing looks up. Jobs of others
	// that it did not get to are left out, the listing is incomplete, and the next
	// one goes on: what is known of a job is kept.
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
	CreateProcessingJob(context.Context, *sdk.CreateProcessingJobInput, ...func(*sdk.Options)) (*sdk.CreateProcessingJobOutput, error)
	DescribeProcessingJob(context.Context, *sdk.DescribeProcessingJobInput, ...func(*sdk.Options)) (*sdk.DescribeProcessingJobOutput, error)
	StopProcessingJob(context.Context, *sdk.StopProcessingJobInput, ...func(*sdk.Options)) (*sdk.StopProcessingJobOutput, error)
	ListProcessingJobs(context.Context, *sdk.ListProcessingJobsInput, ...func(*sdk.Options)) (*sdk.ListProcessingJobsOutput, error)
	ListTags(context.Context, *sdk.ListTagsInput, ...func(*sdk.Options)) (*sdk.ListTagsOutput, error)
	StartPipelineExecution(context.Context, *sdk.StartPipelineExecutionInput, ...func(*sdk.Options)) (*sdk.StartPipelineExecutionOutput, error)
	DescribePipelineExecution(context.Context, *sdk.DescribePipelineExecutionInput, ...func(*sdk.Options)) (*sdk.DescribePipelineExecutionOutput, error)
	RetryPipelineExecution(context.Context, *sdk.RetryPipelineExecutionInput, ...func(*sdk.Options)) (*sdk.RetryPipelineExecutionOutput, error)
	StopPipelineExecution(context.Context, *sdk.StopPipelineExecutionInput, ...func(*sdk.Options)) (*sdk.StopPipelineExecutionOutput, error)
	ListPipelines(context.Context, *sdk.ListPipelinesInput, ...func(*sdk.Options)) (*sdk.ListPipelinesOutput, error)
	ListPipelineExecutions(context.Context, *sdk.ListPipelineExecutionsInput, ...func(*sdk.Options)) (*sdk.ListPipelineExecutionsOutput, error)
	ListPipelineExecutionSteps(context.Context, *sdk.ListPipelineExecutionStepsInput, ...func(*sdk.Options)) (*sdk.ListPipelineExecutionStepsOutput, error)
}

var _ app.Engine = (*Engine)(nil)

// Engine is an app.Engine for one account and Region.
type Engine struct {
	client   API
	endpoint string
	arns     string // what ARNs begin with, up to the resource
	only     []string
	userTag  string // of runs that Nightshift did not start
	now      func() time.Time

	mu         sync.Mutex
	known      map[string]known     // jobs, by run id
	executions map[string]time.Time // executions seen alive, by run id: when they ended; zero while alive
	scanned    map[string]scan      // by pipeline
}

// known is what a listing does not tell and a look-up did.
type known struct {
	created time.Time // of the job looked up: a name can be used again once its job was deleted
	name    string    // its own
	marks
	limit   time.Duration
	billing workload.Billing // without what its tags say
	started time.Time        // zero: not yet; looked up again
}

// marks are what a run's tags say.
type marks struct {
	stamp, user string
	partOf      string           // run id of the pipeline execution
	sums        workload.Billing // its tags that costs are summed by
}

// New gives the engine of endpoint "sagemaker/<account>/<region>". pipelines
// names those whose executions are looked at; without any, all of them are.
func New(client API, account, region string, now func() time.Time, pipelines ...string) *Engine {
	return &Engine{
		client: client, endpoint: "sagemaker/" + account + "/" + region,
		arns: "arn:" + partition(region) + ":sagemaker:" + region + ":" + account + ":",
		only: pipelines, now: now, userTag: TagUser,
		known: map[string]known{}, executions: map[string]time.Time{}, scanned: map[string]scan{},
	}
}

// ReadUserFrom has the user of runs that Nightshift did not start read from a tag of
// that name; "" leaves it at TagUser. It answers the engine.
func (e *Engine) ReadUserFrom(tag string) *Engine {
	e.userTag = cmp.Or(tag, TagUser)
	return e
}

// partition is the part of AWS that a Region belongs to; it begins its ARNs.
func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

// Endpoint is the id under which the engine lists its runs.
func (e *Engine) Endpoint() string { return e.endpoint }

// Start creates a run of the kind that s.Run.Engine names. The spec is the
// create or start request as JSON in the API's own names.
func (e *Engine) Start(ctx context.Context, s app.Start) (workload.Run, error) {
	switch s.Run.Engine {
	case workload.SageMakerTraining:
		return e.startTraining(ctx, s)
	case workload.SageMakerProcessing:
		return e.startProcessing(ctx, s)
	case workload.SageMakerPipeline:
		return e.startPipeline(ctx, s)
	case workload.Livy, workload.EMRContainers, workload.EMRNotebook:
	}
	return workload.Run{}, fault.Newf("sagemaker: start", fault.Invalid, "runs of %q are not started here", s.Run.Engine)
}

// List looks at every live job and pipeline execution, and at those that ended
// within the last 15 minutes. With an error it still answers what it saw, as an
// incomplete listing.
//
// Executions are looked at before jobs. A pipeline that was seen over starts no
// job any more, so a look at the jobs after that finds all that still run.
func (e *Engine) List(ctx context.Context, endpoint string) (workload.Listing, error) {
	if endpoint != e.endpoint {
		return workload.Listing{}, fault.Newf("sagemaker: list", fault.Invalid, "this is %s, not %s", e.endpoint, endpoint)
	}
	executions, first := e.listPipelines(ctx)
	jobs := workload.Listing{Complete: true}
	for _, k := range e.kinds() {
		if fault.Is(first, fault.Throttled) {
			jobs.Complete = false // to ask on would only make it worse
			break
		}
		l, err := e.listJobs(ctx, k)
		jobs.Runs = append(jobs.Runs, l.Runs...)
		if jobs.Complete = jobs.Complete && l.Complete; first == nil {
			first = err
		}
	}
	whole, err := e.count(ctx, &executions, jobs)
	if first == nil {
		first = err
	}
	return workload.Listing{
		Runs:     append(jobs.Runs, executions.Runs...),
		Complete: first == nil && whole && jobs.Complete && executions.Complete,
	}, first
}

// Describe asks about one run.
func (e *Engine) Describe(ctx context.Context, run workload.Run) (workload.Observation, error) {
	const op = "sagemaker: describe"
	if pipelineRun.MatchString(run.ID) {
		return e.describePipeline(ctx, run.ID)
	}
	k, by, err := e.split(op, run)
	if err != nil {
		return workload.Observation{}, err
	}
	return e.describeJob(ctx, k, by)
}

// Stop asks a run to stop.
func (e *Engine) Stop(ctx context.Context, run workload.Run) error {
	const op = "sagemaker: stop"
	if pipelineRun.MatchString(run.ID) {
		return e.stopPipeline(ctx, run)
	}
	k, by, err := e.split(op, run)
	if err != nil {
		return err
	}
	return e.stopJob(ctx, k, by)
}

// split gives the kind and the name of a job.
func (e *Engine) split(op string, run workload.Run) (kind, called, error) {
	for _, k := range e.kinds() {
		if name, ok := strings.CutPrefix(run.ID, k.prefix); ok && name != "" {
			return k, e.called(k, run.Name, name), nil
		}
	}
	return kind{}, called{}, fault.Newf(op, fault.Invalid, "the run id %q is neither %sNAME, %sNAME nor pipeline/NAME/execution/ID", run.ID, trainingPrefix, processingPrefix)
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

// tags reads what a job's tags say: which session and which user are stamped on
// it, and which pipeline execution it is a part of.
func (e *Engine) tags(ctx context.Context, op, arn string) (m marks, err error) {
	in := &sdk.ListTagsInput{ResourceArn: aws.String(arn)}
	for range pagesMax { // a resource has 50 tags at most: one page, two at the worst
		out, err := e.client.ListTags(ctx, in)
		if err != nil {
			return marks{}, classify(op, err)
		}
		for _, t := range out.Tags {
			m.sums.Tagged(aws.ToString(t.Key), aws.ToString(t.Value))
			switch aws.ToString(t.Key) {
			case TagSession:
				m.stamp = aws.ToString(t.Value)
			case e.userTag:
				m.user = aws.ToString(t.Value)
			case tagPipeline:
				if id, ok := runOf(aws.ToString(t.Value)); ok {
					m.partOf = id
				}
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			break
		}
	}
	return m, nil
}

// runOf is the run id in a pipeline execution's ARN.
func runOf(arn string) (id string, ok bool) {
	id = resource(arn)
	return id, pipelineRun.MatchString(id)
}

// resource is the resource part of an ARN; "" where it is none.
func resource(arn string) string {
	if part := strings.SplitN(arn, ":", 6); len(part) == 6 {
		return part[5]
	}
	return ""
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

// codes are what the service's own words mean.
var codes = awsfault.Codes{
	"ResourceNotFound":          fault.NotFound,
	"ResourceNotFoundException": fault.NotFound,
	"ResourceInUse":             fault.Conflict,
	"ConflictException":         fault.Conflict,
}

// classify says what to do about the service's error. nil stays nil. A quota
// (ResourceLimitExceeded) is not throttling: it passes when jobs end or a
// person raises it.
func classify(op string, err error) error {
	switch code := awsfault.Code(err); {
	case code == "ResourceLimitExceeded":
		return fault.Newf(op, fault.Unknown, "a quota of the account is reached; it waits until runs end or a person raises the quota: %w", err)
	case code == "ValidationException" && absent(awsfault.Message(err)):
		return fault.New(op, fault.NotFound, err)
	}
	return awsfault.Classify(op, err, codes)
}

// absent recognises a resource that is not there under the code that the
// service sends besides the one its API models.
func absent(message string) bool {
	return strings.Contains(message, "Requested resource not found") || strings.Contains(message, "Could not find")
}
