package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/ddbstore"
	"nightshift/internal/ddbstore/schema"
)

// reachMax bounds how long a DynamoDB engine may take to answer at first.
const reachMax = 10 * time.Second

// markClock is the moment up to which the clock of a local system had come.
const markClock = "local-clock"

var tableForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)

// OpenRecords gives the store of a table in a DynamoDB engine (dynoxide,
// DynamoDB Local) at a URL, and makes the table where there is none. The error
// is one sentence: the URL or the name is not allowed, nothing answers there as
// DynamoDB does, or the table is not one of ours.
func OpenRecords(ctx context.Context, at, table string) (app.Store, error) {
	u, err := url.Parse(at)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("%q is not allowed; it must be the URL of a DynamoDB engine, such as http://127.0.0.1:8000", at)
	}
	if !tableForm.MatchString(table) {
		return nil, fmt.Errorf("the table name %q is not allowed; it must be 3 to 255 letters, digits, '_', '-' and '.'", table)
	}
	client := dynamodb.NewFromConfig(aws.Config{
		Region: Region, Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""), BaseEndpoint: aws.String(at),
	})
	reach, cancel := context.WithTimeout(ctx, reachMax)
	defer cancel()
	found, err := client.DescribeTable(reach, &dynamodb.DescribeTableInput{TableName: &table}, func(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} })
	var missing *types.ResourceNotFoundException
	switch {
	case errors.As(err, &missing):
		err = ddbstore.Create(ctx, client, table)
	case err != nil:
		return nil, fmt.Errorf("no DynamoDB engine answers at %s: %w", at, plain(err))
	case !ours(found.Table):
		return nil, fmt.Errorf("the table %q at %s is not one of Nightshift's: its keys or indexes are others; name another table", table, at)
	}
	if err != nil {
		return nil, fmt.Errorf("the table %q could not be made at %s: %w", table, at, err)
	}
	return ddbstore.New(client, table), nil
}

// plain is the part of a call's error that tells a person something.
func plain(err error) error {
	var network *net.OpError
	var api smithy.APIError
	switch {
	case errors.As(err, &network):
		return network
	case errors.As(err, &api) && api.ErrorCode() != "":
		return api
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("nothing within %s", reachMax)
	}
	return err
}

// ours says whether a table has our keys and indexes.
func ours(t *types.TableDescription) bool {
	want := schema.Definition()
	if t == nil || len(t.KeySchema) != 2 || aws.ToString(t.KeySchema[0].AttributeName) != want.PartitionKey.Name || aws.ToString(t.KeySchema[1].AttributeName) != want.SortKey.Name {
		return false
	}
	has := map[string]bool{}
	for _, i := range t.GlobalSecondaryIndexes {
		has[aws.ToString(i.IndexName)] = true
	}
	for _, i := range want.Indexes {
		if !has[i.Name] {
			return false
		}
	}
	return true
}

// Resume is when a system on these records may begin: now, or just after the
// moment that an earlier one may have recorded last. Virtual time runs ahead of
// the real one, and what is recorded must not lie in the future.
func Resume(ctx context.Context, records app.Store, now time.Time) (time.Time, error) {
	mark, err := records.Mark(ctx, markClock)
	if err != nil {
		return time.Time{}, fmt.Errorf("the records can not be read: %w", err)
	}
	// The mark is set once a sweep: whatever was recorded after it was recorded
	// before the next one was due.
	if least := mark.Add(cadence.Sweep + time.Second); !mark.IsZero() && least.After(now) {
		return least, nil
	}
	return now, nil
}

// streaming hands each entry that was committed to the process's own stream, in
// place of the table's. An entry that a crash lost between the two is still in
// the table, not Done, and the sweep carries its effects out.
type streaming struct {
	app.Store
	streamed func(app.Entry)
}

// Open opens, then streams.
func (s streaming) Open(ctx context.Context, o app.Opening) error {
	err := s.Store.Open(ctx, o)
	if err == nil {
		s.streamed(o.Entry)
	}
	return err
}

// Commit commits, then streams.
func (s streaming) Commit(ctx context.Context, c app.Commit) error {
	err := s.Store.Commit(ctx, c)
	if err == nil {
		s.streamed(c.Entry)
	}
	return err
}

// keepTime notes how far the clock has come, so that a later system on the same
// records goes on from there.
func (s *System) keepTime() {
	s.Clock.Go(func() {
		ctx := context.Background()
		for {
			if err := s.Store.SetMark(ctx, markClock, s.Clock.Now()); err != nil {
				s.App.Log.Warn("the clock's mark", "error", err.Error())
			}
			if s.Clock.Sleep(ctx, cadence.Sweep) != nil {
				return
			}
		}
	})
}
