package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// decideLineMax bounds one line of input; a longer one ends the command with a
// sentence, because the rest cannot be split into lines any more.
const decideLineMax = 16 << 20

func decideCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "decide",
		Short: "Answer JSON lines on standard input with the pure decision; starts nothing",
		Long: `decide reads one case a line (a policy, an opening and events), writes one
answer a line, and starts nothing. A line in error is answered with
{"id":…,"error":"…"}; the others are still answered, and the exit status is 1.`,
		Example: `  nightshift decide < cases.jsonl`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return decide(cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}

var errLines = errors.New("at least one line was in error; each says why")

func decide(in io.Reader, out io.Writer) error {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(make([]byte, 0, 64<<10), decideLineMax)
	w := bufio.NewWriter(out)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	var failed error
	for scanner.Scan() {
		line := bytes.TrimSpace(scanner.Bytes())
		if len(line) == 0 {
			continue
		}
		answer, err := decideLine(line)
		if err != nil {
			failed = errLines
			err = enc.Encode(map[string]string{"id": caseID(line), "error": err.Error()})
		} else {
			err = enc.Encode(answer)
		}
		if err != nil {
			return fmt.Errorf("cannot write the answer: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("cannot write the answers: %w", err)
	}
	if errors.Is(scanner.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("a line is longer than %d bytes; the lines after it were not read", decideLineMax)
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("cannot read standard input: %w", err)
	}
	return failed
}

// caseID is the id of a line, as far as it can be read from one in error.
func caseID(line []byte) string {
	var c struct {
		ID json.RawMessage `json:"id"`
	}
	var id string
	if json.Unmarshal(line, &c) != nil || json.Unmarshal(c.ID, &id) != nil {
		return ""
	}
	return id
}

type decideAnswer struct {
	ID             string       `json:"id"`
	Mode           string       `json:"mode"`
	Deadline       string       `json:"deadline"`
	DeadlineSource string       `json:"deadlineSource"`
	Why            []string     `json:"why"`
	Steps          []decideStep `json:"steps"`
}

type decideStep struct {
	Kind           string   `json:"kind"`
	Mode           string   `json:"mode"`
	Status         string   `json:"status"`
	Deadline       string   `json:"deadline"`
	DeadlineSource string   `json:"deadlineSource"`
	Effects        []string `json:"effects"`
	Cause          string   `json:"cause"`
	Ignored        string   `json:"ignored"`
}

func decideLine(line []byte) (decideAnswer, error) {
	c, err := parseCase(line)
	if err != nil {
		return decideAnswer{}, err
	}
	now := c.open.At
	policy := c.policy
	policy.ChangedAt = now
	opened := session.Open(c.open, policy, session.UserFacts{}, now)
	s := opened.Next
	a := decideAnswer{ID: c.id, Mode: string(s.Mode), Deadline: stamp(s.Deadline), DeadlineSource: string(s.DeadlineSource), Why: s.Why, Steps: []decideStep{}}
	for _, e := range c.events {
		if e.At.After(now) {
			now = e.At
		}
		if e.Kind == session.PolicyChanged && !e.At.Before(policy.ChangedAt) {
			policy = e.policy
			policy.ChangedAt = e.At
		}
		d := session.Decide(s, e.Event, policy, now)
		before := s
		s = d.Next
		a.Steps = append(a.Steps, stepOf(before, e.Kind, d))
	}
	return a, nil
}

// stepOf shows the four effects that this command promises; what else a
// decision causes (announcements, notices, pages) is the running system's.
func stepOf(before session.Session, kind session.Kind, d session.Decision) decideStep {
	s := d.Next
	out := decideStep{Kind: string(kind), Mode: string(s.Mode), Status: string(s.Status), Deadline: stamp(s.Deadline),
		DeadlineSource: string(s.DeadlineSource), Effects: []string{}, Cause: string(s.End.Cause), Ignored: d.Ignored}
	for _, e := range d.Effects {
		switch e.Kind {
		case session.Stop, session.Notify, session.Alert, session.ReleaseWaiter:
			out.Effects = append(out.Effects, string(e.Kind))
		case session.Watch, session.Announce, session.Notice, session.Page:
		}
	}
	if len(out.Effects) == 0 && kind == session.Tick && s.Status == before.Status {
		out.Ignored = "nothing is due"
	}
	return out
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// decideCase is one line, checked.
type decideCase struct {
	id     string
	policy session.Policy
	open   session.Opening
	events []decideEvent
}

type decideEvent struct {
	session.Event
	policy session.Policy
}

func parseCase(line []byte) (decideCase, error) {
	var c decideCase
	o, err := object("", line, "id", "policy", "open", "events")
	if err != nil {
		return c, err
	}
	c.id = o.text("id")
	c.policy = parsePolicy(o.child("policy", policyFields...))
	o.require("open")
	c.open = parseOpen(o.child("open", "at", "user", "interactiveSession", "run", "applicationBackground", "service"))
	for i, raw := range o.list("events") {
		c.events = append(c.events, parseEvent(o.sub(fmt.Sprintf("events[%d]", i), raw, eventFields...)))
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
	open := session.Opening{ID: "case", Origin: session.Started, At: o.time("at"), User: o.text("user"),
		Interactive: parseInteractive(o.child("interactiveSession", "id", "source", "expiresAt"))}
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

func parseInteractive(o *fields) session.InteractiveSession {
	return session.InteractiveSession{ID: o.text("id"), Source: o.text("source"), ExpiresAt: o.time("expiresAt")}
}

var eventFields = []string{"at", "kind", "user", "interactiveSession", "by", "policy", "domain", "since", "busy", "state"}

// decideKinds are the kinds an event line may have; the rest of session.Kinds
// are reports of our own steps.
var decideKinds = names(session.Kinds()[:19])

func parseEvent(o *fields) decideEvent {
	o.require("at", "kind")
	e := decideEvent{Event: session.Event{
		Kind: session.Kind(o.oneOf("kind", decideKinds...)), At: o.time("at"), User: o.text("user"), By: o.text("by"),
		Domain: o.text("domain"), Since: o.time("since"), State: workload.State(o.oneOf("state", names(workload.States())...)),
		Interactive: parseInteractive(o.child("interactiveSession", "id", "source", "expiresAt")),
	}}
	e.Busy, _ = o.boolean("busy")
	e.policy = parsePolicy(o.child("policy", policyFields...))
	switch e.Kind {
	case session.SignOut, session.RevokeInteractive, session.UserDisabled, session.UserEnabled, session.UserDeleted, session.AccessRemoved:
		o.require("user")
	case session.PolicyChanged:
		o.require("policy")
	case session.IdentityPropagationOff:
		o.require("domain")
	case session.IdleSince:
		o.require("busy")
		if !e.Busy {
			o.require("since")
		}
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
