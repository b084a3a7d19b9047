// Package ddbstore is the app's Store on one DynamoDB table. It knows the
// table's shape (package schema), DynamoDB's calls and its errors, and how the
// core's values are written down; it must not know rules, events on the wire or
// other services.
package ddbstore

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"nightshift/internal/app"
)

// API is what the store calls; *dynamodb.Client has it.
type API interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
}

// Limits of ours. DynamoDB's own are beside the checks that hold them.
const (
	pageSize   = 100       // things per index read: as many as one BatchGetItem takes
	parkedPage = 20        // parked events per page: their bodies may be 256 KiB each
	historyMax = 1000      // entries per History read; a larger limit is this one
	bodyMax    = 256 << 10 // bytes kept of a parked or sampled body; the rest is cut, because keeping an event must not fail on its size

	// collisions is how often a write that met another transaction on the same
	// item is tried; then it is Throttled and the caller's redelivery goes on.
	collisions = 6
	// leftovers is how often the keys that a batch read left unprocessed are
	// asked for again without any progress; then it is Throttled.
	leftovers = 6
	// firstPause doubles with each try; the pause is a random part of it.
	firstPause = 10 * time.Millisecond
)

// Store remembers in a table. It is safe for concurrent use.
type Store struct {
	api   API
	table string
	pause func(ctx context.Context, try int) error
	// lately is what the next write is likely to change.
	lately recently
}

var _ app.Store = (*Store)(nil)

// New makes a store on an existing table of the shape that package schema says.
// Throttling is the client's retryer's affair.
func New(client API, table string) *Store {
	return &Store{api: client, table: table, pause: pause}
}

// pause waits before the next try, with full jitter; the context ends it early.
func pause(ctx context.Context, try int) error {
	t := time.NewTimer(rand.N(firstPause << try))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
