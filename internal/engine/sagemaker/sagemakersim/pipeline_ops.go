package sagemakersim

import (
	"encoding/json"
	"regexp"
	"time"

	"nightshift/internal/engine/simrun"
)

var displayForm = regexp.MustCompile(`^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,81}$`)

func (s *Sim) operatePipelines(op string, in map[string]json.RawMessage) (any, *refusal) {
	switch op {
	case OpCreatePipeline:
		return s.createPipeline(in)
	case OpListPipelines:
		return s.listPipelines(in)
	case OpStartExecution:
		return s.start(in)
	case OpListExecutions:
		return s.listExecutions(in)
	case OpStepSuccess, OpStepFailure:
		return s.answer(in, op == OpStepSuccess)
	}
	of, known := map[string]func(*execution, map[string]json.RawMessage) (any, *refusal){
		OpDescribeExecution: s.describeExecution,
		OpStopExecution:     s.stopExecution,
		OpRetryExecution:    s.retryExecution,
		OpListSteps:         s.listSteps,
	}[op]
	if !known {
		return nil, &refusal{"UnknownOperationException", "the simulator does not know the operation " + op}
	}
	for _, x := range s.executions {
		if s.executionARN(x) == text(in, "PipelineExecutionArn") {
			return of(x, in)
		}
	}
	return nil, &refusal{"ResourceNotFound", "Pipeline execution '" + text(in, "PipelineExecutionArn") + "' does not exist."}
}

func (s *Sim) listPipelines(in map[string]json.RawMessage) (any, *refusal) {
	var items []item
	for _, p := range s.pipelines {
		view := map[string]any{
			"PipelineArn": s.arn("pipeline", p.Name), "PipelineName": p.Name,
			"CreationTime": seconds(p.made), "LastModifiedTime": seconds(p.made),
		}
		if !p.last.IsZero() {
			view["LastExecutionTime"] = seconds(p.last)
		}
		items = append(items, item{p.seq, view})
	}
	return page(in, pageDefault, "PipelineSummaries", items, text(in, "SortOrder") == "Ascending")
}

// executionStatus is the service's word.
func (x *execution) executionStatus() string {
	switch x.phase {
	case simrun.Stopping:
		return "Stopping"
	case simrun.Succeeded:
		return "Succeeded"
	case simrun.Stopped:
		return "Stopped"
	case simrun.Failed:
		return "Failed"
	case simrun.Pending, simrun.Running:
	}
	return "Executing"
}

func (s *Sim) listExecutions(in map[string]json.RawMessage) (any, *refusal) {
	p := s.pipeline(text(in, "PipelineName"))
	if p == nil {
		return nil, &refusal{"ResourceNotFound", "Pipeline '" + text(in, "PipelineName") + "' does not exist."}
	}
	var items []item
	for _, x := range s.executions {
		if x.pipeline != p || given(in, "CreatedAfter") != nil && seconds(x.began) <= number(in, "CreatedAfter") ||
			given(in, "CreatedBefore") != nil && seconds(x.began) >= number(in, "CreatedBefore") {
			continue
		}
		view := map[string]any{
			"PipelineExecutionArn": s.executionARN(x), "PipelineExecutionDisplayName": x.display,
			"PipelineExecutionStatus": x.executionStatus(), "StartTime": seconds(x.began),
		}
		if x.describe != "" {
			view["PipelineExecutionDescription"] = x.describe
		}
		if x.phase == simrun.Failed {
			view["PipelineExecutionFailureReason"] = x.reason
		}
		items = append(items, item{x.seq, view})
	}
	return page(in, pageDefault, "PipelineExecutionSummaries", items, text(in, "SortOrder") == "Ascending")
}

func (s *Sim) describeExecution(x *execution, _ map[string]json.RawMessage) (any, *refusal) {
	modified := x.began
	for _, t := range []time.Time{x.resumed, x.stopped, x.ended} {
		if t.After(modified) {
			modified = t
		}
	}
	view := map[string]any{
		"PipelineArn": s.arn("pipeline", x.pipeline.Name), "PipelineExecutionArn": s.executionARN(x),
		"PipelineExecutionDisplayName": x.display, "PipelineExecutionStatus": x.executionStatus(),
		"CreationTime": seconds(x.began), "LastModifiedTime": seconds(modified),
	}
	if x.describe != "" {
		view["PipelineExecutionDescription"] = x.describe
	}
	if x.phase == simrun.Failed {
		view["FailureReason"] = x.reason
	}
	return view, nil
}

