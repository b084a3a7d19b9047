package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nightshift/internal/ddbstore"
	"nightshift/internal/ddbstore/schema"
)

// table is DynamoDB in memory, for the calls that the store makes: it keeps the items
// that the store writes, as they are, and says of each call what it reads and writes of
// which partition of which index, by DynamoDB's published rules. Its indexes are never
// behind.
type table struct {
	used    func(context.Context, use)
	mu      sync.Mutex
	items   map[string]attributes
	indexes map[string]map[string][]entry // of each index ("": the table), by partition, in order
}

// use is what one call consumed of one partition.
type use struct {
	op        string
	index     string // "": the table
	partition string
	reads     float64 // units
	writes    float64
	bytes     int  // of an item written
	again     bool // a further part of a call that was told already
}

type entry struct{ sort, key string }

var _ ddbstore.API = (*table)(nil)

func newTable(used func(context.Context, use)) *table {
	return &table{used: used, items: map[string]attributes{}, indexes: map[string]map[string][]entry{}}
}

func textOf(it attributes, name string) string {
	if s, ok := it[name].(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

func keyOf(it attributes) string {
	return textOf(it, schema.PartitionKey) + "\x00" + textOf(it, schema.SortKey)
}

// bytesOf is an item's as DynamoDB counts it: names and values, a number by two digits a
// byte and one more.
func bytesOf(it attributes) int {
	n := 0
	for name, v := range it {
		n += len(name)
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			n += len(v.Value)
		case *types.AttributeValueMemberB:
			n += len(v.Value)
		case *types.AttributeValueMemberN:
			n += (len(v.Value)+1)/2 + 1
		case *types.AttributeValueMemberBOOL:
			n++
		default:
			panic(fmt.Sprintf("the size of %T is not known here", v))
		}
	}
	return n
}

func kilobytes(n, each int) float64 { return math.Max(1, math.Ceil(float64(n)/float64(each<<10))) }

// places are where an item stands in the table and in each index.
func places(it attributes) map[string][2]string {
	all := map[string][2]string{}
	if it == nil {
		return all
	}
	all[""] = [2]string{textOf(it, schema.PartitionKey), textOf(it, schema.SortKey)}
	for _, i := range schema.Definition().Indexes {
		if p := textOf(it, i.PartitionKey.Name); p != "" {
			all[i.Name] = [2]string{p, textOf(it, i.SortKey.Name)}
		}
	}
	return all
}

// put replaces an item, and tells what that consumes: each KB of the larger of the two,
// times for a transaction, and a unit for each place in an index that goes or comes.
func (t *table) put(ctx context.Context, op string, next attributes, times float64, again bool) {
	key := keyOf(next)
	old := t.items[key]
	t.items[key] = next
	was, is := places(old), places(next)
	at := is[""]
	t.used(ctx, use{op: op, partition: at[0], writes: times * kilobytes(max(bytesOf(old), bytesOf(next)), 1), bytes: bytesOf(next), again: again})
	for _, name := range append([]string{""}, indexNames...) {
		from, stood := was[name]
		to, stands := is[name]
		if from == to && stood == stands {
			continue
		}
		if stood {
			t.strike(name, from[0], entry{from[1], key})
		}
		if stands {
			t.enter(name, to[0], entry{to[1], key})
		}
		for partition, moved := range map[string]bool{from[0]: stood, to[0]: stands} {
			if moved && name != "" {
				n := 1.0
				if stood && stands && from[0] == to[0] {
					n = 2
				}
				t.used(ctx, use{op: op, index: name, partition: partition, writes: n, again: true})
			}
		}
	}
}

var indexNames = func() (names []string) {
	for _, i := range schema.Definition().Indexes {
		names = append(names, i.Name)
	}
	return names
}()

func inOrder(a, b entry) int {
	if c := strings.Compare(a.sort, b.sort); c != 0 {
		return c
	}
	return strings.Compare(a.key, b.key)
}

func (t *table) enter(index, partition string, e entry) {
	if t.indexes[index] == nil {
		t.indexes[index] = map[string][]entry{}
	}
	list := t.indexes[index][partition]
	i, _ := slices.BinarySearchFunc(list, e, inOrder)
	t.indexes[index][partition] = slices.Insert(list, i, e)
}

func (t *table) strike(index, partition string, e entry) {
	list := t.indexes[index][partition]
	if i, found := slices.BinarySearchFunc(list, e, inOrder); found {
		t.indexes[index][partition] = slices.Delete(list, i, i+1)
	}
}

// refuses tells what a write costs whose condition does not hold.
func (t *table) refuses(ctx context.Context, op string, it attributes, times float64, again bool) {
	t.used(ctx, use{op: op, partition: textOf(it, schema.PartitionKey), writes: times * kilobytes(max(bytesOf(t.items[keyOf(it)]), bytesOf(it)), 1), again: again})
}

func refused() error {
	return &types.ConditionalCheckFailedException{Message: aws.String("the conditional request failed")}
}

// GetItem implements ddbstore.API.
func (t *table) GetItem(ctx context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	it := t.items[keyOf(in.Key)]
	n := kilobytes(bytesOf(it), 4)
	if !aws.ToBool(in.ConsistentRead) {
		n /= 2
	}
	t.used(ctx, use{op: "GetItem", partition: textOf(in.Key, schema.PartitionKey), reads: n})
	return &dynamodb.GetItemOutput{Item: it}, nil
}

// BatchGetItem implements ddbstore.API.
func (t *table) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	out := &dynamodb.BatchGetItemOutput{Responses: map[string][]map[string]types.AttributeValue{}}
	again := false
	for name, keys := range in.RequestItems {
		for _, k := range keys.Keys {
			it := t.items[keyOf(k)]
			n := kilobytes(bytesOf(it), 4)
			if !aws.ToBool(keys.ConsistentRead) {
				n /= 2
			}
			t.used(ctx, use{op: "BatchGetItem", partition: textOf(k, schema.PartitionKey), reads: n, again: again})
			if again = true; it != nil {
				out.Responses[name] = append(out.Responses[name], it)
			}
		}
	}
	return out, nil
}

