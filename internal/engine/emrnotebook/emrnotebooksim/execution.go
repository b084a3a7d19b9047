package emrnotebooksim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"nightshift/internal/engine/simrun"
)

// execution is one notebook execution.
type execution struct {
	seq  int
	id   string
	in   input
	tags []tag
	life simrun.Life
}

type tag struct{ Key, Value string }

// input is StartNotebookExecution's body; what the simulator only repeats stays
// raw.
type input struct {
	ExecutionEngine struct {
		ID                            string `json:"Id"`
		Type                          string `json:",omitempty"`
		MasterInstanceSecurityGroupID string `json:"MasterInstanceSecurityGroupId,omitempty"`
		ExecutionRoleArn              string `json:",omitempty"`
	}
	ServiceRole                     string
	EditorID                        string `json:"EditorId"`
	RelativePath                    string
	NotebookExecutionName           string
	NotebookParams                  string
	NotebookInstanceSecurityGroupID string `json:"NotebookInstanceSecurityGroupId"`
	NotebookS3Location              json.RawMessage
	OutputNotebookS3Location        json.RawMessage
	OutputNotebookFormat            string
	EnvironmentVariables            map[string]string
	Tags                            []tag
}

func (x *execution) tag(key string) string {
	for _, t := range x.tags {
		if t.Key == key {
			return t.Value
		}
	}
	return ""
}

func (s *Sim) start(body []byte, now time.Time) (any, *refusal) {
	var in input
	if no := read(body, &in); no != nil {
		return nil, no
	}
	if no := s.check(in); no != nil {
		return nil, no
	}
	asked, err := wish(in)
	if err != nil {
		return nil, invalid("%v", err)
	}
	seq := len(s.executions) + 1
	x := &execution{seq: seq, id: fmt.Sprintf("ex-%010d%016d", s.config.Series, seq), in: in, tags: slices.Clone(in.Tags)}
	if s.config.Creator != "" && x.tag("creatorUserId") == "" {
		x.tags = append(x.tags, tag{"creatorUserId", s.config.Creator})
	}
	x.life = simrun.Life{Created: now, Plan: s.For(Habit, asked, in.NotebookExecutionName, x.tag("nightshift:session"))}
	s.executions = append(s.executions, x)
	return map[string]string{"NotebookExecutionId": x.id}, nil
}

func (s *Sim) check(in input) *refusal {
	switch cluster := in.ExecutionEngine.ID; {
	case cluster == "":
		return invalid("ExecutionEngine.Id is required.")
	case !s.has(cluster):
		return invalid("Cluster id '%s' is not valid.", cluster)
	case !s.ready(cluster):
		return invalid("Cluster '%s' is not in a valid state for notebook execution.", cluster)
	case in.ServiceRole == "":
		return invalid("ServiceRole is required.")
	case (in.EditorID == "" || in.RelativePath == "") && len(in.NotebookS3Location) == 0:
		return invalid("Either EditorId with RelativePath or NotebookS3Location is required.")
	case len(in.NotebookExecutionName) > 256:
		return invalid("NotebookExecutionName must have at most 256 characters.")
	}
	for _, t := range in.Tags {
		if t.Key == "" || len(t.Key) > 128 || len(t.Value) > 256 {
			return invalid("The tag '%s' is not valid.", t.Key)
		}
	}
	return nil
}

// ready says whether a cluster executes notebooks now.
func (s *Sim) ready(id string) bool {
	c, _ := s.cluster(id)
	state, _ := s.state(c, s.clock.Now())
	return state == "WAITING" || state == "RUNNING"
}

// wish reads what the execution wants to do out of its own parameters.
func wish(in input) (simrun.Plan, error) {
	var params map[string]any
	// Parameters of another shape have no such member.
	_ = json.Unmarshal([]byte(in.NotebookParams), &params)
	work, _ := params["nightshift.sim.work"].(string)
	fail, _ := params["nightshift.sim.fail"].(string)
	env := in.EnvironmentVariables
	return simrun.Asked(cmp.Or(env["NIGHTSHIFT_SIM_WORK"], work), cmp.Or(env["NIGHTSHIFT_SIM_FAIL"], fail))
}

// at is the execution's moment: its own life, cut short by the end of its
// cluster.
func (s *Sim) at(x *execution, now time.Time) simrun.Moment {
	end := s.terminated[x.in.ExecutionEngine.ID]
	if end.IsZero() || now.Before(end) {
		return x.life.At(now)
	}
	m := x.life.At(end)
	if m.Phase.Over() {
		return m
	}
	return simrun.Moment{Phase: simrun.Failed, Since: end, Started: m.Started, Ended: end, By: simrun.Itself}
}

// named finds the execution that a request names.
func (s *Sim) named(body []byte) (*execution, *refusal) {
	var in struct {
		ID string `json:"NotebookExecutionId"`
	}
	if no := read(body, &in); no != nil {
		return nil, no
	}
	for _, x := range s.executions {
		if x.id == in.ID {
			return x, nil
		}
	}
	return nil, invalid("Notebook execution id '%s' is not valid.", in.ID)
}

func (s *Sim) stop(body []byte, now time.Time) (any, *refusal) {
	x, no := s.named(body)
	if no != nil {
		return nil, no
	}
	if m := s.at(x, now); m.Phase.Over() {
		return nil, invalid("Notebook execution '%s' is in state %s and cannot be stopped.", x.id, x.status(m, now))
	}
	x.life.Stops = append(x.life.Stops, now)
	return map[string]any{}, nil
}

