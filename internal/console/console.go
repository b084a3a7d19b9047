// Package console is the HTTP API for people: JSON in and out, described by
// openapi.json, with roles and problems as RFC 9457 has them. It knows HTTP and
// the app's use cases for people; it must not know storage, engines or who serves
// it, and decides nothing: who may do what is the app's to say.
package console

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
)

// Document describes the API, as OpenAPI 3.1.
//
//go:embed openapi.json
var Document []byte

// bodyMax is the largest body that is taken: no request needs more.
const bodyMax = 256 << 10

// HeaderTime carries the system's time, which runs fast in a local system.
const HeaderTime = "Nightshift-Time"

// HeaderKey carries the caller's name of an act.
const HeaderKey = "Idempotency-Key"

// Site says where the deployment is, for links into AWS's console, and where its
// people sign in; nil: nowhere.
type Site struct {
	Account        string
	Region         string
	IdentityRegion string // "": Region
	SignIn         *SignIn
}

// Console serves the API.
type Console struct {
	app  *app.App
	site Site
}

// New makes a console of the use cases.
func New(a *app.App, site Site) *Console {
	if site.IdentityRegion == "" {
		site.IdentityRegion = site.Region
	}
	return &Console{a, site}
}

// call is one request on its way.
type call struct {
	*Console
	r      *http.Request
	w      http.ResponseWriter
	caller Caller
}

// route is one operation of the document.
type route struct {
	method, pattern string
	query           []string // the parameters it takes
	serve           func(*call) (status int, body any, err error)
	open            bool // to whom nobody has authenticated, too
}

// routes are all operations; a test holds them against the document.
func routes() []route { return append(people(), repairs()...) }

// people are the operations for which the records are enough.
func people() []route {
	return []route{
		{method: http.MethodGet, pattern: signInPath, serve: (*call).getSignIn, open: true},
		{method: http.MethodPost, pattern: signInPath, serve: (*call).changeCode, open: true},
		{http.MethodGet, "/api/openapi.json", nil, (*call).getDocument, false},
		{http.MethodGet, "/api/me", nil, (*call).getMe, false},
		{http.MethodGet, "/api/sessions", []string{"user", "engine", "endpoint", "status", "mode", "dueWithin", "cursor"}, (*call).listSessions, false},
		{http.MethodGet, "/api/sessions/{id}", nil, (*call).getSession, false},
		{http.MethodPost, "/api/sessions/{id}/stop", nil, (*call).stopSession, false},
		{http.MethodPost, "/api/sessions/{id}/extend", nil, (*call).extendSession, false},
		{http.MethodPost, "/api/sessions/{id}/restart", nil, (*call).restartSession, false},
		{http.MethodPost, "/api/revocations", nil, (*call).revoke, false},
		{http.MethodGet, "/api/revocations/{id}", nil, (*call).getRevocation, false},
		{http.MethodPost, "/api/whatif", nil, (*call).whatIf, false},
		{http.MethodGet, "/api/policy", nil, (*call).getPolicy, false},
		{http.MethodPut, "/api/policy", nil, (*call).setPolicy, false},
		{http.MethodGet, "/api/users/{user}", nil, (*call).getUser, false},
		{http.MethodPut, "/api/users/{user}/lock", nil, (*call).lockUser, false},
		{http.MethodDelete, "/api/users/{user}/lock", nil, (*call).unlockUser, false},
		{http.MethodGet, "/api/notices", []string{"cursor"}, (*call).listNotices, false},
		{http.MethodGet, "/api/notebooks", []string{"cursor"}, (*call).listNotebooks, false},
		{http.MethodGet, "/api/endpoints", nil, (*call).listEndpoints, false},
		{http.MethodGet, "/api/costs", []string{"from"}, (*call).getCosts, false},
		{http.MethodGet, "/api/proof", []string{"from", "to"}, (*call).getProof, false},
		{http.MethodGet, "/api/parked", []string{"cursor"}, (*call).listParked, false},
		{http.MethodGet, "/api/parked/{id}", nil, (*call).getParked, false},
		{http.MethodGet, "/api/samples", []string{"cursor"}, (*call).listSamples, false},
		{http.MethodGet, "/api/samples/{id}", nil, (*call).getSample, false},
	}
}

// repairs are the operations that ask engines and the identity store and change what
// they find. In a deployment they have a function of their own: what serves the page
// to everybody does not have its rights.
func repairs() []route {
	return []route{
		{http.MethodPost, "/api/parked/{id}/replay", nil, (*call).replayParked, false},
		{http.MethodGet, "/api/repair", []string{"endpoint", "from"}, (*call).getRepair, false},
		{http.MethodPost, "/api/repair", nil, (*call).repair, false},
		{http.MethodGet, "/api/restore", nil, (*call).getRestore, false},
		{http.MethodPost, "/api/restore", nil, (*call).restore, false},
	}
}

// Handler serves every route below /api/, the page and its sign-in. Who calls
// stands in the request's context (WithCaller); below /api/ a request without is
// refused.
func (c *Console) Handler() http.Handler { return c.serving(routes(), true) }

// People is the Handler without the routes of Repairs.
func (c *Console) People() http.Handler { return c.serving(people(), true) }

// Repairs serves the routes that ask engines and the identity store, and no page.
func (c *Console) Repairs() http.Handler { return c.serving(repairs(), false) }

// RepairPaths are the paths that Repairs serves, each once.
func RepairPaths() []string {
	var paths []string
	for _, route := range repairs() {
		if !slices.Contains(paths, route.pattern) {
			paths = append(paths, route.pattern)
		}
	}
	return paths
}

