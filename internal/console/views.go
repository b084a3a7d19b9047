package console

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/outbound"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// The views are the schemas of openapi.json; a test holds the one against the
// other.

type meView struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	User     string `json:"user"`
	Local    bool   `json:"local"`
	MayActAs bool   `json:"mayActAs"`
}

type lineView struct {
	ID             string   `json:"id"`
	Version        int64    `json:"version"`
	User           string   `json:"user"`
	Engine         string   `json:"engine"`
	Endpoint       string   `json:"endpoint"`
	Run            string   `json:"run"`
	Kind           string   `json:"kind,omitempty"`
	Mode           string   `json:"mode"`
	Status         string   `json:"status"`
	Origin         string   `json:"origin"`
	OpenedAt       string   `json:"openedAt,omitempty"`
	Deadline       string   `json:"deadline,omitempty"`
	DeadlineSource string   `json:"deadlineSource"`
	IdleDue        string   `json:"idleDue,omitempty"`
	RunningSince   string   `json:"runningSince,omitempty"`
	Survives       string   `json:"survivesSignOut,omitempty"`
	Why            []string `json:"why"`
	Cause          string   `json:"cause,omitempty"`
	CauseText      string   `json:"causeText,omitempty"`
	EndedBy        string   `json:"endedBy,omitempty"`
	Known          string   `json:"known,omitempty"`
	Asked          string   `json:"asked,omitempty"`
	Confirmed      string   `json:"confirmed,omitempty"`
	Lateness       *float64 `json:"latenessSeconds,omitempty"`
	// Cost is a session's of now.
	Cost lineCostView `json:"cost"`
}

type sessionsView struct {
	Sessions []lineView `json:"sessions"`
	Next     string     `json:"next"`
}

type whereView struct {
	Text    string `json:"text"`
	Console string `json:"console"`
	Search  string `json:"search,omitempty"`
}

type groundView struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type limitView struct {
	Source  string `json:"source"`
	At      string `json:"at,omitempty"`
	Decides bool   `json:"decides"`
	Text    string `json:"text"`
}

type extensionView struct {
	Possible bool   `json:"possible"`
	Until    string `json:"until,omitempty"`
	Reason   string `json:"reason"`
	Remedy   string `json:"remedy,omitempty"`
}

type tellingView struct {
	Version      int64              `json:"version"`
	At           string             `json:"at"`
	Happened     string             `json:"happened"`
	By           string             `json:"by,omitempty"`
	Evidence     string             `json:"evidence,omitempty"`
	Decided      string             `json:"decided"`
	Rule         string             `json:"rule"`
	Consequences []string           `json:"consequences"`
	Entry        outbound.EntryView `json:"entry"`
}

type storyView struct {
	Line          lineView             `json:"line"`
	Session       outbound.SessionView `json:"session"`
	Survives      string               `json:"survivesSignOut"`
	OnSignOut     string               `json:"onSignOut"`
	Grounds       []groundView         `json:"grounds"`
	Limits        []limitView          `json:"limits"`
	Extension     extensionView        `json:"extension"`
	WhereDuration whereView            `json:"whereDuration"`
	AWSSession    *whereView           `json:"awsSession,omitempty"`
	Links         []linkView           `json:"links"`
	Saved         outbound.AmountView  `json:"savedAtMost"`
	Prices        []outbound.PriceView `json:"prices"`
	History       []tellingView        `json:"history"`
	Chain         string               `json:"chain"`
	Next          string               `json:"next,omitempty"`
}

type restartedView struct {
	ID         string   `json:"id"`
	Line       lineView `json:"line"`
	Next       string   `json:"next"`
	Attempt    string   `json:"attempt,omitempty"`
	Checkpoint string   `json:"checkpoint,omitempty"`
	Text       string   `json:"text"`
	// The rest is a preview's: what would be opened, and the input of run.
	Mode     string          `json:"mode,omitempty"`
	Deadline string          `json:"deadline,omitempty"`
	Why      []string        `json:"why,omitempty"`
	Saved    string          `json:"saved,omitempty"`
	Input    json.RawMessage `json:"input,omitempty"`
}

