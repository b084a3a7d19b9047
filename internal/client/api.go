package client

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// Amount is US dollars, or why they are not known.
type Amount struct {
	USD     *float64 `json:"usd"`
	Unknown string   `json:"unknown"`
}

// Sum is US dollars, and how many amounts are not in it.
type Sum struct {
	USD     float64 `json:"usd"`
	Unknown int     `json:"unknown"`
}

// Cost is what one session costs.
type Cost struct {
	Hourly     Amount `json:"hourly"`
	SoFar      Amount `json:"soFar"`
	ToDeadline Amount `json:"toDeadline"`
	Shared     bool   `json:"sharedCluster"`
	Note       string `json:"note"`
	Forgotten  bool   `json:"forgotten"`
}

// Session is a session in short.
type Session struct {
	ID             string   `json:"id"`
	User           string   `json:"user"`
	Engine         string   `json:"engine"`
	Endpoint       string   `json:"endpoint"`
	Run            string   `json:"run"`
	Mode           string   `json:"mode"`
	Status         string   `json:"status"`
	Origin         string   `json:"origin"`
	OpenedAt       string   `json:"openedAt"`
	Deadline       string   `json:"deadline"`
	DeadlineSource string   `json:"deadlineSource"`
	IdleDue        string   `json:"idleDue"`
	Survives       string   `json:"survivesSignOut"`
	Why            []string `json:"why"`
	Cause          string   `json:"cause"`
	CauseText      string   `json:"causeText"`
	EndedBy        string   `json:"endedBy"`
	Known          string   `json:"known"`
	Asked          string   `json:"asked"`
	Confirmed      string   `json:"confirmed"`
	Cost           Cost     `json:"cost"`
}

// Where says where something is done in AWS's console.
type Where struct {
	Text    string `json:"text"`
	Console string `json:"console"`
	Search  string `json:"search"`
}

