package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Executions starts executions of a machine and says which executions live.
type Executions interface {
	Runs
	// Live says whether an execution, of any machine, is still under way; one that
	// is not known any more is not.
	Live(ctx context.Context, execution string) (bool, error)
}

// Elsewhere makes the input of the next run of a notebook, as the one that follows
// a session: on a cluster, and asking for one of its own or not. Its errors are of
// kind Invalid.
type Elsewhere func(input []byte, of, cluster string, alone bool) ([]byte, error)

// Keeper is an Engine that keeps what a run has made so far, such as the executed
// notebook.
type Keeper interface {
	// Kept is where it is; "" where the run said none, or it is not known.
	Kept(ctx context.Context, run workload.Run) (location string, err error)
}

// moveHold is how long room on a cluster is kept for a notebook on its way: longer
// than a move may take between its stop and its start. It ends with the move.
const moveHold = 3 * time.Hour

// AlertMoveGivenUp is the name of the alert about a move that died as often as it is
// taken up again.
const AlertMoveGivenUp = "move-given-up"

// A move whose execution died is taken up again at once, then after two minutes, and
// so on twice as long up to an hour, resumesMax times: most of a day. Then it is given
// up, and the user and administrators are told: what failed so often stays so until a
// person mends it.
const (
	resumesMax  = 24
	resumeAfter = time.Minute
	resumeLast  = time.Hour
)

// NoticeMoved is the name of the notice that tells what became of a move.
const NoticeMoved = "moved"

// How a move can end.
const (
	Moved   = "moved"   // it runs on the new cluster
	Back    = "back"    // it could not be started there and runs where it ran
	Stopped = "stopped" // it could be started nowhere
	Ended   = "ended"   // it ended for a reason of its own, so that nothing was started
	Stayed  = "stayed"  // nothing of it was touched
	GivenUp = "given-up"
)

// MoveAsked is what somebody wants of a move.
type MoveAsked struct {
	Execution string // ARN of the execution of move-notebook
	Session   string // whose run is to be moved; "" where Notebook is given
	Notebook  string // id of a notebook whose move died
	To        string // cluster; "" where one is to be made
	New       []byte // what was asked of a new cluster, as it came; nil where the cluster is there
	Alone     bool
	Why       string // for the record
}

// Moving is a move under way.
type Moving struct {
	Notebook string
	Place    string
	Session  string // that was asked for
	User     string
	Endpoint string
	From, To string // clusters
	Back     bool
	Made     string // name of the cluster that was asked for; "" where none was
}

func moving(n Notebook, user string) Moving {
	return Moving{Notebook: n.ID, Place: n.Place, Session: n.Move.Session, User: user, Endpoint: n.Endpoint, From: n.Move.From, To: n.Move.To, Back: n.Move.Back, Made: n.Move.Made}
}

// BeginMove claims a notebook for a move, or takes over one whose execution died:
// that goes on with what is recorded. Repeating it changes nothing.
func (a *App) BeginMove(ctx context.Context, m MoveAsked) (Moving, error) {
	const op = "move notebook"
	if m.Session == "" {
		return a.takeOver(ctx, m)
	}
	since := a.Now()
	s, err := a.upToDate(ctx, m.Session)
	if fault.Is(err, fault.NotFound) {
		return Moving{}, fault.New(op, fault.Denied, &Refusal{Reason: "there is no session " + m.Session, Remedy: "Name the session of a notebook that runs."})
	}
	if err != nil {
		return Moving{}, err
	}
	spec, err := a.movable(ctx, s)
	if err != nil {
		return Moving{}, err
	}
	p, ok := a.Placing(spec)
	if !ok {
		return Moving{}, fault.New(op, fault.Denied, &Refusal{Reason: "the request of the run names no notebook", Remedy: "Only notebooks are moved."})
	}
	if p.Cluster == m.To {
		return Moving{}, fault.New(op, fault.Denied, &Refusal{Reason: "the notebook runs on " + m.To + " already", Remedy: "Name another cluster."})
	}
	n, err := a.changeNotebook(ctx, notebookID(s.Run.Endpoint, p.Place), func(n *Notebook) (bool, error) {
		if n.Move.ID == m.Execution {
			return false, nil
		}
		if n.Move.ID != "" {
			return false, fault.New(op, fault.Denied, &Refusal{Reason: "it is being moved already, by " + n.Move.ID,
				Remedy: "Wait for that to end. Where its execution died, it is taken up again within minutes."})
		}
		if err := a.lonely(ctx, *n, s.ID); err != nil {
			return false, err
		}
		n.Endpoint, n.Place = s.Run.Endpoint, p.Place
		n.Move = Move{ID: m.Execution, Session: s.ID, From: p.Cluster, Alone: m.Alone || p.Alone, Before: p.Alone, Since: since, Why: m.Why}
		return true, nil
	})
	return moving(n, s.User), err
}

