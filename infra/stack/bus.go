package stack

import (
	"encoding/json"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"

	"nightshift/internal/config"
	"nightshift/internal/obs/panel"
)

// How long EventBridge tries to bring an event to a queue: its own most. The
// defaults of rules on a bus of one's own were found to be minutes.
const (
	deliveryAgeSeconds = 24 * 60 * 60
	deliveryAttempts   = 185
)

// stateReadOnly lets a rule see read-only management events too, which
// CloudTrail's Logout may be.
const stateReadOnly = "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"

// addBus makes Nightshift's own bus: what it announces, and what a portal or an
// identity provider's webhook says to it (S3.1).
func (d *deployment) addBus() {
	bus := awsevents.NewCfnEventBus(d.stack, text("Bus"), &awsevents.CfnEventBusProps{
		Name: text(d.Name), Description: text("What Nightshift announces, and what a portal says to it."),
	})
	d.busArn, d.busName = bus.AttrArn(), bus.Ref()
}

// announcers are the functions that may say something on our bus: those that
// are told its name.
func announcers() []string {
	return slices.DeleteFunc(config.Functions(), func(f string) bool { return !slices.Contains(config.For(f), config.Bus) })
}

// said lists the detail-types that the rules on our bus listen for by name.
func said() []string {
	var types []string
	for _, r := range config.Rules() {
		if r.OnOwnBus {
			var pattern struct {
				DetailType []any `json:"detail-type"`
			}
			if err := json.Unmarshal([]byte(r.Pattern), &pattern); err != nil {
				panic(err) // the patterns are constants, and tested
			}
			for _, t := range pattern.DetailType {
				if name, ok := t.(string); ok { // else a filter
					types = append(types, name)
				}
			}
		}
	}
	return types
}

// addBusPolicy says who may put what on a bus. Denials, because within an
// account any role with events:PutEvents could otherwise sign a user out: only
// the portals may say what ends sessions, not even our own functions; and only
// our functions and the portals may say anything.
func (d *deployment) addBusPolicy() {
	var ours []*string
	for _, f := range announcers() {
		ours = append(ours, d.functions[f].Role().RoleArn())
	}
	portals := *texts(d.PortalPrincipals...)
	ends := map[string]any{"events:detail-type": texts(said()...)}
	d.busStatement("OnlyPortalsEndSessions", map[string]any{
		"Effect": "Deny", "Principal": "*", "Condition": except(map[string]any{"StringEquals": ends}, portals),
	})
	d.busStatement("OnlyNightshiftAndPortals", map[string]any{
		"Effect": "Deny", "Principal": "*", "Condition": except(map[string]any{}, append(ours, portals...)),
	})
	if len(portals) > 0 {
		// Within the account this allows nothing that the portal's own role does
		// not; a portal in another account needs it.
		d.busStatement("PortalsEndSessions", map[string]any{
			"Effect": "Allow", "Principal": map[string]any{"AWS": &portals}, "Condition": map[string]any{"StringEquals": ends},
		})
	}
	d.admitMembers()
	if d.IdentityAccount != "" && !slices.ContainsFunc(d.Members, func(m config.Place) bool { return m.Account == d.IdentityAccount }) {
		awsevents.NewCfnEventBusPolicy(d.stack, text("DefaultBusPolicy"), &awsevents.CfnEventBusPolicyProps{
			StatementId: text(d.named("identity-account")),
			Statement: map[string]any{
				"Sid": d.named("identity-account"), "Effect": "Allow", "Action": "events:PutEvents",
				"Principal": map[string]any{"AWS": awscdk.Fn_Sub(text("arn:${AWS::Partition}:iam::"+d.IdentityAccount+":root"), nil)},
				"Resource":  awscdk.Fn_Sub(text("arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/default"), nil),
				// What Identity Center's account may bring are records of CloudTrail.
				"Condition": map[string]any{"StringLike": map[string]any{"events:detail-type": "* via CloudTrail"}},
			},
		})
	}
}

// except adds to a condition that the caller is none of some roles and users.
func except(condition map[string]any, principals []*string) map[string]any {
	if len(principals) > 0 {
		condition["ArnNotEquals"] = map[string]any{"aws:PrincipalArn": &principals}
	}
	return condition
}

func (d *deployment) busStatement(id string, statement map[string]any) {
	statement["Sid"], statement["Action"], statement["Resource"] = id, "events:PutEvents", d.busArn
	if c, ok := statement["Condition"].(map[string]any); ok && len(c) == 0 {
		delete(statement, "Condition")
	}
	awsevents.NewCfnEventBusPolicy(d.stack, text("BusPolicy-"+id), &awsevents.CfnEventBusPolicyProps{
		EventBusName: d.busName, StatementId: text(id), Statement: statement,
	})
}

// addRules makes the hub's rules, each to its function's queue.
func (d *deployment) addRules() {
	arns := map[string][]*string{}
	for _, r := range d.spread().Rules() {
		var pattern map[string]any
		if err := json.Unmarshal([]byte(r.Pattern), &pattern); err != nil {
			panic(err) // the patterns are constants, and tested
		}
		props := &awsevents.CfnRuleProps{
			Name: text(d.named(r.Name)), EventPattern: pattern, State: text("ENABLED"),
			Targets: list(&awsevents.CfnRule_TargetProperty{
				Id: text(r.Function), Arn: d.queues[r.Function].QueueArn(),
				DeadLetterConfig: &awsevents.CfnRule_DeadLetterConfigProperty{Arn: d.dead[r.Function].QueueArn()},
				RetryPolicy:      &awsevents.CfnRule_RetryPolicyProperty{MaximumEventAgeInSeconds: number(deliveryAgeSeconds), MaximumRetryAttempts: number(deliveryAttempts)},
			}),
		}
		if r.ReadOnly {
			props.State = text(stateReadOnly)
		}
		if r.OnOwnBus {
			props.EventBusName = d.busArn
		}
		rule := awsevents.NewCfnRule(d.stack, text("Rule-"+r.Name), props)
		arns[r.Function] = append(arns[r.Function], rule.AttrArn())
	}
	for _, f := range panel.Behind() {
		for _, q := range []interface {
			AddToResourcePolicy(awsiam.PolicyStatement) *awsiam.AddToResourcePolicyResult
			QueueArn() *string
		}{d.queues[f], d.dead[f]} {
			q.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
				Sid: text("OnlyItsRules"), Effect: awsiam.Effect_ALLOW, Actions: texts("sqs:SendMessage"), Resources: &[]*string{q.QueueArn()},
				Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(text("events.amazonaws.com"), nil)},
				Conditions: &map[string]any{"ArnEquals": map[string]any{"aws:SourceArn": arnsOf(arns[f])}},
			}))
		}
	}
}

// arnsOf copies a list of ARNs for a condition.
func arnsOf(arns []*string) *[]*string {
	c := slices.Clone(arns)
	return &c
}
