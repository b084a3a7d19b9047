package main

import (
	"context"
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/ddbstore"
	"nightshift/internal/sim/ladder"
	"nightshift/internal/storetest"
	"nightshift/statemachines"
)

// What is counted here is DynamoDB's to the store: it passes the suite that the real
// engines pass.
func TestTheTableInMemoryIsATable(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Harness {
		s := ddbstore.New(newTable(func(context.Context, use) {}), "scale")
		return storetest.Harness{Store: s, SampleBody: s.SampleBody, Settle: func() {}, Declared: 1}
	})
}

// A session's life consumes here what a real engine says that it does: make bench has
// session_life write_units=37.2 read_units=357 of dynoxide.
func TestTheTableInMemoryCountsAsARealOne(t *testing.T) {
	var units [2][2]float64
	for i, n := range []int{2, 12} {
		w := newTally()
		if err := ladder.Live(ddbstore.New(newTable(w.used), "scale"), n); err != nil {
			t.Fatal(err)
		}
		units[i] = [2]float64{w.sums["dynamodb.write_units"], w.sums["dynamodb.read_units"]}
	}
	writes, reads := (units[1][0]-units[0][0])/10, (units[1][1]-units[0][1])/10
	if math.Abs(writes-37.2) > 0.5 || math.Abs(reads-357) > 5 {
		t.Errorf("a session's life consumes %.1f write units and %.1f read units", writes, reads)
	}
}

