package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"nightshift/internal/local"
)

// churns starts a training job of a user's that keeps checkpoints.
func (w *town) churns(user string) {
	w.t.Helper()
	w.post("/executions/run?name="+user+"-churn", `{"user": "`+user+`", "engine": "sagemaker-training", "endpoint": "`+local.SageMaker+`",
		"spec": {"TrainingJobName": "`+user+`-churn", "AlgorithmSpecification": {"TrainingImage": "churn:1", "TrainingInputMode": "File"}, "RoleArn": "arn:aws:iam::123456789012:role/training",
		"OutputDataConfig": {"S3OutputPath": "s3://bucket/out"}, "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50},
		"CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints/"}}}`)
}

// S4.4, S8.2: a run that is over is started again as it was shown, once; what
// cannot be says what to set; one that is being stopped is waited for.
func TestS4_4RestartGolden(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	w.churns("u-gil")
	w.trains("u-hal")
	w.pass(20 * time.Minute)
	gil, hal := w.id("u-gil"), w.id("u-hal")
	w.tells("restart " + gil + " --preview")
	w.tells("stop " + gil + ` --why "wrong input"`)
	w.tells("restart " + gil)
	w.tells("restart " + gil + " --preview")
	w.s.S3.Put("bucket", "checkpoints/epoch-3.pt", w.s.Clock.Now())
	w.in = strings.NewReader("no\n")
	w.tells("restart " + gil)
	w.in = strings.NewReader("y\n")
	w.tells("restart " + gil + ` --why "the input is mended" --as u-gil`)
	w.in = nil
	w.tells("restart " + gil + " --yes")
	w.tells("stop " + hal + " --no-wait")
	w.tells("restart " + hal + " --yes --no-wait")
	w.tells("restart " + hal + " --yes")
	w.tells("restart " + hal + " --yes --as u-gil")
	w.tells("restart s-none --yes")
	w.tells("restart " + hal + " --yes --preview")
	w.tells("restart")
	w.golden("restart")
}

// --json gives what the API says of each step: the preview, the new session's
// story, and without waiting the answer to the restart.
func TestS4_4RestartJSON(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	w.churns("u-gil")
	w.pass(20 * time.Minute)
	gil := w.id("u-gil")
	step := func(line string) map[string]any {
		t.Helper()
		out, said, status := w.runs(append(fields(line), "--local="+w.url, "--json")...)
		var got map[string]any
		if err := json.Unmarshal([]byte(out), &got); err != nil || status != 0 {
			t.Fatalf("%s: %v, status %d: %s", line, err, status, said)
		}
		return got
	}
	if got := step("stop " + gil + " --no-wait"); got["id"] == "" || got["line"].(map[string]any)["status"] != "ENDING" {
		t.Errorf("stop: %v", got)
	}
	if got := step("stop " + gil); got["line"].(map[string]any)["status"] != "ENDED" {
		t.Errorf("stop, waited for: %v", got)
	}
	if got := step("restart " + gil + " --preview"); got["next"] != "" || got["attempt"] != "u-gil-churn-r2" || got["checkpoint"] != "s3://bucket/checkpoints/" {
		t.Errorf("preview: %v", got)
	}
	story := step("restart " + gil + " --yes")
	next, _ := story["session"].(map[string]any)
	if next["previous"] != gil || next["status"] != "ACTIVE" {
		t.Errorf("restart: %v", story)
	}
	id, _ := next["id"].(string)
	step("stop " + id)
	if got := step("restart " + id + " --yes --no-wait"); got["attempt"] != "u-gil-churn-r3" || got["next"] == "" {
		t.Errorf("restart of the restart: %v", got)
	}
	if got := step("restart " + gil + " --preview"); got["next"] != id {
		t.Errorf("what was started again before: %v", got)
	}
}
