package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

const op = "read request"

func badField(field, allowed string) error { return app.Field(op, field, allowed) }

// checkQuery refuses parameters that the route does not take: a misspelt filter
// would else pick everything.
func (c *call) checkQuery(known []string) error {
	for name, values := range c.r.URL.Query() {
		switch {
		case !slices.Contains(known, name):
			if len(known) == 0 {
				return badField(name, "left out: this takes no parameters")
			}
			return badField(name, "left out: there is no such parameter; there are "+strings.Join(known, ", "))
		case len(values) > 1:
			return badField(name, "given once")
		}
	}
	return nil
}

// into reads the body strictly: a JSON object of the fields that there are.
func (c *call) into(v any) error {
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return &refused{problem{Status: http.StatusUnsupportedMediaType, Detail: "the body must be JSON, with Content-Type: application/json"}}
	}
	body, err := limited(c.w, c.r)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return badBody(err)
	}
	if string(bytes.TrimSpace(body)) == "null" { // it decodes as an object without fields
		return badBody(errors.New("null"))
	}
	if dec.More() {
		return badField("body", "one JSON object and nothing after it")
	}
	return nil
}

// badBody names the field of a decoding error.
func badBody(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) && kind.Field != "" {
		return badField(kind.Field, "a "+typeWords(kind.Type.String()))
	}
	if name, found := strings.CutPrefix(err.Error(), "json: unknown field "); found {
		field, _ := strconv.Unquote(name)
		return badField(field, "left out: there is no such field here")
	}
	return badField("body", "a JSON object, as GET /api/openapi.json describes it")
}

func typeWords(t string) string {
	switch {
	case strings.HasSuffix(t, "string"):
		return "text"
	case strings.HasSuffix(t, "bool"):
		return "true or false"
	case strings.Contains(t, "int"):
		return "whole number"
	}
	return "JSON object"
}

var idForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// id is the id in the request's path. What cannot be one is not there.
func (c *call) id() (string, error) {
	id := c.r.PathValue("id")
	if !idForm.MatchString(id) {
		return "", fault.Newf(op, fault.NotFound, "there is nothing of the id %q", id)
	}
	return id, nil
}

var keyForm = regexp.MustCompile(`^[A-Za-z0-9._-]{8,64}$`)

// act is what the request asks for in somebody's name.
func (c *call) act(why string) (app.Act, error) {
	key := c.r.Header.Get(HeaderKey)
	if key != "" && !keyForm.MatchString(key) {
		return app.Act{}, badField(HeaderKey, "8 to 64 letters, digits, '.', '_' and '-'")
	}
	return app.Act{Who: c.caller.Actor, Key: key, Why: why}, nil
}

var daysForm = regexp.MustCompile(`^([0-9]{1,5})d(.*)$`)

// ParseDuration reads "7d", "1d12h", "90m" and what Go writes.
func ParseDuration(text string) (time.Duration, error) {
	var days time.Duration
	rest := text
	if m := daysForm.FindStringSubmatch(text); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return 0, err
		}
		days, rest = time.Duration(n)*24*time.Hour, m[2]
		if rest == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err == nil && days > 0 && d < 0 {
		err = fmt.Errorf("%q adds and takes away", text)
	}
	return days + d, err
}

const durationWords = `days, hours, minutes and seconds, such as "7d", "1d12h" or "90m"`

func duration(field, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, badField(field, "more than nothing, written as "+durationWords)
	}
	return d, nil
}

func moment(field, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.IsZero() {
		return time.Time{}, badField(field, `a time such as "2026-11-20T18:00:00Z"`)
	}
	return t, nil
}

// oneOf refuses a text that is none of the values; "" is none given.
func oneOf[T ~string](field, text string, values ...T) (T, error) {
	if text != "" && !slices.Contains(values, T(text)) {
		words := make([]string, len(values))
		for i, v := range values {
			words[i] = string(v)
		}
		return "", badField(field, "one of "+strings.Join(words, ", "))
	}
	return T(text), nil
}

var endpointForm = regexp.MustCompile(`^[a-z][a-z-]*(/[A-Za-z0-9._:-]+){1,2}$`)

// selectorIn is app.Selector on the wire.
type selectorIn struct {
	User      string `json:"user,omitempty"`
	Engine    string `json:"engine,omitempty"`
	Endpoint  string `json:"endpoint,omitempty"`
	Mode      string `json:"mode,omitempty"`
	DueWithin string `json:"dueWithin,omitempty"`
}

