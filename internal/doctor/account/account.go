// Package account reads the doctor's facts from AWS: from an account, or from a
// simulated one that speaks the same protocols. Everything it calls only reads.
// It knows the services' answers; what follows from a fact is package doctor's.
package account

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/identitystore"
	"github.com/aws/aws-sdk-go-v2/service/ssoadmin"
	ssotypes "github.com/aws/aws-sdk-go-v2/service/ssoadmin/types"

	"nightshift/internal/config"
	"nightshift/internal/doctor"
)

// Reader reads one account in one Region, and Identity Center in its own.
type Reader struct {
	conf     aws.Config
	identity aws.Config
	http     *http.Client
	now      func() time.Time
	home     *doctor.Fact[[]doctor.Instance] // of Identity Center, once read
}

// New makes a reader. identityRegion "" is the account's Region.
func New(conf aws.Config, identityRegion string, client *http.Client, now func() time.Time) *Reader {
	r := &Reader{conf: conf, identity: conf.Copy(), http: client, now: now}
	if identityRegion != "" {
		r.identity.Region = identityRegion
	}
	return r
}

// Asked is which account's Nightshift is asked about.
type Asked struct {
	Stack          string
	IdentityStore  string // "": as the deployed functions were told
	IdentityRegion string // "": likewise
	// Scim is what somebody said of the token with which an identity provider brings
	// users; nil: look.
	Scim *doctor.Scim
}

// Account reads what concerns the whole account.
func (r *Reader) Account(ctx context.Context, in Asked) doctor.Account {
	a := doctor.Account{Now: r.now(), Region: r.conf.Region, IdentityStore: in.IdentityStore}
	var told config.Config
	a.Settings, told = r.settings(ctx, in.Stack)
	if a.IdentityStore == "" {
		a.IdentityStore = told.IdentityStoreID
	}
	if in.IdentityRegion == "" && told.IdentityRegion != "" {
		r.identity.Region = told.IdentityRegion
	}
	a.IdentityRegion = r.identity.Region
	a.Instances = r.instances(ctx)
	a.Applications = r.applications(ctx, a.Settings.Value.Endpoints)
	a.Users = r.users(ctx, a.IdentityStore)
	if owner := elsewhere(a.Instances.Value, told.Account); owner != "" {
		not := "Identity Center is in account " + owner + ", and so are its events: run the doctor there, too"
		a.Trails, a.History, a.Scim = doctor.Unread[[]doctor.Trail](not), doctor.Unread[bool](not), doctor.Unread[doctor.Scim](not)
	} else {
		a.Trails, a.History, a.Scim = r.trails(ctx), r.history(ctx), r.scim(ctx)
	}
	if in.Scim != nil {
		a.Scim = doctor.Read(*in.Scim)
	}
	a.Rules = r.rules(ctx, in.Stack)
	a.Lambda = r.concurrency(ctx)
	return a
}

// elsewhere is the account that Identity Center is in, where it is known to be
// another than ours.
func elsewhere(all []doctor.Instance, ours string) string {
	if len(all) != 1 || ours == "" || all[0].Owner == ours {
		return ""
	}
	return all[0].Owner
}

// applications reads the switch of each application of the endpoints, once.
func (r *Reader) applications(ctx context.Context, endpoints []config.Endpoint) []doctor.Application {
	of := map[string][]string{}
	for _, e := range endpoints {
		of[e.ApplicationARN] = append(of[e.ApplicationARN], e.ID)
	}
	var all []doctor.Application
	for _, arn := range slices.Sorted(maps.Keys(of)) {
		all = append(all, r.application(ctx, arn, strings.Join(of[arn], " ")))
	}
	return all
}

// settings reads what the sweep was told when it was deployed.
func (r *Reader) settings(ctx context.Context, stack string) (doctor.Fact[doctor.Settings], config.Config) {
	const sweep = "on-schedule"
	var out struct {
		Environment struct{ Variables map[string]string }
	}
	err := r.askLambda(ctx, "/2015-03-31/functions/"+url.PathEscape(stack+"-"+sweep)+"/configuration", &out)
	switch {
	case is(err, "ResourceNotFoundException"):
		return doctor.Unread[doctor.Settings]("there is no function " + stack + "-" + sweep + " in " + r.conf.Region + ": is a Nightshift of that name deployed?"), config.Config{}
	case err != nil:
		return doctor.Unread[doctor.Settings](why("lambda:GetFunctionConfiguration", err)), config.Config{}
	}
	told, err := config.Load(func(name string) string {
		if name == config.Region {
			return r.conf.Region
		}
		return out.Environment.Variables[name]
	}, config.For(sweep)...)
	s := doctor.Settings{SessionSource: told.SessionsURL != "", Endpoints: told.Endpoints}
	if err != nil {
		s.Fault = strings.Join(strings.Fields(err.Error()), " ")
	}
	return doctor.Read(s), told
}

