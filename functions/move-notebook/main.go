// Move-notebook is every step of the machine move-notebook that is not EMR's own
// call. It only wires.
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
	"nightshift/internal/notebook"
)

const name = "move-notebook"

func main() {
	h, err := build(context.Background(), os.Getenv, time.Now)
	if err != nil {
		functions.Fail(name, err)
	}
	lambda.Start(h)
}

// build wires once per environment.
func build(ctx context.Context, getenv func(string) string, now func() time.Time) (func(context.Context, edge.MoveInput) (map[string]any, error), error) {
	a, err := functions.App(ctx, name, getenv, now)
	if err != nil {
		return nil, err
	}
	return handler(a), nil
}

func handler(a *app.App) func(context.Context, edge.MoveInput) (map[string]any, error) {
	return edge.MoveNotebook(a, edge.Moves{Parse: inbound.ParseMove, Like: notebook.Like, Judge: notebook.Judge})
}
