package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/client"
)

// none stands where there is nothing.
const none = "–"

// emit prints an answer of the API as it came.
func emit(cmd *cobra.Command, a client.Answer) error {
	_, err := io.WriteString(cmd.OutOrStdout(), strings.TrimRight(string(a.Body), "\n")+"\n")
	return err
}

// emitAll prints lists that came in pages as one, in the API's form of a page.
func emitAll(cmd *cobra.Command, lists map[string][]json.RawMessage) error {
	page := map[string]any{"next": ""}
	for name, items := range lists {
		if items == nil {
			items = []json.RawMessage{}
		}
		page[name] = items
	}
	enc := json.NewEncoder(cmd.OutOrStdout())
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(page)
}

// instant is a time for people: in UTC, to the second; "–" for none.
func instant(text string) string {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return none
	}
	return at.UTC().Format(time.RFC3339)
}

// left is how long it is until a time.
func left(text string, now time.Time) string {
	at, err := time.Parse(time.RFC3339Nano, text)
	switch {
	case err != nil:
		return none
	case !at.After(now):
		return "overdue"
	}
	return long(at.Sub(now))
}

// long is a duration for people, in its two largest units: "6d23h", "3h12m".
func long(d time.Duration) string {
	d = d.Round(time.Second)
	days, hours, minutes, seconds := d/(24*time.Hour), d/time.Hour%24, d/time.Minute%60, d/time.Second%60
	switch {
	case days > 0:
		return two(days, "d", hours, "h")
	case hours > 0:
		return two(hours, "h", minutes, "m")
	case minutes > 0:
		return two(minutes, "m", seconds, "s")
	}
	return fmt.Sprintf("%ds", seconds)
}

func two(a time.Duration, x string, b time.Duration, y string) string {
	if b == 0 {
		return fmt.Sprintf("%d%s", a, x)
	}
	return fmt.Sprintf("%d%s%d%s", a, x, b, y)
}

// span is a duration that the API wrote, for people.
func span(text string) string {
	d, err := time.ParseDuration(text)
	if err != nil {
		return text
	}
	return long(d)
}

func dollars(a client.Amount) string {
	if a.USD == nil {
		return "unknown"
	}
	return fmt.Sprintf("%.2f", *a.USD)
}

// because is an amount with why it is unknown.
func because(a client.Amount) string {
	if a.USD == nil {
		return "unknown: " + a.Unknown
	}
	return dollars(a) + " USD"
}

func sum(s client.Sum) string {
	switch {
	case s.Unknown > 0 && s.USD == 0:
		return fmt.Sprintf("%d unknown", s.Unknown)
	case s.Unknown > 0:
		return fmt.Sprintf("%.2f + %d unknown", s.USD, s.Unknown)
	}
	return fmt.Sprintf("%.2f", s.USD)
}

// wheres says where AWS's own sessions must still be ended, each text once.
func (t *terminal) wheres(w io.Writer, places []*client.Where) {
	said := map[string]bool{}
	for _, p := range places {
		if p == nil || said[p.Text] {
			continue
		}
		said[p.Text] = true
		fmt.Fprintln(w)
		t.paragraph(w, "", p.Text)
		fmt.Fprintln(w, "  "+p.Console)
		n := 0
		for _, q := range places {
			if q == nil || q.Text != p.Text || q.Search == "" || said[q.Search] {
				continue
			}
			said[q.Search] = true
			if n++; n <= searchesShown {
				fmt.Fprintln(w, "  "+q.Search)
			}
		}
		if n > searchesShown {
			fmt.Fprintf(w, "  and %d more; --json has all\n", n-searchesShown)
		}
	}
}

// searchesShown bounds the ARNs that are printed for one text.
const searchesShown = 20
