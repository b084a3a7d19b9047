package emrnotebook

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"

	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

const (
	// pagesMax bounds one question of a listing; past it the listing is answered
	// as incomplete.
	pagesMax = 200
	// young is how long after its start an execution is listed in every state.
	young = 2 * time.Hour
	// overlap is by how much the two questions of a listing overlap, so that
	// nothing falls between them for how the service rounds times.
	overlap = time.Minute
	// horizon is how far back a listing looks for what still runs: the longest
	// session, 90 days, and some. The service's own default is 30 days; whether it
	// takes more is not documented, so that it is asked without where it refuses.
	horizon = 100 * 24 * time.Hour
	// startsBack is how far back a start looks for an earlier one of its session.
	startsBack = time.Hour
	// looksMax bounds how many executions one listing describes. Others' that it
	// did not get to are left out, the listing is incomplete, and the next one
	// goes on: what is known is kept. EMR lets 5 through at once and then one
	// each 2 s, so that throttling usually ends the look-ups first.
	looksMax = 50
	// knownMax bounds what is kept; at the limit everything is forgotten and
	// looked up again.
	knownMax = 20_000
)

// List looks at every live execution, and at those that ended and had started
// within the last two hours. With an error it still answers what it saw, as an
// incomplete listing.
//
// EMR takes some 0.5 requests a second and filters by one status at a time, of
// which seven are alive: too many questions to ask each. So two are asked: what
// started lately, in every state, and what has run for longer. An older one that
// is neither is on its way out; those that were seen alive before are described,
// and of others a describe by whoever misses them tells.
func (e *Engine) List(ctx context.Context, endpoint string) (workload.Listing, error) {
	const op = "emr-notebook: list notebook executions"
	if endpoint != e.endpoint {
		return workload.Listing{}, fault.Newf(op, fault.Invalid, "this is %s, not %s", e.endpoint, endpoint)
	}
	asked := e.now()
	edge := asked.Add(-young)
	all := map[string]seen{}
	complete := true
	for _, in := range []*sdk.ListNotebookExecutionsInput{{From: aws.Time(edge)}, e.running(asked, edge)} {
		whole, err := e.pages(ctx, in, all)
		if fault.Is(err, fault.Invalid) && in.Status != "" && in.From != nil {
			e.shallow.Store(true)
			whole, err = e.pages(ctx, e.running(asked, edge), all)
		}
		if err != nil {
			return e.listing(all, asked, false), err
		}
		complete = complete && whole
	}
	told, err := e.lookUp(ctx, all, edge, complete)
	return e.listing(all, asked, complete && told), err
}

// running asks for what started before edge and runs.
func (e *Engine) running(asked, edge time.Time) *sdk.ListNotebookExecutionsInput {
	in := &sdk.ListNotebookExecutionsInput{To: aws.Time(edge.Add(overlap)), Status: types.NotebookExecutionStatusRunning}
	if !e.shallow.Load() {
		in.From = aws.Time(asked.Add(-horizon))
	}
	return in
}

// lookUp learns what the summaries do not tell: the tags of live executions whose
// names do not tell their session, and what has become of those that were seen
// alive and are not among them. Executions whose tags could not be read are
// taken out: to show them without would make orphans of them. Throttling only
// ends the look-ups; other errors are answered. told is false where something is
// missing.
func (e *Engine) lookUp(ctx context.Context, all map[string]seen, edge time.Time, complete bool) (told bool, err error) {
	told = true
	looks := looksMax
	try := func(id string) (seen, bool) {
		if looks == 0 || err != nil {
			return seen{}, false
		}
		looks--
		var x seen
		if x, err = e.describe(ctx, "emr-notebook: look up notebook execution "+id, id); fault.Is(err, fault.NotFound) {
			e.forget(id)
			err = nil // deleted since: not worth showing
		}
		return x, err == nil
	}
	for _, x := range slices.Backward(oldestFirst(all)) { // the newest first: they are the likelier not to be known
		if state(x.status).Over() || stampIn(x.name) != "" || e.recall(x.id).told {
			continue
		}
		fresh, ok := try(x.id)
		if told = told && ok; ok && fresh.id != "" {
			all[x.id] = fresh
		} else {
			delete(all, x.id)
		}
	}
	if complete {
		for _, id := range e.missed(all, edge) {
			x, ok := try(id)
			if told = told && ok; ok && x.id != "" {
				all[id] = x
			}
		}
	}
	if fault.Is(err, fault.Throttled) {
		return false, nil
	}
	return told && err == nil, err
}

