package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rowsOpening is when every row's session is opened.
var rowsOpening = time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)

func rowTime(t time.Time) string { return t.Format(time.RFC3339Nano) }

// ruleRow is one row of testdata/rules: a case and what is expected of it.
type ruleRow struct {
	name string
	line map[string]any
	open openWant
	step []stepWant
}

type openWant struct {
	mode, deadline, source string // "?" is not said
	why                    []string
}

type stepWant struct {
	text             string // the step as written, for messages
	status, cause    string // cause "": as before
	effects          []string
	anyEffects       bool
	mode             string // "": as before
	deadline, source string // "": as before
	ignored, noted   bool
}

// TestRules runs every row of testdata/rules through the command: each sentence
// of S1 and S2, and each cell of S2's table on each engine.
func TestRules(t *testing.T) {
	t.Parallel()
	rows := slices.Concat(readRows(t, "s1.txt"), readRows(t, "s2.txt"), readCauses(t, "causes.txt"))
	if len(rows) < 250 {
		t.Fatalf("only %d rows were read", len(rows))
	}
	var in bytes.Buffer
	enc := json.NewEncoder(&in)
	names := map[string]bool{}
	for _, r := range rows {
		if names[r.name] {
			t.Errorf("two rows are named %q", r.name)
		}
		names[r.name] = true
		if err := enc.Encode(r.line); err != nil {
			t.Fatal(err)
		}
	}
	answers, err := decideAll(t, in.Bytes())
	if err != nil {
		t.Errorf("decide: %v", err)
	}
	if len(answers) != len(rows) {
		t.Fatalf("%d rows, %d answers", len(rows), len(answers))
	}
	steps := 0
	for i, r := range rows {
		steps += len(r.step)
		t.Run(r.name, func(t *testing.T) { checkRow(t, r, answers[i]) })
	}
	t.Logf("%d rows, %d steps", len(rows), steps)
}

// elsewhere are the sentences that a line of decide cannot show; the tests of
// internal/session hold them.
var elsewhere = []string{"S2.7", "S2.8", "S2.9"}

// TestRulesNameEverySentence: no sentence of S1 and S2 is without a row.
func TestRulesNameEverySentence(t *testing.T) {
	t.Parallel()
	rows := slices.Concat(readRows(t, "s1.txt"), readRows(t, "s2.txt"))
	count := map[string]int{}
	for _, r := range rows {
		id, _, _ := strings.Cut(r.name, " ")
		count[id]++
	}
	var sentences []string
	for i := 1; i <= 13; i++ {
		sentences = append(sentences, "S1."+strconv.Itoa(i))
	}
	for i := 1; i <= 17; i++ {
		sentences = append(sentences, "S2."+strconv.Itoa(i))
	}
	for _, s := range sentences {
		if count[s] == 0 && !slices.Contains(elsewhere, s) {
			t.Errorf("no row is named after %s", s)
		}
		delete(count, s)
	}
	delete(count, "S2")
	for id := range count {
		t.Errorf("rows are named after %q, which is no sentence of S1 or S2", id)
	}
}

func checkRow(t *testing.T, r ruleRow, a answerLine) {
	t.Helper()
	if a.Error != "" || a.ID != r.name {
		t.Fatalf("answer %+v", a)
	}
	equal := func(step, what, got, want string) {
		t.Helper()
		if want != "?" && got != want {
			t.Errorf("%s: %s is %q, want %q", step, what, got, want)
		}
	}
	equal("opening", "mode", a.Mode, r.open.mode)
	equal("opening", "deadline", a.Deadline, r.open.deadline)
	equal("opening", "deadlineSource", a.DeadlineSource, r.open.source)
	for _, w := range r.open.why {
		if !strings.Contains(strings.ToLower(strings.Join(a.Why, "\n")), strings.ToLower(w)) {
			t.Errorf("opening: no reason says %q: %q", w, a.Why)
		}
	}
	if len(a.Why) == 0 {
		t.Error("opening: no reason is given")
	}
	if len(a.Steps) != len(r.step) {
		t.Fatalf("%d steps answered, want %d", len(a.Steps), len(r.step))
	}
	before := stepLine{Mode: a.Mode, Status: "ACTIVE", Deadline: a.Deadline, DeadlineSource: a.DeadlineSource}
	for i, w := range r.step {
		g := a.Steps[i]
		equal(w.text, "status", g.Status, w.status)
		equal(w.text, "cause", g.Cause, orBefore(w.cause, before.Cause))
		equal(w.text, "mode", g.Mode, orBefore(w.mode, before.Mode))
		if w.source == "" {
			equal(w.text, "deadline", g.Deadline, before.Deadline)
			equal(w.text, "deadlineSource", g.DeadlineSource, before.DeadlineSource)
		} else {
			equal(w.text, "deadline", g.Deadline, w.deadline)
			equal(w.text, "deadlineSource", g.DeadlineSource, w.source)
		}
		if got := slices.Sorted(slices.Values(g.Effects)); !w.anyEffects && !slices.Equal(got, w.effects) {
			t.Errorf("%s: effects are %q, want %q", w.text, g.Effects, w.effects)
		}
		if w.ignored && g.Ignored == "" {
			t.Errorf("%s: no reason is given why nothing happened", w.text)
		}
		if (w.noted || len(g.Effects) > 0 || g.Status != before.Status) && g.Ignored != "" {
			t.Errorf("%s: something happened, yet ignored says %q", w.text, g.Ignored)
		}
		before = g
	}
}

