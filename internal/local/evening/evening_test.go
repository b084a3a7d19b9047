package evening

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/asl/clock"
	"nightshift/internal/engine/simrun"
	"nightshift/internal/local"
	"nightshift/internal/proof"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// played is an evening as it stands at an hour, with its system still there.
func played(t *testing.T, until string, sabotage func(*local.System)) (*play, Result) {
	t.Helper()
	return playedWith(t, local.Options{}, until, sabotage)
}

// playedWith is played, on a system with options of its own.
func playedWith(t *testing.T, o local.Options, until string, sabotage func(*local.System)) (*play, Result) {
	t.Helper()
	c := clock.New(start)
	o.Clock, o.IndexLag = c, 2*time.Second
	s, err := local.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if sabotage != nil {
		sabotage(s)
	}
	p := &play{s: s, sayLine: func(Line) {}, client: &http.Client{}}
	if err := p.settings(); err != nil {
		t.Fatal(err)
	}
	s.Start()
	p.script()
	c.RunUntil(at(until))
	if p.err != nil {
		t.Fatalf("the script itself: %v", p.err)
	}
	return p, p.judge()
}

func failed(r Result) []Row {
	var bad []Row
	for _, row := range append(append([]Row(nil), r.Rows...), r.Checks...) {
		if !row.OK {
			bad = append(bad, row)
		}
	}
	return bad
}

// The evening is played twice: as the demo plays it, and with its system kept.
func TestEveningHoldsAndIsTheSameTwice(t *testing.T) {
	lines := 0
	first, err := Play(clock.New(Start()), func(Line) { lines++ })
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range failed(first) {
		t.Errorf("%s, %s (%s): %s", row.User, row.Engine, row.Happened, row.Verdict)
	}
	if !first.OK() || len(first.Rows) < 15 || len(first.Checks) < 2 || lines < 100 {
		t.Errorf("%d rows, %d checks, %d lines", len(first.Rows), len(first.Checks), lines)
	}
	p, second := played(t, "03:00", nil)
	if !reflect.DeepEqual(first, second) {
		t.Error("two plays of one evening differ")
		for i, row := range first.Rows {
			if i < len(second.Rows) && !reflect.DeepEqual(row, second.Rows[i]) {
				t.Errorf("%+v and %+v", row, second.Rows[i])
			}
		}
	}
	if (Result{}).OK() {
		t.Error("an evening that judged nothing is called good")
	}
	everyHistoryVerifies(t, p)
	if first.Proof == "" || !strings.Contains(first.Proof, " stops, ") {
		t.Errorf("the proof says %q", first.Proof)
	}
	p.s.Store = bereft{p.s.Store, first.Rows[0].Session}
	if row, _ := p.checkProof(); row.OK || !strings.Contains(row.Verdict, first.Rows[0].Session) {
		t.Errorf("S8.4 a session is gone, and the auditor says %q", row.Verdict)
	}
}

// bereft is a store that has lost a session's record.
type bereft struct {
	app.Store
	lost string
}

func (b bereft) Sessions(ctx context.Context, ids []string) ([]session.Session, error) {
	found, err := b.Store.Sessions(ctx, ids)
	return slices.DeleteFunc(found, func(s session.Session) bool { return s.ID == b.lost }), err
}

