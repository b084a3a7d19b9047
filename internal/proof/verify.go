package proof

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"time"
)

// LineMax bounds a line, in bytes; a longer one ends the reading, as a fault.
// The longest that is written is an anchor's, of about 130 KB.
const LineMax = 4 << 20

// Options of Verify.
type Options struct {
	// From and To narrow the stops that are counted to those decided from From on
	// and before To; zero times count what the file holds.
	From, To time.Time
	// Anchors are hashes that were kept elsewhere: each must be an anchor's.
	Anchors []string
}

// Verify reads an export to its end and says what it proves, and everything that
// is wrong with it. The error is of the reading; what is wrong is in the report.
func Verify(in io.Reader, o Options) (Report, error) {
	v := &verifier{o: o, sum: sha256.New(), anchored: map[string][]anchored{}, kept: map[string]bool{}}
	scan := bufio.NewScanner(in)
	scan.Buffer(nil, LineMax)
	scan.Split(wholeLines)
	for scan.Scan() {
		v.take(scan.Bytes())
	}
	switch err := scan.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		v.lines++
		v.wrong("the line is longer than %d bytes: nothing after it is read", LineMax)
	case err != nil:
		return v.r, fmt.Errorf("read line %d of the proof: %w", v.lines+1, err)
	}
	v.finish()
	return v.r, nil
}

// wholeLines splits behind each newline and keeps it; the rest of a file that
// does not end with one is a line without.
func wholeLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// anchored is an anchor's word on one version of a session.
type anchored struct {
	version, seq int64
	hash         string
}

// record is what matters here of a history entry's content.
type record struct {
	SessionID string
	Version   int64
	At        time.Time
	Event     struct {
		Kind string
		At   time.Time
	}
	From, To string
	Previous string
	End      story

	stated string // the hash that its line states
	line   int64
}

// story is how an ending is told in an entry (S2.7).
type story struct {
	Cause, Evidence, By                        string
	Happened, Known, Decided, Asked, Confirmed time.Time
}

// changes says whether the entry changed the session's status.
func (e record) changes() bool { return e.From != e.To }

// The statuses, and the event that a stop request was accepted, as entries name
// them.
const (
	active = "ACTIVE"
	ending = "ENDING"
	ended  = "ENDED"

	stopAccepted = "stop-accepted"
)

// verifier reads line after line; of histories it holds one session's.
type verifier struct {
	o      Options
	r      Report
	sum    hash.Hash
	lines  int64
	closed bool // the line that counts the others was there

	last     Anchor
	anchored map[string][]anchored // by session; those of the session at hand and of those before are gone
	kept     map[string]bool       // hashes of the anchors seen that were asked for

	session string // at hand, or the last
	open    bool   // its head is still to come
	entries []record
}

func (v *verifier) wrong(what string, args ...any) {
	v.r.fault(Fault{Line: v.lines, What: fmt.Sprintf(what, args...)})
}

// take reads one line. Its frame must be exactly what the writer would write, so
// that no byte of it can differ unseen.
func (v *verifier) take(raw []byte) {
	v.lines++
	if v.closed {
		v.wrong("there is a line after the end")
		return
	}
	body, whole := bytes.CutSuffix(raw, []byte{'\n'})
	if !whole {
		v.wrong("the file is cut off in this line")
		return
	}
	var l line
	if !exact(body, &l) {
		v.wrong("it is not a line of an export")
		v.add(raw)
		return
	}
	if (v.lines == 1) != (l.Type == typeExport) {
		v.wrong("a line of type %q stands here; the first line, and only it, is of type %q", l.Type, typeExport)
	}
	switch l.Type {
	case typeExport:
		v.header(l)
	case typeAnchor:
		v.anchor(l)
	case typeEntry:
		v.entry(l)
	case typeHead:
		v.head(l)
	case typeEnd:
		v.end(l)
	default:
		v.wrong("there is no line type %q", l.Type)
	}
	v.add(raw)
}

func (v *verifier) add(raw []byte) { v.sum.Write(raw) }

// exact reads JSON that is written exactly as Go would write what it says.
func exact(body []byte, into any) bool {
	if json.Unmarshal(body, into) != nil {
		return false
	}
	again, err := json.Marshal(into)
	return err == nil && bytes.Equal(again, body)
}

func (v *verifier) header(l line) {
	var h Header
	switch {
	case !exact(l.Content, &h) || l.Hash != "":
		v.wrong("what the file holds cannot be read")
	case h.Format != Format:
		v.wrong("the file has format %d; this version reads %d", h.Format, Format)
	}
	v.r.Header = h
}

