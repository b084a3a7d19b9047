// Package emrcontainerssim speaks the protocol of Amazon EMR on EKS
// (emr-containers 2020-10-01, REST-JSON) and behaves like it, for the local
// system and for tests. It knows the service's documented shapes, errors,
// states and rate limits; it checks no signatures, runs no Spark, and must not
// know Nightshift's adapter. Every answer says that it is simulated.
//
// What a job does is read from its own parameters: the Spark property
// spark.nightshift.sim.work ("45m") ends it after that long, and
// spark.nightshift.sim.fail ("true") makes it fail then. They may stand in
// sparkSubmitParameters or in the spark-defaults classification.
package emrcontainerssim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/engine/simrun"
)

// Operations, as the door counts, throttles and loses them.
const (
	OpStart            = "StartJobRun"
	OpDescribe         = "DescribeJobRun"
	OpCancel           = "CancelJobRun"
	OpList             = "ListJobRuns"
	OpListClusters     = "ListVirtualClusters"
	OpDescribeClusters = "DescribeVirtualCluster"
	OpCreateCluster    = "CreateVirtualCluster"
	OpDeleteCluster    = "DeleteVirtualCluster"
	opUnknown          = "unknown"
)

// Rates are the service's own limits per account and Region (EMR on EKS
// service quotas).
func Rates() map[string]cadence.Rate {
	return map[string]cadence.Rate{
		OpStart:            {PerSecond: 1, Burst: 25},
		OpCancel:           {PerSecond: 1, Burst: 25},
		OpDescribe:         {PerSecond: 20, Burst: 100},
		OpList:             {PerSecond: 5, Burst: 100},
		OpListClusters:     {PerSecond: 5, Burst: 100},
		OpDescribeClusters: {PerSecond: 5, Burst: 100},
		OpCreateCluster:    {PerSecond: 1, Burst: 25},
		OpDeleteCluster:    {PerSecond: 1, Burst: 25},
		simrun.All:         {PerSecond: 20, Burst: 200},
	}
}

// Habit is how runs behave where nobody planned otherwise: 45 s to start, 20 s
// in CANCEL_PENDING.
var Habit = simrun.Plan{StartDelay: 45 * time.Second, Grace: 20 * time.Second}

// pageDefault is the page size where the caller names none.
const pageDefault = 50

// Config says what there is at first.
type Config struct {
	Account, Region string
	Clusters        []string                // ids of virtual clusters that are there from the beginning
	Rates           map[string]cadence.Rate // nil: Rates()
	Series          int64                   // begins every run's id, so that a later simulator's ids are others; at most 10 digits
}

// Sim is the service in one account and Region. It is an http.Handler.
type Sim struct {
	*simrun.Door
	simrun.Plans

	clock  simrun.Clock
	config Config
	mux    *http.ServeMux

	mu       sync.Mutex
	jobs     []*job // in order of creation
	clusters []*cluster
}

type job struct {
	seq         int
	cluster, id string
	input       input
	life        simrun.Life
}

// input is StartJobRun's body; what the simulator only repeats stays raw.
type input struct {
	Name                     string            `json:"name,omitempty"`
	ClientToken              string            `json:"clientToken"`
	ExecutionRoleArn         string            `json:"executionRoleArn,omitempty"`
	ReleaseLabel             string            `json:"releaseLabel,omitempty"`
	JobTemplateID            string            `json:"jobTemplateId,omitempty"`
	JobTemplateParameters    map[string]string `json:"jobTemplateParameters,omitempty"`
	JobDriver                json.RawMessage   `json:"jobDriver,omitempty"`
	ConfigurationOverrides   json.RawMessage   `json:"configurationOverrides,omitempty"`
	RetryPolicyConfiguration json.RawMessage   `json:"retryPolicyConfiguration,omitempty"`
	Tags                     map[string]string `json:"tags,omitempty"`
}

