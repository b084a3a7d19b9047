package sagemakersim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nightshift/internal/engine/enginetest"
	"nightshift/internal/engine/sagemaker/sagemakersim"
	"nightshift/internal/engine/simrun"
)

const token = "0123456789abcdef0123456789abcdef"

// defined creates a pipeline of three steps: extract and tell begin at once,
// approve after extract.
func defined(t *testing.T) (*sagemakersim.Sim, func(d time.Duration)) {
	t.Helper()
	c := enginetest.Clock(t)
	s := sagemakersim.New(c, sagemakersim.Config{Account: "1", Region: "r"})
	definition := `{"Version":"2020-12-01","Steps":[
		{"Name":"extract","Type":"Processing","Arguments":{"Environment":{"NIGHTSHIFT_SIM_WORK":"1h"}}},
		{"Name":"tell","Type":"Lambda","Arguments":{"nightshift.sim.work":"5m"}},
		{"Name":"approve","Type":"Callback","DependsOn":["extract"],"Arguments":{}}]}`
	if status, said := call(t, s, "CreatePipeline", fmt.Sprintf(`{"PipelineName":"Demo","PipelineDefinition":%q}`, definition)); status != 200 || said["PipelineArn"] != "arn:aws:sagemaker:r:1:pipeline/demo" {
		t.Fatalf("CreatePipeline answers %d %v", status, said)
	}
	return s, func(d time.Duration) { _ = c.Sleep(t.Context(), d) }
}

func begin(t *testing.T, s *sagemakersim.Sim, token string) (arn string) {
	t.Helper()
	status, said := call(t, s, "StartPipelineExecution", `{"PipelineName":"Demo","PipelineExecutionDisplayName":"ns-s-1","ClientRequestToken":"`+token+`"}`)
	if status != 200 {
		t.Fatalf("StartPipelineExecution answers %d %v", status, said)
	}
	return said["PipelineExecutionArn"].(string)
}

func named(arn string) string {
	return `{"PipelineExecutionArn":"` + arn + `","ClientRequestToken":"` + token + `"}`
}

// steps is the execution's status, and then the steps' in the order of their
// names.
func steps(t *testing.T, s *sagemakersim.Sim, arn string) string {
	t.Helper()
	_, said := call(t, s, "DescribePipelineExecution", named(arn))
	all := map[string]string{}
	_, listed := call(t, s, "ListPipelineExecutionSteps", named(arn))
	for _, step := range listed["PipelineExecutionSteps"].([]any) {
		m := step.(map[string]any)
		all[m["StepName"].(string)] = m["StepStatus"].(string)
	}
	words := []string{said["PipelineExecutionStatus"].(string)}
	for _, name := range []string{"approve", "extract", "tell"} {
		if all[name] != "" {
			words = append(words, name+" "+all[name])
		}
	}
	return strings.Join(words, ", ")
}

// waits is the token of the Callback step.
func waits(t *testing.T, s *sagemakersim.Sim, arn string) string {
	t.Helper()
	_, listed := call(t, s, "ListPipelineExecutionSteps", named(arn))
	for _, step := range listed["PipelineExecutionSteps"].([]any) {
		if m, ok := step.(map[string]any)["Metadata"].(map[string]any)["Callback"].(map[string]any); ok {
			return m["CallbackToken"].(string)
		}
	}
	t.Fatal("no step waits for an answer")
	return ""
}

func TestAPipelineGoesThroughItsSteps(t *testing.T) {
	s, wait := defined(t)
	arn := begin(t, s, token)
	if again := begin(t, s, token); again != arn {
		t.Errorf("the token started a second execution: %s", again)
	}
	want := func(what string) {
		t.Helper()
		if got := steps(t, s, arn); got != what {
			t.Errorf("it is %s; want %s", got, what)
		}
	}
	want("Executing, extract Executing, tell Executing")
	wait(10 * time.Minute)
	want("Executing, extract Executing, tell Succeeded")
	wait(2 * time.Hour)
	want("Executing, approve Executing, extract Succeeded, tell Succeeded")
	if status, said := call(t, s, "SendPipelineExecutionStepSuccess", `{"CallbackToken":"`+waits(t, s, arn)+`"}`); status != 200 || said["PipelineExecutionArn"] != arn {
		t.Errorf("the answer is answered %d %v", status, said)
	}
	want("Succeeded, approve Succeeded, extract Succeeded, tell Succeeded")
	_, jobs := call(t, s, "ListProcessingJobs", `{}`)
	job := jobs["ProcessingJobSummaries"].([]any)[0].(map[string]any)
	_, tags := call(t, s, "ListTags", fmt.Sprintf(`{"ResourceArn":%q}`, job["ProcessingJobArn"]))
	if got := fmt.Sprint(tags["Tags"]); job["ProcessingJobStatus"] != "Completed" || !strings.Contains(got, arn) {
		t.Errorf("the step's job is %v, tagged %s", job, got)
	}
}

