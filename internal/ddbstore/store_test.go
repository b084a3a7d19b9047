package ddbstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
				return &dynamodb.GetItemOutput{Item: item{attrHash: text("another")}}, nil
			},
		})
	}
	const no, yes = "None", "ConditionalCheckFailed"
	for _, c := range []struct {
		codes []string
		want  app.OpenConflict
	}{
		{[]string{yes, no, no, no}, app.OpenConflict{Exists: true}},
		{[]string{no, yes, no, no}, app.OpenConflict{Exists: true}},
		{[]string{no, no, yes, no}, app.OpenConflict{User: true}},
		{[]string{no, no, no, yes}, app.OpenConflict{Claimed: "other"}},
		{[]string{yes, yes, yes, yes}, app.OpenConflict{Exists: true, User: true, Claimed: "other"}},
	} {
		var got *app.OpenConflict
		if err := s(c.codes...).Open(t.Context(), opening(t)); !errors.As(err, &got) || *got != c.want {
			t.Errorf("%v: got %v, want %+v", c.codes, err, c.want)
		}
	}
	owner = "s" // moved to this very session between the transaction and the read
	if err := s(no, no, no, yes).Open(t.Context(), opening(t)); !fault.Is(err, fault.Throttled) {
		t.Errorf("a claim that moved meanwhile: %v", err)
	}
}

func TestCommitUnknownFrozenField(t *testing.T) {
	o := opening(t)
	stored, err := stateItem("op", o.Session)
	if err != nil {
		t.Fatal(err)
	}
	s := on(fake{
		transact: func(*dynamodb.TransactWriteItemsInput) error { return canceled("ConditionalCheckFailed", "None") },
		get: func(in *dynamodb.GetItemInput) (*dynamodb.GetItemOutput, error) {
			if getText(in.Key, schema.SortKey) == skState {
				return &dynamodb.GetItemOutput{Item: stored}, nil
			}
			return &dynamodb.GetItemOutput{}, nil
		},
	})
	next := app.Commit{Next: o.Session, Entry: o.Entry}
	next.Next.Version, next.Entry.Version = 2, 2
	if err := s.Commit(t.Context(), next); fault.KindOf(err) != fault.Unknown || err == nil {
		t.Errorf("got %v, want kind unknown", err)
	}
}

func TestTooLargeIsRefusedBeforeTheCall(t *testing.T) {
	s := on(fake{}) // any call panics
	o := opening(t)
	o.Session.Why = []string{strings.Repeat("x", itemMax)}
	wantSize(t, s.Open(t.Context(), o))
	o = opening(t)
	o.Entry.Event.Detail = strings.Repeat("x", itemMax)
	wantSize(t, s.Open(t.Context(), o))
	wantSize(t, s.PutUser(t.Context(), session.UserFacts{User: "ana", Version: 1, Lock: session.Lock{Why: strings.Repeat("x", itemMax)}}))
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

func TestHistoryGoesOnWhereAnAnswerEndsEarly(t *testing.T) {
	calls := 0
	got, more, err := on(fake{query: func(in *dynamodb.QueryInput) (*dynamodb.QueryOutput, error) {
		calls++
		if !aws.ToBool(in.ConsistentRead) {
			t.Error("history is not read strongly")
		}
		it, err := entryItem("op", app.Entry{SessionID: "s", Version: int64(calls)})
		out := &dynamodb.QueryOutput{Items: []map[string]types.AttributeValue{it}}
		if calls < 3 {
			out.LastEvaluatedKey = entryOf("s", int64(calls)).key() // 1 MB is reached
		}
		return out, err
	}}).History(t.Context(), "s", 0, 10)
	if err != nil || more || len(got) != 3 {
		t.Errorf("%d entries, more %v, %v", len(got), more, err)
	}
}
