//go:build conform

package ddbstore_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore"
	"nightshift/internal/fault"
	"nightshift/internal/proof"
	"nightshift/internal/session"
)

// conformUpgrade has a session that schema 1 wrote go on: nothing of it is lost
// from a list, its history is whole, and it can be changed.
func conformUpgrade(t *testing.T, e engine) {
	s := fresh(t, e.db, "upgrade")
	state := small("s")
	state.OpenedAt = base.Add(-time.Hour) // adopted, and listed by its opening
	previous := proof.Genesis
	for v := int64(1); v <= 3; v++ {
		state.Version, state.Head = v, previous
		tick := session.Event{ID: fmt.Sprint("e", v), Kind: session.Tick, At: base, Known: base}
		entry := sealed(t, state, previous, tick, session.Effect{Kind: session.Watch})
		entry.Done = v == 2
		previous = entry.Hash
		stateItem, entryItem := ddbstore.Legacy(t, state, entry)
		name := "upgrade"
		for _, it := range []map[string]types.AttributeValue{stateItem, entryItem} {
			if _, err := e.db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &name, Item: it}); err != nil {
				t.Fatal(err)
			}
		}
	}
	later := base.Add(time.Hour)
	versions := func(list func(context.Context, string) ([]app.Entry, string, error)) string {
		t.Helper()
		var got []string
		for cursor := ""; ; {
			page, next, err := list(t.Context(), cursor)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				got = append(got, fmt.Sprint(e.Version))
			}
			if cursor = next; next == "" {
				slices.Sort(got)
				return strings.Join(got, " ")
			}
		}
	}
	wants := func(what, unfinished, changes, history string) {
		t.Helper()
		got := [3]string{
			versions(func(ctx context.Context, c string) ([]app.Entry, string, error) { return s.Unfinished(ctx, later, c) }),
			versions(func(ctx context.Context, c string) ([]app.Entry, string, error) {
				return s.Changes(ctx, base, later, c)
			}),
			versions(func(ctx context.Context, _ string) ([]app.Entry, string, error) {
				entries, more, err := s.History(ctx, "s", 0, 10)
				before := proof.Genesis
				for _, e := range entries {
					if hash, wrong := e.Seal(); wrong != nil || hash != e.Hash || e.Previous != before {
						t.Errorf("%s: entry %d does not prove itself", what, e.Version)
					}
					before = e.Hash
				}
				if more {
					t.Errorf("%s: there is more", what)
				}
				return entries, "", err
			}),
		}
		if want := [3]string{unfinished, changes, history}; got != want {
			t.Errorf("%s: unfinished, changes and history are %q, want %q", what, got, want)
		}
		for name, list := range map[string]func(context.Context, string) (app.Page, error){
			"user":     func(ctx context.Context, c string) (app.Page, error) { return s.OfUser(ctx, "ana", c) },
			"endpoint": func(ctx context.Context, c string) (app.Page, error) { return s.OfEndpoint(ctx, place, c) },
			"list":     s.List,
		} {
			page, err := list(t.Context(), "")
			listed := 1
			if state.Status == session.Ended && name != "list" {
				listed = 0
			}
			if err != nil || len(page.Sessions) != listed {
				t.Errorf("%s: the %s's list has %d sessions, %v", what, name, len(page.Sessions), err)
			}
		}
	}
	finish := func(v int64) {
		t.Helper()
		if err := s.Finish(t.Context(), "s", v); err != nil {
			t.Errorf("finish %d: %v", v, err)
		}
	}
	commit := func(edit func(*session.Session), effects ...session.Effect) {
		t.Helper()
		from := state.Status
		state = next(state, edit)
		entry := sealed(t, state, previous, session.Event{Kind: session.Tick, At: base}, effects...)
		entry.From = from
		var err error
		if entry.Hash, err = entry.Seal(); err != nil {
			t.Fatal(err)
		}
		previous = entry.Hash
		if err := s.Commit(t.Context(), app.Commit{Next: state, Entry: entry}); err != nil {
			t.Fatal(err)
		}
	}
	wants("as it was left", "1 3", "1", "1 2 3")
	finish(1)
	finish(1)
	wants("one is done", "3", "1", "1 2 3")
	if err := s.Finish(t.Context(), "s", 4); !fault.Is(err, fault.NotFound) {
		t.Errorf("a version that is not there: %v", err)
	}
	commit(func(s *session.Session) { s.Waiter = "token" })
	wants("committed", "3", "1", "1 2 3 4")
	frozen := app.Commit{Next: next(state, func(s *session.Session) { s.User = "bob" })}
	frozen.Entry = sealed(t, frozen.Next, previous, session.Event{Kind: session.Tick, At: base})
	if err := s.Commit(t.Context(), frozen); !fault.Is(err, fault.Invalid) {
		t.Errorf("another user: %v", err)
	}
	commit(func(s *session.Session) { s.Status, s.End.Decided = session.Ending, base }, session.Effect{Kind: session.Stop})
	wants("ending", "3 5", "1 5", "1 2 3 4 5")
	finish(3)
	finish(5)
	removed := map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "S#s"}, "sk": &types.AttributeValueMemberS{Value: fmt.Sprintf("H#%020d", 2)}}
	name := "upgrade"
	kept, err := e.db.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &name, Key: removed, ReturnValues: types.ReturnValueAllOld})
	if err != nil || len(kept.Attributes) == 0 {
		t.Fatalf("there is no entry 2 to be removed: %v", err)
	}
	finish(2) // makes no entry where there is none
	if there, err := e.db.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &name, Key: removed}); err != nil || len(there.Item) > 0 {
		t.Errorf("half an entry is there: %v, %v", there, err)
	}
	if _, err := e.db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &name, Item: kept.Attributes}); err != nil {
		t.Fatal(err)
	}
	commit(func(s *session.Session) { s.Status, s.End.Confirmed = session.Ended, base.Add(time.Minute) }, session.Effect{Kind: session.Announce})
	wants("ended, and to be said", "6", "1 5 6", "1 2 3 4 5 6")
	finish(6)
	wants("ended", "", "1 5 6", "1 2 3 4 5 6")
	if got, err := s.Session(t.Context(), "s"); err != nil || got.Status != session.Ended || got.Version != 6 || got.Waiter != "token" {
		t.Errorf("%+v, %v", got, err)
	}
}