// upToDate is a session that has been told what is known of its user: what comes
// after that, the session that follows it hears (reach).
func (a *App) upToDate(ctx context.Context, id string) (session.Session, error) {
	s, err := a.Store.Session(ctx, id)
	if err != nil || s.Status != session.Active {
		return s, err
	}
	u, err := a.Store.User(ctx, s.User)
	for _, f := range u.Pending {
		if err == nil && (f.Run == (workload.Ref{}) || f.Run == s.Run.Ref()) {
			s, err = a.Apply(ctx, id, f)
		}
	}
	return s, err
}

// movable is the engine's request of a session's run, where that can be started
// elsewhere.
func (a *App) movable(ctx context.Context, s session.Session) ([]byte, error) {
	const op = "move notebook"
	switch {
	case s.Run.Engine != workload.EMRNotebook:
		return nil, fault.New(op, fault.Denied, &Refusal{Reason: "session " + s.ID + " is no notebook's: its engine is " + string(s.Run.Engine), Remedy: "Only notebook executions are moved."})
	case s.Status != session.Active:
		return nil, fault.New(op, fault.Denied, &Refusal{Reason: "session " + s.ID + " is " + string(s.Status), Remedy: "Start the notebook on the other cluster."})
	}
	input, err := a.inputOf(ctx, s)
	if err != nil {
		return nil, err
	}
	return a.Spec(input)
}

// inputOf is with what the execution of run was started that opened a session.
func (a *App) inputOf(ctx context.Context, s session.Session) ([]byte, error) {
	const op = "read how a run was started"
	execution, err := a.executionOf(ctx, s)
	if err != nil {
		return nil, err
	}
	var input []byte
	if execution != "" {
		input, err = a.Runs.Input(ctx, execution)
	}
	if execution == "" || fault.Is(err, fault.Invalid) || fault.Is(err, fault.NotFound) {
		return nil, fault.New(op, fault.Denied, &Refusal{Reason: "the run was not started through the machine run, so nobody knows with what it could be started elsewhere",
			Remedy: "Stop it, and start it through run on the other cluster: from then on it can be moved."})
	}
	return input, err
}

// lonely refuses to move one of several executions of a notebook: it would run on
// two clusters then (S5.1).
func (a *App) lonely(ctx context.Context, n Notebook, id string) error {
	var others []string
	for _, r := range n.Runs {
		if r.Session != id {
			others = append(others, r.Session)
		}
	}
	alive, err := a.alive(ctx, others)
	if err != nil || len(alive) == 0 {
		return err
	}
	return fault.New("move notebook", fault.Denied, &Refusal{Reason: "it is executed " + fmt.Sprint(len(alive)+1) + " times on its cluster, and a notebook runs on one cluster at a time",
		Remedy: "Stop the others first, such as session " + alive[0].ID + "."})
}

// takeOver makes an execution the mover of a notebook whose mover died.
func (a *App) takeOver(ctx context.Context, m MoveAsked) (Moving, error) {
	const op = "take a move up again"
	n, err := a.changeNotebook(ctx, m.Notebook, func(n *Notebook) (bool, error) {
		if n.Move.ID == m.Execution {
			return false, nil
		}
		if n.Move.ID == "" {
			return false, fault.New(op, fault.Denied, &Refusal{Reason: "the notebook is not being moved", Remedy: "There is nothing to do."})
		}
		live, err := a.Moves.Live(ctx, n.Move.ID)
		if err != nil {
			return false, err
		}
		if live {
			return false, fault.New(op, fault.Denied, &Refusal{Reason: "it is being moved by " + n.Move.ID, Remedy: "Wait for that to end."})
		}
		n.Move.ID = m.Execution
		return true, nil
	})
	if err != nil {
		return Moving{}, err
	}
	s, err := a.Store.Session(ctx, n.Move.Session)
	return moving(n, s.User), err
}

