package stack

import (
	"encoding/json"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"

	"nightshift/internal/obs/panel"
)

// NoticeType is the detail-type of notices (internal/outbound).
const NoticeType = "Nightshift Notice"

// addAlarms makes one topic and the alarms of internal/obs/panel, which speak on
// it: the local system is judged by the same.
func (d *deployment) addAlarms() {
	d.addTopic()
	d.addPage()
	for _, a := range panel.Alarms() {
		d.alarms = append(d.alarms, d.alarm(a))
	}
}

// metric is a metric of the panel in this deployment.
func (d *deployment) metric(m panel.Metric) awscloudwatch.IMetric {
	of := map[string]*string{}
	for k, v := range m.Of {
		switch k {
		case panel.OfMachine:
			of[k] = d.machines[v].StateMachineArn()
		case panel.OfBus:
			of[k] = text(d.Name)
		case panel.OfTable:
			of[k] = d.table.TableName()
		default:
			of[k] = text(d.named(v))
		}
	}
	props := &awscloudwatch.MetricProps{
		Namespace: text(m.Namespace), MetricName: text(m.Name), Statistic: text(m.Statistic), Period: awscdk.Duration_Minutes(number(int(panel.Period / time.Minute))),
	}
	if len(of) > 0 {
		props.DimensionsMap = &of
	}
	return awscloudwatch.NewMetric(props)
}

func (d *deployment) alarm(a panel.Alarm) awscloudwatch.IAlarm {
	comparison, missing := awscloudwatch.ComparisonOperator_GREATER_THAN_THRESHOLD, awscloudwatch.TreatMissingData_NOT_BREACHING
	if a.Below {
		comparison = awscloudwatch.ComparisonOperator_LESS_THAN_THRESHOLD
	}
	if a.Silence {
		missing = awscloudwatch.TreatMissingData_BREACHING
	}
	made := awscloudwatch.NewAlarm(d.stack, text("Alarm-"+a.Name), &awscloudwatch.AlarmProps{
		AlarmName: text(d.named(a.Name)), AlarmDescription: text(a.Description()), Metric: d.metric(a.Metric),
		Threshold: number(a.Limit), EvaluationPeriods: number(a.Periods), DatapointsToAlarm: number(a.Periods),
		ComparisonOperator: comparison, TreatMissingData: missing,
	})
	made.Node().DefaultChild().(awscloudwatch.CfnAlarm).SetAlarmActions(&[]*string{d.topic.TopicArn()})
	return made
}

func (d *deployment) addTopic() {
	d.topic = d.newTopic("Alarms", "alarms", "Nightshift alarms", "AlarmEmail", d.AlarmEmail)
	// A topic with a policy of its own has lost the one that let CloudWatch in.
	speak(d.topic, "Alarms", "cloudwatch.amazonaws.com", map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": awscdk.Aws_ACCOUNT_ID()}})
}

// addPage sends the alert that a run resists its stop to the topic, so that a
// person reads which run it is.
func (d *deployment) addPage() {
	var pattern map[string]any
	if err := json.Unmarshal([]byte(panel.StuckPattern), &pattern); err != nil {
		panic(err) // the pattern is a constant, and tested
	}
	d.toPeople("Page", panel.Stuck, d.topic, pattern, nil)
}
