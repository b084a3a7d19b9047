package ddbstore

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nightshift/internal/awsfault"
	"nightshift/internal/fault"
)

// Codes of DynamoDB, for a whole call and for one item of a transaction.
const (
	codeCondition  = "ConditionalCheckFailedException"
	codeCollision  = "TransactionConflictException"
	codeInProgress = "TransactionInProgressException"

	reasonCondition = "ConditionalCheckFailed"
	reasonCollision = "TransactionConflict"
)

// codes are what DynamoDB's own words mean for a whole call.
var codes = awsfault.Codes{
	codeCondition:  fault.Conflict,
	codeCollision:  fault.Throttled,
	codeInProgress: fault.Throttled,
	"ItemCollectionSizeLimitExceededException": fault.Invalid,
	"IdempotentParameterMismatchException":     fault.Invalid,
	"SerializationException":                   fault.Invalid,
}

// classify gives DynamoDB's error its kind; nil stays nil.
func classify(op string, err error) error {
	if err == nil {
		return nil
	}
	var canceled *types.TransactionCanceledException
	if errors.As(err, &canceled) {
		return fault.New(op, canceledKind(canceled), err)
	}
	if awsfault.Code(err) == "ResourceNotFoundException" {
		return fault.Newf(op, fault.Unknown, "the table or its index is not there, or not yet: %w", err)
	}
	return awsfault.Classify(op, err, codes)
}

// canceledKind is the kind of a cancelled transaction none of whose conditions
// failed; a failed condition is Conflict and the caller says which.
func canceledKind(c *types.TransactionCanceledException) fault.Kind {
	kind := fault.Unknown
	for _, r := range c.CancellationReasons {
		switch code := value(r.Code); {
		case code == reasonCondition:
			return fault.Conflict
		case code == reasonCollision, code == "ThrottlingError", code == "ProvisionedThroughputExceeded":
			kind = fault.Throttled
		case code == "AccessDenied":
			kind = fault.Denied
		case code == "ValidationError", code == "ItemCollectionSizeLimitExceeded", code == "DuplicateItem":
			if kind == fault.Unknown {
				kind = fault.Invalid
			}
		}
	}
	return kind
}

// collided says whether a write met another transaction on the same item: not
// an answer about its condition, so it is tried again.
func collided(err error) bool {
	var canceled *types.TransactionCanceledException
	if errors.As(err, &canceled) {
		met := false
		for _, r := range canceled.CancellationReasons {
			switch code := value(r.Code); code {
			case reasonCollision:
				met = true
			case "", "None":
			default:
				return false
			}
		}
		return met
	}
	code := awsfault.Code(err)
	return code == codeCollision || code == codeInProgress
}

// conditionFailed says whether a single write's condition failed.
func conditionFailed(err error) bool {
	return awsfault.Code(err) == codeCondition
}

// write makes a write and repeats it while it collides, a bounded number of
// times. The error is DynamoDB's own, or the context's.
func (s *Store) write(ctx context.Context, call func() error) error {
	for try := 0; ; try++ {
		err := call()
		if err == nil || !collided(err) || try == collisions-1 {
			return err
		}
		if stopped := s.pause(ctx, try); stopped != nil {
			return errors.Join(stopped, err)
		}
	}
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// names is the ExpressionAttributeNames of the attributes: #name for each.
func names(attributes ...string) map[string]string {
	m := make(map[string]string, len(attributes))
	for _, a := range attributes {
		m["#"+a] = a
	}
	return m
}
