package sagemaker

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

// wholly is how often all executions of a pipeline are looked at, however old:
// a failed one can be retried long after (RetryPipelineExecution).
const wholly = time.Hour

// scan is what was learned by looking at one pipeline's executions. The API
// filters them by creation only, not by status.
type scan struct {
	last  time.Time // the pipeline's LastExecutionTime then; zero where it was not told
	from  time.Time // executions created before it were over
	whole time.Time // when all of them were last looked at
	alive bool      // some were not over, or ended lately
}

// listPipelines lists the executions that are alive, and those that ended
// lately: the ones seen alive before, or begun lately.
func (e *Engine) listPipelines(ctx context.Context) (workload.Listing, error) {
	asked := e.now()
	l := workload.Listing{Complete: true}
	pipelines, whole, err := e.pipelines(ctx)
	if err != nil {
		return workload.Listing{}, err
	}
	l.Complete = whole
	looks := looksMax
	for _, p := range pipelines {
		name, last := aws.ToString(p.PipelineName), aws.ToTime(p.LastExecutionTime)
		before := e.scanOf(name)
		due := asked.Sub(before.whole) >= wholly
		// A list may lag behind what has just begun.
		settled := !last.IsZero() && last.Equal(before.last) && asked.Sub(last) >= lately
		if !due && !before.alive && settled {
			continue
		}
		if due {
			before.from, before.whole = time.Time{}, asked
		}
		summaries, whole, err := e.executionsOf(ctx, name, before.from)
		if err != nil {
			l.Complete = false
			return l, err
		}
		seen, err := e.looked(ctx, summaries, asked, &looks)
		l.Runs = append(l.Runs, seen...)
		if err != nil && !fault.Is(err, fault.Throttled) {
			l.Complete = false
			return l, err
		}
		if whole = whole && err == nil; whole {
			e.noteScan(name, scan{last: last, from: oldest(seen, asked.Add(-lately)), whole: before.whole, alive: len(seen) > 0})
		}
		l.Complete = l.Complete && whole
	}
	return l, nil
}

// oldest is when the oldest of the executions began, or the given moment.
func oldest(seen []workload.Observation, t time.Time) time.Time {
	for _, o := range seen {
		if o.CreatedAt.Before(t) {
			t = o.CreatedAt
		}
	}
	return t.Add(-time.Second) // the filter leaves out what was created at the very moment
}

// pipelines are those to look at: the ones the settings name, else all that were
// ever executed.
func (e *Engine) pipelines(ctx context.Context) (pipelines []types.PipelineSummary, whole bool, err error) {
	for _, name := range e.only {
		pipelines = append(pipelines, types.PipelineSummary{PipelineName: aws.String(name)})
	}
	if len(e.only) > 0 {
		return pipelines, true, nil
	}
	in := &sdk.ListPipelinesInput{MaxResults: aws.Int32(pageSize)}
	for range pagesMax {
		out, err := e.client.ListPipelines(ctx, in)
		if err != nil {
			return nil, false, classify("sagemaker: list pipelines", err)
		}
		for _, p := range out.PipelineSummaries {
			if p.LastExecutionTime != nil {
				pipelines = append(pipelines, p)
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return pipelines, true, nil
		}
	}
	return pipelines, false, nil
}

// executionsOf lists a pipeline's executions created after a moment, newest
// first. A pipeline that is not there (any more) has none.
func (e *Engine) executionsOf(ctx context.Context, pipeline string, after time.Time) (all []types.PipelineExecutionSummary, whole bool, err error) {
	in := &sdk.ListPipelineExecutionsInput{PipelineName: &pipeline, MaxResults: aws.Int32(pageSize), SortOrder: types.SortOrderDescending}
	if !after.IsZero() {
		in.CreatedAfter = &after
	}
	for range pagesMax {
		out, err := e.client.ListPipelineExecutions(ctx, in)
		switch err = classify("sagemaker: list the executions of pipeline "+pipeline, err); {
		case fault.Is(err, fault.NotFound):
			return nil, true, nil
		case err != nil:
			return nil, false, err
		}
		all = append(all, out.PipelineExecutionSummaries...)
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return all, true, nil
		}
	}
	return all, false, nil
}

