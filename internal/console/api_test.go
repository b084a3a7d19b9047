package console

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/cost"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// operation is one way to call an operation so that it succeeds, for the tests
// that go over all of them.
type operation struct {
	method, path, body string
	ok                 int
	admin              bool // only for administrators
	table              bool // reads or writes the table
}

// operations are all operations; %s is a session of u-ana's, %e one that has
// ended, %k a kind of events that is not recognised.
func operations() []operation {
	return []operation{
		{"GET", "/api/openapi.json", "", 200, false, false},
		{"GET", "/api/me", "", 200, false, false},
		{"GET", "/api/sessions", "", 200, false, true},
		{"GET", "/api/sessions/%s", "", 200, false, true},
		{"POST", "/api/sessions/%s/stop", `{"why":"done early"}`, 202, false, true},
		{"POST", "/api/sessions/%s/extend", `{"by":"1h"}`, 200, false, true},
		{"POST", "/api/sessions/%e/restart", `{"why":"it was stopped too early"}`, 202, false, true},
		{"POST", "/api/revocations", `{"target":{"session":"%s"},"preview":true}`, 200, true, true},
		{"POST", "/api/revocations", `{"target":{"session":"%s"}}`, 202, true, true},
		{"GET", "/api/revocations/revocation-1", "", 200, true, true},
		{"POST", "/api/whatif", `{"signOut":{"user":"u-ana"}}`, 200, false, true},
		{"GET", "/api/policy", "", 200, false, true},
		{"PUT", "/api/policy", `{"version":1,"change":{"backgroundDuration":"3d"}}`, 200, true, true},
		{"GET", "/api/users/u-ana", "", 200, false, true},
		{"PUT", "/api/users/u-ana/lock", `{"for":"1d","why":"an incident"}`, 200, true, true},
		{"DELETE", "/api/users/u-ana/lock", "", 200, true, true},
		{"GET", "/api/notices", "", 200, false, true},
		{"GET", "/api/notebooks", "", 200, false, true},
		{"GET", "/api/endpoints", "", 200, true, true},
		{"GET", "/api/costs", "", 200, false, true},
		{"GET", "/api/proof", "", 200, true, true},
		{"GET", "/api/samples", "", 200, true, true},
		{"GET", "/api/samples/%k", "", 200, true, true},
		{"GET", "/api/parked", "", 200, true, true},
		{"GET", "/api/parked/p-1", "", 200, true, true},
		{"POST", "/api/parked/p-1/replay", `{"why":"the portal was mended"}`, 200, true, true},
		{"GET", "/api/repair", "", 200, true, true},
		{"POST", "/api/repair", `{"endpoint":"emr-containers/123456789012/us-east-1"}`, 200, true, true},
		{"GET", "/api/restore", "", 200, true, true},
		{"POST", "/api/restore", `{"say":true}`, 200, true, true},
	}
}

// stage is a world with a session of u-ana's that can be extended, and a
// revocation of one of ben's; fill puts the session into an operation.
func stage(t *testing.T) (*world, func(operation) operation) {
	w := newWorld(t)
	w.opens("u-ben", sagemaker)
	id, ended := w.opens("u-ana", onEKS), w.ended("u-ana")
	w.now = w.now.Add(time.Hour)
	w.wants(202, admin, "POST", "/api/revocations", `{"target":{"user":"u-ben"}}`, HeaderKey, "revocation-1")
	w.parks("p-1", signedOut)
	kind := w.samples("sso.amazonaws.com/NewEvent")
	return w, func(o operation) operation {
		o.path, o.body = strings.NewReplacer("%s", id, "%e", ended, "%k", kind).Replace(o.path), strings.ReplaceAll(o.body, "%s", id)
		return o
	}
}

// samples has an event of a kind that is not recognised, and answers the kind's id.
func (w *world) samples(kind string) string {
	w.t.Helper()
	if err := w.app.Handle(w.t.Context(), app.Unrecognised{Kind: kind, Body: []byte("{}"), At: w.now}); err != nil {
		w.t.Fatal(err)
	}
	all, _, err := w.app.Samples(w.t.Context(), app.Actor{Name: "u-root", Admin: true}, "")
	if err != nil || len(all) != 1 {
		w.t.Fatalf("the samples are %+v, %v", all, err)
	}
	return all[0].ID
}

