package evening

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"nightshift/events"
	"nightshift/internal/app"
	"nightshift/internal/engine/simrun"
	"nightshift/internal/local"
	"nightshift/internal/proof"
	"nightshift/internal/session"
)

// arrives is how long an event needs from the bus to the function.
const arrives = time.Second

// recorded gives a sample of events/ with some of its fields replaced: the
// field names are paths below the envelope, with dots.
func (p *play) recorded(kind, file string, set map[string]any) []byte {
	for _, s := range events.Samples(kind) {
		if s.Name != file {
			continue
		}
		var e map[string]any
		p.fail(json.Unmarshal(s.Body, &e))
		for path, value := range set {
			p.fail(put(e, path, value))
		}
		b, err := json.Marshal(e)
		p.fail(err)
		return b
	}
	p.fail(fmt.Errorf("there is no sample %s/%s", kind, file))
	return nil
}

func put(e map[string]any, path string, value any) error {
	for {
		name, rest, nested := cut(path)
		if !nested {
			e[name] = value
			return nil
		}
		inner, ok := e[name].(map[string]any)
		if !ok {
			return fmt.Errorf("the sample has no object %s", name)
		}
		e, path = inner, rest
	}
}

func cut(path string) (name, rest string, nested bool) {
	if i := bytes.IndexByte([]byte(path), '.'); i >= 0 {
		return path[:i], path[i+1:], true
	}
	return path, "", false
}

// logout is the recorded sign-out event of a user; portal "" leaves the portal
// session out.
func (p *play) logout(user, portal string, happened time.Time) []byte {
	set := map[string]any{
		"id": "put-" + user, "time": happened.Format(time.RFC3339),
		"detail.userIdentity.onBehalfOf.userId": "u-" + user,
		"detail.eventTime":                      happened.Format(time.RFC3339),
		"detail.eventID":                        fmt.Sprintf("logout-%s-%d", user, happened.Unix()),
	}
	file := "no-credential-id"
	if portal != "" {
		file = "ana-signs-out"
		set["detail.userIdentity.credentialId"] = portal
	}
	return p.recorded("cloudtrail-logout", file, set)
}

// signsOut is a sign-out whose event arrives at once.
func (p *play) signsOut(t time.Time, user string) {
	p.when(t, func() {
		p.say(user, "signs out")
		p.fail(p.s.Put(p.logout(user, "is-"+user, t)))
	})
}

// revoke is an administrator's revoke of a user's background sessions.
func (p *play) revoke(user string, happened time.Time) []byte {
	return p.recorded("nightshift-revoked", "background-all", map[string]any{
		"id": fmt.Sprintf("revoke-%s-%d", user, happened.Unix()), "time": happened.Format(time.RFC3339),
		"detail.user": "u-" + user, "detail.at": happened.Format(time.RFC3339Nano), "detail.by": "u-admin",
	})
}

// script sets the evening into motion.
func (p *play) script() {
	p.signOuts()
	p.clocks()
	p.revokes()
	p.lateAndLost()
	p.outages()
	p.behindOurBack()
	p.otherEngines()
}

// signOuts: the same act, by mode.
func (p *play) signOuts() {
	ana := p.run(at("17:40"), &subject{user: "ana", engine: "livy", mode: session.Background,
		happened: "signed out; a 12 h statement is still running"}, livyRun(local.Livy))
	p.when(at("17:50"), func() { p.statement(ana, local.Livy, "sleep 12h") })
	p.signsOut(at("18:30"), "ana")

	p.run(at("17:42"), &subject{user: "ben", engine: "emr-containers", mode: session.Background, cause: session.CauseFinished,
		happened: "signed out; the run finished by itself"}, jobRun("3h"))
	p.signsOut(at("18:32"), "ben")

	p.run(at("17:44"), &subject{user: "chloe", engine: "sagemaker-training", mode: session.Interactive, cause: session.CauseSignOut,
		happened: "signed out", since: at("18:43"), known: at("18:43").Add(arrives)}, training("d-classic", ""))
	p.signsOut(at("18:43"), "chloe")

	p.run(at("17:45"), &subject{user: "dev", engine: "sagemaker-training", mode: session.Role,
		happened: "signed out; the run uses its role"}, training("d-plain", ""))
	p.signsOut(at("18:41"), "dev")

	p.run(at("17:46"), &subject{user: "eve", engine: "sagemaker-training", mode: session.ModeUnknown,
		happened: "signed out; a switch cannot be read"}, training("d-new", ""))
	p.signsOut(at("18:42"), "eve")
}

