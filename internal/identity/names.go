package identity

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/identitystore"
	"github.com/aws/aws-sdk-go-v2/service/identitystore/document"
	storetypes "github.com/aws/aws-sdk-go-v2/service/identitystore/types"

	"nightshift/internal/fault"
)

// How long an answer of GetUserId is believed. A name may be given to somebody
// else once its user is gone, so that one that is found is asked for again as
// well; one that is nobody's may be the name of a user whom SCIM brings next.
const (
	namedFor  = 15 * time.Minute
	nobodyFor = 5 * time.Minute
	// namesMax bounds what is remembered; at the limit everything is forgotten and
	// asked for again.
	namesMax = 10_000
)

// called is a remembered answer of GetUserId; the id is "" where the name is
// nobody's.
type called struct {
	id string
	at time.Time
}

func (c called) holds(now time.Time) bool {
	if c.id == "" {
		return now.Sub(c.at) < nobodyFor
	}
	return now.Sub(c.at) < namedFor
}

// UserID gives the id of the user whose user name this is. What is written as an
// id is one and is not asked for. A name is compared as a whole: what follows an
// "@", or stands before a "\", is a part of it, since AWS documents no rule by
// which two names of different domains are one user's. NotFound: the store answers
// that it is nobody's. Any other error leaves it open.
func (i *Identity) UserID(ctx context.Context, name string) (string, error) {
	const op = "identity store: get user id"
	if i.IsID(name) {
		return name, nil
	}
	if i.StoreID == "" {
		return "", fault.Newf(op, fault.Unknown, "no identity store is configured")
	}
	i.mu.Lock()
	known, asked := i.named[name]
	i.mu.Unlock()
	if !asked || !known.holds(i.Now()) {
		if err := i.naming.wait(ctx, i.Settings); err != nil {
			return "", fault.New(op, fault.Unknown, err)
		}
		var err error
		if known, err = i.nameOf(ctx, op, name); err != nil {
			return "", err
		}
		i.mu.Lock()
		if len(i.named) >= namesMax {
			clear(i.named)
		}
		i.named[name] = known
		i.mu.Unlock()
	}
	if known.id == "" {
		return "", fault.Newf(op, fault.NotFound, "the identity store has no user of that name")
	}
	return known.id, nil
}

// nameOf asks the store. Only an answer that the user, not the store, is unknown
// means nobody.
func (i *Identity) nameOf(ctx context.Context, op, name string) (called, error) {
	at := i.Now()
	out, err := i.directory.GetUserId(ctx, &identitystore.GetUserIdInput{
		IdentityStoreId: aws.String(i.StoreID),
		AlternateIdentifier: &storetypes.AlternateIdentifierMemberUniqueAttribute{Value: storetypes.UniqueAttribute{
			AttributePath: aws.String("userName"), AttributeValue: document.NewLazyDocument(name),
		}},
	})
	var missing *storetypes.ResourceNotFoundException
	switch {
	case errors.As(err, &missing) && missing.ResourceType == storetypes.ResourceTypeUser:
		return called{at: at}, nil
	case errors.As(err, &missing):
		return called{}, fault.New(op, fault.Unknown, err) // the store is not there: nobody was looked for
	case err != nil:
		return called{}, classify(op, err)
	case !i.IsID(aws.ToString(out.UserId)):
		return called{}, fault.Newf(op, fault.Unknown, "the answer is not the id of a user")
	}
	return called{id: aws.ToString(out.UserId), at: at}, nil
}
