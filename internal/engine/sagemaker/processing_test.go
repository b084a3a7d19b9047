package sagemaker

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/engine/enginetest"
	"nightshift/internal/engine/sagemaker/sagemakersim"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

var processing = workload.Run{Engine: workload.SageMakerProcessing, Endpoint: endpoint}

// processingSpec is a request, with more members as JSON (", …").
func processingSpec(more string) []byte {
	return fmt.Appendf(nil, `{"RoleArn":"arn:aws:iam::123456789012:role/job","AppSpecification":{"ImageUri":"image"},
		"ProcessingResources":{"ClusterConfig":{"InstanceCount":1,"InstanceType":"ml.m5.large","VolumeSizeInGB":10}}%s}`, more)
}

func TestProcessingEngine(t *testing.T) {
	for _, named := range []bool{false, true} {
		t.Run(fmt.Sprintf("named by the caller %v", named), func(t *testing.T) {
			suite(t, sagemakersim.Config{}, "processing-job/", enginetest.Harness{
				Template: processing,
				Spec: func(n int) []byte {
					if named {
						return processingSpec(fmt.Sprintf(`,"ProcessingJobName":"mine-%d"`, n))
					}
					return processingSpec("")
				},
				Bad: processingSpec(`,"Environment":{"epochs":3}`), BadField: "Environment",
				StartOp: sagemakersim.OpCreateProcessing, StartDelay: sagemakersim.Habit.StartDelay,
				Limits: true, LooksUp: true, Many: 120,
			})
		})
	}
}

// TestProcessingLimit: min(asked, time left), and never above 9 days (S4.5, S1.9).
func TestProcessingLimit(t *testing.T) {
	for _, c := range []struct {
		spec    string
		session time.Duration
		want    time.Duration
	}{
		{"", 0, 24 * time.Hour}, // the service's default
		{"", 5 * time.Hour, 5 * time.Hour},
		{"", 90 * 24 * time.Hour, 777_600 * time.Second},
		{`,"StoppingCondition":{"MaxRuntimeInSeconds":3600}`, 5 * time.Hour, time.Hour},
		{`,"StoppingCondition":{"MaxRuntimeInSeconds":36000}`, 5 * time.Hour, 5 * time.Hour},
		{`,"StoppingCondition":{"MaxRuntimeInSeconds":777600}`, 0, 777_600 * time.Second},
	} {
		e, _ := open(t, enginetest.Clock(t), sagemakersim.Config{})
		run, err := e.Start(t.Context(), app.Start{SessionID: "s", Run: processing, Spec: processingSpec(c.spec), MaxRuntime: c.session})
		if err != nil {
			t.Fatal(err)
		}
		if o, err := e.Describe(t.Context(), run); err != nil || o.Run.MaxRuntime != c.want {
			t.Errorf("S4.5 %q and %s: described as %s, %v; want %s", c.spec, c.session, o.Run.MaxRuntime, err, c.want)
		}
	}
}

func TestProcessingSpecsRefusedBeforeTheyAreSent(t *testing.T) {
	e, sim := open(t, enginetest.Clock(t), sagemakersim.Config{})
	for more, names := range map[string]string{
		`,"StoppingCondition":{"MaxRuntimeInSeconds":777601}`: "1 to 777600",
		`,"ProcessingJobName":"under_score"`:                  "ProcessingJobName",
		`,"ProcessingJobName":"ns-another-session"`:           "ProcessingJobName",
		`,"TrainingJobName":"x"`:                              "TrainingJobName",
	} {
		_, err := e.Start(t.Context(), app.Start{SessionID: "s", Run: processing, Spec: processingSpec(more)})
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), names) {
			t.Errorf("%s answers %v, want an invalid fault naming %s", more, err, names)
		}
	}
	if n := sim.Calls(sagemakersim.OpCreateProcessing); n != 0 {
		t.Errorf("%d of them were sent", n)
	}
}

// TestKindsShareAName: a training and a processing job of one name are two runs.
func TestKindsShareAName(t *testing.T) {
	c := enginetest.Clock(t)
	e, _ := open(t, c, sagemakersim.Config{})
	_, err := e.Start(t.Context(), app.Start{SessionID: "s-1", Run: template, Spec: spec(`,"TrainingJobName":"same"`)})
	second, errSecond := e.Start(t.Context(), app.Start{SessionID: "s-2", Run: processing, Spec: processingSpec(`,"ProcessingJobName":"same"`)})
	if err := errors.Join(err, errSecond); err != nil {
		t.Fatal(err)
	}
	_ = c.Sleep(t.Context(), time.Hour)
	if err := e.Stop(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	l, err := e.List(t.Context(), endpoint)
	if err != nil || !l.Complete || len(l.Runs) != 2 {
		t.Fatalf("the list is %+v, %v", l, err)
	}
	for _, o := range l.Runs {
		if stops := o.State == workload.Stopping; stops != (o.Stamp == "s-2") {
			t.Errorf("S2.5 after a stop of the processing job, %s of %s is %s", o.Run.ID, o.Stamp, o.State)
		}
	}
}
