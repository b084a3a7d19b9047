// Package cost prices sessions (S8.5): what one has cost, will cost until its
// deadline, and what a stop saved. It is pure: it knows a price table as data and
// what is recorded of a session; it must not know AWS's APIs, storage or a clock.
//
// All figures are on-demand list prices in US dollars, without storage, traffic,
// taxes and discounts. What cannot be told is unknown, with the reason: never 0,
// never a guess.
package cost

import (
	"fmt"
	"strings"
	"time"

	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Amount is a sum of money, or why it is not known.
type Amount struct {
	USD     float64
	Unknown string // why it is unknown; "" where USD holds
}

// Known says whether the amount is known.
func (a Amount) Known() bool { return a.Unknown == "" }

func unknown(why string, args ...any) Amount {
	if len(args) > 0 {
		why = fmt.Sprintf(why, args...)
	}
	return Amount{Unknown: why}
}

// over is the amount of an hour over a time; unknown stays unknown.
func (a Amount) over(d time.Duration) Amount {
	a.USD *= max(0, d.Hours())
	return a
}

// Cost is what is known of one session's cost.
type Cost struct {
	Hourly     Amount
	SoFar      Amount
	ToDeadline Amount // all of it, if it runs until its deadline
	Saved      Amount // at most: from the confirmed stop to when it would have had to end
	Shared     bool   // it is that of the whole cluster, which others may use at the same time
	Note       string // what is not in it; "" is nothing worth saying
	Prices     []Price
	Forgotten  bool // session.Forgotten
}

// Book is what prices are looked up in.
type Book struct {
	Table Table
	// Home is the region of endpoints that do not name one (Livy).
	Home string
	// Clusters says on what each EMR cluster runs, by its id, where the settings
	// tell: no engine does.
	Clusters map[string]workload.Billing
}

// Of prices a session at a moment.
func (b Book) Of(s session.Session, now time.Time) Cost {
	c := b.rate(s)
	c.Forgotten = s.Forgotten(now)
	from, until, why := span(s, now)
	switch {
	case why != "":
		c.SoFar = unknown(why)
	case from.IsZero():
		c.SoFar = Amount{} // it does not run yet, or never did: that costs nothing
	default:
		c.SoFar = c.Hourly.over(until.Sub(from))
	}
	c.ToDeadline = toDeadline(s, c.Hourly)
	c.Saved = saved(s, c)
	return c
}

// span is from when to when a session's run has cost something so far; from is
// zero where it has not run. why says why that cannot be told.
func span(s session.Session, now time.Time) (from, until time.Time, why string) {
	over := s.Status == session.Ended
	if s.RunningSince.IsZero() {
		if over && s.Run.ID != "" {
			return from, until, "it was never seen running, and has ended"
		}
		return from, until, ""
	}
	if until = now; over && s.End.Confirmed.Before(now) {
		until = s.End.Confirmed
	}
	return s.RunningSince, until, ""
}

func toDeadline(s session.Session, hourly Amount) Amount {
	switch {
	case s.Status != session.Active:
		return unknown("it is ending or has ended")
	case s.Deadline.IsZero():
		return unknown("it has no deadline")
	case s.RunningSince.IsZero():
		return unknown("it does not run yet")
	}
	return hourly.over(s.Deadline.Sub(s.RunningSince))
}

// saved is what stopping a run saved at most: it might have finished earlier by
// itself.
func saved(s session.Session, c Cost) Amount {
	stopped := s.End.Confirmed
	if s.Status != session.Ended || s.End.Asked.IsZero() || stopped.IsZero() {
		return unknown("it was not stopped")
	}
	if c.Shared {
		return unknown("the cluster costs the same without it")
	}
	ends := []time.Time{s.Deadline}
	if s.Run.MaxRuntime > 0 && !s.RunningSince.IsZero() {
		ends = append(ends, s.RunningSince.Add(s.Run.MaxRuntime))
	}
	var until time.Time
	for _, e := range ends {
		if e.After(stopped) && (until.IsZero() || e.Before(until)) {
			until = e
		}
	}
	if until.IsZero() {
		return unknown("nothing says until when it would have run")
	}
	return c.Hourly.over(until.Sub(stopped))
}

// rate is what an hour of the session's run costs.
func (b Book) rate(s session.Session) Cost {
	region := b.region(s.Run.Endpoint)
	switch s.Run.Engine {
	case workload.SageMakerTraining, workload.SageMakerProcessing:
		return b.instances(region, s.Run.Billing, "", "sagemaker")
	case workload.SageMakerPipeline:
		return Cost{Hourly: unknown("a pipeline costs what its jobs cost, which are not sessions of their own")}
	case workload.EMRContainers:
		return b.pods(region, s.Run.Billing)
	case workload.Livy, workload.EMRNotebook:
		id := cluster(s.Run)
		if id == "" {
			return Cost{Shared: true, Hourly: unknown("its cluster is not known")}
		}
		billing, told := b.Clusters[id]
		if !told {
			return Cost{Shared: true, Hourly: unknown("no setting says on what cluster %s runs", id)}
		}
		c := b.instances(region, billing, "the whole cluster, which others may share", "ec2", "emr")
		c.Shared = true
		return c
	}
	return Cost{Hourly: unknown("engine %q has no prices", s.Run.Engine)}
}

// cluster is the id of the EMR cluster on which the run lives.
func cluster(r workload.Run) string {
	if r.Engine == workload.Livy {
		_, id, _ := strings.Cut(r.Endpoint, "/")
		return id
	}
	return r.Cluster
}

// region is the last part of an endpoint's id where it names one.
func (b Book) region(endpoint string) string {
	if parts := strings.Split(endpoint, "/"); len(parts) == 3 {
		return parts[2]
	}
	return b.Home
}

// instances prices a number of instances of one type by the rows of all the
// services that charge for them.
func (b Book) instances(region string, on workload.Billing, note string, services ...string) Cost {
	c := Cost{Note: note}
	switch {
	case on.InstanceType == "" || on.Instances < 1:
		c.Hourly = unknown("on what instances it runs is not known")
		return c
	case on.Spot:
		c.Hourly = unknown("it runs on spot capacity, whose price changes")
		return c
	}
	for _, service := range services {
		if !c.add(b.Table, place{service, region, on.InstanceType}, float64(on.Instances)) {
			break
		}
	}
	return c
}

func (b Book) pods(region string, on workload.Billing) Cost {
	c := Cost{Note: "EMR's charge only: the nodes that the pods run on come on top"}
	if on.VCPUs <= 0 || on.MemoryGB <= 0 {
		c.Hourly = unknown("its start does not say how large its driver and executors are")
		return c
	}
	if c.add(b.Table, place{"emr-containers", region, "vcpu"}, on.VCPUs) {
		c.add(b.Table, place{"emr-containers", region, "gb"}, on.MemoryGB)
	}
	return c
}

// add adds a row's price so many times; false where there is no such row.
func (c *Cost) add(t Table, at place, times float64) bool {
	p, ok := t[at]
	if !ok {
		c.Hourly, c.Prices = unknown("there is no price of %s (%s) in %s", at.item, at.service, at.region), nil
		return false
	}
	c.Hourly.USD += p.USD * times
	c.Prices = append(c.Prices, p)
	return true
}
