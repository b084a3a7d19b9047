package sim

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/asl"
	"nightshift/internal/cadence"
	"nightshift/internal/proof"
	"nightshift/internal/session"
)

func sessionOf(execution string) string { return app.SessionOfExecution(execution) }

// runOf is the run that a session has in truth: the one it names, or the one
// that carries its stamp.
func (w *World) runOf(s *session.Session) *Run {
	for _, e := range w.Engines {
		if e.Endpoint != s.Run.Endpoint {
			continue
		}
		if s.Run.ID != "" {
			return e.byRef[s.Run.Ref()]
		}
		return e.byStamp[s.ID]
	}
	return nil
}

// Rest is how long a world may take, once nothing fails any more, until
// everything that must end has ended.
const rest = 60 * time.Minute

// atRest says whether nothing is left to do that was begun.
func (w *World) atRest() bool {
	now := w.Clock.Now()
	if w.inFlight > 0 || len(w.stream) > 0 || now.Sub(w.written) < 10*time.Second {
		return false // indexes are late, too
	}
	for _, e := range w.Engines {
		for _, o := range e.down {
			if now.Before(o.Until) {
				return false
			}
		}
		for _, r := range e.Runs {
			if r.alive(now) && r.Lost.IsZero() && r.Tag != "" && w.holder(r) == nil {
				return false // to be found by a listing
			}
		}
	}
	for _, e := range w.bus.history {
		if e.cause != nil && e.cause.Known.IsZero() && e.cause.knowable(now).IsZero() {
			return false // to be found by a replay
		}
	}
	if slices.ContainsFunc(w.Causes, w.untold) {
		return false // to be found by the next replay: one before may have failed on it
	}
	for _, r := range w.records {
		if r.now.Status == session.Ending || r.now.Status == session.Active && w.overdue(r) {
			return false
		}
	}
	left, _, err := w.Store.Unfinished(context.Background(), now, "")
	pending, _, err2 := w.Store.PendingUsers(context.Background(), "")
	return err == nil && err2 == nil && len(left) == 0 && len(pending) == 0
}

// untold says whether it is known that AWS issued a background token for a run, and the
// session of that was never background (S1.13).
func (w *World) untold(c *Cause) bool {
	if c.Kind != session.BackgroundTokenIssued || c.Known.IsZero() {
		return false
	}
	r := w.holder(c.Run)
	return r != nil && r.now.Status == session.Active && !slices.Contains(r.modes, session.Background)
}

// overdue says whether an active session has to end, or its run is over.
func (w *World) overdue(r *record) bool {
	run := w.runOf(&r.now)
	if run != nil && !run.alive(w.Clock.Now()) || run == nil && r.now.Run.ID == "" && w.neverStarts(r.now) {
		return true
	}
	return slices.ContainsFunc(w.claims(r, run), func(c claim) bool { return c.must })
}

// neverStarts: the execution that was to start the run has ended.
func (w *World) neverStarts(s session.Session) bool {
	for _, p := range w.plans {
		if p.Session == s.ID {
			e, err := w.runner.Execution(p.Execution)
			return err == nil && e.Status() != asl.Running
		}
	}
	return false
}

// holder is the session that has a run and has not ended.
func (w *World) holder(run *Run) *record {
	for _, r := range w.records {
		// Only one of its endpoint can be its, and a listing asks this of each run.
		if r.now.Status != session.Ended && r.now.Run.Endpoint == run.Endpoint && w.runOf(&r.now) == run {
			return r
		}
	}
	return nil
}

// judge holds the world at rest against the truth.
func (w *World) judge() {
	reasons := map[*Run][]claim{}
	live := map[*Run]int{}
	for _, id := range slices.Sorted(maps.Keys(w.records)) {
		r := w.records[id]
		run := w.runOf(&r.now)
		claims := w.claims(r, run)
		w.judgeRecord(r, run)
		w.judgeEnd(r, run, claims)
		w.judgeCause(r, run, claims)
		w.judgeMove(r)
		if run != nil {
			if r.now.Origin != session.Zombie {
				reasons[run] = append(reasons[run], claims...)
			}
			if r.now.Status != session.Ended {
				live[run]++
			}
		}
	}
	now := w.Clock.Now()
	for _, e := range w.Engines {
		for _, run := range e.Runs {
			w.judgeStops(run, reasons[run])
			owned := run.Lost.IsZero() && (run.Tag != "" || run.Stamp != "")
			switch {
			case live[run] > 1:
				w.violate("illegal", "run %s has %d live sessions", run.ID, live[run])
			case live[run] == 0 && run.alive(now) && owned:
				w.violate("lost", "run %s of %s is alive and nobody's session (S3.5a)", run.ID, run.Owner)
			}
		}
	}
	for _, c := range w.Causes {
		if w.untold(c) {
			w.violate("illegal", "session %s was never background, and AWS issued a background token for its run at +%s (S1.13)", w.holder(c.Run).now.ID, c.At.Sub(Epoch))
		}
	}
	w.judgeQuiet()
	if w.Options.Seed%proofEach == 0 {
		w.judgeProof()
	}
}

