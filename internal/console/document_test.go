package console

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// document is openapi.json, and which of its answers tests have produced.
type document struct {
	paths   map[string]any
	parts   map[string]any
	schemas *jsonschema.Compiler

	mu       sync.Mutex
	produced map[string]bool // "GET /api/me 200"
}

const documentURL = "https://nightshift/openapi.json"

// read is the one document of all tests: what they produce is counted together.
var read struct {
	once sync.Once
	doc  *document
}

func specification(t *testing.T) *document {
	t.Helper()
	read.once.Do(func() {
		whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(Document))
		if err != nil {
			t.Fatal(err)
		}
		m := whole.(map[string]any)
		d := &document{paths: m["paths"].(map[string]any), parts: m["components"].(map[string]any), schemas: jsonschema.NewCompiler(), produced: map[string]bool{}}
		d.schemas.DefaultDraft(jsonschema.Draft2020)
		d.schemas.AssertFormat()
		if err := d.schemas.AddResource(documentURL, whole); err != nil {
			t.Fatal(err)
		}
		read.doc = d
	})
	if read.doc == nil {
		t.Fatal("the document could not be read")
	}
	return read.doc
}

// template is the path of the document that a request's path is of; "" for none.
func (d *document) template(path string) string {
	if d.paths[path] != nil {
		return path
	}
	for _, candidate := range slices.Sorted(maps.Keys(d.paths)) {
		a, b := strings.Split(candidate, "/"), strings.Split(path, "/")
		if len(a) == len(b) && !slices.ContainsFunc(a, func(s string) bool { i := slices.Index(a, s); return s != b[i] && !strings.HasPrefix(s, "{") }) {
			return candidate
		}
	}
	return ""
}

func lookup(v any, path ...string) map[string]any {
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	m, _ := v.(map[string]any)
	return m
}

// check holds an answer against the document: its status must be documented, its
// body must be of the schema, its headers those of every answer.
func (d *document) check(t *testing.T, r *http.Request, sent string, a answer) {
	t.Helper()
	for _, h := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "Cross-Origin-Opener-Policy", HeaderTime} {
		if a.header.Get(h) == "" {
			t.Errorf("%s %s: the answer has no %s", r.Method, r.URL.Path, h)
		}
	}
	template := d.template(r.URL.Path)
	operation := lookup(d.paths, template, strings.ToLower(r.Method))
	if operation == nil {
		return // not of the API: 404 and 405 are tested by themselves
	}
	status := fmt.Sprint(a.status)
	response := lookup(operation, "responses", status)
	if response == nil {
		t.Errorf("%s %s answers %s, which the document does not have: %s", r.Method, template, status, a.raw)
		return
	}
	pointer := "#/paths/" + escaped(template) + "/" + strings.ToLower(r.Method) + "/responses/" + status
	if ref, ok := response["$ref"].(string); ok {
		pointer = ref
		response = lookup(d.parts, "responses", strings.TrimPrefix(ref, "#/components/responses/"))
	}
	d.mu.Lock()
	d.produced[r.Method+" "+template+" "+status] = true
	d.mu.Unlock()
	at := documentURL + "#/paths/" + escaped(template) + "/" + strings.ToLower(r.Method)
	if sent != "" && a.status < 300 && lookup(operation, "requestBody") != nil {
		d.validate(t, at+"/requestBody/content/application~1json/schema", sent)
	}
	content := lookup(response, "content")
	if len(content) == 0 {
		if a.raw != "" {
			t.Errorf("%s %s %s has a body, and none is documented: %s", r.Method, template, status, a.raw)
		}
		return
	}
	kind := a.header.Get("Content-Type")
	if content[kind] == nil {
		t.Errorf("%s %s %s is %q, documented are %v", r.Method, template, status, kind, slices.Collect(maps.Keys(content)))
		return
	}
	d.validate(t, documentURL+pointer+"/content/"+strings.ReplaceAll(strings.ReplaceAll(kind, "/", "~1"), "+", "%2B")+"/schema", a.raw)
}

// escaped is a path as a part of a JSON pointer in a URL.
func escaped(path string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(path)
}

// validate holds a text against a schema of the document.
func (d *document) validate(t *testing.T, url, text string) {
	t.Helper()
	d.mu.Lock()
	schema, err := d.schemas.Compile(url)
	d.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	body, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(body); err != nil {
		t.Errorf("%s: not as documented: %v\n%s", url, err, text)
	}
}

// TestMain runs the tests; after all of them every documented answer must have
// been produced by one.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 && read.doc != nil && flag.Lookup("test.run").Value.String() == "" {
		if missing := read.doc.missing(); len(missing) > 0 {
			fmt.Printf("FAIL: documented, and no test produced it:\n  %s\n", strings.Join(missing, "\n  "))
			code = 1
		}
	}
	os.Exit(code)
}

// missing are the documented answers that nobody produced.
func (d *document) missing() []string {
	var all []string
	for path, item := range d.paths {
		for method, operation := range item.(map[string]any) {
			for status := range lookup(operation, "responses") {
				key := strings.ToUpper(method) + " " + path + " " + status
				if !d.produced[key] {
					all = append(all, key)
				}
			}
		}
	}
	slices.Sort(all)
	return all
}

// TestDocumentIsTheRoutes: what is served is described, and the other way round.
func TestDocumentIsTheRoutes(t *testing.T) {
	d := specification(t)
	described, served := []string{}, []string{}
	ids := map[any]bool{}
	for path, item := range d.paths {
		for method, operation := range item.(map[string]any) {
			described = append(described, strings.ToUpper(method)+" "+path)
			ids[lookup(operation)["operationId"]] = true
			if lookup(operation)["summary"] == "" || lookup(operation)["x-roles"] == nil {
				t.Errorf("%s %s says not what it does and for whom", method, path)
			}
		}
	}
	for _, r := range routes() {
		served = append(served, r.method+" "+r.pattern)
		var parameters []string
		given, _ := lookup(d.paths, r.pattern, strings.ToLower(r.method))["parameters"].([]any)
		for _, p := range given {
			ref := strings.TrimPrefix(p.(map[string]any)["$ref"].(string), "#/components/parameters/")
			if part := lookup(d.parts, "parameters", ref); part["in"] == "query" {
				parameters = append(parameters, part["name"].(string))
			}
		}
		if !slices.Equal(parameters, r.query) {
			t.Errorf("%s %s takes %v, described are %v", r.method, r.pattern, r.query, parameters)
		}
	}
	slices.Sort(described)
	slices.Sort(served)
	if !slices.Equal(described, served) || len(ids) != len(served) {
		t.Errorf("described %v\nserved %v\n%d operation ids", described, served, len(ids))
	}
}

// TestSchemasRefuseWhatTheyDoNotKnow: no schema of an object lets more fields
// pass than it describes, or a check against it would prove nothing.
func TestSchemasRefuseWhatTheyDoNotKnow(t *testing.T) {
	looked := 0
	for name, s := range lookup(specification(t).parts, "schemas") {
		looked++
		if m := lookup(s); m["type"] != "object" || m["additionalProperties"] != false {
			t.Errorf("%s is open", name)
		}
	}
	if looked < 30 {
		t.Errorf("%d schemas were looked at", looked)
	}
}
