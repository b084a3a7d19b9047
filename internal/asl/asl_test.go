package asl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"nightshift/internal/asl/clock"
)

var start = time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)

const machineARN = "arn:aws:states:us-east-1:123456789012:stateMachine:test"

// world is a clock, a runner and functions by name.
type world struct {
	t     *testing.T
	clock *clock.Clock
	r     *Runner

	mu      sync.Mutex
	calls   []string // "function payload"
	at      []time.Duration
	fn      func(w *world, n int, function, payload string) (string, error)
	starts  func(arn, name, input string) error
	stopped []string
}

func newWorld(t *testing.T, o Options) *world {
	w := &world{t: t, clock: clock.New(start)}
	t.Cleanup(w.clock.Close)
	o.OnStatus = func(e *Execution) {
		w.mu.Lock()
		w.stopped = append(w.stopped, e.Name()+" "+string(e.Status()))
		w.mu.Unlock()
	}
	w.r = New(w.clock, w, o)
	return w
}

func (w *world) Invoke(_ context.Context, function string, payload []byte) ([]byte, error) {
	w.mu.Lock()
	w.calls = append(w.calls, function+" "+string(payload))
	w.at = append(w.at, w.clock.Now().Sub(start))
	n, fn := len(w.calls), w.fn
	w.mu.Unlock()
	if fn == nil {
		return payload, nil
	}
	out, err := fn(w, n, function, string(payload))
	return []byte(out), err
}

func (w *world) StartExecution(_ context.Context, arn, name string, input []byte) (string, error) {
	w.mu.Lock()
	starts := w.starts
	w.mu.Unlock()
	if starts != nil {
		if err := starts(arn, name, string(input)); err != nil {
			return "", err
		}
	}
	return ExecutionARN(arn, name), nil
}

func load(t *testing.T, definition string) *Machine {
	t.Helper()
	m, err := Load([]byte(definition), nil)
	if err != nil {
		t.Fatalf("the definition does not load:\n%v", err)
	}
	return m
}

// machineOf makes a definition of states, the first of which is A.
func machineOf(states string) string {
	return `{"QueryLanguage":"JSONata","StartAt":"A","States":{` + states + `}}`
}

