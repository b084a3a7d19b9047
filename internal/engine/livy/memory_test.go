package livy

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/engine/enginetest"
	"nightshift/internal/engine/livy/livysim"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

// TestS2_1ARestartIsNoEnd: what a restarted server has forgotten may live on for
// ten minutes. Until then its absence proves nothing; then it does.
func TestS2_1ARestartIsNoEnd(t *testing.T) {
	b := bare(t, livysim.Config{})
	run := b.start(app.Start{})
	b.create(`{"proxyUser":"bob"}`)
	b.wait(time.Minute)
	bob := b.list().Runs[1].Run
	b.sim.Restart()
	b.sim.Down(b.clock.Now(), b.clock.Now().Add(time.Minute))
	if o, err := b.engine.Describe(t.Context(), run); err == nil || fault.KindOf(err) != fault.Unknown {
		t.Errorf("while the server is down describe answers %+v, %v", o, err)
	}
	b.wait(time.Minute)
	b.create(`{"proxyUser":"carol"}`) // takes the number 0
	seen := b.clock.Now()
	for _, at := range []time.Duration{0, time.Minute, 10*time.Minute - time.Second} {
		b.wait(seen.Add(at).Sub(b.clock.Now()))
		for _, forgotten := range []workload.Run{run, bob} {
			if o, err := b.engine.Describe(t.Context(), forgotten); fault.KindOf(err) != fault.Unknown || err == nil || o.State != "" {
				t.Errorf("%s after the restart was seen %s is %+v, %v; want an unknown fault", at, forgotten.ID, o, err)
			}
			if err := b.engine.Stop(t.Context(), forgotten); fault.KindOf(err) != fault.Unknown || err == nil || !strings.Contains(err.Error(), "may live until") {
				t.Errorf("%s after the restart was seen stopping %s answers %v, want an unknown fault", at, forgotten.ID, err)
			}
		}
		if l := b.list(); l.Complete || !l.Forgotten {
			t.Errorf("%s after the restart was seen the list %+v claims to be complete, or does not say why it is not", at, l)
		}
	}
	b.wait(time.Second)
	for _, forgotten := range []workload.Run{run, bob} {
		if o, err := b.engine.Describe(t.Context(), forgotten); err != nil || o.State != workload.Gone {
			t.Errorf("ten minutes after the restart was seen %s is %+v, %v; want it gone", forgotten.ID, o, err)
		}
		if err := b.engine.Stop(t.Context(), forgotten); !fault.Is(err, fault.NotFound) {
			t.Errorf("then stopping %s answers %v, want that there is none", forgotten.ID, err)
		}
	}
	l := b.list()
	if len(l.Runs) != 1 || l.Runs[0].User != "carol" || l.Runs[0].Run.ID == bob.ID || !l.Complete {
		t.Errorf("the list is %+v, want carol's session, untouched", l)
	}
	for _, r := range b.sim.Runs() {
		if len(r.Stops) != 0 {
			t.Errorf("somebody was asked to stop: %+v", r)
		}
	}
}

