package app

import (
	"context"
	"time"

	"nightshift/internal/fault"
)

// Places remembers where notebooks run, and who has reserved what is scarce: room
// on a cluster, addresses of a network. Every write is conditional on the version
// that was decided on, so that of two who decide at one moment one decides again.
// Reads by id are strongly consistent; lists are not.
type Places interface {
	// Notebook reads a notebook; one never heard of has Version 0.
	Notebook(ctx context.Context, id string) (Notebook, error)
	// PutNotebook writes a notebook whose stored version is n.Version-1; Conflict
	// otherwise.
	PutNotebook(ctx context.Context, n Notebook) error
	// Notebooks lists every notebook.
	Notebooks(ctx context.Context, cursor string) (notebooks []Notebook, next string, err error)
	// Moves lists the notebooks that are being moved.
	Moves(ctx context.Context, cursor string) (notebooks []Notebook, next string, err error)

	// Ledger reads who has reserved of one thing; one never heard of has Version 0.
	Ledger(ctx context.Context, name string) (Ledger, error)
	// PutLedger writes a ledger whose stored version is l.Version-1; Conflict
	// otherwise.
	PutLedger(ctx context.Context, l Ledger) error
}

// Notebook is the record of one notebook: where it runs, and what is under way
// with it.
type Notebook struct {
	ID       string // its endpoint and its place, made by notebookID
	Version  int64
	Endpoint string
	Place    string        // "e-<editor>/<path>.ipynb" or "s3://<bucket>/<key>"
	Runs     []NotebookRun // its executions, oldest first; those that are over stay until the next start
	Move     Move          // zero: it is not being moved
}

// NotebookRun is one execution of a notebook, under a session of ours.
type NotebookRun struct{ Session, User, Cluster string }

// Move is a notebook on its way from a cluster to another.
type Move struct {
	ID      string // ARN of the execution of move-notebook that moves it
	Session string // whose run is moved; the sessions after it follow it
	From    string // cluster
	To      string // cluster; "" until one is ready
	Back    bool   // it could not be started there and goes back
	Alone   bool   // it shares its new cluster with no other notebook
	Before  bool   // it shared the old one with no other
	Since   time.Time
	Why     string
	Made    string    // name of the cluster that was asked for; "" where none was
	Note    string    // what of the old cluster that one has not; a sentence
	Tries   int       // how often it was taken up again
	Tried   time.Time // when last
}

// Ledger is who has reserved of one scarce thing.
type Ledger struct {
	Name    string
	Version int64
	Held    []Hold
}

// Hold is one reservation. What it is of, and whether it still counts, is the
// ledger's reader's to know.
type Hold struct {
	By    string // id of a session
	For   string // id of the notebook; "" where it is for none
	N     int    // how much: a job's instances
	Alone bool   // it tolerates no other
	Until time.Time
}

// HoldsMax bounds the reservations of one ledger, which is one item of the table.
// At the limit a further one is refused as Throttled: those that are over go with
// the next look.
const HoldsMax = 1_000

// hold adds a reservation.
func (l *Ledger) hold(h Hold) error {
	if len(l.Held) >= HoldsMax {
		return fault.Newf("reserve", fault.Throttled, "%d reservations of %s are counted: no more are taken", len(l.Held), l.Name)
	}
	l.Held = append(l.Held, h)
	return nil
}
