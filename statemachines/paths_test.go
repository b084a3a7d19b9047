package statemachines_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"nightshift/internal/asl"
	"nightshift/internal/asl/clock"
	"nightshift/internal/cadence"
	"nightshift/statemachines"
)

var start = time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)

// world runs the machines with functions that a test gives.
type world struct {
	t        *testing.T
	clock    *clock.Clock
	r        *asl.Runner
	machines map[string]*asl.Machine // by ARN
	function func(w *world, name string, in map[string]any) (any, error)
	refuse   func() error // StartExecution's refusal, if any

	mu    sync.Mutex
	ended []*asl.Execution
	kept  []string
}

func newWorld(t *testing.T, drop bool) *world {
	w := &world{t: t, clock: clock.New(start), machines: map[string]*asl.Machine{}}
	t.Cleanup(w.clock.Close)
	for _, name := range statemachines.Names() {
		w.machines[machineARN(name)] = load(t, name)
	}
	w.r = asl.New(w.clock, w, asl.Options{Seed: 7, DropHistories: drop, OnStatus: func(e *asl.Execution) {
		w.mu.Lock()
		w.ended = append(w.ended, e)
		w.mu.Unlock()
	}})
	return w
}

func (w *world) Invoke(_ context.Context, arn string, payload []byte) ([]byte, error) {
	var in map[string]any
	if err := json.Unmarshal(payload, &in); err != nil {
		return nil, err
	}
	out, err := w.function(w, arn[strings.LastIndex(arn, ":")+1:], in)
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

func (w *world) StartExecution(_ context.Context, arn, name string, input []byte) (string, error) {
	if w.refuse != nil {
		if err := w.refuse(); err != nil {
			return "", err
		}
	}
	e, err := w.r.Start(w.machines[arn], arn, name, input)
	if err != nil {
		return "", err
	}
	return e.ARN(), nil
}

func (w *world) start(machine, name, input string) *asl.Execution {
	w.t.Helper()
	arn := machineARN(machine)
	e, err := w.r.Start(w.machines[arn], arn, name, []byte(input))
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// note keeps a line for the test to compare.
func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept = append(w.kept, fmt.Sprintf(format, args...))
}

func (w *world) notes() string { return strings.Join(w.kept, "\n") }

// later does something after a while.
func (w *world) later(d time.Duration, do func() error) {
	w.clock.Go(func() {
		if err := w.clock.Sleep(context.Background(), d); err != nil {
			return
		}
		if err := do(); err != nil {
			w.t.Error(err)
		}
	})
}

func failure(name, sentence string) error {
	cause, _ := json.Marshal(map[string]string{"errorMessage": sentence, "errorType": name})
	return &asl.TaskError{Name: name, Cause: string(cause)}
}

func TestRunPaths(t *testing.T) {
	token := func(w *world) string { return w.kept[len(w.kept)-1] }
	opened := map[string]any{"sessionId": "s1", "endpoint": "livy/j-1", "status": "ACTIVE", "mode": "background", "deadline": nil, "deadlineSource": "none"}
	for _, c := range []struct {
		name  string
		open  func(n int) error
		start func(n int) error
		after time.Duration
		then  func(w *world, e *asl.Execution) error
		want  string
		time  time.Duration // 0: not looked at
	}{
		{name: "the run finishes after 89 days", after: 89 * 24 * time.Hour, time: 89 * 24 * time.Hour,
			then: func(w *world, _ *asl.Execution) error {
				return w.r.SendTaskSuccess(token(w), []byte(`{"sessionId":"s1","cause":"finished","text":"The run finished.","succeeded":true}`))
			},
			want: `SUCCEEDED Open Start Succeeded {"sessionId":"s1","cause":"finished","text":"The run finished.","succeeded":true}`},
		{name: "the session ends otherwise", after: time.Hour, time: time.Hour,
			then: func(w *world, _ *asl.Execution) error {
				return w.r.SendTaskFailure(token(w), "SessionEnded", `{"cause":"background-revoked"}`)
			},
			want: `FAILED Open Start Failed SessionEnded {"cause":"background-revoked"}`},
		{name: "an invalid input is not tried again", open: func(int) error { return failure("InvalidInput", "spec: must be an object") },
			want: `FAILED Open Failed InvalidInput {"errorMessage":"spec: must be an object","errorType":"InvalidInput"}`},
		{name: "a locked user is not tried again", open: func(int) error { return failure("UserLocked", "The user is disabled.") },
			want: `FAILED Open Failed UserLocked {"errorMessage":"The user is disabled.","errorType":"UserLocked"}`},
		{name: "throttling passes", open: func(n int) error {
			if n <= cadence.TaskAttempts {
				return failure("Throttled", "slower")
			}
			return nil
		}, after: time.Hour, then: func(w *world, _ *asl.Execution) error { return w.r.SendTaskSuccess(token(w), []byte(`{}`)) },
			want: `SUCCEEDED Open Start Succeeded {}`},
		{name: "an outage of open-session lasts", open: func(int) error { return failure("Unavailable", "down") },
			want: `FAILED Open Failed Unavailable {"errorMessage":"down","errorType":"Unavailable"}`},
		{name: "an outage of start-run lasts", start: func(int) error { return failure("Unavailable", "down") },
			want: `FAILED Open Start Failed Unavailable {"errorMessage":"down","errorType":"Unavailable"}`},
		{name: "start-run works the second time", start: func(n int) error {
			if n == 1 {
				return failure("Conflict", "again")
			}
			return nil
		}, after: time.Hour, time: time.Hour, then: func(w *world, _ *asl.Execution) error { return w.r.SendTaskSuccess(token(w), []byte(`1`)) },
			want: `SUCCEEDED Open Start Succeeded 1`},
		{name: "the caller aborts", after: time.Hour, time: time.Hour,
			then: func(w *world, e *asl.Execution) error { return w.r.Stop(e.ARN(), "Aborted", "by the caller") },
			want: `ABORTED Open Start Aborted by the caller`},
		{name: "nothing releases the token", time: statemachines.RunWait, want: `FAILED Open Start Failed States.Timeout `},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, false)
			tries := map[string]int{}
			w.function = func(w *world, name string, in map[string]any) (any, error) {
				tries[name]++
				fails := map[string]func(int) error{"open-session": c.open, "start-run": c.start}[name]
				if fails != nil {
					if err := fails(tries[name]); err != nil {
						return nil, err
					}
				}
				if name == "open-session" {
					checkOpen(t, in)
					return opened, nil
				}
				if in["sessionId"] != "s1" || in["input"].(map[string]any)["user"] != "u" {
					t.Errorf("start-run got %v", in)
				}
				w.note("%s", in["taskToken"])
				return map[string]any{}, nil
			}
			e := w.start(statemachines.Run, "job-1", `{"user":"u"}`)
			if c.then != nil {
				w.later(c.after, func() error { return c.then(w, e) })
			}
			w.clock.Run()
			text := string(e.Output())
			if name, cause := e.Failure(); name != "" {
				text = name + " " + cause
			}
			if got := fmt.Sprintf("%s %s %s", e.Status(), strings.Join(e.Path(), " "), text); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if took := e.StoppedAt().Sub(start); c.time != 0 && took != c.time && took.Round(time.Minute) != c.time {
				t.Errorf("took %s, want %s", took, c.time)
			}
			if e.Events() > 40 || len(w.ended) != 1 {
				t.Errorf("%d events, %d reports of the end", e.Events(), len(w.ended))
			}
		})
	}
}

