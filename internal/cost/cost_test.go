package cost

import (
	"math"
	"strings"
	"testing"
	"time"

	"nightshift/internal/session"
	"nightshift/internal/workload"
)

var began = time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)

func after(d time.Duration) time.Time { return began.Add(d) }

// job is a training job on two ml.g5.xlarge, of 7 days at most.
func job(edit ...func(*session.Session)) session.Session {
	s := session.Session{
		ID: "s-1", User: "u-ana", Status: session.Active, Mode: session.Background, RunningSince: began, Deadline: after(7 * 24 * time.Hour),
		Run: workload.Run{Engine: workload.SageMakerTraining, Endpoint: "sagemaker/123456789012/us-east-1", ID: "training-job/a",
			Billing: workload.Billing{InstanceType: "ml.g5.xlarge", Instances: 2, Department: "ml", CostCenter: "4711"}},
	}
	for _, e := range edit {
		e(&s)
	}
	return s
}

func stopped(asked, confirmed time.Duration) func(*session.Session) {
	return func(s *session.Session) {
		s.Status = session.Ended
		s.End = session.End{Cause: session.CauseSignOut, Asked: after(asked), Confirmed: after(confirmed)}
	}
}

var book = Book{Table: Published(), Home: "us-east-1", Clusters: map[string]workload.Billing{"j-1": {InstanceType: "m5.xlarge", Instances: 3}}}

func near(t *testing.T, what string, got Amount, want float64) {
	t.Helper()
	if !got.Known() || math.Abs(got.USD-want) > 1e-9 {
		t.Errorf("%s is %+v, want %.4f US dollars", what, got, want)
	}
}

func TestS8_5WhatASessionCosts(t *testing.T) {
	c := book.Of(job(), after(10*time.Hour))
	near(t, "an hour", c.Hourly, 2*1.408)
	near(t, "so far", c.SoFar, 10*2*1.408)
	near(t, "to its deadline", c.ToDeadline, 168*2*1.408)
	if c.Saved.Known() || c.Shared || c.Forgotten || len(c.Prices) != 1 || c.Prices[0].Source == "" {
		t.Errorf("%+v", c)
	}
	c = book.Of(job(stopped(9*time.Hour, 10*time.Hour)), after(100*time.Hour))
	near(t, "S8.5 what a stopped one has cost", c.SoFar, 10*2*1.408)
	near(t, "S8.5 what its stop saved", c.Saved, 158*2*1.408)
	if c.ToDeadline.Known() {
		t.Errorf("an ended session costs %+v to its deadline", c.ToDeadline)
	}
	limited := job(stopped(9*time.Hour, 10*time.Hour), func(s *session.Session) { s.Run.MaxRuntime = 12 * time.Hour })
	near(t, "S8.5 a stop saves no more than the run's own limit", book.Of(limited, after(100*time.Hour)).Saved, 2*2*1.408)
	near(t, "what does not run yet costs", book.Of(job(func(s *session.Session) { s.RunningSince = time.Time{} }), after(time.Hour)).SoFar, 0)
}

