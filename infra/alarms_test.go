package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/infra/stack"
	"nightshift/internal/app"
	"nightshift/internal/obs"
	"nightshift/internal/obs/panel"
	"nightshift/internal/session"
)

// known is a metric's name, statistic and dimensions as the panel would write them.
func (x template) known(namespace, name, statistic any, dimensions map[string]string) string {
	m := panel.Metric{Namespace: fmt.Sprint(namespace), Name: fmt.Sprint(name), Of: map[string]string{}}
	for k, v := range dimensions {
		switch k {
		case panel.OfBus:
			v = map[bool]string{true: "bus"}[v == "nightshift"]
		case panel.OfTable:
			v = map[string]string{x.only("AWS::DynamoDB::Table"): "table"}[v]
		case panel.OfMachine:
			v = strings.TrimPrefix(v, "arn:aws:states:"+region+":"+accountID+":stateMachine:nightshift-")
		default:
			v = strings.TrimPrefix(v, "nightshift-")
		}
		m.Of[k] = v
	}
	return m.String() + " " + fmt.Sprint(statistic)
}

// only is the name of the one resource of a type.
func (x template) only(kind string) string {
	for id, r := range x.Resources {
		if r.Type == kind {
			return x.ref(id)
		}
	}
	return ""
}

func written(m panel.Metric) string { return m.String() + " " + m.Statistic }

// The template's alarms are the panel's, both ways, by which the local system is
// judged (internal/local); each says what is the matter and where stands what to
// do, and all speak on one topic that CloudWatch may publish on.
func TestAlarmsAreThePanels(t *testing.T) {
	x := full(t)
	got := map[string]map[string]any{}
	for _, a := range x.of(t, "AWS::CloudWatch::Alarm") {
		got[strings.TrimPrefix(a.Properties["AlarmName"].(string), "nightshift-")] = a.Properties
	}
	topic := x.named(t, "AWS::SNS::Topic", "TopicName", "alarms").id
	for _, a := range panel.Alarms() {
		p, ok := got[a.Name]
		if delete(got, a.Name); !ok {
			t.Errorf("alarm %s is not in the template", a.Name)
			continue
		}
		of := map[string]string{}
		for _, d := range many(p["Dimensions"]) {
			of[at(d, "Name").(string)] = x.flat(at(d, "Value"))
		}
		comparison, missing := "GreaterThanThreshold", "notBreaching"
		if a.Below {
			comparison = "LessThanThreshold"
		}
		if a.Silence {
			missing = "breaching"
		}
		if m := x.known(p["Namespace"], p["MetricName"], p["Statistic"], of); m != written(a.Metric) || p["Period"] != panel.Period.Seconds() {
			t.Errorf("alarm %s is about %s, want %s", a.Name, m, written(a.Metric))
		}
		if p["Threshold"] != a.Limit || p["EvaluationPeriods"] != float64(a.Periods) || p["DatapointsToAlarm"] != float64(a.Periods) ||
			p["ComparisonOperator"] != comparison || p["TreatMissingData"] != missing {
			t.Errorf("alarm %s: %v", a.Name, p)
		}
		if at(many(p["AlarmActions"])[0], "Ref") != topic || p["AlarmDescription"] != a.Description() || len(a.Description()) > 1024 {
			t.Errorf("alarm %s tells nobody, or not what: %v", a.Name, p["AlarmDescription"])
		}
	}
	for name := range got {
		t.Errorf("alarm %s is not the panel's: nobody tries it out", name)
	}
	policy, _ := json.Marshal(x.of(t, "AWS::SNS::TopicPolicy")[0].Properties)
	for _, part := range []string{`"Service":"cloudwatch.amazonaws.com"`, `"Service":"events.amazonaws.com"`, `"aws:SecureTransport":"false"`} {
		if !strings.Contains(string(policy), part) {
			t.Errorf("the topic's policy has no %s", part)
		}
	}
}

// What the alarms hold stops to is what the rules say, and stands in code.
func TestAlarmsHoldToThePromise(t *testing.T) {
	for _, a := range panel.Alarms() {
		if a.Name == "stop-lateness" && (a.Limit != float64(panel.Promise.Milliseconds()) || panel.Promise != 15*time.Minute) {
			t.Errorf("S2.1 the promise is 15 minutes, the alarm's limit %v", a.Limit)
		}
	}
	if panel.Promise < session.PageAfter {
		t.Errorf("a page comes after %s of %s", session.PageAfter, panel.Promise)
	}
	if panel.Ours != obs.Namespace {
		t.Errorf("the panel looks at %s, the code publishes in %s", panel.Ours, obs.Namespace)
	}
	for word, file := range map[string]string{
		"stop-unconfirmed": "../internal/session/decide.go", "Nightshift Alert": "../internal/outbound/outbound.go", stack.NoticeType: "../internal/outbound/outbound.go",
		panel.MustEnd: "../internal/app/gauges.go", panel.HasEnded: "../internal/app/gauges.go",
	} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), `"`+word+`"`) {
			t.Errorf("%s does not say %q any more", file, word)
		}
	}
}

