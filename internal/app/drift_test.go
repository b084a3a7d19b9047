package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// S3.5a at scale: of 1,000 records and their runs one in a hundred drifts, in
// every way there is. Each is found within the endpoint's cadence and healed
// within 60 s of that, with evidence; nothing else is touched.
func TestS3_5DriftOfOneInAHundredIsHealed(t *testing.T) {
	for _, age := range []time.Duration{3 * time.Minute, 30 * time.Minute} {
		t.Run("runs of "+age.String(), func(t *testing.T) {
			w := newWorld(t, large)
			w.deaf = true
			var mine []session.Session
			for i := range 1000 {
				mine = append(mine, w.put(fmt.Sprint("user-", i%50), jobRun))
			}
			// Some ended before: their runs will be found alive.
			w.say(w.fact(session.RevokeBackground, "user-49", "r-49"))
			w.pass(age)
			every := cadence.Next(age)

			lost := mine[:4]
			w.engine.forget = map[workload.Ref]bool{}
			for _, s := range lost {
				w.engine.forget[s.Run.Ref()] = true
			}
			var strangers []*fakeRun
			for i := range 3 {
				strangers = append(strangers, w.born(jobRun, fmt.Sprint("stranger-", i), "user-7"))
			}
			nobodys := jobRun
			nobodys.ID = "orphan"
			orphan := w.engine.add(workload.Observation{Run: nobodys, CreatedAt: w.now.Add(-cadence.BirthWithin)})
			var risen []session.Session
			for _, s := range mine {
				if s.User == "user-49" && len(risen) < 2 {
					s = w.must(s.ID, session.Ended, session.CauseBackgroundRevoked)
					risen = append(risen, s)
					w.engine.of(s).stopAt, w.engine.of(s).asked = time.Time{}, nil
				}
			}
			w.pass(every + cadence.Sweep)

			for _, s := range lost {
				got := w.must(s.ID, session.Ended, session.CauseLost)
				if got.End.Evidence != "listing" {
					t.Errorf("lost on the evidence of %q", got.End.Evidence)
				}
			}
			for _, r := range strangers {
				if s := w.only(r.o.Run.Ref()); s.User != "user-7" || s.Origin != session.Adopted || s.Status != session.Active {
					t.Errorf("%s: %s, %s, of %s", r.o.Run.ID, s.Status, s.Origin, s.User)
				}
			}
			if n := w.says.ids("orphan-found", "", ""); len(n) != 1 || len(orphan.asked) != 0 {
				t.Errorf("orphans flagged: %v, asked %d times", n, len(orphan.asked))
			}
			for _, s := range risen {
				owner, err := w.store.Claimed(t.Context(), s.Run.Ref())
				if err != nil {
					t.Fatal(err)
				}
				z := w.get(owner)
				if z.Origin != session.Zombie || z.Previous != s.ID || z.End.Cause != session.CauseZombie || !strings.Contains(z.End.Evidence, s.ID) {
					t.Errorf("zombie of %s: %s, %s, %q", s.ID, z.Origin, z.Previous, z.End.Evidence)
				}
			}
			w.pass(3 * time.Minute)
			ended := map[session.Cause]int{}
			for _, s := range w.all() {
				ended[s.End.Cause]++
			}
			want := map[session.Cause]int{"": 1000 - 4 - 20 + 3, session.CauseLost: 4, session.CauseBackgroundRevoked: 20, session.CauseZombie: 2}
			for c, n := range want {
				if ended[c] != n {
					t.Errorf("cause %q: %d sessions, should be %d", c, ended[c], n)
				}
			}
			if len(ended) != len(want) {
				t.Errorf("causes: %v", ended)
			}
		})
	}
}

