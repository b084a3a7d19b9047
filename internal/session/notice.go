package session

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"nightshift/internal/workload"
)

// Names of the notices that no deadline brings; they are their effects' reasons.
const (
	NoticeLate      = "late"      // it will probably not finish before its end
	NoticeForgotten = "forgotten" // nobody is there, and it costs more than the setting
)

// Notices are how long before the end the user is told (S4.6), longest first.
func Notices() []time.Duration { return []time.Duration{24 * time.Hour, time.Hour, 15 * time.Minute} }

// NoticeSlack is how late a notice may be said: a sweep that was missed, and an
// effect that lingered, fit in. A notice that is later is no news any more and is
// dropped; the next one is said in its time.
const NoticeSlack = 5 * time.Minute

// ForgottenAfter is how long a session lives on after its user left before it
// counts as forgotten (S8.5): overnight work is not.
const ForgottenAfter = 24 * time.Hour

// Forgotten says whether the session lives although its user left, by the newest
// sign-out or end of the interactive session known, ForgottenAfter ago or longer.
func (s Session) Forgotten(now time.Time) bool {
	return s.Status == Active && !s.LeftAt.IsZero() && now.Sub(s.LeftAt) >= ForgottenAfter
}

// What an estimate needs, so that it is none from the first moments.
const (
	estimateShare = 0.05             // of the work done
	estimateTook  = 10 * time.Minute // of time taken for it
	estimateMax   = 10 * DurationMax // what is further off is given as this
)

// Finish is when a piece of work finishes at its pace so far; false where its
// engine does not say enough.
func Finish(p workload.Progress) (time.Time, bool) {
	took := p.At.Sub(p.Since)
	if !p.Known() || p.Since.IsZero() || p.Fraction < estimateShare || p.Fraction >= 1 || took < estimateTook {
		return time.Time{}, false
	}
	return p.At.Add(time.Duration(min(float64(took)*(1/p.Fraction-1), float64(estimateMax)))), true
}

// Late says whether work of this progress will probably not finish before the
// session's deadline.
func (s Session) Late(p workload.Progress) bool {
	finish, ok := Finish(p)
	return ok && !s.Deadline.IsZero() && finish.After(s.Deadline)
}

// How much progress is worth a version of the session.
const (
	progressStep = 0.1
	progressRest = 15 * time.Minute // between two pieces of work, such as short statements
)

// ProgressNews says whether progress is worth writing down: a listing repeats it
// each minute, and each version is a transaction.
func (s Session) ProgressNews(p workload.Progress) bool {
	old := s.Progress
	switch {
	case s.Status != Active || !p.Known() || p.At.Before(old.At):
		return false
	case s.LateAt.IsZero() && s.Late(p):
		return true
	case p.Of != old.Of:
		return p.At.Sub(old.At) >= progressRest
	}
	return math.Abs(p.Fraction-old.Fraction) >= progressStep || p.Fraction == 1 && old.Fraction < 1
}

// progressSeen notes how far the work is, and tells once where it will probably
// not finish (S4.6).
func (st *step) progressSeen() {
	p := st.e.Progress
	if !p.Known() || p.At.Before(st.s.Progress.At) {
		st.ignored = "newer progress is known"
		return
	}
	st.s.Progress = p
	if st.s.LateAt.IsZero() && st.s.Late(p) {
		st.s.LateAt = st.now
		st.effect(Effect{Kind: Notice, Reason: NoticeLate, Text: explainLate(st.s)})
	}
}

// costSeen tells once of a forgotten session that costs more than the setting of
// now: it stops nothing, so that nothing of it was frozen at the opening.
func (st *step) costSeen() {
	switch {
	case !st.s.CostToldAt.IsZero():
		st.ignored = "it was told already"
	case st.p.CostAlert <= 0 || st.e.Cost <= float64(st.p.CostAlert):
		st.ignored = "it has not cost more than the setting"
	case !st.s.Forgotten(st.now):
		st.ignored = "the session is not forgotten"
	default:
		st.s.CostToldAt = st.now
		st.effect(Effect{Kind: Notice, Reason: NoticeForgotten, Text: explainForgotten(st.s, st.e.Cost, st.p.CostAlert, st.now)})
	}
}

// left notes when the user left a session that may outlive that.
func (st *step) left() {
	st.s.InteractiveGone = true
	st.s.LeftAt = latest(st.s.LeftAt, st.e.At)
}

// tick: time has passed, which clock has seen to; a notice may be due (S4.6).
func (st *step) tick() {
	st.ignored = "nothing is due"
	if st.s.Deadline.IsZero() {
		return
	}
	left := st.s.Deadline.Sub(st.now)
	for _, n := range slices.Backward(Notices()) {
		if left > n || st.s.Noticed != 0 && n >= st.s.Noticed {
			continue
		}
		st.s.Noticed = n
		if n-left > NoticeSlack {
			st.ignored = "the notice of " + Lasting(n) + " before the end was not said in its time: late news is no news (S4.6)"
			return
		}
		st.effect(Effect{Kind: Notice, Reason: string(st.s.DeadlineSource), Before: n, Text: ExplainNotice(st.s, st.now)})
		return
	}
}

