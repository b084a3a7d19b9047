package memstore

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// sorted against a plain map, over enough rows that chunks split and vanish.
func TestSortedAgainstAMap(t *testing.T) {
	for name, compare := range map[string]func(a, b key) int{"ascending": ascending, "descending": descending} {
		s, model := newSorted[int](compare), map[string]row[int]{}
		random := rand.New(rand.NewPCG(7, 8))
		for step := range 20_000 {
			id := fmt.Sprint("s", random.IntN(3000))
			if random.IntN(3) == 0 || step > 15_000 {
				s.drop(id)
				delete(model, id)
				continue
			}
			k := keyOf(time.Unix(random.Int64N(50)-25, random.Int64N(3)), id)
			s.put(k, step)
			model[id] = row[int]{k, step}
		}
		var want []row[int]
		for _, r := range model {
			want = append(want, r)
		}
		slices.SortFunc(want, func(a, b row[int]) int { return compare(a.key, b.key) })
		if len(want) < 100 {
			t.Fatalf("only %d rows are left to look at", len(want))
		}
		for _, from := range []int{-1, 0, len(want) / 2, len(want) - 1} {
			var after *key
			if from >= 0 {
				after = &want[from].key
			}
			var got []row[int]
			s.after(after, func(k key, v int) bool {
				got = append(got, row[int]{k, v})
				return true
			})
			if !slices.Equal(got, want[from+1:]) {
				t.Errorf("%s: after row %d: %d rows, want %d", name, from, len(got), len(want)-from-1)
			}
		}
	}
}
