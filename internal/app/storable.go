package app

import (
	"unicode/utf8"

	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// What every Store refuses is refused here, so that all of them say it alike. An
// error is fault.Invalid and names the field.

// CheckID refuses what DynamoDB could not hold as part of a key.
func CheckID(op, field, id string) error {
	switch {
	case id == "":
		return fault.Newf(op, fault.Invalid, "%s is empty", field)
	case !utf8.ValidString(id):
		return fault.Newf(op, fault.Invalid, "%s is not UTF-8: %q", field, id)
	}
	return nil
}

// CheckRef refuses a run that no key can name.
func CheckRef(op string, run workload.Ref) error {
	if err := CheckID(op, "endpoint", run.Endpoint); err != nil {
		return err
	}
	return CheckID(op, "run id", run.ID)
}

// CheckWrite refuses a state and an entry that do not belong together.
func CheckWrite(op string, s *session.Session, e *Entry) error {
	for _, c := range []struct{ field, id string }{
		{"session id", s.ID}, {"user", s.User}, {"endpoint", s.Run.Endpoint}, {"entry hash", e.Hash},
	} {
		if err := CheckID(op, c.field, c.id); err != nil {
			return err
		}
	}
	switch {
	case !utf8.ValidString(s.Run.ID):
		return CheckID(op, "run id", s.Run.ID)
	case e.SessionID != s.ID:
		return fault.Newf(op, fault.Invalid, "the entry is of session %q, the state of %q", e.SessionID, s.ID)
	case e.Version != s.Version:
		return fault.Newf(op, fault.Invalid, "the entry is of version %d, the state of %d", e.Version, s.Version)
	}
	return nil
}
