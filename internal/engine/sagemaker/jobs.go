package sagemaker

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

const (
	// ours begins the names that Nightshift makes: the session id follows. Where
	// the id does not fit into a name, its hash follows oursHashed.
	ours       = "ns-"
	oursHashed = "nsh-"
)

// jobName is what the API takes as a name, of at most 63 characters.
var jobName = regexp.MustCompile(`^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$`)

// kind is what tells training jobs and processing jobs apart: all else about
// them is the same. Its calls answer the service's own errors.
type kind struct {
	engine   workload.Engine
	prefix   string // of run ids
	noun     string // "training job"
	field    string // the request's member that names it
	describe func(ctx context.Context, name string) (job, error)
	stop     func(ctx context.Context, name string) error
	page     func(ctx context.Context, f filter, token *string) (jobs []job, next *string, err error)
	state    func(job) workload.State // of a job that is in progress
}

// filter is what a listing asks for; zero fields are not asked.
type filter struct {
	status   string
	modified time.Time // only jobs changed after it
}

// job is what the API says of one job. Summaries leave limit, billing and started
// zero.
type job struct {
	name, arn         string
	status, secondary string
	failure           string
	created, modified time.Time
	started, ended    time.Time // zero: not yet
	limit             time.Duration
	billing           workload.Billing
}

// The words for a job's status; both kinds use the same.
const (
	inProgress = "InProgress"
	completed  = "Completed"
	failed     = "Failed"
	stopping   = "Stopping"
	deleting   = "Deleting"
	stopped    = "Stopped"
)

func (e *Engine) kinds() []kind { return []kind{e.trainingJobs(), e.processingJobs()} }

func (e *Engine) run(k kind, name string, limit time.Duration, billing workload.Billing) workload.Run {
	return workload.Run{Engine: k.engine, Endpoint: e.endpoint, ID: e.id(k, name), Name: name, MaxRuntime: limit, Billing: billing}
}

// id is the run id of a job; whatever the case of its name's letters, the same.
func (e *Engine) id(k kind, name string) string {
	return workload.Ref{Endpoint: e.endpoint, ID: k.prefix + name}.Canonical().ID
}

// billing is what a job is billed by: what the service or the spec says of it,
// and its tags.
func (m marks) billing(b workload.Billing) workload.Billing {
	b.Department, b.CostCenter = m.sums.Department, m.sums.CostCenter
	return b
}

// tagged is the billing of a job that is about to be started.
func tagged(b workload.Billing, tags []types.Tag) workload.Billing {
	for _, t := range tags {
		b.Tagged(aws.ToString(t.Key), aws.ToString(t.Value))
	}
	return b
}

// startedBefore tells a repeated start from a name that somebody else took.
func (e *Engine) startedBefore(ctx context.Context, op string, k kind, name, sessionID string) (workload.Run, error) {
	op += ", look whose the name is"
	j, err := e.ask(ctx, op, k, &called{name: name})
	if fault.Is(err, fault.NotFound) {
		return workload.Run{}, fault.Newf(op, fault.Unknown, "the job that had the name has just been deleted: %w", err)
	}
	if err != nil {
		return workload.Run{}, err
	}
	m, err := e.tags(ctx, op, j.arn)
	switch {
	case err != nil:
		return workload.Run{}, err
	case m.stamp != sessionID:
		return workload.Run{}, fault.Newf(op, fault.Invalid, "the %s %q is taken by another job", k.field, name)
	}
	return e.run(k, name, j.limit, m.billing(j.billing)), nil
}

// named gives the name that a job shall have: the spec's own, or one made of
// the session id.
func named(field, asked, sessionID string) (string, error) {
	switch {
	case asked == "":
		return nameFor(sessionID), nil
	case !jobName.MatchString(asked):
		return "", fmt.Errorf("the %s %q is not 1 to 63 letters, digits and inner hyphens", field, asked)
	case strings.HasPrefix(asked, ours) || strings.HasPrefix(asked, oursHashed):
		return "", fmt.Errorf("the %s %q begins as Nightshift's own names do", field, asked)
	}
	return asked, nil
}