// everyHistoryVerifies: each session of the evening has a gapless history whose
// chain verifies (S8.4), and what it wanted done was done.
func everyHistoryVerifies(t *testing.T, p *play) {
	t.Helper()
	ctx := t.Context()
	sessions, stops, entriesSeen := 0, 0, 0
	for cursor := ""; ; {
		page, err := p.s.Store.List(ctx, cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, listed := range page.Sessions {
			s, entries, err := p.s.App.SessionStory(ctx, listed.ID)
			if err != nil {
				t.Fatal(err)
			}
			sessions++
			head, status, ended := proof.Genesis, session.Status(""), 0
			for i, e := range entries {
				entriesSeen++
				hash, err := e.Seal()
				if err != nil || e.Version != int64(i+1) || e.Previous != head || e.Hash != hash || e.From != status {
					t.Fatalf("session %s: entry %d does not follow from the one before: version %d, from %s, %v", s.ID, i+1, e.Version, e.From, err)
				}
				if e.To == session.Ended && e.From != session.Ended {
					ended++
				}
				if len(e.Effects) > 0 && !e.Done {
					t.Errorf("session %s: the effects of version %d are not done: %v", s.ID, e.Version, e.Effects)
				}
				head, status = e.Hash, e.To
			}
			if s.Head != head || s.Status != status || int64(len(entries)) != s.Version || ended > 1 || (ended == 1) != (s.Status == session.Ended) {
				t.Errorf("session %s is not what its history says: ended %d times, %s", s.ID, ended, s.Status)
			}
			if e := s.End; s.Status == session.Ended && !e.Asked.IsZero() {
				stops++
				if e.Cause == "" || e.Evidence == "" || e.By == "" || e.Happened.IsZero() || e.Known.IsZero() || e.Decided.IsZero() || e.Confirmed.IsZero() {
					t.Errorf("S2.7: the end of session %s lacks something: %+v", s.ID, e)
				}
				if late := e.Confirmed.Sub(e.Known); late > Promise {
					t.Errorf("S2.1: session %s was confirmed %s after its cause was known", s.ID, late)
				}
			}
			// A changed entry shows.
			if len(entries) > 1 {
				forged := entries[1]
				forged.Cause = "somebody else's"
				if hash, err := forged.Seal(); err != nil || hash == entries[1].Hash {
					t.Errorf("session %s: a forged entry keeps its hash", s.ID)
				}
			}
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	t.Logf("%d sessions, %d entries, %d stops", sessions, entriesSeen, stops)
	if sessions < 40 || stops < 30 {
		t.Errorf("%d sessions, %d stops: hardly anything was looked at", sessions, stops)
	}
}

// The judge can fail: each sabotage must show in the verdicts it is about.
func TestJudgeSeesSabotage(t *testing.T) {
	for _, c := range []struct {
		name     string
		sabotage func(*local.System)
		until    string
		user     string // one whose row must fail
		words    string // of its verdict
	}{
		{"no drain is ever started", func(s *local.System) { s.App.Starter = noDrains{s.App.Starter} }, "19:00", "chloe", "it still runs"},
		{"no session is found by its user", func(s *local.System) { s.App.Store = lonely{s.App.Store} }, "19:00", "chloe", "it still runs"},
		{"a stop hits other users' runs too", func(s *local.System) {
			s.App.Engines["sagemaker"] = &crossed{Engine: s.App.Engines["sagemaker"], runs: s.SageMaker.Runs, t: t}
		}, "19:00", "dev", "should not have been"},
		{"a stop hits every run of its endpoint", func(s *local.System) {
			s.App.Engines["emr-containers"] = careless{s.App.Engines["emr-containers"]}
		}, "20:30", "nobody", "it was touched"},
		{"stop requests are dropped", func(s *local.System) { s.App.Engines["sagemaker"] = deafEngine{s.App.Engines["sagemaker"]} }, "19:00", "chloe", "it still runs"},
		{"a run is called stopped because it was asked to", func(s *local.System) {
			s.App.Engines["sagemaker"] = &hasty{Engine: s.App.Engines["sagemaker"], asked: map[workload.Ref]bool{}}
		}, "19:00", "chloe", "it still runs"},
		{"stops come late", func(s *local.System) {
			s.App.Engines["sagemaker"] = &lazy{Engine: s.App.Engines["sagemaker"], now: s.Clock.Now, first: map[workload.Ref]time.Time{}}
		}, "19:30", "chloe", "later than the promise"},
		{"nothing is replayed", func(s *local.System) { s.App.Identity = forgetful{s.App.Identity} }, "19:20", "kim", "it still runs"},
		{"malformed events are not parked", func(s *local.System) {
			s.App.Parse = func([]byte, time.Time) (app.Message, error) { return app.Ignored{}, nil }
		}, "18:50", "nobody", "0 events are parked"},
		{"what is unknown is taken for off", func(s *local.System) { s.App.Identity = guessing{s.App.Identity} }, "19:00", "eve", "should not have been"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, r := played(t, c.until, c.sabotage)
			if r.OK() {
				t.Fatal("the judge saw nothing")
			}
			for _, row := range failed(r) {
				if row.User == c.user && strings.Contains(row.Verdict, c.words) {
					return
				}
			}
			t.Errorf("no failed row is about %s and says %q: %+v", c.user, c.words, failed(r))
		})
	}
}

// noDrains answers success and starts no drain.
type noDrains struct{ app.Starter }

func (noDrains) Drain(context.Context, string, int64) error { return nil }

// lonely finds no sessions of a user: the fan-out reaches nobody.
type lonely struct{ app.Store }

func (lonely) OfUser(context.Context, string, string) (app.Page, error) { return app.Page{}, nil }

// crossed stops dev's run too.
type crossed struct {
	app.Engine
	runs func() []simrun.Record
	t    *testing.T
}

func (x *crossed) Stop(ctx context.Context, run workload.Run) error {
	for _, r := range x.runs() {
		if r.Ended.IsZero() && r.User == "u-dev" {
			other := run
			other.ID = "training-job/" + r.Name
			if err := x.Engine.Stop(ctx, other); err != nil {
				x.t.Errorf("the sabotage itself: %v", err)
			}
		}
	}
	return x.Engine.Stop(ctx, run)
}

// careless stops everything that its endpoint lists.
type careless struct{ app.Engine }

func (x careless) Stop(ctx context.Context, run workload.Run) error {
	l, err := x.List(ctx, run.Endpoint)
	errs := []error{err}
	for _, o := range l.Runs {
		errs = append(errs, x.Engine.Stop(ctx, o.Run))
	}
	return errors.Join(errs...)
}

// deafEngine drops stop requests and says that they were accepted.
type deafEngine struct{ app.Engine }

func (deafEngine) Stop(context.Context, workload.Run) error { return nil }

// hasty drops stop requests and calls a run stopped once it was asked.
type hasty struct {
	app.Engine
	mu    sync.Mutex
	asked map[workload.Ref]bool
}

func (x *hasty) Stop(_ context.Context, run workload.Run) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.asked[run.Ref()] = true
	return nil
}

func (x *hasty) List(ctx context.Context, endpoint string) (workload.Listing, error) {
	l, err := x.Engine.List(ctx, endpoint)
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, o := range l.Runs {
		if x.asked[o.Run.Ref()] {
			l.Runs[i].State = workload.Stopped
		}
	}
	return l, err
}

// lazy passes a stop request on only 20 minutes after the first one.
type lazy struct {
	app.Engine
	now   func() time.Time
	mu    sync.Mutex
	first map[workload.Ref]time.Time
}

func (x *lazy) Stop(ctx context.Context, run workload.Run) error {
	x.mu.Lock()
	first, asked := x.first[run.Ref()]
	if !asked {
		first = x.now()
		x.first[run.Ref()] = first
	}
	x.mu.Unlock()
	if x.now().Sub(first) < 20*time.Minute {
		return nil
	}
	return x.Engine.Stop(ctx, run)
}

// forgetful has no event history.
type forgetful struct{ app.Identity }

func (forgetful) Replay(context.Context, time.Time) ([][]byte, error) { return nil, nil }

// guessing takes what it does not know for off.
type guessing struct{ app.Identity }

func (g guessing) Facts(ctx context.Context, user string, run workload.Run) (session.Facts, error) {
	f, err := g.Identity.Facts(ctx, user, run)
	if f.ApplicationBackground == session.Unknown {
		f.ApplicationBackground = session.Off
	}
	return f, err
}