// An expression that the store does not write is refused, not guessed.
func TestExpressionsAreReadOrRefused(t *testing.T) {
	it := attributes{"a": &types.AttributeValueMemberS{Value: "x"}, "n": &types.AttributeValueMemberN{Value: "2"}}
	values := attributes{":x": &types.AttributeValueMemberS{Value: "x"}, ":y": &types.AttributeValueMemberS{Value: "y"}, ":n": &types.AttributeValueMemberN{Value: "3"}}
	for condition, want := range map[string]bool{
		"a = :x": true, "a = :y": false, "a < :y": true, "n < :n": true, "missing < :n": false, "missing = :x": false,
		"attribute_exists(a) AND attribute_not_exists(b)": true, "a = :y OR (a = :x AND n < :n)": true, "a IN (:y, :x)": true, "missing IN (:x)": false,
		"a BETWEEN :x AND :y": true,
	} {
		if got := newExpression(condition, nil, values, it).holds(); got != want {
			t.Errorf("%s: %t", condition, got)
		}
	}
	for _, bad := range []string{"a > :x", "a = :none", "begins_with(a, :x)", "a = :x a", "#who = :x"} {
		if !panics(func() { newExpression(bad, nil, values, it).holds() }) {
			t.Errorf("%s is taken", bad)
		}
	}
	if !panics(func() { newExpression("DELETE a :x", nil, values, it).update() }) {
		t.Error("an update of another form is taken")
	}
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

// few are sizes that a test can play, of one regime: fewer users than are asked for by
// pages. So many sign out that it happens to somebody in the minutes that are played.
func few(perEndpoint int) size { return size{2, perEndpoint, 20} }

// The line through two sizes tells what a third, twice as far away, takes.
func TestFiguresAreLinearWhereALineIsDrawn(t *testing.T) {
	a, b, c := measure(few(100), 50*time.Microsecond, nil), measure(few(200), 50*time.Microsecond, nil), measure(few(300), 50*time.Microsecond, nil)
	looked := 0
	for part, all := range c {
		for name, n := range all {
			if !claimed(part, name) || n < 20 {
				continue // what happens a few times in a window is no line
			}
			looked++
			if said := line(600, 200, 400, a[part][name], b[part][name]); math.Abs(said-n) > 0.15*n {
				t.Errorf("%s %s: the line says %.1f, it is %.1f (%.1f, %.1f)", part, name, said, n, a[part][name], b[part][name])
			}
		}
	}
	if looked < 25 {
		t.Errorf("only %d figures were looked at", looked)
	}
	var out strings.Builder
	if err := judge(&out, few(100), few(200), a, b); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Count(text, "\nlimit ") != len(quotas) || !strings.Contains(text, "\nfirst_limit name=") {
		t.Errorf("%s", text)
	}
	// An opening starts an execution of run, and reads the policy four times.
	for _, said := range []string{`\nopening quota="StartExecution" .* openings_a_s=300\n`, `\nopening quota="reads of one partition" .* openings_a_s=750\n`} {
		if !regexp.MustCompile(said).MatchString(out.String()) {
			t.Errorf("%q is not said:\n%s", said, out.String())
		}
	}
	if n := strings.Count(out.String(), "\nopening quota="); n != 7 {
		t.Errorf("openings are held to %d quotas, want 7", n)
	}
	regression(t, b)
}

// regression: a call more for each session and minute, as somebody may add it in good
// faith, moves the figures that are printed, and the limit.
func regression(t *testing.T, sound measured) {
	t.Helper()
	bad := measure(few(200), 50*time.Microsecond, func(a *app.App) {
		a.Store = curious{a.Store}
	})
	const reads = "dynamodb.GetItem.calls_per_min"
	more := bad["steady"][reads] - sound["steady"][reads]
	if per := more / 400; per < 0.9 || per > 1.6 {
		t.Errorf("a read more for each session and minute shows as %.2f", per)
	}
	if was, is := sound["steady"]["lambda.on-schedule.ms_each"], bad["steady"]["lambda.on-schedule.ms_each"]; is < was+400*latency["dynamodb.GetItem"]*0.9 {
		t.Errorf("a sweep of %.0f ms takes %.0f with it", was, is)
	}
}

// curious is a store that reads each session of an endpoint once more.
type curious struct{ app.Store }

func (c curious) OfEndpoint(ctx context.Context, endpoint, cursor string) (app.Page, error) {
	p, err := c.Store.OfEndpoint(ctx, endpoint, cursor)
	for _, s := range p.Sessions {
		_, again := c.Store.Session(ctx, s.ID)
		err = errors.Join(err, again)
	}
	return p, err
}

// S3.5c: a replay of a busy half hour reads events with most of its calls: at 50,000
// sign-outs an hour a call gives up to 50 of them.
func TestS3_5AReplayOfABusyEvening(t *testing.T) {
	w := newWorld(size{2, 100, 0}, 1, 0, nil)
	w.Do(func(ctx context.Context) {
		for i := range fullSignOuts / 2 {
			w.signOut(ctx, userID(i), false)
			if w.Clock.Sleep(ctx, time.Hour/fullSignOuts) != nil {
				return
			}
		}
	})
	w.Play(time.Hour/2 + time.Second)
	got := 0
	var unread *app.Unread
	w.Go(func(ctx context.Context) {
		bodies, err := w.identity.Replay(ctx, w.Clock.Now().Add(-cadence.ReplayBack))
		got = len(bodies)
		errors.As(err, &unread)
	})
	w.Play(time.Minute)
	if calls := w.tally.sums["cloudtrail.LookupEvents.calls"]; unread == nil || calls == 0 || float64(got) < 12*calls {
		t.Errorf("%d events are read with %.0f calls (%v)", got, calls, unread)
	}
}

// An execution of run enters the states that are billed here.
func TestTransitionsOfRun(t *testing.T) {
	text := string(statemachines.Definition(statemachines.Run))
	if tasks := strings.Count(text, `"Type": "Task"`); tasks+1 != runTransitions {
		t.Errorf("run has %d tasks", tasks)
	}
}

// Each quota says who allows it and how to get past it, and is of a part that is played.
func TestQuotas(t *testing.T) {
	parts := []string{"open", "steady", "signout", "hot"}
	seen := map[string]bool{}
	for _, q := range quotas {
		if q.allows <= 0 || q.source == "" || q.past == "" || q.unit == "" || !slices.Contains(parts, q.part) || seen[q.name] {
			t.Errorf("%+v", q)
		}
		seen[q.name] = true
	}
	q := quota{allows: 100}
	for _, c := range []struct{ u1, u2, want float64 }{{10, 20, 1000}, {10, 10, 0}, {20, 10, 0}, {200, 300, 0}} {
		if got := q.reached(100, 200, c.u1, c.u2); got != c.want {
			t.Errorf("from %g and %g it is reached at %g, want %g", c.u1, c.u2, got, c.want)
		}
	}
}
