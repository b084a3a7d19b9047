package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/client"
)

func noticesCommand(t *terminal) *cobra.Command {
	r := reach{terminal: t}
	var limit int
	var about string
	cmd := &cobra.Command{
		Use:   "notices",
		Short: "List what users and administrators were told: ends that come, ends that came and why, alerts",
		Long: `notices lists what people were told about the newest sessions: that an end is near
(24 h, 1 h and 15 minutes before), why a run ended and where the limit is changed,
that a run will probably not finish in time, that a session is forgotten.`,
		Example: "  nightshift notices\n  nightshift notices --session s-28125048ea114d4024215597\n  nightshift notices --limit 0 --json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return usage("--limit: %d is not allowed; it must be 0 (all) or more", limit)
			}
			c, err := r.open(cmd)
			if err != nil {
				return err
			}
			items, all, err := listed(cmd, c, "notices", limit, func(n client.Notice) bool { return about == "" || n.Session == about })
			switch {
			case err != nil:
				return err
			case r.asJSON:
				return emitAll(cmd, map[string][]json.RawMessage{"notices": items})
			}
			r.notices(cmd.OutOrStdout(), all)
			return nil
		},
	}
	r.flags(cmd)
	cmd.Flags().IntVar(&limit, "limit", 50, "list at most so many; 0: all")
	cmd.Flags().StringVar(&about, "session", "", "only about this session")
	return cmd
}

func (t *terminal) notices(out io.Writer, all []client.Notice) {
	if len(all) == 0 {
		fmt.Fprintln(out, "Nobody was told anything.")
	}
	for _, n := range all {
		fmt.Fprintf(out, "%s  %s  %s  %s\n", instant(n.At), t.paint(shade(n.Kind), fmt.Sprintf("%-6s", n.Kind)), n.Session, n.User)
		t.paragraph(out, "    ", n.Text)
	}
}

func costCommand(t *terminal) *cobra.Command {
	var by, from string
	cmd := &cobra.Command{
		Use:   "cost",
		Short: "Say what sessions cost, by user, department or cost center, and which are forgotten",
		Long: `cost adds up what sessions cost, those that live and those recorded in the last 30
days (or --from a time): so far, until their deadlines, and what stops saved at
most; by on-demand list prices in US dollars, without storage, traffic, taxes and
discounts. A cluster that several sessions share is counted once. What is not
known is never counted as nothing: it stands beside the sum. A session is
forgotten that lives a day after its user left.`,
		Example: "  nightshift cost\n  nightshift cost --by department --from 2026-11-01\n  nightshift cost --json",
		Args:    noArguments,
	}
	asks(t, cmd, func(*cobra.Command, []string) (request, error) {
		if by != "user" && by != "department" && by != "cost-center" {
			return request{}, usage("--by: %q is not allowed; it must be user, department or cost-center", by)
		}
		at, err := timeOf("--from", from)
		if err != nil {
			return request{}, asUsage(err)
		}
		path := "/api/costs"
		if !at.IsZero() {
			path += "?" + url.Values{"from": {at.Format(time.RFC3339Nano)}}.Encode()
		}
		return request{http.MethodGet, path, nil}, nil
	}, func(out io.Writer, c client.Costs, _ time.Time) { t.costs(out, c, by) })
	cmd.Flags().StringVar(&by, "by", "user", "user, department or cost-center")
	cmd.Flags().StringVar(&from, "from", "", "count sessions recorded from this time on: 2026-11-20 (UTC) or 2026-11-20T18:00:00Z; empty: the last 30 days")
	choice(cmd, "by", "user", "department", "cost-center")
	return cmd
}

func (t *terminal) costs(out io.Writer, c client.Costs, by string) {
	groups, head := c.ByUser, "USER"
	switch by {
	case "department":
		groups, head = c.ByDepartment, "DEPARTMENT"
	case "cost-center":
		groups, head = c.ByCostCenter, "COST CENTER"
	}
	row := func(name string, g client.Group) []string {
		return []string{name, fmt.Sprint(g.Sessions), sum(g.SoFar), sum(g.ToDeadline), sum(g.Saved)}
	}
	var rows [][]string
	for _, g := range groups {
		name := g.Key
		if name == "" {
			name = "(none given)"
		}
		rows = append(rows, row(name, g))
	}
	t.table(out, []column{{head, 0}, {"SESSIONS", 2}, {"SO FAR", 0}, {"TO DEADLINES", 1}, {"SAVED AT MOST", 3}}, append(rows, row("all", c.Total)))
	fmt.Fprintln(out, "US dollars, by list prices; unknown: how many sessions are not in the sum, because their cost is not known.")
	t.paragraph(out, "", "Counted are the sessions that live, and those recorded since "+instant(c.From)+".")
	if !c.Complete {
		t.paragraph(out, "", "There are too many records to read further back at once: what was recorded earlier, and has ended, is not in the sums.")
	}
	if len(c.Forgotten) == 0 {
		fmt.Fprintln(out, "No session is forgotten.")
		return
	}
	fmt.Fprintf(out, "\n%s forgotten: the user left a day ago or longer, and the run goes on.\n", counted(int64(len(c.Forgotten)), "session is", "sessions are"))
	rows = nil
	for _, s := range c.Forgotten {
		rows = append(rows, []string{s.ID, s.User, dollars(s.Cost.SoFar), dollars(s.Cost.ToDeadline), instant(s.Deadline), s.Engine, s.Run})
	}
	t.table(out, []column{{"ID", 0}, {"USER", 1}, {"SO FAR", 1}, {"TO DEADLINE", 2}, {"ENDS", 2}, {"ENGINE", 3}, {"RUN", 9}}, rows)
}
