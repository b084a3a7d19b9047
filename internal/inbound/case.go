package inbound

import (
	"fmt"

	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Case is one line of `nightshift decide`, checked.
type Case struct {
	ID     string
	Policy session.Policy
	Open   session.Opening
	Events []CaseEvent
}

// CaseEvent is one event of a case; Policy counts for policy-changed only.
type CaseEvent struct {
	session.Event
	Policy session.Policy
}

// ParseCase reads one line of `nightshift decide`. A missing fact is unknown, a
// missing policy field its default; the error names the field and the allowed
// values.
func ParseCase(line []byte) (Case, error) {
	var c Case
	o, err := object("", line, "id", "policy", "open", "events")
	if err != nil {
		return c, err
	}
	c.ID = o.text("id")
	c.Policy = parsePolicy(o.child("policy", policyFields...))
	o.require("open")
	c.Open = parseOpen(o.child("open", "at", "user", "interactiveSession", "run", "applicationBackground", "service"))
	for i, raw := range o.list("events") {
		c.Events = append(c.Events, parseEvent(o.sub(fmt.Sprintf("events[%d]", i), raw, eventFields...)))
	}
	return c, o.err()
}

var policyFields = []string{"instanceBackground", "backgroundDuration", "interactiveDuration", "livyIdle", "tenantLimit", "requireUnifiedStudioLaunch"}

func parsePolicy(o *fields) session.Policy {
	p := session.DefaultPolicy()
	p.InstanceBackground = o.tri("instanceBackground")
	o.duration("backgroundDuration", &p.BackgroundDuration)
	o.duration("interactiveDuration", &p.InteractiveDuration)
	o.duration("livyIdle", &p.LivyIdle)
	o.duration("tenantLimit", &p.TenantLimit)
	p.RequireUnifiedStudioLaunch, _ = o.boolean("requireUnifiedStudioLaunch")
	return p
}

func parseOpen(o *fields) session.Opening {
	o.require("at", "user", "run")
	open := session.Opening{ID: "case", Origin: session.Started, At: o.time("at"), User: o.text("user"), Interactive: parseInteractive(o)}
	r := o.child("run", "engine", "id", "kind", "application", "maxRuntimeSeconds", "domain")
	r.require("engine")
	open.Run = workload.Run{
		Engine:      workload.Engine(r.oneOf("engine", names(workload.Engines())...)),
		ID:          r.text("id"),
		Kind:        workload.Kind(r.oneOf("kind", names(workload.Kinds())...)),
		Application: workload.Application(r.oneOf("application", names(workload.Applications())...)),
		MaxRuntime:  r.seconds("maxRuntimeSeconds"),
		Domain:      r.text("domain"),
	}
	f := &open.Facts
	switch o.oneOf("applicationBackground", "ENABLED", "DISABLED", "unknown") {
	case "ENABLED":
		f.ApplicationBackground = session.On
	case "DISABLED":
		f.ApplicationBackground = session.Off
	}
	s := o.child("service", "trustedIdentityPropagation", "clusterBackground", "releaseLabel", "bootstrapConfirmed", "unifiedStudioCluster", "unifiedStudioLaunch")
	f.IdentityPropagation = s.tri("trustedIdentityPropagation")
	f.ClusterBackground = s.tri("clusterBackground")
	f.ReleaseLabel = s.text("releaseLabel")
	f.BootstrapConfirmed = s.tri("bootstrapConfirmed")
	f.UnifiedStudioCluster = s.tri("unifiedStudioCluster")
	f.UnifiedStudioLaunch = s.tri("unifiedStudioLaunch")
	return open
}

func parseInteractive(parent *fields) session.InteractiveSession {
	o := parent.child("interactiveSession", "id", "source", "expiresAt")
	return session.InteractiveSession{ID: o.text("id"), Source: o.text("source"), ExpiresAt: o.time("expiresAt")}
}

var eventFields = []string{"at", "kind", "user", "interactiveSession", "by", "policy", "domain", "since", "busy", "state"}

// caseKinds are the kinds an event line may have; the rest of session.Kinds
// are reports of our own steps.
var caseKinds = names(session.Kinds()[:19])

func parseEvent(o *fields) CaseEvent {
	o.require("at", "kind")
	e := CaseEvent{Event: session.Event{
		Kind: session.Kind(o.oneOf("kind", caseKinds...)), At: o.time("at"), User: o.text("user"), By: o.text("by"),
		Domain: o.text("domain"), Since: o.time("since"), State: workload.State(o.oneOf("state", names(workload.States())...)),
		Interactive: parseInteractive(o),
	}}
	e.Busy, _ = o.boolean("busy")
	e.Policy = parsePolicy(o.child("policy", policyFields...))
	switch e.Kind {
	case session.SignOut, session.RevokeInteractive, session.UserDisabled, session.UserEnabled, session.UserDeleted, session.AccessRemoved:
		o.require("user")
	case session.PolicyChanged:
		o.require("policy")
	case session.IdentityPropagationOff:
		o.require("domain")
	case session.IdleSince:
		o.require("busy") // since may be missing: a session without any statement (S2.2)
	case session.RunObserved:
		o.require("state")
	}
	return e
}

func names[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}
