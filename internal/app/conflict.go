package app

import "nightshift/internal/fault"

func (c *OpenConflict) Error() string {
	switch {
	case c.Claimed != "":
		return "open session: the run belongs to session " + c.Claimed
	case c.Exists:
		return "open session: a session of this id exists"
	}
	return "open session: the user's facts have changed meanwhile"
}

// Unwrap makes fault.KindOf answer Conflict.
func (c *OpenConflict) Unwrap() error {
	return &fault.Error{Op: "open session", Kind: fault.Conflict}
}
