package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"nightshift/internal/client"
)

func notebooksCommand(t *terminal) *cobra.Command {
	r := reach{terminal: t}
	var limit int
	cmd := &cobra.Command{
		Use:   "notebooks",
		Short: "List notebooks: where each runs, and what is being moved",
		Long: `notebooks lists the notebooks that were started through Nightshift, and on which
cluster each runs now: to an administrator all, to a user those that they have started
themselves. The machine move-notebook moves one to another cluster.`,
		Example: "  nightshift notebooks\n  nightshift notebooks --limit 0 --json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return usage("--limit: %d is not allowed; it must be 0 (all) or more", limit)
			}
			c, err := r.open(cmd)
			if err != nil {
				return err
			}
			items, all, err := listed(cmd, c, "notebooks", limit, func(client.Notebook) bool { return true })
			switch {
			case err != nil:
				return err
			case r.asJSON:
				return emitAll(cmd, map[string][]json.RawMessage{"notebooks": items})
			}
			r.notebooksTable(cmd.OutOrStdout(), all)
			return nil
		},
	}
	r.flags(cmd)
	cmd.Flags().IntVar(&limit, "limit", 1000, "list at most so many; 0: all")
	return cmd
}

func (t *terminal) notebooksTable(out io.Writer, all []client.Notebook) {
	if len(all) == 0 {
		fmt.Fprintln(out, "No notebook was started through Nightshift.")
		return
	}
	var rows [][]string
	for _, n := range all {
		place := printable(n.Place) // its user's own words
		moved := ""
		if n.Move.Execution != "" {
			to := n.Move.To
			switch {
			case n.Move.Back:
				to = n.Move.From + " (back)"
			case to == "":
				to = "a cluster that is not ready yet"
			}
			moved = "to " + to + ", since " + instant(n.Move.Since)
		}
		if len(n.Runs) == 0 {
			rows = append(rows, []string{place, "nowhere", none, none, none, moved})
		}
		for _, run := range n.Runs {
			rows = append(rows, []string{place, run.Cluster, run.User, run.Status, run.Session, moved})
		}
	}
	t.table(out, []column{{"NOTEBOOK", 0}, {"RUNS ON", 0}, {"USER", 3}, {"STATUS", 4}, {"SESSION", 2}, {"IS MOVED", 1}}, rows)
}