func checkOpen(t *testing.T, in map[string]any) {
	t.Helper()
	if in["execution"] != asl.ExecutionARN(machineARN("run"), "job-1") || in["input"].(map[string]any)["user"] != "u" {
		t.Errorf("open-session got %v", in)
	}
}

const watchInput = `{"endpoint":"livy/j-1","generation":1,"name":"watch-0a1b"}`

func TestWatchPaces(t *testing.T) {
	w := newWorld(t, false)
	n := 0
	w.function = func(w *world, name string, in map[string]any) (any, error) {
		n++
		at := w.clock.Now().Sub(start)
		w.note("%s %s %v %v", at, name, in["endpoint"], in["generation"])
		if n == 5 {
			return map[string]any{"done": true, "live": 0, "waitSeconds": 300}, nil
		}
		wait := 60
		if n > 2 {
			wait = 300
		}
		return map[string]any{"done": false, "live": 1, "waitSeconds": wait}, nil
	}
	e := w.start(statemachines.Watch, "watch-0a1b-1", watchInput)
	w.clock.Run()
	want := `0s observe-endpoint livy/j-1 1
1m0s observe-endpoint livy/j-1 1
2m0s observe-endpoint livy/j-1 1
7m0s observe-endpoint livy/j-1 1
12m0s observe-endpoint livy/j-1 1`
	if w.notes() != want {
		t.Errorf("got\n%s\nwant\n%s", w.notes(), want)
	}
	if got, want := fmt.Sprintf("%s %s", e.Status(), e.Output()), `SUCCEEDED {"endpoint":"livy/j-1","generation":1,"rounds":5}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWatchOutlivesFailingLooks(t *testing.T) {
	w := newWorld(t, false)
	n := 0
	w.function = func(*world, string, map[string]any) (any, error) {
		n++
		if n <= 20*(cadence.TaskAttempts+1) {
			return nil, failure("Unavailable", "down")
		}
		return map[string]any{"done": true, "live": 0, "waitSeconds": 300}, nil
	}
	e := w.start(statemachines.Watch, "watch-0a1b-1", watchInput)
	w.clock.Run()
	if got, want := fmt.Sprintf("%s %s", e.Status(), e.Output()), `SUCCEEDED {"endpoint":"livy/j-1","generation":1,"rounds":21}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// Twenty pauses of a minute; the tries of one round wait at most 2+4+8 s.
	if took := e.StoppedAt().Sub(start); took < 20*time.Minute || took > 20*(time.Minute+14*time.Second) {
		t.Errorf("took %s", took)
	}
	if most := int64(20*18 + 20); e.Events() > most {
		t.Errorf("%d events, more than %d: a failing round must not write more than 18", e.Events(), most)
	}
}

