package clock

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)

func TestTimersFireInOrderAndTimeJumps(t *testing.T) {
	c := New(start)
	got := make(chan string, 3)
	for _, w := range []struct {
		name string
		d    time.Duration
	}{{"second", 2 * time.Hour}, {"first", time.Hour}, {"third", 90 * 24 * time.Hour}} {
		c.Go(func() {
			if err := c.Sleep(context.Background(), w.d); err != nil {
				t.Error(err)
			}
			got <- w.name + " " + c.Now().Sub(start).String()
		})
	}
	c.Run()
	for _, want := range []string{"first 1h0m0s", "second 2h0m0s", "third 2160h0m0s"} {
		if g := <-got; g != want {
			t.Errorf("got %q, want %q", g, want)
		}
	}
}

func TestTimeStandsStillWhileAnythingRuns(t *testing.T) {
	c := New(start)
	var late atomic.Int64
	c.Go(func() {
		tasks := make([]func(context.Context), 50)
		for i := range tasks {
			tasks[i] = func(ctx context.Context) { _ = c.Sleep(ctx, time.Second) }
		}
		c.Parallel(context.Background(), 5, tasks)
		late.Store(int64(c.Now().Sub(start)))
	})
	c.Run()
	if got := time.Duration(late.Load()); got != 10*time.Second {
		t.Errorf("50 sleeps of 1 s, 5 at once, took %s of virtual time, want 10s", got)
	}
}

func TestSignalBeatsItsTimeoutOrNot(t *testing.T) {
	c := New(start)
	early, never := c.NewSignal(), c.NewSignal()
	res := make(chan bool, 2)
	c.Go(func() { f, _ := early.Wait(time.Hour); res <- f })
	c.Go(func() { _ = c.Sleep(context.Background(), time.Minute); early.Fire(); early.Fire() })
	c.Run()
	if !<-res {
		t.Error("a signal fired before its timeout answers that it timed out")
	}
	c.Go(func() { f, _ := never.Wait(time.Hour); res <- f })
	c.Run()
	if <-res {
		t.Error("a signal that never fired answers that it did")
	}
}

func TestCloseWakesEveryone(t *testing.T) {
	c := New(start)
	res := make(chan error, 1)
	c.Go(func() { _, err := c.NewSignal().Wait(-1); res <- err })
	c.Go(c.Close)
	c.Run()
	if err := <-res; err != ErrClosed {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

func TestPacedClockKeepsToItsSpeed(t *testing.T) {
	begin := time.Now()
	c := Paced(start, 3600, time.Now)
	c.Go(func() { _ = c.Sleep(context.Background(), 6*time.Minute) })
	c.Run()
	if real := time.Since(begin); real < 90*time.Millisecond {
		t.Errorf("6 virtual minutes at 3600 a second took %s, want at least 100ms", real)
	}
	if got := c.Now().Sub(start); got < 6*time.Minute {
		t.Errorf("the clock shows %s, want 6m", got)
	}
}
