package local_test

import (
	"testing"
	"time"

	"nightshift/internal/engine/simrun"
	"nightshift/internal/local"
	"nightshift/internal/session"
)

// TestS2_1ALivySessionInErrorIsDeletedBeforeItIsClosed: its driver may live on, and
// once its session is closed nobody would ask again. Somebody else's, which nobody
// owns, is left alone.
func TestS2_1ALivySessionInErrorIsDeletedBeforeItIsClosed(t *testing.T) {
	u := awsOpen(t, local.Options{})
	u.livySession("u-ana")
	u.livySession("zeppelin")
	u.pass(7 * time.Minute)
	u.shown(map[string]string{"u-ana": "livy"}, session.Active, "")
	u.s.Livy[local.Livy].Break(0)
	u.s.Livy[local.Livy].Break(1)
	u.pass(2 * time.Minute)
	u.shown(map[string]string{"u-ana": "livy"}, session.Ended, session.CauseFailed)
	for _, r := range u.s.Livy[local.Livy].Runs() {
		if ours := r.User == "u-ana"; ours != (len(r.Stops) == 1) || ours != (r.Phase == simrun.Stopped) {
			t.Errorf("%s: %v, asked to stop %d times", r.User, r.Phase, len(r.Stops))
		}
	}
}