func (in selectorIn) selector(prefix string) (app.Selector, error) {
	engine, e1 := oneOf(prefix+"engine", in.Engine, workload.Engines()...)
	mode, e2 := oneOf(prefix+"mode", in.Mode, session.Background, session.Interactive, session.Role, session.ModeUnknown)
	due, e3 := duration(prefix+"dueWithin", in.DueWithin)
	var e4 error
	if in.User != "" && !session.ValidUser(in.User) {
		e4 = badField(prefix+"user", "the id of a user: letters, digits, '.', '_' and '-', at most 128")
	}
	var e5 error
	if in.Endpoint != "" && !endpointForm.MatchString(in.Endpoint) {
		e5 = badField(prefix+"endpoint", `an endpoint, such as "sagemaker/123456789012/us-east-1"`)
	}
	return app.Selector{User: in.User, Engine: engine, Endpoint: in.Endpoint, Mode: mode, DueWithin: due}, first(e1, e2, e3, e4, e5)
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// targetIO is app.Target on the wire.
type targetIO struct {
	Session  string      `json:"session,omitempty"`
	User     string      `json:"user,omitempty"`
	Selector *selectorIn `json:"selector,omitempty"`
}

func (in targetIO) target() (app.Target, error) {
	t := app.Target{Session: in.Session, User: in.User}
	if in.Selector == nil {
		return t, nil
	}
	f, err := in.Selector.selector("target.selector.")
	t.Selector = &f
	return t, err
}

func targetOf(t app.Target) targetIO {
	out := targetIO{Session: t.Session, User: t.User}
	if f := t.Selector; f != nil {
		out.Selector = &selectorIn{User: f.User, Engine: string(f.Engine), Endpoint: f.Endpoint, Mode: string(f.Mode)}
		if f.DueWithin > 0 {
			out.Selector.DueWithin = f.DueWithin.String()
		}
	}
	return out
}

// policyIn is app.PolicyChange on the wire.
type policyIn struct {
	InstanceBackground         *string `json:"instanceBackground"`
	BackgroundDuration         *string `json:"backgroundDuration"`
	InteractiveDuration        *string `json:"interactiveDuration"`
	LivyIdle                   *string `json:"livyIdle"`
	TenantLimit                *string `json:"tenantLimit"`
	RequireUnifiedStudioLaunch *bool   `json:"requireUnifiedStudioLaunch"`
	CostAlert                  *int64  `json:"costAlertUsd"`
}

func (in *policyIn) change(prefix string) (app.PolicyChange, error) {
	if in == nil || *in == (policyIn{}) {
		return app.PolicyChange{}, badField(strings.TrimSuffix(prefix, "."), "an object with at least one setting")
	}
	c := app.PolicyChange{RequireUnifiedStudioLaunch: in.RequireUnifiedStudioLaunch, CostAlert: in.CostAlert}
	if in.InstanceBackground != nil {
		values := map[string]session.Tri{"on": session.On, "off": session.Off, "unknown": session.Unknown}
		v, ok := values[*in.InstanceBackground]
		if !ok {
			return c, badField(prefix+"instanceBackground", "on, off or unknown")
		}
		c.InstanceBackground = &v
	}
	for _, f := range []struct {
		name string
		in   *string
		into **time.Duration
	}{
		{"backgroundDuration", in.BackgroundDuration, &c.BackgroundDuration},
		{"interactiveDuration", in.InteractiveDuration, &c.InteractiveDuration},
		{"livyIdle", in.LivyIdle, &c.LivyIdle},
		{"tenantLimit", in.TenantLimit, &c.TenantLimit},
	} {
		if f.in == nil {
			continue
		}
		var d time.Duration
		if f.name != "tenantLimit" || *f.in != "none" {
			var err error
			if d, err = ParseDuration(*f.in); err != nil || d <= 0 {
				return c, badField(prefix+f.name, "within 15 minutes to 90 days, written as "+durationWords)
			}
		}
		*f.into = &d
	}
	return c, nil
}

// policyField gives the app's refusal of a setting the name that the request had.
func policyField(prefix string, err error) error {
	var field *app.FieldError
	if errors.As(err, &field) {
		if name, ours := strings.CutPrefix(field.Field, "change."); ours {
			return fault.New(op, fault.Invalid, &app.FieldError{Field: prefix + name, Allowed: field.Allowed})
		}
	}
	return err
}