type afterView struct {
	Mode           string `json:"mode"`
	Status         string `json:"status"`
	Deadline       string `json:"deadline,omitempty"`
	DeadlineSource string `json:"deadlineSource"`
}

type fateView struct {
	ID         string     `json:"id"`
	User       string     `json:"user"`
	Engine     string     `json:"engine"`
	Endpoint   string     `json:"endpoint"`
	Run        string     `json:"run"`
	Mode       string     `json:"mode"`
	Status     string     `json:"status"`
	Deadline   string     `json:"deadline,omitempty"`
	Outcome    string     `json:"outcome"`
	Cause      string     `json:"cause,omitempty"`
	Why        string     `json:"why"`
	After      afterView  `json:"after"`
	AWSSession *whereView `json:"awsSession,omitempty"`
}

type loadView struct {
	Endpoint   string `json:"endpoint"`
	Ends       int    `json:"ends"`
	Ahead      int    `json:"ahead"`
	ETASeconds int64  `json:"etaSeconds"`
}

// forecastView is what a preview, a revocation and a what-if have in common.
type forecastView struct {
	Counts     map[app.Fated]int `json:"counts"`
	Saves      outbound.SumView  `json:"savesAtMost"`
	ETASeconds int64             `json:"etaSeconds"`
	Endpoints  []loadView        `json:"endpoints"`
	Sessions   []fateView        `json:"sessions"`
	LeftOut    int               `json:"leftOut"`
	Text       string            `json:"text"`
}

type progressView struct {
	Total      int   `json:"total"`
	Waiting    int   `json:"waiting"`
	Asked      int   `json:"asked"`
	Ended      int   `json:"ended"`
	Done       bool  `json:"done"`
	ETASeconds int64 `json:"etaSeconds"`
}

type revocationView struct {
	ID       string        `json:"id"`
	Preview  bool          `json:"preview"`
	By       string        `json:"by"`
	At       string        `json:"at"`
	Why      string        `json:"why,omitempty"`
	Target   targetIO      `json:"target"`
	Plan     string        `json:"plan"`
	Progress *progressView `json:"progress,omitempty"`
	forecastView
}

type whatIfView struct {
	At string `json:"at"`
	forecastView
}

type actedView struct {
	ID         string     `json:"id"`
	Line       lineView   `json:"line"`
	Text       string     `json:"text"`
	AWSSession *whereView `json:"awsSession,omitempty"`
}

type policyVersionView struct {
	Version int64  `json:"version"`
	At      string `json:"at"`
	By      string `json:"by"`
	Why     string `json:"why,omitempty"`
	Changed string `json:"changed"`
}

type causeView struct {
	Cause       string `json:"cause"`
	Interactive string `json:"interactive"`
	Background  string `json:"background"`
	Role        string `json:"role"`
}

type policyView struct {
	Policy        outbound.PolicyView `json:"policy"`
	Least         string              `json:"least"`
	Most          string              `json:"most"`
	WhereDuration whereView           `json:"whereDuration"`
	Changes       []policyVersionView `json:"changes"`
	Causes        []causeView         `json:"causes"`
}

type lockView struct {
	Until string `json:"until"`
	By    string `json:"by"`
	Why   string `json:"why"`
}

type userFactView struct {
	ID       string `json:"id,omitempty"`
	Kind     string `json:"kind"`
	At       string `json:"at"`
	By       string `json:"by,omitempty"`
	Evidence string `json:"evidence,omitempty"`
	Text     string `json:"text"`
}

type userView struct {
	User  string         `json:"user"`
	Lock  *lockView      `json:"lock,omitempty"`
	Facts []userFactView `json:"facts"`
	Live  int            `json:"live"`
}

