// Package tidy holds the repository's own rules as a test: what may import
// what, what may not be written, and that the README says what the code does.
package tidy

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nightshift/internal/session"
)

var update = flag.Bool("update", false, "rewrite the generated parts of the README")

const root = "../.."

// file is one Go file of the repository.
type file struct {
	path   string // from the root, with slashes
	source []byte
	syntax *ast.File
	set    *token.FileSet
}

func (f file) test() bool { return strings.HasSuffix(f.path, "_test.go") }

func (f file) folder() string { return filepath.ToSlash(filepath.Dir(f.path)) }

func goFiles(t *testing.T) []file {
	t.Helper()
	var files []file
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "cdk.out") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		syntax, err := parser.ParseFile(set, path, source, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		files = append(files, file{filepath.ToSlash(rel), source, syntax, set})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("only %d Go files found: the rules looked at next to nothing", len(files))
	}
	return files
}

// layers says what each part of the repository may import of the module, and
// which outside modules. The first prefix that fits decides.
var layers = []struct {
	prefix  string
	inside  []string // prefixes below the module
	outside []string // prefixes of other modules; the standard library is always allowed
	why     string
}{
	{"internal/session", []string{"internal/workload"}, nil, "the core is pure: it knows no storage, no transport, no AWS"},
	{"internal/workload", nil, nil, "the core is pure"},
	{"internal/cadence", nil, nil, "the core is pure"},
	{"internal/cost", []string{"internal/session", "internal/workload"}, nil, "the core is pure: prices are data"},
	{"internal/fault", nil, nil, "the core is pure"},
	{"internal/awsfault", []string{"internal/fault"}, []string{"github.com/aws/"}, "what errors of AWS mean, for every adapter of AWS"},
	{"internal/proof", nil, nil, "the core is pure"},
	{"internal/plainjson", nil, nil, "it knows JSON, and no document"},
	{"internal/finding", nil, nil, "what a check says knows nothing of what is checked"},
	{"internal/network", []string{"internal/finding"}, nil, "rules about networks, without AWS"},
	{"internal/notebook", core, nil, "rules about notebooks, without AWS"},
	{"internal/cluster", append([]string{"internal/finding"}, core...), nil, "documents about clusters, without AWS"},
	{"internal/doctor/account/accountsim", nil, nil, "a simulator knows its protocols and what there is, not our adapter"},
	{"internal/doctor/account", append([]string{"internal/doctor", "internal/network", "internal/vpc", "internal/cluster", "internal/config"}, core...), []string{"github.com/aws/"}, "the adapter knows the doctor's facts, and the preflight's reader, which is the same of another question"},
	{"internal/doctor", append([]string{"internal/finding", "internal/network", "internal/cluster", "internal/config"}, core...), nil, "rules over facts, without AWS"},
	{"internal/vpc/vpcsim", []string{"internal/network"}, nil, "a simulator knows its protocol and what there is, not our adapter"},
	{"internal/vpc", append([]string{"internal/network", "internal/finding"}, appAndAWS...), []string{"github.com/aws/"}, "adapters know the app, the core and the rules they judge by, never each other"},
	{"internal/checkpoints/s3sim", nil, nil, "a simulator knows its protocol, not our adapter"},
	{"internal/checkpoints", appAndAWS, []string{"github.com/aws/"}, "adapters know the app and the core, never each other"},
	{"internal/app", core, nil, "the app knows the core and its own ports"},
	{"internal/inbound", append([]string{"internal/plainjson"}, appAndCore...), nil, "adapters know the app and the core, never each other"},
	{"internal/outbound", appAndCore, nil, "adapters know the app and the core, never each other"},
	{"internal/memstore", appAndCore, nil, "adapters know the app and the core, never each other"},
	{"internal/accounts", nil, []string{"github.com/aws/"}, "it knows accounts and roles, not what is done there"},
	{"internal/ddbstore", append([]string{"internal/ddbstore"}, appAndAWS...), []string{"github.com/aws/"}, "adapters know the app and the core, never each other"},
	{"internal/identity", appAndAWS, []string{"github.com/aws/"}, "adapters know the app and the core, never each other"},
	{"internal/workflow", appAndAWS, []string{"github.com/aws/"}, "adapters know the app and the core, never each other"},
	{"internal/notify", appAndAWS, []string{"github.com/aws/"}, "adapters know the app and the core, never each other"},
	{"internal/config", appAndCore, nil, "adapters know the app and the core, never each other"},
	{"internal/obs/panel", []string{"internal/config", "statemachines"}, nil, "what operators look at is data, which infra reads too"},
	{"internal/obs", appAndCore, nil, "adapters know the app and the core, never each other"},
	{"internal/console", append([]string{"internal/outbound"}, appAndCore...), []string{"github.com/aws/aws-lambda-go/events"}, "the API knows the use cases for people, and answers outbound's views; never another adapter"},
	{"internal/edge/runtimehost/bench", []string{"internal/edge/runtimehost", "internal/config"}, nil, "the bench runs binaries, and wires nothing of them"},
	{"internal/edge/runtimehost/occasion", []string{"internal/edge/runtimehost", "internal/app", "internal/config", "events"}, nil, "an occasion is what a function is given: settings and an event"},
	{"internal/edge/runtimehost", nil, nil, "the host knows Lambda's protocol, not what it runs; test support, never part of a function"},
	{"internal/edge", append([]string{"internal/obs"}, appAndCore...), []string{"github.com/aws/aws-lambda-go/"}, "the edge knows the runtime and the app"},
	{"internal/engine/simrun", core, nil, "what simulators share knows no protocol"},
	{"internal/engine/enginetest", append([]string{"internal/asl/clock", "internal/engine/simrun"}, appAndCore...), nil, "the suite knows the port and the simulators' core"},
	{"internal/engine/livy/livysim", append([]string{"internal/engine/simrun"}, core...), nil, "a simulator knows its protocol, not our adapter"},
	{"internal/engine/emrcontainers/emrcontainerssim", append([]string{"internal/engine/simrun"}, core...), nil, "a simulator knows its protocol, not our adapter"},
	{"internal/engine/emrnotebook/emrnotebooksim", append([]string{"internal/engine/simrun"}, core...), nil, "a simulator knows its protocol, not our adapter"},
	{"internal/engine/sagemaker/sagemakersim", append([]string{"internal/engine/simrun"}, core...), nil, "a simulator knows its protocol, not our adapter"},
	{"internal/engine", appAndAWS, []string{"github.com/aws/"}, "adapters know the app and the core, never each other"},
	{"internal/asl/clock", nil, nil, "the clock knows time only"},
	{"internal/asl", []string{"internal/asl/clock", "internal/plainjson"}, []string{"github.com/blues/jsonata-go"}, "the interpreter knows definitions, not Nightshift"},
	{"internal/conform", nil, nil, "the suites against real engines share it"},
	{"internal/storetest", appAndCore, nil, "the suite knows the port only"},
	{"statemachines", []string{"internal/cadence"}, nil, "the machines know their numbers"},
	{"events", nil, nil, "the wire is data"},
	{"internal/local", []string{"internal/", "statemachines", "events"}, []string{"github.com/aws/"}, "wiring"},
	{"internal/sim", []string{"internal/", "statemachines", "events"}, []string{"github.com/aws/"}, "the simulation drives everything, from outside"},
	{"internal/client", nil, nil, "a client of the API knows its document only"},
	{"internal/cmd", []string{"internal/", "events"}, []string{"github.com/spf13/cobra", "github.com/aws/aws-sdk-go-v2/"}, "wiring"},
	{"functions", []string{"internal/", "functions", "statemachines"}, []string{"github.com/aws/"}, "wiring, without the CDK"},
	{"internal/tidy/licences", nil, nil, "it lists what others wrote, and needs none of it"},
	{"infra/rehearse", []string{"internal/", "events"}, []string{"github.com/aws/aws-sdk-go-v2"}, "the rehearsal reads what was deployed as the command line does, and deploys nothing by itself"},
	{
		"infra", []string{"infra", "events", "statemachines", "internal/cadence", "internal/config", "internal/ddbstore/schema", "internal/cluster", "internal/notebook", "internal/obs/panel"},
		[]string{"github.com/aws/aws-cdk-go/", "github.com/aws/constructs-go/", "github.com/aws/jsii-runtime-go", "github.com/cdklabs/cdk-nag-go/"},
		"infra knows the data that the local system reads too, the documents that the command line writes too (a cluster's, notebooks' policies), and the CDK",
	},
}

