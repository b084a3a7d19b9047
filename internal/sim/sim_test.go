package sim

import (
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
)

// TestSameSeedSameHistory: a seed is one history, instant by instant.
func TestSameSeedSameHistory(t *testing.T) {
	t.Parallel()
	different := map[string]bool{}
	for seed := range uint64(10) {
		first, again := Play(Options{Seed: seed, Hash: true}), Play(Options{Seed: seed, Hash: true})
		if first.Hash == "" || first.Hash != again.Hash {
			t.Fatalf("seed %d is not one history: %q, then %q", seed, first.Hash, again.Hash)
		}
		different[first.Hash] = true
	}
	if len(different) != 10 {
		t.Errorf("10 seeds are only %d histories", len(different))
	}
}

// play plays schedules on all processors.
func play(t *testing.T, n int, options func(i int) Options) Sum {
	t.Helper()
	var (
		total Sum
		mu    sync.Mutex
		next  atomic.Int64
		wg    sync.WaitGroup
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				o := options(i)
				r := Play(o)
				mu.Lock()
				total.Add(r)
				if len(r.Violations) > 0 && total.Broken() < 20 {
					t.Errorf("%s; play it again with: %s", r.Violations[0], Replay(o))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return total
}

// TestSchedules plays a thousand schedules: nothing is broken, and every fault
// and every cause was there to break it.
func TestSchedules(t *testing.T) {
	t.Parallel()
	total := play(t, 1000, func(i int) Options { return Options{Seed: uint64(i) + 1} }) //nolint:gosec // a count; `make sim SEED=0` plays many
	t.Log(total.Story())
	if n := total.Broken(); n > 0 {
		t.Errorf("%d promises were broken", n)
	}
	for _, what := range []string{
		"calls: is throttled", "calls: crashes before", "calls: crashes after", "calls: is carried out, its answer lost", "calls in an outage", "events copied", "events held up",
		"events lost", "listings without pages", "malformed events", "slow calls", "stream batches given up", "stream batches that came twice", "watches and drains killed",
	} {
		if total.Struck[what] < 100 {
			t.Errorf("of %q there were only %d", what, total.Struck[what])
		}
	}
	for _, why := range []string{
		"access-removed", "deadline", "identity-propagation-off", "idle", "kernel-stopped", "notebook-closed", "revoke-background", "revoke-interactive", "sign-out", "stop-requested",
		"user-deleted", "user-disabled", "waiter-aborted",
	} {
		if total.Musts[why] < 20 {
			t.Errorf("only %d sessions had to end for %s", total.Musts[why], why)
		}
	}
}

// TestLongSchedules plays some of 7 to 90 days.
func TestLongSchedules(t *testing.T) {
	t.Parallel()
	total := play(t, 2, func(i int) Options { return Options{Seed: uint64(i) + 1, Long: true} }) //nolint:gosec // a count
	if n := total.Broken(); n > 0 {
		t.Errorf("%d promises were broken", n)
	}
}

func TestRegressions(t *testing.T) {
	t.Parallel()
	for _, r := range Regressions {
		o := Options{Seed: r.Seed}
		for _, v := range Play(o).Violations {
			t.Errorf("%s (%s); play it again with: %s", v, r.Why, Replay(o))
		}
	}
}

// Schedules are short-lived: collecting garbage seldom saves a fifth of the time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(800)
	m.Run()
}
