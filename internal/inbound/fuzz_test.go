package inbound

import (
	"testing"

	"nightshift/internal/fault"
)

// FuzzParseRun: no input of the run machine makes ParseRun panic; it is refused
// as Invalid, or says whose run it is and where, with the engine's request as it
// came.
func FuzzParseRun(f *testing.F) {
	for _, seed := range []string{
		`{"user":"u-ana","engine":"livy","endpoint":"livy/j-1","spec":{"kind":"pyspark"},"kind":"livy-session","application":"spark"}`,
		`{"user":"u-ana","engine":"sagemaker-training","endpoint":"sagemaker/123456789012/us-east-1","domain":"d-1","maxRuntimeSeconds":3600,"spec":{}}`,
		`{"user":"u-ana","engine":"emr-containers","endpoint":"emr-containers/123456789012/us-east-1","interactiveSession":{"id":"is-1","source":"portal","expiresAt":"2026-11-20T18:00:00Z"},"spec":{"a":[1,2]}}`,
		`{"user":"","engine":"","endpoint":"","spec":null}`, `{"maxRuntimeSeconds":1e400}`, `[]`, ``, `{"user":"a","user":"b"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		r, spec, err := ParseRun("arn:x", input)
		switch {
		case err != nil && !fault.Is(err, fault.Invalid):
			t.Errorf("refused as %v", err)
		case err != nil:
		case r.User == "" || r.Run.Endpoint == "" || r.Run.Engine == "" || len(spec) == 0 || r.Run.MaxRuntime < 0:
			t.Errorf("accepted: %+v, spec %q", r, spec)
		}
	})
}

// FuzzParseCase: no line of `nightshift decide` makes ParseCase panic, and what it
// accepts has a user and an opening.
func FuzzParseCase(f *testing.F) {
	f.Add([]byte(`{"id":"1","policy":{"instanceBackground":"on","livyIdle":"8h"},"open":{"at":"2026-11-20T18:00:00Z","user":"ana","run":{"engine":"livy","kind":"livy-session"}},"events":[{"kind":"sign-out","at":"2026-11-20T19:00:00Z","user":"ana"}]}`))
	f.Add([]byte(`{"open":{"at":1,"user":{},"run":[]},"events":{}}`))
	f.Add([]byte(`{"events":[null,{"kind":"policy-changed","policy":{"tenantLimit":"1000000h"}}]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		c, err := ParseCase(line)
		if err == nil && (c.Open.User == "" || c.Open.At.IsZero() || c.Open.Run.Engine == "") {
			t.Errorf("accepted: %+v", c)
		}
	})
}
