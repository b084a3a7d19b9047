package identity_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/identitystore"
	"github.com/aws/smithy-go"

	"nightshift/internal/fault"
	"nightshift/internal/identity"
)

// GetUserId answers over the service's own protocol, so that the request is the
// one that AWS would get.
func (w *world) GetUserId(ctx context.Context, in *identitystore.GetUserIdInput, _ ...func(*identitystore.Options)) (*identitystore.GetUserIdOutput, error) {
	if err := w.called("name"); err != nil {
		return nil, err
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var asked map[string]any
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &asked); err != nil || r.Header.Get("X-Amz-Target") != "AWSIdentityStore.GetUserId" {
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
		rw.Header().Set("Content-Type", "application/x-amz-json-1.1")
		const form = "map[AlternateIdentifier:map[UniqueAttribute:map[AttributePath:userName AttributeValue:%s]] IdentityStoreId:d-1234567890]"
		switch fmt.Sprint(asked) {
		case fmt.Sprintf(form, "ana@example.com"):
			fmt.Fprintf(rw, `{"IdentityStoreId":"d-1234567890","UserId":%q}`, w.answer)
		case fmt.Sprintf(form, "store-gone"):
			rw.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(rw, `{"__type":"ResourceNotFoundException","ResourceType":"IDENTITY_STORE","Message":"IDENTITY_STORE not found."}`)
		default:
			rw.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(rw, `{"__type":"ResourceNotFoundException","ResourceType":"USER","Reason":"USER_NOT_FOUND","Message":"USER not found."}`)
		}
	}))
	defer server.Close()
	return identitystore.New(identitystore.Options{
		BaseEndpoint: aws.String(server.URL), Region: "us-east-1", Retryer: aws.NopRetryer{}, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	}).GetUserId(ctx, in)
}

func TestS3_3UserID(t *testing.T) {
	down := errors.New("the service is down")
	for _, c := range []struct {
		what, name, answer string
		err                error
		storeless          bool
		want               string
		kind               fault.Kind
		calls              int
	}{
		{what: "a name", name: "ana@example.com", answer: ana, want: ana, calls: 1},
		{what: "an id with a prefix", name: "ana@example.com", answer: "9067642ac7-" + ana, want: "9067642ac7-" + ana, calls: 1},
		{what: "an id is not asked for", name: ana, want: ana},
		{what: "an id with a prefix is not asked for", name: "9067642ac7-" + ana, want: "9067642ac7-" + ana},
		{what: "an id needs no store", name: ana, storeless: true, want: ana},
		{what: "nobody", name: "zeppelin", kind: fault.NotFound, calls: 1},
		{what: "the name without its domain", name: "ana", kind: fault.NotFound, calls: 1},
		{what: "no such store", name: "store-gone", kind: fault.Unknown, calls: 1},
		{what: "no store configured", name: "ana@example.com", storeless: true, kind: fault.Unknown},
		{what: "throttled", name: "ana@example.com", err: throttled(), kind: fault.Throttled, calls: 1},
		{what: "denied", name: "ana@example.com", err: &smithy.GenericAPIError{Code: "AccessDeniedException"}, kind: fault.Denied, calls: 1},
		{what: "down", name: "ana@example.com", err: down, kind: fault.Unknown, calls: 1},
		{what: "an answer that is no id", name: "ana@example.com", answer: "ana", kind: fault.Unknown, calls: 1},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := &world{answer: c.answer, errs: map[string]error{"name": c.err}}
			i := w.identity(configured())
			if c.storeless {
				i.StoreID = ""
			}
			got, err := i.UserID(t.Context(), c.name)
			if got != c.want || c.want == "" && !fault.Is(err, c.kind) || c.want != "" && err != nil || w.count("name") != c.calls {
				t.Errorf("%q, %v, %d calls; want %q, %s, %d calls", got, err, w.count("name"), c.want, c.kind, c.calls)
			}
		})
	}
}

// An answer is believed for its age, each kind for its own; what could not be
// asked is not remembered at all.
func TestS3_5UserIDIsRemembered(t *testing.T) {
	for _, c := range []struct {
		what, name string
		age        time.Duration
	}{{"found", "ana@example.com", 15 * time.Minute}, {"nobody", "zeppelin", 5 * time.Minute}} {
		w := &world{answer: ana, errs: map[string]error{"name": throttled()}}
		i := w.identity(configured())
		ask := func() error { _, err := i.UserID(t.Context(), c.name); return err }
		if err := ask(); !fault.Is(err, fault.Throttled) {
			t.Errorf("%s: %v", c.what, err)
		}
		delete(w.errs, "name")
		first := ask()
		w.errs["name"] = throttled()
		w.now = noon.Add(c.age - 1)
		if err := ask(); fault.KindOf(err) != fault.KindOf(first) || w.count("name") != 2 {
			t.Errorf("%s: first %v, remembered %v, %d calls", c.what, first, err, w.count("name"))
		}
		w.now = noon.Add(c.age)
		if err := ask(); !fault.Is(err, fault.Throttled) || w.count("name") != 3 {
			t.Errorf("%s: older than its age it is still believed: %v, %d calls", c.what, err, w.count("name"))
		}
	}
}

// What several processes are given of a rate adds up to it: each keeps to its
// share, and without one makes no such call.
func TestS3_5APaceIsAShare(t *testing.T) {
	w := &world{answer: ana}
	i := identity.New(identity.Settings{StoreID: "d-1234567890", Now: func() time.Time { return w.now }, Rates: identity.Rates{Names: 0.5}}, w, w, w)
	var waited time.Duration
	i.Pause = func(_ context.Context, d time.Duration) error {
		w.now, waited = w.now.Add(d), waited+d
		return nil
	}
	w.now = noon
	for n := range 5 {
		if _, err := i.UserID(t.Context(), fmt.Sprint("nobody-", n)); !fault.Is(err, fault.NotFound) {
			t.Fatal(err)
		}
	}
	if waited != 8*time.Second {
		t.Errorf("five calls at one each two seconds took %s", waited)
	}
	if _, err := i.Status(t.Context(), ana); err == nil || w.count("user") != 0 {
		t.Errorf("without a share: %v, %d calls", err, w.count("user"))
	}
}
