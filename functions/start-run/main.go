// Start-run is the step of the machine run that starts the run and keeps the
// token that its end releases. It only wires.
package main

import (
	"context"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"nightshift/functions"
	"nightshift/internal/app"
	"nightshift/internal/edge"
	"nightshift/internal/inbound"
)

const name = "start-run"

func main() {
	h, err := build(context.Background(), os.Getenv, time.Now)
	if err != nil {
		functions.Fail(name, err)
	}
	lambda.Start(h)
}

// build wires once per environment.
func build(ctx context.Context, getenv func(string) string, now func() time.Time) (func(context.Context, edge.StartInput) error, error) {
	a, err := functions.App(ctx, name, getenv, now)
	if err != nil {
		return nil, err
	}
	return handler(a), nil
}

func handler(a *app.App) func(context.Context, edge.StartInput) error {
	return edge.StartRun(a, inbound.ParseRun)
}
