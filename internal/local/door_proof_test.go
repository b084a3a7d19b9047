package local_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"nightshift/internal/asl/clock"
	"nightshift/internal/local"
	"nightshift/internal/proof"
)

// S8.4: the door hands out the evidence, of a time too, and says which parameter
// is wrong.
func TestS8_4DoorHandsOutTheProof(t *testing.T) {
	began := time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)
	c := clock.New(began)
	s, err := local.New(local.Options{Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Start()
	c.RunUntil(began.Add(time.Hour))
	ask := func(query string) (int, []byte) {
		t.Helper()
		w := httptest.NewRecorder()
		s.Door().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/proof"+query, nil))
		b, err := io.ReadAll(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		return w.Code, b
	}
	for query, want := range map[string]int64{"": 12, "?from=2026-11-20T18:30:00Z": 6, "?to=2026-11-20T18:10:00Z": 6} {
		status, file := ask(query)
		r, err := proof.Verify(bytes.NewReader(file), proof.Options{})
		if status != http.StatusOK || err != nil || !r.Holds() || r.Anchors < want || r.Anchors > want+1 {
			t.Errorf("%q: %d, %d anchors, want about %d: %v %v", query, status, r.Anchors, want, err, r.Faults)
		}
	}
	for _, name := range []string{"from", "to"} {
		if status, b := ask("?" + name + "=today"); status != http.StatusBadRequest || !strings.Contains(string(b), name+`: \"today\" is not allowed`) {
			t.Errorf("%s=today: %d %s", name, status, b)
		}
	}
}
