package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"nightshift/internal/app"
	"nightshift/internal/fault"
)

// replayed are the recorded calls that are looked up, most important first:
// sign-outs and revocations, whose loss nothing else finds, then what takes a
// user away or gives one back (SCIM does both by PatchUser), then what takes
// access away from a group's members. LookupEvents takes one name a call, so each
// costs one.
var replayed = []string{
	"Logout", "BatchDeleteSession", "DeleteSession",
	"DisableUser", "DeleteUser", "EnableUser", "PatchUser", "DeleteApplicationAssignment",
	"RemoveMemberFromGroup", "DeleteGroupMembership", "DeleteGroup", "PatchGroup",
}

// births are looked up with the calls that are left, newest first. There is one
// for each token exchange of everybody, so that they may never all be read: a
// listing finds the run too (S3.5a), and nothing waits for them.
const births = "CreateTokenWithIAM"

// lookupsMax bounds the calls of one replay: CloudTrail allows 2 a second for
// all callers of an account and region together, so that this many take 16 s.
const lookupsMax = 32

// eventsPerPage is the most that LookupEvents gives at once.
const eventsPerPage = 50

// Replay gives the identity events recorded after a moment, oldest first, each
// in the envelope in which EventBridge would have brought it. Where there are too
// many, the error is an *app.Unread: the next replay goes on where it says.
func (i *Identity) Replay(ctx context.Context, after time.Time) ([][]byte, error) {
	end, left := i.Now(), lookupsMax-1 // one is kept for the births
	events, upTo := []types.Event(nil), end
	reads := make([]time.Time, len(replayed))
	take := func(n int, after time.Time, calls *int) error {
		got, read, err := i.oldest(ctx, replayed[n], after, end, calls)
		events, reads[n] = append(events, got...), read
		return err
	}
	for n := range replayed {
		// Each name may take half of what the names behind it can spare, so that
		// none is kept from getting on.
		calls := 1 + (left-len(replayed)+n)/2
		left -= calls
		if err := take(n, after, &calls); err != nil {
			return nil, err
		}
		left += calls
	}
	for n, name := range replayed { // with what the others did not need
		if left > 0 && reads[n].Before(end) {
			if err := take(n, reads[n], &left); err != nil {
				return nil, err
			}
		}
		if read := reads[n]; read.Before(end) {
			i.Log.Warn("replay left events out", "event", name, "from", read)
			if read.Before(upTo) {
				upTo = read
			}
		}
	}
	left++
	got, whole, err := i.newest(ctx, births, after, end, left, &left)
	if err != nil {
		return nil, err
	}
	if !whole {
		i.Log.Warn("replay left events out", "event", births)
	}
	bodies := i.envelopes(append(events, got...))
	if upTo.Before(end) {
		return bodies, &app.Unread{From: upTo}
	}
	return bodies, nil
}

// oldest looks events of one name up with the calls that are left, and answers up
// to which moment it has them all. LookupEvents gives the newest first: where a
// page does not hold all, the same is asked of the older half of the time, or of
// somewhat less than the page spans, where that is shorter: halving a half hour down to
// the seconds that a page holds of a busy evening would use the calls up.
func (i *Identity) oldest(ctx context.Context, name string, after, end time.Time, left *int) (events []types.Event, read time.Time, err error) {
	read = after
	for width, first := end.Sub(after), true; *left > 0 && (first || read.Before(end)); first = false {
		to := read.Add(width)
		if to.After(end) {
			to = end
		}
		pages := 1
		if width <= time.Second { // CloudTrail's times are whole seconds: it cannot be halved
			pages = *left
		}
		got, whole, err := i.newest(ctx, name, read, to, pages, left)
		if err != nil {
			return nil, read, err
		}
		events = append(events, got...)
		switch {
		case whole && len(got) < eventsPerPage/2:
			read, width = to, 2*width
		case whole:
			read = to
		default:
			width = max(min(width/2, span(got)*4/5), time.Second)
		}
	}
	return events, read, nil
}

// span is how much time events, newest first, are spread over; of none it is not known.
func span(events []types.Event) time.Duration {
	if len(events) == 0 {
		return math.MaxInt64 / 4
	}
	return aws.ToTime(events[0].EventTime).Sub(aws.ToTime(events[len(events)-1].EventTime))
}

// newest looks up at most so many pages of events of one name, and says whether
// those are all.
func (i *Identity) newest(ctx context.Context, name string, from, to time.Time, pages int, left *int) (events []types.Event, whole bool, err error) {
	var token *string
	for range pages {
		*left--
		page, next, err := i.lookup(ctx, name, from, to, token)
		if err != nil {
			return nil, false, err
		}
		events = append(events, page...)
		if token = next; next == nil {
			return events, true, nil
		}
	}
	return events, false, nil
}

// envelopes wraps each event once, oldest first.
func (i *Identity) envelopes(events []types.Event) [][]byte {
	sort.SliceStable(events, func(a, b int) bool { return aws.ToTime(events[a].EventTime).Before(aws.ToTime(events[b].EventTime)) })
	bodies, seen := make([][]byte, 0, len(events)), map[string]bool{}
	for _, e := range events {
		record := aws.ToString(e.CloudTrailEvent)
		if seen[record] {
			continue
		}
		seen[record] = true
		body, err := envelope(e)
		if err != nil {
			// What CloudTrail itself wrote wrongly comes out the same each time: it
			// must not hold up the others.
			i.Log.Warn("recorded event unreadable", "event", aws.ToString(e.EventName), "error", err.Error())
			continue
		}
		bodies = append(bodies, body)
	}
	return bodies
}

func (i *Identity) lookup(ctx context.Context, name string, from, to time.Time, token *string) (page []types.Event, next *string, err error) {
	if err := i.lookups.wait(ctx, i.Settings); err != nil {
		return nil, nil, fault.New("cloudtrail: look up "+name, fault.Unknown, err)
	}
	out, err := i.trail.LookupEvents(ctx, &cloudtrail.LookupEventsInput{
		LookupAttributes: []types.LookupAttribute{{AttributeKey: types.LookupAttributeKeyEventName, AttributeValue: aws.String(name)}},
		StartTime:        aws.Time(from),
		EndTime:          aws.Time(to),
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
