package evening

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"nightshift/internal/local"
	"nightshift/statemachines"
)

// An execution goes on with the definition that it was begun with, for up to 90 days,
// and calls the functions that are deployed now (internal/decisions/0023): with the
// machines of the version before, both evenings end as they do with today's.
// statemachines/testdata/before has their definitions, as they were committed.
func TestExecutionsInFlightGoOn(t *testing.T) {
	before := map[string][]byte{}
	for _, name := range statemachines.Names() {
		definition, err := os.ReadFile(filepath.Join("..", "..", "..", "statemachines", "testdata", "before", name+".asl.json"))
		switch {
		case err == nil:
			before[name] = definition
		case !errors.Is(err, fs.ErrNotExist): // a machine that is new has no version before
			t.Fatal(err)
		}
	}
	for _, name := range []string{statemachines.Run, statemachines.Watch, statemachines.Drain} {
		if before[name] == nil {
			t.Fatalf("there is no %s of the version before", name)
		}
	}
	o := local.Options{Definitions: before}
	if _, r := playedWith(t, o, "03:00", nil); !r.OK() {
		t.Errorf("the evening: %+v", failed(r))
	}
	p := secondOn(t, o)
	p.s.Clock.RunUntil(on("22:30"))
	if r := p.judge(); p.err != nil || !r.OK() {
		t.Errorf("the second evening: %v, %+v", p.err, failed(r))
	}
	// That they are what is played: one that calls nobody does not end so.
	o.Definitions = map[string][]byte{statemachines.Restart: []byte(`{"StartAt":"Gone","QueryLanguage":"JSONata","States":{"Gone":{"Type":"Fail","Error":"Gone"}}}`)}
	p = secondOn(t, o)
	p.s.Clock.RunUntil(on("22:30"))
	if p.judge().OK() {
		t.Error("today's definitions are played")
	}
}
