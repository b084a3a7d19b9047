// Package notify is the app's Announcer on Amazon EventBridge: it puts what
// Nightshift has to say on Nightshift's own bus. It knows EventBridge's call and
// errors; it must not know what an announcement says or how it is written, which
// an encoder does, nor who listens.
package notify

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"nightshift/internal/app"
	"nightshift/internal/awsfault"
	"nightshift/internal/fault"
)

// Source is the source of every event on our bus.
const Source = "nightshift"

// API is what is called; *eventbridge.Client has it.
type API interface {
	PutEvents(context.Context, *eventbridge.PutEventsInput, ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error)
}

// Encode writes an announcement: the detail-type, and the detail as a JSON
// object that holds the announcement's ID, so that whoever listens can recognise
// a repetition. outbound.Encode is one.
type Encode func(app.Announcement) (detailType string, detail []byte, err error)

// Announcer puts announcements on a bus.
type Announcer struct {
	api    API
	bus    string
	encode Encode
}

var _ app.Announcer = (*Announcer)(nil)

// New takes the bus's name or ARN.
func New(api API, bus string, encode Encode) *Announcer {
	return &Announcer{api: api, bus: bus, encode: encode}
}

// Announce puts one event. The service answers 200 also where it took nothing:
// what it refused is an error of the entry's own code.
func (n *Announcer) Announce(ctx context.Context, a app.Announcement) error {
	const op = "eventbridge: put event"
	if n.bus == "" {
		// An event without a bus would go to the default one, where nobody of
		// ours listens.
		return fault.Newf(op, fault.Unknown, "no bus is configured")
	}
	detailType, detail, err := n.encode(a)
	if err != nil {
		return err
	}
	out, err := n.api.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{
		EventBusName: aws.String(n.bus),
		Source:       aws.String(Source),
		DetailType:   aws.String(detailType),
		Detail:       aws.String(string(detail)),
		Time:         aws.Time(a.At),
	}}})
	if err != nil {
		return awsfault.Classify(op, err, codes)
	}
	if out.FailedEntryCount == 0 {
		return nil
	}
	for _, e := range out.Entries {
		if c := aws.ToString(e.ErrorCode); c != "" {
			return fault.Newf(op, awsfault.Kind(c, codes), "%s: %s", c, aws.ToString(e.ErrorMessage))
		}
	}
	return fault.Newf(op, fault.Unknown, "%d entries failed, without a reason", out.FailedEntryCount)
}

// codes are what EventBridge's own words mean, for the call and for its entries
// (EventBridge API reference, PutEventsResultEntry). A bus that is not there is
// Unknown: it is retried until the deployment is put right.
var codes = awsfault.Codes{
	"NotAuthorizedForSourceException":     fault.Denied,
	"NotAuthorizedForDetailTypeException": fault.Denied,
	"InvalidAccountIdException":           fault.Denied,
	"InvalidArgument":                     fault.Invalid,
	"MalformedDetail":                     fault.Invalid,
	"RedactionFailure":                    fault.Invalid,
}
