//go:build conform

package ddbstore_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore"
	"nightshift/internal/fault"
	"nightshift/internal/proof"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// late is an API that lets another write through right before its next conditional
// one: after everything was read, compared and decided. Only the condition is left
// to notice it.
type late struct {
	ddbstore.API
	between func() // nil: nothing comes between
}

func (l *late) meet() {
	if do := l.between; do != nil {
		l.between = nil
		do()
	}
}

func (l *late) PutItem(ctx context.Context, in *dynamodb.PutItemInput, o ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	if in.ConditionExpression != nil { // else it is a copy of what is committed already
		l.meet()
	}
	return l.API.PutItem(ctx, in, o...)
}

func (l *late) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, o ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	l.meet()
	return l.API.UpdateItem(ctx, in, o...)
}

func (l *late) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, o ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	l.meet()
	return l.API.TransactWriteItems(ctx, in, o...)
}

// meeting is two stores on one table: what one writes comes between the reading
// and the writing of the other.
type meeting struct {
	*testing.T
	slow *ddbstore.Store // reads, is overtaken, writes
	fast *ddbstore.Store // overtakes
	gate *late
	db   *dynamodb.Client
	id   string // of the session, and of whatever else the case is about
}

// write is a write of a store.
type write func(context.Context, *ddbstore.Store) error

// met has the slow store write while the fast one's writes come between.
func (m *meeting) met(slow write, fast ...write) error {
	m.Helper()
	m.gate.between = func() {
		m.Helper()
		for _, w := range fast {
			m.must(w)
		}
	}
	err := slow(m.Context(), m.slow)
	if m.gate.between != nil {
		m.Error("the write under test has made no conditional write")
	}
	return err
}

// must has the fast store write.
func (m *meeting) must(w write) {
	m.Helper()
	if err := w(m.Context(), m.fast); err != nil {
		m.Fatal(err)
	}
}

// wants holds an answer against the kind that it should be of, and what it should say.
func (m *meeting) wants(err error, kind fault.Kind, says string) {
	m.Helper()
	if err == nil || fault.KindOf(err) != kind || !strings.Contains(err.Error(), says) {
		m.Errorf("got %v (%v), want %v saying %q", err, fault.KindOf(err), kind, says)
	}
}

func (m *meeting) passes(err error) {
	m.Helper()
	if err != nil {
		m.Errorf("got %v, want success", err)
	}
}

var tick = session.Event{Kind: session.Tick, At: base, Known: base}

// opens is an opening of the meeting's session, with an effect for each text.
func (m *meeting) opens(edit func(*session.Session), effects ...string) app.Opening {
	m.Helper()
	s := small(m.id)
	s.User = "user of " + m.id
	edit(&s)
	return app.Opening{Session: s, Entry: sealed(m.T, s, proof.Genesis, tick, watches(effects)...)}
}

func as(*session.Session) {}

func watches(texts []string) []session.Effect {
	var all []session.Effect
	for _, x := range texts {
		all = append(all, session.Effect{Kind: session.Watch, Text: x})
	}
	return all
}

func open(o app.Opening) write {
	return func(ctx context.Context, s *ddbstore.Store) error { return s.Open(ctx, o) }
}

// follows is a commit after a version, whose entry tells it from another one's.
func (m *meeting) follows(s session.Session, e app.Entry, edit func(*session.Session), effects ...string) app.Commit {
	m.Helper()
	n, event := next(s, edit), tick
	event.ID = n.Waiter + n.Run.ID
	return app.Commit{Next: n, Entry: sealed(m.T, n, e.Hash, event, watches(effects)...)}
}

func commit(c app.Commit) write {
	return func(ctx context.Context, s *ddbstore.Store) error { return s.Commit(ctx, c) }
}

func finish(id string, version int64) write {
	return func(ctx context.Context, s *ddbstore.Store) error { return s.Finish(ctx, id, version) }
}

// waits is a session's edit by which its write can be told from another's.
func waits(token string) func(*session.Session) {
	return func(s *session.Session) { s.Waiter = token }
}

func runs(id string) func(*session.Session) {
	return func(s *session.Session) { s.Run.ID = id }
}

