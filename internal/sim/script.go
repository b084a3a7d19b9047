package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/asl"
	"nightshift/internal/cadence"
	"nightshift/internal/session"
	"nightshift/internal/workload"
	"nightshift/statemachines"
)

// The endpoints of the models.
const (
	Livy         = "livy/j-2AXXXXXXGAPLF"
	EMROnEKS     = "emr-containers/" + account + "/" + region
	SageMaker    = "sagemaker/" + account + "/" + region
	EMRNotebooks = "emr-notebook/" + account + "/" + region
)

// Plan is one run that somebody wants.
type Plan struct {
	N          int
	User       *User
	Engine     workload.Engine
	Endpoint   string
	Domain     string
	At         time.Time
	Behind     bool          // started behind our back
	Nameless   bool          // … and nothing says whose it is: an orphan
	Birth      bool          // … and CloudTrail has it with its user
	Token      bool          // AWS issues a background token for it
	Work       time.Duration // 0: for ever
	EndsAs     workload.State
	MaxRuntime time.Duration
	Busy       time.Duration // Livy: until its last statement finishes; 0: for ever
	Silent     bool          // Livy: it never has a statement
	Refused    bool          // the engine refuses its spec

	Interactive session.InteractiveSession // that its start names

	Run       *Run
	Execution string // ARN; "" where it was started behind our back
	Session   string // of the execution
}

// planOf finds the plan that a spec names; nil where it names none.
func (w *World) planOf(spec []byte) *Plan {
	var s struct {
		Plan int `json:"plan"`
	}
	if err := json.Unmarshal(spec, &s); err != nil || s.Plan < 1 || s.Plan > len(w.plans) {
		return nil
	}
	return w.plans[s.Plan-1]
}

// AddPlan has a run started at its time.
func (w *World) AddPlan(p Plan) *Plan {
	p.N = len(w.plans) + 1
	w.plans = append(w.plans, &p)
	w.At(p.At, func() { w.begin(&p) })
	return &p
}

func (w *World) engineOf(endpoint string) *Engine {
	i := slices.IndexFunc(w.Engines, func(e *Engine) bool { return e.Endpoint == endpoint })
	return w.Engines[i]
}

// start is the input of an execution of run, as a caller writes it.
type start struct {
	Application        workload.Application `json:"application,omitempty"`
	Domain             string               `json:"domain,omitempty"`
	Endpoint           string               `json:"endpoint"`
	Engine             workload.Engine      `json:"engine"`
	InteractiveSession *interactive         `json:"interactiveSession,omitempty"`
	MaxRuntimeSeconds  int                  `json:"maxRuntimeSeconds,omitempty"`
	Spec               struct {
		Plan int `json:"plan"`
	} `json:"spec"`
	User string `json:"user"`
}

type interactive struct {
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
	ID        string    `json:"id"`
	Source    string    `json:"source"`
}

func (w *World) begin(p *Plan) {
	if p.Behind {
		if w.engineOf(p.Endpoint).gone {
			return
		}
		run := workload.Run{Engine: p.Engine, Domain: p.Domain}
		if natures[p.Engine].limits {
			run.MaxRuntime = p.MaxRuntime
		}
		r := w.engineOf(p.Endpoint).Add(run, p)
		r.Owner = p.User.ID
		if !p.Nameless {
			r.Tag = p.User.ID
		}
		if p.Birth && !p.Nameless {
			w.bus.born(r, p.User.ID)
		}
		if p.Token && !p.Nameless {
			w.bus.token(r, p.User.ID)
		}
		return
	}
	in := start{User: p.User.ID, Engine: p.Engine, Endpoint: p.Endpoint, Domain: p.Domain, MaxRuntimeSeconds: int(p.MaxRuntime / time.Second)}
	in.Spec.Plan = p.N
	if p.Engine == workload.Livy {
		in.Application = workload.Spark
	}
	if !p.User.Out && p.N%5 != 0 {
		p.Interactive = session.InteractiveSession{ID: p.User.Portal, Source: portalSource, ExpiresAt: p.User.Expires}
		in.InteractiveSession = &interactive{ID: p.User.Portal, Source: portalSource, ExpiresAt: p.User.Expires}
	}
	body, err := json.Marshal(in)
	if err == nil {
		var e *asl.Execution
		if e, err = w.start(machineARN(statemachines.Run), fmt.Sprintf("plan-%d", p.N), body); err == nil {
			p.Execution, p.Session = e.ARN(), sessionOf(e.ARN())
		}
	}
	if err != nil {
		panic(err) // the script is ours
	}
}

