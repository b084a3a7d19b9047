package session

import "time"

// PageAfter is how long a stop may stay unconfirmed before a person is paged
// (S2.6).
const PageAfter = 5 * time.Minute

// IdleDue is when the session's idle limit passes; zero: it is not idle.
func (s Session) IdleDue() time.Time {
	if s.Activity.At.IsZero() || s.Activity.Busy || s.Activity.Since.IsZero() {
		return time.Time{}
	}
	return s.Activity.Since.Add(s.Policy.LivyIdle)
}

// WakeAt is when the clock next matters to the session: its deadline, its idle
// limit, a notice, or, while ENDING, at once. Zero: never.
func (s Session) WakeAt() time.Time {
	switch s.Status {
	case Ended:
		return time.Time{}
	case Ending:
		return s.End.Decided
	}
	at := s.Deadline
	if !s.Deadline.IsZero() {
		for _, n := range Notices() {
			if s.Noticed == 0 || n < s.Noticed {
				at = s.Deadline.Add(-n)
				break
			}
		}
	}
	if idle := s.IdleDue(); !idle.IsZero() && (at.IsZero() || idle.Before(at)) {
		at = idle
	}
	return at
}
