package asl

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// task tries until it succeeds, or no Retry is left and a Catch, or nothing,
// takes the error.
func (x *run) task(in data) (data, string, error) {
	s := x.state
	used := make([]int, len(s.retry))
	for {
		x.states(in)
		result, err := x.attempt()
		if err == nil {
			x.st["result"] = result.v
			var out data
			if out, err = x.leave(result, s.output, s.assign); err == nil {
				return out, s.next, nil
			}
		}
		var te *TaskError
		if !errors.As(err, &te) {
			return data{}, "", err
		}
		delay, again := x.retry(te.Name, used)
		if !again {
			return x.caught(in, te)
		}
		if x.wait(x.r.clock.Now().Add(delay), nil) == halted {
			return data{}, "", errHalted
		}
		x.retries++
	}
}

// retry finds the first retrier for the error and counts its use.
func (x *run) retry(name string, used []int) (time.Duration, bool) {
	for i, t := range x.state.retry {
		if !matches(t.errors, name) {
			continue
		}
		if used[i] >= t.attempts {
			return 0, false
		}
		seconds := t.interval * math.Pow(t.backoff, float64(used[i]))
		used[i]++
		if t.maxDelay > 0 {
			seconds = min(seconds, t.maxDelay)
		}
		if t.full {
			seconds *= x.jitter()
		}
		return time.Duration(min(seconds, 99_999_999) * float64(time.Second)).Round(time.Millisecond), true
	}
	return 0, false
}

// caught gives the error to the first Catch that takes it.
func (x *run) caught(in data, te *TaskError) (data, string, error) {
	for _, c := range x.state.catch {
		if !matches(c.errors, te.Name) {
			continue
		}
		x.states(in)
		x.st["errorOutput"] = map[string]any{"Error": te.Name, "Cause": te.Cause}
		out, err := x.leave(data{v: x.st["errorOutput"]}, c.output, c.assign)
		return out, c.next, err
	}
	return data{}, "", te
}

// attempt is one try of a task.
func (x *run) attempt() (data, error) {
	s := x.state
	var p *pending
	if s.resource == invokeToken {
		var token string
		token, p = x.r.issue(x.e, x.e.Events()+1)
		if c, read := x.st["context"].(map[string]any); read {
			c["Task"] = map[string]any{"Token": token}
		}
		defer p.close()
	}
	call, arguments, err := x.prepare()
	if err != nil {
		return data{}, err
	}
	var until time.Time
	var timeout time.Duration
	if s.timeout != nil {
		if timeout, err = x.seconds(s.timeout, 1); err != nil {
			return data{}, err
		}
		until = x.r.clock.Now().Add(timeout)
	}
	x.record(Event{Type: "TaskScheduled", Resource: s.resource, Input: arguments, Timeout: timeout})
	x.record(Event{Type: "TaskStarted", Resource: s.resource})
	out, err := x.call(call, until)
	switch {
	case p != nil && !errors.Is(err, errHalted):
		out, err = x.answer(p, out, err, until)
	case err == nil && strings.HasSuffix(s.resource, syncSuffix):
		out, err = x.follow(out, until)
	}
	return x.conclude(out, err)
}

// conclude records how a try ended.
func (x *run) conclude(out data, err error) (data, error) {
	if err == nil && len(out.raw) > DataLimit {
		err = dataLimit("The result of the task", len(out.raw))
	}
	if err == nil {
		x.record(Event{Type: "TaskSucceeded", Resource: x.state.resource, Output: out.raw})
		return out, nil
	}
	var te *TaskError
	switch {
	case errors.As(err, &te) && te.Name == ErrorTimeout:
		x.record(Event{Type: "TaskTimedOut", Resource: x.state.resource, Error: te.Name, Cause: te.Cause})
	case te != nil:
		x.record(Event{Type: "TaskFailed", Resource: x.state.resource, Error: te.Name, Cause: te.Cause})
	}
	return out, err
}

// caller carries out a task and gives its result.
type caller func(ctx context.Context) (any, error)

