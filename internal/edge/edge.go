// Package edge stands between the Lambda runtime and the app: it decodes what
// the runtime brings, calls one use case, and decides once what an error means
// to whoever invoked. It holds no logic about sessions.
package edge

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/session"
)

// The Lambda runtime reports only the outermost Go type of an error, so the
// state machines' ErrorEquals are met by these types.
type (
	// InvalidInput is not worth repeating: the sentence says what is wrong.
	InvalidInput struct{ Sentence string }
	// UserLocked refuses a start until the lock ends.
	UserLocked struct{ Sentence string }
	// Throttled is worth repeating, slower.
	Throttled struct{ Sentence string }
	// Conflict is worth repeating: others were faster, many times.
	Conflict struct{ Sentence string }
	// Unavailable is worth repeating: nobody said what it is.
	Unavailable struct{ Sentence string }
)

func (e *InvalidInput) Error() string { return e.Sentence }
func (e *UserLocked) Error() string   { return e.Sentence }
func (e *Throttled) Error() string    { return e.Sentence }
func (e *Conflict) Error() string     { return e.Sentence }
func (e *Unavailable) Error() string  { return e.Sentence }

// typed gives an error the type that the state machines know.
func typed(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, app.ErrLocked):
		return &UserLocked{err.Error()}
	}
	switch fault.KindOf(err) {
	case fault.Invalid:
		return &InvalidInput{err.Error()}
	case fault.Throttled:
		return &Throttled{err.Error()}
	case fault.Conflict:
		return &Conflict{err.Error()}
	case fault.NotFound, fault.Denied, fault.Unknown:
	}
	return &Unavailable{err.Error()}
}

// Queue handles events that come through a queue. What fails is answered as a
// partial batch failure, so that only it is delivered again.
func Queue(a *app.App, source string) func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
	return func(ctx context.Context, batch events.SQSEvent) (events.SQSEventResponse, error) {
		var out events.SQSEventResponse
		for _, m := range batch.Records {
			if err := a.Receive(ctx, source, []byte(m.Body)); err != nil {
				a.Log.Warn("event is delivered again", "source", source, "message", m.MessageId, "error", err.Error())
				out.BatchItemFailures = append(out.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
			}
		}
		return out, nil
	}
}

// Schedule handles the minute's tick.
func Schedule(a *app.App) func(context.Context, json.RawMessage) error {
	return func(ctx context.Context, _ json.RawMessage) error { return typed(a.Sweep(ctx)) }
}

// OpenInput is what the run machine gives to open-session.
type OpenInput struct {
	Execution string          `json:"execution"` // ARN
	Input     json.RawMessage `json:"input"`     // of the execution; run.input.schema.json
}

// OpenOutput is what open-session answers.
type OpenOutput struct {
	SessionID      string `json:"sessionId"`
	Endpoint       string `json:"endpoint"`
	Status         string `json:"status"`
	Mode           string `json:"mode"`
	Deadline       string `json:"deadline"` // RFC 3339; "" where there is none
	DeadlineSource string `json:"deadlineSource"`
}

// ParseRun reads the input of an execution of the run machine; its errors are
// of kind Invalid.
type ParseRun func(execution string, input []byte) (app.OpenRequest, []byte, error)

// OpenSession opens the session of an execution.
func OpenSession(a *app.App, parse ParseRun) func(context.Context, OpenInput) (OpenOutput, error) {
	return func(ctx context.Context, in OpenInput) (OpenOutput, error) {
		r, _, err := parse(in.Execution, in.Input)
		if err != nil {
			return OpenOutput{}, typed(err)
		}
		s, err := a.OpenSession(ctx, r)
		if err != nil {
			return OpenOutput{}, typed(err)
		}
		return outputOf(s), nil
	}
}

func outputOf(s session.Session) OpenOutput {
	out := OpenOutput{SessionID: s.ID, Endpoint: s.Run.Endpoint, Status: string(s.Status), Mode: string(s.Mode), DeadlineSource: string(s.DeadlineSource)}
	if !s.Deadline.IsZero() {
		out.Deadline = s.Deadline.UTC().Format(time.RFC3339Nano)
	}
	return out
}

// Preflight checks what a run needs before a session is opened for it.
func Preflight[T any](check func(context.Context, app.OpenRequest, []byte) (T, error), parse ParseRun) func(context.Context, OpenInput) (T, error) {
	return func(ctx context.Context, in OpenInput) (T, error) {
		r, spec, err := parse(in.Execution, in.Input)
		if err != nil {
			var none T
			return none, typed(err)
		}
		out, err := check(ctx, r, spec)
		return out, typed(err)
	}
}

// StartInput is what the run machine gives to start-run.
type StartInput struct {
	SessionID string          `json:"sessionId"`
	TaskToken string          `json:"taskToken"`
	Execution string          `json:"execution"`
	Input     json.RawMessage `json:"input"`
}

