package ddbstore

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore/schema"
	"nightshift/internal/fault"
)

// History implements app.Store; limit below 1 or above historyMax is historyMax.
func (s *Store) History(ctx context.Context, id string, after int64, limit int) ([]app.Entry, bool, error) {
	const op = "ddbstore: read history"
	if err := app.CheckID(op, "session id", id); err != nil {
		return nil, false, err
	}
	if limit < 1 || limit > historyMax {
		limit = historyMax
	}
	var h read
	for try := 0; ; try++ {
		var err error
		if h, err = s.readHistory(ctx, op, id, max(after, 0), limit); err != nil {
			return nil, false, err
		}
		// Entries moved between the reading of the blocks and that of the session. A gap
		// that stays is somebody's work, and the proof's affair.
		if !h.gap || try == historyTries-1 {
			break
		}
	}
	more := len(h.entries) > limit
	return h.entries[:min(limit, len(h.entries))], more, nil
}

// historyTries is how often a history that has a gap is read.
const historyTries = 3

// history is History for whom the session's item has been read: where the tail
// has the entries, nothing is read.
func (s *Store) history(ctx context.Context, r record, after int64, limit int) ([]app.Entry, bool, error) {
	if len(r.tail) == 0 || r.tail[0].Version > after+1 {
		return s.History(ctx, r.state.ID, after, limit)
	}
	from := slices.IndexFunc(r.tail, func(e app.Entry) bool { return e.Version > after })
	if from < 0 {
		return nil, false, nil
	}
	rest := r.tail[from:]
	return rest[:min(limit, len(rest))], len(rest) > limit, nil
}

// read is what one reading of a history found.
type read struct {
	docs    []entryDoc // of blocks; which are done is known with the session
	entries []app.Entry
	after   int64 // the newest version found
	whole   bool  // the session's item was reached
	gap     bool  // entries are missing before the session's own
}

// readHistory reads a partition in its order: blocks and entries by version, then
// the session's item.
func (s *Store) readHistory(ctx context.Context, op, id string, after int64, limit int) (read, error) {
	h := read{after: after}
	query := &dynamodb.QueryInput{
		TableName: &s.table, ConsistentRead: aws.Bool(true), Limit: aws.Int32(int32(limit + 1)),
		KeyConditionExpression:   aws.String("#pk = :pk AND #sk BETWEEN :first AND :last"),
		ExpressionAttributeNames: map[string]string{"#pk": schema.PartitionKey, "#sk": schema.SortKey},
		ExpressionAttributeValues: item{
			":pk": text(stateOf(id).pk), ":first": text(historyKey(after + 1)), ":last": text(skState),
		},
	}
	for h.size() <= limit {
		page, err := s.api.Query(ctx, query)
		if err != nil {
			return h, classify(op, err)
		}
		for _, it := range page.Items {
			if err := h.add(op, it); err != nil {
				return h, err
			}
		}
		if query.ExclusiveStartKey = page.LastEvaluatedKey; len(page.LastEvaluatedKey) == 0 {
			h.settle(record{})
			return h, nil
		}
	}
	var r record
	if len(h.docs) > 0 { // the page ended before the session's item, which knows what is done
		var err error
		if r, err = s.record(ctx, op, id); err != nil && !fault.Is(err, fault.NotFound) {
			return h, err
		}
	}
	h.settle(r)
	return h, nil
}

func (h *read) size() int { return len(h.docs) + len(h.entries) }

// add takes an item of the partition.
func (h *read) add(op string, it item) error {
	switch {
	case getText(it, schema.SortKey) == skState:
		r, err := decodeRecord(op, it)
		if err != nil {
			return err
		}
		h.whole = true
		h.gap = len(r.tail) > 0 && r.tail[0].Version > h.after+1
		h.settle(r)
		for _, e := range r.tail {
			if e.Version > h.after {
				h.entries, h.after = append(h.entries, e), e.Version
			}
		}
	case getText(it, attrHash) != "": // an entry of schema 1
		e, err := decodeEntry(op, it)
		if err != nil {
			return err
		}
		h.settle(record{}) // before the first block
		h.entries, h.after = append(h.entries, e), e.Version
	default:
		var d blockDoc
		if err := decode(op, it, &d); err != nil {
			return err
		}
		for _, e := range d.Tail {
			if e.Version > h.after { // blocks may overlap: a write that lost its race leaves one
				h.docs, h.after = append(h.docs, e), e.Version
			}
		}
	}
	return nil
}

