package asl

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"time"
)

// errHalted ends a chain: the execution has ended, its history is full, or the
// clock was closed.
var errHalted = errors.New("halted")

// data is a state's input or output: the value and its JSON.
type data struct {
	v   any
	raw []byte
}

// run is the chain of one execution.
type run struct {
	r    *Runner
	e    *Execution
	vars map[string]any
	st   map[string]any // $states, among the variables; nobody keeps it, for it alone is no value
	// What the last Assign gave: all of it, before any of it is a variable.
	assigned map[string]any
	// What $states.context.Execution and .StateMachine are, all the time.
	execution, machine map[string]any
	deadline           time.Time
	jitter             func() float64

	state   *state
	entered time.Time
	event   int64 // the state's …Entered
	retries int
}

func (r *Runner) run(e *Execution, input any) {
	x := &run{r: r, e: e, vars: map[string]any{}, jitter: r.jitter(e)}
	x.st, x.assigned = map[string]any{}, map[string]any{}
	x.vars["states"] = x.st // no variable of a machine can have that name
	x.execution = map[string]any{"Id": e.arn, "Name": e.name, "StartTime": stamp(e.started), "Input": input}
	x.machine = map[string]any{"Id": e.machineARN, "Name": e.machineARN[strings.LastIndex(e.machineARN, ":")+1:]}
	if t := e.machine.timeout; t > 0 {
		x.deadline = e.started.Add(time.Duration(t) * time.Second)
	}
	x.record(Event{Type: "ExecutionStarted", Input: e.input})
	x.loop(data{input, e.input})
	e.mu.Lock()
	full := e.full
	e.mu.Unlock()
	if full {
		e.finish(r.clock.Now(), Failed, nil, ErrorRuntime, fmt.Sprintf("The execution reached the maximum number of history events (%d).", HistoryLimit))
	}
	if e.Status() == Running {
		return // the clock was closed
	}
	if r.options.DropHistories {
		r.drop(e)
	}
	if r.options.OnStatus != nil {
		r.options.OnStatus(e)
	}
}

func (x *run) record(ev Event) int64 { return x.e.record(x.r.clock.Now(), ev) }

func (x *run) loop(in data) {
	name := x.e.machine.startAt
	for x.e.runs() {
		x.enter(x.e.machine.states[name], in)
		out, next, err := x.step(in)
		switch {
		case errors.Is(err, errHalted) || !x.e.runs():
			return
		case err != nil:
			te := asTaskError(err)
			x.e.finish(x.r.clock.Now(), Failed, nil, te.Name, te.Cause)
			return
		case next == "":
			if out.raw == nil {
				out.raw, _ = plainly(nil, out.v) // it was not written down yet, for it is small and plain
			}
			x.e.finish(x.r.clock.Now(), Succeeded, out.raw, "", "")
			return
		}
		in, name = out, next
	}
}

func (x *run) enter(s *state, in data) {
	x.state, x.entered, x.retries = s, x.r.clock.Now(), 0
	if !x.e.bare {
		x.e.mu.Lock()
		x.e.path = append(x.e.path, s.name)
		x.e.mu.Unlock()
	}
	x.event = x.record(Event{Type: s.entered, State: s.name, Input: in.raw})
}

// step executes a state; next is "" at the end. A *TaskError fails the
// execution.
func (x *run) step(in data) (out data, next string, err error) {
	s := x.state
	if s.kind == task {
		return x.task(in)
	}
	x.states(in)
	switch s.kind {
	case choice:
		if next, err = x.choose(); err != nil {
			return data{}, "", err
		}
		x.record(Event{Type: s.exited, State: s.name, Output: in.raw})
		return in, next, nil
	case fail:
		return data{}, "", x.failure()
	case wait:
		if err := x.pause(); err != nil {
			return data{}, "", err
		}
	}
	out, err = x.leave(in, s.output, s.assign)
	return out, s.next, err
}