// Story is a session with everything that tells why it is as it is.
type Story struct {
	Line      Session `json:"line"`
	Survives  string  `json:"survivesSignOut"`
	OnSignOut string  `json:"onSignOut"`
	Grounds   []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"grounds"`
	Limits []struct {
		Source  string `json:"source"`
		At      string `json:"at"`
		Decides bool   `json:"decides"`
		Text    string `json:"text"`
	} `json:"limits"`
	Extension struct {
		Possible bool   `json:"possible"`
		Until    string `json:"until"`
		Reason   string `json:"reason"`
		Remedy   string `json:"remedy"`
	} `json:"extension"`
	Session struct {
		Previous string `json:"previous"` // that this one follows
		Progress *struct {
			Of       string  `json:"of"`
			Fraction float64 `json:"fraction"`
			At       string  `json:"at"`
		} `json:"progress"`
	} `json:"session"`
	Links []struct {
		Name string `json:"name"`
		URL  string `json:"url"`
		Note string `json:"note"`
	} `json:"links"`
	Saved  Amount `json:"savedAtMost"`
	Prices []struct {
		Service string  `json:"service"`
		Region  string  `json:"region"`
		Item    string  `json:"item"`
		USD     float64 `json:"usdPerHour"`
		Date    string  `json:"date"`
		Source  string  `json:"source"`
	} `json:"prices"`
	WhereDuration Where  `json:"whereDuration"`
	AWSSession    *Where `json:"awsSession"`
	History       []struct {
		At           string   `json:"at"`
		Happened     string   `json:"happened"`
		By           string   `json:"by"`
		Evidence     string   `json:"evidence"`
		Decided      string   `json:"decided"`
		Rule         string   `json:"rule"`
		Consequences []string `json:"consequences"`
	} `json:"history"`
	Chain string `json:"chain"`
	Next  string `json:"next"` // the session by which the run was started again
}

// Target says which sessions are meant: exactly one field is set.
type Target struct {
	Session  string            `json:"session,omitempty"`
	User     string            `json:"user,omitempty"`
	Selector map[string]string `json:"selector,omitempty"`
}

// Fate is what would become of a session.
type Fate struct {
	ID       string `json:"id"`
	User     string `json:"user"`
	Engine   string `json:"engine"`
	Endpoint string `json:"endpoint"`
	Run      string `json:"run"`
	Mode     string `json:"mode"`
	Status   string `json:"status"`
	Deadline string `json:"deadline"`
	Outcome  string `json:"outcome"`
	Why      string `json:"why"`
	After    struct {
		Mode     string `json:"mode"`
		Status   string `json:"status"`
		Deadline string `json:"deadline"`
	} `json:"after"`
	AWSSession *Where `json:"awsSession"`
}

// Restarted is the restart of a run that is over.
type Restarted struct {
	Line       Session `json:"line"`
	Next       string  `json:"next"` // the session that follows; it opens in a moment
	Attempt    string  `json:"attempt"`
	Checkpoint string  `json:"checkpoint"`
	Text       string  `json:"text"`
}

// Forecast is what would happen to some sessions; a preview, a revocation and a
// what-if have it in common.
type Forecast struct {
	Counts    map[string]int `json:"counts"`
	Saves     Sum            `json:"savesAtMost"`
	Endpoints []struct {
		Endpoint   string `json:"endpoint"`
		Ends       int    `json:"ends"`
		Ahead      int    `json:"ahead"`
		ETASeconds int64  `json:"etaSeconds"`
	} `json:"endpoints"`
	Sessions []Fate `json:"sessions"`
	LeftOut  int    `json:"leftOut"`
	Text     string `json:"text"`
}

// Revocation is an end of sessions, or its preview.
type Revocation struct {
	ID       string `json:"id"`
	Plan     string `json:"plan"`
	Progress struct {
		Total      int   `json:"total"`
		Waiting    int   `json:"waiting"`
		Asked      int   `json:"asked"`
		Ended      int   `json:"ended"`
		Done       bool  `json:"done"`
		ETASeconds int64 `json:"etaSeconds"`
	} `json:"progress"`
	Forecast
}

// Acted is what became of a session by an act.
type Acted struct {
	Line       Session `json:"line"`
	Text       string  `json:"text"`
	AWSSession *Where  `json:"awsSession"`
}

// Policy is the policy and how it came to be so.
type Policy struct {
	Policy        map[string]any `json:"policy"`
	Least         string         `json:"least"`
	Most          string         `json:"most"`
	WhereDuration Where          `json:"whereDuration"`
	Changes       []struct {
		Version int64  `json:"version"`
		At      string `json:"at"`
		By      string `json:"by"`
		Why     string `json:"why"`
		Changed string `json:"changed"`
	} `json:"changes"`
}

// User is what is known of a user.
type User struct {
	User string `json:"user"`
	Live int    `json:"live"`
	Lock *struct {
		Until string `json:"until"`
		By    string `json:"by"`
		Why   string `json:"why"`
	} `json:"lock"`
}

// Endpoint is one that Nightshift tends.
type Endpoint struct {
	ID         string `json:"id"`
	Live       int    `json:"live"`
	Capacity   int    `json:"capacity"`
	LastListed string `json:"lastListed"`
}

// Notice is something a person was told.
type Notice struct {
	At      string `json:"at"`
	Kind    string `json:"kind"`
	Text    string `json:"text"`
	Session string `json:"session"`
	User    string `json:"user"`
}

// Group is what the sessions of one user, department or cost center cost.
type Group struct {
	Key        string `json:"key"`
	Sessions   int    `json:"sessions"`
	SoFar      Sum    `json:"soFar"`
	ToDeadline Sum    `json:"toDeadline"`
	Saved      Sum    `json:"savedAtMost"`
}

// Costs is what many sessions cost.
type Costs struct {
	From         string    `json:"from"`
	Complete     bool      `json:"complete"`
	Total        Group     `json:"total"`
	ByUser       []Group   `json:"byUser"`
	ByDepartment []Group   `json:"byDepartment"`
	ByCostCenter []Group   `json:"byCostCenter"`
	Forgotten    []Session `json:"forgotten"`
}

// Notebook is a notebook and where it runs; without Runs it runs nowhere.
type Notebook struct {
	ID       string `json:"id"`
	Endpoint string `json:"endpoint"`
	Place    string `json:"place"`
	Runs     []struct {
		Session      string `json:"session"`
		User         string `json:"user"`
		Cluster      string `json:"cluster"`
		Status       string `json:"status"`
		RunningSince string `json:"runningSince"`
	} `json:"runs"`
	Move struct {
		Execution string `json:"execution"` // "" where it is not being moved
		From      string `json:"from"`
		To        string `json:"to"`
		Back      bool   `json:"back"`
		Since     string `json:"since"`
		Why       string `json:"why"`
		Tries     int    `json:"tries"`
	} `json:"move"`
}

// Parked is an event that could not be used.
type Parked struct {
	ID       string `json:"id"`
	Source   string `json:"source"`
	Reason   string `json:"reason"`
	At       string `json:"at"`
	Bytes    int    `json:"bytes"`
	Replayed string `json:"replayed"`
	Body     string `json:"body"`
	Text     string `json:"text"`
}

// Repair is what records and engines tell differently, and what was, or would be,
// done about it.
type Repair struct {
	ID       string `json:"id"`
	Next     string `json:"next"`
	Applied  bool   `json:"applied"`
	Plan     string `json:"plan"`
	Heals    int    `json:"heals"`
	Healed   int    `json:"healed"`
	Findings []struct {
		Kind     string `json:"kind"`
		Endpoint string `json:"endpoint"`
		Session  string `json:"session"`
		User     string `json:"user"`
		Run      string `json:"run"`
		Found    string `json:"found"`
		Heal     string `json:"heal"`
		Advice   string `json:"advice"`
		Healed   bool   `json:"healed"`
		Why      string `json:"why"`
	} `json:"findings"`
	LeftOut int    `json:"leftOut"`
	Text    string `json:"text"`
}

// WholeRepair says that a stretch of a repair ended with the repair.
const WholeRepair = "end"

// Add adds what the next stretch of a repair was answered.
func (r *Repair) Add(next Repair) {
	r.ID, r.Plan, r.Applied = cmp.Or(r.ID, next.ID), cmp.Or(r.Plan, next.Plan), r.Applied || next.Applied
	r.Heals, r.Healed, r.LeftOut = r.Heals+next.Heals, r.Healed+next.Healed, r.LeftOut+next.LeftOut
	r.Findings = append(r.Findings, next.Findings...)
	r.Text = strings.TrimSpace(r.Text + " " + next.Text)
}

// Sample is a kind of identity event that is not recognised.
type Sample struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"`
	Count  int64  `json:"count"`
	Newest string `json:"newest"`
	Bytes  int    `json:"bytes"`
	Body   string `json:"body"`
}

