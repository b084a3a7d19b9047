package session

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/internal/workload"
)

// opened is when the sessions of these tests are opened.
var opened = time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)

func after(d time.Duration) time.Time { return opened.Add(d) }

// policyOn is the default policy with the instance's switch on.
func policyOn() Policy {
	p := DefaultPolicy()
	p.Version = 7
	p.InstanceBackground = On
	return p
}

// allOn are facts that make a Livy session a background session.
func allOn() Facts {
	return Facts{IdentityPropagation: On, ApplicationBackground: On, ClusterBackground: On, ReleaseLabel: "emr-7.12.0"}
}

func livyRun() workload.Run {
	return workload.Run{Engine: workload.Livy, Endpoint: "livy/j-1YONHTCP3YZKC", ID: "application_17_0001", Kind: workload.LivySession, Application: workload.Spark}
}

// opening is a background Livy session; change makes it something else.
func opening(change func(*Opening)) Opening {
	o := Opening{ID: "s-1", User: "u-ana", Run: livyRun(), Origin: Started, At: opened, Facts: allOn(),
		Interactive: InteractiveSession{ID: "is-1", Source: "portal", ExpiresAt: after(8 * time.Hour)}}
	if change != nil {
		change(&o)
	}
	return o
}

func interactiveOpening(o *Opening) { o.Facts.ApplicationBackground = Off }
func roleOpening(o *Opening)        { o.Facts.IdentityPropagation = Off }
func notStarted(o *Opening)         { o.Run.ID = "" }

func both(changes ...func(*Opening)) func(*Opening) {
	return func(o *Opening) {
		for _, c := range changes {
			c(o)
		}
	}
}

func openAs(t *testing.T, change func(*Opening)) Session {
	t.Helper()
	d := Open(opening(change), policyOn(), UserFacts{}, opened)
	if d.Next.Status != Active || d.Next.Version != 1 || !d.Changed {
		t.Fatalf("opening: status %s, version %d, changed %t", d.Next.Status, d.Next.Version, d.Changed)
	}
	return d.Next
}

// apply applies an event at its own time.
func apply(s Session, e Event) Decision { return Decide(s, e, policyOn(), e.At) }

func kinds(effects []Effect) []EffectKind {
	var k []EffectKind
	for _, e := range effects {
		if e.Kind != Announce && e.Kind != Watch {
			k = append(k, e.Kind)
		}
	}
	slices.Sort(k)
	return k
}

func wantEffects(t *testing.T, d Decision, want ...EffectKind) {
	t.Helper()
	slices.Sort(want)
	if got := kinds(d.Effects); !slices.Equal(got, want) {
		t.Errorf("effects %v, want %v", got, want)
	}
}

func wantStatus(t *testing.T, s Session, status Status, cause Cause) {
	t.Helper()
	if s.Status != status || s.End.Cause != cause {
		t.Errorf("session is %s, cause %q; want %s, %q", s.Status, s.End.Cause, status, cause)
	}
}

func effect(t *testing.T, d Decision, kind EffectKind) Effect {
	t.Helper()
	var found []Effect
	for _, e := range d.Effects {
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d effects %s, want one: %+v", len(found), kind, d.Effects)
	}
	return found[0]
}

// TestTableIsTotal: each status has a rule for each kind of event, and no other.
func TestTableIsTotal(t *testing.T) {
	t.Parallel()
	statuses := []Status{Active, Ending, Ended}
	pairs := 0
	for _, st := range statuses {
		for _, k := range Kinds() {
			if rules[st][k] == nil {
				t.Errorf("%s × %s has no rule", st, k)
			}
			pairs++
		}
		if len(rules[st]) != len(Kinds()) {
			t.Errorf("%s has %d rules for %d kinds", st, len(rules[st]), len(Kinds()))
		}
	}
	if len(rules) != len(statuses) || pairs != 3*32 {
		t.Errorf("%d statuses, %d pairs; want 3 and 96", len(rules), pairs)
	}
	t.Logf("%d pairs of status and kind, each with a rule", pairs)
}

