package vpc

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/finding"
	"nightshift/internal/network"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// The verdicts of a preflight: what the machine process-in-vpc decides by.
const (
	Passed  = "passed"
	Failed  = "failed"
	Unknown = "unknown" // something could not be read; nothing that could is wrong
)

// The errors that an execution ends with where its job is not started.
const (
	PreflightFailed  = "PreflightFailed"
	PreflightUnknown = "PreflightUnknown"
)

// causeMax is the longest cause of an execution (Step Functions API reference);
// findings that do not fit are left out and counted.
const causeMax = 32_768

// Output is what preflight answers.
type Output struct {
	Verdict  string            `json:"verdict"`
	Error    string            `json:"error"` // "" where it passed
	Cause    string            `json:"cause"` // a Refusal as JSON, at most 32 KiB; "" where it passed
	Findings []finding.Finding `json:"findings"`
	Links    Links             `json:"links"`
}

// Refusal is why a job is not started.
type Refusal struct {
	Text string            `json:"text"`     // a sentence
	Bad  []finding.Finding `json:"findings"` // every check that was not ok, worst first
	More int               `json:"more,omitempty"`
}

// Links lead to what a job says and uses, before it has said anything.
type Links struct {
	Job     string `json:"job"`     // page of the console
	Logs    string `json:"logs"`    // page of the console
	Metrics string `json:"metrics"` // page of the console

	LogGroup  string `json:"logGroup"`
	LogPrefix string `json:"logStreamPrefix"`
	Namespace string `json:"metricNamespace"` // CPU, GPU, memory, GPU memory and disk utilization, by Host
	Host      string `json:"metricHostPrefix"`
}

// Sessions is what is used of the store.
type Sessions interface {
	OfEndpoint(ctx context.Context, endpoint, cursor string) (app.Page, error)
}

// Preflight checks the network of SageMaker jobs. All fields must be set.
type Preflight struct {
	EC2      map[string]API // by endpoint, in its account and region
	Sessions Sessions
	// Reserve is app.App's: it reserves addresses for the job of a session, if decide
	// says so of what is reserved for others.
	Reserve func(ctx context.Context, endpoint, session string, instances int, decide func(held map[string]int) (bool, error)) error
	// JobName is the name that the engine gives to the job of a session; asked is
	// the request's own, or "".
	JobName func(asked, sessionID string) string
}

// kind is how a kind of job names things.
type kind struct{ page, logs string }

var kinds = map[workload.Engine]kind{
	workload.SageMakerProcessing: {page: "processing-jobs", logs: "/aws/sagemaker/ProcessingJobs"},
	workload.SageMakerTraining:   {page: "jobs", logs: "/aws/sagemaker/TrainingJobs"},
}

// Check reads and judges what the job of an execution needs of its network
// (S6.1–S6.3). Of kind Invalid: the input names no job that can run in a VPC. A
// failed check is no error.
func (p *Preflight) Check(ctx context.Context, r app.OpenRequest, spec []byte) (Output, error) {
	const op = "check the network"
	k, ok := kinds[r.Run.Engine]
	if !ok {
		return Output{}, fault.Newf(op, fault.Invalid, "engine is %q; processing in a VPC takes sagemaker-processing and sagemaker-training", r.Run.Engine)
	}
	api, ok := p.EC2[r.Run.Endpoint]
	if !ok {
		return Output{}, fault.Newf(op, fault.Invalid, "endpoint is %q, which is not one of SageMaker's that are configured", r.Run.Endpoint)
	}
	job, err := JobOf(spec)
	if err != nil {
		return Output{}, fault.Newf(op, fault.Invalid, "spec: %w", err)
	}
	own := app.SessionOfExecution(r.Execution)
	facts, err := Read(ctx, api, job)
	if err != nil {
		return Output{}, err
	}
	var out Output
	err = p.Reserve(ctx, r.Run.Endpoint, own, job.Instances, func(held map[string]int) (bool, error) {
		planned, unsized, err := p.planned(ctx, r.Run.Endpoint, own, held)
		if err != nil {
			return false, err
		}
		facts.Planned = planned
		all := network.Preflight(job, facts)
		if unsized > 0 {
			all = append(all, finding.Finding{Check: "planned-jobs", Result: finding.Warning, Where: r.Run.Endpoint,
				What: fmt.Sprintf("%d jobs are being started whose size is not known yet; each is counted as one instance.", unsized),
				Fix:  "Where addresses are scarce, start this job once those run."})
		}
		out = judge(all)
		return out.Verdict == Passed, nil
	})
	if err != nil {
		return Output{}, err
	}
	out.Links = links(k, r.Run.Endpoint, p.JobName(job.Name, own))
	return out, nil
}

