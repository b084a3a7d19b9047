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
	"time"

	"nightshift/internal/cadence"
)

// The machines. The names are those of the files and of the deployed machines'
// last part.
const (
	Run   = "run"   // opens a session, starts the run and waits for the session's end
	Watch = "watch" // one an endpoint with live runs
	Drain = "drain" // one an endpoint with sessions that must end
)

// RunWait is how long `run` waits for its session's end. A background session
// lives 90 days at most; ten more cover the stop of a run that resists.
const RunWait = 100 * 24 * time.Hour

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
	OpenSessionArn     = "OpenSessionArn"     // function open-session, in run
	StartRunArn        = "StartRunArn"        // function start-run, in run
	ObserveEndpointArn = "ObserveEndpointArn" // function observe-endpoint, in watch
	DrainEndpointArn   = "DrainEndpointArn"   // function drain-endpoint, in drain
	WatchMachineArn    = "WatchMachineArn"    // watch itself: a literal, not a reference to the resource
	DrainMachineArn    = "DrainMachineArn"    // drain itself, likewise
)

//go:embed run.asl.json watch.asl.json drain.asl.json run.input.schema.json
var files embed.FS

// Names lists the machines.
func Names() []string { return []string{Run, Watch, Drain} }

// Definition is a machine's definition before substitution: Amazon States
// Language as JSON. It panics where there is no such machine.
func Definition(name string) []byte { return file(name + ".asl.json") }

// RunInputSchema is the JSON Schema (2020-12) of run's input.
func RunInputSchema() []byte { return file("run.input.schema.json") }

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
func Substitutions(name string) []string {
	var names []string
	for _, found := range substitution.FindAllSubmatch(Definition(name), -1) {
		names = append(names, string(found[1]))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Values gives the substitutions of a machine that are numbers, as text; the
// rest of Substitutions are ARNs.
func Values(name string) map[string]string {
	all := map[string]string{
		"TaskTimeoutSeconds": seconds(cadence.TaskTimeout),
		"RunWaitSeconds":     seconds(RunWait),
		"YoungSeconds":       seconds(cadence.Young),
		"DrainEverySeconds":  seconds(cadence.DrainEvery),
		"RoundsMax":          strconv.Itoa(cadence.RoundsMax),
	}
	values := map[string]string{}
	for _, s := range Substitutions(name) {
		if v, ok := all[s]; ok {
			values[s] = v
		}
	}
	return values
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
