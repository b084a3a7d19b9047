package ladder

import (
	"context"
	"fmt"
	"time"

	"nightshift/internal/session"
)

// Outage is what became of sessions that had to end while the engine's API
// refused everything.
type Outage struct {
	Sessions int
	Stranded int           // not ended long after
	Worst    time.Duration // from when the cause was known to the confirmation, the engine's own grace left out
	// Last is Worst without the outage.
	Last time.Duration
}

// TryOutage has n sessions of an endpoint end at once, their cause being known
// at the very moment at which an outage of the engine's API begins. expiry:
// their deadlines pass, else they are revoked by an event.
func TryOutage(endpoint string, outage time.Duration, n int, expiry bool) Outage {
	w := New(Settings{})
	// A second after a sweep: a deadline waits for the next one.
	worst := Began.Add(20*time.Minute + time.Second)
	w.Start()
	var ids []string
	w.Do(func(ctx context.Context) {
		for i := range n {
			user := fmt.Sprint("user-", i%7)
			if expiry {
				user = DayUser + user
			}
			ids = append(ids, w.Open(ctx, user, Runs[endpoint], worst).ID)
		}
	})
	w.Play(worst.Sub(w.Clock.Now()))
	w.Engine.Down = func(now time.Time) bool { return now.Before(worst.Add(outage)) }
	if !expiry {
		w.Do(func(ctx context.Context) {
			for i := range min(n, 7) {
				w.Say(ctx, w.Revoked(fmt.Sprint("user-", i)))
			}
		})
	}
	w.Play(outage + time.Hour)
	o := Outage{Sessions: n}
	for _, id := range ids {
		s := w.Session(id)
		if s.Status != session.Ended || w.Engine.Over(s.Run.Ref()).IsZero() {
			o.Stranded++
			continue
		}
		o.Worst = max(o.Worst, s.End.Confirmed.Sub(s.End.Known)-w.Engine.grace)
	}
	o.Last = o.Worst - outage
	return o
}