// board reads the dashboard's widgets.
func board(t *testing.T, x template) []map[string]any {
	t.Helper()
	var body struct{ Widgets []map[string]any }
	raw := x.flat(x.of(t, "AWS::CloudWatch::Dashboard")[0].Properties["DashboardBody"])
	if err := json.Unmarshal([]byte(raw), &body); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return body.Widgets
}

// charted reads the metrics of a widget. CloudWatch leaves out what repeats the
// line above ("."); the CDK does not, which is held here.
func (x template) charted(t *testing.T, w map[string]any) []string {
	t.Helper()
	var all []string
	for _, m := range many(at(w, "properties", "metrics")) {
		parts := many(m)
		of, statistic := map[string]string{}, any("Average")
		if options, ok := parts[len(parts)-1].(map[string]any); ok {
			parts = parts[:len(parts)-1]
			if s := options["stat"]; s != nil {
				statistic = s
			}
		}
		if slices.Contains(parts, any(".")) || len(parts)%2 != 0 {
			t.Fatalf("a metric that the test cannot read: %v", parts)
		}
		for i := 2; i < len(parts); i += 2 {
			of[parts[i].(string)] = parts[i+1].(string)
		}
		all = append(all, x.known(parts[0], parts[1], statistic, of))
	}
	return all
}

