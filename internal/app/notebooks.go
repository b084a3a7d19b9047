package app

import (
	"context"
	"fmt"

	"nightshift/internal/session"
)

// NotebookStory is a notebook and what of it an actor may see.
type NotebookStory struct {
	Notebook
	Live []LiveNotebook // oldest first; none: it runs nowhere
}

// LiveNotebook is a session of a notebook that has not ended.
type LiveNotebook struct {
	session.Session
	On string // cluster
}

// NotebooksOf lists the notebooks that an actor may see, and where each runs (S5.1):
// all for an administrator; for a user those that they have started, with their own
// runs and moves. Cursors are the store's; a page may be empty and have a next.
func (a *App) NotebooksOf(ctx context.Context, who Actor, cursor string) ([]NotebookStory, string, error) {
	const op = "list notebooks"
	page, next, err := a.Store.Notebooks(ctx, cursor)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", op, err)
	}
	var ids []string
	for _, n := range page {
		for _, r := range n.Runs {
			ids = append(ids, r.Session)
		}
		if n.Move.ID != "" {
			ids = append(ids, n.Move.Session)
		}
	}
	found, err := a.Store.Sessions(ctx, ids)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", op, err)
	}
	by := make(map[string]session.Session, len(found))
	for _, s := range found {
		by[s.ID] = s
	}
	stories := []NotebookStory{}
	for _, n := range page {
		s := NotebookStory{Notebook: n}
		s.Runs = nil
		for _, r := range n.Runs {
			if !who.may(r.User) {
				continue
			}
			s.Runs = append(s.Runs, r)
			if at, there := by[r.Session]; there && at.Status != session.Ended {
				s.Live = append(s.Live, LiveNotebook{at, r.Cluster})
			}
		}
		if !who.may(by[n.Move.Session].User) {
			s.Move = Move{}
		}
		if len(s.Runs) > 0 || who.Admin {
			stories = append(stories, s)
		}
	}
	return stories, next, nil
}
