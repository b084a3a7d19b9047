// Package cadence says how often things are looked at and how fast they may be
// asked: every number that a state machine, a function and a test share. It
// knows numbers and their sources; it must not know who uses them.
package cadence

import "time"

// Polling of runs (S4.2, S3.5a).
const (
	Young        = 60 * time.Second  // between listings while a run is younger than YoungFor
	Settled      = 300 * time.Second // between listings afterwards, and of endpoints without live runs
	YoungFor     = 10 * time.Minute
	DrainEvery   = 5 * time.Second  // between rounds of stop requests and the listings that confirm them
	Sweep        = 60 * time.Second // the schedule
	Replay       = 5 * time.Minute  // between replays of identity events (S3.5c)
	ReplayBack   = 30 * time.Minute // how far each replay reaches back: CloudTrail delivers late, typically 5, at most about 15 minutes
	BackoffMax   = 30 * time.Second // a stop is asked again at least this often (S2.6)
	MinimumAge   = 2 * time.Minute  // absence of a run younger than this proves nothing
	StartWithin  = 15 * time.Minute // a session whose start was not even asked for by then is closed
	IndexLag     = 30 * time.Second // an index read later than this after a write has seen it; DynamoDB documents no bound, seconds are seen
	EffectLinger = 60 * time.Second // effects undone for longer are carried out by the sweep
)

// State machine executions. A standard execution fails at 25,000 history
// events; a loop of Task, Choice and Wait writes 9, and 9 more when all three
// retries are used, so that RoundsMax rounds stay below 18,000.
const (
	HistoryEventsMax = 25_000
	RoundsMax        = 1_000
	TaskTimeout      = 60 * time.Second // of each function called by a machine
	TaskAttempts     = 3                // retries of a task after the first try
	StartAttempts    = 40               // retries of a start that the engine throttles, half a minute apart at most
	// LeaseSlack is added to a wait to get a lease: the function's timeout and
	// all its retries, with their pauses, fit in it.
	LeaseSlack = (TaskAttempts+1)*TaskTimeout + time.Minute
)

// Next is the pause before an endpoint is listed again, given the age of its
// youngest live run (S4.2), where nothing else is set for the endpoint.
func Next(youngest time.Duration) time.Duration { return Of("").Next(youngest) }

// Rate is a token bucket: calls a second and how many may come at once.
type Rate struct {
	PerSecond float64
	Burst     int
}

// Bucket is the state of a token bucket; the zero value is full.
type Bucket struct {
	Used float64 // tokens taken and not yet refilled
	At   time.Time
}

// Take answers the bucket after taking n tokens at now, and whether they were
// there; nothing is taken where they were not.
func (r Rate) Take(b Bucket, n int, now time.Time) (Bucket, bool) {
	if !b.At.IsZero() && now.After(b.At) {
		b.Used = max(0, b.Used-now.Sub(b.At).Seconds()*r.PerSecond)
	}
	if b.At.IsZero() || now.After(b.At) {
		b.At = now
	}
	if b.Used+float64(n) > float64(r.Burst) {
		return b, false
	}
	b.Used += float64(n)
	return b, true
}

// Until is how long it takes, from now on, until n more tokens have been taken,
// when each is taken as soon as it is there.
func (r Rate) Until(b Bucket, n int, now time.Time) time.Duration {
	used := b.Used
	if !b.At.IsZero() && now.After(b.At) {
		used = max(0, used-now.Sub(b.At).Seconds()*r.PerSecond)
	}
	over := used + float64(n) - float64(r.Burst)
	if over <= 0 || r.PerSecond <= 0 {
		return 0
	}
	return time.Duration(over / r.PerSecond * float64(time.Second))
}
