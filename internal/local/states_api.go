package local

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"nightshift/internal/asl"
	"nightshift/statemachines"
)

// statesErrors is the namespace of Step Functions' own errors.
const statesErrors = "com.amazonaws.swf.service.v2.model"

const (
	pageDefault  = 100  // things on a page where the caller names no number
	pageMax      = 1000 // the most it may name
	machineArn   = "stateMachine"
	executionArn = "execution"
)

func statesOperations() map[string]operation {
	return map[string]operation{
		"StartExecution":       typed(startExecution),
		"StartSyncExecution":   typed(startSyncExecution),
		"DescribeExecution":    typed(describeExecution),
		"ListExecutions":       typed(listExecutions),
		"GetExecutionHistory":  typed(getExecutionHistory),
		"StopExecution":        typed(stopExecution),
		"SendTaskSuccess":      typed(sendTaskSuccess),
		"SendTaskFailure":      typed(sendTaskFailure),
		"SendTaskHeartbeat":    typed(sendTaskHeartbeat),
		"ListStateMachines":    typed(listStateMachines),
		"DescribeStateMachine": typed(describeStateMachine),
	}
}

func statesRefusal(code, format string, args ...any) *refusal {
	return &refusal{http.StatusBadRequest, statesErrors, code, fmt.Sprintf(format, args...)}
}

