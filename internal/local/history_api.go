package local

import (
	"strconv"
	"strings"

	"nightshift/internal/asl"
)

type historyInput struct {
	ExecutionArn, NextToken *string
	MaxResults              int
	ReverseOrder            bool
	IncludeExecutionData    *bool
}

// getExecutionHistory answers like Step Functions, which keeps histories for 90
// days: one that is no longer kept here belongs to an execution that does not
// exist.
func getExecutionHistory(s *System, in historyInput) (any, *refusal) {
	var f faults
	f.number("maxResults", in.MaxResults, 0, pageMax)
	if no := f.refusal(); no != nil {
		return nil, no
	}
	e, no := s.known(in.ExecutionArn)
	if no != nil {
		return nil, no
	}
	order := "on "
	if in.ReverseOrder {
		order = "back "
	}
	at, no := readToken(in.NextToken, order)
	if no != nil {
		return nil, no
	}
	events := e.History()
	if len(events) == 0 && e.Status() != asl.Running {
		return nil, statesRefusal("ExecutionDoesNotExist", "Execution Does Not Exist: '%s' (its history is no longer kept)", e.ARN())
	}
	// The token is the number of events that earlier pages had: a history only
	// grows, so a reverse walk starts from the length it began with.
	from, end := 0, len(events)
	if at != "" {
		seen, of, _ := strings.Cut(at, "/")
		from, _ = strconv.Atoi(seen)
		if n, err := strconv.Atoi(of); err == nil && n <= len(events) && in.ReverseOrder {
			end = n
		}
	}
	page := []any{}
	for i := from; i < end; i++ {
		if len(page) == pageSize(in.MaxResults) {
			return map[string]any{"events": page, "nextToken": writeToken(order + strconv.Itoa(i) + "/" + strconv.Itoa(end))}, nil
		}
		ev := events[i]
		if in.ReverseOrder {
			ev = events[end-1-i]
		}
		page = append(page, historyEvent(e, ev, in.IncludeExecutionData == nil || *in.IncludeExecutionData))
	}
	return map[string]any{"events": page}, nil
}

// historyEvent is a HistoryEvent; the details' name follows from the type.
func historyEvent(e *asl.Execution, ev asl.Event, data bool) map[string]any {
	out := map[string]any{"timestamp": epoch(ev.At), "type": ev.Type, "id": ev.ID, "previousEventId": ev.Previous}
	d := details{data: data, fields: map[string]any{}}
	name := strings.ToLower(ev.Type[:1]) + ev.Type[1:]
	switch {
	case strings.HasSuffix(ev.Type, "StateEntered"):
		name = "stateEntered"
		d.fields["name"] = ev.State
		d.put("input", ev.Input)
	case strings.HasSuffix(ev.Type, "StateExited"):
		name = "stateExited"
		d.fields["name"] = ev.State
		d.put("output", ev.Output)
	case ev.Type == "ExecutionStarted":
		d.put("input", ev.Input)
		d.fields["roleArn"] = roleARN(strings.TrimPrefix(e.MachineARN(), machineARN("")))
	case ev.Type == "EvaluationFailed":
		d.fields["state"] = ev.State
	case strings.HasPrefix(ev.Type, "Task"):
		d.task(ev)
	case ev.Type == "ExecutionSucceeded":
		d.put("output", ev.Output)
	}
	if ev.Error != "" || ev.Cause != "" {
		d.fields["error"], d.fields["cause"] = ev.Error, ev.Cause
	}
	out[name+"EventDetails"] = d.fields
	return out
}

// details collects an event's details.
type details struct {
	data   bool // inputs and outputs are wanted
	fields map[string]any
}

func (d details) put(field string, raw []byte) {
	if d.data && raw != nil {
		d.fields[field], d.fields[field+"Details"] = string(raw), map[string]bool{"truncated": false}
	}
}

// task: arn:aws:states:::lambda:invoke.waitForTaskToken is the resource type
// lambda and the resource invoke.waitForTaskToken.
func (d details) task(ev asl.Event) {
	kind, resource, _ := strings.Cut(strings.TrimPrefix(ev.Resource, "arn:aws:states:::"), ":")
	d.fields["resourceType"], d.fields["resource"] = kind, resource
	if ev.Type != "TaskScheduled" {
		d.put("output", ev.Output)
		return
	}
	d.fields["region"], d.fields["parameters"] = Region, string(ev.Input)
	if ev.Timeout > 0 {
		d.fields["timeoutInSeconds"] = int64(ev.Timeout.Seconds())
	}
}
