package stack

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"nightshift/internal/config"
	"nightshift/internal/obs/panel"
)

// memberSettings say over which accounts and Regions a deployment is spread.
type memberSettings struct {
	Hub          config.Place   // where Nightshift itself is; zero: wherever it is deployed, and nothing is elsewhere
	Members      []config.Place // the other places
	Identity     config.Place   // where Identity Center's events appear and where it is asked; zero: the hub's
	Organization string         // "" is not asked for
}

var organizationForm = regexp.MustCompile(`^o-[a-z0-9]{10,32}$`)

// membersMax bounds the members: the policy of a bus may have 10,240 bytes.
const membersMax = 32

func memberKeys() []Key {
	return []Key{
		{"members", "[]; everything is in the stack's own account, and events in its own Region", `a JSON list of accounts and Regions such as "210987654321/eu-west-1"`, "where else engines or Identity Center are: each gets a stack of its own, <stackName>-member-<account>-<region>, which sends events to the hub and has the roles that the hub's functions take on there"},
		{"hub", "none; needed with members", `an account and a Region such as "123456789012/us-east-1"`, "where Nightshift itself is deployed"},
		{"identityMember", "the hub", "one of members", "where Identity Center's events appear and where it is asked: the account of its delegated administrator (or its own) and its home Region"},
		{"organization", "none", "the id of an organization, o-…", "the members' roles may be taken on only from within it"},
	}
}

// members reads over which places the deployment is spread.
func (r *reader) members(s *Settings) {
	s.Hub, s.Members = r.place("hub"), r.places("members")
	s.Identity, s.Organization = r.place("identityMember"), r.text("organization", "", organizationForm)
	if len(s.Members) == 0 {
		for _, key := range []string{"hub", "identityMember", "organization"} {
			if r.raw(key) != "" {
				r.refuse("members", "is not given, and %s is", key)
			}
		}
		return
	}
	if s.Hub == (config.Place{}) {
		if r.raw("hub") == "" {
			r.refuse("hub", "is not given, and members is")
		}
		return
	}
	if s.Identity == (config.Place{}) {
		s.Identity = s.Hub
	} else if !slices.Contains(s.Members, s.Identity) {
		r.refuse("identityMember", "is %q", s.Identity)
	} else {
		r.center(s)
	}
	if len(s.Members) > membersMax {
		r.faults = append(r.faults, fmt.Errorf("members has %d places; at most %d are allowed.", len(s.Members), membersMax))
	}
	for _, m := range s.Members {
		switch {
		case m == s.Hub:
			r.refuse("members", "has %q, which is hub; Nightshift's own account and Region is no member", m)
		case m.Region != s.Hub.Region && (isolated(m.Region) || isolated(s.Hub.Region)):
			r.refuse("members", "has %q and hub is %q; EventBridge sends no events from Region to Region in China and in GovCloud", m, s.Hub)
		case m != s.Identity && !slices.ContainsFunc(s.Endpoints, func(e config.Endpoint) bool { return e.In(s.Hub.Region) == m }):
			r.refuse("members", "has %q, where no endpoint is and which is not identityMember", m)
		}
	}
	for _, e := range s.Endpoints {
		if in := e.In(s.Hub.Region); in.Account != "" && in.Account != s.Hub.Account && !slices.Contains(s.Members, in) {
			r.faults = append(r.faults, fmt.Errorf("endpoints has %s, which is at %s; that must be of hub's account or one of members.", e.ID, in))
		}
	}
	for _, role := range s.JobRoles {
		if account := accountOf(role); account != s.Hub.Account && !slices.ContainsFunc(s.Members, func(m config.Place) bool { return m.Account == account }) {
			r.refuse("jobRoles", "has %q, whose account is neither hub's nor a member's", role)
		}
	}
	// Which endpoints are their own the functions tell by their account.
	s.Chosen[config.Account] = s.Hub.Account
}

// center has Identity Center asked at a member's place.
func (r *reader) center(s *Settings) {
	if region := s.Chosen[config.IdentityRegion]; region != "" && region != s.Identity.Region {
		r.refuse("identityMember", "is %q, and identityRegion is %q; where both are given they must be of one Region", s.Identity, region)
	}
	s.Chosen[config.IdentityRegion], s.Chosen[config.IdentityAccount] = s.Identity.Region, s.Identity.Account
	if s.IdentityAccount == "" {
		s.IdentityAccount = s.Identity.Account
	}
}

// isolated says whether a Region is of a partition whose Regions send each other no
// events (AWS's blog on expanded cross-Region routing).
func isolated(region string) bool {
	return strings.HasPrefix(region, "cn-") || strings.HasPrefix(region, "us-gov-")
}

func accountOf(arn string) string { return strings.Split(arn, ":")[4] }

func (r *reader) place(key string) config.Place {
	v := r.raw(key)
	p, ok := config.ParsePlace(v)
	if v != "" && !ok {
		r.refuse(key, "is %q", v)
	}
	return p
}

