package app_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// S2.9: 2,000 runs of EMR on EKS are revoked. The bucket holds in every second,
// the earliest cause goes first, users take turns, and the time it takes is told
// within a tenth.
func TestS2_9MassStopOf2000TellsItsTime(t *testing.T) {
	w := newWorld(t, large)
	w.deaf = true // the sweep carries out effects: history entries are not the subject
	const each, users = 400, 5
	const runs = each * users
	byRef := map[workload.Ref]session.Session{}
	for u := range users {
		for range each {
			s := w.put(fmt.Sprint("user-", u), jobRun)
			byRef[s.Run.Ref()] = s
		}
	}
	w.pass(2*time.Minute + 30*time.Second)
	revoked := w.now
	for u := range users - 1 {
		w.say(w.fact(session.RevokeBackground, fmt.Sprint("user-", u), fmt.Sprint("r-", u)))
	}
	w.pass(100 * time.Second) // the last user's comes later, and waits behind nobody's hundreds
	late := w.now
	w.say(w.fact(session.RevokeBackground, fmt.Sprint("user-", users-1), "r-late"))

	var first app.Round
	var told time.Time
	for i := 0; first.ETA == 0 && i < 200; i++ {
		w.pass(time.Second)
		if len(w.executions) > 0 && w.now.After(late.Add(2*time.Second)) {
			first, told = w.round1(onEKS), w.now
		}
	}
	w.pass(45 * time.Minute)

	if len(w.engine.stops) != runs {
		t.Fatalf("%d stops for %d runs", len(w.engine.stops), runs)
	}
	stops := w.engine.stops
	for i, from := range stops {
		// One bucket: in any window no more than it holds and what flows in.
		for j := i; j < len(stops) && stops[j].at.Sub(from.at) <= 60*time.Second; j++ {
			if float64(j-i+1) > 25+stops[j].at.Sub(from.at).Seconds() {
				t.Fatalf("%d calls within %s from %s", j-i+1, stops[j].at.Sub(from.at), from.at.Format("15:04:05"))
			}
		}
	}
	// Of one user, nobody is asked twice before all are asked once, however long it
	// takes: who was never asked is not one that cannot be stopped.
	asked := map[workload.Ref]bool{}
	for _, c := range stops {
		asked[c.run] = true
	}
	if len(asked) != runs {
		t.Errorf("%d of %d runs were asked", len(asked), runs)
	}
	// Fair: while all wait, no user is two rounds ahead of another.
	count := map[string]int{}
	for _, c := range stops {
		user := byRef[c.run].User
		count[user]++
		if c.at.Before(late.Add(time.Minute)) {
			continue
		}
		for u := range users - 1 {
			if other := fmt.Sprint("user-", u); user != "user-4" && other != user && count[user] > count[other]+8 {
				t.Fatalf("%s: %s was asked for %d runs, %s for %d", c.at.Format("15:04:05"), user, count[user], other, count[other])
			}
		}
	}
	for i, c := range stops {
		if byRef[c.run].User == "user-4" {
			if wait := c.at.Sub(late); wait > 30*time.Second || i < 25 {
				t.Errorf("the late user's first run was asked after %s, as number %d", wait, i+1)
			}
			break
		}
	}
	actual := stops[len(stops)-1].at.Sub(told)
	if diff := (first.ETA - actual).Abs(); first.ETA == 0 || diff > actual/10 {
		t.Errorf("told %s, took %s", first.ETA, actual)
	}
	alerts := w.says.of("mass-stop")
	if len(alerts) == 0 {
		t.Fatal("nobody was told how long it takes")
	}
	text := alerts[0].Effect.Text
	promised, err := time.ParseDuration(strings.TrimSuffix(regexp.MustCompile(`about (\S+)\.$`).FindStringSubmatch(text)[1], "."))
	actual = stops[len(stops)-1].at.Sub(alerts[0].At)
	// What was announced is of the runs known by then: four fifths.
	if err != nil || (promised-actual*4/5).Abs() > actual/5 {
		t.Errorf("announced %q, took %s: %v", text, actual, err)
	}
	if alerts[0].Session.ID == "" || alerts[0].At.Sub(revoked) > cadence.Sweep {
		t.Errorf("announced %s after the revoke, about session %q", alerts[0].At.Sub(revoked), alerts[0].Session.ID)
	}
	if len(alerts) > 2 {
		t.Errorf("announced %d times", len(alerts))
	}
	for _, s := range byRef {
		w.must(s.ID, session.Ended, session.CauseBackgroundRevoked)
	}
}

// round1 is one more round of the drain, as its execution would make it.
func (w *world) round1(endpoint string) app.Round {
	w.t.Helper()
	for _, e := range w.executions {
		if e.kind == "drain" && e.endpoint == endpoint && !e.over {
			r, err := w.app.Drain(w.t.Context(), endpoint, e.generation)
			if err != nil {
				w.t.Fatal(err)
			}
			return r
		}
	}
	return app.Round{}
}

