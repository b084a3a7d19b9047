package functions

import (
	"bytes"
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/config"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

// handlers says what each function hands its events to.
var handlers = map[string]string{
	"on-logout": "Queue", "on-revocation": "Queue", "on-run-event": "Queue", "on-schedule": "Schedule",
	"open-session": "OpenSession", "start-run": "StartRun",
	"observe-endpoint": "ObserveEndpoint", "drain-endpoint": "DrainEndpoint", "run-effects": "RunEffects", "preflight": "Preflight",
	"restart-session": "RestartSession", "move-notebook": "MoveNotebook",
}

var environment = map[string]string{
	config.Region:          "us-east-1",
	config.Account:         "123456789012",
	config.Table:           "nightshift",
	config.Bus:             "nightshift",
	config.WatchMachine:    "arn:aws:states:us-east-1:123456789012:stateMachine:watch",
	config.DrainMachine:    "arn:aws:states:us-east-1:123456789012:stateMachine:drain",
	config.RunMachine:      "arn:aws:states:us-east-1:123456789012:stateMachine:run",
	config.MoveMachine:     "arn:aws:states:us-east-1:123456789012:stateMachine:move-notebook",
	config.IdentityStoreID: "d-1234567890",
	config.Endpoints: `[{"endpoint":"livy/j-1","url":"https://h1:8998"},{"endpoint":"livy/j-2","url":"https://h2:8998"},
		{"endpoint":"emr-notebook/123456789012/us-east-1"},
		{"endpoint":"emr-containers/123456789012/us-east-1","virtualClusters":["abc"]},
		{"endpoint":"sagemaker/123456789012/us-east-1"},{"endpoint":"sagemaker/123456789012/eu-west-1"}]`,
}

func now() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// Each function is built from exactly what its deployment sets.
func TestBuild(t *testing.T) {
	for _, name := range config.Functions() {
		t.Run(name, func(t *testing.T) {
			needed := append(config.For(name), config.Region)
			a, err := App(t.Context(), name, func(v string) string {
				if !slices.Contains(needed, v) {
					return ""
				}
				return environment[v]
			}, now)
			if err != nil {
				t.Fatal(err)
			}
			ports := reflect.ValueOf(*a)
			for i := range ports.NumField() {
				switch field := ports.Type().Field(i).Name; field {
				case "Engines", "Endpoints", "Settings":
					if want := slices.Contains(needed, config.Endpoints); want != (ports.Field(i).Len() > 0) {
						t.Errorf("%s: %v", field, ports.Field(i))
					}
				case "Names", "IdentityStore": // nobody is asked where no store is said
					if want := slices.Contains(needed, config.IdentityStoreID); want != !ports.Field(i).IsZero() {
						t.Errorf("%s: %v", field, ports.Field(i))
					}
				case "Users", "Sessions":
					// Sources that an account may be without: nil has a meaning.
				default:
					if ports.Field(i).IsZero() {
						t.Errorf("%s is not set", field)
					}
				}
			}
		})
	}
}

func TestBuildWithoutEnvironment(t *testing.T) {
	for _, name := range config.Functions() {
		_, err := App(t.Context(), name, func(string) string { return "" }, now)
		if err == nil || !strings.HasPrefix(err.Error(), "environment of "+name+": ") {
			t.Fatalf("%s: %v", name, err)
		}
		for _, v := range append(config.For(name), config.Region) {
			if !strings.Contains(err.Error(), v+" is not set; it must be ") {
				t.Errorf("%s: no sentence says that %s is missing:\n%v", name, v, err)
			}
		}
	}
}

// Every function is written alike: main, build, handler; its own name; and the
// one handler that is said above.
func TestMains(t *testing.T) {
	dirs, err := filepath.Glob("*/main.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, path := range dirs {
		name := filepath.Dir(path)
		if name == "console" || name == "repair" {
			continue // they serve people, and are wired by themselves
		}
		seen++
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if lines := bytes.Count(source, []byte("\n")); lines > 60 {
			t.Errorf("%s has %d lines; wiring needs at most 60", path, lines)
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		var funcs, calls []string
		named := ""
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				funcs = append(funcs, n.Name.Name)
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.SelectorExpr); ok {
					if on, ok := f.X.(*ast.Ident); ok && on.Name == "edge" {
						calls = append(calls, f.Sel.Name)
					}
				}
			case *ast.ValueSpec:
				if lit, ok := n.Values[0].(*ast.BasicLit); ok && n.Names[0].Name == "name" {
					named, _ = strconv.Unquote(lit.Value)
				}
			}
			return true
		})
		if !slices.Equal(funcs, []string{"main", "build", "handler"}) {
			t.Errorf("%s has the functions %v", path, funcs)
		}
		if named != name {
			t.Errorf("%s is named %q", path, named)
		}
		if !slices.Equal(calls, []string{handlers[name]}) {
			t.Errorf("%s hands its events to %v, want %q", path, calls, handlers[name])
		}
	}
	if seen != len(handlers) {
		t.Errorf("looked at %d functions, want %d", seen, len(handlers))
	}
}

