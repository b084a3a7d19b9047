package app_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

var anybodysLivy = workload.Run{Engine: workload.Livy, Endpoint: livy, ID: "app/application_1", Kind: workload.LivySession, Application: workload.Spark}

// S2.10: an id that was written in capitals is the user's whose sign-outs have it as
// the identity store writes it.
func TestS2_10AnIDInCapitalsIsItsUsers(t *testing.T) {
	w := newWorld(t)
	w.app.Endpoints = []string{livy}
	w.identity.facts[livy] = classic
	w.app.Names = &names{}
	w.engine.add(workload.Observation{Run: anybodysLivy, User: strings.ToUpper(anasID)})
	w.pass(6 * time.Minute)
	started := w.start(strings.ToUpper(anasID), training)
	w.pass(time.Minute)
	w.say(w.fact(session.SignOut, anasID, "out-1"))
	w.pass(5 * time.Minute)
	w.must(w.only(anybodysLivy.Ref()).ID, session.Ended, session.CauseSignOut)
	w.must(started.ID, session.Ended, session.CauseSignOut)
}

// slowNames is an identity store that knows nobody and takes its time, as
// identity.UserID does with the share of a function of 64 endpoints.
type slowNames struct{ w *world }

func (n slowNames) UserID(context.Context, string) (string, error) {
	n.w.now = n.w.now.Add(6400 * time.Millisecond)
	return "", fault.Newf("get user id", fault.NotFound, "nobody")
}

// S3.5: however many user names there are to ask about, a look ends within its
// function's time, and so what it lacks is noted.
func TestS3_5ManyNamesDoNotTakeALooksTime(t *testing.T) {
	w := newWorld(t)
	w.unswept = true
	w.app.Endpoints, w.app.Names = []string{sagemaker}, slowNames{w}
	for i := range 60 {
		w.born(training, fmt.Sprintf("training-job/x%d", i), fmt.Sprintf("nobody%d", i))
	}
	for range 3 {
		looked := w.now
		if _, err := w.app.Watch(t.Context(), sagemaker, 1); err != nil {
			t.Fatal(err)
		}
		if took := w.now.Sub(looked); took > cadence.TaskTimeout-10*time.Second {
			t.Errorf("it took %s", took)
		}
		if e, err := w.store.Endpoint(t.Context(), sagemaker); err != nil || !e.LastListed.Equal(looked) {
			t.Errorf("listed %s, %v; want %s", e.LastListed, err, looked)
		}
		w.now = w.now.Add(time.Minute)
	}
}

// S1.10: an event that makes us ask about a user of another identity store, whom ours
// does not know and never knew, ends nothing on that answer.
func TestS1_10AnEventAboutAnotherStoresUserEndsNothing(t *testing.T) {
	for name, m := range map[string]app.Message{
		"changed":            app.UserCheck{EventID: "scim-1", User: anasID, At: began.Add(5 * time.Minute)},
		"taken from a group": app.AccessCheck{EventID: "a-1", User: anasID, Group: "g-1", At: began.Add(5 * time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.app.IdentityStore = "d-1"
			w.app.Endpoints = []string{sagemaker}
			w.identity.facts[sagemaker] = yes
			w.identity.status[anasID] = app.UserDeleted
			w.identity.access = map[string]session.Tri{anasID: session.Off}
			r := w.born(training, "training-job/x", "")
			w.say(app.Birth{EventID: "b-1", User: anasID, Store: "d-2", Run: r.o.Run, At: w.now})
			w.pass(5 * time.Minute)
			w.say(m)
			w.pass(5 * time.Minute)
			w.must(w.only(r.o.Run.Ref()).ID, session.Active, "")
		})
	}
}

// S3.5b: the store that told whose a user name is has answered for that user: one whom
// it does not know by the next sweep was deleted.
func TestS3_5AUserFoundByNameIsKnown(t *testing.T) {
	w := newWorld(t)
	w.app.Endpoints = []string{livy}
	w.app.Names = &names{ids: map[string]string{"ana@example.com": anasID}}
	w.identity.status[anasID] = app.UserDeleted
	w.engine.add(workload.Observation{Run: anybodysLivy, User: "ana@example.com"})
	w.pass(10 * time.Minute)
	w.must(w.only(anybodysLivy.Ref()).ID, session.Ended, session.CauseUserDeleted)
}

// S2.11: a change of a user who stays enabled gives nobody back the access that was
// removed.
func TestS2_11AChangeOfAUserGivesNoAccessBack(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", jobRun)
	w.pass(3 * time.Minute)
	w.identity.access = map[string]session.Tri{"ana": session.Off}
	w.say(app.AccessCheck{EventID: "a-1", User: "ana", Application: "arn:app", At: w.now, By: "admin"})
	w.pass(3 * time.Minute)
	w.must(s.ID, session.Ended, session.CauseAccessRemoved)
	w.say(app.UserCheck{EventID: "scim-1", User: "ana", At: w.now})
	w.pass(time.Minute)
	later := w.start("ana", jobRun)
	w.pass(3 * time.Minute)
	w.must(later.ID, session.Ended, session.CauseAccessRemoved)
}

// S1.10: an orphan of Livy's whose name somebody gets later: a sign-out before it was
// first seen, and after the list that lacked it, is said.
func TestS1_10AnOrphanThatIsNamedLaterIsSaid(t *testing.T) {
	w := newWorld(t)
	w.app.Endpoints = []string{livy}
	w.identity.facts[livy] = classic
	who := &names{ids: map[string]string{}}
	w.app.Names = who
	w.pass(cadence.Sweep + time.Second)
	listed := w.now
	w.at(listed.Add(2*time.Minute), func() {
		w.engine.add(workload.Observation{Run: anybodysLivy, User: "ana@example.com"}).o.CreatedAt = time.Time{}
	})
	signOut := w.fact(session.SignOut, anasID, "out-1")
	signOut.Event.At = listed.Add(3 * time.Minute)
	w.at(signOut.Event.At, func() { w.say(signOut) })
	w.at(listed.Add(12*time.Minute), func() { who.ids["ana@example.com"] = anasID })
	w.pass(25 * time.Minute)
	s := w.only(anybodysLivy.Ref())
	if said := w.says.ids("alert", s.ID, "start-unknown"); s.Status != session.Active || len(said) != 1 {
		t.Errorf("it is %s, said %v", s.Status, said)
	}
}
