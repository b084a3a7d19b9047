package evening

import (
	"strings"
	"testing"
	"time"

	"nightshift/internal/asl/clock"
	"nightshift/internal/local"
)

func TestSecondEveningHolds(t *testing.T) {
	lines := 0
	r, err := PlaySecond(clock.New(SecondStart()), func(l Line) {
		if lines++; l.At.Before(SecondStart()) || l.Who == "" || l.What == "" {
			t.Errorf("%+v", l)
		}
	})
	if err != nil || !r.OK() || len(r.Rows) != 6 || len(r.Checks) != 5 || lines < 25 {
		t.Errorf("%d rows, %d checks, %d lines, %v: %+v", len(r.Rows), len(r.Checks), lines, err, failed(r))
	}
	if !strings.Contains(r.Proof, "2 stops, 2 on time") {
		t.Errorf("proof: %s", r.Proof)
	}
}

// secondOn is the second evening before its start.
func secondOn(t *testing.T, o local.Options) *second {
	t.Helper()
	o.Clock, o.IndexLag = clock.New(SecondStart()), 2*time.Second
	s, err := local.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	p, err := newSecond(s, func(Line) {})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Each verdict of the second evening can fail: with a fault planted, it does.
func TestSecondEveningIsJudged(t *testing.T) {
	for name, c := range map[string]struct {
		sabotage func(*local.System)
		at       string
		verdict  string
	}{
		"the notebook's first cluster is gone": {func(s *local.System) { s.Notebooks.Terminate(local.NotebookCluster) }, "18:10", "it was ended by itself"},
		"no cluster is made":                   {func(s *local.System) { s.Notebooks.RefuseClusters(true, false) }, "17:31", "move-cohorts is FAILED"},
		"S3 cannot be listed":                  {func(s *local.System) { s.S3.Refuse("nightshift-demo", "AccessDenied") }, "18:55", "is not known"},
		"the virtual cluster is arrested":      {func(s *local.System) { s.EMR.Arrest(lastCluster(s), true) }, "20:00", "delete-etl is FAILED"},
		"the network cannot be read":           {func(s *local.System) { s.EC2.Refuse("DescribeRouteTables", 403, "UnauthorizedOperation") }, "17:54:59", "prepare-again is FAILED"},
	} {
		t.Run(name, func(t *testing.T) {
			p := secondOn(t, local.Options{})
			p.when(on(c.at), func() { c.sabotage(p.s) })
			p.s.Clock.RunUntil(on("22:30"))
			p.err = nil // the script may stumble over what was planted: the verdicts must say it
			r := p.judge()
			var said []string
			for _, row := range failed(r) {
				said = append(said, row.Verdict)
			}
			if text := strings.Join(said, "\n"); r.OK() || !strings.Contains(text, c.verdict) {
				t.Errorf("judged %t:\n%s\nwant %s", r.OK(), text, c.verdict)
			}
		})
	}
}

// lastCluster is the virtual cluster that the evening made.
func lastCluster(s *local.System) string {
	for _, r := range s.EMR.Runs() {
		if cluster, _, found := strings.Cut(r.ID, "/"); found {
			return cluster
		}
	}
	return local.VirtualCluster
}