// What happens after the restart goes on as ever: starts start, and stops that we
// saw carried out are confirmed at once.
func TestAfterARestart(t *testing.T) {
	b := bare(t, livysim.Config{})
	b.start(app.Start{})
	b.wait(10 * time.Second) // it is starting: nothing explains its absence
	b.list()
	b.sim.Restart()
	if l := b.list(); l.Complete || len(l.Runs) != 0 {
		t.Fatalf("the list is %+v, want an empty one that proves nothing", l)
	}
	again := b.start(app.Start{})
	b.wait(time.Minute)
	if err := b.engine.Stop(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if l := b.list(); l.Complete || len(l.Runs) != 1 || l.Runs[0].State != workload.Gone || l.Runs[0].Run.Ref() != again.Ref() {
		t.Errorf("the list is %+v, want the stopped session gone", l)
	}
	if o, err := b.engine.Describe(t.Context(), again); err != nil || o.State != workload.Gone {
		t.Errorf("it is described as %+v, %v; want it gone", o, err)
	}
	b.start(app.Start{}) // the name again
	if l := b.list(); len(l.Runs) != 1 || l.Runs[0].State != workload.Pending {
		t.Errorf("the list is %+v, want the session that has the name now", l)
	}
}

// TestWhatARestartIs: by what the next list tells about the server, given the
// sessions of the last.
func TestWhatARestartIs(t *testing.T) {
	busy := session{ID: 3, Name: "ns-s-1", AppID: "a1", State: "busy"}
	idle := session{ID: 4, AppID: "a2", State: "idle"}
	nameless := session{ID: 5, State: "busy"}
	dead := session{ID: 6, AppID: "a4", State: "dead"}
	for _, c := range []struct {
		name       string
		last, next []session
		broken     bool          // the server did not answer in between
		later      time.Duration // 0: a minute
		asked      int           // the number of a session that we asked to stop; 0: none
		want       bool
	}{
		{name: "nothing changes", last: []session{busy, idle}, next: []session{busy, idle}},
		{name: "one of two is gone", last: []session{busy, idle}, next: []session{idle}},
		{name: "the same after a break, with recovery", last: []session{busy}, next: []session{busy}, broken: true},
		{name: "the same with its application", last: []session{{ID: 3, Name: "ns-s-1", State: "starting"}}, next: []session{busy}, broken: true},
		{name: "a busy one is gone, and it was all", last: []session{busy}, want: true},
		{name: "a nameless busy one is gone, and it was all", last: []session{nameless}, want: true},
		{name: "an idle one is gone, and it was all", last: []session{idle}},
		{name: "an idle one is gone after a break", last: []session{idle}, broken: true, want: true},
		{name: "a dead one is gone after a break", last: []session{dead}, broken: true},
		{name: "we stopped it", last: []session{busy}, asked: 3},
		{name: "we stopped it, and there was a break", last: []session{busy}, asked: 3, broken: true, want: true},
		{name: "the last look was long ago", last: []session{busy}, later: time.Hour},
		{name: "a number again, of another application", last: []session{idle}, next: []session{{ID: 4, AppID: "a9", State: "busy"}}, want: true},
		{name: "a number again, of another name", last: []session{busy}, next: []session{{ID: 3, Name: "ns-s-9", State: "starting"}}, want: true},
		{name: "a smaller number", last: []session{idle}, next: []session{{ID: 0, State: "starting"}}, want: true},
		{name: "a smaller number, long after", last: []session{idle}, next: []session{{ID: 0, State: "starting"}}, later: time.Hour, want: true},
		{name: "greater numbers, and an idle one gone", last: []session{idle}, next: []session{{ID: 7, State: "starting"}}},
		{name: "nameless as before", last: []session{nameless}, next: []session{nameless}, broken: true},
		{name: "there was nothing", next: []session{{ID: 0, State: "starting"}}, broken: true},
	} {
		var m memory
		now := enginetest.Open
		m.saw(c.last, now, m.look())
		if c.asked > 0 {
			m.stopping(sessions, c.asked)
		}
		if c.broken {
			m.heard(t.Context(), &http.Response{StatusCode: http.StatusBadGateway}, nil)
		}
		if c.later == 0 {
			c.later = time.Minute
		}
		now = now.Add(c.later)
		m.saw(c.next, now, m.look())
		until, _ := m.doubt(now)
		if until.IsZero() == c.want || c.want && !until.Equal(now.Add(driverLife)) {
			t.Errorf("%s: a restart that leaves doubt until %s, want one: %v", c.name, until, c.want)
		}
	}
}

// Looks that overlap show changes backwards; they are no evidence.
func TestLooksThatOverlap(t *testing.T) {
	var m memory
	one := session{ID: 0, Name: "ns-s-1", State: "busy"}
	m.saw(nil, fixed(), m.look())
	early := m.look()
	m.began(one)
	m.saw(nil, fixed(), early) // asked before it was made
	early = m.look()
	m.saw([]session{one}, fixed(), m.look())
	m.stopped(sessions, 0, "name/ns-s-1", fixed())
	m.saw([]session{one}, fixed(), early) // asked before it was stopped
	m.saw(nil, fixed(), m.look())
	if until, _ := m.doubt(fixed()); !until.IsZero() {
		t.Error("a server that only did as it was told is taken for a restarted one")
	}
}

// Batches have numbers of their own.
func TestABatchIsNoSession(t *testing.T) {
	var m memory
	m.saw([]session{{ID: 0, Name: "ns-s-1", State: "busy"}}, fixed(), m.look())
	m.stopping(batches, 0)
	m.stopped(batches, 0, "batch/a", fixed())
	m.saw(nil, fixed(), m.look())
	if until, _ := m.doubt(fixed()); until.IsZero() {
		t.Error("a stopped batch explains that a session is missing")
	}
}
