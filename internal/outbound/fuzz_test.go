package outbound

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// FuzzEncode: whatever words an engine, a user or an administrator used, an
// announcement becomes JSON, or is refused as Invalid; and no task token leaves.
func FuzzEncode(f *testing.F) {
	f.Add("session-ended", "s-1", "u-ana", "sign-out", "text", int64(1_700_000_000))
	f.Add("alert", "", "\xff", "\u2028", "</script>", int64(-1))
	f.Add("orphan-found", "x", "", "", "\x00", int64(1)<<40)
	f.Fuzz(func(t *testing.T, kind, id, user, cause, text string, at int64) {
		const token = "the-task-token-of-a-waiter"
		moment := time.Unix(at, 0)
		_, body, err := Encode(app.Announcement{
			ID: id, Kind: kind, At: moment,
			Session: session.Session{ID: id, User: user, Waiter: token, Why: []string{text}, End: session.End{Cause: session.Cause(cause), Evidence: text, Happened: moment}, OpenedAt: moment},
			Entry:   app.Entry{Event: session.Event{Kind: session.WaiterRegistered, Token: token}},
			Effect:  session.Effect{Kind: session.Notify, Reason: cause, Text: text},
			Orphan:  workload.Observation{User: user, Detail: text},
		})
		switch {
		case err != nil && !fault.Is(err, fault.Invalid):
			t.Error(err)
		case err == nil && (!json.Valid(body) || bytes.Contains(body, []byte(token))):
			t.Errorf("%q", body)
		}
	})
}
