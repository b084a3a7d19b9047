package asl

import (
	"math"
	"slices"
	"strconv"

	"github.com/blues/jsonata-go/jparse"
)

// direct evaluates an expression without the library, where that is certain to
// give what the library gives: paths of names through objects, and sums,
// comparisons and joined texts of plain values. It answers false where it is not
// certain, and the library is asked. Nearly all of our expressions are such, and
// the library takes twenty times as long.
type direct func(variables map[string]any) (any, bool)

// directly makes a direct of a tree; nil where there is none.
func directly(node jparse.Node) direct {
	switch n := node.(type) {
	case *jparse.StringNode:
		return func(map[string]any) (any, bool) { return n.Value, true }
	case *jparse.NumberNode:
		return func(map[string]any) (any, bool) { return n.Value, true }
	case *jparse.BooleanNode:
		return func(map[string]any) (any, bool) { return n.Value, true }
	case *jparse.VariableNode:
		return path([]string{n.Name})
	case *jparse.PathNode:
		return names(n)
	case *jparse.NumericOperatorNode:
		return both(n.LHS, n.RHS, func(a, b any) (any, bool) { return numeric(n.Type, a, b) })
	case *jparse.ComparisonOperatorNode:
		return both(n.LHS, n.RHS, func(a, b any) (any, bool) { return compared(n.Type, a, b) })
	case *jparse.StringConcatenationNode:
		return both(n.LHS, n.RHS, func(a, b any) (any, bool) {
			x, ok := a.(string)
			y, ok2 := b.(string)
			return x + y, ok && ok2
		})
	case *jparse.FunctionCallNode:
		return texted(n)
	case *jparse.BlockNode:
		if len(n.Exprs) == 1 {
			return directly(n.Exprs[0])
		}
	}
	return nil
}

func names(n *jparse.PathNode) direct {
	v, ok := n.Steps[0].(*jparse.VariableNode)
	if !ok || n.KeepArrays {
		return nil
	}
	steps := []string{v.Name}
	for _, s := range n.Steps[1:] {
		name, ok := s.(*jparse.NameNode)
		if !ok {
			return nil
		}
		steps = append(steps, name.Value)
	}
	return path(steps)
}

// path looks a plain value or an object up; lists are left to the library, which
// unwraps them, and so is what is null or not there.
func path(steps []string) direct {
	return func(variables map[string]any) (any, bool) {
		var v any = variables
		for _, s := range steps {
			fields, ok := v.(map[string]any)
			if !ok {
				return nil, false
			}
			if v, ok = fields[s]; !ok {
				return nil, false
			}
		}
		switch v.(type) {
		case string, bool, float64, int64, map[string]any:
			return v, true
		}
		return nil, false
	}
}

func both(lhs, rhs jparse.Node, f func(a, b any) (any, bool)) direct {
	left, right := directly(lhs), directly(rhs)
	if left == nil || right == nil {
		return nil
	}
	return func(variables map[string]any) (any, bool) {
		a, ok := left(variables)
		b, ok2 := right(variables)
		if !ok || !ok2 {
			return nil, false
		}
		return f(a, b)
	}
}

func numeric(op jparse.NumericOperator, a, b any) (any, bool) {
	x, ok := a.(float64)
	y, ok2 := b.(float64)
	if !ok || !ok2 {
		return nil, false
	}
	switch op {
	case jparse.NumericAdd:
		x += y
	case jparse.NumericSubtract:
		x -= y
	default:
		return nil, false
	}
	return x, !math.IsInf(x, 0) && !math.IsNaN(x)
}

func compared(op jparse.ComparisonOperator, a, b any) (any, bool) {
	x, ok := a.(float64)
	y, ok2 := b.(float64)
	if !ok || !ok2 {
		return nil, false
	}
	switch op {
	case jparse.ComparisonLess:
		return x < y, true
	case jparse.ComparisonLessEqual:
		return x <= y, true
	case jparse.ComparisonGreater:
		return x > y, true
	case jparse.ComparisonGreaterEqual:
		return x >= y, true
	}
	return nil, false
}

// texted is $string of a text or of a whole number.
func texted(n *jparse.FunctionCallNode) direct {
	f, ok := n.Func.(*jparse.VariableNode)
	if !ok || f.Name != "string" || len(n.Args) != 1 {
		return nil
	}
	arg := directly(n.Args[0])
	if arg == nil {
		return nil
	}
	return func(variables map[string]any) (any, bool) {
		v, ok := arg(variables)
		if !ok {
			return nil, false
		}
		switch v := v.(type) {
		case string:
			return v, true
		case float64:
			return strconv.FormatFloat(v, 'f', -1, 64), v == math.Trunc(v) && math.Abs(v) < 1e9
		}
		return nil, false
	}
}

// plainly appends the JSON that encode gives, where that is certain: of objects,
// lists, plain texts, truths and whole numbers. The library takes four times as
// long.
func plainly(b []byte, v any) ([]byte, bool) {
	switch v := v.(type) {
	case map[string]any:
		if v == nil {
			return nil, false
		}
		keys := make([]string, 0, 8)
		for key := range v {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		b = append(b, '{')
		for i, key := range keys {
			if i > 0 {
				b = append(b, ',')
			}
			var ok bool
			if b, ok = plainText(b, key); !ok {
				return nil, false
			}
			if b, ok = plainly(append(b, ':'), v[key]); !ok {
				return nil, false
			}
		}
		return append(b, '}'), true
	case []any:
		if v == nil {
			return nil, false
		}
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			var ok bool
			if b, ok = plainly(b, e); !ok {
				return nil, false
			}
		}
		return append(b, ']'), true
	case string:
		return plainText(b, v)
	case bool:
		return strconv.AppendBool(b, v), true
	case float64:
		if !whole(v) {
			return nil, false
		}
		return strconv.AppendInt(b, int64(v), 10), true
	}
	return nil, false
}

// whole says that a number is written as its digits.
func whole(v float64) bool {
	return v == math.Trunc(v) && math.Abs(v) < 1e15 && (v != 0 || !math.Signbit(v))
}

// plainlyText says that every byte of a text stands for itself.
func plainlyText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func plainText(b []byte, s string) ([]byte, bool) {
	if !plainlyText(s) {
		return nil, false
	}
	return append(append(append(b, '"'), s...), '"'), true
}

// room is how many bytes of n the JSON of a value leaves, at least, where plainly
// writes it; less than 0: it may leave none, or another must write it.
func room(v any, n int) int {
	switch v := v.(type) {
	case map[string]any:
		if v == nil {
			return -1
		}
		n -= len("{}")
		for key, item := range v {
			if n = room(key, n-len(":,")); n < 0 {
				return n
			}
			if n = room(item, n); n < 0 {
				return n
			}
		}
		return n
	case []any:
		if v == nil {
			return -1
		}
		n -= len("[]")
		for _, item := range v {
			if n = room(item, n-len(",")); n < 0 {
				return n
			}
		}
		return n
	case string:
		if !plainlyText(v) {
			return -1
		}
		return n - len(v) - len(`""`)
	case bool:
		return n - len("false")
	case float64:
		if !whole(v) {
			return -1
		}
		return n - len("-999999999999999")
	}
	return -1
}
