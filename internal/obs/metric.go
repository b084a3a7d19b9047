package obs

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"nightshift/internal/app"
)

// Namespace is the CloudWatch namespace of every metric.
const Namespace = "Nightshift"

// Dimension is the one dimension: the function's name, to find who it was. Each
// metric is published without it too: alarms are about all functions together, and
// CloudWatch would else take ten at most in one. A metric costs by the number of
// different dimension values, so nothing that grows with users, runs or endpoints
// may be one.
const Dimension = "Function"

// MetricRefused counts metrics whose name is in no list: a defect of ours.
const MetricRefused = "MetricsRefused"

// Units, as CloudWatch names them.
const (
	unitCount        = "Count"
	unitMilliseconds = "Milliseconds"
)

// metrics are the names that are published, with their units. The list is
// closed: a name made of input would be a new metric for each input.
var metrics = map[string]string{
	app.MetricEnded:                unitCount,
	app.MetricStopLateness:         unitMilliseconds,
	app.MetricStopLatenessHappened: unitMilliseconds,
	app.MetricParked:               unitCount,
	app.MetricUnrecognised:         unitCount,
	app.MetricIgnored:              unitCount,
	app.MetricOrphans:              unitCount,
	app.MetricUnidentified:         unitCount,
	app.MetricUnknown:              unitCount,
	app.MetricHealed:               unitCount,
	app.MetricStopETA:              unitMilliseconds,
	app.MetricLive:                 unitCount,
	app.MetricEnding:               unitCount,
	app.MetricOldestEnding:         unitMilliseconds,
	app.MetricStandstill:           unitMilliseconds,
	app.MetricTruthAge:             unitMilliseconds,
	app.MetricChainsVerified:       unitCount,
	app.MetricChainsBroken:         unitCount,
	MetricRefused:                  unitCount,
}

// Names maps every metric's name to its CloudWatch unit.
func Names() map[string]string {
	all := make(map[string]string, len(metrics))
	for n, u := range metrics {
		all[n] = u
	}
	return all
}

// Meter publishes metrics as lines of CloudWatch's embedded metric format, which
// the function's log carries: no call is made, and none can fail. It is safe for
// concurrent use.
type Meter struct {
	mu       sync.Mutex
	w        io.Writer
	function string
	now      func() time.Time
}

var _ app.Meter = (*Meter)(nil)

// NewMeter makes a meter that writes to w, which in Lambda is standard output.
func NewMeter(w io.Writer, function string, now func() time.Time) *Meter {
	return &Meter{w: w, function: function, now: now}
}

// Count publishes that something was counted; 0 publishes nothing.
func (m *Meter) Count(name string, n int) {
	if n != 0 {
		m.put(name, unitCount, int64(n))
	}
}

// Lateness publishes a duration in milliseconds. A negative one, which clocks
// that differ can give, is 0: it would hide a late one in an average.
func (m *Meter) Lateness(name string, d time.Duration) {
	m.put(name, unitMilliseconds, max(0, d.Milliseconds()))
}

// line is a line of the embedded metric format.
type line struct {
	AWS meta `json:"_aws"`
}

type meta struct {
	Timestamp         int64       `json:"Timestamp"` // ms since 1970
	CloudWatchMetrics []directive `json:"CloudWatchMetrics"`
}

type directive struct {
	Namespace  string       `json:"Namespace"`
	Dimensions [][]string   `json:"Dimensions"`
	Metrics    []definition `json:"Metrics"`
}

type definition struct {
	Name string `json:"Name"`
	Unit string `json:"Unit"`
}

func (m *Meter) put(name, unit string, value int64) {
	if metrics[name] != unit {
		name, unit, value = MetricRefused, unitCount, 1
	}
	head, err := json.Marshal(line{AWS: meta{
		Timestamp: m.now().UnixMilli(),
		CloudWatchMetrics: []directive{{
			Namespace: Namespace, Dimensions: [][]string{{}, {Dimension}}, Metrics: []definition{{Name: name, Unit: unit}},
		}},
	}})
	if err != nil {
		return // strings and numbers always marshal
	}
	values, err := json.Marshal(map[string]any{Dimension: m.function, name: value})
	if err != nil {
		return
	}
	// One object: the metadata, then the members it names.
	out := append(head[:len(head)-1], ',')
	out = append(append(out, values[1:]...), '\n')
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _ = m.w.Write(out) // where standard output is gone nobody can be told
}
