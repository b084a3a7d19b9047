package app

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Stretch is what one repair looks at. Whoever answers a person has seconds, and there
// may be many endpoints and records: where its time is up, a repair says where to go on.
type Stretch struct {
	Endpoint string // the only one to look at; "": all
	From     string // Repair.Next of the stretch before; "": from the beginning
	To       string // Repair.Next of the rehearsal that is carried out, WholeRepair where it had none; "": as far as time allows
}

// WholeRepair is the end of a stretch that nothing follows.
const WholeRepair = "end"

// The parts of a repair, as places in it begin.
const (
	partEndpoints = "endpoints"
	partRecords   = "records"
	partEffects   = "effects"
	partFacts     = "facts"
)

var parts = []string{partEndpoints, partRecords, partEffects, partFacts}

// step is where a repair may stop and go on, "part:rest" as text.
type step struct {
	part   int    // of parts; len(parts): behind all
	id     string // of endpoints: the one to look at next, in order
	looked int    // of records: how many were looked at
	cursor string // of records: the store's
}

func (p step) String() string {
	switch {
	case p.part >= len(parts):
		return ""
	case parts[p.part] == partRecords:
		return partRecords + ":" + strconv.Itoa(p.looked) + ":" + p.cursor
	}
	return parts[p.part] + ":" + p.id
}

// before says whether a step comes before another one. Cursors are not compared: what
// is opened between two looks moves them.
func (p step) before(q step) bool {
	switch {
	case p.part != q.part:
		return p.part < q.part
	case p.id != q.id:
		return p.id < q.id
	}
	return p.looked < q.looked
}

func stepOf(field, text string) (step, error) {
	if text == WholeRepair && field == "to" {
		return step{part: len(parts)}, nil
	}
	part, rest, _ := strings.Cut(text, ":")
	p := step{part: slices.Index(parts, part)}
	counted := true
	switch part {
	case partEndpoints:
		p.id = rest
	case partRecords:
		var n string
		var err error
		n, p.cursor, _ = strings.Cut(rest, ":")
		p.looked, err = strconv.Atoi(n)
		counted = err == nil && p.looked >= 0 && p.looked <= recordsMax
	default:
		counted = rest == ""
	}
	if p.part < 0 || !counted {
		return step{}, Field("repair", field, "next, as the stretch before answered it, or empty")
	}
	return p, nil
}

// stretch is a Stretch on its way.
type stretch struct {
	from, to step
	bounded  bool      // to is where it ends; else until
	until    time.Time // zero: whenever
	looked   bool      // at something
	ends     *step     // where it has ended; nil: behind all
}

// stops says whether a repair ends its stretch before a step. The first thing of one is
// always looked at, so that each comes further.
func (r *repairing) stops(at step) bool {
	end := r.bounded && !at.before(r.to) || !r.bounded && r.looked && !r.until.IsZero() && !r.Now().Before(r.until)
	r.looked = true
	if end {
		r.ends = &at
	}
	return end
}

// next is where to go on; "" where all was looked at.
func (s stretch) next() string {
	if s.ends == nil {
		return ""
	}
	return s.ends.String()
}

func (s Stretch) steps() (stretch, error) {
	t := stretch{bounded: s.To != ""}
	var e1, e2 error
	if s.From != "" {
		t.from, e1 = stepOf("from", s.From)
	}
	if s.To != "" {
		t.to, e2 = stepOf("to", s.To)
	}
	return t, first(e1, e2)
}

// third is when a third of the caller's time is gone; zero where nobody waits. What was
// shown is carried out in the second and third: it is looked at once more before.
func (a *App) third(ctx context.Context) time.Time {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Time{}
	}
	now := a.Now()
	return now.Add(deadline.Sub(now) / 3)
}
