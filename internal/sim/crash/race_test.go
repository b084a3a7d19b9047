package crash_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/edge"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// The start of a run and the stop of its session are each cut at every call of
// the store and of the engine, and at each cut somebody else may go on: the other
// of the two, the stream that carries out effects, a round of the watch or of the
// drain, the minute's sweep, or time. Every order is played. Orders that have led
// everybody to the same knowledge of the same world are gone on with once.

// actor is one invocation that is cut into steps.
type actor struct {
	resume chan bool // false: it is to end here
	parked chan struct{}
	over   bool
	steps  int
	knows  string // stands for everything it has seen
}

// race is one world in which two actors are moved step by step.
type race struct {
	*play
	actors [2]*actor
	moving *actor // nil: a whole invocation at once
	extra  int    // sweeps and steps of time so far
}

// With -all a minute's sweep may come in between, or a step of time, longer than
// a drain's pause and shorter than a start may take; each makes it ten times as
// much.
const jump = 6 * time.Second

func newRace(engine workload.Engine, mode session.Mode, kind string, more map[string]any, m memo) *race {
	c := session.CauseSignOut
	if mode == session.Background {
		c = session.CauseBackgroundRevoked
	}
	r := &race{play: &play{scenario: scenario{row: row{cause: c}, engine: engine, mode: mode, origin: session.Started, fate: ends}, policy: session.DefaultPolicy()}}
	r.policy.InstanceBackground = session.On
	g := newRig(engine)
	g.memo = m
	r.world = newWorld(g, &trouble{}, r.policy, modes[mode])
	r.came, r.terse = true, true
	r.app.Store = gatedStore{r.app.Store, r}
	g.gate = r.step
	machine := r.run(map[string]any{"user": user, "engine": engine, "endpoint": g.endpoint, "application": g.run.Application, "spec": raw(g.spec)})
	r.deeds = nil
	detail := map[string]any{"user": user, "at": began.Format(time.RFC3339), "by": "admin"}
	for k, v := range more {
		detail[k] = v
	}
	body := event("nightshift", kind, "e-1", began, detail)
	for i, do := range []func(){machine.open, func() { r.put(body) }} {
		a := &actor{resume: make(chan bool), parked: make(chan struct{})}
		r.actors[i] = a
		go func() {
			if <-a.resume {
				do()
			}
			a.over = true
			a.parked <- struct{}{}
		}()
	}
	return r
}

// step cuts the actor that moves before a call.
func (r *race) step(call string, do func() string) {
	a := r.moving
	if a == nil {
		do()
		return
	}
	a.parked <- struct{}{}
	if !<-a.resume {
		panic(died)
	}
	sum := sha256.Sum256([]byte(a.knows + "|" + call + "|" + do()))
	a.knows = string(sum[:])
}

// move lets an actor take one step.
func (r *race) move(a *actor, on bool) {
	r.moving = a
	a.steps++
	a.resume <- on
	<-a.parked
	r.moving = nil
}

// leave ends the actors where they are.
func (r *race) leave() {
	for _, a := range r.actors {
		for !a.over {
			r.move(a, false)
		}
	}
}

// choices are what may happen next, by name.
func (r *race) choices() []string {
	var c []string
	for i, a := range r.actors {
		if !a.over {
			c = append(c, [...]string{"start", "stop"}[i])
		}
	}
	if len(c) == 0 {
		return nil // what follows has one order: that of time
	}
	if len(r.deeds) > 0 {
		c = append(c, "effect")
	}
	for i, e := range r.executions {
		if !e.over && !e.next.After(r.now()) {
			c = append(c, fmt.Sprintf("round %d", i))
		}
	}
	if *all && r.extra == 0 && len(r.sessions()) > 0 {
		c = append(c, "sweep", "time")
	}
	return c
}

func (r *race) choose(name string) {
	switch {
	case name == "start":
		r.move(r.actors[0], true)
	case name == "stop":
		r.move(r.actors[1], true)
	case name == "effect":
		d := r.deeds[0]
		r.deeds = r.deeds[1:]
		d.do()
	case name == "sweep":
		r.extra++
		_ = r.invoke(func(ctx context.Context) error { return edge.Schedule(r.app)(ctx, nil) })
	case name == "time":
		r.extra++
		r.clock.now = r.now().Add(jump)
	default:
		var i int
		if _, err := fmt.Sscanf(name, "round %d", &i); err != nil {
			panic(err)
		}
		r.round(r.executions[i])
	}
}

