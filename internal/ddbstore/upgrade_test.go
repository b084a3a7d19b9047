package ddbstore

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore/schema"
	"nightshift/internal/fault"
	"nightshift/internal/proof"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// The items of testdata/upgrade were written by the code of the version that wrote
// schema 1, before this one, and are never written again
// (internal/decisions/0023).

// written are the items that the version before wrote, by their addresses.
func written(t *testing.T) map[address]item {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "upgrade", "schema1.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]struct {
		S, N string
		B    []byte
		BOOL bool
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	items := map[address]item{}
	for i, attributes := range all {
		it := item{}
		for name, v := range attributes {
			switch {
			case v.S != "":
				it[name] = text(v.S)
			case v.N != "":
				it[name] = &types.AttributeValueMemberN{Value: v.N}
			case v.B != nil:
				it[name] = &types.AttributeValueMemberB{Value: v.B}
			case v.BOOL:
				it[name] = &types.AttributeValueMemberBOOL{Value: true}
			default:
				t.Fatalf("item %d has an attribute %s of a type that is not read here", i, name)
			}
		}
		items[address{getText(it, schema.PartitionKey), getText(it, schema.SortKey)}] = it
	}
	if len(items) != len(all) || len(items) != 13 {
		t.Fatalf("%d items", len(items))
	}
	return items
}

// before is the version before's session, user and endpoint.
const (
	before         = "s-01d22a77a08c99851f1931f3"
	beforeUser     = "u-ana"
	beforeEndpoint = "sagemaker/123456789012/us-east-1"
)

// holding is a store on items, as far as reads by id go; put takes its writes.
func holding(items map[address]item, put func(*dynamodb.PutItemInput) error) *Store {
	return on(fake{
		get: func(in *dynamodb.GetItemInput) (*dynamodb.GetItemOutput, error) {
			return &dynamodb.GetItemOutput{Item: items[address{getText(in.Key, schema.PartitionKey), getText(in.Key, schema.SortKey)}]}, nil
		},
		query: func(in *dynamodb.QueryInput) (*dynamodb.QueryOutput, error) {
			low, high := getText(in.ExpressionAttributeValues, ":first"), getText(in.ExpressionAttributeValues, ":last")
			if low == "" {
				low, high = getText(in.ExpressionAttributeValues, ":low"), getText(in.ExpressionAttributeValues, ":high")
			}
			out := &dynamodb.QueryOutput{}
			for a, it := range items {
				if a.pk == getText(in.ExpressionAttributeValues, ":pk") && a.sk >= low && a.sk <= high {
					out.Items = append(out.Items, it)
				}
			}
			slices.SortFunc(out.Items, func(a, b map[string]types.AttributeValue) int {
				return strings.Compare(getText(a, schema.SortKey), getText(b, schema.SortKey))
			})
			return out, nil
		},
		put: put,
	})
}

// What the version before wrote is read whole: each kind of item, and a history that
// proves itself.
func TestUpgradeReadsWhatWasWritten(t *testing.T) {
	s := holding(written(t), nil)
	got, err := s.Session(t.Context(), before)
	if err != nil || got.Version != 5 || got.Status != session.Ending || got.End.Cause != session.CauseSignOut || got.User != beforeUser || got.Waiter != "task-token" ||
		got.Run.ID != "training-job/ns-"+before || got.Interactive.ID != "is-1" || got.Facts.Instance != session.On || got.RunningSince.IsZero() || got.Policy.Version != 3 || !got.Seen("e-2") {
		t.Fatalf("%+v, %v", got, err)
	}
	entries, more, err := s.History(t.Context(), before, 0, 10)
	if err != nil || more || len(entries) != 5 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	previous := proof.Genesis
	for i, e := range entries {
		hash, err := e.Seal()
		if err != nil || hash != e.Hash || e.Previous != previous || len(e.Effects) > 0 && e.Done != (i < 4) {
			t.Errorf("entry %d does not prove itself, or is done: %+v, %v", e.Version, e, err)
		}
		previous = hash
	}
	if previous != got.Head {
		t.Error("the state names another head")
	}
	user, err := s.User(t.Context(), beforeUser)
	if err != nil || user.Version != 2 || len(user.Facts) != 1 || len(user.Pending) != 1 || user.Facts[0].Kind != session.SignOut || user.PendingSince.IsZero() {
		t.Errorf("%+v, %v", user, err)
	}
	endpoint, err := s.Endpoint(t.Context(), beforeEndpoint)
	if err != nil || endpoint.Version != 4 || endpoint.Wake != 7 || endpoint.Watch.Generation != 2 || endpoint.LastListed.IsZero() {
		t.Errorf("%+v, %v", endpoint, err)
	}
	policy, err := s.Policy(t.Context())
	if err != nil || policy.Version != 3 || policy.InstanceBackground != session.On || policy.ChangedBy != "u-root" {
		t.Errorf("%+v, %v", policy, err)
	}
	owner, err := s.Claimed(t.Context(), workload.Ref{Endpoint: beforeEndpoint, ID: got.Run.ID})
	if err != nil || owner != before {
		t.Errorf("the run is of %q, %v", owner, err)
	}
	mark, err := s.Mark(t.Context(), "identity-replay")
	if err != nil || mark.IsZero() {
		t.Errorf("%v, %v", mark, err)
	}
	anchors, _, err := s.Anchors(t.Context(), 0, 10)
	if err != nil || len(anchors) != 1 || anchors[0].Heads[0].Hash != got.Head {
		t.Fatalf("%+v, %v", anchors, err)
	}
	if hash, err := anchors[0].Seal(); err != nil || hash != anchors[0].Hash {
		t.Errorf("the anchor does not prove itself: %v", err)
	}
	parked, err := decodeParked("op", written(t)[parkedOf("p-1")])
	if err != nil || parked.Reason == "" || parked.Body != "{\"a\":\xff}" {
		t.Errorf("%+v, %v", parked, err)
	}
}

