package ddbstore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore/schema"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// lifeUnitsMax is the target of a session's life, in write units, anchors and
// marks included.
const lifeUnitsMax = 40

// beside are the write units of a life that are not its session's: a mark of its
// user, and its share of the anchors, of 39 units for a thousand heads each.
const beside = 2

// ledger adds up what writes cost, by DynamoDB's published rules.
type ledger struct {
	t     *testing.T
	total int
	lines []string
}

func (l *ledger) add(what string, n int) {
	l.total += n
	l.lines = append(l.lines, what+" "+strings.Repeat("|", n))
}

// indexed is what a change of an item's places costs: a unit for each that is
// taken or left.
func indexed(before, after item) int {
	n := 0
	for _, i := range schema.Definition().Indexes {
		was, is := getText(before, i.PartitionKey.Name)+getText(before, i.SortKey.Name), getText(after, i.PartitionKey.Name)+getText(after, i.SortKey.Name)
		if was == is {
			continue
		}
		for _, place := range []string{was, is} {
			if place != "" {
				n++
			}
		}
	}
	return n
}

// A life as the bench plays it, with ids as long as AWS's are: opened and started
// by the run machine, seen running, told twice that its end is near, ended by its
// deadline, asked to stop, seen stopped, each effect carried out.
func TestLifeIsAtMostFortyUnits(t *testing.T) {
	l := &ledger{t: t}
	policy := session.DefaultPolicy()
	policy.Version, policy.ChangedAt, policy.InstanceBackground = 12, base.Add(-1000*time.Hour), session.On
	expires := base.Add(2*time.Hour + time.Second)
	user := "544894e8-80c1-707f-60e3-3ba6510dfac1"
	o := session.Opening{
		ID: "s-01d22a77a08c99851f1931f3", User: user, Origin: session.Started, At: base,
		Run:         workload.Run{Engine: workload.EMRContainers, Endpoint: "emr-containers/210987654321/eu-central-1"},
		Interactive: session.InteractiveSession{ID: "f8b5a1c2-7d3e-4f60-9a1b-2c3d4e5f6071", Source: "portal", ExpiresAt: expires},
		Facts:       session.Facts{IdentityPropagation: session.On, ApplicationBackground: session.Off, ClusterBackground: session.On, ReleaseLabel: "emr-7.12.0"},
	}
	var r record
	var it item
	write := func(what string, c session.Decision, e session.Event, at time.Time, factor int) {
		t.Helper()
		entry := app.Entry{SessionID: o.ID, Version: r.state.Version + 1, At: at, Event: e, From: r.state.Status, To: c.Next.Status, Mode: c.Next.Mode,
			Deadline: c.Next.Deadline, Source: c.Next.DeadlineSource, Cause: c.Next.End.Cause, Effects: c.Effects, Previous: r.state.Head}
		if entry.Changes() {
			entry.End = c.Next.End
		}
		hash, err := entry.Seal()
		if err != nil {
			t.Fatal(err)
		}
		entry.Hash, c.Next.Head, c.Next.Version = hash, hash, entry.Version
		next, now, block, err := r.next(c.Next, entry).shortened("op")
		if err != nil {
			t.Fatal(err)
		}
		l.add(fmt.Sprintf("%s %d", what, sizeOf(now)), factor*units(now)+indexed(it, now))
		if block != nil {
			l.add("  entries moved", units(block))
		}
		if r, it = next, now; len(c.Effects) > 0 {
			r = r.without(entry.Version)
			if now, err = r.item("op"); err != nil {
				t.Fatal(err)
			}
			l.add("  effects done", units(now)+indexed(it, now))
			it = now
		}
	}
	apply := func(after time.Duration, e session.Event, factor int) {
		t.Helper()
		at := base.Add(after)
		if e.Known = at; e.At.IsZero() {
			e.At = at
		}
		d := session.Decide(r.state, e, policy, at)
		if !d.Changed {
			t.Fatalf("%s changes nothing: %s", e.Kind, d.Ignored)
		}
		write(string(e.Kind), d, e, at, factor)
	}
	arn := "arn:aws:states:eu-central-1:210987654321:execution:nightshift-run:nightly-churn-2026-11-20T18-00-00"
	write("opened", session.Open(o, policy, session.UserFacts{User: user}, base), session.Event{Kind: "session-opened", At: base, User: user, Run: o.Run.Ref(), Evidence: arn}, base, 2)
	l.add("  the user's facts are unchanged", 2)
	l.add("  task token", 1)
	run := workload.Ref{Endpoint: o.Run.Endpoint, ID: "abcdefghijklmnopqrstuvwxy/00000002u6l5k4n3m2j"}
	apply(time.Second, session.Event{Kind: session.WaiterRegistered, Token: refersToToken + digest("token")[:32]}, 1)
	apply(2*time.Second, session.Event{Kind: session.RunStarted, Run: run, Name: "ns-s-01d22a77a08c99851f1931f3"}, 2)
	l.add("  claim", 2)
	apply(62*time.Second, session.Event{Kind: session.RunObserved, At: base.Add(41 * time.Second), State: workload.Running, Run: run, Evidence: "listing"}, 1)
	tick := session.Event{Kind: session.Tick, By: "nightshift", Evidence: "sweep"}
	apply(61*time.Minute+123*time.Millisecond, tick, 1)
	apply(106*time.Minute+123*time.Millisecond, tick, 1)
	apply(121*time.Minute+123*time.Millisecond, tick, 1)
	apply(121*time.Minute+456*time.Millisecond, session.Event{Kind: session.StopAccepted}, 1)
	apply(122*time.Minute+456*time.Millisecond, session.Event{Kind: session.RunObserved, State: workload.Stopped, Run: run, Evidence: "listing"}, 1)
	if r.state.Status != session.Ended || len(r.undone) > 0 || r.look.due() {
		t.Fatalf("its life was not what it should be: %+v", r)
	}
	l.add("beside", beside)
	t.Logf("%d write units:\n%s", l.total, strings.Join(l.lines, "\n"))
	if l.total > lifeUnitsMax {
		t.Errorf("a session's life costs %d write units; at most %d are the target", l.total, lifeUnitsMax)
	}
}
