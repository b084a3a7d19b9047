package app_test

import (
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// S2.14: a terminated cluster closes the notebook executions that run on it, of
// which only the engine tells where they run.
func TestS2_14ClusterTerminatedClosesItsNotebookExecutions(t *testing.T) {
	const notebooks, gone, stays = "emr-notebook/123456789012/us-east-1", "j-1YONHTCP3YZKC", "j-2AXXXXXXGAPLF"
	w := newWorld(t)
	w.app.Engines["emr-notebook"] = w.engine
	execution := workload.Run{Engine: workload.EMRNotebook, Endpoint: notebooks}
	named := execution
	named.Cluster = gone
	known := w.start("ana", named) // the answer to the start says it
	learned, other, unknown := w.start("ana", execution), w.start("ana", execution), w.start("ana", execution)
	w.engine.of(learned).o.Run.Cluster = gone
	w.engine.of(other).o.Run.Cluster = stays
	w.pass(2 * time.Minute)
	for s, want := range map[string]string{known.ID: gone, learned.ID: gone, other.ID: stays, unknown.ID: ""} {
		if got := w.get(s).Run.Cluster; got != want {
			t.Errorf("session %s is said to run on %q, want %q", s, got, want)
		}
	}
	version := w.get(learned.ID).Version
	w.pass(5 * time.Minute)
	if now := w.get(learned.ID).Version; now != version {
		t.Errorf("what is known of the cluster was written again: version %d, then %d", version, now)
	}
	stops := len(w.engine.stops)
	w.say(app.ClusterChange{EventID: "c-1", Cluster: gone, Terminated: true, At: w.now})
	w.must(known.ID, session.Ended, session.CauseClusterTerminated)
	w.must(learned.ID, session.Ended, session.CauseClusterTerminated)
	w.must(other.ID, session.Active, "")
	w.must(unknown.ID, session.Active, "")
	if len(w.engine.stops) != stops {
		t.Error("a closed session's run was asked to stop")
	}
	w.engine.forget = map[workload.Ref]bool{known.Run.Ref(): true, learned.Run.Ref(): true}
	w.pass(2 * time.Minute)
}

// S3.3: a recorded start of a notebook execution is a session in the mode that
// policy gives, which ends or goes on at its user's sign-out, and closes with the
// cluster that the start names.
func TestS3_3BirthOfANotebookExecution(t *testing.T) {
	const notebooks, cluster = "emr-notebook/123456789012/us-east-1", "j-1YONHTCP3YZKC"
	for mode, facts := range map[session.Mode]session.Facts{session.Background: yes, session.Interactive: classic} {
		w := newWorld(t)
		w.app.Engines["emr-notebook"] = w.engine
		w.identity.facts[notebooks] = facts
		r := w.born(workload.Run{Engine: workload.EMRNotebook, Endpoint: notebooks}, "weekly-cohorts", "")
		run := r.o.Run
		run.Cluster = cluster
		w.say(app.Birth{EventID: "b-1", User: "ana", Run: run, At: w.now, By: "ana"})
		s := w.only(run.Ref())
		if s.User != "ana" || s.Mode != mode || s.Origin != session.Adopted || s.Status != session.Active || s.Run.Cluster != cluster {
			t.Errorf("%s: %+v", mode, s)
		}
		w.pass(2 * time.Minute)
		w.say(w.fact(session.SignOut, "ana", "e-1"))
		w.pass(3 * time.Minute)
		if mode == session.Interactive {
			w.must(s.ID, session.Ended, session.CauseSignOut)
			continue
		}
		w.must(s.ID, session.Active, "")
		w.say(app.ClusterChange{EventID: "c-1", Cluster: cluster, Terminated: true, At: w.now})
		w.must(s.ID, session.Ended, session.CauseClusterTerminated)
		w.engine.forget = map[workload.Ref]bool{run.Ref(): true}
		w.pass(2 * time.Minute)
	}
}
