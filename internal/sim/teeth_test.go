package sim

import (
	"context"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/proof"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// A simulation that finds nothing may only be blind. These are defects planted
// at the ports, each of which a schedule must catch.

type badStore struct {
	app.Store
	putUser func(session.UserFacts) session.UserFacts
	open    func(context.Context, app.Store, app.Opening) app.Opening
	commit  func(app.Commit) app.Commit
	deaf    map[string]bool // index reads that find nothing, and writes that write nothing
}

func (b badStore) Park(ctx context.Context, p app.Parked) (bool, error) {
	if b.deaf["park"] {
		return true, nil
	}
	return b.Store.Park(ctx, p)
}

func (b badStore) PutAnchor(ctx context.Context, a proof.Anchor) error {
	if b.deaf["anchors"] {
		return nil
	}
	return b.Store.PutAnchor(ctx, a)
}

func (b badStore) PutUser(ctx context.Context, u session.UserFacts) error {
	if b.putUser != nil {
		u = b.putUser(u)
	}
	return b.Store.PutUser(ctx, u)
}

func (b badStore) Open(ctx context.Context, o app.Opening) error {
	if b.open != nil {
		o = b.open(ctx, b.Store, o)
	}
	return b.Store.Open(ctx, o)
}

func (b badStore) Commit(ctx context.Context, c app.Commit) error {
	if b.commit != nil {
		c = b.commit(c)
	}
	return b.Store.Commit(ctx, c)
}

func (b badStore) Due(ctx context.Context, now time.Time, cursor string) (app.Page, error) {
	if b.deaf["due"] {
		return app.Page{}, nil
	}
	return b.Store.Due(ctx, now, cursor)
}

func (b badStore) OfEndpoint(ctx context.Context, endpoint, cursor string) (app.Page, error) {
	if b.deaf["endpoint"] {
		return app.Page{}, nil
	}
	return b.Store.OfEndpoint(ctx, endpoint, cursor)
}

func (b badStore) Unfinished(ctx context.Context, before time.Time, cursor string) ([]app.Entry, string, error) {
	if b.deaf["effects"] && ctx.Value(invocationKey{}) != nil {
		return nil, "", nil
	}
	return b.Store.Unfinished(ctx, before, cursor)
}

func (b badStore) PendingUsers(ctx context.Context, cursor string) ([]string, string, error) {
	if b.deaf["users"] && ctx.Value(invocationKey{}) != nil {
		return nil, "", nil
	}
	return b.Store.PendingUsers(ctx, cursor)
}

type badEngine struct {
	app.Engine
	list     func(workload.Listing) workload.Listing
	describe func(workload.Observation) workload.Observation
	stop     func(context.Context, app.Engine, workload.Run) error
	start    func(context.Context, app.Engine, app.Start) (workload.Run, error)
}

func (b badEngine) List(ctx context.Context, endpoint string) (workload.Listing, error) {
	l, err := b.Engine.List(ctx, endpoint)
	if b.list != nil && err == nil {
		l = b.list(l)
	}
	return l, err
}

func (b badEngine) Describe(ctx context.Context, run workload.Run) (workload.Observation, error) {
	o, err := b.Engine.Describe(ctx, run)
	if b.describe != nil && err == nil {
		o = b.describe(o)
	}
	return o, err
}

func (b badEngine) Stop(ctx context.Context, run workload.Run) error {
	if b.stop != nil {
		return b.stop(ctx, b.Engine, run)
	}
	return b.Engine.Stop(ctx, run)
}

func (b badEngine) Start(ctx context.Context, s app.Start) (workload.Run, error) {
	if b.start != nil {
		return b.start(ctx, b.Engine, s)
	}
	return b.Engine.Start(ctx, s)
}

type badIdentity struct {
	app.Identity
	facts  func(session.Facts) session.Facts
	replay bool
}

func (b badIdentity) Facts(ctx context.Context, user string, run workload.Run) (session.Facts, error) {
	f, err := b.Identity.Facts(ctx, user, run)
	if b.facts != nil {
		f = b.facts(f)
	}
	return f, err
}

func (b badIdentity) Replay(ctx context.Context, after time.Time) ([][]byte, error) {
	if b.replay {
		return nil, nil
	}
	return b.Identity.Replay(ctx, after)
}

type noDrain struct{ app.Starter }

func (noDrain) Drain(context.Context, string, int64) error { return nil }

type noWords struct{}

func (noWords) Announce(context.Context, app.Announcement) error { return nil }

type noWaiters struct{}

func (noWaiters) Release(context.Context, string, app.Outcome) error { return nil }

// resealed is a commit whose state was altered, and whose entry says so.
func resealed(c app.Commit) app.Commit {
	c.Entry.To = c.Next.Status
	if hash, err := c.Entry.Seal(); err == nil {
		c.Entry.Hash, c.Next.Head = hash, hash
	}
	return c
}

// known has a stop say that its cause was known later than it was.
func known(later time.Duration) func(app.Commit) app.Commit {
	return func(c app.Commit) app.Commit {
		if c.Next.Status != session.Active {
			c.Next.End.Known = c.Next.End.Known.Add(later)
			c.Entry.End = c.Next.End
			return resealed(c)
		}
		return c
	}
}

func withStore(b badStore) func(*Options) {
	return func(o *Options) {
		o.Store = func(s app.Store) app.Store { b.Store = s; return b }
	}
}

func withEngine(b badEngine) func(*Options) {
	return func(o *Options) {
		o.Engine = func(e app.Engine) app.Engine { c := b; c.Engine = e; return c }
	}
}

func withApp(f func(function string, a *app.App)) func(*Options) {
	return func(o *Options) { o.App = f }
}

// misheard has facts taken for other news.
func misheard(as func(app.Fact) app.Message) func(*Options) {
	return withApp(func(_ string, a *app.App) {
		parse := a.Parse
		a.Parse = func(body []byte, received time.Time) (app.Message, error) {
			m, err := parse(body, received)
			if f, ok := m.(app.Fact); ok {
				m = as(f)
			}
			return m, err
		}
	})
}

// unheard has nobody take facts of a kind for news.
func unheard(kind session.Kind) func(*Options) {
	return misheard(func(f app.Fact) app.Message {
		if f.Event.Kind == kind {
			return app.Ignored{}
		}
		return f
	})
}

func TestTeeth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		rules []string // any of these, or of such words, catches it
		plant func(*Options)
	}{
		{"S2.4 a fact's fan-out is lost", []string{"lost"}, withStore(badStore{putUser: func(u session.UserFacts) session.UserFacts { u.Pending = nil; return u }})},
		{"S2.4 the start fence is gone: who ends without a run id is closed", []string{"lost", "illegal"}, withStore(badStore{commit: func(c app.Commit) app.Commit {
			if c.Next.Status == session.Ending && c.Next.Run.ID == "" {
				c.Next.Status, c.Next.End.Confirmed = session.Ended, c.Entry.At
				return resealed(c)
			}
			return c
		}})},
		{"S3.4 the sweep of due sessions finds nothing", []string{"lost"}, withStore(badStore{deaf: map[string]bool{"due": true}})},
		{"S3.7 the sweep of facts finds nothing", []string{"lost", "illegal"}, withStore(badStore{deaf: map[string]bool{"users": true}})},
		{"S3.7 the sweep of effects finds nothing", []string{"lost", "illegal"}, withStore(badStore{deaf: map[string]bool{"effects": true}})},
		{"S3.5a an endpoint's sessions are not found", []string{"lost"}, withStore(badStore{deaf: map[string]bool{"endpoint": true}})},
		{"S2.3 ENDED is written again", []string{"illegal"}, withStore(badStore{commit: func(c app.Commit) app.Commit {
			if c.Entry.Event.Kind == session.StopAccepted {
				c.Next.Status = session.Active
				return resealed(c)
			}
			return c
		}})},
		{"S8.4 an entry is not what was sealed", []string{"illegal"}, withStore(badStore{commit: func(c app.Commit) app.Commit { c.Entry.Event.By += "!"; return c }})},
		{"S1.6 what is frozen is not what was read", []string{"illegal"}, withStore(badStore{open: func(_ context.Context, _ app.Store, o app.Opening) app.Opening {
			o.Session.Facts.ApplicationBackground = session.On
			return o
		}})},
		{"S1.6 a session is opened with a policy that never held", []string{"illegal"}, withStore(badStore{open: func(_ context.Context, _ app.Store, o app.Opening) app.Opening {
			o.Session.Policy.BackgroundDuration *= 2
			return o
		}})},
		{"S1.6 a changed policy moves what was frozen", []string{"illegal"}, withStore(badStore{commit: func(c app.Commit) app.Commit {
			c.Next.Policy.BackgroundDuration += time.Second
			return resealed(c)
		}})},
		{"S1.9 nobody notes since when a run runs", []string{"illegal"}, withStore(badStore{commit: func(c app.Commit) app.Commit {
			c.Next.RunningSince = time.Time{}
			return resealed(c)
		}})},
		{"S1.9 a run's own limit is forgotten", []string{"illegal"}, withStore(badStore{open: func(_ context.Context, _ app.Store, o app.Opening) app.Opening {
			o.Session.Run.MaxRuntime = 0
			return o
		}})},
		{"S1.12 the expiry of the interactive session is forgotten", []string{"illegal"}, withStore(badStore{open: func(_ context.Context, _ app.Store, o app.Opening) app.Opening {
			o.Session.Interactive.ExpiresAt = time.Time{}
			return o
		}})},
		{"S1.13 a background token proves nothing", []string{"illegal"}, unheard(session.BackgroundTokenIssued)},
		{"S1.8 propagation that is switched off is not heard of", []string{"(S1.8)", "(identity-propagation-off,"}, unheard(session.IdentityPropagationOff)},
		{"S1.8 what rode along ends at once", []string{"nothing says that it should", "for no reason"}, withStore(badStore{commit: func(c app.Commit) app.Commit {
			if c.Entry.Event.Kind == session.IdentityPropagationOff && c.Next.Status == session.Active && c.Next.Mode == session.Interactive {
				c.Next.Mode, c.Next.Status = session.Background, session.Ending
				c.Next.End = session.End{Cause: session.CauseSignOut, Evidence: c.Entry.Event.ID, By: c.Entry.Event.By, Happened: c.Entry.Event.At, Known: c.Entry.Event.Known, Decided: c.Entry.At}
				c.Entry.End = c.Next.End
				return resealed(c)
			}
			return c
		}})},
		{"S1.8 what rides along keeps its deadline", []string{"(S1.8)"}, withStore(badStore{commit: func(c app.Commit) app.Commit {
			if c.Entry.Event.Kind == session.IdentityPropagationOff {
				c.Next.Own.At = c.Next.OpenedAt.Add(c.Next.Policy.BackgroundDuration)
				return resealed(c)
			}
			return c
		}})},
		{"S2.7 a stop names another cause", []string{"illegal"}, withStore(badStore{commit: func(c app.Commit) app.Commit {
			if c.Next.End.Cause == session.CauseSignOut {
				c.Next.End.Cause, c.Entry.End.Cause = session.CauseKernelStopped, session.CauseKernelStopped
				return resealed(c)
			}
			return c
		}})},
		{"S2.7 a cause is said to be known seconds later than it was", []string{"no word of it came then"}, withStore(badStore{commit: known(6 * time.Second)})},
		{"S2.7 a cause is said to be known seconds sooner than it was", []string{"no word of it came then"}, withStore(badStore{commit: known(-6 * time.Second)})},
		{"S2.7 a stop names another who caused it", []string{"caused its end"}, misheard(func(f app.Fact) app.Message { f.Event.By = "x"; return f })},
		{"S2.8 nothing is said", []string{"illegal"}, withApp(func(_ string, a *app.App) { a.Announcer = noWords{} })},
		{"S3.6 a malformed event is dropped", []string{"illegal"}, withStore(badStore{deaf: map[string]bool{"park": true}})},
		{"S8.4 no anchor is written", []string{"illegal"}, withStore(badStore{deaf: map[string]bool{"anchors": true}})},
		{"S1.10 unknown is taken for off", []string{"illegal"}, func(o *Options) {
			o.Identity = func(i app.Identity) app.Identity {
				return badIdentity{Identity: i, facts: func(f session.Facts) session.Facts {
					if f.ApplicationBackground == session.Unknown {
						f.ApplicationBackground = session.Off
					}
					return f
				}}
			}
		}},
		{"S3.5c nothing is replayed", []string{"lost"}, func(o *Options) {
			o.Faults = &Faults{Loss: 0.5}
			o.Identity = func(i app.Identity) app.Identity { return badIdentity{Identity: i, replay: true} }
		}},
		{"S2.1 a stop is accepted and not carried out", []string{"lost"}, withEngine(badEngine{stop: func(context.Context, app.Engine, workload.Run) error { return nil }})},
		{"S2.5 a stop hits another run", []string{"illegal", "early"}, withEngine(badEngine{stop: func(ctx context.Context, e app.Engine, run workload.Run) error {
			l, err := e.List(ctx, run.Endpoint)
			if err == nil && len(l.Runs) > 0 {
				run = l.Runs[len(l.Runs)-1].Run
			}
			return e.Stop(ctx, run)
		}})},
		{"S2.1 absent is taken for gone", []string{"illegal"}, withEngine(badEngine{
			list: func(l workload.Listing) workload.Listing {
				l.Runs, l.Complete = l.Runs[:len(l.Runs)/2], true
				return l
			},
			describe: func(o workload.Observation) workload.Observation { o.State = workload.Gone; return o },
		})},
		{"S4.1 a start repeated starts twice", []string{"lost", "illegal"}, withEngine(badEngine{start: func(ctx context.Context, e app.Engine, s app.Start) (workload.Run, error) {
			if first, err := e.Start(ctx, s); err != nil {
				return first, err
			}
			s.SessionID += "-again"
			return e.Start(ctx, s)
		}})},
		{"S4.1 the stamp is not seen", []string{"lost", "illegal"}, withEngine(badEngine{
			list: func(l workload.Listing) workload.Listing {
				for i := range l.Runs {
					l.Runs[i].Stamp = ""
				}
				return l
			},
			start: func(ctx context.Context, e app.Engine, s app.Start) (workload.Run, error) {
				_, err := e.Start(ctx, s)
				if err == nil {
					err = fault.Newf("start", fault.Unknown, "the answer is lost, always")
				}
				return workload.Run{}, err
			},
		})},
		{"S3.3 a run is adopted under another user", []string{"illegal"}, withEngine(badEngine{list: func(l workload.Listing) workload.Listing {
			for i := range l.Runs {
				l.Runs[i].User = "u-1"
			}
			return l
		}})},
		{"S2 a clock is ten minutes ahead", []string{"early"}, withApp(func(function string, a *app.App) {
			if now := a.Now; function == "on-schedule" {
				a.Now = func() time.Time { return now().Add(10 * time.Minute) }
			}
		})},
		{"S3.5a no listing is complete, nor has it anything", []string{"lost"}, withEngine(badEngine{list: func(workload.Listing) workload.Listing { return workload.Listing{} }})},
		{"S2.6 nothing is drained", []string{"lost"}, withApp(func(_ string, a *app.App) { a.Starter = noDrain{a.Starter} })},
		{"S2.12 waiters are not released", []string{"illegal"}, withApp(func(_ string, a *app.App) { a.Waiters = noWaiters{} })},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			const within = 300
			for seed := range uint64(within) {
				o := Options{Seed: seed}
				c.plant(&o)
				for _, v := range Play(o).Violations {
					for _, rule := range c.rules {
						if v.Rule == rule || strings.Contains(v.What, rule) {
							return
						}
					}
				}
			}
			t.Errorf("%d schedules did not catch it", within)
		})
	}
}