// of lists the alerts of a name.
func (a *announcer) of(alert string) []app.Announcement {
	var found []app.Announcement
	for _, s := range a.said {
		if s.Kind == "alert" && s.Effect.Reason == alert {
			found = append(found, s)
		}
	}
	return found
}

func TestS2_9ETA(t *testing.T) {
	for _, c := range []struct {
		n    int
		rate cadence.Rate
		want time.Duration
	}{
		{0, cadence.Of("emr-containers").Stop, 0},
		{25, cadence.Of("emr-containers").Stop, 0},
		{2000, cadence.Of("emr-containers").Stop, 1975 * time.Second},
		{100, cadence.Of("emr-notebook").Stop, 190 * time.Second},
		{3300, cadence.Of("sagemaker").Stop, 658 * time.Second},
	} {
		if got := app.ETA(c.n, c.rate); got != c.want {
			t.Errorf("%d runs at %+v: %s, want %s", c.n, c.rate, got, c.want)
		}
	}
}

// S2.9: opening beyond 660 s × rate live runs warns, at most once an hour.
func TestS2_9OpeningBeyondTheCapacityWarns(t *testing.T) {
	w := newWorld(t, large)
	w.deaf = true
	w.app.Settings = map[string]cadence.Endpoint{onEKS: tenth(onEKS)}
	for range 66 {
		w.put("ana", jobRun)
	}
	w.pass(10 * time.Minute)
	if n := w.says.of("capacity"); len(n) != 0 {
		t.Fatalf("within the capacity: %q", n[0].Effect.Text)
	}
	beyond := w.put("ben", jobRun)
	w.pass(50 * time.Minute)
	said := w.says.of("capacity")
	if len(said) != 1 || said[0].Session.ID != beyond.ID || !strings.Contains(said[0].Effect.Text, "67 live runs") || !strings.Contains(said[0].Effect.Text, "only 66") {
		t.Fatalf("warned %d times: %+v", len(said), said)
	}
	w.pass(2 * time.Hour)
	if n := len(w.says.of("capacity")); n != 3 && n != 2 {
		t.Errorf("warned %d times in three hours", n)
	}
	ids := map[string]bool{}
	for _, a := range w.says.of("capacity") {
		ids[a.ID] = true
	}
	if len(ids) != len(w.says.of("capacity")) {
		t.Error("two warnings share an id: the second is taken for a repetition")
	}
}

// A warning that could not be said is said by the next sweep.
func TestS2_9WarningIsSaidAgainWhereItWasLost(t *testing.T) {
	w := newWorld(t, large)
	w.deaf = true
	w.app.Settings = map[string]cadence.Endpoint{onEKS: tenth(onEKS)}
	for range 67 {
		w.put("ana", jobRun)
	}
	w.says.fail = func(app.Announcement) error { return errDown }
	w.pass(2 * time.Minute)
	w.says.fail = nil
	w.pass(cadence.Sweep)
	if n := len(w.says.of("capacity")); n != 1 {
		t.Errorf("said %d times", n)
	}
}

// tenth is an endpoint that takes a tenth of the usual rate.
func tenth(endpoint string) cadence.Endpoint {
	name, _, _ := strings.Cut(endpoint, "/")
	e := cadence.Of(name)
	e.Stop.PerSecond /= 10
	return e
}

// An endpoint's own numbers hold for it and for no other.
func TestSettingsOfAnEndpoint(t *testing.T) {
	w := newWorld(t)
	slow := cadence.Of("emr-containers")
	slow.Stop, slow.Young, slow.Settled = cadence.Rate{PerSecond: 0.2, Burst: 2}, 20*time.Second, 40*time.Second
	w.app.Settings = map[string]cadence.Endpoint{onEKS: slow}
	w.app.Endpoints = []string{onEKS, livy}
	w.pass(2 * time.Minute)
	lists := map[string]int{}
	w.engine.onList = func(endpoint string) error { lists[endpoint]++; return nil }
	w.pass(10 * time.Minute)
	if lists[onEKS] != 10 || lists[livy] != 2 { // looked at by the sweep, once a minute at most
		t.Errorf("without runs, in ten minutes: %v", lists)
	}
	for range 10 {
		w.start("ana", jobRun)
	}
	lists[onEKS] = 0
	w.pass(2 * time.Minute)
	if lists[onEKS] < 5 {
		t.Errorf("a young run is listed %d times in two minutes, should be each 20 s", lists[onEKS])
	}
	w.say(w.fact(session.RevokeBackground, "ana", "r-1"))
	revoked := w.now
	w.pass(20 * time.Second)
	if n := len(w.engine.stops); n > 2+4 {
		t.Errorf("%d stops after %s", n, w.now.Sub(revoked))
	}
	w.pass(3 * time.Minute)
	if n := len(w.engine.stops); n != 10 {
		t.Errorf("%d stops in the end", n)
	}
}
