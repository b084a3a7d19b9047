package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asCommand, set in the environment, makes the test binary be the command.
const asCommand = "NIGHTSHIFT_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// example is the line of the issue.
const example = `{"id":"case-1",
 "policy":{"instanceBackground":"on","backgroundDuration":"168h","interactiveDuration":"8h","livyIdle":"8h","tenantLimit":"","requireUnifiedStudioLaunch":false},
 "open":{"at":"2026-11-20T18:00:00Z","user":"u-ana",
  "interactiveSession":{"id":"is-1","source":"portal","expiresAt":"2026-11-21T02:00:00Z"},
  "run":{"engine":"livy","id":"application_17_0001","kind":"livy-session","application":"spark","maxRuntimeSeconds":0,"domain":""},
  "applicationBackground":"ENABLED",
  "service":{"trustedIdentityPropagation":"on","clusterBackground":"on","releaseLabel":"emr-7.12.0","bootstrapConfirmed":"unknown","unifiedStudioCluster":"unknown","unifiedStudioLaunch":"unknown"}},
 "events":[{"at":"2026-11-20T19:00:00Z","kind":"sign-out","user":"u-ana","interactiveSession":{"id":"is-1","source":"portal"}}]}`

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", "") }

// with is the example with some text replaced; the text must be there.
func with(t *testing.T, replacements ...string) string {
	t.Helper()
	line := oneLine(example)
	for i := 0; i < len(replacements); i += 2 {
		if !strings.Contains(line, replacements[i]) {
			t.Fatalf("the example has no %s", replacements[i])
		}
		line = strings.Replace(line, replacements[i], replacements[i+1], 1)
	}
	return line
}

// events is the example with these events.
func events(t *testing.T, events ...string) string {
	t.Helper()
	return with(t, `{"at":"2026-11-20T19:00:00Z","kind":"sign-out","user":"u-ana","interactiveSession":{"id":"is-1","source":"portal"}}`, strings.Join(events, ","))
}

func one(t *testing.T, line string) answerLine {
	t.Helper()
	answers, err := decideAll(t, []byte(line+"\n"))
	if len(answers) != 1 {
		t.Fatalf("%d answers to one line: %v", len(answers), err)
	}
	if (err != nil) != (answers[0].Error != "") {
		t.Fatalf("the command says %v of %+v", err, answers[0])
	}
	return answers[0]
}

