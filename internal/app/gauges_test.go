package app_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/proof"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// worst is the largest value that a duration has had.
func (m *meter) worst(name string) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Max(append(m.lateness[name], 0))
}

// altered is a store whose histories and anchors somebody has altered.
type altered struct {
	app.Store
	history func([]app.Entry) []app.Entry
	anchors func([]proof.Anchor) []proof.Anchor
}

func (s altered) History(ctx context.Context, id string, after int64, limit int) ([]app.Entry, bool, error) {
	entries, more, err := s.Store.History(ctx, id, after, limit)
	if s.history != nil && after == 0 {
		entries = s.history(entries)
	}
	return entries, more, err
}

func (s altered) Anchors(ctx context.Context, before int64, limit int) ([]proof.Anchor, bool, error) {
	anchors, more, err := s.Store.Anchors(ctx, before, limit)
	if s.anchors != nil {
		anchors = s.anchors(anchors)
	}
	return anchors, more, err
}

// resealed gives entries hashes that fit their new content, one by one.
func resealed(entries []app.Entry) []app.Entry {
	previous := proof.Genesis
	for i := range entries {
		entries[i].Previous = previous
		entries[i].Hash, _ = entries[i].Seal()
		previous = entries[i].Hash
	}
	return entries
}

// S8.4: the sweep notices within its next anchors what was changed, dropped or
// sealed anew, in histories and in anchors, names it, and finds nothing where
// nothing is.
func TestS8_4TheSweepAuditsTheEvidence(t *testing.T) {
	for name, c := range map[string]struct {
		store altered
		want  string
	}{
		"nothing": {altered{}, ""},
		"an entry changed": {altered{history: func(es []app.Entry) []app.Entry {
			es[len(es)-1].Event.By = "x"
			return es
		}}, "is not what its hash says"},
		"an entry dropped":     {altered{history: func(es []app.Entry) []app.Entry { return es[1:] }}, "version 1 is gone"},
		"the newest dropped":   {altered{history: func(es []app.Entry) []app.Entry { return es[:len(es)-1] }}, "which the anchor names, is gone"},
		"a history dropped":    {altered{history: func([]app.Entry) []app.Entry { return nil }}, "which the anchor names, is gone"},
		"a history sealed new": {altered{history: func(es []app.Entry) []app.Entry { es[0].Event.By = "x"; return resealed(es) }}, "is not the one that the anchor names"},
		"an entry sealed new": {altered{history: func(es []app.Entry) []app.Entry {
			es[0].Event.By = "x"
			es[0].Hash, _ = es[0].Seal()
			return es
		}}, "does not follow the one before it"},
		"an anchor changed": {altered{anchors: func(as []proof.Anchor) []proof.Anchor {
			for i := range as {
				as[i].Live += 7
			}
			return as
		}}, "the anchor is not what its hash says"},
		"the anchors before the newest dropped": {altered{anchors: func(as []proof.Anchor) []proof.Anchor { return as[:min(1, len(as))] }}, "the anchor does not follow the one before it"},
		"the old anchors dropped": {altered{anchors: func(as []proof.Anchor) []proof.Anchor {
			return slices.DeleteFunc(as, func(a proof.Anchor) bool { return a.Seq <= 3 })
		}}, "the anchor is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.start("ana", training)
			w.start("ben", jobRun)
			w.say(w.fact(session.SignOut, "ana", "e-1"))
			w.pass(30 * time.Minute)
			if w.meter.counts[app.MetricChainsBroken] != 0 || w.meter.counts[app.MetricChainsVerified] < 8 {
				t.Fatalf("before: %v", w.meter.counts)
			}
			var log bytes.Buffer
			w.app.Log = slog.New(slog.NewTextHandler(&log, nil))
			c.store.Store = w.store
			w.app.Store = c.store
			w.pass(30 * time.Minute)
			w.app.Store = w.store
			broken := w.meter.counts[app.MetricChainsBroken]
			if (broken > 0) != (c.want != "") || !strings.Contains(log.String(), c.want) {
				t.Errorf("%d broken, want that %q is said: %s", broken, c.want, log.String())
			}
		})
	}
}

// S2.6: a drain that is dead stands still; one that is refused asks all the same,
// and is the stuck alert's business.
func TestS2_6ADrainThatStandsStillShows(t *testing.T) {
	for name, c := range map[string]struct {
		plant       func(*world)
		least, most time.Duration
	}{
		"works":   {func(*world) {}, 0, 0},
		"is dead": {func(w *world) { w.starter.drop = true }, 8 * time.Minute, 11 * time.Minute},
		"is refused": {func(w *world) { w.engine.onStop = func(workload.Run) error { return errDown } },
			0, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.start("ana", training)
			w.pass(2 * time.Minute)
			c.plant(w)
			w.say(w.fact(session.SignOut, "ana", "e-1"))
			w.pass(10 * time.Minute)
			if got := w.meter.worst(app.MetricStandstill); got < c.least || got > c.most {
				t.Errorf("it stood still for %s, want %s to %s", got, c.least, c.most)
			}
			if ended := w.meter.worst(app.MetricOldestEnding); (ended > 5*time.Minute) != (name != "works") {
				t.Errorf("the oldest end has waited for %s", ended)
			}
			w.starter.drop, w.engine.onStop = false, nil
			w.pass(10 * time.Minute)
		})
	}
}

// S3.5: the age of the oldest truth check stays within its cadence and a sweep,
// and grows where an endpoint is never listed, or not completely any more; one that
// nobody tends and that has no runs needs none.
func TestS3_5TheAgeOfTruthShows(t *testing.T) {
	for name, c := range map[string]struct {
		plant       func(*world)
		least, most time.Duration
	}{
		"all is well": {func(*world) {}, 4 * time.Minute, 7 * time.Minute},
		"never listed": {func(w *world) {
			w.app.Endpoints = []string{onEKS}
			w.engine.onList = func(endpoint string) error {
				if endpoint == onEKS {
					return errDown
				}
				return nil
			}
		}, 25 * time.Minute, 31 * time.Minute},
		"pages are missing": {func(w *world) { w.engine.partial = true }, 25 * time.Minute, 36 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.app.Endpoints = []string{sagemaker}
			w.start("ana", training)
			w.pass(6 * time.Minute)
			c.plant(w)
			w.pass(30 * time.Minute)
			if got := w.meter.worst(app.MetricTruthAge); got < c.least || got > c.most {
				t.Errorf("the oldest check was %s old, want %s to %s", got, c.least, c.most)
			}
		})
	}
}
