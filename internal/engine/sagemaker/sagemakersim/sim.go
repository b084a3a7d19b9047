// Package sagemakersim speaks the protocol of Amazon SageMaker AI (2017-07-24,
// JSON 1.1, targets SageMaker.*) and behaves like it for training jobs,
// processing jobs and pipelines, for the local system and for tests. It knows the documented shapes, errors and states;
// it checks no signatures, trains nothing, and must not know Nightshift's
// adapter. Every answer says that it is simulated.
//
// What a job does is read from its own parameters: the hyperparameter
// nightshift.sim.work or the environment variable NIGHTSHIFT_SIM_WORK ("45m")
// ends it after that long; nightshift.sim.fail or NIGHTSHIFT_SIM_FAIL ("true")
// makes it fail then. The jobs of a pipeline's steps are jobs like all others.
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
	OpCreate             = "CreateTrainingJob"
	OpDescribe           = "DescribeTrainingJob"
	OpStop               = "StopTrainingJob"
	OpList               = "ListTrainingJobs"
	OpCreateProcessing   = "CreateProcessingJob"
	OpDescribeProcessing = "DescribeProcessingJob"
	OpStopProcessing     = "StopProcessingJob"
	OpListProcessing     = "ListProcessingJobs"
	OpListTags           = "ListTags"
	OpAddTags            = "AddTags"
	OpCreatePipeline     = "CreatePipeline"
	OpListPipelines      = "ListPipelines"
	OpStartExecution     = "StartPipelineExecution"
	OpDescribeExecution  = "DescribePipelineExecution"
	OpStopExecution      = "StopPipelineExecution"
	OpRetryExecution     = "RetryPipelineExecution"
	OpListExecutions     = "ListPipelineExecutions"
	OpListSteps          = "ListPipelineExecutionSteps"
	OpStepSuccess        = "SendPipelineExecutionStepSuccess"
	OpStepFailure        = "SendPipelineExecutionStepFailure"
)

// Rates are assumptions: SageMaker publishes no figures for these operations.
func Rates() map[string]cadence.Rate {
	rates := map[string]cadence.Rate{}
	for _, changes := range []string{OpCreate, OpStop, OpCreateProcessing, OpStopProcessing, OpAddTags, OpStartExecution, OpStopExecution} {
		rates[changes] = cadence.Rate{PerSecond: 5, Burst: 10}
	}
	for _, reads := range []string{OpDescribe, OpList, OpDescribeProcessing, OpListProcessing, OpListTags, OpListPipelines, OpDescribeExecution, OpListExecutions, OpListSteps} {
		rates[reads] = cadence.Rate{PerSecond: 10, Burst: 20}
	}
	return rates
}

// Habit is how jobs behave where nobody planned otherwise: two minutes to
// start; SIGTERM and 120 s until they are stopped, as the service documents.
var Habit = simrun.Plan{StartDelay: 2 * time.Minute, Grace: 120 * time.Second}

const (
	runtimeDefault = 24 * time.Hour // MaxRuntimeInSeconds where none is given
	pageDefault    = 10
	pageMax        = 100
)

// kind is one kind of job, in the API's words.
type kind struct {
	resource   string // in ARNs
	word       string // begins the names of members: TrainingJobName, …
	verb       string // begins TrainingStartTime, …
	noun       string
	runtimeMax time.Duration // the most that MaxRuntimeInSeconds may be
	required   []string
	described  []string // members of the request that a description repeats; tags are not among them
}

var (
	training = kind{
		"training-job", "TrainingJob", "Training", "training job", 28 * 24 * time.Hour,
		[]string{"RoleArn", "OutputDataConfig"},
		[]string{"AlgorithmSpecification", "CheckpointConfig", "Environment", "HyperParameters", "InputDataConfig", "OutputDataConfig",
			"ResourceConfig", "RetryStrategy", "RoleArn", "VpcConfig", "EnableManagedSpotTraining", "EnableNetworkIsolation"},
	}
	processing = kind{
		"processing-job", "ProcessingJob", "Processing", "processing job", 777_600 * time.Second,
		[]string{"RoleArn", "AppSpecification", "ProcessingResources"},
		[]string{"AppSpecification", "Environment", "ExperimentConfig", "NetworkConfig", "ProcessingInputs", "ProcessingOutputConfig",
			"ProcessingResources", "RoleArn"},
	}
)

// Config says whose service it is.
type Config struct {
	Account, Region string
	Rates           map[string]cadence.Rate // nil: Rates()
	Quota           int                     // live jobs of a kind at most, then ResourceLimitExceeded; 0: no limit
	Pipelines       []Pipeline              // that are there from the beginning
}

