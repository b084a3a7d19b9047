package sagemakersim_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"nightshift/internal/engine/enginetest"
	"nightshift/internal/engine/sagemaker/sagemakersim"
	"nightshift/internal/engine/simrun"
)

func call(t *testing.T, s *sagemakersim.Sim, op, body string) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", "SageMaker."+op)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	var said map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil {
		t.Fatalf("%s answers %s", op, w.Body)
	}
	if w.Header().Get(simrun.Header) != "true" {
		t.Error("an answer does not say that it is simulated")
	}
	return w.Code, said
}

func job(name, more string) string {
	return fmt.Sprintf(`{"TrainingJobName":%q,"RoleArn":"arn:aws:iam::1:role/x","OutputDataConfig":{"S3OutputPath":"s3://b"}%s}`, name, more)
}

func TestStates(t *testing.T) {
	c := enginetest.Clock(t)
	s := sagemakersim.New(c, sagemakersim.Config{Account: "1", Region: "r"})
	call(t, s, "CreateTrainingJob", job("Job-1", `,"HyperParameters":{"nightshift.sim.work":"1h"}`))
	call(t, s, "CreateTrainingJob", job("job-2", ""))
	for _, step := range []struct {
		after                   time.Duration
		name, status, secondary string
	}{
		{0, "Job-1", "InProgress", "Starting"},
		{90 * time.Second, "Job-1", "InProgress", "Downloading"},
		{2 * time.Minute, "Job-1", "InProgress", "Training"},
		{62 * time.Minute, "Job-1", "Completed", "Completed"},
		{24 * time.Hour, "job-2", "InProgress", "Training"},
		{24*time.Hour + 2*time.Minute, "job-2", "Stopping", "Stopping"}, // a day is the default limit
		{24*time.Hour + 4*time.Minute, "job-2", "Stopped", "MaxRuntimeExceeded"},
	} {
		_ = c.Sleep(t.Context(), enginetest.Open.Add(step.after).Sub(c.Now()))
		_, d := call(t, s, "DescribeTrainingJob", `{"TrainingJobName":"`+step.name+`"}`)
		if d["TrainingJobStatus"] != step.status || d["SecondaryStatus"] != step.secondary {
			t.Errorf("after %s %s is %v/%v, want %s/%s", step.after, step.name, d["TrainingJobStatus"], d["SecondaryStatus"], step.status, step.secondary)
		}
		if d["Tags"] != nil {
			t.Error("a description has tags")
		}
	}
}

func TestErrors(t *testing.T) {
	c := enginetest.Clock(t)
	s := sagemakersim.New(c, sagemakersim.Config{Account: "1", Region: "r"})
	call(t, s, "CreateTrainingJob", job("taken", `,"Environment":{"NIGHTSHIFT_SIM_WORK":"1m"}`))
	_ = c.Sleep(t.Context(), time.Hour)
	for _, e := range []struct{ op, body, code string }{
		{"CreateTrainingJob", job("taken", ""), "ResourceInUse"},
		{"CreateTrainingJob", job("under_score", ""), "ValidationException"},
		{"CreateTrainingJob", `{"TrainingJobName":"x"}`, "ValidationException"},
		{"CreateTrainingJob", job("x", `,"StoppingCondition":{"MaxRuntimeInSeconds":2419201}`), "ValidationException"},
		{"CreateTrainingJob", job("x", `,"Environment":{"NIGHTSHIFT_SIM_WORK":"soon"}`), "ValidationException"},
		{"DescribeTrainingJob", `{"TrainingJobName":"x"}`, "ResourceNotFound"},
		{"StopTrainingJob", `{"TrainingJobName":"x"}`, "ResourceNotFound"},
		{"StopTrainingJob", `{"TrainingJobName":"taken"}`, "ValidationException"},
		{"ListTags", `{"ResourceArn":"x"}`, "ResourceNotFound"},
		{"ListTrainingJobs", `{"MaxResults":101}`, "ValidationException"},
		{"ListTrainingJobs", `{"NextToken":"x"}`, "ValidationException"},
		{"ListTrainingJobs", `[]`, "SerializationException"},
		{"CreateAutoMLJob", `{}`, "UnknownOperationException"},
	} {
		if status, said := call(t, s, e.op, e.body); status != 400 || said["__type"] != e.code || said["message"] == "" {
			t.Errorf("%s %s answers %d %v, want 400 %s", e.op, e.body, status, said, e.code)
		}
	}
}

func TestPagesAndFilters(t *testing.T) {
	c := enginetest.Clock(t)
	s := sagemakersim.New(c, sagemakersim.Config{Account: "1", Region: "r"})
	for n := range 25 {
		call(t, s, "CreateTrainingJob", job(fmt.Sprintf("job-%02d", n), ""))
		_ = c.Sleep(t.Context(), time.Second)
	}
	count := func(filter string) (n, pages int) {
		token := ""
		for {
			_, said := call(t, s, "ListTrainingJobs", `{`+filter+token+`}`)
			n, pages = n+len(said["TrainingJobSummaries"].([]any)), pages+1
			if said["NextToken"] == nil {
				return n, pages
			}
			token = fmt.Sprintf(`,"NextToken":%q`, said["NextToken"])
		}
	}
	for filter, want := range map[string][2]int{
		`"StatusEquals":"InProgress"`: {25, 3},
		`"MaxResults":20`:             {25, 2},
		`"StatusEquals":"Stopping"`:   {0, 1},
		`"NameContains":"job-1"`:      {10, 1},
		fmt.Sprintf(`"CreationTimeAfter":%d`, enginetest.Open.Add(19*time.Second).Unix()): {5, 1},
	} {
		if n, pages := count(filter); n != want[0] || pages != want[1] {
			t.Errorf("%s gives %d jobs on %d pages, want %v", filter, n, pages, want)
		}
		_ = c.Sleep(t.Context(), 10*time.Second)
	}
}

func TestTags(t *testing.T) {
	c := enginetest.Clock(t)
	s := sagemakersim.New(c, sagemakersim.Config{Account: "1", Region: "r"})
	_, made := call(t, s, "CreateTrainingJob", job("Job", `,"Tags":[{"Key":"nightshift:session","Value":"s-1"}]`))
	arn := made["TrainingJobArn"].(string)
	if !strings.HasSuffix(arn, ":training-job/job") {
		t.Errorf("the ARN is %s, want the name in lower case", arn)
	}
	call(t, s, "AddTags", `{"ResourceArn":"`+arn+`","Tags":[{"Key":"nightshift:user","Value":"u"},{"Key":"nightshift:session","Value":"s-2"}]}`)
	if _, said := call(t, s, "ListTags", `{"ResourceArn":"`+arn+`"}`); len(said["Tags"].([]any)) != 2 {
		t.Errorf("the tags are %v", said)
	}
	if r := s.Runs()[0]; r.Session != "s-2" || r.User != "u" {
		t.Errorf("the ledger says %+v", r)
	}
}
