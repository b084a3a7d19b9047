// Package emrnotebooksim speaks the protocol of Amazon EMR (elasticmapreduce
// 2009-03-31, JSON 1.1, targets ElasticMapReduce.*) and behaves like it for
// notebook executions, for what is asked about a cluster and for the credentials
// of a cluster's endpoints; for the local system and for tests. It knows the
// documented shapes, errors and states; it checks no signatures, runs no
// notebook, and must not know Nightshift's adapter. Every answer says that it is
// simulated.
//
// What an execution does is read from its own parameters: the environment
// variable NIGHTSHIFT_SIM_WORK, or nightshift.sim.work in the JSON of
// NotebookParams ("45m"), ends it after that long; NIGHTSHIFT_SIM_FAIL or
// nightshift.sim.fail ("true") makes it fail then.
package emrnotebooksim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/engine/simrun"
)

// Operations, as the door counts, throttles and loses them.
const (
	OpStart           = "StartNotebookExecution"
	OpStop            = "StopNotebookExecution"
	OpDescribe        = "DescribeNotebookExecution"
	OpList            = "ListNotebookExecutions"
	OpDescribeCluster = "DescribeCluster"
	OpCredentials     = "GetClusterSessionCredentials"
	OpRunJobFlow      = "RunJobFlow"
	OpTerminate       = "TerminateJobFlows"
	OpListClusters    = "ListClusters"
	OpListActions     = "ListBootstrapActions"
)

// Rates are the service quotas of EMR where it publishes one: DescribeCluster's
// refill, GetClusterSessionCredentials, and 200 requests a second for all
// together. The notebook operations are not in that table; they have here what
// most of EMR's operations have in it, 0.5 a second and 5 at once.
func Rates() map[string]cadence.Rate {
	usual := cadence.Rate{PerSecond: 0.5, Burst: 5}
	return map[string]cadence.Rate{
		OpStart: usual, OpStop: usual, OpDescribe: usual, OpList: usual, OpCredentials: usual, OpRunJobFlow: usual, OpTerminate: usual, OpListClusters: usual, OpListActions: usual,
		OpDescribeCluster: {PerSecond: 1, Burst: 10},
		simrun.All:        {PerSecond: 200, Burst: 200},
	}
}

// Habit is how executions behave where nobody planned otherwise: a minute to
// start, 20 s from the request to stop to the end.
var Habit = simrun.Plan{StartDelay: time.Minute, Grace: 20 * time.Second}

const (
	pageSize = 50                  // executions on a page
	listed   = 30 * 24 * time.Hour // how far back a list goes where the caller does not say
	lasting  = time.Hour           // how long credentials are good: assumed, the service tells with each
)

// Cluster is a cluster that executes notebooks.
type Cluster struct {
	ID                    string
	ReleaseLabel          string // "": "emr-7.12.0"
	SecurityConfiguration string // its name; without one, runtime roles cannot use the cluster
	PrimaryDNS            string // MasterPublicDnsName
	Subnet                string // "": DefaultSubnet

	made made
}

// DefaultSubnet is where a cluster is that says no other.
const DefaultSubnet = "subnet-0a1b2c3d4e5f60001"

// Config says what there is besides executions.
type Config struct {
	Account, Region string
	Clusters        []Cluster
	Creator         string                  // value of the tag creatorUserId; "": no such tag
	Rates           map[string]cadence.Rate // nil: Rates()
	Series          int64                   // begins every run's id, so that a later simulator's ids are others; at most 10 digits
}

// Sim is the service in one account and Region. It is an http.Handler.
type Sim struct {
	*simrun.Door
	simrun.Plans

	clock  simrun.Clock
	config Config
	since  time.Time

	mu         sync.Mutex
	executions []*execution         // in order of creation
	terminated map[string]time.Time // clusters, by id
	issued     []credentials

	refuseClusters, failClusters bool
}

// New gives a service without executions.
func New(clock simrun.Clock, config Config) *Sim {
	if config.Rates == nil {
		config.Rates = Rates()
	}
	return &Sim{Door: simrun.NewDoor(clock, config.Rates), clock: clock, config: config, since: clock.Now(), terminated: map[string]time.Time{}}
}

// ServeHTTP serves one request of the API.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	op, _ := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "ElasticMapReduce.")
	s.Serve(w, r, op, refusals, func(w http.ResponseWriter, r *http.Request) {
		body := json.RawMessage{}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			(&refusal{"SerializationException", "the body is not JSON"}).write(w)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		answer, no := s.operate(op, body, s.clock.Now())
		if no != nil {
			no.write(w)
			return
		}
		write(w, 200, answer)
	})
}

func (s *Sim) operate(op string, body []byte, now time.Time) (any, *refusal) {
	s.retire(now)
	switch op {
	case OpStart:
		return s.start(body, now)
	case OpStop:
		return s.stop(body, now)
	case OpDescribe:
		return s.describe(body, now)
	case OpList:
		return s.list(body, now)
	case OpDescribeCluster:
		return s.describeCluster(body, now)
	case OpCredentials:
		return s.credentials(body, now)
	case OpRunJobFlow:
		return s.runJobFlow(body, now)
	case OpTerminate:
		return s.terminateJobFlows(body, now)
	case OpListClusters:
		return s.listClusters(body, now)
	case OpListActions:
		return s.listBootstrapActions(body)
	}
	return nil, &refusal{"UnknownOperationException", "the simulator does not know the operation " + op}
}

// Runs is the ledger: every notebook execution, however long over.
func (s *Sim) Runs() []simrun.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	var records []simrun.Record
	for _, x := range s.executions {
		m := s.at(x, now)
		r := x.life.Record(simrun.Record{ID: x.id, Name: x.in.NotebookExecutionName, Session: x.tag("nightshift:session"), User: x.tag("nightshift:user")}, now)
		r.Started, r.Ended, r.Phase, r.By = m.Started, m.Ended, m.Phase, simrun.NoOne
		if m.Phase.Over() {
			r.By = m.By
		}
		records = append(records, r)
	}
	return simrun.Sort(records)
}

// Terminate ends a cluster, and what it executes with it.
func (s *Sim) Terminate(cluster string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, before := s.terminated[cluster]; !before {
		s.terminated[cluster] = s.clock.Now()
	}
}

// read takes a request apart; unknown members are no error, as in the service.
func read(body []byte, into any) *refusal {
	if err := json.Unmarshal(body, into); err != nil {
		return &refusal{"SerializationException", err.Error()}
	}
	return nil
}

// seconds is a timestamp of JSON 1.1: seconds since 1970, with milliseconds.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func moment(s float64) time.Time { return time.UnixMilli(int64(s * 1000)).UTC() }

type refusal struct{ code, message string }

func invalid(format string, args ...any) *refusal {
	return &refusal{"InvalidRequestException", fmt.Sprintf(format, args...)}
}

func (e *refusal) write(w http.ResponseWriter) { e.as(400)(w) }

func (e *refusal) as(status int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("X-Amzn-Errortype", e.code)
		write(w, status, map[string]string{"__type": e.code, "Message": e.message})
	}
}

var refusals = simrun.Refusals{
	Down:      (&refusal{"ServiceUnavailable", "the simulated service is down"}).as(503),
	Throttled: (&refusal{"ThrottlingException", "Rate exceeded"}).as(400),
	Lost:      (&refusal{"InternalServerException", "An internal error occurred."}).as(500),
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	// The caller is gone if this fails; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(body)
}
