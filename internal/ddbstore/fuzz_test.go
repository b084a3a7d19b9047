package ddbstore

import (
	"encoding/json"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore/schema"
	"nightshift/internal/fault"
	"nightshift/internal/proof"
	"nightshift/internal/session"
)

// again reads what was written of what was read: it must say the same.
func again[T any](t *testing.T, v T, write func(T) (string, error), read func(item) (T, error)) {
	t.Helper()
	first, err := write(v)
	if err != nil {
		return // read from JSON that Go cannot write: a year beyond 9999
	}
	back, err := read(item{attrSchema: number(schema.Version), attrDoc: text(first)})
	if err != nil {
		t.Fatalf("what was written cannot be read: %v: %s", err, first)
	}
	if second, err := write(back); err != nil || second != first {
		t.Errorf("%s became %s, %v", first, second, err)
	}
}

// FuzzItem: no document makes a reader of items panic; it cannot be read, as
// Unknown, or what it says is written again as the same.
func FuzzItem(f *testing.F) {
	entry := app.Entry{SessionID: "s", Version: 2, At: base, Event: session.Event{Kind: session.Tick, At: base}, Effects: []session.Effect{{Kind: session.Stop}}, Hash: "h"}
	for _, doc := range []any{
		sessionToDoc(session.Session{ID: "s", Version: 1, User: "ana", Why: []string{"w"}, OpenedAt: base, Policy: session.DefaultPolicy()}), entryToDoc(entry),
		userToDoc(session.UserFacts{User: "ana", Facts: []session.Event{{Kind: session.SignOut, At: base}}}), endpointToDoc(app.Endpoint{ID: "e"}),
		anchorToDoc(proof.Anchor{Seq: 1, At: base, Heads: []proof.Head{{Session: "s", Version: 1, Hash: "h"}}}), parkedDoc{ID: "p", At: base}, policyDoc(session.DefaultPolicy()),
	} {
		seed, err := encode(doc)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed, int64(schema.Version))
	}
	f.Add(`{"at":"2026-02-30T00:00:00Z"}`, int64(1))
	f.Add(`null`, int64(0))
	f.Fuzz(func(t *testing.T, doc string, version int64) {
		const op = "read"
		it := item{attrSchema: number(version), attrDoc: text(doc)}
		s, err := decodeState(op, it)
		if err != nil && !fault.Is(err, fault.Unknown) {
			t.Errorf("a state: %v", err)
		}
		e, err1 := decodeEntry(op, it)
		u, err2 := decodeUser(op, it)
		n, err3 := decodeEndpoint(op, it)
		_, err4 := decodeParked(op, it)
		if err == nil {
			again(t, s, func(s session.Session) (string, error) { return encode(sessionToDoc(s)) }, func(it item) (session.Session, error) { return decodeState(op, it) })
		}
		if err1 == nil {
			again(t, e, func(e app.Entry) (string, error) { return encode(entryToDoc(e)) }, func(it item) (app.Entry, error) { return decodeEntry(op, it) })
		}
		if err2 == nil {
			again(t, u, func(u session.UserFacts) (string, error) { return encode(userToDoc(u)) }, func(it item) (session.UserFacts, error) { return decodeUser(op, it) })
		}
		if err3 == nil {
			again(t, n, func(n app.Endpoint) (string, error) { return encode(endpointToDoc(n)) }, func(it item) (app.Endpoint, error) { return decodeEndpoint(op, it) })
		}
		for _, err := range []error{err1, err2, err3, err4} {
			if err != nil && !fault.Is(err, fault.Unknown) {
				t.Error(err)
			}
		}
	})
}

// FuzzStreamRecord: no record of the table's stream makes EntryOf panic.
func FuzzStreamRecord(f *testing.F) {
	f.Add([]byte(`{"eventName":"INSERT","dynamodb":{"NewImage":{"pk":{"S":"S#s"},"sk":{"S":"H#00000000000000000001"},"schema":{"N":"1"},"doc":{"S":"{\"sessionId\":\"s\",\"version\":1}"}}}}`))
	f.Add([]byte(`{"eventName":"INSERT","dynamodb":{"NewImage":{"pk":{"S":"S#s"},"sk":{"S":"H#1"},"schema":{"N":"x"},"done":{"BOOL":true},"doc":{"B":"AA=="}}}}`))
	f.Add([]byte(`{"eventName":"MODIFY","dynamodb":{"NewImage":{"pk":{"S":"S#s"},"sk":{"S":"STATE"},"schema":{"N":"2"},"undone":{"S":"1,x"},"doc":{"S":"{\"id\":\"s\",\"tail\":[{\"version\":1,\"effects\":[{}]}]}"}}}}`))
	f.Add([]byte(`{"eventName":"INSERT","dynamodb":{"NewImage":{"pk":{"S":"S#s"},"sk":{"S":"STATE"},"schema":{"N":"2"},"doc":{"B":"AQA="}}}}`))
	f.Add([]byte(`{"eventName":"MODIFY","dynamodb":{"NewImage":{"pk":{"NULL":true},"l":{"L":[{"SS":["a"]}]}}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var r events.DynamoDBEventRecord
		if json.Unmarshal(body, &r) != nil {
			return
		}
		if _, ok, err := EntryOf(r); ok && err != nil || err != nil && !fault.Is(err, fault.Unknown) {
			t.Errorf("%t, %v", ok, err)
		}
	})
}

// FuzzCursor: what is no cursor of a list is Invalid; what is one says where it
// ends as it was said.
func FuzzCursor(f *testing.F) {
	f.Add("list", cursor{List: "list", Last: "2026-03-04T05:06:07.123456789Z#0123"}.String())
	f.Add("due", cursor{List: "list", Last: "2"}.String())
	f.Add("", "e30")
	f.Fuzz(func(t *testing.T, name, from string) {
		last, err := parseCursor("read", name, from)
		switch {
		case err != nil && !fault.Is(err, fault.Invalid):
			t.Error(err)
		case err != nil || from == "":
		case last <= lowest || last >= highest:
			t.Errorf("a page that ended at %q", last)
		}
	})
}
