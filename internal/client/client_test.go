package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/internal/client"
)

// api answers requests in turn, and keeps what was asked.
type api struct {
	answers []func(w http.ResponseWriter)
	keys    []string
	asked   []string
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.asked = append(a.asked, r.Method+" "+r.URL.RequestURI())
	a.keys = append(a.keys, r.Header.Get("Idempotency-Key"))
	answer := a.answers[min(len(a.asked), len(a.answers))-1]
	answer(w)
}

func says(status int, body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Nightshift-Time", "2026-11-20T18:00:00Z")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func open(t *testing.T, a *api) (*client.Client, *int) {
	t.Helper()
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	n, waited := 0, 0
	return &client.Client{Base: server.URL, HTTP: server.Client(), Key: func() string { n++; return fmt.Sprintf("key-%d", n) },
		Wait: func(context.Context, time.Duration) error { waited++; return nil }}, &waited
}

// An act that the system is too busy for is repeated under the same name, so that
// it happens once; after the third answer that answer is told.
func TestBusyIsAskedAgain(t *testing.T) {
	t.Parallel()
	busy := says(503, `{"status":503,"detail":"try again"}`)
	for _, c := range []struct {
		name    string
		answers []func(http.ResponseWriter)
		method  string
		asked   int
		keys    []string
		status  int // of the problem; 0: none
	}{
		{"once busy", []func(http.ResponseWriter){busy, says(202, `{}`)}, "POST", 2, []string{"key-1", "key-1"}, 0},
		{"throttled by the gateway", []func(http.ResponseWriter){says(429, `{"message":"Too Many Requests"}`), says(200, `{}`)}, "PUT", 2, []string{"key-1", "key-1"}, 0},
		{"always busy", []func(http.ResponseWriter){busy}, "GET", 3, []string{"", "", ""}, 503},
		{"refused", []func(http.ResponseWriter){says(403, `{"status":403,"detail":"no"}`)}, "POST", 1, []string{"key-1"}, 403},
	} {
		a := &api{answers: c.answers}
		cl, waited := open(t, a)
		got, err := cl.Ask(t.Context(), c.method, "/api/x", nil, map[string]any{}, nil)
		var p *client.Problem
		if errors.As(err, &p); len(a.asked) != c.asked || !slices.Equal(a.keys, c.keys) || (p == nil) != (c.status == 0) || p != nil && p.Status != c.status || *waited != c.asked-1 {
			t.Errorf("%s: asked %v with %v, waited %d times: %v", c.name, a.asked, a.keys, *waited, err)
		}
		if err == nil && got.At.IsZero() {
			t.Errorf("%s: the system's time is lost", c.name)
		}
	}
}

// Whoever refuses, a sentence comes of it.
func TestProblems(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"type":"about:blank","status":422,"detail":"the end cannot be moved","remedy":"Start the run again."}`: "the end cannot be moved. Start the run again.",
		`{"message":"Forbidden"}`:                "Forbidden",
		`{"Message":"Unauthorized"}`:             "Unauthorized",
		`{"error":"detail-type: it is missing"}`: "detail-type: it is missing",
		`<html>`:                                 "it answers 422 Unprocessable Entity",
		``:                                       "it answers 422 Unprocessable Entity",
		`[]`:                                     "it answers 422 Unprocessable Entity",
	} {
		cl, _ := open(t, &api{answers: []func(http.ResponseWriter){says(422, body)}})
		_, err := cl.Get(t.Context(), "/api/x", nil)
		var p *client.Problem
		if !errors.As(err, &p) || p.Error() != want || p.Status != 422 {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
}

// What is no Nightshift, or none at all, is said so.
func TestSomethingElseAnswers(t *testing.T) {
	t.Parallel()
	cl, _ := open(t, &api{answers: []func(http.ResponseWriter){says(200, `<html>`)}})
	var s client.Story
	if _, err := cl.Get(t.Context(), client.Of("sessions", "s-1"), &s); err == nil || !strings.Contains(err.Error(), "is it a Nightshift") {
		t.Error(err)
	}
	cl.Base = "http://127.0.0.1:1"
	if _, err := cl.Get(t.Context(), "/api/x", nil); err == nil || !strings.HasPrefix(err.Error(), "http://127.0.0.1:1 cannot be reached: ") {
		t.Error(err)
	}
}

// A list is read to its end, each item once, or until that is enough.
func TestPages(t *testing.T) {
	t.Parallel()
	pages := []func(http.ResponseWriter){says(200, `{"sessions":[{"id":"a"},{"id":"b"}],"next":"2&x"}`), says(200, `{"sessions":[],"next":"3"}`), says(200, `{"sessions":[{"id":"c"}],"next":""}`)}
	for enough, want := range map[int]string{0: "abc", 1: "a", 2: "ab"} {
		a := &api{answers: pages}
		cl, _ := open(t, a)
		got := ""
		query := url.Values{"user": {"u-ana"}}
		if _, err := cl.Pages(t.Context(), "sessions", query, func(item json.RawMessage) (bool, error) {
			var s client.Session
			err := json.Unmarshal(item, &s)
			got += s.ID
			return len(got) != enough, err
		}); err != nil || got != want || len(query) != 1 {
			t.Errorf("enough %d: %q, want %q: %v", enough, got, want, err)
		}
		if enough == 0 && !slices.Equal(a.asked, []string{"GET /api/sessions?user=u-ana", "GET /api/sessions?cursor=2%26x&user=u-ana", "GET /api/sessions?cursor=3&user=u-ana"}) {
			t.Errorf("%v", a.asked)
		}
	}
	cl, _ := open(t, &api{answers: []func(http.ResponseWriter){says(200, `{"sessions":7,"next":""}`)}})
	if _, err := cl.Pages(t.Context(), "sessions", nil, func(json.RawMessage) (bool, error) { return true, nil }); err == nil {
		t.Error("a list that is none is none of ours")
	}
	if got := client.Of("users", "a/b?c", "lock"); got != "/api/users/a%2Fb%3Fc/lock" {
		t.Error(got)
	}
}
