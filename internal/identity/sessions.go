package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
)

// Sessions is an app.SessionSource on an HTTPS endpoint that lists live portal
// sessions; sessions.schema.json says what it answers.
type Sessions struct {
	source  string
	address *url.URL
	token   func(context.Context) (string, error)
	client  *http.Client
}

var _ app.SessionSource = (*Sessions)(nil)

const (
	// sessionPagesMax bounds one list; past it the list is incomplete.
	sessionPagesMax = 200
	// sessionPageBytes bounds one page; a longer one is refused.
	sessionPageBytes = 8 << 20
)

// NewSessions lists the sessions at an address. source is whose names their ids
// are; token gives the bearer token for each request, nil for none. The client is
// used without following redirects: the token is for the address only.
func NewSessions(source, address string, token func(context.Context) (string, error), client *http.Client) (*Sessions, error) {
	const op = "session source"
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || source == "" {
		return nil, fault.Newf(op, fault.Invalid, "%q of source %q is no address of an HTTPS endpoint", address, source)
	}
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Sessions{source: source, address: u, token: token, client: &own}, nil
}

// Source is whose names the ids are.
func (s *Sessions) Source() string { return s.source }

type sessionPage struct {
	Sessions *[]struct {
		ID         string    `json:"id"`
		User       string    `json:"user"`
		SignedInAt time.Time `json:"signedInAt"`
		ExpiresAt  time.Time `json:"expiresAt"`
	} `json:"sessions"`
	Total *int   `json:"total"`
	Next  string `json:"next"`
}

// Live reads every page. The list is complete only where the pages agree on how
// many sessions there are, and have them: an answer that was cut off, or is
// another document, must not sign everybody out.
func (s *Sessions) Live(ctx context.Context) (sessions []app.PortalSession, complete bool, err error) {
	token := ""
	if s.token != nil {
		if token, err = s.token(ctx); err != nil {
			return nil, false, fault.New("session source: get the token", fault.Unknown, err)
		}
	}
	seen, total, cursor := map[string]bool{}, -1, ""
	for range sessionPagesMax {
		page, err := s.page(ctx, token, cursor)
		if err != nil {
			return nil, false, err
		}
		if total >= 0 && *page.Total != total {
			return sessions, false, nil // it changed while it was read
		}
		total = *page.Total
		for _, p := range *page.Sessions {
			if p.ID == "" || p.User == "" {
				return nil, false, fault.Newf("session source", fault.Invalid, "a session without an id or a user")
			}
			if !seen[p.ID] {
				seen[p.ID] = true
				sessions = append(sessions, app.PortalSession{ID: p.ID, User: p.User, SignedInAt: p.SignedInAt, ExpiresAt: p.ExpiresAt})
			}
		}
		if cursor = page.Next; cursor == "" {
			return sessions, len(sessions) == total, nil
		}
	}
	return sessions, false, nil
}

func (s *Sessions) page(ctx context.Context, token, cursor string) (sessionPage, error) {
	const op = "session source: list sessions"
	address := *s.address
	if cursor != "" {
		q := address.Query()
		q.Set("cursor", cursor)
		address.RawQuery = q.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return sessionPage{}, fault.New(op, fault.Invalid, err)
	}
	r.Header.Set("Accept", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return sessionPage{}, fault.New(op, fault.Unknown, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return sessionPage{}, fault.Newf(op, statusKind(answer.StatusCode), "it answered %s", answer.Status)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, sessionPageBytes+1))
	if err != nil {
		return sessionPage{}, fault.New(op, fault.Unknown, err)
	}
	if len(body) > sessionPageBytes {
		return sessionPage{}, fault.Newf(op, fault.Invalid, "a page has more than %d bytes", sessionPageBytes)
	}
	var page sessionPage
	if err := json.Unmarshal(body, &page); err != nil {
		return sessionPage{}, fault.New(op, fault.Invalid, fmt.Errorf("the answer is not a page: %w", withoutBody(err)))
	}
	if page.Sessions == nil || page.Total == nil || *page.Total < 0 {
		return sessionPage{}, fault.Newf(op, fault.Invalid, "the answer is not a page: it lacks sessions or total")
	}
	return page, nil
}

// withoutBody keeps what a source answered out of error messages: it may be
// anything.
func withoutBody(err error) error {
	var typed *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &typed):
		return fmt.Errorf("field %s is a %s", typed.Field, typed.Value)
	case errors.As(err, &syntax):
		return fmt.Errorf("it is no JSON at byte %d", syntax.Offset)
	}
	return errors.New("a field cannot be read")
}

func statusKind(status int) fault.Kind {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fault.Denied
	case http.StatusTooManyRequests:
		return fault.Throttled
	case http.StatusNotFound:
		return fault.NotFound
	}
	return fault.Unknown
}