func TestHandOver(t *testing.T) {
	for _, c := range []struct {
		name    string
		refuse  func(n int) error
		taken   bool // the successor's name is taken, by an execution that ended
		retries bool
	}{
		{name: "at once"},
		{name: "after an outage", retries: true, refuse: func(n int) error {
			if n <= 3*(cadence.TaskAttempts+1) {
				return failure("StepFunctions.SfnException", "down")
			}
			return nil
		}},
		{name: "the successor is there", taken: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, false)
			rounds := map[any]int{}
			w.function = func(w *world, _ string, in map[string]any) (any, error) {
				rounds[in["generation"]]++
				return map[string]any{"done": in["generation"] == 2.0, "live": 1, "waitSeconds": 300}, nil
			}
			n := 0
			w.refuse = func() error {
				if n++; c.refuse != nil {
					return c.refuse(n)
				}
				return nil
			}
			if c.taken {
				w.start(statemachines.Watch, "watch-0a1b-2", `{"endpoint":"livy/j-1","generation":2,"name":"watch-0a1b"}`)
				w.clock.RunUntil(start.Add(time.Minute))
			}
			e := w.start(statemachines.Watch, "watch-0a1b-1", watchInput)
			w.clock.Run()
			if e.Status() != asl.Succeeded || rounds[2.0] != 1 || len(w.r.Executions()) != 2 {
				t.Errorf("%s, %v rounds, %d executions", e.Status(), rounds, len(w.r.Executions()))
			}
			want := cadence.RoundsMax
			if c.retries {
				want += 3 // it looks again between its attempts
			}
			if rounds[1.0] != want {
				t.Errorf("the first generation looked %d times, want %d", rounds[1.0], want)
			}
			if e.Events() > cadence.HistoryEventsMax*8/10 {
				t.Errorf("%d history events", e.Events())
			}
		})
	}
}

// gaps measures how long an endpoint was not looked at.
type gaps struct {
	last   time.Time
	most   time.Duration
	rounds int
}

