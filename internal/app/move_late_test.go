package app_test

import (
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
	for _, when := range []string{"before the move", "after the stop was seen"} {
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
	for range 2 {
		if _, _, err := w.app.StopMove(t.Context(), "arn:move:1", b.Notebook, "j-2", false); err != nil {
			t.Fatal(err)
		}
		w.pass(5 * time.Minute)
	}
	other := w.open("u-bob", workload.Run{Engine: workload.EMRNotebook, Endpoint: ofNotebooks})
	err = w.app.Placed(t.Context(), other, notebookSpec{Place: "e-2/a.ipynb", Cluster: "j-1", Alone: true}.bytes())
	if !fault.Is(err, fault.Invalid) {
		t.Errorf("S5.1 another has taken, for itself, the cluster that the notebook may have to go back to: %v", err)
	}
}
