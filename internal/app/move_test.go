package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

const ofNotebooks = "emr-notebook/123456789012/us-east-1"

// notebookSpec is the request of a notebook in these tests.
type notebookSpec struct {
	Place, Cluster string
	Alone          bool
	Of             string // the session that it follows
}

func (n notebookSpec) bytes() []byte {
	b, _ := json.Marshal(n) // strings always are JSON
	return b
}

// movers plays Step Functions for run and for move-notebook.
type movers struct {
	w       *world
	inputs  map[string][]byte // of executions of run, by ARN
	dead    map[string]bool
	started []string
}

func (m *movers) Input(_ context.Context, execution string) ([]byte, error) {
	if in, ok := m.inputs[execution]; ok {
		return in, nil
	}
	return nil, fault.Newf("input", fault.NotFound, "there is no execution %s", execution)
}

func (m *movers) Execution(name string) string { return "arn:execution:" + name }

func (m *movers) Run(_ context.Context, name string, input []byte) (string, error) {
	arn := m.Execution(name)
	if !slices.Contains(m.started, name) {
		m.started = append(m.started, name)
		m.inputs[arn] = input
	}
	return arn, nil
}

func (m *movers) Live(_ context.Context, execution string) (bool, error) {
	return !m.dead[execution], nil
}

