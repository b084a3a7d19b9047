package session

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"nightshift/internal/workload"
)

// chooser makes arbitrary openings and events out of a source of numbers, from
// few enough values that they often meet.
type chooser struct {
	next func(n int) int
}

func pick[T any](c *chooser, values ...T) T { return values[c.next(len(values))] }

func (c *chooser) tri() Tri { return pick(c, On, On, Off, Unknown) }

func (c *chooser) time() time.Time {
	return after(time.Duration(c.next(40)-8)*30*time.Minute + time.Duration(c.next(10)/8)*24*time.Hour*time.Duration(1+c.next(95)) + time.Duration(c.next(2)))
}

func (c *chooser) duration() time.Duration {
	return pick(c, 15*time.Minute, time.Hour, 8*time.Hour, 7*24*time.Hour, 90*24*time.Hour)
}

func (c *chooser) policy() Policy {
	return Policy{Version: int64(c.next(9)), InstanceBackground: c.tri(), BackgroundDuration: c.duration(), InteractiveDuration: c.duration(), LivyIdle: c.duration(),
		TenantLimit: pick(c, 0, 0, c.duration()), RequireUnifiedStudioLaunch: c.next(4) == 0}
}

func (c *chooser) interactive() InteractiveSession {
	return InteractiveSession{ID: pick(c, "", "is-1", "is-1", "is-2"), Source: pick(c, "", "portal", "portal", "idc"), ExpiresAt: pick(c, time.Time{}, c.time())}
}

func (c *chooser) opening() Opening {
	o := Opening{ID: "s-1", User: "u-ana", Origin: pick(c, Started, Adopted), At: pick(c, opened, opened, c.time()), Interactive: c.interactive(),
		Facts: Facts{IdentityPropagation: c.tri(), ApplicationBackground: c.tri(), ClusterBackground: c.tri(), ReleaseLabel: pick(c, "emr-7.12.0", "emr-7.12.0", "emr-7.11.x", "emr-7.9.0", ""),
			BootstrapConfirmed: c.tri(), UnifiedStudioCluster: c.tri(), UnifiedStudioLaunch: c.tri()},
		Run: workload.Run{Engine: pick(c, append(workload.Engines(), workload.Livy, workload.Livy)...), Endpoint: "e", ID: pick(c, "", "r-1", "r-1"),
			Kind: pick(c, workload.LivySession, workload.LivySession, workload.LivyBatch, ""), Application: pick(c, workload.Spark, workload.Spark, workload.Hive, ""),
			MaxRuntime: pick(c, 0, 0, time.Hour, 30*24*time.Hour), Domain: pick(c, "", "d-1")}}
	if c.next(12) == 0 {
		o.Origin, o.Previous, o.Zombie = Zombie, "s-0", CauseSignOut
	}
	return o
}

func (c *chooser) event() Event {
	at := c.time()
	e := Event{ID: pick(c, "", "e-1", "e-2"), Kind: pick(c, Kinds()...), At: at, User: pick(c, "", "u-ana", "u-ana", "u-ana", "u-ben"), By: pick(c, "", "u-root"),
		Interactive: pick(c, InteractiveSession{}, c.interactive()), Domain: pick(c, "d-1", "d-2"), Since: pick(c, time.Time{}, c.time()), Busy: c.next(2) == 0,
		State: pick(c, workload.States()...), Token: "t", MaxRuntime: pick(c, 0, 0, time.Hour), Run: workload.Ref{Endpoint: "e", ID: pick(c, "r-1", "r-2")}}
	e.Until = pick(c, time.Time{}, c.time())
	if c.next(3) == 0 {
		e.Kind, e.State = RunObserved, pick(c, workload.Running, workload.Idle)
	}
	return e
}

func (c *chooser) session() Session {
	return Open(c.opening(), c.policy(), UserFacts{}, opened).Next
}

