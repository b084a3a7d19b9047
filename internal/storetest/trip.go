package storetest

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/proof"
	"nightshift/internal/session"
)

func historyChain(t *testing.T, s suite) {
	o := opening(t, "s")
	s.mustOpen(t, o)
	state, last := o.Session, o.Entry
	const versions = 30
	for range versions - 1 {
		c := following(t, state, last)
		s.mustCommit(t, c)
		state, last = c.Next, c.Entry
	}
	s.mustOpen(t, opening(t, "s#H")) // a neighbour
	for _, limit := range []int{1, 7, versions - 1, versions, versions + 1, 0, -1} {
		var got []app.Entry
		for more := true; more && len(got) <= versions; {
			page, again, err := s.Store.History(s.ctx, "s", int64(len(got)), limit)
			if err != nil {
				t.Fatal(err)
			}
			if limit > 0 && len(page) > limit || again && len(page) != limit {
				t.Errorf("limit %d: a page of %d, more %v", limit, len(page), again)
			}
			got, more = append(got, page...), again
		}
		checkChain(t, got, versions)
	}
	entries, more, err := s.Store.History(s.ctx, "s", versions, 5)
	if err != nil || more || len(entries) != 0 {
		t.Errorf("after the newest: %v, %v, %v", entries, more, err)
	}
}

func checkChain(t *testing.T, got []app.Entry, versions int) {
	t.Helper()
	if len(got) != versions {
		t.Fatalf("%d entries, want %d", len(got), versions)
	}
	previous := proof.Genesis
	for i, e := range got {
		hash, err := e.Seal()
		if err != nil || e.Version != int64(i+1) || e.Previous != previous || e.Hash != hash {
			t.Errorf("entry %d: version %d, previous %.8q want %.8q, hash %.8q want %.8q, %v", i, e.Version, e.Previous, previous, e.Hash, hash, err)
		}
		previous = e.Hash
	}
}

// hashSurvives puts in what JSON and DynamoDB are known to change.
func hashSurvives(t *testing.T, s suite) {
	o := opening(t, "s")
	s.mustOpen(t, o)
	state, last := o.Session, o.Entry
	for what, edit := range map[string]func(*app.Entry){
		"nil effects":   func(e *app.Entry) { e.Effects = nil },
		"no effects":    func(e *app.Entry) { e.Effects = []session.Effect{} },
		"empty effect":  func(e *app.Entry) { e.Effects = []session.Effect{{}} },
		"zero times":    func(e *app.Entry) { e.At, e.Deadline, e.Event.At = time.Time{}, time.Time{}, time.Time{} },
		"nanosecond":    func(e *app.Entry) { e.At = time.Date(2026, 1, 2, 3, 4, 5, 1, time.UTC) },
		"whole second":  func(e *app.Entry) { e.At = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) },
		"tens of nanos": func(e *app.Entry) { e.At = time.Date(2026, 1, 2, 3, 4, 5, 120, time.UTC) },
		"another zone":  func(e *app.Entry) { e.Deadline = base.In(time.FixedZone("there", -12600)) },
		"before 1970":   func(e *app.Entry) { e.At = time.Date(1969, 12, 31, 23, 59, 59, 999999999, time.UTC) },
		"far future":    func(e *app.Entry) { e.At = time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC) },
		"odd text": func(e *app.Entry) {
			e.Event.Detail = "<&>\u2028\u2029\ufffd\x00\x7f\t\n\"\\ é e\u0301 \U0001F600 \\ufffd"
		},
		"longest wait":  func(e *app.Entry) { e.Event.MaxRuntime = 1<<63 - 1 },
		"shortest wait": func(e *app.Entry) { e.Event.MaxRuntime = -1 << 63 },
	} {
		c := following(t, state, last)
		edit(&c.Entry)
		c.Entry = seal(t, c.Entry)
		s.mustCommit(t, c)
		entries, _, err := s.Store.History(s.ctx, "s", c.Next.Version-1, 1)
		if err != nil || len(entries) != 1 {
			t.Fatal(entries, err)
		}
		if hash, err := entries[0].Seal(); err != nil || hash != c.Entry.Hash {
			t.Errorf("%s: the hash of what was read differs\nwrote %+v\nread  %+v", what, c.Entry, entries[0])
		}
		state, last = c.Next, c.Entry
	}
}

// filler gives every field another value.
type filler struct{ n int64 }

// fill sets every field of a value, and fails on a type it does not know: then
// it has to be taught, not passed over.
func (f *filler) fill(t *testing.T, v reflect.Value) {
	t.Helper()
	f.n++
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(base.Add(time.Duration(f.n)*time.Hour + time.Duration(f.n))))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("text-%d", f.n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1<<53 + f.n) // more than a float64 holds
	case reflect.Uint8:
		v.SetUint(uint64(f.n%2) + 1) // session.Tri
	case reflect.Float64:
		v.SetFloat(float64(f.n) + 1.0/3)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			f.fill(t, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(t, v.Field(i))
		}
	default:
		t.Fatalf("the filler does not know %s", v.Type())
	}
}

