// Package identity is the app's Identity on AWS IAM Identity Center: what a
// run's mode depends on, whether a user still exists and still has access, and
// the identity events that CloudTrail has recorded. It knows the APIs of
// Identity Center, its identity store and CloudTrail, and what an administrator
// has said of each endpoint; it must not know what follows from a fact.
package identity

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/identitystore"
	storetypes "github.com/aws/aws-sdk-go-v2/service/identitystore/types"
	"github.com/aws/aws-sdk-go-v2/service/ssoadmin"
	ssotypes "github.com/aws/aws-sdk-go-v2/service/ssoadmin/types"

	"nightshift/internal/app"
	"nightshift/internal/awsfault"
	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Center is what is called of Identity Center; *ssoadmin.Client has it.
type Center interface {
	GetApplicationSessionConfiguration(context.Context, *ssoadmin.GetApplicationSessionConfigurationInput, ...func(*ssoadmin.Options)) (*ssoadmin.GetApplicationSessionConfigurationOutput, error)
	GetApplicationAssignmentConfiguration(context.Context, *ssoadmin.GetApplicationAssignmentConfigurationInput, ...func(*ssoadmin.Options)) (*ssoadmin.GetApplicationAssignmentConfigurationOutput, error)
	ListApplicationAssignmentsForPrincipal(context.Context, *ssoadmin.ListApplicationAssignmentsForPrincipalInput, ...func(*ssoadmin.Options)) (*ssoadmin.ListApplicationAssignmentsForPrincipalOutput, error)
}

// Directory is what is called of the identity store; *identitystore.Client has it.
type Directory interface {
	DescribeUser(context.Context, *identitystore.DescribeUserInput, ...func(*identitystore.Options)) (*identitystore.DescribeUserOutput, error)
	GetUserId(context.Context, *identitystore.GetUserIdInput, ...func(*identitystore.Options)) (*identitystore.GetUserIdOutput, error)
	ListUsers(context.Context, *identitystore.ListUsersInput, ...func(*identitystore.Options)) (*identitystore.ListUsersOutput, error)
	ListGroupMembershipsForMember(context.Context, *identitystore.ListGroupMembershipsForMemberInput, ...func(*identitystore.Options)) (*identitystore.ListGroupMembershipsForMemberOutput, error)
}

// Trail is what is called of CloudTrail; *cloudtrail.Client has it.
type Trail interface {
	LookupEvents(context.Context, *cloudtrail.LookupEventsInput, ...func(*cloudtrail.Options)) (*cloudtrail.LookupEventsOutput, error)
}

// Endpoint is what an administrator has said of an endpoint.
type Endpoint struct {
	Application string        // ARN of its application in Identity Center; "" is unknown
	Facts       session.Facts // all but Instance and ApplicationBackground
}

// Settings are what the answers are made from, besides calls.
type Settings struct {
	StoreID   string // of the identity store, d-…
	Endpoints map[string]Endpoint
	Now       func() time.Time
	Log       *slog.Logger
	// FactsAge is how old an answer about an application may be and still be
	// believed where it cannot be asked for again; older, it is unknown (S1.10). 0:
	// FactsAgeDefault.
	FactsAge time.Duration
	// Pause waits between calls, so that they keep to the services' rates; nil:
	// nothing waits.
	Pause func(context.Context, time.Duration) error
	// IsID says which words are ids of users, and no user names; nil: app.IsUserID.
	IsID func(word string) bool
	// Rates is what this process may use of the quotas. Zero: all of them.
	Rates Rates
}

// Rates are calls a second of one process, for each of the quotas. A quota is one
// for all callers, so what several processes are given must not be more together.
type Rates struct {
	Users       float64 // DescribeUser
	Lists       float64 // ListUsers
	Names       float64 // GetUserId
	Members     float64 // ListGroupMembershipsForMember
	Assignments float64 // ListApplicationAssignmentsForPrincipal
	Events      float64 // LookupEvents
}

// Quotas are the rates of a process that has them for itself.
var Quotas = Rates{
	Users: cadence.DirectoryPerSecond, Lists: cadence.DirectoryPerSecond, Names: cadence.DirectoryPerSecond, Members: cadence.DirectoryPerSecond,
	Assignments: cadence.CenterPerSecond, Events: cadence.TrailPerSecond,
}

