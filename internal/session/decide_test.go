package session

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"nightshift/internal/workload"
)

func signOut(at time.Time) Event { return Event{ID: "e-out", Kind: SignOut, At: at, User: "u-ana"} }

func seen(state workload.State, at time.Time) Event {
	return Event{ID: "e-" + string(state), Kind: RunObserved, State: state, At: at}
}

// TestStarting: what happens while there is no run yet (S2.4).
func TestStarting(t *testing.T) {
	t.Parallel()

	t.Run("S2.4 a sign-out while the run is being started ends that run too", func(t *testing.T) {
		t.Parallel()
		s := openAs(t, both(interactiveOpening, notStarted))
		s = apply(s, Event{Kind: StartAsked, At: after(time.Second)}).Next
		d := apply(s, signOut(after(2*time.Second)))
		wantStatus(t, d.Next, Ending, CauseSignOut)
		wantEffects(t, d, Stop, Notify)
	})
	t.Run("S2.4 a revoke while the run is being started ends that run too", func(t *testing.T) {
		t.Parallel()
		d := apply(openAs(t, notStarted), Event{Kind: RevokeBackground, At: after(time.Second), User: "u-ana"})
		wantStatus(t, d.Next, Ending, CauseBackgroundRevoked)
		wantEffects(t, d, Stop, Notify)
	})
	t.Run("S2.4 an ENDING session without a run id stays ENDING until the start is seen", func(t *testing.T) {
		t.Parallel()
		s := apply(openAs(t, both(interactiveOpening, notStarted)), signOut(after(time.Minute))).Next
		for i := range 100 {
			d := apply(s, Event{Kind: Tick, At: after(time.Duration(i+2) * time.Minute)})
			wantStatus(t, d.Next, Ending, CauseSignOut)
			s = d.Next
		}
		d := apply(s, Event{Kind: RunStarted, At: after(3 * time.Hour), Run: workload.Ref{Endpoint: s.Run.Endpoint, ID: "application_17_0009"}, Name: "Its-Own"})
		wantStatus(t, d.Next, Ending, CauseSignOut)
		if d.Next.Run.ID != "application_17_0009" || d.Next.Run.Name != "Its-Own" {
			t.Errorf("the run is %q", d.Next.Run.ID)
		}
		wantEffects(t, d, Stop)
		wantStatus(t, apply(d.Next, seen(workload.Stopped, after(4*time.Hour))).Next, Ended, CauseSignOut)
	})
	t.Run("S2.4 an ENDING session without a run id stays ENDING until the start is disproved", func(t *testing.T) {
		t.Parallel()
		s := apply(openAs(t, both(interactiveOpening, notStarted)), signOut(after(time.Minute))).Next
		d := apply(s, Event{Kind: StartDisproved, At: after(5 * time.Minute)})
		wantStatus(t, d.Next, Ended, CauseSignOut)
		wantEffects(t, d, ReleaseWaiter)
	})
	t.Run("S2.4 no run escapes by being born: the start is seen in the step that finds it due", func(t *testing.T) {
		t.Parallel()
		s := openAs(t, both(interactiveOpening, notStarted))
		d := apply(s, Event{Kind: RunStarted, At: after(9 * time.Hour), Run: workload.Ref{Endpoint: s.Run.Endpoint, ID: "application_17_0009"}})
		wantStatus(t, d.Next, Ending, CauseInteractiveExpired)
		wantEffects(t, d, Stop, Notify)
	})
	t.Run("an ACTIVE session whose start is seen has its run and goes on", func(t *testing.T) {
		t.Parallel()
		s := openAs(t, notStarted)
		d := apply(s, Event{Kind: RunStarted, At: after(time.Second), Run: workload.Ref{Endpoint: s.Run.Endpoint, ID: "application_17_0009"}})
		wantStatus(t, d.Next, Active, "")
		wantEffects(t, d)
		if d.Next.Run.ID != "application_17_0009" || d.Ignored != "" {
			t.Errorf("run %q, ignored %q", d.Next.Run.ID, d.Ignored)
		}
	})
	t.Run("an ACTIVE session whose start is disproved has failed", func(t *testing.T) {
		t.Parallel()
		d := apply(openAs(t, notStarted), Event{Kind: StartDisproved, At: after(time.Minute)})
		wantStatus(t, d.Next, Ended, CauseFailed)
		wantEffects(t, d, Notify, ReleaseWaiter)
	})
	t.Run("a start that was seen is neither disproved nor seen anew", func(t *testing.T) {
		t.Parallel()
		s := openAs(t, nil)
		for _, e := range []Event{{Kind: StartDisproved, At: after(time.Minute)}, {Kind: RunStarted, At: after(time.Minute), Run: workload.Ref{ID: "other"}}} {
			d := apply(s, e)
			wantStatus(t, d.Next, Active, "")
			if d.Next.Run.ID != s.Run.ID || d.Ignored == "" {
				t.Errorf("%s: run %q, ignored %q", e.Kind, d.Next.Run.ID, d.Ignored)
			}
		}
	})
}

