package app_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"nightshift/internal/app"
	livyengine "nightshift/internal/engine/livy"
	"nightshift/internal/session"
)

// livyServer is a Livy server with one session at most, which somebody named "etl"
// and which has the number 0.
type livyServer struct {
	user, app string // whose it is, "": none; its application's id as JSON
	deleted   []string
}

func (s *livyServer) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "application/json")
	switch {
	case r.Method == http.MethodDelete:
		s.deleted, s.user = append(s.deleted, s.user), ""
		fmt.Fprint(rw, `{"msg":"deleted"}`)
	case r.URL.Path == "/sessions" && s.user != "":
		fmt.Fprintf(rw, `{"from":0,"total":1,"sessions":[{"id":0,"name":"etl","appId":%s,"owner":null,"proxyUser":%q,"state":"busy","heartbeatTimeoutInSecond":0}]}`, s.app, s.user)
	default:
		fmt.Fprint(rw, `{"from":0,"total":0,"sessions":[]}`)
	}
}

func livyWorld(t *testing.T) (*world, *livyServer) {
	w, s := newWorld(t), &livyServer{user: "ana", app: "null"}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	w.app.Engines = map[string]app.Engine{"livy": livyengine.New(server.URL, server.Client(), livy, func() time.Time { return w.now })}
	w.app.Endpoints = []string{livy}
	w.identity.facts[livy] = classic
	w.pass(7 * time.Minute)
	return w, s
}

// S2.5: a server that was started again gives the same number, and a user the same
// name, a second time. Another user's session is not taken for the one before it,
// whether that one's record has ended or not.
func TestS2_5ANameAndNumberGivenAgainIsAnotherUsersRun(t *testing.T) {
	for name, ended := range map[string]bool{"ended": true, "still open": false} {
		t.Run(name, func(t *testing.T) {
			w, s := livyWorld(t)
			if ended {
				w.say(w.fact(session.SignOut, "ana", "out-1"))
				w.pass(5 * time.Minute)
				s.deleted = nil
			}
			s.user = "ben" // the server was started again
			if !ended {
				w.say(w.fact(session.SignOut, "ana", "out-1"))
			}
			w.pass(20 * time.Minute)
			if len(s.deleted) != 0 {
				t.Errorf("deleted the session of %v", s.deleted)
			}
			bens := 0
			for _, x := range w.all() {
				if x.User == "ben" && x.Status == session.Active {
					bens++
				}
			}
			if bens != 1 {
				t.Errorf("ben has %d sessions", bens)
			}
		})
	}
}

// S2.10, S2.3: nor is the session of a user who has signed in again the one that the
// sign-out ended.
func TestS2_3ANameAndNumberGivenAgainIsNoZombie(t *testing.T) {
	w, s := livyWorld(t)
	w.say(w.fact(session.SignOut, "ana", "out-1"))
	w.pass(30 * time.Minute)
	s.deleted, s.user = nil, "ana" // the server was started again
	w.pass(20 * time.Minute)
	active := 0
	for _, x := range w.all() {
		if x.Status == session.Active {
			active++
		}
	}
	if len(s.deleted) != 0 || active != 1 {
		t.Errorf("deleted %v, %d sessions live", s.deleted, active)
	}
	w.say(w.fact(session.SignOut, "ana", "out-2"))
	w.pass(5 * time.Minute)
	if len(s.deleted) != 1 {
		t.Errorf("after her next sign-out: deleted %v", s.deleted)
	}
}

// S3.3: a Livy session may be at work before YARN has told its application's id; the
// id that it then gets makes no second session of it.
func TestS3_3ALastingIDThatComesLateIsOneSession(t *testing.T) {
	w, s := livyWorld(t)
	s.app = `"application_1_0001"`
	w.pass(10 * time.Minute)
	if all := w.all(); len(all) != 1 || all[0].Status != session.Active {
		t.Fatalf("%d sessions: %+v", len(all), all)
	}
	w.say(w.fact(session.SignOut, "ana", "out-1"))
	w.pass(5 * time.Minute)
	if all := w.all(); len(all) != 1 || all[0].End.Cause != session.CauseSignOut || len(s.deleted) != 1 {
		t.Errorf("%d sessions, deleted %v", len(all), s.deleted)
	}
}