// own reads the notebook of a move. Of kind Denied: another execution has taken
// the move over, and this one must touch nothing any more.
func (a *App) own(ctx context.Context, execution, notebook string) (Notebook, error) {
	n, err := a.Store.Notebook(ctx, notebook)
	if err == nil && n.Move.ID != execution {
		err = overtakenMove(n)
	}
	return n, err
}

func overtakenMove(n Notebook) error {
	return fault.Newf("move notebook", fault.Denied, "the move was taken over, or is over: it is now execution %q's", n.Move.ID)
}

// MakeForMove records that a cluster is about to be made for a move, before it is
// asked for: RunJobFlow's answer may be lost, and the name that is answered finds the
// cluster then. note says what that cluster has not of the old one.
func (a *App) MakeForMove(ctx context.Context, execution, notebook, note string) (name string, err error) {
	n, err := a.changeNotebook(ctx, notebook, func(n *Notebook) (bool, error) {
		if n.Move.ID != execution {
			return false, overtakenMove(*n)
		}
		n.Move.Made = "nightshift-" + n.ID + "-" + digest("cluster", n.ID, n.Move.Since.UTC().Format(time.RFC3339Nano))[:8]
		n.Move.Note = note
		return true, nil
	})
	return n.Move.Made, err
}

// Unused says whether a cluster that a move has made may be ended: nobody else's
// notebook is on it, and by this none comes there any more. Where cluster is "", it is
// the one of listed, which are ids by names, that has the name that was asked for; ""
// where none has.
func (a *App) Unused(ctx context.Context, execution, notebook, cluster string, listed map[string]string) (string, bool, error) {
	n, err := a.own(ctx, execution, notebook)
	if err != nil {
		return "", false, err
	}
	if cluster == "" && n.Move.Made != "" {
		cluster = listed[n.Move.Made]
	}
	if cluster == "" || cluster == n.Move.From {
		return "", false, nil
	}
	err = a.occupy(ctx, n.Endpoint, cluster, Hold{By: n.Move.Session, For: n.ID, Alone: true, Until: a.Now().Add(moveHold)})
	if fault.Is(err, fault.Invalid) {
		return cluster, false, nil
	}
	return cluster, err == nil, err
}

// newest is the session that a session was followed by last, or itself.
func (a *App) newest(ctx context.Context, id string) (session.Session, error) {
	for range successorsMax {
		next, err := a.Successor(ctx, id)
		if err != nil {
			return session.Session{}, err
		}
		if next == "" {
			return a.Store.Session(ctx, id)
		}
		id = next
	}
	return session.Session{}, fault.Newf("read successors", fault.Unknown, "session %s has more than %d successors in a row", id, successorsMax)
}

// successorsMax bounds how many sessions of one run are followed.
const successorsMax = 100

