package asl

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
)

// TestDirectIsTheLibrary: where a direct evaluation is certain, it gives what the
// library gives; where the library fails, it is not certain.
func TestDirectIsTheLibrary(t *testing.T) {
	t.Parallel()
	expressions := []string{
		"$a", "$states.input.x", "$states.input.x.y", "$states.result.Payload", "$a + $b", "$a - 1", "$a + 0.1", "$a >= $b", "$a > 2", "$a < $b", "$a <= 1e3",
		"$a = $b", "$a & $b", "$a & '-' & $string($b)", "$string($a)", "$string($states.input.x)", "($a)", "60", "'text'", "true", "$a * $b", "$a and $b", "{'k': $a}", "[$a]",
		"$states.input.list", "$states.input.list.y", "$not($a)",
	}
	values := []any{float64(0), float64(3), 1.5, -2.25, 1e9, 1e20, int64(1) << 60, "", "a text", true, false, null, map[string]any{}, map[string]any{"y": 1.0, "z": []any{}}, []any{}, []any{1.0}, []any{1.0, 2.0}}
	certain, refused := 0, 0
	for _, source := range expressions {
		expr, node, err := parse(source)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		f := directly(node)
		for _, a := range values {
			for _, b := range values {
				variables := map[string]any{"a": a, "b": b, "states": map[string]any{
					"input": map[string]any{"x": a, "list": []any{map[string]any{"y": b}}}, "result": map[string]any{"Payload": b},
				}}
				want, err := evaluate(expr, variables)
				if f == nil {
					continue
				}
				got, ok := f(variables)
				switch {
				case !ok:
					refused++
				case err != nil || !reflect.DeepEqual(got, want):
					t.Fatalf("%s with $a %#v, $b %#v: %#v, the library gives %#v, %v", source, a, b, got, want, err)
				default:
					certain++
				}
			}
		}
	}
	if certain < 1000 || refused < 1000 {
		t.Errorf("%d certain answers and %d refused looked at next to nothing", certain, refused)
	}
}

// TestPlainlyIsTheLibrary: where JSON is written plainly, it is the library's.
func TestPlainlyIsTheLibrary(t *testing.T) {
	t.Parallel()
	leaves := []any{
		float64(0), math.Copysign(0, -1), 3.0, -17.0, 1.5, 1e14, 1e15, 1e20, 1e21, -1e300, "", "a text", "a <b> & c", "\"", "\\", "ü", "\n", "\x7f", "\u2028", true, false, nil,
		null, json.Number("7"), map[string]any{}, []any{}, map[string]any(nil), []any(nil), 7, int64(7), []string{"x"},
	}
	plain, asked := 0, 0
	for _, a := range leaves {
		for _, b := range leaves {
			for _, v := range []any{a, []any{a, b}, map[string]any{"b": b, "a": a, "é": b}, map[string]any{"z": []any{map[string]any{"k": a}}, "A": b}} {
				got, ok := plainly(nil, v)
				if !ok {
					asked++
					continue
				}
				plain++
				if want, err := library(v); err != nil || string(got) != string(want) {
					t.Fatalf("%#v: %s, the library writes %s, %v", v, got, want, err)
				}
			}
		}
	}
	if plain < 300 || asked < 300 {
		t.Errorf("%d written plainly and %d not looked at next to nothing", plain, asked)
	}
}

// TestDecodeIsTheLibrary: a null and numbers become what the library makes of them,
// where JSON is read plainly and where it is not.
func TestDecodeIsTheLibrary(t *testing.T) {
	t.Parallel()
	for _, leaf := range []string{"0", "-0", "7", "-17", "1.5", "1e3", "123456789012345", "1234567890123456", "9223372036854775807", "null", "true", `"a text"`, `"ü"`} {
		text := []byte(`{"k":` + leaf + `,"l":[` + leaf + `]}`)
		want, err := libraryRead(text)
		if got, err2 := decode(text); err != nil || err2 != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %#v, %v; the library reads %#v, %v", text, got, err2, want, err)
		}
	}
}
