package session

import (
	"slices"
	"testing"
	"time"

	"nightshift/internal/workload"
)

// TestOpening: what an opening says of itself.
func TestOpening(t *testing.T) {
	t.Parallel()
	d := Open(opening(nil), policyOn(), UserFacts{}, after(time.Second))
	if s := d.Next; s.Status != Active || s.Version != 1 || s.User != "u-ana" || s.OpenedAt != opened || s.RecordedAt != after(time.Second) || !d.Changed || s.End != (End{}) {
		t.Errorf("opened as %+v", s)
	}
	wantEffects(t, d)
	effect(t, d, Watch)
	effect(t, d, Announce)
	if e := effect(t, Open(opening(func(o *Opening) { o.Facts.ClusterBackground = Unknown }), policyOn(), UserFacts{}, opened), Alert); e.Text == "" || e.Reason == "" {
		t.Errorf("S1.10 the alert says nothing: %+v", e)
	}
}

// TestZombie: a run still alive after its session ENDED is a new session, born
// ENDING (S2.3).
func TestZombie(t *testing.T) {
	t.Parallel()
	d := Open(opening(both(interactiveOpening, func(o *Opening) { o.Origin, o.Previous, o.Zombie = Zombie, "s-0", CauseSignOut })), policyOn(), UserFacts{}, opened)
	wantStatus(t, d.Next, Ending, CauseZombie)
	effect(t, d, Stop)
	if d.Next.Previous != "s-0" || d.Next.Origin != Zombie || d.Next.Version != 1 {
		t.Errorf("S2.3 lineage %q, origin %s, version %d", d.Next.Previous, d.Next.Origin, d.Next.Version)
	}
	if e := d.Next.End; e.Evidence == "" || e.By == "" || e.Known.IsZero() || e.Decided.IsZero() {
		t.Errorf("S2.7 %+v", e)
	}
	next := apply(d.Next, seen(workload.Stopped, after(time.Minute)))
	wantStatus(t, next.Next, Ended, CauseZombie)
	wantEffects(t, next, ReleaseWaiter)

	t.Run("S2.3 a zombie ends whatever its mode", func(t *testing.T) {
		t.Parallel()
		for _, mode := range []func(*Opening){nil, roleOpening, func(o *Opening) { o.Facts = Facts{} }} {
			z := Open(opening(both(mode2(mode), func(o *Opening) { o.Zombie = CauseIdle })), policyOn(), UserFacts{}, opened)
			wantStatus(t, z.Next, Ending, CauseZombie)
		}
	})
	t.Run("S2.12 a fact of the user does not take the cause from a zombie", func(t *testing.T) {
		t.Parallel()
		u := facts(t, Event{Kind: UserDeleted, At: after(-time.Minute), User: "u-ana"})
		z := Open(opening(func(o *Opening) { o.Zombie = CauseIdle }), policyOn(), u, opened)
		wantStatus(t, z.Next, Ending, CauseZombie)
		effect(t, z, Stop)
	})
}

func mode2(change func(*Opening)) func(*Opening) {
	if change == nil {
		return func(*Opening) {}
	}
	return change
}

func facts(t *testing.T, events ...Event) UserFacts {
	t.Helper()
	u := UserFacts{User: "u-ana"}
	for _, e := range events {
		var new bool
		if u, new = u.With(e, e.At); !new {
			t.Fatalf("%s at %s is no new fact", e.Kind, e.At)
		}
	}
	return u
}

