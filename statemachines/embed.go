// Package statemachines holds the definitions of Nightshift's state machines as
// they are deployed, and the numbers put into them. It knows names, files and
// cadences; it must not know who executes them, and not the ARNs, which the
// caller adds.
package statemachines

import (
	"embed"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"nightshift/internal/cadence"
)

// The machines. The names are those of the files and of the deployed machines'
// last part.
const (
	Run   = "run"   // opens a session, starts the run and waits for the session's end
	Watch = "watch" // one an endpoint with live runs
	Drain = "drain" // one an endpoint with sessions that must end

	CreateVirtualCluster = "create-virtual-cluster" // of EMR on EKS
	DeleteVirtualCluster = "delete-virtual-cluster" // and waits until it is TERMINATED
	SubmitJobRun         = "submit-job-run"         // by Step Functions' own integration, under a session
	Restart              = "restart"                // from a checkpoint, under a new session
	ProcessInVPC         = "process-in-vpc"         // a SageMaker job, once its network was checked
	MoveNotebook         = "move-notebook"          // to another cluster of its VPC, or back
)

// RunWait is how long `run` waits for its session's end. A background session
// lives 90 days at most; ten more cover the stop of a run that resists.
const RunWait = 100 * 24 * time.Hour

const (
	// deleteWait bounds the wait for a virtual cluster to be TERMINATED, which takes
	// minutes where its namespace can be reached.
	deleteWait = 2 * time.Hour
	// GraceEvery is how often restart looks whether the run before is over, and
	// GraceRounds how often at most: an hour.
	GraceEvery  = 30 * time.Second
	GraceRounds = 120
)

// Resources of AWS services that the machines use besides Lambda's and Step
// Functions' own.
const (
	createCluster   = "arn:aws:states:::emr-containers:createVirtualCluster"
	deleteCluster   = "arn:aws:states:::emr-containers:deleteVirtualCluster.sync"
	describeCluster = "arn:aws:states:::aws-sdk:emrcontainers:describeVirtualCluster"
	startJobRun     = "arn:aws:states:::emr-containers:startJobRun.sync"

	describeEMRCluster   = "arn:aws:states:::aws-sdk:emr:describeCluster"
	createEMRCluster     = "arn:aws:states:::aws-sdk:emr:runJobFlow"
	terminateEMRClusters = "arn:aws:states:::aws-sdk:emr:terminateJobFlows"
	listEMRClusters      = "arn:aws:states:::aws-sdk:emr:listClusters"
	listBootstrapActions = "arn:aws:states:::aws-sdk:emr:listBootstrapActions"
	describeSubnets      = "arn:aws:states:::aws-sdk:ec2:describeSubnets"
)

// Integrations lists the resources of AWS services that the machines use besides
// Lambda's and Step Functions' own.
func Integrations() []string {
	return []string{createCluster, deleteCluster, describeCluster, startJobRun, describeEMRCluster, createEMRCluster, terminateEMRClusters, listEMRClusters, listBootstrapActions, describeSubnets}
}

// The errors of our functions that the machines tell apart: the names of the Go
// types the functions return, which is what Lambda reports.
const (
	InvalidInput = "InvalidInput" // the input can never be used; not retried
	UserLocked   = "UserLocked"   // the user may start nothing now; not retried
	Throttled    = "Throttled"    // a service asked to be called less; retried
	Conflict     = "Conflict"     // a race was lost more often than is handled within; retried
	Unavailable  = "Unavailable"  // every other failure; retried
)

// Errors lists the names above.
func Errors() []string { return []string{InvalidInput, UserLocked, Throttled, Conflict, Unavailable} }

// The substitutions whose values are ARNs.
const (
	OpenSessionArn     = "OpenSessionArn"     // function open-session, in run, submit-job-run and process-in-vpc
	StartRunArn        = "StartRunArn"        // function start-run, in run and process-in-vpc
	PreflightArn       = "PreflightArn"       // function preflight, in process-in-vpc
	ObserveEndpointArn = "ObserveEndpointArn" // function observe-endpoint, in watch
	DrainEndpointArn   = "DrainEndpointArn"   // function drain-endpoint, in drain
	RestartSessionArn  = "RestartSessionArn"  // function restart-session, in restart
	MoveNotebookArn    = "MoveNotebookArn"    // function move-notebook, in move-notebook
	WatchMachineArn    = "WatchMachineArn"    // watch itself: a literal, not a reference to the resource
	DrainMachineArn    = "DrainMachineArn"    // drain itself, likewise
)

//go:embed *.asl.json *.input.schema.json inputs/*.json
var files embed.FS

// Names lists the machines.
func Names() []string {
	return []string{Run, Watch, Drain, CreateVirtualCluster, DeleteVirtualCluster, SubmitJobRun, Restart, ProcessInVPC, MoveNotebook}
}

// Definition is a machine's definition before substitution: Amazon States
// Language as JSON. It panics where there is no such machine.
func Definition(name string) []byte { return file(name + ".asl.json") }

// InputSchema is the JSON Schema (2020-12) of a machine's input; nil for watch
// and drain, which nobody but Nightshift starts.
func InputSchema(name string) []byte {
	if name == Watch || name == Drain {
		return nil
	}
	return file(name + ".input.schema.json")
}

// Inputs are samples of a machine's input, by the name of the file below inputs/.
func Inputs(machine string) map[string][]byte {
	entries, err := files.ReadDir("inputs")
	if err != nil {
		panic(err) // it is embedded
	}
	all := map[string][]byte{}
	for _, e := range entries {
		if of, _, _ := strings.Cut(e.Name(), "."); of == machine {
			all[e.Name()] = file("inputs/" + e.Name())
		}
	}
	return all
}

func file(name string) []byte {
	data, err := files.ReadFile(name)
	if err != nil {
		panic(err) // the names are constants of this package
	}
	return data
}

var substitution = regexp.MustCompile(`\$\{([A-Za-z0-9_]+)\}`)

// Substitutions lists the names that stand as ${Name} in a definition, sorted:
// those of Values and those of ARNs.
func Substitutions(definition []byte) []string {
	var names []string
	for _, found := range substitution.FindAllSubmatch(definition, -1) {
		names = append(names, string(found[1]))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Values gives the substitutions of a definition that are numbers, as text; the
// rest of Substitutions are ARNs.
func Values(definition []byte) map[string]string {
	all := map[string]string{
		"TaskTimeoutSeconds": seconds(cadence.TaskTimeout),
		"RunWaitSeconds":     seconds(RunWait),
		"YoungSeconds":       seconds(cadence.Young),
		"DrainEverySeconds":  seconds(cadence.DrainEvery),
		"RoundsMax":          strconv.Itoa(cadence.RoundsMax),
		"DeleteWaitSeconds":  seconds(deleteWait),
		"GraceSeconds":       seconds(GraceEvery),
		"GraceRounds":        strconv.Itoa(GraceRounds),
	}
	values := map[string]string{}
	for _, s := range Substitutions(definition) {
		if v, ok := all[s]; ok {
			values[s] = v
		}
	}
	return values
}

// Filled are all substitutions of a definition: its Values, and of the ARNs those that
// it names.
func Filled(definition []byte, arns map[string]string) map[string]string {
	all := Values(definition)
	for _, s := range Substitutions(definition) {
		if arn, ok := arns[s]; ok {
			all[s] = arn
		}
	}
	return all
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
