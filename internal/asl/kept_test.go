package asl

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestHistoriesKeptAreTheNewest(t *testing.T) {
	w := newWorld(t, Options{DropHistories: true, HistoriesKept: 9})
	m := load(t, machineOf(`"A":{"Type":"Pass","End":true}`)) // four events each
	var all []*Execution
	for i := range 4 {
		all = append(all, w.start(m, fmt.Sprint("x", i), `{}`))
		w.clock.RunUntil(w.clock.Now().Add(time.Minute))
	}
	for i, e := range all {
		if kept := len(e.History()) == 4 && len(e.Path()) == 1; kept != (i >= 2) || e.Events() != 4 || e.Status() != Succeeded {
			t.Errorf("execution %d of 4: %d events kept of %d, %s", i, len(e.History()), e.Events(), e.Status())
		}
	}
}

func TestHeartbeatOfATask(t *testing.T) {
	w := newWorld(t, Options{})
	e := w.start(load(t, machineOf(waiting+`"End":true}`)), "x", `{}`)
	w.clock.RunUntil(start.Add(time.Minute))
	if len(e.tokens) != 1 {
		t.Fatalf("%d tokens", len(e.tokens))
	}
	if err := w.r.SendTaskHeartbeat(e.tokens[0]); err != nil {
		t.Errorf("while it waits: %v", err)
	}
	if err := w.r.SendTaskHeartbeat(""); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("no token: %v", err)
	}
	if err := w.r.SendTaskHeartbeat(strings.Repeat("0", 64)); !errors.Is(err, ErrTaskDoesNotExist) {
		t.Errorf("an unknown token: %v", err)
	}
	if err := w.r.Stop(e.ARN(), "", ""); err != nil {
		t.Fatal(err)
	}
	if err := w.r.SendTaskHeartbeat(e.tokens[0]); !errors.Is(err, ErrTaskTimedOut) {
		t.Errorf("after its end: %v", err)
	}
}

func TestTaskScheduledTellsItsTimeout(t *testing.T) {
	w := newWorld(t, Options{})
	e := w.start(load(t, machineOf(waiting+`"End":true}`)), "x", `{}`)
	w.clock.RunUntil(start.Add(time.Minute))
	for _, ev := range e.History() {
		if want := map[bool]time.Duration{true: time.Hour}[ev.Type == "TaskScheduled"]; ev.Timeout != want {
			t.Errorf("%s has the timeout %s, want %s", ev.Type, ev.Timeout, want)
		}
	}
}
