package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/client"
)

// outcomes are what a fate is called in a forecast.
var outcomes = map[string]string{
	"ends": "Ends", "closes": "Is over at once", "changes": "Changes", "goes-on-alert": "Goes on, and an administrator is told",
	"goes-on": "Goes on", "ending": "Is ending already", "ended": "Has ended already",
}

var fateColumns = []column{{"ID", 0}, {"USER", 1}, {"ENGINE", 3}, {"MODE", 2}, {"LEFT", 1}, {"RUN", 9}}

// forecast prints what would happen.
func (t *terminal) forecast(out io.Writer, f client.Forecast, now time.Time) {
	t.paragraph(out, "", f.Text)
	if f.Counts["ends"]+f.Counts["closes"] > 0 {
		t.paragraph(out, "", savesText(f.Saves))
	}
	for _, l := range f.Endpoints {
		ahead := ""
		if l.Ahead > 0 {
			ahead = fmt.Sprintf(" and %d that must be asked anyway", l.Ahead)
		}
		soon := "at once"
		if l.ETASeconds > 0 {
			soon = "the last in about " + long(time.Duration(l.ETASeconds)*time.Second) + ", at its rate"
		}
		t.paragraph(out, "", fmt.Sprintf("%s: %s to ask for%s, %s.", l.Endpoint, counted(int64(l.Ends), "stop", "stops"), ahead, soon))
	}
	t.fates(out, f, now)
}

// fates prints sessions, those of one fate and reason together.
func (t *terminal) fates(out io.Writer, f client.Forecast, now time.Time) {
	for i := 0; i < len(f.Sessions); {
		first := f.Sessions[i]
		var rows [][]string
		for ; i < len(f.Sessions) && f.Sessions[i].Outcome == first.Outcome && f.Sessions[i].Why == first.Why; i++ {
			s := f.Sessions[i]
			rows = append(rows, []string{s.ID, s.User, s.Engine, s.Mode, left(s.Deadline, now), s.Run})
		}
		fmt.Fprintln(out)
		said := outcomes[first.Outcome] + ": " + first.Why
		if rest, goesOn := strings.CutPrefix(first.Why, "it goes on "); goesOn {
			said = "Goes on " + rest
		}
		t.paragraph(out, "", said+".")
		t.table(out, fateColumns, rows)
	}
	if f.LeftOut > 0 {
		fmt.Fprintf(out, "\n%s more are not shown.\n", counted(int64(f.LeftOut), "session", "sessions"))
	}
}

// savesText says what stops save; what is not known is not nothing.
func savesText(s client.Sum) string {
	switch {
	case s.Unknown == 0:
		return fmt.Sprintf("Saves at most %.2f USD.", s.USD)
	case s.USD == 0:
		return "What that saves is not known."
	}
	return fmt.Sprintf("Saves at most %.2f USD, and what is not known for %s.", s.USD, counted(int64(s.Unknown), "session", "sessions"))
}

