package memstore

import (
	"context"
	"time"

	"nightshift/internal/fault"
	"nightshift/internal/session"
)

// ready answers a context that is over as the real store would: nothing is
// known about why, and nothing was done.
func ready(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return fault.New(op, fault.Unknown, err)
	}
	return nil
}

// thawed names the first frozen field in which b differs from a; "" if none.
func thawed(a, b *session.Session) string {
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
