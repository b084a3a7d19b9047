package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"nightshift/internal/client"
)

// repairOptions are the flags of repair.
type repairOptions struct {
	reach
	endpoint, why string
	apply, yes    bool
}

func repairCommand(t *terminal) *cobra.Command {
	o := repairOptions{reach: reach{terminal: t}}
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Compare records and engines now: show what differs and why, and heal it if you say so",
		Long: `repair makes the checks of the watch and of the minute's sweep now, and shows what they
find: runs without a record, records without a run, runs that are alive after their
session's end, effects that were not carried out, places on lists and claims that are
missing, histories that do not prove themselves. It shows what it would do about each,
and does none of it.

With --apply it then asks, and heals just what it showed: if something else would be
healed by now, it refuses. --yes heals without asking. What no repair may touch (a
broken history, a restore, a check that is not made) it leaves to you and says how.
All of it heals by itself within minutes, where Nightshift runs; the exit status is 1
while something is to be healed or to be looked at, and 3 where all that is left could
not be looked at.`,
		Example: `  nightshift repair
  nightshift repair --endpoint sagemaker/123456789012/us-east-1
  nightshift repair --apply --why "after the outage of the cluster"
  nightshift repair --yes --json --stack nightshift`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.apply && !o.yes && !o.asks {
				return usage("--yes: nobody can be asked, for this is no terminal; give it to heal all the same, or leave --apply out to look only")
			}
			c, err := o.open(cmd)
			if err != nil {
				return err
			}
			return o.repair(cmd, c)
		},
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.endpoint, "endpoint", "", "only this endpoint; empty: all")
	f.BoolVar(&o.apply, "apply", false, "heal what was shown, after a question")
	f.BoolVar(&o.yes, "yes", false, "heal without a question")
	f.StringVar(&o.why, "why", "", "a reason, for the record")
	return cmd
}

func (o *repairOptions) repair(cmd *cobra.Command, c *client.Client) error {
	shown, whole, err := o.look(cmd, c)
	if err != nil {
		return err
	}
	heals := (o.apply || o.yes) && whole.Heals > 0
	if heals {
		out := cmd.OutOrStdout()
		if o.asJSON {
			out = o.err // what is asked about must be seen all the same
		}
		if !o.asJSON || !o.yes {
			o.findings(out, whole)
		}
		if !o.yes {
			if err := o.agreed("Heal "+counted(int64(whole.Heals), "finding", "findings")+" at "+c.Base, "nothing was healed"); err != nil {
				return err
			}
		}
		if shown, whole, err = o.heal(cmd, c, shown); err != nil {
			return err
		}
		if !o.asJSON {
			fmt.Fprintln(out)
		}
	}
	switch {
	case !o.asJSON:
		o.findings(cmd.OutOrStdout(), whole)
	case len(shown) == 1:
		err = emit(cmd, shown[0].Answer)
	default:
		var body []byte
		if body, err = json.MarshalIndent(whole, "", "  "); err == nil {
			err = emit(cmd, client.Answer{Body: append(body, '\n')})
		}
	}
	return cmp.Or(err, unrepaired(whole))
}

// stretch is one answer of a repair: the system looks as far as its time allows, and
// says where to go on.
type stretch struct {
	client.Answer
	client.Repair
	from string
}

// look reads all stretches, and what they say together.
func (o *repairOptions) look(cmd *cobra.Command, c *client.Client) (shown []stretch, whole client.Repair, err error) {
	for from := ""; ; {
		query := url.Values{}
		for name, value := range map[string]string{"endpoint": o.endpoint, "from": from} {
			if value != "" {
				query.Set(name, value)
			}
		}
		s := stretch{from: from}
		if s.Answer, err = c.Ask(cmd.Context(), http.MethodGet, "/api/repair", query, nil, &s.Repair); err != nil {
			return nil, whole, err
		}
		shown = append(shown, s)
		whole.Add(s.Repair)
		if s.Next == "" || s.Next == from {
			return shown, whole, nil
		}
		from = s.Next
	}
}

// heal carries out what was shown, stretch by stretch. What was healed before one that
// fails stays healed, and is told.
func (o *repairOptions) heal(cmd *cobra.Command, c *client.Client, shown []stretch) (done []stretch, whole client.Repair, err error) {
	for _, s := range shown {
		if s.Heals > 0 {
			body := given(cmd, map[string]string{"endpoint": "endpoint", "why": "why"})
			body["plan"], body["to"] = s.Plan, cmp.Or(s.Next, client.WholeRepair)
			if s.from != "" {
				body["from"] = s.from
			}
			s.Repair = client.Repair{}
			if s.Answer, err = c.Ask(cmd.Context(), http.MethodPost, "/api/repair", nil, body, &s.Repair); err != nil {
				if whole.Healed > 0 {
					fmt.Fprintln(o.err, counted(int64(whole.Healed), "finding was", "findings were")+" healed before this:")
				}
				return nil, whole, err
			}
		}
		done = append(done, s)
		whole.Add(s.Repair)
	}
	return done, whole, nil
}

// unrepaired is the exit status of what is left.
func unrepaired(r client.Repair) error {
	left, unchecked := r.LeftOut, 0
	for _, f := range r.Findings {
		switch {
		case f.Kind == "unchecked":
			unchecked++
		case !f.Healed:
			left++
		}
	}
	switch {
	case left > 0 && r.Applied:
		return statusError{fmt.Errorf("%s left", counted(int64(left), "finding is", "findings are")), exitFailure}
	case left > 0:
		return statusError{fmt.Errorf("%s", counted(int64(left), "finding", "findings")), exitFailure}
	case unchecked > 0:
		return statusError{fmt.Errorf("%s not be looked at", counted(int64(unchecked), "thing could", "things could")), exitUnknown}
	}
	return nil
}

// findings prints what was found, and what is, or would be, done about it.
func (o *repairOptions) findings(out io.Writer, r client.Repair) {
	o.paragraph(out, "", r.Text)
	for _, f := range r.Findings {
		var about []string
		for _, part := range []string{f.Session, f.User, f.Run, f.Endpoint} {
			if part != "" {
				about = append(about, part)
			}
		}
		fmt.Fprintf(out, "\n%s  %s\n", o.paint(bold, f.Kind), strings.Join(about, "  "))
		o.hanging(out, "  found   ", "          ", f.Found)
		switch {
		case f.Healed:
			o.hanging(out, "  healed  ", "          ", f.Heal)
		case f.Why != "":
			o.hanging(out, "  failed  ", "          ", f.Heal+", but "+f.Why)
		case f.Heal != "":
			o.hanging(out, "  heals   ", "          ", f.Heal)
		}
		if f.Advice != "" {
			o.hanging(out, "  you     ", "          ", f.Advice)
		}
	}
	if r.LeftOut > 0 {
		fmt.Fprintf(out, "\nand %d more\n", r.LeftOut)
	}
}
