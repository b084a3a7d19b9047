// Package emrcontainers controls the job runs of Amazon EMR on EKS in one
// account and Region. It knows the service's requests, states and error codes;
// it must not know users, policy or when anything should stop. It never
// retries: whoever calls paces the calls, so the client must be built with
// aws.NopRetryer.
//
// The service has no run time limit of its own, so Start.MaxRuntime has no
// effect here: a run ends on time only while Nightshift is there to stop it.
package emrcontainers

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
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/emrcontainers"
	"github.com/aws/aws-sdk-go-v2/service/emrcontainers/types"

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

const (
	// pagesMax bounds one listing of one virtual cluster; past it the listing is
	// answered as incomplete.
	pagesMax = 200
	// tokenMax is the longest client token the API takes.
	tokenMax = 64
)

// API is what is used of the service's client.
type API interface {
	StartJobRun(context.Context, *sdk.StartJobRunInput, ...func(*sdk.Options)) (*sdk.StartJobRunOutput, error)
	DescribeJobRun(context.Context, *sdk.DescribeJobRunInput, ...func(*sdk.Options)) (*sdk.DescribeJobRunOutput, error)
	CancelJobRun(context.Context, *sdk.CancelJobRunInput, ...func(*sdk.Options)) (*sdk.CancelJobRunOutput, error)
	ListJobRuns(context.Context, *sdk.ListJobRunsInput, ...func(*sdk.Options)) (*sdk.ListJobRunsOutput, error)
	ListVirtualClusters(context.Context, *sdk.ListVirtualClustersInput, ...func(*sdk.Options)) (*sdk.ListVirtualClustersOutput, error)
}

var _ app.Engine = (*Engine)(nil)

// Engine is an app.Engine for one account and Region.
type Engine struct {
	client   API
	endpoint string
	now      func() time.Time
	clusters []string
	userTag  string // of runs that Nightshift did not start
}

// New gives the engine of endpoint "emr-containers/<account>/<region>". Given
// clusters, only those virtual clusters are listed; otherwise all that can have
// live runs, asked anew for each listing.
func New(client API, account, region string, now func() time.Time, clusters ...string) *Engine {
	return &Engine{client: client, endpoint: "emr-containers/" + account + "/" + region, now: now, clusters: clusters, userTag: TagUser}
}

// ReadUserFrom has the user of runs that Nightshift did not start read from a tag of
// that name; "" leaves it at TagUser. It answers the engine.
func (e *Engine) ReadUserFrom(tag string) *Engine {
	e.userTag = cmp.Or(tag, TagUser)
	return e
}

// Endpoint is the id under which the engine lists its runs.
func (e *Engine) Endpoint() string { return e.endpoint }

// Start submits a job run. The spec is StartJobRun's request as JSON in the
// API's own names; clientToken is not the caller's to give, and the tags
// nightshift:… are overwritten. The API joins repetitions by the client token,
// which is made of the session id.
func (e *Engine) Start(ctx context.Context, s app.Start) (workload.Run, error) {
	const op = "emr-containers: start job run"
	in, err := decode(s.Spec)
	if err != nil {
		return workload.Run{}, fault.New(op, fault.Invalid, err)
	}
	in.ClientToken = aws.String(token(s.SessionID))
	tags := map[string]string{}
	maps.Copy(tags, in.Tags)
	tags[TagSession] = s.SessionID
	if s.User != "" {
		tags[TagUser] = s.User
	}
	in.Tags = tags
	out, err := e.client.StartJobRun(ctx, in)
	if err != nil {
		return workload.Run{}, classify(op, err)
	}
	run := e.run(aws.ToString(out.VirtualClusterId), aws.ToString(out.Id))
	run.Billing = billing(in.JobDriver, in.Tags)
	return run, nil
}