// TestRoles: each operation, called by an administrator, by the session's own
// user, by another user, by somebody who is neither, and by nobody at all
// (issue: a user sees and acts on their own sessions only).
func TestRoles(t *testing.T) {
	looked := 0
	for _, o := range operations() {
		others := http.StatusNotFound // whose session it is, is nobody's business
		switch {
		case o.admin, strings.Contains(o.path, "u-ana"), strings.Contains(o.body, "u-ana"):
			others = http.StatusForbidden
		case !strings.Contains(o.path, "%"):
			others = o.ok // their own, which are none
		}
		own := o.ok
		if o.admin {
			own = http.StatusForbidden
		}
		neither := http.StatusForbidden
		if o.path == "/api/openapi.json" {
			neither = http.StatusOK
		}
		for _, c := range []struct {
			name string
			who  *Caller
			want int
		}{{"an administrator", admin, o.ok}, {"its own user", ana, own}, {"another user", ben, others}, {"neither", nobody, neither}, {"nobody", nil, http.StatusUnauthorized}} {
			t.Run(fmt.Sprintf("%s %s, %s", o.method, o.path, c.name), func(t *testing.T) {
				looked++
				w, fill := stage(t)
				o := fill(o)
				a := w.wants(c.want, c.who, o.method, o.path, o.body)
				if c.want >= 400 && strings.Contains(a.raw, "u-ana\"") {
					t.Errorf("a refusal tells of another's session: %s", a.raw)
				}
			})
		}
	}
	if looked != 5*len(operations()) {
		t.Errorf("%d pairs were looked at", looked)
	}
}

// TestUsersSeeTheirOwn: the lists of a user have nothing of another's in them.
func TestUsersSeeTheirOwn(t *testing.T) {
	w, _ := stage(t)
	for _, path := range []string{"/api/sessions", "/api/sessions?status=all", "/api/notices"} {
		if a := w.wants(200, ana, "GET", path, ""); strings.Contains(a.raw, "u-ben") {
			t.Errorf("%s shows u-ana what is u-ben's: %s", path, a.raw)
		}
		if a := w.wants(200, admin, "GET", path, ""); path != "/api/sessions" && !strings.Contains(a.raw, "u-ben") {
			t.Errorf("%s does not show an administrator what is u-ben's: %s", path, a.raw)
		}
	}
	w.wants(403, ana, "GET", "/api/sessions?user=u-ben", "")
	for _, body := range []string{`{"at":"2026-12-30T00:00:00Z"}`, `{"policy":{"backgroundDuration":"15m"}}`, `{"revoke":{"selector":{"engine":"sagemaker-training"}}}`} {
		if a := w.wants(200, ana, "POST", "/api/whatif", body); strings.Contains(a.raw, "u-ben") {
			t.Errorf("a what-if of u-ana tells of u-ben: %s", a.raw)
		}
	}
	w.wants(403, ana, "POST", "/api/whatif", `{"revoke":{"user":"u-ben"}}`)
}

// TestOutage: where the table does not answer, every operation that needs it says
// 503 and nothing of what is behind.
func TestOutage(t *testing.T) {
	looked := 0
	for _, o := range operations() {
		if !o.table {
			continue
		}
		looked++
		w, fill := stage(t)
		o := fill(o)
		w.store.down = true
		a := w.wants(503, admin, o.method, o.path, o.body)
		if strings.Contains(a.raw, "table") || a.header.Get("Retry-After") == "" {
			t.Errorf("%s %s: %s", o.method, o.path, a.raw)
		}
	}
	if looked < 14 {
		t.Errorf("%d operations were looked at", looked)
	}
}

// TestNothingChanged: a GET that is repeated with its tag is answered 304 until
// something has changed.
func TestNothingChanged(t *testing.T) {
	looked := 0
	for _, o := range operations() {
		if o.method != "GET" {
			continue
		}
		looked++
		w, fill := stage(t)
		o := fill(o)
		tag := w.wants(200, admin, "GET", o.path, "").header.Get("ETag")
		if a := w.wants(304, admin, "GET", o.path, "", "If-None-Match", tag); tag == "" || a.raw != "" {
			t.Errorf("%s: tag %q, body %q", o.path, tag, a.raw)
		}
	}
	if looked < 8 {
		t.Errorf("%d operations were looked at", looked)
	}
	w, fill := stage(t)
	path := fill(operations()[3]).path
	tag := w.wants(200, ana, "GET", path, "").header.Get("ETag")
	w.wants(202, ana, "POST", path+"/stop", `{}`)
	w.wants(200, ana, "GET", path, "", "If-None-Match", tag)

	// What a run costs grows all the time; it is told as of the minute.
	for _, path := range []string{"/api/sessions", "/api/costs"} {
		w := newWorld(t)
		w.app.Book = cost.Book{Table: cost.Published()}
		w.now = w.now.Truncate(time.Minute)
		id := w.opens("u-ana", sagemaker)
		w.see(id, session.Event{Kind: session.RunObserved, State: workload.Running, Billing: workload.Billing{InstanceType: "ml.g5.xlarge", Instances: 20}})
		w.now = w.now.Truncate(time.Minute).Add(time.Hour)
		tag := w.wants(200, admin, "GET", path, "").header.Get("ETag")
		w.now = w.now.Add(59 * time.Second)
		w.wants(304, admin, "GET", path, "", "If-None-Match", tag)
		w.now = w.now.Add(time.Second)
		if a := w.wants(200, admin, "GET", path, "", "If-None-Match", tag); !strings.Contains(a.raw, `"usd": 28.`) {
			t.Errorf("%s says no cost: %s", path, a.raw)
		}
	}
}

