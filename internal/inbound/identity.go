package inbound

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"nightshift/internal/app"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// PortalSource is the Source of interactive sessions that the access portal
// names: userIdentity.credentialId of portal events.
const PortalSource = "portal"

// CenterSource is the Source of interactive sessions that an administrator's
// call names. Whether these ids are the portal's is not documented, so they are
// never compared with them.
const CenterSource = "identity-center"

// logout is a user leaving the access portal. The user who acts is the user
// concerned; credentialId is the portal session.
func logout(e *event) app.Message {
	identity := e.detail.at("userIdentity")
	user := e.user(identity.in("onBehalfOf", "userId"))
	f := e.fact(session.SignOut, e.eventID(), user, user, e.eventTime())
	if id := e.optional(identity.at("credentialId")); id != "" {
		f.Interactive = session.InteractiveSession{ID: id, Source: PortalSource}
	}
	return app.Fact{Event: f}
}

const refreshToken = "urn:ietf:params:oauth:token-type:refresh_token"

// tokenIssued is a token exchange. One that asks for a refresh token for a run
// is AWS creating a background session (S1.13). Whether the record's identity
// is the user or the service that exchanged is not documented: both are read,
// and then the user may be "".
func tokenIssued(e *event) app.Message {
	p := e.parameters()
	if e.optional(p.at("requestedTokenType")) != refreshToken {
		return ignored("CreateTokenWithIAM without a refresh token: no background session")
	}
	resource := e.optional(p.at("resource"))
	_, ref, ok := RefOfARN(resource)
	f := e.fact(session.BackgroundTokenIssued, e.eventID(), e.onBehalfOf(), e.actor(), e.eventTime())
	if !ok {
		return ignored("CreateTokenWithIAM whose resource %q is not a run", resource)
	}
	f.Run = ref
	return app.Fact{Event: f, Store: e.storeOfUser()}
}

// target is a fact about the user that the request names; who made it is the
// actor and goes on untouched.
func target(kind session.Kind, field string) rule {
	return func(e *event) app.Message {
		user := e.user(e.parameters().at(field))
		return app.Fact{Event: e.fact(kind, e.eventID(), user, e.actor(), e.eventTime())}
	}
}

// userCheck is a change of a user that may be a disabling: CloudTrail hides the
// new values, so the identity store is asked.
func userCheck(field string) rule {
	return func(e *event) app.Message {
		return app.UserCheck{EventID: e.eventID(), User: e.user(e.parameters().at(field)), At: e.past(e.eventTime())}
	}
}

// assignmentDeleted is an application taken from a user or a group.
func assignmentDeleted(e *event) app.Message {
	p := e.parameters()
	m := e.accessCheck()
	m.Application = e.text(p.at("applicationArn"))
	principal := p.at("principalId")
	if e.oneOf(p.at("principalType"), "USER", "GROUP") == "USER" {
		m.User = e.user(principal)
	} else {
		m.Group = e.id(principal, "group")
	}
	return m
}

// membershipDeleted is a member taken from a group. sso-directory names group
// and member. The identity store's public call takes only a membership id,
// which no longer resolves when we hear of it: the check then names neither a
// user nor a group, and so concerns everybody.
func membershipDeleted(e *event) app.Message {
	p := e.parameters()
	m := e.accessCheck()
	if g := p.at("groupId"); g.value != nil {
		m.Group = e.id(g, "group")
	}
	for _, n := range []node{p.at("memberId"), p.at("member").at("memberId"), p.at("userId")} {
		if inner, ok := n.value.(map[string]any); ok {
			n = node{name: n.path(), value: inner}.at("userId")
		}
		if n.value != nil && m.User == "" {
			m.User = e.user(n)
		}
	}
	if m.User == "" && m.Group == "" {
		e.text(p.at("membershipId"))
	}
	return m
}

// groupChanged is a group deleted, or changed by SCIM in a way that may have
// removed members.
func groupChanged(field string) rule {
	return func(e *event) app.Message {
		m := e.accessCheck()
		m.Group = e.id(e.parameters().at(field), "group")
		return m
	}
}

