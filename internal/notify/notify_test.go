package notify_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/notify"
)

// bus speaks EventBridge's protocol, AWS JSON 1.1.
type bus struct {
	status int
	answer string
	calls  int
	target string
	body   map[string]any
}

func (b *bus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.calls++
	b.target = r.Header.Get("X-Amz-Target")
	raw, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(raw, &b.body)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if b.status != 0 {
		w.WriteHeader(b.status)
	}
	_, _ = io.WriteString(w, b.answer)
}

func announcer(t *testing.T, b *bus, name string, encode notify.Encode) *notify.Announcer {
	t.Helper()
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	return notify.New(eventbridge.New(eventbridge.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	}), name, encode)
}

func encode(a app.Announcement) (string, []byte, error) {
	return "Nightshift Alert", []byte(`{"id":"` + a.ID + `"}`), nil
}

var said = app.Announcement{ID: "s-1-4-alert-0", Kind: "alert", At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}

func TestAnnounce(t *testing.T) {
	b := &bus{answer: `{"FailedEntryCount":0,"Entries":[{"EventId":"e-1"}]}`}
	if err := announcer(t, b, "nightshift", encode).Announce(t.Context(), said); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"Entries": []any{map[string]any{
		"EventBusName": "nightshift", "Source": "nightshift", "DetailType": "Nightshift Alert", "Detail": `{"id":"s-1-4-alert-0"}`,
		"Time": float64(said.At.Unix()),
	}}}
	if b.target != "AWSEvents.PutEvents" || !reflect.DeepEqual(b.body, want) {
		t.Errorf("%s\ngot  %v\nwant %v", b.target, b.body, want)
	}
}

func TestFailures(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		status       int
		want         fault.Kind
	}{
		{"entry throttled", `{"FailedEntryCount":1,"Entries":[{"ErrorCode":"ThrottlingException","ErrorMessage":"slower"}]}`, 0, fault.Throttled},
		{"entry failed", `{"FailedEntryCount":1,"Entries":[{"ErrorCode":"InternalFailure","ErrorMessage":"sorry"}]}`, 0, fault.Unknown},
		{"entry malformed", `{"FailedEntryCount":1,"Entries":[{"ErrorCode":"MalformedDetail","ErrorMessage":"no JSON"}]}`, 0, fault.Invalid},
		{"entry not allowed", `{"FailedEntryCount":1,"Entries":[{"ErrorCode":"NotAuthorizedForSourceException","ErrorMessage":"no"}]}`, 0, fault.Denied},
		{"entry without a reason", `{"FailedEntryCount":1,"Entries":[]}`, 0, fault.Unknown},
		{"call throttled", `{"__type":"ThrottlingException","message":"slower"}`, http.StatusBadRequest, fault.Throttled},
		{"call not allowed", `{"__type":"AccessDeniedException","message":"no"}`, http.StatusBadRequest, fault.Denied},
		{"no such bus", `{"__type":"ResourceNotFoundException","message":"no"}`, http.StatusBadRequest, fault.Unknown},
		{"outage", `{"__type":"InternalException","message":"sorry"}`, http.StatusInternalServerError, fault.Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &bus{status: c.status, answer: c.answer}
			err := announcer(t, b, "nightshift", encode).Announce(t.Context(), said)
			if err == nil || fault.KindOf(err) != c.want {
				t.Errorf("%v is of kind %s, want %s", err, fault.KindOf(err), c.want)
			}
		})
	}
}

func TestNothingIsPut(t *testing.T) {
	b := &bus{answer: `{}`}
	if err := announcer(t, b, "", encode).Announce(t.Context(), said); err == nil {
		t.Error("an event without a bus is no error")
	}
	unknown := fault.New("encode", fault.Invalid, errors.New("kind"))
	err := announcer(t, b, "nightshift", func(app.Announcement) (string, []byte, error) { return "", nil, unknown }).Announce(t.Context(), said)
	if !errors.Is(err, unknown) {
		t.Errorf("%v", err)
	}
	if b.calls != 0 {
		t.Errorf("%d calls", b.calls)
	}
}
