package asl

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"nightshift/internal/asl/clock"
)

// NameKept is how long a name stays taken after its execution ended.
const NameKept = 90 * 24 * time.Hour

// Services carries out tasks. Both methods are called in a chain of the clock;
// an error should be a *TaskError, or one of this package's Err values. The
// context does not end when the task times out or the execution is stopped: on
// AWS a function runs on, too.
type Services interface {
	// Invoke calls a function and waits for its answer.
	Invoke(ctx context.Context, functionARN string, payload []byte) ([]byte, error)
	// StartExecution starts another machine, see Runner.Start.
	StartExecution(ctx context.Context, stateMachineARN, name string, input []byte) (executionARN string, err error)
}

// Options of a Runner.
type Options struct {
	Seed          uint64             // of full jitter; each execution draws by its own name, so that their order does not matter
	Jitter        func() float64     // replaces the seed: answers 0 ≤ f < 1, called by several chains at once
	OnStatus      func(e *Execution) // called in the execution's chain, once, when it has ended in any way
	DropHistories bool               // forget Path and History of executions that ended
	NoHistories   bool               // count events and keep none, and no Path: executions then cost half
	HistoriesKept int64              // with DropHistories: keep those that ended last, up to this many events of them together
}

// Runner runs executions on one clock. Use New.
type Runner struct {
	clock    *clock.Clock
	services Services
	options  Options

	mu         sync.Mutex
	executions map[string]*Execution
	order      []string // ARNs in the order of their start
	tokens     map[string]*pending
	swept      time.Time
	ended      []*Execution // whose histories are kept under HistoriesKept, oldest first
	kept       int64        // their events
}

// New gives a runner without executions.
func New(c *clock.Clock, s Services, o Options) *Runner {
	return &Runner{clock: c, services: s, options: o, executions: map[string]*Execution{}, tokens: map[string]*pending{}, swept: c.Now()}
}

// ExecutionARN is the ARN of a machine's execution of that name.
func ExecutionARN(machineARN, name string) string {
	return strings.Replace(machineARN, ":stateMachine:", ":execution:", 1) + ":" + name
}

// Start starts an execution under a machine's ARN, and returns at once. The
// same name and input as one that runs is that one. The error wraps
// ErrInvalidName, ErrInvalidInput or ErrExecutionAlreadyExists. No input is {}.
func (r *Runner) Start(m *Machine, machineARN, name string, input []byte) (*Execution, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if len(input) == 0 {
		input = []byte("{}")
	}
	if len(input) > DataLimit {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrInvalidInput, len(input), DataLimit)
	}
	doc, err := decode(input)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidInput, err)
	}
	arn := ExecutionARN(machineARN, name)
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.executions[arn]; r.clock.Now().Sub(r.swept) >= 24*time.Hour || (e != nil && e.forgotten(r.clock.Now())) {
		r.sweep()
	}
	if e := r.executions[arn]; e != nil {
		if e.Status() == Running && string(e.input) == string(input) {
			return e, nil
		}
		return nil, fmt.Errorf("%w: %s", ErrExecutionAlreadyExists, arn)
	}
	e := &Execution{
		arn: arn, name: name, machineARN: machineARN, input: slices.Clone(input),
		started: r.clock.Now(), machine: m, status: Running, bare: r.options.NoHistories,
	}
	r.executions[arn] = e
	r.order = append(r.order, arn)
	r.clock.Go(func() { r.run(e, doc) })
	return e, nil
}

func checkName(name string) error {
	if n := len([]rune(name)); n == 0 || n > 80 {
		return fmt.Errorf("%w: %d characters, not 1 to 80", ErrInvalidName, n)
	}
	bad := func(c rune) bool {
		return strings.ContainsRune("<>{}[]?*\"#%\\^|~`$&,;:/", c) || c <= ' ' || (c >= 0x7f && c <= 0x9f) || c == 0xa0
	}
	if strings.ContainsFunc(name, bad) {
		return fmt.Errorf("%w: %q", ErrInvalidName, name)
	}
	return nil
}

// sweep forgets executions whose names are free again; the lock is held.
func (r *Runner) sweep() {
	now := r.clock.Now()
	r.swept = now
	r.order = slices.DeleteFunc(r.order, func(arn string) bool {
		e := r.executions[arn]
		if !e.forgotten(now) {
			return false
		}
		for _, t := range e.tokens {
			delete(r.tokens, t)
		}
		delete(r.executions, arn)
		return true
	})
}

