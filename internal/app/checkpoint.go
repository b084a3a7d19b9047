package app

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"nightshift/internal/fault"
	"nightshift/internal/session"
)

// Checkpoints looks at what runs have saved.
type Checkpoints interface {
	// Newest is the newest object under a location ("s3://bucket/prefix"). NotFound:
	// there is none. Denied, Invalid: it cannot be listed, now or later. Any other
	// error may pass.
	Newest(ctx context.Context, location string) (Checkpoint, error)
}

// Checkpoint is one object that a run has saved.
type Checkpoint struct {
	Location string // "s3://bucket/key"
	At       time.Time
}

// NoticeCheckpoint is the name of the notice of what a stopped run has saved.
const NoticeCheckpoint = "checkpoint"

// checkpointWait is how long after a run's end a listing that fails is tried
// again; past it the user is told that it is not known.
const checkpointWait = time.Hour

// saved tells the user of a run that was stopped what it has saved since they were
// last told something (S4.4). The session has ENDED: the run was seen over, so the
// engine's grace, in which the last checkpoint is written, has passed.
func (a *App) saved(ctx context.Context, s session.Session, entry Entry) error {
	if a.Checkpoints == nil || s.Status != session.Ended || s.End.Cause == session.CauseFinished {
		return nil
	}
	location, err := a.checkpointOf(ctx, s)
	if err != nil || location == "" {
		return err
	}
	text := ""
	var newest Checkpoint
	if err = a.checkpointsOf(ctx, s.User, location); err == nil {
		newest, err = a.Checkpoints.Newest(ctx, location)
	}
	switch kind := fault.KindOf(err); {
	case err == nil:
		told, err := a.lastTold(ctx, s, entry)
		if err != nil || !newest.At.After(told) {
			return err
		}
		text = fmt.Sprintf("has saved a checkpoint since you were told of its end: %s, written at %s. A restart goes on from there: nightshift restart %s.", newest.Location, session.Moment(newest.At), s.ID)
	case kind == fault.NotFound:
		return nil // there is nothing to tell
	case kind == fault.Denied, kind == fault.Invalid, a.Now().Sub(entry.At) > checkpointWait:
		text = fmt.Sprintf("says that it keeps its checkpoints at %s. Whether it has saved one since you were told of its end is not known: %s.", location, reason(err))
	default:
		return fmt.Errorf("look for a checkpoint of session %s: %w", s.ID, err)
	}
	return a.Announcer.Announce(ctx, Announcement{
		ID: digest("checkpoint", s.ID), Kind: "notice", At: entry.At, Session: s, Entry: entry,
		Effect: session.Effect{Kind: session.Notice, Reason: NoticeCheckpoint, Text: "Your run (" + string(s.Run.Engine) + ", " + s.Run.ID + ") " + text},
	})
}

// reason is an error in one line for a person, without its end.
func reason(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return strings.TrimRight(line, ". ")
}

// checkpointOf is where the run of a session keeps its checkpoints, as its start
// said; "" where nobody knows.
func (a *App) checkpointOf(ctx context.Context, s session.Session) (string, error) {
	execution, err := a.executionOf(ctx, s)
	if err != nil || execution == "" {
		return "", err
	}
	input, err := a.Runs.Input(ctx, execution)
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Invalid) {
		return "", nil // not started through run, or forgotten
	}
	if err != nil {
		return "", err
	}
	next, err := a.Again(input, s.ID)
	if fault.Is(err, fault.Invalid) {
		return "", nil
	}
	return next.Checkpoint, err
}

// lastTold is when the user was last told something of a session, before the entry
// that ended it; its opening where never.
func (a *App) lastTold(ctx context.Context, s session.Session, entry Entry) (time.Time, error) {
	_, entries, err := a.SessionStory(ctx, s.ID)
	if err != nil {
		return time.Time{}, err
	}
	for _, e := range slices.Backward(entries) {
		if e.Version < entry.Version && slices.ContainsFunc(e.Effects, func(f session.Effect) bool { return f.Kind == session.Notify || f.Kind == session.Notice }) {
			return e.At, nil
		}
	}
	return s.OpenedAt, nil
}

// A location of checkpoints, with all below it, belongs to the user whose run was the
// first to name it: whoever names another's, below or above it too, would go on from
// that one's work, and be told of it. Each folder on the way has a ledger, in which the
// users are that have one of their own there, and those that have one below.
const (
	ownFolder = "own"
	// foldersMax bounds the folders that are told apart: what lies deeper belongs to the
	// folder at that depth.
	foldersMax = 16
)

var plainBucket = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$`)

// foldersOf are the bucket and the folders of a location, outermost first. Of kind
// Invalid: it is not written as s3://bucket/prefix/, and so has other names too.
func foldersOf(location string) ([]string, error) {
	rest, s3 := strings.CutPrefix(location, "s3://")
	parts := strings.Split(strings.TrimSuffix(rest, "/"), "/")
	if !s3 || !plainBucket.MatchString(parts[0]) {
		return nil, fault.Newf("read a location of checkpoints", fault.Invalid, "%q is no location such as s3://bucket/prefix/", location)
	}
	var folders []string
	for i := range min(len(parts), foldersMax) {
		folders = append(folders, strings.Join(parts[:i+1], "/"))
	}
	return folders, nil
}

func checkpointLedger(folder string) string { return "checkpoints/" + digest("checkpoints", folder) }

// anothers says whether a folder on the way to a location, or the location itself,
// belongs to another user.
func (l Ledger) anothers(user string, last bool) bool {
	return slices.ContainsFunc(l.Held, func(h Hold) bool { return h.By != user && (last || h.For == ownFolder) })
}

// checkpointsOf refuses, of kind Invalid, a location of checkpoints that is another
// user's. It writes nothing.
func (a *App) checkpointsOf(ctx context.Context, user, location string) error {
	folders, err := foldersOf(location)
	for i, folder := range folders {
		l, err := a.Store.Ledger(ctx, checkpointLedger(folder))
		if err != nil {
			return fmt.Errorf("read whose checkpoints are at %s: %w", location, err)
		}
		if l.anothers(user, i == len(folders)-1) {
			return notYours(location)
		}
	}
	return err
}

// claimCheckpoints makes a location of checkpoints a user's. Of kind Invalid: it is
// another's. Of two that claim at one moment, one above the other, one is refused: the
// outer folder's ledger, which both write, is written under its version.
func (a *App) claimCheckpoints(ctx context.Context, user, location string) error {
	if err := a.checkpointsOf(ctx, user, location); err != nil {
		return err
	}
	folders, err := foldersOf(location)
	if err != nil {
		return err
	}
	for i, folder := range folders {
		h := Hold{By: user}
		if i == len(folders)-1 {
			h.For = ownFolder
		}
		_, err := a.changeLedger(ctx, checkpointLedger(folder), func(l *Ledger) (bool, error) {
			if l.anothers(user, h.For == ownFolder) {
				return false, notYours(location)
			}
			// Two users below a folder keep every third from having it.
			if slices.Contains(l.Held, h) || h.For != ownFolder && len(l.Held) > 1 {
				return false, nil
			}
			return true, l.hold(h)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func notYours(location string) error {
	return fault.Newf("claim a location of checkpoints", fault.Invalid,
		"checkpoint: %s belongs to another user, whose run named it, or a folder above or below it, before: name a location of your own, and copy there what may be yours", location)
}
