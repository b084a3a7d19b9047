package main

import (
	"context"
	"maps"
	"math"
	"strings"
	"sync"
	"time"

	"nightshift/internal/asl/clock"
)

// figures are what was counted, by name: "service.API" calls, units, milliseconds.
type figures map[string]float64

// latency is what one call takes a function that waits for it, in milliseconds: usual
// figures within a Region, of no quota and no promise. What is asked at once is waited
// for once.
var latency = map[string]float64{
	"dynamodb.GetItem": 4, "dynamodb.Query": 5, "dynamodb.BatchGetItem": 12, "dynamodb.PutItem": 6, "dynamodb.UpdateItem": 6, "dynamodb.TransactWriteItems": 15,
	"states.StartExecution": 30, "states.SendTaskSuccess": 20, "events.PutEvents": 15,
	"sagemaker.List": 200, "sagemaker.Describe": 50, "sagemaker.Stop": 100, "sagemaker.Create": 300,
	"sso.GetApplicationSessionConfiguration": 50, "sso.GetApplicationAssignmentConfiguration": 50, "sso.ListApplicationAssignmentsForPrincipal": 50,
	"identitystore.DescribeUser": 40, "identitystore.ListUsers": 80, "identitystore.GetUserId": 40, "identitystore.ListGroupMembershipsForMember": 40,
	"cloudtrail.LookupEvents": 200, "sqs.messages": 0,
}

// shards is how many partitions of a list are asked at once: the store's lists of all
// sessions.
const shards = 8

// share is what a function of 256 MiB has of a processor: one of 1,769 MiB has one.
const share = 256.0 / 1769

// tally counts what is called, by whom, until it is read.
type tally struct {
	clock   *clock.Clock
	perItem time.Duration // what decoding an item takes a whole processor

	mu         sync.Mutex
	sums       figures
	partitions map[[2]string][2]float64 // index and partition: units read and written
	sizes      map[string]int           // the largest item, by the class of its partition
}

// invocation is one of a function.
type invocation struct {
	function string
	began    time.Time
	waits    float64 // milliseconds
}

type ofInvocation struct{}

func newTally() *tally {
	t := &tally{}
	t.reset()
	return t
}

func (t *tally) reset() {
	t.sums, t.partitions, t.sizes = figures{}, map[[2]string][2]float64{}, map[string]int{}
}

func (t *tally) add(name string, n float64) { t.sums[name] += n }

func (t *tally) most(name string, n float64) { t.sums[name] = max(t.sums[name], n) }

// called begins an invocation (ladder.World.Called). How long it takes is estimated: its
// calls one after the other, its decoding, and its pauses by the virtual clock, but for
// the sweep's: they are those of the identity checks, which end in time by themselves.
func (t *tally) called(ctx context.Context, function string) (context.Context, func()) {
	i := &invocation{function: function, began: t.clock.Now()}
	return context.WithValue(ctx, ofInvocation{}, i), func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		ms, paused := i.waits, float64(t.clock.Now().Sub(i.began).Milliseconds())
		if function == "on-schedule" {
			t.add("lambda.on-schedule.paused", paused)
		} else {
			ms += paused
		}
		t.add("lambda."+function+".invocations", 1)
		t.add("lambda."+function+".ms", ms)
		t.most("lambda."+function+".ms_most", ms)
	}
}

// call counts a call of a service.
func (t *tally) call(ctx context.Context, name string, n float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counted(ctx, name, n, n)
}

// counted counts n calls of which so many are waited for one after the other.
func (t *tally) counted(ctx context.Context, name string, n, waited float64) {
	t.add(name+".calls", n)
	if i, ok := ctx.Value(ofInvocation{}).(*invocation); ok {
		ms, known := latency[name]
		if !known {
			panic("nobody says how long " + name + " takes")
		}
		if i.function == "on-schedule" && checks(name) {
			ms = 0 // in the time that they are given
		}
		if i.function == drains && strings.HasSuffix(name, ".List") {
			t.add("drain.list_calls", n)
		}
		i.waits += waited * ms
	}
}

// used counts what a call of the table consumes.
func (t *tally) used(ctx context.Context, u use) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !u.again {
		waited := 1.0
		if u.op == "Query" && sharded(u.partition) {
			waited = 1.0 / shards
		}
		t.counted(ctx, "dynamodb."+u.op, 1, waited)
	}
	if i, ok := ctx.Value(ofInvocation{}).(*invocation); ok {
		if strings.HasPrefix(u.partition, "S#") && u.reads > 0 {
			i.waits += t.perItem.Seconds() * 1_000 / share
		}
		if i.function == drains {
			t.add("drain.read_units", u.reads)
		}
	}
	t.add("dynamodb.read_units", u.reads)
	t.add("dynamodb.write_units", u.writes)
	k := [2]string{u.index, u.partition}
	p := t.partitions[k]
	t.partitions[k] = [2]float64{p[0] + u.reads, p[1] + u.writes}
	if c := class(u.partition); u.bytes > t.sizes[c] {
		t.sizes[c] = u.bytes
	}
}

// drains is the function whose rounds come each few seconds as long as anything of an
// endpoint must end. How many there are does not grow along a line: with more sign-outs
// they become one long drain. So what a round takes is counted by itself.
const drains = "drain-endpoint"

// checks says whether a call is one of the identity checks, which the sweep makes last,
// several at once, for as long as its minute lets it.
func checks(name string) bool {
	service, _, _ := strings.Cut(name, ".")
	return service == "identitystore" || service == "sso" || service == "cloudtrail"
}

func sharded(partition string) bool {
	kind, _, _ := strings.Cut(partition, "#")
	return kind == "DUE" || kind == "OVER" || kind == "LIST"
}

// class is what partitions are of one kind: what stands before the "#", but for marks,
// whose names are few.
func class(partition string) string {
	kind, rest, named := strings.Cut(partition, "#")
	if kind == "MARK" && !strings.Contains(rest, "/") && !strings.Contains(rest, "-1") {
		return partition
	}
	if named {
		kind += "#"
	}
	return kind
}

// read gives what was counted since the last time, a minute, and forgets it; the hottest
// partition of each class, and the sizes of items, with it.
func (t *tally) read(minutes float64) figures {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := figures{}
	for name, n := range t.sums {
		switch {
		case strings.HasSuffix(name, ".ms_most"):
			out[name] = n
		default:
			out[name+"_per_min"] = n / minutes
		}
	}
	for name, ms := range t.sums {
		if f, ok := strings.CutSuffix(name, ".ms"); ok {
			out[f+".ms_each"] = ms / t.sums[f+".invocations"]
		}
		if f, ok := strings.CutPrefix(name, "drain."); ok {
			out["drain."+f+"_each"] = ms / t.sums["lambda."+drains+".invocations"]
		}
	}
	for at, units := range t.partitions {
		where := "partition." + at[0]
		if at[0] == "" {
			where = "partition.table"
		}
		for i, kind := range []string{"read", "write"} {
			name := where + "." + class(at[1]) + "." + kind + "_units_per_min"
			out[name] = math.Max(out[name], units[i]/minutes)
		}
	}
	for c, n := range t.sizes {
		out["item."+c+".bytes"] = float64(n)
	}
	maps.DeleteFunc(out, func(_ string, n float64) bool { return n == 0 })
	t.reset()
	return out
}
