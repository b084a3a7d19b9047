package statemachines_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"nightshift/internal/cadence"
	"nightshift/statemachines"
)

// Every branch of process-in-vpc, by its path (S6.1).
func TestProcessInVPCPaths(t *testing.T) {
	passed := map[string]any{"verdict": "passed", "error": "", "cause": "", "findings": []any{}, "links": map[string]any{"logs": "l"}}
	refused := func(verdict, name string) map[string]any {
		return map[string]any{"verdict": verdict, "error": name, "cause": `{"text":"no"}`, "findings": []any{}, "links": map[string]any{}}
	}
	for _, c := range []struct {
		name             string
		judged           map[string]any
		check, open, run func(n int) error
		end              func(w *world) error
		want             string
	}{
		{name: "the job finishes", end: func(w *world) error { return w.r.SendTaskSuccess(w.kept[len(w.kept)-1], []byte(`{"succeeded":true}`)) },
			want: `SUCCEEDED Preflight Judge Open Start Succeeded {"links":{"logs":"l"},"succeeded":true}`},
		{name: "the session ends otherwise", end: func(w *world) error {
			return w.r.SendTaskFailure(w.kept[len(w.kept)-1], "SessionEnded", `{"cause":"failed"}`)
		}, want: `FAILED Preflight Judge Open Start Failed SessionEnded {"cause":"failed","links":{"logs":"l"}}`},
		{name: "the session ends otherwise, with a long cause", end: func(w *world) error {
			return w.r.SendTaskFailure(w.kept[len(w.kept)-1], "SessionEnded", `{"cause":"`+strings.Repeat("x", 30_000)+`"}`)
		}, want: `FAILED Preflight Judge Open Start Failed SessionEnded {"cause":"` + strings.Repeat("x", 30_000) + `"}`},
		{name: "checks fail", judged: refused("failed", "PreflightFailed"), want: `FAILED Preflight Judge Refused PreflightFailed {"text":"no"}`},
		{name: "checks cannot be made", judged: refused("unknown", "PreflightUnknown"), want: `FAILED Preflight Judge Refused PreflightUnknown {"text":"no"}`},
		{name: "a bad input is not tried again", check: func(int) error { return failure("InvalidInput", "spec") },
			want: `FAILED Preflight Failed InvalidInput {"errorMessage":"spec","errorType":"InvalidInput"}`},
		{name: "EC2 is down", check: func(int) error { return failure("Unavailable", "down") },
			want: `FAILED Preflight Failed Unavailable {"errorMessage":"down","errorType":"Unavailable"}`},
		{name: "EC2 throttles for a while", judged: refused("failed", "PreflightFailed"), check: func(n int) error {
			if n <= cadence.TaskAttempts {
				return failure("Throttled", "slower")
			}
			return nil
		}, want: `FAILED Preflight Judge Refused PreflightFailed {"text":"no"}`},
		{name: "the user is locked", open: func(int) error { return failure("UserLocked", "disabled") },
			want: `FAILED Preflight Judge Open Failed UserLocked {"errorMessage":"disabled","errorType":"UserLocked"}`},
		{name: "an outage of open-session lasts", open: func(int) error { return failure("Unavailable", "down") },
			want: `FAILED Preflight Judge Open Failed Unavailable {"errorMessage":"down","errorType":"Unavailable"}`},
		{name: "an outage of start-run lasts", run: func(int) error { return failure("Unavailable", "down") },
			want: `FAILED Preflight Judge Open Start Failed Unavailable {"errorMessage":"down","errorType":"Unavailable"}`},
		{name: "nothing releases the token", want: `FAILED Preflight Judge Open Start Failed States.Timeout `},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, false)
			tries := map[string]int{}
			w.function = func(w *world, name string, in map[string]any) (any, error) {
				tries[name]++
				if fails := map[string]func(int) error{"preflight": c.check, "open-session": c.open, "start-run": c.run}[name]; fails != nil {
					if err := fails(tries[name]); err != nil {
						return nil, err
					}
				}
				if user := in["input"].(map[string]any)["user"]; user != "u" {
					t.Errorf("%s got %v", name, in)
				}
				switch name {
				case "preflight":
					if c.judged != nil {
						return c.judged, nil
					}
					return passed, nil
				case "open-session":
					return map[string]any{"sessionId": "s1"}, nil
				}
				w.note("%s", in["taskToken"])
				return map[string]any{}, nil
			}
			e := w.start(statemachines.ProcessInVPC, "job-1", `{"user":"u"}`)
			if c.end != nil {
				w.later(time.Hour, func() error { return c.end(w) })
			}
			w.clock.Run()
			text := string(e.Output())
			if name, cause := e.Failure(); name != "" {
				if text = name + " " + cause; name == "SessionEnded" && !json.Valid([]byte(cause)) {
					t.Errorf("the cause is not JSON any more: %.200s", cause)
				}
			}
			if got := fmt.Sprintf("%s %s %s", e.Status(), strings.Join(e.Path(), " "), text); got != c.want {
				t.Errorf("got  %.300s\nwant %.300s", got, c.want)
			}
			if tries["open-session"] > 0 && c.judged != nil {
				t.Error("a session was opened for a job that was not admitted")
			}
		})
	}
}
