package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"nightshift/internal/client"
)

// restoreOptions are the flags of restore.
type restoreOptions struct {
	reach
	why               string
	confirm, say, yes bool
}

func restoreCommand(t *terminal) *cobra.Command {
	o := restoreOptions{reach: reach{terminal: t}}
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "After the table was put back: show what it has forgotten and what is held, and confirm it",
		Long: `A table that was put back to what it was has forgotten what was decided since. Until an
administrator confirms, the clock ends no run whose end may have been moved in that
time. restore shows what is held and why, and at each endpoint what its engine knows
otherwise; with --confirm it then asks. Give extensions that were lost again before
(nightshift extend): after it what is due ends.

A restore of more than 15 minutes is noticed by itself; one of less is said with --say.`,
		Example: "  nightshift restore\n  nightshift restore --confirm --why \"extended s-28125048ea114d4024215597 again\"\n  nightshift restore --say",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.confirm && o.say:
				return usage("--confirm, --say: give one of the two")
			case o.yes && !o.confirm && !o.say:
				return usage("--yes: nothing is asked; give it with --confirm or --say")
			case (o.confirm || o.say) && !o.yes && !o.asks:
				return usage("--yes: nobody can be asked, for this is no terminal; give it to do it all the same, or leave --confirm and --say out to look only")
			}
			c, err := o.open(cmd)
			if err != nil {
				return err
			}
			return o.restore(cmd, c)
		},
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.confirm, "confirm", false, "confirm the restore that is shown, after a question")
	f.BoolVar(&o.say, "say", false, "say that the table was put back, by less than is noticed")
	f.BoolVar(&o.yes, "yes", false, "do not ask")
	f.StringVar(&o.why, "why", "", "a reason, for the record")
	return cmd
}

func (o *restoreOptions) restore(cmd *cobra.Command, c *client.Client) error {
	var r client.Restore
	a, err := c.Get(cmd.Context(), "/api/restore", &r)
	if err != nil {
		return err
	}
	acts := o.say || o.confirm && !r.Confirmed
	out := cmd.OutOrStdout()
	if o.asJSON {
		out = o.err // what is asked about must be seen all the same
	}
	switch {
	case !acts && o.asJSON:
		return emit(cmd, a)
	case !o.asJSON || !o.yes:
		o.difference(out, r)
	}
	if !acts {
		return nil
	}
	question, not := "Let the clock end what is due at "+c.Base, "nothing was confirmed"
	body := given(cmd, map[string]string{"why": "why"})
	if o.say {
		question, not = "Hold what the clock would end, until that is confirmed, at "+c.Base, "nothing was said"
		body["say"] = true
	} else {
		body["confirm"] = r.At
	}
	if !o.yes {
		if err := o.agreed(question, not); err != nil {
			return err
		}
	}
	var done client.Restore
	if a, err = c.Ask(cmd.Context(), http.MethodPost, "/api/restore", nil, body, &done); err != nil {
		return err
	}
	if o.asJSON {
		return emit(cmd, a)
	}
	o.paragraph(out, "", done.Text)
	return nil
}

// difference prints what a table that was put back does not know.
func (o *restoreOptions) difference(out io.Writer, r client.Restore) {
	o.paragraph(out, "", r.Text)
	if r.Confirmed {
		return
	}
	for _, h := range r.Held {
		fmt.Fprintf(out, "\nheld  %s  %s  %s  due %s\n", h.Session, h.User, h.Run, instant(h.Deadline))
		o.paragraph(out, "  ", h.Reason)
	}
	for _, e := range r.Endpoints {
		if e.Unlisted == "" && len(e.Over)+len(e.Unknown)+len(e.Risen) == 0 {
			continue
		}
		fmt.Fprintln(out, "\n"+o.paint(bold, e.ID))
		if e.Unlisted != "" {
			o.paragraph(out, "  ", "its runs cannot be told: "+e.Unlisted)
		}
		for _, s := range e.Over {
			fmt.Fprintf(out, "  over     %s  %s  %s: its session has not ended, its run has\n", s.Session, s.User, s.Run)
		}
		for _, x := range e.Unknown {
			fmt.Fprintf(out, "  unknown  %s  %s: it runs, and the records know nothing of it\n", x.Run, cmp.Or(x.User, none))
		}
		for _, x := range e.Risen {
			fmt.Fprintf(out, "  alive    %s: it runs, and its session has ended\n", x.Run)
		}
	}
	fmt.Fprintln(out)
}
