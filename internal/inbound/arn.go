package inbound

import (
	"strings"

	"nightshift/internal/app"
	"nightshift/internal/workload"
)

// SessionRef is the Endpoint of a workload.Ref that names a session of ours
// instead of a run: its ID is the session's id. Only Fact events of the kinds
// stop-requested and kernel-stopped carry one; whoever asks to stop a session
// need not know which run it has, and a session may not have one yet.
const SessionRef = app.SessionRef

// notebooks is the api of endpoints of notebook executions: that of EMR's name
// has clusters too.
const notebooks = "emr-notebook"

// RefOfARN is the engine and the unique name of the run that an ARN names; ok
// is false for any other ARN. SageMaker: training jobs, processing jobs and
// pipeline executions; EMR on EKS: job runs, whose resource part begins with a
// slash; EMR: notebook executions. Account and region are the ARN's own, not those of the event that
// brought it. A job's ref is canonical: the case of its name is not the ARN's to tell.
func RefOfARN(arn string) (engine workload.Engine, ref workload.Ref, ok bool) {
	part := strings.SplitN(arn, ":", 6)
	if len(part) != 6 || part[0] != "arn" || part[1] == "" || part[3] == "" || part[4] == "" {
		return "", workload.Ref{}, false
	}
	service, region, account, resource := part[2], part[3], part[4], part[5]
	step := strings.Split(resource, "/")
	for i, s := range step {
		if s == "" && !(i == 0 && service == "emr-containers") {
			return "", workload.Ref{}, false
		}
	}
	switch {
	case service == "sagemaker" && len(step) == 2 && step[0] == "training-job":
		engine = workload.SageMakerTraining
	case service == "sagemaker" && len(step) == 2 && step[0] == "processing-job":
		engine = workload.SageMakerProcessing
	case service == "sagemaker" && len(step) == 4 && step[0] == "pipeline" && step[2] == "execution":
		engine = workload.SageMakerPipeline
	case service == "emr-containers" && len(step) == 5 && step[0] == "" && step[1] == "virtualclusters" && step[3] == "jobruns":
		engine, resource = workload.EMRContainers, step[2]+"/"+step[4]
	case service == "elasticmapreduce" && len(step) == 2 && step[0] == "notebook-execution":
		engine, service, resource = workload.EMRNotebook, notebooks, step[1]
	default:
		return "", workload.Ref{}, false
	}
	return engine, workload.Ref{Endpoint: service + "/" + account + "/" + region, ID: resource}.Canonical(), true
}

// run requires an ARN of one of the engines.
func (e *event) run(n node, engines ...workload.Engine) workload.Run {
	arn := e.text(n)
	engine, ref, ok := RefOfARN(arn)
	for _, wanted := range engines {
		if ok && engine == wanted {
			return workload.Run{Engine: engine, Endpoint: ref.Endpoint, ID: ref.ID}
		}
	}
	if e.err == nil {
		e.failf(n, "%q is not the ARN of a run of %s", arn, engines[0])
	}
	return workload.Run{}
}