// settle makes entries of what blocks held.
func (h *read) settle(r record) {
	h.entries = append(h.entries, r.entries(h.docs)...)
	h.docs = nil
}

// Finish implements app.Store.
func (s *Store) Finish(ctx context.Context, id string, version int64) error {
	const op = "ddbstore: finish entry"
	if err := app.CheckID(op, "session id", id); err != nil {
		return err
	}
	r, guessed := s.lately.take(id)
	for range collisions {
		if !guessed || !slices.Contains(r.undone, version) {
			var err error
			if r, err = s.record(ctx, op, id); err != nil {
				return err
			}
		}
		guessed = false
		switch {
		case version < 1 || version > r.state.Version:
			return fault.Newf(op, fault.NotFound, "session %q has no version %d", id, version)
		case version < r.since:
			return s.finishItem(ctx, op, id, version)
		case !slices.Contains(r.undone, version):
			return nil
		}
		next := r.without(version)
		err := s.settled(ctx, op, r, next, version)
		if err == nil {
			s.lately.keep(next)
		}
		if err == nil || !fault.Is(err, fault.Conflict) {
			return err
		}
	}
	return fault.Newf(op, fault.Throttled, "session %q was changed %d times meanwhile", id, collisions)
}

// settled notes that a version's effects are done; Conflict where the session is
// another one by now. What is frozen is not written here, so that it is done too for
// a session in which a newer version of us froze a field that this one does not know.
func (s *Store) settled(ctx context.Context, op string, before, next record, version int64) error {
	attributes := []string{attrVersion, attrUndone, attrSettled}
	set, remove := "SET #settled = :settled", ""
	values := item{":decidedOn": number(before.state.Version), ":undone": text(versions(before.undone)), ":settled": number(version)}
	if len(next.undone) > 0 {
		set, values[":left"] = set+", #undone = :left", text(versions(next.undone))
	} else {
		remove = " REMOVE #undone"
	}
	if next.look != before.look {
		pk, sk := schema.GSI3.PartitionKey.Name, schema.GSI3.SortKey.Name
		attributes = append(attributes, pk, sk)
		if next.look == (hit{}) {
			remove += ", #" + pk + ", #" + sk
		} else {
			set += ", #" + pk + " = :lookpk, #" + sk + " = :looksk"
			values[":lookpk"], values[":looksk"] = text(next.look.at.pk), text(next.look.sort)
		}
	}
	update := set + remove
	return classify(op, s.write(ctx, func() error {
		_, err := s.api.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: &s.table, Key: stateOf(before.state.ID).key(), UpdateExpression: &update,
			ConditionExpression:      aws.String("#version = :decidedOn AND #undone = :undone"),
			ExpressionAttributeNames: names(attributes...), ExpressionAttributeValues: values,
		})
		return err
	}))
}

// finishItem marks an entry that is an item of its own, as in schema 1. One that
// is not listed any more is marked already.
func (s *Store) finishItem(ctx context.Context, op, id string, version int64) error {
	pk, sk := schema.GSI1.PartitionKey.Name, schema.GSI1.SortKey.Name
	err := s.write(ctx, func() error {
		_, err := s.api.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName:                 &s.table,
			Key:                       entryOf(id, version).key(),
			UpdateExpression:          aws.String("SET #done = :true REMOVE #" + pk + ", #" + sk),
			ConditionExpression:       aws.String("attribute_exists(#" + pk + ")"),
			ExpressionAttributeNames:  names(attrDone, pk, sk),
			ExpressionAttributeValues: item{":true": &types.AttributeValueMemberBOOL{Value: true}},
		})
		return err
	})
	if conditionFailed(err) {
		return nil
	}
	return classify(op, err)
}
