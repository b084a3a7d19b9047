package memstore

import (
	"testing"

	"nightshift/internal/fault"
)

// FuzzCursor: what is no cursor of a list is Invalid, and lists go on from any
// that is one.
func FuzzCursor(f *testing.F) {
	f.Add(cursor{Index: "list", Sec: 1, Nsec: 2, ID: "s"}.String())
	f.Add(cursor{Index: "changes", ID: "\x00"}.String())
	f.Add("e30")
	f.Fuzz(func(t *testing.T, from string) {
		if _, err := New().List(t.Context(), from); err != nil && !fault.Is(err, fault.Invalid) {
			t.Error(err)
		}
	})
}
