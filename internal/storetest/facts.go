package storetest

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

func endpoints(t *testing.T, s suite) {
	if got := must[app.Endpoint](t)(s.Store.Endpoint(s.ctx, place)); got != (app.Endpoint{ID: place}) {
		t.Errorf("an endpoint never heard of: %+v", got)
	}
	wantKind(t, "wake of an endpoint never written", s.Store.Wake(s.ctx, place), fault.NotFound)
	if got := must[app.Endpoint](t)(s.Store.Endpoint(s.ctx, place)); got.Version != 0 {
		t.Errorf("Wake made an endpoint: %+v", got)
	}
	e := app.Endpoint{ID: place, Version: 1, Engine: "emr-containers", Wake: 99, Watch: app.Lease{Generation: 1, Until: base}}
	put := func(e app.Endpoint) error { return s.Store.PutEndpoint(s.ctx, e) }
	if err := put(e); err != nil {
		t.Fatal(err)
	}
	wantKind(t, "the same version again", put(e), fault.Conflict)
	for range 2 {
		if err := s.Store.Wake(s.ctx, place); err != nil {
			t.Fatal(err)
		}
	}
	e.Version, e.Wake, e.Drain = 2, 0, app.Lease{Generation: 7, Until: base.Add(1)}
	if err := put(e); err != nil {
		t.Fatalf("Wake changed the version: %v", err)
	}
	if err := s.Store.Wake(s.ctx, place); err != nil {
		t.Fatal(err)
	}
	e.Wake = 3
	if got := must[app.Endpoint](t)(s.Store.Endpoint(s.ctx, place)); got != e {
		t.Errorf("endpoint: got %+v, want %+v", got, e)
	}
	s.Settle()
	if all := everything(t, s.endpoints); !slices.Equal(all, []app.Endpoint{e}) {
		t.Errorf("endpoints: %+v", all)
	}
	for _, v := range []int64{1, 2, 4} {
		e.Version = v
		wantKind(t, fmt.Sprintf("version %d after 2", v), put(e), fault.Conflict)
	}
	e.Version = 0
	wantKind(t, "version 0", put(e), fault.Invalid)
}

