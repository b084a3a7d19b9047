package app_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/proof"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// sealedStore refuses every write: a rehearsal must make none.
type sealedStore struct {
	app.Store
	t *testing.T
}

var errWritten = errors.New("a rehearsal has written")

func (s sealedStore) wrote(what string) error {
	s.t.Error("a rehearsal has written: " + what)
	return errWritten
}

func (s sealedStore) Open(context.Context, app.Opening) error          { return s.wrote("Open") }
func (s sealedStore) Commit(context.Context, app.Commit) error         { return s.wrote("Commit") }
func (s sealedStore) Finish(context.Context, string, int64) error      { return s.wrote("Finish") }
func (s sealedStore) PutUser(context.Context, session.UserFacts) error { return s.wrote("PutUser") }
func (s sealedStore) PutEndpoint(context.Context, app.Endpoint) error  { return s.wrote("PutEndpoint") }
func (s sealedStore) Wake(context.Context, string) error               { return s.wrote("Wake") }
func (s sealedStore) PutPolicy(context.Context, session.Policy) error  { return s.wrote("PutPolicy") }
func (s sealedStore) PutAnchor(context.Context, proof.Anchor) error    { return s.wrote("PutAnchor") }
func (s sealedStore) PutNotebook(context.Context, app.Notebook) error  { return s.wrote("PutNotebook") }
func (s sealedStore) PutLedger(context.Context, app.Ledger) error      { return s.wrote("PutLedger") }
func (s sealedStore) SetMark(context.Context, string, time.Time) error { return s.wrote("SetMark") }
func (s sealedStore) Park(context.Context, app.Parked) (bool, error)   { return false, s.wrote("Park") }
func (s sealedStore) Reclaim(context.Context, workload.Ref, string, string) error {
	return s.wrote("Reclaim")
}
func (s sealedStore) Sample(context.Context, string, []byte, time.Time) (int64, error) {
	return 0, s.wrote("Sample")
}

// The reads of a store; whatever else a store can do is a write, and is sealed.
var reads = []string{"Session", "Sessions", "History", "Claimed", "OfUser", "OfEndpoint", "Due", "List", "Unfinished", "Changes", "Anchors", "User",
	"PendingUsers", "Endpoint", "Endpoints", "Policy", "ParkedEvent", "ParkedEvents", "Samples", "Mark", "Notebook", "Notebooks", "Moves", "Ledger"}

// Every write of a store is one that the tests below would see.
func TestASealedStoreIsSealed(t *testing.T) {
	sealed := reflect.TypeFor[app.Store]()
	writes := 0
	for i := range sealed.NumMethod() {
		name := sealed.Method(i).Name
		if slices.Contains(reads, name) {
			continue
		}
		writes++
		quiet := &testing.T{}
		m := reflect.ValueOf(sealedStore{nil, quiet}).MethodByName(name)
		args := make([]reflect.Value, m.Type().NumIn())
		for a := range args {
			args[a] = reflect.Zero(m.Type().In(a))
		}
		out := m.Call(args) // one that is not sealed panics: there is no store behind it
		if err, _ := out[len(out)-1].Interface().(error); !errors.Is(err, errWritten) {
			t.Errorf("%s is not sealed", name)
		}
	}
	if writes != 14 {
		t.Errorf("%d writes", writes)
	}
}

// drifted is a world in which everything differs that a repair finds; it says what.
func drifted(t *testing.T) (w *world, want map[app.FindingKind]string) {
	w = newWorld(t)
	w.deaf = true
	lost, over, zombie := w.start("lena", jobRun), w.start("olaf", jobRun), w.start("zoe", jobRun)
	w.say(w.fact(session.RevokeBackground, "zoe", "r-1"))
	w.pass(5 * time.Minute)
	zombie = w.must(zombie.ID, session.Ended, session.CauseBackgroundRevoked)
	w.unswept = true
	for _, e := range w.executions {
		e.over = true // all that tends has died
	}
	fresh := w.start("fay", jobRun)
	w.pass(10 * time.Minute)
	if err := w.store.SetMark(t.Context(), "alive", w.now.Add(-5*time.Minute)); err != nil {
		t.Fatal(err)
	}
	w.engine.forget = map[workload.Ref]bool{lost.Run.Ref(): true}
	w.engine.of(over).stopAt, w.engine.of(over).over = w.now, workload.Succeeded
	w.engine.of(zombie).stopAt, w.engine.of(zombie).asked = time.Time{}, nil
	w.born(jobRun, "strange", "sue")
	nobodys := jobRun
	nobodys.ID = "nobodys"
	w.engine.add(workload.Observation{Run: nobodys, CreatedAt: w.now.Add(-cadence.BirthWithin)})
	pending := session.UserFacts{User: "pia", Version: 1, PendingSince: w.now.Add(-10 * time.Minute),
		Pending: []session.Event{{ID: "p-1", Kind: session.SignOut, At: w.now, User: "pia"}}}
	if err := w.store.PutUser(t.Context(), pending); err != nil {
		t.Fatal(err)
	}
	return w, map[app.FindingKind]string{
		app.FindLost: lost.ID, app.FindOver: over.ID, app.FindZombie: zombie.Run.ID, app.FindUnrecorded: "strange", app.FindOrphan: "nobodys",
		app.FindEffects: fresh.ID, app.FindFanOut: "pia", app.FindTask: onEKS, app.FindAge: "",
	}
}