// FactsAgeDefault is the FactsAge where none is set.
const FactsAgeDefault = 5 * time.Minute

// Identity answers facts about users and applications. It is safe for
// concurrent use.
type Identity struct {
	Settings
	center    Center
	directory Directory
	trail     Trail

	// One pace for each quota: those of the identity store are for each API.
	users, lists, naming, memberships, assignments, lookups pace

	mu         sync.Mutex
	background map[string]answer // by application ARN; no more than there are endpoints
	required   map[string]answer // the same, of GetApplicationAssignmentConfiguration
	named      map[string]called // by user name; namesMax at most
}

// answer is a remembered answer of GetApplicationSessionConfiguration.
type answer struct {
	value session.Tri
	at    time.Time // when it was so
}

// remembered is how long an application's setting is not asked for again: a
// burst of openings asks once, and Identity Center allows 20 calls a second for
// all of an instance's callers together.
const remembered = 60 * time.Second

var (
	_ app.Identity = (*Identity)(nil)
	_ app.Users    = (*Identity)(nil)
	_ app.Names    = (*Identity)(nil)
)

// New takes clients of Identity Center's own region: elsewhere neither the
// directory nor its events are found.
func New(s Settings, center Center, directory Directory, trail Trail) *Identity {
	if s.FactsAge == 0 {
		s.FactsAge = FactsAgeDefault
	}
	if s.IsID == nil {
		s.IsID = app.IsUserID
	}
	if s.Rates == (Rates{}) {
		s.Rates = Quotas
	}
	r := s.Rates
	return &Identity{
		Settings: s, center: center, directory: directory, trail: trail, background: map[string]answer{}, required: map[string]answer{}, named: map[string]called{},
		users: paced(r.Users), lists: paced(r.Lists), naming: paced(r.Names), memberships: paced(r.Members),
		assignments: paced(r.Assignments), lookups: paced(r.Events),
	}
}

// Facts are what an administrator has said of the run's endpoint, and whether
// its application has background sessions on, which is read. Instance is left
// unknown: no API tells it, the policy does. The facts are the same for every
// user of an endpoint.
func (i *Identity) Facts(ctx context.Context, _ string, run workload.Run) (session.Facts, error) {
	const op = "identity: read facts"
	e, ok := i.Endpoints[run.Endpoint]
	if !ok {
		return session.Facts{}, fault.Newf(op, fault.NotFound, "endpoint %q is not configured: all its facts are unknown", run.Endpoint)
	}
	facts := e.Facts
	if facts.IdentityPropagation == session.Off {
		return facts, nil // the application's setting has no bearing (S1.8)
	}
	if e.Application == "" {
		return facts, fault.Newf(op, fault.NotFound, "endpoint %q has no application configured: whether that has background sessions on is unknown", run.Endpoint)
	}
	value, err := i.applicationBackground(ctx, e.Application)
	facts.ApplicationBackground = value
	return facts, err
}

func (i *Identity) applicationBackground(ctx context.Context, application string) (session.Tri, error) {
	const op = "identity center: get application session configuration"
	i.mu.Lock()
	known, ok := i.background[application]
	i.mu.Unlock()
	asked := i.Now()
	if ok && asked.Sub(known.at) < remembered {
		return known.value, nil
	}
	out, err := i.center.GetApplicationSessionConfiguration(ctx, &ssoadmin.GetApplicationSessionConfigurationInput{ApplicationArn: aws.String(application)})
	if err != nil && ok && asked.Sub(known.at) <= i.FactsAge {
		i.Log.Warn("application setting not read, an earlier answer holds", "error", err.Error())
		return known.value, nil
	}
	if err != nil {
		return session.Unknown, classify(op, err)
	}
	value := session.Unknown
	switch out.UserBackgroundSessionApplicationStatus {
	case ssotypes.UserBackgroundSessionApplicationStatusEnabled:
		value = session.On
	case ssotypes.UserBackgroundSessionApplicationStatusDisabled:
		value = session.Off
	default:
		return value, fault.Newf(op, fault.Unknown, "the status %q is neither ENABLED nor DISABLED", out.UserBackgroundSessionApplicationStatus)
	}
	i.mu.Lock()
	i.background[application] = answer{value: value, at: asked}
	i.mu.Unlock()
	return value, nil
}

