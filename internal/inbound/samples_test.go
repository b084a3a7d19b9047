package inbound

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"nightshift/events"
	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// The people and things of the evening that the samples tell of.
const (
	ana   = "544894e8-80c1-707f-60e3-3ba6510dfac1"
	ben   = "94d00cd8-e9e6-4810-b177-b08e84775435"
	admin = "c4488478-a0e1-700e-3d75-96c6bb641596"
	group = "64c8a4f8-3031-70f2-3c1a-6e2f3b9d1c07"

	anasPortal = "90e292de-5eb8-446e-9602-90f7c45044f7"
	bensPortal = "cdee2490-82ed-43b3-96ee-b75fbf0b97a5"

	leaver   = "arn:aws:sts::111122223333:assumed-role/leaver-automation/leaver-automation"
	scimUser = "WebIdentityUser"
	studio   = "arn:aws:sts::123456789012:assumed-role/AmazonSageMaker-ExecutionRole-20260904/SageMaker"
	starter  = "arn:aws:sts::123456789012:assumed-role/nightshift-start-run/nightshift-start-run"
	platform = "arn:aws:sts::123456789012:assumed-role/platform-admin/terraform"

	application = "arn:aws:sso::111122223333:application/ssoins-7223a1b2c3d4e5f6/apl-9b1f0c2d3e4a5b6c"
	domain      = "d-5xk2pq7rm9tz"
	inSageMaker = "sagemaker/123456789012/us-east-1"
	execution   = "arn:aws:states:us-east-1:123456789012:execution:nightshift-run:3f0d6a51-8a76-4c40-b2f1-6f2de9a0c114"
	ourSession  = "5c1f0a9e7b3d2468"
	jobName     = "churn-xgb-2026-11-20-18-04-11-532"
	procName    = "tokenize-reviews-2026-11-20"
)

var (
	received = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

	trainingJob   = workload.Run{Engine: workload.SageMakerTraining, Endpoint: inSageMaker, ID: "training-job/" + jobName, Name: jobName, MaxRuntime: 48 * time.Hour, Domain: domain}
	processingJob = workload.Run{Engine: workload.SageMakerProcessing, Endpoint: inSageMaker, ID: "processing-job/" + procName, Name: procName, MaxRuntime: 24 * time.Hour}
	pipeline      = workload.Run{Engine: workload.SageMakerPipeline, Endpoint: inSageMaker, ID: "pipeline/nightly-features/execution/p4jn9xou8a8s"}
	jobRun        = workload.Run{Engine: workload.EMRContainers, Endpoint: "emr-containers/123456789012/us-east-1", ID: "fd2xv7mzq8b1kwr3n5t0jy6ua/00000003b1l5c7m2p8q"}
	notebook      = workload.Run{Engine: workload.EMRNotebook, Endpoint: "emr-notebook/123456789012/us-east-1", ID: "ex-J0M3QK7VXT2R9ZB5W1HPCDL8YNSFA", Cluster: "j-1YONHTCP3YZKC"}
	livy          = workload.Ref{Endpoint: "livy/j-1YONHTCP3YZKC", ID: "application_1795200000000_0042"}
)