// TestWaiter: the execution that waits is released when the session is ENDED,
// whatever the cause (S2.12, S2.17).
func TestWaiter(t *testing.T) {
	t.Parallel()
	s := openAs(t, interactiveOpening)
	s = apply(s, Event{Kind: WaiterRegistered, At: after(time.Second), Token: "token-1"}).Next
	s = apply(s, Event{Kind: WaiterRegistered, At: after(2 * time.Second), Token: "token-2"}).Next
	if s.Waiter != "token-2" {
		t.Errorf("the waiter is %q, want the newest", s.Waiter)
	}
	d := apply(s, signOut(after(time.Minute)))
	wantEffects(t, d, Stop, Notify)
	d = apply(d.Next, Event{Kind: WaiterRegistered, At: after(2 * time.Minute), Token: "token-3"})
	wantStatus(t, d.Next, Ending, CauseSignOut)
	wantEffects(t, d)
	if d.Next.Waiter != "token-3" {
		t.Errorf("the waiter is %q, want the newest", d.Next.Waiter)
	}
	d = apply(d.Next, seen(workload.Gone, after(3*time.Minute)))
	wantStatus(t, d.Next, Ended, CauseSignOut)
	wantEffects(t, d, ReleaseWaiter)

	for _, state := range []workload.State{workload.Succeeded, workload.Failed, workload.Stopped, workload.Gone} {
		d := apply(s, seen(state, after(time.Minute)))
		if effect(t, d, ReleaseWaiter); d.Next.Status != Ended {
			t.Errorf("S2.17 %s: %s", state, d.Next.Status)
		}
	}
}

// TestPage: a stop is retried for ever; after 5 minutes it pages a person (S2.6),
// and a page adds no alert (S2.17).
func TestPage(t *testing.T) {
	t.Parallel()
	s := apply(openAs(t, interactiveOpening), signOut(after(time.Hour))).Next
	pages := 0
	for i := 1; i <= 120; i++ {
		at := after(time.Hour + time.Duration(i)*10*time.Second)
		d := apply(s, Event{Kind: Tick, At: at})
		s = d.Next
		wantStatus(t, s, Ending, CauseSignOut)
		effect(t, d, Stop)
		for _, e := range d.Effects {
			switch e.Kind {
			case Page:
				pages++
				if i != 30 {
					t.Errorf("S2.6 a person is paged after %s, want 5m", time.Duration(i)*10*time.Second)
				}
				if e.Text == "" {
					t.Error("S2.6 the page says nothing")
				}
			case Alert, Notify, ReleaseWaiter:
				t.Errorf("S2.17 a tick while ENDING has the effect %s", e.Kind)
			case Stop, Notice, Watch, Announce:
			}
		}
	}
	if pages != 1 {
		t.Errorf("S2.6 %d pages, want 1", pages)
	}
	t.Run("S2.6 nobody is paged in the step that asks for the first time", func(t *testing.T) {
		t.Parallel()
		d := apply(openAs(t, interactiveOpening), Event{Kind: Tick, At: after(9 * time.Hour)})
		wantStatus(t, d.Next, Ending, CauseInteractiveExpired)
		wantEffects(t, d, Stop, Notify)
	})
	t.Run("S2.6 5 minutes count from when the cause was known, not from its own time", func(t *testing.T) {
		t.Parallel()
		s := Decide(openAs(t, interactiveOpening), signOut(after(time.Minute)), policyOn(), after(time.Hour)).Next
		wantEffects(t, apply(s, Event{Kind: Tick, At: after(time.Hour + 4*time.Minute)}), Stop)
		wantEffects(t, apply(s, Event{Kind: Tick, At: after(time.Hour + 5*time.Minute)}), Stop, Page)
	})
}

