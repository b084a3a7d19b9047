package cadence

import (
	"math"
	"testing"
	"time"
)

// TestS4_2Polling: 60 s while the youngest run is younger than 10 minutes, then
// 300 s.
func TestS4_2Polling(t *testing.T) {
	t.Parallel()
	for age, want := range map[time.Duration]time.Duration{
		-time.Second: 60 * time.Second, 0: 60 * time.Second, 9*time.Minute + 59*time.Second: 60 * time.Second,
		10*time.Minute - 1: 60 * time.Second, 10 * time.Minute: 300 * time.Second, 90 * 24 * time.Hour: 300 * time.Second,
	} {
		if got := Next(age); got != want {
			t.Errorf("S4.2 a run of age %s is looked at after %s, want %s", age, got, want)
		}
	}
}

// TestNumbers: numbers that the specification fixes.
func TestNumbers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ got, want time.Duration }{
		"S2.6 back-off is capped at 30 s":             {BackoffMax, 30 * time.Second},
		"S3.4 the schedule runs each minute":          {Sweep, time.Minute},
		"S3.5 replays come each 5 minutes":            {Replay, 5 * time.Minute},
		"S3.5 young runs are listed each 60 s":        {Young, 60 * time.Second},
		"S3.5 endpoints without runs are listed 300s": {Settled, 300 * time.Second},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s", name, c.got)
		}
	}
	if ReplayBack < Replay+15*time.Minute {
		t.Errorf("S3.5 a replay reaches back %s: CloudTrail may be 15 minutes late, and replays are %s apart", ReplayBack, Replay)
	}
	if HistoryEventsMax != 25_000 || RoundsMax*18 >= HistoryEventsMax {
		t.Errorf("S4.2 %d rounds of 18 history events do not fit in %d", RoundsMax, HistoryEventsMax)
	}
	if DrainEvery > BackoffMax || LeaseSlack < TaskTimeout+BackoffMax {
		t.Error("S2.6 a drain asks more seldom than the back-off allows, or a lease ends before the next try of its task")
	}
	// S2.1: a drain that is lost before or after an outage of 10 minutes, and found
	// dead by the next sweep, leaves two minutes of the promise.
	if lost := DrainEvery + LeaseSlack + Sweep; lost+12*time.Minute > 15*time.Minute {
		t.Errorf("S2.1 a drain that is lost is replaced only after %s", lost)
	}
}

// TestRate: the token bucket gives what the rate allows over any stretch of time,
// and nothing of what was refused is lost.
func TestRate(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)
	r := Rate{PerSecond: 1, Burst: 25}
	var b Bucket
	taken, looked := 0, 0
	for i := range 600 * 10 { // ten minutes, ten tries a second
		var ok bool
		if b, ok = r.Take(b, 1, start.Add(time.Duration(i)*100*time.Millisecond)); ok {
			taken++
		}
		looked++
	}
	if looked != 6000 || taken < 25+598 || taken > 25+600 {
		t.Errorf("%d tokens in 10 minutes, want about %d", taken, 25+600)
	}

	b = Bucket{}
	if b, ok := r.Take(b, 25, start); !ok || b.Used != 25 {
		t.Errorf("a full bucket does not give its burst: %+v", b)
	}
	if _, ok := r.Take(Bucket{}, 26, start); ok {
		t.Error("a bucket gives more than its burst")
	}
	b, _ = r.Take(Bucket{}, 25, start)
	refused, ok := r.Take(b, 2, start.Add(time.Second))
	if ok {
		t.Error("two tokens after one second at one a second")
	}
	if _, ok := r.Take(refused, 2, start.Add(2*time.Second)); !ok {
		t.Error("what refilled before a refusal is lost")
	}
	late, ok := r.Take(b, 1, start.Add(-time.Hour))
	if ok || late.At.Before(b.At) {
		t.Errorf("a clock that goes back refills the bucket: %+v", late)
	}
	idle, ok := r.Take(b, 25, start.Add(30*24*time.Hour))
	if !ok || idle.Used != 25 {
		t.Errorf("a long rest does not fill the bucket, or overfills it: %+v", idle)
	}
}

// TestS2_9Capacity: the promise holds for up to 660 s × rate live runs, and each
// api has a rate that can stop anything at all.
func TestS2_9Capacity(t *testing.T) {
	t.Parallel()
	for _, api := range append(APIs(), "what-nobody-knows") {
		e := Of(api)
		if e.Stop.PerSecond <= 0 || e.Stop.Burst < 1 || e.Parallel < 1 || e.Page < 0 {
			t.Errorf("%s: %+v stops nothing", api, e)
		}
		if want := int(660 * e.Stop.PerSecond); e.Capacity() != want {
			t.Errorf("S2.9 the capacity of %s is %d, want %d", api, e.Capacity(), want)
		}
		if e.Young != 60*time.Second || e.Settled != 300*time.Second {
			t.Errorf("S3.5 %s is listed each %s, then each %s", api, e.Young, e.Settled)
		}
	}
	if r := Of("emr-containers").Stop; r != (Rate{PerSecond: 1, Burst: 25}) {
		t.Errorf("EMR on EKS cancels 1 a second, burst 25; not %+v", r)
	}
	if len(APIs()) != len(table) {
		t.Errorf("%d apis have numbers, %d are listed", len(table), len(APIs()))
	}
	if got := Of("what-nobody-knows"); got != Of("emr-notebook") {
		t.Errorf("an unknown api gets %+v", got)
	}
}

