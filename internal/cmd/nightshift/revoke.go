package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/client"
)

// targetFlags say which sessions are meant.
type targetFlags struct{ user, selector string }

func (o *targetFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.user, "user", "", "all sessions of this user, also those being opened now")
	cmd.Flags().StringVar(&o.selector, "selector", "", "all sessions that fit, such as engine=livy,mode=interactive; there are "+strings.Join(selectorNames(), ", "))
}

// selectors are the names in --selector, and what the API calls them.
var selectors = map[string]string{"user": "user", "engine": "engine", "endpoint": "endpoint", "mode": "mode", "due-within": "dueWithin"}

func selectorNames() []string { return slices.Sorted(maps.Keys(selectors)) }

// target reads which sessions are meant: one, a user's, or all that a selector
// picks.
func (o *targetFlags) target(args []string) (client.Target, error) {
	t := client.Target{User: o.user}
	given := 0
	for _, g := range []bool{len(args) == 1, o.user != "", o.selector != ""} {
		if g {
			given++
		}
	}
	if given != 1 || len(args) > 1 {
		return t, usage("SESSION, --user, --selector: give exactly one of them")
	}
	if len(args) == 1 {
		t.Session = args[0]
	}
	if o.selector == "" {
		return t, nil
	}
	t.Selector = map[string]string{}
	for _, part := range strings.Split(o.selector, ",") {
		name, value, is := strings.Cut(part, "=")
		field, known := selectors[name]
		switch {
		case !is || !known || value == "":
			return t, usage("--selector: %q is not allowed; it must be name=value, with %s, and commas between", part, strings.Join(selectorNames(), ", "))
		case t.Selector[field] != "":
			return t, usage("--selector: %s is there twice", name)
		}
		t.Selector[field] = value
	}
	return t, nil
}

// revokeOptions are the flags of revoke.
type revokeOptions struct {
	reach
	targetFlags
	why, follow          string
	yes, preview, noWait bool
}

func revokeCommand(t *terminal) *cobra.Command {
	o := revokeOptions{reach: reach{terminal: t}}
	cmd := &cobra.Command{
		Use:   "revoke [SESSION | --user USER | --selector NAME=VALUE,…]",
		Short: "End a session, a user's, or all that fit, whatever their mode: previewed, asked, watched until seen stopped",
		Long: `revoke first shows what would end, what that saves at most, and how long the
endpoints' rates make it take. Then it asks, and ends just what it showed: if
other sessions would be ended by then, it refuses. Last it waits until every run
is seen stopped; interrupting it interrupts nothing but the waiting.

Without a terminal it asks nobody: give --yes, or --preview to look only. AWS's own
sessions have no API: it says where they must still be ended.`,
		Example: `  nightshift revoke s-28125048ea114d4024215597
  nightshift revoke --user u-ana --why "left the company"
  nightshift revoke --selector engine=sagemaker-training,mode=interactive --preview
  nightshift revoke --user u-ana --yes --json
  nightshift revoke --follow act-5f1c…              # watch one that goes on`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.revoke(cmd, args) },
	}
	o.reach.flags(cmd)
	o.targetFlags.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.why, "why", "", "a reason, for the record")
	f.BoolVar(&o.yes, "yes", false, "do not ask")
	f.BoolVar(&o.preview, "preview", false, "show what would end, and end nothing")
	f.BoolVar(&o.noWait, "no-wait", false, "do not wait until the runs are seen stopped")
	f.StringVar(&o.follow, "follow", "", "only wait for a revocation that was begun, by its id")
	return cmd
}

