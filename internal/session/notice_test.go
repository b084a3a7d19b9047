package session

import (
	"strings"
	"testing"
	"time"

	"nightshift/internal/workload"
)

// ticks applies ticks at moments after the opening, and lists what notices said.
func ticks(s Session, at ...time.Duration) (Session, []Effect) {
	var said []Effect
	for _, d := range at {
		next := apply(s, Event{Kind: Tick, At: after(d)})
		s = next.Next
		for _, e := range next.Effects {
			if e.Kind == Notice {
				said = append(said, e)
			}
		}
	}
	return s, said
}

const week = 7 * 24 * time.Hour

// TestLateNewsIsNoNews: a notice whose moment has passed is dropped, and the
// next is said in its time (S4.6); it wakes for each.
func TestLateNewsIsNoNews(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		open func(*Opening)
		at   []time.Duration
		want []time.Duration
	}{
		{"S4.6 after an outage with 3 h left the 24 h notice is dropped", nil, []time.Duration{week - 3*time.Hour, week - time.Hour, week - 15*time.Minute}, []time.Duration{time.Hour, 15 * time.Minute}},
		{"S4.6 after an outage with 3 min left nothing is said", nil, []time.Duration{week - 3*time.Minute}, nil},
		{"S4.6 a sweep that was missed drops nothing", nil, []time.Duration{week - 24*time.Hour + 2*time.Minute}, []time.Duration{24 * time.Hour}},
		{"S4.6 the slack is 5 minutes", nil, []time.Duration{week - time.Hour + NoticeSlack}, []time.Duration{time.Hour}},
		{"S4.6 and no longer", nil, []time.Duration{week - time.Hour + NoticeSlack + time.Second}, nil},
		{"S4.6 a session of 8 hours has no 24 h notice", interactiveOpening, []time.Duration{0, 7 * time.Hour, 8*time.Hour - 15*time.Minute}, []time.Duration{time.Hour, 15 * time.Minute}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, said := ticks(openAs(t, c.open), c.at...)
			if len(said) != len(c.want) {
				t.Fatalf("said %+v, want %v", said, c.want)
			}
			for i, e := range said {
				if e.Before != c.want[i] {
					t.Errorf("notice %d is of %s, want %s", i, e.Before, c.want[i])
				}
			}
			last := after(c.at[len(c.at)-1])
			if wake := s.WakeAt(); !wake.After(last) {
				t.Errorf("it is due at %s, which is not after %s: the sweep would take it each minute", wake, last)
			}
			if _, again := ticks(s, c.at[len(c.at)-1]); len(again) != 0 {
				t.Errorf("the same tick says it again: %+v", again)
			}
		})
	}
	t.Run("S4.6 a job of 40 minutes has the 15 min notice only", func(t *testing.T) {
		t.Parallel()
		s := apply(openAs(t, roleOpening), Event{Kind: RunObserved, State: workload.Running, At: after(time.Hour), MaxRuntime: 40 * time.Minute}).Next
		if _, said := ticks(s, time.Hour, 80*time.Minute, 85*time.Minute, 99*time.Minute); len(said) != 1 || said[0].Before != 15*time.Minute {
			t.Errorf("said %+v", said)
		}
	})
	t.Run("S4.6 a job of 10 minutes has none", func(t *testing.T) {
		t.Parallel()
		s := apply(openAs(t, roleOpening), Event{Kind: RunObserved, State: workload.Running, At: after(time.Hour), MaxRuntime: 10 * time.Minute}).Next
		if _, said := ticks(s, time.Hour, 65*time.Minute, 69*time.Minute); len(said) != 0 {
			t.Errorf("said %+v", said)
		}
	})
}