func orBefore(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// The presets: the example of the issue, and what differs from it. The lever is
// the application's switch because every engine has it.
func preset(t *testing.T, name string) map[string]any {
	t.Helper()
	application, propagation := "ENABLED", "on"
	switch name {
	case "background":
	case "interactive":
		application = "DISABLED"
	case "role":
		propagation = "off"
	case "unknown-bi":
		application = "unknown"
	case "unknown-br":
		propagation = "unknown"
	case "unknown-ir":
		application, propagation = "DISABLED", "unknown"
	case "unknown-bir":
		application, propagation = "unknown", "unknown"
	default:
		t.Fatalf("no preset is named %q", name)
	}
	return map[string]any{
		"policy": map[string]any{"instanceBackground": "on", "backgroundDuration": "168h", "interactiveDuration": "8h",
			"livyIdle": "8h", "tenantLimit": "", "requireUnifiedStudioLaunch": false},
		"open": map[string]any{
			"at": rowTime(rowsOpening), "user": "u-ana",
			"interactiveSession":    map[string]any{"id": "is-1", "source": "portal", "expiresAt": rowTime(rowsOpening.Add(8 * time.Hour))},
			"run":                   map[string]any{"engine": "livy", "id": "application_17_0001", "kind": "livy-session", "application": "spark", "maxRuntimeSeconds": 0, "domain": ""},
			"applicationBackground": application,
			"service": map[string]any{"trustedIdentityPropagation": propagation, "clusterBackground": "on", "releaseLabel": "emr-7.12.0",
				"bootstrapConfirmed": "unknown", "unifiedStudioCluster": "unknown", "unifiedStudioLaunch": "unknown"},
		},
		"events": []any{},
	}
}

// newRow makes a row from the text of its opening and its steps.
func newRow(t *testing.T, name, opening string, steps []string) ruleRow {
	t.Helper()
	left, right, _ := strings.Cut(opening, "=>")
	words := strings.Fields(left)
	if len(words) < 2 || words[0] != "open" {
		t.Fatalf("%s: %q does not open anything", name, opening)
	}
	r := ruleRow{name: name, line: preset(t, words[1]), open: wantOfOpening(t, right)}
	r.line["id"] = name
	for _, w := range words[2:] {
		o := r.line["open"].(map[string]any)
		if strings.HasPrefix(w, "policy") {
			o = r.line
		}
		change(t, o, w)
	}
	var events []any
	for _, s := range steps {
		left, right, _ := strings.Cut(s, "=>")
		words := strings.Fields(left)
		if len(words) < 2 {
			t.Fatalf("%s: %q is no step", name, s)
		}
		e := map[string]any{"at": at(t, words[0]), "kind": words[1]}
		for _, w := range words[2:] {
			change(t, e, w)
		}
		events = append(events, e)
		want := wantOfStep(t, right)
		want.text = strings.Join(words, " ")
		r.step = append(r.step, want)
	}
	if len(events) > 0 {
		r.line["events"] = events
	}
	return r
}

// change sets or takes away one field of an object.
func change(t *testing.T, o map[string]any, word string) {
	t.Helper()
	path, value, ok := strings.Cut(word, "=")
	if !ok {
		t.Fatalf("%q changes nothing", word)
	}
	if path == "is" || strings.HasPrefix(path, "is.") {
		path = "interactiveSession" + strings.TrimPrefix(path, "is")
	}
	names := strings.Split(path, ".")
	for _, n := range names[:len(names)-1] {
		child, ok := o[n].(map[string]any)
		if !ok {
			child = map[string]any{}
			o[n] = child
		}
		o = child
	}
	last := names[len(names)-1]
	switch {
	case value == "-":
		if _, ok := o[last]; !ok {
			t.Fatalf("%q takes away what is not there", word)
		}
		delete(o, last)
	case last == "expiresAt" || last == "since":
		o[last] = at(t, value)
	case value == "true" || value == "false":
		o[last] = value == "true"
	case last == "maxRuntimeSeconds":
		o[last] = json.Number(value)
	default:
		o[last] = value
	}
}

var bracket = regexp.MustCompile(`\[([a-z? -]*)\]`)

func wantOfOpening(t *testing.T, text string) openWant {
	t.Helper()
	text, why, _ := strings.Cut(text, "why~")
	words := strings.Fields(text)
	if len(words) != 3 {
		t.Fatalf("%q is not mode, deadline, source", text)
	}
	w := openWant{mode: words[0], deadline: deadline(t, words[1]), source: words[2]}
	if why != "" {
		w.why = []string{strings.TrimSpace(why)}
	}
	return w
}

func wantOfStep(t *testing.T, text string) stepWant {
	t.Helper()
	var w stepWant
	if m := bracket.FindStringSubmatch(text); m != nil {
		w.anyEffects = m[1] == "?"
		w.effects = slices.Sorted(slices.Values(strings.Fields(m[1])))
		text = bracket.ReplaceAllString(text, "")
	}
	words := strings.Fields(text)
	if len(words) == 0 || !slices.Contains([]string{"ACTIVE", "ENDING", "ENDED"}, words[0]) {
		t.Fatalf("%q expects no status", text)
	}
	w.status = words[0]
	for _, word := range words[1:] {
		switch name, value, _ := strings.Cut(word, "="); {
		case word == "ignored":
			w.ignored = true
		case word == "noted":
			w.noted = true
		case name == "mode":
			w.mode = value
		case name == "deadline":
			d, source, _ := strings.Cut(value, "/")
			w.deadline, w.source = deadline(t, d), source
		case w.cause == "" && !strings.Contains(word, "="):
			w.cause = word
		default:
			t.Fatalf("%q is not understood in %q", word, text)
		}
	}
	return w
}

func deadline(t *testing.T, text string) string {
	t.Helper()
	switch text {
	case "none":
		return ""
	case "?":
		return "?"
	}
	return at(t, text)
}

// at is a time written as a duration after the opening; days are allowed.
func at(t *testing.T, text string) string {
	t.Helper()
	var d time.Duration
	rest := text
	if days, after, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil {
			t.Fatalf("%q is no time: %v", text, err)
		}
		d, rest = time.Duration(n)*24*time.Hour, after
	}
	if rest != "" {
		more, err := time.ParseDuration(rest)
		if err != nil {
			t.Fatalf("%q is no time: %v", text, err)
		}
		d += more
	}
	return rowTime(rowsOpening.Add(d))
}

