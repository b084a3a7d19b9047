package doctor

import (
	"fmt"
	"strings"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/config"
	"nightshift/internal/session"
)

// Account is what a whole account and its Nightshift have.
type Account struct {
	Now            time.Time
	Region         string
	IdentityRegion string
	IdentityStore  string // that Nightshift looks users up in; "" is not known
	Instances      Fact[[]Instance]
	// InstanceBackground is Nightshift's own setting: AWS has no API that tells.
	InstanceBackground Fact[session.Tri]
	Applications       []Application
	// Users is how many users the identity store has listed, at least.
	Users  Fact[int]
	Trails Fact[[]Trail]
	// History is whether CloudTrail's event history answers.
	History   Fact[bool]
	Rules     []Rule
	Settings  Fact[Settings]
	Scim      Fact[Scim]
	Lambda    Fact[Concurrency]
	Endpoints Fact[[]Endpoint]
}

// Instance is an instance of IAM Identity Center.
type Instance struct {
	ARN, Store, Status, Reason string
	Owner                      string   // its account; "" is not known
	Regions                    []string // in which it is
}

// Application is an application of Identity Center, and whose it is.
type Application struct {
	ARN        string
	Of         string // "livy/j-1 livy/j-2", "EMR's"
	Background Fact[bool]
}

// Trail is one of CloudTrail's.
type Trail struct {
	ARN, Region    string // Region is its home
	Logging        bool
	Everywhere     bool // it records every Region
	Management     bool // management events
	Reads, Writes  bool // of those
	DeliveryFailed string
	Unread         string // why it could not be looked at; "" where it was
}

// Rule is a rule of EventBridge, as it should be and as it is.
type Rule struct {
	Name    string
	Want    config.Rule
	Found   Fact[bool]
	State   string
	Pattern string
	Targets Fact[int]
}

// Settings are what the deployed functions were given.
type Settings struct {
	SessionSource bool
	Endpoints     []config.Endpoint
	Fault         string // what is wrong with them; "" for nothing
}

// Scim is how an identity provider brings users.
type Scim struct {
	Used    bool
	Created time.Time // of the access token that is used; zero: not known
	Seen    bool      // its calls are in CloudTrail
}

// Concurrency is the account's share of Lambda.
type Concurrency struct{ Limit, Unreserved int }

// Endpoint is one that Nightshift tends.
type Endpoint struct {
	ID         string
	Live       int
	Capacity   int // live runs for which the promise of 15 minutes holds
	LastListed time.Time
}

// A SCIM access token lives for a year, and AWS reminds of it when 90 days are
// left (Identity Center user guide, "Provision users and groups"). What tokens
// from before September 2024 do is not in CloudTrail ("Logging SCIM API calls").
const (
	tokenLife   = 365 * 24 * time.Hour
	tokenRemind = 90 * 24 * time.Hour
)

var tokenLogged = time.Date(2024, 9, 30, 0, 0, 0, 0, time.UTC)

// pageListed is up to how many users are asked for one by one; more are listed in
// pages (S3.5).
const pageListed = 1000

// unreservedMin is what Lambda keeps unreserved in every account; reservedOurs
// what the stack reserves at least: the sign-outs' function and the drains'.
const (
	unreservedMin = 100
	reservedOurs  = config.QueueMaxConcurrency + 5
)

