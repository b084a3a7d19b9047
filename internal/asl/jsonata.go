package asl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	jsonata "github.com/blues/jsonata-go"
	"github.com/blues/jsonata-go/jparse"

	"nightshift/internal/plainjson"
)

// expressionLimit bounds one expression; the parser recurses.
const expressionLimit = 4096

// scope says which parts of $states a field may use.
type scope uint8

const (
	plain      scope = iota // input, context
	withToken               // and context.Task
	withResult              // and result
	withError               // and errorOutput
)

// template is a JSON value of a definition whose strings may be expressions.
type template struct {
	path    string
	text    string // the string it is, if it is one
	literal any    // no expression inside
	expr    *jsonata.Expr
	direct  direct // the same without the library; nil: there is none
	fields  []field
	items   []*template
}

// field is one of an object's, by name.
type field struct {
	name string
	*template
}

func isExpression(s string) bool { return strings.HasPrefix(s, "{%") || strings.HasSuffix(s, "%}") }

func (l *loader) compile(path string, v any, sc scope) *template {
	t := &template{path: path}
	switch v := v.(type) {
	case string:
		t.text, t.literal = v, v
		if isExpression(v) {
			t.text = strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(v, "{%"), "%}"))
			t.expr, t.direct = l.expression(path, v, sc)
		}
	case map[string]any:
		t.fields = make([]field, 0, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			t.fields = append(t.fields, field{name, l.compile(path+"."+name, v[name], sc)})
		}
	case []any:
		t.items = make([]*template, len(v))
		for i, item := range v {
			t.items[i] = l.compile(fmt.Sprintf("%s[%d]", path, i), item, sc)
		}
	case nil:
		t.literal = null
	default:
		t.literal = v
	}
	return t
}

func (l *loader) expression(path, text string, sc scope) (*jsonata.Expr, direct) {
	if len(text) < 4 || !strings.HasPrefix(text, "{%") || !strings.HasSuffix(text, "%}") {
		l.fault(path, "an expression stands between {%% and %%}, alone")
		return nil, nil
	}
	source := strings.TrimSpace(text[2 : len(text)-2])
	expr, node, err := parse(source)
	if err != nil {
		l.fault(path, "%v", err)
		return nil, nil
	}
	c := &checker{l: l, path: path, scope: sc}
	c.node(node)
	l.m.exprs = append(l.m.exprs, Expression{Path: path, Source: source})
	return expr, directly(node)
}

// parse compiles an expression and gives its tree too, for checking.
func parse(source string) (expr *jsonata.Expr, node jparse.Node, err error) {
	if len(source) > expressionLimit {
		return nil, nil, fmt.Errorf("the expression is longer than %d bytes", expressionLimit)
	}
	// The parser is not ours and is documented to return errors only for faults
	// it foresaw.
	defer func() {
		if r := recover(); r != nil {
			expr, node, err = nil, nil, fmt.Errorf("the JSONata parser gave up: %v", r)
		}
	}()
	if node, err = jparse.Parse(source); err != nil {
		return nil, nil, fmt.Errorf("not JSONata: %w", err)
	}
	if expr, err = jsonata.Compile(source); err != nil {
		return nil, nil, fmt.Errorf("not JSONata: %w", err)
	}
	return expr, node, nil
}

// checker admits the part of JSONata that the library evaluates as the
// reference does. Left out on purpose: the chain operator (the library changes
// the tree when it evaluates it), clocks and chance (not the virtual clock's),
// and everything our machines have no use for.
type checker struct {
	l     *loader
	path  string
	scope scope
}

var functions = []string{"string", "number", "exists", "not", "merge", "length", "substring"}

