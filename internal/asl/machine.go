// Package asl executes the project's state machines on a virtual clock: the
// part of Amazon States Language they use, with JSONata, and nothing else. What
// it does not know is an error when a definition is loaded, so that no test
// passes on a field that was silently ignored.
//
// It knows Step Functions' rules: states, retries, task tokens, execution names,
// limits, histories. It must not know what the machines are for, and reaches
// the world only through Services.
package asl

import "fmt"

// Limits of Step Functions standard workflows.
const (
	DataLimit    = 262_144 // bytes of an input, output, payload or result
	HistoryLimit = 25_000  // events of one execution
)

// The states' types.
const (
	task    = "Task"
	wait    = "Wait"
	choice  = "Choice"
	pass    = "Pass"
	succeed = "Succeed"
	fail    = "Fail"
)

// The resources a Task may have.
const (
	invoke         = "arn:aws:states:::lambda:invoke"
	invokeToken    = "arn:aws:states:::lambda:invoke.waitForTaskToken"
	startExecution = "arn:aws:states:::states:startExecution"
)

// Machine is a loaded definition. It is immutable and may be used by any number
// of executions at once. Use Load.
type Machine struct {
	startAt string
	timeout int64 // seconds; 0: none
	states  map[string]*state
	order   []string // breadth first from startAt
	exprs   []Expression
}

// Expression is one JSONata expression of a definition.
type Expression struct {
	Path   string // of the field: "States.Observe.Arguments.Payload"
	Source string // between the braces, substitutions made
}

// Edge is one way from a state to another.
type Edge struct {
	From, To string
	Label    string // the errors of a Catch, the condition of a Choice, "otherwise", or ""
}

// Expressions lists every JSONata expression, in the order of the states.
func (m *Machine) Expressions() []Expression { return append([]Expression(nil), m.exprs...) }

// StartAt is the name of the first state.
func (m *Machine) StartAt() string { return m.startAt }

// States lists the states' names, breadth first from StartAt.
func (m *Machine) States() []string { return append([]string(nil), m.order...) }

// Type is the type of a state, for example "Task"; "" where there is none.
func (m *Machine) Type(state string) string {
	if s := m.states[state]; s != nil {
		return s.kind
	}
	return ""
}

// Edges lists the ways between states, in the order of States.
func (m *Machine) Edges() []Edge {
	var edges []Edge
	for _, name := range m.order {
		edges = append(edges, m.states[name].edges()...)
	}
	return edges
}

type state struct {
	name      string
	kind      string
	entered   string // the types of its events
	exited    string
	next      string // "" where it ends
	end       bool
	resource  string
	arguments *template
	output    *template
	assign    *template
	timeout   *template // seconds; nil: none
	seconds   *template
	timestamp *template
	errorName *template
	cause     *template
	choices   []rule
	otherwise string
	retry     []retrier
	catch     []catcher
	context   bool // an expression of it reads $states.context
}

type rule struct {
	condition *template
	next      string
}

type retrier struct {
	errors   []string
	interval float64 // seconds
	attempts int
	backoff  float64
	maxDelay float64 // seconds; 0: none
	full     bool    // jitter
}

type catcher struct {
	errors []string
	next   string
	output *template
	assign *template
}

func (s *state) edges() []Edge {
	var edges []Edge
	for _, c := range s.choices {
		edges = append(edges, Edge{s.name, c.next, c.condition.text})
	}
	if s.kind == choice {
		edges = append(edges, Edge{s.name, s.otherwise, "otherwise"})
	}
	if s.next != "" {
		edges = append(edges, Edge{s.name, s.next, ""})
	}
	for _, c := range s.catch {
		edges = append(edges, Edge{s.name, c.next, fmt.Sprint(c.errors)})
	}
	return edges
}
