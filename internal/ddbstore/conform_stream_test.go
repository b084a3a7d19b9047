//go:build conform

package ddbstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore"
	"nightshift/internal/proof"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// streamMax bounds the wait for the stream to bring what was written.
const streamMax = 30 * time.Second

// conformStream writes a session's life and reads it back as run-effects is
// given it: each entry once, in order, as it was, with a proof that holds; and
// nothing else that moves in the table says that there is something to do.
func conformStream(t *testing.T, e engine) {
	ctx := t.Context()
	s := fresh(t, e.db, "stream")
	written := life(t, s)
	_, parked := s.Park(ctx, app.Parked{ID: "e", Body: "\xff", At: base})
	for _, err := range []error{
		parked,
		s.Finish(ctx, "s", 1), // changes the session: no new entry
		s.PutUser(ctx, session.UserFacts{User: "ana", Version: 1}),
		s.PutEndpoint(ctx, app.Endpoint{ID: place, Version: 1}),
		s.SetMark(ctx, "replay", base),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	// The session's item each time, a claim with the second version; then the five
	// writes above.
	records := tail(t, e, "stream", len(written)+1+5)
	var got []app.Entry
	counts := map[string]int{}
	for _, r := range records {
		counts[r.EventName]++
		entry, ok, err := ddbstore.EntryOf(r)
		if err != nil {
			t.Fatalf("record %s: %v", r.EventID, err)
		}
		if ok {
			got = append(got, entry)
		}
	}
	if !reflect.DeepEqual(got, written) {
		t.Fatalf("the stream brings\n%+v\nwritten were\n%+v", got, written)
	}
	previous := proof.Genesis
	for _, entry := range got {
		if hash, err := entry.Seal(); err != nil || hash != entry.Hash || entry.Previous != previous {
			t.Errorf("entry %d does not prove itself: %v", entry.Version, err)
		}
		previous = entry.Hash
	}
	// Versions 2 and 3 of the session, and that effects are done, are changes.
	if want := map[string]int{"INSERT": 6, "MODIFY": 3}; !reflect.DeepEqual(counts, want) {
		t.Errorf("records: %v, want %v", counts, want)
	}
}

const place = "emr-containers/123456789012/us-east-1"

var base = time.Date(2026, 3, 4, 5, 6, 7, 123456789, time.UTC)

// small is a session as it is opened, without a run.
func small(id string) session.Session {
	return session.Session{
		ID: id, Version: 1, User: "ana", Status: session.Active, Mode: session.Background, Origin: session.Started,
		Run:      workload.Run{Engine: workload.EMRContainers, Endpoint: place},
		OpenedAt: base, RecordedAt: base, Policy: frozen(), Facts: session.Facts{IdentityPropagation: session.On},
		Why: []string{"the switches are on"}, Deadline: base.Add(48 * time.Hour), DeadlineSource: session.SourceBackground,
	}
}

// next is the session's next version.
func next(s session.Session, edit func(*session.Session)) session.Session {
	s.Version++
	edit(&s)
	return s
}

// life is a session's: opened, its run known, ended. It answers the entries.
func life(t *testing.T, s *ddbstore.Store) []app.Entry {
	t.Helper()
	born := small("s")
	first := sealed(t, born, proof.Genesis, session.Event{ID: "e1", Kind: session.Tick, At: base, Known: base},
		session.Effect{Kind: session.Watch}, session.Effect{Kind: session.Announce})
	if err := s.Open(t.Context(), app.Opening{Session: born, Entry: first}); err != nil {
		t.Fatal(err)
	}
	running := next(born, func(s *session.Session) { s.Run.ID = "run <&> \u2028 é" }) // what JSON escapes
	second := sealed(t, running, first.Hash, session.Event{ID: "e2", Kind: session.Tick, At: base, Known: base, Detail: running.Run.ID})
	if err := s.Commit(t.Context(), app.Commit{Next: running, Entry: second, Claim: true}); err != nil {
		t.Fatal(err)
	}
	over := next(running, func(s *session.Session) {
		s.Status, s.End = session.Ended, session.End{Cause: session.CauseFinished, Confirmed: base.Add(time.Minute)}
	})
	third := sealed(t, over, second.Hash, session.Event{ID: "e3", Kind: session.Tick, At: base}, session.Effect{Kind: session.Announce, Text: "over"})
	if err := s.Commit(t.Context(), app.Commit{Next: over, Entry: third}); err != nil {
		t.Fatal(err)
	}
	return []app.Entry{first, second, third}
}

// sealed is the entry of a session's version, as the app makes it.
func sealed(t *testing.T, s session.Session, previous string, e session.Event, effects ...session.Effect) app.Entry {
	t.Helper()
	entry := app.Entry{
		SessionID: s.ID, Version: s.Version, At: base.Add(time.Duration(s.Version) * time.Second), Event: e, To: s.Status, Mode: s.Mode,
		Deadline: s.Deadline, Source: s.DeadlineSource, Cause: s.End.Cause, Effects: effects, Previous: previous,
	}
	if s.Version > 1 {
		entry.From = session.Active // every one of these tests' is until it ends
	}
	hash, err := entry.Seal()
	if err != nil {
		t.Fatal(err)
	}
	entry.Hash = hash
	return entry
}

// tail reads the table's stream from its beginning until it has brought that
// many records, as Lambda's poller does.
func tail(t *testing.T, e engine, table string, want int) []events.DynamoDBEventRecord {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), streamMax)
	defer cancel()
	described, err := e.db.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		t.Fatal(err)
	}
	arn := described.Table.LatestStreamArn
	stream, err := e.streams.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: arn})
	if err != nil {
		t.Fatal(err)
	}
	if view := stream.StreamDescription.StreamViewType; view != types.StreamViewTypeNewImage {
		t.Errorf("the stream shows %s", view)
	}
	var out []events.DynamoDBEventRecord
	for _, shard := range stream.StreamDescription.Shards {
		at, err := e.streams.GetShardIterator(ctx, &dynamodbstreams.GetShardIteratorInput{
			StreamArn: arn, ShardId: shard.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
		})
		if err != nil {
			t.Fatal(err)
		}
		for next := at.ShardIterator; next != nil && len(out) < want; {
			got, err := e.streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: next})
			if err != nil {
				t.Fatalf("%d of %d records read: %v", len(out), want, err)
			}
			for _, r := range got.Records {
				out = append(out, delivered(t, r))
			}
			next = got.NextShardIterator
		}
	}
	if len(out) != want {
		t.Fatalf("the stream brings %d records, want %d", len(out), want)
	}
	return out
}