func (v *verifier) anchor(l line) {
	var a Anchor
	if !exact(l.Content, &a) || a.Hash != "" {
		v.wrong("the anchor cannot be read")
		return
	}
	wrong := func(what string, args ...any) {
		v.r.fault(Fault{Line: v.lines, Anchor: a.Seq, What: fmt.Sprintf(what, args...)})
	}
	if l.Hash != hashOver(a.Previous, l.Content) {
		wrong("its content does not have the hash stated: it was changed")
	}
	switch first := v.last.Seq == 0; {
	case v.session != "":
		wrong("it stands behind the sessions")
	case first && v.r.Header.From.IsZero() && (a.Seq != 1 || a.Previous != Genesis):
		wrong("it is the first here and not the first there was: those before it are missing")
	case first:
	case a.Seq != v.last.Seq+1:
		wrong("it follows anchor %d: one is missing, invented or out of order", v.last.Seq)
	case a.Previous != v.last.Hash:
		wrong("it follows another anchor %d than the one here", v.last.Seq)
	case a.At.Before(v.last.At) || a.Until.Before(v.last.Until):
		wrong("it is older than the anchor before it")
	}
	for _, h := range a.Heads {
		v.anchored[h.Session] = append(v.anchored[h.Session], anchored{h.Version, a.Seq, h.Hash})
	}
	if slices.Contains(v.o.Anchors, l.Hash) {
		v.kept[l.Hash] = true
	}
	a.Hash = l.Hash
	v.last, v.r.Covered = a, a.Until
	v.r.Anchors++
	v.r.Newest = Head{Version: a.Seq, Hash: a.Hash}
}

// begin turns to a session.
func (v *verifier) begin(id string) {
	if v.open && id == v.session {
		return
	}
	if v.open {
		v.check(nil)
	}
	if id <= v.session {
		v.r.fault(Fault{Line: v.lines, Session: id, What: "it stands twice, or out of order"})
	}
	v.session, v.open, v.entries = id, true, nil
	v.r.Sessions++
}

func (v *verifier) entry(l line) {
	e := record{stated: l.Hash, line: v.lines}
	if json.Unmarshal(l.Content, &e) != nil || e.SessionID == "" || e.Version < 1 {
		v.wrong("the entry cannot be read")
		return
	}
	v.begin(e.SessionID)
	if l.Hash != hashOver(e.Previous, l.Content) {
		v.broken(e, "its content does not have the hash stated: it was changed")
	}
	v.entries = append(v.entries, e)
	v.r.Entries++
}

func (v *verifier) broken(e record, what string, args ...any) {
	v.r.fault(Fault{Line: e.line, Session: e.SessionID, Version: e.Version, What: fmt.Sprintf(what, args...)})
}

func (v *verifier) head(l line) {
	var s State
	if !exact(l.Content, &s) || l.Hash != "" || s.Session == "" {
		v.wrong("the head of a session cannot be read")
		return
	}
	v.begin(s.Session)
	v.check(&s)
}

func (v *verifier) end(l line) {
	var e end
	v.closed = true
	switch {
	case !exact(l.Content, &e) || l.Hash != "":
		v.wrong("the end cannot be read")
	case e.Lines != v.lines-1:
		v.wrong("the end counts %d lines before it; there are %d: some are missing or invented", e.Lines, v.lines-1)
	case e.SHA256 != hex.EncodeToString(v.sum.Sum(nil)):
		v.wrong("the lines do not have the SHA-256 that the end states: a byte was changed")
	}
}

// finish says what is wrong with the whole, and sums up.
func (v *verifier) finish() {
	if v.open {
		v.check(nil)
	}
	if !v.closed {
		v.wrong("the file is cut off: its last line does not count the others")
	}
	for _, id := range slices.Sorted(maps.Keys(v.anchored)) {
		newest := slices.MaxFunc(v.anchored[id], func(a, b anchored) int { return cmp.Compare(a.version, b.version) })
		v.r.fault(Fault{Session: id, Version: newest.version, Anchor: newest.seq, What: fmt.Sprintf("the whole session is missing: anchor %d names it", newest.seq)})
	}
	for _, hash := range v.o.Anchors {
		if !v.kept[hash] {
			v.r.fault(Fault{What: fmt.Sprintf("no anchor has the hash %s that was kept: the anchors are not those of then", hash)})
		}
	}
	v.r.From, v.r.To = v.period()
	v.r.count()
}

// period is the one asked for, where none is the file's.
func (v *verifier) period() (from, to time.Time) {
	from, to = v.r.Header.From, v.r.Header.To
	if !v.o.From.IsZero() {
		from = v.o.From
	}
	if !v.o.To.IsZero() {
		to = v.o.To
	}
	return from, to
}

// within says whether a moment is in the period.
func (v *verifier) within(at time.Time) bool {
	from, to := v.period()
	return !at.Before(from) && (to.IsZero() || at.Before(to))
}
