package config_test

import (
	"strings"
	"testing"

	"nightshift/internal/config"
	"nightshift/internal/workload"
)

// S8.5: on what a Livy server's cluster runs is a setting, for no API tells.
func TestS8_5Hardware(t *testing.T) {
	got, err := config.Load(with(config.Endpoints, `[{"endpoint":"livy/j-1","url":"https://h","instanceType":"m5.xlarge","instanceCount":3},{"endpoint":"livy/j-2","url":"https://h"}]`))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := got.Endpoints[0].Hardware, got.Endpoints[1].Hardware; a != (workload.Billing{InstanceType: "m5.xlarge", Instances: 3}) || b != (workload.Billing{}) {
		t.Errorf("%+v, %+v", a, b)
	}
	for wrong, words := range map[string]string{
		`{"endpoint":"livy/j-1","url":"https://h","instanceType":"m5.xlarge"}`:                           "instanceCount is 0; it must be",
		`{"endpoint":"livy/j-1","url":"https://h","instanceCount":3}`:                                    `instanceType is ""; it must be`,
		`{"endpoint":"livy/j-1","url":"https://h","instanceType":"m5","instanceCount":3}`:                `instanceType is "m5"; it must be`,
		`{"endpoint":"livy/j-1","url":"https://h","instanceType":"m5.xlarge","instanceCount":-1}`:        "instanceCount is -1; it must be",
		`{"endpoint":"sagemaker/123456789012/us-east-1","instanceType":"ml.m5.large","instanceCount":1}`: "only endpoints of livy",
	} {
		if _, err := config.Load(with(config.Endpoints, "["+wrong+"]")); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %q", wrong, err, words)
		}
	}
}
