// Package runtimehost runs a function's real binary as Lambda does: as a child
// process that polls the Runtime API for its next event and posts its answer
// there. It knows that protocol, processes and nothing of what a function does;
// it is for tests and for the bench, and no part of what is deployed.
package runtimehost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// payloadMax bounds an answer: Lambda's own limit of 6 MB, above which the
	// invocation fails.
	payloadMax = 6 << 20
	// outputWait is how long output is awaited after the process is over; a
	// grandchild that keeps the pipe open loses what it says later.
	outputWait = time.Second

	api = "/2018-06-01/runtime"
	arn = "arn:aws:lambda:us-east-1:123456789012:function:"
)

// noDeadline is told to a function whose invocation has none.
var noDeadline = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// Function is a binary to run.
type Function struct {
	Name string
	Path string // of the bootstrap
	// Env is the whole environment but for what Lambda itself sets: nothing of
	// this process's own reaches the function, so that no setting of a machine
	// (AWS_CA_BUNDLE, a profile, a proxy) changes what a test sees.
	Env map[string]string
}

// Error is what a function reports instead of an answer.
type Error struct {
	Type    string `json:"errorType"` // the name of the error's Go type
	Message string `json:"errorMessage"`
}

func (e *Error) Error() string { return e.Type + ": " + e.Message }

// Exited is a process that is over while it is still wanted.
type Exited struct {
	State  string // as the system says it: "exit status 1", "signal: killed"
	Output string
	Init   *Error // what it reported about its start; nil where it said nothing
}

func (e *Exited) Error() string {
	if e.Init != nil {
		return fmt.Sprintf("the function's process is over (%s) and reported %v", e.State, e.Init)
	}
	return fmt.Sprintf("the function's process is over (%s); it said: %s", e.State, e.Output)
}

// Process is a function that runs. It takes one event at a time, as on Lambda;
// its methods may be called at once.
type Process struct {
	cmd    *exec.Cmd
	server *http.Server
	output *buffer
	events chan *invocation
	polled chan struct{} // closed at the first poll for an event
	over   chan struct{} // closed when the process is; then state is set
	state  string

	mu     sync.Mutex
	count  int
	flight map[string]*invocation
	init   *Error
	poll   sync.Once
}

// invocation is an event on its way.
type invocation struct {
	id       string
	event    []byte
	deadline time.Time
	answer   chan answer // holds one
}

type answer struct {
	body []byte
	err  error
}

// Start starts the function behind a Runtime API of its own on a free port of
// the loopback interface. Kill it in the end.
func Start(f Function) (*Process, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("host function %s: %w", f.Name, err)
	}
	p := &Process{
		cmd: exec.Command(f.Path), output: &buffer{}, events: make(chan *invocation),
		polled: make(chan struct{}), over: make(chan struct{}), flight: map[string]*invocation{},
	}
	p.server = &http.Server{Handler: p.routes(f.Name), ReadHeaderTimeout: time.Minute}
	go func() { _ = p.server.Serve(l) }() // ends when Kill or the process's end closes it
	p.cmd.Env = environment(f, l.Addr().String())
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.WaitDelay = p.output, p.output, outputWait
	if err := p.cmd.Start(); err != nil {
		p.server.Close()
		return nil, fmt.Errorf("start function %s: %w", f.Name, err)
	}
	go func() {
		err := p.cmd.Wait()
		p.state = "exit status 0"
		if err != nil {
			p.state = err.Error()
		}
		close(p.over)
		p.server.Close()
	}()
	return p, nil
}

// environment is what Lambda sets, and then what the function is given.
func environment(f Function, address string) []string {
	env := []string{
		"AWS_LAMBDA_RUNTIME_API=" + address, "AWS_LAMBDA_FUNCTION_NAME=" + f.Name, "AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128", "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand", "_HANDLER=bootstrap", "TZ=:UTC",
	}
	for name, value := range f.Env {
		env = append(env, name+"="+value)
	}
	return env
}

