package livy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

const (
	// driverLife is how long a Spark driver lives on that has lost its server
	// (livy.rsc.server.idle-timeout).
	driverLife = 10 * time.Minute
	// memoryLife is how old a look may be for its sessions' absence to mean
	// something: in a longer time all of them may well have ended.
	memoryLife = 10 * time.Minute
)

// memory is what an engine remembers of its server from look to look, to see
// that it was restarted. Without recovery, Livy's default, a restarted server has
// forgotten its sessions and counts from 0 again, while their drivers live on: its
// empty list does not say that they ended (S2.1). Nothing in Livy's API tells when
// the server started. A process that never saw the server before the restart
// cannot know of it.
//
// A server that still knows one session of the last look was not restarted. Else
// it was where a number is given a second time, or where all are missing that
// lived and that is not explained: by our stop, by their being idle (Livy's own
// limit, a notebook that was closed), without a break in the connection.
type memory struct {
	mu        sync.Mutex
	looks     int             // counts what changed known: looks that overlap would show a change backwards
	at        time.Time       // of the last complete look; zero: none
	known     map[int]glimpse // the sessions there were then, by number
	next      int             // greater than every number seen
	broken    bool            // since then the server did not answer
	restarted time.Time       // when that was first seen; zero: never
	ended     []string        // runs that we saw stopped since then
}

// glimpse is what is remembered of one session.
type glimpse struct {
	name, app string
	lives     bool
	explained bool // its being missing would be no surprise
}

func glimpsed(s session) glimpse {
	st := state(s.State)
	return glimpse{name: s.Name, app: s.AppID, lives: !st.Over(), explained: st == workload.Idle || st == workload.Stopping}
}

// heard notes whether the server answered at all: our own impatience, and
// credentials that we were not given, say nothing of it.
func (m *memory) heard(ctx context.Context, res *http.Response, err error) {
	var late net.Error
	silent := err != nil && ctx.Err() == nil && fault.KindOf(err) == fault.Unknown && (!errors.As(err, &late) || !late.Timeout())
	if !silent && (err != nil || res.StatusCode != http.StatusBadGateway && res.StatusCode != http.StatusServiceUnavailable) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = true
}

// look begins a look at the sessions; saw wants its answer.
func (m *memory) look() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.looks
}

// saw takes a complete list of the sessions, unless the memory changed while it
// was read.
func (m *memory) saw(all []session, now time.Time, look int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if look != m.looks {
		return
	}
	m.looks++
	if m.anew(all, now) {
		m.restarted, m.next, m.ended = now, 0, nil
	}
	m.known = map[int]glimpse{}
	for _, s := range all {
		m.known[s.ID] = glimpsed(s)
		m.next = max(m.next, s.ID+1)
	}
	m.at, m.broken = now, false
}

// anew says whether a list is that of another server process than the last.
func (m *memory) anew(all []session, now time.Time) bool {
	again := false
	for _, s := range all {
		old, there := m.known[s.ID]
		switch nameless := s.Name == "" && s.AppID == ""; {
		case there && nameless:
		case there && old.name == s.Name && (old.app == "" || old.app == s.AppID):
			return false
		case s.ID < m.next:
			again = true
		}
	}
	if again || now.Sub(m.at) > memoryLife {
		return again
	}
	for number, old := range m.known {
		missing := !slices.ContainsFunc(all, func(s session) bool { return s.ID == number })
		if missing && old.lives && (m.broken || !old.explained) {
			return true
		}
	}
	return false
}

// began takes a session that the server has just made.
func (m *memory) began(s session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known != nil && s.Name != "" {
		m.looks++
		m.known[s.ID] = glimpsed(s)
		m.next = max(m.next, s.ID+1)
		m.ended = slices.DeleteFunc(m.ended, func(run string) bool { return run == byName+s.Name })
	}
}

// stopping takes a session that is about to be deleted.
func (m *memory) stopping(k kind, number int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if g, there := m.known[number]; there && k == sessions {
		g.explained = true
		m.known[number] = g
	}
}

// stopped takes a session that the server said was deleted.
func (m *memory) stopped(k kind, number int, run string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k != sessions {
		return
	}
	m.looks++
	delete(m.known, number)
	if m.doubtful(now) {
		m.ended = append(m.ended, run)
	}
}

// doubt says until when a session's absence proves nothing, zero where it does,
// and which runs are gone all the same.
func (m *memory) doubt(now time.Time) (until time.Time, stopped []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.doubtful(now) {
		return time.Time{}, nil
	}
	return m.restarted.Add(driverLife), append(stopped, m.ended...)
}

func (m *memory) doubtful(now time.Time) bool {
	return !m.restarted.IsZero() && now.Sub(m.restarted) < driverLife
}
