// Package emrnotebook controls the notebook executions of Amazon EMR in one
// account and Region, and asks EMR for the credentials of a cluster's own
// endpoints, which the Livy engine presents. It knows the service's requests,
// states and error codes; it must not know users, policy or when anything should
// stop. It never retries: whoever calls paces the calls, so the client must be
// built with aws.NopRetryer.
//
// A run's id is its NotebookExecutionId. The service has no run time limit of
// its own, so Start.MaxRuntime has no effect here: a run ends on time only while
// Nightshift is there to stop it.
package emrnotebook

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
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"

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
	// tagCreator is EMR's own tag. Its value is an IAM id ("AIDA…", or "AROA…:"
	// and the name of a role session), which no identity store knows: it is shown
	// to people, and never taken for a user.
	tagCreator = "creatorUserId"
)

const (
	// ours begins the names that Nightshift makes: the session id follows. Where
	// the id does not fit into a name, its hash follows oursHashed.
	ours       = "ns-"
	oursHashed = "nsh-"
	// nameMax is the longest NotebookExecutionName (XmlStringMaxLen256).
	nameMax = 256
)

// API is what is used of the service's client.
type API interface {
	StartNotebookExecution(context.Context, *sdk.StartNotebookExecutionInput, ...func(*sdk.Options)) (*sdk.StartNotebookExecutionOutput, error)
	DescribeNotebookExecution(context.Context, *sdk.DescribeNotebookExecutionInput, ...func(*sdk.Options)) (*sdk.DescribeNotebookExecutionOutput, error)
	StopNotebookExecution(context.Context, *sdk.StopNotebookExecutionInput, ...func(*sdk.Options)) (*sdk.StopNotebookExecutionOutput, error)
	ListNotebookExecutions(context.Context, *sdk.ListNotebookExecutionsInput, ...func(*sdk.Options)) (*sdk.ListNotebookExecutionsOutput, error)
}

var _ app.Engine = (*Engine)(nil)

// Engine is an app.Engine for one account and Region.
type Engine struct {
	client   API
	endpoint string
	now      func() time.Time
	userTag  string      // of runs that Nightshift did not start
	shallow  atomic.Bool // the service refuses to list as far back as we would

	mu    sync.Mutex
	known map[string]known // by run id
}

// known is what a listing does not tell and an earlier look did.
type known struct {
	told                 bool // the tags were read
	stamp, user, creator string
	alive                bool // when it was last seen
	started              time.Time
	sums                 workload.Billing // its tags that costs are summed by
}

// New gives the engine of endpoint "emr-notebook/<account>/<region>".
func New(client API, account, region string, now func() time.Time) *Engine {
	return &Engine{client: client, endpoint: "emr-notebook/" + account + "/" + region, now: now, userTag: TagUser, known: map[string]known{}}
}

// ReadUserFrom has the user of runs that Nightshift did not start read from a tag of
// that name; "" leaves it at TagUser. It answers the engine.
func (e *Engine) ReadUserFrom(tag string) *Engine {
	e.userTag = cmp.Or(tag, TagUser)
	return e
}

// Endpoint is the id under which the engine lists its runs.
func (e *Engine) Endpoint() string { return e.endpoint }

// Start starts a notebook execution. The spec is StartNotebookExecution's
// request as JSON in the API's own names; the tags nightshift:… are overwritten,
// and an execution without a name gets one that carries the session id.
//
// The API has no idempotency token. So what started within the last hour on that
// cluster is listed before the request, and after one whose outcome is unclear:
// an execution of our name, or of the caller's with our tag, is the answer. What
// remains: two starts of one session so close together that the first is not
// listed yet start two executions. The second is then found by the watch, as a
// run of the same user under a session of its own, and ends when that does.
func (e *Engine) Start(ctx context.Context, s app.Start) (workload.Run, error) {
	const op = "emr-notebook: start notebook execution"
	in, err := decode(s)
	if err != nil {
		return workload.Run{}, fault.New(op, fault.Invalid, err)
	}
	if run, err := e.startedBefore(ctx, in, s.SessionID); err != nil || run.ID != "" {
		return run, err
	}
	out, err := e.client.StartNotebookExecution(ctx, in)
	if err = classify(op, err); err == nil {
		return e.run(aws.ToString(out.NotebookExecutionId), aws.ToString(in.ExecutionEngine.Id), billing(in.Tags)), nil
	}
	if fault.KindOf(err) == fault.Unknown && ctx.Err() == nil {
		if run, lookErr := e.startedBefore(ctx, in, s.SessionID); lookErr == nil && run.ID != "" {
			return run, nil
		}
	}
	return workload.Run{}, err
}

