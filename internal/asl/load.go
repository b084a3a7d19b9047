package asl

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// definitionLimit is Step Functions' limit of a definition, in bytes.
const definitionLimit = 1 << 20

// Load reads a definition in Amazon States Language with JSONata. Every
// ${Name} inside its strings is replaced by subs[Name]; one that is missing
// there, or that the definition does not use, is an error. integrations are the
// resources of other services that its Tasks may have, see Integrations. The
// error names every fault by the path of its field, one a line.
func Load(definition []byte, subs map[string]string, integrations ...string) (*Machine, error) {
	if len(definition) > definitionLimit {
		return nil, fmt.Errorf("the definition has %d bytes, more than %d", len(definition), definitionLimit)
	}
	doc, err := decodeStrict(definition)
	if err != nil {
		return nil, err
	}
	if _, ok := doc.(map[string]any); !ok {
		return nil, errors.New("the definition: must be an object")
	}
	l := &loader{subs: subs, integrations: integrations, used: map[string]bool{}, assigned: map[string]bool{}, m: &Machine{states: map[string]*state{}}}
	doc = l.substitute("", doc)
	for _, name := range slices.Sorted(maps.Keys(subs)) {
		if !l.used[name] {
			l.fault("", "substitution %s is not used", name)
		}
	}
	l.machine(doc)
	if err := errors.Join(l.faults...); err != nil {
		return nil, err
	}
	for _, e := range l.m.exprs {
		for name, s := range l.m.states {
			s.context = s.context || strings.HasPrefix(e.Path, "States."+name+".") && strings.Contains(e.Source, "context")
		}
	}
	return l.m, nil
}

// loader collects faults, so that one look shows all of them.
type loader struct {
	subs         map[string]string
	integrations []string
	used         map[string]bool
	assigned     map[string]bool // variables some Assign sets
	read         []variable
	faults       []error
	m            *Machine
}

type variable struct{ path, name string }

func (l *loader) fault(path, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if path != "" {
		text = path + ": " + text
	}
	l.faults = append(l.faults, errors.New(text))
}

func (l *loader) machine(doc any) {
	o := l.object("", doc)
	l.language(o, true)
	o.optionalString("Comment")
	l.m.startAt = o.name("StartAt")
	if v, ok := o.take("TimeoutSeconds"); ok {
		l.m.timeout = int64(o.number("TimeoutSeconds", v, 1, 99_999_999, true))
	}
	states, _ := o.take("States")
	all := l.object("States", states)
	for _, name := range slices.Sorted(maps.Keys(all.fields)) {
		v, _ := all.take(name)
		if name == "" || len([]rune(name)) > 80 {
			l.fault("States", "a state's name has 1 to 80 characters, not %q", name)
		}
		l.m.states[name] = l.state("States."+name, name, v)
	}
	o.done()
	l.graph()
	for _, v := range l.read {
		if !l.assigned[v.name] {
			l.fault(v.path, "no state assigns $%s", v.name)
		}
	}
}

func (l *loader) language(o *object, required bool) {
	v, ok := o.take("QueryLanguage")
	if !ok && !required {
		return
	}
	if v != "JSONata" {
		l.fault(o.at("QueryLanguage"), "must be \"JSONata\"")
	}
}

func (l *loader) state(path, name string, v any) *state {
	o := l.object(path, v)
	kind := o.string("Type")
	s := &state{name: name, kind: kind, entered: kind + "StateEntered", exited: kind + "StateExited"}
	l.language(o, false)
	o.optionalString("Comment")
	switch s.kind {
	case task:
		l.task(o, s)
	case wait:
		l.wait(o, s)
	case choice:
		l.choice(o, s)
	case pass:
		l.way(o, s)
		s.output, s.assign = l.template(o, "Output", plain), l.assign(o, plain)
	case succeed:
		s.output = l.template(o, "Output", plain)
	case fail:
		s.errorName, s.cause = l.text(o, "Error"), l.text(o, "Cause")
	default:
		l.fault(o.at("Type"), "unknown type %q", s.kind)
		return s // its fields would only add noise
	}
	o.done()
	return s
}

