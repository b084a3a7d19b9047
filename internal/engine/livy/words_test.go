package livy

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"nightshift/internal/engine/enginetest"
	"nightshift/internal/engine/livy/livysim"
)

// exchange is one question and what Livy 0.7.1 says to it.
type exchange struct {
	method, path, body string
	forged             bool // without the header X-Requested-By
	status             int
	form               form
	part               string // of what is said
}

// form is how an answer is written.
type form string

const (
	anObject form = "an object"
	aMsg     form = "an object with msg"
	aText    form = "a text alone"
	aPage    form = "a page"
)

// exchanges leave no session behind; a session ns-s-1 is there, and so many
// numbers (taken) are used up.
var exchanges = []exchange{
	{"GET", "/version", "", false, 200, anObject, `"version":"0.7.1-incubating"`},
	{"GET", "/batches", "", false, 200, anObject, `{"from":0,`},
	{"GET", "/nothing", "", false, 404, aPage, ""},
	{"GET", "/sessions/99", "", false, 404, aMsg, "Session '99' not found."},
	{"GET", "/sessions/ns-x", "", false, 404, aMsg, "Session 'ns-x' not found."},
	{"GET", "/sessions?from=x", "", false, 400, aMsg, `For input string: "x"`},
	{"GET", "/sessions?from=-1&size=-1", "", false, 200, anObject, `"from":-1`},
	{"DELETE", "/sessions/ns-x", "", false, 404, aMsg, "Session 'ns-x' not found."},
	{"DELETE", "/sessions/ns-s-1", "", true, 400, aPage, "Missing Required Header for CSRF protection."},
	{"POST", "/sessions", `{}`, true, 400, aPage, "Missing Required Header for CSRF protection."},
	{"POST", "/sessions", ``, false, 400, aText, "No content to map due to end-of-input"},
	{"POST", "/sessions", `{`, false, 400, aText, "Unexpected end-of-input: expected close marker for Object"},
	{"POST", "/sessions", `no`, false, 400, aText, ""},
	{"POST", "/sessions", `[]`, false, 400, aText, "Cannot deserialize instance of"},
	{"POST", "/sessions", `{"nonsense":1}`, false, 400, aText, `Unrecognized field "nonsense"`},
	{"POST", "/sessions", `{"ttl":"30m"}`, false, 400, aText, `Unrecognized field "ttl"`},
	{"POST", "/sessions", `{"idleTimeout":"30m"}`, false, 400, aText, `Unrecognized field "idleTimeout"`},
	{"POST", "/sessions", `{"nonsense":1}`, false, 400, aText, `(15 known properties: `},
	{"POST", "/sessions", `{"kind":"cobol"}`, false, 400, aText, "Invalid kind: cobol"},
	{"POST", "/sessions", `{"kind":5}`, false, 400, aText, "Kind should be a string."},
	{"POST", "/sessions", `{"conf":4}`, false, 400, aText, "Cannot deserialize instance of `scala.collection.immutable.Map` out of VALUE_NUMBER_INT token"},
	{"POST", "/sessions", `{"jars":"x"}`, false, 400, aText, "Cannot deserialize instance of `scala.collection.immutable.List` out of VALUE_STRING token"},
	{"POST", "/sessions", `{"proxyUser":{}}`, false, 400, aText, "Cannot deserialize instance of `java.lang.String` out of START_OBJECT token"},
	{"POST", "/sessions", `{"heartbeatTimeoutInSecond":"x"}`, false, 400, aText, `Cannot deserialize value of type` + " `int` " + `from String "x": not a valid Integer value`},
	// These take a number each, in vain.
	{"POST", "/sessions", `null`, false, 500, aText, "java.lang.NullPointerException"},
	{"POST", "/sessions", `{"numExecutors":"two"}`, false, 500, aText, "java.lang.ClassCastException: class java.lang.String cannot be cast to class java.lang.Integer"},
	{"POST", "/sessions", `{"name":"12"}`, false, 400, aMsg, "Invalid session name: 12"},
	{"POST", "/sessions", `{"name":7}`, false, 400, aMsg, "Invalid session name: 7"},
	{"POST", "/sessions", `{"name":""}`, false, 400, aMsg, "Invalid session name: "},
	{"POST", "/sessions", `{"kind":"sql","name":"ns-s-1"}`, false, 400, aMsg, "Duplicate session name: Some(ns-s-1) for session {taken}"},
	{"POST", "/sessions/ns-s-1/statements", `{"cod":"1"}`, false, 400, aText, `Unrecognized field "cod" (class org.apache.livy.ExecuteRequest)`},
	{"POST", "/sessions/ns-s-1/statements", `{`, false, 400, aText, "Unexpected end-of-input"},
	{"GET", "/sessions/ns-s-1/statements/99", "", false, 404, aText, "Statement not found"},
	{"GET", "/sessions/ns-s-1/statements/x", "", false, 400, aMsg, `For input string: "x"`},
}

// taken is how many numbers the exchanges take before their last.
const taken = 5

// converse has the exchanges with a server whose next session would have a number.
func converse(t *testing.T, url string, next json.Number) {
	t.Helper()
	first, err := next.Int64()
	if err != nil {
		t.Fatal(err)
	}
	number, _ := json.Marshal(first + taken)
	for _, x := range exchanges {
		r, err := http.NewRequestWithContext(t.Context(), x.method, url+x.path, strings.NewReader(x.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if !x.forged {
			r.Header.Set("X-Requested-By", "test")
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(res.Body)
		res.Body.Close() //nolint:errcheck // it was read
		text, is := formOf(res.Header.Get("Content-Type"), raw)
		want := strings.ReplaceAll(x.part, "{taken}", string(number))
		if err != nil || res.StatusCode != x.status || is != x.form || !strings.Contains(text, want) {
			t.Errorf("%s %s %s (forged: %v) is answered %d, %s: %s, %v; want %d, %s: %s", x.method, x.path, x.body, x.forged, res.StatusCode, is, raw, err, x.status, x.form, want)
		}
	}
}

// formOf is what an answer says, and how.
func formOf(contentType string, raw []byte) (string, form) {
	var text string
	var msg struct {
		Msg *string `json:"msg"`
	}
	switch {
	case strings.HasPrefix(contentType, "text/html"):
		return string(raw), aPage
	case json.Unmarshal(raw, &text) == nil:
		return text, aText
	case json.Unmarshal(raw, &msg) == nil && msg.Msg != nil:
		return *msg.Msg, aMsg
	}
	return string(raw), anObject
}

// TestTheSimulatorsWords: the simulator says what Livy 0.7.1 does; TestConform
// has the same exchanges with that.
func TestTheSimulatorsWords(t *testing.T) {
	sim := livysim.New(enginetest.Clock(t), livysim.Config{Version: "0.7.1-incubating"})
	server := httptest.NewServer(sim)
	defer server.Close()
	b := &bench{T: t, sim: sim, url: server.URL}
	b.create(`{"kind":"sql","name":"ns-s-1"}`)
	converse(t, server.URL, "1")
	if status, said := b.call("GET", "/sessions", ""); status != 200 || !strings.Contains(said, `"total":1`) || strings.Contains(said, "heartbeatTimeoutInSecond") || strings.Contains(said, "ttl") {
		t.Errorf("afterwards it lists %s, want the one session with 0.7.1's members", said)
	}
}
