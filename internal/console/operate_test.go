package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// signedOut is an event that is understood.
const signedOut = `{"version":"0","id":"e-1","source":"nightshift","detail-type":"Nightshift Signed Out","time":"2026-11-20T18:00:00Z","detail":{"user":"u-zoe","at":"2026-11-20T18:00:00Z"}}`

// parks puts an event among those that could not be used.
func (w *world) parks(id, body string) {
	w.t.Helper()
	if _, err := w.store.Park(w.t.Context(), app.Parked{ID: id, Source: "on-logout", Reason: "detail.user: it is missing", Body: body, At: w.now}); err != nil {
		w.t.Fatal(err)
	}
}

// runs is an engine that lists the runs it is told, and knows no others.
type runs struct {
	app.Engine
	w    *world
	live []workload.Observation
}

func (r *runs) List(_ context.Context, endpoint string) (workload.Listing, error) {
	l := workload.Listing{Complete: true}
	for _, o := range r.live {
		if o.At = r.w.now; o.Run.Endpoint == endpoint {
			l.Runs = append(l.Runs, o)
		}
	}
	return l, nil
}

func (r *runs) Describe(_ context.Context, run workload.Run) (workload.Observation, error) {
	for _, o := range r.live {
		if o.Run.Ref() == run.Ref() {
			return o, nil
		}
	}
	return workload.Observation{Run: run, State: workload.Gone, At: r.w.now}, nil
}

// listed gives the world an engine in which just these sessions' runs are alive.
func (w *world) listed(ids ...string) *runs {
	w.t.Helper()
	engine := &runs{w: w}
	for _, id := range ids {
		s, err := w.store.Session(w.t.Context(), id)
		if err != nil {
			w.t.Fatal(err)
		}
		engine.live = append(engine.live, workload.Observation{Run: s.Run, State: workload.Running, CreatedAt: s.OpenedAt, Stamp: s.ID})
	}
	w.app.Engines = map[string]app.Engine{"sagemaker": engine, "emr-containers": engine}
	return engine
}

// audited is the record of an act, as it is kept.
func (w *world) audited(key string) session.Event {
	w.t.Helper()
	u, err := w.store.User(w.t.Context(), "act/"+key)
	if err != nil || len(u.Facts) != 1 {
		w.t.Fatalf("act %s is not recorded: %+v, %v", key, u, err)
	}
	return u.Facts[0]
}

// S3.6: what was parked is listed, shown as it came, and taken again once it can be
// understood; who did so is written down, and what is refused again says why.
func TestS3_6ParkedEvents(t *testing.T) {
	w := newWorld(t)
	broken := strings.Replace(signedOut, `"user":"u-zoe",`, "", 1)
	w.parks("p-bad", broken)
	w.now = w.now.Add(time.Minute)
	w.parks("p-good", signedOut)
	w.parks("p-binary", "\xff\xfe")
	list := w.wants(200, admin, "GET", "/api/parked", "")
	if n := len(list.body["parked"].([]any)); n != 3 || strings.Contains(list.raw, "u-zoe") {
		t.Fatalf("%d are listed, with their bodies or without: %s", n, list.raw)
	}
	w.wants(400, admin, "GET", "/api/parked?cursor=xyz", "")
	if a := w.wants(200, admin, "GET", "/api/parked/p-bad", ""); a.at("body") != broken || a.at("reason") != "detail.user: it is missing" || a.at("source") != "on-logout" {
		t.Errorf("%s", a.raw)
	}
	w.wants(200, admin, "GET", "/api/parked/p-binary", "")
	for _, id := range []string{"p-none", "%ff"} {
		w.wants(404, admin, "GET", "/api/parked/"+id, "")
		w.wants(404, admin, "POST", "/api/parked/"+id+"/replay", "{}")
	}
	again := w.wants(422, admin, "POST", "/api/parked/p-bad/replay", "{}")
	if !strings.Contains(fmt.Sprint(again.at("detail")), "user") || !strings.Contains(fmt.Sprint(again.at("remedy")), "Mend") {
		t.Errorf("%s", again.raw)
	}
	taken := w.wants(200, admin, "POST", "/api/parked/p-good/replay", `{"why":"the portal was mended"}`, HeaderKey, "replay-good")
	if taken.at("replayed") != written(w.now) {
		t.Errorf("%s", taken.raw)
	}
	zoe, err := w.store.User(t.Context(), "u-zoe")
	if err != nil || len(zoe.Facts) != 1 || zoe.Facts[0].Kind != session.SignOut {
		t.Errorf("the sign-out was not taken: %+v, %v", zoe, err)
	}
	if e := w.audited("replay-good"); e.By != "u-root" || !strings.Contains(e.Evidence, "the portal was mended") || !strings.HasPrefix(e.Detail, "replay p-good") {
		t.Errorf("the act is recorded as %+v", e)
	}
	list = w.wants(200, admin, "GET", "/api/parked", "")
	if strings.Count(list.raw, `"replayed"`) != 1 {
		t.Errorf("one was replayed, and all are kept: %s", list.raw)
	}
}