// decode reads the spec strictly. The API's names are the SDK's fields.
func decode(s app.Start) (*sdk.StartNotebookExecutionInput, error) {
	in := &sdk.StartNotebookExecutionInput{}
	d := json.NewDecoder(bytes.NewReader(s.Spec))
	d.DisallowUnknownFields()
	err := d.Decode(in)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return nil, fmt.Errorf("the spec is not a StartNotebookExecution request: %s must be a %s, not a %s", wrong.Field, wrong.Type, wrong.Value)
	case err != nil:
		return nil, fmt.Errorf("the spec is not a StartNotebookExecution request: %w", err)
	case in.ExecutionEngine == nil || aws.ToString(in.ExecutionEngine.Id) == "":
		return nil, errors.New("ExecutionEngine.Id, the cluster, is missing in the spec")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the spec has something after the request")
	}
	switch name := aws.ToString(in.NotebookExecutionName); {
	case name == "":
		in.NotebookExecutionName = aws.String(nameFor(s.SessionID))
	case strings.HasPrefix(name, ours) || strings.HasPrefix(name, oursHashed):
		return nil, fmt.Errorf("the NotebookExecutionName %q begins as Nightshift's own names do", name)
	}
	in.Tags = stamped(in.Tags, s.SessionID, s.User)
	return in, nil
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

// nameFor makes an execution's name of a session id, always the same one.
func nameFor(sessionID string) string {
	if name := ours + sessionID; len(name) <= nameMax && strings.TrimSpace(name) == name {
		return name
	}
	sum := sha256.Sum256([]byte(sessionID))
	return oursHashed + hex.EncodeToString(sum[:])
}

// stampIn reads the session id in a name that Nightshift made; "" in others.
func stampIn(name string) string {
	if stamp, ok := strings.CutPrefix(name, ours); ok {
		return stamp
	}
	return ""
}

// startedBefore finds the execution that an earlier start of the session made;
// the zero run where none is listed. Of two it gives the older.
func (e *Engine) startedBefore(ctx context.Context, in *sdk.StartNotebookExecutionInput, sessionID string) (workload.Run, error) {
	const op = "emr-notebook: look for an earlier start"
	cluster, name := aws.ToString(in.ExecutionEngine.Id), aws.ToString(in.NotebookExecutionName)
	all := map[string]seen{}
	whole, err := e.pages(ctx, &sdk.ListNotebookExecutionsInput{
		ExecutionEngineId: aws.String(cluster), From: aws.Time(e.now().Add(-startsBack)),
	}, all)
	if err == nil && !whole {
		err = fault.Newf(op, fault.Unknown, "more than %d pages of executions within %s: whether it was started cannot be told", pagesMax, startsBack)
	}
	if err != nil {
		return workload.Run{}, err
	}
	var found seen
	for _, x := range oldestFirst(all) {
		if x.name != name {
			continue
		}
		stamp := stampIn(name)
		if stamp == "" {
			k, err := e.look(ctx, op, x.id)
			if err != nil && !fault.Is(err, fault.NotFound) {
				return workload.Run{}, err
			}
			stamp = k.stamp
		}
		if stamp == sessionID {
			found = x
			break
		}
	}
	if found.id == "" {
		return workload.Run{}, nil
	}
	return e.run(found.id, cluster, billing(in.Tags)), nil
}

// Describe asks about one execution.
func (e *Engine) Describe(ctx context.Context, run workload.Run) (workload.Observation, error) {
	const op = "emr-notebook: describe notebook execution"
	if run.ID == "" {
		return workload.Observation{}, fault.Newf(op, fault.Invalid, "the run has no id")
	}
	asked := e.now()
	x, err := e.describe(ctx, op, run.ID)
	if fault.Is(err, fault.NotFound) {
		return workload.Observation{Run: e.run(run.ID, run.Cluster, workload.Billing{}), State: workload.Gone, At: asked}, nil
	}
	if err != nil {
		return workload.Observation{}, err
	}
	return e.observe(x, asked), nil
}

