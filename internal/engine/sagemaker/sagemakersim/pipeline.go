package sagemakersim

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"nightshift/internal/engine/simrun"
)

// Pipeline is what CreatePipeline defines.
type Pipeline struct {
	Name  string
	Steps []Step
	made  time.Time
}

// Step is one step of a pipeline.
type Step struct {
	Name  string
	Type  string        // Training, Processing, Callback or Lambda
	After []string      // the steps that must have succeeded before; none: it begins at once
	Work  time.Duration // a job's work, or a function's; 0: a job works until it is stopped, a function until its timeout
	Fail  bool          // the job or function fails after Work
	// Timeout of a Lambda step's function; 0: 10 minutes, the most that the
	// service's SDK sets by itself.
	Timeout time.Duration
	input   map[string]json.RawMessage // the job's create request
}

const (
	lambdaTimeout = 10 * time.Minute
	// tokenMemory is how long a token makes a start idempotent: an assumption, the
	// service does not say.
	tokenMemory = time.Hour
	stepsPage   = 20
)

type pipeline struct {
	Pipeline
	seq  int
	last time.Time // when its newest execution began
}

// execution is one execution. Its state is computed as time passes, by progress.
type execution struct {
	seq                   int
	id, display, describe string
	pipeline              *pipeline
	token                 string
	began, resumed        time.Time
	stops                 []time.Time // all that came
	stopped               time.Time   // the one that is being carried out; zero: none
	steps                 []*attempt  // those that began
	phase                 simrun.Phase
	ended                 time.Time // zero: not yet
	reason                string
}

// attempt is a step that began.
type attempt struct {
	Step
	execution *execution
	began     time.Time
	job       *job // Training, Processing
	token     string
	answered  time.Time // Callback: zero, not yet
	success   bool
}

// definition is what is read of a PipelineDefinition.
type definition struct {
	Steps []struct {
		Name, Type string
		DependsOn  []string
		Arguments  map[string]json.RawMessage
	}
}

func (s *Sim) createPipeline(in map[string]json.RawMessage) (any, *refusal) {
	var d definition
	if err := json.Unmarshal([]byte(text(in, "PipelineDefinition")), &d); err != nil {
		return nil, invalid("PipelineDefinition is not valid: %v", err)
	}
	p := Pipeline{Name: text(in, "PipelineName")}
	for _, step := range d.Steps {
		plan, no := wish(step.Arguments)
		if no != nil {
			return nil, no
		}
		if step.Type == "Lambda" {
			var err error
			if plan, err = simrun.Asked(text(step.Arguments, "nightshift.sim.work"), text(step.Arguments, "nightshift.sim.fail")); err != nil {
				return nil, invalid("%v", err)
			}
		}
		p.Steps = append(p.Steps, Step{Name: step.Name, Type: step.Type, After: step.DependsOn, Work: plan.Work, Fail: plan.Fail, input: step.Arguments})
	}
	if no := s.addPipeline(p); no != nil {
		return nil, no
	}
	return map[string]string{"PipelineArn": s.arn("pipeline", p.Name)}, nil
}

func (s *Sim) addPipeline(p Pipeline) *refusal {
	if !pipelineForm(p.Name) {
		return invalid("1 validation error detected: Value '%s' at 'pipelineName' failed to satisfy constraint", p.Name)
	}
	if s.pipeline(p.Name) != nil {
		return &refusal{"ConflictException", "Pipeline names must be unique within an AWS account and region: " + p.Name}
	}
	var names []string
	for _, step := range p.Steps {
		if !slices.Contains([]string{"Training", "Processing", "Callback", "Lambda"}, step.Type) {
			return invalid("the simulator knows no steps of type %s", step.Type)
		}
		for _, before := range step.After {
			if !slices.Contains(names, before) {
				return invalid("step %s depends on %s, which is not before it", step.Name, before)
			}
		}
		names = append(names, step.Name)
	}
	if len(names) == 0 {
		return invalid("a pipeline has at least one step")
	}
	p.made = s.clock.Now()
	s.pipelines = append(s.pipelines, &pipeline{Pipeline: p, seq: len(s.pipelines) + 1})
	return nil
}