// S3.6: a portal that says everything wrong for an evening parks many events; the first
// of them is found as soon as the last, and taken again.
func TestS3_6OneOfVeryManyParkedEvents(t *testing.T) {
	w := newWorld(t)
	w.parks("p-first", signedOut)
	for i := range 21_000 {
		w.now = w.now.Add(time.Second)
		w.parks(fmt.Sprintf("p-%05d", i), "{}")
	}
	w.wants(200, admin, "GET", "/api/parked/p-first", "")
	w.wants(200, admin, "POST", "/api/parked/p-first/replay", "{}")
}

// S3.1: of what is not recognised each kind is listed, with how often it came, and one
// is shown as it came.
func TestS3_1Samples(t *testing.T) {
	w := newWorld(t)
	if a := w.wants(200, admin, "GET", "/api/samples", ""); a.raw != "{\n  \"samples\": [],\n  \"next\": \"\"\n}\n" {
		t.Errorf("%s", a.raw)
	}
	kind := "sso.amazonaws.com/Revoke\u202eSession<script>"
	for range 3 {
		if err := w.app.Handle(t.Context(), app.Unrecognised{Kind: kind, Body: []byte("{\"detail\":\"u-zoe\"}\xff"), At: w.now}); err != nil {
			t.Fatal(err)
		}
	}
	list := w.wants(200, admin, "GET", "/api/samples", "")
	id, _ := list.at("samples", 0, "id").(string)
	if list.at("samples", 0, "kind") != kind || list.at("samples", 0, "count") != 3.0 || list.at("samples", 0, "newest") != written(w.now) || strings.Contains(list.raw, "u-zoe") {
		t.Errorf("%s", list.raw)
	}
	if one := w.wants(200, admin, "GET", "/api/samples/"+id, ""); one.at("body") != "{\"detail\":\"u-zoe\"}\uFFFD" || one.at("bytes") != 19.0 {
		t.Errorf("%s", one.raw)
	}
	for _, id := range []string{"k-none", "%ff", "p-1"} {
		w.wants(404, admin, "GET", "/api/samples/"+id, "")
	}
	w.wants(400, admin, "GET", "/api/samples?cursor=xyz", "")
	w.wants(403, ana, "GET", "/api/samples", "")
	w.wants(403, ana, "GET", "/api/samples/"+id, "")
}

// What asks engines has a handler of its own: neither serves what is the other's.
func TestRepairsAreServedByThemselves(t *testing.T) {
	w := newWorld(t)
	site := Site{Account: "123456789012", Region: "us-east-1"}
	for path, own := range map[string]bool{"/api/repair": true, "/api/restore": true, "/api/parked/p-none/replay": true,
		"/api/me": false, "/api/sessions": false, "/api/parked": false, "/api/parked/p-none": false, "/": false} {
		for _, c := range []struct {
			api  http.Handler
			owns bool
		}{{New(w.app, site).Repairs(), own}, {New(w.app, site).People(), !own}} {
			rec := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(WithCaller(t.Context(), *admin), http.MethodGet, path, http.NoBody)
			c.api.ServeHTTP(rec, r)
			if nothing := strings.Contains(rec.Body.String(), "there is nothing at"); nothing == c.owns {
				t.Errorf("%s answers %.200s", path, rec.Body)
			}
		}
	}
	if got := RepairPaths(); !slices.Equal(got, []string{"/api/parked/{id}/replay", "/api/repair", "/api/restore"}) {
		t.Errorf("%v", got)
	}
}