// TestNotices: 24 h, 1 h and 15 min before the end (S4.6), each once.
func TestNotices(t *testing.T) {
	t.Parallel()
	given := func(t *testing.T, s Session, every time.Duration, from, to time.Duration) map[time.Duration][]time.Duration {
		t.Helper()
		notices := map[time.Duration][]time.Duration{}
		for at := from; at < to; at += every {
			d := apply(s, Event{Kind: Tick, At: after(at)})
			s = d.Next
			wantStatus(t, s, Active, "")
			for _, e := range d.Effects {
				if e.Kind == Notice {
					notices[e.Before] = append(notices[e.Before], s.Deadline.Sub(after(at)))
					if !strings.Contains(e.Text, Moment(s.Deadline)) || !strings.Contains(e.Text, "administrator") {
						t.Errorf("S4.6 the notice says not when, or not where it is changed: %q", e.Text)
					}
				}
			}
		}
		return notices
	}
	t.Run("S4.6 24 h, 1 h and 15 min before the end of a background session", func(t *testing.T) {
		t.Parallel()
		want := map[time.Duration][]time.Duration{24 * time.Hour: {24 * time.Hour}, time.Hour: {time.Hour}, 15 * time.Minute: {15 * time.Minute}}
		if got := given(t, openAs(t, nil), time.Minute, 0, 7*24*time.Hour); !reflect.DeepEqual(got, want) {
			t.Errorf("S4.6 notices %v, want %v", got, want)
		}
	})
	t.Run("S4.6 of 8 hours only 1 h and 15 min before the end are left", func(t *testing.T) {
		t.Parallel()
		want := map[time.Duration][]time.Duration{time.Hour: {time.Hour}, 15 * time.Minute: {15 * time.Minute}}
		if got := given(t, openAs(t, interactiveOpening), time.Minute, 0, 8*time.Hour); !reflect.DeepEqual(got, want) {
			t.Errorf("S4.6 notices %v, want %v", got, want)
		}
	})
	t.Run("S4.6 after a silence the shortest that is due is given, once", func(t *testing.T) {
		t.Parallel()
		want := map[time.Duration][]time.Duration{15 * time.Minute: {10 * time.Minute}}
		if got := given(t, openAs(t, nil), time.Minute, 7*24*time.Hour-10*time.Minute, 7*24*time.Hour); !reflect.DeepEqual(got, want) {
			t.Errorf("S4.6 notices %v, want %v", got, want)
		}
	})
	t.Run("S4.6 a deadline that moved is told of anew", func(t *testing.T) {
		t.Parallel()
		d := apply(openAs(t, nil), Event{Kind: Tick, At: after(6 * 24 * time.Hour)})
		effect(t, d, Notice)
		d = apply(d.Next, Event{Kind: BackgroundTokenIssued, User: "u-ana", At: after(6*24*time.Hour + 2*time.Hour)})
		want := map[time.Duration][]time.Duration{24 * time.Hour: {24 * time.Hour}, time.Hour: {time.Hour}, 15 * time.Minute: {15 * time.Minute}}
		if got := given(t, d.Next, time.Minute, 6*24*time.Hour+2*time.Hour, 13*24*time.Hour+2*time.Hour); !reflect.DeepEqual(got, want) {
			t.Errorf("S4.6 notices %v, want %v", got, want)
		}
	})
	t.Run("S4.6 no deadline, no notice", func(t *testing.T) {
		t.Parallel()
		if got := given(t, openAs(t, roleOpening), time.Hour, 0, 90*24*time.Hour); len(got) != 0 {
			t.Errorf("notices %v", got)
		}
	})
}

