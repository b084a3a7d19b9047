package ddbstore

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore/schema"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Claimed implements app.Store.
func (s *Store) Claimed(ctx context.Context, run workload.Ref) (string, error) {
	const op = "ddbstore: read claim"
	if err := app.CheckRef(op, run); err != nil {
		return "", err
	}
	it, err := s.get(ctx, op, claimOf(run))
	if err != nil {
		return "", err
	}
	if it == nil {
		return "", fault.Newf(op, fault.NotFound, "no session owns the run %q of %q", run.ID, run.Endpoint)
	}
	return getText(it, attrSession), ours(op, it)
}

// Reclaim implements app.Store. A claim that to owns already is success, so
// that a repetition is harmless.
func (s *Store) Reclaim(ctx context.Context, run workload.Ref, from, to string) error {
	const op = "ddbstore: move claim"
	if err := app.CheckRef(op, run); err != nil {
		return err
	}
	if err := app.CheckID(op, "from", from); err != nil {
		return err
	}
	if err := app.CheckID(op, "to", to); err != nil {
		return err
	}
	err := s.write(ctx, func() error {
		_, err := s.api.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName:                 &s.table,
			Key:                       claimOf(run).key(),
			UpdateExpression:          aws.String("SET #sessionId = :to"),
			ConditionExpression:       aws.String("#sessionId = :from OR #sessionId = :to"),
			ExpressionAttributeNames:  names(attrSession),
			ExpressionAttributeValues: item{":from": text(from), ":to": text(to)},
		})
		return err
	})
	if conditionFailed(err) {
		return fault.Newf(op, fault.Conflict, "the run %q of %q does not belong to session %q", run.ID, run.Endpoint, from)
	}
	return classify(op, err)
}

// put writes an item whose stored version is version-1.
func (s *Store) put(ctx context.Context, op string, it item, version int64) error {
	if version < 1 {
		return fault.Newf(op, fault.Invalid, "version is %d; the first written is 1", version)
	}
	in := &dynamodb.PutItemInput{TableName: &s.table, Item: it, ConditionExpression: aws.String(absent)}
	if version > 1 {
		in.ConditionExpression = aws.String("#version = :decidedOn")
		in.ExpressionAttributeNames = names(attrVersion)
		in.ExpressionAttributeValues = item{":decidedOn": number(version - 1)}
	}
	return versioned(op, version, s.write(ctx, func() error {
		_, err := s.api.PutItem(ctx, in)
		return err
	}))
}

func versioned(op string, version int64, err error) error {
	if conditionFailed(err) {
		return fault.Newf(op, fault.Conflict, "it is not at version %d any more", version-1)
	}
	return classify(op, err)
}

// User implements app.Store.
func (s *Store) User(ctx context.Context, user string) (session.UserFacts, error) {
	const op = "ddbstore: read user"
	if err := app.CheckID(op, "user", user); err != nil {
		return session.UserFacts{}, err
	}
	it, err := s.get(ctx, op, factsOf(user))
	if err != nil {
		return session.UserFacts{}, err
	}
	if it == nil {
		return session.UserFacts{User: user}, nil
	}
	return decodeUser(op, it)
}

func decodeUser(op string, it item) (session.UserFacts, error) {
	var d userDoc
	err := decode(op, it, &d)
	return d.facts(), err
}

// PutUser implements app.Store.
func (s *Store) PutUser(ctx context.Context, u session.UserFacts) error {
	const op = "ddbstore: write user"
	if err := app.CheckID(op, "user", u.User); err != nil {
		return err
	}
	a := factsOf(u.User)
	it, err := fresh(op, a, userToDoc(u))
	if err != nil {
		return err
	}
	it[attrVersion] = number(u.Version)
	if len(u.Pending) > 0 {
		place(it, schema.GSI1, "PENDING", a.sorted(u.PendingSince))
	}
	if err := fits(op, "facts of user "+u.User, it); err != nil {
		return err
	}
	return s.put(ctx, op, it, u.Version)
}

// Endpoint implements app.Store.
func (s *Store) Endpoint(ctx context.Context, id string) (app.Endpoint, error) {
	const op = "ddbstore: read endpoint"
	if err := app.CheckID(op, "endpoint", id); err != nil {
		return app.Endpoint{}, err
	}
	it, err := s.get(ctx, op, endpointOf(id))
	if err != nil {
		return app.Endpoint{}, err
	}
	if it == nil {
		return app.Endpoint{ID: id}, nil
	}
	return decodeEndpoint(op, it)
}

func decodeEndpoint(op string, it item) (app.Endpoint, error) {
	var d endpointDoc
	err := decode(op, it, &d)
	return d.endpoint(getNumber(it, attrVersion), getNumber(it, attrWake)), err
}

