package sim

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"nightshift/internal/cadence"
	"nightshift/internal/config"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Cause is something that happened in truth and may end sessions.
type Cause struct {
	Kind        session.Kind
	By          string // who caused it, as the news of it says; "" where that does not
	At          time.Time
	User        string
	Run         *Run   // the one it names; nil: none
	Session     string // the one it names
	Execution   string // ARN
	Domain      string
	Interactive session.InteractiveSession
	Portal      string      // the portal session that it ended; "" is none
	Known       time.Time   // when news of it first reached one of our functions; zero: never yet
	Recorded    time.Time   // when CloudTrail's history has it, where a replay looks it up
	news        []time.Time // whenever word of it reached one of our functions
}

// knowable is from when Nightshift knew, or had to: a replay comes each 5
// minutes, by a sweep (S3.5c).
func (c *Cause) knowable(now time.Time) time.Time {
	found := c.Recorded.Add(cadence.Replay + 2*cadence.Sweep)
	if !c.Recorded.IsZero() && !found.After(now) && (c.Known.IsZero() || found.Before(c.Known)) {
		return found
	}
	return c.Known
}

// know: whoever hears this must act on it.
func (c *Cause) know(now time.Time) {
	if c != nil && c.Known.IsZero() {
		c.Known = now
	}
	c.hear(now)
}

// hear: whoever hears this may act on it.
func (c *Cause) hear(now time.Time) {
	if c != nil {
		c.news = append(c.news, now)
	}
}

// event is one event on its way.
type event struct {
	kind  string // chooses the rule: see routes
	own   bool   // on our own bus
	body  []byte
	cause *Cause
	// The event history of CloudTrail has those that are calls.
	at, recorded time.Time
	replayed     bool // its name is among those that a replay looks up
}

// routes are the functions that an event goes to, by kind: what config.Rules
// say, found once.
var routes sync.Map

func routesOf(e *event) []string {
	if known, ok := routes.Load(e.kind); ok {
		return known.([]string)
	}
	var to []string
	for _, r := range config.Rules() {
		if r.OnOwnBus != e.own {
			continue
		}
		ok, err := config.Matches(r.Pattern, e.body)
		if err != nil {
			panic(err) // a rule that is no pattern: config's own test finds it first
		}
		if ok {
			to = append(to, r.Function)
		}
	}
	routes.Store(e.kind, to)
	return to
}

// bus stands for EventBridge, the queues behind its rules, and the event history
// of CloudTrail.
type bus struct {
	w         *World
	history   []*event
	malformed []*event // they are of no kind of cause
	dead      int
}

// put loses, copies, delays and delivers an event.
func (b *bus) put(e *event) {
	w, f := b.w, &b.w.Faults
	e.at = w.Clock.Now()
	if e.cause != nil && e.cause.Kind == "" {
		b.malformed = append(b.malformed, e)
	}
	if e.replayed {
		e.recorded = e.at.Add(w.upTo(f.Lateness))
		if e.cause != nil {
			e.cause.Recorded = e.recorded
		}
		b.history = append(b.history, e)
	}
	if w.rand.Float64() < f.Loss {
		w.struck["events lost"]++
		if w.tracing {
			w.say("bus: %s is lost", e.kind)
		}
		return
	}
	copies := 1
	if w.rand.Float64() < f.Duplicate {
		copies = 1 + w.rand.IntN(f.CopiesMax)
		w.struck["events copied"] += copies - 1
	}
	for _, to := range routesOf(e) {
		for i := range copies {
			delay := 100*time.Millisecond + w.upTo(2*time.Second)
			if i > 0 || f.Reorder > 0 && w.rand.IntN(4) == 0 {
				delay += w.upTo(max(f.Reorder, 30*time.Second))
				w.struck["events held up"]++
			}
			w.inFlight++
			w.after(delay, func() {
				b.deliver(e, to)
				w.inFlight--
			})
		}
	}
}

// deliver is a queue with one message, handed out until it is taken.
func (b *bus) deliver(e *event, function string) {
	w := b.w
	batch := events.SQSEvent{Records: []events.SQSMessage{{MessageId: e.kind, Body: string(e.body)}}}
	for range config.QueueReceivesMax {
		e.cause.know(w.Clock.Now())
		if w.receive(function, batch) {
			return
		}
		if w.sleep(config.QueueVisibility*time.Second) != nil {
			return
		}
	}
	b.dead++
}