type noticeView struct {
	ID      string `json:"id"`
	At      string `json:"at"`
	Kind    string `json:"kind"`
	Reason  string `json:"reason"`
	Text    string `json:"text"`
	Before  string `json:"before,omitempty"`
	Session string `json:"session"`
	User    string `json:"user"`
	Engine  string `json:"engine"`
}

type noticesView struct {
	Notices []noticeView `json:"notices"`
	Next    string       `json:"next"`
}

type endpointView struct {
	ID             string  `json:"id"`
	Engine         string  `json:"engine"`
	Live           int     `json:"live"`
	Ending         int     `json:"ending"`
	Waiting        int     `json:"waiting"`
	OldestCause    string  `json:"oldestCause,omitempty"`
	ETASeconds     int64   `json:"etaSeconds"`
	Capacity       int     `json:"capacity"`
	StopsPerSecond float64 `json:"stopsPerSecond"`
	Watched        bool    `json:"watched"`
	Draining       bool    `json:"draining"`
	LastListed     string  `json:"lastListed,omitempty"`
}

type endpointsView struct {
	Endpoints []endpointView `json:"endpoints"`
}

// fatesShown bounds the sessions of one answer; leftOut counts the others.
const fatesShown = 500

// seconds rounds up: an end that is promised must not come later.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

func (c *call) story(s app.Story) storyView {
	cost := outbound.Cost(c.app.Cost(s.Session))
	v := storyView{
		Line: c.line(s.Session), Session: outbound.Session(s.Session), Survives: survives(c.app.Survives(s.Session)), OnSignOut: onSignOut(s),
		Grounds: []groundView{}, Limits: []limitView{}, WhereDuration: c.whereDuration(), AWSSession: c.awsSession(s.Session),
		Extension: extensionView{Possible: s.Extension.Possible, Until: written(s.Extension.Until), Reason: s.Extension.Reason},
		Links:     c.links(s.Session.Run), Saved: cost.Saved, Prices: cost.Prices, History: []tellingView{}, Chain: "intact", Next: s.Next,
	}
	if !s.Extension.Possible {
		v.Extension.Remedy = app.Restart
	}
	if s.Chain != nil {
		v.Chain = s.Chain.Error()
	}
	for _, g := range s.Session.Grounds() {
		v.Grounds = append(v.Grounds, groundView{g.Name, g.Value.String()})
	}
	for _, l := range s.Session.Limits() {
		v.Limits = append(v.Limits, limitView{string(l.Source), written(l.At), l.Source == s.Session.DeadlineSource, session.LimitText(l.Source, s.Session.Run)})
	}
	for i, e := range s.Entries {
		t := tellingView{Version: e.Version, At: written(e.At), Happened: s.Told[i].Happened, By: e.Event.By, Evidence: e.Event.Evidence,
			Decided: s.Told[i].Decided, Rule: s.Told[i].Rule, Consequences: []string{}, Entry: outbound.Entry(e)}
		if t.Evidence == "" {
			t.Evidence = e.Event.ID
		}
		for _, f := range e.Effects {
			t.Consequences = append(t.Consequences, consequence(f))
		}
		v.History = append(v.History, t)
	}
	return v
}

// consequence is an effect in words.
func consequence(e session.Effect) string {
	switch e.Kind {
	case session.Stop:
		return "the run is asked to stop"
	case session.Notify, session.Notice:
		return "the user is told: " + e.Text
	case session.Alert:
		return "an administrator is told: " + e.Text
	case session.Page:
		return "a person is paged: " + e.Text
	case session.ReleaseWaiter:
		return "the execution that waits is released"
	case session.Watch:
		return "the endpoint is watched"
	case session.Announce:
		return "said on the bus: " + e.Reason
	}
	return string(e.Kind)
}

func onSignOut(s app.Story) string {
	if s.Session.Status != session.Active {
		return "Nothing: the session is " + string(s.Session.Status) + "."
	}
	if next := s.SignOut.Next; next.Status != session.Active {
		return "It would end, because " + session.Because(next.End.Cause) + "."
	}
	for _, e := range s.SignOut.Effects {
		if e.Kind == session.Alert {
			return e.Text
		}
	}
	return "It would go on: " + s.SignOut.Ignored + "."
}