// Sim is the service in one account and Region. It is an http.Handler.
type Sim struct {
	*simrun.Door
	simrun.Plans

	clock  simrun.Clock
	config Config

	mu         sync.Mutex
	jobs       []*job // in order of creation
	pipelines  []*pipeline
	executions []*execution // in order of their start
	tokens     map[string]*execution
}

type job struct {
	kind  kind
	seq   int
	name  string
	input map[string]json.RawMessage // the create request
	tags  []tag
	life  simrun.Life
}

type tag struct{ Key, Value string }

// New gives a service without jobs. It panics where a pipeline of the
// configuration is not one: that is a mistake in the program.
func New(clock simrun.Clock, config Config) *Sim {
	if config.Rates == nil {
		config.Rates = Rates()
	}
	s := &Sim{Door: simrun.NewDoor(clock, config.Rates), clock: clock, config: config, tokens: map[string]*execution{}}
	for _, p := range config.Pipelines {
		if no := s.addPipeline(p); no != nil {
			panic(no.message)
		}
	}
	return s
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
	s.progress()
	for _, k := range []kind{training, processing} {
		switch op {
		case "Create" + k.word:
			return s.create(k, in)
		case "Describe" + k.word:
			return s.describe(k, in)
		case "Stop" + k.word:
			return s.stop(k, in)
		case "List" + k.word + "s":
			return s.list(k, in)
		}
	}
	switch op {
	case OpListTags:
		return s.listTags(in)
	case OpAddTags:
		return s.addTags(in)
	}
	return s.operatePipelines(op, in)
}