func (p *Process) routes(name string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api+"/invocation/next", func(w http.ResponseWriter, r *http.Request) { p.next(w, r, name) })
	mux.HandleFunc("POST "+api+"/invocation/{id}/response", func(w http.ResponseWriter, r *http.Request) {
		p.settle(w, r, func(body []byte) answer {
			if len(body) > payloadMax {
				return answer{err: &Error{Type: "Function.ResponseSizeTooLarge", Message: fmt.Sprintf("the answer is larger than %d bytes", payloadMax)}}
			}
			return answer{body: body}
		})
	})
	mux.HandleFunc("POST "+api+"/invocation/{id}/error", func(w http.ResponseWriter, r *http.Request) {
		p.settle(w, r, func(body []byte) answer { return answer{err: reported(body)} })
	})
	mux.HandleFunc("POST "+api+"/init/error", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, payloadMax)) // what arrived is what it said
		p.mu.Lock()
		p.init = reported(body)
		p.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	})
	return mux
}

// reported reads an error as the runtime posts it.
func reported(body []byte) *Error {
	e := &Error{}
	if err := json.Unmarshal(body, e); err != nil || e.Type == "" {
		return &Error{Type: "Runtime.Unknown", Message: string(body)}
	}
	return e
}

// next gives the function its next event, when there is one.
func (p *Process) next(w http.ResponseWriter, r *http.Request, name string) {
	p.poll.Do(func() { close(p.polled) })
	select {
	case <-r.Context().Done():
	case i := <-p.events:
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Lambda-Runtime-Aws-Request-Id", i.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(i.deadline.UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", arn+name)
		h.Set("Lambda-Runtime-Trace-Id", "Root=1-00000000-000000000000000000000000;Sampled=0")
		_, _ = w.Write(i.event) // a function that is gone is seen by its end
	}
}

// settle takes what a function posts about an event.
func (p *Process) settle(w http.ResponseWriter, r *http.Request, read func(body []byte) answer) {
	body, err := io.ReadAll(io.LimitReader(r.Body, payloadMax+1))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	i := p.flight[r.PathValue("id")]
	delete(p.flight, r.PathValue("id"))
	p.mu.Unlock()
	if i == nil {
		http.Error(w, `{"errorType":"InvalidRequestID","errorMessage":"no such event is on its way"}`, http.StatusBadRequest)
		return
	}
	i.answer <- read(body)
	w.WriteHeader(http.StatusAccepted)
}

// Ready waits until the function asks for its first event: it is built.
func (p *Process) Ready(ctx context.Context) error {
	select {
	case <-p.polled:
		return nil
	case <-p.over:
		return p.exited()
	case <-ctx.Done():
		return fmt.Errorf("wait for the function's first poll: %w; it said: %s", ctx.Err(), p.Output())
	}
}

// Invoke gives the function an event and waits for its answer. The function's
// own error is an *Error. The context's deadline is the invocation's.
func (p *Process) Invoke(ctx context.Context, event []byte) ([]byte, error) {
	i := &invocation{event: event, deadline: noDeadline, answer: make(chan answer, 1)}
	if d, ok := ctx.Deadline(); ok {
		i.deadline = d
	}
	p.mu.Lock()
	p.count++
	i.id = fmt.Sprintf("00000000-0000-4000-8000-%012d", p.count)
	p.flight[i.id] = i
	p.mu.Unlock()
	select {
	case p.events <- i:
	case <-p.over:
		return nil, p.exited()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait until the function takes an event: %w; it said: %s", ctx.Err(), p.Output())
	}
	select {
	case a := <-i.answer:
		return a.body, a.err
	case <-p.over:
		select {
		case a := <-i.answer: // it answered and ended
			return a.body, a.err
		default:
			return nil, p.exited()
		}
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the function's answer: %w; it said: %s", ctx.Err(), p.Output())
	}
}

func (p *Process) exited() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &Exited{State: p.state, Output: p.Output(), Init: p.init}
}

// Terminate asks the process to end, as Lambda does when it takes an
// environment down, and waits until it has. It answers how the process ended.
func (p *Process) Terminate(ctx context.Context) (string, error) {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return "", fmt.Errorf("terminate function: %w", err)
	}
	select {
	case <-p.over:
		return p.state, nil
	case <-ctx.Done():
		return "", fmt.Errorf("the function does not end when told to: %w", ctx.Err())
	}
}

// Kill ends the process, whatever it does, and waits until it has.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may be over
	<-p.over
}

// Output is what the process has written so far, to both its outputs.
func (p *Process) Output() string { return p.output.String() }

// PeakMemory is the most memory that the process has had resident, in bytes.
// Only Linux tells it.
func (p *Process) PeakMemory() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("this system does not tell a process's memory: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("the process has no memory any more: it is over")
}

// buffer collects output from two pipes at once.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