// states fills $states; callers add result or errorOutput. The context is left
// out where no expression of the state reads it.
func (x *run) states(in data) {
	clear(x.st)
	x.st["input"] = in.v
	if x.state.context {
		x.st["context"] = map[string]any{
			"Execution":    x.execution,
			"State":        map[string]any{"Name": x.state.name, "EnteredTime": stamp(x.entered), "RetryCount": float64(x.retries)},
			"StateMachine": x.machine,
		}
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// fill evaluates a template with $states and the variables.
func (x *run) fill(t *template) (any, error) {
	v, err := t.fill(x.vars)
	return v, x.evaluated(err)
}

// evaluated is the error of an evaluation, as the execution records it.
func (x *run) evaluated(err error) error {
	if te, ok := errors.AsType[*TaskError](err); ok {
		return x.unusable(te.Cause)
	}
	return err
}

// unusable is the error of an expression that gave nothing usable.
func (x *run) unusable(why string) error {
	te := &TaskError{ErrorQuery, fmt.Sprintf("An error occurred while executing the state '%s' (entered at the event id #%d). %s", x.state.name, x.event, why)}
	x.record(Event{Type: "EvaluationFailed", State: x.state.name, Error: te.Name, Cause: te.Cause})
	return te
}

// leave evaluates Output and Assign, both with the variables as they were, and
// writes the exit. Without Output the state's output is def.
func (x *run) leave(def data, output, assign *template) (data, error) {
	out := def
	if output != nil {
		v, err := x.fill(output)
		if err != nil {
			return data{}, err
		}
		out = data{v: v}
	}
	if out.raw == nil && !x.unwritten(out.v) {
		raw, err := encode(out.v)
		if err != nil {
			return data{}, x.unusable(err.Error())
		}
		out.raw = raw
	}
	if len(out.raw) > DataLimit {
		return data{}, dataLimit(fmt.Sprintf("The output of the state '%s'", x.state.name), len(out.raw))
	}
	if assign != nil {
		if err := x.assign(assign); err != nil {
			return data{}, err
		}
	}
	x.record(Event{Type: x.state.exited, State: x.state.name, Output: out.raw})
	return out, nil
}

// unwritten says whether the JSON of a value need not be made: no history keeps it,
// and it is plain, and so small that no limit forbids it.
func (x *run) unwritten(v any) bool { return x.e.bare && room(v, DataLimit) >= 0 }

func (x *run) assign(t *template) error {
	clear(x.assigned)
	if err := x.evaluated(t.into(x.assigned, x.vars)); err != nil {
		return err
	}
	if !x.unwritten(x.assigned) {
		raw, err := encode(x.assigned)
		if err != nil {
			return x.unusable(err.Error())
		}
		if len(raw) > DataLimit {
			return dataLimit(fmt.Sprintf("What the state '%s' assigns", x.state.name), len(raw))
		}
	}
	maps.Copy(x.vars, x.assigned)
	return nil
}

func (x *run) choose() (string, error) {
	for _, c := range x.state.choices {
		v, err := x.fill(c.condition)
		if err != nil {
			return "", err
		}
		yes, ok := v.(bool)
		if !ok {
			return "", x.unusable(fmt.Sprintf("The JSONata expression '%s' specified for the field '%s' returned an unexpected result type. Expected 'boolean', but was %T.", c.condition.text, c.condition.path, v))
		}
		if yes {
			return c.next, nil
		}
	}
	return x.state.otherwise, nil
}

// failure is the error of a Fail state.
func (x *run) failure() error {
	te := &TaskError{}
	for _, part := range []struct {
		t    *template
		into *string
	}{{x.state.errorName, &te.Name}, {x.state.cause, &te.Cause}} {
		if part.t == nil {
			continue
		}
		v, err := x.fill(part.t)
		if err != nil {
			return err
		}
		text, ok := v.(string)
		if !ok {
			return x.unusable(fmt.Sprintf("The field '%s' must be a string, not %T.", part.t.path, v))
		}
		*part.into = text
	}
	return te
}

// pause is a Wait state's waiting.
func (x *run) pause() error {
	until := x.entered
	if x.state.seconds != nil {
		n, err := x.seconds(x.state.seconds, 0)
		if err != nil {
			return err
		}
		until = until.Add(n)
	} else {
		v, err := x.fill(x.state.timestamp)
		if err != nil {
			return err
		}
		text, _ := v.(string)
		if until, err = parseTimestamp(text); err != nil {
			return x.unusable(err.Error())
		}
	}
	if x.wait(until, nil) == halted {
		return errHalted
	}
	return nil
}

// parseTimestamp reads RFC 3339 with upper-case T and Z, to the millisecond.
func parseTimestamp(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no timestamp", text)
	}
	return t.Truncate(time.Millisecond), nil
}

// seconds evaluates a whole number of seconds.
func (x *run) seconds(t *template, least float64) (time.Duration, error) {
	v, err := x.fill(t)
	if err != nil {
		return 0, err
	}
	n, ok := toFloat(v)
	if !ok || n != math.Trunc(n) || n < least || n > 99_999_999 {
		return 0, x.unusable(fmt.Sprintf("The field '%s' must be an integer from %g to 99999999, not %v.", t.path, least, v))
	}
	return time.Duration(n) * time.Second, nil
}

type outcome uint8

const (
	ready outcome = iota
	late
	halted
)

// wait waits until is has come true, the moment has come, or the execution has
// ended. is is asked with the execution's lock, whenever something wakes it; nil
// is never. No moment is for ever.
func (x *run) wait(until time.Time, is func() bool) outcome {
	for {
		s := x.r.clock.NewSignal()
		if !x.e.await(s) {
			return halted
		}
		if is != nil && x.e.holds(is) {
			return ready
		}
		now := x.r.clock.Now()
		if !x.deadline.IsZero() && !now.Before(x.deadline) {
			x.e.finish(now, TimedOut, nil, ErrorTimeout, "")
			return halted
		}
		if !until.IsZero() && !now.Before(until) {
			return late
		}
		d := time.Duration(-1)
		for _, at := range []time.Time{until, x.deadline} {
			if !at.IsZero() && (d < 0 || at.Sub(now) < d) {
				d = at.Sub(now)
			}
		}
		if _, err := s.Wait(d); err != nil {
			return halted
		}
	}
}

func (e *Execution) holds(is func() bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return is()
}
