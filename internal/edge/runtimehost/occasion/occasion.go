// Package occasion says, for each function, an environment to run its binary in
// and a typical event to give it. It knows what invokes a function and what its
// event looks like; how a function is run and judged is its users' to know.
package occasion

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"nightshift/events"
	"nightshift/internal/app"
	"nightshift/internal/config"
	"nightshift/internal/edge/runtimehost"
)

// Table is the table that every environment names.
const Table = "nightshift"

const (
	account   = "123456789012"
	endpoint  = "sagemaker/" + account + "/us-east-1"
	execution = "arn:aws:states:us-east-1:" + account + ":execution:nightshift-run:one"
	restart   = "arn:aws:states:us-east-1:" + account + ":execution:nightshift-restart:one"
	// Who may see what needs repair.
	administrator = "arn:aws:iam::" + account + ":role/operator"
	runInput      = `{"user":"u-ana","engine":"sagemaker-training","endpoint":"` + endpoint + `","spec":{
		"TrainingJobName":"nightly","AlgorithmSpecification":{"TrainingInputMode":"File","TrainingImage":"image"},
		"RoleArn":"arn:aws:iam::` + account + `:role/training","OutputDataConfig":{"S3OutputPath":"s3://bucket/out"},
		"ResourceConfig":{"InstanceCount":1,"InstanceType":"ml.m5.large","VolumeSizeInGB":10},"StoppingCondition":{"MaxRuntimeInSeconds":3600}}}`
)

var values = map[string]string{
	config.Account:         account,
	config.Table:           Table,
	config.Bus:             "nightshift",
	config.WatchMachine:    "arn:aws:states:us-east-1:" + account + ":stateMachine:watch",
	config.DrainMachine:    "arn:aws:states:us-east-1:" + account + ":stateMachine:drain",
	config.RunMachine:      "arn:aws:states:us-east-1:" + account + ":stateMachine:run",
	config.MoveMachine:     "arn:aws:states:us-east-1:" + account + ":stateMachine:move-notebook",
	config.IdentityStoreID: "d-1234567890",
	config.Endpoints:       `[{"endpoint":"` + endpoint + `","identityPropagation":"on"}]`,
}

// Environment is what a deployment of the function sets, and its region.
func Environment(function string) map[string]string {
	env := map[string]string{config.Region: "us-east-1"}
	for _, name := range config.For(function) {
		env[name] = values[name]
	}
	if slices.Contains(config.Optional(function), config.ConsoleAdministrators) {
		env[config.ConsoleAdministrators] = `["` + administrator + `"]`
	}
	return env
}

// Script is what services answer the events, where {} is no answer.
func Script() map[string]runtimehost.Reply {
	return map[string]runtimehost.Reply{
		"SageMaker.CreateTrainingJob": {Body: `{"TrainingJobArn":"arn:aws:sagemaker:us-east-1:` + account + `:training-job/nightly"}`},
		"POST /":                      {Body: `<Response><subnetSet/></Response>`}, // EC2, whatever it is asked
	}
}

// Items are what is in the table when the function's event comes: for those that
// continue it, what open-session has put there.
func Items(function string, opened []json.RawMessage) []json.RawMessage {
	switch function {
	case "start-run", "run-effects":
		return opened
	case "restart-session":
		// Its run is being stopped: the usual first answer is that it is waited for. A
		// session is written packed; in plain text, as at first, it can be read too.
		id := app.SessionOfExecution(execution)
		return []json.RawMessage{fmt.Appendf(nil, `{"pk":{"S":%q},"sk":{"S":"STATE"},"schema":{"N":"1"},"version":{"N":"1"},"doc":{"S":%q}}`, "S#"+id,
			fmt.Sprintf(`{"id":%q,"version":1,"user":"u-ana","status":"ENDING","run":{"engine":"sagemaker-training","endpoint":%q}}`, id, endpoint))}
	}
	return nil
}

