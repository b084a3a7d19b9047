package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/client"
	"nightshift/internal/obs/panel"
)

const parkedID = "the id of a parked event (nightshift parked list has them)"

func parkedCommand(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "parked",
		Short: "See events that could not be used, and have them taken again",
		Long: `An event that is malformed, or names what is not there, is parked with its reason: it
holds up no other and is kept for 90 days. parked lists such events, shows one as it
came, and takes one again after what refused it was mended: a new version that
understands it, or a session that is there by now.

Events that a function could not take for hours are not parked but wait in the
dead-letter queue of its queue; on a deployment parked list says how they are sent
back.`,
		Example: "  nightshift parked list\n  nightshift parked show p-5f1c0c2a9be4\n  nightshift parked replay --all",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(parkedListCommand(t), parkedShowCommand(t), parkedReplayCommand(t))
	return cmd
}

func parkedListCommand(t *terminal) *cobra.Command {
	r := reach{terminal: t}
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List events that could not be used, newest first, with why",
		Example: "  nightshift parked list\n  nightshift parked list --limit 0 --json\n  nightshift parked list --stack nightshift",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return usage("--limit: %d is not allowed; it must be 0 (all) or more", limit)
			}
			c, err := r.open(cmd)
			if err != nil {
				return err
			}
			items, all, err := listed(cmd, c, "parked", limit, func(client.Parked) bool { return true })
			switch {
			case err != nil:
				return err
			case r.asJSON:
				return emitAll(cmd, "parked", items)
			}
			out := cmd.OutOrStdout()
			r.parkedTable(out, all)
			if deployed, err := r.deployed(cmd); err != nil || !deployed {
				return err
			}
			r.deadQueues(out, r.stack)
			return nil
		},
	}
	r.flags(cmd)
	cmd.Flags().IntVar(&limit, "limit", 50, "list at most so many; 0: all")
	return cmd
}

func (r *reach) parkedTable(out io.Writer, all []client.Parked) {
	if len(all) == 0 {
		fmt.Fprintln(out, "No event is parked.")
		return
	}
	rows := make([][]string, len(all))
	for i, p := range all {
		taken := "no"
		if p.Replayed != "" {
			taken = instant(p.Replayed)
		}
		rows[i] = []string{p.ID, instant(p.At), p.Source, taken, strconv.Itoa(p.Bytes), p.Reason}
	}
	r.table(out, []column{{"PARKED", 0}, {"AT", 3}, {"BY", 4}, {"TAKEN SINCE", 2}, {"BYTES", 5}, {"WHY", 1}}, rows)
}

// deadQueues says how what waits in dead-letter queues is counted and sent back.
func (t *terminal) deadQueues(out io.Writer, stack string) {
	fmt.Fprintln(out)
	t.paragraph(out, "", "Events that a function could not take for hours wait in its dead-letter queue. Once the function can take them again, send them back with the AWS CLI:")
	for _, f := range panel.Behind() {
		fmt.Fprintf(out, "  %s\n", redrive(stack+"-"+panel.Dead(f), stack+"-"+f))
	}
}

// redrive is the command that sends back what is in a dead-letter queue. The
// destination is named, because EventBridge puts events there too that were never in
// the queue.
func redrive(from, to string) string {
	arn := func(queue string) string {
		return `$(aws sqs get-queue-attributes --attribute-names QueueArn --query Attributes.QueueArn --output text --queue-url "$(aws sqs get-queue-url --queue-name ` + queue + ` --query QueueUrl --output text)")`
	}
	return `aws sqs start-message-move-task --source-arn "` + arn(from) + `" --destination-arn "` + arn(to) + `"`
}

