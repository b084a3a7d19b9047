package ddbstore

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore/schema"
	"nightshift/internal/session"
)

// A task token that is long stands beside the session and is read once, when the
// session has ended; whatever it looks like, it comes back as it was.
func TestTokensComeBack(t *testing.T) {
	reference, long := refersToToken+digest("x")[:32], strings.Repeat("x", tokenMax+1)
	for _, c := range []struct {
		name, token, said string
		beside            bool
	}{
		{"none", "", "", false},
		{"short", "abc", "abc", false},
		{"as long as may be", long[1:], long[1:], false},
		{"long", long, long, true},
		{"long, of an event before", long, "", true},
		{"a reference of ours, as it was read", reference, "", false},
		{"one that looks like a reference", reference, reference, true},
		{"one that begins like one", refersToToken, refersToToken, true},
	} {
		items, reads := map[address]item{}, 0
		s := on(fake{
			put: func(in *dynamodb.PutItemInput) error {
				items[address{getText(in.Item, schema.PartitionKey), getText(in.Item, schema.SortKey)}] = in.Item
				return nil
			},
			get: func(in *dynamodb.GetItemInput) (*dynamodb.GetItemOutput, error) {
				reads++
				return &dynamodb.GetItemOutput{Item: items[address{getText(in.Key, schema.PartitionKey), getText(in.Key, schema.SortKey)}]}, nil
			},
		})
		x, err := s.withToken(t.Context(), "op", session.Session{ID: "s", Waiter: c.token}, app.Entry{At: base, Event: session.Event{Token: c.said}})
		if err != nil || (len(items) == 1) != c.beside || (x.Waiter != c.token) != c.beside || len(x.Waiter) > tokenMax {
			t.Errorf("%s: %d items, the state has %q, %v", c.name, len(items), x.Waiter, err)
		}
		for status, want := range map[session.Status]string{session.Active: x.Waiter, session.Ending: x.Waiter, session.Ended: c.token} {
			reads, x.Status = 0, status
			got, err := s.token(t.Context(), "op", x)
			looked := status == session.Ended && strings.HasPrefix(x.Waiter, refersToToken)
			if err != nil || got.Waiter != want || (reads == 1) != looked {
				t.Errorf("%s, %s: %q after %d reads, %v; want %q", c.name, status, got.Waiter, reads, err, want)
			}
		}
	}
}