// New gives a service without job runs.
func New(clock simrun.Clock, config Config) *Sim {
	if config.Rates == nil {
		config.Rates = Rates()
	}
	s := &Sim{Door: simrun.NewDoor(clock, config.Rates), clock: clock, config: config}
	for _, id := range config.Clusters {
		s.clusters = append(s.clusters, found(id, clock.Now()))
	}
	s.mux = http.NewServeMux()
	for pattern, op := range map[string]string{
		"POST /virtualclusters/{cluster}/jobruns":        OpStart,
		"GET /virtualclusters/{cluster}/jobruns":         OpList,
		"GET /virtualclusters/{cluster}/jobruns/{id}":    OpDescribe,
		"DELETE /virtualclusters/{cluster}/jobruns/{id}": OpCancel,
		"GET /virtualclusters":                           OpListClusters,
		"GET /virtualclusters/{cluster}":                 OpDescribeClusters,
		"POST /virtualclusters":                          OpCreateCluster,
		"DELETE /virtualclusters/{cluster}":              OpDeleteCluster,
		"/":                                              opUnknown,
	} {
		s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			s.Serve(w, r, op, refusals, func(w http.ResponseWriter, r *http.Request) { s.operate(op, w, r) })
		})
	}
	return s
}

// ServeHTTP serves one request of the API.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Runs is the ledger: every job run, however long over.
func (s *Sim) Runs() []simrun.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	var records []simrun.Record
	for _, j := range s.jobs {
		records = append(records, j.life.Record(simrun.Record{
			ID: j.cluster + "/" + j.id, Name: j.input.Name,
			Session: j.input.Tags["nightshift:session"], User: j.input.Tags["nightshift:user"],
		}, now))
	}
	return simrun.Sort(records)
}

func (s *Sim) operate(op string, w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var answer any
	var no *refusal
	switch op {
	case OpStart:
		answer, no = s.start(r)
	case OpList:
		answer, no = s.list(r)
	case OpDescribe:
		answer, no = s.describe(r)
	case OpCancel:
		answer, no = s.cancel(r)
	case OpListClusters:
		answer = s.listClusters(r.URL.Query()["states"])
	case OpDescribeClusters:
		answer, no = s.describeCluster(r.PathValue("cluster"))
	case OpCreateCluster:
		answer, no = s.createCluster(r)
	case OpDeleteCluster:
		answer, no = s.deleteCluster(r.PathValue("cluster"))
	default:
		no = &refusal{404, "UnknownOperationException", "the simulator does not know " + r.Method + " " + r.URL.Path}
	}
	if no != nil {
		no.write(w)
		return
	}
	write(w, 200, answer)
}

func (s *Sim) start(r *http.Request) (any, *refusal) {
	cluster := r.PathValue("cluster")
	c, no := s.cluster(cluster)
	if no != nil {
		return nil, no
	}
	if state := c.state(s.clock.Now()); state != clusterRunning {
		return nil, invalid("Virtual cluster %s is %s and takes no job runs", cluster, state)
	}
	var in input
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, invalid("the body is not JSON: %v", err)
	}
	if no := in.check(); no != nil {
		return nil, no
	}
	for _, j := range s.jobs {
		if j.cluster == cluster && j.input.ClientToken == in.ClientToken {
			return s.started(j), nil
		}
	}
	work, fail := in.property("spark.nightshift.sim.work"), in.property("spark.nightshift.sim.fail")
	asked, err := simrun.Asked(work, fail)
	if err != nil {
		return nil, invalid("%v", err)
	}
	seq := len(s.jobs) + 1
	j := &job{seq: seq, cluster: cluster, id: fmt.Sprintf("%010d%09d", s.config.Series, seq), input: in, life: simrun.Life{
		Created: s.clock.Now(), Plan: s.For(Habit, asked, in.Name, in.Tags["nightshift:session"]),
	}}
	s.jobs = append(s.jobs, j)
	return s.started(j), nil
}

