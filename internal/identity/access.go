package identity

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/identitystore"
	storetypes "github.com/aws/aws-sdk-go-v2/service/identitystore/types"
	"github.com/aws/aws-sdk-go-v2/service/ssoadmin"
	ssotypes "github.com/aws/aws-sdk-go-v2/service/ssoadmin/types"

	"nightshift/internal/fault"
	"nightshift/internal/session"
)

// pagesMax bounds a listing. A user is in at most 1,000 groups (Identity Center
// quotas) and a page has 100; past it the answer is Unknown, with an error.
const pagesMax = 50

// Access says whether an assignment of the user, or of a group that the user is
// in, still gives the application. "" means the applications of the configured
// endpoints: On where any is still given, and never Off while an endpoint that
// passes identities on has none configured. An application that none of them
// uses is On without asking: losing it takes no run's access away.
//
// An application that requires no assignment is On for everybody.
// A user's own assignments are asked first; the groups' only where there is
// none, each by a call, because whether the first answer has inherited ones in
// it is not documented for applications.
func (i *Identity) Access(ctx context.Context, user, application string) (session.Tri, error) {
	const op = "identity: check access"
	applications, unnamed := i.concerned(application)
	if len(applications) == 0 && unnamed != "" {
		return session.Unknown, fault.Newf(op, fault.Invalid, "the application cannot be told: endpoint %q has none configured", unnamed)
	}
	if len(applications) == 0 {
		return session.On, nil
	}
	for _, a := range applications {
		given, err := i.assigned(ctx, a, user, ssotypes.PrincipalTypeUser)
		if given || err != nil {
			return answered(given, err)
		}
	}
	for _, a := range applications {
		given, err := i.everybodys(ctx, a)
		if given || err != nil {
			return answered(given, err)
		}
	}
	groups, err := i.groups(ctx, user)
	if err != nil {
		return session.Unknown, err
	}
	for _, g := range groups {
		for _, a := range applications {
			given, err := i.assigned(ctx, a, g, ssotypes.PrincipalTypeGroup)
			if fault.Is(err, fault.NotFound) && i.confirmed(ctx, a, user) {
				continue // the group has gone since it was listed, and gives nothing
			}
			if given || err != nil {
				return answered(given, err)
			}
		}
	}
	if unnamed != "" {
		return session.Unknown, fault.Newf(op, fault.Invalid, "no configured application is given, but endpoint %q has none configured", unnamed)
	}
	return session.Off, nil
}

// everybodys says whether the application asks for no assignment: all users have it
// then, and nobody loses it with one (AssignmentRequired).
func (i *Identity) everybodys(ctx context.Context, application string) (bool, error) {
	const op = "identity center: get application assignment configuration"
	asked := i.Now()
	i.mu.Lock()
	known, ok := i.required[application]
	i.mu.Unlock()
	if ok && asked.Sub(known.at) < remembered {
		return known.value == session.Off, nil
	}
	if err := i.assignments.wait(ctx, i.Settings); err != nil {
		return false, fault.New(op, fault.Unknown, err)
	}
	out, err := i.center.GetApplicationAssignmentConfiguration(ctx, &ssoadmin.GetApplicationAssignmentConfigurationInput{ApplicationArn: aws.String(application)})
	switch {
	case err != nil:
		return false, classify(op, err)
	case out.AssignmentRequired == nil:
		return false, fault.Newf(op, fault.Unknown, "the answer does not say whether an assignment is required")
	}
	value := session.Off
	if *out.AssignmentRequired {
		value = session.On
	}
	i.mu.Lock()
	if len(i.required) >= namesMax {
		clear(i.required) // events may name any application
	}
	i.required[application] = answer{value: value, at: asked}
	i.mu.Unlock()
	return value == session.Off, nil
}

// confirmed says whether the application is there: it is asked for the user, who
// has no assignment, and an answer other than an error says so.
func (i *Identity) confirmed(ctx context.Context, application, user string) bool {
	_, err := i.assigned(ctx, application, user, ssotypes.PrincipalTypeUser)
	return err == nil
}

func answered(given bool, err error) (session.Tri, error) {
	if err != nil {
		return session.Unknown, err
	}
	if given {
		return session.On, nil
	}
	return session.Off, nil
}

