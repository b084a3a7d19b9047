package local_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/asl"
	"nightshift/internal/engine/simrun"
	"nightshift/internal/local"
	"nightshift/internal/session"
	"nightshift/statemachines"
)

// notebookInput starts churn.ipynb, or another path, on the first cluster.
func notebookInput(path, more string) string {
	return fmt.Sprintf(`{"user":"u-ana","engine":"emr-notebook","endpoint":%q,"interactiveSession":{"id":"is-ana","source":"portal"},"spec":{
		"ExecutionEngine":{"Id":%q,"Type":"EMR"},"ServiceRole":"EMR_Notebooks_DefaultRole","EditorId":"e-CHURN","RelativePath":%q,
		"OutputNotebookS3Location":{"Bucket":"notebooks","Key":"out"}%s}}`, local.EMRNotebook, local.NotebookCluster, path, more)
}

// moved is a local system in which a notebook runs, and how it is moved.
type moved struct {
	*awsUser
	first  *asl.Execution // of run
	said   []string       // texts of the notices about moves
	others []string       // sessions of other notebooks
}

func openMoved(t *testing.T) *moved {
	t.Helper()
	m := &moved{awsUser: awsOpen(t, local.Options{Histories: 10_000})}
	m.s.OnAnnounced(func(a local.Announced) {
		var d struct{ Notice, Text string }
		if err := json.Unmarshal(a.Detail, &d); err != nil {
			t.Error(err)
		}
		if d.Notice == app.NoticeMoved {
			m.said = append(m.said, d.Text)
		}
	})
	m.first = m.execute(statemachines.Run, "notebook", notebookInput("churn.ipynb", ""))
	m.pass(5 * time.Minute)
	return m
}

func (m *moved) move(name, to string) *asl.Execution {
	m.t.Helper()
	return m.execute(statemachines.MoveNotebook, name, fmt.Sprintf(`{"session":%q,%s}`, app.SessionOfExecution(m.first.ARN()), to))
}

const toSecond = `"to":{"cluster":"` + local.SecondCluster + `"}`

// kernels are the executions of the one notebook, oldest first. No two of them ever
// lived at once: that is checked here, from what the engine saw.
func (m *moved) kernels() []simrun.Record {
	m.t.Helper()
	all := slices.DeleteFunc(m.s.Notebooks.Runs(), func(r simrun.Record) bool { return slices.Contains(m.others, r.Session) })
	slices.SortFunc(all, func(a, b simrun.Record) int { return a.Created.Compare(b.Created) })
	for i := 1; i < len(all); i++ {
		if all[i-1].Ended.IsZero() || all[i].Created.Before(all[i-1].Ended) {
			m.t.Errorf("S5.1 two kernels at once: %+v and %+v", all[i-1], all[i])
		}
	}
	return all
}

// notebook is churn.ipynb's record.
func (m *moved) notebook() app.Notebook {
	m.t.Helper()
	return sent(m.s.Store.Notebook(m.t.Context(), m.recorded()))(m.t)
}

// on checks on which cluster the notebook runs now; "" is nowhere.
func (m *moved) on(cluster string) {
	m.t.Helper()
	got := ""
	for _, r := range m.notebook().Runs {
		if s := sent(m.s.Store.Session(m.t.Context(), r.Session))(m.t); s.Status == session.Active {
			got += r.Cluster
			if s.Run.Cluster != r.Cluster || s.User != "u-ana" {
				m.t.Errorf("session %s runs on %s, recorded is %s", s.ID, s.Run.Cluster, r.Cluster)
			}
		}
	}
	if got != cluster {
		m.t.Errorf("S5.1 the notebook runs on %q, want %q", got, cluster)
	}
	if m.notebook().Move.ID != "" {
		m.t.Errorf("S5.1 the notebook is still claimed: %+v", m.notebook().Move)
	}
}

const whole = "SUCCEEDED Begin Resumed LookFrom Target Look Subnets Judge Ready Stop Stopped Grace Stop Stopped Start Started Follow Settle Started Follow Settle Started Follow Arrived End Outcome Moved"

// squeezed leaves out how often a path went round, and whether a look at a start
// came before its answer or after, which at one moment is chance.
func squeezed(path string) string {
	path = strings.ReplaceAll(path, " Settle Started Follow", "")
	for _, round := range []string{" Grace Stop Stopped", " Starting Look Subnets Judge Ready", " Grace Restart Decide"} {
		for strings.Contains(path, round+round) {
			path = strings.ReplaceAll(path, round+round, round)
		}
	}
	return path
}

