// Package fault classifies errors by what the caller should do about them. It
// knows kinds, not services; adapters translate a service's codes in one
// function each.
package fault

import (
	"context"
	"errors"
	"fmt"
)

// Kind says what to do about an error.
type Kind uint8

// The kinds. Unknown is retried like an outage: nobody said what it is.
const (
	Unknown   Kind = iota // retry
	Invalid               // never retry: park it, tell the sender
	NotFound              // it is not there (any more)
	Conflict              // somebody else wrote first: read again and decide again
	Throttled             // retry later, slower
	Denied                // a permission is missing: a person must act; retried, and alarmed on
)

func (k Kind) String() string {
	switch k {
	case Invalid:
		return "invalid"
	case NotFound:
		return "not found"
	case Conflict:
		return "conflict"
	case Throttled:
		return "throttled"
	case Denied:
		return "denied"
	}
	return "unknown"
}

// Error is an error with its kind and what was attempted.
type Error struct {
	Op   string // "livy: list sessions"
	Kind Kind
	Err  error // the cause; may be nil
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Op + ": " + e.Kind.String()
	}
	return e.Op + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// New wraps a cause with what was attempted and its kind.
func New(op string, kind Kind, err error) error { return &Error{Op: op, Kind: kind, Err: err} }

// Newf is New with a formatted cause.
func Newf(op string, kind Kind, format string, args ...any) error {
	return &Error{Op: op, Kind: kind, Err: fmt.Errorf(format, args...)}
}

// KindOf is the kind of the outermost classified error in the chain; Unknown
// where none is. Joined errors answer with the first that is not Invalid, so
// that one poison part never hides a retryable one.
func KindOf(err error) Kind {
	for err != nil {
		switch e := err.(type) { //nolint:errorlint // the chain is walked here
		case *Error:
			return e.Kind
		case interface{ Unwrap() []error }:
			kind := Unknown
			for i, part := range e.Unwrap() {
				if k := KindOf(part); i == 0 || kind == Invalid {
					kind = k
				}
			}
			return kind
		}
		err = errors.Unwrap(err)
	}
	return Unknown
}

// Is says whether err is of the kind.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }

// Interrupted says whether the work was cut short by its context, which says
// nothing about the other side.
func Interrupted(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
