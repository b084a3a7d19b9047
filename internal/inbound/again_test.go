package inbound_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/inbound"
	"nightshift/statemachines"
)

// S4.4: the next attempt has the same spec under the next name, follows the
// session, and says where it goes on from or what to set.
func TestAgain(t *testing.T) {
	const place = `"user":"u-ana","endpoint":"sagemaker/1/r"`
	long := strings.Repeat("x", 63)
	for _, c := range []struct{ name, input, attempt, checkpoint, missing string }{
		{"training", `{` + place + `,"engine":"sagemaker-training","spec":{"TrainingJobName":"churn","CheckpointConfig":{"S3Uri":"s3://b/c"}}}`, "churn-r2", "s3://b/c", ""},
		{"the attempt after", `{` + place + `,"engine":"sagemaker-training","restartOf":"s-0","spec":{"TrainingJobName":"churn-r9","CheckpointConfig":{"S3Uri":"s3://b/c"}}}`, "churn-r10", "s3://b/c", ""},
		{"a name that is full", `{` + place + `,"engine":"sagemaker-training","spec":{"TrainingJobName":"` + long + `","CheckpointConfig":{"S3Uri":"s3://b/c"}}}`, long[:60] + "-r2", "s3://b/c", ""},
		{"named by the session", `{` + place + `,"engine":"sagemaker-training","spec":{"CheckpointConfig":{"S3Uri":"s3://b/c"}}}`, "", "s3://b/c", ""},
		{"training, in another case", `{` + place + `,"engine":"sagemaker-training","spec":{"trainingJobName":7,"checkpointconfig":{"s3URI":"s3://b/c"}}}`, "", "s3://b/c", ""},
		{"training that says it in the input", `{` + place + `,"engine":"sagemaker-training","checkpoint":"s3://b/d","spec":{}}`, "", "s3://b/d", ""},
		{"training without", `{` + place + `,"engine":"sagemaker-training","spec":{"TrainingJobName":"churn"}}`, "churn-r2", "", "CheckpointConfig"},
		{"processing", `{` + place + `,"engine":"sagemaker-processing","checkpoint":"s3://b/d/","spec":{"ProcessingJobName":"prepare"}}`, "prepare-r2", "s3://b/d/", ""},
		{"processing without", `{` + place + `,"engine":"sagemaker-processing","spec":{}}`, "", "", "checkpoint of the input of run"},
		{"a job run", `{` + place + `,"engine":"emr-containers","checkpoint":"s3://b/d/","spec":{"name":"etl","virtualClusterId":"v"}}`, "etl-r2", "s3://b/d/", ""},
		{"a notebook", `{` + place + `,"engine":"emr-notebook","checkpoint":"s3://b/d/","spec":{"NotebookExecutionName":"n"}}`, "n-r2", "s3://b/d/", ""},
		{"a Livy session", `{` + place + `,"engine":"livy","spec":{"kind":"pyspark"}}`, "", "", "lost with it"},
		{"a pipeline", `{` + place + `,"engine":"sagemaker-pipeline","spec":{"PipelineName":"Churn"}}`, "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := inbound.Again([]byte(c.input), "s-1")
			if err != nil || got.Name != c.attempt || got.Checkpoint != c.checkpoint || !strings.Contains(got.Missing, c.missing) || (got.Missing == "") != (c.missing == "") {
				t.Fatalf("%+v %v", got, err)
			}
			if r, _, err := inbound.ParseRun("e", got.Input); err != nil || r.Previous != "s-1" {
				t.Errorf("run takes it as following %q: %v", r.Previous, err)
			}
			var before, after map[string]any
			if json.Unmarshal([]byte(c.input), &before) != nil || json.Unmarshal(got.Input, &after) != nil {
				t.Fatal(c.input)
			}
			delete(before, "restartOf")
			delete(after, "restartOf")
			if spec := after["spec"].(map[string]any); c.attempt != "" {
				for field, v := range spec {
					if v == c.attempt {
						spec[field] = before["spec"].(map[string]any)[field]
					}
				}
			}
			if fmt.Sprint(before) != fmt.Sprint(after) {
				t.Errorf("besides its name %v became %v", before, after)
			}
		})
	}
}

func TestAgainLeavesTheInteractiveSessionOut(t *testing.T) {
	got, err := inbound.Again([]byte(`{"user":"u","endpoint":"sagemaker/1/r","engine":"sagemaker-pipeline","interactiveSession":{"id":"i","source":"portal"},"spec":{"n":12345678901234567890}}`), "s-1")
	if err != nil || strings.Contains(string(got.Input), "interactiveSession") || !strings.Contains(string(got.Input), "12345678901234567890") {
		t.Errorf("%s %v", got.Input, err)
	}
}

func TestAgainRefuses(t *testing.T) {
	full := `{"user":"u","endpoint":"livy/j-1","engine":"livy","spec":{"x":"` + strings.Repeat("x", inbound.RunInputMax-70) + `"}}`
	for _, input := range []string{`{`, `{}`, `{"jobRun":{}}`, full} {
		if _, err := inbound.Again([]byte(input), "s-1"); !fault.Is(err, fault.Invalid) {
			t.Errorf("%.40s: %v", input, err)
		}
	}
	if _, err := inbound.Again([]byte(full), "s-1"); err == nil || !strings.Contains(err.Error(), "bytes; at most 262144") {
		t.Errorf("an input that gets too large: %v", err)
	}
	for _, field := range []string{`"checkpoint":"/local"`, `"checkpoint":7`, `"restartOf":["s"]`, `"restartOf":"` + strings.Repeat("s", 201) + `"`} {
		if _, _, err := inbound.ParseRun("e", []byte(`{"user":"u","endpoint":"livy/j-1","engine":"livy","spec":{},`+field+`}`)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%.40s: %v", field, err)
		}
	}
}

// The samples of run are what ParseRun takes.
func TestSamplesOfRun(t *testing.T) {
	samples := statemachines.Inputs(statemachines.Run)
	for file, body := range samples {
		if _, _, err := inbound.ParseRun("e", body); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	if len(samples) < 2 {
		t.Errorf("%d samples were looked at", len(samples))
	}
}

// An execution of submit-job-run fails with its run; one of run does not.
func TestExecutionsThatFailWithTheirRun(t *testing.T) {
	for machine, want := range map[string]bool{statemachines.SubmitJobRun: true, "nightshift-" + statemachines.SubmitJobRun: true, "nightshift-" + statemachines.Run: false} {
		for _, status := range []string{"FAILED", "ABORTED"} {
			m, err := inbound.Parse(fmt.Appendf(nil, `{"version":"0","id":"e-1","source":"aws.states","detail-type":"Step Functions Execution Status Change","account":"123456789012","region":"us-east-1",
				"time":"2026-11-20T18:00:00Z","detail":{"executionArn":"arn:aws:states:us-east-1:123456789012:execution:%s:x","stateMachineArn":"arn","name":"x","status":"%s","stopDate":1795197600000}}`, machine, status),
				time.Date(2026, 11, 20, 18, 1, 0, 0, time.UTC))
			change, ok := m.(app.ExecutionChange)
			if err != nil || !ok || change.WithRun != (want && status == "FAILED") {
				t.Errorf("%s %s: %+v %v", machine, status, m, err)
			}
		}
	}
}