func (r *Reader) concurrency(ctx context.Context) doctor.Fact[doctor.Concurrency] {
	var out struct {
		AccountLimit struct{ ConcurrentExecutions, UnreservedConcurrentExecutions int }
	}
	if err := r.askLambda(ctx, "/2016-08-19/account-settings/", &out); err != nil {
		return doctor.Unread[doctor.Concurrency](why("lambda:GetAccountSettings", err))
	}
	return doctor.Read(doctor.Concurrency{Limit: out.AccountLimit.ConcurrentExecutions, Unreserved: out.AccountLimit.UnreservedConcurrentExecutions})
}

// instances lists those of Identity Center in its Region, once.
func (r *Reader) instances(ctx context.Context) doctor.Fact[[]doctor.Instance] {
	if r.home == nil {
		f := r.listInstances(ctx, r.identity)
		r.home = &f
	}
	return *r.home
}

func (r *Reader) listInstances(ctx context.Context, conf aws.Config) doctor.Fact[[]doctor.Instance] {
	all := []doctor.Instance{}
	pages := ssoadmin.NewListInstancesPaginator(ssoadmin.NewFromConfig(conf), &ssoadmin.ListInstancesInput{})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return doctor.Unread[[]doctor.Instance](why("sso:ListInstances", err))
		}
		for _, i := range out.Instances {
			n := doctor.Instance{ARN: text(i.InstanceArn), Store: text(i.IdentityStoreId), Status: string(i.Status), Reason: text(i.StatusReason), Owner: text(i.OwnerAccountId), Regions: []string{conf.Region}}
			for _, more := range i.Regions {
				n.Regions = append(n.Regions, text(more.RegionName))
			}
			all = append(all, n)
		}
	}
	return doctor.Read(all)
}

// application reads the switch of an application of Identity Center.
func (r *Reader) application(ctx context.Context, arn, of string) doctor.Application {
	a := doctor.Application{ARN: arn, Of: of}
	if arn == "" {
		return a
	}
	out, err := ssoadmin.NewFromConfig(r.identity).GetApplicationSessionConfiguration(ctx, &ssoadmin.GetApplicationSessionConfigurationInput{ApplicationArn: &arn})
	switch {
	case err != nil:
		a.Background = doctor.Unread[bool](why("sso:GetApplicationSessionConfiguration", err))
	case out.UserBackgroundSessionApplicationStatus == "":
		a.Background = doctor.Unread[bool]("its answer does not say")
	default:
		a.Background = doctor.Read(out.UserBackgroundSessionApplicationStatus == ssotypes.UserBackgroundSessionApplicationStatusEnabled)
	}
	return a
}

// usersMost is how many users are counted: more make no difference.
const usersMost = 1_001

func (r *Reader) users(ctx context.Context, store string) doctor.Fact[int] {
	if store == "" {
		return doctor.Unread[int]("which identity store Nightshift uses is not known")
	}
	n := 0
	pages := identitystore.NewListUsersPaginator(identitystore.NewFromConfig(r.identity), &identitystore.ListUsersInput{IdentityStoreId: &store})
	for pages.HasMorePages() && n < usersMost {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return doctor.Unread[int](why("identitystore:ListUsers", err))
		}
		n += len(out.Users)
	}
	return doctor.Read(n)
}

func (r *Reader) trails(ctx context.Context) doctor.Fact[[]doctor.Trail] {
	api := cloudtrail.NewFromConfig(r.identity)
	out, err := api.DescribeTrails(ctx, &cloudtrail.DescribeTrailsInput{IncludeShadowTrails: aws.Bool(true)})
	if err != nil {
		return doctor.Unread[[]doctor.Trail](why("cloudtrail:DescribeTrails", err))
	}
	all := []doctor.Trail{}
	for _, t := range out.TrailList {
		n := doctor.Trail{ARN: text(t.TrailARN), Region: text(t.HomeRegion), Everywhere: aws.ToBool(t.IsMultiRegionTrail)}
		status, err := api.GetTrailStatus(ctx, &cloudtrail.GetTrailStatusInput{Name: t.TrailARN})
		if err != nil {
			n.Unread = why("cloudtrail:GetTrailStatus", err)
			all = append(all, n)
			continue
		}
		n.Logging, n.DeliveryFailed = aws.ToBool(status.IsLogging), text(status.LatestDeliveryError)
		if selects, err := api.GetEventSelectors(ctx, &cloudtrail.GetEventSelectorsInput{TrailName: t.TrailARN}); err != nil {
			n.Unread = why("cloudtrail:GetEventSelectors", err)
		} else {
			selected(&n, selects)
		}
		all = append(all, n)
	}
	return doctor.Read(all)
}