// A session of the version before goes on: the commit is under the conditions that
// hold for what is stored, and what it writes has the whole history.
func TestUpgradeGoesOn(t *testing.T) {
	items := written(t)
	stored := items[stateOf(before)]
	writes := 0
	s := holding(items, func(in *dynamodb.PutItemInput) error {
		writes++
		v := in.ExpressionAttributeValues
		frozen := getText(stored, attrFrozen)
		if getNumber(v, ":decidedOn") != getNumber(stored, attrVersion) || getText(v, ":frozen") != frozen && getText(v, ":frozenThen") != frozen || stored[attrUndone] != nil {
			t.Errorf("the condition does not hold for what is stored: %s, %v", *in.ConditionExpression, v)
		}
		items[stateOf(before)] = in.Item
		return nil
	})
	state, err := s.Session(t.Context(), before)
	if err != nil {
		t.Fatal(err)
	}
	entries, _, err := s.History(t.Context(), before, 4, 1) // its newest, committed again: the answer was lost
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	again := app.Commit{Next: state, Entry: entries[0]}
	if err := s.Commit(t.Context(), again); err != nil || writes != 0 {
		t.Errorf("%d writes, %v", writes, err)
	}
	again.Entry.Hash = "another"
	if err := s.Commit(t.Context(), again); !fault.Is(err, fault.Conflict) || writes != 0 {
		t.Errorf("another decision: %d writes, %v", writes, err)
	}
	at := state.End.Decided.Add(time.Minute)
	d := session.Decide(state, session.Event{Kind: session.RunObserved, At: at, Known: at, State: workload.Stopped, Evidence: "listing"}, state.Policy, at)
	next := d.Next
	next.Version++
	entry := app.Entry{SessionID: before, Version: next.Version, At: at, From: state.Status, To: next.Status, Cause: next.End.Cause, Effects: d.Effects, Previous: state.Head, End: next.End}
	if entry.Hash, err = entry.Seal(); err != nil {
		t.Fatal(err)
	}
	next.Head = entry.Hash
	if err := s.Commit(t.Context(), app.Commit{Next: next, Entry: entry}); err != nil || writes != 1 {
		t.Fatalf("%d writes, %v", writes, err)
	}
	got, err := s.Session(t.Context(), before)
	if err != nil || got.Status != session.Ended || got.End.Cause != session.CauseSignOut || got.Waiter != "task-token" {
		t.Errorf("%+v, %v", got, err)
	}
	entries, _, err = s.History(t.Context(), before, 0, 10)
	if err != nil || len(entries) != 6 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for i, e := range entries {
		if hash, err := e.Seal(); err != nil || hash != e.Hash || i > 0 && e.Previous != entries[i-1].Hash {
			t.Errorf("entry %d does not prove itself", e.Version)
		}
	}
}

