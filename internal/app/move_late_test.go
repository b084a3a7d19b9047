package app_test

import (
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// S2.10, S5.1: a revoke ends what was opened before its own time, however late it
// arrives: also while the notebook is between two sessions.
func TestS5_1ALateRevokeStopsAMove(t *testing.T) {
	for _, when := range []string{"before the move", "after the stop was seen", "told once it runs there", "told once it runs where it was"} {
		t.Run(when, func(t *testing.T) {
			w, m := notebooks(t)
			s := m.run(t, churn("j-1"))
			w.pass(3 * time.Minute)
			late := w.fact(session.RevokeBackground, "u-ana", "e-1") // its own time is now
			w.pass(time.Minute)
			b, err := w.app.BeginMove(t.Context(), app.MoveAsked{Execution: "arn:move:1", Session: s.ID, To: "j-2"})
			if err != nil {
				t.Fatal(err)
			}
			stop := func() (bool, bool) {
				over, ended, err := w.app.StopMove(t.Context(), "arn:move:1", b.Notebook, "j-2", false)
				if err != nil {
					t.Fatal(err)
				}
				return over, ended
			}
			stop()
			w.pass(5 * time.Minute)
			if over, ended := stop(); !over || ended {
				t.Fatal(over, ended)
			}
			switch when {
			case "before the move":
				w.say(late)
				w.pass(time.Minute)
				if _, ended := stop(); !ended {
					t.Error("S2.10 the notebook of a revoked user goes on to the next cluster")
				}
			case "told once it runs there", "told once it runs where it was":
				late = w.fact(session.RevokeBackground, "u-ana", "e-3") // dated between two sessions
				w.pass(time.Minute)
				moved := m.start(t, b.Notebook)
				if when == "told once it runs where it was" {
					w.pass(time.Minute)
					w.engine.of(w.get(moved.Session)).o.State = workload.Failed
					w.pass(5 * time.Minute)
					w.must(moved.Session, session.Ended, session.CauseFailed)
					if over, ended, err := w.app.StopMove(t.Context(), "arn:move:1", b.Notebook, "j-2", true); !over || ended || err != nil {
						t.Fatal(over, ended, err)
					}
					moved = m.start(t, b.Notebook)
				}
				w.pass(time.Minute)
				w.must(moved.Session, session.Active, "")
				w.say(late)
				w.pass(5 * time.Minute)
				w.must(moved.Session, session.Ended, session.CauseBackgroundRevoked)
			case "after the stop was seen":
				w.say(w.fact(session.RevokeBackground, "u-ana", "e-2"))
				w.pass(time.Minute)
				moved, err := w.app.StartMove(t.Context(), "arn:move:1", b.Notebook)
				if err != nil {
					return
				}
				next, err := w.app.OpenSession(t.Context(), app.OpenRequest{Execution: moved.Execution, User: "u-ana", Previous: s.ID, Run: workload.Run{Engine: workload.EMRNotebook, Endpoint: ofNotebooks}})
				if err == nil {
					err = w.app.StartRun(t.Context(), app.StartRequest{SessionID: next.ID, Token: "t-" + next.ID, Spec: m.inputs[moved.Execution]})
				}
				w.pass(3 * time.Minute)
				if got := w.get(next.ID); !fault.Is(err, fault.Invalid) && got.Status == session.Active {
					t.Errorf("a kernel runs for a user revoked before it was started: %v %s", err, got.Status)
				}
			}
		})
	}
}

// S5.1: room is kept where the notebook was, so that the way back is open.
func TestS5_1TheWayBackStaysOpen(t *testing.T) {
	w, m := notebooks(t)
	s := m.run(t, churn("j-1"))
	w.pass(3 * time.Minute)
	b, err := w.app.BeginMove(t.Context(), app.MoveAsked{Execution: "arn:move:1", Session: s.ID, To: "j-2"})
	if err != nil {
		t.Fatal(err)
	}
	m.stopped(t, b.Notebook)
	other := w.open("u-bob", workload.Run{Engine: workload.EMRNotebook, Endpoint: ofNotebooks})
	err = w.app.Placed(t.Context(), other, notebookSpec{Place: "e-2/a.ipynb", Cluster: "j-1", Alone: true}.bytes())
	if !fault.Is(err, fault.Invalid) {
		t.Errorf("S5.1 another has taken, for itself, the cluster that the notebook may have to go back to: %v", err)
	}
}

// stopped asks for the stop of a notebook that is moved, until it is seen over.
func (m *movers) stopped(t *testing.T, notebook string) {
	t.Helper()
	for range 2 {
		if _, _, err := m.w.app.StopMove(t.Context(), "arn:move:1", notebook, "j-2", false); err != nil {
			t.Fatal(err)
		}
		m.w.pass(5 * time.Minute)
	}
}

// start starts the notebook where its move is at, and opens the session.
func (m *movers) start(t *testing.T, notebook string) app.MoveStart {
	t.Helper()
	moved, err := m.w.app.StartMove(t.Context(), "arn:move:1", notebook)
	if err != nil {
		t.Fatal(err)
	}
	m.open(t)
	return moved
}

// S2.10, S5.1: what the first session was told and outlived, and what is dated before
// it, does not reach the one that the move opens, whatever its mode; nor does
// anything of before reach a session that a person starts once the move is over.
func TestS5_1AMoveCarriesNoMoreThanItMust(t *testing.T) {
	for _, when := range []string{"outlived", "before the first", "started again by hand"} {
		t.Run(when, func(t *testing.T) {
			w, m := notebooks(t)
			old := w.fact(session.SignOut, "u-ana", "e-0")
			w.pass(time.Minute)
			s := m.run(t, churn("j-1"))
			w.pass(3 * time.Minute)
			out := w.fact(session.SignOut, "u-ana", "e-1")
			if when == "outlived" {
				w.say(out)
			}
			w.pass(10 * time.Minute)
			w.identity.facts[ofNotebooks] = classic // what is opened now is interactive
			b, err := w.app.BeginMove(t.Context(), app.MoveAsked{Execution: "arn:move:1", Session: s.ID, To: "j-2"})
			if err != nil {
				t.Fatal(err)
			}
			m.stopped(t, b.Notebook)
			if when == "started again by hand" {
				if _, err := w.app.EndMove(t.Context(), "arn:move:1", b.Notebook, app.Stopped); err != nil {
					t.Fatal(err)
				}
				w.say(w.fact(session.SignOut, "u-ana", "e-2")) // and signs in again
				w.pass(time.Minute)
				next, err := w.app.OpenSession(t.Context(), app.OpenRequest{Execution: "arn:execution:by-hand", User: "u-ana", Previous: s.ID, Run: workload.Run{Engine: workload.EMRNotebook, Endpoint: ofNotebooks}})
				if err != nil || next.Reach != (session.Reach{}) || next.Status != session.Active {
					t.Errorf("S2.10 %+v %v", next, err)
				}
				return
			}
			moved := m.start(t, b.Notebook)
			if when == "before the first" {
				w.say(old)
			}
			w.pass(5 * time.Minute)
			next := w.must(moved.Session, session.Active, "")
			if next.Mode != session.Interactive || !next.Reach.From.Equal(s.OpenedAt) {
				t.Errorf("S2.10 %+v", next)
			}
		})
	}
}

// S2.10, S5.1: what is written of a user and has not reached the session yet is told
// to it before a move is begun.
func TestS5_1WhatIsPendingComesBeforeAMove(t *testing.T) {
	w, m := notebooks(t)
	s := m.run(t, churn("j-1"))
	w.pass(3 * time.Minute)
	w.app.Store = &hooked{Store: w.store, ofUser: func() error { return fault.New("list", fault.Throttled, errDown) }}
	if err := w.app.Handle(t.Context(), w.fact(session.RevokeBackground, "u-ana", "e-1")); err == nil {
		t.Fatal("it was fanned out")
	}
	w.pass(10 * time.Minute)
	w.must(s.ID, session.Active, "")
	_, err := w.app.BeginMove(t.Context(), app.MoveAsked{Execution: "arn:move:1", Session: s.ID, To: "j-2"})
	if !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "is ENDING") {
		t.Errorf("S2.10 a revoked notebook is moved: %v", err)
	}
	w.must(s.ID, session.Ending, session.CauseBackgroundRevoked)
}

