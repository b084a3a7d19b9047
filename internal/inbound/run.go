package inbound

import (
	"regexp"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// RunInputMax is the largest input of the run machine: Step Functions' own
// limit of 256 KiB. A larger spec is passed by reference.
const RunInputMax = 262_144

// The longest id of a session, and the longest location of checkpoints, as
// run.input.schema.json has them.
const (
	sessionMax    = 200
	checkpointMax = 1024
)

var checkpointForm = regexp.MustCompile(`^s3://[^/]+/.*$`)

var endpointForm = regexp.MustCompile(`^[a-z][a-z-]*/[A-Za-z0-9._:-]+(/[A-Za-z0-9._:-]+)?$`)

// ParseRun reads the input of an execution of the run machine
// (statemachines/run.input.schema.json): whose run it is, on which engine and
// endpoint, and the engine's own request, which is answered as it came. Its
// errors are of kind fault.Invalid and name the field.
func ParseRun(execution string, input []byte) (app.OpenRequest, []byte, error) {
	const op = "read the input of run"
	var r app.OpenRequest
	if len(input) > RunInputMax {
		return r, nil, fault.Newf(op, fault.Invalid, "the input has %d bytes; at most %d are allowed", len(input), RunInputMax)
	}
	o, err := object("", input, "user", "interactiveSession", "engine", "endpoint", "kind", "application", "domain", "maxRuntimeSeconds", "checkpoint", "restartOf", "spec")
	if err != nil {
		return r, nil, fault.New(op, fault.Invalid, err)
	}
	o.require("user", "engine", "endpoint", "spec")
	r = app.OpenRequest{Execution: execution, User: o.text("user"), Interactive: parseInteractive(o), Previous: o.text("restartOf"), Run: workload.Run{
		Engine:      workload.Engine(o.oneOf("engine", names(workload.Engines())...)),
		Endpoint:    o.text("endpoint"),
		Kind:        workload.Kind(o.oneOf("kind", names(workload.Kinds())...)),
		Application: workload.Application(o.oneOf("application", names(workload.Applications())...)),
		MaxRuntime:  o.seconds("maxRuntimeSeconds"),
		Domain:      o.text("domain"),
	}}
	if r.User != "" && !name.MatchString(r.User) {
		o.fail("user", "must be a user id of the identity store (letters, digits, '.', '_' and '-')")
	}
	if r.Run.Endpoint != "" && !endpointForm.MatchString(r.Run.Endpoint) {
		o.fail("endpoint", `must be written <api>/<account or cluster>[/<region>], such as "sagemaker/123456789012/us-east-1"`)
	}
	if len(r.Previous) > sessionMax {
		o.fail("restartOf", "must be the id of a session")
	}
	if at := o.text("checkpoint"); at != "" && (len(at) > checkpointMax || !checkpointForm.MatchString(at)) {
		o.fail("checkpoint", "must be a location in S3, such as \"s3://bucket/checkpoints/\"")
	}
	if r.Run.MaxRuntime > session.DurationMax {
		o.fail("maxRuntimeSeconds", "must be a whole number from 0 (not given) to 7776000 (90 days)")
	}
	if r.Run.Engine == workload.Livy && r.Run.Kind == "" {
		r.Run.Kind = workload.LivySession // what start-run starts on Livy
	}
	spec := o.raw["spec"]
	if o.has("spec") {
		if _, err := decode(spec); err != nil {
			o.fail("spec", "must be the engine's request as a JSON object")
		}
		r.Checkpoint, _ = checkpointOf(r.Run.Engine, o.raw, spec)
	}
	if err := o.err(); err != nil {
		return r, nil, fault.New(op, fault.Invalid, err)
	}
	return r, spec, nil
}