// TestCostsFrom: the time from which sessions are added up is given, checked and
// answered (S8.5).
func TestCostsFrom(t *testing.T) {
	w := newWorld(t)
	w.ended("u-ana")
	w.now = w.now.Add(48 * time.Hour)
	count := func(query string) string {
		body := w.wants(200, ana, "GET", "/api/costs"+query, "").body
		return fmt.Sprint(body["total"].(map[string]any)["sessions"], " ", body["from"], " ", body["complete"])
	}
	since := began.Add(time.Hour).Format(time.RFC3339)
	if all, late := count(""), count("?from="+since); all != "1 "+w.now.Truncate(time.Minute).Add(-app.CostsBack).Format(time.RFC3339)+" true" || late != "0 "+since+" true" {
		t.Errorf("30 days %s, since yesterday %s", all, late)
	}
	for _, bad := range []string{"yesterday", w.now.Add(time.Minute).Format(time.RFC3339)} {
		if a := w.wants(400, admin, "GET", "/api/costs?from="+bad, ""); a.body["field"] != "from" || !strings.Contains(a.raw, "a time") {
			t.Errorf("from %s: %s", bad, a.raw)
		}
	}
}

// TestMisspelt: no operation takes a parameter that it does not have, and the
// document says so.
func TestMisspelt(t *testing.T) {
	for _, o := range operations() {
		w, fill := stage(t)
		o := fill(o)
		if a := w.wants(400, admin, o.method, o.path+"?usr=ana", o.body); a.at("field") != "usr" {
			t.Errorf("%s %s: %s", o.method, o.path, a.raw)
		}
	}
}

// TestBodies: what every operation with a body refuses.
func TestBodies(t *testing.T) {
	looked := 0
	for _, o := range operations() {
		if o.body == "" {
			continue
		}
		looked++
		w, fill := stage(t)
		o := fill(o)
		w.wants(415, admin, o.method, o.path, o.body, "Content-Type", "text/plain")
		w.wants(415, admin, o.method, o.path, o.body, "Content-Type", "")
		w.wants(413, admin, o.method, o.path, `{"why":"`+strings.Repeat("x", bodyMax)+`"}`)
		for body, field := range map[string]string{`{"nope":1}`: "nope", `{`: "body", `[]`: "body", `{} {}`: "body", `null x`: "body"} {
			if a := w.wants(400, admin, o.method, o.path, body); a.at("field") != field || a.at("allowed") == nil {
				t.Errorf("%s %s with %s: %s", o.method, o.path, body, a.raw)
			}
		}
	}
	if looked < 7 {
		t.Errorf("%d operations were looked at", looked)
	}
}

