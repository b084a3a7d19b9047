package app

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"nightshift/internal/proof"
	"nightshift/internal/session"
)

// written is an entry as it is sealed, and as json.Marshal writes it.
func written(t *testing.T, e Entry) {
	t.Helper()
	want, err := json.Marshal(e)
	var w content
	w.entry(&e)
	if (err == nil) != (w.err == nil) || err == nil && string(w.b) != string(want) {
		t.Errorf("sealed is\n%s, %v; it should be\n%s, %v", w.b, w.err, want, err)
	}
	e.Hash, e.Done = "", false
	link, err := proof.Link(e.Previous, e)
	if sealed, wrong := e.Seal(); sealed != link || (err == nil) != (wrong == nil) {
		t.Errorf("sealed as %s, %v; should be %s, %v", sealed, wrong, link, err)
	}
}

// each gives every field of a value, however deep, to f.
func each(v reflect.Value, f func(reflect.Value)) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time](), v.Kind() != reflect.Struct && v.Kind() != reflect.Slice:
		f(v)
	case v.Kind() == reflect.Slice:
		f(v)
		for i := range v.Len() {
			each(v.Index(i), f)
		}
	default:
		for i := range v.NumField() {
			each(v.Field(i), f)
		}
	}
}

// S8.4: what an entry is sealed by is its JSON, of each field, in each of its
// shapes: a field that is new, or was forgotten, is noticed here.
func TestS8_4SealIsTheJSON(t *testing.T) {
	var empty Entry
	written(t, empty)
	full := Entry{Effects: make([]session.Effect, 2)}
	at := time.Date(2026, 11, 20, 18, 0, 0, 123456789, time.UTC)
	odd := map[reflect.Kind][]any{
		reflect.String: {"plain", `"quoted" \ <&> ü   ` + "\n\x00\x7f\xff", "\u2028", strings.Repeat("x", 1000)},
		reflect.Int64:  {int64(math.MaxInt64), int64(math.MinInt64), int64(-1)}, reflect.Int: {7}, reflect.Uint8: {uint8(2)},
		reflect.Bool: {true}, reflect.Float64: {1.0 / 3, 1e21, 1e-9, math.Copysign(0, -1), math.NaN()},
		reflect.Slice: {[]session.Effect(nil), []session.Effect{}},
		reflect.Struct: {at, at.Local(), at.In(time.FixedZone("there", -12600)), at.Truncate(time.Second), time.Time{}.Local(), time.Time{}.In(time.FixedZone("", 0)),
			time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)},
	}
	fields := 0
	each(reflect.ValueOf(&full).Elem(), func(v reflect.Value) {
		fields++
		for _, value := range odd[v.Kind()] {
			before := reflect.New(v.Type()).Elem()
			before.Set(v)
			v.Set(reflect.ValueOf(value).Convert(v.Type()))
			written(t, full)
			v.Set(before)
		}
		if len(odd[v.Kind()]) == 0 {
			t.Errorf("the test does not know %s", v.Type())
		}
	})
	each(reflect.ValueOf(&full).Elem(), func(v reflect.Value) {
		if v.Kind() != reflect.Slice {
			v.Set(reflect.ValueOf(odd[v.Kind()][0]).Convert(v.Type()))
		}
	})
	written(t, full)
	if fields < 60 {
		t.Errorf("%d fields were looked at", fields)
	}
}

func FuzzSeal(f *testing.F) {
	f.Add("s", "ana", "detail", int64(1), int64(0))
	f.Add("\u2028", "<", "\xff", int64(-1), int64(math.MinInt64))
	f.Fuzz(func(t *testing.T, a, b, c string, n, at int64) {
		e := Entry{SessionID: a, Version: n, At: time.Unix(at, n).UTC(), Note: b, Effects: []session.Effect{{Text: c, Before: time.Duration(at)}}}
		e.Event.Detail, e.Event.Until, e.Event.Cost, e.End.Stuck = c, time.Unix(n, at), float64(n)/7, b
		written(t, e)
	})
}
