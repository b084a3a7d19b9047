// Repair serves what of the API for people asks engines and the identity store:
// repair, restore, and the replay of parked events. It only wires.
package main

import (
	"context"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"nightshift/functions"
	"nightshift/internal/console"
)

const name = "repair"

func main() {
	h, err := build(context.Background(), os.Getenv, time.Now)
	if err != nil {
		functions.Fail(name, err)
	}
	lambda.Start(h)
}

// build wires once per environment.
func build(ctx context.Context, getenv func(string) string, now func() time.Time) (func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error), error) {
	a, c, err := functions.Settled(ctx, name, getenv, now)
	if err != nil {
		return nil, err
	}
	return handler(console.New(a, functions.Site(c)), functions.Roles(c)), nil
}

func handler(c *console.Console, roles console.Roles) func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	return console.Gateway(c.Repairs(), roles)
}