// TestRefusals: a field that is wrong is named, with what is allowed there.
func TestRefusals(t *testing.T) {
	const range90 = "15 minutes to 90 days"
	for _, c := range []struct{ name, method, path, body, field, allowed string }{
		{"S1.4 14 minutes", "PUT", "/api/policy", `{"version":1,"change":{"backgroundDuration":"14m"}}`, "change.backgroundDuration", range90},
		{"S1.4 91 days", "PUT", "/api/policy", `{"version":1,"change":{"backgroundDuration":"91d"}}`, "change.backgroundDuration", range90},
		{"S1.5 14 minutes", "PUT", "/api/policy", `{"version":1,"change":{"interactiveDuration":"14m"}}`, "change.interactiveDuration", range90},
		{"S2.16 91 days", "PUT", "/api/policy", `{"version":1,"change":{"livyIdle":"2184h"}}`, "change.livyIdle", range90},
		{"S2.16 91 days", "PUT", "/api/policy", `{"version":1,"change":{"tenantLimit":"91d"}}`, "change.tenantLimit", range90},
		{"no duration", "PUT", "/api/policy", `{"version":1,"change":{"livyIdle":"soon"}}`, "change.livyIdle", range90},
		{"less than nothing", "PUT", "/api/policy", `{"version":1,"change":{"livyIdle":"-8h"}}`, "change.livyIdle", range90},
		{"a switch", "PUT", "/api/policy", `{"version":1,"change":{"instanceBackground":"maybe"}}`, "change.instanceBackground", "on, off or unknown"},
		{"a time", "GET", "/api/proof?from=yesterday", "", "from", "a time such as"},
		{"times", "GET", "/api/proof?from=2026-11-20T18:00:00Z&to=2026-11-20T18:00:00Z", "", "to", "later than from"},
		{"a cost", "PUT", "/api/policy", `{"version":1,"change":{"costAlertUsd":-1}}`, "change.costAlertUsd", "US dollars"},
		{"nothing to change", "PUT", "/api/policy", `{"version":1,"change":{}}`, "change", "at least one"},
		{"no change", "PUT", "/api/policy", `{"version":1}`, "change", "at least one"},
		{"no version", "PUT", "/api/policy", `{"change":{"livyIdle":"1h"}}`, "version", "GET /api/policy"},
		{"a text for a truth", "PUT", "/api/policy", `{"version":1,"change":{"requireUnifiedStudioLaunch":"yes"}}`, "change.requireUnifiedStudioLaunch", "true or false"},
		{"a reason of two lines", "PUT", "/api/policy", `{"version":1,"change":{"livyIdle":"1h"},"why":"a\nb"}`, "why", "one line"},
		{"what if 14 minutes", "POST", "/api/whatif", `{"policy":{"backgroundDuration":"14m"}}`, "policy.backgroundDuration", range90},
		{"what if nothing", "POST", "/api/whatif", `{}`, "body", "exactly one"},
		{"what if two things", "POST", "/api/whatif", `{"at":"2026-12-01T00:00:00Z","signOut":{"user":"u-ana"}}`, "body", "exactly one"},
		{"what if in the past", "POST", "/api/whatif", `{"at":"2026-11-01T00:00:00Z"}`, "at", "now or later"},
		{"what if at no time", "POST", "/api/whatif", `{"at":"tomorrow"}`, "at", "a time such as"},
		{"what if nobody signs out", "POST", "/api/whatif", `{"signOut":{}}`, "signOut.user", "the id of a user"},
		{"what if an address signs out", "POST", "/api/whatif", `{"signOut":{"user":"ana@example.com"}}`, "signOut.user", "the id of a user"},
		{"what if a policy of nothing", "POST", "/api/whatif", `{"policy":{}}`, "policy", "at least one"},
		{"no target", "POST", "/api/revocations", `{}`, "target", "exactly one"},
		{"an empty target", "POST", "/api/revocations", `{"target":{}}`, "target", "exactly one"},
		{"two targets", "POST", "/api/revocations", `{"target":{"session":"s-1","user":"u-ana"}}`, "target", "exactly one"},
		{"a selector of nothing", "POST", "/api/revocations", `{"target":{"selector":{}}}`, "target.selector", "at least one"},
		{"an engine", "POST", "/api/revocations", `{"target":{"selector":{"engine":"spark"}}}`, "target.selector.engine", "one of livy"},
		{"a mode", "POST", "/api/revocations", `{"target":{"selector":{"mode":"both"}}}`, "target.selector.mode", "one of background"},
		{"a misspelt selector", "POST", "/api/revocations", `{"target":{"selector":{"usr":"u-ana"}}}`, "usr", "left out"},
		{"an address", "POST", "/api/revocations", `{"target":{"user":"ana@example.com"}}`, "target.user", "the id of a user"},
		{"neither until nor by", "POST", "/api/sessions/%s/extend", `{}`, "until", "or else by"},
		{"both until and by", "POST", "/api/sessions/%s/extend", `{"until":"2026-12-01T00:00:00Z","by":"1h"}`, "until", "not both"},
		{"nothing more", "POST", "/api/sessions/%s/extend", `{"by":"0s"}`, "by", "more than nothing"},
		{"a reason that is too long", "POST", "/api/sessions/%s/stop", `{"why":"` + strings.Repeat("x", 201) + `"}`, "why", "200"},
		{"S8.6 a lock without a reason", "PUT", "/api/users/u-ana/lock", `{"for":"1d"}`, "why", "told"},
		{"S8.6 a lock in the past", "PUT", "/api/users/u-ana/lock", `{"until":"2026-11-01T00:00:00Z","why":"x"}`, "until", "later than now"},
		{"S8.6 a lock of 91 days", "PUT", "/api/users/u-ana/lock", `{"for":"91d","why":"x"}`, "until", "90 days"},
		{"a lock of an address", "PUT", "/api/users/ana@example.com/lock", `{"for":"1d","why":"x"}`, "user", "the id of a user"},
		{"an unlocked address", "DELETE", "/api/users/ana@example.com/lock", ``, "user", "the id of a user"},
		{"an address", "GET", "/api/users/ana@example.com", ``, "user", "the id of a user"},
		{"a misspelt filter", "GET", "/api/sessions?usr=u-ana", ``, "usr", "there are user, engine"},
		{"a filter twice", "GET", "/api/sessions?user=u-ana&user=u-ben", ``, "user", "once"},
		{"an engine", "GET", "/api/sessions?engine=spark", ``, "engine", "one of livy"},
		{"an endpoint", "GET", "/api/sessions?endpoint=%ff", ``, "endpoint", "such as"},
		{"an endpoint", "POST", "/api/revocations", `{"target":{"selector":{"endpoint":"sagemaker"}}}`, "target.selector.endpoint", "such as"},
		{"a status", "GET", "/api/sessions?status=GONE", ``, "status", "one of live"},
		{"a time", "GET", "/api/sessions?dueWithin=soon", ``, "dueWithin", "more than nothing"},
		{"a cursor", "GET", "/api/sessions?cursor=xyz", ``, "cursor", "an answer before"},
		{"a cursor of the store's", "GET", "/api/sessions?status=all&cursor=eyJjIjoieCJ9", ``, "cursor", "the same question"},
		{"a cursor", "GET", "/api/notices?cursor=xyz", ``, "cursor", "an answer before"},
		{"a parameter", "GET", "/api/policy?x=1", ``, "x", "no parameters"},
	} {
		t.Run(c.name+", "+c.method+" "+c.path, func(t *testing.T) {
			w, fill := stage(t)
			if strings.Contains(c.path, "?x=1") {
				// The document says nothing of parameters that are not there.
				r := w.ask(admin, c.method, "/api/sessions?x=1", "")
				if r.status != 400 {
					t.Fatal(r.raw)
				}
				return
			}
			o := fill(operation{path: c.path, body: c.body})
			a := w.wants(400, admin, c.method, o.path, o.body)
			allowed, _ := a.at("allowed").(string)
			if a.at("field") != c.field || !strings.Contains(allowed, c.allowed) || !strings.Contains(fmt.Sprint(a.at("detail")), c.field) {
				t.Errorf("%s, want the field %q and %q", a.raw, c.field, c.allowed)
			}
		})
	}
	w, fill := stage(t)
	for _, o := range operations() {
		o = fill(o)
		if o.method == "GET" || o.path == "/api/whatif" || strings.Contains(o.body, "preview") {
			continue
		}
		if a := w.wants(400, admin, o.method, o.path, o.body, HeaderKey, "short"); a.at("field") != HeaderKey {
			t.Errorf("%s %s: %s", o.method, o.path, a.raw)
		}
	}
}

