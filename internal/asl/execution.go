package asl

import (
	"sync"
	"time"

	"nightshift/internal/asl/clock"
)

// Status is the state of an execution.
type Status string

// The statuses of Step Functions.
const (
	Running   Status = "RUNNING"
	Succeeded Status = "SUCCEEDED"
	Failed    Status = "FAILED"
	TimedOut  Status = "TIMED_OUT"
	Aborted   Status = "ABORTED"
)

// Event is one entry of an execution's history.
type Event struct {
	ID       int64 // 1, 2, 3, …
	Previous int64 // 0 for the first two, as in Step Functions
	Type     string
	At       time.Time
	State    string        // of …StateEntered and …StateExited
	Resource string        // of Task…
	Input    []byte        // of …StateEntered, ExecutionStarted; of TaskScheduled the arguments
	Output   []byte        // of …StateExited, TaskSubmitted, TaskSucceeded, ExecutionSucceeded
	Timeout  time.Duration // of TaskScheduled; 0: none
	Error    string        // of …Failed, …TimedOut, ExecutionAborted
	Cause    string
}

// Execution is one run of a machine. Its methods may be called at any time by
// anyone; what they return must not be changed.
type Execution struct {
	arn, name, machineARN string
	input                 []byte
	started               time.Time
	machine               *Machine

	mu      sync.Mutex
	status  Status
	stopped time.Time
	output  []byte
	error   string
	cause   string
	path    []string
	events  []Event
	count   int64
	full    bool          // the history has no room for more than the end
	bare    bool          // events are counted and not kept
	signal  *clock.Signal // what the chain waits for, if it waits
	tokens  []string      // all it has given out
}

// ARN is the execution's ARN.
func (e *Execution) ARN() string { return e.arn }

// Name is the execution's name.
func (e *Execution) Name() string { return e.name }

// MachineARN is the ARN of its state machine.
func (e *Execution) MachineARN() string { return e.machineARN }

// Input is the JSON it was started with.
func (e *Execution) Input() []byte { return e.input }

// StartedAt is when it was started.
func (e *Execution) StartedAt() time.Time { return e.started }

// Status is what it is now.
func (e *Execution) Status() Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.status
}

// StoppedAt is when it ended; zero while it runs.
func (e *Execution) StoppedAt() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stopped
}

// Output is the JSON it ended with; nil unless it succeeded.
func (e *Execution) Output() []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.output
}

// Failure is the error name and the cause it ended with; "" unless it failed,
// timed out or was aborted.
func (e *Execution) Failure() (name, cause string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.error, e.cause
}

// Path lists the states it has entered. It is empty once dropped, see Options.
func (e *Execution) Path() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.path...)
}

// History lists its events. It is empty once dropped, see Options.
func (e *Execution) History() []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]Event(nil), e.events...)
}

// Events counts its events, dropped ones too.
func (e *Execution) Events() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.count
}

// record appends an event. An ended execution's history does not grow, and the
// last place is kept for the event that ends it.
func (e *Execution) record(now time.Time, ev Event) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.append(now, ev, false)
}

// append needs the lock.
func (e *Execution) append(now time.Time, ev Event, last bool) int64 {
	if e.status != Running || e.full {
		return e.count
	}
	if !last && e.count == HistoryLimit-1 {
		e.full = true
		return e.count
	}
	e.count++
	ev.ID, ev.At = e.count, now
	if e.count > 2 {
		ev.Previous = e.count - 1
	}
	if !e.bare {
		e.events = append(e.events, ev)
	}
	return e.count
}

// finish ends the execution unless it has ended, and says whether it did.
func (e *Execution) finish(now time.Time, status Status, output []byte, name, cause string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.status != Running {
		return false
	}
	e.full = false
	e.append(now, Event{Type: ending[status], Output: output, Error: name, Cause: cause}, true)
	e.status, e.stopped, e.output, e.error, e.cause = status, now, output, name, cause
	return true
}

var ending = map[Status]string{
	Succeeded: "ExecutionSucceeded", Failed: "ExecutionFailed", TimedOut: "ExecutionTimedOut", Aborted: "ExecutionAborted",
}

// runs says whether it may go on: not ended, and room in the history.
func (e *Execution) runs() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.status == Running && !e.full
}

// await makes s what Stop wakes; false: it has ended already.
func (e *Execution) await(s *clock.Signal) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.signal = s
	return e.status == Running && !e.full
}
