package memstore

import (
	"context"
	"time"
	"unicode/utf8"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// ready answers a context that is over as the real store would: nothing is
// known about why, and nothing was done.
func ready(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return fault.New(op, fault.Unknown, err)
	}
	return nil
}

// checkID refuses what DynamoDB could not hold as part of a key.
func checkID(op, field, id string) error {
	switch {
	case id == "":
		return fault.Newf(op, fault.Invalid, "%s is empty", field)
	case !utf8.ValidString(id):
		return fault.Newf(op, fault.Invalid, "%s is not UTF-8: %q", field, id)
	}
	return nil
}

func checkRef(op string, run workload.Ref) error {
	if err := checkID(op, "endpoint", run.Endpoint); err != nil {
		return err
	}
	return checkID(op, "run id", run.ID)
}

// checkWrite refuses a state and an entry that do not belong together.
func checkWrite(op string, s session.Session, e app.Entry) error {
	for _, c := range []struct{ field, id string }{
		{"session id", s.ID}, {"user", s.User}, {"endpoint", s.Run.Endpoint}, {"entry hash", e.Hash},
	} {
		if err := checkID(op, c.field, c.id); err != nil {
			return err
		}
	}
	switch {
	case !utf8.ValidString(s.Run.ID):
		return checkID(op, "run id", s.Run.ID)
	case e.SessionID != s.ID:
		return fault.Newf(op, fault.Invalid, "the entry is of session %q, the state of %q", e.SessionID, s.ID)
	case e.Version != s.Version:
		return fault.Newf(op, fault.Invalid, "the entry is of version %d, the state of %d", e.Version, s.Version)
	}
	return nil
}

// thawed names the first frozen field in which b differs from a; "" if none.
func thawed(a, b session.Session) string {
	switch {
	case a.ID != b.ID:
		return "ID"
	case a.User != b.User:
		return "User"
	case a.Origin != b.Origin:
		return "Origin"
	case !a.OpenedAt.Equal(b.OpenedAt):
		return "OpenedAt"
	case !a.RecordedAt.Equal(b.RecordedAt):
		return "RecordedAt"
	case policyOf(a.Policy) != policyOf(b.Policy):
		return "Policy"
	case a.Facts != b.Facts:
		return "Facts"
	case interactiveOf(a.Interactive) != interactiveOf(b.Interactive):
		return "Interactive"
	case !a.Reach.From.Equal(b.Reach.From) || !a.Reach.Told.Equal(b.Reach.Told):
		return "Reach"
	}
	return ""
}

// policyOf and interactiveOf make values comparable with ==: one moment in two
// time zones is one moment.
func policyOf(p session.Policy) session.Policy {
	p.ChangedAt = instant(p.ChangedAt)
	return p
}

func interactiveOf(i session.InteractiveSession) session.InteractiveSession {
	i.ExpiresAt = instant(i.ExpiresAt)
	return i
}

func instant(t time.Time) time.Time { return t.Round(0).UTC() }