// proofEach is of how many schedules one has its evidence exported and verified;
// in the others each entry's seal and link are (committed). It costs a third of a
// schedule.
const proofEach = 16

// judgeProof exports the evidence as `nightshift prove` does and verifies it.
func (w *World) judgeProof() {
	var file bytes.Buffer
	now := w.Clock.Now()
	err := app.ExportProof(context.Background(), w.Store, &file, time.Time{}, time.Time{}, now.Add(time.Minute))
	if err == nil {
		var r proof.Report
		if r, err = proof.Verify(&file, proof.Options{}); err == nil {
			for _, f := range r.Faults {
				w.violate("illegal", "the evidence does not hold: %s (S8.4)", f)
			}
			if r.Covered.Before(now.Add(-4 * cadence.AnchorEvery)) {
				w.violate("illegal", "%d anchors reach to %s only (S8.4)", r.Anchors, r.Covered)
			}
			if r.Sessions != len(w.records) {
				w.violate("illegal", "the evidence has %d sessions of %d (S8.4)", r.Sessions, len(w.records))
			}
		}
	}
	if err != nil {
		w.violate("illegal", "the evidence cannot be verified: %v", err)
	}
}

// judgeRecord: what was frozen is what was true, and the record is one story.
func (w *World) judgeRecord(r *record, run *Run) {
	s := r.now
	if run != nil && run.Owner != s.User {
		w.violate("illegal", "session %s is %s's, its run %s is %s's (S2.5)", s.ID, s.User, run.ID, run.Owner)
	}
	answered := s.Facts
	answered.Instance = session.Unknown
	if answered != (session.Facts{}) && !w.Directory.given[w.Directory.key(s.Run, answered)] {
		w.violate("illegal", "session %s was opened with facts that nobody gave: %+v (S1.6)", s.ID, s.Facts)
	}
	w.judgeRead(s, run)
	if mode := modeOf(s); mode != r.modes[0] && !w.provedAtBirth(r) {
		w.violate("illegal", "session %s was opened %s, its facts say %s (S1.11)", s.ID, r.modes[0], mode)
	}
	if r.ended > 1 || s.Status == session.Ended && r.ended != 1 {
		w.violate("illegal", "session %s has ended %d times", s.ID, r.ended)
	}
	stored, err := w.Store.Session(context.Background(), s.ID)
	if err != nil || stored.Version != s.Version || stored.Head != s.Head || int64(r.entries) != s.Version {
		w.violate("illegal", "session %s: stored is version %d of %d entries, written was %d (%v)", s.ID, stored.Version, r.entries, s.Version, err)
	}
}

// judgeRead: what deadlines and comparisons are made from is what the request and the
// engine said (S1.9, S1.12, S2.10). The claims are made from the record.
func (w *World) judgeRead(s session.Session, run *Run) {
	wrong := func(what string, got, want any) {
		w.violate("illegal", "session %s: %s is %v in its record, in truth %v", s.ID, what, got, want)
	}
	for _, p := range w.plans {
		if p.Session != s.ID {
			continue
		}
		if asked := p.MaxRuntime.Truncate(time.Second); asked > 0 && s.Run.MaxRuntime != asked { // who asks for none has the engine's
			wrong("the run's own limit", s.Run.MaxRuntime, asked)
		}
		if !s.Interactive.ExpiresAt.Equal(p.Interactive.ExpiresAt) || s.Interactive.ID != p.Interactive.ID {
			wrong("the interactive session", s.Interactive, p.Interactive)
		}
	}
	if run == nil || !run.nature.tells {
		return
	}
	if off := s.OpenedAt.Sub(run.Created).Abs(); s.Origin == session.Adopted && off > w.blur() {
		wrong("the creation of an adopted run", s.OpenedAt, run.Created)
	}
	now, since := w.Clock.Now(), later(run.Runs, s.RecordedAt)
	for _, o := range w.Faults.Outages {
		if o.Endpoint == run.Endpoint {
			since = later(since, o.Until)
		}
	}
	if s.Status == session.Active && run.alive(now) && now.Sub(since) > LateAfter && s.RunningSince.Sub(run.Runs).Abs() > w.blur() {
		wrong("since when the run runs", s.RunningSince, run.Runs)
	}
}

