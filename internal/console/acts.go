package console

import (
	"net/http"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/session"
)

func (c *call) stopSession() (int, any, error) {
	var in struct {
		Why string `json:"why"`
	}
	id, e1 := c.id()
	act, e2 := c.acting(&in, &in.Why)
	if err := first(e1, e2); err != nil {
		return 0, nil, err
	}
	done, err := c.app.Stop(c.r.Context(), act, id)
	if err != nil {
		return 0, nil, err
	}
	s := done.Session
	text := "The run is asked to stop; the session has ended when it is seen stopped."
	if s.Status == session.Ended {
		text = "The session has ended: there is nothing left to stop."
	}
	return http.StatusAccepted, actedView{done.ID, c.line(s), text, c.awsSession(s)}, nil
}

// acting reads a body and who asks for it, and gives the act a key where its
// caller gave none.
func (c *call) acting(body any, why *string) (app.Act, error) {
	if err := c.into(body); err != nil {
		return app.Act{}, err
	}
	return c.act(*why)
}

func (c *call) extendSession() (int, any, error) {
	var in struct {
		Until string `json:"until"`
		By    string `json:"by"`
		Why   string `json:"why"`
	}
	id, e1 := c.id()
	act, e2 := c.acting(&in, &in.Why)
	if err := first(e1, e2); err != nil {
		return 0, nil, err
	}
	until, by, err := either("by", in.Until, in.By)
	if err != nil {
		return 0, nil, err
	}
	done, err := c.app.Extend(c.r.Context(), act, id, until, by)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, actedView{done.ID, c.line(done.Session), "The session ends at " + written(done.Session.Deadline) + " at the latest.", nil}, nil
}

// restartSession starts the run of a session that has ended again; the answer
// names the session that follows it, which opens in a moment. A preview says what
// would be started.
func (c *call) restartSession() (int, any, error) {
	var in struct {
		Why     string `json:"why"`
		Preview bool   `json:"preview"`
	}
	id, e1 := c.id()
	act, e2 := c.acting(&in, &in.Why)
	if err := first(e1, e2); err != nil {
		return 0, nil, err
	}
	if in.Preview {
		r, err := c.app.Restarting(c.r.Context(), act.Who, id)
		if err != nil {
			return 0, nil, err
		}
		return http.StatusOK, c.restarting(r), nil
	}
	r, err := c.app.Restart(c.r.Context(), act, id)
	if err != nil {
		return 0, nil, err
	}
	text := "The run is started again, under session " + r.Session + "."
	switch {
	case r.Execution == "":
		text = "The run was started again before, under session " + r.Session + "."
	case r.Checkpoint != "":
		text = "The run is started again from " + r.Checkpoint + ", under session " + r.Session + "."
	}
	return http.StatusAccepted, restartedView{ID: r.ID, Line: c.line(r.Of), Next: r.Session, Attempt: r.Attempt, Checkpoint: r.Checkpoint, Text: text}, nil
}

// restarting is a restart's preview.
func (c *call) restarting(r app.Restarted) restartedView {
	v := restartedView{Line: c.line(r.Of), Next: r.Session, Attempt: r.Attempt, Checkpoint: r.Checkpoint, Input: r.Input,
		Text: "The run was started again before, under session " + r.Session + "."}
	if o := r.Opens; r.Session == "" {
		v.Mode, v.Deadline, v.Why, v.Saved = string(o.Mode), written(o.Deadline), o.Why, r.Saved
		v.Text = "The run would be started again, under a new session of mode " + v.Mode + "."
	}
	return v
}

// either reads a moment that is given as such or as how far away it is.
func either(other, until, by string) (time.Time, time.Duration, error) {
	if (until == "") == (by == "") {
		return time.Time{}, 0, badField("until", "given, or else "+other+", not both")
	}
	at, e1 := moment("until", until)
	d, e2 := duration(other, by)
	return at, d, first(e1, e2)
}

