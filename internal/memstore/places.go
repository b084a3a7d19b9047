package memstore

import (
	"context"
	"errors"
	"slices"
	"time"

	"nightshift/internal/app"
)

// Notebook implements app.Places.
func (s *Store) Notebook(ctx context.Context, id string) (app.Notebook, error) {
	const op = "memstore: read notebook"
	if err := errors.Join(ready(ctx, op), app.CheckID(op, "notebook", id)); err != nil {
		return app.Notebook{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.notebooks[id]
	if !ok {
		return app.Notebook{ID: id}, nil
	}
	return cloneNotebook(n), nil
}

// PutNotebook implements app.Places.
func (s *Store) PutNotebook(ctx context.Context, n app.Notebook) error {
	const op = "memstore: write notebook"
	if err := errors.Join(ready(ctx, op), app.CheckID(op, "notebook", n.ID)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := follows(op, n.Version, s.notebooks[n.ID].Version); err != nil {
		return err
	}
	n = cloneNotebook(n)
	s.notebooks[n.ID] = n
	x := s.index
	x.write("N#", n.ID, func() {
		x.notebooks.put(keyOf(time.Time{}, n.ID), n)
		if n.Move.ID == "" {
			x.moves.drop(n.ID)
		} else {
			x.moves.put(keyOf(n.Move.Since, n.ID), n)
		}
	})
	return nil
}

// Notebooks implements app.Places.
func (s *Store) Notebooks(ctx context.Context, from string) ([]app.Notebook, string, error) {
	return notebookPage(page(ctx, s, "memstore: list notebooks", "notebooks", from, func() *sorted[app.Notebook] { return s.index.notebooks }, nil))
}

// Moves implements app.Places.
func (s *Store) Moves(ctx context.Context, from string) ([]app.Notebook, string, error) {
	return notebookPage(page(ctx, s, "memstore: list moves", "moves", from, func() *sorted[app.Notebook] { return s.index.moves }, nil))
}

func notebookPage(found []app.Notebook, next string, err error) ([]app.Notebook, string, error) {
	for i := range found {
		found[i] = cloneNotebook(found[i])
	}
	return found, next, err
}

// Ledger implements app.Places.
func (s *Store) Ledger(ctx context.Context, name string) (app.Ledger, error) {
	const op = "memstore: read ledger"
	if err := errors.Join(ready(ctx, op), app.CheckID(op, "name", name)); err != nil {
		return app.Ledger{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.ledgers[name]
	l.Name, l.Held = name, slices.Clone(l.Held)
	return l, nil
}

// PutLedger implements app.Places.
func (s *Store) PutLedger(ctx context.Context, l app.Ledger) error {
	const op = "memstore: write ledger"
	if err := errors.Join(ready(ctx, op), app.CheckID(op, "name", l.Name)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := follows(op, l.Version, s.ledgers[l.Name].Version); err != nil {
		return err
	}
	l.Held = slices.Clone(l.Held)
	s.ledgers[l.Name] = l
	return nil
}

func cloneNotebook(n app.Notebook) app.Notebook {
	n.Runs = slices.Clone(n.Runs)
	return n
}
