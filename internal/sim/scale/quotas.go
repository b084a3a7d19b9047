package main

import (
	"fmt"
	"maps"
	"strings"

	"nightshift/internal/cadence"
	"nightshift/internal/config"
	"nightshift/internal/sim/ladder"
)

// quota is what AWS, or a setting of ours, allows; and what of it is used.
type quota struct {
	name   string
	part   string // of the simulation
	allows float64
	unit   string
	source string // of AWS: its page, and when it was read; or where the setting is
	used   func(figures) float64
	past   string // the way past it
}

// perSecond is a figure a minute, by the second.
func perSecond(name string) func(figures) float64 {
	return func(f figures) float64 { return f[name+"_per_min"] / 60 }
}

// hottest is the busiest partition of the table and its indexes, in units a second.
func hottest(kind string) func(figures) float64 {
	return func(f figures) float64 {
		most := 0.0
		for name, n := range f {
			if strings.HasPrefix(name, "partition.") && strings.HasSuffix(name, kind+"_units_per_min") {
				most = max(most, n/60)
			}
		}
		return most
	}
}

// concurrency is how many instances of functions are busy at a time, on average.
func concurrency(f figures) float64 {
	sum := 0.0
	for name, n := range f {
		if strings.HasPrefix(name, "lambda.") && strings.HasSuffix(name, ".ms_per_min") {
			sum += n / 60_000
		}
	}
	return sum
}

func figure(name string, each float64) func(figures) float64 {
	return func(f figures) float64 { return f[name] / each }
}

const (
	pastSweep  = "walk a slice of the endpoints each minute, by a function per slice: see internal/decisions/0022"
	pastShards = "more shards of its list (ddbstore/schema.Shards), in two releases"
	pastDrain  = "rounds that read and describe just what is ending, and list at the watch's cadence: see internal/decisions/0022"
	pastRaise  = "the quota can be raised"
	pastSplit  = "a second deployment: each has its own endpoints, table and machines"
)

