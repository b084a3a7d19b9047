// Package client asks the API for people (internal/console/openapi.json) over
// HTTP. It knows the API's routes, names and problems; it must not know AWS, the
// app, or how answers are shown. Whoever makes a Client says how its requests
// are authenticated, by the HTTP client's transport.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client asks one API.
type Client struct {
	Base   string      // before /api/, without a slash at its end
	Header http.Header // of every request
	HTTP   *http.Client
	Wait   func(context.Context, time.Duration) error // before a repetition
	Key    func() string                              // names an act, so that a repetition does nothing twice
}

// Answer is what a request was answered, as it came.
type Answer struct {
	Body []byte
	At   time.Time // the system's time, which runs fast in a local system
}

// Problem is an answer that says what is wrong (RFC 9457).
type Problem struct {
	Status  int    `json:"status"`
	Detail  string `json:"detail"`
	Field   string `json:"field"`
	Allowed string `json:"allowed"`
	Remedy  string `json:"remedy"`
}

func (p *Problem) Error() string {
	text := p.Detail
	if p.Remedy != "" {
		text = strings.TrimSuffix(text, ".") + ". " + p.Remedy
	}
	return text
}

const (
	// answerMax bounds an answer: a page of the API has at most some hundred
	// sessions. A larger one is cut, and then is no JSON.
	answerMax = 16 << 20
	// tries of a request that is answered with "too many" or "not now": the third
	// answer is the last word.
	tries = 3
	pause = time.Second
)

// Ask sends a request and reads its answer into a value, nil: into none. A body
// is sent as JSON. A request that is refused because the system is busy is
// repeated; all but GET carry a key, so that this does nothing twice. The error
// is a *Problem where the system answered.
func (c *Client) Ask(ctx context.Context, method, path string, query url.Values, body, into any) (Answer, error) {
	var sent []byte
	if body != nil {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			return Answer{}, fmt.Errorf("write the request: %w", err)
		}
	}
	address, key := c.Base+path, ""
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	if method != http.MethodGet {
		key = c.Key()
	}
	for try := 1; ; try++ {
		a, err := c.once(ctx, method, address, key, sent)
		var p *Problem
		busy := errors.As(err, &p) && (p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable)
		if busy && try < tries && c.Wait(ctx, pause) == nil {
			continue
		}
		if err == nil && into != nil {
			if json.Unmarshal(a.Body, into) != nil {
				err = fmt.Errorf("%s answers %s %s with something that is not this API's: is it a Nightshift, and of this version?", c.Base, method, path)
			}
		}
		return a, err
	}
}

func (c *Client) once(ctx context.Context, method, address, key string, sent []byte) (Answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(sent))
	if err != nil {
		return Answer{}, fmt.Errorf("write the request: %w", err)
	}
	for name := range c.Header {
		r.Header.Set(name, c.Header.Get(name))
	}
	if sent != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	resp, err := c.HTTP.Do(r)
	if err != nil {
		var why *url.Error // it repeats the whole address
		switch {
		case errors.As(err, &why) && why.Timeout():
			return Answer{}, fmt.Errorf("%s does not answer in time", c.Base)
		case why != nil:
			err = why.Err
		}
		return Answer{}, fmt.Errorf("%s cannot be reached: %w", c.Base, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read, or the error is told
	b, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	if err != nil {
		return Answer{}, fmt.Errorf("%s broke off its answer: %w", c.Base, err)
	}
	at, _ := time.Parse(time.RFC3339Nano, resp.Header.Get("Nightshift-Time")) // only answers of the API have it
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return Answer{b, at}, problemOf(resp.StatusCode, b)
	}
	return Answer{b, at}, nil
}

// problemOf reads a refusal, also one that API Gateway or a local system's door
// makes, which are no problems by form.
func problemOf(status int, body []byte) *Problem {
	p := &Problem{}
	if json.Unmarshal(body, p) != nil || p.Detail == "" {
		var other struct{ Message, Error string } // also "message": names are matched without case
		_ = json.Unmarshal(body, &other)          // what is no JSON says nothing
		p = &Problem{Detail: strings.TrimSpace(other.Message + other.Error)}
	}
	if p.Status = status; p.Detail == "" {
		p.Detail = fmt.Sprintf("it answers %d %s", status, http.StatusText(status))
	}
	return p
}
