package ddbstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore/schema"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// fake answers the calls that a test expects; another one panics.
type fake struct {
	API
	get      func(*dynamodb.GetItemInput) (*dynamodb.GetItemOutput, error)
	batch    func(*dynamodb.BatchGetItemInput) (*dynamodb.BatchGetItemOutput, error)
	query    func(*dynamodb.QueryInput) (*dynamodb.QueryOutput, error)
	transact func(*dynamodb.TransactWriteItemsInput) error
	put      func(*dynamodb.PutItemInput) error
	update   func(*dynamodb.UpdateItemInput) error
}

func (f fake) UpdateItem(_ context.Context, in *dynamodb.UpdateItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	return &dynamodb.UpdateItemOutput{}, f.update(in)
}

func (f fake) PutItem(_ context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	return &dynamodb.PutItemOutput{}, f.put(in)
}

func (f fake) GetItem(_ context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return f.get(in)
}

func (f fake) BatchGetItem(_ context.Context, in *dynamodb.BatchGetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	return f.batch(in)
}

func (f fake) Query(_ context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	return f.query(in)
}

func (f fake) TransactWriteItems(_ context.Context, in *dynamodb.TransactWriteItemsInput, _ ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	return &dynamodb.TransactWriteItemsOutput{}, f.transact(in)
}

// on makes a store that does not wait.
func on(f fake) *Store {
	s := New(f, "table")
	s.pause = func(ctx context.Context, _ int) error { return ctx.Err() }
	return s
}

var base = time.Date(2026, 3, 4, 5, 6, 7, 123456789, time.UTC)

func opening(t *testing.T) app.Opening {
	t.Helper()
	s := session.Session{
		ID: "s", Version: 1, User: "ana", Status: session.Active, Origin: session.Started, OpenedAt: base, RecordedAt: base,
		Policy: session.DefaultPolicy(), Run: workload.Run{Endpoint: "livy/j-1", ID: "r"},
	}
	e := app.Entry{SessionID: "s", Version: 1, At: base, To: session.Active, Effects: []session.Effect{{Kind: session.Watch}}}
	hash, err := e.Seal()
	if err != nil {
		t.Fatal(err)
	}
	e.Hash = hash
	return app.Opening{Session: s, Entry: e}
}

func canceled(codes ...string) error {
	c := &types.TransactionCanceledException{Message: aws.String("cancelled")}
	for _, code := range codes {
		c.CancellationReasons = append(c.CancellationReasons, types.CancellationReason{Code: aws.String(code)})
	}
	return fmt.Errorf("operation error DynamoDB: %w", c)
}

func TestClassify(t *testing.T) {
	code := func(c string) error { return fmt.Errorf("operation error: %w", &smithy.GenericAPIError{Code: c}) }
	for _, c := range []struct {
		err  error
		want fault.Kind
	}{
		{code("ConditionalCheckFailedException"), fault.Conflict},
		{code("TransactionInProgressException"), fault.Throttled},
		{code("TransactionConflictException"), fault.Throttled},
		{code("ThrottlingException"), fault.Throttled},
		{code("ProvisionedThroughputExceededException"), fault.Throttled},
		{code("RequestLimitExceeded"), fault.Throttled},
		{code("AccessDeniedException"), fault.Denied},
		{code("ExpiredTokenException"), fault.Denied},
		{code("ResourceNotFoundException"), fault.Unknown},
		{code("ValidationException"), fault.Invalid},
		{code("InternalServerError"), fault.Unknown},
		{code("SomethingNew"), fault.Unknown},
		{errors.New("connection refused"), fault.Unknown},
		{canceled("None", "ThrottlingError"), fault.Throttled},
		{canceled("TransactionConflict", "None"), fault.Throttled},
		{canceled("ValidationError", "None"), fault.Invalid},
		{canceled("ValidationError", "ThrottlingError"), fault.Throttled},
		{canceled("ConditionalCheckFailed", "ThrottlingError"), fault.Conflict},
		{canceled(), fault.Unknown},
	} {
		got := classify("op", c.err)
		if fault.KindOf(got) != c.want || !errors.Is(got, c.err) {
			t.Errorf("%v: got kind %q (%v), want %q", c.err, fault.KindOf(got), got, c.want)
		}
	}
	if classify("op", nil) != nil {
		t.Error("no error became one")
	}
	if err := classify("op", code("ResourceNotFoundException")); !strings.Contains(err.Error(), "the table or its index is not there") {
		t.Errorf("a missing table is not said: %v", err)
	}
	if !fault.Interrupted(classify("op", fmt.Errorf("x: %w", context.Canceled))) {
		t.Error("an interruption is not recognised")
	}
}

