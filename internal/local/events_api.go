package local

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"nightshift/internal/config"
)

// Limits of EventBridge.
const (
	entriesMax = 10      // entries of one PutEvents
	entryMax   = 1 << 20 // bytes of all of them together
	patternMax = 4096    // characters of a pattern
)

// The buses: the account's own default bus, and ours.
const (
	defaultBus = "default"
	ownBus     = "nightshift"
)

func eventOperations() map[string]operation {
	return map[string]operation{"PutEvents": typed(putEvents), "TestEventPattern": typed(testEventPattern)}
}

// putEntry is a PutEventsRequestEntry.
type putEntry struct {
	Time         *float64
	Source       string
	Resources    []string
	DetailType   string
	Detail       string
	EventBusName *string
}

// putResult is a PutEventsResultEntry.
type putResult struct {
	EventID      string `json:"EventId,omitempty"`
	ErrorCode    string `json:",omitempty"`
	ErrorMessage string `json:",omitempty"`
}

type putEventsInput struct{ Entries []putEntry }

// putEvents answers for each entry by itself; only a request that is wrong as a
// whole is refused as a whole.
func putEvents(s *System, in putEventsInput) (any, *refusal) {
	var f faults
	switch n := len(in.Entries); {
	case in.Entries == nil:
		f.add("entries", "null", "Member must not be null")
	case n == 0:
		f.add("entries", "'[]'", "Member must have length greater than or equal to 1")
	case n > entriesMax:
		f.add("entries", fmt.Sprintf("of %d entries", n), fmt.Sprintf("Member must have length less than or equal to %d", entriesMax))
	}
	if no := f.refusal(); no != nil {
		return nil, no
	}
	size := 0
	for _, e := range in.Entries {
		size += e.size()
	}
	if size > entryMax {
		return nil, &refusal{http.StatusBadRequest, "", "ValidationException", "Total size of the entries in the request is over the limit."}
	}
	out := struct {
		FailedEntryCount int
		Entries          []putResult
	}{}
	for _, e := range in.Entries {
		result := s.putEntry(e)
		if result.ErrorCode != "" {
			out.FailedEntryCount++
		}
		out.Entries = append(out.Entries, result)
	}
	return out, nil
}

// size is counted as EventBridge documents it.
func (e putEntry) size() int {
	n := len(e.Source) + len(e.DetailType) + len(e.Detail)
	if e.Time != nil {
		n += 14
	}
	for _, r := range e.Resources {
		n += len(r)
	}
	return n
}

// putEntry puts one entry. A bus that does not exist takes the event and drops
// it, without a word: so does AWS.
func (s *System) putEntry(e putEntry) putResult {
	for _, required := range []struct{ name, value string }{{"Source", e.Source}, {"DetailType", e.DetailType}, {"Detail", e.Detail}} {
		if required.value == "" {
			return putResult{ErrorCode: "InvalidArgument", ErrorMessage: fmt.Sprintf("Parameter %s is not valid. Reason: %s is a required argument.", required.name, required.name)}
		}
	}
	if strings.HasPrefix(e.Source, "aws.") {
		// Only AWS itself says such things; POST /events plays AWS here.
		return putResult{ErrorCode: "NotAuthorizedForSourceException", ErrorMessage: "Not authorized for the source."}
	}
	var detail map[string]json.RawMessage
	if json.Unmarshal([]byte(e.Detail), &detail) != nil || detail == nil {
		return putResult{ErrorCode: "MalformedDetail", ErrorMessage: "Detail is malformed."}
	}
	at := s.Clock.Now()
	if e.Time != nil {
		whole, part := math.Modf(*e.Time)
		at = time.Unix(int64(whole), int64(part*float64(time.Second)))
	}
	id := newID()
	body, err := json.Marshal(map[string]any{
		"version": "0", "id": id, "detail-type": e.DetailType, "source": e.Source, "account": Account, "region": Region,
		"time": at.UTC().Format(time.RFC3339), "resources": append([]string{}, e.Resources...), "detail": json.RawMessage(e.Detail),
	})
	if err != nil {
		return putResult{ErrorCode: "MalformedDetail", ErrorMessage: "Detail is malformed."}
	}
	switch name := busName(e.EventBusName); name {
	case defaultBus, ownBus:
		err = s.bus.route(body, name == ownBus)
	default:
		s.App.Log.Warn("dropped, as AWS does: an event put on a bus that does not exist", "bus", name, "id", id)
	}
	if err != nil {
		return putResult{ErrorCode: "InternalFailure", ErrorMessage: err.Error()}
	}
	return putResult{EventID: id}
}

// busName is the name of the bus that a name or an ARN means. A bus of another
// account or Region keeps its ARN: none is here.
func busName(name *string) string {
	if name == nil || *name == "" {
		return defaultBus
	}
	return strings.TrimPrefix(*name, "arn:aws:events:"+Region+":"+Account+":event-bus/")
}

type testPatternInput struct{ EventPattern, Event *string }

func testEventPattern(_ *System, in testPatternInput) (any, *refusal) {
	var f faults
	f.text("eventPattern", in.EventPattern, true, 0, patternMax)
	f.text("event", in.Event, true, 0, entryMax)
	if no := f.refusal(); no != nil {
		return nil, no
	}
	if err := config.CheckPattern(*in.EventPattern); err != nil {
		return nil, &refusal{http.StatusBadRequest, "", "InvalidEventPatternException", "Event pattern is not valid. Reason: " + err.Error()}
	}
	if err := testable(*in.Event); err != nil {
		return nil, &refusal{http.StatusBadRequest, "", "ValidationException", "Event is not valid. Reason: " + err.Error()}
	}
	ok, err := config.Matches(*in.EventPattern, []byte(*in.Event))
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, "", "InvalidEventPatternException", "Event pattern is not valid. Reason: " + err.Error()}
	}
	return map[string]bool{"Result": ok}, nil
}

// testable says what a test event lacks: AWS asks for the envelope's fields,
// but for the resources, whatever its documentation says.
func testable(event string) error {
	var e map[string]json.RawMessage
	if json.Unmarshal([]byte(event), &e) != nil || e == nil {
		return fmt.Errorf("it is not a JSON object")
	}
	for _, field := range []string{"id", "account", "source", "time", "region", "detail-type"} {
		if _, ok := e[field]; !ok {
			return fmt.Errorf("the field %s is missing", field)
		}
	}
	return nil
}