// delivered is a record as Lambda hands it over: as JSON, which the runtime
// decodes.
func delivered(t *testing.T, r types.Record) events.DynamoDBEventRecord {
	t.Helper()
	image := map[string]any{}
	for name, v := range r.Dynamodb.NewImage {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			image[name] = map[string]any{"S": v.Value}
		case *types.AttributeValueMemberN:
			image[name] = map[string]any{"N": v.Value}
		case *types.AttributeValueMemberBOOL:
			image[name] = map[string]any{"BOOL": v.Value}
		case *types.AttributeValueMemberB:
			image[name] = map[string]any{"B": v.Value} // as base64
		default:
			t.Fatalf("attribute %s is of type %T, which the table has none of", name, v)
		}
	}
	body, err := json.Marshal(map[string]any{
		"eventID": aws.ToString(r.EventID), "eventName": string(r.EventName), "eventSource": "aws:dynamodb",
		"dynamodb": map[string]any{"NewImage": image, "SequenceNumber": aws.ToString(r.Dynamodb.SequenceNumber), "StreamViewType": string(r.Dynamodb.StreamViewType)},
	})
	if err != nil {
		t.Fatal(err)
	}
	var out events.DynamoDBEventRecord
	if err := json.Unmarshal(body, &out); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", body, err))
	}
	return out
}

// frozen is the default policy as a session has it: an opening leaves the cost
// alert out.
func frozen() session.Policy {
	p := session.DefaultPolicy()
	p.CostAlert = 0
	return p
}
