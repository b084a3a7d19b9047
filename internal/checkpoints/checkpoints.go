// Package checkpoints looks in Amazon S3 at what runs have saved. It knows S3's
// listing and its errors; it reads names and times, never an object, and must not
// know what a checkpoint is for.
package checkpoints

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"nightshift/internal/app"
	"nightshift/internal/awsfault"
	"nightshift/internal/fault"
)

// pagesMax bounds one listing, 1,000 objects a page: S3 sorts by name, so that the
// newest is known only from all. What has more is answered as Invalid: it would
// have as many the next time.
const pagesMax = 50

// API is what is used of S3's client.
type API interface {
	ListObjectsV2(context.Context, *s3.ListObjectsV2Input, ...func(*s3.Options)) (*s3.ListObjectsV2Output, error)
}

// Store lists buckets of one Region.
type Store struct{ api API }

var _ app.Checkpoints = (*Store)(nil)

// New takes a client of S3.
func New(api API) *Store { return &Store{api} }

// Newest is the newest object whose name begins as the location says.
func (s *Store) Newest(ctx context.Context, location string) (app.Checkpoint, error) {
	const op = "s3: list checkpoints"
	rest, ok := strings.CutPrefix(location, "s3://")
	bucket, prefix, _ := strings.Cut(rest, "/")
	if !ok || bucket == "" {
		return app.Checkpoint{}, fault.Newf(op, fault.Invalid, "%q is no location such as s3://bucket/prefix/", location)
	}
	// A folder's name with its slash: s3://b/churn is not where s3://b/churn-2 keeps its own.
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	var newest app.Checkpoint
	in := &s3.ListObjectsV2Input{Bucket: aws.String(bucket), Prefix: aws.String(prefix)}
	for range pagesMax {
		page, err := s.api.ListObjectsV2(ctx, in)
		if err != nil {
			return app.Checkpoint{}, awsfault.Classify(op, short(err), codes)
		}
		for _, o := range page.Contents {
			key := aws.ToString(o.Key)
			if at := aws.ToTime(o.LastModified); !strings.HasSuffix(key, "/") && at.After(newest.At) { // a name that ends so is a folder's
				newest = app.Checkpoint{Location: "s3://" + bucket + "/" + key, At: at}
			}
		}
		if !aws.ToBool(page.IsTruncated) {
			if newest.At.IsZero() {
				return newest, fault.Newf(op, fault.NotFound, "there is nothing at %s", location)
			}
			return newest, nil
		}
		in.ContinuationToken = page.NextContinuationToken
	}
	return app.Checkpoint{}, fault.Newf(op, fault.Invalid, "%s has more than %d,000 objects: they are not looked through", location, pagesMax)
}

// codes are what S3's own words mean.
var codes = awsfault.Codes{
	"AllAccessDisabled": fault.Denied,
	"AccountProblem":    fault.Denied,

	// It is not there, or in another Region.
	"NoSuchBucket":                 fault.Invalid,
	"InvalidBucketName":            fault.Invalid,
	"PermanentRedirect":            fault.Invalid,
	"AuthorizationHeaderMalformed": fault.Invalid,
	"InvalidArgument":              fault.Invalid,
}

// short is what S3 itself said of an error: the rest is about the request, and people
// read this.
func short(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api
	}
	return err
}