// S5.1: to a cluster that is there, and on to another.
func TestS5_1MoveNotebook(t *testing.T) {
	m := openMoved(t)
	e := m.move("there", toSecond+`,"why":"it is full"`)
	m.pass(10 * time.Minute)
	if got := squeezed(outcome(e)); got != squeezed(whole) {
		_, cause := e.Failure()
		t.Fatalf("%s %s", got, cause)
	}
	m.on(local.SecondCluster)
	kernels := m.kernels()
	if len(kernels) != 2 || kernels[0].By != simrun.StopRequest || kernels[1].Phase != simrun.Running {
		t.Errorf("%+v", kernels)
	}
	old := app.SessionOfExecution(m.first.ARN())
	next := sent(m.s.App.Successor(t.Context(), old))(t)
	var out struct{ Text, Session, Cluster string }
	if err := json.Unmarshal(e.Output(), &out); err != nil || out.Session != next || out.Cluster != local.SecondCluster {
		t.Errorf("%s %v, want session %s", e.Output(), err, next)
	}
	want := "Your notebook e-CHURN/churn.ipynb was moved from cluster " + local.NotebookCluster + " to " + local.SecondCluster + " and runs there, under session " + next +
		". It was moved because: it is full. What was moved is the notebook's execution: the state of its kernel (variables, loaded data) is lost; the notebook as executed so far is kept at s3://notebooks/out/" + kernels[0].ID + ".ipynb."
	if len(m.said) != 1 || m.said[0] != want || out.Text != want {
		t.Errorf("S5.1 the user is told %q\nwant %q", m.said, want)
	}
	s := sent(m.s.Store.Session(t.Context(), next))(t)
	if s.Previous != old || s.Interactive.ID != "is-ana" {
		t.Errorf("%+v", s)
	}
	again := m.execute(statemachines.MoveNotebook, "back", `{"session":"`+next+`","to":{"cluster":"`+local.NotebookCluster+`"}}`)
	m.pass(10 * time.Minute)
	if again.Status() != asl.Succeeded {
		t.Errorf("%s", outcome(again))
	}
	m.on(local.NotebookCluster)
	if len(m.kernels()) != 3 {
		t.Errorf("%+v", m.kernels())
	}
}

// S5.1: to a new cluster, of one node, made like the old one, that no other
// notebook may use.
func TestS5_1MoveToANewCluster(t *testing.T) {
	m := openMoved(t)
	e := m.move("new", `"to":{"newCluster":{"instanceType":"m5.xlarge"}},"alone":true`)
	m.pass(4 * time.Minute)
	m.on2(t, 1) // it runs on while the cluster starts
	m.pass(16 * time.Minute)
	if got := squeezed(outcome(e)); got != "SUCCEEDED Begin Resumed LookFrom Target Actions Design Create Look Subnets Judge Ready Starting Look Subnets Judge Ready Stop Stopped Grace Stop Stopped Start Started Follow Arrived End Outcome Moved" {
		_, cause := e.Failure()
		t.Fatalf("%s %s", got, cause)
	}
	ids, asked := m.s.Notebooks.Made()
	if len(ids) != 1 || !strings.Contains(string(asked[0]), `"InstanceGroups":[{"InstanceCount":1,"InstanceRole":"MASTER","InstanceType":"m5.xlarge"}]`) || !strings.Contains(string(asked[0]), `"IdleTimeout":3600`) {
		t.Fatalf("%v %s", ids, asked)
	}
	m.on(ids[0])
	m.kernels()
	// Another notebook finds it taken.
	other := m.execute(statemachines.Run, "other", strings.Replace(notebookInput("other.ipynb", ""), local.NotebookCluster, ids[0], 1))
	m.pass(2 * time.Minute)
	if _, cause := other.Failure(); other.Status() != asl.Failed || !strings.Contains(cause, "is taken") {
		t.Errorf("S5.1 another notebook: %s %s", outcome(other), cause)
	}
	// It ends by itself once its notebook has.
	if err := m.s.Abort(m.runOf()); err != nil {
		t.Fatal(err)
	}
	m.pass(90 * time.Minute)
	if again := m.execute(statemachines.Run, "again", strings.Replace(notebookInput("third.ipynb", ""), local.NotebookCluster, ids[0], 1)); true {
		m.pass(2 * time.Minute)
		if _, cause := again.Failure(); !strings.Contains(cause, "not in a valid state") {
			t.Errorf("the cluster that was made is still there: %s %s", outcome(again), cause)
		}
	}
}