// TestEveryPairAnswers: no status and kind, met by whatever session and event,
// panics or stays without an answer.
func TestEveryPairAnswers(t *testing.T) {
	t.Parallel()
	c := &chooser{next: rand.New(rand.NewPCG(2, 17)).IntN}
	answered := map[string]int{}
	for range 300 {
		for _, k := range Kinds() {
			for _, st := range []Status{Active, Ending, Ended} {
				s := c.session()
				for s.Status != st {
					switch {
					case st == Active:
						s = c.session()
					case s.Status == Active:
						s = Decide(s, Event{Kind: StopRequested, At: s.OpenedAt}, s.Policy, s.RecordedAt).Next
					case st == Ended:
						s = Decide(s, Event{Kind: RunObserved, State: workload.Gone, At: s.OpenedAt}, s.Policy, s.RecordedAt).Next
					default: // ENDED by its opening's facts
						s = c.session()
					}
				}
				e := c.event()
				e.Kind = k
				d := Decide(s, e, c.policy(), c.time())
				if d.Ignored == "" && !d.Changed {
					t.Fatalf("%s × %s: nothing happened and no reason is given\n%+v\n%+v", st, k, s, e)
				}
				answered[string(st)+" × "+string(k)]++
			}
		}
	}
	if len(answered) != 96 {
		t.Errorf("%d pairs were tried, want 96", len(answered))
	}
}

// TestS2TableAsText: the table that the README prints is the one of S2.
func TestS2TableAsText(t *testing.T) {
	t.Parallel()
	want := map[Cause][3]string{
		CauseSignOut:            {"end", "goes on", "goes on"},
		CauseInteractiveExpired: {"end", "goes on", "goes on"},
		CauseInteractiveRevoked: {"end", "goes on", "goes on"},
		CauseNotebookClosed:     {"end", "goes on", "goes on"},
		CauseBackgroundRevoked:  {"–", "end", "–"},
		CauseUserDisabled:       {"end", "end", "goes on, alert"},
		CauseUserDeleted:        {"end", "end", "goes on, alert"},
		CauseAccessRemoved:      {"end", "end", "goes on, alert"},
		CauseStopRequested:      {"end", "end", "end"},
		CauseWaiterAborted:      {"end", "end", "end"},
		CauseKernelStopped:      {"end", "end", "end"},
		CauseClusterTerminated:  {"close", "close", "close"},
	}
	for _, row := range Causes() {
		if w, ok := want[Cause(row[0])]; ok && !slices.Equal(row[1:], w[:]) {
			t.Errorf("%s: %q, want %q", row[0], row[1:], w)
		}
		delete(want, Cause(row[0]))
	}
	for c := range want {
		t.Errorf("the table has no row %s", c)
	}
}

// TestS1_10KleeneLogic: an AND is off if any part is off, else unknown if any is
// unknown; an OR is on if any part is on, else unknown if any is unknown.
func TestS1_10KleeneLogic(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ a, b, and, or Tri }{
		{On, On, On, On}, {On, Off, Off, On}, {On, Unknown, Unknown, On},
		{Off, On, Off, On}, {Off, Off, Off, Off}, {Off, Unknown, Off, Unknown},
		{Unknown, On, Unknown, On}, {Unknown, Off, Off, Unknown}, {Unknown, Unknown, Unknown, Unknown},
	} {
		if got := and(c.a, c.b); got != c.and {
			t.Errorf("S1.10 %s AND %s is %s, want %s", c.a, c.b, got, c.and)
		}
		if got := or(c.a, c.b); got != c.or {
			t.Errorf("S1.10 %s OR %s is %s, want %s", c.a, c.b, got, c.or)
		}
		for _, third := range []Tri{On, Off, Unknown} { // of three parts, whatever their order
			if and(c.a, c.b, third) != and(third, and(c.a, c.b)) || or(c.a, c.b, third) != or(third, or(c.a, c.b)) {
				t.Errorf("S1.10 %s, %s, %s: the order of parts matters", c.a, c.b, third)
			}
		}
	}
	var zero Tri
	if zero != Unknown || Unknown.String() != "unknown" || Off.String() != "off" || On.String() != "on" {
		t.Error("S1.10 the fact that was not read must be unknown, not off")
	}
}