func TestDecideExample(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := decide(strings.NewReader(oneLine(example)), &out); err != nil { // without a newline at the end
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if names := sorted(got); !slices.Equal(names, []string{"deadline", "deadlineSource", "id", "mode", "steps", "why"}) {
		t.Errorf("an answer has the fields %q", names)
	}
	a := one(t, oneLine(example))
	if a.ID != "case-1" || a.Mode != "background" || a.Deadline != "2026-11-27T18:00:00Z" || a.DeadlineSource != "background-duration" || len(a.Why) == 0 || len(a.Steps) != 1 {
		t.Fatalf("answer %+v", a)
	}
	s := a.Steps[0]
	if s.Kind != "sign-out" || s.Mode != "background" || s.Status != "ACTIVE" || s.Deadline != a.Deadline || s.DeadlineSource != a.DeadlineSource || s.Cause != "" || s.Ignored == "" {
		t.Errorf("step %+v", s)
	}
	step, _ := got["steps"].([]any)[0].(map[string]any)
	if names := sorted(step); !slices.Equal(names, []string{"cause", "deadline", "deadlineSource", "effects", "ignored", "kind", "mode", "status"}) {
		t.Errorf("a step has the fields %q", names)
	}
	if e, ok := step["effects"].([]any); !ok || len(e) != 0 {
		t.Errorf("no effects are %v, want an empty list", step["effects"])
	}
}

func sorted(m map[string]any) []string {
	var names []string
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// TestDecideRefuses: a line in error is answered with a sentence that names the
// field and what is allowed.
func TestDecideRefuses(t *testing.T) {
	t.Parallel()
	at := `{"at":"2026-11-20T19:00:00Z","kind":`
	for _, c := range []struct {
		name, line string
		says       []string
	}{
		{"an unknown field", with(t, `"id":"case-1"`, `"id":"case-1","surprise":1`), []string{"surprise"}},
		{"an unknown field of the policy", with(t, `"livyIdle"`, `"livyIdel"`), []string{"livyIdel", "policy"}},
		{"an unknown field of the opening", with(t, `"applicationBackground"`, `"applicationBackgrounds"`), []string{"applicationBackgrounds"}},
		{"an unknown field of the run", with(t, `"domain":""`, `"domian":""`), []string{"domian", "run"}},
		{"an unknown field of the service", with(t, `"releaseLabel"`, `"release"`), []string{"release", "service"}},
		{"an unknown field of the interactive session", with(t, `"expiresAt"`, `"expires"`), []string{"expires", "interactiveSession"}},
		{"an unknown field of an event", events(t, at+`"tick","why":"x"}`), []string{"why", "events[0]"}},
		{"an unknown field of the second event", events(t, at+`"tick"}`, at+`"tick","why":"x"}`), []string{"why", "events[1]"}},
		{"an unknown field of an event's policy", events(t, at+`"policy-changed","policy":{"idle":"1h"}}`), []string{"idle", "policy", "events[0]"}},
		{"an unknown field that is null", with(t, `"id":"case-1"`, `"id":"case-1","surprise":null`), []string{"surprise"}},
		{"a field in another case", with(t, `"user":"u-ana"`, `"User":"u-ana"`), []string{"User"}},
		{"a policy field in another case", with(t, `"livyIdle"`, `"livyidle"`), []string{"livyidle"}},
		{"an event field in another case", events(t, at+`"tick","Kind":"tick"}`), []string{"Kind"}},
		{"a field given twice", with(t, `"user":"u-ana"`, `"user":"u-ana","user":"u-ben"`), []string{"user"}},
		{"an unknown kind", events(t, at+`"coffee"}`), []string{"kind", "coffee", "sign-out", "interactive-expired"}},
		{"a kind in another case", events(t, at+`"Sign-Out","user":"u-ana"}`), []string{"kind", "Sign-Out"}},
		{"a kind of our own steps", events(t, at+`"run-started"}`), []string{"kind", "run-started"}},
		{"a kind of our own steps, waiter", events(t, at+`"waiter-registered"}`), []string{"kind", "waiter-registered"}},
		{"no kind", events(t, `{"at":"2026-11-20T19:00:00Z"}`), []string{"kind"}},
		{"no time of an event", events(t, `{"kind":"tick"}`), []string{"at", "events[0]"}},
		{"an idle-since without busy", events(t, at+`"idle-since","since":"2026-11-20T18:30:00Z"}`), []string{"busy"}},
		{"an idle-since whose busy is null", events(t, at+`"idle-since","since":"2026-11-20T18:30:00Z","busy":null}`), []string{"busy"}},
		{"an idle-since whose busy is a word", events(t, at+`"idle-since","since":"2026-11-20T18:30:00Z","busy":"no"}`), []string{"busy"}},
		{"a run-observed without state", events(t, at+`"run-observed"}`), []string{"state"}},
		{"a run-observed of an unknown state", events(t, at+`"run-observed","state":"DANCING"}`), []string{"state", "DANCING", "RUNNING", "GONE"}},
		{"a policy-changed without policy", events(t, at+`"policy-changed"}`), []string{"policy"}},
		{"a bad policy inside an event", events(t, at+`"policy-changed","policy":{"livyIdle":"1m"}}`), []string{"events[0]", "livyIdle", "15 minutes", "90 days"}},
		{"a bad switch inside an event's policy", events(t, at+`"policy-changed","policy":{"instanceBackground":"yes"}}`), []string{"instanceBackground", "yes", "on", "off", "unknown"}},
		{"a switch that is neither", with(t, `"instanceBackground":"on"`, `"instanceBackground":"ENABLED"`), []string{"instanceBackground", "ENABLED", "on", "off", "unknown"}},
		{"a switch that is a boolean", with(t, `"clusterBackground":"on"`, `"clusterBackground":true`), []string{"clusterBackground"}},
		{"an application switch in the other words", with(t, `"applicationBackground":"ENABLED"`, `"applicationBackground":"on"`), []string{"applicationBackground", "ENABLED", "DISABLED"}},
		{"an unknown engine", with(t, `"engine":"livy"`, `"engine":"spark"`), []string{"engine", "livy", "emr-notebook"}},
		{"no engine", with(t, `"engine":"livy",`, ``), []string{"engine"}},
		{"an unknown kind of run", with(t, `"kind":"livy-session"`, `"kind":"session"`), []string{"kind", "livy-session", "livy-streaming"}},
		{"an unknown application", with(t, `"application":"spark"`, `"application":"flink"`), []string{"application", "flink", "spark", "hive"}},
		{"a negative runtime", with(t, `"maxRuntimeSeconds":0`, `"maxRuntimeSeconds":-1`), []string{"maxRuntimeSeconds"}},
		{"a runtime that is no whole number", with(t, `"maxRuntimeSeconds":0`, `"maxRuntimeSeconds":1.5`), []string{"maxRuntimeSeconds"}},
		{"a runtime beyond all durations", with(t, `"maxRuntimeSeconds":0`, `"maxRuntimeSeconds":99999999999999`), []string{"maxRuntimeSeconds"}},
		{"no opening", `{"id":"case-1"}`, []string{"open"}},
		{"no time of the opening", with(t, `"at":"2026-11-20T18:00:00Z",`, ``), []string{"at", "open"}},
		{"a time that is none", with(t, `"at":"2026-11-20T18:00:00Z"`, `"at":"yesterday"`), []string{"at", "yesterday"}},
		{"no user of the opening", with(t, `"user":"u-ana",`, ``), []string{"user"}},
		{"no user of a sign-out", events(t, at+`"sign-out"}`), []string{"user"}},
		{"events that are no list", with(t, `"events":[`, `"events":{},"x":[`), []string{"events"}},
		{"an event that is no object", events(t, `"tick"`), []string{"events[0]"}},
		{"an event that is null", events(t, `null`), []string{"events[0]"}},
		{"an id that is no string", with(t, `"id":"case-1"`, `"id":1`), []string{"id"}},
		{"a duration that is no string", with(t, `"livyIdle":"8h"`, `"livyIdle":8`), []string{"livyIdle"}},
		{"a duration in days", with(t, `"backgroundDuration":"168h"`, `"backgroundDuration":"7d"`), []string{"backgroundDuration", "15 minutes", "90 days"}},
		{"not JSON", `{"id":"case-1",`, nil},
		{"a word", `hello`, nil},
		{"a list", `[]`, nil},
		{"a number", `17`, nil},
		{"null", `null`, nil},
		{"two objects on one line", oneLine(example) + oneLine(example), nil},
		{"a word after the object", oneLine(example) + " hello", nil},
		{"a brace after the object", oneLine(example) + "}", nil},
		{"a comma after the object", oneLine(example) + ",", nil},
		{"a quote after the object", oneLine(example) + `"`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := one(t, c.line)
			if a.Error == "" {
				t.Fatalf("answered with %+v", a)
			}
			for _, w := range c.says {
				if !strings.Contains(a.Error, w) {
					t.Errorf("%q does not say %q", a.Error, w)
				}
			}
			if strings.Contains(a.Error, "goroutine") || strings.Contains(a.Error, "runtime error") || strings.Contains(a.Error, "json:") {
				t.Errorf("%q is no sentence for people", a.Error)
			}
			if json.Valid([]byte(c.line)) && strings.Contains(c.line, `"id":"case-1"`) && a.ID != "case-1" {
				t.Errorf("the error carries the id %q", a.ID)
			}
		})
	}
}

// TestDecideDurationBounds: 15 minutes to 90 days inclusive, the range named
// where a duration is refused (S1.4, S1.5, S2.16).
func TestDecideDurationBounds(t *testing.T) {
	t.Parallel()
	asked := 0
	for field, given := range map[string]string{"backgroundDuration": "168h", "interactiveDuration": "8h", "livyIdle": "8h", "tenantLimit": ""} {
		for d, ok := range map[string]bool{
			"14m59s": false, "14m59.999999999s": false, "15m": true, "900s": true, "15m0.000000001s": true, "2160h": true, "2160h0m0.000000001s": false, "2160h1ns": false,
			"2159h59m59s": true, "0s": false, "-15m": false, "-1h": false, "99999h": false, "999999999999h": false, "15": false, "": true,
		} {
			for _, where := range []string{"policy", "event"} {
				line := with(t, fmt.Sprintf(`%q:%q`, field, given), fmt.Sprintf(`%q:%q`, field, d))
				if where == "event" {
					line = events(t, fmt.Sprintf(`{"at":"2026-11-20T19:00:00Z","kind":"policy-changed","policy":{%q:%q}}`, field, d))
				}
				a := one(t, line)
				if (a.Error == "") != ok {
					t.Errorf("%s %q in the %s: %q, accepted should be %t", field, d, where, a.Error, ok)
				}
				if a.Error != "" && (!strings.Contains(a.Error, field) || !strings.Contains(a.Error, "15 minutes") || !strings.Contains(a.Error, "90 days")) {
					t.Errorf("%s %q in the %s: %q names not the field and the range", field, d, where, a.Error)
				}
				asked++
			}
		}
	}
	if asked != 4*16*2 {
		t.Errorf("%d durations were asked about", asked)
	}
}

// TestDecideDefaults: a missing policy field is its default, a missing fact
// unknown.
func TestDecideDefaults(t *testing.T) {
	t.Parallel()
	at := `{"at":"2026-11-20T19:00:00Z","kind":`
	for _, c := range []struct{ name, line, mode, deadline, source string }{
		{"no policy: the instance is unknown", with(t, `"policy":{"instanceBackground":"on","backgroundDuration":"168h","interactiveDuration":"8h","livyIdle":"8h","tenantLimit":"","requireUnifiedStudioLaunch":false},`, ``), "unknown", "", "none"},
		{"a policy that is null", with(t, `"policy":{"instanceBackground":"on","backgroundDuration":"168h","interactiveDuration":"8h","livyIdle":"8h","tenantLimit":"","requireUnifiedStudioLaunch":false}`, `"policy":null`), "unknown", "", "none"},
		{"no background duration: 7 days", with(t, `"backgroundDuration":"168h",`, ``), "background", "2026-11-27T18:00:00Z", "background-duration"},
		{"no interactive duration: 8 hours", with(t, `"interactiveDuration":"8h",`, ``, `"ENABLED"`, `"DISABLED"`, `,"expiresAt":"2026-11-21T02:00:00Z"`, ``), "interactive", "2026-11-21T02:00:00Z", "interactive-session"},
		{"no tenant limit: none", with(t, `"tenantLimit":"",`, ``), "background", "2026-11-27T18:00:00Z", "background-duration"},
		{"no launch required by default", with(t, `,"requireUnifiedStudioLaunch":false`, ``, `"unifiedStudioLaunch":"unknown"`, `"unifiedStudioLaunch":"off"`), "background", "2026-11-27T18:00:00Z", "background-duration"},
		{"no service: unknown", with(t, `"trustedIdentityPropagation":"on",`, ``), "unknown", "", "none"},
		{"no application switch: unknown", with(t, `"applicationBackground":"ENABLED",`, ``), "unknown", "", "none"},
		{"no interactive session: unknown", with(t, `"interactiveSession":{"id":"is-1","source":"portal","expiresAt":"2026-11-21T02:00:00Z"},`, ``, `"ENABLED"`, `"DISABLED"`), "interactive", "2026-11-21T02:00:00Z", "interactive-session"},
		{"no maxRuntimeSeconds: not given", with(t, `"maxRuntimeSeconds":0,`, ``), "background", "2026-11-27T18:00:00Z", "background-duration"},
		{"times of another zone are answered in UTC", with(t, `"at":"2026-11-20T18:00:00Z","user"`, `"at":"2026-11-20T20:00:00+02:00","user"`), "background", "2026-11-27T18:00:00Z", "background-duration"},
	} {
		a := one(t, c.line)
		if a.Error != "" || a.Mode != c.mode || a.Deadline != c.deadline || a.DeadlineSource != c.source {
			t.Errorf("%s: %+v", c.name, a)
		}
	}
	if a := one(t, with(t, `"livyIdle":"8h",`, ``, `{"at":"2026-11-20T19:00:00Z","kind":"sign-out","user":"u-ana","interactiveSession":{"id":"is-1","source":"portal"}}`,
		at+`"idle-since","since":"2026-11-20T19:00:00Z","busy":false},{"at":"2026-11-21T02:59:59Z","kind":"tick"},{"at":"2026-11-21T03:00:00Z","kind":"tick"}`)); len(a.Steps) != 3 || a.Steps[1].Status != "ACTIVE" || a.Steps[2].Cause != "idle" {
		t.Errorf("no idle limit: 8 hours; %+v", a)
	}
	line := events(t)
	for _, l := range []string{line, strings.Replace(line, `"events":[]`, `"events":null`, 1), strings.Replace(line, `, "events":[]`, ``, 1)} {
		if a := one(t, l); a.Error != "" || a.Steps == nil || len(a.Steps) != 0 {
			t.Errorf("no events: steps %v, error %q; want an empty list", a.Steps, a.Error)
		}
	}
	if !strings.Contains(line, `, "events":[]`) {
		t.Errorf("the test's own line is another: %s", line)
	}
}

// TestDecideLateEvents: an `at` earlier than the one before is a late event, and
// now stays.
func TestDecideLateEvents(t *testing.T) {
	t.Parallel()
	line := with(t, `"ENABLED"`, `"DISABLED"`, `{"at":"2026-11-20T19:00:00Z","kind":"sign-out","user":"u-ana","interactiveSession":{"id":"is-1","source":"portal"}}`,
		`{"at":"2026-11-21T01:59:00Z","kind":"tick"},{"at":"2026-11-20T18:30:00Z","kind":"tick"},`+
			`{"at":"2026-11-20T18:40:00Z","kind":"user-enabled","user":"u-ana"},{"at":"2026-11-21T02:00:00Z","kind":"tick"},{"at":"2026-11-20T18:30:00Z","kind":"tick"}`)
	a := one(t, line)
	var got []string
	for _, s := range a.Steps {
		got = append(got, s.Status+" "+s.Cause)
	}
	want := []string{"ACTIVE ", "ACTIVE ", "ACTIVE ", "ENDING interactive-expired", "ENDING interactive-expired"}
	if !slices.Equal(got, want) {
		t.Errorf("steps %q, want %q", got, want)
	}
	late := with(t, `"maxRuntimeSeconds":0`, `"maxRuntimeSeconds":3600`, `{"at":"2026-11-20T19:00:00Z","kind":"sign-out","user":"u-ana","interactiveSession":{"id":"is-1","source":"portal"}}`,
		`{"at":"2026-11-20T22:00:00Z","kind":"tick"},{"at":"2026-11-20T18:30:00Z","kind":"run-observed","state":"RUNNING"}`)
	if a := one(t, late); len(a.Steps) != 2 || a.Steps[1].Cause != "max-runtime" || a.Steps[1].Deadline != "2026-11-20T19:30:00Z" {
		t.Errorf("now went back with a late event: %+v", a)
	}
}

// TestDecideAnswersTheOtherLines: order is kept, lines in error do not hold up
// the rest, and the error at the end says so.
func TestDecideAnswersTheOtherLines(t *testing.T) {
	t.Parallel()
	var in strings.Builder
	for i := range 100 {
		line := with(t, `"id":"case-1"`, fmt.Sprintf(`"id":"case-%d"`, i))
		if i%10 == 3 {
			line = strings.Replace(line, `"livyIdle":"8h"`, `"livyIdle":"1s"`, 1)
		}
		in.WriteString(line)
		in.WriteString([]string{"\n", "\r\n", "\n\n", "\n  \n"}[i%4])
	}
	answers, err := decideAll(t, []byte(in.String()))
	if err == nil || len(answers) != 100 {
		t.Fatalf("%d answers, %v", len(answers), err)
	}
	for i, a := range answers {
		if a.ID != fmt.Sprintf("case-%d", i) || (a.Error != "") != (i%10 == 3) {
			t.Errorf("answer %d: %+v", i, a)
		}
	}
	if answers, err := decideAll(t, nil); err != nil || len(answers) != 0 {
		t.Errorf("no input: %v, %v", answers, err)
	}
	if answers, err := decideAll(t, []byte("\n\n")); err != nil || len(answers) != 0 {
		t.Errorf("empty lines: %v, %v", answers, err)
	}
}

// TestDecideIDs: what stands in an id comes back unchanged, in errors too.
func TestDecideIDs(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "case 1", "<a & b>", "ünïcödé ✓", "line\nbreak", `quote "`, strings.Repeat("x", 100_000)} {
		text, err := json.Marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		if a := one(t, with(t, `"id":"case-1"`, `"id":`+string(text))); a.ID != id || a.Error != "" {
			t.Errorf("id %.40q came back as %.40q, %s", id, a.ID, a.Error)
		}
		if a := one(t, with(t, `"id":"case-1"`, `"id":`+string(text), `"8h"`, `"8s"`)); a.ID != id || a.Error == "" {
			t.Errorf("id %.40q came back in an error as %.40q, %s", id, a.ID, a.Error)
		}
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("the pipe broke") }

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }

func TestDecideBrokenPipes(t *testing.T) {
	t.Parallel()
	if err := decide(brokenReader{}, io.Discard); err == nil || !strings.Contains(err.Error(), "the pipe broke") {
		t.Errorf("a broken input: %v", err)
	}
	if err := decide(strings.NewReader(oneLine(example)), brokenWriter{}); err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("a broken output: %v", err)
	}
}

// TestDecideCommand runs the command as a person does: exit status 1 at the end
// if any line was in error, 0 else.
func TestDecideCommand(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, in      string
		args          []string
		status, lines int
	}{
		{"good lines", oneLine(example) + "\n" + oneLine(example) + "\n", []string{"decide"}, 0, 2},
		{"a line in error among good ones", oneLine(example) + "\n{\"id\":\"bad\"}\n" + oneLine(example) + "\n", []string{"decide"}, 1, 3},
		{"nothing", "", []string{"decide"}, 0, 0},
		{"an argument that is not taken", "", []string{"decide", "file.json"}, 2, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), self, c.args...)
			cmd.Env = append(os.Environ(), asCommand+"=1")
			cmd.Stdin = strings.NewReader(c.in)
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			err := cmd.Run()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if got := cmd.ProcessState.ExitCode(); got != c.status {
				t.Errorf("exit status %d, want %d: %s", got, c.status, errs.String())
			}
			if got := strings.Count(out.String(), "\n"); got != c.lines {
				t.Errorf("%d lines, want %d: %s", got, c.lines, out.String())
			}
			if (errs.Len() > 0) != (c.status != 0) || strings.Contains(errs.String(), "goroutine") {
				t.Errorf("standard error says %q", errs.String())
			}
		})
	}
}