func (r *reader) places(key string) []config.Place {
	var all []config.Place
	for _, item := range r.list(key, regexp.MustCompile("")) {
		p, ok := config.ParsePlace(item)
		if !ok {
			r.refuse(key, "has %q", item)
			continue
		}
		all = append(all, p)
	}
	return all
}

func (s Settings) spread() config.Spread {
	sp := config.Spread{Hub: s.Hub, Members: s.Members, Owner: s.IdentityAccount}
	if s.Identity != s.Hub {
		sp.Identity = s.Identity
	}
	return sp
}

// environmentOf has the CDK refuse credentials of another account than a place's;
// nil for nowhere in particular.
func environmentOf(p config.Place) *awscdk.Environment {
	if p == (config.Place{}) {
		return nil
	}
	return &awscdk.Environment{Account: text(p.Account), Region: text(p.Region)}
}

// enginesOf are the endpoints that are called with credentials of a place's account:
// of the hub's all in its account, for those need no other role; and all of nowhere
// in particular.
func (s Settings) enginesOf(p config.Place) []config.Endpoint {
	return slices.DeleteFunc(slices.Clone(s.Endpoints), func(e config.Endpoint) bool {
		in := e.In(s.Hub.Region)
		switch {
		case p == (config.Place{}):
			return false
		case p == s.Hub:
			return in.Account != "" && in.Account != s.Hub.Account
		}
		return in != p || p.Account == s.Hub.Account
	})
}

// rolesOf are the roles that runs at a place may be started with.
func (s Settings) rolesOf(p config.Place) []string {
	return slices.DeleteFunc(slices.Clone(s.JobRoles), func(role string) bool {
		return p != (config.Place{}) && accountOf(role) != p.Account
	})
}

// roleName names a function's role where members must know it; nil where none does.
// Theirs admit it by name, and are named alike. A role is known in all Regions of its account, so the
// name says of which Region's stack it is.
func (d *deployment) roleName(f string) *string {
	if len(d.takesOn(f).resources) == 0 {
		return nil
	}
	return text(d.named(f + "-" + d.Hub.Region))
}

// memberRole is what a function takes on in members' places; nil where there are
// none.
func (d *deployment) memberRole(f string) *string {
	if len(d.Members) == 0 {
		return nil
	}
	return awscdk.Fn_Sub(text("arn:${AWS::Partition}:iam::<account>:role/"+d.named(f)+"-<region>"), nil)
}

// takesOn lets a function's role take on its roles at members' places.
func (d *deployment) takesOn(f string) grant {
	var roles []resource
	for _, m := range d.Members {
		if len(d.at(m).grantsAbroad(f)) > 0 {
			roles = append(roles, arn("arn:${P}:iam::%s:role/%s-%s", m.Account, d.named(f), m.Region))
		}
	}
	return grant{sid: "Members", actions: []string{"sts:AssumeRole"}, resources: roles}
}

// admitMembers lets the members' forwarding roles, and nobody else there, put events
// on the default bus, where the rules hear of each account only what it may tell.
// The hub's own account in another Region needs no admission.
func (d *deployment) admitMembers() {
	var accounts, roles []*string
	for _, m := range d.Members {
		if m.Account == d.Hub.Account {
			continue
		}
		root := arn("arn:${P}:iam::%s:root", m.Account).arn
		if !slices.ContainsFunc(d.Members[:slices.Index(d.Members, m)], func(o config.Place) bool { return o.Account == m.Account }) {
			accounts = append(accounts, root)
		}
		roles = append(roles, arn("arn:${P}:iam::%s:role/%s", m.Account, d.forwarder(m)).arn)
	}
	if len(roles) == 0 {
		return
	}
	awsevents.NewCfnEventBusPolicy(d.stack, text("MembersPolicy"), &awsevents.CfnEventBusPolicyProps{
		StatementId: text(d.named("members")),
		Statement: map[string]any{
			"Sid": d.named("members"), "Effect": "Allow", "Action": "events:PutEvents",
			"Principal": map[string]any{"AWS": &accounts}, "Resource": d.defaultBus(),
			"Condition": map[string]any{"ArnEquals": map[string]any{"aws:PrincipalArn": &roles}},
		},
	})
}

// defaultBus is the hub's default bus.
func (d *deployment) defaultBus() *string {
	region, account := "${R}", "${A}"
	if d.Hub != (config.Place{}) {
		region, account = d.Hub.Region, d.Hub.Account
	}
	return arn("arn:${P}:events:%s:%s:event-bus/default", region, account).arn
}

func (s Settings) forwarder(m config.Place) string { return s.Name + "-forward-" + m.Region }

// at is a member's stack before it is made.
func (s Settings) at(m config.Place) *deployment {
	return &deployment{Settings: s, engines: s.enginesOf(m), runRoles: s.rolesOf(m), center: m == s.Identity && m.Account != s.Hub.Account}
}

