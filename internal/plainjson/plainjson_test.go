package plainjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

var values = Values{Null: nil, Whole: func(digits string, _ int64) any { return json.Number(digits) }}

// library is what encoding/json reads, with numbers as they stand.
func library(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows")
	}
	return v, nil
}

// libraryFields is what encoding/json reads of an object, field by field.
func libraryFields(data []byte) (all []Field, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("no object")
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		all = append(all, Field{name.(string), value})
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows")
	}
	return all, nil
}

// check holds a document against the library; it says whether it was read plainly,
// and whether the library refuses it.
func check(t *testing.T, text []byte) (plain, refused bool) {
	t.Helper()
	want, err := library(text)
	got, plain := Read(text, values)
	if plain && (err != nil || !reflect.DeepEqual(got, want)) {
		t.Fatalf("%q: %#v, the library reads %#v, %v", text, got, want, err)
	}
	fields, split := Fields(text)
	if split {
		if want, err := libraryFields(text); err != nil || len(fields) != len(want) || len(want) > 0 && !reflect.DeepEqual(fields, want) {
			t.Fatalf("%q: the fields %q, the library reads %q, %v", text, fields, want, err)
		}
	}
	if _, object := want.(map[string]any); plain && object && !split {
		t.Fatalf("%q is read and not split", text)
	}
	return plain, err != nil
}

// TestReadIsTheLibrary: where JSON is read plainly, it is what the library reads; what
// the library refuses is never read.
func TestReadIsTheLibrary(t *testing.T) {
	t.Parallel()
	leaves := []string{
		"0", "-0", "7", "-17", "007", "-", "1.5", "1e3", "1E3", "123456789012345", "1234567890123456", "9223372036854775807", `""`, `"a text"`, `"a \\" b"`, `"ü"`, "\"\x7f\"", "\"\xff\"",
		"\"\t\"", `"open`, "true", "false", "null", "nul", "tru", "truely", "{}", "[]", "{", "]", "", " ", "1 2", "{} x", `{"a":1,"a":2}`, `{"a" :1 , "b":[ ] }`, `{"a":1,}`, "[1,]", "[,1]", `{1:2}`, `{"a"}`,
		"\u00a01", strings.Repeat("[", 30) + strings.Repeat("]", 30),
	}
	plain, asked, refused := 0, 0, 0
	for _, a := range leaves {
		for _, b := range leaves {
			for _, text := range []string{a, "[" + a + "," + b + "]", `{"k":` + a + `, "l" : ` + b + "}", " " + a + "\n"} {
				switch read, bad := check(t, []byte(text)); {
				case read:
					plain++
				case bad:
					refused++
				default:
					asked++
				}
			}
		}
	}
	if plain < 300 || asked < 300 || refused < 300 {
		t.Errorf("%d read plainly, %d asked and %d refused looked at next to nothing", plain, asked, refused)
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{`{"a":[1,-2,null,true],"b":{"c":"d"},"a":3}`, ` [ "x" , 007 ]`, `{"a":1}x`, `"\u00e9"`, "{\"\":\"\x7f\"}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) { check(t, text) })
}