// prepare evaluates the arguments; the JSON it gives is theirs, for the history.
func (x *run) prepare() (caller, []byte, error) {
	v, err := x.fill(x.state.arguments)
	if err != nil {
		return nil, nil, err
	}
	var raw []byte
	if !x.e.bare {
		if raw, err = encode(v); err != nil {
			return nil, nil, x.unusable(err.Error())
		}
	}
	args, _ := v.(map[string]any)
	if x.state.resource == startExecution {
		call, err := x.prepareStart(args)
		return call, raw, err
	}
	if x.state.resource != invoke && x.state.resource != invokeToken {
		call, err := x.prepareIntegration(v)
		return call, raw, err
	}
	function, ok := args["FunctionName"].(string)
	if !ok {
		return nil, nil, x.unusable("FunctionName must be a string.")
	}
	payload, err := x.body("Payload", args)
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context) (any, error) {
		out, err := x.r.services.Invoke(ctx, function, payload)
		if err != nil {
			return nil, asTaskError(err)
		}
		if len(out) > DataLimit {
			return nil, dataLimit("The result of the function", len(out))
		}
		answer, err := decode(out)
		if err != nil {
			return nil, &TaskError{ErrorRuntime, fmt.Sprintf("The function's result is not JSON: %v", err)}
		}
		return map[string]any{"ExecutedVersion": "$LATEST", "Payload": answer, "StatusCode": float64(200)}, nil
	}, raw, nil
}

func (x *run) prepareStart(args map[string]any) (caller, error) {
	machine, ok := args["StateMachineArn"].(string)
	name, ok2 := args["Name"].(string)
	if !ok || !ok2 {
		return nil, x.unusable("StateMachineArn and Name must be strings.")
	}
	input, err := x.body("Input", args)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (any, error) {
		arn, err := x.r.services.StartExecution(ctx, machine, name, input)
		if err != nil {
			return nil, asTaskError(err)
		}
		return map[string]any{"ExecutionArn": arn, "StartDate": stamp(x.r.clock.Now())}, nil
	}, nil
}

// body is the JSON of an argument, {} where it is absent, within the limit.
func (x *run) body(field string, args map[string]any) ([]byte, error) {
	v, ok := args[field]
	if !ok {
		return []byte("{}"), nil
	}
	raw, err := encode(v)
	if err != nil {
		return nil, x.unusable(err.Error())
	}
	if len(raw) > DataLimit {
		return nil, dataLimit(fmt.Sprintf("%s of the state '%s'", field, x.state.name), len(raw))
	}
	return raw, nil
}

// call carries out a task in a chain of its own, so that a timeout or a stop
// need not wait for it.
func (x *run) call(do caller, until time.Time) (data, error) {
	var (
		done   bool
		result data
		failed error
	)
	x.r.clock.Go(func() {
		v, err := do(context.Background())
		var raw []byte
		if err == nil && !x.e.bare {
			raw, err = encode(v)
		}
		if err != nil {
			err = asTaskError(err)
		}
		x.e.mu.Lock()
		done, result, failed = true, data{v, raw}, err
		x.e.mu.Unlock()
		x.e.wake()
	})
	switch x.wait(until, func() bool { return done }) {
	case halted:
		return data{}, errHalted
	case late:
		return data{}, &TaskError{ErrorTimeout, ""}
	}
	return result, failed
}

// answer waits for the token's answer, once the function has been called. An
// answer counts whatever became of the call: Step Functions accepted it.
func (x *run) answer(p *pending, submitted data, err error, until time.Time) (data, error) {
	answered := func() bool { return p.answer != nil }
	if err == nil {
		x.record(Event{Type: "TaskSubmitted", Resource: x.state.resource, Output: submitted.raw})
		switch x.wait(until, answered) {
		case halted:
			return data{}, errHalted
		case late:
			err = &TaskError{ErrorTimeout, ""}
		}
	}
	a := p.close()
	switch {
	case a == nil:
		return data{}, err
	case a.err != nil:
		return data{}, a.err
	}
	return data{a.value, a.raw}, nil
}

// close makes the token useless and gives the answer that came before.
func (p *pending) close() *answer {
	p.e.mu.Lock()
	defer p.e.mu.Unlock()
	p.over = true
	return p.answer
}