// replay gives what the history has by now of the time after a moment.
func (b *bus) replay(after time.Time) []*event {
	now := b.w.Clock.Now()
	var found []*event
	for _, e := range b.history {
		if e.at.After(after) && !e.recorded.After(now) {
			found = append(found, e)
		}
	}
	return found
}

// id is a new event's id.
func (b *bus) id(kind string) string {
	b.w.serial++
	return fmt.Sprintf("%s-%d", kind, b.w.serial)
}

// own says something on our own bus; detail is without its braces.
func (b *bus) own(detailType, detail string, c *Cause) {
	id := b.id("own")
	body := fmt.Sprintf(`{"version":"0","id":%q,"detail-type":%q,"source":"nightshift","account":%q,"time":%q,"region":%q,"resources":[],"detail":{%s,"at":%q}}`,
		id, detailType, account, stamp(c.At), region, detail, c.At.Format(time.RFC3339Nano))
	b.put(&event{kind: detailType, own: true, body: []byte(body), cause: c})
}

// recorded are the calls that a replay looks up (internal/identity).
var recorded = []string{
	"Logout", "BatchDeleteSession", "DisableUser", "DeleteUser", "EnableUser", "PatchUser", "DeleteApplicationAssignment", "RemoveMemberFromGroup",
	"DeleteGroupMembership", "DeleteGroup", "PatchGroup", "CreateTokenWithIAM",
}