func whatIfCommand(t *terminal) *cobra.Command {
	c := &cobra.Command{
		Use:   "whatif",
		Short: "Say which sessions would end and which go on, and why, if something happened; changes nothing",
		Long: `whatif asks the function that decides, with today's sessions, and writes nothing:
a sign-out, a revoke, another policy, or just a later date.`,
		Example: `  nightshift whatif sign-out u-ana
  nightshift whatif revoke --selector engine=livy
  nightshift whatif policy --background-duration 1d
  nightshift whatif date 2026-11-27T06:00:00Z`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(whatIfSignOut(t), whatIfRevoke(t), whatIfPolicy(t), whatIfDate(t))
	return c
}

// supposes makes a command of a what-if, of what its arguments say is to happen.
func supposes(t *terminal, cmd *cobra.Command, change func(cmd *cobra.Command, args []string) (map[string]any, error), tell func(out io.Writer, f client.Forecast, now time.Time)) *cobra.Command {
	asks(t, cmd, func(cmd *cobra.Command, args []string) (request, error) {
		body, err := change(cmd, args)
		return request{http.MethodPost, "/api/whatif", body}, err
	}, tell)
	return cmd
}

// underPolicy prints what new sessions like today's would be under another
// policy: those that would differ first, alike ones together.
func (t *terminal) underPolicy(out io.Writer, f client.Forecast, now time.Time) {
	over, other := 0, 0
	slices.SortStableFunc(f.Sessions, func(a, b client.Fate) int {
		return cmp.Or(cmp.Compare(differs(b), differs(a)), cmp.Compare(a.Why, b.Why))
	})
	for _, s := range f.Sessions {
		switch differs(s) {
		case 2:
			over++
		case 1:
			other++
		}
	}
	t.paragraph(out, "", fmt.Sprintf("Nothing of today ends or changes by a change of policy: it holds for sessions that open later. Of new sessions like these %d, %d would be over at the same age and %d would be different.",
		len(f.Sessions), over, other))
	t.fates(out, f, now)
}

// differs is how much a new session would differ from one of today's: 2 where it
// would be over, 1 in mode or end, 0 in nothing.
func differs(s client.Fate) int {
	switch {
	case s.After.Status != s.Status:
		return 2
	case s.After.Mode != s.Mode || s.After.Deadline != s.Deadline:
		return 1
	}
	return 0
}

func whatIfSignOut(t *terminal) *cobra.Command {
	var at string
	cmd := supposes(t, &cobra.Command{
		Use: "sign-out USER", Short: "What if this user signed out",
		Example: "  nightshift whatif sign-out u-ana\n  nightshift whatif sign-out u-ana --at 2026-11-20T19:00:00Z",
		Args:    only("USER", "the id of a user"),
	}, func(_ *cobra.Command, args []string) (map[string]any, error) {
		said := map[string]any{"user": args[0]}
		if at != "" {
			said["at"] = at
		}
		return map[string]any{"signOut": said}, nil
	}, t.forecast)
	cmd.Flags().StringVar(&at, "at", "", "when, such as 2026-11-20T19:00:00Z; empty: now")
	return cmd
}

func whatIfRevoke(t *terminal) *cobra.Command {
	var o targetFlags
	cmd := supposes(t, &cobra.Command{
		Use: "revoke [SESSION | --user USER | --selector NAME=VALUE,…]", Short: "What if this were revoked",
		Example: "  nightshift whatif revoke --user u-ana\n  nightshift whatif revoke --selector mode=interactive,due-within=1d",
		Args:    cobra.MaximumNArgs(1),
	}, func(_ *cobra.Command, args []string) (map[string]any, error) {
		target, err := o.target(args)
		return map[string]any{"revoke": target}, err
	}, t.forecast)
	o.flags(cmd)
	return cmd
}

func whatIfPolicy(t *terminal) *cobra.Command {
	var o policyFlags
	cmd := supposes(t, &cobra.Command{
		Use: "policy [FILE]", Short: "What if sessions like today's were opened under another policy",
		Long: `policy says what new sessions like today's would be under a policy with these
settings. Today's go on as they are: what was decided at their opening is frozen.`,
		Example: "  nightshift whatif policy --background-duration 1d --tenant-limit 30d\n  nightshift whatif policy change.json",
		Args:    cobra.MaximumNArgs(1),
	}, func(cmd *cobra.Command, args []string) (map[string]any, error) {
		change, err := o.change(cmd, strings.Join(args, ""))
		return map[string]any{"policy": change}, err
	}, t.underPolicy)
	o.flags(cmd)
	return cmd
}

func whatIfDate(t *terminal) *cobra.Command {
	return supposes(t, &cobra.Command{
		Use: "date TIME", Short: "What if nothing happened until then but that time passed",
		Example: "  nightshift whatif date 2026-11-27T06:00:00Z",
		Args:    only("TIME", "a time such as 2026-11-27T06:00:00Z"),
	}, func(_ *cobra.Command, args []string) (map[string]any, error) {
		return map[string]any{"at": args[0]}, nil
	}, t.forecast)
}
