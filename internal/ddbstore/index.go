package ddbstore

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore/schema"
	"nightshift/internal/fault"
	"nightshift/internal/session"
)

// list is one list read: which partitions of which index, in which order.
type list struct {
	op         string
	name       string // in the cursor, so that a cursor of another list is refused
	index      schema.Index
	partitions []string // merged into one order
	since      string   // oldest-first lists: no sort key below it; "" is all
	until      string   // oldest-first lists: no sort key above it; "" is all
	newest     bool     // newest first
	size       int
}

// Sort keys begin with a year of four digits: these are below and above all.
// begin is where a list begins, as the end of a page.
const (
	lowest  = "0"
	begin   = "00"
	highest = "~"
)

// cursor is where a page ended. The lists' orders are total, so that the last
// sort key is enough, however many partitions were merged.
type cursor struct {
	List string `json:"list"`
	Last string `json:"last"`
}

// cursorMax bounds a cursor handed in, in bytes; ours have about 120.
const cursorMax = 512

func (c cursor) String() string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // two strings: cannot happen
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// parseCursor answers the last sort key; "" at the beginning.
func parseCursor(op, name, from string) (string, error) {
	if from == "" {
		return "", nil
	}
	var c cursor
	b, err := base64.RawURLEncoding.DecodeString(from)
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil || len(from) > cursorMax || c.List != name || c.Last <= lowest || c.Last >= highest {
		return "", fault.Newf(op, fault.Invalid, "cursor is not one of this list: %.100q", from)
	}
	return c.Last, nil
}

func shards(kind string) []string {
	var out []string
	for n := range schema.Shards {
		out = append(out, kind+"#"+strconv.Itoa(n))
	}
	return out
}

// hit is an index entry.
type hit struct {
	at   address
	sort string
}

