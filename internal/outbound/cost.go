package outbound

import (
	"math"

	"nightshift/internal/cost"
)

// AmountView is an amount in US dollars, to the cent; without one, unknown says
// why.
type AmountView struct {
	USD     *float64 `json:"usd,omitempty"`
	Unknown string   `json:"unknown,omitempty"`
}

// PriceView is a row of the price table: where a price was read, and when.
type PriceView struct {
	Service string  `json:"service"`
	Region  string  `json:"region"`
	Item    string  `json:"item"`
	USD     float64 `json:"usdPerHour"`
	Date    string  `json:"date"`
	Source  string  `json:"source"`
}

// CostView is what is known of a session's cost (S8.5).
type CostView struct {
	Hourly     AmountView  `json:"hourly"`
	SoFar      AmountView  `json:"soFar"`
	ToDeadline AmountView  `json:"toDeadline"`
	Saved      AmountView  `json:"savedAtMost"`
	Shared     bool        `json:"sharedCluster"`
	Note       string      `json:"note,omitempty"`
	Forgotten  bool        `json:"forgotten"`
	Prices     []PriceView `json:"prices"`
}

// SumView is a sum, and how many amounts are not in it because they are unknown.
type SumView struct {
	USD     float64 `json:"usd"`
	Unknown int     `json:"unknown"`
}

// GroupView is what the sessions of one user, department or cost center cost; key
// "" is none given.
type GroupView struct {
	Key        string  `json:"key"`
	Sessions   int     `json:"sessions"`
	SoFar      SumView `json:"soFar"`
	ToDeadline SumView `json:"toDeadline"`
	Saved      SumView `json:"savedAtMost"`
}

// CostsView is what many sessions cost.
type CostsView struct {
	Total        GroupView   `json:"total"`
	ByUser       []GroupView `json:"byUser"`
	ByDepartment []GroupView `json:"byDepartment"`
	ByCostCenter []GroupView `json:"byCostCenter"`
	Forgotten    []string    `json:"forgotten"` // ids of sessions, the dearest first
}

// Cost is the view of a session's cost.
func Cost(c cost.Cost) CostView {
	v := CostView{
		Hourly: amount(c.Hourly), SoFar: amount(c.SoFar), ToDeadline: amount(c.ToDeadline), Saved: amount(c.Saved),
		Shared: c.Shared, Note: c.Note, Forgotten: c.Forgotten, Prices: []PriceView{},
	}
	for _, p := range c.Prices {
		v.Prices = append(v.Prices, PriceView(p))
	}
	return v
}

// Costs is the view of a report.
func Costs(r cost.Report) CostsView {
	return CostsView{
		Total: group(r.Total), ByUser: groups(r.ByUser), ByDepartment: groups(r.ByDepartment), ByCostCenter: groups(r.ByCostCenter),
		Forgotten: append([]string{}, r.Forgotten...),
	}
}

func groups(all []cost.Group) []GroupView {
	views := make([]GroupView, 0, len(all))
	for _, g := range all {
		views = append(views, group(g))
	}
	return views
}

func group(g cost.Group) GroupView {
	return GroupView{Key: g.Key, Sessions: g.Sessions, SoFar: sum(g.SoFar), ToDeadline: sum(g.ToDeadline), Saved: sum(g.Saved)}
}

func sum(s cost.Sum) SumView { return SumView{USD: Cents(s.USD), Unknown: s.Unknown} }

func amount(a cost.Amount) AmountView {
	if !a.Known() {
		return AmountView{Unknown: a.Unknown}
	}
	usd := Cents(a.USD)
	return AmountView{USD: &usd}
}

// Cents rounds US dollars to the cent.
func Cents(usd float64) float64 { return math.Round(usd*100) / 100 }
