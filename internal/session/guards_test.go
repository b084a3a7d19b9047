package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/internal/workload"
)

// Guards that `make mutate` found nobody to notice the absence of.

func at(s Session, e Event, now time.Duration) Decision { return Decide(s, e, policyOn(), after(now)) }

// A step that finds a session due knew of it when it was due; one whose event
// makes it due knows of it now (S2.7, S2.17).
func TestS2_7WhenADueEndIsKnown(t *testing.T) {
	bounded := openAs(t, both(interactiveOpening, func(o *Opening) { o.Run.MaxRuntime = time.Hour }))
	running := apply(bounded, seen(workload.Running, after(time.Minute))).Next
	idle := apply(openAs(t, nil), Event{Kind: IdleSince, At: after(time.Minute), Since: after(0)}).Next
	limit := idle.Policy.LivyIdle
	for _, c := range []struct {
		name  string
		d     Decision
		cause Cause
		known time.Time
	}{
		{"deadline, by a tick", at(running, Event{Kind: Tick}, 2*time.Hour), CauseMaxRuntime, after(time.Hour + time.Minute)},
		{"deadline, by the event", at(bounded, seen(workload.Running, after(time.Minute)), 2*time.Hour), CauseMaxRuntime, after(2 * time.Hour)},
		{"idle, by a tick", at(idle, Event{Kind: Tick}, limit+time.Hour), CauseIdle, after(limit)},
		{"idle, by the event", at(openAs(t, nil), Event{Kind: IdleSince, At: after(limit), Since: after(0)}, limit+time.Hour), CauseIdle, after(limit + time.Hour)},
		{"idle, by an old word of being busy", at(idle, Event{Kind: IdleSince, At: after(time.Second), Busy: true}, limit+time.Hour), CauseIdle, after(limit)},
	} {
		wantStatus(t, c.d.Next, Ending, c.cause)
		if !c.d.Next.End.Known.Equal(c.known) {
			t.Errorf("%s: known at %s, want %s", c.name, c.d.Next.End.Known, c.known)
		}
	}
}

// S2.17: only the session's own and newest word of being busy spares it.
func TestS2_17WhoseBusySparesAnIdleSession(t *testing.T) {
	idle := apply(openAs(t, nil), Event{Kind: IdleSince, At: after(time.Minute), Since: after(0)}).Next
	due := idle.Policy.LivyIdle + time.Minute
	for _, c := range []struct {
		name   string
		e      Event
		status Status
	}{
		{"its own", Event{Kind: IdleSince, At: after(due), Busy: true, User: idle.User}, Active},
		{"nobody's in particular", Event{Kind: IdleSince, At: after(due), Busy: true}, Active},
		{"another user's", Event{Kind: IdleSince, At: after(due), Busy: true, User: "u-ben"}, Ending},
		{"older than what is known", Event{Kind: IdleSince, At: after(time.Second), Busy: true}, Ending},
	} {
		if d := at(idle, c.e, due); d.Next.Status != c.status {
			t.Errorf("%s: it is %s, want %s", c.name, d.Next.Status, c.status)
		}
	}
}

// S2.2, S2.11: idle counts from the last statement, else from when it was first
// seen idle; busy ends it.
func TestS2_2IdleFrom(t *testing.T) {
	open := openAs(t, nil)
	from := func(s Session, e Event) time.Time { return apply(s, e).Next.Activity.Since }
	first := Event{Kind: IdleSince, At: after(time.Minute)}
	busy := Event{Kind: IdleSince, At: after(3 * time.Minute), Busy: true, Since: after(time.Minute)}
	for _, c := range []struct {
		name      string
		got, want time.Time
	}{
		{"first seen idle", from(open, first), after(time.Minute)},
		{"seen idle again", from(apply(open, first).Next, Event{Kind: IdleSince, At: after(2 * time.Minute)}), after(time.Minute)},
		{"a statement has finished since", from(apply(open, first).Next, Event{Kind: IdleSince, At: after(3 * time.Minute), Since: after(2 * time.Minute)}), after(2 * time.Minute)},
		{"busy", from(apply(open, first).Next, busy), time.Time{}},
		{"idle after busy", from(apply(open, busy).Next, Event{Kind: IdleSince, At: after(4 * time.Minute)}), after(4 * time.Minute)},
	} {
		if !c.got.Equal(c.want) {
			t.Errorf("%s: idle since %s, want %s", c.name, c.got, c.want)
		}
	}
}

