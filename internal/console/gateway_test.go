package console

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
)

var roles = Roles{
	UserClaim: "store_user", GroupsClaim: "groups", AdminGroups: []string{"night-admins"},
	AdminPrincipals: []string{"arn:aws:iam::123456789012:role/ops/Night", "arn:aws:iam::123456789012:user/root-of-night"},
}

// TestCaller: whom API Gateway authenticated becomes an administrator, a user, or
// nobody. Samples of authorizer contexts are those of payload 2.0.
func TestCaller(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, authorizer string
		known, admin     bool
		user, by         string
	}{
		{"no authorizer", `null`, false, false, "", ""},
		{"an authorizer of another kind", `{"lambda":{"sub":"u-ana"}}`, false, false, "", ""},
		{"a user's token", `{"jwt":{"claims":{"store_user":"u-ana","groups":"[everyone]"},"scopes":null}}`, true, false, "u-ana", "u-ana"},
		{"an administrator's token", `{"jwt":{"claims":{"store_user":"u-root","groups":"[everyone night-admins]"}}}`, true, true, "u-root", "u-root"},
		{"of one group", `{"jwt":{"claims":{"store_user":"u-root","groups":"night-admins"}}}`, true, true, "u-root", "u-root"},
		{"a group with the name in it", `{"jwt":{"claims":{"store_user":"u-ana","groups":"[not-night-admins night-admins2]"}}}`, true, false, "u-ana", "u-ana"},
		{"the group in another claim", `{"jwt":{"claims":{"store_user":"u-ana","roles":"[night-admins]"}}}`, true, false, "u-ana", "u-ana"},
		{"a token of nobody here", `{"jwt":{"claims":{"sub":"u-ana","groups":"[night-admins]"}}}`, true, false, "", "token without a user"},
		{"a token of an address", `{"jwt":{"claims":{"store_user":"ana@example.com","groups":"[night-admins]"}}}`, true, false, "", "token without a user"},
		{"an administrator's role", `{"iam":{"userArn":"arn:aws:sts::123456789012:assumed-role/Night/dana@example.com"}}`, true, true, "", "role/Night/dana"},
		{"an administrator", `{"iam":{"userArn":"arn:aws:iam::123456789012:user/root-of-night"}}`, true, true, "", "user/root-of-night"},
		{"another role, whose session is named like a user", `{"iam":{"userArn":"arn:aws:sts::123456789012:assumed-role/Dev/u-ana"}}`, true, false, "", "role/Dev/u-ana"},
		{"the same role of another account", `{"iam":{"userArn":"arn:aws:sts::999999999999:assumed-role/Night/x"}}`, true, false, "", "role/Night/x"},
		{"a user named like the role", `{"iam":{"userArn":"arn:aws:iam::123456789012:user/Night"}}`, true, false, "", "user/Night"},
		{"an account's root", `{"iam":{"userArn":"arn:aws:iam::123456789012:root"}}`, true, false, "", "unknown"},
		{"no ARN", `{"iam":{"userArn":"x"}}`, true, false, "", "unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var a *events.APIGatewayV2HTTPRequestContextAuthorizerDescription
			if err := json.Unmarshal([]byte(c.authorizer), &a); err != nil {
				t.Fatal(err)
			}
			got, known := roles.Caller(a)
			if known != c.known || got.Admin != c.admin || got.User != c.user || got.Name != c.by || got.Local || got.MayActAs {
				t.Errorf("%+v %t", got, known)
			}
		})
	}
	if got, _ := (Roles{}).Caller(&events.APIGatewayV2HTTPRequestContextAuthorizerDescription{JWT: &events.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription{Claims: map[string]string{"sub": "u-ana", "": "[]"}}}); got.User != "u-ana" || got.Admin {
		t.Errorf("without settings sub is the user, and nobody an administrator: %+v", got)
	}
}

// TestGateway: a request comes through as it was sent, and its answer back.
func TestGateway(t *testing.T) {
	t.Parallel()
	const event = `{"version":"2.0","rawPath":"/iam/api/sessions/a b/stop","rawQueryString":"user=u-ana&x=%20","headers":{"content-type":"application/json","idempotency-key":"key-of-act"},
		"requestContext":{"domainName":"x.execute-api.us-east-1.amazonaws.com","http":{"method":"POST","sourceIp":"192.0.2.1"},
		"authorizer":{"iam":{"userArn":"arn:aws:iam::123456789012:user/root-of-night"}}},"body":"eyJ3aHkiOiJ4In0=","isBase64Encoded":true}`
	var in events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal([]byte(event), &in); err != nil {
		t.Fatal(err)
	}
	kind, body := "application/json", "{}"
	h := Gateway(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, err := limited(w, r)
		caller, known := CallerOf(r.Context())
		if err != nil || string(got) != `{"why":"x"}` || r.URL.Path != "/api/sessions/a b/stop" || r.URL.Query().Get("x") != " " || r.Method != "POST" ||
			r.Header.Get(HeaderKey) != "key-of-act" || r.Host != "x.execute-api.us-east-1.amazonaws.com" || !known || !caller.Admin {
			t.Errorf("%v %q %+v %+v", err, got, r, caller)
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Add("Vary", "a")
		w.Header().Add("Vary", "b")
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte(body))
	}), roles)
	for _, c := range []struct {
		kind, body, sent string
		coded            bool
	}{{"application/json", "{}", "{}", false}, {"text/css", "a{}", "a{}", false}, {"image/png", "\x89P", "iVA=", true}, {"application/json", "", "", false}} {
		kind, body = c.kind, c.body
		out, err := h(t.Context(), in)
		if err != nil || out.StatusCode != 202 || out.Body != c.sent || out.IsBase64Encoded != c.coded || out.Headers["Vary"] != "a, b" || out.Headers["Content-Type"] != c.kind {
			t.Errorf("%+v %v", out, err)
		}
	}
	in.Body = "not base64"
	if _, err := h(t.Context(), in); err == nil || !strings.Contains(err.Error(), "gateway") {
		t.Errorf("a body that cannot be read: %v", err)
	}
}

// TestGatewayWithoutAuthorizer: a route that API Gateway leaves open reaches
// nothing of the API.
func TestGatewayWithoutAuthorizer(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/api/sessions", "/api/openapi.json", "/api/../api/me"} {
		in := events.APIGatewayV2HTTPRequest{RawPath: path}
		in.RequestContext.HTTP.Method = "GET"
		out, err := Gateway(w.api, roles)(t.Context(), in)
		if err != nil || out.StatusCode == http.StatusOK {
			t.Errorf("%s: %+v %v", path, out, err)
		}
	}
}
