package main

import (
	"testing"
	"time"
)

// A storm of the bench goes through the whole path, and is over.
func TestStormIsWhatItSays(t *testing.T) {
	s, err := raise(t.Context(), wall{}, 500, time.Millisecond)
	if err != nil || s.took <= 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	if s, err = vaultStorm(t.Context(), wall{}, 500, time.Millisecond); err != nil || s.took <= 0 {
		t.Fatalf("%+v, %v", s, err)
	}
}

// The anchor does what is said of the real one: in a short outage nothing is
// lost, in one of 10 minutes two fifths, in one of 15 everything.
func TestVaultStyleStrandsAsTheRealOneDoes(t *testing.T) {
	for _, c := range []struct{ minutes, least, most int }{{5, 0, 0}, {8, 3, 20}, {10, 35, 50}, {12, 65, 90}, {15, 98, 100}} {
		lost, last := vaultOutage(time.Duration(c.minutes) * time.Minute)
		if lost = lost * 100 / outageSessions; lost < c.least || lost > c.most {
			t.Errorf("%d minutes: %d %% are stranded, should be %d to %d", c.minutes, lost, c.least, c.most)
		}
		if c.minutes == 5 && last < 3*time.Minute {
			t.Errorf("after 5 minutes the last is revoked %v later; a doubling pause makes it late", last)
		}
	}
}

func BenchmarkStorm(b *testing.B) {
	for b.Loop() {
		s, err := raise(b.Context(), wall{}, stormSessions, 0)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(s.rate(), "stops/s")
	}
}
