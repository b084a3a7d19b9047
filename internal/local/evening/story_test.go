package evening

import (
	"context"
	"testing"

	"nightshift/internal/asl/clock"
	"nightshift/internal/local"
)

func TestStory(t *testing.T) {
	c := clock.New(start)
	s, err := local.New(local.Options{Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	p := &play{s: s, sayLine: func(Line) {}}
	p.settings()
	s.Start()
	p.revokes()
	c.RunUntil(at("19:30"))
	for _, sub := range p.subjects {
		if sub.user == "ivy" {
			_, es, _ := s.App.SessionStory(context.Background(), sub.id)
			for _, e := range es {
				t.Log(e.At.Format("15:04:05.000"), e.Event.Kind, e.Event.State, e.From, e.To, e.Note, e.Event.Evidence)
			}
		}
	}
}
