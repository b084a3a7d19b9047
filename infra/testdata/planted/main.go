// Planted is an app with a fault that cdk-nag finds, so that a test sees that
// the check which every synthesis runs does fail one. It knows package stack's
// check; it must not know the stack.
package main

import (
	"fmt"
	"os"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/jsii-runtime-go"

	"nightshift/infra/stack"
)

func main() {
	app := awscdk.NewApp(nil)
	awssqs.NewQueue(awscdk.NewStack(app, jsii.String("planted"), nil), jsii.String("Open"), &awssqs.QueueProps{})
	err := stack.Synth(app)
	jsii.Close()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