// causeOf is the cause that the end of an execution is, if it ends one.
func (w *World) causeOf(execution string) *Cause {
	if !bytes.Contains([]byte(execution), []byte(":nightshift-run:")) {
		return nil
	}
	if r := w.records[sessionOf(execution)]; r != nil && r.now.Status == session.Ended {
		return nil
	}
	return w.cause(Cause{Kind: session.WaiterAborted, Execution: execution})
}

// cause notes something that happens now.
func (w *World) cause(c Cause) *Cause {
	if c.At.IsZero() {
		c.At = w.Clock.Now()
	}
	w.Causes = append(w.Causes, &c)
	if w.tracing {
		w.say("truth: %s user %q session %q execution %q", c.Kind, c.User, c.Session, c.Execution)
	}
	return &c
}

// second is now as CloudTrail writes it.
func (w *World) second() time.Time { return w.Clock.Now().Truncate(time.Second) }

// SignOut is a user leaving the portal: AWS's word or the portal's own.
func (w *World) SignOut(u *User, ours bool) {
	w.leave(u, u.Portal, ours)
	u.Out = true
}

// SignOutElsewhere is a user leaving a second session at the portal, under which no
// run was started.
func (w *World) SignOutElsewhere(u *User, ours bool) { w.leave(u, u.Portal+"-elsewhere", ours) }

func (w *World) leave(u *User, portal string, ours bool) {
	i := session.InteractiveSession{ID: portal, Source: portalSource}
	if ours {
		c := w.cause(Cause{Kind: session.SignOut, By: u.ID, User: u.ID, Interactive: i, Portal: portal})
		w.bus.own("Nightshift Signed Out", fmt.Sprintf(`"user":%q,"interactiveSession":{"id":%q,"source":%q}`, u.ID, i.ID, i.Source), c)
	} else {
		c := w.cause(Cause{Kind: session.SignOut, By: u.ID, User: u.ID, Interactive: i, Portal: portal, At: w.second()})
		w.bus.trail("sso", "Logout", fmt.Sprintf(`"type":"IdentityCenterUser","onBehalfOf":{"userId":%q},"credentialId":%q`, u.ID, i.ID),
			`"requestParameters":null,"responseElements":null`, c)
	}
}

// Work has a Livy session that may be idle run a statement, which does not end.
func (w *World) Work(p *Plan) { p.Run.Quiet = time.Time{} }

// SignIn gives a user who has none a new session at the portal; it emits nothing.
func (w *World) SignIn(u *User) {
	if !u.Out {
		return
	}
	w.serial++
	u.Portal, u.Out, u.SignedIn, u.Expires = fmt.Sprintf("p-%s-%d", u.ID, w.serial), false, w.Clock.Now(), time.Time{}
}

const (
	adminARN  = "arn:aws:sts::123456789012:assumed-role/admin/dora"
	someAdmin = `"type":"AssumedRole","arn":"` + adminARN + `"`
)

// Revoke is an administrator ending a user's sessions of a kind; run may name one
// background session.
func (w *World) Revoke(u *User, background bool, run *Run) {
	c := Cause{Kind: session.RevokeInteractive, By: "dora", User: u.ID, Run: run}
	detail := fmt.Sprintf(`"user":%q,"scope":"interactive","by":"dora"`, u.ID)
	if background {
		c.Kind = session.RevokeBackground
		detail = fmt.Sprintf(`"user":%q,"scope":"background","by":"dora"`, u.ID)
		if run != nil {
			detail += fmt.Sprintf(`,"run":{"endpoint":%q,"id":%q}`, run.Endpoint, run.ID)
		}
	} else {
		c.Run, c.Portal, u.Out = nil, u.Portal, true
	}
	w.bus.own("Nightshift Revoked", detail, w.cause(c))
}