func (w *world) start(m *Machine, name, input string) *Execution {
	w.t.Helper()
	e, err := w.r.Start(m, machineARN, name, []byte(input))
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// result is status, output or failure, path and time used, as one line.
func (w *world) result(e *Execution) string {
	name, cause := e.Failure()
	text := string(e.Output())
	if name != "" || cause != "" {
		text = name + ": " + cause
	}
	return fmt.Sprintf("%s %s [%s] %s", e.Status(), text, strings.Join(e.Path(), " "), e.StoppedAt().Sub(start))
}

const echo = `"A":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Arguments":{"FunctionName":"f","Payload":"{% $states.input %}"},`

func TestStates(t *testing.T) {
	boom := func(name string, times int) func(*world, int, string, string) (string, error) {
		return func(_ *world, n int, _, payload string) (string, error) {
			if n <= times {
				return "", &TaskError{name, "because"}
			}
			return payload, nil
		}
	}
	for _, c := range []struct {
		name, states, input string
		fn                  func(*world, int, string, string) (string, error)
		want                string
	}{
		{"pass hands its input on", `"A":{"Type":"Pass","End":true}`, `{"a":1}`, nil, `SUCCEEDED {"a":1} [A] 0s`},
		{"input keeps its bytes when nothing changes it", `"A":{"Type":"Succeed"}`, `{ "b": 1.50, "a":12345678901234567890 }`, nil,
			`SUCCEEDED { "b": 1.50, "a":12345678901234567890 } [A] 0s`},
		{"output is evaluated", `"A":{"Type":"Pass","Output":{"x":["{% $states.input.a + 1 %}",null,true,"text"]},"End":true}`, `{"a":1}`, nil,
			`SUCCEEDED {"x":[2,null,true,"text"]} [A] 0s`},
		{"integers stay exact", `"A":{"Type":"Pass","Output":"{% $states.input %}","End":true}`, `{"n":9007199254740993,"m":1726000000000,"z":null,"h":"<&>"}`, nil,
			`SUCCEEDED {"h":"<&>","m":1726000000000,"n":9007199254740993,"z":null} [A] 0s`},
		{"null is not undefined", `"A":{"Type":"Pass","Assign":{"v":"{% $states.input.z %}"},"Next":"B"},"B":{"Type":"Succeed","Output":"{% $v %}"}`, `{"z":null}`, nil,
			`SUCCEEDED null [A B] 0s`},
		{"null exists", `"A":{"Type":"Pass","Output":"{% [$exists($states.input.z),$states.input.z = null,$exists($states.input.no)] %}","End":true}`, `{"z":null}`, nil,
			`SUCCEEDED [true,true,false] [A] 0s`},
		{"null of the definition", `"A":{"Type":"Pass","Output":{"z":null},"Next":"B"},"B":{"Type":"Succeed","Output":"{% [$states.input.z] %}"}`, `{}`, nil,
			`SUCCEEDED [null] [A B] 0s`},
		{"undefined is an error", `"A":{"Type":"Pass","Output":"{% $states.input.no %}","End":true}`, `{}`, nil,
			`FAILED States.QueryEvaluationError: An error occurred while executing the state 'A' (entered at the event id #2). The JSONata expression '$states.input.no' specified for the field 'States.A.Output' returned nothing (undefined) [A] 0s`},
		{"assign sees the variables as they were", `"A":{"Type":"Pass","Assign":{"x":1,"y":2},"Next":"B"},"B":{"Type":"Pass","Assign":{"x":"{% $y %}","y":"{% $x %}"},"Output":"{% $x %}","Next":"C"},"C":{"Type":"Succeed","Output":"{% [$states.input,$x,$y] %}"}`, `{}`, nil,
			`SUCCEEDED [1,2,1] [A B C] 0s`},
		{"wait by number", `"A":{"Type":"Wait","Seconds":90,"End":true}`, `1`, nil, `SUCCEEDED 1 [A] 1m30s`},
		{"wait by expression", `"A":{"Type":"Wait","Seconds":"{% $states.input * 60 %}","End":true}`, `2`, nil, `SUCCEEDED 2 [A] 2m0s`},
		{"wait for nothing", `"A":{"Type":"Wait","Seconds":0,"End":true}`, `2`, nil, `SUCCEEDED 2 [A] 0s`},
		{"wait until", `"A":{"Type":"Wait","Timestamp":"2026-11-20T18:00:30Z","End":true}`, `2`, nil, `SUCCEEDED 2 [A] 30s`},
		{"wait until what is past", `"A":{"Type":"Wait","Timestamp":"{% $states.input %}","End":true}`, `"2020-01-01T00:00:00Z"`, nil, `SUCCEEDED "2020-01-01T00:00:00Z" [A] 0s`},
		{"wait for a fraction", `"A":{"Type":"Wait","Seconds":"{% $states.input %}","End":true}`, `1.5`, nil,
			`FAILED States.QueryEvaluationError: An error occurred while executing the state 'A' (entered at the event id #2). The field 'States.A.Seconds' must be an integer from 0 to 99999999, not 1.5. [A] 0s`},
		{"choice takes the first that holds", `"A":{"Type":"Choice","Choices":[{"Condition":"{% $states.input > 3 %}","Next":"B"},{"Condition":"{% $states.input > 1 %}","Next":"C"}],"Default":"B"},"B":{"Type":"Succeed"},"C":{"Type":"Succeed"}`, `2`, nil, `SUCCEEDED 2 [A C] 0s`},
		{"choice falls to its default", `"A":{"Type":"Choice","Choices":[{"Condition":"{% $states.input > 3 %}","Next":"B"}],"Default":"C"},"B":{"Type":"Succeed"},"C":{"Type":"Succeed"}`, `2`, nil, `SUCCEEDED 2 [A C] 0s`},
		{"choice wants a boolean", `"A":{"Type":"Choice","Choices":[{"Condition":"{% $states.input %}","Next":"B"}],"Default":"B"},"B":{"Type":"Succeed"}`, `2`, nil,
			`FAILED States.QueryEvaluationError: An error occurred while executing the state 'A' (entered at the event id #2). The JSONata expression '$states.input' specified for the field 'States.A.Choices[0].Condition' returned an unexpected result type. Expected 'boolean', but was float64. [A] 0s`},
		{"fail says what it is told", `"A":{"Type":"Fail","Error":"{% $states.input.e & '!' %}","Cause":"it is so"}`, `{"e":"E"}`, nil, `FAILED E!: it is so [A] 0s`},
		{"context", `"A":{"Type":"Succeed","Output":"{% [$states.context.Execution.Id,$states.context.Execution.Name,$states.context.Execution.StartTime,$states.context.Execution.Input.a,$states.context.State.Name,$states.context.State.EnteredTime,$states.context.StateMachine.Name,$states.context.StateMachine.Id,$states.context.State.RetryCount] %}"}`, `{"a":7}`, nil,
			`SUCCEEDED ["arn:aws:states:us-east-1:123456789012:execution:test:x","x","2026-11-20T18:00:00.000Z",7,"A","2026-11-20T18:00:00.000Z","test","arn:aws:states:us-east-1:123456789012:stateMachine:test",0] [A] 0s`},
		{"task's result", echo + `"End":true}`, `{"a":1}`, nil, `SUCCEEDED {"ExecutedVersion":"$LATEST","Payload":{"a":1},"StatusCode":200} [A] 0s`},
		{"task's output", echo + `"Output":"{% $states.result.Payload.a + $states.input.a %}","End":true}`, `{"a":1}`, nil, `SUCCEEDED 2 [A] 0s`},
		{"an error without Retry and Catch fails", echo + `"End":true}`, `1`, boom("E", 9), `FAILED E: because [A] 0s`},
		{"retry: interval, backoff, cap", echo + `"Retry":[{"ErrorEquals":["E"],"IntervalSeconds":2,"BackoffRate":3,"MaxAttempts":4,"MaxDelaySeconds":20}],"Output":"ok","End":true}`, `1`, boom("E", 4), `SUCCEEDED "ok" [A] 46s`},
		{"retry: defaults are 1 s, doubling, 3", echo + `"Retry":[{"ErrorEquals":["States.ALL"]}],"End":true}`, `1`, boom("E", 9), `FAILED E: because [A] 7s`},
		{"retry: full jitter", echo + `"Retry":[{"ErrorEquals":["States.ALL"],"IntervalSeconds":10,"JitterStrategy":"FULL"}],"Output":1,"End":true}`, `1`, boom("E", 3), `SUCCEEDED 1 [A] 17.5s`},
		{"retry: none where MaxAttempts is 0", echo + `"Retry":[{"ErrorEquals":["E"],"MaxAttempts":0},{"ErrorEquals":["States.ALL"]}],"End":true}`, `1`, boom("E", 9), `FAILED E: because [A] 0s`},
		{"retry: TaskFailed takes any but Timeout", echo + `"Retry":[{"ErrorEquals":["States.TaskFailed"],"MaxAttempts":1}],"Output":1,"End":true}`, `1`, boom("E", 1), `SUCCEEDED 1 [A] 1s`},
		{"retry: TaskFailed leaves Timeout", echo + `"Retry":[{"ErrorEquals":["States.TaskFailed"]}],"End":true}`, `1`, boom("States.Timeout", 1), `FAILED States.Timeout: because [A] 0s`},
		{"retry: two retriers count apart", echo + `"Retry":[{"ErrorEquals":["E"],"MaxAttempts":1},{"ErrorEquals":["F"],"MaxAttempts":1}],"End":true}`, `1`,
			func(_ *world, n int, _, _ string) (string, error) {
				return "", &TaskError{[]string{"E", "F", "E"}[n-1], ""}
			}, `FAILED E:  [A] 2s`},
		{"catch: error as output", echo + `"Catch":[{"ErrorEquals":["X"],"Next":"C"},{"ErrorEquals":["States.ALL"],"Next":"B"}],"End":true},"B":{"Type":"Succeed"},"C":{"Type":"Succeed"}`, `1`, boom("E", 9), `SUCCEEDED {"Cause":"because","Error":"E"} [A B] 0s`},
		{"catch: output and assign", echo + `"Catch":[{"ErrorEquals":["E"],"Output":"{% $states.input %}","Assign":{"e":"{% $states.errorOutput.Error %}"},"Next":"B"}],"End":true},"B":{"Type":"Succeed","Output":"{% [$states.input,$e] %}"}`, `1`, boom("E", 9), `SUCCEEDED [1,"E"] [A B] 0s`},
		{"catch: after the retries", echo + `"Retry":[{"ErrorEquals":["E"],"MaxAttempts":2}],"Catch":[{"ErrorEquals":["E"],"Output":1,"Next":"B"}],"End":true},"B":{"Type":"Succeed"}`, `1`, boom("E", 9), `SUCCEEDED 1 [A B] 3s`},
		{"catch: a query error of Output", echo + `"Output":"{% $states.result.no %}","Catch":[{"ErrorEquals":["States.QueryEvaluationError"],"Output":1,"Next":"B"}],"End":true},"B":{"Type":"Succeed"}`, `1`, nil, `SUCCEEDED 1 [A B] 0s`},
		{"catch: ALL leaves DataLimitExceeded", echo + `"Catch":[{"ErrorEquals":["States.ALL"],"Next":"B"}],"End":true},"B":{"Type":"Succeed"}`, `1`,
			func(*world, int, string, string) (string, error) {
				return `"` + strings.Repeat("x", DataLimit) + `"`, nil
			},
			`FAILED States.DataLimitExceeded: The result of the function has 262146 bytes, more than 262144 [A] 0s`},
		{"a timeout", echo + `"TimeoutSeconds":"{% 10 %}","Catch":[{"ErrorEquals":["States.Timeout"],"Output":1,"Next":"B"}],"End":true},"B":{"Type":"Succeed"}`, `1`,
			func(w *world, _ int, _, _ string) (string, error) {
				return "1", w.clock.Sleep(context.Background(), time.Minute)
			}, `SUCCEEDED 1 [A B] 10s`},
		{"just in time", echo + `"TimeoutSeconds":61,"Output":2,"End":true}`, `1`,
			func(w *world, _ int, _, _ string) (string, error) {
				return "1", w.clock.Sleep(context.Background(), time.Minute)
			}, `SUCCEEDED 2 [A] 1m0s`},
		{"output beyond the limit", `"A":{"Type":"Pass","Output":"{% $states.input & $states.input %}","End":true}`, `"` + strings.Repeat("x", 140_000) + `"`, nil,
			`FAILED States.DataLimitExceeded: The output of the state 'A' has 280002 bytes, more than 262144 [A] 0s`},
		{"payload beyond the limit", `"A":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Arguments":{"FunctionName":"f","Payload":{"a":"{% $states.input %}","b":"{% $states.input %}"}},"End":true}`, `"` + strings.Repeat("x", 140_000) + `"`, nil,
			`FAILED States.DataLimitExceeded: Payload of the state 'A' has 280015 bytes, more than 262144 [A] 0s`},
		{"a function's error of unknown name", echo + `"End":true}`, `1`, func(*world, int, string, string) (string, error) { return "", errors.New("odd") }, `FAILED States.TaskFailed: odd [A] 0s`},
		{"a result that is no JSON", echo + `"End":true}`, `1`, func(*world, int, string, string) (string, error) { return "{", nil }, `FAILED States.Runtime: The function's result is not JSON: unexpected EOF [A] 0s`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, Options{Jitter: func() float64 { return 0.25 }})
			w.fn = c.fn
			e := w.start(load(t, machineOf(c.states)), "x", c.input)
			w.clock.Run()
			if got := w.result(e); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestJitterIsOfTheSeedAndTheName(t *testing.T) {
	m := load(t, machineOf(echo+`"Retry":[{"ErrorEquals":["States.ALL"],"IntervalSeconds":10,"JitterStrategy":"FULL"}],"End":true}`))
	used := func(seed uint64, name string) time.Duration {
		w := newWorld(t, Options{Seed: seed})
		w.fn = func(*world, int, string, string) (string, error) { return "", &TaskError{"E", ""} }
		e := w.start(m, name, "1")
		w.clock.Run()
		return e.StoppedAt().Sub(start)
	}
	a := used(1, "a")
	if again := used(1, "a"); a != again {
		t.Errorf("the same seed and name gave %s and %s", a, again)
	}
	if b, c := used(1, "b"), used(2, "a"); a == b || a == c {
		t.Errorf("another name gave %s, another seed %s, like %s", b, c, a)
	}
	if a <= 0 || a >= 70*time.Second {
		t.Errorf("three waits of full jitter took %s, not between 0 and 70 s", a)
	}
}

func TestHistoryIsLikeTheRealOne(t *testing.T) {
	w := newWorld(t, Options{})
	w.fn = func(w *world, n int, _, _ string) (string, error) {
		if n == 1 {
			return "", &TaskError{"E", "c"}
		}
		return `{"ok":true}`, nil
	}
	m := load(t, machineOf(echo+`"Retry":[{"ErrorEquals":["E"]}],"Output":"{% $states.result.Payload %}","Next":"B"},
		"B":{"Type":"Choice","Choices":[{"Condition":"{% $states.input.ok %}","Next":"C"}],"Default":"C"},
		"C":{"Type":"Wait","Seconds":5,"Next":"D"},"D":{"Type":"Pass","Next":"E"},"E":{"Type":"Succeed"}`))
	e := w.start(m, "x", `{}`)
	w.clock.Run()
	var got []string
	for _, ev := range e.History() {
		got = append(got, fmt.Sprintf("%d<%d %s +%s", ev.ID, ev.Previous, ev.Type, ev.At.Sub(start)))
	}
	want := `1<0 ExecutionStarted +0s
2<0 TaskStateEntered +0s
3<2 TaskScheduled +0s
4<3 TaskStarted +0s
5<4 TaskFailed +0s
6<5 TaskScheduled +1s
7<6 TaskStarted +1s
8<7 TaskSucceeded +1s
9<8 TaskStateExited +1s
10<9 ChoiceStateEntered +1s
11<10 ChoiceStateExited +1s
12<11 WaitStateEntered +1s
13<12 WaitStateExited +6s
14<13 PassStateEntered +6s
15<14 PassStateExited +6s
16<15 SucceedStateEntered +6s
17<16 SucceedStateExited +6s
18<17 ExecutionSucceeded +6s`
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	if e.Events() != 18 || string(e.History()[17].Output) != `{"ok":true}` {
		t.Errorf("%d events, output %s", e.Events(), e.History()[17].Output)
	}
}

func TestHistoryIsFullAt25000(t *testing.T) {
	w := newWorld(t, Options{})
	e := w.start(load(t, machineOf(`"A":{"Type":"Pass","Next":"B"},"B":{"Type":"Choice","Choices":[{"Condition":"{% false %}","Next":"C"}],"Default":"A"},"C":{"Type":"Succeed"}`)), "x", `{}`)
	w.clock.Run()
	name, _ := e.Failure()
	h := e.History()
	if e.Status() != Failed || name != ErrorRuntime || e.Events() != HistoryLimit || h[len(h)-1].Type != "ExecutionFailed" {
		t.Errorf("%s %s after %d events, the last %s", e.Status(), name, e.Events(), h[len(h)-1].Type)
	}
}

func TestMachineTimeout(t *testing.T) {
	w := newWorld(t, Options{})
	m := load(t, `{"QueryLanguage":"JSONata","StartAt":"A","TimeoutSeconds":30,"States":{"A":{"Type":"Wait","Seconds":60,"End":true}}}`)
	e := w.start(m, "x", `{}`)
	w.clock.Run()
	if got, want := w.result(e), "TIMED_OUT States.Timeout:  [A] 30s"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if fmt.Sprint(w.stopped) != "[x TIMED_OUT]" {
		t.Errorf("OnStatus was told %v", w.stopped)
	}
}

func TestDroppedHistories(t *testing.T) {
	w := newWorld(t, Options{DropHistories: true})
	e := w.start(load(t, machineOf(`"A":{"Type":"Succeed"}`)), "x", `{}`)
	w.clock.Run()
	if len(e.History()) != 0 || len(e.Path()) != 0 || e.Events() != 4 || e.Status() != Succeeded {
		t.Errorf("%d events kept of %d, path %v, %s", len(e.History()), e.Events(), e.Path(), e.Status())
	}
}

func TestClosedClockLeavesExecutionsRunning(t *testing.T) {
	w := newWorld(t, Options{})
	e := w.start(load(t, machineOf(`"A":{"Type":"Wait","Seconds":60,"End":true}`)), "x", `{}`)
	w.clock.RunUntil(start.Add(time.Second))
	w.clock.Close()
	if e.Status() != Running || len(w.stopped) != 0 {
		t.Errorf("%s, OnStatus %v", e.Status(), w.stopped)
	}
}

// TestManyExecutionsAtOnce is for the race detector: executions of one machine
// share its expressions, and the library keeps state of its own.
func TestManyExecutionsAtOnce(t *testing.T) {
	w := newWorld(t, Options{})
	m := load(t, machineOf(echo+`"Output":"{% $states.input.n & '-' & $string($states.result.Payload.n + 1) %}","Next":"B"},"B":{"Type":"Wait","Seconds":1,"End":true}`))
	var all []*Execution
	w.clock.Enter() // so that all begin at one moment
	for i := range 200 {
		all = append(all, w.start(m, fmt.Sprint("x", i), fmt.Sprintf(`{"n":%d}`, i)))
	}
	w.clock.Leave()
	w.clock.Run()
	for i, e := range all {
		if got, want := string(e.Output()), fmt.Sprintf(`"%d-%d"`, i, i+1); got != want || e.StoppedAt().Sub(start) != time.Second {
			t.Errorf("%s: %s, want %s", e.Name(), got, want)
		}
	}
}

func BenchmarkTransitions(b *testing.B) {
	w := &world{clock: clock.New(start)}
	defer w.clock.Close()
	w.r = New(w.clock, w, Options{DropHistories: true})
	m, err := Load([]byte(machineOf(echo+`"Output":"{% $states.input %}","Assign":{"n":"{% $states.result.Payload.n + 1 %}"},"Next":"B"},
		"B":{"Type":"Choice","Choices":[{"Condition":"{% $n < 0 %}","Next":"D"}],"Default":"C"},"C":{"Type":"Wait","Seconds":60,"Next":"A"},"D":{"Type":"Succeed"}`)), nil)
	if err != nil {
		b.Fatal(err)
	}
	rounds := 0
	for b.Loop() { // one is 1,000 rounds of Task, Choice and Wait
		rounds++
		e, err := w.r.Start(m, machineARN, fmt.Sprint("x", rounds), []byte(`{"n":1}`))
		if err != nil {
			b.Fatal(err)
		}
		w.clock.RunUntil(w.clock.Now().Add(1000 * time.Minute))
		if err := w.r.Stop(e.ARN(), "", ""); err != nil {
			b.Fatal(err)
		}
		w.clock.RunUntil(w.clock.Now())
	}
	b.ReportMetric(float64(rounds)*3000/b.Elapsed().Seconds(), "transitions/s")
}
