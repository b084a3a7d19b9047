package identity_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/identitystore"
	storetypes "github.com/aws/aws-sdk-go-v2/service/identitystore/types"
	"github.com/aws/aws-sdk-go-v2/service/ssoadmin"
	ssotypes "github.com/aws/aws-sdk-go-v2/service/ssoadmin/types"
	"github.com/aws/smithy-go"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/identity"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

const (
	ana      = "544894e8-80c1-707f-60e3-3ba6510dfac1"
	studio   = "arn:aws:sso::123456789012:application/ssoins-1111222233334444/apl-aaaabbbbccccdddd"
	cluster  = "arn:aws:sso::123456789012:application/ssoins-1111222233334444/apl-eeeeffffgggghhhh"
	payroll  = "arn:aws:sso::123456789012:application/ssoins-1111222233334444/apl-iiiijjjjkkkkllll"
	onStudio = "sagemaker/123456789012/us-east-1"
	onLivy   = "livy/j-1"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is Identity Center, its directory and CloudTrail as far as they are
// asked, and the clock.
type world struct {
	now      time.Time
	status   ssotypes.UserBackgroundSessionApplicationStatus
	user     *identitystore.DescribeUserOutput
	answer   string              // GetUserId's, for the one name there is
	assigned map[string][]string // by application: users and groups
	open     []string            // applications that need no assignment
	groups   []string
	events   map[string][]trailtypes.Event // by name, newest first
	errs     map[string]error              // by call
	calls    []string
	log      bytes.Buffer
}

func (w *world) called(name string) error {
	w.calls = append(w.calls, name)
	return w.errs[name]
}

func (w *world) count(name string) (n int) {
	for _, c := range w.calls {
		if c == name {
			n++
		}
	}
	return n
}

func (w *world) GetApplicationSessionConfiguration(_ context.Context, in *ssoadmin.GetApplicationSessionConfigurationInput, _ ...func(*ssoadmin.Options)) (*ssoadmin.GetApplicationSessionConfigurationOutput, error) {
	if err := w.called("setting"); err != nil {
		return nil, err
	}
	return &ssoadmin.GetApplicationSessionConfigurationOutput{UserBackgroundSessionApplicationStatus: w.status}, nil
}

func (w *world) GetApplicationAssignmentConfiguration(_ context.Context, in *ssoadmin.GetApplicationAssignmentConfigurationInput, _ ...func(*ssoadmin.Options)) (*ssoadmin.GetApplicationAssignmentConfigurationOutput, error) {
	if err := w.called("required"); err != nil {
		return nil, err
	}
	return &ssoadmin.GetApplicationAssignmentConfigurationOutput{AssignmentRequired: aws.Bool(!slices.Contains(w.open, aws.ToString(in.ApplicationArn)))}, nil
}

func (w *world) ListApplicationAssignmentsForPrincipal(_ context.Context, in *ssoadmin.ListApplicationAssignmentsForPrincipalInput, _ ...func(*ssoadmin.Options)) (*ssoadmin.ListApplicationAssignmentsForPrincipalOutput, error) {
	principal := aws.ToString(in.PrincipalId)
	if err := w.called("assignments of " + principal); err != nil {
		return nil, err
	}
	if aws.ToString(in.InstanceArn) != "arn:aws:sso:::instance/ssoins-1111222233334444" {
		return nil, fmt.Errorf("instance %s", aws.ToString(in.InstanceArn))
	}
	if (in.PrincipalType == ssotypes.PrincipalTypeUser) != (principal == ana) {
		return nil, fmt.Errorf("principal %s is no %s", principal, in.PrincipalType)
	}
	out := &ssoadmin.ListApplicationAssignmentsForPrincipalOutput{}
	application := aws.ToString(in.Filter.ApplicationArn)
	switch {
	case in.NextToken == nil:
		out.NextToken = aws.String("2") // an empty page is not the end
	case slices.Contains(w.assigned[application], principal):
		out.ApplicationAssignments = []ssotypes.ApplicationAssignmentForPrincipal{{ApplicationArn: in.Filter.ApplicationArn, PrincipalId: in.PrincipalId, PrincipalType: in.PrincipalType}}
	}
	return out, nil
}

func (w *world) DescribeUser(context.Context, *identitystore.DescribeUserInput, ...func(*identitystore.Options)) (*identitystore.DescribeUserOutput, error) {
	return w.user, w.called("user")
}

func (w *world) ListUsers(_ context.Context, in *identitystore.ListUsersInput, _ ...func(*identitystore.Options)) (*identitystore.ListUsersOutput, error) {
	if err := w.called("users"); err != nil {
		return nil, err
	}
	if aws.ToInt32(in.MaxResults) != 100 {
		return nil, fmt.Errorf("%d users a page", aws.ToInt32(in.MaxResults))
	}
	if in.NextToken == nil {
		return &identitystore.ListUsersOutput{NextToken: aws.String("2"), Users: []storetypes.User{
			{UserId: aws.String(ana), UserStatus: storetypes.UserStatusEnabled}, {UserId: aws.String("ben"), UserStatus: storetypes.UserStatusDisabled},
		}}, nil
	}
	return &identitystore.ListUsersOutput{Users: []storetypes.User{{UserId: aws.String("cleo")}, {UserId: aws.String("dan"), UserStatus: storetypes.UserStatusEnabled}}}, nil
}

func (w *world) ListGroupMembershipsForMember(_ context.Context, in *identitystore.ListGroupMembershipsForMemberInput, _ ...func(*identitystore.Options)) (*identitystore.ListGroupMembershipsForMemberOutput, error) {
	if err := w.called("groups"); err != nil {
		return nil, err
	}
	if m, ok := in.MemberId.(*storetypes.MemberIdMemberUserId); !ok || m.Value != ana {
		return nil, errors.New("another member")
	}
	// One group a page.
	at := 0
	if in.NextToken != nil {
		_, _ = fmt.Sscan(*in.NextToken, &at)
	}
	out := &identitystore.ListGroupMembershipsForMemberOutput{}
	if at < len(w.groups) {
		out.GroupMemberships = []storetypes.GroupMembership{{GroupId: aws.String(w.groups[at])}}
		out.NextToken = aws.String(fmt.Sprint(at + 1))
	}
	return out, nil
}

func (w *world) LookupEvents(_ context.Context, in *cloudtrail.LookupEventsInput, _ ...func(*cloudtrail.Options)) (*cloudtrail.LookupEventsOutput, error) {
	if err := w.called("lookup"); err != nil {
		return nil, err
	}
	if len(in.LookupAttributes) != 1 || in.LookupAttributes[0].AttributeKey != trailtypes.LookupAttributeKeyEventName {
		return nil, errors.New("LookupEvents takes one attribute")
	}
	at := 0
	if in.NextToken != nil {
		_, _ = fmt.Sscan(*in.NextToken, &at)
	}
	all := slices.DeleteFunc(slices.Clone(w.events[aws.ToString(in.LookupAttributes[0].AttributeValue)]), func(e trailtypes.Event) bool {
		return e.EventTime != nil && (e.EventTime.Before(*in.StartTime) || e.EventTime.After(*in.EndTime))
	})
	end := min(at+int(*in.MaxResults), len(all))
	out := &cloudtrail.LookupEventsOutput{Events: all[at:end]}
	if end < len(all) {
		out.NextToken = aws.String(fmt.Sprint(end))
	}
	return out, nil
}

func (w *world) identity(endpoints map[string]identity.Endpoint) *identity.Identity {
	if w.now.IsZero() {
		w.now = noon
	}
	return identity.New(identity.Settings{
		StoreID: "d-1234567890", Endpoints: endpoints, Now: func() time.Time { return w.now }, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
	}, w, w, w)
}

func configured() map[string]identity.Endpoint {
	return map[string]identity.Endpoint{
		onStudio: {Application: studio, Facts: session.Facts{IdentityPropagation: session.On}},
		onLivy:   {Application: cluster, Facts: session.Facts{IdentityPropagation: session.On, ReleaseLabel: "emr-7.12.0"}},
	}
}

func throttled() error {
	return &smithy.GenericAPIError{Code: "ThrottlingException", Message: "slower"}
}

func TestFacts(t *testing.T) {
	t.Run("configured and read", func(t *testing.T) {
		w := &world{status: ssotypes.UserBackgroundSessionApplicationStatusEnabled}
		got, err := w.identity(configured()).Facts(t.Context(), ana, workload.Run{Endpoint: onLivy})
		want := session.Facts{IdentityPropagation: session.On, ApplicationBackground: session.On, ReleaseLabel: "emr-7.12.0"}
		if err != nil || got != want {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	})
	t.Run("believed for a minute", func(t *testing.T) {
		w := &world{status: ssotypes.UserBackgroundSessionApplicationStatusEnabled}
		i := w.identity(configured())
		read := func() session.Tri {
			f, err := i.Facts(t.Context(), ana, workload.Run{Endpoint: onStudio})
			if err != nil {
				t.Fatal(err)
			}
			return f.ApplicationBackground
		}
		read()
		w.status = ssotypes.UserBackgroundSessionApplicationStatusDisabled
		w.now = noon.Add(59 * time.Second)
		if got := read(); got != session.On || w.count("setting") != 1 {
			t.Errorf("after 59 s: %s, %d calls", got, w.count("setting"))
		}
		w.now = noon.Add(60 * time.Second)
		if got := read(); got != session.Off || w.count("setting") != 2 {
			t.Errorf("after 60 s: %s, %d calls", got, w.count("setting"))
		}
	})
	t.Run("S1.10 an answer holds for its age, then it is unknown, not off", func(t *testing.T) {
		w := &world{status: ssotypes.UserBackgroundSessionApplicationStatusEnabled}
		i := w.identity(configured())
		if _, err := i.Facts(t.Context(), ana, workload.Run{Endpoint: onStudio}); err != nil {
			t.Fatal(err)
		}
		w.errs = map[string]error{"setting": throttled()}
		for age, want := range map[time.Duration]session.Tri{
			59 * time.Second: session.On, 61 * time.Second: session.On, identity.FactsAgeDefault: session.On, identity.FactsAgeDefault + 1: session.Unknown,
		} {
			w.now = noon.Add(age)
			got, err := i.Facts(t.Context(), ana, workload.Run{Endpoint: onStudio})
			if got.ApplicationBackground != want || (err != nil) != (want == session.Unknown) {
				t.Errorf("after %s: %s, %v; want %s", age, got.ApplicationBackground, err, want)
			}
		}
		if !strings.Contains(w.log.String(), "an earlier answer holds") {
			t.Error("nothing is logged of the answer that could not be read")
		}
	})
	t.Run("an error leaves it unknown and is not remembered", func(t *testing.T) {
		w := &world{status: ssotypes.UserBackgroundSessionApplicationStatusEnabled, errs: map[string]error{"setting": throttled()}}
		i := w.identity(configured())
		got, err := i.Facts(t.Context(), ana, workload.Run{Endpoint: onLivy})
		if !fault.Is(err, fault.Throttled) || got.ApplicationBackground != session.Unknown || got.IdentityPropagation != session.On {
			t.Errorf("%+v, %v", got, err)
		}
		w.errs = nil
		if got, err = i.Facts(t.Context(), ana, workload.Run{Endpoint: onLivy}); err != nil || got.ApplicationBackground != session.On {
			t.Errorf("%+v, %v", got, err)
		}
	})
	for _, c := range []struct {
		name  string
		of    map[string]identity.Endpoint
		want  session.Facts
		fails bool
	}{
		{"endpoint not configured", nil, session.Facts{}, true},
		{"no application", map[string]identity.Endpoint{onLivy: {Facts: session.Facts{IdentityPropagation: session.On}}}, session.Facts{IdentityPropagation: session.On}, true},
		{"propagation off needs none", map[string]identity.Endpoint{onLivy: {Facts: session.Facts{IdentityPropagation: session.Off}}}, session.Facts{IdentityPropagation: session.Off}, false},
		{"status of a new kind", configured(), session.Facts{IdentityPropagation: session.On, ReleaseLabel: "emr-7.12.0"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{status: "PAUSED"}
			got, err := w.identity(c.of).Facts(t.Context(), ana, workload.Run{Endpoint: onLivy})
			if got != c.want || (err != nil) != c.fails {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

func TestStatus(t *testing.T) {
	missing := func(kind storetypes.ResourceType) error {
		return &storetypes.ResourceNotFoundException{ResourceType: kind, Message: aws.String("no")}
	}
	for _, c := range []struct {
		name string
		user storetypes.UserStatus
		err  error
		want app.UserStatus
		kind fault.Kind // of the error, where want is ""
	}{
		{"enabled", storetypes.UserStatusEnabled, nil, app.UserEnabled, 0},
		{"disabled", storetypes.UserStatusDisabled, nil, app.UserDisabled, 0},
		{"deleted", "", missing(storetypes.ResourceTypeUser), app.UserDeleted, 0},
		{"S1.10 what is missing is not said: nobody is deleted", "", missing(""), "", fault.NotFound},
		{"a wrong store deletes nobody", "", missing(storetypes.ResourceTypeIdentityStore), "", fault.NotFound},
		{"throttled", "", throttled(), "", fault.Throttled},
		{"denied", "", &smithy.GenericAPIError{Code: "AccessDeniedException"}, "", fault.Denied},
		{"no status", "", nil, "", fault.Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{user: &identitystore.DescribeUserOutput{UserStatus: c.user}, errs: map[string]error{"user": c.err}}
			got, err := w.identity(nil).Status(t.Context(), ana)
			if got != c.want || (err != nil) != (c.want == "") || err != nil && fault.KindOf(err) != c.kind {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// S3.5b: pages of the directory; a status that says neither is no answer.
func TestUsers(t *testing.T) {
	w := &world{}
	i := w.identity(nil)
	all, cursor := map[string]app.UserStatus{}, ""
	for {
		page, next, err := i.Users(t.Context(), cursor)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(all, page)
		if cursor = next; next == "" {
			break
		}
	}
	want := map[string]app.UserStatus{ana: app.UserEnabled, "ben": app.UserDisabled, "dan": app.UserEnabled}
	if !maps.Equal(all, want) || w.count("users") != 2 {
		t.Errorf("%v in %d pages, want %v", all, w.count("users"), want)
	}
	w.errs = map[string]error{"users": throttled()}
	if _, _, err := i.Users(t.Context(), ""); !fault.Is(err, fault.Throttled) {
		t.Errorf("%v", err)
	}
	i.StoreID = ""
	if _, _, err := i.Users(t.Context(), ""); !fault.Is(err, fault.Unknown) {
		t.Errorf("without a store: %v", err)
	}
}

// Calls keep to the rates that the services document, of which Identity Center's
// is shared with others; a call whose caller's time is up is not made.
func TestPace(t *testing.T) {
	w := &world{user: &identitystore.DescribeUserOutput{UserStatus: storetypes.UserStatusEnabled}}
	i := w.identity(configured())
	var waited time.Duration
	i.Pause = func(_ context.Context, d time.Duration) error {
		w.now, waited = w.now.Add(d), waited+d
		return nil
	}
	took := func(do func()) time.Duration {
		waited = 0
		w.now = w.now.Add(time.Hour)
		do()
		return waited
	}
	for range 2 { // after a rest the same holds
		for name, c := range map[string]struct {
			got, want time.Duration
		}{
			"DescribeUser, 20 a second": {took(func() {
				for range 1000 {
					if _, err := i.Status(t.Context(), ana); err != nil {
						t.Fatal(err)
					}
				}
			}), 999 * 50 * time.Millisecond},
			"LookupEvents, 2 a second": {took(func() {
				if _, err := i.Replay(t.Context(), noon); err != nil {
					t.Fatal(err)
				}
			}), 12 * 500 * time.Millisecond},
			"assignments, 10 a second": {took(func() {
				if _, err := i.Access(t.Context(), ana, studio); err != nil {
					t.Fatal(err)
				}
			}), 200 * time.Millisecond}, // two pages, and whether one is needed
		} {
			if c.got != c.want {
				t.Errorf("S3.5 %s: took %s, want %s", name, c.got, c.want)
			}
		}
	}
	w.calls = nil
	i.Pause = func(context.Context, time.Duration) error { return context.DeadlineExceeded }
	_, _ = i.Status(t.Context(), ana)
	if _, err := i.Status(t.Context(), ana); !errors.Is(err, context.DeadlineExceeded) || w.count("user") != 1 {
		t.Errorf("%v, after %d calls", err, w.count("user"))
	}
}

func TestAccess(t *testing.T) {
	gone := &smithy.GenericAPIError{Code: "ResourceNotFoundException", Message: "no"}
	for _, c := range []struct {
		name        string
		application string
		of          map[string]identity.Endpoint
		assigned    map[string][]string
		groups      []string
		open        []string
		errs        map[string]error
		want        session.Tri
		kind        fault.Kind
	}{
		{name: "another assignment of the user", application: studio, assigned: map[string][]string{studio: {ana}}, want: session.On},
		{name: "a group's, on the second page", application: studio, assigned: map[string][]string{studio: {"g-2"}}, groups: []string{"g-1", "g-2"}, want: session.On},
		{name: "none left", application: studio, assigned: map[string][]string{cluster: {ana}, studio: {"g-9"}}, groups: []string{"g-1"}, want: session.Off},
		{name: "none named, another one is given", assigned: map[string][]string{cluster: {"g-1"}}, groups: []string{"g-1"}, want: session.On},
		{name: "none named, none given", groups: []string{"g-1"}, want: session.Off},
		{name: "one that everybody has", application: studio, open: []string{studio}, want: session.On},
		{name: "none named, one that everybody has", groups: []string{"g-1"}, open: []string{cluster}, want: session.On},
		{name: "whether everybody has it cannot be read", application: studio, errs: map[string]error{"required": throttled()}, want: session.Unknown, kind: fault.Throttled},
		{name: "one that no endpoint uses", application: payroll, want: session.On},
		{name: "one that an endpoint may use", application: payroll, of: map[string]identity.Endpoint{onLivy: {}}, want: session.Off},
		{name: "none named and an endpoint without one", of: map[string]identity.Endpoint{
			onStudio: {Application: studio}, onLivy: {Facts: session.Facts{IdentityPropagation: session.On}},
		}, want: session.Unknown, kind: fault.Invalid},
		{name: "none named, none configured", of: map[string]identity.Endpoint{onLivy: {Facts: session.Facts{IdentityPropagation: session.On}}}, want: session.Unknown, kind: fault.Invalid},
		{name: "none named, no identities passed on", of: map[string]identity.Endpoint{onLivy: {Facts: session.Facts{IdentityPropagation: session.Off}}}, want: session.On},
		{name: "no ARN", application: "apl-1", of: map[string]identity.Endpoint{onLivy: {}}, want: session.Unknown, kind: fault.Invalid},
		{name: "throttled", application: studio, errs: map[string]error{"assignments of " + ana: throttled()}, want: session.Unknown, kind: fault.Throttled},
		{name: "groups cannot be read", application: studio, errs: map[string]error{"groups": throttled()}, want: session.Unknown, kind: fault.Throttled},
		{name: "a group's cannot be read", application: studio, groups: []string{"g-1"}, errs: map[string]error{"assignments of g-1": throttled()}, want: session.Unknown, kind: fault.Throttled},
		{name: "a group gone meanwhile", application: studio, assigned: map[string][]string{studio: {"g-2"}}, groups: []string{"g-1", "g-2"}, errs: map[string]error{"assignments of g-1": gone}, want: session.On},
		{name: "an application that is not there", application: studio, errs: map[string]error{"assignments of " + ana: gone}, want: session.Unknown, kind: fault.NotFound},
		{name: "a deleted user", application: studio, errs: map[string]error{"groups": &storetypes.ResourceNotFoundException{ResourceType: storetypes.ResourceTypeUser}}, want: session.Off},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.of == nil {
				c.of = configured()
			}
			w := &world{assigned: c.assigned, groups: c.groups, open: c.open, errs: c.errs}
			got, err := w.identity(c.of).Access(t.Context(), ana, c.application)
			if got != c.want || (err != nil) != (c.want == session.Unknown) || err != nil && fault.KindOf(err) != c.kind {
				t.Errorf("%s, %v (%s)", got, err, fault.KindOf(err))
			}
		})
	}
}

func recorded(name, source string, n int) trailtypes.Event {
	at := noon.Add(-time.Duration(n) * time.Second)
	return trailtypes.Event{
		EventName: aws.String(name), EventTime: aws.Time(at),
		CloudTrailEvent: aws.String(fmt.Sprintf(`{"eventVersion":"1.10","eventID":"%s-%d","eventTime":"%s","eventType":"AwsApiCall","eventSource":"%s","eventName":"%s","awsRegion":"us-east-1","recipientAccountId":"111122223333"}`,
			name, n, at.Format(time.RFC3339), source, name)),
	}
}

func TestReplay(t *testing.T) {
	w := &world{events: map[string][]trailtypes.Event{
		"Logout":     {recorded("Logout", "sso.amazonaws.com", 1), recorded("Logout", "sso.amazonaws.com", 60)},
		"DeleteUser": {recorded("DeleteUser", "sso-directory.amazonaws.com", 30), {EventName: aws.String("DeleteUser"), CloudTrailEvent: aws.String("{")}},
	}}
	bodies, err := w.identity(nil).Replay(t.Context(), noon.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, b := range bodies {
		var e struct {
			ID     string `json:"id"`
			Detail struct {
				EventID string `json:"eventID"`
			} `json:"detail"`
		}
		if err := json.Unmarshal(b, &e); err != nil {
			t.Fatal(err)
		}
		if e.ID != e.Detail.EventID {
			t.Errorf("%s around %s", e.ID, e.Detail.EventID)
		}
		ids = append(ids, e.ID)
	}
	if want := []string{"Logout-60", "DeleteUser-30", "Logout-1"}; !slices.Equal(ids, want) {
		t.Errorf("got %v, want %v", ids, want)
	}
	const first = `{"version":"0","id":"Logout-60","detail-type":"AWS API Call via CloudTrail","source":"aws.sso","account":"111122223333","time":"2026-03-01T11:59:00Z","region":"us-east-1","resources":[],` +
		`"detail":{"eventVersion":"1.10","eventID":"Logout-60","eventTime":"2026-03-01T11:59:00Z","eventType":"AwsApiCall","eventSource":"sso.amazonaws.com","eventName":"Logout","awsRegion":"us-east-1","recipientAccountId":"111122223333"}}`
	if string(bodies[0]) != first {
		t.Errorf("got  %s\nwant %s", bodies[0], first)
	}
	if !strings.Contains(string(bodies[1]), `"source":"aws.sso-directory"`) {
		t.Errorf("%s", bodies[1])
	}
	if !strings.Contains(w.log.String(), "recorded event unreadable") {
		t.Error("nothing is logged of the event that cannot be read")
	}
}

// S3.5c: a replay makes a bounded number of calls, and says from where on it left
// something out: those who go on there have everything.
func TestS3_5ReplayBounded(t *testing.T) {
	var many []trailtypes.Event
	for n := range 600 {
		many = append(many, recorded("Logout", "sso.amazonaws.com", 15*n))
	}
	w := &world{events: map[string][]trailtypes.Event{
		"Logout": many, "CreateTokenWithIAM": manyOf("CreateTokenWithIAM", 3000), "DeleteSession": manyOf("DeleteSession", 120),
	}}
	from, had := noon.Add(-150*time.Minute), map[string]bool{}
	for range 12 {
		w.calls = nil
		bodies, err := w.identity(nil).Replay(t.Context(), from)
		for _, b := range bodies {
			had[string(b)] = true
		}
		if n := w.count("lookup"); n > 32 {
			t.Errorf("%d calls", n)
		}
		unread := (*app.Unread)(nil)
		if err == nil {
			break
		}
		if !errors.As(err, &unread) || !unread.From.After(from) {
			t.Fatalf("from %s on: %v", from, err)
		}
		for _, e := range many {
			if at := aws.ToTime(e.EventTime); !at.Before(from) && at.Before(unread.From) && !slices.ContainsFunc(bodies, func(b []byte) bool { return bytes.Contains(b, []byte(aws.ToString(e.CloudTrailEvent))) }) {
				t.Fatalf("the event of %s was left out; all up to %s is said to be read", at, unread.From)
			}
		}
		if !strings.Contains(w.log.String(), "replay left events out") {
			t.Error("nothing is logged of what was left out")
		}
		from = unread.From
	}
	of := func(name string) (n int) {
		for b := range had {
			if strings.Contains(b, `"eventName":"`+name+`"`) {
				n++
			}
		}
		return n
	}
	if of("Logout") != 600 || of("DeleteSession") != 120 || of("CreateTokenWithIAM") == 0 {
		t.Errorf("%d of 600 sign-outs, %d of 120 revocations, %d births", of("Logout"), of("DeleteSession"), of("CreateTokenWithIAM"))
	}
	w = &world{errs: map[string]error{"lookup": throttled()}}
	if _, err := w.identity(nil).Replay(t.Context(), noon); !fault.Is(err, fault.Throttled) {
		t.Errorf("%v", err)
	}
}

// manyOf are events of one name, one each second before noon.
func manyOf(name string, n int) (events []trailtypes.Event) {
	for i := range n {
		events = append(events, recorded(name, "sso.amazonaws.com", i))
	}
	return events
}

// S3.5c: what happened in one second cannot be asked for in halves, and is paged
// through.
func TestS3_5ReplayOfOneSecond(t *testing.T) {
	e := manyOf("Logout", 120)
	for i := range e {
		e[i].EventTime = aws.Time(noon.Add(-time.Minute))
	}
	w := &world{events: map[string][]trailtypes.Event{"Logout": e}}
	bodies, err := w.identity(nil).Replay(t.Context(), noon.Add(-61*time.Second))
	if len(bodies) != 120 {
		t.Errorf("%d of 120 events, %v", len(bodies), err)
	}
}

// services speaks AWS JSON 1.1, one answer a target.
type services struct {
	answers map[string]string
	bodies  map[string]string
}

func (s *services) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	target := r.Header.Get("X-Amz-Target")
	raw, _ := io.ReadAll(r.Body)
	s.bodies[target] = string(raw)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	answer, ok := s.answers[target]
	if !ok {
		answer = `{"__type":"ResourceNotFoundException","Message":"USER not found.","ResourceType":"USER","ResourceId":"u-1"}`
		w.WriteHeader(http.StatusBadRequest)
	}
	_, _ = io.WriteString(w, answer)
}

// The real clients, over the services' protocol.
func TestRealClients(t *testing.T) {
	record, _ := json.Marshal(aws.ToString(recorded("Logout", "sso.amazonaws.com", 1).CloudTrailEvent))
	s := &services{bodies: map[string]string{}, answers: map[string]string{
		"SWBExternalService.GetApplicationSessionConfiguration":     `{"UserBackgroundSessionApplicationStatus":"ENABLED"}`,
		"SWBExternalService.GetApplicationAssignmentConfiguration":  `{"AssignmentRequired":true}`,
		"SWBExternalService.ListApplicationAssignmentsForPrincipal": `{"ApplicationAssignments":[]}`,
		"AWSIdentityStore.ListGroupMembershipsForMember":            `{"GroupMemberships":[]}`,
		"CloudTrail_20131101.LookupEvents":                          `{"Events":[{"EventId":"Logout-1","EventName":"Logout","EventTime":1772366399,"CloudTrailEvent":` + string(record) + `}]}`,
	}}
	server := httptest.NewServer(s)
	defer server.Close()
	config := aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL), Retryer: func() aws.Retryer { return aws.NopRetryer{} },
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	}
	i := identity.New(identity.Settings{StoreID: "d-1234567890", Endpoints: configured(), Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler)},
		ssoadmin.NewFromConfig(config), identitystore.NewFromConfig(config), cloudtrail.NewFromConfig(config))

	if f, err := i.Facts(t.Context(), ana, workload.Run{Endpoint: onLivy}); err != nil || f.ApplicationBackground != session.On {
		t.Errorf("facts: %+v, %v", f, err)
	}
	if status, err := i.Status(t.Context(), ana); err != nil || status != app.UserDeleted {
		t.Errorf("status: %q, %v", status, err)
	}
	s.answers["AWSIdentityStore.DescribeUser"] = `{"IdentityStoreId":"d-1234567890","UserId":"` + ana + `","UserStatus":"DISABLED"}`
	if status, err := i.Status(t.Context(), ana); err != nil || status != app.UserDisabled {
		t.Errorf("status: %q, %v", status, err)
	}
	if access, err := i.Access(t.Context(), ana, studio); err != nil || access != session.Off {
		t.Errorf("access: %s, %v", access, err)
	}
	bodies, err := i.Replay(t.Context(), noon.Add(-time.Hour))
	if err != nil || len(bodies) == 0 || !bytes.Contains(bodies[0], []byte(`"id":"Logout-1"`)) {
		t.Errorf("replay: %s, %v", bodies, err)
	}

	asked := 0
	for target, want := range map[string]string{
		"SWBExternalService.GetApplicationSessionConfiguration":     `{"ApplicationArn":"` + cluster + `"}`,
		"SWBExternalService.ListApplicationAssignmentsForPrincipal": `{"Filter":{"ApplicationArn":"` + studio + `"},"InstanceArn":"arn:aws:sso:::instance/ssoins-1111222233334444","PrincipalId":"` + ana + `","PrincipalType":"USER"}`,
		"SWBExternalService.GetApplicationAssignmentConfiguration":  `{"ApplicationArn":"` + studio + `"}`,
		"AWSIdentityStore.DescribeUser":                             `{"IdentityStoreId":"d-1234567890","UserId":"` + ana + `"}`,
		"AWSIdentityStore.ListGroupMembershipsForMember":            `{"IdentityStoreId":"d-1234567890","MemberId":{"UserId":"` + ana + `"}}`,
	} {
		asked++
		if !sameJSON(t, s.bodies[target], want) {
			t.Errorf("%s\ngot  %s\nwant %s", target, s.bodies[target], want)
		}
	}
	if asked == 0 {
		t.Fatal("nothing was looked at")
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if err := errors.Join(json.Unmarshal([]byte(a), &x), json.Unmarshal([]byte(b), &y)); err != nil {
		t.Errorf("%v: %s", err, a)
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return bytes.Equal(p, q)
}