// on2 checks how many kernels live now.
func (m *moved) on2(t *testing.T, want int) {
	t.Helper()
	live := 0
	for _, k := range m.kernels() {
		if !k.Phase.Over() {
			live++
		}
	}
	if live != want {
		t.Errorf("%d kernels live, want %d", live, want)
	}
}

// runOf is the execution of run that the notebook's live session waits in.
func (m *moved) runOf() string {
	runs := m.notebook().Runs
	return m.s.ExecutionOf(runs[len(runs)-1].Session)
}

// Each way in which nothing is touched.
func TestS5_1MoveRefused(t *testing.T) {
	const looked = "FAILED Begin Resumed LookFrom Target Look "
	for _, c := range []struct {
		name, to   string
		plan       func(*moved)
		want, says string
	}{
		{"another VPC", `"to":{"cluster":"` + local.ForeignCluster + `"}`, nil, looked + "Subnets Judge Ready Discard End Outcome Refused MoveRefused", "within its VPC only"},
		{"a cluster that is gone", toSecond, func(m *moved) { m.s.Notebooks.Terminate(local.SecondCluster) }, looked + "Subnets Judge Ready Discard End Outcome Refused MoveRefused", "is TERMINATED"},
		{"a cluster that never was", `"to":{"cluster":"j-NEVERWAS"}`, nil, looked + "Discard End Outcome Refused MoveRefused", "not valid"},
		{"the cluster where it is", `"to":{"cluster":"` + local.NotebookCluster + `"}`, nil, "FAILED Begin Rejected InvalidInput", "already"},
		{"networks cannot be read", toSecond, func(m *moved) { m.s.EC2.Refuse("DescribeSubnets", 403, "UnauthorizedOperation") }, looked + "Subnets Discard End Outcome Refused MoveRefused", "authorized"},
		{"no new cluster is made", `"to":{"newCluster":{"instanceType":"m5.xlarge"}}`, func(m *moved) { m.s.Notebooks.RefuseClusters(true, false) },
			"FAILED Begin Resumed LookFrom Target Actions Design Create Discard Find Unused Spare Find Unused Spare End Outcome Refused MoveRefused", "service role"},
		{"the new cluster fails to start", `"to":{"newCluster":{"instanceType":"m5.xlarge"}}`, func(m *moved) { m.s.Notebooks.RefuseClusters(false, true) },
			"FAILED Begin Resumed LookFrom Target Actions Design Create Look Subnets Judge Ready Starting Look Subnets Judge Ready Discard Unused Spare Terminate End Outcome Refused MoveRefused", "bootstrap action"},
		{"nothing to make a cluster like", `"to":{"newCluster":{}}`, nil, "FAILED Begin Rejected InvalidInput", "instanceType is missing"},
		{"the target is another's alone", toSecond, func(m *moved) {
			m.execute(statemachines.Run, "alone", strings.Replace(notebookInput("alone.ipynb", `,"Tags":[{"Key":"nightshift:alone","Value":"true"}]`), local.NotebookCluster, local.SecondCluster, 1))
			m.pass(3 * time.Minute)
		}, looked + "Subnets Judge Ready Stop Untouched Discard End Outcome Refused MoveRefused", "for itself"},
		{"alone, where another is", toSecond + `,"alone":true`, func(m *moved) {
			m.execute(statemachines.Run, "other", strings.Replace(notebookInput("other.ipynb", ""), local.NotebookCluster, local.SecondCluster, 1))
			m.pass(3 * time.Minute)
		}, looked + "Subnets Judge Ready Stop Untouched Discard End Outcome Refused MoveRefused", "a cluster of its own"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := openMoved(t)
			if c.plan != nil {
				c.plan(m)
			}
			e := m.move("move", c.to)
			m.pass(30 * time.Minute)
			name, cause := e.Failure()
			if got := squeezed(outcome(e)); got != c.want || !strings.Contains(cause, c.says) {
				t.Errorf("got  %s %s: %s\nwant %s, which says %s", got, name, cause, c.want, c.says)
			}
			if s := m.session(m.first); s.Status != session.Active || len(m.said) != 0 {
				t.Errorf("S5.1 it was touched: %s %s, said %q", s.Status, s.End.Cause, m.said)
			}
			if n := m.notebook(); n.Move.ID != "" {
				t.Errorf("it is still claimed: %+v", n.Move)
			}
		})
	}
}