func (g *gaps) look(now time.Time) {
	g.rounds++
	if !g.last.IsZero() {
		g.most = max(g.most, now.Sub(g.last))
	}
	g.last = now
}

// longRun runs a machine until the end and checks that it neither died nor
// paused; it answers how many generations there were.
func longRun(t *testing.T, machine, name string, life, pause, call time.Duration, waitFor func(age time.Duration) time.Duration, failEvery int) (generations int, g gaps) {
	w := newWorld(t, true)
	calls := 0
	w.function = func(w *world, _ string, in map[string]any) (any, error) {
		if calls++; failEvery > 0 && calls%failEvery == 0 {
			return nil, failure("Throttled", "slower")
		}
		g.look(w.clock.Now())
		if err := w.clock.Sleep(context.Background(), call); err != nil {
			return nil, err
		}
		age := w.clock.Now().Sub(start)
		return map[string]any{"done": age >= life, "live": 1, "left": 1, "waitSeconds": int(waitFor(age) / time.Second)}, nil
	}
	w.start(machine, name+"-1", `{"endpoint":"livy/j-1","generation":1,"name":"`+name+`"}`)
	w.clock.Run()
	var most int64
	for _, e := range w.r.Executions() {
		if e.Status() != asl.Succeeded {
			t.Errorf("%s: %s", e.Name(), e.Status())
		}
		most = max(most, e.Events())
	}
	if most >= 20_000 {
		t.Errorf("an execution wrote %d history events, too near %d", most, cadence.HistoryEventsMax)
	}
	if alive := g.last.Sub(start); alive < life-pause-call-time.Minute {
		t.Errorf("the last look was after %s", alive)
	}
	generations = len(w.r.Executions())
	t.Logf("%s: %d rounds in %d generations, at most %d history events each, longest gap %s", machine, g.rounds, generations, most, g.most)
	return generations, g
}

const day = 24 * time.Hour

func TestWatchIsAliveAndGaplessFor90Days(t *testing.T) {
	t.Parallel()
	call := 2 * time.Second
	generations, g := longRun(t, statemachines.Watch, "watch-0a1b", 90*day, cadence.Settled, call, cadence.Next, 0)
	if g.most > cadence.Settled+call {
		t.Errorf("nobody looked for %s, longer than %s", g.most, cadence.Settled+call)
	}
	if generations < 20 || generations > 30 {
		t.Errorf("%d generations", generations)
	}
}

func TestWatchIsGaplessWhereEveryThirdLookFails(t *testing.T) {
	t.Parallel()
	_, g := longRun(t, statemachines.Watch, "watch-0a1b", 10*day, cadence.Settled, time.Second, cadence.Next, 3)
	if most := cadence.Settled + 15*time.Second; g.most > most {
		t.Errorf("nobody looked for %s, longer than %s", g.most, most)
	}
}

func TestDrainIsAliveAndGaplessForADay(t *testing.T) {
	t.Parallel()
	call := time.Second
	every := func(time.Duration) time.Duration { return cadence.DrainEvery }
	generations, g := longRun(t, statemachines.Drain, "drain-0a1b", day, cadence.DrainEvery, call, every, 0)
	if g.most > cadence.DrainEvery+call {
		t.Errorf("nobody asked for %s, longer than %s", g.most, cadence.DrainEvery+call)
	}
	if generations < 10 {
		t.Errorf("%d generations", generations)
	}
}

func TestOneGenerationRunsOnce(t *testing.T) {
	w := newWorld(t, false)
	w.function = func(*world, string, map[string]any) (any, error) {
		return map[string]any{"done": true, "live": 0, "waitSeconds": 300}, nil
	}
	w.start(statemachines.Watch, "watch-0a1b-1", watchInput)
	w.clock.Run()
	arn := machineARN(statemachines.Watch)
	if _, err := w.r.Start(w.machines[arn], arn, "watch-0a1b-1", []byte(watchInput)); !errors.Is(err, asl.ErrExecutionAlreadyExists) {
		t.Errorf("a generation that has ended was started again: %v", err)
	}
}
