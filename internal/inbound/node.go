package inbound

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/plainjson"
	"nightshift/internal/session"
)

// node is a place in the event's JSON, present or not.
type node struct {
	above, name string // its path but for its last name, and that
	value       any    // nil: absent or null
	fault       error
}

func (n node) path() string {
	if n.above == "" {
		return n.name
	}
	return n.above + "." + n.name
}

func decode(body []byte) (node, error) {
	v, ok := plainjson.Read(body, plainValues)
	if !ok {
		var err error
		if v, err = libraryRead(body); err != nil {
			return node{}, fmt.Errorf("the event is not JSON: %w", err)
		}
	}
	if _, ok := v.(map[string]any); !ok {
		return node{}, fmt.Errorf("the event must be an object, it is %s", nameOf(v))
	}
	return node{value: v}, nil
}

// plainValues are those of plain JSON, as libraryRead gives them.
var plainValues = plainjson.Values{Whole: func(digits string, _ int64) any { return json.Number(digits) }}

func libraryRead(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows its end")
	}
	return v, nil
}

// at is the field of that name. The same name with its first letter in the
// other case is taken too: CloudTrail writes trainingJobName where the
// service's own events write TrainingJobName.
func (n node) at(name string) node {
	child := node{above: n.path(), name: name, fault: n.fault}
	if n.value == nil || n.fault != nil {
		return child
	}
	fields, ok := n.value.(map[string]any)
	if !ok {
		child.fault = fmt.Errorf("%s: it must be an object, it is %s", n.path(), nameOf(n.value))
		return child
	}
	v, ok := fields[name]
	if !ok {
		v = fields[otherCase(name)]
	}
	child.value = v
	return child
}

// in is at for each of the names.
func (n node) in(names ...string) node {
	for _, name := range names {
		n = n.at(name)
	}
	return n
}

// loose is the string here, "" for anything else: for fields that only people
// read.
func (n node) loose() string {
	s, _ := n.value.(string)
	return s
}

// items are the elements of the list here; none for anything else.
func (n node) items() []node {
	list, _ := n.value.([]any)
	nodes := make([]node, len(list))
	for i, v := range list {
		nodes[i] = node{name: n.path() + "[" + strconv.Itoa(i) + "]", value: v}
	}
	return nodes
}

// seconds is the number of seconds here, as a duration; 0 for anything that is
// none, or that is longer than any run may be.
func (n node) seconds() time.Duration {
	const max = 366 * 24 * 60 * 60
	s, err := strconv.ParseInt(n.digits(), 10, 64)
	if err != nil || s < 0 || s > max {
		return 0
	}
	return time.Duration(s) * time.Second
}

// digits is a number's text, whether it came as a number or as a string.
func (n node) digits() string {
	if num, ok := n.value.(json.Number); ok {
		return num.String()
	}
	return n.loose()
}

func otherCase(name string) string {
	switch c := name[0]; {
	case c >= 'a' && c <= 'z':
		return string(c-'a'+'A') + name[1:]
	case c >= 'A' && c <= 'Z':
		return string(c-'A'+'a') + name[1:]
	}
	return name
}

func nameOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return "true or false"
	case []any:
		return "a list"
	}
	return "an object"
}

func ignored(format string, args ...any) app.Message {
	return app.Ignored{Reason: fmt.Sprintf(format, args...)}
}

// fail records the first fault.
func (e *event) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

func (e *event) failf(n node, format string, args ...any) {
	e.fail(fmt.Errorf("%s: "+format, append([]any{n.path()}, args...)...))
}

// object requires an object.
func (e *event) object(n node) bool {
	switch _, ok := n.value.(map[string]any); {
	case n.fault != nil:
		e.fail(n.fault)
	case n.value == nil:
		e.failf(n, "it is missing; it must be an object")
	case !ok:
		e.failf(n, "it must be an object, it is %s", nameOf(n.value))
	default:
		return true
	}
	return false
}

// textMax bounds every string that names something: longer ones do not fit in
// a table key and are not names.
const textMax = 2048

// text requires a string that is not empty.
func (e *event) text(n node) string {
	if n.value == nil && n.fault == nil {
		e.failf(n, "it is missing; it must be a string that is not empty")
		return ""
	}
	s := e.optional(n)
	if s == "" {
		e.failf(n, "it is empty; it must be a string that is not empty")
	}
	return s
}