// trail is a call that CloudTrail records; detail has what is the call's own.
func (b *bus) trail(source, name, identity, detail string, c *Cause) {
	id := b.id("trail")
	now := b.w.Clock.Now()
	body := fmt.Sprintf(`{"version":"0","id":%q,"detail-type":"AWS API Call via CloudTrail","source":"aws.%s","account":%q,"time":%q,"region":%q,"resources":[],"detail":{"eventVersion":"1.10","userIdentity":{%s},"eventTime":%q,"eventSource":"%s.amazonaws.com","eventName":%q,"awsRegion":%q,%s,"eventID":%q,"readOnly":false,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":%q,"eventCategory":"Management"}}`,
		id, source, account, stamp(now), region, identity, stamp(now), source, name, region, detail, id, account)
	b.put(&event{kind: source + "/" + name, body: []byte(body), cause: c, replayed: slices.Contains(recorded, name)})
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// service is an event that a service puts on the bus itself.
func (b *bus) service(source, detailType, detail string, at time.Time, c *Cause) {
	body := fmt.Sprintf(`{"version":"0","id":%q,"detail-type":%q,"source":%q,"account":%q,"time":%q,"region":%q,"resources":[],"detail":{%s}}`,
		b.id("svc"), detailType, source, account, stamp(at), region, detail)
	b.put(&event{kind: detailType, body: []byte(body), cause: c})
}

var jobWords = map[workload.State]string{
	workload.Running: "InProgress", workload.Stopping: "Stopping", workload.Stopped: "Stopped", workload.Succeeded: "Completed", workload.Failed: "Failed",
}

var jobRunWords = map[workload.State]string{
	workload.Running: "RUNNING", workload.Stopping: "CANCEL_PENDING", workload.Stopped: "CANCELLED", workload.Succeeded: "COMPLETED", workload.Failed: "FAILED",
}

func arnOf(r *Run) string {
	switch r.Engine {
	case workload.EMRContainers:
		cluster, id, _ := strings.Cut(r.ID, "/")
		return "arn:aws:emr-containers:" + region + ":" + account + ":/virtualclusters/" + cluster + "/jobruns/" + id
	default:
		return "arn:aws:sagemaker:" + region + ":" + account + ":" + r.ID
	}
}

// tags are a run's, as events show them.
func tags(r *Run) string {
	var t []string
	if r.Stamp != "" {
		t = append(t, fmt.Sprintf(`"nightshift:session":%q`, r.Stamp))
	}
	if r.Tag != "" {
		t = append(t, fmt.Sprintf(`"nightshift:user":%q`, r.Tag))
	}
	if r.Domain != "" {
		t = append(t, fmt.Sprintf(`"sagemaker:domain-arn":"arn:aws:sagemaker:%s:%s:domain/%s"`, region, account, r.Domain))
	}
	return "{" + strings.Join(t, ",") + "}"
}

// runChanged is the engine's own news of a run.
func (b *bus) runChanged(r *Run, state workload.State, now time.Time) {
	at := now
	if over, _, _ := r.over(now); !over.IsZero() {
		at = over
	}
	switch r.Engine {
	case workload.SageMakerTraining, workload.SageMakerProcessing:
		job, title := "TrainingJob", "SageMaker Training Job State Change"
		started := "TrainingStartTime"
		if r.Engine == workload.SageMakerProcessing {
			job, title, started = "ProcessingJob", "SageMaker Processing Job State Change", "ProcessingStartTime"
		}
		b.service("aws.sagemaker", title, fmt.Sprintf(`"%sName":%q,"%sArn":%q,"%sStatus":%q,"SecondaryStatus":"Training","CreationTime":%d,%q:%d,"LastModifiedTime":%d,"Tags":%s`,
			job, r.Name, job, arnOf(r), job, jobWords[state], r.Created.UnixMilli(), started, r.Runs.UnixMilli(), at.UnixMilli(), tags(r)), at, nil)
	case workload.SageMakerPipeline:
		word := jobWords[state]
		switch state {
		case workload.Running:
			word = "Executing"
		case workload.Succeeded:
			word = "Succeeded"
		}
		b.service("aws.sagemaker", "SageMaker Model Building Pipeline Execution Status Change", fmt.Sprintf(
			`"pipelineExecutionArn":%q,"currentPipelineExecutionStatus":%q,"executionStartTime":%q,"executionEndTime":%q`, arnOf(r), word, stamp(r.Created), stamp(at)), at, nil)
	case workload.EMRContainers:
		cluster, id, _ := strings.Cut(r.ID, "/")
		b.service("aws.emr-containers", "EMR Job Run State Change", fmt.Sprintf(`"id":%q,"virtualClusterId":%q,"arn":%q,"name":%q,"state":%q,"createdAt":%q,"tags":%s`,
			id, cluster, arnOf(r), r.Name, jobRunWords[state], stamp(r.Created), tags(r)), at, nil)
	case workload.Livy, workload.EMRNotebook:
	}
}

// born is the recorded call that started a run, with the user on whose behalf.
func (b *bus) born(r *Run, onBehalf string) {
	identity := `"type":"AssumedRole","arn":"arn:aws:sts::123456789012:assumed-role/studio/x"`
	if onBehalf != "" {
		identity += fmt.Sprintf(`,"onBehalfOf":{"userId":%q}`, onBehalf)
	}
	call, field, source := "CreateTrainingJob", "trainingJobArn", "sagemaker"
	switch r.Engine {
	case workload.SageMakerProcessing:
		call, field = "CreateProcessingJob", "processingJobArn"
	case workload.SageMakerPipeline:
		call, field = "StartPipelineExecution", "pipelineExecutionArn"
	case workload.EMRContainers:
		call, field, source = "StartJobRun", "arn", "emr-containers"
	case workload.Livy, workload.EMRNotebook:
		return
	case workload.SageMakerTraining:
	}
	detail := fmt.Sprintf(`"requestParameters":{"tags":%s},"responseElements":{%q:%q}`, tags(r), field, arnOf(r))
	b.trail(source, call, identity, detail, nil)
}

// token is AWS issuing a background token for a run.
func (b *bus) token(r *Run, user string) {
	if r.Engine == workload.Livy || r.Engine == workload.EMRNotebook {
		return
	}
	b.trail("sso-oauth", "CreateTokenWithIAM", fmt.Sprintf(`"type":"IdentityCenterUser","onBehalfOf":{"userId":%q}`, user), fmt.Sprintf(
		`"requestParameters":{"requestedTokenType":"urn:ietf:params:oauth:token-type:refresh_token","resource":%q},"responseElements":null`, arnOf(r)), b.w.cause(Cause{Kind: session.BackgroundTokenIssued, User: user, Run: r}))
}
