package obs_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/obs"
)

func moment() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC) }

// The lines are read by CloudWatch, not by us: their form is fixed here.
func TestMeterGolden(t *testing.T) {
	var out bytes.Buffer
	m := obs.NewMeter(&out, "run-effects", moment)
	m.Count(app.MetricEnded, 2)
	m.Count(app.MetricUnidentified, 0)
	m.Lateness(app.MetricStopLateness, 1500*time.Millisecond)
	m.Lateness(app.MetricStopLatenessHappened, -time.Second)
	m.Count("user-ana@example.com", 1)
	m.Count(app.MetricStopLateness, 1)
	const want = `{"_aws":{"Timestamp":1772366400005,"CloudWatchMetrics":[{"Namespace":"Nightshift","Dimensions":[[],["Function"]],"Metrics":[{"Name":"SessionsEnded","Unit":"Count"}]}]},"Function":"run-effects","SessionsEnded":2}
{"_aws":{"Timestamp":1772366400005,"CloudWatchMetrics":[{"Namespace":"Nightshift","Dimensions":[[],["Function"]],"Metrics":[{"Name":"StopLateness","Unit":"Milliseconds"}]}]},"Function":"run-effects","StopLateness":1500}
{"_aws":{"Timestamp":1772366400005,"CloudWatchMetrics":[{"Namespace":"Nightshift","Dimensions":[[],["Function"]],"Metrics":[{"Name":"StopLatenessFromOwnTime","Unit":"Milliseconds"}]}]},"Function":"run-effects","StopLatenessFromOwnTime":0}
{"_aws":{"Timestamp":1772366400005,"CloudWatchMetrics":[{"Namespace":"Nightshift","Dimensions":[[],["Function"]],"Metrics":[{"Name":"MetricsRefused","Unit":"Count"}]}]},"Function":"run-effects","MetricsRefused":1}
{"_aws":{"Timestamp":1772366400005,"CloudWatchMetrics":[{"Namespace":"Nightshift","Dimensions":[[],["Function"]],"Metrics":[{"Name":"MetricsRefused","Unit":"Count"}]}]},"Function":"run-effects","MetricsRefused":1}
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	for l := range strings.Lines(out.String()) {
		if !json.Valid([]byte(l)) {
			t.Errorf("not JSON: %s", l)
		}
	}
}

// Every metric that the app names is published.
func TestEveryMetricIsKnown(t *testing.T) {
	names := 0
	for _, file := range files(t, "../app/*.go") {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Names) != 1 || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Metric") {
				return true
			}
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				names++
				if name, _ := strconv.Unquote(lit.Value); obs.Names()[name] == "" {
					t.Errorf("%s is not published: %q is in no list", spec.Names[0].Name, name)
				}
			}
			return true
		})
	}
	if names < 5 {
		t.Fatalf("found %d metrics in package app", names)
	}
}

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	log := obs.NewLogger(&out, slog.LevelInfo, "on-logout")
	log.Debug("not written")
	log.Warn("event parked", obs.KeyReason, "detail.user: it is missing")
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	delete(got, "time")
	want := map[string]any{"level": "WARN", "msg": "event parked", "function": "on-logout", "reason": "detail.user: it is missing"}
	if len(got) != len(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s is %v, want %v", k, got[k], v)
		}
	}
}

// Whoever logs uses the keys of this package, and constant messages.
func TestKeysUsed(t *testing.T) {
	calls := 0
	for _, pattern := range []string{"../app/*.go", "../edge/*.go", "../identity/*.go", "../../functions/*.go", "../../functions/*/*.go"} {
		for _, file := range files(t, pattern) {
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || !logs(call) {
					return true
				}
				calls++
				if lit, ok := call.Args[0].(*ast.BasicLit); !ok || lit.Kind != token.STRING {
					t.Errorf("a log message is not constant")
				}
				for i := 1; i < len(call.Args); i++ {
					arg := call.Args[i]
					if attr, ok := arg.(*ast.CallExpr); ok && len(attr.Args) == 2 {
						arg = attr.Args[0]
					} else {
						i++ // the value
					}
					lit, ok := arg.(*ast.BasicLit)
					if !ok {
						continue // a constant of this package
					}
					if key, _ := strconv.Unquote(lit.Value); !slices.Contains(obs.Keys(), key) {
						t.Errorf("%q is not a key of package obs", key)
					}
				}
				return true
			})
		}
	}
	if calls < 5 {
		t.Fatalf("looked at %d calls", calls)
	}
}

// logs says whether the call is of a method of a logger named Log or log.
func logs(call *ast.CallExpr) bool {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains([]string{"Debug", "Info", "Warn", "Error"}, method.Sel.Name) || len(call.Args) == 0 {
		return false
	}
	switch on := method.X.(type) {
	case *ast.SelectorExpr:
		return on.Sel.Name == "Log" || on.Sel.Name == "log"
	case *ast.Ident:
		return on.Name == "log"
	}
	return false
}

func files(t *testing.T, pattern string) []*ast.File {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	var all []*ast.File
	for _, p := range paths {
		if strings.HasSuffix(p, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	return all
}