func described(findings []app.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%s %s %s %s %s: %s -> %q %q\n", f.Kind, f.Session, f.User, f.Run, f.Endpoint, f.Found, f.Heal, f.Why)
	}
	return b.String()
}

// S3.5: a rehearsal finds every kind of difference with the production checks, and
// writes, starts, stops and says nothing. The repair then does just what it showed.
func TestS3_5ARepairDoesWhatItsRehearsalShows(t *testing.T) {
	w, want := drifted(t)
	real := w.app.Store
	w.app.Store = sealedStore{real, t}
	said, begun, stops := len(w.says.said), len(w.executions), len(w.engine.stops)
	shown, err := w.app.Rehearse(t.Context(), root, app.Stretch{})
	w.app.Store = real
	if err != nil {
		t.Fatal(err)
	}
	if len(w.says.said) != said || len(w.executions) != begun || len(w.engine.stops) != stops || len(w.meter.counts) != 0 && w.meter.counts[app.MetricOrphans] != 0 {
		t.Error("a rehearsal has done something outside")
	}
	for kind, about := range want {
		if !slices.ContainsFunc(shown.Findings, func(f app.Finding) bool {
			return f.Kind == kind && strings.Contains(strings.Join([]string{f.Session, f.User, f.Run, f.Endpoint}, " "), about) && f.Found != "" && (f.Heal != "") != (f.Advice != "")
		}) {
			t.Errorf("nobody finds %s of %q:\n%s", kind, about, described(shown.Findings))
		}
	}
	w.deaf = false // what the repair decides is carried out as all that is decided
	done, err := w.app.Repair(t.Context(), app.Act{Who: root, Key: "repair-1", Why: "it drifted"}, app.Stretch{}, shown.Plan)
	if err != nil {
		t.Fatal(err)
	}
	if len(done.Findings) != len(shown.Findings) {
		t.Fatalf("shown:\n%sdone:\n%s", described(shown.Findings), described(done.Findings))
	}
	for i, f := range done.Findings {
		was := shown.Findings[i]
		if f.Healed != (f.Heal != "") || f.Kind != was.Kind || f.Session != was.Session || f.Heal != was.Heal {
			t.Errorf("shown: %sdone: %s", described([]app.Finding{was}), described([]app.Finding{f}))
		}
	}
	w.must(want[app.FindLost], session.Ended, session.CauseLost)
	w.must(want[app.FindOver], session.Ended, session.CauseFinished)
	if s := w.only(workload.Ref{Endpoint: onEKS, ID: "strange"}); s.User != "sue" {
		t.Errorf("%+v", s)
	}
	if n := w.says.ids("orphan-found", "", ""); len(n) != 1 {
		t.Errorf("orphans said: %v", n)
	}
	w.pass(time.Minute)
	again, err := w.app.Rehearse(t.Context(), root, app.Stretch{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range again.Findings {
		if f.Kind != app.FindAge {
			t.Errorf("after the repair there is still: %s", described([]app.Finding{f}))
		}
	}
}

// What a person with the table's key can break and nothing of ours does: a claim and
// a place on a list that are missing are written again, with an entry that says so.
func TestARepairWritesMissingPlacesAgain(t *testing.T) {
	w := newWorld(t)
	a, b := w.start("ana", jobRun), w.start("ben", jobRun)
	w.pass(5 * time.Minute)
	before := w.get(a.ID).Version
	broken := &lacking{Store: w.store, run: a.Run.Ref(), id: b.ID}
	w.app.Store = broken
	shown, err := w.app.Rehearse(t.Context(), root, app.Stretch{Endpoint: onEKS})
	if err != nil {
		t.Fatal(err)
	}
	if len(shown.Findings) < 2 || w.get(a.ID).Version != before {
		t.Fatalf("%s", described(shown.Findings))
	}
	for _, want := range []struct {
		kind app.FindingKind
		id   string
	}{{app.FindClaim, a.ID}, {app.FindIndex, b.ID}} {
		if !slices.ContainsFunc(shown.Findings, func(f app.Finding) bool { return f.Kind == want.kind && f.Session == want.id && f.Heal != "" }) {
			t.Errorf("nobody finds %s of %s:\n%s", want.kind, want.id, described(shown.Findings))
		}
	}
	done, err := w.app.Repair(t.Context(), app.Act{Who: root, Key: "repair-2"}, app.Stretch{Endpoint: onEKS}, shown.Plan)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{a.ID, b.ID} {
		h := w.history(id)
		if last := h[len(h)-1]; last.Event.Evidence != "repair, act repair-2" || !strings.Contains(last.Note, "written again") || last.Changes() {
			t.Errorf("%s: %+v\n%s", id, last, described(done.Findings))
		}
	}
	if len(broken.claimed) != 1 || broken.claimed[0] != a.ID {
		t.Errorf("claimed for %v", broken.claimed)
	}
}

// lacking is a store in which the claim of one run and the places of one session are
// missing until the session is written again.
type lacking struct {
	app.Store
	run     workload.Ref
	id      string
	written map[string]bool
	claimed []string
}

func (l *lacking) Claimed(ctx context.Context, run workload.Ref) (string, error) {
	if run == l.run && len(l.claimed) == 0 {
		return "", fault.Newf("read claim", fault.NotFound, "nobody owns it")
	}
	return l.Store.Claimed(ctx, run)
}

func (l *lacking) Commit(ctx context.Context, c app.Commit) error {
	if c.Claim {
		l.claimed = append(l.claimed, c.Next.ID)
	}
	if l.written == nil {
		l.written = map[string]bool{}
	}
	l.written[c.Next.ID] = true
	return l.Store.Commit(ctx, c)
}

func (l *lacking) OfUser(ctx context.Context, user, cursor string) (app.Page, error) {
	p, err := l.Store.OfUser(ctx, user, cursor)
	if !l.written[l.id] {
		p.Sessions = slices.DeleteFunc(p.Sessions, func(s session.Session) bool { return s.ID == l.id })
	}
	return p, err
}

// S8.4: a history that does not prove itself is told and left as it is.
func TestARepairTouchesNoEvidence(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", jobRun)
	w.pass(5 * time.Minute)
	w.app.Store = forged{w.store, s.ID}
	defer func() { w.app.Store = w.store }()
	before := w.get(s.ID).Version
	done, err := w.app.Repair(t.Context(), app.Act{Who: root}, app.Stretch{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(done.Findings) != 1 || done.Findings[0].Kind != app.FindChain || done.Findings[0].Heal != "" || done.Findings[0].Healed || w.get(s.ID).Version != before {
		t.Errorf("%s", described(done.Findings))
	}
}

// forged is a store in which somebody has changed a session's first entry.
type forged struct {
	app.Store
	id string
}

func (f forged) History(ctx context.Context, id string, after int64, limit int) ([]app.Entry, bool, error) {
	entries, more, err := f.Store.History(ctx, id, after, limit)
	if id == f.id && after == 0 && len(entries) > 0 {
		entries[0].Event.User = "somebody else"
	}
	return entries, more, err
}

// An engine that cannot be asked is a finding, never a guess; nobody but an
// administrator repairs.
func TestARepairDoesNotGuess(t *testing.T) {
	w := newWorld(t)
	s := w.start("ana", jobRun)
	w.pass(20 * time.Minute)
	for _, kind := range []fault.Kind{fault.Denied, fault.Unknown} {
		w.engine.onList = func(string) error { return fault.New("list runs", kind, errDown) }
		done, err := w.app.Repair(t.Context(), app.Act{Who: root}, app.Stretch{Endpoint: onEKS}, "")
		if err != nil || len(done.Findings) != 1 || done.Findings[0].Kind != app.FindUnchecked || done.Findings[0].Advice == "" {
			t.Errorf("%v: %s", err, described(done.Findings))
		}
	}
	w.must(s.ID, session.Active, "")
	if _, err := w.app.Rehearse(t.Context(), app.Actor{Name: "ana", User: "ana"}, app.Stretch{}); !fault.Is(err, fault.Denied) {
		t.Errorf("a user: %v", err)
	}
}

// Where the caller's time is nearly up, what is left is told and not half done.
func TestARepairEndsInTime(t *testing.T) {
	w := newWorld(t)
	w.start("ana", jobRun)
	w.pass(5 * time.Minute)
	r, err := w.app.Rehearse(bounded{t.Context(), w.now.Add(3 * time.Second)}, root, app.Stretch{Endpoint: onEKS})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(r.Findings); n < 2 || r.Findings[n-1].Kind != app.FindUnchecked || r.Findings[n-2].Kind != app.FindUnchecked || w.engine.stops != nil {
		t.Errorf("%s", described(r.Findings))
	}
}

// bounded is a context with a deadline on the world's clock.
type bounded struct {
	context.Context
	until time.Time
}

func (b bounded) Deadline() (time.Time, bool) { return b.until, true }

// A repair whose time is up says where it goes on, and the stretches together find and
// heal what one that nobody waits for does.
func TestARepairGoesOnWhereItsTimeWasUp(t *testing.T) {
	w, _ := drifted(t)
	whole, err := w.app.Rehearse(t.Context(), root, app.Stretch{})
	if err != nil || whole.Next != "" {
		t.Fatalf("%v, next %q", err, whole.Next)
	}
	w.deaf = false
	// Each look at the clock takes half a second of the 30 that API Gateway gives.
	now, ticking := w.app.Now, 0
	w.app.Now = func() time.Time {
		ticking++
		return now().Add(time.Duration(ticking) * 500 * time.Millisecond)
	}
	name := func(f app.Finding) string {
		return strings.Join([]string{string(f.Kind), f.Endpoint, f.Session, f.Run, f.User, f.Heal}, " ")
	}
	var found []string
	stretches := 0
	for over := (app.Stretch{}); ; stretches++ {
		ticking = 0
		shown, err := w.app.Rehearse(bounded{t.Context(), w.now.Add(28 * time.Second)}, root, over)
		if err != nil || stretches > 20 {
			t.Fatalf("stretch %d from %q: %v", stretches, over.From, err)
		}
		if over.To = shown.Next; over.To == "" {
			over.To = app.WholeRepair
		}
		ticking = 0
		done, err := w.app.Repair(t.Context(), app.Act{Who: root, Key: fmt.Sprint("stretch-", stretches)}, over, shown.Plan)
		if err != nil || done.Next != shown.Next {
			t.Fatalf("from %q to %q: %v, next %q", over.From, over.To, err, done.Next)
		}
		for _, f := range done.Findings {
			found = append(found, name(f))
			if f.Healed != (f.Heal != "") {
				t.Errorf("%s", described([]app.Finding{f}))
			}
		}
		if shown.Next == "" {
			break
		}
		over = app.Stretch{From: shown.Next}
	}
	if stretches < 1 {
		t.Error("the time was never up")
	}
	for _, f := range whole.Findings {
		if !slices.Contains(found, name(f)) {
			t.Errorf("in stretches nobody finds: %s among\n%s", described([]app.Finding{f}), strings.Join(found, "\n"))
		}
	}
}

// What a person sends as the place to go on is theirs: nothing is guessed from it.
func TestAPlaceOfARepairIsRefused(t *testing.T) {
	w := newWorld(t)
	for _, bad := range []string{"x", "end", ":", "records", "records:x:", "records:-1:", "records:5001:", "effects:x", "facts:1", "Endpoints:"} {
		_, err := w.app.Rehearse(t.Context(), root, app.Stretch{From: bad})
		var field *app.FieldError
		if !errors.As(err, &field) || field.Field != "from" {
			t.Errorf("from %q: %v", bad, err)
		}
		if bad == app.WholeRepair {
			continue
		}
		if _, err := w.app.Repair(t.Context(), app.Act{Who: root}, app.Stretch{To: bad}, ""); !errors.As(err, &field) || field.Field != "to" {
			t.Errorf("to %q: %v", bad, err)
		}
	}
	if _, err := w.app.Rehearse(t.Context(), root, app.Stretch{From: "records:0:nonsense"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a cursor that no store gave: %v", err)
	}
	if r, err := w.app.Rehearse(t.Context(), root, app.Stretch{From: "endpoints:zzz"}); err != nil || len(r.Findings) != 0 {
		t.Errorf("behind all endpoints: %v, %s", err, described(r.Findings))
	}
}