// TestDecideSpeed: 2,000 lines take under a second of processors' time (three with
// the race detector, which slows everything). Other packages' tests share the
// machine, so that the clock on the wall says nothing.
func TestDecideSpeed(t *testing.T) {
	var in bytes.Buffer
	line := with(t, `"events":[`, `"events":[{"at":"2026-11-20T18:10:00Z","kind":"run-observed","state":"RUNNING"},{"at":"2026-11-20T18:20:00Z","kind":"idle-since","busy":true},`+
		`{"at":"2026-11-20T18:30:00Z","kind":"policy-changed","policy":{"instanceBackground":"off"}},{"at":"2026-11-20T18:40:00Z","kind":"tick"},`)
	for range 2000 {
		in.WriteString(line + "\n")
	}
	limit := time.Second
	if raceDetector {
		limit = 3 * time.Second
	}
	best := time.Hour // of a few tries
	for try := 0; try < 8 && best >= limit; try++ {
		var out bytes.Buffer
		began := processorTime(t)
		if err := decide(bytes.NewReader(in.Bytes()), &out); err != nil {
			t.Fatal(err)
		}
		best = min(best, processorTime(t)-began)
		if n := bytes.Count(out.Bytes(), []byte("\n")); n != 2000 {
			t.Fatalf("%d of 2,000 lines were answered", n)
		}
	}
	if best >= limit {
		t.Errorf("2,000 lines took %s; the limit is %s", best, limit)
	}
	t.Logf("2,000 lines of 5 events: %s", best)
}

