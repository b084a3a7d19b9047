package asl

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Integrations carries out tasks of other services than Lambda and Step
// Functions. A runner whose Services has it too may run machines that were
// loaded with such resources; what they mean is its to know. The context never
// ends before a call does.
type Integrations interface {
	// Call makes the request of a resource, such as
	// "arn:aws:states:::emr-containers:startJobRun.sync", with the arguments as the
	// definition names them. The answer is the task's result, or what Poll is given
	// where the resource ends in ".sync"; it is of the types that encoding/json reads.
	Call(ctx context.Context, resource string, arguments map[string]any) (any, error)
	// Poll looks at what a request of a .sync resource began. over: the task ends,
	// with the result or with the error. An error of a look that told nothing comes
	// without over, and the next look follows.
	Poll(ctx context.Context, resource string, begun any) (result any, over bool, err error)
	// Cancel asks once for the end of what was begun, as Step Functions does when
	// an execution is stopped: nobody learns whether that worked.
	Cancel(ctx context.Context, resource string, begun any)
}

// syncSuffix ends the resources whose tasks wait for the end of what they begin.
const syncSuffix = ".sync"

// How often Step Functions looks at what a .sync task began, as its developer
// guide says for Amazon EMR on EKS: each minute for ten minutes, then each five.
const (
	syncYoung    = 60 * time.Second
	syncYoungFor = 10 * time.Minute
	syncSettled  = 300 * time.Second
)

// prepareIntegration is prepare for a resource of another service.
func (x *run) prepareIntegration(arguments any) (caller, error) {
	resource := x.state.resource
	services, ok := x.r.services.(Integrations)
	if !ok {
		return nil, &TaskError{ErrorRuntime, "nobody here carries out " + resource}
	}
	args, ok := arguments.(map[string]any)
	if !ok {
		return nil, x.unusable("Arguments must be an object.")
	}
	return func(ctx context.Context) (any, error) {
		v, err := services.Call(ctx, resource, args)
		if err != nil {
			return nil, asTaskError(err)
		}
		if strings.HasSuffix(resource, syncSuffix) && !x.e.runs() {
			services.Cancel(ctx, resource, v) // the execution was stopped while the request was made
		}
		return v, nil
	}, nil
}

// follow waits for the end of what a .sync task began.
func (x *run) follow(begun data, until time.Time) (data, error) {
	x.record(Event{Type: "TaskSubmitted", Resource: x.state.resource, Output: begun.raw})
	services := x.r.services.(Integrations) // prepareIntegration saw it
	since := x.r.clock.Now()
	for {
		now := x.r.clock.Now()
		look := now.Add(syncYoung)
		if now.Sub(since) >= syncYoungFor {
			look = now.Add(syncSettled)
		}
		if !until.IsZero() && until.Before(look) {
			look = until
		}
		if x.wait(look, nil) == halted {
			return data{}, x.abandon(services, begun)
		}
		if !until.IsZero() && !x.r.clock.Now().Before(until) {
			return data{}, &TaskError{ErrorTimeout, ""}
		}
		over := false
		out, err := x.call(func(ctx context.Context) (result any, err error) {
			result, over, err = services.Poll(ctx, x.state.resource, begun.v)
			return result, err
		}, until)
		var te *TaskError
		switch {
		case errors.Is(err, errHalted):
			return data{}, x.abandon(services, begun)
		case errors.As(err, &te) && te.Name == ErrorTimeout: // the look may still be made
			return data{}, err
		case over:
			return out, err
		}
	}
}

// abandon asks for the end of what was begun, in a chain of its own: the
// execution is over. A clock that was closed asks for nothing any more.
func (x *run) abandon(services Integrations, begun data) error {
	if x.e.Status() != Running {
		resource := x.state.resource
		x.r.clock.Go(func() { services.Cancel(context.Background(), resource, begun.v) })
	}
	return errHalted
}
