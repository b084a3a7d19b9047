// Package sagemakersim speaks the protocol of Amazon SageMaker AI (2017-07-24,
// JSON 1.1, targets SageMaker.*) and behaves like it for training jobs, for the
// local system and for tests. It knows the documented shapes, errors and states;
// it checks no signatures, trains nothing, and must not know Nightshift's
// adapter. Every answer says that it is simulated.
//
// What a job does is read from its own parameters: the hyperparameter
// nightshift.sim.work or the environment variable NIGHTSHIFT_SIM_WORK ("45m")
// ends it after that long; nightshift.sim.fail or NIGHTSHIFT_SIM_FAIL ("true")
// makes it fail then.
package sagemakersim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/engine/simrun"
)

// Operations, as the door counts, throttles and loses them.
const (
	OpCreate   = "CreateTrainingJob"
	OpDescribe = "DescribeTrainingJob"
	OpStop     = "StopTrainingJob"
	OpList     = "ListTrainingJobs"
	OpListTags = "ListTags"
	OpAddTags  = "AddTags"
)

// Rates are assumptions: SageMaker publishes no figures for these operations.
func Rates() map[string]cadence.Rate {
	return map[string]cadence.Rate{
		OpCreate:   {PerSecond: 5, Burst: 10},
		OpStop:     {PerSecond: 5, Burst: 10},
		OpDescribe: {PerSecond: 10, Burst: 20},
		OpList:     {PerSecond: 10, Burst: 20},
		OpListTags: {PerSecond: 10, Burst: 20},
		OpAddTags:  {PerSecond: 5, Burst: 10},
	}
}

// Habit is how jobs behave where nobody planned otherwise: two minutes to
// start; SIGTERM and 120 s until they are stopped, as the service documents.
var Habit = simrun.Plan{StartDelay: 2 * time.Minute, Grace: 120 * time.Second}

const (
	runtimeDefault = 24 * time.Hour      // MaxRuntimeInSeconds where none is given
	runtimeMax     = 28 * 24 * time.Hour // the most it may be
	pageDefault    = 10
	pageMax        = 100
)

// Config says whose service it is.
type Config struct {
	Account, Region string
	Rates           map[string]cadence.Rate // nil: Rates()
	Quota           int                     // live jobs at most, then ResourceLimitExceeded; 0: no limit
}

// Sim is the service in one account and Region. It is an http.Handler.
type Sim struct {
	*simrun.Door
	simrun.Plans

	clock  simrun.Clock
	config Config

	mu   sync.Mutex
	jobs []*job // in order of creation
}

type job struct {
	seq   int
	name  string
	input map[string]json.RawMessage // CreateTrainingJob's body
	tags  []tag
	life  simrun.Life
}

type tag struct{ Key, Value string }

// New gives a service without jobs.
func New(clock simrun.Clock, config Config) *Sim {
	if config.Rates == nil {
		config.Rates = Rates()
	}
	return &Sim{Door: simrun.NewDoor(clock, config.Rates), clock: clock, config: config}
}

// ServeHTTP serves one request of the API.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	op, _ := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "SageMaker.")
	s.Serve(w, r, op, refusals, func(w http.ResponseWriter, r *http.Request) {
		var body map[string]json.RawMessage
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			(&refusal{"SerializationException", "the body is not a JSON object"}).write(w)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		answer, no := s.operate(op, body)
		if no != nil {
			no.write(w)
			return
		}
		write(w, 200, answer)
	})
}

func (s *Sim) operate(op string, in map[string]json.RawMessage) (any, *refusal) {
	switch op {
	case OpCreate:
		return s.create(in)
	case OpDescribe:
		return s.describe(in)
	case OpStop:
		return s.stop(in)
	case OpList:
		return s.list(in)
	case OpListTags:
		return s.listTags(in)
	case OpAddTags:
		return s.addTags(in)
	}
	return nil, &refusal{"UnknownOperationException", "the simulator does not know the operation " + op}
}

// Runs is the ledger: every training job, however long over.
func (s *Sim) Runs() []simrun.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	var records []simrun.Record
	for _, j := range s.jobs {
		records = append(records, j.life.Record(simrun.Record{
			ID: "training-job/" + j.name, Name: j.name, Session: j.tag("nightshift:session"), User: j.tag("nightshift:user"),
		}, now))
	}
	return simrun.Sort(records)
}