// provedAtBirth: a revocation that was known when the session was opened had
// proved its mode (S1.13).
func (w *World) provedAtBirth(r *record) bool {
	return r.modes[0] == session.Background && slices.ContainsFunc(w.Causes, func(c *Cause) bool {
		return c.Kind == session.RevokeBackground && w.concerns(c, r.now, w.runOf(&r.now))
	})
}

// judgeMove: what was background rides the interactive session of its user where
// propagation was switched off with background sessions off, and only there (S1.8).
func (w *World) judgeMove(r *record) {
	s := r.now
	if r.modes[0] != session.Background {
		return
	}
	moved, since := slices.Contains(r.modes, session.Interactive), time.Time{}
	old, expiry := s.OpenedAt.Add(s.Policy.BackgroundDuration), s.Interactive.ExpiresAt
	for _, c := range w.Causes {
		if c.Kind != session.IdentityPropagationOff || !w.concerns(c, s, nil) {
			continue
		}
		may, does := w.moves(c, r)
		if may && since.IsZero() {
			since = c.At
		}
		if !does {
			continue
		}
		first, last := expiry, expiry
		if expiry.IsZero() {
			first, last = since.Add(s.Policy.InteractiveDuration-w.blur()), w.Clock.Now().Add(s.Policy.InteractiveDuration)
		}
		if old.Before(last) {
			first, last = earlier(first, old), old
		}
		switch {
		case s.Status == session.Active && !moved:
			w.violate("illegal", "session %s went on as background, and propagation of %s was switched off, with background sessions off, at +%s (S1.8)", s.ID, c.Domain, c.At.Sub(Epoch))
		case moved && (s.Own.At.Before(first) || s.Own.At.After(last)):
			w.violate("illegal", "session %s rides the interactive session until %s, and has to end between %s and %s (S1.8)", s.ID, s.Own.At, first, last)
		}
	}
	if moved && since.IsZero() {
		w.violate("illegal", "session %s was made interactive, and nothing says that it should (S1.8)", s.ID)
	}
}

// judgeEnd: what had to end has, in time; what had not goes on.
func (w *World) judgeEnd(r *record, run *Run, claims []claim) {
	s, now := r.now, w.Clock.Now()
	var must *claim
	for i, c := range claims {
		if c.must && (must == nil || c.known.Before(must.known)) {
			must = &claims[i]
		}
	}
	over, ours := time.Time{}, false
	if run != nil {
		over, _, ours = run.over(now)
	}
	idled := s.Status == session.Ended && run != nil && run.idleWhenLost()
	switch {
	case s.Status == session.Ended && run != nil && !idled && (over.IsZero() || over.After(s.End.Confirmed.Add(w.blur()))):
		w.violate("illegal", "session %s is ENDED, cause %s, and its run %s was not over then (S2.1)", s.ID, s.End.Cause, run.ID)
	case s.Origin == session.Zombie:
	case s.Status != session.Active && len(claims) == 0 && run != nil && over.IsZero() && !idled:
		w.violate("illegal", "session %s is %s, cause %s: nothing says that it should", s.ID, s.Status, s.End.Cause)
	}
	if run != nil && !over.IsZero() && s.Status != session.Ended {
		w.violate("lost", "session %s is %s, its run %s is over since +%s (S3.5a)", s.ID, s.Status, run.ID, over.Sub(Epoch))
	}
	if must == nil {
		return
	}
	w.musts[must.why]++
	if s.Status != session.Ended || run != nil && over.IsZero() && !idled {
		w.violate("lost", "session %s of %s must end (%s, known at +%s) and is %s, its run %v", s.ID, s.User, must.why, must.known.Sub(Epoch), s.Status, run != nil && over.IsZero())
		return
	}
	confirmed, grace := s.End.Confirmed, w.forgetting(s, run)
	if run != nil {
		grace += run.nature.grace
		if !ours && run.Lost.IsZero() {
			confirmed = over // it was over by itself, whenever we saw it
		}
	}
	late := confirmed.Sub(must.known) - grace
	if w.longOutage(s.Run.Endpoint) {
		return
	}
	w.worst = max(w.worst, late)
	if w.tracing {
		w.say("judged: session %s of %s: %s was known at +%s, its end is confirmed at +%s: %s late", s.ID, s.User, must.why, must.known.Sub(Epoch), confirmed.Sub(Epoch), late)
	}
	if late > LateAfter {
		w.violate("late", "session %s of %s: %s was known at +%s, the end is confirmed at +%s: %s late (S2.1)",
			s.ID, s.User, must.why, must.known.Sub(Epoch), confirmed.Sub(Epoch), late)
	}
}

