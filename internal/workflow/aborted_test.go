package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"nightshift/internal/fault"
	"nightshift/internal/workflow"
)

// lists has executions, newest began first, one a page.
type lists struct {
	ended []types.ExecutionListItem
	loops bool
	err   error
	calls int
}

func (l *lists) ListExecutions(_ context.Context, in *sfn.ListExecutionsInput, _ ...func(*sfn.Options)) (*sfn.ListExecutionsOutput, error) {
	if l.calls++; l.err != nil {
		return nil, l.err
	}
	if in.MaxResults != 1000 {
		return nil, fmt.Errorf("%d a page", in.MaxResults)
	}
	at := 0
	if in.NextToken != nil {
		_, _ = fmt.Sscan(*in.NextToken, &at)
	}
	of := slices.DeleteFunc(slices.Clone(l.ended), func(e types.ExecutionListItem) bool {
		return e.Status != in.StatusFilter || aws.ToString(e.StateMachineArn) != aws.ToString(in.StateMachineArn)
	})
	out := &sfn.ListExecutionsOutput{}
	if at < len(of) {
		out.Executions = of[at : at+1]
	}
	if at+1 < len(of) || l.loops {
		out.NextToken = aws.String(fmt.Sprint(at + 1))
	}
	return out, nil
}

func TestS3_5Aborted(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	item := func(machine, name string, status types.ExecutionStatus, stopped time.Duration) types.ExecutionListItem {
		return types.ExecutionListItem{StateMachineArn: aws.String(machine), ExecutionArn: aws.String(machine + ":" + name), Status: status, StopDate: aws.Time(noon.Add(stopped))}
	}
	api := &lists{ended: []types.ExecutionListItem{
		item("run", "young", types.ExecutionStatusAborted, -time.Hour), item("run", "old, ended lately", types.ExecutionStatusAborted, time.Minute),
		item("run", "late", types.ExecutionStatusTimedOut, 2*time.Minute), item("run", "failed", types.ExecutionStatusFailed, time.Minute),
		item("submit", "other machine", types.ExecutionStatusAborted, 3*time.Minute), item("watch", "not asked for", types.ExecutionStatusAborted, time.Minute),
	}}
	got, err := workflow.NewWaiting(api, "run", "submit").Aborted(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, e := range got {
		said = append(said, fmt.Sprintf("%s %s %s", e.Execution, e.Status, e.At.Sub(noon)))
	}
	want := []string{"run:old, ended lately ABORTED 1m0s", "run:late TIMED_OUT 2m0s", "submit:other machine ABORTED 3m0s"}
	if !slices.Equal(said, want) {
		t.Errorf("%q, want %q", said, want)
	}
	if got, err := workflow.NewWaiting(api).Aborted(t.Context(), noon); err != nil || got != nil {
		t.Errorf("of no machine: %v, %v", got, err)
	}
	api.err = errors.New("down")
	if _, err := workflow.NewWaiting(api, "run").Aborted(t.Context(), noon); !fault.Is(err, fault.Unknown) {
		t.Errorf("down: %v", err)
	}
	api = &lists{loops: true}
	if _, err := workflow.NewWaiting(api, "run").Aborted(t.Context(), noon); !fault.Is(err, fault.Unknown) || api.calls != 20 {
		t.Errorf("an endless list: %v after %d calls", err, api.calls)
	}
}