// quotas are all that are compared. AWS's were read in its documentation on 2026-11-20.
var quotas = []quota{
	{"a sweep within its minute", "steady", 60, "s", "cadence.Sweep", figure("lambda.on-schedule.ms_each", 1000), pastSweep},
	{"a sweep within its function's time", "steady", 300, "s", "infra/stack/functions.go, timeout", figure("lambda.on-schedule.ms_each", 1000), pastSweep},
	{"a sweep within its minute, while people sign out", "signout", 60, "s", "cadence.Sweep", figure("lambda.on-schedule.ms_each", 1000), pastSweep},
	{"a look at an endpoint within its function's time", "hot", (cadence.TaskTimeout.Seconds() - 5), "s", "infra/stack/functions.go, timeout", figure("lambda.observe-endpoint.ms_most", 1000), "list and read in pages over several tasks of the machine"},
	{"a round of a drain within its function's time", "signout", (cadence.TaskTimeout.Seconds() - 5), "s", "infra/stack/functions.go, timeout", figure("lambda.drain-endpoint.ms_most", 1000), "fewer runs an endpoint"},
	{"reads of one partition", "steady", 3000, "units/s", "DynamoDB developer guide, partition limits", hottest("read"), pastShards},
	{"writes of one partition", "signout", 1000, "units/s", "DynamoDB developer guide, partition limits", hottest("write"), pastShards},
	{"reads of the table", "steady", 40_000, "units/s", "DynamoDB quotas, on-demand, default of a table", perSecond("dynamodb.read_units"), pastRaise},
	{"writes of the table", "signout", 40_000, "units/s", "DynamoDB quotas, on-demand, default of a table", perSecond("dynamodb.write_units"), pastRaise},
	{"reads of the table while every endpoint drains", "signout", 40_000, "units/s", "DynamoDB quotas, on-demand, default of a table",
		func(f figures) float64 {
			return f["drain.read_units_each"] * rounds(f) / 60
		}, pastDrain},
	{"listings of an endpoint that drains", "signout", 5, "calls/s", "EMR on EKS quotas, ListJobRuns; SageMaker publishes none",
		func(f figures) float64 { return f["drain.list_calls_each"] * rounds(f) / f["endpoints"] / 60 }, pastDrain},
	{"functions at once", "signout", 1000, "instances", "Lambda quotas, default of an account and Region", concurrency, pastRaise},
	{"ListUsers", "steady", cadence.DirectoryPerSecond, "calls/s", "IAM Identity Center quotas, each API of an identity store", perSecond("identitystore.ListUsers.calls"), "events of the identity source; the check takes longer and loses nothing"},
	{"DescribeUser", "steady", cadence.DirectoryPerSecond, "calls/s", "IAM Identity Center quotas, each API of an identity store", perSecond("identitystore.DescribeUser.calls"), "the check takes longer and loses nothing"},
	{"Identity Center", "steady", 2 * cadence.CenterPerSecond, "calls/s", "IAM Identity Center quotas, all its APIs together",
		func(f figures) float64 {
			return (f["sso.GetApplicationSessionConfiguration.calls_per_min"] + f["sso.ListApplicationAssignmentsForPrincipal.calls_per_min"]) / 60
		}, "the check takes longer and loses nothing"},
	{"LookupEvents", "signout", cadence.TrailPerSecond, "calls/s", "CloudTrail quotas, account and Region", perSecond("cloudtrail.LookupEvents.calls"), "a session source (sessionsUrl)"},
	{"PutEvents", "signout", 10_000, "calls/s", "EventBridge quotas, us-east-1 (others from 400 on)", perSecond("events.PutEvents.calls"), pastRaise},
	{"StartExecution", "signout", 300, "calls/s", "Step Functions quotas, refill in the large Regions (150 elsewhere)", perSecond("states.StartExecution.calls"), pastRaise},
	{"state transitions", "signout", 5_000, "transitions/s", "Step Functions quotas, the large Regions (800 elsewhere)", perSecond("states.transitions"), pastRaise},
	{"open executions", "steady", 1_000_000, "executions", "Step Functions quotas, account and Region", figure("sessions.open", 1), pastRaise + "; or " + pastSplit},
	{"stop requests of one endpoint", "signout", cadence.Of("sagemaker").Stop.PerSecond, "calls/s", "cadence: a guess, SageMaker publishes none", figure("sagemaker.Stop.most_of_an_endpoint_per_min", 60), "more endpoints (accounts, Regions); the earliest cause goes first"},
	{"the last stop of a whole endpoint", "hot", 660, "s", "S2.9", figure("hot.stopped_after_s", 1), "more endpoints (accounts, Regions); opening warns beyond the capacity"},
}

// reached is at which size a quota is used up, where the use grows along a line through
// two sizes; 0: never.
func (q quota) reached(n1, n2, u1, u2 float64) float64 {
	slope := (u2 - u1) / (n2 - n1)
	if slope <= 0 {
		return 0
	}
	return max(0, n1+(q.allows-u1)/slope)
}

// most are figures that a bound of ours keeps from growing along the line.
var most = figures{
	"identitystore.ListUsers.calls_per_min":                     cadence.DirectoryPagesMax,
	"identitystore.DescribeUser.calls_per_min":                  config.ShareOf("on-schedule", 1).Users * 60,
	"sso.ListApplicationAssignmentsForPrincipal.calls_per_min":  2 * cadence.AccessMax, // of a user, and of a group
	"identitystore.ListGroupMembershipsForMember.calls_per_min": cadence.AccessMax,
	"item.ANCHOR.bytes": 126 << 10, // cadence.AnchorHeads
}