// stands holds that a session is in this state with this history, without a gap and
// each entry proving the one before, and that the effects of these versions, and no
// others, are still to be carried out.
func (m *meeting) stands(want session.Session, history []app.Entry, undone ...int64) {
	m.Helper()
	ctx := m.Context()
	got, err := m.fast.Session(ctx, want.ID)
	if err != nil || !reflect.DeepEqual(got, want) {
		m.Errorf("the session is\n%+v\nwant\n%+v, %v", got, want, err)
	}
	entries, more, err := m.fast.History(ctx, want.ID, 0, 100)
	if err != nil || more || len(entries) != len(history) || int64(len(entries)) != got.Version {
		m.Fatalf("%d entries of %d, more %t, %v", len(entries), len(history), more, err)
	}
	previous := proof.Genesis
	for i, e := range entries {
		hash, err := e.Seal()
		if err != nil || hash != history[i].Hash || e.Hash != hash || e.Previous != previous || e.Version != int64(i+1) {
			m.Errorf("entry %d is not the one that was committed: %+v, %v", i+1, e, err)
		}
		previous = hash
	}
	left, seen := m.attribute(want.ID, "undone"), m.attribute(want.ID, "gsi3sk")
	if left != strings.ReplaceAll(strings.Trim(fmt.Sprint(undone), "[]"), " ", ",") || left != "" && seen == "" {
		m.Errorf("effects of versions %q are to be carried out, and the sweep looks from %q on; want %v", left, seen, undone)
	}
}

// owned holds that the run of the meeting's endpoint belongs to a session; "": to none.
func (m *meeting) owned(run, by string) {
	m.Helper()
	owner, err := m.fast.Claimed(m.Context(), workload.Ref{Endpoint: place, ID: run})
	if owner != by || (by == "") != fault.Is(err, fault.NotFound) || by != "" && err != nil {
		m.Errorf("run %s belongs to %q, %v; want %q", run, owner, err, by)
	}
}

// conformBetween has a write of a second store come right before each write of the
// first: the first is then told, or decides again on what is there, and what the
// second wrote stands whole (S2.4, S8.4: of two decisions on one version one holds).
func conformBetween(t *testing.T, e engine) {
	fast := fresh(t, e.db, "between")
	for i, c := range slices.Concat(commitsMeet, finishesMeet, openingsMeet, factsMeet) {
		t.Run(c.name, func(t *testing.T) {
			gate := &late{API: e.db}
			c.run(&meeting{T: t, db: e.db, gate: gate, slow: ddbstore.New(gate, "between"), fast: fast, id: fmt.Sprint("b", i)})
		})
	}
}

type betweenCase struct {
	name string
	run  func(*meeting)
}

