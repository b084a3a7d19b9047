// Bench measures what Nightshift promises of itself and prints one line of
// figures each: a storm of stops in real time, outages, a table put back, drift
// and long watches in virtual time, the decision, the commit and what a session's life costs the
// table. Beside it stands what it is compared with, an expiration manager in the
// manner of Vault, measured in the same run. It ends with 1 and names every
// target that was missed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

func main() {
	// The store in memory stands for a table on other machines: what its rows cost
	// the collector is not what a function pays. The anchor has the same.
	debug.SetGCPercent(400)
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	if err := bench(ctx, os.Stdout, wall{}, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// wall is the wall clock.
type wall struct{}

// Now is the time of day.
func (wall) Now() time.Time { return time.Now() }

// Go runs f beside the caller.
func (wall) Go(f func()) { go f() }

// Sleep waits.
func (wall) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// parts are what is measured, in this order.
var parts = []struct {
	name    string
	measure func(context.Context, io.Writer, chains) error
}{
	{"storm", storms}, {"outage", outages}, {"restore", restores}, {"drift", drifts}, {"decide", decisions}, {"commit", commits}, {"session_life", lives}, {"watch", watches},
}

// bench prints the lines of the parts named, of all where none is; its error
// names every target missed.
func bench(ctx context.Context, out io.Writer, real chains, named []string) error {
	fmt.Fprintf(out, "machine cpu=%q cores=%d os=%s arch=%s go=%s load=%s\n", cpu(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), load())
	var missed []error
	measured := 0
	for _, p := range parts {
		if len(named) == 0 || slices.Contains(named, p.name) {
			missed = append(missed, p.measure(ctx, out, real))
			measured++
		}
	}
	if measured < len(named) || measured == 0 {
		return fmt.Errorf("there are the parts storm, outage, restore, drift, decide, commit, session_life and watch; not all of %q", named)
	}
	return errors.Join(missed...)
}

// load is how many processes wanted a core in the last minute, where the system
// tells it: beside others that do, the figures in real time are worth nothing.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// cpu is the processor's name, where the system tells it.
func cpu() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