// claimed says whether a figure is said to grow along a line. Not so what a bound of ours
// holds back, and what an hour of sign-outs takes of reads, listings and time: their
// drains become one (see drains); nor what anchors hold, of which some are full.
func claimed(part, name string) bool {
	_, held := most[name]
	switch {
	case held, strings.HasPrefix(name, "item."), strings.Contains(name, "ANCHOR"), strings.HasSuffix(name, ".ms_most"), strings.HasSuffix(name, ".paused_per_min"):
		return false
	case part != "signout":
		return true
	}
	switch {
	case strings.HasPrefix(name, "drain."):
		return strings.HasSuffix(name, "_each")
	case strings.HasPrefix(name, "partition."):
		return strings.Contains(name, "write")
	}
	for _, counted := range []string{"dynamodb.write_units", "lambda.on-logout.", "lambda.on-schedule.ms_each", "sqs.", "events.", "sagemaker.Stop."} {
		if strings.HasPrefix(name, counted) {
			return true
		}
	}
	return false
}

// rounds are those of all endpoints' drains in a minute, when each has something to end
// all the time: one after the other, and no more often than each DrainEvery.
func rounds(f figures) float64 {
	each := max(cadence.DrainEvery.Seconds(), f["lambda."+drains+".ms_each"]/1000)
	return f["endpoints"] * 60 / each
}

// draining is an hour of sign-outs at the whole size: what stands anyway, what grows along
// a line (claimed), and of what the drains take, that of rounds without a pause.
func draining(standing, steady, large, whole figures) figures {
	f := maps.Clone(whole)
	for name := range whole {
		if !claimed("signout", name) && strings.HasSuffix(name, "_per_min") {
			f[name] = standing[name]
		}
	}
	n := rounds(whole)
	f["dynamodb.read_units_per_min"] += n * whole["drain.read_units_each"]
	f["sagemaker.List.calls_per_min"] += n * whole["drain.list_calls_each"]
	f["lambda."+drains+".invocations_per_min"] = n
	f["lambda."+drains+".ms_per_min"] = n * whole["lambda."+drains+".ms_each"]
	f["states.transitions_per_min"] += n * (large["states.transitions_per_min"] - steady["states.transitions_per_min"]) / large["lambda."+drains+".invocations_per_min"]
	f["states.StartExecution.calls_per_min"] = f["endpoints"] // a drain each, and a minute is soon for the next
	return f
}

// bounded is a figure as our own bound leaves it.
func bounded(name string, n float64) float64 {
	if m, ok := most[name]; ok {
		return min(n, m)
	}
	return n
}

// line is what a figure would be at a size, by the line through two others.
func line(n, n1, n2, u1, u2 float64) float64 { return max(0, u2+(u2-u1)/(n2-n1)*(n-n2)) }

// bill is what a minute of figures costs, by what is billed.
func bill(f figures) figures {
	b := figures{}
	for name, n := range f {
		switch {
		case strings.HasPrefix(name, "lambda.") && strings.HasSuffix(name, ".invocations_per_min"):
			b["lambda"] += n * ladder.PerInvocation
		case strings.HasPrefix(name, "lambda.") && strings.HasSuffix(name, ".ms_per_min"):
			b["lambda"] += n / 1000 * 0.25 * ladder.PerGBSecond
		}
	}
	b["dynamodb_reads"] = f["dynamodb.read_units_per_min"] * ladder.PerReadUnit
	b["dynamodb_writes"] = f["dynamodb.write_units_per_min"] * ladder.PerWriteUnit
	b["step_functions"] = f["states.transitions_per_min"] * ladder.PerTransition
	b["eventbridge"] = f["events.PutEvents.calls_per_min"] * ladder.PerEvent
	b["sqs"] = f["sqs.messages.calls_per_min"] * 3 * ladder.PerRequest
	return b
}

func (b figures) total() float64 {
	sum := 0.0
	for _, usd := range b {
		sum += usd
	}
	return sum
}

func number(n float64) string {
	switch {
	case n >= 100 || n == float64(int64(n)):
		return fmt.Sprintf("%.0f", n)
	case n >= 1:
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.3g", n)
}
