package ddbstore

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore/schema"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// DynamoDB's limits of keys, in bytes.
const (
	partitionKeyMax = 2048
	sortKeyMax      = 1024
)

func TestPartsAreDistinctAndFit(t *testing.T) {
	long := strings.Repeat("x", 1000)
	ids := []string{"a", "a#b", "a%23b", "a%2523b", "%", "#", "~", "~" + digest(long), "~a", long, long + "y", strings.Repeat("#", 400), strings.Repeat("#", 401), strings.Repeat("語", 5000)}
	seen := map[string]string{}
	for _, id := range ids {
		p := part(id)
		if other, ok := seen[p]; ok {
			t.Errorf("%.40q and %.40q have the same key", id, other)
		}
		seen[p] = id
		if strings.Contains(p, "#") {
			t.Errorf("%.40q separates: %.40q", id, p)
		}
		for _, a := range []address{stateOf(id), entryOf(id, 1<<62), claimOf(workload.Ref{Endpoint: id, ID: id}), parkedOf(id)} {
			if len(a.pk) > partitionKeyMax || len(a.sk) > sortKeyMax || len(a.sorted(base)) > sortKeyMax {
				t.Errorf("the key of %.40q has %d and %d bytes", id, len(a.pk), len(a.sk))
			}
		}
	}
}

func TestStampsSortAsMoments(t *testing.T) {
	moments := []time.Time{{}, time.Unix(-1, 999), time.Unix(-1, 1000), time.Unix(0, 0), base, base.Add(1), base.Add(time.Second), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)}
	for i := 1; i < len(moments); i++ {
		if a, b := stamp(moments[i-1]), stamp(moments[i]); a >= b || len(a) != len(b) {
			t.Errorf("%s does not sort before %s", a, b)
		}
	}
	if stamp(base) != stamp(base.In(time.FixedZone("there", 3600))) {
		t.Error("a moment has another stamp in another zone")
	}
}

