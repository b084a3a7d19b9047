package functions

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"nightshift/internal/app"
	"nightshift/internal/identity"
	"nightshift/internal/inbound"
)

// trail has recorded one event.
type trail struct{ name, record string }

func (tr trail) LookupEvents(_ context.Context, in *cloudtrail.LookupEventsInput, _ ...func(*cloudtrail.Options)) (*cloudtrail.LookupEventsOutput, error) {
	out := &cloudtrail.LookupEventsOutput{}
	if aws.ToString(in.LookupAttributes[0].AttributeValue) == tr.name {
		out.Events = []types.Event{{EventName: aws.String(tr.name), CloudTrailEvent: aws.String(tr.record)}}
	}
	return out, nil
}

// An event that is replayed means what it would have meant had it arrived
// (S3.5c): identity wraps what inbound reads, and neither knows the other.
func TestReplayedMeansTheSame(t *testing.T) {
	looked := 0
	for _, kind := range []string{"cloudtrail-logout", "cloudtrail-end-session", "cloudtrail-disable-user", "cloudtrail-delete-user"} {
		samples, err := filepath.Glob("../events/" + kind + "/*.json")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range samples {
			if filepath.Base(path) == "schema.json" {
				continue
			}
			arrived, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var e struct {
				Detail json.RawMessage `json:"detail"`
			}
			var record struct {
				EventName string `json:"eventName"`
			}
			if json.Unmarshal(arrived, &e) != nil || json.Unmarshal(e.Detail, &record) != nil {
				t.Fatalf("%s is no event", path)
			}
			received := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
			want, err := inbound.Parse(arrived, received)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			i := identity.New(identity.Settings{Now: now, Log: slog.New(slog.DiscardHandler)}, nil, nil, trail{record.EventName, string(e.Detail)})
			bodies, err := i.Replay(t.Context(), now())
			if err != nil || len(bodies) != 1 {
				t.Fatalf("%s: %d events, %v", path, len(bodies), err)
			}
			got, err := inbound.Parse(bodies[0], received)
			if err != nil {
				t.Fatalf("%s, replayed: %v", path, err)
			}
			looked++
			if !reflect.DeepEqual(withoutBody(got), withoutBody(want)) {
				t.Errorf("%s\nreplayed %+v\narrived  %+v", path, got, want)
			}
		}
	}
	if looked == 0 {
		t.Fatal("no sample was looked at")
	}
}

// withoutBody leaves out the bytes that an unrecognised event keeps of itself:
// the envelope's id and time of arrival differ.
func withoutBody(m app.Message) app.Message {
	switch m := m.(type) {
	case app.Unrecognised:
		m.Body = nil
		return m
	case app.Several:
		var bare app.Several
		for _, part := range m {
			bare = append(bare, withoutBody(part))
		}
		return bare
	}
	return m
}