// find reads a page of an index. Each partition is asked for a whole page, at
// once; what the merge leaves over is read again by the next page.
func (s *Store) find(ctx context.Context, l list, from string) ([]address, string, error) {
	last, err := parseCursor(l.op, l.name, from)
	if err != nil {
		return nil, "", err
	}
	hits := make([][]hit, len(l.partitions))
	errs := make([]error, len(l.partitions))
	var wg sync.WaitGroup
	for i, p := range l.partitions {
		wg.Go(func() { hits[i], errs[i] = s.ask(ctx, l, p, last) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, "", classify(l.op, err)
		}
	}
	all := slices.Concat(hits...)
	slices.SortFunc(all, func(a, b hit) int {
		if l.newest {
			a, b = b, a
		}
		return strings.Compare(a.sort, b.sort)
	})
	next := ""
	if len(all) > l.size {
		all = all[:l.size]
		next = cursor{List: l.name, Last: all[l.size-1].sort}.String()
	}
	var out []address
	for _, h := range all {
		out = append(out, h.at)
	}
	return out, next, nil
}

// ask reads one more than a page of one partition, which tells whether there is
// more. Keys are small: DynamoDB's 1 MB per answer holds many pages.
func (s *Store) ask(ctx context.Context, l list, partition, last string) ([]hit, error) {
	// No sort key is another one's beginning, so that a space behind the last makes
	// the next one possible.
	low, high := max(lowest, l.since, last+" "), cmp.Or(l.until, highest)
	key, values := "#p = :p AND #s BETWEEN :low AND :high", item{":p": text(partition), ":low": text(low), ":high": text(high)}
	if l.newest {
		key, values = "#p = :p AND #s < :high", item{":p": text(partition), ":high": text(cmp.Or(last, highest))}
	} else if low > high {
		return nil, nil // DynamoDB refuses bounds in the wrong order
	}
	out, err := s.api.Query(ctx, &dynamodb.QueryInput{
		TableName:                 &s.table,
		IndexName:                 aws.String(l.index.Name),
		KeyConditionExpression:    &key,
		ExpressionAttributeNames:  map[string]string{"#p": l.index.PartitionKey.Name, "#s": l.index.SortKey.Name},
		ExpressionAttributeValues: values,
		ScanIndexForward:          aws.Bool(!l.newest),
		Limit:                     aws.Int32(int32(l.size + 1)),
	})
	if err != nil {
		return nil, err
	}
	var hits []hit
	for _, it := range out.Items {
		hits = append(hits, hit{
			at:   address{getText(it, schema.PartitionKey), getText(it, schema.SortKey)},
			sort: getText(it, l.index.SortKey.Name),
		})
	}
	return hits, nil
}

// page reads a page of an index and the items behind it as they are now. An
// item that has left the list since its index entry was made is dropped by
// keep: a page can be short, or empty, without being the last.
func page[T any](ctx context.Context, s *Store, l list, from string, read func(op string, it item) (T, error), keep func(T) bool) ([]T, string, error) {
	addresses, next, err := s.find(ctx, l, from)
	if err != nil {
		return nil, "", err
	}
	items, err := s.fetch(ctx, l.op, addresses)
	if err != nil {
		return nil, "", err
	}
	var out []T
	for _, it := range items {
		v, err := read(l.op, it)
		if err != nil {
			return nil, "", err
		}
		if keep(v) {
			out = append(out, v)
		}
	}
	return out, next, nil
}

func live(s session.Session) bool { return s.Status != session.Ended }

func all[T any](T) bool { return true }

// OfUser implements app.Store: oldest first.
func (s *Store) OfUser(ctx context.Context, user, from string) (app.Page, error) {
	const op = "ddbstore: list sessions of user"
	if err := app.CheckID(op, "user", user); err != nil {
		return app.Page{}, err
	}
	l := list{op: op, name: "user", index: schema.GSI1, partitions: []string{pkUser + part(user)}, size: pageSize}
	found, next, err := page(ctx, s, l, from, decodeState, live)
	return app.Page{Sessions: found, Next: next}, err
}

// OfEndpoint implements app.Store: oldest first.
func (s *Store) OfEndpoint(ctx context.Context, endpoint, from string) (app.Page, error) {
	const op = "ddbstore: list sessions of endpoint"
	if err := app.CheckID(op, "endpoint", endpoint); err != nil {
		return app.Page{}, err
	}
	l := list{op: op, name: "endpoint", index: schema.GSI2, partitions: []string{pkEndpoint + part(endpoint)}, size: pageSize}
	found, next, err := page(ctx, s, l, from, decodeState, live)
	return app.Page{Sessions: found, Next: next}, err
}

// Due implements app.Store: earliest first over all pages, as far as the index
// is current; within a page always.
func (s *Store) Due(ctx context.Context, now time.Time, from string) (app.Page, error) {
	const op = "ddbstore: list sessions due"
	l := list{op: op, name: "due", index: schema.GSI3, partitions: shards(lookDue), until: stamp(now) + highest, size: pageSize}
	found, next, err := page(ctx, s, l, from, decodeState, func(x session.Session) bool {
		at := x.WakeAt()
		return !at.IsZero() && !at.After(now)
	})
	slices.SortStableFunc(found, func(a, b session.Session) int { return a.WakeAt().Compare(b.WakeAt()) })
	return app.Page{Sessions: found, Next: next}, err
}

// List implements app.Store: newest record first.
func (s *Store) List(ctx context.Context, from string) (app.Page, error) {
	l := list{op: "ddbstore: list sessions", name: "list", index: schema.GSI4, partitions: shards("LIST"), newest: true, size: pageSize}
	found, next, err := page(ctx, s, l, from, decodeState, all)
	return app.Page{Sessions: found, Next: next}, err
}

// Unfinished implements app.Store. What schema 1 listed comes last.
func (s *Store) Unfinished(ctx context.Context, before time.Time, from string) ([]app.Entry, string, error) {
	const op = "ddbstore: list unfinished entries"
	// A key at the moment itself is longer than its stamp, so it is above it.
	return s.staged(ctx, from, []stage{{
		list: list{op: op, name: "undone", index: schema.GSI3, partitions: shards(lookDue), until: stamp(before), size: pageSize},
		expand: func(ctx context.Context, r record) ([]app.Entry, error) {
			if len(r.undone) == 0 {
				return nil, nil
			}
			return s.chosen(ctx, op, r, r.undone[0], func(e app.Entry) bool { return slices.Contains(r.undone, e.Version) && e.At.Before(before) })
		},
	}, {
		list: list{op: op, name: "unfinished", index: schema.GSI1, partitions: shards("UNFINISHED"), until: stamp(before), size: pageSize},
		keep: func(e app.Entry) bool { return !e.Done },
	}})
}

// Changes implements app.Store. Sessions whose record was made in the time tell
// how they were opened; those that are ending, or have ended since, tell the rest.
// What schema 1 listed comes last.
func (s *Store) Changes(ctx context.Context, since, until time.Time, from string) ([]app.Entry, string, error) {
	const op = "ddbstore: list changes of status"
	within := func(at time.Time) bool { return !at.Before(since) && at.Before(until) }
	changed := func(e app.Entry) bool { return e.Changes() && within(e.At) }
	opened := func(ctx context.Context, r record) ([]app.Entry, error) {
		return s.chosen(ctx, op, r, 1, func(e app.Entry) bool { return e.Version == 1 && changed(e) })
	}
	later := func(ctx context.Context, r record) ([]app.Entry, error) {
		if r.state.Status == session.Active {
			return nil, nil
		}
		first := r.state.Version // what ended it is its newest
		if begins := func(e app.Entry) bool { return e.From == session.Active && e.Changes() }; within(r.state.End.Decided) && !slices.ContainsFunc(r.tail, begins) {
			first = 2 // what decided it has been moved out of the tail
		} else if len(r.tail) > 0 {
			first = max(2, r.tail[0].Version)
		}
		return s.chosen(ctx, op, r, first, func(e app.Entry) bool { return e.Version > 1 && changed(e) })
	}
	// A key at a moment is longer than its stamp, so it is above it: the first
	// moment is in, the last is not.
	low, high := stamp(since), stamp(until)
	return s.staged(ctx, from, []stage{
		{list: list{op: op, name: "opened", index: schema.GSI4, partitions: shards("LIST"), since: low, until: high, size: pageSize}, expand: opened},
		{list: list{op: op, name: "ending", index: schema.GSI3, partitions: shards(lookDue), until: high, size: pageSize}, expand: later},
		{list: list{op: op, name: "over", index: schema.GSI3, partitions: shards(lookOver), since: low, size: pageSize}, expand: later},
		{list: list{op: op, name: "changes", index: schema.GSI4, partitions: shards("CHANGE"), since: low, until: high, size: pageSize}, keep: all[app.Entry]},
	})
}

// stage is one of the lists that a list of entries is made of, one after the
// other: of sessions, whose entries expand gives, or of entries that are items of
// their own, as in schema 1, of which it has those that are kept.
type stage struct {
	list   list
	expand func(context.Context, record) ([]app.Entry, error)
	keep   func(app.Entry) bool
}

// staged reads a page of entries, oldest first within it. A stage without entries
// is followed by the next at once.
func (s *Store) staged(ctx context.Context, from string, stages []stage) ([]app.Entry, string, error) {
	at := max(0, slices.IndexFunc(stages, func(g stage) bool { _, err := parseCursor(g.list.op, g.list.name, from); return err == nil }))
	for ; ; at++ {
		out, next, err := s.step(ctx, stages[at], from)
		if err != nil || next != "" || at == len(stages)-1 {
			return out, next, err
		}
		if from = ""; len(out) > 0 {
			return out, cursor{List: stages[at+1].list.name, Last: begin}.String(), nil
		}
	}
}

func (s *Store) step(ctx context.Context, g stage, from string) ([]app.Entry, string, error) {
	if g.expand == nil {
		return page(ctx, s, g.list, from, decodeEntry, g.keep)
	}
	records, next, err := page(ctx, s, g.list, from, decodeRecord, all)
	var out []app.Entry
	for _, r := range records {
		var found []app.Entry
		if err == nil {
			found, err = g.expand(ctx, r)
		}
		out = append(out, found...)
	}
	slices.SortStableFunc(out, func(a, b app.Entry) int { return a.At.Compare(b.At) })
	return out, next, err
}

// chosen are the entries of a session from a version on that a list wants. Those
// that were written in schema 1 have lists of their own.
func (s *Store) chosen(ctx context.Context, op string, r record, first int64, want func(app.Entry) bool) ([]app.Entry, error) {
	var out []app.Entry
	for after, more := max(first, r.since)-1, r.since != never; more; {
		var found []app.Entry
		var err error
		if found, more, err = s.history(ctx, r, after, historyMax); err != nil {
			return nil, err
		}
		for _, e := range found {
			if after = e.Version; want(e) {
				out = append(out, e)
			}
		}
	}
	return out, nil
}

// PendingUsers implements app.Store: longest waiting first.
func (s *Store) PendingUsers(ctx context.Context, from string) ([]string, string, error) {
	l := list{op: "ddbstore: list pending users", name: "pending", index: schema.GSI1, partitions: []string{"PENDING"}, size: pageSize}
	found, next, err := page(ctx, s, l, from, decodeUser, func(u session.UserFacts) bool { return len(u.Pending) > 0 })
	return each(found, func(u session.UserFacts) string { return u.User }), next, err
}

// Endpoints implements app.Store.
func (s *Store) Endpoints(ctx context.Context, from string) ([]app.Endpoint, string, error) {
	l := list{op: "ddbstore: list endpoints", name: "endpoints", index: schema.GSI1, partitions: []string{"ENDPOINTS"}, size: pageSize}
	return page(ctx, s, l, from, decodeEndpoint, all)
}

// ParkedEvents implements app.Store.
func (s *Store) ParkedEvents(ctx context.Context, from string) ([]app.Parked, string, error) {
	l := list{op: "ddbstore: list parked events", name: "parked", index: schema.GSI1, partitions: []string{"PARKED"}, newest: true, size: parkedPage}
	return page(ctx, s, l, from, decodeParked, all)
}

// Samples implements app.Store. One that was kept before there was this list is on it
// from its kind's next event on.
func (s *Store) Samples(ctx context.Context, from string) ([]app.Sampled, string, error) {
	l := list{op: "ddbstore: list samples", name: "samples", index: schema.GSI1, partitions: []string{sampledList}, size: parkedPage}
	return page(ctx, s, l, from, decodeSample, all)
}