// S3.5: a repair shows what it would heal and changes nothing; then it heals that,
// and what has come since only after it was seen.
func TestS3_5Repair(t *testing.T) {
	w := newWorld(t)
	alive, gone := w.opens("u-ana", onEKS), w.opens("u-ben", onEKS)
	engine := w.listed(alive)
	engine.live = append(engine.live, workload.Observation{Run: workload.Run{Engine: workload.EMRContainers, Endpoint: onEKS, ID: "vc1/strange"}, State: workload.Running, CreatedAt: w.now, User: "u-cleo"})
	w.now = w.now.Add(10 * time.Minute)
	before := w.story()
	show := w.wants(200, admin, "GET", "/api/repair?endpoint="+onEKS, "")
	if after := w.story(); after != before {
		t.Fatalf("a rehearsal has changed the records:\n%s\n%s", before, after)
	}
	found := map[string]string{}
	for _, f := range show.body["findings"].([]any) {
		f := f.(map[string]any)
		found[f["kind"].(string)] = fmt.Sprint(f["session"], f["run"])
	}
	if !strings.Contains(found["lost"], gone) || !strings.Contains(found["unrecorded"], "vc1/strange") || show.at("applied") != false || show.at("healed") != 0.0 {
		t.Fatalf("%s", show.raw)
	}
	plan, _ := show.at("plan").(string)
	late := w.opens("u-dora", onEKS)
	w.now = w.now.Add(10 * time.Minute)
	w.wants(409, admin, "POST", "/api/repair", `{"endpoint":"`+onEKS+`","plan":"`+plan+`"}`)
	if s := w.get(late); s.Status != session.Active {
		t.Errorf("what nobody saw was healed: %s is %s", late, s.Status)
	}
	show = w.wants(200, admin, "GET", "/api/repair?endpoint="+onEKS, "")
	plan, _ = show.at("plan").(string)
	done := w.wants(200, admin, "POST", "/api/repair", `{"endpoint":"`+onEKS+`","plan":"`+plan+`","why":"after the outage"}`, HeaderKey, "repair-after")
	if done.at("applied") != true || done.at("heals") != done.at("healed") || done.at("id") != "repair-after" {
		t.Errorf("%s", done.raw)
	}
	for _, id := range []string{gone, late} {
		if s := w.get(id); s.Status != session.Ended || s.End.Cause != session.CauseLost {
			t.Errorf("%s is %s, %s", id, s.Status, s.End.Cause)
		}
	}
	if s := w.get(alive); s.Status != session.Active {
		t.Errorf("%s runs, and its record is %s", alive, s.Status)
	}
	if s := w.get(app.SessionOfRun(workload.Ref{Endpoint: onEKS, ID: "vc1/strange"})); s.User != "u-cleo" || s.Origin != session.Adopted {
		t.Errorf("what nobody had recorded is %s's, %s", s.User, s.Origin)
	}
	if e := w.audited("repair-after"); e.By != "u-root" || !strings.Contains(e.Evidence, "after the outage") {
		t.Errorf("the act is recorded as %+v", e)
	}
	if again := w.wants(200, admin, "GET", "/api/repair?endpoint="+onEKS, ""); again.at("heals") != 0.0 {
		t.Errorf("after it there is still something to heal: %s", again.raw)
	}
	for _, path := range []string{"/api/repair?endpoint=" + onEKS + "0", "/api/repair?endpoint=livy/j-NONE"} {
		w.wants(404, admin, "GET", path, "")
	}
	for _, query := range []string{"endpoint=nothing", "from=nothing", "from=records:0:nothing", "from=end", "endpoint=" + onEKS + "&plan=x"} {
		w.wants(400, admin, "GET", "/api/repair?"+query, "")
	}
	w.wants(200, admin, "GET", "/api/repair?from=endpoints:%00%ff", "")
	w.wants(400, admin, "POST", "/api/repair", `{"from":"nothing"}`)
	w.wants(400, admin, "POST", "/api/repair", " null\n")
	w.wants(400, admin, "POST", "/api/repair", `{"to":"records:one:"}`)
	if a := w.wants(200, admin, "POST", "/api/repair", `{"endpoint":"`+onEKS+`","from":"effects:","to":"end"}`); a.at("next") != "" || a.at("from") != "effects:" {
		t.Errorf("%s", a.raw)
	}
	w.wants(400, admin, "POST", "/api/repair", `{"endpoint":"nothing"}`)
	w.wants(404, admin, "POST", "/api/repair", `{"endpoint":"livy/j-NONE"}`)
}

