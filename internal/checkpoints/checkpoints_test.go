package checkpoints_test

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"nightshift/internal/app"
	"nightshift/internal/checkpoints"
	"nightshift/internal/checkpoints/s3sim"
	"nightshift/internal/fault"
)

var at = time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)

// The real client on the simulated service.
func open(t *testing.T) (*checkpoints.Store, *s3sim.Sim) {
	t.Helper()
	sim := s3sim.New()
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	return checkpoints.New(s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL), UsePathStyle: true, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	})), sim
}

func TestS4_4Newest(t *testing.T) {
	t.Parallel()
	s, sim := open(t)
	for i := range 2500 { // three pages; the newest is in the middle of them
		sim.Put("churn", fmt.Sprintf("checkpoints/%04d.pt", i), at.Add(time.Duration(i%1200)*time.Second))
	}
	sim.Put("churn", "checkpoints/", at.Add(24*time.Hour))             // a folder
	sim.Put("churn", "checkpoints-of-another/1.pt", at.Add(time.Hour)) // not this run's
	sim.Put("churn", "checkpoints/a b+c.pt", at.Add(30*time.Minute))
	for location, want := range map[string]app.Checkpoint{
		"s3://churn/checkpoints/": {Location: "s3://churn/checkpoints/a b+c.pt", At: at.Add(30 * time.Minute)},
		"s3://churn/checkpoints":  {Location: "s3://churn/checkpoints/a b+c.pt", At: at.Add(30 * time.Minute)},
		"s3://churn":              {Location: "s3://churn/checkpoints-of-another/1.pt", At: at.Add(time.Hour)},
	} {
		if got, err := s.Newest(t.Context(), location); err != nil || got.Location != want.Location || !got.At.Equal(want.At) {
			t.Errorf("S4.4 %s: %+v %v, want %+v", location, got, err, want)
		}
	}
	for location, want := range map[string]fault.Kind{
		"s3://churn/nothing/": fault.NotFound, "s3://nobody/x": fault.Invalid, "churn": fault.Invalid, "s3://": fault.Invalid,
	} {
		if got, err := s.Newest(t.Context(), location); !fault.Is(err, want) {
			t.Errorf("S4.4 %s: %+v, %v; want %s", location, got, err, want)
		}
	}
	for code, want := range map[string]fault.Kind{"AccessDenied": fault.Denied, "SlowDown": fault.Throttled, "InternalError": fault.Unknown} {
		sim.Refuse("churn", code)
		if got, err := s.Newest(t.Context(), "s3://churn/checkpoints/"); !fault.Is(err, want) {
			t.Errorf("S4.4 %s: %+v, %v; want %s", code, got, err, want)
		}
	}
}

// A location with more objects than are looked through is not known, rather than
// known wrongly.
func TestS4_4TooManyAreUnknown(t *testing.T) {
	t.Parallel()
	s, sim := open(t)
	for i := range 50_001 {
		sim.Put("churn", fmt.Sprintf("c/%06d", i), at)
	}
	if got, err := s.Newest(t.Context(), "s3://churn/c"); !fault.Is(err, fault.Invalid) {
		t.Errorf("S4.4 %+v, %v", got, err)
	}
}