// recorded is the id of churn.ipynb's record.
func (m *moved) recorded() string {
	all, _, err := m.s.Store.Notebooks(m.t.Context(), "")
	i := slices.IndexFunc(all, func(n app.Notebook) bool { return n.Place == "e-CHURN/churn.ipynb" })
	if err != nil || i < 0 {
		m.t.Fatalf("%+v %v", all, err)
	}
	return all[i].ID
}

// Each way in which it was stopped and does not run where it was to.
func TestS5_1MoveFails(t *testing.T) {
	const stopped = "FAILED Begin Resumed LookFrom Target Look Subnets Judge Ready Stop Stopped Grace Stop Stopped "
	for _, c := range []struct {
		name           string
		after          time.Duration // from the start of the move
		do             func(*moved)
		path, text, on string
		kernels        int
	}{
		{"the target is gone when it comes", 10 * time.Second, func(m *moved) { m.s.Notebooks.Terminate(local.SecondCluster) },
			stopped + "Start Started Follow Turn TurnBack Stop Stopped Start Started Follow WentBack Discard End Outcome Failed MovedBack", "could not be started on cluster " + local.SecondCluster, local.NotebookCluster, 2},
		{"both clusters are gone", 40 * time.Second, func(m *moved) {
			m.s.Notebooks.Terminate(local.SecondCluster)
			m.s.Notebooks.Terminate(local.NotebookCluster)
		}, stopped + "Start Started Follow Turn TurnBack Stop Stopped Start Started Follow Turn Nowhere Discard End Outcome Failed NotebookStopped", "it runs nowhere", "", 2},
		{"its user signs out while it is stopped", 10 * time.Second, func(m *moved) { m.signOut("u-ana", "nightshift") },
			stopped + "EndedMeanwhile Discard End Outcome Failed NotebookEnded", "is not started again", "", 2},
		{"alone, and back on a cluster that it shares", 10 * time.Second, func(m *moved) { m.s.Notebooks.Terminate(local.SecondCluster) },
			stopped + "Start Started Follow Turn TurnBack Stop Stopped Start Started Follow WentBack Discard End Outcome Failed MovedBack", "could not be started on cluster " + local.SecondCluster, local.NotebookCluster, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, to := openMoved(t), toSecond
			if strings.HasPrefix(c.name, "alone") {
				to += `,"alone":true`
				beside := m.execute(statemachines.Run, "beside", notebookInput("beside.ipynb", ""))
				m.others = append(m.others, app.SessionOfExecution(beside.ARN()))
				m.pass(3 * time.Minute)
				defer func() {
					if beside.Status() != asl.Running {
						t.Error("the other notebook was touched")
					}
				}()
			}
			if c.text == "is not started again" { // only an interactive session ends with a sign-out
				m = openInteractive(t)
			}
			e := m.move("move", to)
			m.pass(c.after)
			c.do(m)
			m.pass(30 * time.Minute)
			_, cause := e.Failure()
			if got := squeezed(outcome(e)); got != c.path {
				t.Errorf("got  %s %s\nwant %s", got, cause, c.path)
			}
			m.on(c.on)
			if k := m.kernels(); len(k) != c.kernels {
				t.Errorf("%d kernels were started, want %d: %+v", len(k), c.kernels, k)
			}
			if len(m.said) != 1 || !strings.Contains(m.said[0], c.text) || !strings.HasPrefix(cause, m.said[0]) || !strings.Contains(m.said[0], "s3://notebooks/out/") {
				t.Errorf("S5.1 said %q, cause %q", m.said, cause)
			}
		})
	}
}

// openInteractive is openMoved where notebooks end with their user's sign-out.
func openInteractive(t *testing.T) *moved {
	t.Helper()
	m := openMoved(t)
	if err := m.s.Abort(m.first.ARN()); err != nil {
		t.Fatal(err)
	}
	m.pass(10 * time.Minute)
	m.s.Directory.SetFacts(local.EMRNotebook, "", session.Facts{IdentityPropagation: session.On, ApplicationBackground: session.Off})
	m.first = m.execute(statemachines.Run, "interactive", notebookInput("churn.ipynb", ""))
	m.pass(5 * time.Minute)
	return m
}

