// Run-effects carries out what was decided, from the table's stream. It only wires.
package main

import (
	"context"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"nightshift/functions"
	"nightshift/internal/app"
	"nightshift/internal/ddbstore"
	"nightshift/internal/edge"
)

const name = "run-effects"

func main() {
	h, err := build(context.Background(), os.Getenv, time.Now)
	if err != nil {
		functions.Fail(name, err)
	}
	lambda.Start(h)
}

// build wires once per environment.
func build(ctx context.Context, getenv func(string) string, now func() time.Time) (func(context.Context, events.DynamoDBEvent) error, error) {
	a, err := functions.App(ctx, name, getenv, now)
	if err != nil {
		return nil, err
	}
	return handler(a), nil
}

func handler(a *app.App) func(context.Context, events.DynamoDBEvent) error {
	return edge.RunEffects(a, ddbstore.EntryOf)
}
