package local_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/emrcontainers"
	emrtypes "github.com/aws/aws-sdk-go-v2/service/emrcontainers/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bustypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	smtypes "github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"nightshift/internal/asl/clock"
	"nightshift/internal/engine/simrun"
	"nightshift/internal/local"
	"nightshift/statemachines"
)

const (
	awsMachines = "arn:aws:states:us-east-1:123456789012:stateMachine:nightshift-"
	awsRunInput = `{"user":"u-chloe","engine":"sagemaker-training","endpoint":"sagemaker/123456789012/us-east-1","spec":{
		"AlgorithmSpecification":{"TrainingImage":"churn:1","TrainingInputMode":"File"},"RoleArn":"arn:aws:iam::123456789012:role/training",
		"OutputDataConfig":{"S3OutputPath":"s3://bucket/out"},"ResourceConfig":{"InstanceType":"ml.g5.xlarge","InstanceCount":1,"VolumeSizeInGB":50}}}`
)

var awsBegan = time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)

// awsUser is a local system and the SDK's real clients on its door's root.
type awsUser struct {
	t      *testing.T
	s      *local.System
	url    string
	states *sfn.Client
	bus    *eventbridge.Client
	train  *sagemaker.Client
	emr    *emrcontainers.Client
	sts    *sts.Client
}

func awsOpen(t *testing.T, o local.Options) *awsUser {
	t.Helper()
	if o.Clock == nil {
		o.Clock = clock.New(awsBegan)
	}
	if o.Histories == 0 {
		o.Histories = 1000
	}
	s, err := local.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.Defaults(); err != nil {
		t.Fatal(err)
	}
	s.Start()
	door := httptest.NewServer(s.Door())
	t.Cleanup(door.Close)
	// StartSyncExecution goes to sync-<host>, which is the same door.
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, door.Listener.Addr().String())
	}
	conf := aws.Config{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""), BaseEndpoint: aws.String(door.URL),
		HTTPClient: simrun.ClientOver(&http.Transport{DialContext: dial}), Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
	return &awsUser{t, s, door.URL, sfn.NewFromConfig(conf), eventbridge.NewFromConfig(conf), sagemaker.NewFromConfig(conf), emrcontainers.NewFromConfig(conf), sts.NewFromConfig(conf)}
}

func (u *awsUser) pass(d time.Duration) { u.s.Clock.RunUntil(u.s.Clock.Now().Add(d)) }

func sent[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// awsCode checks an error's code as the SDK reads it.
func awsCode(t *testing.T, what, code string, err error) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code || api.ErrorMessage() == "" {
		t.Errorf("%s: got %v, want %s with a message", what, err, code)
	}
}

func (u *awsUser) startRun(name string) string {
	u.t.Helper()
	out := sent(u.states.StartExecution(u.t.Context(), &sfn.StartExecutionInput{
		StateMachineArn: aws.String(awsMachines + "run"), Name: &name, Input: aws.String(awsRunInput)}))(u.t)
	return aws.ToString(out.ExecutionArn)
}

func (u *awsUser) signOut(user, bus string) {
	u.t.Helper()
	out := sent(u.bus.PutEvents(u.t.Context(), &eventbridge.PutEventsInput{Entries: []bustypes.PutEventsRequestEntry{{
		EventBusName: &bus, Source: aws.String("nightshift"), DetailType: aws.String("Nightshift Signed Out"),
		Detail: aws.String(fmt.Sprintf(`{"user":%q,"at":%q}`, user, u.s.Clock.Now().Format(time.RFC3339))),
	}}}))(u.t)
	if out.FailedEntryCount != 0 || len(out.Entries) != 1 || aws.ToString(out.Entries[0].EventId) == "" {
		u.t.Fatalf("PutEvents: %+v", out)
	}
}

