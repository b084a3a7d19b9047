package outbound

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
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

var update = flag.Bool("update", false, "write the samples of outgoing events anew")

func at(t *testing.T, clock string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339, clock)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

// training is Ana's training job of the evening that all samples tell of.
func training(t *testing.T) session.Session {
	opened := at(t, "2026-11-20T18:04:11Z")
	policy := session.DefaultPolicy()
	policy.Version, policy.ChangedAt, policy.InstanceBackground = 3, at(t, "2026-11-02T09:00:00Z"), session.On
	return session.Session{
		ID: "9f2c61d07be84a35", Version: 1, User: "544894e8-80c1-707f-60e3-3ba6510dfac1",
		Run: workload.Run{
			Engine: workload.SageMakerTraining, Endpoint: "sagemaker/123456789012/us-east-1",
			ID: "training-job/churn-xgb-2026-11-20-18-04-11-532", MaxRuntime: 48 * time.Hour, Domain: "d-5xk2pq7rm9tz",
		},
		Status: session.Active, Mode: session.Background, Origin: session.Adopted,
		OpenedAt: opened, RecordedAt: opened.Add(3 * time.Second),
		Policy:      policy,
		Facts:       session.Facts{IdentityPropagation: session.On, Instance: session.On, ApplicationBackground: session.On},
		Interactive: session.InteractiveSession{ID: "90e292de-5eb8-446e-9602-90f7c45044f7", Source: "portal", ExpiresAt: at(t, "2026-11-21T01:58:02Z")},
		Why:         []string{"the instance and the application allow background sessions"},
		Own:         session.Limit{At: opened.Add(7 * 24 * time.Hour), Source: session.SourceBackground},
		Deadline:    opened.Add(7 * 24 * time.Hour), DeadlineSource: session.SourceBackground,
		Waiter: "a-task-token", Recent: []string{"e1"},
	}
}

// spark is Ben's Livy session, which does not survive his sign-out.
func spark(t *testing.T) session.Session {
	s := training(t)
	s.ID, s.Version, s.User = "5c1f0a9e7b3d2468", 4, "94d00cd8-e9e6-4810-b177-b08e84775435"
	s.Run = workload.Run{
		Engine: workload.Livy, Endpoint: "livy/j-1YONHTCP3YZKC", ID: "application_1795200000000_0042",
		Kind: workload.LivySession, Application: workload.Spark,
	}
	s.Status, s.Mode, s.Origin = session.Ending, session.Interactive, session.Started
	s.Facts.ClusterBackground, s.Facts.ReleaseLabel = session.Off, "emr-7.11.0"
	s.Interactive = session.InteractiveSession{ID: "cdee2490-82ed-43b3-96ee-b75fbf0b97a5", Source: "portal"}
	s.Why = []string{"the cluster does not allow background sessions"}
	s.Deadline, s.DeadlineSource = at(t, "2026-11-21T02:40:00Z"), session.SourceInteractive
	s.RunningSince = at(t, "2026-11-20T18:41:30Z")
	s.Activity = session.Activity{At: at(t, "2026-11-20T21:45:00Z"), Since: at(t, "2026-11-20T21:31:12Z")}
	s.InteractiveGone = true
	s.End = session.End{
		Cause: session.CauseSignOut, Evidence: "e6e1f3df-9528-4c6d-a877-6b2b895d1f91", By: s.User,
		Happened: at(t, "2026-11-20T21:47:05Z"), Known: at(t, "2026-11-20T21:49:10Z"), Decided: at(t, "2026-11-20T21:49:11Z"),
	}
	return s
}

func ended(t *testing.T) session.Session {
	s := spark(t)
	s.Version, s.Status = 6, session.Ended
	s.End.Asked, s.End.Confirmed = at(t, "2026-11-20T21:49:13Z"), at(t, "2026-11-20T21:49:27.5Z")
	return s
}

// late is a session whose statement will not be done when it ends.
func late(t *testing.T) session.Session {
	s := spark(t)
	s.Status, s.End, s.InteractiveGone = session.Active, session.End{}, false
	s.Progress = workload.Progress{Of: "statement 3", Fraction: 0.5, Since: at(t, "2026-11-20T18:41:30Z"), At: at(t, "2026-11-20T23:41:30Z")}
	return s
}

// forgotten is Ana's training job, days after she went home.
func forgotten(t *testing.T) session.Session {
	s := training(t)
	s.Run.Billing = workload.Billing{InstanceType: "ml.g5.xlarge", Instances: 2, Department: "marketing", CostCenter: "4711"}
	s.Version, s.RunningSince, s.InteractiveGone, s.LeftAt = 5, s.OpenedAt, true, at(t, "2026-11-20T19:30:00Z")
	return s
}

