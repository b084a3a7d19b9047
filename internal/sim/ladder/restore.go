package ladder

import (
	"context"
	"fmt"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Restored is a table put back one hour, and what became of each kind of
// session. The engines and time went on.
type Restored struct {
	World      *World
	At         time.Time // when the table was put back
	Difference app.Difference

	Extended session.Session // an end that was moved in the lost hour
	Ended    session.Session // one that had ended in it
	Due      session.Session // due soon, might have been moved
	Fixed    session.Session // due soon, AWS's own session: nobody can have moved it
	Revoked  session.Session // revoked in it, just before the table was put back
	Busy     session.Session // idle by what the table knows, busy since
	Opened   workload.Run    // of a session that was opened in it
}

// TryRestore puts the table back one hour at 8:30 after the opening.
func TryRestore() *Restored {
	w := New(Settings{})
	r := &Restored{World: w, At: Began.Add(8*time.Hour + 30*time.Minute)}
	w.Start()
	w.Do(func(ctx context.Context) {
		// Interactive sessions last 8 hours; those of AWS's own end when they say.
		r.Extended = w.Open(ctx, DayUser+"extended", Runs[OnEKS], time.Time{})
		r.Ended = w.Open(ctx, DayUser+"ended", Runs[OnEKS], time.Time{})
		r.Fixed = w.Open(ctx, DayUser+"fixed", Runs[SageMaker], r.At.Add(5*time.Minute))
		r.Revoked = w.Open(ctx, "revoked", Runs[Livy], time.Time{})
		r.Busy = w.Open(ctx, "busy", Runs[Livy], time.Time{})
	})
	w.Engine.runs[r.Busy.Run.Ref()].o.Activity = workload.Activity{Known: true, Since: Began.Add(10 * time.Minute)}
	w.Play(35 * time.Minute)
	w.Do(func(ctx context.Context) { r.Due = w.Open(ctx, DayUser+"due", Runs[OnEKS], time.Time{}) })
	w.Play(r.At.Add(-time.Hour).Sub(w.Clock.Now()))

	// The hour that will be lost.
	w.Play(15 * time.Minute)
	w.Do(func(ctx context.Context) {
		_, err := w.App.Apply(ctx, r.Extended.ID, session.Event{ID: "x-1", Kind: session.Extended, At: w.Clock.Now(), Until: Began.Add(12 * time.Hour), By: "admin"})
		must(err)
		r.Opened = w.Open(ctx, "opened", Runs[OnEKS], time.Time{}).Run
	})
	w.Engine.runs[r.Busy.Run.Ref()].o.Activity = workload.Activity{Known: true, Busy: true}
	w.Play(r.At.Add(-3 * time.Second).Sub(w.Clock.Now()))
	w.Engine.Down = func(now time.Time) bool { return now.Before(r.At) } // nobody is asked before
	w.Do(func(ctx context.Context) { w.Say(ctx, w.Revoked("revoked")) })
	w.Play(r.At.Sub(w.Clock.Now()))
	for id, want := range map[string]session.Status{r.Extended.ID: session.Active, r.Ended.ID: session.Ended, r.Busy.ID: session.Active, r.Revoked.ID: session.Ending} {
		if s := w.Session(id); s.Status != want {
			panic(fmt.Sprintf("before the table is put back %s of %s is %s, cause %q", id, s.User, s.Status, s.End.Cause))
		}
	}
	w.Store.PutBack(r.At.Add(-time.Hour))
	return r
}

// Tell reads the difference that an administrator is shown.
func (r *Restored) Tell() {
	r.World.Do(func(ctx context.Context) {
		var err error
		r.Difference, err = r.World.App.RestoreDifference(ctx)
		must(err)
	})
}
