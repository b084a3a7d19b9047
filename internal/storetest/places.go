package storetest

import (
	"fmt"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
)

func notebooks(t *testing.T, s suite) {
	if got := must[app.Notebook](t)(s.Store.Notebook(s.ctx, "n#%~")); !reflect.DeepEqual(got, app.Notebook{ID: "n#%~"}) {
		t.Errorf("a notebook never heard of: %+v", got)
	}
	put := func(n app.Notebook) error { return s.Store.PutNotebook(s.ctx, n) }
	n := app.Notebook{ID: "n#%~", Version: 1, Endpoint: place, Place: "e-1/churn.ipynb", Runs: []app.NotebookRun{{Session: "s-1", User: ana, Cluster: "j-1"}, {Session: "s-2", User: ana, Cluster: "j-1"}}}
	wantKind(t, "version 0", put(app.Notebook{ID: "n"}), fault.Invalid)
	wantKind(t, "without an id", put(app.Notebook{Version: 1}), fault.Invalid)
	wantKind(t, "version 2 first", put(app.Notebook{ID: "n", Version: 2}), fault.Conflict)
	if err := put(n); err != nil {
		t.Fatal(err)
	}
	wantKind(t, "the same version again", put(n), fault.Conflict)
	name := func(n app.Notebook) string { return n.ID }
	s.Settle()
	wantSet(t, "moves of one that stays", everything(t, s.moves), name, nil)
	n.Version, n.Move = 2, app.Move{ID: "m", Session: "s-1", From: "j-1", To: "j-2", Back: true, Alone: true, Before: true, Since: base, Why: "it is full", Made: "nightshift-n", Note: "but for steps.", Tries: 3, Tried: base}
	if err := put(n); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "the notebook", must[app.Notebook](t)(s.Store.Notebook(s.ctx, n.ID)), n)
	n.Runs[0].Cluster = "changed by the caller" // what was written is a copy
	if got := must[app.Notebook](t)(s.Store.Notebook(s.ctx, n.ID)); got.Runs[0].Cluster != "j-1" {
		t.Error("the store shares its notebooks with its callers")
	}
	for i := range many {
		if err := put(app.Notebook{ID: fmt.Sprintf("n-%03d", i), Version: 1}); err != nil {
			t.Fatal(err)
		}
	}
	s.Settle()
	wantSet(t, "moves", everything(t, s.moves), name, []string{n.ID})
	if all := everything(t, s.notebooks); len(all) != many+1 {
		t.Errorf("%d notebooks are listed, want %d", len(all), many+1)
	}
	n.Version, n.Move = 3, app.Move{}
	if err := put(n); err != nil {
		t.Fatal(err)
	}
	s.Settle()
	wantSet(t, "moves after the end", everything(t, s.moves), name, nil)
}

func (s suite) notebooks(c string) ([]app.Notebook, string, error) {
	return s.Store.Notebooks(s.ctx, c)
}

func (s suite) moves(c string) ([]app.Notebook, string, error) { return s.Store.Moves(s.ctx, c) }

func ledgers(t *testing.T, s suite) {
	const name = "cluster/j-1"
	if got := must[app.Ledger](t)(s.Store.Ledger(s.ctx, name)); !reflect.DeepEqual(got, app.Ledger{Name: name}) {
		t.Errorf("a ledger never heard of: %+v", got)
	}
	wantKind(t, "version 0", s.Store.PutLedger(s.ctx, app.Ledger{Name: name}), fault.Invalid)
	wantKind(t, "without a name", s.Store.PutLedger(s.ctx, app.Ledger{Version: 1}), fault.Invalid)
	const writers = 8
	var won atomic.Int64
	together(writers, func(i int) {
		l := app.Ledger{Name: name, Version: 1, Held: []app.Hold{{By: fmt.Sprint("s-", i), For: "n", N: i, Alone: true, Until: base.Add(time.Hour)}}}
		err := insist(func() error { return s.Store.PutLedger(s.ctx, l) })
		if err == nil {
			won.Add(1)
			if got, err := s.Store.Ledger(s.ctx, name); err != nil || !reflect.DeepEqual(got, l) {
				t.Errorf("got %+v, %v, want %+v", got, err, l)
			}
		} else if !fault.Is(err, fault.Conflict) {
			t.Error(err)
		}
	})
	if won.Load() != 1 {
		t.Errorf("%d of %d won", won.Load(), writers)
	}
	full := app.Ledger{Name: name, Version: 2}
	for i := range app.HoldsMax {
		full.Held = append(full.Held, app.Hold{By: fmt.Sprintf("s-%024d", i), For: "emr-notebook/123456789012/us-east-1/n-0123456789abcdef01234567", N: 100, Until: base})
	}
	if err := s.Store.PutLedger(s.ctx, full); err != nil {
		t.Errorf("as many as are allowed do not fit: %v", err)
	}
}