// Query implements ddbstore.API: a page ends at 1 MB, or at its limit.
func (t *table) Query(ctx context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	index, pk, sk := aws.ToString(in.IndexName), schema.PartitionKey, schema.SortKey
	for _, i := range schema.Definition().Indexes {
		if i.Name == index {
			pk, sk = i.PartitionKey.Name, i.SortKey.Name
		}
	}
	partition, list := t.within(index, in)
	newest := in.ScanIndexForward != nil && !*in.ScanIndexForward
	out, bytes := &dynamodb.QueryOutput{}, 0
	for i := range list {
		e := list[i]
		if newest {
			e = list[len(list)-1-i]
		}
		it := t.items[e.key]
		if index != "" { // all have the keys only
			it = attributes{schema.PartitionKey: it[schema.PartitionKey], schema.SortKey: it[schema.SortKey], pk: it[pk], sk: it[sk]}
		}
		out.Items = append(out.Items, it)
		bytes += bytesOf(it)
		if in.Limit != nil && len(out.Items) == int(*in.Limit) || bytes > 1<<20 {
			out.LastEvaluatedKey = attributes{schema.PartitionKey: it[schema.PartitionKey], schema.SortKey: it[schema.SortKey]}
			break
		}
	}
	n := kilobytes(bytes, 4)
	if !aws.ToBool(in.ConsistentRead) {
		n /= 2
	}
	t.used(ctx, use{op: "Query", index: index, partition: partition, reads: n})
	return out, nil
}

