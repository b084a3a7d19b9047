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
	waiting     map[string][]app.Entry // by session
	delivering  map[string]bool        // by session: somebody is at it
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

// push queues an entry. It is called with the store's lock held, which makes
// the queue's order the commits' order.
func (o *stream) push(e app.Entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.subscribers) == 0 {
		return
	}
	if o.waiting == nil {
		o.waiting, o.delivering = map[string][]app.Entry{}, map[string]bool{}
	}
	o.waiting[e.SessionID] = append(o.waiting[e.SessionID], e)
}

// deliver empties the session's queue.
func (o *stream) deliver(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.delivering[id] {
		return
	}
	for len(o.waiting[id]) > 0 {
		o.delivering[id] = true
		e, subscribers := o.waiting[id][0], o.subscribers
		o.waiting[id] = o.waiting[id][1:]
		o.mu.Unlock()
		for _, f := range subscribers {
			f(cloneEntry(e))
		}
		o.mu.Lock()
	}
	delete(o.waiting, id)
	delete(o.delivering, id)
}
