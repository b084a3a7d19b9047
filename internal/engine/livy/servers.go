package livy

import (
	"context"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

// Servers are several Livy servers, by endpoint. Each run goes to its own.
type Servers map[string]app.Engine

func (s Servers) of(endpoint string) (app.Engine, error) {
	e, ok := s[endpoint]
	if !ok {
		return nil, fault.Newf("find the Livy server", fault.Invalid, "endpoint %q: no Livy server is configured for it", endpoint)
	}
	return e, nil
}

// Start starts a session on the server of the run's endpoint.
func (s Servers) Start(ctx context.Context, r app.Start) (workload.Run, error) {
	e, err := s.of(r.Run.Endpoint)
	if err != nil {
		return workload.Run{}, err
	}
	return e.Start(ctx, r)
}

// List looks at one server.
func (s Servers) List(ctx context.Context, endpoint string) (workload.Listing, error) {
	e, err := s.of(endpoint)
	if err != nil {
		return workload.Listing{}, err
	}
	return e.List(ctx, endpoint)
}

// Describe asks the server of the run's endpoint.
func (s Servers) Describe(ctx context.Context, run workload.Run) (workload.Observation, error) {
	e, err := s.of(run.Endpoint)
	if err != nil {
		return workload.Observation{}, err
	}
	return e.Describe(ctx, run)
}

// Stop asks the server of the run's endpoint.
func (s Servers) Stop(ctx context.Context, run workload.Run) error {
	e, err := s.of(run.Endpoint)
	if err != nil {
		return err
	}
	return e.Stop(ctx, run)
}