func parkedShowCommand(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show PARKED",
		Short:   "Show a parked event with its reason and its body, as it came",
		Example: "  nightshift parked show p-5f1c0c2a9be4\n  nightshift parked show p-5f1c0c2a9be4 --json | jq -r .body",
		Args:    only("PARKED", parkedID),
	}
	asks(t, cmd, func(_ *cobra.Command, args []string) (request, error) {
		return request{http.MethodGet, client.Of("parked", args[0]), nil}, nil
	}, func(out io.Writer, p client.Parked, _ time.Time) {
		t.paragraph(out, "", fmt.Sprintf("%s, %d bytes, parked at %s by %s.", p.ID, p.Bytes, instant(p.At), p.Source))
		t.hanging(out, "why     ", "        ", p.Reason)
		if p.Replayed != "" {
			fmt.Fprintln(out, "taken   "+instant(p.Replayed))
		}
		fmt.Fprintln(out)
		fmt.Fprintln(out, strings.TrimRight(printable(p.Body), "\n"))
	})
	return cmd
}

// printable is a text that changes nothing on a terminal: a body is anybody's.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, text)
}

// replayOptions are the flags of parked replay.
type replayOptions struct {
	reach
	why      string
	all, yes bool
}

func parkedReplayCommand(t *terminal) *cobra.Command {
	o := replayOptions{reach: reach{terminal: t}}
	cmd := &cobra.Command{
		Use:   "replay (PARKED… | --all)",
		Short: "Take parked events again, after what refused them was mended",
		Long: `replay takes parked events again, as if they had just come: a sign-out ends what it
would have ended then, and nothing opened since. Taking one twice changes nothing.
One that is refused again stays parked (exit status 5). With --all it takes all that
were not taken yet, oldest first, and goes on where one is refused.`,
		Example: "  nightshift parked replay p-5f1c0c2a9be4 --why \"the portal was mended\"\n  nightshift parked replay --all --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case (len(args) > 0) == o.all:
				return usage("PARKED, --all: give one of the two; %s", parkedID)
			case o.all && !o.yes && !o.asks:
				return usage("--yes: nobody can be asked, for this is no terminal; give it to take all again all the same")
			}
			c, err := o.open(cmd)
			if err != nil {
				return err
			}
			if o.all {
				if args, err = o.everything(cmd, c); err != nil || len(args) == 0 {
					return err
				}
			}
			return o.replay(cmd, c, args)
		},
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.all, "all", false, "all that were not taken yet")
	f.BoolVar(&o.yes, "yes", false, "do not ask")
	f.StringVar(&o.why, "why", "", "a reason, for the record")
	return cmd
}

// everything shows the events that were not taken yet, asks, and names them, oldest
// first.
func (o *replayOptions) everything(cmd *cobra.Command, c *client.Client) ([]string, error) {
	_, all, err := listed(cmd, c, "parked", 0, func(p client.Parked) bool { return p.Replayed == "" })
	if err != nil {
		return nil, err
	}
	o.parkedTable(cmd.ErrOrStderr(), all)
	if len(all) == 0 {
		return nil, nil
	}
	if !o.yes {
		if err := o.agreed("Take "+counted(int64(len(all)), "event", "events")+" again at "+c.Base, "nothing was taken"); err != nil {
			return nil, err
		}
	}
	ids := make([]string, len(all))
	for i, p := range all {
		ids[len(all)-1-i] = p.ID
	}
	return ids, nil
}

func (o *replayOptions) replay(cmd *cobra.Command, c *client.Client, ids []string) error {
	var items []json.RawMessage
	refused := 0
	for _, id := range ids {
		var p client.Parked
		a, err := c.Ask(cmd.Context(), http.MethodPost, client.Of("parked", id, "replay"), nil, given(cmd, map[string]string{"why": "why"}), &p)
		var no *client.Problem
		switch {
		case errors.As(err, &no) && no.Status == http.StatusUnprocessableEntity && len(ids) > 1:
			refused++
			o.paragraph(o.err, "", id+": "+no.Error())
			continue
		case err != nil:
			return err
		}
		items = append(items, a.Body)
		if !o.asJSON {
			o.paragraph(cmd.OutOrStdout(), "", id+": "+p.Text)
		}
	}
	if o.asJSON {
		if err := emitAll(cmd, "parked", items); err != nil {
			return err
		}
	}
	if refused > 0 {
		return statusError{fmt.Errorf("%d of %s refused again; they stay parked", refused, counted(int64(len(ids)), "event was", "events were")), exitRefused}
	}
	return nil
}
