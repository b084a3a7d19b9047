package ddbstore

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore/schema"
	"nightshift/internal/fault"
	"nightshift/internal/session"
)

const absent = "attribute_not_exists(" + schema.PartitionKey + ")"

// Places of the items in our transactions; a cancellation's reasons have the
// same order. The claim is last because not every transaction has one.
const (
	writeState = iota
	opensUser
	commitsClaim = opensUser
	opensClaim   = opensUser + 1
)

// Open implements app.Store. A repetition with the same content (the entry's
// hash) is success.
func (s *Store) Open(ctx context.Context, o app.Opening) error {
	const op = "ddbstore: open session"
	if err := app.CheckWrite(op, &o.Session, &o.Entry); err != nil {
		return err
	}
	if o.Session.Version != 1 {
		return fault.Newf(op, fault.Invalid, "version is %d; an opening makes version 1", o.Session.Version)
	}
	err := keepsHash(op, o.Entry)
	if err == nil {
		o.Session, err = s.withToken(ctx, op, o.Session, o.Entry)
	}
	if err != nil {
		return err
	}
	r := record{}.next(o.Session, o.Entry)
	it, err := r.item(op)
	if err != nil {
		return err
	}
	writes := []types.TransactWriteItem{
		writeState: {Put: &types.Put{Item: it, ConditionExpression: aws.String(absent)}},
		opensUser:  unchangedUser(o.Session.User, o.UserVersion),
	}
	if o.Session.Run.ID != "" {
		claim, err := claimWrite(op, o.Session)
		if err != nil {
			return err
		}
		writes = append(writes, claim)
	}
	failed, err := s.transact(ctx, op, writes)
	switch {
	case len(failed) > 0:
		return s.whyNotOpened(ctx, op, o, failed)
	case err == nil:
		s.lately.keep(r)
	}
	return err
}

// Commit implements app.Store. A repetition with the same content (the entry's
// hash) is success.
func (s *Store) Commit(ctx context.Context, c app.Commit) error {
	const op = "ddbstore: commit session"
	if err := app.CheckWrite(op, &c.Next, &c.Entry); err != nil {
		return err
	}
	if c.Next.Version < 2 {
		return fault.Newf(op, fault.Invalid, "version is %d; a commit makes version 2 or later", c.Next.Version)
	}
	if c.Claim && c.Next.Run.ID == "" {
		return fault.Newf(op, fault.Invalid, "run id is empty; there is nothing to claim")
	}
	err := keepsHash(op, c.Entry)
	if err == nil {
		c.Next, err = s.withToken(ctx, op, c.Next, c.Entry)
	}
	if err != nil {
		return err
	}
	before, _ := s.lately.take(c.Next.ID)
	if !follows(before, c) {
		if before, err = s.record(ctx, op, c.Next.ID); err != nil {
			return err
		}
	}
	for range collisions {
		if before.state.Version != c.Next.Version-1 {
			return s.overtaken(ctx, op, before, c)
		}
		failed, err := s.change(ctx, op, before, c)
		switch {
		case failed[commitsClaim] && !failed[writeState]:
			return fault.Newf(op, fault.Conflict, "the run %q of %q belongs to another session than %q", c.Next.Run.ID, c.Next.Run.Endpoint, c.Next.ID)
		case !failed[writeState]:
			return err
		}
		now, err := s.record(ctx, op, c.Next.ID)
		if err != nil {
			return err
		}
		if now.state.Version == before.state.Version && slices.Equal(now.undone, before.undone) {
			// A newer version of us froze a field that this one does not know.
			return fault.Newf(op, fault.Unknown, "session %q: what is frozen differs in a field unknown to this version", c.Next.ID)
		}
		before = now // its effects were done meanwhile, or it was overtaken
	}
	return fault.Newf(op, fault.Throttled, "session %q was changed %d times meanwhile", c.Next.ID, collisions)
}

// follows says whether a commit can be of the version after a guessed one: the
// entry names the entry before it by its hash.
func follows(before record, c app.Commit) bool {
	n := len(before.tail)
	return before.state.Version == c.Next.Version-1 && n > 0 && before.tail[n-1].Hash == c.Entry.Previous
}

// overtaken says what became of a commit that is not of the next version: it was
// made before, or another one was.
func (s *Store) overtaken(ctx context.Context, op string, stored record, c app.Commit) error {
	repeated, err := s.repeats(ctx, op, stored, c.Entry)
	if err != nil || repeated {
		return err
	}
	return fault.Newf(op, fault.Conflict, "session %q is at version %d, not at %d", c.Next.ID, stored.state.Version, c.Next.Version-1)
}