var accountRules = []rule[Account]{
	{
		"identity-center", "Identity Center's instance is active, in the Region that Nightshift asks, and its directory is the one that Nightshift looks users up in", "S3.5",
		[]string{"sso:ListInstances"},
		func(a Account) []verdict {
			return of(a.IdentityRegion, a.Instances, func(all []Instance) []verdict { return identityCenter(a, all) })
		},
	},
	{
		"instance-background", "Background sessions are on in the instance: level 1 of 3", "S1.1: no API tells, Nightshift's policy says it",
		nil, func(a Account) []verdict { return instanceBackground(a.InstanceBackground) },
	},
	{
		"application-background", "Background sessions are on in each application: level 2 of 3", "S1.1",
		[]string{"sso:GetApplicationSessionConfiguration"},
		func(a Account) []verdict {
			var all []verdict
			for _, app := range a.Applications {
				all = append(all, applicationBackground(app)...)
			}
			if len(all) > 0 {
				return all
			}
			return of("", a.Settings, func(Settings) []verdict {
				return []verdict{untold("", "no application is known of any endpoint", "Give each endpoint its applicationArn in the context key endpoints.")}
			})
		},
	},
	{
		"lost-users", "Users who were disabled or deleted while the event was lost are found: the directory can be listed", "S3.5b",
		[]string{"identitystore:ListUsers"},
		func(a Account) []verdict {
			return of(a.IdentityStore, a.Users, func(n int) []verdict {
				if n > pageListed {
					return []verdict{good(a.IdentityStore, fmt.Sprintf("More than %d users: the directory is listed page by page.", pageListed))}
				}
				return []verdict{good(a.IdentityStore, fmt.Sprintf("%d users: each who has a live session is asked for each minute.", n))}
			})
		},
	},
	{
		"trail", "A trail records management events, also those that only read, in Identity Center's Region: without it EventBridge hears of no sign-out, and audit of nobody", "S3.1, S5.3, EventBridge user guide, events delivered by CloudTrail",
		[]string{"cloudtrail:DescribeTrails", "cloudtrail:GetTrailStatus", "cloudtrail:GetEventSelectors"},
		func(a Account) []verdict {
			return of(a.IdentityRegion, a.Trails, func(all []Trail) []verdict { return []verdict{trail(a.IdentityRegion, all)} })
		},
	},
	{
		"lost-sign-outs", "Sign-outs and revocations that were lost on the way are found again, at once or each 5 minutes", "S3.5c",
		[]string{"cloudtrail:LookupEvents", "lambda:GetFunctionConfiguration"}, lostSignOuts,
	},
	{
		"rules", "Each rule that brings an event is there, on, unchanged, and leads somewhere", "S3.1, S3.2, S3.4",
		[]string{"events:DescribeRule", "events:ListTargetsByRule"},
		func(a Account) []verdict {
			var all []verdict
			for _, r := range a.Rules {
				all = append(all, ruleThere(r)...)
			}
			return all
		},
	},
	{
		"scim-token", "The token with which an identity provider brings users has not expired and will not soon, and its calls are recorded", "S7.2, Identity Center user guide, rotate an access token",
		[]string{"cloudtrail:LookupEvents"},
		func(a Account) []verdict {
			return of("", a.Scim, func(s Scim) []verdict { return []verdict{scimToken(a.Now, s)} })
		},
	},
	{
		"settings", "The deployed functions' settings can be read by them, and name the endpoints to tend", "S3.5a",
		[]string{"lambda:GetFunctionConfiguration"},
		func(a Account) []verdict { return of("", a.Settings, settings) },
	},
	{
		"lambda-concurrency", "The account's Lambda quota leaves room for what is reserved for sign-outs and drains", "S7.2 quotas",
		[]string{"lambda:GetAccountSettings"},
		func(a Account) []verdict { return of(a.Region, a.Lambda, concurrency) },
	},
	{
		"capacity", "No endpoint has more live runs than can be stopped in 15 minutes, and each is listed", "S2.9, S3.5a",
		nil, func(a Account) []verdict {
			return of("", a.Endpoints, func(all []Endpoint) []verdict { return capacity(a.Now, all) })
		},
	},
}

func identityCenter(a Account, all []Instance) []verdict {
	if len(all) == 0 {
		return []verdict{bad(a.IdentityRegion, "There is no instance of Identity Center in this Region that this account may see.",
			"Name its Region with --identity-region (context key identityRegion), or run the doctor in its account.")}
	}
	var found []verdict
	for _, i := range all {
		switch {
		case i.Status == "CREATE_IN_PROGRESS":
			found = append(found, untold(i.ARN, "it is being made", "Wait a few minutes, and try again."))
		case i.Status != "" && i.Status != "ACTIVE":
			found = append(found, bad(i.ARN, "Its status is "+i.Status+". "+i.Reason, "Mend it in the Identity Center console."))
		case a.IdentityStore == "":
			found = append(found, untold(i.ARN, "which identity store Nightshift uses is not known", "Name it with --identity-store."))
		case i.Store != a.IdentityStore:
			found = append(found, bad(i.ARN, "Its directory is "+i.Store+", and Nightshift looks users up in "+a.IdentityStore+".", "Set the context key identityStoreId to "+i.Store+" and deploy."))
		default:
			return []verdict{good(i.ARN, "It is active, and "+i.Store+" is its directory.")}
		}
	}
	return found
}

