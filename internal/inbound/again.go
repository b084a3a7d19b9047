package inbound

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

// runNames says which field of an engine's request names the run, and how long it
// may be. What is not here has no name of its caller's: the session's id names it.
var runNames = map[workload.Engine]struct {
	field string
	most  int
}{
	workload.EMRContainers:       {"name", 64},
	workload.SageMakerTraining:   {"TrainingJobName", 63},
	workload.SageMakerProcessing: {"ProcessingJobName", 63},
	workload.EMRNotebook:         {"NotebookExecutionName", 256},
}

// Again makes the input of the next attempt from that of an execution of run: the
// same spec under the next name, as the session that follows another (S4.4). The
// interactive session that the run before rode is left out: it may be over, and
// nobody knows of another. Its errors are of kind fault.Invalid.
func Again(input []byte, of string) (app.Attempt, error) {
	const op = "make the input of the next attempt"
	r, spec, err := ParseRun("", input)
	if err != nil {
		return app.Attempt{}, err
	}
	var fields, request map[string]json.RawMessage
	if err := json.Unmarshal(input, &fields); err != nil {
		return app.Attempt{}, fault.New(op, fault.Invalid, err)
	}
	if err := json.Unmarshal(spec, &request); err != nil {
		return app.Attempt{}, fault.New(op, fault.Invalid, err)
	}
	next := app.Attempt{}
	next.Checkpoint, next.Missing = checkpointOf(r.Run.Engine, fields, spec)
	if n, ok := runNames[r.Run.Engine]; ok {
		var name string
		// What is no text is for the engine to refuse, in its own words.
		if err := json.Unmarshal(request[n.field], &name); err == nil && name != "" {
			next.Name = nextName(name, n.most)
			request[n.field] = quoted(next.Name)
		}
	}
	delete(fields, "interactiveSession")
	fields["restartOf"] = quoted(of)
	if fields["spec"], err = json.Marshal(request); err == nil {
		next.Input, err = json.Marshal(fields)
	}
	if err != nil {
		return next, fault.New(op, fault.Invalid, err)
	}
	if len(next.Input) > RunInputMax {
		return next, fault.Newf(op, fault.Invalid, "the input of the next attempt has %d bytes; at most %d are allowed", len(next.Input), RunInputMax)
	}
	return next, nil
}

func quoted(s string) json.RawMessage {
	text, _ := json.Marshal(s) // a string can always be written
	return text
}

// checkpointOf is where a run keeps its checkpoints, or else what to set. As in the
// SDK's own reading of a request, the case of names does not matter.
func checkpointOf(engine workload.Engine, fields map[string]json.RawMessage, spec []byte) (location, missing string) {
	switch engine {
	case workload.SageMakerPipeline:
		return "", "" // the service itself knows how far it got
	case workload.SageMakerTraining:
		var request struct{ CheckpointConfig struct{ S3Uri string } }
		if err := json.Unmarshal(spec, &request); err == nil && request.CheckpointConfig.S3Uri != "" {
			return request.CheckpointConfig.S3Uri, ""
		}
		missing = "Set CheckpointConfig in the spec of the training job (S3Uri: where its checkpoints are kept), and have the script begin from one that is there."
	case workload.Livy:
		missing = "A Livy session's state is lost with it. Have the code write checkpoints to S3 and read them when it begins, and say where in checkpoint of the input of run."
	case workload.SageMakerProcessing, workload.EMRContainers, workload.EMRNotebook:
		missing = "Have the job write checkpoints to S3 and begin from one that is there, and say where in checkpoint of the input of run."
	}
	if err := json.Unmarshal(fields["checkpoint"], &location); err == nil && location != "" {
		return location, ""
	}
	return "", missing
}

var attemptForm = regexp.MustCompile(`^(.+)-r([1-9]\d{0,5})$`)

// nextName is the name of the attempt after one of this name: churn, churn-r2,
// churn-r3. A name that gets too long gives way at its end.
func nextName(name string, most int) string {
	n := 1
	if m := attemptForm.FindStringSubmatch(name); m != nil {
		name = m[1]
		n, _ = strconv.Atoi(m[2]) // six digits at most
	}
	suffix := "-r" + strconv.Itoa(n+1)
	return strings.TrimRight(name[:min(len(name), most-len(suffix))], "-") + suffix
}