// StopMove sees to it that the notebook's newest run is over, before another may
// be started: it asks for the stop, and answers whether the run has been seen
// over. What the notebook goes on to is recorded before the stop is asked for, so
// that whoever takes over a move that died knows that it must go on. A run that
// the move has started where it is to go is left alone. ended: the run ended for a
// reason of its own, such as a sign-out, and is not to be started anywhere.
func (a *App) StopMove(ctx context.Context, execution, notebook, to string, back bool) (over, ended bool, err error) {
	n, err := a.own(ctx, execution, notebook)
	if err != nil {
		return false, false, err
	}
	if !back && n.Move.To == "" {
		err := a.occupy(ctx, n.Endpoint, to, Hold{By: n.Move.Session, For: n.ID, Alone: n.Move.Alone, Until: a.Now().Add(moveHold)})
		if fault.Is(err, fault.Invalid) {
			return false, false, fault.New("move notebook", fault.Denied, &Refusal{Reason: err.Error(), Remedy: "Name another cluster, or have a new one made."})
		}
		if err != nil {
			return false, false, err
		}
	}
	if n, err = a.heading(ctx, execution, notebook, to, back); err != nil {
		return false, false, err
	}
	if !back {
		if err := a.keepFrom(ctx, n); err != nil {
			return false, false, err
		}
	}
	s, there, err := a.arrived(ctx, n)
	if err != nil || there {
		return there, false, err
	}
	if s.Status != session.Ended {
		now := a.Now()
		s, err = a.Apply(ctx, s.ID, session.Event{Kind: session.StopRequested, At: now, Known: now, By: moverOf(execution), Evidence: moveEvidence(n.ID)})
	}
	if err != nil || s.Status != session.Ended {
		return false, false, err
	}
	ended, err = a.over(ctx, n, s, back)
	return true, ended, err
}

// heading records where a move goes to now.
func (a *App) heading(ctx context.Context, execution, notebook, to string, back bool) (Notebook, error) {
	return a.changeNotebook(ctx, notebook, func(n *Notebook) (bool, error) {
		if n.Move.ID != execution {
			return false, overtakenMove(*n)
		}
		if n.Move.Back == back && n.Move.To != "" {
			return false, nil
		}
		if n.Move.Back = back; n.Move.To == "" {
			n.Move.To = to
		}
		return true, nil
	})
}

// goal is the cluster that a move is heading for, and whether the notebook is to
// be alone there.
func (m Move) goal() (cluster string, alone bool) {
	if m.Back {
		return m.From, m.Before
	}
	return m.To, m.Alone
}

// arrived reads the newest session of a notebook on its way, and says whether that
// is the move's own start on the cluster it is heading for.
func (a *App) arrived(ctx context.Context, n Notebook) (session.Session, bool, error) {
	s, err := a.newest(ctx, n.Move.Session)
	if err != nil || s.Status == session.Ended || s.ID == n.Move.Session {
		return s, false, err
	}
	input, err := a.inputOf(ctx, s)
	if err != nil {
		return s, false, err
	}
	spec, err := a.Spec(input)
	if err != nil {
		return s, false, err
	}
	p, _ := a.Placing(spec)
	goal, _ := n.Move.goal()
	return s, p.Cluster == goal, nil
}

func moverOf(execution string) string {
	return "execution/" + execution[strings.LastIndex(execution, ":")+1:]
}

// moveEvidence marks a stop as a move's, whichever execution asked for it.
func moveEvidence(notebook string) string { return "move of notebook " + notebook }

// over says that a run which has ended may not be started elsewhere: it did not end
// for the move, or something has happened since that would end it. The way
// back is also for one that failed on the new cluster.
func (a *App) over(ctx context.Context, n Notebook, s session.Session, back bool) (bool, error) {
	failed := []session.Cause{session.CauseFailed, session.CauseLost, session.CauseClusterTerminated, session.CauseStoppedElsewhere}
	ours := s.End.Cause == session.CauseStopRequested && s.End.Evidence == moveEvidence(n.ID)
	if !ours && (!back || s.ID == n.Move.Session || !slices.Contains(failed, s.End.Cause)) {
		return true, nil
	}
	return a.left(ctx, n)
}

// left says that the notebook's user left while it was moved. The record of a
// sign-out reaches sessions that were opened before it; between two there is none,
// and it may come late (S2.10). So what has come, or happened, since the move began
// is asked of the rules themselves, on the session that it began with.
func (a *App) left(ctx context.Context, n Notebook) (bool, error) {
	alive, err := a.Store.Session(ctx, n.Move.Session)
	if err != nil {
		return false, err
	}
	alive.Status, alive.End = session.Active, session.End{}
	u, err := a.Store.User(ctx, alive.User)
	if err != nil {
		return false, err
	}
	policy, err := a.Store.Policy(ctx)
	if err != nil {
		return false, err
	}
	for _, f := range u.Facts {
		since := f.At.After(n.Move.Since) || f.Known.After(n.Move.Since)
		if since && session.Decide(alive, f, policy, a.Now()).Next.Status != session.Active {
			return true, nil
		}
	}
	return false, nil
}

