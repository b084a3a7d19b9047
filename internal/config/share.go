package config

// Share is how many calls a second may be made of the calls whose quota AWS gives
// to all callers of an account and Region, or of an identity store, together. Every
// instance of a function counts for itself, so the quotas hold only where the number
// of instances is bounded and what all of them may is no more than the quota.
type Share struct {
	Users       float64 // identitystore:DescribeUser
	Lists       float64 // identitystore:ListUsers
	Names       float64 // identitystore:GetUserId
	Members     float64 // identitystore:ListGroupMembershipsForMember
	Assignments float64 // sso:ListApplicationAssignmentsForPrincipal
	Events      float64 // cloudtrail:LookupEvents
}

// shares are what all instances of a function may together; a function that is not
// here makes none of these calls. The sweep has most: 1,000 users a minute are asked
// for one by one. A reader of the infra tests finds that they add up.
var shares = map[string]Share{
	"on-schedule":      {Users: 17, Lists: 20, Names: 9, Members: 9, Assignments: 5, Events: 2},
	"on-revocation":    {Users: 2, Members: 10, Assignments: 4},
	"observe-endpoint": {Names: 10},
	"repair":           {Users: 1, Names: 1, Members: 1, Assignments: 1},
}

// revocationsAtOnce bounds on-revocation: each instance more would make the check
// of a whole group's access, which one instance makes, slower.
const revocationsAtOnce = 2

// endpointsMin is the bound on the functions that run once for each endpoint where
// few are configured: runs that are adopted may bring others.
const endpointsMin = 5

// Concurrency is how many instances of a function there may be at once, given how
// many endpoints are configured; 0: as many as the account allows. It is reserved:
// a function on which the promise of 15 minutes hangs must not wait for an account
// that is busy, and one that calls Identity Center or CloudTrail must keep to its
// share.
func Concurrency(function string, endpoints int) int {
	switch function {
	case "on-logout":
		return QueueMaxConcurrency
	case "on-revocation":
		return revocationsAtOnce
	case "on-schedule":
		return 1 // a sweep that is longer than a minute delays the next
	case "repair":
		return 1 // two repairs at a time would heal the same
	case "observe-endpoint", "drain-endpoint":
		return max(endpointsMin, endpoints)
	}
	return 0
}

// ShareOf is what one instance of a function may.
func ShareOf(function string, endpoints int) Share {
	s := shares[function]
	n := float64(max(1, Concurrency(function, endpoints)))
	return Share{s.Users / n, s.Lists / n, s.Names / n, s.Members / n, s.Assignments / n, s.Events / n}
}
