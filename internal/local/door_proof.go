package local

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"nightshift/internal/app"
)

// getProof answers the export that package proof describes, of the time that the
// parameters from and to name, in RFC 3339.
func (s *System) getProof(w http.ResponseWriter, r *http.Request) {
	from, err := moment(r.URL.Query(), "from")
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	to, err := moment(r.URL.Query(), "to")
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	var file bytes.Buffer // first the whole: half of it would look like a broken proof
	if err := app.ExportProof(r.Context(), s.Store, &file, from, to, s.Clock.Now()); err != nil {
		refuse(w, statusOf(err), err)
		return
	}
	w.Header().Set("Content-Type", "application/jsonl")
	_, _ = file.WriteTo(w) // the caller has gone; there is nobody to tell
}

func moment(q url.Values, name string) (time.Time, error) {
	if q.Get(name) == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339Nano, q.Get(name))
	if err != nil {
		return at, fmt.Errorf("%s: %q is not allowed; it must be a time in RFC 3339, such as 2026-11-20T18:00:00Z", name, q.Get(name))
	}
	return at, nil
}
