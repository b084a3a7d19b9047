package inbound

import (
	"cmp"
	"strings"

	"nightshift/internal/app"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Tags that are read off a run. The first two are ours; the third is put on
// every job that starts in SageMaker Studio, by SageMaker. A state change's user is
// for people only: whose a run is, the listing says, by the tag that the endpoint's
// settings name.
const (
	tagSession = "nightshift:session"
	tagUser    = "nightshift:user"
	tagDomain  = "sagemaker:domain-arn"
)

// birth is a run that somebody started; named reads which.
func birth(named func(e *event) workload.Run) rule {
	return func(e *event) app.Message {
		p := e.parameters()
		run := named(e)
		if run.Engine == workload.SageMakerTraining || run.Engine == workload.SageMakerProcessing {
			// Its own name stands in the request only; the response has the ARN.
			run.Name = cmp.Or(p.at("trainingJobName").loose(), p.at("processingJobName").loose())
		}
		run.MaxRuntime = p.at("stoppingCondition").at("maxRuntimeInSeconds").seconds()
		run.Domain = domainOf(tag(p.at("tags"), tagDomain))
		return app.Birth{
			EventID: e.eventID(),
			User:    e.onBehalfOf(),
			Store:   e.storeOfUser(),
			Run:     run,
			Stamp:   tag(p.at("tags"), tagSession),
			At:      e.past(e.eventTime()),
			By:      e.actor(),
		}
	}
}

// arnOf is a run whose ARN is a field of the response.
func arnOf(field string, engine workload.Engine) func(e *event) workload.Run {
	return func(e *event) workload.Run {
		return e.run(e.detail.at("responseElements").at(field), engine)
	}
}

// notebookExecution is a run of EMR Notebooks, whose response has its id and no
// ARN: account and region are the event's own.
func notebookExecution(e *event) workload.Run {
	id := e.id(e.detail.at("responseElements").at("notebookExecutionId"), "notebook execution")
	return workload.Run{
		Engine:   workload.EMRNotebook,
		Endpoint: notebooks + "/" + e.text(e.root.at("account")) + "/" + e.text(e.root.at("region")),
		ID:       id,
		Cluster:  e.parameters().at("executionEngine").at("id").loose(),
	}
}

// unsupported is a long-running job that Nightshift does not stop (S3.3).
func unsupported(what string) rule {
	return func(*event) app.Message {
		return ignored("%s are not watched; they are shown as unsupported", what)
	}
}

// domainUpdated is a change of a SageMaker domain; only switching identity
// propagation off is a fact for running sessions (S1.8).
func domainUpdated(e *event) app.Message {
	p := e.parameters()
	domain := e.id(p.at("domainId"), "domain")
	status := p.in("domainSettingsForUpdate", "trustedIdentityPropagationSettings", "status")
	f := e.fact(session.IdentityPropagationOff, e.eventID(), "", e.actor(), e.eventTime())
	f.Domain = domain
	if status.value == nil && status.fault == nil {
		return ignored("UpdateDomain that leaves identity propagation as it is")
	}
	if e.oneOf(status, "ENABLED", "DISABLED") == "ENABLED" {
		return ignored("identity propagation switched on: running sessions stay as they are")
	}
	return app.Fact{Event: f}
}

// tag is the value of a tag, whether tags came as an object or as a list of
// key and value; "" where it is not there.
func tag(tags node, key string) string {
	if fields, ok := tags.value.(map[string]any); ok {
		s, _ := fields[key].(string)
		return s
	}
	for _, item := range tags.items() {
		if item.at("key").loose() == key {
			return item.at("value").loose()
		}
	}
	return ""
}

// domainOf is the domain's id in its ARN.
func domainOf(arn string) string {
	_, id, _ := strings.Cut(arn, ":domain/")
	return id
}
