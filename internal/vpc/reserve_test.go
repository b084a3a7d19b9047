package vpc_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/memstore"
	"nightshift/internal/session"
	"nightshift/internal/vpc"
	"nightshift/internal/workload"
)

// S6.1: jobs that are checked in one moment are not all admitted to addresses that
// suffice for some: 30 free addresses, 10 instances each, two addresses an instance.
func TestS6_1PreflightsInOneMoment(t *testing.T) {
	t.Parallel()
	for round := range 20 {
		now := time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)
		store := memstore.New(memstore.WithIndexLag(func() time.Time { return now }, func() time.Duration { return time.Minute }))
		a := &app.App{Store: store, Now: func() time.Time { return now }}
		s := open(t)
		s.Sessions, s.Reserve = store, a.Reserve
		check := func(name string) vpc.Output {
			r := request(workload.SageMakerProcessing)
			r.Execution += name
			out, err := s.Check(t.Context(), r, []byte(spec))
			if err != nil {
				t.Error(err)
			}
			return out
		}
		const together = 4
		verdicts := make([]string, together)
		var wg sync.WaitGroup
		for i := range together {
			wg.Go(func() { verdicts[i] = check(fmt.Sprint(i)).Verdict })
		}
		wg.Wait()
		admitted := -1
		for i, v := range verdicts {
			if v == vpc.Passed {
				if admitted >= 0 {
					t.Fatalf("S6.1 round %d: %v", round, verdicts)
				}
				admitted = i
			}
		}
		if admitted < 0 {
			t.Fatalf("S6.1 round %d: nobody was admitted: %v", round, verdicts)
		}
		if v := check(fmt.Sprint(admitted)).Verdict; v != vpc.Passed {
			t.Errorf("S6.1 a redrive is refused its own addresses: %s", v)
		}
		if v := check("late").Verdict; v != vpc.Failed {
			t.Errorf("S6.1 admitted to reserved addresses: %s", v)
		}
		now = now.Add(15 * time.Minute) // whoever reserved has opened nothing
		if v := check("later").Verdict; v != vpc.Passed {
			t.Errorf("S6.1 a reservation never ends: %s", v)
		}
	}
}

// A reservation goes when its job runs, and so holds its addresses, or is over; as
// long as it is being started it stays, however long that takes.
func TestS6_1ReservationsAreReleased(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status  session.Status
		running bool
		want    bool // others are admitted
	}{
		"it is being started": {session.Active, false, false}, "it runs": {session.Active, true, true}, "it is ending": {session.Ending, false, true}, "it has ended": {session.Ended, false, true},
	} {
		now := time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)
		a := &app.App{Store: fixed{memstore.New(), session.Session{ID: "s-1", Status: c.status, RunningSince: map[bool]time.Time{true: now}[c.running]}}, Now: func() time.Time { return now }}
		ask := func(id string) bool {
			admitted := false
			if err := a.Reserve(t.Context(), endpoint, id, 10, func(held map[string]int) (bool, error) {
				admitted = len(held) == 0
				return admitted, nil
			}); err != nil {
				t.Fatal(err)
			}
			return admitted
		}
		if !ask("s-1") {
			t.Fatal("the first is refused")
		}
		now = now.Add(time.Hour)
		if got := ask("s-2"); got != c.want {
			t.Errorf("S6.1 %s: another is admitted %t, want %t", name, got, c.want)
		}
	}
}

// fixed is a store with one session.
type fixed struct {
	app.Store
	s session.Session
}

func (f fixed) Sessions(_ context.Context, ids []string) (found []session.Session, _ error) {
	for _, id := range ids {
		if id == f.s.ID {
			found = append(found, f.s)
		}
	}
	return found, nil
}
