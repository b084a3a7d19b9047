// The shell: which view is shown, who looks, and how it stays live. A view is
// {title, load(arg, query), draw(data, arg, query, again), period, tell(before,
// after)}: load asks the API, draw builds what is shown, and while the view is open
// both are done again every period, without a reload.

import { h, patch, mark, unseen, icon } from './dom.js';
import { get, now, actAs, actingAs, signIn, signedIn, Problem } from './api.js';
import * as signing from './signin.js';
import { clockOf, dayOf, zone } from './words.js';
import * as nowView from './now.js';
import * as timeline from './timeline.js';
import * as session from './session.js';
import * as whatif from './whatif.js';
import * as revoke from './revoke.js';
import * as proof from './proof.js';
import * as policy from './policy.js';
import * as user from './user.js';
import * as costs from './costs.js';
import * as notices from './notices.js';

const views = { now: nowView, timeline, session, whatif, revoke, revocation: revoke.progress, proof, policy, user, costs, notices };
const menu = [['now', 'Now'], ['timeline', 'Timeline'], ['whatif', 'What if'], ['costs', 'Costs'], ['notices', 'Notices'], ['proof', 'Proof', true], ['policy', 'Policy']];

const main = document.getElementById('main');
const place = { name: '', arg: '', query: {}, run: 0 };
let me = null, failing = null, timer = 0;

