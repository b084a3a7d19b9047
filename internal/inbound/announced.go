package inbound

import (
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/workload"
)

// announcement names an event that a service (or a portal of ours) put on the
// bus itself.
type announcement struct{ source, detailType string }

// announcements are the events that are acted on besides recorded calls.
var announcements = map[announcement]entry{
	{"aws.sagemaker", "SageMaker Training Job State Change"}:                            {"sagemaker-training-job-state-change", trainingChanged},
	{"aws.sagemaker", "SageMaker Processing Job State Change"}:                          {"sagemaker-processing-job-state-change", processingChanged},
	{"aws.sagemaker", "SageMaker Model Building Pipeline Execution Status Change"}:      {"sagemaker-pipeline-execution-status-change", pipelineChanged},
	{"aws.sagemaker", "SageMaker Model Building Pipeline Execution Step Status Change"}: {"sagemaker-pipeline-step-status-change", stepChanged},
	{"aws.emr-containers", "EMR Job Run State Change"}:                                  {"emr-containers-job-run-state-change", jobRunChanged},
	{"aws.emr-containers", "EmrContainers Job Run State Change"}:                        {"emr-containers-job-run-state-change", jobRunChanged},
	{"aws.emr", "EMR Cluster State Change"}:                                             {"emr-cluster-state-change", clusterChanged},
	{"aws.states", "Step Functions Execution Status Change"}:                            {"states-execution-status-change", executionChanged},
	{ownSource, "Nightshift Signed Out"}:                                                {"nightshift-signed-out", signedOut},
	{ownSource, "Nightshift Revoked"}:                                                   {"nightshift-revoked", revoked},
	{ownSource, "Nightshift User Disabled"}:                                             {"nightshift-user-disabled", userDisabled},
	{ownSource, "Nightshift User Enabled"}:                                              {"nightshift-user-enabled", userEnabled},
	{ownSource, "Nightshift User Deleted"}:                                              {"nightshift-user-deleted", userDeleted},
	{ownSource, "Nightshift Access Removed"}:                                            {"nightshift-access-removed", accessRemoved},
	{ownSource, "Nightshift Stop Requested"}:                                            {"nightshift-stop-requested", stopRequested},
	{ownSource, "Nightshift Notebook Closed"}:                                           {"nightshift-notebook-closed", notebookClosed},
	{ownSource, "Nightshift Kernel Stopped"}:                                            {"nightshift-kernel-stopped", kernelStopped},
}

// The engines' words for states. The same words in listings are the engine
// adapters' to know; these are the spellings of events. An event with another word
// is refused and so kept: it ends nothing, and the next listing tells.
var (
	jobStates = map[string]workload.State{
		"InProgress": workload.Running, "Stopping": workload.Stopping, "Deleting": workload.Stopping,
		"Completed": workload.Succeeded, "Stopped": workload.Stopped, "Failed": workload.Failed,
	}
	pipelineStates = map[string]workload.State{
		"Executing": workload.Running, "Stopping": workload.Stopping,
		"Succeeded": workload.Succeeded, "Stopped": workload.Stopped, "Failed": workload.Failed,
		"CompletedWithFailures": workload.Succeeded, // every failed step was handled as the pipeline says
	}
	jobRunStates = map[string]workload.State{
		"PENDING": workload.Pending, "SUBMITTED": workload.Pending, "RUNNING": workload.Running, "CANCEL_PENDING": workload.Stopping,
		"COMPLETED": workload.Succeeded, "CANCELLED": workload.Stopped, "FAILED": workload.Failed,
	}
	clusterOver = map[string]bool{
		"STARTING": false, "BOOTSTRAPPING": false, "RUNNING": false, "WAITING": false, "TERMINATING": false,
		"TERMINATED": true, "TERMINATED_WITH_ERRORS": true,
	}
	executionBad = map[string]bool{
		"RUNNING": false, "SUCCEEDED": false, "PENDING_REDRIVE": false,
		"ABORTED": true, "TIMED_OUT": true, "FAILED": true,
	}
)

