// Package evening plays one evening on the local system and judges it: people
// start work, sign out, are revoked, run out of time; events come late, twice,
// broken or never; engines throttle and fall over. Each verdict is computed
// from what the engine simulators saw, and compared with what the specification
// asks; our own records must agree but are not believed.
package evening

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/asl/clock"
	"nightshift/internal/engine/simrun"
	"nightshift/internal/local"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Promise is how long an engine may take to confirm a stop, from when
// Nightshift first knew the cause (S2.1).
const Promise = 15 * time.Minute

// Line is one thing that happened, for people who watch.
type Line struct {
	At   time.Time `json:"at"`
	Who  string    `json:"who"`
	What string    `json:"what"`
}

// Row is the verdict on one session.
type Row struct {
	Session  string `json:"session"`
	User     string `json:"user"`
	Engine   string `json:"engine"`
	Mode     string `json:"mode"`
	Happened string `json:"happened"`
	Cause    string `json:"cause"`
	// LatenessSeconds is from when the cause was known to when the engine saw
	// the run over; absent where nothing was to be stopped.
	LatenessSeconds *float64 `json:"latenessSeconds,omitempty"`
	// FromCauseSeconds is from when the cause happened, however late its news came.
	FromCauseSeconds *float64 `json:"fromCauseSeconds,omitempty"`
	// Sessions is how many sessions the row stands for.
	Sessions int    `json:"sessions"`
	OK       bool   `json:"ok"`
	Verdict  string `json:"verdict"`
}

// Result is the whole evening, judged.
type Result struct {
	Rows   []Row
	Checks []Row // what is not about one session: parked events, orphans
	// Proof is what the records prove when read as an auditor would: how many stops
	// there were, how many on time, the worst (S8.4).
	Proof string
}

// OK says whether every verdict holds.
func (r Result) OK() bool {
	for _, row := range append(append([]Row(nil), r.Rows...), r.Checks...) {
		if !row.OK {
			return false
		}
	}
	return len(r.Rows) > 0
}

var start = time.Date(2026, 11, 20, 17, 30, 0, 0, time.UTC)

// Play plays the evening on a clock that shows start and judges it. say is
// called with each line as it happens.
func Play(c *clock.Clock, say func(Line)) (Result, error) {
	s, err := local.New(local.Options{Clock: c, IndexLag: 2 * time.Second})
	if err != nil {
		return Result{}, err
	}
	defer s.Close()
	p := &play{s: s, sayLine: say, client: &http.Client{}}
	s.OnAnnounced(p.announced)
	if err := p.settings(); err != nil {
		return Result{}, err
	}
	s.Start()
	p.script()
	c.RunUntil(at("03:00"))
	if p.err != nil {
		return Result{}, p.err
	}
	return p.judge(), nil
}

// Start is when the evening begins.
func Start() time.Time { return start }

// at is a time of the evening: "18:30" is on the 20th, "02:00" on the 21st.
func at(hour string) time.Time {
	layout := "15:04:05"
	if strings.Count(hour, ":") == 1 {
		layout = "15:04"
	}
	t, err := time.Parse(layout, hour)
	if err != nil {
		panic(err) // the script's own constants
	}
	day := start.Truncate(24 * time.Hour)
	if t.Hour() < 12 {
		day = day.Add(24 * time.Hour)
	}
	return day.Add(time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second)
}

// play is one evening under way.
type play struct {
	s       *local.System
	client  *http.Client
	sayLine func(Line)

	mu       sync.Mutex
	subjects []*subject
	gita     int // how often gita's revoke was delivered
	err      error
}

// subject is one session to be judged.
type subject struct {
	user, engine, happened string
	mode                   session.Mode
	cause                  session.Cause // "": it must be alive, and never asked to stop, when the evening ends
	since                  time.Time     // when the cause happened: no stop request may come before
	known                  time.Time     // when Nightshift could first know it; zero: nothing is to be stopped
	group                  string        // subjects of a group share one line of the table

	id   string // of the session, where Nightshift starts the run
	name string // of the run, where somebody else does
}

func (p *play) say(who, format string, args ...any) {
	p.sayLine(Line{At: p.s.Clock.Now(), Who: who, What: fmt.Sprintf(format, args...)})
}

// fail keeps the first thing that went wrong in the script itself.
func (p *play) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && p.err == nil {
		p.err = err
	}
}