/** route reads #/name/argument?query. */
function route() {
  const [path, q] = location.hash.replace(/^#\/?/, '').split('?');
  const [name, ...rest] = path.split('/');
  return { name: views[name] ? name : 'now', arg: decodeURIComponent(rest.join('/')), query: Object.fromEntries(new URLSearchParams(q)) };
}

/** open shows what the address says. */
async function open(first) {
  Object.assign(place, route(), { run: place.run + 1, data: undefined });
  clearTimeout(timer);
  say('');
  const run = place.run;
  frame();
  const slow = setTimeout(() => run === place.run && patch(main, [head(), h('p', { class: 'quiet', 'data-key': 'loading' }, 'Loading…')]), 150);
  await refresh(run);
  clearTimeout(slow);
  // Who hears the page is told where they are; who opened it starts at its top.
  if (!first && run === place.run) main.querySelector('h1')?.focus({ preventScroll: true });
  if (!first) scrollTo(0, 0);
}

async function refresh(run) {
  if (run !== place.run) return;
  clearTimeout(timer);
  const view = views[place.name];
  try {
    if (!me) me = await get('/api/me');
    const data = await view.load(place.arg, place.query, me);
    if (run !== place.run) return;
    const before = place.data;
    failing = null;
    place.data = data;
    frame();
    patch(main, view.draw(data, place.arg, place.query, again, me));
    const news = before && view.tell?.(before, data);
    if (news) say(news);
  } catch (e) {
    if (run !== place.run) return;
    if (!(e instanceof Problem)) console.error(e);
    fail(e instanceof Problem ? e : new Problem({ status: -1, detail: 'This page failed: ' + e.message }));
  }
  main.removeAttribute('aria-busy');
  const period = typeof view.period === 'function' ? view.period(place.data) : view.period;
  if (period || failing) timer = setTimeout(() => document.hidden || refresh(run), period || 5000);
}

/** again shows the view anew: at once from what is known, or after asking. */
const again = (ask) => (ask || place.data === undefined ? refresh(place.run) : patch(main, views[place.name].draw(place.data, place.arg, place.query, again, me)));

/** fail keeps what was shown where the trouble may pass, and else says what is wrong
 * and what can be done. */
function fail(p) {
  const passing = p.status === 0 || p.status === 429 || p.status >= 500;
  if (passing && !failing) say(p.detail + ' What is shown may be old.');
  failing = passing ? failing ?? { since: now(), p } : null;
  frame();
  if (passing && place.data !== undefined) return;
  if (p.status === 401) {
    const run = place.run;
    me = null;
    signing.form(sentence(p.detail), () => open(true)).then((form) => run === place.run && patch(main, [head(), form]));
    return;
  }
  patch(main, [head(), h('div', { class: 'panel', 'data-key': 'failed' },
    h('p', {}, mark('bad', 'alert', titleOf(p))), h('p', {}, sentence(p.detail)), p.remedy && h('p', {}, p.remedy),
    h('p', { class: 'acts' }, passing ? 'It is tried again every few seconds.' : [h('button', { type: 'button', onclick: () => refresh(place.run) }, 'Try again'), h('a', { class: 'button', href: '#/now' }, 'Back to Now')]))]);
}

const titleOf = (p) => ({ 0: 'No answer', 403: 'Not allowed', 404: 'Not found', [-1]: 'Failed' }[p.status] ?? p.title ?? 'Failed');
const sentence = (t) => t.charAt(0).toUpperCase() + t.slice(1) + (/[.!?]$/.test(t) ? '' : '.');

const titleNow = () => (typeof views[place.name].title === 'function' ? views[place.name].title(place.arg, place.query, me) : views[place.name].title);
const head = () => h('h1', { tabindex: '-1' }, titleNow());

/** frame draws what stands around the view. */
function frame() {
  document.title = titleNow() + ' · Nightshift';
  const admin = me?.role === 'administrator';
  patch(document.getElementById('nav'), menu.filter(([, , only]) => !only || admin).map(([name, text]) =>
    h('li', { 'data-key': name }, h('a', { href: '#/' + name, 'aria-current': place.name === name ? 'page' : null }, name === 'now' && me && !admin ? 'My runs' : text))));
  patch(document.getElementById('tools'), [
    h('span', { class: 'clock' }, unseen('System time '), h('time', { datetime: now().toISOString() }, dayOf(now()) + ', ' + clockOf(now())), ' ' + zone()),
    me && whoIs(), me && signedIn() && h('button', { type: 'button', class: 'bare', 'data-key': 'leave', onclick: () => { signIn(null); me = null; open(); } }, icon('leave'), 'Sign out'), themeButton()]);
  patch(document.getElementById('state'), [
    me?.local && h('p', { class: 'strip', 'data-key': 'local' }, 'A local system with simulated engines; not for production.'),
    failing && h('p', { class: 'strip bad', 'data-key': 'failing' }, icon('alert'), ' ' + failing.p.detail + ' What is shown was true at ' + clockOf(failing.since) + '. It is tried again every few seconds.')]);
}

/** whoIs says as whom the page is seen; a local system lets its user choose. */
function whoIs() {
  if (!me.mayActAs) return h('span', { class: 'who', 'data-key': 'who' }, me.name + ' (' + me.role + ')');
  const names = [...new Set([...users(), actingAs() ?? ''])].filter(Boolean).sort();
  return h('span', { class: 'who', 'data-key': 'who', 'data-keep': names.join() + actingAs() },
    h('label', { for: 'as' }, 'Seen as'),
    h('select', { id: 'as', value: actingAs() ?? '', onchange: (e) => { actAs(e.target.value); me = null; location.hash === '#/now' ? open() : location.hash = '#/now'; } },
      h('option', { value: '' }, 'administrator'), names.map((n) => h('option', { value: n }, n))));
}

const users = () => { try { return JSON.parse(sessionStorage.getItem('users') ?? '[]'); } catch { return []; } };

function themeButton() {
  const root = document.documentElement.dataset;
  const dark = root.theme ? root.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  return h('button', { type: 'button', id: 'theme', class: 'bare', 'data-key': 'theme', onclick: () => {
    root.theme = dark ? 'light' : 'dark';
    try { localStorage.setItem('theme', root.theme); } catch { /* for this page only */ }
    frame();
    again();
  } }, icon('theme'), h('span', {}, dark ? 'Light' : 'Dark'), unseen(' colours'));
}

/** say tells who hears the page what has changed. */
function say(text) { document.getElementById('said').textContent = text; }

document.getElementById('skip').onclick = (e) => { e.preventDefault(); main.focus(); };
addEventListener('hashchange', () => open());
document.addEventListener('visibilitychange', () => document.hidden || refresh(place.run));
let width = innerWidth;
addEventListener('resize', () => { if (innerWidth !== width && place.data !== undefined) { width = innerWidth; again(); } });
signing.back().finally(() => open(true));
