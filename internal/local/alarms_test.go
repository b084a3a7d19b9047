package local

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/asl"
	"nightshift/internal/asl/clock"
	"nightshift/internal/cadence"
	"nightshift/internal/config"
	"nightshift/internal/obs/panel"
	"nightshift/internal/workload"
	"nightshift/statemachines"
)

// scene is a local system at work, whose alarms are judged at the end of each
// period, as CloudWatch judges those that infra/stack makes of the same table.
type scene struct {
	t *testing.T
	s *System
	n int // events put so far
}

// allAlarms are those of the hub's stack and of a member's.
func allAlarms() []panel.Alarm { return slices.Concat(panel.Alarms(), panel.MemberAlarms()) }

// alarmed are the alarms that are on: those whose metric was beyond the limit in
// each of the last whole periods.
func (w *scene) alarmed() []string {
	var on []string
	for _, a := range allAlarms() {
		beyond := true
		for i := range a.Periods {
			beyond = beyond && a.Beyond(w.s.CloudWatch.Value(a.Metric, w.s.Clock.Now().Add(-time.Duration(i+1)*panel.Period)))
		}
		if beyond {
			on = append(on, a.Name)
		}
	}
	return on
}

// pass lets periods pass, doing something each minute, and answers what alarms
// were on at the end of any of them.
func (w *scene) pass(periods int, each func(w *scene)) []string {
	var on []string
	for range periods {
		for end := w.s.Clock.Now().Truncate(panel.Period).Add(panel.Period); w.s.Clock.Now().Before(end); {
			if each != nil {
				each(w)
			}
			w.s.Clock.RunUntil(w.s.Clock.Now().Add(time.Minute))
		}
		on = append(on, w.alarmed()...)
	}
	slices.Sort(on)
	return slices.Compact(on)
}

// put says something on our bus, or on the default one.
func (w *scene) put(source, kind, detail string) {
	w.t.Helper()
	w.putAt(hub, source, kind, detail)
}

