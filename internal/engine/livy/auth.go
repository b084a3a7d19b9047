package livy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// renewBefore is how long before they expire credentials are not used any more.
	renewBefore = time.Minute
	// refreshAfter is how old credentials must be for a refusal to be blamed on
	// them. Younger ones are good: what was refused is the request, and asking for
	// others each time would exhaust who gives them (EMR: 0.5 requests a second).
	refreshAfter = 10 * time.Second
	// keptWithout is how long credentials are kept whose end is not told.
	keptWithout = 5 * time.Minute
	// drainMax is how much of a refusal is read so that its connection can be used
	// again.
	drainMax = 64 << 10
)

// Credentials gives a user name and a password for the server, and when they
// expire; a zero time: not told. An error keeps its fault kind.
type Credentials func(ctx context.Context) (user, password string, expires time.Time, err error)

// WithCredentials presents credentials with each request, as HTTP Basic. They
// are kept until a minute before they expire; where the server refuses them all
// the same (403, or 401), they are asked for anew and the request is made once
// more. They are sent to the server's own host only, whatever it redirects to.
//
// The owner that such a server shows is the name in somebody's credentials, and
// not a user's.
func WithCredentials(ask Credentials) Option { return func(e *Engine) { e.ask = ask } }

// WithDoAs says in each request on whose behalf it is made, the doAs parameter
// of Livy: a superuser or one who may modify others' sessions. A new session
// that names its own proxyUser is asked for without it, since doAs would win.
func WithDoAs(user string) Option { return func(e *Engine) { e.doAs = user } }

// Client makes an HTTP client for Livy servers. Given the certificates of
// authorities in PEM form, only servers that these vouch for are trusted, and
// not those of the system: a cluster's authority is usually its own. timeout
// bounds one request.
func Client(timeout time.Duration, authorities []byte) (*http.Client, error) {
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("livy: the process's default transport is not one of net/http")
	}
	transport = transport.Clone()
	if len(authorities) > 0 {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(authorities) {
			return nil, errors.New("livy: there is no certificate in the PEM text of the authorities")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Timeout: timeout, Transport: transport}, nil
}

// authenticated gives a client that presents credentials at base.
func authenticated(client *http.Client, base string, ask Credentials, now func() time.Time) *http.Client {
	c := *client
	b := &basic{next: c.Transport, ask: ask, now: now}
	if b.next == nil {
		b.next = http.DefaultTransport
	}
	if u, err := url.Parse(base); err == nil { // one that cannot be read fails with the first request
		b.scheme, b.host = u.Scheme, u.Host
	}
	c.Transport = b
	return &c
}

// basic is an http.RoundTripper that authenticates requests to one host.
type basic struct {
	next         http.RoundTripper
	scheme, host string
	ask          Credentials
	now          func() time.Time

	mu   sync.Mutex // held while asking: of many requests one asks
	last issued
}

type issued struct {
	user, password string
	at             time.Time // when they were asked for; zero: never
	until          time.Time
}

// RoundTrip makes a request with credentials, at most twice.
func (b *basic) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != b.scheme || !strings.EqualFold(r.URL.Host, b.host) {
		return b.next.RoundTrip(r)
	}
	used, err := b.current(r.Context(), issued{})
	if err != nil {
		return nil, closed(r, err)
	}
	res, err := b.next.RoundTrip(signed(r, used))
	repeatable := r.Body == nil || r.GetBody != nil
	if err != nil || res.StatusCode != http.StatusForbidden && res.StatusCode != http.StatusUnauthorized ||
		!repeatable || b.now().Sub(used.at) < refreshAfter {
		return res, err
	}
	fresh, err := b.current(r.Context(), used)
	if err != nil {
		return nil, errors.Join(err, res.Body.Close())
	}
	again := signed(r, fresh)
	if r.GetBody != nil {
		if again.Body, err = r.GetBody(); err != nil {
			return res, nil //nolint:nilerr // the refusal stands: there is nothing to send again
		}
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, drainMax))
	_ = res.Body.Close() // it was answered: nothing of it is used any more
	return b.next.RoundTrip(again)
}

// signed is the request with credentials; a RoundTripper must not change the
// caller's.
func signed(r *http.Request, with issued) *http.Request {
	r = r.Clone(r.Context())
	r.SetBasicAuth(with.user, with.password)
	return r
}

func closed(r *http.Request, err error) error {
	if r.Body != nil {
		return errors.Join(err, r.Body.Close())
	}
	return err
}

// current gives credentials to use now, and others than the refused ones.
func (b *basic) current(ctx context.Context, refused issued) (issued, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if !b.last.at.IsZero() && now.Before(b.last.until) && (refused.at.IsZero() || b.last != refused) {
		return b.last, nil
	}
	user, password, expires, err := b.ask(ctx)
	if err != nil {
		return issued{}, err
	}
	until := expires.Add(-renewBefore)
	if expires.IsZero() {
		until = now.Add(keptWithout)
	}
	b.last = issued{user: user, password: password, at: now, until: until}
	return b.last, nil
}
