package local

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"sync"
)

// PortalSource is whose names the portal's session ids are. They are not those
// of CloudTrail's sign-out events, as with a portal of somebody's own.
const PortalSource = "idp"

// Portal stands for a sign-in portal that lists its live sessions over HTTP, in
// the form of internal/identity/sessions.schema.json.
type Portal struct {
	mu   sync.Mutex
	live map[string]string // session id to user
}

// SignIn begins a session; SignOut ends it, and tells nobody.
func (p *Portal) SignIn(id, user string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live == nil {
		p.live = map[string]string{}
	}
	p.live[id] = user
}

// SignOut ends a session.
func (p *Portal) SignOut(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.live, id)
}

// ServeHTTP lists every live session on one page.
func (p *Portal) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	type entry struct {
		ID   string `json:"id"`
		User string `json:"user"`
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]entry, 0, len(p.live))
	for _, id := range slices.Sorted(maps.Keys(p.live)) {
		list = append(list, entry{id, p.live[id]})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"sessions": list, "total": len(list)}) // the caller has gone; there is nobody to tell
}
