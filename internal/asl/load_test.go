package asl

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

type badCase struct {
	Name       string
	Definition json.RawMessage
	Want       []string
}

func badCases(t testing.TB) []badCase {
	data, err := os.ReadFile("testdata/bad.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []badCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

func TestLoadRefuses(t *testing.T) {
	for _, c := range badCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			_, err := Load(c.Definition, nil)
			if err == nil {
				t.Fatal("it loads")
			}
			if got, want := err.Error(), strings.Join(c.Want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestSubstitutions(t *testing.T) {
	const definition = `{"QueryLanguage":"JSONata","StartAt":"A","States":{"A":{"Type":"Wait","Comment":"${N} seconds","Seconds":"{% ${N} %}","End":true}}}`
	for _, c := range []struct {
		name string
		subs map[string]string
		want string
	}{
		{"complete", map[string]string{"N": "5"}, ""},
		{"missing", nil, "substitution N is missing"},
		{"unused", map[string]string{"N": "5", "M": "6"}, "substitution M is not used"},
		{"a value that ends the string", map[string]string{"N": `5", "Foo": "`}, "would change the definition"},
		{"a value that substitutes", map[string]string{"N": "${N}"}, "would change the definition"},
	} {
		m, err := Load([]byte(definition), c.subs)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		case c.want == "" && m.Expressions()[0] != Expression{"States.A.Seconds", "5"}:
			t.Errorf("%s: expressions %v", c.name, m.Expressions())
		}
	}
	for _, bad := range []string{`{} 1`, `{"a":`, ``, strings.Repeat("[", 200), `{"a":1}]`, strings.Repeat(" ", definitionLimit+1)} {
		if _, err := Load([]byte(bad), nil); err == nil {
			t.Errorf("%.20q loads", bad)
		}
	}
}

func TestGraph(t *testing.T) {
	m := load(t, machineOf(`"A":{"Type":"Choice","Choices":[{"Condition":"{% $states.input %}","Next":"C"}],"Default":"B"},"B":{"Type":"Fail"},"C":{"Type":"Succeed"}`))
	if m.StartAt() != "A" || strings.Join(m.States(), "") != "ACB" || m.Type("B") != "Fail" || m.Type("X") != "" {
		t.Errorf("start %s, states %v, types %s %q", m.StartAt(), m.States(), m.Type("B"), m.Type("X"))
	}
	want := []Edge{{"A", "C", "$states.input"}, {"A", "B", "otherwise"}}
	if got := m.Edges(); len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("edges %v, want %v", got, want)
	}
}

func TestEvaluate(t *testing.T) {
	for source, want := range map[string]string{
		`$a.b & "-" & $string($a.n + 1)`: `"x-2"`,
		`$a.big`:                         `9007199254740993`,
		`{"k": [$a.z, $not($a.n = 1)]}`:  `{"k":[null,false]}`,
		`$a.n > 0 and $exists($a.no)`:    `false`,
		`$a.n = 1 ? "one" : "many"`:      `"one"`,
	} {
		v, err := Evaluate(source, map[string]any{"a": map[string]any{"b": "x", "n": 1, "big": int64(9007199254740993), "z": nil}})
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got, _ := encode(v); string(got) != want {
			t.Errorf("%s: got %s, want %s", source, got, want)
		}
	}
	for _, source := range []string{`1 +`, `$a.no`, `"a" + 1`, `1/0`, `$string`} {
		if v, err := Evaluate(source, nil); err == nil {
			t.Errorf("%s: got %v, want an error", source, v)
		}
	}
}

// FuzzLoad holds that no definition makes the loader panic, and that what loads
// can be walked.
func FuzzLoad(f *testing.F) {
	for _, c := range badCases(f) {
		f.Add([]byte(c.Definition))
	}
	f.Add([]byte(machineOf(waiting + `"End":true}`)))
	f.Fuzz(func(t *testing.T, definition []byte) {
		m, err := Load(definition, nil)
		if err != nil {
			return
		}
		for _, e := range m.Edges() {
			if m.Type(e.From) == "" || m.Type(e.To) == "" {
				t.Errorf("an edge leads from %q to %q", e.From, e.To)
			}
		}
	})
}
