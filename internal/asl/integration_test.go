package asl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

const (
	begin = "arn:aws:states:::service:begin"
	wait1 = begin + ".sync"
)

// outside is a service that a test plays.
type outside struct {
	*world
	call func(arguments map[string]any) (any, error)
	poll func(n int) (any, bool, error)

	looks   []time.Duration
	cancels []string
}

func (o *outside) Call(_ context.Context, resource string, arguments map[string]any) (any, error) {
	if resource != begin && resource != wait1 {
		o.t.Errorf("called %s", resource)
	}
	return o.call(arguments)
}

func (o *outside) Poll(_ context.Context, resource string, begun any) (any, bool, error) {
	if resource != wait1 || begun.(map[string]any)["Id"] != "j-1" {
		o.t.Errorf("looked at %s %v", resource, begun)
	}
	o.looks = append(o.looks, o.clock.Now().Sub(start))
	return o.poll(len(o.looks))
}

func (o *outside) Cancel(_ context.Context, _ string, begun any) {
	o.cancels = append(o.cancels, fmt.Sprint(begun, " ", o.clock.Now().Sub(start)))
}

func begun(map[string]any) (any, error) { return map[string]any{"Id": "j-1"}, nil }

func newOutside(t *testing.T, call func(map[string]any) (any, error), poll func(int) (any, bool, error)) *outside {
	o := &outside{world: newWorld(t, Options{}), call: call, poll: poll}
	o.r.services = o
	return o
}

func taskOf(resource, rest string) string {
	return machineOf(`"A":{"Type":"Task","Resource":"` + resource + `","Arguments":"{% $merge([$states.input, {'Token':'t'}]) %}",` + rest)
}

func loadOutside(t *testing.T, definition string) *Machine {
	t.Helper()
	m, err := Load([]byte(definition), nil, begin, wait1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestIntegrationRequest(t *testing.T) {
	o := newOutside(t, func(arguments map[string]any) (any, error) {
		return map[string]any{"Said": fmt.Sprint(arguments)}, nil
	}, nil)
	e := o.start(loadOutside(t, taskOf(begin, `"End":true}`)), "x", `{"Name":"n"}`)
	o.clock.Run()
	if got, want := o.result(e), `SUCCEEDED {"Said":"map[Name:n Token:t]"} [A] 0s`; got != want || o.looks != nil {
		t.Errorf("got %s, want %s, looked at %v", got, want, o.looks)
	}
}

// S4.2: a .sync task looks each minute for ten minutes, then each five, and
// passes over looks that told nothing.
func TestSyncPollsAsStepFunctionsDoes(t *testing.T) {
	o := newOutside(t, begun, func(n int) (any, bool, error) {
		switch {
		case n%3 == 0:
			return nil, false, errors.New("throttled")
		case n < 13:
			return nil, false, nil
		}
		return map[string]any{"State": "COMPLETED"}, true, nil
	})
	e := o.start(loadOutside(t, taskOf(wait1, `"TimeoutSeconds":86400,"End":true}`)), "x", `{}`)
	o.clock.Run()
	want := "[1m0s 2m0s 3m0s 4m0s 5m0s 6m0s 7m0s 8m0s 9m0s 10m0s 15m0s 20m0s 25m0s]"
	if got := fmt.Sprint(o.looks); got != want {
		t.Errorf("looked at %s\nwant      %s", got, want)
	}
	if got, want := o.result(e), `SUCCEEDED {"State":"COMPLETED"} [A] 25m0s`; got != want || len(o.cancels) != 0 {
		t.Errorf("got %s, want %s; cancelled %v", got, want, o.cancels)
	}
	var types []string
	for _, ev := range e.History()[2:] {
		types = append(types, ev.Type)
	}
	if got := strings.Join(types, " "); got != "TaskScheduled TaskStarted TaskSubmitted TaskSucceeded TaskStateExited ExecutionSucceeded" {
		t.Errorf("history %s", got)
	}
}

func TestSyncEnds(t *testing.T) {
	never := func(int) (any, bool, error) { return nil, false, nil }
	for _, c := range []struct {
		name      string
		call      func(map[string]any) (any, error)
		poll      func(int) (any, bool, error)
		stopAfter time.Duration
		want      string
		cancels   string
	}{
		{"the request is refused", func(map[string]any) (any, error) { return nil, &TaskError{"Service.No", "why"} }, never, 0, `FAILED Service.No: why [A] 0s`, "[]"},
		{"what was begun fails", begun, func(int) (any, bool, error) { return nil, true, &TaskError{ErrorTaskFailed, "it broke"} }, 0, `FAILED States.TaskFailed: it broke [A] 1m0s`, "[]"},
		{"the task times out", begun, never, 0, `FAILED States.Timeout:  [A] 1h0m0s`, "[]"},
		{"it is stopped between two looks", begun, never, 90 * time.Second, `ABORTED Enough: of this [A] 1m30s`, "[map[Id:j-1] 1m30s]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOutside(t, c.call, c.poll)
			e := o.start(loadOutside(t, taskOf(wait1, `"TimeoutSeconds":3600,"End":true}`)), "x", `{}`)
			if c.stopAfter > 0 {
				o.clock.Go(func() {
					_ = o.clock.Sleep(context.Background(), c.stopAfter)
					if err := o.r.Stop(e.ARN(), "Enough", "of this"); err != nil {
						t.Error(err)
					}
				})
			}
			o.clock.Run()
			if got := o.result(e); got != c.want || fmt.Sprint(o.cancels) != c.cancels {
				t.Errorf("got %s, cancelled %v\nwant %s, %s", got, o.cancels, c.want, c.cancels)
			}
		})
	}
}

// An execution that is stopped while its request is made cancels what the
// request began.
func TestSyncStoppedDuringTheRequest(t *testing.T) {
	var o *outside
	o = newOutside(t, func(a map[string]any) (any, error) {
		if err := o.clock.Sleep(context.Background(), time.Minute); err != nil {
			return nil, err
		}
		return begun(a)
	}, nil)
	e := o.start(loadOutside(t, taskOf(wait1, `"End":true}`)), "x", `{}`)
	o.clock.Go(func() {
		_ = o.clock.Sleep(context.Background(), time.Second)
		if err := o.r.Stop(e.ARN(), "Enough", ""); err != nil {
			t.Error(err)
		}
	})
	o.clock.Run()
	if e.Status() != Aborted || fmt.Sprint(o.cancels) != "[map[Id:j-1] 1m0s]" {
		t.Errorf("%s, cancelled %v", e.Status(), o.cancels)
	}
}

func TestIntegrationsMustBeKnown(t *testing.T) {
	if _, err := Load([]byte(taskOf(begin, `"End":true}`)), nil, wait1); err == nil || !strings.Contains(err.Error(), `unknown resource "`+begin+`"`) {
		t.Errorf("a resource that nobody named loads: %v", err)
	}
	without := machineOf(`"A":{"Type":"Task","Resource":"` + begin + `","End":true}`)
	if _, err := Load([]byte(without), nil, begin); err == nil || !strings.Contains(err.Error(), "States.A.Arguments: must be an object") {
		t.Errorf("a task without arguments loads: %v", err)
	}
	w := newWorld(t, Options{})
	e := w.start(loadOutside(t, taskOf(begin, `"End":true}`)), "x", `{}`)
	w.clock.Run()
	if got, want := w.result(e), "FAILED States.Runtime: nobody here carries out "+begin+" [A] 0s"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
