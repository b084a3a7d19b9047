package console

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// What an operator does: parked events, repair, and a table that was put back.

type parkedView struct {
	ID       string `json:"id"`
	Source   string `json:"source"`
	Reason   string `json:"reason"`
	At       string `json:"at"`
	Bytes    int    `json:"bytes"`
	Replayed string `json:"replayed,omitempty"`
	Body     string `json:"body,omitempty"`
	Text     string `json:"text,omitempty"`
}

type parkedsView struct {
	Parked []parkedView `json:"parked"`
	Next   string       `json:"next"`
}

func parkedOf(p app.ParkedStory) parkedView {
	return parkedView{ID: p.ID, Source: p.Source, Reason: p.Reason, At: written(p.At), Bytes: len(p.Body), Replayed: written(p.Replayed)}
}

func (c *call) listParked() (int, any, error) {
	page, next, err := c.app.ParkedEvents(c.r.Context(), c.caller.Actor, c.r.URL.Query().Get("cursor"))
	if err != nil {
		return 0, nil, err
	}
	view := parkedsView{Parked: []parkedView{}, Next: next}
	for _, p := range page {
		view.Parked = append(view.Parked, parkedOf(p))
	}
	return http.StatusOK, view, nil
}

func (c *call) getParked() (int, any, error) {
	id, err := c.id()
	if err != nil {
		return 0, nil, err
	}
	p, err := c.app.ParkedEvent(c.r.Context(), c.caller.Actor, id)
	if err != nil {
		return 0, nil, err
	}
	view := parkedOf(p)
	view.Body = strings.ToValidUTF8(p.Body, "\uFFFD")
	return http.StatusOK, view, nil
}

func (c *call) replayParked() (int, any, error) {
	var in struct {
		Why string `json:"why"`
	}
	id, e1 := c.id()
	act, e2 := c.acting(&in, &in.Why)
	if err := first(e1, e2); err != nil {
		return 0, nil, err
	}
	p, err := c.app.ReplayParked(c.r.Context(), act, id)
	if err != nil {
		return 0, nil, err
	}
	view := parkedOf(p)
	view.Text = "The event is understood now, and was taken as if it had just come."
	return http.StatusOK, view, nil
}

type sampleView struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"`
	Count  int64  `json:"count"`
	Newest string `json:"newest,omitempty"`
	Bytes  int    `json:"bytes"`
	Body   string `json:"body,omitempty"`
}

type samplesView struct {
	Samples []sampleView `json:"samples"`
	Next    string       `json:"next"`
}

func sampleOf(k app.SampleStory) sampleView {
	return sampleView{ID: k.ID, Kind: k.Kind, Count: k.Count, Newest: written(k.Newest), Bytes: len(k.Body)}
}

func (c *call) listSamples() (int, any, error) {
	page, next, err := c.app.Samples(c.r.Context(), c.caller.Actor, c.r.URL.Query().Get("cursor"))
	if err != nil {
		return 0, nil, err
	}
	view := samplesView{Samples: []sampleView{}, Next: next}
	for _, k := range page {
		view.Samples = append(view.Samples, sampleOf(k))
	}
	return http.StatusOK, view, nil
}

func (c *call) getSample() (int, any, error) {
	id, err := c.id()
	if err != nil {
		return 0, nil, err
	}
	k, err := c.app.Sample(c.r.Context(), c.caller.Actor, id)
	if err != nil {
		return 0, nil, err
	}
	view := sampleOf(k)
	view.Body = strings.ToValidUTF8(k.Body, "\uFFFD")
	return http.StatusOK, view, nil
}

type findingView struct {
	Kind     string `json:"kind"`
	Endpoint string `json:"endpoint,omitempty"`
	Session  string `json:"session,omitempty"`
	User     string `json:"user,omitempty"`
	Run      string `json:"run,omitempty"`
	Found    string `json:"found"`
	Heal     string `json:"heal,omitempty"`
	Advice   string `json:"advice,omitempty"`
	Healed   bool   `json:"healed"`
	Why      string `json:"why,omitempty"`
}

type repairView struct {
	ID       string        `json:"id"`
	Endpoint string        `json:"endpoint,omitempty"`
	From     string        `json:"from,omitempty"`
	Next     string        `json:"next"`
	Applied  bool          `json:"applied"`
	Plan     string        `json:"plan"`
	Heals    int           `json:"heals"`
	Healed   int           `json:"healed"`
	Findings []findingView `json:"findings"`
	LeftOut  int           `json:"leftOut"`
	Text     string        `json:"text"`
}

// findingsShown bounds the findings of one answer; leftOut counts the others.
const findingsShown = 500

func repairOf(r app.Repair, applied bool) repairView {
	v := repairView{ID: r.ID, Endpoint: r.Endpoint, From: r.From, Next: r.Next, Applied: applied, Plan: r.Plan, Findings: []findingView{}, LeftOut: max(0, len(r.Findings)-findingsShown)}
	for i, f := range r.Findings {
		if f.Heal != "" {
			v.Heals++
		}
		if f.Healed {
			v.Healed++
		}
		if i < findingsShown {
			v.Findings = append(v.Findings, findingView{string(f.Kind), f.Endpoint, f.Session, f.User, f.Run, f.Found, f.Heal, f.Advice, f.Healed, f.Why})
		}
	}
	v.Text = plural(len(r.Findings), "finding")
	switch {
	case len(r.Findings) == 0 && r.Next == "":
		v.Text = "Records and engines agree."
	case len(r.Findings) == 0:
		v.Text = "As far as was looked, records and engines agree."
	case applied:
		v.Text += ": " + strconv.Itoa(v.Healed) + " of " + strconv.Itoa(v.Heals) + " that can be healed are healed."
	default:
		v.Text += ": " + strconv.Itoa(v.Heals) + " would be healed. Nothing was changed."
	}
	return v
}

