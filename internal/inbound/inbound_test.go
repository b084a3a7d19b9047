package inbound

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	emrtypes "github.com/aws/aws-sdk-go-v2/service/emr/types"
	emrcontainerstypes "github.com/aws/aws-sdk-go-v2/service/emrcontainers/types"
	sagemakertypes "github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"nightshift/events"
	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// sample reads a sample as a tree, to be changed.
func sample(t *testing.T, kind, name string) map[string]any {
	t.Helper()
	for _, f := range events.Samples(kind) {
		if f.Name == name {
			var tree map[string]any
			if err := json.Unmarshal(f.Body, &tree); err != nil {
				t.Fatal(err)
			}
			return tree
		}
	}
	t.Fatalf("events/%s/%s.json is not there", kind, name)
	return nil
}

func detailOf(tree map[string]any) map[string]any { return tree["detail"].(map[string]any) }

// parse reads a changed sample; it must be accepted.
func parse(t *testing.T, tree map[string]any) app.Message {
	t.Helper()
	m, err := refused(t, tree)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func refused(t *testing.T, tree map[string]any) (app.Message, error) {
	t.Helper()
	body, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return Parse(body, received)
}

func TestS3_1TheAffectedUserIsNotTheActingOne(t *testing.T) {
	looked := 0
	for _, kind := range []string{"cloudtrail-disable-user", "cloudtrail-enable-user", "cloudtrail-delete-user"} {
		for _, f := range events.Samples(kind) {
			m, err := Parse(f.Body, received)
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := m.(app.Fact); ok {
				looked++
				if got.Event.User == admin || got.Event.By == got.Event.User || got.Event.By == "" {
					t.Errorf("%s/%s: user %q by %q", kind, f.Name, got.Event.User, got.Event.By)
				}
			}
		}
	}
	if looked == 0 {
		t.Fatal("no fact looked at")
	}
}

func TestS3_1ACallThatFailedChangedNothing(t *testing.T) {
	looked := 0
	for _, kind := range events.Kinds() {
		if !strings.HasPrefix(kind, "cloudtrail-") {
			continue
		}
		for _, f := range events.Samples(kind) {
			tree := sample(t, kind, f.Name)
			detailOf(tree)["errorCode"] = "AccessDenied"
			if m := parse(t, tree); !isIgnored(m) {
				t.Errorf("%s/%s failed and is %T", kind, f.Name, m)
			}
			looked++
		}
	}
	if looked == 0 {
		t.Fatal("nothing looked at")
	}
	tree := sample(t, "cloudtrail-logout", "ana-signs-out")
	for _, none := range []any{nil, ""} {
		detailOf(tree)["errorCode"] = none
		if m := parse(t, tree); isIgnored(m) {
			t.Errorf("errorCode %v: %+v", none, m)
		}
	}
}

func isIgnored(m app.Message) bool { _, ok := m.(app.Ignored); return ok }

func TestS3_1UnknownEventsOfIdentitySourcesAreKept(t *testing.T) {
	for _, source := range identitySources {
		tree := sample(t, "cloudtrail-logout", "ana-signs-out")
		detailOf(tree)["eventSource"], detailOf(tree)["eventName"] = source, "EndUserSession"
		m, ok := parse(t, tree).(app.Unrecognised)
		if !ok || m.Kind != source+"/EndUserSession" || len(m.Body) == 0 || !m.At.Equal(on("19:02:37")) {
			t.Errorf("%s: %+v", source, m)
		}
		for _, known := range []string{"ListApplications", "GetRoleCredentials", "CreateToken", "CreateUser", "AddMemberToGroup", "DescribeUser", "BatchGetSession"} {
			detailOf(tree)["eventName"] = known
			if m := parse(t, tree); !isIgnored(m) {
				t.Errorf("%s/%s: %T", source, known, m)
			}
		}
	}
	for c := range harmless {
		tree := sample(t, "cloudtrail-logout", "ana-signs-out")
		tree["detail-type"] = "AWS Service Event via CloudTrail"
		detailOf(tree)["eventSource"], detailOf(tree)["eventName"] = c.source, c.name
		if m := parse(t, tree); !isIgnored(m) {
			t.Errorf("%s/%s: %T", c.source, c.name, m)
		}
	}
}

func TestS3_1AnUndocumentedRevocationIsNeverGuessed(t *testing.T) {
	for name, spoil := range map[string]func(p map[string]any){
		"no user":         func(p map[string]any) { delete(p, "userId") },
		"hidden user":     func(p map[string]any) { p["userId"] = hidden },
		"two users":       func(p map[string]any) { p["sessions"] = []any{map[string]any{"userId": ben}} },
		"kind of another": func(p map[string]any) { p["sessions"] = []any{map[string]any{"type": "APPLICATION"}} },
		"mixed kinds": func(p map[string]any) {
			p["sessions"] = []any{map[string]any{"type": "INTERACTIVE"}, map[string]any{"type": "USER_BACKGROUND"}}
		},
		"no session": func(p map[string]any) { delete(p, "sessions") },
		"one by its id": func(p map[string]any) {
			p["sessions"] = []any{map[string]any{"type": "USER_BACKGROUND_SESSION", "sessionId": "s-1"}}
		},
		"ids in a list": func(p map[string]any) {
			delete(p, "sessions")
			p["sessionType"], p["sessionIds"] = "USER_BACKGROUND_SESSION", []any{"s-1"}
		},
		"a list of ids": func(p map[string]any) { p["sessionType"], p["sessions"] = "BACKGROUND", []any{"s-1", "s-2"} },
		"another background": func(p map[string]any) {
			delete(p, "sessions")
			p["sessionType"] = "EXTENDED_BACKGROUND"
		},
		"not interactive": func(p map[string]any) {
			delete(p, "sessions")
			p["sessionType"], p["sessionIds"] = "NON_INTERACTIVE", []any{"s-1"}
		},
		"some interactive ones": func(p map[string]any) {
			delete(p, "sessions")
			p["sessionType"], p["sessionIds"] = "INTERACTIVE", []any{"s-1", "s-2"}
		},
	} {
		tree := sample(t, "cloudtrail-end-session", "background-session-of-a-run")
		spoil(detailOf(tree)["requestParameters"].(map[string]any))
		if m, ok := parse(t, tree).(app.Unrecognised); !ok {
			t.Errorf("%s: %T, want it unrecognised", name, m)
		}
	}
	for _, parameters := range []any{nil, "HIDDEN", []any{}, map[string]any{}} {
		tree := sample(t, "cloudtrail-end-session", "background-session-of-a-run")
		detailOf(tree)["requestParameters"] = parameters
		if m, ok := parse(t, tree).(app.Unrecognised); !ok {
			t.Errorf("%v: %T, want it unrecognised", parameters, m)
		}
	}
}

func TestS2_10TimesComeInEachFormAndAreTheEventsOwn(t *testing.T) {
	want := time.Date(2026, 11, 20, 18, 4, 11, 0, time.UTC)
	for _, form := range []any{1795197851000, "1795197851000", 1795197851, "1795197851.0", "2026-11-20T18:04:11Z", "2026-11-20T19:04:11+01:00"} {
		tree := sample(t, "sagemaker-training-job-state-change", "starting")
		detailOf(tree)["LastModifiedTime"] = form
		m := parse(t, tree).(app.RunChange)
		if !m.Observation.At.Equal(want) || m.Observation.At.Location() != time.UTC {
			t.Errorf("%v: %v, want %v", form, m.Observation.At, want)
		}
	}
	for _, form := range []any{"", "NaN", "Inf", -1, 1e300, "1e400", true, "9999-12-31T00:00:00Z", "99999999999999999999"} {
		tree := sample(t, "sagemaker-training-job-state-change", "starting")
		detailOf(tree)["LastModifiedTime"] = form
		if _, err := refused(t, tree); !fault.Is(err, fault.Invalid) {
			t.Errorf("%v: %v, want Invalid", form, err)
		}
	}
}

func TestS2_4NoEventIsLaterThanItsArrival(t *testing.T) {
	tree := sample(t, "cloudtrail-logout", "ana-signs-out")
	detailOf(tree)["eventTime"] = "2099-01-01T00:00:00Z"
	if m := parse(t, tree).(app.Fact); !m.Event.At.Equal(received) {
		t.Errorf("a sign-out dated 2099 is taken to be at %v, want %v", m.Event.At, received)
	}
}

func TestOnlyAWSRecordsCalls(t *testing.T) {
	tree := sample(t, "cloudtrail-logout", "ana-signs-out")
	for source, believed := range map[string]bool{"aws.sso": true, "aws.anything": true, "aws.partner/example.com/tenant": false, "nightshift": false, "com.example": false} {
		tree["source"] = source
		if m := parse(t, tree); isIgnored(m) == believed {
			t.Errorf("source %s: %T", source, m)
		}
	}
	tree["source"] = "aws.sso"
	for _, detailType := range []string{"AWS Service Event via CloudTrail", "AWS Console Sign In via CloudTrail", "AWS Console Signin via CloudTrail"} {
		tree["detail-type"] = detailType
		if m := parse(t, tree); isIgnored(m) {
			t.Errorf("%s: %+v", detailType, m)
		}
	}
}

func TestS3_6WhatIsNotForUsIsIgnoredWithAReason(t *testing.T) {
	for _, body := range []string{
		`{"source":"aws.ec2","detail-type":"EC2 Instance State-change Notification","detail":{}}`,
		`{"source":"nightshift","detail-type":"Nightshift Session Opened","detail":"x"}`,
		`{"source":"aws.s3","detail-type":"AWS API Call via CloudTrail","detail":{"eventSource":"s3.amazonaws.com","eventName":"PutObject"}}`,
		`{"source":"aws.emr-containers","detail-type":"EMR Job Run New Driver Attempt","detail":{}}`,
	} {
		m, err := Parse([]byte(body), received)
		if i, ok := m.(app.Ignored); err != nil || !ok || i.Reason == "" {
			t.Errorf("%s: %+v, %v", body, m, err)
		}
	}
}

func TestS3_6AMisspeltEventOfOurOwnIsKept(t *testing.T) {
	for detailType, kind := range map[string]string{
		"Nightshift Signed out":        "nightshift/Nightshift Signed out",
		"Nightshift Alert ":            "nightshift/Nightshift Alert ",
		"Abgemeldet für heute":         "nightshift/Abgemeldet für heute",
		strings.Repeat("x", kindMax):   "nightshift/" + strings.Repeat("x", kindMax),
		strings.Repeat("x", kindMax+1): "nightshift/unreadable",
		"Nightshift\nRevoked":          "nightshift/unreadable",
		"Nightshift \ufffd":            "nightshift/unreadable",
		"Nightshift \u202eRevoked":     "nightshift/unreadable",
	} {
		for _, detail := range []any{map[string]any{"user": ana}, "x", nil} {
			tree := sample(t, "nightshift-signed-out", "from-a-portal")
			tree["detail-type"], tree["detail"] = detailType, detail
			m, ok := parse(t, tree).(app.Unrecognised)
			if !ok || m.Kind != kind || !strings.Contains(string(m.Body), "detail-type") || !m.At.Equal(received) || m.At.Location() != time.UTC {
				t.Errorf("%q, detail %v: %+v", detailType, detail, m)
			}
		}
	}
}

func TestWhatWeSayIsNotKept(t *testing.T) {
	said := map[string]bool{}
	for _, kind := range events.Kinds() {
		for _, f := range events.Samples(kind) {
			if !events.Outgoing(kind) {
				continue
			}
			tree := sample(t, kind, f.Name)
			said[tree["detail-type"].(string)] = true
			if m := parse(t, tree); !isIgnored(m) {
				t.Errorf("%s/%s: %T", kind, f.Name, m)
			}
		}
	}
	if !maps.Equal(said, spoken) {
		t.Errorf("events/ says %v, inbound knows %v", said, spoken)
	}
}

func TestS3_6WhatIsNoEventIsRefused(t *testing.T) {
	for body, words := range map[string]string{
		``: "not JSON", `null`: "null", `[]`: "a list", `"x"`: "a string", `{}{}`: "something follows", `{}`: "source", "\xff": "not JSON",
		`{"source":"aws.sso"}`: "detail-type",
		`{"source":"aws.sso","detail-type":"AWS API Call via CloudTrail"}`:                                                      "detail",
		`{"source":"aws.sso","detail-type":"AWS API Call via CloudTrail","detail":{}}`:                                          "detail.eventSource",
		`{"source":"aws.sso","detail-type":"AWS API Call via CloudTrail","detail":{"eventSource":"x","eventName":"Log out\n"}}`: "detail.eventName",
		strings.Repeat("[", 100000):                    "not JSON",
		`{"a":"` + strings.Repeat("x", BodyMax) + `"}`: fmt.Sprint(BodyMax + 8),
	} {
		m, err := Parse([]byte(body), received)
		if !fault.Is(err, fault.Invalid) || m != nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%.60s: %v, %v; want Invalid with %q", body, m, err, words)
		}
	}
}