// TestStale: what was decided and is carried out later is checked again (S4.6).
func TestStale(t *testing.T) {
	t.Parallel()
	s := openAs(t, nil)
	hour := Effect{Kind: Notice, Before: time.Hour}
	moved := s
	moved.Deadline = moved.Deadline.Add(time.Hour)
	for name, c := range map[string]struct {
		effect Effect
		s      Session
		at     time.Duration
		stale  bool
	}{
		"in time":                          {hour, s, week - time.Hour, false},
		"within the slack":                 {hour, s, week - 56*time.Minute, false},
		"3 h of outage later":              {hour, s, week - 40*time.Minute, true},
		"the deadline was moved meanwhile": {hour, moved, week - time.Hour, true},
		"late, while there is time":        {Effect{Kind: Notice, Reason: NoticeLate}, moved, week - time.Hour, false},
		"late, when it is over":            {Effect{Kind: Notice, Reason: NoticeLate}, s, week, true},
		"why it ends is always said":       {Effect{Kind: Notify}, s, 2 * week, false},
	} {
		if got := c.effect.Stale(c.s, s.Deadline, after(c.at)); got != c.stale {
			t.Errorf("S4.6 %s: stale %t", name, got)
		}
	}
}

func progress(at time.Duration, fraction float64) Event {
	return Event{Kind: ProgressSeen, At: after(at), Progress: workload.Progress{Of: "statement 3", Fraction: fraction, Since: opened, At: after(at)}}
}

// TestLate: a warning when a run will probably not finish before its deadline
// (S4.6), once, and never on a guess.
func TestLate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		open func(*Opening)
		seen Event
		late bool
	}{
		{"S4.6 half done after 5 of 8 hours", interactiveOpening, progress(5*time.Hour, 0.5), true},
		{"S4.6 half done after 3 of 8 hours", interactiveOpening, progress(3*time.Hour, 0.5), false},
		{"S4.6 next to nothing done is no ground for an estimate", interactiveOpening, progress(5*time.Hour, 0.01), false},
		{"S4.6 neither are the first minutes", interactiveOpening, progress(9*time.Minute, 0.06), false},
		{"S4.6 nor work whose beginning the engine does not tell", interactiveOpening,
			Event{Kind: ProgressSeen, At: after(5 * time.Hour), Progress: workload.Progress{Of: "statement 3", Fraction: 0.5, At: after(5 * time.Hour)}}, false},
		{"S4.6 what is done is not late", interactiveOpening, progress(5*time.Hour, 1), false},
		{"S4.6 without a deadline nothing is late", roleOpening, progress(5*time.Hour, 0.1), false},
		{"S4.6 a beginning long ago does not overflow", interactiveOpening,
			Event{Kind: ProgressSeen, At: after(time.Hour), Progress: workload.Progress{Of: "statement 3", Fraction: 0.05, Since: time.Unix(0, 0), At: after(time.Hour)}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := openAs(t, c.open)
			d := apply(s, c.seen)
			if got := len(d.Effects) == 1 && d.Effects[0].Kind == Notice && d.Effects[0].Reason == NoticeLate; got != c.late {
				t.Fatalf("late %t, want %t: %+v", got, c.late, d.Effects)
			}
			if !c.late {
				return
			}
			if !s.ProgressNews(c.seen.Progress) {
				t.Error("it is late and not worth writing down")
			}
			for _, words := range []string{"statement 3", "done after", "UTC", "at this pace", Moment(s.Deadline), "administrator"} {
				if !strings.Contains(d.Effects[0].Text, words) {
					t.Errorf("%q does not say %q", d.Effects[0].Text, words)
				}
			}
			again := c.seen
			again.At, again.Progress.At = again.At.Add(time.Hour), again.At.Add(time.Hour)
			if d := apply(d.Next, again); len(d.Effects) != 0 {
				t.Errorf("it is said twice: %+v", d.Effects)
			}
		})
	}
}

// TestProgressNews: small steps and short statements make no versions (S4.6).
func TestProgressNews(t *testing.T) {
	t.Parallel()
	s := apply(openAs(t, nil), progress(time.Hour, 0.3)).Next
	if s.Progress.Fraction != 0.3 {
		t.Fatalf("progress %+v", s.Progress)
	}
	other := progress(time.Hour+time.Minute, 0.9).Progress
	other.Of = "statement 4"
	later := other
	later.At = after(2 * time.Hour)
	for name, c := range map[string]struct {
		p    workload.Progress
		news bool
	}{
		"nothing known":                       {workload.Progress{}, false},
		"the same":                            {s.Progress, false},
		"a small step":                        {progress(2*time.Hour, 0.35).Progress, false},
		"a tenth":                             {progress(2*time.Hour, 0.41).Progress, true},
		"done":                                {progress(2*time.Hour, 1).Progress, true},
		"older":                               {progress(time.Minute, 0.9).Progress, false},
		"another statement a minute later":    {other, false},
		"another statement an hour later":     {later, true},
		"the first word of a session's first": {progress(time.Hour, 0.3).Progress, false},
	} {
		if got := s.ProgressNews(c.p); got != c.news {
			t.Errorf("S4.6 %s: news %t", name, got)
		}
	}
}