func TestAWSWalkThrough(t *testing.T) {
	u, ctx := awsOpen(t, local.Options{}), t.Context()
	arn := u.startRun("chloe-churn")
	u.pass(4 * time.Minute)
	jobs := sent(u.train.ListTrainingJobs(ctx, &sagemaker.ListTrainingJobsInput{}))(t).TrainingJobSummaries
	if len(jobs) != 1 {
		t.Fatalf("%d training jobs", len(jobs))
	}
	job := sent(u.train.DescribeTrainingJob(ctx, &sagemaker.DescribeTrainingJobInput{TrainingJobName: jobs[0].TrainingJobName}))(t)
	if job.TrainingJobStatus != smtypes.TrainingJobStatusInProgress || !aws.ToTime(job.CreationTime).Equal(awsBegan) {
		t.Errorf("the job: %s, created %s", job.TrainingJobStatus, aws.ToTime(job.CreationTime))
	}
	running := sent(u.states.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &arn}))(t)
	if running.Status != sfntypes.ExecutionStatusRunning || running.StopDate != nil || running.Output != nil || aws.ToString(running.Input) != awsRunInput {
		t.Errorf("while it runs: %+v", running)
	}
	u.signOut("u-chloe", "nightshift")
	u.pass(5 * time.Minute)
	job = sent(u.train.DescribeTrainingJob(ctx, &sagemaker.DescribeTrainingJobInput{TrainingJobName: jobs[0].TrainingJobName}))(t)
	if job.TrainingJobStatus != smtypes.TrainingJobStatusStopped {
		t.Errorf("after the sign-out the job is %s", job.TrainingJobStatus)
	}
	ended := sent(u.states.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &arn}))(t)
	if ended.Status != sfntypes.ExecutionStatusFailed || aws.ToString(ended.Error) != "SessionEnded" || !strings.Contains(aws.ToString(ended.Cause), `"cause":"sign-out"`) || ended.StopDate == nil {
		t.Errorf("after the sign-out: %+v", ended)
	}
	u.history(arn)
}

// history checks the story of a run that was ended.
func (u *awsUser) history(arn string) {
	u.t.Helper()
	events := sent(u.states.GetExecutionHistory(u.t.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: &arn}))(u.t).Events
	var types []string
	for i, e := range events {
		types = append(types, string(e.Type))
		if e.Id != int64(i+1) || e.PreviousEventId != map[bool]int64{true: 0, false: int64(i)}[i < 2] || aws.ToTime(e.Timestamp).Before(awsBegan) {
			u.t.Errorf("event %d: %+v", i, e)
		}
	}
	want := "ExecutionStarted TaskStateEntered TaskScheduled TaskStarted TaskSucceeded TaskStateExited TaskStateEntered TaskScheduled TaskStarted " +
		"TaskSubmitted TaskFailed TaskStateExited FailStateEntered ExecutionFailed"
	if got := strings.Join(types, " "); got != want {
		u.t.Fatalf("events\n%s, want\n%s", got, want)
	}
	scheduled := events[7].TaskScheduledEventDetails
	if scheduled == nil || aws.ToString(scheduled.ResourceType) != "lambda" || aws.ToString(scheduled.Resource) != "invoke.waitForTaskToken" ||
		aws.ToInt64(scheduled.TimeoutInSeconds) != 8_640_000 || !json.Valid([]byte(aws.ToString(scheduled.Parameters))) || aws.ToString(scheduled.Region) != "us-east-1" {
		u.t.Errorf("TaskScheduled: %+v", scheduled)
	}
	started, entered, exited := events[0].ExecutionStartedEventDetails, events[1].StateEnteredEventDetails, events[5].StateExitedEventDetails
	if started == nil || aws.ToString(started.Input) != awsRunInput || entered == nil || aws.ToString(entered.Name) != "Open" || exited == nil || exited.Output == nil {
		u.t.Errorf("started %+v, entered %+v, exited %+v", started, entered, exited)
	}
	submitted, failed, over := events[9].TaskSubmittedEventDetails, events[10].TaskFailedEventDetails, events[13].ExecutionFailedEventDetails
	if submitted == nil || submitted.Output == nil || failed == nil || aws.ToString(failed.Error) != "SessionEnded" || over == nil || aws.ToString(over.Error) != "SessionEnded" {
		u.t.Errorf("submitted %+v, failed %+v, over %+v", submitted, failed, over)
	}
}

