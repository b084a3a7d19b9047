package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/identitystore"
	storetypes "github.com/aws/aws-sdk-go-v2/service/identitystore/types"
	"github.com/aws/aws-sdk-go-v2/service/ssoadmin"
	ssotypes "github.com/aws/aws-sdk-go-v2/service/ssoadmin/types"

	"nightshift/internal/app"
	"nightshift/internal/config"
	"nightshift/internal/ddbstore"
	"nightshift/internal/edge"
	"nightshift/internal/identity"
	"nightshift/internal/session"
	"nightshift/internal/sim/ladder"
	"nightshift/internal/workload"
)

const (
	storeID = "d-1234567890"
	account = "123456789012"
	// perUser is how many sessions each user has.
	perUser = 4
	// listPage is how many runs SageMaker lists at once.
	listPage = 100
)

// world is a deployment with its real handlers, machines, store and identity checks, on
// a virtual clock, and everything that it calls counted.
type world struct {
	*ladder.World
	tally    *tally
	logout   func(context.Context, events.SQSEvent) (events.SQSEventResponse, error)
	identity *identity.Identity
	users    int
	recorded []trailtypes.Event // CloudTrail's history, oldest first
	size
	opened int
	stops  map[string]int // requests, by endpoint
}

// size is how much there is of everything: what has a share of the whole has the same.
type size struct {
	endpoints   int
	perEndpoint int // sessions; in hundreds, so that pages are as full at each size
	crowd       int // how many times as many sign out as do of the whole; 0: as many
}

func (s size) sessions() int { return s.endpoints * s.perEndpoint }

// signOuts are those of an hour, runs those of the one full endpoint.
func (s size) signOuts() int { return s.sessions() * fullSignOuts / fullSessions * max(1, s.crowd) }
func (s size) runs() int     { return s.sessions() * fullRuns / fullSessions }

// plant is a defect that a test plants: an app with one call more.
type plant func(*app.App)

func newWorld(n size, users int, perItem time.Duration, planted plant) *world {
	t := newTally()
	w := &world{tally: t, size: n, users: users, stops: map[string]int{}}
	w.World = ladder.New(ladder.Settings{Store: ddbstore.New(newTable(t.used), "scale"), Policy: func(p *session.Policy) { p.BackgroundDuration = 7 * 24 * time.Hour }})
	t.clock, t.perItem = w.Clock, perItem
	w.Called = t.called
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	w.identity = identity.New(identity.Settings{StoreID: storeID, Endpoints: w.facts(), Now: w.Clock.Now, Log: log, Pause: w.Clock.Sleep,
		IsID: func(string) bool { return true }, Rates: identity.Rates(config.ShareOf("on-schedule", n.endpoints))}, center{w}, directory{w}, trail{w})
	a := w.App
	a.Identity, a.Users = w.identity, w.identity
	a.Starter, a.Waiters, a.Announcer = starter{a.Starter, w}, waiters{w}, announcer{w}
	a.Engines = map[string]app.Engine{"sagemaker": engine{w.Engine, w}}
	if planted != nil {
		planted(a)
	}
	w.logout = edge.Queue(a, "on-logout")
	return w
}

// endpoint is the name of one; those with an even number have background sessions on.
func endpoint(i int) string { return fmt.Sprintf("sagemaker/%s/eu-central-%d", account, i) }

func application(i int) string {
	return fmt.Sprintf("arn:aws:sso::%s:application/ssoins-1/apl-%d", account, i)
}

func (w *world) facts() map[string]identity.Endpoint {
	all := map[string]identity.Endpoint{}
	for i := range w.endpoints {
		all[endpoint(i)] = identity.Endpoint{Application: application(i), Facts: session.Facts{IdentityPropagation: session.On}}
	}
	return all
}

