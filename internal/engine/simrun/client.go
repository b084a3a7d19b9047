package simrun

import (
	"io"
	"net/http"
)

// Client is the HTTP client for an AWS SDK that talks to a simulator. The SDK
// closes a request's body as soon as the answer begins, and its body then
// answers WriteTo with io.EOF, which net/http takes for a failed write and cuts
// the connection, in the middle of the answer. Only a server as near as this one
// answers fast enough for that. Hiding WriteTo makes net/http use Read, where
// io.EOF means the end.
func Client() *http.Client { return ClientOver(&http.Transport{MaxIdleConnsPerHost: 16}) }

// ClientOver is Client over a transport of the caller's.
func ClientOver(t *http.Transport) *http.Client {
	return &http.Client{Transport: plainBodies{t}}
}

type plainBodies struct{ next http.RoundTripper }

func (p plainBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r = r.Clone(r.Context())
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return p.next.RoundTrip(r)
}

// CloseIdleConnections lets a server that is closing go.
func (p plainBodies) CloseIdleConnections() { p.next.(*http.Transport).CloseIdleConnections() }
