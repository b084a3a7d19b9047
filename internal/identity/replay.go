package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"nightshift/internal/fault"
)

// replayed are the recorded calls that are looked up, most important first:
// sign-outs and revocations, whose loss nothing else finds, then what takes a
// user away or gives one back (SCIM does both by PatchUser), then what takes
// access away from a group's members, then births. LookupEvents takes one name a
// call, so each costs one.
var replayed = []string{
	"Logout", "BatchDeleteSession", "DeleteSession",
	"DisableUser", "DeleteUser", "EnableUser", "PatchUser", "DeleteApplicationAssignment",
	"RemoveMemberFromGroup", "DeleteGroupMembership", "DeleteGroup", "PatchGroup",
	"CreateTokenWithIAM",
}

// lookupsMax bounds the calls of one replay: CloudTrail allows 2 a second for
// all callers of an account and region together, so that this many take 8 s. At the limit the oldest events
// of the window are left out, and that is logged; the newest come first and each
// stays in the window of several replays, so that one is missed only where
// CloudTrail recorded it late as well.
const lookupsMax = 16

// eventsPerPage is the most that LookupEvents gives at once.
const eventsPerPage = 50

// Replay gives the identity events recorded after a moment, oldest first, each
// in the envelope in which EventBridge would have brought it.
func (i *Identity) Replay(ctx context.Context, after time.Time) ([][]byte, error) {
	var events []types.Event
	calls := 0
	more := map[string]*string{}
	for _, name := range replayed {
		page, next, err := i.lookup(ctx, name, after, nil)
		if err != nil {
			return nil, err
		}
		calls++
		events = append(events, page...)
		if next != nil {
			more[name] = next
		}
	}
	for _, name := range replayed {
		for more[name] != nil && calls < lookupsMax {
			page, next, err := i.lookup(ctx, name, after, more[name])
			if err != nil {
				return nil, err
			}
			calls++
			events = append(events, page...)
			more[name] = next
		}
		if more[name] != nil {
			i.Log.Warn("replay left events out", "event", name)
		}
	}
	sort.SliceStable(events, func(a, b int) bool { return aws.ToTime(events[a].EventTime).Before(aws.ToTime(events[b].EventTime)) })
	bodies := make([][]byte, 0, len(events))
	for _, e := range events {
		body, err := envelope(e)
		if err != nil {
			// What CloudTrail itself wrote wrongly comes out the same each time: it
			// must not hold up the others.
			i.Log.Warn("recorded event unreadable", "event", aws.ToString(e.EventName), "error", err.Error())
			continue
		}
		bodies = append(bodies, body)
	}
	return bodies, nil
}

func (i *Identity) lookup(ctx context.Context, name string, after time.Time, token *string) (page []types.Event, next *string, err error) {
	if err := i.lookups.wait(ctx, i.Settings); err != nil {
		return nil, nil, fault.New("cloudtrail: look up "+name, fault.Unknown, err)
	}
	out, err := i.trail.LookupEvents(ctx, &cloudtrail.LookupEventsInput{
		LookupAttributes: []types.LookupAttribute{{AttributeKey: types.LookupAttributeKeyEventName, AttributeValue: aws.String(name)}},
		StartTime:        aws.Time(after),
		MaxResults:       aws.Int32(eventsPerPage),
		NextToken:        token,
	})
	if err != nil {
		return nil, nil, classify("cloudtrail: look up "+name, err)
	}
	if aws.ToString(out.NextToken) == "" {
		return out.Events, nil, nil
	}
	return out.Events, out.NextToken, nil
}

// arrival is the envelope that EventBridge puts around a recorded event.
type arrival struct {
	Version    string          `json:"version"`
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"`
	Account    string          `json:"account"`
	Time       string          `json:"time"`
	Region     string          `json:"region"`
	Resources  []string        `json:"resources"`
	Detail     json.RawMessage `json:"detail"`
}

// detailTypes are EventBridge's detail-types, by the record's eventType.
var detailTypes = map[string]string{
	"AwsApiCall":       "AWS API Call via CloudTrail",
	"AwsServiceEvent":  "AWS Service Event via CloudTrail",
	"AwsConsoleAction": "AWS Console Action via CloudTrail",
}

// envelope wraps a record as EventBridge would: its source is "aws." and the
// first label of the record's own.
func envelope(e types.Event) ([]byte, error) {
	var record struct {
		EventID     string `json:"eventID"`
		EventTime   string `json:"eventTime"`
		EventType   string `json:"eventType"`
		EventSource string `json:"eventSource"`
		AWSRegion   string `json:"awsRegion"`
		Account     string `json:"recipientAccountId"`
	}
	raw := aws.ToString(e.CloudTrailEvent)
	if err := json.Unmarshal([]byte(raw), &record); err != nil {
		return nil, fmt.Errorf("CloudTrailEvent is not the JSON of a record: %w", err)
	}
	source, _, dotted := strings.Cut(record.EventSource, ".")
	if !dotted || source == "" || record.EventID == "" {
		return nil, errors.New("CloudTrailEvent has no eventID or no eventSource of a service")
	}
	detailType, ok := detailTypes[record.EventType]
	if !ok {
		detailType = detailTypes["AwsApiCall"]
	}
	body, err := json.Marshal(arrival{
		Version: "0", ID: record.EventID, DetailType: detailType, Source: "aws." + source, Account: record.Account,
		Time: record.EventTime, Region: record.AWSRegion, Resources: []string{}, Detail: json.RawMessage(raw),
	})
	if err != nil {
		return nil, fault.New("wrap a recorded event", fault.Invalid, err)
	}
	return body, nil
}
