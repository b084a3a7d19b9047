package session

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/internal/workload"
)

// TestUserFactsWith: the newest fact of each kind, and of each session or run
// named, is kept, whatever the order they arrive in.
func TestUserFactsWith(t *testing.T) {
	t.Parallel()
	fact := func(k Kind, at time.Duration, id string) Event {
		return Event{ID: "e", Kind: k, At: after(at), User: "u-ana", Interactive: InteractiveSession{ID: id, Source: "portal"}}
	}
	t.Run("a first fact is new and pending", func(t *testing.T) {
		t.Parallel()
		u, new := UserFacts{User: "u-ana"}.With(fact(SignOut, 0, ""), after(time.Minute))
		if !new || len(u.Facts) != 1 || len(u.Pending) != 1 || u.PendingSince != after(time.Minute) {
			t.Errorf("%t %+v", new, u)
		}
	})
	t.Run("S2.3 the same fact twice changes nothing", func(t *testing.T) {
		t.Parallel()
		u, _ := UserFacts{}.With(fact(SignOut, 0, ""), opened)
		again, new := u.With(fact(SignOut, 0, ""), after(time.Minute))
		if new || !reflect.DeepEqual(u, again) {
			t.Errorf("%t %+v", new, again)
		}
	})
	t.Run("S2.11 an older fact of its kind changes nothing", func(t *testing.T) {
		t.Parallel()
		u, _ := UserFacts{}.With(fact(SignOut, time.Hour, ""), opened)
		if again, new := u.With(fact(SignOut, 0, ""), opened); new || !reflect.DeepEqual(u, again) {
			t.Errorf("%t %+v", new, again)
		}
	})
	t.Run("a newer fact takes the older one's place", func(t *testing.T) {
		t.Parallel()
		u, _ := UserFacts{}.With(fact(SignOut, 0, ""), opened)
		u, new := u.With(fact(SignOut, time.Hour, ""), opened)
		if !new || len(u.Facts) != 1 || u.Facts[0].At != after(time.Hour) {
			t.Errorf("%t %+v", new, u.Facts)
		}
		if len(u.Pending) == 0 || u.Pending[len(u.Pending)-1].At != after(time.Hour) {
			t.Errorf("S2.4 the newer fact's fan-out is not pending: %+v", u.Pending)
		}
	})
	t.Run("S2.13 facts that name different sessions are different facts", func(t *testing.T) {
		t.Parallel()
		u := facts(t, fact(SignOut, time.Hour, "is-1"), fact(SignOut, 0, "is-2"), fact(SignOut, time.Minute, ""))
		other := fact(SignOut, 2*time.Minute, "is-1")
		other.Interactive.Source = "idc"
		u, new := u.With(other, opened)
		if !new || len(u.Facts) != 4 {
			t.Errorf("%t %+v", new, u.Facts)
		}
	})
	t.Run("facts that name different runs are different facts", func(t *testing.T) {
		t.Parallel()
		a, b := fact(RevokeBackground, 0, ""), fact(RevokeBackground, 0, "")
		a.Run, b.Run = workload.Ref{Endpoint: "x", ID: "1"}, workload.Ref{Endpoint: "x", ID: "2"}
		if u := facts(t, a, b); len(u.Facts) != 2 {
			t.Errorf("%+v", u.Facts)
		}
	})
	t.Run("facts are in order of their time", func(t *testing.T) {
		t.Parallel()
		u := facts(t, fact(SignOut, 3*time.Hour, "a"), fact(UserDisabled, time.Hour, ""), fact(UserEnabled, 2*time.Hour, ""), fact(SignOut, 0, "b"))
		if !slices.IsSortedFunc(u.Facts, func(a, b Event) int { return a.At.Compare(b.At) }) {
			t.Errorf("%+v", u.Facts)
		}
	})
	t.Run("With does not change what it is called on", func(t *testing.T) {
		t.Parallel()
		u := facts(t, fact(SignOut, time.Hour, "a"), fact(SignOut, 2*time.Hour, "b"))
		u.Facts, u.Pending = slices.Grow(u.Facts, 10), slices.Grow(u.Pending, 10)
		before := UserFacts{User: u.User, Facts: slices.Clone(u.Facts), Pending: slices.Clone(u.Pending), PendingSince: u.PendingSince}
		one, _ := u.With(fact(SignOut, 0, "c"), opened)
		two, _ := u.With(fact(SignOut, 0, "d"), opened)
		if !reflect.DeepEqual(u, before) || one.Facts[0].Interactive.ID != "c" || two.Facts[0].Interactive.ID != "d" ||
			one.Pending[2].Interactive.ID != "c" || two.Pending[2].Interactive.ID != "d" {
			t.Errorf("%+v\n%+v\n%+v", u, one, two)
		}
	})
	t.Run("the facts are bounded, and those of the user as a whole are kept", func(t *testing.T) {
		t.Parallel()
		u := facts(t, fact(UserDisabled, -time.Hour, ""), fact(SignOut, -time.Hour, ""))
		for i := range 3 * FactsMax {
			u, _ = u.With(fact(SignOut, time.Duration(i)*time.Second, fmt.Sprint("is-", i)), opened)
		}
		if len(u.Facts) != FactsMax {
			t.Errorf("%d facts, want %d", len(u.Facts), FactsMax)
		}
		whole := 0
		for _, f := range u.Facts {
			if f.Interactive.ID == "" {
				whole++
			}
		}
		if whole != 2 || u.Facts[len(u.Facts)-1].Interactive.ID != fmt.Sprint("is-", 3*FactsMax-1) {
			t.Errorf("%d facts of the user as a whole are left of 2; newest %+v", whole, u.Facts[len(u.Facts)-1])
		}
	})
}

// S3.3: a run is adopted under its user; a word that cannot be a user's id names
// nobody.
func TestS3_3ValidUser(t *testing.T) {
	for id, want := range map[string]bool{
		"u-ana": true, "544894e8-80c1-707f-60e3-3ba6510dfac1": true, "A.b_c-9": true,
		"": false, "ana@example.com": false, "../../etc": false, "-x": false, "ana smith": false, "ünal": false, strings.Repeat("a", 129): false,
	} {
		if ValidUser(id) != want {
			t.Errorf("%q: got %v, want %v", id, !want, want)
		}
	}
}

// S2.8: a run that was never started says why, in the engine's words.
func TestS2_8RefusedStartSaysWhy(t *testing.T) {
	s := Session{ID: "s-1", User: "u-ana", Status: Active, Mode: Interactive, Run: workload.Run{Engine: workload.SageMakerTraining}}
	d := Decide(s, Event{Kind: StartDisproved, Evidence: "the engine refused the start", Detail: "RoleArn: it is missing"}, DefaultPolicy(), time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC))
	if text := Explain(d.Next); d.Next.Status != Ended || text != "Your run (sagemaker-training) was not started: the engine refused the start: RoleArn: it is missing." {
		t.Errorf("%s: %s", d.Next.Status, text)
	}
}
