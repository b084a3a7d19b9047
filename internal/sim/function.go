package sim

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"nightshift/internal/app"
	"nightshift/internal/edge"
	"nightshift/internal/inbound"
)

// function is one of ours. Each schedule in wireEach calls it as Lambda's library
// does, with all of its JSON; the others give it its input as it is, which is the
// same history for half as much.
type function struct {
	wire   lambda.Handler
	task   func(context.Context, []byte) ([]byte, error) // of a machine or a schedule
	queue  func(context.Context, events.SQSEvent) (events.SQSEventResponse, error)
	stream func(context.Context, ...app.Entry)
}

// wireEach is of how many schedules one goes over Lambda's own handlers.
const wireEach = 16

func (w *World) onWire() bool { return w.tracing || w.Options.Seed%wireEach == 0 }

// taskOf is a function whose input and answer are JSON of a machine's. Rounds of one
// execution have one input and few answers: each is read, and written, once.
func taskOf[In any, Out comparable](f func(context.Context, In) (Out, error)) function {
	inputs, answers := map[string]In{}, map[Out][]byte{}
	return function{wire: lambda.NewHandler(f), task: func(ctx context.Context, payload []byte) ([]byte, error) {
		in, known := inputs[string(payload)]
		if !known {
			if err := json.Unmarshal(payload, &in); err != nil {
				return nil, err
			}
			inputs[string(payload)] = in
		}
		out, err := f(ctx, in)
		if err != nil {
			return nil, err
		}
		answer, known := answers[out]
		if !known {
			if answer, err = json.Marshal(out); err == nil {
				answers[out] = answer
			}
		}
		return answer, err
	}}
}

// silently is a function that answers nothing.
func silently[In any](f func(context.Context, In) error) func(context.Context, In) (any, error) {
	return func(ctx context.Context, in In) (any, error) { return nil, f(ctx, in) }
}

func queueOf(a *app.App, name string) function {
	f := edge.Queue(a, name)
	return function{wire: lambda.NewHandler(f), queue: f}
}

// functions builds every function, each with a clock of its own that is a bit
// off.
func (w *World) functions() {
	w.handlers = map[string]function{}
	base, parse := w.app(), inbound.ParseRun
	if !w.onWire() {
		parse = once()
	}
	for _, f := range []struct {
		name    string
		handler func(*app.App) function
	}{
		{"on-logout", func(a *app.App) function { return queueOf(a, "on-logout") }},
		{"on-revocation", func(a *app.App) function { return queueOf(a, "on-revocation") }},
		{"on-run-event", func(a *app.App) function { return queueOf(a, "on-run-event") }},
		{"on-schedule", func(a *app.App) function { return taskOf(silently(edge.Schedule(a))) }},
		{"open-session", func(a *app.App) function { return taskOf(edge.OpenSession(a, parse)) }},
		{"start-run", func(a *app.App) function { return taskOf(silently(edge.StartRun(a, parse))) }},
		{"observe-endpoint", func(a *app.App) function { return taskOf(edge.ObserveEndpoint(a)) }},
		{"drain-endpoint", func(a *app.App) function { return taskOf(edge.DrainEndpoint(a)) }},
		{"run-effects", func(a *app.App) function {
			return function{wire: lambda.NewHandler(edge.RunEffects(a, w.decode)), stream: a.RunEffects}
		}},
	} {
		a := *base
		if off := w.upTo(2*w.Faults.Skew) - w.Faults.Skew; off != 0 {
			a.Now = func() time.Time { return w.Clock.Now().Add(off) }
		}
		if w.Options.App != nil {
			w.Options.App(f.name, &a)
		}
		w.handlers[f.name] = f.handler(&a)
	}
}

// once is inbound.ParseRun, which is asked once for each execution: its input is read
// again by each try of each of its steps.
func once() func(execution string, input []byte) (app.OpenRequest, []byte, error) {
	type read struct {
		input   string
		request app.OpenRequest
		spec    []byte
		err     error
	}
	known := map[string]read{}
	return func(execution string, input []byte) (app.OpenRequest, []byte, error) {
		k, ok := known[execution]
		if !ok || k.input != string(input) {
			k.input = string(input)
			k.request, k.spec, k.err = inbound.ParseRun(execution, input)
			known[execution] = k
		}
		return k.request, k.spec, k.err
	}
}

// invoke calls a function as the runtime does, in a chain. do is given the
// invocation, which is the context.
func (w *World) invoke(name string, payload []byte, do func(context.Context, function) ([]byte, error)) ([]byte, error) {
	w.invocations++
	i := &invocation{w: w, function: name, id: w.invocations, deadline: w.Clock.Now().Add(timeoutOf(name))}
	if w.tracing {
		w.say("%s#%d is invoked: %s", name, i.id, payload)
	}
	w.inFlight++
	answer, err := do(i, w.handlers[name])
	i.lent.back()
	w.inFlight--
	if dead := i.Err(); dead != nil {
		answer, err = nil, dead
	}
	if w.tracing {
		w.say("%s#%d answers %s, %v", name, i.id, answer, err)
	}
	return answer, err
}

// Invoke calls a function of a machine or a schedule.
func (w *World) Invoke(name string, payload []byte) ([]byte, error) {
	return w.invoke(name, payload, func(ctx context.Context, f function) ([]byte, error) {
		if w.onWire() {
			return f.wire.Invoke(ctx, payload)
		}
		return f.task(ctx, payload)
	})
}

// receive hands a function one message of its queue; false: it is to come again.
func (w *World) receive(name string, batch events.SQSEvent) bool {
	if w.onWire() {
		payload, err := json.Marshal(batch)
		if err != nil {
			panic(err) // strings
		}
		answer, err := w.invoke(name, payload, func(ctx context.Context, f function) ([]byte, error) { return f.wire.Invoke(ctx, payload) })
		var out events.SQSEventResponse
		return err == nil && json.Unmarshal(answer, &out) == nil && len(out.BatchItemFailures) == 0
	}
	var out events.SQSEventResponse
	_, err := w.invoke(name, nil, func(ctx context.Context, f function) (answer []byte, err error) {
		out, err = f.queue(ctx, batch)
		return nil, err
	})
	return err == nil && len(out.BatchItemFailures) == 0
}

// handed hands run-effects a batch of the stream.
func (w *World) handed(batch []*app.Entry) error {
	const name = "run-effects"
	if !w.onWire() {
		_, err := w.invoke(name, nil, func(ctx context.Context, f function) ([]byte, error) {
			entries := room.Entries(ctx, len(batch))
			for i, e := range batch {
				entries[i] = *e
			}
			f.stream(ctx, entries...)
			return nil, nil
		})
		return err
	}
	records := events.DynamoDBEvent{Records: make([]events.DynamoDBEventRecord, len(batch))}
	for i, e := range batch {
		id := e.SessionID + "/" + strconv.FormatInt(e.Version, 10)
		w.batches[id] = e
		records.Records[i] = events.DynamoDBEventRecord{EventID: id, EventName: "INSERT"}
	}
	payload, err := json.Marshal(records)
	if err != nil {
		panic(err) // strings
	}
	_, err = w.invoke(name, payload, func(ctx context.Context, f function) ([]byte, error) { return f.wire.Invoke(ctx, payload) })
	return err
}
