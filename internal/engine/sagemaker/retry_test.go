package sagemaker

import (
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/engine/enginetest"
	"nightshift/internal/engine/sagemaker/sagemakersim"
	"nightshift/internal/engine/simrun"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

// S4.4: an execution that is over goes on as the same run; asking again starts
// nothing twice, and one that has succeeded has nothing to retry.
func TestS4_4Retry(t *testing.T) {
	c := enginetest.Clock(t)
	e, sim := open(t, c, sagemakersim.Config{Pipelines: pipelines})
	sim.Plan("s-1", simrun.Plan{Work: time.Minute, Fail: true})
	run := startIt(t, e, "Nightly", "s-1")
	again := app.Start{SessionID: "s-2", User: "u-ana", Run: workload.Run{Engine: workload.SageMakerPipeline, Endpoint: e.endpoint}}
	_ = c.Sleep(t.Context(), time.Hour)
	shows(t, e, run, workload.Failed)
	sim.Plan("s-1", simrun.Plan{Work: 10 * time.Minute})
	before := len(sim.Runs())
	for range 2 {
		if got, err := e.Retry(t.Context(), again, run); err != nil || got.ID != run.ID {
			t.Fatalf("%+v %v", got, err)
		}
		_ = c.Sleep(t.Context(), time.Minute)
	}
	shows(t, e, run, workload.Running)
	if began := len(sim.Runs()) - before; began != 1 {
		t.Errorf("%d jobs began, want the one that had failed", began)
	}
	_ = c.Sleep(t.Context(), 48*time.Hour)
	shows(t, e, run, workload.Succeeded)
	for _, of := range []workload.Run{run, {Endpoint: e.endpoint, ID: "pipeline/None/execution/none"}, {Endpoint: e.endpoint, ID: "training-job/x"}} {
		if _, err := e.Retry(t.Context(), again, of); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", of.ID, err)
		}
	}
}
