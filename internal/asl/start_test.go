package asl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

const waiting = `"A":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke.waitForTaskToken","Arguments":{"FunctionName":"f","Payload":"{% $states.context.Task.Token %}"},"TimeoutSeconds":3600,`

func TestStartIsIdempotentWhileRunning(t *testing.T) {
	w := newWorld(t, Options{})
	m := load(t, machineOf(`"A":{"Type":"Wait","Seconds":60,"End":true}`))
	again := func(input string) (*Execution, error) { return w.r.Start(m, machineARN, "x", []byte(input)) }
	first := w.start(m, "x", `{"a":1}`)
	if e, err := again(`{"a":1}`); e != first || err != nil {
		t.Errorf("same name, same input, running: %v, %v", e, err)
	}
	if _, err := again(`{"a":2}`); !errors.Is(err, ErrExecutionAlreadyExists) {
		t.Errorf("same name, other input: %v", err)
	}
	w.clock.RunUntil(start.Add(NameKept))
	if _, err := again(`{"a":1}`); !errors.Is(err, ErrExecutionAlreadyExists) {
		t.Errorf("same name, ended less than 90 days ago: %v", err)
	}
	w.clock.RunUntil(start.Add(NameKept + time.Minute))
	if e, err := again(`{"a":1}`); e == first || err != nil {
		t.Errorf("same name, ended 90 days ago: %v, %v", e, err)
	}
	if n := len(w.r.Executions()); n != 1 {
		t.Errorf("%d executions are remembered, want 1", n)
	}
}

func TestStartRefuses(t *testing.T) {
	w := newWorld(t, Options{})
	m := load(t, machineOf(`"A":{"Type":"Succeed"}`))
	for _, c := range []struct {
		name, input string
		want        error
	}{
		{"", "{}", ErrInvalidName}, {strings.Repeat("x", 81), "{}", ErrInvalidName}, {"a b", "{}", ErrInvalidName},
		{"a:b", "{}", ErrInvalidName}, {"a/b", "{}", ErrInvalidName}, {"a\x00", "{}", ErrInvalidName}, {"a$", "{}", ErrInvalidName},
		{"x", "{", ErrInvalidInput}, {"x", "{} {}", ErrInvalidInput}, {"x", "{}}", ErrInvalidInput}, {"x", `1e999`, ErrInvalidInput},
		{"x", `"` + strings.Repeat("x", DataLimit-1) + `"`, ErrInvalidInput},
		{strings.Repeat("x", 80), `"` + strings.Repeat("x", DataLimit-2) + `"`, nil}, {"watch-0a1b_c.d-1", "", nil},
	} {
		if _, err := w.r.Start(m, machineARN, c.name, []byte(c.input)); !errors.Is(err, c.want) {
			t.Errorf("%.20q with %.20s: got %v, want %v", c.name, c.input, err, c.want)
		}
	}
	if _, err := w.r.Execution("arn:no"); !errors.Is(err, ErrExecutionDoesNotExist) {
		t.Errorf("an unknown execution: %v", err)
	}
	if err := w.r.Stop("arn:no", "", ""); !errors.Is(err, ErrExecutionDoesNotExist) {
		t.Errorf("stopping an unknown execution: %v", err)
	}
}

