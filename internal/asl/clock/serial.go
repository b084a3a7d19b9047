package clock

import (
	"iter"
	"sync"
	"time"
)

// Serial gives a clock that moves as fast as it can and on which at most one
// chain runs at any moment, so that whole programs of many chains are
// deterministic. A chain runs until it waits or returns; then pick chooses, of n
// chains that could go on, which does: 0 ≤ pick(n) < n, asked only where n > 1.
// Time moves only when none could. The same answers of pick give the same
// history, instant by instant; other answers give other interleavings.
//
// Chains are coroutines of the goroutine that calls Run or RunUntil, which costs
// a tenth of what handing over between goroutines does, and lets a panic reach
// that caller. Only chains begun with Go may therefore wait; who holds a token by
// Enter may do everything else. A cancelled context does not end a Sleep at a
// certain place in the history: use contexts without Done.
func Serial(start time.Time, pick func(n int) int) *Clock {
	c := New(start)
	c.serial = &serial{pick: pick}
	return c
}

// serial is what a serial clock keeps besides. Only the one chain that runs, or
// the caller of Run, touches it.
type serial struct {
	pick  func(n int) int
	ready []*chain // could go on, in the order in which they became so
	now   *chain   // runs
	idle  []*chain // have returned and can take another function
}

// chain is a coroutine. One that has returned is used again, on this clock and
// then on others: its stack has grown already.
type chain struct {
	fn    func()
	home  *serial
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
	sleep Signal // what it waits for when it sleeps
}

// Yield lets any other chain that is ready go first; on a clock that is not
// serial it does nothing.
func (c *Clock) Yield() {
	s := c.serial
	if s == nil || len(s.ready) == 0 || s.now == nil {
		return
	}
	me := s.now
	s.ready = append(s.ready, me)
	me.rest()
}

func (s *serial) add(fn func()) {
	var ch *chain
	if n := len(s.idle); n > 0 {
		ch, s.idle = s.idle[n-1], s.idle[:n-1]
	} else {
		ch = spare()
	}
	ch.fn, ch.home = fn, s
	s.ready = append(s.ready, ch)
}

func newChain() *chain {
	ch := &chain{}
	ch.next, ch.stop = iter.Pull(func(yield func(struct{}) bool) {
		ch.yield = yield
		for more := true; more; more = yield(struct{}{}) {
			ch.fn()
			ch.fn = nil
			ch.home.idle = append(ch.home.idle, ch)
		}
	})
	return ch
}

// spares are chains of clocks that were closed.
var spares struct {
	sync.Mutex
	chains []*chain
}

// sparesMax bounds them; further ones are freed.
const sparesMax = 256

func spare() *chain {
	spares.Lock()
	defer spares.Unlock()
	n := len(spares.chains)
	if n == 0 {
		return newChain()
	}
	ch := spares.chains[n-1]
	spares.chains = spares.chains[:n-1]
	return ch
}

// running is the chain that waits now.
func (s *serial) running() *chain {
	if s.now == nil {
		panic("clock: on a serial clock only a chain begun with Go can wait")
	}
	return s.now
}

// rest gives the token back until the chain is picked again.
func (ch *chain) rest() { ch.yield(struct{}{}) }

// step lets one chain run that is ready; false: there is none. The clock's lock
// is free meanwhile.
func (s *serial) step(mu *sync.Mutex) bool {
	n := len(s.ready)
	if n == 0 {
		return false
	}
	i := 0
	if n > 1 {
		i = s.pick(n)
	}
	ch := s.ready[i]
	copy(s.ready[i:], s.ready[i+1:])
	s.ready[n-1] = nil
	s.ready = s.ready[:n-1]
	s.now = ch
	mu.Unlock()
	defer mu.Lock()
	ch.next()
	s.now = nil
	return true
}

// finish lets every chain end, each of whose waits answers ErrClosed, and gives
// the coroutines away. A chain that closes the clock itself leaves that to Run.
func (s *serial) finish(mu *sync.Mutex) {
	if s.now != nil {
		return
	}
	for s.step(mu) {
		continue
	}
	spares.Lock()
	defer spares.Unlock()
	for _, ch := range s.idle {
		if ch.home = nil; len(spares.chains) < sparesMax {
			spares.chains = append(spares.chains, ch)
		} else {
			ch.stop()
		}
	}
	s.idle = nil
}
