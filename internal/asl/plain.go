package asl

import "bytes"

// read reads the JSON that most documents here are: objects, lists, plain texts,
// whole numbers, truths and nulls. It answers false where it is not certain to give
// what the library gives, which is then asked; that takes five times as long.
func read(data []byte) (any, bool) {
	r := reader{data: data}
	v, ok := r.value(0)
	r.space()
	return v, ok && r.at == len(data)
}

// depthRead bounds the nesting that read follows.
const depthRead = 20

type reader struct {
	data []byte
	at   int
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
	if r.at == len(r.data) || depth > depthRead {
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
		return null, r.word("null")
	}
	return r.number()
}

func (r *reader) word(w string) bool {
	if !bytes.HasPrefix(r.data[r.at:], []byte(w)) {
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
			return string(r.data[from : r.at-1]), true
		case c < ' ' || c > '~' || c == '\\':
			return "", false
		}
	}
	return "", false
}

// digitsMax is how many digits a number may have that a float64 holds exactly.
const digitsMax = 15

func (r *reader) number() (any, bool) {
	negative := r.next('-')
	from, n := r.at, int64(0)
	for r.at < len(r.data) && r.data[r.at] >= '0' && r.data[r.at] <= '9' {
		if n = n*10 + int64(r.data[r.at]-'0'); r.at-from == digitsMax {
			return nil, false
		}
		r.at++
	}
	digits := r.at - from
	if digits == 0 || r.data[from] == '0' && (digits > 1 || negative) {
		return nil, false
	}
	if r.at < len(r.data) && (r.data[r.at] == '.' || r.data[r.at] == 'e' || r.data[r.at] == 'E') {
		return nil, false
	}
	if negative {
		n = -n
	}
	return float64(n), true
}

func (r *reader) object(depth int) (any, bool) {
	r.at++
	fields := map[string]any{}
	if r.next('}') {
		return fields, true
	}
	for {
		r.space()
		name, ok := r.text()
		if !ok || !r.next(':') {
			return nil, false
		}
		if fields[name], ok = r.value(depth + 1); !ok {
			return nil, false
		}
		if r.next('}') {
			return fields, true
		}
		if !r.next(',') {
			return nil, false
		}
	}
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
