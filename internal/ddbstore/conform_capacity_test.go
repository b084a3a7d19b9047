//go:build conform

package ddbstore_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/ddbstore"
	"nightshift/internal/proof"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// metered asks each call what it consumed, and adds it up.
type metered struct {
	ddbstore.API
	mu    sync.Mutex // a list asks its shards at once
	units map[string]float64
}

func (m *metered) add(all ...types.ConsumedCapacity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range all {
		if c.Table != nil {
			m.units["table"] += aws.ToFloat64(c.Table.CapacityUnits)
		}
		for name, i := range c.GlobalSecondaryIndexes {
			m.units[name] += aws.ToFloat64(i.CapacityUnits)
		}
	}
}

func one(c *types.ConsumedCapacity) []types.ConsumedCapacity {
	if c == nil {
		return nil
	}
	return []types.ConsumedCapacity{*c}
}

// take answers what was consumed since the last time, such as "4 table, 1 gsi1".
func (m *metered) take() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var parts []string
	for _, where := range []string{"table", "gsi1", "gsi2", "gsi3", "gsi4"} {
		if m.units[where] > 0 {
			parts = append(parts, fmt.Sprintf("%g %s", m.units[where], where))
		}
	}
	m.units = map[string]float64{}
	if parts == nil {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

const indexes = types.ReturnConsumedCapacityIndexes

func (m *metered) GetItem(ctx context.Context, in *dynamodb.GetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	in.ReturnConsumedCapacity = indexes
	out, err := m.API.GetItem(ctx, in, o...)
	if err == nil {
		m.add(one(out.ConsumedCapacity)...)
	}
	return out, err
}

func (m *metered) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	in.ReturnConsumedCapacity = indexes
	out, err := m.API.BatchGetItem(ctx, in, o...)
	if err == nil {
		m.add(out.ConsumedCapacity...)
	}
	return out, err
}

func (m *metered) Query(ctx context.Context, in *dynamodb.QueryInput, o ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	in.ReturnConsumedCapacity = indexes
	out, err := m.API.Query(ctx, in, o...)
	if err == nil {
		m.add(one(out.ConsumedCapacity)...)
	}
	return out, err
}

func (m *metered) PutItem(ctx context.Context, in *dynamodb.PutItemInput, o ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	in.ReturnConsumedCapacity = indexes
	out, err := m.API.PutItem(ctx, in, o...)
	if err == nil {
		m.add(one(out.ConsumedCapacity)...)
	}
	return out, err
}

func (m *metered) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, o ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	in.ReturnConsumedCapacity = indexes
	out, err := m.API.UpdateItem(ctx, in, o...)
	if err == nil {
		m.add(one(out.ConsumedCapacity)...)
	}
	return out, err
}

func (m *metered) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, o ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	in.ReturnConsumedCapacity = indexes
	out, err := m.API.TransactWriteItems(ctx, in, o...)
	if err == nil {
		m.add(out.ConsumedCapacity...)
	}
	return out, err
}

// cost is a use of the store and the capacity units that it consumes, as
// dynoxide counts them, which is by the service's published rules. Where
// DynamoDB Local counts otherwise, local says what:
//
//   - it rounds the bytes of a whole transaction up to a KB, not those of each item;
//   - it counts a transaction's writes to indexes twice, like those to the table;
//   - a query that finds nothing costs it nothing, instead of half a unit.
//
// The line of each is in the comment of package schema, which is read here.
type cost struct {
	use   string
	units string
	local string
	do    func(context.Context, *ddbstore.Store) error
}

// conformCapacity lets one session live, in this order, and asserts what each
// step costs: a key that moves without need, or an item that grows over a KB,
// is a bill that nobody reviewed.
func conformCapacity(t *testing.T, e engine) {
	fresh(t, e.db, "capacity")
	m := &metered{API: e.db, units: map[string]float64{}}
	s := ddbstore.New(m, "capacity")
	documented := comment(t)
	for _, c := range append(writes(t), reads()...) {
		if err := c.do(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", c.use, err)
		}
		want := c.units
		if e.name == "dynamodb-local" && c.local != "" {
			want = c.local
		}
		if got := m.take(); got != want {
			t.Errorf("%s costs %s, want %s", c.use, got, want)
		}
		if !strings.Contains(documented, c.use+" "+c.units+" ") {
			t.Errorf("package schema's comment does not say: %s  %s", c.use, c.units)
		}
	}
}