// TestKeys: an act of a known key is not done twice, and a key names one act.
func TestKeys(t *testing.T) {
	w, fill := stage(t)
	acts := []operation{}
	for _, o := range operations() {
		if o = fill(o); o.method != "GET" && o.path != "/api/whatif" && !strings.Contains(o.body, "preview") {
			acts = append(acts, o)
		}
	}
	if len(acts) < 6 {
		t.Fatalf("%d acts", len(acts))
	}
	taken := "taken-by-another-act"
	w.wants(200, admin, "PUT", "/api/users/u-zoe/lock", `{"for":"1d","why":"an incident"}`, HeaderKey, taken)
	for i, o := range acts {
		key := fmt.Sprintf("key-of-act-%d", i)
		w, fill := stage(t)
		o := operation{o.method, o.path, o.body, o.ok, o.admin, o.table}
		_ = fill
		w.wants(200, admin, "PUT", "/api/users/u-zoe/lock", `{"for":"1d","why":"an incident"}`, HeaderKey, taken)
		w.wants(409, admin, o.method, o.path, o.body, HeaderKey, taken)
		w.wants(o.ok, admin, o.method, o.path, o.body, HeaderKey, key)
		w.now = w.now.Add(time.Minute)
		w.wants(o.ok, admin, o.method, o.path, o.body, HeaderKey, key)
	}
}

// TestWrongPathsAndMethods: what is not there, and what is there for another
// method, are told apart.
func TestWrongPathsAndMethods(t *testing.T) {
	w := newWorld(t)
	if a := w.wants(404, admin, "GET", "/api/nothing", ""); a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%v", a.header)
	}
	if a := w.wants(405, admin, "DELETE", "/api/sessions", ""); a.header.Get("Allow") != "GET" {
		t.Errorf("Allow: %q", a.header.Get("Allow"))
	}
	if a := w.wants(405, admin, "POST", "/api/policy", "{}"); a.header.Get("Allow") != "GET, PUT" {
		t.Errorf("Allow: %q", a.header.Get("Allow"))
	}
	w.wants(404, admin, "GET", "/api/sessions/s-none", "")
	w.wants(404, admin, "POST", "/api/sessions/s-none/stop", "{}")
	w.wants(404, admin, "POST", "/api/sessions/s-none/extend", `{"by":"1h"}`)
	w.wants(404, admin, "POST", "/api/revocations", `{"target":{"session":"s-none"}}`)
	w.wants(404, admin, "POST", "/api/whatif", `{"revoke":{"session":"s-none"}}`)
	w.wants(404, admin, "GET", "/api/revocations/none-such", "")
	for _, path := range []string{"/api/sessions/%ff", "/api/revocations/%ff", "/api/sessions/a%20b"} {
		w.wants(404, admin, "GET", path, "")
	}
	w.wants(404, admin, "POST", "/api/sessions/s-none/restart", `{}`)
	for _, act := range []string{"stop", "extend", "restart"} {
		w.wants(404, admin, "POST", "/api/sessions/%ff/"+act, "{}")
	}
}

