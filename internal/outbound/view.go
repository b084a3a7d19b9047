package outbound

import (
	"nightshift/internal/app"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// SessionView is a session as JSON. Times are RFC 3339 in UTC and left out
// where they are zero; durations are written as Go writes them ("168h0m0s").
type SessionView struct {
	ID              string           `json:"id"`
	Version         int64            `json:"version"`
	User            string           `json:"user"`
	Run             RunView          `json:"run"`
	Status          string           `json:"status"`
	Mode            string           `json:"mode"`
	Origin          string           `json:"origin"`
	Previous        string           `json:"previous,omitempty"`
	OpenedAt        string           `json:"openedAt,omitempty"`
	RecordedAt      string           `json:"recordedAt,omitempty"`
	Deadline        string           `json:"deadline,omitempty"`
	DeadlineSource  string           `json:"deadlineSource,omitempty"`
	Why             []string         `json:"why,omitempty"`
	Policy          PolicyView       `json:"policy"`
	Facts           FactsView        `json:"facts"`
	Interactive     *InteractiveView `json:"interactive,omitempty"`
	InteractiveGone bool             `json:"interactiveGone,omitempty"`
	TokenAt         string           `json:"tokenAt,omitempty"`
	RunningSince    string           `json:"runningSince,omitempty"`
	Activity        *ActivityView    `json:"activity,omitempty"`
	PagedAt         string           `json:"pagedAt,omitempty"`
	Progress        *ProgressView    `json:"progress,omitempty"`
	LeftAt          string           `json:"leftAt,omitempty"`
	End             *EndView         `json:"end,omitempty"`
}

// RunView is a run as JSON. id is left out until the start has been seen.
type RunView struct {
	Engine            string `json:"engine"`
	Endpoint          string `json:"endpoint"`
	ID                string `json:"id,omitempty"`
	Kind              string `json:"kind,omitempty"`
	Application       string `json:"application,omitempty"`
	MaxRuntimeSeconds int64  `json:"maxRuntimeSeconds,omitempty"`
	Domain            string `json:"domain,omitempty"`
	Cluster           string `json:"cluster,omitempty"`
	// Billing is what the run is billed by, in the names of the record.
	Billing workload.Billing `json:"billing,omitzero"`
}

// ProgressView is how far the run's work is: fraction is 0 to 1.
type ProgressView struct {
	Of       string  `json:"of"`
	Fraction float64 `json:"fraction"`
	Since    string  `json:"since,omitempty"`
	At       string  `json:"at,omitempty"`
}

// PolicyView is a policy as JSON; a switch is "on", "off" or "unknown".
type PolicyView struct {
	Version                    int64  `json:"version"`
	ChangedAt                  string `json:"changedAt,omitempty"`
	InstanceBackground         string `json:"instanceBackground"`
	BackgroundDuration         string `json:"backgroundDuration,omitempty"`
	InteractiveDuration        string `json:"interactiveDuration,omitempty"`
	LivyIdle                   string `json:"livyIdle,omitempty"`
	TenantLimit                string `json:"tenantLimit,omitempty"`
	RequireUnifiedStudioLaunch bool   `json:"requireUnifiedStudioLaunch"`
	CostAlertUSD               int64  `json:"costAlertUsd,omitempty"`
}

// FactsView is what a session's mode was decided from; each is "on", "off" or
// "unknown".
type FactsView struct {
	IdentityPropagation   string `json:"identityPropagation"`
	Instance              string `json:"instance"`
	ApplicationBackground string `json:"applicationBackground"`
	ClusterBackground     string `json:"clusterBackground"`
	ReleaseLabel          string `json:"releaseLabel,omitempty"`
	BootstrapConfirmed    string `json:"bootstrapConfirmed"`
	UnifiedStudioCluster  string `json:"unifiedStudioCluster"`
	UnifiedStudioLaunch   string `json:"unifiedStudioLaunch"`
}

// InteractiveView is an interactive session as JSON.
type InteractiveView struct {
	ID        string `json:"id,omitempty"`
	Source    string `json:"source,omitempty"`
	ExpiresAt string `json:"expiresAt,omitempty"`
}

// ActivityView is the newest word on whether a Livy session is idle.
type ActivityView struct {
	At    string `json:"at"`
	Busy  bool   `json:"busy"`
	Since string `json:"since,omitempty"`
}

// EndView is the story of an ending (S2.7). latenessSeconds is from when
// Nightshift knew the cause to when the run was seen over, and is there only
// when both are.
type EndView struct {
	Cause           string   `json:"cause"`
	Evidence        string   `json:"evidence,omitempty"`
	By              string   `json:"by,omitempty"`
	Happened        string   `json:"happened,omitempty"`
	Known           string   `json:"known,omitempty"`
	Decided         string   `json:"decided,omitempty"`
	Asked           string   `json:"asked,omitempty"`
	Confirmed       string   `json:"confirmed,omitempty"`
	Stuck           string   `json:"stuck,omitempty"`
	LatenessSeconds *float64 `json:"latenessSeconds,omitempty"`
}

// EntryView is a history entry as JSON. The hash is over the stored entry, not
// over this view.
type EntryView struct {
	SessionID      string       `json:"sessionId"`
	Version        int64        `json:"version"`
	At             string       `json:"at,omitempty"`
	Event          EventView    `json:"event"`
	From           string       `json:"from,omitempty"`
	To             string       `json:"to"`
	Mode           string       `json:"mode"`
	Deadline       string       `json:"deadline,omitempty"`
	DeadlineSource string       `json:"deadlineSource,omitempty"`
	Cause          string       `json:"cause,omitempty"`
	Effects        []EffectView `json:"effects"`
	Previous       string       `json:"previous,omitempty"`
	Hash           string       `json:"hash"`
	Done           bool         `json:"done"`
}

// EventView is the event that made an entry; the task token is left out.
type EventView struct {
	ID                string           `json:"id,omitempty"`
	Kind              string           `json:"kind"`
	At                string           `json:"at,omitempty"`
	Known             string           `json:"known,omitempty"`
	User              string           `json:"user,omitempty"`
	By                string           `json:"by,omitempty"`
	Evidence          string           `json:"evidence,omitempty"`
	Interactive       *InteractiveView `json:"interactive,omitempty"`
	Run               *RefView         `json:"run,omitempty"`
	Domain            string           `json:"domain,omitempty"`
	Since             string           `json:"since,omitempty"`
	Busy              bool             `json:"busy,omitempty"`
	State             string           `json:"state,omitempty"`
	Detail            string           `json:"detail,omitempty"`
	MaxRuntimeSeconds int64            `json:"maxRuntimeSeconds,omitempty"`
	Cluster           string           `json:"cluster,omitempty"`
	Until             string           `json:"until,omitempty"`
	Billing           workload.Billing `json:"billing,omitzero"`
	Progress          *ProgressView    `json:"progress,omitempty"`
	CostUSD           float64          `json:"costUsd,omitempty"`
}

// RefView is the unique name of a run as JSON.
type RefView struct {
	Endpoint string `json:"endpoint"`
	ID       string `json:"id"`
}

// EffectView is an effect as JSON.
type EffectView struct {
	Kind   string `json:"kind"`
	Reason string `json:"reason,omitempty"`
	Text   string `json:"text,omitempty"`
	Before string `json:"before,omitempty"`
}

// OrphanView is a live run that belongs to no session.
type OrphanView struct {
	Run          RunView `json:"run"`
	State        string  `json:"state"`
	Name         string  `json:"name,omitempty"`
	User         string  `json:"user,omitempty"`
	ObservedAt   string  `json:"observedAt,omitempty"`
	CreatedAt    string  `json:"createdAt,omitempty"`
	RunningSince string  `json:"runningSince,omitempty"`
	Detail       string  `json:"detail,omitempty"`
}

// Session is the view of a session.
func Session(s session.Session) SessionView {
	v := SessionView{
		ID: s.ID, Version: s.Version, User: s.User, Run: Run(s.Run),
		Status: string(s.Status), Mode: string(s.Mode), Origin: string(s.Origin), Previous: s.Previous,
		OpenedAt: written(s.OpenedAt), RecordedAt: written(s.RecordedAt),
		Deadline: written(s.Deadline), DeadlineSource: string(s.DeadlineSource), Why: s.Why,
		Policy: Policy(s.Policy), Facts: facts(s.Facts),
		Interactive: interactive(s.Interactive), InteractiveGone: s.InteractiveGone,
		TokenAt: written(s.TokenAt), RunningSince: written(s.RunningSince), PagedAt: written(s.PagedAt),
		Progress: progress(s.Progress), LeftAt: written(s.LeftAt), End: end(s.End),
	}
	if a := s.Activity; !a.At.IsZero() {
		v.Activity = &ActivityView{At: written(a.At), Busy: a.Busy, Since: written(a.Since)}
	}
	return v
}

// Run is the view of a run.
func Run(r workload.Run) RunView {
	return RunView{
		Engine: string(r.Engine), Endpoint: r.Endpoint, ID: r.ID, Kind: string(r.Kind), Application: string(r.Application),
		MaxRuntimeSeconds: int64(r.MaxRuntime.Seconds()), Domain: r.Domain, Cluster: r.Cluster,
		Billing: r.Billing,
	}
}

// Policy is the view of a policy.
func Policy(p session.Policy) PolicyView {
	return PolicyView{
		Version: p.Version, ChangedAt: written(p.ChangedAt), InstanceBackground: p.InstanceBackground.String(),
		BackgroundDuration: lasting(p.BackgroundDuration), InteractiveDuration: lasting(p.InteractiveDuration),
		LivyIdle: lasting(p.LivyIdle), TenantLimit: lasting(p.TenantLimit),
		RequireUnifiedStudioLaunch: p.RequireUnifiedStudioLaunch, CostAlertUSD: p.CostAlert,
	}
}

// Entry is the view of a history entry.
func Entry(e app.Entry) EntryView {
	v := EntryView{
		SessionID: e.SessionID, Version: e.Version, At: written(e.At), Event: event(e.Event),
		From: string(e.From), To: string(e.To), Mode: string(e.Mode),
		Deadline: written(e.Deadline), DeadlineSource: string(e.Source), Cause: string(e.Cause),
		Effects: []EffectView{}, Previous: e.Previous, Hash: e.Hash, Done: e.Done,
	}
	for _, f := range e.Effects {
		v.Effects = append(v.Effects, EffectView{Kind: string(f.Kind), Reason: f.Reason, Text: f.Text, Before: lasting(f.Before)})
	}
	return v
}

// Orphan is the view of a run that belongs to no session.
func Orphan(o workload.Observation) OrphanView {
	return OrphanView{
		Run: Run(o.Run), State: string(o.State), Name: o.Name, User: o.User, ObservedAt: written(o.At),
		CreatedAt: written(o.CreatedAt), RunningSince: written(o.RunningSince), Detail: o.Detail,
	}
}

func event(e session.Event) EventView {
	v := EventView{
		ID: e.ID, Kind: string(e.Kind), At: written(e.At), Known: written(e.Known), User: e.User, By: e.By, Evidence: e.Evidence,
		Interactive: interactive(e.Interactive), Domain: e.Domain, Since: written(e.Since), Busy: e.Busy,
		State: string(e.State), Detail: e.Detail, MaxRuntimeSeconds: int64(e.MaxRuntime.Seconds()), Cluster: e.Cluster, Until: written(e.Until),
		Billing: e.Billing, Progress: progress(e.Progress), CostUSD: e.Cost,
	}
	if e.Run != (workload.Ref{}) {
		v.Run = &RefView{Endpoint: e.Run.Endpoint, ID: e.Run.ID}
	}
	return v
}

func progress(p workload.Progress) *ProgressView {
	if !p.Known() {
		return nil
	}
	return &ProgressView{Of: p.Of, Fraction: p.Fraction, Since: written(p.Since), At: written(p.At)}
}

func facts(f session.Facts) FactsView {
	return FactsView{
		IdentityPropagation: f.IdentityPropagation.String(), Instance: f.Instance.String(),
		ApplicationBackground: f.ApplicationBackground.String(), ClusterBackground: f.ClusterBackground.String(),
		ReleaseLabel: f.ReleaseLabel, BootstrapConfirmed: f.BootstrapConfirmed.String(),
		UnifiedStudioCluster: f.UnifiedStudioCluster.String(), UnifiedStudioLaunch: f.UnifiedStudioLaunch.String(),
	}
}

func interactive(i session.InteractiveSession) *InteractiveView {
	if !i.Known() {
		return nil
	}
	return &InteractiveView{ID: i.ID, Source: i.Source, ExpiresAt: written(i.ExpiresAt)}
}

func end(e session.End) *EndView {
	if e == (session.End{}) {
		return nil
	}
	v := &EndView{
		Cause: string(e.Cause), Evidence: e.Evidence, By: e.By, Happened: written(e.Happened), Known: written(e.Known),
		Decided: written(e.Decided), Asked: written(e.Asked), Confirmed: written(e.Confirmed), Stuck: e.Stuck,
	}
	if !e.Known.IsZero() && !e.Confirmed.IsZero() {
		late := e.Confirmed.Sub(e.Known).Seconds()
		v.LatenessSeconds = &late
	}
	return v
}