func (s *Sim) describe(body []byte, now time.Time) (any, *refusal) {
	x, no := s.named(body)
	if no != nil {
		return nil, no
	}
	m := s.at(x, now)
	shown := s.summary(x, m, now)
	delete(shown, "ExecutionEngineId")
	engine := x.in.ExecutionEngine
	engine.Type = cmp.Or(engine.Type, "EMR")
	shown["ExecutionEngine"] = engine
	shown["Tags"] = append([]tag{}, x.tags...)
	shown["Arn"] = "arn:aws:elasticmapreduce:" + s.config.Region + ":" + s.config.Account + ":notebook-execution/" + x.id
	shown["LastStateChangeReason"] = s.reason(x, m)
	for name, v := range map[string]string{
		"NotebookParams": x.in.NotebookParams, "NotebookInstanceSecurityGroupId": x.in.NotebookInstanceSecurityGroupID, "OutputNotebookFormat": x.in.OutputNotebookFormat,
	} {
		if v != "" {
			shown[name] = v
		}
	}
	if len(x.in.OutputNotebookS3Location) > 0 {
		shown["OutputNotebookS3Location"] = x.in.OutputNotebookS3Location
		var at struct{ Bucket, Key string }
		// What is no location is only repeated.
		if json.Unmarshal(x.in.OutputNotebookS3Location, &at) == nil && at.Bucket != "" {
			shown["OutputNotebookURI"] = "s3://" + at.Bucket + "/" + strings.TrimSuffix(at.Key, "/") + "/" + x.id + ".ipynb"
		}
	}
	if len(x.in.EnvironmentVariables) > 0 {
		shown["EnvironmentVariables"] = x.in.EnvironmentVariables
	}
	return map[string]any{"NotebookExecution": shown}, nil
}

func (s *Sim) reason(x *execution, m simrun.Moment) string {
	switch m.Phase {
	case simrun.Pending:
		return "Execution is waiting for the cluster to become available."
	case simrun.Running:
		return "Execution has started on the cluster."
	case simrun.Stopping, simrun.Stopped:
		return "Execution was stopped by request."
	case simrun.Succeeded:
		return "Execution is finished for cluster " + x.in.ExecutionEngine.ID + "."
	}
	if end := s.terminated[x.in.ExecutionEngine.ID]; !end.IsZero() && end.Equal(m.Ended) {
		return "Cluster " + x.in.ExecutionEngine.ID + " was terminated."
	}
	return cmp.Or(x.life.Plan.Reason, "Execution has failed: a cell of the simulated notebook raised an error.")
}

// summary is what a list shows: there are no tags in it, and no reason.
func (s *Sim) summary(x *execution, m simrun.Moment, now time.Time) map[string]any {
	shown := map[string]any{
		"NotebookExecutionId": x.id, "NotebookExecutionName": x.in.NotebookExecutionName, "EditorId": x.in.EditorID,
		"ExecutionEngineId": x.in.ExecutionEngine.ID, "Status": x.status(m, now), "StartTime": seconds(x.life.Created),
	}
	if len(x.in.NotebookS3Location) > 0 {
		shown["NotebookS3Location"] = x.in.NotebookS3Location
	}
	if m.Phase.Over() {
		shown["EndTime"] = seconds(m.Ended)
	}
	return shown
}

// list answers newest first; the marker is the number of the last execution of
// the page.
func (s *Sim) list(body []byte, now time.Time) (any, *refusal) {
	var in struct {
		EditorID          string `json:"EditorId"`
		Status            string
		From, To          *float64
		ExecutionEngineID string `json:"ExecutionEngineId"`
		Marker            string
	}
	if no := read(body, &in); no != nil {
		return nil, no
	}
	from, to, before := now.Add(-listed), now, len(s.executions)+1
	if in.From != nil {
		from = moment(*in.From)
	}
	if in.To != nil {
		to = moment(*in.To)
	}
	if in.Status != "" && !slices.Contains(statuses, in.Status) {
		return nil, invalid("Status '%s' is not valid.", in.Status)
	}
	if in.Marker != "" {
		n, err := strconv.Atoi(in.Marker)
		if err != nil || n < 1 {
			return nil, invalid("Marker '%s' is not valid.", in.Marker)
		}
		before = n
	}
	found := []any{}
	for _, x := range slices.Backward(s.executions) {
		m, at := s.at(x, now), x.life.Created.Truncate(time.Millisecond)
		if x.seq >= before || at.Before(from) || at.After(to) || in.Status != "" && in.Status != x.status(m, now) ||
			in.EditorID != "" && in.EditorID != x.in.EditorID || in.ExecutionEngineID != "" && in.ExecutionEngineID != x.in.ExecutionEngine.ID {
			continue
		}
		if len(found) == pageSize {
			return map[string]any{"NotebookExecutions": found, "Marker": strconv.Itoa(before)}, nil
		}
		found = append(found, s.summary(x, m, now))
		before = x.seq
	}
	return map[string]any{"NotebookExecutions": found}, nil
}

var statuses = []string{"START_PENDING", "STARTING", "RUNNING", "FINISHING", "FINISHED", "FAILING", "FAILED", "STOP_PENDING", "STOPPING", "STOPPED"}

func (x *execution) status(m simrun.Moment, now time.Time) string {
	// Half of a wait has the one word, half the other.
	late := func(wait time.Duration) bool { return now.Sub(m.Since) >= wait/2 }
	switch m.Phase {
	case simrun.Pending:
		if late(x.life.Plan.StartDelay) {
			return "STARTING"
		}
		return "START_PENDING"
	case simrun.Running:
		return "RUNNING"
	case simrun.Stopping:
		if late(x.life.Plan.Grace) {
			return "STOPPING"
		}
		return "STOP_PENDING"
	case simrun.Succeeded:
		return "FINISHED"
	case simrun.Stopped:
		return "STOPPED"
	}
	return "FAILED"
}
