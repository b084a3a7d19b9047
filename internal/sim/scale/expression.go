package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// attributes are an item's.
type attributes = map[string]types.AttributeValue

// expression reads DynamoDB's condition and update expressions, as far as the store
// writes them; anything else is a defect, and panics.
type expression struct {
	words  []string
	names  map[string]string
	values attributes
	item   attributes // nil: there is none
}

var wordForm = regexp.MustCompile(`[#:]?[A-Za-z_][A-Za-z0-9_]*|<>|<=|>=|[()=<>,]`)

func newExpression(text string, names map[string]string, values, item attributes) *expression {
	return &expression{wordForm.FindAllString(text, -1), names, values, item}
}

func (e *expression) peek() string {
	if len(e.words) == 0 {
		return ""
	}
	return e.words[0]
}

func (e *expression) take() string {
	w := e.peek()
	if w != "" {
		e.words = e.words[1:]
	}
	return w
}

func (e *expression) want(word string) {
	if got := e.take(); got != word {
		panic(fmt.Sprintf("an expression has %q where %q was expected", got, word))
	}
}

// holds judges a whole condition; one that is empty holds.
func (e *expression) holds() bool {
	if len(e.words) == 0 {
		return true
	}
	ok := e.or()
	if len(e.words) > 0 {
		panic(fmt.Sprintf("an expression goes on with %q", e.words))
	}
	return ok
}

func (e *expression) or() bool {
	ok := e.and()
	for e.peek() == "OR" {
		e.take()
		ok = e.and() || ok
	}
	return ok
}

func (e *expression) and() bool {
	ok := e.test()
	for e.peek() == "AND" {
		e.take()
		ok = e.test() && ok
	}
	return ok
}

func (e *expression) test() bool {
	switch e.peek() {
	case "(":
		e.take()
		ok := e.or()
		e.want(")")
		return ok
	case "attribute_exists", "attribute_not_exists":
		there := e.take() == "attribute_exists"
		e.want("(")
		_, has := e.item[e.name(e.take())]
		e.want(")")
		return has == there
	}
	left := e.operand()
	switch op := e.take(); op {
	case "IN":
		e.want("(")
		ok := false
		for {
			ok = compare(left, e.operand()) == 0 && left != nil || ok
			if e.take() == ")" {
				return ok
			}
		}
	case "BETWEEN":
		low := e.operand()
		e.want("AND")
		high := e.operand()
		return left != nil && compare(left, low) >= 0 && compare(left, high) <= 0
	case "=":
		right := e.operand()
		return left != nil && right != nil && compare(left, right) == 0
	case "<":
		right := e.operand()
		return left != nil && right != nil && compare(left, right) < 0
	default:
		panic(fmt.Sprintf("there is no comparison %q here", op))
	}
}

func (e *expression) name(word string) string {
	if n, ok := e.names[word]; ok {
		return n
	}
	if strings.HasPrefix(word, "#") {
		panic("nobody says what " + word + " is")
	}
	return word
}

// operand is a value, or what an attribute has; nil: it is not there.
func (e *expression) operand() types.AttributeValue {
	w := e.take()
	switch {
	case w == "if_not_exists":
		e.want("(")
		has, known := e.item[e.name(e.take())]
		e.want(",")
		other := e.operand()
		e.want(")")
		if known {
			return has
		}
		return other
	case strings.HasPrefix(w, ":"):
		v, ok := e.values[w]
		if !ok {
			panic("nobody says what " + w + " is")
		}
		return v
	}
	return e.item[e.name(w)]
}

// compare orders two values of one type; those of different types are unequal.
func compare(a, b types.AttributeValue) int {
	switch a := a.(type) {
	case *types.AttributeValueMemberS:
		if b, ok := b.(*types.AttributeValueMemberS); ok {
			return strings.Compare(a.Value, b.Value)
		}
	case *types.AttributeValueMemberN:
		if b, ok := b.(*types.AttributeValueMemberN); ok {
			return int(numberOf(a) - numberOf(b))
		}
	case *types.AttributeValueMemberB:
		if b, ok := b.(*types.AttributeValueMemberB); ok {
			return slices.Compare(a.Value, b.Value)
		}
	}
	return -1
}

func numberOf(v types.AttributeValue) int64 {
	n, ok := v.(*types.AttributeValueMemberN)
	if !ok {
		return 0
	}
	i, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil {
		panic(err) // the store writes whole numbers only
	}
	return i
}

// update carries out an update expression on a copy of the item.
func (e *expression) update() attributes {
	out := attributes{}
	for k, v := range e.item {
		out[k] = v
	}
	for clause := e.take(); clause != ""; {
		switch clause {
		case "SET":
			n := e.name(e.take())
			e.want("=")
			out[n] = e.operand()
		case "REMOVE":
			delete(out, e.name(e.take()))
		case "ADD":
			n := e.name(e.take())
			out[n] = &types.AttributeValueMemberN{Value: strconv.FormatInt(numberOf(out[n])+numberOf(e.operand()), 10)}
		default:
			panic("there is no clause " + clause + " here")
		}
		if e.peek() == "," {
			e.take()
			continue
		}
		clause = e.take()
	}
	return out
}
