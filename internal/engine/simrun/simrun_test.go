package simrun

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"nightshift/internal/cadence"
)

var t0 = time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)

func TestLife(t *testing.T) {
	plan := Plan{StartDelay: time.Minute, Grace: 20 * time.Second}
	work := plan
	work.Work = time.Hour
	fail := work
	fail.Fail = true
	at := func(d time.Duration) []time.Time { return []time.Time{t0.Add(d)} }
	for _, c := range []struct {
		name  string
		life  Life
		after time.Duration
		phase Phase
		by    Ender
		ended time.Duration // 0: not ended
	}{
		{"before its start it is pending", Life{Plan: plan}, 59 * time.Second, Pending, NoOne, 0},
		{"then it runs", Life{Plan: plan}, time.Minute, Running, NoOne, 0},
		{"without work for ever", Life{Plan: plan}, 24 * 90 * time.Hour, Running, NoOne, 0},
		{"work finishes", Life{Plan: work}, 2 * time.Hour, Succeeded, Itself, 61 * time.Minute},
		{"work fails", Life{Plan: fail}, 61 * time.Minute, Failed, Itself, 61 * time.Minute},
		{"a stop takes its grace", Life{Plan: plan, Stops: at(5 * time.Minute)}, 5*time.Minute + 19*time.Second, Stopping, StopRequest, 0},
		{"and not longer", Life{Plan: plan, Stops: at(5 * time.Minute)}, 5*time.Minute + 20*time.Second, Stopped, StopRequest, 5*time.Minute + 20*time.Second},
		{"work that ended before the stop", Life{Plan: work, Stops: at(61 * time.Minute)}, 2 * time.Hour, Succeeded, Itself, 61 * time.Minute},
		{"work that would end in the grace", Life{Plan: work, Stops: at(61*time.Minute - time.Second)}, 2 * time.Hour, Stopped, StopRequest, 61*time.Minute + 19*time.Second},
		{"the limit stops it", Life{Plan: work, Limit: 10 * time.Minute}, time.Hour, Stopped, MaxRuntime, 11*time.Minute + 20*time.Second},
		{"a stop before the limit", Life{Plan: plan, Limit: 10 * time.Minute, Stops: at(2 * time.Minute)}, time.Hour, Stopped, StopRequest, 2*time.Minute + 20*time.Second},
		{"a stop after the limit", Life{Plan: plan, Limit: 10 * time.Minute, Stops: at(11*time.Minute + time.Second)}, time.Hour, Stopped, MaxRuntime, 11*time.Minute + 20*time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.life.Created = t0
			m := c.life.At(t0.Add(c.after))
			if m.Phase != c.phase || m.By != c.by {
				t.Errorf("it is %s by %q, want %s by %q", m.Phase, m.By, c.phase, c.by)
			}
			if c.ended == 0 != m.Ended.IsZero() || c.ended != 0 && !m.Ended.Equal(t0.Add(c.ended)) {
				t.Errorf("it ended at %v, want after %s", m.Ended, c.ended)
			}
		})
	}
	if m := (Life{Created: t0, Plan: plan, Stops: at(time.Second)}).At(t0.Add(time.Hour)); !m.Started.IsZero() {
		t.Errorf("a run stopped before its start says it started at %v", m.Started)
	}
}

func TestPlansLayOverEachOther(t *testing.T) {
	var p Plans
	habit := Plan{StartDelay: time.Minute, Grace: time.Minute}
	p.Plan("", Plan{Work: time.Hour})
	p.Plan("special", Plan{Work: 3 * time.Hour, Fail: true})
	if got, want := p.For(habit, Plan{}, "any"), (Plan{StartDelay: time.Minute, Work: time.Hour, Grace: time.Minute}); got != want {
		t.Errorf("planned for all: %+v, want %+v", got, want)
	}
	if got := p.For(habit, Plan{Work: 2 * time.Hour}, "any").Work; got != 2*time.Hour {
		t.Errorf("the run's own wish: %s, want 2h", got)
	}
	if got := p.For(habit, Plan{Work: 2 * time.Hour}, "", "special"); got.Work != 3*time.Hour || !got.Fail {
		t.Errorf("planned by name: %+v, want 3h of work and a failure", got)
	}
	for _, bad := range []string{"x", "-1m", "0s"} {
		if _, err := Asked(bad, ""); err == nil {
			t.Errorf("the work %q is taken", bad)
		}
	}
}

type still struct{ now time.Time }

func (s *still) Now() time.Time                                 { return s.now }
func (s *still) Sleep(_ context.Context, d time.Duration) error { s.now = s.now.Add(d); return nil }

func TestDoor(t *testing.T) {
	clock := &still{t0}
	d := NewDoor(clock, map[string]cadence.Rate{"stop": {PerSecond: 1, Burst: 2}, All: {PerSecond: 5, Burst: 5}})
	status := func(code int) func(http.ResponseWriter) { return func(w http.ResponseWriter) { w.WriteHeader(code) } }
	no := Refusals{Down: status(503), Throttled: status(429), Lost: status(500)}
	served := 0
	call := func(op string) int {
		w := httptest.NewRecorder()
		d.Serve(w, httptest.NewRequest("GET", "/", nil), op, no, func(w http.ResponseWriter, _ *http.Request) { served++; w.WriteHeader(200) })
		if w.Header().Get(Header) != "true" {
			t.Error("an answer does not say that it is simulated")
		}
		return w.Code
	}
	for i, want := range []int{200, 200, 429} {
		if got := call("stop"); got != want {
			t.Errorf("stop %d answers %d, want %d", i, got, want)
		}
	}
	for i, want := range []int{200, 200, 200, 429} {
		if got := call("list"); got != want {
			t.Errorf("list %d answers %d, want %d: all share one bucket", i, got, want)
		}
	}
	clock.now = t0.Add(time.Second)
	if got := call("stop"); got != 200 {
		t.Errorf("a second later a stop answers %d, want 200", got)
	}
	d.Down(t0.Add(time.Hour), t0.Add(2*time.Hour))
	d.Throttle(t0.Add(3*time.Hour), t0.Add(4*time.Hour))
	for _, c := range []struct {
		at   time.Duration
		want int
	}{{time.Hour, 503}, {2*time.Hour - 1, 503}, {2 * time.Hour, 200}, {3 * time.Hour, 429}, {4 * time.Hour, 200}} {
		if clock.now = t0.Add(c.at); call("list") != c.want {
			t.Errorf("after %s a call is not answered %d", c.at, c.want)
		}
	}
	d.LoseResponse("list", 1)
	before := served
	if got := call("list"); got != 500 || served != before+1 {
		t.Errorf("a lost response answers %d and carried out %d, want 500 and 1", got, served-before)
	}
	if got := call("list"); got != 200 {
		t.Errorf("the next answers %d, want 200", got)
	}
	if got := d.Calls("stop"); got != 4 {
		t.Errorf("it counted %d stops, want 4", got)
	}
}