func readLines(t *testing.T, file string) []string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "rules", file))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

func readRows(t *testing.T, file string) []ruleRow {
	t.Helper()
	var rows []ruleRow
	lines := readLines(t, file)
	for i := 0; i < len(lines); {
		name, ok := strings.CutPrefix(lines[i], "row ")
		if !ok || i+1 == len(lines) {
			t.Fatalf("%s: %q begins no row", file, lines[i])
		}
		end := i + 2
		for end < len(lines) && !strings.HasPrefix(lines[end], "row ") {
			end++
		}
		rows = append(rows, newRow(t, name, lines[i+1], lines[i+2:end]))
		i = end
	}
	return rows
}

// readCauses makes a row of each cell of the table of causes, on each engine
// that it concerns. A session that ends is also seen stopped; one that is closed
// is looked at again; one that goes on can still be stopped.
func readCauses(t *testing.T, file string) []ruleRow {
	t.Helper()
	modes := []string{"interactive", "background", "role", "unknown-bi", "unknown-br", "unknown-ir", "unknown-bir"}
	engines := []string{"livy", "emr-containers", "sagemaker-training", "sagemaker-processing", "sagemaker-pipeline", "emr-notebook"}
	var rows []ruleRow
	for _, line := range readLines(t, file) {
		f := strings.Split(line, "|")
		if len(f) != 6+len(modes) {
			t.Fatalf("%s: %d columns, want %d: %q", file, len(f), 6+len(modes), line)
		}
		for i := range f {
			f[i] = strings.TrimSpace(f[i])
		}
		on := strings.Fields(f[1])
		if f[1] == "all" {
			on = engines
		}
		for i, mode := range modes {
			if f[6+i] == "." {
				continue
			}
			for _, engine := range on {
				name := fmt.Sprintf("S2 %s × %s × %s: %s", f[0], mode, engine, f[6+i])
				opening := "open " + mode + " run.engine=" + engine + " " + f[2] + " => " + strings.TrimSuffix(mode, mode[strings.IndexByte(mode+"-", '-'):]) + " ? ?"
				var steps []string
				if f[3] != "" {
					steps = append(steps, f[3]+" => ACTIVE deadline=?/?")
				}
				steps = append(steps, f[4]+" => "+expectation(t, f[6+i], f[5]))
				steps = append(steps, after(f[6+i], strings.Fields(f[4])[0])...)
				rows = append(rows, newRow(t, name, opening, steps))
			}
		}
	}
	return rows
}

