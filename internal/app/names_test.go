package app_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

const anasID = "544894e8-80c1-707f-60e3-3ba6510dfac1"

// names is a scripted identity store: whose user names are, and what it fails with.
type names struct {
	ids   map[string]string
	err   error
	asked int
}

func (n *names) UserID(_ context.Context, name string) (string, error) {
	if app.IsUserID(name) {
		return name, nil
	}
	n.asked++
	if n.err != nil {
		return "", n.err
	}
	if id := n.ids[name]; id != "" {
		return id, nil
	}
	return "", fault.Newf("get user id", fault.NotFound, "nobody")
}

func TestS3_3IsUserID(t *testing.T) {
	for word, want := range map[string]bool{
		anasID: true, "9067642ac7-" + anasID: true, "F4488478-A0E1-700E-3D75-96C6BB641599": true,
		"ana": false, "ana@example.com": false, "": false, "u-ana": false, "9067642ac-" + anasID: false, anasID + "x": false, "livy": false,
	} {
		if app.IsUserID(word) != want {
			t.Errorf("S3.3 %q is an id: %t", word, !want)
		}
	}
}

// S2.10: who starts a run names its user by the id that sign-outs have. A mere name
// opens no session, which no sign-out would end; nobody is asked.
func TestS2_10ARunIsStartedForAnIDOnly(t *testing.T) {
	w := newWorld(t)
	asked := &names{ids: map[string]string{"ana": anasID}}
	opens := func(user string) error {
		_, err := w.app.OpenSession(t.Context(), app.OpenRequest{Execution: "execution-of-" + user, User: user, Run: workload.Run{Engine: workload.SageMakerTraining, Endpoint: sagemaker}})
		return err
	}
	if err := opens("ana"); err != nil {
		t.Errorf("without an identity store, what is said is taken for an id: %v", err)
	}
	w.app.Names, w.app.IdentityStore = asked, "d-1234567890"
	var field *app.FieldError
	if err := opens("ben"); !fault.Is(err, fault.Invalid) || !errors.As(err, &field) || field.Field != "user" || !strings.Contains(field.Allowed, "d-1234567890") {
		t.Errorf("a name: %v", err)
	}
	if err := errors.Join(opens(anasID), opens("F4488478-A0E1-700E-3D75-96C6BB641599"), opens("ana")); err != nil || asked.asked != 0 {
		t.Errorf("ids, and a session that is there: %v; asked %d times", err, asked.asked)
	}
	w.app.IsID = func(word string) bool { return word == "u-ben" }
	if err := opens("u-ben"); err != nil {
		t.Errorf("an id of a store of its own: %v", err)
	}
}

// S3.3, S2.10: a run that carries its user's name belongs to the user whose id
// sign-outs have, and so ends with them. A name that is nobody's, or that cannot be
// asked about, is nobody's run: flagged once, never stopped.
func TestS3_3ARunThatCarriesAUserNameIsItsUsersByID(t *testing.T) {
	run := workload.Run{Engine: workload.Livy, Endpoint: livy, ID: "app/application_1", Kind: workload.LivySession, Application: workload.Spark}
	for _, c := range []struct {
		what, carries string
		err           error
		user          string // "": an orphan
	}{
		{what: "a name", carries: "ana@example.com", user: anasID},
		{what: "a name in capitals is another name", carries: "ANA@example.com"},
		{what: "a name without its domain is another name", carries: "ana"},
		{what: "an id", carries: anasID, err: errDown, user: anasID},
		{what: "a name that is nobody's", carries: "zeppelin"},
		{what: "a name that cannot be asked about", carries: "ana@example.com", err: errDown},
		{what: "no name", carries: ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := newWorld(t)
			w.app.Endpoints = []string{livy}
			w.identity.facts[livy] = classic
			w.app.Names = &names{ids: map[string]string{"ana@example.com": anasID}, err: c.err}
			r := w.engine.add(workload.Observation{Run: run, User: c.carries})
			w.pass(cadence.BirthWithin + 2*cadence.Settled)
			w.say(w.fact(session.SignOut, anasID, "out-1"))
			w.say(w.fact(session.SignOut, c.carries, "out-2"))
			w.pass(5 * time.Minute)
			flagged := w.says.ids("orphan-found", "", "")
			if c.user == "" {
				if len(w.all()) != 0 || len(flagged) != 1 || len(r.asked) != 0 {
					t.Fatalf("%d sessions, flagged %v, asked to stop %d times", len(w.all()), flagged, len(r.asked))
				}
				return
			}
			s := w.only(run.Ref())
			if s.User != c.user || s.Status != session.Ended || s.End.Cause != session.CauseSignOut || len(flagged) != 0 {
				t.Errorf("of %s, %s, cause %q, flagged %v", s.User, s.Status, s.End.Cause, flagged)
			}
		})
	}
}

