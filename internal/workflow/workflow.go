// Package workflow is the app's Starter and Waiters on AWS Step Functions. It
// knows how executions are named, what the machines take as input, what a
// waiting one is told, and Step Functions' errors; it must not know sessions'
// rules or what a machine does.
package workflow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"nightshift/internal/app"
	"nightshift/internal/awsfault"
	"nightshift/internal/fault"
)

// API is what is called; *sfn.Client has it.
type API interface {
	StartExecution(context.Context, *sfn.StartExecutionInput, ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error)
	SendTaskSuccess(context.Context, *sfn.SendTaskSuccessInput, ...func(*sfn.Options)) (*sfn.SendTaskSuccessOutput, error)
	SendTaskFailure(context.Context, *sfn.SendTaskFailureInput, ...func(*sfn.Options)) (*sfn.SendTaskFailureOutput, error)
}

// SessionEnded is the error of a run execution whose session ended otherwise
// than by its run finishing; its cause is Told as JSON.
const SessionEnded = "SessionEnded"

// causeMax is the longest cause that SendTaskFailure takes (Step Functions API
// reference: 32,768 characters); a longer text is cut.
const causeMax = 32_768

// Workflow starts watches and drains, and releases waiting runs.
type Workflow struct {
	api          API
	watch, drain string
}

var (
	_ app.Starter = (*Workflow)(nil)
	_ app.Waiters = (*Workflow)(nil)
)

// New takes the ARNs of the machines watch and drain; "" for one that is never
// started by this function.
func New(api API, watch, drain string) *Workflow {
	return &Workflow{api: api, watch: watch, drain: drain}
}

// input is what watch and drain begin with. A machine names its successor
// <name>-<generation + 1>.
type input struct {
	Endpoint   string `json:"endpoint"`
	Generation int64  `json:"generation"`
	Name       string `json:"name"`
}

// Watch starts the watch of an endpoint.
func (w *Workflow) Watch(ctx context.Context, endpoint string, generation int64) error {
	return w.start(ctx, "watch", w.watch, endpoint, generation)
}

// Drain starts the drain of an endpoint.
func (w *Workflow) Drain(ctx context.Context, endpoint string, generation int64) error {
	return w.start(ctx, "drain", w.drain, endpoint, generation)
}

// start starts one generation, once: its name is of the endpoint and the
// generation, and Step Functions keeps a name for 90 days. Asked again while it
// runs, the service answers with the one there is. Once that has ended it says
// ExecutionAlreadyExists, which is success too: this generation has had its
// execution. Where that one died before its work was done, its lease runs out
// and the sweep starts the next generation, whose name is free.
func (w *Workflow) start(ctx context.Context, kind, machine, endpoint string, generation int64) error {
	op := "step functions: start " + kind
	if machine == "" {
		// Not Invalid: nothing is wrong with what was asked, and it goes on once
		// the deployment is put right.
		return fault.Newf(op, fault.Unknown, "no ARN of the machine %s is configured", kind)
	}
	name := NameOf(kind, endpoint)
	body, err := json.Marshal(input{Endpoint: endpoint, Generation: generation, Name: name})
	if err != nil {
		return fault.New(op, fault.Invalid, err)
	}
	_, err = w.api.StartExecution(ctx, &sfn.StartExecutionInput{
		StateMachineArn: aws.String(machine),
		Name:            aws.String(name + "-" + strconv.FormatInt(generation, 10)),
		Input:           aws.String(string(body)),
	})
	if awsfault.Code(err) == "ExecutionAlreadyExists" {
		return nil
	}
	return classify(op, err)
}

// NameOf is the name that all generations of an endpoint's watch or drain begin
// with: at most 22 of the 80 characters that a name may have, and without the
// '/' that a name must not have.
func NameOf(kind, endpoint string) string {
	sum := sha256.Sum256([]byte(endpoint))
	return kind + "-" + hex.EncodeToString(sum[:])[:16]
}

// Told is what a waiting execution is given: its result where the run finished
// by itself, the cause of its failure, as JSON, otherwise.
type Told struct {
	SessionID string `json:"sessionId"`
	Cause     string `json:"cause"`
	Text      string `json:"text"` // for people
	Succeeded bool   `json:"succeeded"`
}

// Release tells a waiting execution how its session ended. A token that is
// unknown, used or timed out is success: nobody waits for it any more.
func (w *Workflow) Release(ctx context.Context, token string, o app.Outcome) error {
	const op = "step functions: release waiter"
	body, err := told(o)
	if err != nil {
		return fault.New(op, fault.Invalid, err)
	}
	if o.Succeeded {
		_, err = w.api.SendTaskSuccess(ctx, &sfn.SendTaskSuccessInput{TaskToken: aws.String(token), Output: aws.String(body)})
	} else {
		_, err = w.api.SendTaskFailure(ctx, &sfn.SendTaskFailureInput{TaskToken: aws.String(token), Error: aws.String(SessionEnded), Cause: aws.String(body)})
	}
	switch awsfault.Code(err) {
	case "TaskDoesNotExist", "TaskTimedOut", "InvalidToken":
		return nil
	}
	return classify(op, err)
}

// told writes the outcome as JSON of at most causeMax bytes; the text gives way.
func told(o app.Outcome) (string, error) {
	t := Told{SessionID: o.SessionID, Cause: string(o.Cause), Text: o.Text, Succeeded: o.Succeeded}
	for {
		body, err := json.Marshal(t)
		if err != nil {
			return "", err
		}
		over := len(body) - causeMax
		if over <= 0 {
			return string(body), nil
		}
		if t.Text == "" {
			return "", fmt.Errorf("the outcome has %d bytes without its text; at most %d are allowed", len(body), causeMax)
		}
		// A character can be written as six bytes, so this may take a few rounds.
		keep := max(0, len(t.Text)-(over+5)/6)
		for keep > 0 && !utf8.RuneStart(t.Text[keep]) {
			keep--
		}
		t.Text = t.Text[:keep]
	}
}

// codes are what Step Functions' own words mean. What a wrong deployment causes (a
// machine that is not there) is Unknown: it is retried until put right.
var codes = awsfault.Codes{
	"ExecutionLimitExceeded":        fault.Throttled,
	"KmsThrottlingException":        fault.Throttled,
	"ServiceQuotaExceededException": fault.Throttled,
	"KmsAccessDeniedException":      fault.Denied,
	"InvalidExecutionInput":         fault.Invalid,
	"InvalidName":                   fault.Invalid,
	"InvalidOutput":                 fault.Invalid,
}

// classify gives an error its kind; nil stays nil.
func classify(op string, err error) error { return awsfault.Classify(op, err, codes) }
