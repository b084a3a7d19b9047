package ddbstore

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"nightshift/internal/ddbstore/schema"
	"nightshift/internal/fault"
	"nightshift/internal/proof"
)

// anchorsMax is how many anchors one read gives at most.
const anchorsMax = 100

// PutAnchor implements app.Store.
func (s *Store) PutAnchor(ctx context.Context, a proof.Anchor) error {
	const op = "ddbstore: write anchor"
	if a.Seq < 1 {
		return fault.Newf(op, fault.Invalid, "its number is %d; the first is 1", a.Seq)
	}
	at := anchorOf(a.Seq)
	it, err := packed(op, at, anchorToDoc(a))
	if err != nil {
		return err
	}
	it[attrHash] = text(a.Hash)
	if err := fits(op, "the anchor", it); err != nil {
		return err
	}
	err = s.write(ctx, func() error {
		_, err := s.api.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.table, Item: it, ConditionExpression: aws.String(absent)})
		return err
	})
	if !conditionFailed(err) {
		return classify(op, err)
	}
	there, err := s.get(ctx, op, at)
	if err == nil && getText(there, attrHash) != a.Hash {
		err = fault.Newf(op, fault.Conflict, "there is another anchor %d", a.Seq)
	}
	return err
}

// Anchors implements app.Store; limit below 1 or above anchorsMax is anchorsMax.
func (s *Store) Anchors(ctx context.Context, before int64, limit int) ([]proof.Anchor, bool, error) {
	const op = "ddbstore: read anchors"
	if limit < 1 || limit > anchorsMax {
		limit = anchorsMax
	}
	high := skAnchor + highest
	if before > 0 {
		high = anchorKey(before - 1)
	}
	query := &dynamodb.QueryInput{
		TableName:                 &s.table,
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("#pk = :pk AND #sk BETWEEN :low AND :high"),
		ExpressionAttributeNames:  map[string]string{"#pk": schema.PartitionKey, "#sk": schema.SortKey},
		ExpressionAttributeValues: item{":pk": text(pkAnchor), ":low": text(anchorKey(0)), ":high": text(high)},
		ScanIndexForward:          aws.Bool(false),
	}
	var out []proof.Anchor
	more, err := s.upTo(ctx, op, query, limit, func(it item) error {
		var d anchorDoc
		err := decode(op, it, &d)
		out = append(out, d.anchor())
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return out, more, nil
}

// upTo reads up to limit items of a query, whatever the size of its answers, and
// says whether there are more.
func (s *Store) upTo(ctx context.Context, op string, query *dynamodb.QueryInput, limit int, each func(item) error) (more bool, err error) {
	for n := 0; ; { // an answer ends at 1 MB, whatever the limit
		query.Limit = aws.Int32(int32(limit + 1 - n))
		page, err := s.api.Query(ctx, query)
		if err != nil {
			return false, classify(op, err)
		}
		for _, it := range page.Items {
			if n == limit {
				return true, nil
			}
			if err := each(it); err != nil {
				return false, err
			}
			n++
		}
		if len(page.LastEvaluatedKey) == 0 {
			return false, nil
		}
		query.ExclusiveStartKey = page.LastEvaluatedKey
	}
}
