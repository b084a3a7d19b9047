package clock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// interleaved is the history of some chains that wait in every way there is.
func interleaved(t *testing.T, seed uint64) string {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	c := Serial(start, r.IntN)
	var trace strings.Builder
	running := 0
	say := func(who string, n int) {
		fmt.Fprintf(&trace, "%s%d@%s ", who, n, c.Now().Sub(start))
	}
	turn := func(who string, n int) {
		running++
		if running != 1 {
			t.Errorf("%d chains run at once", running)
		}
		say(who, n)
		running--
	}
	ping := c.NewSignal()
	for i := range 5 {
		c.Go(func() {
			for n := range 4 {
				turn(string(rune('a'+i)), n)
				if n%2 == 0 {
					c.Yield()
				} else if err := c.Sleep(context.Background(), time.Duration(n)*time.Second); err != nil {
					t.Error(err)
				}
			}
			ping.Fire()
		})
	}
	c.Go(func() {
		fired, err := ping.Wait(time.Hour)
		if !fired || err != nil {
			t.Errorf("the signal: %v, %v", fired, err)
		}
		tasks := make([]func(context.Context), 6)
		for n := range tasks {
			tasks[n] = func(ctx context.Context) { turn("p", n); _ = c.Sleep(ctx, time.Second); turn("q", n) }
		}
		c.Parallel(context.Background(), 3, tasks)
		turn("end", 0)
	})
	c.Run()
	if got := strings.Count(trace.String(), "@"); got != 5*4+6*2+1 {
		t.Errorf("%d steps, want 33: %s", got, &trace)
	}
	c.Close()
	return trace.String()
}

func TestSerialIsDeterministic(t *testing.T) {
	t.Parallel()
	different := map[string]bool{}
	for seed := range uint64(50) {
		first := interleaved(t, seed)
		if again := interleaved(t, seed); again != first {
			t.Fatalf("seed %d:\n%s\nthen\n%s", seed, first, again)
		}
		different[first] = true
	}
	if len(different) < 45 {
		t.Errorf("50 seeds gave only %d interleavings", len(different))
	}
}

func TestSerialMovesTimeOnlyWhenNobodyCouldRun(t *testing.T) {
	t.Parallel()
	c := Serial(start, func(n int) int { return n - 1 })
	var order []string
	for _, name := range []string{"x", "y", "z"} {
		c.Go(func() {
			_ = c.Sleep(context.Background(), time.Minute)
			order = append(order, name)
			c.Go(func() { order = append(order, name+"-child") })
			if got := c.Now().Sub(start); got != time.Minute {
				t.Errorf("%s runs at %s", name, got)
			}
		})
	}
	c.RunUntil(start.Add(30 * time.Second))
	if len(order) != 0 || !c.Now().Equal(start.Add(30*time.Second)) {
		t.Fatalf("before their time: %v at %s", order, c.Now())
	}
	c.RunUntil(start.Add(time.Hour))
	// The last that is ready goes first, always: z went to sleep first, x last.
	if got, want := strings.Join(order, " "), "x x-child y y-child z z-child"; got != want {
		t.Errorf("timers of one moment are not pick's to order: %s, want %s", got, want)
	}
}

func TestSerialEnds(t *testing.T) {
	t.Parallel()
	c := Serial(start, func(int) int { return 0 })
	ended := 0
	for range 3 {
		c.Go(func() {
			if err := c.Sleep(context.Background(), time.Hour); !errors.Is(err, ErrClosed) {
				t.Errorf("a sleep on a closed clock: %v", err)
			}
			ended++
		})
	}
	c.Go(func() { _ = c.Sleep(context.Background(), time.Minute); c.Close() })
	c.Run()
	if ended != 3 {
		t.Errorf("%d of 3 chains ended with the clock", ended)
	}
	c.Close()
	if _, err := c.NewSignal().Wait(time.Second); !errors.Is(err, ErrClosed) {
		t.Errorf("waiting on a closed clock: %v", err)
	}
}

func TestSerialPassesPanicsOn(t *testing.T) {
	t.Parallel()
	c := Serial(start, func(int) int { return 0 })
	c.Go(func() { panic("a defect") })
	defer func() {
		if r := recover(); r != "a defect" {
			t.Errorf("recovered %v", r)
		}
	}()
	c.Run()
	t.Error("the panic did not reach the caller of Run")
}

func TestSerialRefusesToWaitOutsideAChain(t *testing.T) {
	t.Parallel()
	c := Serial(start, func(int) int { return 0 })
	defer func() {
		if recover() == nil {
			t.Error("who is no chain waited")
		}
	}()
	_ = c.Sleep(context.Background(), time.Second)
}