// TestS8_5UnknownIsUnknown: never 0 and never a guess.
func TestS8_5UnknownIsUnknown(t *testing.T) {
	on := func(edit func(*workload.Run)) session.Session { return job(func(s *session.Session) { edit(&s.Run) }) }
	for name, c := range map[string]struct {
		s     session.Session
		words string
	}{
		"instance type of no row":               {on(func(r *workload.Run) { r.Billing.InstanceType = "ml.x9.huge" }), "no price of ml.x9.huge"},
		"region of no row":                      {on(func(r *workload.Run) { r.Endpoint = "sagemaker/123456789012/eu-south-2" }), "in eu-south-2"},
		"no instance type":                      {on(func(r *workload.Run) { r.Billing = workload.Billing{} }), "not known"},
		"several instance types":                {on(func(r *workload.Run) { r.Billing = workload.Billing{Instances: 3} }), "not known"},
		"no number":                             {on(func(r *workload.Run) { r.Billing.Instances = 0 }), "not known"},
		"spot":                                  {on(func(r *workload.Run) { r.Billing.Spot = true }), "spot"},
		"a pipeline":                            {on(func(r *workload.Run) { r.Engine = workload.SageMakerPipeline }), "jobs"},
		"pods of no stated size":                {on(func(r *workload.Run) { r.Engine = workload.EMRContainers }), "driver and executors"},
		"a cluster that no setting has":         {on(func(r *workload.Run) { r.Engine, r.Endpoint = workload.Livy, "livy/j-2" }), "cluster j-2"},
		"a notebook whose cluster nobody knows": {on(func(r *workload.Run) { r.Engine = workload.EMRNotebook }), "cluster is not known"},
		"an engine that is none":                {on(func(r *workload.Run) { r.Engine = "abacus" }), "abacus"},
	} {
		got := book.Of(c.s, after(time.Hour))
		for what, a := range map[string]Amount{"hourly": got.Hourly, "so far": got.SoFar, "to its deadline": got.ToDeadline} {
			if a.Known() || !strings.Contains(a.Unknown, c.words) {
				t.Errorf("%s: %s is %+v, want it unknown and %q said", name, what, a, c.words)
			}
		}
	}
	for name, s := range map[string]session.Session{
		"no deadline": job(func(s *session.Session) { s.Deadline = time.Time{} }), "not running yet": job(func(s *session.Session) { s.RunningSince = time.Time{} }),
		"ending": job(func(s *session.Session) { s.Status = session.Ending }),
	} {
		if got := book.Of(s, after(time.Hour)).ToDeadline; got.Known() {
			t.Errorf("%s: to its deadline it costs %+v", name, got)
		}
	}
	for name, s := range map[string]session.Session{
		"still running":                        job(),
		"ended by itself":                      job(func(s *session.Session) { s.Status = session.Ended; s.End.Confirmed = after(time.Hour) }),
		"stopped without anything to end it":   job(stopped(time.Hour, 2*time.Hour), func(s *session.Session) { s.Deadline = time.Time{} }),
		"stopped at its deadline":              job(stopped(time.Hour, 2*time.Hour), func(s *session.Session) { s.Deadline = after(time.Hour) }),
		"stopped on a cluster that is shared":  job(stopped(time.Hour, 2*time.Hour), func(s *session.Session) { s.Run = workload.Run{Engine: workload.Livy, Endpoint: "livy/j-1"} }),
		"stopped on instances nobody knows of": job(stopped(time.Hour, 2*time.Hour), func(s *session.Session) { s.Run.Billing = workload.Billing{} }),
	} {
		if got := book.Of(s, after(3*time.Hour)).Saved; got.Known() {
			t.Errorf("%s: the stop saved %+v", name, got)
		}
	}
	unseen := book.Of(job(stopped(time.Hour, 2*time.Hour), func(s *session.Session) { s.RunningSince = time.Time{} }), after(3*time.Hour))
	if unseen.SoFar.Known() {
		t.Errorf("a run that ended and was never seen running has cost %+v", unseen.SoFar)
	}
}

func TestS8_5ClustersAndPods(t *testing.T) {
	livy := job(func(s *session.Session) { s.Run = workload.Run{Engine: workload.Livy, Endpoint: "livy/j-1"} })
	c := book.Of(livy, after(2*time.Hour))
	near(t, "a Livy session costs its cluster, EC2 and EMR", c.SoFar, 2*3*(0.192+0.048))
	if !c.Shared || c.Note == "" || len(c.Prices) != 2 {
		t.Errorf("%+v", c)
	}
	note := job(func(s *session.Session) {
		s.Run = workload.Run{Engine: workload.EMRNotebook, Endpoint: "emr-notebook/123456789012/us-east-1", Cluster: "j-1"}
	})
	near(t, "a notebook costs its cluster", book.Of(note, after(2*time.Hour)).SoFar, 2*3*(0.192+0.048))
	pods := job(func(s *session.Session) {
		s.Run = workload.Run{Engine: workload.EMRContainers, Endpoint: "emr-containers/123456789012/us-west-2", Billing: workload.Billing{VCPUs: 10, MemoryGB: 40}}
	})
	if c = book.Of(pods, after(2*time.Hour)); c.Note == "" || len(c.Prices) != 2 {
		t.Errorf("the nodes come on top, by two prices: %+v", c)
	}
	near(t, "EMR's charge for pods", c.SoFar, 2*(10*0.01012+40*0.00111125))
	// eu-west-1 has EC2's row and not EMR's: half a price is none.
	abroad := book
	abroad.Home = "eu-west-1"
	if c := abroad.Of(livy, after(time.Hour)); c.Hourly.Known() || c.Hourly.USD != 0 && c.SoFar.Known() || len(c.Prices) != 0 {
		t.Errorf("half a price is given: %+v", c)
	}
}

