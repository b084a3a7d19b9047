package ladder

import (
	"context"
	"fmt"
	"strings"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/session"
)

// Storm is what became of sessions of one endpoint that were all due within one
// second.
type Storm struct {
	Sessions   int
	Left       int           // not ended
	AskedLast  time.Duration // from when they were due until the last stop request was accepted
	EndedLast  time.Duration // and until the last was confirmed, the engine's own grace left out
	Requests   int           // stop requests, refused ones too
	MostAtOnce int           // stop requests in one second
}

// Uncapped are the numbers of an endpoint whose engine sets no rate.
var Uncapped = cadence.Endpoint{Stop: cadence.Rate{PerSecond: 1e6, Burst: 1e6}, Parallel: 200, Young: cadence.Young, Settled: cadence.Settled}

// TryStorm has n sessions of an endpoint due within one second, a moment before
// a sweep; the endpoint has those numbers, its engine that rate.
func TryStorm(endpoint string, n int, set cadence.Endpoint) Storm {
	w := New(Settings{Endpoints: map[string]cadence.Endpoint{endpoint: set}})
	w.Engine.Throttle = set.Stop
	due := Began.Add(3*time.Minute - time.Second)
	var ids []string
	w.Do(func(ctx context.Context) {
		for i := range n {
			expires := due.Add(time.Second * time.Duration(i) / time.Duration(n))
			ids = append(ids, w.Open(ctx, fmt.Sprint(DayUser, "user-", i%100), Runs[endpoint], expires).ID)
		}
	})
	w.Play(2 * time.Minute)
	w.Start()
	w.Play(3*time.Minute + time.Duration(1.2*float64(n)/set.Stop.PerSecond*float64(time.Second)))
	s := Storm{Sessions: n, Requests: w.Engine.requests}
	for _, c := range w.Engine.seconds {
		s.MostAtOnce = max(s.MostAtOnce, c)
	}
	for _, id := range ids {
		got := w.Session(id)
		if got.Status != session.Ended {
			s.Left++
			continue
		}
		s.AskedLast = max(s.AskedLast, w.Engine.Asked(got.Run.Ref()).Sub(due))
		s.EndedLast = max(s.EndedLast, got.End.Confirmed.Sub(due)-w.Engine.grace)
	}
	return s
}

// TryFairness has user A's n sessions revoked, and user B's one on the same
// endpoint after a while; it answers how long after its cause was known B's run
// was asked to stop.
func TryFairness(endpoint string, n int, after time.Duration) time.Duration {
	api, _, _ := strings.Cut(endpoint, "/")
	w := New(Settings{Endpoints: map[string]cadence.Endpoint{endpoint: cadence.Of(api)}})
	w.Engine.Throttle = w.App.Settings[endpoint].Stop
	var b session.Session
	w.Do(func(ctx context.Context) {
		for range n {
			w.Open(ctx, "user-a", Runs[endpoint], time.Time{})
		}
		b = w.Open(ctx, "user-b", Runs[endpoint], time.Time{})
	})
	w.Play(10 * time.Second)
	w.Start()
	w.Do(func(ctx context.Context) { w.Say(ctx, w.Revoked("user-a")) })
	w.Play(after)
	known := w.Clock.Now()
	w.Do(func(ctx context.Context) { w.Say(ctx, w.Revoked("user-b")) })
	w.Play(time.Minute)
	asked := w.Engine.Asked(b.Run.Ref())
	if asked.IsZero() {
		return -1
	}
	return asked.Sub(known)
}
