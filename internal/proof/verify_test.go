package proof

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var began = time.Date(2026, 11, 20, 18, 0, 0, 123456789, time.UTC)

func after(minutes float64) time.Time {
	return began.Add(time.Duration(minutes * float64(time.Minute)))
}

// content has the names that a real entry has (internal/app's test holds them
// together).
type content struct {
	SessionID string
	Version   int64
	At        time.Time
	Event     struct {
		Kind string
		At   time.Time
	}
	From, To, Mode string
	Previous       string
	Hash           string
	Done           bool
	End            story `json:",omitzero"`
}

// life is a session and its history.
type life struct {
	id      string
	entries []content
	hashes  []string
}

// add makes the next version; edit may change it before it is sealed.
func (l *life) add(t testing.TB, minute float64, to, kind string, edit ...func(*content)) {
	t.Helper()
	c := content{SessionID: l.id, Version: int64(len(l.entries)) + 1, At: after(minute), To: to, Mode: "interactive"}
	if n := len(l.entries); n > 0 {
		c.From, c.Previous = l.entries[n-1].To, l.hashes[n-1]
	}
	c.Event.Kind, c.Event.At = kind, after(minute)
	for _, e := range edit {
		e(&c)
	}
	hash, err := Link(c.Previous, c)
	if err != nil {
		t.Fatal(err)
	}
	l.entries, l.hashes = append(l.entries, c), append(l.hashes, hash)
}

// until is the life as it was at a version.
func (l *life) until(version int) *life {
	return &life{id: l.id, entries: slices.Clone(l.entries[:version]), hashes: slices.Clone(l.hashes[:version])}
}

// without is the life with versions left out.
func (l *life) without(versions ...int64) *life {
	out := &life{id: l.id}
	for i, c := range l.entries {
		if !slices.Contains(versions, c.Version) {
			out.entries, out.hashes = append(out.entries, c), append(out.hashes, l.hashes[i])
		}
	}
	return out
}

// retold is the life with one version told otherwise, every hash of it right.
func (l *life) retold(t testing.TB, version int64, edit func(*content)) *life {
	t.Helper()
	out := &life{id: l.id}
	for _, c := range l.entries {
		out.add(t, 0, c.To, "", func(n *content) {
			previous := n.Previous
			*n = c
			if n.Previous = previous; c.Version == version {
				edit(n)
			}
		})
	}
	return out
}

// stopped makes a session that was signed out and seen over.
func stopped(t testing.TB, id string, minute, took float64) *life {
	t.Helper()
	l := &life{id: id}
	l.add(t, minute-30, active, "session-opened")
	why := story{Cause: "sign-out", Evidence: "e-" + id, By: "u-ana", Happened: after(minute - 1), Known: after(minute), Decided: after(minute + 0.5)}
	l.add(t, minute+0.5, ending, "sign-out", func(c *content) { c.End = why })
	l.add(t, minute+1, ending, stopAccepted)
	l.add(t, minute+2, ending, stopAccepted)
	why.Asked, why.Confirmed = after(minute+1), after(minute+took)
	l.add(t, minute+took, ended, "run-observed", func(c *content) { c.End = why })
	return l
}

// finished makes a session that was over by itself.
func finished(t testing.TB, id string, minute float64) *life {
	t.Helper()
	l := &life{id: id}
	l.add(t, minute, active, "session-opened")
	l.add(t, minute+9, ended, "run-observed", func(c *content) {
		c.End = story{Cause: "finished", Decided: after(minute + 9), Confirmed: after(minute + 9)}
	})
	return l
}

// anchors makes a chain of them, each five minutes, over all that has changed
// its status, up to a minute.
func anchors(t testing.TB, until float64, lives ...*life) []Anchor {
	t.Helper()
	var out []Anchor
	covered := time.Time{}
	for minute := -40.0; minute <= until; minute += 5 {
		a := Anchor{Seq: int64(len(out)) + 1, At: after(minute + 2), Until: after(minute), Live: 1}
		if len(out) > 0 {
			a.Previous = out[len(out)-1].Hash
		}
		for _, l := range lives {
			for i, e := range l.entries {
				if e.From != e.To && !e.At.Before(covered) && e.At.Before(a.Until) {
					a.Heads = append(a.Heads, Head{l.id, e.Version, l.hashes[i]})
				}
			}
		}
		a.Hash = sealed(t, a)
		covered, out = a.Until, append(out, a)
	}
	return out
}