// grantsAbroad are the statements of a function's role at a member's place: those
// that it would have for what is there if that were the hub's.
func (d *deployment) grantsAbroad(f string) []grant {
	if !slices.Contains(config.Optional(f), config.MemberRole) {
		return nil
	}
	all := append(together(f, d.grantsThere), d.credentials(f)...)
	return slices.DeleteFunc(all, func(g grant) bool { return len(g.resources) == 0 })
}

// newMember makes the stack of a member's place.
func (s Settings) newMember(scope constructs.Construct, m config.Place) {
	d := s.at(m)
	d.stack = awscdk.NewStack(scope, text(fmt.Sprintf("%s-member-%s-%s", s.Name, m.Account, m.Region)), &awscdk.StackProps{
		Description:           text(fmt.Sprintf("Sends events to Nightshift in %s, and lets it stop background work here.", s.Hub)),
		TerminationProtection: jsii.Bool(!s.Deletable),
		Env:                   environmentOf(m),
	})
	d.addForwards(m)
	for _, f := range config.Functions() {
		if all := d.grantsAbroad(f); len(all) > 0 {
			role := awsiam.NewRole(d.stack, text("Role-"+f), &awsiam.RoleProps{
				RoleName: text(d.named(f + "-" + m.Region)), AssumedBy: d.hubsRole(f),
				Description: text("What Nightshift's function " + f + " may do here"),
			})
			for _, g := range all {
				d.allow(role, g)
			}
		}
	}
}

// hubsRole is the role of one function of the hub. It is named in a condition, because a
// principal must exist when it is named, and would be forgotten where it is made anew.
func (d *deployment) hubsRole(f string) awsiam.IPrincipal {
	condition := map[string]any{"ArnEquals": map[string]any{"aws:PrincipalArn": arn("arn:${P}:iam::%s:role/%s-%s", d.Hub.Account, d.named(f), d.Hub.Region).arn}}
	if d.Organization != "" {
		condition["StringEquals"] = map[string]any{"aws:PrincipalOrgID": d.Organization}
	}
	return awsiam.NewPrincipalWithConditions(awsiam.NewAccountPrincipal(text(d.Hub.Account)), &condition)
}

// addForwards makes the rules that send to the hub's default bus what happens here,
// and the queue of what could not be sent: at once where it is refused, else after a day.
func (d *deployment) addForwards(m config.Place) {
	rules := d.spread().Forwards(m, slices.ContainsFunc(d.Endpoints, func(e config.Endpoint) bool { return e.In(d.Hub.Region) == m }))
	var arns []*string // written out: the rules know the role and the queue
	for _, r := range rules {
		arns = append(arns, arn("arn:${P}:events:%s:%s:rule/%s", m.Region, m.Account, d.named("forward-"+r.Name)).arn)
	}
	from := map[string]any{"ArnEquals": map[string]any{"aws:SourceArn": arnsOf(arns)}}
	role := awsiam.NewRole(d.stack, text("Forwarder"), &awsiam.RoleProps{
		RoleName: text(d.forwarder(m)), Description: text("Puts events on the bus of Nightshift in " + d.Hub.String()),
		AssumedBy: awsiam.NewServicePrincipal(text("events.amazonaws.com"), &awsiam.ServicePrincipalOpts{Conditions: &map[string]any{
			"ArnEquals": from["ArnEquals"], "StringEquals": map[string]any{"aws:SourceAccount": m.Account},
		}}),
	})
	d.allow(role, grant{sid: "Forward", actions: []string{"events:PutEvents"}, resources: exact(d.defaultBus())})
	dead := d.lastQueue(panel.Dead(panel.Forwarded), "It is the dead-letter queue of the rules that forward events: an alarm watches it, and the hub finds by its own checks what the events would have told.")
	keep(dead, "OnlyItsRules", from)
	for _, r := range rules {
		var pattern map[string]any
		if err := json.Unmarshal([]byte(r.Pattern), &pattern); err != nil {
			panic(err) // the patterns are constants, and tested
		}
		props := &awsevents.CfnRuleProps{
			Name: text(d.named("forward-" + r.Name)), EventPattern: pattern, State: text("ENABLED"),
			Targets: list(&awsevents.CfnRule_TargetProperty{
				Id: text("hub"), Arn: d.defaultBus(), RoleArn: role.RoleArn(),
				DeadLetterConfig: &awsevents.CfnRule_DeadLetterConfigProperty{Arn: dead.QueueArn()},
				RetryPolicy:      &awsevents.CfnRule_RetryPolicyProperty{MaximumEventAgeInSeconds: number(deliveryAgeSeconds), MaximumRetryAttempts: number(deliveryAttempts)},
			}),
		}
		if r.ReadOnly {
			props.State = text(stateReadOnly)
		}
		awsevents.NewCfnRule(d.stack, text("Rule-"+r.Name), props)
	}
	d.addTopic()
	for _, a := range panel.MemberAlarms() {
		d.alarm(a)
	}
}