// TestEnd: every end carries cause, evidence, who caused it, when it happened,
// was known, decided, asked, confirmed (S2.7).
func TestEnd(t *testing.T) {
	t.Parallel()
	t.Run("S2.7 a sign-out that came late", func(t *testing.T) {
		t.Parallel()
		e := Event{ID: "e-77", Kind: SignOut, At: after(time.Hour), Known: after(70 * time.Minute), User: "u-ana", By: "u-ana"}
		s := Decide(openAs(t, interactiveOpening), e, policyOn(), after(71*time.Minute)).Next
		s = Decide(s, Event{Kind: StopAccepted, At: after(72 * time.Minute)}, policyOn(), after(72*time.Minute)).Next
		again := Decide(s, Event{Kind: StopAccepted, At: after(73 * time.Minute)}, policyOn(), after(73*time.Minute))
		s = Decide(again.Next, seen(workload.Stopped, after(74*time.Minute)), policyOn(), after(75*time.Minute)).Next
		want := End{Cause: CauseSignOut, Evidence: "e-77", By: "u-ana", Happened: after(time.Hour), Known: after(70 * time.Minute),
			Decided: after(71 * time.Minute), Asked: after(72 * time.Minute)}
		got := s.End
		if got.AskedLast != after(73*time.Minute) {
			t.Errorf("S2.6 last asked %s", got.AskedLast)
		}
		if got.Confirmed.Before(after(74*time.Minute)) || got.Confirmed.After(after(75*time.Minute)) {
			t.Errorf("S2.7 confirmed %s", got.Confirmed)
		}
		got.AskedLast, got.Confirmed = time.Time{}, time.Time{}
		if s.Status != Ended || got != want {
			t.Errorf("S2.7 %s %+v\nwant %+v", s.Status, got, want)
		}
	})
	t.Run("S2.7 known is now where nobody says otherwise", func(t *testing.T) {
		t.Parallel()
		s := Decide(openAs(t, interactiveOpening), signOut(after(time.Hour)), policyOn(), after(2*time.Hour)).Next
		if s.End.Known != after(2*time.Hour) || s.End.Happened != after(time.Hour) || s.End.Decided != after(2*time.Hour) || !s.End.Asked.IsZero() || !s.End.Confirmed.IsZero() {
			t.Errorf("S2.7 %+v", s.End)
		}
	})
	t.Run("S2.7 evidence given goes before the event's id", func(t *testing.T) {
		t.Parallel()
		e := signOut(after(time.Hour))
		e.Evidence = "cloudtrail e-9"
		if s := apply(openAs(t, interactiveOpening), e).Next; s.End.Evidence != "cloudtrail e-9" {
			t.Errorf("S2.7 evidence %q", s.End.Evidence)
		}
	})
	t.Run("S2.7 a deadline happened when it passed and names its check", func(t *testing.T) {
		t.Parallel()
		s := apply(openAs(t, interactiveOpening), Event{Kind: Tick, At: after(8*time.Hour + time.Minute)}).Next
		if s.End.Happened != after(8*time.Hour) || s.End.Decided != after(8*time.Hour+time.Minute) || s.End.Evidence == "" || s.End.By == "" {
			t.Errorf("S2.7 %+v", s.End)
		}
		if s.End.Known.Before(after(8*time.Hour)) || s.End.Known.After(after(8*time.Hour+time.Minute)) {
			t.Errorf("S2.7 known %s", s.End.Known)
		}
	})
	t.Run("S2.7 an idle limit happened when it passed and names its check", func(t *testing.T) {
		t.Parallel()
		s := apply(openAs(t, nil), Event{Kind: IdleSince, At: after(time.Hour), Since: after(time.Hour)}).Next
		s = apply(s, Event{Kind: Tick, At: after(10 * time.Hour)}).Next
		if wantStatus(t, s, Ending, CauseIdle); s.End.Happened != after(9*time.Hour) || s.End.Evidence == "" || s.End.By == "" {
			t.Errorf("S2.7 %+v", s.End)
		}
	})
	t.Run("S2.7 a run that ended by itself has its evidence too", func(t *testing.T) {
		t.Parallel()
		s := apply(openAs(t, nil), seen(workload.Succeeded, after(time.Hour))).Next
		if s.End.Cause != CauseFinished || s.End.Evidence != "e-SUCCEEDED" || s.End.Happened != after(time.Hour) || s.End.Known != after(time.Hour) ||
			s.End.Decided != after(time.Hour) || s.End.Confirmed != after(time.Hour) {
			t.Errorf("S2.7 %+v", s.End)
		}
	})
	t.Run("S2.12 the first cause's story stays, whatever comes while ENDING", func(t *testing.T) {
		t.Parallel()
		s := apply(openAs(t, interactiveOpening), signOut(after(time.Hour))).Next
		for _, k := range Kinds() {
			if k == StopAccepted || k == StopRefused || k == StopStuck || k == RunObserved || k == ClusterTerminated || k == StartDisproved {
				continue
			}
			d := apply(s, Event{ID: "e-2", Kind: k, At: after(2 * time.Hour), User: "u-ana", By: "u-root", Token: "t"})
			if d.Next.End != s.End || d.Next.Mode != s.Mode || d.Next.Deadline != s.Deadline || d.Next.Status != Ending {
				t.Errorf("S2.12 %s changes the end: %+v", k, d.Next.End)
			}
		}
	})
}

