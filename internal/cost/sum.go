package cost

import (
	"cmp"
	"slices"
	"time"

	"nightshift/internal/session"
)

// Sum adds amounts up and counts those that are unknown.
type Sum struct {
	USD     float64
	Unknown int // how many amounts are not in USD because nobody knows them
}

func (s *Sum) add(a Amount) {
	if !a.Known() {
		s.Unknown++
		return
	}
	s.USD += a.USD
}

// Group is the cost of the sessions that have something in common.
type Group struct {
	Key        string // "" is no department or cost center given
	Sessions   int
	SoFar      Sum
	ToDeadline Sum // of those that are active
	Saved      Sum // of those that were stopped
}

func (g *Group) add(s session.Session, c Cost) {
	g.Sessions++
	g.SoFar.add(c.SoFar)
	if s.Status == session.Active {
		g.ToDeadline.add(c.ToDeadline)
	}
	if s.Status == session.Ended && !s.End.Asked.IsZero() {
		g.Saved.add(c.Saved)
	}
}

// Report is what many sessions cost. A cluster that several of them share is in
// it once: at each moment its cost is divided evenly among those that run on it.
type Report struct {
	Total        Group
	ByUser       []Group // the dearest first
	ByDepartment []Group
	ByCostCenter []Group
	Forgotten    []string // ids of sessions that outlived their user's leaving, the dearest first
}

// Report adds up the cost of sessions at a moment.
func (b Book) Report(sessions []session.Session, now time.Time) Report {
	var r Report
	users, departments, centers := map[string]*Group{}, map[string]*Group{}, map[string]*Group{}
	costs := b.divided(sessions, now)
	var forgotten []int
	for i, s := range sessions {
		r.Total.add(s, costs[i])
		for _, in := range []struct {
			groups map[string]*Group
			key    string
		}{{users, s.User}, {departments, s.Run.Billing.Department}, {centers, s.Run.Billing.CostCenter}} {
			if in.groups[in.key] == nil {
				in.groups[in.key] = &Group{Key: in.key}
			}
			in.groups[in.key].add(s, costs[i])
		}
		if costs[i].Forgotten {
			forgotten = append(forgotten, i)
		}
	}
	r.ByUser, r.ByDepartment, r.ByCostCenter = dearest(users), dearest(departments), dearest(centers)
	slices.SortFunc(forgotten, func(i, j int) int {
		return cmp.Or(cmp.Compare(costs[j].SoFar.USD, costs[i].SoFar.USD), cmp.Compare(sessions[i].ID, sessions[j].ID))
	})
	for _, i := range forgotten {
		r.Forgotten = append(r.Forgotten, sessions[i].ID)
	}
	return r
}

func dearest(groups map[string]*Group) []Group {
	all := make([]Group, 0, len(groups))
	for _, g := range groups {
		all = append(all, *g)
	}
	slices.SortFunc(all, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.SoFar.USD, a.SoFar.USD), cmp.Compare(a.Key, b.Key))
	})
	return all
}

// divided prices sessions like Of, but divides what a cluster costs among the
// sessions that run on it at the same time.
func (b Book) divided(sessions []session.Session, now time.Time) []Cost {
	costs := make([]Cost, len(sessions))
	sofar, ahead := map[string][]stay{}, map[string][]stay{}
	for i, s := range sessions {
		costs[i] = b.Of(s, now)
		if !costs[i].Shared || !costs[i].Hourly.Known() {
			continue
		}
		id := cluster(s.Run)
		from, until, why := span(s, now)
		if why != "" || from.IsZero() {
			continue
		}
		sofar[id] = append(sofar[id], stay{i, from, until})
		if costs[i].ToDeadline.Known() {
			until = s.Deadline
		}
		ahead[id] = append(ahead[id], stay{i, from, until})
	}
	for _, stays := range sofar {
		for i, d := range shares(stays) {
			costs[i].SoFar = costs[i].Hourly.over(d)
		}
	}
	for _, stays := range ahead {
		for i, d := range shares(stays) {
			if costs[i].ToDeadline.Known() {
				costs[i].ToDeadline = costs[i].Hourly.over(d)
			}
		}
	}
	return costs
}

// stay is one session's time on a cluster.
type stay struct {
	session     int
	from, until time.Time
}

// shares divides time evenly among those that are there: each moment counts once.
func shares(stays []stay) map[int]time.Duration {
	type edge struct {
		at      time.Time
		session int
		comes   bool
	}
	var edges []edge
	for _, s := range stays {
		if s.until.After(s.from) {
			edges = append(edges, edge{s.from, s.session, true}, edge{s.until, s.session, false})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return a.at.Compare(b.at) })
	share, there := map[int]time.Duration{}, map[int]bool{}
	for i, e := range edges {
		if n := len(there); n > 0 {
			each := e.at.Sub(edges[i-1].at) / time.Duration(n)
			for s := range there {
				share[s] += each
			}
		}
		if e.comes {
			there[e.session] = true
		} else {
			delete(there, e.session)
		}
	}
	return share
}
