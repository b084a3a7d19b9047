package stack

import (
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"

	"nightshift/internal/obs/panel"
)

// addNotices makes the topic on which people are told of sessions that end soon,
// have ended, will not finish or are forgotten (S4.6): the notice's own words, and
// its id, by which a repetition is recognised. Who wants the whole event, or one
// user's only, makes a rule on the bus.
func (d *deployment) addNotices() {
	d.notices = d.newTopic("Notices", "notices", "Nightshift notices", "NoticeEmail", d.NoticeEmail)
	d.toPeople("Notice", "notices", d.notices, map[string]any{"detail-type": texts(NoticeType)}, &awsevents.CfnRule_InputTransformerProperty{
		InputPathsMap: map[string]any{"text": text("$.detail.text"), "user": text("$.detail.session.user"), "session": text("$.detail.session.id"), "id": text("$.detail.id")},
		InputTemplate: text(`"<text> (User <user>, session <session>, notice <id>.)"`),
	})
}

// newTopic makes a topic that is spoken to over TLS only; email "" is nobody.
func (d *deployment) newTopic(id, name, display, emailID, email string) awssns.Topic {
	topic := awssns.NewTopic(d.stack, text(id), &awssns.TopicProps{
		TopicName: text(d.named(name)), DisplayName: text(display), EnforceSSL: yes,
	})
	if email != "" {
		awssns.NewCfnSubscription(d.stack, text(emailID), &awssns.CfnSubscriptionProps{
			TopicArn: topic.TopicArn(), Protocol: text("email"), Endpoint: text(email),
		})
	}
	return topic
}

// toPeople sends what Nightshift says on its bus to a topic, and keeps what
// cannot be delivered for a day: only this rule may do either.
func (d *deployment) toPeople(id, name string, topic awssns.Topic, pattern map[string]any, words *awsevents.CfnRule_InputTransformerProperty) {
	pattern["source"] = texts("nightshift")
	target := &awsevents.CfnRule_TargetProperty{
		Id: text("people"), Arn: topic.TopicArn(),
		RetryPolicy:      &awsevents.CfnRule_RetryPolicyProperty{MaximumEventAgeInSeconds: number(deliveryAgeSeconds), MaximumRetryAttempts: number(deliveryAttempts)},
		DeadLetterConfig: &awsevents.CfnRule_DeadLetterConfigProperty{Arn: d.failed[panel.Streamed].QueueArn()},
	}
	if words != nil {
		target.InputTransformer = words
	}
	rule := awsevents.NewCfnRule(d.stack, text(id), &awsevents.CfnRuleProps{
		Name: text(d.named(name)), EventBusName: d.busArn, State: text("ENABLED"), EventPattern: pattern, Targets: list(target),
	})
	from := map[string]any{"ArnEquals": map[string]any{"aws:SourceArn": rule.AttrArn()}}
	speak(topic, id, "events.amazonaws.com", from)
	keep(d.failed[panel.Streamed], "OnlyThe"+id, from)
}

// speak lets a service publish on a topic.
func speak(topic awssns.Topic, sid, service string, condition map[string]any) {
	topic.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid: text(sid), Effect: awsiam.Effect_ALLOW, Actions: texts("sns:Publish"), Resources: &[]*string{topic.TopicArn()},
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(text(service), nil)}, Conditions: &condition,
	}))
}

// keep lets EventBridge leave in a queue what it could not deliver.
func keep(queue awssqs.Queue, sid string, condition map[string]any) {
	queue.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid: text(sid), Effect: awsiam.Effect_ALLOW, Actions: texts("sqs:SendMessage"), Resources: &[]*string{queue.QueueArn()},
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(text("events.amazonaws.com"), nil)}, Conditions: &condition,
	}))
}
