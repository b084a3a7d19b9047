package local_test

import (
	"testing"
	"time"

	"nightshift/internal/local"
	"nightshift/internal/session"
)

// The example has runs of both fates, on every kind of engine but one, and can be
// begun again on records that survived (but for the training job, whose name stays
// used).
func TestExample(t *testing.T) {
	u := awsOpen(t, local.Options{})
	for round := range 2 {
		if err := u.s.Example(); err != nil {
			t.Fatal(err)
		}
		u.pass(2 * time.Minute)
		modes := map[session.Mode]int{}
		page, err := u.s.Store.List(t.Context(), "")
		for _, s := range page.Sessions {
			if s.Status == session.Active && s.Run.ID != "" {
				modes[s.Mode]++
			}
		}
		if err != nil || modes[session.Background] < 3*(round+1) || modes[session.Interactive] < 2+round {
			t.Errorf("round %d: %v, %v", round+1, modes, err)
		}
	}
}