// clocks: a deadline and an idle limit.
func (p *play) clocks() {
	hugo := training("d-classic", "")
	hugo["interactiveSession"] = map[string]any{"id": "is-hugo", "source": "portal", "expiresAt": at("22:00").Format(time.RFC3339)}
	p.run(at("17:47"), &subject{user: "hugo", engine: "sagemaker-training", mode: session.Interactive, cause: session.CauseInteractiveExpired,
		happened: "the interactive session expired at 22:00", since: at("22:00"), known: at("22:00")}, hugo)

	finn := p.run(at("17:48"), &subject{user: "finn", engine: "livy", mode: session.Background, cause: session.CauseIdle,
		happened: "idle for 2 h after a 10 min statement", since: at("20:05"), known: at("20:05")}, livyRun(local.Livy))
	p.when(at("17:55"), func() { p.statement(finn, local.Livy, "sleep 10m") })
}

// revokes: by an administrator, three times the same event, and in the middle of
// a start.
func (p *play) revokes() {
	p.run(at("17:49"), &subject{user: "gita", engine: "emr-containers", mode: session.Background, cause: session.CauseBackgroundRevoked,
		happened: "revoked; the event came three times", since: at("20:15"), known: at("20:15").Add(arrives)}, jobRun(""))
	p.when(at("20:15"), func() {
		p.say("admin", "revokes gita's background sessions; the event is delivered three times")
		for range 3 {
			p.fail(p.s.Put(p.revoke("gita", at("20:15"))))
			p.gita++
		}
	})

	// The engine starts ivy's run and its answer is lost, twice: the revoke comes
	// while nobody here knows that the run exists.
	ivy := at("19:10")
	p.when(ivy.Add(-time.Second), func() { p.s.EMR.LoseResponse("StartJobRun", 2) })
	p.run(ivy, &subject{user: "ivy", engine: "emr-containers", mode: session.Background, cause: session.CauseBackgroundRevoked,
		happened: "revoked while the run was being started", since: ivy, known: ivy.Add(10*time.Millisecond + arrives)}, jobRun(""))
	p.when(ivy.Add(10*time.Millisecond), func() {
		p.say("admin", "revokes ivy's background sessions during the start")
		p.fail(p.s.Put(p.revoke("ivy", p.s.Clock.Now())))
	})

	pia := p.run(at("18:00"), &subject{user: "pia", engine: "emr-containers", mode: session.Background, cause: session.CauseWaiterAborted,
		happened: "the execution that waited was aborted", since: at("20:40"), known: at("20:40").Add(arrives)}, jobRun(""))
	p.when(at("20:40"), func() {
		p.say("pia", "aborts the execution that waits for the run")
		p.fail(p.s.Abort(p.s.ExecutionOf(pia.id)))
	})
}