func (c *checker) node(node jparse.Node) {
	switch n := node.(type) {
	case *jparse.StringNode, *jparse.NumberNode, *jparse.BooleanNode, *jparse.NullNode:
	case *jparse.NegationNode:
		c.node(n.RHS)
	case *jparse.BlockNode:
		c.nodes(n.Exprs...)
	case *jparse.ArrayNode:
		c.nodes(n.Items...)
	case *jparse.ObjectNode:
		for _, pair := range n.Pairs {
			c.nodes(pair[0], pair[1])
		}
	case *jparse.ConditionalNode:
		c.nodes(n.If, n.Then)
		if n.Else != nil {
			c.node(n.Else)
		}
	case *jparse.NumericOperatorNode:
		c.nodes(n.LHS, n.RHS)
	case *jparse.ComparisonOperatorNode:
		c.nodes(n.LHS, n.RHS)
	case *jparse.BooleanOperatorNode:
		c.nodes(n.LHS, n.RHS)
	case *jparse.StringConcatenationNode:
		c.nodes(n.LHS, n.RHS)
	case *jparse.FunctionCallNode:
		c.call(n)
	case *jparse.VariableNode:
		c.variable(n.Name, nil)
	case *jparse.PathNode:
		c.pathNode(n)
	default:
		c.l.fault(c.path, "JSONata's %s is not among what is supported", strings.TrimPrefix(fmt.Sprintf("%T", n), "*jparse."))
	}
}

func (c *checker) nodes(nodes ...jparse.Node) {
	for _, n := range nodes {
		c.node(n)
	}
}

func (c *checker) call(n *jparse.FunctionCallNode) {
	name := ""
	if v, ok := n.Func.(*jparse.VariableNode); ok {
		name = v.Name
	}
	if !slices.Contains(functions, name) {
		c.l.fault(c.path, "the JSONata function $%s is not among what is supported", name)
	}
	c.nodes(n.Args...)
}

func (c *checker) pathNode(n *jparse.PathNode) {
	steps := make([]string, 0, len(n.Steps))
	for _, step := range n.Steps[1:] {
		name, ok := step.(*jparse.NameNode)
		if !ok {
			c.l.fault(c.path, "a path may have only names, not %s", step)
			return
		}
		steps = append(steps, name.Value)
	}
	v, ok := n.Steps[0].(*jparse.VariableNode)
	if !ok {
		c.l.fault(c.path, "a path begins with $states or a variable, not %s", n.Steps[0])
		return
	}
	c.variable(v.Name, steps)
}

// contextFields are the parts of $states.context; true: it may go on below.
var contextFields = map[string]bool{
	"Execution.Id": false, "Execution.Name": false, "Execution.StartTime": false, "Execution.Input": true,
	"State.Name": false, "State.EnteredTime": false, "State.RetryCount": false,
	"StateMachine.Id": false, "StateMachine.Name": false, "Task.Token": false,
}

func (c *checker) variable(name string, steps []string) {
	if name != "states" {
		if name == "" || name == "$" {
			c.l.fault(c.path, "there is no context value here; begin with $states or a variable")
			return
		}
		c.l.read = append(c.l.read, variable{c.path, name})
		return
	}
	if len(steps) == 0 {
		c.l.fault(c.path, "$states alone is no value")
		return
	}
	known := false
	switch steps[0] {
	case "input":
		known = true
	case "result":
		known = c.scope == withResult
	case "errorOutput":
		known = c.scope == withError
	case "context":
		known = c.context(steps[1:])
	}
	if !known {
		c.l.fault(c.path, "$states.%s is not available here", strings.Join(steps, "."))
	}
}

func (c *checker) context(steps []string) bool {
	if len(steps) < 2 {
		return false
	}
	field := steps[0] + "." + steps[1]
	deeper, known := contextFields[field]
	if field == "Task.Token" && c.scope != withToken {
		return false
	}
	return known && (deeper || len(steps) == 2)
}

// evaluation serialises every use of the library: its built-in functions keep
// the context and the name of their last call in package-wide variables, so
// that two evaluations at once race.
var evaluation sync.Mutex

// Evaluate evaluates one JSONata expression with variables, as executions do:
// "states" is $states. Variables and result are what encoding/json can write;
// in the result a null is a nil *any, and a number a float64, or an int64 where
// float64 is not exact. A result that is undefined is an error.
func Evaluate(source string, variables map[string]any) (any, error) {
	expr, _, err := parse(source)
	if err != nil {
		return nil, err
	}
	raw, err := encode(variables)
	if err != nil {
		return nil, err
	}
	v, err := decode(raw)
	if err != nil {
		return nil, err
	}
	bound, _ := v.(map[string]any)
	return evaluate(expr, bound)
}