// reach is what reaches a session that follows an ended one: where a move opens it,
// also what is dated in the life of the sessions before it and they were not told in
// time (S2.10). Where nobody moves the notebook now, somebody starts it again, and
// earlier facts are not about that.
func (a *App) reach(ctx context.Context, old session.Session) (session.Reach, error) {
	if old.Run.Engine != workload.EMRNotebook {
		return session.Reach{}, nil
	}
	for s, n := old, 0; n < successorsMax; n++ {
		if notebook, moved := strings.CutPrefix(s.End.Evidence, moveEvidence("")); moved {
			return a.reachOfMove(ctx, notebook, old)
		}
		if s.Previous == "" {
			break
		}
		var err error
		if s, err = a.Store.Session(ctx, s.Previous); err != nil {
			return session.Reach{}, err
		}
	}
	return session.Reach{}, nil
}

func (a *App) reachOfMove(ctx context.Context, notebook string, old session.Session) (session.Reach, error) {
	n, err := a.Store.Notebook(ctx, notebook)
	if err != nil || n.Move.ID == "" {
		return session.Reach{}, err
	}
	newest, err := a.newest(ctx, n.Move.Session)
	if err != nil || newest.ID != old.ID {
		return session.Reach{}, err
	}
	first, err := a.Store.Session(ctx, n.Move.Session)
	// Told is a little early: a fact is known before it is written, by another clock.
	r := session.Reach{From: first.OpenedAt, Told: n.Move.Since.Add(-clockSkew)}
	if !first.Reach.From.IsZero() {
		r.From = first.Reach.From // it was moved before
	}
	return r, err
}

// keepFrom keeps room where a notebook was, for the way back. The hold of its
// session itself goes with that.
func (a *App) keepFrom(ctx context.Context, n Notebook) error {
	_, err := a.changeLedger(ctx, clusterLedger(n.Move.From), func(l *Ledger) (bool, error) {
		if slices.ContainsFunc(l.Held, func(h Hold) bool { return h.For == n.ID && !h.Until.IsZero() }) {
			return false, nil
		}
		return true, l.hold(Hold{By: n.Move.Session, For: n.ID, Alone: n.Move.Before, Until: a.Now().Add(moveHold)})
	})
	return err
}

// MoveStart is the run that a move has started.
type MoveStart struct{ Execution, Session, Cluster string }

// StartMove starts the notebook on the cluster that its move is at: an execution of
// run, as the one that follows the session before. That has ended, and has
// one successor at most (S4.4), so whatever is repeated or comes late, no second
// kernel is started.
func (a *App) StartMove(ctx context.Context, execution, notebook string) (MoveStart, error) {
	const op = "start moved notebook"
	n, err := a.own(ctx, execution, notebook)
	if err != nil {
		return MoveStart{}, err
	}
	s, there, err := a.arrived(ctx, n)
	if err != nil {
		return MoveStart{}, err
	}
	cluster, alone := n.Move.goal()
	if there {
		e, err := a.executionOf(ctx, s)
		return MoveStart{e, s.ID, cluster}, err
	}
	if s.Status != session.Ended {
		return MoveStart{}, fault.Newf(op, fault.Unknown, "session %s has not ended", s.ID)
	}
	input, err := a.inputOf(ctx, s)
	if err == nil {
		input, err = a.Elsewhere(input, s.ID, cluster, alone)
	}
	if err != nil {
		return MoveStart{}, err
	}
	run, err := a.rerun(ctx, s.ID, input)
	return MoveStart{run, SessionOfExecution(run), cluster}, err
}

// How a started run can be.
const (
	MoveStarting = "starting"
	MoveRunning  = "running"
	MoveFailed   = "failed"
)

