package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// terminal is what a command talks to, and what of the outside it may ask: none
// of it is read anywhere else.
type terminal struct {
	in       io.Reader
	out, err io.Writer
	asks     bool // somebody is there to answer a question
	live     bool // err is a terminal: a line can be written over
	colour   bool
	width    int // of out, in characters; 0: as wide as it takes
	getenv   func(string) string
	now      func() time.Time
	wait     func(context.Context, time.Duration) error
	key      func() string // names an act, never twice the same
	// late is what is left to do once every command has its flags.
	late []func()
}

// The colours. Nothing is said by colour alone.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	dim    = "2"
	bold   = "1"
)

func (t *terminal) paint(colour, text string) string {
	if !t.colour || colour == "" || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// shade is the colour of a word that has one.
func shade(word string) string {
	switch word {
	case "ACTIVE", "yes", "intact", "on":
		return green
	case "ENDING", "unknown", "goes-on-alert", "alert":
		return yellow
	case "ENDED", "–":
		return dim
	case "no", "overdue", "page":
		return red
	}
	return ""
}

// column is one of a table.
type column struct {
	head string
	rank int // who is cut first: the highest; 0 is never cut
}

const (
	gap       = 2 // between columns
	narrowest = 6 // what a column can be cut to; if that is not enough, it goes
)

// table prints rows so that they fit the width: the least important columns are
// cut, or left out, never one of rank 0. A column with nothing in it is left out.
func (t *terminal) table(w io.Writer, columns []column, rows [][]string) {
	widths := fit(columns, rows, t.width)
	line := func(cells []string, colour func(string) string) {
		var b strings.Builder
		pad := 0
		for i, width := range widths {
			if width == 0 {
				continue
			}
			cell := cut(cells[i], width)
			b.WriteString(strings.Repeat(" ", pad))
			b.WriteString(t.paint(colour(cell), cell))
			pad = width - utf8.RuneCountInString(cell) + gap
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
	heads := make([]string, len(columns))
	for i, c := range columns {
		heads[i] = c.head
	}
	line(heads, func(string) string { return bold })
	for _, row := range rows {
		line(row, shade)
	}
}

// fit is how wide each column is; 0: left out.
func fit(columns []column, rows [][]string, most int) []int {
	widths := make([]int, len(columns))
	for i := range columns {
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		if widths[i] > 0 {
			widths[i] = max(widths[i], utf8.RuneCountInString(columns[i].head))
		}
	}
	natural := append([]int(nil), widths...)
	for most > 0 {
		last := -1 // the least important column that is still there
		for i, c := range columns {
			if natural[i] > 0 && c.rank > 0 && (last < 0 || c.rank > columns[last].rank) {
				last = i
			}
		}
		copy(widths, natural)
		if over := squeeze(columns, widths, most); over <= 0 || last < 0 {
			break
		}
		natural[last] = 0
	}
	return widths
}

// squeeze cuts columns, the least important first, and answers by how much they
// are still too wide.
func squeeze(columns []column, widths []int, most int) int {
	over := -gap - most
	highest := 0
	for i, w := range widths {
		if w > 0 {
			over += w + gap
		}
		highest = max(highest, columns[i].rank)
	}
	for rank := highest; rank > 0 && over > 0; rank-- {
		for i, c := range columns {
			if least := max(narrowest, utf8.RuneCountInString(c.head)); c.rank == rank && widths[i] > least && over > 0 {
				by := min(over, widths[i]-least)
				widths[i], over = widths[i]-by, over-by
			}
		}
	}
	return over
}

func cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}

// textWidth is how wide a text is set: long lines are hard to read.
const textWidth = 100

func (t *terminal) textWidth() int {
	if t.width > 0 {
		return max(20, min(textWidth, t.width))
	}
	return textWidth
}

// goDuration is a duration as Go writes one of a minute or more.
var goDuration = regexp.MustCompile(`\b(?:\d+h)?\d+m\d+(?:\.\d+)?s\b`)

// paragraph prints a text broken to the width, each line after an indentation.
func (t *terminal) paragraph(w io.Writer, indent, text string) { t.hanging(w, indent, indent, text) }

// hanging is a paragraph whose first line has an indentation of its own.
func (t *terminal) hanging(w io.Writer, first, rest, text string) {
	text = goDuration.ReplaceAllStringFunc(text, span)
	lines := wrap(strings.Repeat("x", len(first))+text, t.textWidth())
	if text == "" {
		return
	}
	fmt.Fprintln(w, first+lines[0][len(first):])
	for _, more := range wrap(strings.Join(lines[1:], " "), t.textWidth()-len(rest)) {
		fmt.Fprintln(w, rest+more)
	}
}