// PutEndpoint implements app.Store. It updates, so that a Wake in between is
// not lost.
func (s *Store) PutEndpoint(ctx context.Context, e app.Endpoint) error {
	const op = "ddbstore: write endpoint"
	if err := app.CheckID(op, "endpoint", e.ID); err != nil {
		return err
	}
	if e.Version < 1 {
		return fault.Newf(op, fault.Invalid, "version is %d; the first written is 1", e.Version)
	}
	a := endpointOf(e.ID)
	it, err := fresh(op, a, endpointToDoc(e))
	if err != nil {
		return err
	}
	place(it, schema.GSI1, "ENDPOINTS", a.sorted(time.Time{}))
	if err := fits(op, "endpoint "+e.ID, it); err != nil {
		return err
	}
	values := item{
		":schema": it[attrSchema], ":doc": it[attrDoc], ":version": number(e.Version), ":none": number(0),
		":gsi1pk": it[schema.GSI1.PartitionKey.Name], ":gsi1sk": it[schema.GSI1.SortKey.Name],
	}
	condition := absent
	if e.Version > 1 {
		condition = "#version = :decidedOn"
		values[":decidedOn"] = number(e.Version - 1)
	}
	return versioned(op, e.Version, s.write(ctx, func() error {
		_, err := s.api.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: &s.table,
			Key:       a.key(),
			UpdateExpression: aws.String("SET #schema = :schema, #doc = :doc, #version = :version, " +
				"#gsi1pk = :gsi1pk, #gsi1sk = :gsi1sk, #wake = if_not_exists(#wake, :none)"),
			ConditionExpression: &condition,
			ExpressionAttributeNames: names(attrSchema, attrDoc, attrVersion, attrWake,
				schema.GSI1.PartitionKey.Name, schema.GSI1.SortKey.Name),
			ExpressionAttributeValues: values,
		})
		return err
	}))
}

// Wake implements app.Store.
func (s *Store) Wake(ctx context.Context, id string) error {
	const op = "ddbstore: wake endpoint"
	if err := app.CheckID(op, "endpoint", id); err != nil {
		return err
	}
	err := s.write(ctx, func() error {
		_, err := s.api.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName:                 &s.table,
			Key:                       endpointOf(id).key(),
			UpdateExpression:          aws.String("ADD #wake :one"),
			ConditionExpression:       aws.String(present),
			ExpressionAttributeNames:  names(attrWake),
			ExpressionAttributeValues: item{":one": number(1)},
		})
		return err
	})
	if conditionFailed(err) {
		return fault.Newf(op, fault.NotFound, "there is no endpoint %q", id)
	}
	return classify(op, err)
}

// Policy implements app.Store.
func (s *Store) Policy(ctx context.Context) (session.Policy, error) {
	const op = "ddbstore: read policy"
	it, err := s.get(ctx, op, policyAddress())
	if err != nil {
		return session.Policy{}, err
	}
	if it == nil {
		return session.DefaultPolicy(), nil
	}
	var d policyDoc
	err = decode(op, it, &d)
	return session.Policy(d), err
}

// PutPolicy implements app.Store.
func (s *Store) PutPolicy(ctx context.Context, p session.Policy) error {
	const op = "ddbstore: write policy"
	it, err := fresh(op, policyAddress(), policyDoc(p))
	if err != nil {
		return err
	}
	it[attrVersion] = number(p.Version)
	return s.put(ctx, op, it, p.Version)
}

// expiry is when the table may forget what happened at a moment, in Unix
// seconds, as TTL wants it.
func expiry(at time.Time) types.AttributeValue {
	return number(at.AddDate(0, 0, schema.Retention).Unix())
}

// Park implements app.Store; a body beyond bodyMax is cut. It is kept for
// schema.Retention days. A call repeated by the SDK because its answer was lost
// answers that the event was there.
func (s *Store) Park(ctx context.Context, p app.Parked) (bool, error) {
	const op = "ddbstore: park event"
	if err := app.CheckID(op, "event id", p.ID); err != nil {
		return false, err
	}
	a := parkedOf(p.ID)
	it, err := fresh(op, a, parkedDoc{ID: p.ID, Source: p.Source, Reason: p.Reason, At: p.At})
	if err != nil {
		return false, err
	}
	it[attrBody] = &types.AttributeValueMemberB{Value: []byte(p.Body[:min(len(p.Body), bodyMax)])}
	it[schema.TTLAttribute] = expiry(p.At)
	place(it, schema.GSI1, "PARKED", a.sorted(p.At))
	if err := fits(op, "parked event "+p.ID, it); err != nil {
		return false, err
	}
	err = s.write(ctx, func() error {
		_, err := s.api.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.table, Item: it, ConditionExpression: aws.String(absent)})
		return err
	})
	if conditionFailed(err) {
		return false, nil
	}
	return err == nil, classify(op, err)
}

