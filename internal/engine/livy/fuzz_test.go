package livy

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"
)

// FuzzSpec: no spec makes its reader panic, and none is accepted as nothing.
func FuzzSpec(f *testing.F) {
	f.Add(spec(1))
	f.Add([]byte(`{"kind":"pyspark","conf":{"a":1},"ttl":"5m"}`))
	f.Add([]byte(`{"conf":null,"heartbeatTimeoutInSecond":1e99}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if in, err := decode(body); err == nil && in == nil {
			t.Errorf("accepted as nothing: %s", body)
		}
	})
}

// answering is a Livy server that gives the same answer to everything.
type answering []byte

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(a)), Request: r}, nil
}

// FuzzList: no answer of a Livy server makes a listing panic, and no complete
// listing has a run without an id: it would be somebody's.
func FuzzList(f *testing.F) {
	for _, seed := range []string{
		`{"from":0,"total":1,"sessions":[{"id":0,"name":"ns-s-1","appId":"application_1_0001","state":"idle","proxyUser":"u-ana"}]}`,
		`{"from":0,"total":0,"sessions":[]}`, `{"total":2,"sessions":[{"id":-1},{"id":-1}]}`, `{"total":1,"sessions":[null]}`, `{"sessions":{}}`, `[]`, ``,
		`{"total":1,"sessions":[{"id":0,"state":"busy","statements":[{"id":0,"started":1e300}]}],"statements":[{"id":0,"state":"running","started":-1}],"total_statements":1}`,
	} {
		f.Add([]byte(seed))
	}
	now := time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)
	const endpoint = "livy/j-1YONHTCP3YZKC"
	f.Fuzz(func(t *testing.T, body []byte) {
		e := New("http://livy.example", &http.Client{Transport: answering(body)}, endpoint, func() time.Time { return now })
		l, err := e.List(t.Context(), endpoint)
		if err != nil {
			return
		}
		for _, o := range l.Runs {
			if l.Complete && (o.Run.ID == "" || o.Run.Endpoint != endpoint) {
				t.Errorf("a complete listing has %+v", o.Run)
			}
		}
	})
}
