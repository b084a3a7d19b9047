package crash_test

import (
	"context"
	"flag"
	"fmt"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/engine/emrnotebook/emrnotebooksim"
	"nightshift/internal/engine/livy/livysim"
	"nightshift/internal/proof"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// fate is what a cause does to a session, in the words of S2.
type fate uint8

const (
	cannot fate = iota // the dash: nothing changes
	goesOn
	goesAlert
	ends
	closes
)

// row is one line of S2's table, written down from the specification and not
// from the code: the cause, what it does to each mode, and how it comes about.
type row struct {
	cause                         session.Cause
	interactive, background, role fate
	on                            func(workload.Engine) bool // nil: it can happen to runs of every engine
	started, adopted              bool                       // to which runs it can happen
	before                        func(*play)                // set up before anything runs
	happens                       func(*play)                // called once the session is open and its run known, 90 s on
	early                         bool                       // it comes while the run is still being started
	lateness                      time.Duration              // when it is due by itself; 0: happens brings it
	unseen                        []session.Cause            // what it may be called where, after a trouble, nobody looked in time
}

func only(engines ...workload.Engine) func(workload.Engine) bool {
	return func(e workload.Engine) bool { return slices.Contains(engines, e) }
}

func except(engines ...workload.Engine) func(workload.Engine) bool {
	return func(e workload.Engine) bool { return !slices.Contains(engines, e) }
}

// says is one of our own bus's events about the user.
func says(kind string, more map[string]any) func(*play) {
	return func(p *play) {
		detail := map[string]any{"user": user, "at": p.now().UTC().Format(time.RFC3339Nano), "by": "admin"}
		for k, v := range more {
			detail[k] = v
		}
		p.put(event("nightshift", "Nightshift "+kind, "e-1", p.now(), detail))
	}
}

// saysSession is one about the session.
func saysSession(kind string) func(*play) {
	return func(p *play) {
		p.put(event("nightshift", "Nightshift "+kind, "e-1", p.now(), map[string]any{
			"session": p.first().ID, "at": p.now().UTC().Format(time.RFC3339Nano), "by": "admin",
		}))
	}
}

const (
	short   = 15 * time.Minute // the least that a duration may be
	working = 4 * time.Minute  // work that ends by itself while it is watched
)

func works(fail bool) func(*play) {
	return func(p *play) {
		plan := habit
		plan.Work, plan.Fail, plan.Reason = working, fail, "it was planned"
		p.rig.sim.Plan("", plan)
	}
}

// rows is the table of S2. Where an engine is left out, the cause cannot reach
// its runs; the reasons stand beside.
func rows() []row {
	livyOnly := only(workload.Livy)
	list := []row{
		{cause: session.CauseSignOut, interactive: ends, background: goesOn, role: goesOn, happens: says("Signed Out", nil)},
		{cause: session.CauseSignOut, interactive: ends, background: goesOn, role: goesOn, happens: says("Signed Out", nil), started: true, early: true,
			before: func(p *play) { p.rig.lose = 2 }}, // of the answers of the starts at 0 s and at 2 s
		{cause: session.CauseInteractiveExpired, interactive: ends, background: goesOn, role: goesOn, lateness: short,
			before: func(p *play) { p.policy.InteractiveDuration = short }},
		{cause: session.CauseInteractiveRevoked, interactive: ends, background: goesOn, role: goesOn, happens: says("Revoked", map[string]any{"scope": "interactive"})},
		{cause: session.CauseNotebookClosed, interactive: ends, background: goesOn, role: goesOn, happens: says("Notebook Closed", nil)},
		{cause: session.CauseBackgroundExpired, background: ends, lateness: short,
			before: func(p *play) { p.policy.BackgroundDuration = short }},
		{cause: session.CauseBackgroundRevoked, background: ends, happens: says("Revoked", map[string]any{"scope": "background"})},
		{cause: session.CauseUserDisabled, interactive: ends, background: ends, role: goesAlert, happens: func(p *play) {
			p.who.status = app.UserDisabled
			says("User Disabled", nil)(p)
		}},
		{cause: session.CauseUserDeleted, interactive: ends, background: ends, role: goesAlert, happens: func(p *play) {
			p.who.status = app.UserDeleted
			says("User Deleted", nil)(p)
		}},
		{cause: session.CauseAccessRemoved, interactive: ends, background: ends, role: goesAlert, happens: func(p *play) {
			p.who.access = session.Off
			says("Access Removed", map[string]any{"evidence": "a check"})(p)
		}},
		{cause: session.CauseStopRequested, interactive: ends, background: ends, role: ends, happens: saysSession("Stop Requested")},
		{cause: session.CauseWaiterAborted, interactive: ends, background: ends, role: ends, started: true, // nobody waits for an adopted run
			happens: func(p *play) { p.runs[0].end("ABORTED") }},
		// Idle and kernel events concern interactive Livy sessions only (S2.14); no
		// other engine says whether a run is idle.
		{cause: session.CauseIdle, interactive: ends, background: ends, role: ends, on: livyOnly, lateness: short + time.Minute,
			unseen: []session.Cause{session.CauseLost}, // Livy collects it too
			before: func(p *play) { p.policy.LivyIdle = short }},
		{cause: session.CauseKernelStopped, interactive: ends, background: ends, role: ends, on: livyOnly, happens: saysSession("Kernel Stopped")},
		{cause: session.CauseKernelStopped, interactive: cannot, background: cannot, role: cannot, on: except(workload.Livy), happens: saysSession("Kernel Stopped")},
		// For adopted runs the limit is read from the engine, which SageMaker's jobs
		// alone have. The engine's own cap is never reached: SageMaker gives every job
		// a limit, at most the cap, and of two that are equal this one counts (S1.12).
		{cause: session.CauseMaxRuntime, interactive: ends, background: ends, role: ends, started: true, lateness: 4 * time.Minute,
			unseen: []session.Cause{session.CauseStoppedElsewhere}, // the engine stops it too (S4.5)
			before: func(p *play) { p.limit = 2 * time.Minute }},
		{cause: session.CauseMaxRuntime, interactive: ends, background: ends, role: ends, adopted: true, lateness: 4 * time.Minute,
			unseen: []session.Cause{session.CauseStoppedElsewhere},
			on:     only(workload.SageMakerTraining, workload.SageMakerProcessing), before: func(p *play) { p.limit = 2 * time.Minute }},
		{cause: session.CauseTenantLimit, interactive: ends, background: ends, role: ends, lateness: short,
			before: func(p *play) { p.policy.TenantLimit = short }},
		{cause: session.CauseClusterTerminated, interactive: closes, background: closes, role: closes, on: only(workload.Livy, workload.EMRNotebook), happens: func(p *play) {
			switch sim := p.rig.sim.(type) {
			case *livysim.Sim:
				sim.Restart()
			case *emrnotebooksim.Sim:
				sim.Terminate(cluster)
			}
			p.rig.note("cluster terminated")
			p.clusterTerminated()
		}},
		{cause: session.CauseClusterTerminated, on: except(workload.Livy, workload.EMRNotebook), happens: (*play).clusterTerminated},
		// A Livy session has no work of its own that could finish, and one that
		// somebody else deleted is not stopped but gone (lost).
		{cause: session.CauseFinished, interactive: closes, background: closes, role: closes, on: except(workload.Livy), before: works(false), lateness: working},
		{cause: session.CauseFailed, interactive: closes, background: closes, role: closes, before: works(true), lateness: working},
		{cause: session.CauseStoppedElsewhere, interactive: closes, background: closes, role: closes, on: except(workload.Livy), happens: func(p *play) {
			if err := p.rig.clean().Stop(context.Background(), p.first().Run); err != nil {
				p.fail("somebody else's stop: %v", err)
			}
		}},
		{cause: session.CauseLost, interactive: closes, background: closes, role: closes, happens: func(p *play) { p.rig.serve(p.rig.blank(), "forget") }},
		{cause: session.CauseZombie, interactive: ends, background: ends, role: ends, happens: func(p *play) {
			p.rig.serve(p.rig.blank(), "forget")
			p.reappears()
		}},
	}
	for i := range list {
		if !list[i].started && !list[i].adopted {
			list[i].started, list[i].adopted = true, true
		}
	}
	return list
}

// modes are the facts that make each mode.
var modes = map[session.Mode]session.Facts{
	session.Interactive: {IdentityPropagation: session.On, ApplicationBackground: session.Off, ClusterBackground: session.On, ReleaseLabel: "emr-7.12.0"},
	session.Background:  {IdentityPropagation: session.On, ApplicationBackground: session.On, ClusterBackground: session.On, ReleaseLabel: "emr-7.12.0"},
	session.Role:        {IdentityPropagation: session.Off},
}

// scenario is one way from an opening to the end of a session, or past a cause
// that must not end it.
type scenario struct {
	row
	engine workload.Engine
	mode   session.Mode
	origin session.Origin
	fate   fate
}

func (s scenario) String() string {
	return fmt.Sprintf("%s of a %s %s run, %s", s.cause, s.mode, s.engine, s.origin)
}

// all has every mode play each cause, not one of each fate, of runs started and
// adopted, and every kind of trouble strike, also that a call is merely refused.
var all = flag.Bool("all", false, "play each cause in every mode, of runs started and adopted, with every kind of trouble")

func scenarios(engine workload.Engine) []scenario {
	var list []scenario
	for i, r := range rows() {
		if r.on != nil && !r.on(engine) {
			continue
		}
		fates := []struct {
			mode session.Mode
			fate fate
		}{{session.Interactive, r.interactive}, {session.Background, r.background}, {session.Role, r.role}}
		seen := map[fate]bool{}
		for k := range fates {
			f := fates[(i+k)%len(fates)] // of those that share a fate not always the same is played
			if seen[f.fate] && !*all {
				continue
			}
			seen[f.fate] = true
			// A run that was started and one that was adopted take turns, from cause to
			// cause and from engine to engine.
			turn := (i+slices.Index(workload.Engines(), engine))%2 == 0
			if r.started && (*all || turn || !r.adopted) {
				list = append(list, scenario{r, engine, f.mode, session.Started, f.fate})
			}
			if r.adopted && (*all || !turn || !r.started) {
				list = append(list, scenario{r, engine, f.mode, session.Adopted, f.fate})
			}
		}
	}
	return list
}

// play is one scenario being played with one trouble.
type play struct {
	*world
	scenario
	policy session.Policy
	limit  time.Duration // the run's own MaxRuntime
	faults []string
	came   bool // the cause
	asleep bool // wait until watch and drain have ended and facts are carried to all too
	calls  int  // effects until the session's story was complete
}

func (p *play) fail(format string, args ...any) {
	p.faults = append(p.faults, fmt.Sprintf(format, args...))
}

// perform plays the scenario to its rest and says what is wrong then. m is nil or
// this scenario's own.
func perform(s scenario, x *trouble, m memo) (p *play) {
	r := newRig(s.engine)
	r.memo = m
	p = &play{scenario: s, policy: session.DefaultPolicy(), asleep: x.n == 0 || x.n > x.early}
	p.policy.InstanceBackground = session.On
	p.world = &world{rig: r}
	if s.row.before != nil {
		p.row.before(p)
	}
	p.world = newWorld(r, x, p.policy, modes[s.mode])
	p.begins()
	when := 90 * time.Second
	if s.early {
		when = 3 * time.Second
	}
	p.at(began.Add(when), p.bring)
	if !p.play(time.Hour, p.atRest) {
		p.fail("it never comes to rest")
	}
	p.judge()
	return p
}

func (p *play) begins() {
	if p.origin == session.Adopted {
		if err := p.rig.plant(p.limit); err != nil {
			p.fail("%v", err)
		} else if p.engine == workload.SageMakerPipeline {
			p.born()
		}
		return
	}
	p.run(map[string]any{
		"user": user, "engine": p.engine, "endpoint": p.rig.endpoint, "application": p.rig.run.Application, "spec": raw(p.rig.spec),
		"maxRuntimeSeconds": int(p.limit / time.Second),
	})
}

// born is CloudTrail's record of the call that started the pipeline: an
// execution has no tags, so that nothing else names its user (S3.3).
func (p *play) born() {
	p.put(event("aws.sagemaker", "AWS API Call via CloudTrail", "e-0", p.now(), map[string]any{
		"eventVersion": "1.10", "eventSource": "sagemaker.amazonaws.com", "eventName": "StartPipelineExecution", "eventID": "e-0",
		"eventTime": p.now().Format(time.RFC3339), "awsRegion": region, "recipientAccountId": account, "eventType": "AwsApiCall",
		"userIdentity": map[string]any{"type": "AssumedRole", "accountId": account, "principalId": "AROAEXAMPLE:SageMaker",
			"arn": "arn:aws:sts::" + account + ":assumed-role/studio/SageMaker", "onBehalfOf": map[string]any{"userId": user}},
		"requestParameters": map[string]any{"pipelineName": "Nightly"},
		"responseElements":  map[string]any{"pipelineExecutionArn": "arn:aws:sagemaker:" + region + ":" + account + ":" + p.rig.records()[0].ID},
	}))
}

type raw string

func (r raw) MarshalJSON() ([]byte, error) { return []byte(r), nil }

// bring brings the cause, once there is a session with a run to bring it to:
// nobody can name what is not there yet. (What comes earlier is the race's.)
func (p *play) bring() {
	s := p.first()
	if s.ID == "" || !p.early && (s.Run.ID == "" || s.RunningSince.IsZero() && s.Status == session.Active) {
		p.after(10*time.Second, p.bring)
		return
	}
	p.came, p.rig.lose = true, 0
	if p.happens != nil {
		p.happens(p)
	}
}

func (p *play) clusterTerminated() {
	p.put(event("aws.emr", "EMR Cluster State Change", "e-1", p.now(), map[string]any{"clusterId": cluster, "state": "TERMINATED"}))
}

// reappears lets the engine know its runs again, once the session has ended on
// the strength of their absence.
func (p *play) reappears() {
	if p.first().End.Cause == session.CauseLost {
		p.rig.serve(p.rig.sim, "remember")
		return
	}
	p.after(10*time.Second, p.reappears)
}

// first is the session that was opened first; the zero session before.
func (p *play) first() session.Session {
	all := p.sessions()
	if len(all) == 0 {
		return session.Session{}
	}
	return all[0]
}

// sessions are all sessions, oldest record first.
func (w *world) sessions() []session.Session {
	page, err := w.store.List(context.Background(), "")
	if err != nil {
		panic(err) // a read of memory: cannot happen
	}
	slices.SortStableFunc(page.Sessions, func(a, b session.Session) int { return a.RecordedAt.Compare(b.RecordedAt) })
	return page.Sessions
}

// atRest: everything that was asked for has been done and nothing is waited for
// but time; and, where the play is about their effects, everybody sleeps too.
func (p *play) atRest() bool {
	if !p.came || p.lateness > 0 && p.now().Before(began.Add(p.lateness+3*time.Minute)) || len(p.deeds) > 0 {
		return false
	}
	stays := p.fate != ends && p.fate != closes
	for _, s := range p.sessions() {
		if s.Status == session.Ending || s.Status == session.Active && !stays {
			return false
		}
	}
	if p.scenario.cause == session.CauseZombie && len(p.sessions()) < 2 {
		return false
	}
	ctx := context.Background()
	undone, _, err := p.store.Unfinished(ctx, p.now().Add(time.Hour), "")
	if err != nil || len(undone) > 0 {
		return false
	}
	if p.calls == 0 {
		p.calls = len(p.x.calls)
	}
	if !p.asleep && !stays {
		return true
	}
	pending, _, err := p.store.PendingUsers(ctx, "")
	awake := func(e *execution) bool { return !e.over && (e.kind == "drain" || !stays) }
	return err == nil && len(pending) == 0 && !slices.ContainsFunc(p.executions, awake)
}

// judge says what is wrong at the end.
func (p *play) judge() {
	all := p.sessions()
	want := 1
	if p.scenario.cause == session.CauseZombie {
		want = 2
	}
	if len(all) != want {
		p.fail("%d sessions, want %d", len(all), want)
		return
	}
	for _, s := range all {
		p.story(s)
	}
	p.engineSaw()
	p.waiterSaw()
	if p.heard("orphan-found", "") != 0 {
		p.fail("the run was flagged as an orphan")
	}
	last := all[len(all)-1]
	if last.Mode != p.mode {
		p.fail("its mode is %s", last.Mode)
	}
	switch p.fate {
	case ends, closes:
		p.ended(last)
	case goesAlert:
		if p.heard("alert", "role-outlives-user") != 1 {
			p.fail("nobody was told that it outlives its user")
		}
		fallthrough
	case goesOn, cannot:
		if last.Status != session.Active || last.End != (session.End{}) {
			p.fail("it must go on and is %s, cause %q", last.Status, last.End.Cause)
		}
	}
}

// story: the history is gapless, its chain verifies, it explains the state, the
// session ended at most once, and everything that it asked for was done.
func (p *play) story(s session.Session) {
	_, entries, err := p.app.SessionStory(context.Background(), s.ID)
	if err != nil {
		p.fail("history: %v", err)
	}
	head, ended, status := proof.Genesis, 0, session.Status("")
	for i, e := range entries {
		hash, err := e.Seal()
		if err != nil || e.Version != int64(i+1) || e.Previous != head || e.Hash != hash || e.From != status {
			p.fail("the history breaks at entry %d: %+v, %v", i+1, e, err)
		}
		if e.To == session.Ended && e.From != session.Ended {
			ended++
		}
		if len(e.Effects) > 0 && !e.Done {
			p.fail("the effects of version %d (%s) are never done", e.Version, e.Event.Kind)
		}
		head, status = e.Hash, e.To
	}
	if head != s.Head || int64(len(entries)) != s.Version || status != s.Status {
		p.fail("the state is not what its newest entry says")
	}
	if ended > 1 || (ended == 1) != (s.Status == session.Ended) {
		p.fail("it ended %d times and is %s", ended, s.Status)
	}
	for kind, want := range map[string]bool{"session-opened": true, "session-ended": s.Status == session.Ended} {
		if n := p.heardOf(s.ID, kind, ""); (n == 1) != want || n > 1 {
			p.fail("%s was said %d times in effect", kind, n)
		}
	}
}

// engineSaw: one run was started, it was touched only where it must be, and it
// is over where it must be.
func (p *play) engineSaw() {
	runs := p.rig.records()
	if len(runs) != 1 {
		p.fail("the engine has %d runs", len(runs))
		return
	}
	r := runs[0]
	untouched := p.fate == goesOn || p.fate == goesAlert || p.fate == cannot
	gone := p.scenario.cause == session.CauseLost || p.scenario.cause == session.CauseClusterTerminated && p.engine == workload.Livy
	switch {
	case untouched && (len(r.Stops) > 0 || r.Phase.Over()):
		p.fail("a run that must not be touched is %s, asked to stop %d times", r.Phase, len(r.Stops))
	case !untouched && !gone && !r.Phase.Over():
		p.fail("the run is %s", r.Phase)
	case p.fate == closes && len(r.Stops) > 0 && p.scenario.cause != session.CauseStoppedElsewhere:
		p.fail("a run that is over was asked to stop")
	}
}

// waiterSaw: who waits is released once where the session has ended, and not
// before.
func (p *play) waiterSaw() {
	for _, r := range p.runs {
		want := 1
		if p.fate != ends && p.fate != closes || p.scenario.cause == session.CauseWaiterAborted {
			want = 0
		}
		if r.released != want {
			p.fail("the waiting execution was released %d times, want %d", r.released, want)
		}
	}
}

// heard counts announcements, repetitions under one id once.
func (p *play) heard(kind, reason string) int { return p.heardOf("", kind, reason) }

func (p *play) heardOf(id, kind, reason string) int {
	ids := map[string]bool{}
	for _, a := range p.world.says {
		if a.Kind == kind && (id == "" || a.Session.ID == id) && (reason == "" || a.Effect.Reason == reason) {
			ids[a.ID] = true
		}
	}
	return len(ids)
}

// promise is S2.1's.
const promise = 15 * time.Minute

// ended: the session ended for its cause, within the promise, and the proof of
// the stop is complete (S2.7).
func (p *play) ended(s session.Session) {
	e := s.End
	switch {
	case s.Status != session.Ended || e.Cause != p.scenario.cause && !(p.x.struck() && slices.Contains(p.unseen, e.Cause)):
		p.fail("it is %s, cause %q", s.Status, e.Cause)
		return
	case e.Happened.IsZero() || e.Known.IsZero() || e.Decided.IsZero() || e.Confirmed.IsZero() || e.Evidence == "":
		p.fail("the proof of the end lacks something: %+v", e)
	case e.Known.After(e.Decided) || e.Decided.After(e.Confirmed) || e.Confirmed.Sub(e.Known) > promise:
		p.fail("the end's times are in disorder or too late: %+v", e)
	}
	// Livy's DELETE answers when the session is down: whoever dies then leaves
	// nothing that could still be asked.
	asked := len(p.rig.records()) == 1 && len(p.rig.records()[0].Stops) > 0
	excused := p.engine == workload.Livy && p.x.at("DELETE of the engine", "commit of stop-accepted")
	if p.fate == ends && asked && !excused && (e.Asked.IsZero() || e.Asked.Before(e.Decided) || e.Confirmed.Before(e.Asked)) {
		p.fail("the run was asked to stop and the proof does not say when: %+v", e)
	}
	if p.heardOf(s.ID, "notice", string(e.Cause)) != 1 {
		p.fail("the user was not told once why")
	}
}

// S2.1, S2.3, S2.4, S2.7: without any trouble each scenario takes its path, and
// with each trouble at each of its effects it ends in the same way.
func TestS2_1EveryCrashAtEveryEffect(t *testing.T) {
	var total, scenes atomic.Int64
	t.Run("scenarios", func(t *testing.T) { // each of its own, so that all processors are busy to the end
		for _, engine := range workload.Engines() {
			for _, s := range scenarios(engine) {
				t.Run(s.String(), func(t *testing.T) {
					t.Parallel()
					total.Add(int64(enumerate(t, s)))
					scenes.Add(1)
				})
			}
		}
	})
	fmt.Printf("crash cases=%d scenarios=%d engines=%d kinds=%d failed=%v\n", total.Load(), scenes.Load(), len(workload.Engines()), troubles(), t.Failed())
	if total.Load() < 840 {
		t.Errorf("only %d cases: the enumeration looks at next to nothing", total.Load())
	}
}

// Plays are short-lived: collecting garbage seldom saves a sixth of the time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(800)
	m.Run()
}

