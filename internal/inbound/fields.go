package inbound

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"nightshift/internal/plainjson"
	"nightshift/internal/session"
)

// fields reads one JSON object strictly: a field that is not allowed is an
// error that names it, names are matched to the letter, and the first fault is
// kept while reading goes on. encoding/json alone matches names without regard
// to case and keeps the last of two.
type fields struct {
	path  string
	raw   map[string]json.RawMessage
	fault *error // shared by an object and its children
}

func object(path string, body []byte, allowed ...string) (*fields, error) {
	var fault error
	o := parseFields(path, body, &fault, allowed)
	return o, fault
}

func parseFields(path string, body []byte, fault *error, allowed []string) *fields {
	o := &fields{path: path, raw: map[string]json.RawMessage{}, fault: fault}
	if plain, ok := plainjson.Fields(body); ok {
		for _, f := range plain {
			o.take(f.Name, f.Value, allowed)
		}
		return o
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		o.failAt(path, "must be a JSON object")
		return o
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			o.failAt(path, "is not valid JSON: "+err.Error())
			return o
		}
		name, _ := t.(string)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			o.failAt(o.at(name), "is not valid JSON: "+err.Error())
			return o
		}
		o.take(name, value, allowed)
	}
	if _, err := dec.Token(); err != nil {
		o.failAt(path, "is not valid JSON: "+err.Error())
	} else if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		o.failAt(path, "has something after its end")
	}
	return o
}

// take takes one field as it is read.
func (o *fields) take(name string, value json.RawMessage, allowed []string) {
	switch _, twice := o.raw[name]; {
	case !slices.Contains(allowed, name):
		o.fail(name, "is not a known field; allowed here: "+strings.Join(allowed, ", "))
	case twice:
		o.fail(name, "is given twice")
	}
	if string(value) != "null" {
		o.raw[name] = value
	}
}

func (o *fields) at(name string) string {
	if o.path == "" {
		return name
	}
	return o.path + "." + name
}

func (o *fields) fail(name, sentence string) { o.failAt(o.at(name), sentence) }

func (o *fields) failAt(path, sentence string) {
	if *o.fault != nil {
		return
	}
	if path == "" {
		path = "the input"
	}
	*o.fault = errors.New(path + " " + sentence)
}

func (o *fields) err() error { return *o.fault }

func (o *fields) has(name string) bool { _, ok := o.raw[name]; return ok }

// require refuses an object that lacks a field, or has "" there.
func (o *fields) require(names ...string) {
	for _, n := range names {
		if !o.has(n) || string(o.raw[n]) == `""` {
			o.fail(n, "is missing")
		}
	}
}

func (o *fields) sub(name string, body []byte, allowed ...string) *fields {
	return parseFields(o.at(name), body, o.fault, allowed)
}

func (o *fields) child(name string, allowed ...string) *fields {
	if !o.has(name) {
		return &fields{path: o.at(name), raw: map[string]json.RawMessage{}, fault: o.fault}
	}
	return o.sub(name, o.raw[name], allowed...)
}

func (o *fields) list(name string) []json.RawMessage {
	var l []json.RawMessage
	if o.has(name) && json.Unmarshal(o.raw[name], &l) != nil {
		o.fail(name, "must be a list")
	}
	return l
}

func (o *fields) text(name string) string {
	if v, ok := plainjson.Read(o.raw[name], plainValues); ok {
		if s, ok := v.(string); ok {
			return s
		}
	}
	var s string
	if o.has(name) && json.Unmarshal(o.raw[name], &s) != nil {
		o.fail(name, "must be a string")
	}
	return s
}

func (o *fields) boolean(name string) (value, ok bool) {
	if !o.has(name) {
		return false, false
	}
	if json.Unmarshal(o.raw[name], &value) != nil {
		o.fail(name, "must be true or false")
	}
	return value, true
}

// oneOf reads a word; "" is not given.
func (o *fields) oneOf(name string, allowed ...string) string {
	s := o.text(name)
	if s != "" && !slices.Contains(allowed, s) {
		o.fail(name, fmt.Sprintf("is %q; allowed: %s", s, strings.Join(allowed, ", ")))
	}
	return s
}

func (o *fields) tri(name string) session.Tri {
	switch o.oneOf(name, "on", "off", "unknown") {
	case "on":
		return session.On
	case "off":
		return session.Off
	}
	return session.Unknown
}

func (o *fields) time(name string) time.Time {
	s := o.text(name)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		o.fail(name, fmt.Sprintf("is %q; it must be a time such as 2026-11-20T18:00:00Z", s))
	}
	return t.UTC()
}

// duration reads a Go duration into value, which keeps its default where the
// field is missing or empty.
func (o *fields) duration(name string, value *time.Duration) {
	s := o.text(name)
	if s == "" {
		return
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		o.fail(name, fmt.Sprintf("is %q; it must be a Go duration of 15 minutes to 90 days, such as 15m, 8h or 2160h", s))
		return
	}
	if err := session.CheckDuration(o.at(name), d); err != nil && *o.fault == nil {
		*o.fault = err
	}
	*value = d
}

// secondsMax keeps a runtime within what a duration can hold; no engine allows
// nearly as much.
const secondsMax = 9_000_000_000

func (o *fields) seconds(name string) time.Duration {
	var n int64
	if o.has(name) && (json.Unmarshal(o.raw[name], &n) != nil || n < 0 || n > secondsMax) {
		o.fail(name, fmt.Sprintf("must be a whole number of seconds from 0 (not given) to %d", int64(secondsMax)))
	}
	return time.Duration(n) * time.Second
}
