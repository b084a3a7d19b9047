package schema_test

import (
	"testing"

	"nightshift/internal/ddbstore/schema"
)

// DynamoDB refuses a table that defines a key attribute twice, or one that no
// key uses.
func TestAttributesAreDefinedOnce(t *testing.T) {
	def := schema.Definition()
	if len(def.Indexes) == 0 {
		t.Fatal("there is no index to look at")
	}
	seen := map[string]bool{}
	for _, a := range def.Attributes() {
		if seen[a.Name] || a.Name == def.TTLAttribute || a.Type != schema.String {
			t.Errorf("attribute %+v", a)
		}
		seen[a.Name] = true
	}
	if len(seen) != 2+2*len(def.Indexes) {
		t.Errorf("%d key attributes for %d indexes", len(seen), len(def.Indexes))
	}
}