func (c *call) revoke() (int, any, error) {
	var in struct {
		Target  *targetIO `json:"target"`
		Preview bool      `json:"preview"`
		Plan    string    `json:"plan"`
		Why     string    `json:"why"`
	}
	act, err := c.acting(&in, &in.Why)
	if err != nil {
		return 0, nil, err
	}
	if in.Target == nil {
		return 0, nil, badField("target", "given: exactly one of session, user and selector")
	}
	target, err := in.Target.target()
	if err != nil {
		return 0, nil, err
	}
	r, err := c.app.Revoke(c.r.Context(), act, target, in.Preview, in.Plan)
	if err != nil {
		return 0, nil, err
	}
	if in.Preview {
		return http.StatusOK, c.revocation(r, true), nil
	}
	return http.StatusAccepted, c.revocation(r, false), nil
}

func (c *call) whatIf() (int, any, error) {
	var in struct {
		SignOut *struct {
			User string `json:"user"`
			At   string `json:"at"`
		} `json:"signOut"`
		Revoke *targetIO `json:"revoke"`
		Policy *policyIn `json:"policy"`
		At     string    `json:"at"`
	}
	if err := c.into(&in); err != nil {
		return 0, nil, err
	}
	given := 0
	for _, g := range []bool{in.SignOut != nil, in.Revoke != nil, in.Policy != nil, in.At != ""} {
		if g {
			given++
		}
	}
	if given != 1 {
		return 0, nil, badField("body", "an object with exactly one of signOut, revoke, policy and at")
	}
	var change app.Change
	var err error
	switch {
	case in.SignOut != nil:
		if in.SignOut.User == "" {
			return 0, nil, badField("signOut.user", "given: the id of a user")
		}
		change.SignOut = in.SignOut.User
		change.At, err = moment("signOut.at", in.SignOut.At)
	case in.Revoke != nil:
		var t app.Target
		t, err = in.Revoke.target()
		change.Revoke = &t
	case in.Policy != nil:
		var p app.PolicyChange
		p, err = in.Policy.change("policy.")
		change.Policy = &p
	default:
		change.Until, err = moment("at", in.At)
	}
	if err != nil {
		return 0, nil, err
	}
	f, err := c.app.WhatIf(c.r.Context(), c.caller.Actor, change)
	if err != nil {
		return 0, nil, policyField("policy.", err)
	}
	return http.StatusOK, c.whatIfView(f), nil
}

func (c *call) setPolicy() (int, any, error) {
	var in struct {
		Version *int64    `json:"version"`
		Change  *policyIn `json:"change"`
		Why     string    `json:"why"`
	}
	act, err := c.acting(&in, &in.Why)
	if err != nil {
		return 0, nil, err
	}
	if in.Version == nil || *in.Version < 0 {
		return 0, nil, badField("version", "the version that is replaced, as GET /api/policy says")
	}
	change, err := in.Change.change("change.")
	if err != nil {
		return 0, nil, err
	}
	p, err := c.app.SetPolicy(c.r.Context(), act, *in.Version, change)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, c.policy(p), nil
}

func (c *call) lockUser() (int, any, error) {
	var in struct {
		Until string `json:"until"`
		For   string `json:"for"`
		Why   string `json:"why"`
	}
	act, err := c.acting(&in, &in.Why)
	if err != nil {
		return 0, nil, err
	}
	until, d, err := either("for", in.Until, in.For)
	if err != nil {
		return 0, nil, err
	}
	return c.lock(act, until, d)
}

func (c *call) unlockUser() (int, any, error) {
	act, err := c.act("")
	if err != nil {
		return 0, nil, err
	}
	return c.lock(act, time.Time{}, 0)
}

// lock locks a user until a moment, or for so long; neither takes the lock away.
func (c *call) lock(act app.Act, until time.Time, d time.Duration) (int, any, error) {
	user := c.r.PathValue("user")
	p, err := c.app.Lock(c.r.Context(), act, user, until, d)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, person(user, p), nil
}