// TestForgotten: a session that outlived its user's sign-out by a day and costs
// more than the setting is told of once (S4.6, S8.5).
func TestForgotten(t *testing.T) {
	t.Parallel()
	left := apply(openAs(t, nil), signOut(after(time.Hour))).Next
	dear := func(at time.Duration, cost float64) Event {
		return Event{Kind: CostSeen, At: after(at), Cost: cost, By: "nightshift"}
	}
	for _, c := range []struct {
		name string
		s    Session
		e    Event
		told bool
	}{
		{"S4.6 a day after the sign-out and above the setting", left, dear(25*time.Hour, 100.01), true},
		{"S4.6 at the setting it is not above it", left, dear(25*time.Hour, 100), false},
		{"S4.6 overnight work is not forgotten", left, dear(24*time.Hour, 500), false},
		{"S4.6 while its user is there it is not forgotten", openAs(t, nil), dear(100*time.Hour, 500), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := apply(c.s, c.e)
			if got := len(d.Effects) == 1 && d.Effects[0].Kind == Notice && d.Effects[0].Reason == NoticeForgotten; got != c.told {
				t.Fatalf("told %t, want %t: %+v %s", got, c.told, d.Effects, d.Ignored)
			}
			if !c.told {
				return
			}
			for _, words := range []string{"100.01 US dollars", "24 hours ago", "costAlert", Moment(c.s.Deadline), Moment(c.s.LeftAt)} {
				if !strings.Contains(d.Effects[0].Text, words) {
					t.Errorf("%q does not say %q", d.Effects[0].Text, words)
				}
			}
			if again := apply(d.Next, dear(26*time.Hour, 900)); len(again.Effects) != 0 || again.Changed {
				t.Errorf("it is said twice: %+v", again.Effects)
			}
		})
	}
	t.Run("S4.6 a policy of 0 tells of none", func(t *testing.T) {
		t.Parallel()
		p := policyOn()
		p.CostAlert = 0
		if d := Decide(left, dear(25*time.Hour, 1e6), p, after(25*time.Hour)); len(d.Effects) != 0 {
			t.Errorf("%+v", d.Effects)
		}
	})
	t.Run("S8.5 a sign-in and a later sign-out count anew", func(t *testing.T) {
		t.Parallel()
		s := apply(left, signOut(after(20*time.Hour))).Next
		if s.Forgotten(after(30*time.Hour)) || !s.Forgotten(after(44*time.Hour)) {
			t.Error("forgotten is counted from the newest sign-out")
		}
	})
}

// TestWhereEachLimitIsChanged: S2.8, S4.6 for every limit.
func TestWhereEachLimitIsChanged(t *testing.T) {
	t.Parallel()
	for c, words := range map[Cause]string{
		CauseIdle: "livyIdle", CauseMaxRuntime: "MaxRuntimeInSeconds is set when", CauseEngineLimit: "nobody can change it", CauseTenantLimit: "tenantLimit",
		CauseBackgroundExpired: WhereDuration, CauseInteractiveExpired: WhereDuration,
	} {
		s := openAs(t, nil)
		s.End = End{Cause: c, Happened: after(time.Hour)}
		if text := Explain(s); !strings.Contains(text, words) || strings.Contains(text, "duration") != strings.Contains(words, "duration") || !strings.Contains(text, Moment(after(time.Hour))) {
			t.Errorf("S2.8 %s: %q", c, text)
		}
	}
}

func TestLasting(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Hour: "less than a minute", 10 * time.Second: "less than a minute", time.Minute: "1 minute", 59*time.Minute + 45*time.Second: "1 hour",
		90 * time.Minute: "1 hour 30 minutes", 24 * time.Hour: "24 hours", 47*time.Hour + 5*time.Minute: "47 hours 5 minutes",
		48 * time.Hour: "2 days", week - 59*time.Minute: "6 days 23 hours", 48*time.Hour + 3*time.Minute: "2 days",
	} {
		if got := Lasting(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}