// IdleDue and WakeAt go by what is known, each part of it.
func TestIdleDueNeedsAllOfIt(t *testing.T) {
	s := Session{Status: Active, Policy: Policy{LivyIdle: time.Hour}, Activity: Activity{At: after(0), Since: after(0)}}
	due := after(time.Hour)
	if !s.IdleDue().Equal(due) || !s.WakeAt().Equal(due) {
		t.Errorf("an idle session without a deadline is due at %s and wakes at %s", s.IdleDue(), s.WakeAt())
	}
	s.Deadline = after(2 * time.Hour)
	s.Noticed = time.Hour // the next is due 15 minutes before the end
	if !s.WakeAt().Equal(due) {
		t.Errorf("it wakes at %s, want its idle limit", s.WakeAt())
	}
	s.Deadline = after(30 * time.Minute)
	if !s.WakeAt().Equal(after(15 * time.Minute)) {
		t.Errorf("it wakes at %s, want its notice", s.WakeAt())
	}
	for _, a := range []Activity{{Since: after(0)}, {At: after(0), Since: after(0), Busy: true}, {At: after(0)}} {
		if s.Activity = a; !s.IdleDue().IsZero() {
			t.Errorf("%+v is idle until %s", a, s.IdleDue())
		}
	}
}

// What is said of a step that changes nothing, and to an administrator.
func TestWhyNothingHappens(t *testing.T) {
	unknown := func(o *Opening) { o.Facts.ApplicationBackground = Unknown }
	for _, c := range []struct {
		mode  func(*Opening)
		e     Event
		says  string
		alert string
	}{
		{nil, Event{Kind: SignOut}, "background sessions outlive a sign-out", ""},
		{nil, Event{Kind: NotebookClosed}, "background sessions go on although the notebook or Studio was closed", ""},
		{nil, Event{Kind: StopAccepted}, "nothing was asked to stop", ""},
		{nil, Event{Kind: StopRefused}, "nothing was asked to stop", ""},
		{nil, Event{Kind: UserLocked}, lockIsForStarts, ""},
		{nil, Event{Kind: UserUnlocked}, lockIsForStarts, ""},
		{nil, Event{Kind: "a kind of the future"}, "no rule knows", ""},
		{roleOpening, Event{Kind: UserDisabled}, "", "role-outlives-user"},
		{unknown, Event{Kind: SignOut}, "", "mode-unknown"},
	} {
		c.e.At = after(time.Minute)
		d := apply(openAs(t, c.mode), c.e)
		alert := ""
		for _, e := range d.Effects {
			if e.Kind == Alert {
				alert = e.Reason
			}
		}
		if !strings.Contains(d.Ignored, c.says) || c.says == "" && d.Ignored != "" || alert != c.alert {
			t.Errorf("%s of a %s session: ignored %q, alert %q; want %q and %q", c.e.Kind, d.Next.Mode, d.Ignored, alert, c.says, c.alert)
		}
	}
	// A notice is not nothing.
	s := openAs(t, interactiveOpening)
	if d := Decide(s, Event{Kind: Tick}, policyOn(), s.Deadline.Add(-time.Hour)); d.Ignored != "" || len(d.Effects) == 0 {
		t.Errorf("a tick that gives %v is ignored: %q", d.Effects, d.Ignored)
	}
	// A state that decides nothing does not hide that the limit it came with does.
	running := apply(openAs(t, nil), seen(workload.Running, after(time.Minute))).Next
	d := apply(running, Event{Kind: RunObserved, State: workload.Stopping, At: after(2 * time.Minute), MaxRuntime: time.Hour})
	if d.Ignored != "" || !d.Next.Deadline.Equal(after(time.Hour+time.Minute)) {
		t.Errorf("a limit that moves the deadline to %s is ignored: %q", d.Next.Deadline, d.Ignored)
	}
}