func TestAWSStartExecution(t *testing.T) {
	u, ctx := awsOpen(t, local.Options{}), t.Context()
	first := u.startRun("once")
	if again := u.startRun("once"); again != first {
		t.Errorf("the same request while it runs: %s, then %s", first, again)
	}
	var exists *sfntypes.ExecutionAlreadyExists
	var name *sfntypes.InvalidName
	var input *sfntypes.InvalidExecutionInput
	var machine *sfntypes.StateMachineDoesNotExist
	var arn *sfntypes.InvalidArn
	for _, c := range []struct {
		what           string
		arn, name, doc string
		as             any
	}{
		{"another input", awsMachines + "run", "once", `{}`, &exists},
		{"a name with a blank", awsMachines + "run", "a b", `{}`, &name},
		{"no JSON", awsMachines + "run", "bad", `{`, &input},
		{"an empty input", awsMachines + "run", "bad", ``, &input},
		{"no such machine", awsMachines + "none", "x", `{}`, &machine},
		{"no ARN", "run", "x", `{}`, &arn},
		{"an execution's ARN", first, "x", `{}`, &arn},
		{"a short ARN", "arn:aws:states", "x", `{}`, &arn},
	} {
		_, err := u.states.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &c.arn, Name: &c.name, Input: &c.doc})
		if !errors.As(err, c.as) {
			t.Errorf("%s: got %v, want %T", c.what, err, c.as)
		}
	}
	for what, in := range map[string]*sfn.StartExecutionInput{
		"a long name":    {StateMachineArn: aws.String(awsMachines + "run"), Name: aws.String(strings.Repeat("x", 81))},
		"a large input":  {StateMachineArn: aws.String(awsMachines + "run"), Input: aws.String(`"` + strings.Repeat("x", 262_143) + `"`)},
		"an empty name":  {StateMachineArn: aws.String(awsMachines + "run"), Name: aws.String("")},
		"an endless ARN": {StateMachineArn: aws.String(strings.Repeat("x", 2000))},
	} {
		_, err := u.states.StartExecution(ctx, in)
		awsCode(t, what, "ValidationException", err)
	}
	out := sent(u.states.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: aws.String(awsMachines + "run")}))(t)
	e := sent(u.states.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: out.ExecutionArn, IncludedData: sfntypes.IncludedDataMetadataOnly}))(t)
	if len(aws.ToString(e.Name)) != 36 || e.Input != nil || e.InputDetails == nil || e.InputDetails.Included || !aws.ToTime(out.StartDate).Equal(awsBegan) {
		t.Errorf("without a name: %+v", e)
	}
	_, err := u.states.StartSyncExecution(ctx, &sfn.StartSyncExecutionInput{StateMachineArn: aws.String(awsMachines + "run")})
	var kind *sfntypes.StateMachineTypeNotSupported
	if !errors.As(err, &kind) {
		t.Errorf("StartSyncExecution: %v", err)
	}
	_, err = u.states.StartSyncExecution(ctx, &sfn.StartSyncExecutionInput{StateMachineArn: aws.String(awsMachines + "none")})
	if !errors.As(err, &machine) {
		t.Errorf("StartSyncExecution of no machine: %v", err)
	}
}

func TestAWSExecutionsByPages(t *testing.T) {
	u, ctx := awsOpen(t, local.Options{}), t.Context()
	for i := range 5 {
		u.startRun(fmt.Sprintf("run-%d", i))
		u.pass(time.Minute)
	}
	if _, err := u.states.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: aws.String(strings.Replace(awsMachines, "stateMachine", "execution", 1) + "run:run-3"),
		Error: aws.String("Enough"), Cause: aws.String("it rained")}); err != nil {
		t.Fatal(err)
	}
	var names []string
	pages := sfn.NewListExecutionsPaginator(u.states, &sfn.ListExecutionsInput{StateMachineArn: aws.String(awsMachines + "run"), MaxResults: 2})
	for pages.HasMorePages() {
		page := sent(pages.NextPage(ctx))(t)
		if len(page.Executions) > 2 {
			t.Fatalf("a page of %d", len(page.Executions))
		}
		for _, e := range page.Executions {
			names = append(names, aws.ToString(e.Name))
		}
	}
	if got := fmt.Sprint(names); got != "[run-4 run-3 run-2 run-1 run-0]" {
		t.Errorf("listed %s", got)
	}
	aborted := sent(u.states.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: aws.String(awsMachines + "run"), StatusFilter: sfntypes.ExecutionStatusAborted}))(t).Executions
	if len(aborted) != 1 || aws.ToString(aborted[0].Name) != "run-3" || aborted[0].StopDate == nil {
		t.Fatalf("aborted: %+v", aborted)
	}
	e := sent(u.states.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aborted[0].ExecutionArn}))(t)
	if aws.ToString(e.Error) != "Enough" || aws.ToString(e.Cause) != "it rained" {
		t.Errorf("stopped: %+v", e)
	}
	again := sent(u.states.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: aborted[0].ExecutionArn}))(t)
	if !aws.ToTime(again.StopDate).Equal(aws.ToTime(e.StopDate)) {
		t.Errorf("stopped again: %s, then %s", aws.ToTime(e.StopDate), aws.ToTime(again.StopDate))
	}
	redriven := sent(u.states.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: aws.String(awsMachines + "run"), RedriveFilter: sfntypes.ExecutionRedriveFilterRedriven}))(t)
	if len(redriven.Executions) != 0 {
		t.Errorf("redriven: %d", len(redriven.Executions))
	}
	var token *sfntypes.InvalidToken
	if _, err := u.states.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: aws.String(awsMachines + "run"), NextToken: aws.String("what")}); !errors.As(err, &token) {
		t.Errorf("a token that is none: %v", err)
	}
	_, err := u.states.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: aws.String(awsMachines + "run"), StatusFilter: "BEST"})
	awsCode(t, "a status that is none", "ValidationException", err)
	_, err = u.states.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: aws.String(awsMachines + "run"), MaxResults: 1001})
	awsCode(t, "a page too large", "ValidationException", err)
	_, err = u.states.ListExecutions(ctx, &sfn.ListExecutionsInput{})
	awsCode(t, "no machine", "ValidationException", err)
}

