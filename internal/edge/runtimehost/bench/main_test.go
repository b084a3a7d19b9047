package main

import (
	"strings"
	"testing"
	"time"
)

func TestCheckNamesWhatIsOver(t *testing.T) {
	good := figures{name: "on-logout", init: 15 * time.Millisecond, first: firstMax, warm: 900 * time.Microsecond, zip: zipMax, rss: rssMax}
	if err := good.check(); err != nil {
		t.Errorf("at the limits: %v", err)
	}
	if got, want := good.String(), "cold function=on-logout init_ms=15.0 first_ms=60.0 warm_us=900 zip_mb=6.00 rss_mb=64.0"; got != want {
		t.Errorf("prints %q, want %q", got, want)
	}
	bad := good
	bad.first, bad.zip, bad.rss = firstMax+1, zipMax+1, rssMax+1
	err := bad.check()
	if err == nil {
		t.Fatal("nothing is over")
	}
	for _, part := range []string{"first answer", "memory", "zip"} {
		if !strings.Contains(err.Error(), part) || strings.Count(err.Error(), "on-logout") != 3 {
			t.Errorf("%q is not named: %v", part, err)
		}
	}
}