func (in input) check() *refusal {
	switch {
	case in.ClientToken == "" || len(in.ClientToken) > 64:
		return invalid("clientToken must have 1 to 64 characters")
	case len(in.Tags) > 50:
		return invalid("tags must not be more than 50")
	case in.JobTemplateID != "":
		return nil
	case in.ExecutionRoleArn == "":
		return invalid("executionRoleArn is required without jobTemplateId")
	case in.ReleaseLabel == "":
		return invalid("releaseLabel is required without jobTemplateId")
	case len(in.JobDriver) == 0:
		return invalid("jobDriver is required without jobTemplateId")
	}
	return nil
}

// property finds a Spark property of the job.
func (in input) property(name string) string {
	in2 := struct {
		Submit struct {
			Parameters string `json:"sparkSubmitParameters"`
		} `json:"sparkSubmitJobDriver"`
	}{}
	// A driver of another shape has no such property.
	_ = json.Unmarshal(in.JobDriver, &in2)
	if m := regexp.MustCompile(regexp.QuoteMeta(name) + `=(\S+)`).FindStringSubmatch(in2.Submit.Parameters); m != nil {
		return m[1]
	}
	overrides := struct {
		Applications []struct {
			Classification string            `json:"classification"`
			Properties     map[string]string `json:"properties"`
		} `json:"applicationConfiguration"`
	}{}
	_ = json.Unmarshal(in.ConfigurationOverrides, &overrides)
	for _, a := range overrides.Applications {
		if a.Classification == "spark-defaults" && a.Properties[name] != "" {
			return a.Properties[name]
		}
	}
	return ""
}

func (s *Sim) started(j *job) any {
	return map[string]string{"id": j.id, "name": j.input.Name, "arn": s.arn(j.cluster) + "/jobruns/" + j.id, "virtualClusterId": j.cluster}
}

// list answers newest first; the token is the number of the last job of the page.
func (s *Sim) list(r *http.Request) (any, *refusal) {
	q := r.URL.Query()
	size, before := pageDefault, len(s.jobs)+1
	for name, target := range map[string]*int{"maxResults": &size, "nextToken": &before} {
		if v := q.Get(name); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil || n < 1 {
				return nil, invalid("%s %q is not valid", name, v)
			}
			*target = n
		}
	}
	created := map[string]time.Time{}
	for _, name := range []string{"createdAfter", "createdBefore"} {
		if v := q.Get(name); v != "" {
			at, err := time.Parse(time.RFC3339, v)
			if err != nil {
				return nil, invalid("%s %q is not a time", name, v)
			}
			created[name] = at
		}
	}
	now := s.clock.Now()
	answer := struct {
		JobRuns   []any  `json:"jobRuns"`
		NextToken string `json:"nextToken,omitempty"`
	}{JobRuns: []any{}}
	for _, j := range slices.Backward(s.jobs) {
		if j.seq >= before || j.cluster != r.PathValue("cluster") || !wanted(j, q["states"], q.Get("name"), now) || !j.between(created["createdAfter"], created["createdBefore"]) {
			continue
		}
		if len(answer.JobRuns) == size {
			answer.NextToken = strconv.Itoa(before)
			return answer, nil
		}
		answer.JobRuns = append(answer.JobRuns, s.show(j, now))
		before = j.seq
	}
	return answer, nil
}

func wanted(j *job, states []string, name string, now time.Time) bool {
	return (len(states) == 0 || slices.Contains(states, j.state(now))) && (name == "" || j.input.Name == name)
}

// between: the zero time is no limit.
func (j *job) between(after, before time.Time) bool {
	return (after.IsZero() || j.life.Created.After(after)) && (before.IsZero() || j.life.Created.Before(before))
}

func (s *Sim) find(r *http.Request) *job {
	for _, j := range s.jobs {
		if j.cluster == r.PathValue("cluster") && j.id == r.PathValue("id") {
			return j
		}
	}
	return nil
}