// change writes the version after before, if that is still what is stored; failed
// has the places of the items whose condition failed. Entries that would make the
// item dearer are moved out of it first. Nothing depends on that: what is moved is
// committed already, and stands in both places until the item is written.
func (s *Store) change(ctx context.Context, op string, before record, c app.Commit) (failed map[int]bool, err error) {
	if field := frozenOf(before.state).thawed(frozenOf(c.Next)); field != "" {
		return nil, fault.Newf(op, fault.Invalid, "session %q: %s is frozen at opening and differs", c.Next.ID, field)
	}
	next, it, moved, err := before.next(c.Next, c.Entry).shortened(op)
	if err != nil {
		return nil, err
	}
	if moved != nil {
		if err := s.putAs(ctx, &types.Put{Item: moved}); err != nil {
			return nil, classify(op, err)
		}
	}
	condition, values, err := unchanged(op, before, c.Next)
	if err != nil {
		return nil, err
	}
	put := &types.Put{Item: it, ConditionExpression: &condition, ExpressionAttributeNames: names(attrVersion, attrFrozen, attrUndone), ExpressionAttributeValues: values}
	if c.Claim {
		claim, err := claimWrite(op, c.Next)
		if err != nil {
			return nil, err
		}
		failed, err = s.transact(ctx, op, []types.TransactWriteItem{writeState: {Put: put}, commitsClaim: claim})
		if err != nil {
			return failed, err
		}
	} else if err := s.putAs(ctx, put); conditionFailed(err) {
		return map[int]bool{writeState: true}, classify(op, err)
	} else if err != nil {
		return nil, classify(op, err)
	}
	s.lately.keep(next)
	return nil, nil
}

func (s *Store) putAs(ctx context.Context, p *types.Put) error {
	return s.write(ctx, func() error {
		_, err := s.api.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: &s.table, Item: p.Item, ConditionExpression: p.ConditionExpression,
			ExpressionAttributeNames: p.ExpressionAttributeNames, ExpressionAttributeValues: p.ExpressionAttributeValues,
		})
		return err
	})
}

// unchanged is the condition that a session is as it was read, and that what is
// frozen in it is so in the next version too.
func unchanged(op string, before record, next session.Session) (string, item, error) {
	now, then, err := frozenMarks(op, next)
	if err != nil {
		return "", nil, err
	}
	values := item{":decidedOn": number(before.state.Version), ":frozen": now, ":frozenThen": then}
	condition := "#version = :decidedOn AND #frozen IN (:frozen, :frozenThen) AND attribute_not_exists(#undone)"
	if len(before.undone) > 0 {
		condition = "#version = :decidedOn AND #frozen IN (:frozen, :frozenThen) AND #undone = :undone"
		values[":undone"] = text(versions(before.undone))
	}
	return condition, values, nil
}

// unchangedUser is the condition that the user's facts are those decided on.
func unchangedUser(user string, version int64) types.TransactWriteItem {
	check := &types.ConditionCheck{Key: factsOf(user).key(), ConditionExpression: aws.String(absent)}
	if version != 0 {
		check.ConditionExpression = aws.String("#version = :decidedOn")
		check.ExpressionAttributeNames = names(attrVersion)
		check.ExpressionAttributeValues = item{":decidedOn": number(version)}
	}
	return types.TransactWriteItem{ConditionCheck: check}
}

// claimWrite claims the session's run; a claim that is its own already (a
// zombie's, moved by Reclaim before) stands.
func claimWrite(op string, s session.Session) (types.TransactWriteItem, error) {
	it, err := claimItem(op, s.Run.Ref(), s.ID)
	return types.TransactWriteItem{Put: &types.Put{
		Item:                      it,
		ConditionExpression:       aws.String(absent + " OR #sessionId = :owner"),
		ExpressionAttributeNames:  names(attrSession),
		ExpressionAttributeValues: item{":owner": text(s.ID)},
	}}, err
}

// transact makes one transaction. failed has the places of the items whose
// condition failed; where it is empty, err is the whole answer. The SDK gives
// each call a token, so that its own repetition of an applied one is success.
func (s *Store) transact(ctx context.Context, op string, writes []types.TransactWriteItem) (failed map[int]bool, err error) {
	for i := range writes {
		switch w := &writes[i]; {
		case w.Put != nil:
			w.Put.TableName = &s.table
		case w.ConditionCheck != nil:
			w.ConditionCheck.TableName = &s.table
		}
	}
	err = s.write(ctx, func() error {
		_, err := s.api.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
		return err
	})
	var canceled *types.TransactionCanceledException
	if errors.As(err, &canceled) {
		failed = map[int]bool{}
		for i, r := range canceled.CancellationReasons {
			if value(r.Code) == reasonCondition {
				failed[i] = true
			}
		}
	}
	return failed, classify(op, err)
}

func (s *Store) whyNotOpened(ctx context.Context, op string, o app.Opening, failed map[int]bool) error {
	conflict := &app.OpenConflict{Exists: failed[writeState], User: failed[opensUser]}
	if conflict.Exists {
		stored, err := s.record(ctx, op, o.Session.ID)
		if err != nil {
			return err
		}
		repeated, err := s.repeats(ctx, op, stored, o.Entry)
		if err != nil || repeated {
			return err
		}
	}
	if failed[opensClaim] {
		owner, err := s.Claimed(ctx, o.Session.Run.Ref())
		if err != nil {
			return err
		}
		if owner != o.Session.ID {
			conflict.Claimed = owner
		}
	}
	if *conflict == (app.OpenConflict{}) {
		return fault.Newf(op, fault.Throttled, "the run's claim moved to session %q meanwhile: open it again", o.Session.ID)
	}
	return conflict
}

// repeats says whether the entry was written before, as it is: then a write
// that failed was a repetition of one whose answer was lost.
func (s *Store) repeats(ctx context.Context, op string, stored record, e app.Entry) (bool, error) {
	there, _, err := s.history(ctx, stored, e.Version-1, 1)
	return len(there) == 1 && there[0].Version == e.Version && there[0].Hash == e.Hash, err
}
