package panel

import (
	"nightshift/internal/config"
	"nightshift/statemachines"
)

// Widget is one field of the dashboard: metrics, text, or a query of the
// functions' logs.
type Widget struct {
	Title   string
	Metrics []Metric
	Limit   float64 // a line to compare with; 0: none
	Text    string  // Markdown; "${stack}" stands for the stack's name
	Query   string  // of CloudWatch Logs Insights
}

// Row is a question that operators ask, and the widgets that answer it.
type Row struct {
	Question string
	Widgets  []Widget
}

// The messages of log lines by which the dashboard tells who must end now.
const (
	MustEnd  = "session must end"
	HasEnded = "session ended"
)

// ending lists the sessions whose newest line says that they must end. Insights
// has no other state than what the chosen time holds.
const ending = `fields @timestamp
| filter msg in ["` + MustEnd + `", "` + HasEnded + `"]
| stats latest(msg) as state, latest(user) as who, latest(reason) as cause, latest(@timestamp) as since by session
| filter state = "` + MustEnd + `"
| sort since desc
| limit 100`

// Board is the dashboard.
func Board() []Row {
	return []Row{late(), stuck(), revoked(), costs(), well()}
}

func late() Row {
	return Row{"Is anything late?", []Widget{
		{Title: "Stops: known to confirmed (ms)", Limit: milliseconds(Promise), Metrics: []Metric{own("StopLateness", Maximum), own("StopLatenessFromOwnTime", Maximum)}},
		{Title: "Oldest stop not yet confirmed (ms)", Limit: milliseconds(Promise), Metrics: []Metric{own("OldestEnding", Maximum), own("StopRequestsAhead", Maximum), own("DrainStandstill", Maximum)}},
		{Title: "Age of the oldest truth check (ms)", Limit: milliseconds(2 * Period), Metrics: []Metric{own("TruthCheckAge", Maximum)}},
	}}
}

func stuck() Row {
	var ages, depths []Metric
	for _, f := range Behind() {
		ages, depths = append(ages, age(f)), append(depths, depth(Dead(f)))
	}
	return Row{"What is stuck?", []Widget{
		{Title: "Sessions that must end, and runs that resist", Metrics: []Metric{own("SessionsEnding", Maximum), resisting}},
		{Title: "Age of the oldest event in a queue (s)", Limit: 300, Metrics: ages},
		{Title: "Given up, parked, not understood", Metrics: append(depths, depth(Failed(Scheduled)), depth(Failed(Streamed)), own("EventsParked", Sum), own("IdentityEventsUnrecognised", Sum))},
		{Title: "Effects on their way (ms)", Limit: 60_000, Metrics: []Metric{function(Streamed, "IteratorAge", Maximum)}},
	}}
}

func revoked() Row {
	return Row{"Who is revoked right now?", []Widget{
		{Title: "Sessions that must end and have not (needs logLevel info)", Query: ending},
		{Title: "Ends, and facts that only a check found", Metrics: []Metric{own("SessionsEnded", Sum), own("IdentityDrift", Sum), own("ChecksUnknown", Sum)}},
		{Text: "`nightshift sessions --state ending --stack ${stack}` lists them with their causes; `nightshift why SESSION --stack ${stack}` tells one's whole story."},
	}}
}

func costs() Row {
	var invocations []Metric
	for _, f := range config.Functions() {
		invocations = append(invocations, function(f, "Invocations", Sum))
	}
	table := func(name string) Metric {
		return Metric{tables, name, Sum, map[string]string{OfTable: "table"}}
	}
	return Row{"What does it cost?", []Widget{
		{Text: "**Runs:** `nightshift cost --stack ${stack}` adds up what sessions cost, what stops saved and what is forgotten; a sum over single runs would count a shared cluster once for each.\n\n**Nightshift itself:** what it is billed by stands beside this."},
		{Title: "Sessions that have not ended", Metrics: []Metric{own("SessionsLive", Maximum)}},
		{Title: "The table: units", Metrics: []Metric{table("ConsumedReadCapacityUnits"), table("ConsumedWriteCapacityUnits")}},
		{Title: "Functions: invocations", Metrics: invocations},
	}}
}

func well() Row {
	var errors []Metric
	for _, f := range config.Functions() {
		errors = append(errors, function(f, "Errors", Sum))
	}
	var ends []Metric
	for _, m := range []string{statemachines.Watch, statemachines.Drain} {
		ends = append(ends, executions(m, "ExecutionsFailed"), executions(m, "ExecutionsAborted"))
	}
	return Row{"Is Nightshift itself well?", []Widget{
		{Title: "Functions: errors", Metrics: errors},
		{Title: "Watches and drains that ended badly", Metrics: ends},
		{Title: "The evidence: chains verified and broken", Metrics: []Metric{own("ChainsVerified", Sum), own("ChainsBroken", Sum)}},
		{Title: "Nobody's: runs and events", Metrics: []Metric{own("OrphansFound", Sum), own("RunsUnidentified", Sum), own("EventsIgnored", Sum), own("MetricsRefused", Sum)}},
	}}
}
