package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	table "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bus "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"nightshift/events"
	"nightshift/internal/app"
	"nightshift/internal/config"
	"nightshift/internal/ddbstore"
	"nightshift/internal/edge"
	"nightshift/internal/proof"
	"nightshift/internal/session"
)

const stack = "nightshift"

// The one endpoint: background sessions are off on its cluster, so that its
// sessions are interactive whatever else is unknown (S1.2, S1.10), and nothing
// listens where its server should be.
const endpoint = "livy/j-REHEARSAL"

var endpoints = `[{"endpoint":"` + endpoint + `","url":"https://127.0.0.1:9","identityPropagation":"on","clusterBackground":"off"}]`

// rehearsal is what one knows of it so far.
type rehearsal struct {
	place
	functions string // folder of the built functions
	now       func() time.Time
	until     func(context.Context, string, func() (bool, error)) error

	left    int // resources that were left out
	leftOut []string
	sdk     aws.Config
	store   *ddbstore.Store
	table   string
	bus     string
	id      string // of the session
	ended   session.Session
}

// step is one of them; it answers what it saw.
type step struct {
	name string
	do   func(context.Context) ([]string, error)
}

func (r *rehearsal) steps() []step {
	return []step{
		{"engine", r.engine},
		{"bootstrap", r.bootstrap},
		{"synth", func(ctx context.Context) ([]string, error) { return r.synth(ctx, "first") }},
		{"deploy", func(ctx context.Context) ([]string, error) { return r.deploy(ctx, "first") }},
		{"open", r.open},
		{"sign-out", r.signOut},
		{"prove", r.prove},
		{"change", func(ctx context.Context) ([]string, error) { return r.synth(ctx, "second", "-c", "logLevel=debug") }},
		{"update", r.update},
		{"destroy", r.destroy},
	}
}

// settle makes this process call the engine, and nobody else, as its children do.
func (p place) settle() {
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Unsetenv(name)
		}
	}
	for _, v := range p.environment() {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Setenv(name, value)
		}
	}
}

func (r *rehearsal) engine(ctx context.Context) ([]string, error) {
	if err := r.until(ctx, "the engine is healthy", func() (bool, error) { return r.healthy(ctx) }); err != nil {
		return nil, err
	}
	var err error
	r.sdk, err = awsconfig.LoadDefaultConfig(ctx)
	return []string{"MiniStack answers at " + r.url}, err
}

func (r *rehearsal) cdk() string {
	return filepath.Join(r.root, "infra", "node_modules", ".bin", "cdk")
}

// bootstrap stands in the scratch folder: in infra/ the command line would
// synthesize the app first.
func (r *rehearsal) bootstrap(ctx context.Context) ([]string, error) {
	return []string{"cdk bootstrap"}, r.run(ctx, r.cdk(), "bootstrap", "aws://"+account+"/"+region, "--no-notices")
}

func (r *rehearsal) assembly(name string) string { return filepath.Join(r.folder, name) }

// processor is what CloudFormation calls the one that the functions were built for.
var processor = map[string]string{"amd64": "x86_64", "arm64": "arm64"}

func (r *rehearsal) synth(ctx context.Context, name string, more ...string) ([]string, error) {
	args := append([]string{
		"synth", "-o", r.assembly(name), "-c", "terminationProtection=false", "-c", "architecture=" + processor[runtime.GOARCH], "-c", "functionsDir=" + r.functions,
		"-c", "identityStoreId=d-9067a1b2c3", "-c", "endpoints=" + endpoints, "-c", `livySubnets=["subnet-0123456789abcdef0"]`, "-c", `livySecurityGroups=["sg-0123456789abcdef0"]`,
	}, more...)
	if err := r.run(ctx, filepath.Join(r.root, "infra", "cdk.sh"), args...); err != nil {
		return nil, err
	}
	left, lines, err := strip(r.assembly(name))
	r.left, r.leftOut = left, lines
	return []string{fmt.Sprintf("%d resources left out, which the engine cannot deploy", left)}, err
}

