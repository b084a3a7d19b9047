// Package cadence says how often things are looked at and how fast they may be
// asked: every number that a state machine, a function and a test share. It
// knows numbers and their sources; it must not know who uses them.
package cadence

import (
	"math"
	"time"
)

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
	BirthWithin  = 15 * time.Minute // the record of the call that started a run arrives within it: CloudTrail delivers within about 5 minutes on average and guarantees nothing
	StartWithin  = 15 * time.Minute // a session whose start was not even asked for by then is closed
	IndexLag     = 30 * time.Second // an index read later than this after a write has seen it; DynamoDB documents no bound, seconds are seen
	EffectLinger = 60 * time.Second // effects undone for longer are carried out by the sweep
)

// Anchors (S8.4): a head over all chains, written by the sweep. Each costs a read
// or two and a write unit for every eight heads; a session's life has three
// changes of status, so that with its index entries the anchors of a million lives
// cost about 3.4 million write units, whatever the period.
const (
	AnchorEvery = 5 * time.Minute
	// AnchorLag is how old a change must be to be anchored: whoever decided on it
	// has been cut off by then, and the index has seen it.
	AnchorLag = TaskTimeout + IndexLag
	// AnchorHeads bounds what one anchor names, about 126 KB; what is beyond goes
	// into the next one.
	AnchorHeads = 1_000
	// AnchorLive is how many live sessions without news each anchor names besides,
	// in turn: at a million, each every 7 days.
	AnchorLive = 500
	// AnchorsMax bounds the anchors of one sweep; at the limit the next one goes on.
	AnchorsMax = 10
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
	// LeaseSlack is added to a wait to get a lease; alone it is the lease of an
	// execution that is being started. Each try of a round renews the lease before
	// anything else, so that one try and the pause before the next must fit in it,
	// not all of them (decisions/0017).
	LeaseSlack = TaskTimeout + BackoffMax
)

// Next is the pause before an endpoint is listed again, given the age of its
// youngest live run (S4.2), where nothing else is set for the endpoint.
func Next(youngest time.Duration) time.Duration { return Of("").Next(youngest) }

// Rate is a token bucket: calls a second and how many may come at once.
type Rate struct {
	PerSecond float64
	Burst     int
	// Floor is the slowest that throttling makes it, in calls a second. 0, or more
	// than PerSecond: it is never slowed, for whoever publishes a rate gives it.
	Floor float64
}

// Bucket is the state of a token bucket; the zero value is full and not slowed.
type Bucket struct {
	Used float64 // tokens taken and not yet refilled
	At   time.Time
	Lost float64 // calls a second that throttling has taken from the rate and that are not yet regained
}

// What throttling does to a rate that has a Floor: it is cut by the share of calls
// that were throttled, to SlowedTo of what it was at most at a time, and what it
// lost comes back evenly, a whole rate within RegainedIn (multiplicative decrease,
// additive increase).
const (
	SlowedTo   = 0.5
	RegainedIn = 2 * time.Minute
)

// Slow answers the bucket after the service has throttled some of the calls made
// at now: slower, and empty, as the service's own bucket is.
func (r Rate) Slow(b Bucket, calls, throttled int, now time.Time) Bucket {
	if throttled <= 0 || r.slowest() == r.PerSecond {
		return b
	}
	b = r.refilled(b, now)
	b.Lost = r.PerSecond - max(r.slowest(), (r.PerSecond-b.Lost)*max(SlowedTo, 1-float64(throttled)/float64(calls)))
	b.Used = max(b.Used, float64(r.Burst))
	return b
}

// Now is how many calls a second the bucket is refilled with.
func (r Rate) Now(b Bucket, now time.Time) float64 { return r.PerSecond - r.refilled(b, now).Lost }

// slowest is the rate at its slowest.
func (r Rate) slowest() float64 {
	if r.Floor <= 0 {
		return r.PerSecond
	}
	return min(r.Floor, r.PerSecond)
}

// regain is how much faster a slowed rate gets, in calls a second, each second.
func (r Rate) regain() float64 { return r.PerSecond / RegainedIn.Seconds() }

// refilled is the bucket at now.
func (r Rate) refilled(b Bucket, now time.Time) Bucket {
	b.Lost = min(b.Lost, r.PerSecond-r.slowest()) // the deployment may have another rate since
	if b.At.IsZero() {
		b.At = now
	}
	past := now.Sub(b.At).Seconds()
	if past <= 0 {
		return b
	}
	b.At = now
	b.Used -= past * r.PerSecond
	if b.Lost > 0 {
		growing := min(past, b.Lost/r.regain())
		b.Used += growing * (b.Lost - growing*r.regain()/2)
		b.Lost = max(0, b.Lost-growing*r.regain())
	}
	b.Used = max(0, b.Used)
	return b
}

// Take answers the bucket after taking n tokens at now, and whether they were
// there; nothing is taken where they were not.
func (r Rate) Take(b Bucket, n int, now time.Time) (Bucket, bool) {
	b = r.refilled(b, now)
	if b.Used+float64(n) > float64(r.Burst) {
		return b, false
	}
	b.Used += float64(n)
	return b, true
}

// Until is how long it takes, from now on, until n more tokens have been taken,
// when each is taken as soon as it is there and the service throttles no more.
func (r Rate) Until(b Bucket, n int, now time.Time) time.Duration {
	if r.PerSecond <= 0 {
		return 0
	}
	b = r.refilled(b, now)
	over := b.Used + float64(n) - float64(r.Burst)
	if over <= 0 {
		return 0
	}
	// While the rate grows it gives (PerSecond-Lost)·t + regain·t²/2 in t seconds;
	// afterwards it is whole, and late by what it had lost meanwhile.
	first, growing := r.PerSecond-b.Lost, b.Lost/r.regain()
	seconds := (over + b.Lost*growing/2) / r.PerSecond
	if seconds < growing {
		seconds = (math.Sqrt(first*first+2*r.regain()*over) - first) / r.regain()
	}
	return time.Duration(seconds * float64(time.Second))
}
