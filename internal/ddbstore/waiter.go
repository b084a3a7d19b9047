package ddbstore

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore/schema"
	"nightshift/internal/session"
)

// A task token of Step Functions has up to 2 KB, cannot be packed, and is needed
// once, when the session has ended. In the session's item each write would pay for
// it, so a long one is an item of its own and the state has a reference to it.

// tokenMax is how long a token may be, in bytes, to stand in the state.
const tokenMax = 80

// refersToToken begins a reference; a token that begins so is referred to.
const refersToToken = "@"

// tokenKept is for how many days a token is kept: the longest execution is a year.
const tokenKept = 366

// withToken is the state as it is written; the token is written first, so that a
// state never refers to one that is not there.
func (s *Store) withToken(ctx context.Context, op string, x session.Session, e app.Entry) (session.Session, error) {
	named := strings.HasPrefix(x.Waiter, refersToToken)
	if len(x.Waiter) <= tokenMax && !named || named && e.Event.Token == "" {
		return x, nil
	}
	ref := digest(x.Waiter)[:32]
	it := tokenOf(x.ID, ref).key()
	it[attrSchema], it[attrBody] = number(schema.Version), text(x.Waiter)
	it[schema.TTLAttribute] = number(e.At.AddDate(0, 0, tokenKept).Unix())
	x.Waiter = refersToToken + ref
	return x, classify(op, s.putAs(ctx, &types.Put{Item: it}))
}

// token is the state with its token, as far as that can still be needed.
func (s *Store) token(ctx context.Context, op string, x session.Session) (session.Session, error) {
	ref, refers := strings.CutPrefix(x.Waiter, refersToToken)
	if !refers || x.Status != session.Ended {
		return x, nil
	}
	it, err := s.get(ctx, op, tokenOf(x.ID, ref))
	if err == nil && it != nil {
		x.Waiter = getText(it, attrBody)
	}
	return x, err
}
