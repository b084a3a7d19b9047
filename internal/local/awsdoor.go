package local

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// The protocols of AWS at the door's root, so that the AWS CLI and the SDKs
// drive the local system with --endpoint-url: awsJson (by X-Amz-Target) for
// EventBridge, Step Functions, SageMaker and EMR's notebook executions, the query
// protocol for STS, and REST for EMR on EKS, which has paths of its own. Signatures are not checked.

// requestMax is the largest request read here; each service's own limit is
// smaller and checked by it. An EventBridge entry of 1 MiB may be twice as long
// as JSON within JSON.
const requestMax = 4 << 20

// refusal is how an AWS service says no.
type refusal struct {
	status    int
	namespace string // of the error's shape, as the service writes it; "" for none
	code      string
	message   string
}

// Namespaces of errors that every service of the kind shares.
const (
	frameworkErrors  = "com.amazon.coral.service"
	validationErrors = "com.amazon.coral.validate"
)

func invalidRequest(faults ...string) *refusal {
	noun := "errors"
	if len(faults) == 1 {
		noun = "error"
	}
	return &refusal{http.StatusBadRequest, validationErrors, "ValidationException",
		fmt.Sprintf("%d validation %s detected: %s", len(faults), noun, strings.Join(faults, "; "))}
}

// operation carries out one operation on the request's JSON.
type operation func(s *System, body []byte) (any, *refusal)

// typed makes an operation of a function that takes the request's shape. JSON
// of another shape is a SerializationException, as with every awsJson service.
func typed[In any](f func(s *System, in In) (any, *refusal)) operation {
	return func(s *System, body []byte) (any, *refusal) {
		var in In
		if len(body) == 0 {
			body = []byte("{}")
		}
		if err := json.Unmarshal(body, &in); err != nil {
			message := "the body is not JSON"
			var wrong *json.UnmarshalTypeError
			if errors.As(err, &wrong) {
				message = fmt.Sprintf("%s can not be a JSON %s", wrong.Field, wrong.Value)
			}
			return nil, &refusal{http.StatusBadRequest, frameworkErrors, "SerializationException", message}
		}
		return f(s, in)
	}
}

// service is one awsJson service: the targets' prefix, the version and what it
// does.
type service struct {
	version    string
	operations map[string]operation
}

func awsServices() map[string]service {
	return map[string]service{
		"AWSEvents":        {"1.1", eventOperations()},
		"AWSStepFunctions": {"1.0", statesOperations()},
	}
}

// serveRoot serves POST /: what every AWS service without paths of its own gets.
func (s *System) serveRoot(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Amzn-Requestid", newID())
	r.Body = http.MaxBytesReader(w, r.Body, requestMax)
	target := r.Header.Get("X-Amz-Target")
	prefix, name, _ := strings.Cut(target, ".")
	switch {
	case s.Cloud.Serves(r):
		s.Cloud.ServeHTTP(w, r)
		return
	case prefix == "SageMaker":
		s.SageMaker.ServeHTTP(w, r)
		return
	case prefix == "ElasticMapReduce":
		s.Notebooks.ServeHTTP(w, r)
		return
	case prefix == "AWSIdentityStore":
		s.Directory.ServeHTTP(w, r)
		return
	case target == "" && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		s.serveQuery(w, r)
		return
	}
	v, known := s.aws[prefix]
	if !known {
		v.version = "1.1"
		answerAWS(w, v.version, nil, unknownOperation(target))
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		answerAWS(w, v.version, nil, &refusal{http.StatusRequestEntityTooLarge, frameworkErrors, "RequestEntityTooLargeException",
			fmt.Sprintf("the request is larger than %d bytes, or it broke off", requestMax)})
		return
	}
	do, known := v.operations[name]
	if !known {
		answerAWS(w, v.version, nil, unknownOperation(target))
		return
	}
	out, no := do(s, body)
	answerAWS(w, v.version, out, no)
}

func unknownOperation(target string) *refusal {
	message := fmt.Sprintf("the local system does not serve %q; it serves operations of AWSEvents, AWSStepFunctions, SageMaker, notebook executions of EMR, EMR on EKS, GetUserId of the identity store, GetCallerIdentity of STS, and what nightshift doctor reads", target)
	if target == "" {
		message = "POST / needs the header X-Amz-Target, or a form with an Action: it is the endpoint of the AWS CLI and the SDKs"
	}
	return &refusal{http.StatusBadRequest, frameworkErrors, "UnknownOperationException", message}
}

// answerAWS writes an answer of an awsJson service.
func answerAWS(w http.ResponseWriter, version string, out any, no *refusal) {
	w.Header().Set("Content-Type", "application/x-amz-json-"+version)
	status := http.StatusOK
	if no != nil {
		status = no.status
		shape := no.code
		if no.namespace != "" {
			shape = no.namespace + "#" + no.code
		}
		w.Header().Set("X-Amzn-Errortype", no.code)
		out = map[string]string{"__type": shape, "message": no.message}
	}
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(out) // the caller has gone; there is nobody to tell
}

// epoch is a time stamp as awsJson has it: seconds since 1970 as a number, to
// the millisecond.
func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// newID is a random UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// faults collects what is wrong with a request's members, in the words of the
// services' own validation.
type faults []string

func (f *faults) add(field, value, constraint string) {
	*f = append(*f, fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: %s", value, field, constraint))
}

// text checks a member's length in characters; required says that it must be
// there.
func (f *faults) text(field string, v *string, required bool, least, most int) {
	if v == nil {
		if required {
			f.add(field, "null", "Member must not be null")
		}
		return
	}
	n := len([]rune(*v))
	shown := "'" + *v + "'"
	if n > 1024 {
		shown = "of " + fmt.Sprint(n) + " characters"
	}
	if n < least {
		f.add(field, shown, fmt.Sprintf("Member must have length greater than or equal to %d", least))
	}
	if n > most {
		f.add(field, shown, fmt.Sprintf("Member must have length less than or equal to %d", most))
	}
}

// one checks that a member, if given, is one of the values.
func (f *faults) one(field string, v *string, values ...string) {
	if v == nil {
		return
	}
	for _, allowed := range values {
		if *v == allowed {
			return
		}
	}
	f.add(field, "'"+*v+"'", "Member must satisfy enum value set: ["+strings.Join(values, ", ")+"]")
}

// number checks a member's size.
func (f *faults) number(field string, v, least, most int) {
	if v < least {
		f.add(field, fmt.Sprintf("'%d'", v), fmt.Sprintf("Member must have value greater than or equal to %d", least))
	}
	if v > most {
		f.add(field, fmt.Sprintf("'%d'", v), fmt.Sprintf("Member must have value less than or equal to %d", most))
	}
}

// refusal is nil where nothing is wrong.
func (f faults) refusal() *refusal {
	if len(f) == 0 {
		return nil
	}
	return invalidRequest(f...)
}