// missed are the executions that were seen alive and that a whole listing lacks.
func (e *Engine) missed(all map[string]seen, edge time.Time) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var ids []string
	for id, k := range e.known {
		if _, there := all[id]; k.alive && !there && k.started.Before(edge.Add(overlap)) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (e *Engine) pages(ctx context.Context, in *sdk.ListNotebookExecutionsInput, into map[string]seen) (whole bool, err error) {
	for range pagesMax {
		out, err := e.client.ListNotebookExecutions(ctx, in)
		if err != nil {
			return false, classify("emr-notebook: list notebook executions", err)
		}
		for _, s := range out.NotebookExecutions {
			x := summarised(s)
			into[x.id] = x
		}
		if in.Marker = out.Marker; aws.ToString(in.Marker) == "" {
			return true, nil
		}
	}
	return false, nil
}

// look gives the tags of an execution, from memory where they were read before.
func (e *Engine) look(ctx context.Context, op, id string) (known, error) {
	if k := e.recall(id); k.told {
		return k, nil
	}
	_, err := e.describe(ctx, op, id)
	return e.recall(id), err
}

func (e *Engine) recall(id string) known {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.known[id]
}

func (e *Engine) remember(id string, k known) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.known) >= knownMax {
		clear(e.known)
	}
	e.known[id] = k
}

func (e *Engine) forget(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.known, id)
}

// seen is what summaries and descriptions both tell.
type seen struct {
	id, name, cluster string
	status            types.NotebookExecutionStatus
	started, ended    time.Time // zero: not told
	reason            string    // descriptions only
}

func summarised(s types.NotebookExecutionSummary) seen {
	return seen{
		id: aws.ToString(s.NotebookExecutionId), name: aws.ToString(s.NotebookExecutionName), cluster: aws.ToString(s.ExecutionEngineId),
		status: s.Status, started: aws.ToTime(s.StartTime), ended: aws.ToTime(s.EndTime),
	}
}

func described(x types.NotebookExecution) seen {
	s := seen{
		id: aws.ToString(x.NotebookExecutionId), name: aws.ToString(x.NotebookExecutionName),
		status: x.Status, started: aws.ToTime(x.StartTime), ended: aws.ToTime(x.EndTime), reason: aws.ToString(x.LastStateChangeReason),
	}
	if x.ExecutionEngine != nil {
		s.cluster = aws.ToString(x.ExecutionEngine.Id)
	}
	return s
}

func oldestFirst(all map[string]seen) []seen {
	return slices.SortedFunc(maps.Values(all), func(a, b seen) int {
		return cmp.Or(a.started.Compare(b.started), cmp.Compare(a.id, b.id))
	})
}

func (e *Engine) listing(all map[string]seen, asked time.Time, complete bool) workload.Listing {
	l := workload.Listing{Complete: complete}
	for _, x := range oldestFirst(all) {
		l.Runs = append(l.Runs, e.observe(x, asked))
	}
	return l
}

// observe says what was seen, and remembers whether it is alive.
func (e *Engine) observe(x seen, asked time.Time) workload.Observation {
	k := e.recall(x.id)
	o := workload.Observation{
		Run: e.run(x.id, x.cluster, k.sums), Name: x.name, State: state(x.status), At: asked,
		CreatedAt: x.started, Stamp: cmp.Or(k.stamp, stampIn(x.name)), User: k.user,
	}
	if k != (known{}) || !o.State.Over() {
		k.alive, k.started = !o.State.Over(), x.started
		e.remember(x.id, k)
	}
	if o.State.Over() && !x.ended.IsZero() {
		o.At = x.ended
	}
	var words []string
	switch x.status {
	case types.NotebookExecutionStatusFinishing, types.NotebookExecutionStatusFailing:
		words = append(words, "state "+string(x.status))
	default:
		if !slices.Contains(x.status.Values(), x.status) {
			words = append(words, "state "+string(x.status))
		}
	}
	if x.reason != "" {
		words = append(words, x.reason)
	}
	if k.creator != "" {
		words = append(words, "created by "+k.creator)
	}
	o.Detail = strings.Join(words, "; ")
	return o
}
