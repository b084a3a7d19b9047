package console_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"nightshift/internal/console"
)

const clientID = "nightshift-page"

// idp is an identity provider as OpenID Connect describes one, with one person,
// who agrees at once unless refuse is set.
type idp struct {
	*httptest.Server
	mu     sync.Mutex
	refuse bool
	asked  url.Values // the newest request to sign in
	codes  map[string]url.Values
}

func newIDP(t *testing.T) *idp {
	p := &idp{codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token"})
	})
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		q := r.URL.Query()
		p.asked = q
		back := url.Values{"state": {q.Get("state")}}
		if p.refuse {
			back.Set("error", "access_denied")
			back.Set("error_description", "Ana may not use Nightshift")
		} else {
			code := fmt.Sprintf("code-%d", len(p.codes))
			p.codes[code] = q
			back.Set("code", code)
		}
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		begun, hash := p.codes[r.PostFormValue("code")], sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		delete(p.codes, r.PostFormValue("code")) // a code is used once
		if r.PostFormValue("grant_type") != "authorization_code" || begun.Get("client_id") != r.PostFormValue("client_id") || begun.Get("redirect_uri") != r.PostFormValue("redirect_uri") ||
			begun.Get("code_challenge_method") != "S256" || begun.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(hash[:]) || begun.Get("client_id") != clientID {
			answer(w, 400, map[string]any{"error": "invalid_grant", "error_description": "the code is not of this sign-in"})
			return
		}
		answer(w, 200, map[string]any{"access_token": "for another API", "id_token": "ana's token", "expires_in": 3600, "token_type": "Bearer"})
	})
	return p
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the test sees what is missing
}

// playSignIn is a new reader's way in: the API takes no request without a token.
func playSignIn(h *stagehand) {
	h.expected = regexp.MustCompile(`401|422`)
	p := newIDP(h.t)
	h.signIn = console.New(h.system.App, console.Site{SignIn: &console.SignIn{Issuer: p.URL, ClientID: clientID, Audience: clientID}}).Handler()
	h.token = "ana's token"
	h.trouble.Store(http.StatusUnauthorized)
	h.open("now?user=u-ana", "Now")
	h.sees("You are not signed in")
	p.mu.Lock()
	p.refuse = true
	p.mu.Unlock()
	h.click("button", "Sign in")
	h.sees("The identity provider refused: Ana may not use Nightshift")
	// A link that brings somebody else's code signs nobody in.
	h.must(chromedp.Do(h.tab, chromedp.Navigate("about:blank"), chromedp.Navigate(h.url+"/?code=code-of-a-thief&state=guessed")))
	h.sees("This tab did not begin this sign-in")
	if got := eval[string](h, `location.search`); got != "" {
		h.t.Errorf("the code stays in the address: %q", got)
	}
	p.mu.Lock()
	p.refuse = false
	p.mu.Unlock()
	h.open("now?user=u-ana", "Now")
	h.sees("You are not signed in")
	h.click("button", "Sign in")
	h.sees("No session fits these filters.") // back where they were
	if got := eval[string](h, `location.pathname + location.search + location.hash`); got != "/#/now?user=u-ana" {
		h.t.Errorf("back at %q", got)
	}
	p.mu.Lock()
	if p.asked.Get("scope") != "openid profile" || p.asked.Get("response_type") != "code" || len(p.asked.Get("state")) < 40 {
		h.t.Errorf("the provider was asked %v", p.asked)
	}
	p.mu.Unlock()
	h.click("button", "Sign out")
	h.sees("You are not signed in")
}

// playRestart starts an ended run again, once: a second time answers the first.
func playRestart(h *stagehand) {
	spec := strings.Replace(trainingSpec, `"StoppingCondition"`, `"CheckpointConfig":{"S3Uri":"s3://b/checkpoints/"},"StoppingCondition"`, 1)
	id := h.run("u-hugo", "sagemaker-training", "sagemaker/123456789012/us-east-1", spec, "")
	h.pass(10 * time.Minute)
	h.ask("POST", "/api/sessions/"+id+"/stop", `{"why":"seen enough"}`)
	h.pass(10 * time.Minute)
	h.open("session/"+id, "")
	h.click("button", "Start it again…")
	h.choose("Why (for the record)", "the disk is bigger now")
	h.click("button", "Start it again")
	h.wait(`!document.querySelector('dialog')`)
	h.sees("The session that follows")
	h.pass(5 * time.Minute)
	h.click("a", "The session that follows")
	h.sees("The story, newest first")
	h.wait(fmt.Sprintf(`location.hash !== %q`, "#/session/"+id))
	// Whoever looked before may still have the button: it leads to the same session.
	again := h.ask("POST", "/api/sessions/"+id+"/restart", `{"why":"again"}`)
	if want := eval[string](h, `location.hash`); want != fmt.Sprint("#/session/", again["next"]) {
		h.t.Errorf("a second restart is followed by %v, want %s", again["next"], want)
	}
	h.open("session/"+id, "")
	h.sees("It was started again.")
}

func playCostsAndNotices(h *stagehand) {
	ids := h.populate()
	h.open("costs", "Costs")
	h.sees("u-chloe")
	h.sees("Saved by stops, at most")
	h.choose("Added up by", "costCenter")
	h.sees("By cost center")
	h.choose("Recorded in", "1")
	h.wait(`location.hash.includes('days=1')`)
	h.sees("those recorded since Thu 19 Nov, 18:5")
	// A session says what it was counted by (S8.5), and which limit comes first (S1.9).
	h.open("session/"+ids["ana"], "")
	h.wait(`document.querySelector('[data-key=prices]')?.textContent.includes('m5.xlarge (ec2, us-east-1): $0.192 an hour, as of 2026-01-19')`)
	h.wait(`[...document.querySelectorAll('section[aria-labelledby=limits] li')].filter((e) => e.textContent.includes('decides')).map((e) => e.textContent).join().startsWith('idle limit')`)
	h.open("session/"+ids["hugo"], "")
	h.sees("Saved by its stop, at most")
	// A long text is read from the left, also where each row is a card.
	h.size(360, 900)
	h.open("notices", "Notices")
	h.sees("What users and administrators were told")
	if got := eval[string](h, `(() => { const td = document.querySelector('td.grow'), s = getComputedStyle(td); return s.display + ' ' + s.textAlign; })()`); got != "block left" {
		h.t.Errorf("S4.6 what was said is set as %s", got)
	}
	if got := eval[string](h, `document.querySelector('.clock').innerText`); !strings.HasSuffix(got, "UTC") {
		h.t.Errorf("at 360 px the zone of all times is not said: %q", got)
	}
	h.size(1280, 900)
	h.open("notices", "Notices")
	h.sees("ends because the user signed out")
	h.click("a", ids["hugo"])
	h.sees("The story, newest first")
}
