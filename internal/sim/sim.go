// Package sim is the deterministic simulation of Nightshift: the production
// core, app, edge handlers and state machines over the store in memory, on one
// serial virtual clock and one seed, against models of engines, identity and bus
// that fail as AWS does. It finds what no example would, and what it finds can
// be played again: the same seed is the same history, instant by instant.
//
// What is judged is judged from outside: the engines' ledgers say what was
// stopped and when, an oracle written from S1 and S2 (not session.Decide) says
// what had to be, and the rest is invariants of the records.
//
// # What is real and what is a model
//
// Real: core, app, edge (in one of 16 schedules behind the Lambda library's handlers
// and its JSON), inbound, workflow, the three state machines, config's rules,
// memstore with late indexes.
// Models: engines (engine.go), directory, portal and CloudTrail's history
// (directory.go, bus.go), bus and queues (bus.go), the table's stream and Lambda
// (world.go). What each call of a port may come to is in fault.go and ports.go.
// The adapters' own tries are not simulated: store, starter and announcer are
// throttled as seldom as one sees after them (Faults.Busy), engines and identity
// as often as they are.
//
// # What may differ by clocks
//
// A stop request may come before its reason by a function's clock error and one
// second; where a cause and an opening are closer together than two such errors
// (blur), either outcome is right. Everything else is judged to the instant.
//
// # What it costs
//
// A schedule is about 440 invocations of functions, 140 commits and 3,900 calls of
// ports. Nearly all is production code: a fifth of the time are the sweeps (of which a
// third are the audits of chains), a ninth the drains, a tenth the watches, a seventh
// Apply in all of them; a tenth are the machines' interpreter, an eighth JSON, a
// thirteenth the checks. A fifth of all is allocating (32,000 times a schedule, 5 MB; pages
// of sessions and of history are read into room that is used again, room.go), and no place
// stands out any more. Collecting garbage seldom (GOGC=800) is worth a fifth;
// more seldom than that, a binary compiled with its own profile, and stacks that are
// never made smaller were measured, and are worth nothing; an audit that reads the
// history of a session once that both its anchors name is worth a hundredth.
// A long schedule costs fifty short ones.
//
// # Use it
//
// New makes a world; AddEngine, AddUser, Directory.Set and SetPolicy furnish it;
// AddPlan, At and what World does to people (SignOut, Revoke, Disable, …) are a
// script; Play runs and judges it. Options.Verdict decides the fate of every call
// of a port; Options.Store, Engine, Identity and App wrap the ports below it.
//
// It knows every part of Nightshift; nothing but tests, its own command and the
// helpers below it may know it.
package sim

import (
	"fmt"
	"time"

	"nightshift/internal/app"
)

// Epoch is when every schedule begins.
var Epoch = time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)

// Options say which schedule is played, and how.
type Options struct {
	Seed  uint64
	Long  bool         // a horizon of 7 to 90 days instead of at most 2 hours
	Trace func(string) // takes one line a step; nil: none is made
	Hash  bool         // hash the trace, to compare two plays of one seed

	// Faults replaces what the seed draws; nil: the seed's.
	Faults *Faults
	// Verdict replaces how the fate of each call is drawn; nil: by Faults.
	Verdict func(Call) Verdict
	// Script replaces what users do; nil: the seed's.
	Script func(*World)

	// The defects that tests plant, at the ports; nil: none. A wrapper of the
	// store is below the faults, so that what it does is done.
	Store    func(app.Store) app.Store
	Engine   func(app.Engine) app.Engine
	Identity func(app.Identity) app.Identity
	App      func(function string, a *app.App)
}

// Violation is one broken promise.
type Violation struct {
	Rule string // "lost", "early", "late" or "illegal"
	At   time.Time
	What string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s at +%s: %s", v.Rule, v.At.Sub(Epoch).Round(time.Millisecond), v.What)
}

// Result is what one schedule came to.
type Result struct {
	Seed       uint64
	Sessions   int            // runs that the schedule had, each with at least one session or none where nobody could own it
	Stops      int            // sessions that ended by a stop of ours
	Musts      map[string]int // sessions that had to end, by their first reason
	Struck     map[string]int // what went wrong, how often
	Commits    int
	Calls      int           // of ports, by the app
	WorstLate  time.Duration // from when the cause was known to the confirmation, less the engine's grace; outages over OutageMax left out
	Ended      time.Time     // virtual
	Violations []Violation
	Hash       string // of the trace, where asked for
}

// OutageMax is the longest outage of an engine's API that a stop must bear on
// time (issue: "0 late (outage ≤ 10 min)"); LateAfter is the promise of S2.1.
const (
	OutageMax = 10 * time.Minute
	LateAfter = 15 * time.Minute
)

// Play plays one schedule to its rest and judges it.
func Play(o Options) Result {
	w := New(o)
	defer w.Close()
	if o.Script != nil {
		o.Script(w)
	} else {
		w.script()
	}
	w.run()
	w.judge()
	return w.result()
}

// Replay is the command that plays a seed again, with its trace.
func Replay(o Options) string {
	horizon := ""
	if o.Long {
		horizon = " HORIZON=long"
	}
	return fmt.Sprintf("make sim SEED=%d%s", o.Seed, horizon)
}