// planned sums the instances of jobs that were admitted and do not run yet, whose
// addresses EC2 may still count as free. The records do not say in which subnets a
// job runs, so every such job of the endpoint counts: that may refuse a job for a
// minute that would just have fitted, and never admits one that does not. A job
// that runs holds its addresses already; one that is ending takes none any more.
// own is the session of the execution that asks, which exists after a redrive. held
// is what was reserved by those that were admitted before: also where their
// sessions are not opened, or not listed, yet.
func (p *Preflight) planned(ctx context.Context, endpoint, own string, held map[string]int) (instances, unsized int, err error) {
	for _, n := range held {
		instances += n
	}
	cursor := ""
	for {
		page, err := p.Sessions.OfEndpoint(ctx, endpoint, cursor)
		if err != nil {
			return 0, 0, fmt.Errorf("count planned jobs: %w", err)
		}
		for _, s := range page.Sessions {
			if _, job := kinds[s.Run.Engine]; !job || s.ID == own || held[s.ID] > 0 || s.Status != session.Active || !s.RunningSince.IsZero() {
				continue
			}
			if s.Run.Billing.Instances == 0 {
				unsized++
			}
			instances += max(1, s.Run.Billing.Instances)
		}
		if cursor = page.Next; cursor == "" {
			return instances, unsized, nil
		}
	}
}

// request is what a preflight reads of CreateProcessingJob and CreateTrainingJob;
// the engine checks the rest.
type request struct {
	ProcessingJobName, TrainingJobName string
	NetworkConfig                      struct{ VpcConfig *vpcConfig }
	VpcConfig                          *vpcConfig
	ProcessingResources                struct{ ClusterConfig size }
	ResourceConfig                     struct {
		size
		InstanceGroups []size
	}
}

type vpcConfig struct{ Subnets, SecurityGroupIds []string }

type size struct{ InstanceCount int }

// JobOf reads what a job needs of its network from its request; without a VpcConfig
// it names no subnet and no group.
func JobOf(spec []byte) (network.Job, error) {
	var r request
	if err := json.Unmarshal(spec, &r); err != nil {
		return network.Job{}, err
	}
	j := network.Job{Name: r.ProcessingJobName + r.TrainingJobName, Instances: r.ProcessingResources.ClusterConfig.InstanceCount + r.ResourceConfig.InstanceCount}
	for _, g := range r.ResourceConfig.InstanceGroups {
		j.Instances += g.InstanceCount
	}
	for _, c := range []*vpcConfig{r.NetworkConfig.VpcConfig, r.VpcConfig} {
		if c != nil {
			j.Subnets, j.Groups = append(j.Subnets, c.Subnets...), append(j.Groups, c.SecurityGroupIds...)
		}
	}
	return j, nil
}

// judge makes the answer of findings. What is unknown does not pass.
func judge(all []finding.Finding) Output {
	out := Output{Verdict: Passed, Findings: all}
	switch finding.Worst(all) {
	case finding.OK, finding.Warning:
		return out
	case finding.Unknown:
		out.Verdict, out.Error = Unknown, PreflightUnknown
	case finding.Failure:
		out.Verdict, out.Error = Failed, PreflightFailed
	}
	order := finding.Results()
	bad := slices.DeleteFunc(slices.Clone(all), func(f finding.Finding) bool { return f.Result == finding.OK })
	slices.SortStableFunc(bad, func(a, b finding.Finding) int { return slices.Index(order, b.Result) - slices.Index(order, a.Result) })
	out.Cause = cause(bad)
	return out
}

func cause(bad []finding.Finding) string {
	count := map[finding.Result]int{}
	for _, f := range bad {
		count[f.Result]++
	}
	r := Refusal{Bad: bad, Text: fmt.Sprintf("The job was not started: its network failed %d checks, and %d could not be made.", count[finding.Failure], count[finding.Unknown])}
	for {
		text, err := json.Marshal(r)
		if err != nil {
			panic(err) // strings always are JSON
		}
		if len(text) <= causeMax {
			return string(text)
		}
		r.Bad, r.More = r.Bad[:len(r.Bad)-1], r.More+1
	}
}

// links are where a job's logs and metrics will be (SageMaker developer guide,
// "Monitor with Amazon CloudWatch"): a log stream and a metric's Host begin with
// the job's name and a slash. The addresses are those of AWS's public partition.
func links(k kind, endpoint, name string) Links {
	region := endpoint[strings.LastIndex(endpoint, "/")+1:]
	console := func(service, fragment string) string {
		return "https://" + region + ".console.aws.amazon.com/" + service + "/home?region=" + region + "#" + fragment
	}
	return Links{
		Job: console("sagemaker", "/"+k.page+"/"+url.PathEscape(name)),
		// The console's own quoting: %2F as $252F, ?x=y as $3Fx$3Dy.
		Logs:     console("cloudwatch", "logsV2:log-groups/log-group/"+strings.ReplaceAll(k.logs, "/", "$252F")+"$3FlogStreamNameFilter$3D"+name+"$252F"),
		Metrics:  console("cloudwatch", "metricsV2:graph=~();query=~'*7b"+strings.ReplaceAll(k.logs, "/", "*2f")+"*2cHost*7d*20"+name),
		LogGroup: k.logs, LogPrefix: name + "/", Namespace: k.logs, Host: name + "/",
	}
}