// forgetting is the grace of a server that was restarted, or may have been: after an
// outage it shows nothing of what it showed before. A run that its Livy server forgot
// in a restart is called stopped ten minutes after the first complete listing that
// lacks it, and not before; these ten minutes are the engine's own documented
// grace, and are not part of the 15 (S2.1; decisions/0014). So it is with a start of
// which nobody can say that it came to nothing (S2.4: it "stays ENDING until the start
// is seen or disproved").
func (w *World) forgetting(s session.Session, run *Run) time.Duration {
	if run != nil && !run.Lost.IsZero() {
		return run.nature.forgets
	}
	for _, b := range w.engineOf(s.Run.Endpoint).blanks {
		doubted := b.silent || s.Missed.Since.Sub(b.at).Abs() < time.Minute // the note says so: and so it was
		if doubted && s.RecordedAt.Before(b.at) && b.at.Before(s.End.Confirmed) {
			return natures[s.Run.Engine].forgets
		}
	}
	return 0
}

// longOutage says whether the endpoint was out for longer than the promise bears.
func (w *World) longOutage(endpoint string) bool {
	return slices.ContainsFunc(w.Faults.Outages, func(o Outage) bool { return o.Endpoint == endpoint && o.Until.Sub(o.From) > OutageMax })
}

// judgeStops: no stop request without a reason, none before it.
func (w *World) judgeStops(run *Run, reasons []claim) {
	for _, at := range run.Asked {
		wanted := slices.ContainsFunc(reasons, func(c claim) bool { return !at.Before(c.since.Add(-w.Faults.Skew - time.Second)) })
		switch {
		case wanted:
		case len(reasons) > 0:
			w.violate("early", "run %s of %s was asked to stop at +%s, the first reason is at +%s", run.ID, run.Owner, at.Sub(Epoch), reasons[0].since.Sub(Epoch))
		default:
			w.violate("illegal", "run %s of %s was asked to stop at +%s for no reason", run.ID, run.Owner, at.Sub(Epoch))
		}
	}
}

// judgeQuiet: effects are carried out, waiters released.
func (w *World) judgeQuiet() {
	left, _, err := w.Store.Unfinished(context.Background(), w.Clock.Now().Add(-2*time.Minute), "")
	for _, e := range left {
		w.violate("illegal", "the effects of session %s version %d are not carried out", e.SessionID, e.Version)
	}
	if err != nil {
		w.violate("illegal", "unfinished entries cannot be listed: %v", err)
	}
	for what, said := range w.asked { // that it goes on or ends is said whatever comes after; a page and a notice may be outdated
		if !said && what.kind != session.Page && what.kind != session.Notice {
			w.violate("illegal", "session %s version %d asks for %s %s, which was never said", what.session, what.version, what.kind, what.reason)
		}
	}
	w.judgeParked()
	for _, p := range w.plans {
		r := w.records[p.Session]
		if p.Execution == "" || r == nil || r.now.Status != session.Ended {
			continue
		}
		if e, err := w.runner.Execution(p.Execution); err != nil || e.Status() == asl.Running {
			w.violate("illegal", "execution %s still waits, its session %s has ended (%v)", p.Execution, p.Session, err)
		}
	}
	if w.bus.dead > 0 {
		w.violate("illegal", "%d messages went to a dead-letter queue", w.bus.dead)
	}
}

// judgeParked: a malformed event that arrived is kept with its reason (S3.6).
func (w *World) judgeParked() {
	kept := map[string]bool{}
	for cursor := ""; ; {
		page, next, err := w.Store.ParkedEvents(context.Background(), cursor)
		if err != nil {
			w.violate("illegal", "parked events cannot be listed: %v", err)
			return
		}
		for _, p := range page {
			kept[p.Body] = p.Reason != ""
		}
		if cursor = next; next == "" {
			break
		}
	}
	for _, e := range w.bus.malformed {
		if !e.cause.Known.IsZero() && !kept[string(e.body)] {
			w.violate("illegal", "a malformed event arrived and is not parked: %s (S3.6)", e.body)
		}
	}
}

