package memstore_test

import (
	"testing"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/memstore"
	"nightshift/internal/proof"
	"nightshift/internal/workload"
)

// Guards that `make mutate` found nobody to notice the absence of.

// The stream tells of an opening before anything else happens to the session.
func TestStreamTellsOfOpenings(t *testing.T) {
	s := memstore.New()
	var heard []int64
	s.Subscribe(func(e app.Entry) { heard = append(heard, e.Version) })
	write(t, s, "s1", 1)
	if len(heard) != 1 || heard[0] != 1 {
		t.Fatalf("after an opening was heard of %v", heard)
	}
	write(t, s, "s1", 1) // a repetition is not news
	if len(heard) != 1 {
		t.Errorf("after it was repeated, of %v", heard)
	}
}

// A claim that is the session's own already stands: a zombie's was moved to it
// before (S2.3).
func TestOwnClaimStands(t *testing.T) {
	s := memstore.New()
	run := workload.Ref{Endpoint: "e", ID: "r"}
	first, entry := version("s1", 1)
	first.Run.ID = run.ID
	if err := s.Open(t.Context(), app.Opening{Session: first, Entry: entry}); err != nil {
		t.Fatal(err)
	}
	write(t, s, "s2", 1)
	if err := s.Reclaim(t.Context(), run, "s1", "s2"); err != nil {
		t.Fatal(err)
	}
	next, entry := version("s2", 2)
	next.Run.ID = run.ID
	if err := s.Commit(t.Context(), app.Commit{Next: next, Entry: entry, Claim: true}); err != nil {
		t.Errorf("claiming what is its own: %v", err)
	}
	other, entry := version("s1", 2)
	other.Run.ID = run.ID
	if err := s.Commit(t.Context(), app.Commit{Next: other, Entry: entry, Claim: true}); !fault.Is(err, fault.Conflict) {
		t.Errorf("claiming what is another's: %v", err)
	}
}

// What DynamoDB could not hold, and an anchor beyond the next one, are refused.
func TestRefused(t *testing.T) {
	s := memstore.New()
	state, entry := version("s1", 1)
	state.Run.ID = "r\xff"
	if err := s.Open(t.Context(), app.Opening{Session: state, Entry: entry}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a run id that is not UTF-8: %v", err)
	}
	if err := s.PutAnchor(t.Context(), proof.Anchor{Seq: 2, Hash: "h"}); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second anchor without a first: %v", err)
	}
}