func (o *revokeOptions) revoke(cmd *cobra.Command, args []string) error {
	if o.follow != "" {
		if len(args) > 0 || o.user != "" || o.selector != "" {
			return usage("--follow: what it follows has its sessions; leave SESSION, --user and --selector out")
		}
		c, err := o.open(cmd)
		if err != nil {
			return err
		}
		return o.watch(cmd, c, o.follow)
	}
	target, err := o.target(args)
	switch {
	case err != nil:
		return err
	case o.preview && (o.yes || o.noWait):
		return usage("--preview, --yes, --no-wait: a preview ends nothing; give --preview alone, or leave it out")
	case !o.yes && !o.preview && !o.asks:
		return usage("--yes: nobody can be asked, for this is no terminal; give it to revoke all the same, or --preview to look only")
	}
	c, err := o.open(cmd)
	if err != nil {
		return err
	}
	body := map[string]any{"target": target, "preview": true}
	if o.why != "" {
		body["why"] = o.why
	}
	var preview client.Revocation
	a, err := c.Ask(cmd.Context(), http.MethodPost, "/api/revocations", nil, body, &preview)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if o.asJSON {
		out = o.err // what is asked about must be seen all the same
	}
	if !o.asJSON || !o.yes && !o.preview {
		o.forecast(out, preview.Forecast, a.At)
	}
	ends := preview.Counts["ends"] + preview.Counts["closes"]
	switch {
	case !o.preview && (ends > 0 || target.User != ""):
	case o.asJSON:
		return emit(cmd, a)
	default:
		return nil
	}
	delete(body, "preview")
	if !o.yes {
		if err := o.confirm(c, ends, target); err != nil {
			return err
		}
		body["plan"] = preview.Plan
	}
	var begun client.Revocation
	if a, err = c.Ask(cmd.Context(), http.MethodPost, "/api/revocations", nil, body, &begun); err != nil {
		return err
	}
	switch {
	case !o.noWait:
		return o.watch(cmd, c, begun.ID)
	case o.asJSON:
		return emit(cmd, a)
	}
	fmt.Fprintf(out, "Begun as %s. It goes on by itself; nightshift revoke --follow %s watches it.\n", begun.ID, begun.ID)
	o.hints(out, begun)
	return nil
}

// confirm asks whoever is there.
func (o *revokeOptions) confirm(c *client.Client, ends int, target client.Target) error {
	what := "End " + counted(int64(ends), "session", "sessions")
	if target.User != "" {
		what += " of " + target.User + ", and what " + target.User + " is starting now,"
	}
	return o.agreed(what+" at "+c.Base, "nothing was revoked")
}

// watch waits until a revocation's runs are seen stopped, and tells the end.
func (o *revokeOptions) watch(cmd *cobra.Command, c *client.Client, id string) error {
	var r client.Revocation
	bar := drainBar{terminal: o.terminal}
	a, err := o.await(cmd, c, client.Of("revocations", id), &r, func() bool {
		bar.show(r)
		return r.Progress.Done
	})
	bar.end()
	if err == nil {
		return o.done(cmd, a, r)
	}
	return unseen(err, "not everything is seen stopped yet; it goes on by itself, and nightshift revoke --follow "+id+" watches it")
}

func (o *revokeOptions) done(cmd *cobra.Command, a client.Answer, r client.Revocation) error {
	if o.asJSON {
		return emit(cmd, a)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Done: %s seen stopped.\n", counted(int64(r.Progress.Ended), "session", "sessions"))
	o.hints(cmd.OutOrStdout(), r)
	return nil
}

func (o *revokeOptions) hints(out io.Writer, r client.Revocation) {
	var places []*client.Where
	for _, f := range r.Sessions {
		places = append(places, f.AWSSession)
	}
	o.wheres(out, places)
}

// drainBar shows how far a revocation is: on a terminal as one line that is
// written over, else as a line for each news.
type drainBar struct {
	*terminal
	last string
}

const barWidth = 20

func (b *drainBar) show(r client.Revocation) {
	p := r.Progress
	text := fmt.Sprintf("%d of %s seen stopped, %d asked, %d waiting", p.Ended, counted(int64(p.Total), "session", "sessions"), p.Asked, p.Waiting)
	if p.Waiting > 0 && p.ETASeconds > 0 {
		text += ", the last asked in about " + long(time.Duration(p.ETASeconds)*time.Second)
	}
	if text == b.last {
		return
	}
	b.last = text
	if !b.live {
		fmt.Fprintln(b.err, text)
		return
	}
	ended, asked := barWidth, 0
	if p.Total > 0 {
		ended = barWidth * p.Ended / p.Total
		asked = barWidth*(p.Ended+p.Asked)/p.Total - ended
	}
	full := "[" + strings.Repeat("#", ended) + strings.Repeat("-", asked) + strings.Repeat(" ", barWidth-ended-asked) + "] " + text
	if b.width > 1 {
		full = cut(full, b.width-1)
	}
	fmt.Fprint(b.err, "\r\x1b[K"+full)
}

func (b *drainBar) end() {
	if b.live && b.last != "" {
		fmt.Fprintln(b.err)
	}
}
