// Scale counts what a deployment of a million sessions calls, reads and writes: the
// production handlers, machines, store and identity checks run at a 200th and at a 100th
// of the size, on a virtual clock and a table in memory that counts as DynamoDB does, and
// a line through the two says what the whole would take. It compares that with a table of
// quotas, names the first that is used up, and says what a month costs. How long a function
// takes is estimated, from usual latencies and a decoding that is measured here; all else
// is counted.
package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/ddbstore"
	"nightshift/internal/sim/ladder"
)

// The whole size.
const (
	fullSessions = 1_000_000
	fullSignOuts = 50_000 // in an hour
	fullRuns     = 10_000 // on one endpoint
)

// signOutMinutes is how much of the hour of sign-outs is played.
const signOutMinutes = 6

func main() {
	debug.SetGCPercent(400) // the table in memory is other machines'
	fmt.Printf("machine cores=%d os=%s arch=%s go=%s\n", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	perItem := decoding()
	fmt.Printf("decoding us_per_item=%.0f at_256_mib_us=%.0f\n", float64(perItem.Nanoseconds())/1e3, float64(perItem.Nanoseconds())/1e3/share)
	if err := report(os.Stdout, size{64, 100, 0}, size{64, 200, 0}, perItem); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// decoding measures what reading one session of a batch of a hundred takes a processor.
func decoding() time.Duration {
	w := newWorld(size{4, 100, 0}, 100, 0, nil)
	w.open(100, w.spread)
	var ids []string
	page, err := w.Store.List(context.Background(), "")
	must(err)
	for _, s := range page.Sessions {
		ids = append(ids, s.ID)
	}
	store := w.Store.Store.(*ddbstore.Store)
	const times = 200
	began := processor()
	for range times {
		_, err := store.Sessions(context.Background(), ids)
		must(err)
	}
	return (processor() - began) / time.Duration(times*len(ids))
}

// processor is what the process has used of processors: the time of day tells how busy
// the machine is.
func processor() time.Duration {
	var u syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measured is what was counted at one size, by part.
type measured map[string]figures

// measure plays all parts at one size.
func measure(n size, perItem time.Duration, planted plant) measured {
	m := measured{}
	w := newWorld(n, n.sessions()/perUser, perItem, planted)
	w.tally.reset()
	w.open(n.sessions(), w.spread)
	w.Play(30 * time.Second)
	m["open"] = w.tally.read(1)
	w.start()
	w.Play(12 * time.Minute) // all runs are older than ten minutes
	m["steady"] = w.window(10)
	m["steady"]["sessions.open"] = float64(n.sessions())
	clear(w.stops)
	w.signOuts(n.signOuts())
	m["signout"] = w.window(signOutMinutes)
	m["signout"]["endpoints"] = float64(n.endpoints)
	for _, asked := range w.stops {
		m["signout"]["sagemaker.Stop.most_of_an_endpoint_per_min"] = max(m["signout"]["sagemaker.Stop.most_of_an_endpoint_per_min"], float64(asked)/signOutMinutes)
	}
	m["hot"] = hot(n, perItem, planted)
	return m
}

// hot has one endpoint with so many runs, which all end with their users' sign-outs.
func hot(n size, perItem time.Duration, planted plant) figures {
	runs := n.runs()
	users := (runs + perUser - 1) / perUser
	w := newWorld(n, users, perItem, planted)
	w.open(runs, func(int) int { return 1 })
	w.start()
	w.Play(12 * time.Minute)
	f := w.window(10)
	known := w.Clock.Now()
	w.Do(func(ctx context.Context) {
		for i := range users {
			w.signOut(ctx, userID(i), true)
		}
	})
	w.Play(time.Duration(2*float64(runs)/cadence.Of("sagemaker").Stop.PerSecond)*time.Second + 5*time.Minute)
	last := 0.0
	for cursor := ""; ; {
		page, err := w.Store.List(context.Background(), cursor)
		must(err)
		for _, s := range page.Sessions {
			if s.End.Confirmed.IsZero() {
				panic("a session of the hot endpoint did not end: " + s.ID)
			}
			last = max(last, w.Engine.Asked(s.Run.Ref()).Sub(known).Seconds())
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	f["hot.stopped_after_s"] = last
	return f
}

// replay has sign-outs recorded at the whole rate, none of which arrives, and says how
// far CloudTrail's replay is behind after an hour.
func replay(perHour int) (behind time.Duration, taken int) {
	w := newWorld(size{2, 100, 0}, 1, 0, nil)
	w.open(perUser, w.spread)
	w.start()
	w.Play(10 * time.Minute)
	w.Go(func(ctx context.Context) {
		for i := range perHour {
			w.signOut(ctx, userID(1_000+i), false)
			if w.Clock.Sleep(ctx, time.Hour/time.Duration(perHour)) != nil {
				return
			}
		}
	})
	w.Play(time.Hour)
	at, err := w.Store.Mark(context.Background(), "identity-replay")
	must(err)
	for i := range perHour {
		u, err := w.Store.User(context.Background(), userID(1_000+i))
		must(err)
		if u.Version > 0 {
			taken++
		}
	}
	return w.Clock.Now().Sub(at), taken
}

// report plays two sizes, and a replay of the whole.
func report(out io.Writer, small, large size, perItem time.Duration) error {
	err := judge(out, small, large, measure(small, perItem, nil), measure(large, perItem, nil))
	behind, taken := replay(fullSignOuts)
	fmt.Fprintf(out, "replay sign_outs_per_h=%d found_in_h=%d behind_s=%.0f\n", fullSignOuts, taken, behind.Seconds())
	return err
}

// judge prints what two sizes say of the whole.
func judge(out io.Writer, small, large size, a, b measured) error {
	n1, n2 := float64(small.sessions()), float64(large.sessions())
	for _, n := range []size{small, large, {small.endpoints, fullSessions / small.endpoints, 0}} {
		fmt.Fprintf(out, "size sessions=%d users=%d endpoints=%d sign_outs_per_h=%d runs_on_one=%d\n", n.sessions(), n.sessions()/perUser, n.endpoints, n.signOuts(), n.runs())
	}
	whole := measured{}
	for _, part := range slices.Sorted(maps.Keys(b)) {
		whole[part] = figures{}
		for _, name := range slices.Sorted(maps.Keys(b[part])) {
			full := bounded(name, line(fullSessions, n1, n2, a[part][name], b[part][name]))
			whole[part][name] = full
			said := number(full)
			if !claimed(part, name) {
				said = "not_a_line"
			}
			fmt.Fprintf(out, "count part=%s figure=%s at_%d=%s at_%d=%s whole=%s\n", part, name, small.sessions(), number(a[part][name]), large.sessions(), number(b[part][name]), said)
		}
	}
	whole["signout"] = draining(whole["steady"], b["steady"], b["signout"], whole["signout"])
	first, least := "", math.Inf(1)
	for _, q := range quotas {
		u1, u2 := q.used(a[q.part]), q.used(b[q.part])
		full, reached := q.used(whole[q.part]), q.reached(n1, n2, u1, u2)
		at := "beyond"
		if full < q.allows {
			reached = 0 // a bound of ours is reached before
		}
		if reached > 0 {
			at = number(reached)
		}
		fmt.Fprintf(out, "limit name=%q part=%s whole=%s allows=%s unit=%s reached_at_sessions=%s source=%q past=%q\n", q.name, q.part, number(full), number(q.allows), q.unit, at, q.source, q.past)
		if reached > 0 && reached < least {
			first, least = q.name, reached
		}
	}
	openings(out, whole["open"])
	costs(out, whole)
	people(out)
	if first == "" {
		return fmt.Errorf("no limit is ever reached: that cannot be")
	}
	fmt.Fprintf(out, "first_limit name=%q sessions=%s\n", first, number(least))
	return nil
}

// openings prints how many sessions a second can be opened by each quota that an opening
// uses of: an execution of run for each, and what was counted while all were opened.
func openings(out io.Writer, open figures) {
	an := func(used func(figures) float64) float64 { return used(open) * 60 / fullSessions }
	each := figures{
		"StartExecution": 1, "state transitions": runTransitions, "functions at once": an(concurrency),
		"reads of one partition": an(hottest("read")), "writes of one partition": an(hottest("write")),
		"reads of the table": an(perSecond("dynamodb.read_units")), "writes of the table": an(perSecond("dynamodb.write_units")),
	}
	for _, q := range quotas {
		if used := each[q.name]; used > 0 {
			fmt.Fprintf(out, "opening quota=%q used_each=%s allows=%s openings_a_s=%s\n", q.name, number(used), number(q.allows), number(q.allows/used))
		}
	}
}

// costs prints what a month costs: the standing sessions, as many opened anew each day,
// and each day an hour of sign-outs.
func costs(out io.Writer, whole measured) {
	const minutes, days = 30 * 24 * 60, 30
	month := figures{}
	for part, times := range map[string]float64{"steady": minutes, "open": days, "signout": 60 * days} {
		b := bill(whole[part])
		if part == "signout" { // beyond what stands anyway
			for name, usd := range bill(whole["steady"]) {
				b[name] = max(0, b[name]-usd)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(b)) {
			month[name] += b[name] * times
		}
		fmt.Fprintf(out, "cost part=%s times=%.0f usd=%.0f\n", part, times, b.total()*times)
	}
	month["step_functions"] += fullSessions * days * runTransitions * ladder.PerTransition
	for _, name := range slices.Sorted(maps.Keys(month)) {
		fmt.Fprintf(out, "cost service=%s usd_a_month=%.0f\n", name, month[name])
	}
	fmt.Fprintf(out, "cost usd_a_month=%.0f a_session_day=%.6f\n", month.total(), month.total()/days/fullSessions)
}

// runTransitions are the states that an execution of run enters: two tasks and an end.
const runTransitions = 3

// people prints how often the identity check asks for each user of the whole.
func people(out io.Writer) {
	users := fullSessions / perUser
	paged := min(users, 100*cadence.DirectoryPagesMax)
	fmt.Fprintf(out, "identity users=%d by_page=%d by_name=%d each_user_minutes=%.0f\n", users, paged, users-paged, cadence.IdentityPeriod(users-paged).Minutes())
}