// refusedStates gives the runner's error its wire form. subject is what the
// call was about.
func refusedStates(err error, subject string) *refusal {
	detail := func(kind error) string { return strings.TrimPrefix(err.Error(), kind.Error()+": ") }
	switch {
	case errors.Is(err, asl.ErrExecutionAlreadyExists):
		return statesRefusal("ExecutionAlreadyExists", "Execution Already Exists: '%s'", detail(asl.ErrExecutionAlreadyExists))
	case errors.Is(err, asl.ErrExecutionDoesNotExist):
		return statesRefusal("ExecutionDoesNotExist", "Execution Does Not Exist: '%s'", subject)
	case errors.Is(err, asl.ErrInvalidName):
		return statesRefusal("InvalidName", "Invalid Name: '%s'", subject)
	case errors.Is(err, asl.ErrInvalidInput):
		return statesRefusal("InvalidExecutionInput", "Invalid State Machine Execution Input: '%s'", detail(asl.ErrInvalidInput))
	case errors.Is(err, asl.ErrInvalidOutput):
		return statesRefusal("InvalidOutput", "Invalid Output: '%s'", detail(asl.ErrInvalidOutput))
	case errors.Is(err, asl.ErrInvalidToken):
		return statesRefusal("InvalidToken", "Invalid Token: 'Invalid token'")
	case errors.Is(err, asl.ErrTaskDoesNotExist):
		return statesRefusal("TaskDoesNotExist", "Task Does Not Exist: 'Provided task does not exist'")
	case errors.Is(err, asl.ErrTaskTimedOut):
		return statesRefusal("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
	}
	return &refusal{http.StatusInternalServerError, frameworkErrors, "InternalFailure", err.Error()}
}

// checkARN says what is wrong with an ARN that should name such a resource.
func checkARN(arn, resource string) *refusal {
	part := strings.Split(arn, ":")
	switch {
	case len(part) < 2 || part[0] != "arn":
		return statesRefusal("InvalidArn", "Invalid Arn: 'Invalid ARN prefix: %s'", arn)
	case len(part) < 7 || part[2] != "states" || part[6] == "":
		return statesRefusal("InvalidArn", "Invalid Arn: '%s'", arn)
	case part[5] != resource:
		return statesRefusal("InvalidArn", "Invalid Arn: 'Resource type not valid in this context: %s'", part[5])
	}
	return nil
}

// machine finds the machine of an ARN that came from outside.
func (s *System) machine(arn string) (*asl.Machine, *refusal) {
	if no := checkARN(arn, machineArn); no != nil {
		return nil, no
	}
	m, ok := s.machines[arn]
	if !ok {
		return nil, statesRefusal("StateMachineDoesNotExist", "State Machine Does Not Exist: '%s'", arn)
	}
	return m, nil
}

// known finds the execution of an ARN that came from outside.
func (s *System) known(arn *string) (*asl.Execution, *refusal) {
	var f faults
	f.text("executionArn", arn, true, 1, 256)
	if no := f.refusal(); no != nil {
		return nil, no
	}
	if no := checkARN(*arn, executionArn); no != nil {
		return nil, no
	}
	e, err := s.runner.Execution(*arn)
	if err != nil {
		return nil, refusedStates(err, *arn)
	}
	return e, nil
}

type startInput struct{ StateMachineArn, Name, Input *string }

func (in startInput) check() *refusal {
	var f faults
	f.text("stateMachineArn", in.StateMachineArn, true, 1, 256)
	f.text("name", in.Name, false, 1, 80)
	if in.Input != nil && len(*in.Input) > asl.DataLimit {
		f = append(f, fmt.Sprintf("Value of %d bytes at 'input' failed to satisfy constraint: Member must have size less than or equal to %d bytes in UTF-8 encoding", len(*in.Input), asl.DataLimit))
	}
	return f.refusal()
}

func startExecution(s *System, in startInput) (any, *refusal) {
	if no := in.check(); no != nil {
		return nil, no
	}
	m, no := s.machine(*in.StateMachineArn)
	if no != nil {
		return nil, no
	}
	name, input := newID(), "{}"
	if in.Name != nil {
		name = *in.Name
	}
	if in.Input != nil {
		input = *in.Input
	}
	if input == "" {
		return nil, refusedStates(fmt.Errorf("%w: the input is empty", asl.ErrInvalidInput), name)
	}
	e, err := s.runner.Start(m, *in.StateMachineArn, name, []byte(input))
	if err != nil {
		return nil, refusedStates(err, name)
	}
	return map[string]any{"executionArn": e.ARN(), "startDate": epoch(e.StartedAt())}, nil
}

// startSyncExecution refuses: every machine here is a standard one, and AWS
// runs only express ones synchronously.
func startSyncExecution(s *System, in startInput) (any, *refusal) {
	if no := in.check(); no != nil {
		return nil, no
	}
	if _, no := s.machine(*in.StateMachineArn); no != nil {
		return nil, no
	}
	return nil, statesRefusal("StateMachineTypeNotSupported", "This operation is not supported by this type of state machine")
}

// included says that data is in the answer; nothing is ever left out for its
// size.
var included = map[string]bool{"included": true}

func describeExecution(s *System, in struct{ ExecutionArn, IncludedData *string }) (any, *refusal) {
	var f faults
	f.one("includedData", in.IncludedData, "ALL_DATA", "METADATA_ONLY")
	if no := f.refusal(); no != nil {
		return nil, no
	}
	e, no := s.known(in.ExecutionArn)
	if no != nil {
		return nil, no
	}
	out := listed(e)
	out["redriveStatus"] = "NOT_REDRIVABLE"
	out["redriveStatusReason"] = fmt.Sprintf("Execution is %s and cannot be redriven", e.Status())
	if e.Status() == asl.Failed || e.Status() == asl.TimedOut || e.Status() == asl.Aborted {
		out["redriveStatusReason"] = "the local system redrives nothing"
	}
	if name, cause := e.Failure(); name != "" || cause != "" {
		out["error"], out["cause"] = name, cause
	}
	data := map[string][]byte{"input": e.Input(), "output": e.Output()}
	for _, field := range []string{"input", "output"} {
		switch {
		case data[field] == nil:
		case in.IncludedData != nil && *in.IncludedData == "METADATA_ONLY":
			out[field+"Details"] = map[string]bool{"included": false}
		default:
			out[field], out[field+"Details"] = string(data[field]), included
		}
	}
	return out, nil
}

// listed is an ExecutionListItem; DescribeExecution has the same and more.
func listed(e *asl.Execution) map[string]any {
	item := map[string]any{
		"executionArn": e.ARN(), "stateMachineArn": e.MachineARN(), "name": e.Name(), "status": e.Status(),
		"startDate": epoch(e.StartedAt()), "redriveCount": 0,
	}
	if at := e.StoppedAt(); !at.IsZero() {
		item["stopDate"] = epoch(at)
	}
	return item
}

type listInput struct {
	StateMachineArn, MapRunArn, StatusFilter, RedriveFilter, NextToken *string
	MaxResults                                                         int
}

// listExecutions lists newest first.
func listExecutions(s *System, in listInput) (any, *refusal) {
	var f faults
	f.one("statusFilter", in.StatusFilter, "RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "PENDING_REDRIVE")
	f.one("redriveFilter", in.RedriveFilter, "REDRIVEN", "NOT_REDRIVEN")
	f.number("maxResults", in.MaxResults, 0, pageMax)
	if no := f.refusal(); no != nil {
		return nil, no
	}
	if in.StateMachineArn == nil || in.MapRunArn != nil {
		return nil, &refusal{http.StatusBadRequest, statesErrors, "ValidationException", "ListExecutions needs a stateMachineArn and no mapRunArn: there are no map runs here"}
	}
	if _, no := s.machine(*in.StateMachineArn); no != nil {
		return nil, no
	}
	all := s.runner.Executions()
	slices.Reverse(all)
	items := []any{}
	last, from, no := "", "", (*refusal)(nil)
	if from, no = readToken(in.NextToken, "after "); no != nil {
		return nil, no
	}
	for _, e := range all {
		switch {
		case e.MachineARN() != *in.StateMachineArn:
			continue
		case from != "":
			if e.Name() == from {
				from = ""
			}
			continue
		case in.StatusFilter != nil && *in.StatusFilter != string(e.Status()), in.RedriveFilter != nil && *in.RedriveFilter == "REDRIVEN":
			continue
		case len(items) == pageSize(in.MaxResults):
			return map[string]any{"executions": items, "nextToken": writeToken("after " + last)}, nil
		}
		items, last = append(items, listed(e)), e.Name()
	}
	return map[string]any{"executions": items}, nil
}

func pageSize(asked int) int {
	if asked == 0 {
		return pageDefault
	}
	return asked
}

// writeToken makes the token of a next page; readToken reads it, "" where none
// was given.
func writeToken(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func readToken(token *string, kind string) (string, *refusal) {
	if token == nil {
		return "", nil
	}
	text, err := base64.RawURLEncoding.DecodeString(*token)
	rest, ok := strings.CutPrefix(string(text), kind)
	if err != nil || !ok || rest == "" {
		return "", statesRefusal("InvalidToken", "Invalid Token: 'Invalid token'")
	}
	return rest, nil
}

type stopInput struct{ ExecutionArn, Error, Cause *string }

// stopExecution stops at once. One that has ended stays as it is, and the
// answer says since when.
func stopExecution(s *System, in stopInput) (any, *refusal) {
	var f faults
	f.text("error", in.Error, false, 0, 256)
	f.text("cause", in.Cause, false, 0, 32768)
	if no := f.refusal(); no != nil {
		return nil, no
	}
	e, no := s.known(in.ExecutionArn)
	if no != nil {
		return nil, no
	}
	if err := s.runner.Stop(e.ARN(), text(in.Error), text(in.Cause)); err != nil {
		return nil, refusedStates(err, e.ARN())
	}
	return map[string]any{"stopDate": epoch(e.StoppedAt())}, nil
}

func text(v *string) string {
	if v == nil {
		return ""
	}
	return *v
}

type tokenInput struct{ TaskToken, Output, Error, Cause *string }

// tokenForm is that of the tokens given out here; AWS, too, tells a token that
// can not be one from one that is unknown.
var tokenForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// answerToken checks the token and gives it to what answers the task.
func answerToken(in tokenInput, f faults, answer func(token string) error) (any, *refusal) {
	f.text("taskToken", in.TaskToken, true, 1, 2048)
	f.text("error", in.Error, false, 0, 256)
	f.text("cause", in.Cause, false, 0, 32768)
	if no := f.refusal(); no != nil {
		return nil, no
	}
	err := asl.ErrInvalidToken
	if tokenForm.MatchString(*in.TaskToken) {
		err = answer(*in.TaskToken)
	}
	if err != nil {
		return nil, refusedStates(err, "")
	}
	return struct{}{}, nil
}

func sendTaskSuccess(s *System, in tokenInput) (any, *refusal) {
	var f faults
	f.text("output", in.Output, true, 0, asl.DataLimit)
	return answerToken(in, f, func(token string) error { return s.runner.SendTaskSuccess(token, []byte(*in.Output)) })
}

func sendTaskFailure(s *System, in tokenInput) (any, *refusal) {
	return answerToken(in, nil, func(token string) error { return s.runner.SendTaskFailure(token, text(in.Error), text(in.Cause)) })
}

// sendTaskHeartbeat is taken while the task waits; none of our machines sets a
// heartbeat, so it changes nothing.
func sendTaskHeartbeat(s *System, in tokenInput) (any, *refusal) {
	return answerToken(in, nil, s.runner.SendTaskHeartbeat)
}

type pageInput struct {
	MaxResults int
	NextToken  *string
}

func listStateMachines(s *System, in pageInput) (any, *refusal) {
	var f faults
	f.number("maxResults", in.MaxResults, 0, pageMax)
	if no := f.refusal(); no != nil {
		return nil, no
	}
	text, no := readToken(in.NextToken, "from ")
	if no != nil {
		return nil, no
	}
	from, _ := strconv.Atoi(text)
	names := statemachines.Names()
	items := []any{}
	for i := max(from, 0); i < len(names); i++ {
		if len(items) == pageSize(in.MaxResults) {
			return map[string]any{"stateMachines": items, "nextToken": writeToken("from " + strconv.Itoa(i))}, nil
		}
		items = append(items, s.machineItem(names[i]))
	}
	return map[string]any{"stateMachines": items}, nil
}

func (s *System) machineItem(name string) map[string]any {
	return map[string]any{"stateMachineArn": machineARN(name), "name": "nightshift-" + name, "type": "STANDARD", "creationDate": epoch(s.since)}
}

func describeStateMachine(s *System, in struct{ StateMachineArn, IncludedData *string }) (any, *refusal) {
	var f faults
	f.text("stateMachineArn", in.StateMachineArn, true, 1, 256)
	f.one("includedData", in.IncludedData, "ALL_DATA", "METADATA_ONLY")
	if no := f.refusal(); no != nil {
		return nil, no
	}
	if _, no := s.machine(*in.StateMachineArn); no != nil {
		return nil, no
	}
	i := slices.IndexFunc(statemachines.Names(), func(n string) bool { return machineARN(n) == *in.StateMachineArn })
	name := statemachines.Names()[i]
	out := s.machineItem(name)
	out["status"], out["definition"], out["roleArn"] = "ACTIVE", s.definitions[name], roleARN(name)
	out["loggingConfiguration"] = map[string]any{"level": "OFF", "includeExecutionData": false}
	out["tracingConfiguration"] = map[string]bool{"enabled": false}
	return out, nil
}

// roleARN is the role that a deployed machine would have.
func roleARN(name string) string {
	return "arn:aws:iam::" + Account + ":role/nightshift-" + name
}