// TestExplain: the message names the cause (S2.8), and where the limit is changed
// (S4.6) or, of an end that no limit caused, what can be done.
func TestExplain(t *testing.T) {
	t.Parallel()
	said := map[string]Cause{}
	for _, c := range []Cause{CauseSignOut, CauseInteractiveExpired, CauseInteractiveRevoked, CauseNotebookClosed, CauseBackgroundExpired, CauseBackgroundRevoked,
		CauseUserDisabled, CauseUserDeleted, CauseAccessRemoved, CauseStopRequested, CauseWaiterAborted, CauseIdle, CauseKernelStopped, CauseMaxRuntime, CauseEngineLimit,
		CauseTenantLimit, CauseClusterTerminated, CauseFinished, CauseFailed, CauseStoppedElsewhere, CauseLost, CauseZombie} {
		s := openAs(t, nil)
		s.End.Cause = c
		text := Explain(s)
		if other, twice := said[text]; twice {
			t.Errorf("S2.8 %s and %s are explained alike", c, other)
		}
		said[text] = c
		_, then, says := strings.Cut(text, "ends because "+phrase(c)+". ")
		if !says || strings.Contains(text, "unknown cause") || len(then) < 20 || !strings.HasSuffix(then, ".") {
			t.Errorf("S2.8 %s: %q", c, text)
		}
		if lasts := c == CauseBackgroundExpired || c == CauseInteractiveExpired; strings.Contains(text, "duration") != lasts {
			t.Errorf("S4.6 %s: %q speaks of the duration: %t", c, text, !lasts)
		}
	}
	d := apply(openAs(t, interactiveOpening), signOut(after(time.Hour)))
	if e := effect(t, d, Notify); !strings.Contains(e.Text, "signed out") || !strings.Contains(e.Text, "nightshift why "+d.Next.ID) || e.Reason != string(CauseSignOut) {
		t.Errorf("S2.8 the user is told %q", e.Text)
	}
}

// TestAlerts: an alert accompanies what S1 and S2 say has one, and says what it
// is about.
func TestAlerts(t *testing.T) {
	t.Parallel()
	domain := func(o *Opening) {
		o.Run = workload.Run{Engine: workload.SageMakerTraining, Endpoint: "sagemaker/1/us-east-1", ID: "job", Domain: "d-1"}
	}
	unknown := func(o *Opening) { o.Facts.IdentityPropagation = Unknown }
	user := func(k Kind) Event { return Event{Kind: k, At: after(time.Hour), User: "u-ana"} }
	for name, c := range map[string]struct {
		open  func(*Opening)
		event Event
	}{
		"S2 a role session's user is disabled": {roleOpening, user(UserDisabled)},
		"S2 a role session's user is deleted":  {roleOpening, user(UserDeleted)},
		"S2 a role session's access removed":   {roleOpening, user(AccessRemoved)},
		"S2 an ACTIVE run is gone":             {nil, seen(workload.Gone, after(time.Hour))},
		"S2.12 a sign-out of an unknown mode":  {unknown, user(SignOut)},
		"S1.13 a token of an interactive one":  {interactiveOpening, user(BackgroundTokenIssued)},
		"S1.13 a token of a role session":      {roleOpening, user(BackgroundTokenIssued)},
	} {
		if e := effect(t, apply(openAs(t, c.open), c.event), Alert); e.Reason == "" || e.Text == "" {
			t.Errorf("%s: the alert says %+v", name, e)
		}
	}
	if e := effect(t, apply(openAs(t, interactiveOpening), user(BackgroundTokenIssued)), Alert); e.Reason != "policy-drift" {
		t.Errorf("S1.13 the alert is %q, want policy-drift", e.Reason)
	}
	off := Event{Kind: IdentityPropagationOff, At: after(time.Hour), Domain: "d-1"}
	effect(t, Decide(openAs(t, domain), off, DefaultPolicy(), off.At), Alert)
	wantEffects(t, apply(openAs(t, domain), off))
}