func instanceBackground(f Fact[session.Tri]) []verdict {
	const where = "Nightshift's policy, instanceBackground"
	const look = "Compare with Identity Center's console, Settings, Authentication, Session duration; then nightshift policy set --instance-background on."
	switch {
	case !f.Known:
		return []verdict{untold(where, f.Why, "Let the doctor ask Nightshift (--stack, --api, --local), or say it with --instance-background.")}
	case f.Value == session.On:
		return []verdict{good(where, "It says on. AWS has no API that would confirm it.")}
	case f.Value == session.Off:
		return []verdict{bad(where, "It says off: every run ends at its user's sign-out.", look)}
	}
	return []verdict{untold(where, "the policy says unknown, and AWS has no API that tells", look)}
}

func applicationBackground(app Application) []verdict {
	if app.ARN == "" {
		return []verdict{untold(app.Of, "its application of Identity Center is not known", "Give it (applicationArn of the endpoint in the context key endpoints).")}
	}
	where := app.ARN + ", " + app.Of
	return of(where, app.Background, func(on bool) []verdict {
		if on {
			return []verdict{good(where, "Background sessions are on.")}
		}
		return []verdict{bad(where, "Background sessions are off: its runs end at their user's sign-out.", "aws sso-admin put-application-session-configuration --application-arn "+app.ARN+" --user-background-session-application-status ENABLED")}
	})
}

// trail wants one trail that does; of those that do not, it says why.
func trail(region string, all []Trail) verdict {
	var faults []string
	unread := ""
	for _, t := range all {
		fault := ""
		switch {
		case t.Unread != "":
			unread, fault = t.Unread, "could not be looked at"
		case !t.Everywhere && t.Region != region:
			fault = "records only " + t.Region
		case !t.Logging:
			fault = "does not log"
		case !t.Management || !t.Writes:
			fault = "leaves management events out"
		case !t.Reads:
			fault = "leaves events out that only read, and a sign-out may be one"
		case t.DeliveryFailed != "":
			return caution(t.ARN, "It records what is needed, but its last delivery failed: "+t.DeliveryFailed+".", "Mend its bucket's policy or key.")
		default:
			return good(t.ARN, "It records management events of "+region+", reading and writing.")
		}
		faults = append(faults, t.ARN+" "+fault)
	}
	if unread != "" {
		return untold(region, "no trail that could be looked at does, and of another: "+unread, grant)
	}
	said := "There is no trail."
	if len(faults) > 0 {
		said = "No trail does: " + strings.Join(faults, "; ") + "."
	}
	return bad(region, said+" EventBridge gets no event of CloudTrail, so that no sign-out is heard.", "Make a trail for all Regions that logs management events, Read and Write.")
}

func lostSignOuts(a Account) []verdict {
	swept, known := false, false
	for _, r := range a.Rules {
		if r.Want.Name == Schedule {
			swept, known = r.Found.Value && r.State != "DISABLED", r.Found.Known
		}
	}
	switch {
	case !known:
		return []verdict{untold("", "whether the sweep runs is not known", grant)}
	case !swept:
		return []verdict{bad("", "Nobody looks: the sweep is off. Only the interactive session's expiry bounds a lost sign-out.", "Enable the rule of the schedule, or deploy again.")}
	}
	if a.Settings.Value.SessionSource {
		return []verdict{good("", "A session source is configured: what is lost is missed within a minute.")}
	}
	return of("", a.History, func(bool) []verdict {
		return []verdict{good("", "They are replayed from CloudTrail's event history each "+brief(cadence.Replay)+".")}
	})
}

// Schedule is the name of the rule that makes the sweep each minute; it is the
// one rule that config.Rules does not have, for it waits for no event.
const Schedule = "schedule"

func ruleThere(r Rule) []verdict {
	return of(r.Name, r.Found, func(there bool) []verdict {
		again := "Deploy again: make deploy."
		switch {
		case !there:
			return []verdict{bad(r.Name, "It is not there: what it would bring is not heard.", again)}
		case r.State == "DISABLED":
			return []verdict{bad(r.Name, "It is off.", "aws events enable-rule --name "+r.Name+onBus(r)+", or deploy again.")}
		case r.Want.ReadOnly && r.State != "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS":
			return []verdict{bad(r.Name, "Its state is "+r.State+": it does not see events that only read, and a sign-out may be one.", again)}
		case r.Want.Pattern != "" && !config.Hears(r.Pattern, r.Want.Pattern):
			return []verdict{caution(r.Name, "Its pattern is not the one of this version.", again)}
		}
		return of(r.Name, r.Targets, func(n int) []verdict {
			if n == 0 {
				return []verdict{bad(r.Name, "It leads nowhere: it has no target.", again)}
			}
			return []verdict{good(r.Name, "It is on, and leads to "+counted(n, "target")+".")}
		})
	})
}

