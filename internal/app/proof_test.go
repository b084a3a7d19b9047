package app_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/proof"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// exported is the proof of a time, as the world's records tell it now.
func (w *world) exported(store app.Store, from, to time.Time) []byte {
	w.t.Helper()
	var b bytes.Buffer
	if err := app.ExportProof(w.t.Context(), store, &b, from, to, w.now); err != nil {
		w.t.Fatal(err)
	}
	return b.Bytes()
}

func (w *world) proven(store app.Store, from, to time.Time) proof.Report {
	w.t.Helper()
	r, err := proof.Verify(bytes.NewReader(w.exported(store, from, to)), proof.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// busy is a world in which three sessions are stopped, one finishes and one
// lives, and in which everything is anchored.
func busy(t *testing.T) (w *world, stopped, lives session.Session) {
	w = newWorld(t, indexLag(2*time.Second))
	stopped = w.start("ana", training)
	done, lives := w.start("bob", training), w.start("eve", jobRun)
	for range 2 {
		w.start("ana", training)
	}
	w.pass(12 * time.Minute)
	w.engine.of(done).stopAt, w.engine.of(done).over = w.now, workload.Succeeded
	w.say(w.fact(session.SignOut, "ana", "out-1"))
	w.pass(40 * time.Minute)
	return w, stopped, lives
}

// S8.4, S2.7: the proof of the records' own making holds, and says of each stop
// what its session says.
func TestS8_4TheRecordsProveThemselves(t *testing.T) {
	w, stopped, _ := busy(t)
	r := w.proven(w.store, time.Time{}, time.Time{})
	if !r.Holds() || len(r.Stops) != 3 || r.OnTime != 3 || r.Closed != 1 || r.Sessions != 5 || r.Unanchored != 0 || r.Anchors < 8 {
		t.Errorf("%s; %d closed, %d sessions, %d anchors, %d not anchored: %v", r.Summary(), r.Closed, r.Sessions, r.Anchors, r.Unanchored, r.Faults)
	}
	if file := w.exported(w.store, time.Time{}, time.Time{}); w.get(stopped.ID).Waiter != "token-of-"+stopped.ID || bytes.Contains(file, []byte("token-of-")) || !bytes.Contains(file, []byte("waiter-registered")) {
		t.Error("a task token is handed out, or there was none")
	}
	end := w.get(stopped.ID).End
	want := proof.Stop{Session: stopped.ID, Cause: string(end.Cause), Evidence: end.Evidence, By: end.By, Happened: end.Happened, Known: end.Known, Decided: end.Decided, Asked: end.Asked, Confirmed: end.Confirmed}
	if !slices.Contains(r.Stops, want) {
		t.Errorf("S2.7: %+v is not among %+v", want, r.Stops)
	}
	if end.Evidence == "" || end.Asked.IsZero() || end.Confirmed.IsZero() {
		t.Errorf("the session itself does not say: %+v", end)
	}
}

// S8.4: a period's proof holds alone, and counts what was decided in it.
func TestS8_4APeriodsProof(t *testing.T) {
	w, _, _ := busy(t)
	out := began.Add(12 * time.Minute)
	for _, c := range []struct {
		from, to time.Time
		stops    int
	}{
		{out, time.Time{}, 3}, {time.Time{}, out, 0}, {out, out.Add(time.Minute), 3}, {out.Add(time.Minute), out.Add(time.Hour), 0}, {began, began.Add(time.Minute), 0},
	} {
		if r := w.proven(w.store, c.from, c.to); !r.Holds() || len(r.Stops) != c.stops {
			t.Errorf("from %s to %s: %s: %v", c.from, c.to, r.Summary(), r.Faults)
		}
	}
}

// tampered is a store of which something was taken away or put back.
type tampered struct {
	app.Store
	drop string // this session is not there at all
	back string // this one is as it was at version to
	to   int64
}

func (s tampered) Sessions(ctx context.Context, ids []string) ([]session.Session, error) {
	found, err := s.Store.Sessions(ctx, ids)
	found = slices.DeleteFunc(found, func(x session.Session) bool { return x.ID == s.drop })
	for i, x := range found {
		if x.ID == s.back {
			entries, _, err := s.Store.History(ctx, x.ID, s.to-1, 1)
			if err != nil {
				return nil, err
			}
			found[i].Version, found[i].Status, found[i].Head = s.to, entries[0].To, entries[0].Hash
		}
	}
	return found, err
}

func (s tampered) List(ctx context.Context, cursor string) (app.Page, error) {
	p, err := s.Store.List(ctx, cursor)
	p.Sessions = slices.DeleteFunc(p.Sessions, func(x session.Session) bool { return x.ID == s.drop })
	return p, err
}

func (s tampered) Changes(ctx context.Context, from, until time.Time, cursor string) ([]app.Entry, string, error) {
	found, next, err := s.Store.Changes(ctx, from, until, cursor)
	return s.left(found), next, err
}

func (s tampered) History(ctx context.Context, id string, after int64, limit int) ([]app.Entry, bool, error) {
	found, more, err := s.Store.History(ctx, id, after, limit)
	return s.left(found), more, err
}

func (s tampered) left(entries []app.Entry) []app.Entry {
	return slices.DeleteFunc(entries, func(e app.Entry) bool {
		return e.SessionID == s.drop || e.SessionID == s.back && e.Version > s.to
	})
}

// S8.4: dropping a whole session, or rolling one back, shows, however cleanly it
// is done; also of a session that lives, whose status did not change.
func TestS8_4AnchorsShowWhatIsGone(t *testing.T) {
	w, stopped, lives := busy(t)
	version := w.get(lives.ID).Version
	if version < 3 || w.get(lives.ID).Status != session.Active {
		t.Fatalf("the session that lives is at version %d: it cannot be rolled back", version)
	}
	for name, c := range map[string]struct {
		store tampered
		want  string
	}{
		"dropped":                  {tampered{drop: stopped.ID}, "session " + stopped.ID + ", version"},
		"a live one dropped":       {tampered{drop: lives.ID}, "the whole session is missing"},
		"rolled back":              {tampered{back: stopped.ID, to: 4}, "the session was rolled back"},
		"rolled back to its birth": {tampered{back: stopped.ID, to: 1}, "the session was rolled back"},
		"a live one rolled back":   {tampered{back: lives.ID, to: version - 1}, fmt.Sprintf("session %s, version %d: it is missing although an anchor names it", lives.ID, version)},
	} {
		c.store.Store = w.store
		r := w.proven(c.store, time.Time{}, time.Time{})
		var told strings.Builder
		for _, f := range r.Faults {
			told.WriteString(f.String() + "\n")
		}
		if r.Holds() || !strings.Contains(told.String(), c.want) {
			t.Errorf("%s: it is not said that %s:\n%s", name, c.want, told.String())
		}
	}
}

// S8.4: anchors go on while nothing happens, one each period, and their chain
// has no gap.
func TestS8_4AnchorsKeepTheirPeriod(t *testing.T) {
	w := newWorld(t)
	w.pass(2 * time.Hour)
	all, more, err := w.store.Anchors(t.Context(), 0, 0)
	if want := int(2 * time.Hour / cadence.AnchorEvery); err != nil || more || len(all) < want-1 || len(all) > want+1 {
		t.Errorf("%d anchors in two hours, want about %d: %v", len(all), want, err)
	}
	if r := w.proven(w.store, time.Time{}, time.Time{}); !r.Holds() || r.Anchors != int64(len(all)) {
		t.Errorf("%d anchors: %v", r.Anchors, r.Faults)
	}
}

// S8.4: more changes than an anchor names go into several; what comes late to the
// index goes into a later one.
func TestS8_4AnchorsNameEverythingOnce(t *testing.T) {
	w := newWorld(t, large)
	const n = 2*cadence.AnchorHeads + 100
	open := func(id string, at time.Time) {
		s := session.Session{ID: id, Version: 1, User: "ana", Status: session.Ended, Run: training, OpenedAt: at, RecordedAt: at}
		e := app.Entry{SessionID: id, Version: 1, At: at, To: session.Ended}
		hash, err := e.Seal()
		if err != nil {
			t.Fatal(err)
		}
		e.Hash, s.Head = hash, hash
		if err := w.store.Open(t.Context(), app.Opening{Session: s, Entry: e}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		open(fmt.Sprintf("s-%05d", i), began.Add(time.Duration(i%7)*time.Second))
	}
	w.pass(20 * time.Minute)
	open("s-late", w.now.Add(-12*time.Minute))
	w.pass(20 * time.Minute)
	all, _, err := w.store.Anchors(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	times := map[string]int{}
	for _, a := range all {
		if len(a.Heads) > cadence.AnchorHeads {
			t.Errorf("anchor %d names %d", a.Seq, len(a.Heads))
		}
		for _, h := range a.Heads {
			times[h.Session]++
		}
	}
	if len(times) != n+1 || times["s-late"] != 1 {
		t.Errorf("%d sessions are named, the late one %d times", len(times), times["s-late"])
	}
	for id, n := range times {
		if n != 1 {
			t.Fatalf("%s is named %d times", id, n)
		}
	}
	if r := w.proven(w.store, time.Time{}, time.Time{}); !r.Holds() {
		t.Errorf("%v", r.Faults[:min(3, len(r.Faults))])
	}
}

// contended is a store whose next anchor somebody else writes first.
type contended struct{ app.Store }

func (c contended) PutAnchor(context.Context, proof.Anchor) error {
	return fault.Newf("write anchor", fault.Conflict, "there is another")
}

// Two sweeps at once write one chain.
func TestAnchorsOfTwoSweepsAreOneChain(t *testing.T) {
	w := newWorld(t)
	w.app.Store = contended{w.store}
	if err := w.app.Sweep(t.Context()); err != nil {
		t.Errorf("the one that comes second fails: %v", err)
	}
	w.app.Store = w.store
	w.pass(10 * time.Minute)
	if r := w.proven(w.store, time.Time{}, time.Time{}); !r.Holds() || r.Anchors < 2 {
		t.Errorf("%d anchors, %v", r.Anchors, r.Faults)
	}
}

// The hash of what is stored must stay what it was, whatever fields come: a field
// that is added to an entry's parts must be left out of JSON where it is zero.
func TestS8_4AnEntrysHashIsPinned(t *testing.T) {
	e := app.Entry{SessionID: "s-1", Version: 2, At: began, From: session.Active, To: session.Ending, Mode: session.Interactive, Cause: session.CauseSignOut,
		Event:    session.Event{ID: "e-1", Kind: session.SignOut, At: began, Known: began, User: "ana", By: "ana"},
		Effects:  []session.Effect{{Kind: session.Stop, Reason: "sign-out"}},
		Previous: "p", End: session.End{Cause: session.CauseSignOut, Evidence: "e-1", By: "ana", Happened: began, Known: began, Decided: began}}
	hash, err := e.Seal()
	if err != nil || hash != "3975ff8d6cd112251390ae398124845b8bbe3b2cc5649ca52d218473b7363eda" {
		t.Errorf("the hash is %s, %v", hash, err)
	}
}

// S2.1: what ends a session cannot be known before the session is. A run that is
// found of a user who was disabled long ago is stopped in time all the same.
func TestS2_1AFactOlderThanTheRecordIsKnownWithIt(t *testing.T) {
	w := newWorld(t)
	w.app.Endpoints = []string{sagemaker}
	w.identity.status["ana"] = app.UserDisabled
	w.say(w.fact(session.UserDisabled, "ana", "off-1"))
	w.pass(3 * time.Hour)
	w.born(training, "somebody's", "ana")
	w.pass(40 * time.Minute)
	r := w.proven(w.store, time.Time{}, time.Time{})
	if len(r.Stops) != 1 || r.OnTime != 1 || r.Stops[0].Cause != string(session.CauseUserDisabled) {
		t.Fatalf("%s: %+v, %v", r.Summary(), r.Stops, r.Faults)
	}
	if own := r.Stops[0].TookFromCause(); own < 3*time.Hour {
		t.Errorf("from the cause's own time it took %s", own)
	}
}