// LookMove says how a run is that a move has started, and why it failed.
func (a *App) LookMove(ctx context.Context, m MoveStart) (state, why string, err error) {
	s, err := a.Store.Session(ctx, m.Session)
	if fault.Is(err, fault.NotFound) {
		live, err := a.Moves.Live(ctx, m.Execution)
		if err != nil || live {
			return MoveStarting, "", err
		}
	}
	if fault.Is(err, fault.NotFound) { // it may have opened its session between the two looks
		s, err = a.Store.Session(ctx, m.Session)
	}
	switch {
	case fault.Is(err, fault.NotFound):
		return MoveFailed, "Execution " + m.Execution + " ended before it opened a session.", nil
	case err != nil:
		return "", "", err
	case s.Status != session.Active:
		return MoveFailed, "On cluster " + m.Cluster + ": " + session.Explain(s), nil
	case s.RunningSince.IsZero():
		return MoveStarting, "", nil
	}
	return MoveRunning, "", nil
}

// EndMove tells the user what became of a move and lets go of the notebook.
func (a *App) EndMove(ctx context.Context, execution, notebook, outcome string) (text string, err error) {
	n, err := a.Store.Notebook(ctx, notebook)
	if err != nil || n.Move.ID != execution {
		return "", err // it was let go of before
	}
	first, err := a.Store.Session(ctx, n.Move.Session)
	if err != nil {
		return "", err
	}
	last, err := a.newest(ctx, n.Move.Session)
	if err != nil {
		return "", err
	}
	text = a.moveText(ctx, n, first, last, outcome)
	say := Announcement{ID: digest("move", execution), Kind: "notice", At: a.Now(), Session: last, Effect: session.Effect{Kind: session.Notice, Reason: NoticeMoved, Text: text}}
	if outcome != Stayed {
		err = a.Announcer.Announce(ctx, say)
	}
	if outcome == GivenUp && err == nil {
		say.ID, say.Kind, say.Effect = digest("move given up", execution), "alert", session.Effect{Kind: session.Alert, Reason: AlertMoveGivenUp, Text: text}
		err = a.Announcer.Announce(ctx, say)
	}
	if err != nil {
		return "", err
	}
	for _, cluster := range []string{n.Move.From, n.Move.To} {
		if cluster == "" {
			continue
		}
		_, err := a.changeLedger(ctx, clusterLedger(cluster), func(l *Ledger) (bool, error) {
			before := len(l.Held)
			l.Held = slices.DeleteFunc(l.Held, func(h Hold) bool { return h.For == n.ID && !h.Until.IsZero() })
			return len(l.Held) < before, nil
		})
		if err != nil {
			return "", err
		}
	}
	_, err = a.changeNotebook(ctx, notebook, func(n *Notebook) (bool, error) {
		mine := n.Move.ID == execution
		if mine {
			n.Move = Move{}
		}
		return mine, nil
	})
	return text, err
}

// moveText tells a user what became of a move, what is lost, and what is kept.
func (a *App) moveText(ctx context.Context, n Notebook, first, last session.Session, outcome string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Your notebook %s ", n.Place)
	switch outcome {
	case Moved:
		fmt.Fprintf(&b, "was moved from cluster %s to %s and runs there, under session %s.", n.Move.From, n.Move.To, last.ID)
	case Back:
		fmt.Fprintf(&b, "could not be started on cluster %s; it was started again where it was, on %s, under session %s.", n.Move.To, n.Move.From, last.ID)
	case Ended:
		fmt.Fprintf(&b, "was being moved from cluster %s and is not started again: %s.", n.Move.From, endedFor(n, last))
	case Stayed:
		return b.String() + "was not touched: it runs where it ran, on cluster " + n.Move.From + "."
	case GivenUp:
		fmt.Fprintf(&b, "was to be moved from cluster %s, and the execution that moves it has died %d times: the move is given up. %s", n.Move.From, n.Move.Tries, whatIs(last))
		if n.Move.Made != "" {
			fmt.Fprintf(&b, " A cluster %s may have been made for it; it ends by itself after an hour without work.", n.Move.Made)
		}
		if last.ID == first.ID && last.Status == session.Active {
			return b.String()
		}
	default:
		fmt.Fprintf(&b, "was stopped to be moved from cluster %s to %s, and could be started on neither: it runs nowhere. Start it again through run.", n.Move.From, n.Move.To)
	}
	if n.Move.Why != "" {
		b.WriteString(" It was moved because: " + n.Move.Why + ".")
	}
	if n.Move.Note != "" && outcome == Moved {
		b.WriteString(" " + n.Move.Note)
	}
	b.WriteString(" What was moved is the notebook's execution: the state of its kernel (variables, loaded data) is lost")
	if first.Run.ID == "" {
		return b.String() + "."
	}
	switch at, err := a.kept(ctx, first.Run); {
	case err != nil:
		b.WriteString("; where the notebook as executed so far is kept could not be asked for: " + err.Error() + ".")
	case at != "":
		b.WriteString("; the notebook as executed so far is kept at " + at + ".")
	default:
		b.WriteString("; the execution said no place to keep the executed notebook at (OutputNotebookS3Location).")
	}
	return b.String()
}

