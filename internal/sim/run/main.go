// Command run plays schedules of the simulation, as many at once as there are
// processors, and prints what they came to; with a seed it plays that one and
// prints its trace. It exits with 1 where a promise was broken.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"nightshift/internal/sim"
)

func main() {
	schedules := flag.Int("schedules", 10_000, "how many schedules to play")
	first := flag.Uint64("first", 1, "the seed of the first one; the others follow")
	seed := flag.Uint64("seed", 0, "play this seed alone, with its trace")
	horizon := flag.String("horizon", "", `"long": 7 to 90 days instead of at most 2 hours`)
	profile := flag.String("cpuprofile", "", "write a CPU profile to this file")
	flag.Parse()
	// Schedules live for milliseconds: collecting seldom costs some memory, and
	// saves a fifth of the time.
	debug.SetGCPercent(800)
	err := run(*schedules, *first, *seed, *horizon == "long", *profile)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var errBroken = errors.New("a promise was broken")

func run(schedules int, first, seed uint64, long bool, profile string) error {
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	began := time.Now()
	var total sim.Sum
	if seed != 0 {
		out := bufio.NewWriter(os.Stdout)
		defer func() { _ = out.Flush() }()
		total.Add(sim.Play(sim.Options{Seed: seed, Long: long, Trace: func(line string) { fmt.Fprintln(out, line) }}))
		fmt.Fprintln(out, total.Line(time.Since(began)))
	} else {
		total = many(schedules, first, long)
		fmt.Println(total.Story())
		fmt.Println(total.Line(time.Since(began)))
	}
	if total.Broken() > 0 {
		return errBroken
	}
	return nil
}

// many plays the schedules on all processors; what breaks is printed as it is
// found, with the command that plays it again.
func many(schedules int, first uint64, long bool) sim.Sum {
	var (
		total sim.Sum
		mu    sync.Mutex
		next  atomic.Uint64
		wg    sync.WaitGroup
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for n := next.Add(1); n <= uint64(schedules); n = next.Add(1) { //nolint:gosec // a count
				o := sim.Options{Seed: first + n - 1, Long: long}
				r := sim.Play(o)
				mu.Lock()
				total.Add(r)
				if len(r.Violations) > 0 && total.Broken() <= reported {
					fmt.Printf("seed %d, %d broken promises; play it again with: %s\n  %s\n", o.Seed, len(r.Violations), sim.Replay(o), r.Violations[0])
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return total
}

// reported bounds how many broken promises are printed one by one.
const reported = 200