// lateAndLost: an event that comes after its user's new work, one that comes 40
// minutes late, one that never comes, and one that is broken.
func (p *play) lateAndLost() {
	p.run(at("17:50"), &subject{user: "jun", engine: "sagemaker-training", mode: session.Interactive, cause: session.CauseSignOut,
		happened: "signed out at 18:00; the event came at 18:20", since: at("18:00"), known: at("18:20").Add(arrives)}, training("d-classic", ""))
	p.when(at("18:00"), func() { p.say("jun", "signs out; the event is on its way") })
	p.run(at("18:10"), &subject{user: "jun", engine: "sagemaker-training", mode: session.Interactive, cause: session.CauseFinished,
		happened: "started after signing in again, before that event"}, training("d-classic", "2h"))
	p.when(at("18:20"), func() { p.fail(p.s.Put(p.logout("jun", "", at("18:00")))) })

	p.run(at("17:51"), &subject{user: "olga", engine: "sagemaker-training", mode: session.Interactive, cause: session.CauseSignOut,
		happened: "signed out at 20:30; the event came at 21:10", since: at("20:30"), known: at("21:10").Add(arrives)}, training("d-classic", ""))
	p.when(at("21:10"), func() {
		p.say("olga", "signed out 40 minutes ago; the event arrives")
		p.fail(p.s.Put(p.logout("olga", "is-olga", at("20:30"))))
	})

	p.run(at("17:52"), &subject{user: "kim", engine: "sagemaker-training", mode: session.Interactive, cause: session.CauseSignOut,
		happened: "signed out; the event was lost, the replay found it", since: at("19:01"), known: at("19:05")}, training("d-classic", ""))
	p.when(at("19:01"), func() {
		p.say("kim", "signs out; the event is lost on the way")
		p.s.Lose(p.logout("kim", "is-kim", at("19:01")))
	})

	tess := training("d-classic", "")
	tess["interactiveSession"] = map[string]any{"id": "idp-tess", "source": local.PortalSource}
	p.s.Portal.SignIn("idp-tess", "u-tess")
	p.run(at("17:54"), &subject{user: "tess", engine: "sagemaker-training", mode: session.Interactive, cause: session.CauseSignOut,
		happened: "signed out of her portal, which tells nobody; its list of sessions did", since: at("19:33:20"), known: at("19:34")}, tess)
	p.when(at("19:33:20"), func() {
		p.say("tess", "signs out of a portal that sends no event")
		p.s.Portal.SignOut("idp-tess")
	})

	p.when(at("18:42:59"), func() {
		p.say("nobody", "a malformed sign-out arrives just before chloe's")
		p.fail(p.s.Put(p.recorded("cloudtrail-logout", "ana-signs-out", map[string]any{
			"detail.eventID": "malformed-1", "detail.eventTime": "yesterday", "detail.userIdentity.onBehalfOf.userId": "u-chloe"})))
	})
}

