package sim

import (
	"context"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// User is one person of a schedule.
type User struct {
	ID       string
	Portal   string    // the interactive session at the portal
	Expires  time.Time // of it
	SignedIn time.Time
	Out      bool // has signed out of it, or it was revoked
	Status   app.UserStatus
	Access   session.Tri
	standing *Cause // why the status is what it is
	removed  *Cause // why the access is off
	told     bool   // the identity store has answered that there is such a user
}

// directory stands for IAM Identity Center, the identity store and the settings
// of applications and clusters.
type directory struct {
	w     *World
	users map[string]*User
	facts map[string]session.Facts
	given map[given]bool
}

// given are facts that were answered for an endpoint and a domain.
type given struct {
	endpoint, domain string
	facts            session.Facts
}

var (
	_ app.Identity      = (*directory)(nil)
	_ app.SessionSource = (*directory)(nil)
)

// Set says what the facts of an endpoint's runs are, or of those of one domain.
func (d *directory) Set(endpoint, domain string, f session.Facts) { d.facts[endpoint+"#"+domain] = f }

// Unpropagated has identity propagation off for the domain's later runs.
func (d *directory) Unpropagated(endpoint, domain string) {
	if f, ok := d.facts[endpoint+"#"+domain]; ok {
		f.IdentityPropagation = session.Off
		d.Set(endpoint, domain, f)
	}
}

func factsKey(run workload.Run) string { return run.Endpoint + "#" + run.Domain }

// Facts answers what is set; now and then a fact cannot be read.
func (d *directory) Facts(_ context.Context, _ string, run workload.Run) (session.Facts, error) {
	f := d.facts[factsKey(run)]
	var err error
	if d.w.Faults.Throttle > 0 && !d.w.calm && d.w.rand.IntN(10) == 0 {
		f.ApplicationBackground = session.Unknown
		err = fault.Newf("simulated identity", fault.Throttled, "the application's setting cannot be read")
	}
	d.given[d.key(run, f)] = true
	return f, err
}

func (d *directory) key(run workload.Run, f session.Facts) given {
	return given{run.Endpoint, run.Domain, f}
}

// Status is the identity store's.
func (d *directory) Status(_ context.Context, user string) (app.UserStatus, error) {
	u := d.users[user]
	if u == nil {
		return app.UserDeleted, nil
	}
	u.told = u.told || u.Status != app.UserDeleted
	switch {
	case !u.told: // of somebody whom it never knew that need tell nothing (S1.10)
		u.standing.hear(d.w.Clock.Now())
	case u.Status != app.UserEnabled:
		u.standing.know(d.w.Clock.Now())
	}
	return u.Status, nil
}

// Access says whether an assignment is left; now and then that cannot be told.
func (d *directory) Access(_ context.Context, user, _ string) (session.Tri, error) {
	u := d.users[user]
	switch {
	case u == nil:
		return session.Off, nil
	case d.w.Faults.Throttle > 0 && !d.w.calm && d.w.rand.IntN(20) == 0:
		return session.Unknown, nil
	case u.Access == session.Off:
		u.removed.know(d.w.Clock.Now())
	}
	return u.Access, nil
}

// Replay gives what CloudTrail's history has.
func (d *directory) Replay(_ context.Context, after time.Time) ([][]byte, error) {
	var bodies [][]byte
	for _, e := range d.w.bus.replay(after) {
		e.cause.know(d.w.Clock.Now())
		bodies = append(bodies, e.body)
	}
	return bodies, nil
}

// Source names the portal.
func (d *directory) Source() string { return portalSource }

const portalSource = "portal"

// Live lists the portal sessions that are live.
func (d *directory) Live(context.Context) ([]app.PortalSession, bool, error) {
	var live []app.PortalSession
	for _, u := range d.w.Users {
		if !u.Out {
			live = append(live, app.PortalSession{ID: u.Portal, User: u.ID, SignedInAt: u.SignedIn, ExpiresAt: u.Expires})
		}
	}
	return live, true, nil
}
