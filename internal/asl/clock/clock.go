// Package clock is a virtual clock for the local system and for tests. Time
// stands still while anything runs and jumps to the next timer when nothing
// does, so that hours pass in milliseconds and nothing depends on how fast the
// machine is.
//
// Every chain of work holds one token: a goroutine begun with Go, or a caller
// between Enter and Leave, together with everything it waits for synchronously
// (an HTTP request to a simulator on loopback is part of the caller's chain).
// The clock moves only when no token is held. Waiting for another chain must
// therefore go through Sleep, Signal or Parallel, which hand tokens over
// without a gap.
package clock

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrClosed is what waiting answers once the clock has been closed.
var ErrClosed = errors.New("the clock is closed")

// Clock is a virtual clock. Use New.
type Clock struct {
	mu      sync.Mutex
	changed *sync.Cond // the tokens, the timers or closed changed
	now     time.Time
	held    int
	timers  timers
	waiting []*Signal
	seq     uint64
	closed  bool

	serial *serial // nil: chains run at once

	speed  float64 // virtual seconds a real second; 0: as fast as possible
	real   func() time.Time
	anchor time.Time // real time at which now was set; only with speed
}

// New gives a clock that shows start and moves as fast as it can.
func New(start time.Time) *Clock {
	c := &Clock{now: start}
	c.changed = sync.NewCond(&c.mu)
	return c
}

// Paced gives a clock that moves at most speed virtual seconds in each second
// of real, the wall clock.
func Paced(start time.Time, speed float64, real func() time.Time) *Clock {
	c := New(start)
	c.speed, c.real, c.anchor = speed, real, real()
	return c
}

// Now is the virtual time.
func (c *Clock) Now() time.Time {
	if c.serial != nil {
		return c.now // the one chain that runs asks, or the caller of Run
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Go runs fn as a chain of its own.
func (c *Clock) Go(fn func()) {
	if c.serial != nil {
		c.serial.add(fn)
		return
	}
	c.Enter()
	go func() {
		defer c.Leave()
		fn()
	}()
}

// Enter takes a token for a caller from outside; Leave gives it back.
func (c *Clock) Enter() {
	c.mu.Lock()
	c.catchUp()
	c.held++
	c.mu.Unlock()
}

// Leave gives a token back.
func (c *Clock) Leave() {
	c.mu.Lock()
	c.held--
	c.changed.Broadcast()
	c.mu.Unlock()
}

// Sleep waits for d of virtual time; the caller's token is free meanwhile.
func (c *Clock) Sleep(ctx context.Context, d time.Duration) error {
	if c.serial != nil && c.serial.now != nil && ctx.Done() == nil {
		// Nobody else fires it, and the chain waits for nothing else meanwhile.
		s := &c.serial.now.sleep
		*s = Signal{c: c}
		s.timer.signal, s.timer.index = s, unset
		_, err := s.Wait(d)
		return err
	}
	s := c.NewSignal()
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { s.Fire() })
		defer stop()
	}
	fired, err := s.Wait(d)
	if err != nil {
		return err
	}
	if fired {
		return ctx.Err()
	}
	return nil
}

// Parallel runs the tasks as chains of their own, at most limit at once, and
// returns when all have returned. It is an app.Parallel.
func (c *Clock) Parallel(ctx context.Context, limit int, tasks []func(context.Context)) {
	if len(tasks) == 0 {
		return
	}
	var mu sync.Mutex
	next, left := 0, len(tasks)
	done := c.NewSignal()
	worker := func() {
		for {
			mu.Lock()
			i := next
			next++
			mu.Unlock()
			if i >= len(tasks) {
				return
			}
			tasks[i](ctx)
			mu.Lock()
			left--
			last := left == 0
			mu.Unlock()
			if last {
				done.Fire()
			}
		}
	}
	for range min(limit, len(tasks)) {
		c.Go(worker)
	}
	// A closed clock wakes us early; the tasks then end by themselves.
	_, _ = done.Wait(-1)
}

// Signal wakes one waiter, once, possibly before it waits.
type Signal struct {
	c       *Clock
	fired   bool
	waiting chan struct{}
	place   int    // among those that are waited for
	chain   *chain // that waits, on a serial clock
	timer   timer
}

// NewSignal gives a signal that has not fired.
func (c *Clock) NewSignal() *Signal {
	s := &Signal{c: c}
	s.timer.signal, s.timer.index = s, unset
	return s
}

// Fire wakes the waiter, or the next one to come. Firing twice is firing once.
func (s *Signal) Fire() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.fired {
		return
	}
	s.fired = true
	s.wake()
}

// wake hands the waiter a token; the clock's lock is held.
func (s *Signal) wake() {
	if s.waiting == nil && s.chain == nil {
		return
	}
	last := len(s.c.waiting) - 1
	moved := s.c.waiting[last]
	s.c.waiting[s.place], moved.place = moved, s.place
	s.c.waiting[last], s.c.waiting = nil, s.c.waiting[:last]
	if s.timer.index != unset {
		s.c.timers.remove(s.timer.index)
	}
	if s.chain != nil {
		s.c.serial.ready = append(s.c.serial.ready, s.chain)
		s.chain = nil
		return
	}
	close(s.waiting)
	s.waiting = nil
	s.c.held++
	s.c.changed.Broadcast()
}

