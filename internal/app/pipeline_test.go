package app_test

import (
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

var pipeline = workload.Run{Engine: workload.SageMakerPipeline, Endpoint: sagemaker}

// part puts a job of a pipeline's step into the engine.
func (w *world) part(of workload.Run, id string) *fakeRun {
	run := training
	run.ID = id
	return w.engine.add(workload.Observation{Run: run, PartOf: of.ID})
}

func TestS3_3APipelinesJobIsNoOrphan(t *testing.T) {
	t.Run("the listing says so", func(t *testing.T) {
		w := newWorld(t)
		s := w.start("ana", pipeline)
		r := w.part(w.get(s.ID).Run, "training-job/pipelines-1")
		w.pass(20 * time.Minute)
		if n := w.says.ids("orphan-found", "", ""); len(n) != 0 || len(w.all()) != 1 || len(r.asked) != 0 {
			t.Errorf("flagged %v, %d sessions, asked %v", n, len(w.all()), r.asked)
		}
	})
	t.Run("a step event says so, in lower case", func(t *testing.T) {
		w := newWorld(t)
		s := w.start("ana", pipeline)
		job := workload.Ref{Endpoint: sagemaker, ID: "training-job/pipelines-1-train"}
		w.say(app.RunChange{EventID: "step-1", Part: job, Observation: workload.Observation{Run: w.get(s.ID).Run, State: workload.Running, At: w.now}})
		run := training
		run.ID = "training-job/pipelines-1-Train"
		r := w.engine.add(workload.Observation{Run: run})
		w.pass(20 * time.Minute)
		if n := w.says.ids("orphan-found", "", ""); len(n) != 0 || len(w.all()) != 1 || len(r.asked) != 0 {
			t.Errorf("flagged %v, %d sessions, asked %v", n, len(w.all()), r.asked)
		}
	})
	t.Run("whose birth names its user is a session of its own, and stops with them", func(t *testing.T) {
		w := newWorld(t)
		s := w.start("ana", pipeline)
		r := w.part(w.get(s.ID).Run, "training-job/pipelines-1")
		w.say(app.Birth{EventID: "b-1", User: "ana", Run: r.o.Run, At: w.now, By: "ana"})
		w.pass(5 * time.Minute)
		child := w.only(r.o.Run.Ref())
		w.say(w.fact(session.SignOut, "ana", "out"))
		w.pass(10 * time.Minute)
		w.must(child.ID, session.Ended, session.CauseSignOut)
		w.must(s.ID, session.Ended, session.CauseSignOut)
	})
}

// TestS2_9APipelineIsStoppedWhenNoJobOfItRuns: an announced end is no end while
// the engine counts a job that runs.
func TestS2_9APipelineIsStoppedWhenNoJobOfItRuns(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", pipeline)
	w.pass(5 * time.Minute)
	announced := func(id string) {
		run := w.get(s.ID).Run
		w.say(app.RunChange{EventID: id, Observation: workload.Observation{Run: run, State: workload.Failed, At: w.now}})
	}
	announced("end-1") // the engine still counts a job
	w.must(s.ID, session.Active, "")
	r := w.engine.of(w.get(s.ID))
	r.stopAt, r.over = w.now, workload.Failed
	announced("end-2")
	w.must(s.ID, session.Ended, session.CauseFailed)
}

// TestS2_6WhatAListLacksIsAskedWhereADescribeSaysItLives: a complete list that
// lacks a run is no reason to stop asking it.
func TestS2_6WhatAListLacksIsAskedWhereADescribeSaysItLives(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", pipeline)
	w.pass(5 * time.Minute)
	ref := w.get(s.ID).Run.Ref()
	w.engine.hide = map[workload.Ref]bool{ref: true}
	w.say(w.fact(session.SignOut, "ana", "out"))
	w.pass(5 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseSignOut)
	if len(w.engine.stopsOf(ref)) == 0 {
		t.Error("it was not asked to stop")
	}
}

// TestS2_9AStuckStepIsEscalatedByName: once, in the page about the run that does
// not stop.
func TestS2_9AStuckStepIsEscalatedByName(t *testing.T) {
	w := newWorld(t)
	w.engine.grace = 100 * time.Hour
	s := w.start("ana", pipeline)
	w.pass(5 * time.Minute)
	w.say(w.fact(session.SignOut, "ana", "out"))
	w.pass(time.Minute)
	w.engine.of(w.get(s.ID)).o.Stuck = "step approve (Callback)"
	w.pass(session.PageAfter + 10*time.Minute)
	var pages []string
	stuck := 0
	for _, e := range w.history(s.ID) {
		if e.Event.Kind == session.StopStuck {
			stuck++
		}
		for _, f := range e.Effects {
			if f.Kind == session.Page {
				pages = append(pages, f.Text)
			}
		}
	}
	if len(pages) != 1 || !strings.Contains(pages[0], "step approve (Callback)") || stuck != 1 {
		t.Errorf("S2.9 noted %d times, the pages say %q", stuck, pages)
	}
	if got := w.get(s.ID).End.Stuck; got != "step approve (Callback)" {
		t.Errorf("S2.9 the session says %q", got)
	}
}
