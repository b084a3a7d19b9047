// On-logout takes users leaving: sign-outs, closed notebooks and stopped kernels,
// by way of its queue. It only wires.
package main

import (
	"context"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"nightshift/functions"
	"nightshift/internal/app"
	"nightshift/internal/edge"
)

const name = "on-logout"

func main() {
	h, err := build(context.Background(), os.Getenv, time.Now)
	if err != nil {
		functions.Fail(name, err)
	}
	lambda.Start(h)
}

// build wires once per environment.
func build(ctx context.Context, getenv func(string) string, now func() time.Time) (func(context.Context, events.SQSEvent) (events.SQSEventResponse, error), error) {
	a, err := functions.App(ctx, name, getenv, now)
	if err != nil {
		return nil, err
	}
	return handler(a), nil
}

func handler(a *app.App) func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
	return edge.Queue(a, name)
}
