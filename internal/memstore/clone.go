package memstore

import (
	"slices"

	"nightshift/internal/app"
	"nightshift/internal/proof"
	"nightshift/internal/session"
)

// Clones keep nil slices nil: the hash of an entry tells nil from empty.

func cloneSession(s session.Session) session.Session {
	s.Why = slices.Clone(s.Why)
	s.Recent = slices.Clone(s.Recent)
	return s
}

func cloneEntry(e app.Entry) app.Entry {
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