// decode reads the spec strictly. The API's lowerCamel names match the SDK's
// fields but for case, which encoding/json does not mind.
func decode(spec []byte) (*sdk.StartJobRunInput, error) {
	in := &sdk.StartJobRunInput{}
	d := json.NewDecoder(bytes.NewReader(spec))
	d.DisallowUnknownFields()
	if err := d.Decode(in); err != nil {
		return nil, fmt.Errorf("the spec is not a StartJobRun request: %w", named(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the spec has something after the request")
	}
	if in.ClientToken != nil {
		return nil, errors.New("clientToken is set by Nightshift: leave it out of the spec")
	}
	if aws.ToString(in.VirtualClusterId) == "" {
		return nil, errors.New("virtualClusterId is missing in the spec")
	}
	return in, nil
}

// named puts a field's path in the API's spelling into the decoder's complaint.
func named(err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) || wrong.Field == "" {
		return err
	}
	path := strings.Split(wrong.Field, ".")
	for i, f := range path {
		path[i] = strings.ToLower(f[:1]) + f[1:]
	}
	return fmt.Errorf("%s must be a %s, not a %s", strings.Join(path, "."), wrong.Type, wrong.Value)
}

// ours begins the client tokens that carry a session id.
const ours = "ns-"

// token carries the session id where the API takes it, else it is its hash.
func token(sessionID string) string {
	if own := ours + sessionID; len(own) <= tokenMax && strings.TrimSpace(own) == own {
		return own
	}
	sum := sha256.Sum256([]byte(sessionID))
	return hex.EncodeToString(sum[:])
}

// stampIn reads the session id in a client token of ours; "" in others. By the API
// reference, ListJobRuns and DescribeJobRun answer the same JobRun, with tags and
// client token, but what a list really leaves out nobody says (job driver and
// overrides are missing in lists that people show, tags and client token are not):
// with either of the two a run of ours finds its session.
func stampIn(token string) string {
	if stamp, ok := strings.CutPrefix(token, ours); ok {
		return stamp
	}
	return ""
}

// alive are the states in which a run is listed; those that end are seen by
// Describe.
var alive = []types.JobRunState{
	types.JobRunStatePending, types.JobRunStateSubmitted, types.JobRunStateRunning, types.JobRunStateCancelPending,
}

// List looks at every live job run of every virtual cluster. With an error it
// still answers what it saw, as an incomplete listing.
func (e *Engine) List(ctx context.Context, endpoint string) (workload.Listing, error) {
	if endpoint != e.endpoint {
		return workload.Listing{}, fault.Newf("emr-containers: list job runs", fault.Invalid, "this is %s, not %s", e.endpoint, endpoint)
	}
	clusters, complete, err := e.virtualClusters(ctx)
	if err != nil {
		return workload.Listing{}, err
	}
	listing := workload.Listing{Complete: complete}
	for _, c := range clusters {
		whole, err := e.listCluster(ctx, c, &listing)
		if fault.Is(err, fault.NotFound) {
			// The virtual cluster was deleted since, and its runs with it.
			continue
		}
		listing.Complete = listing.Complete && whole && err == nil
		if err != nil {
			return listing, err // whatever it is, the next cluster would meet it too
		}
	}
	return listing, nil
}

// virtualClusters are those that can have live runs: an arrested one cannot be
// reached at the moment, a terminating one is not yet without them.
func (e *Engine) virtualClusters(ctx context.Context) (ids []string, complete bool, err error) {
	if len(e.clusters) > 0 {
		return e.clusters, true, nil
	}
	in := &sdk.ListVirtualClustersInput{States: []types.VirtualClusterState{
		types.VirtualClusterStateRunning, types.VirtualClusterStateArrested, types.VirtualClusterStateTerminating,
	}}
	for range pagesMax {
		out, err := e.client.ListVirtualClusters(ctx, in)
		if err != nil {
			return nil, false, classify("emr-containers: list virtual clusters", err)
		}
		for _, c := range out.VirtualClusters {
			ids = append(ids, aws.ToString(c.Id))
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return ids, true, nil
		}
	}
	return ids, false, nil
}

func (e *Engine) listCluster(ctx context.Context, cluster string, into *workload.Listing) (whole bool, err error) {
	in := &sdk.ListJobRunsInput{VirtualClusterId: aws.String(cluster), States: alive}
	for range pagesMax {
		asked := e.now()
		out, err := e.client.ListJobRuns(ctx, in)
		if err != nil {
			return false, classify("emr-containers: list job runs of "+cluster, err)
		}
		for _, r := range out.JobRuns {
			into.Runs = append(into.Runs, e.observe(r, cluster, asked))
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return true, nil
		}
	}
	return false, nil
}

// Describe asks about one job run.
func (e *Engine) Describe(ctx context.Context, run workload.Run) (workload.Observation, error) {
	const op = "emr-containers: describe job run"
	cluster, id, err := split(op, run)
	if err != nil {
		return workload.Observation{}, err
	}
	asked := e.now()
	out, err := e.client.DescribeJobRun(ctx, &sdk.DescribeJobRunInput{VirtualClusterId: aws.String(cluster), Id: aws.String(id)})
	switch err = classify(op, err); {
	case fault.Is(err, fault.NotFound):
		return workload.Observation{Run: e.run(cluster, id), State: workload.Gone, At: asked}, nil
	case err != nil:
		return workload.Observation{}, err
	case out.JobRun == nil:
		return workload.Observation{}, fault.Newf(op, fault.Unknown, "the answer has no job run")
	}
	return e.observe(*out.JobRun, cluster, asked), nil
}

// Stop cancels a job run. The API models no "not found" here and answers a run
// that is over with a ValidationException, so that one is checked by a describe.
func (e *Engine) Stop(ctx context.Context, run workload.Run) error {
	const op = "emr-containers: cancel job run"
	cluster, id, err := split(op, run)
	if err != nil {
		return err
	}
	_, err = e.client.CancelJobRun(ctx, &sdk.CancelJobRunInput{VirtualClusterId: aws.String(cluster), Id: aws.String(id)})
	err = classify(op, err)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if !fault.Is(err, fault.Invalid) {
		return err
	}
	seen, describeErr := e.Describe(ctx, run)
	if describeErr != nil {
		return describeErr
	}
	if seen.State.Over() || seen.State == workload.Stopping {
		return nil
	}
	// The run lives although it cannot be cancelled: ask again, never give up.
	return fault.Newf(op, fault.Unknown, "the service refuses to cancel a run in state %s: %w", seen.State, errors.Unwrap(err))
}

func (e *Engine) run(cluster, id string) workload.Run {
	return workload.Run{Engine: workload.EMRContainers, Endpoint: e.endpoint, ID: cluster + "/" + id}
}

func split(op string, run workload.Run) (cluster, id string, err error) {
	cluster, id, ok := strings.Cut(run.ID, "/")
	if !ok || cluster == "" || id == "" {
		return "", "", fault.Newf(op, fault.Invalid, "the run id %q is not <virtual cluster>/<job run>", run.ID)
	}
	return cluster, id, nil
}

func (e *Engine) observe(r types.JobRun, cluster string, asked time.Time) workload.Observation {
	o := workload.Observation{
		Run: e.run(cluster, aws.ToString(r.Id)), Name: aws.ToString(r.Name), State: state(r.State), At: asked,
		CreatedAt: aws.ToTime(r.CreatedAt), Stamp: cmp.Or(r.Tags[TagSession], stampIn(aws.ToString(r.ClientToken))), User: r.Tags[e.userTag],
		Detail: strings.TrimSpace(string(r.FailureReason) + " " + aws.ToString(r.StateDetails)),
	}
	o.Run.Billing = billing(r.JobDriver, r.Tags)
	if o.State.Over() && r.FinishedAt != nil {
		o.At = *r.FinishedAt
	}
	if o.State == workload.Unknown {
		o.Detail = strings.TrimSpace("state " + string(r.State) + " " + o.Detail)
	}
	return o
}

// state normalises the service's word. One that is not known says neither that a
// run is at work nor that it is over.
func state(s types.JobRunState) workload.State {
	switch s {
	case types.JobRunStatePending, types.JobRunStateSubmitted:
		return workload.Pending
	case types.JobRunStateCancelPending:
		return workload.Stopping
	case types.JobRunStateCompleted:
		return workload.Succeeded
	case types.JobRunStateCancelled:
		return workload.Stopped
	case types.JobRunStateFailed:
		return workload.Failed
	case types.JobRunStateRunning:
		return workload.Running
	}
	return workload.Unknown
}

// codes are what the service's own words mean.
var codes = awsfault.Codes{
	"EKSRequestThrottledException": fault.Throttled, // not in the SDK's list
	"ResourceNotFoundException":    fault.NotFound,
}

// classify says what to do about the service's error. nil stays nil.
func classify(op string, err error) error {
	if awsfault.Code(err) == "ValidationException" && queueFull(awsfault.Message(err)) {
		return fault.New(op, fault.Throttled, err)
	}
	return awsfault.Classify(op, err, codes)
}

// queueFull recognises the refusal of a virtual cluster with a scheduler whose
// queue is full: a ValidationException, but one that passes. The API reference
// tells of the refusal, not of its words.
func queueFull(message string) bool {
	m := strings.ToLower(message)
	if !strings.Contains(m, "queue") {
		return false
	}
	for _, word := range []string{"full", "limit", "maximum", "exceed", "capacity"} {
		if strings.Contains(m, word) {
			return true
		}
	}
	return false
}
