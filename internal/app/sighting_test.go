package app_test

import (
	"strings"
	"testing"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// S2.10, S1.10: a run that its engine does not date is taken to exist from when it
// was first seen. A sign-out after that ends it, whenever it is adopted; one between
// that and the last complete list, which lacked it, may have come before it was
// begun: it ends nothing, and is said once. One before that list does not matter.
func TestS2_10ARunThatItsEngineDoesNotDate(t *testing.T) {
	const (
		goesOn = iota
		goesOnSaid
		ends
	)
	run := workload.Run{Engine: workload.Livy, Endpoint: livy, ID: "app/application_1", Kind: workload.LivySession, Application: workload.Spark}
	for name, c := range map[string]struct {
		facts   session.Facts
		signOut time.Duration // after the first list; the run is begun after 2 minutes, and first listed after 5
		named   time.Duration // when the identity store answers for its user's name
		want    int
	}{
		"before the list that lacked it":   {classic, -30 * time.Second, 0, goesOn},
		"between two lists":                {classic, 3 * time.Minute, 0, goesOnSaid},
		"between two lists, background":    {yes, 3 * time.Minute, 0, goesOn},
		"after it was seen":                {classic, 8 * time.Minute, 0, ends},
		"after it was seen, not yet named": {classic, 8 * time.Minute, 12 * time.Minute, ends},
		"before it was seen, named late":   {classic, 3 * time.Minute, 12 * time.Minute, goesOnSaid},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.app.Endpoints = []string{livy}
			w.identity.facts[livy] = c.facts
			who := &names{ids: map[string]string{"ana@example.com": anasID}}
			w.app.Names = who
			w.pass(cadence.Sweep + time.Second) // the first list
			listed := w.now
			if c.named > 0 {
				who.err = errDown
			}
			w.at(listed.Add(2*time.Minute), func() {
				w.engine.add(workload.Observation{Run: run, User: "ana@example.com"}).o.CreatedAt = time.Time{}
			})
			w.at(listed.Add(c.named), func() { who.err = nil })
			if c.named > 0 {
				w.at(listed, func() { who.err = errDown })
			}
			signOut := w.fact(session.SignOut, anasID, "out-1")
			signOut.Event.At = listed.Add(c.signOut)
			w.at(listed.Add(max(0, c.signOut)), func() { w.say(signOut) })
			w.pass(25 * time.Minute)
			s := w.only(run.Ref())
			said := w.says.ids("alert", s.ID, "start-unknown")
			if ended := s.End.Cause == session.CauseSignOut; ended != (c.want == ends) {
				t.Errorf("it is %s, cause %q; opened %s after the list", s.Status, s.End.Cause, s.OpenedAt.Sub(listed))
			}
			if (len(said) == 1) != (c.want == goesOnSaid) {
				t.Errorf("alerted %v", said)
			}
			if story := w.history(s.ID)[0].Event.Evidence; (c.want == goesOnSaid) && !strings.Contains(story, "whether it was begun before is not known") {
				t.Errorf("its history says %q", story)
			}
		})
	}
}