// Runs is the ledger: every job and every pipeline execution, however long over.
// Their ids begin as in ARNs: training-job/, processing-job/, pipeline/.
func (s *Sim) Runs() []simrun.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress()
	now := s.clock.Now()
	var records []simrun.Record
	for _, j := range s.jobs {
		records = append(records, j.life.Record(simrun.Record{
			ID: j.kind.resource + "/" + strings.ToLower(j.name), Name: j.name, Session: j.tag("nightshift:session"), User: j.tag("nightshift:user"),
		}, now))
	}
	for _, x := range s.executions {
		records = append(records, x.record())
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

func (s *Sim) create(k kind, in map[string]json.RawMessage) (any, *refusal) {
	name := text(in, k.word+"Name")
	limit, no := check(k, name, in)
	if no != nil {
		return nil, no
	}
	if s.taken(k, name) {
		return nil, &refusal{"ResourceInUse", "Job names must be unique within an AWS account and region, and a " + k.noun + " with this name already exists (" + s.arn(k.resource, name) + ")"}
	}
	now := s.clock.Now()
	if s.config.Quota > 0 && s.live(k, now) >= s.config.Quota {
		return nil, &refusal{"ResourceLimitExceeded", fmt.Sprintf("The account-level service limit for %ss is %d Instances, with current utilization of %d Instances and a request delta of 1 Instances. Please use AWS Service Quotas to request an increase for this quota.", k.noun, s.config.Quota, s.config.Quota)}
	}
	asked, no := wish(in)
	if no != nil {
		return nil, no
	}
	j := &job{kind: k, name: name, input: in}
	if raw := given(in, "Tags"); raw != nil && json.Unmarshal(raw, &j.tags) != nil {
		return nil, invalid("Tags must be a list of Key and Value")
	}
	j.life = simrun.Life{Created: now, Limit: limit, Plan: s.For(Habit, asked, name, j.tag("nightshift:session"))}
	s.add(j)
	return map[string]string{k.word + "Arn": s.arn(k.resource, name)}, nil
}

func (s *Sim) add(j *job) {
	j.seq = len(s.jobs) + 1
	s.jobs = append(s.jobs, j)
}

// check gives the job's own limit, or what is wrong with the request.
func check(k kind, name string, in map[string]json.RawMessage) (time.Duration, *refusal) {
	if !nameForm.MatchString(name) || len(name) > 63 {
		return 0, invalid("1 validation error detected: Value '%s' at '%sName' failed to satisfy constraint: Member must satisfy regular expression pattern", name, k.word)
	}
	for _, required := range k.required {
		if len(in[required]) == 0 {
			return 0, invalid("1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", required)
		}
	}
	return limit(k, in)
}

func limit(k kind, in map[string]json.RawMessage) (time.Duration, *refusal) {
	var condition struct{ MaxRuntimeInSeconds *int64 }
	if raw := in["StoppingCondition"]; raw != nil && json.Unmarshal(raw, &condition) != nil {
		return 0, invalid("StoppingCondition is not valid")
	}
	if condition.MaxRuntimeInSeconds == nil {
		return runtimeDefault, nil
	}
	limit := time.Duration(*condition.MaxRuntimeInSeconds) * time.Second
	if limit < time.Second || limit > k.runtimeMax {
		return 0, invalid("MaxRuntimeInSeconds must be between 1 and %d", int(k.runtimeMax.Seconds()))
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

func (s *Sim) live(k kind, now time.Time) (n int) {
	for _, j := range s.jobs {
		if j.kind.resource == k.resource && !j.life.At(now).Phase.Over() {
			n++
		}
	}
	return n
}

// job finds a job by its name, letter by letter. What AWS does with the name in
// an ARN, which is in lower case, is not documented: who relies on it shall see
// it fail here.
func (s *Sim) job(k kind, name string) *job {
	for _, j := range s.jobs {
		if j.kind.resource == k.resource && j.name == name {
			return j
		}
	}
	return nil
}

// taken says whether a name is: two in different cases would share an ARN.
func (s *Sim) taken(k kind, name string) bool {
	return slices.ContainsFunc(s.jobs, func(j *job) bool { return j.kind.resource == k.resource && strings.EqualFold(j.name, name) })
}

func (s *Sim) describe(k kind, in map[string]json.RawMessage) (any, *refusal) {
	j := s.job(k, text(in, k.word+"Name"))
	if j == nil {
		return nil, notFound
	}
	now := s.clock.Now()
	m := j.life.At(now)
	d := s.summary(j, m, now)
	d["StoppingCondition"] = map[string]int{"MaxRuntimeInSeconds": int(j.life.Limit.Seconds())}
	if k.resource == training.resource {
		d["ModelArtifacts"] = map[string]string{"S3ModelArtifacts": "s3://simulated/" + j.name + "/output/model.tar.gz"}
	}
	for _, same := range k.described {
		if raw := given(j.input, same); raw != nil {
			d[same] = raw
		}
	}
	if !m.Started.IsZero() {
		d[k.verb+"StartTime"] = seconds(m.Started)
	}
	if m.Phase == simrun.Failed {
		d["FailureReason"] = j.failure()
	}
	return d, nil
}

func (j *job) failure() string {
	return cmp.Or(j.life.Plan.Reason, "AlgorithmError: the simulated job failed, exit code: 1")
}

func (s *Sim) stop(k kind, in map[string]json.RawMessage) (any, *refusal) {
	j := s.job(k, text(in, k.word+"Name"))
	if j == nil {
		return nil, notFound
	}
	now := s.clock.Now()
	if m := j.life.At(now); m.Phase.Over() {
		return nil, invalid("The request was rejected because the %s is in status %s.", k.noun, status(m))
	}
	j.life.Stops = append(j.life.Stops, now)
	return map[string]string{}, nil
}

// list answers newest first, or oldest first where the caller says so.
func (s *Sim) list(k kind, in map[string]json.RawMessage) (any, *refusal) {
	now := s.clock.Now()
	var items []item
	for _, j := range s.jobs {
		if m := j.life.At(now); j.kind.resource == k.resource && j.wanted(in, m, now) {
			items = append(items, item{j.seq, s.summary(j, m, now)})
		}
	}
	return page(in, pageDefault, k.word+"Summaries", items, text(in, "SortOrder") == "Ascending")
}

// item is one element of a list, with its place in the order of creation.
type item struct {
	seq  int
	view any
}

// page answers one page of what was listed in the order of creation; the token
// is the place of the page's last element.
func page(in map[string]json.RawMessage, size int, member string, items []item, ascending bool) (any, *refusal) {
	last := 0
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
	if !ascending {
		slices.Reverse(items)
	}
	views := []any{}
	for _, i := range items {
		if last > 0 && (i.seq == last || (i.seq < last) == ascending) {
			continue
		}
		if len(views) == size {
			return map[string]any{member: views, "NextToken": strconv.Itoa(last)}, nil
		}
		views, last = append(views, i.view), i.seq
	}
	return map[string]any{member: views}, nil
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

func (s *Sim) summary(j *job, m simrun.Moment, now time.Time) map[string]any {
	word := j.kind.word
	summary := map[string]any{
		word + "Name": j.name, word + "Arn": s.arn(j.kind.resource, j.name), word + "Status": status(m),
		"CreationTime": seconds(j.life.Created), "LastModifiedTime": seconds(j.modified(m, now)),
	}
	if j.kind.resource == training.resource {
		summary["SecondaryStatus"] = j.secondary(m, now)
	}
	if m.Phase.Over() {
		summary[j.kind.verb+"EndTime"] = seconds(m.Ended)
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
		if s.arn(j.kind.resource, j.name) == text(in, "ResourceArn") {
			return j
		}
	}
	return nil
}

// arn has the name in lower case, as the service's ARNs do.
func (s *Sim) arn(resource, name string) string {
	return "arn:aws:sagemaker:" + s.config.Region + ":" + s.config.Account + ":" + resource + "/" + strings.ToLower(name)
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