func (l *loader) task(o *object, s *state) {
	l.way(o, s)
	s.resource = o.string("Resource")
	sc, integration := plain, false
	required, optional := []string{"FunctionName"}, []string{"Payload"}
	switch s.resource {
	case invoke:
	case invokeToken:
		sc = withToken
	case startExecution:
		required, optional = []string{"StateMachineArn", "Name"}, []string{"Input"}
	default:
		if integration = slices.Contains(l.integrations, s.resource); !integration {
			l.fault(o.at("Resource"), "unknown resource %q", s.resource)
		}
	}
	l.arguments(o, integration, required, optional)
	before := len(l.m.exprs)
	s.arguments = l.template(o, "Arguments", sc)
	if s.resource == invokeToken && !slices.ContainsFunc(l.m.exprs[before:], func(e Expression) bool {
		return strings.Contains(e.Source, "$states.context.Task.Token")
	}) {
		l.fault(o.at("Arguments"), "nothing hands out $states.context.Task.Token: the task would never end")
	}
	s.output, s.assign = l.template(o, "Output", withResult), l.assign(o, withResult)
	if v, ok := o.fields["TimeoutSeconds"]; ok {
		if _, isText := v.(string); !isText {
			o.number("TimeoutSeconds", v, 1, 99_999_999, true)
		}
		s.timeout = l.numeric(o, "TimeoutSeconds")
	}
	s.retry, s.catch = l.retriers(o), l.catchers(o)
}