// Stale says whether a notice has become old news by the time it is to be said:
// the deadline it was decided for was moved, its moment has long passed, or what
// it warns of has come.
func (e Effect) Stale(s Session, decidedFor, now time.Time) bool {
	if e.Kind != Notice || s.Deadline.IsZero() {
		return false
	}
	left := s.Deadline.Sub(now)
	return left <= 0 || e.Before > 0 && (!s.Deadline.Equal(decidedFor) || e.Before-left > NoticeSlack)
}

// ExplainNotice tells a user that the end is near: in how long, when, why, and
// where that is changed.
func ExplainNotice(s Session, now time.Time) string {
	return named(s) + " ends in " + Lasting(s.Deadline.Sub(now)) + ", at " + Moment(s.Deadline) + ": then " + coming(s.DeadlineSource) + ". " +
		where(deadlineCause(s.DeadlineSource))
}

func explainLate(s Session) string {
	p := s.Progress
	finish, _ := Finish(p)
	return fmt.Sprintf("%s will probably not finish: %s is %.0f %% done after %s and at this pace needs until %s; %s before that, at %s, %s. %s",
		named(s), p.Of, 100*p.Fraction, Lasting(p.At.Sub(p.Since)), Moment(finish), Lasting(finish.Sub(s.Deadline)), Moment(s.Deadline),
		coming(s.DeadlineSource), where(deadlineCause(s.DeadlineSource)))
}

func explainForgotten(s Session, cost float64, limit int64, now time.Time) string {
	end := "it has no deadline"
	if !s.Deadline.IsZero() {
		end = "it ends in " + Lasting(s.Deadline.Sub(now)) + ", at " + Moment(s.Deadline)
	}
	return fmt.Sprintf("%s may be forgotten: its user left %s ago, at %s, and it has cost about %.2f US dollars so far, more than the %d of the policy (costAlert); %s. Stop it if nobody needs it.",
		named(s), Lasting(now.Sub(s.LeftAt)), Moment(s.LeftAt), cost, limit, end)
}

// coming is what a deadline's source will be when it is there.
func coming(source Source) string {
	switch source {
	case SourceBackground:
		return "its background session expires"
	case SourceInteractive:
		return "the interactive session that it depends on expires"
	case SourceMaxRuntime:
		return "it reaches its own MaxRuntimeInSeconds"
	case SourceEngine:
		return "it reaches the longest runtime the engine allows"
	case SourceTenant, SourceNone:
	}
	return "it reaches the tenant limit"
}

// where says where a limit is changed; "" for a cause that is none. deadlineCause
// has every source of a deadline as one.
func where(c Cause) string {
	switch c {
	case CauseBackgroundExpired, CauseInteractiveExpired:
		return WhereDuration
	case CauseIdle:
		return "An administrator changes the idle limit in Nightshift's policy: livyIdle."
	case CauseMaxRuntime:
		return "MaxRuntimeInSeconds is set when a job is started."
	case CauseEngineLimit:
		return "AWS sets that limit: nobody can change it."
	case CauseTenantLimit:
		return "An administrator changes the tenant limit in Nightshift's policy: tenantLimit."
	}
	return ""
}

// advice says what can be done about an end that no limit caused: a changed
// duration would not have prevented it (decisions/0028).
func advice(s Session) string {
	why, again := "nightshift why "+s.ID+" tells ", "nightshift restart "+s.ID+" starts it again from its checkpoint, if it has one."
	switch s.End.Cause {
	case CauseSignOut, CauseInteractiveRevoked, CauseNotebookClosed:
		return "Only a background session outlives that: " + why + "what it lacked for one."
	case CauseBackgroundRevoked:
		return "Ask an administrator why, before you start it again."
	case CauseUserDisabled, CauseUserDeleted, CauseAccessRemoved:
		return "Ask an administrator for access, before you start it again."
	case CauseWaiterAborted:
		return "Step Functions' history of that execution says why."
	case CauseStopRequested:
		return why + "who asked; " + again
	case CauseKernelStopped, CauseStoppedElsewhere:
		return again
	case CauseClusterTerminated:
		return "Start it on another cluster."
	case CauseFailed:
		return "Its logs say why: " + why + "where they are."
	case CauseFinished:
		return "Nothing is left to do."
	case CauseZombie:
		return "Its results may be twice there: look before you use them."
	}
	return "Look whether its results are there, before you start it again."
}

// named is the session's run for its user.
func named(s Session) string {
	run := s.Run.ID
	if run == "" {
		run = "still being started"
	}
	return "Your run (" + string(s.Run.Engine) + ", " + run + ")"
}

// Moment is a time for people, in UTC and to the minute.
func Moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// Lasting is a duration for people, to the minute and of at most two units:
// "1 hour", "6 days 23 hours".
func Lasting(d time.Duration) string {
	minutes := int64(d.Round(time.Minute) / time.Minute)
	if minutes < 1 {
		return "less than a minute"
	}
	var parts []string
	units := []struct {
		name    string
		minutes int64
	}{{"day", 24 * 60}, {"hour", 60}, {"minute", 1}}
	if minutes < 2*units[0].minutes {
		units = units[1:] // people say 24 hours
	}
	for _, unit := range units {
		n := minutes / unit.minutes
		minutes %= unit.minutes
		if n == 0 {
			if len(parts) > 0 {
				break
			}
			continue
		}
		if n > 1 {
			unit.name += "s"
		}
		if parts = append(parts, fmt.Sprint(n, " ", unit.name)); len(parts) == 2 {
			break
		}
	}
	return strings.Join(parts, " ")
}