// The dashboard answers what an operator asks, with the panel's widgets and no
// other, and shows every alarm.
func TestDashboardIsThePanels(t *testing.T) {
	x := full(t)
	var asked, want, got []string
	words, queries := "", 0
	for _, w := range board(t, x) {
		switch w["type"] {
		case "metric":
			got = append(got, x.charted(t, w)...)
		case "text":
			words += fmt.Sprint(at(w, "properties", "markdown"), "\n")
		case "log":
			if queries++; !strings.Contains(fmt.Sprint(at(w, "properties", "query")), "SOURCE '/aws/lambda/nightshift-on-logout'") || !strings.Contains(fmt.Sprint(at(w, "properties", "query")), panel.MustEnd) {
				t.Errorf("the query is %v", at(w, "properties", "query"))
			}
		case "alarm":
			if n := len(many(at(w, "properties", "alarms"))); n != len(panel.Alarms()) {
				t.Errorf("%d alarms are shown of %d", n, len(panel.Alarms()))
			}
		default:
			t.Errorf("a widget of type %v", w["type"])
		}
	}
	for _, r := range panel.Board() {
		asked = append(asked, r.Question)
		if !strings.Contains(words, "## "+r.Question) {
			t.Errorf("the dashboard does not ask: %s", r.Question)
		}
		for _, w := range r.Widgets {
			for _, m := range w.Metrics {
				want = append(want, written(m))
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the dashboard shows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if queries != 1 || strings.Contains(words, "${") || !strings.Contains(words, "nightshift cost --stack nightshift") {
		t.Errorf("%d queries, and the words %s", queries, words)
	}
	for _, q := range []string{"Is anything late?", "What is stuck?", "Who is revoked right now?", "What does it cost?"} {
		if !slices.Contains(asked, q) {
			t.Errorf("nobody asks %q", q)
		}
	}
}

// Each of our metrics that an alarm or a widget is about is published, with a unit
// that its statistic makes sense of; each that is published is looked at; and what
// they are about of AWS's is of a resource that the template has.
func TestMetricsArePublishedAndLookedAt(t *testing.T) {
	x, looked := full(t), map[string]bool{}
	all := []panel.Metric{}
	for _, a := range panel.Alarms() {
		all = append(all, a.Metric)
	}
	for _, r := range panel.Board() {
		for _, w := range r.Widgets {
			all = append(all, w.Metrics...)
		}
	}
	for _, m := range all {
		if m.Namespace != panel.Ours {
			x.there(t, m)
			continue
		}
		looked[m.Name] = true
		unit := obs.Names()[m.Name]
		if unit == "" || len(m.Of) > 0 || unit == "Milliseconds" && m.Statistic != panel.Maximum {
			t.Errorf("%s (%s) is published in %q, by all functions together", m, m.Statistic, unit)
		}
	}
	for name := range obs.Names() {
		if !looked[name] {
			t.Errorf("%s is published, and in no alarm and on no widget", name)
		}
	}
	if app.MetricStopLateness != "StopLateness" || len(looked) < 15 {
		t.Errorf("only %d metrics of ours are looked at", len(looked))
	}
}

// there says whether what a metric of AWS's is about is in the template.
func (x template) there(t *testing.T, m panel.Metric) {
	t.Helper()
	kinds := map[string][2]string{
		"FunctionName": {"AWS::Lambda::Function", "FunctionName"}, "QueueName": {"AWS::SQS::Queue", "QueueName"},
		"RuleName": {"AWS::Events::Rule", "Name"}, panel.OfMachine: {"AWS::StepFunctions::StateMachine", "StateMachineName"},
	}
	for k, v := range m.Of {
		if kind, ok := kinds[k]; ok {
			x.named(t, kind[0], kind[1], v)
		} else if k != panel.OfBus && k != panel.OfTable {
			t.Errorf("%s: nobody knows whether there is such a %s", m, k)
		}
	}
}

var (
	runbookHead = regexp.MustCompile(`(?m)^### ([a-z-]+)$`)
	inCode      = regexp.MustCompile("`([^`\n]+)`")
)

// runbooks reads what to do from the README, by heading.
func runbooks(t *testing.T) map[string]string {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(readme), "\n## Runbooks\n")
	if !ok {
		t.Fatal("README.md has no section Runbooks")
	}
	text, _, _ = strings.Cut(text, "\n## ")
	found, heads := map[string]string{}, runbookHead.FindAllStringSubmatchIndex(text, -1)
	for i, h := range heads {
		end := len(text)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		found[text[h[2]:h[3]]] = text[h[1]:end]
	}
	return found
}

// Every alarm has a runbook and every runbook an alarm; each says the cause, what
// to check and what to do, and its commands are there.
func TestRunbooks(t *testing.T) {
	books := runbooks(t)
	left := maps.Clone(books)
	for _, a := range panel.Alarms() {
		if _, ok := books[a.Runbook]; !ok {
			t.Errorf("alarm %s: README.md has no runbook %s", a.Name, a.Runbook)
		}
		delete(left, a.Runbook)
	}
	for _, x := range members(t) {
		for _, a := range x.of(t, "AWS::CloudWatch::Alarm") {
			_, book, _ := strings.Cut(fmt.Sprint(a.Properties["AlarmDescription"]), "README.md#")
			if _, ok := books[book]; !ok {
				t.Errorf("alarm %v: README.md has no runbook %s", a.Properties["AlarmName"], book)
			}
			delete(left, book)
		}
	}
	for name := range left {
		t.Errorf("runbook %s is no alarm's", name)
	}
	cli := filepath.Join(scratch, "nightshift-cli")
	if out, err := exec.Command("go", "build", "-o", cli, "nightshift/internal/cmd/nightshift").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	named := map[string]bool{}
	for name, text := range books {
		for _, part := range []string{"**Cause.**", "**Check.**", "**Do.**"} {
			if !strings.Contains(text, part) {
				t.Errorf("runbook %s has no %s", name, part)
			}
		}
		if commands(t, cli, "runbook "+name, text, named) == 0 {
			t.Errorf("runbook %s has no command to run", name)
		}
	}
	for _, r := range panel.Board() {
		for _, w := range r.Widgets {
			commands(t, cli, r.Question, w.Text, named)
		}
	}
	for _, c := range awsCommands {
		if !named[c] {
			t.Errorf("no runbook says aws %s", c)
		}
	}
}

// commands tries what a text tells to run, and answers how many that are: ours by
// its own help, which refuses what is no command or no flag.
func commands(t *testing.T, cli, where, text string, named map[string]bool) (n int) {
	t.Helper()
	for _, code := range inCode.FindAllStringSubmatch(text, -1) {
		words := strings.Fields(code[1])
		switch words[0] {
		case "nightshift":
			n++
			if out, err := exec.Command(cli, append(words[1:], "--help")...).CombinedOutput(); err != nil || strings.HasPrefix(string(out), "nightshift shows and ends") {
				t.Errorf("%s: %s: %v %s", where, code[1], err, out)
			}
		case "aws":
			n++
			call := strings.Join(words[1:min(3, len(words))], " ")
			if named[call] = true; !slices.Contains(awsCommands, call) {
				t.Errorf("%s: %s is not among those that were tried", where, code[1])
			}
		}
	}
	return n
}

// awsCommands are those of the AWS CLI that the runbooks name, each looked up in
// the CLI's own help: a word that is none is found here, not at night.
var awsCommands = []string{
	"events describe-rule", "events enable-rule", "lambda get-function-concurrency", "lambda get-function-configuration", "lambda list-event-source-mappings",
	"logs filter-log-events", "sqs purge-queue", "sqs receive-message", "stepfunctions get-execution-history", "stepfunctions list-executions",
}