func (c *call) forecast(f app.Forecast) forecastView {
	v := forecastView{Counts: f.Counts, Saves: c.savesView(f), ETASeconds: seconds(f.ETA()), Endpoints: []loadView{}, Sessions: []fateView{}, Text: forecastText(f)}
	for _, l := range f.Loads {
		v.Endpoints = append(v.Endpoints, loadView{l.Endpoint, l.Ends, l.Ahead, seconds(l.ETA)})
	}
	v.LeftOut = max(0, len(f.Fates)-fatesShown)
	for _, x := range f.Fates[:len(f.Fates)-v.LeftOut] {
		b, a := x.Before, x.After
		view := fateView{
			ID: b.ID, User: b.User, Engine: string(b.Run.Engine), Endpoint: b.Run.Endpoint, Run: b.Run.ID, Mode: string(b.Mode), Status: string(b.Status),
			Deadline: written(b.Deadline), Outcome: string(x.Outcome), Cause: string(a.End.Cause), Why: x.Why,
			After: afterView{string(a.Mode), string(a.Status), written(a.Deadline), string(a.DeadlineSource)},
		}
		if x.Outcome != app.FateGoesOn {
			view.AWSSession = c.awsSession(b)
		}
		v.Sessions = append(v.Sessions, view)
	}
	return v
}

