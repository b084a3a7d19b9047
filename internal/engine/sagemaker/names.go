package sagemaker

import (
	"context"
	"errors"
	"strings"
	"time"

	"nightshift/internal/fault"
)

// longAgo is how far back a job's own name is looked for among those that are
// over.
const longAgo = 24 * time.Hour

// errHidden is why a job is neither described nor said to be gone: it is not
// known by the name in its ARN, and who asks may not list jobs.
var errHidden = errors.New("the job is not known by the name in its ARN, and its own cannot be looked for")

// called is the name that a job is asked for by. Most ARNs have it in lower
// case; AWS does not say whether it answers to that, so a job that it does not
// know by such a name is not taken for gone.
type called struct {
	name string
	own  bool // it is the job's own, letter by letter
}

// called gives a job's own name where the run has it (one that its id is not made
// of is another job's); else the one that was last
// seen for its id, else the one in the id.
func (e *Engine) called(k kind, own, inID string) called {
	if e.id(k, own) == e.id(k, inID) {
		return called{name: own, own: true}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if seen := e.known[e.id(k, inID)].name; seen != "" {
		return called{name: seen}
	}
	return called{name: inID}
}

// ask describes a job. NotFound: it is there under no case of its name.
func (e *Engine) ask(ctx context.Context, op string, k kind, by *called) (j job, err error) {
	err = e.call(ctx, op, k, by, func(ctx context.Context, name string) (err error) {
		j, err = k.describe(ctx, name)
		return err
	})
	return j, err
}

// call does what it is given to the job of a name. Where the service does not
// know it and the case of its letters is not known, the job's own name is looked
// for, noted in by, and tried once more.
func (e *Engine) call(ctx context.Context, op string, k kind, by *called, do func(context.Context, string) error) error {
	err := classify(op, do(ctx, by.name))
	if by.own || !fault.Is(err, fault.NotFound) {
		return err
	}
	own, lookErr := e.ownName(ctx, k, by.name)
	switch {
	case fault.Is(lookErr, fault.Denied):
		return fault.Newf(op, fault.NotFound, "%w (%v)", errHidden, lookErr)
	case lookErr != nil:
		return lookErr
	case own == "":
		return err
	}
	*by = called{name: own, own: true}
	return classify(op, do(ctx, own))
}

// ownName finds a job by its name in any case among those that live or ended
// within a day; "" where none of them has it.
func (e *Engine) ownName(ctx context.Context, k kind, name string) (string, error) {
	// The order is that of listJobs: none slips from one look to the next unseen.
	for _, f := range []filter{{status: inProgress}, {status: stopping}, {modified: e.now().Add(-longAgo)}} {
		jobs := map[string]job{}
		whole, err := pagesOf(ctx, k, f, jobs)
		if err != nil {
			return "", err
		}
		for own := range jobs {
			if strings.EqualFold(own, name) {
				return own, nil
			}
		}
		if !whole {
			return "", fault.Newf("sagemaker: look for a "+k.noun, fault.Unknown, "too many to say whether one of them is %q in another case", name)
		}
	}
	return "", nil
}
