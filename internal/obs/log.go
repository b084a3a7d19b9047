// Package obs is what operators see: the log's keys and form, and metrics. It
// knows names and how CloudWatch wants them written; it must not know what they
// mean to a session, and never writes tokens, whole events or e-mail addresses:
// there are no keys for them.
package obs

import (
	"io"
	"log/slog"
)

// The keys of log lines. Messages are constants, what varies stands under one
// of these.
const (
	KeyAct      = "act"      // id of what somebody did: revoke, extend, lock
	KeyAnchor   = "anchor"   // its number
	KeyBy       = "by"       // who did it
	KeyEndpoint = "endpoint" // "<api>/<account or cluster>[/<region>]"
	KeyError    = "error"    // an error's sentence
	KeyEvent    = "event"    // name of a recorded call, such as Logout
	KeyFrom     = "from"     // a moment
	KeyFunction = "function" // the folder below functions/
	KeyHash     = "hash"     // of an anchor: a copy to compare with
	KeyKind     = "kind"     // "<eventSource>/<eventName>" of an unrecognised event
	KeyMessage  = "message"  // id of a queue's message
	KeyReason   = "reason"   // why an event was parked
	KeyRecord   = "record"   // id of a stream's record
	KeySession  = "session"  // session id
	KeySource   = "source"   // the handler an event came through
	KeyUser     = "user"     // id in the identity store
	KeyVersion  = "version"  // of a session
)

// Keys lists them.
func Keys() []string {
	return []string{KeyAct, KeyAnchor, KeyBy, KeyEndpoint, KeyError, KeyEvent, KeyFrom, KeyFunction, KeyHash, KeyKind, KeyMessage, KeyReason, KeyRecord, KeySession, KeySource, KeyUser, KeyVersion}
}

// NewLogger writes lines of JSON to w, from level on. Every line carries the
// function's name.
func NewLogger(w io.Writer, level slog.Level, function string) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})).With(KeyFunction, function)
}
