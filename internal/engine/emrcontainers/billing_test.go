package emrcontainers

import (
	"math"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/emrcontainers/types"

	"nightshift/internal/app"
	"nightshift/internal/engine/enginetest"
	"nightshift/internal/workload"
)

const sized = "--class Main --conf spark.executor.instances=3 --conf spark.executor.cores=4 --conf spark.executor.memory=8g --driver-cores 2 --driver-memory 4096m"

// TestS8_5PodsAreReadFromTheParameters: what they state in full, and nothing
// that is left to a default of the cluster.
func TestS8_5PodsAreReadFromTheParameters(t *testing.T) {
	for name, c := range map[string]struct {
		entry, parameters string
		vcpus, memory     float64
	}{
		"a jar: Spark adds 10 %":            {"s3://b/job.jar", sized, 14, 4.4 + 3*8.8},
		"Python: Spark adds 40 %":           {"s3://b/job.py", sized, 14, 5.6 + 3*11.2},
		"the factor is given":               {"s3://b/job.py", sized + " --conf spark.kubernetes.memoryOverheadFactor=0.5", 14, 6 + 3*12},
		"the overhead is given":             {"s3://b/job.jar", sized + " --conf spark.executor.memoryOverhead=1g", 14, 4.4 + 3*9},
		"at least 384 MiB are added":        {"s3://b/job.jar", sized + " --conf spark.driver.memory=1g", 14, 1.375 + 3*8.8},
		"quoted":                            {"s3://b/job.jar", sized + ` --conf "spark.executor.cores=2"`, 8, 4.4 + 3*8.8},
		"no number of executors":            {"s3://b/job.jar", "--conf spark.executor.cores=4 --conf spark.executor.memory=8g --driver-cores 2 --driver-memory 4g", 0, 0},
		"dynamic allocation":                {"s3://b/job.jar", sized + " --conf spark.dynamicAllocation.enabled=true", 0, 0},
		"nothing":                           {"s3://b/job.jar", "", 0, 0},
		"a size that is none":               {"s3://b/job.jar", sized + " --conf spark.driver.memory=much", 0, 0},
		"cores that are none":               {"s3://b/job.jar", sized + " --conf spark.driver.cores=NaN", 0, 0},
		"an option without a value":         {"s3://b/job.jar", "--conf", 0, 0},
		"a factor that is none":             {"s3://b/job.jar", sized + " --conf spark.kubernetes.memoryOverheadFactor=-1", 0, 0},
		"an overhead that is none":          {"s3://b/job.jar", sized + " --conf spark.executor.memoryOverhead=x", 0, 0},
		"executors of a number that is off": {"s3://b/job.jar", sized + " --num-executors -3", 0, 0},
	} {
		b := billing(&types.JobDriver{SparkSubmitJobDriver: &types.SparkSubmitJobDriver{EntryPoint: aws.String(c.entry), SparkSubmitParameters: aws.String(c.parameters)}}, nil)
		if math.Abs(b.VCPUs-c.vcpus) > 1e-9 || math.Abs(b.MemoryGB-c.memory) > 1e-3 {
			t.Errorf("%s: %+v, want %g vCPUs and %g GB", name, b, c.vcpus, c.memory)
		}
	}
	sql := billing(&types.JobDriver{SparkSqlJobDriver: &types.SparkSqlJobDriver{SparkSqlParameters: aws.String(sized)}}, map[string]string{"cost-center": "4711", "department": "ml", "team": "red"})
	if want := (workload.Billing{VCPUs: 14, MemoryGB: 30.8, CostCenter: "4711", Department: "ml"}); sql != want {
		t.Errorf("Spark SQL: %+v, want %+v", sql, want)
	}
	if b := billing(nil, nil); b != (workload.Billing{}) {
		t.Errorf("no driver: %+v", b)
	}
}

// TestS8_5StartListAndDescribeSayTheSame, without a further call.
func TestS8_5StartListAndDescribeSayTheSame(t *testing.T) {
	c := enginetest.Clock(t)
	e, _ := open(t, c)
	run, err := e.Start(t.Context(), app.Start{SessionID: "s-1", User: "ana", Run: workload.Run{Engine: workload.EMRContainers, Endpoint: endpoint},
		Spec: []byte(`{"virtualClusterId":"vc1","executionRoleArn":"arn:aws:iam::123456789012:role/job","releaseLabel":"emr-7.11.0-latest","tags":{"cost-center":"4711"},"jobDriver":{"sparkSubmitJobDriver":{"entryPoint":"s3://b/job.jar","sparkSubmitParameters":"` + sized + `"}}}`)})
	if err != nil || run.Billing.VCPUs != 14 || run.Billing.CostCenter != "4711" {
		t.Fatalf("started as %+v, %v", run, err)
	}
	o, err := e.Describe(t.Context(), run)
	if err != nil || o.Run != run {
		t.Errorf("described as %+v, %v; want %+v", o.Run, err, run)
	}
	l, err := e.List(t.Context(), endpoint)
	if err != nil || len(l.Runs) != 1 || l.Runs[0].Run != run {
		t.Errorf("listed as %+v, %v; want %+v", l.Runs, err, run)
	}
}
