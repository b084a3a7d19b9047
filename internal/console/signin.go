package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"nightshift/internal/fault"
)

// SignIn is how a person signs in to the page: at the identity provider whose
// tokens the API takes, by the authorization code flow with PKCE (RFC 6749 §4.1,
// RFC 7636) as a public client. The page never speaks to the provider itself: a
// browser goes there and comes back with a code, and the console changes the code
// for a token, so that the page needs no other host in its security policy.
type SignIn struct {
	// Issuer is the provider (OpenID Connect Discovery 1.0); "": there is none, and
	// the page takes a token that its reader has.
	Issuer string
	// ClientID is what the page is registered as there.
	ClientID string
	// Audience is for whom a token must be. Where it is ClientID, the ID token
	// is one; else the access token has to be.
	Audience string
	// HTTP asks the provider; nil is the default client.
	HTTP *http.Client

	mu    sync.Mutex
	known provider
	until time.Time
}

// provider is what a provider says of itself (OpenID Connect Discovery 1.0 §3).
type provider struct {
	Issuer        string `json:"issuer"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
}

// signInPath is beside /api/, whose requests API Gateway wants a token of.
const signInPath = "/signin"

const (
	// providerKept is how long what a provider says of itself is believed.
	providerKept = time.Hour
	// providerPatience is less than what API Gateway allows a request.
	providerPatience = 10 * time.Second
	// providerMost is the largest answer that is read.
	providerMost = 256 << 10
)

// signInView tells the page where to go; without authorize there is nowhere.
type signInView struct {
	Authorize string `json:"authorize,omitempty"`
	ClientID  string `json:"clientId,omitempty"`
	Scope     string `json:"scope,omitempty"`
}

func (c *call) getSignIn() (int, any, error) {
	s := c.site.SignIn
	if s == nil || s.Issuer == "" || s.ClientID == "" {
		return http.StatusOK, signInView{}, nil
	}
	p, err := s.provider(c.r.Context(), c.app.Now())
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, signInView{p.Authorization, s.ClientID, "openid profile"}, nil
}

type codeInput struct {
	Code        string `json:"code"`
	Verifier    string `json:"verifier"`
	RedirectURI string `json:"redirectUri"`
}

type tokenView struct {
	Token     string `json:"token"`
	ExpiresIn int64  `json:"expiresInSeconds,omitempty"`
}

// changeCode changes the code that a browser came back with for a token.
func (c *call) changeCode() (int, any, error) {
	s := c.site.SignIn
	if s == nil || s.Issuer == "" || s.ClientID == "" {
		return 0, nil, &refused{problem{Status: http.StatusNotFound, Detail: "no identity provider is set; sign in with a token"}}
	}
	var in codeInput
	if err := c.into(&in); err != nil {
		return 0, nil, err
	}
	for _, f := range []struct{ name, value string }{{"code", in.Code}, {"verifier", in.Verifier}, {"redirectUri", in.RedirectURI}} {
		if f.value == "" || len(f.value) > 4096 {
			return 0, nil, badField(f.name, "1 to 4096 characters, as the sign-in made them")
		}
	}
	p, err := s.provider(c.r.Context(), c.app.Now())
	if err != nil {
		return 0, nil, err
	}
	v, err := s.change(c.r.Context(), p.Token, in)
	return http.StatusOK, v, err
}

// provider is what the provider says of itself, asked once an hour.
func (s *SignIn) provider(ctx context.Context, now time.Time) (provider, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.until) {
		return s.known, nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(s.Issuer, "/")+"/.well-known/openid-configuration", nil)
	if err != nil {
		return provider{}, fault.New("console: find the identity provider", fault.Unknown, err)
	}
	var p provider
	status, err := s.ask(r, &p)
	switch {
	case err != nil:
	case status != http.StatusOK:
		err = fmt.Errorf("it answers %d", status)
	case p.Issuer != s.Issuer: // as the standard demands: it could be another's
		err = fmt.Errorf("it calls itself %q", p.Issuer)
	default:
		err = errors.Join(secure(p.Authorization), secure(p.Token))
	}
	if err != nil {
		return provider{}, fault.New("console: find the identity provider "+s.Issuer, fault.Unknown, err)
	}
	s.known, s.until = p, now.Add(providerKept)
	return p, nil
}

// secure refuses an address that a code or a token must not be sent to.
func secure(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme != "https" && (u.Scheme != "http" || ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("it names %q, which is not https", address)
	}
	return nil
}

// change asks the token endpoint. What the provider refuses (RFC 6749 §5.2) is
// said in its words: they are for whoever signs in.
func (s *SignIn) change(ctx context.Context, endpoint string, in codeInput) (tokenView, error) {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {in.Code}, "redirect_uri": {in.RedirectURI}, "client_id": {s.ClientID}, "code_verifier": {in.Verifier}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return tokenView{}, fault.New("console: sign in", fault.Unknown, err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var out struct {
		AccessToken string `json:"access_token"`
		IDToken     string `json:"id_token"`
		ExpiresIn   int64  `json:"expires_in"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	status, err := s.ask(r, &out)
	if err != nil {
		return tokenView{}, fault.New("console: sign in at "+s.Issuer, fault.Unknown, err)
	}
	token := out.AccessToken
	if s.Audience == s.ClientID {
		token = out.IDToken
	}
	switch {
	case status == http.StatusOK && token != "":
		return tokenView{token, out.ExpiresIn}, nil
	case status == http.StatusOK:
		return tokenView{}, &refused{problem{Status: http.StatusUnprocessableEntity, Detail: "the identity provider gave no token for " + s.Audience,
			Remedy: "An administrator must let its client give one."}}
	case status >= 500 || status == http.StatusTooManyRequests:
		return tokenView{}, fault.Newf("console: sign in", fault.Unknown, "%s answers %d", s.Issuer, status)
	}
	said := out.Error
	if out.Description != "" {
		said = out.Description
	}
	return tokenView{}, &refused{problem{Status: http.StatusUnprocessableEntity, Detail: "the identity provider refused: " + said, Remedy: "Sign in again."}}
}

// ask sends a request and reads the JSON of its answer, whatever its status.
func (s *SignIn) ask(r *http.Request, into any) (int, error) {
	ctx, stop := context.WithTimeout(r.Context(), providerPatience)
	defer stop()
	client := s.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	r.Header.Set("Accept", "application/json")
	answer, err := client.Do(r.WithContext(ctx))
	if err != nil {
		return 0, err
	}
	defer func() { _ = answer.Body.Close() }() // it was read
	body, err := io.ReadAll(io.LimitReader(answer.Body, providerMost))
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(body, into); err != nil && answer.StatusCode == http.StatusOK {
		return 0, fmt.Errorf("its answer cannot be read: %w", err)
	}
	return answer.StatusCode, nil
}