// S3.5a: an incomplete listing proves nothing about absence, whatever else drifts.
func TestS3_5IncompleteListingAtScaleProvesNothing(t *testing.T) {
	w := newWorld(t, large)
	w.deaf = true
	var mine []session.Session
	for i := range 300 {
		mine = append(mine, w.put(fmt.Sprint("user-", i%50), jobRun))
	}
	w.pass(3 * time.Minute)
	w.engine.partial, w.engine.hide, w.engine.forget = true, map[workload.Ref]bool{}, map[workload.Ref]bool{}
	for _, s := range mine[100:] { // the last pages are missing
		w.engine.hide[s.Run.Ref()], w.engine.forget[s.Run.Ref()] = true, true
	}
	r := w.born(jobRun, "stranger", "user-7")
	w.pass(20 * time.Minute)
	for _, s := range mine {
		w.must(s.ID, session.Active, "")
	}
	if s := w.only(r.o.Run.Ref()); s.User != "user-7" {
		t.Errorf("what an incomplete list shows is there: %+v", s)
	}
	w.engine.partial, w.engine.hide = false, nil
	w.pass(cadence.Settled + cadence.Sweep)
	for i, s := range mine {
		if got := w.get(s.ID); (got.End.Cause == session.CauseLost) != (i >= 100) {
			t.Errorf("run %d: %s, cause %q", i, got.Status, got.End.Cause)
		}
	}
	if w.meter.counts[app.MetricEnded] != 200 {
		t.Errorf("%d ended", w.meter.counts[app.MetricEnded])
	}
}

// S3.3: what says whose a run is, in the order of trust; what is lower and says
// otherwise changes nothing, and a claim is never moved to another user.
func TestS3_3WhoseRunItIs(t *testing.T) {
	token := func(w *world, run workload.Ref, user string) app.Message {
		return app.Fact{Event: session.Event{ID: "token-" + user, Kind: session.BackgroundTokenIssued, At: w.now, User: user, Run: run}}
	}
	for name, c := range map[string]struct {
		say  func(*world, workload.Run) // before any list
		then func(*world, workload.Run) // after the list
		tag  string
		want string // "": an orphan
	}{
		"token before tag":           {say: func(w *world, r workload.Run) { w.say(token(w, r.Ref(), "ana")) }, tag: "ben", want: "ana"},
		"birth before tag":           {say: func(w *world, r workload.Run) { w.say(app.Birth{EventID: "b", User: "ana", Run: r, At: w.now}) }, tag: "ben", want: "ana"},
		"tag, where nobody else":     {tag: "ben", want: "ben"},
		"a later birth moves none":   {then: func(w *world, r workload.Run) { w.say(app.Birth{EventID: "b", User: "ana", Run: r, At: w.now}) }, tag: "ben", want: "ben"},
		"a later token moves none":   {then: func(w *world, r workload.Run) { w.say(token(w, r.Ref(), "ana")) }, tag: "ben", want: "ben"},
		"nobody: an orphan":          {},
		"an orphan that a birth has": {then: func(w *world, r workload.Run) { w.say(app.Birth{EventID: "b", User: "ana", Run: r, At: w.now}) }, want: "ana"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.app.Endpoints = []string{onEKS}
			r := w.born(jobRun, "run", c.tag)
			if c.say != nil {
				c.say(w, r.o.Run)
			}
			w.pass(2 * time.Minute)
			if c.then != nil {
				c.then(w, r.o.Run)
			}
			w.pass(6 * time.Minute)
			all := w.all()
			if c.want == "" {
				w.pass(cadence.BirthWithin)
				if n := w.says.ids("orphan-found", "", ""); len(all) != 0 || len(n) != 1 {
					t.Errorf("%d sessions, orphans %v", len(all), n)
				}
				return
			}
			if len(all) != 1 || all[0].User != c.want || all[0].Status != session.Active {
				t.Errorf("%d sessions, the first of %s; should be one of %s", len(all), all[0].User, c.want)
			}
		})
	}
	w := newWorld(t) // the stamp before the tag
	s := w.open("ana", jobRun)
	run := jobRun
	run.ID = "stamped"
	w.engine.add(workload.Observation{Run: run, Stamp: s.ID, User: "ben"})
	if _, err := w.app.Apply(t.Context(), s.ID, session.Event{Kind: session.StartAsked, At: w.now}); err != nil {
		t.Fatal(err)
	}
	w.pass(3 * time.Minute)
	if got := w.only(run.Ref()); got.ID != s.ID || got.User != "ana" {
		t.Errorf("stamped for ana, tagged for ben: session %s of %s", got.ID, got.User)
	}
}
