package sagemaker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/smithy-go"

	"nightshift/internal/app"
	"nightshift/internal/engine/enginetest"
	"nightshift/internal/engine/sagemaker/sagemakersim"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

// TestS4_1AJobKnownByItsARNOnly: the ARN has the name in lower case, by which the
// simulator knows no job. An engine that has seen nothing yet (in another process)
// describes the job, never as gone, and stops it.
func TestS4_1AJobKnownByItsARNOnly(t *testing.T) {
	for _, c := range []struct {
		engine workload.Engine
		spec   []byte
		id     string
	}{
		{workload.SageMakerTraining, spec(`,"TrainingJobName":"Churn-Model-1"`), "training-job/churn-model-1"},
		{workload.SageMakerProcessing, processingSpec(`,"ProcessingJobName":"Churn-Model-1"`), "processing-job/churn-model-1"},
	} {
		cl := enginetest.Clock(t)
		e, sim := open(t, cl, sagemakersim.Config{})
		run, err := e.Start(t.Context(), app.Start{SessionID: "s-1", User: "u-tina", Run: workload.Run{Engine: c.engine, Endpoint: endpoint}, Spec: c.spec})
		if err != nil || run.ID != c.id || run.Name != "Churn-Model-1" {
			t.Fatalf("started as %+v, %v", run, err)
		}
		l, err := e.List(t.Context(), endpoint)
		if err != nil || len(l.Runs) != 1 || l.Runs[0].Run.Ref() != run.Ref() || l.Runs[0].Run.Name != run.Name {
			t.Fatalf("S2.5 the listing has %+v, %v", l.Runs, err)
		}
		byARN := workload.Run{Engine: c.engine, Endpoint: endpoint, ID: c.id}
		other := New(e.client, account, region, cl.Now)
		o, err := other.Describe(t.Context(), byARN)
		if err != nil || o.State.Over() || o.Run.Ref() != run.Ref() || o.Run.Name != run.Name || o.Stamp != "s-1" {
			t.Errorf("S4.1 %s is described as %+v, %v", c.id, o, err)
		}
		if err := New(e.client, account, region, cl.Now).Stop(t.Context(), byARN); err != nil {
			t.Error(err)
		}
		if r := sim.Runs(); len(r) != 1 || len(r[0].Stops) != 1 {
			t.Errorf("S4.1 %s was not stopped: %+v", c.id, r)
		}
		_ = cl.Sleep(t.Context(), time.Hour)
		if o, err := New(e.client, account, region, cl.Now).Describe(t.Context(), byARN); err != nil || o.State != workload.Stopped {
			t.Errorf("S4.1 an hour later %s is %s, %v; want STOPPED", c.id, o.State, err)
		}
		byARN.ID += "-never"
		if o, err := other.Describe(t.Context(), byARN); err != nil || o.State != workload.Gone {
			t.Errorf("%s, that never was, is %s, %v", byARN.ID, o.State, err)
		}
	}
}

// endless answers every list with a page and the promise of another.
type endless struct{ API }

func (endless) ListTrainingJobs(context.Context, *sdk.ListTrainingJobsInput, ...func(*sdk.Options)) (*sdk.ListTrainingJobsOutput, error) {
	return &sdk.ListTrainingJobsOutput{NextToken: aws.String("more")}, nil
}

// hidden refuses to list jobs, as in a function that may only describe.
type hidden struct{ API }

func (hidden) ListTrainingJobs(context.Context, *sdk.ListTrainingJobsInput, ...func(*sdk.Options)) (*sdk.ListTrainingJobsOutput, error) {
	return nil, &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "not authorized"}
}

// TestS2_3NotGoneWhileItsNameIsUnknown: where the jobs are too many to look
// through, nobody says that one of unknown name is gone; under its own name it is.
func TestS2_3NotGoneWhileItsNameIsUnknown(t *testing.T) {
	cl := enginetest.Clock(t)
	e, _ := open(t, cl, sagemakersim.Config{})
	e.client = endless{e.client}
	run := workload.Run{Engine: workload.SageMakerTraining, Endpoint: endpoint, ID: "training-job/churn-1"}
	if o, err := e.Describe(t.Context(), run); !fault.Is(err, fault.Unknown) {
		t.Errorf("S2.3 described as %s, %v", o.State, err)
	}
	if err := e.Stop(t.Context(), run); !fault.Is(err, fault.Unknown) {
		t.Errorf("S2.3 the stop of what may live answers %v", err)
	}
	e.client = hidden{e.client}
	if o, err := e.Describe(t.Context(), run); !errors.Is(err, errHidden) || !fault.Is(err, fault.NotFound) {
		t.Errorf("S2.3 who may not list jobs is told %s, %v", o.State, err)
	}
	if err := e.Stop(t.Context(), run); !errors.Is(err, errHidden) {
		t.Errorf("S2.3 who may not list jobs stops what may live: %v", err)
	}
	run.Name = "Churn-1"
	if o, err := e.Describe(t.Context(), run); err != nil || o.State != workload.Gone {
		t.Errorf("under its own name it is %s, %v", o.State, err)
	}
}