// optional is the string here, or "" where there is nothing.
func (e *event) optional(n node) string {
	s, ok := n.value.(string)
	switch {
	case n.fault != nil:
		e.fail(n.fault)
	case n.value != nil && !ok:
		e.failf(n, "it must be a string, it is %s", nameOf(n.value))
	case len(s) > textMax:
		e.failf(n, "it has %d bytes; at most %d are allowed", len(s), textMax)
		return ""
	}
	return s
}

// oneOf requires one of the allowed strings.
func (e *event) oneOf(n node, allowed ...string) string {
	s := e.text(n)
	if e.err == nil && !slices.Contains(allowed, s) {
		e.failf(n, "%q is not allowed; it must be one of %s", s, strings.Join(allowed, ", "))
	}
	return s
}

// mapped requires a key of the table and answers its value.
func mapped[T any](e *event, n node, table map[string]T) T {
	allowed := make([]string, 0, len(table))
	for k := range table {
		allowed = append(allowed, k)
	}
	slices.Sort(allowed)
	return table[e.oneOf(n, allowed...)]
}

// name is what ids of users, groups and sessions are made of. No '@', no space:
// a user name or an e-mail address is not an id.
var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// hidden stands in CloudTrail where a value may be personal.
const hidden = "HIDDEN_DUE_TO_SECURITY_REASONS"

// id requires an id of the thing named by what.
func (e *event) id(n node, what string) string {
	s := e.text(n)
	if e.err == nil && (s == hidden || !name.MatchString(s)) {
		e.failf(n, "it must be the id of a %s (letters, digits, '.', '_' and '-'; not a name, not an e-mail address)", what)
	}
	return s
}

// user requires an identity store's user id.
func (e *event) user(n node) string { return e.id(n, "user") }

// moment requires a time.
func (e *event) moment(n node) time.Time {
	if n.value == nil && n.fault == nil {
		e.failf(n, "it is missing; it must be %s", moments)
		return time.Time{}
	}
	return e.optionalMoment(n)
}

const moments = "a time: RFC 3339, or milliseconds since 1970 as a number or a string"

// optionalMoment is the time here, in UTC, or zero where there is nothing.
// AWS writes RFC 3339 in CloudTrail, milliseconds as a number or as a string
// in SageMaker's events.
func (e *event) optionalMoment(n node) time.Time {
	if n.fault != nil {
		e.fail(n.fault)
	}
	if n.value == nil || e.err != nil {
		return time.Time{}
	}
	t, ok := parseMoment(n.digits())
	if !ok {
		e.failf(n, "it must be %s, between the years 2000 and 2199", moments)
		return time.Time{}
	}
	return t
}

// clock requires a time in RFC 3339, the one form of our own events.
func (e *event) clock(n node) time.Time {
	s := e.text(n)
	t, ok := parseMoment(s)
	if _, err := time.Parse(time.RFC3339, s); e.err == nil && (err != nil || !ok) {
		e.failf(n, "it must be a time in RFC 3339, between the years 2000 and 2199")
	}
	return t
}

func parseMoment(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t, err = epoch(s)
	}
	t = t.UTC()
	if err != nil || t.Year() < 2000 || t.Year() > 2199 {
		return time.Time{}, false
	}
	return t, true
}

// epoch reads milliseconds since 1970; numbers too small for that (before
// March 1973) are seconds.
func epoch(s string) (time.Time, error) {
	const smallestMilli, biggest = 1e11, 1e14
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil && ms >= smallestMilli {
		return time.UnixMilli(ms), nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return time.Time{}, err
	}
	if !(math.Abs(f) < biggest) {
		return time.Time{}, errors.New("out of range")
	}
	if f < smallestMilli {
		f *= 1000
	}
	return time.UnixMilli(int64(math.Round(f))), nil
}

// past moves a time that is later than the event's arrival back to it.
func (e *event) past(t time.Time) time.Time {
	if !e.received.IsZero() && t.After(e.received) {
		return e.received.UTC()
	}
	return t
}

// fact is the event about a user; the caller adds what it names.
func (e *event) fact(kind session.Kind, id, user, by string, at time.Time) session.Event {
	return session.Event{ID: id, Kind: kind, At: e.past(at), Known: e.received.UTC(), User: user, By: by}
}