func evaluate(expr *jsonata.Expr, variables map[string]any) (v any, err error) {
	// A copy shares the tree, which nothing we admit changes, and has variables
	// of its own.
	own := *expr
	if err := own.RegisterVars(variables); err != nil {
		return nil, err
	}
	evaluation.Lock()
	defer evaluation.Unlock()
	defer func() {
		if r := recover(); r != nil {
			v, err = nil, fmt.Errorf("JSONata gave up: %v", r)
		}
	}()
	if v, err = own.Eval(nil); err != nil {
		if errors.Is(err, jsonata.ErrUndefined) {
			return nil, errors.New("returned nothing (undefined)")
		}
		return nil, err
	}
	return plainJSON(v)
}

// into evaluates the fields of an object into a map.
func (t *template) into(out, variables map[string]any) error {
	for _, f := range t.fields {
		v, err := f.fill(variables)
		if err != nil {
			return err
		}
		out[f.name] = v
	}
	return nil
}

// fill evaluates a template; a failure is a States.QueryEvaluationError.
func (t *template) fill(variables map[string]any) (any, error) {
	switch {
	case t.expr != nil:
		if t.direct != nil {
			if v, certain := t.direct(variables); certain {
				return v, nil
			}
		}
		v, err := evaluate(t.expr, variables)
		if err != nil {
			return nil, &TaskError{ErrorQuery, fmt.Sprintf("The JSONata expression '%s' specified for the field '%s' %v", t.text, t.path, err)}
		}
		return v, nil
	case t.fields != nil:
		out := make(map[string]any, len(t.fields))
		return out, t.into(out, variables)
	case t.items != nil:
		out := make([]any, len(t.items))
		for i, f := range t.items {
			v, err := f.fill(variables)
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return out, nil
	}
	return t.literal, nil
}

// plainJSON turns what the library answers into what decode would have read.
func plainJSON(v any) (any, error) {
	switch v := v.(type) {
	case nil:
		return null, nil
	case bool, string, int64:
		return v, nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("returned %v, which is no JSON number", v)
		}
		return v, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, item := range v {
			p, err := plainJSON(item)
			if err != nil {
				return nil, err
			}
			out[name] = p
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			p, err := plainJSON(item)
			if err != nil {
				return nil, err
			}
			out[i] = p
		}
		return out, nil
	}
	r := reflect.ValueOf(v)
	if r.Kind() == reflect.Pointer {
		if r.IsNil() {
			return null, nil
		}
		return plainJSON(r.Elem().Interface())
	}
	if r.CanInt() {
		return r.Int(), nil
	}
	return nil, fmt.Errorf("returned a %T, which is no JSON value", v)
}

// decode reads one JSON value; integers stay exact.
func decode(data []byte) (any, error) {
	if v, ok := plainjson.Read(data, values); ok {
		return v, nil
	}
	return libraryRead(data)
}

// values are those of plain JSON, as libraryRead gives them.
var values = plainjson.Values{Null: null, Whole: func(_ string, n int64) any { return float64(n) }}

func libraryRead(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(data[dec.InputOffset():])) > 0 {
		return nil, errors.New("something follows the JSON value")
	}
	return exactNumbers(v)
}

func exactNumbers(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case nil:
		return null, nil
	case json.Number:
		n := exact(v)
		if f, _ := toFloat(n); math.IsInf(f, 0) {
			return nil, fmt.Errorf("%s is out of range", v)
		}
		return n, nil
	case map[string]any:
		for name, item := range v {
			if v[name], err = exactNumbers(item); err != nil {
				return nil, err
			}
		}
	case []any:
		for i, item := range v {
			if v[i], err = exactNumbers(item); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// null is how values hold a JSON null, because the library does: to it, a bare
// nil is undefined.
var null *any

// exact gives a float64, which JSONata computes with, or an int64 where a
// float64 would change an integer.
func exact(n json.Number) any {
	f, err := n.Float64()
	if i, notInt := strconv.ParseInt(n.String(), 10, 64); notInt == nil && (err != nil || math.Abs(f) >= 1<<53) {
		return i
	}
	return f
}

func toFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), true
	}
	return 0, false
}

// encode writes JSON as Step Functions does: sorted by name, and no escapes
// that only HTML needs.
func encode(v any) ([]byte, error) {
	if b, ok := plainly(make([]byte, 0, 256), v); ok {
		return b, nil
	}
	return library(v)
}

func library(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
