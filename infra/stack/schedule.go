package stack

import (
	"fmt"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"

	"nightshift/internal/cadence"
	"nightshift/internal/obs/panel"
)

// addSchedule has the sweep made each minute (S3.4). What fails is not repeated:
// the next minute does it again, and a late sweep does nothing that it does not.
func (d *deployment) addSchedule() {
	f, failed := d.functions[panel.Scheduled], d.failed[panel.Scheduled]
	rule := awsevents.NewCfnRule(d.stack, text("Schedule"), &awsevents.CfnRuleProps{
		Name: text(d.named("schedule")), State: text("ENABLED"), ScheduleExpression: text(rate(cadence.Sweep)),
		Targets: list(&awsevents.CfnRule_TargetProperty{
			Id: text(panel.Scheduled), Arn: f.FunctionArn(),
			DeadLetterConfig: &awsevents.CfnRule_DeadLetterConfigProperty{Arn: failed.QueueArn()},
			RetryPolicy:      &awsevents.CfnRule_RetryPolicyProperty{MaximumEventAgeInSeconds: number(int(cadence.Sweep / time.Second)), MaximumRetryAttempts: number(0)},
		}),
	})
	awslambda.NewCfnPermission(d.stack, text("SchedulePermission"), &awslambda.CfnPermissionProps{
		Action: text("lambda:InvokeFunction"), FunctionName: f.FunctionArn(), Principal: text("events.amazonaws.com"), SourceArn: rule.AttrArn(),
	})
	awslambda.NewCfnEventInvokeConfig(d.stack, text("ScheduleInvoke"), &awslambda.CfnEventInvokeConfigProps{
		FunctionName: f.FunctionName(), Qualifier: text("$LATEST"),
		MaximumRetryAttempts: number(0), MaximumEventAgeInSeconds: number(int(cadence.Sweep / time.Second)),
		DestinationConfig: &awslambda.CfnEventInvokeConfig_DestinationConfigProperty{
			OnFailure: &awslambda.CfnEventInvokeConfig_OnFailureProperty{Destination: failed.QueueArn()},
		},
	})
	failed.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid: text("OnlyTheSchedule"), Effect: awsiam.Effect_ALLOW, Actions: texts("sqs:SendMessage"), Resources: &[]*string{failed.QueueArn()},
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(text("events.amazonaws.com"), nil)},
		Conditions: &map[string]any{"ArnEquals": map[string]any{"aws:SourceArn": rule.AttrArn()}},
	}))
}

// rate is EventBridge's expression for a whole number of minutes.
func rate(every time.Duration) string {
	n := int(every / time.Minute)
	if n == 1 {
		return "rate(1 minute)"
	}
	return fmt.Sprintf("rate(%d minutes)", n)
}