// S5.1: a move that dies each time it is taken up is taken up ever more seldom, and
// given up in the end: the notebook is let go of, its user and administrators are told.
func TestS5_1AMoveThatAlwaysDiesIsGivenUp(t *testing.T) {
	for _, stopped := range []bool{false, true} {
		w, m := notebooks(t)
		s := m.run(t, churn("j-1"))
		w.pass(3 * time.Minute)
		b, err := w.app.BeginMove(t.Context(), app.MoveAsked{Execution: "arn:move:1", Session: s.ID})
		if err != nil {
			t.Fatal(err)
		}
		made, err := w.app.MakeForMove(t.Context(), "arn:move:1", b.Notebook, "It is like j-1.")
		if err != nil || !strings.HasPrefix(made, "nightshift-"+b.Notebook+"-") {
			t.Fatal(made, err)
		}
		if stopped {
			if _, _, err := w.app.StopMove(t.Context(), "arn:move:1", b.Notebook, "j-2", false); err != nil {
				t.Fatal(err)
			}
		}
		m.dead["arn:move:1"] = true
		began, tries := w.now, []time.Duration{}
		for w.now.Sub(began) < 48*time.Hour {
			w.pass(time.Minute)
			for len(tries) < len(m.started) {
				m.dead[m.Execution(m.started[len(tries)])] = true
				tries = append(tries, w.now.Sub(began))
			}
		}
		if len(tries) != 24 || tries[0] > 2*time.Minute || tries[1]-tries[0] < 2*time.Minute || tries[5]-tries[4] < 30*time.Minute || tries[23] < 17*time.Hour || tries[23] > 24*time.Hour {
			t.Errorf("S5.1 taken up %d times: %v", len(tries), tries)
		}
		if n, err := w.store.Notebook(t.Context(), b.Notebook); err != nil || n.Move != (app.Move{}) {
			t.Errorf("S5.1 still claimed: %+v %v", n.Move, err)
		}
		want := map[bool]string{
			false: "has died 24 times: the move is given up. It runs under session " + s.ID + ". A cluster " + made + " may have been made for it",
			true:  "has died 24 times: the move is given up. It runs nowhere. Start it again through run.",
		}[stopped]
		for _, kind := range []string{"notice", "alert"} {
			told := 0
			for _, a := range w.says.said {
				if a.Kind == kind && strings.Contains(a.Effect.Text, want) {
					told++
				}
			}
			if told != 1 {
				t.Errorf("S5.1 %d %ss say %q", told, kind, want)
			}
		}
		if !stopped {
			w.must(s.ID, session.Active, "")
		}
	}
}