// frozen checks what no event may change (S1.6).
func frozen(t *testing.T, before, after Session) {
	t.Helper()
	type fixed struct {
		ID, User, Previous   string
		Version              int64
		Origin               Origin
		OpenedAt, RecordedAt time.Time
		Policy               Policy
		Facts                Facts
		Interactive          InteractiveSession
	}
	of := func(s Session) fixed {
		return fixed{s.ID, s.User, s.Previous, s.Version, s.Origin, s.OpenedAt, s.RecordedAt, s.Policy, s.Facts, s.Interactive}
	}
	if of(before) != of(after) {
		t.Errorf("S1.6 what was decided at the opening has moved:\n%+v\n%+v", of(before), of(after))
	}
	a, b := before.Run, after.Run
	a.ID, a.MaxRuntime, b.ID, b.MaxRuntime = "", 0, "", 0
	if a != b || before.Run.ID != "" && before.Run.ID != after.Run.ID || before.Run.MaxRuntime != 0 && before.Run.MaxRuntime != after.Run.MaxRuntime {
		t.Errorf("S1.6 the run has changed:\n%+v\n%+v", before.Run, after.Run)
	}
	if len(after.Why) < len(before.Why) || !slices.Equal(before.Why, after.Why[:len(before.Why)]) {
		t.Errorf("S1.6 the reasons have changed: %q, %q", before.Why, after.Why)
	}
}

// possibleModes works out again, from S1.10 and S1.11 alone, which modes the
// facts leave open: it tries every value of every unknown.
func possibleModes(s Session) map[Mode]bool {
	open := func(t Tri) []Tri {
		if t == Unknown {
			return []Tri{On, Off}
		}
		return []Tri{t}
	}
	qualifies := map[bool]bool{}
	for _, instance := range open(s.Facts.Instance) {
		for _, application := range open(s.Facts.ApplicationBackground) {
			both := instance == On && application == On
			if s.Run.Engine != workload.Livy {
				qualifies[both] = true
				continue
			}
			for _, cluster := range open(s.Facts.ClusterBackground) {
				for _, needs := range livyNeeds(s) {
					qualifies[both && cluster == On && needs] = true
				}
			}
		}
	}
	modes := map[Mode]bool{}
	for _, tip := range open(s.Facts.IdentityPropagation) {
		if tip == Off {
			modes[Role] = true
			continue
		}
		if qualifies[true] {
			modes[Background] = true
		}
		if qualifies[false] {
			modes[Interactive] = true
		}
	}
	return modes
}

// livyNeeds are the answers that S1.3 leaves open, for the labels of chooser.
func livyNeeds(s Session) []bool {
	f := s.Facts
	answer := On
	need := func(t Tri) {
		switch {
		case t == Off:
			answer = Off
		case t == Unknown && answer == On:
			answer = Unknown
		}
	}
	known := func(given, right string) Tri {
		switch given {
		case "":
			return Unknown
		case right:
			return On
		}
		return Off
	}
	switch f.ReleaseLabel {
	case "emr-7.12.0":
	case "emr-7.9.0":
		need(Off)
	case "emr-7.11.x":
		switch {
		case f.BootstrapConfirmed == On || f.UnifiedStudioCluster == On:
		case f.BootstrapConfirmed == Off && f.UnifiedStudioCluster == Off:
			need(Off)
		default:
			need(Unknown)
		}
	default:
		need(Unknown)
	}
	if s.Policy.RequireUnifiedStudioLaunch {
		need(f.UnifiedStudioLaunch)
	}
	need(known(string(s.Run.Application), "spark"))
	need(known(string(s.Run.Kind), "livy-session"))
	switch answer {
	case On:
		return []bool{true}
	case Off:
		return []bool{false}
	case Unknown:
	}
	return []bool{true, false}
}

// endsIn says in which modes a cause ends a session (the table of S2).
func endsIn(c Cause) []Mode {
	switch c {
	case CauseSignOut, CauseInteractiveExpired, CauseInteractiveRevoked, CauseNotebookClosed:
		return []Mode{Interactive}
	case CauseBackgroundExpired, CauseBackgroundRevoked:
		return []Mode{Background}
	case CauseUserDisabled, CauseUserDeleted, CauseAccessRemoved:
		return []Mode{Interactive, Background}
	default: // the rest end or close every mode
		return []Mode{Interactive, Background, Role}
	}
}

