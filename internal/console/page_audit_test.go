package console_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"
)

// everyView looks at each view in both themes, wide and at 360 px: contrast,
// names, headings, and that nothing has to be scrolled sideways. With
// NIGHTSHIFT_SCREENSHOTS it takes a picture of each.
func everyView(t *testing.T, h *stagehand) {
	ids := h.populate()
	done := fmt.Sprint(h.ask("POST", "/api/revocations", `{"target":{"user":"u-ben"},"why":"left the project"}`)["id"])
	h.pass(30 * time.Second)
	views := []struct{ name, path, heading, shown, as, press string }{
		{"now", "now", "Now", "u-chloe", "", ""},
		{"now-filtered", "now?user=u-chloe", "Now", "Revoke these 6", "", ""},
		{"session", "session/" + ids["ana"], "", "The story", "", ""},
		{"session-ended", "session/" + ids["hugo"], "", "The story", "", ""},
		{"timeline", "timeline", "Timeline", "Legend", "", ""},
		{"revoke", "revoke?user=u-chloe", "Revoke", "Would be stopped", "", ""},
		{"revoke-pick", "revoke", "Revoke", "Whose sessions", "", ""},
		{"revocation", "revocation/" + done, "Revocation", "seen stopped", "", ""},
		{"whatif", "whatif?kind=signOut&user=u-chloe", "What if", "would go on", "", ""},
		{"whatif-policy", "whatif?kind=policy&backgroundDuration=1h", "What if", "New sessions like these", "", ""},
		{"proof", "proof", "Proof", "Verified", "", ""},
		{"costs", "costs?by=department", "Costs", "Saved at most", "", ""},
		{"notices", "notices", "Notices", "What was said", "", ""},
		{"mine-costs", "costs", "My costs", "Cost center", "u-chloe", ""},
		{"policy", "policy", "Policy", "Who set what when", "", ""},
		{"user", "user/u-hugo", "User u-hugo", "signed out", "", ""},
		{"policy-edit", "policy", "Policy", "Who set what when", "", "Change the policy…"},
		{"session-stop", "session/" + ids["ana"], "", "The story", "", "Stop this run…"},
		{"mine", "now", "My runs", "If I sign out", "u-chloe", ""},
		{"mine-session", "session/" + ids["chloe0"], "", "Will my run survive my sign-out?", "u-chloe", ""},
	}
	for _, v := range views {
		for _, scheme := range []string{"light", "dark"} {
			for _, width := range []int64{1280, 360} {
				t.Run(fmt.Sprintf("%s, %s, %d px", v.name, scheme, width), func(t *testing.T) {
					h.t = t
					h.size(width, 900)
					h.scheme(scheme)
					eval[bool](h, fmt.Sprintf(`(location.protocol === 'about:' || sessionStorage.setItem('as', %q), true)`, v.as))
					h.open(v.path, v.heading)
					h.wait(fmt.Sprintf(`document.getElementById('main').textContent.includes(%q) || document.querySelector('[aria-label=%q]')`, v.shown, v.shown))
					if v.press != "" {
						h.click("button", v.press)
					}
					h.photograph(fmt.Sprintf("%s-%s-%d.png", v.name, scheme, width))
					h.fits(width)
					h.contrast(scheme)
					if scheme == "light" {
						h.structure()
						h.names()
					}
				})
			}
		}
	}
}

// photograph keeps a picture where one is asked for.
func (h *stagehand) photograph(name string) {
	folder := os.Getenv(shots)
	if folder == "" {
		return
	}
	h.t.Helper()
	picture, err := chromedp.Run(h.tab, chromedp.FullScreenshot(100))
	h.must(err)
	h.must(os.WriteFile(filepath.Join(folder, name), picture, 0o600))
}

func (h *stagehand) fits(width int64) {
	h.t.Helper()
	wide := eval[[]string](h, `document.documentElement.scrollWidth <= innerWidth ? [] : ['the page is ' + document.documentElement.scrollWidth + ' px wide',
		...[...document.querySelectorAll('main *, header *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 5).map((e) => e.outerHTML.slice(0, 120))]`)
	if len(wide) > 0 {
		h.t.Errorf("at %d px one must scroll sideways: %s", width, strings.Join(wide, "\n"))
	}
}