func TestTheFieldIsNamedByItsPath(t *testing.T) {
	tree := sample(t, "cloudtrail-logout", "ana-signs-out")
	delete(detailOf(tree)["userIdentity"].(map[string]any)["onBehalfOf"].(map[string]any), "userId")
	_, err := refused(t, tree)
	var f *fault.Error
	if !errors.As(err, &f) || !strings.HasPrefix(f.Err.Error(), "detail.userIdentity.onBehalfOf.userId: ") {
		t.Errorf("%v", err)
	}
}

func TestTrainingWaitsUntilItTrains(t *testing.T) {
	for secondary, want := range map[string]workload.State{
		"Starting": workload.Pending, "Pending": workload.Pending, "LaunchingMLInstances": workload.Pending,
		"PreparingTrainingStack": workload.Pending, "Downloading": workload.Pending, "DownloadingTrainingImage": workload.Pending,
		"Training": workload.Running, "Uploading": workload.Running, "Interrupted": workload.Running, "": workload.Running,
	} {
		tree := sample(t, "sagemaker-training-job-state-change", "training")
		detailOf(tree)["SecondaryStatus"] = secondary
		o := parse(t, tree).(app.RunChange).Observation
		if o.State != want || o.RunningSince.IsZero() != (want == workload.Pending) {
			t.Errorf("%s: %s since %v, want %s", secondary, o.State, o.RunningSince, want)
		}
	}
	tree := sample(t, "sagemaker-training-job-state-change", "starting")
	delete(detailOf(tree), "SecondaryStatus")
	if o := parse(t, tree).(app.RunChange).Observation; o.State != workload.Pending {
		t.Errorf("neither secondary status nor start time: %s", o.State)
	}
}