func onBus(r Rule) string {
	if r.Want.OnOwnBus {
		return " --event-bus-name, the stack's own bus"
	}
	return ""
}

func scimToken(now time.Time, s Scim) verdict {
	const rotate = "Identity Center console, Settings, Automatic provisioning: generate a new token and give it to the identity provider."
	const say = "Look in Identity Center's console (Settings, Automatic provisioning) and say it with --scim-token DATE, or none; no API tells."
	left := s.Created.Add(tokenLife).Sub(now)
	switch {
	case !s.Used && s.Created.IsZero():
		return good("", "No identity provider brings users here, by what was said.")
	case s.Created.IsZero() && s.Seen:
		return untold("", "an identity provider's calls are recorded, but when its token was made is not in the last 90 days of events", say)
	case s.Created.IsZero():
		return untold("", "no token's making and no call of an identity provider is in the last 90 days of events", say)
	case left <= 0:
		return bad("", "It was made on "+day(s.Created)+" and expired after a year: who is disabled at the identity provider is not disabled here.", rotate)
	case s.Created.Before(tokenLogged):
		return bad("", "It was made on "+day(s.Created)+": what is done with tokens from before October 2024 is not in CloudTrail.", rotate)
	case left <= tokenRemind:
		return caution("", fmt.Sprintf("It expires in %d days, on %s.", int(left/(24*time.Hour)), day(s.Created.Add(tokenLife))), rotate)
	}
	return good("", "It was made on "+day(s.Created)+" and holds until "+day(s.Created.Add(tokenLife))+".")
}

func settings(s Settings) []verdict {
	switch {
	case s.Fault != "":
		return []verdict{bad("", "They are not usable: "+s.Fault, "Mend the context keys in infra/cdk.json and deploy again.")}
	case len(s.Endpoints) == 0:
		return []verdict{bad("", "No endpoint is configured: nothing is listed, and a run whose event is lost is never found.", "Set the context key endpoints and deploy again.")}
	}
	return []verdict{good("", counted(len(s.Endpoints), "endpoint")+" to tend.")}
}

func concurrency(c Concurrency) []verdict {
	said := fmt.Sprintf("The account has %d concurrent executions, %d of them unreserved.", c.Limit, c.Unreserved)
	if c.Limit < unreservedMin+reservedOurs {
		return []verdict{bad("", fmt.Sprintf("%s Nightshift reserves %d, and Lambda keeps %d unreserved.", said, reservedOurs, unreservedMin), "Ask for more: Service Quotas, AWS Lambda, Concurrent executions.")}
	}
	return []verdict{good("", said)}
}

func capacity(now time.Time, all []Endpoint) []verdict {
	var found []verdict
	for _, e := range all {
		said := fmt.Sprintf("%d live runs; 15 minutes are enough to stop %d.", e.Live, e.Capacity)
		switch {
		case e.Live > e.Capacity:
			found = append(found, caution(e.ID, said, "Start fewer at once, spread them over accounts or Regions, or have the endpoint's rate raised and set stopsPerSecond."))
		case e.LastListed.IsZero():
			found = append(found, untold(e.ID, "it has not been listed yet", "Wait for 5 minutes; then look at the logs of observe-endpoint."))
		case now.Sub(e.LastListed) > listedLate:
			found = append(found, bad(e.ID, "It was listed last at "+e.LastListed.UTC().Format(time.RFC3339)+": what happens there is not seen.", "Look at the logs of observe-endpoint: access, network and address of the endpoint."))
		default:
			found = append(found, good(e.ID, said))
		}
	}
	return found
}

// listedLate is how old an endpoint's last listing may be: it is listed each 300 s
// at the least, and a list may take its time.
const listedLate = 15 * time.Minute

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func brief(d time.Duration) string {
	return strings.TrimSuffix(d.String(), "0s")
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
