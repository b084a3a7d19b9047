package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore"
	"nightshift/internal/edge"
	"nightshift/internal/memstore"
	"nightshift/internal/session"
	"nightshift/internal/sim/ladder"
)

// decisions prints what one decision costs: a deadline that has passed.
func decisions(_ context.Context, out io.Writer, _ chains) error {
	opening := session.Opening{ID: "s-1", User: "ana", Run: ladder.Runs[ladder.Livy], Origin: session.Started, At: ladder.Began,
		Facts: session.Facts{IdentityPropagation: session.On, ApplicationBackground: session.On, ClusterBackground: session.On, ReleaseLabel: "emr-7.12.0"}}
	policy := session.DefaultPolicy()
	policy.InstanceBackground = session.On
	s := session.Open(opening, policy, session.UserFacts{User: "ana"}, ladder.Began).Next
	now := s.Deadline.Add(time.Second)
	tick := session.Event{Kind: session.Tick, At: now, Known: now, By: "nightshift", Evidence: "sweep"}
	if d := session.Decide(s, tick, policy, now); d.Next.Status != session.Ending {
		return fmt.Errorf("the decision that is measured answers %s", d.Next.Status)
	}
	r := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			session.Decide(s, tick, policy, now)
		}
	})
	fmt.Fprintf(out, "decide ns_per_op=%d allocs=%d\n", r.NsPerOp(), r.AllocsPerOp())
	return nil
}

const (
	commitWriters  = 8
	commitSessions = 64
)

// commits prints what one commit takes, with eight writers at once.
func commits(ctx context.Context, out io.Writer, real chains) error {
	memory, err := commit(ctx, real, memstore.New(), 40_000)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "commit store=memory %s\n", memory)
	engine := engineBinary()
	if engine == "" {
		fmt.Fprintln(out, "commit store=dynoxide absent")
		return nil
	}
	table, err := serve(ctx, real, engine)
	if err != nil {
		return err
	}
	defer table.close()
	store, err := table.fresh(ctx, "commits")
	if err != nil {
		return err
	}
	figures, err := commit(ctx, real, store, 4_000)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "commit store=dynoxide %s\n", figures)
	return nil
}

type commitFigures struct{ p50, p99, each time.Duration }

func (f commitFigures) String() string {
	return fmt.Sprintf("p50_us=%d p99_us=%d per_s=%.0f", f.p50.Microseconds(), f.p99.Microseconds(), 1/f.each.Seconds())
}

// timed measures a store's commits.
type timed struct {
	app.Store
	real chains
	mu   sync.Mutex
	took []time.Duration
}

// Commit implements app.Store.
func (t *timed) Commit(ctx context.Context, c app.Commit) error {
	began := t.real.Now()
	err := t.Store.Commit(ctx, c)
	took := t.real.Now().Sub(began)
	t.mu.Lock()
	t.took = append(t.took, took)
	t.mu.Unlock()
	return err
}

// commit has sessions decide on n events that each change something.
func commit(ctx context.Context, real chains, store app.Store, n int) (commitFigures, error) {
	t := &timed{Store: store, real: real}
	p := newPlant(ctx, real, 0)
	defer p.close()
	a := *p.app
	a.Store = t
	ids := make([]string, commitSessions)
	for i := range ids {
		s, err := a.OpenSession(ctx, app.OpenRequest{Execution: fmt.Sprint("arn:commit:", i), User: "ana", Run: ladder.Runs[ladder.Livy]})
		if err != nil {
			return commitFigures{}, err
		}
		ids[i] = s.ID
	}
	errs := make([]error, commitSessions)
	tasks := make([]func(context.Context), commitSessions)
	for i, id := range ids {
		tasks[i] = func(ctx context.Context) {
			for k := range n / commitSessions {
				_, err := a.Apply(ctx, id, session.Event{ID: fmt.Sprint("e-", k), Kind: session.IdleSince, At: p.Now(), Busy: k%2 == 0})
				errs[i] = errors.Join(errs[i], err)
			}
		}
	}
	began := real.Now()
	edge.Parallel(ctx, commitWriters, tasks)
	whole := real.Now().Sub(began)
	if err := errors.Join(errs...); err != nil || len(t.took) < n/commitSessions*commitSessions {
		return commitFigures{}, fmt.Errorf("%d commits of %d were made: %w", len(t.took), n, err)
	}
	slices.Sort(t.took)
	return commitFigures{t.took[len(t.took)/2], t.took[len(t.took)*99/100], whole / time.Duration(len(t.took))}, nil
}

// lifeSessions is how many sessions more than one the life of a session is
// counted on: what the first costs besides is its endpoint's.
const lifeSessions = 10

// lifeWritesMax is the target of a session's life, in write units.
const lifeWritesMax = 40