// drop forgets the history of an execution that ended, at once or, under
// HistoriesKept, when later ones need the room.
func (r *Runner) drop(e *Execution) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = append(r.ended, e)
	r.kept += e.Events()
	for len(r.ended) > 0 && r.kept > r.options.HistoriesKept {
		oldest := r.ended[0]
		r.ended = r.ended[1:]
		r.kept -= oldest.Events()
		oldest.mu.Lock()
		oldest.path, oldest.events = nil, nil
		oldest.mu.Unlock()
	}
}

func (e *Execution) forgotten(now time.Time) bool {
	at := e.StoppedAt()
	return !at.IsZero() && now.Sub(at) >= NameKept
}

// Execution finds an execution; ErrExecutionDoesNotExist where there is none.
func (r *Runner) Execution(arn string) (*Execution, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.executions[arn]
	if e == nil {
		return nil, fmt.Errorf("%w: %s", ErrExecutionDoesNotExist, arn)
	}
	return e, nil
}

// Executions lists all that are remembered, in the order of their start.
func (r *Runner) Executions() []*Execution {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*Execution, 0, len(r.order))
	for _, arn := range r.order {
		all = append(all, r.executions[arn])
	}
	return all
}

// Stop aborts an execution: it is ABORTED when Stop returns, whatever it waits
// for. One that has ended stays as it is. The caller must hold a token of the
// clock, as every caller of this type's methods must while time moves.
func (r *Runner) Stop(arn, name, cause string) error {
	e, err := r.Execution(arn)
	if err != nil {
		return err
	}
	if e.finish(r.clock.Now(), Aborted, nil, name, cause) {
		e.wake()
	}
	return nil
}

func (e *Execution) wake() {
	e.mu.Lock()
	s := e.signal
	e.mu.Unlock()
	if s != nil {
		s.Fire()
	}
}

// SendTaskSuccess ends the task that waits with the token; output is JSON. The
// error wraps ErrInvalidOutput, ErrTaskDoesNotExist or ErrTaskTimedOut.
func (r *Runner) SendTaskSuccess(token string, output []byte) error {
	if len(output) > DataLimit {
		return fmt.Errorf("%w: %d bytes, more than %d", ErrInvalidOutput, len(output), DataLimit)
	}
	v, err := decode(output)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidOutput, err)
	}
	return r.settle(token, answer{value: v, raw: slices.Clone(output)})
}

// SendTaskFailure fails the task that waits with the token.
func (r *Runner) SendTaskFailure(token, name, cause string) error {
	return r.settle(token, answer{err: &TaskError{name, cause}})
}

// SendTaskHeartbeat says whether the task that waits with the token still does;
// no machine here has a heartbeat to miss.
func (r *Runner) SendTaskHeartbeat(token string) error {
	p, err := r.pending(token)
	if err != nil {
		return err
	}
	p.e.mu.Lock()
	defer p.e.mu.Unlock()
	if p.settled() {
		return fmt.Errorf("%w: its task is over", ErrTaskTimedOut)
	}
	return nil
}

func (r *Runner) pending(token string) (*pending, error) {
	if token == "" || len(token) > 1024 {
		return nil, fmt.Errorf("%w: 1 to 1024 characters", ErrInvalidToken)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.tokens[token]
	if p == nil {
		return nil, fmt.Errorf("%w: no task was given this token", ErrTaskDoesNotExist)
	}
	return p, nil
}

func (r *Runner) settle(token string, a answer) error {
	p, err := r.pending(token)
	if err != nil {
		return err
	}
	p.e.mu.Lock()
	over := p.settled()
	if !over {
		p.answer = &a
	}
	p.e.mu.Unlock()
	if over {
		return fmt.Errorf("%w: its task is over", ErrTaskTimedOut)
	}
	p.e.wake()
	return nil
}

// pending is a task that gave out a token; e.mu guards it.
type pending struct {
	e      *Execution
	answer *answer
	over   bool
}

// settled says that no answer is taken any more; the execution's lock is held.
func (p *pending) settled() bool { return p.over || p.answer != nil || p.e.status != Running }

type answer struct {
	value any
	raw   []byte
	err   *TaskError
}

// issue gives out a token that depends on nothing but the execution and event.
func (r *Runner) issue(e *Execution, event int64) (string, *pending) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", e.arn, e.started, event))
	token, p := hex.EncodeToString(sum[:]), &pending{e: e}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens[token] = p
	e.tokens = append(e.tokens, token)
	return token, p
}

func (r *Runner) jitter(e *Execution) func() float64 {
	if r.options.Jitter != nil {
		return r.options.Jitter
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(e.arn))
	return rand.New(rand.NewPCG(r.options.Seed, h.Sum64())).Float64
}