func TestRefOfARN(t *testing.T) {
	for arn, want := range map[string]workload.Run{
		"arn:aws:sagemaker:us-east-1:123456789012:training-job/" + jobName:                                                     trainingJob,
		"arn:aws:sagemaker:us-east-1:123456789012:processing-job/" + procName:                                                  processingJob,
		"arn:aws:sagemaker:us-east-1:123456789012:pipeline/nightly-features/execution/p4jn9xou8a8s":                            pipeline,
		"arn:aws:emr-containers:us-east-1:123456789012:/virtualclusters/fd2xv7mzq8b1kwr3n5t0jy6ua/jobruns/00000003b1l5c7m2p8q": jobRun,
		"arn:aws:elasticmapreduce:us-east-1:123456789012:notebook-execution/ex-J0M3QK7VXT2R9ZB5W1HPCDL8YNSFA":                  notebook,
		"arn:aws:sagemaker:us-east-1:123456789012:processing-job/Churn-Model-1":                                                {Engine: workload.SageMakerProcessing, Endpoint: inSageMaker, ID: "processing-job/churn-model-1"},
		"arn:aws-cn:sagemaker:cn-north-1:123456789012:training-job/x":                                                          {Engine: workload.SageMakerTraining, Endpoint: "sagemaker/123456789012/cn-north-1", ID: "training-job/x"},
	} {
		engine, ref, ok := RefOfARN(arn)
		if !ok || engine != want.Engine || ref != want.Ref() {
			t.Errorf("%s: %s %+v %v", arn, engine, ref, ok)
		}
	}
	for _, arn := range []string{
		"", "arn", "arn:aws:sagemaker", "arn:aws:sagemaker:us-east-1::training-job/x", "arn:aws:sagemaker::1:training-job/x",
		"arn:aws:sagemaker:us-east-1:1:training-job/", "arn:aws:sagemaker:us-east-1:1:/training-job/x", "arn:aws:sagemaker:us-east-1:1:training-job/x/y",
		"arn:aws:sagemaker:us-east-1:1:pipeline/p", "arn:aws:sagemaker:us-east-1:1:model/m", "arn:aws:s3:us-east-1:1:training-job/x",
		"arn:aws:emr-containers:us-east-1:1:/virtualclusters/v", "arn:aws:emr-containers:us-east-1:1:virtualclusters/v/jobruns/j",
		"arn:aws:emr-containers:us-east-1:1:/virtualclusters//jobruns/j",
		"arn:aws:elasticmapreduce:us-east-1:1:cluster/j-1", "arn:aws:elasticmapreduce:us-east-1:1:notebook-execution/", "arn:aws:elasticmapreduce:us-east-1:1:editor/e-1",
	} {
		if engine, ref, ok := RefOfARN(arn); ok {
			t.Errorf("%s names %s %+v", arn, engine, ref)
		}
	}
}