// TestFrozen: what was decided at the opening is frozen (S1.6): none of the
// events that can come to an ACTIVE session moves a fact it was decided from.
func TestFrozen(t *testing.T) {
	t.Parallel()
	s := openAs(t, func(o *Opening) { o.Facts.IdentityPropagation = Unknown })
	if s.Policy.Version != 7 || s.Facts.Instance != On || s.Facts.ReleaseLabel != "emr-7.12.0" || len(s.Why) == 0 {
		t.Fatalf("S1.6 the session does not hold what it was decided from: %+v", s)
	}
	other := Policy{Version: 8, InstanceBackground: Off, BackgroundDuration: time.Hour, InteractiveDuration: time.Hour, LivyIdle: time.Hour, TenantLimit: time.Hour, RequireUnifiedStudioLaunch: true}
	for _, k := range Kinds() {
		d := Decide(s, Event{Kind: k, At: after(time.Hour), User: "u-ana", State: workload.Running, Domain: "d-1", Token: "t"}, other, after(time.Hour))
		frozen(t, s, d.Next)
	}
}

func TestAdoptedRunsLimit(t *testing.T) {
	t.Parallel()
	adopted := func(o *Opening) {
		o.Origin = Adopted
		o.Run = workload.Run{Engine: workload.SageMakerTraining, Endpoint: "sagemaker/1/us-east-1", ID: "job"}
	}
	t.Run("S1.9 for adopted runs MaxRuntimeInSeconds is read from the engine", func(t *testing.T) {
		t.Parallel()
		e := seen(workload.Running, after(-time.Hour))
		e.MaxRuntime = 3 * time.Hour
		s := Decide(openAs(t, adopted), e, policyOn(), opened).Next
		if s.Deadline != after(2*time.Hour) || s.DeadlineSource != SourceMaxRuntime {
			t.Errorf("S1.9 deadline %s by %s", s.Deadline, s.DeadlineSource)
		}
	})
	t.Run("S1.9 read before the run is RUNNING, it counts from RUNNING", func(t *testing.T) {
		t.Parallel()
		e := seen(workload.Pending, after(time.Minute))
		e.MaxRuntime = 3 * time.Hour
		s := apply(openAs(t, adopted), e).Next
		if s.DeadlineSource != SourceBackground {
			t.Errorf("S1.9 deadline by %s before RUNNING", s.DeadlineSource)
		}
		s = apply(s, seen(workload.Running, after(time.Hour))).Next
		if s.Deadline != after(4*time.Hour) || s.DeadlineSource != SourceMaxRuntime {
			t.Errorf("S1.9 deadline %s by %s", s.Deadline, s.DeadlineSource)
		}
	})
	t.Run("S1.12 an adopted run's background duration counts from its creation", func(t *testing.T) {
		t.Parallel()
		d := Open(opening(both(adopted, func(o *Opening) { o.At = after(-3 * time.Hour) })), policyOn(), UserFacts{}, opened)
		if d.Next.Deadline != after(7*24*time.Hour-3*time.Hour) || d.Next.RecordedAt != opened {
			t.Errorf("deadline %s", d.Next.Deadline)
		}
	})
}

