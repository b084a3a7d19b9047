package livy

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"nightshift/internal/workload"
)

// kind is a collection of the API.
type kind string

const (
	sessions kind = "sessions"
	batches  kind = "batches"
)

// The forms of a run's id, and what begins the names that Nightshift gives.
const (
	byName  = "name/"
	byApp   = "app/"
	byBatch = "batch/"
	ours    = "ns-"
)

func kindOf(runID string) kind {
	if strings.HasPrefix(runID, byBatch) {
		return batches
	}
	return sessions
}

// session is what is used of Livy's session and batch objects. There is no time
// in either, and before 0.8.0 no heartbeat (nil), although a session may have one.
type session struct {
	ID        int    `json:"id"`
	Name      string `json:"name"`
	AppID     string `json:"appId"`
	Owner     string `json:"owner"`
	ProxyUser string `json:"proxyUser"`
	State     string `json:"state"`
	Heartbeat *int   `json:"heartbeatTimeoutInSecond"`
}

// identify gives the run's id, "" where nothing lasting names it: the name that
// Nightshift gave, else the application's id, else the name somebody gave with
// the number and whose it is. A session that is only starting gets its application's id soon,
// and is not named otherwise before: its id must not change.
func (s session) identify(k kind) string {
	switch {
	case k == batches && s.AppID != "":
		return byBatch + s.AppID
	case k == batches:
		return ""
	case strings.HasPrefix(s.Name, ours):
		return byName + s.Name
	case s.AppID != "":
		return byApp + s.AppID
	case s.Name != "" && state(s.State) != workload.Pending:
		return s.numbered()
	}
	return ""
}

// numbered names a session that has no application's id. A server that is started
// again gives numbers, and its users names, a second time: so that nobody else's
// session is taken for this one, whose it is belongs to its id.
func (s session) numbered() string {
	return fmt.Sprintf("%s%s#%d@%s", byName, s.Name, s.ID, cmp.Or(s.ProxyUser, s.Owner))
}

// is says whether the session is the run. One that was named without an
// application's id is known again when it has got one.
func (s session) is(runID string, k kind) bool {
	return s.identify(k) == runID || k == sessions && s.Name != "" && s.numbered() == runID
}

// looked says whether the session's statements may be read and matter: it is
// idle, and reading them is not the heartbeat that keeps it alive. Where the
// server does not tell of heartbeats they are read: at worst a session that its
// client has left lives until its idle limit, which reading does not move; unread,
// one with short statements would be called idle and stopped in its user's work.
func (s session) looked() bool { return s.State == "idle" && s.quiet() }

// quiet says whether nothing of the session depends on who reads its statements.
func (s session) quiet() bool { return s.Heartbeat == nil || *s.Heartbeat == 0 }

// observe says what was seen. An owner is the user only where Livy was told one:
// without authentication the server's own name stands there, and with the
// credentials of a cluster the name in those.
func (e *Engine) observe(s session, id string, k kind, asked time.Time) workload.Observation {
	o := workload.Observation{
		Run:  workload.Run{Engine: workload.Livy, Endpoint: e.endpoint, ID: id, Kind: workload.LivySession, Application: workload.Spark},
		Name: s.Name, State: state(s.State), At: asked, User: s.ProxyUser,
	}
	if o.Name == "" {
		o.Name = s.AppID
	}
	if o.User == "" && s.Owner != "livy" && e.ask == nil {
		o.User = s.Owner
	}
	if stamp, ok := strings.CutPrefix(s.Name, ours); ok && k == sessions {
		o.Stamp = stamp
	}
	if k == batches {
		o.Run.Kind = workload.LivyBatch
	}
	if strings.HasPrefix(id, byApp) && s.Name != "" {
		o.Was = s.numbered()
	}
	o.Remains = s.remains(k)
	switch s.State {
	case "busy", "idle", "not_started", "starting", "success":
	default:
		o.Detail = "state " + s.State
	}
	return o
}

// remains says whether the session's driver may live although the session is over.
// Livy says "error" where it could not reach the driver, and tries to kill its
// application then, and where the interpreter inside a living driver has died, which
// it leaves running until somebody deletes the session.
func (s session) remains(k kind) bool { return k == sessions && s.State == "error" }

// state normalises Livy's word. One that is not known is no reason to believe
// that a session is over. A session that somebody deleted is not dead but gone.
func state(word string) workload.State {
	switch word {
	case "not_started", "starting", "recovering":
		return workload.Pending
	case "idle":
		return workload.Idle
	case "shutting_down":
		return workload.Stopping
	case "success":
		return workload.Succeeded
	case "killed":
		return workload.Stopped
	case "dead", "error":
		return workload.Failed
	}
	return workload.Running
}