func TestAWSHistoryByPages(t *testing.T) {
	u, ctx := awsOpen(t, local.Options{}), t.Context()
	arn := u.startRun("nightly")
	u.pass(time.Minute)
	for _, reverse := range []bool{false, true} {
		var ids []int64
		pages := sfn.NewGetExecutionHistoryPaginator(u.states, &sfn.GetExecutionHistoryInput{ExecutionArn: &arn, MaxResults: 4, ReverseOrder: reverse})
		for pages.HasMorePages() {
			for _, e := range sent(pages.NextPage(ctx))(t).Events {
				ids = append(ids, e.Id)
			}
			if reverse && len(ids) == 4 { // the history grows behind the walk
				sent(u.states.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: &arn}))(t)
			}
		}
		if reverse {
			slices.Reverse(ids)
		}
		if got := fmt.Sprint(ids); got != "[1 2 3 4 5 6 7 8 9 10]" {
			t.Errorf("reverse %v: events %s", reverse, got)
		}
	}
	bare := sent(u.states.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: &arn, IncludeExecutionData: aws.Bool(false), MaxResults: 1}))(t)
	if len(bare.Events) != 1 || bare.Events[0].ExecutionStartedEventDetails.Input != nil || bare.NextToken == nil {
		t.Errorf("without data: %+v", bare)
	}
	var token *sfntypes.InvalidToken
	if _, err := u.states.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: &arn, NextToken: bare.NextToken, ReverseOrder: true}); !errors.As(err, &token) {
		t.Errorf("the token of another walk: %v", err)
	}
	var none *sfntypes.ExecutionDoesNotExist
	for what, call := range map[string]func(arn *string) error{
		"history": func(arn *string) error {
			_, err := u.states.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: arn})
			return err
		},
		"describe": func(arn *string) error {
			_, err := u.states.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: arn})
			return err
		},
		"stop": func(arn *string) error {
			_, err := u.states.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: arn})
			return err
		},
	} {
		if err := call(aws.String(arn + "-not")); !errors.As(err, &none) {
			t.Errorf("%s of none: %v", what, err)
		}
		var bad *sfntypes.InvalidArn
		if err := call(aws.String(awsMachines + "run")); !errors.As(err, &bad) {
			t.Errorf("%s of a machine: %v", what, err)
		}
	}
}

func TestAWSHistoryThatIsNoLongerKept(t *testing.T) {
	u, ctx := awsOpen(t, local.Options{Histories: 1}), t.Context()
	arn := u.startRun("nightly")
	u.pass(time.Minute)
	sent(u.states.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: &arn}))(t) // it runs
	sent(u.states.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: &arn}))(t)
	u.pass(time.Minute)
	var none *sfntypes.ExecutionDoesNotExist
	if _, err := u.states.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: &arn}); !errors.As(err, &none) {
		t.Errorf("after its end: %v", err)
	}
	if e := sent(u.states.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &arn}))(t); e.Status != sfntypes.ExecutionStatusAborted {
		t.Errorf("the execution itself: %+v", e)
	}
}

