package sim

import (
	"context"
	"sync"

	"nightshift/internal/app"
	"nightshift/internal/memstore"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// What a function has read it forgets when it has answered, as in Lambda nothing of it
// may matter to a later call. So the pages of its reads are written into room that
// earlier ones had, of any schedule; who kept one would find another's content in it.
// They were a third of what a schedule allocated.

// lent is what an invocation has been lent.
type lent struct {
	sessions []*[]session.Session
	entries  []*[]app.Entry
	runs     []*[]workload.Observation
}

// roomOf is how many things a piece of room has; longer pages are made.
const roomOf = 32

// rooms are pieces of room that nobody has.
type rooms[T any] struct{ sync.Pool }

var (
	sessionRooms rooms[session.Session]
	entryRooms   rooms[app.Entry]
	runRooms     rooms[workload.Observation]
)

// lend gives room for n things to the invocation that a context is of, among what it
// has; what is the simulation's own is made.
func (r *rooms[T]) lend(ctx context.Context, of func(*lent) *[]*[]T, n int) []T {
	i := invocationOf(ctx)
	if i == nil || n == 0 || n > roomOf {
		return make([]T, n)
	}
	piece, ok := r.Get().(*[]T)
	if !ok {
		fresh := make([]T, roomOf)
		piece = &fresh
	}
	had := of(&i.lent)
	*had = append(*had, piece)
	return (*piece)[:n:n]
}

// take takes back what was lent.
func (r *rooms[T]) take(had []*[]T) {
	for _, piece := range had {
		r.Put(piece)
	}
}

// back gives all of it back.
func (l *lent) back() {
	sessionRooms.take(l.sessions)
	entryRooms.take(l.entries)
	runRooms.take(l.runs)
	*l = lent{}
}

// invocationOf is the invocation that a context is of; nil: the simulation's own.
func invocationOf(ctx context.Context) *invocation {
	i, _ := ctx.Value(invocationKey{}).(*invocation)
	return i
}

// room is what the store copies into.
var room = memstore.Room{
	Sessions: func(ctx context.Context, n int) []session.Session {
		return sessionRooms.lend(ctx, func(l *lent) *[]*[]session.Session { return &l.sessions }, n)
	},
	Entries: func(ctx context.Context, n int) []app.Entry {
		return entryRooms.lend(ctx, func(l *lent) *[]*[]app.Entry { return &l.entries }, n)
	},
}