func (w *scene) putAt(at config.Place, source, kind, detail string) {
	w.t.Helper()
	w.n++
	now := w.s.Clock.Now().UTC().Format(time.RFC3339)
	body := fmt.Sprintf(`{"version":"0","id":"a-%d","source":%q,"detail-type":%q,"account":%q,"region":%q,"time":%q,"resources":[],"detail":%s}`,
		w.n, source, kind, at.Account, at.Region, now, strings.ReplaceAll(detail, "NOW", now))
	if err := w.s.Put([]byte(body)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *scene) signOut(user string) {
	w.put("nightshift", "Nightshift Signed Out", `{"user":"`+user+`","at":"NOW"}`)
}

// trail says that CloudTrail recorded a call of Identity Center.
func (w *scene) trail(name string) {
	w.put("aws.sso", "AWS API Call via CloudTrail", fmt.Sprintf(`{"eventTime":"NOW","eventSource":"sso.amazonaws.com","eventName":%q,"awsRegion":%q,"eventID":"t-%d","eventType":"AwsApiCall","recipientAccountId":%q,"userIdentity":{}}`, name, Region, w.n, Account))
}

// livy begins a Livy session on the old cluster, which is interactive, as a user
// or as nobody.
func (w *scene) livy(user string) {
	w.t.Helper()
	body := `{"kind":"pyspark"}`
	if user != "" {
		body = `{"kind":"pyspark","proxyUser":"` + user + `"}`
	}
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.s.URLs[LivyOld]+"/sessions", strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("X-Requested-By", "test")
	answer, err := http.DefaultClient.Do(r)
	if err != nil || answer.StatusCode != http.StatusCreated {
		w.t.Fatalf("Livy: %v %v", answer, err)
	}
	_ = answer.Body.Close()
}

// invoke has functions invoked with something harmless, as their machines do.
func invoke(functions ...string) func(*scene) {
	return func(w *scene) {
		for _, f := range functions {
			_, _ = w.s.call(w.t.Context(), f, []byte(`{}`)) // that it fails is what is looked for
		}
	}
}

// abort ends what executions of a machine there are, as somebody at the console.
func abort(machine string) func(*scene) {
	return func(w *scene) {
		found := false
		for _, e := range w.s.runner.Executions() {
			if e.MachineARN() == machineARN(machine) && e.Status() == asl.Running {
				found = true
				if err := w.s.Abort(e.ARN()); err != nil {
					w.t.Error(err)
				}
			}
		}
		if !found {
			w.t.Errorf("no execution of %s goes on", machine)
		}
	}
}

var errBroken = errors.New("AccessDenied: the role is too narrow")

// breaking has functions fail.
func breaking(functions ...string) func(*scene) {
	return func(w *scene) {
		for _, f := range functions {
			w.s.Troubles.Break(f, errBroken)
		}
	}
}

// mistaken has a function answer what its machine cannot use, as one of another
// version might.
func mistaken(function string) func(*scene) {
	return func(w *scene) { w.s.Troubles.Mistake(function, `{"done":false,"waitSeconds":"soon"}`) }
}

// mending mends functions, and empties what was left behind by those that the
// schedule and the stream invoke.
func mending(functions ...string) func(*scene) {
	return func(w *scene) {
		for _, f := range functions {
			w.s.Troubles.Mend(f)
			w.s.Purge(f)
		}
	}
}

// also does one thing after another.
func also(all ...func(*scene)) func(*scene) {
	return func(w *scene) {
		for _, do := range all {
			do(w)
		}
	}
}

// blind is an engine that does not list.
type blind struct{ app.Engine }

func (blind) List(context.Context, string) (workload.Listing, error) {
	return workload.Listing{}, errBroken
}

// forged is a store in which somebody has changed one word of every history.
type forged struct{ app.Store }

func (f forged) History(ctx context.Context, id string, after int64, limit int) ([]app.Entry, bool, error) {
	entries, more, err := f.Store.History(ctx, id, after, limit)
	for i := range entries {
		entries[i].Event.By = "somebody else"
	}
	return entries, more, err
}

// trouble is one thing that goes wrong: what is done to the system, for how many
// periods, and what mends it. on are the alarms that must come on by it and go off
// again; with may.
type trouble struct {
	name    string
	center  config.Place // where Identity Center is; zero: here
	plant   func(*scene)
	each    func(*scene) // each minute while it lasts
	lasts   int          // periods
	mend    func(*scene)
	clears  int // periods until every alarm is off again
	on, may []string
}

// far is where Identity Center is, if not here.
var far = config.Place{Account: "111122223333", Region: "eu-central-1"}

// called are the functions that only machines and people call.
var called = []string{"console", "move-notebook", "open-session", "preflight", "repair", "restart-session", "start-run"}

func errorsOf(functions ...string) []string {
	var names []string
	for _, f := range functions {
		names = append(names, "errors-"+f)
	}
	return names
}

func troubles() []trouble {
	never := func(*scene) {}
	var engines map[string]app.Engine
	var waiting, given []string
	for _, f := range panel.Behind() {
		waiting, given = append(waiting, "queue-age-"+f), append(given, "depth-"+f+"-dead")
	}
	hours := config.QueueReceivesMax*config.QueueVisibility/int(panel.Period/time.Second) + 2
	sweep := []string{"errors-on-schedule", "depth-on-schedule-failed"}
	guests := func(w *scene) { w.livy(fmt.Sprint("u-guest", w.s.Clock.Now().Unix())) }
	leaves := func(w *scene) { w.signOut("u-chloe") }
	return []trouble{
		{name: "drains fail", on: []string{"stop-lateness", "stuck-endings", "drain-standstill", "errors-drain-endpoint"},
			plant: also(breaking("drain-endpoint"), leaves), lasts: 4, mend: mending("drain-endpoint"), clears: 3},
		{name: "drains end badly", on: []string{"drain-failed"}, may: []string{"drain-standstill", "stuck-endings"},
			plant: also(mistaken("drain-endpoint"), leaves), lasts: 1, mend: mending("drain-endpoint"), clears: 2},
		{name: "drains are aborted", on: []string{"drain-aborted"},
			plant: also(breaking("drain-endpoint"), leaves, func(w *scene) { w.s.Clock.RunUntil(w.s.Clock.Now().Add(4 * time.Second)) }, abort(statemachines.Drain)), lasts: 1, mend: mending("drain-endpoint"), clears: 2},
		{name: "an engine does not list", on: append([]string{"truth-check-age", "errors-observe-endpoint"}, sweep...),
			plant: func(w *scene) {
				engines = w.s.App.Engines
				w.s.App.Engines = map[string]app.Engine{}
				for api, e := range engines {
					w.s.App.Engines[api] = blind{e}
				}
			}, lasts: 5, mend: also(func(w *scene) { w.s.App.Engines = engines }, mending(panel.Scheduled)), clears: 3},
		{name: "watches end badly", on: []string{"watch-failed"}, plant: mistaken("observe-endpoint"), lasts: 1, mend: mending("observe-endpoint"), clears: 2},
		{name: "watches are aborted", on: []string{"watch-aborted"}, plant: abort(statemachines.Watch), lasts: 1, mend: never, clears: 2},
		{name: "the schedule stops", on: []string{"schedule-silent"}, may: []string{"truth-check-age"},
			plant: func(w *scene) { w.s.Troubles.Silence(true) }, lasts: 2, mend: func(w *scene) { w.s.Troubles.Silence(false) }, clears: 3},
		{name: "the sweep fails", on: sweep, may: []string{"truth-check-age"}, plant: breaking(panel.Scheduled), lasts: 4, mend: mending(panel.Scheduled), clears: 3},
		{name: "effects are not carried out", on: []string{"errors-run-effects", "depth-run-effects-failed"},
			plant: breaking(panel.Streamed), each: guests, lasts: 5, mend: mending(panel.Streamed), clears: 3},
		{name: "the stream lags", on: []string{"stream-age"}, plant: func(w *scene) { w.s.Troubles.Lag(2 * time.Minute) },
			each: guests, lasts: 4, mend: func(w *scene) { w.s.Troubles.Lag(0) }, clears: 4},
		{name: "functions of machines and people fail", on: errorsOf(called...), plant: breaking(called...), each: invoke(called...), lasts: 4, mend: mending(called...), clears: 2},
		{name: "events cannot be taken for hours", on: slices.Concat(waiting, given, errorsOf(panel.Behind()...)),
			plant: also(breaking(panel.Behind()...), func(w *scene) {
				w.signOut("u-dora")
				w.put("nightshift", "Nightshift User Disabled", `{"user":"u-dora","at":"NOW"}`)
				w.put("aws.sagemaker", "SageMaker Training Job State Change", `{"TrainingJobName":"x","TrainingJobArn":"arn:aws:sagemaker:us-east-1:123456789012:training-job/x","TrainingJobStatus":"Completed"}`)
			}), lasts: hours, mend: also(mending(panel.Behind()...), func(w *scene) {
				for _, f := range panel.Behind() {
					if w.s.Redrive(f) != 1 {
						w.t.Errorf("the dead-letter queue of %s had not the one event", f)
					}
				}
			}), clears: 3},
		{name: "an event is not understood", on: []string{"parked"}, plant: func(w *scene) { w.put("nightshift", "Nightshift Signed Out", `{"at":"NOW"}`) }, lasts: 1, mend: never, clears: 2},
		{name: "an event is of no known kind", on: []string{"unrecognised"}, plant: func(w *scene) { w.trail("EndAllSessions") }, lasts: 1, mend: never, clears: 2},
		{name: "a run is nobody's", on: []string{"orphan-found"}, plant: func(w *scene) { w.livy("") }, lasts: 3, mend: never, clears: 2},
		{name: "what a member forwards is refused", center: far, on: []string{"forward-dead"},
			plant: func(w *scene) {
				w.s.Troubles.Bar(far, true)
				w.putAt(far, "aws.sso", "AWS API Call via CloudTrail", `{"eventTime":"NOW","eventSource":"sso.amazonaws.com","eventName":"Logout","eventID":"far","eventType":"AwsApiCall","userIdentity":{"onBehalfOf":{"userId":"u-chloe"}}}`)
			}, lasts: 3, mend: func(w *scene) {
				w.s.Troubles.Bar(far, false)
				if n := w.s.PurgeForwards(); n != 1 {
					w.t.Errorf("%d events lay in the dead-letter queue, want the one", n)
				}
				// What it told is found in CloudTrail's history meanwhile (S3.5c).
				page, err := w.s.Store.OfUser(w.t.Context(), "u-chloe", "")
				if err != nil || len(page.Sessions) != 0 {
					w.t.Errorf("u-chloe has signed out, and still has %+v (%v)", page.Sessions, err)
				}
			}, clears: 2},
		{name: "somebody changed the records", on: []string{"chain-broken"}, plant: func(w *scene) { w.s.App.Store = forged{w.s.App.Store} }, lasts: 3,
			mend: func(w *scene) { w.s.App.Store = w.s.Store }, clears: 3},
	}
}

// perform plays one trouble: no alarm before, those that must be on and no other
// while it lasts and until it is over, and none afterwards.
func perform(t *testing.T, x trouble) []string {
	c := clock.New(time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC))
	s, err := New(Options{Clock: c, Identity: x.center})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Defaults(); err != nil {
		t.Fatal(err)
	}
	s.Start()
	w := &scene{t: t, s: s}
	w.livy("u-chloe")
	w.livy("u-ana")
	w.pass(4, nil)
	if on := w.alarmed(); len(on) > 0 {
		t.Fatalf("on before anything went wrong: %v", on)
	}
	x.plant(w)
	on := w.pass(x.lasts, x.each)
	x.mend(w)
	on = append(on, w.pass(x.clears, nil)...)
	slices.Sort(on)
	on = slices.Compact(on)
	for _, a := range x.on {
		if !slices.Contains(on, a) {
			t.Errorf("%s did not come on", a)
		}
	}
	for _, a := range on {
		if !slices.Contains(x.on, a) && !slices.Contains(x.may, a) {
			t.Errorf("%s came on, which is about something else", a)
		}
	}
	if left := w.alarmed(); len(left) > 0 {
		t.Errorf("still on after it was mended: %v", left)
	}
	return on
}

// Each alarm comes on when its fault is planted in the local system, and goes off
// when it is mended; no fault sets off what it has nothing to do with (issue 8.3).
func TestEveryAlarmFiresAndClears(t *testing.T) {
	seen := map[string]bool{}
	for _, x := range troubles() {
		t.Run(x.name, func(t *testing.T) {
			for _, a := range perform(t, x) {
				seen[a] = true
			}
		})
	}
	for _, a := range allAlarms() {
		if !seen[a.Name] {
			t.Errorf("%s has never been seen to fire", a.Name)
		}
	}
	if cadence.Sweep != time.Minute {
		t.Errorf("the sweep's period is %s: SQS's values are sampled with it", cadence.Sweep)
	}
}
