package proof

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"time"
)

// Header says what a file holds: the sessions whose status changed from From on
// and before To, and those that the anchors of that time name. Zero times are
// no limit.
type Header struct {
	Format int
	At     time.Time // when it was made
	From   time.Time
	To     time.Time
}

// State is what a session's record says is its newest version.
type State struct {
	Session string
	Version int64
	Status  string
	Hash    string
}

// end closes a file.
type end struct {
	Lines  int64
	SHA256 string
}

// line is the frame of every line.
type line struct {
	Type    string          `json:"type"`
	Hash    string          `json:"hash,omitempty"`
	Content json.RawMessage `json:"content"`
}

// The types of lines.
const (
	typeExport = "export"
	typeAnchor = "anchor"
	typeEntry  = "entry"
	typeHead   = "head"
	typeEnd    = "end"
)

// Writer writes an export, line by line in the order that the package comment
// says. The first error stands; Close tells it.
type Writer struct {
	out   io.Writer
	sum   hash.Hash
	lines int64
	err   error
}

// NewWriter begins a file.
func NewWriter(out io.Writer, h Header) *Writer {
	w := &Writer{out: out, sum: sha256.New()}
	h.Format = Format
	w.put(typeExport, "", h)
	return w
}

// Anchor writes one anchor.
func (w *Writer) Anchor(a Anchor) {
	stated := a.Hash
	a.Hash = ""
	w.put(typeAnchor, stated, a)
}

// Entry writes one history entry: its content as it was hashed, and its hash.
func (w *Writer) Entry(content any, hash string) { w.put(typeEntry, hash, content) }

// Head ends a session.
func (w *Writer) Head(s State) { w.put(typeHead, "", s) }

// Close ends the file.
func (w *Writer) Close() error {
	w.put(typeEnd, "", end{Lines: w.lines, SHA256: hex.EncodeToString(w.sum.Sum(nil))})
	return w.err
}

func (w *Writer) put(kind, hash string, content any) {
	if w.err != nil {
		return
	}
	body, err := json.Marshal(content)
	if err == nil {
		body, err = json.Marshal(line{Type: kind, Hash: hash, Content: body})
	}
	if err != nil {
		w.err = fmt.Errorf("proof: a line of type %s cannot be written as JSON: %w", kind, err)
		return
	}
	body = append(body, '\n')
	w.sum.Write(body)
	w.lines++
	if _, err := w.out.Write(body); err != nil {
		w.err = fmt.Errorf("proof: cannot write: %w", err)
	}
}