// looked makes observations of summaries, asking for what they do not tell: what
// an execution that is stopping waits for, and when one ended. looks is how many
// more may be asked. A fault of kind Throttled: some were left out.
func (e *Engine) looked(ctx context.Context, summaries []types.PipelineExecutionSummary, asked time.Time, looks *int) (seen []workload.Observation, err error) {
	for _, s := range summaries {
		id, ok := runOf(aws.ToString(s.PipelineExecutionArn))
		if !ok {
			continue
		}
		o := e.executing(id, s.PipelineExecutionStatus, aws.ToString(s.PipelineExecutionDisplayName), aws.ToTime(s.StartTime), asked)
		if !o.State.Over() {
			e.noteExecution(id, time.Time{})
			if o.State == workload.Stopping && *looks > 0 {
				*looks--
				e.explain(ctx, &o)
			}
			seen = append(seen, o)
			continue
		}
		ended, met := e.endOf(id)
		if !met && o.CreatedAt.Before(asked.Add(-lately)) {
			continue
		}
		if ended.IsZero() {
			if *looks--; *looks < 0 {
				return seen, fault.Newf("sagemaker: list pipeline executions", fault.Throttled, "more than %d need a look-up", looksMax)
			}
			if ended, err = e.endedAt(ctx, id); err != nil {
				return seen, err
			}
			e.noteExecution(id, ended)
		}
		if o.At = ended; asked.Sub(ended) < lately {
			seen = append(seen, o)
		}
	}
	return seen, nil
}

// endedAt asks when an execution that is over ended.
func (e *Engine) endedAt(ctx context.Context, id string) (time.Time, error) {
	d, err := e.client.DescribePipelineExecution(ctx, &sdk.DescribePipelineExecutionInput{PipelineExecutionArn: aws.String(e.arns + id)})
	switch err = classify("sagemaker: describe pipeline execution", err); {
	case fault.Is(err, fault.NotFound):
		return e.now(), nil // deleted meanwhile
	case err != nil:
		return time.Time{}, err
	}
	return aws.ToTime(d.LastModifiedTime), nil
}

// count brings the jobs that run to their executions: one that is over but has
// such a job is not reported as over, and one that no list showed is added. An
// execution that is over is left out where jobs are missing in their listing.
// whole says whether all were counted.
func (e *Engine) count(ctx context.Context, executions *workload.Listing, jobs workload.Listing) (whole bool, err error) {
	parts := map[string][]workload.Observation{}
	for _, j := range jobs.Runs {
		if j.PartOf != "" && !j.State.Over() {
			parts[j.PartOf] = append(parts[j.PartOf], j)
		}
	}
	var counted []workload.Observation
	for _, o := range executions.Runs {
		if o.State.Over() {
			if len(parts[o.Run.ID]) == 0 && !jobs.Complete {
				continue
			}
			outlived(&o, parts[o.Run.ID], e.now())
		}
		counted = append(counted, o)
		delete(parts, o.Run.ID)
	}
	whole = true
	for i, id := range slices.Sorted(maps.Keys(parts)) {
		if i == looksMax {
			whole = false
			break
		}
		var o workload.Observation
		if o, err = e.describePipeline(ctx, id); err != nil {
			whole = false
			break
		}
		switch {
		case o.State == workload.Gone:
			alone(jobs.Runs, id)
		case !o.State.Over():
			counted = append(counted, o)
		}
	}
	executions.Runs = counted
	if fault.Is(err, fault.Throttled) {
		err = nil
	}
	return whole, err
}

// alone makes runs of their own of the jobs whose execution is no more.
func alone(jobs []workload.Observation, id string) {
	for i := range jobs {
		if jobs[i].PartOf == id {
			jobs[i].PartOf = ""
		}
	}
}

func (e *Engine) scanOf(pipeline string) scan {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.scanned[pipeline]
}

func (e *Engine) noteScan(pipeline string, s scan) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.scanned[pipeline] = s
}

// endOf tells whether an execution was seen before, and when it ended; zero
// where it was alive then.
func (e *Engine) endOf(id string) (ended time.Time, met bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	ended, met = e.executions[id]
	return ended, met
}

func (e *Engine) noteExecution(id string, ended time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.executions) >= knownMax {
		clear(e.executions)
	}
	e.executions[id] = ended
}
