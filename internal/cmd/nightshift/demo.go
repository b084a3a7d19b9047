package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/asl/clock"
	"nightshift/internal/local/evening"
)

func demoCommand(now func() time.Time) *cobra.Command {
	var asJSON bool
	var speed float64
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play two evenings on the local system, judge them, and exit",
		Long: `demo plays two evenings on the local system. On the first, people start work,
sign out, are revoked, run out of time; events come late, twice, broken or never;
engines throttle and fall over. On the second, a virtual cluster is made, used and
deleted, a job's network is mended after a failed check, a notebook is moved to
another cluster, and a stopped run goes on from its checkpoint. After each it prints a
verdict on each session, computed from what the simulated engines saw. The exit
status is 0 only if every verdict holds.`,
		Example: "  nightshift demo\n  nightshift demo --json\n  nightshift demo --speed 3600   # an hour a second",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkSpeed(speed, true); err != nil {
				return err
			}
			return demo(cmd.OutOrStdout(), asJSON, speed, now)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON lines instead of text")
	cmd.Flags().Float64Var(&speed, "speed", 0, "virtual seconds a second; 0: as fast as possible")
	return cmd
}

// speedMax is a day in less than nine seconds; faster is --speed 0.
const speedMax = 10_000

func checkSpeed(speed float64, fast bool) error {
	switch {
	case speed == 0 && fast:
		return nil
	case speed >= 0.1 && speed <= speedMax:
		return nil
	case fast:
		return usage("--speed: %g is not allowed; it must be 0 (as fast as possible) or from 0.1 to %d virtual seconds a second", speed, speedMax)
	}
	return usage("--speed: %g is not allowed; it must be from 0.1 to %d virtual seconds a second", speed, speedMax)
}

// evenings are what the demo plays, each on a local system of its own.
var evenings = []struct {
	title string
	start time.Time
	play  func(*clock.Clock, func(evening.Line)) (evening.Result, error)
}{
	{"An evening on the local system: simulated engines behind their real protocols, one virtual clock.", evening.Start(), evening.Play},
	{"A second evening: clusters, a network, a notebook that moves, a run that goes on from its checkpoint.", evening.SecondStart(), evening.PlaySecond},
}

func demo(out io.Writer, asJSON bool, speed float64, now func() time.Time) error {
	w := &teller{out: out, json: asJSON}
	ok := true
	for _, e := range evenings {
		began := now()
		c := clock.New(e.start)
		if speed > 0 {
			c = clock.Paced(e.start, speed, now)
		}
		w.text(e.title + "\n\n")
		same := repeats{print: w.text}
		result, err := e.play(c, func(l evening.Line) {
			w.object(map[string]any{"type": "progress", "at": l.At, "who": l.Who, "what": l.What})
			same.add(fmt.Sprintf("%s  %-10s  %s", l.At.Format("15:04:05"), l.Who, l.What))
		})
		same.flush()
		if err != nil {
			return fmt.Errorf("the demo could not be played: %w", err)
		}
		w.verdicts(result, now().Sub(began))
		ok = ok && result.OK()
	}
	if w.failed == nil && !ok {
		return fmt.Errorf("at least one verdict does not hold; the table says which")
	}
	return w.failed
}

// teller writes either text or JSON lines, and keeps the first failure.
type teller struct {
	out    io.Writer
	json   bool
	failed error
}

func (w *teller) keep(err error) {
	if err != nil && w.failed == nil {
		w.failed = fmt.Errorf("cannot write: %w", err)
	}
}

func (w *teller) text(s string) {
	if !w.json {
		_, err := io.WriteString(w.out, s)
		w.keep(err)
	}
}

func (w *teller) object(v any) {
	if w.json {
		enc := json.NewEncoder(w.out)
		enc.SetEscapeHTML(false)
		w.keep(enc.Encode(v))
	}
}

// verdicts tells how an evening was judged, and how long it took to play.
func (w *teller) verdicts(result evening.Result, took time.Duration) {
	w.text("\n" + table(result))
	for _, row := range append(append([]evening.Row(nil), result.Rows...), result.Checks...) {
		w.object(map[string]any{"type": "verdict", "row": row})
	}
	sessions := 0
	for _, row := range result.Rows {
		sessions += row.Sessions
	}
	summary := "every verdict holds."
	if !result.OK() {
		summary = "NOT every verdict holds."
	}
	w.object(map[string]any{"type": "summary", "ok": result.OK(), "sessions": sessions, "checks": len(result.Checks), "proof": result.Proof, "seconds": took.Seconds()})
	w.text(fmt.Sprintf("\n%d sessions and %d checks judged from what the engines saw: %s Played in %.1f s.\nProof, from the hash-chained records alone: %s.\n\n",
		sessions, len(result.Checks), summary, took.Seconds(), result.Proof))
}

// repeats prints a line that comes several times in a row once, with a count.
type repeats struct {
	print func(string)
	last  string
	n     int
}

func (r *repeats) add(line string) {
	if line != r.last {
		r.flush()
		r.last = line
	}
	r.n++
}

func (r *repeats) flush() {
	switch {
	case r.n == 1:
		r.print(r.last + "\n")
	case r.n > 1:
		r.print(fmt.Sprintf("%s ×%d\n", r.last, r.n))
	}
	r.n = 0
}

func table(r evening.Result) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "SESSION\tUSER\tENGINE\tMODE\tWHAT HAPPENED\tCAUSE\tLATENESS\tFROM CAUSE\tVERDICT")
	for _, row := range append(append([]evening.Row(nil), r.Rows...), r.Checks...) {
		cause := row.Cause
		if cause == "" {
			cause = "goes on"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", short(row.Session), row.User, row.Engine, row.Mode, row.Happened, cause,
			lasting(row.LatenessSeconds), lasting(row.FromCauseSeconds), row.Verdict)
	}
	_ = w.Flush() // a strings.Builder takes everything
	return b.String()
}

func lasting(seconds *float64) string {
	if seconds == nil {
		return "–"
	}
	return time.Duration(*seconds * float64(time.Second)).Round(time.Second).String()
}

// short is enough of a session's id to tell it from others.
func short(id string) string {
	if len(id) > 10 && strings.HasPrefix(id, "s-") {
		return id[:10]
	}
	return id
}