// Restore is a table that was put back, and what engines know that it does not.
type Restore struct {
	At        string `json:"at"`
	Confirmed bool   `json:"confirmed"`
	Held      []struct {
		Session  string `json:"session"`
		User     string `json:"user"`
		Run      string `json:"run"`
		Deadline string `json:"deadline"`
		Reason   string `json:"reason"`
	} `json:"held"`
	Endpoints []struct {
		ID       string `json:"id"`
		Unlisted string `json:"unlisted"`
		Over     []struct {
			Session string `json:"session"`
			User    string `json:"user"`
			Run     string `json:"run"`
		} `json:"over"`
		Unknown []ObservedRun `json:"unknown"`
		Risen   []ObservedRun `json:"risen"`
	} `json:"endpoints"`
	Text string `json:"text"`
}

// ObservedRun is a run as an engine lists it.
type ObservedRun struct {
	Run   string `json:"run"`
	State string `json:"state"`
	User  string `json:"user"`
	Since string `json:"since"`
}

// Get reads one resource.
func (c *Client) Get(ctx context.Context, path string, into any) (Answer, error) {
	return c.Ask(ctx, http.MethodGet, path, nil, nil, into)
}

// Of is the path of one thing, whatever its id is made of, and of what is below
// it.
func Of(collection, id string, below ...string) string {
	path := "/api/" + collection + "/" + url.PathEscape(id)
	for _, b := range below {
		path += "/" + b
	}
	return path
}

// Pages reads a list page by page and gives each of its items as it came, until
// each answers false.
func (c *Client) Pages(ctx context.Context, collection string, query url.Values, each func(item json.RawMessage) (bool, error)) (Answer, error) {
	q := url.Values{}
	maps.Copy(q, query)
	for {
		var page map[string]json.RawMessage
		a, err := c.Ask(ctx, http.MethodGet, "/api/"+collection, q, nil, &page)
		if err != nil {
			return a, err
		}
		var items []json.RawMessage
		var next string
		for name, into := range map[string]any{collection: &items, "next": &next} {
			if err := json.Unmarshal(page[name], into); err != nil {
				return a, err
			}
		}
		for _, item := range items {
			if more, err := each(item); err != nil || !more {
				return a, err
			}
		}
		if next == "" {
			return a, nil
		}
		q.Set("cursor", next)
	}
}