// S5.1: whenever an execution of the machine is killed, there never are two kernels,
// and in the end the notebook runs on one of the two clusters, let go of.
func TestS5_1AMoveThatDiesGoesOn(t *testing.T) {
	died, ends := 0, map[string]int{}
	for after := time.Duration(0); after <= 6*time.Minute; after += 15 * time.Second {
		m := openMoved(t)
		e := m.move("killed", toSecond)
		m.pass(after)
		if e.Status() == asl.Running {
			died++
		}
		_ = m.s.Abort(e.ARN()) // it may be over
		m.pass(30 * time.Minute)
		m.on2(t, 1)
		runs := m.notebook().Runs
		cluster := runs[len(runs)-1].Cluster
		m.on(cluster)
		ends[cluster]++
		if t.Failed() {
			t.Fatalf("killed after %s", after)
		}
	}
	if died < 8 || ends[local.SecondCluster] < 8 {
		t.Errorf("%d executions were killed, and the notebooks ended on %v: the test looked at too little", died, ends)
	}
}

// S5.1: nor is a cluster left behind that an execution made before it was killed: where
// the notebook does not run on it, it is ended long before it would end by itself.
func TestS5_1AClusterThatWasMadeIsNotLeftBehind(t *testing.T) {
	ended, kept := 0, 0
	for after := 5 * time.Second; after <= 9*time.Minute; after += 45 * time.Second {
		m := openMoved(t)
		e := m.move("killed", `"to":{"newCluster":{"instanceType":"m5.xlarge"}}`)
		m.pass(after)
		_ = m.s.Abort(e.ARN()) // it may be over
		m.pass(15 * time.Minute)
		ids, asked := m.s.Notebooks.Made()
		if len(ids) != 1 || !strings.Contains(string(asked[0]), `"Name":"nightshift-`+m.recorded()+"-") || !strings.Contains(string(asked[0]), "s3://bootstrap/background-sessions.sh") ||
			!strings.Contains(string(asked[0]), "sg-0a1b2c3d4e5f6000d") {
			t.Fatalf("S5.1 killed after %s: %d clusters were made: %s", after, len(ids), asked)
		}
		runs := m.notebook().Runs
		on := runs[len(runs)-1].Cluster
		m.on(on)
		m.on2(t, 1)
		switch state := m.s.Notebooks.State(ids[0]); {
		case on == ids[0] && state == "RUNNING":
			kept++
		case on == local.NotebookCluster && state == "TERMINATED":
			ended++
		default:
			t.Errorf("S5.1 killed after %s: the notebook runs on %s, and the cluster %s, which was made, is %s", after, on, ids[0], state)
		}
	}
	if ended < 5 || kept < 3 {
		t.Errorf("%d clusters were ended, %d kept: the test looked at too little", ended, kept)
	}
}

// A notebook runs on one cluster at a time, and is not started elsewhere while it
// is moved.
func TestS5_1OneClusterAtATime(t *testing.T) {
	m := openMoved(t)
	elsewhere := strings.Replace(notebookInput("churn.ipynb", ""), local.NotebookCluster, local.SecondCluster, 1)
	run := func(name, input string) (string, string) {
		e := m.execute(statemachines.Run, name, input)
		m.pass(30 * time.Second)
		_, cause := e.Failure()
		return string(e.Status()), cause
	}
	if status, cause := run("elsewhere", elsewhere); status != "FAILED" || !strings.Contains(cause, "one cluster at a time") {
		t.Errorf("S5.1 on another cluster: %s %s", status, cause)
	}
	if status, cause := run("beside", notebookInput("churn.ipynb", `,"NotebookParams":"{\"week\":2}"`)); status != "RUNNING" {
		t.Errorf("S5.1 twice on its cluster: %s %s", status, cause)
	}
	e := m.move("two", toSecond)
	m.pass(time.Minute)
	if _, cause := e.Failure(); outcome(e) != "FAILED Begin Rejected InvalidInput" || !strings.Contains(cause, "2 times") {
		t.Errorf("S5.1 one of two executions was moved: %s %s", outcome(e), cause)
	}
	m = openMoved(t)
	first, second := m.move("first", toSecond), m.move("second", toSecond)
	m.pass(40 * time.Second) // stopped, and not started yet
	if status, cause := run("meanwhile", elsewhere); status != "FAILED" || !strings.Contains(cause, "is being moved") {
		t.Errorf("S5.1 started while it is moved: %s %s", status, cause)
	}
	m.pass(10 * time.Minute)
	if second.Status() == asl.Succeeded { // either may come first
		first, second = second, first
	}
	if _, cause := second.Failure(); first.Status() != asl.Succeeded || outcome(second) != "FAILED Begin Rejected InvalidInput" || !strings.Contains(cause, "being moved already") && !strings.Contains(cause, "is ENDING") {
		t.Errorf("S5.1 moved twice at once: %s; %s %s", outcome(first), outcome(second), cause)
	}
	m.on(local.SecondCluster)
}