// preparing begins SageMaker's secondary statuses of a training job in progress
// that does not train yet.
var preparing = []string{"Starting", "Pending", "Launching", "Preparing", "Downloading"}

func trainingChanged(e *event) app.Message {
	d := e.detail
	m := e.jobChange("TrainingJob", workload.SageMakerTraining, "TrainingStartTime")
	o := &m.Observation
	secondary := d.at("SecondaryStatus").loose()
	if o.State == workload.Running {
		// Without a secondary status only the start time tells whether it trains.
		waits := secondary == "" && o.RunningSince.IsZero()
		for _, p := range preparing {
			waits = waits || strings.HasPrefix(secondary, p)
		}
		if waits {
			o.State, o.RunningSince = workload.Pending, time.Time{}
		}
	}
	if o.Detail == "" {
		o.Detail = secondary
	}
	return m
}

func processingChanged(e *event) app.Message {
	return e.jobChange("ProcessingJob", workload.SageMakerProcessing, "ProcessingStartTime")
}

// jobChange reads what training and processing jobs have in common; prefix
// begins the names of the job's own fields.
func (e *event) jobChange(prefix string, engine workload.Engine, started string) app.RunChange {
	d := e.detail
	run := e.run(d.at(prefix+"Arn"), engine)
	run.Name = d.at(prefix + "Name").loose()
	run.MaxRuntime = d.at("StoppingCondition").at("MaxRuntimeInSeconds").seconds()
	run.Domain = domainOf(tag(d.at("Tags"), tagDomain))
	return app.RunChange{EventID: e.text(e.root.at("id")), Observation: workload.Observation{
		Run:          run,
		Name:         run.Name,
		State:        mapped(e, d.at(prefix+"Status"), jobStates),
		At:           e.changedAt(d.at("LastModifiedTime")),
		CreatedAt:    e.optionalMoment(d.at("CreationTime")),
		RunningSince: e.optionalMoment(d.at(started)),
		Stamp:        tag(d.at("Tags"), tagSession),
		User:         tag(d.at("Tags"), tagUser),
		Detail:       d.at("FailureReason").loose(),
	}}
}

// changedAt is the engine's own time of the change, else the envelope's.
func (e *event) changedAt(own node) time.Time {
	if own.value != nil {
		return e.past(e.moment(own))
	}
	return e.past(e.moment(e.root.at("time")))
}

func pipelineChanged(e *event) app.Message {
	d := e.detail
	state := mapped(e, d.at("currentPipelineExecutionStatus"), pipelineStates)
	end := node{}
	if state.Over() {
		end = d.at("executionEndTime")
	}
	started := e.optionalMoment(d.at("executionStartTime"))
	return app.RunChange{EventID: e.text(e.root.at("id")), Observation: workload.Observation{
		Run:          e.run(d.at("pipelineExecutionArn"), workload.SageMakerPipeline),
		Name:         d.at("pipelineExecutionDisplayName").loose(),
		State:        state,
		At:           e.changedAt(end),
		CreatedAt:    started,
		RunningSince: started,
		Detail:       d.at("failureReason").loose(),
	}}
}

// stepChanged is a step of a pipeline. A step that starts proves that its
// execution is executing; one that ends says nothing of the execution.
func stepChanged(e *event) app.Message {
	d := e.detail
	run := e.run(d.at("pipelineExecutionArn"), workload.SageMakerPipeline)
	status := e.oneOf(d.at("currentStepStatus"), "Starting", "Executing", "Succeeded", "Failed", "Stopping", "Stopped")
	at, id := e.changedAt(node{}), e.text(e.root.at("id"))
	if status != "Starting" && status != "Executing" {
		return ignored("a step that is %s says nothing of its pipeline's execution; the listing tells", status)
	}
	detail := "step " + d.at("stepName").loose() + " (" + d.at("stepType").loose() + "): " + status
	return app.RunChange{EventID: id, Observation: workload.Observation{Run: run, State: workload.Running, At: at, Detail: detail}, Part: partOf(d.at("metadata"))}
}

