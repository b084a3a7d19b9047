package stack

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"

	"nightshift/internal/config"
	"nightshift/statemachines"
)

// What the functions publish (internal/obs, internal/app) and announce
// (internal/outbound, internal/session): names that tests hold against theirs.
const (
	Namespace       = "Nightshift"
	Dimension       = "Function"
	Lateness        = "StopLateness" // milliseconds from known to confirmed
	Parked          = "EventsParked"
	Unrecognised    = "IdentityEventsUnrecognised"
	AlertType       = "Nightshift Alert"
	NoticeType      = "Nightshift Notice"
	StopUnconfirmed = "stop-unconfirmed" // the alert that pages: a stop is not seen after 5 minutes
)

// Promise is within which time a run is seen stopped (S2.1).
const Promise = 15 * time.Minute

// alarm is one alarm: what it watches, and what is then the matter.
type alarm struct {
	name, what string
	metric     awscloudwatch.IMetric
	above      float64
	periods    int
	// silence: the metric going missing is the alarm.
	silence bool
	below   bool
}

// addAlarms makes one topic and the alarms that speak on it.
func (d *deployment) addAlarms() {
	d.addTopic()
	d.addPage()
	var all []alarm
	for _, f := range eventFunctions() {
		all = append(all,
			alarm{name: "queue-age-" + f, what: "Events wait for " + f + " for more than 5 minutes of the 15 that a stop may take.", above: 300, periods: 1,
				metric: metric("AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum", map[string]string{"QueueName": d.named(f)})},
			d.depth(f+"-dead", "Events that "+f+" could not take for hours are in its dead-letter queue: find out why, then send them back."))
	}
	for _, f := range []string{scheduled, streamed} {
		all = append(all, d.depth(f+"-failed", "A batch or a sweep of "+f+" failed; the sweep repeats it. The queue says when and why."))
	}
	for _, f := range config.Functions() {
		all = append(all, alarm{name: "errors-" + f, what: "Function " + f + " has failed in each of three times 5 minutes: it is not one bad moment.", periods: 3,
			metric: metric("AWS/Lambda", "Errors", "Sum", map[string]string{"FunctionName": d.named(f)})})
	}
	for _, m := range []string{statemachines.Watch, statemachines.Drain} {
		for _, how := range []string{"ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"} {
			all = append(all, alarm{name: m + "-" + strings.ToLower(strings.TrimPrefix(how, "Executions")), what: "An execution of " + m + " has ended otherwise than by itself; the sweep starts another.", periods: 1,
				metric: metric("AWS/States", how, "Sum", map[string]string{"StateMachineArn": *d.machines[m].StateMachineArn()})})
		}
	}
	all = append(all,
		alarm{name: "stop-lateness", what: "A stop was confirmed later than 15 minutes after its cause was known: the promise is broken (S2.1).", above: float64(Promise / time.Millisecond), periods: 1,
			metric: d.own(Lateness, "Maximum", "MAX")},
		alarm{name: "stuck-endings", what: "Runs were asked to stop and are not seen stopped after 5 minutes. Each is named by the alert on this topic and is asked again until it is stopped (S2.6).", periods: 1,
			metric: metric("AWS/Events", "MatchedEvents", "Sum", map[string]string{"EventBusName": d.Name, "RuleName": d.named("stuck")})},
		alarm{name: "parked", what: "Events could not be understood and are parked with their reasons (S3.6).", periods: 1, metric: d.own(Parked, "Sum", "SUM")},
		alarm{name: "unrecognised", what: "Identity events, or events on our own bus, came whose kind is not known; one of each kind is kept. One of them may be AWS's undocumented revoke (S3.1).", periods: 1, metric: d.own(Unrecognised, "Sum", "SUM")},
		alarm{name: "stream-age", what: "Effects wait in the table's stream for more than a minute; the sweep carries them out meanwhile.", above: 60_000, periods: 2,
			metric: metric("AWS/Lambda", "IteratorAge", "Maximum", map[string]string{"FunctionName": d.named(streamed)})},
		alarm{name: "schedule-silent", what: "The minute's sweep has not run for 5 minutes: nothing that was lost is found again (S3.4).", above: 1, periods: 1, below: true, silence: true,
			metric: metric("AWS/Lambda", "Invocations", "Sum", map[string]string{"FunctionName": d.named(scheduled)})},
	)
	for _, a := range all {
		d.alarm(a)
	}
}

func (d *deployment) depth(queue, what string) alarm {
	return alarm{name: "depth-" + queue, what: what, periods: 1,
		metric: metric("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", map[string]string{"QueueName": d.named(queue)})}
}

func metric(namespace, name, statistic string, dimensions map[string]string) awscloudwatch.IMetric {
	of := map[string]*string{}
	for k, v := range dimensions {
		of[k] = text(v)
	}
	return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		Namespace: text(namespace), MetricName: text(name), Statistic: text(statistic), DimensionsMap: &of, Period: awscdk.Duration_Minutes(number(5)),
	})
}

// measuring are the functions that publish our metrics: all but those that
// neither take events nor see runs end. CloudWatch lets an alarm be about ten
// metrics at most, which the CDK holds.
func measuring() []string {
	return slices.DeleteFunc(config.Functions(), func(f string) bool { return slices.Contains([]string{"preflight", "restart-session"}, f) })
}

// own is one of our metrics over all functions that measure, each of which
// publishes it under its own name.
func (d *deployment) own(name, statistic, over string) awscloudwatch.IMetric {
	using, ids := map[string]awscloudwatch.IMetric{}, []string{}
	for i, f := range measuring() {
		id := fmt.Sprintf("m%d", i)
		using[id], ids = metric(Namespace, name, statistic, map[string]string{Dimension: f}), append(ids, id)
	}
	return awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
		Expression: text(over + "([" + strings.Join(ids, ",") + "])"), Label: text(name), UsingMetrics: &using, Period: awscdk.Duration_Minutes(number(5)),
	})
}

func (d *deployment) alarm(a alarm) {
	comparison, missing := awscloudwatch.ComparisonOperator_GREATER_THAN_THRESHOLD, awscloudwatch.TreatMissingData_NOT_BREACHING
	if a.below {
		comparison = awscloudwatch.ComparisonOperator_LESS_THAN_THRESHOLD
	}
	if a.silence {
		missing = awscloudwatch.TreatMissingData_BREACHING
	}
	made := awscloudwatch.NewAlarm(d.stack, text("Alarm-"+a.name), &awscloudwatch.AlarmProps{
		AlarmName: text(d.named(a.name)), AlarmDescription: text(a.what), Metric: a.metric,
		Threshold: number(a.above), EvaluationPeriods: number(a.periods), DatapointsToAlarm: number(a.periods),
		ComparisonOperator: comparison, TreatMissingData: missing,
	})
	made.Node().DefaultChild().(awscloudwatch.CfnAlarm).SetAlarmActions(&[]*string{d.topic.TopicArn()})
}

func (d *deployment) addTopic() {
	d.topic = d.newTopic("Alarms", "alarms", "Nightshift alarms", "AlarmEmail", d.AlarmEmail)
	// A topic with a policy of its own has lost the one that let CloudWatch in.
	speak(d.topic, "Alarms", "cloudwatch.amazonaws.com", map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": awscdk.Aws_ACCOUNT_ID()}})
}

// addPage sends the alert that a run resists its stop to the topic, so that a
// person reads which run it is.
func (d *deployment) addPage() {
	d.toPeople("Page", "stuck", d.topic, map[string]any{"detail-type": texts(AlertType), "detail": map[string]any{"alert": texts(StopUnconfirmed)}}, nil)
}