// when does something at a time of the evening.
func (p *play) when(t time.Time, do func()) {
	p.s.Clock.Go(func() {
		if p.s.Clock.Sleep(context.Background(), t.Sub(p.s.Clock.Now())) == nil {
			do()
		}
	})
}

// announced tells what Nightshift says on its bus, in short. Of the sessions of
// a group only the first is announced as opened.
func (p *play) announced(a local.Announced) {
	var d struct {
		Alert, Before string
		Session       struct {
			ID, User, Mode, DeadlineSource string
			End                            struct{ Cause string }
			Run                            struct{ Engine string }
		}
		Orphan struct{ Engine string }
	}
	p.fail(json.Unmarshal(a.Detail, &d))
	who := "(" + strings.TrimPrefix(d.Session.User, "u-") + ", " + d.Session.Run.Engine + ")"
	what := ""
	switch a.DetailType {
	case "Nightshift Session Opened":
		if !p.first(d.Session.ID) {
			return
		}
		what = "opens a session " + who + ": " + d.Session.Mode + ", deadline by " + d.Session.DeadlineSource
	case "Nightshift Session Ending":
		what = "asks the run to stop " + who + ": " + d.Session.End.Cause
	case "Nightshift Session Ended":
		what = "sees the run over " + who + ": " + d.Session.End.Cause
	case "Nightshift Notice":
		if d.Before == "" {
			return // why it ends; the next line says so too
		}
		what = "tells the user that " + d.Before + " are left " + who
	case "Nightshift Alert":
		what = "alerts an administrator " + who + ": " + d.Alert
	case "Nightshift Orphan Found":
		what = "finds a run that names no user, and leaves it alone"
	}
	p.sayLine(Line{At: a.At, Who: "nightshift", What: what})
}

// first says whether a session is alone in its group or the group's first.
func (p *play) first(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := map[string]bool{}
	for _, s := range p.subjects {
		if s.id == id {
			return s.group == "" || !seen[s.group]
		}
		seen[s.group] = true
	}
	return true
}

// settings are the policy and what the directory knows of the endpoints.
func (p *play) settings() error {
	policy := session.DefaultPolicy()
	policy.Version, policy.ChangedAt = 1, start
	policy.InstanceBackground = session.On
	policy.LivyIdle = 2 * time.Hour
	on := session.Facts{IdentityPropagation: session.On, ApplicationBackground: session.On, ClusterBackground: session.On, ReleaseLabel: "emr-7.12.0"}
	old, classic, plain, fresh := on, on, on, on
	old.ReleaseLabel = "emr-7.9.0"
	classic.ApplicationBackground = session.Off
	plain.IdentityPropagation = session.Off
	fresh.ApplicationBackground = session.Unknown
	for _, f := range []struct {
		endpoint, domain string
		facts            session.Facts
	}{
		{local.Livy, "", on}, {local.LivyOld, "", old}, {local.EMROnEKS, "", on}, {local.EMRNotebook, "", on}, {local.SageMaker, "", classic},
		{local.SageMaker, "d-research", on}, {local.SageMaker, "d-classic", classic}, {local.SageMaker, "d-plain", plain}, {local.SageMaker, "d-new", fresh},
	} {
		p.s.Directory.SetFacts(f.endpoint, f.domain, f.facts)
	}
	return p.s.Store.PutPolicy(context.Background(), policy)
}

// run starts a run through the run machine and adds its subject.
func (p *play) run(t time.Time, sub *subject, in map[string]any) *subject {
	p.mu.Lock()
	p.subjects = append(p.subjects, sub)
	p.mu.Unlock()
	in["user"] = "u-" + sub.user
	if in["interactiveSession"] == nil {
		in["interactiveSession"] = map[string]any{"id": "is-" + sub.user, "source": "portal"}
	}
	p.when(t, func() {
		input, err := json.Marshal(in)
		p.fail(err)
		name := fmt.Sprintf("%s-%d", sub.user, t.Unix())
		arn, err := p.s.Run(name, input)
		p.fail(err)
		p.mu.Lock()
		sub.id = app.SessionOfExecution(arn)
		p.mu.Unlock()
		if p.first(sub.id) {
			p.say(sub.user, "starts a run: %s", sub.engine)
		}
	})
	return sub
}

func livyRun(endpoint string) map[string]any {
	return map[string]any{"engine": "livy", "endpoint": endpoint, "kind": "livy-session", "application": "spark", "spec": map[string]any{"kind": "pyspark"}}
}

