package memstore_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/memstore"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

var base = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func version(id string, n int64) (session.Session, app.Entry) {
	s := session.Session{ID: id, Version: n, User: "ana", Status: session.Active, OpenedAt: base, Run: workload.Run{Endpoint: "e"}}
	return s, app.Entry{SessionID: id, Version: n, Hash: fmt.Sprint(id, n), Effects: []session.Effect{{Kind: session.Watch}}}
}

func write(t *testing.T, s *memstore.Store, id string, n int64) {
	t.Helper()
	state, entry := version(id, n)
	put(t, s, state, entry)
}

func put(t *testing.T, s *memstore.Store, state session.Session, entry app.Entry) {
	t.Helper()
	var err error
	if state.Version == 1 {
		err = s.Open(t.Context(), app.Opening{Session: state, Entry: entry})
	} else {
		err = s.Commit(t.Context(), app.Commit{Next: state, Entry: entry})
	}
	if err != nil {
		t.Error(err)
	}
}

func TestStreamDeliversInOrderOnceAndOutsideTheLock(t *testing.T) {
	s := memstore.New()
	var mu sync.Mutex
	got := map[string][]int64{}
	s.Subscribe(func(e app.Entry) {
		if _, err := s.Session(t.Context(), e.SessionID); err != nil { // the lock is free, the commit done
			t.Error(err)
		}
		mu.Lock()
		got[e.SessionID] = append(got[e.SessionID], e.Version)
		mu.Unlock()
		if e.Version == 2 {
			write(t, s, e.SessionID, 3) // what a subscriber commits comes after what it was told
			mu.Lock()
			if n := len(got[e.SessionID]); n != 2 {
				t.Errorf("delivered while its predecessor was being delivered: %d", n)
			}
			mu.Unlock()
		}
	})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			id := fmt.Sprint("s", i)
			write(t, s, id, 1)
			write(t, s, id, 2)
			write(t, s, id, 2) // a repetition is not news
			write(t, s, id, 4)
		})
	}
	wg.Wait()
	if len(got) != 8 {
		t.Fatalf("%d sessions were heard of", len(got))
	}
	for id, versions := range got {
		if !slices.Equal(versions, []int64{1, 2, 3, 4}) {
			t.Errorf("%s: delivered %v", id, versions)
		}
	}
}

// Changes of one session never overtake each other, however the lag varies: it is
// listed at one endpoint at a time, and never again at one that it has left.
func TestLagKeepsOrder(t *testing.T) {
	now := base
	random := rand.New(rand.NewPCG(1, 2))
	s := memstore.New(memstore.WithIndexLag(func() time.Time { return now }, func() time.Duration { return time.Duration(random.Int64N(int64(5 * time.Second))) }))
	const moves = 500
	place := func(n int64) string { return fmt.Sprint("e", n) }
	listed := func(n int64) bool {
		p, err := s.OfEndpoint(t.Context(), place(n), "")
		if err != nil {
			t.Fatal(err)
		}
		return len(p.Sessions) == 1
	}
	last, stale := int64(0), 0
	for n := int64(1); n <= moves; n++ {
		state, entry := version("s", n)
		state.Run.Endpoint = place(n)
		put(t, s, state, entry)
		now = now.Add(time.Duration(random.Int64N(int64(time.Second))))
		at := int64(0)
		for m := max(1, last-1); m <= n; m++ {
			if listed(m) {
				if at != 0 || m < last {
					t.Fatalf("it is listed at %d, after %d and %d", m, at, last)
				}
				at = m
			}
		}
		if last = max(last, at); last < n {
			stale++
		}
	}
	if stale == 0 || last == 0 {
		t.Errorf("the index was behind %d times, and showed up to %d: nothing was looked at", stale, last)
	}
	now = now.Add(time.Minute)
	if !listed(moves) || last < moves && listed(last) {
		t.Error("it did not catch up")
	}
}

// BenchmarkCommit is what the simulator pays for a commit among many sessions.
func BenchmarkCommit(b *testing.B) {
	s := memstore.New()
	const sessions = 100_000
	for i := range sessions {
		state, entry := version(fmt.Sprint("s", i), 1)
		if err := s.Open(b.Context(), app.Opening{Session: state, Entry: entry}); err != nil {
			b.Fatal(err)
		}
	}
	versions := make([]int64, sessions)
	for n := 0; b.Loop(); n++ {
		i := n * 7919 % sessions
		versions[i]++
		state, entry := version(fmt.Sprint("s", i), versions[i]+1)
		state.Deadline = base.Add(time.Duration(n) * time.Second)
		if err := s.Commit(b.Context(), app.Commit{Next: state, Entry: entry}); err != nil {
			b.Fatal(err)
		}
	}
}
