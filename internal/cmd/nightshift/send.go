package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/spf13/cobra"

	wire "nightshift/events"
	"nightshift/internal/client"
)

func eventsCommand(t *terminal) *cobra.Command {
	c := &cobra.Command{
		Use:     "events",
		Short:   "Send events to Nightshift, or list the samples that can be sent",
		Example: "  nightshift events list\n  nightshift events send nightshift-signed-out/from-a-webhook --set detail.user=u-ana --now",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(eventsList(t), eventsSend(t))
	return c
}

// samples are the names of the events that can be sent.
func samples() []string {
	var all []string
	for _, kind := range wire.Kinds() {
		if wire.Outgoing(kind) {
			continue
		}
		for _, f := range wire.Samples(kind) {
			all = append(all, kind+"/"+f.Name)
		}
	}
	return all
}

func eventsList(t *terminal) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the samples of events that Nightshift understands",
		Example: "  nightshift events list",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{"samples": samples()})
			}
			for _, name := range samples() {
				fmt.Fprintln(cmd.OutOrStdout(), name)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// sendOptions are the flags of events send.
type sendOptions struct {
	reach
	set   []string
	fresh bool
	bus   string
}

func eventsSend(t *terminal) *cobra.Command {
	o := sendOptions{reach: reach{terminal: t}}
	cmd := &cobra.Command{
		Use:   "send FILE | SAMPLE",
		Short: "Send an event to the local system's door, or to EventBridge",
		Long: `send sends one event, whole as EventBridge delivers it: a file, "-" for standard
input, or the name of a sample (nightshift events list). To a deployment it goes to
Nightshift's own bus; AWS lets nobody but itself send events whose source begins
with "aws.".`,
		Example: `  nightshift events send nightshift-signed-out/from-a-webhook --set detail.user=u-ana --now
  nightshift events send event.json
  nightshift events send event.json --stack nightshift --region eu-central-1`,
		Args: only("FILE or SAMPLE", "a file, or the name of a sample (nightshift events list)"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return samples(), cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.send(cmd, args[0]) },
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&o.set, "set", nil, "put a text into the event first, such as detail.user=u-ana; may be repeated")
	f.BoolVar(&o.fresh, "now", false, "as if it happened now: its times are the system's, its ids new")
	f.StringVar(&o.bus, "bus", "", "of a deployment: the bus; empty: the stack's own, which has the stack's name")
	return cmd
}

func (o *sendOptions) send(cmd *cobra.Command, what string) error {
	text, err := eventText(cmd, what)
	if err != nil {
		return err
	}
	var event map[string]any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&event); err != nil || event == nil || dec.More() {
		return usage("%s: it is not allowed; it must be one event of EventBridge, a JSON object", what)
	}
	for _, s := range o.set {
		path, value, is := strings.Cut(s, "=")
		if !is || !put(event, strings.Split(path, "."), value, true) {
			return usage("--set: %q is not allowed; it must be path=text, such as detail.user=u-ana", s)
		}
	}
	deployed, err := o.deployed(cmd)
	if err != nil {
		return err
	}
	if deployed {
		return o.toAWS(cmd, event)
	}
	return o.toLocal(cmd, event)
}

// eventText reads a sample, or a file where there is no sample of that name.
func eventText(cmd *cobra.Command, what string) ([]byte, error) {
	kind, name, _ := strings.Cut(what, "/")
	for _, f := range wire.Samples(kind) {
		if f.Name == name && !wire.Outgoing(kind) {
			return f.Body, nil
		}
	}
	if _, err := os.Stat(what); err != nil && what != "-" {
		return nil, statusError{fmt.Errorf("%s: there is no such file, and no such sample (nightshift events list)", what), exitNotFound}
	}
	text, err := readDocument(cmd, what)
	return text, asUsage(err)
}

// put puts a text at a path of an object; where make is not set, only over a text
// that is there.
func put(object map[string]any, path []string, value string, anew bool) bool {
	for _, step := range path[:len(path)-1] {
		next, is := object[step].(map[string]any)
		if !is {
			return false
		}
		object = next
	}
	last := path[len(path)-1]
	if _, there := object[last].(string); last == "" || !there && !anew {
		return false
	}
	object[last] = value
	return true
}

// happensNow gives an event the time and new ids: one that was sent before would
// be known, and an old one outdated.
func (o *sendOptions) happensNow(event map[string]any, now time.Time) {
	if !o.fresh {
		return
	}
	at, id := now.UTC().Format(time.RFC3339Nano), o.key()
	for _, p := range []struct{ path, value string }{
		{"time", at}, {"detail.at", at}, {"detail.eventTime", now.UTC().Format(time.RFC3339)}, {"id", id}, {"detail.id", id}, {"detail.eventID", id},
	} {
		put(event, strings.Split(p.path, "."), p.value, false)
	}
}

func (o *sendOptions) toLocal(cmd *cobra.Command, event map[string]any) error {
	c, err := o.open(cmd)
	if err != nil {
		return err
	}
	a, err := c.Get(cmd.Context(), "/api/me", nil)
	if err != nil {
		return err
	}
	o.happensNow(event, a.At)
	if a, err = c.Ask(cmd.Context(), http.MethodPost, "/events", nil, event, nil); err != nil {
		return err
	}
	if o.asJSON {
		return emit(cmd, a)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Sent %q to %s.\n", event["detail-type"], c.Base)
	return nil
}

func (o *sendOptions) toAWS(cmd *cobra.Command, event map[string]any) error {
	source, _ := event["source"].(string)
	kind, _ := event["detail-type"].(string)
	switch {
	case strings.HasPrefix(source, "aws."):
		return statusError{fmt.Errorf("source: %q is not allowed: AWS lets nobody but itself send such events; a local system takes them", source), exitRefused}
	case source == "" || kind == "":
		return usage("source, detail-type: the event must have both, as texts")
	}
	conf, err := o.account(cmd.Context())
	if err != nil {
		return err
	}
	o.happensNow(event, o.terminal.now())
	if o.bus == "" {
		o.bus = o.stack
	}
	id, err := putEvent(cmd.Context(), eventbridge.NewFromConfig(conf), o.bus, source, kind, event)
	if err != nil {
		return err
	}
	if o.asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{"accepted": true, "id": id})
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Sent %q to the bus %s as %s.\n", kind, o.bus, id)
	return nil
}

func putEvent(ctx context.Context, api *eventbridge.Client, bus, source, kind string, event map[string]any) (string, error) {
	detail, err := json.Marshal(event["detail"])
	if err != nil {
		return "", err
	}
	entry := types.PutEventsRequestEntry{EventBusName: &bus, Source: &source, DetailType: &kind, Detail: aws.String(string(detail))}
	if text, ok := event["time"].(string); ok {
		if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
			entry.Time = &at
		}
	}
	out, err := api.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{entry}})
	switch {
	case err != nil:
		return "", fmt.Errorf("EventBridge: %w", err)
	case len(out.Entries) != 1:
		return "", fmt.Errorf("EventBridge answers for %d events, and one was sent", len(out.Entries))
	case out.Entries[0].ErrorCode != nil:
		return "", &client.Problem{Status: http.StatusForbidden, Detail: fmt.Sprintf("EventBridge refuses the event: %s", aws.ToString(out.Entries[0].ErrorMessage))}
	}
	return aws.ToString(out.Entries[0].EventId), nil
}