func TestCollisionsAreTriedAgain(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		fails int
		calls int
		want  fault.Kind
		ok    bool
	}{
		{name: "passes", err: canceled("None", "None", "TransactionConflict"), fails: collisions - 1, calls: collisions, ok: true},
		{name: "bounded", err: canceled("TransactionConflict", "None", "None"), fails: 99, calls: collisions, want: fault.Throttled},
		{name: "in progress", err: &types.TransactionInProgressException{}, fails: 1, calls: 2, ok: true},
		{name: "a throttled one is the SDK's affair", err: canceled("TransactionConflict", "ThrottlingError"), fails: 99, calls: 1, want: fault.Throttled},
	} {
		calls := 0
		err := on(fake{transact: func(*dynamodb.TransactWriteItemsInput) error {
			if calls++; calls <= c.fails {
				return c.err
			}
			return nil
		}}).Open(t.Context(), opening(t))
		if calls != c.calls || (err == nil) != c.ok || !c.ok && fault.KindOf(err) != c.want {
			t.Errorf("%s: %d calls, %v; want %d, %q", c.name, calls, err, c.calls, c.want)
		}
	}
}

// What the transaction says decides, not what is read later.
func TestOpenSaysWhichConditionFailed(t *testing.T) {
	owner := "other"
	s := func(codes ...string) *Store {
		return on(fake{
			transact: func(*dynamodb.TransactWriteItemsInput) error { return canceled(codes...) },
			get: func(in *dynamodb.GetItemInput) (*dynamodb.GetItemOutput, error) {
				if !aws.ToBool(in.ConsistentRead) {
					t.Error("a read by id is not strongly consistent")
				}
				if getText(in.Key, schema.SortKey) == skClaim {
					return &dynamodb.GetItemOutput{Item: item{attrSession: text(owner)}}, nil
				}
				other := opening(t)
				other.Entry.Hash = "another"
				it, err := record{}.next(other.Session, other.Entry).item("op")
				return &dynamodb.GetItemOutput{Item: it}, err
			},
		})
	}
	const no, yes = "None", "ConditionalCheckFailed"
	for _, c := range []struct {
		codes []string
		want  app.OpenConflict
	}{
		{[]string{yes, no, no}, app.OpenConflict{Exists: true}},
		{[]string{no, yes, no}, app.OpenConflict{User: true}},
		{[]string{no, no, yes}, app.OpenConflict{Claimed: "other"}},
		{[]string{yes, yes, yes}, app.OpenConflict{Exists: true, User: true, Claimed: "other"}},
	} {
		var got *app.OpenConflict
		if err := s(c.codes...).Open(t.Context(), opening(t)); !errors.As(err, &got) || *got != c.want {
			t.Errorf("%v: got %v, want %+v", c.codes, err, c.want)
		}
	}
	owner = "s" // moved to this very session between the transaction and the read
	if err := s(no, no, yes).Open(t.Context(), opening(t)); !fault.Is(err, fault.Throttled) {
		t.Errorf("a claim that moved meanwhile: %v", err)
	}
}

// second is the commit after an opening.
func second(t *testing.T, o app.Opening) app.Commit {
	t.Helper()
	c := app.Commit{Next: o.Session, Entry: app.Entry{SessionID: "s", Version: 2, At: base.Add(time.Second), From: session.Active, To: session.Active, Previous: o.Entry.Hash}}
	c.Next.Version = 2
	hash, err := c.Entry.Seal()
	if err != nil {
		t.Fatal(err)
	}
	c.Entry.Hash = hash
	return c
}

