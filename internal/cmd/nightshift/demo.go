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
		Short: "Play an evening on the local system, judge it, and exit",
		Long: `demo plays an evening on the local system: people start work, sign out, are
revoked, run out of time; events come late, twice, broken or never; engines
throttle and fall over. Then it prints a verdict on each session, computed from
what the simulated engines saw. The exit status is 0 only if every verdict holds.`,
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

func demo(out io.Writer, asJSON bool, speed float64, now func() time.Time) error {
	began := now()
	c := clock.New(evening.Start())
	if speed > 0 {
		c = clock.Paced(evening.Start(), speed, now)
	}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	var failed error
	line := func(v any, text string) {
		var err error
		if asJSON {
			err = enc.Encode(v)
		} else {
			_, err = io.WriteString(out, text)
		}
		if err != nil && failed == nil {
			failed = fmt.Errorf("cannot write: %w", err)
		}
	}
	if !asJSON {
		line(nil, "An evening on the local system: simulated engines behind their real protocols, one virtual clock.\n\n")
	}
	same := repeats{print: func(text string) { line(nil, text) }}
	result, err := evening.Play(c, func(l evening.Line) {
		if asJSON {
			line(map[string]any{"type": "progress", "at": l.At, "who": l.Who, "what": l.What}, "")
			return
		}
		same.add(fmt.Sprintf("%s  %-10s  %s", l.At.Format("15:04:05"), l.Who, l.What))
	})
	same.flush()
	if err != nil {
		return fmt.Errorf("the demo could not be played: %w", err)
	}
	if !asJSON {
		line(nil, "\n"+table(result))
	}
	for _, row := range append(append([]evening.Row(nil), result.Rows...), result.Checks...) {
		if asJSON {
			line(map[string]any{"type": "verdict", "row": row}, "")
		}
	}
	sessions := 0
	for _, row := range result.Rows {
		sessions += row.Sessions
	}
	summary := fmt.Sprintf("%d sessions and %d checks judged from what the engines saw: ", sessions, len(result.Checks))
	if result.OK() {
		summary += "every verdict holds."
	} else {
		summary += "NOT every verdict holds."
	}
	line(map[string]any{"type": "summary", "ok": result.OK(), "sessions": sessions, "checks": len(result.Checks), "proof": result.Proof, "seconds": now().Sub(began).Seconds()},
		"\n"+summary+fmt.Sprintf(" Played in %.1f s.\nProof, from the hash-chained records alone: %s.\n", now().Sub(began).Seconds(), result.Proof))
	if failed == nil && !result.OK() {
		failed = fmt.Errorf("at least one verdict does not hold; the table says which")
	}
	return failed
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