// concerned lists the applications to ask about; none: no run is concerned.
// unnamed is an endpoint that may use another one, which makes Off a guess; ""
// where there is none, or the event itself names the application.
func (i *Identity) concerned(application string) (applications []string, unnamed string) {
	var all []string
	anyone := false // some endpoint may use any application
	for _, id := range slices.Sorted(maps.Keys(i.Endpoints)) {
		switch e := i.Endpoints[id]; {
		case e.Application != "":
			all = append(all, e.Application)
		case e.Facts.IdentityPropagation == session.On:
			unnamed, anyone = id, true
		case e.Facts.IdentityPropagation == session.Unknown:
			anyone = true // its sessions are of unknown mode, which losing access does not end
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	switch {
	case application == "":
		return all, unnamed
	case !anyone && !slices.Contains(all, application):
		return nil, ""
	}
	return []string{application}, ""
}

// assigned says whether the principal itself has the application.
func (i *Identity) assigned(ctx context.Context, application, principal string, kind ssotypes.PrincipalType) (bool, error) {
	const op = "identity center: list application assignments"
	instance, err := instanceOf(application)
	if err != nil {
		return false, fault.New(op, fault.Invalid, err)
	}
	in := &ssoadmin.ListApplicationAssignmentsForPrincipalInput{
		InstanceArn: aws.String(instance), PrincipalId: aws.String(principal), PrincipalType: kind,
		// Needed from a delegated account, and keeps the answer short.
		Filter: &ssotypes.ListApplicationAssignmentsFilter{ApplicationArn: aws.String(application)},
	}
	for range pagesMax {
		if err := i.assignments.wait(ctx, i.Settings); err != nil {
			return false, fault.New(op, fault.Unknown, err)
		}
		out, err := i.center.ListApplicationAssignmentsForPrincipal(ctx, in)
		if err != nil {
			return false, classify(op, err)
		}
		for _, a := range out.ApplicationAssignments {
			if aws.ToString(a.ApplicationArn) == application {
				return true, nil
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return false, nil
		}
	}
	return false, fault.Newf(op, fault.Unknown, "the list has more than %d pages", pagesMax)
}

// instanceOf makes the ARN of the instance from that of an application of it:
// arn:aws:sso::123456789012:application/ssoins-1/apl-2 is in
// arn:aws:sso:::instance/ssoins-1.
func instanceOf(application string) (string, error) {
	parts := strings.SplitN(application, ":", 6)
	if len(parts) == 6 && parts[2] == "sso" {
		if path := strings.Split(parts[5], "/"); len(path) == 3 && path[0] == "application" && path[1] != "" {
			return "arn:" + parts[1] + ":sso:::instance/" + path[1], nil
		}
	}
	return "", errors.New("application " + application + ": it must be the ARN of an application of Identity Center")
}

// groups lists the ids of the groups that the user is in.
func (i *Identity) groups(ctx context.Context, user string) ([]string, error) {
	const op = "identity store: list groups of user"
	if i.StoreID == "" {
		return nil, fault.Newf(op, fault.Unknown, "no identity store is configured")
	}
	in := &identitystore.ListGroupMembershipsForMemberInput{
		IdentityStoreId: aws.String(i.StoreID), MemberId: &storetypes.MemberIdMemberUserId{Value: user},
	}
	var all []string
	for range pagesMax {
		if err := i.memberships.wait(ctx, i.Settings); err != nil {
			return nil, fault.New(op, fault.Unknown, err)
		}
		out, err := i.directory.ListGroupMembershipsForMember(ctx, in)
		var missing *storetypes.ResourceNotFoundException
		if errors.As(err, &missing) && missing.ResourceType == storetypes.ResourceTypeUser {
			return nil, nil // a deleted user is in no group
		}
		if err != nil {
			return nil, classify(op, err)
		}
		for _, m := range out.GroupMemberships {
			if g := aws.ToString(m.GroupId); g != "" {
				all = append(all, g)
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return all, nil
		}
	}
	return nil, fault.Newf(op, fault.Unknown, "the list has more than %d pages", pagesMax)
}