func (r *rehearsal) deploy(ctx context.Context, name string) ([]string, error) {
	file := filepath.Join(r.folder, "outputs.json")
	err := r.run(ctx, r.cdk(), "deploy", "--app", r.assembly(name), "--require-approval", "never", "--no-notices", "--outputs-file", file)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all map[string]struct{ TableName, BusArn string }
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	of := all[stack]
	if of.TableName == "" || of.BusArn == "" {
		return nil, fmt.Errorf("the stack's outputs lack the table or the bus: %s", data)
	}
	if r.table != "" && r.table != of.TableName {
		return nil, fmt.Errorf("the table was %s and is %s: the records are gone", r.table, of.TableName)
	}
	r.table, r.bus = of.TableName, of.BusArn
	r.store = ddbstore.New(dynamodb.NewFromConfig(r.sdk), r.table)
	at, err := r.variables(ctx, stack+"-open-session")
	if err != nil {
		return nil, err
	}
	if at[config.Table] != r.table {
		return nil, fmt.Errorf("open-session is told the table %q, and the stack's is %q", at[config.Table], r.table)
	}
	return []string{"cdk deploy; its table is " + r.table}, nil
}

// sample is the sign-out that the portal sends, as events/ has it.
func sample() (detail map[string]any, err error) {
	var event struct{ Detail map[string]any }
	err = json.Unmarshal(events.Samples("nightshift-signed-out")[0].Body, &event)
	return event.Detail, err
}

// open opens a session with the deployed function, as the machine run does first.
func (r *rehearsal) open(ctx context.Context) ([]string, error) {
	detail, err := sample()
	if err != nil {
		return nil, err
	}
	input, err := json.Marshal(map[string]any{
		"user": detail["user"], "engine": "livy", "endpoint": endpoint, "interactiveSession": detail["interactiveSession"], "spec": map[string]any{"kind": "pyspark"},
	})
	if err != nil {
		return nil, err
	}
	var out edge.OpenOutput
	in := edge.OpenInput{Execution: "arn:aws:states:" + region + ":" + account + ":execution:" + stack + "-run:rehearsal", Input: input}
	if err := r.invoke(ctx, stack+"-open-session", in, &out); err != nil {
		return nil, err
	}
	s, err := r.store.Session(ctx, out.SessionID)
	if err != nil {
		return nil, err
	}
	if s.Mode != session.Interactive || s.Status == session.Ending || s.Status == session.Ended {
		return nil, fmt.Errorf("session %s is %s and %s in the table; a new interactive one is wanted", s.ID, s.Mode, s.Status)
	}
	r.id = s.ID
	return []string{fmt.Sprintf("session %s is %s and %s in the table", s.ID, s.Mode, s.Status)}, nil
}

// signOut says on the stack's bus that the user left, and waits: rule, queue and
// function do the rest (S2.1).
func (r *rehearsal) signOut(ctx context.Context) ([]string, error) {
	detail, err := sample()
	if err != nil {
		return nil, err
	}
	detail["at"] = r.now().UTC().Format(time.RFC3339Nano)
	body, err := json.Marshal(detail)
	if err != nil {
		return nil, err
	}
	sent := r.now()
	out, err := eventbridge.NewFromConfig(r.sdk).PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []bus.PutEventsRequestEntry{{
		EventBusName: aws.String(r.bus), Source: aws.String("nightshift"), DetailType: aws.String("Nightshift Signed Out"), Detail: aws.String(string(body)),
	}}})
	if err != nil {
		return nil, err
	}
	if out.FailedEntryCount > 0 {
		return nil, fmt.Errorf("the bus refuses the event: %s", aws.ToString(out.Entries[0].ErrorMessage))
	}
	err = r.until(ctx, "the session ends by its user's sign-out", func() (bool, error) {
		s, err := r.store.Session(ctx, r.id)
		r.ended = s
		return s.End.Cause == session.CauseSignOut && (s.Status == session.Ending || s.Status == session.Ended), err
	})
	if err != nil {
		return nil, fmt.Errorf("%w; it is %s, cause %q", err, r.ended.Status, r.ended.End.Cause)
	}
	return []string{fmt.Sprintf("after %.1f s the session is %s in the table, by %s", r.now().Sub(sent).Seconds(), r.ended.Status, r.ended.End.Cause)}, nil
}

// prove exports the evidence from the table, as `nightshift prove` does, and
// verifies it.
func (r *rehearsal) prove(ctx context.Context) ([]string, error) {
	report, err := r.evidence(ctx)
	if err != nil {
		return nil, err
	}
	return []string{fmt.Sprintf("%d entries of %d session verify, with the sign-out as the stop's cause", report.Entries, report.Sessions)}, nil
}