// Disable, Delete and RemoveAccess change what the identity store says, and
// CloudTrail tells.
func (w *World) Disable(u *User) {
	u.Status = app.UserDisabled
	u.standing = w.cause(Cause{Kind: session.UserDisabled, By: adminARN, User: u.ID, At: w.second()})
	if w.rand.IntN(3) == 0 {
		w.bus.trail("identitystore-scim", "PatchUser", `"type":"WebIdentityUser"`, fmt.Sprintf(`"requestParameters":{"id":%q},"responseElements":null`, u.ID), u.standing)
		return
	}
	w.bus.trail("sso-directory", "DisableUser", someAdmin, fmt.Sprintf(`"requestParameters":{"userId":%q},"responseElements":null`, u.ID), u.standing)
}

// Delete takes a user out of the directory.
func (w *World) Delete(u *User) {
	u.Status = app.UserDeleted
	u.standing = w.cause(Cause{Kind: session.UserDeleted, By: adminARN, User: u.ID, At: w.second()})
	w.bus.trail("identitystore", "DeleteUser", someAdmin, fmt.Sprintf(`"requestParameters":{"userId":%q},"responseElements":null`, u.ID), u.standing)
}

// Enable puts a disabled user back.
func (w *World) Enable(u *User) {
	if u.Status != app.UserDisabled {
		return
	}
	u.Status = app.UserEnabled
	c := w.cause(Cause{Kind: session.UserEnabled, User: u.ID, At: w.second()})
	w.bus.trail("sso-directory", "EnableUser", someAdmin, fmt.Sprintf(`"requestParameters":{"userId":%q},"responseElements":null`, u.ID), c)
}

// RemoveAccess takes an assignment away; another may remain.
func (w *World) RemoveAccess(u *User, last bool) {
	var c *Cause
	if last {
		u.Access = session.Off
		c = w.cause(Cause{Kind: session.AccessRemoved, By: adminARN, User: u.ID, At: w.second()})
		u.removed = c
	}
	w.bus.trail("sso", "DeleteApplicationAssignment", someAdmin, fmt.Sprintf(
		`"requestParameters":{"applicationArn":"arn:aws:sso::123456789012:application/ssoins-1/apl-1","principalId":%q,"principalType":"USER"},"responseElements":null`, u.ID), c)
}

// StopRequest is somebody stopping a run through Nightshift.
func (w *World) StopRequest(p *Plan) {
	if p.Session != "" {
		w.bus.own("Nightshift Stop Requested", fmt.Sprintf(`"session":%q,"by":"dora"`, p.Session), w.cause(Cause{Kind: session.StopRequested, By: "dora", Session: p.Session}))
	} else if p.Run != nil {
		w.bus.own("Nightshift Stop Requested", fmt.Sprintf(`"run":{"endpoint":%q,"id":%q},"by":"dora"`, p.Run.Endpoint, p.Run.ID), w.cause(Cause{Kind: session.StopRequested, By: "dora", Run: p.Run}))
	}
}

// Abort stops the execution that waits on a run.
func (w *World) Abort(p *Plan) {
	if p.Execution != "" {
		if err := w.runner.Stop(p.Execution, "Aborted", "by its user"); err != nil {
			panic(err) // it was started
		}
	}
}

// StopKernel is a user stopping a notebook's kernel.
func (w *World) StopKernel(p *Plan) {
	if p.Run == nil || p.Engine != workload.Livy {
		return
	}
	w.bus.own("Nightshift Kernel Stopped", fmt.Sprintf(`"run":{"endpoint":%q,"id":%q},"user":%q`, p.Run.Endpoint, p.Run.ID, p.User.ID),
		w.cause(Cause{Kind: session.KernelStopped, Run: p.Run}))
}

// CloseNotebook is a user closing Studio.
func (w *World) CloseNotebook(u *User) {
	w.bus.own("Nightshift Notebook Closed", fmt.Sprintf(`"user":%q`, u.ID), w.cause(Cause{Kind: session.NotebookClosed, User: u.ID}))
}

// StopBehind is somebody stopping a run without us.
func (w *World) StopBehind(p *Plan) {
	if p.Run != nil && p.Run.alive(w.Clock.Now()) {
		w.engineOf(p.Endpoint).end(p.Run, w.Clock.Now(), true)
	}
}

