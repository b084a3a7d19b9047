package console

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestSignIn: where to sign in is told to anybody; a code is changed for the token
// that the API takes, and every way in which a provider can fail says what it is.
func TestSignIn(t *testing.T) {
	const found = `{"issuer":"ISSUER","authorization_endpoint":"https://id.example.com/authorize","token_endpoint":"ISSUER/token"}`
	const code = `{"code":"c","verifier":"v","redirectUri":"https://night.example.com/"}`
	for _, c := range []struct {
		name, discovery, token string
		status                 int // of the token endpoint
		audience               string
		get, post              int
		says                   string
	}{
		{"an ID token, where the client is the audience", found, `{"id_token":"id","access_token":"access"}`, 200, "page", 200, 200, `"token": "id"`},
		{"else the access token", found, `{"id_token":"id","access_token":"access","expires_in":60}`, 200, "api", 200, 200, `"token": "access"`},
		{"no token for the audience", found, `{"access_token":"access"}`, 200, "page", 200, 422, "no token for page"},
		{"refused, in its words", found, `{"error":"invalid_grant","error_description":"the code is too old"}`, 400, "page", 200, 422, "the code is too old"},
		{"refused without words", found, `<html>`, 403, "page", 200, 422, "refused"},
		{"busy", found, `{}`, 429, "page", 200, 503, "did not answer"},
		{"broken", found, `{}`, 500, "page", 200, 503, "did not answer"},
		{"nonsense", found, `<html>`, 200, "page", 200, 503, "did not answer"},
		{"another issuer", `{"issuer":"https://evil.example.com"}`, ``, 200, "page", 503, 503, "did not answer"},
		{"a token endpoint without TLS", `{"issuer":"ISSUER","authorization_endpoint":"https://id.example.com/a","token_endpoint":"http://id.example.com/t"}`, ``, 200, "page", 503, 503, "did not answer"},
		{"no discovery", `-`, ``, 200, "page", 503, 503, "did not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, asked := newWorld(t), 0
			var s *httptest.Server
			s = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
				body, status := c.discovery, 200
				if r.URL.Path == "/token" {
					body, status = c.token, c.status
				} else if asked++; c.discovery == "-" {
					status = 404
				}
				out.WriteHeader(status)
				_, _ = io.WriteString(out, strings.ReplaceAll(body, "ISSUER", s.URL))
			}))
			defer s.Close()
			w.api = New(w.app, Site{SignIn: &SignIn{Issuer: s.URL, ClientID: "page", Audience: c.audience}}).Handler()
			where := w.wants(c.get, nil, "GET", "/signin", "")
			if c.get == 200 && where.at("authorize") != "https://id.example.com/authorize" {
				t.Errorf("sign in at %v", where.at("authorize"))
			}
			if a := w.wants(c.post, nil, "POST", "/signin", code); !strings.Contains(a.raw, c.says) {
				t.Errorf("says %s, want %q", a.raw, c.says)
			}
			if c.get == 200 && asked != 1 {
				t.Errorf("the provider was asked %d times what it is", asked)
			}
			w.wants(400, nil, "POST", "/signin", `{"code":"","verifier":"v","redirectUri":"r"}`)
			w.wants(400, nil, "GET", "/signin?x=1", "")
			w.wants(413, nil, "POST", "/signin", `{"code":"`+strings.Repeat("x", bodyMax)+`"}`)
			w.wants(415, nil, "POST", "/signin", code, "Content-Type", "text/plain")
			if c.get == 200 {
				w.wants(304, nil, "GET", "/signin", "", "If-None-Match", where.header.Get("ETag"))
			}
		})
	}
	w := newWorld(t)
	if a := w.wants(200, nil, "GET", "/signin", ""); len(a.body) != 0 {
		t.Errorf("without a provider: %s", a.raw)
	}
	w.wants(404, nil, "POST", "/signin", code)
}