func training(domain, work string) map[string]any {
	return map[string]any{"engine": "sagemaker-training", "endpoint": local.SageMaker, "domain": domain, "spec": trainingSpec("", work)}
}

func trainingSpec(name, work string) map[string]any {
	spec := map[string]any{
		"AlgorithmSpecification": map[string]any{"TrainingImage": "123456789012.dkr.ecr.us-east-1.amazonaws.com/churn:1", "TrainingInputMode": "File"},
		"RoleArn":                "arn:aws:iam::123456789012:role/training",
		"OutputDataConfig":       map[string]any{"S3OutputPath": "s3://nightshift-demo/out"},
		"ResourceConfig":         map[string]any{"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50},
		"StoppingCondition":      map[string]any{"MaxRuntimeInSeconds": 24 * 3600},
	}
	if name != "" {
		spec["TrainingJobName"] = name
	}
	if work != "" {
		spec["HyperParameters"] = map[string]any{sagemakerWork: work}
	}
	return spec
}

func jobRun(work string) map[string]any {
	return map[string]any{"engine": "emr-containers", "endpoint": local.EMROnEKS, "spec": jobRunSpec(work)}
}

func jobRunSpec(work string) map[string]any {
	parameters := "--class com.example.Nightly"
	if work != "" {
		parameters += " --conf " + sparkWork + "=" + work
	}
	return map[string]any{
		"virtualClusterId": local.VirtualCluster, "name": "nightly", "releaseLabel": "emr-7.12.0-latest",
		"executionRoleArn": "arn:aws:iam::123456789012:role/job-role",
		"jobDriver":        map[string]any{"sparkSubmitJobDriver": map[string]any{"entryPoint": "s3://nightshift-demo/job.py", "sparkSubmitParameters": parameters}},
	}
}

// How a run's own parameters tell a simulator how long to work.
const (
	sparkWork     = "spark.nightshift.sim.work"
	sagemakerWork = "nightshift.sim.work"
)

// post sends a request to a simulated engine as its own user would.
func (p *play) post(url string, headers map[string]string, body any) []byte {
	b, err := json.Marshal(body)
	p.fail(err)
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(b))
	if err != nil {
		p.fail(err)
		return nil
	}
	req.Header.Set("Content-Type", "application/json")
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	return p.send(req)
}

func (p *play) get(url string) []byte {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		p.fail(err)
		return nil
	}
	return p.send(req)
}

