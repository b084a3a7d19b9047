package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/client"
)

// restartOptions are the flags of restart.
type restartOptions struct {
	reach
	why                  string
	yes, preview, noWait bool
}

func restartCommand(t *terminal) *cobra.Command {
	o := restartOptions{reach: reach{terminal: t}}
	cmd := &cobra.Command{
		Use:   "restart SESSION",
		Short: "Start a run that is over again from its last checkpoint, under a new session: previewed, asked, followed",
		Long: `restart starts the run of a session that has ended again, with the same spec and
the next attempt's name, under a new session with the policy of now. It first shows
what would be started and from which checkpoint, or says what must be set so that
it could be; then it asks, and follows until the new run is seen. A pipeline goes
on where it failed. A run that is still being stopped is waited for: it may be
writing its last checkpoint.

Without a terminal it asks nobody: give --yes, or --preview to look only. A session
that was started again before is not started twice: its successor is named.`,
		Example: `  nightshift restart s-28125048ea114d4024215597
  nightshift restart s-28125048ea114d4024215597 --preview --json
  nightshift restart s-28125048ea114d4024215597 --yes --why "stopped too early" --stack nightshift`,
		Args: only("SESSION", sessionID),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.preview && (o.yes || o.noWait):
				return usage("--preview, --yes, --no-wait: a preview starts nothing; give --preview alone, or leave it out")
			case !o.yes && !o.preview && !o.asks:
				return usage("--yes: nobody can be asked, for this is no terminal; give it to start all the same, or --preview to look only")
			}
			c, err := o.open(cmd)
			if err != nil {
				return err
			}
			return o.restart(cmd, c, args[0])
		},
	}
	o.reach.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.why, "why", "", "a reason, for the record")
	f.BoolVar(&o.yes, "yes", false, "do not ask")
	f.BoolVar(&o.preview, "preview", false, "show what would be started, and start nothing")
	f.BoolVar(&o.noWait, "no-wait", false, "neither wait for a run that is still being stopped, nor until the new one is seen")
	return cmd
}

// restarting is a restart's preview.
type restarting struct {
	client.Restarted
	Mode     string          `json:"mode"`
	Deadline string          `json:"deadline"`
	Why      []string        `json:"why"`
	Saved    string          `json:"saved"`
	Input    json.RawMessage `json:"input"`
}

func (o *restartOptions) restart(cmd *cobra.Command, c *client.Client, id string) error {
	if !o.noWait && !o.preview {
		if err := o.over(cmd, c, id); err != nil {
			return err
		}
	}
	path := client.Of("sessions", id, "restart")
	var before restarting
	a, err := c.Ask(cmd.Context(), http.MethodPost, path, nil, map[string]any{"preview": true}, &before)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if o.asJSON {
		out = o.err // what is asked about must be seen all the same
	}
	switch {
	case o.asJSON && (o.preview || before.Next != ""):
		return emit(cmd, a)
	case before.Next != "":
		return o.lineage(cmd, c, before.Next)
	case !o.asJSON || !o.yes:
		o.show(out, before, a.At)
	}
	if o.preview {
		return nil
	}
	if !o.yes {
		if err := o.agreed("Start it again at "+c.Base, "nothing was started"); err != nil {
			return err
		}
	}
	var done client.Restarted
	if a, err = c.Ask(cmd.Context(), http.MethodPost, path, nil, given(cmd, map[string]string{"why": "why"}), &done); err != nil {
		return err
	}
	switch {
	case !o.asJSON:
		o.paragraph(out, "", done.Text)
	case o.noWait:
		return emit(cmd, a)
	}
	if o.noWait {
		return nil
	}
	return o.begun(cmd, c, done.Next)
}