// TestUntil: it says when n tokens will have been taken, whatever is in the
// bucket; taking them as they come takes as long.
func TestUntil(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)
	r := Rate{PerSecond: 1, Burst: 25}
	for _, c := range []struct {
		name string
		b    Bucket
		n    int
		now  time.Time
		want time.Duration
	}{
		{"nothing", Bucket{}, 0, start, 0},
		{"a burst", Bucket{}, 25, start, 0},
		{"one more", Bucket{}, 26, start, time.Second},
		{"two thousand", Bucket{}, 2000, start, 1975 * time.Second},
		{"an empty bucket", Bucket{Used: 25, At: start}, 10, start, 10 * time.Second},
		{"half refilled", Bucket{Used: 25, At: start}, 10, start.Add(5 * time.Second), 5 * time.Second},
		{"a clock that goes back", Bucket{Used: 25, At: start}, 10, start.Add(-time.Hour), 10 * time.Second},
	} {
		if got := r.Until(c.b, c.n, c.now); got != c.want {
			t.Errorf("S2.9 %s: %s, want %s", c.name, got, c.want)
		}
	}
	if got := (Rate{}).Until(Bucket{}, 10, start); got != 0 {
		t.Errorf("no rate at all: %s", got)
	}
}

// TestS3_5IdentityPeriod: max(60 s, users ÷ rate).
func TestS3_5IdentityPeriod(t *testing.T) {
	t.Parallel()
	for users, want := range map[int]time.Duration{0: time.Minute, 1: time.Minute, 1000: time.Minute, 1200: time.Minute, 1201: 2 * time.Minute, 20_000: 17 * time.Minute} {
		if got := IdentityPeriod(users); got != want {
			t.Errorf("S3.5 %d users: each %s, want %s", users, got, want)
		}
	}
}

// TestS2_6ThrottlingSlowsARateThatNobodyPublishes: by the share that was throttled,
// by half at most at a time, never below its floor; what was lost comes back evenly.
func TestS2_6ThrottlingSlowsARateThatNobodyPublishes(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)
	r := Rate{PerSecond: 5, Burst: 10, Floor: 0.5}
	var b Bucket
	for i, want := range []float64{2.5, 1.25, 0.625, 0.5, 0.5} {
		if b = r.Slow(b, 8, 8, start); r.Now(b, start) != want {
			t.Errorf("throttled %d times: %g a second, want %g", i+1, r.Now(b, start), want)
		}
	}
	if _, ok := r.Take(b, 1, start.Add(1700*time.Millisecond)); ok {
		t.Error("the bucket is not empty after throttling")
	}
	if _, ok := r.Take(b, 1, start.Add(2*time.Second)); !ok {
		t.Error("at its floor it gives less than the floor")
	}
	for after, want := range map[time.Duration]float64{-time.Hour: 0.5, 0: 0.5, 60 * time.Second: 3, 108 * time.Second: 5, time.Hour: 5} {
		if got := r.Now(b, start.Add(after)); math.Abs(got-want) > 1e-9 {
			t.Errorf("after %s: %g a second, want %g", after, got, want)
		}
	}
	if got := r.Now(r.Slow(Bucket{}, 20, 1, start), start); math.Abs(got-4.75) > 1e-9 {
		t.Errorf("one of 20 throttled: %g a second, want 4.75", got)
	}
	if got := r.Slow(Bucket{}, 20, 0, start); got != (Bucket{}) {
		t.Errorf("nothing throttled: %+v", got)
	}
	for _, never := range []Rate{{PerSecond: 1, Burst: 25}, {PerSecond: 0.3, Burst: 5, Floor: 0.5}, {}} {
		if got := never.Slow(Bucket{}, 1, 1, start); got != (Bucket{}) {
			t.Errorf("%+v has no floor below it and is slowed: %+v", never, got)
		}
	}
	// A deployment that sets another rate finds a bucket of the old one.
	if got := (Rate{PerSecond: 1, Burst: 5, Floor: 0.5}).Now(b, start); got != 0.5 {
		t.Errorf("the bucket of another rate: %g a second, want 0.5", got)
	}
	for _, api := range APIs() {
		if s := Of(api).Stop; s.Floor > s.PerSecond || s.Floor*DrainEvery.Seconds() < 1 && s.Floor != 0 {
			t.Errorf("%s: the floor %g leaves a round of its drain without a token", api, s.Floor)
		}
	}
	if Of("sagemaker").Stop.Floor == 0 || Of("emr-containers").Stop.Floor != 0 {
		t.Error("SageMaker publishes no rate, EMR on EKS does")
	}
}

// TestS2_9UntilOfASlowedRate: tokens that are taken as they come are all taken
// when it says, while the rate grows and afterwards.
func TestS2_9UntilOfASlowedRate(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)
	r := Rate{PerSecond: 5, Burst: 10, Floor: 0.5}
	slowed := r.Slow(r.Slow(Bucket{}, 1, 1, start), 1, 1, start) // 1.25 a second
	for _, n := range []int{1, 20, 200, 281, 282, 1000} {
		until := r.Until(slowed, n, start)
		b, taken := slowed, 0
		const step = 10 * time.Millisecond
		at := start
		for ; taken < n; at = at.Add(step) {
			for ok := true; ok && taken < n; {
				if b, ok = r.Take(b, 1, at); ok {
					taken++
				}
			}
		}
		if late := at.Sub(start) - until; late < 0 || late > 3*step {
			t.Errorf("%d tokens: taken after %s, said %s", n, at.Sub(start), until)
		}
	}
}
