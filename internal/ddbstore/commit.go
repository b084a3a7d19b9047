package ddbstore

import (
	"context"
	"errors"

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
	writeEntry
	opensUser
	commitsClaim = opensUser
	opensClaim   = opensUser + 1
)

// Open implements app.Store. A repetition with the same content (the entry's
// hash) is success.
func (s *Store) Open(ctx context.Context, o app.Opening) error {
	const op = "ddbstore: open session"
	if err := checkWrite(op, o.Session, o.Entry); err != nil {
		return err
	}
	if o.Session.Version != 1 {
		return fault.Newf(op, fault.Invalid, "version is %d; an opening makes version 1", o.Session.Version)
	}
	writes, err := pair(op, o.Session, o.Entry)
	if err != nil {
		return err
	}
	writes[writeState].Put.ConditionExpression = aws.String(absent)
	writes = append(writes, unchangedUser(o.Session.User, o.UserVersion))
	if o.Session.Run.ID != "" {
		claim, err := claimWrite(op, o.Session)
		if err != nil {
			return err
		}
		writes = append(writes, claim)
	}
	failed, err := s.transact(ctx, op, writes)
	if len(failed) == 0 {
		return err
	}
	return s.whyNotOpened(ctx, op, o, failed)
}

// Commit implements app.Store. A repetition with the same content (the entry's
// hash) is success.
func (s *Store) Commit(ctx context.Context, c app.Commit) error {
	const op = "ddbstore: commit session"
	if err := checkWrite(op, c.Next, c.Entry); err != nil {
		return err
	}
	if c.Next.Version < 2 {
		return fault.Newf(op, fault.Invalid, "version is %d; a commit makes version 2 or later", c.Next.Version)
	}
	if c.Claim && c.Next.Run.ID == "" {
		return fault.Newf(op, fault.Invalid, "run id is empty; there is nothing to claim")
	}
	writes, err := pair(op, c.Next, c.Entry)
	if err != nil {
		return err
	}
	state := writes[writeState].Put
	state.ConditionExpression = aws.String("#version = :decidedOn AND #frozen = :frozen")
	state.ExpressionAttributeNames = names(attrVersion, attrFrozen)
	state.ExpressionAttributeValues = item{":decidedOn": number(c.Next.Version - 1), ":frozen": state.Item[attrFrozen]}
	if c.Claim {
		claim, err := claimWrite(op, c.Next)
		if err != nil {
			return err
		}
		writes = append(writes, claim)
	}
	failed, err := s.transact(ctx, op, writes)
	if len(failed) == 0 {
		return err
	}
	return s.whyNotCommitted(ctx, op, c, failed)
}

// pair is the two writes that every change of a session is made of.
func pair(op string, state session.Session, entry app.Entry) ([]types.TransactWriteItem, error) {
	st, err := stateItem(op, state)
	if err != nil {
		return nil, err
	}
	en, err := entryItem(op, entry)
	if err != nil {
		return nil, err
	}
	return []types.TransactWriteItem{
		writeState: {Put: &types.Put{Item: st}},
		writeEntry: {Put: &types.Put{Item: en, ConditionExpression: aws.String(absent)}},
	}, nil
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
	conflict := &app.OpenConflict{Exists: failed[writeState] || failed[writeEntry], User: failed[opensUser]}
	if conflict.Exists {
		repeated, err := s.repeats(ctx, op, o.Entry)
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

func (s *Store) whyNotCommitted(ctx context.Context, op string, c app.Commit, failed map[int]bool) error {
	id, run := c.Next.ID, c.Next.Run
	if !failed[writeState] && !failed[writeEntry] {
		return fault.Newf(op, fault.Conflict, "the run %q of %q belongs to another session than %q", run.ID, run.Endpoint, id)
	}
	repeated, err := s.repeats(ctx, op, c.Entry)
	if err != nil || repeated {
		return err
	}
	stored, err := s.Session(ctx, id)
	if err != nil {
		return err
	}
	if stored.Version == c.Next.Version-1 {
		if field := frozenOf(stored).thawed(frozenOf(c.Next)); field != "" {
			return fault.Newf(op, fault.Invalid, "session %q: %s is frozen at opening and differs", id, field)
		}
		// A newer version of us froze a field that this one does not know.
		return fault.Newf(op, fault.Unknown, "session %q: what is frozen differs in a field unknown to this version", id)
	}
	return fault.Newf(op, fault.Conflict, "session %q is at version %d, not at %d", id, stored.Version, c.Next.Version-1)
}

// repeats says whether the entry was written before, as it is: then a write
// that failed was a repetition of one whose answer was lost.
func (s *Store) repeats(ctx context.Context, op string, e app.Entry) (bool, error) {
	it, err := s.get(ctx, op, entryOf(e.SessionID, e.Version))
	if err != nil {
		return false, err
	}
	return it != nil && getText(it, attrHash) == e.Hash, nil
}
