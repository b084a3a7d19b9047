package emrcontainers

import (
	"math"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/emrcontainers/types"

	"nightshift/internal/workload"
)

// billing is what a job run is billed by: the vCPUs and the memory that its pods
// request, where its parameters state all of that, and its tags.
func billing(d *types.JobDriver, tags map[string]string) (b workload.Billing) {
	for k, v := range tags {
		b.Tagged(k, v)
	}
	parameters, python := "", false
	switch {
	case d == nil:
	case d.SparkSubmitJobDriver != nil:
		parameters = aws.ToString(d.SparkSubmitJobDriver.SparkSubmitParameters)
		python = !strings.HasSuffix(aws.ToString(d.SparkSubmitJobDriver.EntryPoint), ".jar")
	case d.SparkSqlJobDriver != nil:
		parameters = aws.ToString(d.SparkSqlJobDriver.SparkSqlParameters)
	}
	b.VCPUs, b.MemoryGB = requested(settings(parameters), python)
	return b
}

// settings reads the --conf of a Spark command line, with quotes or without.
func settings(parameters string) map[string]string {
	all := map[string]string{}
	words := strings.Fields(parameters)
	short := map[string]string{
		"--driver-cores": "spark.driver.cores", "--driver-memory": "spark.driver.memory", "--num-executors": "spark.executor.instances",
		"--executor-cores": "spark.executor.cores", "--executor-memory": "spark.executor.memory",
	}
	for i := 0; i+1 < len(words); i++ {
		value := strings.Trim(words[i+1], `"'`)
		if words[i] == "--conf" || words[i] == "-c" {
			if k, v, ok := strings.Cut(value, "="); ok {
				all[k] = v
			}
		} else if k, ok := short[words[i]]; ok {
			all[k] = value
		}
	}
	return all
}

// What Spark adds to the memory of a pod where nothing else is set (Spark's
// documentation, spark.kubernetes.memoryOverheadFactor).
const (
	overheadMin     = 384.0 / 1024 // GiB
	overheadJVM     = 0.10
	overheadNotJVM  = 0.40
	overheadSetting = "spark.kubernetes.memoryOverheadFactor"
)

// requested adds up what driver and executors request; 0 and 0 where the settings
// leave a part of it open: to the cluster's defaults, or to how many executors
// dynamic allocation makes.
func requested(set map[string]string, python bool) (vcpus, memoryGB float64) {
	if set["spark.dynamicAllocation.enabled"] == "true" {
		return 0, 0
	}
	factor := overheadJVM
	if python {
		factor = overheadNotJVM
	}
	if f, given := set[overheadSetting]; given {
		var err error
		if factor, err = strconv.ParseFloat(f, 64); err != nil || !(factor >= 0 && factor < 10) {
			return 0, 0
		}
	}
	executors, err := strconv.Atoi(set["spark.executor.instances"])
	if err != nil || executors < 1 {
		return 0, 0
	}
	for role, pods := range map[string]float64{"driver": 1, "executor": float64(executors)} {
		cores, err := strconv.ParseFloat(set["spark."+role+".cores"], 64)
		memory, ok := gibibytes(set["spark."+role+".memory"])
		if err != nil || !(cores > 0 && cores < 1e4) || !ok {
			return 0, 0
		}
		extra := max(overheadMin, factor*memory)
		if given := set["spark."+role+".memoryOverhead"]; given != "" {
			if extra, ok = gibibytes(given); !ok {
				return 0, 0
			}
		}
		vcpus += pods * cores
		memoryGB += pods * (memory + extra)
	}
	return vcpus, math.Round(memoryGB*1000) / 1000
}

// gibibytes reads Spark's sizes: "4g", "4096m", "4096" (MiB), "1t".
func gibibytes(size string) (float64, bool) {
	size = strings.TrimSuffix(strings.ToLower(size), "b")
	per := 1.0 / 1024
	for unit, gib := range map[string]float64{"k": 1.0 / (1 << 20), "m": 1.0 / 1024, "g": 1, "t": 1024} {
		if n, ok := strings.CutSuffix(size, unit); ok {
			size, per = n, gib
			break
		}
	}
	n, err := strconv.ParseFloat(size, 64)
	return n * per, err == nil && n > 0 && n < 1e9
}
