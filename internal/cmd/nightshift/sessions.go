package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/client"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// sessionsOptions are the flags of sessions.
type sessionsOptions struct {
	reach
	user, engine, endpoint, state, mode, due string
	above                                    float64
	limit                                    int
}

func sessionsCommand(t *terminal) *cobra.Command {
	o := sessionsOptions{reach: reach{terminal: t}}
	cmd := &cobra.Command{
		Use:   "sessions",
		Short: "List sessions: who runs what, in which mode, until when, at what cost",
		Long: `sessions lists sessions that have not ended, or those that --state names; what
must end first stands first. SIGN-OUT says whether the run would go on if its user
signed out now. COST USD is what the run has cost so far, by list prices; what is
not known is said to be unknown. All filters that are given must hold.
"nightshift why ID" tells one session's story.`,
		Example: `  nightshift sessions
  nightshift sessions --user u-ana --mode background
  nightshift sessions --due-within 1h
  nightshift sessions --state all --cost-above 100 --json
  nightshift sessions --stack nightshift --region eu-central-1 --profile admin`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.list(cmd) },
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.user, "user", "", "only this user's; the id in the identity store")
	f.StringVar(&o.engine, "engine", "", "only this engine's")
	f.StringVar(&o.endpoint, "endpoint", "", "only this endpoint's, such as livy/j-2AXXXXXXGAPLF")
	f.StringVar(&o.state, "state", "live", "live (not ended), active, ending, ended or all")
	f.StringVar(&o.mode, "mode", "", "only of this mode: background, interactive, role or unknown")
	f.StringVar(&o.due, "due-within", "", `only those that end by then at the latest, such as "1h" or "2d"`)
	f.Float64Var(&o.above, "cost-above", 0, "only those that have cost more US dollars than this so far")
	f.IntVar(&o.limit, "limit", 1000, "list at most so many; 0: all")
	choice(cmd, "engine", engines()...)
	choice(cmd, "mode", modes()...)
	choice(cmd, "state", "live", "active", "ending", "ended", "all")
	return cmd
}

func engines() []string {
	var all []string
	for _, e := range workload.Engines() {
		all = append(all, string(e))
	}
	return all
}

func modes() []string {
	return []string{string(session.Background), string(session.Interactive), string(session.Role), string(session.ModeUnknown)}
}

func (o *sessionsOptions) list(cmd *cobra.Command) error {
	if o.above < 0 {
		return usage("--cost-above: %g is not allowed; it must be 0 or more US dollars", o.above)
	}
	if o.limit < 0 {
		return usage("--limit: %d is not allowed; it must be 0 (all) or more", o.limit)
	}
	c, err := o.open(cmd)
	if err != nil {
		return err
	}
	status := o.state
	if slices.Contains([]string{"active", "ending", "ended"}, strings.ToLower(status)) {
		status = strings.ToUpper(status)
	}
	query := url.Values{}
	for name, value := range map[string]string{"user": o.user, "engine": o.engine, "endpoint": o.endpoint, "status": status, "mode": o.mode, "dueWithin": o.due} {
		if value != "" {
			query.Set(name, value)
		}
	}
	var items []json.RawMessage
	var lines []client.Session
	unknown, cutOff := 0, false
	a, err := c.Pages(cmd.Context(), "sessions", query, func(item json.RawMessage) (bool, error) {
		var s client.Session
		if err := json.Unmarshal(item, &s); err != nil {
			return false, err
		}
		if usd := s.Cost.SoFar.USD; cmd.Flags().Changed("cost-above") {
			if usd == nil {
				unknown++
			}
			if usd == nil || *usd <= o.above {
				return true, nil
			}
		}
		if cutOff = o.limit > 0 && len(lines) == o.limit; cutOff {
			return false, nil
		}
		items, lines = append(items, item), append(lines, s)
		if len(lines)%500 == 0 && o.live {
			fmt.Fprintf(o.err, "\r\x1b[K%d sessions read…", len(lines))
		}
		return true, nil
	})
	if len(lines) >= 500 && o.live {
		fmt.Fprint(o.err, "\r\x1b[K")
	}
	if err != nil {
		return err
	}
	if unknown > 0 {
		fmt.Fprintf(o.err, "%s of unknown cost left out\n", counted(int64(unknown), "session", "sessions"))
	}
	if cutOff {
		fmt.Fprintf(o.err, "there are more than %d sessions: these are the first that came; narrow the filters, or --limit 0\n", o.limit)
	}
	if o.asJSON {
		return emitAll(cmd, map[string][]json.RawMessage{"sessions": items})
	}
	o.show(cmd, lines, a.At)
	return nil
}

// show prints sessions, what must end first in front.
func (o *sessionsOptions) show(cmd *cobra.Command, lines []client.Session, now time.Time) {
	out := cmd.OutOrStdout()
	if len(lines) == 0 {
		fmt.Fprintln(out, o.nothing(cmd))
		return
	}
	slices.SortStableFunc(lines, func(x, y client.Session) int {
		return cmp.Or(cmp.Compare(urgency(x), urgency(y)), cmp.Compare(x.ID, y.ID))
	})
	o.table(out, sessionColumns, sessionRows(lines, now))
	soon := 0
	for _, s := range lines {
		if at, err := time.Parse(time.RFC3339Nano, s.Deadline); err == nil && s.Status == string(session.Active) && at.Sub(now) <= time.Hour {
			soon++
		}
	}
	text := counted(int64(len(lines)), "session", "sessions")
	if soon > 0 {
		text += fmt.Sprintf(", %d of them with an end within the hour", soon)
	}
	fmt.Fprintln(out, text)
}

// nothing says why the list is empty.
func (o *sessionsOptions) nothing(cmd *cobra.Command) string {
	for _, filter := range []string{"user", "engine", "endpoint", "state", "mode", "due-within", "cost-above"} {
		if cmd.Flags().Changed(filter) {
			return "No session fits."
		}
	}
	return "No session is live: nothing runs now. nightshift sessions --state all lists those that have ended, too."
}

// urgency orders sessions: ending ones, then by their deadline, then without one,
// then ended ones, the newest first being of no use to whoever must act.
func urgency(s client.Session) string {
	switch {
	case s.Status == string(session.Ending):
		return "0"
	case s.Status == string(session.Ended):
		return "3" + s.Confirmed
	case s.Deadline == "":
		return "2"
	}
	return "1" + s.Deadline
}

var sessionColumns = []column{{"ID", 0}, {"USER", 1}, {"ENGINE", 7}, {"MODE", 4}, {"STATE", 3}, {"LEFT", 2}, {"CAUSE", 5}, {"SIGN-OUT", 6}, {"COST USD", 5}, {"RUN", 9}}

func sessionRows(lines []client.Session, now time.Time) [][]string {
	var rows [][]string
	for _, s := range lines {
		remains, survives := none, ""
		if s.Status == string(session.Active) {
			remains = left(s.Deadline, now)
			survives = map[string]string{"yes": "goes on", "no": "ends", "unknown": "unknown"}[s.Survives]
		}
		spent := dollars(s.Cost.SoFar)
		if s.Cost.Forgotten {
			spent += " forgotten"
		}
		rows = append(rows, []string{s.ID, s.User, s.Engine, s.Mode, s.Status, remains, s.Cause, survives, spent, s.Run})
	}
	return rows
}
