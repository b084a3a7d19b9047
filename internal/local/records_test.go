package local_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/emrcontainers"
	emrtypes "github.com/aws/aws-sdk-go-v2/service/emrcontainers/types"

	"nightshift/internal/app"
	"nightshift/internal/asl/clock"
	"nightshift/internal/local"
	"nightshift/internal/memstore"
	"nightshift/internal/session"
)

// found is the one session there is.
func found(t *testing.T, records app.Store) session.Session {
	t.Helper()
	page, err := records.List(t.Context(), "")
	if err != nil || len(page.Sessions) != 1 {
		t.Fatalf("%d sessions, %v", len(page.Sessions), err)
	}
	return page.Sessions[0]
}

// outlive plays a system, and a later one on the same records, and checks what
// the later one makes of them.
func outlive(t *testing.T, records app.Store) {
	t.Helper()
	ctx := t.Context()
	if at, err := local.Resume(ctx, records, awsBegan); err != nil || !at.Equal(awsBegan) {
		t.Fatalf("on new records the clock begins at %s, %v", at, err)
	}
	u := awsOpen(t, local.Options{Store: records})
	u.startRun("nightly")
	u.pass(3*time.Minute + 30*time.Second)
	before, last := found(t, records), u.s.Clock.Now()
	if before.Status != session.Active || before.Run.ID == "" {
		t.Fatalf("before: %+v", before)
	}
	u.s.Close()

	// In real time next to nothing has passed.
	at, err := local.Resume(ctx, records, awsBegan.Add(time.Second))
	if err != nil || at.Before(last) || at.After(last.Add(2*time.Minute)) {
		t.Fatalf("it stopped at %s and goes on at %s, %v", last, at, err)
	}
	if at, err := local.Resume(ctx, records, last.Add(time.Hour)); err != nil || !at.Equal(last.Add(time.Hour)) {
		t.Errorf("an hour later it goes on at %s, %v", at, err)
	}
	u = awsOpen(t, local.Options{Store: records, Clock: clock.New(at)})
	if again := found(t, records); again.ID != before.ID || again.Status != session.Active {
		t.Errorf("after: %+v", again)
	}
	u.pass(20 * time.Minute)
	if over := found(t, records); over.Status != session.Ended || over.End.Cause != session.CauseLost {
		t.Errorf("the engine has forgotten its run, and the session is %s, %s", over.Status, over.End.Cause)
	}
	if got := u.runID(); strings.HasPrefix(got, "0000000000") {
		t.Errorf("a later simulator gives out the ids of the earlier one: %s", got)
	}
}

// runID is the id of a job run that is started now.
func (u *awsUser) runID() string {
	u.t.Helper()
	out := sent(u.emr.StartJobRun(u.t.Context(), &emrcontainers.StartJobRunInput{
		VirtualClusterId: aws.String(local.VirtualCluster), Name: aws.String("etl"), ExecutionRoleArn: aws.String("arn:aws:iam::123456789012:role/job"),
		ReleaseLabel: aws.String("emr-7.12.0-latest"), JobDriver: &emrtypes.JobDriver{SparkSubmitJobDriver: &emrtypes.SparkSubmitJobDriver{EntryPoint: aws.String("s3://b/a.py")}},
	}))(u.t)
	return aws.ToString(out.Id)
}

func TestRecordsOutliveTheSystem(t *testing.T) { outlive(t, memstore.New()) }

// A system that dies between a commit and its stream leaves entries that are not
// done; the next one carries their effects out.
func TestRecordsWhoseEffectsACrashLost(t *testing.T) {
	ctx, records := t.Context(), memstore.New()
	unfinished := func(at time.Time) int {
		entries, _, err := records.Unfinished(ctx, at, "")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	u := awsOpen(t, local.Options{Store: records})
	u.startRun("nightly")
	u.pass(100 * time.Millisecond)
	u.s.Close()
	if unfinished(awsBegan.Add(time.Hour)) == 0 {
		t.Fatal("nothing was lost: the test looks at nothing")
	}
	at, err := local.Resume(ctx, records, awsBegan)
	if err != nil {
		t.Fatal(err)
	}
	u = awsOpen(t, local.Options{Store: records, Clock: clock.New(at)})
	u.pass(5 * time.Minute)
	if n := unfinished(u.s.Clock.Now().Add(time.Hour)); n != 0 {
		t.Errorf("%d entries are not done", n)
	}
}

// dark is a store whose marks can not be read.
type dark struct{ app.Store }

var errDark = errors.New("dark")

func (dark) Mark(context.Context, string) (time.Time, error) { return time.Time{}, errDark }

func TestRecordsRefused(t *testing.T) {
	if _, err := local.Resume(t.Context(), dark{memstore.New()}, awsBegan); !errors.Is(err, errDark) {
		t.Errorf("records that can not be read: %v", err)
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_, _ = w.Write([]byte(`{"Table":{"TableName":"other","KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}}`))
	}))
	defer other.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, c := range []struct{ url, table, want string }{
		{"", "nightshift", "is not allowed; it must be the URL"}, {"127.0.0.1:8000", "nightshift", "is not allowed; it must be the URL"},
		{"ftp://127.0.0.1", "nightshift", "is not allowed; it must be the URL"}, {other.URL, "a b", `the table name "a b" is not allowed`},
		{gone.URL, "nightshift", "no DynamoDB engine answers at " + gone.URL}, {other.URL, "other", "is not one of Nightshift's"},
	} {
		_, err := local.OpenRecords(t.Context(), c.url, c.table)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 200 {
			t.Errorf("%q, %q: got %v, want one sentence that says %s", c.url, c.table, err, c.want)
		}
	}
}
