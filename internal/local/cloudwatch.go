package local

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"nightshift/internal/asl"
	"nightshift/internal/config"
	"nightshift/internal/obs"
	"nightshift/internal/obs/panel"
)

// CloudWatch stands for the service of that name: it takes what Nightshift
// publishes, as the lines that its functions write to their logs, and what the
// services that are played here publish of themselves, and sums them up by period.
type CloudWatch struct {
	now func() time.Time

	mu     sync.Mutex
	series map[string]map[int64]*[2]float64 // Sum and Maximum, by the metric and its dimensions, and the number of the period
}

// periodsKept is how many periods of a metric are kept: a day.
const periodsKept = int64(24 * time.Hour / panel.Period)

// period is the number of the period of a moment.
func period(at time.Time) int64 { return at.Unix() / int64(panel.Period/time.Second) }

// put takes one value of a metric, whatever its statistic.
func (c *CloudWatch) put(m panel.Metric, value float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.series == nil {
		c.series = map[string]map[int64]*[2]float64{}
	}
	at, values := period(c.now()), c.series[m.String()]
	if values == nil {
		values = map[int64]*[2]float64{}
		c.series[m.String()] = values
	}
	if v := values[at]; v != nil {
		*v = [2]float64{v[0] + value, max(v[1], value)}
		return
	}
	values[at] = &[2]float64{value, value}
	for old := range values {
		if old < at-periodsKept {
			delete(values, old)
		}
	}
}

// Value is a metric's value in the period that a moment lies in; nil where there
// is none.
func (c *CloudWatch) Value(m panel.Metric, at time.Time) *float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.series[m.String()][period(at)]
	if v == nil {
		return nil
	}
	value := v[slices.Index([]string{panel.Sum, panel.Maximum}, m.Statistic)]
	return &value
}

// Write takes one line of the embedded metric format; another line is a log's.
func (c *CloudWatch) Write(line []byte) (int, error) {
	var head struct {
		AWS struct {
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name string }
			}
		} `json:"_aws"`
	}
	var values map[string]any
	if json.Unmarshal(line, &head) != nil || json.Unmarshal(line, &values) != nil {
		return len(line), nil
	}
	for _, d := range head.AWS.CloudWatchMetrics {
		for _, metric := range d.Metrics {
			value, ok := values[metric.Name].(float64)
			if !ok {
				continue
			}
			for _, dimensions := range d.Dimensions {
				of := map[string]string{}
				for _, name := range dimensions {
					of[name], _ = values[name].(string)
				}
				c.put(panel.Metric{Namespace: d.Namespace, Name: metric.Name, Of: of}, value)
			}
		}
	}
	return len(line), nil
}

// Meter keeps counts in memory, and publishes as the functions do.
type Meter struct {
	emf    *obs.Meter
	mu     sync.Mutex
	counts map[string]int
}

func newMeter(c *CloudWatch) *Meter {
	return &Meter{emf: obs.NewMeter(c, "local", c.now), counts: map[string]int{}}
}

// Count adds to a count.
func (m *Meter) Count(name string, n int) {
	m.emf.Count(name, n)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[name] += n
}

// Lateness publishes one duration.
func (m *Meter) Lateness(name string, d time.Duration) { m.emf.Lateness(name, d) }

// Counted is a count so far.
func (m *Meter) Counted(name string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts[name]
}

// of is a metric of one of the services that are played here.
func of(namespace, name, dimension, value string) panel.Metric {
	return panel.Metric{Namespace: namespace, Name: name, Of: map[string]string{dimension: value}}
}

// Troubles are what somebody who tries out the alarms can have go wrong.
type Troubles struct {
	mu     sync.Mutex
	broken map[string]reply // by function
	barred map[config.Place]bool
	silent atomic.Bool
	lag    atomic.Int64
}

// reply is what a broken function answers.
type reply struct {
	out []byte
	err error
}

// Break has every invocation of a function fail, as where its environment is
// wrong or its role too narrow.
func (t *Troubles) Break(function string, err error) { t.replies(function, reply{err: err}) }

// Mistake has a function answer something else than it should.
func (t *Troubles) Mistake(function, answer string) { t.replies(function, reply{out: []byte(answer)}) }

func (t *Troubles) replies(function string, r reply) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.broken == nil {
		t.broken = map[string]reply{}
	}
	t.broken[function] = r
}

// Mend has a function do its work again.
func (t *Troubles) Mend(function string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.broken, function)
}

func (t *Troubles) of(function string) (reply, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.broken[function]
	return r, ok
}

// Silence has the schedule invoke nothing, or again.
func (t *Troubles) Silence(silent bool) { t.silent.Store(silent) }