var (
	core       = []string{"internal/session", "internal/workload", "internal/cadence", "internal/cost", "internal/fault", "internal/proof"}
	appAndCore = append([]string{"internal/app"}, core...)
	appAndAWS  = append([]string{"internal/awsfault"}, appAndCore...)
)

func TestImportsFollowTheLayers(t *testing.T) {
	looked := 0
	for _, f := range goFiles(t) {
		if f.test() {
			continue
		}
		i := slices.IndexFunc(layers, func(l struct {
			prefix          string
			inside, outside []string
			why             string
		}) bool {
			return f.folder() == l.prefix || strings.HasPrefix(f.folder(), l.prefix+"/")
		})
		if i < 0 {
			t.Errorf("%s: its folder has no layer; say in internal/tidy what it may import", f.path)
			continue
		}
		for _, spec := range f.syntax.Imports {
			looked++
			path := strings.Trim(spec.Path.Value, `"`)
			if !allowed(path, f.folder(), layers[i].inside, layers[i].outside) {
				t.Errorf("%s imports %s: %s", f.path, path, layers[i].why)
			}
		}
	}
	if looked == 0 {
		t.Fatal("no import was looked at")
	}
}

func allowed(path, folder string, inside, outside []string) bool {
	own, ours := strings.CutPrefix(path, "nightshift/")
	if !ours {
		if !strings.Contains(strings.Split(path, "/")[0], ".") {
			return true // the standard library
		}
		return slices.ContainsFunc(outside, func(p string) bool { return strings.HasPrefix(path, p) })
	}
	return slices.ContainsFunc(inside, func(p string) bool {
		return own == strings.TrimSuffix(p, "/") || strings.HasPrefix(own, strings.TrimSuffix(p, "/")+"/")
	})
}