// limited gives the seconds to set as MaxRuntimeInSeconds: the smaller of what
// the spec asks and what the session has left (S4.5). nil: the service's default,
// since neither says anything.
func limited(s app.Start, asked *int32) (*int32, error) {
	most := s.Run.Engine.Cap()
	if asked != nil {
		if v := *asked; v < 1 || int64(v) > int64(most/time.Second) {
			return nil, fmt.Errorf("StoppingCondition.MaxRuntimeInSeconds is %d, it must be 1 to %d", v, int64(most/time.Second))
		}
		most = time.Duration(*asked) * time.Second
	} else if s.MaxRuntime <= 0 {
		return nil, nil
	}
	if s.MaxRuntime > 0 {
		most = max(time.Second, min(most, s.MaxRuntime))
	}
	return aws.Int32(int32(most / time.Second)), nil
}

// decode reads a spec strictly: an unknown field or a wrong type is an error
// that names the field.
func decode(spec []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(spec))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return fmt.Errorf("%s must be a %s, not a %s", wrong.Field, wrong.Type, wrong.Value)
	}
	if err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands after the request")
	}
	return nil
}

// JobName is the name of the job that is started for a session: the request's
// own, or one made of the session id.
func JobName(asked, sessionID string) string { return cmp.Or(asked, nameFor(sessionID)) }

// nameFor makes a job's name of a session id, always the same one.
func nameFor(sessionID string) string {
	if name := ours + sessionID; jobName.MatchString(name) && len(name) <= 63 {
		return name
	}
	return (oursHashed + hashed(sessionID))[:63]
}