// S2.5, S5.1: of clusters, only that is ended which the move has made and nobody else
// uses; and nobody comes there once it is to be ended.
func TestS5_1OnlyItsOwnUnusedClusterIsEnded(t *testing.T) {
	w, m := notebooks(t)
	s := m.run(t, churn("j-1"))
	w.pass(3 * time.Minute)
	b, err := w.app.BeginMove(t.Context(), app.MoveAsked{Execution: "arn:move:1", Session: s.ID})
	if err != nil {
		t.Fatal(err)
	}
	unused := func(cluster string, listed map[string]string) (string, bool) {
		t.Helper()
		id, is, err := w.app.Unused(t.Context(), "arn:move:1", b.Notebook, cluster, listed)
		if err != nil {
			t.Fatal(err)
		}
		return id, is
	}
	if id, is := unused("", map[string]string{"": "j-7", "nightshift-" + b.Notebook: "j-8"}); id != "" || is {
		t.Error("S5.1 it has made none", id, is)
	}
	made, err := w.app.MakeForMove(t.Context(), "arn:move:1", b.Notebook, "")
	if err != nil {
		t.Fatal(err)
	}
	if id, is := unused("", map[string]string{"nightshift-" + b.Notebook: "j-8"}); id != "" || is {
		t.Error("S5.1 another move's", id, is)
	}
	if id, is := unused("j-1", nil); is {
		t.Error("S5.1 where it runs", id, is)
	}
	place := func(place string) error {
		other := w.open("u-bob", workload.Run{Engine: workload.EMRNotebook, Endpoint: ofNotebooks})
		return w.app.Placed(t.Context(), other, notebookSpec{Place: place, Cluster: "j-9"}.bytes())
	}
	if err := place("e-2/a.ipynb"); err != nil {
		t.Fatal(err)
	}
	if id, is := unused("j-9", nil); id != "j-9" || is {
		t.Error("S2.5 another's notebook is on it", id, is)
	}
	if id, is := unused("", map[string]string{made: "j-10"}); id != "j-10" || !is {
		t.Error("S5.1 nobody is on it", id, is)
	}
	if id, is := unused("", map[string]string{made: "j-10"}); id != "j-10" || !is {
		t.Error("S5.1 asked again", id, is)
	}
	other := w.open("u-bob", workload.Run{Engine: workload.EMRNotebook, Endpoint: ofNotebooks})
	if err := w.app.Placed(t.Context(), other, notebookSpec{Place: "e-3/a.ipynb", Cluster: "j-10"}.bytes()); !fault.Is(err, fault.Invalid) {
		t.Errorf("S2.5 a notebook comes to a cluster that is to be ended: %v", err)
	}
	if _, _, err := w.app.Unused(t.Context(), "arn:move:2", b.Notebook, "j-10", nil); !fault.Is(err, fault.Denied) {
		t.Errorf("S5.1 an execution that does not move it: %v", err)
	}
}
