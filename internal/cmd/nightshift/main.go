// Command nightshift is Nightshift's command line: for people who look after
// sessions, here or in an AWS account, and for the local system, the demo and the
// pure decision. It wires; it decides nothing itself.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strconv"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "nightshift: "+err.Error())
		os.Exit(statusOf(err))
	}
}

func run(args []string) error { return execute(context.Background(), args, outside()) }

// outside is the terminal, or what stands for it, that this process was given.
func outside() *terminal {
	t := &terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr, width: columnsOf(os.Stdout), getenv: os.Getenv, now: time.Now, wait: wait, key: rand.Text}
	t.live = columnsOf(os.Stderr) > 0 && t.getenv("TERM") != "dumb"
	t.asks = columnsOf(os.Stdin) > 0 && columnsOf(os.Stderr) > 0
	t.colour = t.width > 0 && t.getenv("NO_COLOR") == "" && t.getenv("TERM") != "dumb"
	if n, err := strconv.Atoi(t.getenv("COLUMNS")); err == nil && n > 0 {
		t.width = n
	}
	return t
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