// checkStep applies one event and holds the answer against what S1 and S2 say of
// every answer.
func checkStep(t *testing.T, s Session, e Event, p Policy, now time.Time) Session {
	t.Helper()
	before := s
	before.Why, before.Recent = slices.Clone(s.Why), slices.Clone(s.Recent)
	d := Decide(s, e, p, now)
	n := d.Next
	fail := func(sentence string) {
		t.Helper()
		t.Fatalf("%s\nbefore %+v\nevent %+v\nnow %s\nafter %+v\neffects %+v", sentence, before, e, now, n, d.Effects)
	}
	if !reflect.DeepEqual(before, s) {
		fail("Decide changed what it was asked about")
	}
	if !reflect.DeepEqual(d, Decide(s, e, p, now)) {
		fail("Decide answers the same question differently")
	}
	frozen(t, s, n)
	if t.Failed() {
		fail("frozen")
	}
	order := map[Status]int{Active: 0, Ending: 1, Ended: 2}
	if _, known := order[n.Status]; !known || order[n.Status] < order[s.Status] {
		fail("S2.3 a status goes back")
	}
	if s.Status == Ended && (!reflect.DeepEqual(n, before) || len(d.Effects) > 0 || d.Changed || d.Ignored == "") {
		fail("S2.3 an ended session changes")
	}
	if s.Status == Ending {
		if n.End.Cause != s.End.Cause || n.End.Happened != s.End.Happened || n.End.Known != s.End.Known || n.End.Decided != s.End.Decided ||
			n.Mode != s.Mode || n.Deadline != s.Deadline || n.DeadlineSource != s.DeadlineSource {
			fail("S2.12 while ENDING cause, mode or deadline changes")
		}
	}
	if (n.Status == Active) != (n.End == End{}) {
		fail("S2.7 an end without an ending, or the other way round")
	}
	if n.Status != Active && (n.End.Cause == "" || n.End.Known.IsZero() || n.End.Decided.IsZero()) {
		fail("S2.7 an ending without its story")
	}
	if (n.Status == Ended) == n.End.Confirmed.IsZero() {
		fail("S2.1 ended without being confirmed, or the other way round")
	}
	checkEffects(s, e, d, fail)
	checkDeadline(n, fail)
	if s.Status == Active && n.Status == Active && !n.Deadline.IsZero() && !now.Before(n.Deadline) {
		fail("S2.11 a session that is due goes on")
	}
	if s.Status == Active && n.Status != Active {
		cause := n.End.Cause
		switch {
		case cause == CauseSignOut && e.Kind == IdentityPropagationOff && s.Mode == Background: // S1.8
		case s.Mode == ModeUnknown && n.Mode == ModeUnknown:
			for m := range possibleModes(s) {
				if !slices.Contains(endsIn(cause), m) {
					fail("S2 unknown mode ends by a cause that would not end mode " + string(m))
				}
			}
		case cause == CauseBackgroundExpired && n.DeadlineSource == SourceBackground:
		case !slices.Contains(endsIn(cause), n.Mode):
			fail("S2 a session ends by a cause that does not end its mode")
		}
	}
	if s.Mode == ModeUnknown && n.Mode != ModeUnknown && (n.Mode != Background || e.Kind != BackgroundTokenIssued && e.Kind != RevokeBackground) {
		fail("S1.13 an unknown mode becomes known by something else than evidence")
	}
	if e.User == "u-ben" && s.Status == Active {
		tick := Decide(s, Event{Kind: PolicyChanged, At: e.At}, p, now).Next
		tick.End, n.End = End{Cause: tick.End.Cause}, End{Cause: n.End.Cause}
		if !reflect.DeepEqual(tick, n) {
			fail("S2.17 another user's event does more than let time pass")
		}
	}
	if again := Decide(d.Next, e, p, now); again.Next.Status != d.Next.Status {
		fail("S2.3 the same event again changes the status")
	}
	return d.Next
}

func checkEffects(s Session, e Event, d Decision, fail func(string)) {
	n := d.Next
	got := kinds(d.Effects)
	if len(slices.Compact(slices.Clone(got))) != len(got) {
		fail("an effect is there twice")
	}
	has := func(k EffectKind) bool { return slices.Contains(got, k) }
	for _, effect := range d.Effects {
		if !effect.Wanted(n) {
			fail("an effect is not wanted by what the session has become")
		}
	}
	if has(Stop) && n.Status != Ending || has(ReleaseWaiter) != (n.Status == Ended && s.Status != Ended) {
		fail("S2.12 stop only while ENDING, release-waiter only and always when ENDED")
	}
	if has(Notify) != (s.Status == Active && n.Status != Active) {
		fail("S2.8 the user is told when, and only when, the session begins to end")
	}
	if s.Status == Active && n.Status == Ending && !has(Stop) {
		fail("S2.1 ending without asking the run to stop")
	}
	if s.Status == Ending && n.Status == Ending && has(Stop) != (e.Kind == Tick || e.Kind == RunStarted && n.Run.ID != s.Run.ID) && (e.User == "" || e.User == s.User) {
		fail("S2.12 while ENDING a tick asks again, other events do not")
	}
	if len(got) > 0 && d.Ignored != "" {
		fail("something happened and a reason is given why not")
	}
	if (len(d.Effects) > 0 || !reflect.DeepEqual(s, n)) != d.Changed {
		fail("Changed does not say whether it changed")
	}
}

