// Package outbound says things outside in JSON: the events on Nightshift's bus,
// and the views of a session and of a history entry that the HTTP API answers.
// It knows the shapes in events/ and words for people; it must not know how an
// event is delivered, and decides nothing. It never writes what only Nightshift
// may know: task tokens are left out.
package outbound

import (
	"encoding/json"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
)

// Source is the source of every event Nightshift puts on its bus.
const Source = "nightshift"

// The kinds of events that go out, each a folder of events/.
const (
	SessionOpened = "session-opened"
	SessionEnding = "session-ending"
	SessionEnded  = "session-ended"
	Notice        = "notice"
	Alert         = "alert"
	OrphanFound   = "orphan-found"
)

// detailTypes are the detail-types that the kinds have on the bus.
var detailTypes = map[string]string{
	SessionOpened: "Nightshift Session Opened",
	SessionEnding: "Nightshift Session Ending",
	SessionEnded:  "Nightshift Session Ended",
	Notice:        "Nightshift Notice",
	Alert:         "Nightshift Alert",
	OrphanFound:   "Nightshift Orphan Found",
}

// detail is the detail of every outgoing event; which fields are there depends
// on the kind and is said by its schema.
type detail struct {
	ID      string       `json:"id"`
	At      string       `json:"at"`
	Alert   string       `json:"alert,omitempty"`
	Notice  string       `json:"notice,omitempty"`
	Before  string       `json:"before,omitempty"`
	Session *SessionView `json:"session,omitempty"`
	Orphan  *OrphanView  `json:"orphan,omitempty"`
	Text    string       `json:"text"`
}

// Encode makes the detail-type and the detail of the event for an announcement.
// The detail conforms to the schema of the kind's folder in events/; its id is
// the announcement's, so that a repetition can be recognised. The only error is
// of kind fault.Invalid: a kind that is none, or an announcement without id.
func Encode(a app.Announcement) (detailType string, body []byte, err error) {
	const op = "encode announcement"
	detailType, ok := detailTypes[a.Kind]
	if !ok {
		return "", nil, fault.Newf(op, fault.Invalid, "kind: %q is not a kind of outgoing event", a.Kind)
	}
	if a.ID == "" || a.At.IsZero() {
		return "", nil, fault.Newf(op, fault.Invalid, "id, at: an announcement needs both")
	}
	d := detail{ID: a.ID, At: written(a.At), Text: text(a)}
	if a.Kind == OrphanFound {
		o := Orphan(a.Orphan)
		d.Orphan = &o
	} else {
		if a.Session.ID == "" {
			return "", nil, fault.Newf(op, fault.Invalid, "session: a %s names one", a.Kind)
		}
		s := Session(a.Session)
		d.Session = &s
	}
	switch a.Kind {
	case Notice:
		d.Notice, d.Before = noticeName(a.Effect), lasting(a.Effect.Before)
	case Alert:
		d.Alert = alertName(a.Effect)
	}
	body, err = json.Marshal(d)
	if err != nil {
		return "", nil, fault.New(op, fault.Invalid, err)
	}
	return detailType, body, nil
}

// written is a time as the wire has it: RFC 3339 in UTC, "" for zero.
func written(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// lasting is a duration as Go writes it, "" for zero.
func lasting(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}
