package emrnotebook

import (
	"testing"

	"nightshift/internal/app"
)

// FuzzSpec: no spec makes its reader panic, and none is accepted as nothing.
func FuzzSpec(f *testing.F) {
	f.Add(spec(""))
	f.Add(spec(`,"Tags":[{"Key":"a","Value":null}]`))
	f.Add([]byte(`{"EditorId":{}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := decode(app.Start{SessionID: "s-1", User: "u-ana", Spec: body})
		if err == nil && in == nil {
			t.Errorf("accepted as nothing: %s", body)
		}
	})
}