// stopExecution stops the jobs of the steps that run. It cannot stop a Callback
// step, which waits for its answer, nor a Lambda step, which waits for its
// function.
func (s *Sim) stopExecution(x *execution, in map[string]json.RawMessage) (any, *refusal) {
	if token := text(in, "ClientRequestToken"); len(token) < 32 || len(token) > 128 {
		return nil, invalid("ClientRequestToken must have 32 to 128 characters")
	}
	if !x.ended.IsZero() {
		return nil, &refusal{"ConflictException", "The pipeline execution is in status " + x.executionStatus() + " and cannot be stopped."}
	}
	now := s.clock.Now()
	x.stops = append(x.stops, now)
	if x.stopped.IsZero() {
		x.stopped = now
		for _, a := range x.steps {
			if a.job != nil && !a.job.life.At(now).Phase.Over() {
				a.job.life.Stops = append(a.job.life.Stops, now)
			}
		}
	}
	s.progress()
	return map[string]string{"PipelineExecutionArn": s.executionARN(x)}, nil
}

// retryExecution goes on where a failed or stopped execution failed: its steps
// that did not succeed begin anew.
func (s *Sim) retryExecution(x *execution, _ map[string]json.RawMessage) (any, *refusal) {
	if x.phase != simrun.Failed && x.phase != simrun.Stopped {
		return nil, &refusal{"ConflictException", "Only failed or stopped pipeline executions can be retried."}
	}
	now := s.clock.Now()
	var succeeded []*attempt
	for _, a := range x.steps {
		if status, _ := a.at(now); status == "Succeeded" {
			succeeded = append(succeeded, a)
		}
	}
	x.steps, x.resumed, x.stopped, x.ended, x.phase, x.reason = succeeded, now, time.Time{}, time.Time{}, simrun.Running, ""
	s.progress()
	return map[string]string{"PipelineExecutionArn": s.executionARN(x)}, nil
}

func (s *Sim) listSteps(x *execution, in map[string]json.RawMessage) (any, *refusal) {
	now := s.clock.Now()
	var items []item
	for i, a := range x.steps {
		status, ended := a.at(now)
		view := map[string]any{"StepName": a.Name, "StepStatus": status, "StartTime": seconds(a.began), "AttemptCount": 1}
		if !ended.IsZero() {
			view["EndTime"] = seconds(ended)
		}
		switch a.Type {
		case "Callback":
			view["Metadata"] = map[string]any{"Callback": map[string]any{"CallbackToken": a.token, "SqsQueueUrl": "https://sqs.invalid/" + a.Name}}
		case "Lambda":
			arn := "arn:aws:lambda:" + s.config.Region + ":" + s.config.Account + ":function:" + a.Name
			view["Metadata"] = map[string]any{"Lambda": map[string]any{"Arn": arn}}
		default:
			view["Metadata"] = map[string]any{a.job.kind.word: map[string]any{"Arn": s.arn(a.job.kind.resource, a.job.name)}}
			if status == "Failed" {
				view["FailureReason"] = a.job.failure()
			}
		}
		items = append(items, item{i + 1, view})
	}
	return page(in, stepsPage, "PipelineExecutionSteps", items, text(in, "SortOrder") == "Ascending")
}

// answer is what a Callback step waits for. An answer given while the execution
// stops lets it stop.
func (s *Sim) answer(in map[string]json.RawMessage, success bool) (any, *refusal) {
	for _, x := range s.executions {
		for _, a := range x.steps {
			if a.Type != "Callback" || a.token != text(in, "CallbackToken") {
				continue
			}
			if !a.answered.IsZero() {
				return nil, invalid("The step %s was answered already.", a.Name)
			}
			a.answered, a.success = s.clock.Now(), success
			s.progress()
			return map[string]string{"PipelineExecutionArn": s.executionARN(x)}, nil
		}
	}
	return nil, &refusal{"ResourceNotFound", "No step waits with this callback token."}
}