// TestS1_3ReleaseLabel: what a label says of the release, with everything else
// on, and with the needs of exactly 7.11 met or not.
func TestS1_3ReleaseLabel(t *testing.T) {
	t.Parallel()
	const (
		old       = "below 7.11"
		exact     = "7.11"
		newer     = "above 7.11"
		malformed = "malformed"
	)
	for _, c := range []struct{ label, want string }{
		{"emr-7.9.0", old}, {"emr-7.9.x", old}, {"emr-7.9.0-latest", old}, {"emr-7.10.0", old}, {"emr-7.1.1", old}, {"emr-7.2", old},
		{"emr-6.15.0", old}, {"emr-5.36.2", old}, {"emr-6.99.0", old}, {"emr-0.0.0", old}, {"emr-7.9-latest", old},
		{"emr-7.11.0", exact}, {"emr-7.11.x", exact}, {"emr-7.11.0-latest", exact}, {"emr-7.11", exact}, {"emr-7.11-latest", exact}, {"emr-7.11.3", exact},
		{"emr-7.12.0", newer}, {"emr-7.12.0-latest", newer}, {"emr-7.12.x", newer}, {"emr-7.100.0", newer}, {"emr-8.0.0", newer}, {"emr-8.0", newer},
		{"emr-10.1", newer}, {"emr-10.1.0", newer}, {"emr-70.1.0", newer},
		{"", malformed}, {"7.11.0", malformed}, {"7.12.0", malformed}, {"emr-7", malformed}, {"emr-", malformed}, {"emr", malformed}, {"emr-7.11.0-foo", malformed},
		{"emr-7.12.0-foo", malformed}, {"emr-7.11.0-latest-foo", malformed}, {"emr-latest", malformed}, {"latest", malformed}, {"emr-x.y.z", malformed},
		{"emr-7..0", malformed}, {"emr-.12.0", malformed}, {"emr-7.", malformed}, {"emr-7.12.", malformed}, {"emr-seven.twelve", malformed}, {"emr--7.12.0", malformed},
		{"emr-7.-12.0", malformed}, {"emr-7.+12.0", malformed}, {"emr-7.12.0 ", malformed}, {"emr-7,12,0", malformed}, {"emr-7.１２.0", malformed}, {"emr-0x8.0.0", malformed},
	} {
		t.Run("S1.3 label "+c.label, func(t *testing.T) {
			t.Parallel()
			mode := func(bootstrap Tri) Mode {
				f := allOn()
				f.ReleaseLabel, f.BootstrapConfirmed, f.UnifiedStudioCluster, f.Instance = c.label, bootstrap, Off, On
				m, why := decideMode(f, livyRun(), policyOn())
				if len(why) == 0 {
					t.Error("no reason is given")
				}
				return m
			}
			got := map[[3]Mode]string{
				{Interactive, Interactive, Interactive}: old,
				{Interactive, ModeUnknown, Background}:  exact,
				{Background, Background, Background}:    newer,
				{ModeUnknown, ModeUnknown, ModeUnknown}: malformed,
			}[[3]Mode{mode(Off), mode(Unknown), mode(On)}]
			if got != c.want {
				t.Errorf("S1.3 %q is taken for %q, want %q", c.label, got, c.want)
			}
		})
	}
	for _, huge := range []string{"emr-99999999999999999999999999.1.0", "emr-7.99999999999999999999999999.0", "emr-7.12.99999999999999999999999999"} {
		f := allOn()
		f.ReleaseLabel, f.Instance = huge, On
		if m, _ := decideMode(f, livyRun(), policyOn()); m == Interactive {
			t.Errorf("S1.3 %q is not below 7.11, yet the mode is %s", huge, m)
		}
	}
}

// TestS1_11ModeOfEveryCombination compares the mode with S1.11's formula over
// every combination of the three levels and identity propagation, on every engine.
func TestS1_11ModeOfEveryCombination(t *testing.T) {
	t.Parallel()
	all := []Tri{On, Off, Unknown}
	n := 0
	for _, engine := range workload.Engines() {
		for _, tip := range all {
			for _, instance := range all {
				for _, application := range all {
					for _, cluster := range all {
						f := allOn()
						f.IdentityPropagation, f.ApplicationBackground, f.ClusterBackground = tip, application, cluster
						p := policyOn()
						p.InstanceBackground = instance
						run := livyRun()
						run.Engine = engine
						parts := []Tri{instance, application}
						if engine == workload.Livy {
							parts = append(parts, cluster)
						}
						var want Mode
						switch {
						case tip == Off:
							want = Role
						case tip == Unknown:
							want = ModeUnknown
						case slices.Contains(parts, Off):
							want = Interactive
						case slices.Contains(parts, Unknown):
							want = ModeUnknown
						default:
							want = Background
						}
						d := Open(opening(func(o *Opening) { o.Facts, o.Run = f, run }), p, UserFacts{}, opened)
						if d.Next.Mode != want {
							t.Errorf("S1.11 %s, propagation %s, instance %s, application %s, cluster %s: %s, want %s", engine, tip, instance, application, cluster, d.Next.Mode, want)
						}
						if alerts := slices.Contains(kinds(d.Effects), Alert); alerts != (want == ModeUnknown) {
							t.Errorf("S2.17 %s: an alert at the opening: %t", want, alerts)
						}
						n++
					}
				}
			}
		}
	}
	if n != 6*81 {
		t.Errorf("%d combinations, want %d", n, 6*81)
	}
}

