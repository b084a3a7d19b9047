// Open-session is the step of the machine run that opens the session. It only wires.
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

const name = "open-session"

func main() {
	h, err := build(context.Background(), os.Getenv, time.Now)
	if err != nil {
		functions.Fail(name, err)
	}
	lambda.Start(h)
}

// build wires once per environment.
func build(ctx context.Context, getenv func(string) string, now func() time.Time) (func(context.Context, edge.OpenInput) (edge.OpenOutput, error), error) {
	a, err := functions.App(ctx, name, getenv, now)
	if err != nil {
		return nil, err
	}
	return handler(a), nil
}

func handler(a *app.App) func(context.Context, edge.OpenInput) (edge.OpenOutput, error) {
	return edge.OpenSession(a, inbound.ParseRun)
}