// Lag has changes take so much longer from the table to run-effects.
func (t *Troubles) Lag(d time.Duration) { t.lag.Store(int64(d)) }

// Bar has the hub's bus refuse what a member's rules forward, as where its policy does
// not name the member, or the forwarding role was changed; or admit it again.
func (t *Troubles) Bar(member config.Place, refuse bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.barred == nil {
		t.barred = map[config.Place]bool{}
	}
	t.barred[member] = refuse
}

func (t *Troubles) bars(member config.Place) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.barred[member]
}

// invoked publishes what Lambda does of an invocation.
func (s *System) invoked(function string, err error) {
	s.CloudWatch.put(of("AWS/Lambda", "Invocations", "FunctionName", function), 1)
	if err != nil {
		s.CloudWatch.put(of("AWS/Lambda", "Errors", "FunctionName", function), 1)
	}
}

// ended publishes what Step Functions does of an execution that ended.
func (s *System) ended(e *asl.Execution) {
	how := map[asl.Status]string{asl.Succeeded: "Succeeded", asl.Failed: "Failed", asl.TimedOut: "TimedOut", asl.Aborted: "Aborted"}[e.Status()]
	machine := strings.TrimPrefix(e.MachineARN(), machineARN(""))
	s.CloudWatch.put(of("AWS/States", "Executions"+how, panel.OfMachine, machine), 1)
}

// matched publishes what EventBridge does of the rule for runs that resist.
func (s *System) matched(body []byte) {
	if ok, err := config.Matches(panel.StuckPattern, body); err == nil && ok {
		s.CloudWatch.put(panel.Metric{Namespace: "AWS/Events", Name: "MatchedEvents", Of: map[string]string{panel.OfBus: "bus", "RuleName": panel.Stuck}}, 1)
	}
}

// shelf is what lies in queues.
type shelf struct {
	mu      sync.Mutex
	waiting map[string]map[string]time.Time // since when, by function and message
	dead    map[string][][]byte             // by function
	failed  map[string]int                  // by function
}

func newShelf() *shelf {
	return &shelf{waiting: map[string]map[string]time.Time{}, dead: map[string][][]byte{}, failed: map[string]int{}}
}

func (q *shelf) arrived(function, id string, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting[function] == nil {
		q.waiting[function] = map[string]time.Time{}
	}
	q.waiting[function][id] = at
}

// left: a message was taken, or is given up.
func (q *shelf) left(function, id string, givenUp []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.waiting[function], id)
	if givenUp != nil {
		q.dead[function] = append(q.dead[function], givenUp)
	}
}

func (q *shelf) fail(function string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.failed[function]++
}

// Purge empties the queue of what a function failed on.
func (s *System) Purge(function string) {
	s.bus.shelf.mu.Lock()
	defer s.bus.shelf.mu.Unlock()
	delete(s.bus.shelf.failed, function)
}

// PurgeForwards empties the members' queues of what could not be forwarded, and says
// how much that was.
func (s *System) PurgeForwards() int {
	q := s.bus.shelf
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.dead[panel.Forwarded])
	delete(q.dead, panel.Forwarded)
	return n
}

// Redrive sends a dead-letter queue's messages back to the queue that they came
// from, and says how many.
func (s *System) Redrive(function string) int {
	q := s.bus.shelf
	q.mu.Lock()
	bodies := q.dead[function]
	delete(q.dead, function)
	q.mu.Unlock()
	for _, body := range bodies {
		s.Clock.Go(func() { s.bus.deliver(function, body) })
	}
	return len(bodies)
}

// sample publishes what SQS does of its queues.
func (s *System) sample() {
	q, now := s.bus.shelf, s.Clock.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	depth := func(queue string, n int) {
		s.CloudWatch.put(of("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue), float64(n))
	}
	for _, f := range panel.Behind() {
		oldest := time.Duration(0)
		for _, since := range q.waiting[f] {
			oldest = max(oldest, now.Sub(since))
		}
		s.CloudWatch.put(of("AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", f), oldest.Seconds())
		depth(panel.Dead(f), len(q.dead[f]))
	}
	for _, f := range []string{panel.Scheduled, panel.Streamed} {
		depth(panel.Failed(f), q.failed[f])
	}
	if len(s.spread.Members) > 0 {
		depth(panel.Dead(panel.Forwarded), len(q.dead[panel.Forwarded])) // of all members together
	}
}

// aged publishes how old a batch of the stream is.
func (s *System) aged(batch events.DynamoDBEvent, since time.Time) {
	if len(batch.Records) > 0 {
		s.CloudWatch.put(of("AWS/Lambda", "IteratorAge", "FunctionName", panel.Streamed), float64(s.Clock.Now().Sub(since).Milliseconds()))
	}
}
