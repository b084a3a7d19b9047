package asl

import (
	"errors"
	"fmt"
	"slices"
)

// Step Functions' own error names.
const (
	ErrorAll        = "States.ALL"
	ErrorTaskFailed = "States.TaskFailed"
	ErrorTimeout    = "States.Timeout"
	ErrorDataLimit  = "States.DataLimitExceeded"
	ErrorRuntime    = "States.Runtime"
	ErrorQuery      = "States.QueryEvaluationError"
)

var reserved = []string{ErrorAll, ErrorTaskFailed, ErrorTimeout, ErrorDataLimit, ErrorRuntime, ErrorQuery}

// TaskError is how a task failed: the name that Retry and Catch compare, and
// what $states.errorOutput.Cause says. For a Lambda function Name is the
// outermost Go type of its error and Cause the JSON text
// {"errorMessage":…,"errorType":…}.
type TaskError struct{ Name, Cause string }

func (e *TaskError) Error() string { return e.Name + ": " + e.Cause }

// What Step Functions answers to calls it refuses. Errors wrap one of them.
var (
	ErrExecutionAlreadyExists = errors.New("ExecutionAlreadyExists")
	ErrExecutionDoesNotExist  = errors.New("ExecutionDoesNotExist")
	ErrInvalidName            = errors.New("InvalidName")
	ErrInvalidInput           = errors.New("InvalidExecutionInput")
	ErrInvalidOutput          = errors.New("InvalidOutput")
	ErrInvalidToken           = errors.New("InvalidToken")
	ErrTaskDoesNotExist       = errors.New("TaskDoesNotExist") // the token was never given out, or so long ago that it is forgotten
	ErrTaskTimedOut           = errors.New("TaskTimedOut")     // its task is over: used, timed out, or the execution ended
)

// asTaskError gives any error of Services a name. The names of refused calls of
// the startExecution integration carry its prefix and suffix.
func asTaskError(err error) *TaskError {
	var te *TaskError
	if errors.As(err, &te) {
		return te
	}
	for _, known := range []error{ErrExecutionAlreadyExists, ErrInvalidName, ErrInvalidInput} {
		if errors.Is(err, known) {
			return &TaskError{"StepFunctions." + known.Error() + "Exception", err.Error()}
		}
	}
	return &TaskError{ErrorTaskFailed, err.Error()}
}

// matches says whether ErrorEquals covers an error. The two errors that say the
// execution itself cannot go on are covered by no wildcard.
func matches(names []string, name string) bool {
	if slices.Contains(names, name) {
		return true
	}
	if name == ErrorDataLimit || name == ErrorRuntime {
		return false
	}
	return slices.Contains(names, ErrorAll) || (name != ErrorTimeout && slices.Contains(names, ErrorTaskFailed))
}

func dataLimit(what string, size int) *TaskError {
	return &TaskError{ErrorDataLimit, fmt.Sprintf("%s has %d bytes, more than %d", what, size, DataLimit)}
}