// Restart restarts a Livy server without recovery and without a word: it is out for a
// while and then knows none of its sessions, whose drivers live on for up to as long
// as is documented (decisions/0014).
func (w *World) Restart(endpoint string) {
	e, now := w.engineOf(endpoint), w.Clock.Now()
	e.down = append(e.down, Outage{endpoint, now, now.Add(20*time.Second + w.upTo(40*time.Second))})
	e.silent, e.forgot = true, true
	for _, r := range e.Runs {
		if r.Lost.IsZero() {
			r.Lost = now
		}
		if r.alive(now) && r.Killed.IsZero() {
			r.Killed = now.Add(w.upTo(r.nature.forgets))
			w.struck["drivers that their server forgot"]++
		}
	}
	if w.tracing {
		w.say("engine: the server of %s is restarted and forgets its sessions", endpoint)
	}
}

// Terminate ends a Livy server's cluster with all that runs there; it takes no further
// sessions.
func (w *World) Terminate(endpoint string) {
	e, now := w.engineOf(endpoint), w.Clock.Now()
	for _, r := range e.Runs {
		if r.alive(now) {
			r.Killed = now
		}
	}
	if w.tracing {
		w.say("engine: the cluster of %s is terminated", endpoint)
	}
	e.gone = true
	w.bus.service("aws.emr", "EMR Cluster State Change", fmt.Sprintf(`"clusterId":%q,"state":"TERMINATED","stateChangeReason":"{}"`, endpoint[len("livy/"):]), now, nil)
}

// Propagation switches identity propagation of a domain off (S1.8).
func (w *World) Propagation(domain string) {
	w.Directory.Unpropagated(SageMaker, domain)
	c := w.cause(Cause{Kind: session.IdentityPropagationOff, By: adminARN, Domain: domain, At: w.second()})
	w.bus.trail("sagemaker", "UpdateDomain", someAdmin, fmt.Sprintf(
		`"requestParameters":{"domainId":%q,"domainSettingsForUpdate":{"trustedIdentityPropagationSettings":{"status":"DISABLED"}}},"responseElements":null`, domain), c)
}

// SetPolicy changes the policy; sessions that are open keep theirs.
func (w *World) SetPolicy(alter func(*session.Policy)) {
	ctx := context.Background()
	p, err := w.Store.Policy(ctx)
	if err == nil {
		p.Version++
		p.ChangedAt = w.Clock.Now()
		alter(&p)
		if err = w.Store.PutPolicy(ctx, p); err == nil {
			w.policies = append(w.policies, p)
		}
	}
	if err != nil {
		panic(err) // nobody else changes it
	}
}

// Kill aborts a watch or a drain that runs.
func (w *World) Kill() {
	var running []*asl.Execution
	for _, e := range w.runner.Executions() {
		if e.Status() == asl.Running && e.MachineARN() != machineARN(statemachines.Run) {
			running = append(running, e)
		}
	}
	if len(running) == 0 {
		return
	}
	e := running[w.rand.IntN(len(running))]
	w.struck["watches and drains killed"]++
	if w.tracing {
		w.say("fault: execution %s is killed", e.Name())
	}
	if err := w.runner.Stop(e.ARN(), "Killed", "simulated"); err != nil {
		panic(err) // it runs
	}
}

// Poison puts a malformed event on the bus.
func (w *World) Poison() {
	w.struck["malformed events"]++
	w.bus.own("Nightshift Signed Out", []string{`"user":"a b@c"`, `"user":17`, `"usr":"u-1"`}[w.rand.IntN(3)], &Cause{At: w.Clock.Now()})
}

// run plays the schedule to its rest.
func (w *World) run() {
	w.functions()
	w.Clock.Go(func() {
		for {
			w.Clock.Go(func() { _, _ = w.Invoke("on-schedule", []byte(`{}`)) }) // what fails is tried in a minute
			if w.sleep(cadence.Sweep) != nil {
				return
			}
		}
	})
	w.Clock.RunUntil(w.until)
	w.calm = true
	for end := w.until.Add(rest); w.Clock.Now().Before(end) && !w.atRest(); {
		w.Clock.RunUntil(w.Clock.Now().Add(time.Minute))
	}
}