// forecastText says for a person what would happen.
func forecastText(f app.Forecast) string {
	ends := f.Counts[app.FateEnds] + f.Counts[app.FateCloses]
	text := plural(ends, "session") + " would end"
	switch eta := f.ETA(); {
	case eta > 0:
		text += ", the last asked to stop in about " + eta.String()
	case ends > 0:
		text += ", asked to stop at once"
	}
	if n := f.Counts[app.FateChanges]; n > 0 {
		text += "; " + strconv.Itoa(n) + " would change"
	}
	if n := f.Counts[app.FateGoesOn] + f.Counts[app.FateAlert]; n > 0 {
		text += "; " + strconv.Itoa(n) + " would go on"
	}
	if n := f.Counts[app.FateEnding]; n > 0 {
		text += "; " + strconv.Itoa(n) + " already ending"
	}
	return text + "."
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

func (c *call) revocation(r app.Revocation, preview bool) revocationView {
	v := revocationView{ID: r.ID, Preview: preview, By: r.By, At: written(r.At), Why: r.Why, Target: targetOf(r.Target), Plan: r.Forecast.Plan, forecastView: c.forecast(r.Forecast)}
	if !preview {
		p := r.Progress
		v.Progress = &progressView{p.Total, p.Waiting, p.Asked, p.Ended, p.Ended == p.Total, seconds(p.ETA)}
		v.Text = fmt.Sprintf("%d of %s ended; %d asked to stop, %d still to be asked.", p.Ended, plural(p.Total, "session"), p.Asked, p.Waiting)
	}
	return v
}

func (c *call) whatIfView(f app.Forecast) whatIfView {
	return whatIfView{written(f.At), c.forecast(f)}
}

func (c *call) policy(p app.PolicyStory) policyView {
	v := policyView{
		Policy: outbound.Policy(p.Policy), Least: session.DurationMin.String(), Most: session.DurationMax.String(),
		WhereDuration: c.whereDuration(), Changes: []policyVersionView{}, Causes: []causeView{},
	}
	for _, e := range p.Changes {
		n, _ := strconv.ParseInt(e.Run.ID, 10, 64) // written by the app
		line := policyVersionView{Version: n, At: written(e.At), By: e.By, Changed: e.Detail}
		_, line.Why, _ = strings.Cut(e.Evidence, ": ")
		if line.By == "" {
			line.By = "unknown"
		}
		if line.Changed == "" {
			line.Changed = "what was set first, or before changes were written down"
		}
		v.Changes = append(v.Changes, line)
	}
	for _, row := range session.Causes() {
		v.Causes = append(v.Causes, causeView{row[0], row[1], row[2], row[3]})
	}
	return v
}

func person(user string, p app.People) userView {
	v := userView{User: user, Facts: []userFactView{}, Live: p.Live}
	if l := p.Facts.Lock; !l.Until.IsZero() {
		v.Lock = &lockView{written(l.Until), l.By, l.Why}
	}
	for i := range p.Facts.Facts {
		e := p.Facts.Facts[len(p.Facts.Facts)-1-i]
		v.Facts = append(v.Facts, userFactView{e.ID, string(e.Kind), written(e.At), e.By, e.Evidence, session.Happened(e)})
	}
	return v
}

// identityConsole is IAM Identity Center in AWS's console.
func (c *call) identityConsole() string {
	return "https://console.aws.amazon.com/singlesignon/home?region=" + c.site.IdentityRegion
}

func (c *call) whereDuration() whereView {
	return whereView{Text: session.WhereDuration, Console: c.identityConsole()}
}

// awsSession says where AWS's own session of a run can be ended, which no API
// does (S8.1); nil where there is none.
func (c *call) awsSession(s session.Session) *whereView {
	record := s.Run.Engine == workload.EMRContainers || s.Run.Engine == workload.EMRNotebook
	if s.Mode == session.Role || record && s.TokenAt.IsZero() {
		return nil
	}
	v := whereView{Console: c.identityConsole(), Search: c.arn(s.Run)}
	v.Text = "AWS's own session is not ended by Nightshift: in IAM Identity Center open Users, " + s.User + ", Active sessions, "
	switch s.Mode {
	case session.Background:
		v.Text += "choose User background sessions, search for the run's ARN, and end it."
	case session.Interactive:
		v.Text += "and end the user's interactive session. It may carry other work of the user."
	case session.ModeUnknown, session.Role:
		v.Text += "look for the run's ARN among the user background sessions, and end what is there."
	}
	return &v
}

// arn is what AWS calls a run; "" where it has no ARN yet. A Livy session has none
// of its own: it is its cluster's.
func (c *call) arn(r workload.Run) string {
	part := strings.Split(r.Endpoint, "/")
	region, account := c.site.Region, c.site.Account
	if len(part) == 3 {
		account, region = part[1], part[2]
	}
	service, resource := part[0], r.ID
	switch r.Engine {
	case workload.EMRContainers:
		cluster, run, _ := strings.Cut(r.ID, "/")
		resource = "/virtualclusters/" + cluster + "/jobruns/" + run
	case workload.Livy:
		service, resource = "elasticmapreduce", "cluster/"+part[len(part)-1]
	case workload.EMRNotebook:
		service, resource = "elasticmapreduce", "notebook-execution/"+r.ID
	case workload.SageMakerTraining, workload.SageMakerProcessing, workload.SageMakerPipeline:
	}
	if r.ID == "" {
		return ""
	}
	return "arn:" + partition(region) + ":" + service + ":" + region + ":" + account + ":" + resource
}

func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

type notebookView struct {
	ID       string            `json:"id"`
	Endpoint string            `json:"endpoint"`
	Place    string            `json:"place"`
	Runs     []notebookRunView `json:"runs"`
	Move     *notebookMoveView `json:"move,omitempty"`
}

type notebookRunView struct {
	Session      string `json:"session"`
	User         string `json:"user"`
	Cluster      string `json:"cluster"`
	Status       string `json:"status"`
	RunningSince string `json:"runningSince,omitempty"`
}

type notebookMoveView struct {
	Execution string `json:"execution"`
	From      string `json:"from"`
	To        string `json:"to"`
	Back      bool   `json:"back"`
	Since     string `json:"since"`
	Why       string `json:"why,omitempty"`
	Tries     int    `json:"tries"`
}

type notebooksView struct {
	Notebooks []notebookView `json:"notebooks"`
	Next      string         `json:"next"`
}