// A function never carries test support, nor the CDK, which is a gigabyte of build and a Node
// process.
func TestNoFunctionReachesTheCDK(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "./...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("%v: %s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	if !slices.Contains(packages, "nightshift/functions/on-logout") || !slices.Contains(packages, "nightshift/internal/ddbstore") {
		t.Fatalf("%d packages, and not the functions among them", len(packages))
	}
	for _, p := range packages {
		for _, forbidden := range []string{"github.com/aws/aws-cdk-go", "github.com/aws/constructs-go", "github.com/aws/jsii-runtime-go", "nightshift/infra", "nightshift/internal/edge/runtimehost"} {
			if strings.HasPrefix(p, forbidden) {
				t.Errorf("a function reaches %s", p)
			}
		}
	}
}

// recorder is an engine that notes which of them was called.
type recorder struct {
	name  string
	calls *[]string
}

func (r recorder) Start(context.Context, app.Start) (workload.Run, error) {
	*r.calls = append(*r.calls, r.name+" start")
	return workload.Run{}, nil
}

func (r recorder) List(context.Context, string) (workload.Listing, error) {
	*r.calls = append(*r.calls, r.name+" list")
	return workload.Listing{}, nil
}

func (r recorder) Describe(context.Context, workload.Run) (workload.Observation, error) {
	*r.calls = append(*r.calls, r.name+" describe")
	return workload.Observation{}, nil
}

func (r recorder) Stop(context.Context, workload.Run) error {
	*r.calls = append(*r.calls, r.name+" stop")
	return nil
}

func TestPerEndpoint(t *testing.T) {
	var calls []string
	p := app.PerEndpoint{"livy/j-1": recorder{"one", &calls}, "livy/j-2": recorder{"two", &calls}}
	all := func(endpoint string) error {
		run := workload.Run{Endpoint: endpoint}
		_, started := p.Start(t.Context(), app.Start{Run: run})
		_, listed := p.List(t.Context(), endpoint)
		_, described := p.Describe(t.Context(), run)
		errs := []error{started, listed, described, p.Stop(t.Context(), run)}
		for _, err := range errs {
			if (err == nil) != (errs[0] == nil) || err != nil && !fault.Is(err, fault.Invalid) {
				t.Errorf("%s: %v", endpoint, err)
			}
		}
		return errs[0]
	}
	if err := all("livy/j-2"); err != nil {
		t.Error(err)
	}
	if want := []string{"two start", "two list", "two describe", "two stop"}; !slices.Equal(calls, want) {
		t.Errorf("called %v, want %v", calls, want)
	}
	err := all("livy/j-3")
	if err == nil || !strings.Contains(err.Error(), `endpoint "livy/j-3" is not configured; configured are livy/j-1, livy/j-2`) {
		t.Errorf("%v", err)
	}
}
