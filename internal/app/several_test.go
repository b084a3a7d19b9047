package app_test

import (
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// TestS3_6OneEventMayMeanSeveralThings: each is carried out even if another fails,
// the event then comes again, and it is parked only where nothing is left of it but
// what is malformed.
func TestS3_6OneEventMayMeanSeveralThings(t *testing.T) {
	w := newWorld(t)
	w.identity.facts[sagemaker] = yes
	first, second, other := w.start("ana", training), w.start("ana", training), w.start("ana", training)
	w.pass(2 * time.Minute)
	ended := func(run workload.Ref) app.Message {
		return app.Fact{Event: session.Event{ID: "e-1", Kind: session.RevokeBackground, At: w.now, User: "ana", By: "admin", Run: run}}
	}
	message := app.Several{ended(w.get(first.ID).Run.Ref()), app.Fact{Event: session.Event{ID: "e-1", Kind: session.RevokeBackground, At: w.now}}, ended(w.get(second.ID).Run.Ref())}
	w.app.Parse = func([]byte, time.Time) (app.Message, error) { return message, nil }
	down := true
	w.app.Store = &hooked{Store: w.store, putUser: func() error {
		if down {
			down = false
			return fault.New("write", fault.Throttled, errDown)
		}
		return nil
	}}
	for i, c := range []struct {
		fails  bool
		first  session.Status
		parked int
	}{{true, session.Active, 0}, {false, session.Ending, 1}, {false, session.Ending, 1}} {
		if err := w.app.Receive(t.Context(), "on-revocation", []byte(`{}`)); (err != nil) != c.fails {
			t.Errorf("delivery %d: %v", i+1, err)
		}
		if got := w.get(first.ID).Status; got != c.first {
			t.Errorf("delivery %d: the first is %s, want %s", i+1, got, c.first)
		}
		w.must(second.ID, session.Ending, session.CauseBackgroundRevoked)
		if parked, _, err := w.store.ParkedEvents(t.Context(), ""); err != nil || len(parked) != c.parked {
			t.Errorf("delivery %d: %d events are parked, want %d; %v", i+1, len(parked), c.parked, err)
		}
	}
	w.pass(5 * time.Minute)
	for _, s := range []session.Session{first, second} {
		w.must(s.ID, session.Ended, session.CauseBackgroundRevoked)
	}
	w.must(other.ID, session.Active, "")
}

// TestS3_6ReplayOfAnEventThatMeansSeveralThings: what is only counted is counted
// once, though each replay brings it.
func TestS3_6ReplayOfAnEventThatMeansSeveralThings(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", jobRun)
	w.pass(2 * time.Minute)
	at := w.now
	message := app.Several{
		app.Fact{Event: session.Event{ID: "e-1", Kind: session.RevokeBackground, At: at, User: "ana", By: "admin", Run: w.get(s.ID).Run.Ref()}},
		app.Unrecognised{Kind: "identitystore-auth.amazonaws.com/BatchDeleteSession", Body: []byte(`{}`), At: at},
	}
	w.app.Parse = func([]byte, time.Time) (app.Message, error) { return message, nil }
	for range 3 {
		if err := w.app.Receive(t.Context(), "replay", []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := w.store.Sample(t.Context(), "identitystore-auth.amazonaws.com/BatchDeleteSession", nil, at); err != nil || n != 2 {
		t.Errorf("counted %d times with this one, %v; want 2", n, err)
	}
	w.pass(5 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseBackgroundRevoked)
}