var conditionFails = &smithy.GenericAPIError{Code: codeCondition}

func TestCommitUnknownFrozenField(t *testing.T) {
	o := opening(t)
	stored, err := record{}.next(o.Session, o.Entry).item("op")
	if err != nil {
		t.Fatal(err)
	}
	s := on(fake{
		put: func(*dynamodb.PutItemInput) error { return conditionFails },
		get: func(*dynamodb.GetItemInput) (*dynamodb.GetItemOutput, error) {
			return &dynamodb.GetItemOutput{Item: stored}, nil
		},
	})
	if err := s.Commit(t.Context(), second(t, o)); fault.KindOf(err) != fault.Unknown || err == nil {
		t.Errorf("got %v, want kind unknown", err)
	}
}

// A commit that meets a Finish is made again on what that left; nothing that it
// marked comes back. What is guessed is never believed.
func TestCommitMeetsFinish(t *testing.T) {
	o := opening(t)
	stored := record{}.next(o.Session, o.Entry)
	var puts []string
	reads := 0
	s := on(fake{
		transact: func(*dynamodb.TransactWriteItemsInput) error { return nil },
		put: func(in *dynamodb.PutItemInput) error {
			if _, undone := in.ExpressionAttributeValues[":undone"]; undone != (len(stored.undone) > 0) {
				return conditionFails
			}
			puts = append(puts, getText(in.Item, attrUndone))
			return nil
		},
		get: func(*dynamodb.GetItemInput) (*dynamodb.GetItemOutput, error) {
			reads++
			it, err := stored.item("op")
			return &dynamodb.GetItemOutput{Item: it}, err
		},
	})
	if err := s.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	stored = stored.without(1) // by another process
	if err := s.Commit(t.Context(), second(t, o)); err != nil || len(puts) != 1 || puts[0] != "" || reads != 1 {
		t.Errorf("%v: writes with %q undone, %d reads", err, puts, reads)
	}
}

// A lost answer, then the SDK's own repetition, whose condition fails.
func TestCommitIsKnownAgain(t *testing.T) {
	o := opening(t)
	c := second(t, o)
	stored, err := record{}.next(o.Session, o.Entry).next(c.Next, c.Entry).item("op")
	if err != nil {
		t.Fatal(err)
	}
	s := on(fake{
		transact: func(*dynamodb.TransactWriteItemsInput) error { return nil },
		put:      func(*dynamodb.PutItemInput) error { return conditionFails },
		get: func(*dynamodb.GetItemInput) (*dynamodb.GetItemOutput, error) {
			return &dynamodb.GetItemOutput{Item: stored}, nil
		},
	})
	if err := errors.Join(s.Open(t.Context(), o), s.Commit(t.Context(), c)); err != nil {
		t.Error(err)
	}
	other := c
	other.Entry.Event.ID = "another"
	if other.Entry.Hash, err = other.Entry.Seal(); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), other); !fault.Is(err, fault.Conflict) {
		t.Errorf("another decision on the same version: %v", err)
	}
}

func TestTooLargeIsRefusedBeforeTheCall(t *testing.T) {
	s := on(fake{}) // any call panics
	o := opening(t)
	o.Session.Why = []string{noise(itemMax)}
	wantSize(t, s.Open(t.Context(), o))
	o = opening(t)
	o.Entry.Event.Detail = noise(itemMax)
	wantSize(t, s.Open(t.Context(), o))
	wantSize(t, s.PutUser(t.Context(), session.UserFacts{User: "ana", Version: 1, Lock: session.Lock{Why: strings.Repeat("x", itemMax)}}))
}

// noise is text that packing does not make smaller by half.
func noise(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < 2*n; i++ {
		b.WriteString(digest(fmt.Sprint(i)))
	}
	return b.String()
}

func wantSize(t *testing.T, err error) {
	t.Helper()
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "bytes; an item holds 409600") {
		t.Errorf("got %v, want invalid with the size", err)
	}
}