func troubles() kind {
	if *all {
		return kinds
	}
	return refused
}

// enumerate plays a scenario without trouble, then with each kind at each call
// that has an effect, and answers how many troubles struck.
func enumerate(t *testing.T, s scenario) int {
	m := memo{}
	if s.engine == workload.Livy {
		m = nil // it has no SDK, and its adapter remembers what it saw
	}
	calm := perform(s, &trouble{}, m)
	if len(calm.faults) > 0 {
		t.Fatalf("%s, no trouble: %v\n%s", s, calm.faults, calm.tale())
	}
	cases := 0
	for k := range troubles() {
		for n := 1; ; n++ {
			x := &trouble{n: n, kind: k, early: calm.calls}
			p := perform(s, x, m)
			if len(x.calls) < n {
				break
			}
			cases++
			if len(p.faults) > 0 {
				t.Errorf("%s, trouble %s call %d (%s): %v\n%s", s, k, n, x.calls[n-1], p.faults, p.tale())
				return cases
			}
		}
	}
	return cases
}

// tale is what happened, for whoever has to find out why.
func (p *play) tale() string {
	out := ""
	for _, s := range p.sessions() {
		_, entries, _ := p.app.SessionStory(context.Background(), s.ID)
		for _, e := range entries {
			out += fmt.Sprintf("  %s v%d at +%s %s %s -> %s cause=%s done=%v %s %s\n", e.SessionID, e.Version, e.At.Sub(began), e.Event.Kind, e.From, e.To, e.Cause, e.Done, e.Note, e.Event.Detail)
		}
	}
	for _, r := range p.rig.sim.Runs() {
		out += fmt.Sprintf("  engine: %+v\n", r)
	}
	return out
}