// hashed is a text's SHA-256 in hex: 64 characters.
func hashed(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// stampIn reads the session id in a name that Nightshift made; "" in others.
func stampIn(name string) string {
	if stamp, ok := strings.CutPrefix(name, ours); ok {
		return stamp
	}
	return ""
}

// stopJob asks one job to stop. A job that is over is refused by the service
// with a ValidationException, so that one is checked by a describe.
func (e *Engine) stopJob(ctx context.Context, k kind, by called) error {
	op := "sagemaker: stop " + k.noun
	err := e.call(ctx, op, k, &by, k.stop)
	switch {
	case errors.Is(err, errHidden):
		return err
	case fault.Is(err, fault.NotFound):
		return nil
	case !fault.Is(err, fault.Invalid):
		return err
	}
	seen, describeErr := e.describeJob(ctx, k, by)
	if describeErr != nil {
		return describeErr
	}
	if seen.State.Over() || seen.State == workload.Stopping {
		return nil
	}
	// The job lives although it cannot be stopped: ask again, never give up.
	return fault.Newf(op, fault.Unknown, "the service refuses to stop a job in state %s: %w", seen.State, errors.Unwrap(err))
}

// listJobs lists in the order in which a job passes through its states, so that
// none slips from one page to another unseen.
func (e *Engine) listJobs(ctx context.Context, k kind) (workload.Listing, error) {
	asked := e.now()
	jobs := map[string]job{}
	complete := true
	for _, f := range []filter{{status: inProgress}, {status: stopping}, {modified: asked.Add(-lately)}} {
		whole, err := pagesOf(ctx, k, f, jobs)
		if err != nil {
			return e.listed(k, jobs, asked, false), err
		}
		complete = complete && whole
	}
	strangers, err := e.lookUp(ctx, k, jobs)
	for _, name := range strangers {
		delete(jobs, name)
	}
	return e.listed(k, jobs, asked, complete && len(strangers) == 0), err
}

func pagesOf(ctx context.Context, k kind, f filter, into map[string]job) (whole bool, err error) {
	var token *string
	for range pagesMax {
		jobs, next, err := k.page(ctx, f, token)
		if err != nil {
			return false, classify("sagemaker: list "+k.noun+"s", err)
		}
		for _, j := range jobs {
			into[j.name] = j
		}
		if token = next; aws.ToString(token) == "" {
			return true, nil
		}
	}
	return false, nil
}

// lookUp learns what summaries do not tell of live jobs: tags, limit, when the
// run began. It answers the names of live jobs that could not be looked up and
// whose names tell nothing either: to show them without their stamp would make
// orphans of them. Throttling only ends the look-ups; other errors are answered.
func (e *Engine) lookUp(ctx context.Context, k kind, jobs map[string]job) (strangers []string, err error) {
	looks := looksMax
	for _, j := range byNeed(jobs) {
		known, met := e.recall(e.id(k, j.name), j.created)
		if over(j.status) || met && !known.started.IsZero() {
			continue
		}
		if looks > 0 && err == nil {
			looks--
			if err = e.look(ctx, k, j, known, met); err == nil || fault.Is(err, fault.NotFound) {
				err = nil
				continue
			}
		}
		_, met = e.recall(e.id(k, j.name), j.created)
		if stampIn(j.name) == "" && !met {
			strangers = append(strangers, j.name)
		}
	}
	if fault.Is(err, fault.Throttled) {
		err = nil
	}
	return strangers, err
}

// byNeed sorts: names that tell nothing first, then the newest.
func byNeed(jobs map[string]job) []job {
	return slices.SortedFunc(maps.Values(jobs), func(a, b job) int {
		return cmp.Or(
			cmp.Compare(len(stampIn(a.name)), len(stampIn(b.name))),
			b.created.Compare(a.created),
			cmp.Compare(a.name, b.name))
	})
}

// look looks one job up: its tags once, its description until it has begun.
func (e *Engine) look(ctx context.Context, k kind, j job, known known, met bool) error {
	op := "sagemaker: look up " + k.noun + " " + j.name
	if !met {
		var err error
		if known.marks, err = e.tags(ctx, op, j.arn); err != nil {
			return err
		}
		known.created, known.name = j.created, j.name
		e.remember(e.id(k, j.name), known)
	}
	d, err := k.describe(ctx, j.name)
	if err != nil {
		return classify(op, err)
	}
	known.limit, known.billing, known.started = d.limit, d.billing, d.started
	e.remember(e.id(k, j.name), known)
	return nil
}

func (e *Engine) listed(k kind, jobs map[string]job, asked time.Time, complete bool) workload.Listing {
	l := workload.Listing{Complete: complete}
	for _, name := range slices.Sorted(maps.Keys(jobs)) {
		j := jobs[name]
		known, met := e.recall(e.id(k, name), j.created)
		if !met {
			known.marks = marks{stamp: stampIn(name)}
		}
		j.limit, j.billing, j.started = known.limit, known.billing, known.started
		l.Runs = append(l.Runs, e.observe(k, j, known.marks, asked))
	}
	return l
}

// describeJob asks about one job; the stamp of a job that is over is not worth
// an error.
func (e *Engine) describeJob(ctx context.Context, k kind, by called) (workload.Observation, error) {
	op := "sagemaker: describe " + k.noun
	asked := e.now()
	j, err := e.ask(ctx, op, k, &by)
	switch {
	case errors.Is(err, errHidden):
		return workload.Observation{}, err
	case fault.Is(err, fault.NotFound):
		return workload.Observation{Run: e.run(k, by.name, 0, workload.Billing{}), State: workload.Gone, At: asked}, nil
	case err != nil:
		return workload.Observation{}, err
	}
	j.name = cmp.Or(j.name, by.name)
	known, met := e.recall(e.id(k, j.name), j.created)
	if !met {
		known.created, known.name, known.marks = j.created, j.name, marks{stamp: stampIn(j.name)}
		m, err := e.tags(ctx, op, j.arn)
		switch {
		case err == nil:
			known.marks, met = m, true
		case !over(j.status) && known.stamp == "":
			return workload.Observation{}, err
		}
	}
	known.limit, known.billing, known.started = j.limit, j.billing, j.started
	if met {
		e.remember(e.id(k, j.name), known)
	}
	return e.observe(k, j, known.marks, asked), nil
}

func (e *Engine) observe(k kind, j job, m marks, asked time.Time) workload.Observation {
	o := workload.Observation{
		Run: e.run(k, j.name, j.limit, m.billing(j.billing)), Name: j.name, State: state(k, j), At: asked,
		CreatedAt: j.created, RunningSince: j.started, Stamp: m.stamp, User: m.user, PartOf: m.partOf,
		Detail: strings.TrimSpace(j.secondary + " " + j.failure),
	}
	if o.State == workload.Unknown {
		o.Detail = strings.TrimSpace("state " + j.status + " " + o.Detail)
	}
	if o.State.Over() {
		switch {
		case !j.ended.IsZero():
			o.At = j.ended
		case !j.modified.IsZero():
			o.At = j.modified
		}
	}
	return o
}

func over(status string) bool {
	return status == completed || status == failed || status == stopped
}

// state normalises the service's words. Once a job has begun it is running, also
// while it is interrupted or downloads anew. A word that is not known says neither
// that a job runs nor that it is over.
func state(k kind, j job) workload.State {
	switch j.status {
	case completed:
		return workload.Succeeded
	case failed:
		return workload.Failed
	case stopped:
		return workload.Stopped
	case stopping, deleting:
		return workload.Stopping
	case inProgress:
	default:
		return workload.Unknown
	}
	if !j.started.IsZero() {
		return workload.Running
	}
	return k.state(j)
}
