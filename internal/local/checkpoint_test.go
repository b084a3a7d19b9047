package local_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/local"
	"nightshift/internal/session"
	"nightshift/statemachines"
)

// S4.4: when a stopped run has been seen over, after the engine's grace, its user
// is told of what it has saved since they were told of the stop.
func TestS4_4CheckpointsAtAStop(t *testing.T) {
	const input = `{"user":"u-ana","engine":"sagemaker-training","endpoint":"sagemaker/123456789012/us-east-1","spec":{
		"AlgorithmSpecification":{"TrainingImage":"churn:1","TrainingInputMode":"File"},"RoleArn":"arn:aws:iam::123456789012:role/training",
		"OutputDataConfig":{"S3OutputPath":"s3://bucket/out"},"ResourceConfig":{"InstanceType":"ml.g5.xlarge","InstanceCount":1,"VolumeSizeInGB":50}CHECKPOINT}}`
	const config = `,"CheckpointConfig":{"S3Uri":"s3://churn/checkpoints/"}`
	for _, c := range []struct {
		name, config string
		before       bool // a checkpoint from before the stop
		grace        bool // one is written in the engine's grace
		refuse       string
		finish       bool
		says         string // of the notice; "": none
	}{
		{name: "one written in the grace", config: config, before: true, grace: true, says: "s3://churn/checkpoints/epoch-2.pt, written at 2026-11-20 18:0"},
		{name: "only an old one", config: config, before: true},
		{name: "none", config: config},
		{name: "no location is known", grace: true},
		{name: "S3 refuses", config: config, before: true, grace: true, refuse: "AccessDenied", says: "is not known: s3: list checkpoints"},
		{name: "S3 is down for a while", config: config, grace: true, refuse: "InternalError", says: "s3://churn/checkpoints/epoch-2.pt"},
		{name: "the run finished", config: config, grace: true, finish: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := awsOpen(t, local.Options{})
			var told []string
			var at []time.Time
			u.s.OnAnnounced(func(a local.Announced) {
				var d struct{ Notice, Text string }
				if err := json.Unmarshal(a.Detail, &d); err != nil {
					t.Error(err)
				}
				if d.Notice == app.NoticeCheckpoint {
					told, at = append(told, d.Text), append(at, a.At)
				}
			})
			u.s.S3.Put("churn", "another/1.pt", u.s.Clock.Now().Add(time.Hour))
			body := strings.Replace(input, "CHECKPOINT", c.config, 1)
			if c.finish {
				body = strings.Replace(body, `"AlgorithmSpecification"`, `"HyperParameters":{"nightshift.sim.work":"4m"},"AlgorithmSpecification"`, 1)
			}
			e := u.execute(statemachines.Run, "churn", body)
			u.pass(5 * time.Minute)
			if c.before {
				u.s.S3.Put("churn", "checkpoints/epoch-1.pt", u.s.Clock.Now())
			}
			u.pass(time.Minute)
			id := app.SessionOfExecution(e.ARN())
			if !c.finish {
				if err := u.s.Abort(e.ARN()); err != nil {
					t.Fatal(err)
				}
			}
			u.pass(20 * time.Second)
			if s := u.session(e); !c.finish && s.Status != session.Ending {
				t.Fatalf("it is %s: the grace is over before anything was saved in it", s.Status)
			}
			if c.grace {
				u.s.S3.Put("churn", "checkpoints/epoch-2.pt", u.s.Clock.Now())
			}
			u.s.S3.Refuse("churn", c.refuse)
			u.pass(10 * time.Minute)
			if c.refuse == "InternalError" {
				u.s.S3.Refuse("churn", "")
				u.pass(5 * time.Minute)
			}
			s := u.session(e)
			if s.Status != session.Ended {
				t.Fatalf("it is %s", s.Status)
			}
			if c.says == "" {
				if len(told) != 0 {
					t.Errorf("S4.4 told %q", told)
				}
				return
			}
			if len(told) != 1 || !strings.Contains(told[0], c.says) || at[0].Before(s.End.Confirmed) || s.ID != id {
				t.Errorf("S4.4 told %q at %v, want %s, after %s", told, at, c.says, s.End.Confirmed)
			}
		})
	}
}
