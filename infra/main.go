// Infra is the CDK app: it reads its context, makes the stack, and writes the
// cloud assembly that `cdk deploy` deploys. It knows cdk.json and the command
// line's way of handing context on; what is in the stack is package stack's.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"nightshift/infra/stack"
)

func main() {
	err := synth()
	if err != nil {
		fmt.Fprintln(os.Stderr, strings.TrimSpace(err.Error()))
	}
	// Closing removes jsii's temporary copy of the CDK. It waits for its process in
	// two places, of which one then complains that the process is gone.
	if null, failed := os.OpenFile(os.DevNull, os.O_WRONLY, 0); failed == nil {
		os.Stderr = null
	}
	jsii.Close()
	if err != nil {
		os.Exit(1)
	}
}

func synth() (err error) {
	// jsii panics with what the CDK threw; a sentence is wanted, not a stack.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the CDK refuses the app: %v", r)
		}
	}()
	flags, err := committed("cdk.json")
	if err != nil {
		return err
	}
	// Without the command line nobody hands on what cdk.json says; with it, what
	// it says wins over these.
	app := awscdk.NewApp(&awscdk.AppProps{Context: &flags, AnalyticsReporting: jsii.Bool(false), TreeMetadata: jsii.Bool(false)})
	settings, err := stack.Read(context(app))
	if err != nil {
		return err
	}
	if _, err := stack.New(app, settings); err != nil {
		return err
	}
	return stack.Synth(app)
}

// committed reads the context that stands in cdk.json.
func committed(path string) (map[string]any, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, errors.New("cdk.json cannot be read; run this in the folder infra/")
	}
	var file struct{ Context map[string]any }
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("cdk.json: %w", err)
	}
	if file.Context == nil {
		file.Context = map[string]any{}
	}
	return file.Context, nil
}

// context is everything that the app was given, the command line's -c included.
func context(app awscdk.App) map[string]any {
	all, _ := app.Node().GetAllContext(nil).(map[string]any)
	return all
}