// ParkedEvent implements app.Store.
func (s *Store) ParkedEvent(ctx context.Context, id string) (app.Parked, error) {
	const op = "ddbstore: read parked event"
	if err := app.CheckID(op, "event id", id); err != nil {
		return app.Parked{}, err
	}
	it, err := s.get(ctx, op, parkedOf(id))
	if err != nil {
		return app.Parked{}, err
	}
	if it == nil {
		return app.Parked{}, fault.Newf(op, fault.NotFound, "no event %q is parked", id)
	}
	return decodeParked(op, it)
}

func decodeParked(op string, it item) (app.Parked, error) {
	var d parkedDoc
	err := decode(op, it, &d)
	return app.Parked{ID: d.ID, Source: d.Source, Reason: d.Reason, Body: string(getBytes(it, attrBody)), At: d.At}, err
}

// Sample implements app.Store; a body beyond bodyMax is cut. It is kept for
// schema.Retention days after the newest. The SDK's own repetition of a call
// whose answer was lost counts twice: the number is for people.
func (s *Store) Sample(ctx context.Context, kind string, body []byte, at time.Time) (int64, error) {
	const op = "ddbstore: sample event"
	if err := app.CheckID(op, "kind", kind); err != nil {
		return 0, err
	}
	listed := schema.GSI1
	kept := append([]byte{}, body[:min(len(body), bodyMax)]...)
	var out *dynamodb.UpdateItemOutput
	err := s.write(ctx, func() (err error) {
		out, err = s.api.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: &s.table,
			Key:       sampleOf(kind).key(),
			UpdateExpression: aws.String("SET #schema = :schema, #kind = :kind, #body = if_not_exists(#body, :body), " +
				"#expiresAt = :expiry, #" + listed.PartitionKey.Name + " = :list, #" + listed.SortKey.Name + " = :place ADD #count :one"),
			ExpressionAttributeNames: names(attrSchema, attrKind, attrBody, schema.TTLAttribute, attrCount, listed.PartitionKey.Name, listed.SortKey.Name),
			ExpressionAttributeValues: item{
				":schema": number(schema.Version), ":kind": text(kind), ":body": &types.AttributeValueMemberB{Value: kept},
				":expiry": expiry(at), ":one": number(1), ":list": text(sampledList), ":place": text(digest(kind)),
			},
			ReturnValues: types.ReturnValueUpdatedNew,
		})
		return err
	})
	if err != nil {
		return 0, classify(op, err)
	}
	return getNumber(out.Attributes, attrCount), nil
}

// sampledList is the partition of gsi1 that has a place for each sample.
const sampledList = "SAMPLED"

func decodeSample(op string, it item) (app.Sampled, error) {
	return app.Sampled{Kind: getText(it, attrKind), Count: getNumber(it, attrCount), Body: string(getBytes(it, attrBody))}, ours(op, it)
}

// SampleBody is the first body kept of a kind of event; NotFound where none is.
func (s *Store) SampleBody(ctx context.Context, kind string) ([]byte, error) {
	const op = "ddbstore: read sample"
	if err := app.CheckID(op, "kind", kind); err != nil {
		return nil, err
	}
	it, err := s.get(ctx, op, sampleOf(kind))
	if err != nil {
		return nil, err
	}
	if it == nil {
		return nil, fault.Newf(op, fault.NotFound, "no event of kind %q was sampled", kind)
	}
	return getBytes(it, attrBody), nil
}

// Mark implements app.Store.
func (s *Store) Mark(ctx context.Context, name string) (time.Time, error) {
	const op = "ddbstore: read mark"
	if err := app.CheckID(op, "name", name); err != nil {
		return time.Time{}, err
	}
	it, err := s.get(ctx, op, markOf(name))
	if err != nil || it == nil {
		return time.Time{}, err
	}
	if err := ours(op, it); err != nil {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339Nano, getText(it, attrAt))
	if err != nil {
		return time.Time{}, fault.Newf(op, fault.Unknown, "mark %q cannot be read: %w", name, err)
	}
	return at, nil
}

// SetMark implements app.Store.
func (s *Store) SetMark(ctx context.Context, name string, at time.Time) error {
	const op = "ddbstore: set mark"
	if err := app.CheckID(op, "name", name); err != nil {
		return err
	}
	err := s.write(ctx, func() error {
		_, err := s.api.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName:                 &s.table,
			Key:                       markOf(name).key(),
			UpdateExpression:          aws.String("SET #schema = :schema, #at = :at"),
			ConditionExpression:       aws.String(absent + " OR #at < :at"),
			ExpressionAttributeNames:  names(attrSchema, attrAt),
			ExpressionAttributeValues: item{":schema": number(schema.Version), ":at": text(stamp(at))},
		})
		return err
	})
	if conditionFailed(err) {
		return nil
	}
	return classify(op, err)
}
