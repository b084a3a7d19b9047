package console

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"nightshift/internal/app"
	"nightshift/internal/session"
)

// Roles says how whom API Gateway authenticated becomes a caller.
type Roles struct {
	// UserClaim is the claim of a token that holds the user's id in the identity
	// store; "" is "sub".
	UserClaim string
	// GroupsClaim is the claim that lists a token's groups, AdminGroups those whose
	// members are administrators. They must be groups that only administrators can
	// make.
	GroupsClaim string
	AdminGroups []string
	// AdminPrincipals are the ARNs of IAM roles and users that are administrators.
	AdminPrincipals []string
}

// Caller maps API Gateway's authorizer context to a caller; false: to nobody.
//
// A token (JWT authorizer) speaks for the user whose id stands in UserClaim, and
// for an administrator where GroupsClaim names one of AdminGroups. A signature
// (IAM authorizer) speaks for an administrator where its role or user is one of
// AdminPrincipals, and else for nobody: whoever may assume a role chooses the
// name of its session, which therefore proves no user.
func (o Roles) Caller(a *events.APIGatewayV2HTTPRequestContextAuthorizerDescription) (Caller, bool) {
	switch {
	case a == nil:
		return Caller{}, false
	case a.JWT != nil:
		return o.token(a.JWT.Claims), true
	case a.IAM != nil && a.IAM.UserARN != "":
		name, principal := principalOf(a.IAM.UserARN)
		return Caller{Actor: app.Actor{Name: name, Admin: slices.Contains(names(o.AdminPrincipals), principal)}}, true
	}
	return Caller{}, false
}

func (o Roles) token(claims map[string]string) Caller {
	claim := o.UserClaim
	if claim == "" {
		claim = "sub"
	}
	c := Caller{Actor: app.Actor{Name: "token without a user"}}
	if user := claims[claim]; session.ValidUser(user) {
		c.Name, c.User = user, user
		// API Gateway writes a list as "[a b]".
		for _, group := range strings.FieldsFunc(strings.Trim(claims[o.GroupsClaim], "[]"), func(r rune) bool { return r == ' ' || r == ',' }) {
			c.Admin = c.Admin || o.GroupsClaim != "" && slices.Contains(o.AdminGroups, group)
		}
	}
	return c
}

// principalOf reads an IAM caller's ARN: a name for the history, without the
// domain of an e-mail address that a session's name may be, and the role or user
// as "account/role/name". An assumed role's ARN leaves out the role's path; names
// of roles are unique in an account without it.
func principalOf(arn string) (name, principal string) {
	part := strings.SplitN(arn, ":", 6)
	if len(part) != 6 {
		return "unknown", ""
	}
	step := strings.Split(part[5], "/")
	short, _, _ := strings.Cut(strings.Join(step[1:], "/"), "@")
	switch {
	case part[2] == "sts" && step[0] == "assumed-role" && len(step) == 3:
		return "role/" + short, part[4] + "/role/" + step[1]
	case part[2] == "iam" && len(step) > 1:
		return step[0] + "/" + short, part[4] + "/" + step[0] + "/" + step[len(step)-1]
	}
	return "unknown", ""
}

func names(arns []string) []string {
	list := make([]string, len(arns))
	for i, arn := range arns {
		_, list[i] = principalOf(arn)
	}
	return list
}

// SignedPrefix is before the paths that API Gateway guards by IAM instead of by
// tokens: the same API, for the command line.
const SignedPrefix = "/iam"

// Gateway serves a handler behind an HTTP API of API Gateway (payload 2.0).
func Gateway(h http.Handler, roles Roles) func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	return func(ctx context.Context, in events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		caller, known := roles.Caller(in.RequestContext.Authorizer)
		if known {
			ctx = WithCaller(ctx, caller)
		}
		r, err := requestOf(ctx, in)
		if err != nil {
			return events.APIGatewayV2HTTPResponse{}, err
		}
		w := &recorder{header: http.Header{}, status: http.StatusOK}
		h.ServeHTTP(w, r)
		return w.response(), nil
	}
}

func requestOf(ctx context.Context, in events.APIGatewayV2HTTPRequest) (*http.Request, error) {
	body := []byte(in.Body)
	if in.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(in.Body); err != nil {
			return nil, fmt.Errorf("read the gateway's request: %w", err)
		}
	}
	path := in.RawPath
	if signed, ok := strings.CutPrefix(path, SignedPrefix+"/"); ok {
		path = "/" + signed
	}
	// RawPath is decoded already.
	target := url.URL{Path: path, RawQuery: in.RawQueryString}
	r, err := http.NewRequestWithContext(ctx, in.RequestContext.HTTP.Method, target.String(), strings.NewReader(string(body)))
	if err != nil {
		return nil, fmt.Errorf("read the gateway's request: %w", err)
	}
	for name, value := range in.Headers {
		r.Header.Set(name, value)
	}
	r.Host, r.RemoteAddr = in.RequestContext.DomainName, in.RequestContext.HTTP.SourceIP
	r.RequestURI = target.RequestURI()
	return r, nil
}

// recorder keeps an answer.
type recorder struct {
	header http.Header
	status int
	wrote  bool
	body   strings.Builder
}

var _ io.Writer = (*recorder)(nil)

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if !w.wrote {
		w.status, w.wrote = status, true
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// response is text where the type of the body says so; else, such as for an
// image of the page, base64.
func (w *recorder) response() events.APIGatewayV2HTTPResponse {
	out := events.APIGatewayV2HTTPResponse{StatusCode: w.status, Headers: map[string]string{}, Body: w.body.String()}
	for name := range w.header {
		out.Headers[name] = strings.Join(w.header.Values(name), ", ")
	}
	kind := w.header.Get("Content-Type")
	if !strings.HasPrefix(kind, "text/") && !strings.Contains(kind, "json") && !strings.Contains(kind, "javascript") && !strings.Contains(kind, "svg") && out.Body != "" {
		out.Body, out.IsBase64Encoded = base64.StdEncoding.EncodeToString([]byte(out.Body)), true
	}
	return out
}
