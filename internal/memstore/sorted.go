package memstore

import (
	"cmp"
	"slices"
	"time"
)

// key orders rows by moment, then by id.
type key struct {
	sec  int64
	nsec int64
	id   string
}

func keyOf(at time.Time, id string) key {
	return key{sec: at.Unix(), nsec: int64(at.Nanosecond()), id: id}
}

func ascending(a, b key) int {
	return cmp.Or(cmp.Compare(a.sec, b.sec), cmp.Compare(a.nsec, b.nsec), cmp.Compare(a.id, b.id))
}

func descending(a, b key) int { return ascending(b, a) }

// chunkMax bounds a chunk of sorted; a fuller one is split, so that an insert
// moves few rows however many there are: about as many as there are chunks of
// 20,000 rows.
const chunkMax = 128

type row[V any] struct {
	key   key
	value V
}

// sorted keeps one row per id in the order of compare.
type sorted[V any] struct {
	compare func(a, b key) int
	chunks  [][]row[V] // none is empty
	keys    map[string]key
}

func newSorted[V any](compare func(a, b key) int) *sorted[V] {
	return &sorted[V]{compare: compare, keys: map[string]key{}}
}

// put places the id's row at the key, wherever it was before.
func (s *sorted[V]) put(k key, v V) {
	if old, ok := s.keys[k.id]; ok && old != k {
		s.drop(k.id)
	}
	s.keys[k.id] = k
	if len(s.chunks) == 0 {
		s.chunks = [][]row[V]{{{k, v}}}
		return
	}
	c := s.chunk(k)
	i, found := s.find(c, k)
	if found {
		s.chunks[c][i].value = v
		return
	}
	s.chunks[c] = slices.Insert(s.chunks[c], i, row[V]{k, v})
	if n := len(s.chunks[c]); n > chunkMax {
		half := slices.Clone(s.chunks[c][n/2:])
		s.chunks[c] = slices.Delete(s.chunks[c], n/2, n)
		s.chunks = slices.Insert(s.chunks, c+1, half)
	}
}

// drop removes the id's row, if there is one.
func (s *sorted[V]) drop(id string) {
	k, ok := s.keys[id]
	if !ok {
		return
	}
	delete(s.keys, id)
	c := s.chunk(k)
	i, _ := s.find(c, k)
	s.chunks[c] = slices.Delete(s.chunks[c], i, i+1)
	if len(s.chunks[c]) == 0 {
		s.chunks = slices.Delete(s.chunks, c, c+1)
	}
}

// chunk is the chunk in which the key is or would be; there must be one.
func (s *sorted[V]) chunk(k key) int {
	c, found := slices.BinarySearchFunc(s.chunks, k, func(rows []row[V], k key) int { return s.compare(rows[0].key, k) })
	if !found && c > 0 {
		c--
	}
	return c
}

func (s *sorted[V]) find(c int, k key) (int, bool) {
	return slices.BinarySearchFunc(s.chunks[c], k, func(r row[V], k key) int { return s.compare(r.key, k) })
}

// after calls yield with the rows behind the key (nil: all) until it says no.
func (s *sorted[V]) after(k *key, yield func(key, V) bool) {
	c, i := 0, 0
	if k != nil && len(s.chunks) > 0 {
		c = s.chunk(*k)
		var found bool
		if i, found = s.find(c, *k); found {
			i++
		}
	}
	for ; c < len(s.chunks); c, i = c+1, 0 {
		for _, r := range s.chunks[c][i:] {
			if !yield(r.key, r.value) {
				return
			}
		}
	}
}
