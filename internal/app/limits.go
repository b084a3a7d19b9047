package app

import (
	"context"
	"fmt"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/session"
)

// settings are an endpoint's numbers.
func (a *App) settings(endpoint string) cadence.Endpoint {
	if s, ok := a.Settings[endpoint]; ok {
		return s
	}
	return cadence.Of(api(endpoint))
}

// ETA is how long it takes to ask n runs of a rested endpoint to stop.
func ETA(n int, rate cadence.Rate) time.Duration {
	return rate.Until(cadence.Bucket{}, n, time.Time{}).Round(time.Second)
}

// eta is how long it takes to ask those of the sessions to stop that have not
// been, given what was taken from the endpoint's bucket (S2.9).
func (a *App) eta(ctx context.Context, endpoint string, ending []session.Session) (time.Duration, error) {
	n, _ := unasked(ending)
	if n == 0 {
		return 0, nil
	}
	e, err := a.Store.Endpoint(ctx, endpoint)
	if err != nil {
		return 0, fmt.Errorf("tell the time of a mass stop: %w", err)
	}
	return a.settings(endpoint).Stop.Until(e.Stops, n, a.Now()).Round(time.Second), nil
}

// unasked counts the sessions that must end and whose engine has taken no stop
// request, and says whose cause was known first.
func unasked(sessions []session.Session) (n int, first *session.Session) {
	for i := range sessions {
		s := &sessions[i]
		if s.Status != session.Ending || !s.End.Asked.IsZero() {
			continue
		}
		if n++; first == nil || s.End.Known.Before(first.End.Known) {
			first = s
		}
	}
	return n, first
}

// warn tells an administrator what S2.9 wants told of an endpoint: that more runs
// are open than can be stopped in time, and how long a mass stop takes. It is
// part of the sweep, which counts live sessions anyway: an opening need not, and
// only the sweep and the stream can speak.
func (a *App) warn(ctx context.Context, e Endpoint, live []session.Session) error {
	now, set := a.Now(), a.settings(e.ID)
	if n, capacity := len(live), set.Capacity(); n > capacity {
		newest := live[0]
		for _, s := range live[1:] {
			if s.RecordedAt.After(newest.RecordedAt) {
				newest = s
			}
		}
		text := fmt.Sprintf("Endpoint %s has %d live runs; only %d can be stopped within the promised 15 minutes, at %g stop requests a second. Asking all to stop takes about %s.",
			e.ID, n, capacity, set.Stop.PerSecond, ETA(n, set.Stop))
		if err := a.announceOnce(ctx, "capacity", e.ID, newest, text, now.Add(cadence.AlertEach)); err != nil {
			return err
		}
	}
	ahead, first := unasked(live)
	if ahead <= set.Stop.Burst {
		return nil
	}
	eta := set.Stop.Until(e.Stops, ahead, now).Round(time.Second)
	text := fmt.Sprintf("%d runs of endpoint %s must end and are still to be asked to stop, at %.2g a second: the last is asked in about %s.", ahead, e.ID, set.Stop.Now(e.Stops, now), eta)
	return a.announceOnce(ctx, "mass-stop", e.ID, *first, text, now.Add(max(eta, cadence.Sweep)))
}

// announceOnce raises an alert about an endpoint, and not again before a moment.
func (a *App) announceOnce(ctx context.Context, alert, endpoint string, s session.Session, text string, until time.Time) error {
	mark, now := alert+"/"+endpoint, a.Now()
	quiet, err := a.Store.Mark(ctx, mark)
	if err != nil || now.Before(quiet) {
		return err
	}
	err = a.Announcer.Announce(ctx, Announcement{
		ID: alert + "-" + digest(endpoint, quiet.UTC().Format(time.RFC3339Nano)), Kind: "alert", At: now, Session: s,
		Effect: session.Effect{Kind: session.Alert, Reason: alert, Text: text},
	})
	if err != nil {
		return fmt.Errorf("warn of endpoint %s: %w", endpoint, err)
	}
	a.Log.Warn("endpoint overloaded", "endpoint", endpoint, "reason", text)
	return a.Store.SetMark(ctx, mark, until)
}
