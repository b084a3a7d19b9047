package clock

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Timers come out by their moment, those of one moment in the order they were set,
// whichever of them are taken out before.
func TestTimers(t *testing.T) {
	t.Parallel()
	draw := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		var all timers
		var set []*timer
		for n := range draw.IntN(60) + 1 {
			e := &timer{at: time.Unix(draw.Int64N(20), 0), seq: uint64(n), index: unset}
			all.push(e)
			set = append(set, e)
		}
		for range draw.IntN(len(set)) {
			i := draw.IntN(len(set))
			if out := all.remove(set[i].index); out != set[i] || out.index != unset {
				t.Fatalf("round %d: the timer that was taken out is another one", round)
			}
			set = slices.Delete(set, i, i+1)
		}
		slices.SortFunc(set, func(a, b *timer) int {
			if c := a.at.Compare(b.at); c != 0 {
				return c
			}
			return int(a.seq) - int(b.seq) //nolint:gosec // below 60
		})
		for n, want := range set {
			if got := all.remove(0); got != want {
				t.Fatalf("round %d: timer %d of %d is that of %s, not of %s", round, n, len(set), got.at, want.at)
			}
		}
		if len(all) > 0 {
			t.Fatalf("round %d: %d timers are left", round, len(all))
		}
	}
}
