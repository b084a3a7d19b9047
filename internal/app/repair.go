package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Repair is what the records and the engines tell differently, and what the
// records tell differently among themselves. All of it heals by itself: a repair
// runs the checks of the watch and of the sweep now, and says what they found. What
// it heals beyond them is what nobody writes wrongly, but a person with the table's
// key can: claims and index entries that are missing.
type Repair struct {
	ID       string // of the act; "" where it was rehearsed
	At       time.Time
	Endpoint string // the only one looked at; "": all
	From     string // where it began (Repair.Next of the one before); "": at the beginning
	Next     string // where to go on: the caller's time was up; "": all was looked at
	Plan     string // names what would be healed: a repair of it heals nothing else
	Findings []Finding
}

// Finding is one difference.
type Finding struct {
	Kind     FindingKind
	Endpoint string
	Session  string
	User     string
	Run      string
	Found    string // what is wrong, for people
	Heal     string // what a repair does about it; "": nothing
	Advice   string // what a person can do where no repair does it
	Healed   bool
	Why      string // why it was not, where a repair tried
}

// FindingKind is a kind of difference.
type FindingKind string

// The kinds, in the order in which they are shown.
const (
	FindZombie     FindingKind = "zombie"     // a run is alive, its session has ended
	FindUnrecorded FindingKind = "unrecorded" // a run is alive, and no session is of it
	FindOrphan     FindingKind = "orphan"     // likewise, and nobody can be named for it
	FindLost       FindingKind = "lost"       // a session whose run is gone
	FindOver       FindingKind = "over"       // a session whose run is over
	FindStale      FindingKind = "stale"      // a session that does not know its run's news
	FindClaim      FindingKind = "claim"      // a session that does not own its run
	FindIndex      FindingKind = "index"      // a session that a list lacks
	FindEffects    FindingKind = "effects"    // what was decided is not carried out
	FindFanOut     FindingKind = "fan-out"    // a fact about a user has not reached the sessions
	FindTask       FindingKind = "task"       // nobody watches or drains an endpoint that needs it
	FindChain      FindingKind = "chain"      // a history that does not prove itself
	FindRestore    FindingKind = "restore"    // the records were put back, and nobody has confirmed that
	FindAge        FindingKind = "age"        // a check has not been made for too long
	FindUnchecked  FindingKind = "unchecked"  // what could not be looked at
)

var findingOrder = []FindingKind{FindZombie, FindUnrecorded, FindOrphan, FindLost, FindOver, FindStale, FindClaim, FindIndex,
	FindEffects, FindFanOut, FindTask, FindChain, FindRestore, FindAge, FindUnchecked}

// askPatience is how long one call of an engine may take in a repair, in which a
// person waits: an engine that does not answer is a finding.
const askPatience = 8 * time.Second

// recordsMax bounds the records that a repair compares with their lists, newest
// first; more are said to be left out.
const recordsMax = 5_000

// Rehearse finds what a repair would heal, and changes nothing.
func (a *App) Rehearse(ctx context.Context, who Actor, over Stretch) (Repair, error) {
	if err := a.mayRepair(ctx, who, over); err != nil {
		return Repair{}, err
	}
	return a.repair(ctx, over, true, "")
}

// Repair heals what it finds. plan, where given, is that of a rehearsal: Conflict
// where something else would be healed by now.
func (a *App) Repair(ctx context.Context, act Act, over Stretch, plan string) (Repair, error) {
	const op = "repair"
	if err := first(act.check(op), a.mayRepair(ctx, act.Who, over)); err != nil {
		return Repair{}, err
	}
	if plan != "" {
		now, err := a.repair(ctx, over, true, "")
		if err == nil && now.Plan != plan {
			err = fault.Newf(op, fault.Conflict, "something else would be healed by now: look at it again")
		}
		if err != nil {
			return Repair{}, err
		}
	}
	r, err := a.record(ctx, act, recorded{Event: session.Event{Kind: kindRepair}, Asked: strings.TrimRight("repair "+over.Endpoint+" "+over.From, " ")}, false)
	if err != nil {
		return Repair{}, err
	}
	done, err := a.repair(ctx, over, false, r.Event.Evidence)
	done.ID = r.Event.ID
	return done, err
}