// moved is the session of a notebook that runs on another cluster by now.
func moved(t *testing.T) session.Session {
	s := training(t)
	s.ID, s.Version, s.Previous, s.Origin = "s-0c59b2659da96238977ff1fc", 4, "s-87a254a208baf7c2bc0c9b86", session.Started
	s.Run = workload.Run{Engine: workload.EMRNotebook, Endpoint: "emr-notebook/123456789012/us-east-1", ID: "ex-J0M3QK7VXT2R9ZB5W1HPCDL8YNSFA", Cluster: "j-4SECONDCLUSTER"}
	s.RunningSince = at(t, "2026-11-20T18:32:01Z")
	return s
}

// said is the notice that the core makes of an event.
func said(t *testing.T, s session.Session, e session.Event) session.Effect {
	t.Helper()
	for _, effect := range session.Decide(s, e, s.Policy, e.At).Effects {
		if effect.Kind == session.Notice {
			return effect
		}
	}
	t.Fatalf("%s makes no notice", e.Kind)
	return session.Effect{}
}

// samples are the announcements whose events stand in events/.
func samples(t *testing.T) map[string]app.Announcement {
	say := func(kind string, s session.Session, f session.Effect, clock string) app.Announcement {
		effect := f.Kind
		if effect == "" {
			effect = session.Announce
		}
		return app.Announcement{ID: session.EffectID(s.ID, s.Version, effect), Kind: kind, At: at(t, clock), Session: s, Effect: f}
	}
	unknown := training(t)
	unknown.ID, unknown.Mode, unknown.Deadline, unknown.DeadlineSource = "1d4f0c7a92be6e83", session.ModeUnknown, time.Time{}, session.SourceNone
	unknown.Facts.ApplicationBackground = session.Unknown
	unknown.Why = []string{"whether the application allows background sessions could not be read"}
	return map[string]app.Announcement{
		"session-opened/background": say(SessionOpened, training(t), session.Effect{}, "2026-11-20T18:04:14Z"),
		"session-opened/unknown":    say(SessionOpened, unknown, session.Effect{}, "2026-11-20T18:04:14Z"),
		"session-ending/sign-out":   say(SessionEnding, spark(t), session.Effect{}, "2026-11-20T21:49:11Z"),
		"session-ended/sign-out":    say(SessionEnded, ended(t), session.Effect{}, "2026-11-20T21:49:27.5Z"),
		"notice/one-hour": say(Notice, training(t), session.Effect{Kind: session.Notice, Before: time.Hour},
			"2026-11-27T17:04:11Z"),
		"notice/late":      say(Notice, late(t), said(t, late(t), session.Event{Kind: session.ProgressSeen, At: late(t).Progress.At, Progress: late(t).Progress}), "2026-11-20T23:41:30Z"),
		"notice/forgotten": say(Notice, forgotten(t), said(t, forgotten(t), session.Event{Kind: session.CostSeen, At: at(t, "2026-11-25T08:00:00Z"), Cost: 217.4}), "2026-11-25T08:00:00Z"),
		"notice/why-it-ends": say(Notice, spark(t), session.Effect{Kind: session.Notify, Reason: string(session.CauseSignOut), Text: session.Explain(spark(t))},
			"2026-11-20T21:49:11Z"),
		"notice/moved": say(Notice, moved(t), session.Effect{Kind: session.Notice, Reason: app.NoticeMoved, Text: "Your notebook e-CHURN/churn.ipynb was moved from cluster j-3NOTEBOOKCLUSTER to j-4SECONDCLUSTER and runs there, under session s-0c59b2659da96238977ff1fc. " +
			"What was moved is the notebook's execution: the state of its kernel (variables, loaded data) is lost; the notebook as executed so far is kept at s3://notebooks/out/ex-H5K1M7VXT2R9ZB5W1HPCDL8YNSFAQ.ipynb."}, "2026-11-20T18:32:40Z"),
		"notice/checkpoint": say(Notice, ended(t), session.Effect{Kind: session.Notice, Reason: app.NoticeCheckpoint, Text: "Your run (livy, application_1795200000000_0042) has saved a checkpoint since you were told of its end: " +
			"s3://churn/checkpoints/part-41.parquet, written at 2026-11-20 21:49 UTC. A restart goes on from there: nightshift restart 5c1f0a9e7b3d2468."}, "2026-11-20T21:49:27.5Z"),
		"alert/unknown-mode": say(Alert, unknown, session.Effect{Kind: session.Alert, Reason: "mode-unknown",
			Text: "Whether this run may outlive its user's sign-out is not known: the application's setting could not be read."},
			"2026-11-20T18:04:14Z"),
		"orphan-found/processing-job": {ID: "orphan-5b7f2c", Kind: OrphanFound, At: at(t, "2026-11-20T18:26:00Z"), Orphan: workload.Observation{
			Run: workload.Run{Engine: workload.SageMakerProcessing, Endpoint: "sagemaker/123456789012/us-east-1",
				ID: "processing-job/tokenize-reviews-2026-11-20", MaxRuntime: 24 * time.Hour},
			Name: "tokenize-reviews-2026-11-20", State: workload.Running,
			At: at(t, "2026-11-20T18:25:58Z"), CreatedAt: at(t, "2026-11-20T18:22:05Z"), RunningSince: at(t, "2026-11-20T18:25:34Z"),
		}},
	}
}