// Wait waits until the signal fires or d of virtual time has passed; a negative
// d waits for the signal alone. The caller's token is free meanwhile. A signal
// that has fired can be waited for again at once.
func (s *Signal) Wait(d time.Duration) (fired bool, err error) {
	c := s.c
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return false, ErrClosed
	}
	if s.fired || d == 0 {
		fired = s.fired
		c.mu.Unlock()
		return fired, nil
	}
	s.place, c.waiting = len(c.waiting), append(c.waiting, s)
	if d > 0 {
		c.seq++
		s.timer.at, s.timer.seq = c.now.Add(d), c.seq
		c.timers.push(&s.timer)
	}
	if c.serial != nil {
		s.chain = c.serial.running()
		c.mu.Unlock()
		s.chain.rest()
		c.mu.Lock()
		defer c.mu.Unlock()
		return s.fired, c.ended()
	}
	ch := make(chan struct{})
	s.waiting = ch
	c.held--
	c.changed.Broadcast()
	c.mu.Unlock()
	<-ch
	c.mu.Lock()
	defer c.mu.Unlock()
	return s.fired, c.ended()
}

func (c *Clock) ended() error {
	if c.closed {
		return ErrClosed
	}
	return nil
}

// RunUntil moves the clock until it shows end and nothing runs, or until it is
// closed. It must not be called by a chain that holds a token.
func (c *Clock) RunUntil(end time.Time) {
	c.run(func(next time.Time) bool { return !next.After(end) }, end)
}

// Run moves the clock until no timer is left and nothing runs, or until it is
// closed.
func (c *Clock) Run() { c.run(func(time.Time) bool { return true }, time.Time{}) }

// Serve moves the clock until it is closed, waiting for callers from outside
// when nothing is left to do.
func (c *Clock) Serve() {
	far := c.Now().AddDate(1000, 0, 0)
	c.RunUntil(far)
}

func (c *Clock) run(within func(time.Time) bool, end time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closed {
		if c.held > 0 {
			c.changed.Wait()
			continue
		}
		if c.serial != nil && c.serial.step(&c.mu) {
			continue
		}
		target := end
		if len(c.timers) > 0 && within(c.timers[0].at) {
			target = c.timers[0].at
		} else if end.IsZero() || !c.now.Before(end) {
			return
		}
		if !c.pace(target) {
			continue
		}
		if target.After(c.now) {
			c.now = target
		}
		for len(c.timers) > 0 && !c.timers[0].at.After(c.now) {
			c.timers.remove(0).signal.wake()
			if c.serial == nil {
				break // its chain has run before the next timer of this moment fires
			}
		}
	}
	if c.serial != nil {
		c.serial.finish(&c.mu)
	}
}

// pace waits until the real time for the target has come; false: something
// changed meanwhile and the target must be chosen anew.
func (c *Clock) pace(target time.Time) bool {
	if c.speed <= 0 {
		return true
	}
	c.catchUp()
	wait := time.Duration(float64(target.Sub(c.now)) / c.speed)
	if wait <= 0 {
		return true
	}
	alarm := time.AfterFunc(min(wait, time.Hour), func() {
		c.mu.Lock()
		c.changed.Broadcast()
		c.mu.Unlock()
	})
	c.changed.Wait()
	alarm.Stop()
	return false
}

// catchUp brings a paced clock to the present, never past the next timer.
func (c *Clock) catchUp() {
	if c.speed <= 0 {
		return
	}
	real := c.real()
	if c.held == 0 {
		to := c.now.Add(time.Duration(float64(real.Sub(c.anchor)) * c.speed))
		if len(c.timers) > 0 && to.After(c.timers[0].at) {
			to = c.timers[0].at
		}
		if to.After(c.now) {
			c.now = to
		}
	}
	c.anchor = real
}

// Close wakes everyone who waits, with ErrClosed, and stops the clock.
func (c *Clock) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, s := range slices.Clone(c.waiting) {
		s.wake()
	}
	c.changed.Broadcast()
	if c.serial != nil {
		c.serial.finish(&c.mu)
	}
}

type timer struct {
	at     time.Time
	seq    uint64 // timers of one moment fire in the order they were set
	index  int    // among the timers; unset: it is not set
	signal *Signal
}

const unset = -1

// timers is a heap: the first is the earliest. It is one of the hottest places of a
// simulation, and container/heap's, over an interface, takes twice as long.
type timers []*timer

func (t timers) less(i, j int) bool {
	if c := t[i].at.Compare(t[j].at); c != 0 {
		return c < 0
	}
	return t[i].seq < t[j].seq
}

func (t timers) swap(i, j int) { t[i], t[j] = t[j], t[i]; t[i].index, t[j].index = i, j }

func (t *timers) push(e *timer) {
	e.index = len(*t)
	*t = append(*t, e)
	t.up(e.index)
}

// remove takes the timer at a place out.
func (t *timers) remove(i int) *timer {
	e, last := (*t)[i], len(*t)-1
	t.swap(i, last)
	(*t)[last], *t = nil, (*t)[:last]
	if e.index = unset; i < last && !t.down(i) {
		t.up(i)
	}
	return e
}

func (t timers) up(i int) {
	for i > 0 && t.less(i, (i-1)/2) {
		t.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

// down says whether it moved the timer.
func (t timers) down(i int) (moved bool) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(t); child++ {
			if t.less(child, least) {
				least = child
			}
		}
		if least == i {
			return moved
		}
		t.swap(i, least)
		i, moved = least, true
	}
}