// open carries out the executions of run that were started: each opens its session
// and starts its run.
func (m *movers) open(t *testing.T) {
	t.Helper()
	for _, name := range m.started {
		var n notebookSpec
		if err := json.Unmarshal(m.inputs[m.Execution(name)], &n); err != nil || n.Of == "" {
			continue
		}
		s, err := m.w.app.OpenSession(t.Context(), app.OpenRequest{Execution: m.Execution(name), User: "u-ana", Previous: n.Of, Run: workload.Run{Engine: workload.EMRNotebook, Endpoint: ofNotebooks}})
		if err == nil {
			err = m.w.app.StartRun(t.Context(), app.StartRequest{SessionID: s.ID, Token: "t-" + s.ID, Spec: n.bytes()})
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func notebooks(t *testing.T) (*world, *movers) {
	w := newWorld(t)
	m := &movers{w: w, inputs: map[string][]byte{}, dead: map[string]bool{}}
	w.app.Engines["emr-notebook"] = w.engine
	w.identity.facts[ofNotebooks] = yes
	w.app.Runs, w.app.Moves = m, m
	w.app.Spec = func(input []byte) ([]byte, error) { return input, nil }
	w.app.Placing = func(spec []byte) (app.Placement, bool) {
		var n notebookSpec
		err := json.Unmarshal(spec, &n)
		return app.Placement{Place: n.Place, Cluster: n.Cluster, Alone: n.Alone}, err == nil && n.Place != ""
	}
	w.app.Elsewhere = func(input []byte, of, cluster string, alone bool) ([]byte, error) {
		var n notebookSpec
		err := json.Unmarshal(input, &n)
		n.Of, n.Cluster, n.Alone = of, cluster, alone
		return n.bytes(), err
	}
	return w, m
}

// run starts a notebook through the two steps of run.
func (m *movers) run(t *testing.T, n notebookSpec) session.Session {
	t.Helper()
	s := m.w.open("u-ana", workload.Run{Engine: workload.EMRNotebook, Endpoint: ofNotebooks})
	entries := m.w.history(s.ID)
	m.inputs[entries[0].Event.Evidence] = n.bytes()
	if err := m.w.app.StartRun(t.Context(), app.StartRequest{SessionID: s.ID, Token: "t-" + s.ID, Spec: n.bytes()}); err != nil {
		t.Fatal(err)
	}
	return m.w.get(s.ID)
}

func churn(cluster string) notebookSpec {
	return notebookSpec{Place: "e-1/churn.ipynb", Cluster: cluster}
}

// S5.1: an execution whose move was taken over touches nothing any more, whatever of
// it comes late; each step that is repeated does nothing twice.
func TestS5_1AMoveIsOneExecutions(t *testing.T) {
	w, m := notebooks(t)
	s := m.run(t, churn("j-1"))
	w.pass(3 * time.Minute)
	begin := func(x string) (app.Moving, error) {
		return w.app.BeginMove(t.Context(), app.MoveAsked{Execution: x, Session: s.ID, To: "j-2"})
	}
	first, err := begin("arn:move:1")
	if again, err2 := begin("arn:move:1"); err != nil || err2 != nil || again != first || first.From != "j-1" || first.To != "" {
		t.Fatalf("%+v %v, again %+v %v", first, err, again, err2)
	}
	if _, err := begin("arn:move:2"); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "being moved already") {
		t.Errorf("S5.1 claimed twice: %v", err)
	}
	stop := func(x string) bool {
		over, ended, err := w.app.StopMove(t.Context(), x, first.Notebook, "j-2", false)
		if err != nil || ended {
			t.Fatalf("%s: %t %v", x, ended, err)
		}
		return over
	}
	if stop("arn:move:1") {
		t.Error("S5.1 it is over at once")
	}
	resume := app.MoveAsked{Execution: "arn:move:3", Notebook: first.Notebook}
	if _, err := w.app.BeginMove(t.Context(), resume); !fault.Is(err, fault.Denied) {
		t.Errorf("S5.1 a move whose execution lives was taken over: %v", err)
	}
	m.dead["arn:move:1"] = true
	taken, err := w.app.BeginMove(t.Context(), resume)
	if err != nil || taken.To != "j-2" || taken.Back || taken.Session != s.ID {
		t.Fatalf("%+v %v", taken, err)
	}
	if _, _, err := w.app.StopMove(t.Context(), "arn:move:1", first.Notebook, "j-2", true); !fault.Is(err, fault.Denied) {
		t.Errorf("S5.1 the execution that lost the move stops: %v", err)
	}
	w.pass(10 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseStopRequested)
	if x, err := w.app.StartMove(t.Context(), "arn:move:1", first.Notebook); !fault.Is(err, fault.Denied) {
		t.Errorf("S5.1 the execution that lost the move starts: %+v %v", x, err)
	}
	if text, err := w.app.EndMove(t.Context(), "arn:move:1", first.Notebook, app.Stopped); text != "" || err != nil {
		t.Errorf("S5.1 the execution that lost the move ends it: %q %v", text, err)
	}
	if !stop("arn:move:3") {
		t.Fatal("it is not over")
	}
	started, err := w.app.StartMove(t.Context(), "arn:move:3", first.Notebook)
	again, err2 := w.app.StartMove(t.Context(), "arn:move:3", first.Notebook)
	if err != nil || err2 != nil || started != again || started.Cluster != "j-2" {
		t.Fatalf("%+v %v, again %+v %v", started, err, again, err2)
	}
	if state, _, err := w.app.LookMove(t.Context(), started); state != app.MoveStarting || err != nil {
		t.Errorf("%s %v", state, err)
	}
	m.open(t)
	// Its answer was lost, and the step is repeated, when the session is open.
	if late, err := w.app.StartMove(t.Context(), "arn:move:3", first.Notebook); err != nil || late.Session != started.Session {
		t.Errorf("S5.1 started again: %+v %v", late, err)
	}
	if !stop("arn:move:3") { // a resumed move begins here again
		t.Error("S5.1 what the move itself has started is stopped")
	}
	w.pass(3 * time.Minute)
	if state, _, err := w.app.LookMove(t.Context(), started); state != app.MoveRunning || err != nil {
		t.Errorf("%s %v", state, err)
	}
	if text, err := w.app.EndMove(t.Context(), "arn:move:3", first.Notebook, app.Moved); err != nil || !strings.Contains(text, "kernel") {
		t.Errorf("%q %v", text, err)
	}
	if len(w.engine.order) != 2 || len(m.started) != 1 {
		t.Errorf("S5.1 the engine was asked for %d runs, executions are %v", len(w.engine.order), m.started)
	}
	m.dead[started.Execution] = true
	if state, why, err := w.app.LookMove(t.Context(), app.MoveStart{Execution: started.Execution, Session: "s-never", Cluster: "j-2"}); state != app.MoveFailed || why == "" || err != nil {
		t.Errorf("an execution that died before it opened a session: %s %q %v", state, why, err)
	}
}

// S5.1: a notebook whose user signs out, or is disabled, between its stop and its
// start is started nowhere; what somebody else's event says changes nothing.
func TestS5_1NothingStartsForAUserWhoLeft(t *testing.T) {
	for _, c := range []struct {
		name  string
		facts session.Facts
		kind  session.Kind
		user  string
		ended bool
	}{
		{"signs out, interactive", classic, session.SignOut, "u-ana", true},
		{"signs out, background", yes, session.SignOut, "u-ana", false},
		{"is revoked, background", yes, session.RevokeBackground, "u-ana", true},
		{"is disabled", yes, session.UserDisabled, "u-ana", true},
		{"another signs out", classic, session.SignOut, "u-bob", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, m := notebooks(t)
			w.identity.facts[ofNotebooks] = c.facts
			s := m.run(t, churn("j-1"))
			w.pass(3 * time.Minute)
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
			w.pass(10 * time.Minute)
			if _, ended := stop(); ended {
				t.Fatal("it ended before anybody left")
			}
			w.say(w.fact(c.kind, c.user, "e-1"))
			w.pass(time.Minute)
			if over, ended := stop(); !over || ended != c.ended {
				t.Errorf("S5.1 over %t, ended %t, want %t", over, ended, c.ended)
			}
		})
	}
}

// S5.1: the sweep takes up what died, once, and leaves alone what lives.
func TestS5_1SweepTakesMovesUp(t *testing.T) {
	w, m := notebooks(t)
	s := m.run(t, churn("j-1"))
	w.pass(3 * time.Minute)
	if _, err := w.app.BeginMove(t.Context(), app.MoveAsked{Execution: "arn:move:1", Session: s.ID, To: "j-2"}); err != nil {
		t.Fatal(err)
	}
	w.pass(5 * time.Minute)
	if len(m.started) != 0 {
		t.Errorf("S5.1 a move that lives was taken up: %v", m.started)
	}
	m.dead["arn:move:1"] = true
	w.pass(5 * time.Minute)
	if len(m.started) != 1 || !strings.HasPrefix(m.started[0], "resume-") || !strings.Contains(string(m.inputs[m.Execution(m.started[0])]), `{"resume":"n-`) {
		t.Errorf("S5.1 taken up by %v", m.started)
	}
}

// S5.1: of notebooks that ask in one moment for a cluster of their own, one gets it,
// by condition; and what shares shares.
func TestS5_1OneClusterPerNotebook(t *testing.T) {
	for _, c := range []struct {
		alone [2]bool
		want  int64
	}{{[2]bool{true, true}, 1}, {[2]bool{true, false}, 1}, {[2]bool{false, false}, 2}} {
		for range 25 {
			w, _ := notebooks(t)
			var opened [2]session.Session
			for i := range opened {
				opened[i] = w.open("u-ana", workload.Run{Engine: workload.EMRNotebook, Endpoint: ofNotebooks})
			}
			var placed atomic.Int64
			var wg sync.WaitGroup
			for i, s := range opened {
				wg.Go(func() {
					n := notebookSpec{Place: fmt.Sprintf("e-%d/a.ipynb", i), Cluster: "j-1", Alone: c.alone[i]}
					if err := w.app.Placed(t.Context(), s, n.bytes()); err == nil {
						placed.Add(1)
					} else if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "is taken") {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if got := placed.Load(); got != c.want {
				t.Errorf("S5.1 alone %v: %d notebooks got the cluster, want %d", c.alone, got, c.want)
			}
		}
	}
}
