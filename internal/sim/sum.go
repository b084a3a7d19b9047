package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Sum is what many schedules came to.
type Sum struct {
	Schedules, Sessions, Stops, Commits, Calls int
	Rules                                      map[string]int // broken, by rule
	Musts                                      map[string]int // sessions that had to end, by their first reason
	Struck                                     map[string]int // what went wrong, how often
	Worst                                      time.Duration
	WorstSeed                                  uint64
}

// Add adds one schedule.
func (s *Sum) Add(r Result) {
	s.Schedules++
	s.Sessions += r.Sessions
	s.Stops += r.Stops
	s.Commits += r.Commits
	s.Calls += r.Calls
	if r.WorstLate > s.Worst {
		s.Worst, s.WorstSeed = r.WorstLate, r.Seed
	}
	if s.Rules == nil {
		s.Rules, s.Musts, s.Struck = map[string]int{}, map[string]int{}, map[string]int{}
	}
	for why, n := range r.Musts {
		s.Musts[why] += n
	}
	for what, n := range r.Struck {
		s.Struck[what] += n
	}
	for _, v := range r.Violations {
		s.Rules[v.Rule]++
	}
}

// Broken counts broken promises.
func (s *Sum) Broken() int {
	n := 0
	for _, k := range s.Rules {
		n += k
	}
	return n
}

// Story says, for people, what the schedules went through and what had to end.
func (s *Sum) Story() string {
	return fmt.Sprintf("%d runs were asked to stop; sessions that had to end: %s\nwent wrong: %s\nthe latest stop: %s, with seed %d", s.Stops, listed(s.Musts), listed(s.Struck), s.Worst.Round(time.Millisecond), s.WorstSeed)
}

func listed(counts map[string]int) string {
	var all []string
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, fmt.Sprintf("%s %d", what, counts[what]))
	}
	return strings.Join(all, ", ")
}

// Line is the sum for machines to read; took is real time.
func (s *Sum) Line(took time.Duration) string {
	return fmt.Sprintf("sim schedules=%d sessions=%d lost=%d early=%d late=%d illegal=%d worst_late_ms=%d per_s=%.1f",
		s.Schedules, s.Sessions, s.Rules["lost"], s.Rules["early"], s.Rules["late"], s.Rules["illegal"], s.Worst.Milliseconds(), float64(s.Schedules)/took.Seconds())
}
