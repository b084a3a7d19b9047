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
	// LeaseSlack is added to a wait to get a lease: the function's timeout and
	// all its retries, with their pauses, fit in it.
	LeaseSlack = (TaskAttempts+1)*TaskTimeout + time.Minute
)

// Next is the pause before an endpoint is listed again, given the age of its
// youngest live run (S4.2).
func Next(youngest time.Duration) time.Duration {
	if youngest < YoungFor {
		return Young
	}
	return Settled
}

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

// StopRate is how fast stop requests may be sent to an endpoint, by the api
// part of its id. EMR on EKS: CancelJobRun refills at 1 a second, bucket 25
// (EMR on EKS service quotas). SageMaker publishes no figure: 5 a second is
// ours, adaptive downwards by throttling. Livy has none: a DELETE blocks, so
// few at once. Notebook executions: EMR's usual 0.5 a second, bucket 5.
func StopRate(api string) Rate {
	switch api {
	case "emr-containers":
		return Rate{PerSecond: 1, Burst: 25}
	case "sagemaker":
		return Rate{PerSecond: 5, Burst: 10}
	case "livy":
		return Rate{PerSecond: 10, Burst: 20}
	}
	return Rate{PerSecond: 0.5, Burst: 5}
}

// StopParallel is how many stop requests may be under way at once on one
// endpoint: a Livy DELETE blocks until the session is down.
const StopParallel = 8

// Capacity is how many live runs an endpoint may have so that all can be
// stopped within the promise (S2.9): 660 s of its stop rate.
func Capacity(api string) int { return int(660 * StopRate(api).PerSecond) }
