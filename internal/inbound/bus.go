package inbound

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"nightshift/internal/app"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// ownSource is the source of the events on our own bus: what a portal, an
// identity provider's webhook or a notebook extension tells us. Who may put
// them there is the bus's policy to say. Fields that are not in their schema
// are refused: a misspelt one would otherwise be a fact lost in silence.
const ownSource = "nightshift"

// spoken are the detail-types of what we say ourselves on that bus.
var spoken = map[string]bool{
	"Nightshift Session Opened": true, "Nightshift Session Ending": true, "Nightshift Session Ended": true,
	"Nightshift Notice": true, "Nightshift Alert": true, "Nightshift Orphan Found": true,
}

// kindMax bounds a detail-type that names a kind of unknown events; EventBridge
// itself takes no longer one.
const kindMax = 128

// misspelt keeps an event of our own source whose detail-type is none that we
// know: its sender meant something, and would else not be heard in silence.
func (e *event) misspelt(detailType string) app.Message {
	unprintable := func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }
	if len(detailType) > kindMax || strings.ContainsFunc(detailType, unprintable) {
		detailType = "unreadable"
	}
	return app.Unrecognised{Kind: ownSource + "/" + detailType, Body: e.body, At: e.received.UTC()}
}

var (
	userDisabled = aboutUser(session.UserDisabled)
	userEnabled  = aboutUser(session.UserEnabled)
	userDeleted  = aboutUser(session.UserDeleted)
)

// aboutUser is a fact that names a user and nothing else.
func aboutUser(kind session.Kind) rule {
	return func(e *event) app.Message {
		e.fields(e.detail, "user", "at", "by", "id")
		return app.Fact{Event: e.said(kind, e.user(e.detail.at("user")))}
	}
}

func signedOut(e *event) app.Message {
	e.fields(e.detail, "user", "at", "by", "id", "interactiveSession")
	f := e.said(session.SignOut, e.user(e.detail.at("user")))
	f.Interactive = e.interactive(e.detail.at("interactiveSession"))
	if f.By == "" {
		f.By = f.User
	}
	return app.Fact{Event: f}
}

// revoked is an administrator ending a user's interactive session or sessions,
// or background session or sessions.
func revoked(e *event) app.Message {
	d := e.detail
	e.fields(d, "user", "at", "by", "id", "scope", "interactiveSession", "run")
	kind, other := session.RevokeInteractive, d.at("run")
	if e.oneOf(d.at("scope"), "interactive", "background") == "background" {
		kind, other = session.RevokeBackground, d.at("interactiveSession")
	}
	if other.value != nil {
		e.failf(other, "it does not belong to a revocation whose scope is %q", d.at("scope").loose())
	}
	f := e.said(kind, e.user(d.at("user")))
	f.Interactive = e.interactive(d.at("interactiveSession"))
	f.Run = e.ref(d.at("run"))
	return app.Fact{Event: f}
}

// accessRemoved is believed without another check: its sender says by what
// check no other assignment gives the access.
func accessRemoved(e *event) app.Message {
	e.fields(e.detail, "user", "at", "by", "id", "evidence")
	f := e.said(session.AccessRemoved, e.user(e.detail.at("user")))
	f.Evidence = e.text(e.detail.at("evidence"))
	return app.Fact{Event: f}
}

func notebookClosed(e *event) app.Message {
	e.fields(e.detail, "user", "at", "by", "id", "interactiveSession", "run")
	f := e.said(session.NotebookClosed, e.user(e.detail.at("user")))
	f.Interactive = e.interactive(e.detail.at("interactiveSession"))
	f.Run = e.ref(e.detail.at("run"))
	return app.Fact{Event: f}
}

// stopRequested names who asks: a stop without a name would be no evidence.
func stopRequested(e *event) app.Message {
	e.fields(e.detail, "session", "run", "at", "by", "id")
	f := e.said(session.StopRequested, "")
	f.By = e.text(e.detail.at("by"))
	f.Run = e.sessionOrRun()
	return app.Fact{Event: f}
}

func kernelStopped(e *event) app.Message {
	e.fields(e.detail, "session", "run", "user", "at", "by", "id")
	user := ""
	if n := e.detail.at("user"); n.value != nil {
		user = e.user(n)
	}
	f := e.said(session.KernelStopped, user)
	f.Run = e.sessionOrRun()
	return app.Fact{Event: f}
}

// said is what all our own events have: at, by, id.
func (e *event) said(kind session.Kind, user string) session.Event {
	d := e.detail
	id := e.root.at("id")
	if own := d.at("id"); own.value != nil {
		id = own
	}
	by := e.optional(d.at("by"))
	if e.err == nil && strings.Contains(by, "@") {
		e.failf(d.at("by"), "it must not be an e-mail address; name a user id or a system")
	}
	return e.fact(kind, e.text(id), user, by, e.clock(d.at("at")))
}

// fields refuses a field that is not allowed.
func (e *event) fields(n node, allowed ...string) {
	fields, _ := n.value.(map[string]any)
	unknown := make([]string, 0, len(fields))
	for f := range fields {
		if !slices.Contains(allowed, f) {
			unknown = append(unknown, f)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		e.failf(n.at(unknown[0]), "there is no such field; allowed are %s", strings.Join(allowed, ", "))
	}
}

func (e *event) interactive(n node) session.InteractiveSession {
	if n.value == nil && n.fault == nil {
		return session.InteractiveSession{}
	}
	if !e.object(n) {
		return session.InteractiveSession{}
	}
	e.fields(n, "id", "source", "expiresAt")
	i := session.InteractiveSession{ID: e.text(n.at("id")), Source: e.text(n.at("source"))}
	if x := n.at("expiresAt"); x.value != nil {
		i.ExpiresAt = e.clock(x)
	}
	return i
}

// endpoint is how endpoints are written: "<api>/<account or cluster>[/<region>]".
var endpoint = regexp.MustCompile(`^[a-z][a-z-]*(/[A-Za-z0-9._:-]+){1,2}$`)

func (e *event) ref(n node) workload.Ref {
	if n.value == nil && n.fault == nil || !e.object(n) {
		return workload.Ref{}
	}
	e.fields(n, "endpoint", "id")
	r := workload.Ref{Endpoint: e.text(n.at("endpoint")), ID: e.text(n.at("id"))}
	if e.err == nil && !endpoint.MatchString(r.Endpoint) {
		e.failf(n.at("endpoint"), `%q is not an endpoint; it is written "<api>/<account or cluster>[/<region>]"`, r.Endpoint)
	}
	return r.Canonical()
}

// sessionOrRun requires exactly one of session and run.
func (e *event) sessionOrRun() workload.Ref {
	s, r := e.detail.at("session"), e.detail.at("run")
	switch {
	case s.value != nil && r.value != nil:
		e.failf(r, "it must not be given together with %s", s.path())
	case s.value != nil:
		return workload.Ref{Endpoint: SessionRef, ID: e.id(s, "session")}
	case r.value == nil:
		e.failf(s, "it is missing; either it or %s must be given", r.path())
	}
	return e.ref(r)
}
