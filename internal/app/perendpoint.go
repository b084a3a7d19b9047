package app

import (
	"context"
	"maps"
	"slices"
	"strings"

	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

// PerEndpoint is one engine made of the engines of several endpoints of an API:
// each Livy server, each region, has its own client.
type PerEndpoint map[string]Engine

var (
	_ Engine  = PerEndpoint{}
	_ Retrier = PerEndpoint{}
	_ Keeper  = PerEndpoint{}
)

func (p PerEndpoint) of(op, endpoint string) (Engine, error) {
	if e := p[endpoint]; e != nil {
		return e, nil
	}
	return nil, fault.Newf(op, fault.Invalid, "endpoint %q is not configured; configured are %s", endpoint, strings.Join(slices.Sorted(maps.Keys(p)), ", "))
}

// Start starts a run on its endpoint.
func (p PerEndpoint) Start(ctx context.Context, s Start) (workload.Run, error) {
	e, err := p.of("start run", s.Run.Endpoint)
	if err != nil {
		return workload.Run{}, err
	}
	return e.Start(ctx, s)
}

// List lists an endpoint.
func (p PerEndpoint) List(ctx context.Context, endpoint string) (workload.Listing, error) {
	e, err := p.of("list runs", endpoint)
	if err != nil {
		return workload.Listing{}, err
	}
	return e.List(ctx, endpoint)
}

// Describe asks a run's endpoint about it.
func (p PerEndpoint) Describe(ctx context.Context, run workload.Run) (workload.Observation, error) {
	e, err := p.of("describe run", run.Endpoint)
	if err != nil {
		return workload.Observation{}, err
	}
	return e.Describe(ctx, run)
}

// Stop asks a run's endpoint to stop it.
func (p PerEndpoint) Stop(ctx context.Context, run workload.Run) error {
	e, err := p.of("stop run", run.Endpoint)
	if err != nil {
		return err
	}
	return e.Stop(ctx, run)
}

// Retry goes on with a run on its endpoint, where that can.
func (p PerEndpoint) Retry(ctx context.Context, s Start, of workload.Run) (workload.Run, error) {
	const op = "retry run"
	e, err := p.of(op, s.Run.Endpoint)
	if err != nil {
		return workload.Run{}, err
	}
	r, able := e.(Retrier)
	if !able {
		return workload.Run{}, fault.Newf(op, fault.Invalid, "endpoint %q retries nothing", s.Run.Endpoint)
	}
	return r.Retry(ctx, s, of)
}

// Kept asks a run's endpoint what it keeps, where that can tell.
func (p PerEndpoint) Kept(ctx context.Context, run workload.Run) (string, error) {
	e, err := p.of("read what is kept", run.Endpoint)
	if err != nil {
		return "", err
	}
	if k, able := e.(Keeper); able {
		return k.Kept(ctx, run)
	}
	return "", nil
}
