package proof

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Stop is one session that had to end before its work was done (S2.7). Times
// are zero until they happen.
type Stop struct {
	Session   string    `json:"session"`
	Cause     string    `json:"cause"`
	Evidence  string    `json:"evidence"`
	By        string    `json:"by"`
	Happened  time.Time `json:"happened,omitzero"`
	Known     time.Time `json:"known,omitzero"`
	Decided   time.Time `json:"decided,omitzero"`
	Asked     time.Time `json:"asked,omitzero"`
	Confirmed time.Time `json:"confirmed,omitzero"`
}

// Open: the run has not been seen over. Whether the stop is on time cannot be
// said yet.
func (s Stop) Open() bool { return s.Confirmed.IsZero() }

// Took is how long a stop took, from when its cause was known.
func (s Stop) Took() time.Duration { return max(0, s.Confirmed.Sub(s.Known)) }

// TookFromCause is how long it took from the cause's own time, however late its
// news came.
func (s Stop) TookFromCause() time.Duration { return s.Confirmed.Sub(s.Happened) }

// OnTime says whether the promise was kept (S2.1).
func (s Stop) OnTime() bool { return !s.Open() && s.Took() <= Promise }

// Fault is one thing that is wrong. What is not known is zero.
type Fault struct {
	Line    int64  `json:"line,omitzero"`
	Anchor  int64  `json:"anchor,omitzero"`
	Session string `json:"session,omitzero"`
	Version int64  `json:"version,omitzero"`
	What    string `json:"what"`
}

func (f Fault) String() string {
	where := ""
	switch {
	case f.Session != "" && f.Version != 0:
		where = fmt.Sprintf("session %s, version %d: ", f.Session, f.Version)
	case f.Session != "":
		where = "session " + f.Session + ": "
	case f.Anchor != 0:
		where = fmt.Sprintf("anchor %d: ", f.Anchor)
	case f.Line != 0:
		where = fmt.Sprintf("line %d: ", f.Line)
	}
	return where + f.What
}

// Bucket counts stops that took no longer than UpTo and longer than the bucket
// before; the last one has no bound.
type Bucket struct {
	UpTo  time.Duration `json:"upToNs,omitzero"`
	Stops int           `json:"stops"`
}

// Report is what a file proves.
type Report struct {
	Header Header `json:"header"` // what the file says that it holds: nothing in it vouches for that
	// From and To are the period that stops are counted of; zero is no limit.
	From     time.Time `json:"from,omitzero"`
	To       time.Time `json:"to,omitzero"`
	Stops    []Stop    `json:"stops"` // decided in the period, in the order of their decisions
	OnTime   int       `json:"onTime"`
	Late     int       `json:"late"`    // confirmed after the promise
	Open     int       `json:"open"`    // not confirmed
	Overdue  int       `json:"overdue"` // of those, known for longer than the promise when the file was made
	Closed   int       `json:"closed"`  // sessions that were over before anything was to be stopped
	Worst    *Stop     `json:"worst,omitempty"`
	WorstOwn *Stop     `json:"worstFromCause,omitempty"`
	// Histogram is of confirmed stops, by how long they took.
	Histogram []Bucket `json:"histogram"`

	Sessions int   `json:"sessions"`
	Entries  int   `json:"entries"`
	Anchors  int64 `json:"anchors"`
	Newest   Head  `json:"newestAnchor"` // its number as Version; Session is empty
	// Covered is until when anchors reach, and Unanchored counts changes of status
	// that are younger: nothing but their own session's chain vouches for them.
	Covered    time.Time `json:"covered,omitzero"`
	Unanchored int       `json:"unanchored"`

	Faults []Fault `json:"faults"`
	More   int     `json:"moreFaults,omitzero"` // beyond FaultsMax
}

// FaultsMax is how many faults are told; further ones are counted.
const FaultsMax = 1000

// Holds says whether nothing is wrong with the evidence. That every stop was on
// time is another question.
func (r Report) Holds() bool { return len(r.Faults) == 0 }

// Summary is the one sentence: how many stops, how many on time, the worst.
func (r Report) Summary() string {
	worst := "–"
	if r.Worst != nil {
		worst = r.Worst.Took().Round(time.Second).String()
	}
	stops := "stops"
	if len(r.Stops) == 1 {
		stops = "stop"
	}
	text := fmt.Sprintf("%d %s, %d on time, worst %s", len(r.Stops), stops, r.OnTime, worst)
	if r.Open > 0 {
		text += fmt.Sprintf(", %d open", r.Open)
	}
	return text
}

func (r *Report) fault(f Fault) {
	if len(r.Faults) == FaultsMax {
		r.More++
		return
	}
	r.Faults = append(r.Faults, f)
}

var bounds = []time.Duration{10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, Promise, 0}

// count sums up the stops.
func (r *Report) count() {
	slices.SortFunc(r.Stops, func(a, b Stop) int { return cmp.Or(a.Decided.Compare(b.Decided), cmp.Compare(a.Session, b.Session)) })
	for _, b := range bounds {
		r.Histogram = append(r.Histogram, Bucket{UpTo: b})
	}
	for i := range r.Stops {
		s := &r.Stops[i]
		switch {
		case s.Open():
			r.Open++
			if r.Header.At.Sub(s.Known) > Promise {
				r.Overdue++
			}
			continue
		case s.OnTime():
			r.OnTime++
		default:
			r.Late++
		}
		if r.Worst == nil || s.Took() > r.Worst.Took() {
			r.Worst = s
		}
		if r.WorstOwn == nil || s.TookFromCause() > r.WorstOwn.TookFromCause() {
			r.WorstOwn = s
		}
		in := slices.IndexFunc(bounds, func(b time.Duration) bool { return b == 0 || s.Took() <= b })
		r.Histogram[in].Stops++
	}
}
