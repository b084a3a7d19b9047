package inbound

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"nightshift/internal/app"
	"nightshift/internal/fault"
)

// TagAlone is the tag by which a notebook asks for a cluster that it shares with no
// other; its value is "true".
const TagAlone = "nightshift:alone"

// notebookRequest is what of StartNotebookExecution says which notebook runs where.
// As in the SDK's own reading, the case of names does not matter.
type notebookRequest struct {
	ExecutionEngine        struct{ Id string }
	EditorId, RelativePath string
	NotebookS3Location     struct{ Bucket, Key string }
	Tags                   []struct{ Key, Value string }
}

// Placing is app.Placing for requests of StartNotebookExecution.
func Placing(spec []byte) (app.Placement, bool) {
	var r notebookRequest
	if err := json.Unmarshal(spec, &r); err != nil {
		return app.Placement{}, false
	}
	p := app.Placement{Cluster: r.ExecutionEngine.Id}
	switch {
	case r.EditorId != "" && r.RelativePath != "":
		p.Place = r.EditorId + "/" + strings.TrimPrefix(r.RelativePath, "/")
	case r.NotebookS3Location.Bucket != "" && r.NotebookS3Location.Key != "":
		p.Place = "s3://" + r.NotebookS3Location.Bucket + "/" + r.NotebookS3Location.Key
	}
	for _, t := range r.Tags {
		p.Alone = p.Alone || t.Key == TagAlone && t.Value == "true"
	}
	return p, p.Cluster != "" && p.Place != ""
}

// Spec is the engine's request in the input of an execution of run. Its errors are
// of kind Invalid.
func Spec(input []byte) ([]byte, error) {
	_, spec, err := ParseRun("", input)
	return spec, err
}

// Elsewhere is app.Elsewhere: the input of the next attempt, with another cluster,
// and with the tag that asks for one of its own, or without it.
// The interactive session stays named: the move is the same person's, minutes
// later.
func Elsewhere(input []byte, of, cluster string, alone bool) ([]byte, error) {
	const op = "make the input of a moved notebook"
	attempt, err := Again(input, of)
	if err != nil {
		return nil, err
	}
	var before, fields, request map[string]json.RawMessage
	for _, d := range []struct {
		from []byte
		into any
	}{{input, &before}, {attempt.Input, &fields}} {
		if err := json.Unmarshal(d.from, d.into); err != nil {
			return nil, fault.New(op, fault.Invalid, err)
		}
	}
	if i, ok := before["interactiveSession"]; ok {
		fields["interactiveSession"] = i
	}
	err = json.Unmarshal(fields["spec"], &request)
	if err == nil {
		err = remake(request, "ExecutionEngine", func(engine map[string]any) any {
			next := map[string]any{"Id": cluster}
			for name, v := range engine {
				if !strings.EqualFold(name, "Id") {
					next[name] = v
				}
			}
			return next
		})
	}
	if p, _ := Placing(fields["spec"]); err == nil && alone != p.Alone {
		err = remake(request, "Tags", func(tags []struct{ Key, Value string }) any {
			tags = slices.DeleteFunc(tags, func(t struct{ Key, Value string }) bool { return t.Key == TagAlone })
			if alone {
				tags = append(tags, struct{ Key, Value string }{TagAlone, "true"})
			}
			return tags
		})
	}
	if err == nil {
		fields["spec"], err = json.Marshal(request)
	}
	if err != nil {
		return nil, fault.New(op, fault.Invalid, err)
	}
	next, err := json.Marshal(fields)
	if err == nil && len(next) > RunInputMax {
		err = fault.Newf(op, fault.Invalid, "the input has %d bytes; at most %d are allowed", len(next), RunInputMax)
	}
	return next, err
}

// remake changes a field of a request, however its name is written.
func remake[T any](request map[string]json.RawMessage, name string, change func(T) any) error {
	var v T
	for written, raw := range request {
		if strings.EqualFold(written, name) {
			if err := json.Unmarshal(raw, &v); err != nil {
				return err
			}
			delete(request, written)
		}
	}
	raw, err := json.Marshal(change(v))
	request[name] = raw
	return err
}

// instancesMax is the most nodes that a new cluster may have.
const instancesMax = 100

var (
	clusterForm  = regexp.MustCompile(`^j-[0-9A-Z]{1,252}$`)
	releaseForm  = regexp.MustCompile(`^emr-[0-9]+\.[0-9]+\.[0-9]+$`)
	instanceForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,63}$`)
)

// ParseMove reads the input of an execution of move-notebook
// (statemachines/move-notebook.input.schema.json). Its errors are of kind
// fault.Invalid and name the field.
func ParseMove(execution string, input []byte) (app.MoveAsked, error) {
	const op = "read the input of move-notebook"
	m := app.MoveAsked{Execution: execution}
	o, err := object("", input, "session", "to", "alone", "why", "resume")
	if err != nil {
		return m, fault.New(op, fault.Invalid, err)
	}
	m.Notebook, m.Session, m.Why = o.text("resume"), o.text("session"), o.text("why")
	m.Alone, _ = o.boolean("alone")
	to := o.child("to", "cluster", "newCluster")
	m.To = to.text("cluster")
	fresh := to.child("newCluster", "instanceType", "instances", "releaseLabel")
	if o.has("resume") {
		if len(o.raw) > 1 {
			o.fail("resume", "must stand alone")
		}
	} else {
		o.require("session", "to")
	}
	switch {
	case !o.has("to"):
	case to.has("cluster") == to.has("newCluster"):
		o.fail("to", "must have either cluster or newCluster")
	case to.has("newCluster"):
		fresh.require("instanceType")
		if t := fresh.text("instanceType"); t != "" && !instanceForm.MatchString(t) {
			fresh.fail("instanceType", `must be a type of instance, such as "m5.xlarge"`)
		}
		if r := fresh.text("releaseLabel"); r != "" && !releaseForm.MatchString(r) {
			fresh.fail("releaseLabel", `must be a release of EMR, such as "emr-7.12.0"`)
		}
		var n int
		if err := json.Unmarshal(fresh.raw["instances"], &n); fresh.has("instances") && (err != nil || n < 1 || n > instancesMax) {
			fresh.fail("instances", "must be a whole number from 1 to 100")
		}
		m.New = to.raw["newCluster"]
	case m.To != "" && !clusterForm.MatchString(m.To):
		to.fail("cluster", `must be the id of a cluster, such as "j-2AXXXXXXGAPLF"`)
	}
	if len(m.Session) > sessionMax {
		o.fail("session", "must be the id of a session")
	}
	if len(m.Why) > 200 {
		o.fail("why", "must have at most 200 characters")
	}
	if err := o.err(); err != nil {
		return m, fault.New(op, fault.Invalid, err)
	}
	return m, nil
}
