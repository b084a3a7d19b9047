package workflow_test

import (
	"net/http"
	"strings"
	"testing"

	"nightshift/internal/fault"
	"nightshift/internal/workflow"
)

const runARN = "arn:aws:states:us-east-1:123456789012:stateMachine:run"

func TestRuns(t *testing.T) {
	ctx := t.Context()
	s := &stepFunctions{answer: `{"executionArn":"arn:x"}`}
	r := workflow.NewRuns(client(t, s), runARN)
	execution := r.Execution("one")
	if execution != "arn:aws:states:us-east-1:123456789012:execution:run:one" {
		t.Fatal(execution)
	}
	if arn, err := r.Run(ctx, "one", []byte(`{"user":"u"}`)); err != nil || arn != "arn:x" || s.target != "AWSStepFunctions.StartExecution" ||
		s.body["name"] != "one" || s.body["input"] != `{"user":"u"}` || s.body["stateMachineArn"] != runARN {
		t.Errorf("%s %v: %s %v", arn, err, s.target, s.body)
	}
	s.answer = `{"input":"{\"user\":\"u\"}"}`
	if in, err := r.Input(ctx, execution); err != nil || string(in) != `{"user":"u"}` || s.target != "AWSStepFunctions.DescribeExecution" {
		t.Errorf("%s %v", in, err)
	}
	s.target = ""
	if _, err := r.Run(ctx, "large", []byte(strings.Repeat("x", 262_145))); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "262145 bytes") || s.target != "" {
		t.Errorf("S4.3 256 KiB and a byte: %v, called %q", err, s.target)
	}
	for _, other := range []string{"", "arn:aws:states:us-east-1:123456789012:execution:run-2:one", "arn:aws:states:us-east-1:123456789012:execution:submit-job-run:one"} {
		if _, err := r.Input(ctx, other); !fault.Is(err, fault.Invalid) || s.target != "" {
			t.Errorf("%q is an execution of run: %v", other, err)
		}
	}
	for code, want := range map[string]fault.Kind{"ExecutionAlreadyExists": fault.Conflict, "ExecutionDoesNotExist": fault.NotFound, "ThrottlingException": fault.Throttled, "AccessDeniedException": fault.Denied} {
		s.status, s.answer = http.StatusBadRequest, `{"__type":"`+code+`","message":"no"}`
		_, err := r.Run(ctx, "one", []byte(`{}`))
		if code == "ExecutionDoesNotExist" {
			_, err = r.Input(ctx, execution)
		}
		if !fault.Is(err, want) {
			t.Errorf("%s: %v, want %s", code, err, want)
		}
	}
	if _, err := workflow.NewRuns(client(t, s), "").Run(ctx, "one", []byte(`{}`)); !fault.Is(err, fault.Unknown) {
		t.Errorf("without a machine: %v", err)
	}
}

// S5.1: whether an execution lives decides whether its move is taken over.
func TestLive(t *testing.T) {
	s := &stepFunctions{}
	r := workflow.NewRuns(client(t, s), runARN)
	const other = "arn:aws:states:us-east-1:123456789012:execution:move-notebook:one"
	for status, want := range map[string]bool{"RUNNING": true, "PENDING_REDRIVE": true, "SUCCEEDED": false, "FAILED": false, "ABORTED": false, "TIMED_OUT": false} {
		s.answer = `{"status":"` + status + `"}`
		if live, err := r.Live(t.Context(), other); err != nil || live != want || s.body["executionArn"] != other {
			t.Errorf("S5.1 %s: %t %v", status, live, err)
		}
	}
	for code, want := range map[string]fault.Kind{"ThrottlingException": fault.Throttled, "AccessDeniedException": fault.Denied} {
		s.status, s.answer = http.StatusBadRequest, `{"__type":"`+code+`","message":"no"}`
		if live, err := r.Live(t.Context(), other); live || !fault.Is(err, want) {
			t.Errorf("S5.1 %s: %t %v", code, live, err)
		}
	}
	s.answer = `{"__type":"ExecutionDoesNotExist","message":"no"}`
	if live, err := r.Live(t.Context(), other); live || err != nil {
		t.Errorf("S5.1 one that is forgotten: %t %v", live, err)
	}
}
