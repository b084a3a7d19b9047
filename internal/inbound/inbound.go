// Package inbound turns the bytes of an event into what it means to Nightshift.
// It knows the shapes in events/ and how far AWS's can be trusted; it must not
// know sessions' states, storage or how a message is acted on: it decides
// nothing, and where an event does not say enough it does not guess.
package inbound

import (
	"strings"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
)

// BodyMax is the largest event that is read. EventBridge itself carries at most
// 1 MiB, so a larger body is not an event; it is refused with its size.
const BodyMax = 1 << 20

const op = "parse event"

// Parse reads one EventBridge event. received is when it reached us: it becomes
// Event.Known, and no event is taken to be later than that, so that a wrong
// clock cannot make a fact hold for sessions that do not exist yet.
//
// The only error is of kind fault.Invalid; it names the field by its path and
// what is allowed there. An event that is well formed and not for us is
// app.Ignored, with the reason.
func Parse(body []byte, received time.Time) (app.Message, error) {
	if len(body) > BodyMax {
		return nil, fault.Newf(op, fault.Invalid, "the event has %d bytes; at most %d are allowed", len(body), BodyMax)
	}
	root, err := decode(body)
	if err != nil {
		return nil, fault.New(op, fault.Invalid, err)
	}
	e := &event{root: root, detail: root.at("detail"), body: body, received: received}
	m := e.message()
	if e.err != nil {
		return nil, fault.New(op, fault.Invalid, e.err)
	}
	return m, nil
}

// rule makes a message of an event whose kind is known. Its reads record the
// first fault in the event; what it answers then is not used.
type rule func(e *event) app.Message

// entry ties a rule to the folder of events/ that describes what it reads.
type entry struct {
	kind string
	rule rule
}

// event is one event being read.
type event struct {
	root, detail node
	body         []byte
	received     time.Time
	err          error // the first fault found
}

// throughCloudTrail ends every detail-type of an event that CloudTrail
// recorded ("AWS API Call via CloudTrail", "AWS Service Event via CloudTrail",
// and two spellings of a console sign-in).
const throughCloudTrail = " via CloudTrail"

// partners begins the sources of events that partners of AWS's make, on buses of
// their own, from which a rule may send them to ours.
const partners = "aws.partner/"

func (e *event) message() app.Message {
	source, detailType := e.text(e.root.at("source")), e.text(e.root.at("detail-type"))
	if e.err != nil {
		return nil
	}
	if strings.HasSuffix(detailType, throughCloudTrail) {
		// Only AWS can put events whose source begins so: without this a
		// forged record on the bus would be believed. What a partner's event
		// bus brings begins so too, and says what the partner likes.
		if !strings.HasPrefix(source, "aws.") || strings.HasPrefix(source, partners) {
			return ignored("source %q is not AWS's, and only AWS records calls", source)
		}
		return e.recorded()
	}
	known, ok := announcements[announcement{source, detailType}]
	if !ok && source == ownSource && !spoken[detailType] {
		return e.misspelt(detailType)
	}
	if !ok {
		return ignored("%q of source %q is not a kind of event that is acted on", detailType, source)
	}
	if !e.object(e.detail) {
		return nil
	}
	return known.rule(e)
}