func TestBatchAsksAgainForWhatIsLeft(t *testing.T) {
	var ids []string
	for i := range 130 {
		ids = append(ids, fmt.Sprint("s", i))
	}
	for _, c := range []struct {
		name   string
		answer int // how many of the keys asked for each call answers
		ok     bool
	}{{"all", 1000, true}, {"a few", 7, true}, {"none", 0, false}} {
		calls := 0
		got, err := on(fake{batch: func(in *dynamodb.BatchGetItemInput) (*dynamodb.BatchGetItemOutput, error) {
			calls++
			ask := in.RequestItems["table"]
			if len(ask.Keys) > batchMax || !aws.ToBool(ask.ConsistentRead) {
				t.Errorf("asked for %d keys, consistent %v", len(ask.Keys), aws.ToBool(ask.ConsistentRead))
			}
			n := min(c.answer, len(ask.Keys))
			out := &dynamodb.BatchGetItemOutput{Responses: map[string][]map[string]types.AttributeValue{}}
			for _, k := range ask.Keys[:n] {
				k[attrSchema], k[attrDoc] = number(1), text(`{"id":"`+strings.TrimPrefix(getText(k, "pk"), pkSession)+`"}`)
				out.Responses["table"] = append(out.Responses["table"], k)
			}
			if n < len(ask.Keys) {
				out.UnprocessedKeys = map[string]types.KeysAndAttributes{"table": {Keys: ask.Keys[n:]}}
			}
			return out, nil
		}}).Sessions(t.Context(), ids)
		if !c.ok {
			if !fault.Is(err, fault.Throttled) || calls != leftovers {
				t.Errorf("%s: %d calls, %v", c.name, calls, err)
			}
			continue
		}
		if err != nil || len(got) != len(ids) || got[129].ID != "s129" {
			t.Errorf("%s: %d sessions, %v", c.name, len(got), err)
		}
	}
}

// Which part of its partitions a list asks for, at its beginning and after a page; a
// part that would be empty is not asked for.
func TestListsAskForTheirPart(t *testing.T) {
	later := base.Add(time.Hour)
	last := stateOf("s").sorted(base)
	for _, c := range []struct {
		name, from string
		read       func(*Store, string) error
		want       []string // ":low :high" of each list, in order; each partition of a list asks alike
	}{
		{"oldest first", "", func(s *Store, c string) error { _, err := s.OfUser(t.Context(), "ana", c); return err }, []string{"0 ~"}},
		{"oldest first, on", cursor{List: "user", Last: last}.String(), func(s *Store, c string) error { _, err := s.OfUser(t.Context(), "ana", c); return err }, []string{last + "  ~"}},
		{"newest first", "", func(s *Store, c string) error { _, err := s.List(t.Context(), c); return err }, []string{" ~"}},
		{"newest first, on", cursor{List: "list", Last: last}.String(), func(s *Store, c string) error { _, err := s.List(t.Context(), c); return err }, []string{" " + last}},
		{"until", "", func(s *Store, c string) error { _, err := s.Due(t.Context(), base, c); return err }, []string{"0 " + stamp(base) + "~"}},
		{"until, on", cursor{List: "due", Last: last}.String(), func(s *Store, c string) error { _, err := s.Due(t.Context(), base, c); return err }, []string{last + "  " + stamp(base) + "~"}},
		{"after its end", cursor{List: "due", Last: stateOf("s").sorted(later)}.String(), func(s *Store, c string) error { _, err := s.Due(t.Context(), base, c); return err }, nil},
		{"between", "", func(s *Store, c string) error { _, _, err := s.Changes(t.Context(), base, later, c); return err },
			[]string{stamp(base) + " " + stamp(later), "0 " + stamp(later), stamp(base) + " ~", stamp(base) + " " + stamp(later)}},
		{"between, on", cursor{List: "changes", Last: last}.String(), func(s *Store, c string) error { _, _, err := s.Changes(t.Context(), base, later, c); return err },
			[]string{last + "  " + stamp(later)}},
		{"the wrong way round", "", func(s *Store, c string) error { _, _, err := s.Changes(t.Context(), later, base, c); return err },
			[]string{"0 " + stamp(base), stamp(later) + " ~"}},
	} {
		var mu sync.Mutex // partitions are asked at once
		var asked []string
		err := c.read(on(fake{query: func(in *dynamodb.QueryInput) (*dynamodb.QueryOutput, error) {
			mu.Lock()
			defer mu.Unlock()
			v := in.ExpressionAttributeValues
			part := getText(v, ":low") + " " + getText(v, ":high")
			if len(asked) == 0 || asked[len(asked)-1] != part {
				asked = append(asked, part)
			}
			return &dynamodb.QueryOutput{}, nil
		}}), c.from)
		if err != nil || !slices.Equal(asked, c.want) {
			t.Errorf("%s: asked for %q, want %q: %v", c.name, asked, c.want, err)
		}
	}
}