// comment is package schema's, each run of white space and comment signs one
// blank.
func comment(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile("schema/schema.go")
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(source), "package schema\n")
	return strings.Join(strings.Fields(strings.ReplaceAll(text, "//", " ")), " ") + " "
}

// writes are what is written, in the order of a session's life.
func writes(t *testing.T) []cost {
	t.Helper()
	tick := session.Event{ID: "e1", Kind: session.Tick, At: base, Known: base}
	watch := session.Effect{Kind: session.Watch}
	born, adopted := small("s"), small("s2")
	adopted.Run.ID = "r2"
	first := sealed(t, born, "", tick, watch)
	firstAdopted := sealed(t, adopted, "", tick, watch)
	waiting := next(born, func(s *session.Session) { s.Waiter = "token" })
	second := sealed(t, waiting, first.Hash, tick, watch)
	running := next(waiting, func(s *session.Session) { s.Run.ID = "r" })
	third := sealed(t, running, second.Hash, tick)
	longer := next(running, func(s *session.Session) { s.Deadline = s.Deadline.Add(time.Hour) })
	fourth := sealed(t, longer, third.Hash, tick)
	over := next(longer, func(s *session.Session) {
		s.Status, s.End = session.Ended, session.End{Cause: session.CauseFinished, Confirmed: base.Add(time.Minute)}
	})
	fifth := sealed(t, over, fourth.Hash, tick, session.Effect{Kind: session.Announce})
	run := workload.Ref{Endpoint: place, ID: "r"}
	facts := session.UserFacts{User: "ana", Version: 1, Facts: []session.Event{tick}, Pending: []session.Event{tick}, PendingSince: base}
	done, later := facts, facts
	done.Version, done.Pending = 2, nil
	later.Version, later.Pending = 3, nil
	return []cost{
		{"Open", "4 table, 1 gsi1, 1 gsi2, 1 gsi3, 1 gsi4", "4 table, 2 gsi1, 2 gsi2, 2 gsi3, 2 gsi4",
			func(ctx context.Context, s *ddbstore.Store) error {
				return s.Open(ctx, app.Opening{Session: born, Entry: first})
			}},
		{"Open, the run is known", "6 table, 1 gsi1, 1 gsi2, 1 gsi3, 1 gsi4", "4 table, 2 gsi1, 2 gsi2, 2 gsi3, 2 gsi4",
			func(ctx context.Context, s *ddbstore.Store) error {
				return s.Open(ctx, app.Opening{Session: adopted, Entry: firstAdopted})
			}},
		{"Commit with effects", "1 table", "",
			func(ctx context.Context, s *ddbstore.Store) error {
				return s.Commit(ctx, app.Commit{Next: waiting, Entry: second})
			}},
		{"Commit with a claim, without effects", "4 table", "2 table",
			func(ctx context.Context, s *ddbstore.Store) error {
				return s.Commit(ctx, app.Commit{Next: running, Entry: third, Claim: true})
			}},
		{"Finish, others are left", "1 table", "", func(ctx context.Context, s *ddbstore.Store) error { return s.Finish(ctx, "s", 1) }},
		{"Finish, and the clock is next", "1 table, 2 gsi3", "", func(ctx context.Context, s *ddbstore.Store) error { return s.Finish(ctx, "s", 2) }},
		{"Finish, again", "1 table", "", func(ctx context.Context, s *ddbstore.Store) error { return s.Finish(ctx, "s", 2) }},
		{"Commit, the wake-up moves", "1 table, 2 gsi3", "",
			func(ctx context.Context, s *ddbstore.Store) error {
				return s.Commit(ctx, app.Commit{Next: longer, Entry: fourth})
			}},
		{"Commit, the session ends", "1 table, 1 gsi1, 1 gsi2, 2 gsi3", "",
			func(ctx context.Context, s *ddbstore.Store) error {
				return s.Commit(ctx, app.Commit{Next: over, Entry: fifth})
			}},
		{"Finish, of what has ended", "1 table, 2 gsi3", "", func(ctx context.Context, s *ddbstore.Store) error { return s.Finish(ctx, "s", 5) }},
		{"Reclaim", "1 table", "", func(ctx context.Context, s *ddbstore.Store) error { return s.Reclaim(ctx, run, "s", "s3") }},
		{"PutUser, the fan-out begins", "1 table, 1 gsi1", "", func(ctx context.Context, s *ddbstore.Store) error { return s.PutUser(ctx, facts) }},
		{"PutUser, the fan-out is complete", "1 table, 1 gsi1", "", func(ctx context.Context, s *ddbstore.Store) error { return s.PutUser(ctx, done) }},
		{"PutUser, nothing pending", "1 table", "", func(ctx context.Context, s *ddbstore.Store) error { return s.PutUser(ctx, later) }},
		{"PutEndpoint, the first time", "1 table, 1 gsi1", "",
			func(ctx context.Context, s *ddbstore.Store) error {
				return s.PutEndpoint(ctx, app.Endpoint{ID: place, Version: 1})
			}},
		{"PutEndpoint", "1 table", "", func(ctx context.Context, s *ddbstore.Store) error {
			return s.PutEndpoint(ctx, app.Endpoint{ID: place, Version: 2})
		}},
		{"Wake", "1 table", "", func(ctx context.Context, s *ddbstore.Store) error { return s.Wake(ctx, place) }},
		{"PutPolicy", "1 table", "", func(ctx context.Context, s *ddbstore.Store) error {
			p := session.DefaultPolicy()
			p.Version = 1
			return s.PutPolicy(ctx, p)
		}},
		{"SetMark", "1 table", "", func(ctx context.Context, s *ddbstore.Store) error { return s.SetMark(ctx, "m", base) }},
		{"Park, a body of 1.5 KB", "2 table, 1 gsi1", "", func(ctx context.Context, s *ddbstore.Store) error {
			_, err := s.Park(ctx, app.Parked{ID: "e", Body: strings.Repeat("x", 1500), At: base})
			return err
		}},
		{"Sample, the first time", "1 table, 1 gsi1", "", func(ctx context.Context, s *ddbstore.Store) error {
			_, err := s.Sample(ctx, "k", []byte("x"), base)
			return err
		}},
		{"PutNotebook, the first time", "1 table, 1 gsi2", "", func(ctx context.Context, s *ddbstore.Store) error {
			return s.PutNotebook(ctx, app.Notebook{ID: "n", Version: 1, Endpoint: place})
		}},
		{"PutNotebook, a move begins", "1 table, 1 gsi1", "", func(ctx context.Context, s *ddbstore.Store) error {
			return s.PutNotebook(ctx, app.Notebook{ID: "n", Version: 2, Endpoint: place, Move: app.Move{ID: "m", Since: base}})
		}},
		{"PutLedger", "1 table", "", func(ctx context.Context, s *ddbstore.Store) error {
			return s.PutLedger(ctx, app.Ledger{Name: "l", Version: 1})
		}},
		{"PutAnchor, 1,000 heads", "39 table", "", func(ctx context.Context, s *ddbstore.Store) error { return s.PutAnchor(ctx, anchor(t)) }},
	}
}

