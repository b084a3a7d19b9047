package proof

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"strings"
	"testing"
	"time"
)

type entry struct {
	Session string
	Version int64
	At      time.Time
	Cause   string `json:",omitempty"`
	Facts   map[string]string
}

func link(t *testing.T, previous string, content any) string {
	t.Helper()
	h, err := Link(previous, content)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestLinkIsItsFormula: anybody can verify a chain with SHA-256 and JSON alone.
func TestLinkIsItsFormula(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte("\n" + `{"a":"1","b":2}`))
	first := link(t, Genesis, struct {
		A string `json:"a"`
		B int    `json:"b"`
	}{"1", 2})
	if first != hex.EncodeToString(sum[:]) {
		t.Errorf("the first link is %s", first)
	}
	sum = sha256.Sum256([]byte(first + "\n" + `"next"`))
	if second := link(t, first, "next"); second != hex.EncodeToString(sum[:]) {
		t.Errorf("the second link is %s", second)
	}
}

// TestS8_4ChainShowsChanges: an entry that is changed, dropped or reordered
// changes the head.
func TestS8_4ChainShowsChanges(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)
	chain := []entry{
		{"s-1", 1, at, "", map[string]string{"b": "2", "a": "1"}},
		{"s-1", 2, at.Add(time.Hour), "sign-out", nil},
		{"s-1", 3, at.Add(2 * time.Hour), "sign-out", nil},
	}
	head := func(entries ...entry) string {
		h := Genesis
		for _, e := range entries {
			h = link(t, h, e)
		}
		return h
	}
	whole := head(chain...)
	if whole != head(chain...) || len(whole) != 64 || strings.Trim(whole, "0123456789abcdef") != "" {
		t.Errorf("the head is %q, and then %q", whole, head(chain...))
	}
	changed := chain[1]
	changed.Cause = "idle"
	later := chain[1]
	later.At = later.At.Add(1)
	for name, other := range map[string]string{
		"changed":           head(chain[0], changed, chain[2]),
		"a nanosecond late": head(chain[0], later, chain[2]),
		"first dropped":     head(chain[1], chain[2]),
		"middle dropped":    head(chain[0], chain[2]),
		"last dropped":      head(chain[0], chain[1]),
		"reordered":         head(chain[0], chain[2], chain[1]),
		"repeated":          head(chain[0], chain[1], chain[1], chain[2]),
		"empty":             head(),
	} {
		if other == whole {
			t.Errorf("S8.4 a chain with an entry %s has the same head", name)
		}
	}
}

func TestLinkRefusesWhatIsNotJSON(t *testing.T) {
	t.Parallel()
	for _, content := range []any{math.NaN(), make(chan int), map[bool]int{true: 1}} {
		if h, err := Link(Genesis, content); err == nil || h != "" {
			t.Errorf("%T: %q, %v", content, h, err)
		}
	}
}