// S1.10: while a name cannot be asked about nobody is alarmed, and the run is
// adopted as soon as it can, with its creation as its opening.
func TestS1_10ANameThatCannotBeAskedAboutIsAskedAgain(t *testing.T) {
	w := newWorld(t)
	w.app.Endpoints = []string{sagemaker}
	asked := &names{ids: map[string]string{"ana": anasID}, err: fault.New("get user id", fault.Throttled, errors.New("slow"))}
	w.app.Names = asked
	created := w.now
	r := w.born(training, "training-job/x", "ana")
	w.pass(cadence.BirthWithin - cadence.Sweep)
	if n := w.says.ids("orphan-found", "", ""); len(n) != 0 || len(w.all()) != 0 || asked.asked == 0 {
		t.Fatalf("flagged %v, %d sessions, asked %d times", n, len(w.all()), asked.asked)
	}
	asked.err = nil
	w.pass(cadence.Settled + cadence.Sweep)
	if s := w.only(r.o.Run.Ref()); s.User != anasID || !s.OpenedAt.Equal(created) {
		t.Errorf("of %s, opened %s", s.User, s.OpenedAt)
	}
}

// S3.3: the record of the call that started a run may be a quarter of an hour on
// its way. Nobody is alarmed before; one that comes later still makes the orphan
// its user's, one session, and its history says that it was flagged.
func TestS3_3ABirthThatIsLateIsNoOrphan(t *testing.T) {
	for _, late := range []time.Duration{0, time.Minute, 4 * time.Minute, 14 * time.Minute, cadence.BirthWithin + 2*cadence.Settled, 3 * time.Hour} {
		t.Run(late.String(), func(t *testing.T) {
			w := newWorld(t)
			w.app.Endpoints = []string{sagemaker}
			w.app.Names = &names{}
			created := w.now
			r := w.born(training, "training-job/x", "")
			w.pass(late)
			flagged := len(w.says.ids("orphan-found", "", ""))
			if want := late > cadence.BirthWithin; (flagged == 1) != want || flagged > 1 {
				t.Fatalf("flagged %d times after %s", flagged, late)
			}
			birth := app.Birth{EventID: "b-1", User: anasID, Run: r.o.Run, At: created, By: "role"}
			w.say(birth)
			w.say(birth)
			w.pass(cadence.BirthWithin + 2*cadence.Settled)
			s := w.only(r.o.Run.Ref())
			if n := len(w.all()); n != 1 || s.User != anasID || s.Status != session.Active || !s.OpenedAt.Equal(created) {
				t.Errorf("%d sessions; of %s, %s, opened %s", n, s.User, s.Status, s.OpenedAt)
			}
			if n := len(w.says.ids("orphan-found", "", "")); n != flagged {
				t.Errorf("flagged %d times after its birth, %d before", n, flagged)
			}
			if said := w.history(s.ID)[0].Event.Evidence; (said != "") != (flagged == 1) {
				t.Errorf("flagged %d times, and its history says %q", flagged, said)
			}
			w.say(w.fact(session.SignOut, anasID, "out-1"))
			w.pass(2 * time.Minute)
			w.must(s.ID, session.Ended, session.CauseSignOut)
		})
	}
}
