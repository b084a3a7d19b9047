package memstore_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/memstore"
	"nightshift/internal/session"
	"nightshift/internal/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Harness {
		s := memstore.New()
		return storetest.Harness{Store: s, SampleBody: s.SampleBody, Settle: func() {}, Declared: 1}
	})
}

// With an index that lags, and pages of an odd size.
func TestStoreWithLag(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Harness {
		now, lag := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Second
		s := memstore.New(memstore.WithPageSize(7), memstore.WithIndexLag(func() time.Time { return now }, func() time.Duration { return lag }))
		return storetest.Harness{
			Store: s, SampleBody: s.SampleBody,
			Settle: func() { now = now.Add(2 * time.Hour) },
			Stale: func(on bool) {
				lag = 0
				if on {
					lag = time.Hour
				}
			},
		}
	})
}

// What was in the room that is lent is in no page that is copied into it.
func TestStoreWithRoom(t *testing.T) {
	var lent atomic.Int64
	storetest.Run(t, func(*testing.T) storetest.Harness {
		s := memstore.New(memstore.WithRoom(memstore.Room{
			Sessions: func(_ context.Context, n int) []session.Session {
				lent.Add(int64(n))
				return slices.Repeat([]session.Session{{ID: "odd", Recent: []string{"odd"}, Head: "odd"}}, n)
			},
			Entries: func(_ context.Context, n int) []app.Entry {
				lent.Add(int64(n))
				return slices.Repeat([]app.Entry{{SessionID: "odd", Effects: []session.Effect{{Reason: "odd"}}, Done: true}}, n)
			},
		}))
		return storetest.Harness{Store: s, SampleBody: s.SampleBody, Settle: func() {}, Declared: 1}
	})
	if lent.Load() == 0 {
		t.Error("nothing was lent")
	}
}
