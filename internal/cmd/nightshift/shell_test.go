package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"nightshift/internal/client"
)

// The table of exit statuses is whole, is what help prints, and is kept.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	w := &town{t: t}
	topic, _, status := w.runs("help", "exit-codes")
	for i, e := range exits {
		if e.status != i || e.word == "" || e.when == "" {
			t.Errorf("row %d is %+v", i, e)
		}
		if line := fmt.Sprintf("  %d  %-10s", e.status, e.word); !strings.Contains(topic, line) {
			t.Errorf("help exit-codes does not say %q:\n%s", line, topic)
		}
	}
	if status != exitOK || len(exits) != exitRefused+1 {
		t.Errorf("status %d, %d rows", status, len(exits))
	}
	answered := func(status int) error {
		return fmt.Errorf("revoke: %w", &client.Problem{Status: status, Detail: "x"})
	}
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, exitOK},
		{errors.New("x"), exitFailure},
		{usage("--x: y"), exitUsage},
		{fmt.Errorf("prove: %w", statusError{errors.New("x"), exitUnknown}), exitUnknown},
		{answered(http.StatusBadRequest), exitUsage},
		{answered(http.StatusRequestEntityTooLarge), exitUsage},
		{answered(http.StatusNotFound), exitNotFound},
		{answered(http.StatusUnauthorized), exitRefused},
		{answered(http.StatusForbidden), exitRefused},
		{answered(http.StatusConflict), exitRefused},
		{answered(http.StatusUnprocessableEntity), exitRefused},
		{answered(http.StatusTooManyRequests), exitFailure},
		{answered(http.StatusServiceUnavailable), exitFailure},
	} {
		if got := statusOf(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
	for line, want := range map[string]int{
		"": exitOK, "--help": exitOK, "revoke --help": exitOK, "sesions": exitUsage, "policy foo": exitUsage, "demo now": exitUsage, "up --speed 0": exitUsage,
		"demo --speed fast": exitUsage, "sessions --local --stack x": exitUsage, "sessions --as u-ana --stack x": exitUsage, "sessions --local=ftp://x": exitUsage,
		"sessions --api http://example.com": exitUsage, "completion": exitOK, "cluster render": exitUsage, "events list": exitOK, "sessions --json=maybe": exitUsage,
		"sessions --user": exitUsage, "sessions -x": exitUsage, "prove --from yesterday": exitUsage, "prove all": exitUsage,
	} {
		if _, said, got := w.runs(fields(line)...); got != want || strings.Count(said, "\n") > 1 {
			t.Errorf("nightshift %s: %d, want %d: %s", line, got, want, said)
		}
	}
}

// What is asked of nobody: no system answers there.
func TestNoSystemAnswers(t *testing.T) {
	t.Parallel()
	w := &town{t: t}
	_, said, status := w.runs("sessions", "--local=http://127.0.0.1:1")
	if status != exitFailure || !strings.Contains(said, "nightshift up starts one") || strings.Count(said, "\n") != 1 {
		t.Errorf("%d: %s", status, said)
	}
}

// Every command says what it does, by an example, and has --json where it
// answers.
func TestEveryCommandHelps(t *testing.T) {
	t.Parallel()
	looked := 0
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		for _, below := range c.Commands() {
			look(below)
		}
		if name := c.Name(); !c.Runnable() || name == "help" || name == "completion" || c.HasParent() && c.Parent().Name() == "completion" {
			return
		}
		looked++
		if c.Example == "" || c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: no example, or no short sentence", c.CommandPath())
		}
		plain := map[string]bool{"up": true, "decide": true, "render": true}
		if !c.HasSubCommands() && c.Flags().Lookup("json") == nil && !plain[c.Name()] {
			t.Errorf("%s has no --json", c.CommandPath())
		}
		for _, line := range strings.Split(c.Long+"\n"+c.Example, "\n") {
			if n := utf8.RuneCountInString(line); n > 120 {
				t.Errorf("%s: a line of its help has %d characters: %s", c.CommandPath(), n, line)
			}
		}
	}
	look(rootCommand((&town{t: t}).quiet()))
	if looked < 25 {
		t.Errorf("%d commands were looked at", looked)
	}
}

func (w *town) quiet() *terminal {
	return &terminal{getenv: func(string) string { return "" }, in: strings.NewReader(""), out: &w.said, err: &w.said}
}