// Status reads a user's status. Only an answer that the user, not the store, is
// unknown means deleted: a wrong store id must not end everybody's work.
func (i *Identity) Status(ctx context.Context, user string) (app.UserStatus, error) {
	const op = "identity store: describe user"
	if i.StoreID == "" {
		return "", fault.Newf(op, fault.Unknown, "no identity store is configured")
	}
	if err := i.users.wait(ctx, i.Settings); err != nil {
		return "", fault.New(op, fault.Unknown, err)
	}
	out, err := i.directory.DescribeUser(ctx, &identitystore.DescribeUserInput{IdentityStoreId: aws.String(i.StoreID), UserId: aws.String(user)})
	var missing *storetypes.ResourceNotFoundException
	switch {
	case errors.As(err, &missing) && missing.ResourceType == storetypes.ResourceTypeUser:
		return app.UserDeleted, nil
	case err != nil:
		return "", classify(op, err)
	}
	switch out.UserStatus {
	case storetypes.UserStatusEnabled:
		return app.UserEnabled, nil
	case storetypes.UserStatusDisabled:
		return app.UserDisabled, nil
	}
	return "", fault.Newf(op, fault.Unknown, "the status %q is neither ENABLED nor DISABLED", out.UserStatus)
}

// Users gives one page of the directory. A user whose status says neither is left
// out.
func (i *Identity) Users(ctx context.Context, cursor string) (page map[string]app.UserStatus, next string, err error) {
	const op = "identity store: list users"
	if i.StoreID == "" {
		return nil, "", fault.Newf(op, fault.Unknown, "no identity store is configured")
	}
	if err := i.lists.wait(ctx, i.Settings); err != nil {
		return nil, "", fault.New(op, fault.Unknown, err)
	}
	in := &identitystore.ListUsersInput{IdentityStoreId: aws.String(i.StoreID), MaxResults: aws.Int32(usersPerPage)}
	if cursor != "" {
		in.NextToken = aws.String(cursor)
	}
	out, err := i.directory.ListUsers(ctx, in)
	if err != nil {
		return nil, "", classify(op, err)
	}
	page = make(map[string]app.UserStatus, len(out.Users))
	for _, u := range out.Users {
		switch u.UserStatus {
		case storetypes.UserStatusEnabled:
			page[aws.ToString(u.UserId)] = app.UserEnabled
		case storetypes.UserStatusDisabled:
			page[aws.ToString(u.UserId)] = app.UserDisabled
		}
	}
	return page, aws.ToString(out.NextToken), nil
}

// usersPerPage is the most that ListUsers gives at once.
const usersPerPage = 100

// pace lets one call through each so often. The quotas are the account's and
// others use them too: what is refused all the same is repeated, more slowly, by
// the clients.
type pace struct {
	every time.Duration // 0: this process has no share and makes no such call

	mu   sync.Mutex
	next time.Time
}

func paced(perSecond float64) pace {
	if perSecond <= 0 {
		return pace{}
	}
	return pace{every: time.Duration(float64(time.Second) / perSecond)}
}

// errNoShare is why a call is not made that the process was given no rate for.
var errNoShare = errors.New("this function has no share of the rate of this call")

// wait answers when it is this call's turn, or with the context's error.
func (p *pace) wait(ctx context.Context, s Settings) error {
	if p.every == 0 {
		return errNoShare
	}
	if s.Pause == nil {
		return nil
	}
	p.mu.Lock()
	now := s.Now()
	at := p.next
	if at.Before(now) {
		at = now
	}
	p.next = at.Add(p.every)
	p.mu.Unlock()
	if at.After(now) {
		return s.Pause(ctx, at.Sub(now))
	}
	return nil
}

// codes are what the three services' own words mean. A thing that is not found is
// a setting of ours that names nothing.
var codes = awsfault.Codes{
	"ResourceNotFoundException":        fault.NotFound,
	"InvalidLookupAttributesException": fault.Invalid,
	"InvalidTimeRangeException":        fault.Invalid,
	"InvalidMaxResultsException":       fault.Invalid,
}

// classify gives the error of any of the three services its kind; nil stays nil.
func classify(op string, err error) error { return awsfault.Classify(op, err, codes) }
