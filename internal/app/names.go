package app

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"nightshift/internal/fault"
	"nightshift/internal/session"
)

// userID is how the identity store writes the id of a user (API reference of the
// identity store, UserId).
var userID = regexp.MustCompile(`^([0-9a-f]{10}-)?[A-Fa-f0-9]{8}-[A-Fa-f0-9]{4}-[A-Fa-f0-9]{4}-[A-Fa-f0-9]{4}-[A-Fa-f0-9]{12}$`)

// IsUserID says whether a word is written as the ids of users are, and so is one
// and no user name.
func IsUserID(word string) bool { return userID.MatchString(word) }

// CheckStarter refuses, with kind Invalid, a user for whom a run is to be started
// who is not named by their id, where an identity store is configured: no sign-out
// would reach a session under a mere name, and whoever starts a run can look the id
// up (decisions/0027). Nobody is asked: a start does not wait for the store.
func (a *App) CheckStarter(user string) error {
	is := a.IsID
	if is == nil {
		is = IsUserID
	}
	if a.Names == nil || is(user) {
		return nil
	}
	return Field("open session", "user", fmt.Sprintf("the user's id in identity store %s, as its GetUserId answers; %q is not written as one", a.IdentityStore, user))
}

// asWritten is a word that somebody wrote for a user; an id is as the identity store
// writes it, and so as sign-outs have it: not in capitals.
func asWritten(word string) string {
	if IsUserID(word) {
		return strings.ToLower(word)
	}
	return word
}

// namesWithin is how long a look asks about user names: the rate is small where
// there are many endpoints, and what the look has still to do must be done before
// its function's time is up. Who is left is asked about by the next.
const namesWithin = 30 * time.Second

// userOf is the id of the user whom a run names: sessions and sign-outs are keyed
// by it, and tags, Livy's proxyUser and owner may as well carry the user's name. It
// is "" where the run names nobody, or a name that is nobody's; the error says that
// the name could not be asked about, and may be somebody's. A run is never adopted
// under a mere name: no sign-out would end it.
func (a *App) userOf(ctx context.Context, word string) (string, error) {
	switch {
	case word == "":
		return "", nil
	case a.Names == nil:
		if session.ValidUser(word) {
			return word, nil
		}
		return "", nil
	}
	word = asWritten(word)
	if a.late(ctx) && !IsUserID(word) {
		return "", fault.Newf("get user id", fault.Throttled, "too many user names were asked about in this look")
	}
	id, err := a.Names.UserID(ctx, word)
	switch {
	case fault.Is(err, fault.NotFound):
		return "", nil
	case err != nil:
		a.Meter.Count(MetricUnknown, 1)
		a.Log.Warn("user name unknown", "error", err.Error())
		return "", err
	case !session.ValidUser(id):
		return "", nil
	}
	if id != word {
		err = a.noteKnown(ctx, id) // it was the store that told whose name it is
	}
	return id, err
}

// nameless tells people why a run that names somebody belongs to nobody.
func nameless(name string, open error) string {
	switch {
	case open != nil:
		return "whose the user name is that it carries could not be asked: " + open.Error()
	case name != "":
		return "the user name that it carries is nobody's in the identity store"
	}
	return ""
}