var commitsMeet = []betweenCase{
	{"commit, nothing is undone: another commit", func(m *meeting) { m.commitMeetsCommit() }},
	{"commit, effects are undone: another commit", func(m *meeting) { m.commitMeetsCommit("watch") }},
	{"commit: the same commit (its answer was lost)", func(m *meeting) {
		o := m.opens(as)
		m.must(open(o))
		c := m.follows(o.Session, o.Entry, waits("it"), "effect")
		m.passes(m.met(commit(c), commit(c)))
		m.stands(c.Next, []app.Entry{o.Entry, c.Entry}, 2)
	}},
	{"commit: another commit and the next", func(m *meeting) {
		o := m.opens(as)
		m.must(open(o))
		slow := m.follows(o.Session, o.Entry, waits("slow"))
		two := m.follows(o.Session, o.Entry, waits("fast"), "effect")
		three := m.follows(two.Next, two.Entry, waits("faster"))
		m.wants(m.met(commit(slow), commit(two), commit(three)), fault.Conflict, "is at version 3, not at 1")
		m.stands(three.Next, []app.Entry{o.Entry, two.Entry, three.Entry}, 2)
	}},
	{"commit, which has moved entries out of the item: another commit", func(m *meeting) {
		o := m.opens(as)
		o.Entry = m.large(o.Entry)
		m.must(open(o))
		two := m.follows(o.Session, o.Entry, as)
		two.Entry = m.large(two.Entry)
		m.must(commit(two))
		slow, three := m.follows(two.Next, two.Entry, waits("slow")), m.follows(two.Next, two.Entry, waits("fast"), "effect")
		m.wants(m.met(commit(slow), commit(three)), fault.Conflict, "is at version 3, not at 2")
		m.stands(three.Next, []app.Entry{o.Entry, two.Entry, three.Entry}, 3)
		for version := 1; version <= 2; version++ {
			if len(m.item(m.id, fmt.Sprintf("H#%020d", version))) == 0 {
				m.Errorf("entry %d was not moved: the case shows nothing", version)
			}
		}
	}},
	{"commit, after one that it has not read", func(m *meeting) {
		o := m.opens(as)
		m.must(open(o))
		if _, err := m.slow.Session(m.Context(), m.id); err != nil {
			m.Fatal(err)
		}
		two := m.follows(o.Session, o.Entry, waits("fast"))
		m.must(commit(two))
		three := m.follows(two.Next, two.Entry, waits("slow"))
		m.passes(m.met(commit(three)))
		m.stands(three.Next, []app.Entry{o.Entry, two.Entry, three.Entry})
	}},
	{"commit: the effects before are done, it is made again on that", func(m *meeting) {
		o := m.opens(as, "effect")
		m.must(open(o))
		c := m.follows(o.Session, o.Entry, waits("it"), "effect")
		m.passes(m.met(commit(c), finish(m.id, 1)))
		m.stands(c.Next, []app.Entry{o.Entry, c.Entry}, 2)
	}},
	{"commit: effects that were none become undone, it is made again on that", func(m *meeting) {
		o := m.opens(as)
		m.must(open(o))
		c := m.follows(o.Session, o.Entry, waits("it"))
		m.passes(m.met(commit(c), m.sets("undone", "1")))
		m.stands(c.Next, []app.Entry{o.Entry, c.Entry}, 1)
	}},
	{"commit, nothing is undone: a newer version has frozen more", func(m *meeting) { m.commitMeetsFrozen() }},
	{"commit, effects are undone: a newer version has frozen more", func(m *meeting) { m.commitMeetsFrozen("effect") }},
	{"commit with a claim: another commit", func(m *meeting) {
		o := m.opens(as)
		m.must(open(o))
		slow, fast := m.follows(o.Session, o.Entry, runs(m.id+"-slow")), m.follows(o.Session, o.Entry, runs(m.id+"-fast"))
		slow.Claim, fast.Claim = true, true
		m.wants(m.met(commit(slow), commit(fast)), fault.Conflict, "is at version 2, not at 1")
		m.stands(fast.Next, []app.Entry{o.Entry, fast.Entry})
		m.owned(m.id+"-slow", "")
		m.owned(m.id+"-fast", m.id)
	}},
	{"commit with a claim: another session claims the run (S2.3)", func(m *meeting) {
		o := m.opens(as)
		m.must(open(o))
		c := m.follows(o.Session, o.Entry, runs(m.id))
		c.Claim = true
		other := m.opens(runs(m.id))
		other.Session.ID += "-other"
		other.Entry = sealed(m.T, other.Session, proof.Genesis, tick)
		m.wants(m.met(commit(c), open(other)), fault.Conflict, "belongs to another session than")
		m.stands(o.Session, []app.Entry{o.Entry})
		m.stands(other.Session, []app.Entry{other.Entry})
		m.owned(m.id, other.Session.ID)
	}},
	{"commit with a claim: the same commit, and the run goes on to a zombie (S2.3)", func(m *meeting) {
		o := m.opens(as)
		m.must(open(o))
		c := m.follows(o.Session, o.Entry, runs(m.id))
		c.Claim = true
		m.passes(m.met(commit(c), commit(c), reclaim(m.id, m.id, "zombie")))
		m.stands(c.Next, []app.Entry{o.Entry, c.Entry})
		m.owned(m.id, "zombie")
	}},
	{"commit with a claim: the effects before are done", func(m *meeting) {
		o := m.opens(as, "effect")
		m.must(open(o))
		c := m.follows(o.Session, o.Entry, runs(m.id), "effect")
		c.Claim = true
		m.passes(m.met(commit(c), finish(m.id, 1)))
		m.stands(c.Next, []app.Entry{o.Entry, c.Entry}, 2)
		m.owned(m.id, m.id)
	}},
}

// commitMeetsCommit is of two commits of one version, which leave the same effects
// undone: only the version tells that the session is another one.
func (m *meeting) commitMeetsCommit(effects ...string) {
	o := m.opens(as, effects...)
	m.must(open(o))
	slow, fast := m.follows(o.Session, o.Entry, waits("slow")), m.follows(o.Session, o.Entry, waits("fast"))
	m.wants(m.met(commit(slow), commit(fast)), fault.Conflict, "is at version 2, not at 1")
	var undone []int64
	if len(effects) > 0 {
		undone = []int64{1}
	}
	m.stands(fast.Next, []app.Entry{o.Entry, fast.Entry}, undone...)
}

// commitMeetsFrozen is of a session in which a field is frozen that this version does
// not know: its commit would lose it. That effects are done may be written.
func (m *meeting) commitMeetsFrozen(effects ...string) {
	o := m.opens(as, effects...)
	m.must(open(o))
	slow := m.follows(o.Session, o.Entry, waits("slow"))
	m.wants(m.met(commit(slow), m.sets("frozen", "of the future")), fault.Unknown, "what is frozen differs in a field unknown to this version")
	var undone []int64
	if len(effects) > 0 {
		undone = []int64{1}
	}
	m.stands(o.Session, []app.Entry{o.Entry}, undone...)
	m.must(finish(m.id, 1))
	m.stands(o.Session, []app.Entry{o.Entry})
}

// large makes an entry that has no room in its session's item beside the next.
func (m *meeting) large(e app.Entry) app.Entry {
	m.Helper()
	for i := range 60 { // 64 digits each, which packing halves
		e.Event.Detail += fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, e.Version, i)))
	}
	hash, err := e.Seal()
	if err != nil {
		m.Fatal(err)
	}
	e.Hash = hash
	return e
}

