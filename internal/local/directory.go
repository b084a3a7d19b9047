package local

import (
	"context"
	"fmt"
	"sync"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// directory stands for IAM Identity Center, the identity store and what is
// configured about endpoints. It implements app.Identity.
type directory struct {
	bus *bus

	mu       sync.Mutex
	facts    map[string]session.Facts // by endpoint, or endpoint + "#" + domain
	statuses map[string]app.UserStatus
	access   map[string]session.Tri
	names    map[string]string // ids by user name
	silent   bool
}

func newDirectory(b *bus) *directory {
	return &directory{bus: b, facts: map[string]session.Facts{}, statuses: map[string]app.UserStatus{}, access: map[string]session.Tri{}, names: map[string]string{}}
}

// SetFacts says what a mode is decided from, for an endpoint's runs, or for
// those of one SageMaker domain.
func (d *directory) SetFacts(endpoint, domain string, f session.Facts) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.facts[endpoint+"#"+domain] = f
}

// Facts answers for the run's domain, else for its endpoint.
func (d *directory) Facts(_ context.Context, _ string, run workload.Run) (session.Facts, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, key := range []string{run.Endpoint + "#" + run.Domain, run.Endpoint + "#"} {
		if f, ok := d.facts[key]; ok {
			return f, nil
		}
	}
	return session.Facts{}, fmt.Errorf("nothing is configured about endpoint %s", run.Endpoint)
}

// SetStatus says what the identity store knows of a user.
func (d *directory) SetStatus(user string, status app.UserStatus) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.statuses[user] = status
}

// Status answers ENABLED unless said otherwise.
func (d *directory) Status(_ context.Context, user string) (app.UserStatus, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s, ok := d.statuses[user]; ok {
		return s, nil
	}
	return app.UserEnabled, nil
}

// Access answers On unless said otherwise.
func (d *directory) Access(_ context.Context, user, _ string) (session.Tri, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a, ok := d.access[user]; ok {
		return a, nil
	}
	return session.On, nil
}

// Replay gives what CloudTrail's history holds, lost on the way or not.
func (d *directory) Replay(_ context.Context, after time.Time) ([][]byte, error) {
	return d.bus.since(after), nil
}
