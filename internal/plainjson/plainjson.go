// Package plainjson reads the JSON that most documents are: objects, lists, plain
// texts, whole numbers, truths and nulls. Where it is not certain to give what
// encoding/json gives it answers false and encoding/json is asked, which takes five
// times as long and says what is wrong. It knows no document.
package plainjson

import "strings"

// Values say what a null and a whole number become; digits are the number as it
// stands, of which n is the value.
type Values struct {
	Null  any
	Whole func(digits string, n int64) any
}

// Read gives a document's value: objects are map[string]any, of two fields of one
// name the last, lists are []any, texts string, truths bool. The texts are parts of
// one copy of the document: whoever keeps one keeps it all.
func Read(data []byte, values Values) (any, bool) {
	r := reader{data: string(data), values: values}
	v, ok := r.value(0)
	r.space()
	return v, ok && r.at == len(data)
}

// Field is one field of an object, with its value's JSON as it stands.
type Field struct {
	Name  string
	Value []byte
}

// Fields gives the fields of the object that a document is, in their order, twice
// given ones twice. Their values are parts of data.
func Fields(data []byte) ([]Field, bool) {
	r := reader{data: string(data), values: Values{Whole: func(string, int64) any { return nil }}}
	fields := make([]Field, 0, 16)
	ok := r.next('{') && r.fields(func(name string) bool {
		r.space()
		from := r.at
		_, ok := r.value(1)
		fields = append(fields, Field{name, data[from:r.at:r.at]})
		return ok
	})
	r.space()
	return fields, ok && r.at == len(data)
}

// depthMax bounds the nesting that is followed.
const depthMax = 20

type reader struct {
	data   string
	at     int
	values Values
}

func (r *reader) space() {
	for r.at < len(r.data) && (r.data[r.at] == ' ' || r.data[r.at] == '\n' || r.data[r.at] == '\t' || r.data[r.at] == '\r') {
		r.at++
	}
}

// next skips space and takes the byte, if it is the next.
func (r *reader) next(c byte) bool {
	if r.space(); r.at < len(r.data) && r.data[r.at] == c {
		r.at++
		return true
	}
	return false
}

func (r *reader) value(depth int) (any, bool) {
	r.space()
	if r.at == len(r.data) || depth > depthMax {
		return nil, false
	}
	switch c := r.data[r.at]; {
	case c == '"':
		s, ok := r.text()
		return s, ok
	case c == '{':
		return r.object(depth)
	case c == '[':
		return r.list(depth)
	case c == 't':
		return true, r.word("true")
	case c == 'f':
		return false, r.word("false")
	case c == 'n':
		return r.values.Null, r.word("null")
	}
	return r.number()
}

func (r *reader) word(w string) bool {
	if !strings.HasPrefix(r.data[r.at:], w) {
		return false
	}
	r.at += len(w)
	return true
}

// text is a string in which every byte stands for itself.
func (r *reader) text() (string, bool) {
	if !r.next('"') {
		return "", false
	}
	for from := r.at; r.at < len(r.data); r.at++ {
		switch c := r.data[r.at]; {
		case c == '"':
			r.at++
			return r.data[from : r.at-1], true
		case c < ' ' || c > '~' || c == '\\':
			return "", false
		}
	}
	return "", false
}

// digitsMax is how many digits a number may have that a float64 holds exactly.
const digitsMax = 15

func (r *reader) number() (any, bool) {
	from := r.at
	negative := r.next('-')
	first, n := r.at, int64(0)
	for r.at < len(r.data) && r.data[r.at] >= '0' && r.data[r.at] <= '9' {
		if n = n*10 + int64(r.data[r.at]-'0'); r.at-first == digitsMax {
			return nil, false
		}
		r.at++
	}
	digits := r.at - first
	if digits == 0 || r.data[first] == '0' && (digits > 1 || negative) {
		return nil, false
	}
	if r.at < len(r.data) && (r.data[r.at] == '.' || r.data[r.at] == 'e' || r.data[r.at] == 'E') {
		return nil, false
	}
	if negative {
		n = -n
	}
	return r.values.Whole(r.data[from:r.at], n), true
}

// fields reads an object from behind its brace; value reads each field's value.
func (r *reader) fields(value func(name string) bool) bool {
	if r.next('}') {
		return true
	}
	for {
		r.space()
		name, ok := r.text()
		if !ok || !r.next(':') || !value(name) {
			return false
		}
		if r.next('}') {
			return true
		}
		if !r.next(',') {
			return false
		}
	}
}

func (r *reader) object(depth int) (any, bool) {
	r.at++
	all := map[string]any{}
	ok := r.fields(func(name string) (ok bool) {
		all[name], ok = r.value(depth + 1)
		return ok
	})
	return all, ok
}

func (r *reader) list(depth int) (any, bool) {
	r.at++
	items := []any{}
	if r.next(']') {
		return items, true
	}
	for {
		v, ok := r.value(depth + 1)
		if !ok {
			return nil, false
		}
		if items = append(items, v); r.next(']') {
			return items, true
		}
		if !r.next(',') {
			return nil, false
		}
	}
}