func (a *App) mayRepair(ctx context.Context, who Actor, over Stretch) error {
	const op = "repair"
	if err := who.admin(op); err != nil {
		return err
	}
	endpoint := over.Endpoint
	_, err := over.steps()
	if err != nil || endpoint == "" {
		return err
	}
	known := slices.Contains(a.Endpoints, endpoint)
	err = a.endpoints(ctx, func(e Endpoint) error { known = known || e.ID == endpoint; return nil })
	if err == nil && !known {
		err = fault.Newf(op, fault.NotFound, "there is no endpoint %q", endpoint)
	}
	return err
}

// repairing is one repair on its way.
type repairing struct {
	*App      // its ports note what is done
	deeds     *deeds
	rehearsed bool
	evidence  string
	only      string // endpoint
	found     []Finding
	stretch
}

func (a *App) repair(ctx context.Context, over Stretch, rehearsed bool, evidence string) (Repair, error) {
	looks, err := over.steps()
	r := &repairing{rehearsed: rehearsed, evidence: evidence, only: over.Endpoint, stretch: looks}
	r.App, r.deeds = a.observed(rehearsed, askPatience)
	r.until = a.third(ctx)
	if err == nil && over.From == "" {
		err = r.ages(ctx)
	}
	checks := map[string]func(context.Context, step) error{partEndpoints: r.endpoints, partRecords: r.records, partEffects: r.effects, partFacts: r.facts}
	for at := looks.from; err == nil && at.part < len(parts) && r.ends == nil; at = (step{part: at.part + 1}) {
		err = checks[parts[at.part]](ctx, at)
	}
	if err != nil {
		return Repair{}, err
	}
	slices.SortStableFunc(r.found, func(x, y Finding) int {
		return slices.Index(findingOrder, x.Kind) - slices.Index(findingOrder, y.Kind)
	})
	plan := []string{over.Endpoint, over.From}
	for _, f := range r.found {
		if f.Heal != "" {
			plan = append(plan, string(f.Kind), f.Endpoint, f.Session, f.Run)
		}
	}
	return Repair{At: a.Now(), Endpoint: over.Endpoint, From: over.From, Next: r.next(), Plan: digest(plan...), Findings: r.found}, nil
}

// add adds a finding that a repair heals; err is why it did not.
func (r *repairing) add(f Finding, err error) {
	if f.Heal != "" && !r.rehearsed {
		if f.Healed = err == nil; err != nil {
			f.Why = err.Error()
		}
	}
	r.found = append(r.found, f)
}

// of is a finding about a session.
func of(kind FindingKind, s session.Session) Finding {
	return Finding{Kind: kind, Endpoint: s.Run.Endpoint, Session: s.ID, User: s.User, Run: s.Run.ID}
}

// about says whether the repair is about an endpoint.
func (r *repairing) about(endpoint string) bool { return r.only == "" || r.only == endpoint }

// Rounds that are younger than this are no finding: those that count minutes may
// miss one.
const (
	aliveWithin  = 3 * cadence.Sweep
	replayWithin = 3 * cadence.Replay
)

// ages looks whether what heals by itself is at work at all.
func (r *repairing) ages(ctx context.Context) error {
	restored, err := r.restored(ctx)
	if err != nil {
		return err
	}
	if !restored.Confirmed {
		r.add(Finding{Kind: FindRestore, Found: fmt.Sprintf("by the records nothing was decided from %s to %s: they were put back, or nothing ran", stamp(restored.From), stamp(restored.At)),
			Advice: "look at nightshift restore, and confirm it"}, nil)
	}
	for _, m := range []struct {
		mark, what, advice string
		within             time.Duration
	}{
		{markAlive, "no sweep, watch or drain has gone its round", "look at the function on-schedule: its errors, its schedule, its dead-letter queue", aliveWithin},
		{markReplay, "sign-outs and revocations were not replayed from CloudTrail", "look at the errors of the function on-schedule: may it look events up?", replayWithin},
	} {
		at, err := r.Store.Mark(ctx, m.mark)
		if err != nil {
			return err
		}
		if age := r.Now().Sub(at); !at.IsZero() && age > m.within {
			r.add(Finding{Kind: FindAge, Found: m.what + " since " + stamp(at) + ", for " + age.Round(time.Second).String(), Advice: m.advice}, nil)
		}
	}
	return nil
}

