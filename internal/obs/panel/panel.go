// Package panel is what operators look at: the alarms, and the dashboard by the
// questions it answers. It is data, said once: infra/stack makes CloudWatch's
// alarms and widgets of it, and the local system's test plants each fault and
// judges its own metrics by it. It knows names; it must not know the CDK, nor
// what publishes a metric.
package panel

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"nightshift/internal/config"
	"nightshift/statemachines"
)

// Period is over what time each alarm's metric is summed up.
const Period = 5 * time.Minute

// Promise is within which time a run is seen stopped (S2.1).
const Promise = 15 * time.Minute

// Namespaces of metrics: ours, and those of AWS's services.
const (
	Ours   = "Nightshift"
	lambda = "AWS/Lambda"
	queues = "AWS/SQS"
	states = "AWS/States"
	rules  = "AWS/Events"
	tables = "AWS/DynamoDB"
)

// Statistics, as CloudWatch names them.
const (
	Sum     = "Sum"
	Maximum = "Maximum"
)

// Dimensions of AWS's metrics whose values are not simply a name behind the
// stack's.
const (
	OfMachine = "StateMachineArn" // the value is the machine's name in statemachines/
	OfBus     = "EventBusName"    // our own bus, whatever the value
	OfTable   = "TableName"       // our one table, whatever the value
)

// Metric is one metric and how its values of a period become one.
type Metric struct {
	Namespace, Name, Statistic string
	// Of are its dimensions, each value without the stack's own name at its
	// beginning; none: what all functions publish together.
	Of map[string]string
}

// String names a metric and its dimensions, without the statistic.
func (m Metric) String() string {
	parts := []string{m.Namespace, m.Name}
	for k, v := range m.Of {
		parts = append(parts, k+"="+v)
	}
	slices.Sort(parts[2:])
	return strings.Join(parts, " ")
}

// Alarm is one alarm: it is on when the metric is beyond the limit in each of so
// many periods.
type Alarm struct {
	Name    string // without the stack's
	What    string // what is then the matter, in a sentence or two
	Runbook string // heading in infra/README.md under which stands what to do
	Metric  Metric
	Limit   float64
	Below   bool // beyond is below, not above
	Periods int
	Silence bool // a period without a value is beyond too; else it is not
}

// Description is what whoever is called by the alarm reads.
func (a Alarm) Description() string {
	return a.What + " What to do: infra/README.md#" + a.Runbook
}

// Beyond says whether one period's value is: nil is none.
func (a Alarm) Beyond(value *float64) bool {
	switch {
	case value == nil:
		return a.Silence
	case a.Below:
		return *value < a.Limit
	}
	return *value > a.Limit
}

func own(name, statistic string) Metric { return Metric{Ours, name, statistic, nil} }

func function(name, metric, statistic string) Metric {
	return Metric{lambda, metric, statistic, map[string]string{"FunctionName": name}}
}

func depth(queue string) Metric {
	return Metric{queues, "ApproximateNumberOfMessagesVisible", Maximum, map[string]string{"QueueName": queue}}
}

func age(queue string) Metric {
	return Metric{queues, "ApproximateAgeOfOldestMessage", Maximum, map[string]string{"QueueName": queue}}
}

func executions(machine, how string) Metric {
	return Metric{states, how, Sum, map[string]string{OfMachine: machine}}
}

// The functions that are invoked asynchronously by something that would else
// drop what they cannot take: the schedule, and the table's stream.
const (
	Scheduled = "on-schedule"
	Streamed  = "run-effects"
)

// Stuck is the name of the rule that counts, and tells people of, alerts that a
// run resists its stop; StuckPattern what it matches.
const (
	Stuck        = "stuck"
	StuckPattern = `{"source":["nightshift"],"detail-type":["Nightshift Alert"],"detail":{"alert":["stop-unconfirmed"]}}`
)

var resisting = Metric{rules, "MatchedEvents", Sum, map[string]string{OfBus: "bus", "RuleName": Stuck}}

