package sagemaker

import (
	"testing"

	"nightshift/internal/app"
	"nightshift/internal/engine/enginetest"
	"nightshift/internal/engine/sagemaker/sagemakersim"
	"nightshift/internal/workload"
)

// TestS8_5BillingIsReadWhereItIsToldAnyway: a start knows it from its spec, a
// listing from the look-ups that it makes for tags and limits; none is made for it.
func TestS8_5BillingIsReadWhereItIsToldAnyway(t *testing.T) {
	const tags = `"Tags":[{"Key":"cost-center","Value":"4711"},{"Key":"department","Value":"ml"}]`
	const training = `{"RoleArn":"arn:aws:iam::123456789012:role/job","OutputDataConfig":{"S3OutputPath":"s3://bucket/out"},
		"AlgorithmSpecification":{"TrainingImage":"image","TrainingInputMode":"File"},` + tags
	paid := func(instance string, n int) workload.Billing {
		return workload.Billing{InstanceType: instance, Instances: n, Department: "ml", CostCenter: "4711"}
	}
	spot := paid("ml.g5.xlarge", 2)
	spot.Spot = true
	for name, c := range map[string]struct {
		engine workload.Engine
		spec   string
		want   workload.Billing
	}{
		"training": {workload.SageMakerTraining, training + `,"ResourceConfig":{"InstanceType":"ml.g5.xlarge","InstanceCount":2,"VolumeSizeInGB":10}}`, paid("ml.g5.xlarge", 2)},
		"on spot": {workload.SageMakerTraining, training + `,"EnableManagedSpotTraining":true,"ResourceConfig":{"InstanceType":"ml.g5.xlarge","InstanceCount":2,"VolumeSizeInGB":10}}`,
			spot},
		"groups of one type": {workload.SageMakerTraining, training + `,"ResourceConfig":{"VolumeSizeInGB":10,"InstanceGroups":[
			{"InstanceGroupName":"a","InstanceType":"ml.g5.xlarge","InstanceCount":2},{"InstanceGroupName":"b","InstanceType":"ml.g5.xlarge","InstanceCount":1}]}}`, paid("ml.g5.xlarge", 3)},
		"groups of several types have no one price": {workload.SageMakerTraining, training + `,"ResourceConfig":{"VolumeSizeInGB":10,"InstanceGroups":[
			{"InstanceGroupName":"a","InstanceType":"ml.g5.xlarge","InstanceCount":2},{"InstanceGroupName":"b","InstanceType":"ml.m5.large","InstanceCount":1}]}}`, paid("", 3)},
		"processing": {workload.SageMakerProcessing, `{"RoleArn":"arn:aws:iam::123456789012:role/job","AppSpecification":{"ImageUri":"image"},` + tags + `,
			"ProcessingResources":{"ClusterConfig":{"InstanceCount":4,"InstanceType":"ml.m5.large","VolumeSizeInGB":10}}}`, paid("ml.m5.large", 4)},
	} {
		t.Run(name, func(t *testing.T) {
			c2 := enginetest.Clock(t)
			e, sim := open(t, c2, sagemakersim.Config{})
			run, err := e.Start(t.Context(), app.Start{SessionID: "s-1", User: "ana", Run: workload.Run{Engine: c.engine, Endpoint: endpoint}, Spec: []byte(c.spec)})
			if err != nil || run.Billing != c.want {
				t.Fatalf("started as %+v, %v; want %+v", run.Billing, err, c.want)
			}
			o, err := e.Describe(t.Context(), run)
			if err != nil || o.Run.Billing != c.want {
				t.Errorf("described as %+v, %v; want %+v", o.Run.Billing, err, c.want)
			}
			other := New(e.client, account, region, c2.Now) // which did not start it
			for range 3 {
				l, err := other.List(t.Context(), endpoint)
				if err != nil || len(l.Runs) != 1 || l.Runs[0].Run.Billing != c.want {
					t.Errorf("listed as %+v, %v; want %+v", l.Runs, err, c.want)
				}
			}
			if n := sim.Calls(sagemakersim.OpListTags); n > 2 {
				t.Errorf("the tags of one job were asked for %d times", n)
			}
		})
	}
}
