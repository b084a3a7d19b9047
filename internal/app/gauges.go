package app

import (
	"context"
	"fmt"
	"slices"
	"time"

	"nightshift/internal/proof"
	"nightshift/internal/session"
)

// gauges are what the sweep's walk tells operators. It is made anyway: nothing is
// read for them but when an endpoint that was never listed became known.
type gauges struct {
	live, ending int
	oldest       time.Time     // when the cause was known of the stop that has waited longest; zero: none waits
	still        time.Duration // how long runs have waited at an endpoint that is sent no stop request
	unlisted     time.Duration // age of the endpoint's complete listing that is the oldest
}

// add takes a live session.
func (g *gauges) add(s *session.Session) {
	g.live++
	if s.Status != session.Ending {
		return
	}
	g.ending++
	if g.oldest.IsZero() || s.End.Known.Before(g.oldest) {
		g.oldest = s.End.Known
	}
}

// standstill is for how long runs that must end and can be asked have waited while
// the endpoint was sent no request at all: a drain that is slow, refused or
// throttled asks, one that is dead does not. e is the endpoint as it was before the
// sessions were read.
func standstill(e Endpoint, sessions []session.Session, now time.Time) time.Duration {
	var since time.Time
	for _, s := range sessions {
		if s.Status == session.Ending && s.Run.ID != "" && s.End.AskedLast.IsZero() && (since.IsZero() || s.End.Known.Before(since)) {
			since = s.End.Known
		}
	}
	if since.IsZero() {
		return 0
	}
	return now.Sub(latestOf(since, e.Stops.At))
}

// unlistedMark names the moment since when an endpoint is known and was not listed
// completely yet.
func unlistedMark(id string) string { return "unlisted/" + id }

// gauge takes one endpoint and its live sessions. One that is not tended any more
// and has none needs no truth.
func (a *App) gauge(ctx context.Context, e Endpoint, sessions []session.Session, g *gauges) error {
	now := a.Now()
	for i := range sessions {
		g.add(&sessions[i])
	}
	g.still = max(g.still, standstill(e, sessions, now))
	if len(sessions) == 0 && !slices.Contains(a.Endpoints, e.ID) {
		return nil
	}
	age, err := a.unlisted(ctx, e, now)
	g.unlisted = max(g.unlisted, age)
	return err
}

// unlisted is how long ago an endpoint was listed completely; where it never was,
// since when that has been so.
func (a *App) unlisted(ctx context.Context, e Endpoint, now time.Time) (time.Duration, error) {
	if !e.LastListed.IsZero() {
		return now.Sub(e.LastListed), nil
	}
	since, err := a.Store.Mark(ctx, unlistedMark(e.ID))
	if err == nil && since.IsZero() {
		since, err = now, a.Store.SetMark(ctx, unlistedMark(e.ID), now)
	}
	if err != nil {
		return 0, fmt.Errorf("since when endpoint %s is not listed: %w", e.ID, err)
	}
	return now.Sub(since), nil
}

// publish says what the walk has seen; it cannot fail.
func (a *App) publish(g *gauges) error {
	now := a.Now()
	waited := time.Duration(0)
	if !g.oldest.IsZero() {
		waited = now.Sub(g.oldest)
	}
	a.Meter.Count(MetricLive, g.live)
	a.Meter.Count(MetricEnding, g.ending)
	a.Meter.Lateness(MetricOldestEnding, waited)
	a.Meter.Lateness(MetricStandstill, g.still)
	a.Meter.Lateness(MetricTruthAge, g.unlisted)
	return nil
}

// tell logs that a session must end, and that it has ended: by these lines the
// dashboard lists who is revoked right now.
func (a *App) tell(now, before *session.Session) {
	switch {
	case now.Status == before.Status:
	case now.Status == session.Ending:
		a.Log.Info("session must end", "session", now.ID, "user", now.User, "reason", string(now.End.Cause))
	case now.Status == session.Ended && before.Status != "":
		a.Log.Info("session ended", "session", now.ID, "user", now.User, "reason", string(now.End.Cause))
	}
}

// auditHeads is how many of the sessions that an anchor names are followed to
// their beginning each time: with the two anchors that are looked at, less than
// twenty reads each AnchorEvery.
const auditHeads = 8

// audit verifies a little of the evidence each time anchors are written (S8.4): the
// newest anchor and one before it, by lot, so that each comes up in time, and of
// what each names some sessions. All of it is nightshift prove's to verify.
func (a *App) audit(ctx context.Context, g *anchoring) error {
	newest := g.last.Seq
	if !g.due || newest == 0 {
		return nil
	}
	verified, broken := 0, 0
	for _, seq := range []int64{newest, 1 + turn(fmt.Sprint("audit ", g.slot), newest)} {
		pair, _, err := a.Store.Anchors(ctx, seq+1, 2)
		if err != nil {
			return fmt.Errorf("audit anchor %d: %w", seq, err)
		}
		if fault := anchorFault(pair, seq); fault != "" {
			broken++
			a.Log.Error("chain broken", "anchor", seq, "reason", fault)
			continue
		}
		heads := pair[0].Heads
		for i := range int64(min(auditHeads, len(heads))) {
			h := heads[(g.slot*auditHeads+i)%int64(len(heads))]
			fault, err := a.chainFault(ctx, h)
			if err != nil {
				return fmt.Errorf("audit session %s: %w", h.Session, err)
			}
			verified++
			if fault != "" {
				broken++
				a.Log.Error("chain broken", "session", h.Session, "anchor", seq, "reason", fault)
			}
		}
	}
	a.Meter.Count(MetricChainsVerified, verified)
	a.Meter.Count(MetricChainsBroken, broken)
	return nil
}

// anchorFault says what is wrong with an anchor, of which it is given itself and
// the one before; "" where nothing is.
func anchorFault(pair []proof.Anchor, seq int64) string {
	if len(pair) == 0 || pair[0].Seq != seq {
		return "the anchor is gone"
	}
	previous := proof.Genesis
	if len(pair) > 1 {
		previous = pair[1].Hash
	}
	switch hash, err := pair[0].Seal(); {
	case err != nil || hash != pair[0].Hash:
		return "the anchor is not what its hash says"
	case pair[0].Previous != previous || (seq > 1) != (len(pair) > 1):
		return "the anchor does not follow the one before it"
	}
	return ""
}

// chainFault follows a session's history to the version that an anchor names, and
// says what is wrong with it.
func (a *App) chainFault(ctx context.Context, h proof.Head) (string, error) {
	previous := proof.Genesis
	for version := int64(0); ; {
		entries, more, err := a.Store.History(ctx, h.Session, version, historyPage)
		if err != nil {
			return "", err
		}
		for i := range entries {
			e := &entries[i]
			hash, err := e.Seal()
			switch {
			case e.Version != version+1:
				return fmt.Sprintf("version %d is gone", version+1), nil
			case err != nil || hash != e.Hash:
				return fmt.Sprintf("version %d is not what its hash says", e.Version), nil
			case e.Previous != previous:
				return fmt.Sprintf("version %d does not follow the one before it", e.Version), nil
			}
			if version, previous = e.Version, e.Hash; version == h.Version {
				if h.Hash != e.Hash {
					return fmt.Sprintf("version %d is not the one that the anchor names", version), nil
				}
				return "", nil
			}
		}
		if !more || len(entries) == 0 {
			return fmt.Sprintf("version %d, which the anchor names, is gone", h.Version), nil
		}
	}
}
