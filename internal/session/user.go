package session

import (
	"sort"
	"strings"
	"time"
)

// UserFacts is what is known of one user: the newest fact of each kind (and,
// for facts that name an interactive session, of each session named). It is
// written before any session is touched, so that a session opened at the same
// moment sees it (S2.4).
type UserFacts struct {
	User    string
	Version int64   // 0: never written
	Facts   []Event // newest of each key, in order of their time; at most FactsMax
	// Pending are facts whose fan-out to the user's sessions is not known to be
	// complete; PendingSince is when the newest of them was written.
	Pending      []Event
	PendingSince time.Time
	Lock         Lock
}

// Lock refuses new starts (S8.6).
type Lock struct {
	Until time.Time // zero: no lock
	By    string
	Why   string
}

// ValidUser says whether a word can be the id of a user in the identity store:
// letters, digits, '.', '_' and '-', at most 128. A name or an e-mail address is
// none, and nobody could ever sign out under it.
func ValidUser(id string) bool {
	if id == "" || len(id) > 128 || strings.ContainsAny(id[:1], "._-") {
		return false
	}
	for _, c := range []byte(id) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// FactsMax bounds the facts kept of a user. At the limit the oldest fact that
// names one interactive session is dropped: its fan-out carries its own copy.
const FactsMax = 64

func sameFact(a, b Event) bool {
	return a.Kind == b.Kind && a.Interactive.ID == b.Interactive.ID && a.Interactive.Source == b.Interactive.Source && a.Run == b.Run
}

// With records a fact. It answers false where the fact changes nothing: it is
// already there, or a newer one of its key is.
func (u UserFacts) With(e Event, now time.Time) (UserFacts, bool) {
	facts := make([]Event, 0, len(u.Facts)+1)
	for _, f := range u.Facts {
		if !sameFact(f, e) {
			facts = append(facts, f)
			continue
		}
		if !f.At.Before(e.At) {
			return u, false
		}
	}
	facts = append(facts, e)
	sort.SliceStable(facts, func(i, j int) bool { return facts[i].At.Before(facts[j].At) })
	for len(facts) > FactsMax {
		drop := 0
		for i, f := range facts {
			if f.Interactive.ID != "" || f.Run.ID != "" {
				drop = i
				break
			}
		}
		facts = append(facts[:drop:drop], facts[drop+1:]...)
	}
	u.Facts = facts
	// A newer fact of the same key says all that the older one did.
	pending := make([]Event, 0, len(u.Pending)+1)
	for _, f := range u.Pending {
		if !sameFact(f, e) {
			pending = append(pending, f)
		}
	}
	u.Pending = append(pending, e)
	u.PendingSince = now
	return u, true
}