func (c *Console) serving(routes []route, paged bool) http.Handler {
	mux := http.NewServeMux()
	allowed := map[string][]string{}
	for _, route := range routes {
		mux.HandleFunc(route.method+" "+route.pattern, func(w http.ResponseWriter, r *http.Request) { c.serve(route, w, r) })
		allowed[route.pattern] = append(allowed[route.pattern], route.method)
	}
	if paged {
		page(mux)
	}
	// The same paths for any other method, so that a wrong one is told from a wrong
	// path.
	for pattern, methods := range allowed {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			refuse(w, problem{Status: http.StatusMethodNotAllowed, Detail: r.Method + " is not served here; it takes " + strings.Join(methods, ", ")})
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, problem{Status: http.StatusNotFound, Detail: "there is nothing at " + r.URL.Path + "; GET /api/openapi.json describes what there is"})
	})
	origin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Secure(w.Header())
		w.Header().Set(HeaderTime, written(c.app.Now()))
		if err := origin.Check(r); err != nil {
			refuse(w, problem{Status: http.StatusForbidden, Detail: "a page of another site may not do this"})
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// Secure sets the headers that every answer has: nothing of another site, no
// inline script, no frame, no guessing of types, no copy left behind.
func Secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Strict-Transport-Security", "max-age=31536000")
	h.Set("Cache-Control", "no-store")
}

func (c *Console) serve(route route, w http.ResponseWriter, r *http.Request) {
	caller, known := CallerOf(r.Context())
	if !known && !route.open {
		w.Header().Set("WWW-Authenticate", "Bearer")
		refuse(w, problem{Status: http.StatusUnauthorized, Detail: "nobody was authenticated"})
		return
	}
	if !route.open && !caller.Admin && caller.User == "" && route.pattern != "/api/openapi.json" {
		refuse(w, problem{Status: http.StatusForbidden, Detail: "you are authenticated, but are neither an administrator nor a user of the identity store here"})
		return
	}
	in := &call{c, r, w, caller}
	status, body, err := 0, any(nil), in.checkQuery(route.query)
	if err == nil {
		status, body, err = route.serve(in)
	}
	if err != nil {
		refuse(w, problemOf(err))
		if fault.KindOf(err) == fault.Unknown || fault.KindOf(err) == fault.Throttled {
			c.app.Log.Error("request failed", "route", route.method+" "+route.pattern, "error", err.Error())
		}
		return
	}
	reply(w, r, status, body)
}

// reply writes a body; to a GET that has it already, that nothing changed.
func reply(w http.ResponseWriter, r *http.Request, status int, body any) {
	text, raw := body.([]byte)
	if !raw {
		var out bytes.Buffer
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(body); err != nil {
			refuse(w, problem{Status: http.StatusServiceUnavailable, Detail: "the answer cannot be written"})
			return
		}
		text = out.Bytes()
	}
	if r.Method == http.MethodGet {
		hash := sha256.Sum256(text)
		tag := `"` + hex.EncodeToString(hash[:12]) + `"`
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text) // the caller has gone; there is nobody to tell
}

// problem is an answer that says what is wrong (RFC 9457).
type problem struct {
	Type    string `json:"type"`
	Title   string `json:"title"`
	Status  int    `json:"status"`
	Detail  string `json:"detail"`
	Field   string `json:"field,omitempty"`
	Allowed string `json:"allowed,omitempty"`
	Remedy  string `json:"remedy,omitempty"`
}

func refuse(w http.ResponseWriter, p problem) {
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	w.Header().Set("Content-Type", "application/problem+json")
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(p.Status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	_ = enc.Encode(p) // the caller has gone; there is nobody to tell
}

// problemOf decides once what an error means to a caller. What is behind an
// outage is for the log.
func problemOf(err error) problem {
	var own *refused
	if errors.As(err, &own) {
		return own.problem
	}
	var field *app.FieldError
	if errors.As(err, &field) {
		return problem{Status: http.StatusBadRequest, Detail: field.Error(), Field: field.Field, Allowed: field.Allowed}
	}
	var not *app.Refusal
	if errors.As(err, &not) {
		return problem{Status: http.StatusUnprocessableEntity, Detail: not.Reason, Remedy: not.Remedy}
	}
	detail := err.Error()
	var f *fault.Error
	if errors.As(err, &f) && f.Err != nil {
		detail = f.Err.Error()
	}
	switch fault.KindOf(err) {
	case fault.Invalid:
		return problem{Status: http.StatusBadRequest, Detail: detail}
	case fault.NotFound:
		return problem{Status: http.StatusNotFound, Detail: detail}
	case fault.Denied:
		return problem{Status: http.StatusForbidden, Detail: detail}
	case fault.Conflict:
		return problem{Status: http.StatusConflict, Detail: detail}
	case fault.Throttled, fault.Unknown:
	}
	return problem{Status: http.StatusServiceUnavailable, Detail: "a service behind Nightshift did not answer; try again"}
}

// refused is an error that is a problem already.
type refused struct{ problem }

func (r *refused) Error() string { return r.Detail }

func written(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func (c *call) getDocument() (int, any, error) { return http.StatusOK, Document, nil }

// limited reads a body, which is small.
func limited(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMax))
	if err != nil {
		return nil, &refused{problem{Status: http.StatusRequestEntityTooLarge, Detail: "the body must come whole, and have at most 256 KiB"}}
	}
	return b, nil
}