func TestAWSTaskTokens(t *testing.T) {
	u, ctx := awsOpen(t, local.Options{}), t.Context()
	waiting := func(name string) (arn, token string) {
		arn = u.startRun(name)
		u.pass(time.Minute)
		for _, e := range sent(u.states.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: &arn}))(t).Events {
			if d := e.TaskScheduledEventDetails; d != nil && aws.ToString(d.Resource) == "invoke.waitForTaskToken" {
				var p struct{ Payload struct{ TaskToken string } }
				if err := json.Unmarshal([]byte(aws.ToString(d.Parameters)), &p); err != nil {
					t.Fatal(err)
				}
				token = p.Payload.TaskToken
			}
		}
		return arn, token
	}
	success := func(token, output string) error {
		_, err := u.states.SendTaskSuccess(ctx, &sfn.SendTaskSuccessInput{TaskToken: &token, Output: &output})
		return err
	}
	arn, token := waiting("good")
	var output *sfntypes.InvalidOutput
	if err := success(token, "{"); !errors.As(err, &output) {
		t.Errorf("an output that is no JSON: %v", err)
	}
	if _, err := u.states.SendTaskHeartbeat(ctx, &sfn.SendTaskHeartbeatInput{TaskToken: &token}); err != nil {
		t.Errorf("heartbeat: %v", err)
	}
	if err := success(token, `{"ok":true}`); err != nil {
		t.Fatal(err)
	}
	u.pass(time.Minute)
	e := sent(u.states.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &arn}))(t)
	if e.Status != sfntypes.ExecutionStatusSucceeded || aws.ToString(e.Output) != `{"ok":true}` || e.OutputDetails == nil || !e.OutputDetails.Included {
		t.Errorf("released: %+v", e)
	}
	var late *sfntypes.TaskTimedOut
	if err := success(token, "{}"); !errors.As(err, &late) {
		t.Errorf("a token used twice: %v", err)
	}
	if _, err := u.states.SendTaskHeartbeat(ctx, &sfn.SendTaskHeartbeatInput{TaskToken: &token}); !errors.As(err, &late) {
		t.Errorf("a heartbeat too late: %v", err)
	}
	var none *sfntypes.TaskDoesNotExist
	if err := success(strings.Repeat("0", 64), "{}"); !errors.As(err, &none) {
		t.Errorf("a token never given out: %v", err)
	}
	var invalid *sfntypes.InvalidToken
	if err := success("what", "{}"); !errors.As(err, &invalid) {
		t.Errorf("no token: %v", err)
	}
	arn, token = waiting("bad")
	sent(u.states.SendTaskFailure(ctx, &sfn.SendTaskFailureInput{TaskToken: &token, Error: aws.String("Boom"), Cause: aws.String("it was said")}))(t)
	u.pass(time.Minute)
	e = sent(u.states.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &arn}))(t)
	if e.Status != sfntypes.ExecutionStatusFailed || aws.ToString(e.Error) != "Boom" {
		t.Errorf("failed: %+v", e)
	}
}

func TestAWSStateMachines(t *testing.T) {
	u, ctx := awsOpen(t, local.Options{}), t.Context()
	var names []string
	pages := sfn.NewListStateMachinesPaginator(u.states, &sfn.ListStateMachinesInput{MaxResults: 2})
	for pages.HasMorePages() {
		for _, m := range sent(pages.NextPage(ctx))(t).StateMachines {
			names = append(names, aws.ToString(m.Name))
			d := sent(u.states.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: m.StateMachineArn}))(t)
			if d.Type != sfntypes.StateMachineTypeStandard || d.Status != sfntypes.StateMachineStatusActive || !json.Valid([]byte(aws.ToString(d.Definition))) ||
				strings.Contains(aws.ToString(d.Definition), "${") || !aws.ToTime(d.CreationDate).Equal(awsBegan) {
				t.Errorf("%s: %+v", aws.ToString(m.Name), d)
			}
		}
	}
	if want := fmt.Sprint("nightshift-", strings.Join(statemachines.Names(), " nightshift-")); strings.Join(names, " ") != want || len(names) < 7 {
		t.Errorf("listed %v, want %s", names, want)
	}
	var none *sfntypes.StateMachineDoesNotExist
	if _, err := u.states.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: aws.String(awsMachines + "none")}); !errors.As(err, &none) {
		t.Errorf("no machine: %v", err)
	}
}

