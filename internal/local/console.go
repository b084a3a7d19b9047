package local

import (
	"fmt"
	"net"
	"net/http"
	"strings"

	"nightshift/internal/app"
	"nightshift/internal/console"
	"nightshift/internal/session"
)

// HeaderAs, or the parameter as, says as whom a request to the API is made:
// "administrator", or the id of a user. A local system authenticates nobody, and
// /api/me says so.
const HeaderAs = "Nightshift-As"

// Administrator is who calls a local system's API where nobody else is said.
const Administrator = "administrator"

// console serves the API for people, as the function of that name does behind
// API Gateway.
func (s *System) console() http.Handler {
	api := console.New(s.App, console.Site{Account: Account, Region: Region}).Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !byNumber(r.Host) {
			// Another site's name that was made to lead here: its pages would be ours.
			refuse(w, http.StatusForbidden, fmt.Errorf("%q: ask for a local system by its address or as localhost", r.Host))
			return
		}
		caller, err := callerOf(r)
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		api.ServeHTTP(w, r.WithContext(console.WithCaller(r.Context(), caller)))
	})
}

// callerOf reads as whom a request is made, and takes it out of the request.
func callerOf(r *http.Request) (console.Caller, error) {
	as := r.Header.Get(HeaderAs)
	if q := r.URL.Query(); q.Has("as") {
		as = q.Get("as")
		q.Del("as")
		r.URL.RawQuery = q.Encode()
	}
	caller := console.Caller{Actor: app.Actor{Name: Administrator, Admin: true}, Local: true, MayActAs: true}
	switch {
	case as == "" || as == Administrator:
		return caller, nil
	case !session.ValidUser(as):
		return caller, fmt.Errorf("as: %q is neither %q nor the id of a user", as, Administrator)
	}
	caller.Actor = app.Actor{Name: as, User: as}
	return caller, nil
}

// byNumber says whether a request names its host by an address, or as localhost.
func byNumber(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host == "localhost" || net.ParseIP(strings.Trim(host, "[]")) != nil
}
