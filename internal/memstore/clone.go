package memstore

import (
	"context"
	"slices"

	"nightshift/internal/app"
	"nightshift/internal/proof"
	"nightshift/internal/session"
)

// Clones keep nil slices nil: the hash of an entry tells nil from empty.

func cloneSession(of *session.Session) session.Session {
	s := *of
	s.Why, s.Recent = cloneTexts(s.Why, s.Recent)
	return s
}

// cloneTexts are copies of two lists, in one array.
func cloneTexts(a, b []string) (x, y []string) {
	all := append(append(make([]string, 0, len(a)+len(b)), a...), b...)
	if a != nil {
		x = all[:len(a):len(a)]
	}
	if b != nil {
		y = all[len(a):]
	}
	return x, y
}

// copies are copies of many; what their lists hold stands in one array, for a
// page of sessions is read some hundred times for each one that is written.
func (s *Store) copies(ctx context.Context, from []*session.Session) []session.Session {
	texts := 0
	for _, of := range from {
		texts += len(of.Why) + len(of.Recent)
	}
	all, out := make([]string, 0, texts), s.room.Sessions(ctx, len(from))
	part := func(list []string) []string {
		if list == nil {
			return nil
		}
		n := len(all)
		all = append(all, list...)
		return all[n:len(all):len(all)]
	}
	for i, of := range from {
		out[i] = *of
		out[i].Why, out[i].Recent = part(of.Why), part(of.Recent)
	}
	return out
}

func cloneEntry(of *app.Entry) app.Entry {
	e := *of
	e.Effects = slices.Clone(e.Effects)
	return e
}

func cloneAnchor(a proof.Anchor) proof.Anchor {
	a.Heads = slices.Clone(a.Heads)
	return a
}

func cloneFacts(u session.UserFacts) session.UserFacts {
	u.Facts = slices.Clone(u.Facts)
	u.Pending = slices.Clone(u.Pending)
	return u
}