// arguments checks their names; those of other services are theirs to check, and
// may be one expression.
func (l *loader) arguments(o *object, integration bool, required, optional []string) {
	path, v := o.at("Arguments"), o.fields["Arguments"]
	fields, ok := v.(map[string]any)
	text, _ := v.(string)
	if integration && (ok || isExpression(text)) {
		return
	}
	if !ok {
		l.fault(path, "must be an object")
		return
	}
	for _, name := range required {
		if _, ok := fields[name]; !ok {
			l.fault(path+"."+name, "is missing")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(required, name) && !slices.Contains(optional, name) {
			l.fault(path+"."+name, "unknown field")
		}
	}
}

func (l *loader) wait(o *object, s *state) {
	l.way(o, s)
	s.output, s.assign = l.template(o, "Output", plain), l.assign(o, plain)
	seconds, hasSeconds := o.fields["Seconds"]
	_, hasTimestamp := o.fields["Timestamp"]
	if hasSeconds == hasTimestamp {
		l.fault(o.path, "needs exactly one of Seconds and Timestamp")
	}
	if _, isText := seconds.(string); hasSeconds && !isText {
		o.number("Seconds", seconds, 0, 99_999_999, true)
	}
	s.seconds = l.numeric(o, "Seconds")
	s.timestamp = l.text(o, "Timestamp")
	if s.timestamp != nil && s.timestamp.expr == nil {
		if _, err := parseTimestamp(s.timestamp.text); err != nil {
			l.fault(o.at("Timestamp"), "%v", err)
		}
	}
}

func (l *loader) choice(o *object, s *state) {
	s.otherwise = o.name("Default")
	list := o.list("Choices")
	if len(list) == 0 {
		l.fault(o.at("Choices"), "must have a rule")
	}
	for i, v := range list {
		r := l.object(fmt.Sprintf("%s[%d]", o.at("Choices"), i), v)
		r.optionalString("Comment")
		if text, ok := r.fields["Condition"].(string); !ok || !isExpression(text) {
			l.fault(r.at("Condition"), "must be a JSONata expression")
			r.fields["Condition"] = "" // so that the rest can be looked at
		}
		s.choices = append(s.choices, rule{l.template(r, "Condition", plain), r.name("Next")})
		r.done()
	}
}

// way reads what every state that may go on has: Next or End.
func (l *loader) way(o *object, s *state) {
	_, hasNext := o.fields["Next"]
	end, hasEnd := o.take("End")
	if hasNext == hasEnd {
		l.fault(o.path, "needs exactly one of Next and End")
	}
	if hasNext {
		s.next = o.name("Next")
	}
	if s.end = end == true; hasEnd && !s.end {
		l.fault(o.at("End"), "must be true")
	}
}

// graph checks that every state named exists, every state is reached, and an
// end can be reached.
func (l *loader) graph() {
	m := l.m
	if m.startAt == "" || m.states[m.startAt] == nil {
		l.fault("StartAt", "there is no state %q", m.startAt)
		return
	}
	seen := map[string]bool{m.startAt: true}
	m.order = []string{m.startAt}
	ends := false
	for i := 0; i < len(m.order); i++ {
		s := m.states[m.order[i]]
		ends = ends || s.end || s.kind == succeed || s.kind == fail
		for _, e := range s.edges() {
			if m.states[e.To] == nil {
				l.fault("States."+s.name, "there is no state %q to go to", e.To)
			} else if !seen[e.To] {
				seen[e.To] = true
				m.order = append(m.order, e.To)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.states)) {
		if !seen[name] {
			l.fault("States."+name, "no state leads here")
		}
	}
	if !ends {
		l.fault("States", "no end can be reached")
	}
}

func (l *loader) retriers(o *object) []retrier {
	var all []retrier
	list := o.list("Retry")
	for i, v := range list {
		r := l.object(fmt.Sprintf("%s[%d]", o.at("Retry"), i), v)
		r.optionalString("Comment")
		t := retrier{
			errors:   l.errorNames(r, i == len(list)-1),
			interval: r.optionalNumber("IntervalSeconds", 1, 1, 99_999_999, true),
			attempts: int(r.optionalNumber("MaxAttempts", 3, 0, 99_999_999, true)),
			backoff:  r.optionalNumber("BackoffRate", 2, 1, 1000, false),
			maxDelay: r.optionalNumber("MaxDelaySeconds", 0, 1, 31_622_399, true),
		}
		switch jitter := r.optionalString("JitterStrategy"); jitter {
		case "", "NONE":
		case "FULL":
			t.full = true
		default:
			l.fault(r.at("JitterStrategy"), "must be FULL or NONE, not %q", jitter)
		}
		if t.maxDelay != 0 && t.maxDelay <= t.interval {
			l.fault(r.at("MaxDelaySeconds"), "must be greater than IntervalSeconds")
		}
		r.done()
		all = append(all, t)
	}
	return all
}

func (l *loader) catchers(o *object) []catcher {
	var all []catcher
	list := o.list("Catch")
	for i, v := range list {
		r := l.object(fmt.Sprintf("%s[%d]", o.at("Catch"), i), v)
		r.optionalString("Comment")
		all = append(all, catcher{
			errors: l.errorNames(r, i == len(list)-1),
			next:   r.name("Next"),
			output: l.template(r, "Output", withError),
			assign: l.assign(r, withError),
		})
		r.done()
	}
	return all
}

// errorNames reads ErrorEquals. States.ALL stands alone and last, and a name of
// Step Functions' own must be one of those it has.
func (l *loader) errorNames(o *object, last bool) []string {
	var names []string
	for _, v := range o.list("ErrorEquals") {
		name, ok := v.(string)
		switch {
		case !ok || name == "":
			l.fault(o.at("ErrorEquals"), "must hold error names")
		case strings.HasPrefix(name, "States.") && !slices.Contains(reserved, name):
			l.fault(o.at("ErrorEquals"), "unknown error name %s", name)
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		l.fault(o.at("ErrorEquals"), "must hold error names")
	}
	if slices.Contains(names, ErrorAll) && (len(names) > 1 || !last) {
		l.fault(o.at("ErrorEquals"), "States.ALL must stand alone and last")
	}
	return names
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,79}$`)

func (l *loader) assign(o *object, sc scope) *template {
	v, ok := o.fields["Assign"]
	if !ok {
		return nil
	}
	fields, ok := v.(map[string]any)
	if !ok {
		o.take("Assign")
		l.fault(o.at("Assign"), "must be an object")
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !variableName.MatchString(name) || name == "states" {
			l.fault(o.at("Assign")+"."+name, "is no name for a variable")
		}
		l.assigned[name] = true
	}
	return l.template(o, "Assign", sc)
}

// text reads a field that is a string or an expression; nil where absent.
func (l *loader) text(o *object, field string) *template {
	if v, ok := o.fields[field]; ok {
		if _, isText := v.(string); !isText {
			l.fault(o.at(field), "must be a string")
		}
	}
	return l.template(o, field, plain)
}

// numeric reads a field that is a number or an expression; nil where absent.
func (l *loader) numeric(o *object, field string) *template {
	t := l.template(o, field, plain)
	if t != nil && t.expr == nil {
		if _, isText := t.literal.(string); isText {
			l.fault(o.at(field), "must be a number or a JSONata expression")
		}
	}
	return t
}

func (l *loader) template(o *object, field string, sc scope) *template {
	v, ok := o.take(field)
	if !ok {
		return nil
	}
	return l.compile(o.at(field), v, sc)
}

// number checks a literal; whole says that it must be an integer.
func (o *object) number(field string, v any, least, most float64, whole bool) float64 {
	n, ok := toFloat(v)
	if !ok || n < least || n > most || (whole && n != math.Trunc(n)) {
		kind := "a number"
		if whole {
			kind = "an integer"
		}
		o.l.fault(o.at(field), "must be %s from %s to %s", kind, decimal(least), decimal(most))
		return least
	}
	return n
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