// StartRun starts the run of a session; the token is released at its end.
func StartRun(a *app.App, parse ParseRun) func(context.Context, StartInput) error {
	return func(ctx context.Context, in StartInput) error {
		_, spec, err := parse(in.Execution, in.Input)
		if err != nil {
			return typed(err)
		}
		return typed(a.StartRun(ctx, app.StartRequest{SessionID: in.SessionID, Token: in.TaskToken, Spec: spec}))
	}
}

// RestartInput is what the restart machine gives to restart-session.
type RestartInput struct {
	Execution string `json:"execution"` // ARN
	Input     struct {
		Session string `json:"session"`
		Why     string `json:"why"`
	} `json:"input"` // of the execution; restart.input.schema.json
}

// RestartOutput is what restart-session answers.
type RestartOutput struct {
	Started    bool   `json:"started"`
	WaitsFor   string `json:"waitsFor"` // why it is not started yet; "" where it is
	Session    string `json:"session"`  // that follows
	Execution  string `json:"execution"`
	Attempt    string `json:"attempt"`
	Checkpoint string `json:"checkpoint"`
}

// RestartSession starts the run of a session again. Whoever may start the machine
// may start any session's, as with run; the record names the execution.
func RestartSession(a *app.App) func(context.Context, RestartInput) (RestartOutput, error) {
	return func(ctx context.Context, in RestartInput) (RestartOutput, error) {
		_, name, _ := strings.Cut(in.Execution, ":execution:")
		act := app.Act{Who: app.Actor{Name: "execution/" + name, Admin: true}, Key: "restart-" + in.Execution, Why: in.Input.Why}
		r, err := a.Restart(ctx, act, in.Input.Session)
		var no *app.Refusal
		switch {
		case errors.As(err, &no) && no.Passing:
			return RestartOutput{WaitsFor: no.Reason}, nil
		case errors.As(err, &no):
			return RestartOutput{}, &InvalidInput{no.Reason + ". " + no.Remedy}
		case fault.Is(err, fault.NotFound):
			return RestartOutput{}, &InvalidInput{err.Error()}
		case err != nil:
			return RestartOutput{}, typed(err)
		}
		return RestartOutput{Started: true, Session: r.Session, Execution: r.Execution, Attempt: r.Attempt, Checkpoint: r.Checkpoint}, nil
	}
}

// EndpointInput is what watch and drain give to their functions.
type EndpointInput struct {
	Endpoint   string `json:"endpoint"`
	Generation int64  `json:"generation"`
}

// WatchOutput is what observe-endpoint answers.
type WatchOutput struct {
	Done        bool  `json:"done"`
	Live        int   `json:"live"`
	WaitSeconds int64 `json:"waitSeconds"`
}

// DrainOutput is what drain-endpoint answers.
type DrainOutput struct {
	Done        bool  `json:"done"`
	Left        int   `json:"left"`
	WaitSeconds int64 `json:"waitSeconds"`
	ETASeconds  int64 `json:"etaSeconds"` // until the last has been asked to stop (S2.9); 0: all have been
}

// ObserveEndpoint is one round of a watch.
func ObserveEndpoint(a *app.App) func(context.Context, EndpointInput) (WatchOutput, error) {
	return func(ctx context.Context, in EndpointInput) (WatchOutput, error) {
		r, err := a.Watch(ctx, in.Endpoint, in.Generation)
		return WatchOutput{Done: r.Done, Live: r.Left, WaitSeconds: int64(r.Wait / time.Second)}, typed(err)
	}
}

// DrainEndpoint is one round of a drain.
func DrainEndpoint(a *app.App) func(context.Context, EndpointInput) (DrainOutput, error) {
	return func(ctx context.Context, in EndpointInput) (DrainOutput, error) {
		r, err := a.Drain(ctx, in.Endpoint, in.Generation)
		return DrainOutput{Done: r.Done, Left: r.Left, WaitSeconds: int64(r.Wait / time.Second), ETASeconds: int64(r.ETA / time.Second)}, typed(err)
	}
}

// DecodeEntry reads a history entry from a record of the table's stream; false:
// the record is something else.
type DecodeEntry func(events.DynamoDBEventRecord) (app.Entry, bool, error)

// RunEffects handles the table's stream. A record that cannot be read is logged
// and left to the sweep: it must not hold up its shard.
func RunEffects(a *app.App, decode DecodeEntry) func(context.Context, events.DynamoDBEvent) error {
	return func(ctx context.Context, batch events.DynamoDBEvent) error {
		entries := make([]app.Entry, 0, len(batch.Records))
		for _, r := range batch.Records {
			entry, ok, err := decode(r)
			if err != nil {
				a.Log.Error("stream record unreadable", slog.String("record", r.EventID), slog.String("error", err.Error()))
				continue
			}
			if ok {
				entries = append(entries, entry)
			}
		}
		a.RunEffects(ctx, entries...)
		return nil
	}
}