// envelope puts a detail into the EventBridge event that carries it.
func envelope(t *testing.T, a app.Announcement) []byte {
	t.Helper()
	detailType, detail, err := Encode(a)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.MarshalIndent(struct {
		Version    string          `json:"version"`
		ID         string          `json:"id"`
		DetailType string          `json:"detail-type"`
		Source     string          `json:"source"`
		Account    string          `json:"account"`
		Time       string          `json:"time"`
		Region     string          `json:"region"`
		Resources  []string        `json:"resources"`
		Detail     json.RawMessage `json:"detail"`
	}{"0", "7bf73129-1428-4cd3-a780-95db273d1602", detailType, Source, "123456789012", a.At.Truncate(time.Second).Format(time.RFC3339), "us-east-1", []string{}, detail}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(body, '\n')
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

func TestEachSampleIsWhatEncodeSaysAndConforms(t *testing.T) {
	want, seen := samples(t), map[string]bool{}
	if *update {
		for name, a := range want {
			if err := os.WriteFile(filepath.Join("..", "..", "events", filepath.FromSlash(name)+".json"), envelope(t, a), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return // the samples were embedded before they were written: the next run compares
	}
	for _, kind := range events.Kinds() {
		if !events.Outgoing(kind) {
			continue
		}
		s := schemaOf(t, kind)
		for _, f := range events.Samples(kind) {
			name := kind + "/" + f.Name
			seen[name] = true
			a, ok := want[name]
			if !ok {
				t.Errorf("%s: no announcement in this test makes it", name)
				continue
			}
			if !bytes.Equal(envelope(t, a), f.Body) {
				t.Errorf("%s: Encode says\n%s", name, envelope(t, a))
			}
			if err := check(s, f.Body); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if len(events.Bad(kind)) == 0 {
			t.Errorf("%s has no bad events", kind)
		}
		for _, f := range events.Bad(kind) {
			if check(s, f.Body) == nil {
				t.Errorf("%s/bad/%s: the schema accepts it", kind, f.Name)
			}
		}
	}
	if len(seen) != len(want) || len(seen) < len(detailTypes) {
		t.Errorf("%d samples looked at, %d announcements, %d kinds", len(seen), len(want), len(detailTypes))
	}
}

// causes are all causes; the schemas list them too.
var causes = []session.Cause{
	session.CauseSignOut, session.CauseInteractiveExpired, session.CauseInteractiveRevoked, session.CauseNotebookClosed,
	session.CauseBackgroundExpired, session.CauseBackgroundRevoked, session.CauseUserDisabled, session.CauseUserDeleted,
	session.CauseAccessRemoved, session.CauseStopRequested, session.CauseWaiterAborted, session.CauseIdle, session.CauseKernelStopped,
	session.CauseMaxRuntime, session.CauseEngineLimit, session.CauseTenantLimit, session.CauseClusterTerminated, session.CauseFinished,
	session.CauseFailed, session.CauseStoppedElsewhere, session.CauseLost, session.CauseZombie,
}

func TestS2_7S2_8EachCauseIsEncodedWithItsWords(t *testing.T) {
	ending, over := schemaOf(t, SessionEnding), schemaOf(t, SessionEnded)
	told := map[string]bool{}
	for _, cause := range causes {
		s, e := spark(t), ended(t)
		s.End.Cause, e.End.Cause = cause, cause
		for schema, a := range map[*jsonschema.Schema]app.Announcement{
			ending: {ID: "i", Kind: SessionEnding, At: s.OpenedAt, Session: s},
			over:   {ID: "i", Kind: SessionEnded, At: s.OpenedAt, Session: e},
		} {
			if err := check(schema, envelope(t, a)); err != nil {
				t.Errorf("%s: %v", cause, err)
			}
			words := text(a)
			told[words] = true
			if !strings.Contains(words, session.Because(cause)) {
				t.Errorf("%s: %q does not say why", cause, words)
			}
		}
	}
	if len(told) != len(causes) {
		t.Errorf("%d causes are told in %d ways", len(causes), len(told))
	}
}

func TestS1_11TheOpeningSaysWhatTheModeMeans(t *testing.T) {
	told := map[string]bool{}
	for _, mode := range []session.Mode{session.Background, session.Interactive, session.Role, session.ModeUnknown} {
		s := training(t)
		s.Mode = mode
		told[text(app.Announcement{Kind: SessionOpened, Session: s})] = true
	}
	if len(told) != 4 {
		t.Errorf("four modes are told as %v", told)
	}
}

func TestS2_6APageIsAnAlertWithAName(t *testing.T) {
	a := app.Announcement{ID: "i", Kind: Alert, At: at(t, "2026-11-20T21:55:00Z"), Session: spark(t), Effect: session.Effect{Kind: session.Page}}
	if err := check(schemaOf(t, Alert), envelope(t, a)); err != nil {
		t.Error(err)
	}
}

func TestEncodeRefusesWhatIsNotAnAnnouncement(t *testing.T) {
	good := samples(t)["session-opened/background"]
	for name, spoil := range map[string]func(*app.Announcement){
		"unknown kind": func(a *app.Announcement) { a.Kind = "session-lost" },
		"no id":        func(a *app.Announcement) { a.ID = "" },
		"no time":      func(a *app.Announcement) { a.At = time.Time{} },
		"no session":   func(a *app.Announcement) { a.Session = session.Session{} },
	} {
		a := good
		spoil(&a)
		if _, _, err := Encode(a); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
	}
}

func TestS2_1LatenessIsFromKnownToConfirmed(t *testing.T) {
	if l := Session(spark(t)).End.LatenessSeconds; l != nil {
		t.Errorf("an ENDING session has lateness %v", *l)
	}
	if l := Session(ended(t)).End.LatenessSeconds; l == nil || *l != 17.5 {
		t.Errorf("lateness %v, want 17.5", l)
	}
	if Session(training(t)).End != nil {
		t.Error("an ACTIVE session has an end")
	}
}

func TestEntryViewLeavesTheTokenOut(t *testing.T) {
	e := app.Entry{
		SessionID: "s", Version: 2, At: at(t, "2026-11-20T18:04:14Z"), To: session.Active, Mode: session.Role, Hash: "h",
		Event: session.Event{Kind: session.WaiterRegistered, Token: "a-task-token", Run: workload.Ref{Endpoint: "livy/j-1", ID: "a"}},
		Effects: []session.Effect{
			{Kind: session.Notice, Before: time.Hour},
			{Kind: session.Stop, Reason: "sign-out", Text: "why"},
		},
	}
	body, err := json.Marshal(Entry(e))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"sessionId":"s","version":2,"at":"2026-11-20T18:04:14Z","event":{"kind":"waiter-registered","run":{"endpoint":"livy/j-1","id":"a"}},` +
		`"to":"ACTIVE","mode":"role","effects":[{"kind":"notice","before":"1h0m0s"},{"kind":"stop","reason":"sign-out","text":"why"}],"hash":"h","done":false}`
	if string(body) != want {
		t.Errorf("%s", body)
	}
	if body, _ := json.Marshal(Session(training(t))); bytes.Contains(body, []byte("a-task-token")) {
		t.Error("the session's view carries the task token")
	}
}

func TestTheSessionIsDescribedAlikeInEachSchema(t *testing.T) {
	var first any
	looked := 0
	for _, kind := range []string{SessionOpened, SessionEnding, SessionEnded, Notice, Alert} {
		var doc struct {
			Defs map[string]any `json:"$defs"`
		}
		if err := json.Unmarshal(events.Schema(kind), &doc); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = doc.Defs["session"]
		}
		if first == nil || !reflect.DeepEqual(first, doc.Defs["session"]) {
			t.Errorf("%s describes a session differently", kind)
		}
		looked++
	}
	if looked == 0 {
		t.Fatal("nothing looked at")
	}
}
