package asl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// object reads the fields of one JSON object and knows which were not read.
type object struct {
	l      *loader
	path   string
	fields map[string]any
	taken  map[string]bool
}

func (l *loader) object(path string, v any) *object {
	fields, ok := v.(map[string]any)
	if !ok {
		l.fault(path, "must be an object")
	}
	return &object{l: l, path: path, fields: fields, taken: map[string]bool{}}
}

func (o *object) at(field string) string {
	if o.path == "" {
		return field
	}
	return o.path + "." + field
}

func (o *object) take(field string) (any, bool) {
	v, ok := o.fields[field]
	o.taken[field] = true
	return v, ok
}

// done reports every field that nothing asked for.
func (o *object) done() {
	for _, name := range slices.Sorted(maps.Keys(o.fields)) {
		if !o.taken[name] {
			o.l.fault(o.at(name), "unknown field")
		}
	}
}

func (o *object) string(field string) string {
	v, ok := o.take(field)
	if !ok {
		o.l.fault(o.at(field), "is missing")
		return ""
	}
	s, ok := v.(string)
	if !ok {
		o.l.fault(o.at(field), "must be a string")
	}
	return s
}

func (o *object) optionalString(field string) string {
	if _, ok := o.fields[field]; !ok {
		return ""
	}
	return o.string(field)
}

// name reads the name of a state.
func (o *object) name(field string) string {
	s := o.string(field)
	if isExpression(s) {
		o.l.fault(o.at(field), "must be the name of a state")
	}
	return s
}

func (o *object) list(field string) []any {
	v, ok := o.take(field)
	if !ok {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		o.l.fault(o.at(field), "must be a list")
	}
	return list
}

func (o *object) optionalNumber(field string, absent, least, most float64, whole bool) float64 {
	v, ok := o.take(field)
	if !ok {
		return absent
	}
	return o.number(field, v, least, most, whole)
}

var (
	substitution = regexp.MustCompile(`\$\{([A-Za-z0-9_]*)\}`)
	altering     = regexp.MustCompile(`["\\\x00-\x1f]|\$\{`)
)

// substitute replaces ${Name} in every string. CloudFormation replaces text
// before the JSON is read, so a value that would change the JSON is refused.
func (l *loader) substitute(path string, v any) any {
	switch v := v.(type) {
	case string:
		text := substitution.ReplaceAllStringFunc(v, func(found string) string {
			name := found[2 : len(found)-1]
			value, ok := l.subs[name]
			switch {
			case !ok:
				l.fault(path, "substitution %s is missing", name)
			case altering.MatchString(value):
				l.fault(path, "the value of substitution %s would change the definition", name)
			}
			l.used[name] = true
			return value
		})
		return text
	case []any:
		for i, item := range v {
			v[i] = l.substitute(fmt.Sprintf("%s[%d]", path, i), item)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			at := strings.TrimPrefix(path+"."+name, ".")
			if strings.Contains(name, "${") {
				l.fault(at, "substitutions stand inside values, not names")
			}
			v[name] = l.substitute(at, v[name])
		}
	}
	return v
}

// depthLimit bounds the nesting of a definition; ours nest about ten deep.
const depthLimit = 100

// decodeStrict reads one JSON value: no field twice in an object, nothing after
// it. Integers stay exact.
func decodeStrict(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := decodeValue(dec, "", 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the definition")
	}
	return v, nil
}

func decodeValue(dec *json.Decoder, path string, depth int) (any, error) {
	if depth > depthLimit {
		return nil, fmt.Errorf("%s: nested deeper than %d", path, depthLimit)
	}
	tok, err := dec.Token()
	if err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	switch tok := tok.(type) {
	case json.Number:
		return exact(tok), nil
	case json.Delim:
		if tok == '{' {
			return decodeObject(dec, path, depth)
		}
		return decodeList(dec, path, depth)
	}
	return tok, nil
}

func decodeObject(dec *json.Decoder, path string, depth int) (any, error) {
	fields := map[string]any{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("not JSON: %w", err)
		}
		name, _ := tok.(string)
		at := strings.TrimPrefix(path+"."+name, ".")
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("%s: the field stands here twice", at)
		}
		if fields[name], err = decodeValue(dec, at, depth+1); err != nil {
			return nil, err
		}
	}
	return fields, closing(dec)
}

func decodeList(dec *json.Decoder, path string, depth int) (any, error) {
	list := []any{}
	for dec.More() {
		v, err := decodeValue(dec, fmt.Sprintf("%s[%d]", path, len(list)), depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, closing(dec)
}

func closing(dec *json.Decoder) error {
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	return nil
}
