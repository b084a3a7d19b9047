package session

import (
	"strings"
	"testing"
	"time"

	"nightshift/internal/workload"
)

func onEKS(o *Opening) {
	o.Run = workload.Run{Engine: workload.EMRContainers, Endpoint: "emr-containers/123456789012/us-east-1", ID: "vc/jr"}
}

func inNotebook(o *Opening) {
	o.Run = workload.Run{Engine: workload.EMRNotebook, Endpoint: "emr-notebook/123456789012/us-east-1", ID: "ex-1"}
}

func training(o *Opening) {
	o.Run = workload.Run{Engine: workload.SageMakerTraining, Endpoint: "sagemaker/123456789012/us-east-1", ID: "training-job/a"}
}

// TestS8_2Extend: an end is moved only where nothing of AWS's caps the run, and
// within policy.
func TestS8_2Extend(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	policy := func(change func(*Policy)) Policy {
		p := policyOn()
		if change != nil {
			change(&p)
		}
		return p
	}
	noExpiry := func(o *Opening) { o.Interactive = InteractiveSession{} }
	limit := func(d time.Duration) func(*Policy) { return func(p *Policy) { p.TenantLimit = d } }
	for _, c := range []struct {
		name     string
		open     func(*Opening)
		at, now  *Policy // the policy of the opening, and of now
		before   []Event
		after    time.Duration // of the opening
		until    time.Duration // the latest end, of the opening; 0: refused
		reason   string
		deadline Source // that is moved
	}{
		{"S8.2 a background job run on EKS gets what one opened now would", onEKS, nil, nil, nil, 2 * day, 9 * day, "opened now", SourceBackground},
		{"S8.2 so does a notebook execution", inNotebook, nil, nil, nil, 2 * day, 9 * day, "opened now", SourceBackground},
		{"S8.2 an interactive job run of no known session", both(onEKS, interactiveOpening, noExpiry), nil, nil, nil, time.Hour, 9 * time.Hour, "opened now", SourceInteractive},
		{"S8.2 the user's interactive session cannot be made longer", both(onEKS, interactiveOpening), nil, nil, nil, time.Hour, 0, "interactive session", ""},
		{"S8.2 AWS's background session caps a Livy session", nil, nil, nil, nil, 2 * day, 0, "AWS's own background session", ""},
		{"S8.2 AWS's background session caps a training job", training, nil, nil, nil, 2 * day, 0, "AWS's own background session", ""},
		{"S8.2 a token that AWS issued caps a job run too", onEKS, nil, nil, []Event{{Kind: BackgroundTokenIssued, At: after(time.Hour)}}, 2 * day, 0, "token", ""},
		{"S8.2 the tenant limit, as far as it is today", onEKS, ptr(policy(limit(3 * day))), ptr(policy(limit(5 * day))), nil, day, 5 * day, "tenant limit", SourceTenant},
		{"S1.6 not beyond the tenant limit of today", onEKS, ptr(policy(limit(3 * day))), ptr(policy(limit(3 * day))), nil, day, 0, "tenant limit", ""},
		{"S1.6 not beyond a tenant limit that is new", onEKS, nil, ptr(policy(limit(8 * day))), nil, 2 * day, 8 * day, "tenant limit", SourceBackground},
		{"S8.2 the tenant limit of a role's run", both(onEKS, roleOpening), ptr(policy(limit(3 * day))), ptr(policy(nil)), nil, day, 90 * day, "90 days", SourceTenant},
		{"S4.5 a training job's engine was told at the start", both(training, roleOpening), ptr(policy(limit(3 * day))), ptr(policy(nil)), nil, day, 0, "told", ""},
		{"S8.2 an adopted training job's was not", both(training, roleOpening, func(o *Opening) { o.Origin = Adopted }), ptr(policy(limit(3 * day))), ptr(policy(nil)),
			[]Event{{Kind: RunObserved, State: workload.Running, At: after(time.Hour)}}, day, 28*day + time.Hour, "engine-limit", SourceEngine},
		{"S1.9 the run's own MaxRuntime stays", both(onEKS, func(o *Opening) { o.Run.MaxRuntime = 8 * day }), nil, nil, []Event{{Kind: RunObserved, State: workload.Running, At: after(0)}}, 2 * day, 8 * day, "max-runtime", SourceBackground},
		{"S8.2 no session is longer than 90 days", onEKS, ptr(policy(func(p *Policy) { p.BackgroundDuration = 60 * day })), ptr(policy(func(p *Policy) { p.BackgroundDuration = 60 * day })), nil, 50 * day, 90 * day, "90 days", SourceBackground},
		{"S8.2 no limit is none to move", both(onEKS, roleOpening), nil, nil, nil, day, 0, "no end", ""},
		{"S2.3 what ends is not moved", onEKS, nil, nil, []Event{{Kind: StopRequested, At: after(time.Hour)}}, 2 * time.Hour, 0, "ENDING", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			at, present := policyOn(), policyOn()
			if c.at != nil {
				at = *c.at
			}
			if c.now != nil {
				present = *c.now
			}
			s := Open(opening(c.open), at, UserFacts{}, opened).Next
			for _, e := range c.before {
				s = Decide(s, e, at, e.At).Next
			}
			now := after(c.after)
			x := s.Extendable(present, now)
			if x.Possible != (c.until > 0) || !strings.Contains(x.Reason, c.reason) {
				t.Fatalf("%+v, want possible %t because of %q", x, c.until > 0, c.reason)
			}
			ask := func(until time.Time) Decision {
				return Decide(s, Event{ID: "x", Kind: Extended, At: now, By: "u-root", Until: until}, present, now)
			}
			if c.until == 0 {
				if d := ask(s.Deadline.Add(time.Hour)); d.Changed || d.Ignored == "" || s.Status == Active && !strings.HasPrefix(d.Ignored, "the end cannot be moved") {
					t.Errorf("refused and changed all the same: %+v", d)
				}
				return
			}
			if !x.Until.Equal(after(c.until)) {
				t.Errorf("until %s, want %s", x.Until, after(c.until))
			}
			if d := ask(x.Until.Add(1)); d.Changed || !strings.Contains(d.Ignored, "at the latest") {
				t.Errorf("S1.6 more than policy allows: %+v", d)
			}
			if d := ask(s.Deadline); d.Changed || !strings.Contains(d.Ignored, "later") {
				t.Errorf("an end is moved to where it is: %+v", d)
			}
			d := ask(x.Until)
			if n := d.Next; !d.Changed || !n.Deadline.Equal(x.Until) || n.DeadlineSource != c.deadline || n.Policy != s.Policy || d.Ignored != "" {
				t.Errorf("deadline %s by %s, want %s by %s: %+v", n.Deadline, n.DeadlineSource, x.Until, c.deadline, d)
			}
			if ended := Decide(d.Next, Event{Kind: Tick, At: x.Until}, present, x.Until).Next; ended.Status != Ending {
				t.Errorf("S8.2 the moved end ends nothing: %s", ended.Status)
			}
			if alive := Decide(d.Next, Event{Kind: Tick, At: x.Until.Add(-1)}, present, x.Until.Add(-1)).Next; alive.Status != Active {
				t.Errorf("S8.2 it ends before its moved end: %s", alive.Status)
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

// TestTellKnowsEveryKind: each kind of event has words, and a rule either of its
// own or of the table of causes.
func TestTellKnowsEveryKind(t *testing.T) {
	t.Parallel()
	for _, k := range append(Kinds(), Opened) {
		w, known := words[k]
		_, caused := rowOf(k)
		if !known || w.happened == "" || (w.rule == "") != caused {
			t.Errorf("%s: happened %q, rule %q, cause %t", k, w.happened, w.rule, caused)
		}
	}
	if len(words) != len(Kinds())+1 {
		t.Errorf("words for %d kinds, there are %d", len(words), len(Kinds())+1)
	}
}

// TestTell: what a story says of a sign-out that ends one session and not the
// other, and of what follows.
func TestTell(t *testing.T) {
	t.Parallel()
	shot := func(s Session) Snapshot {
		return Snapshot{Status: s.Status, Mode: s.Mode, Deadline: s.Deadline, Source: s.DeadlineSource, Cause: s.End.Cause}
	}
	for _, c := range []struct {
		name    string
		open    func(*Opening)
		events  []Event // the last is told
		decided string
		rule    string
	}{
		{"S2 a sign-out ends an interactive session", interactiveOpening, []Event{{Kind: SignOut, At: after(time.Minute)}}, "the run is asked to stop, because the user signed out", "ends sessions of mode interactive (S2)"},
		{"S2 and leaves a role's run alone", roleOpening, []Event{{Kind: SignOut, At: after(time.Minute)}}, "nothing changes", "outlive"},
		{"S2 a disabled user's role run goes on, with an alert", roleOpening, []Event{{Kind: UserDisabled, At: after(time.Minute)}}, "nothing changes", "an administrator is told"},
		{"S2.11 a deadline passes", nil, []Event{{Kind: Tick, At: after(8 * 24 * time.Hour)}}, "because the background session expired", "S2.11"},
		{"S2.1 and the run is seen stopped", nil, []Event{{Kind: Tick, At: after(8 * 24 * time.Hour)}, {Kind: RunObserved, State: workload.Stopped, At: after(9 * 24 * time.Hour)}}, "the session has ended, because the background session expired", "S2.1"},
		{"S2.6 a stop is asked for again", nil, []Event{{Kind: StopRequested, At: after(time.Minute)}, {Kind: Tick, At: after(time.Hour)}}, "nothing changes", "S2.6"},
		{"S8.2 an end is moved", onEKS, []Event{{Kind: Extended, At: after(24 * time.Hour), Until: after(8 * 24 * time.Hour)}}, "the end is now at 2026-11-28T18:00:00Z, by its background-duration", "S8.2"},
		{"S1.13 a token proves the mode", interactiveOpening, []Event{{Kind: BackgroundTokenIssued, At: after(time.Minute)}}, "the mode is now background; the end is now at", "S1.13"},
		{"S2 a cluster's end closes", nil, []Event{{Kind: ClusterTerminated, At: after(time.Minute)}}, "has ended, because its cluster was terminated", "nothing is left to stop"},
		{"S2 a lost run closes", nil, []Event{{Kind: RunObserved, State: workload.Gone, At: after(time.Hour)}}, "has ended", "closes its session"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := openAs(t, c.open)
			if told := Tell(Event{Kind: Opened}, Snapshot{}, shot(s), ""); !strings.Contains(told.Decided, string(s.Mode)) || !strings.Contains(told.Rule, "S1.11") {
				t.Errorf("opening: %+v", told)
			}
			var told Telling
			for _, e := range c.events {
				d := apply(s, e)
				told = Tell(e, shot(s), shot(d.Next), d.Ignored)
				s = d.Next
			}
			if !strings.Contains(told.Decided, c.decided) || !strings.Contains(told.Rule, c.rule) || told.Happened == "" {
				t.Errorf("%+v, want %q by %q", told, c.decided, c.rule)
			}
		})
	}
}
