package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/client"
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

Beside them stand the kinds of identity events that are not recognised, of which the
first of each is kept: AWS does not document the name of its revoke. parked show shows it.

Events that a function could not take for hours are not parked but wait in the
dead-letter queue of its queue; parked replay --dead-letters has them sent back.`,
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
		Short:   "List events that could not be used, newest first, with why, and the kinds that are not recognised",
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
			if err != nil {
				return err
			}
			samples, kinds, err := listed(cmd, c, "samples", 0, func(client.Sample) bool { return true })
			if err != nil {
				return err
			}
			if r.asJSON {
				return emitAll(cmd, map[string][]json.RawMessage{"parked": items, "samples": samples})
			}
			out := cmd.OutOrStdout()
			r.parkedTable(out, all)
			r.samplesTable(out, kinds)
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

// samplesTable lists the kinds of events that are not recognised, if there are any.
func (r *reach) samplesTable(out io.Writer, kinds []client.Sample) {
	if len(kinds) == 0 {
		return
	}
	rows := make([][]string, len(kinds))
	for i, k := range kinds {
		rows[i] = []string{k.ID, instant(k.Newest), strconv.FormatInt(k.Count, 10), strconv.Itoa(k.Bytes), printable(k.Kind)}
	}
	slices.SortFunc(rows, func(x, y []string) int { return strings.Compare(x[4], y[4]) })
	fmt.Fprintln(out)
	r.table(out, []column{{"NOT RECOGNISED", 0}, {"NEWEST", 2}, {"CAME", 3}, {"BYTES", 4}, {"KIND", 1}}, rows)
}

// shownEvent is a parked event, or a kind that is not recognised with its first event: the
// names of one are not those of the other.
type shownEvent struct {
	client.Parked
	Kind   string `json:"kind"`
	Count  int64  `json:"count"`
	Newest string `json:"newest"`
}

func parkedShowCommand(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show PARKED",
		Short:   "Show a parked event with its reason, or the first of a kind that is not recognised, as it came",
		Example: "  nightshift parked show p-5f1c0c2a9be4\n  nightshift parked show p-5f1c0c2a9be4 --json | jq -r .body\n  nightshift parked show k-1c0c2a9be45f",
		Args:    only("PARKED", parkedID),
	}
	asks(t, cmd, func(_ *cobra.Command, args []string) (request, error) {
		collection := "parked"
		if strings.HasPrefix(args[0], "k-") {
			collection = "samples"
		}
		return request{http.MethodGet, client.Of(collection, args[0]), nil}, nil
	}, func(out io.Writer, p shownEvent, _ time.Time) {
		if p.Kind != "" {
			t.paragraph(out, "", fmt.Sprintf("%s is not recognised. It came %s, at %s for the last time; this is the first, %d bytes.", printable(p.Kind), counted(p.Count, "time", "times"), instant(p.Newest), p.Bytes))
		} else {
			t.paragraph(out, "", fmt.Sprintf("%s, %d bytes, parked at %s by %s.", p.ID, p.Bytes, instant(p.At), p.Source))
			t.hanging(out, "why     ", "        ", p.Reason)
		}
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
	why       string
	all, dead bool
	yes       bool
}

func parkedReplayCommand(t *terminal) *cobra.Command {
	o := replayOptions{reach: reach{terminal: t}}
	cmd := &cobra.Command{
		Use:   "replay (PARKED… | --all | --dead-letters)",
		Short: "Take parked events again, after what refused them was mended",
		Long: `replay takes parked events again, as if they had just come: a sign-out ends what it
would have ended then, and nothing opened since. Taking one twice changes nothing.
One that is refused again stays parked (exit status 5). With --all it takes all that
were not taken yet, oldest first, and goes on where one is refused.

With --dead-letters it has SQS send back what waits in the dead-letter queues of a
deployment, because a function could not take it for hours. It is asked with your own
credentials: they need sqs:GetQueueUrl, GetQueueAttributes, ListMessageMoveTasks,
StartMessageMoveTask, ReceiveMessage and DeleteMessage there, and sqs:SendMessage on the
queues before the functions. CloudTrail records who did it.`,
		Example: "  nightshift parked replay p-5f1c0c2a9be4 --why \"the portal was mended\"\n  nightshift parked replay --all --yes\n  nightshift parked replay --dead-letters --stack nightshift",
		RunE: func(cmd *cobra.Command, args []string) error {
			deployed, err := o.deployed(cmd)
			if err != nil {
				return err
			}
			ways := 0
			for _, given := range []bool{len(args) > 0, o.all, o.dead} {
				if given {
					ways++
				}
			}
			switch {
			case ways != 1:
				return usage("PARKED, --all, --dead-letters: give one of the three; %s", parkedID)
			case o.dead && !deployed:
				return usage("--dead-letters: a local system has no queues of SQS; give --stack, --region or --profile of a deployment")
			case o.dead && o.why != "":
				return usage("--why: SQS keeps no reason; leave it out")
			case (o.all || o.dead) && !o.yes && !o.asks:
				return usage("--yes: nobody can be asked, for this is no terminal; give it to take all again all the same")
			case o.dead:
				return o.redrive(cmd)
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
	f.BoolVar(&o.dead, "dead-letters", false, "of a deployment: what waits in the dead-letter queues")
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
		if err := emitAll(cmd, map[string][]json.RawMessage{"parked": items}); err != nil {
			return err
		}
	}
	if refused > 0 {
		return statusError{fmt.Errorf("%d of %s refused again; they stay parked", refused, counted(int64(len(ids)), "event was", "events were")), exitRefused}
	}
	return nil
}