func (j *job) tag(key string) string {
	for _, t := range j.tags {
		if t.Key == key {
			return t.Value
		}
	}
	return ""
}

// text and number read a member of a request; "" and 0 where there is none or
// it is something else.
func text(in map[string]json.RawMessage, name string) (v string) {
	_ = json.Unmarshal(in[name], &v)
	return v
}

func number(in map[string]json.RawMessage, name string) (v float64) {
	_ = json.Unmarshal(in[name], &v)
	return v
}

var nameForm = regexp.MustCompile(`^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$`)

func (s *Sim) create(in map[string]json.RawMessage) (any, *refusal) {
	name := text(in, "TrainingJobName")
	limit, no := check(name, in)
	if no != nil {
		return nil, no
	}
	if s.job(name) != nil {
		return nil, &refusal{"ResourceInUse", "Training job names must be unique within an AWS account and region, and a training job with this name already exists (" + s.arn(name) + ")"}
	}
	now := s.clock.Now()
	if s.config.Quota > 0 && s.live(now) >= s.config.Quota {
		return nil, &refusal{"ResourceLimitExceeded", fmt.Sprintf("The account-level service limit for training jobs is %d Instances, with current utilization of %d Instances and a request delta of 1 Instances. Please use AWS Service Quotas to request an increase for this quota.", s.config.Quota, s.config.Quota)}
	}
	asked, no := wish(in)
	if no != nil {
		return nil, no
	}
	j := &job{seq: len(s.jobs) + 1, name: name, input: in}
	if raw := given(in, "Tags"); raw != nil && json.Unmarshal(raw, &j.tags) != nil {
		return nil, invalid("Tags must be a list of Key and Value")
	}
	j.life = simrun.Life{Created: now, Limit: limit, Plan: s.For(Habit, asked, name, j.tag("nightshift:session"))}
	s.jobs = append(s.jobs, j)
	return map[string]string{"TrainingJobArn": s.arn(name)}, nil
}

// check gives the job's own limit, or what is wrong with the request.
func check(name string, in map[string]json.RawMessage) (time.Duration, *refusal) {
	if !nameForm.MatchString(name) || len(name) > 63 {
		return 0, invalid("1 validation error detected: Value '%s' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression pattern", name)
	}
	for _, required := range []string{"RoleArn", "OutputDataConfig"} {
		if len(in[required]) == 0 {
			return 0, invalid("1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", required)
		}
	}
	var condition struct{ MaxRuntimeInSeconds *int64 }
	if raw := in["StoppingCondition"]; raw != nil && json.Unmarshal(raw, &condition) != nil {
		return 0, invalid("StoppingCondition is not valid")
	}
	if condition.MaxRuntimeInSeconds == nil {
		return runtimeDefault, nil
	}
	limit := time.Duration(*condition.MaxRuntimeInSeconds) * time.Second
	if limit < time.Second || limit > runtimeMax {
		return 0, invalid("MaxRuntimeInSeconds must be between 1 and %d", int(runtimeMax.Seconds()))
	}
	return limit, nil
}

// wish reads what the job wants to do out of its own parameters.
func wish(in map[string]json.RawMessage) (simrun.Plan, *refusal) {
	var hyper, env map[string]string
	_ = json.Unmarshal(in["HyperParameters"], &hyper)
	_ = json.Unmarshal(in["Environment"], &env)
	plan, err := simrun.Asked(cmp.Or(hyper["nightshift.sim.work"], env["NIGHTSHIFT_SIM_WORK"]),
		cmp.Or(hyper["nightshift.sim.fail"], env["NIGHTSHIFT_SIM_FAIL"]))
	if err != nil {
		return plan, invalid("%v", err)
	}
	return plan, nil
}

func (s *Sim) live(now time.Time) (n int) {
	for _, j := range s.jobs {
		if !j.life.At(now).Phase.Over() {
			n++
		}
	}
	return n
}

func (s *Sim) job(name string) *job {
	for _, j := range s.jobs {
		if j.name == name {
			return j
		}
	}
	return nil
}

