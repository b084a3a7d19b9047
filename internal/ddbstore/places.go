package ddbstore

import (
	"context"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore/schema"
)

const (
	pkNotebook = "N#"
	skNotebook = "NOTEBOOK"
	pkLedger   = "L#"
	skLedger   = "LEDGER"

	partMoves     = "MOVES"
	partNotebooks = "NOTEBOOKS"
)

func notebookOf(id string) address { return address{pkNotebook + part(id), skNotebook} }
func ledgerOf(name string) address { return address{pkLedger + part(name), skLedger} }

type notebookDoc struct {
	ID       string           `json:"id,omitzero"`
	Endpoint string           `json:"endpoint,omitzero"`
	Place    string           `json:"place,omitzero"`
	Runs     []notebookRunDoc `json:"runs,omitzero"`
	Move     moveDoc          `json:"move,omitzero"`
}

type notebookRunDoc struct {
	Session string `json:"session,omitzero"`
	User    string `json:"user,omitzero"`
	Cluster string `json:"cluster,omitzero"`
}

type moveDoc struct {
	ID      string    `json:"id,omitzero"`
	Session string    `json:"session,omitzero"`
	From    string    `json:"from,omitzero"`
	To      string    `json:"to,omitzero"`
	Back    bool      `json:"back,omitzero"`
	Alone   bool      `json:"alone,omitzero"`
	Before  bool      `json:"before,omitzero"`
	Since   time.Time `json:"since,omitzero"`
	Why     string    `json:"why,omitzero"`
	Made    string    `json:"made,omitzero"`
	Note    string    `json:"note,omitzero"`
	Tries   int       `json:"tries,omitzero"`
	Tried   time.Time `json:"tried,omitzero"`
}

type ledgerDoc struct {
	Name string    `json:"name,omitzero"`
	Held []holdDoc `json:"held,omitzero"`
}

type holdDoc struct {
	By    string    `json:"by,omitzero"`
	For   string    `json:"for,omitzero"`
	N     int       `json:"n,omitzero"`
	Alone bool      `json:"alone,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

func decodeNotebook(op string, it item) (app.Notebook, error) {
	var d notebookDoc
	err := decode(op, it, &d)
	return app.Notebook{
		ID: d.ID, Version: getNumber(it, attrVersion), Endpoint: d.Endpoint, Place: d.Place, Move: app.Move(d.Move),
		Runs: each(d.Runs, func(r notebookRunDoc) app.NotebookRun { return app.NotebookRun(r) }),
	}, err
}

// Notebook implements app.Places.
func (s *Store) Notebook(ctx context.Context, id string) (app.Notebook, error) {
	const op = "ddbstore: read notebook"
	if err := app.CheckID(op, "notebook", id); err != nil {
		return app.Notebook{}, err
	}
	it, err := s.get(ctx, op, notebookOf(id))
	if err != nil {
		return app.Notebook{}, err
	}
	if it == nil {
		return app.Notebook{ID: id}, nil
	}
	return decodeNotebook(op, it)
}

// PutNotebook implements app.Places.
func (s *Store) PutNotebook(ctx context.Context, n app.Notebook) error {
	const op = "ddbstore: write notebook"
	if err := app.CheckID(op, "notebook", n.ID); err != nil {
		return err
	}
	a := notebookOf(n.ID)
	it, err := fresh(op, a, notebookDoc{
		ID: n.ID, Endpoint: n.Endpoint, Place: n.Place, Move: moveDoc(n.Move),
		Runs: each(n.Runs, func(r app.NotebookRun) notebookRunDoc { return notebookRunDoc(r) }),
	})
	if err != nil {
		return err
	}
	it[attrVersion] = number(n.Version)
	place(it, schema.GSI2, partNotebooks, a.sorted(time.Time{}))
	if n.Move.ID != "" {
		place(it, schema.GSI1, partMoves, a.sorted(n.Move.Since))
	}
	if err := fits(op, "notebook "+n.ID, it); err != nil {
		return err
	}
	return s.put(ctx, op, it, n.Version)
}

// Notebooks implements app.Places.
func (s *Store) Notebooks(ctx context.Context, from string) ([]app.Notebook, string, error) {
	l := list{op: "ddbstore: list notebooks", name: "notebooks", index: schema.GSI2, partitions: []string{partNotebooks}, size: pageSize}
	return page(ctx, s, l, from, decodeNotebook, all)
}

// Moves implements app.Places: longest under way first.
func (s *Store) Moves(ctx context.Context, from string) ([]app.Notebook, string, error) {
	l := list{op: "ddbstore: list moves", name: "moves", index: schema.GSI1, partitions: []string{partMoves}, size: pageSize}
	return page(ctx, s, l, from, decodeNotebook, func(n app.Notebook) bool { return n.Move.ID != "" })
}

// Ledger implements app.Places.
func (s *Store) Ledger(ctx context.Context, name string) (app.Ledger, error) {
	const op = "ddbstore: read ledger"
	if err := app.CheckID(op, "name", name); err != nil {
		return app.Ledger{}, err
	}
	it, err := s.get(ctx, op, ledgerOf(name))
	if err != nil || it == nil {
		return app.Ledger{Name: name}, err
	}
	var d ledgerDoc
	err = decode(op, it, &d)
	return app.Ledger{Name: name, Version: getNumber(it, attrVersion), Held: each(d.Held, func(h holdDoc) app.Hold { return app.Hold(h) })}, err
}

// PutLedger implements app.Places.
func (s *Store) PutLedger(ctx context.Context, l app.Ledger) error {
	const op = "ddbstore: write ledger"
	if err := app.CheckID(op, "name", l.Name); err != nil {
		return err
	}
	it, err := fresh(op, ledgerOf(l.Name), ledgerDoc{Name: l.Name, Held: each(l.Held, func(h app.Hold) holdDoc { return holdDoc(h) })})
	if err != nil {
		return err
	}
	it[attrVersion] = number(l.Version)
	if err := fits(op, "ledger "+l.Name, it); err != nil {
		return err
	}
	return s.put(ctx, op, it, l.Version)
}
