package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"nightshift/internal/app"
	"nightshift/internal/asl/clock"
	"nightshift/internal/console"
	"nightshift/internal/local"
	"nightshift/internal/session"
)

var evening = time.Date(2026, 11, 20, 17, 0, 0, 0, time.UTC)

// patience is how long something may take to appear on a machine that is busy.
const patience = 40 * time.Second

// shots names a folder for a screenshot of each view; "" takes none. They are for
// looking at, and are no part of the repository.
const shots = "NIGHTSHIFT_SCREENSHOTS"

// chromium finds a browser. Without one the page is not tested, which is said;
// in CI it fails.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const missing = "chromium is not installed: the page is NOT tested here (apt-get install chromium)"
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// browser starts one headless browser for the tests of the page.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := chromium(t)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("lang", "en-GB"),
		// Nothing but the loopback has a name.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"))
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("%s does not start: %v", path, err)
	}
	return ctx
}

// stagehand is a local system with an evening's runs, and a tab that looks at its
// page.
type stagehand struct {
	t       *testing.T
	system  *local.System
	url     string
	tab     context.Context
	signIn  http.Handler // serves /signin; nil: the local system, where nobody signs in
	token   string       // what the API takes while it answers 401
	trouble atomic.Int32 // the status that the API answers everything with; 0: it works

	mu        sync.Mutex
	complaint []string // what the browser's console said
	expected  *regexp.Regexp
}

func newStage(t *testing.T, browser context.Context) *stagehand {
	t.Helper()
	system, err := local.New(local.Options{Clock: clock.New(evening)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(system.Close)
	if err := system.Defaults(); err != nil {
		t.Fatal(err)
	}
	system.Start()
	h := &stagehand{t: t, system: system, token: "secret"}
	door := system.Door()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status := h.trouble.Load(); status != 0 && strings.HasPrefix(r.URL.Path, "/api/") && r.Header.Get("Authorization") != "Bearer "+h.token {
			w.WriteHeader(int(status))
			_, _ = io.WriteString(w, `{"message":"Unauthorized"}`) // as API Gateway says it
			return
		}
		if r.URL.Path == "/signin" && h.signIn != nil {
			h.signIn.ServeHTTP(w, r)
			return
		}
		door.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	h.url = server.URL
	tab, stop := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(stop)
	h.tab = tab
	h.must(chromedp.Do(tab))
	h.must(chromedp.Listen(tab, h.hear))
	_, err = chromedp.Call(tab, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "UTC"})
	h.must(err)
	h.size(1280, 900)
	t.Cleanup(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, c := range h.complaint {
			if h.expected == nil || !h.expected.MatchString(c) {
				t.Errorf("the browser complains: %s", c)
			}
		}
	})
	return h
}