func (s *Sim) describe(in map[string]json.RawMessage) (any, *refusal) {
	j := s.job(text(in, "TrainingJobName"))
	if j == nil {
		return nil, notFound
	}
	now := s.clock.Now()
	m := j.life.At(now)
	d := map[string]any{
		"TrainingJobName": j.name, "TrainingJobArn": s.arn(j.name), "TrainingJobStatus": status(m), "SecondaryStatus": j.secondary(m, now),
		"CreationTime": seconds(j.life.Created), "LastModifiedTime": seconds(j.modified(m, now)),
		"ModelArtifacts":    map[string]string{"S3ModelArtifacts": "s3://simulated/" + j.name + "/output/model.tar.gz"},
		"StoppingCondition": map[string]int{"MaxRuntimeInSeconds": int(j.life.Limit.Seconds())},
	}
	// Tags and the session chaining are not described.
	for _, same := range []string{"AlgorithmSpecification", "CheckpointConfig", "Environment", "HyperParameters", "InputDataConfig",
		"OutputDataConfig", "ResourceConfig", "RetryStrategy", "RoleArn", "VpcConfig", "EnableManagedSpotTraining", "EnableNetworkIsolation"} {
		if raw := given(j.input, same); raw != nil {
			d[same] = raw
		}
	}
	if !m.Started.IsZero() {
		d["TrainingStartTime"] = seconds(m.Started)
	}
	if m.Phase.Over() {
		d["TrainingEndTime"] = seconds(m.Ended)
	}
	if m.Phase == simrun.Failed {
		d["FailureReason"] = cmp.Or(j.life.Plan.Reason, "AlgorithmError: the simulated job failed, exit code: 1")
	}
	return d, nil
}

func (s *Sim) stop(in map[string]json.RawMessage) (any, *refusal) {
	j := s.job(text(in, "TrainingJobName"))
	if j == nil {
		return nil, notFound
	}
	now := s.clock.Now()
	if m := j.life.At(now); m.Phase.Over() {
		return nil, invalid("The request was rejected because the training job is in status %s.", status(m))
	}
	j.life.Stops = append(j.life.Stops, now)
	return map[string]string{}, nil
}

// list answers newest first, or oldest first where the caller says so; the token
// is the number of the last job of the page.
func (s *Sim) list(in map[string]json.RawMessage) (any, *refusal) {
	size, last := pageDefault, 0
	if n := int(number(in, "MaxResults")); n > 0 {
		if size = n; n > pageMax {
			return nil, invalid("MaxResults must be at most %d", pageMax)
		}
	}
	if token := text(in, "NextToken"); token != "" {
		n, err := strconv.Atoi(token)
		if err != nil || n < 1 {
			return nil, invalid("NextToken is not valid")
		}
		last = n
	}
	now := s.clock.Now()
	order := slices.Clone(s.jobs)
	ascending := text(in, "SortOrder") == "Ascending"
	if !ascending {
		slices.Reverse(order)
	}
	summaries := []any{}
	for _, j := range order {
		m := j.life.At(now)
		if (last > 0 && (j.seq == last || (j.seq < last) == ascending)) || !j.wanted(in, m, now) {
			continue
		}
		if len(summaries) == size {
			return map[string]any{"TrainingJobSummaries": summaries, "NextToken": strconv.Itoa(last)}, nil
		}
		summaries = append(summaries, s.summary(j, m, now))
		last = j.seq
	}
	return map[string]any{"TrainingJobSummaries": summaries}, nil
}

func (j *job) wanted(in map[string]json.RawMessage, m simrun.Moment, now time.Time) bool {
	if want := text(in, "StatusEquals"); want != "" && want != status(m) {
		return false
	}
	if part := text(in, "NameContains"); part != "" && !strings.Contains(j.name, part) {
		return false
	}
	for name, t := range map[string]time.Time{"LastModifiedTime": j.modified(m, now), "CreationTime": j.life.Created} {
		if after := given(in, name+"After"); after != nil && seconds(t) <= number(in, name+"After") {
			return false
		}
		if b := given(in, name+"Before"); b != nil && seconds(t) >= number(in, name+"Before") {
			return false
		}
	}
	return true
}