func (e *event) accessCheck() app.AccessCheck {
	return app.AccessCheck{EventID: e.eventID(), At: e.past(e.eventTime()), By: e.actor()}
}

// sessionsEnded is an administrator (or the user, in the portal) ending
// sessions of Identity Center: one fact for each run that it names. The record's shape is not documented: it is read
// wherever it can be meant, and where it does not say whose sessions, or of
// which kind, it is kept as unrecognised. It never stops work on a guess.
func sessionsEnded(e *event) app.Message {
	said := ended{users: map[string]bool{}, types: map[string]bool{}, sessions: map[string]bool{}, runs: map[workload.Ref]bool{}}
	said.read(e.parameters().value, 0)
	at, id := e.eventTime(), e.eventID()
	user := only(said.users)
	kind := said.kind()
	if user == "" || user == hidden || !name.MatchString(user) || kind == "" {
		return e.sessionsUnclear()
	}
	f := e.fact(kind, id, user, e.actor(), at)
	switch {
	case kind == session.RevokeInteractive && len(said.sessions) > 0:
		id := only(said.sessions)
		if id == "" {
			return e.sessionsUnclear() // some of the user's, and a fact names one or all
		}
		f.Interactive = session.InteractiveSession{ID: id, Source: CenterSource}
	case kind == session.RevokeBackground && len(said.sessions) > 0 && len(said.runs) == 0:
		// Some of the user's, of runs that it does not name: never all.
		return e.sessionsUnclear()
	}
	if len(said.runs) == 0 {
		return app.Fact{Event: f}
	}
	var each app.Several
	for _, f.Run = range slices.SortedFunc(maps.Keys(said.runs), func(a, b workload.Ref) int {
		return cmp.Or(cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.ID, b.ID))
	}) {
		each = append(each, app.Fact{Event: f})
	}
	if len(said.sessions) > len(said.runs) {
		// Sessions of other runs, which it does not name: those it names end.
		each = append(each, e.sessionsUnclear())
	}
	if len(each) == 1 {
		return each[0]
	}
	return each
}

// sessionsUnclear keeps what does not say which sessions have ended.
func (e *event) sessionsUnclear() app.Message {
	return e.unrecognised(call{e.detail.at("eventSource").loose(), e.detail.at("eventName").loose()})
}

// ended collects what a request that ends sessions says of them.
type ended struct {
	users, types, sessions map[string]bool
	runs                   map[workload.Ref]bool
}

// readDepth bounds how deep in a request a session is looked for.
const readDepth = 4

func (s ended) read(v any, depth int) {
	if depth > readDepth {
		return
	}
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			s.read(item, depth+1)
		}
	case map[string]any:
		for field, inner := range v {
			s.field(strings.ToLower(field), inner)
			s.read(inner, depth+1)
		}
	case string:
		if _, ref, ok := RefOfARN(v); ok {
			s.runs[ref] = true
		}
	}
}

func (s ended) field(lower string, v any) {
	if list, ok := v.([]any); ok {
		for _, item := range list {
			if text, ok := item.(string); ok {
				s.field(strings.TrimSuffix(lower, "s"), text)
			}
		}
		return
	}
	text, ok := v.(string)
	if !ok || text == "" {
		return
	}
	switch lower {
	case "userid":
		s.users[text] = true
	case "type", "sessiontype":
		s.types[strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(text))] = true
	case "sessionid", "session":
		s.sessions[text] = true
	}
}

// kind is the kind of revocation, or "" where the request does not say one. A
// run can only be named by a background session.
func (s ended) kind() session.Kind {
	background, interactive := len(s.runs) > 0, false
	for t := range s.types {
		switch strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(t, "user"), "s"), "session") {
		case "background":
			background = true
		case "interactive":
			interactive = true
		default:
			return ""
		}
	}
	switch {
	case background && !interactive:
		return session.RevokeBackground
	case interactive && !background:
		return session.RevokeInteractive
	}
	return ""
}

// only is the set's single element, or zero.
func only[T comparable](set map[T]bool) T {
	var zero T
	if len(set) != 1 {
		return zero
	}
	for v := range set {
		return v
	}
	return zero
}
