package app

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// PolicyChange is what somebody wants other than it is; nil stays.
type PolicyChange struct {
	InstanceBackground         *session.Tri
	BackgroundDuration         *time.Duration
	InteractiveDuration        *time.Duration
	LivyIdle                   *time.Duration
	TenantLimit                *time.Duration // 0: none
	RequireUnifiedStudioLaunch *bool
	CostAlert                  *int64 // US dollars; 0: none
}

// changed is a policy with the words for what is new in it.
type changed struct {
	session.Policy
	words []string
}

func (c PolicyChange) apply(p session.Policy) changed {
	out := changed{Policy: p}
	set(&out, "instanceBackground", &out.InstanceBackground, c.InstanceBackground)
	set(&out, "backgroundDuration", &out.BackgroundDuration, c.BackgroundDuration)
	set(&out, "interactiveDuration", &out.InteractiveDuration, c.InteractiveDuration)
	set(&out, "livyIdle", &out.LivyIdle, c.LivyIdle)
	set(&out, "tenantLimit", &out.TenantLimit, c.TenantLimit)
	set(&out, "requireUnifiedStudioLaunch", &out.RequireUnifiedStudioLaunch, c.RequireUnifiedStudioLaunch)
	set(&out, "costAlert", &out.CostAlert, c.CostAlert)
	return out
}

func set[T comparable](out *changed, field string, into, from *T) {
	if from == nil || *from == *into {
		return
	}
	out.words = append(out.words, field+" from "+inWords(*into)+" to "+inWords(*from))
	*into = *from
}

// inWords writes a setting for people. One that is 0 is none: there is no limit,
// and no alert.
func inWords(v any) string {
	if v == time.Duration(0) || v == int64(0) {
		return "none"
	}
	return fmt.Sprint(v)
}

// check refuses values that are not allowed (S1.4, S1.5, S2.16), by field.
func (c changed) check(op string) error {
	err := c.Validate()
	if err == nil {
		return nil
	}
	field, sentence, _ := strings.Cut(err.Error(), ": ")
	_, allowed, _ := strings.Cut(sentence, "outside the allowed range of ")
	if field == "costAlert" {
		field = "costAlertUsd"
	}
	return Field(op, "change."+field, "within "+allowed)
}

// policyFacts names the log of the policy's changes, kept as facts about a user
// are; the newest session.FactsMax of them.
const policyFacts = "policy/changes"

// PolicyStory is the policy and how it came to be so.
type PolicyStory struct {
	Policy  session.Policy
	Changes []session.Event // newest first; Run.ID is the version, Detail what changed
}

// Policy tells the policy of new sessions and who changed it when.
func (a *App) Policy(ctx context.Context) (PolicyStory, error) {
	p, err := a.Store.Policy(ctx)
	if err != nil {
		return PolicyStory{}, err
	}
	log, err := a.Store.User(ctx, policyFacts)
	if err != nil {
		return PolicyStory{}, err
	}
	out := PolicyStory{Policy: p}
	if p.Version > 0 && !slices.ContainsFunc(log.Facts, func(e session.Event) bool { return e.Run.ID == version(p) }) {
		out.Changes = append(out.Changes, entryOf(p, "", ""))
	}
	for _, e := range slices.Backward(log.Facts) {
		out.Changes = append(out.Changes, e)
	}
	return out, nil
}

func version(p session.Policy) string { return strconv.FormatInt(p.Version, 10) }

// entryOf is a line of the log of the policy's changes.
func entryOf(p session.Policy, evidence, words string) session.Event {
	return session.Event{Kind: session.PolicyChanged, At: p.ChangedAt, By: p.ChangedBy, Evidence: evidence, Detail: words,
		Run: workload.Ref{Endpoint: "policy", ID: version(p)}}
}

// SetPolicy changes the policy of new sessions, where it still is the version
// that the actor saw; Conflict otherwise.
func (a *App) SetPolicy(ctx context.Context, act Act, seen int64, c PolicyChange) (PolicyStory, error) {
	const op = "set policy"
	if err := act.Who.admin(op); err != nil {
		return PolicyStory{}, err
	}
	if err := act.check(op); err != nil {
		return PolicyStory{}, err
	}
	before, err := a.Policy(ctx)
	if err != nil {
		return before, err
	}
	next := c.apply(before.Policy)
	if err := next.check(op); err != nil {
		return before, err
	}
	asked, err := json.Marshal(c)
	if err != nil {
		return before, fault.New(op, fault.Invalid, err)
	}
	what := fmt.Sprintf("policy %d %s", seen, asked)
	r, again, err := a.repeated(ctx, act, what)
	switch {
	case err != nil:
		return before, err
	case again && before.Policy.Version > seen && slices.ContainsFunc(before.Changes, func(e session.Event) bool { return e.At.Equal(r.Event.At) && e.By == r.Event.By }):
		return before, nil // it was set the first time
	case before.Policy.Version != seen:
		return before, fault.Newf(op, fault.Conflict, "the policy is at version %d, not %d: look at it again", before.Policy.Version, seen)
	case !again:
		if r, err = a.record(ctx, act, recorded{Event: session.Event{Kind: session.PolicyChanged}, Asked: what}, false); err != nil {
			return before, err
		}
	}
	if len(next.words) == 0 {
		return before, nil
	}
	p := next.Policy
	p.Version, p.ChangedAt, p.ChangedBy = seen+1, r.Event.At, r.Event.By
	if err := a.Store.PutPolicy(ctx, p); err != nil {
		return before, err
	}
	if err := a.logPolicy(ctx, before.Changes, entryOf(p, r.Event.Evidence, strings.Join(next.words, ", "))); err != nil {
		// The policy itself says who set it; the next change writes what is missing.
		a.Log.Warn("change of policy not logged", "version", p.Version, "error", err.Error())
	}
	return a.Policy(ctx)
}

// logPolicy adds to the log of changes, and what is missing of those before.
func (a *App) logPolicy(ctx context.Context, before []session.Event, e session.Event) error {
	return a.changeUser(ctx, policyFacts, func(u session.UserFacts) (session.UserFacts, bool) {
		next := u
		for _, line := range append(slices.Clone(before), e) {
			next, _ = next.With(line, a.Now())
		}
		next.Pending, next.PendingSince = nil, time.Time{} // it concerns no session: each keeps its own (S1.6)
		return next, true
	})
}