// get reads a session.
func (w *world) get(id string) session.Session {
	w.t.Helper()
	s, err := w.store.Session(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// story is all sessions and endpoints there are, for a comparison.
func (w *world) story() string {
	w.t.Helper()
	var all []any
	for cursor := ""; ; {
		page, err := w.store.List(w.t.Context(), cursor)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, s := range page.Sessions {
			all = append(all, s)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	for cursor := ""; ; {
		page, next, err := w.store.Endpoints(w.t.Context(), cursor)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, page)
		if cursor = next; cursor == "" {
			break
		}
	}
	b, err := json.Marshal(all)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// A table that was put back (decisions/0013): what is held is shown with why, and the
// clock goes on when the one that was shown is confirmed, and no other.
func TestRestoreIsConfirmedAsItWasSeen(t *testing.T) {
	w := newWorld(t)
	if a := w.wants(200, admin, "GET", "/api/restore", ""); a.at("confirmed") != true || a.at("at") != nil {
		t.Errorf("%s", a.raw)
	}
	none := w.wants(422, admin, "POST", "/api/restore", `{"confirm":"2026-11-20T18:00:00Z"}`)
	if !strings.Contains(fmt.Sprint(none.at("remedy")), "say it first") {
		t.Errorf("%s", none.raw)
	}
	for _, body := range []string{`{}`, `{"say":true,"confirm":"2026-11-20T18:00:00Z"}`, `{"confirm":"soon"}`} {
		w.wants(400, admin, "POST", "/api/restore", body)
	}
	id := w.opens("u-ana", onEKS) // its end can be moved: until it is confirmed that it was not, it stays
	w.listed()
	w.now = w.get(id).Deadline.Add(-10 * time.Minute)
	if err := w.store.SetMark(t.Context(), "alive", w.now); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(5 * time.Minute)
	w.wants(200, admin, "POST", "/api/restore", `{"say":true,"why":"put back by 10 minutes"}`, HeaderKey, "said-once")
	w.wants(200, admin, "POST", "/api/restore", `{"say":true,"why":"put back by 10 minutes"}`, HeaderKey, "said-once")
	w.now = w.now.Add(6 * time.Minute)
	seen := w.wants(200, admin, "GET", "/api/restore", "")
	at, _ := seen.at("at").(string)
	if seen.at("confirmed") != false || seen.at("held", 0, "session") != id || seen.at("held", 0, "reason") == nil || seen.at("endpoints", 0, "over", 0, "session") != id {
		t.Fatalf("%s", seen.raw)
	}
	if s := w.see(id, session.Event{Kind: session.Tick}); s.Status != session.Active {
		t.Errorf("it is %s before anybody has confirmed the restore", s.Status)
	}
	w.wants(409, admin, "POST", "/api/restore", `{"confirm":"2026-11-20T18:00:01Z"}`)
	if a := w.wants(200, admin, "POST", "/api/restore", `{"confirm":"`+at+`","why":"looked at all"}`, HeaderKey, "confirm-it"); a.at("confirmed") != true {
		t.Errorf("%s", a.raw)
	}
	w.wants(200, admin, "POST", "/api/restore", `{"confirm":"`+at+`","why":"looked at all"}`, HeaderKey, "confirm-it")
	if e := w.audited("confirm-it"); e.By != "u-root" || !strings.Contains(e.Detail, at) {
		t.Errorf("the act is recorded as %+v", e)
	}
	if err := w.store.SetMark(t.Context(), "identity-replay", w.now); err != nil {
		t.Fatal(err)
	}
	if s := w.see(id, session.Event{Kind: session.Tick}); s.Status != session.Ending {
		t.Errorf("it is %s after the restore was confirmed", s.Status)
	}
	w.now = w.now.Add(time.Hour) // nothing has gone its round: no round has noticed the next one either
	passing := w.wants(422, admin, "POST", "/api/restore", `{"confirm":"`+written(w.now)+`"}`)
	if !strings.Contains(fmt.Sprint(passing.at("detail")), "no round") {
		t.Errorf("%s", passing.raw)
	}
}