// endpoints makes the truth check of each endpoint (S3.5a), and sees that those who
// tend it are alive.
func (r *repairing) endpoints(ctx context.Context, from step) error {
	var all []Endpoint
	registered := map[string]bool{}
	err := r.App.endpoints(ctx, func(e Endpoint) error {
		registered[e.ID] = true
		if r.about(e.ID) {
			all = append(all, e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range r.Endpoints {
		if r.about(id) && !registered[id] {
			err := r.register(ctx, id)
			r.add(Finding{Kind: FindIndex, Endpoint: id, Found: "it is configured, and the list of endpoints lacks it: nobody looks at it", Heal: "it is put on the list"}, err)
			all = append(all, Endpoint{ID: id})
		}
	}
	slices.SortFunc(all, func(x, y Endpoint) int { return strings.Compare(x.ID, y.ID) })
	for _, e := range all {
		if e.ID < from.id {
			continue
		}
		if r.stops(step{id: e.ID}) {
			return nil
		}
		if err := r.endpoint(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (r *repairing) endpoint(ctx context.Context, e Endpoint) error {
	if r.late(ctx) {
		r.add(Finding{Kind: FindUnchecked, Endpoint: e.ID, Found: "time was up before its runs were compared with the records", Advice: "repair one endpoint at a time"}, nil)
		return nil
	}
	before, err := r.live(ctx, e.ID)
	if err != nil {
		return err
	}
	_, _, unlooked := r.look(ctx, e)
	done := r.deeds.taken()
	r.differences(before, done)
	if unlooked != nil {
		f := Finding{Kind: FindUnchecked, Endpoint: e.ID, Found: "its runs could not all be compared with the records: " + unlooked.Error(), Advice: "the watch and the sweep try again by themselves"}
		if fault.Is(unlooked, fault.Denied) {
			f.Found, f.Advice = "who answers here may not ask this engine", "the watch does, each minute or each five: an endpoint's last complete list is shown by GET /api/endpoints"
		}
		if !e.LastListed.IsZero() {
			f.Found += "; last listed completely at " + stamp(e.LastListed)
		}
		r.add(f, nil)
	}
	now, err := r.Store.Endpoint(ctx, e.ID)
	if err != nil {
		return err
	}
	live, err := r.live(ctx, e.ID)
	if err != nil {
		return err
	}
	// Those that were opened here have a watch begun by their own effects.
	live = slices.DeleteFunc(live, func(s session.Session) bool {
		return !slices.ContainsFunc(before, func(b session.Session) bool { return b.ID == s.ID })
	})
	untended := r.tend(ctx, now, live)
	for _, b := range r.deeds.taken().begun {
		f := Finding{Kind: FindTask, Endpoint: b.endpoint, Found: "it has sessions to watch, and no watch is alive", Heal: "a watch is started"}
		if b.kind == session.Stop {
			f.Found, f.Heal = "it has sessions that must end, and no drain is alive", "a drain is started"
		}
		r.add(f, nil)
	}
	if untended != nil {
		r.add(Finding{Kind: FindTask, Endpoint: e.ID, Found: "it needs a watch or a drain, and none is alive", Heal: "it is started"}, untended)
	}
	return nil
}

// differences are what the truth check of an endpoint did, told as what it found.
func (r *repairing) differences(before []session.Session, d *deeds) {
	was := map[string]session.Session{}
	for _, s := range before {
		was[s.ID] = s
	}
	for _, s := range d.opened {
		f := of(FindUnrecorded, s)
		f.Found, f.Heal = "the run is alive, and no session is of it", "a session is opened for it, "+string(s.Mode)+", "+string(s.Status)
		if s.Origin == session.Zombie {
			f.Kind, f.Found, f.Heal = FindZombie, "the run is alive, and its session "+s.Previous+" has ended", "a session is opened that must end: the run is asked to stop"
		}
		r.add(f, nil)
		was[s.ID] = session.Session{}
	}
	for _, c := range d.committed {
		if s, known := was[c.Next.ID]; known && s.ID == "" {
			continue // what it learned when it was opened
		}
		f := of(FindStale, c.Next)
		told := session.Tell(c.Entry.Event, snapshot(was[c.Next.ID]), snapshot(c.Next), c.Entry.Note)
		f.Found, f.Heal = told.Happened, told.Decided
		if c.Entry.Changes() && c.Next.Status == session.Ended {
			if f.Kind = FindOver; c.Next.End.Cause == session.CauseLost || c.Entry.Event.State == workload.Gone {
				f.Kind = FindLost
			}
		}
		was[c.Next.ID] = c.Next
		r.add(f, nil)
	}
	for _, n := range d.said {
		if n.Kind == "orphan-found" {
			r.add(Finding{Kind: FindOrphan, Endpoint: n.Orphan.Run.Endpoint, Run: n.Orphan.Run.ID, Found: "the run is alive, and says of nobody that it is theirs", Heal: "it is said on the bus, once; it is not stopped"}, nil)
		}
	}
	for _, run := range d.cleared {
		r.add(Finding{Kind: FindOver, Endpoint: run.Endpoint, Run: run.ID, Found: "the run is over, and something of it may live on", Heal: "that is asked to stop"}, nil)
	}
}

func snapshot(s session.Session) session.Snapshot {
	return session.Snapshot{Status: s.Status, Mode: s.Mode, Deadline: s.Deadline, Source: s.DeadlineSource, Cause: s.End.Cause}
}

// effects looks for effects that linger, which the sweep drives each minute.
func (r *repairing) effects(ctx context.Context, from step) error {
	if r.stops(from) {
		return nil
	}
	var lingering []Entry
	for cursor := ""; ; {
		entries, next, err := r.Store.Unfinished(ctx, r.Now().Add(-2*cadence.EffectLinger), cursor)
		if err != nil {
			return err
		}
		lingering = append(lingering, entries...)
		if cursor = next; next == "" {
			break
		}
	}
	for _, e := range lingering {
		if r.late(ctx) {
			r.timeUp("all effects that linger were looked at")
			return nil
		}
		s, err := r.Store.Session(ctx, e.SessionID)
		if err != nil || !r.about(s.Run.Endpoint) {
			if fault.Is(err, fault.NotFound) {
				err = nil // an entry of a session that is not there is the proof's affair
			}
			if err != nil {
				return err
			}
			continue
		}
		var kinds []string
		for _, f := range e.Effects {
			kinds = append(kinds, string(f.Kind))
		}
		r.RunEffects(ctx, e)
		done := r.deeds.taken()
		if r.rehearsed || slices.Contains(done.finished[e.SessionID], e.Version) {
			err = nil
		} else {
			err = fault.Newf("run effects", fault.Unknown, "they could not all be carried out from here; the sweep tries each minute, and logs why it cannot")
		}
		f := of(FindEffects, s)
		f.Found = fmt.Sprintf("what was decided at %s (version %d: %s) is not carried out", stamp(e.At), e.Version, strings.Join(kinds, ", "))
		f.Heal = "it is carried out, as far as it is still wanted"
		r.add(f, err)
	}
	return nil
}

// timeUp says what was not looked at in the caller's time.
func (r *repairing) timeUp(before string) {
	r.add(Finding{Kind: FindUnchecked, Endpoint: r.only, Found: "time was up before " + before, Advice: "the sweep goes on each minute; repair again"}, nil)
}

// factsWithin is how long a fact may be on its way to all sessions: several sweeps.
const factsWithin = 3 * cadence.Sweep

// facts looks for facts about users that have not reached all of their sessions.
func (r *repairing) facts(ctx context.Context, from step) error {
	if r.stops(from) {
		return nil
	}
	var users []string
	for cursor := ""; ; {
		page, next, err := r.Store.PendingUsers(ctx, cursor)
		if err != nil {
			return err
		}
		users = append(users, page...)
		if cursor = next; next == "" {
			break
		}
	}
	for _, user := range users {
		if r.late(ctx) {
			r.timeUp("all facts that have not reached their sessions were looked at")
			return nil
		}
		u, err := r.Store.User(ctx, user)
		if err != nil {
			return err
		}
		if len(u.Pending) == 0 || strings.HasPrefix(user, heldFacts) || r.only != "" || r.Now().Sub(u.PendingSince) < factsWithin {
			continue
		}
		var kinds []string
		for _, e := range u.Pending {
			kinds = append(kinds, string(e.Kind))
		}
		err = r.fanOut(ctx, user)
		r.deeds.taken()
		r.add(Finding{Kind: FindFanOut, User: user, Found: fmt.Sprintf("since %s it is not brought to all sessions that it concerns: %s", stamp(u.PendingSince), strings.Join(kinds, ", ")),
			Heal: "it is brought to them"}, err)
	}
	return nil
}

// lists are the lists that a session must be on as long as it has not ended.
type lists struct {
	endpoint map[string]map[string]bool
	user     map[string]map[string]bool
	due      map[string]bool
}

// listed reads the ids of a list once.
func listedIn(lists map[string]map[string]bool, key string, read func(cursor string) (Page, error)) (map[string]bool, error) {
	if ids, ok := lists[key]; ok {
		return ids, nil
	}
	ids := map[string]bool{}
	lists[key] = ids
	return ids, pages(read, func(s session.Session) { ids[s.ID] = true })
}

// records compares the records with the lists and claims that lead to them, and
// with their own histories. Only what a list of all sessions has can be found so.
func (r *repairing) records(ctx context.Context, from step) error {
	l := lists{map[string]map[string]bool{}, map[string]map[string]bool{}, nil}
	looked, later, enough := from.looked, errors.New("later"), errors.New("enough")
	begun := false
	err := pages(func(cursor string) (Page, error) {
		if !begun {
			begun, cursor = true, from.cursor
		}
		switch {
		case r.stops(step{part: from.part, looked: looked, cursor: cursor}):
			return Page{}, later
		case looked >= recordsMax || r.late(ctx):
			return Page{}, enough
		}
		return r.Store.List(ctx, cursor)
	}, func(s session.Session) {
		looked++
		if s.Status == session.Ended || !r.about(s.Run.Endpoint) || r.Now().Sub(s.RecordedAt) < 2*cadence.IndexLag {
			return
		}
		if err := r.session(ctx, s.ID, &l); err != nil {
			r.add(Finding{Kind: FindUnchecked, Endpoint: s.Run.Endpoint, Session: s.ID, User: s.User, Run: s.Run.ID, Found: "its record could not be checked: " + err.Error(),
				Advice: "look at it with nightshift why " + s.ID}, nil)
		}
	})
	if errors.Is(err, later) {
		return nil
	}
	if errors.Is(err, enough) {
		r.add(Finding{Kind: FindUnchecked, Endpoint: r.only, Found: fmt.Sprintf("only the newest %d records were compared with the lists that lead to them", looked), Advice: "repair one endpoint at a time, when less is going on"}, nil)
		err = nil
	}
	return err
}

// session checks one record that has not ended, as it is now.
func (r *repairing) session(ctx context.Context, id string, l *lists) error {
	s, entries, err := r.SessionStory(ctx, id)
	if err != nil || s.Status == session.Ended {
		return err
	}
	broken := chain(entries)
	if n := len(entries); broken == nil && (n == 0 || entries[n-1].Version != s.Version || entries[n-1].Hash != s.Head) {
		broken = errors.New("its newest entry is not the one that its state names")
	}
	if broken != nil {
		f := of(FindChain, s)
		f.Found, f.Advice = "its history does not prove itself: "+broken.Error(), "no repair touches evidence: nightshift prove names all that is broken; keep the table's point-in-time backups"
		r.add(f, nil)
	}
	missing, err := r.missingFrom(ctx, s, l)
	if err != nil {
		return err
	}
	unclaimed := false
	if s.Run.ID != "" {
		owner, err := r.Store.Claimed(ctx, s.Run.Ref())
		switch {
		case fault.Is(err, fault.NotFound):
			unclaimed = true
		case err != nil:
			return err
		case owner != s.ID:
			f := of(FindClaim, s)
			f.Found, f.Advice = "its run belongs to session "+owner, "the truth check closes it as lost when the run's own listing says so; nightshift why "+owner+" tells the other's story"
			r.add(f, nil)
		}
	}
	if !unclaimed && len(missing) == 0 {
		return nil
	}
	err = r.rewrite(ctx, s.ID, unclaimed)
	r.deeds.taken()
	if unclaimed {
		f := of(FindClaim, s)
		f.Found, f.Heal = "nobody owns its run: a listing would record the run once more", "the run is claimed for it, in a new version of the record"
		r.add(f, err)
	}
	if len(missing) > 0 {
		f := of(FindIndex, s)
		f.Found, f.Heal = "not on the list of "+strings.Join(missing, ", nor of "), "the record is written again, in a new version, and with it its place on every list"
		r.add(f, err)
	}
	return nil
}

// missingFrom names the lists that lack a session.
func (r *repairing) missingFrom(ctx context.Context, s session.Session, l *lists) ([]string, error) {
	ofEndpoint, err := listedIn(l.endpoint, s.Run.Endpoint, func(c string) (Page, error) { return r.Store.OfEndpoint(ctx, s.Run.Endpoint, c) })
	if err != nil {
		return nil, err
	}
	ofUser, err := listedIn(l.user, s.User, func(c string) (Page, error) { return r.Store.OfUser(ctx, s.User, c) })
	if err != nil {
		return nil, err
	}
	if l.due == nil {
		l.due = map[string]bool{}
		if err := pages(func(c string) (Page, error) { return r.Store.Due(ctx, r.Now(), c) }, func(s session.Session) { l.due[s.ID] = true }); err != nil {
			return nil, err
		}
	}
	var missing []string
	if !ofEndpoint[s.ID] {
		missing = append(missing, "its endpoint")
	}
	if !ofUser[s.ID] {
		missing = append(missing, "its user")
	}
	if wake := s.WakeAt(); !wake.IsZero() && r.Now().Sub(wake) > 2*cadence.IndexLag && !l.due[s.ID] {
		missing = append(missing, "what is due")
	}
	return missing, nil
}

// rewrite writes a record again as it is, as a new version that says so: with it the
// store writes all its places anew. claim has the run claimed for it.
func (r *repairing) rewrite(ctx context.Context, id string, claim bool) error {
	for range raceMax {
		s, err := r.Store.Session(ctx, id)
		if err != nil || s.Status == session.Ended {
			return err
		}
		now := r.Now()
		e := session.Event{Kind: session.Tick, At: now, Known: now, By: "nightshift", Evidence: "repair, " + r.evidence}
		again := session.Decision{Next: s, Ignored: "the record was written again: a list or a claim that leads to it was missing"}
		next, entry, err := sealed(&s, &again, e, now)
		if err != nil {
			return err
		}
		if err = r.Store.Commit(ctx, Commit{Next: next, Entry: entry, Claim: claim}); err == nil || !fault.Is(err, fault.Conflict) {
			return err
		}
	}
	return fault.Newf("repair session "+id, fault.Conflict, "%d races lost", raceMax)
}