var finishesMeet = []betweenCase{
	{"finish: a commit with effects", func(m *meeting) {
		o := m.opens(as, "effect")
		m.must(open(o))
		c := m.follows(o.Session, o.Entry, waits("it"), "effect")
		m.passes(m.met(finish(m.id, 1), commit(c)))
		m.stands(c.Next, []app.Entry{o.Entry, c.Entry}, 2)
	}},
	{"finish: a commit without effects, after which the session is looked at earlier", func(m *meeting) {
		o := m.opens(runs(m.id), "effect")
		m.must(open(o))
		c := m.follows(o.Session, o.Entry, func(s *session.Session) {
			s.Status, s.End = session.Ending, session.End{Cause: session.CauseSignOut, Decided: base.Add(time.Second)}
		})
		m.passes(m.met(finish(m.id, 1), commit(c)))
		m.stands(c.Next, []app.Entry{o.Entry, c.Entry})
		page, err := m.fast.Due(m.Context(), base.Add(time.Minute), "")
		if err != nil || !slices.ContainsFunc(page.Sessions, func(s session.Session) bool { return s.ID == m.id }) {
			m.Errorf("the sweep does not see it: %v", err)
		}
	}},
	{"finish: other effects are done", func(m *meeting) {
		o := m.opens(as, "effect")
		c := m.follows(o.Session, o.Entry, waits("it"), "effect")
		m.must(open(o))
		m.must(commit(c))
		m.passes(m.met(finish(m.id, 1), finish(m.id, 2)))
		m.stands(c.Next, []app.Entry{o.Entry, c.Entry})
	}},
	{"finish: the same effects are done", func(m *meeting) {
		o := m.opens(as, "effect")
		m.must(open(o))
		m.passes(m.met(finish(m.id, 1), finish(m.id, 1)))
		m.stands(o.Session, []app.Entry{o.Entry})
	}},
	{"finish, of what was read before it was committed", func(m *meeting) {
		o := m.opens(as)
		m.must(open(o))
		if _, err := m.slow.Session(m.Context(), m.id); err != nil {
			m.Fatal(err)
		}
		c := m.follows(o.Session, o.Entry, waits("it"), "effect")
		m.must(commit(c))
		m.passes(m.met(finish(m.id, 2)))
		m.stands(c.Next, []app.Entry{o.Entry, c.Entry})
	}},
	{"finish, the last of a session that no clock matters to", func(m *meeting) {
		o := m.opens(func(s *session.Session) { s.Deadline, s.DeadlineSource, s.Run.ID = time.Time{}, "", m.id }, "effect")
		m.must(open(o))
		m.passes(m.met(finish(m.id, 1)))
		m.stands(o.Session, []app.Entry{o.Entry})
		if from := m.attribute(m.id, "gsi3sk"); from != "" {
			m.Errorf("the sweep looks at it from %s on", from)
		}
	}},
	{"finish, and the clock is next", func(m *meeting) {
		o := m.opens(runs(m.id), "effect")
		m.must(open(o))
		m.passes(m.met(finish(m.id, 1)))
		if from := m.attribute(m.id, "gsi3sk"); !strings.HasPrefix(from, o.Session.WakeAt().Format("2006-01-02T15:04:05.")) {
			m.Errorf("the sweep looks at it from %s on, want %s", from, o.Session.WakeAt())
		}
	}},
}

// sets is somebody else's write of one attribute of the session's item: by a newer
// version of us, or by hand.
func (m *meeting) sets(attribute, value string) write {
	return func(ctx context.Context, _ *ddbstore.Store) error {
		_, err := m.db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: aws.String("between"), Key: key(m.id, state), UpdateExpression: aws.String("SET #it = :it"),
			ExpressionAttributeNames:  map[string]string{"#it": attribute},
			ExpressionAttributeValues: map[string]types.AttributeValue{":it": &types.AttributeValueMemberS{Value: value}},
		})
		return err
	}
}

const state = "STATE"

// key is that of an item of a session's partition.
func key(id, sk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "S#" + id}, "sk": &types.AttributeValueMemberS{Value: sk}}
}

// item is an item of a session's partition; empty where there is none.
func (m *meeting) item(id, sk string) map[string]types.AttributeValue {
	m.Helper()
	out, err := m.db.GetItem(m.Context(), &dynamodb.GetItemInput{TableName: aws.String("between"), Key: key(id, sk), ConsistentRead: aws.Bool(true)})
	if err != nil {
		m.Fatal(err)
	}
	return out.Item
}

// attribute is one of a session's item; "" where it has none.
func (m *meeting) attribute(id, name string) string {
	m.Helper()
	if v, is := m.item(id, state)[name].(*types.AttributeValueMemberS); is {
		return v.Value
	}
	return ""
}