// contrast computes the contrast of every piece of text with what is behind it.
func (h *stagehand) contrast(scheme string) {
	h.t.Helper()
	found := eval[struct {
		Looked int
		Dark   bool
		Poor   []string
	}](h, `(() => {
		const rgba = (c) => { const m = c.match(/[\d.]+/g).map(Number); const f = c.startsWith('color(') ? 255 : 1; return [m[0] * f, m[1] * f, m[2] * f, m[3] ?? 1]; };
		const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
		const lum = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
		const behind = (e) => { const list = []; for (; e; e = e.parentElement) list.push(rgba(getComputedStyle(e).backgroundColor)); return list.reverse().reduce((b, a) => over(a, b), [255, 255, 255, 1]); };
		const poor = []; let looked = 0;
		const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
		const see = (e, color, text) => {
			const s = getComputedStyle(e), back = behind(e), fore = over(rgba(color), back), [x, y] = [lum(fore), lum(back)].sort((a, b) => b - a), ratio = (x + 0.05) / (y + 0.05);
			const size = parseFloat(s.fontSize), large = size >= 24 || size >= 18.66 && Number(s.fontWeight) >= 700;
			looked++;
			if (ratio < (large ? 3 : 4.5)) poor.push(ratio.toFixed(2) + ' ' + text.trim().slice(0, 40) + ' (' + e.localName + '.' + (e.className.baseVal ?? e.className) + ')');
		};
		while (walk.nextNode()) {
			const e = walk.currentNode.parentElement;
			if (!walk.currentNode.data.trim() || !e.getClientRects().length || e.closest('.unseen,noscript,option') || getComputedStyle(e).visibility === 'hidden') continue;
			see(e, e.namespaceURI.endsWith('svg') ? getComputedStyle(e).fill : getComputedStyle(e).color, walk.currentNode.data);
		}
		for (const e of document.querySelectorAll('input,select')) see(e, getComputedStyle(e).color, e.id);
		return {Looked: looked, Dark: lum(behind(document.body)) < 0.2, Poor: [...new Set(poor)]};
	})()`)
	if found.Looked < 20 {
		h.t.Errorf("the contrast of %d pieces of text was looked at", found.Looked)
	}
	if found.Dark != (scheme == "dark") {
		h.t.Errorf("the page is not %s", scheme)
	}
	for _, p := range found.Poor {
		h.t.Errorf("contrast %s", p)
	}
}

// structure holds the headings, the landmarks and the ids of a view.
func (h *stagehand) structure() {
	h.t.Helper()
	for _, wrong := range eval[[]string](h, `(() => {
		const wrong = [], ids = [...document.querySelectorAll('[id]')].map((e) => e.id), twice = ids.filter((id, i) => ids.indexOf(id) !== i);
		if (twice.length) wrong.push('ids twice: ' + twice);
		if (document.querySelectorAll('h1').length !== 1) wrong.push(document.querySelectorAll('h1').length + ' first headings');
		let last = 0;
		for (const e of document.querySelectorAll('h1,h2,h3,h4')) { const n = Number(e.localName[1]); if (n > last + 1) wrong.push('heading ' + e.textContent + ' skips a level'); last = n; }
		for (const e of ['header', 'nav[aria-label]', 'main', '[role=status]']) if (!document.querySelector(e)) wrong.push('no ' + e);
		for (const e of document.querySelectorAll('[aria-labelledby],[aria-describedby],label[for]')) for (const id of (e.getAttribute('aria-labelledby') ?? e.getAttribute('aria-describedby') ?? e.htmlFor).split(' ')) if (!document.getElementById(id)) wrong.push(id + ' is named and is not there');
		for (const e of document.querySelectorAll('[style],[onclick]')) wrong.push('inline style or handler: ' + e.outerHTML.slice(0, 80));
		for (const e of document.querySelectorAll('.mark')) if (!e.querySelector('svg') || !e.textContent.trim()) wrong.push('a status without an icon or a word: ' + e.outerHTML.slice(0, 80));
		return wrong; })()`) {
		h.t.Error(wrong)
	}
}

// names holds that everything that can be used or must be read has a name, as the
// browser tells it to a screen reader.
func (h *stagehand) names() {
	h.t.Helper()
	tree, err := chromedp.Call(h.tab, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	h.must(err)
	looked := 0
	for _, n := range tree.Nodes {
		if n.Ignored || n.Role == nil {
			continue
		}
		role := strings.Trim(string(n.Role.Value), `"`)
		if !slices.Contains([]string{"button", "link", "textbox", "combobox", "checkbox", "heading", "image", "progressbar", "table", "form", "navigation", "DisclosureTriangle", "MenuListPopup"}, role) {
			continue
		}
		looked++
		if role != "MenuListPopup" && (n.Name == nil || strings.Trim(string(n.Name.Value), `" `) == "") {
			h.t.Errorf("a %s has no name (node %d)", role, n.BackendDOMNodeID)
		}
	}
	if looked < 5 { // the fewest are those of a dialog
		h.t.Errorf("the names of %d things were looked at", looked)
	}
}
