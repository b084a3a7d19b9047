package identity_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/identity"
)

func bearer(context.Context) (string, error) { return "s3cret", nil }

// source serves pages by cursor, to who has the token.
func source(t *testing.T, pages map[string]string) (*identity.Sessions, *[]string) {
	t.Helper()
	asked := &[]string{}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.URL.String())
		if r.Method != http.MethodGet || r.Header.Get("Authorization") != "Bearer s3cret" || r.Header.Get("Accept") != "application/json" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		page, ok := pages[r.URL.Query().Get("cursor")]
		if !ok {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(page))
	}))
	t.Cleanup(server.Close)
	s, err := identity.NewSessions("portal", server.URL+"/sessions?tenant=one", bearer, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	return s, asked
}

const (
	firstPage = `{"sessions":[{"id":"is-1","user":"ana","signedInAt":"2026-11-20T08:00:00Z","expiresAt":"2026-11-20T16:00:00+01:00"},{"id":"is-2","user":"ana"}],"total":3,"next":"p/2"}`
	lastPage  = `{"sessions":[{"id":"is-3","user":"ben","device":"a laptop"}],"total":3}`
)

// S3.5c: the pages of the source, as its schema says.
func TestSessions(t *testing.T) {
	s, asked := source(t, map[string]string{"": firstPage, "p/2": lastPage})
	got, complete, err := s.Live(t.Context())
	want := []app.PortalSession{
		{ID: "is-1", User: "ana", SignedInAt: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC), ExpiresAt: time.Date(2026, 11, 20, 15, 0, 0, 0, time.UTC)},
		{ID: "is-2", User: "ana"}, {ID: "is-3", User: "ben"},
	}
	same := slices.EqualFunc(got, want, func(a, b app.PortalSession) bool {
		return a.ID == b.ID && a.User == b.User && a.SignedInAt.Equal(b.SignedInAt) && a.ExpiresAt.Equal(b.ExpiresAt)
	})
	if err != nil || !complete || !same || s.Source() != "portal" {
		t.Errorf("%+v, complete %t, %v", got, complete, err)
	}
	if want := []string{"/sessions?tenant=one", "/sessions?cursor=p%2F2&tenant=one"}; !slices.Equal(*asked, want) {
		t.Errorf("asked %v, want %v", *asked, want)
	}
}

// What is not a whole list proves nothing; an empty one is a list only where it
// says so.
func TestSessionsProveNothingUnlessComplete(t *testing.T) {
	endless := map[string]string{}
	for i := range 300 {
		cursor := fmt.Sprint(i)
		if i == 0 {
			cursor = ""
		}
		endless[cursor] = fmt.Sprintf(`{"sessions":[{"id":"is-%d","user":"ana"}],"total":300,"next":"%d"}`, i, i+1)
	}
	for _, c := range []struct {
		name     string
		pages    map[string]string
		complete bool
		fails    bool
		kind     fault.Kind
	}{
		{name: "nobody is signed in", pages: map[string]string{"": `{"sessions":[],"total":0}`}, complete: true},
		{name: "fewer than it says", pages: map[string]string{"": `{"sessions":[],"total":3}`}},
		{name: "the same one twice", pages: map[string]string{"": `{"sessions":[{"id":"a","user":"u"},{"id":"a","user":"u"}],"total":2}`}},
		{name: "it changed while it was read", pages: map[string]string{"": firstPage, "p/2": `{"sessions":[{"id":"is-3","user":"ben"}],"total":4}`}},
		{name: "it has no end", pages: endless},
		{name: "the second page fails", pages: map[string]string{"": firstPage}, fails: true, kind: fault.Unknown},
		{name: "no total", pages: map[string]string{"": `{"sessions":[]}`}, fails: true, kind: fault.Invalid},
		{name: "no sessions", pages: map[string]string{"": `{"total":0}`}, fails: true, kind: fault.Invalid},
		{name: "null", pages: map[string]string{"": `null`}, fails: true, kind: fault.Invalid},
		{name: "another document", pages: map[string]string{"": `<html>secret-page</html>`}, fails: true, kind: fault.Invalid},
		{name: "another type", pages: map[string]string{"": `{"sessions":"secret-page","total":0}`}, fails: true, kind: fault.Invalid},
		{name: "a time that is none", pages: map[string]string{"": `{"sessions":[{"id":"a","user":"u","expiresAt":"secret-page"}],"total":1}`}, fails: true, kind: fault.Invalid},
		{name: "a session of nobody", pages: map[string]string{"": `{"sessions":[{"id":"a"}],"total":1}`}, fails: true, kind: fault.Invalid},
		{name: "too long", pages: map[string]string{"": `{"total":0,"sessions":[],"x":"` + strings.Repeat("x", 9<<20) + `"}`}, fails: true, kind: fault.Invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := source(t, c.pages)
			_, complete, err := s.Live(t.Context())
			if complete != c.complete || (err != nil) != c.fails || err != nil && fault.KindOf(err) != c.kind {
				t.Errorf("complete %t, %v", complete, err)
			}
			if err != nil && strings.Contains(err.Error(), "secret-page") {
				t.Errorf("the error repeats the answer: %v", err)
			}
		})
	}
}

// The token is for the source alone, and no error repeats it.
func TestSessionsKeepTheToken(t *testing.T) {
	taken := ""
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { taken = r.Header.Get("Authorization") }))
	defer other.Close()
	for status, kind := range map[int]fault.Kind{401: fault.Denied, 403: fault.Denied, 404: fault.NotFound, 429: fault.Throttled, 500: fault.Unknown, 302: fault.Unknown} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", other.URL)
			w.WriteHeader(status)
		}))
		s, err := identity.NewSessions("portal", server.URL, bearer, server.Client())
		if err != nil {
			t.Fatal(err)
		}
		_, complete, err := s.Live(t.Context())
		if complete || !fault.Is(err, kind) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%d: complete %t, %v", status, complete, err)
		}
		server.Close()
		if _, _, err := s.Live(t.Context()); !fault.Is(err, fault.Unknown) {
			t.Errorf("nobody listens: %v", err)
		}
	}
	if taken != "" {
		t.Error("the token went where the source had pointed to")
	}
	s, err := identity.NewSessions("portal", "https://127.0.0.1:1", func(context.Context) (string, error) { return "", errors.New("no token") }, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Live(t.Context()); err == nil || !strings.Contains(err.Error(), "get the token") {
		t.Errorf("%v", err)
	}
	for _, address := range []string{"", "portal.example", "ftp://portal.example", "https://"} {
		if _, err := identity.NewSessions("portal", address, nil, http.DefaultClient); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// The schema that a source is written against accepts what is read here, and
// nothing that is refused here.
func TestSessionsSchema(t *testing.T) {
	raw, err := os.ReadFile("sessions.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("urn:nightshift:identity:portal-sessions", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("urn:nightshift:identity:portal-sessions")
	if err != nil {
		t.Fatal(err)
	}
	for page, ok := range map[string]bool{
		firstPage: true, lastPage: true, `{"sessions":[],"total":0}`: true,
		`{"sessions":[]}`: false, `{"total":0}`: false, `null`: false,
		`{"sessions":[{"id":"a"}],"total":1}`:                                   false,
		`{"sessions":[{"id":"a","user":"u","expiresAt":"tomorrow"}],"total":1}`: false,
	} {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(page))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); (err == nil) != ok {
			t.Errorf("%s: %v", page, err)
		}
	}
}
