package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nightshift/internal/config"
)

var update = flag.Bool("update", false, "rewrite the golden template and the README's table")

const (
	region    = "us-east-1"
	accountID = "123456789012"
)

// template is what CloudFormation is given.
type template struct {
	Resources map[string]resource
	Outputs   map[string]any
	raw       []byte
	folder    string       // the cloud assembly
	in        config.Place // where it is deployed
}

type resource struct {
	id         string
	Type       string
	Properties map[string]any
	Metadata   struct {
		Nag struct {
			Suppress []struct {
				ID        string `json:"id"`
				Reason    string `json:"reason"`
				AppliesTo []any  `json:"applies_to"`
			} `json:"rules_to_suppress"`
		} `json:"cdk_nag"`
	}
	DeletionPolicy string
}

// run runs an app as a child process: jsii does not bear a test binary.
func run(pkg, out string, context map[string]any, validation string) (stderr string, err error) {
	given, err := json.Marshal(context)
	if err != nil {
		return "", err
	}
	if _, err := exec.LookPath("node"); err != nil {
		return "", fmt.Errorf("Node.js is missing: the CDK needs it. Install Node.js 20 or later")
	}
	// Read, so that go test runs again where only the child has changed.
	if _, err := os.ReadFile(filepath.Join(pkg, "main.go")); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "run", pkg)
	cmd.Env = append(os.Environ(), "CDK_OUTDIR="+out, "CDK_CONTEXT_JSON="+string(given), "CDK_VALIDATION="+validation,
		"JSII_DEPRECATED=quiet", "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=20", "NODE_NO_WARNINGS=1")
	var b bytes.Buffer
	cmd.Stderr = &b
	err = cmd.Run()
	return b.String(), err
}

// scratch is a folder that outlives a test; TestMain removes it.
var scratch string