// Event is a typical event of the function. items are what open-session has put
// into the table, for the functions that continue it.
func Event(function string, items []json.RawMessage) ([]byte, error) {
	switch function {
	case "on-logout":
		return queued("cloudtrail-logout", "ana-signs-out")
	case "on-revocation":
		return queued("cloudtrail-disable-user", "ben-is-disabled")
	case "on-run-event":
		return queued("cloudtrail-job-created", "training-job-by-ana")
	case "on-schedule":
		return []byte(`{"source":"aws.scheduler"}`), nil
	case "open-session":
		return fmt.Appendf(nil, `{"execution":%q,"input":%s}`, execution, runInput), nil
	case "start-run":
		id := app.SessionOfExecution(execution)
		return fmt.Appendf(nil, `{"sessionId":%q,"taskToken":"token","execution":%q,"input":%s}`, id, execution, runInput), nil
	case "preflight":
		// The job names a subnet that does not exist, and nothing else of a network.
		return fmt.Appendf(nil, `{"execution":%q,"input":{"user":"u-ana","engine":"sagemaker-processing","endpoint":%q,"spec":{
			"NetworkConfig":{"VpcConfig":{"Subnets":["subnet-0a1b2c3d"]}},"ProcessingResources":{"ClusterConfig":{"InstanceCount":1}}}}}`, execution, endpoint), nil
	case "run-effects":
		return streamed(items)
	case "console":
		return fmt.Appendf(nil, `{"version":"2.0","rawPath":"/api/policy","headers":{},"requestContext":{"http":{"method":"GET"},
			"authorizer":{"jwt":{"claims":{"sub":"u-ana"}}}}}`), nil
	case "repair":
		return fmt.Appendf(nil, `{"version":"2.0","rawPath":"/iam/api/repair","headers":{},"requestContext":{"http":{"method":"GET"},
			"authorizer":{"iam":{"userArn":%q}}}}`, administrator), nil
	case "restart-session":
		return fmt.Appendf(nil, `{"execution":%q,"input":{"session":%q}}`, restart, app.SessionOfExecution(execution)), nil
	case "move-notebook":
		return fmt.Appendf(nil, `{"step":"look","execution":%q,"started":{"execution":%q,"session":"s-unheard-of","cluster":"j-2AXXXXXXGAPLF"}}`, execution, execution), nil
	case "observe-endpoint", "drain-endpoint":
		return fmt.Appendf(nil, `{"endpoint":%q,"generation":1}`, endpoint), nil
	}
	return nil, fmt.Errorf("no event is said for the function %q", function)
}

// streamed is a batch of a table's stream: each item as it is put for the first
// time.
func streamed(items []json.RawMessage) ([]byte, error) {
	if len(items) == 0 {
		return nil, errors.New("there are no items that a stream could bring")
	}
	var records []any
	for _, it := range items {
		records = append(records, map[string]any{
			"eventID": fmt.Sprint(len(records)), "eventName": "INSERT", "eventSource": "aws:dynamodb", "awsRegion": "us-east-1",
			"dynamodb": map[string]any{"NewImage": it, "StreamViewType": "NEW_IMAGE"},
		})
	}
	return json.Marshal(map[string]any{"Records": records})
}

// queued is a sample of a kind of event, as SQS brings it.
func queued(kind, name string) ([]byte, error) {
	for _, f := range events.Samples(kind) {
		if f.Name == name {
			return Batch(f.Body)
		}
	}
	return nil, fmt.Errorf("there is no event %q of the kind %q", name, kind)
}

// Message is the id of the one message of a Batch.
const Message = "00000000-0000-4000-8000-00000000000a"

// Batch is a batch of one message of that body, as SQS brings it.
func Batch(body []byte) ([]byte, error) {
	return json.Marshal(map[string]any{"Records": []any{map[string]any{
		"messageId": Message, "receiptHandle": "receipt", "body": string(body),
		"eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:" + account + ":queue", "awsRegion": "us-east-1",
	}}})
}

// Replayed is the table's item that says up to when identity events have been
// replayed; with a recent one on-schedule has no replay to make.
func Replayed(at time.Time) json.RawMessage {
	return fmt.Appendf(nil, `{"PK":{"S":"MARK#identity-replay"},"SK":{"S":"MARK"},"schema":{"N":"1"},"at":{"S":%q}}`, at.UTC().Format(time.RFC3339Nano))
}
