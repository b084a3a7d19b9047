package local_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/emrcontainers"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"nightshift/internal/asl"
	"nightshift/internal/asl/clock"
	"nightshift/internal/config"
	"nightshift/internal/engine/simrun"
	"nightshift/internal/local"
	"nightshift/internal/proof"
	"nightshift/internal/session"
	"nightshift/statemachines"
)

var (
	member = config.Place{Account: "210987654321", Region: "eu-west-1"}
	center = config.Place{Account: "111122223333", Region: "eu-central-1"}
)

// spreadUser is a local system with an account of engines and one of Identity Center
// besides its own.
type spreadUser struct {
	*awsUser
	m *local.Member
}

// openSpread begins later than the machine's clock: by that, credentials of the
// simulated STS are valid for long, so that only the virtual clock has them taken anew.
func openSpread(t *testing.T) *spreadUser {
	t.Helper()
	u := awsOpen(t, local.Options{Clock: clock.New(time.Date(2126, 11, 20, 18, 0, 0, 0, time.UTC)), Members: []config.Place{member}, Identity: center})
	u.s.Directory.SetFacts(local.EMROnEKS, "", session.Facts{IdentityPropagation: session.On, ApplicationBackground: session.Off})
	emr, _ := u.s.Members[0].Endpoints()
	u.s.Directory.SetFacts(emr, "", session.Facts{IdentityPropagation: session.On, ApplicationBackground: session.Off})
	u.s.EMR.Plan("", simrun.Plan{Work: 100 * time.Hour})
	u.s.Members[0].EMR.Plan("", simrun.Plan{Work: 100 * time.Hour})
	return &spreadUser{u, u.s.Members[0]}
}

// submit starts a job run at an endpoint through run.
func (u *spreadUser) submit(name, user, endpoint string) *asl.Execution {
	u.t.Helper()
	return u.execute(statemachines.Run, name, fmt.Sprintf(`{"user":%q,"engine":"emr-containers","endpoint":%q,"spec":{"virtualClusterId":%q,"name":"nightly","releaseLabel":"emr-7.12.0-latest",
		"executionRoleArn":"arn:aws:iam::210987654321:role/job-role","jobDriver":{"sparkSubmitJobDriver":{"entryPoint":"s3://b/job.py"}}}}`, user, endpoint, local.VirtualCluster))
}

// logout is CloudTrail's record of a sign-out, as it appears somewhere.
func (u *spreadUser) logout(user string, at config.Place) []byte {
	now := u.s.Clock.Now().Format(time.RFC3339)
	return fmt.Appendf(nil, `{"version":"0","id":"env-%[1]s-%[2]s","detail-type":"AWS API Call via CloudTrail","source":"aws.sso","account":%[2]q,"region":%[3]q,"time":%[4]q,"resources":[],
		"detail":{"eventTime":%[4]q,"eventSource":"sso.amazonaws.com","eventName":"Logout","eventID":"logout-%[1]s-%[2]s","eventType":"AwsApiCall",
		"userIdentity":{"type":"IdentityCenterUser","onBehalfOf":{"userId":%[1]q,"identityStoreArn":"arn:aws:identitystore::111122223333:identitystore/%[5]s"}}}}`,
		user, at.Account, at.Region, now, local.IdentityStore)
}

func (u *spreadUser) put(body []byte) {
	u.t.Helper()
	if err := u.s.Put(body); err != nil {
		u.t.Fatal(err)
	}
}

// only is the one run that an engine has.
func only(t *testing.T, l simrun.Ledger) simrun.Record {
	t.Helper()
	all := l.Runs()
	if len(all) != 1 {
		t.Fatalf("%d runs, want 1: %+v", len(all), all)
	}
	return all[0]
}

// proved verifies the evidence offline, of so many stops that were on time (S8.4).
func (u *spreadUser) proved(stops, onTime int) {
	u.t.Helper()
	r := sent(http.Get(u.url + "/proof"))(u.t)
	defer r.Body.Close()
	file := sent(io.ReadAll(r.Body))(u.t)
	report, err := proof.Verify(bytes.NewReader(file), proof.Options{})
	if err != nil || !report.Holds() || len(report.Stops) != stops || report.OnTime != onTime {
		u.t.Errorf("S8.4 the proof: %v, %v; %d stops, %d on time, want %d and %d", err, report.Faults, len(report.Stops), report.OnTime, stops, onTime)
	}
}