// endpointNamed checks the name of an endpoint; "" is none.
func endpointNamed(text string) error {
	if text != "" && !endpointForm.MatchString(text) {
		return badField("endpoint", `an endpoint, such as "sagemaker/123456789012/us-east-1"`)
	}
	return nil
}

func (c *call) getRepair() (int, any, error) {
	endpoint := c.r.URL.Query().Get("endpoint")
	if err := endpointNamed(endpoint); err != nil {
		return 0, nil, err
	}
	r, err := c.app.Rehearse(c.r.Context(), c.caller.Actor, app.Stretch{Endpoint: endpoint, From: c.r.URL.Query().Get("from")})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, repairOf(r, false), nil
}

func (c *call) repair() (int, any, error) {
	var in struct {
		Endpoint string `json:"endpoint"`
		From     string `json:"from"`
		To       string `json:"to"`
		Plan     string `json:"plan"`
		Why      string `json:"why"`
	}
	act, err := c.acting(&in, &in.Why)
	if err := first(err, endpointNamed(in.Endpoint)); err != nil {
		return 0, nil, err
	}
	r, err := c.app.Repair(c.r.Context(), act, app.Stretch{Endpoint: in.Endpoint, From: in.From, To: in.To}, in.Plan)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, repairOf(r, true), nil
}

type restoreView struct {
	From      string                   `json:"from,omitempty"`
	At        string                   `json:"at,omitempty"`
	Confirmed bool                     `json:"confirmed"`
	Held      []heldView               `json:"held"`
	Endpoints []endpointDifferenceView `json:"endpoints"`
	Text      string                   `json:"text"`
}

type heldView struct {
	Session  string `json:"session"`
	User     string `json:"user"`
	Endpoint string `json:"endpoint"`
	Run      string `json:"run,omitempty"`
	Deadline string `json:"deadline,omitempty"`
	Reason   string `json:"reason"`
}

type endpointDifferenceView struct {
	ID       string         `json:"id"`
	Unlisted string         `json:"unlisted,omitempty"`
	Over     []overView     `json:"over"`
	Unknown  []observedView `json:"unknown"`
	Risen    []observedView `json:"risen"`
}

type overView struct {
	Session string `json:"session"`
	User    string `json:"user"`
	Run     string `json:"run"`
	Status  string `json:"status"`
}

type observedView struct {
	Run   string `json:"run"`
	State string `json:"state"`
	User  string `json:"user,omitempty"`
	Since string `json:"since,omitempty"`
}

func observedOf(all []workload.Observation) []observedView {
	out := []observedView{}
	for _, o := range all {
		out = append(out, observedView{o.Run.ID, string(o.State), o.User, written(o.CreatedAt)})
	}
	return out
}

func restoreOf(r app.Restore) restoreView {
	v := restoreView{From: written(r.From), At: written(r.At), Confirmed: r.Confirmed, Held: []heldView{}, Endpoints: []endpointDifferenceView{}}
	switch {
	case r.At.IsZero():
		v.Text = "No restore was ever noticed, or said."
	case r.Confirmed:
		v.Text = "The newest restore is confirmed: the clock ends what is due."
	case r.At.Sub(r.From) < 2*cadence.Sweep:
		v.Text = "It was said at " + v.At + " that the records were put back. Until that is confirmed, the clock ends no run whose end may have been moved since."
	default:
		v.Text = "The records know nothing of what was decided from " + v.From + " to " + v.At + ". Until that is confirmed, the clock ends no run whose end may have been moved since."
	}
	return v
}

func (c *call) getRestore() (int, any, error) {
	d, err := c.app.RestoreSeen(c.r.Context(), c.caller.Actor)
	if err != nil {
		return 0, nil, err
	}
	v := restoreOf(d.Restore)
	for _, h := range d.Held {
		s := h.Session
		v.Held = append(v.Held, heldView{s.ID, s.User, s.Run.Endpoint, s.Run.ID, written(s.Deadline), h.Reason})
	}
	for _, e := range d.Endpoints {
		view := endpointDifferenceView{ID: e.ID, Unlisted: e.Unlisted, Over: []overView{}, Unknown: observedOf(e.Unknown), Risen: observedOf(e.Risen)}
		if e.Unlisted == "" {
			for _, s := range e.Over {
				view.Over = append(view.Over, overOf(s))
			}
		}
		v.Endpoints = append(v.Endpoints, view)
	}
	return http.StatusOK, v, nil
}

func overOf(s session.Session) overView {
	return overView{s.ID, s.User, s.Run.ID, string(s.Status)}
}

// restore confirms a restore that was looked at, or says one that was not noticed.
func (c *call) restore() (int, any, error) {
	var in struct {
		Confirm string `json:"confirm"`
		Say     bool   `json:"say"`
		Why     string `json:"why"`
	}
	act, e1 := c.acting(&in, &in.Why)
	at, e2 := moment("confirm", in.Confirm)
	if err := first(e1, e2); err != nil {
		return 0, nil, err
	}
	if in.Say == (in.Confirm != "") {
		return 0, nil, badField("confirm", "given: the moment of the restore that was looked at; or else say, not both")
	}
	do := c.app.RestoreSaid
	if !in.Say {
		do = func(ctx context.Context, act app.Act) (app.Restore, error) {
			return c.app.RestoreConfirmed(ctx, act, at)
		}
	}
	r, err := do(c.r.Context(), act)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, restoreOf(r), nil
}
