package ddbstore

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

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
	o.Session.Deadline, o.Session.DeadlineSource = base.Add(time.Hour), session.SourceBackground
	ended := o.Session
	ended.Status = session.Ended
	never := o.Session
	never.Deadline = time.Time{}
	for _, c := range []struct {
		name string
		s    session.Session
		want string
	}{{"live", o.Session, "gsi1 gsi2 gsi3 gsi4"}, {"without a deadline", never, "gsi1 gsi2 gsi4"}, {"ended", ended, "gsi4"}} {
		it, err := stateItem("op", c.s)
		if err != nil {
			t.Fatal(err)
		}
		var in []string
		for _, i := range schema.Definition().Indexes {
			pk, sk := getText(it, i.PartitionKey.Name), getText(it, i.SortKey.Name)
			if (pk == "") != (sk == "") {
				t.Errorf("%s: half a place in %s", c.name, i.Name)
			}
			if pk != "" {
				in = append(in, i.Name)
			}
		}
		if got := strings.Join(in, " "); got != c.want {
			t.Errorf("%s: in %s, want %s", c.name, got, c.want)
		}
	}
}

func TestEntryThatWouldNotProveIsRefused(t *testing.T) {
	e := opening(t).Entry
	e.Event.Detail = "bad \xff bytes"
	if _, err := entryItem("op", e); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v, want invalid", err)
	}
	e.Event.Detail = `written out: \ufffd`
	if _, err := entryItem("op", e); err != nil {
		t.Errorf("harmless text is refused: %v", err)
	}
	e.At = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	if _, err := entryItem("op", e); !fault.Is(err, fault.Invalid) {
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
	for _, bad := range []string{"x", "e30", text + "x", strings.Repeat("A", cursorMax+4), cursor{List: "list", Last: last}.String(),
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
	entry, err := entryItem("op", o.Entry)
	if err != nil {
		t.Fatal(err)
	}
	state, err := stateItem("op", o.Session)
	if err != nil {
		t.Fatal(err)
	}
	parked := parkedOf("e").key()
	parked[attrBody] = &types.AttributeValueMemberB{Value: []byte{255}}
	got, ok, err := EntryOf(image(t, "INSERT", entry))
	if err != nil || !ok {
		t.Fatalf("a new entry: %v, %v", ok, err)
	}
	if hash, err := got.Seal(); err != nil || hash != o.Entry.Hash || got.Hash != hash {
		t.Errorf("the entry does not prove: %+v, %v", got, err)
	}
	for name, r := range map[string]events.DynamoDBEventRecord{
		"an entry becoming done": image(t, "MODIFY", entry),
		"an entry removed":       image(t, "REMOVE", entry),
		"a new state":            image(t, "INSERT", state),
		"a parked event":         image(t, "INSERT", parked),
		"nothing":                {},
	} {
		if e, ok, err := EntryOf(r); ok || err != nil {
			t.Errorf("%s: %+v, %v, %v", name, e, ok, err)
		}
	}
	entry[attrDoc] = number(7)
	if _, ok, err := EntryOf(image(t, "INSERT", entry)); ok || err == nil || fault.KindOf(err) != fault.Unknown {
		t.Errorf("an ill-typed entry: %v, %v", ok, err)
	}
}