func TestS8_1OnlyStopsAndKernelsNameASession(t *testing.T) {
	looked := 0
	for name, want := range wanted {
		f, ok := want.(app.Fact)
		if !ok || f.Event.Run.Endpoint != SessionRef {
			continue
		}
		looked++
		if f.Event.Kind != session.StopRequested && f.Event.Kind != session.KernelStopped {
			t.Errorf("%s names a session", name)
		}
	}
	if looked == 0 {
		t.Fatal("nothing looked at")
	}
	tree := sample(t, "nightshift-stop-requested", "of-a-run")
	detailOf(tree)["run"] = map[string]any{"endpoint": SessionRef, "id": ourSession}
	if _, err := refused(t, tree); !fault.Is(err, fault.Invalid) {
		t.Errorf("a run whose endpoint is %q: %v", SessionRef, err)
	}
}

// FuzzParse holds that no bytes make Parse panic, that its errors are Invalid
// only, and that a fact about a user names one.
func FuzzParse(f *testing.F) {
	for _, kind := range events.Kinds() {
		for _, s := range append(events.Samples(kind), events.Bad(kind)...) {
			f.Add(s.Body)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := Parse(body, received)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid || m != nil {
				t.Fatalf("%T, %v", m, err)
			}
			return
		}
		says(t, m)
	})
}