func pipelineForm(name string) bool { return nameForm.MatchString(name) }

// pipeline finds one by its name or ARN.
func (s *Sim) pipeline(name string) *pipeline {
	for _, p := range s.pipelines {
		if strings.EqualFold(p.Name, name) || s.arn("pipeline", p.Name) == name {
			return p
		}
	}
	return nil
}

// progress lets time pass for every execution that is not over.
func (s *Sim) progress() {
	now := s.clock.Now()
	for _, x := range s.executions {
		if !x.ended.IsZero() {
			continue
		}
		for step, at := x.next(now); step != nil; step, at = x.next(now) {
			s.begin(x, *step, at)
		}
		x.settle(now)
	}
}

// next is the step that begins next, at or before now; nil where none does. No
// step begins once another failed or the execution was asked to stop.
func (x *execution) next(now time.Time) (next *Step, at time.Time) {
	barrier := x.failed(now)
	if !x.stopped.IsZero() && (barrier.IsZero() || x.stopped.Before(barrier)) {
		barrier = x.stopped
	}
	for i, step := range x.pipeline.Steps {
		if x.attempt(step.Name) != nil {
			continue
		}
		ready := x.resumed
		for _, name := range step.After {
			if before := x.attempt(name); before == nil {
				ready = time.Time{}
			} else if status, ended := before.at(now); status != "Succeeded" {
				ready = time.Time{}
			} else if !ready.IsZero() && ended.After(ready) {
				ready = ended
			}
		}
		if ready.IsZero() || ready.After(now) || !barrier.IsZero() && !ready.Before(barrier) {
			continue
		}
		if next == nil || ready.Before(at) {
			next, at = &x.pipeline.Steps[i], ready
		}
	}
	return next, at
}

