package app

import (
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"nightshift/internal/proof"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Seal computes the hash over everything but Hash and Done.
func (e Entry) Seal() (string, error) {
	e.Hash, e.Done = "", false
	w, _ := sealing.Get().(*content)
	defer sealing.Put(w)
	w.b, w.err = proof.Begin(w.b[:0], e.Previous), nil
	w.entry(&e)
	if w.err != nil {
		return "", w.err
	}
	return proof.LinkBegun(w.b), nil
}

var sealing = sync.Pool{New: func() any { return &content{} }}

// content is an entry as json.Marshal writes it, byte for byte (a test holds the
// two together, field by field): every decision is sealed, and reflection over a
// hundred fields would be the most of what it costs. What is rare or odd is left
// to json.Marshal.
type content struct {
	b   []byte
	err error
	// The newest moments, as they were written, and where the next one is kept: one entry has
	// most of them several times, and a session's entries have its deadline.
	stamps [4]stamped
	next   int
}

// stamped is a moment and its JSON, of n bytes; n 0: none.
type stamped struct {
	at   time.Time
	n    int
	json [len(time.RFC3339Nano) + len(`""`)]byte
}

func (w *content) raw(s string) { w.b = append(w.b, s...) }

// text is a name and its string.
func text[T ~string](w *content, name string, s T) {
	w.raw(name)
	if s == "" { // most are
		w.raw(`""`)
		return
	}
	for i := range len(s) {
		if odd[s[i]] {
			w.any("", string(s))
			return
		}
	}
	w.b = append(append(append(w.b, '"'), s...), '"')
}

// odd are the bytes that do not stand for themselves in a string of JSON.
var odd = func() (is [256]bool) {
	for c := range is {
		is[c] = c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&'
	}
	return is
}()

func (w *content) number(name string, n int64) { w.raw(name); w.b = strconv.AppendInt(w.b, n, 10) }
func (w *content) truth(name string, t bool)   { w.raw(name); w.b = strconv.AppendBool(w.b, t) }

func (w *content) moment(name string, t time.Time) {
	if t == (time.Time{}) { // most are
		w.raw(name)
		w.raw(`"0001-01-01T00:00:00Z"`)
		return
	}
	for i := range w.stamps {
		if known := &w.stamps[i]; known.n > 0 && known.at == t {
			w.raw(name)
			w.b = append(w.b, known.json[:known.n]...)
			return
		}
	}
	if t.Year() >= 0 && t.Year() <= 9999 {
		n := len(w.b)
		w.raw(name)
		from := len(w.b)
		if w.b = t.AppendFormat(append(w.b, '"'), time.RFC3339Nano); w.b[len(w.b)-1] == 'Z' {
			w.b = append(w.b, '"')
			known := &w.stamps[w.next]
			known.at, known.n = t, copy(known.json[:], w.b[from:])
			w.next = (w.next + 1) % len(w.stamps)
			return
		}
		w.b = w.b[:n]
	}
	w.any(name, t)
}

// any leaves a value to json.Marshal.
func (w *content) any(name string, v any) {
	body, err := json.Marshal(v)
	if err != nil && w.err == nil {
		w.err = err
	}
	w.raw(name)
	w.b = append(w.b, body...)
}

func (w *content) entry(e *Entry) {
	text(w, `{"SessionID":`, e.SessionID)
	w.number(`,"Version":`, e.Version)
	w.moment(`,"At":`, e.At)
	w.event(&e.Event)
	text(w, `,"From":`, e.From)
	text(w, `,"To":`, e.To)
	text(w, `,"Mode":`, e.Mode)
	w.moment(`,"Deadline":`, e.Deadline)
	text(w, `,"Source":`, e.Source)
	text(w, `,"Cause":`, e.Cause)
	text(w, `,"Note":`, e.Note)
	w.effects(e.Effects)
	text(w, `,"Previous":`, e.Previous)
	text(w, `,"Hash":`, e.Hash)
	w.truth(`,"Done":`, e.Done)
	if e.End != (session.End{}) {
		w.end(&e.End)
	}
	w.raw(`}`)
}

func (w *content) event(e *session.Event) {
	text(w, `,"Event":{"ID":`, e.ID)
	text(w, `,"Kind":`, e.Kind)
	w.moment(`,"At":`, e.At)
	w.moment(`,"Known":`, e.Known)
	text(w, `,"User":`, e.User)
	text(w, `,"By":`, e.By)
	text(w, `,"Evidence":`, e.Evidence)
	text(w, `,"Interactive":{"ID":`, e.Interactive.ID)
	text(w, `,"Source":`, e.Interactive.Source)
	w.moment(`,"ExpiresAt":`, e.Interactive.ExpiresAt)
	text(w, `},"Run":{"Endpoint":`, e.Run.Endpoint)
	text(w, `,"ID":`, e.Run.ID)
	text(w, `},"Domain":`, e.Domain)
	w.moment(`,"Since":`, e.Since)
	w.truth(`,"Busy":`, e.Busy)
	text(w, `,"State":`, e.State)
	text(w, `,"Detail":`, e.Detail)
	text(w, `,"Token":`, e.Token)
	w.number(`,"MaxRuntime":`, int64(e.MaxRuntime))
	if e.Cluster != "" {
		text(w, `,"Cluster":`, e.Cluster)
	}
	if e.Name != "" {
		text(w, `,"Name":`, e.Name)
	}
	if e.Billing != (workload.Billing{}) {
		w.any(`,"Billing":`, e.Billing)
	}
	if e.Progress != (workload.Progress{}) {
		w.any(`,"Progress":`, e.Progress)
	}
	if e.Cost != 0 {
		w.any(`,"Cost":`, e.Cost)
	}
	if e.Held != "" {
		text(w, `,"Held":`, e.Held)
	}
	if !e.Until.IsZero() {
		w.moment(`,"Until":`, e.Until)
	}
	w.raw(`}`)
}

func (w *content) effects(all []session.Effect) {
	if all == nil {
		w.raw(`,"Effects":null`)
		return
	}
	w.raw(`,"Effects":[`)
	for i, e := range all {
		if i > 0 {
			w.raw(`,`)
		}
		text(w, `{"Kind":`, e.Kind)
		text(w, `,"Reason":`, e.Reason)
		text(w, `,"Text":`, e.Text)
		w.number(`,"Before":`, int64(e.Before))
		w.raw(`}`)
	}
	w.raw(`]`)
}

func (w *content) end(e *session.End) {
	text(w, `,"End":{"Cause":`, e.Cause)
	text(w, `,"Evidence":`, e.Evidence)
	text(w, `,"By":`, e.By)
	w.moment(`,"Happened":`, e.Happened)
	w.moment(`,"Known":`, e.Known)
	w.moment(`,"Decided":`, e.Decided)
	w.moment(`,"Asked":`, e.Asked)
	w.moment(`,"AskedLast":`, e.AskedLast)
	w.moment(`,"Confirmed":`, e.Confirmed)
	w.moment(`,"Refused":`, e.Refused)
	text(w, `,"Stuck":`, e.Stuck)
	w.raw(`}`)
}
