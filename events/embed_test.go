package events

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func TestS3_1EachKindIsCompleteAndInTheCatalogue(t *testing.T) {
	catalogue, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	in, out := 0, 0
	for _, kind := range Kinds() {
		if Outgoing(kind) {
			out++
		} else {
			in++
		}
		if !strings.Contains(string(catalogue), "| `"+kind+"` |") {
			t.Errorf("%s is not in the catalogue", kind)
		}
		var schema struct{ Title, Description string }
		if err := json.Unmarshal(Schema(kind), &schema); err != nil || schema.Title == "" || schema.Description == "" {
			t.Errorf("%s: its schema has no title or description, or is none: %v", kind, err)
		}
		if len(Samples(kind)) == 0 || len(Bad(kind)) == 0 {
			t.Errorf("%s has %d samples and %d bad events", kind, len(Samples(kind)), len(Bad(kind)))
		}
		for _, f := range append(Samples(kind), Bad(kind)...) {
			if !json.Valid(f.Body) || f.Name == "schema" {
				t.Errorf("%s/%s is not an event", kind, f.Name)
			}
		}
	}
	if in == 0 || out != 6 {
		t.Errorf("%d kinds in, %d out", in, out)
	}
	folders, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range folders {
		if f.IsDir() && Schema(f.Name()) == nil {
			t.Errorf("folder %s has no schema", f.Name())
		}
	}
}

func TestAnUnknownKindHasNothing(t *testing.T) {
	if Schema("no-such-kind") != nil || Samples("no-such-kind") != nil || Bad("no-such-kind") != nil {
		t.Error("a kind that is none has files")
	}
}