// The hash of what is frozen stands in every session's condition: if it changes
// for what is stored, no stored session can be changed any more.
func TestFrozenHashIsPinned(t *testing.T) {
	s := session.Session{
		ID: "s", User: "ana", Origin: session.Adopted, OpenedAt: base, RecordedAt: base.Add(1), Policy: session.DefaultPolicy(),
		Facts:       session.Facts{Instance: session.On, ReleaseLabel: "emr-7.12.0"},
		Interactive: session.InteractiveSession{ID: "i", Source: "portal", ExpiresAt: base},
	}
	s.Policy.CostAlert = 0 // as in every session opened before there was such a setting
	doc, err := encode(frozenOf(s))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"id":"s","user":"ana","origin":"adopted","openedAt":"2026-03-04T05:06:07.123456789Z","recordedAt":"2026-03-04T05:06:07.12345679Z",` +
		`"policy":{"backgroundDurationNs":604800000000000,"interactiveDurationNs":28800000000000,"livyIdleNs":28800000000000},` +
		`"facts":{"instance":2,"releaseLabel":"emr-7.12.0"},` +
		`"interactive":{"id":"i","source":"portal","expiresAt":"2026-03-04T05:06:07.123456789Z"}}`
	if doc != want {
		t.Errorf("got  %s\nwant %s", doc, want)
	}
}

func TestDocumentsAreReadTolerantly(t *testing.T) {
	it := stateOf("s").key()
	it[attrSchema], it[attrDoc] = number(schema.Version), text(`{"id":"s","fieldOfTheFuture":{"a":[1]},"version":9007199254740993}`)
	got, err := decodeState("op", it)
	if err != nil || got.ID != "s" || got.Version != 9007199254740993 {
		t.Errorf("an unknown field: %+v, %v", got, err)
	}
	it[attrSchema] = number(schema.Version + 1)
	_, err = decodeState("op", it)
	wantUnknown(t, "a schema of the future", err)
	it[attrSchema], it[attrDoc] = number(schema.Version), text(`{"id":`)
	_, err = decodeState("op", it)
	wantUnknown(t, "half a document", err)
	delete(it, attrSchema)
	_, err = decodeState("op", it)
	wantUnknown(t, "no schema", err)
}

func wantUnknown(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || fault.KindOf(err) != fault.Unknown || !strings.Contains(err.Error(), "S#s STATE") {
		t.Errorf("%s: got %v, want kind unknown and the item named", what, err)
	}
}

func TestSparseIndexes(t *testing.T) {
	o := opening(t)
	quiet := o.Entry
	quiet.Effects = nil
	o.Session.Deadline, o.Session.DeadlineSource = base.Add(time.Hour), session.SourceBackground
	over := o.Session
	over.Status = session.Ended
	never := o.Session
	never.Deadline = time.Time{}
	for _, c := range []struct {
		name string
		s    session.Session
		e    app.Entry
		want string
	}{
		{"live", o.Session, quiet, "gsi1 gsi2 gsi3=DUE gsi4"}, {"without a deadline", never, quiet, "gsi1 gsi2 gsi4"},
		{"without a deadline, and something to do", never, o.Entry, "gsi1 gsi2 gsi3=DUE gsi4"},
		{"ended", over, quiet, "gsi3=OVER gsi4"}, {"ended, and something to do", over, o.Entry, "gsi3=DUE gsi4"},
	} {
		it, err := record{}.next(c.s, c.e).item("op")
		if err != nil {
			t.Fatal(err)
		}
		var in []string
		for _, i := range schema.Definition().Indexes {
			pk, sk := getText(it, i.PartitionKey.Name), getText(it, i.SortKey.Name)
			if (pk == "") != (sk == "") {
				t.Errorf("%s: half a place in %s", c.name, i.Name)
			}
			if kind, _, _ := strings.Cut(pk, "#"); i == schema.GSI3 && pk != "" {
				in = append(in, i.Name+"="+kind)
			} else if pk != "" {
				in = append(in, i.Name)
			}
		}
		if got := strings.Join(in, " "); got != c.want {
			t.Errorf("%s: in %s, want %s", c.name, got, c.want)
		}
	}
}

// What the sweep has to look at is never placed later than that; and it moves,
// which costs two write units, no oftener than here.
func TestPlaceOfWhatTheSweepLooksAt(t *testing.T) {
	after := func(d time.Duration) time.Time { return base.Add(d) }
	o := opening(t)
	o.Session.Run.ID, o.Session.Deadline, o.Session.Noticed = "", after(3*time.Hour), 24*time.Hour
	r := record{}.next(o.Session, o.Entry)
	commit := func(at time.Duration, effects bool, edit func(*session.Session)) {
		s := r.state
		s.Version++
		edit(&s)
		e := app.Entry{SessionID: s.ID, Version: s.Version, At: after(at)}
		if effects {
			e.Effects = []session.Effect{{Kind: session.Watch}}
		}
		r = r.next(s, e)
	}
	same := func(*session.Session) {}
	for _, step := range []struct {
		what string
		do   func()
		want time.Duration
	}{
		{"opened, with effects", func() {}, 0},
		{"they are done, and the run is being started", func() { r = r.without(1) }, 0},
		{"the start is asked for", func() { commit(time.Second, false, same) }, 0},
		{"the run is there, with effects", func() { commit(2*time.Second, true, func(s *session.Session) { s.Run.ID = "r" }) }, 0},
		{"they are done: the notice an hour before the end is next", func() { r = r.without(3) }, 2 * time.Hour},
		{"nothing to do", func() { commit(time.Minute, false, same) }, 2 * time.Hour},
		{"an effect", func() { commit(2*time.Minute, true, same) }, 2 * time.Minute},
		{"and another, later", func() { commit(3*time.Minute, true, same) }, 2 * time.Minute},
		{"the first is done", func() { r = r.without(5) }, 2 * time.Minute},
		{"both are", func() { r = r.without(6) }, 2 * time.Hour},
		{"the notice", func() { commit(2*time.Hour, true, func(s *session.Session) { s.Noticed = time.Hour }) }, 2 * time.Hour},
		{"the deadline is moved", func() { commit(2*time.Hour, false, func(s *session.Session) { s.Deadline = after(4 * time.Hour) }) }, 2 * time.Hour},
		{"it was said", func() { r = r.without(7) }, 3*time.Hour + 45*time.Minute},
		{"it must end before that", func() {
			commit(3*time.Hour, true, func(s *session.Session) { s.Status, s.End.Decided = session.Ending, after(3*time.Hour) })
		}, 3 * time.Hour},
		{"its user was told", func() { r = r.without(9) }, 3 * time.Hour},
		{"it was asked", func() { commit(3*time.Hour+time.Second, false, same) }, 3 * time.Hour},
		{"it has ended", func() {
			commit(3*time.Hour+time.Minute, true, func(s *session.Session) { s.Status, s.End.Confirmed = session.Ended, after(3*time.Hour+time.Minute) })
		}, 3 * time.Hour},
	} {
		step.do()
		if at, ok := r.look.moment(); !ok || !r.look.due() || !at.Equal(after(step.want)) {
			t.Errorf("%s: %v after the opening (%+v), want %v", step.what, at.Sub(base), r.look, step.want)
		}
	}
	if r = r.without(11); r.look.due() || !strings.HasPrefix(r.look.sort, stamp(after(3*time.Hour+time.Minute))) || len(r.undone) != 0 {
		t.Errorf("it is over: %+v", r.look)
	}
}

// A session that no clock matters to stays where it is while its run is started.
func TestPlaceWithoutADeadline(t *testing.T) {
	o := opening(t)
	o.Session.Run.ID = ""
	r := record{}.next(o.Session, o.Entry)
	if started := r.without(1); started.look != r.look || !r.look.due() {
		t.Errorf("its run is being started: moved from %+v to %+v", r.look, started.look)
	}
	r.state.Run.ID = "r"
	if started := r.without(1); started.look != (hit{}) {
		t.Errorf("its run is there: %+v", started.look)
	}
}

// Older entries leave a session's item where that saves a write unit of it, or where
// it has no room for them; not otherwise.
func TestEntriesAreMovedWhereThatSaves(t *testing.T) {
	chain := func(why int, details ...int) record {
		r := record{}
		for i, n := range details {
			s := opening(t).Session
			s.Version = int64(i + 1)
			s.Why = []string{noise(why / 2)}
			r = r.next(s, app.Entry{SessionID: "s", Version: s.Version, At: base, Event: session.Event{Detail: noise(n / 2)}})
		}
		return r
	}
	for _, c := range []struct {
		name  string
		r     record
		moved bool
		kind  string
	}{
		{"all has room in a unit", chain(0, 0, 0), false, ""},
		{"the older entry does not", chain(0, 2000, 0), true, ""},
		{"without it, it is not cheaper", chain(3000, 0, 0), false, ""},
		{"there is no older entry", chain(3000, 3000), false, ""},
		{"the item holds either of them, not both", chain(0, itemMax, itemMax), true, ""},
		{"the item does not hold the newest", chain(0, itemMax, 4*itemMax), false, "bytes; an item holds"},
	} {
		short, it, block, err := c.r.shortened("op")
		if (block != nil) != c.moved || c.kind == "" && err != nil || c.kind != "" && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.kind)) {
			t.Errorf("%s: moved %t, %v", c.name, block != nil, err)
			continue
		}
		kept := len(c.r.tail)
		if c.moved {
			kept = 1
		}
		if back, wrong := decodeRecord("op", it); err == nil && (wrong != nil || len(back.tail) != kept || len(short.tail) != kept || sizeOf(it) > itemMax) {
			t.Errorf("%s: %d entries of %d are kept, %d bytes, %v", c.name, len(back.tail), kept, sizeOf(it), wrong)
		}
	}
}

func TestEntryThatWouldNotProveIsRefused(t *testing.T) {
	e := opening(t).Entry
	e.Event.Detail = "bad \xff bytes"
	if err := keepsHash("op", e); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v, want invalid", err)
	}
	e.Event.Detail = `written out: \ufffd`
	e.Hash, _ = e.Seal()
	if err := keepsHash("op", e); err != nil {
		t.Errorf("harmless text is refused: %v", err)
	}
	e.At = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := keepsHash("op", e); !fault.Is(err, fault.Invalid) {
		t.Errorf("a year that cannot be written: got %v, want invalid", err)
	}
}

func TestCursor(t *testing.T) {
	last := stateOf("s").sorted(base)
	text := cursor{List: "due", Last: last}.String()
	if got, err := parseCursor("op", "due", text); err != nil || got != last {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := parseCursor("op", "due", ""); err != nil || got != "" {
		t.Errorf("the beginning: %q, %v", got, err)
	}
	long := base64.RawURLEncoding.EncodeToString([]byte(`{"list":"due","last":"` + last + `"` + strings.Repeat(" ", cursorMax) + "}"))
	for _, bad := range []string{"x", "e30", text + "x", long, cursor{List: "list", Last: last}.String(),
		cursor{List: "due", Last: highest}.String(), cursor{List: "due"}.String()} {
		if _, err := parseCursor("op", "due", bad); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "cursor") {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
}

// image writes an item as the stream does.
func image(t *testing.T, name string, it item) events.DynamoDBEventRecord {
	t.Helper()
	attributes := map[string]map[string]any{}
	for k, v := range it {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			attributes[k] = map[string]any{"S": v.Value}
		case *types.AttributeValueMemberN:
			attributes[k] = map[string]any{"N": v.Value}
		case *types.AttributeValueMemberBOOL:
			attributes[k] = map[string]any{"BOOL": v.Value}
		case *types.AttributeValueMemberB:
			attributes[k] = map[string]any{"B": v.Value}
		}
	}
	b, err := json.Marshal(map[string]any{"eventName": name, "dynamodb": map[string]any{"NewImage": attributes}})
	if err != nil {
		t.Fatal(err)
	}
	var r events.DynamoDBEventRecord
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEntryOf(t *testing.T) {
	o := opening(t)
	state, err := record{}.next(o.Session, o.Entry).item("op")
	if err != nil {
		t.Fatal(err)
	}
	settled := maps.Clone(state)
	settled[attrSettled] = number(1)
	block, err := blockItem("op", []app.Entry{o.Entry})
	if err != nil {
		t.Fatal(err)
	}
	old, oldEntry := legacy(t, o.Session, o.Entry)
	parked := parkedOf("e").key()
	parked[attrBody] = &types.AttributeValueMemberB{Value: []byte{255}}
	for name, r := range map[string]events.DynamoDBEventRecord{
		"an opening": image(t, "INSERT", state), "a commit": image(t, "MODIFY", state), "an entry of schema 1": image(t, "INSERT", oldEntry),
	} {
		got, ok, err := EntryOf(r)
		if err != nil || !ok {
			t.Fatalf("%s: %v, %v", name, ok, err)
		}
		if hash, err := got.Seal(); err != nil || hash != o.Entry.Hash || got.Hash != hash || got.Done {
			t.Errorf("%s: the entry does not prove: %+v, %v", name, got, err)
		}
	}
	for name, r := range map[string]events.DynamoDBEventRecord{
		"effects becoming done":           image(t, "MODIFY", settled),
		"entries being moved":             image(t, "INSERT", block),
		"a session removed":               image(t, "REMOVE", state),
		"an entry of schema 1, then done": image(t, "MODIFY", oldEntry),
		"a state of schema 1":             image(t, "MODIFY", old),
		"a parked event":                  image(t, "INSERT", parked),
		"nothing":                         {},
	} {
		if e, ok, err := EntryOf(r); ok || err != nil {
			t.Errorf("%s: %+v, %v, %v", name, e, ok, err)
		}
	}
	state[attrDoc] = number(7)
	if _, ok, err := EntryOf(image(t, "MODIFY", state)); ok || err == nil || fault.KindOf(err) != fault.Unknown {
		t.Errorf("an ill-typed session: %v, %v", ok, err)
	}
}

// legacy are a state and an entry as schema 1 wrote them.
func legacy(t *testing.T, s session.Session, e app.Entry) (state, entry item) {
	t.Helper()
	state, err1 := fresh("op", stateOf(s.ID), sessionToDoc(s))
	entry, err2 := fresh("op", entryOf(e.SessionID, e.Version), entryToDoc(e))
	_, frozen, err3 := frozenMarks("op", s)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	state[attrVersion], state[attrFrozen] = number(s.Version), frozen
	entry[attrVersion], entry[attrHash] = number(e.Version), text(e.Hash)
	at := stateOf(s.ID)
	sorted := func(a address, at time.Time) string { return stamp(at) + "#" + digest(a.pk, a.sk)[:32] }
	place(state, schema.GSI1, pkUser+part(s.User), sorted(at, s.OpenedAt))
	place(state, schema.GSI2, pkEndpoint+part(s.Run.Endpoint), sorted(at, s.OpenedAt))
	place(state, schema.GSI3, "DUE#"+at.shard(), sorted(at, s.WakeAt()))
	place(state, schema.GSI4, "LIST#"+at.shard(), sorted(at, s.OpenedAt))
	if at := entryOf(e.SessionID, e.Version); e.Done {
		entry[attrDone] = &types.AttributeValueMemberBOOL{Value: true}
	} else if len(e.Effects) > 0 {
		place(entry, schema.GSI1, "UNFINISHED#"+at.shard(), sorted(at, e.At))
	}
	if at := entryOf(e.SessionID, e.Version); e.Changes() {
		place(entry, schema.GSI4, "CHANGE#"+at.shard(), sorted(at, e.At))
	}
	return state, entry
}

// Legacy is legacy for the conformance suite.
var Legacy = legacy

// What was packed with the words can be read only with them: they are for ever.
func TestWordsArePinned(t *testing.T) {
	if got := digest(string(words)); got != "a1ab6493db78393ce1052fd40f4ee306d0bc24a09b11c5d9b265e0cb25ae7702" {
		t.Errorf("the words that documents are packed with have changed: %s", got)
	}
}

func TestPacking(t *testing.T) {
	for _, doc := range []string{"", "{}", `{"id":"s"}`, strings.Repeat(`{"at":"2026-11-20T18:00:00Z"}`, 1000), string(words), "é\u2028\x00"} {
		v, err := pack(doc)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := unpack(v); err != nil || got != doc {
			t.Errorf("%.40q became %.40q, %v", doc, got, err)
		}
		if b, is := v.(*types.AttributeValueMemberB); is && len(b.Value) >= len(doc) {
			t.Errorf("%.40q is packed although that makes it larger", doc)
		}
	}
	var bomb bytes.Buffer
	bomb.WriteByte(packedFlate)
	w, err := flate.NewWriterDict(&bomb, flate.BestCompression, words)
	if err != nil {
		t.Fatal(err)
	}
	for range unpackedMax/len(words) + 1 {
		if _, err := w.Write(words); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{"nothing": {}, "another packing": {9, 1}, "half": {packedFlate, 0xab}, "too much": bomb.Bytes()} {
		if doc, err := unpack(&types.AttributeValueMemberB{Value: bad}); err == nil {
			t.Errorf("%s: %d bytes", name, len(doc))
		}
	}
}