// Behind are the functions behind a queue: those that rules lead to, each once,
// sorted.
func Behind() []string {
	var names []string
	for _, r := range config.Rules() {
		names = append(names, r.Function)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Dead is the name of the dead-letter queue behind a function's queue, Failed of
// the queue that holds what an asynchronous function failed on.
func Dead(function string) string   { return function + "-dead" }
func Failed(function string) string { return function + "-failed" }

// milliseconds is a duration as our metrics have it.
func milliseconds(d time.Duration) float64 { return float64(d.Milliseconds()) }

// Alarms are all alarms.
func Alarms() []Alarm {
	return slices.Concat(promise(), understood(), carried(), functions(), loops())
}

// Forwarded is what a member's rules send to the hub, as Dead and an alarm name it.
const Forwarded = "forward"

// MemberAlarms are the alarms of a member's stack.
func MemberAlarms() []Alarm {
	return []Alarm{{Name: Dead(Forwarded), Runbook: "forward-dead", Periods: 1, Metric: depth(Dead(Forwarded)),
		What: "Events of this place could not be sent to Nightshift's hub: the reason stands beside each in the dead-letter queue."}}
}

// promise are the alarms about stops, and about what stops rest on.
func promise() []Alarm {
	return []Alarm{
		{Name: "stop-lateness", Runbook: "stop-lateness", Periods: 1, Limit: milliseconds(Promise), Metric: own("StopLateness", Maximum),
			What: "A stop was confirmed later than 15 minutes after its cause was known: the promise is broken (S2.1)."},
		{Name: "stuck-endings", Runbook: "stuck-endings", Periods: 1, Metric: resisting,
			What: "Runs were asked to stop and are not seen stopped after 5 minutes. Each is named by the alert on this topic and is asked again until it is stopped (S2.6)."},
		{Name: "drain-standstill", Runbook: "drain-standstill", Periods: 1, Limit: milliseconds(5 * time.Minute), Metric: own("DrainStandstill", Maximum),
			What: "At some endpoint runs that must end have waited for more than 5 minutes while no stop request was sent at all: its drain is not at work (S2.6)."},
		{Name: "truth-check-age", Runbook: "truth-check-age", Periods: 1, Limit: milliseconds(10 * time.Minute), Metric: own("TruthCheckAge", Maximum),
			What: "An endpoint was not listed completely, or CloudTrail's history not read, for more than 10 minutes: what events do not tell is not found (S3.5)."},
		{Name: "schedule-silent", Runbook: "schedule-silent", Periods: 1, Limit: 1, Below: true, Silence: true, Metric: function(Scheduled, "Invocations", Sum),
			What: "The minute's sweep has not run for 5 minutes: nothing that was lost is found again (S3.4)."},
		{Name: "chain-broken", Runbook: "chain-broken", Periods: 1, Metric: own("ChainsBroken", Sum),
			What: "The sweep has found a record, or an anchor over records, that is not what was written: the evidence was changed (S8.4). The log of on-schedule names it."},
	}
}

// understood are the alarms about what nobody can make sense of.
func understood() []Alarm {
	return []Alarm{
		{Name: "parked", Runbook: "parked", Periods: 1, Metric: own("EventsParked", Sum),
			What: "Events could not be understood and are parked with their reasons (S3.6)."},
		{Name: "unrecognised", Runbook: "unrecognised", Periods: 1, Metric: own("IdentityEventsUnrecognised", Sum),
			What: "Identity events, or events on our own bus, came whose kind is not known; one of each kind is kept. One of them may be AWS's undocumented revoke (S3.1)."},
		{Name: "orphan-found", Runbook: "orphan-found", Periods: 1, Metric: own("OrphansFound", Sum),
			What: "A run was found that can be attributed to nobody: nothing will stop it (S3.3). The event Nightshift Orphan Found on our bus names it."},
	}
}

// carried are the alarms about what is on its way.
func carried() []Alarm {
	var all []Alarm
	for _, f := range Behind() {
		all = append(all,
			Alarm{Name: "queue-age-" + f, Runbook: "queue-age", Periods: 1, Limit: 300, Metric: age(f),
				What: "Events wait for " + f + " for more than 5 minutes of the 15 that a stop may take."},
			Alarm{Name: "depth-" + Dead(f), Runbook: "depth-dead", Periods: 1, Metric: depth(Dead(f)),
				What: "Events that " + f + " could not take for hours are in its dead-letter queue: find out why, then send them back."})
	}
	for _, f := range []string{Scheduled, Streamed} {
		all = append(all, Alarm{Name: "depth-" + Failed(f), Runbook: "depth-failed", Periods: 1, Metric: depth(Failed(f)),
			What: "A batch or a sweep of " + f + " failed; the sweep repeats it. The queue says when and why."})
	}
	return append(all, Alarm{Name: "stream-age", Runbook: "stream-age", Periods: 2, Limit: 60_000, Metric: function(Streamed, "IteratorAge", Maximum),
		What: "Effects wait in the table's stream for more than a minute; the sweep carries them out meanwhile."})
}

func functions() []Alarm {
	var all []Alarm
	for _, f := range config.Functions() {
		all = append(all, Alarm{Name: "errors-" + f, Runbook: "errors", Periods: 3, Metric: function(f, "Errors", Sum),
			What: "Function " + f + " has failed in each of three times 5 minutes: it is not one bad moment."})
	}
	return all
}

// loops are the alarms about executions that should go on by themselves. Neither
// machine has a time limit that could run out.
func loops() []Alarm {
	var all []Alarm
	for _, m := range []string{statemachines.Watch, statemachines.Drain} {
		for how, metric := range map[string]string{"failed": "ExecutionsFailed", "aborted": "ExecutionsAborted"} {
			all = append(all, Alarm{Name: m + "-" + how, Runbook: "executions", Periods: 1, Metric: executions(m, metric),
				What: fmt.Sprintf("An execution of %s has %s; the sweep starts another.", m, map[string]string{"failed": "failed", "aborted": "been aborted"}[how])})
		}
	}
	slices.SortFunc(all, func(a, b Alarm) int { return strings.Compare(a.Name, b.Name) })
	return all
}
