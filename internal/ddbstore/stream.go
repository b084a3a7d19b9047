package ddbstore

import (
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore/schema"
)

// EntryOf reads a record of the table's stream. ok is true for a new history
// entry only: what else happens in the table (also an entry becoming done) says
// nothing to do. An error is of kind Unknown: the entry is in the table and
// Unfinished lists it.
func EntryOf(record events.DynamoDBEventRecord) (e app.Entry, ok bool, err error) {
	if record.EventName != string(events.DynamoDBOperationTypeInsert) {
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
		}
	}
	if !strings.HasPrefix(getText(it, schema.PartitionKey), pkSession) || !strings.HasPrefix(getText(it, schema.SortKey), skHistory) {
		return app.Entry{}, false, nil
	}
	e, err = decodeEntry("ddbstore: read stream record", it)
	return e, err == nil, err
}