func (h *stagehand) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// hear keeps what the browser complains of: errors, exceptions, and what the
// content security policy refused.
func (h *stagehand) hear(event any) {
	var text string
	switch e := event.(type) {
	case *log.EventEntryAdded:
		text = fmt.Sprintf("%s %s: %s %s", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL)
	case *runtime.EventExceptionThrown:
		text = "exception: " + e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
	case *runtime.EventConsoleAPICalled:
		b, _ := json.Marshal(e.Args) // only for a message
		text = fmt.Sprintf("console.%s: %s", e.Type, b)
	default:
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.complaint = append(h.complaint, text)
}

func (h *stagehand) size(width, height int64) {
	h.t.Helper()
	h.must(chromedp.Do(h.tab, chromedp.EmulateViewport(width, height)))
}

func (h *stagehand) scheme(name string) {
	h.t.Helper()
	_, err := chromedp.Call(h.tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
	h.must(err)
}

// pass lets virtual time pass.
func (h *stagehand) pass(d time.Duration) {
	h.system.Clock.RunUntil(h.system.Clock.Now().Add(d))
}

// eval evaluates an expression in the page.
func eval[T any](h *stagehand, expression string) T {
	h.t.Helper()
	v, err := chromedp.Run(h.tab, chromedp.Evaluate[T](expression))
	if err != nil {
		h.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// wait waits until an expression is true, over the page's being left for another
// a few times: what is evaluated meanwhile is lost with it.
func (h *stagehand) wait(expression string) {
	h.t.Helper()
	var err error
	for range 5 {
		if err = h.poll(expression); err == nil || strings.Contains(err.Error(), "timeout") {
			break
		}
	}
	if err != nil {
		shown := eval[string](h, `document.body?.innerText ?? ''`)
		h.t.Fatalf("%s did not become true: %v\n%s", expression, err, shown)
	}
}

func (h *stagehand) poll(expression string) error {
	_, err := chromedp.Run(h.tab, chromedp.Poll[bool]("Boolean("+expression+")", chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(patience)))
	return err
}

// sees waits until the page's main part says something; not, until it does not.
func (h *stagehand) sees(text string) {
	h.t.Helper()
	h.wait(fmt.Sprintf("document.getElementById('main').innerText.includes(%q)", text))
}

func (h *stagehand) seesNot(text string) {
	h.t.Helper()
	h.wait(fmt.Sprintf("!document.getElementById('main').innerText.includes(%q)", text))
}

// open opens the page at a view and waits for its heading.
func (h *stagehand) open(view, heading string) {
	h.t.Helper()
	h.must(chromedp.Do(h.tab, chromedp.Navigate("about:blank"), chromedp.Navigate(h.url+"/#/"+view)))
	h.wait(fmt.Sprintf("document.querySelector('h1')?.textContent.startsWith(%q) && !document.querySelector('[data-key=loading]')", heading))
}

// control finds the control of a role and accessible name, and clicks it.
func (h *stagehand) click(role, name string) {
	h.t.Helper()
	h.wait(`(() => { const found = ` + controls + `.find((c) => c.role === ` + fmt.Sprintf("%q", role) + ` && c.name.startsWith(` + fmt.Sprintf("%q", name) + `)); if (!found) return false; found.el.scrollIntoView({block: 'center'}); found.el.focus(); found.el.click(); return true; })()`)
}

// controls are the visible links and buttons by the text that names them; of a
// dialog, where one is open.
const controls = `[...(document.querySelector('dialog[open]') ?? document).querySelectorAll('a[href],button,summary')].filter((el) => el.offsetParent !== null || el.closest('dialog')).map((el) => ({el, role: el.localName, name: (el.getAttribute('aria-label') ?? el.textContent).trim()}))`

// choose sets a field, found by its label, as a person does who then leaves it.
func (h *stagehand) choose(label, value string) {
	h.t.Helper()
	h.wait(fmt.Sprintf(`(() => { const l = [...document.querySelectorAll('label')].find((l) => l.textContent.trim() === %q); const c = l && document.getElementById(l.htmlFor); if (!c) return false;
		c.focus(); c.value = %q; c.dispatchEvent(new Event('input', {bubbles: true})); c.dispatchEvent(new Event('change', {bubbles: true})); return true; })()`, label, value))
}

// ask sends a request to the door.
func (h *stagehand) ask(method, path, body string) map[string]any {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.url+path, strings.NewReader(body))
	h.must(err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	h.must(err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	h.must(err)
	var answer map[string]any
	if err := json.Unmarshal(b, &answer); err != nil || resp.StatusCode >= 300 {
		h.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, b)
	}
	return answer
}

const (
	trainingSpec = `{"AlgorithmSpecification":{"TrainingImage":"churn:1","TrainingInputMode":"File"},"RoleArn":"arn:aws:iam::123456789012:role/training",
		"OutputDataConfig":{"S3OutputPath":"s3://b/out"},"ResourceConfig":{"InstanceType":"ml.g5.xlarge","InstanceCount":2,"VolumeSizeInGB":50},"StoppingCondition":{"MaxRuntimeInSeconds":172800}}`
	jobSpec = `{"virtualClusterId":"` + local.VirtualCluster + `","name":"nightly","releaseLabel":"emr-7.12.0-latest","executionRoleArn":"arn:aws:iam::123456789012:role/job-role",
		"jobDriver":{"sparkSubmitJobDriver":{"entryPoint":"s3://b/job.py","sparkSubmitParameters":"--class com.example.Nightly --conf spark.driver.cores=2 --conf spark.driver.memory=4g --conf spark.executor.cores=4 --conf spark.executor.memory=8g --conf spark.executor.instances=3"}}}`
)

// run starts a run and answers its session.
func (h *stagehand) run(user, engine, endpoint, spec, more string) string {
	h.t.Helper()
	a := h.ask("POST", "/executions/run", fmt.Sprintf(`{"user":%q,"engine":%q,"endpoint":%q,"spec":%s%s}`, user, engine, endpoint, spec, more))
	return fmt.Sprint(a["session"])
}

func (h *stagehand) signsOut(user string) {
	h.t.Helper()
	at := h.system.Clock.Now().Format(time.RFC3339)
	h.ask("POST", "/events", fmt.Sprintf(`{"version":"0","id":"out-%s-%s","detail-type":"Nightshift Signed Out","source":"nightshift","account":"123456789012","region":"us-east-1","time":%q,"resources":[],"detail":{"user":%q,"at":%q}}`, user, at, at, user, at))
}

// populate plays the beginning of an evening, of every mode; at its end it is
// 18:50.
func (h *stagehand) populate() map[string]string {
	h.t.Helper()
	d := h.system.Directory
	d.SetFacts(local.SageMaker, "d-plain", session.Facts{IdentityPropagation: session.Off})
	d.SetFacts(local.SageMaker, "d-new", session.Facts{IdentityPropagation: session.On})
	ids := map[string]string{}
	ids["hugo"] = h.run("u-hugo", "sagemaker-training", local.SageMaker, trainingSpec, `,"interactiveSession":{"id":"is-hugo","source":"portal"}`)
	ids["ana"] = h.run("u-ana", "livy", local.Livy, `{"kind":"pyspark"}`, `,"kind":"livy-session","application":"spark"`)
	h.pass(20 * time.Minute)
	ids["ben"] = h.run("u-ben", "sagemaker-training", local.SageMaker, trainingSpec, `,"interactiveSession":{"id":"is-ben","source":"portal","expiresAt":"2026-11-20T19:30:00Z"}`)
	ids["ben2"] = h.run("u-ben", "sagemaker-training", local.SageMaker, trainingSpec, `,"interactiveSession":{"id":"is-ben2","source":"portal"}`)
	h.run("u-dev", "sagemaker-training", local.SageMaker, trainingSpec, `,"domain":"d-plain"`)
	h.run("u-eve", "sagemaker-training", local.SageMaker, trainingSpec, `,"domain":"d-new"`)
	h.run("u-sam", "emr-notebook", local.EMRNotebook, `{"ExecutionEngine":{"Id":"`+local.NotebookCluster+`","Type":"EMR"},"ServiceRole":"EMR_Notebooks_DefaultRole","EditorId":"e-CHURN","RelativePath":"churn.ipynb"}`, "")
	for i := range 6 {
		ids[fmt.Sprint("chloe", i)] = h.run("u-chloe", "emr-containers", local.EMROnEKS, jobSpec, "")
		h.pass(2 * time.Minute)
	}
	h.pass(30 * time.Minute)
	h.signsOut("u-hugo")
	h.signsOut("u-ana")
	h.pass(48 * time.Minute)
	return ids
}

// TestPage drives the page in a real browser.
func TestPage(t *testing.T) {
	b := browser(t)
	for _, c := range []struct {
		name string
		play func(*stagehand)
	}{
		{"S8.1 an administrator finds, filters, revokes by preview, watches it end and proves it", playRevoke},
		{"done when: somebody new finds why a run is alive, revokes, watches and proves, from an empty page on", playNewcomer},
		{"S8.3 what if: a sign-out, a date, a policy", playWhatIf},
		{"S8.2 a user sees their own, extends and stops", playUser},
		{"S1.4 the policy refuses 14 minutes and 91 days and says the range", playPolicy},
		{"S8.6 a lock", playLock},
		{"states: nothing yet, no answer, not found", playStates},
		{"sign-in at an identity provider: refused, forged, then done", playSignIn},
		{"S4.4 a stopped run is started again, and not twice", playRestart},
		{"S8.5 costs, S4.6 notices", playCostsAndNotices},
		{"keyboard: the order of focus, and that it is seen", playKeyboard},
		{"timeline: hover and focus explain", playTimeline},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newStage(t, b)
			h.t = t
			c.play(h)
		})
	}
	t.Run("every view in both themes and at 360 px", func(t *testing.T) { everyView(t, newStage(t, b)) })
}

func playRevoke(h *stagehand) {
	ids := h.populate()
	h.open("now", "Now")
	h.sees("A background session lasts 7 days at most.")
	if got := eval[string](h, `document.querySelector('.banner a').href`); !strings.HasPrefix(got, "https://console.aws.amazon.com/singlesignon/") {
		h.t.Errorf("S8.1 the banner leads to %q", got)
	}
	h.sees("u-chloe")
	if first := eval[string](h, `document.querySelector('[data-key=soon] tbody tr').innerText`); !strings.Contains(first, "u-ben") || !strings.Contains(first, "40 min left") {
		h.t.Errorf("what must end within the hour is not in front: %s", first)
	}
	h.click("a", "u-chloe")
	h.seesNot("u-dev")
	if n := eval[int](h, `document.querySelectorAll('tbody tr[data-key^="s-"]').length`); n != 6 {
		h.t.Errorf("filtered by u-chloe there are %d sessions, want 6", n)
	}
	h.click("a", "Revoke these 6…")
	h.sees("Revoke all sessions of u-chloe")
	h.sees("6 runs")
	h.sees("Nothing has been done yet.")
	h.sees("Saves at most")
	h.choose("Why (for the record)", "cluster is being replaced")
	h.click("button", "Revoke 6 sessions")
	h.sees("0 of 6 runs seen stopped")
	// From here time passes: the page follows by itself.
	for eval[bool](h, `!document.getElementById('main').innerText.includes('done: all are seen stopped')`) {
		if h.system.Clock.Now().After(evening.Add(6 * time.Hour)) {
			h.t.Fatal("the runs were not seen stopped on the page")
		}
		h.pass(2 * time.Second)
		h.wait(`document.querySelector('#tools time').dateTime >= ` + fmt.Sprintf("%q", h.system.Clock.Now().Add(-time.Second).Format("2006-01-02T15:04:05")) + ` || document.getElementById('main').innerText.includes('done: all')`)
	}
	h.sees("6 of 6 runs seen stopped")
	h.sees("cluster is being replaced")
	h.wait(`document.getElementById('said').textContent === 'All are seen stopped'`)
	h.click("a", "See the proof")
	h.sees("7 stops, 7 on time")
	h.sees("Verified: nothing was changed, dropped, reordered or invented")
	if n := eval[int](h, `[...document.querySelectorAll('[data-key=histogram] td.num')].reduce((n, c) => n + Number(c.innerText), 0)`); n != 7 {
		h.t.Errorf("S8.4 the histogram has %d stops, want 7", n)
	}
	h.open("session/"+ids["chloe0"], "")
	h.sees("a stop was requested")
	h.sees("The chain of records is intact")
}

func playNewcomer(h *stagehand) {
	h.open("now", "Now")
	h.sees("nightshift up --example begins with some runs")
	h.must(h.system.Example())
	h.pass(2 * time.Minute)
	h.sees("u-chloe")
	h.click("a", "vc7n1ghtsh1ft")
	h.sees("Does it survive a sign-out?")
	h.sees("background sessions outlive a sign-out")
	h.sees("the run outlives its user's sign-out (S1.1)")
	h.click("a", "Now")
	h.click("a", "u-chloe")
	h.click("a", "Revoke these 2…")
	h.sees("Nothing has been done yet.")
	h.click("button", "Revoke 2 sessions")
	h.sees("of 2 runs seen stopped")
	for range 30 {
		h.pass(10 * time.Second)
	}
	h.sees("done: all are seen stopped")
	h.click("a", "See the proof")
	h.sees("2 stops, 2 on time")
	h.sees("Verified: nothing was changed, dropped, reordered or invented")
}

func playWhatIf(h *stagehand) {
	h.expected = regexp.MustCompile(`400`) // what is refused is logged by the browser
	h.populate()
	h.open("whatif", "What if")
	h.choose("User", "u-ben")
	h.click("button", "Show what would happen")
	h.sees("2 sessions would end")
	h.sees("because the user signed out")
	h.choose("What happens", "at")
	h.choose("Until", "2026-11-20T20:00")
	h.click("button", "Show what would happen")
	h.sees("1 session would end")
	h.choose("What happens", "policy")
	h.choose("Background duration", "1h")
	h.click("button", "Show what would happen")
	h.sees("New sessions like these")
	h.sees("a new session like it, under the changed policy, would be over at its age")
	h.seesNot("end at no time") // the run's own limit is not the policy's
	h.choose("Background duration", "14m")
	h.click("button", "Show what would happen")
	h.sees("15 minutes to 90 days")
	if live := h.ask("GET", "/api/sessions?status=ENDING", "")["sessions"].([]any); len(live) != 0 {
		h.t.Errorf("S8.3 what if has written: %v", live)
	}
}

func playUser(h *stagehand) {
	h.expected = regexp.MustCompile(`422|404`)
	ids := h.populate()
	h.open("now", "Now")
	h.sees("u-chloe")
	h.choose("Seen as", "u-chloe")
	h.wait(`document.querySelector('h1').textContent === 'My runs'`)
	h.seesNot("u-ben")
	if menu := eval[string](h, `document.querySelector('nav').innerText`); strings.Contains(menu, "Proof") {
		h.t.Errorf("a user is offered the proof: %s", menu)
	}
	h.sees("If I sign out")
	h.click("a", "Stop or extend…")
	h.sees("Will my run survive my sign-out?")
	h.sees("Until when?")
	h.click("button", "Extend…")
	h.choose("By how much", "99d")
	h.click("button", "Move the end")
	h.wait(`document.querySelector('dialog .wrong').innerText.includes('at the latest')`)
	h.choose("By how much", "30m")
	h.click("button", "Move the end")
	h.sees("A later end was asked for")
	h.click("button", "Stop this run…")
	h.click("button", "Stop the run")
	h.sees("A stop was requested through Nightshift")
	h.pass(2 * time.Minute)
	h.sees("because a stop was requested")
	h.wait(`document.querySelector('.sub .mark').innerText === 'ended'`)
	// A run without a checkpoint is not started again, and the page says why (S4.4).
	h.click("button", "Start it again…")
	h.click("button", "Start it again")
	h.wait(`document.querySelector('dialog .wrong').innerText.includes('checkpoint')`)
	h.click("button", "Cancel")
	h.wait(`!document.querySelector('dialog') && document.activeElement.textContent === 'Start it again…'`)
	// Another user's session is not there.
	h.must(chromedp.Do(h.tab, chromedp.Navigate(h.url+"/#/session/"+ids["ben"])))
	h.sees("Not found")
	h.sees("There is no session")
}

func playPolicy(h *stagehand) {
	h.expected = regexp.MustCompile(`400`)
	h.open("policy", "Policy")
	h.sees("7 days")
	for _, length := range []string{"14m", "91d"} {
		h.click("button", "Change the policy…")
		h.choose("Background duration", length)
		h.click("button", "Save as version 2")
		h.wait(`document.querySelector('#backgroundDuration-wrong')?.innerText.includes('15 minutes to 90 days')`)
		if got := eval[string](h, `document.activeElement.id + ' ' + document.activeElement.value`); got != "backgroundDuration "+length {
			h.t.Errorf("the focus is on %q, want it where it is wrong, as typed", got)
		}
		h.click("button", "Cancel")
	}
	h.click("button", "Change the policy…")
	h.choose("Background duration", "3d")
	h.choose("Why (for the record)", "shorter nights")
	h.click("button", "Save as version 2")
	h.sees("Saved as version 2")
	h.sees("backgroundDuration from 7 d to 3 d")
	h.sees("shorter nights")
}

func playLock(h *stagehand) {
	h.populate()
	h.open("user/u-ben", "User u-ben")
	h.sees("allowed")
	h.choose("Why", "an incident")
	h.click("button", "Lock")
	h.sees("refused")
	h.sees("an incident")
	h.click("button", "Let them start again")
	h.sees("allowed")
}

func playStates(h *stagehand) {
	h.expected = regexp.MustCompile(`503|404|401`)
	h.open("now", "Now")
	h.sees("Nothing runs now.")
	h.open("timeline", "Timeline")
	h.sees("No session in this time.")
	h.open("session/s-none", "Session")
	h.sees("Not found")
	h.open("now", "Now")
	h.trouble.Store(http.StatusServiceUnavailable)
	h.wait(`document.getElementById('state').innerText.includes('tried again every few seconds')`)
	h.sees("Nothing runs now.") // what was known stays
	h.trouble.Store(0)
	h.wait(`!document.getElementById('state').innerText.includes('tried again')`)
	h.open("now?user=u-nobody", "Now")
	h.sees("No session fits these filters.")
	// In AWS the API wants a token of its identity provider.
	h.trouble.Store(http.StatusUnauthorized)
	h.open("now?user=u-ana", "Now")
	h.sees("You are not signed in")
	h.choose("Access token", "secret")
	h.click("button", "Sign in")
	h.sees("No session fits these filters.")
}

func playKeyboard(h *stagehand) {
	h.populate()
	h.open("now", "Now")
	h.sees("u-chloe")
	var at []string
	places := map[string]bool{}
	for range 40 {
		h.must(chromedp.Do(h.tab, chromedp.KeyEvent("\t")))
		got := eval[[]string](h, `(() => { const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();
			const order = [...document.querySelectorAll('a[href],button,input,select,summary,[tabindex="0"]')].filter((x) => x.getClientRects().length).indexOf(e);
			return [e.id || e.textContent.trim() || e.name, String(order), s.outlineStyle + ' ' + s.outlineWidth, String(r.bottom > 0 && r.top < innerHeight && r.width > 0), e.localName === 'body' ? 'body' : '']; })()`)
		if got[4] == "body" {
			break
		}
		if want := fmt.Sprint(len(at)); got[1] != want {
			h.t.Errorf("Tab %d goes to %q, which is control %s of the page", len(at)+1, got[0], got[1])
		}
		if strings.HasPrefix(got[2], "none") || strings.HasSuffix(got[2], " 0px") {
			h.t.Errorf("the focus on %q is not seen: outline %s", got[0], got[2])
		}
		if got[3] != "true" {
			h.t.Errorf("the focus on %q is out of sight", got[0])
		}
		at = append(at, got[0])
		places[got[0]] = true
	}
	if len(at) < 25 || at[0] != "skip" || !places["f-user"] || !places["theme"] {
		h.t.Errorf("the keyboard reaches %q", at)
	}
	// The skip link leads into the view, and a new view is told by its heading.
	eval[bool](h, `(document.getElementById('skip').click(), document.activeElement.id === 'main')`)
	if got := eval[string](h, `document.activeElement.id`); got != "main" {
		h.t.Errorf("the skip link leads to %q", got)
	}
	h.click("a", "Policy")
	h.wait(`document.activeElement.localName === 'h1' && document.activeElement.textContent === 'Policy'`)
	// What changes by itself leaves the focus where it is.
	h.click("a", "Now")
	h.sees("u-chloe")
	h.must(chromedp.Do(h.tab, chromedp.Focus(chromedp.CSS(`[data-key=rest] tbody tr:nth-child(3) .button`))))
	before := eval[string](h, `document.activeElement.textContent + document.querySelector('#tools time').dateTime`)
	h.pass(5 * time.Minute)
	h.wait(fmt.Sprintf(`document.querySelector('#tools time').dateTime > %q && document.activeElement.classList.contains('button')`, before[len(before)-24:]))
	if got := eval[string](h, `document.activeElement.textContent`); !strings.HasPrefix(before, got) {
		h.t.Errorf("the focus moved from %q to %q", before, got)
	}
}

func playTimeline(h *stagehand) {
	h.populate()
	h.open("timeline", "Timeline")
	h.wait(`document.querySelectorAll('a.point').length >= 12`)
	const bar = `document.querySelector('a.point[aria-label^="u-chloe"]')`
	h.must(chromedp.Do(h.tab, chromedp.Focus(chromedp.CSS(`a.point[aria-label^="u-chloe"]`))))
	h.wait(`document.getElementById('told').innerText.startsWith('u-chloe: EMR on EKS, background.')`)
	center := eval[[]float64](h, `(() => { const r = document.querySelector('a.point[aria-label^="u-ben"] .run').getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()`)
	h.must(chromedp.Do(h.tab, chromedp.MouseEvent("mouseMoved", center[0], center[1])))
	h.wait(`document.getElementById('told').innerText.startsWith('u-ben: SageMaker training, interactive.')`)
	if marks := eval[[]string](h, `[...document.querySelectorAll('g.point')].map((m) => m.getAttribute('aria-label'))`); len(marks) != 2 || !strings.HasPrefix(marks[0], "u-ana signed out at") {
		h.t.Errorf("the sign-outs are %q", marks)
	}
	if n := eval[int](h, `document.querySelectorAll('.chart .deadline').length`); n < 2 {
		h.t.Errorf("%d deadlines are marked", n)
	}
	h.choose("Shown", "7d")
	h.wait(`document.querySelectorAll('svg .tick').length >= 6`)
	eval[bool](h, bar+`.dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}))`)
	h.sees("The story, newest first")
}

// TestPageFiles: the page is served to whoever asks, under a strict policy, and
// has nothing inline and nothing of a third party's in it.
func TestPageFiles(t *testing.T) {
	handler := console.New(&app.App{Now: func() time.Time { return evening }}, console.Site{}).Handler()
	get := func(path string, headers ...string) *httptest.ResponseRecorder {
		r, w := httptest.NewRequestWithContext(t.Context(), "GET", path, nil), httptest.NewRecorder()
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		handler.ServeHTTP(w, r)
		return w
	}
	names, err := os.ReadDir("web")
	if err != nil || len(names) < 10 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	inline := regexp.MustCompile(`(?i)<script>|<style|\sstyle=|\son[a-z]+="|javascript:|innerHTML|outerHTML|document\.write|\beval\(|insertAdjacentHTML`)
	foreign := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9.-]+\.[a-z]{2,}`)
	for _, n := range names {
		path := "/assets/" + n.Name()
		if n.Name() == "index.html" {
			path = "/"
		}
		a := get(path)
		body := a.Body.String()
		if a.Code != 200 || len(body) == 0 || !strings.HasPrefix(a.Header().Get("Content-Type"), "text/") && n.Name() != "icon.svg" {
			t.Errorf("%s: %d, %d bytes of %q", path, a.Code, len(body), a.Header().Get("Content-Type"))
		}
		if csp := a.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; script-src 'self'; style-src 'self'") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") {
			t.Errorf("%s: the policy is %q", path, csp)
		}
		if again := get(path, "If-None-Match", a.Header().Get("ETag")); again.Code != 304 || again.Body.Len() != 0 {
			t.Errorf("%s again: %d, %d bytes", path, again.Code, again.Body.Len())
		}
		if found := inline.FindString(body); found != "" {
			t.Errorf("%s has %q", path, found)
		}
		for _, found := range foreign.FindAllString(body, -1) {
			if !strings.HasSuffix(found, "//www.w3.org") { // the name of SVG's namespace
				t.Errorf("%s names %s", path, found)
			}
		}
	}
	if a := get("/assets/none.js"); a.Code != 404 {
		t.Errorf("a file that is not there: %d", a.Code)
	}
}