// S2.1, S2.5 over accounts: a run in a member's account is started, watched and
// stopped in that account's name when Identity Center's account hears of a sign-out;
// the run of the same id in our own account is another's, and goes on.
func TestS2_1ARunInAnotherAccount(t *testing.T) {
	u := openSpread(t)
	emr, _ := u.m.Endpoints()
	theirs := u.submit("theirs", "u-ana", emr)
	ours := u.submit("ours", "u-ben", local.EMROnEKS)
	u.pass(20 * time.Minute)
	a, b := only(t, u.m.EMR), only(t, u.s.EMR)
	if a.ID != b.ID || a.Phase != simrun.Running || b.Phase != simrun.Running {
		t.Fatalf("%+v\n%+v: they should be alike", a, b)
	}
	if s := u.session(theirs); s.Run.Endpoint != emr || s.Status != session.Active || s.Mode != session.Interactive {
		t.Fatalf("%+v", s)
	}
	// What is heard of a sign-out from where Identity Center is not, ends nothing.
	u.put(u.logout("u-ana", member))
	u.put(u.logout("u-ana", config.Place{Account: local.Account, Region: local.Region}))
	u.pass(10 * time.Minute)
	if s := u.session(theirs); s.Status != session.Active {
		t.Errorf("S3.1 an account without Identity Center signed somebody out: %s %s", s.Status, s.End.Cause)
	}
	said := u.s.Clock.Now()
	u.put(u.logout("u-ana", center))
	u.put(u.logout("u-ana", center)) // S3.5 twice
	u.pass(15 * time.Minute)
	a, b = only(t, u.m.EMR), only(t, u.s.EMR)
	if s := u.session(theirs); s.Status != session.Ended || s.End.Cause != session.CauseSignOut || a.Ended.IsZero() || a.Ended.Sub(said) > 15*time.Minute {
		t.Errorf("S2.1 signed out at %s: %s %s, the run ended at %s", said, s.Status, s.End.Cause, a.Ended)
	}
	if name, _ := theirs.Failure(); name != "SessionEnded" {
		t.Errorf("S2.8 the waiter got %q", name)
	}
	if s := u.session(ours); s.Status != session.Active || b.Phase != simrun.Running || len(b.Stops) != 0 {
		t.Errorf("S2.5 ours: %s, %+v", s.Status, b)
	}
	u.proved(1, 1)
	// In three quarters of an hour and a few dozen calls, the role was taken on anew each
	// five minutes at most, and no call was made without.
	if n := u.m.Taken(); n < 5 || n > 10 || u.m.Refused() != 0 {
		t.Errorf("the role was taken on %d times, %d calls were refused", n, u.m.Refused())
	}
}

// S2.6, S1.10: where the member's role may not be taken on, nothing is known of its
// runs and nothing is given up: the stop waits, pages, and is made once it may be.
func TestS2_6ARoleThatMayNotBeTakenOn(t *testing.T) {
	u := openSpread(t)
	emr, _ := u.m.Endpoints()
	theirs, ours := u.submit("theirs", "u-ana", emr), u.submit("ours", "u-ana", local.EMROnEKS)
	u.pass(20 * time.Minute)
	u.m.Admit(false)
	u.put(u.logout("u-ana", center))
	u.pass(40 * time.Minute)
	if s, r := u.session(theirs), only(t, u.m.EMR); s.Status != session.Ending || s.End.Cause != session.CauseSignOut || r.Phase != simrun.Running || len(r.Stops) != 0 {
		t.Errorf("S2.6 %s %s, %+v", s.Status, s.End.Cause, r)
	}
	if s := u.session(ours); s.Status != session.Ended {
		t.Errorf("S2.5 our own account waits with it: %s", s.Status)
	}
	pages := 0
	for _, said := range u.s.Announced() {
		var d struct {
			Alert   string
			Session struct{ Run struct{ Endpoint string } }
		}
		if err := json.Unmarshal(said.Detail, &d); err != nil {
			t.Fatal(err)
		}
		if d.Alert == "stop-unconfirmed" && d.Session.Run.Endpoint == emr {
			pages++
		}
	}
	if pages != 1 {
		t.Errorf("S2.6 %d pages, want one, of the one that resists", pages)
	}
	u.m.Admit(true)
	mended := u.s.Clock.Now()
	u.pass(10 * time.Minute)
	if s, r := u.session(theirs), only(t, u.m.EMR); s.Status != session.Ended || s.End.Cause != session.CauseSignOut || r.Ended.IsZero() || r.Ended.Sub(mended) > 7*time.Minute {
		t.Errorf("S2.6 mended at %s: %s %s, %+v", mended, s.Status, s.End.Cause, r)
	}
	u.proved(2, 1)
}

// S3.5: a sign-out whose event is lost on the way is replayed from the history of the
// account where Identity Center is.
func TestS3_5WhatIsLostBetweenAccounts(t *testing.T) {
	u := openSpread(t)
	emr, _ := u.m.Endpoints()
	theirs := u.submit("theirs", "u-ana", emr)
	u.pass(12 * time.Minute)
	u.s.Lose(u.logout("u-ana", center))
	u.pass(20 * time.Minute)
	if s, r := u.session(theirs), only(t, u.m.EMR); s.Status != session.Ended || s.End.Cause != session.CauseSignOut || r.Ended.IsZero() {
		t.Errorf("S3.5c %s %s, %+v", s.Status, s.End.Cause, r)
	}
	u.proved(1, 1)
}