func TestStopsAndFailures(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(t *testing.T, s *sagemakersim.Sim, arn string, wait func(time.Duration))
		want string
		by   simrun.Ender
	}{
		{"a stop waits for jobs and functions", func(t *testing.T, s *sagemakersim.Sim, arn string, wait func(time.Duration)) {
			wait(4 * time.Minute)
			call(t, s, "StopPipelineExecution", named(arn))
			if got := steps(t, s, arn); got != "Stopping, extract Stopping, tell Stopping" {
				t.Errorf("asked to stop it is %s", got)
			}
			wait(5 * time.Minute)
		}, "Stopped, extract Stopped, tell Succeeded", simrun.StopRequest},
		{"a stop waits for an answer, whichever", func(t *testing.T, s *sagemakersim.Sim, arn string, wait func(time.Duration)) {
			wait(2 * time.Hour)
			call(t, s, "StopPipelineExecution", named(arn))
			wait(100 * time.Hour)
			if got := steps(t, s, arn); got != "Stopping, approve Stopping, extract Succeeded, tell Succeeded" {
				t.Errorf("not answered it is %s", got)
			}
			call(t, s, "SendPipelineExecutionStepFailure", `{"CallbackToken":"`+waits(t, s, arn)+`"}`)
		}, "Stopped, approve Failed, extract Succeeded, tell Succeeded", simrun.StopRequest},
		{"a job that somebody stops fails its step", func(t *testing.T, s *sagemakersim.Sim, arn string, wait func(time.Duration)) {
			wait(10 * time.Minute)
			job := strings.TrimPrefix(s.Runs()[1].ID, "processing-job/")
			if r := s.Runs()[1]; !strings.HasPrefix(r.ID, "processing-job/pipelines-") {
				t.Fatalf("the ledger has %+v", s.Runs())
			}
			call(t, s, "StopProcessingJob", `{"ProcessingJobName":"`+job+`"}`)
			wait(5 * time.Minute)
		}, "Failed, extract Failed, tell Succeeded", simrun.Itself},
		{"what failed can be retried", func(t *testing.T, s *sagemakersim.Sim, arn string, wait func(time.Duration)) {
			wait(4 * time.Minute)
			call(t, s, "StopPipelineExecution", named(arn))
			wait(time.Hour)
			if status, said := call(t, s, "RetryPipelineExecution", named(arn)); status != 200 {
				t.Errorf("a retry is answered %d %v", status, said)
			}
			wait(time.Minute)
		}, "Executing, extract Executing, tell Succeeded", simrun.NoOne},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, wait := defined(t)
			arn := begin(t, s, token)
			c.do(t, s, arn, wait)
			if got := steps(t, s, arn); got != c.want {
				t.Errorf("it is %s; want %s", got, c.want)
			}
			for _, r := range s.Runs() {
				if strings.HasPrefix(r.ID, "pipeline/demo/execution/") && (r.By != c.by || r.Session != "s-1") {
					t.Errorf("the ledger says %+v, want it ended by %q", r, c.by)
				}
			}
		})
	}
}

func TestErrorsOfPipelines(t *testing.T) {
	s, wait := defined(t)
	arn := begin(t, s, token)
	wait(time.Minute)
	call(t, s, "StopPipelineExecution", named(arn))
	wait(time.Hour)
	for _, e := range []struct{ op, body, code string }{
		{"CreatePipeline", `{"PipelineName":"Demo","PipelineDefinition":"{\"Steps\":[{\"Name\":\"x\",\"Type\":\"Training\"}]}"}`, "ConflictException"},
		{"CreatePipeline", `{"PipelineName":"x","PipelineDefinition":"{\"Steps\":[{\"Name\":\"x\",\"Type\":\"Tuning\"}]}"}`, "ValidationException"},
		{"CreatePipeline", `{"PipelineName":"x","PipelineDefinition":"no"}`, "ValidationException"},
		{"StartPipelineExecution", `{"PipelineName":"x","ClientRequestToken":"` + token + `"}`, "ResourceNotFound"},
		{"StartPipelineExecution", `{"PipelineName":"Demo","ClientRequestToken":"short"}`, "ValidationException"},
		{"StartPipelineExecution", `{"PipelineName":"Demo","PipelineExecutionDisplayName":"under_score","ClientRequestToken":"` + token + `"}`, "ValidationException"},
		{"DescribePipelineExecution", named(arn + "x"), "ResourceNotFound"},
		{"ListPipelineExecutions", `{"PipelineName":"x"}`, "ResourceNotFound"},
		{"StopPipelineExecution", named(arn), "ConflictException"},
		{"SendPipelineExecutionStepSuccess", `{"CallbackToken":"x"}`, "ResourceNotFound"},
		{"CreateProcessingJob", `{"ProcessingJobName":"x","RoleArn":"r"}`, "ValidationException"},
		{"DescribeProcessingJob", `{"ProcessingJobName":"x"}`, "ResourceNotFound"},
	} {
		if status, said := call(t, s, e.op, e.body); status != 400 || said["__type"] != e.code || said["message"] == "" {
			t.Errorf("%s %s answers %d %v, want 400 %s", e.op, e.body, status, said, e.code)
		}
	}
}