// otherEngines: a processing job that outlives its user's sign-out and finishes,
// a pipeline execution whose child jobs end with it, and a notebook execution of
// a user who is disabled.
func (p *play) otherEngines() {
	p.run(at("18:05"), &subject{user: "quinn", engine: "sagemaker-processing", mode: session.Background, cause: session.CauseFinished,
		happened: "signed out; the job finished by itself"}, map[string]any{
		"engine": "sagemaker-processing", "endpoint": local.SageMaker, "domain": "d-research", "spec": map[string]any{
			"RoleArn": "arn:aws:iam::123456789012:role/processing", "AppSpecification": map[string]any{"ImageUri": "features:1"}, "Environment": map[string]any{"NIGHTSHIFT_SIM_WORK": "2h"},
			"ProcessingResources": map[string]any{"ClusterConfig": map[string]any{"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 10}}}})
	p.signsOut(at("18:45"), "quinn")

	p.run(at("18:06"), &subject{user: "rosa", engine: "sagemaker-pipeline", mode: session.Interactive, cause: session.CauseSignOut,
		happened: "signed out during its training step", since: at("19:16"), known: at("19:16").Add(arrives)},
		map[string]any{"engine": "sagemaker-pipeline", "endpoint": local.SageMaker, "domain": "d-classic", "spec": map[string]any{"PipelineName": local.Pipeline.Name}})
	p.signsOut(at("19:16"), "rosa")

	p.run(at("18:07"), &subject{user: "sam", engine: "emr-notebook", mode: session.Background, cause: session.CauseUserDisabled,
		happened: "the user was disabled", since: at("20:21"), known: at("20:21").Add(arrives)},
		map[string]any{"engine": "emr-notebook", "endpoint": local.EMRNotebook, "spec": map[string]any{
			"ExecutionEngine": map[string]any{"Id": local.NotebookCluster, "Type": "EMR"}, "ServiceRole": "EMR_Notebooks_DefaultRole", "EditorId": "e-CHURN", "RelativePath": "churn.ipynb"}})
	p.when(at("20:21"), func() {
		p.say("admin", "disables sam")
		p.s.Directory.SetStatus("u-sam", app.UserDisabled)
		p.fail(p.s.Put(p.recorded("cloudtrail-disable-user", "ben-is-disabled", map[string]any{
			"detail.requestParameters.userId": "u-sam", "detail.eventTime": at("20:21").Format(time.RFC3339), "detail.eventID": "disable-sam"})))
	})
}

// outages: a server that is down when it matters, and an API that throttles a
// mass revoke.
func (p *play) outages() {
	p.run(at("17:53"), &subject{user: "noor", engine: "livy", mode: session.Interactive, cause: session.CauseSignOut,
		happened: "signed out; the Livy server was down 19:39–19:48", since: at("19:40"), known: at("19:40").Add(arrives)}, livyRun(local.LivyOld))
	p.when(at("19:39"), func() { p.say("livy", "the server of %s is down for 9 minutes", local.LivyOld) })
	p.s.Livy[local.LivyOld].Down(at("19:39"), at("19:48"))
	p.signsOut(at("19:40"), "noor")

	const runs = 28
	p.when(at("18:10"), func() { p.say("mia", "starts %d runs, 3 s apart", runs) })
	for i := range runs {
		p.run(at("18:10").Add(time.Duration(i)*3*time.Second), &subject{user: "mia", group: "mia", engine: "emr-containers", mode: session.Background,
			cause: session.CauseBackgroundRevoked, happened: fmt.Sprintf("%d runs revoked at once; every call throttled for 2 min, then 1 stop/s", runs),
			since: at("21:00"), known: at("21:00").Add(arrives)}, jobRun(""))
	}
	p.s.EMR.Throttle(at("21:00"), at("21:02"))
	p.when(at("21:00"), func() {
		p.say("admin", "revokes mia's %d runs; EMR on EKS throttles every call for 2 minutes", runs)
		p.fail(p.s.Put(p.revoke("mia", at("21:00"))))
	})
}

// behindOurBack: work that Nightshift did not start.
func (p *play) behindOurBack() {
	lea := &subject{user: "lea", engine: "sagemaker-training", mode: session.Interactive, cause: session.CauseSignOut, name: "lea-churn-2026-11-20",
		happened: "started behind our back, adopted; then signed out", since: at("19:30"), known: at("19:30").Add(arrives)}
	p.subjects = append(p.subjects, lea)
	p.when(at("18:15"), func() {
		p.say("lea", "starts a training job with the AWS CLI")
		spec := trainingSpec(lea.name, "")
		spec["Tags"] = []map[string]string{{"Key": "nightshift:user", "Value": "u-lea"}}
		p.post(p.s.URLs[local.SageMaker]+"/", map[string]string{"X-Amz-Target": "SageMaker.CreateTrainingJob", "Content-Type": "application/x-amz-json-1.1"}, spec)
	})
	p.signsOut(at("19:30"), "lea")

	p.when(at("18:16"), func() {
		p.say("nobody", "starts a job run that names no user")
		spec := jobRunSpec("")
		spec["name"] = orphanName
		spec["clientToken"] = "orphan-token-1"
		p.post(p.s.URLs[local.EMROnEKS]+"/virtualclusters/"+local.VirtualCluster+"/jobruns", nil, spec)
	})
}

const orphanName = "orphan"

// checks judges what is not about one session: that the evening happened as
// told, that the orphan is flagged once and never touched, that the malformed
// event is parked before the next one is handled, and that the alerts came.
func (p *play) checks() []Row {
	return []Row{p.checkOrphan(), p.checkParked(), p.checkAlerts(), p.checkTroubles()}
}

// check makes a row of a finding; "" is none.
func check(user, happened, cause, finding string) Row {
	r := Row{Session: "–", User: user, Engine: "–", Mode: "–", Happened: happened, Cause: cause, OK: finding == "", Verdict: "ok"}
	if finding != "" {
		r.Verdict = "FAIL: " + finding
	}
	return r
}

// checkProof: the records, exported and verified as by somebody who has nothing
// but the file, hold, and know of as many stops as the evening has.
func (p *play) checkProof() (Row, string) {
	had := 0
	for _, sub := range p.subjects {
		if !sub.known.IsZero() {
			had++
		}
	}
	var file bytes.Buffer
	err := app.ExportProof(context.Background(), p.s.Store, &file, time.Time{}, time.Time{}, p.s.Clock.Now())
	p.fail(err)
	r, err := proof.Verify(&file, proof.Options{})
	p.fail(err)
	finding, done := "", len(r.Stops)-r.Open
	switch {
	case !r.Holds():
		finding = r.Faults[0].String()
	case r.OnTime != done || r.Overdue > 0:
		finding = fmt.Sprintf("of %d stops only %d were on time, %d are overdue", len(r.Stops), r.OnTime, r.Overdue)
	case done != had:
		finding = fmt.Sprintf("the records know of %d stops; the evening has %d", done, had)
	}
	return check("an auditor", "the records are exported and verified", "–", finding), r.Summary()
}

func (p *play) checkOrphan() Row {
	finding, found := "", false
	for _, r := range p.s.EMR.Runs() {
		if r.Name == orphanName {
			found = true
			if !r.Ended.IsZero() || len(r.Stops) > 0 {
				finding = "it was touched"
			}
		}
	}
	flagged := 0
	for _, a := range p.s.Announced() {
		if a.DetailType == "Nightshift Orphan Found" {
			flagged++
		}
	}
	if finding == "" && (!found || flagged != 1) {
		finding = fmt.Sprintf("it was flagged %d times, should be once", flagged)
	}
	return check("nobody", "a run that names no user was started", "goes on", finding)
}

// checkParked: one poison event, parked before the good one behind it was known.
func (p *play) checkParked() Row {
	const happened = "a malformed sign-out came just before chloe's"
	list, _, err := p.s.Store.ParkedEvents(context.Background(), "")
	if err != nil || len(list) != 1 {
		return check("nobody", happened, "", fmt.Sprintf("%d events are parked, should be one", len(list)))
	}
	finding := ""
	for _, sub := range p.subjects {
		s, err := p.s.Store.Session(context.Background(), sub.id)
		if sub.user == "chloe" && (err != nil || !list[0].At.Before(s.End.Known) || s.End.Known.Sub(list[0].At) > time.Minute) {
			finding = fmt.Sprintf("it was parked at %s and chloe's sign-out known at %s", list[0].At.Format(time.TimeOnly), s.End.Known.Format(time.TimeOnly))
		}
	}
	row := check("nobody", happened, "parked", finding)
	if row.OK {
		row.Verdict = "ok: " + list[0].Reason
	}
	return row
}

// checkAlerts: the session of unknown mode alerts when it opens and when its
// user signs out; a stop that takes over five minutes pages.
func (p *play) checkAlerts() Row {
	got := map[string]int{}
	for _, a := range p.s.Announced() {
		var d struct {
			Alert   string
			Session struct{ User string }
		}
		p.fail(json.Unmarshal(a.Detail, &d))
		if d.Alert != "" {
			got[d.Session.User+" "+d.Alert]++
		}
	}
	want := map[string]int{"u-eve mode-unknown": 2, "u-noor stop-unconfirmed": 1, "u-mia mass-stop": got["u-mia mass-stop"]}
	finding := ""
	if !maps.Equal(got, want) || got["u-mia mass-stop"] == 0 {
		finding = fmt.Sprintf("alerts were %v, should be %v", got, want)
	}
	return check("admin", "eve's mode is unknown; noor's stop took over 5 min; mia's stops need an ETA", "alerts", finding)
}

// checkTroubles: the engines themselves counted the trouble that the rows speak
// of, and gita's event came three times and was recorded once.
func (p *play) checkTroubles() Row {
	var missing []string
	for what, n := range map[string]int{
		"outage of noor's Livy server": p.s.Livy[local.LivyOld].Refused(simrun.Outage),
		"throttling of EMR on EKS":     p.s.EMR.Refused(simrun.Throttled),
		"lost answers to StartJobRun":  p.s.EMR.Refused(simrun.Lost),
	} {
		if n == 0 {
			missing = append(missing, what)
		}
	}
	if p.gita != 3 {
		missing = append(missing, "three deliveries of gita's revoke")
	}
	for _, sub := range p.subjects {
		if sub.user != "gita" {
			continue
		}
		_, entries, err := p.s.App.SessionStory(context.Background(), sub.id)
		revokes := 0
		for _, e := range entries {
			if e.Event.Kind == session.RevokeBackground {
				revokes++
			}
		}
		if err != nil || revokes != 1 {
			missing = append(missing, fmt.Sprintf("one recorded revoke of gita (%d)", revokes))
		}
	}
	for _, r := range p.s.SageMaker.Runs() {
		if strings.HasPrefix(r.Name, "pipelines-") && r.Ended.IsZero() {
			missing = append(missing, "the end of rosa's child job "+r.Name)
		}
	}
	slices.Sort(missing)
	finding := ""
	if len(missing) > 0 {
		finding = "missing: " + strings.Join(missing, "; ")
	}
	return check("engines", "an outage, throttling, lost answers, a tripled event", "they happened", finding)
}
