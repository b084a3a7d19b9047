// Package workload names what Nightshift watches: engines, their runs and the
// states a run can be in. It knows AWS's words and how they are normalised; it
// must not know users, policy or how a service is called.
package workload

import (
	"strings"
	"time"
)

// Engine is the service that executes a run.
type Engine string

// The six engines. The names are those of the run machine's input and of
// `nightshift decide`.
const (
	Livy                Engine = "livy"
	EMRContainers       Engine = "emr-containers"
	SageMakerTraining   Engine = "sagemaker-training"
	SageMakerProcessing Engine = "sagemaker-processing"
	SageMakerPipeline   Engine = "sagemaker-pipeline"
	EMRNotebook         Engine = "emr-notebook"
)

// Engines lists every engine, in the order they are shown to people.
func Engines() []Engine {
	return []Engine{Livy, EMRContainers, SageMakerTraining, SageMakerProcessing, SageMakerPipeline, EMRNotebook}
}

// Cap is the longest the engine itself lets a run be RUNNING; 0 means it sets
// no such limit. SageMaker API reference: training 28 days, processing 9 days.
func (e Engine) Cap() time.Duration {
	switch e {
	case SageMakerTraining:
		return 28 * 24 * time.Hour
	case SageMakerProcessing:
		return 9 * 24 * time.Hour
	}
	return 0
}

// OnSageMaker says whether the run belongs to SageMaker Studio's application.
func (e Engine) OnSageMaker() bool {
	return e == SageMakerTraining || e == SageMakerProcessing || e == SageMakerPipeline
}

// Kind is the kind of a Livy run; other engines have none.
type Kind string

// Livy's kinds. Only an interactive session can be a user background session.
const (
	LivySession   Kind = "livy-session"
	LivyBatch     Kind = "livy-batch"
	LivyStreaming Kind = "livy-streaming"
)

// Kinds lists Livy's kinds.
func Kinds() []Kind { return []Kind{LivySession, LivyBatch, LivyStreaming} }

// Application is what a Livy run computes with.
type Application string

// The applications EMR's documentation tells apart.
const (
	Spark Application = "spark"
	Hive  Application = "hive"
)

// Applications lists the known applications.
func Applications() []Application { return []Application{Spark, Hive} }

// State is a run's state, normalised over the engines.
type State string

// States a run passes through; Gone means a complete listing no longer has it
// and a describe (or a 404) confirmed that.
const (
	Pending   State = "PENDING"
	Running   State = "RUNNING"
	Idle      State = "IDLE"
	Stopping  State = "STOPPING"
	Succeeded State = "SUCCEEDED"
	Stopped   State = "STOPPED"
	Failed    State = "FAILED"
	Gone      State = "GONE"
)

// Unknown stands where the engine's word for a state is none that we know: the run
// is there, and neither over nor, as far as anybody knows, at work. It is no state a
// run passes through.
const Unknown State = "UNKNOWN"

// States lists every state.
func States() []State {
	return []State{Pending, Running, Idle, Stopping, Succeeded, Stopped, Failed, Gone}
}

// Over says whether a run in this state has ended for good.
func (s State) Over() bool {
	return s == Succeeded || s == Stopped || s == Failed || s == Gone
}

// Ref names one run uniquely: the endpoint that lists it and the id it has
// there. An endpoint is written "<api>/<account or cluster>[/<region>]", for
// example "livy/j-1YONHTCP3YZKC", "emr-containers/123456789012/us-east-1" or
// "sagemaker/123456789012/us-east-1".
type Ref struct {
	Endpoint string
	ID       string
}

// Canonical is the ref as it is compared. A SageMaker job's id is the resource
// part of its ARN, which mostly has the job's name in lower case, and which AWS
// does not write the same everywhere: its id is in lower case, whoever names it.
// Executions of pipelines are only ever named by ARNs, and stay as they are.
func (r Ref) Canonical() Ref {
	if !strings.HasPrefix(r.Endpoint, "sagemaker/") {
		return r
	}
	lower := strings.ToLower(r.ID)
	if strings.HasPrefix(lower, "training-job/") || strings.HasPrefix(lower, "processing-job/") {
		r.ID = lower
	}
	return r
}

// Run is what is known of one piece of work.
type Run struct {
	Engine      Engine
	Endpoint    string
	ID          string        // "" until the start has been seen
	Name        string        // a SageMaker job's own name, in its own letters, by which it is described and stopped; "" is unknown: ARNs do not tell
	Kind        Kind          // Livy only; "" is unknown
	Application Application   // Livy only; "" is unknown
	MaxRuntime  time.Duration // MaxRuntimeInSeconds; 0 is not given
	Domain      string        // SageMaker domain id; "" is unknown
	Cluster     string        // EMR notebook executions: id of the cluster that executes it; "" is unknown. A Livy run's endpoint names its own
	Billing     Billing       // what it is billed by, as its start or its engine says; zero is unknown
}

// Ref is the run's unique name, as it is compared.
func (r Run) Ref() Ref { return Ref{Endpoint: r.Endpoint, ID: r.ID}.Canonical() }

// Observation is what an engine said of one run at one moment.
type Observation struct {
	Run          Run
	Name         string // the engine's own name of it, for people
	State        State
	At           time.Time // when it was so: the engine's own time where it gives one, else when it was asked
	CreatedAt    time.Time // zero: the engine does not say (Livy)
	RunningSince time.Time // zero: the engine does not say
	Activity     Activity  // Livy interactive sessions only
	Was          string    // an id that the engine gave the run while it had no lasting one (Livy); "": none
	Stamp        string    // the session id Nightshift stamped on it; "" for runs it did not start
	User         string    // the user the run itself names (tag nightshift:user, proxyUser, …); "" is unknown
	Detail       string    // the engine's own words: failure reason, state details
	PartOf       string    // id of the run, on the same endpoint, that this one is a part of (a pipeline's job); "" is none
	Remains      bool      // it is over in the engine's words, and a stop request ends what may live on of it (a Livy session in error)
	Stuck        string    // what keeps a run that is STOPPING from stopping, by name; "" is nothing known
	Progress     Progress  // how far its work is, where the engine says so; zero: it does not
}

// Activity is what statements tell about a Livy session.
type Activity struct {
	Known bool
	Busy  bool      // a statement is running or waiting
	Since time.Time // when the last statement finished; zero where there has been none
}

// Listing is one look at an endpoint.
type Listing struct {
	Runs         []Observation
	Complete     bool // false: pages are missing, or the server is known to have forgotten runs; absence then proves nothing
	Forgotten    bool // only the latter: no page is missing, and since when a run is missing can be told (Livy)
	Unidentified int  // live runs without any durable name (a Livy session in local mode); never adopted
}