// lives prints what one session costs the table from its opening to its
// confirmed end, by what the engine says that its calls consumed: tables and
// indexes, transactions counted twice as DynamoDB does.
func lives(ctx context.Context, out io.Writer, real chains) error {
	engine := engineBinary()
	if engine == "" {
		fmt.Fprintln(out, "session_life store=dynoxide absent")
		return nil
	}
	table, err := serve(ctx, real, engine)
	if err != nil {
		return err
	}
	defer table.close()
	var units [2]units
	for i, n := range []int{2, 2 + lifeSessions} {
		store, err := table.fresh(ctx, fmt.Sprint("lives-", n))
		if err != nil {
			return err
		}
		table.meter.reset()
		if err := ladder.Live(store, n); err != nil {
			return err
		}
		units[i] = table.meter.read()
	}
	write, read := (units[1].write-units[0].write)/lifeSessions, (units[1].read-units[0].read)/lifeSessions
	fmt.Fprintf(out, "session_life write_units=%.1f read_units=%.1f\n", write, read)
	if write > lifeWritesMax {
		return fmt.Errorf("a session's life costs %.1f write units; at most %d are the target", write, lifeWritesMax)
	}
	return nil
}

// engineBinary is dynoxide where make conform puts it, or where its variable
// says; "" where it is not.
func engineBinary() string {
	if path := os.Getenv("NIGHTSHIFT_DYNAMODB_ENGINE"); path != "" {
		return path
	}
	found, err := filepath.Glob(filepath.Join(".cache", "engine", "dynoxide-*"))
	if err != nil || len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}

// table is a DynamoDB engine on loopback.
type table struct {
	client *dynamodb.Client
	meter  *meter
	cmd    *exec.Cmd
}

func serve(ctx context.Context, real chains, binary string) (*table, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("no port on loopback: %w", err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	cmd := exec.CommandContext(ctx, binary, "--host", "127.0.0.1", "-p", port) //nolint:gosec // the engine the caller has chosen
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start dynoxide: %w", err)
	}
	t := &table{meter: &meter{next: &http.Transport{MaxIdleConnsPerHost: 2 * commitWriters}}, cmd: cmd}
	t.client = dynamodb.NewFromConfig(aws.Config{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
		BaseEndpoint: aws.String("http://127.0.0.1:" + port), HTTPClient: &http.Client{Transport: t.meter},
	})
	for range 200 {
		if _, err = t.client.ListTables(ctx, &dynamodb.ListTablesInput{}); err == nil {
			return t, nil
		}
		if err := real.Sleep(ctx, 50*time.Millisecond); err != nil {
			break
		}
	}
	t.close()
	return nil, fmt.Errorf("dynoxide does not answer: %w", err)
}

func (t *table) close() {
	_ = t.cmd.Process.Kill()
	_ = t.cmd.Wait() // it was killed
}

func (t *table) fresh(ctx context.Context, name string) (*ddbstore.Store, error) {
	if err := ddbstore.Create(ctx, t.client, name); err != nil {
		return nil, err
	}
	return ddbstore.New(t.client, name), nil
}

// meter has every call say what it consumed, and adds it up.
type meter struct {
	next http.RoundTripper
	mu   sync.Mutex
	sum  units
}

// units are capacity units, of the table and its indexes together.
type units struct{ write, read float64 }

func (m *meter) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sum = units{}
}

func (m *meter) read() units {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sum
}

// RoundTrip implements http.RoundTripper. The signature is not made anew: the
// engine checks none.
func (m *meter) RoundTrip(r *http.Request) (*http.Response, error) {
	_, op, _ := bytes.Cut([]byte(r.Header.Get("X-Amz-Target")), []byte("."))
	write := slices.Contains([]string{"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"}, string(op))
	if !write && !slices.Contains([]string{"GetItem", "BatchGetItem", "Query"}, string(op)) {
		return m.next.RoundTrip(r)
	}
	var in map[string]json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, fmt.Errorf("meter: %w", err)
	}
	in["ReturnConsumedCapacity"] = json.RawMessage(`"TOTAL"`)
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("meter: %w", err)
	}
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	answer, err := m.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	m.add(body, write)
	return answer, nil
}

func (m *meter) add(body []byte, write bool) {
	type consumed struct{ CapacityUnits float64 }
	var said struct{ ConsumedCapacity json.RawMessage }
	var all []consumed
	var one consumed
	if json.Unmarshal(body, &said) != nil || json.Unmarshal(said.ConsumedCapacity, &all) != nil && json.Unmarshal(said.ConsumedCapacity, &one) != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range append(all, one) {
		if write {
			m.sum.write += c.CapacityUnits
		} else {
			m.sum.read += c.CapacityUnits
		}
	}
}
