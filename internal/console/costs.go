package console

import (
	"net/http"

	"nightshift/internal/app"
	"nightshift/internal/outbound"
	"nightshift/internal/session"
)

// lineCostView is what one session costs (S8.5), in short.
type lineCostView struct {
	Hourly     outbound.AmountView `json:"hourly"`
	SoFar      outbound.AmountView `json:"soFar"`
	ToDeadline outbound.AmountView `json:"toDeadline"`
	Shared     bool                `json:"sharedCluster"`
	Note       string              `json:"note,omitempty"`
	Forgotten  bool                `json:"forgotten"`
}

func (c *Console) lineCost(s session.Session) lineCostView {
	v := outbound.Cost(c.app.Cost(s))
	return lineCostView{v.Hourly, v.SoFar, v.ToDeadline, v.Shared, v.Note, v.Forgotten}
}

// savesView is what stops would save at most, and of how many that is unknown.
func (c *Console) savesView(f app.Forecast) outbound.SumView {
	var v outbound.SumView
	for _, x := range f.Fates {
		if x.Outcome != app.FateEnds && x.Outcome != app.FateCloses {
			continue
		}
		if a := c.app.WouldSave(x.Before); a.Known() {
			v.USD += a.USD
		} else {
			v.Unknown++
		}
	}
	v.USD = outbound.Cents(v.USD)
	return v
}

type costsView struct {
	From         string               `json:"from"`
	Complete     bool                 `json:"complete"`
	Total        outbound.GroupView   `json:"total"`
	ByUser       []outbound.GroupView `json:"byUser"`
	ByDepartment []outbound.GroupView `json:"byDepartment"`
	ByCostCenter []outbound.GroupView `json:"byCostCenter"`
	Forgotten    []lineView           `json:"forgotten"`
}

func (c *call) getCosts() (int, any, error) {
	from, err := moment("from", c.r.URL.Query().Get("from"))
	if err != nil {
		return 0, nil, err
	}
	r, err := c.app.Costs(c.r.Context(), c.caller.Actor, from)
	if err != nil {
		return 0, nil, err
	}
	v := outbound.Costs(r.Report)
	return http.StatusOK, costsView{written(r.From), r.Complete, v.Total, v.ByUser, v.ByDepartment, v.ByCostCenter, c.lines(r.Forgotten)}, nil
}