// says holds what each message must say.
func says(t *testing.T, m app.Message) {
	switch m := m.(type) {
	case nil:
		t.Fatal("neither a message nor an error")
	case app.Several:
		if len(m) < 2 {
			t.Fatalf("%d messages are not several", len(m))
		}
		for _, part := range m {
			says(t, part)
		}
	case app.Fact:
		e := m.Event
		if e.ID == "" || e.At.IsZero() || e.At.After(received) || e.Kind.AboutUser() && e.User == "" {
			t.Fatalf("%+v", e)
		}
	case app.RunChange:
		o := m.Observation
		if o.State == "" || o.Run.ID == "" || o.Run.Endpoint == "" || o.At.IsZero() {
			t.Fatalf("%+v", o)
		}
	case app.Birth:
		if m.Run.ID == "" || m.Run.Engine == "" {
			t.Fatalf("%+v", m)
		}
	}
}

// TestS3_2EachStateOfTheServicesIsKnown holds the tables against the words that
// the SDK knows, so that a word that AWS adds is looked at.
func TestS3_2EachStateOfTheServicesIsKnown(t *testing.T) {
	looked := 0
	check := func(what string, table map[string]workload.State, words []string) {
		for _, word := range words {
			looked++
			if _, ok := table[word]; !ok {
				t.Errorf("%s: the state %s is not known", what, word)
			}
		}
		for word, s := range table {
			if ended := strings.HasPrefix(strings.ToUpper(word), "COMPLETED") || slices.Contains([]string{"Succeeded", "Stopped", "Failed", "CANCELLED", "FAILED"}, word); ended != s.Over() {
				t.Errorf("%s: %s is %s", what, word, s)
			}
		}
	}
	check("training job", jobStates, texts(sagemakertypes.TrainingJobStatus("").Values()))
	check("processing job", jobStates, texts(sagemakertypes.ProcessingJobStatus("").Values()))
	check("pipeline execution", pipelineStates, texts(sagemakertypes.PipelineExecutionStatus("").Values()))
	check("job run", jobRunStates, texts(emrcontainerstypes.JobRunState("").Values()))
	for _, word := range emrtypes.ClusterState("").Values() {
		looked++
		if _, ok := clusterOver[string(word)]; !ok {
			t.Errorf("cluster: the state %s is not known", word)
		}
	}
	if looked < 30 {
		t.Errorf("only %d states were looked at", looked)
	}
}

func texts[T ~string](words []T) []string {
	var all []string
	for _, w := range words {
		all = append(all, string(w))
	}
	return all
}

// The kinds that are read, and one interactive session in a list.
func TestS3_1RevocationsAreReadByTheirExactKind(t *testing.T) {
	for kind, want := range map[string]session.Kind{
		"USER_BACKGROUND_SESSION": session.RevokeBackground, "user-background": session.RevokeBackground, "Background": session.RevokeBackground,
		"INTERACTIVE": session.RevokeInteractive, "USER_INTERACTIVE_SESSIONS": session.RevokeInteractive,
	} {
		tree := sample(t, "cloudtrail-end-session", "background-session-of-a-run")
		p := detailOf(tree)["requestParameters"].(map[string]any)
		delete(p, "sessions")
		p["sessionType"] = kind
		if want == session.RevokeInteractive {
			p["sessionIds"] = []any{"s-1"}
		}
		m, ok := parse(t, tree).(app.Fact)
		if !ok || m.Event.Kind != want || want == session.RevokeInteractive && m.Event.Interactive.ID != "s-1" {
			t.Errorf("%s: %+v", kind, m)
		}
	}
}
