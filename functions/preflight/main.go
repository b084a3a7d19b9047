// Preflight is the step of the machine process-in-vpc that checks a job's
// network before the job starts. It only wires.
package main

import (
	"context"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"nightshift/functions"
	"nightshift/internal/edge"
	"nightshift/internal/inbound"
	"nightshift/internal/vpc"
)

const name = "preflight"

func main() {
	h, err := build(context.Background(), os.Getenv, time.Now)
	if err != nil {
		functions.Fail(name, err)
	}
	lambda.Start(h)
}

// build wires once per environment.
func build(ctx context.Context, getenv func(string) string, now func() time.Time) (func(context.Context, edge.OpenInput) (vpc.Output, error), error) {
	p, err := functions.Preflight(ctx, name, getenv, now)
	if err != nil {
		return nil, err
	}
	return handler(p), nil
}

func handler(p *vpc.Preflight) func(context.Context, edge.OpenInput) (vpc.Output, error) {
	return edge.Preflight(p.Check, inbound.ParseRun)
}