func TestS8_5Sums(t *testing.T) {
	named := func(id, user, department, center string) func(*session.Session) {
		return func(s *session.Session) {
			s.ID, s.User, s.Run.Billing.Department, s.Run.Billing.CostCenter = id, user, department, center
		}
	}
	on := func(s *session.Session) { s.Run.Engine, s.Run.Endpoint = workload.Livy, "livy/j-1" }
	left := func(s *session.Session) { s.LeftAt = began }
	r := book.Report([]session.Session{
		job(named("a", "ana", "ml", "1"), left),
		job(named("b", "ben", "ml", "2"), stopped(9*time.Hour, 10*time.Hour)),
		job(named("c", "ben", "", ""), func(s *session.Session) { s.Run.Billing.InstanceType = "ml.x9.huge" }, left),
		job(named("d", "ana", "bi", "2"), on), // alone on the cluster for 10 h, then with e
		job(named("e", "eve", "bi", "2"), on, func(s *session.Session) { s.RunningSince = after(10 * time.Hour) }),
	}, after(30*time.Hour))
	const hour, cluster = 2 * 1.408, 3 * (0.192 + 0.048)
	sum := func(what string, got Sum, usd float64, unknown int) {
		t.Helper()
		if math.Abs(got.USD-usd) > 1e-6 || got.Unknown != unknown {
			t.Errorf("%s is %+v, want %.4f and %d unknown", what, got, usd, unknown)
		}
	}
	sum("all of it", r.Total.SoFar, 40*hour+30*cluster, 1)
	sum("all that the stop saved", r.Total.Saved, 158*hour, 0)
	sum("all to the deadlines", r.Total.ToDeadline, 168*hour+168*cluster, 1)
	find := func(groups []Group, key string) Group {
		t.Helper()
		for _, g := range groups {
			if g.Key == key {
				return g
			}
		}
		t.Fatalf("no group %q in %+v", key, groups)
		return Group{}
	}
	sum("ana", find(r.ByUser, "ana").SoFar, 30*hour+20*cluster, 0)
	sum("eve, half of the cluster while she shared it", find(r.ByUser, "eve").SoFar, 10*cluster, 0)
	sum("ben", find(r.ByUser, "ben").SoFar, 10*hour, 1)
	sum("ml", find(r.ByDepartment, "ml").SoFar, 40*hour, 0)
	sum("no department", find(r.ByDepartment, "").SoFar, 0, 1)
	sum("cost center 2", find(r.ByCostCenter, "2").SoFar, 10*hour+30*cluster, 0)
	if len(r.ByUser) != 3 || r.ByUser[0].Key != "ana" || r.Total.Sessions != 5 {
		t.Errorf("%+v", r)
	}
	if got := strings.Join(r.Forgotten, " "); got != "a c" {
		t.Errorf("S8.5 forgotten are %q, want a, then c whose cost nobody knows", got)
	}
}

func TestThePublishedTable(t *testing.T) {
	table := Published()
	services := map[string]int{}
	for _, p := range table {
		services[p.Service]++
	}
	for _, s := range []string{"sagemaker", "ec2", "emr", "emr-containers"} {
		if services[s] < 2 {
			t.Errorf("%d prices of %s", services[s], s)
		}
	}
	for _, p := range table {
		// A price that is not AWS's own, of its own region, is unknown instead.
		if !strings.Contains(p.Source, "AWS") || strings.Contains(p.Source, "several") || p.Region == "us-west-2" && !strings.Contains(p.Source, p.Region) {
			t.Errorf("%s %s in %s comes from %q", p.Service, p.Item, p.Region, p.Source)
		}
	}
	head := strings.Join(columns, ",") + "\n"
	for name, rows := range map[string]string{
		"no head": "sagemaker,us-east-1,ml.m5.large,0.115,2026-11-21,page\n", "empty": "", "free of charge": head + "sagemaker,us-east-1,ml.m5.large,0,2026-11-21,page\n",
		"below nothing": head + "sagemaker,us-east-1,ml.m5.large,-1,2026-11-21,page\n", "no number": head + "sagemaker,us-east-1,ml.m5.large,NaN,2026-11-21,page\n",
		"no date": head + "sagemaker,us-east-1,ml.m5.large,1,,page\n", "no source": head + "sagemaker,us-east-1,ml.m5.large,1,2026-11-21,\n",
		"too few columns": head + "sagemaker,us-east-1,ml.m5.large,1\n",
		"twice":           head + strings.Repeat("sagemaker,us-east-1,ml.m5.large,1,2026-11-21,page\n", 2),
	} {
		if _, err := ReadTable(rows); err == nil {
			t.Errorf("%s: the table is taken", name)
		}
	}
}
