package main

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/client"
)

// given is the flags of a command that were set, by the API's names of them.
func given(cmd *cobra.Command, fields map[string]string) map[string]any {
	body := map[string]any{}
	for flag, field := range fields {
		if cmd.Flags().Changed(flag) {
			body[field] = cmd.Flags().Lookup(flag).Value.String()
		}
	}
	return body
}

// request is what a command asks of the API; without a body, body is nil.
type request struct {
	method, path string
	body         map[string]any
}

// asks makes a command of one request and of how its answer is told.
func asks[T any](t *terminal, cmd *cobra.Command, ask func(cmd *cobra.Command, args []string) (request, error), tell func(out io.Writer, got T, at time.Time)) {
	r := &reach{terminal: t}
	r.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q, err := ask(cmd, args)
		if err != nil {
			return err
		}
		c, err := r.open(cmd)
		if err != nil {
			return err
		}
		var body any
		if q.body != nil {
			body = q.body
		}
		var got T
		a, err := c.Ask(cmd.Context(), q.method, q.path, nil, body, &got)
		switch {
		case err != nil:
			return err
		case r.asJSON:
			return emit(cmd, a)
		}
		tell(cmd.OutOrStdout(), got, a.At)
		return nil
	}
}

const sessionID = "the id of a session (nightshift sessions lists them)"

func stopCommand(t *terminal) *cobra.Command {
	r := reach{terminal: t}
	var why string
	var noWait bool
	cmd := &cobra.Command{
		Use:   "stop SESSION",
		Short: "Stop one session's run and wait until it is seen stopped; a user may stop their own",
		Long: `stop asks for one session's run to be stopped, whatever its mode, and waits until it
is seen stopped; interrupting it interrupts nothing but the waiting.`,
		Example: "  nightshift stop s-28125048ea114d4024215597 --why \"wrong input\"\n  nightshift stop s-28125048ea114d4024215597 --no-wait",
		Args:    only("SESSION", sessionID),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.open(cmd)
			if err != nil {
				return err
			}
			var done client.Acted
			a, err := c.Ask(cmd.Context(), http.MethodPost, client.Of("sessions", args[0], "stop"), nil, given(cmd, map[string]string{"why": "why"}), &done)
			if err != nil {
				return err
			}
			if !noWait && done.Line.Status != "ENDED" {
				if a, done, err = r.stopped(cmd, c, args[0], done); err != nil {
					return err
				}
			}
			if r.asJSON {
				return emit(cmd, a)
			}
			t.paragraph(cmd.OutOrStdout(), "", done.Text)
			t.wheres(cmd.OutOrStdout(), []*client.Where{done.AWSSession})
			return nil
		},
	}
	r.flags(cmd)
	cmd.Flags().StringVar(&why, "why", "", "a reason, for the record")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "do not wait until the run is seen stopped")
	return cmd
}

// stopped waits until a session's run is seen stopped, and says so in the act's
// own form; the answer is the session's story.
func (r *reach) stopped(cmd *cobra.Command, c *client.Client, id string, done client.Acted) (client.Answer, client.Acted, error) {
	var s client.Story
	last := ""
	a, err := r.await(cmd, c, client.Of("sessions", id), &s, func() bool {
		if s.Line.Status == "ENDED" {
			return true
		}
		r.news(&last, "session "+id+" is "+s.Line.Status+", not seen stopped yet")
		return false
	})
	if err != nil {
		return a, done, unseen(err, "the run is asked to stop and not seen stopped yet; it goes on by itself, and nightshift why "+id+" tells when it was")
	}
	done.Line, done.Text = s.Line, "Done: the run is seen stopped, "+instant(s.Line.Confirmed)+"."
	return a, done, nil
}

func extendCommand(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "extend SESSION (--by DURATION | --until TIME)",
		Short: "Move a session's end, where nothing of AWS's caps the run and the policy allows it",
		Long: `extend moves a session's end. That is possible on EMR on EKS, for notebook
executions, and where only the tenant limit ends the run; never beyond the policy.
Elsewhere it is refused (exit status 5), with what can be done instead. It is
written down who moved the end, and why.`,
		Example: "  nightshift extend s-28125048ea114d4024215597 --by 12h\n" +
			"  nightshift extend s-28125048ea114d4024215597 --until 2026-11-30T08:00:00Z --why \"quarter end\"",
		Args: only("SESSION", sessionID),
	}
	asks(t, cmd, func(cmd *cobra.Command, args []string) (request, error) {
		return request{http.MethodPost, client.Of("sessions", args[0], "extend"), given(cmd, map[string]string{"by": "by", "until": "until", "why": "why"})}, exactlyOne(cmd, "by", "until")
	}, func(out io.Writer, got client.Acted, _ time.Time) { t.paragraph(out, "", got.Text) })
	f := cmd.Flags()
	f.String("by", "", `how much later than the present end, such as "12h" or "2d"`)
	f.String("until", "", "the new end, such as 2026-11-30T08:00:00Z")
	f.String("why", "", "a reason, for the record")
	return cmd
}

const userID = "the id of a user in the identity store"

func lockCommand(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "lock USER (--for DURATION | --until TIME) --why REASON",
		Short:   "Refuse new starts of a user for a time; what runs goes on",
		Long:    "lock refuses every new start of a user until a time, at most 90 days away, and tells\nwhoever is refused why. What runs goes on: nightshift revoke ends it.",
		Example: "  nightshift lock u-ana --for 2d --why \"account under investigation\"\n  nightshift lock u-ana --until 2026-12-01T08:00:00Z --why \"on leave\"",
		Args:    only("USER", userID),
	}
	asks(t, cmd, func(cmd *cobra.Command, args []string) (request, error) {
		err := exactlyOne(cmd, "for", "until")
		if err == nil && !cmd.Flags().Changed("why") {
			err = usage("--why: it is missing; it is told to whoever is refused a start")
		}
		return request{http.MethodPut, client.Of("users", args[0], "lock"), given(cmd, map[string]string{"for": "for", "until": "until", "why": "why"})}, err
	}, t.lockText)
	f := cmd.Flags()
	f.String("for", "", `for so long, such as "2d" or "90m"`)
	f.String("until", "", "until then, such as 2026-12-01T08:00:00Z")
	f.String("why", "", "the reason; it is told to whoever is refused a start")
	return cmd
}

func unlockCommand(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "unlock USER",
		Short:   "Let a user start again",
		Example: "  nightshift unlock u-ana",
		Args:    only("USER", userID),
	}
	asks(t, cmd, func(_ *cobra.Command, args []string) (request, error) {
		return request{http.MethodDelete, client.Of("users", args[0], "lock"), nil}, nil
	}, t.lockText)
	return cmd
}

func (t *terminal) lockText(out io.Writer, u client.User, _ time.Time) {
	text := u.User + " may start again."
	if u.Lock != nil {
		text = fmt.Sprintf("%s may start nothing until %s: %s.", u.User, instant(u.Lock.Until), u.Lock.Why)
		if u.Live > 0 {
			text += fmt.Sprintf(" %s of %s not ended; nightshift revoke --user %s ends what runs.", counted(int64(u.Live), "session", "sessions"), u.User, u.User)
		}
	}
	t.paragraph(out, "", text)
}
