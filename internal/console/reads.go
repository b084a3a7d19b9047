package console

import (
	"net/http"

	"nightshift/internal/app"
	"nightshift/internal/outbound"
	"nightshift/internal/session"
)

func (c *call) getMe() (int, any, error) {
	role := "user"
	if c.caller.Admin {
		role = "administrator"
	}
	return http.StatusOK, meView{c.caller.Name, role, c.caller.User, c.caller.Local, c.caller.MayActAs}, nil
}

func (c *call) listSessions() (int, any, error) {
	q := c.r.URL.Query()
	f := app.Filter{}
	var err error
	f.Selector, err = selectorIn{q.Get("user"), q.Get("engine"), q.Get("endpoint"), q.Get("mode"), q.Get("dueWithin")}.selector("")
	if err != nil {
		return 0, nil, err
	}
	status, err := oneOf("status", q.Get("status"), "live", "all", string(session.Active), string(session.Ending), string(session.Ended))
	if err != nil {
		return 0, nil, err
	}
	f.Ended = status == "all" || status == string(session.Ended)
	if status != "all" && status != "live" {
		f.Status = session.Status(status)
	}
	page, err := c.app.List(c.r.Context(), c.caller.Actor, f, q.Get("cursor"))
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, sessionsView{c.lines(page.Sessions), page.Next}, nil
}

func (c *call) getSession() (int, any, error) {
	id, err := c.id()
	if err != nil {
		return 0, nil, err
	}
	story, err := c.app.Story(c.r.Context(), c.caller.Actor, id)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, c.story(story), nil
}

func (c *call) getRevocation() (int, any, error) {
	id, err := c.id()
	if err != nil {
		return 0, nil, err
	}
	r, err := c.app.Revocation(c.r.Context(), c.caller.Actor, id)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, c.revocation(r, false), nil
}

func (c *call) getPolicy() (int, any, error) {
	p, err := c.app.Policy(c.r.Context())
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, c.policy(p), nil
}

func (c *call) getUser() (int, any, error) {
	p, err := c.app.User(c.r.Context(), c.caller.Actor, c.r.PathValue("user"))
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, person(c.r.PathValue("user"), p), nil
}

func (c *call) listNotices() (int, any, error) {
	told, next, err := c.app.Notices(c.r.Context(), c.caller.Actor, c.r.URL.Query().Get("cursor"))
	if err != nil {
		return 0, nil, err
	}
	view := noticesView{Notices: []noticeView{}, Next: next}
	for _, t := range told {
		kind := string(t.Effect.Kind)
		if t.Effect.Kind == session.Notify {
			kind = string(session.Notice)
		}
		n := noticeView{ID: t.ID, At: written(t.At), Kind: kind, Reason: t.Effect.Reason, Text: t.Effect.Text,
			Session: t.Session.ID, User: t.Session.User, Engine: string(t.Session.Run.Engine)}
		if t.Effect.Before > 0 {
			n.Before = t.Effect.Before.String()
		}
		view.Notices = append(view.Notices, n)
	}
	return http.StatusOK, view, nil
}

func (c *call) listNotebooks() (int, any, error) {
	page, next, err := c.app.NotebooksOf(c.r.Context(), c.caller.Actor, c.r.URL.Query().Get("cursor"))
	if err != nil {
		return 0, nil, err
	}
	view := notebooksView{Notebooks: []notebookView{}, Next: next}
	for _, n := range page {
		v := notebookView{ID: n.ID, Endpoint: n.Endpoint, Place: n.Place, Runs: []notebookRunView{}}
		for _, s := range n.Live {
			v.Runs = append(v.Runs, notebookRunView{s.ID, s.User, s.On, string(s.Status), written(s.RunningSince)})
		}
		if m := n.Move; m.ID != "" {
			v.Move = &notebookMoveView{m.ID, m.From, m.To, m.Back, written(m.Since), m.Why, m.Tries}
		}
		view.Notebooks = append(view.Notebooks, v)
	}
	return http.StatusOK, view, nil
}

func (c *call) listEndpoints() (int, any, error) {
	drains, err := c.app.Drains(c.r.Context(), c.caller.Actor)
	if err != nil {
		return 0, nil, err
	}
	now := c.app.Now()
	view := endpointsView{Endpoints: []endpointView{}}
	for _, d := range drains {
		view.Endpoints = append(view.Endpoints, endpointView{
			ID: d.Endpoint.ID, Engine: d.Endpoint.Engine, Live: d.Live, Ending: d.Ending, Waiting: d.Waiting, OldestCause: written(d.Oldest),
			ETASeconds: seconds(d.ETA), Capacity: d.Capacity, StopsPerSecond: d.Stops,
			Watched: now.Before(d.Endpoint.Watch.Until), Draining: now.Before(d.Endpoint.Drain.Until), LastListed: written(d.Endpoint.LastListed),
		})
	}
	return http.StatusOK, view, nil
}

func (c *call) lines(sessions []session.Session) []lineView {
	lines := make([]lineView, 0, len(sessions))
	for _, s := range sessions {
		lines = append(lines, c.line(s))
	}
	return lines
}

// line is a session in short; the names are those of outbound.SessionView where
// it has them.
func (c *call) line(s session.Session) lineView {
	v := outbound.Session(s)
	l := lineView{
		ID: s.ID, Version: s.Version, User: s.User, Engine: v.Run.Engine, Endpoint: s.Run.Endpoint, Run: s.Run.ID, Kind: v.Run.Kind,
		Mode: v.Mode, Status: v.Status, Origin: v.Origin, OpenedAt: v.OpenedAt, Deadline: v.Deadline, DeadlineSource: v.DeadlineSource,
		RunningSince: v.RunningSince, Why: s.Why, CauseText: session.Because(s.End.Cause), Cost: c.lineCost(s),
	}
	if s.Status == session.Active {
		l.Survives, l.IdleDue = survives(c.app.Survives(s)), written(s.IdleDue())
	}
	if e := v.End; e != nil {
		l.Cause, l.EndedBy, l.Known, l.Asked, l.Confirmed, l.Lateness = e.Cause, e.By, e.Known, e.Asked, e.Confirmed, e.LatenessSeconds
	}
	return l
}

func survives(t session.Tri) string {
	switch t {
	case session.On:
		return "yes"
	case session.Off:
		return "no"
	case session.Unknown:
	}
	return "unknown"
}