// pagesOf answers a query with one item of a partition at a time.
func pagesOf(t *testing.T, items *[]item) func(*dynamodb.QueryInput) (*dynamodb.QueryOutput, error) {
	return func(in *dynamodb.QueryInput) (*dynamodb.QueryOutput, error) {
		if !aws.ToBool(in.ConsistentRead) {
			t.Error("history is not read strongly")
		}
		low := getText(in.ExpressionAttributeValues, ":first")
		if in.ExclusiveStartKey != nil {
			low = getText(in.ExclusiveStartKey, schema.SortKey) + " "
		}
		for _, it := range *items {
			if sk := getText(it, schema.SortKey); sk >= low {
				return &dynamodb.QueryOutput{Items: []map[string]types.AttributeValue{it}, LastEvaluatedKey: it}, nil
			}
		}
		return &dynamodb.QueryOutput{}, nil
	}
}

// A history is the blocks that were moved out of the session's item, and what is
// still in it. Blocks overlap where a write lost its race after it moved entries;
// and entries may be moved between the reading of the blocks and of the item.
func TestHistoryOfBlocks(t *testing.T) {
	r := record{}
	for v := range int64(6) {
		s := opening(t).Session
		s.Version = v + 1
		r = r.next(s, app.Entry{SessionID: "s", Version: v + 1, At: base, Effects: []session.Effect{{}}})
	}
	block := func(from, to int64) item {
		it, err := blockItem("op", r.tail[from-1:to])
		if err != nil {
			t.Fatal(err)
		}
		return it
	}
	r.undone = []int64{2, 5}
	state := func(from int64) item {
		short := r
		short.tail = r.tail[from-1:]
		it, err := short.item("op")
		if err != nil {
			t.Fatal(err)
		}
		return it
	}
	whole := []item{block(1, 2), block(1, 3), block(4, 4), state(5)}
	for name, c := range map[string]struct {
		items, then []item
		after       int64
		limit       int
		want        string
		more        bool
		readings    int
	}{
		"all":                       {whole, nil, 0, 10, "1+ 2 3+ 4+ 5 6+", false, 1},
		"some":                      {whole, nil, 1, 3, "2 3+ 4+", true, 1},
		"from the middle":           {whole, nil, 3, 10, "4+ 5 6+", false, 1},
		"after the newest":          {whole, nil, 6, 10, "", false, 1},
		"moved meanwhile":           {[]item{block(1, 2), state(5)}, whole, 0, 10, "1+ 2 3+ 4+ 5 6+", false, 2},
		"dropped":                   {[]item{block(1, 2), state(5)}, []item{block(1, 2), state(5)}, 0, 10, "1+ 2 5 6+", false, historyTries},
		"without the session":       {[]item{block(1, 2)}, nil, 0, 10, "1+ 2+", false, 1},
		"the page ends before that": {whole, nil, 0, 2, "1+ 2", true, 1},
		"and it is not there":       {[]item{block(1, 2), block(3, 4)}, nil, 0, 2, "1+ 2+", true, 1},
	} {
		items, readings := c.items, 0
		ask := pagesOf(t, &items)
		s := on(fake{
			query: func(in *dynamodb.QueryInput) (*dynamodb.QueryOutput, error) {
				if in.ExclusiveStartKey == nil {
					readings++
				}
				out, err := ask(in)
				if c.then != nil && len(out.Items) == 0 {
					items = c.then
				}
				return out, err
			},
			get: func(*dynamodb.GetItemInput) (*dynamodb.GetItemOutput, error) {
				if newest := items[len(items)-1]; getText(newest, schema.SortKey) == skState {
					return &dynamodb.GetItemOutput{Item: newest}, nil
				}
				return &dynamodb.GetItemOutput{}, nil
			},
		})
		found, more, err := s.History(t.Context(), "s", c.after, c.limit)
		var got []string
		for _, e := range found {
			got = append(got, fmt.Sprint(e.Version, map[bool]string{true: "+"}[e.Done]))
		}
		if err != nil || strings.Join(got, " ") != c.want || more != c.more || readings != c.readings {
			t.Errorf("%s: %q, more %t, %d readings, %v; want %q, %d", name, got, more, readings, err, c.want, c.readings)
		}
	}
	items := whole
	s := on(fake{query: pagesOf(t, &items), get: func(*dynamodb.GetItemInput) (*dynamodb.GetItemOutput, error) { return nil, errors.New("refused") }})
	if found, _, err := s.History(t.Context(), "s", 0, 2); err == nil {
		t.Errorf("%d entries of which nobody knows whether their effects are done", len(found))
	}
}