// checkDeadline: the deadline is the earliest of all limits, and its source is
// the one that sets it (S1.9, S1.12).
func checkDeadline(s Session, fail func(string)) {
	limits := map[Source]time.Time{}
	moved := func(at time.Time) time.Time { // by an extension (S8.2)
		if s.Extended.After(at) {
			return s.Extended
		}
		return at
	}
	if !s.Own.At.IsZero() {
		limits[s.Own.Source] = s.Own.At
		record := s.Run.Engine == workload.EMRContainers || s.Run.Engine == workload.EMRNotebook
		if record && s.TokenAt.IsZero() && (s.Mode != Interactive || s.Interactive.ExpiresAt.IsZero()) {
			limits[s.Own.Source] = moved(s.Own.At)
		}
	}
	if !s.RunningSince.IsZero() {
		if s.Run.MaxRuntime > 0 {
			limits[SourceMaxRuntime] = s.RunningSince.Add(s.Run.MaxRuntime)
		}
		switch s.Run.Engine {
		case workload.SageMakerTraining:
			limits[SourceEngine] = s.RunningSince.Add(28 * 24 * time.Hour)
		case workload.SageMakerProcessing:
			limits[SourceEngine] = s.RunningSince.Add(9 * 24 * time.Hour)
		case workload.Livy, workload.EMRContainers, workload.SageMakerPipeline, workload.EMRNotebook:
		}
	}
	if s.Policy.TenantLimit > 0 {
		limits[SourceTenant] = moved(s.OpenedAt.Add(s.Policy.TenantLimit))
	}
	if len(limits) == 0 && (s.DeadlineSource != SourceNone || !s.Deadline.IsZero()) {
		fail("S1.12 a deadline without a limit")
	}
	if len(limits) > 0 && s.Deadline != limits[s.DeadlineSource] {
		fail("S1.9 the deadline is not that of its source")
	}
	for source, at := range limits {
		if s.Deadline.After(at) {
			fail("S1.9 the deadline is later than " + string(source))
		}
	}
	if (s.Mode == Role || s.Mode == ModeUnknown) && !s.Own.At.IsZero() {
		fail("S1.12 role and unknown have a limit of their own")
	}
}

func checkSequence(t *testing.T, c *chooser, events int) {
	t.Helper()
	now := opened
	u := UserFacts{User: "u-ana"}
	for range c.next(4) {
		if e := c.event(); e.Kind.AboutUser() || e.Kind == UserEnabled {
			e.User = "u-ana"
			u, _ = u.With(e, now)
		}
	}
	p := c.policy()
	s := Open(c.opening(), p, u, now).Next
	modes := possibleModes(s)
	if s.Status == Active && len(u.Facts) == 0 && (len(modes) == 1) != (s.Mode != ModeUnknown) || s.Mode != ModeUnknown && s.Status == Active && len(u.Facts) == 0 && !modes[s.Mode] {
		t.Fatalf("S1.11 mode %s, possible are %v: %+v", s.Mode, modes, s)
	}
	for range events {
		e := c.event()
		if e.At.After(now) {
			now = e.At
		}
		if e.Kind == PolicyChanged {
			p = c.policy()
		}
		s = checkStep(t, s, e, p, now)
	}
}

// TestDecideOnRandomSequences is the fuzz test's check on sequences of a fixed
// seed, so that it is made on every run of the tests.
func TestDecideOnRandomSequences(t *testing.T) {
	t.Parallel()
	c := &chooser{next: rand.New(rand.NewPCG(20261120, 18)).IntN}
	for range 3_000 {
		checkSequence(t, c, 10)
	}
}

// FuzzDecide: what holds of every decision, for whatever session and events.
func FuzzDecide(f *testing.F) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 1))
		data := make([]byte, 400)
		for i := range data {
			data[i] = byte(r.IntN(256))
		}
		f.Add(data)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		used := 0
		checkSequence(t, &chooser{next: func(n int) int {
			if used == len(data) {
				return 0
			}
			used++
			return int(data[used-1]) % n
		}}, min(30, 1+len(data)/30))
	})
}
