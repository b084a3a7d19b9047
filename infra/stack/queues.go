package stack

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"

	"nightshift/internal/config"
	"nightshift/internal/obs/panel"
)

// addQueues makes a queue with a dead-letter queue before every event function,
// because an asynchronous invocation's two retries would lose a sign-out in an
// outage of minutes (S3.7), and a queue behind every other asynchronous edge.
func (d *deployment) addQueues() {
	for _, f := range panel.Behind() {
		d.dead[f] = d.lastQueue(panel.Dead(f), "It is the dead-letter queue of the queue of "+f+": an alarm watches it, and what is in it is sent back by hand.")
		d.queues[f] = awssqs.NewQueue(d.stack, text("Queue-"+f), &awssqs.QueueProps{
			QueueName:         text(d.named(f)),
			RetentionPeriod:   awscdk.Duration_Days(number(config.QueueRetentionDays)),
			VisibilityTimeout: awscdk.Duration_Seconds(number(config.QueueVisibility)),
			Encryption:        awssqs.QueueEncryption_SQS_MANAGED,
			EnforceSSL:        yes,
			DeadLetterQueue:   &awssqs.DeadLetterQueue{Queue: d.dead[f], MaxReceiveCount: number(config.QueueReceivesMax)},
		})
	}
	for _, f := range []string{panel.Scheduled, panel.Streamed} {
		d.failed[f] = d.lastQueue(panel.Failed(f), "It is the on-failure destination of "+f+" and says only what failed: an alarm watches it, and the minute's sweep repeats the work.")
	}
}

// lastQueue is a queue that nothing takes from but a person.
func (d *deployment) lastQueue(name, why string) awssqs.Queue {
	q := awssqs.NewQueue(d.stack, text("Queue-"+name), &awssqs.QueueProps{
		QueueName:       text(d.named(name)),
		RetentionPeriod: awscdk.Duration_Days(number(config.QueueRetentionDays)),
		Encryption:      awssqs.QueueEncryption_SQS_MANAGED,
		EnforceSSL:      yes,
	})
	accept(q, "AwsSolutions-SQS3", why)
	return q
}