// Stop asks an execution to stop. One that is over, or that the service does not
// know, is refused with an InvalidRequestException, so that is checked by a
// describe.
func (e *Engine) Stop(ctx context.Context, run workload.Run) error {
	const op = "emr-notebook: stop notebook execution"
	if run.ID == "" {
		return fault.Newf(op, fault.Invalid, "the run has no id")
	}
	_, err := e.client.StopNotebookExecution(ctx, &sdk.StopNotebookExecutionInput{NotebookExecutionId: aws.String(run.ID)})
	err = classify(op, err)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if !fault.Is(err, fault.Invalid) {
		return err
	}
	o, describeErr := e.Describe(ctx, run)
	if describeErr != nil {
		return describeErr
	}
	if o.State.Over() || o.State == workload.Stopping {
		return nil
	}
	// It lives although it cannot be stopped: ask again, never give up.
	return fault.Newf(op, fault.Unknown, "the service refuses to stop an execution in state %s: %w", o.State, errors.Unwrap(err))
}

func (e *Engine) run(id, cluster string, on workload.Billing) workload.Run {
	return workload.Run{Engine: workload.EMRNotebook, Endpoint: e.endpoint, ID: id, Cluster: cluster, Billing: on}
}

// billing is whom an execution is summed under (S8.5), by its tags; its cluster says
// what it costs.
func billing(tags []types.Tag) (b workload.Billing) {
	for _, t := range tags {
		b.Tagged(aws.ToString(t.Key), aws.ToString(t.Value))
	}
	return b
}

// describe asks about one execution and remembers its tags. NotFound: the
// service does not know it. The request holds nothing but the id, so that an
// invalid request can mean nothing else.
func (e *Engine) describe(ctx context.Context, op, id string) (seen, error) {
	out, err := e.client.DescribeNotebookExecution(ctx, &sdk.DescribeNotebookExecutionInput{NotebookExecutionId: aws.String(id)})
	if awsfault.Code(err) == codeInvalid {
		return seen{}, fault.New(op, fault.NotFound, err)
	}
	if err != nil {
		return seen{}, classify(op, err)
	}
	if out.NotebookExecution == nil {
		return seen{}, fault.Newf(op, fault.Unknown, "the answer has no notebook execution")
	}
	x := described(*out.NotebookExecution)
	k := known{told: true, alive: !state(x.status).Over(), started: x.started, sums: billing(out.NotebookExecution.Tags)}
	for _, t := range out.NotebookExecution.Tags {
		switch aws.ToString(t.Key) {
		case TagSession:
			k.stamp = aws.ToString(t.Value)
		case e.userTag:
			k.user = aws.ToString(t.Value)
		case tagCreator:
			k.creator = aws.ToString(t.Value)
		}
	}
	e.remember(id, k)
	return x, nil
}

// state normalises the service's word. One that is not known says neither that a
// run is at work nor that it is over.
func state(s types.NotebookExecutionStatus) workload.State {
	switch s {
	case types.NotebookExecutionStatusStartPending, types.NotebookExecutionStatusStarting:
		return workload.Pending
	case types.NotebookExecutionStatusStopPending, types.NotebookExecutionStatusStopping, types.NotebookExecutionStatusFailing:
		return workload.Stopping
	case types.NotebookExecutionStatusFinished:
		return workload.Succeeded
	case types.NotebookExecutionStatusStopped:
		return workload.Stopped
	case types.NotebookExecutionStatusFailed:
		return workload.Failed
	case types.NotebookExecutionStatusRunning, types.NotebookExecutionStatusFinishing:
		return workload.Running
	}
	return workload.Unknown
}

// codeInvalid is the one code that the API models for what the caller did wrong.
const codeInvalid = "InvalidRequestException"

// classify says what to do about the service's error. nil stays nil.
func classify(op string, err error) error {
	return awsfault.Classify(op, err, awsfault.Codes{codeInvalid: fault.Invalid})
}
