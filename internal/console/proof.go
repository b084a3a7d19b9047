package console

import (
	"net/http"

	"nightshift/internal/proof"
	"nightshift/internal/session"
)

// Bounds of one answer about the proof; what is left out is counted.
const (
	stopsShown  = 200
	faultsShown = 100
)

type stopView struct {
	Session   string `json:"session"`
	Cause     string `json:"cause"`
	CauseText string `json:"causeText"`
	By        string `json:"by,omitempty"`
	Evidence  string `json:"evidence,omitempty"`
	Happened  string `json:"happened,omitempty"`
	Known     string `json:"known,omitempty"`
	Decided   string `json:"decided,omitempty"`
	Asked     string `json:"asked,omitempty"`
	Confirmed string `json:"confirmed,omitempty"`
	// Took counts from when the cause was known, TookFromCause from its own time.
	Took          *float64 `json:"tookSeconds,omitempty"`
	TookFromCause *float64 `json:"tookFromCauseSeconds,omitempty"`
}

func stopOf(s proof.Stop) stopView {
	v := stopView{Session: s.Session, Cause: s.Cause, CauseText: session.Because(session.Cause(s.Cause)), By: s.By, Evidence: s.Evidence,
		Happened: written(s.Happened), Known: written(s.Known), Decided: written(s.Decided), Asked: written(s.Asked), Confirmed: written(s.Confirmed)}
	if !s.Open() {
		took, own := s.Took().Seconds(), s.TookFromCause().Seconds()
		v.Took, v.TookFromCause = &took, &own
	}
	return v
}

type bucketView struct {
	UpTo  int64 `json:"upToSeconds,omitempty"`
	Stops int   `json:"stops"`
}

type proofView struct {
	From          string       `json:"from,omitempty"`
	To            string       `json:"to,omitempty"`
	Summary       string       `json:"summary"`
	Holds         bool         `json:"holds"`
	Promise       int64        `json:"promiseSeconds"`
	Stops         int          `json:"stops"`
	OnTime        int          `json:"onTime"`
	Late          int          `json:"late"`
	Open          int          `json:"open"`
	Overdue       int          `json:"overdue"`
	Closed        int          `json:"closed"`
	Histogram     []bucketView `json:"histogram"`
	Worst         *stopView    `json:"worst,omitempty"`
	WorstOwn      *stopView    `json:"worstFromCause,omitempty"`
	Shown         []stopView   `json:"shown"`
	LeftOut       int          `json:"leftOut"`
	Sessions      int          `json:"sessions"`
	Entries       int          `json:"entries"`
	Anchors       int64        `json:"anchors"`
	Newest        string       `json:"newestAnchor,omitempty"`
	Covered       string       `json:"covered,omitempty"`
	Unanchored    int          `json:"unanchored"`
	Faults        []string     `json:"faults"`
	FaultsLeftOut int          `json:"moreFaults"`
}

func (c *call) getProof() (int, any, error) {
	q := c.r.URL.Query()
	from, e1 := moment("from", q.Get("from"))
	to, e2 := moment("to", q.Get("to"))
	if err := first(e1, e2); err != nil {
		return 0, nil, err
	}
	r, err := c.app.Proof(c.r.Context(), c.caller.Actor, from, to)
	if err != nil {
		return 0, nil, err
	}
	v := proofOf(r)
	v.From, v.To = written(from), written(to)
	return http.StatusOK, v, nil
}

// proofOf is a report for people: of its stops those that were not on time.
func proofOf(r proof.Report) proofView {
	v := proofView{
		Summary: r.Summary(), Holds: r.Holds(), Promise: seconds(proof.Promise), Stops: len(r.Stops), OnTime: r.OnTime, Late: r.Late, Open: r.Open, Overdue: r.Overdue, Closed: r.Closed,
		Histogram: []bucketView{}, Shown: []stopView{}, Sessions: r.Sessions, Entries: r.Entries, Anchors: r.Anchors, Newest: r.Newest.Hash,
		Covered: written(r.Covered), Unanchored: r.Unanchored, Faults: []string{}, FaultsLeftOut: r.More,
	}
	for _, b := range r.Histogram {
		v.Histogram = append(v.Histogram, bucketView{seconds(b.UpTo), b.Stops})
	}
	if r.Worst != nil {
		worst, own := stopOf(*r.Worst), stopOf(*r.WorstOwn)
		v.Worst, v.WorstOwn = &worst, &own
	}
	for _, s := range r.Stops {
		switch {
		case s.OnTime():
		case len(v.Shown) < stopsShown:
			v.Shown = append(v.Shown, stopOf(s))
		default:
			v.LeftOut++
		}
	}
	for _, f := range r.Faults[:min(len(r.Faults), faultsShown)] {
		v.Faults = append(v.Faults, f.String())
	}
	v.FaultsLeftOut += len(r.Faults) - len(v.Faults)
	return v
}
