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
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/identitystore"
	storetypes "github.com/aws/aws-sdk-go-v2/service/identitystore/types"
	"github.com/aws/aws-sdk-go-v2/service/ssoadmin"
	ssotypes "github.com/aws/aws-sdk-go-v2/service/ssoadmin/types"
	"github.com/aws/smithy-go"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Center is what is called of Identity Center; *ssoadmin.Client has it.
type Center interface {
	GetApplicationSessionConfiguration(context.Context, *ssoadmin.GetApplicationSessionConfigurationInput, ...func(*ssoadmin.Options)) (*ssoadmin.GetApplicationSessionConfigurationOutput, error)
	ListApplicationAssignmentsForPrincipal(context.Context, *ssoadmin.ListApplicationAssignmentsForPrincipalInput, ...func(*ssoadmin.Options)) (*ssoadmin.ListApplicationAssignmentsForPrincipalOutput, error)
}

// Directory is what is called of the identity store; *identitystore.Client has it.
type Directory interface {
	DescribeUser(context.Context, *identitystore.DescribeUserInput, ...func(*identitystore.Options)) (*identitystore.DescribeUserOutput, error)
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
}

// Identity answers facts about users and applications. It is safe for
// concurrent use.
type Identity struct {
	Settings
	center    Center
	directory Directory
	trail     Trail

	mu         sync.Mutex
	background map[string]answer // by application ARN; no more than there are endpoints
}

// answer is a remembered answer of GetApplicationSessionConfiguration.
type answer struct {
	value session.Tri
	until time.Time
}

// remembered is how long an application's setting is believed: a burst of
// openings asks once, and Identity Center allows 20 calls a second for all of
// an instance's callers together.
const remembered = 60 * time.Second

var _ app.Identity = (*Identity)(nil)

// New takes clients of Identity Center's own region: elsewhere neither the
// directory nor its events are found.
func New(s Settings, center Center, directory Directory, trail Trail) *Identity {
	return &Identity{Settings: s, center: center, directory: directory, trail: trail, background: map[string]answer{}}
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
	if ok && i.Now().Before(known.until) {
		return known.value, nil
	}
	asked := i.Now()
	out, err := i.center.GetApplicationSessionConfiguration(ctx, &ssoadmin.GetApplicationSessionConfigurationInput{ApplicationArn: aws.String(application)})
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
	i.background[application] = answer{value: value, until: asked.Add(remembered)}
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
	out, err := i.directory.DescribeUser(ctx, &identitystore.DescribeUserInput{IdentityStoreId: aws.String(i.StoreID), UserId: aws.String(user)})
	var missing *storetypes.ResourceNotFoundException
	switch {
	case errors.As(err, &missing) && (missing.ResourceType == storetypes.ResourceTypeUser || missing.ResourceType == ""):
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

// classify gives the error of any of the three services its kind; nil stays nil.
// A thing that is not found is a setting of ours that names nothing.
func classify(op string, err error) error {
	if err == nil {
		return nil
	}
	kind := fault.Unknown
	var params smithy.InvalidParamsError
	var e smithy.APIError
	switch {
	case errors.As(err, &params):
		kind = fault.Invalid
	case errors.As(err, &e):
		if _, slow := retry.DefaultThrottleErrorCodes[e.ErrorCode()]; slow {
			kind = fault.Throttled
		}
		switch e.ErrorCode() {
		case "ResourceNotFoundException":
			kind = fault.NotFound
		case "AccessDeniedException", "AccessDenied", "UnrecognizedClientException", "ExpiredTokenException",
			"InvalidSignatureException", "MissingAuthenticationTokenException", "IncompleteSignature":
			kind = fault.Denied
		case "ValidationException", "InvalidLookupAttributesException", "InvalidTimeRangeException", "InvalidMaxResultsException":
			kind = fault.Invalid
		}
	}
	return fault.New(op, kind, err)
}