// given is a member of a request that is there and not null.
func given(in map[string]json.RawMessage, name string) json.RawMessage {
	if raw := in[name]; len(raw) > 0 && string(raw) != "null" {
		return raw
	}
	return nil
}

func (s *Sim) summary(j *job, m simrun.Moment, now time.Time) any {
	summary := map[string]any{
		"TrainingJobName": j.name, "TrainingJobArn": s.arn(j.name), "TrainingJobStatus": status(m), "SecondaryStatus": j.secondary(m, now),
		"CreationTime": seconds(j.life.Created), "LastModifiedTime": seconds(j.modified(m, now)),
	}
	if m.Phase.Over() {
		summary["TrainingEndTime"] = seconds(m.Ended)
	}
	return summary
}

func (s *Sim) listTags(in map[string]json.RawMessage) (any, *refusal) {
	j := s.tagged(in)
	if j == nil {
		return nil, notFound
	}
	return map[string]any{"Tags": append([]tag{}, j.tags...)}, nil
}

func (s *Sim) addTags(in map[string]json.RawMessage) (any, *refusal) {
	j := s.tagged(in)
	if j == nil {
		return nil, notFound
	}
	var tags []tag
	if err := json.Unmarshal(in["Tags"], &tags); err != nil {
		return nil, invalid("Tags must be a list of Key and Value")
	}
	for _, t := range tags {
		j.tags = append(slices.DeleteFunc(j.tags, func(old tag) bool { return old.Key == t.Key }), t)
	}
	return map[string]any{"Tags": j.tags}, nil
}

func (s *Sim) tagged(in map[string]json.RawMessage) *job {
	for _, j := range s.jobs {
		if s.arn(j.name) == text(in, "ResourceArn") {
			return j
		}
	}
	return nil
}

// arn has the name in lower case, as the service's ARNs do.
func (s *Sim) arn(name string) string {
	return "arn:aws:sagemaker:" + s.config.Region + ":" + s.config.Account + ":training-job/" + strings.ToLower(name)
}

func status(m simrun.Moment) string {
	switch m.Phase {
	case simrun.Stopping:
		return "Stopping"
	case simrun.Succeeded:
		return "Completed"
	case simrun.Stopped:
		return "Stopped"
	case simrun.Failed:
		return "Failed"
	}
	return "InProgress"
}

func (j *job) secondary(m simrun.Moment, now time.Time) string {
	switch {
	case m.Phase == simrun.Pending && now.Sub(j.life.Created) < j.life.Plan.StartDelay/2:
		return "Starting"
	case m.Phase == simrun.Pending:
		return "Downloading"
	case m.Phase == simrun.Running:
		return "Training"
	case m.Phase == simrun.Stopped && m.By == simrun.MaxRuntime:
		return "MaxRuntimeExceeded"
	}
	return status(m)
}

// modified is when the job's secondary status last changed.
func (j *job) modified(m simrun.Moment, now time.Time) time.Time {
	if half := j.life.Plan.StartDelay / 2; m.Phase == simrun.Pending && now.Sub(j.life.Created) >= half {
		return j.life.Created.Add(half)
	}
	return m.Since
}

// seconds is a timestamp of JSON 1.1: seconds since 1970, with milliseconds.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

type refusal struct{ code, message string }

func invalid(format string, args ...any) *refusal {
	return &refusal{"ValidationException", fmt.Sprintf(format, args...)}
}

var notFound = &refusal{"ResourceNotFound", "Requested resource not found."}

func (e *refusal) write(w http.ResponseWriter) { e.as(400)(w) }

func (e *refusal) as(status int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("X-Amzn-Errortype", e.code)
		write(w, status, map[string]string{"__type": e.code, "message": e.message})
	}
}

var refusals = simrun.Refusals{
	Down:      (&refusal{"ServiceUnavailable", "the simulated service is down"}).as(503),
	Throttled: (&refusal{"ThrottlingException", "Rate exceeded"}).as(400),
	Lost:      (&refusal{"InternalFailure", "An internal error occurred."}).as(500),
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	// The caller is gone if this fails; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(body)
}