// over waits until a run that is being stopped is over.
func (o *restartOptions) over(cmd *cobra.Command, c *client.Client, id string) error {
	var s client.Story
	last := ""
	_, err := o.await(cmd, c, client.Of("sessions", id), &s, func() bool {
		if s.Line.Status == "ENDING" {
			o.news(&last, "the run is still being stopped, and may be writing its last checkpoint")
		}
		return s.Line.Status != "ENDING"
	})
	return unseen(err, "the run is still being stopped; nothing was started")
}

// show prints what would be started.
func (o *restartOptions) show(out io.Writer, r restarting, now time.Time) {
	o.paragraph(out, "", r.Text)
	fmt.Fprintf(out, "\n  of          %s, ended: %s\n", r.Line.ID, r.Line.CauseText)
	name := r.Attempt
	if name == "" {
		name = "named by the new session"
	}
	fmt.Fprintf(out, "  attempt     %s\n", name)
	from := r.Checkpoint
	if from == "" {
		from = "where it failed: the service itself knows how far it got"
	}
	fmt.Fprintf(out, "  goes on at  %s\n", from)
	o.paragraph(out, "              ", r.Saved)
	fmt.Fprintf(out, "  mode        %s\n", r.Mode)
	fmt.Fprintf(out, "  ends        %s (%s)\n", instant(r.Deadline), left(r.Deadline, now))
	for _, why := range r.Why {
		o.paragraph(out, "              ", why)
	}
	var b bytes.Buffer
	if json.Indent(&b, r.Input, "  ", "  ") == nil {
		fmt.Fprintf(out, "  input of run\n  %s\n", b.String())
	}
}

// begun follows until the new session's run is seen, and prints the lineage.
func (o *restartOptions) begun(cmd *cobra.Command, c *client.Client, next string) error {
	var s client.Story
	last := ""
	path := client.Of("sessions", next)
	if err := o.opened(cmd, c, path); err != nil {
		return unseen(err, "the execution of run has not opened session "+next+" yet; nightshift why "+next+" tells when it has")
	}
	a, err := o.await(cmd, c, path, &s, func() bool {
		if s.Line.Run == "" {
			o.news(&last, "session "+next+" is open, its run is being started")
		}
		return s.Line.Run != "" || s.Line.Status == "ENDED"
	})
	switch {
	case err != nil:
		return unseen(err, "the run of session "+next+" is not seen yet; nightshift why "+next+" tells when it is")
	case s.Line.Status == "ENDED":
		return fmt.Errorf("the new session %s has ended before its run began: %s", next, s.Line.CauseText)
	case o.asJSON:
		return emit(cmd, a)
	}
	o.tell(cmd.OutOrStdout(), s)
	return nil
}

// opened waits until a session is there: the execution opens it in a moment.
func (o *restartOptions) opened(cmd *cobra.Command, c *client.Client, path string) error {
	for range patience {
		var p *client.Problem
		_, err := c.Get(cmd.Context(), path, nil)
		if !errors.As(err, &p) || p.Status != http.StatusNotFound {
			return nil // what else is wrong, await says
		}
		if o.wait(cmd.Context(), glance) != nil {
			break
		}
	}
	return errUnseen
}

// lineage tells of a session that was started again before.
func (o *restartOptions) lineage(cmd *cobra.Command, c *client.Client, next string) error {
	var s client.Story
	if _, err := c.Get(cmd.Context(), client.Of("sessions", next), &s); err != nil {
		return err
	}
	fmt.Fprintln(cmd.OutOrStdout(), "It was started again before; nothing more was started.")
	o.tell(cmd.OutOrStdout(), s)
	return nil
}

// tell prints where a session comes from and where it went.
func (o *restartOptions) tell(out io.Writer, s client.Story) {
	fmt.Fprintf(out, "%s -> %s  %s, %s, ends %s\n", s.Session.Previous, s.Line.ID, s.Line.Status, s.Line.Mode, instant(s.Line.Deadline))
	fmt.Fprintf(out, "run %s\n", s.Line.Run)
	if s.Next != "" {
		fmt.Fprintf(out, "started again since, under %s\n", s.Next)
	}
}
