package memstore

import (
	"sync"

	"nightshift/internal/app"
)

// stream hands committed entries to the subscribers, in commit order per
// session. It is the local stand-in for the table's stream.
type stream struct {
	mu          sync.Mutex
	subscribers []func(app.Entry)
}

// queue is what of one session is still to be delivered.
type queue struct {
	waiting    []*app.Entry
	delivering bool // somebody is at it
}

// Subscribe lets f have each entry committed from now on, after its commit and
// outside the store's lock, so that f may call the store. The goroutine that
// committed delivers, unless another one is delivering for the same session:
// then that one goes on with it. So a commit of the same session made by f
// itself is delivered when f has returned.
func (s *Store) Subscribe(f func(app.Entry)) {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	s.out.subscribers = append(s.out.subscribers[:len(s.out.subscribers):len(s.out.subscribers)], f)
}

// push queues an entry, which nobody changes. It is called with the store's lock
// held, which makes the queue's order the commits' order.
func (o *stream) push(q *queue, e *app.Entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.subscribers) > 0 {
		q.waiting = append(q.waiting, e)
	}
}

// deliver empties a session's queue.
func (o *stream) deliver(q *queue) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if q.delivering {
		return
	}
	for len(q.waiting) > 0 {
		q.delivering = true
		e, subscribers := q.waiting[0], o.subscribers
		q.waiting = q.waiting[1:]
		o.mu.Unlock()
		for _, f := range subscribers {
			f(cloneEntry(e))
		}
		o.mu.Lock()
	}
	q.waiting, q.delivering = nil, false
}