// The members' engines take no call that is not made in their role's name, and STS
// gives that to nobody but the hub.
func TestMembersEnginesAskWhoCalls(t *testing.T) {
	u := openSpread(t)
	emr, _ := u.m.Endpoints()
	list := func(c aws.CredentialsProvider, region string) error {
		client := emrcontainers.NewFromConfig(aws.Config{Region: region, Credentials: c, HTTPClient: simrun.Client(), BaseEndpoint: aws.String(u.s.URLs[emr]), Retryer: func() aws.Retryer { return aws.NopRetryer{} }})
		_, err := client.ListJobRuns(t.Context(), &emrcontainers.ListJobRunsInput{VirtualClusterId: aws.String(local.VirtualCluster)})
		return err
	}
	ours := credentials.NewStaticCredentialsProvider("local", "local", "")
	awsCode(t, "the hub's own credentials", "UnrecognizedClientException", list(ours, member.Region))
	token := func(c aws.CredentialsProvider, arn string) (*sts.AssumeRoleOutput, error) {
		client := sts.NewFromConfig(aws.Config{Region: "us-east-1", Credentials: c, HTTPClient: simrun.Client(), BaseEndpoint: aws.String(u.s.URLs[local.STS]), Retryer: func() aws.Retryer { return aws.NopRetryer{} }})
		return client.AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: aws.String("test"), DurationSeconds: aws.Int32(900)})
	}
	const arn = "arn:aws:iam::210987654321:role/nightshift-local-eu-west-1"
	_, err := token(credentials.NewStaticCredentialsProvider("local", "wrong", ""), arn)
	awsCode(t, "a secret that is wrong", "SignatureDoesNotMatch", err)
	_, err = token(ours, "arn:aws:iam::210987654321:role/admin")
	awsCode(t, "another role", "AccessDenied", err)
	given := sent(token(ours, arn))(t).Credentials
	as := func(secret, session string) aws.CredentialsProvider {
		return credentials.NewStaticCredentialsProvider(aws.ToString(given.AccessKeyId), secret, session)
	}
	secret, session := aws.ToString(given.SecretAccessKey), aws.ToString(given.SessionToken)
	if err := list(as(secret, session), member.Region); err != nil {
		t.Errorf("the role's credentials: %v", err)
	}
	awsCode(t, "a wrong secret", "InvalidSignatureException", list(as("x", session), member.Region))
	awsCode(t, "no session", "UnrecognizedClientException", list(as(secret, ""), member.Region))
	awsCode(t, "another Region", "AccessDeniedException", list(as(secret, session), "us-east-1"))
	u.pass(15 * time.Minute)
	awsCode(t, "a quarter of an hour later", "ExpiredTokenException", list(as(secret, session), member.Region))
	if u.m.Refused() != 5 {
		t.Errorf("%d calls were refused, want 5", u.m.Refused())
	}
}

// S3.2: what a member's engine says of its run is heard at once; what an account that
// is no member says of it is not.
func TestS3_2AnEngineOfAnotherAccountSpeaks(t *testing.T) {
	u := openSpread(t)
	u.m.EMR.Plan("", simrun.Plan{Work: 15 * time.Minute})
	emr, _ := u.m.Endpoints()
	e := u.submit("theirs", "u-ana", emr)
	state := func(account, state string) {
		id := strings.TrimPrefix(only(t, u.m.EMR).ID, local.VirtualCluster+"/")
		u.put(fmt.Appendf(nil, `{"version":"0","id":"state-%[1]s","detail-type":"EMR Job Run State Change","source":"aws.emr-containers","account":%[1]q,"region":"eu-west-1","time":%[2]q,
			"resources":["arn:aws:emr-containers:eu-west-1:210987654321:/virtualclusters/%[3]s/jobruns/%[4]s"],
			"detail":{"id":%[4]q,"arn":"arn:aws:emr-containers:eu-west-1:210987654321:/virtualclusters/%[3]s/jobruns/%[4]s","virtualClusterId":%[3]q,"state":%[5]q}}`,
			account, u.s.Clock.Now().Format(time.RFC3339), local.VirtualCluster, id, state))
		u.pass(3 * time.Second)
	}
	u.pass(12 * time.Minute)
	state("555566667777", "FAILED")
	if s := u.session(e); s.Status != session.Active {
		t.Fatalf("an account that is no member ended it: %s %s", s.Status, s.End.Cause)
	}
	for range 600 {
		if u.pass(time.Second); only(t, u.m.EMR).Phase.Over() {
			break
		}
	}
	if s := u.session(e); s.Status != session.Active {
		t.Fatalf("it was seen before anybody said so: %s", s.Status)
	}
	state(member.Account, "COMPLETED")
	if s := u.session(e); s.Status != session.Ended || s.End.Cause != session.CauseFinished {
		t.Errorf("%s %s", s.Status, s.End.Cause)
	}
}