// within is what of a partition a query is about, in the two forms that the store
// writes: "#p = :p AND #s BETWEEN :low AND :high", and "#p = :p AND #s < :high".
func (t *table) within(index string, in *dynamodb.QueryInput) (partition string, list []entry) {
	words := wordForm.FindAllString(aws.ToString(in.KeyConditionExpression), -1)
	value := func(i int) string { return textOf(in.ExpressionAttributeValues, words[i]) }
	if len(words) < 7 || words[1] != "=" || words[3] != "AND" || in.ExclusiveStartKey != nil && words[5] != "BETWEEN" {
		panic(fmt.Sprintf("a query of another form: %q", words))
	}
	partition = value(2)
	list = t.indexes[index][partition]
	below := func(limit string) int {
		n, _ := slices.BinarySearchFunc(list, entry{sort: limit}, inOrder)
		return n
	}
	low, high := 0, 0
	switch words[5] {
	case "BETWEEN":
		low, high = below(value(6)), below(value(8)+"\x00")
	case "<":
		high = below(value(6))
	default:
		panic("a query of another form: " + words[5])
	}
	list = list[low:max(low, high)]
	if in.ExclusiveStartKey == nil {
		return partition, list
	}
	i := slices.IndexFunc(list, func(e entry) bool { return e.key == keyOf(in.ExclusiveStartKey) })
	if in.ScanIndexForward != nil && !*in.ScanIndexForward {
		return partition, list[:max(0, i)]
	}
	return partition, list[i+1:]
}

// PutItem implements ddbstore.API.
func (t *table) PutItem(ctx context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !newExpression(aws.ToString(in.ConditionExpression), in.ExpressionAttributeNames, in.ExpressionAttributeValues, t.items[keyOf(in.Item)]).holds() {
		t.refuses(ctx, "PutItem", in.Item, 1, false)
		return nil, refused()
	}
	t.put(ctx, "PutItem", in.Item, 1, false)
	return &dynamodb.PutItemOutput{}, nil
}

// UpdateItem implements ddbstore.API.
func (t *table) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.items[keyOf(in.Key)]
	if !newExpression(aws.ToString(in.ConditionExpression), in.ExpressionAttributeNames, in.ExpressionAttributeValues, old).holds() {
		t.refuses(ctx, "UpdateItem", in.Key, 1, false)
		return nil, refused()
	}
	next := newExpression(aws.ToString(in.UpdateExpression), in.ExpressionAttributeNames, in.ExpressionAttributeValues, old).update()
	for k, v := range in.Key {
		next[k] = v
	}
	t.put(ctx, "UpdateItem", next, 1, false)
	return &dynamodb.UpdateItemOutput{Attributes: next}, nil
}

// TransactWriteItems implements ddbstore.API.
func (t *table) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, _ ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	reasons, failed := make([]types.CancellationReason, len(in.TransactItems)), false
	for i, w := range in.TransactItems {
		var key attributes
		var condition *string
		var names map[string]string
		var values attributes
		switch {
		case w.Put != nil:
			key, condition, names, values = w.Put.Item, w.Put.ConditionExpression, w.Put.ExpressionAttributeNames, w.Put.ExpressionAttributeValues
		case w.ConditionCheck != nil:
			key, condition, names, values = w.ConditionCheck.Key, w.ConditionCheck.ConditionExpression, w.ConditionCheck.ExpressionAttributeNames, w.ConditionCheck.ExpressionAttributeValues
		default:
			panic("a transaction has what the store does not put into one")
		}
		reasons[i].Code = aws.String("None")
		if !newExpression(aws.ToString(condition), names, values, t.items[keyOf(key)]).holds() {
			reasons[i].Code, failed = aws.String("ConditionalCheckFailed"), true
		}
	}
	const op = "TransactWriteItems"
	for i, w := range in.TransactItems {
		switch {
		case w.Put != nil && !failed:
			t.put(ctx, op, w.Put.Item, 2, i > 0)
		case w.Put != nil:
			t.refuses(ctx, op, w.Put.Item, 2, i > 0)
		default:
			t.used(ctx, use{op: op, partition: textOf(w.ConditionCheck.Key, schema.PartitionKey), writes: 2 * kilobytes(bytesOf(t.items[keyOf(w.ConditionCheck.Key)]), 1), again: i > 0})
		}
	}
	if failed {
		return nil, &types.TransactionCanceledException{Message: aws.String("a condition did not hold"), CancellationReasons: reasons}
	}
	return &dynamodb.TransactWriteItemsOutput{}, nil
}
