package identity

import (
	"bytes"
	"io"
	"net/http"
	"testing"
)

// answering is an endpoint that gives the same answer to everything.
type answering []byte

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(a)), Request: r}, nil
}

// FuzzSessions: no answer of a session source makes Live panic, and no list is
// complete that has a session without an id or a user, or one twice: from its
// absence a sign-out would follow.
func FuzzSessions(f *testing.F) {
	for _, seed := range []string{
		`{"sessions":[{"id":"a","user":"u-ana","signedInAt":"2026-11-20T18:00:00Z","expiresAt":"2026-11-21T02:00:00Z"}],"total":1}`,
		`{"sessions":[],"total":0}`, `{"sessions":null,"total":0}`, `{"sessions":[],"total":0,"next":"x"}`, `{"total":1}`, `[]`, ``, `{"sessions":[{}],"total":1}`,
		`{"sessions":[{"id":"a","user":"u"},{"id":"a","user":"u"}],"total":2}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := NewSessions("portal", "https://portal.example/sessions", nil, &http.Client{Transport: answering(body)})
		if err != nil {
			t.Fatal(err)
		}
		live, complete, err := s.Live(t.Context())
		if err != nil && complete {
			t.Errorf("complete, with %v", err)
		}
		seen := map[string]bool{}
		for _, l := range live {
			if complete && (l.ID == "" || l.User == "" || seen[l.ID]) {
				t.Errorf("a complete list has %+v", l)
			}
			seen[l.ID] = true
		}
	})
}