const builtHere, builtThere = "functions", "elsewhere/functions"

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "nightshift-infra-")
	if err != nil {
		panic(err)
	}
	scratch = dir
	// Stand-ins for the built functions: what is in them is not looked at here. The
	// second ones are the same, elsewhere and of another time.
	for folder, built := range map[string]time.Time{builtHere: time.Unix(1.7e9, 0), builtThere: time.Unix(1e9, 0)} {
		for _, f := range config.Functions() {
			bootstrap := filepath.Join(dir, folder, f, "bootstrap")
			if err := errors.Join(os.MkdirAll(filepath.Dir(bootstrap), 0o755), os.WriteFile(bootstrap, []byte(f), 0o755), os.Chtimes(bootstrap, built, built)); err != nil {
				panic(err)
			}
		}
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func contextFile(t testing.TB, name string) map[string]any {
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

type synthesis struct {
	once sync.Once
	t    template
	err  error
}

// of synthesizes once, whoever asks first.
func (s *synthesis) of(t *testing.T, name string, context map[string]any, validation string) template {
	t.Helper()
	s.once.Do(func() {
		out := filepath.Join(scratch, name)
		built := builtHere
		if name == "bare" { // TestAssetsAreReproducible
			built = builtThere
		}
		context["functionsDir"] = filepath.Join(scratch, built)
		stderr, err := run(".", out, context, validation)
		if err != nil {
			s.err = fmt.Errorf("%w\n%s%s", err, stderr, report(out))
			return
		}
		s.t, s.err = read(out, "nightshift", config.Place{Account: accountID, Region: region})
	})
	if s.err != nil {
		t.Fatalf("synthesize %s: %v", name, s.err)
	}
	return s.t
}

// read is one stack's template of a cloud assembly.
func read(folder, stack string, in config.Place) (x template, err error) {
	x.folder, x.in = folder, in
	if x.raw, err = os.ReadFile(filepath.Join(folder, stack+".template.json")); err != nil {
		return x, err
	}
	err = json.Unmarshal(x.raw, &x)
	for id, r := range x.Resources {
		r.id = id
		x.Resources[id] = r
	}
	return x, err
}

// report is what the CDK's own validator found.
func report(out string) string {
	data, _ := os.ReadFile(filepath.Join(out, "validation-report.json"))
	return string(data)
}

var whole, least, wide synthesis

// full is the stack with every context key, with all checks.
func full(t *testing.T) template { return whole.of(t, "full", contextFile(t, "context.json"), "true") }

// bare is the stack with none.
func bare(t *testing.T) template { return least.of(t, "bare", map[string]any{}, "false") }

// spread is the stack in several accounts and Regions, with all checks.
func spread(t *testing.T) template {
	c := contextFile(t, "context.json")
	maps.Copy(c, contextFile(t, "members.json"))
	return wide.of(t, "spread", c, "true")
}

// of lists the resources of a type, sorted by id; none is an error.
func (x template) of(t *testing.T, kind string) []resource {
	t.Helper()
	var all []resource
	for _, r := range x.Resources {
		if r.Type == kind {
			all = append(all, r)
		}
	}
	if len(all) == 0 {
		t.Fatalf("there is no %s to look at", kind)
	}
	slices.SortFunc(all, func(a, b resource) int { return strings.Compare(a.id, b.id) })
	return all
}

// named finds a resource by the property that names it, less the stack's name.
func (x template) named(t *testing.T, kind, property, name string) resource {
	t.Helper()
	for _, r := range x.of(t, kind) {
		if r.Properties[property] == "nightshift-"+name {
			return r
		}
	}
	t.Fatalf("there is no %s with %s nightshift-%s", kind, property, name)
	return resource{}
}

// name is a resource's own name, else its id.
func (x template) name(id string) string {
	r := x.Resources[id]
	for _, p := range []string{"FunctionName", "QueueName", "StateMachineName", "TopicName", "LogGroupName", "Name"} {
		if s, ok := r.Properties[p].(string); ok {
			return s
		}
	}
	if r.Type == "AWS::DynamoDB::Table" {
		return "table"
	}
	return id
}

var parameter = regexp.MustCompile(`\$\{([^}]+)\}`)

// flat puts values in for what CloudFormation knows only when it deploys.
func (x template) flat(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case map[string]any:
		if ref, ok := v["Ref"].(string); ok {
			return x.ref(ref)
		}
		if pair, ok := v["Fn::GetAtt"].([]any); ok {
			return x.attribute(pair[0].(string), pair[1].(string))
		}
		if join, ok := v["Fn::Join"].([]any); ok {
			var parts []string
			for _, p := range join[1].([]any) {
				parts = append(parts, x.flat(p))
			}
			return strings.Join(parts, join[0].(string))
		}
		if sub, ok := v["Fn::Sub"].(string); ok {
			return parameter.ReplaceAllStringFunc(sub, func(p string) string { return x.ref(p[2 : len(p)-1]) })
		}
	}
	out, _ := json.Marshal(v)
	return string(out)
}

func (x template) ref(id string) string {
	switch id {
	case "AWS::Region":
		return x.in.Region
	case "AWS::AccountId":
		return x.in.Account
	case "AWS::Partition":
		return "aws"
	}
	switch x.Resources[id].Type {
	case "AWS::SNS::Topic", "AWS::StepFunctions::StateMachine":
		return x.attribute(id, "Arn") // whose Ref is the ARN
	}
	return x.name(id)
}

func (x template) attribute(id, attribute string) string {
	if attribute != "Arn" {
		return x.name(id) + "." + attribute
	}
	service := map[string]string{
		"AWS::Lambda::Function": "lambda:%s:%s:function:%s", "AWS::StepFunctions::StateMachine": "states:%s:%s:stateMachine:%s",
		"AWS::Events::EventBus": "events:%s:%s:event-bus/%s", "AWS::SQS::Queue": "sqs:%s:%s:%s", "AWS::SNS::Topic": "sns:%s:%s:%s",
		"AWS::DynamoDB::Table": "dynamodb:%s:%s:table/%s",
	}[x.Resources[id].Type]
	if service == "" {
		return x.name(id) + ".Arn"
	}
	return "arn:aws:" + fmt.Sprintf(service, x.in.Region, x.in.Account, x.name(id))
}

// many reads a value that IAM lets be one or a list.
func many(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

func (x template) flats(v any) []string {
	var all []string
	for _, item := range many(v) {
		all = append(all, x.flat(item))
	}
	return all
}

// at walks into properties.
func at(v any, path ...string) any {
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	return v
}