func TestStopWakesAtOnce(t *testing.T) {
	for _, c := range []struct{ name, states string }{
		{"a Wait", `"A":{"Type":"Wait","Seconds":3600,"End":true}`},
		{"a token", waiting + `"End":true}`},
		{"a call", echo + `"End":true}`},
		{"a retry", echo + `"Retry":[{"ErrorEquals":["States.ALL"],"IntervalSeconds":3000}],"End":true}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, Options{})
			w.fn = func(w *world, _ int, _, payload string) (string, error) {
				switch c.name {
				case "a call":
					return payload, w.clock.Sleep(context.Background(), time.Hour)
				case "a retry":
					return "", &TaskError{"E", ""}
				}
				return payload, nil
			}
			e := w.start(load(t, machineOf(c.states)), "x", `{}`)
			w.clock.Go(func() {
				_ = w.clock.Sleep(context.Background(), 10*time.Second)
				if err := w.r.Stop(e.ARN(), "Enough", "of this"); err != nil || e.Status() != Aborted {
					t.Errorf("Stop: %v, %s", err, e.Status())
				}
				if err := w.r.Stop(e.ARN(), "Other", ""); err != nil {
					t.Errorf("Stop of what has ended: %v", err)
				}
			})
			w.clock.Run()
			if got, want := w.result(e), "ABORTED Enough: of this [A] 10s"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if h := e.History(); h[len(h)-1].Type != "ExecutionAborted" || fmt.Sprint(w.stopped) != "[x ABORTED]" {
				t.Errorf("last event %s, OnStatus %v", h[len(h)-1].Type, w.stopped)
			}
		})
	}
}

// tokenOf is the payload of the n-th call without its quotes.
func (w *world) tokenOf(n int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Trim(strings.TrimPrefix(w.calls[n-1], "f "), `"`)
}

func TestTaskTokens(t *testing.T) {
	for _, c := range []struct {
		name  string
		state string
		after time.Duration
		send  func(w *world, token string) error
		want  string
	}{
		{"success", `"Output":"{% $states.result.x %}","End":true}`, time.Minute, func(w *world, k string) error { return w.r.SendTaskSuccess(k, []byte(`{"x":[1]}`)) }, `SUCCEEDED [1] [A] 1m0s`},
		{"failure", `"End":true}`, time.Minute, func(w *world, k string) error { return w.r.SendTaskFailure(k, "E", "c") }, `FAILED E: c [A] 1m0s`},
		{"failure caught", `"Catch":[{"ErrorEquals":["E"],"Next":"B"}],"End":true},"B":{"Type":"Succeed"}`, time.Minute, func(w *world, k string) error { return w.r.SendTaskFailure(k, "E", "c") },
			`SUCCEEDED {"Cause":"c","Error":"E"} [A B] 1m0s`},
		{"timeout", `"End":true}`, 2 * time.Hour, func(w *world, k string) error {
			if err := w.r.SendTaskSuccess(k, []byte(`1`)); !errors.Is(err, ErrTaskTimedOut) {
				w.t.Errorf("a token of a task that timed out: %v", err)
			}
			return nil
		}, `FAILED States.Timeout:  [A] 1h0m0s`},
		{"reuse", `"Next":"B"},"B":{"Type":"Wait","Seconds":60,"End":true}`, time.Minute, func(w *world, k string) error {
			err := w.r.SendTaskSuccess(k, []byte(`1`))
			if again := w.r.SendTaskSuccess(k, []byte(`2`)); !errors.Is(again, ErrTaskTimedOut) {
				w.t.Errorf("a token used twice: %v", again)
			}
			if after := w.r.SendTaskFailure(k, "E", ""); !errors.Is(after, ErrTaskTimedOut) {
				w.t.Errorf("a token used twice: %v", after)
			}
			return err
		}, `SUCCEEDED 1 [A B] 2m0s`},
		{"unknown, and no JSON", `"End":true}`, time.Minute, func(w *world, k string) error {
			if err := w.r.SendTaskSuccess("no", []byte(`1`)); !errors.Is(err, ErrTaskDoesNotExist) {
				w.t.Errorf("an unknown token: %v", err)
			}
			if err := w.r.SendTaskSuccess(k, []byte(`{`)); !errors.Is(err, ErrInvalidOutput) {
				w.t.Errorf("output that is no JSON: %v", err)
			}
			if err := w.r.SendTaskFailure("", "E", ""); !errors.Is(err, ErrInvalidToken) {
				w.t.Errorf("no token: %v", err)
			}
			return w.r.SendTaskSuccess(k, []byte(`1`))
		}, `SUCCEEDED 1 [A] 1m0s`},
		{"of an execution that was stopped", `"End":true}`, time.Minute, func(w *world, k string) error {
			if err := w.r.Stop(ExecutionARN(machineARN, "x"), "", ""); err != nil {
				return err
			}
			if err := w.r.SendTaskSuccess(k, []byte(`1`)); !errors.Is(err, ErrTaskTimedOut) {
				w.t.Errorf("a token of an aborted execution: %v", err)
			}
			return nil
		}, `ABORTED  [A] 1m0s`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, Options{})
			e := w.start(load(t, machineOf(waiting+c.state)), "x", `{}`)
			w.clock.Go(func() {
				_ = w.clock.Sleep(context.Background(), c.after)
				if err := c.send(w, w.tokenOf(1)); err != nil {
					t.Error(err)
				}
			})
			w.clock.Run()
			if got := w.result(e); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestTokenAnsweredDuringTheCall(t *testing.T) {
	for _, failed := range []bool{false, true} {
		w := newWorld(t, Options{})
		w.fn = func(w *world, _ int, _, payload string) (string, error) {
			if err := w.r.SendTaskSuccess(strings.Trim(payload, `"`), []byte(`"early"`)); err != nil {
				t.Error(err)
			}
			if failed {
				return "", &TaskError{"E", ""}
			}
			return "null", nil
		}
		e := w.start(load(t, machineOf(waiting+`"End":true}`)), "x", `{}`)
		w.clock.Run()
		if got, want := w.result(e), `SUCCEEDED "early" [A] 0s`; got != want {
			t.Errorf("call failed %v: got %s, want %s", failed, got, want)
		}
	}
}

func TestEachTryHasAFreshToken(t *testing.T) {
	w := newWorld(t, Options{})
	w.fn = func(_ *world, n int, _, payload string) (string, error) {
		if n == 1 {
			return "", &TaskError{"E", ""}
		}
		return payload, nil
	}
	e := w.start(load(t, machineOf(waiting+`"Retry":[{"ErrorEquals":["E"]}],"End":true}`)), "x", `{}`)
	w.clock.Go(func() {
		_ = w.clock.Sleep(context.Background(), time.Minute)
		if err := w.r.SendTaskSuccess(w.tokenOf(1), []byte(`1`)); !errors.Is(err, ErrTaskTimedOut) {
			t.Errorf("the token of a try that failed: %v", err)
		}
		if err := w.r.SendTaskSuccess(w.tokenOf(2), []byte(`2`)); err != nil {
			t.Error(err)
		}
	})
	w.clock.Run()
	if got, want := w.result(e), `SUCCEEDED 2 [A] 1m0s`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var types []string
	for _, ev := range e.History()[2:] {
		types = append(types, ev.Type)
	}
	if got, want := strings.Join(types, " "), "TaskScheduled TaskStarted TaskFailed TaskScheduled TaskStarted TaskSubmitted TaskSucceeded TaskStateExited ExecutionSucceeded"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestStartExecutionTask(t *testing.T) {
	definition := machineOf(`"A":{"Type":"Task","Resource":"arn:aws:states:::states:startExecution","Arguments":{"StateMachineArn":"` + machineARN + `","Name":"{% 'n-' & $string($states.input.g + 1) %}","Input":{"g":"{% $states.input.g + 1 %}"}},"Output":"{% $states.result.ExecutionArn %}","Catch":[{"ErrorEquals":["StepFunctions.ExecutionAlreadyExistsException"],"Output":"there","Next":"B"}],"End":true},"B":{"Type":"Succeed"}`)
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, `SUCCEEDED "arn:aws:states:us-east-1:123456789012:execution:test:n-2" [A] 0s`},
		{fmt.Errorf("again: %w", ErrExecutionAlreadyExists), `SUCCEEDED "there" [A B] 0s`},
		{ErrInvalidName, `FAILED StepFunctions.InvalidNameException: InvalidName [A] 0s`},
	} {
		w := newWorld(t, Options{})
		w.starts = func(arn, name, input string) error {
			if arn != machineARN || name != "n-2" || input != `{"g":2}` {
				t.Errorf("started %s %s %s", arn, name, input)
			}
			return c.err
		}
		e := w.start(load(t, definition), "x", `{"g":1}`)
		w.clock.Run()
		if got := w.result(e); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}