// key stands for the whole world and what everybody knows of it.
func (r *race) key() [32]byte {
	var b strings.Builder
	ctx := context.Background()
	for _, s := range r.sessions() {
		fmt.Fprintf(&b, "%s %s\n", s.ID, s.Head)
	}
	undone, _, _ := r.store.Unfinished(ctx, r.now().Add(time.Hour), "")
	for _, e := range undone {
		fmt.Fprintf(&b, "%s %d\n", e.SessionID, e.Version)
	}
	u, _ := r.store.User(ctx, user)
	p, _ := r.store.Endpoint(ctx, r.rig.endpoint)
	for _, v := range []any{u, p, r.now(), len(r.deeds)} {
		_ = json.NewEncoder(&b).Encode(v)
	}
	for _, e := range r.executions {
		fmt.Fprintf(&b, "%+v\n", *e)
	}
	m := r.runs[0]
	fmt.Fprintf(&b, "%s %d %v %d %s %d\n", m.token, m.released, m.over, m.tries, r.rig.asked, r.extra)
	for _, a := range r.actors {
		fmt.Fprintf(&b, "%v %d %x\n", a.over, a.steps, a.knows)
	}
	return sha256.Sum256([]byte(b.String()))
}

// finish lets time pass to the end of it all, and says what is wrong there.
func (r *race) finish() []string {
	r.rig.gate = nil
	if !r.play.play(time.Hour, r.atRest) {
		r.fail("it never comes to rest")
	}
	all := r.sessions()
	if len(all) != 1 {
		r.fail("%d sessions", len(all))
		return r.faults
	}
	s := all[0]
	r.story(s)
	if s.Status != session.Ended || s.End.Cause != r.scenario.cause {
		r.fail("it is %s, cause %q", s.Status, s.End.Cause)
	}
	runs := r.rig.records()
	if len(runs) > 1 {
		r.fail("%d runs were started", len(runs))
	}
	for _, run := range runs {
		if !run.Phase.Over() {
			r.fail("the run escaped: it is %s", run.Phase)
		}
	}
	if m := r.runs[0]; m.released != 1 {
		r.fail("the waiting execution was released %d times", m.released)
	}
	return r.faults
}

// explored is what a search has seen.
type explored struct {
	children map[[32]byte][][32]byte
	ends     int
	played   int
	faults   []string
}

// explore plays every order, each to where somebody has been before or to its
// end.
func explore(open func() *race) *explored {
	x := &explored{children: map[[32]byte][][32]byte{}}
	paths := [][]string{nil}
	for len(paths) > 0 && len(x.faults) == 0 {
		path := paths[len(paths)-1]
		paths = paths[:len(paths)-1]
		x.played++
		r := open()
		var parent [32]byte
		for i, c := range path {
			if i == len(path)-1 {
				parent = r.key()
			}
			r.choose(c)
		}
		for {
			key := r.key()
			if len(path) > 0 {
				x.children[parent] = append(x.children[parent], key)
			}
			if _, seen := x.children[key]; seen {
				break
			}
			x.children[key] = nil
			choices := r.choices()
			if len(choices) == 0 {
				x.ends++
				if faults := r.finish(); len(faults) > 0 {
					x.faults = append(faults, strings.Join(path, ", "), r.tale())
				}
				break
			}
			for _, c := range choices[1:] {
				paths = append(paths, append(append([]string(nil), path...), c))
			}
			parent, path = key, append(append([]string(nil), path...), choices[0])
			r.choose(choices[0])
		}
		r.leave()
	}
	return x
}

// orders counts the orders that the states stand for: the ways from the first
// state to an end.
func (x *explored) orders(from [32]byte, known map[[32]byte]*big.Int) *big.Int {
	if n := known[from]; n != nil {
		return n
	}
	n := new(big.Int)
	if len(x.children[from]) == 0 {
		n.SetInt64(1)
	}
	for _, c := range x.children[from] {
		n.Add(n, x.orders(c, known))
	}
	known[from] = n
	return n
}

