package local_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/identitystore"
	"github.com/aws/aws-sdk-go-v2/service/identitystore/document"
	"github.com/aws/aws-sdk-go-v2/service/identitystore/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"nightshift/internal/engine/simrun"
	"nightshift/internal/local"
	"nightshift/internal/session"
)

// livySession posts a Livy session in somebody's name, as anybody who reaches the server may.
func (u *awsUser) livySession(proxyUser string) {
	u.t.Helper()
	r, err := http.NewRequestWithContext(u.t.Context(), http.MethodPost, u.url+"/livy/sessions", strings.NewReader(`{"kind":"pyspark","proxyUser":"`+proxyUser+`"}`))
	if err != nil {
		u.t.Fatal(err)
	}
	r.Header.Set("X-Requested-By", "test")
	w := sent(http.DefaultClient.Do(r))(u.t)
	defer w.Body.Close()
	if said, _ := io.ReadAll(w.Body); w.StatusCode != http.StatusCreated {
		u.t.Fatalf("Livy answered %d %s", w.StatusCode, said)
	}
}

// TestS3_3ALivySessionUnderAUserName: it is adopted under the id of the user whose
// name it carries, and so ends at that user's sign-out, which names the id. One
// whose name is nobody's, or cannot be asked about, belongs to nobody.
func TestS3_3ALivySessionUnderAUserName(t *testing.T) {
	u := awsOpen(t, local.Options{})
	u.s.Directory.SetFacts(local.Livy, "", session.Facts{IdentityPropagation: session.On, ApplicationBackground: session.Off, ClusterBackground: session.Off, ReleaseLabel: "emr-7.12.0"})
	u.s.Directory.SetName("ana.perez@example.com", "u-ana")
	u.livySession("ana.perez@example.com")
	u.livySession("zeppelin")
	u.pass(7 * time.Minute)
	u.shown(map[string]string{"u-ana": "livy"}, session.Active, "")
	if n := u.orphans(); n != 1 {
		t.Errorf("S3.3 %d orphans are announced, want the one whose name is nobody's", n)
	}
	u.s.Directory.SetSilent(true)
	u.s.Directory.SetName("ben", "u-ben")
	u.livySession("ben")
	u.pass(10 * time.Minute)
	u.shown(map[string]string{"u-ana": "livy"}, session.Active, "")
	if n := u.orphans(); n != 1 {
		t.Errorf("S1.10 %d orphans are announced while the identity store is silent", n)
	}
	u.s.Directory.SetSilent(false)
	u.pass(6 * time.Minute)
	u.shown(map[string]string{"u-ana": "livy", "u-ben": "livy"}, session.Active, "")
	u.signOut("u-ana", "nightshift")
	u.signOut("u-ben", "nightshift")
	u.pass(10 * time.Minute)
	u.shown(map[string]string{"u-ana": "livy", "u-ben": "livy"}, session.Ended, session.CauseSignOut)
	for _, r := range u.s.Livy[local.Livy].Runs() {
		if stopped := len(r.Stops) > 0; stopped != (r.User != "zeppelin") {
			t.Errorf("the session of %s was asked to stop: %t", r.User, stopped)
		}
	}
}

// orphans counts the runs that were announced as nobody's.
func (u *awsUser) orphans() (n int) {
	for _, said := range u.s.Announced() {
		if said.DetailType == "Nightshift Orphan Found" {
			n++
		}
	}
	return n
}

// TestGetUserIdAtTheDoor: the local identity store answers as AWS's does.
func TestGetUserIdAtTheDoor(t *testing.T) {
	u := awsOpen(t, local.Options{})
	client := identitystore.NewFromConfig(aws.Config{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""), BaseEndpoint: aws.String(u.url),
		HTTPClient: simrun.Client(), Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	})
	ask := func(store, path, name string) (*identitystore.GetUserIdOutput, error) {
		return client.GetUserId(t.Context(), &identitystore.GetUserIdInput{IdentityStoreId: &store, AlternateIdentifier: &types.AlternateIdentifierMemberUniqueAttribute{
			Value: types.UniqueAttribute{AttributePath: &path, AttributeValue: document.NewLazyDocument(name)},
		}})
	}
	if out := sent(ask(local.IdentityStore, "userName", "ana"))(t); aws.ToString(out.UserId) != "u-ana" || aws.ToString(out.IdentityStoreId) != local.IdentityStore {
		t.Errorf("ana is %s of %s", aws.ToString(out.UserId), aws.ToString(out.IdentityStoreId))
	}
	for _, c := range []struct {
		store, name string
		want        types.ResourceType
	}{{local.IdentityStore, "zeppelin", types.ResourceTypeUser}, {local.IdentityStore, "u-ana", types.ResourceTypeUser}, {"d-0987654321", "ana", types.ResourceTypeIdentityStore}} {
		var missing *types.ResourceNotFoundException
		if _, err := ask(c.store, "userName", c.name); !errors.As(err, &missing) || missing.ResourceType != c.want {
			t.Errorf("%s of %s: %v, want %s not found", c.name, c.store, err, c.want)
		}
	}
	_, err := ask(local.IdentityStore, "emails.value", "ana")
	awsCode(t, "another attribute", "ValidationException", err)
	u.s.Directory.SetSilent(true)
	_, err = ask(local.IdentityStore, "userName", "ana")
	awsCode(t, "throttled", "ThrottlingException", err)
}

// TestS3_5AnAbortWhoseEventIsLost: the run of an execution that somebody aborted ends
// although nobody was told.
func TestS3_5AnAbortWhoseEventIsLost(t *testing.T) {
	u := awsOpen(t, local.Options{})
	arn := u.startRun("lost-abort")
	u.pass(3 * time.Minute)
	u.s.LoseExecutions(true)
	sent(u.states.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: &arn}))(t)
	u.pass(2 * time.Minute)
	u.pass(16 * time.Minute)
	u.shown(map[string]string{"u-chloe": "sagemaker-training"}, session.Ended, session.CauseWaiterAborted)
}

// TestS3_3ATagWithAUserName: a tag may carry the name as well as the id.
func TestS3_3ATagWithAUserName(t *testing.T) {
	u := awsOpen(t, local.Options{})
	u.trains("of-a-name", "chloe")
	u.trains("of-an-id", "u-dora")
	u.trains("of-nobody", "zeppelin")
	u.pass(7 * time.Minute)
	u.shown(map[string]string{"u-chloe": "sagemaker-training", "u-dora": "sagemaker-training"}, session.Active, "")
	u.signOut("u-chloe", "nightshift")
	u.signOut("u-dora", "nightshift")
	u.pass(12 * time.Minute)
	u.shown(map[string]string{"u-chloe": "sagemaker-training", "u-dora": "sagemaker-training"}, session.Ended, session.CauseSignOut)
	if n := u.orphans(); n != 1 {
		t.Errorf("%d orphans are announced, want the job of nobody's", n)
	}
}
