package ddbstore

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore/schema"
	"nightshift/internal/fault"
	"nightshift/internal/session"
)

// get reads one item, strongly; nil where there is none.
func (s *Store) get(ctx context.Context, op string, a address) (item, error) {
	out, err := s.api.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: a.key(), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, classify(op, err)
	}
	if len(out.Item) == 0 {
		return nil, nil
	}
	return out.Item, nil
}

// batchMax is DynamoDB's limit of keys in one BatchGetItem.
const batchMax = 100

// fetch reads many items, strongly, in the order of the addresses, each of
// which must be there once; items that are not there are left out.
func (s *Store) fetch(ctx context.Context, op string, addresses []address) ([]item, error) {
	found := make(map[address]item, len(addresses))
	for from := 0; from < len(addresses); from += batchMax {
		if err := s.batch(ctx, op, addresses[from:min(from+batchMax, len(addresses))], found); err != nil {
			return nil, err
		}
	}
	var out []item
	for _, a := range addresses {
		if it, ok := found[a]; ok {
			out = append(out, it)
		}
	}
	return out, nil
}

// batch reads up to batchMax items. DynamoDB answers a part when the whole is
// too large or it is busy: the rest is asked for again, as long as parts come.
func (s *Store) batch(ctx context.Context, op string, addresses []address, found map[address]item) error {
	var keys []map[string]types.AttributeValue
	for _, a := range addresses {
		keys = append(keys, a.key())
	}
	for idle := 0; ; {
		out, err := s.api.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
			RequestItems: map[string]types.KeysAndAttributes{s.table: {Keys: keys, ConsistentRead: aws.Bool(true)}},
		})
		if err != nil {
			return classify(op, err)
		}
		for _, it := range out.Responses[s.table] {
			found[address{getText(it, schema.PartitionKey), getText(it, schema.SortKey)}] = it
		}
		rest := out.UnprocessedKeys[s.table].Keys
		switch {
		case len(rest) == 0:
			return nil
		case len(rest) < len(keys):
			idle = 0
		case idle == leftovers-1:
			return fault.Newf(op, fault.Throttled, "%d of %d items were left unread %d times", len(rest), len(addresses), leftovers)
		default:
			idle++
		}
		keys = rest
		if err := s.pause(ctx, idle); err != nil {
			return fault.New(op, fault.Unknown, err)
		}
	}
}

// Session implements app.Store.
func (s *Store) Session(ctx context.Context, id string) (session.Session, error) {
	const op = "ddbstore: read session"
	if err := app.CheckID(op, "session id", id); err != nil {
		return session.Session{}, err
	}
	r, err := s.record(ctx, op, id)
	if err != nil {
		return session.Session{}, err
	}
	return s.token(ctx, op, r.state)
}

// Sessions implements app.Store: in the order asked for, each once.
func (s *Store) Sessions(ctx context.Context, ids []string) ([]session.Session, error) {
	const op = "ddbstore: read sessions"
	seen := make(map[string]bool, len(ids))
	var addresses []address
	for _, id := range ids {
		if err := app.CheckID(op, "session id", id); err != nil {
			return nil, err
		}
		if !seen[id] {
			seen[id] = true
			addresses = append(addresses, stateOf(id))
		}
	}
	return s.states(ctx, op, addresses)
}

func (s *Store) states(ctx context.Context, op string, addresses []address) ([]session.Session, error) {
	items, err := s.fetch(ctx, op, addresses)
	if err != nil {
		return nil, err
	}
	var out []session.Session
	for _, it := range items {
		d, err := decodeState(op, it)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

const present = "attribute_exists(" + schema.PartitionKey + ")"