// whatIs says how a notebook is whose move nobody goes on with.
func whatIs(s session.Session) string {
	switch s.Status {
	case session.Active:
		return "It runs under session " + s.ID + "."
	case session.Ending:
		return "Its run, of session " + s.ID + ", is being stopped; once it is over, start it again through run."
	case session.Ended:
	}
	return "It runs nowhere. Start it again through run."
}

// endedFor says why a run that was being moved is started nowhere.
func endedFor(n Notebook, s session.Session) string {
	if s.End.Evidence == moveEvidence(n.ID) {
		return "meanwhile something came that would have ended it, such as a sign-out or a revoke"
	}
	return session.Because(s.End.Cause)
}

func (a *App) kept(ctx context.Context, run workload.Run) (string, error) {
	engine, err := a.engine(run.Endpoint)
	if err != nil {
		return "", err
	}
	if k, able := engine.(Keeper); able {
		return k.Kept(ctx, run)
	}
	return "", nil
}

// sweepMoves takes moves up again whose executions died. The name of the execution
// that does is made of how often that was done before, so that two sweeps start one.
func (a *App) sweepMoves(ctx context.Context) error {
	if a.Moves == nil {
		return nil
	}
	var errs []error // one that cannot be taken up holds up no other
	cursor := ""
	for {
		moved, next, err := a.Store.Moves(ctx, cursor)
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("sweep moves: %w", err))...)
		}
		for _, n := range moved {
			if err := a.resume(ctx, n); err != nil {
				errs = append(errs, fmt.Errorf("take up the move of notebook %s: %w", n.ID, err))
			}
		}
		if cursor = next; cursor == "" {
			return errors.Join(errs...)
		}
	}
}

// resume takes a move up whose execution died, not too often, and lets go of it in the
// end.
func (a *App) resume(ctx context.Context, n Notebook) error {
	wait := min(resumeLast, resumeAfter<<min(n.Move.Tries, 10))
	if n.Move.Tries > 0 && a.Now().Before(n.Move.Tried.Add(wait)) {
		return nil
	}
	// A name is taken for 90 days: a try that died before it took the move over counts.
	try := func(tries int) string {
		return "resume-" + digest(n.ID, n.Move.Session, n.Move.Since.UTC().Format(time.RFC3339Nano), strconv.Itoa(tries))
	}
	movers := []string{n.Move.ID}
	if n.Move.Tries > 0 {
		movers = append(movers, a.Moves.Execution(try(n.Move.Tries-1)))
	}
	for _, mover := range movers {
		if live, err := a.Moves.Live(ctx, mover); err != nil || live {
			return err
		}
	}
	if n.Move.Tries >= resumesMax {
		_, err := a.EndMove(ctx, n.Move.ID, n.ID, GivenUp)
		return err
	}
	_, err := a.Moves.Run(ctx, try(n.Move.Tries), fmt.Appendf(nil, `{"resume":%q}`, n.ID))
	if err != nil && !fault.Is(err, fault.Conflict) {
		return err
	}
	_, err = a.changeNotebook(ctx, n.ID, func(now *Notebook) (bool, error) {
		same := now.Move.Tries == n.Move.Tries && now.Move.Since.Equal(n.Move.Since)
		if same {
			now.Move.Tries, now.Move.Tried = now.Move.Tries+1, a.Now()
		}
		return same, nil
	})
	return err
}
