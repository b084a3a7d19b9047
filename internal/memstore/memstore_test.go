package memstore_test

import (
	"testing"
	"time"

	"nightshift/internal/memstore"
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