func (s *Sim) describe(r *http.Request) (any, *refusal) {
	j := s.find(r)
	if j == nil {
		return nil, notFound("Job run " + r.PathValue("id") + " doesn't exist.")
	}
	return map[string]any{"jobRun": s.show(j, s.clock.Now())}, nil
}

// cancel has no modeled "not found": an unknown run is a ValidationException.
func (s *Sim) cancel(r *http.Request) (any, *refusal) {
	j := s.find(r)
	if j == nil {
		return nil, invalid("Job run %s doesn't exist.", r.PathValue("id"))
	}
	now := s.clock.Now()
	if m := j.life.At(now); m.Phase.Over() {
		return nil, invalid("Job run %s is not in a cancellable state, current state: %s", j.id, j.state(now))
	}
	j.life.Stops = append(j.life.Stops, now)
	return map[string]string{"id": j.id, "virtualClusterId": j.cluster}, nil
}

func (j *job) state(now time.Time) string {
	switch m := j.life.At(now); m.Phase {
	case simrun.Pending:
		// Half of the start is queueing, half is the driver coming up.
		if now.Sub(j.life.Created) < j.life.Plan.StartDelay/2 {
			return "PENDING"
		}
		return "SUBMITTED"
	case simrun.Running:
		return "RUNNING"
	case simrun.Stopping:
		return "CANCEL_PENDING"
	case simrun.Succeeded:
		return "COMPLETED"
	case simrun.Stopped:
		return "CANCELLED"
	}
	return "FAILED"
}

func (s *Sim) show(j *job, now time.Time) any {
	m := j.life.At(now)
	shown := struct {
		input
		ID               string `json:"id"`
		VirtualClusterID string `json:"virtualClusterId"`
		ARN              string `json:"arn"`
		State            string `json:"state"`
		CreatedAt        string `json:"createdAt"`
		CreatedBy        string `json:"createdBy"`
		FinishedAt       string `json:"finishedAt,omitempty"`
		FailureReason    string `json:"failureReason,omitempty"`
		StateDetails     string `json:"stateDetails,omitempty"`
	}{
		input: j.input, ID: j.id, VirtualClusterID: j.cluster, ARN: s.arn(j.cluster) + "/jobruns/" + j.id,
		State: j.state(now), CreatedAt: stamp(j.life.Created), CreatedBy: "arn:aws:sts::" + s.config.Account + ":assumed-role/simulated/session",
	}
	if m.Phase.Over() {
		shown.FinishedAt = stamp(m.Ended)
	}
	if m.Phase == simrun.Failed {
		shown.FailureReason = "USER_ERROR"
		shown.StateDetails = cmp.Or(j.life.Plan.Reason, "JobRun failed. The main Spark container exited with code 1.")
	}
	return shown
}

// arn begins its resource with a slash, as the service's do.
func (s *Sim) arn(cluster string) string {
	return "arn:aws:emr-containers:" + s.config.Region + ":" + s.config.Account + ":/virtualclusters/" + cluster
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

type refusal struct {
	status        int
	code, message string
}

func invalid(format string, args ...any) *refusal {
	return &refusal{400, "ValidationException", fmt.Sprintf(format, args...)}
}

// notFound has status 400: so the API models it.
func notFound(message string) *refusal {
	return &refusal{400, "ResourceNotFoundException", message}
}

func (e *refusal) write(w http.ResponseWriter) {
	w.Header().Set("X-Amzn-Errortype", e.code)
	write(w, e.status, map[string]string{"message": e.message})
}

var refusals = simrun.Refusals{
	Down:      (&refusal{503, "ServiceUnavailableException", "the simulated service is down"}).write,
	Throttled: (&refusal{429, "ThrottlingException", "Rate exceeded"}).write,
	Lost:      (&refusal{500, "InternalServerException", "An internal error occurred."}).write,
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The caller is gone if this fails; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(body)
}