// And back: what a version after this one may write is either read or refused, item
// by item. More fields, more attributes: read, as if they were not there. A schema
// number above ours: refused, loudly, by every reader, and nothing is written.
func TestRollbackReadsOrRefuses(t *testing.T) {
	for _, c := range []struct {
		name    string
		edit    func(it item)
		refused bool
	}{
		{"fields and attributes of the future", func(it item) {
			it["attributeOfTheFuture"] = text("x")
			if doc, err := unpack(it[attrDoc]); err == nil && doc != "" {
				it[attrDoc] = text(`{"fieldOfTheFuture":{"a":[1,"b"]},` + doc[1:])
			}
		}, false},
		{"a schema of the future", func(it item) { it[attrSchema] = number(schema.Version + 1) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			items, reads := written(t), 0
			for _, it := range items {
				c.edit(it)
			}
			s := holding(items, func(*dynamodb.PutItemInput) error {
				t.Error("something was written")
				return nil
			})
			is := func(what string, err error) {
				t.Helper()
				reads++
				if (err != nil) != c.refused || err != nil && (fault.KindOf(err) != fault.Unknown || !strings.Contains(err.Error(), "has schema 3; this version reads 1 to 2")) {
					t.Errorf("%s: %v", what, err)
				}
			}
			_, err := s.Session(t.Context(), before)
			is("a session", err)
			_, _, err = s.History(t.Context(), before, 0, 10)
			is("a history", err)
			_, err = s.User(t.Context(), beforeUser)
			is("a user", err)
			_, err = s.Endpoint(t.Context(), beforeEndpoint)
			is("an endpoint", err)
			_, err = s.Policy(t.Context())
			is("the policy", err)
			_, _, err = s.Anchors(t.Context(), 0, 10)
			is("anchors", err)
			_, err = decodeParked("op", items[parkedOf("p-1")])
			is("a parked event", err)
			_, err = s.Claimed(t.Context(), workload.Ref{Endpoint: beforeEndpoint, ID: "training-job/ns-" + before})
			is("a claim", err)
			_, err = s.Mark(t.Context(), "identity-replay")
			is("a mark", err)
			state := items[stateOf(before)]
			_, _, err = EntryOf(image(t, "MODIFY", state))
			if c.refused {
				is("the stream", err)
				next := app.Commit{Next: session.Session{ID: before, Version: 6, User: beforeUser, Run: workload.Run{Endpoint: beforeEndpoint}}}
				next.Entry = app.Entry{SessionID: before, Version: 6, Hash: "h"}
				is("a commit", s.Commit(t.Context(), next))
			} else if err != nil {
				t.Errorf("the stream: %v", err)
			}
			if reads < 9 {
				t.Errorf("%d reads", reads)
			}
		})
	}
}

// An attribute of the future in an item that this version writes again is gone then:
// so what an older version must not lose raises the schema number. These are the
// names of all fields that are written; whoever changes them reads
// internal/decisions/0023 and decides whether the number must grow.
func TestFieldsAreThoseOfTheSchema(t *testing.T) {
	var lines []string
	for _, doc := range []any{recordDoc{}, blockDoc{}, userDoc{}, endpointDoc{}, policyDoc{}, refDoc{}, parkedDoc{}, anchorDoc{}, notebookDoc{}, ledgerDoc{}} {
		kind := reflect.TypeOf(doc)
		for _, f := range fieldsOf(kind, "") {
			lines = append(lines, kind.Name()+f)
		}
	}
	lines = append(lines, fmt.Sprintf("schema %d, plain %d", schema.Version, schema.Plain))
	got := strings.Join(lines, "\n") + "\n"
	path := filepath.Join("testdata", "upgrade", "fields.golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil { //nolint:gosec // test data is for everyone
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("what is written has other fields than %s says; read internal/decisions/0023-upgrade-and-rollback.md, then go test -update:\n%s", path, got)
	}
}

var update = flag.Bool("update", false, "rewrite the golden files")

// fieldsOf are the fields of a document, and of those in it, by their JSON names.
func fieldsOf(kind reflect.Type, at string) []string {
	for kind.Kind() == reflect.Slice {
		kind, at = kind.Elem(), at+"[]"
	}
	if kind.Kind() != reflect.Struct || kind == reflect.TypeFor[time.Time]() {
		return []string{at + " " + kind.Kind().String()}
	}
	var out []string
	for i := range kind.NumField() {
		f := kind.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.Anonymous {
			name = "." + strings.TrimSpace(strings.Join(strings.Fields(name), ""))
		}
		if name == "." {
			name += f.Name
		}
		out = append(out, fieldsOf(f.Type, at+name)...)
	}
	return out
}

// What this version writes says which versions may read it: only sessions, blocks and
// anchors are of schema 2, which the version before refuses; the rest it reads.
func TestWhatIsWrittenSaysItsSchema(t *testing.T) {
	o := opening(t)
	state, e1 := record{}.next(o.Session, o.Entry).item("op")
	block, e2 := blockItem("op", []app.Entry{o.Entry})
	claim, e3 := claimItem("op", o.Session.Run.Ref(), "s")
	facts, e4 := fresh("op", factsOf("u"), userDoc{User: "u"})
	for i, err := range []error{e1, e2, e3, e4} {
		if err != nil {
			t.Fatal(i, err)
		}
	}
	for what, c := range map[string]struct {
		it   item
		want int64
	}{"a session": {state, 2}, "a block": {block, 2}, "a claim": {claim, 1}, "a user's facts": {facts, 1}} {
		if n := getNumber(c.it, attrSchema); n != c.want {
			t.Errorf("%s is of schema %d, want %d", what, n, c.want)
		}
	}
}