// A Finish writes once, not at all where there is nothing to write, and answers at
// once what is no race.
func TestFinishWritesOnce(t *testing.T) {
	o := opening(t)
	for _, c := range []struct {
		name          string
		stored        record
		fails         error
		reads, writes int
	}{
		{"what is undone", record{}.next(o.Session, o.Entry), nil, 1, 1},
		{"what is done", record{}.next(o.Session, o.Entry).without(1), nil, 1, 0},
		{"a write that is refused", record{}.next(o.Session, o.Entry), errors.New("refused"), 1, 1},
		{"an item that changes each time", record{}.next(o.Session, o.Entry), conditionFails, collisions, collisions},
	} {
		reads, writes := 0, 0
		err := on(fake{
			get: func(*dynamodb.GetItemInput) (*dynamodb.GetItemOutput, error) {
				reads++
				it, err := c.stored.item("op")
				return &dynamodb.GetItemOutput{Item: it}, err
			},
			update: func(*dynamodb.UpdateItemInput) error {
				writes++
				return c.fails
			},
		}).Finish(t.Context(), "s", 1)
		if (err != nil) != (c.fails != nil) || reads != c.reads || writes != c.writes || c.fails == conditionFails && !fault.Is(err, fault.Throttled) {
			t.Errorf("%s: %d reads, %d writes, %v; want %d, %d", c.name, reads, writes, err, c.reads, c.writes)
		}
	}
}

// A commit that is overtaken by a Finish each time gives up, and its event is
// delivered again.
func TestCommitGivesUp(t *testing.T) {
	o := opening(t)
	stored, writes := record{}.next(o.Session, o.Entry), 0
	stored.undone = []int64{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}
	err := on(fake{
		put: func(*dynamodb.PutItemInput) error {
			writes++
			stored.undone = stored.undone[1:]
			return conditionFails
		},
		get: func(*dynamodb.GetItemInput) (*dynamodb.GetItemOutput, error) {
			it, err := stored.item("op")
			return &dynamodb.GetItemOutput{Item: it}, err
		},
	}).Commit(t.Context(), second(t, o))
	if !fault.Is(err, fault.Throttled) || writes != collisions {
		t.Errorf("%d writes, %v", writes, err)
	}
}

// Guesses are bounded, however many sessions a process sees.
func TestGuessesAreBounded(t *testing.T) {
	var l recently
	for i := range 3 * recentMax {
		id := fmt.Sprint(i)
		l.keep(record{state: session.Session{ID: id}})
		if _, ok := l.all[id]; !ok || len(l.all) > recentMax {
			t.Fatalf("%d guesses are kept, the newest: %t", len(l.all), ok)
		}
	}
}