func (x *execution) attempt(name string) *attempt {
	for _, a := range x.steps {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// failed is when the first step failed; zero: none did.
func (x *execution) failed(now time.Time) (at time.Time) {
	for _, a := range x.steps {
		if status, ended := a.at(now); status == "Failed" && (at.IsZero() || ended.Before(at)) {
			at, x.reason = ended, "Step failure: One or multiple steps failed: "+a.Name
		}
	}
	return at
}

// at is a step's status, and when it ended; zero while it has not.
func (a *attempt) at(now time.Time) (status string, ended time.Time) {
	running := "Executing"
	if !a.execution.stopped.IsZero() {
		running = "Stopping"
	}
	switch a.Type {
	case "Callback":
		switch {
		case a.answered.IsZero():
			return running, time.Time{}
		case a.success:
			return "Succeeded", a.answered
		}
		return "Failed", a.answered
	case "Lambda":
		timeout := cmp.Or(a.Timeout, lambdaTimeout)
		end, status := a.began.Add(timeout), "Failed"
		if a.Work > 0 && a.Work <= timeout {
			if end = a.began.Add(a.Work); !a.Fail {
				status = "Succeeded"
			}
		}
		if now.Before(end) {
			return running, time.Time{}
		}
		return status, end
	}
	switch m := a.job.life.At(now); {
	case m.Phase == simrun.Succeeded:
		return "Succeeded", m.Ended
	case m.Phase == simrun.Stopped && !a.execution.stopped.IsZero():
		return "Stopped", m.Ended
	case m.Phase.Over():
		return "Failed", m.Ended // also where somebody else stopped the job
	}
	return running, time.Time{}
}

// settle ends an execution: by a stop when its last step has ended, Failed only
// where a function timed out or failed; else by the first step that fails, whose
// neighbours then run on (the service does not say what becomes of them; this is
// the worse of what may); else when all have succeeded.
func (x *execution) settle(now time.Time) {
	x.phase = simrun.Running
	last, done := x.resumed, 0
	lambda := false
	for _, a := range x.steps {
		if status, ended := a.at(now); !ended.IsZero() {
			done++
			lambda = lambda || a.Type == "Lambda" && status == "Failed"
			if ended.After(last) {
				last = ended
			}
		}
	}
	failed := x.failed(now)
	switch {
	case !x.stopped.IsZero():
		if x.phase = simrun.Stopping; done < len(x.steps) {
			return
		}
		x.phase, x.ended = simrun.Stopped, last
		if last.Before(x.stopped) {
			x.ended = x.stopped
		}
		if lambda {
			x.phase = simrun.Failed
		}
	case !failed.IsZero():
		x.phase, x.ended = simrun.Failed, failed
	case done == len(x.pipeline.Steps):
		x.phase, x.ended = simrun.Succeeded, last
	}
}

// begin begins a step, which may create a job.
func (s *Sim) begin(x *execution, step Step, at time.Time) {
	a := &attempt{Step: step, execution: x, began: at, token: short(x.id, step.Name, at.String())}
	x.steps = append(x.steps, a)
	k := training
	switch step.Type {
	case "Callback", "Lambda":
		return
	case "Processing":
		k = processing
	}
	name := "pipelines-" + x.id + "-" + step.Name
	a.job = &job{kind: k, name: strings.Trim(name[:min(len(name), 52)], "-") + "-" + a.token[:10], input: step.input}
	_ = json.Unmarshal(step.input["Tags"], &a.job.tags) // none where there are none
	a.job.tags = append(a.job.tags, tag{"sagemaker:pipeline-execution-arn", s.executionARN(x)}, tag{"sagemaker:pipeline-step-name", step.Name})
	most, no := limit(k, step.input)
	if no != nil {
		most = runtimeDefault
	}
	plan := s.For(Habit, simrun.Plan{Work: step.Work, Fail: step.Fail}, a.job.name, step.Name, x.session())
	a.job.life = simrun.Life{Created: at, Limit: most, Plan: plan}
	s.add(a.job)
}

func (s *Sim) executionARN(x *execution) string {
	return s.arn("pipeline", x.pipeline.Name) + "/execution/" + x.id
}

// session is the session id in the display name, if it is one that a session
// gave.
func (x *execution) session() string {
	id, _ := strings.CutPrefix(x.display, "ns-")
	if id == x.display {
		return ""
	}
	return id
}

func (x *execution) record() simrun.Record {
	r := simrun.Record{
		ID: "pipeline/" + strings.ToLower(x.pipeline.Name) + "/execution/" + x.id, Name: x.display, Session: x.session(),
		Created: x.began, Started: x.began, Stops: slices.Clone(x.stops), Ended: x.ended, Phase: x.phase,
	}
	if x.phase.Over() {
		if r.By = simrun.Itself; !x.stopped.IsZero() {
			r.By = simrun.StopRequest
		}
	}
	return r
}

// short is a name made of what it is of.
func short(of ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(of, "\x00")))
	return hex.EncodeToString(sum[:])[:12]
}

func (s *Sim) start(in map[string]json.RawMessage) (any, *refusal) {
	p := s.pipeline(text(in, "PipelineName"))
	if p == nil {
		return nil, &refusal{"ResourceNotFound", "Pipeline '" + text(in, "PipelineName") + "' does not exist."}
	}
	token, display := text(in, "ClientRequestToken"), text(in, "PipelineExecutionDisplayName")
	if len(token) < 32 || len(token) > 128 {
		return nil, invalid("ClientRequestToken must have 32 to 128 characters")
	}
	if display != "" && (!displayForm.MatchString(display)) {
		return nil, invalid("1 validation error detected: Value '%s' at 'pipelineExecutionDisplayName' failed to satisfy constraint", display)
	}
	now := s.clock.Now()
	if x := s.tokens[token]; x != nil && now.Sub(x.began) < tokenMemory {
		return map[string]string{"PipelineExecutionArn": s.executionARN(x)}, nil
	}
	x := &execution{
		seq: len(s.executions) + 1, id: short(p.Name, strconv.Itoa(len(s.executions))), display: display,
		describe: text(in, "PipelineExecutionDescription"), pipeline: p, token: token, began: now, resumed: now, phase: simrun.Running,
	}
	s.executions, s.tokens[token], p.last = append(s.executions, x), x, now
	s.progress()
	return map[string]string{"PipelineExecutionArn": s.executionARN(x)}, nil
}