func TestAWSEvents(t *testing.T) {
	u, ctx := awsOpen(t, local.Options{}), t.Context()
	arn := u.startRun("nightly")
	u.pass(3 * time.Minute)
	status := func() sfntypes.ExecutionStatus {
		return sent(u.states.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &arn}))(t).Status
	}
	// Our events are for our bus: on others nobody listens.
	for _, bus := range []string{"default", "arn:aws:events:us-east-1:123456789012:event-bus/default", "none", "arn:aws:events:eu-west-1:123456789012:event-bus/nightshift"} {
		u.signOut("u-chloe", bus)
	}
	u.pass(5 * time.Minute)
	if status() != sfntypes.ExecutionStatusRunning {
		t.Fatal("an event on another bus ended the run")
	}
	u.signOut("u-chloe", "arn:aws:events:us-east-1:123456789012:event-bus/nightshift")
	u.pass(5 * time.Minute)
	if status() != sfntypes.ExecutionStatusFailed {
		t.Error("an event on our bus, by its ARN, did not end the run")
	}
	entry := func(source, kind, detail string) bustypes.PutEventsRequestEntry {
		e := bustypes.PutEventsRequestEntry{Time: aws.Time(awsBegan), Resources: []string{"arn:x"}}
		for _, f := range []struct {
			into **string
			v    string
		}{{&e.Source, source}, {&e.DetailType, kind}, {&e.Detail, detail}} {
			if f.v != "" {
				*f.into = &f.v
			}
		}
		return e
	}
	out := sent(u.bus.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []bustypes.PutEventsRequestEntry{
		entry("x", "y", "{}"), entry("", "y", "{}"), entry("x", "", "{}"), entry("x", "y", ""), entry("x", "y", "[]"), entry("x", "y", "{"), entry("aws.sso", "y", "{}"),
	}}))(t)
	var codes []string
	for _, e := range out.Entries {
		codes = append(codes, aws.ToString(e.ErrorCode))
		if (e.ErrorCode == nil) == (e.EventId == nil) || (e.ErrorCode == nil) != (e.ErrorMessage == nil) {
			t.Errorf("entry %+v", e)
		}
	}
	want := " InvalidArgument InvalidArgument InvalidArgument MalformedDetail MalformedDetail NotAuthorizedForSourceException"
	if got := strings.Join(codes, " "); got != want || out.FailedEntryCount != 6 {
		t.Errorf("%d failed: %s", out.FailedEntryCount, got)
	}
	for what, in := range map[string][]bustypes.PutEventsRequestEntry{
		"no entries": {}, "eleven entries": make([]bustypes.PutEventsRequestEntry, 11), "over 1 MiB": {entry("x", "y", `{"a":"`+strings.Repeat("x", 1<<20)+`"}`)},
	} {
		_, err := u.bus.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: in})
		awsCode(t, what, "ValidationException", err)
	}
	large := sent(u.bus.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []bustypes.PutEventsRequestEntry{entry("x", "y", `{"a":"`+strings.Repeat(`\"`, 500_000)+`"}`)}}))(t)
	if large.FailedEntryCount != 0 {
		t.Errorf("an entry just below 1 MiB: %+v", large.Entries)
	}
}

func TestAWSTestEventPattern(t *testing.T) {
	u, ctx := awsOpen(t, local.Options{}), t.Context()
	event := `{"id":"1","account":"123456789012","source":"aws.sso","time":"2026-11-20T19:00:00Z","region":"us-east-1","resources":[],"detail-type":"x","detail":{"a":{}}}`
	for pattern, want := range map[string]bool{
		`{"source":["aws.sso"]}`: true, `{"source":[{"prefix":"aws."}],"detail-type":["x"]}`: true, `{"source":["nightshift"]}`: false, `{"detail":{"a":[{"exists":true}]}}`: true,
	} {
		out, err := u.bus.TestEventPattern(ctx, &eventbridge.TestEventPatternInput{EventPattern: &pattern, Event: &event})
		if err != nil || out.Result != want {
			t.Errorf("%s: %+v, %v", pattern, out, err)
		}
	}
	for _, pattern := range []string{`{"source":"aws.sso"}`, `{`, `{}`, `{"source":["nightshift"],"z":[{"numeric":["=",1]}]}`} {
		_, err := u.bus.TestEventPattern(ctx, &eventbridge.TestEventPatternInput{EventPattern: &pattern, Event: &event})
		var invalid *bustypes.InvalidEventPatternException
		if !errors.As(err, &invalid) {
			t.Errorf("%s: %v", pattern, err)
		}
	}
	for _, bad := range []string{`{`, `{}`, `[]`} {
		_, err := u.bus.TestEventPattern(ctx, &eventbridge.TestEventPatternInput{EventPattern: aws.String(`{"source":["x"]}`), Event: &bad})
		awsCode(t, bad, "ValidationException", err)
	}
}

