package app

import (
	"context"
	"fmt"
	"slices"

	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Placement is where a request puts a notebook.
type Placement struct {
	Place   string // "e-<editor>/<path>.ipynb" or "s3://<bucket>/<key>"
	Cluster string
	Alone   bool // it asks for a cluster that it shares with no other notebook
}

// Placing reads the placement of an engine's request; false where it names no
// notebook or no cluster: the engine will refuse it.
type Placing func(spec []byte) (Placement, bool)

// notebookID is the same for every execution of one notebook.
func notebookID(endpoint, place string) string { return "n-" + digest("notebook", endpoint, place) }

// clusterLedger is the name of the ledger of who is on a cluster, by the
// cluster's id.
func clusterLedger(cluster string) string { return "cluster/" + cluster }

// placed records where a session's notebook is about to run, before the engine is
// asked. Two writes, each conditional, hold what S5.1 asks: a notebook runs on one
// cluster at a time, and one that asks for a cluster of its own gets it. Of kind
// Invalid: it may not run there now. Repeating it changes nothing.
func (a *App) placed(ctx context.Context, s session.Session, spec []byte) error {
	if s.Run.Engine != workload.EMRNotebook || a.Placing == nil {
		return nil
	}
	p, ok := a.Placing(spec)
	if !ok {
		return nil
	}
	id := notebookID(s.Run.Endpoint, p.Place)
	_, err := a.changeNotebook(ctx, id, func(n *Notebook) (bool, error) {
		n.Endpoint, n.Place = s.Run.Endpoint, p.Place
		return true, a.admit(ctx, n, s, p)
	})
	if err != nil {
		return err
	}
	return a.occupy(ctx, s.Run.Endpoint, p.Cluster, Hold{By: s.ID, For: id, Alone: p.Alone})
}

// admit adds a session's run to its notebook's, or refuses it.
func (a *App) admit(ctx context.Context, n *Notebook, s session.Session, p Placement) error {
	const op = "start notebook"
	if n.Move.ID != "" {
		newest, err := a.newest(ctx, n.Move.Session)
		if err != nil {
			return err
		}
		if newest.ID != s.ID {
			return fault.Newf(op, fault.Invalid, "notebook %s is being moved from %s (%s): start it when that is over", n.Place, n.Move.From, n.Move.ID)
		}
	}
	ids := make([]string, len(n.Runs))
	for i, r := range n.Runs {
		ids[i] = r.Session
	}
	alive, err := a.alive(ctx, ids)
	if err != nil {
		return err
	}
	n.Runs = slices.DeleteFunc(n.Runs, func(r NotebookRun) bool {
		return r.Session == s.ID || !slices.ContainsFunc(alive, func(s session.Session) bool { return s.ID == r.Session })
	})
	for _, r := range n.Runs {
		if r.Cluster != p.Cluster {
			return fault.Newf(op, fault.Invalid, "notebook %s runs on cluster %s (session %s), and a notebook runs on one cluster at a time: move it with move-notebook, or stop it first", n.Place, r.Cluster, r.Session)
		}
	}
	n.Runs = append(n.Runs, NotebookRun{Session: s.ID, User: s.User, Cluster: p.Cluster})
	return nil
}

// occupy reserves room on a cluster. Of kind Invalid: there is none. A hold of the
// same notebook is replaced; one whose session is over, and whose time is, has
// gone.
func (a *App) occupy(ctx context.Context, endpoint, cluster string, h Hold) error {
	const op = "reserve a cluster"
	_, err := a.changeLedger(ctx, clusterLedger(cluster), func(l *Ledger) (bool, error) {
		// A hold counts while its session lives, and until its time: then it is a move's.
		err := a.stillHeld(ctx, l, func(h Hold, s session.Session, found bool) bool {
			return found && s.Status != session.Ended || a.Now().Before(h.Until)
		})
		if err != nil {
			return false, err
		}
		l.Held = slices.DeleteFunc(l.Held, func(o Hold) bool { return o.By == h.By || o.For == h.For && !o.Until.IsZero() })
		for _, o := range l.Held {
			if o.For != h.For && (o.Alone || h.Alone) {
				return false, fault.Newf(op, fault.Invalid, "cluster %s is taken: %s", cluster, whose(o, h))
			}
		}
		if h.Alone {
			if err := a.strangers(ctx, endpoint, cluster, l.Held, h); err != nil {
				return false, err
			}
		}
		return true, l.hold(h)
	})
	return err
}

func whose(there, asks Hold) string {
	if there.Alone {
		return "a notebook (session " + there.By + ") has it for itself"
	}
	return "another notebook (session " + there.By + ") is on it, and this one asks for a cluster of its own"
}

// strangers refuses a cluster of one's own where executions run that were started
// without us. That they are known is a listing's merit, not a condition's.
func (a *App) strangers(ctx context.Context, endpoint, cluster string, held []Hold, h Hold) error {
	live, err := a.live(ctx, endpoint)
	if err != nil {
		return err
	}
	for _, s := range live {
		if s.Run.Cluster == cluster && s.ID != h.By && !slices.ContainsFunc(held, func(o Hold) bool { return o.By == s.ID }) && s.Previous != h.By {
			return fault.Newf("reserve a cluster", fault.Invalid, "cluster %s is taken: another execution (session %s) is on it, and this notebook asks for a cluster of its own", cluster, s.ID)
		}
	}
	return nil
}

// stillHeld takes out the holds that no longer count.
func (a *App) stillHeld(ctx context.Context, l *Ledger, counts func(h Hold, s session.Session, found bool) bool) error {
	ids := make([]string, len(l.Held))
	for i, h := range l.Held {
		ids[i] = h.By
	}
	found, err := a.Store.Sessions(ctx, ids)
	if err != nil {
		return fmt.Errorf("read who holds %s: %w", l.Name, err)
	}
	by := make(map[string]session.Session, len(found))
	for _, s := range found {
		by[s.ID] = s
	}
	l.Held = slices.DeleteFunc(l.Held, func(h Hold) bool {
		s, there := by[h.By]
		return !counts(h, s, there)
	})
	return nil
}

// changeNotebook reads, changes and writes a notebook; a lost race is decided
// again.
func (a *App) changeNotebook(ctx context.Context, id string, change func(*Notebook) (bool, error)) (Notebook, error) {
	var n Notebook
	err := again("change notebook", func() error {
		var err error
		if n, err = a.Store.Notebook(ctx, id); err != nil {
			return err
		}
		changed, err := change(&n)
		if err != nil || !changed {
			return err
		}
		n.Version++
		return a.Store.PutNotebook(ctx, n)
	})
	return n, err
}

func (a *App) changeLedger(ctx context.Context, name string, change func(*Ledger) (bool, error)) (Ledger, error) {
	var l Ledger
	err := again("change ledger", func() error {
		var err error
		if l, err = a.Store.Ledger(ctx, name); err != nil {
			return err
		}
		changed, err := change(&l)
		if err != nil || !changed {
			return err
		}
		l.Version++
		return a.Store.PutLedger(ctx, l)
	})
	return l, err
}

// again decides a lost race again, a bounded number of times.
func again(op string, decide func() error) error {
	var lost error
	for range raceMax {
		if lost = decide(); !fault.Is(lost, fault.Conflict) {
			return lost
		}
	}
	return fmt.Errorf("%s: %d races lost: %w", op, raceMax, lost)
}
