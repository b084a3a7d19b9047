package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/obs/panel"
)

// Events that a function could not take for hours wait in its dead-letter queue. They
// are sent back with the caller's own credentials: nothing of a deployment has the right
// to move or delete messages, and CloudTrail records who did.

// deadLetters is a dead-letter queue and the queue that it is behind.
type deadLetters struct {
	Queue    string `json:"queue"`
	To       string `json:"to"`
	Messages int    `json:"messages"` // SQS counts approximately
	Moving   bool   `json:"moving"`   // they are being sent back
	from, to string // ARNs
}

// queues asks SQS. It is asked four things, in its JSON protocol, which spares the
// service's whole client.
type queues struct {
	host string
	http *http.Client
}

func (r *reach) queues(ctx context.Context) (queues, error) {
	conf, err := r.account(ctx)
	if err != nil {
		return queues{}, err
	}
	host := "https://sqs." + conf.Region + ".amazonaws.com"
	if strings.HasPrefix(conf.Region, "cn-") {
		host += ".cn"
	}
	if conf.BaseEndpoint != nil {
		host = strings.TrimSuffix(*conf.BaseEndpoint, "/")
	}
	return queues{host, &http.Client{Timeout: time.Minute, Transport: signing{conf, "sqs", r.now}}}, nil
}

// sqsMax bounds an answer of SQS, none of which has messages.
const sqsMax = 1 << 20

func (q queues) ask(ctx context.Context, action string, in map[string]any, into any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, q.host+"/", strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "AmazonSQS."+action)
	resp, err := q.http.Do(req)
	if err != nil {
		return fmt.Errorf("SQS cannot be asked: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read, or the error is told
	text, err := io.ReadAll(io.LimitReader(resp.Body, sqsMax))
	if err != nil {
		return fmt.Errorf("SQS broke off its answer: %w", err)
	}
	var no struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	switch {
	case resp.StatusCode == http.StatusOK && json.Unmarshal(text, into) == nil:
		return nil
	case json.Unmarshal(text, &no) != nil || no.Type == "":
		return fmt.Errorf("SQS answers %s, and nothing that can be read, to %s", resp.Status, action)
	case strings.HasSuffix(no.Type, "QueueDoesNotExist"):
		return statusError{fmt.Errorf("--stack, --region: there is no queue %v there", in["QueueName"]), exitNotFound}
	case strings.Contains(no.Type, "AccessDenied"):
		return statusError{fmt.Errorf("SQS refuses %s: %s", action, no.Message), exitRefused}
	}
	return fmt.Errorf("SQS refuses %s: %s (%s)", action, no.Message, no.Type[strings.LastIndex(no.Type, "#")+1:])
}

// queue reads a queue's ARN, and about how many messages are in it.
func (q queues) queue(ctx context.Context, name string) (arn string, messages int, err error) {
	var at struct{ QueueURL string }
	if err := q.ask(ctx, "GetQueueUrl", map[string]any{"QueueName": name}, &at); err != nil {
		return "", 0, err
	}
	var has struct{ Attributes map[string]string }
	err = q.ask(ctx, "GetQueueAttributes", map[string]any{"QueueUrl": at.QueueURL, "AttributeNames": []string{"QueueArn", "ApproximateNumberOfMessages"}}, &has)
	if err != nil {
		return "", 0, err
	}
	messages, err = strconv.Atoi(has.Attributes["ApproximateNumberOfMessages"])
	if err != nil || has.Attributes["QueueArn"] == "" {
		return "", 0, fmt.Errorf("SQS does not say how many messages are in %s", name)
	}
	return has.Attributes["QueueArn"], messages, nil
}

// all reads every dead-letter queue of a stack.
func (q queues) all(ctx context.Context, stack string) ([]deadLetters, error) {
	var list []deadLetters
	for _, f := range panel.Behind() {
		d := deadLetters{Queue: stack + "-" + panel.Dead(f), To: stack + "-" + f}
		var err error
		if d.from, d.Messages, err = q.queue(ctx, d.Queue); err == nil {
			d.to, _, err = q.queue(ctx, d.To)
		}
		var tasks struct{ Results []struct{ Status string } }
		if err == nil {
			err = q.ask(ctx, "ListMessageMoveTasks", map[string]any{"SourceArn": d.from}, &tasks)
		}
		if err != nil {
			return nil, err
		}
		d.Moving = len(tasks.Results) > 0 && tasks.Results[0].Status == "RUNNING"
		list = append(list, d)
	}
	return list, nil
}

// redrive shows what waits in the dead-letter queues, asks, and has SQS send it back.
// The destination is named, because EventBridge puts events there too that were never
// in the queue.
func (o *replayOptions) redrive(cmd *cobra.Command) error {
	q, err := o.queues(cmd.Context())
	if err != nil {
		return err
	}
	list, err := q.all(cmd.Context(), o.stack)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if o.asJSON {
		out = o.err // what is asked about must be seen all the same
	}
	waiting := 0
	for _, d := range list {
		text := fmt.Sprintf("%s: about %s", d.Queue, counted(int64(d.Messages), "event", "events"))
		switch {
		case d.Moving:
			text += "; SQS is sending them back to " + d.To
		case d.Messages > 0:
			waiting++
		}
		o.paragraph(out, "", text)
	}
	if waiting > 0 && !o.yes {
		if err := o.agreed("Have SQS send them back to the queues that they came from", "nothing was sent back"); err != nil {
			return err
		}
	}
	for i, d := range list {
		if d.Moving || d.Messages == 0 {
			continue
		}
		if err := q.ask(cmd.Context(), "StartMessageMoveTask", map[string]any{"SourceArn": d.from, "DestinationArn": d.to}, &struct{}{}); err != nil {
			return fmt.Errorf("%s: %w", d.Queue, err)
		}
		list[i].Moving = true
		o.paragraph(out, "", d.Queue+": SQS sends its events back to "+d.To+", and its function takes them as if they had just come.")
	}
	if o.asJSON {
		items := make([]json.RawMessage, len(list))
		for i, d := range list {
			if items[i], err = json.Marshal(d); err != nil {
				return err
			}
		}
		return emitAll(cmd, map[string][]json.RawMessage{"deadLetters": items})
	}
	return nil
}