// Shell completion: the scripts are there, flags complete by their values, and
// SESSION by the sessions there are.
func TestCompletion(t *testing.T) {
	t.Parallel()
	w := atWork(t)
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if out, said, status := w.runs("completion", shell); status != 0 || len(out) < 1000 {
			t.Errorf("%s: %d %s", shell, status, said)
		}
	}
	if help, _, _ := w.runs("--help"); !strings.Contains(help, "completion") || !strings.Contains(help, "exit-codes") {
		t.Errorf("help does not name completion and exit-codes:\n%s", help)
	}
	for line, want := range map[string]string{
		"__complete sessions --mode ": "background", "__complete cost --by ": "cost-center", "__complete policy set --instance-background ": "unknown",
		"__complete events send ": "nightshift-signed-out/from-a-portal", "__complete why --local=" + w.url + " ": w.id("u-dora") + "\tu-dora sagemaker-training",
	} {
		if out, _, _ := w.runs(append(fields(line), "")...); !strings.Contains(out, want) {
			t.Errorf("%s: %q is not offered in\n%s", line, want, out)
		}
	}
}

// SESSION, USER and the flags of that name are completed by what there is; restart's
// by what is over. An address that does not stand with its flag is told how.
func TestCompletedByWhatThereIs(t *testing.T) {
	t.Parallel()
	w := atWork(t)
	eve, fin := w.id("u-eve"), w.id("u-fin")
	w.runs("stop", fin, "--no-wait", "--local="+w.url)
	w.pass(10 * time.Minute)
	at := " --local=" + w.url + " "
	for line, want := range map[string]string{
		"__complete stop" + at: eve, "__complete lock" + at: "u-eve", "__complete unlock" + at: "u-eve", "__complete whatif sign-out" + at: "u-eve",
		"__complete sessions" + at + "--user ": "u-eve", "__complete sessions" + at + "--endpoint ": "emr-containers/", "__complete notices" + at + "--session ": eve,
		"__complete whatif revoke" + at + "--user ": "u-eve", "__complete restart" + at: fin,
	} {
		out, _, _ := w.runs(append(fields(line), "")...)
		if !strings.Contains(out, want) || !strings.Contains(out, ":4\n") || strings.Contains(line, "restart") == strings.Contains(out, eve) && strings.Contains(want, "s-") {
			t.Errorf("%s: %q is not offered in\n%s", line, want, out)
		}
	}
	for _, line := range []string{"sessions --local " + w.url, "why " + eve + " --local " + w.url} {
		if _, said, status := w.runs(fields(line)...); status != exitUsage || !strings.Contains(said, "write --local="+w.url) {
			t.Errorf("%s: %d %s", line, status, said)
		}
	}
	if help, _, _ := w.runs("--help"); strings.Contains(help, "topcis") || !strings.Contains(help, "help topics") {
		t.Errorf("the heads of the help:\n%s", help)
	}
}

// A table is as wide as it may be, and never cuts what stands for itself.
func TestTablesFit(t *testing.T) {
	t.Parallel()
	columns := []column{{"ID", 0}, {"EMPTY", 1}, {"NAME", 2}, {"WHAT IT IS", 3}, {"LONG", 9}}
	rows := [][]string{{"s-0123456789", "", "ünïcödé-name", "some words about it", strings.Repeat("x", 90)}, {"s-1", "", "b", "", ""}}
	for width := range 200 {
		var b strings.Builder
		(&terminal{width: width}).table(&b, columns, rows)
		text := b.String()
		if !strings.Contains(text, "s-0123456789") || strings.Contains(text, "EMPTY") {
			t.Fatalf("width %d:\n%s", width, text)
		}
		for _, line := range strings.Split(text, "\n") {
			if n := utf8.RuneCountInString(line); width > 0 && n > max(width, len("s-0123456789")) || strings.HasSuffix(line, " ") {
				t.Fatalf("width %d: %q has %d characters", width, line, n)
			}
		}
		if width == 0 && !strings.Contains(text, strings.Repeat("x", 90)) {
			t.Fatal("what has all the room is cut")
		}
	}
	if strings.Contains((&terminal{}).paint(red, "x"), "\x1b") || (&terminal{colour: true}).paint(red, "x") == "x" {
		t.Error("colour where there must be none, or none where there may be")
	}
}

// Durations and times for people.
func TestWords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"168h0m0s": "7d", "36h30m0s": "1d12h", "90m0s": "1h30m", "15m0s": "15m", "61s": "1m1s", "0s": "0s", "none": "none"} {
		if got := span(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if got := left(cliBegan.Add(-1).Format("2006-01-02T15:04:05Z07:00"), cliBegan); got != "overdue" {
		t.Error(got)
	}
	usd := 1.5
	if dollars(client.Amount{Unknown: "why"}) != "unknown" || because(client.Amount{USD: &usd}) != "1.50 USD" || sum(client.Sum{Unknown: 2}) != "2 unknown" || sum(client.Sum{}) != "0.00" {
		t.Error("what is unknown must stay unknown")
	}
}