func filled[T any](t *testing.T, f *filler) T {
	t.Helper()
	var v T
	f.fill(t, reflect.ValueOf(&v).Elem())
	return v
}

func wantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s did not survive:\ngot  %+v\nwant %+v", what, got, want)
	}
}

func everySessionField(t *testing.T, s suite) {
	f := &filler{}
	first := filled[session.Session](t, f)
	first.Version = 1
	s.mustOpen(t, app.Opening{Session: first, Entry: entry(t, first, app.Entry{})})
	wantEqual(t, "the opened session", must[session.Session](t)(s.Store.Session(s.ctx, first.ID)), first)

	second := filled[session.Session](t, f) // all other values, but for what is frozen
	second.ID, second.Version, second.User, second.Origin = first.ID, 2, first.User, first.Origin
	second.OpenedAt, second.RecordedAt = first.OpenedAt, first.RecordedAt
	second.Policy, second.Facts, second.Interactive, second.Reach = first.Policy, first.Facts, first.Interactive, first.Reach
	s.mustCommit(t, app.Commit{Next: second, Entry: entry(t, second, app.Entry{})})
	wantEqual(t, "the committed session", must[session.Session](t)(s.Store.Session(s.ctx, first.ID)), second)
	s.Settle()
	wantEqual(t, "the listed session", everything(t, s.list()), []session.Session{second})

	for what, token := range map[string]string{"a long": strings.Repeat("AQ+/", 400), "an odd": "@odd"} {
		o := opening(t, what+" token")
		s.mustOpen(t, o)
		waits := following(t, o.Session, o.Entry, func(x *session.Session) { x.Waiter = token })
		waits.Entry.Event = session.Event{Kind: session.WaiterRegistered, At: base, Token: "digest"}
		waits.Entry = seal(t, waits.Entry)
		s.mustCommit(t, waits)
		// What is read is what is decided on and written again.
		read := must[session.Session](t)(s.Store.Session(s.ctx, o.Session.ID))
		over := following(t, read, waits.Entry, ended)
		s.mustCommit(t, over)
		got := must[session.Session](t)(s.Store.Session(s.ctx, o.Session.ID))
		if got.Waiter != token || got.Status != session.Ended {
			t.Errorf("%s token became %.20q", what, got.Waiter)
		}
	}
	for what, slice := range map[string][]string{"nil": nil, "empty": {}, "one empty": {""}} {
		o := opening(t, what, func(x *session.Session) { x.Why, x.Recent = slice, slice })
		s.mustOpen(t, o)
		wantEqual(t, what+" slices", must[session.Session](t)(s.Store.Session(s.ctx, what)), o.Session)
	}
}

func everyOtherField(t *testing.T, s suite) {
	f := &filler{}
	o := opening(t, "s")
	e := filled[app.Entry](t, f)
	e.SessionID, e.Version, e.Done = "s", 1, false
	o.Entry = e
	s.mustOpen(t, o)
	s.Settle()
	wantEqual(t, "the unfinished entry", everything(t, s.unfinished(e.At.Add(1))), []app.Entry{e})
	if err := s.Store.Finish(s.ctx, "s", 1); err != nil {
		t.Fatal(err)
	}
	e.Done = true
	entries, _, err := s.Store.History(s.ctx, "s", 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "the finished entry", entries, []app.Entry{e})

	u := filled[session.UserFacts](t, f)
	u.Version = 1
	p := filled[session.Policy](t, f)
	p.Version = 1
	n := filled[app.Endpoint](t, f)
	n.Version = 1
	k := filled[app.Parked](t, f)
	for _, err := range []error{s.Store.PutUser(s.ctx, u), s.Store.PutPolicy(s.ctx, p), s.Store.PutEndpoint(s.ctx, n), s.park(k)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	n.Wake = 0 // only Wake changes it
	s.Settle()
	wantEqual(t, "user", must[session.UserFacts](t)(s.Store.User(s.ctx, u.User)), u)
	wantEqual(t, "policy", must[session.Policy](t)(s.Store.Policy(s.ctx)), p)
	wantEqual(t, "endpoint", must[app.Endpoint](t)(s.Store.Endpoint(s.ctx, n.ID)), n)
	wantEqual(t, "endpoints", everything(t, s.endpoints), []app.Endpoint{n})
	wantEqual(t, "parked", everything(t, s.parked), []app.Parked{k})
}

func cancelled(t *testing.T, s suite) {
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	o := opening(t, "s")
	err := s.Store.Open(ctx, o)
	if !fault.Interrupted(err) || fault.KindOf(err) != fault.Unknown {
		t.Errorf("Open: %v", err)
	}
	_, err = s.Store.List(ctx, "")
	if !fault.Interrupted(err) || fault.KindOf(err) != fault.Unknown {
		t.Errorf("List: %v", err)
	}
}
