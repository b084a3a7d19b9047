package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"nightshift/internal/app"
	"nightshift/internal/fault"
)

// MoveInput is what the machine move-notebook gives to its function: a step, and
// what that step takes.
type MoveInput struct {
	Step      string          `json:"step"`      // begin, design, judge, stop, start, look, discard, end
	Execution string          `json:"execution"` // ARN
	Input     json.RawMessage `json:"input"`     // of the execution; move-notebook.input.schema.json
	Notebook  string          `json:"notebook"`
	To        string          `json:"to"`   // cluster
	Back      bool            `json:"back"` // it goes back to where it was
	Started   MoveStarted     `json:"started"`
	Outcome   string          `json:"outcome"`
	Cluster   string          `json:"cluster"` // that was made for the move; "": one of those listed, by its name
	Listed    []Listed        `json:"listed"`
	// Source, Actions, Target and Subnets are EMR's and EC2's answers about the clusters.
	Source  json.RawMessage `json:"source"`
	Actions json.RawMessage `json:"actions"`
	Target  json.RawMessage `json:"target"`
	Subnets json.RawMessage `json:"subnets"`
}

// Listed is a cluster of EMR's list.
type Listed struct{ Id, Name string }

// MoveStarted is what start answers, and what look is given.
type MoveStarted struct {
	Execution string `json:"execution"`
	Session   string `json:"session"`
	Cluster   string `json:"cluster"`
}

// Moves are what a move needs besides the use cases: how its input is read, and
// what is known of clusters.
type Moves struct {
	Parse func(execution string, input []byte) (app.MoveAsked, error)
	// Like makes EMR's request, but for the name, for a cluster like another, and says
	// what of that is not copied.
	Like func(source, actions []byte, notebook string, asked []byte) (request map[string]any, note string, err error)
	// Judge says whether a notebook can move from one to the other.
	Judge func(source, target, subnets []byte) (state, reason string, err error)
}

// MoveNotebook is every step of a move.
func MoveNotebook(a *app.App, m Moves) func(context.Context, MoveInput) (map[string]any, error) {
	return func(ctx context.Context, in MoveInput) (map[string]any, error) {
		out, err := m.step(ctx, a, in)
		var no *app.Refusal
		if errors.As(err, &no) {
			return nil, &InvalidInput{no.Reason + ". " + no.Remedy}
		}
		return out, typed(err)
	}
}

func (m Moves) step(ctx context.Context, a *app.App, in MoveInput) (map[string]any, error) {
	switch in.Step {
	case "begin":
		asked, err := m.Parse(in.Execution, in.Input)
		if err != nil {
			return nil, err
		}
		b, err := a.BeginMove(ctx, asked)
		to := b.To
		if to == "" {
			to = asked.To
		}
		return map[string]any{"notebook": b.Notebook, "from": b.From, "to": to, "back": b.Back, "made": b.Made}, err
	case "design":
		asked, err := m.Parse(in.Execution, in.Input)
		if err != nil {
			return nil, err
		}
		request, note, err := m.Like(in.Source, in.Actions, in.Notebook, asked.New)
		if err != nil {
			return nil, invalid("design a cluster", err)
		}
		name, err := a.MakeForMove(ctx, in.Execution, in.Notebook, note)
		request["Name"] = name
		return map[string]any{"request": request, "made": name}, err
	case "judge":
		state, reason, err := m.Judge(in.Source, in.Target, in.Subnets)
		return map[string]any{"state": state, "reason": reason}, invalid("judge a cluster", err)
	case "stop":
		over, ended, err := a.StopMove(ctx, in.Execution, in.Notebook, in.To, in.Back)
		return map[string]any{"over": over, "ended": ended}, err
	case "start":
		s, err := a.StartMove(ctx, in.Execution, in.Notebook)
		return map[string]any{"execution": s.Execution, "session": s.Session, "cluster": s.Cluster}, err
	case "look":
		state, why, err := a.LookMove(ctx, app.MoveStart(in.Started))
		return map[string]any{"state": state, "why": why}, err
	case "discard":
		listed := map[string]string{}
		for _, c := range in.Listed {
			listed[c.Name] = c.Id
		}
		cluster, unused, err := a.Unused(ctx, in.Execution, in.Notebook, in.Cluster, listed)
		return map[string]any{"cluster": cluster, "unused": unused}, err
	case "end":
		text, err := a.EndMove(ctx, in.Execution, in.Notebook, in.Outcome)
		return map[string]any{"text": text}, err
	}
	return nil, &InvalidInput{fmt.Sprintf("step %q is none of a move", in.Step)}
}

func invalid(op string, err error) error {
	if err == nil {
		return nil
	}
	return fault.New(op, fault.Invalid, err)
}
