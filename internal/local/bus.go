package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"nightshift/internal/asl/clock"
	"nightshift/internal/config"
	"nightshift/internal/obs/panel"
)

// delivery is how long an event takes from the bus to its function.
const delivery = time.Second

// historyKept is how many events the history holds; the oldest are forgotten,
// as CloudTrail's history forgets after 90 days.
const historyKept = 20_000

// bus stands for EventBridge, the queues behind its rules, and the event
// history of CloudTrail: an event that is lost on the way is still in the
// history.
type bus struct {
	clock *clock.Clock
	call  func(ctx context.Context, function string, payload []byte) ([]byte, error)
	// spread says whose events come from elsewhere, bars whose are refused.
	spread config.Spread
	bars   func(config.Place) bool

	mu      sync.Mutex
	history []recorded
	serial  int
	shelf   *shelf
}

type recorded struct {
	at   time.Time
	body []byte
}

// put takes one event; own says on which bus. The error says what is wrong with
// it: EventBridge itself refuses what is not an envelope.
func (b *bus) put(body []byte, own bool) error {
	if err := envelope(body); err != nil {
		return err
	}
	if own {
		return b.route(body, own)
	}
	if at := placeOf(body); slices.Contains(b.spread.Members, at) {
		return b.forward(at, body)
	}
	if b.spread.Identity == (config.Place{}) {
		b.record(body)
	}
	return b.route(body, own)
}

// placeOf is where an event appeared.
func placeOf(body []byte) (p config.Place) {
	_ = json.Unmarshal(body, &p) // it has been read as an envelope; what says no place is of none
	return p
}

// forward takes an event that appeared at a member's place: it reaches our default bus
// by that member's rules, and the history that is replayed if Identity Center is there.
func (b *bus) forward(at config.Place, body []byte) error {
	if at == b.spread.Identity {
		b.record(body)
	}
	for _, r := range b.spread.Forwards(at, at != b.spread.Identity) {
		ok, err := config.Matches(r.Pattern, body)
		if err != nil {
			return fmt.Errorf("rule %s of %s: %w", r.Name, at, err)
		}
		switch {
		case ok && b.bars(at):
			// EventBridge tries no more where it is refused: it is no passing fault.
			b.shelf.left(panel.Forwarded, "", body)
		case ok:
			b.clock.Go(func() {
				if b.clock.Sleep(context.Background(), delivery) == nil {
					_ = b.route(body, false) // a broken rule shows in its own test
				}
			})
		}
	}
	return nil
}

// record notes an event in CloudTrail's history without delivering it.
func (b *bus) record(body []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.history = append(b.history, recorded{b.clock.Now(), append([]byte(nil), body...)})
	if extra := len(b.history) - historyKept; extra > 0 {
		b.history = append([]recorded(nil), b.history[extra:]...)
	}
}

// since gives the events recorded after a moment.
func (b *bus) since(after time.Time) [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	var bodies [][]byte
	for _, r := range b.history {
		if r.at.After(after) {
			bodies = append(bodies, r.body)
		}
	}
	return bodies
}

func envelope(body []byte) error {
	var e struct {
		Source     string          `json:"source"`
		DetailType string          `json:"detail-type"`
		Detail     json.RawMessage `json:"detail"`
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return errors.New("the body must be an EventBridge envelope: a JSON object with source and detail-type (strings) and detail (an object)")
	}
	for _, f := range []struct {
		name    string
		missing bool
	}{{"source", e.Source == ""}, {"detail-type", e.DetailType == ""}, {"detail", len(e.Detail) == 0}} {
		if f.missing {
			return fmt.Errorf("%s: it is missing; an EventBridge envelope has source, detail-type and detail", f.name)
		}
	}
	return nil
}

func (b *bus) route(body []byte, own bool) error {
	for _, r := range b.spread.Rules() {
		if r.OnOwnBus != own {
			continue
		}
		ok, err := config.Matches(r.Pattern, body)
		if err != nil {
			return fmt.Errorf("rule %s: %w", r.Name, err)
		}
		if ok {
			b.clock.Go(func() { b.deliver(r.Function, body) })
		}
	}
	return nil
}

// deliver is a queue with one message: it hands the message to the function
// until it is taken, as often as the queue does.
func (b *bus) deliver(function string, body []byte) {
	ctx := context.Background()
	b.mu.Lock()
	b.serial++
	id := fmt.Sprintf("message-%d", b.serial)
	b.mu.Unlock()
	payload, err := json.Marshal(events.SQSEvent{Records: []events.SQSMessage{{MessageId: id, Body: string(body), EventSource: "aws:sqs"}}})
	if err != nil {
		return
	}
	b.shelf.arrived(function, id, b.clock.Now())
	if b.clock.Sleep(ctx, delivery) != nil {
		return
	}
	for range config.QueueReceivesMax {
		answer, err := b.call(ctx, function, payload)
		var out events.SQSEventResponse
		if err == nil && json.Unmarshal(answer, &out) == nil && len(out.BatchItemFailures) == 0 {
			b.shelf.left(function, id, nil)
			return
		}
		if b.clock.Sleep(ctx, config.QueueVisibility*time.Second) != nil {
			return
		}
	}
	b.shelf.left(function, id, body)
}

// handlers are the functions by name, called as the Lambda runtime calls them.
type handlers map[string]lambda.Handler