// TestStuck: what keeps a run from stopping is told by name, once (S2.9).
func TestStuck(t *testing.T) {
	t.Parallel()
	stuck := func(at time.Duration, what string) Event {
		return Event{Kind: StopStuck, At: after(at), Detail: what}
	}
	asked := apply(openAs(t, interactiveOpening), signOut(after(time.Hour))).Next
	late := time.Hour + PageAfter
	pages := func(d Decision) (texts []string) {
		for _, e := range d.Effects {
			if e.Kind == Page {
				texts = append(texts, e.Text)
			}
		}
		return texts
	}
	t.Run("S2.9 the page names it", func(t *testing.T) {
		t.Parallel()
		d := apply(asked, stuck(time.Hour+time.Minute, "step approve (Callback)"))
		if d.Next.End.Stuck != "step approve (Callback)" || len(pages(d)) != 0 {
			t.Fatalf("S2.9 it is noted as %q with %v", d.Next.End.Stuck, d.Effects)
		}
		if texts := pages(apply(d.Next, Event{Kind: Tick, At: after(late)})); len(texts) != 1 || !strings.Contains(texts[0], "step approve (Callback)") {
			t.Errorf("S2.9 the page says %q", texts)
		}
	})
	t.Run("S2.9 known after the page, it is paged again, once", func(t *testing.T) {
		t.Parallel()
		paged := apply(asked, Event{Kind: Tick, At: after(late)})
		if texts := pages(paged); len(texts) != 1 || strings.Contains(texts[0], "step") {
			t.Fatalf("S2.6 the page says %q", texts)
		}
		d := apply(paged.Next, stuck(late+time.Minute, "step approve (Callback)"))
		if texts := pages(d); len(texts) != 1 || !strings.Contains(texts[0], "step approve (Callback)") {
			t.Errorf("S2.9 the second page says %q", texts)
		}
		if again := apply(d.Next, stuck(late+2*time.Minute, "step approve (Callback)")); again.Changed {
			t.Errorf("S2.9 said again it is news: %+v", again.Effects)
		}
	})
	t.Run("only of a run that must stop", func(t *testing.T) {
		t.Parallel()
		for _, s := range []Session{openAs(t, nil), apply(asked, seen(workload.Stopped, after(2*time.Hour))).Next} {
			if d := apply(s, stuck(3*time.Hour, "step approve")); d.Next.End.Stuck != "" || len(pages(d)) != 0 {
				t.Errorf("%s: %+v", s.Status, d)
			}
		}
	})
}

// S2.10, S5.1: what happened in the life of the sessions before, and was not known
// while they lived, reaches the session that a move opens; nothing else of before does.
func TestReach(t *testing.T) {
	t.Parallel()
	first, told := after(-3*time.Hour), after(-time.Hour)
	moved := func(o *Opening) { interactiveOpening(o); o.Reach = Reach{From: first, Told: told} }
	for _, c := range []struct {
		name      string
		at, known time.Time
		plain     bool // no move opened it
		ends      bool
	}{
		{"dated before the move, known after it", after(-2 * time.Hour), after(time.Minute), false, true},
		{"dated at the first opening", first, after(time.Minute), false, true},
		{"dated before the first opening", first.Add(-1), after(time.Minute), false, false},
		{"known to the session before", after(-2 * time.Hour), told.Add(-1), false, false},
		{"known from the move on", after(-2 * time.Hour), told, false, true},
		{"dated after the opening", after(time.Minute), after(time.Minute), false, true},
		{"no move", after(-2 * time.Hour), after(time.Minute), true, false},
		{"no move, dated after the opening", after(time.Minute), after(time.Minute), true, true},
	} {
		for _, kind := range []Kind{SignOut, RevokeInteractive, NotebookClosed} {
			opening := moved
			if c.plain {
				opening = interactiveOpening
			}
			s := openAs(t, opening)
			e := Event{ID: "e-1", Kind: kind, At: c.at, Known: c.known, User: "u-ana"}
			if d := apply(s, e); (d.Next.Status == Ending) != c.ends {
				t.Errorf("S2.10 %s, %s: %s, %q", kind, c.name, d.Next.Status, d.Ignored)
			}
		}
	}
}