// S2.4: a revoke or sign-out that arrives while a run is still being started ends
// that run too, whatever the order of the steps: no run escapes by being born.
func TestS2_4EveryOrderOfStartAndStop(t *testing.T) {
	var states, played, ended atomic.Int64
	least := make([]*big.Int, len(workload.Engines()))
	t.Run("engines", func(t *testing.T) {
		for i, engine := range workload.Engines() {
			least[i] = new(big.Int)
			t.Run(string(engine), func(t *testing.T) {
				t.Parallel()
				for _, c := range []struct {
					mode session.Mode
					kind string
					more map[string]any
				}{
					{session.Background, "Nightshift Revoked", map[string]any{"scope": "background"}},
					{session.Interactive, "Nightshift Signed Out", nil}, // the same way: a fact about the user
				} {
					if c.mode == session.Interactive && !*all {
						continue
					}
					m := memo{}
					if engine == workload.Livy {
						m = nil // its adapter remembers what it saw
					}
					open := func() *race { return newRace(engine, c.mode, c.kind, c.more, m) }
					x := explore(open)
					if len(x.faults) > 0 {
						t.Errorf("%s, %s: %s", engine, c.kind, strings.Join(x.faults, "\n"))
					}
					first := open()
					n := x.orders(first.key(), map[[32]byte]*big.Int{})
					first.leave()
					least[i].Add(least[i], n)
					states.Add(int64(len(x.children)))
					played.Add(int64(x.played))
					ended.Add(int64(x.ends))
				}
			})
		}
	})
	total := new(big.Int)
	for i, n := range least {
		total.Add(total, n)
		if n.Cmp(big.NewInt(10_000)) < 0 {
			t.Errorf("%s: only %s orders were looked at", workload.Engines()[i], n)
		}
	}
	fmt.Printf("race orders=%s states=%d played=%d ends=%d engines=%d escaped=%v\n", total, states.Load(), played.Load(), ended.Load(), len(least), t.Failed())
}

// gatedStore cuts an actor before each call about something that others change.
type gatedStore struct {
	app.Store
	r *race
}

func cut[T any](g gatedStore, call string, do func() (T, error), show func(T) string) (v T, err error) {
	g.r.step(call, func() string {
		v, err = do()
		if err != nil {
			return "error " + err.Error()
		}
		return show(v)
	})
	return v, err
}

func (g gatedStore) write(call string, do func() error) error {
	_, err := cut(g, call, func() (struct{}, error) { return struct{}{}, do() }, func(struct{}) string { return "" })
	return err
}

func head(s session.Session) string { return s.Head }

func heads(list []session.Session) string {
	out := ""
	for _, s := range list {
		out += s.ID + " " + s.Head + " "
	}
	return out
}

func (g gatedStore) Open(ctx context.Context, o app.Opening) error {
	return g.write("open", func() error { return g.Store.Open(ctx, o) })
}

func (g gatedStore) Commit(ctx context.Context, c app.Commit) error {
	return g.write("commit", func() error { return g.Store.Commit(ctx, c) })
}

func (g gatedStore) PutUser(ctx context.Context, u session.UserFacts) error {
	return g.write("put user", func() error { return g.Store.PutUser(ctx, u) })
}

func (g gatedStore) Session(ctx context.Context, id string) (session.Session, error) {
	return cut(g, "session", func() (session.Session, error) { return g.Store.Session(ctx, id) }, head)
}

func (g gatedStore) User(ctx context.Context, id string) (session.UserFacts, error) {
	return cut(g, "user", func() (session.UserFacts, error) { return g.Store.User(ctx, id) },
		func(u session.UserFacts) string { return fmt.Sprint(u.Version) })
}

func (g gatedStore) OfUser(ctx context.Context, id, cursor string) (app.Page, error) {
	return cut(g, "of user", func() (app.Page, error) { return g.Store.OfUser(ctx, id, cursor) },
		func(p app.Page) string { return heads(p.Sessions) })
}