// TestFactsAtOpening: what is known of the user when a session is opened holds
// for it as if it had been told afterwards (S2.4, S2.10, S2.11, S2.17).
func TestFactsAtOpening(t *testing.T) {
	t.Parallel()
	fact := func(k Kind, at time.Duration) Event {
		return Event{ID: string(k), Kind: k, At: after(at), Known: after(at), User: "u-ana"}
	}
	named := func(e Event, id, source string) Event {
		e.Interactive = InteractiveSession{ID: id, Source: source}
		return e
	}
	of := func(e Event, ref workload.Ref) Event {
		e.Run = ref
		return e
	}
	background := func(*Opening) {}
	adopted := func(o *Opening) { o.Origin, o.At = Adopted, after(-2*time.Hour) }
	for _, c := range []struct {
		name   string
		open   func(*Opening)
		facts  []Event
		status Status
		cause  Cause
	}{
		{"S2.10 a sign-out before the opening lets it live", interactiveOpening, []Event{fact(SignOut, -time.Nanosecond)}, Active, ""},
		{"S2.10 a sign-out at the opening's own time ends it", interactiveOpening, []Event{fact(SignOut, 0)}, Ending, CauseSignOut},
		{"S2.4 a sign-out racing the opening ends it", both(interactiveOpening, notStarted), []Event{fact(SignOut, time.Second)}, Ending, CauseSignOut},
		{"S2.4 a sign-out racing the opening lets a background session live", background, []Event{fact(SignOut, time.Second)}, Active, ""},
		{"S2.4 a revoke racing the opening ends it", both(background, notStarted), []Event{fact(RevokeBackground, time.Second)}, Ending, CauseBackgroundRevoked},
		{"S2.10 an adopted run's creation is compared: created before the sign-out", both(adopted, interactiveOpening), []Event{fact(SignOut, -time.Hour)}, Ending, CauseSignOut},
		{"S2.10 an adopted run's creation is compared: created after the sign-out", both(adopted, interactiveOpening), []Event{fact(SignOut, -3*time.Hour)}, Active, ""},
		{"S2.10 a sign-out that names another session of the same source", interactiveOpening, []Event{named(fact(SignOut, time.Second), "is-2", "portal")}, Active, ""},
		{"S2.10 a sign-out that names a session of another source", interactiveOpening, []Event{named(fact(SignOut, time.Second), "is-2", "idc")}, Ending, CauseSignOut},
		{"S2.11 disabled before the opening holds", interactiveOpening, []Event{fact(UserDisabled, -time.Hour)}, Ending, CauseUserDisabled},
		{"S2.11 deleted before the opening holds", background, []Event{fact(UserDeleted, -time.Hour)}, Ending, CauseUserDeleted},
		{"S2.11 access removed before the opening holds", background, []Event{fact(AccessRemoved, -time.Hour)}, Ending, CauseAccessRemoved},
		{"S2.11 disabled holds although enabled earlier", interactiveOpening, []Event{fact(UserEnabled, -2*time.Hour), fact(UserDisabled, -time.Hour)}, Ending, CauseUserDisabled},
		{"S2.10 enabling a user clears disabled", interactiveOpening, []Event{fact(UserDisabled, -2*time.Hour), fact(UserEnabled, -time.Hour)}, Active, ""},
		{"S2.11 disabled holds until a later enabled, whatever the order they came in", interactiveOpening, []Event{fact(UserEnabled, -time.Hour), fact(UserDisabled, -2*time.Hour)}, Active, ""},
		{"S2.17 a later enabled also outdates an earlier deleted", background, []Event{fact(UserDeleted, -2*time.Hour), fact(UserEnabled, -time.Hour)}, Active, ""},
		{"S2.17 a later enabled also outdates an earlier access removed", background, []Event{fact(AccessRemoved, -2*time.Hour), fact(UserEnabled, -time.Hour)}, Active, ""},
		{"S2.17 a notebook closed before the opening does not count", interactiveOpening, []Event{fact(NotebookClosed, -time.Hour)}, Active, ""},
		{"S2.11 an expiry before the opening changes nothing", interactiveOpening, []Event{fact(InteractiveExpired, -time.Hour)}, Active, ""},
		{"S2 a role session goes on, the user disabled", roleOpening, []Event{fact(UserDisabled, -time.Hour)}, Active, ""},
		{"S2.5 a fact about another run is not about this one", background,
			[]Event{of(fact(RevokeBackground, time.Second), workload.Ref{Endpoint: "livy/j-1YONHTCP3YZKC", ID: "application_17_0002"})}, Active, ""},
		{"S2.4 a fact about this run", background, []Event{of(fact(RevokeBackground, time.Second), livyRun().Ref())}, Ending, CauseBackgroundRevoked},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := Open(opening(c.open), policyOn(), facts(t, c.facts...), after(time.Second))
			wantStatus(t, d.Next, c.status, c.cause)
			if d.Next.Version != 1 {
				t.Errorf("version %d", d.Next.Version)
			}
			if stops := slices.Contains(kinds(d.Effects), Stop); stops != (c.status == Ending) {
				t.Errorf("effects %v", kinds(d.Effects))
			}
			if c.status == Ending && d.Next.End.Happened != c.facts[len(c.facts)-1].At {
				t.Errorf("S2.7 it happened %s", d.Next.End.Happened)
			}
		})
	}
	t.Run("S2 a role session's opening alerts that the user is disabled", func(t *testing.T) {
		t.Parallel()
		d := Open(opening(roleOpening), policyOn(), facts(t, fact(UserDisabled, -time.Hour)), opened)
		effect(t, d, Alert)
	})
	t.Run("S2.17 a disabled that was outdated when the session was opened alerts nobody", func(t *testing.T) {
		t.Parallel()
		d := Open(opening(roleOpening), policyOn(), facts(t, fact(UserDisabled, -2*time.Hour), fact(UserEnabled, -time.Hour)), opened)
		wantEffects(t, d)
	})
	t.Run("S2.11 enabled before the opening outdates a disabled that arrives later", func(t *testing.T) {
		t.Parallel()
		s := Open(opening(interactiveOpening), policyOn(), facts(t, fact(UserEnabled, -time.Hour)), opened).Next
		d := Decide(s, fact(UserDisabled, -2*time.Hour), policyOn(), after(time.Minute))
		wantStatus(t, d.Next, Active, "")
	})
	t.Run("S2.10 signing out, in again and opening anew, the old news arriving last", func(t *testing.T) {
		t.Parallel()
		s := Open(opening(interactiveOpening), policyOn(), UserFacts{}, opened).Next
		d := Decide(s, fact(SignOut, -time.Minute), policyOn(), after(10*time.Minute))
		wantStatus(t, d.Next, Active, "")
	})
}