func TestAWSTrainingJobs(t *testing.T) {
	u, ctx := awsOpen(t, local.Options{}), t.Context()
	create := func(name string) error {
		_, err := u.train.CreateTrainingJob(ctx, &sagemaker.CreateTrainingJobInput{
			TrainingJobName: &name, RoleArn: aws.String("arn:aws:iam::123456789012:role/training"), OutputDataConfig: &smtypes.OutputDataConfig{S3OutputPath: aws.String("s3://b/o")},
			AlgorithmSpecification: &smtypes.AlgorithmSpecification{TrainingImage: aws.String("x"), TrainingInputMode: smtypes.TrainingInputModeFile},
			ResourceConfig:         &smtypes.ResourceConfig{InstanceType: smtypes.TrainingInstanceTypeMlM5Large, InstanceCount: aws.Int32(1), VolumeSizeInGB: aws.Int32(10)},
			StoppingCondition:      &smtypes.StoppingCondition{MaxRuntimeInSeconds: aws.Int32(3600)},
		})
		return err
	}
	for _, name := range []string{"a", "b", "c"} {
		if err := create(name); err != nil {
			t.Fatal(err)
		}
	}
	var used *smtypes.ResourceInUse
	if err := create("a"); !errors.As(err, &used) {
		t.Errorf("a name twice: %v", err)
	}
	sent(u.train.StopTrainingJob(ctx, &sagemaker.StopTrainingJobInput{TrainingJobName: aws.String("b")}))(t)
	var none *smtypes.ResourceNotFound
	if _, err := u.train.StopTrainingJob(ctx, &sagemaker.StopTrainingJobInput{TrainingJobName: aws.String("z")}); !errors.As(err, &none) {
		t.Errorf("stopping none: %v", err)
	}
	for order, want := range map[smtypes.SortOrder]string{"": "[c b a]", smtypes.SortOrderAscending: "[a b c]", smtypes.SortOrderDescending: "[c b a]"} {
		var names []string
		pages := sagemaker.NewListTrainingJobsPaginator(u.train, &sagemaker.ListTrainingJobsInput{MaxResults: aws.Int32(2), SortOrder: order})
		for pages.HasMorePages() {
			for _, j := range sent(pages.NextPage(ctx))(t).TrainingJobSummaries {
				names = append(names, aws.ToString(j.TrainingJobName))
			}
		}
		if fmt.Sprint(names) != want {
			t.Errorf("%q: %v, want %s", order, names, want)
		}
	}
}

func TestAWSJobRuns(t *testing.T) {
	u, ctx := awsOpen(t, local.Options{}), t.Context()
	cluster := aws.String(local.VirtualCluster)
	started := sent(u.emr.StartJobRun(ctx, &emrcontainers.StartJobRunInput{
		VirtualClusterId: cluster, Name: aws.String("etl"), ExecutionRoleArn: aws.String("arn:aws:iam::123456789012:role/job"), ReleaseLabel: aws.String("emr-7.12.0-latest"),
		JobDriver: &emrtypes.JobDriver{SparkSubmitJobDriver: &emrtypes.SparkSubmitJobDriver{EntryPoint: aws.String("s3://b/a.py")}},
	}))(t)
	u.pass(2 * time.Minute)
	got := sent(u.emr.DescribeJobRun(ctx, &emrcontainers.DescribeJobRunInput{VirtualClusterId: cluster, Id: started.Id}))(t)
	if got.JobRun.State != emrtypes.JobRunStateRunning {
		t.Errorf("the run is %s", got.JobRun.State)
	}
	sent(u.emr.CancelJobRun(ctx, &emrcontainers.CancelJobRunInput{VirtualClusterId: cluster, Id: started.Id}))(t)
	u.pass(2 * time.Minute)
	count := func(in emrcontainers.ListJobRunsInput) int {
		in.VirtualClusterId = cluster
		return len(sent(u.emr.ListJobRuns(ctx, &in))(t).JobRuns)
	}
	for want, in := range map[int][]emrcontainers.ListJobRunsInput{
		1: {{}, {States: []emrtypes.JobRunState{emrtypes.JobRunStateCancelled}}, {CreatedAfter: aws.Time(awsBegan.Add(-time.Hour)), CreatedBefore: aws.Time(awsBegan.Add(time.Hour))}},
		0: {{States: []emrtypes.JobRunState{emrtypes.JobRunStateRunning}}, {CreatedAfter: aws.Time(awsBegan.Add(time.Hour))}, {CreatedBefore: aws.Time(awsBegan.Add(-time.Hour))}},
	} {
		for _, i := range in {
			if n := count(i); n != want {
				t.Errorf("%+v: %d runs, want %d", i, n, want)
			}
		}
	}
	var none *emrtypes.ResourceNotFoundException
	if _, err := u.emr.DescribeJobRun(ctx, &emrcontainers.DescribeJobRunInput{VirtualClusterId: cluster, Id: aws.String("none")}); !errors.As(err, &none) {
		t.Errorf("no run: %v", err)
	}
}