func (r *rehearsal) evidence(ctx context.Context) (proof.Report, error) {
	var file bytes.Buffer
	if err := app.ExportProof(ctx, r.store, &file, time.Time{}, time.Time{}, r.now()); err != nil {
		return proof.Report{}, err
	}
	report, err := proof.Verify(&file, proof.Options{})
	if err != nil {
		return report, err
	}
	for _, f := range report.Faults {
		return report, fmt.Errorf("the evidence does not verify: %s", f)
	}
	if len(report.Stops) != 1 || report.Stops[0].Session != r.id || report.Stops[0].Cause != string(session.CauseSignOut) {
		return report, fmt.Errorf("the evidence tells of the stops %+v, and not of the sign-out of %s", report.Stops, r.id)
	}
	return report, nil
}

// update deploys the change, and looks for it and for the records (S3.8).
func (r *rehearsal) update(ctx context.Context) ([]string, error) {
	before, err := r.variables(ctx, stack+"-on-logout")
	if err != nil {
		return nil, err
	}
	if _, err := r.deploy(ctx, "second"); err != nil {
		return nil, err
	}
	after, err := r.variables(ctx, stack+"-on-logout")
	if err != nil {
		return nil, err
	}
	if before[config.LogLevel] == "debug" || after[config.LogLevel] != "debug" {
		return nil, fmt.Errorf("the log level of on-logout was %q and is %q; debug was deployed", before[config.LogLevel], after[config.LogLevel])
	}
	if _, err := r.evidence(ctx); err != nil {
		return nil, err
	}
	return []string{"on-logout has the new log level, and the records verify as before"}, nil
}

// destroy ends the stack, and looks for what is left: nothing that runs may be.
func (r *rehearsal) destroy(ctx context.Context) ([]string, error) {
	how := "cdk destroy"
	err := r.run(ctx, r.cdk(), "destroy", "--app", r.assembly("second"), "--force", "--no-notices")
	// The command line names the stack by its id, which the engine's DeleteStack does
	// not know: it says yes and does nothing.
	if err != nil && strings.Contains(err.Error(), "Failed to destroy "+stack+": UPDATE_COMPLETE") {
		how = "cdk destroy, and DeleteStack by the stack's name"
		err = r.deleteStack(ctx)
	}
	if err != nil {
		return nil, err
	}
	var left []string
	err = r.until(ctx, "the stack's parts are gone", func() (bool, error) {
		left, err = r.running(ctx)
		return len(left) == 0, err
	})
	if err != nil {
		return nil, fmt.Errorf("%w; left are: %s", err, strings.Join(left, ", "))
	}
	// On AWS the table outlives its stack (TestTable holds its policy).
	_, err = dynamodb.NewFromConfig(r.sdk).DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(r.table)})
	if gone := (*table.ResourceNotFoundException)(nil); !errors.As(err, &gone) {
		return nil, errors.Join(errors.New("the table is there still: take its deletion from the list of what the engine does otherwise, and verify what it holds"), err)
	}
	return []string{how + "; no function, machine or rule is left"}, nil
}

// running lists the stack's functions, machines and rules that are there.
func (r *rehearsal) running(ctx context.Context) ([]string, error) {
	var all []string
	got, err := r.ask(ctx, "GET", "/2015-03-31/functions/", nil)
	if err != nil {
		return nil, err
	}
	var functions struct {
		Functions *[]struct{ FunctionName string }
	}
	if err := json.Unmarshal(got, &functions); err != nil || functions.Functions == nil {
		return nil, errors.Join(fmt.Errorf("no list of functions: %s", got), err)
	}
	for _, f := range *functions.Functions {
		all = append(all, f.FunctionName)
	}
	machines, err := sfn.NewFromConfig(r.sdk).ListStateMachines(ctx, nil)
	if err != nil {
		return nil, err
	}
	for _, m := range machines.StateMachines {
		all = append(all, aws.ToString(m.Name))
	}
	rules, err := eventbridge.NewFromConfig(r.sdk).ListRules(ctx, &eventbridge.ListRulesInput{})
	if err != nil {
		return nil, err
	}
	for _, rule := range rules.Rules {
		all = append(all, aws.ToString(rule.Name))
	}
	return all, nil
}