// TestAnotherSitesPage may do nothing here, whoever's browser it is in.
func TestAnotherSitesPage(t *testing.T) {
	w, fill := stage(t)
	o := fill(operations()[4])
	w.wants(403, admin, o.method, o.path, o.body, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
	w.wants(403, admin, o.method, o.path, o.body, "Origin", "https://evil.example")
	w.wants(202, admin, o.method, o.path, o.body, "Origin", "http://example.com", "Sec-Fetch-Site", "same-origin")
}

// TestPages: a list that is longer than a page is told whole, each once.
func TestPages(t *testing.T) {
	w := newWorld(t)
	want := map[string]bool{}
	for i := range 120 {
		want[w.opens(fmt.Sprintf("u-%d", i%2), []string{sagemaker, onEKS}[i%2])] = true
	}
	for _, query := range []string{"status=live", "status=all", "dueWithin=90d", "mode=background", "mode=interactive", "user=u-0", "endpoint=" + onEKS} {
		got, cursor, pages := map[string]bool{}, "", 0
		for more := true; more; pages++ {
			a := w.wants(200, admin, "GET", "/api/sessions?"+query+"&cursor="+cursor, "")
			for _, line := range a.body["sessions"].([]any) {
				id := line.(map[string]any)["id"].(string)
				if got[id] {
					t.Errorf("%s: %s twice", query, id)
				}
				got[id] = true
			}
			cursor = a.at("next").(string)
			more = cursor != "" && pages < 50
		}
		n := len(want)
		if !strings.HasPrefix(query, "status=") && !strings.HasPrefix(query, "dueWithin=") {
			n /= 2
		}
		if len(got) != n || pages < 2 {
			t.Errorf("%s: %d sessions on %d pages, want %d", query, len(got), pages, n)
		}
	}
}

// TestStory: why a session may run, until when, and what a sign-out did (S8.1).
func TestStory(t *testing.T) {
	w, _ := stage(t)
	id := w.opens("u-ana", sagemaker)
	a := w.wants(200, ana, "GET", "/api/sessions/"+id, "")
	if a.at("survivesSignOut") != "no" || !strings.Contains(fmt.Sprint(a.at("onSignOut")), "the user signed out") || a.at("chain") != "intact" ||
		a.at("line", "mode") != "interactive" || a.at("extension", "possible") != false || !strings.Contains(fmt.Sprint(a.at("extension", "remedy")), "Start the run again") {
		t.Errorf("%s", a.raw)
	}
	if search := a.at("awsSession", "search"); search != "arn:aws:sagemaker:us-east-1:123456789012:training-job/"+id {
		t.Errorf("S8.1 search for %v", search)
	}
	if c, _ := a.at("whereDuration", "console").(string); !strings.HasPrefix(c, "https://console.aws.amazon.com/singlesignon") {
		t.Errorf("S8.1 the limit is changed at %q", c)
	}
	w.see(id, session.Event{Kind: session.SignOut, ID: "e-1", User: "u-ana", By: "u-ana"})
	w.see(id, session.Event{Kind: session.RunObserved, State: workload.Stopped})
	a = w.wants(200, admin, "GET", "/api/sessions/"+id, "")
	history := a.body["history"].([]any)
	var told []string
	for _, h := range history {
		told = append(told, fmt.Sprint(h.(map[string]any)["decided"]))
	}
	for _, want := range []string{"the session is active, mode interactive", "the run is asked to stop, because the user signed out", "the session has ended, because the user signed out"} {
		if !strings.Contains(strings.Join(told, "\n"), want) {
			t.Errorf("nobody says %q in %q", want, told)
		}
	}
	if a.at("survivesSignOut") != "unknown" || a.at("line", "cause") != "sign-out" || a.at("line", "endedBy") != "u-ana" {
		t.Errorf("%s", a.raw)
	}
}

// TestRevokeByPreview: a preview writes nothing and says what the revocation then
// does; sessions that came between are not ended unseen (S8.1, S2.9).
func TestRevokeByPreview(t *testing.T) {
	w := newWorld(t)
	var ids []string
	for range 4 {
		ids = append(ids, w.opens("u-ana", sagemaker))
	}
	other := w.opens("u-ben", sagemaker)
	eks := w.opens("u-ana", onEKS)
	target := `"target":{"selector":{"user":"u-ana","engine":"sagemaker-training"}}`
	preview := w.wants(200, admin, "POST", "/api/revocations", `{`+target+`,"preview":true}`)
	if preview.at("counts", "ends") != 4.0 || preview.at("etaSeconds") != 6.0 || preview.at("id") != "" || preview.at("progress") != nil ||
		preview.at("sessions", 0, "outcome") != "ends" || preview.at("sessions", 0, "awsSession") == nil || preview.at("endpoints", 0, "endpoint") != sagemaker {
		t.Fatalf("S2.9 four runs at half a stop a second, of which one at once: %s", preview.raw)
	}
	for _, id := range append(ids, other, eks) {
		if s, err := w.store.Session(t.Context(), id); err != nil || s.Status != session.Active {
			t.Errorf("a preview has changed %s: %v %v", id, s.Status, err)
		}
	}
	plan := preview.at("plan").(string)
	late := w.opens("u-ana", sagemaker)
	w.wants(409, admin, "POST", "/api/revocations", `{`+target+`,"plan":"`+plan+`"}`)
	preview = w.wants(200, admin, "POST", "/api/revocations", `{`+target+`,"preview":true}`)
	done := w.wants(202, admin, "POST", "/api/revocations", `{`+target+`,"plan":"`+preview.at("plan").(string)+`","why":"leaves the company"}`, HeaderKey, "revoke-ana-1")
	if done.at("id") != "revoke-ana-1" || done.at("progress", "total") != 5.0 || done.at("progress", "waiting") != 5.0 || done.at("progress", "done") != false {
		t.Fatalf("%s", done.raw)
	}
	for _, id := range append(ids, late) {
		s, err := w.store.Session(t.Context(), id)
		if err != nil || s.Status != session.Ending || s.End.Cause != session.CauseStopRequested || s.End.By != "u-root" || !strings.Contains(s.End.Evidence, "leaves the company") {
			t.Errorf("S2.7 %s: %+v %v", id, s.End, err)
		}
	}
	for _, id := range []string{other, eks} {
		if s, err := w.store.Session(t.Context(), id); err != nil || s.Status != session.Active {
			t.Errorf("S2.5 %s was not selected and is %s: %v", id, s.Status, err)
		}
	}
	for i, id := range append(ids, late) {
		w.see(id, session.Event{Kind: session.StopAccepted})
		if i < 3 {
			w.see(id, session.Event{Kind: session.RunObserved, State: workload.Stopped})
		}
	}
	far := w.wants(200, admin, "GET", "/api/revocations/revoke-ana-1", "")
	if far.at("progress", "ended") != 3.0 || far.at("progress", "asked") != 2.0 || far.at("progress", "done") != false || far.at("why") != "leaves the company" {
		t.Errorf("%s", far.raw)
	}
	drains := w.wants(200, admin, "GET", "/api/endpoints", "")
	if drains.at("endpoints", 1, "id") != sagemaker || drains.at("endpoints", 1, "ending") != 2.0 || drains.at("endpoints", 1, "live") != 3.0 {
		t.Errorf("%s", drains.raw)
	}
}

// TestPolicyStory: who set what when, and that a version is replaced only by who
// has seen it (S1.4, S1.6).
func TestPolicyStory(t *testing.T) {
	w, _ := stage(t)
	w.wants(200, admin, "PUT", "/api/policy", `{"version":1,"change":{"backgroundDuration":"3d","tenantLimit":"30d"},"why":"costs"}`)
	w.wants(409, admin, "PUT", "/api/policy", `{"version":1,"change":{"backgroundDuration":"5d"}}`)
	a := w.wants(200, ana, "GET", "/api/policy", "")
	if a.at("policy", "version") != 2.0 || a.at("policy", "backgroundDuration") != "72h0m0s" || a.at("changes", 0, "by") != "u-root" || a.at("changes", 0, "why") != "costs" ||
		a.at("changes", 0, "changed") != "backgroundDuration from 168h0m0s to 72h0m0s, tenantLimit from none to 720h0m0s" || a.at("changes", 1, "version") != 1.0 {
		t.Errorf("%s", a.raw)
	}
	w.wants(200, admin, "PUT", "/api/policy", `{"version":2,"change":{"tenantLimit":"none"}}`)
	if a := w.wants(200, admin, "GET", "/api/policy", ""); a.at("policy", "tenantLimit") != nil || len(a.body["changes"].([]any)) != 3 {
		t.Errorf("%s", a.raw)
	}
}

// TestNotPossible: what is understood and cannot be done says what can.
func TestNotPossible(t *testing.T) {
	w, _ := stage(t)
	for i := range 10_001 {
		run := workload.Run{Engine: workload.SageMakerTraining, Endpoint: sagemaker}
		if _, err := w.app.OpenSession(t.Context(), app.OpenRequest{Execution: fmt.Sprint(i), User: "u-many", Run: run}); err != nil {
			t.Fatal(err)
		}
	}
	many := w.wants(422, admin, "POST", "/api/revocations", `{"target":{"user":"u-many"}}`)
	if !strings.Contains(fmt.Sprint(many.at("remedy")), "Narrow the selector") {
		t.Errorf("%s", many.raw)
	}
	id := w.opens("u-ana", sagemaker)
	a := w.wants(422, ana, "POST", "/api/sessions/"+id+"/extend", `{"by":"1h"}`)
	if !strings.Contains(fmt.Sprint(a.at("detail")), "AWS's own interactive session") || !strings.Contains(fmt.Sprint(a.at("remedy")), "Start the run again") {
		t.Errorf("S8.2 %s", a.raw)
	}
}

// TestRestart: what of a run that was stopped can be started again, what follows
// it, and what to set where it cannot (S4.4).
func TestRestart(t *testing.T) {
	w, _ := stage(t)
	id := w.ended("u-ana")
	before := w.wants(200, ana, "POST", "/api/sessions/"+id+"/restart", `{"preview":true}`)
	if before.at("next") != "" || before.at("attempt") != "churn-r2" || before.at("mode") != "interactive" || before.at("deadline") == nil || before.at("input", "restartOf") != id || before.at("input", "spec", "TrainingJobName") != "churn-r2" {
		t.Errorf("the preview says %s", before.raw)
	}
	a := w.wants(202, ana, "POST", "/api/sessions/"+id+"/restart", `{}`)
	next, _ := a.at("next").(string)
	if a.at("attempt") != "churn-r2" || a.at("checkpoint") != "s3://bucket/checkpoints/" || next == "" || !strings.Contains(fmt.Sprint(a.at("text")), next) {
		t.Fatalf("%s", a.raw)
	}
	if again := w.wants(202, ana, "POST", "/api/sessions/"+id+"/restart", `{}`); again.at("next") != next {
		t.Errorf("asked twice it starts %v and %v", next, again.at("next"))
	}
	w.follow(id)
	if story := w.wants(200, ana, "GET", "/api/sessions/"+id, ""); story.at("next") != next {
		t.Errorf("the record names %v as successor, want %s", story.at("next"), next)
	}
	if story := w.wants(200, ana, "GET", "/api/sessions/"+next, ""); story.at("session", "previous") != id {
		t.Errorf("the successor names %v, want %s", story.at("session", "previous"), id)
	}
	if again := w.wants(200, admin, "POST", "/api/sessions/"+id+"/restart", `{"preview":true}`); again.at("next") != next || again.at("input") != nil {
		t.Errorf("the preview of what was started again: %s", again.raw)
	}
	late := w.wants(202, admin, "POST", "/api/sessions/"+id+"/restart", `{}`)
	if late.at("next") != next || !strings.Contains(fmt.Sprint(late.at("text")), "before") {
		t.Errorf("%s", late.raw)
	}
	w.inputs.spec = `{}`
	for id, remedy := range map[string]string{w.ended("u-ana"): "Set CheckpointConfig", w.opens("u-ana", sagemaker): "Stop it first"} {
		if a := w.wants(422, ana, "POST", "/api/sessions/"+id+"/restart", `{}`); !strings.Contains(fmt.Sprint(a.at("remedy")), remedy) {
			t.Errorf("%s, want %q", a.raw, remedy)
		}
	}
}

// S5.1: an administrator sees all notebooks and where they run; a user those that they
// have started, with their own runs, and the moves of those.
func TestS5_1NotebooksOfTheirUsers(t *testing.T) {
	w, _ := stage(t)
	one, two := w.opens("u-ana", onEKS), w.opens("u-ben", onEKS)
	over := w.ended("u-ana")
	run := func(session, user, cluster string) app.NotebookRun {
		return app.NotebookRun{Session: session, User: user, Cluster: cluster}
	}
	for i, n := range []app.Notebook{
		{ID: "n-1", Place: "e-1/churn.ipynb", Runs: []app.NotebookRun{run(one, "u-ana", "j-1"), run(two, "u-ben", "j-1")},
			Move: app.Move{ID: "arn:move", Session: two, From: "j-1", To: "j-2", Since: w.now, Why: "it is full"}},
		{ID: "n-2", Place: "e-2/ben.ipynb", Runs: []app.NotebookRun{run(two, "u-ben", "j-3")}},
		{ID: "n-3", Place: "e-3/over.ipynb", Runs: []app.NotebookRun{run(over, "u-ana", "j-4")}, Move: app.Move{ID: "arn:back", Session: over, From: "j-4", Back: true, Since: w.now, Tries: 2}},
	} {
		if n.Version = 1; w.store.PutNotebook(t.Context(), n) != nil {
			t.Fatal(i)
		}
	}
	all := w.wants(200, admin, "GET", "/api/notebooks", "")
	for _, want := range []string{`"n-1"`, `"n-2"`, `"n-3"`, one, two, `"from":"j-1","to":"j-2","back":false`, `"runs":[]`, `"tries":2`} {
		if !strings.Contains(strings.NewReplacer(" ", "", "\n", "").Replace(all.raw), want) {
			t.Errorf("S5.1 an administrator is not shown %s: %s", want, all.raw)
		}
	}
	if strings.Contains(all.raw, over) {
		t.Errorf("S5.1 what has ended is said to run: %s", all.raw)
	}
	own := w.wants(200, ana, "GET", "/api/notebooks", "")
	if got := own.body["notebooks"].([]any); len(got) != 2 || strings.Contains(own.raw, "ben") || strings.Contains(own.raw, two) || strings.Contains(own.raw, "it is full") || !strings.Contains(own.raw, "arn:back") {
		t.Errorf("S5.1 u-ana is shown %s", own.raw)
	}
	w.wants(400, admin, "GET", "/api/notebooks?cursor=xyz", "")
	w.wants(400, admin, "GET", "/api/notebooks?user=u-ana", "")
}