func TestAWSCallerIdentity(t *testing.T) {
	u, ctx := awsOpen(t, local.Options{}), t.Context()
	who := sent(u.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}))(t)
	if aws.ToString(who.Account) != local.Account || aws.ToString(who.Arn) == "" || aws.ToString(who.UserId) == "" {
		t.Errorf("the caller: %+v", who)
	}
	_, err := u.sts.GetSessionToken(ctx, &sts.GetSessionTokenInput{})
	awsCode(t, "another action", "InvalidAction", err)
}

// What no SDK sends.
func TestAWSRequestsThatAreNone(t *testing.T) {
	u := awsOpen(t, local.Options{})
	for _, c := range []struct {
		what, target, kind, body string
		status                   int
		code                     string
	}{
		{"no target", "", "application/json", `{}`, 400, "UnknownOperationException"},
		{"another service", "DynamoDB_20120810.ListTables", "application/x-amz-json-1.0", `{}`, 400, "UnknownOperationException"},
		{"another operation", "AWSEvents.PutRule", "application/x-amz-json-1.1", `{}`, 400, "UnknownOperationException"},
		{"no operation", "AWSStepFunctions", "application/x-amz-json-1.0", `{}`, 400, "UnknownOperationException"},
		{"no JSON", "AWSEvents.PutEvents", "application/x-amz-json-1.1", `{`, 400, "SerializationException"},
		{"another type", "AWSStepFunctions.StartExecution", "application/x-amz-json-1.0", `{"stateMachineArn":1}`, 400, "SerializationException"},
		{"no body", "AWSStepFunctions.DescribeExecution", "application/x-amz-json-1.0", ``, 400, "ValidationException"},
		{"no entries", "AWSEvents.PutEvents", "application/x-amz-json-1.1", `{}`, 400, "ValidationException"},
		{"a token without output", "AWSStepFunctions.SendTaskSuccess", "application/x-amz-json-1.0", `{"taskToken":"x"}`, 400, "ValidationException"},
		{"no job", "SageMaker.DescribeTrainingJob", "application/x-amz-json-1.1", `{}`, 400, "ResourceNotFound"},
		{"too large", "AWSEvents.PutEvents", "application/x-amz-json-1.1", strings.Repeat(" ", 5<<20), 413, "RequestEntityTooLargeException"},
		{"an empty form", "", "application/x-www-form-urlencoded", ``, 400, "MissingAction"},
		{"another version", "", "application/x-www-form-urlencoded; charset=utf-8", `Action=GetCallerIdentity&Version=1`, 400, "InvalidAction"},
	} {
		req := sent(http.NewRequestWithContext(t.Context(), "POST", u.url+"/", strings.NewReader(c.body)))(t)
		req.Header.Set("Content-Type", c.kind)
		if c.target != "" {
			req.Header.Set("X-Amz-Target", c.target)
		}
		resp := sent(http.DefaultClient.Do(req))(t)
		body := sent(io.ReadAll(resp.Body))(t)
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if resp.StatusCode != c.status || !strings.Contains(string(body), c.code) || resp.Header.Get("X-Amzn-Requestid") == "" {
			t.Errorf("%s: %d %s", c.what, resp.StatusCode, body)
		}
	}
}