// The wall clock is read in mains only: time is an argument everywhere else.
func TestTimeIsAnArgument(t *testing.T) {
	clock := regexp.MustCompile(`\btime\.(Now|Since|Until|After|Tick|NewTimer|NewTicker|Sleep)\b`)
	// ddbstore pauses for real between tries; tests that measure real durations
	// read the wall clock.
	may := []string{"internal/ddbstore/store.go", "internal/asl/clock/clock_test.go", "internal/tidy/tidy_test.go", "internal/ddbstore/conform_test.go", "internal/cmd/nightshift/decide_test.go", "internal/cmd/nightshift/demo_test.go"}
	for _, f := range goFiles(t) {
		if strings.HasSuffix(f.path, "/main.go") || slices.Contains(may, f.path) {
			continue
		}
		if found := clock.Find(f.source); found != nil {
			t.Errorf("%s uses %s: take the time as an argument", f.path, found)
		}
	}
}

func TestFunctionsFitAScreen(t *testing.T) {
	const lines = 70
	looked := 0
	for _, f := range goFiles(t) {
		for _, d := range f.syntax.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil || f.test() {
				continue
			}
			looked++
			if n := f.set.Position(fn.End()).Line - f.set.Position(fn.Pos()).Line + 1; n > lines {
				t.Errorf("%s: %s has %d lines; at most %d", f.path, fn.Name.Name, n, lines)
			}
		}
	}
	if looked == 0 {
		t.Fatal("no function was looked at")
	}
}

func TestPackagesSayWhatTheyKnow(t *testing.T) {
	documented, packages := map[string]bool{}, map[string]bool{}
	for _, f := range goFiles(t) {
		if f.test() && f.folder() != "internal/tidy" {
			continue
		}
		packages[f.folder()] = true
		documented[f.folder()] = documented[f.folder()] || f.syntax.Doc != nil
	}
	for p := range packages {
		if !documented[p] {
			t.Errorf("%s has no package comment", p)
		}
		if slices.Contains([]string{"util", "utils", "common", "helpers", "types", "base", "manager"}, filepath.Base(p)) {
			t.Errorf("%s: a package is named by what it knows, not so", p)
		}
	}
}

func TestNothingIsLeftOpen(t *testing.T) {
	open := regexp.MustCompile(`(?i)\b(TO` + `DO|FIX` + `ME|X` + `XX|t\.Ski` + `p(Now|f)?)\b`)
	// The page's tests say so where there is no browser, and fail in CI.
	may := map[string]string{"internal/console/page_test.go": "t.Ski" + "p"}
	for _, f := range goFiles(t) {
		if found := open.Find(f.source); found != nil && may[f.path] != string(found) {
			t.Errorf("%s: %s is a promise or a defect", f.path, found)
		}
	}
}

func TestTopLevelIsFixed(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	may := []string{"go.mod", "go.sum", "functions", "infra", "internal", "statemachines", "events", "Makefile", "README.md", "LICENSE"}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(may, e.Name()) {
			t.Errorf("%s does not belong to the top level", e.Name())
		}
	}
}

// The README's matrix is printed from the table that decides.
func TestReadmeMatrix(t *testing.T) {
	path := filepath.Join(root, "README.md")
	readme, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- matrix: made by `make golden` -->\n", "<!-- end of matrix -->"
	i, j := bytes.Index(readme, []byte(begin)), bytes.Index(readme, []byte(end))
	if i < 0 || j < i {
		t.Fatal("README.md has no matrix between its two marks")
	}
	want := matrix()
	if got := string(readme[i+len(begin) : j]); got == want {
		return
	}
	if !*update {
		t.Fatal("README.md's matrix differs from the table of causes; run `make golden`")
	}
	out := append(append(append([]byte(nil), readme[:i+len(begin)]...), want...), readme[j:]...)
	if err := os.WriteFile(path, out, 0o644); err != nil { //nolint:gosec // a README is for everyone
		t.Fatal(err)
	}
}

func matrix() string {
	var b strings.Builder
	b.WriteString("| cause | interactive | background | role |\n|---|---|---|---|\n")
	for _, row := range session.Causes() {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	return b.String()
}