func sealed(t testing.TB, a Anchor) string {
	t.Helper()
	hash, err := a.Seal()
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// file writes an export of lives, which must be in order.
func file(t testing.TB, h Header, anchors []Anchor, lives ...*life) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b, h)
	for _, a := range anchors {
		w.Anchor(a)
	}
	for _, l := range lives {
		for i, e := range l.entries {
			w.Entry(e, l.hashes[i])
		}
		newest := len(l.entries) - 1
		w.Head(State{l.id, l.entries[newest].Version, l.entries[newest].To, l.hashes[newest]})
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// small is an export with each type of line: two sessions, anchored.
func small(t testing.TB) []byte {
	t.Helper()
	lives := []*life{stopped(t, "s-1", 0, 7), finished(t, "s-2", 2)}
	var some []Anchor
	for _, a := range anchors(t, 55, lives...) {
		if len(a.Heads) == 0 && a.Seq < 20 {
			continue
		}
		a.Seq, a.Previous = int64(len(some))+1, Genesis
		if len(some) > 0 {
			a.Previous = some[len(some)-1].Hash
		}
		a.Hash = sealed(t, a)
		some = append(some, a)
	}
	return file(t, Header{At: after(60)}, some, lives...)
}

func verify(t testing.TB, file []byte, o Options) Report {
	t.Helper()
	r, err := Verify(bytes.NewReader(file), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func lines(file []byte) [][]byte {
	all := bytes.SplitAfter(file, []byte("\n"))
	return all[:len(all)-1]
}

// closed writes the last line anew, as somebody would who knows the format.
func closed(t testing.TB, all [][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b, Header{})
	b.Reset()
	w.sum.Reset()
	for _, l := range all {
		b.Write(l)
		w.sum.Write(l)
	}
	w.lines = int64(len(all))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(t testing.TB, l []byte) line {
	t.Helper()
	var f line
	if err := json.Unmarshal(l, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestS8_4AWholeExportHolds(t *testing.T) {
	t.Parallel()
	r := verify(t, small(t), Options{})
	if !r.Holds() || r.Sessions != 2 || r.Entries != 7 || r.Anchors != 5 || r.Unanchored != 0 || r.Closed != 1 {
		t.Errorf("%+v", r)
	}
	if got := r.Summary(); got != "1 stop, 1 on time, worst 7m0s" {
		t.Error(got)
	}
	if r.WorstOwn == nil || r.WorstOwn.TookFromCause() != 8*time.Minute {
		t.Errorf("from its own time: %+v", r.WorstOwn)
	}
	want := Stop{Session: "s-1", Cause: "sign-out", Evidence: "e-s-1", By: "u-ana", Happened: after(-1), Known: after(0), Decided: after(0.5), Asked: after(1), Confirmed: after(7)}
	if len(r.Stops) != 1 || r.Stops[0] != want {
		t.Errorf("S2.7: %+v", r.Stops)
	}
}

// S8.4: every byte, not a sample.
func TestS8_4AnyFlippedByteIsFound(t *testing.T) {
	t.Parallel()
	good := small(t)
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 0x20
		if r := verify(t, bad, Options{}); r.Holds() {
			t.Fatalf("byte %d: %q became %q and nothing is found", i, good[i], bad[i])
		}
	}
	t.Logf("%d bytes", len(good))
}

// S8.4: whoever changes a byte of the evidence and then writes the file's end
// anew is found all the same, by the chains, and it is said where.
func TestS8_4AFlippedByteIsFoundByTheChainsAlone(t *testing.T) {
	t.Parallel()
	all := lines(small(t))
	body := all[:len(all)-1]
	looked := 0
	for n, l := range body {
		if read(t, l).Type == typeExport {
			continue // when it was made, and of which time: nobody's evidence
		}
		for i := range l {
			bad := slices.Clone(l)
			bad[i] ^= 0x01
			forged := slices.Clone(body)
			forged[n] = bad
			r := verify(t, closed(t, forged), Options{})
			looked++
			if r.Holds() {
				t.Fatalf("line %d, byte %d: %q became %q and nothing is found", n+1, i, l[i], bad[i])
			}
			if f := r.Faults[0]; f.Session == "" && f.Anchor == 0 && f.Line == 0 {
				t.Fatalf("line %d, byte %d: it is not said where: %s", n+1, i, f)
			}
		}
	}
	if looked < 2_000 {
		t.Errorf("only %d changes were tried", looked)
	}
}

// S8.4: lines that are dropped, swapped or repeated, each of them, first as by
// accident, then with the end written anew.
func TestS8_4DroppedReorderedAndRepeatedLinesAreFound(t *testing.T) {
	t.Parallel()
	all := lines(small(t))
	body, last := all[:len(all)-1], all[len(all)-1]
	newest := 0 // the line of the newest anchor
	for n, l := range body {
		if read(t, l).Type == typeAnchor {
			newest = n
		}
	}
	for n, l := range body {
		tampered := map[string][][]byte{
			"dropped":  slices.Delete(slices.Clone(body), n, n+1),
			"repeated": slices.Insert(slices.Clone(body), n, l),
		}
		if n+1 < len(body) {
			swapped := slices.Clone(body)
			swapped[n], swapped[n+1] = swapped[n+1], swapped[n]
			tampered["swapped with the next"] = swapped
		}
		for how, bad := range tampered {
			if r := verify(t, append(bytes.Join(bad, nil), last...), Options{}); r.Holds() {
				t.Errorf("line %d %s: nothing is found", n+1, how)
			}
			o := Options{}
			if n == newest && how == "dropped" {
				o.Anchors = []string{read(t, l).Hash} // nothing in the file can show it; a hash kept elsewhere does
			}
			if r := verify(t, closed(t, bad), o); r.Holds() {
				t.Errorf("line %d %s, the end written anew: nothing is found", n+1, how)
			}
		}
	}
	if len(body) < 10 {
		t.Errorf("only %d lines", len(body))
	}
}

// tampering is one wrong file and what must be said of it.
type tampering struct {
	name string
	file []byte
	o    Options
	want []string
}

func tamperings(t *testing.T) []tampering {
	t.Helper()
	one, two := stopped(t, "s-1", 0, 3), stopped(t, "s-2", 5, 7)
	chain := anchors(t, 55, one, two)
	write := func(a []Anchor, lives ...*life) []byte { return file(t, Header{At: after(60)}, a, lives...) }
	invented, again := two.until(5), finished(t, "s-2", 0)
	invented.add(t, 20, ended, "tick")
	again.add(t, 20, active, "tick")
	body := lines(write(chain, one, two))
	body = body[:len(body)-1]
	n := len(body) - 1
	longer := write(chain, one, two)
	longer = bytes.Replace(longer, []byte(`{"Session":"s-2","Version":5,"Status"`), []byte(`{"Session":"s-2","Version":4,"Status"`), 1)
	changed := slices.Clone(chain)
	changed[7].Live = 99
	rehashed := slices.Clone(changed)
	rehashed[7].Hash = sealed(t, rehashed[7])
	return []tampering{
		{"S8.4 an entry is changed, its hash left", bytes.Replace(write(chain, one, two), []byte("e-s-2"), []byte("x-s-2"), 1), Options{},
			[]string{"session s-2, version 2: its content does not have the hash stated"}},
		{"S8.4 an entry is changed and hashed anew", write(chain, one, two.retold(t, 2, func(c *content) { c.End.Known = c.End.Known.Add(4 * time.Second) })), Options{},
			[]string{"session s-2, version 2: an anchor names it with another hash", "session s-2, version 5: of its end it says otherwise than the entries before it: when it was known"}},
		{"S8.4 an entry is dropped", write(chain, one, two.without(3)), Options{}, []string{"session s-2, version 3: it is missing"}},
		{"S8.4 two entries are dropped", write(chain, one, two.without(2, 3)), Options{},
			[]string{"session s-2, version 2: it is missing, and so are all up to version 3", "session s-2, version 2: it is missing although an anchor names it"}},
		{"S8.4 the first entry is dropped", write(chain, one, two.without(1)), Options{}, []string{"session s-2, version 1: it is missing"}},
		{"S8.4 the newest entry is dropped, its record left", closed(t, slices.Delete(slices.Clone(body), n-1, n)), Options{},
			[]string{"session s-2, version 5: it is missing: the record is at this version"}},
		{"S8.4 an entry is invented, its record left", longer, Options{}, []string{"session s-2, version 5: it is invented, or the record was rolled back"}},
		{"S8.4 a session that ended goes on in its file only", write(chain, one, invented), Options{Anchors: []string{chain[0].Previous + "none"}}, []string{"no anchor has the hash none"}},
		{"S8.4 a record is dropped", closed(t, body[:n]), Options{}, []string{"session s-2: its record is missing"}},
		{"S8.4 the whole session is dropped", write(chain, one), Options{}, []string{"session s-2, version 5: the whole session is missing: anchor 12 names it"}},
		{"S8.4 the session is rolled back", write(chain, one, two.until(3)), Options{},
			[]string{"session s-2, version 5: it is missing although an anchor names it: the session was rolled back"}},
		{"S8.4 a whole session is invented", write(chain, one, two, stopped(t, "s-9", 1, 2)), Options{}, []string{"session s-9, version 1: no anchor names it"}},
		{"S8.4 a session stands twice", write(chain, one, two, two), Options{}, []string{"session s-2: it stands twice, or out of order"}},
		{"S8.4 an anchor is changed", write(changed, one, two), Options{}, []string{"anchor 8: its content does not have the hash stated"}},
		{"S8.4 an anchor is changed and hashed anew", write(rehashed, one, two), Options{}, []string{"anchor 9: it follows another anchor 8"}},
		{"S8.4 an anchor is dropped", write(slices.Delete(slices.Clone(chain), 4, 5), one, two), Options{}, []string{"anchor 6: it follows anchor 4"}},
		{"S8.4 the first anchors are dropped", write(chain[3:], one, two), Options{}, []string{"anchor 4: it is the first here and not the first there was"}},
		{"S8.4 the newest anchors are dropped, of which one was kept elsewhere", write(chain[:10], one, two), Options{Anchors: []string{chain[3].Hash, chain[15].Hash}},
			[]string{"no anchor has the hash " + chain[15].Hash + " that was kept"}},
		{"S8.4 the file is cut in a line", small(t)[:1200], Options{}, []string{"the file is cut off in this line", "the file is cut off: its last line"}},
		{"S8.4 the file is cut after a line", bytes.Join(lines(small(t))[:8], nil), Options{},
			[]string{"its record is missing", "the file is cut off: its last line", "session s-2, version 2: the whole session is missing"}},
		{"S8.4 the file is empty", nil, Options{}, []string{"the file is cut off"}},
		{"S8.4 something follows", append(small(t), "{}\n"...), Options{}, []string{"there is a line after the end"}},
		{"S8.4 a line is very long", append(bytes.Repeat([]byte{'x'}, LineMax+1), '\n'), Options{}, []string{"line 1: the line is longer than"}},
		{"S8.4 another format", bytes.Replace(small(t), []byte(`"Format":1`), []byte(`"Format":2`), 1), Options{}, []string{"line 1: the file has format 2"}},
		{"S2.3 an ended session goes on", write(nil, again), Options{}, []string{`session s-2, version 3: an ended session has become "ACTIVE"`}},
		{"S2.7 an end without a cause", write(nil, two.retold(t, 2, func(c *content) { c.End = story{} })), Options{},
			[]string{"session s-2, version 2: it says that the session ends, and not why"}},
		{"S2.7 a cause known after the decision", write(nil, two.retold(t, 2, func(c *content) { c.End.Known = c.At.Add(time.Minute) })), Options{},
			[]string{"session s-2, version 2: its cause was known only after"}},
		{"S2.7 a decision dated otherwise", write(nil, two.retold(t, 2, func(c *content) { c.End.Decided = c.At.Add(-1) })), Options{},
			[]string{"session s-2, version 2: it says that it was decided at"}},
		{"S2.1 confirmed before it was decided", write(nil, two.retold(t, 5, func(c *content) { c.At = after(5) })), Options{},
			[]string{"session s-2, version 5: it is dated before the stop was decided"}},
	}
}

// S8.4: what is wrong is named: the session, the version, what.
func TestS8_4WhatIsWrongIsNamed(t *testing.T) {
	t.Parallel()
	for _, c := range tamperings(t) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var told strings.Builder
			r := verify(t, c.file, c.o)
			for _, f := range r.Faults {
				told.WriteString(f.String() + "\n")
			}
			if r.Holds() {
				t.Fatal("nothing is found")
			}
			for _, w := range c.want {
				if !strings.Contains(told.String(), w) {
					t.Errorf("it is not said that %s:\n%s", w, told.String())
				}
			}
		})
	}
}

// S2.1: on time is counted from when the cause was known; what is not confirmed
// is open, never on time; what finished by itself is no stop.
func TestS2_1StopsAreCounted(t *testing.T) {
	t.Parallel()
	lives := []*life{stopped(t, "s-1", 0, 15), stopped(t, "s-2", 1, 15.001), stopped(t, "s-3", 30, 2.5), finished(t, "s-4", 3),
		stopped(t, "s-5", 40, 3).until(3), stopped(t, "s-6", 10, 3).until(2)}
	r := verify(t, file(t, Header{At: after(50)}, nil, lives...), Options{})
	if got := r.Summary(); !r.Holds() || got != "5 stops, 2 on time, worst 15m0s, 2 open" || r.Late != 1 || r.Overdue != 1 || r.Closed != 1 {
		t.Errorf("%s, %d late, %d overdue, %d closed, %v", got, r.Late, r.Overdue, r.Closed, r.Faults)
	}
	counts := map[time.Duration]int{}
	for _, b := range r.Histogram {
		counts[b.UpTo] = b.Stops
	}
	if counts[Promise] != 1 || counts[0] != 1 || counts[5*time.Minute] != 1 {
		t.Errorf("histogram %v", r.Histogram)
	}
	if r.Unanchored != 3*3+2+2*2 {
		t.Errorf("%d changes are said to be in no anchor", r.Unanchored)
	}
	narrow := verify(t, file(t, Header{At: after(50)}, nil, lives...), Options{From: after(1), To: after(30.5)})
	if got := narrow.Summary(); got != "2 stops, 0 on time, worst 15m0s, 1 open" {
		t.Errorf("from minute 1 and before 30.5: %s", got)
	}
	if got := verify(t, file(t, Header{At: after(50)}, nil), Options{}).Summary(); got != "0 stops, 0 on time, worst –" {
		t.Error(got)
	}
}

// A period's file begins with an anchor that has others before it, and what was
// decided before the period need not be anchored here.
func TestS8_4APeriod(t *testing.T) {
	t.Parallel()
	l := stopped(t, "s-1", 10, 3)
	all := anchors(t, 55, l)
	part := all[slices.IndexFunc(all, func(a Anchor) bool { return a.Until.After(after(10)) }):]
	if r := verify(t, file(t, Header{At: after(60), From: after(10)}, part, l), Options{}); !r.Holds() || len(r.Stops) != 1 {
		t.Errorf("%+v", r)
	}
	if r := verify(t, file(t, Header{At: after(60), From: after(-60)}, part, l), Options{}); r.Holds() {
		t.Error("an opening in the period that no anchor names is not found")
	}
}

func TestFaultsAreBounded(t *testing.T) {
	t.Parallel()
	r := verify(t, bytes.Repeat([]byte("no\n"), FaultsMax+500), Options{})
	if len(r.Faults) != FaultsMax || r.More != 501 {
		t.Errorf("%d faults told, %d more", len(r.Faults), r.More)
	}
}

// FuzzVerify: no file is too broken to be read, two readings say the same, and
// nothing holds but what the writer could have written.
func FuzzVerify(f *testing.F) {
	good := small(f)
	f.Add(good)
	f.Add(good[:len(good)/2])
	for _, l := range lines(good) {
		f.Add(l)
	}
	f.Add([]byte(`{"type":"entry","hash":"","content":{"SessionID":"s","Version":9223372036854775807}}` + "\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := verify(t, in, Options{})
		if again := verify(t, in, Options{}); fmt.Sprint(again.Faults) != fmt.Sprint(r.Faults) {
			t.Errorf("two readings differ: %v and %v", r.Faults, again.Faults)
		}
		if r.Holds() && !bytes.Equal(in, closed(t, lines(in)[:len(lines(in))-1])) {
			t.Error("a file holds that the writer did not write")
		}
	})
}
