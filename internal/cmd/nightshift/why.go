package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/client"
)

func whyCommand(t *terminal) *cobra.Command {
	r := reach{terminal: t}
	cmd := &cobra.Command{
		Use:   "why SESSION",
		Short: "Tell why a session may run, until when and by which rule, and everything that was decided",
		Long: `why tells one session's whole story: its mode and deadline with the facts and
limits they follow from, whether it would survive its user's sign-out, whether it
can be extended, what it costs, and each decision with its rule, who caused it and
when. It verifies the hashes of the history, and fails if one does not hold.`,
		Example: `  nightshift why s-28125048ea114d4024215597
  nightshift why s-28125048ea114d4024215597 --json
  nightshift why s-28125048ea114d4024215597 --as u-ana   # as its user sees it`,
		Args: only("SESSION", "the id of a session (nightshift sessions lists them)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.open(cmd)
			if err != nil {
				return err
			}
			var s client.Story
			a, err := c.Get(cmd.Context(), client.Of("sessions", args[0]), &s)
			if err != nil {
				return err
			}
			if r.asJSON {
				err = emit(cmd, a)
			} else {
				r.story(cmd.OutOrStdout(), s, a.At)
			}
			if err == nil && s.Chain != "intact" {
				err = errors.New("the history is broken: " + s.Chain)
			}
			return err
		},
	}
	r.flags(cmd)
	return cmd
}

// story prints a session's story.
func (t *terminal) story(out io.Writer, s client.Story, now time.Time) {
	t.state(out, s, now)
	t.grounds(out, s)
	title := func(text string) { fmt.Fprintf(out, "\n%s\n", t.paint(bold, text)) }
	title("Extension")
	if s.Extension.Possible {
		t.hanging(out, "  ", "  ", fmt.Sprintf("possible, until %s: %s", instant(s.Extension.Until), s.Extension.Reason))
	} else {
		t.hanging(out, "  ", "  ", fmt.Sprintf("not possible: %s. %s", strings.TrimSuffix(s.Extension.Reason, "."), s.Extension.Remedy))
	}
	t.paragraph(out, "  ", s.WhereDuration.Text)
	if len(s.Links) > 0 {
		title("Logs and Spark UI")
	}
	for _, l := range s.Links {
		t.hanging(out, "  - ", "    ", strings.TrimSuffix(l.Name+": "+l.Note, ": "))
		fmt.Fprintln(out, "    "+l.URL)
	}
	title("History")
	t.history(out, s)
	fmt.Fprintf(out, "  hashes: %s\n", t.paint(shade(s.Chain), s.Chain))
	if s.Line.Status != "ACTIVE" {
		t.wheres(out, []*client.Where{s.AWSSession})
	}
}

// state is what a session is, until when, and what it costs.
func (t *terminal) state(out io.Writer, s client.Story, now time.Time) {
	l := s.Line
	fmt.Fprintf(out, "%s  %s  %s\n", t.paint(bold, l.ID), l.User, t.paint(shade(l.Status), l.Status))
	fact := func(name, text string) {
		first := fmt.Sprintf("  %-9s ", name)
		t.hanging(out, first, strings.Repeat(" ", len(first)), text)
	}
	run := l.Run
	if run == "" {
		run = "not seen started yet"
	}
	fact("run", fmt.Sprintf("%s on %s (%s)", run, l.Endpoint, l.Origin))
	fact("mode", l.Mode)
	switch {
	case l.Status == "ACTIVE" && l.Deadline != "":
		fact("ends", fmt.Sprintf("at %s at the latest, in %s, by its %s", instant(l.Deadline), left(l.Deadline, now), l.DeadlineSource))
	case l.Status == "ACTIVE":
		fact("ends", "never by itself: no limit is known")
	default:
		fact("cause", fmt.Sprintf("%s, by %s", l.CauseText, orUnknown(l.EndedBy)))
		fact("stop", fmt.Sprintf("known %s, asked %s, seen stopped %s", instant(l.Known), instant(l.Asked), instant(l.Confirmed)))
	}
	if l.IdleDue != "" {
		fact("idle", fmt.Sprintf("ends for idleness at %s if nothing happens, in %s", instant(l.IdleDue), left(l.IdleDue, now)))
	}
	if l.Status == "ACTIVE" {
		fact("sign-out", s.OnSignOut)
	}
	if p := s.Session.Progress; p != nil {
		fact("progress", fmt.Sprintf("%s is %.0f %% done, at %s", p.Of, 100*p.Fraction, instant(p.At)))
	}
	fact("cost", costText(l.Cost))
	if s.Saved.USD != nil {
		fact("saved", "at most "+because(s.Saved)+" by its stop")
	}
	for _, p := range s.Prices {
		fact("price", fmt.Sprintf("%g USD an hour of %s (%s, %s), as of %s: %s", p.USD, p.Item, p.Service, p.Region, p.Date, p.Source))
	}
}

// grounds are why a session may run, and what limits it.
func (t *terminal) grounds(out io.Writer, s client.Story) {
	line := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	title := func(text string) { line("\n%s", t.paint(bold, text)) }
	title("Why it may run")
	for _, why := range s.Line.Why {
		t.hanging(out, "  - ", "    ", why)
	}
	title("Facts, frozen at the opening")
	for _, g := range s.Grounds {
		line("  %s %s", t.paint(shade(g.Value), fmt.Sprintf("%-8s", g.Value)), g.Name)
	}
	title("Limits")
	for _, m := range s.Limits {
		decides := ""
		if m.Decides {
			decides = "; it is the earliest, and decides"
		}
		at := instant(m.At)
		if m.At == "" {
			at = "has not begun to count"
		}
		t.hanging(out, "  - ", "    ", fmt.Sprintf("%s: %s: %s%s", m.Source, at, m.Text, decides))
	}
}

func (t *terminal) history(out io.Writer, s client.Story) {
	for _, h := range s.History {
		by := ""
		if h.By != "" {
			by = ", by " + h.By
		}
		t.hanging(out, "  "+instant(h.At)+"  ", "    ", h.Happened+by)
		t.hanging(out, "    -> ", "       ", h.Decided)
		for _, c := range h.Consequences {
			if !strings.HasPrefix(h.Decided, c) {
				t.hanging(out, "     + ", "       ", c)
			}
		}
		if h.Rule != "" {
			t.hanging(out, "       ", "       ", "rule: "+h.Rule)
		}
		if h.Evidence != "" {
			t.hanging(out, "       ", "       ", "evidence: "+h.Evidence)
		}
	}
}

func costText(c client.Cost) string {
	text := because(c.SoFar)
	if c.SoFar.USD != nil {
		text += " so far"
		if c.ToDeadline.USD != nil {
			text += ", " + because(c.ToDeadline) + " if it runs until its end"
		}
		if c.Note != "" {
			text += " (" + c.Note + ")"
		}
	}
	if c.Forgotten {
		text += "; forgotten: its user left a day ago or longer"
	}
	return text
}