func (p *play) send(req *http.Request) []byte {
	resp, err := p.client.Do(req)
	if err != nil {
		p.fail(err)
		return nil
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	b, err := io.ReadAll(resp.Body)
	p.fail(err)
	if resp.StatusCode >= 300 {
		p.fail(fmt.Errorf("%s %s: %s: %s", req.Method, req.URL.Path, resp.Status, b))
	}
	return b
}

// statement runs code in the Livy session of a subject.
func (p *play) statement(sub *subject, endpoint, code string) {
	var list struct {
		Sessions []struct {
			ID   int
			Name string
		}
	}
	p.fail(json.Unmarshal(p.get(p.s.URLs[endpoint]+"/sessions?from=0&size=1000"), &list))
	for _, found := range list.Sessions {
		if strings.Contains(found.Name, sub.id) {
			p.post(fmt.Sprintf("%s/sessions/%d/statements", p.s.URLs[endpoint], found.ID), map[string]string{"X-Requested-By": sub.user}, map[string]string{"code": code, "kind": "pyspark"})
			p.say(sub.user, "runs a statement in the Livy session: %s", code)
			return
		}
	}
	p.fail(fmt.Errorf("%s has no Livy session %s on %s", sub.user, sub.id, endpoint))
}

// judge compares what the engines saw with what had to happen.
func (p *play) judge() Result {
	records := p.records()
	var r Result
	groups := map[string]int{}
	for _, sub := range p.subjects {
		row := p.judgeOne(sub, records)
		if i, ok := groups[sub.group]; ok && sub.group != "" {
			r.Rows[i] = merge(r.Rows[i], row)
			continue
		}
		if sub.group != "" {
			groups[sub.group] = len(r.Rows)
		}
		r.Rows = append(r.Rows, row)
	}
	r.Checks = p.checks()
	var proven Row
	proven, r.Proof = p.checkProof()
	r.Checks = append(r.Checks, proven)
	return r
}

// merge shows the sessions of a group as one row: the worst of them.
func merge(a, b Row) Row {
	worst := a
	if a.OK && (!b.OK || b.LatenessSeconds != nil && a.LatenessSeconds != nil && *b.LatenessSeconds > *a.LatenessSeconds) {
		worst = b
	}
	worst.Sessions = a.Sessions + b.Sessions
	worst.Session = fmt.Sprintf("%d sessions", worst.Sessions)
	return worst
}

func (p *play) records() []simrun.Record {
	all := append(append(p.s.EMR.Runs(), p.s.SageMaker.Runs()...), p.s.Notebooks.Runs()...)
	for _, l := range p.s.Livy {
		all = append(all, l.Runs()...)
	}
	return all
}

func (p *play) judgeOne(sub *subject, records []simrun.Record) Row {
	row := Row{Session: sub.id, User: sub.user, Engine: sub.engine, Happened: sub.happened, Sessions: 1}
	var seen *simrun.Record
	for i, r := range records {
		if sub.id != "" && r.Session == sub.id || sub.name != "" && (r.Name == sub.name || r.ID == sub.name) {
			seen = &records[i]
		}
	}
	if seen == nil {
		row.Verdict = "FAIL: the engine never saw the run"
		return row
	}
	faults := engineVerdict(sub, *seen)
	if !sub.known.IsZero() && !seen.Ended.IsZero() {
		late, own := seen.Ended.Sub(sub.known).Seconds(), seen.Ended.Sub(sub.since).Seconds()
		row.LatenessSeconds, row.FromCauseSeconds = &late, &own
	}
	recorded, fault := p.recordVerdict(sub, *seen)
	row.Session, row.Mode, row.Cause = recorded.ID, string(recorded.Mode), string(recorded.End.Cause)
	if fault != "" {
		faults = append(faults, fault)
	}
	row.OK = len(faults) == 0
	row.Verdict = "ok"
	if !row.OK {
		row.Verdict = "FAIL: " + strings.Join(faults, "; ")
	}
	return row
}

// engineVerdict says what the engine saw that should not have been.
func engineVerdict(sub *subject, seen simrun.Record) []string {
	var faults []string
	switch {
	case sub.known.IsZero() && len(seen.Stops) > 0:
		faults = append(faults, "it was asked to stop and should not have been")
	case sub.cause == "" && !seen.Ended.IsZero():
		faults = append(faults, "it ended ("+string(seen.By)+") and should have gone on")
	case sub.cause == session.CauseFinished && seen.By != simrun.Itself:
		faults = append(faults, "it should have finished by itself")
	}
	if sub.known.IsZero() {
		return faults
	}
	switch {
	case seen.Ended.IsZero():
		faults = append(faults, "it still runs")
	case seen.By != simrun.StopRequest:
		faults = append(faults, "it was ended by "+string(seen.By)+", not by our stop request")
	case seen.Stops[0].Before(sub.since):
		faults = append(faults, "it was asked to stop before the cause")
	case seen.Ended.Sub(sub.known) > Promise:
		faults = append(faults, "it ended later than the promise of "+Promise.String())
	}
	return faults
}

// recordVerdict says where our record disagrees.
func (p *play) recordVerdict(sub *subject, seen simrun.Record) (session.Session, string) {
	ctx := context.Background()
	id := sub.id
	if id == "" {
		for _, ref := range p.refs(seen) {
			if owner, err := p.s.Store.Claimed(ctx, ref); err == nil {
				id = owner
			}
		}
	}
	s, err := p.s.Store.Session(ctx, id)
	switch {
	case err != nil:
		return s, "no session is recorded"
	case s.Mode != sub.mode:
		return s, "mode " + string(s.Mode) + " is recorded, should be " + string(sub.mode)
	case s.End.Cause != sub.cause:
		return s, "cause " + string(s.End.Cause) + " is recorded, should be " + string(sub.cause)
	case sub.cause != "" && s.Status != session.Ended:
		return s, "status " + string(s.Status) + " is recorded, should be ENDED"
	}
	return s, ""
}

// refs are the names a run found by the engine's id may be claimed under.
func (p *play) refs(seen simrun.Record) []workload.Ref {
	return []workload.Ref{
		{Endpoint: local.SageMaker, ID: "training-job/" + seen.Name},
		{Endpoint: local.EMROnEKS, ID: local.VirtualCluster + "/" + seen.ID},
		{Endpoint: local.EMROnEKS, ID: seen.ID},
	}
}