// partOf is the job that a step runs; zero where the step runs none of ours.
// The metadata has one member, named after the kind of step.
func partOf(metadata node) workload.Ref {
	kinds, _ := metadata.value.(map[string]any)
	for kind := range kinds {
		step := metadata.at(kind)
		for _, arn := range []string{step.at("arn").loose(), step.at("checkJobArn").loose()} {
			if engine, ref, ok := RefOfARN(arn); ok && (engine == workload.SageMakerTraining || engine == workload.SageMakerProcessing) {
				return ref
			}
		}
	}
	return workload.Ref{}
}

// jobRunChanged is a job run of EMR on EKS. AWS publishes no sample: id,
// virtual cluster and state are relied on, all else may be rubbish. The event
// says no own time, so the envelope's counts.
func jobRunChanged(e *event) app.Message {
	d := e.detail
	id, cluster := e.text(d.at("id")), e.text(d.at("virtualClusterId"))
	_, ref, ok := RefOfARN(d.at("arn").loose())
	if !ok || ref.ID != cluster+"/"+id {
		ref = workload.Ref{
			Endpoint: "emr-containers/" + e.text(e.root.at("account")) + "/" + e.text(e.root.at("region")),
			ID:       cluster + "/" + id,
		}
	}
	created, _ := parseMoment(d.at("createdAt").digits())
	return app.RunChange{EventID: e.text(e.root.at("id")), Observation: workload.Observation{
		Run:       workload.Run{Engine: workload.EMRContainers, Endpoint: ref.Endpoint, ID: ref.ID},
		Name:      d.at("name").loose(),
		State:     mapped(e, d.at("state"), jobRunStates),
		At:        e.changedAt(node{}),
		CreatedAt: created,
		Stamp:     tag(d.at("tags"), tagSession),
		User:      tag(d.at("tags"), tagUser),
		Detail:    joined(d.at("failureReason").loose(), d.at("stateDetails").loose()),
	}}
}

func clusterChanged(e *event) app.Message {
	d := e.detail
	return app.ClusterChange{
		EventID:    e.text(e.root.at("id")),
		Cluster:    e.id(d.at("clusterId"), "cluster"),
		Terminated: mapped(e, d.at("state"), clusterOver),
		At:         e.changedAt(node{}),
		Reason:     changeReason(d.at("stateChangeReason")),
	}
}

// changeReason reads EMR's reason, which is JSON inside a JSON string. It is
// for people only: whatever does not decode is given as it came.
func changeReason(n node) string {
	fields, _ := n.value.(map[string]any)
	if s, ok := n.value.(string); ok && json.Unmarshal([]byte(s), &fields) != nil {
		return s
	}
	code, _ := fields["code"].(string)
	message, _ := fields["message"].(string)
	return joined(code, message)
}

func joined(code, words string) string {
	if code != "" && words != "" {
		return code + ": " + words
	}
	return code + words
}

// followsRun are the executions that fail with the job run that they wait for
// themselves: those of submit-job-run, under any stack's name.
var followsRun = regexp.MustCompile(`:execution:([^:]+-)?submit-job-run:`)

func executionChanged(e *event) app.Message {
	d := e.detail
	execution := e.text(d.at("executionArn"))
	bad := mapped(e, d.at("status"), executionBad)
	status := d.at("status").loose()
	if e.err == nil && !strings.Contains(execution, ":execution:") {
		e.failf(d.at("executionArn"), "%q is not the ARN of an execution", execution)
	}
	m := app.ExecutionChange{EventID: e.text(e.root.at("id")), Execution: execution, Status: status, At: e.changedAt(d.at("stopDate")),
		WithRun: status == "FAILED" && followsRun.MatchString(execution)}
	if !bad {
		return ignored("an execution that is %s needs nothing done", status)
	}
	return m
}