// selected says which management events a trail records. A selector that names
// more than a category and readOnly may leave the ones wanted out: it counts as
// recording none.
func selected(t *doctor.Trail, out *cloudtrail.GetEventSelectorsOutput) {
	for _, s := range out.EventSelectors {
		if aws.ToBool(s.IncludeManagementEvents) {
			t.Management = true
			t.Reads = t.Reads || s.ReadWriteType != trailtypes.ReadWriteTypeWriteOnly
			t.Writes = t.Writes || s.ReadWriteType != trailtypes.ReadWriteTypeReadOnly
		}
	}
	for _, s := range out.AdvancedEventSelectors {
		management, reads, writes := false, true, true
		for _, f := range s.FieldSelectors {
			switch text(f.Field) {
			case "eventCategory":
				management = len(f.Equals) == 1 && f.Equals[0] == "Management"
			case "readOnly":
				reads, writes = len(f.Equals) == 1 && f.Equals[0] == "true", len(f.Equals) == 1 && f.Equals[0] == "false"
			case "eventSource":
				// Those that a selector can leave out are KMS and the RDS Data API.
				if len(f.Equals) > 0 {
					reads, writes = false, false
				}
			default:
				reads, writes = false, false
			}
		}
		if management {
			t.Management, t.Reads, t.Writes = true, t.Reads || reads, t.Writes || writes
		}
	}
}

// look gives the newest event of the last 90 days that has an attribute.
func (r *Reader) look(ctx context.Context, attributes ...trailtypes.LookupAttribute) (doctor.Fact[time.Time], bool) {
	out, err := cloudtrail.NewFromConfig(r.identity).LookupEvents(ctx, &cloudtrail.LookupEventsInput{LookupAttributes: attributes, MaxResults: aws.Int32(1)})
	if err != nil {
		return doctor.Unread[time.Time](why("cloudtrail:LookupEvents", err)), false
	}
	if len(out.Events) == 0 {
		return doctor.Read(time.Time{}), false
	}
	return doctor.Read(aws.ToTime(out.Events[0].EventTime)), true
}

func (r *Reader) history(ctx context.Context) doctor.Fact[bool] {
	f, _ := r.look(ctx)
	return doctor.Fact[bool]{Value: true, Known: f.Known, Why: f.Why}
}

// scim looks for an identity provider's calls, and for the making of its token.
// CreateBearerToken is the console's call (service authorization reference, IAM
// Identity Center directory); a token that was made more than 90 days ago is not
// seen.
func (r *Reader) scim(ctx context.Context) doctor.Fact[doctor.Scim] {
	by := func(key trailtypes.LookupAttributeKey, value string) trailtypes.LookupAttribute {
		return trailtypes.LookupAttribute{AttributeKey: key, AttributeValue: aws.String(value)}
	}
	made, found := r.look(ctx, by(trailtypes.LookupAttributeKeyEventName, "CreateBearerToken"))
	if !made.Known {
		return doctor.Unread[doctor.Scim](made.Why)
	}
	_, seen := r.look(ctx, by(trailtypes.LookupAttributeKeyEventSource, "identitystore-scim.amazonaws.com"))
	return doctor.Read(doctor.Scim{Used: true, Created: made.Value, Seen: seen || found})
}

// rules reads every rule of the deployment, and its schedule.
func (r *Reader) rules(ctx context.Context, stack string) []doctor.Rule {
	api := eventbridge.NewFromConfig(r.conf)
	var all []doctor.Rule
	for _, want := range append(config.Rules(), config.Rule{Name: doctor.Schedule}) {
		bus := "default"
		if want.OnOwnBus {
			bus = stack
		}
		n := doctor.Rule{Name: stack + "-" + want.Name, Want: want}
		out, err := api.DescribeRule(ctx, &eventbridge.DescribeRuleInput{Name: &n.Name, EventBusName: &bus})
		switch {
		case is(err, "ResourceNotFoundException"):
			n.Found = doctor.Read(false)
		case err != nil:
			n.Found = doctor.Unread[bool](why("events:DescribeRule", err))
		default:
			n.Found, n.State, n.Pattern = doctor.Read(true), string(out.State), text(out.EventPattern)
			to, err := api.ListTargetsByRule(ctx, &eventbridge.ListTargetsByRuleInput{Rule: &n.Name, EventBusName: &bus})
			if err != nil {
				n.Targets = doctor.Unread[int](why("events:ListTargetsByRule", err))
			} else {
				n.Targets = doctor.Read(len(to.Targets))
			}
		}
		all = append(all, n)
	}
	return all
}