// on is a time of the evening of 20 November, or of the morning after for hours
// before noon.
func on(clock string) time.Time {
	t, err := time.Parse("15:04:05", clock)
	if err != nil {
		panic(err)
	}
	day := 20
	if t.Hour() < 12 {
		day = 21
	}
	return time.Date(2026, 11, day, t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

// fact is a fact about a user; its id is the sample's.
func fact(kind session.Kind, clock, user, by string, more ...func(*session.Event)) app.Message {
	e := session.Event{Kind: kind, At: on(clock), Known: received, User: user, By: by}
	for _, f := range more {
		f(&e)
	}
	return app.Fact{Event: e}
}

func of(r workload.Ref) func(*session.Event) { return func(e *session.Event) { e.Run = r } }

func from(id, source string) func(*session.Event) {
	return func(e *session.Event) { e.Interactive = session.InteractiveSession{ID: id, Source: source} }
}

func ourRef() workload.Ref { return workload.Ref{Endpoint: SessionRef, ID: ourSession} }

// stepOf adds the job that a step runs.
func stepOf(m app.Message, job string) app.Message {
	change := m.(app.RunChange)
	change.Part = workload.Ref{Endpoint: change.Observation.Run.Endpoint, ID: job}
	return change
}

// observed is a state change.
func observed(run workload.Run, name string, s workload.State, clock, created, running, detail string) app.Message {
	o := workload.Observation{Run: run, Name: name, State: s, At: on(clock), Detail: detail}
	if created != "" {
		o.CreatedAt = on(created)
	}
	if running != "" {
		o.RunningSince = on(running)
	}
	return app.RunChange{Observation: o}
}

// anasStore is the identity store of the samples' users.
const anasStore = "d-9067a1b2c3"

// ofStore adds the identity store that the user is of.
func ofStore(m app.Message) app.Message {
	f := m.(app.Fact)
	f.Store = anasStore
	return f
}

func born(run workload.Run, clock, user, by, stamp string) app.Message {
	store := ""
	if user != "" {
		store = anasStore
	}
	return app.Birth{User: user, Store: store, Run: run, Stamp: stamp, At: on(clock), By: by}
}

func access(clock, user, group, application, by string) app.Message {
	return app.AccessCheck{User: user, Group: group, Application: application, At: on(clock), By: by}
}

// ignoredBecause stands for an Ignored whose reason contains these words.
type ignoredBecause struct {
	app.Message
	words string
}

func nothing(words string) app.Message { return ignoredBecause{words: words} }

// unknown stands for an Unrecognised of that kind, with the sample's bytes.
func unknown(kind, clock string) app.Message { return app.Unrecognised{Kind: kind, At: on(clock)} }

// wanted is what each sample means. Ids are filled in from the sample.
var wanted = map[string]app.Message{
	"cloudtrail-logout/ana-signs-out":    fact(session.SignOut, "19:02:37", ana, ana, from(anasPortal, "portal")),
	"cloudtrail-logout/type-unknown":     fact(session.SignOut, "21:47:05", ben, ben, from(bensPortal, "portal")),
	"cloudtrail-logout/no-credential-id": fact(session.SignOut, "00:12:44", ana, ana),

	"cloudtrail-create-token-with-iam/training-job":                       ofStore(fact(session.BackgroundTokenIssued, "18:04:13", ana, ana, of(trainingJob.Ref()))),
	"cloudtrail-create-token-with-iam/pipeline-execution-by-service-role": fact(session.BackgroundTokenIssued, "18:30:42", "", studio, of(pipeline.Ref())),
	"cloudtrail-create-token-with-iam/access-token":                       nothing("without a refresh token"),
	"cloudtrail-create-token-with-iam/refresh-token-without-a-run":        nothing("is not a run"),

	"cloudtrail-disable-user/ben-is-disabled": fact(session.UserDisabled, "22:15:09", ben, admin),
	"cloudtrail-disable-user/by-a-role-without-a-user": fact(session.UserDisabled, "22:16:30", ana,
		"arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_IdentityAdmin_4d6b2f1a9c0e7b35/dora"),
	"cloudtrail-disable-user/access-denied":       nothing("failed"),
	"cloudtrail-enable-user/ben-is-enabled":       fact(session.UserEnabled, "07:40:18", ben, admin),
	"cloudtrail-delete-user/by-directory":         fact(session.UserDeleted, "23:05:12", ben, admin),
	"cloudtrail-delete-user/by-identitystore":     fact(session.UserDeleted, "23:05:40", ben, leaver),
	"cloudtrail-delete-user/by-scim":              fact(session.UserDeleted, "23:06:02", ben, scimUser),
	"cloudtrail-update-user/scim-patch":           app.UserCheck{User: ben, At: on("22:41:55")},
	"cloudtrail-update-user/scim-put":             app.UserCheck{User: ben, At: on("22:43:10")},
	"cloudtrail-update-user/identitystore-update": app.UserCheck{User: ben, At: on("22:44:00")},

	"cloudtrail-access-removed/assignment-of-a-user":          access("20:31:15", ben, "", application, admin),
	"cloudtrail-access-removed/assignment-of-a-group":         access("20:31:48", "", group, application, admin),
	"cloudtrail-access-removed/member-removed-in-the-console": access("20:33:02", ben, group, "", admin),
	"cloudtrail-access-removed/membership-deleted":            access("20:33:40", "", "", "", leaver),
	"cloudtrail-access-removed/membership-deleted-with-names": access("20:34:11", ben, group, "", leaver),
	"cloudtrail-access-removed/group-deleted":                 access("20:35:00", "", group, "", leaver),
	"cloudtrail-access-removed/scim-patch-group":              access("20:36:27", "", group, "", scimUser),

	"cloudtrail-end-session/background-session-of-a-run": fact(session.RevokeBackground, "23:30:44", ana, admin, of(trainingJob.Ref())),
	"cloudtrail-end-session/interactive-session":         fact(session.RevokeInteractive, "23:31:20", ben, admin, from(bensPortal, "identity-center")),
	"cloudtrail-end-session/kind-not-said":               unknown("identitystore-auth.amazonaws.com/BatchDeleteSession", "23:32:01"),
	"cloudtrail-end-session/several-runs": app.Several{
		fact(session.RevokeBackground, "23:33:18", ana, admin, of(processingJob.Ref())),
		fact(session.RevokeBackground, "23:33:18", ana, admin, of(trainingJob.Ref())),
	},
	"cloudtrail-end-session/several-runs-and-one-not-named": app.Several{
		fact(session.RevokeBackground, "23:34:20", ana, admin, of(processingJob.Ref())),
		fact(session.RevokeBackground, "23:34:20", ana, admin, of(trainingJob.Ref())),
		unknown("identitystore-auth.amazonaws.com/BatchDeleteSession", "23:34:20"),
	},

	"cloudtrail-job-created/training-job-by-ana":           born(trainingJob, "18:04:11", ana, ana, ""),
	"cloudtrail-job-created/processing-job-without-a-user": born(processingJob, "18:22:05", "", studio, ""),
	"cloudtrail-job-created/pipeline-execution-by-ben":     born(pipeline, "18:30:40", ben, ben, ""),
	"cloudtrail-job-created/job-run-stamped":               born(jobRun, "18:41:19", "", starter, ourSession),
	"cloudtrail-job-created/notebook-execution-by-ana":     born(notebook, "18:52:30", ana, ana, ""),
	"cloudtrail-job-created/transform-job":                 nothing("shown as unsupported"),
	"cloudtrail-job-created/tuning-job":                    nothing("shown as unsupported"),

	"cloudtrail-update-domain/propagation-off": fact(session.IdentityPropagationOff, "01:10:33", "", platform, func(e *session.Event) { e.Domain = domain }),
	"cloudtrail-update-domain/propagation-on":  nothing("switched on"),
	"cloudtrail-update-domain/other-setting":   nothing("leaves identity propagation"),

	"sagemaker-training-job-state-change/starting":  observed(trainingJob, jobName, workload.Pending, "18:04:12", "18:04:11", "", "Starting"),
	"sagemaker-training-job-state-change/training":  observed(trainingJob, jobName, workload.Running, "18:07:31", "18:04:11", "18:06:02", "Training"),
	"sagemaker-training-job-state-change/completed": observed(trainingJob, jobName, workload.Succeeded, "06:41:08", "18:04:11", "18:06:02", "Completed"),
	"sagemaker-training-job-state-change/failed": observed(trainingJob, jobName, workload.Failed, "23:44:50", "18:04:11", "18:06:02",
		"ClientError: The user session of this job has expired."),
	"sagemaker-processing-job-state-change/in-progress":              observed(processingJob, procName, workload.Running, "18:25:35", "18:22:05", "18:25:34", ""),
	"sagemaker-processing-job-state-change/stopped-times-as-strings": observed(processingJob, procName, workload.Stopped, "22:19:47", "18:22:05", "18:25:34", ""),
	"sagemaker-processing-job-state-change/failed": observed(processingJob, procName, workload.Failed, "20:02:11", "18:22:05", "18:25:34",
		"InternalServerError: We encountered an internal error.  Please try again."),
	"sagemaker-pipeline-execution-status-change/executing":               observed(pipeline, "friday-backfill", workload.Running, "18:30:42", "18:30:41", "18:30:41", ""),
	"sagemaker-pipeline-execution-status-change/stopping":                observed(pipeline, "friday-backfill", workload.Stopping, "22:15:31", "18:30:41", "18:30:41", ""),
	"sagemaker-pipeline-execution-status-change/stopped":                 observed(pipeline, "friday-backfill", workload.Stopped, "22:18:03", "18:30:41", "18:30:41", ""),
	"sagemaker-pipeline-execution-status-change/succeeded":               observed(pipeline, "friday-backfill", workload.Succeeded, "03:10:10", "18:30:41", "18:30:41", ""),
	"sagemaker-pipeline-execution-status-change/completed-with-failures": observed(pipeline, "friday-backfill", workload.Succeeded, "03:10:10", "18:30:41", "18:30:41", ""),
	"sagemaker-pipeline-step-status-change/executing":                    stepOf(observed(pipeline, "", workload.Running, "18:33:20", "", "", "step extract (Processing): Executing"), "processing-job/pipelines-p4jn9xou8a8s-extract-qk7v3d1w2e"),
	"sagemaker-pipeline-step-status-change/stopped":                      nothing("says nothing of its pipeline"),

	"emr-containers-job-run-state-change/submitted": observed(jobRun, "ns-5c1f0a9e7b3d2468", workload.Pending, "18:41:33", "18:41:19", "", ""),
	"emr-containers-job-run-state-change/running": app.RunChange{Observation: workload.Observation{
		Run: jobRun, Name: "ns-5c1f0a9e7b3d2468", State: workload.Running, At: on("18:43:02"), CreatedAt: on("18:41:19"), Stamp: ourSession, User: ana}},
	"emr-containers-job-run-state-change/cancelled": observed(jobRun, "ns-5c1f0a9e7b3d2468", workload.Stopped, "22:20:58", "18:41:19", "", ""),
	"emr-containers-job-run-state-change/failed-other-detail-type-and-rubbish": observed(jobRun, "ns-5c1f0a9e7b3d2468", workload.Failed, "23:59:58", "", "",
		"USER_ERROR: Job ran out of memory"),
	"emr-cluster-state-change/waiting":                            app.ClusterChange{Cluster: "j-1YONHTCP3YZKC", At: on("17:40:12"), Reason: "Cluster ready to run steps."},
	"emr-cluster-state-change/terminated":                         app.ClusterChange{Cluster: "j-1YONHTCP3YZKC", Terminated: true, At: on("02:00:23"), Reason: "USER_REQUEST: Terminated by user request"},
	"emr-cluster-state-change/terminated-with-errors-and-rubbish": app.ClusterChange{Cluster: "j-1YONHTCP3YZKC", Terminated: true, At: on("02:14:09"), Reason: `{"code":`},
	"states-execution-status-change/aborted":                      app.ExecutionChange{Execution: execution, Status: "ABORTED", At: on("21:12:07")},
	"states-execution-status-change/timed-out":                    app.ExecutionChange{Execution: execution, Status: "TIMED_OUT", At: on("21:12:59")},
	"states-execution-status-change/running":                      nothing("RUNNING needs nothing"),

	"nightshift-signed-out/from-a-portal":     fact(session.SignOut, "19:02:37", ana, ana, from(anasPortal, "portal")),
	"nightshift-signed-out/from-a-webhook":    fact(session.SignOut, "21:47:05", ben, "okta-webhook"),
	"nightshift-revoked/interactive":          fact(session.RevokeInteractive, "23:31:20", ben, admin, from(bensPortal, "portal")),
	"nightshift-revoked/background-of-a-run":  fact(session.RevokeBackground, "23:30:44", ana, admin, of(trainingJob.Ref())),
	"nightshift-revoked/background-all":       fact(session.RevokeBackground, "00:05:00", ana, admin),
	"nightshift-user-disabled/from-a-webhook": fact(session.UserDisabled, "22:15:09", ben, "okta-webhook"),
	"nightshift-user-enabled/from-a-webhook":  fact(session.UserEnabled, "07:40:18", ben, "okta-webhook"),
	"nightshift-user-deleted/from-a-webhook":  fact(session.UserDeleted, "23:05:12", ben, "okta-webhook"),
	"nightshift-access-removed/after-a-check": fact(session.AccessRemoved, "20:31:15", ben, "access-review", func(e *session.Event) {
		e.Evidence = "ListApplicationAssignmentsForPrincipal answered none at 20:31:50Z"
	}),
	"nightshift-stop-requested/of-a-session":    fact(session.StopRequested, "22:20:31", "", admin, of(ourRef())),
	"nightshift-stop-requested/of-a-run":        fact(session.StopRequested, "22:21:10", "", ana, of(livy)),
	"nightshift-notebook-closed/studio-closed":  fact(session.NotebookClosed, "19:02:30", ana, "studio-extension"),
	"nightshift-notebook-closed/one-notebook":   fact(session.NotebookClosed, "19:01:58", ana, "", of(livy)),
	"nightshift-kernel-stopped/names-a-run":     fact(session.KernelStopped, "18:59:44", ana, ana, of(livy)),
	"nightshift-kernel-stopped/names-a-session": fact(session.KernelStopped, "19:00:10", "", "", of(ourRef())),
}

// idOf is the id that a sample's repetitions share: the sender's own, else
// CloudTrail's, else the envelope's.
func idOf(t *testing.T, body []byte) string {
	t.Helper()
	var e struct {
		ID     string
		Source string
		Detail struct {
			ID      string
			EventID string
		}
	}
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatal(err)
	}
	switch {
	case e.Source == "nightshift" && e.Detail.ID != "":
		return e.Detail.ID
	case e.Detail.EventID != "":
		return e.Detail.EventID
	}
	return e.ID
}

// fill puts what only the sample knows into what is wanted of it.
func fill(t *testing.T, m app.Message, body []byte) app.Message {
	id := idOf(t, body)
	switch m := m.(type) {
	case app.Fact:
		m.Event.ID = id
		return m
	case app.UserCheck:
		m.EventID = id
		return m
	case app.AccessCheck:
		m.EventID = id
		return m
	case app.Birth:
		m.EventID = id
		return m
	case app.RunChange:
		m.EventID = id
		return m
	case app.ClusterChange:
		m.EventID = id
		return m
	case app.ExecutionChange:
		m.EventID = id
		return m
	case app.Unrecognised:
		m.Body = body
		return m
	case app.Several:
		filled := make(app.Several, len(m))
		for i, part := range m {
			filled[i] = fill(t, part, body)
		}
		return filled
	}
	return m
}

func TestS3_1_S3_2_S3_3EachSampleMeansWhatItSays(t *testing.T) {
	looked := 0
	for _, kind := range events.Kinds() {
		if events.Outgoing(kind) {
			continue
		}
		schema := schemaOf(t, kind)
		if len(events.Samples(kind)) == 0 || len(events.Bad(kind)) < 3 {
			t.Errorf("%s has %d samples and %d bad events", kind, len(events.Samples(kind)), len(events.Bad(kind)))
		}
		for _, f := range events.Samples(kind) {
			name := kind + "/" + f.Name
			looked++
			if err := check(schema, f.Body); err != nil {
				t.Errorf("%s: its schema rejects it: %v", name, err)
			}
			want, ok := wanted[name]
			if !ok {
				t.Errorf("%s: this test does not say what it means", name)
				continue
			}
			got, err := Parse(f.Body, received)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if because, ok := want.(ignoredBecause); ok {
				if i, ok := got.(app.Ignored); !ok || !strings.Contains(i.Reason, because.words) {
					t.Errorf("%s: %T %+v, want it ignored because %q", name, got, got, because.words)
				}
				continue
			}
			if want = fill(t, want, f.Body); !reflect.DeepEqual(got, want) {
				t.Errorf("%s:\n got %T %+v\nwant %T %+v", name, got, got, want, want)
			}
		}
	}
	if looked == 0 || looked != len(wanted) {
		t.Errorf("%d samples looked at, %d expected", looked, len(wanted))
	}
}

func TestS3_6EachBadEventIsRefusedTwice(t *testing.T) {
	looked := 0
	for _, kind := range events.Kinds() {
		if events.Outgoing(kind) {
			continue
		}
		schema := schemaOf(t, kind)
		for _, f := range events.Bad(kind) {
			looked++
			name := kind + "/bad/" + f.Name
			if check(schema, f.Body) == nil {
				t.Errorf("%s: its schema accepts it", name)
			}
			m, err := Parse(f.Body, received)
			if !fault.Is(err, fault.Invalid) || m != nil {
				t.Errorf("%s: %T %+v, %v; want Invalid", name, m, m, err)
				continue
			}
			if said := err.Error(); strings.Contains(said, "\n") || !strings.Contains(said, ": ") {
				t.Errorf("%s: %q is not one sentence that names a field", name, said)
			}
		}
	}
	if looked == 0 {
		t.Fatal("no bad event looked at")
	}
}

func TestEachRuleHasItsFolderAndEachFolderItsRule(t *testing.T) {
	ruled := map[string]bool{}
	for _, e := range calls {
		ruled[e.kind] = true
	}
	for _, e := range announcements {
		ruled[e.kind] = true
	}
	for _, kind := range events.Kinds() {
		if !events.Outgoing(kind) && !ruled[kind] {
			t.Errorf("events/%s is read by no rule", kind)
		}
		if events.Outgoing(kind) && ruled[kind] {
			t.Errorf("events/%s goes out and is read by a rule", kind)
		}
		delete(ruled, kind)
	}
	if len(ruled) != 0 {
		t.Errorf("rules without a folder in events/: %v", ruled)
	}
}

func schemaOf(t *testing.T, kind string) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(events.Schema(kind)))
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("urn:test", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("urn:test")
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	return s
}

func check(s *jsonschema.Schema, body []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return s.Validate(doc)
}
