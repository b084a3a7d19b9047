// Rehearse deploys the stack as a person would, with the stock CDK command line,
// to MiniStack, an imitation of AWS that nobody here wrote: bootstrap, deploy, a
// sign-out that ends a session, an update, and the end of the stack. It knows the
// command lines, what the engine lacks, and what must be seen; it must not help the
// stack along: what it does not see is a failure.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Limits of waiting. What is waited for takes seconds; on a busy machine more.
const (
	patience = 2 * time.Minute
	pause    = 200 * time.Millisecond
	whole    = 15 * time.Minute // all of it, with a first compilation
)

func main() {
	packages := flag.String("engine", "", "folder of MiniStack's Python packages (infra/ministack.sh)")
	functions := flag.String("functions", "", "folder with <function>/bootstrap, built for this machine")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, whole)
	err := rehearse(ctx, *packages, *functions)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "The rehearsal failed:", err)
		os.Exit(1)
	}
}

func rehearse(ctx context.Context, packages, functions string) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(root, "infra", "cdk.json")); err != nil {
		return fmt.Errorf("run this in the repository's folder: %w", err)
	}
	folder, err := os.MkdirTemp("", "nightshift-rehearsal-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	port, err := freePort()
	if err != nil {
		return err
	}
	p := place{root: root, folder: folder, url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	p.settle()
	built, err := filepath.Abs(functions)
	if err != nil {
		return err
	}
	r := &rehearsal{place: p, functions: built, now: time.Now, until: until}
	begin := time.Now()
	end, err := p.start(ctx, packages)
	if err != nil {
		return err
	}
	defer end()
	for _, s := range r.steps() {
		from := time.Now()
		said, err := s.do(ctx)
		if err != nil {
			log, _ := os.ReadFile(filepath.Join(folder, "engine.log"))
			return fmt.Errorf("%s: %w\nThe engine said at last:\n%s", s.name, err, tail(string(log)))
		}
		fmt.Printf("%-10s %5.1f s  %s\n", s.name, time.Since(from).Seconds(), strings.Join(said, "\n                    "))
	}
	fmt.Println("What the engine cannot do, and was therefore not rehearsed:")
	for _, line := range append(r.leftOut, missing...) {
		fmt.Println("  -", line)
	}
	fmt.Printf("rehearse steps=%d left_out=%d seconds=%.0f\n", len(r.steps()), r.left, time.Since(begin).Seconds())
	return nil
}

// until asks again and again whether something is so.
func until(ctx context.Context, what string, so func() (bool, error)) error {
	limit := time.After(patience)
	for {
		is, err := so()
		if is || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit:
			return fmt.Errorf("%s: not seen for %s", what, patience)
		case <-time.After(pause):
		}
	}
}
