package ddbstore

import (
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore/schema"
)

// EntryOf reads a record of the table's stream. ok is true for a new history
// entry only: what else happens in the table (also effects becoming done, and
// entries being moved) says nothing to do. An error is of kind Unknown: the entry
// is in the table and Unfinished lists it.
func EntryOf(record events.DynamoDBEventRecord) (e app.Entry, ok bool, err error) {
	if record.EventName != string(events.DynamoDBOperationTypeInsert) && record.EventName != string(events.DynamoDBOperationTypeModify) {
		return app.Entry{}, false, nil
	}
	it := item{}
	for name, v := range record.Change.NewImage {
		// The accessors panic on another type than theirs.
		switch v.DataType() {
		case events.DataTypeString:
			it[name] = text(v.String())
		case events.DataTypeNumber:
			it[name] = &types.AttributeValueMemberN{Value: v.Number()}
		case events.DataTypeBoolean:
			it[name] = &types.AttributeValueMemberBOOL{Value: v.Boolean()}
		case events.DataTypeBinary:
			it[name] = &types.AttributeValueMemberB{Value: v.Binary()}
		}
	}
	const op = "ddbstore: read stream record"
	sk := getText(it, schema.SortKey)
	switch {
	case !strings.HasPrefix(getText(it, schema.PartitionKey), pkSession):
	case sk == skState && getNumber(it, attrSchema) != schema.Plain && it[attrSettled] == nil:
		r, err := decodeRecord(op, it)
		if n := len(r.tail); err == nil && n > 0 {
			return r.tail[n-1], true, nil
		}
		return app.Entry{}, false, err
	case strings.HasPrefix(sk, skHistory) && getText(it, attrHash) != "" && record.EventName == string(events.DynamoDBOperationTypeInsert):
		e, err = decodeEntry(op, it) // of schema 1
		return e, err == nil, err
	}
	return app.Entry{}, false, nil
}