// TestS1_4Bounds: every duration from 15 minutes to 90 days inclusive, and the
// range is named where one is refused.
func TestS1_4Bounds(t *testing.T) {
	t.Parallel()
	set := map[string]func(*Policy, time.Duration){
		"backgroundDuration":  func(p *Policy, d time.Duration) { p.BackgroundDuration = d },
		"interactiveDuration": func(p *Policy, d time.Duration) { p.InteractiveDuration = d },
		"livyIdle":            func(p *Policy, d time.Duration) { p.LivyIdle = d },
		"tenantLimit":         func(p *Policy, d time.Duration) { p.TenantLimit = d },
	}
	for field, put := range set {
		for d, ok := range map[time.Duration]bool{
			15 * time.Minute: true, 90 * 24 * time.Hour: true, time.Hour: true,
			15*time.Minute - 1: false, 14*time.Minute + 59*time.Second: false, 90*24*time.Hour + 1: false, -time.Hour: false, 1<<63 - 1: false,
		} {
			p := DefaultPolicy()
			put(&p, d)
			err := p.Validate()
			if (err == nil) != ok {
				t.Errorf("%s %s: %v", field, d, err)
			}
			if err != nil && !namesRange(err.Error(), field) {
				t.Errorf("%s %s: %q names not the field and the range", field, d, err)
			}
		}
	}
	for cost, fine := range map[int64]bool{-1: false, 0: true, 1: true, CostAlertMax: true, CostAlertMax + 1: false} {
		p := DefaultPolicy()
		p.CostAlert = cost
		if err := p.Validate(); (err == nil) != fine || err != nil && !strings.Contains(err.Error(), "costAlert") {
			t.Errorf("S4.6 a cost alert of %d dollars: %v", cost, err)
		}
	}
	if p := DefaultPolicy(); p.Validate() != nil || p.BackgroundDuration != 7*24*time.Hour || p.InteractiveDuration != 8*time.Hour || p.LivyIdle != 8*time.Hour ||
		p.TenantLimit != 0 || p.InstanceBackground != Unknown || p.RequireUnifiedStudioLaunch {
		t.Errorf("the default policy is %+v", DefaultPolicy())
	}
}

func namesRange(sentence, field string) bool {
	return strings.Contains(sentence, field) && strings.Contains(sentence, "15 minutes") && strings.Contains(sentence, "90 days")
}

// TestWanted: an effect that no longer makes sense is dropped.
func TestWanted(t *testing.T) {
	t.Parallel()
	want := map[EffectKind]map[Status]bool{
		Stop:          {Ending: true},
		Page:          {Ending: true},
		ReleaseWaiter: {Ended: true},
		Watch:         {Active: true, Ending: true},
		Notice:        {Active: true},
		Notify:        {Active: true, Ending: true, Ended: true},
		Alert:         {Active: true, Ending: true, Ended: true},
		Announce:      {Active: true, Ending: true, Ended: true},
	}
	for kind, in := range want {
		for _, st := range []Status{Active, Ending, Ended} {
			if got := (Effect{Kind: kind}).Wanted(Session{Status: st}); got != in[st] {
				t.Errorf("%s wanted while %s: %t, want %t", kind, st, got, in[st])
			}
		}
	}
	if a, b := EffectID("s-1", 12, Stop), EffectID("s-11", 2, Stop); a == b || a == EffectID("s-1", 13, Stop) || a == EffectID("s-1", 12, Page) {
		t.Error("two effects have one name")
	}
}

func ExampleCauses() {
	for _, row := range Causes()[:2] {
		fmt.Println(row)
	}
	// Output:
	// [sign-out end goes on goes on]
	// [interactive-expired end goes on goes on]
}
