package sagemaker

import (
	"testing"

	"nightshift/internal/app"
)

// FuzzSpec: no spec makes the readers of the three kinds of runs panic, and none
// is accepted as nothing.
func FuzzSpec(f *testing.F) {
	f.Add([]byte(`{"PipelineName":"Churn","PipelineParameters":[{"Name":"a","Value":"b"}]}`))
	f.Add([]byte(`{"RoleArn":"arn:aws:iam::123456789012:role/r","ResourceConfig":{"InstanceCount":1},"StoppingCondition":{"MaxRuntimeInSeconds":60}}`))
	f.Add(processingSpec(""))
	f.Add([]byte(`{"StoppingCondition":{"MaxRuntimeInSeconds":-1e30}} x`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s := app.Start{SessionID: "s-1", User: "u-ana", Spec: body}
		if in, err := decodePipeline(s); err == nil && in == nil {
			t.Errorf("accepted as nothing: %s", body)
		}
		if in, err := decodeProcessing(s); err == nil && in == nil {
			t.Errorf("accepted as nothing: %s", body)
		}
		if in, err := decodeTraining(s); err == nil && in == nil {
			t.Errorf("accepted as nothing: %s", body)
		}
	})
}
