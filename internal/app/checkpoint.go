package app

import (
	"context"
	"fmt"
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
	newest, err := a.Checkpoints.Newest(ctx, location)
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