func wakeRace(t *testing.T, s suite) {
	if err := s.Store.PutEndpoint(s.ctx, app.Endpoint{ID: place, Version: 1}); err != nil {
		t.Fatal(err)
	}
	const wakers, each = 8, 10
	together(wakers+1, func(i int) {
		for n := range each {
			err := insist(func() error {
				if i == wakers {
					return s.Store.PutEndpoint(s.ctx, app.Endpoint{ID: place, Version: int64(n) + 2, Watch: app.Lease{Generation: int64(n)}})
				}
				return s.Store.Wake(s.ctx, place)
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	want := app.Endpoint{ID: place, Version: each + 1, Watch: app.Lease{Generation: each - 1}, Wake: wakers * each}
	if got := must[app.Endpoint](t)(s.Store.Endpoint(s.ctx, place)); got != want {
		t.Errorf("endpoint: got %+v, want %+v", got, want)
	}
}

func users(t *testing.T, s suite) {
	if got := must[session.UserFacts](t)(s.Store.User(s.ctx, ana)); !reflect.DeepEqual(got, session.UserFacts{User: ana}) {
		t.Errorf("a user never heard of: %+v", got)
	}
	put := func(u session.UserFacts) error { return s.Store.PutUser(s.ctx, u) }
	wantKind(t, "version 0", put(signedOut(0)), fault.Invalid)
	wantKind(t, "version 2 first", put(signedOut(2)), fault.Conflict)
	if err := put(signedOut(1)); err != nil {
		t.Fatal(err)
	}
	wantKind(t, "version 1 again", put(signedOut(1)), fault.Conflict)
	s.Settle()
	name := func(u string) string { return u }
	wantSet(t, "pending", everything(t, s.pendingUsers), name, []string{ana})
	moved := signedOut(2)
	moved.PendingSince = base.Add(time.Hour)
	if err := put(moved); err != nil {
		t.Fatal(err)
	}
	s.Settle()
	wantSet(t, "pending, later", everything(t, s.pendingUsers), name, []string{ana})
	done := signedOut(3)
	done.Pending = nil
	if err := put(done); err != nil {
		t.Fatal(err)
	}
	s.Settle()
	wantSet(t, "pending after the fan-out", everything(t, s.pendingUsers), name, nil)
	if got := must[session.UserFacts](t)(s.Store.User(s.ctx, ana)); !reflect.DeepEqual(got, done) {
		t.Errorf("user: got %+v, want %+v", got, done)
	}
}

func policies(t *testing.T, s suite) {
	if got := must[session.Policy](t)(s.Store.Policy(s.ctx)); got != session.DefaultPolicy() {
		t.Errorf("where none was set: %+v", got)
	}
	p := session.DefaultPolicy()
	p.TenantLimit = time.Hour
	for _, step := range []struct {
		version int64
		want    fault.Kind
		ok      bool
	}{{0, fault.Invalid, false}, {2, fault.Conflict, false}, {1, 0, true}, {1, fault.Conflict, false}, {2, 0, true}, {4, fault.Conflict, false}} {
		p.Version = step.version
		err := s.Store.PutPolicy(s.ctx, p)
		if step.ok && err != nil {
			t.Fatal(err)
		}
		if !step.ok {
			wantKind(t, fmt.Sprint("version ", step.version), err, step.want)
		}
	}
	p.Version = 2
	if got := must[session.Policy](t)(s.Store.Policy(s.ctx)); got != p {
		t.Errorf("policy: got %+v, want %+v", got, p)
	}
}

func parking(t *testing.T, s suite) {
	first := app.Parked{ID: "e1", Source: "on-logout", Reason: "user is missing", Body: "{\"a\":\xff\x00}", At: base}
	second := app.Parked{ID: "e2", Source: "on-logout", Reason: "r", Body: strings.Repeat("b", 300<<10), At: base.Add(1)}
	again := first
	again.Body, again.At = "other", base.Add(time.Hour)
	for i, p := range []app.Parked{first, second, first, again} {
		if fresh := must[bool](t)(s.Store.Park(s.ctx, p)); fresh != (i < 2) {
			t.Errorf("parking %d of %s: kept now is %t", i, p.ID, fresh)
		}
	}
	s.Settle()
	second.Body = second.Body[:256<<10]
	for _, want := range []app.Parked{first, second} {
		if got, err := s.Store.ParkedEvent(s.ctx, want.ID); err != nil || got != want {
			t.Errorf("%s is read as %.600v, %v", want.ID, got, err)
		}
	}
	if _, err := s.Store.ParkedEvent(s.ctx, "e3"); !fault.Is(err, fault.NotFound) {
		t.Errorf("an event that is not parked: %v", err)
	}
	if got := everything(t, s.parked); !slices.Equal(got, []app.Parked{second, first}) {
		t.Errorf("parked: %.600v", got)
	}
}

func samples(t *testing.T, s suite) {
	body := []byte("{\"n\":1}\xff")
	for i := range int64(3) {
		n := must[int64](t)(s.Store.Sample(s.ctx, "sso/NewEvent", body, base.Add(time.Duration(i))))
		if n != i+1 {
			t.Errorf("count is %d, want %d", n, i+1)
		}
		body = []byte("later")
	}
	if n := must[int64](t)(s.Store.Sample(s.ctx, "sso/Other", nil, base)); n != 1 {
		t.Errorf("kinds are counted together: %d", n)
	}
	if got := must[[]byte](t)(s.SampleBody(s.ctx, "sso/NewEvent")); !bytes.Equal(got, []byte("{\"n\":1}\xff")) {
		t.Errorf("the body kept is %q", got)
	}
	s.Settle()
	byKind := func(x, y app.Sampled) int { return strings.Compare(x.Kind, y.Kind) }
	if got := slices.SortedFunc(slices.Values(everything(t, s.sampled)), byKind); !slices.Equal(got, []app.Sampled{{Kind: "sso/NewEvent", Count: 3, Body: "{\"n\":1}\xff"}, {Kind: "sso/Other", Count: 1}}) {
		t.Errorf("sampled: %.600v", got)
	}
	_, err := s.SampleBody(s.ctx, "sso/NeverSeen")
	wantKind(t, "the body of a kind that nobody saw", err, fault.NotFound)
}

func marks(t *testing.T, s suite) {
	if got := must[time.Time](t)(s.Store.Mark(s.ctx, "replay")); !got.IsZero() {
		t.Errorf("a mark never set: %v", got)
	}
	for _, step := range []struct{ set, want time.Time }{
		{base, base}, {base.Add(-1), base}, {base, base}, {base.Add(1), base.Add(1)},
		{base.Add(time.Hour).In(time.FixedZone("there", 7200)), base.Add(time.Hour)},
	} {
		if err := s.Store.SetMark(s.ctx, "replay", step.set); err != nil {
			t.Fatal(err)
		}
		if got := must[time.Time](t)(s.Store.Mark(s.ctx, "replay")); !got.Equal(step.want) {
			t.Errorf("after setting %v the mark is %v, want %v", step.set, got, step.want)
		}
	}
}

func notFound(t *testing.T, s suite) {
	_, err := s.Store.Session(s.ctx, "nobody")
	wantKind(t, "Session", err, fault.NotFound)
	_, err = s.Store.Claimed(s.ctx, workload.Ref{Endpoint: place, ID: "none"})
	wantKind(t, "Claimed", err, fault.NotFound)
	o := opening(t, "nobody")
	wantKind(t, "Commit", s.Store.Commit(s.ctx, following(t, o.Session, o.Entry)), fault.NotFound)
	entries, more, err := s.Store.History(s.ctx, "nobody", 0, 10)
	if err != nil || more || len(entries) != 0 {
		t.Errorf("History: %v, %v, %v", entries, more, err)
	}
}

// hostile are ids that are easily taken for each other.
func hostile() []string {
	long := strings.Repeat("x", 1000)
	return []string{
		"a", "a#b", "a%23b", "a%b", "#", "##", "%", "~", "~a", "STATE", "S#a", "H#00000000000000000001", " ", "a ", "A", "a/b", "a\nb", "a\x00b",
		"日本", "日本#語", "\u00e9", "e\u0301", "\U0001F600", "'; DROP", "{\"S\":\"a\"}", "<a>&\u2028",
		long, long + "y", "y" + long, strings.Repeat("#", 1000), strings.Repeat("%", 1000), strings.Repeat("日", 1000), strings.Repeat("語", 1000),
	}
}

func hostileIDs(t *testing.T, s suite) {
	ids := hostile()
	for i, id := range ids {
		n := time.Duration(i)
		s.mustOpen(t, opening(t, id, ofUser(id), func(x *session.Session) {
			x.Run.Endpoint, x.Run.ID, x.Waiter = id, "r#"+id, fmt.Sprint(i)
		}))
		u := signedOut(1)
		u.User, u.Lock.Why = id, fmt.Sprint(i)
		for _, err := range []error{
			s.Store.PutUser(s.ctx, u),
			s.Store.PutEndpoint(s.ctx, app.Endpoint{ID: id, Version: 1, Engine: fmt.Sprint(i)}),
			s.park(app.Parked{ID: id, At: base, Reason: fmt.Sprint(i)}),
			s.Store.SetMark(s.ctx, id, base.Add(n)),
		} {
			if err != nil {
				t.Fatalf("%.50q: %v", id, err)
			}
		}
		if c := must[int64](t)(s.Store.Sample(s.ctx, id, nil, base)); c != 1 {
			t.Errorf("kind %.50q was counted before", id)
		}
	}
	s.Settle()
	for i, id := range ids {
		s.checkHostile(t, i, id)
	}
	wantSet(t, "parked", everything(t, s.parked), func(p app.Parked) string { return p.ID }, ids)
	wantSet(t, "sampled", everything(t, s.sampled), func(k app.Sampled) string { return k.Kind }, ids)
	wantSet(t, "list", everything(t, s.list()), idOf, ids)
	// One run's name must not be readable as another's.
	for i, r := range []workload.Ref{{Endpoint: "p#q", ID: "r"}, {Endpoint: "p", ID: "q#r"}, {Endpoint: "p", ID: "#q#r"}, {Endpoint: "p#", ID: "q#r"}} {
		s.mustOpen(t, opening(t, fmt.Sprint("ref-", i), func(x *session.Session) { x.Run.Endpoint, x.Run.ID = r.Endpoint, r.ID }))
	}
}

func (s suite) checkHostile(t *testing.T, i int, id string) {
	t.Helper()
	if got := must[session.Session](t)(s.Store.Session(s.ctx, id)); got.ID != id || got.Waiter != fmt.Sprint(i) {
		t.Errorf("session %.50q is %.50q", id, got.ID)
	}
	if got := must[string](t)(s.Store.Claimed(s.ctx, workload.Ref{Endpoint: id, ID: "r#" + id})); got != id {
		t.Errorf("the run of %.50q belongs to %.50q", id, got)
	}
	if got := must[session.UserFacts](t)(s.Store.User(s.ctx, id)); got.User != id || got.Lock.Why != fmt.Sprint(i) {
		t.Errorf("user %.50q is %.50q", id, got.User)
	}
	if got := must[app.Endpoint](t)(s.Store.Endpoint(s.ctx, id)); got.ID != id || got.Engine != fmt.Sprint(i) {
		t.Errorf("endpoint %.50q is %.50q", id, got.ID)
	}
	if got := must[time.Time](t)(s.Store.Mark(s.ctx, id)); !got.Equal(base.Add(time.Duration(i))) {
		t.Errorf("mark %.50q is %v", id, got)
	}
	wantSet(t, "OfUser", everything(t, s.ofUser(id)), idOf, []string{id})
	wantSet(t, "OfEndpoint", everything(t, s.ofEndpoint(id)), idOf, []string{id})
	if e, _, err := s.Store.History(s.ctx, id, 0, 10); err != nil || len(e) != 1 || e[0].SessionID != id {
		t.Errorf("history of %.50q: %v, %v", id, e, err)
	}
}

func emptyIDs(t *testing.T, s suite) {
	ref := workload.Ref{Endpoint: place, ID: "r"}
	calls := []struct {
		field string
		call  func(id string) error
	}{
		{"session id", func(id string) error { return s.Store.Open(s.ctx, opening(t, id)) }},
		{"user", func(id string) error { return s.Store.Open(s.ctx, opening(t, "s", ofUser(id))) }},
		{"endpoint", func(id string) error {
			return s.Store.Open(s.ctx, opening(t, "s", func(x *session.Session) { x.Run.Endpoint = id }))
		}},
		{"session id", func(id string) error { _, err := s.Store.Session(s.ctx, id); return err }},
		{"session id", func(id string) error { _, err := s.Store.Sessions(s.ctx, []string{"s", id}); return err }},
		{"session id", func(id string) error { _, _, err := s.Store.History(s.ctx, id, 0, 1); return err }},
		{"session id", func(id string) error { return s.Store.Finish(s.ctx, id, 1) }},
		{"endpoint", func(id string) error {
			_, err := s.Store.Claimed(s.ctx, workload.Ref{Endpoint: id, ID: "r"})
			return err
		}},
		{"run id", func(id string) error {
			_, err := s.Store.Claimed(s.ctx, workload.Ref{Endpoint: place, ID: id})
			return err
		}},
		{"from", func(id string) error { return s.Store.Reclaim(s.ctx, ref, id, "b") }},
		{"to", func(id string) error { return s.Store.Reclaim(s.ctx, ref, "a", id) }},
		{"user", func(id string) error { _, err := s.Store.OfUser(s.ctx, id, ""); return err }},
		{"endpoint", func(id string) error { _, err := s.Store.OfEndpoint(s.ctx, id, ""); return err }},
		{"user", func(id string) error { _, err := s.Store.User(s.ctx, id); return err }},
		{"user", func(id string) error { return s.Store.PutUser(s.ctx, session.UserFacts{User: id, Version: 1}) }},
		{"endpoint", func(id string) error { _, err := s.Store.Endpoint(s.ctx, id); return err }},
		{"endpoint", func(id string) error { return s.Store.PutEndpoint(s.ctx, app.Endpoint{ID: id, Version: 1}) }},
		{"endpoint", func(id string) error { return s.Store.Wake(s.ctx, id) }},
		{"event id", func(id string) error { return s.park(app.Parked{ID: id}) }},
		{"event id", func(id string) error { _, err := s.Store.ParkedEvent(s.ctx, id); return err }},
		{"kind", func(id string) error { _, err := s.Store.Sample(s.ctx, id, nil, base); return err }},
		{"name", func(id string) error { _, err := s.Store.Mark(s.ctx, id); return err }},
		{"name", func(id string) error { return s.Store.SetMark(s.ctx, id, base) }},
	}
	for i, c := range calls {
		for _, bad := range []string{"", "a\xffb"} {
			err := c.call(bad)
			wantKind(t, fmt.Sprintf("call %d with %s %q", i, c.field, bad), err, fault.Invalid)
			wantNamed(t, c.field, err)
		}
	}
}