// reasons are the claims for which a stop may say that it ended for a cause (S2.7);
// other causes are of runs that were over by themselves, and zombies.
var reasons = map[session.Cause][]string{
	session.CauseSignOut:            {string(session.SignOut), "portal", string(session.IdentityPropagationOff)},
	session.CauseInteractiveRevoked: {string(session.RevokeInteractive)},
	session.CauseBackgroundRevoked:  {string(session.RevokeBackground)},
	session.CauseNotebookClosed:     {string(session.NotebookClosed)},
	session.CauseUserDisabled:       {string(session.UserDisabled)},
	session.CauseUserDeleted:        {string(session.UserDeleted)},
	session.CauseAccessRemoved:      {string(session.AccessRemoved)},
	session.CauseStopRequested:      {string(session.StopRequested)},
	session.CauseWaiterAborted:      {string(session.WaiterAborted)},
	session.CauseKernelStopped:      {string(session.KernelStopped)},
	session.CauseIdle:               {"idle"},
	session.CauseInteractiveExpired: {"deadline"},
	session.CauseBackgroundExpired:  {"deadline"},
	session.CauseMaxRuntime:         {"deadline"},
	session.CauseEngineLimit:        {"deadline"},
	session.CauseTenantLimit:        {"deadline"},
}

// judgeCause: what a stop says of its reason is so, and its lateness counts from when
// that was known (S2.7).
func (w *World) judgeCause(r *record, run *Run, claims []claim) {
	s := r.now
	whys := reasons[s.End.Cause]
	if s.Status == session.Active || whys == nil {
		return
	}
	if !slices.ContainsFunc(claims, func(c claim) bool {
		return slices.Contains(whys, c.why) && !s.End.Decided.Before(c.since.Add(-w.blur()))
	}) {
		w.violate("illegal", "session %s says that it ended for %s, which was not so (S2.7)", s.ID, s.End.Cause)
	}
	if !w.blames(r, run, whys) {
		w.violate("illegal", "session %s says that %q caused its end for %s (S2.7)", s.ID, s.End.By, s.End.Cause)
	}
	if by := whys[0]; by != "idle" && by != "deadline" && !w.heard(r, run, whys) {
		w.violate("illegal", "session %s says that %s was known at +%s; no word of it came then (S2.7)", s.ID, s.End.Cause, s.End.Known.Sub(Epoch))
	}
}

// blames: who is said to have caused the end is whom the news of it names, nightshift
// where that is the clock, and unknown where a check has found it.
func (w *World) blames(r *record, run *Run, whys []string) bool {
	s := r.now
	if whys[0] == "idle" || whys[0] == "deadline" {
		return s.End.By == "nightshift"
	}
	return slices.ContainsFunc(w.Causes, func(c *Cause) bool {
		if slices.Contains(whys, "portal") && w.lacks(c, s) && s.End.By == "unknown" {
			return true
		}
		if !slices.Contains(whys, string(c.Kind)) || !w.concerns(c, s, run) {
			return false
		}
		switch c.Kind {
		case session.UserDisabled, session.UserDeleted, session.AccessRemoved:
			return s.End.By == c.By || s.End.By == "unknown"
		case session.WaiterAborted: // nightshift: a step of ours failed
			return s.End.By == "unknown" || s.End.By == "nightshift"
		}
		return s.End.By == c.By || c.Kind == session.KernelStopped && s.End.By == "unknown" // it overtook the run's record
	})
}

// heard: when a cause is said to have been known, word of it had just come to one of
// our functions, by its clock, or the session or its run was known only then.
func (w *World) heard(r *record, run *Run, whys []string) bool {
	s := r.now
	near := func(t time.Time) bool {
		return s.End.Known.Sub(t).Abs() <= w.Faults.Skew
	}
	// What overtook the run's record is taken up by the effects of what named the run.
	after := s.End.Known.Sub(r.named)
	overtook := s.End.Cause == session.CauseKernelStopped && !r.named.IsZero() && after > 0 && after <= 30*time.Second
	return near(s.RecordedAt) || near(r.named) || overtook || slices.ContainsFunc(w.Causes, func(c *Cause) bool {
		if slices.Contains(whys, "portal") && w.lacks(c, s) {
			return true // the portal's list lacks it, and nobody says since when
		}
		return slices.Contains(whys, string(c.Kind)) && w.concerns(c, s, run) && slices.ContainsFunc(c.news, near)
	})
}