func expectation(t *testing.T, cell, cause string) string {
	t.Helper()
	switch cell {
	case "end":
		return "ENDING " + cause + " [stop notify]"
	case "close":
		return "ENDED " + cause + " [notify release-waiter]"
	case "lost":
		return "ENDED " + cause + " [notify alert release-waiter]"
	case "go on", "-":
		return "ACTIVE ignored"
	case "alert":
		return "ACTIVE [alert]"
	case "proved":
		return "ENDING " + cause + " mode=background [stop notify]"
	}
	t.Fatalf("the table of causes has a cell %q", cell)
	return ""
}

func after(cell, when string) []string {
	switch cell {
	case "end", "proved":
		return []string{when + " tick => ENDING [stop]", when + " run-observed state=STOPPED => ENDED [release-waiter]"}
	case "close", "lost":
		return []string{when + " tick => ENDED ignored"}
	}
	return []string{when + " stop-requested by=u-root => ENDING stop-requested [stop notify]"}
}

// answerLine is an answer as the issue describes it, good or in error.
type answerLine struct {
	ID             string     `json:"id"`
	Error          string     `json:"error"`
	Mode           string     `json:"mode"`
	Deadline       string     `json:"deadline"`
	DeadlineSource string     `json:"deadlineSource"`
	Why            []string   `json:"why"`
	Steps          []stepLine `json:"steps"`
}

type stepLine struct {
	Kind           string   `json:"kind"`
	Mode           string   `json:"mode"`
	Status         string   `json:"status"`
	Deadline       string   `json:"deadline"`
	DeadlineSource string   `json:"deadlineSource"`
	Effects        []string `json:"effects"`
	Cause          string   `json:"cause"`
	Ignored        string   `json:"ignored"`
}

// decideAll runs the command on input and reads its answers strictly: fields
// that the issue does not name are an error.
func decideAll(t *testing.T, in []byte) ([]answerLine, error) {
	t.Helper()
	var out bytes.Buffer
	failed := decide(bytes.NewReader(in), &out)
	var answers []answerLine
	for line := range bytes.Lines(out.Bytes()) {
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		var a answerLine
		if err := dec.Decode(&a); err != nil {
			t.Fatalf("answer %q: %v", line, err)
		}
		answers = append(answers, a)
	}
	return answers, failed
}

// TestRowsAreRead: the reader of the rows is not itself the reason why they
// pass.
func TestRowsAreRead(t *testing.T) {
	t.Parallel()
	r := newRow(t, "x", "open role policy.livyIdle=1h is.id=- run.maxRuntimeSeconds=7 => role 1d2h tenant-limit why~some words",
		[]string{"-1h idle-since since=2h busy=true => ENDING idle [notify stop] mode=role deadline=3d/none ignored"})
	body, err := json.Marshal(r.line)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"livyIdle":"1h"`, `"maxRuntimeSeconds":7`, `"trustedIdentityPropagation":"off"`,
		`"at":"2026-11-20T17:00:00Z"`, `"since":"2026-11-20T20:00:00Z"`, `"busy":true`} {
		if !bytes.Contains(body, []byte(part)) {
			t.Errorf("%s lacks %s", body, part)
		}
	}
	if bytes.Contains(body, []byte("is-1")) {
		t.Errorf("%s still has the interactive id", body)
	}
	if r.open.mode != "role" || r.open.deadline != "2026-11-21T20:00:00Z" || r.open.source != "tenant-limit" || r.open.why[0] != "some words" {
		t.Errorf("opening %+v", r.open)
	}
	s := r.step[0]
	if s.status != "ENDING" || s.cause != "idle" || s.mode != "role" || s.deadline != "2026-11-23T18:00:00Z" || s.source != "none" || !s.ignored || s.noted {
		t.Errorf("step %+v", s)
	}
	if !sort.StringsAreSorted(s.effects) || len(s.effects) != 2 {
		t.Errorf("effects %q", s.effects)
	}
}