// processorTime is what this process has used of all processors.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestDecideLongLine: a line over the limit is in error; those after it are
// answered.
func TestDecideLongLine(t *testing.T) {
	var out bytes.Buffer
	in := `{"id":"` + strings.Repeat("a", decideLineMax) + `"}` + "\n" + oneLine(example) + "\n" + "{\"id\":\"\xff\"}"
	if err := decide(strings.NewReader(in), &out); err == nil {
		t.Error("no line is said to be in error")
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], "longer than") || !strings.Contains(lines[1], `"mode":"background"`) || !strings.Contains(lines[2], "UTF-8") {
		t.Errorf("answered %d lines: %.300s", len(lines), out.String())
	}
}

// FuzzDecideLine: no input panics; each line has one answer, in error or not; an
// error carries the line's id; what is not JSON is an error.
func FuzzDecideLine(f *testing.F) {
	f.Add(oneLine(example))
	f.Add(oneLine(example) + "\n" + oneLine(example))
	for _, seed := range []string{``, `{}`, `null`, `[]`, `{"id":"x"}`, `{"id":null,"open":null,"events":[null]}`, `{"id":"a"}}`, `{"ID":"a"}`, `{"id":"a","id":"b"}`, "\x00", "{\"id\":\"\xff\"}", "\n\n{\n}"} {
		f.Add(seed)
	}
	for _, swap := range [][2]string{
		{`"u-ana"`, `5`}, {`"168h"`, `"1e9h"`}, {`"sign-out"`, `"idle-since"`}, {`0`, `9223372036854775807`}, {`"2026-11-20T18:00:00Z"`, `"9999-12-31T23:59:59Z"`},
		{`"2026-11-20T19:00:00Z"`, `"0001-01-01T00:00:00Z"`}, {`[{`, `[[{`}, {`true`, `tru`},
	} {
		f.Add(strings.Replace(oneLine(example), swap[0], swap[1], 1))
	}
	f.Fuzz(func(t *testing.T, in string) {
		var asked []string
		for line := range strings.SplitSeq(in, "\n") {
			if line = strings.TrimSpace(line); line != "" {
				asked = append(asked, line)
			}
		}
		answers, err := decideAll(t, []byte(in))
		if len(answers) != len(asked) {
			t.Fatalf("%d lines, %d answers", len(asked), len(answers))
		}
		failed := false
		for i, a := range answers {
			failed = failed || a.Error != ""
			var given struct {
				ID json.RawMessage `json:"id"`
			}
			var id string
			if !json.Valid([]byte(asked[i])) {
				if a.Error == "" {
					t.Errorf("%q is not JSON, and is answered %+v", asked[i], a)
				}
				continue
			}
			if strings.Count(strings.ToLower(asked[i]), `"id"`) == 1 && json.Unmarshal([]byte(asked[i]), &given) == nil && json.Unmarshal(given.ID, &id) == nil &&
				strings.Contains(asked[i], `"id"`) && a.ID != id {
				t.Errorf("%q is answered with the id %q", asked[i], a.ID)
			}
			if a.Error == "" && (a.Mode == "" || a.DeadlineSource == "" || (a.Deadline == "") != (a.DeadlineSource == "none")) {
				t.Errorf("%q is answered %+v", asked[i], a)
			}
		}
		if failed != (err != nil) {
			t.Errorf("a line failed: %t; the command says %v", failed, err)
		}
	})
}
