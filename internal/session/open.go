package session

import (
	"time"

	"nightshift/internal/workload"
)

// Opening is what a session is opened with.
type Opening struct {
	ID          string
	User        string
	Run         workload.Run
	Origin      Origin
	At          time.Time // the opening; for adopted runs the run's creation (S2.10)
	Interactive InteractiveSession
	Facts       Facts
	Previous    string
	Reach       Reach // of one that a move opens
	// Left is when the user signed out, or was revoked, so shortly before an adopted
	// run was first seen that it may have been begun before that: nobody knows, so it
	// ends nothing, and an alert says so (S1.10). Zero: nothing of the kind.
	Left time.Time
	// Zombie is the cause the session before ended for, when the run was found
	// alive after that; the session is then born ENDING (S2.3).
	Zombie Cause
}

// Open decides what a new session is: its mode, its deadline, and what facts
// about the user already mean for it. The answer's Next has Version 1.
func Open(o Opening, p Policy, u UserFacts, now time.Time) Decision {
	facts := o.Facts
	facts.Instance = p.InstanceBackground
	mode, why := decideMode(facts, o.Run, p)
	own, reason := ownLimit(mode, o.At, o.Interactive, p)
	// The cost alert is read from the policy of now, as it stops nothing; frozen it
	// would only make every write of the session dearer.
	frozen := p
	frozen.CostAlert = 0
	st := &step{p: p, now: now, s: Session{
		ID: o.ID, User: o.User, Run: o.Run, Status: Active, Mode: mode, Origin: o.Origin, Previous: o.Previous,
		OpenedAt: o.At, RecordedAt: now, Policy: frozen, Facts: facts, Interactive: o.Interactive, Reach: o.Reach,
		Why: append(why, reason), Own: own, DeadlineSource: SourceNone,
	}}
	st.s = st.s.withDeadline(now)
	st.effect(Effect{Kind: Announce, Reason: "session-opened"})
	st.effect(Effect{Kind: Watch})
	if mode == ModeUnknown {
		st.alert("mode-unknown", "The session's mode is unknown: "+why[0]+".")
	}
	if !o.Left.IsZero() && (mode == Interactive || mode == ModeUnknown) {
		st.alert("start-unknown", "The run was first seen after its user signed out or was revoked at "+o.Left.UTC().Format(time.RFC3339)+
			", and may have been begun before: its engine does not say when. It is not stopped for that; check whose work it is.")
	}
	if o.Zombie != "" {
		st.end(CauseZombie, Event{At: now, By: "nightshift", Evidence: "alive after session " + o.Previous + " ended, cause " + string(o.Zombie)})
	}
	// What is known of the user already holds for a session opened now, or opened
	// before the news of it arrived. An enabled outdates earlier facts, so it is
	// heard first.
	for _, enabled := range []bool{true, false} {
		for _, f := range u.Facts {
			if (f.Kind == UserEnabled) == enabled && (f.Run == (workload.Ref{}) || f.Run == o.Run.Ref()) {
				st.e = f
				st.run()
			}
		}
	}
	st.s.Version = 1
	return st.decision(&Session{})
}
