package livysim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// request is the body of POST /sessions.
type request struct {
	Kind           string
	ProxyUser      *string
	Jars           []string
	PyFiles        []string
	Files          []string
	DriverMemory   *string
	DriverCores    int
	ExecutorMemory *string
	ExecutorCores  int
	NumExecutors   int
	Archives       []string
	Queue          *string
	Name           *string
	Conf           map[string]string
	Heartbeat      int
	TTL            *string
	IdleTimeout    *string
}

// The words are Jackson's, which reads Livy's bodies; where it looked it adds.
const (
	sessionClass   = "org.apache.livy.server.interactive.CreateInteractiveRequest"
	statementClass = "org.apache.livy.ExecuteRequest"
	where          = "\n at [Source: (org.eclipse.jetty.server.HttpInputOverHTTP); line: 1, column: 1]"
)

// field takes a member's value, or says in Jackson's words why not.
type field func(raw json.RawMessage) error

// refusal is an answer as an error.
type refusal answer

func (r refusal) Error() string { return fmt.Sprint(r.body) }

// bare is an answer that is a text alone, as Livy gives what it did not expect.
func bare(status int, format string, args ...any) refusal {
	return refusal{status: status, body: fmt.Sprintf(format, args...)}
}

// null is the refusal of a body that is the word null, which Livy does not look for.
var null = bare(500, `java.lang.NullPointerException: Cannot invoke "%s.name()" because "createRequest" is null`, sessionClass)

// object reads an object member by member. What follows it is not looked at.
func object(r io.Reader, class string, fields map[string]field) error {
	d := json.NewDecoder(r)
	begin, err := d.Token()
	switch {
	case errors.Is(err, io.EOF):
		return bare(400, "No content to map due to end-of-input%s", where)
	case err != nil:
		return bare(400, "Unexpected character: %v%s", err, where)
	case begin == nil:
		return null
	case begin != json.Delim('{'):
		return bare(400, "Cannot deserialize instance of `%s` out of %v token%s", class, begin, where)
	}
	for d.More() {
		name, err := d.Token()
		var raw json.RawMessage
		if err == nil {
			err = d.Decode(&raw)
		}
		if err != nil {
			return bare(400, "Unexpected character: %v%s", err, where)
		}
		take, known := fields[name.(string)] // a member's name is nothing else
		if !known {
			names := slices.Sorted(maps.Keys(fields))
			return bare(400, "Unrecognized field %q (class %s), not marked as ignorable (%d known properties: %q)%s", name, class, len(names), names, where)
		}
		if err := take(raw); err != nil {
			return bare(400, "%v%s (through reference chain: %s[%q])", err, where, class, name)
		}
	}
	if _, err := d.Token(); err != nil {
		return bare(400, "Unexpected end-of-input: expected close marker for Object%s", where)
	}
	return nil
}

// session reads the body of POST /sessions as the version knows it. consumed is
// what is only found wrong when the session has got its number: Scala's optional
// numbers are not looked at before.
func (v version) session(r io.Reader) (in request, consumed error, err error) {
	count := func(to *int) field {
		return func(raw json.RawMessage) error {
			if json.Unmarshal(raw, to) != nil {
				consumed = bare(500, "java.lang.ClassCastException: class java.lang.String cannot be cast to class java.lang.Integer")
			}
			return nil
		}
	}
	fields := map[string]field{
		"kind": func(raw json.RawMessage) error { return kindOf(raw, &in.Kind) }, "conf": values("Map", &in.Conf),
		"proxyUser": text(&in.ProxyUser), "queue": text(&in.Queue), "name": text(&in.Name), "driverMemory": text(&in.DriverMemory), "executorMemory": text(&in.ExecutorMemory),
		"jars": values("List", &in.Jars), "pyFiles": values("List", &in.PyFiles), "files": values("List", &in.Files), "archives": values("List", &in.Archives),
		"driverCores": count(&in.DriverCores), "executorCores": count(&in.ExecutorCores), "numExecutors": count(&in.NumExecutors),
		"heartbeatTimeoutInSecond": func(raw json.RawMessage) error {
			if err := json.Unmarshal([]byte(strings.Trim(string(raw), `"`)), &in.Heartbeat); err != nil {
				return fmt.Errorf("Cannot deserialize value of type `int` from String %s: not a valid Integer value", raw)
			}
			return nil
		},
	}
	if v >= withTTL {
		fields["ttl"] = text(&in.TTL)
	}
	if v >= withIdleTimeout {
		fields["idleTimeout"] = text(&in.IdleTimeout)
	}
	in.Kind = "shared"
	err = object(r, sessionClass, fields)
	if errors.Is(err, null) {
		return in, err, nil
	}
	return in, consumed, err
}

// value is what a member holds; nil for null.
func value(raw json.RawMessage) any {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return nil
	}
	return v
}

func kindOf(raw json.RawMessage, to *string) error {
	kind, isText := value(raw).(string)
	switch {
	case !isText:
		return errors.New("requirement failed: Kind should be a string.")
	case !slices.Contains([]string{"spark", "pyspark", "sparkr", "sql", "shared"}, kind):
		return fmt.Errorf("Invalid kind: %s", kind)
	}
	*to = kind
	return nil
}

// text takes a text; a number or a truth value is one too.
func text(to **string) field {
	return func(raw json.RawMessage) error {
		switch v := value(raw).(type) {
		case nil:
		case string:
			*to = &v
		case float64, bool:
			said := string(raw)
			*to = &said
		default:
			return fmt.Errorf("Cannot deserialize instance of `java.lang.String` out of %s token", begins(raw))
		}
		return nil
	}
}

// values takes a list or an object of texts.
func values[T any](class string, to *T) field {
	return func(raw json.RawMessage) error {
		if err := json.Unmarshal(raw, to); err != nil {
			return fmt.Errorf("Cannot deserialize instance of `scala.collection.immutable.%s` out of %s token", class, begins(raw))
		}
		return nil
	}
}

func begins(raw json.RawMessage) string {
	switch raw[0] {
	case '{':
		return "START_OBJECT"
	case '[':
		return "START_ARRAY"
	case '"':
		return "VALUE_STRING"
	}
	return "VALUE_NUMBER_INT"
}

// version is a generation of Livy: the minor number of 0.x.
type version int

const (
	withTTL         version = 8 // a session's own idle limit, and all of a request in its answer
	withIdleTimeout version = 9 // the idle limit is called so, ttl bounds the whole life
)

func versionOf(name string) version {
	major, rest, _ := strings.Cut(name, ".")
	minor, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(minor)
	if err != nil || major != "0" {
		return withIdleTimeout
	}
	return version(n)
}