func userID(i int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", i, i) }

// open opens n sessions, as many for each user, at endpoints of the user's kind: of every
// second user all sessions are background ones, of the others all end with a sign-out.
func (w *world) open(n int, at func(i int) int) {
	w.Do(func(ctx context.Context) {
		for range n {
			i := w.opened
			w.opened++
			run := workload.Run{Engine: workload.SageMakerTraining, Endpoint: endpoint(at(i))}
			var id string
			must(w.Invoke(ctx, "open-session", func(ctx context.Context) error {
				s, err := w.App.OpenSession(ctx, app.OpenRequest{Execution: fmt.Sprint("arn:execution:", i), User: userID(i / perUser), Run: run})
				id = s.ID
				return err
			}))
			must(w.Invoke(ctx, "start-run", func(ctx context.Context) error {
				return w.App.StartRun(ctx, app.StartRequest{SessionID: id, Token: strings.Repeat("t", 600) + id, Spec: []byte("{}")})
			}))
		}
	})
}

// spread puts a user's sessions on endpoints of one kind, in turn.
func (w *world) spread(i int) int {
	return (2*(i%perUser+i/perUser/2*perUser) + (i/perUser)%2) % w.endpoints
}

func must(err error) {
	if err != nil {
		panic(err) // what the world does to itself cannot fail
	}
}

// signOut is CloudTrail's record of a sign-out, delivered by its queue.
func (w *world) signOut(ctx context.Context, user string, deliver bool) {
	now := w.Clock.Now().UTC().Truncate(time.Second)
	id := fmt.Sprintf("%08d-0000-4000-8000-000000000000", len(w.recorded))
	record := fmt.Sprintf(`{"eventVersion":"1.10","userIdentity":{"type":"IdentityCenterUser","accountId":%q,"onBehalfOf":{"userId":%q,"identityStoreArn":"arn:aws:identitystore::%s:identitystore/%s"}},"eventTime":%q,"eventSource":"sso.amazonaws.com","eventName":"Logout","awsRegion":"us-east-1","requestParameters":null,"responseElements":null,"eventID":%q,"readOnly":false,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":%q,"eventCategory":"Management"}`,
		account, user, account, storeID, now.Format(time.RFC3339), id, account)
	w.recorded = append(w.recorded, trailtypes.Event{EventId: aws.String(id), EventName: aws.String("Logout"), EventTime: aws.Time(now), CloudTrailEvent: aws.String(record)})
	if !deliver {
		return
	}
	body := fmt.Sprintf(`{"version":"0","id":%q,"detail-type":"AWS API Call via CloudTrail","source":"aws.sso","account":%q,"time":%q,"region":"us-east-1","resources":[],"detail":%s}`, id, account, now.Format(time.RFC3339), record)
	w.tally.call(ctx, "sqs.messages", 1)
	must(w.Invoke(ctx, "on-logout", func(ctx context.Context) error {
		out, err := w.logout(ctx, events.SQSEvent{Records: []events.SQSMessage{{MessageId: id, Body: body}}})
		if err == nil && len(out.BatchItemFailures) > 0 {
			err = fmt.Errorf("the sign-out of %s was not taken", user)
		}
		return err
	}))
}

// signOuts has n users sign out, evenly over an hour, in a chain of its own.
func (w *world) signOuts(n int) {
	w.Go(func(ctx context.Context) {
		for i := range n {
			w.signOut(ctx, userID(i%w.users), true)
			if w.Clock.Sleep(ctx, time.Hour/time.Duration(n)) != nil {
				return
			}
		}
	})
}

// start begins the schedule: a sweep each full minute, and none before the one before
// has ended, for there is one instance of its function.
func (w *world) start() {
	w.Go(func(ctx context.Context) {
		for {
			must(w.Invoke(ctx, "on-schedule", w.App.Sweep))
			now := w.Clock.Now()
			if w.Clock.Sleep(ctx, now.Truncate(time.Minute).Add(time.Minute).Sub(now)) != nil {
				return
			}
		}
	})
}

// window plays so many minutes and reads what was counted in them.
func (w *world) window(minutes int) figures {
	w.tally.reset()
	before := w.Transitions()
	w.Play(time.Duration(minutes) * time.Minute)
	got := w.tally.read(float64(minutes))
	got["states.transitions_per_min"] = float64(w.Transitions()-before) / float64(minutes)
	return got
}

type starter struct {
	app.Starter
	w *world
}

func (s starter) Watch(ctx context.Context, endpoint string, generation int64) error {
	s.w.tally.call(ctx, "states.StartExecution", 1)
	return s.Starter.Watch(ctx, endpoint, generation)
}

func (s starter) Drain(ctx context.Context, endpoint string, generation int64) error {
	s.w.tally.call(ctx, "states.StartExecution", 1)
	return s.Starter.Drain(ctx, endpoint, generation)
}

type waiters struct{ w *world }

func (v waiters) Release(ctx context.Context, _ string, _ app.Outcome) error {
	v.w.tally.call(ctx, "states.SendTaskSuccess", 1)
	return nil
}

type announcer struct{ w *world }

func (v announcer) Announce(ctx context.Context, _ app.Announcement) error {
	v.w.tally.call(ctx, "events.PutEvents", 1)
	return nil
}

type engine struct {
	*ladder.Engine
	w *world
}

func (e engine) Start(ctx context.Context, s app.Start) (workload.Run, error) {
	e.w.tally.call(ctx, "sagemaker.Create", 1)
	return e.Engine.Start(ctx, s)
}

func (e engine) List(ctx context.Context, endpoint string) (workload.Listing, error) {
	l, err := e.Engine.List(ctx, endpoint)
	e.w.tally.call(ctx, "sagemaker.List", 1+float64(len(l.Runs))/listPage)
	return l, err
}

func (e engine) Describe(ctx context.Context, r workload.Run) (workload.Observation, error) {
	e.w.tally.call(ctx, "sagemaker.Describe", 1)
	return e.Engine.Describe(ctx, r)
}

func (e engine) Stop(ctx context.Context, r workload.Run) error {
	e.w.tally.call(ctx, "sagemaker.Stop", 1)
	e.w.stops[r.Endpoint]++
	return e.Engine.Stop(ctx, r)
}

// center is Identity Center: half of the applications have background sessions on.
type center struct{ w *world }

func (c center) GetApplicationSessionConfiguration(ctx context.Context, in *ssoadmin.GetApplicationSessionConfigurationInput, _ ...func(*ssoadmin.Options)) (*ssoadmin.GetApplicationSessionConfigurationOutput, error) {
	c.w.tally.call(ctx, "sso.GetApplicationSessionConfiguration", 1)
	status := ssotypes.UserBackgroundSessionApplicationStatusDisabled
	for i := 0; i < c.w.endpoints; i += 2 {
		if aws.ToString(in.ApplicationArn) == application(i) {
			status = ssotypes.UserBackgroundSessionApplicationStatusEnabled
		}
	}
	return &ssoadmin.GetApplicationSessionConfigurationOutput{UserBackgroundSessionApplicationStatus: status}, nil
}

func (c center) GetApplicationAssignmentConfiguration(ctx context.Context, _ *ssoadmin.GetApplicationAssignmentConfigurationInput, _ ...func(*ssoadmin.Options)) (*ssoadmin.GetApplicationAssignmentConfigurationOutput, error) {
	c.w.tally.call(ctx, "sso.GetApplicationAssignmentConfiguration", 1)
	return &ssoadmin.GetApplicationAssignmentConfigurationOutput{AssignmentRequired: aws.Bool(true)}, nil
}

func (c center) ListApplicationAssignmentsForPrincipal(ctx context.Context, in *ssoadmin.ListApplicationAssignmentsForPrincipalInput, _ ...func(*ssoadmin.Options)) (*ssoadmin.ListApplicationAssignmentsForPrincipalOutput, error) {
	c.w.tally.call(ctx, "sso.ListApplicationAssignmentsForPrincipal", 1)
	out := &ssoadmin.ListApplicationAssignmentsForPrincipalOutput{}
	for i := range c.w.endpoints {
		out.ApplicationAssignments = append(out.ApplicationAssignments, ssotypes.ApplicationAssignmentForPrincipal{ApplicationArn: aws.String(application(i)), PrincipalId: in.PrincipalId, PrincipalType: in.PrincipalType})
	}
	return out, nil
}

// directory is the identity store: everybody is enabled and of one group.
type directory struct{ w *world }

func (d directory) DescribeUser(ctx context.Context, in *identitystore.DescribeUserInput, _ ...func(*identitystore.Options)) (*identitystore.DescribeUserOutput, error) {
	d.w.tally.call(ctx, "identitystore.DescribeUser", 1)
	return &identitystore.DescribeUserOutput{UserId: in.UserId, UserStatus: storetypes.UserStatusEnabled}, nil
}

func (d directory) GetUserId(ctx context.Context, _ *identitystore.GetUserIdInput, _ ...func(*identitystore.Options)) (*identitystore.GetUserIdOutput, error) {
	d.w.tally.call(ctx, "identitystore.GetUserId", 1)
	return nil, &storetypes.ResourceNotFoundException{}
}

func (d directory) ListUsers(ctx context.Context, in *identitystore.ListUsersInput, _ ...func(*identitystore.Options)) (*identitystore.ListUsersOutput, error) {
	d.w.tally.call(ctx, "identitystore.ListUsers", 1)
	from := 0
	_, _ = fmt.Sscan(aws.ToString(in.NextToken), &from) // none: from the first on
	out := &identitystore.ListUsersOutput{}
	for i := from; i < min(from+100, d.w.users); i++ {
		out.Users = append(out.Users, storetypes.User{UserId: aws.String(userID(i)), UserStatus: storetypes.UserStatusEnabled})
	}
	if from+100 < d.w.users {
		out.NextToken = aws.String(fmt.Sprint(from + 100))
	}
	return out, nil
}

func (d directory) ListGroupMembershipsForMember(ctx context.Context, in *identitystore.ListGroupMembershipsForMemberInput, _ ...func(*identitystore.Options)) (*identitystore.ListGroupMembershipsForMemberOutput, error) {
	d.w.tally.call(ctx, "identitystore.ListGroupMembershipsForMember", 1)
	return &identitystore.ListGroupMembershipsForMemberOutput{GroupMemberships: []storetypes.GroupMembership{{GroupId: aws.String("g-1"), MemberId: in.MemberId}}}, nil
}

// trail is CloudTrail's event history: newest first, 50 a page.
type trail struct{ w *world }

func (t trail) LookupEvents(ctx context.Context, in *cloudtrail.LookupEventsInput, _ ...func(*cloudtrail.Options)) (*cloudtrail.LookupEventsOutput, error) {
	t.w.tally.call(ctx, "cloudtrail.LookupEvents", 1)
	out := &cloudtrail.LookupEventsOutput{}
	if aws.ToString(in.LookupAttributes[0].AttributeValue) != "Logout" {
		return out, nil
	}
	within := func(limit time.Time, past bool) int {
		n, _ := slices.BinarySearchFunc(t.w.recorded, limit, func(e trailtypes.Event, at time.Time) int {
			if c := e.EventTime.Compare(at); c != 0 || !past {
				return c
			}
			return -1
		})
		return n
	}
	from, to := within(aws.ToTime(in.StartTime), false), within(aws.ToTime(in.EndTime), true)
	skip := 0
	_, _ = fmt.Sscan(aws.ToString(in.NextToken), &skip) // none: from the newest on
	for i := to - 1 - skip; i >= from && len(out.Events) < int(aws.ToInt32(in.MaxResults)); i-- {
		out.Events = append(out.Events, t.w.recorded[i])
	}
	if skip += len(out.Events); skip < to-from {
		out.NextToken = aws.String(fmt.Sprint(skip))
	}
	return out, nil
}
