package local_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"nightshift/internal/local"
)

// TestConsole: at the door of a local system an administrator finds why a run is
// still alive, revokes its user by a preview, and watches it end; a user sees
// their own only.
func TestConsole(t *testing.T) {
	h := open(t)
	if status, me := h.ask("GET", "/api/me", ""); status != 200 || me["role"] != "administrator" || me["local"] != true || me["mayActAs"] != true {
		t.Fatalf("%d %v", status, me)
	}
	if status, me := h.ask("GET", "/api/me?as=u-ana", ""); status != 200 || me["role"] != "user" || me["user"] != "u-ana" {
		t.Fatalf("%d %v", status, me)
	}
	if status, _ := h.ask("POST", "/livy/sessions", `{"kind":"pyspark","proxyUser":"u-ana"}`, "X-Requested-By", "ana"); status != 201 {
		t.Fatal(status)
	}
	h.pass(10 * time.Minute)
	_, all := h.ask("GET", "/api/sessions", "")
	lines := all["sessions"].([]any)
	if len(lines) != 1 {
		t.Fatalf("%v", all)
	}
	line := lines[0].(map[string]any)
	id := line["id"].(string)
	if line["user"] != "u-ana" || line["survivesSignOut"] != "yes" {
		t.Errorf("%v", line)
	}
	if status, _ := h.ask("GET", "/api/sessions/"+id, "", local.HeaderAs, "u-ben"); status != 404 {
		t.Errorf("u-ben sees u-ana's session: %d", status)
	}
	if _, none := h.ask("GET", "/api/sessions?as=u-ben", ""); len(none["sessions"].([]any)) != 0 {
		t.Errorf("u-ben sees %v", none)
	}
	status, story := h.ask("GET", "/api/sessions/"+id, "", local.HeaderAs, "u-ana")
	if status != 200 || story["chain"] != "intact" || len(story["history"].([]any)) == 0 {
		t.Errorf("%d %v", status, story)
	}
	const json = "Content-Type"
	target := `{"target":{"user":"u-ana"}`
	if status, preview := h.ask("POST", "/api/revocations", target+`,"preview":true}`, json, "application/json"); status != 200 || preview["counts"].(map[string]any)["ends"] != 1.0 {
		t.Fatalf("%d %v", status, preview)
	}
	status, started := h.ask("POST", "/api/revocations", target+`}`, json, "application/json")
	if status != 202 {
		t.Fatalf("%d %v", status, started)
	}
	h.pass(2 * time.Minute)
	_, far := h.ask("GET", "/api/revocations/"+fmt.Sprint(started["id"]), "")
	if p, _ := far["progress"].(map[string]any); p["done"] != true || p["ended"] != 1.0 {
		t.Errorf("S2.1 not seen stopped after two minutes: %v", far)
	}
}

// TestConsoleAtTheDoor: who is nobody, and a name that was made to lead here.
func TestConsoleAtTheDoor(t *testing.T) {
	h := open(t)
	if status, refused := h.ask("GET", "/api/me?as=ana@example.com", ""); status != 400 || !strings.Contains(fmt.Sprint(refused["error"]), "id of a user") {
		t.Errorf("%d %v", status, refused)
	}
	for host, want := range map[string]int{"evil.example": 403, "evil.example:4600": 403, "localhost:4600": 200, "127.0.0.1": 200, "[::1]:4600": 200} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", h.url+"/api/me", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		got, err := h.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = got.Body.Close()
		if got.StatusCode != want {
			t.Errorf("%s: %d, want %d", host, got.StatusCode, want)
		}
	}
}
