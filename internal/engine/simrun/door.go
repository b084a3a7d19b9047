package simrun

import (
	"maps"
	"net/http"
	"sync"
	"time"

	"nightshift/internal/cadence"
)

// Header marks every answer of a simulator, so that nobody takes one for AWS.
const Header = "X-Nightshift-Simulated"

// All is the operation name of the bucket that all operations share.
const All = "*"

// Door is what a request must pass before a simulator serves it: planned
// outages, planned throttling and the service's own rate limits.
type Door struct {
	clock Clock

	mu       sync.Mutex
	rates    map[string]cadence.Rate
	buckets  map[string]cadence.Bucket
	down     []window
	throttle []window
	lose     map[string]int
	calls    map[string]int
	refused  map[Reason]int
}

// Reason is why a call was not served as it was meant.
type Reason string

// The reasons.
const (
	Outage    Reason = "outage"        // it came while the service was down
	Throttled Reason = "throttled"     // a planned throttling, or a token bucket that was empty
	Lost      Reason = "lost response" // it was carried out and reported failed
)

// Refused counts the calls that were not served, by why.
func (d *Door) Refused(why Reason) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.refused[why]
}

type window struct{ from, until time.Time }

func (w window) has(t time.Time) bool { return !t.Before(w.from) && t.Before(w.until) }

// NewDoor gives a door with the token bucket of each operation; an operation
// without one is not limited.
func NewDoor(clock Clock, rates map[string]cadence.Rate) *Door {
	return &Door{
		clock: clock, rates: maps.Clone(rates), buckets: map[string]cadence.Bucket{},
		lose: map[string]int{}, calls: map[string]int{}, refused: map[Reason]int{},
	}
}

// Down plans an outage: nothing is served at or after from and before until.
func (d *Door) Down(from, until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down = append(d.down, window{from, until})
}

// Throttle plans a time in which every call is throttled.
func (d *Door) Throttle(from, until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.throttle = append(d.throttle, window{from, until})
}

// LoseResponse carries the next n calls of an operation out, and reports each
// as failed.
func (d *Door) LoseResponse(op string, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lose[op] += n
}

// Calls counts the calls of an operation that came, refused ones too.
func (d *Door) Calls(op string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls[op]
}

// Refusals are a service's own ways to say no.
type Refusals struct {
	Down, Throttled, Lost func(http.ResponseWriter)
}

// Serve lets the request through to h, or refuses it.
func (d *Door) Serve(w http.ResponseWriter, r *http.Request, op string, no Refusals, h http.HandlerFunc) {
	w.Header().Set(Header, "true")
	switch d.admit(op) {
	case isDown:
		d.count(Outage)
		no.Down(w)
	case isThrottled:
		d.count(Throttled)
		no.Throttled(w)
	case isLost:
		d.count(Lost)
		h(nowhere{http.Header{}}, r)
		no.Lost(w)
	default:
		h(w, r)
	}
}

func (d *Door) count(why Reason) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refused[why]++
}

type verdict uint8

const (
	isServed verdict = iota
	isDown
	isThrottled
	isLost
)

func (d *Door) admit(op string) verdict {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.clock.Now()
	d.calls[op]++
	for _, w := range d.down {
		if w.has(now) {
			return isDown
		}
	}
	for _, w := range d.throttle {
		if w.has(now) {
			return isThrottled
		}
	}
	for _, name := range []string{op, All} {
		rate, limited := d.rates[name]
		if !limited {
			continue
		}
		bucket, ok := rate.Take(d.buckets[name], 1, now)
		d.buckets[name] = bucket
		if !ok {
			return isThrottled
		}
	}
	if d.lose[op] > 0 {
		d.lose[op]--
		return isLost
	}
	return isServed
}

// Cut closes the connection without an answer, as a server does that is gone.
func Cut(http.ResponseWriter) { panic(http.ErrAbortHandler) }

// nowhere swallows an answer that gets lost on its way.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}