// What is noted once, or newest, stays.
func TestWhatIsNotedStays(t *testing.T) {
	ending := apply(openAs(t, nil), Event{Kind: StopRequested, At: after(time.Minute), By: "u-ana"}).Next
	missed := func(s Session) string { return s.Missed.Since.String() + s.Missed.Known.String() }
	for _, c := range []struct {
		name  string
		s     Session
		first Event
		then  Event
		told  func(Session) string
		want  string
	}{
		{"S2.4 the newest try to start", openAs(t, notStarted), Event{Kind: StartAsked, At: after(time.Minute)}, Event{Kind: StartAsked, At: after(time.Second)},
			func(s Session) string { return s.StartAskedAt.String() }, after(time.Minute).String()},
		{"S2.12 whoever waits for a run that is there starts none", openAs(t, nil), Event{Kind: WaiterRegistered, At: after(time.Minute), Token: "t-1"},
			Event{Kind: WaiterRegistered, At: after(2 * time.Minute), Token: "t-2"}, func(s Session) string { return s.StartAskedAt.String() }, time.Time{}.String()},
		{"S2.12 nor for one that must end", apply(openAs(t, notStarted), Event{Kind: StartAsked, At: after(time.Minute)}).Next, Event{Kind: StopRequested, At: after(2 * time.Minute), By: "u-ana"},
			Event{Kind: WaiterRegistered, At: after(3 * time.Minute), Token: "t-1"}, func(s Session) string { return s.StartAskedAt.String() + string(s.Status) }, after(time.Minute).String() + string(Ending)},
		{"the first refusal", ending, Event{Kind: StopRefused, At: after(2 * time.Minute)}, Event{Kind: StopRefused, At: after(3 * time.Minute)},
			func(s Session) string { return s.End.Refused.String() }, after(2 * time.Minute).String()},
		{"S2.1 since when it is missing, and when it was there", openAs(t, nil), Event{Kind: RunMissed, At: after(2 * time.Minute), Since: after(time.Minute)}, Event{Kind: RunMissed, At: after(4 * time.Minute), Since: after(3 * time.Minute)},
			missed, after(2*time.Minute).String() + after(time.Minute).String()},
		{"S2.1 until a list has it", openAs(t, nil), Event{Kind: RunMissed, At: after(2 * time.Minute)}, seen(workload.Pending, after(3*time.Minute)), missed, missed(Session{})},
		{"S2.1 or had it before", openAs(t, nil), Event{Kind: RunMissed, At: after(2 * time.Minute)}, seen(workload.Running, after(2*time.Minute-1)), missed, after(2*time.Minute).String() + time.Time{}.String()},
		{"S2.1 but not its end", openAs(t, nil), Event{Kind: RunMissed, At: after(2 * time.Minute)}, seen(workload.Gone, after(3*time.Minute)), missed, after(2*time.Minute).String() + time.Time{}.String()},
		{"S2.1 or its start is seen", apply(openAs(t, notStarted), Event{Kind: StopRequested, At: after(time.Minute), By: "u-ana"}).Next, Event{Kind: RunMissed, At: after(2 * time.Minute)},
			Event{Kind: RunStarted, At: after(3 * time.Minute), Run: workload.Ref{ID: "a"}}, missed, missed(Session{})},
		{"S2.9 what keeps it from stopping", ending, Event{Kind: StopStuck, At: after(2 * time.Minute), Detail: "step approve"}, Event{Kind: StopStuck, At: after(3 * time.Minute)},
			func(s Session) string { return s.End.Stuck }, "step approve"},
		{"the cluster it runs on", openAs(t, nil), Event{Kind: RunObserved, State: workload.Running, At: after(time.Minute), Cluster: "j-1"},
			Event{Kind: RunObserved, State: workload.Running, At: after(2 * time.Minute), Cluster: "j-2"}, func(s Session) string { return s.Run.Cluster }, "j-1"},
		{"S2.11 the newest token", openAs(t, nil), Event{Kind: BackgroundTokenIssued, At: after(time.Hour)}, Event{Kind: BackgroundTokenIssued, At: after(time.Minute)},
			func(s Session) string { return s.TokenAt.String() }, after(time.Hour).String()},
	} {
		s := apply(c.s, c.first).Next
		if got := c.told(apply(s, c.then).Next); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// S1.9: the engine's word of the run's limit counts once, and not any more for a
// session that ends; what the run is billed by is noted.
func TestS1_9TheRunsLimitIsReadOnce(t *testing.T) {
	says := func(limit time.Duration, m int) Event {
		return Event{Kind: RunObserved, State: workload.Running, At: after(time.Duration(m) * time.Minute), MaxRuntime: limit, Billing: workload.Billing{InstanceType: "ml.m5.large", Instances: 1}}
	}
	s := apply(openAs(t, nil), says(2*time.Hour, 1)).Next
	if again := apply(s, says(time.Hour, 2)).Next; again.Run.MaxRuntime != 2*time.Hour || s.Run.Billing.Instances != 1 {
		t.Errorf("its limit is %s, it is billed by %+v", again.Run.MaxRuntime, s.Run.Billing)
	}
	ending := apply(openAs(t, nil), Event{Kind: StopRequested, At: after(time.Minute), By: "u-ana"}).Next
	if got := apply(ending, says(time.Hour, 2)).Next; got.Run.MaxRuntime != 0 {
		t.Errorf("the limit of an ending session's run is %s", got.Run.MaxRuntime)
	}
	due := apply(s, Event{Kind: Tick, At: after(3 * time.Hour), Held: "the table was put back"}).Next
	wantStatus(t, due, Active, "") // the clock is held
}

// S2.15: a run of no known domain is not of a domain without a name; and what was
// before the opening was not an existing session's.
func TestS2_15WhichPropagationOffConcernsIt(t *testing.T) {
	off := policyOn()
	off.InstanceBackground = Off
	moved := func(domain string, e Event) Session {
		s := openAs(t, func(o *Opening) { o.Run.Engine, o.Run.Domain = workload.SageMakerTraining, domain })
		e.Kind = IdentityPropagationOff
		return Decide(s, e, off, after(time.Hour)).Next
	}
	for _, c := range []struct {
		name string
		s    Session
		want Mode
	}{
		{"its own", moved("d-1", Event{Domain: "d-1", At: after(time.Minute)}), Interactive},
		{"none is named and none is known", moved("", Event{At: after(time.Minute)}), Background},
		{"before the opening", moved("d-1", Event{Domain: "d-1", At: after(-time.Minute)}), Background},
	} {
		if c.s.Mode != c.want {
			t.Errorf("%s: it is %s, want %s", c.name, c.s.Mode, c.want)
		}
	}
	s := openAs(t, func(o *Opening) {
		o.Run.Engine, o.Run.Domain, o.Interactive = workload.SageMakerTraining, "d-1", InteractiveSession{}
	})
	s.Own = Limit{} // as after a revocation that proved the mode (S2.17)
	s = Decide(s, Event{Kind: IdentityPropagationOff, Domain: "d-1", At: after(time.Minute)}, off, after(time.Minute)).Next
	if want := after(time.Minute + s.Policy.InteractiveDuration); s.Mode != Interactive || !s.Own.At.Equal(want) {
		t.Errorf("it is %s until %s, want interactive until %s", s.Mode, s.Own.At, want)
	}
}

// S4.6: a decision that leaves the deadline alone takes no notice away.
func TestS4_6ANoticeIsNotLostToASighting(t *testing.T) {
	s := openAs(t, interactiveOpening)
	before := s.Noticed
	now := s.Deadline.Add(-time.Minute)
	if d := Decide(s, seen(workload.Running, now), policyOn(), now); d.Next.Noticed != before {
		t.Errorf("the notices up to %s count as given; before it was %s", d.Next.Noticed, before)
	}
}

// A run of unknown mode that may have begun after its user had left is told of as an
// interactive one is; a background run may go on (S1.10, S2.4).
func TestS2_4WhoseStartIsUnknown(t *testing.T) {
	for mode, change := range map[Mode]func(*Opening){
		ModeUnknown: func(o *Opening) { o.Facts.ReleaseLabel = "emr-7.12.0.1" }, Interactive: interactiveOpening, Background: func(*Opening) {},
	} {
		d := Open(opening(both(change, func(o *Opening) { o.Left = after(-time.Hour) })), policyOn(), UserFacts{}, opened)
		told := slices.ContainsFunc(d.Effects, func(e Effect) bool { return e.Kind == Alert && e.Reason == "start-unknown" })
		if d.Next.Mode != mode || d.Next.Status != Active || told != (mode != Background) {
			t.Errorf("%s: its mode is %s, it is %s, told of %t", mode, d.Next.Mode, d.Next.Status, told)
		}
	}
}

// S1.3, S1.10: a label with a fourth number is malformed, which is unknown.
func TestS1_3ALabelOfFourNumbers(t *testing.T) {
	if s := openAs(t, func(o *Opening) { o.Facts.ReleaseLabel = "emr-7.12.0.1" }); s.Mode != ModeUnknown {
		t.Errorf("its mode is %s", s.Mode)
	}
}

// Of too many facts those that name one session or run go first, oldest first.
func TestWithDropsWhatNamesOne(t *testing.T) {
	u := UserFacts{}
	for i := range FactsMax + 1 {
		e := Event{ID: fmt.Sprint(i), Kind: RevokeBackground, At: after(time.Duration(i) * time.Minute), Run: workload.Ref{Endpoint: "sagemaker/1/us-east-1", ID: fmt.Sprint(i)}}
		if i == 0 {
			e = Event{ID: "0", Kind: UserDisabled, At: after(0)}
		}
		u, _ = u.With(e, after(time.Hour))
	}
	if len(u.Facts) != FactsMax || u.Facts[0].ID != "0" || u.Facts[1].ID != "2" {
		t.Errorf("%d facts are kept, the oldest %s and %s", len(u.Facts), u.Facts[0].ID, u.Facts[1].ID)
	}
}