// anchor is as large as anchors are made.
func anchor(t *testing.T) proof.Anchor {
	t.Helper()
	a := proof.Anchor{Seq: 1, At: base, Until: base}
	for i := range cadence.AnchorHeads { // ids and hashes cannot be packed
		sum := fmt.Sprintf("%x", sha256.Sum256([]byte{byte(i), byte(i >> 8)}))
		a.Heads = append(a.Heads, proof.Head{Session: "s-" + sum[40:], Version: 12, Hash: sum})
	}
	hash, err := a.Seal()
	if err != nil {
		t.Fatal(err)
	}
	a.Hash = hash
	return a
}

// reads are what is read then: s2 is live, s has ended.
func reads() []cost {
	later := base.Add(1000 * time.Hour)
	return []cost{
		{"Session", "1 table", "", read(func(ctx context.Context, s *ddbstore.Store) (any, error) { return s.Session(ctx, "s") })},
		{"Sessions, 2 of them", "2 table", "", read(func(ctx context.Context, s *ddbstore.Store) (any, error) { return s.Sessions(ctx, []string{"s", "s2"}) })},
		{"History, 5 entries", "1 table", "", func(ctx context.Context, s *ddbstore.Store) error {
			_, _, err := s.History(ctx, "s", 0, 10)
			return err
		}},
		{"Claimed", "1 table", "", read(func(ctx context.Context, s *ddbstore.Store) (any, error) {
			return s.Claimed(ctx, workload.Ref{Endpoint: place, ID: "r"})
		})},
		{"User", "1 table", "", read(func(ctx context.Context, s *ddbstore.Store) (any, error) { return s.User(ctx, "ana") })},
		{"Endpoint", "1 table", "", read(func(ctx context.Context, s *ddbstore.Store) (any, error) { return s.Endpoint(ctx, place) })},
		{"Policy", "1 table", "", read(func(ctx context.Context, s *ddbstore.Store) (any, error) { return s.Policy(ctx) })},
		{"Mark", "1 table", "", read(func(ctx context.Context, s *ddbstore.Store) (any, error) { return s.Mark(ctx, "m") })},
		{"OfUser, 1 session", "1 table, 0.5 gsi1", "", read(func(ctx context.Context, s *ddbstore.Store) (any, error) { return s.OfUser(ctx, "ana", "") })},
		{"OfUser, none", "0.5 gsi1", "nothing", read(func(ctx context.Context, s *ddbstore.Store) (any, error) { return s.OfUser(ctx, "bob", "") })},
		{"OfEndpoint, 1 session", "1 table, 0.5 gsi2", "", read(func(ctx context.Context, s *ddbstore.Store) (any, error) { return s.OfEndpoint(ctx, place, "") })},
		{"Due, none", "4 gsi3", "nothing", read(func(ctx context.Context, s *ddbstore.Store) (any, error) { return s.Due(ctx, base, "") })},
		{"Due, 1 session", "1 table, 4 gsi3", "1 table, 0.5 gsi3", read(func(ctx context.Context, s *ddbstore.Store) (any, error) { return s.Due(ctx, later, "") })},
		{"List, 2 sessions", "2 table, 4 gsi4", "2 table, 1 gsi4", read(func(ctx context.Context, s *ddbstore.Store) (any, error) { return s.List(ctx, "") })},
		{"Unfinished, 1 entry", "1 table, 4 gsi1, 4 gsi3", "1 table, 0.5 gsi3", toItsEnd(func(ctx context.Context, s *ddbstore.Store, c string) ([]app.Entry, string, error) {
			return s.Unfinished(ctx, later, c)
		})},
		{"Changes, of 2 sessions", "4 table, 8 gsi3, 8 gsi4", "4 table, 1 gsi3, 1 gsi4", toItsEnd(func(ctx context.Context, s *ddbstore.Store, c string) ([]app.Entry, string, error) {
			return s.Changes(ctx, base, later, c)
		})},
		{"Anchors, the newest, 1,000 heads", "10 table", "", func(ctx context.Context, s *ddbstore.Store) error {
			_, _, err := s.Anchors(ctx, 0, 1)
			return err
		}},
		{"PendingUsers, none", "0.5 gsi1", "nothing", func(ctx context.Context, s *ddbstore.Store) error {
			_, _, err := s.PendingUsers(ctx, "")
			return err
		}},
		{"Endpoints, 1", "1 table, 0.5 gsi1", "", func(ctx context.Context, s *ddbstore.Store) error {
			_, _, err := s.Endpoints(ctx, "")
			return err
		}},
		{"Notebook", "1 table", "", read(func(ctx context.Context, s *ddbstore.Store) (any, error) { return s.Notebook(ctx, "n") })},
		{"Notebooks, 1", "1 table, 0.5 gsi2", "", func(ctx context.Context, s *ddbstore.Store) error {
			_, _, err := s.Notebooks(ctx, "")
			return err
		}},
		{"Moves, 1", "1 table, 0.5 gsi1", "", func(ctx context.Context, s *ddbstore.Store) error {
			_, _, err := s.Moves(ctx, "")
			return err
		}},
		{"Ledger", "1 table", "", read(func(ctx context.Context, s *ddbstore.Store) (any, error) { return s.Ledger(ctx, "l") })},
	}
}

// toItsEnd reads every page of a list, of which some must not be empty.
func toItsEnd(list func(context.Context, *ddbstore.Store, string) ([]app.Entry, string, error)) func(context.Context, *ddbstore.Store) error {
	return func(ctx context.Context, s *ddbstore.Store) error {
		n := 0
		for cursor := ""; ; {
			page, next, err := list(ctx, s, cursor)
			if n += len(page); err != nil {
				return err
			}
			if cursor = next; next == "" && n == 0 {
				return errors.New("nothing is listed")
			} else if next == "" {
				return nil
			}
		}
	}
}

func read(f func(context.Context, *ddbstore.Store) (any, error)) func(context.Context, *ddbstore.Store) error {
	return func(ctx context.Context, s *ddbstore.Store) error {
		_, err := f(ctx, s)
		return err
	}
}
